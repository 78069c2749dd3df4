//! The thread that syncs, and its virtual twin.
//!
//! S1: what a replica promises or accepts is fsynced before it is answered. One [`Engine::sync`]
//! covers all that was written before it began, whichever range wrote it: each shard of the store
//! writes, asks for a sync, and lets everything that waits for durability go when the sync ends. While
//! one sync runs, writes and requests gather for the next: group commit over all ranges of the node.
//!
//! S3: a sync that fails is never tried again. Its error stops the node.

use std::{fmt, sync::Arc, thread::JoinHandle, time::Duration};

use futures::future::BoxFuture;
use storage::{Engine, EngineError};
use tokio::sync::{mpsc, oneshot};

/// Makes an engine's writes durable without holding up the caller.
pub trait Disk: Send + Sync + fmt::Debug + 'static {
    /// Resolves once everything written before the call is durable.
    fn sync(&self) -> BoxFuture<'static, Result<(), EngineError>>;
}

/// Requests that one sync answers at most.
const SHARDS_AT_ONCE: usize = 64;

type SyncRequest = oneshot::Sender<Result<(), EngineError>>;

/// A thread of its own per node: an fsync blocks for milliseconds, and no task may wait behind it.
///
/// Dropping it waits for a sync under way and ends the thread. Nothing of it holds the engine then:
/// whoever drops his own hold has closed the disk, and may open it again or end the process.
#[derive(Debug)]
pub struct SyncThread {
    /// Both are there until the drop.
    requests: Option<mpsc::UnboundedSender<SyncRequest>>,
    thread: Option<JoinHandle<()>>,
}

impl SyncThread {
    /// Starts the thread. Each shard of the store has at most one request outstanding, which bounds
    /// the channel.
    pub fn start(engine: Arc<dyn Engine>, name: &str) -> std::io::Result<SyncThread> {
        let (requests, mut inbox) = mpsc::unbounded_channel::<SyncRequest>();
        let thread = std::thread::Builder::new().name(format!("sync-{name}"));
        let thread = thread.spawn(move || {
            let mut asked = Vec::new();
            while inbox.blocking_recv_many(&mut asked, SHARDS_AT_ONCE) > 0 {
                // One sync for all that asked before it begins.
                let synced = engine.sync();
                for done in asked.drain(..) {
                    // Whoever asked may be gone: the node is stopping.
                    done.send(synced.clone()).unwrap_or_default();
                }
            }
        })?;
        Ok(SyncThread { requests: Some(requests), thread: Some(thread) })
    }
}

impl Drop for SyncThread {
    fn drop(&mut self) {
        drop(self.requests.take());
        let ended = self.thread.take().map(JoinHandle::join);
        // An engine that panicked has told so by itself.
        drop(ended);
    }
}

impl Disk for SyncThread {
    fn sync(&self) -> BoxFuture<'static, Result<(), EngineError>> {
        let (done, outcome) = oneshot::channel();
        let sent = self.requests.as_ref().is_some_and(|requests| requests.send(done).is_ok());
        Box::pin(async move {
            let gone = || EngineError {
                doing: "sync".into(),
                cause: "the sync thread is gone".into(),
                corruption: false,
            };
            if !sent {
                return Err(gone());
            }
            outcome.await.map_err(|_| gone())?
        })
    }
}

/// In virtual time: a sync takes as long as it is told to and blocks no thread. What it makes
/// durable is what was written when it was asked for, or a little more.
#[derive(Debug)]
pub struct VirtualDisk {
    /// The engine.
    pub engine: Arc<dyn Engine>,
    /// How long each sync takes.
    pub latency: Duration,
}

impl Disk for VirtualDisk {
    fn sync(&self) -> BoxFuture<'static, Result<(), EngineError>> {
        let (engine, latency) = (Arc::clone(&self.engine), self.latency);
        Box::pin(async move {
            timer::sleep(latency).await;
            engine.sync()
        })
    }
}

#[cfg(test)]
mod tests {
    use storage::MemEngine;

    use super::*;

    #[tokio::test]
    async fn a_dropped_sync_thread_holds_no_engine() {
        for life in 0..100 {
            let engine: Arc<dyn Engine> = Arc::new(MemEngine::default());
            let disk = SyncThread::start(Arc::clone(&engine), "test").expect("a thread");
            disk.sync().await.expect("synced");
            let under_way = disk.sync();
            drop(disk);
            assert_eq!(Arc::strong_count(&engine), 1, "life {life}");
            under_way.await.expect("what was asked for before is done");
        }
    }
}
