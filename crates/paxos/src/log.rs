//! The log as one acceptor holds it: accepted entries, the chosen prefix, and the fence (P8).
//!
//! ```text
//!   slot       1   2   3 | 4   5   6   7 | 8   9      11
//!              truncated |    chosen     | accepted, gap at 10
//!                        |  applied: 5   |
//! ```
//!
//! Slots up to `truncated` are gone, all that is left of them is the highest ballot under which one
//! of them was first proposed. Slots up to `chosen` are final. Above it lies what this acceptor
//! accepted, under whatever ballots, with gaps where messages were lost.
//!
//! Why a commit index is no more than a hint: slot 9 here may hold an entry of a ballot long gone.
//! "Chosen up to 9, under ballot 4" is about the entry that ballot 4 proposed. So [`Log::learn`]
//! takes a slot as chosen only if it was accepted under that very ballot.
//!
//! Invariants, asserted where they could break:
//! 1. `truncated <= applied <= chosen`; no gap up to `chosen`.
//! 2. One ballot proposes one value per slot: accepting it twice meets equal entries.
//! 3. A chosen slot never changes: whoever proposes it again proposes the same.
//! 4. The ballot of the acceptance in a slot never falls.
//! 5. The fence never falls.
//!
//! The fence, drawn (P8, and a little more). Leaders 1 and 2 fill their pipelines; `x'` marks an
//! entry first proposed under ballot x, `O` an opening:
//!
//! ```text
//!   slot        5    6    7    8
//!   leader 1    a1   b1   c1          reach n1 only, then it crashes
//!   leader 2    O2   x2   y2          elected by n2, n3: O2 is chosen, x2 lost, y2 reaches n1
//!   leader 3    O2   b1   y2   O3     elected by n1, n3: what they report, the highest ballots
//!   verdict          void void
//! ```
//!
//! `b1` is void: a lower slot holds an entry of a higher ballot. `y2` must be void as well, though
//! its ballot is the highest so far: its leader proposed `x2` before it, and `x2` did not happen.
//! So an entry is void, too, if between its ballot's opening and itself a slot holds an entry of
//! another ballot. That makes what remains of a leadership a prefix of what it proposed.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::{
    Ballot, Chosen, Corrupt, Durable, Entry, Payload, Slot, SnapshotRefused,
    message::SLOT_LIMIT,
    rules::{Rule, Rules},
};

/// What the fence remembers of a prefix of the log (P8): enough to judge all that follows. It goes
/// with every truncation and every snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fence {
    /// The highest ballot under which an entry of the prefix was first proposed.
    ballot: Ballot,
    /// Whether, behind that ballot's opening, there was an entry of another ballot: then what that
    /// leader proposed later is void as well.
    broken: bool,
}

impl Fence {
    /// Before the first slot.
    pub const NONE: Fence = Fence { ballot: Ballot::NONE, broken: false };

    /// The highest ballot under which an entry of the prefix was first proposed.
    #[must_use]
    pub fn ballot(self) -> Ballot {
        self.ballot
    }

    /// The next entry passes the fence. Answers whether it is void.
    fn judge(&mut self, entry: &Entry, rules: Rules) -> bool {
        let before = self.ballot;
        if entry.first > before || (entry.first == before && entry.payload == Payload::Opening) {
            *self = Fence { ballot: entry.first, broken: false };
        } else if entry.first < before {
            self.broken = true;
        }
        let lower = entry.first < before && rules.keep(Rule::Fence);
        let behind_a_hole = self.broken && rules.keep(Rule::FenceBehindHoles);
        lower || (behind_a_hole && rules.keep(Rule::Fence))
    }
}

/// One acceptor's log.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Log {
    /// `entries[i]` is slot `truncated + 1 + i`; `None` is a gap. The last one is never `None`.
    entries: VecDeque<Option<Entry>>,
    /// Slots up to here are removed.
    truncated: Slot,
    /// The fence behind `truncated`.
    truncated_fence: Fence,
    /// Slots up to here are applied by the host.
    applied: Slot,
    /// Slots up to here are known chosen.
    chosen: Slot,
    /// The fence behind `chosen`.
    fence: Fence,
    /// The ballot that `matched` speaks of.
    matched_ballot: Ballot,
    /// Every slot up to here is chosen, or accepted under `matched_ballot`.
    matched: Slot,
    /// Weight of all entries held.
    bytes: usize,
    /// Weight of the entries above `chosen`.
    unchosen_bytes: usize,
}

impl Log {
    /// A log without entries.
    pub(crate) fn new() -> Log {
        Log::starting_after(Slot::NONE, Fence::NONE)
    }

