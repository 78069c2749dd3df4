//! What a replica remembers beside its data: in the `state` column family, under the range's id.
//!
//! | key | what | written |
//! |---|---|---|
//! | `range ++ 'd'` | [`paxos::Durable`]: promise, horizon, truncation | by the group |
//! | `range ++ 'a'` | [`Applied`]: how far the log is applied | with every batch of effects (S2) |
//! | `range ++ 'r'` | [`RangeState`]: descriptor, GC threshold, splits | when it changes |
//! | `range ++ 's'` | [`Installing`]: a snapshot's data are being moved in | when that begins and ends |
//!
//! The log lies in its own column family under `range ++ slot`. All numbers big-endian, so slots
//! are in order. All values are sealed with a checksum; a wrong one stops the node (S3).

use bytes::Bytes;
use clock::Timestamp;
use keys::{Key, NodeId, RangeId, layout};
use kv::Descriptor;
use paxos::{Durable, Entry, Slot};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use storage::{Cf, EngineError, Reader, Scan, WriteBatch, sealed};

const TAG_DURABLE: u8 = b'd';
const TAG_APPLIED: u8 = b'a';
const TAG_RANGE: u8 = b'r';
const TAG_INSTALLING: u8 = b's';

/// How far a replica has applied its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Every slot up to here is applied; 0: none.
    pub slot: Slot,
    /// The highest timestamp named by an applied entry, resolutions included (R1). Survives
    /// truncation and snapshots.
    pub max_timestamp: Timestamp,
}

/// What the log says about the range itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeState {
    /// Its span, voters, generation.
    pub descriptor: Descriptor,
    /// No read or validation below this (S4); zero: none was refused yet.
    pub gc_threshold: Timestamp,
    /// The splits applied, oldest first: they make a repeated request idempotent, and tell a
    /// replica that skips them by a snapshot which children it must give birth to. At most
    /// [`SPLITS_KEPT`].
    pub splits: Vec<SplitRecord>,
    /// A child whose data has not arrived: its node got the parent's state by a snapshot from after
    /// the split. It votes, but applies nothing until a snapshot of its own arrives.
    pub blank: bool,
}

/// A snapshot is staged whole and its data are on their way into the range's, which is blank so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installing {
    /// Who sent it.
    pub from: NodeId,
}

impl Installing {
    /// Reads it; `None` if nothing is being installed.
    ///
    /// # Errors
    /// If the disk fails or the record contradicts its checksum (S3).
    pub fn read(reader: &dyn Reader, range: RangeId) -> Result<Option<Installing>, EngineError> {
        read(reader, range, TAG_INSTALLING)
    }

    /// Writes it.
    pub fn write(&self, batch: &mut WriteBatch, range: RangeId) {
        write(batch, range, TAG_INSTALLING, self);
    }

    /// Removes it.
    pub fn clear(batch: &mut WriteBatch, range: RangeId) {
        batch.delete(Cf::State, Bytes::copy_from_slice(&state_key(range, TAG_INSTALLING)));
    }
}

/// The splits a range remembers; the oldest is forgotten first. A replica that missed more than
/// this many splits while it was away does not find all children by itself.
pub const SPLITS_KEPT: usize = 4096;

/// A split that was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitRecord {
    /// Its slot in the parent's log.
    pub slot: Slot,
    /// The ballot under which it was first proposed: part of the child's promise (section 8).
    pub first: paxos::Ballot,
    /// The child at birth.
    pub child: Descriptor,
}

impl RangeState {
    /// The state of a range that was just created.
    #[must_use]
    pub fn new(descriptor: Descriptor) -> RangeState {
        RangeState { descriptor, gc_threshold: Timestamp::ZERO, splits: Vec::new(), blank: false }
    }

    /// The range as all its replicas began, if they were made by a message: a replica that was not made
    /// then may be made of it at any time. `None` for the child of a split, and for a range that forgot
    /// its first split.
    #[must_use]
    pub fn birth(&self) -> Option<Descriptor> {
        let splits = self.splits.len() as u64;
        let end = self.splits.first().map_or(&self.descriptor.span.end, |s| &s.child.span.end);
        (self.descriptor.generation == 1 + splits && !self.blank).then(|| {
            let mut birth = Descriptor { generation: 1, ..self.descriptor.clone() };
            birth.span.end = end.clone();
            birth
        })
    }

    /// Reads a range's state; `None` if there is no such range here.
    ///
    /// # Errors
    /// If the disk fails or the state contradicts its checksum (S3).
    pub fn read(reader: &dyn Reader, range: RangeId) -> Result<Option<RangeState>, EngineError> {
        read(reader, range, TAG_RANGE)
    }

    /// Writes it.
    pub fn write(&self, batch: &mut WriteBatch) {
        write(batch, self.descriptor.id, TAG_RANGE, self);
    }
}

impl Applied {
    /// Reads how far a range is applied; zero if there is no such range here.
    ///
    /// # Errors
    /// If the disk fails or the state contradicts its checksum (S3).
    pub fn read(reader: &dyn Reader, range: RangeId) -> Result<Applied, EngineError> {
        Ok(read(reader, range, TAG_APPLIED)?.unwrap_or_default())
    }

