//! What a range answers when it does not do what was asked. Every error says what to do next.

use std::{cell::Cell, fmt};

use clock::Timestamp;
use keys::{Key, NodeId, RangeId, Span, TxnId};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{Descriptor, pushdown::PushdownError};

/// Why a range did not do it.
#[derive(Clone, Debug, thiserror::Error, Serialize, Deserialize)]
pub enum KvError {
    /// Another replica leads, or none is known. Ask that one; nothing happened here.
    #[error("{range} is led by {}", leader.map_or("nobody known".to_owned(), |n| n.to_string()))]
    NotLeader {
        /// The range.
        range: RangeId,
        /// The leader, as far as known.
        leader: Option<NodeId>,
    },
    /// The node has no such range, or it owns other keys now. Look up again; nothing happened.
    #[error("{range} does not own these keys")]
    WrongRange {
        /// The range asked.
        range: RangeId,
        /// Descriptors the node knows that cover some of the keys.
        known: Vec<Descriptor>,
    },
    /// Refused by a conflict. Of a participant this is advice only: the record decides (X8).
    #[error("{0}")]
    Conflict(Conflict),
    /// The transaction record says aborted: final. Retry as a new transaction of the same priority.
    #[error("{0}")]
    Aborted(Conflict),
    /// A lock with NOWAIT met a holder.
    #[error("{key} is locked by {holder:?}")]
    LockBusy {
        /// The key.
        key: Key,
        /// Who holds it.
        holder: TxnId,
    },
    /// The range cannot answer in time: no leader, no quorum, no safe time. For a commit or
    /// prepare the outcome is unknown.
    #[error("{range} is unavailable: {missing}")]
    Unavailable {
        /// The range.
        range: RangeId,
        /// Its replicas and what is missing, for people.
        missing: String,
    },
    /// The deadline passed while waiting for another transaction; nothing happened.
    #[error("timed out waiting for {holder:?} on {key}")]
    Blocked {
        /// Where.
        key: Key,
        /// For whom.
        holder: TxnId,
    },
    /// A snapshot below the GC threshold (S4).
    #[error("snapshot {at} is older than the retained history of {span} (since {threshold})")]
    TooOld {
        /// The snapshot asked for.
        at: Timestamp,
        /// What is retained.
        threshold: Timestamp,
        /// Where.
        span: Span,
    },
    /// A snapshot too far in the future (R2).
    #[error("timestamp {at} lies beyond the clock's upper bound {latest}")]
    InFuture {
        /// The timestamp asked for.
        at: Timestamp,
        /// This node's `TT.now().latest` plus tolerance.
        latest: Timestamp,
    },
    /// No commit timestamp fits between the bounds: prepare again. Nothing happened.
    #[error("no commit timestamp fits below {below}")]
    BoundPassed {
        /// The bound that was in the way.
        below: Timestamp,
    },
    /// Too much at once: refused before any work (53300). Nothing happened.
    #[error("{0}")]
    Overloaded(String),
    /// Larger than a log entry may be (54000). Nothing happened.
    #[error("a transaction writes {bytes} bytes into {range}; at most {limit} are possible")]
    TooLarge {
        /// The range.
        range: RangeId,
        /// What was asked.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The program failed on a row; the error is the program's own.
    #[error("{0}")]
    Program(PushdownError),
    /// The request was sent and no answer came. It may have happened, may still happen, or not.
    #[error("no answer from {node}: {cause}")]
    AnswerLost {
        /// Who was asked.
        node: NodeId,
        /// What is known of the cause.
        cause: String,
    },
    /// The request contradicts itself or the range (a split outside the span ...).
    #[error("{0}")]
    Invalid(String),
    /// One of the others, told only after a wait for other transactions. It is on its way from the
    /// range to the router, which takes it apart ([`KvError::split_wait`]); never one in another.
    #[error("{error}")]
    AfterWait {
        /// How long it waited; not 0.
        blocked_nanos: u64,
        /// What came of it.
        #[serde(deserialize_with = "not_nested")]
        error: Box<KvError>,
    },
}

/// Reads an error that is no [`KvError::AfterWait`]: one in another is never made, and a peer that
/// sends thousands in each other must not take the stack along.
fn not_nested<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<KvError>, D::Error> {
    thread_local! {
        static INSIDE: Cell<bool> = const { Cell::new(false) };
    }
    /// Whoever leaves, be it by a panic that is caught elsewhere, is inside no longer.
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            INSIDE.set(false);
        }
    }
    if INSIDE.replace(true) {
        return Err(D::Error::custom("a wait inside a wait"));
    }
    let _leave = Leave;
    KvError::deserialize(deserializer).map(Box::new)
}

