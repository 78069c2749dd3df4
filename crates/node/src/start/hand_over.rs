//! Leaving in good order: before a node stops, the ranges that it leads get other leaders (P5), and its
//! gateway gives back its right to use the catalog, so that nobody waits for its leases to run out.

use std::time::Duration;

use futures::{
    StreamExt,
    stream::{self, FuturesUnordered},
};
use kv::{Descriptor, KvError, RangeRequest, RangeSender, Reply, Request};
use timer::{Instant, sleep, timeout_at};
use tokio::sync::oneshot;

use crate::{Node, store::StoreInput};

/// Ranges that are handed over at a time.
const AT_A_TIME: usize = 64;

/// How often the next leader is asked whether it leads.
const LOOK: Duration = Duration::from_millis(5);

impl Node {
    /// Hands over the ranges that this node leads, each to its nearest voter that answers, and waits
    /// until those lead; its sessions are over. Takes `patience` at most. Whether all of them do: a range
    /// whose next leader was not heard of may have nobody to serve it until a lease has run out.
    pub async fn hand_over(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let leave = timeout_at(until, self.database().leave());
        // Schema changes may wait for a gateway that did not come to leave; nobody else does.
        let (_left, all) = futures::join!(leave, self.hand_over_all(until));
        all
    }

    async fn hand_over_all(&self, until: Instant) -> bool {
        let Ok(Some(led)) = timeout_at(until, self.led()).await else { return false };
        let handed = stream::iter(led)
            .map(|range| async move { self.hand_over_range(&range, until).await })
            .buffer_unordered(AT_A_TIME);
        handed.fold(true, |all, one| async move { all && one }).await
    }

    /// The ranges that this node leads; `None` if its store has ended.
    async fn led(&self) -> Option<Vec<Descriptor>> {
        let mut told = Vec::new();
        self.shards.upgrade()?.push_all(self.clock().source().mono(), || {
            let (tell, led) = oneshot::channel();
            told.push(led);
            StoreInput::Led(tell)
        });
        let mut all = Vec::new();
        for led in told {
            all.extend(led.await.ok()?);
        }
        Some(all)
    }

    async fn hand_over_range(&self, range: &Descriptor, until: Instant) -> bool {
        let me = self.id();
        let ask = |at, request| {
            let deadline = until.saturating_duration_since(Instant::now());
            let asked = RangeRequest { range: range.id, deadline, request, trace: None };
            timeout_at(until, self.gateway.send(at, asked))
        };
        let others = range.voters.iter().copied().filter(|voter| *voter != me);
        let alive = others.map(|voter| async move {
            matches!(ask(voter, Request::Status).await, Ok(Ok(_))).then_some(voter)
        });
        let mut alive: FuturesUnordered<_> = alive.collect();
        // The first to answer is the nearest.
        let to = loop {
            match alive.next().await {
                Some(Some(voter)) => break voter,
                Some(None) => {}
                None => return false,
            }
        };
        while Instant::now() < until {
            match ask(me, Request::TransferLeader { to }).await {
                Ok(Ok(_)) => break,
                // Somebody else leads already.
                Ok(Err(KvError::NotLeader { .. })) => return true,
                // It is being handed over, or the node has much to do.
                Ok(Err(KvError::Overloaded(_))) => sleep(LOOK).await,
                Ok(Err(_)) | Err(_) => return false,
            }
        }
        while Instant::now() < until {
            let answer = ask(to, Request::Status).await;
            if matches!(answer, Ok(Ok(Reply::Status(status))) if status.leader == Some(to)) {
                return true;
            }
            sleep(LOOK).await;
        }
        false
    }
}
