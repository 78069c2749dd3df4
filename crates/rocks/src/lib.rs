//! The engine on RocksDB: what makes a node's data outlive its process.
//!
//! The only crate that links C++; everything else builds and tests without it. It implements
//! [`storage::Engine`] and adds nothing of its own to the contract.
//!
//! # How the contract is kept
//!
//! | contract | RocksDB |
//! |---|---|
//! | a batch is atomic, over families too | one record in the database's one write-ahead log |
//! | `write` is visible, not durable | log record handed to the operating system, no fsync |
//! | `sync` makes durable what was written | `FlushWAL(sync)`: fsync beside which writes go on |
//! | a crash loses a suffix | recovery replays the log up to its torn end |
//! | snapshots and cursors are consistent | sequence numbers |
//!
//! A killed process loses nothing: the operating system has every record. A power failure loses
//! what was not synced. Before a memtable is flushed to a table file, RocksDB syncs the logs that
//! hold its records, so no column family can get ahead of the others by it.
//!
//! # Recovery, and why it may refuse
//!
//! Recovery mode is `TolerateCorruptedTailRecords`: a record cut short at the end of the log is
//! what a crash leaves, and is dropped; a record with a wrong checksum is an error and the database
//! does not open. The mode that most use, `PointInTime`, stops at the first wrong record *wherever
//! it is* and opens without a word, so a rotten sector among synced records would silently lose
//! promises that the node had answered (S1, S3).
//!
//! A directory in which a file is missing is refused too, before RocksDB takes it for a new one or opens
//! what is left; the error names the file and what to do ([`OpenError::Corrupted`]). Of the logs only
//! the last one can be missing unnoticed, where older ones are still there: such a directory is behind
//! what the node has shown to its peers, and they refuse it (P0a).
//!
//! # Hazards
//!
//! - After a power failure the operating system may have written the pages of the unsynced tail out
//!   of order. Then its first wrong record is not the last one, and the database refuses to open
//!   although all synced records are there. The node then stays down, which is always
//!   safe; opening without those records would be safe here, and silent loss in the case above: the
//!   two look the same.
//! - A failed fsync stops the node (S3): the engine refuses every write and sync after it. Opening
//!   again reads what the disk has.
//!
//! # Bloom filters and order
//!
//! Versions of a key share a prefix, the encoded user key, and table files remember which prefixes
//! they hold. A read of one key asks the filter; any other cursor must not, it would miss the
//! neighbours. The engine decides by the bounds: see `cursor::within_one_key`.

mod cursor;
mod open;
mod options;
mod snapshot;

pub use open::OpenError;
pub use options::{
    BLOCK_CACHE_BYTES, MAX_OPEN_FILES, Memory, RocksOptions, WAL_BYTES_MAX, WRITE_BUFFER_BYTES,
    WRITE_BUFFERS_BYTES,
};

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use rocksdb::{ColumnFamily, DB, ErrorKind, ReadOptions, WriteOptions};
use storage::{Cf, Cursor, Engine, EngineError, Op, Reader, Scan, Snapshot, WriteBatch};

use cursor::RocksCursor;
use snapshot::RocksSnapshot;

/// An [`Engine`] on a RocksDB database in a directory of its own.
pub struct RocksEngine {
    db: Arc<DB>,
    path: PathBuf,
    /// The first error of a write or sync. Each later one repeats it (S3): a second fsync may succeed
    /// although the first lost its pages.
    failed: OnceLock<EngineError>,
    /// Keeps what the database borrows from the process: cache and write-buffer manager.
    _memory: Memory,
}

