//! What happened, as the clients and the disks saw it: the material of the checker.

use std::collections::BTreeMap;

use bytes::Bytes;
use clock::Timestamp;
use keys::{Key, Span};

/// True time in nanoseconds since the simulation's start: known to the simulation alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TrueTime(pub u64);

/// The wall clock at true time 0: some day, so that timestamps look like timestamps.
pub const EPOCH_NANOS: u64 = 1_700_000_000_000_000_000;

impl TrueTime {
    /// The timestamp that a perfect clock reads.
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_wall(EPOCH_NANOS + self.0)
    }
}

/// What a transaction promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Reads are valid at the commit timestamp; takes part in real-time order.
    Serializable,
    /// Reads are valid at the snapshot; nobody else wrote the same keys meanwhile.
    Snapshot,
    /// As `Snapshot`, with a fresh snapshot for each statement.
    ReadCommitted,
    /// Reads are valid at the snapshot; takes part in real-time order.
    ReadOnly,
    /// Reads are valid at the snapshot, which lies in the past.
    Stale,
}

/// What the client heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged, at this timestamp (of a transaction that wrote nothing: its snapshot).
    Committed(Timestamp),
    /// It did not happen.
    Aborted,
    /// It may have happened, or may still (40003, or the gateway died).
    Unknown,
}

/// One scan of a transaction.
#[derive(Clone, Debug)]
pub struct ReadRecord {
    /// The snapshot.
    pub at: Timestamp,
    /// What was asked for.
    pub span: Span,
    /// From the upper end downwards.
    pub reverse: bool,
    /// At most so many rows.
    pub limit: Option<usize>,
    /// What the transaction itself had written by then.
    pub own: BTreeMap<Key, Option<Bytes>>,
    /// What came back.
    pub rows: Vec<(Key, Bytes)>,
}

/// One attempt of a transaction.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Unique; its values begin with it.
    pub id: u64,
    /// For people: which client, which gateway, which transaction.
    pub who: String,
    /// What it promises.
    pub kind: Kind,
    /// When it began.
    pub begin: TrueTime,
    /// When its client heard the outcome.
    pub end: TrueTime,
    /// Its snapshot, if it took one; of several the last.
    pub snapshot: Option<Timestamp>,
    /// What it read, in order.
    pub reads: Vec<ReadRecord>,
    /// What it wrote last, per key. With a put among it if it is not empty.
    pub writes: BTreeMap<Key, Option<Bytes>>,
    /// The snapshot under which each key was first written.
    pub since: BTreeMap<Key, Timestamp>,
    /// What the client heard.
    pub outcome: Outcome,
}

/// The versions of each key, oldest first: the truth, from the disks.
pub type Versions = BTreeMap<Key, Vec<(Timestamp, Option<Bytes>)>>;

/// All there is to judge.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Every attempt.
    pub attempts: Vec<Attempt>,
    /// Every version on disk at the end.
    pub versions: Versions,
}
