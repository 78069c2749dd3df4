//! Requests to a range.

use bytes::Bytes;
use clock::Timestamp;
use keys::{Key, NodeId, RangeId, Span, TxnId};
use serde::{Deserialize, Serialize};

/// Who a request acts for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxnMeta {
    /// The transaction attempt.
    pub id: TxnId,
    /// Where its record lives: a key of the anchor's group (X7, X9). Named with the first lock or
    /// prepare and never changed.
    pub anchor: Key,
    /// Start of the first attempt. Lower is older and wins (X5); ties go to the lower id.
    pub priority: Timestamp,
    /// Start of this attempt: nothing is prepared or decided once `start + L` is not definitely in
    /// the future (X7a).
    pub start: Timestamp,
}

impl TxnMeta {
    /// Whether this transaction is older than the other, by wound-wait's order (X5).
    #[must_use]
    pub fn older_than(&self, other: &TxnMeta) -> bool {
        (self.priority, self.id) < (other.priority, other.id)
    }
}

/// What a range can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// Read a snapshot. Answer: [`crate::Reply::Read`].
    Read(Read),
    /// Lock keys at read time (X6). Answer: [`crate::Reply::Locked`].
    Lock(Lock),
    /// Prepare a participant of a transaction over several groups. Answer:
    /// [`crate::Reply::Prepared`].
    Prepare(Prepare),
    /// Commit, at the anchor's leader. Answer: [`crate::Reply::Committed`], or
    /// [`crate::KvError::Aborted`] when the record says so.
    Commit(Commit),
    /// Tell a participant the outcome. Answer: [`crate::Reply::Done`].
    Resolve(Resolve),
    /// Ask the record's leader for the outcome, or abort. Answer: [`crate::Reply::Outcome`], or
    /// [`crate::Reply::Waiters`] if that was asked.
    Push(Push),
    /// The gateway is alive. Answer: [`crate::Reply::Outcome`], so that it learns of a poison.
    Heartbeat(Heartbeat),
    /// Tell whose intents and locks are left here, of ended transactions (X7b). Answer:
    /// [`crate::Reply::Acknowledged`].
    Acknowledge(Acknowledge),
    /// Let go of the locks of a transaction that was never prepared here. Answer: `Done`.
    Release {
        /// Whose locks.
        txn: TxnId,
    },
    /// Split the range at a key. Answer: [`crate::Reply::Split`]. Idempotent by child id.
    Split {
        /// First key of the child.
        at: Key,
        /// The child's id, taken from the counter by the asker.
        child: RangeId,
    },
    /// Hand leadership to another voter (P5). Answer: `Done` once this leader stopped acting.
    TransferLeader {
        /// The voter that shall lead.
        to: NodeId,
    },
    /// The range as this replica sees it; answered by any replica. Answer: `Status`.
    Status,
    /// The lock table of the leader: holders and waiters. Answer: `Locks`.
    Locks,
    /// A checksum of the visible rows, by any replica that can serve `at`. Answer: `Checksum`.
    Checksum {
        /// The snapshot to sum up.
        at: Timestamp,
    },
}

