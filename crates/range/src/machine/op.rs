//! Requests that are parked: what for, until when, and how they are answered.
//!
//! A request that can be answered at once never comes here. The others lie here under an [`OpId`],
//! which is also the name under which they wait in the lock table, until something answers them: a
//! grant, an applied entry, the time, the deadline. Every one is answered exactly once.

use std::collections::BTreeSet;

use clock::{Mono, Timestamp};
use keys::{Span, TxnId};
use kv::{Commit, KvError, Lock, Prepare, Push, Read, Reply, Resolve};
use rustc_hash::FxHashMap;

use super::{Cx, Machine};
use crate::{config::CommitWait, locks::RequestId, rules::Rule};

/// A request, as the host names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestToken(pub u64);

/// A question to another range, as this replica names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskToken(pub u64);

/// A parked request.
pub(super) type OpId = RequestId;

/// Who gets the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// Whoever sent the request.
    Client(RequestToken),
    /// This machine: it asked itself about a transaction whose record lies in its own range.
    Own(AskToken),
    /// Nobody: done for its own sake.
    Nobody,
}

/// A request that arrived, and what is to be done for it: `W` says how far it has come. A step takes
/// the kind of work that it can do, so what cannot be done is not written down anywhere.
#[derive(Debug)]
pub(super) struct Op<W = Work> {
    /// Who gets the answer.
    pub caller: Caller,
    /// When it arrived.
    pub arrived: Mono,
    /// When the answer is of no use any more.
    pub deadline: Mono,
    /// Since when it waits for other transactions; `None`: it does not.
    pub blocked_since: Option<Mono>,
    /// How long it waited for them before, in nanoseconds.
    pub blocked_nanos: u64,
    /// What is to be done.
    pub work: W,
}

impl<W> Op<W> {
    /// A request that arrives now.
    pub fn new(caller: Caller, arrived: Mono, deadline: Mono, work: W) -> Op<W> {
        Op { caller, arrived, deadline, blocked_since: None, blocked_nanos: 0, work }
    }

    /// The same request, with this to be done from now on; and what was to be done before.
    pub fn replace<V>(self, work: V) -> (Op<V>, W) {
        let Op { caller, arrived, deadline, blocked_since, blocked_nanos, work: before } = self;
        (Op { caller, arrived, deadline, blocked_since, blocked_nanos, work }, before)
    }

    /// The same request, with this to be done from now on.
    pub fn with<V>(self, work: V) -> Op<V> {
        self.replace(work).0
    }

    /// The same request, its work seen as one of a wider kind.
    pub fn map<V>(self, wider: impl FnOnce(W) -> V) -> Op<V> {
        let (op, work) = self.replace(());
        op.with(wider(work))
    }

    /// From now on it waits for other transactions.
    pub fn block(&mut self, now: Mono) {
        self.blocked_since.get_or_insert(now);
    }

    /// It waits for them no longer.
    pub fn unblock(&mut self, now: Mono) {
        self.blocked_nanos = self.blocked_until(now);
        self.blocked_since = None;
    }

    /// How long it has waited for them in all.
    pub fn blocked_until(&self, now: Mono) -> u64 {
        let waiting = self.blocked_since.map_or(0, |since| now.0.saturating_sub(since.0));
        self.blocked_nanos.saturating_add(waiting)
    }
}

/// A request that has promised and proposed nothing yet: it can be taken up from its beginning.
#[derive(Debug)]
pub(super) enum Asked {
    /// A snapshot read, or a checksum.
    Read(Box<ReadWork>),
    /// Locks for update.
    Lock(Lock),
    /// Prepare here; boxed, and so are the others, because ops move.
    Prepare(Box<Prepare>),
    /// Decide here.
    Commit(Box<Commit>),
    /// Someone asks what became of a transaction.
    Push(Box<Push>),
    /// Someone tells what became of a transaction.
    Resolve(Box<Resolve>),
}

/// A request whose command is in the log.
#[derive(Debug)]
pub(super) enum Logged {
    /// A commit.
    Deciding(Box<Deciding>),
    /// A prepare.
    Preparing(Box<Preparing>),
}

/// Whatever waits for the outcome of a transaction may be one of these.
#[derive(Debug)]
pub(super) enum Undecided {
    /// It is not begun, or was begun in vain.
    Asked(Asked),
    /// Its command is in the log.
    Logged(Logged),
}

/// Whatever is parked.
#[derive(Debug)]
pub(super) enum Work {
    /// Waits for locks, the lease, the time, a record or the end of a split.
    Asked(Asked),
    /// Waits for the log.
    Logged(Logged),
    /// Waits for a split in the log.
    Split,
    /// Waits for promises to end, to hand leadership over.
    Transfer,
    /// An answer that waits for `TT.after` of its timestamp (T4).
    Held(Box<Held>),
}

