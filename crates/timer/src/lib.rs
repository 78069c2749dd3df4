//! Timers: tokio's, with a tick that a simulation chooses.
//!
//! tokio's timers tick in whole milliseconds. That is fine for a database whose messages take
//! tens of them, and useless for one whose commit-wait takes 200 microseconds. In virtual time there
//! is a way out: nothing says that a virtual second must be a second of tokio's paused clock. With
//! a tick of 10 microseconds, a hundred of tokio's seconds are one second here; nothing takes
//! longer, since paused time is never waited for.
//!
//! ```text
//!   here     0          10 us        20 us        30 us           tick = 10 us
//!   tokio    0          1 ms         2 ms         3 ms            scale = 100
//! ```
//!
//! Everything that a simulation runs takes its time from here: [`Instant`], [`sleep`],
//! [`sleep_until`], [`timeout`], [`timeout_at`] are those of tokio, and exactly those unless
//! [`with_tick`] is at work on the thread. What runs live has no other tick than tokio's.
//!
//! Beside them lies [`contain`]: where a panic ends a task and nothing else.
//!
//! HAZARD: instants taken under one tick mean nothing under another. [`with_tick`] encloses a whole
//! simulation, runtime included, and no instant outlives it.

pub mod contain;

use std::{
    cell::Cell,
    fmt,
    ops::{Add, AddAssign, Sub},
    time::Duration,
};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    time,
};

pub use tokio::time::{Sleep, Timeout, error::Elapsed};

/// The time between two moments at which a timer may fire.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// How many of tokio's seconds are one second with this tick.
    scale: u32,
}

/// A tick must divide a millisecond and be no shorter than a microsecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TickError(Duration);

impl Tick {
    /// That of tokio's timers, and the longest there is.
    pub const MILLISECOND: Tick = Tick { scale: 1 };

    /// The shortest there is: with one of a nanosecond, an hour would overflow tokio's timer wheel.
    pub const MICROSECOND: Tick = Tick { scale: 1_000 };

    /// A tick of this length.
    ///
    /// # Errors
    /// If it is longer than a millisecond, shorter than a microsecond, or divides no millisecond.
    pub fn new(length: Duration) -> Result<Tick, TickError> {
        let millisecond = Tick::MILLISECOND.length();
        if !(Tick::MICROSECOND.length()..=millisecond).contains(&length) {
            return Err(TickError(length));
        }
        let scale = millisecond.as_nanos() / length.as_nanos();
        if scale * length.as_nanos() != millisecond.as_nanos() {
            return Err(TickError(length));
        }
        Ok(Tick { scale: u32::try_from(scale).expect("at most a thousand") })
    }

    /// Its length.
    #[must_use]
    pub fn length(self) -> Duration {
        Duration::from_millis(1) / self.scale
    }
}

impl fmt::Debug for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.length().fmt(f)
    }
}

impl fmt::Display for TickError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a tick divides 1ms and is not below 1us; {:?} is none", self.0)
    }
}

impl std::error::Error for TickError {}

thread_local! {
    /// The tick of the simulation that runs on this thread.
    static TICK: Cell<Tick> = const { Cell::new(Tick::MILLISECOND) };
}

/// The tick on this thread.
#[must_use]
pub fn tick() -> Tick {
    TICK.get()
}

fn scale() -> u32 {
    TICK.get().scale
}

/// Lets what is ready to run on this thread run first: whoever gathers what others bring gets more of
/// it at a time, on a thread that is busy, and loses nothing on an idle one. Where there is but one
/// thread, as in virtual time, computing takes no time, and it goes on at once.
pub async fn after_the_ready() {
    if Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread {
        tokio::task::yield_now().await;
    }
}

/// Runs a whole simulation, its runtime included, with this tick.
///
/// # Panics
/// If a simulation with a tick of its own runs on this thread already.
pub fn with_tick<T>(tick: Tick, simulation: impl FnOnce() -> T) -> T {
    let before = TICK.replace(tick);
    assert_eq!(before, Tick::MILLISECOND, "one simulation inside another");
    let _restore = Restore;
    simulation()
}

/// Puts tokio's own tick back, also after a panic.
struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        TICK.set(Tick::MILLISECOND);
    }
}

/// As long on tokio's clock as `here` is here.
fn outside(here: Duration) -> Duration {
    here.saturating_mul(scale())
}

/// As long here as `outside` is on tokio's clock.
fn inside(outside: Duration) -> Duration {
    outside / scale()
}

/// A moment on the runtime's clock, as [`tokio::time::Instant`]. Durations between moments are in
/// the thread's own time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(time::Instant);

impl Instant {
    /// This moment.
    #[must_use]
    pub fn now() -> Instant {
        Instant(time::Instant::now())
    }

    /// How long ago it was.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        inside(self.0.elapsed())
    }

    /// How long after `earlier` it is; zero if it is not.
    #[must_use]
    pub fn saturating_duration_since(&self, earlier: Instant) -> Duration {
        inside(self.0.saturating_duration_since(earlier.0))
    }

    /// How long after `earlier` it is; zero if it is not, as with tokio's.
    #[must_use]
    pub fn duration_since(&self, earlier: Instant) -> Duration {
        inside(self.0.duration_since(earlier.0))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, later: Duration) -> Instant {
        Instant(self.0 + outside(later))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, later: Duration) {
        *self = *self + later;
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;

    fn sub(self, earlier: Duration) -> Instant {
        Instant(self.0 - outside(earlier))
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        self.duration_since(earlier)
    }
}

/// Resolves after this time, as [`tokio::time::sleep`].
pub fn sleep(time: Duration) -> Sleep {
    time::sleep(outside(time))
}

/// Resolves at this moment, as [`tokio::time::sleep_until`].
pub fn sleep_until(moment: Instant) -> Sleep {
    time::sleep_until(moment.0)
}

/// The future's answer if it comes in this time, as [`tokio::time::timeout`].
pub fn timeout<F: Future>(time: Duration, future: F) -> Timeout<F> {
    time::timeout(outside(time), future)
}

/// The future's answer if it comes before this moment, as [`tokio::time::timeout_at`].
pub fn timeout_at<F: Future>(moment: Instant, future: F) -> Timeout<F> {
    time::timeout_at(moment.0, future)
}

/// A sleep that is set anew: as [`tokio::time::Sleep::reset`].
pub fn reset(sleep: std::pin::Pin<&mut Sleep>, moment: Instant) {
    sleep.reset(moment.0);
}

#[cfg(test)]
mod tests;
