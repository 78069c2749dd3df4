//! What waits until the writes of a round are durable: one sync at a time, for all that came meanwhile
//! (group commit).

use clock::Now;
use futures::future::BoxFuture;
use keys::{NodeId, RangeId};
use range::{GroupMessage, Input, PersistToken, Replica};
use storage::EngineError;
use tokio::sync::oneshot;

use super::{Store, input::StoreInput};
use crate::{epoch::Objection, message::NodeMessage};

/// What waits for the writes of this and earlier rounds to become durable.
#[derive(Default)]
pub(super) struct Unsynced {
    pub tokens: Vec<(RangeId, PersistToken)>,
    pub messages: Vec<(NodeId, RangeId, GroupMessage)>,
    /// Replicas that are driven once they are durable; `None`: it was there before.
    pub created: Vec<(Option<Replica>, oneshot::Sender<()>)>,
    /// Replicas born here that another shard drives once they are durable.
    pub given_away: Vec<(Replica, PersistToken)>,
    /// Who asked to be remembered, or told that all others remember this node.
    pub remembered: Vec<oneshot::Sender<Result<(), Objection>>>,
    pub admitted: Vec<oneshot::Sender<()>>,
    pub clock_bound: Option<u64>,
}

impl Unsynced {
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
            && self.messages.is_empty()
            && self.created.is_empty()
            && self.given_away.is_empty()
            && self.remembered.is_empty()
            && self.admitted.is_empty()
            && self.clock_bound.is_none()
    }
}

type SyncOutcome = Result<(), EngineError>;

/// A sync under way, and what waits for it.
pub(super) type Syncing = (Unsynced, BoxFuture<'static, SyncOutcome>);

impl Store {
    pub(super) fn begin_sync(&mut self) {
        if self.syncing.is_none() && !self.unsynced.is_empty() {
            let waiting = std::mem::take(&mut self.unsynced);
            self.syncing = Some((waiting, self.parts.disk.sync()));
        }
    }

    /// A sync ended: what waited for it may go.
    pub(super) fn let_go(&mut self, now: Now) -> Result<(), EngineError> {
        let (waited, _) = self.syncing.take().expect("a sync that ended was under way");
        for (to, range, message) in waited.messages {
            self.outbox.push(to, NodeMessage::Group(range, message));
        }
        for (replica, birth) in waited.given_away {
            self.give_away(now, replica, birth);
        }
        for (replica, done) in waited.created {
            if let Some(replica) = replica {
                self.creating.remove(&replica.range());
                self.drive(now, replica);
            }
            // Whoever asked may have given up.
            done.send(()).unwrap_or_default();
        }
        // As above.
        for done in waited.remembered {
            done.send(Ok(())).unwrap_or_default();
        }
        for done in waited.admitted {
            done.send(()).unwrap_or_default();
        }
        if let Some(bound) = waited.clock_bound {
            self.parts.clock.bound_written(bound);
        }
        for (range, token) in waited.tokens {
            self.timelines.persisted(range, token);
            self.step(now, range, Input::Persisted(token))?;
        }
        Ok(())
    }

    /// A replica born here, which is durable now, goes to the shard that drives it.
    fn give_away(&self, now: Now, replica: Replica, birth: PersistToken) {
        let range = replica.range();
        let input = StoreInput::Adopt(Box::new(replica), birth);
        // The store is gone only when the node stops.
        let given = self.shards.upgrade().map(|shards| shards.push(now.mono, range, input));
        if let Some(Err(_)) = given {
            // Its node has to do without it: a replica is on disk and is opened at the next start.
            tracing::error!(node = %self.parts.node, %range, "a replica found no room in its shard");
        }
    }
}

/// Resolves when the sync under way ends; never if there is none.
pub(super) async fn poll_sync(syncing: &mut Option<Syncing>) -> SyncOutcome {
    match syncing {
        Some((_, sync)) => sync.await,
        None => std::future::pending().await,
    }
}
