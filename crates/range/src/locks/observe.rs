//! What there is to know of a table from outside: who holds, who waits for whom, whom to ask about.

use std::collections::BTreeMap;

use keys::{Key, RangeId, TxnId};
use kv::{Conflict, LockInfo, TxnMeta};

use super::{
    LockTable, MAX_REPORTED, RequestId, WantPush,
    table::{Holder, Stage, age},
};

impl LockTable {
    /// Whether the transaction holds locks here (or was granted an empty request).
    #[must_use]
    pub fn holds(&self, txn: TxnId) -> bool {
        self.holders.contains_key(&txn)
    }

    /// Whether the transaction is prepared here.
    #[must_use]
    pub fn is_prepared(&self, txn: TxnId) -> bool {
        self.holders.get(&txn).is_some_and(|holder| holder.stage == Stage::Prepared)
    }

    /// Whether a request or a reader of the transaction waits here.
    #[must_use]
    pub fn waits(&self, txn: TxnId) -> bool {
        !self.requests_of(txn).is_empty()
    }

    /// Why the transaction was wounded here, if it was and that is still remembered.
    #[must_use]
    pub fn wound_of(&self, txn: TxnId) -> Option<&Conflict> {
        self.wounded.get(&txn)
    }

    /// Transactions that hold locks.
    #[must_use]
    pub fn holders_len(&self) -> usize {
        self.holders.len()
    }

    /// The holders, by id.
    pub fn holders(&self) -> impl Iterator<Item = &TxnMeta> {
        self.holders.values().map(|holder| &holder.meta)
    }

    /// Whether a shared lock is held or a participant is prepared: leadership is handed over only
    /// once there is none (P5).
    #[must_use]
    pub fn must_drain(&self) -> bool {
        let shared = |holder: &Holder| holder.held.iter().any(|lock| !lock.is_exclusive());
        self.holders.values().any(|holder| holder.stage == Stage::Prepared || shared(holder))
    }

    /// Requests and readers that wait.
    #[must_use]
    pub fn waiting_len(&self) -> usize {
        self.waiting.len() + self.readers.len()
    }

    /// Whether a request or reader of this name waits.
    #[must_use]
    pub fn is_waiting(&self, request: RequestId) -> bool {
        self.waiting.contains_key(&request) || self.readers.contains_key(&request)
    }

    /// Where a waiting request or reader meets the first one in its way, and who that is. For the
    /// error at its deadline.
    #[must_use]
    pub fn waits_at(&self, request: RequestId) -> Option<(Key, TxnId)> {
        if let Some(reader) = self.readers.get(&request) {
            return reader.waits_for.iter().map(|(txn, key)| (key.clone(), *txn)).next();
        }
        let waiter = self.waiting.get(&request)?;
        self.first_in_way(age(&waiter.meta), request, &waiter.wants)
    }

    /// Every holder that somebody waits for, once, by id: the records to ask now and then (X5, X5b,
    /// X7).
    #[must_use]
    pub fn pushes(&self) -> Vec<WantPush> {
        let mut found: BTreeMap<TxnId, WantPush> = BTreeMap::new();
        for waiter in self.waiting.values() {
            for lock in &waiter.wants {
                let own = waiter.meta.id;
                self.claims.held_conflicts(lock, &mut |key, claim| {
                    if claim.age.txn != own {
                        self.add_push(claim.age.txn, Some(&waiter.meta), key, &mut found);
                    }
                });
            }
        }
        for reader in self.readers.values() {
            for (txn, key) in &reader.waits_for {
                self.add_push(*txn, reader.reader.as_ref(), key, &mut found);
            }
        }
        found.into_values().collect()
    }

    /// Notes that `waiter` waits for `holder`; of several waiters the oldest counts.
    fn add_push(
        &self,
        holder: TxnId,
        waiter: Option<&TxnMeta>,
        key: &Key,
        found: &mut BTreeMap<TxnId, WantPush>,
    ) {
        let meta = &self.holders[&holder].meta;
        let push = found.entry(holder).or_insert_with(|| WantPush {
            holder: meta.clone(),
            wound_for: None,
            key: key.clone(),
            waiters: Vec::new(),
        });
        if let Some(waiter) = waiter
            && push.waiters.len() < MAX_REPORTED
            && push.waiters.last().is_none_or(|last| last.id != waiter.id)
        {
            push.waiters.push(waiter.clone());
        }
        let Some(waiter) = waiter.filter(|waiter| waiter.older_than(meta)) else { return };
        if push.wound_for.as_ref().is_none_or(|other| waiter.older_than(other)) {
            push.wound_for = Some(waiter.clone());
            push.key = key.clone();
        }
    }

    /// Every lock held or waited for: holders by id, then waiters by request.
    #[must_use]
    pub fn list(&self, range: RangeId) -> Vec<LockInfo> {
        let mut infos = Vec::new();
        for holder in self.holders.values() {
            infos.extend(holder.held.iter().map(|lock| LockInfo {
                range,
                span: lock.span(),
                txn: holder.meta.clone(),
                exclusive: lock.is_exclusive(),
                prepared: holder.stage == Stage::Prepared,
                waits_for: Vec::new(),
            }));
        }
        for (id, waiter) in &self.waiting {
            let waits_for = self.in_way(age(&waiter.meta), *id, &waiter.wants);
            infos.extend(waiter.wants.iter().map(|lock| LockInfo {
                range,
                span: lock.span(),
                txn: waiter.meta.clone(),
                exclusive: lock.is_exclusive(),
                prepared: false,
                waits_for: waits_for.clone(),
            }));
        }
        for reader in self.readers.values() {
            let Some(meta) = &reader.reader else { continue };
            infos.extend(reader.spans.iter().map(|span| LockInfo {
                range,
                span: span.clone(),
                txn: meta.clone(),
                exclusive: false,
                prepared: false,
                waits_for: reader.waits_for.keys().take(MAX_REPORTED).copied().collect(),
            }));
        }
        infos
    }
}
