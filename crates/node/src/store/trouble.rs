//! What the store does about peers that contradict a replica, and replicas that contradict their log.

use std::fmt;

use clock::Now;
use keys::{NodeId, RangeId};
use kv::KvError;

use super::Store;

impl Store {
    /// A replica contradicts its log, or all its peers: it says nothing any more, as if its node were down for it. The
    /// other ranges of this node go on.
    pub(super) fn stop_replica(&mut self, now: Now, range: RangeId, why: &dyn fmt::Display) {
        let node = self.parts.node;
        self.replicas.remove(&range);
        self.stopped.insert(range);
        let count = self.stopped.len();
        tracing::error!(%node, %range, "its replica stops ({count} so far on this node): {why}");
        for caller in self.callers.end_all(range) {
            self.reply(caller, Err(stopped(node, range)));
        }
        self.schedule(range, now);
    }

    /// Counted, and named in the log now and then: a peer that sends nothing else must not fill it.
    pub(super) fn refused(&mut self, range: RangeId, from: NodeId, cause: &str) {
        self.refusals += 1;
        if self.refusals.is_power_of_two() {
            let (node, count) = (self.parts.node, self.refusals);
            tracing::error!(%node, %range, "refused what {from} says ({count} so far): {cause}");
        }
    }
}

/// What is answered to a request whose turn came after its deadline: it was not begun.
pub(super) fn late(node: NodeId) -> KvError {
    KvError::Overloaded(format!("{node} has so much to do that it came too late to the request"))
}

/// What is answered for a replica that stopped: another one may be asked.
pub(super) fn stopped(node: NodeId, range: RangeId) -> KvError {
    let missing = format!("its replica on {node} contradicts its log or its peers and has stopped");
    KvError::Unavailable { range, missing }
}
