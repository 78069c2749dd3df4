//! Who votes, and how many votes make a quorum.
//!
//! Quorums are by number and may be flexible: any `phase1` voters elect a leader, any `phase2`
//! voters choose an entry and make a lease (P2). What safety needs is that every election quorum
//! meets every choosing quorum: `phase1 + phase2 > voters`. [`Membership`] cannot be built
//! otherwise. Its fields are private so that learners and joint quorums can join them.

use std::{collections::BTreeSet, fmt};

use keys::NodeId;
use serde::{Deserialize, Serialize};

/// The most voters a group may have: quorum counts are recomputed on each reply.
pub const MAX_VOTERS: usize = 15;

/// The voters of a group and its quorum sizes.
///
/// Invariants: `1 <= voters <= MAX_VOTERS`, sorted, no duplicate, no node 0;
/// `1 <= phase1, phase2 <= voters`; `phase1 + phase2 > voters`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct Membership {
    voters: Vec<NodeId>,
    phase1: usize,
    phase2: usize,
}

impl Membership {
    /// Majorities for both phases.
    ///
    /// # Errors
    /// If the voters are not a set of 1 to [`MAX_VOTERS`] nodes.
    pub fn majority(voters: Vec<NodeId>) -> Result<Membership, MembershipError> {
        let quorum = voters.len() / 2 + 1;
        Membership::flexible(voters, quorum, quorum)
    }

    /// Any `phase1` voters elect, any `phase2` choose and make the lease.
    ///
    /// # Errors
    /// If the voters are no valid set, or two quorums of these sizes could miss each other.
    pub fn flexible(
        voters: Vec<NodeId>,
        phase1: usize,
        phase2: usize,
    ) -> Result<Membership, MembershipError> {
        let set: BTreeSet<NodeId> = voters.iter().copied().collect();
        let n = voters.len();
        if set.len() != n || n == 0 || n > MAX_VOTERS || set.contains(&NodeId(0)) {
            return Err(MembershipError::Voters(voters));
        }
        if phase1 == 0 || phase2 == 0 || phase1 > n || phase2 > n || phase1 + phase2 <= n {
            return Err(MembershipError::Quorums { voters: n, phase1, phase2 });
        }
        Ok(Membership { voters: set.into_iter().collect(), phase1, phase2 })
    }

    /// The voters, in ascending order.
    #[must_use]
    pub fn voters(&self) -> &[NodeId] {
        &self.voters
    }

    /// Does this node vote?
    #[must_use]
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.voters.binary_search(&node).is_ok()
    }

    /// How many promises elect a leader.
    #[must_use]
    pub fn phase1(&self) -> usize {
        self.phase1
    }

    /// How many acceptances choose an entry, and how many grants make a lease.
    #[must_use]
    pub fn phase2(&self) -> usize {
        self.phase2
    }

    /// The largest value that a phase-2 quorum of voters has reached, where `reached` holds one
    /// value per voter that has answered at all (P2). `None` if fewer answered.
    pub(crate) fn reached_by_phase2<T: Ord + Copy>(
        &self,
        reached: impl Iterator<Item = T>,
    ) -> Option<T> {
        let mut values: Vec<T> = reached.collect();
        assert!(values.len() <= self.voters.len(), "one value per voter");
        values.sort_unstable_by(|a, b| b.cmp(a));
        values.get(self.phase2 - 1).copied()
    }
}

/// What comes from a disk or a wire, before it is checked.
#[derive(Serialize, Deserialize)]
struct Unchecked {
    voters: Vec<NodeId>,
    phase1: usize,
    phase2: usize,
}

impl From<Membership> for Unchecked {
    fn from(m: Membership) -> Unchecked {
        Unchecked { voters: m.voters, phase1: m.phase1, phase2: m.phase2 }
    }
}

impl TryFrom<Unchecked> for Membership {
    type Error = MembershipError;

    fn try_from(raw: Unchecked) -> Result<Membership, MembershipError> {
        Membership::flexible(raw.voters, raw.phase1, raw.phase2)
    }
}

/// Why a membership was refused. The reader is whoever configured the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MembershipError {
    /// Not a set of 1 to [`MAX_VOTERS`] nodes, each above 0.
    Voters(Vec<NodeId>),
    /// Two quorums of these sizes need not meet, or are larger than the group.
    Quorums {
        /// Number of voters.
        voters: usize,
        /// Election quorum asked for.
        phase1: usize,
        /// Choosing quorum asked for.
        phase2: usize,
    },
}

impl fmt::Display for MembershipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MembershipError::Voters(voters) => {
                write!(f, "voters must be 1 to {MAX_VOTERS} different nodes, not {voters:?}")
            }
            MembershipError::Quorums { voters, phase1, phase2 } => write!(
                f,
                "quorums of {phase1} (election) and {phase2} (choosing) of {voters} voters: \
                 together they must exceed {voters}, and neither may"
            ),
        }
    }
}

impl std::error::Error for MembershipError {}

#[cfg(test)]
mod tests;
