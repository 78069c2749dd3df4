//! A client's session: statements in, rows out, and the state of its transaction between them.
//!
//! ```text
//!             BEGIN                    error
//!   Idle ------------> InTransaction -------> Failed
//!     ^                  |                      |
//!     +--- COMMIT, ------+------- ROLLBACK -----+   (ROLLBACK TO: back to InTransaction)
//!          ROLLBACK
//! ```
//!
//! In `Idle` every statement is its own transaction, retried by itself after conflicts (X10, in
//! [`run`]); several statements of one [`Session::simple`] text, or of one pipeline
//! ([`Session::join_pipeline`] ... [`Session::end_pipeline`]), share one that the client sees as
//! `Idle`. In `Failed` everything but the end of the block is refused (`25P02`).
//!
//! Schema changes take effect at once, in transactions of their own: inside a block they are told
//! with a warning, and a rollback does not take them back.
//!
//! A session that is dropped rolls back: its locks are released behind its back, so a client that
//! disconnects leaves none ([`Session::close`] waits for that).

mod check;
mod held;
mod hooks;
mod knobs;
pub(crate) mod past;
mod pipeline;
mod run;
pub mod settings;
mod shared;
mod traced;
mod transaction;
mod utility;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use clock::Timestamp;
use expr::{Datum, EvalContext, SqlError, SqlState, Type, stack};
use futures::future::BoxFuture;
use txn::CommitInfo;

use crate::{
    database::Database,
    error::Failure,
    parse::{Kind, Statement, Utility},
    plan::Plan,
    room::Roomy,
    show,
};

pub(crate) use held::Account;
pub use held::Held;
pub(crate) use knobs::unknown_setting;
pub use shared::Shared;
pub(crate) use shared::timed_out;
use transaction::{Block, Open};

/// The one database there is.
pub const DATABASE: &str = "meridian";

/// A row of a result.
pub type Row = Vec<Datum>;

/// Who connects, and with what.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// The user.
    pub user: String,
    /// The database; only `meridian` exists.
    pub database: String,
    /// The name of the client's program; may be empty.
    pub application_name: String,
    /// Further start-up parameters, names and values. Unknown ones are refused.
    pub parameters: Vec<(String, String)>,
}

impl Default for SessionOptions {
    fn default() -> SessionOptions {
        SessionOptions {
            user: "root".to_owned(),
            database: DATABASE.to_owned(),
            application_name: String::new(),
            parameters: Vec::new(),
        }
    }
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: Type,
}

/// What a statement came to.
#[derive(Clone, Debug)]
pub enum Execution {
    /// Rows.
    Rows {
        /// Their columns.
        columns: Arc<[ResultColumn]>,
        /// The rows, each as wide as there are columns.
        rows: Vec<Row>,
        /// The command tag: `SELECT 3`.
        tag: String,
    },
    /// No rows.
    Done {
        /// The command tag: `UPDATE 1`.
        tag: String,
    },
}

impl Execution {
    /// The command tag.
    #[must_use]
    pub fn tag(&self) -> &str {
        match self {
            Execution::Rows { tag, .. } | Execution::Done { tag } => tag,
        }
    }

    fn done(tag: impl Into<String>) -> Execution {
        Execution::Done { tag: tag.into() }
    }
}

/// The state of a session between statements, as `ReadyForQuery` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxnStatus {
    /// No transaction block.
    Idle,
    /// In a transaction block.
    InTransaction,
    /// In one that failed.
    Failed,
}

/// Something the client is told besides results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// `NOTICE`, `WARNING`, `INFO`.
    pub severity: &'static str,
    /// The kind of notice, for programs.
    pub sqlstate: SqlState,
    /// One line for people.
    pub message: String,
    /// More about it.
    pub detail: Option<String>,
}

impl Notice {
    fn new(severity: &'static str, sqlstate: SqlState, message: impl Into<String>) -> Notice {
        Notice { severity, sqlstate, message: message.into(), detail: None }
    }
}

/// A statement made ready: parameters typed, result columns known. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Prepared(Arc<PreparedInner>);

#[derive(Debug)]
struct PreparedInner {
    statement: Statement,
    /// As the client gave them.
    declared: Vec<Option<Type>>,
    params: Vec<Type>,
    columns: Option<Arc<[ResultColumn]>>,
    /// The plan as last used; it is made anew when its tables changed.
    plan: Mutex<Option<Arc<Plan>>>,
    /// Its memory, if it is kept: held for as long as anybody has it, a portal for one.
    held: OnceLock<Held>,
}

