//! The canonical form of a replica, for the model checker: two states that differ only in what no
//! step of the checker asks for become one.

use clock::Now;

use super::{Group, Role};
use crate::{Ballot, RoleName, follower::Follower};

impl Group {
    /// Forgets when things happened where only timers ask for it, and counts writes from the last
    /// one on disk. The model checker decides by itself when something is done, under settings
    /// that never send anything again. Answers by how much tokens fall.
    pub(crate) fn canonical(&mut self, now: Now) -> u64 {
        let rebased = self.core.rebase();
        match &mut self.role {
            Role::Follower(follower) => *follower = Follower::newborn(),
            Role::Candidate(candidate) => candidate.canonical(rebased),
            Role::Leader(leader) => leader.canonical(&self.core.config, now, rebased),
        }
        if let Some(transfer) = &mut self.transfer {
            transfer.again_at = now.mono;
            transfer.repeats_left = 0;
        }
        rebased
    }

    /// The role, and the ballot of a candidate or leader.
    pub(crate) fn role(&self) -> (RoleName, Ballot) {
        match &self.role {
            Role::Follower(_) => (RoleName::Follower, Ballot::NONE),
            Role::Candidate(candidate) => (RoleName::Candidate, candidate.ballot),
            Role::Leader(leader) => (RoleName::Leader, leader.ballot),
        }
    }

    /// What this acceptor promised.
    pub(crate) fn promised(&self) -> Ballot {
        self.core.acceptor.promised
    }
}
