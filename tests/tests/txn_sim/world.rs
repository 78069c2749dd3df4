//! The world that the replicas live in: nodes, disks, clocks and a network, in virtual time.
//!
//! One heap of events, ordered by time. True time moves from event to event, in nanoseconds; tokio's
//! paused clock (which the gateways sleep on) follows it in milliseconds. One thread, one seed: the same
//! run every time.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use clock::{Interval, Mono, Now};
use keys::{Key, NodeId, RangeId};
use kv::{
    Descriptor, KvError, Pushdown, PushdownError, PushdownFactory, RangeRequest, Reply, Request,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use range::{
    AskToken, Config, Context, Effects, Event, GroupMessage, Input, PersistToken, Replica,
    RequestToken,
};
use storage::{Engine as _, MemEngine, memory::Disk};
use timer::Instant;
use tokio::sync::{Notify, oneshot};
use txn::Router;

use crate::{
    history::{EPOCH_NANOS, TrueTime},
    plan::{Plan, offset},
};

mod boot;
mod gateway;

pub use boot::create;
pub use gateway::{Lifeline, clock_of, router};

/// A shared world.
pub type SharedWorld = Arc<Shared>;

/// The world and what stands beside its lock.
pub struct Shared {
    world: Mutex<World>,
    /// An earlier event was added.
    changed: Notify,
    /// When tokio's clock stood at true time 0.
    started: Instant,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "world")
    }
}

impl Shared {
    /// The world, for one synchronous look.
    pub fn lock(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().expect("a panic ends the simulation");
        world.catch_up(self.started.elapsed());
        world
    }
}

/// What happens at a time.
#[derive(Debug)]
enum Happening {
    Peer {
        from: NodeId,
        to: NodeId,
        range: RangeId,
        message: GroupMessage,
    },
    Request {
        from: NodeId,
        to: NodeId,
        call: u64,
        request: RangeRequest,
    },
    Response {
        call: u64,
        result: Result<Reply, KvError>,
    },
    Answer {
        node: NodeId,
        life: u32,
        range: RangeId,
        ask: AskToken,
        result: Result<Reply, KvError>,
    },
    Synced {
        node: NodeId,
        life: u32,
    },
    Wake {
        node: NodeId,
        life: u32,
        range: RangeId,
    },
    Restart {
        node: NodeId,
    },
    Heal {
        node: NodeId,
    },
}

/// A caller of a request: a call of the network.
type Call = (NodeId, u64);

/// A node: a disk, and while it is up, an engine and replicas.
struct Node {
    disk: Disk,
    engine: MemEngine,
    /// Grows with every restart: what was meant for an earlier life is void.
    life: u32,
    up: bool,
    /// Nothing that it sends arrives.
    mute: bool,
    /// Nothing arrives at it.
    deaf: bool,
    replicas: BTreeMap<RangeId, Replica>,
    callers: BTreeMap<RequestToken, Call>,
    wakes: BTreeMap<RangeId, u64>,
    /// What waits for a sync that has not begun.
    unsynced: Unsynced,
    /// What waits for the sync under way.
    syncing: Option<Unsynced>,
    offset_nanos: i64,
}

#[derive(Default)]
struct Unsynced {
    tokens: Vec<(RangeId, PersistToken)>,
    messages: Vec<(NodeId, RangeId, GroupMessage)>,
}

/// Everything.
pub struct World {
    /// What the seed stands for.
    pub plan: Plan,
    config: Arc<Config>,
    now: u64,
    rng: ChaCha8Rng,
    heap: BinaryHeap<Reverse<(u64, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    next_id: u64,
    nodes: BTreeMap<NodeId, Node>,
    calls: BTreeMap<u64, oneshot::Sender<Result<Reply, KvError>>>,
    /// Asks other ranges on behalf of each node's replicas.
    routers: BTreeMap<NodeId, Arc<Router>>,
    system: Descriptor,
    /// The table's ranges as they were created.
    pub table: Vec<Descriptor>,
    /// Probes: what happened at least once.
    pub fired: BTreeSet<String>,
    /// A digest of everything that happened, to compare two runs of a seed.
    pub digest: u64,
}

impl World {
    fn catch_up(&mut self, elapsed: Duration) {
        let elapsed = u64::try_from(elapsed.as_nanos()).expect("a simulation of years");
        self.now = self.now.max(elapsed.min(self.next().unwrap_or(u64::MAX)));
    }

