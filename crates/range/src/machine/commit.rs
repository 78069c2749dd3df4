//! Deciding, at the leader of the anchor: lock, validate, choose s, propose.
//!
//! The same path serves a transaction of one group and the last step of a larger one. What the
//! leader refuses it first poisons, so that a repeated commit that comes later cannot succeed after
//! the gateway was told that it failed (X8).

use clock::Timestamp;
use keys::{Key, Span};
use kv::{
    Commit, CommitStats, Committed, Conflict, ConflictKind, KvError, Reply, TxnMeta, Validate,
};
use storage::{EngineError, mvcc};

use super::{
    Cx, Machine,
    leader::{Phase, Txn},
    lock::{nanos_since, request_of},
    op::{self, Asked, Deciding, Held, Logged, Op},
    slice::{key_weight, weight},
};
use crate::{
    CommitWait,
    command::Command,
    locks::{Acquired, Refusal},
    recent::Answer,
    record::{Record, Verdict},
    rules::Rule,
};

/// What a command takes in the log beside keys and values: framing, timestamps, the transaction.
const COMMAND_OVERHEAD: usize = 256;

impl Machine {
    pub(super) fn commit(
        &mut self,
        cx: &mut Cx<'_>,
        mut op: Op<Box<Commit>>,
    ) -> Result<(), EngineError> {
        let commit = &op.work;
        if let Err(error) = self.check_commit(cx, commit) {
            self.answer_op(cx, &op, Err(error));
            return Ok(());
        }
        let (id, txn) = (self.ops.next_id(), commit.txn.id);
        if self.leader().splitting.is_some() {
            self.park_at_barrier(op.map(Asked::Commit));
            return Ok(());
        }
        if let Some(known) = self.leader().txns.get_mut(&txn) {
            match known.phase {
                Phase::Prepared { .. } => {}
                Phase::Deciding
                | Phase::Poisoning
                | Phase::Preparing { .. }
                | Phase::Resolving { .. } => {
                    known.waiters.push(id);
                    self.park_asked(id, op.map(Asked::Commit));
                    return Ok(());
                }
            }
        }
        if self.rules.keep(Rule::RecordFirst)
            && let Some(record) = Record::read(cx.reader, &commit.txn.anchor, txn)?
        {
            self.answer_verdict(cx, op, None, &record.verdict);
            return Ok(());
        }
        if !self.young(cx, commit.txn.start) {
            let missing = "the transaction outlived its record; its outcome is unknown".to_owned();
            let error = KvError::Unavailable { range: self.id(), missing };
            self.answer_op(cx, &op, Err(error));
            return Ok(());
        }
        let request = request_of(id, &commit.txn, &commit.reads, &commit.writes);
        match self.acquire(request) {
            Acquired::Granted => self.commit_granted(cx, op),
            Acquired::Waiting { .. } => {
                op.block(cx.now.mono);
                self.park_asked(id, op.map(Asked::Commit));
                self.watch(cx);
                Ok(())
            }
            Acquired::Refused(Refusal::Wounded(conflict)) => self.refuse_commit(cx, op, conflict),
            Acquired::Refused(refusal) => {
                self.answer_op(cx, &op, Err(refusal.into()));
                Ok(())
            }
        }
    }

    /// What can be said without looking at the data. While leadership is handed over only decisions
    /// of prepared transactions are taken: those are what it waits for.
    fn check_commit(&self, cx: &Cx<'_>, commit: &Commit) -> Result<(), KvError> {
        let promised = self.leader.as_ref().is_some_and(|l| l.txns.contains_key(&commit.txn.id));
        if promised { self.check_leader(cx) } else { self.check_promising(cx) }?;
        if !op::commit_lies_in(commit, &self.state.descriptor.span) {
            return Err(self.wrong_range());
        }
        let written = commit
            .writes
            .iter()
            .map(|write| &write.key)
            .chain(commit.participants.iter().flat_map(|span| [&span.start, &span.end]));
        self.check_keys(written.chain([&commit.txn.anchor]).chain(ends(&commit.reads)))?;
        self.check_size(&commit.writes, &commit.participants)
    }

    /// The limit of a log entry, and of the commands that wait for it.
    pub(super) fn check_size(
        &self,
        writes: &[kv::Write],
        participants: &[Span],
    ) -> Result<(), KvError> {
        let others = participants
            .iter()
            .map(|span| key_weight(&span.start) + key_weight(&span.end))
            .sum::<usize>();
        let bytes = writes.iter().map(weight).sum::<usize>() + others + COMMAND_OVERHEAD;
        self.check_bytes(bytes, self.config.entry_bytes)?;
        let queued = self.leader.as_ref().map_or(0, |leader| leader.queued());
        if queued >= self.config.queued_commands {
            let cause = format!("{queued} commands wait for the log of {}", self.id());
            return Err(KvError::Overloaded(cause));
        }
        Ok(())
    }

