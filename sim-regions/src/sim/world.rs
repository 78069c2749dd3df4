//! What clients see of a simulated cluster: nodes that are there or not, and the record of all
//! that they did.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use checker::{Nanos, Operation};
use clock::Freezer;
use keys::NodeId;
use sql::Database;
use timer::Instant;
use tokio::sync::Notify;

/// The simulated world as clients share it. Cheap to clone: a handle.
#[derive(Clone)]
pub struct World(Arc<Shared>);

struct Shared {
    started: Instant,
    nodes: Mutex<BTreeMap<NodeId, Alive>>,
    recorded: Mutex<Vec<Operation>>,
    story: Mutex<Vec<String>>,
}

/// A node that runs, in this life of it.
#[derive(Clone)]
pub struct Alive {
    /// SQL on the node.
    pub database: Database,
    /// What freezes it; whatever runs on the node is wrapped in this.
    pub freezer: Freezer,
    /// The region it is in.
    pub region: String,
    life: Arc<Life>,
}

/// One life of a node. (A `watch` channel wakes those who wait in random order; this one in the
/// order in which they came.)
#[derive(Debug, Default)]
pub struct Life {
    over: AtomicBool,
    end: Notify,
}

impl Life {
    /// Ends it.
    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
        self.end.notify_waiters();
    }
}

impl Alive {
    /// A node in one life of it.
    pub fn new(database: Database, freezer: Freezer, region: String, life: Arc<Life>) -> Alive {
        Alive { database, freezer, region, life }
    }

    /// Resolves when the node dies.
    pub async fn death(&self) {
        let ended = self.life.end.notified();
        if self.lives() {
            ended.await;
        }
    }

    /// Whether it still lives.
    pub fn lives(&self) -> bool {
        !self.life.over.load(Ordering::Relaxed)
    }
}

impl World {
    /// A world without nodes that begins now.
    pub fn begin() -> World {
        World(Arc::new(Shared {
            started: Instant::now(),
            nodes: Mutex::default(),
            recorded: Mutex::default(),
            story: Mutex::default(),
        }))
    }

    /// The time since the beginning.
    pub fn now(&self) -> Nanos {
        Nanos(u64::try_from(self.0.started.elapsed().as_nanos()).expect("less than 584 years"))
    }

    /// A node has come to life.
    pub fn arrive(&self, id: NodeId, node: Alive) {
        lock(&self.0.nodes).insert(id, node);
    }

    /// A node has died.
    pub fn depart(&self, id: NodeId) {
        lock(&self.0.nodes).remove(&id);
    }

    /// The node of this id, else another one of its region, else any; `None`: all are down.
    pub fn nearest(&self, home: NodeId, region: &str) -> Option<(NodeId, Alive)> {
        let nodes = lock(&self.0.nodes);
        let mut same = nodes.iter().filter(|(_, node)| node.region == region);
        let found = nodes.get_key_value(&home).or_else(|| same.next());
        found.or_else(|| nodes.iter().next()).map(|(id, node)| (*id, node.clone()))
    }

    /// A node, if it lives.
    pub fn node(&self, id: NodeId) -> Option<Alive> {
        lock(&self.0.nodes).get(&id).cloned()
    }

    /// Adds an operation to the history; its index is given here.
    pub fn record(&self, mut operation: Operation) {
        let mut recorded = lock(&self.0.recorded);
        operation.index = recorded.len() as u64;
        recorded.push(operation);
    }

    /// All operations so far.
    pub fn operations(&self) -> Vec<Operation> {
        lock(&self.0.recorded).clone()
    }

    /// How many operations there are so far.
    pub fn recorded(&self) -> usize {
        lock(&self.0.recorded).len()
    }

    /// Adds a line to the story of the run: what was done to the cluster.
    pub fn tell(&self, line: &str) {
        let at = self.now().0;
        let told = format!("{:>8}.{:03} {line}", at / 1_000_000_000, at / 1_000_000 % 1000);
        tracing::info!("{told}");
        lock(&self.0.story).push(told);
    }

    /// The story so far.
    pub fn story(&self) -> Vec<String> {
        lock(&self.0.story).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