impl Request {
    /// What it is, in one word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Request::Read(_) => "read",
            Request::Lock(_) => "lock",
            Request::Prepare(_) => "prepare",
            Request::Commit(_) => "commit",
            Request::Resolve(_) => "resolve",
            Request::Push(_) => "push",
            Request::Heartbeat(_) => "heartbeat",
            Request::Acknowledge(_) => "acknowledge",
            Request::Release { .. } => "release",
            Request::Split { .. } => "split",
            Request::TransferLeader { .. } => "transfer",
            Request::Status => "status",
            Request::Locks => "locks",
            Request::Checksum { .. } => "checksum",
        }
    }

    /// About how many bytes it takes.
    #[must_use]
    pub fn weight(&self) -> usize {
        const HEAD: usize = 128;
        const ITEM: usize = 16;
        let keys = |keys: &[Key]| keys.iter().map(|key| key.len() + ITEM).sum::<usize>();
        let writes = |writes: &[Write]| {
            let value = |write: &Write| write.value.as_ref().map_or(0, |value| value.len());
            writes.iter().map(|write| write.key.len() + value(write) + ITEM).sum::<usize>()
        };
        let span = |span: &Span| span.start.len() + span.end.len() + ITEM;
        let reads = |reads: &[Validate]| reads.iter().map(|read| span(&read.span)).sum::<usize>();
        HEAD + match self {
            Request::Read(read) => {
                let program = read.program.as_ref().map_or(0, |program| program.len());
                read.spans.iter().map(|read| span(&read.span)).sum::<usize>() + program
            }
            Request::Lock(lock) => keys(&lock.keys),
            Request::Prepare(prepare) => reads(&prepare.reads) + writes(&prepare.writes),
            Request::Commit(commit) => {
                let others = commit.participants.iter().map(span).sum::<usize>();
                reads(&commit.reads) + writes(&commit.writes) + others
            }
            Request::Resolve(resolve) => keys(&resolve.keys),
            Request::Acknowledge(asked) => {
                asked.parts.iter().map(|part| span(&part.span) + ITEM).sum::<usize>()
            }
            Request::Push(_)
            | Request::Heartbeat(_)
            | Request::Release { .. }
            | Request::Split { .. }
            | Request::TransferLeader { .. }
            | Request::Status
            | Request::Locks
            | Request::Checksum { .. } => 0,
        }
    }

    /// The transaction whose commands it may put into the log.
    #[must_use]
    pub fn txn(&self) -> Option<TxnId> {
        match self {
            Request::Prepare(prepare) => Some(prepare.txn.id),
            Request::Commit(commit) => Some(commit.txn.id),
            Request::Resolve(resolve) => Some(resolve.txn),
            Request::Push(push) => Some(push.txn.id),
            Request::Read(_)
            | Request::Lock(_)
            | Request::Heartbeat(_)
            | Request::Acknowledge(_)
            | Request::Release { .. }
            | Request::Split { .. }
            | Request::TransferLeader { .. }
            | Request::Status
            | Request::Locks
            | Request::Checksum { .. } => None,
        }
    }
}

/// A lock-free snapshot read of one range (R2, R3, T5).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Read {
    /// The snapshot.
    pub at: Timestamp,
    /// Who may serve it.
    pub from: ReadFrom,
    /// Set when the reading transaction holds locks: then the read takes part in wound-wait (X5a).
    pub holder: Option<TxnMeta>,
    /// What to read, each within the range, answered in this order.
    pub spans: Vec<ReadSpan>,
    /// At most that many rows over all spans (after the program's filter); then the rest is left to
    /// a following request. 0: the range's own limit.
    pub max_rows: u64,
    /// A program that filters, projects or aggregates at the replica; see [`crate::Pushdown`].
    pub program: Option<Bytes>,
    /// No rows are wanted but the word that the spans have no version above this (X1a). A version there
    /// is answered with [`crate::KvError::Conflict`], also one above `at`.
    pub unchanged_since: Option<Timestamp>,
}

/// A span to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadSpan {
    /// The keys.
    pub span: Span,
    /// From the upper end downwards.
    pub reverse: bool,
}

/// Which replica may serve a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadFrom {
    /// The leader, under its lease (R2).
    Leader,
    /// Any replica whose safe time reaches the snapshot (R3). It waits for its safe time, at most
    /// until the deadline.
    AnyReplica,
}

/// Lock keys exclusively in the leader's lock table (X6).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lock {
    /// For whom.
    pub txn: TxnMeta,
    /// The keys, all or none are granted.
    pub keys: Vec<Key>,
    /// Keys with a committed version above this are reported as moved.
    pub since: Timestamp,
    /// What to do when a key is locked.
    pub wait: LockWait,
    /// Whether the values are wanted, as of `since` (X6: no further request reads them).
    pub values: LockValues,
}

/// Whether a lock answers the values of its keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockValues {
    /// It does not.
    #[default]
    Unwanted,
    /// It does, as far as a message holds them.
    Wanted,
}

