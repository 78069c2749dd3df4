//! The leader: leases, phase 2 for many slots at once, and what it may do when.
//!
//! ```text
//!   elected          opening chosen, applied             lease lapses, or a higher ballot
//!      |--- recovers ---|------------- acts -----------------|
//!      proposes again what its promises reported,     proposes, serves, closes time: only
//!      no-ops into gaps, then its opening entry       while TT.now().latest < lease end
//! ```
//!
//! Recovery (P7): each slot its promises reported gets the entry accepted under the highest ballot,
//! with the ballot it was *first* proposed under (P8); a slot nobody reported gets a no-op of this
//! ballot; the slot after the last gets the opening entry. All that goes through phase 2 like any
//! proposal. Slots at or below what this node knows chosen need no phase 2, followers that lack
//! them are sent them all the same: the chosen value is the only one this ballot can propose there.
//!
//! An entry is chosen when a phase-2 quorum has *matched* it, that is, holds everything up to it
//! under this ballot. Entries may arrive with gaps; a gap delays only what lies behind it.
//!
//! The lease (P1, P2): each request asks for `TT.now().latest + D`; the lease ends at the largest t
//! such that a phase-2 quorum granted >= t. This node's own acceptor is one of the granters, the
//! last one; its acceptances and grants count once they are on disk, like anybody's (S1).
//!
//! Followers are told that a slot is chosen only after this node's host has applied it. A split
//! needs that: the parent's leader must have stopped serving the child's keys before an acceptor
//! of the child exists anywhere.
//!
//! Invariants: no command is proposed unless the lease is in force and the opening is applied; the
//! lease end never moves back; a chosen slot is held under this ballot here.
//!
//! HAZARD. `lease_valid` compares `TT.now().latest` of *this* node with what other nodes wait for
//! by *their* `TT.now().earliest`. If either clock is outside its bound, or the host acts on a
//! reading that is old by the time it acts (a paused process), two leaders serve at once. The host
//! takes the reading after the last thing that could have paused it, and P3 makes timestamps
//! disjoint whatever the clocks do after that.

#[cfg(test)]
mod canonical;
mod lease;
mod replication;

use std::collections::BTreeMap;

use bytes::Bytes;
use clock::{Interval, Mono, Now, Timestamp};
use keys::NodeId;

use crate::{
    Announce, Ballot, Certificate, Closed, Effects, Entry, Event, Leadership, Message, Payload,
    PeerStatus, Persist, ProposeError, ReleaseError, Slot,
    api::Heir,
    candidate::Election,
    core::Core,
    peer::{Flow, Peer},
    rules::Rule,
};

use lease::Own;

/// A replica that leads its group, or will once it has recovered it.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone, Hash))]
pub(crate) struct Leader {
    /// Its ballot.
    pub ballot: Ballot,
    floor: Timestamp,
    certificate: Option<Certificate>,
    /// The opening entry's slot; [`Slot::NONE`] for a leader at birth, which needs none.
    opening: Slot,
    /// P7: all recovered entries and the opening are chosen and applied.
    ready: bool,
    /// Whether the host was told of the leadership.
    told: bool,
    own: Own,
    peers: BTreeMap<NodeId, Peer>,
    /// See P2. Never moves back.
    lease_end: Timestamp,
    /// Followers were told that slots up to here are chosen.
    announced: Slot,
    closed: Option<Closed>,
}

impl Leader {
    /// Leads a group just created or split off: nothing to recover, nothing to open (P7).
    pub(crate) fn born(core: &mut Core, heir: Heir) -> Leader {
        let ballot = core.acceptor.promised;
        assert!(ballot.node == core.me, "born to lead under {ballot}");
        let peer = |n| (n, Peer::new(Slot::NONE, Slot::NONE, Mono(0), &core.config));
        let mut peers: BTreeMap<NodeId, Peer> = core.others().into_iter().map(peer).collect();
        let mut own = Own::default();
        for (node, until) in heir.grants {
            if node == core.me {
                own.granted = until;
                own.given = until;
            } else if let Some(peer) = peers.get_mut(&node) {
                peer.granted = until;
            }
        }
        let mut leader = Leader {
            ballot,
            floor: heir.floor,
            certificate: None,
            opening: Slot::NONE,
            ready: true,
            told: false,
            own,
            peers,
            lease_end: Timestamp::ZERO,
            announced: Slot::NONE,
            closed: None,
        };
        leader.set_lease_end(core);
        leader
    }

