//! One replica of one group: inputs in, effects out.
//!
//! The role is a value; each transition consumes the old one. What every role shares, above all the
//! acceptor and the log, stays in the core: a leader and a candidate are acceptors as well.

#[cfg(test)]
mod canonical;
mod contradiction;
mod inputs;

use bytes::Bytes;
use clock::{Interval, Mono, Now, Timestamp};
use keys::{NodeId, RangeId};

use crate::{
    Ballot, Birth, Candidacy, Certificate, Closed, Config, Corrupt, Durable, Effects, Entry, Event,
    Fence, Leadership, Membership, Message, Persist, PersistToken, ProposeError, ReleaseError,
    RoleName, Slot, SnapshotRefused, Status, acceptor::Acceptor, api::BirthRecord,
    candidate::Candidate, core::Core, follower::Follower, leader::Leader, log::Log, rules::Rule,
};

pub use contradiction::Contradiction;

/// How often the news of a release is repeated, until a higher ballot is heard of.
const TRANSFER_REPEATS: u32 = 3;

/// One replica of one group. See the crate's head for what it guarantees, and
/// [`Effects`] for what its host must do.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone, Hash))]
pub struct Group {
    core: Core,
    role: Role,
    /// The news of this replica's own release, while it may have to be repeated.
    transfer: Option<Transfer>,
}

/// What a replica does beside accepting.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone, Hash))]
enum Role {
    Follower(Follower),
    Candidate(Candidate),
    Leader(Box<Leader>),
}

/// A release that the others may not have heard of.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone, Hash))]
struct Transfer {
    certificate: Certificate,
    to: Option<NodeId>,
    again_at: Mono,
    repeats_left: u32,
}

impl Group {
    /// A replica of a group just created, which all its replicas are with the same arguments.
    /// `born` leads it under round 1 from the start, as soon as a quorum has granted its lease.
    ///
    /// The record returned must be on disk before the first effect is carried out; a replica whose
    /// record is on disk is never created again, but restored (P0).
    #[must_use]
    pub fn create(
        range: RangeId,
        me: NodeId,
        membership: Membership,
        born: Option<NodeId>,
        config: Config,
    ) -> (Group, Durable) {
        assert!(
            born.is_none_or(|n| membership.is_voter(n)),
            "born to lead, but no voter: {born:?}"
        );
        Group::create_child(range, me, membership, Birth::of_new_group(me, born), config)
    }

    /// A replica of a group that split off, born when its node applies the split, in the same
    /// atomic batch as the record returned; never made by a message. That batch is the group's first
    /// write: its token is [`Group::unpersisted`], to be handed to [`Group::persisted`] once it is on
    /// disk. Until then the child vouches for nothing (S1): what it took over from the parent may not
    /// be on disk either.
    #[must_use]
    pub fn create_child(
        range: RangeId,
        me: NodeId,
        membership: Membership,
        birth: Birth,
        config: Config,
    ) -> (Group, Durable) {
        let Birth { promised, granted, horizon, round_used, heir, record } = birth;
        let acceptor = Acceptor::new(promised, granted, horizon, round_used, config.rules);
        let mut core = Core::new(range, me, membership, config, acceptor, Log::new());
        let role = match heir {
            Some(heir) => Role::Leader(Box::new(Leader::born(&mut core, heir))),
            None => Role::Follower(Follower::newborn()),
        };
        if record == BirthRecord::Written {
            core.born_unsynced();
        }
        let durable = core.durable();
        (Group { core, role, transfer: None }, durable)
    }

    /// What a child group's acceptor at this node knows at birth. To be asked of the parent at the
    /// moment its host applies the split: an entry first proposed under `first`. The replica that
    /// proposed it and still leads under that very ballot leads the child, with the parent's
    /// `min_next` as its `floor`.
    #[must_use]
    pub fn child_birth(&self, first: Ballot, floor: Timestamp) -> Birth {
        let acceptor = &self.core.acceptor;
        let promised = acceptor.promised.max(first);
        let heir = match &self.role {
            Role::Leader(leader) if leader.ballot == first => Some(leader.heir(&self.core, floor)),
            Role::Leader(_) | Role::Candidate(_) | Role::Follower(_) => None,
        };
        let round_used = acceptor.round_used.max(if heir.is_some() { first.round } else { 0 });
        let Acceptor { granted, horizon, .. } = *acceptor;
        Birth { promised, granted, horizon, round_used, heir, record: BirthRecord::Written }
    }

