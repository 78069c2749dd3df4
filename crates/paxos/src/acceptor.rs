//! The acceptor: what one voter has promised and granted, and to whom it is bound.
//!
//! A grant is a promise with an end: until `TT.after(until)` the voter promises and accepts no
//! other node's ballot (P1). Two things outlive a crash: the promise, and the *horizon*, a
//! timestamp at or above every grant ever given, written ahead so that most grants need no write
//! (P4). After a restart the horizon stands for all the grants forgotten; they were given to the
//! node of the promised ballot, since nobody else's ballot could be promised while one was in
//! force.
//!
//! ```text
//!   grants      |----|     until, moved on by each request
//!                 |----|
//!                   |----|
//!   horizon  ---------------------|  one write for several grants; slack beyond the first
//! ```
//!
//! Invariants: the promise, the end of the grant, the horizon and the round never fall;
//! `granted.until <= horizon`.
//!
//! HAZARD. `TT.after` trusts the clock's bound. A granter whose clock runs ahead of what it claims
//! turns to a candidate while the old leader still serves: two leaders, and a read at the old one
//! misses a write at the new one.

use clock::{Interval, Timestamp};
use keys::NodeId;
use std::time::Duration;

use crate::{
    Ballot, Certificate, Durable,
    rules::{Rule, Rules},
};

/// A lease as its granter knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Grant {
    /// To whom; [`Ballot::NONE`]: nothing was ever granted.
    pub ballot: Ballot,
    /// Until when. It never moves back, whoever holds it.
    pub until: Timestamp,
}

impl Grant {
    /// Does the certificate free from this grant? Only if it speaks of the same node, and of this
    /// ballot or a later one (P5).
    fn covered_by(self, certificate: Option<Certificate>, rules: Rules) -> bool {
        certificate.is_some_and(|c| {
            c.ballot.node == self.ballot.node
                && (self.ballot <= c.ballot || !rules.keep(Rule::CertificateOneBallot))
        })
    }
}

/// One voter's promises and grants.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Acceptor {
    /// The highest ballot promised.
    pub promised: Ballot,
    /// The lease granted last.
    pub granted: Grant,
    /// At or above every grant ever given; what is on disk, or on its way there.
    pub horizon: Timestamp,
    /// The highest round this node stood in (P0).
    pub round_used: u64,
    rules: Rules,
}

impl Acceptor {
    /// An acceptor with this past.
    pub(crate) fn new(
        promised: Ballot,
        granted: Grant,
        horizon: Timestamp,
        round_used: u64,
        rules: Rules,
    ) -> Acceptor {
        assert!(granted.until <= horizon, "the horizon {horizon} covers {granted:?}");
        assert!(granted.ballot <= promised, "{granted:?} was promised, not only {promised}");
        Acceptor { promised, granted, horizon, round_used, rules }
    }

    /// What comes back after a restart: the horizon stands for every grant forgotten (P4).
    pub(crate) fn restore(durable: &Durable, rules: Rules) -> Acceptor {
        let forgotten = Grant { ballot: durable.promised, until: durable.horizon };
        let none = durable.horizon == Timestamp::ZERO || !rules.keep(Rule::HorizonStandsIn);
        let granted = if none { Grant::default() } else { forgotten };
        Acceptor::new(durable.promised, granted, durable.horizon, durable.round_used, rules)
    }

    /// Until when a grant in force forbids to turn to `node`; `None` if nothing does (P1, P4).
    pub(crate) fn bound_until(
        &self,
        now: Interval,
        node: NodeId,
        certificate: Option<Certificate>,
    ) -> Option<Timestamp> {
        let Grant { ballot, until } = self.granted;
        let free = ballot == Ballot::NONE
            || ballot.node == node
            || now.after(until)
            || self.granted.covered_by(certificate, self.rules)
            || !self.rules.keep(Rule::GrantersWait);
        (!free).then_some(until)
    }

    /// What a promise reports (P3): the largest `until` ever granted, in force or not; zero if
    /// there was none, or the certificate speaks for it.
    pub(crate) fn report(&self, now: Interval, certificate: Option<Certificate>) -> Timestamp {
        let over = now.after(self.granted.until) && !self.rules.keep(Rule::ReportOverGrants);
        if over || self.granted.covered_by(certificate, self.rules) {
            return Timestamp::ZERO;
        }
        self.granted.until
    }

    /// Promises a ballot to a node it is free to turn to. Answers whether the record changed.
    pub(crate) fn promise(&mut self, ballot: Ballot) -> bool {
        let before = self.promised;
        if self.rules.keep(Rule::GrantIsPromise) {
            assert!(ballot >= before, "promising {ballot} below {before}");
        }
        self.promised = before.max(ballot);
        self.promised != before
    }

    /// Grants a lease, and so promises its ballot. Answers whether the record changed.
    pub(crate) fn grant(&mut self, ballot: Ballot, until: Timestamp, slack: Duration) -> bool {
        let mut changed = self.promise(ballot);
        let keep = self.rules.keep(Rule::UntilMonotone);
        let until = if keep { until.max(self.granted.until) } else { until };
        self.granted = Grant { ballot, until };
        changed |= self.cover(until, slack);
        changed
    }

    /// Moves the horizon beyond this instant, if it is not. Answers whether the record changed.
    pub(crate) fn cover(&mut self, until: Timestamp, slack: Duration) -> bool {
        let beyond = until > self.horizon;
        if beyond {
            self.horizon = until.plus(slack);
        }
        beyond
    }
}
