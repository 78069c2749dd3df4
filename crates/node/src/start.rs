//! A node's life: claim the data folder, raise its start epoch, wait out the clock's former bound, open
//! the replicas, run; be introduced to the others, and take part once enough of them remember this
//! start; found the system range if the folder is new. See [`arrival`].

mod arrival;
mod hand_over;

use std::{fmt, sync::Arc, time::Duration};

use clock::Clock;
use keys::NodeId;
use keys::RangeId;
use kv::{Descriptor, PushdownFactory, RangeRequest, RangeSender, RangeStatus, Reply, Request};
use net::{ClusterId, Inbox, Transport};
use sql::Database;
use storage::{Engine, EngineError};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};
use trace::Tracer;
use txn::{Coordinator, Router};

use arrival::Arrival;

use crate::{
    cluster::NodeCluster,
    disk::Disk,
    epoch::{self, Confirmed, EpochCheck, OlderCopy, Showing},
    gateway::{Gateway, Leaders, SchemaListener, Watches},
    guard::{ClockGuard, Guard},
    identity::{self, ClockBehind, Identity, IdentityError},
    incarnation::{self, Admission, DataLost, Incarnation},
    members::{Member, Members, found_system_range},
    message::NodeQuestion,
    readers::Readers,
    store::{
        Store, StoreInput, StoreParts,
        shards::{Shards, WeakShards},
    },
    time::NodeClock,
};

/// How often each node pings the others.
const TOUCH_EVERY: Duration = Duration::from_secs(4);

/// How often the replicas of a range are held against each other.
const COMPARE_EVERY: Duration = Duration::from_secs(600);

/// How long a replica's question to another range is carried on.
const ASK_PATIENCE: Duration = Duration::from_secs(5);

/// The seam to randomness: all that a node draws comes from generators seeded with this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64);

/// What a node is told about itself and its cluster.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// This node.
    pub node: NodeId,
    /// The cluster.
    pub cluster: ClusterId,
    /// All nodes, this one included.
    pub members: Vec<Member>,
    /// Round-trip times assumed until they are measured, per node.
    pub expected_round_trips: Vec<(NodeId, Duration)>,
    /// Voters per range, where there are as many nodes.
    pub replication: usize,
    /// Whether the node stops serving when its peers prove that its clock is wrong.
    pub clock_guard: ClockGuard,
    /// How often the replicas of each range led here are held against each other.
    pub compare_every: Duration,
    /// Whether the leaders of ranges go to where most is asked for them.
    pub leaders: Leaders,
    /// Whether it refuses peers that come back with an older copy of their folder (P0a).
    pub epoch_check: EpochCheck,
    /// Settings of the replicas.
    pub range: range::Config,
    /// Settings of the transaction coordinator.
    pub txn: txn::Config,
    /// Settings of the SQL layer.
    pub sql: sql::Config,
    /// Tasks that the node's replicas are spread over. At least 1; more than cores are of no use.
    pub shards: usize,
    /// What the store's work costs in a simulation, where computation takes no time by itself.
    pub work: Work,
    /// What this process hears of traces. Whoever runs the node puts its layer into the subscriber
    /// of `tracing`; else it stays empty.
    pub traces: trace::Collector,
}

/// Who carries requests to ranges, and who runs transactions.
fn gateway_side(
    gateway: &Gateway,
    clock: &NodeClock,
    config: &NodeConfig,
    seed: Seed,
) -> (Arc<Router>, Arc<Coordinator>) {
    let sender: Arc<dyn RangeSender> = Arc::new(gateway.clone());
    let source = Arc::clone(clock.source());
    let router = Router::new(sender, Arc::clone(&source), routing(config), seed.0 ^ 1);
    let coordinator = Coordinator::new(Arc::clone(&router), source, config.txn.clone(), seed.0);
    (router, coordinator)
}

/// How this node's gateway looks for leaders. It waits out a fail-over before it calls a range
/// unavailable: the lease of a leader that died may have just begun, and a candidate may fail once.
fn routing(config: &NodeConfig) -> txn::RouterConfig {
    let usual = txn::RouterConfig::default();
    let fail_over = config.range.paxos.lease.saturating_mul(2) + FAIL_OVER_SLACK;
    txn::RouterConfig { leaderless_patience: usual.leaderless_patience.max(fail_over), ..usual }
}

