//! A cluster in virtual time, on one thread, from one seed: clients, faults, and a history to judge.
//!
//! ```text
//!   seed ──┬─► clocks, network, disks, randomness of every node ─┐
//!          ├─► a plan of faults ─────────────► Injector ─────────┤► the very nodes that `meridian
//!          └─► what clients do ──► Client, Client, ... ── SQL ───┘  start` runs
//!                                     │
//!                                     └──► History ──► checker
//! ```
//!
//! A run has two phases. In the first there are faults and clients. Then all faults end and the
//! cluster must make progress: every client ends, every node serves reads and writes of every
//! table, all replicas agree, every index agrees with its table, no lock is left. If it does not, the
//! run fails and says what it waits for.
//!
//! Virtual time stands still while any task can run, and jumps to the next timer when none can; so
//! the same seed takes the same way, bit for bit, and [`Report::trace`] is the proof.

mod client;
mod disks;
pub mod faults;
mod injector;
pub mod judge;
pub mod mode;
pub mod probe;
pub mod scenario;
mod settle;
mod temper;
pub mod workload;
mod world;

use std::{sync::Arc, time::Duration};

use checker::{History, Model, Outcome, World as Known};
use clock::{Lean, Offset, Uncertainty};
use net::{ClusterId, Pace};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use timer::{Tick, sleep};
use tokio::task::JoinSet;

use crate::{Cluster, ClusterError, ClusterOptions, Topology, Trace, TraceSum, time};
use client::Client;
use disks::Disks;
use faults::{FaultKinds, Planned};
use injector::Injector;
use mode::Mode;
use probe::Probe;
use temper::Temper;
use workload::{Shop, Workload};
use world::World;

/// Tables of each kind, each led in a region of its own where there are as many.
pub const TABLES: u32 = 3;

/// How often progress is reported, in virtual time.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// The lie of the mode `lying-clock`: below the tolerance of T2, beyond any ε of a shipped topology.
const LIE: Offset = Offset::Lie { offset_nanos: 300_000_000, drift_ppm: 0 };

/// What a run is.
#[derive(Clone, Debug)]
pub struct Options {
    /// Everything random comes from this.
    pub seed: u64,
    /// The shape of the cluster.
    pub topology: Topology,
    /// Nodes per region; `None`: as the topology says.
    pub nodes_per_region: Option<usize>,
    /// How long the first phase takes, in virtual time.
    pub duration: Duration,
    /// What clients do.
    pub workloads: Vec<Workload>,
    /// How many clients there are.
    pub clients: usize,
    /// Transactions begun per virtual second, all clients together, if the cluster keeps up.
    pub rate: f64,
    /// Which faults are drawn, if there is no plan.
    pub faults: FaultKinds,
    /// Faults written down.
    pub plan: Option<Vec<Planned>>,
    /// Statements that must succeed, or fail, at their time.
    pub probes: Vec<Probe>,
    /// What the history is held against.
    pub model: Model,
    /// ε of all clocks; `None`: the topology's clocks.
    pub epsilon: Option<Duration>,
    /// Whether every clock is as far off as it may be, rather than as is drawn.
    pub skewed: bool,
    /// How far back stale reads look, at most.
    pub staleness: Duration,
    /// What is broken on purpose.
    pub mode: Mode,
    /// How long a leader's lease lasts; `None`: as shipped, or as drawn.
    pub lease: Option<Duration>,
    /// How often leaders close time, whether they write or not; `None`: as shipped, or as drawn.
    pub close: Option<Duration>,
    /// Whether settings are drawn from the seed, rather than as shipped.
    pub tempered: bool,
    /// The tick of virtual time: all that happens within one happens at its end.
    pub tick: Tick,
}

impl Options {
    /// A run with all workloads and faults over three regions of three nodes each.
    #[must_use]
    pub fn new(seed: u64, topology: Topology) -> Options {
        Options {
            seed,
            topology,
            nodes_per_region: None,
            duration: Duration::from_secs(60),
            workloads: Workload::ALL.iter().map(|(workload, _)| *workload).collect(),
            clients: 18,
            rate: 40.0,
            faults: FaultKinds::all(),
            plan: None,
            probes: Vec::new(),
            model: Model::StrictSerializable,
            epsilon: None,
            skewed: false,
            staleness: workload::STALENESS,
            mode: Mode::default(),
            lease: None,
            close: None,
            tempered: true,
            tick: Tick::MILLISECOND,
        }
    }
}

