//! Transaction blocks: their beginning, their end, their savepoints.

use std::pin::pin;

use clock::Timestamp;
use expr::{SqlError, SqlState};
use futures::future::BoxFuture;
use keys::{SchemaVersion, TableId};
use txn::{Access, CommitInfo, Isolation, Txn, TxnOptions, WriteLocks};

use super::{Execution, Notice, Session, held::Held, settings};
use crate::{
    database::is_current,
    error::Failure,
    parse::{
        BeginTag, Chain, IsolationName, Kind, Mode, SetScope, Statement, TransactionModes, Utility,
    },
};

/// How a transaction that is open came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// By `BEGIN`.
    Explicit,
    /// By several statements in one text or one pipeline.
    Implicit,
}

/// Savepoints that a transaction may have. Beyond: `54000`.
const MAX_SAVEPOINTS: usize = 10_000;
/// Bytes that a savepoint takes, about, beside its name, here and in all that goes back to it.
const SAVEPOINT_BYTES: usize = 128;

/// A savepoint.
#[derive(Debug)]
pub struct Savepoint {
    /// Its name; a younger one with the same hides it.
    name: String,
    /// Its memory.
    _held: Held,
}

/// The open transaction of a session.
#[derive(Debug)]
pub struct Open {
    /// The transaction.
    pub txn: Txn,
    /// How it came about.
    pub block: Block,
    /// Whether a statement failed: nothing but the end is possible.
    pub failed: bool,
    /// Whether even a savepoint does not help: the transaction is gone.
    pub dead: bool,
    /// `now()` of its statements.
    pub transaction_time: i64,
    /// What it was begun with.
    pub options: TxnOptions,
    /// The isolation level as it was asked for.
    pub level: IsolationName,
    /// Whether a statement ran, so that its modes cannot change any more.
    pub begun: bool,
    /// The tables it used.
    pub used: Vec<(TableId, SchemaVersion)>,
    /// It must commit below this: the end of the lease under which `used` was last known to be
    /// current.
    pub bound: Timestamp,
    /// Its savepoints, oldest first.
    pub savepoints: Vec<Savepoint>,
    /// Its timeline; none if it is not traced.
    pub trace: trace::Span,
}

/// Whether a statement may run in a block that failed.
pub fn ends_block(statement: &Statement) -> bool {
    match statement.kind() {
        Kind::Utility(utility) => {
            matches!(**utility, Utility::Commit(_) | Utility::Rollback(_) | Utility::RollbackTo(_))
        }
        Kind::Ast(_) => false,
    }
}

/// Whether a statement in a text or pipeline of several is to be part of their common transaction.
pub fn needs_block(statement: &Statement) -> bool {
    match statement.kind() {
        Kind::Ast(_) => !crate::ddl::is_ddl(statement),
        Kind::Utility(utility) => match &**utility {
            Utility::Explain(_, inner) => needs_block(&statement.part((**inner).clone())),
            utility => matches!(utility, Utility::Execute(..)),
        },
    }
}

/// `25P02`.
pub fn aborted() -> SqlError {
    SqlError::new(
        SqlState::IN_FAILED_SQL_TRANSACTION,
        "current transaction is aborted, commands ignored until end of transaction block",
    )
}

fn no_transaction(what: &str) -> SqlError {
    SqlError::new(
        SqlState::NO_ACTIVE_SQL_TRANSACTION,
        format!("{what} can only be used in transaction blocks"),
    )
}

/// The transaction layer's level.
pub fn isolation(level: IsolationName) -> Isolation {
    match level {
        IsolationName::Serializable => Isolation::Serializable,
        IsolationName::RepeatableRead => Isolation::RepeatableRead,
        IsolationName::ReadCommitted | IsolationName::ReadUncommitted => Isolation::ReadCommitted,
    }
}

impl Session {
    /// The level that new transactions get.
    pub(super) fn default_level(&self) -> IsolationName {
        self.effective().isolation
    }

    /// What a transaction begun now is asked for, before any modes.
    pub(super) fn default_options(&self) -> TxnOptions {
        let effective = self.effective();
        TxnOptions {
            isolation: isolation(effective.isolation),
            access: if effective.read_only { Access::ReadOnly } else { Access::ReadWrite },
            after: self.last_commit,
            ..TxnOptions::default()
        }
    }

    fn open_with(&mut self, options: TxnOptions, level: IsolationName, block: Block) {
        assert!(self.open.is_none(), "a transaction is open already");
        let priority = match block {
            // A client that begins anew after a conflict keeps its place among the others (X5).
            Block::Explicit => options.priority.or(self.lost_age.take()),
            Block::Implicit => options.priority,
        };
        let options = TxnOptions { priority, write_locks: WriteLocks::AtRead, ..options };
        self.shared.with_settings(settings::Settings::begin);
        let txn = self.database.0.coordinator.begin(options.clone());
        self.shared.set_txn(txn.id());
        let trace = self.begin_trace(txn.id(), trace::Kind::Transaction, "transaction");
        self.open = Some(Open {
            trace,
            txn,
            block,
            failed: false,
            dead: false,
            transaction_time: self.database.micros(),
            options,
            level,
            begun: false,
            used: Vec::new(),
            bound: Timestamp::ZERO,
            savepoints: Vec::new(),
        });
    }

