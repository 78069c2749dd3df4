//! Claims, held or waiting, indexed by where they lie.
//!
//! Point claims, exclusive and shared, lie in one map by key; shared claims on real spans in a
//! structure searched by overlap. A conflict always has an exclusive side, so it always has a key.
//!
//! The claims on a key are kept in order: holders first, then waiters by age. So whoever asks what
//! is in the way of a waiter finds it at the front, and a key with a thousand waiters costs no more
//! than one with two.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{Bound, ControlFlow},
};

use clock::Timestamp;
use keys::{Key, Span, TxnId};

use super::{RequestId, intervals::Intervals};

/// A transaction's place in the order of wound-wait: lower is older (X5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Age {
    pub priority: Timestamp,
    pub txn: TxnId,
}

/// What is locked, and how.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lock {
    /// A written key.
    Exclusive(Key),
    /// A key that was read.
    Point(Key),
    /// A span that was read.
    Span(Span),
}

impl Lock {
    /// A shared lock. `None` if there is nothing to lock.
    pub fn shared(span: Span) -> Option<Lock> {
        if span.is_empty() {
            None
        } else if span.is_point() {
            Some(Lock::Point(span.start))
        } else {
            Some(Lock::Span(span))
        }
    }

    /// Whether it is an exclusive one.
    pub fn is_exclusive(&self) -> bool {
        matches!(self, Lock::Exclusive(_))
    }

    /// The keys it covers.
    pub fn span(&self) -> Span {
        match self {
            Lock::Exclusive(key) | Lock::Point(key) => Span::point(key.clone()),
            Lock::Span(span) => span.clone(),
        }
    }

    /// What of it lies below and what at or above a key.
    pub fn split(self, at: &Key) -> (Option<Lock>, Option<Lock>) {
        match self {
            Lock::Exclusive(ref key) | Lock::Point(ref key) => {
                if key < at {
                    (Some(self), None)
                } else {
                    (None, Some(self))
                }
            }
            Lock::Span(span) => {
                let middle = at.clone().clamp(span.start.clone(), span.end.clone());
                let left = Span::new(span.start, middle.clone());
                (Lock::shared(left), Lock::shared(Span::new(middle, span.end)))
            }
        }
    }
}

/// Whether a claim is a lock or the wish for one. Holders come before waiters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Held,
    Waiting,
}

/// A claim on a key or a span. The order of the fields is the order of claims on a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claim {
    pub state: State,
    pub age: Age,
    /// The request that waits; of a lock held 0, so that a transaction holds a lock only once.
    pub request: RequestId,
    pub exclusive: bool,
}

impl Claim {
    pub fn held(age: Age, lock: &Lock) -> Claim {
        let (state, request) = (State::Held, RequestId(0));
        Claim { state, age, request, exclusive: lock.is_exclusive() }
    }

    pub fn waiting(age: Age, request: RequestId, lock: &Lock) -> Claim {
        Claim { state: State::Waiting, age, request, exclusive: lock.is_exclusive() }
    }

    fn is_held(&self) -> bool {
        self.state == State::Held
    }

    /// Whether this claim is in the way of a request that conflicts with it.
    pub fn blocks(&self, age: Age, request: RequestId) -> bool {
        self.age.txn != age.txn
            && (self.state == State::Held || (self.age, self.request) < (age, request))
    }
}

/// What claims take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// How many they are.
    pub locks: usize,
    /// Bytes of their keys, or of the ends of their spans.
    pub bytes: usize,
}

impl Usage {
    fn of(lock: &Lock) -> Usage {
        let bytes = match lock {
            Lock::Exclusive(key) | Lock::Point(key) => key.len(),
            Lock::Span(span) => span.start.len() + span.end.len(),
        };
        Usage { locks: 1, bytes }
    }

    fn plus(self, other: Usage) -> Usage {
        Usage { locks: self.locks + other.locks, bytes: self.bytes + other.bytes }
    }

    /// # Panics
    /// If the other is more.
    fn minus(self, other: Usage) -> Usage {
        assert!(other.locks <= self.locks && other.bytes <= self.bytes, "{other:?} > {self:?}");
        Usage { locks: self.locks - other.locks, bytes: self.bytes - other.bytes }
    }

    fn at_most(self, most: Usage) -> Usage {
        Usage { locks: self.locks.min(most.locks), bytes: self.bytes.min(most.bytes) }
    }
}

/// All claims of a range.
#[derive(Clone, Debug)]
pub(super) struct Claims {
    /// Sorted, never empty.
    keys: BTreeMap<Key, Vec<Claim>>,
    spans: Intervals<Claim>,
    /// Claims in `keys`.
    points: usize,
    /// More than this of a transaction does not count.
    share: Usage,
    /// What each transaction's claims take. Never nothing.
    by_txn: BTreeMap<TxnId, Usage>,
    /// The sum of `by_txn`, each at most `share`.
    counted: Usage,
}

