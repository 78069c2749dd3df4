//! A cursor on RocksDB's iterator, within bounds.

use std::ops::Bound;

use rocksdb::{DB, DBRawIteratorWithThreadMode, ReadOptions};
use storage::{Cf, Cursor, EngineError, Scan, encoding};

use crate::failed;

/// A cursor over the database as it was when the cursor was made.
pub(crate) struct RocksCursor<'a> {
    iterator: DBRawIteratorWithThreadMode<'a, DB>,
    scan: Scan<'a>,
}

/// The options for a scan: bounds, and whether a bloom filter may answer.
pub(crate) fn read_options(scan: &Scan<'_>) -> ReadOptions {
    let mut options = ReadOptions::default();
    // RocksDB's lower bound is inclusive and its upper bound exclusive; a zero byte behind a key
    // makes the next key.
    match scan.start {
        Bound::Included(start) => options.set_iterate_lower_bound(start),
        Bound::Excluded(start) => options.set_iterate_lower_bound(next(start)),
        Bound::Unbounded => {}
    }
    match scan.end {
        Bound::Included(end) => options.set_iterate_upper_bound(next(end)),
        Bound::Excluded(end) => options.set_iterate_upper_bound(end),
        Bound::Unbounded => {}
    }
    options.set_total_order_seek(!within_one_key(scan));
    options
}

/// Whether all keys of a scan begin with the same encoded user key, so that the filter over encoded
/// user keys can tell that a table file has none of them. Both bounds begin with it, hence whatever
/// lies between does, and no encoded key is a prefix of another one. Only upwards: seeking
/// downwards may have to look at the table before the one the filter speaks of.
pub(crate) fn within_one_key(scan: &Scan<'_>) -> bool {
    let Bound::Included(start) = scan.start else { return false };
    let (Bound::Included(end) | Bound::Excluded(end)) = scan.end else { return false };
    scan.cf == Cf::Data
        && !scan.reverse
        && encoding::encoded_len(start).is_some_and(|len| end.starts_with(&start[..len]))
}

/// Visits from where the cursor is to its end.
pub(crate) fn visit(
    cursor: &mut dyn Cursor,
    visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Result<(), EngineError> {
    while let Some((key, value)) = cursor.entry() {
        if !visit(key, value) {
            return Ok(());
        }
        cursor.advance()?;
    }
    cursor.status()
}

impl<'a> RocksCursor<'a> {
    /// At the first entry of the scan. An error waits for [`Cursor::status`].
    pub(crate) fn new(
        mut iterator: DBRawIteratorWithThreadMode<'a, DB>,
        scan: Scan<'a>,
    ) -> RocksCursor<'a> {
        match (scan.reverse, scan.start) {
            // Within one key the filter is asked for the key sought, so it has to be sought.
            (false, Bound::Included(start) | Bound::Excluded(start)) => iterator.seek(start),
            (false, Bound::Unbounded) => iterator.seek_to_first(),
            (true, _) => iterator.seek_to_last(),
        }
        RocksCursor { iterator, scan }
    }
}

impl Cursor for RocksCursor<'_> {
    fn entry(&self) -> Option<(&[u8], &[u8])> {
        self.iterator.item()
    }

    fn advance(&mut self) -> Result<(), EngineError> {
        if self.iterator.valid() {
            match self.scan.reverse {
                false => self.iterator.next(),
                true => self.iterator.prev(),
            }
        }
        self.status()
    }

    fn seek(&mut self, key: &[u8]) -> Result<(), EngineError> {
        // Beyond a bound, RocksDB seeks to the bound.
        match self.scan.reverse {
            false => self.iterator.seek(key),
            true => self.iterator.seek_for_prev(key),
        }
        self.status()
    }

    fn status(&self) -> Result<(), EngineError> {
        let doing = || format!("reading {}", self.scan.cf.name());
        self.iterator.status().map_err(|error| failed(&doing(), &error))
    }
}

/// The least key above `key`.
fn next(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}
