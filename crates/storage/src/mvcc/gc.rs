//! Garbage collection of versions (S4).
//!
//! Reads at or above the threshold must not notice. So of each key there remain:
//!
//! ```text
//!   threshold 5:     b!9  b!7   |  b!5   b!3   b!1        newer <- -> older
//!                    keep keep  |  keep  drop  drop
//!                                   ^^^ what a read at 5 sees
//!
//!   a tombstone:     c!9        |  c!4†  c!2              a read at 5 sees no row anyway
//!                    keep       |  drop  drop
//! ```
//!
//! A tombstone goes last, in a batch in which nothing older remains: if one call's limit cuts a key
//! in two, the tombstone stays, or the version below it would come back to life.

use clock::Timestamp;
use keys::Span;

use super::version::{Versions, bounds};
use crate::{Cf, EngineError, Reader, WriteBatch};

/// How much one call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GcLimits {
    /// Versions removed, at most; at least 1.
    pub removals: usize,
    /// Keys looked at, at most; at least 1.
    pub keys: usize,
}

/// What one call did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GcStats {
    /// Keys looked at to their end.
    pub keys: usize,
    /// Versions removed.
    pub removed: usize,
    /// Bytes of keys and values removed.
    pub bytes: usize,
    /// What is left of the span, for the next call; `None` if the end was reached.
    pub rest: Option<Span>,
}

/// Removes versions of the keys in `span` that no read at or above `threshold` sees.
///
/// # Errors
/// If the disk fails or a version contradicts its checksum (S3).
///
/// # Panics
/// If a limit is zero: such a call would make no progress.
pub fn gc(
    reader: &dyn Reader,
    span: &Span,
    threshold: Timestamp,
    limits: GcLimits,
    batch: &mut WriteBatch,
) -> Result<GcStats, EngineError> {
    assert!(limits.removals > 0 && limits.keys > 0, "GC without progress: {limits:?}");
    let (start, end) = bounds(span);
    let mut versions = Versions::forward(reader, &start, &end);
    let mut stats = GcStats::default();
    let mut encoded = Vec::new();
    while let Some(newest) = versions.current()? {
        if stats.keys == limits.keys {
            stats.rest = Some(Span::new(newest.key()?, span.end.clone()));
            return Ok(stats);
        }
        encoded.clear();
        encoded.extend_from_slice(newest.encoded);
        let key = newest.key()?;
        versions.skip_newer(&encoded, threshold)?;
        let done = gc_key(&mut versions, &encoded, limits.removals, &mut stats, batch)?;
        if !done {
            stats.rest = Some(Span::new(key, span.end.clone()));
            return Ok(stats);
        }
        stats.keys += 1;
    }
    Ok(stats)
}

/// From the newest version at or below the threshold to the next key. False if the limit of
/// removals came first.
fn gc_key(
    versions: &mut Versions<'_>,
    encoded: &[u8],
    removals: usize,
    stats: &mut GcStats,
    batch: &mut WriteBatch,
) -> Result<bool, EngineError> {
    let Some(visible) = versions.current_of(encoded)? else { return Ok(true) };
    let tombstone = match visible.value()? {
        Some(_) => None,
        None => Some((visible.stored_key.to_vec(), visible.stored.len())),
    };
    versions.advance()?;
    while let Some(old) = versions.current_of(encoded)? {
        if stats.removed == removals {
            return Ok(false);
        }
        remove(old.stored_key.to_vec(), old.stored.len(), stats, batch);
        versions.advance()?;
    }
    if let Some((stored_key, stored_len)) = tombstone {
        if stats.removed == removals {
            return Ok(false);
        }
        remove(stored_key, stored_len, stats, batch);
    }
    Ok(true)
}

fn remove(key: Vec<u8>, value_len: usize, stats: &mut GcStats, batch: &mut WriteBatch) {
    stats.removed += 1;
    stats.bytes += key.len() + value_len;
    batch.delete(Cf::Data, key);
}