    /// Writes it.
    pub fn write(&self, batch: &mut WriteBatch, range: RangeId) {
        write(batch, range, TAG_APPLIED, self);
    }
}

/// Reads the group's own record; `None` if there is none.
///
/// # Errors
/// If the disk fails or the record contradicts its checksum (S3).
pub fn read_durable(reader: &dyn Reader, range: RangeId) -> Result<Option<Durable>, EngineError> {
    read(reader, range, TAG_DURABLE)
}

/// Writes the group's own record.
pub fn write_durable(batch: &mut WriteBatch, range: RangeId, durable: &Durable) {
    write(batch, range, TAG_DURABLE, durable);
}

/// Puts an entry into the log.
pub fn write_entry(batch: &mut WriteBatch, range: RangeId, slot: Slot, entry: &Entry) {
    let key = log_key(range, slot);
    let body = postcard::to_stdvec(entry).expect("an entry can always be serialized");
    let stored = sealed::seal(Cf::Log, &key, &[&body]);
    batch.put(Cf::Log, key, stored);
}

/// Removes all slots up to and including this one from the log.
pub fn truncate_log(batch: &mut WriteBatch, range: RangeId, through: Slot) {
    let start = log_key(range, Slot(0));
    batch.delete_range(Cf::Log, start, log_key(range, Slot(through.0 + 1)));
}

/// The log as it lies on disk above a slot, in order, up to a slot and until it has `bytes` or a little
/// more.
///
/// # Errors
/// If the disk fails or an entry contradicts its checksum (S3).
pub fn read_log(
    reader: &dyn Reader,
    range: RangeId,
    after: Slot,
    through: Slot,
    bytes: usize,
) -> Result<Vec<(Slot, Entry)>, EngineError> {
    let (start, end) = (log_key(range, after.next()), log_key(range, through.next()));
    let mut entries = Vec::new();
    let (mut weight, mut failed) = (0, None);
    reader.scan(Scan::new(Cf::Log, &start, &end), &mut |key, stored| {
        match parse::<Entry>(Cf::Log, key, stored) {
            Ok(entry) => entries.push((slot_of(key), entry)),
            Err(error) => failed = Some(error),
        }
        weight += stored.len();
        failed.is_none() && weight < bytes
    })?;
    failed.map_or(Ok(entries), Err)
}

/// The ranges that have a replica on this disk, by id.
///
/// # Errors
/// If the disk fails.
pub fn list(reader: &dyn Reader) -> Result<Vec<RangeId>, EngineError> {
    let mut ranges = Vec::new();
    reader.scan(Scan::new(Cf::State, &[], &[0xff; 10]), &mut |key, _| {
        if let Some((id, [TAG_RANGE])) = key.split_first_chunk::<8>() {
            ranges.push(RangeId(u64::from_be_bytes(*id)));
        }
        true
    })?;
    Ok(ranges)
}

/// Where a span is cut for a child: its descriptor and the parent's new one.
#[must_use]
pub fn divide(parent: &Descriptor, at: &Key, child: RangeId) -> (Descriptor, Descriptor) {
    assert!(parent.span.contains(at) && *at > parent.span.start, "{at} does not divide {parent}");
    let mut left = parent.clone();
    left.generation = left.generation.saturating_add(1);
    let mut right = left.clone();
    right.id = child;
    left.span.end = at.clone();
    right.span.start = at.clone();
    (left, right)
}

fn state_key(range: RangeId, tag: u8) -> [u8; 9] {
    let mut key = [tag; 9];
    key[..8].copy_from_slice(&layout::range_key(range));
    key
}

fn log_key(range: RangeId, slot: Slot) -> Bytes {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&layout::range_key(range));
    key[8..].copy_from_slice(&slot.0.to_be_bytes());
    Bytes::copy_from_slice(&key)
}

fn slot_of(key: &[u8]) -> Slot {
    let (_, slot) = key.split_last_chunk::<8>().expect("a log key ends with a slot");
    Slot(u64::from_be_bytes(*slot))
}

fn read<T: DeserializeOwned>(
    reader: &dyn Reader,
    range: RangeId,
    tag: u8,
) -> Result<Option<T>, EngineError> {
    let key = state_key(range, tag);
    reader.get(Cf::State, &key)?.map(|stored| parse(Cf::State, &key, &stored)).transpose()
}

fn write<T: Serialize>(batch: &mut WriteBatch, range: RangeId, tag: u8, value: &T) {
    let key = state_key(range, tag);
    let body = postcard::to_stdvec(value).expect("state can always be serialized");
    let stored = sealed::seal(Cf::State, &key, &[&body]);
    batch.put(Cf::State, Bytes::copy_from_slice(&key), stored);
}

fn parse<T: DeserializeOwned>(cf: Cf, key: &[u8], stored: &[u8]) -> Result<T, EngineError> {
    let body = sealed::open(cf, key, stored)?;
    postcard::from_bytes(body).map_err(|error| sealed::corrupted(cf, key, error.to_string()))
}
