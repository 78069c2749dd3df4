//! The lock table against a naive twin: lists, searched from end to end at every step.

use std::collections::{BTreeMap, BTreeSet};

use keys::{Key, RangeId, Span, TxnId};
use kv::{LockWait, TxnMeta};
use proptest::prelude::*;

use super::{at, meta, request};
use crate::locks::{Acquired, LockEffects, LockLimits, LockRequest, LockTable, Refusal};

/// Keys are 0 ..= 9.
const KEYS: u8 = 10;

fn key(k: u8) -> Key {
    Key::from_vec(vec![k])
}

/// A lock on the keys `from <= k < to`. Points and spans of one key differ, as in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Want {
    Exclusive(u8),
    Point(u8),
    Span(u8, u8),
}

impl Want {
    fn keys(self) -> std::ops::Range<u8> {
        match self {
            Want::Exclusive(k) | Want::Point(k) => k..k + 1,
            Want::Span(a, b) => a..b,
        }
    }

    fn exclusive(self) -> bool {
        matches!(self, Want::Exclusive(_))
    }

    fn conflicts(self, other: Want) -> bool {
        (self.exclusive() || other.exclusive()) && self.keys().any(|k| other.keys().contains(&k))
    }

    /// Whether holding `self` makes `other` needless.
    fn covers(self, other: Want) -> bool {
        match (self, other) {
            (Want::Exclusive(a), Want::Exclusive(b) | Want::Point(b)) => a == b,
            (Want::Point(a), Want::Point(b)) => a == b,
            (Want::Span(a, b), Want::Point(_) | Want::Span(..)) => {
                other.keys().all(|k| (a..b).contains(&k))
            }
            (Want::Exclusive(_) | Want::Point(_), _) | (Want::Span(..), Want::Exclusive(_)) => {
                false
            }
        }
    }

    fn span(self) -> Span {
        match self {
            Want::Exclusive(k) | Want::Point(k) => Span::point(key(k)),
            Want::Span(a, b) => Span::new(key(a), key(b)),
        }
    }
}

#[derive(Clone, Debug)]
struct TwinHolder {
    meta: TxnMeta,
    prepared: bool,
    pending: Option<u64>,
    held: Vec<Want>,
    /// Written, and let go before that is applied.
    settling: BTreeSet<u8>,
}

#[derive(Default)]
struct Twin {
    holders: BTreeMap<TxnId, TwinHolder>,
    /// Request -> who, what.
    waiting: BTreeMap<u64, (TxnMeta, Vec<Want>)>,
    readers: BTreeMap<u64, (Option<TxnMeta>, BTreeSet<TxnId>)>,
    wounded: BTreeSet<TxnId>,
}

/// What a step did, in no order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Did {
    granted: BTreeSet<u64>,
    wounded: BTreeSet<(TxnId, BTreeSet<u64>)>,
    pushed: BTreeSet<(TxnId, Option<TxnId>)>,
    dropped: BTreeSet<u64>,
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Granted,
    Waiting,
    Busy,
    Refused,
}

fn age(meta: &TxnMeta) -> (clock::Timestamp, TxnId) {
    (meta.priority, meta.id)
}

impl Twin {
    fn in_way(&self, id: u64, txn: &TxnMeta, wants: &[Want]) -> (Vec<TxnId>, Vec<TxnId>) {
        let conflict = |lock: &Want| wants.iter().any(|want| want.conflicts(*lock));
        let holders = self.holders.values();
        let holders = holders.filter(|h| h.meta.id != txn.id && h.held.iter().any(conflict));
        let own = self.holders.get(&txn.id).map_or(vec![], |holder| holder.held.clone());
        let waits_for_own = |lock: &Want| {
            lock.exclusive() && own.iter().any(|held| held.keys().contains(&lock.keys().start))
        };
        let waiters = self.waiting.iter().filter(|(other, (meta, locks))| {
            let in_way = |lock: &Want| conflict(lock) && !waits_for_own(lock);
            meta.id != txn.id && (age(meta), **other) < (age(txn), id) && locks.iter().any(in_way)
        });
        (holders.map(|h| h.meta.id).collect(), waiters.map(|(_, (meta, _))| meta.id).collect())
    }

