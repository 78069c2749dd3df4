//! The table itself: holders, waiters, and what happens between them.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::ControlFlow,
};

use clock::Timestamp;
use keys::{Key, Span, TxnId};
use kv::{Conflict, LockWait, TxnMeta};

use super::{
    Acquired, LockEffects, LockLimits, LockRequest, MAX_REPORTED, Refusal, RequestId, WantPush,
    WoundResult, Wounded,
    claims::{Age, Claim, Claims, Lock, State, Usage},
};

/// The lock table of a range, in the memory of its leader. See the [module](super).
#[derive(Clone, Debug)]
pub struct LockTable {
    pub(super) limits: LockLimits,
    pub(super) claims: Claims,
    pub(super) holders: BTreeMap<TxnId, Holder>,
    /// Requests that wait for locks.
    pub(super) waiting: BTreeMap<RequestId, Waiter>,
    /// The same by transaction, and the waiting readers whose transaction holds locks.
    pub(super) waiting_of: BTreeSet<(TxnId, RequestId)>,
    /// Readers that wait for writes (R2).
    pub(super) readers: BTreeMap<RequestId, ReadWaiter>,
    pub(super) wounded: BTreeMap<TxnId, Conflict>,
    /// The keys of `wounded`, first wounded first.
    pub(super) wounded_order: VecDeque<TxnId>,
    /// Holders with a pending timestamp: if there is none, no reader waits.
    pub(super) pending: usize,
    /// Keys that a holder wrote and let go early ([`LockTable::let_go`]): others may lock them,
    /// reads still wait for it.
    pub(super) settling: BTreeMap<Key, TxnId>,
}

/// A transaction that holds locks.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    pub(super) meta: TxnMeta,
    pub(super) stage: Stage,
    /// Timestamp of its proposed write or intent; it is at all its exclusive keys.
    pub(super) pending: Option<Timestamp>,
    /// None twice, none needless because of another at the time it was added.
    pub(super) held: Vec<Lock>,
    /// Readers that wait for it.
    pub(super) readers: Vec<RequestId>,
    /// Its keys in `settling`.
    pub(super) settling: Vec<Key>,
}

/// What a holder has promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing: it may be wounded here.
    Open,
    /// It answered a prepare or its writes are proposed: its record decides (X5).
    Prepared,
}

/// A request that waits for locks.
#[derive(Clone, Debug)]
pub(super) struct Waiter {
    pub(super) meta: TxnMeta,
    /// What it did not hold yet when it began to wait. Its claims lie on exactly these.
    pub(super) wants: Vec<Lock>,
}

#[derive(Clone, Debug)]
pub(super) struct ReadWaiter {
    pub(super) reader: Option<TxnMeta>,
    pub(super) spans: Vec<Span>,
    /// The holders found when it arrived, less those that ended; and where they were met.
    pub(super) waits_for: BTreeMap<TxnId, Key>,
}

pub(super) fn age(meta: &TxnMeta) -> Age {
    Age { priority: meta.priority, txn: meta.id }
}

/// Asking, waiting, giving up.
impl LockTable {
    /// An empty table.
    #[must_use]
    pub fn new(limits: LockLimits) -> LockTable {
        // Of two that hold all they can, neither keeps a third one out alone.
        let share = Usage { locks: limits.locks / 2, bytes: limits.bytes / 2 };
        LockTable {
            limits,
            claims: Claims::new(share),
            holders: BTreeMap::new(),
            waiting: BTreeMap::new(),
            waiting_of: BTreeSet::new(),
            readers: BTreeMap::new(),
            wounded: BTreeMap::new(),
            wounded_order: VecDeque::new(),
            pending: 0,
            settling: BTreeMap::new(),
        }
    }