    /// A replica after a restart: its record, the log above `durable.truncated` in any order, and
    /// what its host has applied. It follows; an earlier leadership is over for good (P0).
    ///
    /// # Errors
    /// If these contradict each other (S3): the replica must not start.
    pub fn restore(
        range: RangeId,
        me: NodeId,
        membership: Membership,
        config: Config,
        durable: Durable,
        log: Vec<(Slot, Entry)>,
        applied: Slot,
    ) -> Result<Group, Corrupt> {
        let log = Log::restore(&durable, log, applied)?;
        let acceptor = Acceptor::restore(&durable, config.rules);
        let core = Core::new(range, me, membership, config, acceptor, log);
        Ok(Group { core, role: Role::Follower(Follower::newborn()), transfer: None })
    }

    /// Lets time pass. Useful no earlier than [`Group::next_wake`] says; late is safe.
    pub fn tick(&mut self, now: Now, out: &mut Effects) {
        self.repeat_transfer(now, out);
        match &mut self.role {
            Role::Leader(leader) => leader.tick(&mut self.core, now, out),
            Role::Candidate(candidate) => candidate.tick(&mut self.core, now, out),
            Role::Follower(follower) => {
                if follower.tick(&self.core, now) {
                    self.stand(now, out);
                }
            }
        }
    }

    /// When `tick` is next useful, by this node's monotonic clock. Ask again after any input.
    #[must_use]
    pub fn next_wake(&self, now: Now) -> Mono {
        let role = match &self.role {
            Role::Leader(leader) => leader.due(&self.core),
            Role::Candidate(candidate) => candidate.due(&self.core, now),
            Role::Follower(_) if !self.core.may_stand() => now.mono.plus(self.core.config.lease),
            Role::Follower(follower) => follower.due(&self.core, now),
        };
        let transfer = self.transfer.as_ref().filter(|t| t.repeats_left > 0);
        transfer.map_or(role, |t| role.min(t.again_at)).max(now.mono)
    }

    /// A message from another replica of this group. One that cannot be true is refused, and told
    /// as [`Event::Refused`]: nothing of it takes effect.
    pub fn message(&mut self, now: Now, from: NodeId, message: Message, out: &mut Effects) {
        match self.contradiction(now, from, &message) {
            None => self.dispatch(now, from, message, out),
            Some(why) => out.events.push(Event::Refused { from, why }),
        }
    }

    /// Whether this can be a ballot of the group, as far as is known here.
    #[must_use]
    pub fn believes(&self, ballot: Ballot) -> bool {
        self.leap(ballot.round).is_none()
    }

    /// Proposes a command. Its slot is told; its fate comes as `Effects::chosen`: in that slot and
    /// first proposed under this ballot it happened, unless void; another entry in that slot, and
    /// it never will.
    ///
    /// # Errors
    /// If this replica may not propose now; see [`ProposeError`].
    pub fn propose(
        &mut self,
        now: Now,
        command: Bytes,
        out: &mut Effects,
    ) -> Result<Slot, ProposeError> {
        match &mut self.role {
            Role::Leader(leader) => leader.propose(&mut self.core, now, command, out),
            Role::Candidate(_) | Role::Follower(_) => {
                Err(ProposeError::NotLeader { hint: self.leader_hint() })
            }
        }
    }

    /// Everything the host was asked to write up to this token is on disk.
    pub fn persisted(&mut self, now: Now, token: PersistToken, out: &mut Effects) {
        self.core.set_persisted(token);
        match &mut self.role {
            Role::Follower(_) => {}
            Role::Leader(leader) => leader.persisted(&mut self.core, out),
            Role::Candidate(candidate) => {
                if let Some(election) = candidate.persisted(&self.core) {
                    let leader = Leader::elected(&mut self.core, election, now, out);
                    self.role = Role::Leader(Box::new(leader));
                }
            }
        }
    }

    /// The token of the last write that is not known to be on disk.
    #[must_use]
    pub fn unpersisted(&self) -> Option<PersistToken> {
        self.core.unpersisted()
    }

    /// The host has applied all slots up to this one.
    pub fn applied(&mut self, slot: Slot, out: &mut Effects) {
        self.core.log.set_applied(slot);
        match &mut self.role {
            Role::Leader(leader) => leader.applied(&mut self.core, out),
            Role::Candidate(_) | Role::Follower(_) => self.core.tell_closed(out),
        }
    }

    /// Removes slots up to `upto`, all of them applied, from the log.
    pub fn truncate(&mut self, upto: Slot, out: &mut Effects) {
        if upto > self.core.log.truncated() {
            self.core.log.truncate(upto);
            self.core.write(Persist::TruncateThrough(upto), out);
            self.core.save(out);
        }
    }

