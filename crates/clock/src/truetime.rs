//! Where a process's true time comes from.
//!
//! The same code serves both faces: live, the origin is the wall clock at the start of the process
//! and the ticker runs on; virtual, the origin is a constant and the ticker is a paused clock that
//! jumps from timer to timer. All nodes of such a process share it, so that a step of the machine's
//! wall clock, which is read once and never again, is none to them. A node that others on other machines
//! rely on cannot do so: see [`crate::MachineClock`].

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Time elapsed since some fixed moment; never goes back. The async shells implement it with
/// tokio's clock, which this crate does not know.
pub trait Ticker: Send + Sync + fmt::Debug + 'static {
    /// Time since the ticker's start.
    fn elapsed(&self) -> Duration;
}

/// The true time as this process knows it: an origin, and what has elapsed since. Shared by all
/// nodes of a process, whose clocks then differ by what their models say and by nothing else.
#[derive(Clone, Debug)]
pub struct TrueTime {
    /// Nanoseconds since the Unix epoch when the ticker read zero.
    origin_nanos: u64,
    ticker: Arc<dyn Ticker>,
}

impl TrueTime {
    /// The true time that was `origin_nanos` (since the Unix epoch) when the ticker read zero.
    #[must_use]
    pub fn new(origin_nanos: u64, ticker: Arc<dyn Ticker>) -> TrueTime {
        TrueTime { origin_nanos, ticker }
    }

    /// The true time, in nanoseconds since the Unix epoch.
    #[must_use]
    pub fn now_nanos(&self) -> u64 {
        self.at(self.elapsed_nanos())
    }

    /// Nanoseconds since the ticker's start.
    #[must_use]
    pub fn elapsed_nanos(&self) -> u64 {
        u64::try_from(self.ticker.elapsed().as_nanos())
            .expect("a process lives less than 584 years")
    }

    /// The true time at a reading of the ticker.
    pub(crate) fn at(&self, elapsed_nanos: u64) -> u64 {
        self.origin_nanos.checked_add(elapsed_nanos).expect("true time lies before the year 2554")
    }
}

/// A ticker that moves only when told: for tests of protocol cores.
#[derive(Debug, Default)]
pub struct ManualTicker(AtomicU64);

impl ManualTicker {
    /// A ticker that reads zero.
    #[must_use]
    pub fn new() -> Arc<ManualTicker> {
        Arc::default()
    }

    /// Moves the ticker forward.
    pub fn advance(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).expect("an advance of less than 584 years");
        self.0.fetch_add(nanos, Ordering::SeqCst);
    }
}

impl Ticker for ManualTicker {
    fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::SeqCst))
    }
}
