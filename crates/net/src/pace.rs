//! What moves simulated time: a ticker for true time, and an alarm for the simulated network.
//!
//! tokio's timers tick in milliseconds and round up. Two hops of a 0.5 ms round trip would become
//! 2 ms, four times too long. So the live face waits on a thread of its own that sleeps on a
//! condition variable, precise to a tenth of a millisecond and free when idle; the virtual face
//! waits on a tokio timer, since only that moves the paused clock, and the network rounds its
//! deliveries to whole ticks without bias.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use clock::Ticker;
use timer::Instant;
use tokio::sync::Notify;

/// The tick of timers, in nanoseconds: in virtual time nothing happens in between.
pub(crate) fn tick_nanos() -> u64 {
    timer::tick().length().as_nanos() as u64
}

/// How simulated time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As fast as real time, on a thread of its own.
    Live,
    /// As fast as the runtime's paused clock jumps; on that runtime.
    Virtual,
}

/// Time elapsed on tokio's clock: real, or virtual while the runtime is paused.
#[derive(Clone, Copy, Debug)]
pub struct TokioTicker(Instant);

impl TokioTicker {
    /// A ticker that reads zero now.
    #[must_use]
    pub fn start() -> TokioTicker {
        TokioTicker(Instant::now())
    }
}

impl Ticker for TokioTicker {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// State behind a mutex, and a way to wait for a moment or a change of it.
#[derive(Debug)]
pub(crate) struct Paced<T> {
    pace: Pace,
    state: Mutex<T>,
    live: Condvar,
    virt: Notify,
}

/// What a step of the loop in [`Paced`] asks for next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Step again at this moment, or when woken.
    At(Instant),
    /// Step again when woken.
    Idle,
    /// Never step again.
    Stop,
}

impl<T> Paced<T> {
    pub fn new(pace: Pace, state: T) -> Paced<T> {
        Paced { pace, state: Mutex::new(state), live: Condvar::new(), virt: Notify::new() }
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        // The state is consistent between any two statements that may panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the loop step again.
    pub fn wake(&self) {
        match self.pace {
            Pace::Live => self.live.notify_one(),
            Pace::Virtual => self.virt.notify_one(),
        }
    }

    /// Runs `step` on the calling thread until it stops.
    pub fn run_live(&self, mut step: impl FnMut(&mut T) -> Next) {
        let mut state = self.lock();
        loop {
            state = match step(&mut state) {
                Next::Stop => return,
                Next::Idle => self.live.wait(state).unwrap_or_else(PoisonError::into_inner),
                Next::At(due) => {
                    let wait = due.saturating_duration_since(Instant::now());
                    let woken = self.live.wait_timeout(state, wait);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Runs `step` on the current task until it stops.
    pub async fn run_virtual(&self, mut step: impl FnMut(&mut T) -> Next) {
        loop {
            let next = step(&mut self.lock());
            match next {
                Next::Stop => return,
                Next::Idle => self.virt.notified().await,
                Next::At(due) => tokio::select! {
                    biased;
                    () = self.virt.notified() => {}
                    () = timer::sleep_until(due) => {}
                },
            }
        }
    }
}
