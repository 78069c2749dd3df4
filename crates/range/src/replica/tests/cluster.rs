//! A cluster of nodes in one thread: every message, sync and tick is an event in one queue.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use clock::{Interval, Mono, Now, Timestamp};
use keys::{Key, NodeId, RangeId, Span, TxnId};
use kv::{
    Commit, Descriptor, KvError, Pushdown, PushdownError, PushdownFactory, Read, ReadFrom,
    ReadSpan, Reply, Request, TxnMeta, Validate, Write,
};
use paxos::Slot;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use storage::{Engine, MemEngine, memory::Disk};

use crate::{
    AskToken, Config, Context, Effects, Event, GroupMessage, Input, Job, PersistToken, Replica,
    RequestToken, Slice,
    state::{Applied, RangeState},
};

pub const MS: u64 = 1_000_000;
/// True time when a simulation begins, so that early snapshots are above zero.
const EPOCH: u64 = 1_000_000 * MS;

/// What the world is like.
#[derive(Clone, Debug)]
pub struct World {
    pub nodes: u32,
    pub epsilon: u64,
    /// One way, in nanoseconds: least and most.
    pub delay: (u64, u64),
    /// How long a sync takes.
    pub sync: u64,
    /// One message in so many is lost; 0: none.
    pub loss: u32,
    pub config: Config,
}

impl Default for World {
    fn default() -> World {
        World {
            nodes: 3,
            epsilon: 2 * MS,
            delay: (MS / 2, MS),
            sync: MS / 10,
            loss: 0,
            config: Config::default(),
        }
    }
}

#[derive(Debug)]
enum Happening {
    Deliver { to: NodeId, from: NodeId, range: RangeId, message: GroupMessage },
    Synced { node: NodeId, life: u64, done: Synced },
    Wake { node: NodeId, life: u64 },
    Ask { node: NodeId, life: u64, range: RangeId, ask: AskToken, key: Key, request: Request },
    Answer { node: NodeId, life: u64, range: RangeId, ask: AskToken, result: Box<Answer> },
    Scanned { node: NodeId, life: u64, job: Box<Job> },
}

type Answer = Result<Reply, KvError>;

/// R1: a child begins above all that its parent assigned, served and applied before the step that bore
/// it: its log's timestamps, and, if it leads at birth, the next one.
fn assert_born_above(child: &Replica, parent: (Timestamp, Option<Timestamp>)) {
    let (applied, min_next) = parent;
    let machine = child.machine();
    if !machine.state().blank {
        assert!(machine.applied().max_timestamp >= applied, "R1: born below {applied}: {child:?}");
    }
    if let (Some(own), Some(parents)) = (machine.min_next(), min_next) {
        assert!(own >= parents, "R1: the child assigns {own} next, the parent {parents}");
    }
}

/// What a job does at a time.
const SLICE: Slice = Slice { keys: 3, bytes: 1 << 20, work: usize::MAX };

#[derive(Debug)]
struct Synced {
    range: RangeId,
    token: Option<PersistToken>,
    sends: Vec<(NodeId, GroupMessage)>,
}

struct Node {
    disk: Disk,
    engine: Option<MemEngine>,
    replicas: BTreeMap<RangeId, Replica>,
    offset: i64,
    born: u64,
    life: u64,
    wake: u64,
    /// Ticks in a row after which the replica wanted the next one at once.
    woken_in_vain: u32,
}

pub struct Cluster {
    pub world: World,
    pub rng: ChaCha8Rng,
    pub time: u64,
    nodes: BTreeMap<NodeId, Node>,
    queue: BTreeMap<(u64, u64), Happening>,
    sequence: u64,
    next_token: u64,
    /// Whose answer goes to another replica instead of a client.
    routed: BTreeMap<RequestToken, (NodeId, u64, RangeId, AskToken)>,
    pub replies: BTreeMap<RequestToken, Answer>,
    pub cut: Vec<(NodeId, NodeId)>,
    /// Snapshots of this range get lost.
    pub no_snapshots: Option<RangeId>,
    pub events: Vec<(NodeId, RangeId, Event)>,
    /// What replicas were when they began to send a snapshot.
    sent: BTreeMap<(RangeId, NodeId, Slot), (RangeState, Applied)>,
}

#[derive(Debug)]
struct NoPrograms;

