//! Recent writes by key, so that validation need not look into the store (X1).
//!
//! Validation asks: was any key of this span written after the snapshot? Snapshots are young, so
//! what matters is what was written lately, and that fits into memory. The index keeps the newest
//! committed timestamp of each key written lately, and a *low-water mark*: every commit above it is
//! in the index. Below it the index knows nothing, and the store is scanned.
//!
//! ```text
//!     time ----------- low water ------------------------------> now
//!          forgotten      |   b@12      a@15   c@15       b@20
//!                         |   ^ replaced by b@20
//!
//!     newest in [a - c) above 14?   b@20
//!     newest in [c - d) above 17?   none: nothing above 17 was forgotten
//!     newest in [d - e) above 5?    unknown: ask the store
//! ```
//!
//! 1. Every version committed above the low-water mark has its key here, with a timestamp at least as
//!    high. Asserted against a naive twin under random input.
//! 2. At most `limit` keys: the oldest timestamp goes first, and raises the mark.
//!
//! HAZARD: whoever applies a commit tells the index in the same step, before anybody validates. A
//! version left out is a lost update.
//!
//! The index dies with the leadership; a new leader starts with the highest timestamp of its log as
//! the low-water mark, and knows nothing below it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use clock::Timestamp;
use keys::{Key, Span};

/// The newest committed timestamp of each key written lately. See the [module](self).
#[derive(Clone, Debug)]
pub struct RecentWrites {
    /// At most so many keys. At least 1.
    limit: usize,
    low_water: Timestamp,
    by_key: BTreeMap<Key, Timestamp>,
    /// The same pairs, by time.
    by_time: BTreeSet<(Timestamp, Key)>,
}

/// What the index knows of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// No key of it was written above the timestamp asked about.
    None,
    /// The newest write, above the timestamp asked about.
    Some(Key, Timestamp),
    /// Nothing was found, but the index does not reach back so far: scan the store.
    Unknown,
}

impl RecentWrites {
    /// An empty index that knows of all writes above `low_water`: there were none.
    ///
    /// # Panics
    /// If the limit is 0.
    #[must_use]
    pub fn new(limit: usize, low_water: Timestamp) -> RecentWrites {
        assert!(limit > 0, "an index of no keys");
        let (by_key, by_time) = (BTreeMap::new(), BTreeSet::new());
        RecentWrites { limit, low_water, by_key, by_time }
    }

    /// Notes that a version of the key was committed. In any order of timestamps; a repetition
    /// changes nothing.
    pub fn record(&mut self, key: Key, at: Timestamp) {
        if at <= self.low_water {
            return;
        }
        match self.by_key.get_mut(&key) {
            Some(newest) if *newest >= at => return,
            Some(newest) => {
                let old = std::mem::replace(newest, at);
                self.by_time.remove(&(old, key.clone()));
            }
            None => {
                self.by_key.insert(key.clone(), at);
            }
        }
        self.by_time.insert((at, key));
        if self.by_key.len() > self.limit {
            let (oldest, key) = self.by_time.pop_first().expect("as many as keys");
            self.by_key.remove(&key);
            self.low_water = oldest;
        }
        assert!(self.by_key.len() <= self.limit && self.by_key.len() == self.by_time.len());
    }

    /// The newest write to a key of the span above a timestamp.
    ///
    /// Costs O(log n) for a point; for a span the lesser of its keys in the index and of all
    /// writes above the timestamp.
    #[must_use]
    pub fn newest_in(&self, span: &Span, above: Timestamp) -> Answer {
        let found = if span.is_point() {
            self.by_key.get(&span.start).map(|at| (&span.start, *at)).filter(|(_, at)| *at > above)
        } else {
            self.newest_of_many(span, above)
        };
        match found {
            Some((key, at)) => Answer::Some(key.clone(), at),
            None if above < self.low_water => Answer::Unknown,
            None => Answer::None,
        }
    }

    /// Walks down the time and along the keys in turns: whichever comes to its end first decides.
    fn newest_of_many(&self, span: &Span, above: Timestamp) -> Option<(&Key, Timestamp)> {
        if span.is_empty() {
            return None;
        }
        let mut recent = self.by_time.iter().rev().take_while(|(at, _)| *at > above);
        let bounds = (Bound::Included(&span.start), Bound::Excluded(&span.end));
        let mut keys = self.by_key.range::<Key, _>(bounds);
        let mut newest: Option<(Timestamp, &Key)> = None;
        loop {
            let (at, key) = recent.next()?;
            if span.contains(key) {
                return Some((key, *at));
            }
            match keys.next() {
                Some((key, at)) if *at > above => newest = newest.max(Some((*at, key))),
                Some(_) => {}
                None => return newest.map(|(at, key)| (key, at)),
            }
        }
    }

    /// Every commit above this is in the index.
    #[must_use]
    pub fn low_water(&self) -> Timestamp {
        self.low_water
    }

    /// Number of keys in the index.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether no write is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Takes what lies at or above a key into an index of its own, with the same low-water mark.
    #[must_use]
    pub fn split(&mut self, at: &Key) -> RecentWrites {
        let mut right = RecentWrites::new(self.limit, self.low_water);
        right.by_key = self.by_key.split_off(at);
        for (key, time) in &right.by_key {
            let pair = (*time, key.clone());
            assert!(self.by_time.remove(&pair), "{key} is not ordered by time");
            right.by_time.insert(pair);
        }
        right
    }
}

#[cfg(test)]
mod tests;
