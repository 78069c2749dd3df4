//! Transitions between roles, and what a replica does with each message.

use clock::Now;
use keys::NodeId;

use super::{Group, Role, Transfer};
use crate::{
    Ballot, Certificate, Effects, Entry, Event, Lead, Message, Persist, Proposal, Refusal, Slot,
    candidate::{Candidate, Report},
    core::Core,
    follower::Follower,
    leader::{Answer, Leader},
    rules::Rule,
};

/// Transitions.
impl Group {
    /// Follower or candidate -> candidate.
    pub(super) fn stand(&mut self, now: Now, out: &mut Effects) {
        assert!(!matches!(self.role, Role::Leader(_)), "a leader does not stand for election");
        self.role = Role::Candidate(Candidate::stand(&mut self.core, now, out));
    }

    /// Any role -> follower.
    pub(super) fn step_down(&mut self, follower: Follower, out: &mut Effects) {
        if let Role::Leader(leader) = &self.role {
            out.events.push(Event::LostLeadership { ballot: leader.ballot });
        }
        self.role = Role::Follower(follower);
    }

    /// Any role -> follower that has just heard of a leader or candidate.
    pub(super) fn follow(&mut self, now: Now, out: &mut Effects) {
        let patience = self.core.config.election_timeout;
        self.step_down(Follower::waiting(now.mono.plus(patience)), out);
    }

    /// This leader, if it leads under this ballot.
    fn leader_under(&mut self, ballot: Ballot) -> Option<(&mut Core, &mut Leader)> {
        match &mut self.role {
            Role::Leader(leader) if leader.ballot == ballot => Some((&mut self.core, leader)),
            Role::Leader(_) | Role::Candidate(_) | Role::Follower(_) => None,
        }
    }

    /// Says again that it released, while no higher ballot is heard of.
    pub(super) fn repeat_transfer(&mut self, now: Now, out: &mut Effects) {
        let Some(transfer) = &mut self.transfer else { return };
        let over = self.core.acceptor.promised > transfer.certificate.ballot;
        if over || transfer.repeats_left == 0 {
            self.transfer = None;
        } else if transfer.again_at <= now.mono {
            transfer.repeats_left -= 1;
            transfer.again_at = now.mono.plus(self.core.config.resend_after);
            let Transfer { certificate, to, .. } = *transfer;
            for node in self.core.others() {
                out.send.push((node, Message::Transfer { certificate, to }));
            }
        }
    }
}

/// Inputs from other replicas.
impl Group {
    /// A message from another voter that contradicts nothing known here.
    pub(super) fn dispatch(&mut self, now: Now, from: NodeId, message: Message, out: &mut Effects) {
        match message {
            Message::Prepare { ballot, from: slot, certificate } => {
                self.on_prepare(now, ballot, slot, certificate, out);
            }
            Message::Promise { ballot, from: slot, entries, complete, chosen, granted } => {
                let report = Report { from: slot, entries, complete, chosen, granted };
                self.on_promise(now, from, ballot, report, out);
            }
            Message::Refuse { ballot, reason } => self.on_refuse(now, from, ballot, reason, out),
            Message::Accept { lead, proposals } => self.on_lead(now, lead, proposals, out),
            Message::Heartbeat { lead } => self.on_lead(now, lead, Vec::new(), out),
            Message::Accepted { ballot, until, matched, sent } => {
                if let Some((core, leader)) = self.leader_under(ballot) {
                    leader.accepted(core, now, from, Answer { until, matched, sent }, out);
                }
            }
            Message::Commit { ballot, commit, closed } => {
                self.core.learn(ballot, commit, out);
                self.core.hear_closed(closed, out);
            }
            Message::Transfer { certificate, to } => self.on_transfer(now, certificate, to, out),
        }
    }

    /// Why this voter cannot turn to a ballot now; `None` if it can (P1).
    fn objection(
        &self,
        now: Now,
        ballot: Ballot,
        certificate: Option<Certificate>,
    ) -> Option<Refusal> {
        let acceptor = &self.core.acceptor;
        if ballot < acceptor.promised {
            return Some(Refusal::Promised(acceptor.promised));
        }
        let until = acceptor.bound_until(now.tt, ballot.node, certificate)?;
        Some(Refusal::Granted { until })
    }

    fn refuse(&self, ballot: Ballot, reason: Refusal, out: &mut Effects) {
        out.send.push((ballot.node, Message::Refuse { ballot, reason }));
    }

    pub(super) fn hear_of(&mut self, ballot: Ballot) {
        self.core.max_round = self.core.max_round.max(ballot.round);
    }

