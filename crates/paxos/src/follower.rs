//! The follower: waits, and decides when waiting has been long enough.
//!
//! While a grant binds the acceptor to a leader, standing for election is pointless, so the end of
//! the grant is the timer that counts: a live leader renews it long before. When it ends,
//! candidates come one after the other, in an order all replicas draw alike from the group, the
//! round and the node. So a crashed leader is replaced one lease and two round trips after its last
//! heartbeat, and candidates rarely meet.

use clock::{Mono, Now};
use keys::NodeId;

use crate::core::Core;

/// A replica that neither leads nor stands for election.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone, Hash))]
pub(crate) struct Follower {
    /// It does not stand before this moment; `None`: to be set at the first tick.
    campaign_after: Option<Mono>,
    /// Since when nothing but its rank keeps it from standing.
    free_since: Option<Mono>,
    /// Whether it waits for its rank: not if it was asked to lead.
    ranked: bool,
}

impl Follower {
    /// Starts to wait at its first tick: longer if another node is known to have led.
    pub(crate) fn newborn() -> Follower {
        Follower { campaign_after: None, free_since: None, ranked: true }
    }

    /// Waits until this moment at least.
    pub(crate) fn waiting(campaign_after: Mono) -> Follower {
        Follower { campaign_after: Some(campaign_after), free_since: None, ranked: true }
    }

    /// Stands as soon as its own grant allows it.
    pub(crate) fn summoned(now: Now) -> Follower {
        Follower { campaign_after: Some(now.mono), free_since: Some(now.mono), ranked: false }
    }

    /// When to look again whether to stand. At or before `now`: at once.
    pub(crate) fn due(&self, core: &Core, now: Now) -> Mono {
        let Some(after) = self.campaign_after else { return now.mono };
        if after > now.mono {
            return after;
        }
        if let Some(until) = core.acceptor.bound_until(now.tt, core.me, core.certificate) {
            return now.mono.plus(now.tt.until_after(until));
        }
        let since = self.free_since.unwrap_or(now.mono);
        if self.ranked { since.plus(core.config.election_stagger * core.rank()) } else { since }
    }

    /// Looks at the time. Answers whether to stand now.
    pub(crate) fn tick(&mut self, core: &Core, now: Now) -> bool {
        if !core.may_stand() {
            return false;
        }
        let after = *self.campaign_after.get_or_insert_with(|| now.mono.plus(patience(core)));
        if core.acceptor.bound_until(now.tt, core.me, core.certificate).is_some() {
            self.free_since = None;
            return false;
        }
        if now.mono >= after {
            self.free_since.get_or_insert(now.mono);
        }
        self.due(core, now) <= now.mono
    }
}

/// How long a replica just created or restored waits for others. Not long if it led last: whoever
/// granted to it is free for it, and for nobody else.
fn patience(core: &Core) -> std::time::Duration {
    match core.acceptor.promised.node {
        NodeId(0) => core.config.election_timeout,
        node if node == core.me => core.config.election_stagger,
        _ => core.config.lease,
    }
}
