//! The state of the naive cluster and what each request does to it, at one instant.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use clock::{Clock as _, Timestamp};
use keys::{Key, NodeId, RangeId, Span, TxnId, layout};
use kv::{
    Commit, CommitStats, Committed, Conflict, ConflictKind, Descriptor, KvError, LeaderStatus,
    Lock, LockInfo, LockReply, LockValues, LockWait, Outcome, Prepare, Prepared, PushKind,
    PushdownFactory, RangeRequest, RangeStatus, Reply, Request, Resolution, Resolve, TxnMeta,
    Validate, Write,
};

use super::{
    NaiveClock,
    named::{check_keys, touched},
};

/// Versions of a key, by timestamp; `None` is a deletion.
pub(super) type Versions = BTreeMap<Timestamp, Option<Bytes>>;

#[derive(Debug)]
struct Range {
    descriptor: Descriptor,
    leader: NodeId,
}

/// A prepared write.
#[derive(Debug)]
pub(super) struct Intent {
    pub txn: TxnMeta,
    pub prepare: Timestamp,
    value: Option<Bytes>,
}

/// Who waits, for what and for whom.
#[derive(Debug)]
pub(super) struct Waiter {
    pub range: RangeId,
    pub txn: Option<TxnMeta>,
    pub key: Key,
    pub holder: TxnId,
}

/// What came of a try.
pub(super) enum Step {
    Answer(Result<Reply, KvError>),
    Wait(Waiter),
}

/// Somebody is in the way of a try, or it failed.
pub(super) enum Hindrance {
    Failed(KvError),
    Held(Key, TxnId),
}

impl From<KvError> for Hindrance {
    fn from(error: KvError) -> Hindrance {
        Hindrance::Failed(error)
    }
}

/// A locked span.
#[derive(Debug)]
struct Held {
    span: Span,
    txn: TxnMeta,
    exclusive: bool,
}

/// Everything there is.
#[derive(Debug)]
pub(super) struct State {
    ranges: BTreeMap<RangeId, Range>,
    pub versions: BTreeMap<Key, Versions>,
    pub intents: BTreeMap<Key, Intent>,
    locks: Vec<Held>,
    /// Answered a prepare: wounded only through the record.
    prepared: BTreeSet<TxnId>,
    /// Lost their locks to an older transaction.
    wounded: BTreeSet<TxnId>,
    records: BTreeMap<TxnId, Outcome>,
    waiters: BTreeMap<u64, Waiter>,
    next_ticket: u64,
    /// Nothing is assigned at or below this: R1 for all ranges at once.
    last: Timestamp,
    pub down: BTreeSet<NodeId>,
    pub page_rows: u64,
    pub gc_threshold: Timestamp,
}

impl State {
    pub fn new(system: Descriptor) -> State {
        let mut state = State {
            ranges: BTreeMap::new(),
            versions: BTreeMap::new(),
            intents: BTreeMap::new(),
            locks: Vec::new(),
            prepared: BTreeSet::new(),
            wounded: BTreeSet::new(),
            records: BTreeMap::new(),
            waiters: BTreeMap::new(),
            next_ticket: 0,
            last: Timestamp::from_wall(1),
            down: BTreeSet::new(),
            page_rows: 10_000,
            gc_threshold: Timestamp::ZERO,
        };
        state.create(system);
        state
    }

    pub fn create(&mut self, descriptor: Descriptor) {
        let leader = descriptor.preferred_leader;
        self.ranges.entry(descriptor.id).or_insert(Range { descriptor, leader });
    }

    /// Writes a range's directory entry.
    pub fn publish(&mut self, descriptor: &Descriptor) {
        let value = postcard::to_allocvec(descriptor).expect("a descriptor can be encoded");
        let key = layout::directory_key(&descriptor.span.end);
        self.versions.entry(key).or_default().insert(self.last, Some(value.into()));
    }

    pub fn descriptors(&self) -> Vec<Descriptor> {
        self.ranges.values().map(|range| range.descriptor.clone()).collect()
    }

    pub fn range_at(&self, key: &Key) -> Option<RangeId> {
        let range = self.ranges.values().find(|range| range.descriptor.span.contains(key))?;
        Some(range.descriptor.id)
    }

    pub fn set_leader(&mut self, range: RangeId, leader: NodeId) {
        self.ranges.get_mut(&range).expect("the range exists").leader = leader;
    }

    pub fn last(&self) -> Timestamp {
        self.last
    }

