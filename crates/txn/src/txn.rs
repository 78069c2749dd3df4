//! A transaction at its gateway: snapshot, reads, buffered writes, locks.
//!
//! ```text
//!   begin            nothing is sent
//!   first statement  t_r = TT.now().latest: the snapshot                       (section 5)
//!   read             ranges answer as of t_r; own writes are merged in; spans are remembered
//!   put, delete      into the buffer only
//!   lock             FOR UPDATE: at the leaders, at once (X6); heartbeats begin  (X7)
//!   commit           see `commit`
//! ```
//!
//! 1. The snapshot never moves, except between statements of READ COMMITTED.
//! 2. What was read and may still be relied on is in the read set, at least as wide as it was read
//!    (serializable only; asserted by the tests' model).
//! 3. The anchor is named with the first lock or prepare and never changed (X7).
//! 4. Whatever ends a transaction, no lock of it stays: commit and rollback release, and so does
//!    dropping it, as when a client disconnects.
//!
//! HAZARD: a fresh snapshot of `TT.now().latest` misses a commit that was acknowledged elsewhere
//! only if some clock lies. The session's own last commit is never missed: the snapshot is at or
//! above it.

mod finish;
mod lock;
mod read;

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use clock::Timestamp;
use keys::{Key, Span, TxnId};
use kv::{Conflict, ConflictKind, TxnMeta, Validate};
use timer::Instant;
use trace::{Kind, Span as TraceSpan};

use crate::{
    Access, CommitInfo, Coordinator, Isolation, ReadStats, Scan, ScanRows, TxnError, TxnOptions,
    WriteLocks,
    buffer::{Room, WriteBuffer},
    heartbeat::{Heartbeat, may_wait},
    reads::ReadSet,
    router::Budget,
    rules::Rule,
};
use lock::Locks;

/// A transaction at its gateway. See the module's head.
#[derive(Debug)]
pub struct Txn {
    coordinator: Arc<Coordinator>,
    id: TxnId,
    /// Start of this attempt.
    start: Timestamp,
    /// Start of the first attempt (X5).
    priority: Timestamp,
    isolation: Isolation,
    access: Access,
    as_of: Option<Timestamp>,
    /// No snapshot is taken below this: the session's last commit, versions that locks met.
    floor: Timestamp,
    write_locks: WriteLocks,
    /// Keys to lock before the first snapshot.
    pessimistic: Vec<Key>,
    snapshot: Option<Timestamp>,
    buffer: WriteBuffer,
    reads: ReadSet,
    /// What earlier transactions read, each as of its own time: validated beside the read set.
    relied: Vec<Validate>,
    locks: Locks,
    anchor: Option<Key>,
    heartbeat: Option<Heartbeat>,
    /// The commit timestamp lies below this.
    not_after: Timestamp,
    deadline: Option<Instant>,
    stats: ReadStats,
    /// How long commits waited for locks: its own, those of attempts before it, and what it locked in
    /// their stead.
    lock_wait: Duration,
    phase: Phase,
}

/// How far a transaction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Reads and writes.
    Active,
    /// Prepares or the commit were sent: only the record knows the outcome.
    Committing,
    /// Over.
    Finished,
}

impl Txn {
    pub(crate) fn new(
        coordinator: Arc<Coordinator>,
        id: TxnId,
        start: Timestamp,
        options: TxnOptions,
    ) -> Txn {
        let TxnOptions { isolation, access, as_of, priority, write_locks, pessimistic, after } =
            options;
        let access = if as_of.is_some() { Access::ReadOnly } else { access };
        let pessimistic = if access == Access::ReadWrite { pessimistic } else { Vec::new() };
        Txn {
            coordinator,
            id,
            start,
            priority: priority.unwrap_or(start),
            isolation,
            access,
            as_of,
            floor: after,
            write_locks,
            pessimistic,
            snapshot: None,
            buffer: WriteBuffer::default(),
            reads: ReadSet::default(),
            relied: Vec::new(),
            locks: Locks::default(),
            anchor: None,
            heartbeat: None,
            not_after: Timestamp::MAX,
            deadline: None,
            stats: ReadStats::default(),
            lock_wait: Duration::ZERO,
            phase: Phase::Active,
        }
    }

    /// This attempt's id.
    #[must_use]
    pub fn id(&self) -> TxnId {
        self.id
    }

