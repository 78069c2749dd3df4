//! Deadlocks over several ranges.
//!
//! No range sees such a ring whole. But each sees who waits for whom in itself, and tells the record of
//! every transaction it sees waiting, or waited for, which others wait for that one; the answer is what
//! other ranges told, so that it grows along the ring:
//!
//! ```text
//!   range 1: T1 waits for T2      tells T2's record {T1, and who waits for T1}; asks T1's record
//!   range 2: T2 waits for T1      tells T1's record {T2, ...}
//!   range 1 hears from T1's record that T2 waits for T1: they wait for each other
//! ```
//!
//! Then the older of the two has the younger aborted at once, as it would after
//! [`crate::Config::wound_after`] in any case (X5); the record does so only if it knows by itself that
//! the younger one waits (X5b). So nothing depends on what is told here but time: what is old costs a
//! needless abort, what is lost or left out the time of a deadlock.

use std::{collections::BTreeMap, time::Duration};

use clock::Mono;
use keys::TxnId;
use kv::{KvError, Push, PushKind, Reply, Request, TxnMeta};
use storage::EngineError;

use super::{AskToken, Cx, Machine, op::Caller};
use crate::locks::WantPush;

/// Most transactions that are told of as waiting for one.
const MAX_WAITERS: usize = 64;

/// Transactions seen waiting here, or waited for.
#[derive(Debug, Default)]
pub(super) struct Rings {
    by_txn: BTreeMap<TxnId, Seen>,
    /// Questions in flight.
    asks: BTreeMap<AskToken, TxnId>,
}

#[derive(Debug)]
struct Seen {
    meta: TxnMeta,
    /// Who waits for it here.
    here: Vec<TxnId>,
    /// Who waits for it by its record's last answer, at any remove.
    told: Vec<TxnId>,
    due: Mono,
    wait: Duration,
    /// The question in flight, and when it is taken as lost.
    ask: Option<(AskToken, Mono)>,
}

impl Rings {
    pub fn clear(&mut self) {
        *self = Rings::default();
    }

    /// Takes in who waits for whom now.
    pub fn see(&mut self, now: Mono, wait: Duration, wants: &[WantPush]) {
        let mut here: BTreeMap<TxnId, (&TxnMeta, Vec<TxnId>)> = BTreeMap::new();
        for want in wants.iter().filter(|want| !want.waiters.is_empty()) {
            for waiter in &want.waiters {
                here.entry(waiter.id).or_insert_with(|| (waiter, Vec::new()));
            }
            let waiters = want.waiters.iter().map(|waiter| waiter.id);
            let (_, all) = here.entry(want.holder.id).or_insert_with(|| (&want.holder, Vec::new()));
            all.extend(waiters);
        }
        self.by_txn.retain(|txn, _| here.contains_key(txn));
        for (txn, (meta, waiters)) in here {
            let seen = self.by_txn.entry(txn).or_insert_with(|| Seen {
                meta: meta.clone(),
                here: Vec::new(),
                told: Vec::new(),
                due: now,
                wait,
                ask: None,
            });
            seen.here = waiters;
        }
    }

    /// Whether a holder waits, at some remove, for this one that waits for it.
    pub fn tied(&self, holder: TxnId, waiter: TxnId) -> bool {
        self.by_txn.get(&waiter).is_some_and(|seen| seen.told.contains(&holder))
    }

    /// Who waits for a transaction, for all that is known here.
    fn known(&self, txn: &Seen) -> Vec<TxnId> {
        let mut known = txn.here.clone();
        let behind = txn.here.iter().filter_map(|waiter| self.by_txn.get(waiter));
        known.extend(behind.flat_map(|seen| &seen.told));
        known.sort_unstable();
        known.dedup();
        known.retain(|other| *other != txn.meta.id);
        known.truncate(MAX_WAITERS);
        known
    }

    /// Those whose records are to be asked now, at most so many in flight.
    fn due(&mut self, now: Mono, limit: usize) -> Vec<TxnId> {
        let mut due = Vec::new();
        for (txn, seen) in &mut self.by_txn {
            if let Some((ask, lost_at)) = seen.ask
                && lost_at <= now
            {
                self.asks.remove(&ask);
                seen.ask = None;
            }
            if seen.ask.is_none() && seen.due <= now {
                due.push(*txn);
            }
        }
        due.truncate(limit.saturating_sub(self.asks.len()));
        due
    }
}

impl Machine {
    /// Tells the records of those seen who waits for them, and asks who else does.
    pub(super) fn ask_who_waits(&mut self, cx: &mut Cx<'_>) -> Result<(), EngineError> {
        let now = cx.now.mono;
        for txn in self.rings.due(now, self.config.pushes) {
            let token = self.ops.next_ask();
            let lost_at = now.plus(self.config.push_timeout);
            let waiters = self.rings.known(&self.rings.by_txn[&txn]);
            let seen = self.rings.by_txn.get_mut(&txn).expect("it is due");
            seen.ask = Some((token, lost_at));
            seen.due = now.plus(seen.wait);
            seen.wait = (seen.wait * 2).min(self.config.push_max);
            let (meta, anchor) = (seen.meta.clone(), seen.meta.anchor.clone());
            self.rings.asks.insert(token, txn);
            let request = Request::Push(Push { txn: meta, kind: PushKind::Waiters { waiters } });
            if self.state.descriptor.span.contains(&anchor) {
                self.dispatch(cx, Caller::Own(token), request, lost_at)?;
            } else {
                cx.out.asks.push((token, anchor, request));
            }
        }
        Ok(())
    }

    /// The answer of a record. Whether it was one to [`Machine::ask_who_waits`].
    pub(super) fn hear_who_waits(
        &mut self,
        cx: &Cx<'_>,
        ask: AskToken,
        result: &Result<Reply, KvError>,
    ) -> bool {
        let Some(txn) = self.rings.asks.remove(&ask) else { return false };
        let Some(seen) = self.rings.by_txn.get_mut(&txn) else { return true };
        seen.ask = seen.ask.filter(|(token, _)| *token != ask);
        if let Ok(Reply::Waiters(waiters)) = result {
            seen.told = waiters.iter().copied().take(MAX_WAITERS).collect();
            if seen.told.iter().any(|other| self.pushes.asks_about(*other)) {
                self.pushes.scan_at(cx.now.mono);
            }
        }
        true
    }

    /// At the leader of a transaction's anchor: these wait for it, says a range. Answers all that are
    /// known to.
    pub(super) fn told_who_waits(&mut self, cx: &Cx<'_>, txn: &TxnMeta, more: &[TxnId]) -> Reply {
        if !self.leader().heard.contains_key(&txn.id) {
            self.hear(cx, txn);
        }
        let Some(heard) = self.leader().heard.get_mut(&txn.id) else {
            return Reply::Waiters(more.to_vec());
        };
        for waiter in more {
            if heard.waiters.len() < MAX_WAITERS && !heard.waiters.contains(waiter) {
                heard.waiters.push(*waiter);
            }
        }
        Reply::Waiters(heard.waiters.clone())
    }
}
