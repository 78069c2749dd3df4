//! Splits and transfers: how a leader's memory is divided, and how it ends on purpose.
//!
//! A split is one log entry. From the request on nothing new is begun, large transactions come to
//! the end of their slices, and behind the entry the leader proposes nothing until it is applied (the
//! *barrier*): so nothing in the log can touch keys that are the child's by then. Requests that
//! come to propose wait at the barrier; those for the child's keys are then sent away with the
//! right descriptor.
//!
//! ```text
//!    log:   commit   prepare   SPLIT at m   |barrier|   commit ...
//!                                 ^ applied: descriptor cut, child's state in the same batch,
//!                                   locks, recent writes and promises divided, child born
//! ```
//!
//! The child starts above everything the parent assigned, served or closed: its floor is the
//! parent's `min_next`. A transaction with locks on both sides is a holder in both ranges; both ask
//! its record.
//!
//! A transfer (P5) drains first: nothing new is promised, what is promised is waited for. Then the
//! host issues the certificate with `min_next - 1` as floor, and this leader is none any more.

use keys::{Key, NodeId, RangeId};
use kv::{KvError, Reply};
use paxos::Ballot;
use storage::EngineError;

use super::{
    Cx, Machine,
    leader::{Draining, Leader, Phase, Splitting, Txn},
    op::{Caller, Op, Work},
};
use crate::{
    command::Command,
    state::{Applied, RangeState},
};

/// A child at birth.
#[derive(Debug)]
pub struct Offspring {
    /// Its descriptor and threshold; written in the parent's batch.
    pub state: RangeState,
    /// Its log is empty; it knows the highest timestamp of the parent's (R1).
    pub applied: Applied,
    /// The ballot under which the split was first proposed.
    pub first: Ballot,
}

/// What the parent's leader hands to the child's, if that is the same replica.
#[derive(Debug)]
pub(super) struct Heirloom {
    child: RangeId,
    leader: Leader,
}

impl Machine {
    pub(super) fn split(
        &mut self,
        cx: &mut Cx<'_>,
        op: Op<()>,
        at: &Key,
        child: RangeId,
    ) -> Result<(), EngineError> {
        if let Err(error) = self.check_leader(cx) {
            self.answer_op(cx, &op, Err(error));
            return Ok(());
        }
        if let Some(reply) = self.split_done(child) {
            self.answer_op(cx, &op, Ok(reply));
            return Ok(());
        }
        let id = self.ops.next_id();
        if let Some(splitting) = &mut self.leader().splitting {
            if splitting.child == child {
                splitting.waiters.push(id);
                self.ops.park(id, op.with(Work::Split));
            } else {
                let cause = format!("{} is being split already", self.id());
                self.answer_op(cx, &op, Err(KvError::Overloaded(cause)));
            }
            return Ok(());
        }
        let span = &self.state.descriptor.span;
        let error = if !span.contains(at) {
            Some(self.wrong_range())
        } else if at.len() > self.config.key_bytes {
            let (bytes, limit) = (at.len() as u64, self.config.key_bytes as u64);
            Some(KvError::TooLarge { range: self.id(), bytes, limit })
        } else if *at == span.start || child == self.id() {
            Some(KvError::Invalid(format!("{} cannot be split at {at}", self.id())))
        } else {
            None
        };
        if let Some(error) = error {
            self.answer_op(cx, &op, Err(error));
            return Ok(());
        }
        if let Some(other) = RangeState::read(cx.reader, child)? {
            let cause = format!("{child} is there already: {}", other.descriptor);
            self.answer_op(cx, &op, Err(KvError::Invalid(cause)));
            return Ok(());
        }
        self.ops.park(id, op.with(Work::Split));
        let (at, proposed, waiters) = (at.clone(), false, vec![id]);
        self.leader().splitting = Some(Splitting { at, child, proposed, waiters });
        Ok(())
    }

    /// Puts a split into the log once no transaction is between two of its slices: what follows them
    /// would touch keys that are the child's by then.
    pub(super) fn propose_split(&mut self) {
        let Some(leader) = &mut self.leader else { return };
        if leader.splitting.as_ref().is_none_or(|splitting| splitting.proposed)
            || leader.is_slicing()
        {
            return;
        }
        let Some(splitting) = &mut leader.splitting else { return };
        let command = Command::Split { at: splitting.at.clone(), child: splitting.child };
        leader.enqueue(command);
        leader.splitting.iter_mut().for_each(|splitting| splitting.proposed = true);
    }

    /// The answer to a split that happened before, by the child's id.
    fn split_done(&self, child: RangeId) -> Option<Reply> {
        let split = self.state.splits.iter().find(|split| split.child.id == child)?;
        let left = self.state.descriptor.clone();
        Some(Reply::Split { left, right: split.child.clone() })
    }