    /// Opens the common transaction of several statements.
    pub(super) fn begin_implicit(&mut self) {
        let (options, level) = (self.default_options(), self.default_level());
        self.open_with(options, level, Block::Implicit);
    }

    /// `BEGIN`.
    pub(super) async fn begin(
        &mut self,
        modes: &TransactionModes,
        tag: BeginTag,
    ) -> Result<Execution, SqlError> {
        let tag = match tag {
            BeginTag::Begin => "BEGIN",
            BeginTag::StartTransaction => "START TRANSACTION",
        };
        if let Some(open) = &mut self.open {
            if open.block == Block::Implicit {
                open.block = Block::Explicit;
            } else {
                self.shared.notice(Notice::new(
                    "WARNING",
                    SqlState::ACTIVE_SQL_TRANSACTION,
                    "there is already a transaction in progress",
                ));
            }
            if !modes.modes.is_empty() {
                self.set_modes(modes)?;
            }
            return Ok(Execution::done(tag));
        }
        let (mut options, mut level) = (self.default_options(), self.default_level());
        self.apply_modes(modes, &mut options, &mut level)?;
        self.open_with(options, level, Block::Explicit);
        Ok(Execution::done(tag))
    }

    fn apply_modes(
        &self,
        modes: &TransactionModes,
        options: &mut TxnOptions,
        level: &mut IsolationName,
    ) -> Result<(), SqlError> {
        for mode in &modes.modes {
            match mode {
                Mode::Isolation(name) => {
                    *level = *name;
                    options.isolation = isolation(*name);
                }
                Mode::ReadOnly => options.access = Access::ReadOnly,
                Mode::ReadWrite => options.access = Access::ReadWrite,
                Mode::Deferrable => {}
                Mode::AsOf(as_of) => {
                    options.as_of = Some(crate::bind::as_of(as_of, &self.context())?);
                    options.access = Access::ReadOnly;
                }
            }
        }
        Ok(())
    }

    /// `SET TRANSACTION`: only before the first statement, unless it changes nothing.
    pub(super) fn set_modes(&mut self, modes: &TransactionModes) -> Result<(), SqlError> {
        let Some(open) = &self.open else {
            self.shared.notice(Notice::new(
                "WARNING",
                SqlState::NO_ACTIVE_SQL_TRANSACTION,
                "SET TRANSACTION can only be used in transaction blocks",
            ));
            return Ok(());
        };
        let (mut options, mut level) = (open.options.clone(), open.level);
        self.apply_modes(modes, &mut options, &mut level)?;
        let open = self.open.as_mut().expect("it is open");
        let tightened = options.access == Access::ReadOnly
            && options.as_of == open.options.as_of
            && level == open.level;
        if open.begun && options.access != open.options.access && !tightened {
            return Err(SqlError::new(
                SqlState::ACTIVE_SQL_TRANSACTION,
                "transaction read-write mode must be set before any query",
            ));
        }
        if open.begun && (level != open.level || options.as_of != open.options.as_of) {
            return Err(SqlError::new(
                SqlState::ACTIVE_SQL_TRANSACTION,
                "SET TRANSACTION ISOLATION LEVEL must be called before any query",
            ));
        }
        if !open.begun && open.savepoints.is_empty() {
            open.txn = self.database.0.coordinator.begin(options.clone());
            self.shared.set_txn(open.txn.id());
        }
        (open.options, open.level) = (options, level);
        Ok(())
    }

    /// `COMMIT`.
    pub(super) async fn commit(&mut self, chain: Chain) -> Result<Execution, SqlError> {
        self.expect_block(chain, "COMMIT AND CHAIN")?;
        let Some(open) = &self.open else {
            self.shared.with_settings(settings::Settings::commit);
            return Ok(Execution::done("COMMIT"));
        };
        let (failed, options, level) = (open.failed, open.options.clone(), open.level);
        let tag = if failed {
            self.rollback_open().await;
            "ROLLBACK"
        } else {
            self.commit_open().await?;
            "COMMIT"
        };
        self.chain(chain, options, level);
        Ok(Execution::done(tag))
    }

