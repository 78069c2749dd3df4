//! The candidate: phase 1, once per leadership, over the whole suffix of the log.
//!
//! ```text
//!   candidate n2                voter n1                    voter n3
//!   round on disk (P0)
//!     |---- Prepare 7.n2 from #41 ->|                            |
//!     |---- Prepare 7.n2 from #41 ------------------------------>|
//!     |<--- Refuse: granted until t |                            |
//!     |<--- Promise #41..#44, granted u -------------------------|
//!   own promise on disk: a quorum, so it leads
//! ```
//!
//! It promises itself *last*, when its promise is the only one missing. Until then it can step back
//! without a trace: a candidate that was cut off from a healthy group, and refused by voters bound
//! to their leader, accepts that leader's next heartbeat as if nothing had been.
//!
//! A voter that is bound tells until when; it is asked again right after. A voter whose log is
//! longer than one message reports it in parts. A voter that has truncated what the candidate lacks
//! turns it down, so whoever is elected holds, or was told of, every slot it needs: a candidate
//! never needs a snapshot.
//!
//! Invariants: the ballot was never used before (P0, its round is on disk before `Prepare` leaves);
//! it leads only with `phase1` complete reports, its own among them, all durable.

#[cfg(test)]
mod canonical;

use std::{
    collections::{BTreeMap, btree_map::Entry as MapEntry},
    mem,
};

use clock::{Mono, Now, Timestamp};
use keys::NodeId;

use crate::{
    Ballot, Certificate, Effects, Entry, Message, PersistToken, Slot, core::Core, rules::Rule,
};

/// What a candidate knows when it is elected.
#[derive(Debug)]
pub(crate) struct Election {
    /// Its ballot.
    pub ballot: Ballot,
    /// The highest `until` its promises reported, and its certificate's floor (P3, P5).
    pub floor: Timestamp,
    /// The certificate it stood with.
    pub certificate: Option<Certificate>,
    /// For each slot reported the entry accepted under the highest ballot (P7).
    pub found: BTreeMap<Slot, Entry>,
    /// What each promiser knows chosen.
    pub chosen: BTreeMap<NodeId, Slot>,
}

/// A replica that stands for election.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone, Hash))]
pub(crate) struct Candidate {
    /// Its ballot.
    pub ballot: Ballot,
    certificate: Option<Certificate>,
    answers: BTreeMap<NodeId, Answer>,
    own: OwnPromise,
    floor: Timestamp,
    found: BTreeMap<Slot, Entry>,
}

/// How far a voter has answered.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone, Hash))]
struct Answer {
    /// Its report is wanted from here on.
    from: Slot,
    /// It is asked again at this time, if it has not answered.
    ask_at: Mono,
    /// What it knows chosen, once its report is complete.
    chosen: Option<Slot>,
}

/// The candidate's own promise, given last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum OwnPromise {
    /// Not given: others are missing as well.
    Withheld,
    /// Given, and on its way to disk.
    Writing(PersistToken),
}

impl Candidate {
    /// Stands under a ballot never used before.
    pub(crate) fn stand(core: &mut Core, now: Now, out: &mut Effects) -> Candidate {
        let round = core.max_round.max(core.acceptor.round_used).max(core.acceptor.promised.round);
        let again =
            core.acceptor.promised.node == core.me && !core.config.rules.keep(Rule::BallotOnce);
        let ballot = if again { core.acceptor.promised } else { Ballot::new(round + 1, core.me) };
        core.acceptor.round_used = ballot.round;
        core.max_round = ballot.round;
        core.save(out);
        let from = core.log.chosen().next();
        let answer = |n| (n, Answer { from, ask_at: now.mono, chosen: None });
        let mut candidate = Candidate {
            ballot,
            certificate: core.certificate.filter(|c| c.ballot < ballot),
            answers: core.others().into_iter().map(answer).collect(),
            own: OwnPromise::Withheld,
            floor: Timestamp::ZERO,
            found: BTreeMap::new(),
        };
        candidate.ask(core, now, out);
        candidate.promise_if_last(core, now, out);
        candidate
    }

    /// Looks at the time.
    pub(crate) fn tick(&mut self, core: &mut Core, now: Now, out: &mut Effects) {
        self.ask(core, now, out);
        self.promise_if_last(core, now, out);
    }

    /// Asks every voter whose time has come. P0: the round goes to disk first.
    fn ask(&mut self, core: &Core, now: Now, out: &mut Effects) {
        for (node, answer) in &mut self.answers {
            if answer.chosen.is_none() && answer.ask_at <= now.mono {
                answer.ask_at = now.mono.plus(core.config.resend_after);
                let Candidate { ballot, certificate, .. } = *self;
                let message = Message::Prepare { ballot, from: answer.from, certificate };
                core.send_durable(*node, message, out);
            }
        }
    }