    /// Leads after an election: proposes again what was found, and opens (P7).
    pub(crate) fn elected(
        core: &mut Core,
        election: Election,
        now: Now,
        out: &mut Effects,
    ) -> Leader {
        let Election { ballot, floor, certificate, found, chosen } = election;
        assert_eq!(core.acceptor.promised, ballot, "leading under the ballot promised");
        let base = core.log.chosen();
        let peer = |n| {
            let has = chosen.get(&n).map(|slot| base.min(*slot));
            let (has, sent) = (has.unwrap_or(Slot::NONE), has.unwrap_or(base));
            (n, Peer::new(has, sent, now.mono, &core.config))
        };
        let mut leader = Leader {
            ballot,
            floor,
            certificate,
            opening: Slot::NONE,
            ready: !core.config.rules.keep(Rule::Opening),
            told: true,
            own: Own { matched: base, ..Own::default() },
            peers: core.others().into_iter().map(peer).collect(),
            lease_end: Timestamp::ZERO,
            announced: Slot::NONE,
            closed: None,
        };
        out.events.push(Event::BecameLeader { ballot, floor });
        leader.recover(core, found, out);
        let last = core.log.last();
        leader.opening = last.next();
        leader.append(core, leader.opening, ballot, Payload::Opening, out);
        leader.renew(core, now, out);
        leader.replicate_all(core, now, out);
        leader.advance(core, out);
        leader
    }

    /// Proposes again every slot reported, here or there; no-ops where nobody reported one.
    fn recover(&mut self, core: &mut Core, found: BTreeMap<Slot, Entry>, out: &mut Effects) {
        let base = core.log.chosen();
        let keep = core.config.rules.keep(Rule::RecoverAccepted);
        let reported = found.last_key_value().map_or(base, |(slot, _)| *slot);
        let end = reported.max(core.log.last());
        for slot in (base.0 + 1..=end.0).map(Slot) {
            let own = core.log.get(slot).filter(|_| keep);
            let best = own.into_iter().chain(found.get(&slot)).max_by_key(|e| e.ballot).cloned();
            let (first, payload) = match best {
                Some(entry) => (entry.first, entry.payload),
                None if core.config.rules.keep(Rule::NoopsFence) => (self.ballot, Payload::Noop),
                None => (Ballot::NONE, Payload::Noop),
            };
            self.append(core, slot, first, payload, out);
        }
    }

    fn append(
        &mut self,
        core: &mut Core,
        slot: Slot,
        first: Ballot,
        payload: Payload,
        out: &mut Effects,
    ) {
        let entry = Entry { first, ballot: self.ballot, payload };
        assert!(core.log.accept(slot, entry.clone()), "{slot} is proposed once under a ballot");
        core.write(Persist::Append { slot, entry }, out);
    }

    /// Looks at the time: renews the lease, sends again what was lost.
    pub(crate) fn tick(&mut self, core: &mut Core, now: Now, out: &mut Effects) {
        if !self.told {
            self.told = true;
            out.events.push(Event::BecameLeader { ballot: self.ballot, floor: self.floor });
            out.events.push(Event::Ready { ballot: self.ballot });
        }
        if now.mono >= self.own_due(core) {
            self.renew(core, now, out);
        }
        for node in core.others() {
            let peer = self.peers.get_mut(&node).expect("every other voter is a peer");
            let silent = now.mono >= peer.progress.plus(core.config.resend_after);
            if peer.flow == Flow::Streaming && peer.in_flight() && silent {
                peer.rewind(&core.config);
                peer.flow = Flow::Paused;
                peer.ask_at = Some(now.mono);
            }
            if let Flow::Snapshot(asked) = peer.flow
                && now.mono >= asked.plus(core.config.snapshot_retry)
            {
                peer.flow = Flow::Streaming;
            }
            self.replicate(core, now, node, out);
            if now.mono >= self.peer_due(core, node) {
                self.heartbeat(core, now, node, out);
            }
        }
    }

    /// When `tick` is next useful.
    pub(crate) fn due(&self, core: &Core) -> Mono {
        let resend = self.peers.values().filter(|p| p.in_flight() && p.flow == Flow::Streaming);
        let resend = resend.map(|p| p.progress.plus(core.config.resend_after));
        let peers = self.peers.keys().map(|n| self.peer_due(core, *n));
        let told = if self.told { self.own_due(core) } else { Mono(0) };
        resend.chain(peers).fold(told, Mono::min)
    }

    fn own_due(&self, core: &Core) -> Mono {
        self.own.asked.map_or(Mono(0), |at| at.plus(core.config.renew_every))
    }

