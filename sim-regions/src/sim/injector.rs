//! Who does it to the cluster: begins faults, ends them, starts nodes again.
//!
//! ```text
//!   agenda, by time ──► begin a fault ──► the end of it goes onto the agenda
//!   a node's failure ─► crash it, start it later; never again if its disk rots, or it is refused
//!   a launch ends ────► the node arrives in the world of the clients
//! ```
//!
//! One task does all of it, one thing after the other, so that a run is the same each time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use clock::{Freezer, Lean, Offset};
use keys::NodeId;
use net::LinkSpec;
use node::{Node, NodeFailure};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use sql::{Datum, Execution};
use storage::memory::Image;
use timer::{Instant, sleep_until};
use tokio::task::{AbortHandle, JoinSet};

use super::{
    TABLES,
    client::Client,
    disks::Disks,
    faults::{End, Fault, Planned, Way},
    workload::Workload,
    world::{Alive, Life, World},
};
use crate::{Cluster, ClusterError};

/// How long a node is down that failed without a fault of the plan, or did not start.
const DOWN: Duration = Duration::from_secs(1);

/// The process names of administrators begin here.
const ADMIN: u64 = 1_000_000;

/// What is to be done at some time.
#[derive(Debug)]
enum Action {
    Begin(Fault),
    Start(NodeId),
    /// A node goes on, and its machine's clock, if that stood still.
    Thaw(NodeId, Freezer),
    Cut(Vec<(NodeId, NodeId)>, Flap),
    Heal(Vec<(NodeId, NodeId)>),
    Quiet,
    FastLinks(NodeId),
    FastDisk(NodeId),
    /// The node's folder is an older one now, and it is down for so long.
    PutBack(NodeId, Image, Duration),
    EndAll,
}

/// A cut that comes back.
#[derive(Clone, Copy, Debug)]
struct Flap {
    every: Duration,
    until: Instant,
}

/// What a launch or the life of a node came to.
enum Event {
    Launched(NodeId, u64, Box<Result<Node, ClusterError>>),
    Failed(NodeId, u64, NodeFailure),
}

/// The cluster, and what is done to it.
pub struct Injector {
    cluster: Cluster,
    world: World,
    disks: Disks,
    rng: ChaCha8Rng,
    agenda: BTreeMap<(Instant, u64), Action>,
    /// Numbers agenda entries, so that those of one moment keep their order.
    entries: u64,
    events: JoinSet<Event>,
    admins: JoinSet<()>,
    nodes: BTreeMap<NodeId, State>,
    cuts: BTreeMap<(NodeId, NodeId), usize>,
    slow: BTreeMap<NodeId, Duration>,
    noise: Option<(f64, f64, f64)>,
    /// Nodes whose disk rotted, or whose folder is not theirs: they stay down.
    retired: BTreeSet<NodeId>,
}

/// One node.
#[derive(Default)]
struct State {
    life: u64,
    /// Ended when the node dies.
    alive: Option<Arc<Life>>,
    launching: Option<AbortHandle>,
    /// How long it stays down after a failure that was ordered.
    down: Option<Duration>,
}

impl Injector {
    /// Takes a cluster that has booted.
    pub fn new(cluster: Cluster, world: World, disks: Disks, rng: ChaCha8Rng) -> Injector {
        let mut injector = Injector {
            world,
            disks,
            rng,
            agenda: BTreeMap::new(),
            entries: 0,
            events: JoinSet::new(),
            admins: JoinSet::new(),
            nodes: BTreeMap::new(),
            cuts: BTreeMap::new(),
            slow: BTreeMap::new(),
            noise: None,
            retired: BTreeSet::new(),
            cluster,
        };
        let ids: Vec<NodeId> = injector.cluster.nodes().map(Node::id).collect();
        ids.into_iter().for_each(|id| injector.arrive(id));
        injector
    }

    /// Puts a plan onto the agenda, and the end of all faults at its end.
    pub fn plan(&mut self, plan: &[Planned], duration: Duration) {
        let begun = Instant::now();
        for planned in plan {
            self.at(begun + planned.at.0, Action::Begin(planned.fault.clone()));
        }
        self.at(begun + duration, Action::EndAll);
    }

