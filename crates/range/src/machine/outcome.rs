//! Outcomes: at the anchor, the record that decides (X7, X8); at a participant, learning it.
//!
//! ```text
//!   asked about a transaction         the record says      nothing yet
//!   Query   a waiter, a housekeeper   the outcome          pending; poison if no heartbeat for H
//!   Wound   an older waiter (X5)      the outcome          poison if it is older, and this one waits
//!                                                          itself (X5b); else as Query
//!   Owner   its own gateway           the outcome, at T4   poison
//!   Waiters who looks for deadlocks   the outcome          who waits for it
//! ```
//!
//! While a decision or a poison is in the log, whoever asks waits for it: the log decides. Once
//! `start + L` is past, a missing record stays missing (X7a): nothing can be decided any more.

use std::{collections::VecDeque, mem};

use clock::Timestamp;
use keys::{Key, Span, TxnId};
use kv::{
    Conflict, ConflictKind, Heartbeat, KvError, Outcome, Push, PushKind, Reply, Resolution,
    Resolve, TxnMeta,
};
use storage::EngineError;

use super::{
    Cx, Machine,
    leader::Phase,
    op::{Asked, Caller, Held, Logged, Op, Undecided},
};
use crate::{
    record::{Record, Verdict},
    rules::Rule,
};

impl Machine {
    pub(super) fn push(&mut self, cx: &mut Cx<'_>, op: Op<Box<Push>>) -> Result<(), EngineError> {
        let push = &op.work;
        let checked = self
            .check_leader(cx)
            .and_then(|()| self.check_key(&push.txn.anchor))
            .and_then(|()| self.check_keys([&push.txn.anchor]));
        if let Err(error) = checked {
            self.answer_op(cx, &op, Err(error));
            return Ok(());
        }
        let txn = push.txn.clone();
        let phase = self.leader().txns.get(&txn.id).map(|known| &known.phase);
        if let Some(Phase::Deciding | Phase::Poisoning) = phase {
            self.attach(txn.id, op.map(Asked::Push));
            return Ok(());
        }
        if let Some(record) = Record::read(cx.reader, &txn.anchor, txn.id)? {
            self.answer_push(cx, op, &record.verdict);
            return Ok(());
        }
        if !self.young(cx, txn.start) {
            let gone = self.expired(cx, txn.start);
            let outcome = if gone { Outcome::Forgotten } else { Outcome::Pending };
            self.answer_op(cx, &op, Ok(Reply::Outcome(outcome)));
            return Ok(());
        }
        if let PushKind::Waiters { waiters } = &op.work.kind {
            let reply = self.told_who_waits(cx, &txn, waiters);
            self.answer_op(cx, &op, Ok(reply));
            return Ok(());
        }
        match self.reason_to_poison(cx, &txn, &op.work.kind) {
            Some(why) => self.poison(cx, txn, why, Some(op.map(Asked::Push))),
            None => {
                self.answer_op(cx, &op, Ok(Reply::Outcome(Outcome::Pending)));
                Ok(())
            }
        }
    }

    /// X7: who may have an undecided transaction aborted.
    fn reason_to_poison(
        &mut self,
        cx: &Cx<'_>,
        txn: &TxnMeta,
        kind: &PushKind,
    ) -> Option<Conflict> {
        let conflict = |kind, winner| Conflict {
            kind,
            span: Span::point(txn.anchor.clone()),
            winner,
            at: None,
        };
        match kind {
            PushKind::Owner => Some(conflict(ConflictKind::Poisoned, None)),
            PushKind::Wound { pusher } if pusher.older_than(txn) && self.waits(txn.id) => {
                Some(conflict(ConflictKind::Wounded, Some(pusher.id)))
            }
            PushKind::Waiters { .. } => None,
            PushKind::Wound { .. } | PushKind::Query => {
                let lapsed = self.heartbeat_lapsed(cx, txn);
                lapsed.then(|| conflict(ConflictKind::Poisoned, None))
            }
        }
    }

    /// X5b: whether the transaction waits for others, here or by its gateway's word. A word that is old
    /// is unsafe in neither direction: it costs a needless abort, or the time of a heartbeat.
    fn waits(&mut self, txn: TxnId) -> bool {
        let leader = self.leader();
        leader.locks.waits(txn) || leader.heard.get(&txn).is_some_and(|heard| heard.waiting)
    }

