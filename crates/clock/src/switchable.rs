//! A clock put together from a true time, a model of uncertainty and a true offset, all of which
//! can be changed while it runs.
//!
//! A reading at true time T, with ε and offset e of that moment, is
//!
//! ```text
//!   earliest = T + e - ε        latest = T + e + ε        |e| <= ε  =>  earliest <= T <= latest
//! ```
//!
//! so the interval moves with the true time. Its ends may step back: `earliest` when ε is widened,
//! `latest` at each poll of a sawtooth. No protocol needs more than that each single reading
//! contains the true time; what must be monotonic uses the [`crate::Hlc`].
//!
//! # Turning ε while the database runs
//!
//! A change holds for every later reading, in either direction, at once. ε and the offset are read
//! together, so there is no reading with the one before and the other after the change: an honest
//! offset is a fraction of ε, or cut to it. Why nothing else has to wait:
//!
//! - **T3, T4.** s was `latest` of a reading that contained the true time, so s was not past when it
//!   was chosen; `after(s)` is asked of another reading that contains the true time, so s is past
//!   when it holds. Neither half asks what ε was at the other.
//! - **ε down.** The HLC, and what leaders promised (`min_next`), may lie up to twice the former ε
//!   ahead. They stay: the HLC counts on from there (T1), and commits above such a promise wait a
//!   little longer until time has caught up. No timestamp is given twice, none goes back.
//! - **ε up.** What was past may for a moment not be *definitely* past any more: readers of young
//!   versions wait again (T5). What was acknowledged stays so: it was past in truth.
//! - **T2.** A stamp is ahead of the truth by at most twice the sender's ε. Nodes may differ in ε as
//!   they like, as long as twice the widest stays within [`crate::DEFAULT_TOLERANCE`]: see
//!   [`crate::WIDEST_TOLERATED_EPSILON`]. Beyond, peers take an honest node for a broken one.

//!
//! # A machine that sleeps
//!
//! The machine under a simulated clock may be suspended ([`SwitchableClock::suspend`]): its monotonic
//! clock then stands still, while the true time, and its wall clock, go on. Each reading looks for that
//! as the clock of a real machine does (T6, [`Trust`]): it is in doubt until somebody vouches for it.

use std::{
    sync::{Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use crate::{
    Clock, Doubt, Interval, Jumps, Mono, Offset, Readings, Rule, Rules, TrueTime, Trust,
    Uncertainty, UncertaintyError,
    offset::{OffsetAt, mix},
};

/// A [`Clock`] whose uncertainty and true offset can be switched at run time. A change holds for
/// all later readings.
#[derive(Debug)]
pub struct SwitchableClock {
    time: TrueTime,
    /// What the ticker read when the clock was made: the node's start.
    started_nanos: u64,
    /// Gives the node its own offset and phase.
    seed: u64,
    settings: RwLock<Settings>,
    sleep: Mutex<Sleep>,
}

/// How the machine under the clock slept, and whether its clock can be trusted since.
#[derive(Debug, Default)]
struct Sleep {
    trust: Trust,
    /// How long its monotonic clock stood still, before `since`, in nanoseconds.
    asleep_nanos: u64,
    /// What the ticker read when the machine fell asleep; `None`: it is awake.
    since: Option<u64>,
}

impl Sleep {
    /// The machine's monotonic clock at a reading of the ticker.
    fn monotonic(&self, elapsed_nanos: u64) -> u64 {
        self.since.unwrap_or(elapsed_nanos) - self.asleep_nanos
    }
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    uncertainty: Uncertainty,
    offset: Offset,
    /// What the ticker read when `offset` was set; a lie drifts from here.
    offset_set_nanos: u64,
    rules: Rules,
}

/// Where a clock is to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// To this offset from the true time, in nanoseconds; it stays there.
    At(i64),
    /// By so many nanoseconds from where it is; a drift goes on.
    By(i64),
    /// Nowhere at once, but from now on by so much per second, in parts per million.
    Drift(i64),
}

/// Whether a clock may be moved beyond what it claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// No: it stays honest.
    Forbidden,
    /// Yes: it becomes a liar.
    Lie,
}

/// What a clock says at a moment, and how wrong it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What it says.
    pub interval: Interval,
    /// How far the middle of the interval is from the true time, in nanoseconds; positive: ahead.
    pub offset_nanos: i64,
}

