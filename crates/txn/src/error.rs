//! What a transaction answers when it cannot go on: every error names its SQLSTATE and says what
//! the caller does next.
//!
//! Three kinds are never mixed: *retriable* (the transaction did not happen, start again),
//! *final* (it did not happen and will not) and *unknown* (40003: nobody reachable can tell).

use clock::Timestamp;
use keys::{Key, NodeId, RangeId, Span, TxnId};
use kv::{Conflict, ConflictKind, KvError, PushdownError};

/// Why a statement or a commit failed. Except for [`TxnError::Unknown`], nothing was committed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TxnError {
    /// A conflict with another transaction: start again with the same priority (X10).
    #[error("restart transaction: {0}")]
    Retry(Conflict),
    /// The commit was sent and neither its answer nor the transaction record could be had (X8).
    #[error("transaction {} may or may not have committed: {cause}", txn.short())]
    Unknown {
        /// The transaction in doubt.
        txn: TxnId,
        /// Why nobody could tell.
        cause: String,
    },
    /// A range did not answer before the deadline: no leader, no quorum, no connection.
    #[error("{range} is unavailable: {missing}")]
    Unavailable {
        /// The range.
        range: RangeId,
        /// Its replicas and what was heard of them.
        missing: String,
    },
    /// A node did not answer a request that was its alone.
    #[error("no answer from {node}: {cause}")]
    NoAnswer {
        /// The node.
        node: NodeId,
        /// What is known of the cause.
        cause: String,
    },
    /// No range owns the key: the directory has a gap there.
    #[error("no range owns the key {key}")]
    NoRange {
        /// The key.
        key: Key,
    },
    /// The deadline passed while another transaction held the key.
    #[error("timed out waiting for transaction {} on {key}", holder.short())]
    Blocked {
        /// The key.
        key: Key,
        /// Who holds it.
        holder: TxnId,
    },
    /// A lock with NOWAIT met a holder.
    #[error("{key} is locked by transaction {}", holder.short())]
    LockBusy {
        /// The key.
        key: Key,
        /// Who holds it.
        holder: TxnId,
    },
    /// The transaction writes or locks more than one transaction may.
    #[error("{what} of this transaction: {size}, at most {limit} are possible")]
    TooLarge {
        /// What is too large, with its unit.
        what: &'static str,
        /// How much was asked for.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// A single key or value is larger than a range takes.
    #[error("a {what} of {size} bytes: at most {limit} are possible")]
    Oversized {
        /// `key` or `value`.
        what: &'static str,
        /// Its size in bytes.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// The statement reads more than it may hold in memory.
    #[error("the statement reads more than {limit} {unit} at once")]
    ReadBudget {
        /// The limit.
        limit: u64,
        /// `rows` or `bytes`.
        unit: &'static str,
    },
    /// The snapshot lies below the retained history (S4).
    #[error("snapshot {at} is older than the retained history of {span} (since {threshold})")]
    TooOld {
        /// The snapshot.
        at: Timestamp,
        /// What is retained.
        threshold: Timestamp,
        /// Where.
        span: Span,
    },
    /// The snapshot lies in the future (R2).
    #[error("timestamp {at} lies beyond the clock's upper bound {latest}")]
    InFuture {
        /// The snapshot.
        at: Timestamp,
        /// The bound that it passed.
        latest: Timestamp,
    },
    /// The cluster sheds load: nothing was done.
    #[error("{0}")]
    Overloaded(String),
    /// A program failed on a row; the layer that wrote the program decodes it.
    #[error("{0}")]
    Program(PushdownError),
    /// A write in a read-only transaction or in one that reads the past.
    #[error("cannot write in a read-only transaction")]
    ReadOnly,
    /// No savepoint has this name.
    #[error("savepoint \"{0}\" does not exist")]
    NoSavepoint(String),
    /// A range called a request contradictory: a bug on one of the two sides.
    #[error("{0}")]
    Invalid(String),
}

impl TxnError {
    /// The SQLSTATE a client sees.
    #[must_use]
    pub fn sqlstate(&self) -> &'static str {
        match self {
            TxnError::Retry(_) => "40001",
            TxnError::Unknown { .. } => "40003",
            TxnError::Unavailable { .. } | TxnError::NoAnswer { .. } => "57M01",
            TxnError::Blocked { .. } => "57014",
            TxnError::NoRange { .. } => "58000",
            TxnError::LockBusy { .. } => "55P03",
            TxnError::TooLarge { .. } | TxnError::Oversized { .. } => "54000",
            TxnError::ReadBudget { .. } => "53200",
            TxnError::TooOld { .. } => "72000",
            TxnError::InFuture { .. } => "22023",
            TxnError::Overloaded(_) => "53300",
            TxnError::Program(_) | TxnError::Invalid(_) => "XX000",
            TxnError::ReadOnly => "25006",
            TxnError::NoSavepoint(_) => "3B001",
        }
    }

    /// The conflict, if starting again is what the caller should do.
    #[must_use]
    pub fn conflict(&self) -> Option<&Conflict> {
        match self {
            TxnError::Retry(conflict) => Some(conflict),
            TxnError::Unknown { .. }
            | TxnError::Unavailable { .. }
            | TxnError::NoAnswer { .. }
            | TxnError::NoRange { .. }
            | TxnError::Blocked { .. }
            | TxnError::LockBusy { .. }
            | TxnError::TooLarge { .. }
            | TxnError::Oversized { .. }
            | TxnError::ReadBudget { .. }
            | TxnError::TooOld { .. }
            | TxnError::InFuture { .. }
            | TxnError::Overloaded(_)
            | TxnError::Program(_)
            | TxnError::ReadOnly
            | TxnError::NoSavepoint(_)
            | TxnError::Invalid(_) => None,
        }
    }

    /// Why, in a few words and without keys, for a line of a timeline.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            TxnError::Blocked { holder, .. } => format!("timed out waiting for {holder:?}"),
            other => other.conflict().map_or_else(|| other.to_string(), Conflict::reason),
        }
    }

    /// A conflict on one key that this gateway found by itself.
    pub(crate) fn retry(kind: ConflictKind, key: Key, at: Option<Timestamp>) -> TxnError {
        TxnError::Retry(Conflict { kind, span: Span::point(key), winner: None, at })
    }
}

