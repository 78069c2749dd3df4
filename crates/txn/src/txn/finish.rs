//! The end of a transaction: commit, rollback, or being dropped.

use std::time::Duration;

use keys::{Key, Span};
use kv::{Validate, Write};
use timer::timeout;
use tokio::task::JoinHandle;

use super::{Phase, Txn, lock::LockState};
use crate::{
    CommitInfo, Isolation, TxnError,
    commit::{Committer, Farewell, Proposal, Traces},
    reads::shortened,
    rules::Rule,
};

/// How long a rollback waits for its locks to be gone, so that the same client's next statement
/// does not meet them. Later they go behind the answer.
const RELEASE_WAIT: Duration = Duration::from_secs(1);

impl Txn {
    pub(super) async fn try_commit(&mut self) -> Result<CommitInfo, TxnError> {
        if let Err(error) = self.check() {
            self.let_go().await;
            return Err(error);
        }
        if self.buffer.is_empty() {
            // X4: it is serializable at its snapshot as it is.
            self.let_go().await;
            let at = self.snapshot.unwrap_or_default();
            return Ok(CommitInfo::nothing_written(at));
        }
        let proposal = self.proposal();
        self.phase = Phase::Committing;
        let heartbeat = self.heartbeat.take();
        let committer = Committer::new(self.coordinator.clone(), proposal, heartbeat);
        let (result, lock_wait) = committer.run().await;
        self.lock_wait += lock_wait;
        result.map(|info| CommitInfo { lock_wait: self.lock_wait, ..info })
    }

    /// Rolls back: nothing of it remains. Does nothing after the end.
    pub async fn rollback(&mut self) {
        if self.phase == Phase::Active {
            self.let_go().await;
        }
        self.phase = Phase::Finished;
        self.heartbeat = None;
    }

    /// Releases locks taken at read time.
    async fn let_go(&mut self) {
        if self.locks.is_empty() {
            return;
        }
        if let Some(work) = self.leave(Farewell::Release) {
            // A timeout is no failure: the work goes on behind the answer.
            let _ = timeout(RELEASE_WAIT, work).await;
        }
        self.locks.clear();
    }

    /// Cleans up behind the answer.
    fn leave(&self, farewell: Farewell) -> Option<JoinHandle<()>> {
        let traces = Traces {
            txn: self.id,
            meta: self.anchor.is_some().then(|| self.meta()),
            keys: self.buffer.iter().map(|(key, _)| key.clone()).collect(),
            spans: self.reads.iter().collect(),
            locked: self.locks.keys(),
        };
        self.coordinator.behind(traces.settle(self.coordinator.clone(), farewell))
    }

    /// What is to be validated and written. Below the serializable level, that is the keys written,
    /// since the snapshot they were first written under, and the keys locked: a lock may have been
    /// lost with its leader, so that nothing changed meanwhile has to be seen at the commit.
    fn proposal(&self) -> Proposal {
        let write = |key: &Key, value: &Option<_>| Write { key: key.clone(), value: value.clone() };
        let validates = self.coordinator.config().rules.keep(Rule::ValidateReads);
        let mut reads: Vec<Validate> = match self.isolation {
            Isolation::Serializable if validates => {
                let since = self.snapshot.expect("writing takes a snapshot");
                self.reads.iter().map(|span| Validate { span, since }).collect()
            }
            Isolation::Serializable | Isolation::RepeatableRead | Isolation::ReadCommitted => {
                self.written_and_locked()
            }
        };
        if !self.relied.is_empty() {
            reads.extend(self.relied.iter().cloned());
            reads.sort_by(|a, b| a.span.start.cmp(&b.span.start));
        }
        Proposal {
            id: self.id,
            anchor: self.anchor.clone(),
            priority: self.priority,
            start: self.start,
            reads,
            writes: self.buffer.iter().map(|(key, entry)| write(key, &entry.value)).collect(),
            locked: self.locks.keys(),
            above: self.snapshot.expect("writing takes a snapshot"),
            not_after: self.not_after,
            deadline: self.current_deadline(),
        }
    }

    fn written_and_locked(&self) -> Vec<Validate> {
        let granted = |lock: Option<LockState>| match lock {
            Some(LockState::Granted { since }) => Some(since),
            Some(LockState::Asked) | None => None,
        };
        let written = self.buffer.iter().map(|(key, entry)| {
            let locked = granted(self.locks.get(key)).unwrap_or(entry.since);
            (key, entry.since.min(locked))
        });
        let only_locked = self.locks.iter().filter(|(key, _)| self.buffer.get(key).is_none());
        let only_locked = only_locked.filter_map(|(key, lock)| Some((key, granted(Some(lock))?)));
        let mut keys: Vec<_> = written.chain(only_locked).collect();
        keys.sort_unstable();
        // The end of a key's span is a byte longer than the key.
        let most = self.coordinator.config().max_key_bytes;
        let span = |key: &Key| shortened(Span::point(key.clone()), most);
        let validate = |(key, since): (&Key, _)| Validate { span: span(key), since };
        keys.into_iter().map(validate).collect()
    }
}

/// A transaction that is dropped unfinished, as when its client disconnects, leaves no lock: what
/// it holds is released behind, with a bound on time and number (else the missing heartbeat does
/// it).
impl Drop for Txn {
    fn drop(&mut self) {
        match self.phase {
            Phase::Active if !self.locks.is_empty() => drop(self.leave(Farewell::Release)),
            // The committer that was dropped with it looks after what was sent.
            Phase::Active | Phase::Committing | Phase::Finished => {}
        }
    }
}