    /// The split is applied: the leader's memory is divided.
    pub(super) fn settle_split(
        &mut self,
        cx: &mut Cx<'_>,
        at: &Key,
        child: RangeId,
    ) -> Result<(), EngineError> {
        let waiting: Vec<_> = std::mem::take(&mut self.ops.barrier).into_iter().collect();
        for id in &waiting {
            // Granted before the barrier came: to be asked for again, here or there.
            let txn = match self.ops.get(*id).map(|op| &op.work) {
                Some(Work::Asked(asked)) => asked.txn(),
                Some(Work::Logged(_) | Work::Split | Work::Transfer | Work::Held(_)) | None => None,
            };
            if let Some(txn) = txn {
                self.release_unpromised(txn);
            }
        }
        let heirloom = self.divide(cx, at, child);
        self.heirloom = Some(heirloom);
        // Some of the records asked about may be the child's now.
        self.acknowledging.clear();
        let splitting = self.leader().splitting.take();
        let reply = self.split_done(child);
        for id in splitting.map_or(Vec::new(), |splitting| splitting.waiters) {
            let result = reply
                .clone()
                .ok_or_else(|| KvError::Invalid(format!("{} was not split at {at}", self.id())));
            self.finish(cx, id, result);
        }
        for id in waiting {
            let Some(op) = self.ops.take_asked(id) else { continue };
            if op.work.lies_in(&self.state.descriptor.span) {
                self.take_up(cx, op)?;
            } else {
                let error = self.wrong_range();
                self.answer_op(cx, &op, Err(error));
            }
        }
        Ok(())
    }

    fn divide(&mut self, cx: &Cx<'_>, at: &Key, child: RangeId) -> Heirloom {
        let log_timestamp = self.applied.max_timestamp;
        let config = self.config.clone();
        let leader = self.leader();
        let mut right = Leader::new(&config, leader.ballot, cx.now.mono, log_timestamp);
        right.min_next = leader.min_next;
        right.lease_end = leader.lease_end;
        right.since = leader.since;
        right.heard = leader.heard.clone();
        right.recent = leader.recent.split(at);
        let mut effects = std::mem::take(&mut leader.lock_effects);
        right.locks = leader.locks.split(at, &mut effects);
        leader.lock_effects = effects;
        let mut gone = Vec::new();
        for (id, txn) in &mut leader.txns {
            let Phase::Prepared { prepare, keys, validated } = &mut txn.phase else {
                unreachable!("the log was empty up to the split: {:?}", txn.phase)
            };
            let moved: Vec<Key> = keys.extract_if(.., |key| *key >= *at).collect();
            if right.locks.holds(*id) {
                let phase = Phase::Prepared {
                    prepare: *prepare,
                    keys: moved,
                    validated: validated.clone(),
                };
                let meta = txn.meta.clone();
                right.txns.insert(*id, Txn { meta, phase, waiters: Vec::new() });
            }
            if !leader.locks.holds(*id) {
                gone.push(*id);
            }
        }
        for id in gone {
            leader.txns.remove(&id);
        }
        Heirloom { child, leader: right }
    }

    /// Makes this machine, a child just born, the leader it is to be: with the locks and promises
    /// of the parent's leader, and its `min_next` as floor. No effect for another child.
    ///
    /// # Panics
    /// If the parent kept nothing for it: only the leader that proposed the split gives birth to a
    /// leader.
    pub fn inherit(&mut self, parent: &mut Machine) {
        let heirloom = parent.heirloom.take().expect("the parent's leader divided its memory");
        assert_eq!(heirloom.child, self.id(), "an heirloom of another child");
        self.leader = Some(Box::new(heirloom.leader));
    }

    pub(super) fn transfer(&mut self, cx: &mut Cx<'_>, op: Op<()>, to: NodeId) {
        let voter = self.state.descriptor.voters.contains(&to);
        let result = match self.check_leader(cx) {
            Err(error) => Some(Err(error)),
            Ok(()) if to == self.node && op.caller != Caller::Nobody => Some(Ok(Reply::Done)),
            Ok(()) if !voter => {
                Some(Err(KvError::Invalid(format!("{to} is no replica of {}", self.id()))))
            }
            Ok(()) if self.leader().draining.is_some() => {
                let cause = format!("the leadership of {} is being handed over", self.id());
                Some(Err(KvError::Overloaded(cause)))
            }
            Ok(()) => None,
        };
        if let Some(result) = result {
            self.answer_op(cx, &op, result);
            return;
        }
        let id = self.ops.next_id();
        self.ops.park(id, op.with(Work::Transfer));
        self.leader().draining = Some(Draining { to, op: id });
    }

    /// A voter has promised a higher ballot that leads nothing: only a new ballot heals that, so
    /// this leader hands over to itself.
    pub fn renew_ballot(&mut self, cx: &mut Cx<'_>) {
        if self.leader.as_ref().is_some_and(|leader| leader.draining.is_none()) {
            let arrived = cx.now.mono;
            let deadline = arrived.plus(self.config.push_timeout);
            let op = Op::new(Caller::Nobody, arrived, deadline, ());
            self.transfer(cx, op, self.node);
        }
    }

    /// P5: once nothing is promised and nothing is in the log, the host may hand over. It is told
    /// so with every step until it did, or until the request for it is given up.
    pub(super) fn drained(&mut self, cx: &mut Cx<'_>) {
        let Some(leader) = &self.leader else { return };
        let Some(draining) = &leader.draining else { return };
        let idle = leader.log_idle() && leader.splitting.is_none() && leader.txns.is_empty();
        if idle && !leader.locks.must_drain() {
            cx.out.release = Some(draining.to);
        }
    }
}