    /// Up to where the log should be truncated now, by the keep limits of the configuration: half
    /// of what is kept goes at once, so that this is rare. A leader keeps what a live follower
    /// lacks, up to four times the limits; beyond, that follower gets a snapshot.
    #[must_use]
    pub fn truncation_due(&self) -> Option<Slot> {
        let Core { log, config, .. } = &self.core;
        let slots = log.applied().since(log.truncated());
        let over = |times: usize| {
            slots > config.log_keep_slots * times as u64
                || log.bytes() > config.log_keep_bytes * times
        };
        if !over(1) {
            return None;
        }
        let half = Slot(log.truncated().0 + slots.div_ceil(2));
        let needed = match &self.role {
            Role::Leader(leader) if !over(4) => leader.needed(),
            Role::Leader(_) | Role::Candidate(_) | Role::Follower(_) => None,
        };
        let upto = needed.map_or(half, |slot| half.min(slot.prev())).min(log.applied());
        (upto > log.truncated()).then_some(upto)
    }

    /// The leadership this replica holds, if any. It may act only while `ready`, and while
    /// [`Group::lease_valid`].
    #[must_use]
    pub fn leadership(&self) -> Option<Leadership> {
        match &self.role {
            Role::Leader(leader) => Some(leader.leadership()),
            Role::Candidate(_) | Role::Follower(_) => None,
        }
    }

    /// P2: whether this replica holds the lease by this reading of the clock.
    #[must_use]
    pub fn lease_valid(&self, now: Interval) -> bool {
        match &self.role {
            Role::Leader(leader) => leader.lease_valid(now),
            Role::Candidate(_) | Role::Follower(_) => false,
        }
    }

    /// P5: hands leadership on. The host has drained: no lock, no validated participant, and best
    /// nothing in flight; `floor` is at or above all it assigned, served and promised: one below
    /// its `min_next`. From here on this replica never acts under this ballot again. `to` stands
    /// for election at once; `None`: whoever comes first; this replica itself: under a higher
    /// ballot.
    ///
    /// # Errors
    /// If this replica cannot vouch, or the target cannot lead; see [`ReleaseError`].
    pub fn release(
        &mut self,
        now: Now,
        to: Option<NodeId>,
        floor: Timestamp,
        out: &mut Effects,
    ) -> Result<(), ReleaseError> {
        let Role::Leader(leader) = &self.role else { return Err(ReleaseError::NotLeader) };
        let certificate = leader.release(&self.core, now, to, floor)?;
        self.core.keep_certificate(certificate);
        let repeats_left = TRANSFER_REPEATS;
        self.transfer = Some(Transfer { certificate, to, again_at: now.mono, repeats_left });
        if self.core.config.rules.keep(Rule::ReleaseIsFinal) {
            let patience = self.core.config.election_timeout * 2;
            self.step_down(Follower::waiting(now.mono.plus(patience)), out);
        }
        if to == Some(self.core.me) {
            self.transfer = None;
            self.stand(now, out);
        }
        self.repeat_transfer(now, out);
        Ok(())
    }

    /// Stands for election as soon as no grant forbids it, without waiting for its rank. Does
    /// nothing if this replica may not stand.
    pub fn campaign(&mut self, now: Now, out: &mut Effects) {
        if let Role::Follower(follower) = &mut self.role
            && self.core.may_stand()
        {
            *follower = Follower::summoned(now);
            self.tick(now, out);
        }
    }

    /// R3: tells the followers that no new entry at or below `at` comes after slot `through`. Costs
    /// one small message to each; ignored by a replica that does not lead.
    pub fn set_closed(&mut self, at: Timestamp, through: Slot, out: &mut Effects) {
        if let Role::Leader(leader) = &mut self.role {
            leader.set_closed(&self.core, Closed { at, through }, out);
        }
    }

    /// Sends a follower slots that are truncated here, as the answer to [`Event::SnapshotNeeded`]: a host
    /// that still has them on its disk saves a snapshot. They follow each other, the first is the first
    /// that the follower lacks. No effect if it does not lack it any more.
    pub fn send_truncated(
        &mut self,
        now: Now,
        to: NodeId,
        entries: Vec<(Slot, Entry)>,
        out: &mut Effects,
    ) {
        if let Role::Leader(leader) = &mut self.role {
            leader.send_truncated(&self.core, now, to, entries, out);
        }
    }

    /// What a snapshot taken at this slot needs besides data (P8). `None` if the slot is truncated
    /// or not known chosen.
    #[must_use]
    pub fn fence_at(&self, slot: Slot) -> Option<Fence> {
        self.core.log.fence_at(slot)
    }