    pub fn newest(&self, key: &Key) -> Option<Bytes> {
        self.versions.get(key)?.last_key_value()?.1.clone()
    }

    pub fn holders(&self) -> BTreeSet<TxnId> {
        let locks = self.locks.iter().map(|held| held.txn.id);
        locks.chain(self.intents.values().map(|intent| intent.txn.id)).collect()
    }

    pub fn enqueue(&mut self, waiter: Waiter) -> u64 {
        self.next_ticket += 1;
        self.waiters.insert(self.next_ticket, waiter);
        self.next_ticket
    }

    pub fn dequeue(&mut self, ticket: u64) {
        self.waiters.remove(&ticket);
    }

    /// One try of one request.
    pub fn step(
        &mut self,
        clock: &NaiveClock,
        factory: Option<&dyn PushdownFactory>,
        to: NodeId,
        asked: &RangeRequest,
    ) -> Step {
        if self.down.contains(&to) {
            let cause = "the node is down".to_owned();
            return Step::Answer(Err(KvError::AnswerLost { node: to, cause }));
        }
        if let Err(error) = self.check(to, asked).and_then(|()| check_keys(asked)) {
            return Step::Answer(Err(error));
        }
        let range = asked.range;
        let (txn, done) = match &asked.request {
            Request::Read(read) => {
                (read.holder.clone(), self.read(clock, factory, to, range, read))
            }
            Request::Lock(lock) => (Some(lock.txn.clone()), self.lock(clock, lock)),
            Request::Prepare(prepare) => (Some(prepare.txn.clone()), self.prepare(clock, prepare)),
            Request::Commit(commit) => (Some(commit.txn.clone()), self.commit(clock, commit)),
            Request::Resolve(resolve) => (None, Ok(self.resolve(range, resolve))),
            Request::Push(push) => (None, Ok(self.push(&push.txn, &push.kind))),
            Request::Heartbeat(beat) => {
                let record = self.records.get(&beat.txn.id);
                (None, Ok(Reply::Outcome(record.copied().unwrap_or(Outcome::Pending))))
            }
            Request::Acknowledge(_) => {
                let here = self.ranges[&range].descriptor.span.clone();
                (None, Ok(Reply::Acknowledged { here, holding: Vec::new() }))
            }
            Request::Release { txn } => {
                self.let_go(range, *txn);
                (None, Ok(Reply::Done))
            }
            Request::Split { at, child } => {
                (None, self.split(range, at, *child).map_err(Hindrance::Failed))
            }
            Request::TransferLeader { to } => {
                self.set_leader(range, *to);
                (None, Ok(Reply::Done))
            }
            Request::Status => (None, Ok(self.status(to, range))),
            Request::Locks => (None, Ok(Reply::Locks(self.lock_infos(range)))),
            Request::Checksum { at } => (None, Ok(self.checksum(range, *at))),
        };
        match done {
            Ok(reply) => Step::Answer(Ok(reply)),
            Err(Hindrance::Failed(error)) => Step::Answer(Err(error)),
            Err(Hindrance::Held(key, holder)) => Step::Wait(Waiter { range, txn, key, holder }),
        }
    }

    /// Whether this replica may answer.
    fn check(&self, to: NodeId, asked: &RangeRequest) -> Result<(), KvError> {
        let keys = touched(&asked.request);
        let wrong = || {
            let covers = |known: &Descriptor| keys.iter().any(|span| known.span.overlaps(span));
            let known = self.descriptors().into_iter().filter(covers).collect();
            KvError::WrongRange { range: asked.range, known }
        };
        let range = self.ranges.get(&asked.range).ok_or_else(wrong)?;
        if !range.descriptor.voters.contains(&to)
            || !keys.iter().all(|span| range.descriptor.span.covers(span))
        {
            return Err(wrong());
        }
        let by_any = match &asked.request {
            Request::Read(read) => read.from == kv::ReadFrom::AnyReplica,
            Request::Status | Request::Checksum { .. } => true,
            Request::Lock(_)
            | Request::Prepare(_)
            | Request::Commit(_)
            | Request::Resolve(_)
            | Request::Push(_)
            | Request::Heartbeat(_)
            | Request::Acknowledge(_)
            | Request::Release { .. }
            | Request::Split { .. }
            | Request::TransferLeader { .. }
            | Request::Locks => false,
        };
        if by_any || range.leader == to {
            return Ok(());
        }
        Err(KvError::NotLeader { range: asked.range, leader: Some(range.leader) })
    }

