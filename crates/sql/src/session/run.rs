//! Running planned statements: in the open transaction, or in one of their own that is retried.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use clock::Timestamp;
use expr::{Datum, SqlError, SqlState, Type};
use keys::{SchemaVersion, TableId, TxnId};
use timer::Instant;
use txn::{Access, Isolation, Retriable, Txn, TxnOptions, WriteLocks};

use super::{
    Execution, Notice, Prepared, Session, past, shared, traced,
    transaction::{Block, Open},
};
use crate::{
    bind::{self, Snapshot},
    catalog::Catalog,
    database::{PlanKey, is_current},
    error::{Failure, Outcome},
    exec::{self, Done, Environment},
    parse::{Kind, Statement},
    plan::{Body, Plan},
    room::{self, Roomy},
    turns::Long,
};

/// How often a statement is planned anew because its tables changed under it.
const MAX_REPLANS: usize = 10;

/// How much later than the statement's deadline its timer goes off. The ranges are asked until the
/// deadline, and their last answers are waited for a quarter of a second longer; so whatever ends
/// there ends with its own error, which names the range, its replicas and what is missing, and the
/// timer only stops what asks no range.
pub(super) const TIMER_MARGIN: Duration = Duration::from_millis(400);

impl Session {
    /// When the statement that begins now must be done.
    pub(super) fn deadline(&self) -> Instant {
        self.database.deadline(self.effective().statement_timeout)
    }

    /// A statement's time begins: also what computes without a pause sees when it is over.
    pub(super) fn begin_clock(&self) {
        self.shared.set_deadline(self.deadline());
    }

    /// A plan of the statement for the catalog as it is now.
    pub(super) async fn plan(
        &self,
        statement: &Statement,
        params: &[Option<Type>],
    ) -> Outcome<Arc<Plan>> {
        if let Some(plan) = self.plan_without_tables(statement, params) {
            return Ok(plan);
        }
        let catalog = self.usable_catalog().await?;
        self.plan_for(statement, params, catalog).await
    }

    /// A plan of a statement that uses no table, where the catalog would have to be read first:
    /// what needs no range needs no quorum. What the catalog does not know may be a table by now.
    fn plan_without_tables(
        &self,
        statement: &Statement,
        params: &[Option<Type>],
    ) -> Option<Arc<Plan>> {
        let catalog = self.database.catalog_out_of_date()?;
        let plan = bind::plan(statement, params, &catalog, &self.context()).ok()?;
        plan.tables.is_empty().then(|| Arc::new(plan))
    }

    /// A catalog that may be used now, waited for as long as the statement may take.
    pub(super) async fn usable_catalog(&self) -> Outcome<Arc<Catalog>> {
        let deadline = self.deadline();
        let reading = self.database.catalog_until(Some(deadline));
        guarded(&self.shared, deadline, reading).await
    }

    async fn plan_for(
        &self,
        statement: &Statement,
        params: &[Option<Type>],
        catalog: Arc<Catalog>,
    ) -> Outcome<Arc<Plan>> {
        let context = self.context();
        let key = PlanKey {
            text: statement.sql().into(),
            params: params.to_vec(),
            timezone: self.setting("timezone")?,
            bytea_output: self.setting("bytea_output")?,
        };
        if let Some(plan) = self.database.cached_plan(&key, &catalog) {
            return Ok(plan);
        }
        let length = statement.sql().len();
        let planned = room::aside(length, || bind::plan(statement, params, &catalog, &context));
        let plan = match planned {
            Ok(plan) => plan,
            Err(error) if may_be_stale(&error) => {
                // Another gateway may have made it since the catalog was read.
                let catalog = self.database.0.cache.strong().await?;
                room::aside(length, || bind::plan(statement, params, &catalog, &context))?
            }
            Err(error) => return Err(error.into()),
        };
        let plan = Arc::new(plan);
        if !plan.momentary {
            self.database.keep_plan(key, &plan);
        }
        Ok(plan)
    }

