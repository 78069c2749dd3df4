//! Ranges that answer what no range of ours answers, and tasks behind a session that panic: the
//! transaction is told or goes on, and the gateway lives.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use clock::Timestamp;
use futures::{FutureExt, future::BoxFuture};
use keys::{Key, NodeId, Span};
use kv::{Descriptor, KvError, LockWait, RangeRequest, RangeSender, Reply, Request};
use timer::{Instant, contain};

use crate::{
    Config, Coordinator, Router, RouterConfig, Scan, Txn, TxnError, TxnOptions, naive::NaiveCluster,
};

/// What is done to a request before it is sent, and to its answer.
#[derive(Clone, Copy)]
struct Bent {
    before: fn(&Request),
    after: fn(&Request, &mut Reply),
}

/// A wire that bends.
struct Wire {
    cluster: Arc<NaiveCluster>,
    bent: Bent,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a wire that bends")
    }
}

impl RangeSender for Wire {
    fn send(
        &self,
        to: NodeId,
        request: RangeRequest,
    ) -> BoxFuture<'static, Result<Reply, KvError>> {
        let (cluster, bent) = (self.cluster.clone(), self.bent);
        async move {
            let asked = request.request.clone();
            timer::sleep(Duration::from_millis(1)).await;
            (bent.before)(&asked);
            let mut answer = cluster.send(to, request).await;
            answer.iter_mut().for_each(|reply| (bent.after)(&asked, reply));
            answer
        }
        .boxed()
    }

    fn local_node(&self) -> NodeId {
        self.cluster.local_node()
    }

    fn round_trip(&self, to: NodeId) -> Duration {
        self.cluster.round_trip(to)
    }

    fn system_range(&self) -> Descriptor {
        self.cluster.system_range()
    }

    fn observed(&self) -> Timestamp {
        self.cluster.observed()
    }
}

fn bends(before: fn(&Request), after: fn(&Request, &mut Reply)) -> Arc<Coordinator> {
    let cluster = NaiveCluster::new(3, &["a", "h", "p", "z"].map(Key::from), None);
    let wire = Arc::new(Wire { cluster: cluster.clone(), bent: Bent { before, after } });
    let router = Router::new(wire, cluster.clock(), RouterConfig::default(), 1);
    Coordinator::new(router, cluster.clock(), Config::default(), 1)
}

/// A panic on purpose, where it may be; a test that is not contained must not pass because tokio
/// catches everything.
fn panic_inside(count: &AtomicU32) {
    let contained = u32::from(contain::is_contained());
    count.fetch_add(contained, Ordering::Relaxed);
    panic!("on purpose");
}

async fn begun(coordinator: &Arc<Coordinator>) -> Txn {
    let mut txn = coordinator.begin(TxnOptions::default());
    txn.set_deadline(Some(Instant::now() + Duration::from_secs(10)));
    txn.begin_statement().await.expect("a snapshot");
    txn
}

