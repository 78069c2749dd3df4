//! Transactions of one range that wait for each other.
//!
//! ```text
//! T1 waits for T2, T2 for T3 and T4,      T1 -> T2 -> T3
//! T3 for T1: a knot of T1, T2, T3.         ^     |    |
//! T4 waits for nobody.                     +-----|----+
//!                                                +-> T4
//! ```
//!
//! A knot comes tied when a request begins to wait, never later: who is granted had nobody's wait in
//! its way but of those who wait for it anyhow. So it is looked for there, and untied at once: the
//! youngest loses its locks. Somebody older waits for it, and it waits itself, so X5 and X5b allow that
//! without any waiting; and of all that could be wounded it is the one that loses least. Knots over
//! several ranges are not seen here: their records are asked ([`super::WantPush`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use keys::{Key, Span, TxnId};
use kv::{Conflict, ConflictKind};

use super::{
    LockEffects, LockTable, RequestId,
    claims::{Age, Claim, State},
    table::age,
};

/// Most transactions looked at. A knot beyond is untied after a while, as those over several ranges.
const MAX_VISITED: usize = 64;

impl LockTable {
    /// Unties the knots that a request's beginning to wait has tied. If that took its own transaction's
    /// locks, answers for whom.
    pub(super) fn untie(&mut self, id: RequestId, out: &mut LockEffects) -> Option<Conflict> {
        while let Some(waiter) = self.waiting.get(&id) {
            let from = waiter.meta.id;
            if !self.may_be_waited_for(from) {
                return None;
            }
            let knot = self.knot(from);
            let youngest = knot.last().filter(|youngest| !self.is_prepared(youngest.txn))?.txn;
            let (key, older) = self.waits_for_holder(&knot, youngest);
            let (kind, span) = (ConflictKind::Wounded, Span::point(key));
            let conflict = Conflict { kind, span, winner: Some(older), at: None };
            let mut candidates = BTreeSet::new();
            self.wound_now(youngest, conflict.clone(), &mut candidates, out);
            self.grant_candidates(candidates, out);
            if youngest == from {
                return Some(conflict);
            }
        }
        None
    }

    /// Whether it holds locks, or one of its requests stands in front of a younger one.
    fn may_be_waited_for(&self, txn: TxnId) -> bool {
        let in_front = |id: RequestId| {
            let Some(waiter) = self.waiting.get(&id) else { return false };
            let own = (age(&waiter.meta), id);
            let mut visit = |_: &Key, claim: &Claim| {
                let younger = claim.state == State::Waiting && (claim.age, claim.request) > own;
                if younger { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            waiter.wants.iter().any(|lock| self.claims.conflicts(lock, &mut visit).is_break())
        };
        self.holders.contains_key(&txn) || self.requests_of(txn).into_iter().any(in_front)
    }

    /// All that wait for each other and for this one, itself among them; empty if it is in no knot.
    fn knot(&self, from: TxnId) -> BTreeSet<Age> {
        let mut waits_of: BTreeMap<TxnId, Vec<TxnId>> = BTreeMap::new();
        let mut next = vec![from];
        while let Some(txn) = next.pop() {
            if waits_of.len() >= MAX_VISITED || waits_of.contains_key(&txn) {
                continue;
            }
            let waits_for = self.waits_for(txn);
            next.extend(&waits_for);
            waits_of.insert(txn, waits_for);
        }
        let mut tied = BTreeSet::from([from]);
        let mut grew = true;
        while grew {
            let before = tied.len();
            let ties = |of: &Vec<TxnId>| of.iter().any(|txn| tied.contains(txn));
            let more = waits_of.iter().filter(|(_, of)| ties(of)).map(|(txn, _)| *txn);
            let more: Vec<TxnId> = more.collect();
            tied.extend(more);
            grew = tied.len() > before;
        }
        if tied.len() == 1 {
            return BTreeSet::new();
        }
        tied.into_iter().map(|txn| age(self.meta_of(txn).expect("it waits"))).collect()
    }

    /// Whom a transaction's requests wait for, in part if they are very many.
    fn waits_for(&self, txn: TxnId) -> Vec<TxnId> {
        let requests = self.requests_of(txn).into_iter();
        let waiters = requests.filter_map(|id| self.waiting.get(&id).map(|waiter| (id, waiter)));
        waiters.flat_map(|(id, w)| self.in_way(age(&w.meta), id, &w.wants)).collect()
    }

    /// Who of a knot waits for a lock of its youngest, the oldest of them, and where.
    fn waits_for_holder(&self, knot: &BTreeSet<Age>, youngest: TxnId) -> (Key, TxnId) {
        for waiter in knot {
            for id in self.requests_of(waiter.txn) {
                let Some(request) = self.waiting.get(&id) else { continue };
                let mut found = None;
                self.visit_in_way(*waiter, id, &request.wants, &mut |key, claim| {
                    if claim.state == State::Held && claim.age.txn == youngest {
                        found = Some(key.clone());
                        return ControlFlow::Break(());
                    }
                    ControlFlow::Continue(())
                });
                if let Some(key) = found {
                    return (key, waiter.txn);
                }
            }
        }
        // Nobody waits behind a younger waiter, so it is held locks by which the youngest ties.
        panic!("nobody of {knot:?} waits for a lock of {youngest:?}");
    }
}