impl From<Undecided> for Work {
    fn from(undecided: Undecided) -> Work {
        match undecided {
            Undecided::Asked(asked) => Work::Asked(asked),
            Undecided::Logged(logged) => Work::Logged(logged),
        }
    }
}

impl Asked {
    /// The transaction that it takes locks for.
    pub fn txn(&self) -> Option<TxnId> {
        match self {
            Asked::Lock(lock) => Some(lock.txn.id),
            Asked::Prepare(prepare) => Some(prepare.txn.id),
            Asked::Commit(commit) => Some(commit.txn.id),
            Asked::Read(_) | Asked::Push(_) | Asked::Resolve(_) => None,
        }
    }

    /// Whether all that it touches lies in a range's span.
    pub fn lies_in(&self, span: &Span) -> bool {
        match self {
            Asked::Lock(lock) => lock.keys.iter().all(|key| span.contains(key)),
            Asked::Prepare(prepare) => prepare_lies_in(prepare, span),
            Asked::Commit(commit) => commit_lies_in(commit, span),
            Asked::Read(work) => work.read.spans.iter().all(|read| span.covers(&read.span)),
            Asked::Push(push) => span.contains(&push.txn.anchor),
            Asked::Resolve(_) => true,
        }
    }
}

/// Whether all that a prepare touches lies in a range's span.
pub(super) fn prepare_lies_in(prepare: &Prepare, span: &Span) -> bool {
    prepare.reads.iter().all(|read| span.covers(&read.span))
        && prepare.writes.iter().all(|write| span.contains(&write.key))
}

/// Whether all that a commit touches lies in a range's span.
pub(super) fn commit_lies_in(commit: &Commit, span: &Span) -> bool {
    span.contains(&commit.txn.anchor)
        && commit.reads.iter().all(|read| span.covers(&read.span))
        && commit.writes.iter().all(|write| span.contains(&write.key))
}

/// A read, or a checksum over the whole range.
#[derive(Debug)]
pub(super) struct ReadWork {
    /// The read; for a checksum without spans.
    pub read: Read,
    /// Sum up instead of reading.
    pub checksum: bool,
}

impl ReadWork {
    /// A read.
    pub fn new(read: Read, checksum: bool) -> ReadWork {
        ReadWork { read, checksum }
    }
}

/// A commit in the log.
#[derive(Debug)]
pub(super) struct Deciding {
    /// When its locks were held and its reads validated.
    pub granted: Mono,
    /// ε at that moment, in nanoseconds.
    pub epsilon_nanos: u64,
    /// How long until `TT.after(s)`, as estimated at that moment, in nanoseconds.
    pub wait_nanos: u64,
}

/// A prepare in the log.
#[derive(Debug)]
pub(super) struct Preparing {
    /// When its locks were held and its reads validated.
    pub granted: Mono,
    /// ε at that moment, in nanoseconds.
    pub epsilon_nanos: u64,
    /// Whether it validated spans too, so that the promise ends with the lease (X3).
    pub validated: bool,
}

/// A commit's answer, complete but for the wait.
#[derive(Debug)]
pub(super) struct Held {
    /// The timestamp that must be past.
    pub until: Timestamp,
    /// The answer.
    pub reply: Reply,
    /// When s was chosen and how long the log took, to tell how much wait was hidden.
    pub measured: Option<(Mono, u64)>,
}

/// All parked requests of a machine.
#[derive(Debug, Default)]
pub(super) struct Ops {
    ops: FxHashMap<OpId, Op>,
    deadlines: BTreeSet<(Mono, OpId)>,
    by_token: FxHashMap<RequestToken, OpId>,
    /// Those that wait for `TT.after` of a timestamp: held answers and reads (T4, T5).
    times: BTreeSet<(Timestamp, OpId)>,
    /// Reads that wait for lease or safe time, by their snapshot.
    pub unsafe_reads: BTreeSet<(Timestamp, OpId)>,
    /// Follower reads that wait for an intent to be resolved.
    pub intent_reads: BTreeSet<OpId>,
    /// Requests that wait for a split in the log to be over.
    pub barrier: BTreeSet<OpId>,
    /// Number of reads among the parked.
    reads: usize,
    next: u64,
    next_ask: u64,
    /// Answers to questions this machine asked itself.
    pub own: Vec<(AskToken, Result<Reply, KvError>)>,
}

impl Ops {
    /// A name for a request.
    pub fn next_id(&mut self) -> OpId {
        self.next += 1;
        RequestId(self.next)
    }