/// A clock would have been further off than it claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BeyondClaim {
    /// Where it would have been, in nanoseconds.
    pub offset_nanos: i64,
    /// What it claims, in nanoseconds.
    pub epsilon_nanos: u64,
}

impl SwitchableClock {
    /// A simulated clock: the true time is `time`, and the clock is off by `offset`. Nodes of one
    /// cluster get different seeds.
    #[must_use]
    pub fn simulated(
        time: TrueTime,
        uncertainty: Uncertainty,
        offset: Offset,
        seed: u64,
    ) -> SwitchableClock {
        let started_nanos = time.elapsed_nanos();
        let offset_set_nanos = started_nanos;
        let settings = Settings { uncertainty, offset, offset_set_nanos, rules: Rules::default() };
        let (settings, sleep) = (RwLock::new(settings), Mutex::default());
        SwitchableClock { time, started_nanos, seed, settings, sleep }
    }

    /// Which rules the clock keeps.
    pub fn set_rules(&self, rules: Rules) {
        self.settings.write().unwrap_or_else(PoisonError::into_inner).rules = rules;
    }

    /// The machine falls asleep: its monotonic clock stands still. Without effect if it sleeps.
    pub fn suspend(&self) {
        let elapsed_nanos = self.time.elapsed_nanos();
        self.sleep().since.get_or_insert(elapsed_nanos);
    }

    /// The machine wakes: its monotonic clock goes on from where it stood. Without effect if it is
    /// awake.
    pub fn resume(&self) {
        let elapsed_nanos = self.time.elapsed_nanos();
        let mut sleep = self.sleep();
        if let Some(since) = sleep.since.take() {
            sleep.asleep_nanos += elapsed_nanos - since;
        }
    }

    fn sleep(&self) -> MutexGuard<'_, Sleep> {
        self.sleep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes ε constant: `fixed(epsilon)`, or `zero`.
    ///
    /// # Errors
    /// If `epsilon` is above [`crate::MAX_EPSILON`].
    pub fn set_epsilon(&self, epsilon: Duration) -> Result<(), UncertaintyError> {
        self.set_uncertainty(Uncertainty::fixed(epsilon)?);
        Ok(())
    }

    /// Switches to another model of uncertainty. The offset stays the same *fraction* of ε, so an
    /// honest clock stays honest.
    pub fn set_uncertainty(&self, uncertainty: Uncertainty) {
        self.settings.write().unwrap_or_else(PoisonError::into_inner).uncertainty = uncertainty;
    }

    /// Moves the clock to another true offset.
    pub fn set_offset(&self, offset: Offset) {
        let offset_set_nanos = self.time.elapsed_nanos();
        let mut settings = self.settings.write().unwrap_or_else(PoisonError::into_inner);
        settings.offset = offset;
        settings.offset_set_nanos = offset_set_nanos;
    }

    /// Moves the clock by so much from where it is now, and lets it drift from there. Within ε it
    /// stays honest ([`Offset::Held`]); beyond ε only as a declared liar.
    ///
    /// # Errors
    /// If it would be further off than the clock claims and `beyond` forbids that; nothing changed.
    pub fn move_to(&self, aim: Aim, beyond: Beyond) -> Result<Offset, BeyondClaim> {
        let elapsed_nanos = self.time.elapsed_nanos();
        let (epsilon_nanos, now) = self.error_at(elapsed_nanos);
        let rate = match self.settings().offset {
            Offset::Held { drift_ppm, .. } | Offset::Lie { drift_ppm, .. } => drift_ppm,
            _ => 0,
        };
        let (offset_nanos, drift_ppm) = match aim {
            Aim::At(offset_nanos) => (offset_nanos, 0),
            Aim::By(step_nanos) => (now.saturating_add(step_nanos), rate),
            Aim::Drift(drift_ppm) => (now, drift_ppm),
        };
        let within = offset_nanos.unsigned_abs() <= epsilon_nanos;
        let offset = match beyond {
            Beyond::Forbidden if within => Offset::Held { offset_nanos, drift_ppm },
            Beyond::Forbidden => return Err(BeyondClaim { offset_nanos, epsilon_nanos }),
            // It asks for nothing that an honest clock could not do.
            Beyond::Lie if within && drift_ppm == 0 => Offset::Held { offset_nanos, drift_ppm },
            Beyond::Lie => Offset::Lie { offset_nanos, drift_ppm },
        };
        let mut settings = self.settings.write().unwrap_or_else(PoisonError::into_inner);
        settings.offset = offset;
        settings.offset_set_nanos = elapsed_nanos;
        Ok(offset)
    }