    fn peer_due(&self, core: &Core, node: NodeId) -> Mono {
        let peer = &self.peers[&node];
        let Some(asked) = peer.asked else { return Mono(0) };
        let period = match peer.flow {
            Flow::Paused => core.config.resend_after.min(core.config.renew_every),
            Flow::Streaming | Flow::Snapshot(_) => core.config.renew_every,
        };
        let regular = asked.plus(period);
        peer.ask_at.map_or(regular, |at| regular.min(at))
    }

    /// Writes are on disk.
    pub(crate) fn persisted(&mut self, core: &mut Core, out: &mut Effects) {
        while let Some((token, matched, until)) = self.own.waiting.front().copied() {
            if token > core.persisted() {
                break;
            }
            self.own.waiting.pop_front();
            self.own.count(matched, until);
        }
        self.set_lease_end(core);
        self.advance(core, out);
    }

    /// A follower's answer to `Accept` or `Heartbeat` under this ballot.
    pub(crate) fn accepted(
        &mut self,
        core: &mut Core,
        now: Now,
        from: NodeId,
        answer: Answer,
        out: &mut Effects,
    ) {
        let Answer { until, matched, sent } = answer;
        if matched > core.log.last() {
            // It knows slots chosen that were never proposed here, as after a snapshot: another
            // leads by now, and this leadership will hear of it.
            return;
        }
        let Some(peer) = self.peers.get_mut(&from) else { return };
        peer.bound = true;
        peer.stray = None;
        peer.granted = peer.granted.max(until);
        let more = matched > peer.acked;
        peer.acknowledged(matched, now.mono, &core.config);
        let arrived = more || matched >= core.log.truncated();
        if peer.flow == Flow::Paused || (arrived && peer.flow != Flow::Streaming) {
            peer.flow = Flow::Streaming;
        }
        if sent > matched && peer.flow == Flow::Streaming {
            peer.lost(matched, now.mono, &core.config);
        }
        self.count_grants(core, out);
        self.advance(core, out);
        self.replicate(core, now, from, out);
    }

    /// Learns what a phase-2 quorum has accepted.
    fn advance(&mut self, core: &mut Core, out: &mut Effects) {
        let matched = self.peers.values().map(|p| p.matched).chain([self.own.matched]);
        let chosen = core.membership.reached_by_phase2(matched).unwrap_or_default();
        assert!(chosen <= core.log.last(), "{chosen} was never proposed here");
        core.learn(self.ballot, chosen, out);
        assert!(core.log.chosen() >= chosen, "{chosen} is held under {}", self.ballot);
        let fence = core.log.fence().ballot();
        assert!(fence <= self.ballot, "{} leads behind {fence}, a later leader", self.ballot);
        self.announce(core, out);
    }

    /// The host applied more: perhaps the opening (P7), and more to tell.
    pub(crate) fn applied(&mut self, core: &mut Core, out: &mut Effects) {
        if !self.ready && core.log.applied() >= self.opening {
            self.ready = true;
            out.events.push(Event::Ready { ballot: self.ballot });
        }
        self.announce(core, out);
    }

    /// Tells followers what is chosen and applied here, if no later entry will carry the news.
    fn announce(&mut self, core: &Core, out: &mut Effects) {
        let commit = core.log.chosen().min(core.log.applied());
        let idle = core.log.last() == commit;
        if commit > self.announced && idle && core.config.announce == Announce::WhenIdle {
            self.announced = commit;
            self.tell_all(core, commit, out);
        }
    }

    fn tell_all(&self, core: &Core, commit: Slot, out: &mut Effects) {
        for node in core.others() {
            let message = Message::Commit { ballot: self.ballot, commit, closed: self.closed };
            out.send.push((node, message));
        }
    }

    /// See `Group::propose`.
    pub(crate) fn propose(
        &mut self,
        core: &mut Core,
        now: Now,
        command: Bytes,
        out: &mut Effects,
    ) -> Result<Slot, ProposeError> {
        let bytes = command.len();
        if bytes > core.config.max_entry_bytes {
            return Err(ProposeError::TooLarge { bytes });
        }
        if !self.ready {
            return Err(ProposeError::NotReady);
        }
        if !self.lease_valid(now.tt) {
            return Err(ProposeError::LeaseLapsed);
        }
        let slot = core.log.last().next();
        let payload = Payload::Command(command);
        let full = slot.since(core.log.chosen()) > core.config.max_in_flight_slots
            || core.log.unchosen_bytes() > core.config.max_in_flight_bytes;
        if full {
            return Err(ProposeError::WindowFull);
        }
        self.append(core, slot, self.ballot, payload, out);
        self.renew(core, now, out);
        self.replicate_all(core, now, out);
        self.advance(core, out);
        Ok(slot)
    }