    /// True time.
    pub fn now(&self) -> TrueTime {
        TrueTime(self.now)
    }

    fn schedule(&mut self, after: Duration, what: Happening) -> u64 {
        let at = self.now + u64::try_from(after.as_nanos()).expect("short");
        self.next_id += 1;
        self.heap.push(Reverse((at, self.next_id)));
        self.happenings.insert(self.next_id, what);
        at
    }

    fn interval(&self, node: NodeId) -> Interval {
        let (offset, epsilon) = (self.nodes[&node].offset_nanos, self.plan.epsilon.as_nanos());
        let middle = (EPOCH_NANOS + self.now).checked_add_signed(offset).expect("after 1970");
        let epsilon = u64::try_from(epsilon).expect("short");
        Interval { earliest: middle - epsilon, latest: middle + epsilon }
    }

    fn node_now(&self, node: NodeId) -> Now {
        Now { tt: self.interval(node), mono: Mono(self.now) }
    }

    /// Sends something over the network, or loses it.
    fn transmit(&mut self, from: NodeId, to: NodeId, make: impl Fn() -> Happening) {
        if from == to {
            self.schedule(Duration::from_nanos(1_000), make());
            return;
        }
        let cut = self.nodes[&from].mute || self.nodes[&to].deaf;
        if cut || self.rng.random_range(0..1000) < self.plan.loss {
            return;
        }
        let copies = if self.rng.random_range(0..1000) < self.plan.duplicates { 2 } else { 1 };
        for nth in 0..copies {
            let (least, mut most) = self.plan.latency;
            if nth > 0 && self.rng.random_bool(0.1) {
                most = LATE;
            }
            let latency = self.rng.random_range(least..=most);
            self.schedule(latency, make());
        }
    }