    fn acquire(
        &mut self,
        id: u64,
        txn: &TxnMeta,
        wants: &[Want],
        nowait: bool,
        did: &mut Did,
    ) -> Answer {
        if self.wounded.contains(&txn.id) {
            return Answer::Refused;
        }
        let held = self.holders.get(&txn.id).map_or(vec![], |holder| holder.held.clone());
        let mut missing = wants.to_vec();
        missing.retain(|want| !held.iter().any(|lock| lock.covers(*want)));
        missing.sort();
        missing.dedup();
        let (holders, waiters) = self.in_way(id, txn, &missing);
        if holders.is_empty() && waiters.is_empty() {
            self.grant(txn, &missing);
            return Answer::Granted;
        }
        if nowait {
            return Answer::Busy;
        }
        self.waiting.insert(id, (txn.clone(), missing));
        for holder in holders {
            if age(&self.holders[&holder].meta) < age(txn) {
                continue;
            }
            did.pushed.insert((holder, Some(txn.id)));
        }
        self.grant_all(did);
        while self.waiting.contains_key(&id) {
            let tied = self.waiting.values().map(|(meta, _)| meta).filter(|other| {
                other.id == txn.id
                    || self.reaches(txn.id, other.id) && self.reaches(other.id, txn.id)
            });
            let tied: BTreeMap<_, TxnId> = tied.map(|meta| (age(meta), meta.id)).collect();
            let Some((_, youngest)) = tied.last_key_value().filter(|_| tied.len() > 1) else {
                break;
            };
            if self.holders.get(youngest).is_some_and(|holder| holder.prepared) {
                break;
            }
            let requests = self.remove(*youngest, did);
            self.wounded.insert(*youngest);
            did.wounded.insert((*youngest, requests));
            self.grant_all(did);
            if *youngest == txn.id {
                return Answer::Refused;
            }
        }
        if did.granted.remove(&id) { Answer::Granted } else { Answer::Waiting }
    }

    /// Whether one transaction waits for another, at any remove.
    fn reaches(&self, from: TxnId, to: TxnId) -> bool {
        let mut seen = BTreeSet::new();
        let mut next = vec![from];
        while let Some(txn) = next.pop() {
            for (id, (meta, wants)) in self.waiting.iter().filter(|(_, (meta, _))| meta.id == txn) {
                let (holders, waiters) = self.in_way(*id, meta, wants);
                next.extend(holders.into_iter().chain(waiters).filter(|other| seen.insert(*other)));
            }
        }
        seen.contains(&to)
    }

    fn grant(&mut self, txn: &TxnMeta, locks: &[Want]) {
        let (held, settling) = (vec![], BTreeSet::new());
        let new = TwinHolder { meta: txn.clone(), prepared: false, pending: None, held, settling };
        let holder = self.holders.entry(txn.id).or_insert(new);
        let before = holder.held.clone();
        let missing = locks.iter().filter(|l| !before.iter().any(|held| held.covers(**l)));
        holder.held.extend(missing);
    }

    /// Grants whoever nobody is in the way of, until there is none.
    fn grant_all(&mut self, did: &mut Did) {
        while let Some((id, (txn, wants))) = self.waiting.iter().find_map(|(id, (txn, wants))| {
            let (holders, waiters) = self.in_way(*id, txn, wants);
            let free = holders.is_empty() && waiters.is_empty();
            free.then(|| (*id, (txn.clone(), wants.clone())))
        }) {
            self.waiting.remove(&id);
            self.grant(&txn, &wants);
            did.granted.insert(id);
        }
    }

