//! What an expression may know besides its row: times, the session, randomness.
//!
//! All of it is given, nothing is asked of the outside: a statement evaluated twice in one context
//! yields the same, except for what goes through [`Hooks`]. The replicas get no hooks: before
//! an expression is pushed down, everything that needs more than the row is folded into constants
//! ([`Expr::fold`](crate::Expr::fold)) or keeps the expression at the gateway.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use serde::{Deserialize, Serialize};

use crate::{
    datetime::TimeZone,
    datum::Datum,
    error::{Result, SqlError, SqlState},
    stack,
};

/// Who asks, and from where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// `current_user`.
    pub user: String,
    /// `session_user`.
    pub session_user: String,
    /// `current_database()`.
    pub database: String,
    /// The schemas searched, first to last; the first is `current_schema()`.
    pub search_path: Vec<String>,
    /// `pg_backend_pid()`.
    pub backend_pid: i32,
    /// `version()`.
    pub version: String,
}

impl Default for SessionInfo {
    fn default() -> SessionInfo {
        SessionInfo {
            user: "root".to_owned(),
            session_user: "root".to_owned(),
            database: "meridian".to_owned(),
            search_path: vec!["public".to_owned()],
            backend_pid: 0,
            version: "PostgreSQL 15.0 (Meridian)".to_owned(),
        }
    }
}

/// What an expression is evaluated in. Times are microseconds since 2000-01-01 UTC, see
/// [`crate::datetime::from_unix_nanos`].
#[derive(Clone, Debug, Default)]
pub struct EvalContext {
    /// `now()`: when the transaction began.
    pub transaction_time: i64,
    /// `statement_timestamp()`: when the statement arrived.
    pub statement_time: i64,
    /// The session's time zone.
    pub timezone: TimeZone,
    /// How the session writes `bytea`.
    pub bytea: ByteaOutput,
    /// The session.
    pub session: Arc<SessionInfo>,
    /// The way to what is no plain data; `None`: functions that need it are refused.
    pub hooks: Option<SharedHooks>,
    /// What evaluating has cost since the last row began.
    pub spent: Arc<Spent>,
}

/// How `bytea` is written as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ByteaOutput {
    /// `\x` and hexadecimal digits.
    #[default]
    Hex,
    /// As characters, with `\ooo` for bytes that are no printable ASCII, and two backslashes for one.
    Escape,
}

/// What evaluating has cost; contexts of one statement share it.
#[derive(Debug, Default)]
pub struct Spent {
    /// Bytes of the values that were made, also of those that are gone again.
    bytes: AtomicUsize,
    /// Work since the session was last asked whether to go on.
    work: AtomicUsize,
    /// Work since somebody last let others run.
    unpaused: AtomicUsize,
    /// Work of the row at hand.
    row_work: AtomicUsize,
    /// Whether the session said at the last look that the statement shall end.
    ended: AtomicBool,
}

/// The most bytes of values that one row's expressions may make, in all. Beyond: `53200`.
pub const MAX_MADE_BYTES: usize = 256 << 20;
/// Smaller values are not counted.
const COUNTED_BYTES: usize = 1 << 10;
/// Work (bytes looked at, steps of long numbers: about a nanosecond each) between two looks at
/// whether the statement shall go on.
const WORK_BETWEEN_LOOKS: usize = 8 << 20;

/// The most work of one row where nobody can be asked whether to go on: about half a second.
const MAX_UNASKED_WORK: usize = 512 << 20;

/// Shared hooks.
pub type SharedHooks = Arc<dyn Hooks>;

/// What a gateway's session offers to functions that are more than their arguments.
pub trait Hooks: Send + Sync + fmt::Debug {
    /// `clock_timestamp()`: microseconds since 2000-01-01 UTC, now.
    fn clock_timestamp(&self) -> i64;

    /// 64 random bits, from the node's seeded generator.
    fn random(&self) -> u64;

    /// The value of a setting as `SHOW` prints it; `None`: no such setting.
    fn setting(&self, name: &str) -> Option<String>;