    /// The isolation level.
    #[must_use]
    pub fn isolation(&self) -> Isolation {
        self.isolation
    }

    /// Changes the isolation level, as `SET TRANSACTION` may before the first statement.
    ///
    /// # Panics
    /// If a snapshot was taken.
    pub fn set_isolation(&mut self, isolation: Isolation) {
        assert!(self.snapshot.is_none(), "{:?} has read at {:?}", self.id, self.snapshot);
        self.isolation = isolation;
    }

    /// Whether it may write.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access
    }

    /// Changes whether it may write, as `SET TRANSACTION` may. A transaction of the past stays
    /// read-only.
    ///
    /// # Panics
    /// If it has written or locked something.
    pub fn set_access(&mut self, access: Access) {
        assert!(self.buffer.is_empty() && self.locks.is_empty(), "{:?} has written", self.id);
        if self.as_of.is_none() {
            self.access = access;
        }
    }

    /// Whether the rows that a statement is going to write are to be locked when they are read.
    #[must_use]
    pub fn locks_at_read(&self) -> bool {
        let serializable = self.isolation == Isolation::Serializable;
        serializable && self.write_locks == WriteLocks::AtRead && self.as_of.is_none()
    }

    /// Start of the first attempt: lower is older and wins (X5).
    #[must_use]
    pub fn priority(&self) -> Timestamp {
        self.priority
    }

    /// The snapshot, once one was taken.
    #[must_use]
    pub fn read_timestamp(&self) -> Option<Timestamp> {
        self.snapshot
    }

    /// Whether something is buffered.
    #[must_use]
    pub fn has_writes(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Whether it holds, or asked for, locks.
    #[must_use]
    pub fn has_locks(&self) -> bool {
        !self.locks.is_empty()
    }

    /// Whether it committed or was rolled back.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.phase == Phase::Finished
    }

    /// What its reads cost so far.
    #[must_use]
    pub fn read_stats(&self) -> ReadStats {
        self.stats
    }

    /// When the statement that runs now has to be done. `None`: each call may take the configured
    /// statement timeout.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// How long commits waited for locks: those of the attempts before this one, and its own.
    pub(crate) fn lock_wait(&self) -> Duration {
        self.lock_wait
    }

    /// The attempts before this one waited so long.
    pub(crate) fn set_lock_wait(&mut self, lock_wait: Duration) {
        self.lock_wait = lock_wait;
    }

    /// The commit timestamp must lie below this (what the schema lease allows). The least of all
    /// calls counts.
    pub fn set_not_after(&mut self, bound: Timestamp) {
        self.not_after = self.not_after.min(bound);
    }

    /// Takes for granted what an earlier transaction read of this span as of `since`: the commit, if
    /// something is written, fails with a conflict if the span was written above that (X1). A write
    /// that rests on what its gateway knows already so takes one message, without a read before it.
    ///
    /// # Panics
    /// If a snapshot was taken: it lies at or above all that is relied on.
    pub fn rely_on(&mut self, span: Span, since: Timestamp) {
        assert!(self.snapshot.is_none(), "{:?} has read at {:?}", self.id, self.snapshot);
        self.floor = self.floor.max(since);
        self.relied.push(Validate { span, since });
    }

    /// Begins a statement and answers its snapshot: the first one takes it, in READ COMMITTED each
    /// takes a fresh one. Implied by the first read or write.
    ///
    /// # Errors
    /// The pessimistic locks of a retry could not be had; a snapshot in the future.
    pub async fn begin_statement(&mut self) -> Result<Timestamp, TxnError> {
        self.check()?;
        let moves = self.isolation == Isolation::ReadCommitted
            || !self.coordinator.config().rules.keep(Rule::OneSnapshot);
        let renew = moves && self.as_of.is_none();
        match self.snapshot {
            Some(snapshot) if !renew => Ok(snapshot),
            Some(_) | None => {
                if !self.pessimistic.is_empty() {
                    self.lock_pessimistically().await?;
                }
                self.take_snapshot()
            }
        }
    }

    /// Reads spans at the snapshot, own writes merged in. One result per scan, in that order.
    /// Scans without a limit that run the same program share a request per range; the partial
    /// aggregates of such a request come with one of them.
    ///
    /// # Errors
    /// See [`TxnError`].
    ///
    /// # Panics
    /// If a program would run over a span that own writes overlap.
    pub async fn read(&mut self, scans: Vec<Scan>) -> Result<Vec<ScanRows>, TxnError> {
        let snapshot = self.ready().await?;
        for scan in scans.iter().filter(|scan| scan.program.is_some()) {
            assert!(!self.overlaps(&scan.span), "own writes lie in {}", scan.span);
        }
        let config = self.coordinator.config();
        let budget = Budget::new(config.max_read_rows, config.max_read_bytes);
        let reading = self.read_scans(snapshot, &scans, &budget);
        let results = may_wait(self.heartbeat.as_ref(), reading).await;
        self.count(&budget);
        // An answer that failed was half an answer all the same.
        let unread = vec![ScanRows::default(); scans.len()];
        let read = results.as_ref().unwrap_or(&unread);
        for (scan, rows) in scans.iter().zip(read) {
            self.remember(scan, rows.resume.as_ref());
        }
        results
    }

    /// Reads single keys, own writes included.
    ///
    /// # Errors
    /// See [`TxnError`].
    pub async fn get(&mut self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, TxnError> {
        let scans = keys.iter().cloned().map(Scan::point).collect();
        let rows = self.read(scans).await?;
        Ok(rows.into_iter().map(|mut found| found.rows.pop().map(|(_, value)| value)).collect())
    }

    /// One page of a scan: at most `max_rows` rows. `resume` is set while there may be more: the
    /// next page is the scan of that span. The scan's own limit is the caller's to count down.
    ///
    /// # Errors
    /// See [`TxnError`].
    ///
    /// # Panics
    /// As [`Txn::read`]; if `max_rows` is 0.
    pub async fn scan_page(&mut self, scan: &Scan, max_rows: u64) -> Result<ScanRows, TxnError> {
        assert!(max_rows > 0, "a page holds at least one row");
        let limit = scan.limit.map_or(max_rows, |limit| limit.min(max_rows));
        let page = Scan { limit: Some(limit), ..scan.clone() };
        let mut rows = self.read(vec![page]).await?;
        Ok(rows.pop().expect("one result per scan"))
    }

    /// Whether own writes lie in the span: then no program may run over it.
    #[must_use]
    pub fn overlaps(&self, span: &Span) -> bool {
        self.buffer.overlaps(span)
    }

    /// Buffers a write.
    ///
    /// # Errors
    /// [`TxnError::ReadOnly`], [`TxnError::TooLarge`], [`TxnError::Oversized`].
    pub fn put(&mut self, key: Key, value: Bytes) -> Result<(), TxnError> {
        self.write(key, Some(value))
    }

    /// Buffers a deletion.
    ///
    /// # Errors
    /// [`TxnError::ReadOnly`], [`TxnError::TooLarge`], [`TxnError::Oversized`].
    pub fn delete(&mut self, key: Key) -> Result<(), TxnError> {
        self.write(key, None)
    }

    /// Sets a savepoint. A name may be used again: the younger one hides the older one.
    pub fn savepoint(&mut self, name: &str) {
        self.buffer.savepoint(name);
    }

    /// Takes back what was written since the savepoint, which stays. Locks and what was read stay
    /// too.
    ///
    /// # Errors
    /// [`TxnError::NoSavepoint`].
    pub fn rollback_to(&mut self, name: &str) -> Result<(), TxnError> {
        self.buffer.rollback_to(name)
    }

    /// Forgets the savepoint and those set after it. The writes stay.
    ///
    /// # Errors
    /// [`TxnError::NoSavepoint`].
    pub fn release(&mut self, name: &str) -> Result<(), TxnError> {
        self.buffer.release(name)
    }

    /// How many savepoints are set.
    #[must_use]
    pub fn savepoints(&self) -> usize {
        self.buffer.savepoints()
    }

    fn write(&mut self, key: Key, value: Option<Bytes>) -> Result<(), TxnError> {
        self.check()?;
        if self.access == Access::ReadOnly {
            return Err(TxnError::ReadOnly);
        }
        let since = match self.snapshot {
            Some(snapshot) => snapshot,
            None => self.take_snapshot()?,
        };
        let config = self.coordinator.config();
        config.check_key(&key)?;
        config.check_value(value.as_ref().map_or(0, Bytes::len))?;
        let room = Room { taken: self.locks.bytes(), limit: config.max_txn_bytes };
        self.buffer.write(key, value, since, room)
    }

    /// The snapshot, taken if need be.
    async fn ready(&mut self) -> Result<Timestamp, TxnError> {
        self.check()?;
        match self.snapshot {
            Some(snapshot) => Ok(snapshot),
            None => self.begin_statement().await,
        }
    }

    /// Refuses what comes after the end, after a poison (X7), or too late to be decided (X7a).
    fn check(&self) -> Result<(), TxnError> {
        assert!(self.phase == Phase::Active, "{:?} is {:?}", self.id, self.phase);
        let anchor = || self.anchor.clone().unwrap_or_default();
        if self.heartbeat.as_ref().is_some_and(Heartbeat::poisoned) {
            return Err(TxnError::retry(ConflictKind::Poisoned, anchor(), None));
        }
        let until = self.start.plus(self.coordinator.config().max_age);
        let holds = self.access == Access::ReadWrite;
        if holds && self.coordinator.clock().now().after(until) {
            return Err(TxnError::retry(ConflictKind::Expired, anchor(), None));
        }
        Ok(())
    }

    /// Reads the clock for a snapshot, at or above the one before: an interval that becomes narrower
    /// may end before one read earlier, and a statement sees what the one before it saw.
    fn take_snapshot(&mut self) -> Result<Timestamp, TxnError> {
        let tt = self.coordinator.clock().now();
        // T6: a snapshot of a clock in doubt might miss what was acknowledged long ago.
        if !tt.is_bounded() {
            let node = self.coordinator.router().sender().local_node();
            let doubt = self.coordinator.clock().doubt();
            let cause = doubt.map_or_else(|| "its clock jumped".to_owned(), |why| why.to_string());
            return Err(TxnError::NoAnswer { node, cause });
        }
        let latest = tt.latest_timestamp();
        let before = self.snapshot;
        let least = before.unwrap_or_default().max(self.floor);
        let snapshot = match self.as_of {
            Some(at) if at > latest && before.is_none() => {
                return Err(TxnError::InFuture { at, latest });
            }
            Some(at) => at,
            None => latest.max(least).max(self.coordinator.last_commit()),
        };
        self.snapshot = Some(snapshot);
        self.locks.forget_values();
        assert!(before.is_none_or(|before| before <= snapshot), "{before:?} > {snapshot:?}");
        self.pessimistic.clear();
        Ok(snapshot)
    }

    fn current_deadline(&self) -> Instant {
        let timeout = self.coordinator.config().statement_timeout;
        self.deadline.unwrap_or_else(|| Instant::now() + timeout)
    }

    /// Who the requests of this transaction act for.
    fn meta(&self) -> TxnMeta {
        let anchor = self.anchor.clone().expect("named with the first lock or prepare");
        TxnMeta { id: self.id, anchor, priority: self.priority, start: self.start }
    }

    /// What a retry after this conflict locks first (X6): the keys written, and the key the
    /// conflict was about.
    pub(crate) fn contended_keys(&self, conflict: &Conflict, limit: usize) -> Vec<Key> {
        if self.access == Access::ReadOnly {
            return Vec::new();
        }
        let mut keys: Vec<Key> = Vec::new();
        if conflict.span.is_point() {
            keys.push(conflict.span.start.clone());
        }
        keys.extend(self.buffer.iter().map(|(key, _)| key.clone()));
        keys.truncate(limit);
        keys
    }

    /// Commits. The outcome is known when this returns, unless it says [`TxnError::Unknown`]. It
    /// has its own deadline: dropping the future half-way leaves the outcome unknown to the client.
    ///
    /// # Errors
    /// See [`TxnError`]. The transaction is over, whatever the answer.
    pub async fn commit(&mut self) -> Result<CommitInfo, TxnError> {
        let mut span = TraceSpan::none();
        if !self.buffer.is_empty() {
            span = trace::span(Kind::Commit, || "commit".to_owned());
        }
        let result = trace::within(&span, pin!(self.try_commit())).await;
        match &result {
            Ok(info) => {
                span.note("participants", || info.participants);
                span.note("s", || info.at);
            }
            Err(error) => span.note("error", || error.reason()),
        }
        self.phase = Phase::Finished;
        self.heartbeat = None;
        result
    }
}

#[cfg(test)]
mod tests;
