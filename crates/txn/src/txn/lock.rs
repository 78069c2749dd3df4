//! Locks at read time (X6): `SELECT ... FOR UPDATE`, and what a retry locks before it reads.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use clock::Timestamp;
use futures::future::join_all;
use keys::Key;
use kv::{
    ConflictKind, Descriptor, KvError, Lock, LockReply, LockValues, LockWait, ReadFrom, ReadSpan,
    Reply, Request,
};
use timer::Instant;

use super::Txn;
use crate::{
    Access, Isolation, TxnError,
    buffer::ENTRY_BYTES,
    heartbeat::{Heartbeat, may_wait},
    router::{Budget, Partition, ReadPlan},
    rules::Rule,
};

/// Keys of one request, in bytes: far below what a message holds, and the answer names at most the
/// same keys. More become several requests.
const REQUEST_BYTES: usize = 4 << 20;

/// Bytes of values that come with locks and are kept until they are read. Beyond, they are read again.
const VALUE_BYTES: usize = 4 << 20;

/// What is known of a lock asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LockState {
    /// No answer came, or a refusal: it may be held, and is released at the end.
    Asked,
    /// Granted, and no version above `since` existed then.
    Granted {
        /// The snapshot it was asked with, or the newest version if that is above it.
        since: Timestamp,
    },
}

/// The locks asked for. They count towards a transaction's bytes as writes do.
#[derive(Debug, Default)]
pub(super) struct Locks {
    states: BTreeMap<Key, LockState>,
    /// The sum of [`cost`] over all keys.
    bytes: u64,
    /// Values that came with locks, as of the snapshot, up to [`VALUE_BYTES`]; `None`: there is no row.
    /// Nobody else changes them while the lock is held; if it is lost, validation finds what changed.
    values: BTreeMap<Key, Option<Bytes>>,
    value_bytes: usize,
}

fn cost(key: &Key) -> u64 {
    key.len() as u64 + ENTRY_BYTES
}

impl Locks {
    /// Notes what is known of a lock.
    fn set(&mut self, key: Key, state: LockState) {
        let cost = cost(&key);
        if self.states.insert(key, state).is_none() {
            self.bytes += cost;
        }
    }

    /// What is known of a lock; `None`: it was never asked for.
    pub fn get(&self, key: &Key) -> Option<LockState> {
        self.states.get(key).copied()
    }

    /// The value that came with a lock, if it is still that of the snapshot; `Some(None)`: no row.
    pub fn value(&self, key: &Key) -> Option<&Option<Bytes>> {
        self.values.get(key)
    }

    /// The snapshot moved: what was read with locks is not known to be as of the new one.
    pub fn forget_values(&mut self) {
        self.values.clear();
        self.value_bytes = 0;
    }

    fn learn_value(&mut self, key: Key, value: Option<Bytes>) {
        let bytes = key.len() + value.as_ref().map_or(0, Bytes::len);
        if self.value_bytes + bytes <= VALUE_BYTES {
            self.value_bytes += bytes;
            self.values.insert(key, value);
        }
    }

    /// What they count towards the limit.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// All of them in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, LockState)> {
        self.states.iter().map(|(key, state)| (key, *state))
    }

    /// The keys, in order.
    pub fn keys(&self) -> Vec<Key> {
        self.states.keys().cloned().collect()
    }

    /// All were let go.
    pub fn clear(&mut self) {
        *self = Locks::default();
    }
}

/// How locks are asked for.
#[derive(Clone, Copy, Debug)]
struct Ask {
    /// Versions above this are reported as moved.
    since: Timestamp,
    wait: LockWait,
    values: LockValues,
    deadline: Instant,
    /// How often ranges moved already.
    moves: u32,
}

/// Keys locked, and their rows.
type LockedRows = Vec<(Key, Option<Bytes>)>;