    pub fn span_of(&self, range: RangeId) -> Span {
        self.ranges[&range].descriptor.span.clone()
    }

    /// A timestamp above all assigned, served and past ones (R1, T3).
    fn assign(&mut self, clock: &NaiveClock, above: Timestamp) -> Timestamp {
        let latest = clock.now().latest_timestamp();
        self.last = latest.max(self.last.next()).max(above.next());
        self.last
    }

    pub fn raise_last(&mut self, at: Timestamp) {
        self.last = self.last.max(at);
    }

    fn lock(&mut self, clock: &NaiveClock, lock: &Lock) -> Result<Reply, Hindrance> {
        self.not_lost(&lock.txn)?;
        let spans: Vec<Span> = lock.keys.iter().cloned().map(Span::point).collect();
        for span in &spans {
            match self.clear(&lock.txn, span, true) {
                Err(Hindrance::Held(key, holder)) if lock.wait == LockWait::NoWait => {
                    return Err(KvError::LockBusy { key, holder }.into());
                }
                result => result?,
            }
        }
        spans.into_iter().for_each(|span| self.hold(&lock.txn, span, true));
        let newest = |key: &Key| Some((key.clone(), *self.versions.get(key)?.last_key_value()?.0));
        let mut moved: Vec<_> = lock.keys.iter().filter_map(newest).collect();
        moved.retain(|(_, at)| *at > lock.since);
        let mut reply = LockReply { values: Vec::new(), moved, lock_wait_nanos: 0 };
        if lock.values == LockValues::Wanted {
            let as_of = reply.as_of(lock.since);
            self.raise_last(as_of);
            clock.pass(as_of);
            let value = |key: &Key| {
                let versions = self.versions.get(key);
                let newest = versions.and_then(|versions| versions.values().next_back().cloned());
                (key.clone(), newest.flatten())
            };
            reply.values = lock.keys.iter().map(value).collect();
        }
        Ok(Reply::Locked(reply))
    }

    fn prepare(&mut self, clock: &NaiveClock, prepare: &Prepare) -> Result<Reply, Hindrance> {
        let txn = &prepare.txn;
        self.take(txn, &prepare.reads, &prepare.writes)?;
        self.prepared.insert(txn.id);
        let mut at = Timestamp::ZERO;
        if !prepare.at_anchor && !prepare.writes.is_empty() {
            at = self.assign(clock, Timestamp::ZERO);
            for Write { key, value } in &prepare.writes {
                let intent = Intent { txn: txn.clone(), prepare: at, value: value.clone() };
                let before = self.intents.insert(key.clone(), intent);
                assert!(before.is_none_or(|before| before.txn.id == txn.id), "{key} was locked");
            }
        }
        let (valid_through, stats) = (Timestamp::MAX, CommitStats::default());
        Ok(Reply::Prepared(Prepared { prepare: at, valid_through, stats }))
    }

    fn commit(&mut self, clock: &NaiveClock, commit: &Commit) -> Result<Reply, Hindrance> {
        let txn = &commit.txn;
        if let Some(Outcome::Committed(at)) = self.records.get(&txn.id) {
            let stats = CommitStats::default();
            return Ok(Reply::Committed(Committed { at: *at, stats }));
        }
        match self.take(txn, &commit.reads, &commit.writes) {
            Err(Hindrance::Failed(KvError::Conflict(conflict))) => {
                self.decide(txn.id, Outcome::Aborted);
                return Err(KvError::Aborted(conflict).into());
            }
            result => result?,
        }
        let at = self.assign(clock, commit.above);
        if at >= commit.below {
            return Err(KvError::BoundPassed { below: commit.below }.into());
        }
        for Write { key, value } in &commit.writes {
            self.versions.entry(key.clone()).or_default().insert(at, value.clone());
        }
        self.decide(txn.id, Outcome::Committed(at));
        let range = self.range_at(&txn.anchor).expect("checked");
        self.let_go(range, txn.id);
        clock.pass(at);
        let epsilon_nanos = u64::try_from(clock.now().epsilon().as_nanos()).unwrap_or(u64::MAX);
        let stats = CommitStats { epsilon_nanos, ..CommitStats::default() };
        Ok(Reply::Committed(Committed { at, stats }))
    }