    /// Asks for locks, all or none. In the way are holders and older waiting requests. Nothing is taken
    /// from a younger holder here: its record is to be asked to abort it, which it does once that one
    /// waits itself (X5, X5b).
    ///
    /// # Panics
    /// If a request of this name waits already.
    pub fn acquire(&mut self, request: LockRequest, out: &mut LockEffects) -> Acquired {
        let LockRequest { id, txn, shared, exclusive, wait } = request;
        assert!(!self.is_waiting(id), "{id:?} waits already");
        if let Some(conflict) = self.wounded.get(&txn.id) {
            return Acquired::Refused(Refusal::Wounded(conflict.clone()));
        }
        if let Some(known) = self.meta_of(txn.id).filter(|known| age(known) != age(&txn)) {
            let (was, is) = (known.priority, txn.priority);
            let cause = format!("{:?} began at {is}, and at {was} before", txn.id);
            return Acquired::Refused(Refusal::Contradicts(cause));
        }
        let wants = self.missing(&txn, shared, exclusive);
        // What one transaction writes is bounded by its log entry, and it must fit into a table that
        // is empty but for it: so the limit is for what others hold already.
        let others = self.claims.counted_beside(txn.id);
        let full = others.locks >= self.limits.locks || others.bytes >= self.limits.bytes;
        if full && !wants.is_empty() {
            let cause = format!("a range holds {} locks", self.claims.len());
            return Acquired::Refused(Refusal::Overloaded(cause));
        }
        let Some((key, holder)) = self.first_in_way(age(&txn), id, &wants) else {
            self.grant(txn, wants);
            return Acquired::Granted;
        };
        if wait == LockWait::NoWait {
            return Acquired::Refused(Refusal::Busy { key, holder });
        }
        if self.waiting_len() >= self.limits.waiting {
            let cause = format!("{} requests of a range wait for locks", self.waiting_len());
            return Acquired::Refused(Refusal::Overloaded(cause));
        }
        self.enter(id, txn, wants, out)
    }

    /// Lets a request or a reader wait no longer. What its transaction holds it keeps. No effect if it
    /// does not wait.
    pub fn cancel(&mut self, request: RequestId, out: &mut LockEffects) {
        let mut candidates = BTreeSet::new();
        self.remove_waiter(request, &mut candidates);
        self.grant_candidates(candidates, out);
    }

    /// The transaction has answered, or is about to answer, a prepare; or its writes are proposed.
    /// From here on it keeps its locks until [`LockTable::release`] (X5).
    ///
    /// # Panics
    /// If it holds nothing here: it was never granted a request, or was wounded since.
    pub fn mark_prepared(&mut self, txn: TxnId) {
        let holder = self.holders.get_mut(&txn).unwrap_or_else(|| panic!("{txn:?} holds nothing"));
        holder.stage = Stage::Prepared;
    }

    /// The transaction's writes are proposed with this timestamp: reads at or above it wait (R2).
    /// Raised when a decision follows a prepare.
    ///
    /// # Panics
    /// If it is not prepared.
    pub fn set_pending(&mut self, txn: TxnId, at: Timestamp) {
        let holder = self.holders.get_mut(&txn).unwrap_or_else(|| panic!("{txn:?} holds nothing"));
        assert_eq!(holder.stage, Stage::Prepared, "{txn:?} proposes before it is prepared");
        self.pending += usize::from(holder.pending.is_none());
        holder.pending = Some(at);
    }

    /// Enters an intent found in storage: an exclusive lock of a prepared transaction (X2).
    ///
    /// # Panics
    /// If another transaction holds a lock on the key: one of the two was granted wrongly.
    pub fn hold_intent(&mut self, key: Key, txn: &TxnMeta, prepare: Timestamp) {
        let lock = Lock::Exclusive(key);
        if !self.claims.covered(age(txn), &lock) {
            self.grant(txn.clone(), vec![lock]);
        }
        self.mark_prepared(txn.id);
        let known = self.holders[&txn.id].pending;
        self.set_pending(txn.id, known.map_or(prepare, |known| known.min(prepare)));
    }

    /// The outcome of a transaction is known (or its gateway let go of locks that were never
    /// prepared): all it holds and waits for here is let go, and a wound of it is forgotten. For a
    /// commit the host has raised `min_next` above s first (R1a).
    pub fn release(&mut self, txn: TxnId, out: &mut LockEffects) {
        if self.wounded.remove(&txn).is_some() {
            self.wounded_order.retain(|other| *other != txn);
        }
        let mut candidates = BTreeSet::new();
        out.dropped.extend(self.remove_waiters_of(txn, &mut candidates));
        self.remove_holder(txn, &mut candidates, out);
        self.grant_candidates(candidates, out);
    }

