//! Tests of the lock table: golden scripts, a naive twin, and whether everybody ends.

mod intervals;
mod liveness;
mod scripts;
mod twin;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use clock::Timestamp;
use keys::{Key, Span, TxnId};
use kv::{LockWait, TxnMeta};

use super::{
    Acquired, LockEffects, LockLimits, LockRequest, LockTable, Refusal, RequestId,
    claims::{Claim, Lock},
    table::age,
};

/// A transaction of this age; `attempt` tells its retries apart.
fn meta(priority: u64, attempt: u64) -> TxnMeta {
    TxnMeta {
        id: txn(priority, attempt),
        anchor: Key::from("anchor"),
        priority: Timestamp::from_wall(priority),
        start: Timestamp::from_wall(priority + attempt),
    }
}

fn txn(priority: u64, attempt: u64) -> TxnId {
    TxnId((u128::from(priority) << 96) | u128::from(attempt))
}

fn at(t: u64) -> Timestamp {
    Timestamp::from_wall(t)
}

impl LockTable {
    /// Asserts that the indices say the same as the holders and waiters.
    fn assert_consistent(&self) {
        let mut claims = BTreeSet::new();
        for (txn, holder) in &self.holders {
            assert_eq!(*txn, holder.meta.id);
            for lock in &holder.held {
                let new = claims.insert((lock.clone(), Claim::held(age(&holder.meta), lock)));
                assert!(new, "{txn:?} holds {lock:?} twice");
            }
            for key in &holder.settling {
                assert_eq!(self.settling.get(key), Some(txn));
                assert!(holder.pending.is_some());
            }
            for reader in &holder.readers {
                assert!(self.readers[reader].waits_for.contains_key(txn));
            }
        }
        for (id, waiter) in &self.waiting {
            assert!(self.waiting_of.contains(&(waiter.meta.id, *id)));
            assert!(!self.wounded.contains_key(&waiter.meta.id), "a wounded one waits");
            for lock in &waiter.wants {
                claims.insert((lock.clone(), Claim::waiting(age(&waiter.meta), *id, lock)));
            }
        }
        for (id, reader) in &self.readers {
            assert!(!reader.waits_for.is_empty());
            for txn in reader.waits_for.keys() {
                assert!(self.holders[txn].readers.contains(id));
            }
        }
        assert_eq!(self.claims.len(), claims.len());
        self.assert_counted(&claims);
        for (lock, claim) in &claims {
            let mut found = false;
            let whole = Span::new(lock.span().start, lock.span().end);
            self.claims.visit_all(&whole, &mut |claimed, other| {
                found |= claimed == lock && other == claim;
                ControlFlow::Continue(())
            });
            assert!(found, "{lock:?} {claim:?} is not in the index");
        }
        let settling = self.holders.values().map(|holder| holder.settling.len()).sum::<usize>();
        assert_eq!(self.settling.len(), settling);
        let readers = self.readers.values().filter(|reader| reader.reader.is_some()).count();
        assert_eq!(self.waiting_of.len(), self.waiting.len() + readers);
        assert_eq!(self.wounded.len(), self.wounded_order.len());
        assert_eq!(self.pending, self.holders.values().filter(|h| h.pending.is_some()).count());
    }
}

fn ask(table: &mut LockTable, name: u64, keys: Vec<Key>) -> Acquired {
    let (id, txn, shared) = (request(name), meta(name, 0), Vec::new());
    let request = LockRequest { id, txn, shared, exclusive: keys, wait: LockWait::Wait };
    table.acquire(request, &mut LockEffects::default())
}

fn many(of: u64, keys: usize) -> Vec<Key> {
    let key = |n: u64| Key::from_vec([of.to_be_bytes(), n.to_be_bytes()].concat());
    (0..keys as u64).map(key).collect()
}

/// One statement may change more rows than the table holds locks of all others, and keeps nobody
/// out; a second one of the kind does.
#[test]
fn a_large_request_is_taken_whole_where_there_is_room() {
    let mut table = LockTable::new(LockLimits::default());
    let limit = LockLimits::default().locks;
    assert_eq!(ask(&mut table, 1, many(1, limit + 100)), Acquired::Granted);
    assert_eq!(ask(&mut table, 2, many(2, 100)), Acquired::Granted);
    assert_eq!(ask(&mut table, 3, many(3, limit / 2)), Acquired::Granted);
    let full = ask(&mut table, 4, many(4, 1));
    assert!(matches!(full, Acquired::Refused(Refusal::Overloaded(_))), "{full:?}");
    table.release(txn(1, 0), &mut LockEffects::default());
    assert_eq!(ask(&mut table, 4, many(4, 1)), Acquired::Granted);
}

/// Few locks on long keys fill a table as well, and the same holds for them.
#[test]
fn long_keys_fill_a_table() {
    let bytes = LockLimits::default().bytes;
    let mut table = LockTable::new(LockLimits { bytes: bytes / 64, ..LockLimits::default() });
    let long = |of: u8| -> Vec<Key> {
        let key = |n: u8| Key::from_vec([vec![of, n], vec![0; 1 << 14]].concat());
        (0..64).map(key).collect()
    };
    assert_eq!(ask(&mut table, 1, long(1)), Acquired::Granted);
    assert_eq!(ask(&mut table, 2, many(2, 1)), Acquired::Granted);
    assert_eq!(ask(&mut table, 3, long(3)), Acquired::Granted);
    let full = ask(&mut table, 4, many(4, 1));
    assert!(matches!(full, Acquired::Refused(Refusal::Overloaded(_))), "{full:?}");
    table.release(txn(3, 0), &mut LockEffects::default());
    assert_eq!(ask(&mut table, 4, many(4, 1)), Acquired::Granted);
    table.assert_consistent();
}

impl LockTable {
    /// Asserts that what claims count for is what there is, at most half of the table for each.
    fn assert_counted(&self, claims: &BTreeSet<(Lock, Claim)>) {
        let mut of: BTreeMap<TxnId, (usize, usize)> = BTreeMap::new();
        for (lock, claim) in claims {
            let bytes = match lock {
                Lock::Exclusive(key) | Lock::Point(key) => key.len(),
                Lock::Span(span) => span.start.len() + span.end.len(),
            };
            let usage = of.entry(claim.age.txn).or_default();
            *usage = (usage.0 + 1, usage.1 + bytes);
        }
        let (by_txn, counted) = self.claims.usage();
        let kept: BTreeMap<TxnId, (usize, usize)> =
            by_txn.iter().map(|(txn, usage)| (*txn, (usage.locks, usage.bytes))).collect();
        assert_eq!(kept, of);
        let (locks, bytes) = (self.limits.locks / 2, self.limits.bytes / 2);
        assert_eq!(counted.locks, of.values().map(|usage| usage.0.min(locks)).sum::<usize>());
        assert_eq!(counted.bytes, of.values().map(|usage| usage.1.min(bytes)).sum::<usize>());
    }
}

/// A request's name.
fn request(id: u64) -> RequestId {
    RequestId(id)
}
