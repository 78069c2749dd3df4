//! What a replica is in any role: its identity, acceptor and log, and the ways to write and send.

#[cfg(test)]
mod canonical;

use std::collections::VecDeque;

use clock::Now;
use keys::{NodeId, RangeId};

use crate::{
    Ballot, Candidacy, Certificate, Closed, Config, Durable, Effects, Event, Membership, Message,
    Persist, PersistToken, Slot, acceptor::Acceptor, log::Log,
};

/// Closed times a follower has heard of and not yet applied up to; further ones replace the last.
const MAX_CLOSED_WAITING: usize = 32;

/// The part of a replica that outlives its roles.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Core {
    /// The group.
    pub range: RangeId,
    /// This replica.
    pub me: NodeId,
    /// Who votes.
    pub membership: Membership,
    /// Settings.
    pub config: Config,
    /// Promises and grants.
    pub acceptor: Acceptor,
    /// Accepted and chosen entries.
    pub log: Log,
    /// The highest round heard of; the next attempt goes above it.
    pub max_round: u64,
    /// The newest proof that a leader stopped, if it still can be of use (P5).
    pub certificate: Option<Certificate>,
    /// Whom the host would like to lead: first in the ranking of candidates.
    pub preferred: Option<NodeId>,
    /// Whether it may stand for election, by the host's word.
    pub candidacy: Candidacy,
    /// The token of the last write handed out.
    issued: PersistToken,
    /// The token of the last write known on disk.
    persisted: PersistToken,
    /// Closed times ahead of what is applied, ascending.
    closed: VecDeque<Closed>,
}

impl Core {
    /// Assembles a replica.
    pub(crate) fn new(
        range: RangeId,
        me: NodeId,
        membership: Membership,
        config: Config,
        acceptor: Acceptor,
        log: Log,
    ) -> Core {
        config.check();
        assert!(me != NodeId(0), "node 0 is nobody");
        // A snapshot may have brought a fence above all that was promised here, and no leader stands
        // below the fence.
        let heard = acceptor.promised.round.max(acceptor.round_used);
        let max_round = heard.max(log.fence().ballot().round);
        Core {
            range,
            me,
            membership,
            config,
            acceptor,
            log,
            max_round,
            certificate: None,
            preferred: None,
            candidacy: Candidacy::default(),
            issued: PersistToken(0),
            persisted: PersistToken(0),
            closed: VecDeque::new(),
        }
    }

    /// Whether this replica may stand for election.
    pub(crate) fn may_stand(&self) -> bool {
        self.membership.is_voter(self.me) && self.candidacy == Candidacy::Allowed
    }

    /// The other voters.
    pub(crate) fn others(&self) -> Vec<NodeId> {
        self.membership.voters().iter().copied().filter(|n| *n != self.me).collect()
    }

    /// The group's record as it should be on disk.
    pub(crate) fn durable(&self) -> Durable {
        Durable {
            promised: self.acceptor.promised,
            horizon: self.acceptor.horizon,
            round_used: self.acceptor.round_used,
            truncated: self.log.truncated(),
            fence: self.log.truncated_fence(),
        }
    }

    /// Asks the host to write.
    pub(crate) fn write(&mut self, write: Persist, out: &mut Effects) {
        self.issued.0 += 1;
        out.persist.push(write);
        out.token = Some(self.issued);
    }

    /// The record of this replica's birth is written and counts as its first write.
    pub(crate) fn born_unsynced(&mut self) {
        assert_eq!(self.issued, PersistToken(0), "nothing is written before a birth");
        self.issued.0 += 1;
    }

    /// Asks the host to write the group's record.
    pub(crate) fn save(&mut self, out: &mut Effects) {
        self.write(Persist::SetDurable(self.durable()), out);
    }

    /// The last write handed out, if it is not known to be on disk.
    pub(crate) fn unpersisted(&self) -> Option<PersistToken> {
        (self.persisted < self.issued).then_some(self.issued)
    }

    /// The host reports writes on disk.
    pub(crate) fn set_persisted(&mut self, token: PersistToken) {
        assert!(token <= self.issued, "{token:?} was never issued, the last is {:?}", self.issued);
        self.persisted = self.persisted.max(token);
    }

    /// The last write known on disk.
    pub(crate) fn persisted(&self) -> PersistToken {
        self.persisted
    }

    /// Sends what vouches for state of this replica: not before that state is on disk (S1).
    pub(crate) fn send_durable(&self, to: NodeId, message: Message, out: &mut Effects) {
        if let Some(token) = self.unpersisted() {
            out.token = Some(token);
            out.send_durable.push((to, message));
        } else {
            out.send.push((to, message));
        }
    }

    /// Learns of chosen slots. See [`Log::learn`].
    pub(crate) fn learn(&mut self, ballot: Ballot, upto: Slot, out: &mut Effects) {
        self.log.learn(ballot, upto, self.config.rules, &mut out.chosen);
    }

    /// Hears of closed time (R3); it is told to the host once the slot is applied.
    pub(crate) fn hear_closed(&mut self, closed: Option<Closed>, out: &mut Effects) {
        let Some(closed) = closed else { return };
        if self.closed.back().is_some_and(|last| last.at >= closed.at) {
            return;
        }
        // A later leadership may have fewer slots than one before it closed time through: the slots
        // that the older one waits for may never be filled. The newer one says more.
        while self.closed.back().is_some_and(|last| last.through >= closed.through) {
            self.closed.pop_back();
        }
        if self.closed.len() == MAX_CLOSED_WAITING {
            self.closed.pop_back();
        }
        self.closed.push_back(closed);
        self.tell_closed(out);
    }

    /// Tells the newest closed time whose slot is applied.
    pub(crate) fn tell_closed(&mut self, out: &mut Effects) {
        let mut told = None;
        while self.closed.front().is_some_and(|c| c.through <= self.log.applied()) {
            told = self.closed.pop_front();
        }
        if let Some(Closed { at, through }) = told {
            out.events.push(Event::Closed { at, through });
        }
    }

    /// Keeps a certificate if it is newer than the one known.
    pub(crate) fn keep_certificate(&mut self, certificate: Certificate) {
        if self.certificate.is_none_or(|known| known.ballot < certificate.ballot) {
            self.certificate = Some(certificate);
        }
    }

    /// This node's place among the candidates of the round to come, from 0. All replicas that know
    /// the same promise draw the same order. Who led last comes last: it is probably dead.
    pub(crate) fn rank(&self) -> u32 {
        let round = self.max_round;
        let suspect = self.acceptor.promised.node;
        let key = |node: NodeId| {
            let late = node == suspect && node != self.me;
            (late, self.preferred != Some(node), draw(self.range, round, node))
        };
        let mine = key(self.me);
        let before = self.membership.voters().iter().filter(|n| key(**n) < mine).count();
        u32::try_from(before).expect("few voters")
    }

    /// How long to step back after an attempt failed against a higher ballot.
    pub(crate) fn backoff(&self, now: Now) -> clock::Mono {
        now.mono.plus(self.config.election_stagger * (1 + self.rank()))
    }
}

/// A number drawn from the group, the round and the node, the same on every replica.
fn draw(range: RangeId, round: u64, node: NodeId) -> u64 {
    // The finalizer of splitmix64: neighbouring inputs give unrelated outputs.
    let mut x = range.0 ^ round.rotate_left(32) ^ (u64::from(node.0) << 48);
    for _ in 0..2 {
        x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
    }
    x
}