/// Writes into two ranges and commits.
async fn write_two(coordinator: &Arc<Coordinator>) -> Result<Timestamp, TxnError> {
    let mut txn = begun(coordinator).await;
    for key in ["b", "i"] {
        txn.put(Key::from(key), "v".into())?;
    }
    txn.commit().await.map(|info| info.at)
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_panics_takes_nothing_along() {
    static CONTAINED: AtomicU32 = AtomicU32::new(0);
    let beat = |request: &Request| {
        if matches!(request, Request::Heartbeat(_)) {
            panic_inside(&CONTAINED);
        }
    };
    let coordinator = bends(beat, |_, _| {});
    let mut txn = begun(&coordinator).await;
    let locked = txn.lock(vec![Key::from("b")], LockWait::Wait).await;
    assert!(locked.is_ok(), "{locked:?}");
    timer::sleep(coordinator.config().heartbeat_interval * 3).await;
    assert_eq!(
        CONTAINED.load(Ordering::Relaxed),
        1,
        "it ended, and did not take the process along"
    );
    txn.put(Key::from("b"), "v".into()).expect("it may");
    txn.commit().await.expect("nobody had it aborted");
}

#[tokio::test(start_paused = true)]
async fn a_clean_up_that_panics_leaves_the_rest_to_the_record() {
    static CONTAINED: AtomicU32 = AtomicU32::new(0);
    let told = |request: &Request| {
        if matches!(request, Request::Resolve(_)) {
            panic_inside(&CONTAINED);
        }
    };
    let coordinator = bends(told, |_, _| {});
    // More than may be done behind answers at a time: each gives its place back.
    for _ in 0..5 {
        write_two(&coordinator).await.expect("committed");
        timer::sleep(Duration::from_millis(10)).await;
    }
    assert!(CONTAINED.load(Ordering::Relaxed) >= 5, "they ended, and nothing else did");
}

#[tokio::test(start_paused = true)]
async fn all_who_wait_for_a_look_up_that_panics_are_told() {
    static CONTAINED: AtomicU32 = AtomicU32::new(0);
    let read = |request: &Request| {
        if matches!(request, Request::Read(_)) {
            panic_inside(&CONTAINED);
        }
    };
    let coordinator = bends(read, |_, _| {});
    let get = async || {
        let mut txn = begun(&coordinator).await;
        txn.get(&[Key::from("b")]).await
    };
    let (one, other) = futures::join!(get(), get());
    assert!(matches!(one, Err(TxnError::Invalid(_))), "{one:?}");
    assert!(matches!(other, Err(TxnError::Invalid(_))), "{other:?}");
    assert_eq!(CONTAINED.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn keys_that_moved_before_they_were_asked_for_are_no_answer() {
    for lie in [
        (|_, reply| {
            if let Reply::Locked(locked) = reply {
                locked.moved.push((Key::from("b"), Timestamp::ZERO));
            }
        }) as fn(&Request, &mut Reply),
        |_, reply| {
            if let Reply::Locked(locked) = reply {
                locked.moved.push((Key::from("c"), Timestamp::MAX));
            }
        },
    ] {
        let coordinator = bends(|_| {}, lie);
        let mut txn = begun(&coordinator).await;
        let locked = txn.lock(vec![Key::from("b")], LockWait::Wait).await;
        assert!(matches!(locked, Err(TxnError::Invalid(_))), "{locked:?}");
        txn.rollback().await;
    }
}

/// X3a: below all that it had to lie above, or so far ahead that all later snapshots of the gateway
/// would be, too. The commit may have happened: the record is asked.
#[tokio::test(start_paused = true)]
async fn a_commit_at_an_impossible_time_is_asked_after() {
    for lie in [
        (|_, reply| {
            if let Reply::Committed(committed) = reply {
                committed.at = Timestamp::ZERO;
            }
        }) as fn(&Request, &mut Reply),
        |_, reply| {
            if let Reply::Committed(committed) = reply {
                committed.at = Timestamp::MAX;
            }
        },
    ] {
        let coordinator = bends(|_| {}, lie);
        let at = write_two(&coordinator).await.expect("its record says committed");
        assert!(at > Timestamp::ZERO && at < Timestamp::MAX, "{at}");
        assert_eq!(coordinator.last_commit(), at);
    }
    let coordinator = bends(
        |_| {},
        |_, reply| match reply {
            Reply::Committed(committed) => committed.at = Timestamp::MAX,
            Reply::Outcome(kv::Outcome::Committed(at)) => *at = Timestamp::MAX,
            _ => {}
        },
    );
    let result = write_two(&coordinator).await;
    assert!(matches!(result, Err(TxnError::Unknown { .. })), "{result:?}");
    assert_eq!(coordinator.last_commit(), Timestamp::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_read_lies_in_what_was_asked() {
    let lie = |request: &Request, reply: &mut Reply| {
        let Request::Read(read) = request else { return };
        let own = |key: &[u8]| key.starts_with(b"b");
        if let Reply::Read(reply) = reply
            && read.spans.iter().any(|read| own(&read.span.start))
        {
            reply.spans[0].resume = Some(Span::new("a", "z"));
        }
    };
    let coordinator = bends(|_| {}, lie);
    let mut txn = begun(&coordinator).await;
    let rows = txn.scan_page(&Scan::all(Span::new("b", "c")), 100).await;
    assert!(matches!(rows, Err(TxnError::Invalid(_))), "{rows:?}");
}
