//! The engine in memory, on a simulated disk that keeps what a real one keeps.
//!
//! A [`Disk`] outlives the nodes that run on it. A node opens it and gets a [`MemEngine`]; when the
//! node crashes, the simulation asks the disk for the engine of its next life, and the disk decides
//! what survived.
//!
//! # How it works
//!
//! The visible state is one ordered [`tree::Tree`] per column family. Every write goes there at
//! once. What a crash would do is kept as an *undo log*: per unsynced batch, the old value of
//! everything it changed.
//!
//! ```text
//!   write 1   sync   write 2   write 3   write 4
//!  |--------|       |---------------------------|
//!   durable          undo log: 2, 3, 4                 sync empties it: nothing is copied,
//!                                                      however large the state is
//!   crash: a cut at a random byte of the unsynced log
//!                   |---2---|--3-x|    4
//!                    whole:  torn: its checksum is wrong, so it is lost,
//!                    it survives      and 4 behind it
//! ```
//!
//! So memory is what the data takes and little more, and `sync` costs nothing; how *long* a disk
//! takes is not this module's business, the shell around it sleeps.
//!
//! # Invariants
//!
//! 1. A crash keeps a prefix of the batches, whole ones only, and all that were synced: property
//!    test `crash_keeps_a_prefix_and_all_synced`.
//! 2. After a failed sync or write nothing succeeds until the disk is opened again (S3): asserted
//!    by the conformance of [`MemEngine`] in `memory/tests.rs`.
//! 3. The engine of a crashed node neither reads nor writes any more: each [`Disk::open`] starts a
//!    new *life*, and an engine of an earlier one gets errors.
//! 4. Snapshots and cursors see the moment of their creation.
//!
//! # Faults on demand
//!
//! [`Disk::fail_next_sync`], [`Disk::fail_next_write`] (a full disk), [`Disk::set_sync`] to
//! [`SyncMode::Lying`] (a disk that answers and does nothing: the simulation must find the loss),
//! [`Disk::flip_bit`] (rot under a stored value), [`Disk::put_back`] (an older copy of the folder in
//! its place).
//!
//! Deterministic: the only randomness is the generator handed to [`Disk::crash`] and
//! [`Disk::flip_bit`].

mod cursor;
mod disk;
pub mod tree;

pub use disk::{CrashReport, Disk, Image, SyncMode, UNSYNCED_BYTES_MAX};

use std::fmt;

use bytes::Bytes;

use crate::{Cf, Cursor, Engine, EngineError, Reader, Scan, Snapshot, WriteBatch, engine::Broken};
use cursor::MemCursor;
use tree::Tree;

/// An [`Engine`] in memory, on a [`Disk`].
#[derive(Clone)]
pub struct MemEngine {
    disk: Disk,
    /// The life of the disk in which this engine was opened.
    life: u64,
}

impl MemEngine {
    /// An engine on an empty disk of its own.
    #[must_use]
    pub fn new() -> MemEngine {
        Disk::new().open()
    }

    /// The disk below.
    #[must_use]
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    fn tree(&self, cf: Cf) -> Result<Tree, EngineError> {
        self.disk.read(self.life, |trees| trees[cf as usize].clone())
    }
}

impl Default for MemEngine {
    fn default() -> MemEngine {
        MemEngine::new()
    }
}

impl fmt::Debug for MemEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemEngine").field("life", &self.life).finish_non_exhaustive()
    }
}

impl Reader for MemEngine {
    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.disk.read(self.life, |trees| trees[cf as usize].get(key).cloned())
    }

    fn scan(
        &self,
        scan: Scan<'_>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), EngineError> {
        // The visitor runs on a copy (of one pointer), not under the lock: it may read or write.
        MemCursor::new(self.tree(scan.cf)?, scan).visit(visit)
    }

    fn cursor<'a>(&'a self, scan: Scan<'a>) -> Box<dyn Cursor + 'a> {
        match self.tree(scan.cf) {
            Ok(tree) => Box::new(MemCursor::new(tree, scan)),
            Err(error) => Box::new(Broken(error)),
        }
    }
}

impl Engine for MemEngine {
    fn write(&self, batch: WriteBatch) -> Result<(), EngineError> {
        self.disk.write(self.life, batch)
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.disk.sync(self.life)
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        let trees = self.disk.read(self.life, Clone::clone);
        Box::new(MemSnapshot { trees })
    }

    fn name(&self) -> &'static str {
        "memory"
    }
}

/// The trees at one moment; they share all that did not change since.
struct MemSnapshot {
    trees: Result<[Tree; Cf::ALL.len()], EngineError>,
}

impl MemSnapshot {
    fn tree(&self, cf: Cf) -> Result<&Tree, EngineError> {
        self.trees.as_ref().map(|trees| &trees[cf as usize]).map_err(Clone::clone)
    }
}

impl Reader for MemSnapshot {
    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(self.tree(cf)?.get(key).cloned())
    }

    fn scan(
        &self,
        scan: Scan<'_>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), EngineError> {
        MemCursor::new(self.tree(scan.cf)?.clone(), scan).visit(visit)
    }

    fn cursor<'a>(&'a self, scan: Scan<'a>) -> Box<dyn Cursor + 'a> {
        match self.tree(scan.cf) {
            Ok(tree) => Box::new(MemCursor::new(tree.clone(), scan)),
            Err(error) => Box::new(Broken(error)),
        }
    }
}

impl Snapshot for MemSnapshot {}

#[cfg(test)]
mod tests;
