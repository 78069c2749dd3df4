//! Whether the machine's clocks ran on without a jump: three readings in, a verdict out (T6).
//!
//! A machine has several clocks, and what happens to it moves them apart:
//!
//! ```text
//!                                  realtime   monotonic   boottime
//!   time passes                       +t         +t          +t
//!   NTP slews (up to 500 ppm)         +t'        +t'         +t'      the rate of all of them
//!   the machine sleeps for s          +s          0          +s
//!   somebody steps the time by d      +d          0           0
//!   its hypervisor halts it for s      0          0           0       unseen: see the hazard
//! ```
//!
//! So `realtime - monotonic` and `boottime - monotonic` are constants, to the nanosecond, until
//! somebody jumps. The clocks cannot be read at one moment. Between two readings of the monotonic
//! clock the others are read, so each difference is known to lie within a range as wide as that took:
//!
//! ```text
//!   monotonic ── before ───────────────── after ──►
//!   realtime             └─ read ─┘                   realtime - monotonic in
//!                                                     [ realtime - after, realtime - before ]
//! ```
//!
//! Ranges of later readings are laid over each other, and what they have in common becomes narrower.
//! A range that has nothing in common with it proves a jump, if the gap is wider than [`SLACK`].
//! Gaps below are not forgotten: the range stays where it was, so that small steps in one direction
//! are seen once they add up.
//!
//! 1. Readings of clocks that never jump are steady, however long each took (asserted by a test over
//!    random delays and slews).
//! 2. A jump of more than [`SLACK`] and what one reading took is seen by the first reading after it.
//!
//! HAZARD: a hypervisor that halts a machine and does not tell it halts all its clocks alike. Nothing
//! in the machine shows it until NTP steps the time, which is then seen as a step; until then the
//! clock is behind. The clock guard of the node notices by its peers, within seconds. So virtual
//! machines that are paused or moved need a source that is told of it (ClockBound reads the VMClock),
//! or a claim that covers it.
//!
//! HAZARD: a jump right after a reading is seen by the next one only. Whoever acts on a reading is
//! covered by what bounds the act itself: timestamps below the end of the lease (P2, P3).

use std::{fmt, time::Duration};

use crate::{format_duration, format_offset};

/// Steps within this are no jump: they stay inside what any source claims of a machine's clock.
pub const SLACK: Duration = Duration::from_micros(100);

/// The machine's clocks, read one after the other; all in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readings {
    /// The monotonic clock, read first.
    pub before: u64,
    /// The wall clock, since the Unix epoch.
    pub realtime: u64,
    /// The monotonic clock that counts on while the machine sleeps.
    pub boottime: u64,
    /// The monotonic clock, read last: not below `before`.
    pub after: u64,
}

/// A jump of a machine's clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jump {
    /// The machine slept: its monotonic clock stood still.
    Suspended {
        /// How long.
        lasting: Duration,
    },
    /// The wall clock was set.
    Stepped {
        /// By how much, in nanoseconds; positive: forward.
        by_nanos: i64,
    },
}

/// What a reading shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The clocks ran on since the reading before.
    Steady,
    /// They jumped.
    Jumped(Jump),
}

impl fmt::Display for Jump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Jump::Suspended { lasting } => {
                write!(f, "its machine was suspended for {}", format_duration(*lasting))
            }
            Jump::Stepped { by_nanos } => {
                write!(f, "its machine's clock was stepped by {}", format_offset(*by_nanos))
            }
        }
    }
}

/// Compares each reading with those before.
#[derive(Clone, Debug, Default)]
pub struct JumpDetector {
    /// Where the differences to the monotonic clock lie; `None` before the first reading.
    known: Option<Differences>,
}

#[derive(Clone, Copy, Debug)]
struct Differences {
    /// `realtime - monotonic`.
    wall: Range,
    /// `boottime - monotonic`: how long the machine slept since it was started.
    asleep: Range,
}

impl JumpDetector {
    /// Takes in a reading. The first is steady.
    ///
    /// # Panics
    /// If the monotonic clock went back.
    pub fn look(&mut self, readings: Readings) -> Verdict {
        let Readings { before, realtime, boottime, after } = readings;
        assert!(before <= after, "a monotonic clock went back from {before} to {after}");
        let seen = Differences {
            wall: Range::between(realtime, before, after),
            asleep: Range::between(boottime, before, after),
        };
        let Some(known) = &mut self.known else {
            self.known = Some(seen);
            return Verdict::Steady;
        };
        let (slept, stepped) = (known.asleep.gap(seen.asleep), known.wall.gap(seen.wall));
        if slept == 0 && stepped == 0 {
            known.wall.narrow(seen.wall);
            known.asleep.narrow(seen.asleep);
            return Verdict::Steady;
        }
        self.known = Some(seen);
        // T6: a machine that slept and was set besides slept, in the first place.
        Verdict::Jumped(if slept == 0 {
            Jump::Stepped { by_nanos: stepped }
        } else {
            Jump::Suspended { lasting: Duration::from_nanos(slept.unsigned_abs()) }
        })
    }
}

/// Where a difference lies, in nanoseconds: `low <= high`.
#[derive(Clone, Copy, Debug)]
struct Range {
    low: i64,
    high: i64,
}

impl Range {
    /// `clock - monotonic`, if the monotonic clock was read before and after.
    fn between(clock: u64, before: u64, after: u64) -> Range {
        let difference = |monotonic: u64| {
            let whole = i128::from(clock) - i128::from(monotonic);
            i64::try_from(whole).expect("clocks are less than 292 years apart")
        };
        Range { low: difference(after), high: difference(before) }
    }

    /// How far a range seen later lies beyond this one; zero if within [`SLACK`].
    fn gap(self, seen: Range) -> i64 {
        let gap = if seen.low > self.high {
            seen.low - self.high
        } else if seen.high < self.low {
            seen.high - self.low
        } else {
            0
        };
        if u128::from(gap.unsigned_abs()) > SLACK.as_nanos() { gap } else { 0 }
    }

    /// What both have in common, if anything.
    fn narrow(&mut self, seen: Range) {
        let (low, high) = (self.low.max(seen.low), self.high.min(seen.high));
        if low <= high {
            (self.low, self.high) = (low, high);
        }
    }
}

#[cfg(test)]
mod tests;