    /// See `Group::set_closed`.
    pub(crate) fn set_closed(&mut self, core: &Core, closed: Closed, out: &mut Effects) {
        assert!(self.ready, "time is closed by a leader that acts (P7)");
        assert!(closed.at < self.lease_end, "closing {} beyond {}", closed.at, self.lease_end);
        assert!(closed.through <= core.log.last(), "closing behind {}", closed.through);
        assert!(self.closed.is_none_or(|c| c.at <= closed.at), "closed time moves back");
        self.closed = Some(closed);
        self.announced = core.log.chosen().min(core.log.applied());
        self.tell_all(core, self.announced, out);
    }

    /// P2: may it act, by this reading of this node's clock?
    pub(crate) fn lease_valid(&self, now: Interval) -> bool {
        now.before(self.lease_end)
    }

    /// A voter turned a request down because it promised a higher ballot. Answers whether this
    /// leadership is over: not while its lease holds, for then a quorum still keeps to it.
    pub(crate) fn outvoted(
        &mut self,
        core: &Core,
        now: Now,
        from: NodeId,
        promised: Ballot,
        out: &mut Effects,
    ) -> bool {
        if !self.lease_valid(now.tt) {
            return true;
        }
        let Some(peer) = self.peers.get_mut(&from) else { return false };
        let told = peer.stray.filter(|(_, at)| now.mono < at.plus(core.config.lease));
        if told.is_none() {
            peer.stray = Some((promised, now.mono));
            out.events.push(Event::Stray { peer: from, promised });
        }
        false
    }

    /// A voter is still bound to another leader.
    pub(crate) fn bound(&mut self, core: &Core, now: Now, from: NodeId, until: Timestamp) {
        if let Some(peer) = self.peers.get_mut(&from) {
            let pause = now.tt.until_after(until).max(core.config.resend_after / 16);
            peer.ask_at = Some(now.mono.plus(pause));
        }
    }

    /// P5: vouches that it acts no more, if it may vouch and the target could lead.
    pub(crate) fn release(
        &self,
        core: &Core,
        now: Now,
        to: Option<NodeId>,
        floor: Timestamp,
    ) -> Result<Certificate, ReleaseError> {
        if !self.ready || !self.lease_valid(now.tt) {
            return Err(ReleaseError::NotActing);
        }
        if let Some(target) = to.filter(|t| *t != core.me) {
            let Some(peer) = self.peers.get(&target) else { return Err(ReleaseError::NotVoter) };
            let (matched, last) = (peer.acked, core.log.last());
            if matched < last {
                return Err(ReleaseError::TargetBehind { matched, last });
            }
        }
        let floor =
            if core.config.rules.keep(Rule::ReleaseFloor) { floor.max(self.floor) } else { floor };
        Ok(Certificate { ballot: self.ballot, floor })
    }

    /// What a child group's leader takes over.
    pub(crate) fn heir(&self, core: &Core, floor: Timestamp) -> Heir {
        let peers = self.peers.iter().map(|(n, p)| (*n, p.granted));
        let grants = peers.chain([(core.me, self.own.granted)]).collect();
        Heir { floor: floor.max(self.floor), grants }
    }

    /// See `Group::leadership`.
    pub(crate) fn leadership(&self) -> Leadership {
        let Leader { ballot, floor, lease_end, ready, .. } = *self;
        Leadership { ballot, floor, lease_end, ready }
    }

    /// For people.
    pub(crate) fn peers(&self) -> Vec<PeerStatus> {
        let status = |(node, p): (&NodeId, &Peer)| PeerStatus {
            node: *node,
            matched: p.acked,
            granted: p.granted,
            snapshotting: matches!(p.flow, Flow::Snapshot(_)),
        };
        self.peers.iter().map(status).collect()
    }

    /// Those that have neither granted nor acknowledged anything.
    pub(crate) fn never_heard(&self) -> impl Iterator<Item = NodeId> {
        let never = |peer: &Peer| peer.acked == Slot::NONE && peer.granted == Timestamp::ZERO;
        self.peers.iter().filter(move |(_, peer)| never(peer)).map(|(node, _)| *node)
    }

    /// The lowest slot that some follower which is not waiting for a snapshot still lacks.
    pub(crate) fn needed(&self) -> Option<Slot> {
        let live = self.peers.values().filter(|p| !matches!(p.flow, Flow::Snapshot(_)));
        live.map(|p| p.acked.next()).min()
    }
}

/// What an `Accepted` says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// The lease granted.
    pub until: Timestamp,
    /// Everything up to here is accepted under the leader's ballot, or chosen.
    pub matched: Slot,
    /// Up to here the leader had sent when it asked.
    pub sent: Slot,
}