    /// Sets a setting, for this transaction only if `local`; answers with the value as `SHOW`
    /// prints it.
    ///
    /// # Errors
    /// No such setting, or no such value of it.
    fn set_setting(&self, name: &str, value: &str, local: SettingScope) -> Result<String>;

    /// An error if the statement shall end: it was cancelled, or its time is over.
    ///
    /// # Errors
    /// `57014`.
    fn go_on(&self) -> Result<()> {
        Ok(())
    }

    /// Calls a function that the SQL layer defines ([`Expr::External`](crate::Expr::External)).
    ///
    /// # Errors
    /// Those of the function.
    fn call(&self, name: &str, args: &[Datum]) -> Result<Datum>;
}

/// How long a setting lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingScope {
    /// Up to the end of the session.
    Session,
    /// Up to the end of the transaction.
    Transaction,
}

impl EvalContext {
    /// The hooks.
    ///
    /// # Errors
    /// There are none here: the function `what` needs them.
    pub fn hooks(&self, what: &str) -> Result<&dyn Hooks> {
        self.hooks
            .as_deref()
            .ok_or_else(|| SqlError::unsupported(format_args!("function {what} at this place")))
    }

    /// Begins a row (or whatever is evaluated by itself): what was made before is gone.
    pub fn begin_row(&self) {
        self.spent.bytes.store(0, Ordering::Relaxed);
        self.spent.row_work.store(0, Ordering::Relaxed);
    }

    /// Counts a value that an expression has made.
    ///
    /// # Errors
    /// `53200` if the row's expressions make more than they may.
    pub(crate) fn made(&self, value: &Datum) -> Result<()> {
        let bytes = value.memory();
        if bytes < COUNTED_BYTES {
            return Ok(());
        }
        let before = self.spent.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > MAX_MADE_BYTES {
            let message = "out of memory for the values of this expression";
            return Err(SqlError::new(SqlState::OUT_OF_MEMORY, message).with_detail(format!(
                "One row makes more than {MAX_MADE_BYTES} bytes of values."
            )));
        }
        self.work(bytes)
    }

    /// Work since this was last asked: whoever loops over rows pauses for it.
    #[must_use]
    pub fn take_work(&self) -> usize {
        // Asked between all values of all rows; mostly there is none.
        if self.spent.unpaused.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        self.spent.unpaused.swap(0, Ordering::Relaxed)
    }

    /// As [`EvalContext::work`], of values that are looked through: most are short, and not noted.
    ///
    /// # Errors
    /// As [`EvalContext::work`].
    pub fn look(&self, steps: usize) -> Result<()> {
        if steps < COUNTED_BYTES { Ok(()) } else { self.work(steps) }
    }

    /// Whether the statement was told to end while it evaluated.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.spent.ended.load(Ordering::Relaxed)
    }

    /// Notes work that may be long, before it is done.
    ///
    /// # Errors
    /// `57014` if the statement shall end. `54001` where nobody can be asked, as while a plan is made
    /// or at a replica, and the row takes long.
    pub fn work(&self, steps: usize) -> Result<()> {
        self.spent.unpaused.fetch_add(steps, Ordering::Relaxed);
        if self.hooks.is_none() {
            let before = self.spent.row_work.fetch_add(steps, Ordering::Relaxed);
            if before.saturating_add(steps) > MAX_UNASKED_WORK {
                return Err(stack::too_complex());
            }
        }
        let before = self.spent.work.fetch_add(steps, Ordering::Relaxed);
        if before.saturating_add(steps) < WORK_BETWEEN_LOOKS && !self.has_ended() {
            return Ok(());
        }
        self.spent.work.store(0, Ordering::Relaxed);
        let told = self.hooks.as_ref().map_or(Ok(()), |hooks| hooks.go_on());
        self.spent.ended.store(told.is_err(), Ordering::Relaxed);
        told
    }
}

#[cfg(test)]
mod tests;
