//! Dropping old versions (S4), for all ranges of a shard with one budget.
//!
//! Whenever a range's threshold moves, all of it is to be looked at. After a restart that is so for
//! thousands of ranges at once; so they take turns, one step at a time with a pause between two, and
//! what leases and requests need never waits for more than a step.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use clock::{Mono, Now};
use keys::RangeId;
use range::Input;
use storage::EngineError;

use super::Store;

/// Between two steps, so that dropping versions never takes a core. A step looks at
/// `range::Config::gc_keys_per_step` keys: some 50,000 a second in all.
const PAUSE: Duration = Duration::from_millis(10);

/// Ranges with versions to drop, in the order of their turns.
#[derive(Debug, Default)]
pub(super) struct Sweeps {
    turns: VecDeque<RangeId>,
    waiting: BTreeSet<RangeId>,
    due: Mono,
}

impl Sweeps {
    /// A range has something to drop; no effect if that is known.
    pub fn add(&mut self, range: RangeId) {
        if self.waiting.insert(range) {
            self.turns.push_back(range);
        }
    }

    /// How long until the next step; `None`: there is nothing to do.
    pub fn pause(&self, now: Mono) -> Option<Duration> {
        (!self.turns.is_empty()).then(|| self.due.since(now))
    }

    /// Whose turn it is, if it is time.
    fn next(&mut self, now: Mono) -> Option<RangeId> {
        if now < self.due {
            return None;
        }
        let range = self.turns.pop_front()?;
        self.waiting.remove(&range);
        self.due = now.plus(PAUSE);
        Some(range)
    }
}

impl Store {
    /// Drops versions of the range whose turn it is. If more is left, it is put behind the others.
    pub(super) fn sweep_due(&mut self, now: Now) -> Result<(), EngineError> {
        match self.sweeps.next(now.mono) {
            Some(range) => self.step(now, range, Input::Sweep),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_take_turns_with_a_pause_between_two() {
        let mut sweeps = Sweeps::default();
        assert_eq!(sweeps.pause(Mono(5)), None);
        for range in [1, 2, 1] {
            sweeps.add(RangeId(range));
        }
        assert_eq!(sweeps.next(Mono(5)), Some(RangeId(1)));
        sweeps.add(RangeId(1));
        assert_eq!((sweeps.next(Mono(6)), sweeps.pause(Mono(5))), (None, Some(PAUSE)));
        let later = Mono(5).plus(PAUSE);
        assert_eq!(sweeps.next(later), Some(RangeId(2)));
        assert_eq!(sweeps.next(later.plus(PAUSE)), Some(RangeId(1)));
        assert_eq!(sweeps.pause(later), None, "nothing is left");
    }
}