    /// The limit of a key: commands name some keys beside those they write (the anchor, a conflict),
    /// and these must not fill an entry.
    pub(super) fn check_keys<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k Key>,
    ) -> Result<(), KvError> {
        let longest = keys.into_iter().map(|key| key.len()).max().unwrap_or(0);
        self.check_bytes(longest, self.config.key_bytes)
    }

    fn check_bytes(&self, bytes: usize, limit: usize) -> Result<(), KvError> {
        if bytes <= limit {
            return Ok(());
        }
        let (bytes, limit) = (bytes as u64, limit as u64);
        Err(KvError::TooLarge { range: self.id(), bytes, limit })
    }

    /// All locks are held: validate (X1), choose s, propose.
    pub(super) fn commit_granted(
        &mut self,
        cx: &mut Cx<'_>,
        op: Op<Box<Commit>>,
    ) -> Result<(), EngineError> {
        let commit = &op.work;
        let txn = commit.txn.id;
        if self.leader().splitting.is_some() {
            self.park_at_barrier(op.map(Asked::Commit));
            return Ok(());
        }
        match self.leader().txns.get(&txn).map(|known| &known.phase) {
            Some(Phase::Poisoning | Phase::Deciding) => {
                self.attach(txn, op.map(Asked::Commit));
                return Ok(());
            }
            // X3: validated under this leadership, and locked ever since.
            Some(Phase::Prepared { validated, .. }) if *validated == commit.reads => {}
            Some(_) | None => {
                if let Err(conflict) = self.validate(cx, &commit.reads)? {
                    return self.refuse_commit(cx, op, conflict);
                }
            }
        }
        if !self.young(cx, commit.txn.start) {
            let conflict = self.conflict_of_age();
            return self.refuse_commit(cx, op, conflict);
        }
        self.decide(cx, op);
        Ok(())
    }

    /// T3, X3a, X3, R1, P2: s is at least `TT.now().latest`, above the snapshot and every prepare
    /// timestamp, below every promise's end, and in order.
    fn decide(&mut self, cx: &mut Cx<'_>, op: Op<Box<Commit>>) {
        let (op, commit) = op.replace(());
        let keep = |rule, at| if self.rules.keep(rule) { at } else { Timestamp::ZERO };
        let latest = keep(Rule::Start, cx.now.tt.latest_timestamp());
        let least = latest.max(keep(Rule::Above, commit.above.next()));
        let at = match self.leader().assign(least, commit.below) {
            Ok(at) => at,
            Err(bound) => {
                self.release_unpromised(commit.txn.id);
                let error = match bound < commit.below {
                    true => KvError::NotLeader { range: self.id(), leader: None },
                    false => KvError::BoundPassed { below: bound },
                };
                self.answer_op(cx, &op, Err(error));
                return;
            }
        };
        let Commit { txn, writes, participants, .. } = *commit;
        let id = self.ops.next_id();
        let deciding = Deciding {
            granted: cx.now.mono,
            epsilon_nanos: nanos(cx.now.tt.epsilon()),
            wait_nanos: self.wait_nanos(cx, at),
        };
        self.park_logged(id, op.with(Logged::Deciding(Box::new(deciding))));
        let leader = self.leader();
        leader.locks.mark_prepared(txn.id);
        leader.locks.set_pending(txn.id, at);
        let before = leader.txns.remove(&txn.id);
        let mut waiters = before.map_or(Vec::new(), |before| before.waiters);
        waiters.push(id);
        let known = Txn { meta: txn.clone(), phase: Phase::Deciding, waiters };
        leader.txns.insert(txn.id, known);
        leader.enqueue(Command::Commit { txn, at, writes, participants });
    }

    /// Lets a request wait for what is being decided about a transaction.
    pub(super) fn attach(&mut self, txn: keys::TxnId, op: Op<Asked>) {
        let id = self.ops.next_id();
        self.park_asked(id, op);
        let known = self.leader().txns.get_mut(&txn).expect("looked at just now");
        known.waiters.push(id);
    }

    /// X1: nothing that was read changed above the snapshot, however far in the future. The spans
    /// are share-locked already, so no intent and no write in flight is on them.
    pub(super) fn validate(
        &mut self,
        cx: &Cx<'_>,
        reads: &[Validate],
    ) -> Result<Result<(), Conflict>, EngineError> {
        for Validate { span, since } in reads {
            let conflict = |kind, span, at| Conflict { kind, span, winner: None, at };
            if *since < self.state.gc_threshold {
                return Ok(Err(conflict(ConflictKind::Expired, span.clone(), None)));
            }
            let newer = self.newest_above(cx, span, *since)?;
            let future = |at| self.rules.keep(Rule::FutureVersions) || cx.now.tt.after(at);
            if let Some((key, at)) = newer
                && self.rules.keep(Rule::Validation)
                && future(at)
            {
                let changed = ConflictKind::ReadChanged;
                return Ok(Err(conflict(changed, Span::point(key), Some(at))));
            }
        }
        Ok(Ok(()))
    }

    /// The newest commit to a key of a span above a timestamp: from the index of recent writes, or, where
    /// that does not reach back so far, from the store and from what was let go before it is there.
    pub(super) fn newest_above(
        &mut self,
        cx: &Cx<'_>,
        span: &Span,
        since: Timestamp,
    ) -> Result<Option<(Key, Timestamp)>, EngineError> {
        let leader = self.leader();
        Ok(match leader.recent.newest_in(span, since) {
            Answer::None => None,
            Answer::Some(key, at) => Some((key, at)),
            Answer::Unknown => {
                let stored = mvcc::newest_in_span(cx.reader, span, since)?;
                let settling = leader.locks.newest_settling(span, since);
                [stored, settling].into_iter().flatten().max_by_key(|(_, at)| *at)
            }
        })
    }

    /// How long T4 will have a commit at this timestamp wait; not at all where it is turned off.
    fn wait_nanos(&self, cx: &Cx<'_>, at: Timestamp) -> u64 {
        match self.config.commit_wait {
            CommitWait::On => nanos(cx.now.tt.until_after(at)),
            CommitWait::UnsafeOff => 0,
        }
    }

    /// Answers a commit, or whoever asked about one, as the record says (X8), once T4 allows it.
    /// With where the time went if this leader decided it.
    pub(super) fn answer_verdict<W>(
        &mut self,
        cx: &mut Cx<'_>,
        op: Op<W>,
        decided: Option<&Deciding>,
        verdict: &Verdict,
    ) {
        match verdict {
            Verdict::Aborted(conflict) => {
                self.answer_op(cx, &op, Err(KvError::Aborted(conflict.clone())));
            }
            Verdict::Committed { at, .. } => {
                let held = committed(cx, *at, op.arrived, decided);
                self.answer_after(cx, op, held);
            }
        }
    }

    /// Whether a transaction may be poisoned, and its poison proposed. Whoever asks is answered
    /// once the record speaks.
    pub(super) fn poison(
        &mut self,
        cx: &mut Cx<'_>,
        txn: TxnMeta,
        why: Conflict,
        asker: Option<Op<Asked>>,
    ) -> Result<(), EngineError> {
        if let Err(error) = self.check_key(&txn.anchor) {
            // The range was split since the request came: its record is another range's now.
            if let Some(op) = asker {
                self.answer_op(cx, &op, Err(error));
            }
            return Ok(());
        }
        let known = self.leader().txns.get(&txn.id).map(|known| &known.phase);
        let in_log = matches!(known, Some(Phase::Deciding | Phase::Poisoning));
        if !in_log && self.leader().splitting.is_some() {
            if let Some(op) = asker {
                self.park_at_barrier(op);
            }
            return Ok(());
        }
        if !in_log && !self.young(cx, txn.start) {
            if let Some(op) = asker {
                self.release_unpromised(txn.id);
                self.answer_op(cx, &op, Err(KvError::Conflict(why)));
            }
            return Ok(());
        }
        let id = txn.id;
        if !in_log {
            let leader = self.leader();
            let known = leader.txns.entry(txn.id).or_insert_with(|| Txn {
                meta: txn.clone(),
                phase: Phase::Poisoning,
                waiters: Vec::new(),
            });
            known.phase = Phase::Poisoning;
            leader.enqueue(Command::Poison { txn, why });
        }
        if let Some(op) = asker {
            self.attach(id, op);
        }
        Ok(())
    }
}

/// The answer "committed", with where the time went if this leader decided it.
fn committed(cx: &Cx<'_>, at: Timestamp, arrived: clock::Mono, decided: Option<&Deciding>) -> Held {
    let mut stats = CommitStats::default();
    let mut measured = None;
    if let Some(deciding) = decided {
        let paxos = nanos_since(cx, deciding.granted);
        stats = CommitStats {
            lock_wait_nanos: deciding.granted.0.saturating_sub(arrived.0),
            paxos_nanos: paxos,
            commit_wait_nanos: deciding.wait_nanos,
            commit_wait_hidden_nanos: deciding.wait_nanos.min(paxos),
            epsilon_nanos: deciding.epsilon_nanos,
        };
        measured = Some((deciding.granted, paxos));
    }
    let reply = Reply::Committed(Committed { at, stats });
    Held { until: at, reply, measured }
}

/// Both ends of every span that was read.
pub(super) fn ends(reads: &[Validate]) -> impl Iterator<Item = &Key> {
    reads.iter().flat_map(|read| [&read.span.start, &read.span.end])
}

pub(super) fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
