//! A naive model of a cluster, for tests of the layers above ranges. No node uses it.
//!
//! One map of versions behind one lock, one timestamp counter for all ranges, every request done
//! at one instant: so simple that it is right by inspection. It keeps the contract of `kv` as
//! strict as a replicated range does (locks, wound-wait, validation, intents, records), so a
//! gateway that errs shows it here too. What it leaves out: replication, leases, lapsed heartbeats,
//! lifetimes.
//!
//! Faults are switched by hand: [`NaiveCluster::crash`], [`NaiveCluster::set_leader`],
//! [`NaiveCluster::split`].
//!
//! Time is a counter: each reading of [`NaiveCluster::clock`] is a microsecond later, and a commit
//! moves it past its timestamp, so commit-wait takes no time.

mod named;
mod read;
mod state;

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use clock::{Clock, Interval, Mono, SharedClock, Timestamp};
use futures::{FutureExt, future::BoxFuture};
use keys::{Key, NodeId, RangeId, Span, TxnId, layout};
use kv::{Descriptor, KvError, PushdownFactory, RangeRequest, RangeSender, Reply};
use timer::timeout;
use tokio::sync::Notify;

use crate::{Config, Coordinator, Router, RouterConfig};
use state::{State, Step, Waiter};

/// A cluster in one place. See the module's head.
pub struct NaiveCluster {
    shared: Arc<Shared>,
    local: NodeId,
}

struct Shared {
    state: Mutex<State>,
    /// Something changed: who waits looks again.
    changed: Notify,
    clock: Arc<NaiveClock>,
    factory: Option<Arc<dyn PushdownFactory>>,
}

/// Time that passes only when it is looked at.
#[derive(Debug)]
pub struct NaiveClock {
    nanos: AtomicU64,
    epsilon_nanos: AtomicU64,
}

/// What one reading of the clock costs.
const TICK_NANOS: u64 = 1_000;
/// Where the clock starts: 2020-01-01.
const START_NANOS: u64 = 1_577_836_800_000_000_000;

impl NaiveCluster {
    /// A cluster of nodes 1 to `nodes`, each a replica of every range: the system range, and one
    /// range between each two neighbours of `boundaries`, led by the nodes in turn. The directory
    /// is filled in.
    ///
    /// # Panics
    /// If the boundaries don't ascend.
    #[must_use]
    pub fn new(
        nodes: u32,
        boundaries: &[Key],
        factory: Option<Arc<dyn PushdownFactory>>,
    ) -> Arc<NaiveCluster> {
        let clock = Arc::new(NaiveClock {
            nanos: AtomicU64::new(START_NANOS),
            epsilon_nanos: AtomicU64::new(0),
        });
        let voters: Vec<NodeId> = (1..=nodes).map(NodeId).collect();
        let mut state = State::new(Descriptor {
            id: RangeId::SYSTEM,
            span: layout::system_span(),
            generation: 1,
            voters: voters.clone(),
            preferred_leader: NodeId(1),
        });
        for (i, pair) in boundaries.windows(2).enumerate() {
            let descriptor = Descriptor {
                id: RangeId(2 + i as u64),
                span: Span::new(pair[0].clone(), pair[1].clone()),
                generation: 1,
                voters: voters.clone(),
                preferred_leader: voters[i % voters.len()],
            };
            state.publish(&descriptor);
            state.create(descriptor);
        }
        let shared = Shared { state: Mutex::new(state), changed: Notify::new(), clock, factory };
        Arc::new(NaiveCluster { shared: Arc::new(shared), local: NodeId(1) })
    }

    /// The same cluster as another node's gateway sees it.
    #[must_use]
    pub fn at(&self, node: NodeId) -> Arc<NaiveCluster> {
        Arc::new(NaiveCluster { shared: self.shared.clone(), local: node })
    }

    /// Its clock.
    #[must_use]
    pub fn clock(&self) -> SharedClock {
        self.shared.clock.clone()
    }

    /// A coordinator at this gateway, with default limits.
    #[must_use]
    pub fn coordinator(self: &Arc<NaiveCluster>) -> Arc<Coordinator> {
        self.coordinator_with(Config::default(), RouterConfig::default())
    }

    /// A coordinator at this gateway.
    #[must_use]
    pub fn coordinator_with(
        self: &Arc<NaiveCluster>,
        config: Config,
        router: RouterConfig,
    ) -> Arc<Coordinator> {
        let seed = u64::from(self.local.0);
        let router = Router::new(self.clone(), self.clock(), router, seed);
        Coordinator::new(router, self.clock(), config, seed)
    }

    /// Creates a range; its directory entry is the caller's to write. Idempotent by id.
    pub fn create_range(&self, descriptor: Descriptor) {
        self.state().create(descriptor);
    }

    /// All ranges, by id.
    #[must_use]
    pub fn ranges(&self) -> Vec<Descriptor> {
        self.state().descriptors()
    }

