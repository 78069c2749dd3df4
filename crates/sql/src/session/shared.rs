//! What others may see of a session while it runs: its register entry.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use expr::{SqlError, SqlState};
use keys::{SchemaVersion, TableId, TxnId};
use timer::Instant;
use tokio::sync::Notify;

use super::{Notice, SessionOptions, settings::Settings};
use crate::{catalog::Catalog, parse::Statement};

/// Notices that wait for the client to take them; further ones are dropped.
const MAX_PENDING: usize = 1_000;

/// `57014`: somebody asked for it.
pub fn cancelled() -> SqlError {
    SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to user request")
}

/// `57014`: the statement's time is over.
pub fn timed_out() -> SqlError {
    SqlError::new(SqlState::QUERY_CANCELED, crate::error::STATEMENT_TIMEOUT)
}

/// A session as its database knows it.
#[derive(Debug)]
pub struct Shared {
    /// Its number, as `pg_backend_pid()` tells it.
    pub pid: i32,
    /// Who connected.
    pub user: String,
    state: Mutex<State>,
    /// Rung when the transaction ends.
    ended: Notify,
    /// Rung when the running statement shall be cancelled.
    cancel: Notify,
    /// Who is asked whether the client is still there; nobody if there is no connection.
    client: OnceLock<Presence>,
}

/// Tells at once whether a client is still there.
struct Presence(Box<dyn Fn() -> bool + Send + Sync>);

impl fmt::Debug for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Presence")
    }
}

#[derive(Debug, Default)]
struct State {
    settings: Settings,
    notices: Vec<Notice>,
    txn: Option<TxnId>,
    used: Vec<(TableId, SchemaVersion)>,
    statement: Option<Statement>,
    cancel_wanted: bool,
    /// When what runs must be done; `None`: nothing has run yet.
    deadline: Option<Instant>,
}

impl Shared {
    /// A fresh one.
    pub fn new(pid: i32, options: &SessionOptions) -> Shared {
        Shared {
            pid,
            user: options.user.clone(),
            state: Mutex::default(),
            ended: Notify::new(),
            cancel: Notify::new(),
            client: OnceLock::new(),
        }
    }

    /// What computes without a pause asks this whether anybody waits for it.
    pub fn watch_client(&self, is_there: impl Fn() -> bool + Send + Sync + 'static) {
        let known = self.client.set(Presence(Box::new(is_there)));
        assert!(known.is_ok(), "a session has one client");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the settings.
    pub fn with_settings<T>(&self, look: impl FnOnce(&mut Settings) -> T) -> T {
        look(&mut self.state().settings)
    }

    /// Leaves a notice for the client.
    pub fn notice(&self, notice: Notice) {
        let mut state = self.state();
        if state.notices.len() < MAX_PENDING {
            state.notices.push(notice);
        }
    }

    /// The notices since the last call.
    pub fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut self.state().notices)
    }

    /// The transaction that runs, if any.
    pub fn txn(&self) -> Option<TxnId> {
        self.state().txn
    }

    /// Notes that this transaction runs now, in place of the one before.
    pub fn set_txn(&self, txn: TxnId) {
        self.state().txn = Some(txn);
    }

    /// Notes that the transaction uses these tables. Whoever changes one of them afterwards waits
    /// for the transaction's end.
    pub fn note_used(&self, tables: &[(TableId, SchemaVersion)]) {
        let mut state = self.state();
        for table in tables {
            if !state.used.contains(table) {
                state.used.push(*table);
            }
        }
    }

    /// The tables the transaction uses.
    pub fn used(&self) -> Vec<(TableId, SchemaVersion)> {
        self.state().used.clone()
    }

    /// Notes that no transaction runs any more.
    pub fn end_txn(&self) {
        let mut state = self.state();
        state.txn = None;
        state.used.clear();
        drop(state);
        self.ended.notify_waiters();
    }

    /// The statement that runs, for `SHOW SESSIONS`.
    pub fn statement(&self) -> Option<Statement> {
        self.state().statement.clone()
    }

    /// Notes what runs.
    pub fn set_statement(&self, statement: Option<Statement>) {
        let mut state = self.state();
        state.statement = statement;
        state.cancel_wanted = false;
    }

    /// Notes when what runs now must be done.
    pub fn set_deadline(&self, deadline: Instant) {
        self.state().deadline = Some(deadline);
    }

    /// `57014` if what runs shall end: for what computes long without a pause.
    pub fn go_on(&self) -> Result<(), SqlError> {
        if self.client.get().is_some_and(|Presence(is_there)| !is_there()) {
            return Err(cancelled());
        }
        let state = self.state();
        if state.cancel_wanted {
            return Err(cancelled());
        }
        match state.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(timed_out()),
            _ => Ok(()),
        }
    }

    /// Cancels the statement that runs; nothing if none does.
    pub fn cancel(&self) {
        let mut state = self.state();
        if state.statement.is_some() {
            state.cancel_wanted = true;
            drop(state);
            self.cancel.notify_waiters();
        }
    }

    /// Returns once the running statement shall be cancelled.
    pub async fn cancelled(&self) {
        loop {
            let rung = self.cancel.notified();
            tokio::pin!(rung);
            rung.as_mut().enable();
            if self.state().cancel_wanted {
                return;
            }
            rung.await;
        }
    }

    /// Returns once no transaction of the session uses a table as it was before this catalog.
    pub async fn wait_until_free_of(&self, catalog: &Catalog) {
        loop {
            let rung = self.ended.notified();
            tokio::pin!(rung);
            rung.as_mut().enable();
            if crate::database::is_current(&self.state().used, catalog) {
                return;
            }
            rung.await;
        }
    }
}