    /// A name for a question.
    pub fn next_ask(&mut self) -> AskToken {
        self.next_ask += 1;
        AskToken(self.next_ask)
    }

    /// Parks a request.
    pub fn park(&mut self, id: OpId, op: Op) {
        if let Caller::Client(token) = op.caller {
            self.by_token.insert(token, id);
        }
        self.deadlines.insert((op.deadline, id));
        self.reads += usize::from(matches!(op.work, Work::Asked(Asked::Read(_))));
        let before = self.ops.insert(id, op);
        assert!(before.is_none(), "{id:?} is parked already");
    }

    /// Takes a request out, wherever it waits.
    pub fn remove(&mut self, id: OpId) -> Option<Op> {
        let op = self.ops.remove(&id)?;
        self.deadlines.remove(&(op.deadline, id));
        if let Caller::Client(token) = op.caller {
            let known = self.by_token.remove(&token);
            assert_eq!(known, Some(id), "{token:?} names another request");
        }
        match &op.work {
            Work::Asked(Asked::Read(work)) => {
                self.reads -= 1;
                self.unsafe_reads.remove(&(work.read.at, id));
                self.intent_reads.remove(&id);
            }
            Work::Held(held) => {
                self.times.remove(&(held.until, id));
            }
            Work::Asked(_) | Work::Logged(_) | Work::Split | Work::Transfer => {}
        }
        self.barrier.remove(&id);
        Some(op)
    }

    /// Takes out a request that can be taken up from its beginning; one that has come further stays
    /// where it is.
    pub fn take_asked(&mut self, id: OpId) -> Option<Op<Asked>> {
        match self.ops.get(&id)?.work {
            Work::Asked(_) => {}
            Work::Logged(_) | Work::Split | Work::Transfer | Work::Held(_) => return None,
        }
        let (op, work) = self.remove(id)?.replace(());
        let Work::Asked(asked) = work else { return None };
        Some(op.with(asked))
    }

    /// Takes out a read.
    pub fn take_read(&mut self, id: OpId) -> Option<Op<Box<ReadWork>>> {
        if !matches!(self.ops.get(&id)?.work, Work::Asked(Asked::Read(_))) {
            return None;
        }
        let (op, work) = self.remove(id)?.replace(());
        let Work::Asked(Asked::Read(read)) = work else { return None };
        Some(op.with(read))
    }

    /// Takes out a prepare whose command is in the log.
    pub fn take_preparing(&mut self, id: OpId) -> Option<Op<Box<Preparing>>> {
        if !matches!(self.ops.get(&id)?.work, Work::Logged(Logged::Preparing(_))) {
            return None;
        }
        let (op, work) = self.remove(id)?.replace(());
        let Work::Logged(Logged::Preparing(preparing)) = work else { return None };
        Some(op.with(preparing))
    }

    /// Takes out a request that may wait for the outcome of a transaction; another one stays.
    pub fn take_undecided(&mut self, id: OpId) -> Option<Op<Undecided>> {
        match self.ops.get(&id)?.work {
            Work::Asked(_) | Work::Logged(_) => {}
            Work::Split | Work::Transfer | Work::Held(_) => return None,
        }
        let (op, work) = self.remove(id)?.replace(());
        match work {
            Work::Asked(asked) => Some(op.with(Undecided::Asked(asked))),
            Work::Logged(logged) => Some(op.with(Undecided::Logged(logged))),
            Work::Split | Work::Transfer | Work::Held(_) => None,
        }
    }

    /// A parked request.
    pub fn get(&self, id: OpId) -> Option<&Op> {
        self.ops.get(&id)
    }

    /// The parked request of a token.
    pub fn of_token(&self, token: RequestToken) -> Option<OpId> {
        self.by_token.get(&token).copied()
    }

    /// Lets a parked request wait for `TT.after(at)`.
    pub fn wait_for_time(&mut self, at: Timestamp, id: OpId) {
        self.times.insert((at, id));
    }

    /// The next request whose time is past; it waits for the time no longer.
    pub fn pop_time(&mut self, past: impl Fn(Timestamp) -> bool) -> Option<OpId> {
        let &(at, id) = self.times.first()?;
        if !past(at) {
            return None;
        }
        self.times.pop_first();
        Some(id)
    }

    /// The next request whose deadline passed.
    pub fn past_deadline(&self, now: Mono) -> Option<OpId> {
        self.deadlines.first().filter(|(at, _)| *at <= now).map(|(_, id)| *id)
    }

    pub fn next_deadline(&self) -> Option<Mono> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    pub fn next_time(&self) -> Option<Timestamp> {
        self.times.first().map(|(at, _)| *at)
    }

