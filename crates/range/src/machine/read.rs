//! Snapshot reads: R2 at the leader, R3 at any replica, T5 everywhere.
//!
//! | waits for | leader (R2) | other replicas (R3) |
//! |---|---|---|
//! | to be allowed | lease end above t | closed timestamp at or above t |
//! | writes at or below t | pending locks: in flight, or intents | intents in the store |
//! | the time (T5) | `TT.after` the newest version to see | `TT.after(t)`, or the log's newest |
//!
//! A leader first raises `min_next` above t: from then on nothing new appears at or below t, so
//! what it waits for can only get less. What is read does not depend on when, so a long scan is done
//! beside the range's work ([`crate::scan`]).

use std::mem;

use clock::Timestamp;
use keys::{Key, Span};
use kv::{
    Conflict, ConflictKind, KvError, Read, ReadFrom, ReadReply, ReadSpan, Reply, SpanRows, TxnMeta,
};
use storage::{EngineError, mvcc};

use super::{
    Cx, Machine,
    lock::nanos_since,
    op::{Asked, Caller, Op, OpId, ReadWork},
    push,
};
use crate::{
    locks::Acquired,
    recent::Answer,
    rules::Rule,
    scan::{Progress, Scan, Waited},
};

/// Intents read at once when a follower looks for those in its way.
const INTENTS_PER_READ: usize = 256;

impl ReadWork {
    /// A checksum of the whole range.
    pub fn checksum(at: Timestamp) -> ReadWork {
        let read = Read {
            at,
            from: ReadFrom::AnyReplica,
            holder: None,
            spans: Vec::new(),
            max_rows: 0,
            program: None,
            unchanged_since: None,
        };
        ReadWork::new(read, true)
    }
}

/// Whether a read may be done now.
enum Ready {
    /// It may.
    Now,
    /// It waits, and is parked by this.
    Parked(Parked),
    /// It never may.
    Never(KvError),
}

/// What a read waits for.
enum Parked {
    /// The lease, or the closed timestamp.
    Safe,
    /// Writes in the lock table; the name is in use there.
    Locks,
    /// An intent in the store.
    Intent,
    /// The time (T5).
    Time(Timestamp),
}

impl Machine {
    pub(super) fn read(
        &mut self,
        cx: &mut Cx<'_>,
        op: Op<Box<ReadWork>>,
    ) -> Result<(), EngineError> {
        let id = self.ops.next_id();
        self.try_read(cx, id, op)
    }

    /// A parked read is tried again.
    pub(super) fn read_again(&mut self, cx: &mut Cx<'_>, id: OpId) -> Result<(), EngineError> {
        match self.ops.take_read(id) {
            Some(op) => self.try_read(cx, id, op),
            None => Ok(()),
        }
    }

    /// Reads that wait for the lease or for closed time are tried again, as far as it now reaches.
    pub(super) fn reads_again(&mut self, cx: &mut Cx<'_>) -> Result<(), EngineError> {
        let reach = match &self.leader {
            Some(leader) => leader.lease_end,
            None => self.closed,
        };
        let waiting = self.ops.unsafe_reads.iter();
        let ids: Vec<OpId> =
            waiting.take_while(|(at, _)| *at <= reach).map(|(_, id)| *id).collect();
        for id in ids {
            self.read_again(cx, id)?;
        }
        Ok(())
    }

    /// Reads, or parks under this name.
    pub(super) fn try_read(
        &mut self,
        cx: &mut Cx<'_>,
        id: OpId,
        mut op: Op<Box<ReadWork>>,
    ) -> Result<(), EngineError> {
        op.unblock(cx.now.mono);
        let work = &mut op.work;
        if work.checksum && work.read.spans.is_empty() {
            let span = self.state.descriptor.span.clone();
            work.read.spans.push(ReadSpan { span, reverse: false });
        }
        let ready = match self.read_allowed(cx, &work.read) {
            Err(error) => Ready::Never(error),
            Ok(()) if self.leader.is_some() => self.ready_to_lead(cx, id, &work.read),
            Ok(()) => self.ready_to_follow(cx, &work.read)?,
        };
        match ready {
            Ready::Now => self.execute(cx, op)?,
            Ready::Never(error) => self.answer_op(cx, &op, Err(error)),
            Ready::Parked(parked) => self.park_read(cx, id, op, parked),
        }
        Ok(())
    }