/// What came of it.
#[derive(Debug, Default)]
struct Locked {
    /// Keys that changed after the snapshot asked with, and when.
    moved: Vec<(Key, Timestamp)>,
    /// Values that came with the locks, and their snapshot.
    values: Vec<(Timestamp, LockedRows)>,
    /// How long that waited, in each round at the range where it was longest.
    waited_nanos: u64,
}

impl Txn {
    /// Locks keys exclusively at their leaders. In READ COMMITTED it answers the keys that changed
    /// after the statement's snapshot, with the time of the change: begin a statement and read them
    /// again. At the other levels such a change is a conflict.
    ///
    /// # Errors
    /// [`TxnError::Retry`], [`TxnError::LockBusy`] with NOWAIT, [`TxnError::Blocked`] at the
    /// deadline, [`TxnError::ReadOnly`], [`TxnError::TooLarge`], [`TxnError::Oversized`],
    /// [`TxnError::Unavailable`].
    pub async fn lock(
        &mut self,
        keys: Vec<Key>,
        wait: LockWait,
    ) -> Result<Vec<(Key, Timestamp)>, TxnError> {
        let since = self.ready().await?;
        if self.access == Access::ReadOnly {
            return Err(TxnError::ReadOnly);
        }
        let mut locked = Locked::default();
        self.lock_since(keys, wait, LockValues::Unwanted, since, &mut locked).await?;
        let moved = locked.moved;
        match moved.first() {
            Some((key, at)) if self.isolation != Isolation::ReadCommitted => {
                Err(TxnError::retry(ConflictKind::ReadChanged, key.clone(), Some(*at)))
            }
            Some(_) | None => Ok(moved),
        }
    }

    /// Locks keys that are about to be written, before they are read, and reads them with it (X6): nobody
    /// changes them between here and the commit. If some changed since the snapshot, that moves forward
    /// to where they are as they are now, unless something else that was read changed too (X1a).
    ///
    /// # Errors
    /// As [`Txn::lock`].
    pub async fn lock_to_write(&mut self, keys: Vec<Key>, wait: LockWait) -> Result<(), TxnError> {
        let since = self.ready().await?;
        if self.access == Access::ReadOnly {
            return Err(TxnError::ReadOnly);
        }
        let mut locked = Locked::default();
        self.lock_since(keys, wait, LockValues::Wanted, since, &mut locked).await?;
        self.lock_wait += Duration::from_nanos(locked.waited_nanos);
        if let Some(newest) = locked.moved.iter().map(|(_, at)| *at).max() {
            self.refresh(newest).await?;
        }
        for (as_of, values) in locked.values {
            if Some(as_of) == self.snapshot {
                values.into_iter().for_each(|(key, value)| self.locks.learn_value(key, value));
            }
        }
        Ok(())
    }

    /// X1a: moves the snapshot forward if all that was read at it is unchanged at the new one. Then what
    /// was answered stands as if it had been read there. No further than it must: what came with the
    /// locks that made it move is of that snapshot.
    async fn refresh(&mut self, to: Timestamp) -> Result<(), TxnError> {
        let since = self.snapshot.expect("locking takes a snapshot");
        assert!(to > since, "{:?} moves from {since} to {to}", self.id);
        let config = self.coordinator.config();
        let spans = self.reads.iter().map(|span| ReadSpan { span, reverse: false });
        let spans: Vec<ReadSpan> = spans.collect();
        if !spans.is_empty() && config.rules.keep(Rule::RefreshValidates) {
            let budget = Budget::new(config.max_read_rows, config.max_read_bytes);
            let plan = ReadPlan {
                at: to,
                from: ReadFrom::Leader,
                holder: Some(self.meta()),
                program: None,
                unchanged_since: Some(since),
                deadline: self.current_deadline(),
                budget: &budget,
            };
            let asked = self.coordinator.router().read_all(&plan, &spans);
            may_wait(self.heartbeat.as_ref(), asked).await?;
        }
        self.snapshot = Some(to);
        self.locks.forget_values();
        Ok(())
    }

