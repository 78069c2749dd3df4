//! A whole cluster in one process: every node of a topology over the simulated network.
//!
//! The demo runs it live, the simulator in virtual time; both run the very node that `meridian
//! start` runs alone. What differs comes in from outside: the pace of time, and who opens a node's
//! engine ([`EngineFactory`]).
//!
//! ```text
//!   Topology ─► SimWan (disarmed) ─┐
//!   seed ─────► clocks, randomness ├─► node::Node ×N ─► ranges have leaders ─► arm the WAN
//!   factory ──► engines, disks ────┘
//! ```
//!
//! The network is armed only once the cluster has booted: booting costs dozens of round trips, and
//! nobody wants to watch them at 146 ms each.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use clock::{Freezer, SwitchableClock, TrueTime};
use keys::NodeId;
use net::{ClusterId, Pace, SharedTransport, SimWan};
use node::{
    ClockGuard, Member, Node, NodeConfig, Seams, Seed, StartError,
    disk::Disk,
    readers::{ReadPool, Readers, VirtualReaders},
};
use range::CommitWait;
use storage::Engine;
use timer::{Instant, sleep};

use crate::{NodeSpec, Settings, Topology, Trace};

/// How long a cluster may take to boot before it is given up.
const BOOT_PATIENCE: Duration = Duration::from_secs(30);
/// How often the boot looks whether the cluster serves.
const BOOT_LOOK: Duration = Duration::from_millis(20);

/// Opens a node's engine, at its first start and at each restart.
pub type EngineFactory =
    dyn Fn(NodeId) -> Result<(Arc<dyn Engine>, Arc<dyn Disk>), String> + Send + Sync;

/// What makes a cluster.
pub struct ClusterOptions {
    /// The shape.
    pub topology: Topology,
    /// Nodes per region; `None`: as the topology says.
    pub nodes_per_region: Option<usize>,
    /// Voters per range.
    pub replication: usize,
    /// The cluster's id.
    pub cluster: ClusterId,
    /// Everything random is drawn from this.
    pub seed: u64,
    /// Real or virtual time.
    pub pace: Pace,
    /// The true time, by the same pace.
    pub time: TrueTime,
    /// Whether commits wait (T4); off only as an experiment.
    pub commit_wait: CommitWait,
    /// The knobs that SQL may turn; [`sql::control::NoControl`] if none.
    pub control: Arc<dyn sql::control::Control>,
    /// Opens engines.
    pub engines: Arc<EngineFactory>,
    /// Where clients reach each node, for `SHOW NODES`; empty if they do not.
    pub sql_address: Box<dyn Fn(NodeId) -> String + Send + Sync>,
    /// Where every frame is traced; `None`: nowhere.
    pub trace: Option<Trace>,
    /// Changes the configuration of each node, at the last.
    pub tune: Box<dyn Fn(&mut NodeConfig) + Send + Sync>,
}

/// Why a cluster did not come up.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Its topology gives nodes clocks that cannot be.
    #[error("{0}")]
    Clocks(String),
    /// A node's engine could not be opened.
    #[error("{node}: {why}")]
    Engine {
        /// The node.
        node: NodeId,
        /// Why.
        why: String,
    },
    /// A node could not start.
    #[error("{node}: {error}")]
    Start {
        /// The node.
        node: NodeId,
        /// Why.
        error: StartError,
    },
    /// The nodes run, but SQL does not answer.
    #[error("the cluster did not come up within {}: {last}", clock::format_duration(BOOT_PATIENCE))]
    NotServing {
        /// What the last attempt said.
        last: String,
    },
}

/// A running cluster.
pub struct Cluster {
    options: ClusterOptions,
    layout: Vec<NodeSpec>,
    members: Vec<Member>,
    wan: Arc<SimWan>,
    /// Who carries out long reads, for all nodes.
    readers: Arc<dyn Readers>,
    clocks: BTreeMap<NodeId, Arc<SwitchableClock>>,
    nodes: BTreeMap<NodeId, Node>,
    /// How often each node was started: a new life draws new random numbers.
    lives: BTreeMap<NodeId, u64>,
    /// What freezes each node in its present life.
    freezers: BTreeMap<NodeId, Freezer>,
    /// Nodes where commit-wait is not what it was at birth.
    commit_waits: BTreeMap<NodeId, CommitWait>,
    /// Nodes whose clock guard was turned off or on.
    clock_guards: BTreeMap<NodeId, ClockGuard>,
}