    /// The model of uncertainty now in force.
    #[must_use]
    pub fn uncertainty(&self) -> Uncertainty {
        self.settings().uncertainty
    }

    /// The true offset now in force.
    #[must_use]
    pub fn offset(&self) -> Offset {
        self.settings().offset
    }

    /// The true time that this clock is judged by, in nanoseconds since the Unix epoch. For checkers and displays, never for protocols.
    #[must_use]
    pub fn true_nanos(&self) -> u64 {
        self.time.now_nanos()
    }

    /// What these clocks say at one moment of the true time that all of them know, in their order.
    /// Read one after the other they would say it of different moments.
    ///
    /// # Panics
    /// If they do not share their true time: then there is no such moment.
    #[must_use]
    pub fn at_once(clocks: &[&SwitchableClock]) -> Vec<Reading> {
        let Some(first) = clocks.first() else { return Vec::new() };
        let elapsed_nanos = first.time.elapsed_nanos();
        let true_nanos = first.time.at(elapsed_nanos);
        let reading = |clock: &&SwitchableClock| {
            assert_eq!(clock.time.at(elapsed_nanos), true_nanos, "clocks of one true time");
            let (interval, offset_nanos) = clock.reading(elapsed_nanos);
            Reading { interval, offset_nanos }
        };
        clocks.iter().map(reading).collect()
    }

    /// The interval at a reading of the ticker, and how far its middle is from the true time.
    fn reading(&self, elapsed_nanos: u64) -> (Interval, i64) {
        let (epsilon, offset_nanos) = self.error_at(elapsed_nanos);
        let middle = self.time.at(elapsed_nanos).saturating_add_signed(offset_nanos);
        let interval = Interval {
            earliest: middle.saturating_sub(epsilon),
            latest: middle.saturating_add(epsilon),
        };
        (interval, offset_nanos)
    }

    fn settings(&self) -> Settings {
        *self.settings.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// ε and the true offset at a reading of the ticker.
    fn error_at(&self, elapsed_nanos: u64) -> (u64, i64) {
        let Settings { uncertainty, offset, offset_set_nanos, .. } = self.settings();
        let epsilon_nanos = uncertainty.epsilon_nanos(elapsed_nanos, mix(self.seed));
        let since_set_nanos = elapsed_nanos.saturating_sub(offset_set_nanos);
        let at = OffsetAt { seed: self.seed, elapsed_nanos, since_set_nanos, epsilon_nanos };
        (epsilon_nanos, offset.nanos(at))
    }
}

impl Clock for SwitchableClock {
    fn now(&self) -> Interval {
        let elapsed_nanos = self.time.elapsed_nanos();
        let mut sleep = self.sleep();
        let monotonic = sleep.monotonic(elapsed_nanos);
        if !self.settings().rules.keep(Rule::JumpCheck) {
            return self.reading(monotonic).0;
        }
        // T6: the machine's clocks as a real one has them; where in its interval the clock lies does
        // not come into it, so that steps within ε stay unseen and must be harmless.
        let realtime = self.time.at(elapsed_nanos);
        let (before, after) = (monotonic, monotonic);
        sleep.trust.look(Readings { before, realtime, boottime: elapsed_nanos, after });
        let claimed = self.reading(elapsed_nanos).0;
        sleep.trust.interval(Ok(claimed))
    }

    fn mono(&self) -> Mono {
        let elapsed_nanos = self.time.elapsed_nanos();
        Mono(self.sleep().monotonic(elapsed_nanos).saturating_sub(self.started_nanos))
    }

    fn source(&self) -> String {
        let Settings { uncertainty, offset, .. } = self.settings();
        if offset.is_honest() {
            uncertainty.to_string()
        } else {
            format!("{uncertainty}, {offset}")
        }
    }

    fn true_offset_nanos(&self) -> Option<i64> {
        Some(self.error_at(self.time.elapsed_nanos()).1)
    }

    fn claimed(&self) -> Interval {
        let read = self.now();
        if read.is_bounded() { read } else { self.reading(self.time.elapsed_nanos()).0 }
    }

    fn jumps(&self) -> Jumps {
        self.sleep().trust.jumps()
    }

    fn doubt(&self) -> Option<Doubt> {
        self.now();
        self.sleep().trust.doubt()
    }

    fn vouch(&self, after: Jumps) {
        self.sleep().trust.vouch(after);
    }
}

#[cfg(test)]
mod tests;