    fn resolve(&mut self, range: RangeId, resolve: &Resolve) -> Reply {
        let outcome = match resolve.outcome {
            Resolution::Commit(at) => Outcome::Committed(at),
            Resolution::Abort => Outcome::Aborted,
        };
        self.decide(resolve.txn, outcome);
        resolve.keys.iter().for_each(|key| self.settle(key));
        self.let_go(range, resolve.txn);
        Reply::Done
    }

    fn push(&mut self, txn: &TxnMeta, kind: &PushKind) -> Reply {
        let poison = match kind {
            // Nobody waits here.
            PushKind::Waiters { .. } | PushKind::Query => false,
            PushKind::Wound { pusher } => pusher.older_than(txn),
            PushKind::Owner => true,
        };
        if poison && !self.records.contains_key(&txn.id) {
            self.decide(txn.id, Outcome::Aborted);
        }
        Reply::Outcome(self.records.get(&txn.id).copied().unwrap_or(Outcome::Pending))
    }

    /// Splits a range; idempotent by the child's id.
    pub fn split(&mut self, id: RangeId, at: &Key, child: RangeId) -> Result<Reply, KvError> {
        if !self.ranges.contains_key(&child) {
            let parent = self.ranges.get_mut(&id).expect("checked");
            if !parent.descriptor.span.contains(at) || parent.descriptor.span.start == *at {
                return Err(KvError::Invalid(format!("{at} does not lie inside {id}")));
            }
            parent.descriptor.generation += 1;
            let mut right = parent.descriptor.clone();
            parent.descriptor.span.end = at.clone();
            (right.id, right.span.start) = (child, at.clone());
            right.preferred_leader = parent.leader;
            self.create(right);
        }
        let left = self.ranges[&id].descriptor.clone();
        Ok(Reply::Split { left, right: self.ranges[&child].descriptor.clone() })
    }

    fn status(&self, node: NodeId, range: RangeId) -> Reply {
        let Range { descriptor, leader } = &self.ranges[&range];
        let of_range = |waiter: &&Waiter| waiter.range == range;
        let leading = LeaderStatus {
            round: 1,
            lease_end: Timestamp::MAX,
            min_next: self.last.next(),
            lock_holders: self.holders().len() as u64,
            lock_waiters: self.waiters.values().filter(of_range).count() as u64,
        };
        Reply::Status(RangeStatus {
            descriptor: descriptor.clone(),
            node,
            leader: Some(*leader),
            leading: (*leader == node).then_some(leading),
            applied: 0,
            safe_time: self.last,
        })
    }

    fn lock_infos(&self, range: RangeId) -> Vec<LockInfo> {
        let span = self.span_of(range);
        let info = |span: &Span, txn: &TxnMeta, exclusive| LockInfo {
            range,
            span: span.clone(),
            txn: txn.clone(),
            exclusive,
            prepared: self.prepared.contains(&txn.id),
            waits_for: Vec::new(),
        };
        let locks = self.locks.iter().filter(|held| held.span.overlaps(&span));
        let locks = locks.map(|held| info(&held.span, &held.txn, held.exclusive));
        let intents = self.intents.iter().filter(|(key, _)| span.contains(key));
        let intents = intents.map(|(k, intent)| info(&Span::point(k.clone()), &intent.txn, true));
        let waiters = self.waiters.values().filter(|waiter| waiter.range == range);
        let waiters = waiters.filter_map(|waiter| {
            let txn = waiter.txn.as_ref()?;
            let waits_for = vec![waiter.holder];
            Some(LockInfo { waits_for, ..info(&Span::point(waiter.key.clone()), txn, true) })
        });
        locks.chain(intents).chain(waiters).collect()
    }

    /// Locks and validates all of it, or says who is in the way.
    fn take(
        &mut self,
        txn: &TxnMeta,
        reads: &[Validate],
        writes: &[Write],
    ) -> Result<(), Hindrance> {
        self.not_lost(txn)?;
        for read in reads {
            self.clear(txn, &read.span, false)?;
        }
        for write in writes {
            self.clear(txn, &Span::point(write.key.clone()), true)?;
        }
        for Validate { span, since } in reads {
            let versions = self.versions.range::<Key, _>(&span.start..&span.end);
            for (key, versions) in versions {
                let newest = *versions.last_key_value().expect("a key has versions").0;
                if newest > *since {
                    let (span, at) = (Span::point(key.clone()), Some(newest));
                    let kind = ConflictKind::ReadChanged;
                    return Err(KvError::Conflict(Conflict { kind, span, winner: None, at }).into());
                }
            }
        }
        reads.iter().for_each(|read| self.hold(txn, read.span.clone(), false));
        writes.iter().for_each(|write| self.hold(txn, Span::point(write.key.clone()), true));
        Ok(())
    }

