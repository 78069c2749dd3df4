//! What a leader does once a command is applied: let go, remember, answer, wake.
//!
//! Settling follows the write of the batch, so whoever is woken sees the effects. A replica that
//! does not lead only wakes reads that waited for an intent.

use std::mem;

use clock::Timestamp;
use kv::{Conflict, ConflictKind, KvError, Reply, Resolution, TxnMeta, Write};
use storage::EngineError;

use super::{
    Cx, Machine,
    apply::Done,
    leader::Phase,
    op::{Asked, OpId, Work},
};
use crate::{command::Command, record::Verdict, rules::Rule};

impl Machine {
    /// The batch with all effects up to the applied slot is written.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn settle(&mut self, cx: &mut Cx<'_>) -> Result<(), EngineError> {
        while let Some(done) = self.done.pop_front() {
            if self.leader.is_some() {
                self.settle_one(cx, done)?;
                self.run(cx)?;
            } else if let Command::Resolve { .. } = done.command {
                for id in self.ops.intent_reads.clone() {
                    self.read_again(cx, id)?;
                }
            }
        }
        Ok(())
    }

    fn settle_one(&mut self, cx: &mut Cx<'_>, done: Done) -> Result<(), EngineError> {
        let Done { command, verdict } = done;
        let at = command.timestamp();
        if self.rules.keep(Rule::Learned) {
            self.leader().raise_above(at);
        }
        match command {
            Command::Prepare { txn, .. } => self.settle_prepare(cx, &txn),
            Command::Commit { txn, at, writes, .. } => {
                let verdict = verdict.expect("a decision has a verdict");
                self.settle_decision(cx, &txn, &verdict, Some((at, writes)));
                Ok(())
            }
            Command::Poison { txn, .. } => {
                let verdict = verdict.expect("a poison has a verdict");
                self.settle_decision(cx, &txn, &verdict, None);
                Ok(())
            }
            Command::Resolve { txn, outcome, keys } => {
                if let Resolution::Commit(at) = outcome {
                    let recent = &mut self.leader().recent;
                    keys.into_iter().for_each(|key| recent.record(key, at));
                }
                let known = self.leader().txns.get_mut(&txn);
                if let Some(Phase::Resolving { slices, rest, .. }) = known.map(|k| &mut k.phase) {
                    *slices -= 1;
                    if *slices > 0 || !rest.is_empty() {
                        self.resolve_on(txn);
                        return Ok(());
                    }
                }
                let known = self.leader().txns.remove(&txn);
                self.release_locks(txn);
                for id in known.map_or(Vec::new(), |known| known.waiters) {
                    self.answer_resolved(cx, id);
                }
                Ok(())
            }
            Command::Split { at, child } => self.settle_split(cx, &at, child),
            Command::Gc { .. } | Command::Forget { .. } => Ok(()),
        }
    }

    /// A slice of intents is laid. With the last one the promise is given.
    fn settle_prepare(&mut self, cx: &mut Cx<'_>, txn: &TxnMeta) -> Result<(), EngineError> {
        let Some(known) = self.leader().txns.get_mut(&txn.id) else { return Ok(()) };
        // Else its outcome is known already: who waits learns it with the last intent.
        let Phase::Preparing { slices, rest, .. } = &mut known.phase else { return Ok(()) };
        *slices -= 1;
        if *slices > 0 || !rest.is_empty() {
            self.lay_on(cx, txn.id);
        }
        let Some(known) = self.leader().txns.get_mut(&txn.id) else { return Ok(()) };
        let Phase::Preparing { prepare, keys, validated, rest, slices: 0, cut_short } =
            &mut known.phase
        else {
            return Ok(());
        };
        assert!(rest.is_empty(), "{:?} waits for slices that are not in the log", txn.id);
        let (prepare, cut_short) = (*prepare, *cut_short);
        let (mut keys, validated) = (mem::take(keys), mem::take(validated));
        keys.sort_unstable();
        keys.dedup();
        known.phase = Phase::Prepared { prepare, keys, validated };
        let waiters = mem::take(&mut known.waiters);
        let mut kept = Vec::new();
        let mut repeated = Vec::new();
        for id in waiters {
            if let Some(op) = self.ops.take_preparing(id) {
                let result = match cut_short {
                    true => Err(KvError::NotLeader { range: self.id(), leader: None }),
                    false => Ok(self.prepared_reply(cx, &op, prepare)),
                };
                self.answer_op(cx, &op, result);
                continue;
            }
            match self.ops.get(id).map(|op| &op.work) {
                Some(Work::Asked(Asked::Prepare(_) | Asked::Commit(_))) => repeated.push(id),
                Some(_) => kept.push(id),
                None => {}
            }
        }
        if let Some(known) = self.leader().txns.get_mut(&txn.id) {
            known.waiters.extend(kept);
        }
        for id in repeated {
            self.again(cx, id)?;
        }
        Ok(())
    }

    /// The record speaks: locks go, and everybody who asked is answered.
    fn settle_decision(
        &mut self,
        cx: &mut Cx<'_>,
        txn: &TxnMeta,
        verdict: &Verdict,
        decision: Option<(Timestamp, Vec<Write>)>,
    ) {
        let leader = self.leader();
        if let Verdict::Committed { at, .. } = verdict {
            leader.raise_above(*at);
            let decision = decision.filter(|(decided, _)| decided == at);
            for write in decision.map_or(Vec::new(), |(_, writes)| writes) {
                leader.recent.record(write.key, *at);
            }
        }
        leader.heard.remove(&txn.id);
        let known = leader.txns.remove(&txn.id);
        // Requests of the transaction that still wait for locks learn the outcome, too.
        let waiting = self.release_decided(txn);
        let waiters = known.map_or(Vec::new(), |known| known.waiters);
        for id in waiters.into_iter().chain(waiting) {
            if let Some(op) = self.ops.take_undecided(id) {
                self.answer_decided(cx, op, txn, verdict);
            }
        }
    }

    /// Releases the locks; returns the transaction's requests that waited for more.
    fn release_decided(&mut self, txn: &TxnMeta) -> Vec<OpId> {
        let before = self.leader().lock_effects.dropped.len();
        self.release_locks(txn.id);
        self.leader().lock_effects.dropped.split_off(before)
    }

    /// Intents are resolved.
    fn answer_resolved(&mut self, cx: &mut Cx<'_>, id: OpId) {
        let Some(op) = self.ops.remove(id) else { return };
        let result = match &op.work {
            Work::Asked(Asked::Resolve(_)) => Ok(Reply::Done),
            // A repeated prepare of a transaction that ended: advice only (X8).
            Work::Asked(_) | Work::Logged(_) | Work::Split | Work::Transfer | Work::Held(_) => {
                Err(KvError::Conflict(Conflict {
                    kind: ConflictKind::Poisoned,
                    span: self.state.descriptor.span.clone(),
                    winner: None,
                    at: None,
                }))
            }
        };
        self.answer_op(cx, &op, result);
    }

    /// A parked request is taken up from its beginning; one that has none to go back to stays.
    pub(super) fn again(&mut self, cx: &mut Cx<'_>, id: OpId) -> Result<(), EngineError> {
        match self.ops.take_asked(id) {
            Some(op) => self.take_up(cx, op),
            None => Ok(()),
        }
    }
}