    /// Locks what the attempt before this one wrote. The snapshot is taken afterwards, so nothing
    /// that was locked can have changed since; it lies above all that was written before.
    pub(super) async fn lock_pessimistically(&mut self) -> Result<(), TxnError> {
        let keys = std::mem::take(&mut self.pessimistic);
        let since = self.coordinator.clock().now().latest_timestamp();
        let mut locked = Locked::default();
        let unwanted = LockValues::Unwanted;
        let result = self.lock_since(keys, LockWait::Wait, unwanted, since, &mut locked).await;
        self.lock_wait += Duration::from_nanos(locked.waited_nanos);
        result
    }

    async fn lock_since(
        &mut self,
        mut keys: Vec<Key>,
        wait: LockWait,
        values: LockValues,
        since: Timestamp,
        locked: &mut Locked,
    ) -> Result<(), TxnError> {
        keys.sort_unstable();
        keys.dedup();
        keys.retain(|key| !matches!(self.locks.get(key), Some(LockState::Granted { .. })));
        if keys.is_empty() {
            return Ok(());
        }
        keys.iter().try_for_each(|key| self.coordinator.config().check_key(key))?;
        self.check_room(&keys)?;
        let deadline = self.current_deadline();
        self.name_anchor(&keys, deadline).await?;
        self.start_heartbeat();
        for key in &keys {
            self.locks.set(key.clone(), LockState::Asked);
        }
        for moves in 0..=self.coordinator.router().config().max_moves {
            let ask = Ask { since, wait, values, deadline, moves };
            keys = self.lock_round(keys, &ask, locked).await?;
            if keys.is_empty() {
                return Ok(());
            }
        }
        let range = self.coordinator.router().range_of(&keys[0], deadline).await?.id;
        let missing = format!("it does not own {}, and who does was not found", keys[0]);
        Err(TxnError::Unavailable { range, missing })
    }

    /// Whether so many further locks are within a transaction's limits.
    fn check_room(&self, keys: &[Key]) -> Result<(), TxnError> {
        let config = self.coordinator.config();
        let mut size = self.locks.states.len() as u64;
        let mut bytes = self.locks.bytes() + self.buffer.bytes();
        for key in keys.iter().filter(|key| self.locks.get(key).is_none()) {
            size += 1;
            bytes += cost(key);
        }
        let limit = config.max_locked_keys as u64;
        if size > limit {
            return Err(TxnError::TooLarge { what: "keys locked", size, limit });
        }
        if bytes > config.max_txn_bytes {
            let (what, limit) = ("bytes written and locked", config.max_txn_bytes);
            return Err(TxnError::TooLarge { what, size: bytes, limit });
        }
        Ok(())
    }