    /// Does what is on the agenda, for ever.
    pub async fn run(&mut self) {
        loop {
            let next = self.agenda.first_key_value().map(|((at, _), _)| *at);
            let due = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(event) = self.events.join_next() => match event {
                    Ok(event) => self.happened(event).await,
                    Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    Err(_aborted) => {}
                },
                Some(ended) = self.admins.join_next() => ended.expect("administrators are not aborted"),
                () = due => {
                    let (_, action) = self.agenda.pop_first().expect("it is due");
                    self.act(action).await;
                }
            }
        }
    }

    /// Stops all nodes.
    pub async fn stop(mut self) {
        self.events.shutdown().await;
        self.admins.shutdown().await;
        self.cluster.stop().await;
    }

    fn at(&mut self, at: Instant, action: Action) {
        self.entries += 1;
        self.agenda.insert((at, self.entries), action);
    }

    fn after(&mut self, delay: Duration, action: Action) {
        self.at(Instant::now() + delay, action);
    }

    async fn happened(&mut self, event: Event) {
        match event {
            Event::Launched(id, life, launched) if self.is(id, life) => {
                self.state(id).launching = None;
                match *launched {
                    Ok(node) => {
                        self.cluster.adopt(node);
                        self.arrive(id);
                        self.world.tell(&format!("{id} runs again"));
                    }
                    Err(error) => self.did_not_start(id, &error).await,
                }
            }
            Event::Failed(id, life, error) if self.is(id, life) => {
                self.world.tell(&format!("{id} stopped: {error}"));
                let down = self.state(id).down.take().unwrap_or(DOWN);
                self.crash(id).await;
                match error {
                    NodeFailure::Disk(error) if !error.corruption => {
                        self.after(down, Action::Start(id));
                    }
                    NodeFailure::Disk(_) | NodeFailure::DataLost(_) | NodeFailure::OlderCopy(_) => {
                        self.retired.insert(id);
                    }
                }
            }
            Event::Launched(..) | Event::Failed(..) => {}
        }
    }

    async fn did_not_start(&mut self, id: NodeId, error: &ClusterError) {
        self.world.tell(&format!("{id} did not start: {error}"));
        self.crash(id).await;
        let rotten = matches!(
            error,
            ClusterError::Start { error: node::StartError::Engine(error), .. } if error.corruption
        );
        if rotten {
            self.retired.insert(id);
        } else {
            self.after(DOWN, Action::Start(id));
        }
    }

    fn state(&mut self, id: NodeId) -> &mut State {
        self.nodes.entry(id).or_default()
    }

    fn is(&self, id: NodeId, life: u64) -> bool {
        self.nodes.get(&id).is_some_and(|state| state.life == life)
    }

    /// A node that runs becomes visible to clients.
    fn arrive(&mut self, id: NodeId) {
        let node = self.cluster.node(id).expect("it runs");
        let life = Arc::new(Life::default());
        let region = node.member().region.clone();
        let freezer = self.cluster.freezer(id).clone();
        let alive = Alive::new(node.database().clone(), freezer, region, Arc::clone(&life));
        let failed = node.failed();
        let state = self.nodes.entry(id).or_default();
        state.alive = Some(life);
        let number = state.life;
        self.events.spawn(async move { Event::Failed(id, number, failed.await) });
        self.world.arrive(id, alive);
    }

    /// The power fails under a node, whether it runs, starts or is down.
    async fn crash(&mut self, id: NodeId) {
        self.world.depart(id);
        let state = self.nodes.entry(id).or_default();
        state.life += 1;
        if let Some(life) = state.alive.take() {
            life.end();
        }
        if let Some(launching) = state.launching.take() {
            launching.abort();
        }
        self.cluster.crash(id).await;
        // A machine that starts again is awake.
        self.cluster.clock(id).resume();
        self.disks.crash(id);
    }

    fn is_up(&self, id: NodeId) -> bool {
        let state = self.nodes.get(&id);
        state.is_some_and(|state| state.alive.is_some() || state.launching.is_some())
    }

    fn start(&mut self, id: NodeId) {
        if self.is_up(id) || self.retired.contains(&id) {
            return;
        }
        let life = self.state(id).life;
        match self.cluster.launch(id) {
            Ok(launch) => {
                let launched = async move { Event::Launched(id, life, Box::new(launch.await)) };
                self.state(id).launching = Some(self.events.spawn(launched));
            }
            Err(error) => panic!("a simulated disk opens: {error}"),
        }
    }

    async fn act(&mut self, action: Action) {
        match action {
            Action::Begin(fault) => {
                self.world.tell(&fault.to_string());
                self.begin(fault).await;
            }
            Action::Start(id) => self.start(id),
            Action::Thaw(id, freezer) => self.thaw(id, &freezer),
            Action::Heal(links) => self.heal(&links),
            Action::Cut(links, flap) => self.flap(links, flap),
            Action::Quiet => {
                self.noise = None;
                self.set_links();
            }
            Action::FastLinks(id) => {
                self.slow.remove(&id);
                self.set_links();
            }
            Action::FastDisk(id) => self.disks.slow_down(id, Duration::ZERO),
            Action::PutBack(id, copy, lasting) => {
                self.world.tell(&format!("{id} gets an older copy of its folder"));
                self.crash(id).await;
                self.disks.put_back(id, &copy);
                self.after(lasting, Action::Start(id));
            }
            Action::EndAll => self.end_all(),
        }
    }

    async fn begin(&mut self, fault: Fault) {
        match fault {
            Fault::Crash { nodes, lasting } => {
                for id in nodes.into_iter().map(NodeId) {
                    if self.is_up(id) {
                        self.crash(id).await;
                        self.after(lasting.0, Action::Start(id));
                    }
                }
            }
            Fault::Pause { node, lasting } => self.freeze(NodeId(node), lasting.0),
            Fault::Suspend { node, lasting } => {
                if self.world.node(NodeId(node)).is_some() {
                    self.cluster.clock(NodeId(node)).suspend();
                }
                self.freeze(NodeId(node), lasting.0);
            }
            Fault::Partition { nodes, way, flapping, lasting } => {
                let links = self.links_between(&nodes, way);
                let until = Instant::now() + lasting.0;
                let every = flapping.map_or(lasting.0, |every| every.0);
                self.flap(links, Flap { every, until });
            }
            Fault::Noise { loss, duplicate, reorder, lasting } => {
                self.noise = Some((loss, duplicate, reorder));
                self.set_links();
                self.after(lasting.0, Action::Quiet);
            }
            Fault::SlowLinks { node, by, lasting } => {
                self.slow.insert(NodeId(node), by.0);
                self.set_links();
                self.after(lasting.0, Action::FastLinks(NodeId(node)));
            }
            Fault::SlowDisk { node, by, lasting } => {
                self.disks.slow_down(NodeId(node), by.0);
                self.after(lasting.0, Action::FastDisk(NodeId(node)));
            }
            Fault::FailedSync { node, lasting } => {
                self.state(NodeId(node)).down = Some(lasting.0);
                self.disks.fail_next_sync(NodeId(node));
            }
            Fault::FullDisk { node, lasting } => {
                self.state(NodeId(node)).down = Some(lasting.0);
                self.disks.fail_next_write(NodeId(node));
            }
            Fault::BitRot { node } => {
                if let Some(what) = self.disks.rot(NodeId(node)) {
                    self.world.tell(&format!("rotten on n{node}: {what}"));
                }
            }
            Fault::ClockStep { node, to } => {
                let lean = match to {
                    End::Fast => Lean::Fast,
                    End::Slow => Lean::Slow,
                };
                self.cluster.clock(NodeId(node)).set_offset(Offset::Adversarial(lean));
            }
            Fault::ClockLie { node, millis } => {
                let lie = Offset::Lie { offset_nanos: millis * 1_000_000, drift_ppm: 0 };
                self.cluster.clock(NodeId(node)).set_offset(lie);
            }
            Fault::OldFolder { node, age, lasting } => {
                let copied = self.disks.image(NodeId(node));
                let copy = copied.expect("all nodes have started once");
                self.after(age.0, Action::PutBack(NodeId(node), copy, lasting.0));
            }
            Fault::Transfer { range, replica } => self.transfer(range as usize, replica as usize),
            Fault::Split { table, at } => self.split(table, at),
        }
    }

    /// A node that runs stands still for so long.
    fn freeze(&mut self, id: NodeId, lasting: Duration) {
        if self.world.node(id).is_some() {
            let freezer = self.cluster.freezer(id).clone();
            freezer.freeze();
            self.after(lasting, Action::Thaw(id, freezer));
        }
    }

    /// It goes on, with its machine's clock: one that was suspended while it stood still is awake then.
    fn thaw(&self, id: NodeId, freezer: &Freezer) {
        self.cluster.clock(id).resume();
        freezer.thaw();
    }

    fn links_between(&self, nodes: &[u32], way: Way) -> Vec<(NodeId, NodeId)> {
        let ids = self.cluster.layout().iter().map(|spec| spec.id);
        let (inside, outside): (Vec<_>, Vec<_>) = ids.partition(|id| nodes.contains(&id.0));
        let pairs = inside.iter().flat_map(|a| outside.iter().map(move |b| (*a, *b)));
        pairs
            .flat_map(|(inner, outer)| match way {
                Way::Both => vec![(inner, outer), (outer, inner)],
                Way::Out => vec![(inner, outer)],
                Way::In => vec![(outer, inner)],
            })
            .collect()
    }

    fn flap(&mut self, links: Vec<(NodeId, NodeId)>, flap: Flap) {
        if Instant::now() >= flap.until {
            return;
        }
        for (from, to) in &links {
            let count = self.cuts.entry((*from, *to)).or_default();
            *count += 1;
            self.cluster.wan().cut(*from, *to);
        }
        self.after(flap.every, Action::Heal(links.clone()));
        self.after(2 * flap.every, Action::Cut(links, flap));
    }

    fn heal(&mut self, links: &[(NodeId, NodeId)]) {
        for (from, to) in links {
            let count = self.cuts.entry((*from, *to)).or_default();
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.cluster.wan().heal(*from, *to);
            }
        }
    }

    /// Every link as the topology has it, plus what is wrong now.
    fn set_links(&self) {
        let layout = self.cluster.layout();
        let (loss, duplicate, reorder) = self.noise.unwrap_or_default();
        for from in layout {
            for to in layout.iter().filter(|to| to.id != from.id) {
                let base = self.cluster.topology().path(from, to).one_way();
                let slower = [from.id, to.id].iter().filter_map(|id| self.slow.get(id)).sum();
                let spec = LinkSpec {
                    delay: base.delay.saturating_add(slower),
                    loss: base.loss.max(loss),
                    duplicate,
                    reorder,
                    ..base
                };
                self.cluster.wan().set_link(from.id, to.id, spec);
            }
        }
    }

    fn end_all(&mut self) {
        self.world.tell("all faults end");
        for (_, action) in std::mem::take(&mut self.agenda) {
            if let Action::Thaw(id, freezer) = action {
                self.thaw(id, &freezer);
            }
        }
        (self.noise, self.slow, self.cuts) = (None, BTreeMap::new(), BTreeMap::new());
        self.cluster.wan().heal_all();
        self.set_links();
        let ids: Vec<NodeId> = self.cluster.layout().iter().map(|spec| spec.id).collect();
        for id in ids {
            self.disks.slow_down(id, Duration::ZERO);
            self.start(id);
        }
    }

    /// An administrator, at home on a random node.
    fn admin(&mut self) -> Client {
        let layout = self.cluster.layout();
        let spec = &layout[self.rng.random_range(0..layout.len())];
        let home = (spec.id, spec.region.clone());
        let rng = ChaCha8Rng::seed_from_u64(self.rng.random());
        Client::new(self.world.clone(), ADMIN, home, rng)
    }

    fn transfer(&mut self, range: usize, replica: usize) {
        let mut admin = self.admin();
        let world = self.world.clone();
        self.admins.spawn(async move {
            let Ok(mut shown) = admin.execute_all("SHOW RANGES").await else { return };
            let Some(Execution::Rows { rows, .. }) = shown.pop() else { return };
            if rows.is_empty() {
                return;
            }
            let row = &rows[range % rows.len()];
            let (Datum::Int(range), Some(Datum::Text(replicas))) = (&row[0], row.get(6)) else {
                panic!("SHOW RANGES answers other columns: {row:?}");
            };
            let numbers = replicas.split(',').filter_map(|one| one.split_whitespace().next());
            let nodes: Vec<u32> = numbers.filter_map(|number| number.parse().ok()).collect();
            assert!(!nodes.is_empty(), "no replicas in {replicas:?}");
            let to = nodes[replica % nodes.len()];
            let text = format!("ALTER RANGE {range} TRANSFER LEADER TO NODE {to}");
            let done = admin.execute_all(&text).await.is_ok();
            world.tell(&format!(
                "range {range} to n{to}: {}",
                if done { "done" } else { "refused" }
            ));
            admin.hang_up().await;
        });
    }

    fn split(&mut self, table: u32, at: u32) {
        let mut admin = self.admin();
        let (_, prefix) = Workload::ALL[table as usize % Workload::ALL.len()];
        let home = table % TABLES;
        let (kind, more) = [("register", ""), ("list", ""), ("set", ", 0")][(at % 3) as usize];
        let text = format!("ALTER TABLE {kind}{home} SPLIT AT VALUES ('{prefix}/{at}'{more})");
        let world = self.world.clone();
        self.admins.spawn(async move {
            let done = admin.execute_all(&text).await.is_ok();
            world.tell(&format!("{text}: {}", if done { "done" } else { "refused" }));
            admin.hang_up().await;
        });
    }
}