    fn park_read(&mut self, cx: &mut Cx<'_>, id: OpId, mut op: Op<Box<ReadWork>>, parked: Parked) {
        let at = op.work.read.at;
        if matches!(parked, Parked::Locks | Parked::Intent) {
            op.block(cx.now.mono);
        }
        if self.ops.reads() >= self.config.parked_reads {
            self.let_go(id);
            let cause = format!("{} reads wait in {}", self.ops.reads(), self.id());
            self.answer_op(cx, &op, Err(KvError::Overloaded(cause)));
            return;
        }
        self.park_asked(id, op.map(Asked::Read));
        match parked {
            Parked::Safe => {
                self.ops.unsafe_reads.insert((at, id));
            }
            Parked::Locks => self.watch(cx),
            Parked::Intent => {
                self.ops.intent_reads.insert(id);
            }
            Parked::Time(until) => self.ops.wait_for_time(until, id),
        }
    }

    /// What does not change by waiting.
    fn read_allowed(&self, cx: &Cx<'_>, read: &Read) -> Result<(), KvError> {
        read.spans.iter().try_for_each(|read| self.check_span(&read.span))?;
        self.check_snapshot(cx, read.at)?;
        match (read.from, &self.leader) {
            (ReadFrom::Leader, None) => self.check_leader(cx),
            (ReadFrom::Leader | ReadFrom::AnyReplica, _) => Ok(()),
        }
    }

    /// Whether a snapshot is neither too old (S4) nor in the future (R2).
    pub(super) fn check_snapshot(&self, cx: &Cx<'_>, at: Timestamp) -> Result<(), KvError> {
        if at < self.state.gc_threshold {
            return Err(KvError::TooOld {
                at,
                threshold: self.state.gc_threshold,
                span: self.state.descriptor.span.clone(),
            });
        }
        let latest = cx.now.tt.latest_timestamp().plus(self.config.future_tolerance);
        if at > latest {
            return Err(KvError::InFuture { at, latest });
        }
        Ok(())
    }

    /// R2.
    fn ready_to_lead(&mut self, cx: &mut Cx<'_>, id: OpId, read: &Read) -> Ready {
        let (at, rules) = (read.at, self.rules);
        let leader = self.leader();
        let over = !leader.lease_valid(cx.now.tt) || at >= leader.lease_end;
        if over && rules.keep(Rule::LeaseEnd) {
            return Ready::Parked(Parked::Safe);
        }
        if rules.keep(Rule::ReadRaises) {
            leader.raise_above(at);
        }
        let reader = read.holder.as_ref().map(|holder| holder.id);
        let locks = &leader.locks;
        let waits = rules.keep(Rule::ReadWaitsForWrites);
        if waits && read.spans.iter().any(|read| !locks.blockers(&read.span, at, reader).is_empty())
        {
            let spans: Vec<Span> = read.spans.iter().map(|read| read.span.clone()).collect();
            let mut effects = mem::take(&mut leader.lock_effects);
            let holder = read.holder.clone();
            let waits = leader.locks.wait_read(id, &spans, at, holder, &mut effects);
            leader.lock_effects = effects;
            match waits {
                Acquired::Waiting { .. } => return Ready::Parked(Parked::Locks),
                Acquired::Granted => {}
                Acquired::Refused(refusal) => return Ready::Never(refusal.into()),
            }
        }
        if read.unchanged_since.is_some() {
            return Ready::Now;
        }
        match self.newest_to_see(cx, read) {
            Some(until) if !self.past(cx, until) && rules.keep(Rule::ReadWait) => {
                Ready::Parked(Parked::Time(until))
            }
            Some(_) | None => Ready::Now,
        }
    }

    /// T5: a timestamp at or above every version at or below the snapshot that is not past yet, in
    /// the spans read; `None` if all are past. The index of recent writes knows them all, unless
    /// the leader is so young that it has to assume the newest of its log.
    fn newest_to_see(&mut self, cx: &Cx<'_>, read: &Read) -> Option<Timestamp> {
        let log = self.applied.max_timestamp;
        if self.past(cx, log.min(read.at)) {
            return None;
        }
        let past = cx.now.tt.earliest_timestamp().prev();
        let recent = &self.leader().recent;
        let mut newest = None;
        for span in &read.spans {
            newest = newest.max(match recent.newest_in(&span.span, past) {
                Answer::None => None,
                Answer::Some(_, at) => Some(at.min(read.at)),
                Answer::Unknown => Some(log.min(read.at)),
            });
        }
        newest
    }