    /// Asks every range for the locks of its keys, all at once. Answers the keys whose ranges
    /// turned out not to own them.
    async fn lock_round(
        &mut self,
        keys: Vec<Key>,
        ask: &Ask,
        locked: &mut Locked,
    ) -> Result<Vec<Key>, TxnError> {
        let router = self.coordinator.router().clone();
        let Ask { since, wait, values, deadline, moves } = *ask;
        let mut parts: Partition<Vec<Key>> = Partition::new();
        for key in keys {
            let (_, group) = parts.at(&router, &key, deadline).await?;
            group.push(key);
        }
        let groups = requests(parts.into_groups());
        let asked = groups.iter().map(|(range, keys)| {
            let (txn, keys) = (self.meta(), keys.clone());
            let request = Request::Lock(Lock { txn, keys, since, wait, values });
            let router = &router;
            async move { router.sent_to_leader(range, &request, deadline).await }
        });
        let answers = may_wait(self.heartbeat.as_ref(), join_all(asked)).await;
        let (mut left, mut failed) = (Vec::new(), None);
        let before = locked.waited_nanos;
        for ((range, group), sent) in groups.into_iter().zip(answers) {
            let mut waited = sent.blocked_nanos;
            match sent.result {
                Ok(Reply::Locked(reply)) if !is_answer(&reply, &group, since) => {
                    // The locks may be held: they stay noted as asked for, and are let go with it.
                    let what = format!("{range} answered a lock with other keys: {reply:?}");
                    failed = Some(TxnError::Invalid(what));
                }
                Ok(Reply::Locked(reply)) => {
                    waited += reply.lock_wait_nanos;
                    self.granted(&group, since, &reply);
                    locked.values.push((reply.as_of(since), reply.values));
                    locked.moved.extend(reply.moved);
                }
                Ok(other) => {
                    let what = format!("{range} answered a lock with {other:?}");
                    failed = Some(TxnError::Invalid(what));
                }
                Err(KvError::WrongRange { .. }) => {
                    router.follow(&range, moves, deadline).await;
                    left.extend(group);
                }
                Err(error) => failed = failed.or(Some(error.into())),
            }
            locked.waited_nanos = locked.waited_nanos.max(before + waited);
        }
        failed.map_or(Ok(left), Err)
    }

    fn granted(&mut self, keys: &[Key], since: Timestamp, reply: &LockReply) {
        for key in keys {
            self.locks.set(key.clone(), LockState::Granted { since });
        }
        for (key, at) in &reply.moved {
            self.locks.set(key.clone(), LockState::Granted { since: *at });
            self.floor = self.floor.max(*at);
        }
    }

    /// Names the anchor, if it has no name yet: the key whose leader is nearest.
    async fn name_anchor(&mut self, keys: &[Key], deadline: Instant) -> Result<(), TxnError> {
        if self.anchor.is_some() {
            return Ok(());
        }
        let router = self.coordinator.router();
        let mut parts: Partition<Option<Key>> = Partition::new();
        for key in keys {
            let (_, first) = parts.at(router, key, deadline).await?;
            first.get_or_insert_with(|| key.clone());
        }
        let groups = parts.into_groups();
        let nearest = groups.into_iter().min_by_key(|(range, _)| router.distance(range));
        let (_, key) = nearest.expect("there is a key to lock");
        self.anchor = Some(key.expect("every group has a key"));
        Ok(())
    }

    pub(super) fn start_heartbeat(&mut self) {
        if self.heartbeat.is_none() {
            let (router, txn) = (self.coordinator.router().clone(), self.meta());
            let interval = self.coordinator.config().heartbeat_interval;
            self.heartbeat = Some(Heartbeat::start(router, txn, interval));
        }
    }
}

/// Whether a reply is one to this request: what moved was asked for, and moved since.
fn is_answer(reply: &LockReply, asked: &[Key], since: Timestamp) -> bool {
    if reply.moved.is_empty() && reply.values.is_empty() {
        return true;
    }
    let asked: BTreeSet<&Key> = asked.iter().collect();
    reply.moved.iter().all(|(key, at)| *at > since && asked.contains(key))
        && reply.values.iter().all(|(key, _)| asked.contains(key))
}

/// Divides the keys of each range among requests of at most [`REQUEST_BYTES`].
fn requests(groups: Vec<(Arc<Descriptor>, Vec<Key>)>) -> Vec<(Arc<Descriptor>, Vec<Key>)> {
    let mut requests: Vec<(Arc<Descriptor>, Vec<Key>)> = Vec::with_capacity(groups.len());
    for (range, keys) in groups {
        let (mut page, mut bytes) = (Vec::new(), 0);
        for key in keys {
            if bytes + key.len() > REQUEST_BYTES && !page.is_empty() {
                requests.push((range.clone(), std::mem::take(&mut page)));
                bytes = 0;
            }
            bytes += key.len();
            page.push(key);
        }
        requests.push((range, page));
    }
    requests
}
