//! The gateways' side of the world: how a node's coordinator and its replicas' questions reach ranges,
//! and what time it is there.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clock::{Clock, Interval, Mono, SharedClock, Timestamp};
use futures::future::BoxFuture;
use keys::NodeId;
use kv::{Descriptor, KvError, RangeRequest, RangeSender, Reply};
use rand::RngExt as _;
use tokio::sync::oneshot;
use txn::Router;

use super::{Happening, SharedWorld};

/// Whether a gateway lives: once dead it sends and hears nothing.
#[derive(Clone, Debug, Default)]
pub struct Lifeline(Arc<AtomicBool>);

impl Lifeline {
    /// The gateway's process ends.
    pub fn cut(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// The same, if it is so.
    pub fn cut_if(&self, so: bool) {
        if so {
            self.cut();
        }
    }

    fn is_cut(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A router on a node.
pub fn router(shared: &SharedWorld, node: NodeId, life: Lifeline) -> Arc<Router> {
    let sender = Arc::new(Sender { shared: shared.clone(), node, life });
    let config = txn::RouterConfig {
        attempt_timeout: Duration::from_millis(400),
        ..txn::RouterConfig::default()
    };
    let seed = shared.lock().rng.random();
    Router::new(sender, clock_of(shared, node), config, seed)
}

/// The clock of a node.
pub fn clock_of(shared: &SharedWorld, node: NodeId) -> SharedClock {
    Arc::new(NodeClock { shared: shared.clone(), node })
}

/// A gateway's way to the ranges.
#[derive(Debug)]
struct Sender {
    shared: SharedWorld,
    node: NodeId,
    life: Lifeline,
}

impl RangeSender for Sender {
    fn send(
        &self,
        to: NodeId,
        request: RangeRequest,
    ) -> BoxFuture<'static, Result<Reply, KvError>> {
        let (shared, from, life) = (self.shared.clone(), self.node, self.life.clone());
        Box::pin(async move {
            let (sender, receiver) = oneshot::channel();
            let patience = request.deadline + GRACE;
            if !life.is_cut() {
                let mut world = shared.lock();
                world.next_id += 1;
                let call = world.next_id;
                world.calls.insert(call, sender);
                let make = || Happening::Request { from, to, call, request: request.clone() };
                world.transmit(from, to, make);
                drop(world);
                shared.changed.notify_one();
            }
            let answer = timer::timeout(patience, receiver).await;
            if life.is_cut() {
                // The process is gone: nothing goes on.
                std::future::pending::<()>().await;
            }
            match answer {
                Ok(Ok(result)) => result,
                Ok(Err(_)) | Err(_) => {
                    Err(KvError::AnswerLost { node: to, cause: "no answer".to_owned() })
                }
            }
        })
    }

    fn local_node(&self) -> NodeId {
        self.node
    }

    fn round_trip(&self, to: NodeId) -> Duration {
        Duration::from_millis(u64::from(to.0.abs_diff(self.node.0)))
    }

    fn system_range(&self) -> Descriptor {
        self.shared.lock().system.clone()
    }

    fn observed(&self) -> Timestamp {
        Timestamp::ZERO
    }
}

/// Longer than the deadline: the replica's own word is worth more.
const GRACE: Duration = Duration::from_millis(100);

struct NodeClock {
    shared: SharedWorld,
    node: NodeId,
}

impl fmt::Debug for NodeClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "clock of {}", self.node)
    }
}

impl Clock for NodeClock {
    fn now(&self) -> Interval {
        self.shared.lock().interval(self.node)
    }

    fn mono(&self) -> Mono {
        Mono(self.shared.lock().now)
    }

    fn source(&self) -> String {
        "simulated".to_owned()
    }

    fn true_offset_nanos(&self) -> Option<i64> {
        Some(self.shared.lock().nodes[&self.node].offset_nanos)
    }
}
