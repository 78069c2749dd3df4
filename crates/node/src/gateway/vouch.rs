//! Showing this node's start to the others, and hearing of theirs (P0a).
//!
//! ```text
//!   a start    --- Introduce(folder, start, former starts) --->  every other member, until it says so:
//!              <-- Done: remembered, durably ----------------    counts for the ranges it votes in
//!   from then  --- Show(start, mark), each 1.5 s ------------->  remembered, durable a little later
//!              <-- Objection: the other folder, or the later start --   the node stops
//! ```
//!
//! It goes on for as long as the node runs: a member that was away is introduced to the node when it
//! comes back, and may be the one who knows better.

use std::{convert::Infallible, time::Duration};

use keys::NodeId;
use tokio::sync::{mpsc, oneshot};

use super::{Gateway, touch::PING_PATIENCE};
use crate::{
    epoch::{Objection, OlderCopy, Reached, SHOWN_EVERY, Showing},
    incarnation::DataLost,
    message::{NodeAnswer, NodeQuestion},
    start::NodeFailure,
    store::StoreInput,
};

/// How long a node's first introduction to another waits for an answer beside two round trips, and
/// then pauses; doubled with each that is not answered.
const INTRODUCTION_FIRST: Duration = Duration::from_millis(50);

/// The longest of these waits. Longer than a round trip around the world and a sync.
const INTRODUCTION_MAX: Duration = Duration::from_secs(2);

/// The longest of these pauses: replicas may wait for whoever comes back.
const INTRODUCTION_PAUSE_MAX: Duration = Duration::from_millis(500);

impl Gateway {
    /// Shows this start to every other member for as long as the node runs, and names each that
    /// remembers it, once. Ends only if one of them knows better: why the node must stop.
    pub async fn vouch(
        &self,
        start: &Showing,
        confirmed: &mpsc::UnboundedSender<NodeId>,
    ) -> NodeFailure {
        let local = self.shared.members.local().id;
        let others = self.shared.members.iter().map(|m| m.id).filter(|id| *id != local);
        let shown = others.map(|peer| self.vouch_to(peer, start, confirmed));
        match futures::future::try_join_all(shown).await {
            Err(failure) => failure,
            // There are no others.
            Ok(_) => std::future::pending().await,
        }
    }

    async fn vouch_to(
        &self,
        peer: NodeId,
        start: &Showing,
        confirmed: &mpsc::UnboundedSender<NodeId>,
    ) -> Result<Infallible, NodeFailure> {
        let objected = |objection| failure(self.shared.members.local().id, peer, start, objection);
        self.introduce_to(peer, start).await.map_err(objected)?;
        // Nobody counts any more: the node stops.
        confirmed.send(peer).unwrap_or_default();
        loop {
            timer::sleep(SHOWN_EVERY).await;
            // P0a: the bound that is shown is durable here, in the log that all replicas write to.
            let mark = self.shared.clock.durable_bound();
            let now = Reached { epoch: start.starts.now.epoch, mark };
            let answer = self.ask(peer, NodeQuestion::Show(now), PING_PATIENCE).await;
            if let Some(NodeAnswer::Objection(objection)) = answer {
                return Err(objected(objection));
            }
        }
    }

    /// Introduces this start to a member until it remembers it, for as long as that takes.
    async fn introduce_to(&self, peer: NodeId, start: &Showing) -> Result<(), Objection> {
        let node = self.shared.members.local().id;
        let mut patience = INTRODUCTION_FIRST + 2 * self.shared.members.round_trip(peer);
        loop {
            let question = NodeQuestion::Introduce(start.clone());
            match self.ask(peer, question, patience).await {
                Some(NodeAnswer::Done) => return Ok(()),
                Some(NodeAnswer::Objection(objection)) => return Err(objection),
                Some(
                    NodeAnswer::Pong(_)
                    | NodeAnswer::Refused(_)
                    | NodeAnswer::Stats(_)
                    | NodeAnswer::Spans(..),
                )
                | None => {}
            }
            timer::sleep(patience.min(INTRODUCTION_PAUSE_MAX)).await;
            let longer = INTRODUCTION_MAX.min(patience * 2);
            if patience < longer && longer == INTRODUCTION_MAX {
                tracing::info!(%node, "{peer} does not answer: it is told of this start later");
            }
            patience = longer;
        }
    }

    /// Hears what another node shows.
    pub(super) async fn hear(
        &self,
        input: impl FnOnce(oneshot::Sender<Result<(), Objection>>) -> StoreInput,
    ) -> NodeAnswer {
        let (done, heard) = oneshot::channel();
        if self.shared.shards.push_first(self.shared.mono(), input(done)).is_err() {
            return NodeAnswer::Refused(super::FULL.to_owned());
        }
        match heard.await {
            Ok(Ok(())) => NodeAnswer::Done,
            Ok(Err(objection)) => NodeAnswer::Objection(objection),
            Err(_) => NodeAnswer::Refused("the node is stopping".into()),
        }
    }
}

/// What an objection means to the node that it is made to.
fn failure(node: NodeId, peer: NodeId, start: &Showing, objection: Objection) -> NodeFailure {
    match objection {
        Objection::OtherFolder(known) => {
            DataLost { node, peer, known, found: start.incarnation }.into()
        }
        Objection::OlderCopy(known) => {
            OlderCopy { node, peer, known, found: Box::new(start.clone()) }.into()
        }
    }
}