/// An answer that did not concern an outcome in doubt. Whoever sent a commit looks at the lost
/// answers itself first.
impl From<KvError> for TxnError {
    fn from(error: KvError) -> TxnError {
        match error {
            KvError::Conflict(conflict) | KvError::Aborted(conflict) => TxnError::Retry(conflict),
            KvError::LockBusy { key, holder } => TxnError::LockBusy { key, holder },
            KvError::Unavailable { range, missing } => TxnError::Unavailable { range, missing },
            KvError::NotLeader { range, .. } => {
                TxnError::Unavailable { range, missing: "no leader is known".to_owned() }
            }
            KvError::WrongRange { range, .. } => {
                TxnError::Unavailable { range, missing: "its keys moved meanwhile".to_owned() }
            }
            KvError::Blocked { key, holder } => TxnError::Blocked { key, holder },
            KvError::TooOld { at, threshold, span } => TxnError::TooOld { at, threshold, span },
            KvError::InFuture { at, latest } => TxnError::InFuture { at, latest },
            KvError::BoundPassed { below } => {
                TxnError::Overloaded(format!("no commit timestamp fitted below {below}"))
            }
            KvError::Overloaded(what) => TxnError::Overloaded(what),
            KvError::TooLarge { bytes, limit, .. } => {
                TxnError::TooLarge { what: "bytes written into one range", size: bytes, limit }
            }
            KvError::Program(error) => TxnError::Program(error),
            KvError::AnswerLost { node, cause } => TxnError::NoAnswer { node, cause },
            KvError::Invalid(what) => TxnError::Invalid(what),
            KvError::AfterWait { error, .. } => (*error).into(),
        }
    }
}
