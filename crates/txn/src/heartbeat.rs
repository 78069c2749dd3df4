//! Signs of life of a transaction to its anchor's leader (X7): while they come, nobody but an older
//! waiter aborts it, and that one only while they say that the transaction waits itself (X5b). The
//! answers tell the gateway early if somebody did.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use kv::{Outcome, Reply, Request, TxnMeta};
use timer::{Instant, contain::contained, sleep};
use tokio::{sync::Notify, task::JoinHandle};

use crate::Router;

/// Heartbeats stop by themselves after that many: such a transaction has outlived L (X7a).
const MAX_BEATS: u32 = 10_000;

/// What takes longer than this may be waiting for others. Less would tell of every slow network; more
/// would leave deadlocks alone for longer.
const WAITS_AFTER: Duration = Duration::from_millis(50);

/// Beats until dropped.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    task: JoinHandle<()>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    poisoned: AtomicBool,
    /// Requests that may be waiting for others.
    waiting: AtomicUsize,
    /// Told when that becomes none, or one.
    news: Notify,
}

impl Heartbeat {
    /// Begins to beat: the first lock or prepare goes out at the same time and is the first sign.
    pub fn start(router: Arc<Router>, txn: TxnMeta, interval: Duration) -> Heartbeat {
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let beats = async move {
            for _ in 0..MAX_BEATS {
                tokio::select! {
                    biased;
                    () = seen.news.notified() => {}
                    () = sleep(interval) => {}
                }
                let waiting = seen.waiting.load(Ordering::Relaxed) > 0;
                let request = Request::Heartbeat(kv::Heartbeat { txn: txn.clone(), waiting });
                let deadline = Instant::now() + interval;
                match router.send_to_key(&txn.anchor, request, deadline).await {
                    Ok(Reply::Outcome(Outcome::Aborted)) => {
                        seen.poisoned.store(true, Ordering::Relaxed);
                        return;
                    }
                    Ok(Reply::Outcome(Outcome::Committed(_) | Outcome::Forgotten)) => return,
                    Ok(_) | Err(_) => {}
                }
            }
        };
        // If it ends by a panic the transaction is as good as abandoned: once nobody has heard of it
        // for H, its record may be poisoned, and then says so to whoever commits it (X7, X8).
        let task = tokio::spawn(clock::inherit(async {
            contained("the heartbeat of a transaction", beats).await.unwrap_or_default();
        }));
        Heartbeat { task, shared }
    }

    /// Whether the record was seen to say aborted.
    pub fn poisoned(&self) -> bool {
        self.shared.poisoned.load(Ordering::Relaxed)
    }
}

/// Does something that may wait for other transactions: if it takes long, the anchor's leader is told so
/// (X5b). Without a heartbeat there is nothing that others could wait for.
pub(crate) async fn may_wait<T>(beat: Option<&Heartbeat>, work: impl Future<Output = T>) -> T {
    let Some(beat) = beat else { return work.await };
    let mut work = pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = sleep(WAITS_AFTER) => {}
    }
    let _waits = Waits::begin(&beat.shared);
    work.await
}

/// There while something waits, or may.
struct Waits<'a>(&'a Shared);

impl Waits<'_> {
    fn begin(shared: &Shared) -> Waits<'_> {
        if shared.waiting.fetch_add(1, Ordering::Relaxed) == 0 {
            shared.news.notify_one();
        }
        Waits(shared)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        if self.0.waiting.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.news.notify_one();
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.task.abort();
    }
}