    /// Splits the range that holds `at`, without a word to the directory or to anyone.
    ///
    /// # Panics
    /// If no range holds the key, or one begins with it.
    pub fn split(&self, at: &Key, child: RangeId) {
        let parent = self.state().range_at(at).expect("a range holds the key");
        self.state().split(parent, at, child).expect("the key lies inside the range");
    }

    /// Makes another replica the leader.
    pub fn set_leader(&self, range: RangeId, leader: NodeId) {
        self.state().set_leader(range, leader);
    }

    /// The node answers nothing any more.
    pub fn crash(&self, node: NodeId) {
        self.state().down.insert(node);
    }

    /// The node answers again.
    pub fn restart(&self, node: NodeId) {
        self.state().down.remove(&node);
    }

    /// Rows one read answers at most, so that tests see several pages.
    pub fn set_page_rows(&self, rows: u64) {
        self.state().page_rows = rows;
    }

    /// Reads below this fail (S4).
    pub fn set_gc_threshold(&self, threshold: Timestamp) {
        self.state().gc_threshold = threshold;
    }

    /// ε of its clock, in nanoseconds.
    pub fn set_epsilon(&self, nanos: u64) {
        self.shared.clock.epsilon_nanos.store(nanos, Ordering::Relaxed);
    }

    /// The newest value of a key, whatever the time.
    #[must_use]
    pub fn newest(&self, key: &Key) -> Option<Bytes> {
        self.state().newest(key)
    }

    /// Transactions that hold a lock or an intent: none when nobody is at work.
    #[must_use]
    pub fn holders(&self) -> BTreeSet<TxnId> {
        self.state().holders()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries a request again and again until nothing is in its way.
    async fn serve(self: Arc<Shared>, to: NodeId, asked: RangeRequest) -> Result<Reply, KvError> {
        let mut waits: Option<Waits> = None;
        let mut in_the_way = None;
        let served = timeout(asked.deadline, async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                let step = self.state().step(&self.clock, self.factory.as_deref(), to, &asked);
                match step {
                    Step::Answer(answer) => return answer,
                    Step::Wait(waiter) => {
                        in_the_way = Some((waiter.key.clone(), waiter.holder));
                        waits = Some(Waits::new(self.clone(), waiter));
                    }
                }
                changed.await;
                waits = None;
            }
        })
        .await;
        drop(waits);
        self.changed.notify_waiters();
        served.unwrap_or_else(|_| {
            Err(match in_the_way {
                Some((key, holder)) => KvError::Blocked { key, holder },
                None => KvError::Unavailable { range: asked.range, missing: "time".to_owned() },
            })
        })
    }
}

/// A waiter in the list of those who wait, until dropped.
struct Waits {
    shared: Arc<Shared>,
    ticket: u64,
}

impl Waits {
    fn new(shared: Arc<Shared>, waiter: Waiter) -> Waits {
        let ticket = shared.state().enqueue(waiter);
        Waits { shared, ticket }
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.shared.state().dequeue(self.ticket);
    }
}

impl RangeSender for NaiveCluster {
    fn send(
        &self,
        to: NodeId,
        request: RangeRequest,
    ) -> BoxFuture<'static, Result<Reply, KvError>> {
        self.shared.clone().serve(to, request).boxed()
    }

    fn local_node(&self) -> NodeId {
        self.local
    }

    fn round_trip(&self, to: NodeId) -> Duration {
        Duration::from_millis(u64::from(to.0.abs_diff(self.local.0)) * 10)
    }

    fn system_range(&self) -> Descriptor {
        self.state().descriptors().swap_remove(0)
    }

    fn observed(&self) -> Timestamp {
        self.state().last()
    }
}

impl fmt::Debug for NaiveCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NaiveCluster").field("local", &self.local).finish_non_exhaustive()
    }
}

impl NaiveClock {
    /// Moves time on until `TT.after(t)`.
    fn pass(&self, t: Timestamp) {
        let epsilon = self.epsilon_nanos.load(Ordering::Relaxed);
        self.nanos.fetch_max(t.wall + epsilon + 1, Ordering::Relaxed);
    }
}

impl Clock for NaiveClock {
    fn now(&self) -> Interval {
        let now = self.nanos.fetch_add(TICK_NANOS, Ordering::Relaxed) + TICK_NANOS;
        let epsilon = self.epsilon_nanos.load(Ordering::Relaxed);
        Interval { earliest: now - epsilon, latest: now + epsilon }
    }

    fn mono(&self) -> Mono {
        Mono(self.nanos.load(Ordering::Relaxed) - START_NANOS)
    }

    fn source(&self) -> String {
        "naive".to_owned()
    }

    fn true_offset_nanos(&self) -> Option<i64> {
        Some(0)
    }
}

#[cfg(test)]
mod tests;
