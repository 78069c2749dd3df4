//! The clock of a real machine: its wall clock, what somebody claims of it, and whether it jumped.
//!
//! ```text
//!   Machine ── realtime, monotonic, boottime ──► Trust: did it jump? (T6)
//!      │                                           │
//!      └── realtime ± ε ── Claim: ε now ───────────┴──► an interval, without an end in doubt
//! ```
//!
//! The time base is the *wall clock*, read anew each time: whoever keeps the machine's time (NTP, or a
//! PTP daemon) slews and steps it, and this clock follows, so it is right again as soon as the machine
//! is. A base read once with a monotonic clock on top would stay wrong for good after each step and
//! each suspension. The price is that the base may go back; nothing here needs it not to, since what
//! must be monotonic uses the [`crate::Hlc`] (T1), and timers use the monotonic clock.
//!
//! How far the wall clock may be from the true time comes from a [`Claim`]: the operator's word, or a
//! [`BoundSource`] that keeps watch on it, asked every [`POLL_EVERY`] by whoever reads next, and at
//! once after a jump. Between two answers ε grows by the source's drift.
//!
//! HAZARD: an operator's claim is not checked by anybody on this machine. A step that is wider than
//! the claim shows that the clock was beyond it, before or afterwards; the node then waits for its
//! peers, and a node alone has nobody to ask.
//!
//! HAZARD: the kernel forgets its bound when the time is set, but not when the machine slept and the
//! time was restored from the hardware clock, which counts in seconds on some machines. There, too, it
//! is the peers that confirm the time.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    Clock, Doubt, Interval, Jumps, Mono, Readings, Trust, Uncertainty, Verdict,
    WIDEST_TOLERATED_EPSILON, format_duration,
};

/// How often a source is asked for its bound.
pub const POLL_EVERY: Duration = Duration::from_secs(1);

/// The clocks of a machine. Reading them costs some ten nanoseconds each, and never fails.
pub trait Machine: Send + Sync + fmt::Debug + 'static {
    /// All of them.
    fn read(&self) -> Readings;

    /// The monotonic clock, in nanoseconds: the one that timers use.
    fn monotonic(&self) -> u64;
}

/// How far a wall clock may be from the true time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// ε at `as_of`, in nanoseconds.
    pub epsilon_nanos: u64,
    /// The monotonic clock when it was so.
    pub as_of: u64,
    /// What is added to ε per second since, in parts per billion.
    pub drift_ppb: u32,
    /// The monotonic clock when the bound means nothing any more.
    pub void_after: u64,
}

impl Bound {
    /// ε at a reading of the monotonic clock, in nanoseconds.
    ///
    /// # Errors
    /// If the bound is void, or too wide for any peer to believe.
    fn epsilon_nanos(self, monotonic: u64) -> Result<u64, String> {
        if monotonic > self.void_after {
            return Err("its time source has not renewed its bound in time".to_owned());
        }
        let since = u128::from(monotonic.saturating_sub(self.as_of));
        let grown = since * u128::from(self.drift_ppb) / 1_000_000_000;
        let epsilon = u128::from(self.epsilon_nanos) + grown;
        let widest = WIDEST_TOLERATED_EPSILON.as_nanos();
        match u64::try_from(epsilon) {
            Ok(epsilon) if u128::from(epsilon) <= widest => Ok(epsilon),
            Ok(_) | Err(_) => {
                let bound = Duration::from_nanos(u64::try_from(epsilon).unwrap_or(u64::MAX));
                Err(format!(
                    "its time source bounds its clock to ±{} only, more than the ±{} that peers \
                     believe (T2)",
                    format_duration(bound),
                    format_duration(WIDEST_TOLERATED_EPSILON)
                ))
            }
        }
    }
}

/// What keeps watch on the machine's wall clock.
pub trait BoundSource: Send + Sync + fmt::Debug + 'static {
    /// Its bound now.
    ///
    /// # Errors
    /// Why it has none, in words that go on after "n1 does not serve: ".
    fn poll(&self) -> Result<Bound, String>;

    /// Its name, as `--clock` takes it.
    fn name(&self) -> &'static str;
}