    /// Lets a transaction wait for nothing; its requests.
    fn give_up(&mut self, txn: TxnId) -> BTreeSet<u64> {
        let waiting = self.waiting.iter().filter(|(_, (meta, _))| meta.id == txn);
        let readers = self.readers.iter();
        let readers = readers.filter(|(_, (meta, _))| meta.as_ref().is_some_and(|m| m.id == txn));
        let own: BTreeSet<u64> =
            waiting.map(|(id, _)| *id).chain(readers.map(|(id, _)| *id)).collect();
        self.waiting.retain(|id, _| !own.contains(id));
        self.readers.retain(|id, _| !own.contains(id));
        own
    }

    /// Removes all of a transaction; its requests.
    fn remove(&mut self, txn: TxnId, did: &mut Did) -> BTreeSet<u64> {
        let own = self.give_up(txn);
        self.holders.remove(&txn);
        self.readers.retain(|id, (_, waits_for)| {
            waits_for.remove(&txn);
            if waits_for.is_empty() {
                did.granted.insert(*id);
            }
            !waits_for.is_empty()
        });
        own
    }

    fn release(&mut self, txn: TxnId, did: &mut Did) {
        self.wounded.remove(&txn);
        let requests = self.remove(txn, did);
        did.dropped.extend(requests);
        self.grant_all(did);
    }

    /// The same as [`LockTable::let_go`]; the keys that settle.
    fn let_go(&mut self, txn: TxnId, at: u64, did: &mut Did) -> Vec<u8> {
        did.dropped.extend(self.give_up(txn));
        let holder = self.holders.get_mut(&txn).expect("it is prepared");
        let written = holder.held.iter().filter(|lock| lock.exclusive());
        holder.settling = written.map(|lock| lock.keys().start).collect();
        holder.held.clear();
        holder.pending = Some(at);
        let keys = holder.settling.iter().copied().collect();
        self.grant_all(did);
        keys
    }

    fn settling(&self) -> BTreeSet<u8> {
        self.holders.values().flat_map(|holder| holder.settling.iter().copied()).collect()
    }

    fn blockers(&self, span: (u8, u8), at: u64, reader: Option<TxnId>) -> BTreeSet<TxnId> {
        let read = Want::Span(span.0, span.1);
        let holders = self.holders.values().filter(|h| Some(h.meta.id) != reader);
        holders
            .filter(|h| h.pending.is_some_and(|p| p <= at))
            .filter(|h| {
                let settling = h.settling.iter().map(|key| Want::Exclusive(*key));
                let mut written = h.held.iter().copied().chain(settling);
                written.any(|lock| lock.exclusive() && lock.conflicts(read))
            })
            .map(|h| h.meta.id)
            .collect()
    }

    fn pushes(&self) -> BTreeSet<(TxnId, Option<TxnId>)> {
        let mut pairs: Vec<(TxnId, Option<TxnMeta>)> = Vec::new();
        for (id, (txn, wants)) in &self.waiting {
            let (holders, _) = self.in_way(*id, txn, wants);
            pairs.extend(holders.into_iter().map(|holder| (holder, Some(txn.clone()))));
        }
        for (reader, waits_for) in self.readers.values() {
            pairs.extend(waits_for.iter().map(|holder| (*holder, reader.clone())));
        }
        let mut found = BTreeMap::new();
        for (holder, waiter) in pairs {
            let waiter = waiter.filter(|w| age(w) < age(&self.holders[&holder].meta));
            let best: &mut Option<TxnMeta> = found.entry(holder).or_default();
            if best.is_none()
                || waiter.as_ref().is_some_and(|w| age(w) < age(best.as_ref().expect("set")))
            {
                *best = waiter.or(best.take());
            }
        }
        found.into_iter().map(|(holder, waiter)| (holder, waiter.map(|w| w.id))).collect()
    }

