//! Whether a node may act on what its clock says (T6), as a plain state machine.
//!
//! ```text
//!               a jump is seen                     the source has a bound, read after it
//!   trusted ──────────────────► in doubt ───────────────────────────┐   and
//!      ▲                            ▲  │ another jump               │
//!      │                            └──┘                            ▼
//!      └───────────────────────────────────────────────── the node's peers agree
//! ```
//!
//! While a clock is in doubt, or its source names no bound, it reads as an interval without an upper
//! end ([`Interval::unbounded`]), whose lower end stands where it was before. So whoever reads it and
//! forgets to ask holds no lease and waits for ever; and whoever asks stands still.
//!
//! Jumps are numbered. Who vouches for the time names the jump after which it was compared, so that a
//! comparison that began before another jump vouches for nothing.
//!
//! 1. A reading that shows a jump is itself without an end (asserted by tests): nothing slips between.
//! 2. Trust comes back only with a bound of the source *and* a voucher for the latest jump.
//!
//! What it does not know: who the peers are, and when they agree; the node's clock guard does.

use std::fmt;

use crate::{Interval, Jump, JumpDetector, Readings, Verdict};

/// How many jumps a clock has seen: which one somebody vouches after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Jumps(pub u64);

/// Why a clock cannot be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It jumped, and not all that is needed has been heard since.
    Jumped {
        /// The latest jump.
        jump: Jump,
        /// Its number.
        number: Jumps,
        /// Why its source names no bound since; `None`: it does, and the peers have not agreed yet.
        no_bound: Option<String>,
    },
    /// It did not jump, but its source names no bound.
    NoBound {
        /// What the source says.
        why: String,
    },
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::Jumped { jump, no_bound: None, .. } => {
                write!(f, "{jump}, and its peers have not confirmed its time since")
            }
            Doubt::Jumped { jump, no_bound: Some(why), .. } => write!(f, "{jump}, and {why}"),
            Doubt::NoBound { why } => f.write_str(why),
        }
    }
}

/// The trust in one clock.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    detector: JumpDetector,
    jumps: Jumps,
    /// The latest jump, until somebody vouches for the time after it.
    unconfirmed: Option<Jump>,
    /// Why the source named no bound at the latest reading.
    no_bound: Option<String>,
    /// The lower end of the latest interval that could be trusted.
    earliest: u64,
}

impl Trust {
    /// T6: holds a reading of the machine's clocks against those before. Answers what it shows, so
    /// that the source is asked anew after a jump.
    pub fn look(&mut self, readings: Readings) -> Verdict {
        let verdict = self.detector.look(readings);
        if let Verdict::Jumped(jump) = verdict {
            self.jumps = Jumps(self.jumps.0 + 1);
            self.unconfirmed = Some(jump);
        }
        verdict
    }

    /// What may be said at a moment for which the source claims this; an error says why it claims
    /// nothing.
    ///
    /// # Panics
    /// If the claim has no upper end: a source that knows none says so.
    pub fn interval(&mut self, claimed: Result<Interval, String>) -> Interval {
        let trusted = match claimed {
            Ok(claimed) => {
                assert!(claimed.is_bounded(), "T6: a source claims {claimed:?}");
                self.no_bound = None;
                self.unconfirmed.is_none().then_some(claimed)
            }
            Err(why) => {
                self.no_bound = Some(why);
                None
            }
        };
        match trusted {
            Some(interval) => {
                self.earliest = interval.earliest;
                interval
            }
            None => Interval::unbounded(self.earliest),
        }
    }

    /// Somebody compared the time with others' after this many jumps, and they agree.
    pub fn vouch(&mut self, after: Jumps) {
        assert!(after <= self.jumps, "T6: vouched after {after:?}, there were {:?}", self.jumps);
        if after == self.jumps {
            self.unconfirmed = None;
        }
    }

    /// How many jumps were seen.
    #[must_use]
    pub fn jumps(&self) -> Jumps {
        self.jumps
    }

    /// Why the clock could not be trusted at its latest reading; `None`: it could.
    #[must_use]
    pub fn doubt(&self) -> Option<Doubt> {
        match (self.unconfirmed, &self.no_bound) {
            (Some(jump), no_bound) => {
                let (number, no_bound) = (self.jumps, no_bound.clone());
                Some(Doubt::Jumped { jump, number, no_bound })
            }
            (None, Some(why)) => Some(Doubt::NoBound { why: why.clone() }),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests;
