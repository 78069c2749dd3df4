//! Answers of a range.

use bytes::Bytes;
use clock::Timestamp;
use keys::{Key, NodeId, RangeId, Span, TxnId};
use serde::{Deserialize, Serialize};

use crate::{Descriptor, request::TxnMeta};

/// The answer to a request, by its kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Reply {
    /// Rows.
    Read(ReadReply),
    /// Locks are held.
    Locked(LockReply),
    /// The participant is prepared.
    Prepared(Prepared),
    /// Committed, durable on a quorum, and `TT.after(s)` (T4).
    Committed(Committed),
    /// What the record says.
    Outcome(Outcome),
    /// Transactions that wait for one, at any remove, for all its record's leader was told.
    Waiters(Vec<TxnId>),
    /// What a range still holds of ended transactions (X7b).
    Acknowledged {
        /// The range's keys: the word is about these.
        here: Span,
        /// Whose intents or locks are left, among those asked about. Nothing of the others is, and never
        /// will be.
        holding: Vec<TxnId>,
    },
    /// Done, nothing to tell.
    Done,
    /// The range was split.
    Split {
        /// The range's new, smaller self.
        left: Descriptor,
        /// The child.
        right: Descriptor,
    },
    /// The range as this replica sees it.
    Status(RangeStatus),
    /// Holders and waiters.
    Locks(Vec<LockInfo>),
    /// Checksum of the visible rows, and how many there are.
    Checksum {
        /// CRC over keys and values in order.
        sum: u64,
        /// Number of rows.
        rows: u64,
        /// The keys that were summed up: a replica that has not applied a split sums up the child's, too,
        /// also at a time that it may serve.
        span: Span,
    },
}

/// Rows of a read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadReply {
    /// One per span asked, in that order.
    pub spans: Vec<SpanRows>,
    /// The node that served the read.
    pub served_by: NodeId,
    /// How long the read waited at the replica (pending writes, intents, safe time, T5).
    pub waited_nanos: u64,
    /// The part of it that it waited for other transactions: pending writes and intents.
    pub blocked_nanos: u64,
}

/// Rows of one span.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanRows {
    /// Keys and values in the span's direction. With a program: the program's output; the key is
    /// that of the row, or empty for partial aggregates.
    pub rows: Vec<(Key, Bytes)>,
    /// What was not read yet because a limit was reached; read it with the same snapshot.
    pub resume: Option<Span>,
}

/// Locks granted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockReply {
    /// If values are wanted: those of the keys as of [`LockReply::as_of`]; `None`: there is no row. Keys
    /// that are not here have to be read.
    pub values: Vec<(Key, Option<Bytes>)>,
    /// Keys with a committed version above `since`, and its timestamp.
    pub moved: Vec<(Key, Timestamp)>,
    /// Time in the queue.
    pub lock_wait_nanos: u64,
}

impl LockReply {
    /// The snapshot of the values, for locks asked with this one: the same, or where the last key moved.
    #[must_use]
    pub fn as_of(&self, since: Timestamp) -> Timestamp {
        self.moved.iter().map(|(_, at)| *at).fold(since, Timestamp::max)
    }
}

/// A participant's promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// Its prepare timestamp; [`Timestamp::ZERO`] if it logged nothing.
    pub prepare: Timestamp,
    /// What it validated holds for commit timestamps below this: its lease end (X3).
    /// [`Timestamp::MAX`] if it validated nothing.
    pub valid_through: Timestamp,
    /// Where the time went.
    pub stats: CommitStats,
}

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// The commit timestamp s.
    pub at: Timestamp,
    /// Where the time went.
    pub stats: CommitStats,
}

/// Where the time of a commit or prepare went at the leader, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitStats {
    /// From arrival until all locks were held and reads validated.
    pub lock_wait_nanos: u64,
    /// From proposal to applied (the quorum's round trip and fsync). 0: nothing was logged.
    pub paxos_nanos: u64,
    /// From the choice of s until `TT.after(s)`.
    pub commit_wait_nanos: u64,
    /// The part of it that passed while Paxos was still at work.
    pub commit_wait_hidden_nanos: u64,
    /// ε when s was chosen.
    pub epsilon_nanos: u64,
}

/// What a transaction record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Committed at s.
    Committed(Timestamp),
    /// Aborted for ever.
    Aborted,
    /// Undecided, and not to be poisoned by this asker now: ask again later.
    Pending,
    /// The record was deleted long ago (X7a): "abort" to who holds an intent, "unknown" to a
    /// client.
    Forgotten,
}

/// A replica's view of its range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeStatus {
    /// The range.
    pub descriptor: Descriptor,
    /// The node that answers.
    pub node: NodeId,
    /// The leader it knows of.
    pub leader: Option<NodeId>,
    /// Set if the answering node leads.
    pub leading: Option<LeaderStatus>,
    /// Applied slot of the log.
    pub applied: u64,
    /// R4: the largest timestamp this replica can serve now.
    pub safe_time: Timestamp,
}

/// A leader's view of its leadership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderStatus {
    /// The ballot's round.
    pub round: u64,
    /// Lease end (P2).
    pub lease_end: Timestamp,
    /// Least timestamp it may assign next (R1).
    pub min_next: Timestamp,
    /// Transactions holding locks.
    pub lock_holders: u64,
    /// Requests waiting for locks.
    pub lock_waiters: u64,
}

/// A lock held or waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockInfo {
    /// The range.
    pub range: RangeId,
    /// What is locked.
    pub span: Span,
    /// Whose.
    pub txn: TxnMeta,
    /// Exclusive (written) or shared (validated).
    pub exclusive: bool,
    /// Whether it answered a prepare.
    pub prepared: bool,
    /// If it waits: for whom.
    pub waits_for: Vec<TxnId>,
}
