//! Two ranges of two replicas each, their logs, and messages that arrive when chance has it.
//!
//! The log is a list: what the leader proposes is in flight, in order, until it is chosen or, at a
//! change of leaders, lost from some point on (P8 makes that a suffix). Clocks read any interval
//! around the true time that is at most 2ε wide, anew at every reading.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use clock::{Interval, Mono, Now, Timestamp};
use keys::{Key, NodeId, RangeId, Span, TxnId};
use kv::{Descriptor, KvError, Outcome, Pushdown, PushdownError, PushdownFactory, Reply, Request};
use paxos::{Ballot, Slot};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use storage::{Engine, MemEngine, WriteBatch, mvcc};

use crate::{
    Config, Slice,
    command::Command,
    locks::LockLimits,
    machine::{AskToken, Chosen, Cx, Machine, Outputs, RequestToken},
    record::{Record, Verdict},
    rules::Rules,
    state::{Applied, RangeState},
};

/// A millisecond of true time.
pub const MS: u64 = 1_000_000;
/// When a schedule begins, so that nothing is at zero.
const EPOCH: u64 = 1_000_000 * MS;
const REPLICAS: usize = 2;
/// How long transactions live in some schedules.
const LIFE: Duration = Duration::from_millis(60);

pub type Answer = Result<Reply, KvError>;

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A gateway's transaction, and which of its questions.
    Gateway(usize, u64),
    /// A replica: group, place, and life.
    Replica(usize, usize, u64, AskToken),
}

/// A message on its way.
#[derive(Clone, Debug)]
pub enum Parcel {
    Request { group: usize, to: Option<usize>, from: Asker, request: Box<Request> },
    Answer { to: Asker, answer: Box<Answer> },
}

#[derive(Debug)]
pub struct Replica {
    pub machine: Machine,
    pub engine: MemEngine,
    /// Told again when its slot is applied.
    closed: Option<(Timestamp, u64)>,
    life: u64,
}

#[derive(Debug)]
pub struct Group {
    pub span: Span,
    pub replicas: Vec<Replica>,
    pub log: Vec<(Ballot, Bytes)>,
    inflight: Vec<Bytes>,
    pub leader: Option<usize>,
    ballot: Ballot,
    pub lease_end: Timestamp,
    /// Set by a transfer: the next leader's floor, without waiting for the lease.
    handed: Option<(usize, Timestamp)>,
}

#[derive(Debug)]
pub struct World {
    pub rng: ChaCha8Rng,
    pub time: u64,
    pub epsilon: u64,
    pub groups: Vec<Group>,
    pub bag: Vec<Parcel>,
    /// Who asked, and whom: group and place.
    pub askers: BTreeMap<RequestToken, (Asker, usize, usize)>,
    next_token: u64,
    config: Arc<Config>,
    /// Every commit that a leader applied: records may be deleted later (X7a, X7b).
    pub decided: BTreeMap<TxnId, Timestamp>,
    /// Violations found on the way.
    pub broken: Option<String>,
}

#[derive(Debug)]
pub struct NoPrograms;

impl PushdownFactory for NoPrograms {
    fn open(&self, program: &[u8]) -> Result<Box<dyn Pushdown>, PushdownError> {
        Err(PushdownError { message: format!("{program:?}"), encoded: Bytes::new() })
    }
}

/// Settings that reach the edges soon.
pub fn config() -> Config {
    let ms = Duration::from_millis;
    Config {
        future_tolerance: ms(500),
        close_active: ms(2),
        close_idle: ms(4),
        heartbeat_lapse: ms(25),
        push_first: ms(2),
        wound_after: ms(5),
        push_max: ms(8),
        push_timeout: ms(20),
        housekeeping: ms(20),
        recent_writes: 3,
        locks: LockLimits { locks: 64, bytes: 1 << 14, waiting: 64, wounded: 64 },
        ..Config::default()
    }
}