/// How far a run has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Virtual time.
    pub virtual_time: Duration,
    /// Operations recorded.
    pub operations: usize,
}

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// Every frame sent and every operation, folded into one number.
    pub trace: TraceSum,
    /// What clients did.
    pub history: History,
    /// What was done to the cluster, line by line.
    pub story: Vec<String>,
    /// What the cluster waits for that should have made progress; empty: it did.
    pub stuck: Vec<String>,
    /// Probes that were answered otherwise than they must be.
    pub missed: Vec<String>,
    /// What the history is to be held against.
    pub model: Model,
    /// Virtual time, from the boot to the end.
    pub virtual_time: Duration,
}

impl Report {
    /// How many operations ended this way.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.history.ops.iter().filter(|op| op.outcome == outcome).count()
    }
}

/// Runs a simulation to its end.
///
/// # Errors
/// If the cluster does not start.
///
/// # Panics
/// If a node's code panics: a violated invariant.
pub fn run(options: &Options, progress: &mut dyn FnMut(Progress)) -> Result<Report, ClusterError> {
    timer::with_tick(options.tick, || run_here(options, progress))
}

fn run_here(options: &Options, progress: &mut dyn FnMut(Progress)) -> Result<Report, ClusterError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime of one thread needs no resources");
    runtime.block_on(simulate(options, progress))
}

async fn simulate(
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, ClusterError> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let trace = Trace::begin();
    let disks = Disks::new(rng.random(), options.mode.sync());
    let cluster = start(options, &mut rng, &disks, &trace).await?;
    let layout = cluster.layout().to_vec();
    let plan = match &options.plan {
        Some(plan) => plan.clone(),
        None => faults::draw(&mut rng, &layout, &options.faults, options.duration),
    };
    let world = World::begin();
    let injector_rng = ChaCha8Rng::seed_from_u64(rng.random());
    let mut injector = Injector::new(cluster, world.clone(), disks, injector_rng);
    let shop = Shop::new(options.mode.isolation(), options.staleness);
    let mut crew = Crew { world: world.clone(), layout, shop, rng };
    crew.prepare(&options.workloads).await;
    injector.plan(&plan, options.duration);
    let scenario = crew.work(options, progress);
    let (stuck, missed) = tokio::select! {
        biased;
        ended = scenario => ended,
        () = injector.run() => unreachable!("it never ends"),
    };
    injector.stop().await;
    let operations = world.operations();
    for operation in &operations {
        trace.note(format!("{operation:?}").as_bytes());
    }
    Ok(Report {
        seed: options.seed,
        trace: trace.sum(),
        history: History { ops: operations, world: Known::Closed, ..History::default() },
        story: world.story(),
        stuck,
        missed,
        model: options.model,
        virtual_time: Duration::from_nanos(world.now().0),
    })
}

async fn start(
    options: &Options,
    rng: &mut ChaCha8Rng,
    disks: &Disks,
    trace: &Trace,
) -> Result<Cluster, ClusterError> {
    let mut topology = options.topology.clone();
    if let Some(epsilon) = options.epsilon {
        // Too wide a one is refused with the rest of the clocks.
        topology.clock.uncertainty =
            if epsilon.is_zero() { Uncertainty::Zero } else { Uncertainty::Fixed { epsilon } };
        topology.clock_overrides.clear();
    }
    // How far off clocks are is drawn per run, and which way per node.
    let drawn = rng.random_range(0..3);
    let offsets = if options.skewed { 2 } else { drawn };
    let layout = topology.node_layout(options.nodes_per_region);
    topology.check_clocks(&layout).map_err(ClusterError::Clocks)?;
    for spec in &layout {
        let mut config = topology.clock;
        let lean = if rng.random() { Lean::Fast } else { Lean::Slow };
        config.offset = [Offset::Uniform, Offset::Walk, Offset::Adversarial(lean)][offsets];
        topology.clock_overrides.entry(spec.id).or_insert(config);
    }
    if options.mode.lies() {
        let liar = layout[rng.random_range(0..layout.len())].id;
        let config = topology.clock_overrides.get_mut(&liar).expect("all nodes have one");
        config.offset = LIE;
    }
    let opened = disks.clone();
    let mode = options.mode;
    let mut temper = if options.tempered { Temper::draw(rng) } else { Temper::default() };
    temper.lease = options.lease.or(temper.lease);
    if options.tempered && options.mode == Mode::default() {
        // From randomness of its own, so that a seed's other settings are what they are without it.
        temper.follow = Temper::draw_follow(&mut ChaCha8Rng::seed_from_u64(!options.seed));
    }
    temper.close_always = options.close;
    let cluster = Cluster::start(ClusterOptions {
        topology,
        nodes_per_region: options.nodes_per_region,
        replication: node::DEFAULT_REPLICATION,
        cluster: ClusterId(7),
        seed: rng.random(),
        pace: Pace::Virtual,
        time: time::simulated(),
        commit_wait: options.mode.commit_wait(),
        control: sql::control::NoControl::shared(),
        engines: Arc::new(move |id| Ok(opened.open(id))),
        sql_address: Box::new(|_| String::new()),
        trace: Some(trace.clone()),
        tune: Box::new(move |config| {
            temper.apply(config);
            mode.tune(config);
        }),
    })
    .await?;
    for spec in cluster.layout() {
        cluster.clock(spec.id).set_rules(mode.clock_rules());
    }
    cluster.boot().await?;
    Ok(cluster)
}

