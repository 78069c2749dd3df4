//! A range's data in chunks, for a replica that fell behind the log.
//!
//! The sender exports from one [`crate::Snapshot`] chunk by chunk; the receiver puts each chunk beside
//! its live data ([`stage`]), however large the whole is. Once all is there it removes the old data
//! ([`clear_span`]) together with the state that says so, and moves the new data in, a part at a time
//! ([`unstage`]); moved twice, a part is the same. Before, a crash leaves the old range, and behind it
//! one that knows that it has to move on.
//!
//! Entries travel as they are stored, checksums included; both ends check them, so a flipped bit on
//! one replica's disk does not spread (S3).

use bytes::Bytes;
use keys::{RangeId, Span, layout};
use serde::{Deserialize, Serialize};

use super::{
    intent,
    version::{self, bounds},
};
use crate::{Cf, EngineError, Reader, Scan, WriteBatch, records, sealed::corrupted};

/// The column families that hold a range's data, in the order they are exported.
const EXPORTED: [Cf; 3] = [Cf::Data, Cf::Intents, Cf::Records];

/// A stored entry: column family, key, value.
pub type Entry = (Cf, Bytes, Bytes);

/// Where an export goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportPosition {
    /// The column family.
    pub cf: Cf,
    /// The last key exported from it.
    pub after: Bytes,
}

/// A part of a range's data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// The entries, in order.
    pub entries: Vec<Entry>,
    /// Where the next chunk starts; `None` if this was the last.
    pub next: Option<ExportPosition>,
}

/// Why a chunk from another node is not taken. Nothing of it may be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// An entry does not belong to the range.
    #[error("entry {entry} of the chunk ({cf}) lies outside {span}")]
    Outside {
        /// Its place in the chunk.
        entry: usize,
        /// The name of its column family.
        cf: &'static str,
        /// The range's span.
        span: Span,
    },
    /// An entry contradicts its checksum.
    #[error("entry {entry} of the chunk is damaged: {cause}")]
    Damaged {
        /// Its place in the chunk.
        entry: usize,
        /// What is wrong with it.
        cause: String,
    },
}

