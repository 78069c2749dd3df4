//! What AWS ClockBound says of the machine's clock, read from the bytes of its shared memory.
//!
//! The daemon writes a small file that clients map or read (its page "ClockBound Shared Memory
//! Protocol", versions 1 and 2; numbers are in the machine's byte order):
//!
//! ```text
//!   0   magic 0x414D5A4E 0x43420200 (two u32)     48  bound, i64 nanoseconds
//!   8   size of the segment, u32                       version 1              version 2
//!   12  version, u16                              56  max drift, u32 ppb     disruption marker, u64
//!   14  generation, u16                           60  reserved, u32
//!   16  as of, i64 seconds and i64 nanoseconds    64  clock status, i32      max drift, u32 ppb
//!   32  void after, the same                      68  padding                clock status, i32
//!                                                 72                         disruption support, u8
//! ```
//!
//! `as of` and `void after` are of the machine's monotonic clock; the bound is how far its wall clock
//! is from the true time at most, and grows by `max drift` since. The generation is odd while the
//! daemon writes, and another one after each write: who reads it before and after and finds the same
//! even number has read what belongs together ([`parse`] takes both readings).
//!
//! HAZARD: the kernel may hand out the bytes of the segment one after the other. The daemon writes once
//! a second, so two whole readings that agree are taken for one state.

use crate::Bound;

/// Where the daemons of version 2 and of version 1 write.
pub const PATHS: [&str; 2] = ["/var/run/clockbound/shm0", "/var/run/clockbound/shm"];

/// What marks a segment.
const MAGIC: [u32; 2] = [0x414d_5a4e, 0x4342_0200];

/// A drift that no clock has: the segment is damaged.
const ABSURD_DRIFT_PPB: u32 = 1_000_000_000;

/// The daemon writes every second. If it has not for so long, nobody keeps watch on the clock.
const SILENCE_NANOS: u64 = 5_000_000_000;

/// Why a segment names no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentError {
    /// It is being written: read it again.
    InTheMidst,
    /// It is none, or of a version that this does not know.
    Foreign,
    /// The daemon does not know, or the clock runs free, or was disrupted.
    NotSynchronized,
}

impl std::fmt::Display for SegmentError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            SegmentError::InTheMidst => {
                "ClockBound's memory was being written whenever it was read"
            }
            SegmentError::Foreign => {
                "ClockBound's memory is of no version that is known here (1 and 2 are)"
            }
            SegmentError::NotSynchronized => {
                "ClockBound says that its machine's clock is not synchronized"
            }
        })
    }
}

impl std::error::Error for SegmentError {}

/// The bound in a segment, of which the same bytes were read twice.
///
/// # Errors
/// Why there is none.
pub fn parse(first: &[u8], second: &[u8]) -> Result<Bound, SegmentError> {
    let segment = Segment(first);
    let [a, b] = [segment.u32(0), segment.u32(4)].map(|word| word.unwrap_or_default());
    let size = segment.u32(8).unwrap_or_default() as usize;
    if [a, b] != MAGIC || size > first.len() {
        return Err(SegmentError::Foreign);
    }
    let generation = segment.u16(14).ok_or(SegmentError::Foreign)?;
    if generation == 0 || generation % 2 == 1 || first != second {
        return Err(SegmentError::InTheMidst);
    }
    let (drift_at, status_at) = match segment.u16(12) {
        Some(1) => (56, 64),
        Some(2) => (64, 68),
        Some(_) | None => return Err(SegmentError::Foreign),
    };
    let read = || {
        let (as_of, void_after) = (segment.time(16)?, segment.time(32)?);
        let epsilon_nanos = u64::try_from(segment.i64(48)?).ok()?;
        let (drift_ppb, status) = (segment.u32(drift_at)?, segment.u32(status_at)?);
        Some((as_of, void_after, epsilon_nanos, drift_ppb, status))
    };
    let (as_of, void_after, epsilon_nanos, drift_ppb, status) =
        read().ok_or(SegmentError::Foreign)?;
    if drift_ppb >= ABSURD_DRIFT_PPB {
        return Err(SegmentError::Foreign);
    }
    // 0 is unknown, 2 is free running, 3 is disrupted.
    if status != 1 {
        return Err(SegmentError::NotSynchronized);
    }
    let void_after = void_after.min(as_of.saturating_add(SILENCE_NANOS));
    Ok(Bound { epsilon_nanos, as_of, drift_ppb, void_after })
}

/// The bytes of a segment, of which some may be missing.
struct Segment<'a>(&'a [u8]);

impl Segment<'_> {
    fn bytes<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..at + N)?.try_into().ok()
    }

    fn u16(&self, at: usize) -> Option<u16> {
        self.bytes(at).map(u16::from_ne_bytes)
    }

    fn u32(&self, at: usize) -> Option<u32> {
        self.bytes(at).map(u32::from_ne_bytes)
    }

    fn i64(&self, at: usize) -> Option<i64> {
        self.bytes(at).map(i64::from_ne_bytes)
    }

    /// Seconds and nanoseconds of the monotonic clock, in nanoseconds.
    fn time(&self, at: usize) -> Option<u64> {
        let (seconds, nanos) = (self.i64(at)?, self.i64(at + 8)?);
        let whole = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        u64::try_from(whole).ok()
    }
}

#[cfg(test)]
mod tests;