    /// When something happens next.
    fn next(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    fn happen_next(&mut self, shared: &SharedWorld) {
        let Reverse((at, id)) = self.heap.pop().expect("something is due");
        self.now = self.now.max(at);
        let what = self.happenings.remove(&id).expect("scheduled");
        self.happen(shared, what);
    }

    fn happen(&mut self, shared: &SharedWorld, what: Happening) {
        match what {
            Happening::Peer { from, to, range, message } => {
                self.step(shared, to, range, Input::Peer { from, message });
            }
            Happening::Request { from, to, call, request } => {
                self.request(shared, from, to, call, request);
            }
            Happening::Response { call, result } => {
                if let Some(sender) = self.calls.remove(&call) {
                    // Who asked may have given up.
                    drop(sender.send(result));
                }
            }
            Happening::Answer { node, life, range, ask, result } => {
                if self.nodes[&node].life == life {
                    self.step(shared, node, range, Input::Answer { ask, result });
                }
            }
            Happening::Synced { node, life } => {
                if self.nodes[&node].life == life {
                    self.synced(shared, node);
                }
            }
            Happening::Wake { node, life, range } => {
                let due = self.nodes[&node].wakes.get(&range) == Some(&self.now);
                if self.nodes[&node].life == life && due {
                    self.node(node).wakes.remove(&range);
                    self.step(shared, node, range, Input::Tick);
                    if self.wants_sweep(node, range) {
                        self.step(shared, node, range, Input::Sweep);
                    }
                }
            }
            Happening::Restart { node } => self.restart(shared, node),
            Happening::Heal { node } => {
                let node = self.node(node);
                (node.mute, node.deaf) = (false, false);
            }
        }
    }

    fn node(&mut self, node: NodeId) -> &mut Node {
        self.nodes.get_mut(&node).expect("nodes are fixed")
    }

    fn request(
        &mut self,
        shared: &SharedWorld,
        from: NodeId,
        to: NodeId,
        call: u64,
        request: RangeRequest,
    ) {
        let RangeRequest { range, deadline, request, .. } = request;
        if !self.nodes[&to].up {
            return;
        }
        if !self.nodes[&to].replicas.contains_key(&range) {
            let result = Err(KvError::WrongRange { range, known: Vec::new() });
            self.transmit(to, from, || Happening::Response { call, result: result.clone() });
            return;
        }
        self.next_id += 1;
        let token = RequestToken(self.next_id);
        self.node(to).callers.insert(token, (from, call));
        let deadline = Mono(self.now).plus(deadline);
        self.step(shared, to, range, Input::Request { token, request, deadline });
    }

    /// One step of a replica.
    fn step(&mut self, shared: &SharedWorld, node: NodeId, range: RangeId, input: Input) {
        let now = self.node_now(node);
        let entry = self.nodes.get_mut(&node).expect("nodes are fixed");
        if !entry.up {
            return;
        }
        let Some(replica) = entry.replicas.get_mut(&range) else { return };
        let mut effects = Effects::default();
        let context = Context { now, engine: &entry.engine, factory: &NoPrograms };
        replica.step(&context, input, &mut effects).expect("disks don't fail here");
        self.absorb(shared, node, range, effects);
    }

    fn absorb(&mut self, shared: &SharedWorld, node: NodeId, range: RangeId, effects: Effects) {
        let Effects { send, send_durable, persist, replies, asks, children, events, .. } = effects;
        for (to, message) in send {
            let peer = || Happening::Peer { from: node, to, range, message: message.clone() };
            self.transmit(node, to, peer);
        }
        let entry = self.nodes.get_mut(&node).expect("nodes are fixed");
        entry.unsynced.tokens.extend(persist.map(|token| (range, token)));
        entry.unsynced.messages.extend(send_durable.into_iter().map(|(to, m)| (to, range, m)));
        for (token, result) in replies {
            let caller = self.node(node).callers.remove(&token);
            let (to, call) = caller.expect("a request is answered once");
            self.transmit(node, to, || Happening::Response { call, result: result.clone() });
        }
        for (ask, key, request) in asks {
            self.ask(shared, node, range, ask, key, request);
        }
        for event in events {
            self.note(node, range, &event);
        }
        self.wake_later(node, range);
        for (child, birth) in children {
            let id = child.range();
            self.node(node).unsynced.tokens.push((id, birth));
            let before = self.node(node).replicas.insert(id, child);
            assert!(before.is_none(), "{id} was born twice on {node}");
            self.wake_later(node, id);
        }
        self.begin_sync(node);
    }

    fn note(&mut self, node: NodeId, range: RangeId, event: &Event) {
        let text = format!("{event:?}");
        let name = text.split([' ', '{']).next().unwrap_or_default().to_owned();
        self.fired.insert(name);
        self.trace(|| format!("{node} {range} {text}"));
    }

    /// Into the digest; printed with `TXN_SIM_TRACE=1`.
    pub fn trace(&mut self, text: impl FnOnce() -> String) {
        let text = text();
        if std::env::var_os("TXN_SIM_TRACE").is_some() {
            println!("{:12.6}ms {text}", self.now as f64 / 1e6);
        }
        for byte in text.bytes().chain(self.now.to_le_bytes()) {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn wants_sweep(&self, node: NodeId, range: RangeId) -> bool {
        self.nodes[&node].replicas.get(&range).is_some_and(Replica::wants_sweep)
    }

    fn wake_later(&mut self, node: NodeId, range: RangeId) {
        let now = self.node_now(node);
        let (life, after) = {
            let entry = &self.nodes[&node];
            let Some(replica) = entry.replicas.get(&range) else { return };
            let sweeps = replica.wants_sweep().then_some(SWEEP_EVERY);
            let wakeup = replica.next_wakeup(now).min(sweeps.unwrap_or(Duration::MAX));
            (entry.life, wakeup.max(SHORTEST_WAKE))
        };
        let at = self.now
            + u64::try_from(after.as_nanos().min(u128::from(LONGEST_WAKE))).expect("short");
        if self.nodes[&node].wakes.get(&range) == Some(&at) {
            return;
        }
        self.node(node).wakes.insert(range, at);
        self.schedule(Duration::from_nanos(at - self.now), Happening::Wake { node, life, range });
    }

    fn begin_sync(&mut self, node: NodeId) {
        let most = u64::try_from(self.plan.sync_time.as_nanos()).expect("short");
        let entry = self.nodes.get_mut(&node).expect("nodes are fixed");
        let idle = entry.unsynced.tokens.is_empty() && entry.unsynced.messages.is_empty();
        if idle || entry.syncing.is_some() {
            return;
        }
        entry.syncing = Some(std::mem::take(&mut entry.unsynced));
        entry.engine.sync().expect("disks don't fail here");
        let life = entry.life;
        let time = Duration::from_nanos(self.rng.random_range(1..=most));
        self.schedule(time, Happening::Synced { node, life });
    }

    fn synced(&mut self, shared: &SharedWorld, node: NodeId) {
        let done = self.node(node).syncing.take().expect("a sync was under way");
        for (to, range, message) in done.messages {
            let peer = || Happening::Peer { from: node, to, range, message: message.clone() };
            self.transmit(node, to, peer);
        }
        for (range, token) in done.tokens {
            self.step(shared, node, range, Input::Persisted(token));
        }
        self.begin_sync(node);
    }

    fn ask(
        &mut self,
        shared: &SharedWorld,
        node: NodeId,
        range: RangeId,
        ask: AskToken,
        key: Key,
        request: Request,
    ) {
        let router = self.routers[&node].clone();
        let (shared, life) = (shared.clone(), self.nodes[&node].life);
        let patience = self.config.push_timeout;
        tokio::spawn(async move {
            let result = router.send_to_key(&key, request, Instant::now() + patience).await;
            let answer = Happening::Answer { node, life, range, ask, result };
            shared.lock().schedule(Duration::ZERO, answer);
            shared.changed.notify_one();
        });
    }

    /// The power of a node fails; it comes back after a while.
    pub fn crash(&mut self, node: NodeId, down: Duration) {
        if !self.nodes[&node].up {
            return;
        }
        self.trace(|| format!("{node} crashes"));
        let mut rng = ChaCha8Rng::seed_from_u64(self.rng.random());
        let entry = self.nodes.get_mut(&node).expect("nodes are fixed");
        entry.up = false;
        entry.life += 1;
        entry.engine = entry.disk.crash(&mut rng);
        entry.replicas.clear();
        entry.callers.clear();
        entry.wakes.clear();
        (entry.unsynced, entry.syncing) = (Unsynced::default(), None);
        self.schedule(down, Happening::Restart { node });
    }

    fn restart(&mut self, shared: &SharedWorld, node: NodeId) {
        self.trace(|| format!("{node} restarts"));
        let config = self.config.clone();
        let entry = self.nodes.get_mut(&node).expect("nodes are fixed");
        entry.up = true;
        let ranges = Replica::list(&entry.engine).expect("disks don't fail here");
        for range in &ranges {
            let replica = Replica::open(&entry.engine, *range, node, config.clone());
            let replica = replica.expect("disks don't fail here").expect("it was listed");
            entry.replicas.insert(*range, replica);
        }
        for range in ranges {
            self.step(shared, node, range, Input::Tick);
        }
    }

    /// Cuts a node off for a while, in one direction or both.
    pub fn cut(&mut self, node: NodeId, time: Duration) {
        let (mute, deaf) =
            [(true, true), (true, false), (false, true)][self.rng.random_range(0..3)];
        self.trace(|| format!("{node} is mute {mute}, deaf {deaf}"));
        let entry = self.node(node);
        (entry.mute, entry.deaf) = (mute, deaf);
        self.schedule(time, Happening::Heal { node });
    }

    /// A node's clock steps, within what it claims (that must be harmless).
    pub fn step_clock(&mut self, node: NodeId) {
        let offset = offset(&mut self.rng, self.plan.epsilon);
        self.trace(|| format!("the clock of {node} is off by {offset} ns now"));
        self.node(node).offset_nanos = offset;
    }

    /// Ends every fault: nothing is lost any more, everybody is up and connected (soon).
    pub fn heal(&mut self) {
        (self.plan.loss, self.plan.duplicates) = (0, 0);
        self.nodes.values_mut().for_each(|node| (node.mute, node.deaf) = (false, false));
    }

    /// A random node.
    pub fn any_node(&mut self) -> NodeId {
        NodeId(self.rng.random_range(1..=self.plan.nodes))
    }

    /// Randomness for faults, from the world's seed.
    pub fn rng(&mut self) -> &mut ChaCha8Rng {
        &mut self.rng
    }

    /// The leader of each range, as the nodes see it, with its disk.
    pub fn leaders(&self) -> BTreeMap<RangeId, (NodeId, Descriptor, MemEngine)> {
        let mut leaders = BTreeMap::new();
        for (id, node) in self.nodes.iter().filter(|(_, node)| node.up) {
            for replica in node.replicas.values().filter(|replica| replica.leads()) {
                let descriptor = replica.descriptor().clone();
                leaders.insert(descriptor.id, (*id, descriptor, node.engine.clone()));
            }
        }
        leaders
    }

    /// What lies on the disks of the nodes that are up.
    pub fn engines(&self) -> Vec<MemEngine> {
        self.nodes.values().filter(|node| node.up).map(|node| node.engine.clone()).collect()
    }

    /// Why things might not move, for people.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for (id, node) in &self.nodes {
            text += &format!("{id}: up {}, mute {}, deaf {}\n", node.up, node.mute, node.deaf);
            for replica in node.replicas.values() {
                let leads = replica.leads();
                text += &format!("  {} leads {leads}\n", replica.descriptor());
            }
        }
        text
    }
}

/// How late a copy of a message may come.
const LATE: Duration = Duration::from_secs(6);
/// A replica that wants to be woken at once gets at least this: time must pass.
const SHORTEST_WAKE: Duration = Duration::from_micros(1);
/// Between two parts of a snapshot that are moved in, or of old versions that are dropped.
const SWEEP_EVERY: Duration = Duration::from_millis(1);
/// A replica that wants nothing is woken all the same after so many nanoseconds.
const LONGEST_WAKE: u64 = 3_600_000_000_000;

/// Makes things happen until the end of the runtime.
pub async fn drive(shared: SharedWorld) {
    loop {
        let next = shared.lock().next();
        let due = shared.started.elapsed();
        if next.is_some_and(|at| Duration::from_nanos(at) <= due) {
            shared.lock().happen_next(&shared);
            // Whom it woke acts at this very time.
            tokio::task::yield_now().await;
            continue;
        }
        let at = next.map_or(FAR, Duration::from_nanos);
        tokio::select! {
            biased;
            () = shared.changed.notified() => {}
            () = timer::sleep_until(shared.started + at) => {}
        }
    }
}

/// Nothing is due.
const FAR: Duration = Duration::from_secs(100_000);

/// These transactions push no programs down.
#[derive(Debug)]
struct NoPrograms;

impl PushdownFactory for NoPrograms {
    fn open(&self, _: &[u8]) -> Result<Box<dyn Pushdown>, PushdownError> {
        panic!("nobody sends programs here")
    }
}
