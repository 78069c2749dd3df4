//! One version as it is stored, and a cursor that moves from version to version.

use std::ops::Bound;

use bytes::Bytes;
use clock::Timestamp;
use keys::{Key, Span};

use crate::{
    Cf, Cursor, EngineError, Reader, Scan, WriteBatch,
    encoding::{self, encode},
    sealed::{self, corrupted},
};

/// How many versions a read steps over before it seeks. A seek costs about as much as this many
/// steps and then some; two or three versions per key are the common case.
pub const STEPS_BEFORE_SEEK: usize = 6;

/// Length of the inverted timestamp at the end of a version's key, in bytes.
const TIMESTAMP_BYTES: usize = 12;

/// First byte of the body: the key was deleted.
const TAG_TOMBSTONE: u8 = 0;
/// First byte of the body: the value follows.
const TAG_VALUE: u8 = 1;

/// The key in [`Cf::Data`] of a version: `encode(key) ++ inverted timestamp`.
#[must_use]
pub fn version_key(key: &Key, ts: Timestamp) -> Vec<u8> {
    let mut out = encode(key, TIMESTAMP_BYTES);
    push_timestamp(&mut out, ts);
    out
}

/// Writes a version; `None` is a tombstone. Writing the same version again changes nothing.
///
/// # Panics
/// If `ts` is zero, which means "no version".
pub fn put_version(batch: &mut WriteBatch, key: &Key, ts: Timestamp, value: Option<&[u8]>) {
    assert!(ts > Timestamp::ZERO, "a version of {key} at timestamp zero");
    let stored_key = version_key(key, ts);
    let stored = match value {
        None => sealed::seal(Cf::Data, &stored_key, &[&[TAG_TOMBSTONE]]),
        Some(value) => sealed::seal(Cf::Data, &stored_key, &[&[TAG_VALUE], value]),
    };
    batch.put(Cf::Data, stored_key, stored);
}

/// The bounds, `start <= key < end`, of all versions of the keys in `span`.
pub(super) fn bounds(span: &Span) -> (Vec<u8>, Vec<u8>) {
    (encode(&span.start, 0), encode(&span.end, 0))
}

/// The bounds, `start <= key < end`, of the versions of one key at or below `at`. Both have the
/// same encoded key in front, which tells the engine that a bloom filter may answer.
pub(super) fn point_bounds(key: &Key, at: Timestamp) -> (Vec<u8>, Vec<u8>) {
    (version_key(key, at), version_key(key, Timestamp::ZERO))
}

/// Appends the timestamp with all bits inverted: newest first.
pub(super) fn push_timestamp(out: &mut Vec<u8>, ts: Timestamp) {
    out.extend(ts.to_bytes().iter().map(|byte| !byte));
}

/// A version where it lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored<'a> {
    /// The whole key in [`Cf::Data`].
    pub(super) stored_key: &'a [u8],
    /// The encoded user key: `stored_key` without the timestamp.
    pub(super) encoded: &'a [u8],
    /// From when on it is valid.
    pub(super) ts: Timestamp,
    /// The sealed value.
    pub(super) stored: &'a [u8],
}

impl<'a> Stored<'a> {
    fn parse(stored_key: &'a [u8], stored: &'a [u8]) -> Result<Stored<'a>, EngineError> {
        let (encoded, inverted) = stored_key
            .split_last_chunk::<TIMESTAMP_BYTES>()
            .filter(|(encoded, _)| encoding::ends_encoded(encoded))
            .ok_or_else(|| corrupted(Cf::Data, stored_key, "not the key of a version"))?;
        let ts = Timestamp::from_bytes(inverted.map(|byte| !byte));
        Ok(Stored { stored_key, encoded, ts, stored })
    }

    /// The value, checked against its checksum; `None` for a tombstone.
    pub(super) fn value(&self) -> Result<Option<&'a [u8]>, EngineError> {
        match sealed::open(Cf::Data, self.stored_key, self.stored)?.split_first() {
            Some((&TAG_TOMBSTONE, [])) => Ok(None),
            Some((&TAG_VALUE, value)) => Ok(Some(value)),
            _ => Err(corrupted(Cf::Data, self.stored_key, "neither a value nor a tombstone")),
        }
    }

    /// Replaces the content of `out` by the user key.
    pub(super) fn key_into(&self, out: &mut Vec<u8>) -> Result<(), EngineError> {
        match encoding::decode_into(self.encoded, out) {
            Some(len) if len == self.encoded.len() => Ok(()),
            _ => Err(corrupted(Cf::Data, self.stored_key, "not an encoded key")),
        }
    }

    /// The user key.
    pub(super) fn key(&self) -> Result<Key, EngineError> {
        let mut out = Vec::new();
        self.key_into(&mut out)?;
        Ok(Key::from_vec(out))
    }
}