    /// The outcome of a transaction is known and is a commit at `at`, and the log has all that is to be
    /// done about it here. What whoever locks its keys next does comes behind that in the log, so it
    /// need not wait until it is applied. Readers must, since the store does not show it yet: those
    /// that wait, and those to come at or above `at`, wait on until [`LockTable::release`].
    ///
    /// # Panics
    /// If it is not prepared; or if one of the keys was let go by another transaction that is not
    /// released: that one's write is applied before this one can be prepared.
    pub fn let_go(&mut self, txn: TxnId, keys: &[Key], at: Timestamp, out: &mut LockEffects) {
        let mut candidates = BTreeSet::new();
        out.dropped.extend(self.remove_waiters_of(txn, &mut candidates));
        self.set_pending(txn, at);
        let holder = self.holders.get_mut(&txn).expect("it is pending");
        for lock in &holder.held {
            self.claims.remove(lock, Claim::held(age(&holder.meta), lock));
        }
        holder.held.iter().for_each(|lock| self.claims.candidates(lock, &mut candidates));
        holder.held.clear();
        for key in keys {
            let other = self.settling.insert(key.clone(), txn);
            assert!(other.is_none_or(|other| other == txn), "{key}: {other:?} is not applied yet");
        }
        holder.settling = keys.to_vec();
        self.grant_candidates(candidates, out);
    }

    /// Who let a key go early and is not released yet, and the timestamp of its commit.
    #[must_use]
    pub fn settling_on(&self, key: &Key) -> Option<(TxnId, Timestamp)> {
        let txn = self.settling.get(key)?;
        self.holders[txn].pending.map(|at| (*txn, at))
    }

    /// The newest commit above a timestamp that was let go early in a span and is not released yet.
    #[must_use]
    pub fn newest_settling(&self, span: &Span, above: Timestamp) -> Option<(Key, Timestamp)> {
        if self.settling.is_empty() || span.is_empty() {
            return None;
        }
        let settling = self.settling.range::<Key, _>(&span.start..&span.end);
        let commits = settling.filter_map(|(key, txn)| Some((self.holders[txn].pending?, key)));
        let newest = commits.filter(|(at, _)| *at > above).max();
        newest.map(|(at, key)| (key.clone(), at))
    }

    /// Takes the locks of a transaction that promised nothing, as if an older one wanted them.
    pub fn wound(&mut self, txn: TxnId, conflict: Conflict, out: &mut LockEffects) -> WoundResult {
        match self.holders.get(&txn).map(|holder| holder.stage) {
            Some(Stage::Prepared) => return WoundResult::Prepared,
            Some(Stage::Open) => {}
            None if self.requests_of(txn).is_empty() => return WoundResult::Absent,
            None => {}
        }
        let mut candidates = BTreeSet::new();
        self.wound_now(txn, conflict, &mut candidates, out);
        self.grant_candidates(candidates, out);
        WoundResult::Wounded
    }
}

/// How it is done.
impl LockTable {
    /// As whom a transaction holds or waits here; `None`: it does neither.
    pub(super) fn meta_of(&self, txn: TxnId) -> Option<&TxnMeta> {
        if let Some(holder) = self.holders.get(&txn) {
            return Some(&holder.meta);
        }
        let mut waiters = self.requests_of(txn).into_iter().filter_map(|id| self.waiting.get(&id));
        waiters.next().map(|waiter| &waiter.meta)
    }

    /// The locks of a request that its transaction does not hold yet, each once.
    fn missing(&self, txn: &TxnMeta, shared: Vec<Span>, exclusive: Vec<Key>) -> Vec<Lock> {
        let shared = shared.into_iter().filter_map(Lock::shared);
        let mut wants: Vec<Lock> =
            exclusive.into_iter().map(Lock::Exclusive).chain(shared).collect();
        if self.holders.contains_key(&txn.id) {
            wants.retain(|lock| !self.claims.covered(age(txn), lock));
        }
        if wants.len() > 1 {
            wants.sort_unstable();
            wants.dedup();
        }
        wants
    }

