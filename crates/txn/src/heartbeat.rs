//! Signs of life of a transaction to its anchor's leader (X7): while they come, nobody but an older
//! waiter aborts it. The answers tell the gateway early if somebody did.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use kv::{Outcome, Reply, Request, TxnMeta};
use timer::{Instant, contain::contained, sleep};
use tokio::task::JoinHandle;

use crate::Router;

/// Heartbeats stop by themselves after that many: such a transaction has outlived L (X7a).
const MAX_BEATS: u32 = 10_000;

/// Beats until dropped.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    task: JoinHandle<()>,
    poisoned: Arc<AtomicBool>,
}

impl Heartbeat {
    /// Begins to beat: the first lock or prepare goes out at the same time and is the first sign.
    pub fn start(router: Arc<Router>, txn: TxnMeta, interval: Duration) -> Heartbeat {
        let poisoned = Arc::new(AtomicBool::new(false));
        let seen = poisoned.clone();
        let beats = async move {
            for _ in 0..MAX_BEATS {
                sleep(interval).await;
                let request = Request::Heartbeat(kv::Heartbeat { txn: txn.clone() });
                let deadline = Instant::now() + interval;
                match router.send_to_key(&txn.anchor, request, deadline).await {
                    Ok(Reply::Outcome(Outcome::Aborted)) => {
                        seen.store(true, Ordering::Relaxed);
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
        Heartbeat { task, poisoned }
    }

    /// Whether the record was seen to say aborted.
    pub fn poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Relaxed)
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.task.abort();
    }
}