    /// A transaction that was wounded or poisoned gets nothing any more.
    fn not_lost(&self, txn: &TxnMeta) -> Result<(), KvError> {
        let conflict =
            |kind| Conflict { kind, span: Span::point(txn.anchor.clone()), winner: None, at: None };
        match self.records.get(&txn.id) {
            Some(Outcome::Aborted) => Err(KvError::Aborted(conflict(ConflictKind::Poisoned))),
            Some(Outcome::Committed(_)) => {
                Err(KvError::Conflict(conflict(ConflictKind::ReadChanged)))
            }
            Some(Outcome::Pending | Outcome::Forgotten) | None => {
                if self.wounded.contains(&txn.id) {
                    return Err(KvError::Conflict(conflict(ConflictKind::Wounded)));
                }
                Ok(())
            }
        }
    }

    /// Makes sure that no other transaction is in the way of a lock: younger ones are wounded,
    /// older ones waited for (X5).
    fn clear(&mut self, txn: &TxnMeta, span: &Span, exclusive: bool) -> Result<(), Hindrance> {
        loop {
            let intents = self.intents.range::<Key, _>(&span.start..&span.end);
            let intents = intents.map(|(key, intent)| (key.clone(), intent.txn.clone()));
            let locks = self.locks.iter().filter(|held| held.span.overlaps(span));
            let locks = locks.filter(|held| held.exclusive || exclusive);
            let locks = locks.map(|held| (held.span.start.clone(), held.txn.clone()));
            let foreign = |(_, holder): &(Key, TxnMeta)| holder.id != txn.id;
            let Some((key, holder)) = intents.chain(locks).find(foreign) else { return Ok(()) };
            self.clear_one(txn, key, &holder)?;
        }
    }

    /// One holder in the way of a transaction.
    pub fn clear_one(
        &mut self,
        txn: &TxnMeta,
        key: Key,
        holder: &TxnMeta,
    ) -> Result<(), Hindrance> {
        if matches!(self.records.get(&holder.id), Some(Outcome::Committed(_) | Outcome::Aborted)) {
            self.settle_all(holder.id);
        } else if !txn.older_than(holder) {
            return Err(Hindrance::Held(key, holder.id));
        } else if self.prepared.contains(&holder.id) {
            self.decide(holder.id, Outcome::Aborted);
            self.settle_all(holder.id);
        } else {
            self.wounded.insert(holder.id);
            self.settle_all(holder.id);
        }
        Ok(())
    }

    fn hold(&mut self, txn: &TxnMeta, span: Span, exclusive: bool) {
        let held = |h: &Held| h.txn.id == txn.id && h.span == span && h.exclusive == exclusive;
        if !self.locks.iter().any(held) {
            self.locks.push(Held { span, txn: txn.clone(), exclusive });
        }
    }

    /// Writes the record. An outcome never changes.
    fn decide(&mut self, txn: TxnId, outcome: Outcome) {
        let before = self.records.insert(txn, outcome);
        assert!(before.is_none_or(|b| b == outcome), "{txn:?} was {before:?}, now {outcome:?}");
    }

    /// Turns an intent into a version, or drops it, once its transaction is decided.
    pub fn settle(&mut self, key: &Key) {
        let Some(intent) = self.intents.get(key) else { return };
        let outcome = self.records.get(&intent.txn.id).copied();
        match outcome {
            None | Some(Outcome::Pending | Outcome::Forgotten) => return,
            Some(Outcome::Aborted) => {}
            Some(Outcome::Committed(at)) => {
                assert!(at >= intent.prepare, "{key} was prepared above its commit {at}");
                let value = intent.value.clone();
                self.versions.entry(key.clone()).or_default().insert(at, value);
            }
        }
        self.intents.remove(key);
    }

    fn settle_all(&mut self, txn: TxnId) {
        let of_txn = self.intents.iter().filter(|(_, intent)| intent.txn.id == txn);
        let keys: Vec<Key> = of_txn.map(|(key, _)| key.clone()).collect();
        keys.iter().for_each(|key| self.settle(key));
        self.locks.retain(|held| held.txn.id != txn);
    }

    fn let_go(&mut self, range: RangeId, txn: TxnId) {
        let span = self.span_of(range);
        self.locks.retain(|held| held.txn.id != txn || !held.span.overlaps(&span));
    }
}