    /// Visits the claims in the way of a request.
    pub(super) fn visit_in_way(
        &self,
        age: Age,
        request: RequestId,
        wants: &[Lock],
        visit: &mut dyn FnMut(&Key, &Claim) -> ControlFlow<()>,
    ) {
        for lock in wants {
            let end = self.claims.conflicts(lock, &mut |key, claim| {
                // X5: who waits for a lock that this one holds is not in its way. It can only be
                // granted after it, and the two would wait for each other.
                if claim.blocks(age, request) && !self.claims.waits_for(key, claim, age) {
                    visit(key, claim)
                } else {
                    ControlFlow::Continue(())
                }
            });
            if end.is_break() {
                return;
            }
        }
    }

    pub(super) fn first_in_way(
        &self,
        age: Age,
        request: RequestId,
        wants: &[Lock],
    ) -> Option<(Key, TxnId)> {
        let mut first = None;
        self.visit_in_way(age, request, wants, &mut |key, claim| {
            first = Some((key.clone(), claim.age.txn));
            ControlFlow::Break(())
        });
        first
    }

    /// Those in the way of a request, holders first, each once, at most [`MAX_REPORTED`].
    pub(super) fn in_way(&self, age: Age, request: RequestId, wants: &[Lock]) -> Vec<TxnId> {
        let mut found = BTreeSet::new();
        self.visit_in_way(age, request, wants, &mut |_, claim| {
            found.insert((claim.state, claim.age));
            if found.len() < MAX_REPORTED {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        let mut named = Vec::new();
        for (_, age) in found {
            if !named.contains(&age.txn) {
                named.push(age.txn);
            }
        }
        named
    }

    /// Puts a request into the queue and makes younger holders give way; it may be granted at once.
    fn enter(
        &mut self,
        id: RequestId,
        txn: TxnMeta,
        wants: Vec<Lock>,
        out: &mut LockEffects,
    ) -> Acquired {
        let own = age(&txn);
        let mut younger: BTreeMap<TxnId, Key> = BTreeMap::new();
        self.visit_in_way(own, id, &wants, &mut |key, claim| {
            if claim.state == State::Held && own < claim.age {
                younger.entry(claim.age.txn).or_insert_with(|| key.clone());
            }
            ControlFlow::Continue(())
        });
        for lock in &wants {
            self.claims.insert(lock, Claim::waiting(own, id, lock));
        }
        self.waiting_of.insert((txn.id, id));
        self.waiting.insert(id, Waiter { meta: txn.clone(), wants });
        let candidates = BTreeSet::from([(own, id)]);
        for (holder, key) in younger {
            let holder = self.holders[&holder].meta.clone();
            let (wound_for, waiters) = (Some(txn.clone()), Vec::new());
            out.must_push.push(WantPush { holder, wound_for, key, waiters });
        }
        self.grant_candidates(candidates, out);
        if let Some(conflict) = self.untie(id, out) {
            return Acquired::Refused(Refusal::Wounded(conflict));
        }
        let Some(waiter) = self.waiting.get(&id) else {
            out.granted.retain(|granted| *granted != id);
            return Acquired::Granted;
        };
        Acquired::Waiting { waits_for: self.in_way(own, id, &waiter.wants) }
    }

    /// Adds locks to what a transaction holds.
    ///
    /// # Panics
    /// If another transaction holds a conflicting one (invariant 1).
    pub(super) fn grant(&mut self, txn: TxnMeta, locks: Vec<Lock>) {
        let own = age(&txn);
        for lock in &locks {
            let _ = self.claims.conflicts(lock, &mut |key, claim| {
                let conflict = claim.state == State::Held && claim.age.txn != own.txn;
                assert!(!conflict, "{key} granted to {:?}, held by {:?}", own.txn, claim.age.txn);
                ControlFlow::Continue(())
            });
            self.claims.insert(lock, Claim::held(own, lock));
        }
        let holder = self.holders.entry(txn.id).or_insert_with(|| Holder {
            meta: txn,
            stage: Stage::Open,
            pending: None,
            held: Vec::new(),
            readers: Vec::new(),
            settling: Vec::new(),
        });
        assert_eq!(own, age(&holder.meta), "a transaction never changes its priority");
        if holder.held.is_empty() { holder.held = locks } else { holder.held.extend(locks) }
    }

    /// Grants those candidates that nobody is in the way of any more, oldest first.
    pub(super) fn grant_candidates(
        &mut self,
        from: BTreeSet<(Age, RequestId)>,
        out: &mut LockEffects,
    ) {
        for (own, id) in from {
            let Some(waiter) = self.waiting.get(&id) else { continue };
            if self.first_in_way(own, id, &waiter.wants).is_some() {
                continue;
            }
            let waiter = self.take_waiter(id).expect("it waits");
            let mut wants = waiter.wants;
            wants.retain(|lock| !self.claims.covered(own, lock));
            self.grant(waiter.meta, wants);
            out.granted.push(id);
        }
    }

    /// Takes a waiting request and its claims out of the queue.
    fn take_waiter(&mut self, id: RequestId) -> Option<Waiter> {
        let waiter = self.waiting.remove(&id)?;
        self.waiting_of.remove(&(waiter.meta.id, id));
        for lock in &waiter.wants {
            self.claims.remove(lock, Claim::waiting(age(&waiter.meta), id, lock));
        }
        Some(waiter)
    }

    /// Takes a waiting reader out; its holders still know it.
    fn take_reader(&mut self, id: RequestId) -> Option<ReadWaiter> {
        let reader = self.readers.remove(&id)?;
        if let Some(meta) = &reader.reader {
            self.waiting_of.remove(&(meta.id, id));
        }
        Some(reader)
    }

    /// Lets a request or reader give up: whom it kept waiting becomes a candidate.
    pub(super) fn remove_waiter(
        &mut self,
        id: RequestId,
        candidates: &mut BTreeSet<(Age, RequestId)>,
    ) {
        if let Some(waiter) = self.take_waiter(id) {
            waiter.wants.iter().for_each(|lock| self.claims.candidates(lock, candidates));
        } else if let Some(reader) = self.take_reader(id) {
            for txn in reader.waits_for.keys() {
                let holder = self.holders.get_mut(txn).expect("who is waited for holds");
                holder.readers.retain(|other| *other != id);
            }
        }
    }

    pub(super) fn requests_of(&self, txn: TxnId) -> Vec<RequestId> {
        let all = (txn, RequestId(0))..=(txn, RequestId(u64::MAX));
        self.waiting_of.range(all).map(|(_, id)| *id).collect()
    }

    fn remove_waiters_of(
        &mut self,
        txn: TxnId,
        candidates: &mut BTreeSet<(Age, RequestId)>,
    ) -> Vec<RequestId> {
        let requests = self.requests_of(txn);
        requests.iter().for_each(|id| self.remove_waiter(*id, candidates));
        requests
    }

    /// Takes all locks of a transaction. Readers that waited for it alone are granted.
    pub(super) fn remove_holder(
        &mut self,
        txn: TxnId,
        candidates: &mut BTreeSet<(Age, RequestId)>,
        out: &mut LockEffects,
    ) {
        let Some(holder) = self.holders.remove(&txn) else { return };
        self.pending -= usize::from(holder.pending.is_some());
        for lock in &holder.held {
            self.claims.remove(lock, Claim::held(age(&holder.meta), lock));
        }
        holder.held.iter().for_each(|lock| self.claims.candidates(lock, candidates));
        for key in &holder.settling {
            self.settling.remove(key);
        }
        for id in holder.readers {
            let reader = self.readers.get_mut(&id).expect("it waits for this holder");
            reader.waits_for.remove(&txn);
            if reader.waits_for.is_empty() {
                self.take_reader(id);
                out.granted.push(id);
            }
        }
    }

    /// Takes everything from a transaction that promised nothing, and remembers it.
    pub(super) fn wound_now(
        &mut self,
        txn: TxnId,
        conflict: Conflict,
        candidates: &mut BTreeSet<(Age, RequestId)>,
        out: &mut LockEffects,
    ) {
        assert!(!self.is_prepared(txn), "{txn:?} is prepared: only its record aborts it");
        let requests = self.remove_waiters_of(txn, candidates);
        self.remove_holder(txn, candidates, out);
        if self.wounded.insert(txn, conflict.clone()).is_none() {
            self.wounded_order.push_back(txn);
        }
        if self.wounded.len() > self.limits.wounded {
            let oldest = self.wounded_order.pop_front().expect("as many as are remembered");
            self.wounded.remove(&oldest);
        }
        out.wounded.push(Wounded { txn, requests, conflict });
    }
}
