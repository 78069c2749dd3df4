//! The routing cache: which range holds a key and who leads it, as far as this gateway has heard.
//!
//! A cache of hints. Whatever it says is checked by the replica that gets the request: a wrong
//! entry costs a round trip, never a wrong answer. So nothing here waits, asks or fails.
//!
//! ```text
//!   learn  r1 [a - z) gen 4                  a-----------------------z   r1 gen 4
//!   learn  r2 [m - z) gen 5 (split of r1)              m-------------z   r2 gen 5   (r1 is gone)
//!   learn  r1 [a - z) gen 4 (a late answer)  ignored: it overlaps a higher generation
//!   learn  r1 [a - m) gen 5                  a---------m-------------z   r1, r2 gen 5
//! ```
//!
//! 1. Entries never overlap. Asserted by the tests' model after each step.
//! 2. Of two descriptors that overlap, the higher generation stays: a split gives both halves a
//!    generation above the parent's. Of equal ones the later heard of stays.
//! 3. There are never more than `limit` entries; the least recently used go, an eighth at a time.

use std::{collections::BTreeMap, sync::Arc};

use keys::{Key, NodeId, RangeId};
use kv::Descriptor;

/// A remembered range.
#[derive(Clone, Debug)]
struct Entry {
    descriptor: Arc<Descriptor>,
    /// The leader as last heard of.
    leader: Option<NodeId>,
    /// The cache's tick at the last use.
    used: u64,
}

/// Where a request for a key goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The range.
    pub descriptor: Arc<Descriptor>,
    /// Its leader as last heard of.
    pub leader: Option<NodeId>,
}

/// The routing cache.
#[derive(Debug)]
pub(crate) struct RoutingCache {
    /// End key -> entry, so that the first one above a key is the only one that may hold it.
    by_end: BTreeMap<Key, Entry>,
    /// Range -> its end key in `by_end`.
    ends: BTreeMap<RangeId, Key>,
    limit: usize,
    tick: u64,
}

impl RoutingCache {
    /// An empty cache of at most `limit` entries.
    pub fn new(limit: usize) -> RoutingCache {
        assert!(limit > 0, "a routing cache needs room for one entry");
        RoutingCache { by_end: BTreeMap::new(), ends: BTreeMap::new(), limit, tick: 0 }
    }

    /// The range that holds the key.
    pub fn find(&mut self, key: &Key) -> Option<Route> {
        self.tick += 1;
        let above = (std::ops::Bound::Excluded(key), std::ops::Bound::Unbounded);
        let (_, entry) = self.by_end.range_mut::<Key, _>(above).next()?;
        if !entry.descriptor.span.contains(key) {
            return None;
        }
        entry.used = self.tick;
        Some(Route { descriptor: entry.descriptor.clone(), leader: entry.leader })
    }

    /// The leader of a range as last heard of.
    pub fn leader(&self, range: RangeId) -> Option<NodeId> {
        self.by_end.get(self.ends.get(&range)?)?.leader
    }

    /// Remembers who leads a range; `None`: not the one thought of before.
    pub fn set_leader(&mut self, range: RangeId, leader: Option<NodeId>) {
        let Some(end) = self.ends.get(&range) else { return };
        let entry = self.by_end.get_mut(end).expect("both maps hold the same ranges");
        entry.leader = leader;
    }

    /// Takes in a descriptor. `false`: something newer is known of these keys, nothing changed.
    pub fn learn(&mut self, descriptor: Descriptor) -> bool {
        assert!(!descriptor.span.is_empty(), "{descriptor} holds no key");
        assert!(!descriptor.voters.is_empty(), "{descriptor} has no voters");
        let overlapping = self.overlapping(&descriptor);
        let newer = |id: &RangeId| self.generation(*id) > descriptor.generation;
        if overlapping.iter().any(newer)
            || self.ends.contains_key(&descriptor.id) && newer(&descriptor.id)
        {
            return false;
        }
        let leader = self.leader(descriptor.id);
        overlapping.iter().for_each(|id| self.forget(*id));
        self.forget(descriptor.id);
        self.make_room();
        self.tick += 1;
        self.ends.insert(descriptor.id, descriptor.span.end.clone());
        let end = descriptor.span.end.clone();
        let entry = Entry { descriptor: Arc::new(descriptor), leader, used: self.tick };
        let before = self.by_end.insert(end, entry);
        assert!(before.is_none(), "entries overlap: {before:?}");
        true
    }

    /// Forgets a range: its keys will be looked up again.
    pub fn forget(&mut self, range: RangeId) {
        if let Some(end) = self.ends.remove(&range) {
            self.by_end.remove(&end).expect("both maps hold the same ranges");
        }
    }

    fn generation(&self, range: RangeId) -> u64 {
        self.by_end[&self.ends[&range]].descriptor.generation
    }

    fn overlapping(&self, descriptor: &Descriptor) -> Vec<RangeId> {
        let above = (std::ops::Bound::Excluded(&descriptor.span.start), std::ops::Bound::Unbounded);
        self.by_end
            .range::<Key, _>(above)
            .map(|(_, entry)| &entry.descriptor)
            .take_while(|known| known.span.start < descriptor.span.end)
            .map(|known| known.id)
            .collect()
    }

    fn make_room(&mut self) {
        if self.ends.len() < self.limit {
            return;
        }
        let mut by_use: Vec<(u64, RangeId)> =
            self.by_end.values().map(|entry| (entry.used, entry.descriptor.id)).collect();
        by_use.sort_unstable();
        by_use.truncate((self.limit / 8).max(1));
        by_use.into_iter().for_each(|(_, id)| self.forget(id));
    }

    /// All entries, in key order.
    #[cfg(test)]
    pub fn entries(&self) -> impl Iterator<Item = Route> {
        self.by_end.values().map(|e| Route { descriptor: e.descriptor.clone(), leader: e.leader })
    }
}

#[cfg(test)]
mod tests;
