//! A cluster to measure: in virtual time, with every delay known.
//!
//! Nothing in a lab takes time but what its [`Setup`] says does: links, syncs of disks, commit-wait,
//! the work on messages. So a figure is exact, comes out the same on every machine, and can be
//! explained to the microsecond.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use clock::{Clock as _, Freezer, Offset, Timestamp, Uncertainty};
use keys::{NodeId, RangeId};
use net::{ClusterId, Pace};
use node::{
    Work,
    disk::{Disk, VirtualDisk},
};
use range::CommitWait;
use sim_regions::{Cluster, ClusterError, ClusterOptions, NodeSpec, Topology, time};
use sql::{Datum, Execution, Session, SessionOptions, SqlError};
use storage::{Engine, memory};
use timer::{Instant, Tick, sleep};
use tracing_subscriber::layer::SubscriberExt;
use txn::CommitInfo;

use crate::Options;

/// What a lab is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Regions, links and clocks.
    pub topology: Topology,
    /// Nodes per region; `None`: as the topology says.
    pub nodes_per_region: Option<usize>,
    /// Voters per range.
    pub replication: usize,
    /// ε of all clocks; `None`: as the topology says.
    pub uncertainty: Option<Uncertainty>,
    /// Where in its interval each clock is.
    pub offset: Offset,
    /// Whether commits wait (T4).
    pub commit_wait: CommitWait,
    /// How long a lease lasts; `None`: as the topology says.
    pub lease: Option<Duration>,
    /// How long a sync of a disk takes.
    pub sync: Duration,
    /// What computation costs.
    pub work: Work,
    /// Whether timelines are kept, of the sessions that ask for it (`SET trace = on`).
    pub traced: bool,
    /// Everything random is drawn from this.
    pub seed: u64,
}

/// How long a sync takes unless an experiment says otherwise: a good disk's.
pub const SYNC: Duration = Duration::from_micros(500);

/// The columns of `SHOW RANGES` that tell the range, its leader and its voters.
const RANGE: usize = 0;
const LEADER: usize = 4;
const VOTERS: usize = 6;

/// The columns of `SHOW TRACE` that tell what kind of span it is, and its notes.
const KIND: usize = 2;
const NOTES: usize = 8;

/// How long a node of the lab may take to answer itself.
const PATIENCE: Duration = Duration::from_secs(1);

/// The tick of all labs: a fiftieth of the shortest delay that an experiment looks at.
pub const TICK: Duration = Duration::from_micros(10);

impl Setup {
    /// A lab of this shape with honest clocks, anywhere in their intervals. Work takes the time that
    /// was chosen, or none.
    #[must_use]
    pub fn new(topology: Topology, options: &Options) -> Setup {
        Setup {
            topology,
            nodes_per_region: None,
            replication: node::DEFAULT_REPLICATION,
            uncertainty: None,
            offset: Offset::Uniform,
            commit_wait: CommitWait::On,
            lease: None,
            sync: SYNC,
            work: options.work(Duration::ZERO),
            traced: false,
            seed: options.seed,
        }
    }

    /// The same with ε = `epsilon` for good.
    ///
    /// # Panics
    /// If ε is beyond what a clock may claim.
    #[must_use]
    pub fn epsilon(mut self, epsilon: Duration) -> Setup {
        self.uncertainty = Some(Uncertainty::fixed(epsilon).expect("an ε that a clock may claim"));
        self
    }

    /// Builds the cluster, lets the story happen to it, and takes it down.
    ///
    /// # Errors
    /// If the cluster does not start.
    pub fn run<T>(&self, story: impl AsyncFnOnce(&mut Lab) -> T) -> Result<T, ClusterError> {
        let tick = Tick::new(TICK).expect("it divides a millisecond");
        let traces = trace::Collector::default();
        let listener = || tracing_subscriber::registry().with(traces.layer());
        let _listening = self.traced.then(|| tracing::subscriber::set_default(listener()));
        timer::with_tick(tick, || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .expect("a runtime of one thread needs no resources");
            runtime.block_on(async {
                let mut lab = Lab { cluster: self.boot(traces).await?, began: Instant::now() };
                let told = story(&mut lab).await;
                lab.cluster.stop().await;
                Ok(told)
            })
        })
    }

    async fn boot(&self, traces: trace::Collector) -> Result<Cluster, ClusterError> {
        let mut topology = self.topology.clone();
        topology.clock.uncertainty = self.uncertainty.unwrap_or(topology.clock.uncertainty);
        topology.clock.offset = self.offset;
        topology.clock_overrides.clear();
        topology.settings.lease = self.lease.unwrap_or(topology.settings.lease);
        let disks = Mutex::new(BTreeMap::<NodeId, memory::Disk>::new());
        let (sync, work) = (self.sync, self.work);
        let cluster = Cluster::start(ClusterOptions {
            topology,
            nodes_per_region: self.nodes_per_region,
            replication: self.replication,
            cluster: ClusterId(7),
            seed: self.seed,
            pace: Pace::Virtual,
            time: time::simulated(),
            commit_wait: self.commit_wait,
            control: sql::control::NoControl::shared(),
            engines: Arc::new(move |id| {
                let mut disks = disks.lock().expect("nobody panics with it");
                let disk = disks.entry(id).or_default();
                let engine: Arc<dyn Engine> = Arc::new(disk.crash_losing_unsynced());
                let disk: Arc<dyn Disk> =
                    Arc::new(VirtualDisk { engine: Arc::clone(&engine), latency: sync });
                Ok((engine, disk))
            }),
            sql_address: Box::new(|_| String::new()),
            trace: None,
            tune: Box::new(move |config| {
                config.work = work;
                config.traces = traces.clone();
                config.range.paxos.renew_every = config.range.paxos.lease / 3;
            }),
        })
        .await?;
        cluster.boot().await?;
        Ok(cluster)
    }
}