impl Cluster {
    /// Starts all nodes; the network is not armed yet.
    ///
    /// # Errors
    /// If its clocks cannot be, or a node cannot start.
    pub async fn start(options: ClusterOptions) -> Result<Cluster, ClusterError> {
        let layout = options.topology.node_layout(options.nodes_per_region);
        options.topology.check_clocks(&layout).map_err(ClusterError::Clocks)?;
        let wan = options.topology.build_wan(&layout, options.pace, options.seed);
        let readers: Arc<dyn Readers> = match options.pace {
            Pace::Virtual => Arc::new(VirtualReaders::default()),
            Pace::Live => Arc::new(ReadPool::start(cores()).expect("threads for long reads")),
        };
        let member = |spec: &NodeSpec| Member {
            id: spec.id,
            region: spec.region.clone(),
            zone: spec.zone.clone(),
            address: "in-process".to_owned(),
            sql_address: (options.sql_address)(spec.id),
        };
        let members = layout.iter().map(member).collect();
        let clock = |spec: &NodeSpec| {
            (spec.id, options.topology.build_clock(spec.id, &options.time, options.seed))
        };
        let clocks = layout.iter().map(clock).collect();
        let (nodes, lives, freezers) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut cluster = Cluster {
            layout,
            members,
            wan,
            readers,
            clocks,
            nodes,
            lives,
            freezers,
            commit_waits: BTreeMap::new(),
            clock_guards: BTreeMap::new(),
            options,
        };
        let ids: Vec<NodeId> = cluster.layout.iter().map(|spec| spec.id).collect();
        for id in ids {
            cluster.start_node(id).await?;
        }
        Ok(cluster)
    }

    /// Starts a node that does not run, on what its disk has.
    ///
    /// # Errors
    /// If its engine or the node refuses.
    ///
    /// # Panics
    /// If it runs, or is no node of this cluster.
    pub async fn start_node(&mut self, id: NodeId) -> Result<(), ClusterError> {
        let node = self.launch(id)?.await?;
        self.adopt(node);
        Ok(())
    }

    /// Begins a node's life: the future resolves once the node runs, and [`Cluster::adopt`] then
    /// takes it in. Dropping the future instead is a crash; [`Cluster::crash`] must follow.
    ///
    /// # Errors
    /// If its engine refuses; the future, if the node does.
    ///
    /// # Panics
    /// If it runs, or is no node of this cluster.
    pub fn launch(
        &mut self,
        id: NodeId,
    ) -> Result<impl Future<Output = Result<Node, ClusterError>> + Send + use<>, ClusterError> {
        assert!(!self.nodes.contains_key(&id), "{id} runs already");
        let spec = self.spec(id).clone();
        let opened = (self.options.engines)(id);
        let (engine, disk) = opened.map_err(|why| ClusterError::Engine { node: id, why })?;
        let (transport, inbox) = self.wan.attach(id, &spec.region);
        let transport: SharedTransport = match &self.options.trace {
            Some(trace) => trace.tap(transport),
            None => transport,
        };
        let life = self.lives.entry(id).or_default();
        *life += 1;
        let seed = Seed(mix(self.options.seed, u64::from(id.0), *life));
        let clock = Arc::clone(&self.clocks[&id]);
        let control = Arc::clone(&self.options.control);
        let readers = Arc::clone(&self.readers);
        let seams = Seams { clock, transport, inbox, engine, disk, readers, seed, control };
        let freezer = Freezer::default();
        let start = freezer.wrap(Node::start(self.node_config(&spec, seed), seams));
        self.freezers.insert(id, freezer);
        Ok(async move { start.await.map_err(|error| ClusterError::Start { node: id, error }) })
    }

    /// Takes in a node whose launch is over.
    pub fn adopt(&mut self, node: Node) {
        self.nodes.insert(node.id(), node);
    }

    /// What freezes a node in its present life.
    ///
    /// # Panics
    /// If it was never started.
    #[must_use]
    pub fn freezer(&self, id: NodeId) -> &Freezer {
        &self.freezers[&id]
    }

    fn node_config(&self, spec: &NodeSpec, seed: Seed) -> NodeConfig {
        let round_trip = |other: &NodeSpec| (other.id, self.options.topology.path(spec, other).rtt);
        let mut config = NodeConfig::new(spec.id, self.options.cluster, self.members.clone());
        config.expected_round_trips = self.layout.iter().map(round_trip).collect();
        config.replication = self.options.replication;
        config.sql.seed = seed.0;
        config.range.commit_wait = self.commit_wait(spec.id);
        apply_settings(&mut config, &self.options.topology.settings);
        (self.options.tune)(&mut config);
        if let Some(guard) = self.clock_guards.get(&spec.id) {
            config.clock_guard = *guard;
        }
        config
    }