    /// The same as [`LockTable::split`]; the right half.
    fn split(&mut self, at: u8, did: &mut Did, spans: &BTreeMap<u64, (u8, u8)>) -> Twin {
        let gone: BTreeSet<u64> = self
            .waiting
            .iter()
            .filter(|(_, (_, wants))| wants.iter().any(|w| w.keys().end > at))
            .map(|(id, _)| *id)
            .chain(self.readers.keys().filter(|id| spans[id].1 > at).copied())
            .collect();
        self.waiting.retain(|id, _| !gone.contains(id));
        self.readers.retain(|id, _| !gone.contains(id));
        did.dropped.extend(gone);
        let mut right = Twin { wounded: self.wounded.clone(), ..Twin::default() };
        for (txn, holder) in &mut self.holders {
            let cut = |lo: u8, hi: u8| {
                let parts = holder.held.iter().filter_map(move |lock| match *lock {
                    Want::Exclusive(k) | Want::Point(k) => (lo..hi).contains(&k).then_some(*lock),
                    Want::Span(a, b) => {
                        let (a, b) = (a.max(lo), b.min(hi));
                        (a < b).then_some(Want::Span(a, b))
                    }
                });
                parts.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
            };
            let (left, other) = (cut(0, at), cut(at, KEYS));
            if !other.is_empty() {
                right.holders.insert(*txn, TwinHolder { held: other, ..holder.clone() });
            }
            holder.held = left;
        }
        self.holders.retain(|txn, h| !h.held.is_empty() || !right.holders.contains_key(txn));
        self.grant_all(did);
        right
    }
}

#[derive(Clone, Debug)]
enum Step {
    Acquire { txn: u64, wants: Vec<Want>, nowait: bool },
    Prepare { txn: u64, pending: Option<u64> },
    Release { txn: u64 },
    LetGo { txn: u64, later: u64 },
    Cancel { nth: usize },
    Read { span: (u8, u8), at: u64, txn: Option<u64> },
    Split { at: u8, keep_right: bool },
}

