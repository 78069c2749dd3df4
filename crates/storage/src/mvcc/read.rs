//! Reading versions: points, scans, and "did anything change above this timestamp?".

use std::ops::ControlFlow;

use bytes::Bytes;
use clock::Timestamp;
use keys::{Key, Span};

use super::version::Stored;
use super::version::{STEPS_BEFORE_SEEK, Versions, bounds, point_bounds, push_timestamp, to_bytes};
use crate::{EngineError, Reader};

/// A version of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// From when on it is valid: the commit timestamp of the transaction that wrote it.
    pub ts: Timestamp,
    /// The value; `None` if the key was deleted then.
    pub value: Option<Bytes>,
}

/// A key that has a value at the timestamp read. Borrowed: valid during the visit only.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The user key.
    pub key: &'a [u8],
    /// The commit timestamp of the version.
    pub ts: Timestamp,
    /// The value.
    pub value: &'a [u8],
}

/// Which way a scan goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// From the least key upwards.
    #[default]
    Forward,
    /// From the greatest key downwards.
    Reverse,
}

/// Where a scan stops. It stops *behind* the row that reaches a limit, so it always makes progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanLimits {
    /// Rows visited; at least 1.
    pub rows: usize,
    /// Bytes of keys and values visited.
    pub bytes: usize,
    /// Keys looked at, those without a value at the timestamp included; at least 1. Bounds the time
    /// one call may take.
    pub keys: usize,
}

impl ScanLimits {
    /// No limit: for tests, checksums and spans known to be small.
    pub const NONE: ScanLimits =
        ScanLimits { rows: usize::MAX, bytes: usize::MAX, keys: usize::MAX };
}

/// What a scan reads.
#[derive(Clone, Copy, Debug)]
pub struct ScanOptions {
    /// The timestamp of the snapshot.
    pub at: Timestamp,
    /// Which way.
    pub direction: Direction,
    /// Where to stop.
    pub limits: ScanLimits,
}

impl ScanOptions {
    /// Everything at this timestamp, upwards.
    #[must_use]
    pub const fn all(at: Timestamp) -> ScanOptions {
        ScanOptions { at, direction: Direction::Forward, limits: ScanLimits::NONE }
    }
}

/// The newest version of a key at or below `at`; it may be a tombstone.
///
/// # Errors
/// If the disk fails or the version contradicts its checksum (S3).
pub fn get(reader: &dyn Reader, key: &Key, at: Timestamp) -> Result<Option<Version>, EngineError> {
    let (start, end) = point_bounds(key, at);
    let versions = Versions::forward(reader, &start, &end);
    let Some(stored) = versions.current()? else { return Ok(None) };
    Ok(Some(Version { ts: stored.ts, value: to_bytes(stored.value()?) }))
}

/// The timestamp of the newest version of a key, tombstones included.
///
/// # Errors
/// If the disk fails or the version contradicts its checksum (S3).
pub fn newest_on_key(reader: &dyn Reader, key: &Key) -> Result<Option<Timestamp>, EngineError> {
    let (start, end) = point_bounds(key, Timestamp::MAX);
    let versions = Versions::forward(reader, &start, &end);
    let Some(stored) = versions.current()? else { return Ok(None) };
    stored.value()?;
    Ok(Some(stored.ts))
}

/// Some key of the span with a version above `above`, however far in the future, tombstones
/// included, and its newest timestamp: what makes a validation fail (X1). The least such key.
///
/// # Errors
/// If the disk fails or the version contradicts its checksum (S3).
pub fn newest_in_span(
    reader: &dyn Reader,
    span: &Span,
    above: Timestamp,
) -> Result<Option<(Key, Timestamp)>, EngineError> {
    if span.is_point() {
        let newest = newest_on_key(reader, &span.start)?;
        return Ok(newest.filter(|&ts| ts > above).map(|ts| (span.start.clone(), ts)));
    }
    let (start, end) = bounds(span);
    let mut versions = Versions::forward(reader, &start, &end);
    let mut encoded = Vec::new();
    while let Some(stored) = versions.current()? {
        if stored.ts > above {
            stored.value()?;
            return Ok(Some((stored.key()?, stored.ts)));
        }
        encoded.clear();
        encoded.extend_from_slice(stored.encoded);
        versions.skip_key(&encoded)?;
    }
    Ok(None)
}

/// Visits the rows of a span as of a timestamp, until a limit is reached or the visitor breaks.
/// Returns what is left of the span then; `None` if the end was reached. A row visited is never
/// left over.
///
/// # Errors
/// If the disk fails or a version contradicts its checksum (S3).
///
/// # Panics
/// If the limit of rows or keys is zero: such a scan would never end.
pub fn scan(
    reader: &dyn Reader,
    span: &Span,
    options: &ScanOptions,
    visit: &mut dyn FnMut(Row<'_>) -> ControlFlow<()>,
) -> Result<Option<Span>, EngineError> {
    scan_counting(reader, span, options, visit).map(|(rest, _)| rest)
}

/// As [`scan`]; and how many keys it looked at, those without a value at the timestamp included.
///
/// # Errors
/// As [`scan`].
///
/// # Panics
/// As [`scan`].
pub fn scan_counting(
    reader: &dyn Reader,
    span: &Span,
    options: &ScanOptions,
    visit: &mut dyn FnMut(Row<'_>) -> ControlFlow<()>,
) -> Result<(Option<Span>, usize), EngineError> {
    let limits = options.limits;
    assert!(limits.rows > 0 && limits.keys > 0, "a scan without progress: {limits:?}");
    let mut rows = Rows { limits, visited: 0, bytes: 0, keys: 0, key: Vec::new(), visit };
    let rest = match options.direction {
        Direction::Forward => scan_forward(reader, span, options.at, &mut rows),
        Direction::Reverse => scan_reverse(reader, span, options.at, &mut rows),
    }?;
    Ok((rest, rows.keys))
}

/// The visitor and how much it has had.
struct Rows<'v> {
    limits: ScanLimits,
    visited: usize,
    bytes: usize,
    keys: usize,
    /// The key last looked at, decoded.
    key: Vec<u8>,
    visit: &'v mut dyn FnMut(Row<'_>) -> ControlFlow<()>,
}