    /// The plan of a prepared statement, good for the catalog as it is now.
    async fn current_plan(&self, prepared: &Prepared) -> Outcome<Arc<Plan>> {
        let kept = prepared.plan();
        if let Some(plan) = kept.as_ref().filter(|plan| plan.tables.is_empty()) {
            return Ok(plan.clone());
        }
        let catalog = self.usable_catalog().await?;
        if let Some(plan) = kept.filter(|plan| is_current(&plan.tables, &catalog)) {
            return Ok(plan);
        }
        let inner = &prepared.0;
        let plan = self.plan_for(&inner.statement, &inner.declared, catalog).await?;
        prepared.expect_columns(Some(&plan.columns))?;
        if plan.params != inner.params {
            let message = "cached plan must not change the types of its parameters";
            return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).into());
        }
        prepared.keep_plan(&plan);
        Ok(plan)
    }

    /// Runs a planned statement, in the open transaction or in one of its own.
    pub(super) async fn run(
        &mut self,
        prepared: &Prepared,
        params: &[Datum],
    ) -> Result<Execution, SqlError> {
        let deadline = self.deadline();
        self.shared.set_deadline(deadline);
        if self.open.is_some() {
            return self.run_in_open(prepared, params, deadline).await;
        }
        let mut options = self.default_options();
        if self.effective().lock_timeout.is_some() {
            // Only a lock that is asked for by itself can be waited for by itself: a commit that was sent
            // is waited for to its end.
            options.write_locks = WriteLocks::AtRead;
        }
        self.run_alone(prepared, params, options, deadline).await
    }

    /// Runs a query at a past snapshot.
    pub(super) async fn run_as_of(
        &mut self,
        prepared: &Prepared,
        kind: &Kind,
        as_of: &crate::parse::AsOf,
        params: &[Datum],
    ) -> Result<Execution, SqlError> {
        if self.open.is_some() {
            return Err(SqlError::unsupported("AS OF SYSTEM TIME inside a transaction block")
                .with_detail("All statements of a block read one snapshot.")
                .with_hint("Begin the block with BEGIN AS OF SYSTEM TIME, or end it first."));
        }
        let context = self.context();
        let as_of = bind::as_of_given(as_of, params, &context)?;
        let snapshot = bind::snapshot(&as_of, &context)?;
        // The values are of the types that the statement was prepared with.
        let types: Vec<_> = prepared.param_types().iter().copied().map(Some).collect();
        let part = self.prepare(&prepared.statement().part(kind.clone()), &types).await?;
        prepared.expect_columns(part.columns())?;
        let deadline = self.deadline();
        let at = match snapshot {
            Snapshot::At(at) => at,
            Snapshot::NotBefore(least) => {
                let plan = self.current_plan(&part).await?;
                past::newest_nearby(&self.database, &plan, least, deadline).await?
            }
        };
        let options =
            TxnOptions { access: Access::ReadOnly, as_of: Some(at), ..self.default_options() };
        self.run_alone(&part, params, options, deadline).await
    }

    async fn run_in_open(
        &mut self,
        prepared: &Prepared,
        params: &[Datum],
        deadline: Instant,
    ) -> Result<Execution, SqlError> {
        let mut span = self.statement_span(prepared.statement());
        let plan = trace::within(&span, pin!(self.current_plan(prepared))).await?;
        let mut open = self.open.take().expect("a transaction is open");
        let work = self.attempt_in_open(&mut open, &plan, params, deadline);
        let result = trace::within(&span, pin!(work)).await;
        let age = open.txn.priority();
        self.open = Some(open);
        let catalog = self.database.0.cache.current().map(|(catalog, _)| catalog);
        let result = result.map_err(|failure| failure.into_sql(catalog.as_deref()));
        if let Err(error) = &result {
            self.note_conflict(error, age);
        }
        traced::note(&mut span, &result);
        result
    }

    async fn attempt_in_open(
        &mut self,
        open: &mut Open,
        plan: &Arc<Plan>,
        params: &[Datum],
        deadline: Instant,
    ) -> Outcome<Execution> {
        let bound = self.use_tables(plan)?;
        for table in &plan.tables {
            let moved = open.used.iter().any(|used| used.0 == table.0 && used.1 != table.1);
            if moved {
                return Err(Failure::SchemaMoved);
            }
            if !open.used.contains(table) {
                open.used.push(*table);
            }
        }
        refuse_writes(plan, open.options.access)?;
        if let Some(bound) = self.bound_of(&open.used) {
            open.bound = bound;
        } else if open.bound == Timestamp::ZERO {
            open.bound = bound;
        }
        open.begun = true;
        let mut context = self.context();
        context.transaction_time = open.transaction_time;
        open.txn.set_deadline(Some(deadline));
        if !open.used.is_empty() || open.txn.isolation() != Isolation::ReadCommitted {
            open.txn.begin_statement().await?;
        }
        if let Some(at) = open.options.as_of {
            past::require(&self.database, &mut open.txn, &plan.tables, at).await?;
        }
        let work = self.work(&mut open.txn, plan, params, context, deadline);
        let done = guarded(&self.shared, deadline, work).await?;
        // A lock may have moved the snapshot that earlier statements read at as well (X1a).
        let relies = open.txn.isolation() != Isolation::ReadCommitted && !open.used.is_empty();
        reads_below(&open.txn, if relies { bound.min(open.bound) } else { bound })?;
        self.last_read = open.txn.read_timestamp().or(self.last_read);
        Ok(answer(plan, done))
    }

    /// Runs a statement in transactions of its own until one commits (X10).
    async fn run_alone(
        &mut self,
        prepared: &Prepared,
        params: &[Datum],
        options: TxnOptions,
        deadline: Instant,
    ) -> Result<Execution, SqlError> {
        let (mut span, mut first) = (trace::Span::none(), None);
        if self.is_traced() {
            let id = self.database.0.coordinator.draw_id();
            let text = traced::told(prepared.statement().sql());
            (span, first) = (self.begin_trace(id, trace::Kind::Statement, text), Some(id));
        }
        let work = self.run_attempts(prepared, params, options, deadline, first);
        let result = trace::within(&span, pin!(work)).await;
        traced::note(&mut span, &result);
        result
    }

    /// The attempts of a statement; the first is named by `first` if that is given.
    async fn run_attempts(
        &mut self,
        prepared: &Prepared,
        params: &[Datum],
        mut options: TxnOptions,
        deadline: Instant,
        first: Option<TxnId>,
    ) -> Result<Execution, SqlError> {
        let mut replans = 0;
        let mut plan = self.current_plan(prepared).await?;
        refuse_writes(&plan, options.access)?;
        if only_reads(&plan) {
            options.access = Access::ReadOnly;
        }
        let coordinator = self.database.0.coordinator.clone();
        let as_of = options.as_of;
        let mut attempts = coordinator.attempts(options, deadline);
        if let Some(id) = first {
            attempts = attempts.named(id);
        }
        let result = loop {
            let mut txn = attempts.begin();
            txn.set_deadline(Some(deadline));
            self.shared.set_txn(txn.id());
            let existed = match as_of {
                Some(at) => past::require(&self.database, &mut txn, &plan.tables, at).await,
                None => Ok(()),
            };
            let result = match existed {
                Ok(()) => self.attempt_alone(&mut txn, &plan, params, deadline).await,
                Err(failure) => Err(failure),
            };
            let failure = match result {
                Ok(execution) => break Ok(execution),
                Err(failure) => failure,
            };
            if matches!(failure, Failure::SchemaMoved) && replans < MAX_REPLANS {
                txn.rollback().await;
                self.shared.end_txn();
                replans += 1;
                plan = match self.current_plan(prepared).await {
                    Ok(plan) => plan,
                    Err(failure) => break Err(failure),
                };
                continue;
            }
            let retry = match failure.txn_error() {
                Some(error) => attempts.again(error, &mut txn).await,
                None => false,
            };
            if !retry {
                if !txn.is_finished() {
                    txn.rollback().await;
                }
                break Err(failure);
            }
            self.shared.end_txn();
        };
        self.shared.end_txn();
        let catalog = self.database.0.cache.current().map(|(catalog, _)| catalog);
        result.map_err(|failure| failure.into_sql(catalog.as_deref()))
    }

    async fn attempt_alone(
        &mut self,
        txn: &mut Txn,
        plan: &Arc<Plan>,
        params: &[Datum],
        deadline: Instant,
    ) -> Outcome<Execution> {
        let bound = self.use_tables(plan)?;
        let context = self.context();
        let done = {
            let work = self.work(txn, plan, params, context, deadline);
            guarded(&self.shared, deadline, work).await?
        };
        reads_below(txn, bound)?;
        self.commit_txn(txn, &plan.tables, bound).await?;
        Ok(answer(plan, done))
    }

    /// Registers the plan's tables, then looks whether they are still as planned: whoever changes
    /// them from now on waits for this transaction.
    /// Answers with the end of the lease under which they are.
    fn use_tables(&self, plan: &Plan) -> Outcome<Timestamp> {
        if plan.tables.is_empty() {
            return Ok(Timestamp::MAX);
        }
        self.shared.note_used(&plan.tables);
        self.bound_of(&plan.tables).ok_or(Failure::SchemaMoved)
    }

    /// The end of the lease of the newest catalog, if these tables are current in it.
    pub(super) fn bound_of(&self, used: &[(TableId, SchemaVersion)]) -> Option<Timestamp> {
        let (catalog, _) = self.database.0.cache.current()?;
        is_current(used, &catalog).then(|| catalog.until)
    }

    async fn work(
        &self,
        txn: &mut Txn,
        plan: &Arc<Plan>,
        params: &[Datum],
        context: expr::EvalContext,
        deadline: Instant,
    ) -> Outcome<Done> {
        let (commit, read) = self.timestamps();
        let environment = Environment {
            database: &self.database,
            txn,
            context,
            deadline,
            lock_timeout: self.effective().lock_timeout,
            last_commit: commit,
            last_read: read,
        };
        let work = Roomy::new(plan.levels, Box::pin(exec::run(plan, params, environment)));
        if plan.long { Long::new(work).await } else { work.await }
    }

    /// Runs a schema change: at once, in transactions of its own.
    pub(super) async fn change_schema(
        &mut self,
        statement: &Statement,
    ) -> Result<Execution, SqlError> {
        let access = match &self.open {
            Some(open) => open.options.access,
            None => self.default_options().access,
        };
        if access == Access::ReadOnly {
            return Err(SqlError::new(
                SqlState::READ_ONLY_SQL_TRANSACTION,
                "cannot change the schema in a read-only transaction",
            ));
        }
        match &self.open {
            Some(open) if open.block == Block::Implicit => self.commit_open().await?,
            Some(_) => {
                self.refuse_own_tables(statement).await?;
                let mut notice = Notice::new(
                    "WARNING",
                    SqlState::WARNING,
                    "a schema change takes effect at once, a rollback does not take it back",
                );
                notice.detail = Some("It runs in transactions of its own.".to_owned());
                self.shared.notice(notice);
            }
            None => {}
        }
        crate::ddl::run(self, statement).await
    }

    /// A change of a table waits for the transactions that use it: for its own it would wait for ever.
    async fn refuse_own_tables(&self, statement: &Statement) -> Result<(), SqlError> {
        let used = self.used_by_open();
        let catalog = self.database.catalog().await?;
        for name in crate::ddl::changed_tables(statement, &catalog) {
            if used.iter().any(|(id, _)| catalog.table(&name).is_some_and(|t| t.id == *id)) {
                return Err(SqlError::new(
                    SqlState::OBJECT_IN_USE,
                    format!(
                        "cannot change table \"{name}\" because it is used by this transaction"
                    ),
                )
                .with_detail(
                    "A schema change takes effect at once and waits for the transactions that use \
                     the table: for its own it would wait for ever.",
                )
                .with_hint("Commit first, or change the schema before the transaction uses it."));
            }
        }
        Ok(())
    }

    /// The tables that the open transaction used, for a schema change in its midst.
    pub(super) fn used_by_open(&self) -> Vec<(TableId, SchemaVersion)> {
        self.open.as_ref().map(|open| open.used.clone()).unwrap_or_default()
    }
}

