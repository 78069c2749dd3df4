//! Locks: `SELECT ... FOR UPDATE` (X6), and what the lock table wants done.

use std::mem;

use keys::TxnId;
use kv::{Conflict, ConflictKind, KvError, LockReply, LockWait, Reply, TxnMeta};
use storage::{EngineError, mvcc};

use super::{
    Cx, Machine,
    op::{Op, OpId, Work},
};
use crate::{
    locks::{Acquired, LockEffects, LockRequest, Wounded},
    recent::Answer,
    rules::Rule,
};

impl Machine {
    /// X6: locks at read time.
    pub(super) fn lock(&mut self, cx: &mut Cx<'_>, mut op: Op) -> Result<(), EngineError> {
        let Work::Lock(lock) = &op.work else { unreachable!("dispatched by kind") };
        let checked = self
            .check_promising(cx)
            .and_then(|()| lock.keys.iter().try_for_each(|key| self.check_key(key)))
            .and_then(|()| self.check_keys(&op))
            .and_then(|()| match self.young(cx, lock.txn.start) {
                true => Ok(()),
                false => Err(KvError::Conflict(self.conflict_of_age())),
            });
        if let Err(error) = checked {
            self.answer_op(cx, &op, Err(error));
            return Ok(());
        }
        let id = self.ops.next_id();
        if self.leader().splitting.is_some() {
            self.ops.park(id, op);
            self.ops.barrier.insert(id);
            return Ok(());
        }
        let request = LockRequest {
            id,
            txn: lock.txn.clone(),
            shared: Vec::new(),
            exclusive: lock.keys.clone(),
            wait: lock.wait,
        };
        self.hear(cx, &request.txn);
        match self.acquire(request) {
            Acquired::Granted => self.lock_granted(cx, op),
            Acquired::Waiting { .. } => {
                op.block(cx.now.mono);
                self.ops.park(id, op);
                self.watch(cx);
                Ok(())
            }
            refused => {
                let error = self.refusal(refused);
                self.answer_op(cx, &op, Err(error));
                Ok(())
            }
        }
    }

    fn lock_granted(&mut self, cx: &mut Cx<'_>, op: Op) -> Result<(), EngineError> {
        let Work::Lock(lock) = &op.work else { unreachable!("asked by kind") };
        let mut moved = Vec::new();
        for key in &lock.keys {
            let span = keys::Span::point(key.clone());
            match self.leader().recent.newest_in(&span, lock.since) {
                Answer::None => {}
                Answer::Some(key, at) => moved.push((key, at)),
                Answer::Unknown => {
                    let newest = mvcc::newest_on_key(cx.reader, key)?;
                    moved.extend(newest.filter(|at| *at > lock.since).map(|at| (key.clone(), at)));
                }
            }
        }
        let lock_wait_nanos = nanos_since(cx, op.arrived);
        let reply = Reply::Locked(LockReply { moved, lock_wait_nanos });
        self.answer_op(cx, &op, Ok(reply));
        Ok(())
    }

    /// Asks the lock table.
    pub(super) fn acquire(&mut self, mut request: LockRequest) -> Acquired {
        if !self.rules.keep(Rule::SharedLocks) {
            request.shared.clear();
        }
        let leader = self.leader();
        let mut effects = mem::take(&mut leader.lock_effects);
        let acquired = leader.locks.acquire(request, &mut effects);
        leader.lock_effects = effects;
        acquired
    }

    /// The outcome of a transaction is known here: its locks go (R1a is the caller's duty).
    pub(super) fn release_locks(&mut self, txn: TxnId) {
        let leader = self.leader();
        let mut effects = mem::take(&mut leader.lock_effects);
        leader.locks.release(txn, &mut effects);
        leader.lock_effects = effects;
    }

    /// Lets go of the locks of a transaction that promised nothing here; a promise is kept (X5).
    pub(super) fn release_unpromised(&mut self, txn: TxnId) {
        let leader = self.leader();
        let promised = leader.txns.contains_key(&txn) || leader.locks.is_prepared(txn);
        if !promised || !self.rules.keep(Rule::PromiseKept) {
            self.leader().txns.remove(&txn);
            self.release_locks(txn);
        }
    }

    /// Why locks were not granted, as the caller hears it.
    pub(super) fn refusal(&self, acquired: Acquired) -> KvError {
        match acquired {
            Acquired::Busy { key, holder } => KvError::LockBusy { key, holder },
            Acquired::Refused(conflict) => KvError::Conflict(conflict),
            Acquired::Overloaded(cause) => KvError::Overloaded(cause),
            Acquired::Granted | Acquired::Waiting { .. } => unreachable!("not a refusal"),
        }
    }

    /// Carries out what the lock table did to others. False if there was nothing.
    pub(super) fn run_lock_effects(&mut self, cx: &mut Cx<'_>) -> Result<bool, EngineError> {
        let Some(leader) = &mut self.leader else { return Ok(false) };
        if leader.lock_effects.is_empty() {
            return Ok(false);
        }
        let LockEffects { granted, wounded, must_push, dropped } =
            mem::take(&mut leader.lock_effects);
        for wound in wounded {
            self.wounded(cx, wound)?;
        }
        for id in dropped {
            self.dropped(cx, id);
        }
        for id in granted {
            self.granted(cx, id)?;
        }
        for want in must_push {
            self.push_now(cx, want);
        }
        Ok(true)
    }

