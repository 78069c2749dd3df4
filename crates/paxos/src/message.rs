//! What replicas of a group say to each other, and what the log holds.
//!
//! | message | from -> to | answer | carries |
//! |---|---|---|---|
//! | `Prepare` | candidate -> voter | `Promise` or `Refuse` | phase 1 over the whole suffix |
//! | `Accept` | leader -> voter | `Accepted` or `Refuse` | entries, lease request, commit index |
//! | `Heartbeat` | leader -> voter | `Accepted` or `Refuse` | lease request, commit index |
//! | `Commit` | leader -> voter | none | commit index, closed timestamp |
//! | `Transfer` | former leader -> all | none | the certificate of P5 |
//!
//! Any message may be lost, repeated, delayed or reordered: each names its ballot, and answers name
//! the request they answer.

use bytes::Bytes;
use clock::Timestamp;
use keys::NodeId;
use serde::{Deserialize, Serialize};

use crate::{Ballot, Slot};

/// What a slot of the log holds. Membership changes will be further variants.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Payload {
    /// Fills a gap that a new leader found.
    Noop,
    /// The opening entry of a leadership (P7).
    Opening,
    /// A command of the host, opaque here.
    Command(Bytes),
}

impl Payload {
    /// Bytes that count against limits: the command, and a constant for what goes with it.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Payload::Noop | Payload::Opening => ENTRY_OVERHEAD,
            Payload::Command(command) => command.len() + ENTRY_OVERHEAD,
        }
    }
}

/// What an entry weighs beyond its command: slot, ballots, framing.
const ENTRY_OVERHEAD: usize = 32;

/// An entry as an acceptor holds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// The ballot under which it was first proposed; it stays when a later leader proposes the
    /// entry again. The fence compares it (P8).
    pub first: Ballot,
    /// The ballot under which it was accepted last. `first <= ballot`.
    pub ballot: Ballot,
    /// What it says.
    pub payload: Payload,
}

/// An entry as a leader proposes it: it is accepted under the ballot of its message.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Proposal {
    /// Where it goes.
    pub slot: Slot,
    /// See [`Entry::first`].
    pub first: Ballot,
    /// What it says.
    pub payload: Payload,
}

/// Proof that a leader stopped for good under its ballot (P5). It frees granters from grants to
/// that ballot's node up to that ballot, and from no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Certificate {
    /// The ballot that acts no more.
    pub ballot: Ballot,
    /// At or above everything its leader assigned, served, promised and started from.
    pub floor: Timestamp,
}

/// Closed time (R3): no new entry at or below `at` after slot `through`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Closed {
    /// The closed timestamp.
    pub at: Timestamp,
    /// The last slot proposed when it was closed.
    pub through: Slot,
}

/// What every request of a leader carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lead {
    /// The leader's ballot.
    pub ballot: Ballot,
    /// The lease asked for (P1).
    pub until: Timestamp,
    /// All slots up to here are chosen, and the leader has applied them.
    pub commit: Slot,
    /// The highest slot that the follower has if nothing was lost: an answer that matches less tells
    /// of a loss. Of an `Accept` its last slot; of a heartbeat, which may overtake entries on their
    /// way, the last one acknowledged.
    pub sent: Slot,
    /// The newest closed time, if the host closes time.
    pub closed: Option<Closed>,
    /// For a follower that may still be bound by a grant to the leader before.
    pub certificate: Option<Certificate>,
}

/// A message between two replicas of one group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Message {
    /// Phase 1: promise this ballot, and report what you accepted in slots `from ..`.
    Prepare {
        /// The candidate's ballot.
        ballot: Ballot,
        /// The first slot the candidate does not know chosen, or, when an earlier answer was not
        /// complete, the slot after the last it received.
        from: Slot,
        /// Frees the voter from a grant to the leader that stopped.
        certificate: Option<Certificate>,
    },
    /// The promise, and a report of the voter's log from slot `from` on.
    Promise {
        /// The ballot promised.
        ballot: Ballot,
        /// As in the request.
        from: Slot,
        /// What the voter accepted in slots `from ..`, ascending.
        entries: Vec<(Slot, Entry)>,
        /// Whether `entries` is all there is; if not, the candidate asks again from further on.
        complete: bool,
        /// All slots up to here the voter knows chosen.
        chosen: Slot,
        /// The largest `until` ever granted, in force or not (P3); zero if none, or if the
        /// certificate covers it.
        granted: Timestamp,
    },
    /// A `Prepare`, `Accept` or `Heartbeat` turned down. Nothing changed at the sender.
    Refuse {
        /// The ballot of the request.
        ballot: Ballot,
        /// Why.
        reason: Refusal,
    },
    /// Phase 2 for some slots.
    Accept {
        /// What all requests of a leader carry.
        lead: Lead,
        /// Ascending, not empty.
        proposals: Vec<Proposal>,
    },
    /// A lease request without entries.
    Heartbeat {
        /// What all requests of a leader carry.
        lead: Lead,
    },
    /// The answer to `Accept` and `Heartbeat`.
    Accepted {
        /// The ballot of the request.
        ballot: Ballot,
        /// The lease granted: `until` of the request.
        until: Timestamp,
        /// Every slot up to here is accepted under this ballot, or known chosen.
        matched: Slot,
        /// As in the request.
        sent: Slot,
    },
    /// Tells followers what is chosen, and what time is closed. It grants nothing.
    Commit {
        /// The leader's ballot: slots accepted under it, up to `commit`, are chosen.
        ballot: Ballot,
        /// See [`Lead::commit`].
        commit: Slot,
        /// See [`Lead::closed`].
        closed: Option<Closed>,
    },
    /// The leader stopped; `to` shall lead.
    Transfer {
        /// The proof.
        certificate: Certificate,
        /// Who should stand for election at once; `None`: whoever comes first.
        to: Option<NodeId>,
    },
}