/// Who says how wrong the wall clock may be.
#[derive(Debug)]
pub enum Claim {
    /// The operator, in advance.
    Vouched(Uncertainty),
    /// Something that measures it.
    Watched(Box<dyn BoundSource>),
}

/// A claim that is not the operator's cannot be changed by his word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotVouched {
    /// Whose claim it is.
    pub source: &'static str,
}

/// A [`Clock`] of a real machine.
#[derive(Debug)]
pub struct MachineClock {
    machine: Arc<dyn Machine>,
    /// The monotonic clock when the node was started.
    started: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    trust: Trust,
    claim: Claim,
    /// What the source said last, and the monotonic clock when it was asked; `None`: not yet, or
    /// before a jump.
    polled: Option<(u64, Result<Bound, String>)>,
}

impl MachineClock {
    /// The clock of this machine. Trusted from its first reading on, if the claim has a bound:
    /// nothing rests on an earlier one.
    #[must_use]
    pub fn new(machine: Arc<dyn Machine>, claim: Claim) -> MachineClock {
        let started = machine.monotonic();
        let state = State { trust: Trust::default(), claim, polled: None };
        MachineClock { machine, started, state: Mutex::new(state) }
    }

    /// Replaces what the operator vouches for.
    ///
    /// # Errors
    /// If somebody else keeps watch on the clock.
    pub fn set_uncertainty(&self, uncertainty: Uncertainty) -> Result<(), NotVouched> {
        let mut state = self.state();
        match &mut state.claim {
            Claim::Vouched(claim) => {
                *claim = uncertainty;
                Ok(())
            }
            Claim::Watched(source) => Err(NotVouched { source: source.name() }),
        }
    }

    /// What the operator vouches for; `None`: a source keeps watch.
    #[must_use]
    pub fn vouched(&self) -> Option<Uncertainty> {
        match &self.state().claim {
            Claim::Vouched(claim) => Some(*claim),
            Claim::Watched(_) => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What is claimed at a reading.
    fn claimed(&mut self, readings: Readings, verdict: Verdict) -> Result<Interval, String> {
        let epsilon = match &self.claim {
            Claim::Vouched(uncertainty) => uncertainty.epsilon_nanos(readings.after, 0),
            Claim::Watched(source) => {
                // T6: what a source said before a jump says nothing of the time after it.
                let stale = verdict != Verdict::Steady;
                let poll_every = u64::try_from(POLL_EVERY.as_nanos()).expect("a second");
                let due = |polled: u64| readings.after.saturating_sub(polled) >= poll_every;
                let known = self.polled.take().filter(|(at, _)| !stale && !due(*at));
                let (at, bound) = known.unwrap_or_else(|| (readings.after, source.poll()));
                let epsilon = bound.clone().and_then(|it| it.epsilon_nanos(readings.after));
                self.polled = Some((at, bound));
                epsilon?
            }
        };
        Ok(Interval {
            earliest: readings.realtime.saturating_sub(epsilon),
            latest: readings.realtime.saturating_add(epsilon),
        })
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Interval {
        let mut state = self.state();
        let readings = self.machine.read();
        let verdict = state.trust.look(readings);
        let claimed = state.claimed(readings, verdict);
        state.trust.interval(claimed)
    }

    fn mono(&self) -> Mono {
        Mono(self.machine.monotonic().saturating_sub(self.started))
    }

    fn source(&self) -> String {
        match &self.state().claim {
            Claim::Vouched(uncertainty) => uncertainty.to_string(),
            Claim::Watched(source) => source.name().to_owned(),
        }
    }

    fn true_offset_nanos(&self) -> Option<i64> {
        None
    }

    fn claimed(&self) -> Interval {
        let mut state = self.state();
        let readings = self.machine.read();
        let verdict = state.trust.look(readings);
        let claimed = state.claimed(readings, verdict);
        let trusted = state.trust.interval(claimed.clone());
        claimed.unwrap_or(trusted)
    }

    fn jumps(&self) -> Jumps {
        self.state().trust.jumps()
    }

    fn doubt(&self) -> Option<Doubt> {
        self.now();
        self.state().trust.doubt()
    }

    fn vouch(&self, after: Jumps) {
        self.state().trust.vouch(after);
    }
}

#[cfg(test)]
mod tests;
