//! What a transaction may be asked to be, and the limits of a gateway.

use std::time::Duration;

use clock::Timestamp;
use keys::Key;

use crate::{Rules, TxnError};

/// Isolation levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Strict serializability: everything read is validated at the commit timestamp.
    #[default]
    Serializable,
    /// Snapshot isolation: only written and locked keys are validated, write skew is possible.
    RepeatableRead,
    /// A fresh snapshot per statement; written and locked keys are validated against it.
    ReadCommitted,
}

/// Whether a transaction may write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// It may.
    #[default]
    ReadWrite,
    /// It may not; it takes no locks and validates nothing.
    ReadOnly,
}

/// When a serializable transaction locks the rows that it writes (X6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteLocks {
    /// At its commit: nothing is asked twice, and whoever tries again by itself loses little.
    #[default]
    AtCommit,
    /// In the request that reads them, as far as their keys are known: for a transaction of several
    /// statements, which its client would have to begin anew.
    AtRead,
}

/// What [`crate::Coordinator::begin`] is asked for.
#[derive(Clone, Debug, Default)]
pub struct TxnOptions {
    /// The isolation level.
    pub isolation: Isolation,
    /// Whether it may write. With `as_of` it may not, whatever this says.
    pub access: Access,
    /// Read this snapshot of the past from the nearest replicas. `None`: the present.
    pub as_of: Option<Timestamp>,
    /// Start of the first attempt, kept over retries: lower is older and wins (X5). `None`: this
    /// is the first attempt.
    pub priority: Option<Timestamp>,
    /// When it locks what it writes.
    pub write_locks: WriteLocks,
    /// Keys to lock before the first snapshot is taken (X6): what the attempt that failed wrote.
    pub pessimistic: Vec<Key>,
    /// The session's last commit timestamp: the snapshot lies at or above it.
    /// [`Timestamp::ZERO`]: none.
    pub after: Timestamp,
}

/// Limits of a gateway's transactions.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long a statement or a commit may take where the session set nothing.
    pub statement_timeout: Duration,
    /// How long after its deadline the outcome of a commit is inquired, before the client hears
    /// 40003. With what a last answer is waited for on top, a commit ends within a second of its
    /// deadline.
    pub outcome_timeout: Duration,
    /// Heartbeat to the anchor's leader: a third of H (X7).
    pub heartbeat_interval: Duration,
    /// How old a transaction may get, well below L (X7a): beyond, no range would prepare or decide
    /// anything for it, and nobody could tell its outcome. Later statements and its commit are
    /// refused here (40001).
    pub max_age: Duration,
    /// Keys and values a transaction may write and keys it may lock at read time, in bytes. Beyond:
    /// 54000.
    pub max_txn_bytes: u64,
    /// Bytes of one key that is written or locked: what a range takes. Beyond: 54000.
    pub max_key_bytes: usize,
    /// Bytes of one value that is written, below what one log entry of a range holds. Beyond: 54000.
    pub max_value_bytes: usize,
    /// Read spans remembered; neighbours are merged (widened, never dropped) beyond.
    pub max_read_spans: usize,
    /// Keys one transaction may lock at read time. Beyond: 54000.
    pub max_locked_keys: usize,
    /// Rows one call of `read` may return. Beyond: 53200.
    pub max_read_rows: u64,
    /// Bytes one call of `read` may return. Beyond: 53200.
    pub max_read_bytes: u64,
    /// How often a commit is planned and prepared again: splits and passed bounds.
    pub max_commit_rounds: u32,
    /// How often a single statement is retried after a conflict before its client hears 40001.
    pub max_retries: u32,
    /// Pause before the first retry; doubles with each, with jitter, up to
    /// `retry_backoff_max`.
    pub retry_backoff: Duration,
    /// The longest pause between retries.
    pub retry_backoff_max: Duration,
    /// Keys that a retry locks pessimistically; beyond only the first so many.
    pub max_pessimistic_keys: usize,
    /// Clean-ups behind answers (resolutions, releases) at a time. Beyond, participants have to
    /// ask the record by themselves.
    pub max_background: usize,
    /// How long one clean-up keeps trying.
    pub background_timeout: Duration,
    /// Which rules are kept: all of them, but where a test shows that dropping one is noticed.
    pub rules: Rules,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            statement_timeout: Duration::from_secs(30),
            outcome_timeout: Duration::from_millis(700),
            heartbeat_interval: Duration::from_secs(1),
            max_age: Duration::from_secs(55 * 60),
            max_txn_bytes: 64 << 20,
            max_key_bytes: 1 << 14,
            max_value_bytes: (16 << 20) - (64 << 10),
            max_read_spans: 2_000,
            max_locked_keys: 1 << 19,
            max_read_rows: 1_000_000,
            max_read_bytes: 256 << 20,
            max_commit_rounds: 8,
            max_retries: 20,
            retry_backoff: Duration::from_millis(2),
            retry_backoff_max: Duration::from_millis(500),
            max_pessimistic_keys: 64,
            max_background: 4_096,
            background_timeout: Duration::from_secs(10),
            rules: Rules::default(),
        }
    }
}

impl Config {
    /// A key that no range takes is refused before it is sent: a commit that named it as its anchor
    /// could not even be asked for its outcome.
    pub(crate) fn check_key(&self, key: &Key) -> Result<(), TxnError> {
        oversized("key", key.len(), self.max_key_bytes)
    }

    /// A value that fills more than a log entry is refused when it is written, not at the commit.
    pub(crate) fn check_value(&self, bytes: usize) -> Result<(), TxnError> {
        oversized("value", bytes, self.max_value_bytes)
    }
}

fn oversized(what: &'static str, bytes: usize, most: usize) -> Result<(), TxnError> {
    if bytes <= most {
        return Ok(());
    }
    Err(TxnError::Oversized { what, size: bytes as u64, limit: most as u64 })
}

/// Limits of a gateway's routing.
#[derive(Clone, Debug)]
pub struct RouterConfig {
    /// Descriptors remembered; the least recently used go first.
    pub max_descriptors: usize,
    /// Descriptors fetched by one look-up in the directory: the one wanted and those behind it.
    pub lookup_rows: u64,
    /// How long one node is waited for before another is tried; longer for a large request. One that
    /// rightly waits longer (for a lock) is sent again, each time with twice as much time: it finds its
    /// place by age.
    pub attempt_timeout: Duration,
    /// Pause after all voters were tried in vain; doubles with each round, with jitter, up to
    /// `backoff_max`.
    pub backoff: Duration,
    /// The longest pause between rounds.
    pub backoff_max: Duration,
    /// How long a range may be without anybody who answers as its leader before the caller hears that
    /// it is unavailable, if its own deadline is further away. Longer than a fail-over takes: a lease,
    /// an election and a few round trips. A leader that answers, be it that a lock is held, ends it.
    pub leaderless_patience: Duration,
    /// How often an overloaded range is tried again before the caller hears of it.
    pub max_overloaded: u32,
    /// How often one operation follows ranges that split or moved.
    pub max_moves: u32,
}

impl Default for RouterConfig {
    fn default() -> RouterConfig {
        RouterConfig {
            max_descriptors: 100_000,
            lookup_rows: 32,
            attempt_timeout: Duration::from_millis(1_500),
            backoff: Duration::from_millis(10),
            backoff_max: Duration::from_millis(250),
            leaderless_patience: Duration::from_secs(8),
            max_overloaded: 5,
            max_moves: 32,
        }
    }
}
