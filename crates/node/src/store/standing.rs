//! Who may take part: this node's replicas, once their peers know its start, and peers, as this node
//! remembers theirs (P0a).
//!
//! A replica that is found on the disk *waits*: it hears nothing, says nothing and is not woken, as
//! if its node were down. It is driven from when a majority of its voters, this node among them,
//! remember this start. A folder that was turned back is objected to before, and then it has not
//! promised or accepted anything on top of what it forgot.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use clock::Now;
use keys::{NodeId, RangeId};
use kv::{Descriptor, KvError};
use range::Replica;
use storage::EngineError;
use tokio::sync::oneshot;

use super::Store;
use crate::{
    epoch::{self, Objection, Reached, Showing, suffices},
    incarnation::{self, Admission},
};

/// Most voters that are told of as lacking their replica; the others are by the next look.
const MAX_UNBORN: usize = 1024;

/// The replicas that wait, and who remembers this start.
#[derive(Default)]
pub(super) struct Standing {
    waiting: BTreeMap<RangeId, Replica>,
    confirmed: BTreeSet<NodeId>,
}

impl Standing {
    /// All replicas that the disk has: none is driven yet.
    pub fn of(waiting: BTreeMap<RangeId, Replica>) -> Standing {
        Standing { waiting, confirmed: BTreeSet::new() }
    }

    /// Whether a replica of a range is here and waits.
    pub fn waits(&self, range: RangeId) -> bool {
        self.waiting.contains_key(&range)
    }

    /// The replicas that wait.
    pub fn waiting_mut(&mut self) -> impl Iterator<Item = &mut Replica> {
        self.waiting.values_mut()
    }

    /// These peers remember the start. The replicas that wait no longer, by range.
    fn confirm(&mut self, node: NodeId, confirmed: BTreeSet<NodeId>) -> Vec<Replica> {
        assert!(confirmed.is_superset(&self.confirmed), "{node}: a peer does not forget a start");
        self.confirmed = confirmed;
        let stands =
            |replica: &mut Replica| suffices(&replica.descriptor().voters, node, &self.confirmed);
        self.waiting.extract_if(.., |_, replica| stands(replica)).map(|(_, r)| r).collect()
    }
}

/// What is answered for a replica that waits: another one may be asked.
pub(super) fn not_yet(range: RangeId) -> KvError {
    KvError::NotLeader { range, leader: None }
}

impl Store {
    /// P0a: more peers remember this start; the replicas that waited for them take part.
    pub(super) fn confirm(&mut self, now: Now, confirmed: BTreeSet<NodeId>) {
        for replica in self.standing.confirm(self.parts.node, confirmed) {
            self.drive(now, replica);
        }
    }

    /// Voters of the ranges led here that may lack their replica, and the ranges as they were born.
    pub(super) fn unborn(&self) -> Vec<(NodeId, Descriptor)> {
        let each = |(voters, born): (Vec<NodeId>, Descriptor)| {
            voters.into_iter().map(move |voter| (voter, born.clone()))
        };
        let unborn = self.replicas.values().filter_map(Replica::unborn).flat_map(each);
        unborn.take(MAX_UNBORN).collect()
    }

    /// Drives a replica from now on.
    pub(super) fn drive(&mut self, now: Now, replica: Replica) {
        let id = replica.range();
        let replaced = self.replicas.insert(id, replica);
        assert!(replaced.is_none(), "{id} was born twice on {}", self.parts.node);
        self.schedule(id, now);
    }

    /// A peer has started: what it shows is remembered, and answered once that is durable.
    pub(super) fn introduced(
        &mut self,
        peer: NodeId,
        shown: &Showing,
        done: oneshot::Sender<Result<(), Objection>>,
    ) -> Result<(), EngineError> {
        let engine = &self.engine;
        match epoch::remember(engine, peer, shown, self.parts.epoch_check)? {
            Ok(()) => self.unsynced.remembered.push(done),
            Err(objection) => {
                self.object(peer, objection);
                // Whoever asked may have given up.
                done.send(Err(objection)).unwrap_or_default();
            }
        }
        Ok(())
    }

    /// A peer shows how far it is: answered at once. What is written becomes durable with the next
    /// sync, which the clock's bound needs soon in any case: a sync for each would cost more than
    /// the second that a crash may forget.
    pub(super) fn shown(
        &mut self,
        peer: NodeId,
        shown: Reached,
        done: oneshot::Sender<Result<(), Objection>>,
    ) -> Result<(), EngineError> {
        let engine = &self.engine;
        let heard = epoch::follow(engine, peer, shown, self.parts.epoch_check)?;
        if let Err(objection) = heard {
            self.object(peer, objection);
        }
        // As above.
        done.send(heard).unwrap_or_default();
        Ok(())
    }

    fn object(&self, peer: NodeId, objection: Objection) {
        let node = self.parts.node;
        match objection {
            Objection::OtherFolder(_) => {
                tracing::warn!(%node, "{peer} came back without its data folder and is refused");
            }
            Objection::OlderCopy(known) => {
                let what = "came back with an older copy of its data folder and is refused";
                tracing::warn!(%node, "{peer} {what}: known is {known}");
            }
        }
    }

    /// All others remember this node's folder: noted for good.
    pub(super) fn admit(&mut self, done: oneshot::Sender<()>) -> Result<(), EngineError> {
        incarnation::admit(&self.engine)?;
        self.unsynced.admitted.push(done);
        Ok(())
    }

    /// Makes a replica; whoever asked is told once it is durable.
    pub(super) fn create(
        &mut self,
        descriptor: &Descriptor,
        done: oneshot::Sender<()>,
    ) -> Result<(), EngineError> {
        let range = descriptor.id;
        self.assert_admitted(descriptor)?;
        let known = self.replicas.contains_key(&range)
            || self.standing.waits(range)
            || self.stopped.contains(&range)
            || !self.creating.insert(range);
        let replica = match known {
            true => None,
            false => Some(Replica::create(
                &self.engine,
                descriptor,
                self.parts.node,
                Arc::clone(&self.parts.config),
            )?),
        };
        // As of a split's children.
        self.engine.write_out()?;
        self.unsynced.created.push((replica, done));
        Ok(())
    }

    /// Asserts that a replica of this range may be made here: it may have been here before.
    pub(super) fn assert_admitted(&self, made: &Descriptor) -> Result<(), EngineError> {
        let admission = incarnation::admission(&self.engine)?;
        let (node, confirmed) = (self.parts.node, &self.standing.confirmed);
        assert!(admission == Admission::Granted, "{made} is made on {node}, which is not admitted");
        assert!(
            suffices(&made.voters, node, confirmed),
            "P0a: {made} is made on {node}, but only {confirmed:?} remember this start"
        );
        Ok(())
    }
}