impl KvError {
    /// The same, told after so long a wait for other transactions; 0: there was none.
    #[must_use]
    pub fn after_wait(self, blocked_nanos: u64) -> KvError {
        let (error, before) = self.split_wait();
        match blocked_nanos.saturating_add(before) {
            0 => error,
            blocked_nanos => KvError::AfterWait { blocked_nanos, error: Box::new(error) },
        }
    }

    /// What happened, and how long it had waited for other transactions, in nanoseconds.
    #[must_use]
    pub fn split_wait(self) -> (KvError, u64) {
        match self {
            KvError::AfterWait { blocked_nanos, error } => (*error, blocked_nanos),
            error => (error, 0),
        }
    }

    /// How long it had waited for other transactions.
    #[must_use]
    pub fn blocked_nanos(&self) -> u64 {
        if let KvError::AfterWait { blocked_nanos, .. } = self { *blocked_nanos } else { 0 }
    }

    /// Why, in a few words and without keys, for a line of a timeline.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            KvError::NotLeader { leader: Some(leader), .. } => {
                format!("does not lead, {leader} does")
            }
            KvError::NotLeader { leader: None, .. } => "does not lead".to_owned(),
            KvError::WrongRange { .. } => "does not own these keys".to_owned(),
            KvError::Conflict(conflict) | KvError::Aborted(conflict) => conflict.reason(),
            KvError::LockBusy { holder, .. } => format!("locked by {holder:?}"),
            KvError::Blocked { holder, .. } => format!("timed out waiting for {holder:?}"),
            KvError::TooOld { .. } => "the snapshot is older than the retained history".to_owned(),
            KvError::AfterWait { error, .. } => error.reason(),
            KvError::Unavailable { .. }
            | KvError::InFuture { .. }
            | KvError::BoundPassed { .. }
            | KvError::Overloaded(_)
            | KvError::TooLarge { .. }
            | KvError::Program(_)
            | KvError::AnswerLost { .. }
            | KvError::Invalid(_) => self.to_string(),
        }
    }
}

/// A conflict between transactions, as it is told to people: retriable, SQLSTATE 40001 (X10).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// What happened.
    pub kind: ConflictKind,
    /// The key or span.
    pub span: Span,
    /// The other transaction, where known.
    pub winner: Option<TxnId>,
    /// The other's timestamp, where known.
    pub at: Option<Timestamp>,
}

/// Kinds of conflicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConflictKind {
    /// Something it read was changed by a later commit (X1).
    ReadChanged,
    /// An older transaction wanted its locks (X5).
    Wounded,
    /// Poisoned: its heartbeat lapsed, or its gateway gave up (X7).
    Poisoned,
    /// Older than its lifetime L, or its snapshot is below the GC threshold (X7a, X1).
    Expired,
    /// It waited for a lock until its deadline.
    LockTimeout,
    /// The leader that held its locks is gone.
    LeaderChanged,
}

impl Conflict {
    /// Why, in a few words and without keys, for a line of a timeline.
    #[must_use]
    pub fn reason(&self) -> String {
        let what = match self.kind {
            ConflictKind::ReadChanged => "what it read was changed",
            ConflictKind::Wounded => "an older transaction wants its locks",
            ConflictKind::Poisoned => "it was aborted",
            ConflictKind::Expired => "it is too old",
            ConflictKind::LockTimeout => "a lock was not free in time",
            ConflictKind::LeaderChanged => "its locks were lost with the leader",
        };
        match self.winner {
            Some(winner) => format!("{what}, by {winner:?}"),
            None => what.to_owned(),
        }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ConflictKind::ReadChanged => "was changed after this transaction read it",
            ConflictKind::Wounded => "is wanted by an older transaction",
            ConflictKind::Poisoned => "belongs to a transaction that was aborted",
            ConflictKind::Expired => "was read too long ago",
            ConflictKind::LockTimeout => "stayed locked until the deadline",
            ConflictKind::LeaderChanged => "lost its lock when its leader changed",
        };
        write!(f, "{} {what}", self.span)?;
        if let Some(winner) = self.winner {
            write!(f, " (by transaction {})", winner.short())?;
        }
        if let Some(at) = self.at {
            write!(f, " at {at}")?;
        }
        Ok(())
    }
}
