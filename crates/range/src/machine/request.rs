//! Requests arrive, are given up, and end with a leadership.

use clock::{Mono, Timestamp};
use keys::Span;
use kv::{Conflict, ConflictKind, Descriptor, KvError, LeaderStatus, RangeStatus, Reply, Request};
use storage::EngineError;

use super::{
    Cx, Machine, RequestToken,
    op::{Asked, Caller, Logged, Op, OpId, ReadWork, Work},
};

impl Machine {
    /// A request. Its answer comes with this step or a later one, at the deadline at the latest.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn request(
        &mut self,
        cx: &mut Cx<'_>,
        token: RequestToken,
        request: Request,
        deadline: Mono,
    ) -> Result<(), EngineError> {
        self.dispatch(cx, Caller::Client(token), request, deadline)?;
        self.run(cx)
    }

    /// Nobody waits for the answer any more: the request is forgotten, and waits nowhere. What it
    /// put into the log stays there, and so do the locks it was granted: both are its
    /// transaction's, whose gateway lets go of them (X8). Without effect if the request was
    /// answered, or never came: a cancel may be late, or come twice.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn cancel(&mut self, cx: &mut Cx<'_>, token: RequestToken) -> Result<(), EngineError> {
        if let Some(id) = self.ops.of_token(token) {
            self.let_go(id);
            self.ops.remove(id);
            self.run(cx)?;
        }
        Ok(())
    }

    pub(super) fn dispatch(
        &mut self,
        cx: &mut Cx<'_>,
        caller: Caller,
        request: Request,
        deadline: Mono,
    ) -> Result<(), EngineError> {
        let op = Op::new(caller, cx.now.mono, deadline, ());
        if self.ops.len() >= self.config.parked_requests {
            let cause = format!("{} requests are parked in {}", self.ops.len(), self.id());
            self.answer_caller(cx, caller, Err(KvError::Overloaded(cause)));
            return Ok(());
        }
        match request {
            Request::Read(read) => self.read(cx, op.with(Box::new(ReadWork::new(read, false)))),
            Request::Checksum { at } => self.read(cx, op.with(Box::new(ReadWork::checksum(at)))),
            Request::Lock(lock) => self.lock(cx, op.with(lock)),
            Request::Prepare(prepare) => self.prepare(cx, op.with(Box::new(prepare))),
            Request::Commit(commit) => self.commit(cx, op.with(Box::new(commit))),
            Request::Resolve(resolve) => self.resolve(cx, op.with(Box::new(resolve))),
            Request::Push(push) => self.push(cx, op.with(Box::new(push))),
            Request::Heartbeat(beat) => self.heartbeat(cx, caller, &beat),
            Request::Acknowledge(asked) => {
                self.acknowledge(cx, caller, &asked);
                Ok(())
            }
            Request::Release { txn } => {
                let result = self.check_leader(cx).map(|()| Reply::Done);
                if result.is_ok() {
                    self.release_unpromised(txn);
                }
                self.answer_caller(cx, caller, result);
                Ok(())
            }
            Request::Split { at, child } => self.split(cx, op, &at, child),
            Request::TransferLeader { to } => {
                self.transfer(cx, op, to);
                Ok(())
            }
            Request::Status => {
                let status = self.status(cx);
                self.answer_caller(cx, caller, Ok(Reply::Status(status)));
                Ok(())
            }
            Request::Locks => {
                let result = self.check_leader(cx).map(|()| {
                    let range = self.id();
                    Reply::Locks(self.leader().locks.list(range))
                });
                self.answer_caller(cx, caller, result);
                Ok(())
            }
        }
    }

    /// Carries out what calls on the lock table and this machine's questions to itself left to do.
    pub(super) fn run(&mut self, cx: &mut Cx<'_>) -> Result<(), EngineError> {
        loop {
            if self.run_lock_effects(cx)? {
                continue;
            }
            let Some((ask, result)) = self.ops.own.pop() else { break };
            self.answer(cx, ask, result)?;
        }
        self.propose_split();
        self.drained(cx);
        Ok(())
    }

    /// P2, P7: whether this replica may act as leader.
    pub(super) fn check_leader(&self, cx: &Cx<'_>) -> Result<(), KvError> {
        match &self.leader {
            Some(leader) if leader.lease_valid(cx.now.tt) => Ok(()),
            Some(_) => Err(KvError::NotLeader { range: self.id(), leader: None }),
            None => {
                let leader = self.leader_hint.filter(|hint| *hint != self.node);
                Err(KvError::NotLeader { range: self.id(), leader })
            }
        }
    }

    /// As [`Machine::check_leader`]; besides, a leader that is about to hand over promises nothing
    /// new (P5).
    pub(super) fn check_promising(&self, cx: &Cx<'_>) -> Result<(), KvError> {
        self.check_leader(cx)?;
        match self.leader.as_ref().and_then(|leader| leader.draining.as_ref()) {
            Some(draining) => {
                Err(KvError::NotLeader { range: self.id(), leader: Some(draining.to) })
            }
            None => Ok(()),
        }
    }

    /// Whether all of a span is this range's.
    pub(super) fn check_span(&self, span: &Span) -> Result<(), KvError> {
        if self.state.descriptor.span.covers(span) { Ok(()) } else { Err(self.wrong_range()) }
    }

    pub(super) fn check_key(&self, key: &[u8]) -> Result<(), KvError> {
        if self.state.descriptor.span.contains(key) { Ok(()) } else { Err(self.wrong_range()) }
    }

    pub(super) fn wrong_range(&self) -> KvError {
        let splits = self.state.splits.iter().rev().map(|split| &split.child);
        let known: Vec<Descriptor> =
            std::iter::once(&self.state.descriptor).chain(splits.take(16)).cloned().collect();
        KvError::WrongRange { range: self.id(), known }
    }

    /// X7a: whether it is definitely too early for the transaction to be too old.
    pub(super) fn young(&self, cx: &Cx<'_>, start: Timestamp) -> bool {
        cx.now.tt.before(start.plus(self.config.transaction_life))
    }

    /// X7a: whether its life is definitely over.
    pub(super) fn expired(&self, cx: &Cx<'_>, start: Timestamp) -> bool {
        cx.now.tt.after(start.plus(self.config.transaction_life))
    }

    pub(super) fn conflict_of_age(&self) -> Conflict {
        Conflict {
            kind: ConflictKind::Expired,
            span: self.state.descriptor.span.clone(),
            winner: None,
            at: None,
        }
    }

    /// A request waits nowhere any more. Its locks: what waited is withdrawn; what was granted and
    /// is not promised stays with its transaction (another request may have asked for it as well).
    pub(super) fn let_go(&mut self, id: OpId) {
        if let Some(leader) = &mut self.leader {
            let mut effects = std::mem::take(&mut leader.lock_effects);
            leader.locks.cancel(id, &mut effects);
            leader.lock_effects = effects;
            if leader.draining.as_ref().is_some_and(|draining| draining.op == id) {
                leader.draining = None;
            }
        }
    }

    /// The deadline of a parked request passed.
    pub(super) fn give_up(&mut self, cx: &mut Cx<'_>, id: OpId) {
        let blocked = self.leader.as_ref().and_then(|leader| leader.locks.waits_at(id));
        self.let_go(id);
        let Some(op) = self.ops.remove(id) else { return };
        let error = match blocked {
            Some((key, holder)) => KvError::Blocked { key, holder },
            None => KvError::Unavailable { range: self.id(), missing: self.missing(cx, &op) },
        };
        self.answer_op(cx, &op, Err(error));
    }

    /// What a request waited for in vain, for people.
    fn missing(&self, cx: &Cx<'_>, op: &Op) -> String {
        let voters = &self.state.descriptor.voters;
        let replicas: Vec<String> = voters.iter().map(ToString::to_string).collect();
        let what = match &op.work {
            Work::Asked(Asked::Read(_)) if self.leader.is_none() => "this replica lags behind",
            Work::Asked(Asked::Read(_)) if self.check_leader(cx).is_err() => {
                "the leader's lease lapsed"
            }
            Work::Asked(Asked::Read(_)) => "a write in flight is not decided",
            Work::Transfer => "prepared transactions are not decided",
            Work::Asked(_) | Work::Logged(_) | Work::Split | Work::Held(_) => {
                "no quorum has answered"
            }
        };
        format!("{what} (replicas on {})", replicas.join(", "))
    }

    /// Answers who waits for a leader, when the leadership ended.
    pub(super) fn stop_parked(&mut self, cx: &mut Cx<'_>) {
        for id in self.ops.ids() {
            let Some(op) = self.ops.get(id) else { continue };
            let error = match &op.work {
                Work::Held(_) => continue,
                Work::Asked(Asked::Read(work)) if work.read.from == kv::ReadFrom::AnyReplica => {
                    self.ops.unsafe_reads.insert((work.read.at, id));
                    continue;
                }
                Work::Logged(Logged::Deciding(_)) => KvError::AnswerLost {
                    node: self.node,
                    cause: "its leadership ended while the decision was in the log".to_owned(),
                },
                Work::Transfer => {
                    self.finish(cx, id, Ok(Reply::Done));
                    continue;
                }
                Work::Asked(_) | Work::Logged(Logged::Preparing(_)) | Work::Split => {
                    KvError::NotLeader {
                        range: self.id(),
                        leader: self.leader_hint.filter(|hint| *hint != self.node),
                    }
                }
            };
            self.finish(cx, id, Err(error));
        }
    }

    fn status(&self, cx: &Cx<'_>) -> RangeStatus {
        let leading = self.leader.as_ref().map(|leader| LeaderStatus {
            round: leader.ballot.round,
            lease_end: leader.lease_end,
            min_next: leader.min_next,
            lock_holders: leader.locks.holders_len() as u64,
            lock_waiters: leader.locks.waiting_len() as u64,
        });
        let led = self.leader.as_ref().filter(|leader| leader.lease_valid(cx.now.tt));
        let leader = if self.leader.is_some() { Some(self.node) } else { self.leader_hint };
        RangeStatus {
            descriptor: self.state.descriptor.clone(),
            node: self.node,
            leader,
            leading,
            applied: self.applied.slot.0,
            // R4: beyond its lease end a leader may have to leave a snapshot to its successor.
            safe_time: match led {
                Some(leader) => cx.now.tt.latest_timestamp().min(leader.lease_end.prev()),
                None => self.closed,
            },
        }
    }
}
