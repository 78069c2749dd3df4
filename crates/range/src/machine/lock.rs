//! Locks: `SELECT ... FOR UPDATE` (X6), and what the lock table wants done.

use std::mem;

use bytes::Bytes;
use clock::Timestamp;
use keys::{Key, TxnId};
use kv::{
    Commit, Conflict, ConflictKind, KvError, Lock, LockReply, LockValues, LockWait, Prepare, Reply,
    TxnMeta,
};
use storage::{EngineError, mvcc};

use super::{
    Cx, Machine,
    leader::Heard,
    op::{Asked, Op, OpId},
};
use crate::{
    locks::{Acquired, LockEffects, LockRequest, Wounded},
    rules::Rule,
};

impl Machine {
    /// X6: locks at read time.
    pub(super) fn lock(&mut self, cx: &mut Cx<'_>, mut op: Op<Lock>) -> Result<(), EngineError> {
        let lock = &op.work;
        let checked = self
            .check_promising(cx)
            .and_then(|()| lock.keys.iter().try_for_each(|key| self.check_key(key)))
            .and_then(|()| self.check_keys([&lock.txn.anchor].into_iter().chain(&lock.keys)))
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
            self.park_at_barrier(op.map(Asked::Lock));
            return Ok(());
        }
        if lock.values == LockValues::Wanted {
            // R2: what is read here as of `since` changes no more, also if the lock is lost.
            let since = lock.since;
            if let Err(error) = self.check_snapshot(cx, since) {
                self.answer_op(cx, &op, Err(error));
                return Ok(());
            }
        }
        let lock = &op.work;
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
                self.park_asked(id, op.map(Asked::Lock));
                self.watch(cx);
                Ok(())
            }
            Acquired::Refused(refusal) => {
                self.answer_op(cx, &op, Err(refusal.into()));
                Ok(())
            }
        }
    }

    fn lock_granted(&mut self, cx: &mut Cx<'_>, op: Op<Lock>) -> Result<(), EngineError> {
        let lock = &op.work;
        let mut moved = Vec::new();
        for key in &lock.keys {
            moved.extend(self.newest_above(cx, &keys::Span::point(key.clone()), lock.since)?);
        }
        let lock_wait_nanos = nanos_since(cx, op.arrived);
        let mut reply = LockReply { values: Vec::new(), moved, lock_wait_nanos };
        if lock.values == LockValues::Wanted {
            reply.values = self.locked_values(cx, &lock.keys, reply.as_of(lock.since))?;
        }
        self.answer_op(cx, &op, Ok(Reply::Locked(reply)));
        Ok(())
    }

    /// X6: the values of keys just locked, as of a snapshot above which none has changed. What is not past
    /// yet (T5), or does not fit the answer, is left out.
    fn locked_values(
        &mut self,
        cx: &Cx<'_>,
        keys: &[Key],
        as_of: Timestamp,
    ) -> Result<Vec<(Key, Option<Bytes>)>, EngineError> {
        let leader = self.leader();
        if !leader.lease_valid(cx.now.tt) || as_of >= leader.lease_end {
            return Ok(Vec::new());
        }
        // R2: nothing appears at or below the snapshot any more, also once the lock is lost.
        leader.raise_above(as_of);
        let (mut values, mut bytes) = (Vec::with_capacity(keys.len()), 0);
        for key in keys {
            let found = self.newest_value(cx, key, as_of)?;
            if found.as_ref().is_some_and(|(at, _)| !self.past(cx, *at)) {
                continue;
            }
            let value = found.and_then(|(_, value)| value);
            bytes += key.len() + value.as_ref().map_or(0, Bytes::len);
            if bytes > self.config.reply_bytes {
                break;
            }
            values.push((key.clone(), value));
        }
        Ok(values)
    }

    /// The newest version of a locked key at or below a snapshot, with its value. One that is committed
    /// and not applied yet still lies in the store as its intent.
    fn newest_value(
        &mut self,
        cx: &Cx<'_>,
        key: &Key,
        as_of: Timestamp,
    ) -> Result<Option<(Timestamp, Option<Bytes>)>, EngineError> {
        let stored = mvcc::get(cx.reader, key, as_of)?.map(|version| (version.ts, version.value));
        let Some((txn, at)) = self.leader().locks.settling_on(key).filter(|(_, at)| *at <= as_of)
        else {
            return Ok(stored);
        };
        // A prepare that came again after its resolution leaves intents of an old commit.
        if stored.as_ref().is_some_and(|(stored, _)| *stored >= at) {
            return Ok(stored);
        }
        let intent = mvcc::intent(cx.reader, key)?.filter(|intent| intent.txn == txn);
        Ok(intent.map(|intent| (at, intent.value)).or(stored))
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
        let Some(mut op) = self.ops.take_asked(id) else { return Ok(()) };
        op.unblock(cx.now.mono);
        if let Err(error) = self.check_leader(cx) {
            self.answer_op(cx, &op, Err(error));
            return Ok(());
        }
        // Asked for again: between the grant and now, in the same step, an older transaction may
        // have taken the locks back (X5). What is still held is granted at once.
        self.take_up(cx, op)
    }

    /// A request is taken up from its beginning.
    pub(super) fn take_up(&mut self, cx: &mut Cx<'_>, op: Op<Asked>) -> Result<(), EngineError> {
        let (op, asked) = op.replace(());
        match asked {
            Asked::Lock(lock) => self.lock(cx, op.with(lock)),
            Asked::Prepare(prepare) => self.prepare(cx, op.with(prepare)),
            Asked::Commit(commit) => self.commit(cx, op.with(commit)),
            Asked::Push(push) => self.push(cx, op.with(push)),
            Asked::Resolve(resolve) => self.resolve(cx, op.with(resolve)),
            Asked::Read(read) => self.read(cx, op.with(read)),
        }
    }

    /// X5: an older transaction took the locks of one that had promised nothing.
    fn wounded(&mut self, cx: &mut Cx<'_>, wound: Wounded) -> Result<(), EngineError> {
        for id in wound.requests {
            let Some(op) = self.ops.take_asked(id) else { continue };
            let (op, asked) = op.replace(());
            let conflict = wound.conflict.clone();
            match asked {
                Asked::Commit(commit) => self.refuse_commit(cx, op.with(commit), conflict)?,
                Asked::Prepare(prepare) => self.refuse_prepare(cx, &op.with(prepare), conflict),
                Asked::Lock(_) | Asked::Read(_) | Asked::Push(_) | Asked::Resolve(_) => {
                    self.answer_op(cx, &op, Err(KvError::Conflict(conflict)));
                }
            }
        }
        Ok(())
    }

    /// Refuses a commit because of a conflict. The refusal becomes final first: the record is
    /// poisoned (X8).
    pub(super) fn refuse_commit(
        &mut self,
        cx: &mut Cx<'_>,
        op: Op<Box<Commit>>,
        conflict: Conflict,
    ) -> Result<(), EngineError> {
        let txn = op.work.txn.clone();
        if !self.rules.keep(Rule::PoisonFirst) {
            self.release_unpromised(txn.id);
            self.answer_op(cx, &op, Err(KvError::Aborted(conflict)));
            return Ok(());
        }
        self.poison(cx, txn, conflict, Some(op.map(Asked::Commit)))
    }

    /// Refuses a prepare because of a conflict: advice only (X8).
    pub(super) fn refuse_prepare(
        &mut self,
        cx: &mut Cx<'_>,
        op: &Op<Box<Prepare>>,
        conflict: Conflict,
    ) {
        self.release_unpromised(op.work.txn.id);
        self.answer_op(cx, op, Err(KvError::Conflict(conflict)));
    }

    /// A request that waited for locks waits no longer: its transaction ended, or its keys are
    /// another range's now.
    fn dropped(&mut self, cx: &mut Cx<'_>, id: OpId) {
        let Some(op) = self.ops.take_asked(id) else { return };
        let error = match op.work.lies_in(&self.state.descriptor.span) {
            true => KvError::Conflict(self.conflict_of_end(&op.work)),
            false => self.wrong_range(),
        };
        self.answer_op(cx, &op, Err(error));
    }

    fn conflict_of_end(&self, asked: &Asked) -> Conflict {
        let span = match asked {
            Asked::Lock(lock) => lock.keys.first().map(|key| keys::Span::point(key.clone())),
            Asked::Prepare(prepare) => Some(keys::Span::point(prepare.txn.anchor.clone())),
            Asked::Commit(commit) => Some(keys::Span::point(commit.txn.anchor.clone())),
            Asked::Read(_) | Asked::Push(_) | Asked::Resolve(_) => None,
        };
        Conflict {
            kind: ConflictKind::Poisoned,
            span: span.unwrap_or_else(|| self.state.descriptor.span.clone()),
            winner: None,
            at: None,
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
            let oldest = heard.iter().map(|(id, heard)| (heard.at, *id)).min();
            if let Some((_, id)) = oldest {
                heard.remove(&id);
            }
        }
        let known = heard.entry(txn.id).or_insert_with(|| Heard {
            at: now,
            waiting: false,
            waiters: Vec::new(),
        });
        known.at = now;
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