impl Claims {
    /// None yet. Of what a transaction's claims take, at most `share` will count.
    pub fn new(share: Usage) -> Claims {
        Claims {
            keys: BTreeMap::new(),
            spans: Intervals::new(),
            points: 0,
            share,
            by_txn: BTreeMap::new(),
            counted: Usage::default(),
        }
    }

    /// What the claims of all other transactions count for.
    pub fn counted_beside(&self, txn: TxnId) -> Usage {
        self.counted.minus(self.counted_of(txn))
    }

    fn counted_of(&self, txn: TxnId) -> Usage {
        self.by_txn.get(&txn).copied().unwrap_or_default().at_most(self.share)
    }

    /// Notes that a transaction's claims take something else now.
    fn count(&mut self, txn: TxnId, change: impl FnOnce(Usage) -> Usage) {
        let before = self.counted_of(txn);
        let usage = self.by_txn.entry(txn).or_default();
        *usage = change(*usage);
        if usage.locks == 0 {
            self.by_txn.remove(&txn);
        }
        self.counted = self.counted.minus(before).plus(self.counted_of(txn));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.points + self.spans.len()
    }

    /// Adds a claim; no effect if it is there.
    pub fn insert(&mut self, lock: &Lock, claim: Claim) {
        match lock {
            Lock::Exclusive(key) | Lock::Point(key) => {
                let claims = self.keys.entry(key.clone()).or_default();
                if let Err(place) = claims.binary_search(&claim) {
                    claims.insert(place, claim);
                    self.points += 1;
                    self.count(claim.age.txn, |usage| usage.plus(Usage::of(lock)));
                }
            }
            Lock::Span(span) => {
                if !self.spans.contains(span, claim) {
                    self.spans.insert(span.clone(), claim);
                    self.count(claim.age.txn, |usage| usage.plus(Usage::of(lock)));
                }
            }
        }
    }

    /// Removes a claim; no effect if it is not there.
    pub fn remove(&mut self, lock: &Lock, claim: Claim) {
        match lock {
            Lock::Exclusive(key) | Lock::Point(key) => {
                let Some(claims) = self.keys.get_mut(key) else { return };
                if let Ok(place) = claims.binary_search(&claim) {
                    claims.remove(place);
                    self.points -= 1;
                    if claims.is_empty() {
                        self.keys.remove(key);
                    }
                    self.count(claim.age.txn, |usage| usage.minus(Usage::of(lock)));
                }
            }
            Lock::Span(span) => {
                if self.spans.remove(span, claim) {
                    self.count(claim.age.txn, |usage| usage.minus(Usage::of(lock)));
                }
            }
        }
    }

    /// Whether the transaction holds this lock, or a stronger or wider one that makes it needless.
    pub fn covered(&self, age: Age, lock: &Lock) -> bool {
        let holds = |key: &Key, exclusive: bool| {
            let claim = Claim { state: State::Held, age, request: RequestId(0), exclusive };
            self.keys.get(key).is_some_and(|claims| claims.binary_search(&claim).is_ok())
        };
        match lock {
            Lock::Exclusive(key) => holds(key, true),
            Lock::Point(key) => {
                holds(key, true) || holds(key, false) || self.covered_by_span(age, &lock.span())
            }
            Lock::Span(span) => self.covered_by_span(age, span),
        }
    }