/// A cluster that runs, as experiments see it.
pub struct Lab {
    cluster: Cluster,
    began: Instant,
}

impl Lab {
    /// The cluster, for what is to happen to it.
    pub fn cluster(&mut self) -> &mut Cluster {
        &mut self.cluster
    }

    /// What makes a node stand still for a while.
    #[must_use]
    pub fn freezer(&self, node: NodeId) -> &Freezer {
        self.cluster.freezer(node)
    }

    /// The shape of the cluster.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        self.cluster.topology()
    }

    /// The nodes.
    #[must_use]
    pub fn layout(&self) -> &[NodeSpec] {
        self.cluster.layout()
    }

    /// Time since the cluster was up.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// The true time, in nanoseconds since 1970: what no node knows.
    #[must_use]
    pub fn true_nanos(&self) -> u64 {
        self.cluster.clock(self.layout()[0].id).true_nanos()
    }

    /// Half of a node's uncertainty interval, now.
    #[must_use]
    pub fn epsilon(&self, node: NodeId) -> Duration {
        let now = self.cluster.clock(node).now();
        Duration::from_nanos((now.latest - now.earliest) / 2)
    }

    /// The regions and the first node of each.
    #[must_use]
    pub fn gateways(&self) -> Vec<(String, NodeId)> {
        let mut found: Vec<(String, NodeId)> = Vec::new();
        for spec in self.cluster.layout() {
            if found.iter().all(|(region, _)| *region != spec.region) {
                found.push((spec.region.clone(), spec.id));
            }
        }
        found
    }

    /// The leaders of a table's ranges, in the order of their keys.
    ///
    /// # Panics
    /// If a range has none that is known.
    pub async fn leaders(&self, table: &str) -> Vec<NodeId> {
        let text = format!("SHOW RANGES FROM TABLE {table}");
        let numbers = self.numbers(&text, LEADER).await.into_iter();
        numbers.map(|node| NodeId(u32::try_from(node).expect("nodes are few"))).collect()
    }

    /// A table's ranges, in the order of their keys.
    pub async fn ranges(&self, table: &str) -> Vec<RangeId> {
        let numbers = self.numbers(&format!("SHOW RANGES FROM TABLE {table}"), RANGE).await;
        numbers.into_iter().map(|id| RangeId(u64::try_from(id).expect("above zero"))).collect()
    }

    /// The time up to which a node's replica of a range serves reads by itself.
    ///
    /// # Panics
    /// If the node has none.
    pub async fn safe_time(&self, node: NodeId, range: RangeId) -> Timestamp {
        let node = self.cluster.node(node).expect("it runs");
        node.replica(range, PATIENCE).await.expect("it has a replica").safe_time
    }

    /// The voters of a table's first range.
    ///
    /// # Panics
    /// If it has no range.
    pub async fn voters(&self, table: &str) -> Vec<NodeId> {
        let rows = self.rows(&format!("SHOW RANGES FROM TABLE {table}")).await;
        let Datum::Text(voters) = &rows[0][VOTERS] else { panic!("voters are told as text") };
        let number = |voter: &str| voter.split(' ').next().and_then(|number| number.parse().ok());
        voters.split(", ").map(|voter| NodeId(number(voter).expect("a node's number"))).collect()
    }

    /// All ranges, also those with the catalog.
    pub async fn all_ranges(&self) -> Vec<i64> {
        self.numbers("SHOW RANGES", RANGE).await
    }

    /// A column of numbers.
    async fn numbers(&self, text: &str, column: usize) -> Vec<i64> {
        let number = |row: &sql::Row| match row[column] {
            Datum::Int(number) => number,
            ref other => panic!("a number, not {other:?}"),
        };
        self.rows(text).await.iter().map(number).collect()
    }

    async fn rows(&self, text: &str) -> Vec<sql::Row> {
        let asked = self.cluster.nodes().last().expect("a node runs").id();
        let mut client = self.client(asked);
        let answered = client.run(text).await;
        client.hang_up().await;
        let Execution::Rows { rows, .. } = answered.execution else { panic!("SHOW has rows") };
        rows
    }

    /// A client beside a node.
    ///
    /// # Panics
    /// If the node does not run, or takes no more sessions.
    #[must_use]
    pub fn client(&self, node: NodeId) -> Client {
        let node = self.cluster.node(node).expect("it runs");
        let session = node.database().session(SessionOptions::default()).expect("there is room");
        Client { session, distance: Duration::ZERO }
    }
}

