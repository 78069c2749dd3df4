//! The leader's lease: what it asks for, what it granted itself, and where the lease ends (P1, P2).

use std::collections::VecDeque;

use clock::{Mono, Now, Timestamp};

use super::Leader;
use crate::{Effects, PersistToken, Slot, core::Core, rules::Rule};

/// The leader as a voter of its own group.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone, Hash))]
pub(super) struct Own {
    /// Everything up to here is accepted and on disk.
    pub(super) matched: Slot,
    /// The lease it granted itself, its horizon on disk.
    pub(super) granted: Timestamp,
    /// The lease it granted itself, its horizon perhaps not yet on disk.
    pub(super) given: Timestamp,
    /// The lease it asked for last.
    pub(super) wanted: Timestamp,
    /// What counts once a write is on disk.
    pub(super) waiting: VecDeque<(PersistToken, Slot, Timestamp)>,
    /// When it last asked itself for a grant; `None`: never, so it is due.
    pub(super) asked: Option<Mono>,
}

impl Own {
    /// It has accepted, and granted itself, this much, all on disk.
    pub(super) fn count(&mut self, matched: Slot, granted: Timestamp) {
        self.matched = self.matched.max(matched);
        self.granted = self.granted.max(granted);
    }
}

impl Leader {
    /// Asks for a lease from now on. Its own horizon goes ahead, with whatever is being written.
    pub(super) fn renew(&mut self, core: &mut Core, now: Now, out: &mut Effects) {
        self.own.asked = Some(now.mono);
        self.own.wanted = self.own.wanted.max(self.until(core, now));
        if core.acceptor.cover(self.own.wanted, core.config.horizon_slack) {
            core.save(out);
        }
        self.count_own(core);
        self.count_grants(core, out);
    }

    /// P1: what a request sent now asks for.
    pub(super) fn until(&self, core: &Core, now: Now) -> Timestamp {
        now.tt.latest_timestamp().plus(core.config.lease)
    }

    /// Counts what it has accepted and granted itself, once that is on disk (S1).
    pub(super) fn count_own(&mut self, core: &Core) {
        let (matched, until) = (core.log.last(), self.own.given);
        match core.unpersisted().filter(|_| core.config.rules.keep(Rule::OwnAcceptanceDurable)) {
            Some(token) => match self.own.waiting.back_mut() {
                Some(back) if back.0 == token => *back = (token, matched, until),
                Some(_) | None => self.own.waiting.push_back((token, matched, until)),
            },
            None => self.own.count(matched, until),
        }
    }

    /// Counts grants. Its own comes last, and reaches no further than those of a phase-2 quorum
    /// without it: so a leader that finds no quorum never binds its own acceptor, and does not
    /// stand in the way of the next.
    pub(super) fn count_grants(&mut self, core: &mut Core, out: &mut Effects) {
        let others = core.membership.phase2() - 1;
        let alone = others == 0 || !core.config.rules.keep(Rule::LeaseQuorum);
        let mut granted: Vec<Timestamp> = self.peers.values().map(|p| p.granted).collect();
        granted.sort_unstable_by(|a, b| b.cmp(a));
        let reached = if alone {
            self.own.wanted
        } else {
            granted.get(others - 1).copied().unwrap_or_default()
        };
        if reached > self.own.given {
            self.own.given = reached;
            if core.acceptor.grant(self.ballot, reached, core.config.horizon_slack) {
                core.save(out);
            }
            self.count_own(core);
        }
        self.set_lease_end(core);
    }

    /// P2: the lease ends at the largest t that a phase-2 quorum granted.
    pub(super) fn set_lease_end(&mut self, core: &Core) {
        let grants = self.peers.values().map(|p| p.granted).chain([self.own.granted]);
        let end = if core.config.rules.keep(Rule::LeaseQuorum) {
            core.membership.reached_by_phase2(grants).unwrap_or_default()
        } else {
            self.own.granted
        };
        assert!(end >= self.lease_end, "the lease end moves back from {} to {end}", self.lease_end);
        self.lease_end = end;
    }
}
