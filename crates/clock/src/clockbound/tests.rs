//! Segments as the daemon writes them, and every way in which one may be none.

use super::*;

/// A synchronized segment of a version.
fn segment(version: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(MAGIC.iter().flat_map(|word| word.to_ne_bytes()));
    let size: u32 = if version == 1 { 72 } else { 80 };
    bytes.extend(size.to_ne_bytes());
    bytes.extend(version.to_ne_bytes());
    bytes.extend(8u16.to_ne_bytes());
    for number in [100i64, 5, 1_100, 0, 400_000] {
        bytes.extend(number.to_ne_bytes());
    }
    if version == 1 {
        bytes.extend([1_000u32, 0, 1, 0].iter().flat_map(|word| word.to_ne_bytes()));
    } else {
        bytes.extend(77u64.to_ne_bytes());
        bytes.extend([1_000u32, 1].iter().flat_map(|word| word.to_ne_bytes()));
        bytes.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    }
    assert_eq!(bytes.len(), size as usize);
    bytes
}

fn once(bytes: &[u8]) -> Result<Bound, SegmentError> {
    parse(bytes, bytes)
}

fn put(bytes: &mut [u8], at: usize, what: &[u8]) {
    bytes[at..at + what.len()].copy_from_slice(what);
}

#[test]
fn both_versions_are_read() {
    let bound = Bound {
        epsilon_nanos: 400_000,
        as_of: 100_000_000_005,
        drift_ppb: 1_000,
        void_after: 105_000_000_005,
    };
    assert_eq!(once(&segment(1)), Ok(bound));
    assert_eq!(once(&segment(2)), Ok(bound));
    let mut soon = segment(2);
    put(&mut soon, 32, &101i64.to_ne_bytes());
    assert_eq!(once(&soon), Ok(Bound { void_after: 101_000_000_000, ..bound }));
}

#[test]
fn what_is_being_written_is_read_again() {
    let whole = segment(2);
    let mut odd = whole.clone();
    put(&mut odd, 14, &9u16.to_ne_bytes());
    let mut fresh = whole.clone();
    put(&mut fresh, 14, &0u16.to_ne_bytes());
    let mut next = whole.clone();
    put(&mut next, 14, &10u16.to_ne_bytes());
    let mut torn = whole.clone();
    put(&mut torn, 48, &1i64.to_ne_bytes());
    for (first, second) in [(&odd, &odd), (&fresh, &fresh), (&whole, &next), (&whole, &torn)] {
        assert_eq!(parse(first, second), Err(SegmentError::InTheMidst));
    }
}

#[test]
fn a_clock_that_nobody_keeps_has_no_bound() {
    for (version, at) in [(1, 64), (2, 68)] {
        for status in [0i32, 2, 3, -1] {
            let mut bytes = segment(version);
            put(&mut bytes, at, &status.to_ne_bytes());
            assert_eq!(once(&bytes), Err(SegmentError::NotSynchronized), "{version} {status}");
        }
    }
}

#[test]
fn what_is_no_segment_is_foreign() {
    for version in [1, 2] {
        let whole = segment(version);
        for length in 0..whole.len() {
            assert_eq!(once(&whole[..length]), Err(SegmentError::Foreign), "{length} bytes");
        }
        let wrong: [(usize, &[u8]); 6] = [
            (0, &[0xff]),
            (5, &[0xff]),
            (12, &3u16.to_ne_bytes()),
            (16, &(-1i64).to_ne_bytes()),
            (48, &(-1i64).to_ne_bytes()),
            (if version == 1 { 56 } else { 64 }, &u32::MAX.to_ne_bytes()),
        ];
        for (at, what) in wrong {
            let mut bytes = whole.clone();
            put(&mut bytes, at, what);
            assert_eq!(once(&bytes), Err(SegmentError::Foreign), "{what:?} at {at}");
        }
    }
}
