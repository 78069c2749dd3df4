//! AWS ClockBound on this machine: a file in memory, read as `clock::clockbound` says.

use clock::{
    Bound, BoundSource,
    clockbound::{PATHS, SegmentError, parse},
};

/// How often a segment is read again that was being written.
const ATTEMPTS: u32 = 100;

/// ClockBound.
#[derive(Debug)]
pub struct ClockBound;

impl BoundSource for ClockBound {
    fn poll(&self) -> Result<Bound, String> {
        poll_any(&PATHS)
    }

    fn name(&self) -> &'static str {
        "clockbound"
    }
}

/// The bound in the first of these files that is there.
pub fn poll_any(paths: &[&str]) -> Result<Bound, String> {
    let found = paths.iter().find(|path| std::path::Path::new(path).exists());
    let path = found.ok_or_else(|| {
        format!("ClockBound does not run on its machine: there is no {}", paths.join(" nor "))
    })?;
    let read = || std::fs::read(path).map_err(|error| format!("{path}: {error}"));
    for _ in 0..ATTEMPTS {
        match parse(&read()?, &read()?) {
            Ok(bound) => return Ok(bound),
            Err(SegmentError::InTheMidst) => {}
            Err(error @ (SegmentError::Foreign | SegmentError::NotSynchronized)) => {
                return Err(format!("{path}: {error}"));
            }
        }
    }
    Err(format!("{path}: {}", SegmentError::InTheMidst))
}