impl Prepared {
    /// The statement.
    #[must_use]
    pub fn statement(&self) -> &Statement {
        &self.0.statement
    }

    /// Types of the parameters.
    #[must_use]
    pub fn param_types(&self) -> &[Type] {
        &self.0.params
    }

    /// The columns it answers with; `None`: it answers with no rows.
    #[must_use]
    pub fn columns(&self) -> Option<&Arc<[ResultColumn]>> {
        self.0.columns.as_ref()
    }

    /// `0A000` if its rows are to be others than those that were told: a client reads them by what
    /// it was told.
    pub(super) fn expect_columns(
        &self,
        columns: Option<&Arc<[ResultColumn]>>,
    ) -> Result<(), SqlError> {
        if self.columns().map(|told| &**told).unwrap_or_default()
            == columns.map(|found| &**found).unwrap_or_default()
        {
            return Ok(());
        }
        let message = "cached plan must not change result type";
        Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message))
    }

    /// It is kept from here on, and this is its memory.
    ///
    /// # Panics
    /// It is kept already.
    pub fn keep(&self, held: Held) {
        self.0.held.set(held).expect("a statement is kept once");
    }

    fn plan(&self) -> Option<Arc<Plan>> {
        self.0.plan.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep_plan(&self, plan: &Arc<Plan>) {
        *self.0.plan.lock().unwrap_or_else(PoisonError::into_inner) = Some(plan.clone());
    }
}

/// Cancels what a session runs, from anywhere.
#[derive(Clone, Debug)]
pub struct CancelHandle(Arc<Shared>);

impl CancelHandle {
    /// Cancels the running statement (`57014`); nothing if none runs. A commit under way is not
    /// cancelled: its outcome would be unknown.
    pub fn cancel(&self) {
        self.0.cancel();
    }
}

/// A client's session.
#[derive(Debug)]
pub struct Session {
    database: Database,
    shared: Arc<Shared>,
    open: Option<Open>,
    /// Statements prepared under a name, by `PREPARE` or by the protocol.
    named: BTreeMap<String, Prepared>,
    /// What is kept between statements.
    kept: Arc<Account>,
    /// Names of the protocol's portals, which `CLOSE` reaches.
    portals: BTreeSet<String>,
    /// Whether the statement that runs is one of several in a text, which share a transaction.
    in_company: bool,
    /// The last commit timestamp: the next snapshot is not below it.
    last_commit: Timestamp,
    last_read: Option<Timestamp>,
    /// How old the block was that failed by a conflict, until the next one begins.
    lost_age: Option<Timestamp>,
    last_stats: Option<CommitInfo>,
    traces: traced::Traces,
    info: Arc<expr::SessionInfo>,
    hooks: expr::SharedHooks,
}

impl Session {
    pub(crate) fn new(
        database: Database,
        shared: Arc<Shared>,
        options: SessionOptions,
    ) -> Result<Session, SqlError> {
        let kept = Arc::new(Account::new(database.0.config.session_kept));
        let start = |settings: &mut settings::Settings| {
            settings.charge_to(&kept, &database.0.kept);
            settings.set_user(&options.user);
            settings.set_place(database.0.cluster.node_id(), &database.0.cluster.region());
            settings.set_startup("application_name", &options.application_name)?;
            if database.0.config.trace {
                settings.set_startup("trace", "on")?;
            }
            options
                .parameters
                .iter()
                .try_for_each(|(name, value)| settings.set_startup(name, value))
        };
        if let Err(error) = shared.with_settings(start) {
            database.forget_session(shared.pid);
            return Err(error);
        }
        let info = Arc::new(expr::SessionInfo {
            user: options.user.clone(),
            session_user: options.user,
            database: DATABASE.to_owned(),
            search_path: vec!["public".to_owned()],
            backend_pid: shared.pid,
            version: format!(
                "PostgreSQL {} (Meridian {}) compatible",
                settings::SERVER_VERSION,
                env!("CARGO_PKG_VERSION")
            ),
        });
        let hooks = Arc::new(hooks::SessionHooks::new(database.clone(), shared.clone()));
        Ok(Session {
            database,
            kept,
            shared,
            open: None,
            named: BTreeMap::new(),
            portals: BTreeSet::new(),
            in_company: false,
            last_commit: Timestamp::ZERO,
            last_read: None,
            lost_age: None,
            last_stats: None,
            traces: traced::Traces::default(),
            info,
            hooks,
        })
    }