    fn on_prepare(
        &mut self,
        now: Now,
        ballot: Ballot,
        from: Slot,
        certificate: Option<Certificate>,
        out: &mut Effects,
    ) {
        let mut objection = self.objection(now, ballot, certificate);
        if let (Role::Candidate(own), None) = (&self.role, objection)
            && own.ballot > ballot
        {
            objection = Some(Refusal::Promised(own.ballot));
        }
        let truncated = self.core.log.truncated();
        if objection.is_none()
            && from <= truncated
            && self.core.config.rules.keep(Rule::BehindRefused)
        {
            objection = Some(Refusal::Behind { truncated });
        }
        if let Some(reason) = objection {
            return self.refuse(ballot, reason, out);
        }
        let granted = self.core.acceptor.report(now.tt, certificate);
        self.hear_of(ballot);
        if self.core.acceptor.promise(ballot) {
            self.core.save(out);
            self.follow(now, out);
        }
        let (entries, complete) = self.report(from);
        let chosen = self.core.log.chosen();
        let promise = Message::Promise { ballot, from, entries, complete, chosen, granted };
        self.core.send_durable(ballot.node, promise, out);
    }

    /// What is accepted in slots `from ..`, as much as one message takes, and whether that is all.
    fn report(&self, from: Slot) -> (Vec<(Slot, Entry)>, bool) {
        let mut weight = 0;
        let mut entries = Vec::new();
        for (slot, entry) in self.core.log.from(from) {
            weight += entry.payload.weight();
            if weight > self.core.config.max_batch_bytes && !entries.is_empty() {
                return (entries, false);
            }
            entries.push((slot, entry.clone()));
        }
        (entries, true)
    }

    fn on_promise(
        &mut self,
        now: Now,
        from: NodeId,
        ballot: Ballot,
        report: Report,
        out: &mut Effects,
    ) {
        if let Role::Candidate(candidate) = &mut self.role
            && candidate.ballot == ballot
            && (report.complete || !report.entries.is_empty())
        {
            candidate.promised(&mut self.core, now, from, report, out);
        }
    }

    fn on_refuse(
        &mut self,
        now: Now,
        from: NodeId,
        ballot: Ballot,
        reason: Refusal,
        out: &mut Effects,
    ) {
        if let Refusal::Promised(promised) = reason {
            if promised <= ballot {
                return;
            }
            self.hear_of(promised);
        }
        let backoff = self.core.backoff(now);
        match (&mut self.role, reason) {
            (Role::Candidate(own), reason) if own.ballot == ballot => match reason {
                Refusal::Granted { until } => own.bound(&self.core, now, from, until),
                Refusal::Promised(_) => self.step_down(Follower::waiting(backoff), out),
                Refusal::Behind { .. } => self.follow(now, out),
            },
            (Role::Leader(own), reason) if own.ballot == ballot => match reason {
                Refusal::Granted { until } => own.bound(&self.core, now, from, until),
                Refusal::Promised(promised) => {
                    if own.outvoted(&self.core, now, from, promised, out) {
                        self.step_down(Follower::waiting(backoff), out);
                    }
                }
                Refusal::Behind { .. } => {}
            },
            (Role::Leader(_) | Role::Candidate(_) | Role::Follower(_), _) => {}
        }
    }

    /// A leader's request: grants its lease (P1), accepts its proposals, learns what is chosen.
    fn on_lead(&mut self, now: Now, lead: Lead, proposals: Vec<Proposal>, out: &mut Effects) {
        let Lead { ballot, until, commit, sent, closed, certificate } = lead;
        let mut objection = self.objection(now, ballot, certificate);
        if matches!(objection, Some(Refusal::Promised(_)))
            && !self.core.config.rules.keep(Rule::GrantIsPromise)
            && proposals.is_empty()
        {
            objection = None;
        }
        if let Some(reason) = objection {
            return self.refuse(ballot, reason, out);
        }
        assert!(ballot.node != self.core.me, "{ballot} leads here, not elsewhere");
        self.hear_of(ballot);
        self.follow(now, out);
        if self.core.acceptor.grant(ballot, until, self.core.config.horizon_slack) {
            self.core.save(out);
        }
        self.accept(ballot, proposals, out);
        self.core.learn(ballot, commit, out);
        self.core.hear_closed(closed, out);
        let matched = self.core.log.matched(ballot);
        self.core.send_durable(
            ballot.node,
            Message::Accepted { ballot, until, matched, sent },
            out,
        );
    }

    fn accept(&mut self, ballot: Ballot, proposals: Vec<Proposal>, out: &mut Effects) {
        let reach = self.core.log.matched(ballot).0 + 2 * self.core.config.max_in_flight_slots;
        for Proposal { slot, first, payload } in proposals {
            if slot.0 > reach {
                continue;
            }
            let entry = Entry { first, ballot, payload };
            if self.core.log.accept(slot, entry.clone()) {
                self.core.write(Persist::Append { slot, entry }, out);
            }
        }
    }

    /// P5: a leader stopped. Whoever is to lead stands at once, the others give it time.
    fn on_transfer(
        &mut self,
        now: Now,
        certificate: Certificate,
        to: Option<NodeId>,
        out: &mut Effects,
    ) {
        self.core.keep_certificate(certificate);
        if certificate.ballot < self.core.acceptor.promised {
            return;
        }
        match (&mut self.role, to) {
            (Role::Follower(_), Some(node)) if node == self.core.me => self.campaign(now, out),
            (Role::Follower(_), Some(_)) => self.follow(now, out),
            (Role::Follower(follower), None) => *follower = Follower::waiting(now.mono),
            (Role::Candidate(_) | Role::Leader(_), _) => {}
        }
    }
}