/// Whether an entry of [`Cf::Data`] is a version, as far as that shows in itself.
///
/// # Errors
/// It is none, or contradicts its checksum (S3).
pub(super) fn check(stored_key: &[u8], stored: &[u8]) -> Result<(), EngineError> {
    let version = Stored::parse(stored_key, stored)?;
    version.key()?;
    version.value()?;
    if version.ts == Timestamp::ZERO {
        return Err(corrupted(Cf::Data, stored_key, "a version at timestamp zero"));
    }
    Ok(())
}

/// A cursor over versions, in the order they are stored or against it.
pub(super) struct Versions<'a> {
    cursor: Box<dyn Cursor + 'a>,
    /// Where a seek goes; kept to spare allocations.
    target: Vec<u8>,
}

impl<'a> Versions<'a> {
    /// At the first version of `start <= key < end` upwards.
    pub(super) fn forward(reader: &'a dyn Reader, start: &'a [u8], end: &'a [u8]) -> Versions<'a> {
        let cursor = reader.cursor(Scan::new(Cf::Data, start, end));
        Versions { cursor, target: Vec::new() }
    }

    /// At the last version of `start <= key < end`, downwards.
    pub(super) fn reverse(reader: &'a dyn Reader, start: &'a [u8], end: &'a [u8]) -> Versions<'a> {
        let (start, end) = (Bound::Included(start), Bound::Excluded(end));
        let cursor = reader.cursor(Scan { cf: Cf::Data, start, end, reverse: true });
        Versions { cursor, target: Vec::new() }
    }

    /// The version at the position; `None` behind the end.
    pub(super) fn current(&self) -> Result<Option<Stored<'_>>, EngineError> {
        match self.cursor.entry() {
            Some((key, value)) => Stored::parse(key, value).map(Some),
            None => self.cursor.status().map(|()| None),
        }
    }

    /// The version at the position, if it is one of this key.
    pub(super) fn current_of(&self, encoded: &[u8]) -> Result<Option<Stored<'_>>, EngineError> {
        Ok(self.current()?.filter(|stored| stored.encoded == encoded))
    }

    /// To the next version in the cursor's direction.
    pub(super) fn advance(&mut self) -> Result<(), EngineError> {
        self.cursor.advance()
    }

    /// Forward, from a version of this key: to its newest version at or below `at`, if there is
    /// one, else to another key.
    pub(super) fn skip_newer(&mut self, encoded: &[u8], at: Timestamp) -> Result<(), EngineError> {
        for _ in 0..STEPS_BEFORE_SEEK {
            match self.current_of(encoded)? {
                Some(stored) if stored.ts > at => self.cursor.advance()?,
                Some(_) | None => return Ok(()),
            }
        }
        self.target.clear();
        self.target.extend_from_slice(encoded);
        push_timestamp(&mut self.target, at);
        self.cursor.seek(&self.target)
    }

    /// Forward, from a version of this key: to the next key.
    pub(super) fn skip_key(&mut self, encoded: &[u8]) -> Result<(), EngineError> {
        for _ in 0..STEPS_BEFORE_SEEK {
            if self.current_of(encoded)?.is_none() {
                return Ok(());
            }
            self.cursor.advance()?;
        }
        self.target.clear();
        self.target.extend_from_slice(encoded);
        encoding::make_successor(&mut self.target);
        self.cursor.seek(&self.target)
    }

    /// Reverse, from a version of this key: to the key before it, at its oldest version.
    pub(super) fn skip_key_down(&mut self, encoded: &[u8]) -> Result<(), EngineError> {
        self.cursor.seek(encoded)
    }
}

/// Copies a value out.
pub(super) fn to_bytes(value: Option<&[u8]>) -> Option<Bytes> {
    value.map(Bytes::copy_from_slice)
}
