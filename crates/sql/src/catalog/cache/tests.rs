//! A catalog that cannot be read, since whoever reads it panics.

use std::time::Duration;

use clock::{Clock, Interval, Mono};
use futures::future::BoxFuture;
use keys::NodeId;
use kv::{Descriptor, KvError, RangeRequest, RangeSender, Reply};
use timer::contain::{self, contained};
use txn::{Router, RouterConfig};

use super::*;

/// A wire and a clock; whoever sends panics.
#[derive(Debug)]
struct Broken;

impl RangeSender for Broken {
    fn send(
        &self,
        _to: NodeId,
        _request: RangeRequest,
    ) -> BoxFuture<'static, Result<Reply, KvError>> {
        async {
            timer::sleep(Duration::from_millis(1)).await;
            assert!(!contain::is_contained(), "on purpose");
            std::process::abort()
        }
        .boxed()
    }

    fn local_node(&self) -> NodeId {
        NodeId(1)
    }

    fn round_trip(&self, _to: NodeId) -> Duration {
        Duration::ZERO
    }

    fn system_range(&self) -> Descriptor {
        Descriptor {
            id: RangeId::SYSTEM,
            span: keys::layout::system_span(),
            generation: 1,
            voters: vec![NodeId(1)],
            preferred_leader: NodeId(1),
        }
    }

    fn observed(&self) -> Timestamp {
        Timestamp::ZERO
    }
}

impl Clock for Broken {
    fn now(&self) -> Interval {
        Interval { earliest: 1_000, latest: 1_000 }
    }

    fn mono(&self) -> Mono {
        Mono(1_000)
    }

    fn source(&self) -> String {
        "still".to_owned()
    }

    fn true_offset_nanos(&self) -> Option<i64> {
        None
    }
}

fn cache() -> Cache {
    let router = Router::new(Arc::new(Broken), Arc::new(Broken), RouterConfig::default(), 1);
    let coordinator = Coordinator::new(router, Arc::new(Broken), txn::Config::default(), 1);
    Cache::new(coordinator, NodeId(1), Config::default())
}

#[tokio::test(start_paused = true)]
async fn all_who_wait_for_a_read_that_panics_are_told() {
    let cache = cache();
    let (one, other) = futures::join!(cache.usable(None), cache.usable(None));
    assert!(one.is_err() && other.is_err(), "{one:?}, {other:?}");
}

#[tokio::test(start_paused = true)]
async fn an_early_read_that_panics_is_no_longer_under_way() {
    let cache = cache();
    cache.refresh().await;
    assert!(!cache.is_refreshing());
    let ended = contained("a test", async {
        let _over = Lower(&cache.refreshing);
        cache.refreshing.store(true, Ordering::Release);
        panic!("on purpose");
    });
    assert_eq!(ended.await, None::<()>);
    assert!(!cache.is_refreshing());
}