    fn granted(&mut self, cx: &mut Cx<'_>, id: OpId) -> Result<(), EngineError> {
        let Some(mut op) = self.ops.remove(id) else { return Ok(()) };
        op.unblock(cx.now.mono);
        if let Err(error) = self.check_leader(cx) {
            self.answer_op(cx, &op, Err(error));
            return Ok(());
        }
        match &op.work {
            // Asked for again: between the grant and now, in the same step, an older transaction
            // may have taken the locks back. What is still held is granted at once.
            Work::Lock(_) => self.lock(cx, op),
            Work::Prepare(_) => self.prepare(cx, op),
            Work::Commit(_) => self.commit(cx, op),
            Work::Read(_) => self.try_read(cx, id, op),
            Work::Deciding(_)
            | Work::Preparing(_)
            | Work::Push(_)
            | Work::Resolve(_)
            | Work::Split
            | Work::Transfer
            | Work::Held(_) => unreachable!("waits for no lock"),
        }
    }

    /// X5: an older transaction took the locks of one that had promised nothing.
    fn wounded(&mut self, cx: &mut Cx<'_>, wound: Wounded) -> Result<(), EngineError> {
        for id in wound.requests {
            let Some(op) = self.ops.remove(id) else { continue };
            self.refuse(cx, op, wound.conflict.clone())?;
        }
        Ok(())
    }

    /// Refuses a request because of a conflict. At the anchor the refusal becomes final first: the
    /// record is poisoned (X8).
    pub(super) fn refuse(
        &mut self,
        cx: &mut Cx<'_>,
        op: Op,
        conflict: Conflict,
    ) -> Result<(), EngineError> {
        if let Work::Commit(commit) = &op.work {
            let txn = commit.txn.clone();
            if !self.rules.keep(Rule::PoisonFirst) {
                self.release_unpromised(txn.id);
                self.answer_op(cx, &op, Err(KvError::Aborted(conflict)));
                return Ok(());
            }
            return self.poison(cx, txn, conflict, Some(op));
        }
        if let Work::Prepare(prepare) = &op.work {
            let txn = prepare.txn.id;
            self.release_unpromised(txn);
        }
        self.answer_op(cx, &op, Err(KvError::Conflict(conflict)));
        Ok(())
    }

    /// A request that waited for locks waits no longer: its transaction ended, or its keys are
    /// another range's now.
    fn dropped(&mut self, cx: &mut Cx<'_>, id: OpId) {
        let Some(op) = self.ops.remove(id) else { return };
        let error = match self.op_in_span(&op) {
            true => KvError::Conflict(self.conflict_of_end(&op)),
            false => self.wrong_range(),
        };
        self.answer_op(cx, &op, Err(error));
    }

    fn conflict_of_end(&self, op: &Op) -> Conflict {
        let span = match &op.work {
            Work::Lock(lock) => lock.keys.first().map(|key| keys::Span::point(key.clone())),
            Work::Prepare(prepare) => Some(keys::Span::point(prepare.txn.anchor.clone())),
            Work::Commit(commit) => Some(keys::Span::point(commit.txn.anchor.clone())),
            Work::Read(_)
            | Work::Deciding(_)
            | Work::Preparing(_)
            | Work::Push(_)
            | Work::Resolve(_)
            | Work::Split
            | Work::Transfer
            | Work::Held(_) => None,
        };
        Conflict {
            kind: ConflictKind::Poisoned,
            span: span.unwrap_or_else(|| self.state.descriptor.span.clone()),
            winner: None,
            at: None,
        }
    }

    /// Whether all that a request touches is this range's.
    pub(super) fn op_in_span(&self, op: &Op) -> bool {
        let span = &self.state.descriptor.span;
        match &op.work {
            Work::Lock(lock) => lock.keys.iter().all(|key| span.contains(key)),
            Work::Prepare(prepare) => {
                prepare.reads.iter().all(|read| span.covers(&read.span))
                    && prepare.writes.iter().all(|write| span.contains(&write.key))
            }
            Work::Commit(commit) => {
                span.contains(&commit.txn.anchor)
                    && commit.reads.iter().all(|read| span.covers(&read.span))
                    && commit.writes.iter().all(|write| span.contains(&write.key))
            }
            Work::Read(work) => work.read.spans.iter().all(|read| span.covers(&read.span)),
            Work::Push(push) => span.contains(&push.txn.anchor),
            Work::Deciding(_)
            | Work::Preparing(_)
            | Work::Resolve(_)
            | Work::Split
            | Work::Transfer
            | Work::Held(_) => true,
        }
    }

    /// X7: the transaction's gateway was alive just now. Counts at the leader of its anchor.
    pub(super) fn hear(&mut self, cx: &Cx<'_>, txn: &TxnMeta) {
        if !self.state.descriptor.span.contains(&txn.anchor) {
            return;
        }
        let (limit, now) = (self.config.heartbeats, cx.now.mono);
        let heard = &mut self.leader().heard;
        if heard.len() >= limit && !heard.contains_key(&txn.id) {
            let oldest = heard.iter().map(|(id, at)| (*at, *id)).min();
            if let Some((_, id)) = oldest {
                heard.remove(&id);
            }
        }
        heard.insert(txn.id, now);
    }
}

/// Nanoseconds since a moment.
pub(super) fn nanos_since(cx: &Cx<'_>, since: clock::Mono) -> u64 {
    cx.now.mono.0.saturating_sub(since.0)
}

/// Locks for a prepare or commit: they always wait.
pub(super) fn request_of(
    id: OpId,
    txn: &TxnMeta,
    reads: &[kv::Validate],
    writes: &[kv::Write],
) -> LockRequest {
    LockRequest {
        id,
        txn: txn.clone(),
        shared: reads.iter().map(|read| read.span.clone()).collect(),
        exclusive: writes.iter().map(|write| write.key.clone()).collect(),
        wait: LockWait::Wait,
    }
}