impl World {
    pub fn new(seed: u64, rules: Rules) -> World {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (slice_keys, slices_in_log) = (1 + seed as usize % 2, 1 + seed as usize / 2 % 2);
        let read_at_once = Slice { keys: 1 + seed as usize % 3, bytes: 1 << 10, work: 1 };
        let mut config = Config { rules, slice_keys, slices_in_log, read_at_once, ..config() };
        if seed % 4 == 3 {
            // Lives so short that records are deleted while their transactions are still remembered.
            (config.transaction_life, config.push_timeout) = (LIFE, LIFE / 4);
        }
        let config = Arc::new(config);
        let epsilon = [0, 1, 3][rng.random_range(0..3)] * MS;
        let groups = [(2, "a", "m"), (3, "m", "z")].into_iter().map(|(id, start, end)| {
            let desc = Descriptor {
                id: RangeId(id),
                span: Span::new(start, end),
                generation: 1,
                voters: vec![NodeId(1), NodeId(2)],
                preferred_leader: NodeId(1),
            };
            let replicas = (0..REPLICAS).map(|i| {
                let state = RangeState::new(desc.clone());
                let node = NodeId(u32::try_from(i + 1).expect("few"));
                let machine = Machine::new(node, config.clone(), state, Applied::default());
                Replica { machine, engine: MemEngine::new(), closed: None, life: 0 }
            });
            Group {
                span: desc.span.clone(),
                replicas: replicas.collect(),
                log: Vec::new(),
                inflight: Vec::new(),
                leader: None,
                ballot: Ballot::NONE,
                lease_end: Timestamp::ZERO,
                handed: None,
            }
        });
        let groups = groups.collect();
        let (bag, askers) = (Vec::new(), BTreeMap::new());
        let (decided, broken) = (BTreeMap::new(), None);
        let (time, next_token) = (0, 0);
        World { rng, time, epsilon, groups, bag, askers, next_token, config, decided, broken }
    }

