//! Preparing, at a participant: lock, validate, log intents, promise.
//!
//! | asked to | at the anchor | elsewhere |
//! |---|---|---|
//! | validate | shared locks in memory | shared locks in memory |
//! | write | exclusive locks; the writes come with the commit | intents in the log, at p |
//!
//! Intents of a large transaction are laid a slice at a time (see `slice`). Once answered, the locks
//! stay until the record speaks (X5). A validation is promised below the
//! lease end only (X3): shared locks die with the leader. A repeated prepare meets its own intents
//! and gets the same answer; one that comes after the resolution may meet its own versions and be
//! refused, which is why a refusal is only advice (X8).

use std::collections::VecDeque;

use clock::Timestamp;
use kv::{CommitStats, ConflictKind, KvError, Prepare, Prepared, Reply};
use storage::EngineError;

use super::{
    Cx, Machine,
    commit::{ends, nanos},
    leader::{Phase, Txn},
    lock::{nanos_since, request_of},
    op::{self, Asked, Logged, Op, Preparing},
    slice::weight,
};
use crate::{
    command::Command,
    locks::Acquired,
    record::{Record, Verdict},
    rules::Rule,
};

impl Machine {
    pub(super) fn prepare(
        &mut self,
        cx: &mut Cx<'_>,
        mut op: Op<Box<Prepare>>,
    ) -> Result<(), EngineError> {
        let prepare = &op.work;
        if let Err(error) = self.check_prepare(cx, prepare) {
            self.answer_op(cx, &op, Err(error));
            return Ok(());
        }
        let (id, txn) = (self.ops.next_id(), prepare.txn.id);
        if self.leader().splitting.is_some() {
            self.park_at_barrier(op.map(Asked::Prepare));
            return Ok(());
        }
        if let Some(known) = self.leader().txns.get_mut(&txn)
            && !matches!(known.phase, Phase::Prepared { .. })
        {
            known.waiters.push(id);
            self.park_asked(id, op.map(Asked::Prepare));
            return Ok(());
        }
        if prepare.at_anchor
            && let Some(record) = Record::read(cx.reader, &prepare.txn.anchor, txn)?
        {
            let error = self.prepare_after(&record.verdict);
            self.answer_op(cx, &op, Err(error));
            return Ok(());
        }
        self.hear(cx, &prepare.txn);
        let request = request_of(id, &prepare.txn, &prepare.reads, &prepare.writes);
        match self.acquire(request) {
            Acquired::Granted => self.prepare_granted(cx, op),
            Acquired::Waiting { .. } => {
                op.block(cx.now.mono);
                self.park_asked(id, op.map(Asked::Prepare));
                self.watch(cx);
                Ok(())
            }
            Acquired::Refused(refusal) => {
                self.answer_op(cx, &op, Err(refusal.into()));
                Ok(())
            }
        }
    }

    fn check_prepare(&self, cx: &Cx<'_>, prepare: &Prepare) -> Result<(), KvError> {
        self.check_promising(cx)?;
        if !op::prepare_lies_in(prepare, &self.state.descriptor.span) {
            return Err(self.wrong_range());
        }
        let written = prepare.writes.iter().map(|write| &write.key);
        self.check_keys(written.chain([&prepare.txn.anchor]).chain(ends(&prepare.reads)))?;
        if prepare.at_anchor {
            self.check_key(&prepare.txn.anchor)?;
        }
        self.check_size(&prepare.writes, &[])?;
        // X7a.
        if !self.young(cx, prepare.txn.start) {
            return Err(KvError::Conflict(self.conflict_of_age()));
        }
        Ok(())
    }

    /// The answer to a prepare that finds its transaction decided.
    pub(super) fn prepare_after(&self, verdict: &Verdict) -> KvError {
        match verdict {
            Verdict::Aborted(conflict) => KvError::Aborted(conflict.clone()),
            Verdict::Committed { at, .. } => KvError::Conflict(kv::Conflict {
                kind: ConflictKind::ReadChanged,
                span: self.state.descriptor.span.clone(),
                winner: None,
                at: Some(*at),
            }),
        }
    }

    /// All locks are held: validate, and log intents if there are writes of another range's
    /// transaction.
    pub(super) fn prepare_granted(
        &mut self,
        cx: &mut Cx<'_>,
        op: Op<Box<Prepare>>,
    ) -> Result<(), EngineError> {
        let prepare = &op.work;
        let txn = prepare.txn.id;
        if self.leader().splitting.is_some() {
            self.park_at_barrier(op.map(Asked::Prepare));
            return Ok(());
        }
        let known = self.leader().txns.get(&txn).map(|known| &known.phase);
        if let Some(
            Phase::Preparing { .. } | Phase::Deciding | Phase::Poisoning | Phase::Resolving { .. },
        ) = known
        {
            self.attach(txn, op.map(Asked::Prepare));
            return Ok(());
        }
        let same = matches!(known, Some(Phase::Prepared { validated, .. })
            if *validated == prepare.reads);
        if !same && let Err(conflict) = self.validate(cx, &prepare.reads)? {
            self.refuse_prepare(cx, &op, conflict);
            return Ok(());
        }
        if !self.young(cx, prepare.txn.start) {
            let conflict = self.conflict_of_age();
            self.refuse_prepare(cx, &op, conflict);
            return Ok(());
        }
        if prepare.at_anchor || prepare.writes.is_empty() || self.has_intents(prepare) {
            self.promise(cx, op);
        } else {
            self.log_intents(cx, op);
        }
        Ok(())
    }