    fn spec(&self, id: NodeId) -> &NodeSpec {
        let mut specs = self.layout.iter();
        specs.find(|spec| spec.id == id).unwrap_or_else(|| panic!("there is no node {id}"))
    }

    /// Waits until SQL answers on every node, then arms the network.
    ///
    /// # Errors
    /// If it does not in time.
    pub async fn boot(&self) -> Result<(), ClusterError> {
        let deadline = Instant::now() + BOOT_PATIENCE;
        for node in self.nodes.values() {
            loop {
                let Err(last) = answers(node).await else { break };
                if Instant::now() >= deadline {
                    return Err(ClusterError::NotServing { last });
                }
                sleep(BOOT_LOOK).await;
            }
        }
        self.wan.arm();
        Ok(())
    }

    /// Stops a node as a crash does: nothing is flushed, what is on the way to it is lost. Nothing
    /// happens to the tasks of a node that does not run yet, or no more.
    pub async fn crash(&mut self, id: NodeId) {
        self.wan.detach(id);
        if let Some(node) = self.nodes.remove(&id) {
            node.stop().await;
        }
    }

    /// Stops all nodes.
    pub async fn stop(mut self) {
        for (id, node) in std::mem::take(&mut self.nodes) {
            self.wan.detach(id);
            node.stop().await;
        }
    }

    /// Turns commit-wait on or off at these nodes, in their lives to come as well.
    pub async fn set_commit_wait(&mut self, nodes: &[NodeId], commit_wait: CommitWait) {
        for id in nodes {
            self.commit_waits.insert(*id, commit_wait);
            if let Some(node) = self.nodes.get(id)
                && !self.freezers[id].is_frozen()
            {
                node.set_commit_wait(commit_wait).await;
            }
        }
    }

    /// Whether commits wait at a node's ranges.
    #[must_use]
    pub fn commit_wait(&self, id: NodeId) -> CommitWait {
        self.commit_waits.get(&id).copied().unwrap_or(self.options.commit_wait)
    }

    /// Whether commits waited when the cluster was made.
    #[must_use]
    pub fn commit_wait_at_birth(&self) -> CommitWait {
        self.options.commit_wait
    }

    /// Turns the clock guard of these nodes on or off, in their lives to come as well.
    pub fn set_clock_guard(&mut self, nodes: &[NodeId], guard: ClockGuard) {
        for id in nodes {
            self.clock_guards.insert(*id, guard);
            if let Some(node) = self.nodes.get(id) {
                node.set_clock_guard(guard);
            }
        }
    }

    /// Whether a node's clock guard is on.
    #[must_use]
    pub fn clock_guard(&self, id: NodeId) -> ClockGuard {
        self.clock_guards.get(&id).copied().unwrap_or(ClockGuard::On)
    }

    /// The network.
    #[must_use]
    pub fn wan(&self) -> &Arc<SimWan> {
        &self.wan
    }

    /// Where the nodes are.
    #[must_use]
    pub fn layout(&self) -> &[NodeSpec] {
        &self.layout
    }

    /// The topology.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.options.topology
    }

    /// A node's clock, with its knobs.
    ///
    /// # Panics
    /// If there is no such node.
    #[must_use]
    pub fn clock(&self, id: NodeId) -> &Arc<SwitchableClock> {
        &self.clocks[&id]
    }

    /// The nodes that run, by id.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// A running node.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }
}

/// What the settings of a file mean for a node.
pub fn apply_settings(config: &mut NodeConfig, settings: &Settings) {
    config.range.paxos.lease = settings.lease;
    config.range.retention = settings.retention;
    config.range.close_active = settings.close_lag;
    config.shards = settings.shards.unwrap_or(config.shards);
    config.leaders = settings.leaders.unwrap_or(config.leaders);
}

/// Cores that this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// One statement that needs the catalog, and so the system range.
async fn answers(node: &Node) -> Result<(), String> {
    let options = sql::SessionOptions::default();
    let mut session = node.database().session(options).map_err(|error| error.to_string())?;
    let answered = session.simple("SHOW TABLES", &mut |_| {}).await;
    session.close().await;
    answered.map_err(|error| error.to_string())
}

/// Three numbers into one, each bit of which depends on all of theirs (splitmix64's finisher).
fn mix(seed: u64, node: u64, life: u64) -> u64 {
    let mut z = seed ^ node.rotate_left(40) ^ life.rotate_left(20);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