fn want() -> impl Strategy<Value = Want> {
    prop_oneof![
        4 => (0..KEYS).prop_map(Want::Exclusive),
        3 => (0..KEYS).prop_map(Want::Point),
        2 => (0..KEYS, 1..=KEYS).prop_map(|(a, b)| Want::Span(a.min(b - 1), b)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let txn = 1..8_u64;
    prop_oneof![
        12 => (txn.clone(), prop::collection::vec(want(), 0..4), prop::bool::weighted(0.1))
            .prop_map(|(txn, wants, nowait)| Step::Acquire { txn, wants, nowait }),
        4 => (txn.clone(), prop::option::of(1..9_u64))
            .prop_map(|(txn, pending)| Step::Prepare { txn, pending }),
        5 => txn.clone().prop_map(|txn| Step::Release { txn }),
        3 => (txn.clone(), 0..4_u64).prop_map(|(txn, later)| Step::LetGo { txn, later }),
        2 => (0..4_usize).prop_map(|nth| Step::Cancel { nth }),
        4 => (0..KEYS, 1..=KEYS, 0..9_u64, prop::option::of(txn)).prop_map(|(a, b, at, txn)| {
            Step::Read { span: (a.min(b - 1), b), at, txn }
        }),
        1 => (1..KEYS, any::<bool>()).prop_map(|(at, keep_right)| Step::Split { at, keep_right }),
    ]
}

fn did(out: &LockEffects) -> Did {
    let set = |ids: &[crate::locks::RequestId]| ids.iter().map(|id| id.0).collect();
    Did {
        granted: set(&out.granted),
        wounded: out.wounded.iter().map(|w| (w.txn, set(&w.requests))).collect(),
        pushed: out
            .must_push
            .iter()
            .map(|p| (p.holder.id, p.wound_for.as_ref().map(|w| w.id)))
            .collect(),
        dropped: set(&out.dropped),
    }
}

fn answer(acquired: &Acquired) -> Answer {
    match acquired {
        Acquired::Granted => Answer::Granted,
        Acquired::Waiting { waits_for } => {
            assert!(!waits_for.is_empty());
            Answer::Waiting
        }
        Acquired::Refused(Refusal::Busy { .. }) => Answer::Busy,
        Acquired::Refused(Refusal::Wounded(_)) => Answer::Refused,
        Acquired::Refused(Refusal::Overloaded(cause) | Refusal::Contradicts(cause)) => {
            panic!("{cause}")
        }
    }
}

/// Both, side by side.
struct Pair {
    table: LockTable,
    twin: Twin,
    next: u64,
    /// Spans of readers by request.
    spans: BTreeMap<u64, (u8, u8)>,
    /// Attempt of each transaction that prepared and ended: a new one each time.
    attempts: [u64; 8],
    /// What is left after splits.
    range: (u8, u8),
}

impl Pair {
    fn meta(&self, txn: u64) -> TxnMeta {
        meta(txn, self.attempts[usize::try_from(txn).expect("small")])
    }

    fn inside(&self, want: Want) -> bool {
        self.range.0 <= want.keys().start && want.keys().end <= self.range.1
    }

    fn run(&mut self, step: Step) -> Result<(), TestCaseError> {
        let (mut out, mut expected) = (LockEffects::default(), Did::default());
        match step {
            Step::Acquire { txn, wants, nowait } => {
                let wants: Vec<Want> = wants.into_iter().filter(|w| self.inside(*w)).collect();
                let (id, txn) = (self.next, self.meta(txn));
                self.next += 1;
                let spans = wants.iter().filter(|w| !w.exclusive()).map(|w| w.span()).collect();
                let exclusive = wants.iter().filter(|w| w.exclusive());
                let exclusive = exclusive.map(|w| key(w.keys().start)).collect();
                let wait = if nowait { LockWait::NoWait } else { LockWait::Wait };
                let asked = LockRequest {
                    id: request(id),
                    txn: txn.clone(),
                    shared: spans,
                    exclusive,
                    wait,
                };
                let truth = self.twin.acquire(id, &txn, &wants, nowait, &mut expected);
                prop_assert_eq!(answer(&self.table.acquire(asked, &mut out)), truth);
            }
            Step::Prepare { txn, pending } => {
                let txn = self.meta(txn).id;
                let Some(holder) = self.twin.holders.get_mut(&txn) else { return Ok(()) };
                holder.prepared = true;
                self.table.mark_prepared(txn);
                if let Some(pending) = pending {
                    holder.pending = Some(pending);
                    self.table.set_pending(txn, at(pending));
                }
            }
            Step::LetGo { txn, later } => self.let_go(txn, later, &mut out, &mut expected),
            Step::Release { txn } => {
                let id = self.meta(txn).id;
                self.twin.release(id, &mut expected);
                self.table.release(id, &mut out);
                self.attempts[usize::try_from(txn).expect("small")] += 1;
            }
            Step::Cancel { nth } => {
                let all = self.twin.waiting.keys().chain(self.twin.readers.keys());
                let Some(id) = all.copied().nth(nth) else { return Ok(()) };
                self.twin.waiting.remove(&id);
                self.twin.readers.remove(&id);
                self.twin.grant_all(&mut expected);
                self.table.cancel(request(id), &mut out);
            }
            Step::Read { span, at, txn } => self.read(span, at, txn, &mut out, &mut expected)?,
            Step::Split { at, keep_right } => {
                let inside = self.range.0 < at && at < self.range.1;
                if !inside || !self.twin.settling().is_empty() {
                    return Ok(());
                }
                let right_twin = self.twin.split(at, &mut expected, &self.spans);
                let right = self.table.split(&key(at), &mut out);
                self.compare()?;
                if keep_right {
                    (self.table, self.twin, self.range.0) = (right, right_twin, at);
                } else {
                    self.range.1 = at;
                }
            }
        }
        prop_assert_eq!(did(&out), expected);
        self.compare()
    }

    /// Where it may: it is prepared, and what it wrote nobody let go who is not released.
    fn let_go(&mut self, txn: u64, later: u64, out: &mut LockEffects, expected: &mut Did) {
        let txn = self.meta(txn).id;
        let settling = self.twin.settling();
        let Some(holder) = self.twin.holders.get(&txn) else { return };
        let free = |lock: &Want| !lock.exclusive() || !settling.contains(&lock.keys().start);
        let once = holder.settling.is_empty() && holder.held.iter().all(free);
        let Some(pending) = holder.pending.filter(|_| holder.prepared && once) else { return };
        let keys = self.twin.let_go(txn, pending + later, expected);
        let keys: Vec<Key> = keys.into_iter().map(key).collect();
        self.table.let_go(txn, &keys, at(pending + later), out);
    }

    fn read(
        &mut self,
        span: (u8, u8),
        snapshot: u64,
        txn: Option<u64>,
        out: &mut LockEffects,
        expected: &mut Did,
    ) -> Result<(), TestCaseError> {
        if !self.inside(Want::Span(span.0, span.1)) {
            return Ok(());
        }
        let reader = txn.map(|txn| self.meta(txn));
        let waits_for = self.twin.blockers(span, snapshot, reader.as_ref().map(|r| r.id));
        let keys = Span::new(key(span.0), key(span.1));
        let found = self.table.blockers(&keys, at(snapshot), reader.as_ref().map(|r| r.id));
        let found: BTreeSet<TxnId> = found.into_iter().map(|b| b.txn.id).collect();
        prop_assert_eq!(&found, &waits_for);
        let id = self.next;
        self.next += 1;
        let acquired =
            self.table.wait_read(request(id), &[keys], at(snapshot), reader.clone(), out);
        let truth = if waits_for.is_empty() { Answer::Granted } else { Answer::Waiting };
        prop_assert_eq!(answer(&acquired), truth);
        if waits_for.is_empty() {
            return Ok(());
        }
        for holder in &waits_for {
            if let Some(reader) = &reader
                && age(reader) < age(&self.twin.holders[holder].meta)
            {
                expected.pushed.insert((*holder, Some(reader.id)));
            }
        }
        self.spans.insert(id, span);
        self.twin.readers.insert(id, (reader, waits_for));
        Ok(())
    }

    /// Both hold, want and push the same.
    fn compare(&self) -> Result<(), TestCaseError> {
        self.table.assert_consistent();
        let mut held: Vec<(TxnId, Span, bool, bool)> = Vec::new();
        for h in self.twin.holders.values() {
            held.extend(h.held.iter().map(|l| (h.meta.id, l.span(), l.exclusive(), h.prepared)));
        }
        for (txn, wants) in self.twin.waiting.values() {
            held.extend(wants.iter().map(|l| (txn.id, l.span(), l.exclusive(), false)));
        }
        for (id, (reader, _)) in &self.twin.readers {
            let span = Span::new(key(self.spans[id].0), key(self.spans[id].1));
            held.extend(reader.iter().map(|r| (r.id, span.clone(), false, false)));
        }
        let list = self.table.list(RangeId(1));
        let mut listed: Vec<_> =
            list.into_iter().map(|i| (i.txn.id, i.span, i.exclusive, i.prepared)).collect();
        held.sort();
        listed.sort();
        prop_assert_eq!(listed, held);
        let pushes = self.table.pushes();
        let pushes: BTreeSet<_> =
            pushes.iter().map(|p| (p.holder.id, p.wound_for.as_ref().map(|w| w.id))).collect();
        prop_assert_eq!(pushes, self.twin.pushes());
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12 * ProptestConfig::default().cases))]

    #[test]
    fn the_table_does_what_its_twin_does(steps in prop::collection::vec(step(), 1..60)) {
        let mut pair = Pair {
            table: LockTable::new(LockLimits::default()),
            twin: Twin::default(),
            next: 1,
            spans: BTreeMap::new(),
            attempts: [0; 8],
            range: (0, KEYS),
        };
        for step in steps {
            pair.run(step)?;
        }
    }
}
