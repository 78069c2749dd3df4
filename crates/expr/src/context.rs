//! What an expression may know besides its row: times, the session, randomness.
//!
//! All of it is given, nothing is asked of the outside: a statement evaluated twice in one context
//! yields the same, except for what goes through [`Hooks`]. The replicas get no hooks: before
//! an expression is pushed down, everything that needs more than the row is folded into constants
//! ([`Expr::fold`](crate::Expr::fold)) or keeps the expression at the gateway.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    datetime::TimeZone,
    datum::Datum,
    error::{Result, SqlError},
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
}
