//! The seam to the disk: one ordered key-value store per node, shared by all its replicas.
//!
//! # The contract
//!
//! [`Engine::write`] applies a batch atomically and makes it *visible* to reads at once; it does
//! not make it durable. [`Engine::sync`] makes everything durable that was written before the call
//! began. A crash loses a suffix of the unsynced batches, never a part of one, never one from the
//! middle (one write-ahead log per node). So group commit needs no bookkeeping: whoever syncs, syncs
//! for all ranges of the node (S1), and an unsynced apply becomes durable with the next sync.
//!
//! `sync` may run on another thread while `write` goes on; a write during a sync may or may not be
//! covered by it.
//!
//! S3: an error of `sync` or `write` means that the state of the disk is unknown. The caller stops
//! the node; it never tries again.

use std::{fmt, ops::Bound};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Column families: separate ordered key spaces within one engine and one write-ahead log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Cf {
    /// MVCC versions: user key and inverted timestamp -> value or tombstone.
    Data,
    /// Intents: user key -> transaction, anchor, prepare timestamp, value.
    Intents,
    /// Transaction records: anchor key and transaction id -> record.
    Records,
    /// Paxos logs: range id and slot -> entry.
    Log,
    /// Per range and per node state: promises, horizons, applied index, descriptors.
    State,
    /// Snapshots on their way: range id, column family and key -> value, beside the live data.
    Staged,
}

impl Cf {
    /// All column families.
    pub const ALL: [Cf; 6] = [Cf::Data, Cf::Intents, Cf::Records, Cf::Log, Cf::State, Cf::Staged];

    /// The name on disk.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Cf::Data => "data",
            Cf::Intents => "intents",
            Cf::Records => "records",
            Cf::Log => "log",
            Cf::State => "state",
            Cf::Staged => "staged",
        }
    }
}

/// One operation of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Set a key.
    Put(Cf, Bytes, Bytes),
    /// Remove a key; no effect if it is not there.
    Delete(Cf, Bytes),
    /// Remove all keys `start <= key < end`.
    DeleteRange(Cf, Bytes, Bytes),
}

/// Operations that happen together or not at all, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteBatch {
    /// The operations, first to last.
    pub ops: Vec<Op>,
}

impl WriteBatch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> WriteBatch {
        WriteBatch::default()
    }

    /// Whether nothing would happen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Set a key.
    pub fn put(&mut self, cf: Cf, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.ops.push(Op::Put(cf, key.into(), value.into()));
    }

    /// Remove a key.
    pub fn delete(&mut self, cf: Cf, key: impl Into<Bytes>) {
        self.ops.push(Op::Delete(cf, key.into()));
    }

    /// Remove all keys of a half-open interval.
    pub fn delete_range(&mut self, cf: Cf, start: impl Into<Bytes>, end: impl Into<Bytes>) {
        self.ops.push(Op::DeleteRange(cf, start.into(), end.into()));
    }

    /// Put the operations of `other` behind these.
    pub fn append(&mut self, other: WriteBatch) {
        if self.ops.is_empty() {
            self.ops = other.ops;
        } else {
            self.ops.extend(other.ops);
        }
    }
}

/// What a scan visits.
#[derive(Clone, Debug)]
pub struct Scan<'a> {
    /// The column family.
    pub cf: Cf,
    /// Where it starts (the lower end, also when reversed).
    pub start: Bound<&'a [u8]>,
    /// Where it ends (the upper end, also when reversed).
    pub end: Bound<&'a [u8]>,
    /// From the upper end downwards.
    pub reverse: bool,
}

impl<'a> Scan<'a> {
    /// `start <= key < end`, upwards.
    #[must_use]
    pub fn new(cf: Cf, start: &'a [u8], end: &'a [u8]) -> Scan<'a> {
        Scan { cf, start: Bound::Included(start), end: Bound::Excluded(end), reverse: false }
    }

    /// The same, from the upper end downwards.
    #[must_use]
    pub fn reversed(self) -> Scan<'a> {
        Scan { reverse: true, ..self }
    }
}

/// Reading, from an engine or from a snapshot of it.
pub trait Reader {
    /// The value of a key.
    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// Visits keys in order until the visitor answers `false`. One visitor call per key; the
    /// slices are valid during the call only.
    fn scan(
        &self,
        scan: Scan<'_>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), EngineError>;

    /// A cursor for seeking to and fro (MVCC skips versions by seeking).
    fn cursor<'a>(&'a self, scan: Scan<'a>) -> Box<dyn Cursor + 'a>;
}

/// A position in an ordered key space. Starts at the first key in the scan's direction.
pub trait Cursor {
    /// The entry at the position; `None` behind the end.
    fn entry(&self) -> Option<(&[u8], &[u8])>;

    /// To the next entry in the scan's direction.
    fn advance(&mut self) -> Result<(), EngineError>;

    /// To the first entry at or behind `key` in the scan's direction (forward: the least key
    /// `>= key`; reverse: the greatest key `<= key`), within the scan's bounds. May move either way.
    fn seek(&mut self, key: &[u8]) -> Result<(), EngineError>;

    /// Why there is no entry: `Ok` if the end was reached. An error here is the one way to learn
    /// that *opening* the cursor failed; so whoever meets `None` asks, or a corrupted block would
    /// look like the end of the data (S3).
    fn status(&self) -> Result<(), EngineError>;
}

/// A node's disk.
pub trait Engine: Reader + Send + Sync + fmt::Debug + 'static {
    /// Applies a batch atomically; visible at once, durable after the next [`Engine::sync`].
    fn write(&self, batch: WriteBatch) -> Result<(), EngineError>;

    /// Makes durable all that was written before the call. Blocks.
    fn sync(&self) -> Result<(), EngineError>;

    /// A consistent view of this moment, for streaming a range to another replica. Holds disk
    /// space while it lives.
    fn snapshot(&self) -> Box<dyn Snapshot>;

    /// `rocksdb` or `memory`.
    fn name(&self) -> &'static str;
}

/// A consistent view that can be sent to another task.
pub trait Snapshot: Reader + Send {}

/// The environment failed. Whoever gets one stops the node (S3).
#[derive(Clone, Debug)]
pub struct EngineError {
    /// What was being done.
    pub doing: String,
    /// What the disk or the store said.
    pub cause: String,
    /// Whether stored bytes contradict their checksum or their format.
    pub corruption: bool,
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.cause)
    }
}

impl std::error::Error for EngineError {}

/// A reading of an engine that cannot be read: it says why.
pub(crate) struct Broken(pub(crate) EngineError);

impl Cursor for Broken {
    fn entry(&self) -> Option<(&[u8], &[u8])> {
        None
    }

    fn advance(&mut self) -> Result<(), EngineError> {
        self.status()
    }

    fn seek(&mut self, _key: &[u8]) -> Result<(), EngineError> {
        self.status()
    }

    fn status(&self) -> Result<(), EngineError> {
        Err(self.0.clone())
    }
}

impl Reader for Broken {
    fn get(&self, _: Cf, _: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Err(self.0.clone())
    }

    fn scan(
        &self,
        _: Scan<'_>,
        _: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), EngineError> {
        Err(self.0.clone())
    }

    fn cursor<'a>(&'a self, _: Scan<'a>) -> Box<dyn Cursor + 'a> {
        Box::new(Broken(self.0.clone()))
    }
}

impl Snapshot for Broken {}
