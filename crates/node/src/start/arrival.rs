//! From a start to taking part: the node shows its folder and its start to all others, and its
//! replicas wait for those who vote with them (P0a).
//!
//! ```text
//!   folder's first start   all others remember it ──► admitted, durably ──► founds the system range
//!   later                  all others, or those that answer within `GRACE`
//!                          ──► replicas with a majority take part
//!   for ever after         one more remembers it ──► replicas that waited for it take part
//!                          one objects ──► the node stops, whatever the others said
//! ```
//!
//! Why all at the folder's first start: a node that lost its folder looks like one that was never there,
//! and a single member that kept its own is then enough to refuse it (decision 0009). Why not all
//! later: with one node down no other could be started again. See [`crate::epoch`] for what that
//! leaves open.

use std::collections::BTreeSet;

use keys::NodeId;
use kv::Descriptor;
use tokio::sync::{mpsc, oneshot, watch};

use super::NodeFailure;
use crate::{
    epoch::{Confirmed, GRACE, Showing},
    gateway::Gateway,
    incarnation::Admission,
    store::{
        StoreInput,
        inbox::Full,
        shards::{Shard, Shards},
    },
};

/// What a node does once after its start, and goes on with behind it.
pub(super) struct Arrival {
    pub gateway: Gateway,
    pub shards: Shards,
    pub confirm: watch::Sender<Confirmed>,
    /// The system range as the cluster was founded.
    pub system: Descriptor,
    /// Whether all others remembered the folder in a former start.
    pub admission: Admission,
    pub start: Showing,
}

/// Who remembers this start: so far, and to come.
struct Peers {
    so_far: BTreeSet<NodeId>,
    others: usize,
    more: mpsc::UnboundedReceiver<NodeId>,
}

impl Arrival {
    /// Goes on until the node stops, or must.
    pub async fn run(self, failure: watch::Sender<Option<NodeFailure>>) {
        let (tell, more) = mpsc::unbounded_channel();
        let others = self.gateway.members().iter().count() - 1;
        let peers = Peers { so_far: BTreeSet::new(), others, more };
        let ended = tokio::select! {
            biased;
            ended = self.gateway.vouch(&self.start, &tell) => ended,
            () = self.enter(peers) => return,
        };
        tracing::info!(node = %self.gateway.members().local().id, "{ended}");
        failure.send_replace(Some(ended));
    }

    /// Lets replicas take part as peers remember this start. Returns if the store has ended.
    async fn enter(&self, mut peers: Peers) {
        match self.admission {
            Admission::Pending => {
                peers.all().await;
                let (done, admitted) = oneshot::channel();
                let pushed = self.shards.push_first(self.gateway.now(), StoreInput::Admit(done));
                if pushed.is_err() || admitted.await.is_err() {
                    return;
                }
            }
            // P0a: whoever can object within this time is heard before anything is promised.
            Admission::Granted => drop(timer::timeout(GRACE, peers.all()).await),
        }
        self.take_part(&peers.so_far).await;
        let rest = async {
            while peers.one_more().await {
                self.take_part(&peers.so_far).await;
            }
        };
        tokio::join!(self.found(), rest);
    }

    /// Replicas with a majority of voters among these, and this node, take part from now on.
    async fn take_part(&self, confirmed: &BTreeSet<NodeId>) {
        for shard in self.shards.each() {
            self.tell(shard, confirmed).await;
        }
        // Behind the shards: whoever waits to make a replica finds that its shard has heard.
        self.confirm.send_replace(Confirmed::By(confirmed.clone()));
    }

    async fn tell(&self, shard: Shard, confirmed: &BTreeSet<NodeId>) {
        loop {
            let input = StoreInput::Confirmed(confirmed.clone());
            match self.shards.push_to(self.gateway.now(), shard, input) {
                Ok(()) => return,
                // It has much to do, and less in a moment.
                Err(Full(_)) => timer::sleep(GRACE / 100).await,
            }
        }
    }

    /// A voter of the system range makes its replica, unless it did before. Every voter makes the
    /// same one from the same static membership.
    async fn found(&self) {
        if self.system.voters.contains(&self.gateway.members().local().id) {
            // If the store has ended already, `failed` tells.
            self.gateway.create(self.system.clone()).await.unwrap_or_default();
        }
    }
}

impl Peers {
    /// Waits until all others remember this start.
    async fn all(&mut self) {
        while self.so_far.len() < self.others {
            if !self.one_more().await {
                return std::future::pending().await;
            }
        }
    }

    /// Waits for one more; `false`: nobody tells any more.
    async fn one_more(&mut self) -> bool {
        let Some(peer) = self.more.recv().await else { return false };
        let new = self.so_far.insert(peer);
        assert!(new, "{peer} is named once");
        true
    }
}