    /// A snapshot replaces the state machine, as of slot `upto`. What this asks to persist must go
    /// into the same atomic batch that makes the snapshot's data visible. Chosen entries up to
    /// `upto` that the host has not applied yet are skipped by it.
    ///
    /// # Errors
    /// If this replica needs no such snapshot; the host drops it.
    pub fn install_snapshot(
        &mut self,
        now: Now,
        upto: Slot,
        fence: Fence,
        out: &mut Effects,
    ) -> Result<(), SnapshotRefused> {
        let applied = self.core.log.applied();
        if upto <= applied {
            return Err(SnapshotRefused::Old { applied });
        }
        self.core.log.check_snapshot(upto, fence, self.core.config.rules)?;
        if self.leap(fence.ballot().round).is_some() {
            return Err(SnapshotRefused::Contradicts { upto, fence: fence.ballot() });
        }
        match &self.role {
            Role::Leader(_) => return Err(SnapshotRefused::Leading),
            Role::Candidate(_) => self.follow(now, out),
            Role::Follower(_) => {}
        }
        let fence =
            if self.core.config.rules.keep(Rule::SnapshotFence) { fence } else { Fence::NONE };
        self.core.log.install(upto, fence);
        self.hear_of(fence.ballot());
        self.core.write(Persist::TruncateThrough(upto), out);
        self.core.save(out);
        self.core.tell_closed(out);
        Ok(())
    }

    /// Whether this replica may stand for election. Told by the host, and not remembered over a
    /// restart. A barred replica votes, accepts and learns like any other.
    ///
    /// # Panics
    /// If a replica that leads or stands is barred.
    pub fn set_candidacy(&mut self, candidacy: Candidacy) {
        let follows = matches!(self.role, Role::Follower(_));
        assert!(follows || candidacy == Candidacy::Allowed, "barred in the middle of it");
        self.core.candidacy = candidacy;
    }

    /// Whom the host would like to lead: it comes first in the ranking of candidates. To be told
    /// to all replicas.
    pub fn set_preferred(&mut self, node: Option<NodeId>) {
        self.core.preferred = node;
    }

    /// Who leads, as far as this replica knows.
    #[must_use]
    pub fn leader_hint(&self) -> Option<NodeId> {
        match &self.role {
            Role::Leader(_) => Some(self.core.me),
            Role::Candidate(_) | Role::Follower(_) => {
                let node = self.core.acceptor.promised.node;
                (node != self.core.me && node != NodeId(0)).then_some(node)
            }
        }
    }

    /// The highest slot accepted here; for a leader, the last one proposed.
    #[must_use]
    pub fn last_slot(&self) -> Slot {
        self.core.log.last()
    }

    /// All slots up to here are known chosen.
    #[must_use]
    pub fn chosen_slot(&self) -> Slot {
        self.core.log.chosen()
    }

    /// All slots up to here are applied.
    #[must_use]
    pub fn applied_slot(&self) -> Slot {
        self.core.log.applied()
    }

    /// Slots up to here are removed from the log.
    #[must_use]
    pub fn truncated_slot(&self) -> Slot {
        self.core.log.truncated()
    }

    /// Bytes of the entries held in the log.
    #[must_use]
    pub fn log_bytes(&self) -> usize {
        self.core.log.bytes()
    }

    /// The followers that never answered this leadership; nobody, if this replica does not lead.
    pub fn never_heard(&self) -> impl Iterator<Item = NodeId> {
        let leader = match &self.role {
            Role::Leader(leader) => Some(leader),
            Role::Candidate(_) | Role::Follower(_) => None,
        };
        leader.into_iter().flat_map(|leader| leader.never_heard())
    }

    /// Who votes.
    #[must_use]
    pub fn membership(&self) -> &Membership {
        &self.core.membership
    }

    /// What is accepted here above a slot, for hosts that start to lead and want to know which
    /// commands are on their way, and for tests.
    pub fn accepted_above(&self, slot: Slot) -> impl Iterator<Item = (Slot, &Entry)> {
        self.core.log.from(slot.next())
    }

    /// What this replica is doing, for people.
    #[must_use]
    pub fn status(&self) -> Status {
        let Core { acceptor, log, .. } = &self.core;
        let (role, ballot, lease_end, ready, peers) = match &self.role {
            Role::Leader(leader) => {
                let Leadership { ballot, lease_end, ready, .. } = leader.leadership();
                (RoleName::Leader, ballot, lease_end, ready, leader.peers())
            }
            Role::Candidate(c) => {
                (RoleName::Candidate, c.ballot, acceptor.granted.until, false, Vec::new())
            }
            Role::Follower(_) => {
                (RoleName::Follower, Ballot::NONE, acceptor.granted.until, false, Vec::new())
            }
        };
        Status {
            role,
            ballot,
            promised: acceptor.promised,
            leader: self.leader_hint(),
            lease_end,
            ready,
            truncated: log.truncated(),
            applied: log.applied(),
            chosen: log.chosen(),
            last: log.last(),
            log_bytes: log.bytes(),
            peers,
        }
    }
}

#[cfg(test)]
mod tests;
