//! Effects: what a group asks its host to do. The contract with the host, in full.
//!
//! After each call (or several calls with the same `Effects`) the host
//!
//! 1. writes all of `persist`, in order, in **one** atomic batch;
//! 2. sends all of `send` at any time, in order per destination;
//! 3. hands `chosen` to its state machine, in order, and reports progress by `Group::applied`;
//! 4. once everything in this and all earlier `persist` is on disk (fsync, S1): sends
//!    `send_durable`, and then calls `Group::persisted(token)` if there is a `token`.
//!
//! Steps 2 and 3 may come before step 1: an entry is chosen by a quorum's disks, not by this one,
//! and what is applied is written after the entry's append, to the same write-ahead log. What must
//! never happen is step 4 before step 1, or a `persist` of a later call reaching disk without
//! an earlier one.

use clock::Timestamp;
use keys::NodeId;
use serde::{Deserialize, Serialize};

use crate::{Ballot, Contradiction, Entry, Fence, Message, Slot};

/// What a group asks its host to do. See the module head for the order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// To be written in order, in one batch.
    pub persist: Vec<Persist>,
    /// Present if `persist` or `send_durable` is not empty: to be handed to `Group::persisted`
    /// once this and all earlier `persist` are on disk. It covers all smaller tokens.
    pub token: Option<PersistToken>,
    /// May be sent now.
    pub send: Vec<(NodeId, Message)>,
    /// May be sent only once this and all earlier `persist` are on disk.
    pub send_durable: Vec<(NodeId, Message)>,
    /// Entries now known chosen: contiguous, in order, each once per incarnation of the group.
    pub chosen: Vec<Chosen>,
    /// What the host should know.
    pub events: Vec<Event>,
}

impl Effects {
    /// Nothing to do at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.persist.is_empty()
            && self.token.is_none()
            && self.send.is_empty()
            && self.send_durable.is_empty()
            && self.chosen.is_empty()
            && self.events.is_empty()
    }
}

/// Names a moment in a group's sequence of writes. Counts from 1 in each incarnation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersistToken(pub u64);

/// One write to the group's own records.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Persist {
    /// Put this entry into this slot of the log, in place of what is there.
    Append {
        /// Where.
        slot: Slot,
        /// What.
        entry: Entry,
    },
    /// Replace the group's record.
    SetDurable(Durable),
    /// Remove all slots up to and including this one from the log.
    TruncateThrough(Slot),
}

/// The group's record in the `state` column family: all an acceptor remembers beside its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Durable {
    /// The highest ballot promised.
    pub promised: Ballot,
    /// At or above the end of every lease ever granted (P4); zero if none was.
    pub horizon: Timestamp,
    /// The highest round this node ever stood in (P0).
    pub round_used: u64,
    /// Slots up to here are applied and removed from the log.
    pub truncated: Slot,
    /// The fence behind `truncated` (P8).
    pub fence: Fence,
}

/// An entry that is chosen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Chosen {
    /// Its slot: one above the last one told.
    pub slot: Slot,
    /// The entry. Its `ballot` may differ between replicas, the rest never does.
    pub entry: Entry,
    /// The fence's verdict (P8): the entry must take no effect, and whoever proposed it learns
    /// that it did not happen. The same on all replicas.
    pub void: bool,
}

/// What the host should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Elected. It may not act yet: see `Ready`.
    BecameLeader {
        /// The leadership.
        ballot: Ballot,
        /// Every timestamp assigned under it lies above (P3).
        floor: Timestamp,
    },
    /// All that was recovered, and the opening entry, is chosen and applied (P7): it may act
    /// while its lease holds.
    Ready {
        /// The leadership.
        ballot: Ballot,
    },
    /// The leadership is over. The fate of its proposals not yet chosen is unknown here: each is
    /// told in time by `chosen`, in its slot or by another entry in its slot.
    LostLeadership {
        /// The leadership.
        ballot: Ballot,
    },
    /// A follower needs slots that this leader has truncated: stream it a snapshot, or hand them to
    /// `Group::send_truncated` if they are on disk still. Told again after `Config::snapshot_retry`.
    SnapshotNeeded {
        /// The follower.
        to: NodeId,
        /// It has everything up to here.
        has: Slot,
    },
    /// This follower has applied `through` and may serve reads up to `at` (R3).
    Closed {
        /// The closed timestamp.
        at: Timestamp,
        /// The slot it holds from.
        through: Slot,
    },
    /// A voter has promised a higher ballot that leads nothing, so it accepts nothing from this
    /// leader, which still holds its lease. Releasing to oneself (`Group::release`) heals it.
    Stray {
        /// The voter.
        peer: NodeId,
        /// What it promised.
        promised: Ballot,
    },
    /// A message contradicts what is known here, and was dropped: a peer is damaged, of another
    /// version, or wrong.
    Refused {
        /// Who sent it.
        from: NodeId,
        /// What is wrong with it.
        why: Contradiction,
    },
}