/// What a fail-over takes beside leases: elections, round trips around the world, syncs.
const FAIL_OVER_SLACK: Duration = Duration::from_secs(2);

/// What computation costs where time is virtual. Nothing, unless an experiment wants queues: a store
/// that works does not listen, so messages wait for each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// For each message or request that the store takes in.
    pub message: Duration,
}

/// Voters per range unless told otherwise.
pub const DEFAULT_REPLICATION: usize = 3;

impl NodeConfig {
    /// A node of this cluster with the usual settings.
    #[must_use]
    pub fn new(node: NodeId, cluster: ClusterId, members: Vec<Member>) -> NodeConfig {
        NodeConfig {
            node,
            cluster,
            members,
            expected_round_trips: Vec::new(),
            replication: DEFAULT_REPLICATION,
            clock_guard: ClockGuard::On,
            compare_every: COMPARE_EVERY,
            leaders: Leaders::Stay,
            epoch_check: EpochCheck::On,
            range: range::Config::default(),
            txn: txn::Config::default(),
            sql: sql::Config::default(),
            shards: 1,
            work: Work::default(),
            traces: trace::Collector::default(),
        }
    }
}

/// The outside of a node.
pub struct Seams {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Messages out.
    pub transport: Arc<dyn Transport>,
    /// Messages in.
    pub inbox: Inbox,
    /// The disk's contents.
    pub engine: Arc<dyn Engine>,
    /// Who makes them durable.
    pub disk: Arc<dyn Disk>,
    /// Who carries out long reads.
    pub readers: Arc<dyn Readers>,
    /// Randomness.
    pub seed: Seed,
    /// The knobs of the process around the node.
    pub control: Arc<dyn sql::control::Control>,
}

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its data folder is not its own, or could not be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The disk failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Its clock is far behind that of its former life (T1).
    #[error(transparent)]
    ClockBehind(#[from] ClockBehind),
}

/// Why a running node must be stopped.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NodeFailure {
    /// Its disk failed (S3).
    #[error("the disk failed, the node stops: {0}")]
    Disk(#[from] EngineError),
    /// It came back without its data.
    #[error(transparent)]
    DataLost(#[from] DataLost),
    /// It came back with an older copy of it (P0a).
    #[error(transparent)]
    OlderCopy(#[from] OlderCopy),
}

/// A running node. Dropping it stops it as a crash would: at once, nothing flushed.
pub struct Node {
    config: NodeConfig,
    database: Database,
    gateway: Gateway,
    clock: Arc<NodeClock>,
    guard: Arc<Guard>,
    /// To the store; it must not keep it alive.
    shards: WeakShards,
    failed: watch::Receiver<Option<NodeFailure>>,
    confirmed: watch::Receiver<Confirmed>,
    tasks: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}", self.config.node)
    }
}

impl Node {
    /// Starts a node. When it returns, the node serves; whether its ranges have leaders is another
    /// matter, and none of its replicas takes part before the node is [`Node::admitted`].
    pub async fn start(config: NodeConfig, seams: Seams) -> Result<Node, StartError> {
        let Seams { clock, transport, inbox, engine, disk, readers, seed, control } = seams;
        let begun = begin(&config, engine.as_ref(), clock, seed).await?;
        let Begun { system, clock, start, admission } = begun;
        let (confirm, confirmed) = watch::channel(Confirmed::Asking);
        let members = Arc::new(members(&config));
        let (shards, inboxes) = Shards::new(config.node, config.shards);
        let guard = Arc::new(Guard::new(config.node, config.clock_guard));
        let traces = config.traces.clone();
        let watches = Watches { guard: Arc::clone(&guard), meter: Arc::default(), traces };
        let gateway = Gateway::new(
            Arc::clone(&members),
            Arc::clone(&clock),
            Arc::clone(&transport),
            shards.clone(),
            system.clone(),
            confirmed.clone(),
            watches.clone(),
        );
        // Spans are numbered above those of former lives (T1).
        let tracer = Tracer::new(config.node, Arc::clone(clock.source()), clock.stamp().wall);
        let (router, coordinator) = gateway_side(&gateway, &clock, &config, seed);
        let cluster = NodeCluster {
            members,
            clock: Arc::clone(&clock),
            gateway: gateway.clone(),
            replication: config.replication,
            tracer: Arc::clone(&tracer),
            watches,
            control,
        };
        let database =
            Database::new(coordinator, Arc::clone(&router), Arc::new(cluster), config.sql.clone());
        let parts = StoreParts {
            node: config.node,
            engine,
            disk,
            readers,
            clock: Arc::clone(&clock),
            transport,
            factory: Arc::new(expr::pushdown::Programs) as Arc<dyn PushdownFactory>,
            config: Arc::new(config.range.clone()),
            asker: asker(router),
            work: config.work,
            guard: Arc::clone(&guard),
            epoch_check: config.epoch_check,
            leaders: config.leaders,
            tracer,
        };
        let open = |inbox| Store::open(parts.clone(), inbox, shards.downgrade());
        let store = inboxes.into_iter().map(open).collect::<Result<Vec<Store>, EngineError>>()?;
        let (failure, failed) = watch::channel(None);
        let tasks = Vec::new();
        let mut node = Node {
            config,
            database,
            gateway,
            clock,
            guard,
            shards: shards.downgrade(),
            failed,
            confirmed,
            tasks,
        };
        node.spawn_tasks(store, inbox, failure.clone());
        let gateway = node.gateway.clone();
        let arrival = Arrival { gateway, shards, confirm, system, admission, start };
        node.tasks.push(tokio::spawn(clock::inherit(arrival.run(failure))));
        Ok(node)
    }