    /// `ROLLBACK`.
    pub(super) async fn rollback(&mut self, chain: Chain) -> Result<Execution, SqlError> {
        self.expect_block(chain, "ROLLBACK AND CHAIN")?;
        let Some(open) = &self.open else {
            self.shared.with_settings(settings::Settings::rollback);
            return Ok(Execution::done("ROLLBACK"));
        };
        let (options, level) = (open.options.clone(), open.level);
        self.rollback_open().await;
        self.chain(chain, options, level);
        Ok(Execution::done("ROLLBACK"))
    }

    /// A warning where no transaction block is open; a chain needs one.
    fn expect_block(&self, chain: Chain, chained: &str) -> Result<(), SqlError> {
        if self.open.as_ref().is_some_and(|open| open.block == Block::Explicit) {
            return Ok(());
        }
        if chain == Chain::Yes {
            return Err(no_transaction(chained));
        }
        self.shared.notice(Notice::new(
            "WARNING",
            SqlState::NO_ACTIVE_SQL_TRANSACTION,
            "there is no transaction in progress",
        ));
        Ok(())
    }

    fn chain(&mut self, chain: Chain, options: TxnOptions, level: IsolationName) {
        if chain == Chain::Yes {
            let options = TxnOptions { after: self.last_commit, priority: None, ..options };
            self.open_with(options, level, Block::Explicit);
        }
    }