/// The next chunk: all versions, intents and transaction records of the keys in `span`, until it
/// has `chunk_bytes` or a little more. `from` is `None` for the first, then the `next` of the one
/// before.
///
/// # Errors
/// If the disk fails or an entry contradicts its checksum (S3).
pub fn export_span(
    reader: &dyn Reader,
    span: &Span,
    from: Option<&ExportPosition>,
    chunk_bytes: usize,
) -> Result<Chunk, EngineError> {
    let mut chunk = Chunk { entries: Vec::new(), next: None };
    let mut bytes = 0;
    let first = from.map_or(EXPORTED[0], |position| position.cf);
    for cf in EXPORTED.into_iter().skip_while(|&cf| cf != first) {
        let (mut start, end) = cf_bounds(cf, span);
        if let Some(position) = from.filter(|position| position.cf == cf) {
            start = position.after.to_vec();
            start.push(0);
        }
        let mut failed = None;
        if start >= end {
            continue;
        }
        reader.scan(Scan::new(cf, &start, &end), &mut |key, value| {
            failed = verify(cf, key, value).err();
            bytes += key.len() + value.len();
            chunk.entries.push((cf, Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
            failed.is_none() && bytes < chunk_bytes
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        if bytes >= chunk_bytes
            && let Some((cf, key, _)) = chunk.entries.last()
        {
            chunk.next = Some(ExportPosition { cf: *cf, after: key.clone() });
            return Ok(chunk);
        }
    }
    Ok(chunk)
}

/// Removes all versions, intents and transaction records of the keys in `span`.
pub fn clear_span(batch: &mut WriteBatch, span: &Span) {
    for cf in EXPORTED {
        let (start, end) = cf_bounds(cf, span);
        batch.delete_range(cf, start, end);
    }
}

/// Puts the entries of a chunk beside the live data of a range.
///
/// # Errors
/// If an entry does not belong to `span` or is damaged; the batch is then not to be used.
pub fn stage(
    batch: &mut WriteBatch,
    range: RangeId,
    span: &Span,
    entries: impl IntoIterator<Item = Entry>,
) -> Result<(), ImportError> {
    for (entry, (cf, key, value)) in entries.into_iter().enumerate() {
        let (start, end) = cf_bounds(cf, span);
        if !EXPORTED.contains(&cf) || *key < *start || *key >= *end {
            return Err(ImportError::Outside { entry, cf: cf.name(), span: span.clone() });
        }
        verify(cf, &key, &value)
            .map_err(|error| ImportError::Damaged { entry, cause: error.to_string() })?;
        let mut staged = staged_start(range);
        staged.push(cf as u8);
        staged.extend_from_slice(&key);
        batch.put(Cf::Staged, staged, value);
    }
    Ok(())
}

/// Puts what is staged for a range into its live data, from `from` on ([`unstage`]'s answer; `None` is
/// the beginning) until it has `bytes` or a little more. Answers where to go on; `None`: that was all.
/// What was moved stays staged, so that a crash moves it again, until [`clear_staged`].
///
/// # Errors
/// If the disk fails, or what is staged is no range's data.
pub fn unstage(
    reader: &dyn Reader,
    batch: &mut WriteBatch,
    range: RangeId,
    from: Option<Bytes>,
    bytes: usize,
) -> Result<Option<Bytes>, EngineError> {
    let (start, end) = (from.unwrap_or_else(|| staged_start(range).into()), staged_end(range));
    let (mut moved, mut next, mut failed) = (0, None, None);
    reader.scan(Scan::new(Cf::Staged, &start, &end), &mut |key, value| {
        if moved >= bytes.max(1) {
            next = Some(Bytes::copy_from_slice(key));
            return false;
        }
        let (head, live) = key.split_at(STAGED_HEAD.min(key.len()));
        match EXPORTED.into_iter().find(|cf| head.last() == Some(&(*cf as u8))) {
            Some(cf) => {
                batch.put(cf, Bytes::copy_from_slice(live), Bytes::copy_from_slice(value));
            }
            None => failed = Some(corrupted(Cf::Staged, key, "no range's data".to_owned())),
        }
        moved += key.len() + value.len();
        failed.is_none()
    })?;
    failed.map_or(Ok(next), Err)
}

/// Removes what is staged for a range.
pub fn clear_staged(batch: &mut WriteBatch, range: RangeId) {
    batch.delete_range(Cf::Staged, staged_start(range), staged_end(range));
}

/// Whether anything is staged for a range.
///
/// # Errors
/// If the disk fails.
pub fn is_staged(reader: &dyn Reader, range: RangeId) -> Result<bool, EngineError> {
    let (start, end) = (staged_start(range), staged_end(range));
    let mut found = false;
    reader.scan(Scan::new(Cf::Staged, &start, &end), &mut |_, _| {
        found = true;
        false
    })?;
    Ok(found)
}

/// Bytes before the live key in a staged one: the range, and the column family.
const STAGED_HEAD: usize = 9;

fn staged_start(range: RangeId) -> Vec<u8> {
    layout::range_key(range).to_vec()
}

fn staged_end(range: RangeId) -> Vec<u8> {
    let mut end = staged_start(range);
    end.push(u8::MAX);
    end
}

fn cf_bounds(cf: Cf, span: &Span) -> (Vec<u8>, Vec<u8>) {
    match cf {
        Cf::Data => bounds(span),
        Cf::Records => records::bounds(span),
        Cf::Intents | Cf::Log | Cf::State | Cf::Staged => (span.start.to_vec(), span.end.to_vec()),
    }
}

fn verify(cf: Cf, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
    match cf {
        Cf::Data => version::check(key, value),
        Cf::Intents => intent::parse(key, value).map(|_| ()),
        Cf::Records => records::parse(key).map(|_| ()),
        Cf::Log | Cf::State | Cf::Staged => Ok(()),
    }
}