    fn spawn_tasks(
        &mut self,
        store: Vec<Store>,
        inbox: Inbox,
        failure: watch::Sender<Option<NodeFailure>>,
    ) {
        let database = self.database.clone();
        let adopt: Arc<SchemaListener> = Arc::new(move |version| {
            let database = database.clone();
            Box::pin(async move {
                database.adopt_schema(version).await.map_err(|error| error.to_string())
            })
        });
        self.gateway.listen_for_schema_changes(Some(adopt));
        let id = self.config.node;
        let (compare_every, leaders) = (self.config.compare_every, self.config.leaders);
        self.tasks = vec![
            tokio::spawn(clock::inherit(self.gateway.clone().read_frames(inbox))),
            tokio::spawn(clock::inherit(self.gateway.clone().keep_in_touch(TOUCH_EVERY))),
            tokio::spawn(clock::inherit(self.gateway.clone().heal_births())),
            tokio::spawn(clock::inherit(self.gateway.clone().compare_replicas(compare_every))),
            tokio::spawn(clock::inherit(self.gateway.clone().follow_the_load(leaders))),
        ];
        for shard in store {
            let failure = failure.clone();
            let run = async move {
                if let Err(error) = shard.run().await {
                    let why = NodeFailure::Disk(error);
                    // Whoever runs the node is told, and says what it means: the end of a process, or
                    // what a simulation intended.
                    tracing::info!(node = %id, "{why}");
                    failure.send_replace(Some(why));
                }
            };
            self.tasks.push(tokio::spawn(clock::inherit(run)));
        }
    }

    /// Resolves once the replicas of this node may take part, each as soon as enough of its voters
    /// remember this start: when all other members do or some time is over, in the folder's first
    /// start only when all do. Never, if [`Node::failed`] resolves.
    pub async fn admitted(&self) {
        let mut confirmed = self.confirmed.clone();
        if confirmed.wait_for(|confirmed| *confirmed != Confirmed::Asking).await.is_err() {
            std::future::pending().await
        }
    }