    /// Commits the open transaction; it is closed whatever comes of it.
    pub(super) fn commit_open(&mut self) -> BoxFuture<'_, Result<(), SqlError>> {
        Box::pin(async move {
            let mut open = self.open.take().expect("a transaction is open");
            open.txn.set_deadline(Some(self.deadline()));
            let commit = self.commit_txn(&mut open.txn, &open.used, open.bound);
            let result = trace::within(&open.trace, pin!(commit)).await;
            if result.is_err() && !open.txn.is_finished() {
                open.txn.rollback().await;
            }
            self.shared.end_txn();
            self.shared.with_settings(|settings| match result {
                Ok(()) => settings.commit(),
                Err(_) => settings.rollback(),
            });
            let catalog = self.database.0.cache.current().map(|(catalog, _)| catalog);
            let result = result.map_err(|failure| failure.into_sql(catalog.as_deref()));
            if let Err(error) = &result {
                self.note_conflict(error, open.txn.priority());
            }
            match &result {
                Ok(()) => open.trace.note("answer", || "COMMIT"),
                Err(error) => open.trace.note("error", || error),
            }
            result
        })
    }

    /// After a conflict, the block that its client begins next is as old as the one that failed.
    pub(super) fn note_conflict(&mut self, error: &SqlError, priority: Timestamp) {
        if error.sqlstate == SqlState::SERIALIZATION_FAILURE {
            self.lost_age = Some(priority);
        }
    }

    /// Commits a transaction that used these tables. If one of them is being changed, whoever changes
    /// it waits for this transaction, but not beyond the lease that it knew the table under.
    pub(super) async fn commit_txn(
        &mut self,
        txn: &mut Txn,
        used: &[(TableId, SchemaVersion)],
        bound: Timestamp,
    ) -> Result<(), Failure> {
        if txn.has_writes() {
            let catalog = self.usable_catalog().await?;
            let current = is_current(used, &catalog);
            let bound = if current { catalog.until } else { bound };
            if bound <= self.database.0.coordinator.clock().now().latest_timestamp() {
                return Err(Failure::SchemaMoved);
            }
            txn.set_not_after(bound);
        }
        self.last_read = txn.read_timestamp().or(self.last_read);
        let wrote = txn.has_writes();
        let info = txn.commit().await?;
        if wrote {
            self.note_commit(info);
        }
        Ok(())
    }

    fn note_commit(&mut self, info: CommitInfo) {
        self.last_commit = self.last_commit.max(info.at);
        self.last_stats = Some(info);
        self.database.0.cluster.committed(&info);
        if self.effective().commit_stats {
            self.shared.notice(Notice::new(
                "NOTICE",
                SqlState::SUCCESSFUL_COMPLETION,
                crate::show::commit_line(&info),
            ));
        }
    }

    /// Rolls back the open transaction, if there is one.
    pub(super) fn rollback_open(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if let Some(mut open) = self.open.take() {
                open.trace.note("answer", || "ROLLBACK");
                if !open.txn.is_finished() {
                    trace::within(&open.trace, pin!(open.txn.rollback())).await;
                }
                self.shared.end_txn();
                self.shared.with_settings(settings::Settings::rollback);
            }
        })
    }

    /// `SET`, for the session or the transaction.
    pub(super) fn set(
        &mut self,
        scope: SetScope,
        change: impl FnOnce(&mut settings::Settings) -> Result<String, SqlError>,
    ) -> Result<(), SqlError> {
        if scope == SetScope::Local && self.open.is_none() && !self.in_company {
            self.shared.notice(Notice::new(
                "WARNING",
                SqlState::NO_ACTIVE_SQL_TRANSACTION,
                "SET LOCAL can only be used in transaction blocks",
            ));
            // It is over at once, but it is checked.
            return self.shared.with_settings(|settings| change(&mut settings.clone())).map(drop);
        }
        self.shared.with_settings(change).map(drop)
    }

    /// A statement failed: so did the block it is in. Without a savepoint to go back to, the
    /// transaction's locks are released at once.
    pub(super) fn fail_block(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.in_company = false;
            let Some(open) = &mut self.open else {
                return self.shared.with_settings(settings::Settings::rollback);
            };
            if open.block == Block::Implicit {
                self.rollback_open().await;
                return;
            }
            open.failed = true;
            open.dead |= open.txn.is_finished();
            if open.savepoints.is_empty() && !open.dead {
                open.txn.rollback().await;
                open.dead = true;
                self.shared.end_txn();
            }
        })
    }

    /// `SAVEPOINT`.
    pub(super) fn savepoint(&mut self, name: &str) -> Result<Execution, SqlError> {
        let held = self.hold(SAVEPOINT_BYTES + 2 * name.len());
        let open = self.open.as_mut().filter(|open| open.block == Block::Explicit);
        let open = open.ok_or_else(|| no_transaction("SAVEPOINT"))?;
        if open.savepoints.len() >= MAX_SAVEPOINTS {
            let message = format!("a transaction has at most {MAX_SAVEPOINTS} savepoints");
            return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
                .with_hint("Release those that are not needed any more."));
        }
        open.savepoints.push(Savepoint { name: name.to_owned(), _held: held? });
        open.txn.savepoint(name);
        self.shared.with_settings(settings::Settings::savepoint);
        Ok(Execution::done("SAVEPOINT"))
    }

    /// `ROLLBACK TO SAVEPOINT`.
    pub(super) fn rollback_to(&mut self, name: &str) -> Result<Execution, SqlError> {
        let open = self.open.as_mut().filter(|open| open.block == Block::Explicit);
        let open = open.ok_or_else(|| no_transaction("ROLLBACK TO SAVEPOINT"))?;
        let found = open.savepoints.iter().rposition(|savepoint| savepoint.name == name);
        let found = found.ok_or_else(|| no_savepoint(name))?;
        if open.dead {
            return Err(SqlError::new(
                SqlState::SERIALIZATION_FAILURE,
                "the transaction has ended: a savepoint cannot bring it back",
            )
            .with_hint("Roll back and run the transaction again."));
        }
        open.txn.rollback_to(name).map_err(|error| crate::error::from_txn(&error))?;
        open.savepoints.truncate(found + 1);
        open.failed = false;
        self.shared.with_settings(|settings| settings.rollback_to(found));
        Ok(Execution::done("ROLLBACK"))
    }

    /// `RELEASE SAVEPOINT`.
    pub(super) fn release(&mut self, name: &str) -> Result<Execution, SqlError> {
        let open = self.open.as_mut().filter(|open| open.block == Block::Explicit);
        let open = open.ok_or_else(|| no_transaction("RELEASE SAVEPOINT"))?;
        let found = open.savepoints.iter().rposition(|savepoint| savepoint.name == name);
        let found = found.ok_or_else(|| no_savepoint(name))?;
        open.txn.release(name).map_err(|error| crate::error::from_txn(&error))?;
        open.savepoints.truncate(found);
        self.shared.with_settings(|settings| settings.release(found));
        Ok(Execution::done("RELEASE"))
    }

    /// The timestamps that `SHOW COMMIT TIMESTAMP` and `SHOW READ TIMESTAMP` tell.
    #[must_use]
    pub fn timestamps(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        let read = self.open.as_ref().and_then(|open| open.txn.read_timestamp());
        let commit = (self.last_commit != Timestamp::ZERO).then_some(self.last_commit);
        (commit, read.or(self.last_read))
    }

    /// The breakdown of the last commit.
    #[must_use]
    pub fn last_commit_info(&self) -> Option<CommitInfo> {
        self.last_stats
    }

    /// The transaction's settings, which `SHOW` tells while it is open.
    pub(super) fn transaction_setting(&self, name: &str) -> Option<String> {
        let open = self.open.as_ref();
        match name {
            "transaction_isolation" => {
                let level = open.map_or_else(|| self.default_level(), |open| open.level);
                Some(level.name().to_owned())
            }
            "transaction_read_only" => {
                let access =
                    open.map_or_else(|| self.default_options().access, |open| open.options.access);
                Some(if access == Access::ReadOnly { "on" } else { "off" }.to_owned())
            }
            _ => None,
        }
    }
}

fn no_savepoint(name: &str) -> SqlError {
    SqlError::new(
        SqlState::INVALID_SAVEPOINT_SPECIFICATION,
        format!("savepoint \"{name}\" does not exist"),
    )
}