    /// True time.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_wall(EPOCH + self.time)
    }

    /// Whether a transaction of that start outlived itself by every clock (X7a).
    pub fn outlived(&self, start: Timestamp) -> bool {
        let margin = Duration::from_nanos(2 * self.epsilon + MS);
        start.plus(self.config.transaction_life + margin) < self.now()
    }

    /// A reading of some clock.
    pub fn reading(&mut self) -> Now {
        let at = EPOCH + self.time;
        let (back, forth) = match self.epsilon {
            0 => (0, 0),
            e => (self.rng.random_range(0..=e), self.rng.random_range(0..=e)),
        };
        Now { tt: Interval { earliest: at - back, latest: at + forth }, mono: Mono(self.time) }
    }

    pub fn group_of(&self, key: &[u8]) -> usize {
        self.groups.iter().position(|group| group.span.contains(key)).expect("all keys are owned")
    }

    /// Calls a machine and collects what comes out.
    fn call<T>(
        &mut self,
        group: usize,
        at: usize,
        what: impl FnOnce(&mut Machine, &mut Cx<'_>) -> T,
    ) -> T {
        let now = self.reading();
        let mut out = Outputs::default();
        let replica = &mut self.groups[group].replicas[at];
        let engine = replica.engine.clone();
        let mut cx = Cx { now, reader: &engine, factory: &NoPrograms, out: &mut out };
        let result = what(&mut replica.machine, &mut cx);
        out.finish_scans(&engine);
        self.collect(group, at, out);
        result
    }

    fn collect(&mut self, group: usize, at: usize, out: Outputs) {
        let true_now = self.now();
        for (token, answer) in out.replies {
            let asked = self.askers.remove(&token);
            let (to, ..) = asked.expect("asked once, answered once, and not after a cancel");
            let engine = &self.groups[group].replicas[at].engine;
            if let Some(seen) = peeked(&answer, to, engine).filter(|seen| *seen >= true_now) {
                self.broken = Some(format!("T4, T5: {answer:?} tells of {seen} at {true_now}"));
            }
            self.bag.push(Parcel::Answer { to, answer: Box::new(answer) });
        }
        let life = self.groups[group].replicas[at].life;
        for (ask, key, request) in out.asks {
            let from = Asker::Replica(group, at, life, ask);
            let group = self.group_of(&key);
            let request = Box::new(request);
            self.bag.push(Parcel::Request { group, to: None, from, request });
        }
        let state = &mut self.groups[group];
        if let Some(closed) = out.close
            && state.leader == Some(at)
        {
            let slot = (state.log.len() + state.inflight.len()) as u64;
            for (i, replica) in state.replicas.iter_mut().enumerate() {
                if i != at {
                    replica.closed = Some((closed, slot));
                }
            }
        }
        if let Some(to) = out.release
            && state.leader == Some(at)
        {
            let floor = state.replicas[at].machine.min_next().expect("it leads").prev();
            assert!(state.inflight.is_empty(), "P5: handed over with entries in flight");
            state.handed = Some((usize::try_from(to.0).expect("few") - 1, floor));
            state.leader = None;
            self.call(group, at, |machine, cx| machine.leader_stop(cx));
        }
        self.gather(group, at);
    }

    /// What the leader wants in the log is in flight.
    fn gather(&mut self, group: usize, at: usize) {
        let state = &mut self.groups[group];
        while let Some(bytes) = state.replicas[at].machine.next_proposal().cloned() {
            state.inflight.push(bytes);
            let slot = Slot((state.log.len() + state.inflight.len()) as u64);
            state.replicas[at].machine.proposed(slot);
        }
    }

    /// A request goes to the leader, or to one replica; it arrives some time.
    pub fn post(&mut self, group: usize, to: Option<usize>, from: Asker, request: Request) {
        let request = Box::new(request);
        self.bag.push(Parcel::Request { group, to, from, request });
    }

    pub fn deliver(&mut self, group: usize, at: usize, from: Asker, request: Request) {
        self.next_token += 1;
        let token = RequestToken(self.next_token);
        self.askers.insert(token, (from, group, at));
        let deadline = Mono(self.time).plus(Duration::from_millis(40));
        self.call(group, at, |machine, cx| {
            machine.request(cx, token, request, deadline).expect("no faults");
        });
    }

    /// Nobody waits for the answers to a question any more. Cancels are lost, or come twice.
    pub fn cancel(&mut self, from: Asker) {
        let asked = self.askers.iter().filter(|(_, (asker, ..))| *asker == from);
        let asked: Vec<_> = asked.map(|(token, (_, group, at))| (*token, *group, *at)).collect();
        for (token, group, at) in asked {
            if self.chance(3) {
                continue;
            }
            self.askers.remove(&token);
            for _ in 0..=usize::from(self.chance(4)) {
                self.call(group, at, |machine, cx| machine.cancel(cx, token).expect("no faults"));
            }
        }
    }

    pub fn answer(&mut self, group: usize, at: usize, life: u64, ask: AskToken, answer: Answer) {
        if self.groups[group].replicas[at].life == life {
            self.call(group, at, |machine, cx| {
                machine.answer(cx, ask, answer).expect("no faults");
            });
        }
    }

    /// The oldest entry in flight is chosen.
    pub fn choose(&mut self, group: usize) {
        let state = &mut self.groups[group];
        if state.inflight.is_empty() {
            return;
        }
        let bytes = state.inflight.remove(0);
        state.log.push((state.ballot, bytes));
        if let Some(leader) = state.leader {
            self.apply(group, leader);
        }
    }

    /// A replica applies the next entry, if there is one.
    pub fn apply(&mut self, group: usize, at: usize) -> bool {
        let state = &mut self.groups[group];
        let replica = &mut state.replicas[at];
        let next = usize::try_from(replica.machine.applied().slot.0).expect("few");
        if let Some((first, bytes)) = state.log.get(next) {
            let slot = Slot(next as u64 + 1);
            let entry = Chosen { slot, first: *first, command: Some(bytes.clone()), void: false };
            let mut batch = WriteBatch::new();
            let engine = replica.engine.clone();
            let child = replica.machine.apply(&engine, &entry, &mut batch).expect("no faults");
            assert!(child.is_none(), "nobody splits here");
            replica.machine.write_applied(&mut batch);
            engine.write(batch).expect("no faults");
            replica.machine.flushed();
            if let Command::Commit { txn, .. } = Command::decode(bytes).expect("proposed here") {
                let record = Record::read(&engine, &txn.anchor, txn.id).expect("no faults");
                let record = record.expect("a decision was applied just now");
                if let Verdict::Committed { at, .. } = record.verdict {
                    let before = self.decided.insert(txn.id, at);
                    assert!(before.is_none_or(|before| before == at), "X7: {before:?}, then {at}");
                }
            }
            self.call(group, at, |machine, cx| machine.settle(cx).expect("no faults"));
            self.tell_closed(group, at);
            return true;
        }
        self.tell_closed(group, at);
        false
    }

    fn tell_closed(&mut self, group: usize, at: usize) {
        let replica = &mut self.groups[group].replicas[at];
        let applied = replica.machine.applied().slot.0;
        if let Some((closed, _)) = replica.closed.take_if(|(_, slot)| *slot <= applied) {
            self.call(group, at, |machine, cx| machine.closed(cx, closed).expect("no faults"));
        }
    }

    pub fn tick(&mut self) {
        for group in 0..self.groups.len() {
            for at in 0..REPLICAS {
                self.call(group, at, |machine, cx| machine.tick(cx).expect("no faults"));
            }
        }
    }

    /// P1: the leader's lease reaches D beyond its latest.
    pub fn extend_lease(&mut self, group: usize) {
        let Some(leader) = self.groups[group].leader else { return };
        let until = self.reading().tt.latest_timestamp().plus(Duration::from_millis(30));
        let state = &mut self.groups[group];
        if self.time + EPOCH < state.lease_end.wall && until > state.lease_end {
            state.lease_end = until;
            self.call(group, leader, |machine, cx| {
                machine.lease_extended(cx, until).expect("no faults");
            });
        }
    }

    /// A pause up to about the moment when a lease ends.
    pub fn go_near_lease_end(&mut self, group: usize) {
        let end = self.groups[group].lease_end.wall.saturating_sub(EPOCH);
        let near = (end + self.rng.random_range(0..2 * MS)).saturating_sub(MS + self.epsilon);
        self.time = self.time.max(near);
    }

    /// Some replica leads, if the lease of the one before is over for certain, or was handed over.
    pub fn change_leader(&mut self, group: usize) {
        let over = self.groups[group].lease_end.wall < self.time + EPOCH;
        let handed = self.groups[group].handed;
        if !over && handed.is_none() {
            return;
        }
        let to = handed.map_or_else(|| self.rng.random_range(0..REPLICAS), |(to, _)| to);
        let state = &mut self.groups[group];
        let kept = match state.inflight.len() {
            0 => 0,
            n => self.rng.random_range(0..=n),
        };
        let survivors: Vec<Bytes> = state.inflight.drain(..).take(kept).collect();
        let ballot = state.ballot;
        state.log.extend(survivors.into_iter().map(|bytes| (ballot, bytes)));
        let floor = handed.map_or(state.lease_end, |(_, floor)| floor);
        state.handed = None;
        state.ballot = Ballot::new(ballot.round + 1, NodeId(u32::try_from(to + 1).expect("few")));
        if let Some(old) = state.leader.take() {
            self.call(group, old, |machine, cx| machine.leader_stop(cx));
        }
        while self.apply(group, to) {}
        let reading = self.reading();
        let state = &mut self.groups[group];
        let until = reading.tt.latest_timestamp().plus(Duration::from_millis(30));
        state.lease_end = until.max(state.lease_end);
        state.leader = Some(to);
        // Whoever leads follows nobody's closed time.
        state.replicas[to].closed = None;
        let (ballot, lease_end) = (state.ballot, state.lease_end);
        self.call(group, to, |machine, cx| {
            machine.leader_start(cx, ballot, floor, lease_end).expect("no faults");
        });
    }

    /// A replica loses its memory.
    pub fn restart(&mut self, group: usize, at: usize) {
        let state = &mut self.groups[group];
        if state.leader == Some(at) {
            return;
        }
        let config = self.config.clone();
        let replica = &mut state.replicas[at];
        let id = replica.machine.state().descriptor.id;
        let node = NodeId(u32::try_from(at + 1).expect("few"));
        let range = RangeState::read(&replica.engine, id).expect("no faults");
        let range = range.unwrap_or_else(|| replica.machine.state().clone());
        let applied = Applied::read(&replica.engine, id).expect("no faults");
        replica.machine = Machine::new(node, config, range, applied);
        replica.life += 1;
        // Its clients wait in vain.
    }

    /// A key of some table, drawn.
    pub fn draw<'a>(&mut self, among: &[&'a str]) -> &'a str {
        among[self.rng.random_range(0..among.len())]
    }

    pub fn chance(&mut self, one_in: u32) -> bool {
        self.rng.next_u32().is_multiple_of(one_in)
    }
}

/// The newest timestamp that an answer to a client tells of.
fn peeked(answer: &Answer, to: Asker, engine: &MemEngine) -> Option<Timestamp> {
    let Asker::Gateway(..) = to else { return None };
    match answer {
        Ok(Reply::Committed(committed)) => Some(committed.at),
        Ok(Reply::Outcome(Outcome::Committed(at))) => Some(*at),
        Ok(Reply::Read(read)) => {
            let rows = read.spans.iter().flat_map(|span| &span.rows);
            rows.map(|(key, value)| written_at(engine, key, value)).max()
        }
        Ok(_) | Err(_) => None,
    }
}

/// When a value was written: values name their writers, who write a key once.
fn written_at(engine: &MemEngine, key: &Key, value: &Bytes) -> Timestamp {
    let mut at = Timestamp::MAX;
    loop {
        let version = mvcc::get(engine, key, at).expect("no faults").expect("it was read");
        if version.value.as_ref() == Some(value) {
            return version.ts;
        }
        at = version.ts.prev();
    }
}

/// The writer that a value names.
pub fn writer(value: &[u8]) -> usize {
    String::from_utf8_lossy(value).parse().expect("values are names")
}

pub fn point(key: &str) -> Span {
    Span::point(Key::from(key))
}