    /// Whether the transaction's gateway was silent for H. A new leader counts afresh, from the
    /// moment it is first asked.
    fn heartbeat_lapsed(&mut self, cx: &Cx<'_>, txn: &TxnMeta) -> bool {
        match self.leader().heard.get(&txn.id).map(|heard| heard.at) {
            Some(at) => cx.now.mono.since(at) > self.config.heartbeat_lapse,
            None => {
                self.hear(cx, txn);
                false
            }
        }
    }

    pub(super) fn heartbeat(
        &mut self,
        cx: &mut Cx<'_>,
        caller: Caller,
        beat: &Heartbeat,
    ) -> Result<(), EngineError> {
        let txn = &beat.txn;
        if let Err(error) = self.check_leader(cx).and_then(|()| self.check_key(&txn.anchor)) {
            self.answer_caller(cx, caller, Err(error));
            return Ok(());
        }
        let outcome = match Record::read(cx.reader, &txn.anchor, txn.id)?.map(|r| r.verdict) {
            Some(Verdict::Committed { at, .. }) if self.past(cx, at) => Outcome::Committed(at),
            Some(Verdict::Committed { .. }) => Outcome::Pending,
            Some(Verdict::Aborted(_)) => Outcome::Aborted,
            None if self.expired(cx, txn.start) => Outcome::Forgotten,
            None => {
                self.hear(cx, txn);
                if let Some(heard) = self.leader().heard.get_mut(&txn.id) {
                    heard.waiting = beat.waiting;
                }
                Outcome::Pending
            }
        };
        self.answer_caller(cx, caller, Ok(Reply::Outcome(outcome)));
        Ok(())
    }

    /// Answers who waited for a decision, by what the record says now. T4 holds for clients; who
    /// holds intents may act on a decision as soon as it is durable (T5 protects readers).
    ///
    /// Reads and locks of the transaction itself end with it, too: a gateway that ends a transaction
    /// waits for neither any more. They are still here if the cancel was lost or is late.
    pub(super) fn answer_decided(
        &mut self,
        cx: &mut Cx<'_>,
        op: Op<Undecided>,
        txn: &TxnMeta,
        verdict: &Verdict,
    ) {
        let (op, work) = op.replace(());
        match work {
            Undecided::Asked(Asked::Commit(_)) => self.answer_verdict(cx, op, None, verdict),
            Undecided::Logged(Logged::Deciding(deciding)) => {
                self.answer_verdict(cx, op, Some(&deciding), verdict);
            }
            Undecided::Asked(Asked::Push(push)) => self.answer_push(cx, op.with(push), verdict),
            Undecided::Asked(Asked::Prepare(_)) | Undecided::Logged(Logged::Preparing(_)) => {
                let error = self.prepare_after(verdict);
                self.answer_op(cx, &op, Err(error));
            }
            Undecided::Asked(Asked::Resolve(_)) => self.answer_op(cx, &op, Ok(Reply::Done)),
            Undecided::Asked(Asked::Read(_) | Asked::Lock(_)) => {
                let conflict = lost(verdict, txn);
                self.answer_op(cx, &op, Err(KvError::Conflict(conflict)));
            }
        }
    }

    fn answer_push(&mut self, cx: &mut Cx<'_>, op: Op<Box<Push>>, verdict: &Verdict) {
        let owner = matches!(op.work.kind, PushKind::Owner);
        match verdict {
            Verdict::Committed { at, .. } => {
                let reply = Reply::Outcome(Outcome::Committed(*at));
                if owner {
                    let held = Held { until: *at, reply, measured: None };
                    self.answer_after(cx, op, held);
                } else {
                    self.answer_op(cx, &op, Ok(reply));
                }
            }
            Verdict::Aborted(_) => {
                self.answer_op(cx, &op, Ok(Reply::Outcome(Outcome::Aborted)));
            }
        }
    }

    pub(super) fn resolve(
        &mut self,
        cx: &mut Cx<'_>,
        op: Op<Box<Resolve>>,
    ) -> Result<(), EngineError> {
        let resolve = &op.work;
        if let Err(error) =
            self.check_leader(cx).and_then(|()| self.check_outcome(cx, resolve.outcome))
        {
            self.answer_op(cx, &op, Err(error));
            return Ok(());
        }
        let Resolve { txn, outcome, .. } = **resolve;
        self.learn(cx, txn, outcome, Some(op.map(Asked::Resolve)));
        Ok(())
    }