impl PushdownFactory for NoPrograms {
    fn open(&self, program: &[u8]) -> Result<Box<dyn Pushdown>, PushdownError> {
        Err(PushdownError { message: format!("{program:?}"), encoded: Bytes::new() })
    }
}

impl Cluster {
    pub fn new(seed: u64, world: World) -> Cluster {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut nodes = BTreeMap::new();
        for id in 1..=world.nodes {
            let reach = i64::try_from(world.epsilon).expect("small");
            let offset = if reach == 0 { 0 } else { rng.random_range(-reach..=reach) };
            let disk = Disk::new();
            let engine = Some(disk.open());
            let replicas = BTreeMap::new();
            let (wake, woken_in_vain) = (u64::MAX, 0);
            let node =
                Node { disk, engine, replicas, offset, born: 0, life: 0, wake, woken_in_vain };
            nodes.insert(NodeId(id), node);
        }
        Cluster {
            world,
            rng,
            time: 0,
            nodes,
            queue: BTreeMap::new(),
            sequence: 0,
            next_token: 0,
            routed: BTreeMap::new(),
            replies: BTreeMap::new(),
            cut: Vec::new(),
            no_snapshots: None,
            events: Vec::new(),
            sent: BTreeMap::new(),
        }
    }

    pub fn create(&mut self, range: u64, start: &str, end: &str, leader: u32) -> RangeId {
        let desc = Descriptor {
            id: RangeId(range),
            span: Span::new(start, end),
            generation: 1,
            voters: self.nodes.keys().copied().collect(),
            preferred_leader: NodeId(leader),
        };
        let config = Arc::new(self.world.config.clone());
        for (id, node) in &mut self.nodes {
            let engine = node.engine.as_ref().expect("up");
            let replica = Replica::create(engine, &desc, *id, config.clone()).expect("no faults");
            engine.sync().expect("no faults");
            node.replicas.insert(desc.id, replica);
        }
        for id in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.step(id, desc.id, Input::Tick);
        }
        desc.id
    }

    pub fn now(&self, node: NodeId) -> Now {
        let state = &self.nodes[&node];
        let middle = (EPOCH + self.time).checked_add_signed(state.offset).expect("small");
        let tt =
            Interval { earliest: middle - self.world.epsilon, latest: middle + self.world.epsilon };
        Now { tt, mono: Mono(self.time - state.born) }
    }

    /// `TT.now().latest` at a node, as a gateway there would take it for a snapshot.
    pub fn latest(&self, node: NodeId) -> Timestamp {
        self.now(node).tt.latest_timestamp()
    }

    pub fn true_time(&self) -> Timestamp {
        Timestamp::from_wall(EPOCH + self.time)
    }

    fn at(&mut self, time: u64, what: Happening) {
        self.sequence += 1;
        self.queue.insert((time, self.sequence), what);
    }

    pub fn up(&self, node: NodeId) -> bool {
        self.nodes[&node].engine.is_some()
    }

    pub fn replica(&self, node: u32, range: RangeId) -> &Replica {
        &self.nodes[&NodeId(node)].replicas[&range]
    }

    pub fn engine(&self, node: u32) -> &MemEngine {
        self.nodes[&NodeId(node)].engine.as_ref().expect("up")
    }

    /// All replicas, for people.
    pub fn overview(&self) -> String {
        let mut text = String::new();
        for (id, node) in &self.nodes {
            for (range, replica) in &node.replicas {
                let status = replica.group().status();
                let (machine, desc) = (replica.machine(), replica.descriptor());
                let (leads, blank) = (replica.leads(), machine.state().blank);
                text += &format!("{id} {range} {desc} leads {leads} blank {blank} {status:?}\n");
            }
        }
        text
    }

    /// All ranges that some node has.
    pub fn ranges(&self) -> Vec<RangeId> {
        let nodes = self.nodes.values();
        let mut ranges: Vec<RangeId> = nodes.flat_map(|n| n.replicas.keys().copied()).collect();
        ranges.sort_unstable();
        ranges.dedup();
        ranges
    }

    pub fn has(&self, node: u32, range: RangeId) -> bool {
        self.nodes[&NodeId(node)].replicas.contains_key(&range)
    }

    pub fn step(&mut self, id: NodeId, range: RangeId, input: Input) {
        let now = self.now(id);
        let node = self.nodes.get_mut(&id).expect("known");
        let Some(engine) = node.engine.clone() else { return };
        let Some(replica) = node.replicas.get_mut(&range) else { return };
        let mut out = Effects::default();
        let ctx = Context { now, engine: &engine, factory: &NoPrograms };
        let ticked = matches!(input, Input::Tick);
        let before = (replica.machine().applied().max_timestamp, replica.machine().min_next());
        replica.step(&ctx, input, &mut out).expect("no faults");
        let sees = (replica.machine().state().clone(), replica.machine().applied());
        let moves = replica.wants_sweep();
        let at_once = ticked && replica.next_wakeup(now).is_zero();
        node.woken_in_vain = if at_once { node.woken_in_vain + 1 } else { 0 };
        assert!(node.woken_in_vain < 1_000, "{range} on {id} wants to be woken again and again");
        let wake = self.time + u64::try_from(replica.next_wakeup(now).as_nanos()).expect("soon");
        let life = node.life;
        let mut children = Vec::new();
        for (child, birth) in out.children {
            children.push((child.range(), birth));
            assert_born_above(&child, before);
            node.replicas.insert(child.range(), child);
        }
        let wake = if moves { wake.min(self.time + MS) } else { wake };
        let wake = wake.max(self.time + 1);
        if wake < node.wake || node.wake <= self.time {
            node.wake = wake;
            self.at(wake, Happening::Wake { node: id, life });
        }
        for (to, message) in out.send {
            self.send(id, to, range, message);
        }
        if out.persist.is_some() || !out.send_durable.is_empty() {
            let done = Synced { range, token: out.persist, sends: out.send_durable };
            self.at(self.time + self.world.sync, Happening::Synced { node: id, life, done });
        }
        for (token, result) in out.replies {
            self.reply(token, result);
        }
        for job in out.jobs {
            let delay = self.delay();
            let job = Box::new(job);
            self.at(self.time + delay, Happening::Scanned { node: id, life, job });
        }
        for (ask, key, request) in out.asks {
            let delay = self.delay();
            let what = Happening::Ask { node: id, life, range, ask, key, request };
            self.at(self.time + delay, what);
        }
        for event in &out.events {
            self.hold_against_sender(id, range, event, &sees);
        }
        self.events.extend(out.events.into_iter().map(|event| (id, range, event)));
        for (range, birth) in children {
            let done = Synced { range, token: Some(birth), sends: Vec::new() };
            self.at(self.time + self.world.sync, Happening::Synced { node: id, life, done });
            self.step(id, range, Input::Tick);
        }
    }

    /// Right after a snapshot is installed the replica is what its sender was.
    fn hold_against_sender(
        &mut self,
        id: NodeId,
        range: RangeId,
        event: &Event,
        sees: &(RangeState, Applied),
    ) {
        match event {
            Event::SnapshotSent { through, .. } => {
                assert_eq!(sees.1.slot, *through, "{range}: a snapshot of another slot");
                self.sent.insert((range, id, *through), sees.clone());
            }
            Event::SnapshotInstalled { from, through } => {
                let sent = &self.sent[&(range, *from, *through)];
                assert!(sees.1.slot >= sent.1.slot, "{range}: {sees:?} of {sent:?}");
                assert!(sees.1.max_timestamp >= sent.1.max_timestamp, "R1: {sees:?} of {sent:?}");
                assert!(sees.0.gc_threshold >= sent.0.gc_threshold, "S4: {sees:?} of {sent:?}");
                assert!(sees.0.splits.starts_with(&sent.0.splits), "{sees:?} of {sent:?}");
                assert!(!sees.0.blank, "installed, and blank");
            }
            Event::Leads { .. }
            | Event::Stopped { .. }
            | Event::SnapshotFailed { .. }
            | Event::Refused { .. }
            | Event::Split { .. } => {}
        }
    }

    fn delay(&mut self) -> u64 {
        let (least, most) = self.world.delay;
        if least == most { least } else { self.rng.random_range(least..=most) }
    }

    fn send(&mut self, from: NodeId, to: NodeId, range: RangeId, message: GroupMessage) {
        let lost = self.world.loss > 0 && self.rng.random_ratio(1, self.world.loss);
        let snapshot = matches!(message, GroupMessage::Snapshot(_));
        if snapshot && self.no_snapshots == Some(range) {
            return;
        }
        if lost || self.cut.contains(&(from, to)) {
            return;
        }
        let at = self.time + self.delay();
        self.at(at, Happening::Deliver { to, from, range, message });
    }

    fn reply(&mut self, token: RequestToken, result: Answer) {
        match self.routed.remove(&token) {
            Some((node, life, range, ask)) => {
                let at = self.time + self.delay();
                let result = Box::new(result);
                self.at(at, Happening::Answer { node, life, range, ask, result });
            }
            None => {
                let before = self.replies.insert(token, result);
                assert!(before.is_none(), "{token:?} is answered twice");
            }
        }
    }

    /// Sends a request to a replica; the answer will be in `replies`.
    pub fn request(
        &mut self,
        node: NodeId,
        range: RangeId,
        request: Request,
        patience: Duration,
    ) -> RequestToken {
        self.next_token += 1;
        let token = RequestToken(self.next_token);
        if !self.up(node) || !self.has(node.0, range) {
            let cause = "down".to_owned();
            self.replies.insert(token, Err(KvError::AnswerLost { node, cause }));
            return token;
        }
        let deadline = self.now(node).mono.plus(patience);
        self.step(node, range, Input::Request { token, request, deadline });
        token
    }

    /// Lets the next event happen. False if there is none.
    pub fn turn(&mut self) -> bool {
        let Some(((time, _), what)) = self.queue.pop_first() else { return false };
        self.time = self.time.max(time);
        match what {
            Happening::Deliver { to, from, range, message } => {
                self.step(to, range, Input::Peer { from, message });
            }
            Happening::Wake { node, life } => {
                if self.nodes[&node].life == life && self.nodes[&node].wake == time {
                    let ranges: Vec<_> = self.nodes[&node].replicas.keys().copied().collect();
                    for range in ranges {
                        self.step(node, range, Input::Tick);
                        if self.nodes[&node].replicas.get(&range).is_some_and(Replica::wants_sweep)
                        {
                            self.step(node, range, Input::Sweep);
                        }
                    }
                }
            }
            Happening::Synced { node, life, done } => {
                if self.nodes[&node].life == life && self.up(node) {
                    let engine = self.nodes[&node].engine.clone().expect("up");
                    engine.sync().expect("no faults");
                    for (to, message) in done.sends {
                        self.send(node, to, done.range, message);
                    }
                    if let Some(token) = done.token {
                        self.step(node, done.range, Input::Persisted(token));
                    }
                }
            }
            Happening::Scanned { node, life, mut job } => {
                if self.nodes[&node].life == life {
                    let answer = loop {
                        if let Some(answer) = job.go_on(SLICE) {
                            break answer.expect("no faults");
                        }
                    };
                    self.reply(job.token, answer);
                }
            }
            Happening::Ask { node, life, range, ask, key, request } => {
                self.route(node, life, range, ask, &key, request);
            }
            Happening::Answer { node, life, range, ask, result } => {
                if self.nodes[&node].life == life {
                    self.step(node, range, Input::Answer { ask, result: *result });
                }
            }
        }
        true
    }

    fn route(
        &mut self,
        node: NodeId,
        life: u64,
        range: RangeId,
        ask: AskToken,
        key: &Key,
        request: Request,
    ) {
        let target = self.leader_of(key);
        self.next_token += 1;
        let token = RequestToken(self.next_token);
        self.routed.insert(token, (node, life, range, ask));
        match target {
            Some((to, of)) => {
                let deadline = self.now(to).mono.plus(Duration::from_secs(5));
                self.step(to, of, Input::Request { token, request, deadline });
            }
            None => {
                let cause = "no leader".to_owned();
                self.reply(token, Err(KvError::AnswerLost { node, cause }));
            }
        }
    }

    /// Who leads the range that owns a key.
    pub fn leader_of(&self, key: &[u8]) -> Option<(NodeId, RangeId)> {
        self.nodes.iter().find_map(|(id, node)| {
            let mut replicas = node.replicas.iter();
            replicas
                .find(|(_, r)| r.leads() && r.descriptor().span.contains(key))
                .map(|(range, _)| (*id, *range))
        })
    }

    pub fn leader(&self, range: RangeId) -> Option<NodeId> {
        let leads = |node: &Node| node.replicas.get(&range).is_some_and(Replica::leads);
        self.nodes.iter().find(|(_, node)| leads(node)).map(|(id, _)| *id)
    }

    pub fn run_for(&mut self, time: Duration) {
        let until = self.time + u64::try_from(time.as_nanos()).expect("small");
        while self.queue.first_key_value().is_some_and(|((at, _), _)| *at <= until) {
            self.turn();
        }
        self.time = until;
    }

    /// Runs until the condition holds; panics after a virtual minute.
    pub fn run_until(&mut self, what: &str, mut done: impl FnMut(&Cluster) -> bool) {
        let limit = self.time + 60_000 * MS;
        while !done(self) {
            assert!(self.time < limit && self.turn(), "never: {what}");
        }
    }

    /// Runs until the answer is there.
    pub fn wait(&mut self, token: RequestToken) -> Answer {
        self.run_until("answer", |cluster| cluster.replies.contains_key(&token));
        self.replies.remove(&token).expect("just seen")
    }

    /// Asks whoever leads, again and again, until somebody does it.
    pub fn call(&mut self, range: RangeId, request: Request) -> Answer {
        for _ in 0..200 {
            let Some(leader) = self.leader(range) else {
                self.run_for(Duration::from_millis(50));
                continue;
            };
            let patience = Duration::from_secs(10);
            let token = self.request(leader, range, request.clone(), patience);
            match self.wait(token).map_err(|error| error.split_wait().0) {
                Err(KvError::NotLeader { .. } | KvError::AnswerLost { .. }) => {
                    self.run_for(Duration::from_millis(50));
                }
                answer => return answer,
            }
        }
        panic!("{range} has no leader for ten seconds");
    }

    pub fn crash(&mut self, node: u32) {
        let state = self.nodes.get_mut(&NodeId(node)).expect("known");
        state.engine = None;
        state.replicas.clear();
        state.life += 1;
        let _ = state.disk.crash(&mut self.rng);
    }

    pub fn restart(&mut self, node: u32) {
        let id = NodeId(node);
        let config = Arc::new(self.world.config.clone());
        let state = self.nodes.get_mut(&id).expect("known");
        let engine = state.disk.open();
        state.born = self.time;
        state.wake = u64::MAX;
        for range in Replica::list(&engine).expect("readable") {
            let replica = Replica::open(&engine, range, id, config.clone()).expect("readable");
            state.replicas.insert(range, replica.expect("listed"));
        }
        state.engine = Some(engine);
        let ranges: Vec<RangeId> = state.replicas.keys().copied().collect();
        for range in ranges {
            self.step(id, range, Input::Tick);
        }
    }

    pub fn isolate(&mut self, node: u32) {
        let others: Vec<NodeId> = self.nodes.keys().copied().filter(|n| n.0 != node).collect();
        for other in others {
            self.cut.push((NodeId(node), other));
            self.cut.push((other, NodeId(node)));
        }
    }
}