impl RocksEngine {
    /// Opens the database in `path`, or creates it.
    ///
    /// # Errors
    /// [`OpenError`]: in use, no space, corrupted, or what the file system said.
    pub fn open(path: impl AsRef<Path>, options: &RocksOptions) -> Result<RocksEngine, OpenError> {
        let path = path.as_ref();
        let db = Arc::new(open::open(path, options)?);
        let memory = options.memory.clone();
        Ok(RocksEngine { db, path: path.to_path_buf(), failed: OnceLock::new(), _memory: memory })
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Does what changes the disk, unless that failed before.
    fn unless_failed(
        &self,
        doing: &str,
        change: impl FnOnce(&DB) -> Result<(), rocksdb::Error>,
    ) -> Result<(), EngineError> {
        if let Some(error) = self.failed.get() {
            return Err(error.clone());
        }
        change(&self.db).map_err(|error| self.failed.get_or_init(|| failed(doing, &error)).clone())
    }

    /// Writes the memtables to table files now. Not needed for durability: [`Engine::sync`] is.
    ///
    /// # Errors
    /// If the disk fails (S3).
    pub fn flush(&self) -> Result<(), EngineError> {
        for cf in Cf::ALL {
            self.db.flush_cf(handle(&self.db, cf)).map_err(|e| failed("flushing", &e))?;
        }
        Ok(())
    }

    /// Compacts everything: after a large deletion, or to measure what the data really takes.
    pub fn compact(&self) {
        for cf in Cf::ALL {
            self.db.compact_range_cf(handle(&self.db, cf), None::<&[u8]>, None::<&[u8]>);
        }
    }

    /// A number RocksDB keeps about a column family, such as `rocksdb.estimate-live-data-size`.
    /// `None` if it knows no such property.
    #[must_use]
    pub fn property(&self, cf: Cf, name: &str) -> Option<u64> {
        self.db.property_int_value_cf(handle(&self.db, cf), name).ok().flatten()
    }
}

impl fmt::Debug for RocksEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksEngine").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Reader for RocksEngine {
    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let found = self.db.get_pinned_cf_opt(handle(&self.db, cf), key, &ReadOptions::default());
        copied(cf, found)
    }

    fn scan(
        &self,
        scan: Scan<'_>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), EngineError> {
        cursor::visit(&mut *self.cursor(scan), visit)
    }

    fn cursor<'a>(&'a self, scan: Scan<'a>) -> Box<dyn Cursor + 'a> {
        let options = cursor::read_options(&scan);
        let iterator = self.db.raw_iterator_cf_opt(handle(&self.db, scan.cf), options);
        Box::new(RocksCursor::new(iterator, scan))
    }
}

impl Engine for RocksEngine {
    fn write(&self, batch: WriteBatch) -> Result<(), EngineError> {
        let mut out = rocksdb::WriteBatch::default();
        for op in &batch.ops {
            match op {
                Op::Put(cf, key, value) => out.put_cf(handle(&self.db, *cf), key, value),
                Op::Delete(cf, key) => out.delete_cf(handle(&self.db, *cf), key),
                // RocksDB calls an empty interval an error; in the contract it is nothing to do.
                Op::DeleteRange(_, start, end) if start >= end => {}
                Op::DeleteRange(cf, start, end) => {
                    out.delete_range_cf(handle(&self.db, *cf), start, end);
                }
            }
        }
        self.unless_failed("writing", |db| db.write_opt(out, &WriteOptions::default()))
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.unless_failed("syncing the write-ahead log", |db| db.flush_wal(true))
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        Box::new(RocksSnapshot::new(Arc::clone(&self.db)))
    }

    fn name(&self) -> &'static str {
        "rocksdb"
    }
}

/// The handle of a column family.
fn handle(db: &DB, cf: Cf) -> &ColumnFamily {
    db.cf_handle(cf.name()).expect("every column family is opened with the database")
}

fn copied(
    cf: Cf,
    found: Result<Option<rocksdb::DBPinnableSlice<'_>>, rocksdb::Error>,
) -> Result<Option<Bytes>, EngineError> {
    match found {
        Ok(value) => Ok(value.map(|value| Bytes::copy_from_slice(&value))),
        Err(error) => Err(failed(&format!("reading {}", cf.name()), &error)),
    }
}

/// RocksDB's error as the contract has it.
fn failed(doing: &str, error: &rocksdb::Error) -> EngineError {
    EngineError {
        doing: doing.to_owned(),
        cause: error.to_string(),
        corruption: error.kind() == ErrorKind::Corruption,
    }
}

#[cfg(test)]
mod tests;