    fn covered_by_span(&self, age: Age, wanted: &Span) -> bool {
        let mut visit = |span: &Span, claim: &Claim| {
            let covers = claim.age == age && claim.state == State::Held && span.covers(wanted);
            if covers { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        self.spans.overlapping(&wanted.start, &wanted.start.next(), &mut visit).is_break()
    }

    /// Visits the claims that conflict with a lock, whoever's they are, and the key where they do.
    pub fn conflicts(
        &self,
        lock: &Lock,
        visit: &mut dyn FnMut(&Key, &Claim) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match lock {
            Lock::Exclusive(key) => {
                self.at(key).iter().try_for_each(|claim| visit(key, claim))?;
                if self.spans.len() == 0 {
                    return ControlFlow::Continue(());
                }
                self.spans.overlapping(key, &key.next(), &mut |_, claim| visit(key, claim))
            }
            Lock::Point(key) => {
                let mut exclusive = self.at(key).iter().filter(|claim| claim.exclusive);
                exclusive.try_for_each(|claim| visit(key, claim))
            }
            Lock::Span(span) => self.exclusive_in(span, visit),
        }
    }

    /// Visits the locks held that conflict with a lock, whoever's they are, and the key where they do:
    /// however many wait there.
    pub fn held_conflicts(&self, lock: &Lock, visit: &mut dyn FnMut(&Key, &Claim)) {
        let mut held = |key: &Key, claims: &[Claim], exclusive: bool| {
            let held = claims.iter().take_while(|claim| claim.is_held());
            held.filter(|claim| claim.exclusive || !exclusive).for_each(|claim| visit(key, claim));
        };
        match lock {
            Lock::Exclusive(key) => {
                held(key, self.at(key), false);
                let _ = self.spans.overlapping(key, &key.next(), &mut |_, claim| {
                    held(key, std::slice::from_ref(claim), false);
                    ControlFlow::Continue(())
                });
            }
            Lock::Point(key) => held(key, self.at(key), true),
            Lock::Span(span) if span.is_empty() => {}
            Lock::Span(span) => {
                let keys = self.keys.range::<Key, _>(&span.start..&span.end);
                keys.for_each(|(key, claims)| held(key, claims, true));
            }
        }
    }

    /// Visits the exclusive claims on the keys of a span.
    pub fn exclusive_in(
        &self,
        span: &Span,
        visit: &mut dyn FnMut(&Key, &Claim) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if span.is_empty() {
            return ControlFlow::Continue(());
        }
        let bounds = (Bound::Included(&span.start), Bound::Excluded(&span.end));
        for (key, claims) in self.keys.range::<Key, _>(bounds) {
            claims.iter().filter(|claim| claim.exclusive).try_for_each(|c| visit(key, c))?;
        }
        ControlFlow::Continue(())
    }

    /// Whether a claim on a key waits for this transaction, which holds a lock there.
    pub fn waits_for(&self, key: &Key, claim: &Claim, holder: Age) -> bool {
        claim.state == State::Waiting
            && claim.exclusive
            && self.covered(holder, &Lock::Point(key.clone()))
    }

    /// Collects the waiters that may be granted once a lock is gone: those that conflict with it, but
    /// of each key none behind an exclusive waiter, who stays in their way whether it is granted or
    /// waits on, unless they hold a lock there, for which that one waits itself.
    pub fn candidates(&self, lock: &Lock, out: &mut BTreeSet<(Age, RequestId)>) {
        match lock {
            Lock::Exclusive(key) => {
                self.collect(key, self.at(key), out);
                let _ = self.spans.overlapping(key, &key.next(), &mut |_, claim| {
                    if claim.state == State::Waiting {
                        out.insert((claim.age, claim.request));
                    }
                    ControlFlow::Continue(())
                });
            }
            Lock::Point(key) => self.collect(key, self.at(key), out),
            Lock::Span(span) => {
                let bounds = (Bound::Included(&span.start), Bound::Excluded(&span.end));
                for (key, claims) in self.keys.range::<Key, _>(bounds) {
                    self.collect(key, claims, out);
                }
            }
        }
    }

    fn collect(&self, key: &Key, claims: &[Claim], out: &mut BTreeSet<(Age, RequestId)>) {
        let (held, waiting) = claims.split_at(claims.partition_point(Claim::is_held));
        let mut behind = None;
        for claim in waiting {
            if behind.is_some_and(|age| age != claim.age) {
                break;
            }
            out.insert((claim.age, claim.request));
            if claim.exclusive {
                behind = Some(claim.age);
            }
        }
        if behind.is_none() {
            return;
        }
        let mut add_requests_of = |holder: &Claim| {
            let first = waiting.partition_point(|claim| claim.age < holder.age);
            let own = waiting[first..].iter().take_while(|claim| claim.age == holder.age);
            out.extend(own.map(|claim| (claim.age, claim.request)));
        };
        held.iter().for_each(&mut add_requests_of);
        let _ = self.spans.overlapping(key, &key.next(), &mut |_, claim| {
            if claim.is_held() {
                add_requests_of(claim);
            }
            ControlFlow::Continue(())
        });
    }

    /// What each transaction's claims take, and what that counts for, for tests.
    #[cfg(test)]
    pub fn usage(&self) -> (&BTreeMap<TxnId, Usage>, Usage) {
        (&self.by_txn, self.counted)
    }

    /// Visits every claim that touches a span, for tests.
    #[cfg(test)]
    pub fn visit_all(&self, span: &Span, visit: &mut dyn FnMut(&Lock, &Claim) -> ControlFlow<()>) {
        for (key, claims) in self.keys.range::<Key, _>(&span.start..&span.end) {
            for claim in claims {
                let key = key.clone();
                let lock = if claim.exclusive { Lock::Exclusive(key) } else { Lock::Point(key) };
                let _ = visit(&lock, claim);
            }
        }
        let _ = self.spans.overlapping(&span.start, &span.end, &mut |span, claim| {
            visit(&Lock::Span(span.clone()), claim)
        });
    }

    fn at(&self, key: &Key) -> &[Claim] {
        self.keys.get(key).map_or(&[], Vec::as_slice)
    }
}