    fn starting_after(truncated: Slot, fence: Fence) -> Log {
        Log {
            entries: VecDeque::new(),
            truncated,
            truncated_fence: fence,
            applied: truncated,
            chosen: truncated,
            fence,
            matched_ballot: Ballot::NONE,
            matched: truncated,
            bytes: 0,
            unchosen_bytes: 0,
        }
    }

    /// The log read back from disk. What is applied is chosen; what else is chosen will be told.
    pub(crate) fn restore(
        durable: &Durable,
        entries: Vec<(Slot, Entry)>,
        applied: Slot,
    ) -> Result<Log, Corrupt> {
        let mut log = Log::starting_after(durable.truncated, durable.fence);
        if applied < durable.truncated {
            let truncated = durable.truncated;
            return Err(Corrupt(format!("applied {applied} is below truncated {truncated}")));
        }
        for (slot, entry) in entries {
            if entry.first > entry.ballot || entry.ballot > durable.promised {
                let promised = durable.promised;
                return Err(Corrupt(format!("{slot} holds {entry:?}, promised is {promised}")));
            }
            if slot > log.truncated {
                log.put(slot, entry);
            }
        }
        while log.chosen < applied {
            let slot = log.chosen.next();
            let Some(entry) = log.get(slot) else {
                return Err(Corrupt(format!("{slot} is missing, but {applied} is applied")));
            };
            let weight = entry.payload.weight();
            let mut fence = log.fence;
            fence.judge(entry, Rules::default());
            log.fence = fence;
            log.unchosen_bytes -= weight;
            log.chosen = slot;
        }
        log.applied = applied;
        Ok(log)
    }

    /// The highest slot held; `truncated` if none is.
    pub(crate) fn last(&self) -> Slot {
        Slot(self.truncated.0 + self.entries.len() as u64)
    }

    /// Slots up to here are removed.
    pub(crate) fn truncated(&self) -> Slot {
        self.truncated
    }

    /// The fence behind `truncated`.
    pub(crate) fn truncated_fence(&self) -> Fence {
        self.truncated_fence
    }

    /// Slots up to here are known chosen.
    pub(crate) fn chosen(&self) -> Slot {
        self.chosen
    }

    /// Slots up to here are applied.
    pub(crate) fn applied(&self) -> Slot {
        self.applied
    }

    /// The fence behind `chosen`.
    pub(crate) fn fence(&self) -> Fence {
        self.fence
    }

    /// Weight of all entries held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Weight of the entries above `chosen`.
    pub(crate) fn unchosen_bytes(&self) -> usize {
        self.unchosen_bytes
    }

    /// What is held in a slot.
    pub(crate) fn get(&self, slot: Slot) -> Option<&Entry> {
        let index = slot.0.checked_sub(self.truncated.0 + 1)?;
        self.entries.get(usize::try_from(index).ok()?)?.as_ref()
    }

    /// What is held in slots `from ..`, ascending, gaps left out.
    pub(crate) fn from(&self, from: Slot) -> impl Iterator<Item = (Slot, &Entry)> {
        let skip = usize::try_from(from.since(self.truncated.next())).unwrap_or(usize::MAX);
        let first = self.truncated.0 + 1;
        self.entries
            .iter()
            .enumerate()
            .skip(skip)
            .filter_map(move |(i, e)| Some((Slot(first + i as u64), e.as_ref()?)))
    }

    /// Accepts an entry. Answers whether anything changed, so that it has to be written. What a peer
    /// proposes is held against the log before (`Group::contradiction`), so a contradiction here is
    /// this replica's own.
    pub(crate) fn accept(&mut self, slot: Slot, entry: Entry) -> bool {
        assert!(slot > Slot::NONE, "slots count from 1");
        assert!(entry.first <= entry.ballot, "{slot}: proposed before its ballot: {entry:?}");
        if slot <= self.truncated {
            return false;
        }
        if let Some(held) = self.get(slot) {
            if slot <= self.chosen {
                assert!(
                    held.payload == entry.payload && held.first == entry.first,
                    "{slot} is chosen as {held:?}, but proposed again as {entry:?}"
                );
                return false;
            }
            assert!(held.ballot <= entry.ballot, "{slot} holds {held:?}, offered {entry:?}");
            if held.ballot == entry.ballot {
                assert!(*held == entry, "{slot}: one ballot, two values: {held:?} and {entry:?}");
                return false;
            }
        }
        assert!(slot > self.chosen, "{slot} is chosen, so it is held");
        self.put(slot, entry);
        true
    }