impl Rows<'_> {
    /// Takes the version of the next key that is valid at the timestamp, if there is one. Breaks if
    /// the scan ends behind this key.
    fn take(&mut self, version: Option<Stored<'_>>) -> Result<ControlFlow<()>, EngineError> {
        self.keys += 1;
        let mut flow = ControlFlow::Continue(());
        if let Some(stored) = version
            && let Some(value) = stored.value()?
        {
            self.visited += 1;
            self.bytes += self.key.len() + value.len();
            flow = (self.visit)(Row { key: &self.key, ts: stored.ts, value });
        }
        let full = self.visited >= self.limits.rows
            || self.keys >= self.limits.keys
            || self.bytes >= self.limits.bytes;
        Ok(if full { ControlFlow::Break(()) } else { flow })
    }
}

fn scan_forward(
    reader: &dyn Reader,
    span: &Span,
    at: Timestamp,
    rows: &mut Rows<'_>,
) -> Result<Option<Span>, EngineError> {
    let (start, end) = bounds(span);
    let mut versions = Versions::forward(reader, &start, &end);
    let mut encoded = Vec::new();
    loop {
        let Some(newest) = versions.current()? else { return Ok(None) };
        newest.key_into(&mut rows.key)?;
        encoded.clear();
        encoded.extend_from_slice(newest.encoded);
        versions.skip_newer(&encoded, at)?;
        if rows.take(versions.current_of(&encoded)?)?.is_break() {
            let rest = Key::from(rows.key.as_slice()).next();
            return Ok((rest < span.end).then(|| Span::new(rest, span.end.clone())));
        }
        versions.skip_key(&encoded)?;
    }
}

/// Downwards, the versions of a key come oldest first: the one wanted is the last at or below `at`.
/// A few steps find it, or else a look from above.
fn scan_reverse(
    reader: &dyn Reader,
    span: &Span,
    at: Timestamp,
    rows: &mut Rows<'_>,
) -> Result<Option<Span>, EngineError> {
    let (start, end) = bounds(span);
    let mut versions = Versions::reverse(reader, &start, &end);
    let mut candidate = Candidate::default();
    loop {
        let Some(oldest) = versions.current()? else { return Ok(None) };
        oldest.key_into(&mut rows.key)?;
        candidate.start(oldest.encoded);
        if !candidate.step_up(&mut versions, at)? {
            candidate.look_from_above(reader, at)?;
            versions.skip_key_down(&candidate.encoded)?;
        }
        if rows.take(candidate.stored())?.is_break() {
            let rest = Key::from(rows.key.as_slice());
            return Ok((span.start < rest).then(|| Span::new(span.start.clone(), rest)));
        }
    }
}

/// The best version so far of the key at which a reverse scan is. Copied, because the cursor has to
/// move on before it is known to be the best; the buffers are used again for every key.
#[derive(Default)]
struct Candidate {
    encoded: Vec<u8>,
    stored_key: Vec<u8>,
    stored: Vec<u8>,
    ts: Option<Timestamp>,
}

impl Candidate {
    fn start(&mut self, encoded: &[u8]) {
        self.encoded.clear();
        self.encoded.extend_from_slice(encoded);
        self.ts = None;
    }

    /// Steps towards newer versions. True once the cursor is at another key; false if there were so
    /// many versions that it gave up.
    fn step_up(&mut self, versions: &mut Versions<'_>, at: Timestamp) -> Result<bool, EngineError> {
        for _ in 0..STEPS_BEFORE_SEEK {
            match versions.current_of(&self.encoded)? {
                None => return Ok(true),
                Some(stored) if stored.ts <= at => self.set(stored),
                Some(_) => {}
            }
            versions.advance()?;
        }
        Ok(versions.current_of(&self.encoded)?.is_none())
    }

    fn look_from_above(&mut self, reader: &dyn Reader, at: Timestamp) -> Result<(), EngineError> {
        let (mut start, mut end) = (self.encoded.clone(), self.encoded.clone());
        push_timestamp(&mut start, at);
        push_timestamp(&mut end, Timestamp::ZERO);
        self.ts = None;
        if let Some(stored) = Versions::forward(reader, &start, &end).current()? {
            self.set(stored);
        }
        Ok(())
    }

    fn set(&mut self, stored: Stored<'_>) {
        self.stored_key.clear();
        self.stored_key.extend_from_slice(stored.stored_key);
        self.stored.clear();
        self.stored.extend_from_slice(stored.stored);
        self.ts = Some(stored.ts);
    }

    fn stored(&self) -> Option<Stored<'_>> {
        self.ts.map(|ts| Stored {
            stored_key: &self.stored_key,
            encoded: &self.encoded,
            ts,
            stored: &self.stored,
        })
    }
}