    /// SQL on this node.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// This node.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.config.node
    }

    /// This node as its peers know it.
    #[must_use]
    pub fn member(&self) -> &Member {
        let mut all = self.config.members.iter();
        all.find(|m| m.id == self.config.node).expect("a node is a member of its cluster")
    }

    /// The node's time.
    #[must_use]
    pub fn clock(&self) -> &Arc<NodeClock> {
        &self.clock
    }

    /// Turns commit-wait on or off for the ranges that this node leads, now and later. An experiment:
    /// without it external consistency does not hold.
    pub async fn set_commit_wait(&self, commit_wait: range::CommitWait) {
        let Some(shards) = self.shards.upgrade() else { return };
        let mut turned = Vec::new();
        shards.push_all(self.clock.source().mono(), || {
            let (done, heard) = oneshot::channel();
            turned.push(heard);
            StoreInput::CommitWait(commit_wait, done)
        });
        for heard in turned {
            // If the store ends meanwhile, nothing waits any more.
            heard.await.unwrap_or_default();
        }
    }

    /// Turns the clock guard on or off.
    pub fn set_clock_guard(&self, mode: ClockGuard) {
        self.guard.set_mode(mode);
    }

    /// Why this node distrusts its own clock and does not serve; `None`: it trusts it.
    #[must_use]
    pub fn distrust(&self) -> Option<String> {
        self.guard.why_still(&self.clock)
    }

    /// What this node's replica of a range tells of itself; `None` if there is none that answers.
    pub async fn replica(&self, range: RangeId, patience: Duration) -> Option<RangeStatus> {
        let request =
            RangeRequest { range, deadline: patience, request: Request::Status, trace: None };
        match self.gateway.send(self.id(), request).await {
            Ok(Reply::Status(status)) => Some(status),
            Ok(_) | Err(_) => None,
        }
    }

    /// Asks a node, over the network, whether it answers.
    pub async fn reaches(&self, node: NodeId, patience: Duration) -> bool {
        self.gateway.ask(node, NodeQuestion::Ping, patience).await.is_some()
    }

    /// Resolves when the node must be stopped: its disk failed (S3), or it lost its data.
    pub fn failed(&self) -> impl Future<Output = NodeFailure> + Send + use<> {
        let mut failed = self.failed.clone();
        async move {
            let told = failed.wait_for(Option::is_some).await;
            match told.map(|failure| failure.clone().expect("waited for it")) {
                Ok(failure) => failure,
                // The store ended without an error: a graceful stop, no failure ever comes.
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// Stops the node: no task of it runs when this returns. What was not acknowledged may be lost;
    /// what was is durable, so a graceful stop needs no flush.
    pub async fn stop(mut self) {
        for task in std::mem::take(&mut self.tasks) {
            task.abort();
            // Aborted, or ended before: both are stops.
            drop(task.await);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.gateway.listen_for_schema_changes(None);
    }
}

/// What the data folder has for a start, and the clock that it allows.
struct Begun {
    /// The system range as the cluster was founded.
    system: Descriptor,
    clock: Arc<NodeClock>,
    start: Showing,
    admission: Admission,
}

/// All of a start that comes before anybody hears of it.
async fn begin(
    config: &NodeConfig,
    engine: &dyn Engine,
    clock: Arc<dyn Clock>,
    seed: Seed,
) -> Result<Begun, StartError> {
    let system = claim(config, engine)?;
    // P0a: before the clock writes a bound that the last start did not reach.
    let starts = epoch::begin(engine, seed.0)?;
    let hlc = identity::start_clock(engine, clock.as_ref()).await?;
    let clock = Arc::new(NodeClock::new(clock, hlc));
    let drawn = Incarnation { since: clock.stamp().wall, nonce: seed.0 };
    let incarnation = incarnation::of(engine, drawn)?;
    let admission = incarnation::admission(engine)?;
    Ok(Begun { system, clock, start: Showing { incarnation, starts }, admission })
}

/// Claims the data folder; answers the system range as the cluster was founded.
fn claim(config: &NodeConfig, engine: &dyn Engine) -> Result<Descriptor, StartError> {
    let system = found_system_range(&config.members, config.replication);
    let members = config.members.clone();
    let wanted = Identity { cluster: config.cluster.0, node: config.node, system, members };
    match identity::claim(engine, &wanted)? {
        identity::Freshness::New => Ok(wanted.system),
        identity::Freshness::Known => {
            let found = identity::read(engine)?.expect("claimed before");
            Ok(found.system)
        }
    }
}

fn members(config: &NodeConfig) -> Members {
    let expected = |member: &Member| {
        let known = config.expected_round_trips.iter().find(|(node, _)| *node == member.id);
        known.map_or(Duration::from_millis(1), |(_, round_trip)| *round_trip)
    };
    Members::new(config.node, config.members.clone(), expected)
}

fn asker(router: Arc<Router>) -> Arc<crate::store::Asker> {
    Arc::new(move |key, request| {
        let router = Arc::clone(&router);
        Box::pin(async move {
            let deadline = timer::Instant::now() + ASK_PATIENCE;
            router.send_to_key(&key, request, deadline).await
        })
    })
}