    /// The statements of a text, maybe none.
    ///
    /// # Errors
    /// `42601` with the place, and the limits of [`crate::Statement`].
    pub fn parse(&self, sql: &str) -> Result<Vec<Statement>, SqlError> {
        self.read(sql).map(|statements| statements.to_vec())
    }

    /// Reads a text; the client is told which names were cut.
    fn read(&self, sql: &str) -> Result<Arc<[Statement]>, SqlError> {
        let statements = self.database.parse(sql)?;
        for name in statements.iter().flat_map(|statement| statement.shortened()) {
            let message =
                format!("identifier \"{}\" will be truncated to \"{}\"", name.from, name.to);
            self.shared.notice(Notice::new("NOTICE", SqlState::NAME_TOO_LONG, message));
        }
        Ok(statements)
    }

    /// Makes a statement ready. `param_types` are what the client declared; the rest is inferred.
    ///
    /// # Errors
    /// What binding finds wrong.
    pub async fn prepare(
        &mut self,
        statement: &Statement,
        param_types: &[Option<Type>],
    ) -> Result<Prepared, SqlError> {
        self.begin_clock();
        let levels = stack::syntax(statement.levels());
        Roomy::new(levels, self.prepare_in_room(statement, param_types)).await
    }

    /// Boxed behind a plain function, so that what it is made of is compiled here, once, and not in
    /// every crate that awaits it.
    fn prepare_in_room<'a>(
        &'a mut self,
        statement: &'a Statement,
        param_types: &'a [Option<Type>],
    ) -> BoxFuture<'a, Result<Prepared, SqlError>> {
        Box::pin(async move {
            let failed = self.status() == TxnStatus::Failed;
            if failed && !transaction::ends_block(statement) {
                return Err(transaction::aborted());
            }
            // Planning may read the catalog, which a node that must not serve cannot.
            self.refuse_if_stopped(statement)?;
            let mut plan = None;
            let (params, columns) = match statement.kind() {
                Kind::Utility(utility) => {
                    let columns = self.utility_columns(statement, utility, param_types).await?;
                    match &**utility {
                        Utility::AsOf(as_of, inner) => {
                            let part = statement.part((**inner).clone());
                            let inner = self.plan(&part, param_types).await;
                            let mut params =
                                inner.map_err(|error| error.into_sql(None))?.params.clone();
                            crate::bind::count_as_of(as_of, param_types, &mut params);
                            (params, columns)
                        }
                        _ => (Vec::new(), columns),
                    }
                }
                Kind::Ast(_) if crate::ddl::is_ddl(statement) => (Vec::new(), None),
                Kind::Ast(_) => {
                    let made = self.plan(statement, param_types).await;
                    let made = made.map_err(|error| error.into_sql(None))?;
                    let columns = (!made.columns.is_empty()).then(|| made.columns.clone());
                    plan = Some(made.clone());
                    (made.params.clone(), columns)
                }
            };
            Ok(Prepared(Arc::new(PreparedInner {
                statement: statement.clone(),
                declared: param_types.to_vec(),
                params,
                columns,
                plan: Mutex::new(plan),
                held: OnceLock::new(),
            })))
        })
    }

    /// The same for a client that waits: within the statement's time, and until it is cancelled.
    ///
    /// # Errors
    /// Also `57014`.
    pub async fn prepare_for_client(
        &mut self,
        statement: &Statement,
        param_types: &[Option<Type>],
    ) -> Result<Prepared, SqlError> {
        let (shared, deadline) = (self.shared.clone(), self.deadline());
        shared.set_statement(Some(statement.clone()));
        let prepare = async { Ok(self.prepare(statement, param_types).await?) };
        let prepared = run::guarded(&shared, deadline, prepare).await;
        shared.set_statement(None);
        Ok(prepared?)
    }

    /// Runs a prepared statement with values for its parameters, each of its parameter's type.
    /// [`Session::end_pipeline`] must follow, behind it or behind more of the kind: until then an
    /// error takes back what it set.
    ///
    /// # Errors
    /// What the statement fails with. In a transaction block the block has failed then.
    pub async fn execute(
        &mut self,
        prepared: &Prepared,
        params: Vec<Datum>,
    ) -> Result<Execution, SqlError> {
        if params.len() != prepared.0.params.len() {
            return Err(SqlError::new(
                SqlState::PROTOCOL_VIOLATION,
                format!(
                    "bind message supplies {} parameters, but prepared statement requires {}",
                    params.len(),
                    prepared.0.params.len()
                ),
            ));
        }
        self.begin_clock();
        self.shared.with_settings(settings::Settings::begin);
        self.shared.set_statement(Some(prepared.0.statement.clone()));
        let levels = stack::syntax(prepared.0.statement.levels());
        let result = Roomy::new(levels, self.dispatch(prepared, &params)).await;
        self.shared.set_statement(None);
        if result.is_err() {
            self.fail_block().await;
        }
        result
    }

    /// The state of the transaction block.
    #[must_use]
    pub fn status(&self) -> TxnStatus {
        match &self.open {
            Some(open) if open.block == Block::Explicit && open.failed => TxnStatus::Failed,
            Some(open) if open.block == Block::Explicit => TxnStatus::InTransaction,
            _ => TxnStatus::Idle,
        }
    }

    /// Notices since the last call, in order.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        self.shared.take_notices()
    }

    /// What the settings mean now.
    #[must_use]
    pub fn effective(&self) -> Arc<settings::Effective> {
        self.shared.with_settings(settings::Settings::effective)
    }

    /// Names of the protocol's portals: whoever makes and closes them tells here.
    pub fn portals(&mut self) -> &mut BTreeSet<String> {
        &mut self.portals
    }

    /// Cancels what this session runs, from anywhere.
    #[must_use]
    pub fn cancel_handle(&self) -> CancelHandle {
        CancelHandle(self.shared.clone())
    }

    /// Tells who asks whether the client is still there: also a statement that computes without a pause
    /// ends when it is not. `is_there` answers at once.
    ///
    /// # Panics
    /// It was told before.
    pub fn watch_client(&self, is_there: impl Fn() -> bool + Send + Sync + 'static) {
        self.shared.watch_client(is_there);
    }

    /// The session's number on its node, as `pg_backend_pid()` tells it.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.shared.pid
    }

    /// Ends the session: rolls back, and leaves no lock.
    pub async fn close(mut self) {
        self.rollback_open().await;
    }

    /// Runs one statement, whatever it is; boxed as [`Session::prepare_in_room`] is.
    fn dispatch<'a>(
        &'a mut self,
        prepared: &'a Prepared,
        params: &'a [Datum],
    ) -> BoxFuture<'a, Result<Execution, SqlError>> {
        Box::pin(async move {
            let statement = prepared.0.statement.clone();
            if self.open.as_ref().is_some_and(|open| open.failed)
                && !transaction::ends_block(&statement)
            {
                return Err(transaction::aborted());
            }
            self.refuse_if_stopped(&statement)?;
            match statement.kind() {
                Kind::Utility(utility) => self.utility(prepared, utility, params).await,
                Kind::Ast(_) if crate::ddl::is_ddl(&statement) => {
                    self.change_schema(&statement).await
                }
                Kind::Ast(_) => self.run(prepared, params).await,
            }
        })
    }

    /// What an expression may know at this moment.
    #[must_use]
    pub fn context(&self) -> EvalContext {
        let statement_time = self.database.micros();
        let transaction_time =
            self.open.as_ref().map_or(statement_time, |open| open.transaction_time);
        let effective = self.effective();
        EvalContext {
            transaction_time,
            statement_time,
            timezone: effective.timezone,
            bytea: effective.bytea,
            session: self.info.clone(),
            hooks: Some(self.hooks.clone()),
            spent: Arc::default(),
        }
    }

    /// The columns of what is no query; `None`: no rows.
    async fn utility_columns(
        &mut self,
        statement: &Statement,
        utility: &Utility,
        param_types: &[Option<Type>],
    ) -> Result<Option<Arc<[ResultColumn]>>, SqlError> {
        Ok(match utility {
            Utility::Show(show) => Some(show::columns(show)),
            Utility::Explain(..) => Some(crate::explain::columns()),
            Utility::Check(_) => Some(crate::check::columns()),
            Utility::Execute(name, _) => {
                let prepared = self.named.get(name).ok_or_else(|| utility::no_statement(name))?;
                prepared.columns().cloned()
            }
            Utility::AsOf(_, inner) => {
                let part = statement.part((**inner).clone());
                let plan =
                    self.plan(&part, param_types).await.map_err(|error| error.into_sql(None))?;
                Some(plan.columns.clone())
            }
            _ => None,
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.end_txn();
        self.database.forget_session(self.shared.pid);
    }
}

impl From<Failure> for SqlError {
    fn from(failure: Failure) -> SqlError {
        failure.into_sql(None)
    }
}
