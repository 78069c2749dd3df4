//! Where the true time of a cluster in one process comes from.
//!
//! Live (a demo): the machine's wall clock, read once, and tokio's clock since; its nodes know no other
//! time, so a step of the machine's is none to them. Virtual: a constant, and tokio's paused clock. One
//! code for both, so that what is found in one face holds in the other. A node on a machine of its own
//! follows that machine instead ([`clock::MachineClock`]).

use std::{sync::Arc, time::UNIX_EPOCH};

use clock::TrueTime;
use net::TokioTicker;

/// When every simulation begins: 1 January 2026, 00:00 UTC, in nanoseconds since the Unix epoch.
pub const VIRTUAL_ORIGIN_NANOS: u64 = 1_767_225_600_000_000_000;

/// The machine's wall clock as it reads now, from here on driven by its monotonic clock: a later
/// step of the wall clock does not move it.
///
/// # Panics
/// If the machine's clock stands before 1970 or after 2554.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place where the live face reads a clock")]
pub fn live() -> TrueTime {
    let ticker = TokioTicker::start();
    let wall = std::time::SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let origin_nanos = u64::try_from(wall.as_nanos()).expect("before 2554");
    TrueTime::new(origin_nanos, Arc::new(ticker))
}

/// A time that starts at [`VIRTUAL_ORIGIN_NANOS`] and passes as the runtime's paused clock does.
#[must_use]
pub fn simulated() -> TrueTime {
    TrueTime::new(VIRTUAL_ORIGIN_NANOS, Arc::new(TokioTicker::start()))
}
