//! What a message may not say: it is held against what this replica knows before anything is done.
//!
//! A peer may be damaged, of another version, or wrong. A message of it that cannot be true is
//! refused whole: nothing changes here, as if it had been lost, and the host is told
//! ([`crate::Event::Refused`]). So what the rest of this crate asserts is about itself alone.
//!
//! | held against | what for |
//! |---|---|
//! | the sender | who speaks for another's ballot, or does not vote |
//! | the message alone | [`Message::is_sound`] |
//! | the rounds heard of | a leap would leave no rounds for the leaderships to come (P0) |
//! | the clock | a lease, a floor or a closed time far ahead would stop the group for as long |
//! | the log | another value in a slot that is chosen, or a second one of a ballot (P7) |
//!
//! What cannot be seen from here stays undetected: that a voter granted or accepted what it says it
//! did. Paxos is not for peers that lie well.

use std::fmt;

use clock::{Now, Timestamp};
use keys::NodeId;

use super::Group;
use crate::{Ballot, Certificate, Message, Proposal, Refusal, Slot};

/// No group holds so many elections while one of its replicas is away: an election takes a round
/// trip, so this is centuries of them.
const ROUND_LEAP: u64 = 1 << 36;

/// Why a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contradiction {
    /// The sender has no vote here, or speaks for another node's ballot.
    Stranger,
    /// No replica says such a thing, whatever it knows.
    Unsound,
    /// Its round lies too far beyond all that were heard of.
    Leap {
        /// The round.
        round: u64,
        /// The highest one heard of.
        known: u64,
    },
    /// A timestamp lies further ahead than any lease can reach.
    Future {
        /// The timestamp.
        at: Timestamp,
        /// The last one that is believed.
        latest: Timestamp,
    },
    /// The slot is known chosen, with another value.
    Chosen(Slot),
    /// The ballot proposed another value in this slot before.
    TwoValues(Slot, Ballot),
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Contradiction::Stranger => write!(f, "the sender has no say in it"),
            Contradiction::Unsound => write!(f, "no replica says that"),
            Contradiction::Leap { round, known } => {
                write!(f, "round {round}, and no higher one than {known} was heard of")
            }
            Contradiction::Future { at, latest } => {
                write!(f, "it names {at}, and no lease reaches beyond {latest}")
            }
            Contradiction::Chosen(slot) => write!(f, "{slot} is chosen with another value"),
            Contradiction::TwoValues(slot, ballot) => {
                write!(f, "{ballot} proposed another value in {slot} before")
            }
        }
    }
}

impl Group {
    /// What is wrong with a message; `None` if it may be true.
    pub(super) fn contradiction(
        &self,
        now: Now,
        from: NodeId,
        message: &Message,
    ) -> Option<Contradiction> {
        let voter = from != self.core.me && self.core.membership.is_voter(from);
        if !voter || !speaks_for_itself(from, message) {
            return Some(Contradiction::Stranger);
        }
        if !message.is_sound(self.core.config.max_in_flight_slots) {
            return Some(Contradiction::Unsound);
        }
        self.leap(highest_round(message))
            .or_else(|| self.future(now, message))
            .or_else(|| self.second_value(message))
    }

    pub(super) fn leap(&self, round: u64) -> Option<Contradiction> {
        let known = self.core.max_round;
        (round > known.saturating_add(ROUND_LEAP)).then_some(Contradiction::Leap { round, known })
    }

    fn future(&self, now: Now, message: &Message) -> Option<Contradiction> {
        let config = &self.core.config;
        let latest = now.tt.latest_timestamp().plus(config.max_lease);
        let beyond = config.furthest(now);
        // A lease asked for binds this voter, so it is looked at more closely.
        let asked = match message {
            Message::Accept { lead, .. } | Message::Heartbeat { lead } => Some(lead.until),
            Message::Prepare { .. }
            | Message::Promise { .. }
            | Message::Refuse { .. }
            | Message::Accepted { .. }
            | Message::Commit { .. }
            | Message::Transfer { .. } => None,
        };
        let asked = asked.map(|at| (at, latest));
        let others = timestamps(message).into_iter().flatten().map(|at| (at, beyond));
        let mut limits = asked.into_iter().chain(others);
        let (at, latest) = limits.find(|(at, latest)| at > latest)?;
        Some(Contradiction::Future { at, latest })
    }

    /// Invariants 2 and 3 of the log, as far as a peer could break them. A ballot below the promise
    /// may be late with a value that was not chosen; it is turned down for its ballot (P0).
    fn second_value(&self, message: &Message) -> Option<Contradiction> {
        let Message::Accept { lead, proposals } = message else { return None };
        let log = &self.core.log;
        if lead.ballot < self.core.acceptor.promised {
            return None;
        }
        proposals.iter().find_map(|Proposal { slot, first, payload }| {
            let held = log.get(*slot)?;
            let same = held.first == *first && held.payload == *payload;
            if same {
                None
            } else if *slot <= log.chosen() {
                Some(Contradiction::Chosen(*slot))
            } else {
                let twice = held.ballot == lead.ballot;
                twice.then_some(Contradiction::TwoValues(*slot, lead.ballot))
            }
        })
    }
}

/// Whether who sent it is who it speaks for.
fn speaks_for_itself(from: NodeId, message: &Message) -> bool {
    match message {
        Message::Prepare { ballot, .. } | Message::Commit { ballot, .. } => ballot.node == from,
        Message::Accept { lead, .. } | Message::Heartbeat { lead } => lead.ballot.node == from,
        Message::Transfer { certificate, .. } => certificate.ballot.node == from,
        Message::Promise { .. } | Message::Refuse { .. } | Message::Accepted { .. } => true,
    }
}

/// The highest round that is taken note of.
fn highest_round(message: &Message) -> u64 {
    let certified = |c: &Option<Certificate>| c.map_or(0, |c| c.ballot.round);
    match message {
        Message::Prepare { ballot, certificate, .. } => ballot.round.max(certified(certificate)),
        Message::Accept { lead, .. } | Message::Heartbeat { lead } => {
            lead.ballot.round.max(certified(&lead.certificate))
        }
        Message::Refuse { reason: Refusal::Promised(promised), .. } => promised.round,
        Message::Transfer { certificate, .. } => certificate.ballot.round,
        Message::Commit { ballot, .. } => ballot.round,
        // These answer a ballot of this node's own.
        Message::Promise { .. } | Message::Refuse { .. } | Message::Accepted { .. } => 0,
    }
}

/// The timestamps that bind whoever believes them.
fn timestamps(message: &Message) -> [Option<Timestamp>; 2] {
    let floor = |c: &Option<Certificate>| c.map(|c| c.floor);
    match message {
        Message::Prepare { certificate, .. } => [floor(certificate), None],
        Message::Promise { granted, .. } => [Some(*granted), None],
        Message::Refuse { reason: Refusal::Granted { until }, .. } => [Some(*until), None],
        Message::Refuse { reason: Refusal::Promised(_) | Refusal::Behind { .. }, .. } => {
            [None, None]
        }
        Message::Accept { lead, .. } | Message::Heartbeat { lead } => {
            [floor(&lead.certificate), lead.closed.map(|closed| closed.at)]
        }
        Message::Accepted { until, .. } => [Some(*until), None],
        Message::Commit { closed, .. } => [closed.map(|closed| closed.at), None],
        Message::Transfer { certificate, .. } => [Some(certificate.floor), None],
    }
}