    /// Whether the intents are there already: a repeated prepare.
    fn has_intents(&mut self, prepare: &Prepare) -> bool {
        match self.leader().txns.get(&prepare.txn.id).map(|known| &known.phase) {
            Some(Phase::Prepared { keys, .. }) => {
                prepare.writes.iter().all(|write| keys.binary_search(&write.key).is_ok())
            }
            Some(_) | None => false,
        }
    }

    /// Promises without logging anything.
    fn promise(&mut self, cx: &mut Cx<'_>, op: Op<Box<Prepare>>) {
        let Op { caller, arrived, work: request, .. } = op;
        let reads_here = !request.reads.is_empty() && !request.at_anchor;
        let bounded = self.rules.keep(Rule::ValidThrough);
        let leader = self.leader();
        leader.locks.mark_prepared(request.txn.id);
        let (mut at, mut intents) = (Timestamp::ZERO, Vec::new());
        let known = leader.txns.remove(&request.txn.id);
        if let Some(Txn { phase: Phase::Prepared { prepare, keys, .. }, .. }) = known {
            (at, intents) = (prepare, keys);
        }
        let bounded = reads_here && bounded;
        let valid_through = if bounded { leader.lease_end } else { Timestamp::MAX };
        let phase = Phase::Prepared { prepare: at, keys: intents, validated: request.reads };
        let id = request.txn.id;
        leader.txns.insert(id, Txn { meta: request.txn, phase, waiters: Vec::new() });
        let stats = CommitStats {
            lock_wait_nanos: nanos_since(cx, arrived),
            epsilon_nanos: nanos(cx.now.tt.epsilon()),
            ..CommitStats::default()
        };
        let prepare = if request.writes.is_empty() { Timestamp::ZERO } else { at };
        let reply = Reply::Prepared(Prepared { prepare, valid_through, stats });
        self.answer_caller(cx, caller, Ok(reply));
    }

    /// R1: p is above everything this leader assigned, served or closed. It is also above
    /// `TT.now().earliest`: a higher p delays no commit (s is at least `latest` anyway) and lets
    /// reads of older snapshots pass.
    fn log_intents(&mut self, cx: &mut Cx<'_>, op: Op<Box<Prepare>>) {
        let (op, request) = op.replace(());
        let least = cx.now.tt.earliest_timestamp();
        let prepare = match self.leader().assign(least, Timestamp::MAX) {
            Ok(prepare) => prepare,
            Err(_) => {
                self.release_unpromised(request.txn.id);
                let error = KvError::NotLeader { range: self.id(), leader: None };
                self.answer_op(cx, &op, Err(error));
                return;
            }
        };
        let Prepare { txn, reads, writes, .. } = *request;
        let id = self.ops.next_id();
        let preparing = Preparing {
            granted: cx.now.mono,
            epsilon_nanos: nanos(cx.now.tt.epsilon()),
            validated: !reads.is_empty(),
        };
        self.park_logged(id, op.with(Logged::Preparing(Box::new(preparing))));
        let slice = self.slice();
        let leader = self.leader();
        leader.locks.mark_prepared(txn.id);
        // An earlier prepare of fewer keys (its range was larger or its writes fewer): its intents
        // keep their place in the list of what is to be resolved, and reads keep waiting from its p
        // on.
        let (mut first, mut keys) = (prepare, Vec::new());
        if let Some(Txn { phase: Phase::Prepared { prepare: before, keys: others, .. }, .. }) =
            leader.txns.remove(&txn.id)
        {
            keys = others;
            if before > Timestamp::ZERO {
                first = before;
            }
        }
        leader.locks.set_pending(txn.id, first);
        let mut rest = VecDeque::from(writes);
        let writes = slice.take(&mut rest, weight);
        keys.extend(writes.iter().map(|write| write.key.clone()));
        let (slices, cut_short) = (1, false);
        let phase = Phase::Preparing { prepare, keys, validated: reads, rest, slices, cut_short };
        leader.txns.insert(txn.id, Txn { meta: txn.clone(), phase, waiters: vec![id] });
        let laid = Command::Prepare { txn: txn.clone(), prepare, writes };
        leader.enqueue(laid);
        self.lay_on(cx, txn.id);
    }

    /// The answer to a prepare whose intents are applied.
    pub(super) fn prepared_reply(
        &self,
        cx: &Cx<'_>,
        op: &Op<Box<Preparing>>,
        prepare: Timestamp,
    ) -> Reply {
        let preparing = &op.work;
        let lease_end = self.leader.as_ref().map_or(Timestamp::ZERO, |leader| leader.lease_end);
        let stats = CommitStats {
            lock_wait_nanos: preparing.granted.0.saturating_sub(op.arrived.0),
            paxos_nanos: nanos_since(cx, preparing.granted),
            epsilon_nanos: preparing.epsilon_nanos,
            ..CommitStats::default()
        };
        let bounded = preparing.validated && self.rules.keep(Rule::ValidThrough);
        let valid_through = if bounded { lease_end } else { Timestamp::MAX };
        Reply::Prepared(Prepared { prepare, valid_through, stats })
    }
}