    fn put(&mut self, slot: Slot, entry: Entry) {
        let index = usize::try_from(slot.0 - self.truncated.0 - 1).expect("a log fits in memory");
        if index >= self.entries.len() {
            self.entries.resize(index + 1, None);
        }
        let weight = entry.payload.weight();
        let before = self.entries[index].replace(entry).map_or(0, |e| e.payload.weight());
        self.bytes = self.bytes + weight - before;
        self.unchosen_bytes = self.unchosen_bytes + weight - before;
    }

    /// Every slot up to the answer is known chosen, or accepted under `ballot`.
    pub(crate) fn matched(&mut self, ballot: Ballot) -> Slot {
        if self.matched_ballot != ballot {
            self.matched_ballot = ballot;
            self.matched = self.chosen;
        }
        self.matched = self.matched.max(self.chosen);
        while self.get(self.matched.next()).is_some_and(|e| e.ballot == ballot) {
            self.matched = self.matched.next();
        }
        self.matched
    }

    /// Learns that slots up to `upto` which were accepted under `ballot` are chosen, and passes the
    /// fence's verdict on each (P8).
    pub(crate) fn learn(
        &mut self,
        ballot: Ballot,
        upto: Slot,
        rules: Rules,
        out: &mut Vec<Chosen>,
    ) {
        while self.chosen < upto {
            let slot = self.chosen.next();
            let Some(entry) = self.get(slot) else { return };
            if entry.ballot != ballot && rules.keep(Rule::LearnOwnBallot) {
                return;
            }
            let entry = entry.clone();
            let void = self.fence.judge(&entry, rules);
            self.unchosen_bytes -= entry.payload.weight();
            self.chosen = slot;
            out.push(Chosen { slot, entry, void });
        }
    }

    /// The host has applied slots up to here.
    pub(crate) fn set_applied(&mut self, slot: Slot) {
        let (applied, chosen) = (self.applied, self.chosen);
        assert!(applied <= slot && slot <= chosen, "applied {slot}: {applied} .. {chosen}");
        self.applied = slot;
    }

    /// The fence behind `slot`. `None` if that is not known any more, or yet.
    pub(crate) fn fence_at(&self, slot: Slot) -> Option<Fence> {
        if slot < self.truncated || slot > self.chosen {
            return None;
        }
        let count = usize::try_from(slot.since(self.truncated)).expect("a log fits in memory");
        let mut fence = self.truncated_fence;
        for entry in self.entries.iter().take(count).flatten() {
            fence.judge(entry, Rules::default());
        }
        Some(fence)
    }

    /// Removes slots up to here, all applied.
    pub(crate) fn truncate(&mut self, upto: Slot) {
        assert!(upto <= self.applied, "truncating {upto}, applied is {}", self.applied);
        self.truncated_fence = self.fence_at(upto).expect("between truncated and chosen");
        self.drop_through(upto);
    }

    /// Whether a snapshot can be of this log: the fence never falls (invariant 5), and where the
    /// slot is known the fence behind it is, too.
    pub(crate) fn check_snapshot(
        &self,
        upto: Slot,
        fence: Fence,
        rules: Rules,
    ) -> Result<(), SnapshotRefused> {
        let here = self.fence_at(upto).filter(|_| rules.keep(Rule::SnapshotFence));
        let falls = upto >= self.chosen && fence.ballot < self.fence.ballot;
        if upto.0 >= SLOT_LIMIT || falls || here.is_some_and(|known| known != fence) {
            return Err(SnapshotRefused::Contradicts { upto, fence: fence.ballot });
        }
        Ok(())
    }

    /// A snapshot stands for slots up to here; entries above stay: they were accepted.
    pub(crate) fn install(&mut self, upto: Slot, fence: Fence) {
        assert!(upto > self.applied, "a snapshot at {upto}, applied is {}", self.applied);
        if upto >= self.chosen {
            let (from, to) = (self.fence.ballot, fence.ballot);
            assert!(to >= from, "the fence falls from {from} to {to}");
            self.chosen = upto;
            self.fence = fence;
        }
        self.drop_through(upto);
        self.truncated_fence = fence;
        self.applied = upto;
        self.unchosen_bytes = self.from(self.chosen.next()).map(|(_, e)| e.payload.weight()).sum();
    }

    fn drop_through(&mut self, upto: Slot) {
        while self.truncated < upto {
            if let Some(Some(entry)) = self.entries.pop_front() {
                self.bytes -= entry.payload.weight();
            }
            self.truncated = self.truncated.next();
            if self.entries.is_empty() {
                self.truncated = upto;
            }
        }
    }
}

#[cfg(test)]
mod tests;
