//! Dividing a table when its range splits: locks are divided in memory, like everything else of the
//! leader's.

use std::collections::BTreeSet;

use keys::{Key, Span};

use super::{
    LockEffects, LockTable, RequestId,
    claims::{Age, Claim},
    table::age,
};

impl LockTable {
    /// Divides the table at a key: this one keeps what lies below, the one returned holds the rest. A
    /// transaction with locks on both sides is a holder in both. Whoever waits for a key at or above
    /// `at` waits no longer ([`LockEffects::dropped`]): its request is for two ranges now, or for
    /// the other one.
    ///
    /// # Panics
    /// If a transaction let go early and is not released: its commit lies before the split in the log.
    pub fn split(&mut self, at: &Key, out: &mut LockEffects) -> LockTable {
        assert!(self.settling.is_empty(), "split before {:?} are applied", self.settling);
        let mut candidates = BTreeSet::new();
        let beyond = |span: Span| span.end > *at;
        let waiters = self.waiting.iter();
        let gone: Vec<RequestId> = waiters
            .filter(|(_, waiter)| waiter.wants.iter().any(|lock| beyond(lock.span())))
            .map(|(id, _)| *id)
            .collect();
        let readers = self.readers.iter();
        let gone_readers: Vec<RequestId> = readers
            .filter(|(_, reader)| reader.spans.iter().any(|span| beyond(span.clone())))
            .map(|(id, _)| *id)
            .collect();
        let gone: Vec<RequestId> = gone.into_iter().chain(gone_readers).collect();
        for id in &gone {
            self.remove_waiter(*id, &mut candidates);
        }
        out.dropped.extend(gone);
        let right = self.split_holders(at, &mut candidates, out);
        self.grant_candidates(candidates, out);
        right
    }

    fn split_holders(
        &mut self,
        at: &Key,
        candidates: &mut BTreeSet<(Age, RequestId)>,
        out: &mut LockEffects,
    ) -> LockTable {
        let mut right = LockTable::new(self.limits);
        right.wounded = self.wounded.clone();
        right.wounded_order = self.wounded_order.clone();
        for txn in self.holders.keys().copied().collect::<Vec<_>>() {
            let holder = self.holders.get_mut(&txn).expect("listed above");
            let (mut kept, mut moved) = (Vec::new(), Vec::new());
            for lock in std::mem::take(&mut holder.held) {
                self.claims.remove(&lock, Claim::held(age(&holder.meta), &lock));
                let (left, other) = lock.split(at);
                kept.extend(left);
                moved.extend(other);
            }
            for half in [&mut kept, &mut moved] {
                half.sort_unstable();
                half.dedup();
            }
            for lock in &kept {
                self.claims.insert(lock, Claim::held(age(&holder.meta), lock));
            }
            if !moved.is_empty() {
                right.grant(holder.meta.clone(), moved);
                let other = right.holders.get_mut(&txn).expect("granted just now");
                (other.stage, other.pending) = (holder.stage, holder.pending);
                right.pending += usize::from(holder.pending.is_some());
            }
            if kept.is_empty() && right.holders.contains_key(&txn) {
                self.remove_holder(txn, candidates, out);
            } else {
                self.holders.get_mut(&txn).expect("listed above").held = kept;
            }
        }
        right
    }
}