    /// An s that no leader can have chosen would make every later commit here wait: refused. So is
    /// none at all.
    pub(super) fn check_outcome(&self, cx: &Cx<'_>, outcome: Resolution) -> Result<(), KvError> {
        let reach = self.config.future_tolerance + self.config.paxos.lease;
        let latest = cx.now.tt.latest_timestamp().plus(reach);
        match outcome {
            Resolution::Commit(at) if at > latest => Err(KvError::InFuture { at, latest }),
            Resolution::Commit(Timestamp::ZERO) => {
                Err(KvError::Invalid("a commit at no timestamp".to_owned()))
            }
            Resolution::Commit(_) | Resolution::Abort => Ok(()),
        }
    }

    /// What the record says is known here: `min_next` is raised above s first (R1a), then intents
    /// are resolved through the log and locks let go.
    pub(super) fn learn(
        &mut self,
        cx: &mut Cx<'_>,
        txn: TxnId,
        outcome: Resolution,
        asker: Option<Op<Asked>>,
    ) {
        let learned = self.rules.keep(Rule::Learned);
        let leader = self.leader();
        if let Resolution::Commit(at) = outcome
            && learned
        {
            leader.raise_above(at);
        }
        let splitting = leader.splitting.is_some();
        let mut laid = true;
        let (prepare, keys) = match leader.txns.get_mut(&txn).map(|known| &mut known.phase) {
            None => (Timestamp::ZERO, &mut Vec::new()),
            Some(Phase::Prepared { prepare, keys, .. }) => (*prepare, keys),
            Some(Phase::Preparing { prepare, keys, .. }) => {
                laid = false;
                (*prepare, keys)
            }
            Some(Phase::Deciding | Phase::Poisoning | Phase::Resolving { .. }) => {
                if let Some(op) = asker {
                    self.attach(txn, op);
                }
                return;
            }
        };
        if keys.is_empty() {
            leader.txns.remove(&txn);
            self.release_locks(txn);
            if let Some(op) = asker {
                self.answer_op(cx, &op, Ok(Reply::Done));
            }
            return;
        }
        if splitting {
            if let Some(op) = asker {
                self.park_at_barrier(op);
            }
            return;
        }
        let keys = mem::take(keys);
        let at_once = (laid && keys.len() <= self.config.slice_keys).then(|| keys.clone());
        let rest = VecDeque::from(keys);
        let leader = self.leader();
        let known = leader.txns.get_mut(&txn).expect("it has intents");
        known.phase = Phase::Resolving { outcome, prepare, rest, slices: 0 };
        if let Some(op) = asker {
            self.attach(txn, op);
        }
        self.resolve_on(txn);
        if let Some(keys) = at_once {
            self.let_go_early(txn, outcome, &keys);
        }
    }

    /// X2 asks for locks until the outcome is known, and it is. If all that is to be done about it is
    /// in the log, whatever others do with these keys lies behind it there: they need not wait until
    /// it is applied. What they must see of it before the store shows it they are told from memory:
    /// that the keys changed (X1), by the index of recent writes; to what (X6), by the intents.
    /// Reads wait on (R2). A leader that stops in between leaves intents, which the next one enters
    /// as locks (X2), whoever held them after.
    fn let_go_early(&mut self, txn: TxnId, outcome: Resolution, keys: &[Key]) {
        let known = self.leader().txns.get(&txn).map(|known| &known.phase);
        let Some(Phase::Resolving { rest, .. }) = known else {
            unreachable!("{txn:?} is being resolved")
        };
        if !rest.is_empty() {
            return;
        }
        let Resolution::Commit(at) = outcome else {
            // Nothing of it is to be seen by anybody.
            self.release_locks(txn);
            return;
        };
        let leader = self.leader();
        keys.iter().for_each(|key| leader.recent.record(key.clone(), at));
        let mut effects = mem::take(&mut leader.lock_effects);
        leader.locks.let_go(txn, keys, at, &mut effects);
        leader.lock_effects = effects;
    }
}

/// What a request hears whose transaction ended while it waited.
fn lost(verdict: &Verdict, txn: &TxnMeta) -> Conflict {
    match verdict {
        Verdict::Aborted(conflict) => conflict.clone(),
        Verdict::Committed { at, .. } => Conflict {
            kind: ConflictKind::ReadChanged,
            span: Span::point(txn.anchor.clone()),
            winner: Some(txn.id),
            at: Some(*at),
        },
    }
}