/// A client with a session of its own.
pub struct Client {
    session: Session,
    distance: Duration,
}

/// How a read was served.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// By which node's replica.
    pub node: NodeId,
    /// What it waited there, for safe time mostly.
    pub waited: Duration,
}

/// A statement that was answered.
#[derive(Clone, Debug)]
pub struct Answered {
    /// What was answered, of the last statement.
    pub execution: Execution,
    /// From the question to the answer, as the client saw it.
    pub latency: Duration,
    /// What became of the commit, if it committed.
    pub commit: Option<CommitInfo>,
    /// The snapshot that was read.
    pub read_at: Option<clock::Timestamp>,
}

impl Client {
    /// The same client, this round trip away from its node.
    #[must_use]
    pub fn at(mut self, distance: Duration) -> Client {
        self.distance = distance;
        self
    }

    /// Runs statements.
    ///
    /// # Errors
    /// What the database says.
    pub async fn try_run(&mut self, text: &str) -> Result<Answered, SqlError> {
        let begun = Instant::now();
        let mut last = None;
        sleep(self.distance / 2).await;
        let ran = self.session.simple(text, &mut |execution| last = Some(execution)).await;
        sleep(self.distance / 2).await;
        ran?;
        let execution = last.expect("every statement has a result");
        let commit = self.session.last_commit_info();
        let (_, read_at) = self.session.timestamps();
        Ok(Answered { execution, latency: begun.elapsed(), commit, read_at })
    }

    /// Runs statements that cannot fail in a healthy cluster without contention.
    ///
    /// # Panics
    /// If they fail.
    pub async fn run(&mut self, text: &str) -> Answered {
        self.try_run(text).await.unwrap_or_else(|error| panic!("{text}: {error:?}"))
    }

    /// Who served the last read of a range in this session's last transaction, and how long it
    /// waited there. The lab must be traced, and the session too.
    ///
    /// # Panics
    /// If there was none.
    pub async fn served(&mut self, range: RangeId) -> Served {
        let told = self.run("SHOW TRACE LAST").await.execution;
        let Execution::Rows { rows, .. } = told else { panic!("SHOW has rows") };
        let calls = rows
            .iter()
            .rev()
            .filter(|row| matches!(&row[KIND], Datum::Text(kind) if **kind == *"call"));
        let mut notes = calls.filter_map(|row| match &row[NOTES] {
            Datum::Text(notes) => Some(notes),
            _ => None,
        });
        let number = |notes: &str, name: &str| {
            let mut pairs = notes.split(' ').filter_map(|note| note.split_once('='));
            pairs.find_map(|(key, value)| (key == name).then(|| value.parse::<u64>().ok())?)
        };
        let of = notes.find(|notes| number(notes, "range") == Some(range.0)).expect("it was read");
        let node = number(of, "node").and_then(|node| u32::try_from(node).ok());
        Served {
            node: NodeId(node.expect("a call has a node")),
            waited: Duration::from_nanos(number(of, "waited_nanos").unwrap_or(0)),
        }
    }

    /// The timeline of this session's last transaction, drawn for a terminal. The lab must be traced.
    ///
    /// # Panics
    /// If the transaction was not traced.
    pub async fn timeline(&mut self) -> String {
        let drawn = self.run("SHOW TRACE LAST AS TEXT").await.execution;
        let Execution::Rows { rows, .. } = drawn else { panic!("SHOW has rows") };
        let line = |row: &sql::Row| match &row[0] {
            Datum::Text(line) => format!("{line}\n"),
            other => panic!("a line, not {other:?}"),
        };
        rows.iter().map(line).collect()
    }

    /// Ends the session.
    pub async fn hang_up(self) {
        self.session.close().await;
    }
}