/// No group lives for so many leaderships.
const ROUND_LIMIT: u64 = u64::MAX / 2;
/// No log grows so long.
pub(crate) const SLOT_LIMIT: u64 = u64::MAX / 2;

impl Message {
    /// Whether a replica of ours can have said it, as far as that shows without knowing the log. What
    /// cannot be is dropped: it must neither be counted with (a round above all others, P0) nor made
    /// room for (a slot far beyond every log).
    #[must_use]
    pub fn is_sound(&self, window_slots: u64) -> bool {
        let real = |ballot: &Ballot| ballot.round < ROUND_LIMIT;
        let led = |lead: &Lead| {
            real(&lead.ballot) && lead.certificate.as_ref().is_none_or(|c| real(&c.ballot))
        };
        match self {
            Message::Prepare { ballot, certificate, .. } => {
                real(ballot) && certificate.as_ref().is_none_or(|c| real(&c.ballot))
            }
            Message::Promise { ballot, from, entries, chosen, .. } => {
                let mut known = from.prev().max(*chosen);
                real(ballot)
                    && chosen.0 < SLOT_LIMIT
                    && entries.is_sorted_by(|(a, _), (b, _)| a < b)
                    && entries.iter().all(|(slot, entry)| {
                        let near = slot.since(known) <= window_slots.saturating_mul(4);
                        known = known.max(*slot);
                        near && *slot >= *from
                            && entry.first <= entry.ballot
                            && entry.ballot <= *ballot
                    })
            }
            Message::Refuse { ballot, reason } => match reason {
                Refusal::Promised(promised) => real(ballot) && real(promised),
                Refusal::Granted { .. } | Refusal::Behind { .. } => real(ballot),
            },
            Message::Accept { lead, proposals } => {
                led(lead)
                    && proposals.is_sorted_by(|a, b| a.slot < b.slot)
                    && proposals.iter().all(|p| p.slot > Slot::NONE && p.first <= lead.ballot)
            }
            Message::Heartbeat { lead } => led(lead),
            Message::Accepted { ballot, .. } | Message::Commit { ballot, .. } => real(ballot),
            Message::Transfer { certificate, .. } => real(&certificate.ballot),
        }
    }

    /// P2a: whether leases depend on it, so that it goes before all else. What it says holds in
    /// whatever order it comes with entries: the link of a group may reorder.
    #[must_use]
    pub fn keeps_leases(&self) -> bool {
        match self {
            Message::Prepare { .. }
            | Message::Promise { .. }
            | Message::Refuse { .. }
            | Message::Heartbeat { .. }
            | Message::Accepted { .. }
            | Message::Transfer { .. } => true,
            Message::Accept { .. } | Message::Commit { .. } => false,
        }
    }

    /// About how many bytes it takes on the wire.
    #[must_use]
    pub fn weight(&self) -> usize {
        const HEAD: usize = 64;
        match self {
            Message::Promise { entries, .. } => {
                HEAD + entries.iter().map(|(_, e)| e.payload.weight()).sum::<usize>()
            }
            Message::Accept { proposals, .. } => {
                HEAD + proposals.iter().map(|p| p.payload.weight()).sum::<usize>()
            }
            Message::Prepare { .. }
            | Message::Refuse { .. }
            | Message::Heartbeat { .. }
            | Message::Accepted { .. }
            | Message::Commit { .. }
            | Message::Transfer { .. } => HEAD,
        }
    }
}

/// Why a voter turned a request down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Refusal {
    /// It promised a higher ballot, or stands for election under one.
    Promised(Ballot),
    /// It granted another node a lease that is not over (P1). Ask again after `until`.
    Granted {
        /// The end of that lease.
        until: Timestamp,
    },
    /// The candidate lacks slots that the voter has truncated: it must not lead before it has
    /// them.
    Behind {
        /// The voter's log begins after this slot.
        truncated: Slot,
    },
}

#[cfg(test)]
mod tests;
