//! Ballots and slots: the two coordinates of everything a Paxos group does.

use std::fmt;

use keys::NodeId;
use serde::{Deserialize, Serialize};

/// The identity of one leadership, or of one attempt at it. Ordered by round, then by node, so that
/// two nodes never share a ballot. A ballot is never used twice (P0).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Ballot {
    /// Grows with every attempt at leadership; 0 only in [`Ballot::NONE`].
    pub round: u64,
    /// The node that leads, or stands for election, under this ballot.
    pub node: NodeId,
}

impl Ballot {
    /// Below every real ballot: nothing promised, nothing accepted.
    pub const NONE: Ballot = Ballot { round: 0, node: NodeId(0) };

    /// The ballot of `node` in `round`.
    #[must_use]
    pub const fn new(round: u64, node: NodeId) -> Ballot {
        Ballot { round, node }
    }
}

/// Printed as `3.n1`: round 3 of node 1.
impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.round, self.node)
    }
}

/// A position in the log of a group: 1, 2, 3 ... without end. 0 stands for "before the first".
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Slot(pub u64);

impl Slot {
    /// Before the first slot: nothing chosen, nothing applied, nothing truncated.
    pub const NONE: Slot = Slot(0);

    /// The slot after this one.
    #[must_use]
    pub const fn next(self) -> Slot {
        Slot(self.0.saturating_add(1))
    }

    /// The slot before this one; [`Slot::NONE`] has none and stays.
    #[must_use]
    pub const fn prev(self) -> Slot {
        Slot(self.0.saturating_sub(1))
    }

    /// How many slots lie in `(earlier, self]`; 0 if `earlier` is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Slot) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}