/// `FOR UPDATE`, `FOR UPDATE NOWAIT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockWait {
    /// Wait in order of age; a younger holder that is not prepared is wounded (X5).
    Wait,
    /// Answer [`crate::KvError::LockBusy`] at once.
    NoWait,
}

/// A span whose reads must still hold at the commit timestamp (X1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validate {
    /// What was read; a span (predicate), not only the rows found.
    pub span: Span,
    /// The snapshot it was read at: no version above it may exist.
    pub since: Timestamp,
}

/// A buffered write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// The key.
    pub key: Key,
    /// The new value; `None` deletes.
    pub value: Option<Bytes>,
}

/// A participant's part of a transaction over several groups.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Prepare {
    /// The transaction; its anchor lies in another range, or in this one (then nothing is logged:
    /// the anchor only locks and validates, and its writes come with the commit).
    pub txn: TxnMeta,
    /// Spans to share-lock and validate.
    pub reads: Vec<Validate>,
    /// Writes to lock exclusively; logged as intents unless this is the anchor's range.
    pub writes: Vec<Write>,
    /// Whether this range is the anchor's.
    pub at_anchor: bool,
}

/// A one-group transaction (`participants` empty), or the decision of a larger one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Commit {
    /// The transaction; its anchor lies in this range.
    pub txn: TxnMeta,
    /// Spans of this range to validate (again, unless this leader validated them under this
    /// leadership: X3).
    pub reads: Vec<Validate>,
    /// Writes of this range.
    pub writes: Vec<Write>,
    /// For each other participant, from the first to the last key that was written or read there; kept
    /// in the record, for X7b. Empty: one group.
    pub participants: Vec<Span>,
    /// The commit timestamp is above this: the maximum of `t_r` (X3a) and every prepare timestamp.
    pub above: Timestamp,
    /// The commit timestamp is below this: the minimum of every participant's `valid_through` (X3)
    /// and of what the gateway's schema lease allows. [`Timestamp::MAX`]: no bound.
    pub below: Timestamp,
}

/// The outcome of a transaction, told to a participant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Resolve {
    /// The transaction.
    pub txn: TxnId,
    /// What became of it; the release names the commit timestamp (R1a).
    pub outcome: Resolution,
    /// Keys whose intents are to be resolved; may be empty (a participant that only validated).
    /// All locks of the transaction in this range are let go.
    pub keys: Vec<Key>,
}

/// Asks a range whether it still holds anything of transactions that ended: then their records must
/// stay (X7b). Only for transactions whose life is over, so that nothing new can come (X7a).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledge {
    /// What they touched, in this range and in others; the first one begins in this range.
    pub parts: Vec<Part>,
}

/// What an ended transaction touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The transaction.
    pub txn: TxnId,
    /// Its start: whoever acknowledges looks at its own clock whether start + L is past.
    pub start: Timestamp,
    /// From the first to the last key.
    pub span: Span,
}

/// A final outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resolution {
    /// Committed at this timestamp.
    Commit(Timestamp),
    /// Aborted.
    Abort,
}

/// Asks the anchor's leader what became of a transaction (X7).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Push {
    /// The transaction asked about.
    pub txn: TxnMeta,
    /// On whose behalf and how hard.
    pub kind: PushKind,
}

/// How hard a push is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum PushKind {
    /// Tell the outcome if there is one; poison only if the transaction's heartbeat lapsed (X7).
    Query,
    /// As `Query`, but a younger transaction is poisoned (X5, X7).
    Wound {
        /// The waiter.
        pusher: TxnMeta,
    },
    /// Tell who waits for it, unless there is an outcome: the search for deadlocks (X5).
    Waiters {
        /// Who does, for all the asker knows.
        waiters: Vec<TxnId>,
    },
    /// The transaction's own gateway gives up or lost an answer: poison unless decided. The answer
    /// obeys T4: "committed" is told after `TT.after(s)` (X8).
    Owner,
}

/// A sign of life from a transaction's gateway to the leader of its anchor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The transaction.
    pub txn: TxnMeta,
    /// Whether it waits for others, for all its gateway knows: then an older one that waits for it may
    /// have it aborted (X5b).
    pub waiting: bool,
}