    /// R3.
    fn ready_to_follow(&mut self, cx: &mut Cx<'_>, read: &Read) -> Result<Ready, EngineError> {
        // A child without its data hears of closed time as well, and has nothing to show.
        if self.state.blank || read.at > self.closed {
            return Ok(Ready::Parked(Parked::Safe));
        }
        for span in &read.spans {
            if self.rules.keep(Rule::FollowerIntents)
                && let Some((key, meta)) = intent_in_way(cx, &span.span, read.at)?
            {
                self.push_for_reader(cx, push::query(meta, key));
                return Ok(Ready::Parked(Parked::Intent));
            }
        }
        let until = self.applied.max_timestamp.min(read.at);
        if self.past(cx, until) || !self.rules.keep(Rule::FollowerReadWait) {
            return Ok(Ready::Now);
        }
        Ok(Ready::Parked(Parked::Time(until)))
    }

    /// Reads, if that is short; else the rest is done beside the range's work.
    fn execute(&mut self, cx: &mut Cx<'_>, op: Op<Box<ReadWork>>) -> Result<(), EngineError> {
        let read = &op.work.read;
        if let Some(since) = read.unchanged_since {
            let answer = self.unchanged(cx, read, since)?;
            self.answer_op(cx, &op, answer);
            return Ok(());
        }
        let waited = Waited {
            served_by: self.node,
            waited_nanos: nanos_since(cx, op.arrived),
            blocked_nanos: op.blocked_nanos,
        };
        let scan = if op.work.checksum {
            Ok(Scan::of_checksum(self.state.descriptor.span.clone(), read.at, waited))
        } else {
            Scan::of_rows(read, &self.config, cx.factory, waited)
        };
        let mut scan = match scan {
            Ok(scan) => scan,
            Err(error) => {
                self.answer_op(cx, &op, Err(error));
                return Ok(());
            }
        };
        let progress = scan.go_on(cx.reader, self.config.read_at_once)?;
        match (progress, op.caller) {
            (Progress::Done(result), _) => self.answer_op(cx, &op, *result),
            (Progress::More, Caller::Client(token)) => cx.out.scans.push((token, scan)),
            (Progress::More, Caller::Own(_) | Caller::Nobody) => {
                unreachable!("{} reads for itself", self.id())
            }
        }
        Ok(())
    }
}

impl Machine {
    /// X1a: whether what a transaction read at `since` is the same at the snapshot of this request.
    /// Nothing is written at or below that any more, and nothing in flight lies below it; what lies
    /// above counts as a change too, since the commit would meet it.
    fn unchanged(
        &mut self,
        cx: &Cx<'_>,
        read: &Read,
        since: Timestamp,
    ) -> Result<Result<Reply, KvError>, EngineError> {
        if since < self.state.gc_threshold {
            // The evidence may be gone (S4).
            let threshold = self.state.gc_threshold;
            let span = self.state.descriptor.span.clone();
            return Ok(Err(KvError::TooOld { at: since, threshold, span }));
        }
        for ReadSpan { span, .. } in &read.spans {
            let newer = match self.leader {
                Some(_) => self.newest_above(cx, span, since)?,
                None => mvcc::newest_in_span(cx.reader, span, since)?,
            };
            if let Some((key, at)) = newer {
                let (kind, span) = (ConflictKind::ReadChanged, Span::point(key));
                let conflict = Conflict { kind, span, winner: None, at: Some(at) };
                return Ok(Err(KvError::Conflict(conflict)));
            }
        }
        let spans = vec![SpanRows::default(); read.spans.len()];
        let (served_by, waited_nanos, blocked_nanos) = (self.node, 0, 0);
        Ok(Ok(Reply::Read(ReadReply { spans, served_by, waited_nanos, blocked_nanos })))
    }
}

/// Some intent of the span at or below a snapshot.
fn intent_in_way(
    cx: &Cx<'_>,
    span: &Span,
    at: Timestamp,
) -> Result<Option<(Key, TxnMeta)>, EngineError> {
    let mut rest = span.clone();
    loop {
        let intents = mvcc::intents_in_span(cx.reader, &rest, INTENTS_PER_READ)?;
        let all = intents.len() < INTENTS_PER_READ;
        for (key, intent) in intents {
            if intent.prepare <= at {
                let meta = TxnMeta {
                    id: intent.txn,
                    anchor: intent.anchor,
                    priority: intent.priority,
                    start: intent.start,
                };
                return Ok(Some((key, meta)));
            }
            rest.start = key.next();
        }
        if all || rest.start >= rest.end {
            return Ok(None);
        }
    }
}