/// Requests, as short as tests want them.
pub fn meta(id: u128, anchor: &str, start: Timestamp) -> TxnMeta {
    TxnMeta { id: TxnId(id), anchor: Key::from(anchor), priority: start, start }
}

pub fn put(key: &str, value: &str) -> Write {
    Write { key: Key::from(key), value: Some(Bytes::copy_from_slice(value.as_bytes())) }
}

pub fn commit(txn: TxnMeta, reads: Vec<Validate>, writes: Vec<Write>) -> Request {
    let above = txn.start;
    let below = Timestamp::MAX;
    Request::Commit(Commit { txn, reads, writes, participants: Vec::new(), above, below })
}

pub fn get(key: &str, at: Timestamp, from: ReadFrom) -> Request {
    let span = Span::point(Key::from(key));
    scan(span, at, from)
}

pub fn scan(span: Span, at: Timestamp, from: ReadFrom) -> Request {
    let spans = vec![ReadSpan { span, reverse: false }];
    Request::Read(Read {
        at,
        from,
        holder: None,
        spans,
        max_rows: 0,
        program: None,
        unchanged_since: None,
    })
}

/// The values of a read's answer, `key=value` separated by blanks.
pub fn rows(answer: &Answer) -> String {
    let Ok(Reply::Read(read)) = answer else { return format!("{answer:?}") };
    let rows = read.spans.iter().flat_map(|span| &span.rows);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    rows.map(|(key, value)| format!("{}={}", text(key), text(value))).collect::<Vec<_>>().join(" ")
}