    /// Number of parked requests.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Number of parked reads.
    pub fn reads(&self) -> usize {
        self.reads
    }

    /// All parked requests, oldest first.
    pub fn ids(&self) -> Vec<OpId> {
        let mut ids: Vec<OpId> = self.ops.keys().copied().collect();
        ids.sort_unstable();
        ids
    }
}

impl Machine {
    /// Parks a request whose command goes into the log.
    pub(super) fn park_logged(&mut self, id: OpId, op: Op<Logged>) {
        self.ops.park(id, op.map(Work::Logged));
    }

    /// Parks a request that can be taken up from its beginning.
    pub(super) fn park_asked(&mut self, id: OpId, op: Op<Asked>) {
        self.ops.park(id, op.map(Work::Asked));
    }

    /// Parks a request until the split in the log is over.
    pub(super) fn park_at_barrier(&mut self, op: Op<Asked>) {
        let id = self.ops.next_id();
        self.park_asked(id, op);
        self.ops.barrier.insert(id);
    }

    /// Answers a request that is not parked. An error says how long it waited for nothing.
    pub(super) fn answer_op<W>(
        &mut self,
        cx: &mut Cx<'_>,
        op: &Op<W>,
        result: Result<Reply, KvError>,
    ) {
        let result = result.map_err(|error| error.after_wait(op.blocked_until(cx.now.mono)));
        self.answer_caller(cx, op.caller, result);
    }

    pub(super) fn answer_caller(
        &mut self,
        cx: &mut Cx<'_>,
        caller: Caller,
        result: Result<Reply, KvError>,
    ) {
        match caller {
            Caller::Client(token) => cx.out.replies.push((token, result)),
            Caller::Own(ask) => self.ops.own.push((ask, result)),
            Caller::Nobody => {}
        }
    }

    /// Answers a parked request; no effect if it was answered before.
    pub(super) fn finish(&mut self, cx: &mut Cx<'_>, id: OpId, result: Result<Reply, KvError>) {
        if let Some(op) = self.ops.remove(id) {
            self.answer_op(cx, &op, result);
        }
    }

    /// Whether `TT.after(at)`, or nobody is to wait for it.
    pub(super) fn past(&self, cx: &Cx<'_>, at: Timestamp) -> bool {
        match self.config.commit_wait {
            CommitWait::On => cx.now.tt.after(at),
            CommitWait::UnsafeOff => true,
        }
    }

    /// Answers once `TT.after(held.until)` (T4). The deadline does not count any more: the wait is
    /// at most 2ε, and to answer anything else would be a lie.
    pub(super) fn answer_after<W>(&mut self, cx: &mut Cx<'_>, op: Op<W>, held: Held) {
        if self.past(cx, held.until) || !self.rules.keep(Rule::CommitWait) {
            self.answer_op(cx, &op, Ok(held.reply));
            return;
        }
        let id = self.ops.next_id();
        let until = held.until;
        let mut op = op.with(Work::Held(Box::new(held)));
        op.deadline = Mono(u64::MAX);
        self.ops.park(id, op);
        self.ops.wait_for_time(until, id);
    }

    /// Answers what T4 held back and is past now. Returns the reads whose time has come (T5).
    pub(super) fn release_held(&mut self, cx: &mut Cx<'_>) -> Vec<OpId> {
        let (tt, commit_wait) = (cx.now.tt, self.config.commit_wait);
        let past = |at| commit_wait == CommitWait::UnsafeOff || tt.after(at);
        let mut reads = Vec::new();
        while let Some(id) = self.ops.pop_time(past) {
            match self.ops.get(id).map(|op| &op.work) {
                Some(Work::Held(_)) => self.answer_held(cx, id),
                Some(_) => reads.push(id),
                None => {}
            }
        }
        reads
    }

    fn answer_held(&mut self, cx: &mut Cx<'_>, id: OpId) {
        let Some(op) = self.ops.remove(id) else { return };
        let (op, Work::Held(held)) = op.replace(()) else { return };
        let mut reply = held.reply;
        if let (Reply::Committed(committed), Some((chosen, paxos))) = (&mut reply, held.measured) {
            let waited = cx.now.mono.0.saturating_sub(chosen.0);
            committed.stats.commit_wait_nanos = waited;
            committed.stats.commit_wait_hidden_nanos = paxos.min(waited);
        }
        self.answer_caller(cx, op.caller, Ok(reply));
    }

    /// Answers what nobody needs any more.
    pub(super) fn expire(&mut self, cx: &mut Cx<'_>) {
        while let Some(id) = self.ops.past_deadline(cx.now.mono) {
            self.give_up(cx, id);
        }
    }
}