/// Whether a statement failed to find something that another gateway may just have made.
fn may_be_stale(error: &SqlError) -> bool {
    matches!(
        error.sqlstate,
        SqlState::UNDEFINED_TABLE | SqlState::UNDEFINED_COLUMN | SqlState::INVALID_COLUMN_REFERENCE
    )
}

/// What is read by a plan is read below the end of the lease under which its tables were current: a
/// gateway that stood still between the two may otherwise look into what nobody keeps any more.
fn reads_below(txn: &Txn, bound: Timestamp) -> Outcome<()> {
    match txn.read_timestamp() {
        Some(at) if at >= bound => Err(Failure::SchemaMoved),
        Some(_) | None => Ok(()),
    }
}

/// Whether a plan neither writes nor locks.
fn only_reads(plan: &Plan) -> bool {
    matches!(&plan.body, Body::Query(node) if !exec::locks(node))
}

/// `25006` for what writes or locks in a read-only transaction.
fn refuse_writes(plan: &Plan, access: Access) -> Result<(), SqlError> {
    let what = match &plan.body {
        _ if access == Access::ReadWrite => return Ok(()),
        Body::Query(node) if exec::locks(node) => "SELECT FOR UPDATE",
        Body::Query(_) => return Ok(()),
        Body::Insert(_) => "INSERT",
        Body::Update(_) => "UPDATE",
        Body::Delete(_) => "DELETE",
        Body::Truncate(_) => "TRUNCATE TABLE",
    };
    let message = format!("cannot execute {what} in a read-only transaction");
    Err(SqlError::new(SqlState::READ_ONLY_SQL_TRANSACTION, message))
}

/// Runs something under the session's cancel and, [`TIMER_MARGIN`] later, the statement's deadline.
pub(super) async fn guarded<T>(
    shared: &super::Shared,
    deadline: Instant,
    work: impl Future<Output = Outcome<T>>,
) -> Outcome<T> {
    tokio::select! {
        biased;
        done = work => done,
        () = shared.cancelled() => Err(shared::cancelled().into()),
        () = timer::sleep_until(deadline + TIMER_MARGIN) => Err(shared::timed_out().into()),
    }
}

/// What the client gets.
fn answer(plan: &Plan, done: Done) -> Execution {
    let Done { rows, count } = done;
    let tag = match &plan.body {
        Body::Query(_) => format!("SELECT {count}"),
        Body::Insert(_) => format!("INSERT 0 {count}"),
        Body::Update(_) => format!("UPDATE {count}"),
        Body::Delete(_) => format!("DELETE {count}"),
        Body::Truncate(_) => "TRUNCATE TABLE".to_owned(),
    };
    match rows {
        Some(rows) => Execution::Rows { columns: plan.columns.clone(), rows, tag },
        None => Execution::Done { tag },
    }
}
