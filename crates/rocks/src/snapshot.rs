//! A consistent view that owns its share of the database.

use std::sync::Arc;

use bytes::Bytes;
use rocksdb::{DB, ReadOptions, SnapshotWithThreadMode};
use storage::{Cf, Cursor, EngineError, Reader, Scan, Snapshot};

use crate::{
    copied,
    cursor::{self, RocksCursor},
    handle,
};

/// RocksDB's snapshot borrows the database; the contract wants a view that can be sent to another
/// task. So this owns both. The fields are dropped in this order: the snapshot is released first.
pub(crate) struct RocksSnapshot {
    snapshot: SnapshotWithThreadMode<'static, DB>,
    db: Arc<DB>,
}

impl RocksSnapshot {
    pub(crate) fn new(db: Arc<DB>) -> RocksSnapshot {
        let snapshot = extend_lifetime(db.snapshot());
        RocksSnapshot { snapshot, db }
    }
}

/// Forgets what the snapshot borrows. Only for [`RocksSnapshot::new`], which keeps the database
/// alive beside it and never hands the snapshot out.
#[expect(unsafe_code, reason = "a snapshot that owns its database cannot be written in safe Rust")]
fn extend_lifetime(
    snapshot: SnapshotWithThreadMode<'_, DB>,
) -> SnapshotWithThreadMode<'static, DB> {
    // SAFETY: only the lifetime changes. The borrowed `DB` lies behind an `Arc`, so it does not
    // move, and `RocksSnapshot` holds that `Arc` in a field that is dropped after the snapshot.
    unsafe { std::mem::transmute(snapshot) }
}

impl Reader for RocksSnapshot {
    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let options = ReadOptions::default();
        copied(cf, self.snapshot.get_pinned_cf_opt(handle(&self.db, cf), key, options))
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
        let iterator = self.snapshot.raw_iterator_cf_opt(handle(&self.db, scan.cf), options);
        Box::new(RocksCursor::new(iterator, scan))
    }
}

impl Snapshot for RocksSnapshot {}