    /// When `tick` is next useful.
    pub(crate) fn due(&self, core: &Core, now: Now) -> Mono {
        let bound = core.acceptor.bound_until(now.tt, core.me, self.certificate);
        let pause = bound.map_or(core.config.resend_after, |until| now.tt.until_after(until));
        let asks = self.answers.values().filter(|a| a.chosen.is_none()).map(|a| a.ask_at);
        asks.fold(now.mono.plus(pause), Mono::min)
    }

    /// A voter's promise, or a part of its report.
    pub(crate) fn promised(
        &mut self,
        core: &mut Core,
        now: Now,
        from: NodeId,
        report: Report,
        out: &mut Effects,
    ) {
        let Some(answer) = self.answers.get_mut(&from) else { return };
        if answer.chosen.is_some() || answer.from != report.from {
            return;
        }
        self.floor = self.floor.max(report.granted);
        if report.complete {
            answer.chosen = Some(report.chosen);
        } else {
            let last = report.entries.last().expect("an incomplete report has entries").0;
            answer.from = last.next();
            answer.ask_at = now.mono;
        }
        for (slot, entry) in report.entries {
            self.find(slot, entry);
        }
        self.ask(core, now, out);
        self.promise_if_last(core, now, out);
    }

    fn find(&mut self, slot: Slot, entry: Entry) {
        match self.found.entry(slot) {
            MapEntry::Vacant(vacant) => {
                vacant.insert(entry);
            }
            MapEntry::Occupied(mut held) if held.get().ballot < entry.ballot => {
                held.insert(entry);
            }
            MapEntry::Occupied(_) => {}
        }
    }

    /// A voter bound by a grant: it is asked again once that is over, by this node's clock. By its
    /// own clock it may be a little later, so the next try keeps some distance.
    pub(crate) fn bound(&mut self, core: &Core, now: Now, from: NodeId, until: Timestamp) {
        if let Some(answer) = self.answers.get_mut(&from) {
            let pause = now.tt.until_after(until).max(core.config.resend_after / 16);
            answer.ask_at = now.mono.plus(pause);
        }
    }

    /// Promises itself when no other promise is missing. A clock may step back within its bound,
    /// so a grant that was over when it stood can be in force again: then it waits for its end.
    fn promise_if_last(&mut self, core: &mut Core, now: Now, out: &mut Effects) {
        let promises = 1 + self.answers.values().filter(|a| a.chosen.is_some()).count();
        if self.own != OwnPromise::Withheld || promises < core.membership.phase1() {
            return;
        }
        if core.acceptor.bound_until(now.tt, core.me, self.certificate).is_some() {
            return;
        }
        self.floor = self.floor.max(core.acceptor.report(now.tt, self.certificate));
        core.acceptor.promise(self.ballot);
        core.save(out);
        self.own = OwnPromise::Writing(core.unpersisted().expect("just written"));
    }

    /// Writes are on disk: is it elected?
    pub(crate) fn persisted(&mut self, core: &Core) -> Option<Election> {
        let OwnPromise::Writing(token) = self.own else { return None };
        if token > core.persisted() {
            return None;
        }
        assert_eq!(core.acceptor.promised, self.ballot, "a higher promise ends a candidacy");
        let answers = mem::take(&mut self.answers);
        let chosen: BTreeMap<NodeId, Slot> =
            answers.into_iter().filter_map(|(n, a)| Some((n, a.chosen?))).collect();
        assert!(chosen.len() + 1 >= core.membership.phase1(), "elected by {}", chosen.len() + 1);
        let mut found = mem::take(&mut self.found);
        if !core.config.rules.keep(Rule::RecoverAccepted) {
            found.clear();
        }
        let certified = self.certificate.map_or(Timestamp::ZERO, |c| c.floor);
        let keep = core.config.rules.keep(Rule::Floor);
        let floor = if keep { self.floor.max(certified) } else { Timestamp::ZERO };
        Some(Election { ballot: self.ballot, floor, certificate: self.certificate, found, chosen })
    }
}

/// What a `Promise` reports.
#[derive(Debug)]
pub(crate) struct Report {
    /// From which slot.
    pub from: Slot,
    /// What was accepted there and beyond.
    pub entries: Vec<(Slot, Entry)>,
    /// Whether that is all.
    pub complete: bool,
    /// What the voter knows chosen.
    pub chosen: Slot,
    /// The largest `until` it ever granted.
    pub granted: Timestamp,
}
