//! What a host gets back from a [`Group`](crate::Group) besides effects: views and errors.

use std::fmt;

use clock::Timestamp;
use keys::NodeId;

use crate::{Ballot, Slot};

/// The leadership this replica holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// Its ballot.
    pub ballot: Ballot,
    /// Every timestamp assigned under it lies above (P3).
    pub floor: Timestamp,
    /// The lease ends here (P2): act only while `TT.now().latest` is before it, and assign and
    /// serve only timestamps below it. Zero while no quorum has granted. It never moves back.
    pub lease_end: Timestamp,
    /// Whether all it recovered and its opening entry are chosen and applied (P7).
    pub ready: bool,
}

/// What the acceptor of a child group knows at birth, from its parent (a split, section 8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Birth {
    /// max(the parent's promise, the ballot that proposed the split).
    pub(crate) promised: Ballot,
    /// The parent's grant: `Ballot::NONE` and zero if there is none.
    pub(crate) granted: crate::acceptor::Grant,
    /// The parent's horizon.
    pub(crate) horizon: Timestamp,
    /// At least the parent's (P0): the child starts under the parent's ballot.
    pub(crate) round_used: u64,
    /// Present at the one replica that leads the child at birth.
    pub(crate) heir: Option<Heir>,
    /// Whether the record of the birth is on disk before the group does anything. A child's is
    /// not: it is written with the parent's split, and what its acceptor took over may itself
    /// still be on its way to disk.
    pub(crate) record: BirthRecord,
}

/// Where the record of a birth is when the group begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum BirthRecord {
    /// On disk.
    Synced,
    /// Written: it is the group's first write, and nothing is vouched for before it is on disk (S1).
    Written,
}

impl Birth {
    /// Nothing is granted yet; all promised round 1 of whoever is born to lead.
    pub(crate) fn of_new_group(me: NodeId, born: Option<NodeId>) -> Birth {
        let promised = born.map_or(Ballot::NONE, |node| Ballot::new(1, node));
        let heir = Heir { floor: Timestamp::ZERO, grants: Vec::new() };
        Birth {
            promised,
            granted: crate::acceptor::Grant::default(),
            horizon: Timestamp::ZERO,
            round_used: promised.round,
            heir: (born == Some(me)).then_some(heir),
            record: BirthRecord::Synced,
        }
    }

    /// Whether the replica born so leads its group at once.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.heir.is_some()
    }
}

/// What the leader of a child group inherits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heir {
    /// The parent's `min_next`.
    pub floor: Timestamp,
    /// The grants that make the parent's lease.
    pub grants: Vec<(NodeId, Timestamp)>,
}

/// Whether a replica may stand for election.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Candidacy {
    /// It may.
    #[default]
    Allowed,
    /// It may not: it could be elected for its log, and yet not act, since its host lacks the state
    /// below the log.
    Barred,
}

/// Why a command was not proposed. Nothing happened; the command is the caller's again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposeError {
    /// Another replica leads, as far as known.
    NotLeader {
        /// Whom to ask instead.
        hint: Option<NodeId>,
    },
    /// Elected, but what it recovered is not yet chosen and applied (P7). Soon.
    NotReady,
    /// The lease is not in force (P2): a quorum is out of reach, or has not answered yet.
    LeaseLapsed,
    /// Too much is in flight; try again after the next chosen entry.
    WindowFull,
    /// The command exceeds `Config::max_entry_bytes`.
    TooLarge {
        /// Its size in bytes.
        bytes: usize,
    },
}

impl fmt::Display for ProposeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProposeError::NotLeader { hint: Some(node) } => write!(f, "not the leader; ask {node}"),
            ProposeError::NotLeader { hint: None } => write!(f, "not the leader; none is known"),
            ProposeError::NotReady => write!(f, "the new leader is still recovering its log"),
            ProposeError::LeaseLapsed => write!(f, "the leader holds no lease: no quorum answers"),
            ProposeError::WindowFull => write!(f, "too many proposals in flight"),
            ProposeError::TooLarge { bytes } => {
                write!(f, "a command of {bytes} bytes is too large")
            }
        }
    }
}

impl std::error::Error for ProposeError {}

/// Why leadership was not released. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseError {
    /// Nothing to release.
    NotLeader,
    /// Only a leader that acts can vouch for a floor: recovered (P7) and with its lease in force.
    NotActing,
    /// The target is no voter.
    NotVoter,
    /// The target has not accepted all entries, so it could not lead at once. Try again.
    TargetBehind {
        /// What it has.
        matched: Slot,
        /// What it would need.
        last: Slot,
    },
}

impl fmt::Display for ReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReleaseError::NotLeader => write!(f, "not the leader"),
            ReleaseError::NotActing => write!(f, "the leader is recovering or holds no lease"),
            ReleaseError::NotVoter => write!(f, "the target is no voter of the group"),
            ReleaseError::TargetBehind { matched, last } => {
                write!(f, "the target has the log up to {matched} of {last}")
            }
        }
    }
}

impl std::error::Error for ReleaseError {}

/// The records of a group on disk contradict each other (S3): the replica must not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrupt(pub String);

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "corrupt Paxos records: {}", self.0)
    }
}

impl std::error::Error for Corrupt {}

/// Why a snapshot was not installed. Nothing changed: the host drops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotRefused {
    /// This replica has applied as much.
    Old {
        /// What it has applied.
        applied: Slot,
    },
    /// This replica leads, so it holds all it needs.
    Leading,
    /// It is none of this group's log, as far as that is known here.
    Contradicts {
        /// As of which slot it is, by its own word.
        upto: Slot,
        /// The ballot of its fence.
        fence: Ballot,
    },
}

impl fmt::Display for SnapshotRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapshotRefused::Old { applied } => write!(f, "already applied up to {applied}"),
            SnapshotRefused::Leading => write!(f, "a leader needs no snapshot"),
            SnapshotRefused::Contradicts { upto, fence } => {
                write!(f, "a snapshot at {upto} cannot have the fence {fence}")
            }
        }
    }
}

impl std::error::Error for SnapshotRefused {}

/// What a replica is doing, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its role.
    pub role: RoleName,
    /// The ballot it leads or stands under; [`Ballot::NONE`] for a follower.
    pub ballot: Ballot,
    /// The highest ballot promised.
    pub promised: Ballot,
    /// Who leads, as far as known.
    pub leader: Option<NodeId>,
    /// The end of the lease it holds (leader) or granted (others); zero if none.
    pub lease_end: Timestamp,
    /// Whether it may act while its lease holds (P7). False for all but leaders.
    pub ready: bool,
    /// The log begins after this slot.
    pub truncated: Slot,
    /// All slots up to here are applied.
    pub applied: Slot,
    /// All slots up to here are known chosen.
    pub chosen: Slot,
    /// The highest slot accepted.
    pub last: Slot,
    /// Bytes held in the log.
    pub log_bytes: usize,
    /// A leader's view of the others; empty otherwise.
    pub peers: Vec<PeerStatus>,
}

/// A role's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleName {
    /// Follows.
    Follower,
    /// Stands for election.
    Candidate,
    /// Leads.
    Leader,
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            RoleName::Follower => "follower",
            RoleName::Candidate => "candidate",
            RoleName::Leader => "leader",
        })
    }
}

/// A leader's view of one follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Who.
    pub node: NodeId,
    /// It has everything up to here.
    pub matched: Slot,
    /// Its grant ends here; zero if it gave none.
    pub granted: Timestamp,
    /// Whether it waits for a snapshot.
    pub snapshotting: bool,
}
