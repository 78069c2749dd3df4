//! Tests of the lock table: golden scripts, a naive twin, and whether everybody ends.

mod intervals;
mod liveness;
mod scripts;
mod twin;

use std::{collections::BTreeSet, ops::ControlFlow};

use clock::Timestamp;
use keys::{Key, Span, TxnId};
use kv::{LockWait, TxnMeta};

use super::{
    Acquired, LockEffects, LockLimits, LockRequest, LockTable, Refusal, RequestId, claims::Claim,
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
        for (lock, claim) in &claims {
            let mut found = false;
            let whole = Span::new(lock.span().start, lock.span().end);
            self.claims.visit_all(&whole, &mut |claimed, other| {
                found |= claimed == lock && other == claim;
                ControlFlow::Continue(())
            });
            assert!(found, "{lock:?} {claim:?} is not in the index");
        }
        let readers = self.readers.values().filter(|reader| reader.reader.is_some()).count();
        assert_eq!(self.waiting_of.len(), self.waiting.len() + readers);
        assert_eq!(self.wounded.len(), self.wounded_order.len());
        assert_eq!(self.pending, self.holders.values().filter(|h| h.pending.is_some()).count());
    }
}

/// One statement may change more rows than the table holds locks of all others.
#[test]
fn a_large_request_is_taken_whole_where_there_is_room() {
    let mut table = LockTable::new(LockLimits::default());
    let limit = LockLimits::default().locks;
    let ask = |table: &mut LockTable, name: u64, keys: Vec<Key>| {
        let (id, txn, shared) = (request(name), meta(name, 0), Vec::new());
        let request = LockRequest { id, txn, shared, exclusive: keys, wait: LockWait::Wait };
        table.acquire(request, &mut LockEffects::default())
    };
    let many = (0..limit as u64 + 100).map(|key| Key::from(&key.to_be_bytes()));
    assert_eq!(ask(&mut table, 1, many.collect()), Acquired::Granted);
    let full = ask(&mut table, 2, vec![Key::from("another")]);
    assert!(matches!(full, Acquired::Refused(Refusal::Overloaded(_))), "{full:?}");
    table.release(txn(1, 0), &mut LockEffects::default());
    assert_eq!(ask(&mut table, 2, vec![Key::from("another")]), Acquired::Granted);
}

/// A request's name.
fn request(id: u64) -> RequestId {
    RequestId(id)
}