/// The clients of a run.
struct Crew {
    world: World,
    layout: Vec<crate::NodeSpec>,
    shop: Shop,
    rng: ChaCha8Rng,
}

impl Crew {
    fn client(&mut self, process: u64, nth: usize) -> Client {
        // Spread over regions first: clients of a region share its nodes.
        let spec = &self.layout[nth % self.layout.len()];
        let home = (spec.id, spec.region.clone());
        let rng = ChaCha8Rng::seed_from_u64(self.rng.random());
        Client::new(self.world.clone(), process, home, rng)
    }

    /// A client of a node, by its number.
    fn client_of(&mut self, node: u32) -> Client {
        let nth = self.layout.iter().position(|spec| spec.id.0 == node).expect("it was checked");
        self.client(0, nth)
    }

    /// Before there are faults: tables, each made by a client of the region that is to lead it.
    async fn prepare(&mut self, workloads: &[Workload]) {
        let regions = self.layout.len();
        for home in 0..TABLES {
            let nth = home as usize * regions / TABLES as usize;
            let mut client = self.client(0, nth);
            client.insist(&workload::schema(home)).await;
            if workloads.contains(&Workload::Unique) {
                client.insist(&workload::unique_schema(home)).await;
            }
            client.hang_up().await;
        }
        let mut client = self.client(0, 0);
        workload::prepare(&self.shop, &mut client).await;
        client.hang_up().await;
    }

    /// The probes of a run, each asked by a client of its own.
    fn probes(&mut self, options: &Options) -> JoinSet<Option<String>> {
        let mut probes = JoinSet::new();
        for probe in options.probes.iter().cloned() {
            let client = self.client_of(probe.node);
            let world = self.world.clone();
            probes.spawn(async move { probe.ask(client, &world).await });
        }
        probes
    }

    /// Both phases. Answers what the cluster waits for, and the probes that were missed.
    async fn work(
        &mut self,
        options: &Options,
        progress: &mut dyn FnMut(Progress),
    ) -> (Vec<String>, Vec<String>) {
        let probes = self.probes(options);
        let end = self.world.now().0 + options.duration.as_nanos() as u64;
        let mut clients = JoinSet::new();
        for nth in 0..options.clients {
            let client = self.client(nth as u64 + 1, nth);
            let workload = options.workloads[nth % options.workloads.len()];
            let mean = Duration::from_secs_f64(options.clients as f64 / options.rate);
            let (shop, world) = (self.shop.clone(), self.world.clone());
            let workloads = options.workloads.clone();
            clients.spawn(one_client(client, workload, workloads, shop, world, mean, end));
        }
        let ended = async {
            while let Some(ended) = clients.join_next().await {
                if let Err(error) = ended {
                    std::panic::resume_unwind(error.into_panic());
                }
            }
        };
        let reports = async {
            loop {
                sleep(PROGRESS_EVERY).await;
                let virtual_time = Duration::from_nanos(self.world.now().0);
                progress(Progress { virtual_time, operations: self.world.recorded() });
            }
        };
        let patience = options.duration + settle::PATIENCE;
        let ended = tokio::select! {
            biased;
            ended = timer::timeout(patience, ended) => ended,
            () = reports => unreachable!("it never ends"),
        };
        if ended.is_err() {
            clients.shutdown().await;
            return (vec!["clients that never heard an answer".to_owned()], Vec::new());
        }
        let missed = probes.join_all().await.into_iter().flatten().collect();
        self.world.tell("all clients have ended");
        (settle::settle(self, &options.workloads).await, missed)
    }
}

/// Steps until the end, with pauses of this mean.
async fn one_client(
    mut client: Client,
    first: Workload,
    workloads: Vec<Workload>,
    shop: Shop,
    world: World,
    mean: Duration,
    end: u64,
) {
    let mut workload = first;
    while world.now().0 < end {
        let pause = mean.mul_f64(client.rng.random_range(0.0..2.0));
        sleep(pause).await;
        workload::step(workload, &shop, &mut client).await;
        workload = workloads[client.rng.random_range(0..workloads.len())];
    }
    client.hang_up().await;
}
