//! Rows locked before they are used: FOR UPDATE, and what is going to be written.
//!
//! In a block of several statements at the serializable level, rows whose keys an UPDATE, a DELETE, an upsert
//! or a FOR UPDATE names are locked in the request that reads them (X6), and the snapshot moves on if they
//! changed (X1a). Other rows are locked at the commit, or after they were read.
//!
//! In READ COMMITTED a row that changed since the statement's snapshot is read again under a fresh one,
//! with its lock held, until nothing moved: the statement then sees what it changes. The stricter
//! levels do not look again: there a changed row is a conflict.

use std::pin::pin;

use clock::Timestamp;
use expr::{SqlError, SqlState};
use keys::Key;
use kv::LockWait;
use txn::{Isolation, TxnError};

use super::{Environment, Exec, scan};
use crate::{
    catalog::{Table, primary_key},
    error::Outcome,
    plan::{LockRows, Node},
    session::Row,
};

/// How often rows are read again because they moved.
pub(super) const MAX_ROUNDS: usize = 20;

/// The rows of a FOR UPDATE.
pub(super) async fn rows(exec: &mut Exec<'_>, lock: &LockRows) -> Outcome<Vec<Row>> {
    lock_named(exec, &lock.input, lock.wait).await?;
    locked_rows(exec, &lock.input, &lock.table, lock.offset, lock.wait).await
}

/// The rows of a node, those of the table locked and as they are now.
pub(super) async fn locked_rows(
    exec: &mut Exec<'_>,
    input: &Node,
    table: &Table,
    offset: usize,
    wait: LockWait,
) -> Outcome<Vec<Row>> {
    for _ in 0..MAX_ROUNDS {
        let rows = exec.rows(input).await?;
        let mut keys: Vec<Key> = Vec::with_capacity(rows.len());
        for row in &rows {
            exec.tick(2 + row.len()).await;
            let key = primary_key(table, &row[offset..offset + table.columns.len()]);
            exec.budget.bytes(key.len() + size_of::<Key>())?;
            keys.push(key);
        }
        keys.sort();
        keys.dedup();
        if keys.is_empty() || lock(exec, keys, wait).await?.is_empty() {
            return Ok(rows);
        }
        exec.env.txn.begin_statement().await?;
    }
    Err(kept_changing().into())
}

/// The rounds are over.
pub(super) fn kept_changing() -> SqlError {
    SqlError::new(SqlState::SERIALIZATION_FAILURE, "rows kept changing while they were locked")
}

/// The rows that a statement is going to write.
pub(super) async fn rows_to_write(
    exec: &mut Exec<'_>,
    input: &Node,
    table: &Table,
) -> Outcome<Vec<Row>> {
    if exec.env.txn.isolation() == Isolation::ReadCommitted {
        return locked_rows(exec, input, table, 0, LockWait::Wait).await;
    }
    lock_named(exec, input, LockWait::Wait).await?;
    exec.rows(input).await
}

/// X6: locks rows whose keys a statement names, in the request that reads them.
async fn lock_named(exec: &mut Exec<'_>, input: &Node, wait: LockWait) -> Outcome<()> {
    if exec.env.txn.locks_at_read()
        && let Node::Scan(source) = input
        && let Some(keys) = scan::primary_keys(exec, source).await?
    {
        lock_to_write(exec, keys, wait).await?;
    }
    Ok(())
}

/// X6: locks what an upsert may write in the request that reads it; whether the snapshot has moved since
/// something was read (X1a).
pub(super) async fn lock_upserted(exec: &mut Exec<'_>, mut keys: Vec<Key>) -> Outcome<bool> {
    keys.sort();
    keys.dedup();
    let before = exec.env.txn.read_timestamp();
    lock_to_write(exec, keys, LockWait::Wait).await?;
    Ok(before.is_some() && exec.env.txn.read_timestamp() != before)
}

async fn lock_to_write(exec: &mut Exec<'_>, keys: Vec<Key>, wait: LockWait) -> Outcome<()> {
    let span = trace::span(trace::Kind::Operation, || format!("lock {} keys", keys.len()));
    let env = &mut exec.env;
    let work = async {
        let until = env.lock_timeout.map(|timeout| env.database.deadline(Some(timeout)));
        let Some(until) = until.filter(|until| *until < env.deadline) else {
            return Ok(env.txn.lock_to_write(keys, wait).await?);
        };
        env.txn.set_deadline(Some(until));
        let locked = env.txn.lock_to_write(keys, wait).await;
        env.txn.set_deadline(Some(env.deadline));
        within_lock_timeout(locked)
    };
    trace::within(&span, pin!(work)).await
}

/// What a lock that had to be there by `lock_timeout` came to.
fn within_lock_timeout<T>(locked: Result<T, TxnError>) -> Outcome<T> {
    match locked {
        Err(TxnError::Blocked { holder, .. }) => {
            let message = "canceling statement due to lock timeout";
            let detail = format!("Transaction {} holds the lock.", holder.short());
            Err(SqlError::new(SqlState::LOCK_NOT_AVAILABLE, message).with_detail(detail).into())
        }
        other => Ok(other?),
    }
}

/// Locks keys that are about to be written where the level asks for it; afterwards the snapshot shows
/// them as they are. Answers whether that is another snapshot than before.
pub(super) async fn lock_keys(exec: &mut Exec<'_>, mut keys: Vec<Key>) -> Outcome<bool> {
    if exec.env.txn.isolation() != Isolation::ReadCommitted || keys.is_empty() {
        return Ok(false);
    }
    keys.sort();
    keys.dedup();
    let moved = !lock(exec, keys, LockWait::Wait).await?.is_empty();
    if moved {
        exec.env.txn.begin_statement().await?;
    }
    Ok(moved)
}

/// Locks keys within `lock_timeout`; answers those that changed since the snapshot.
async fn lock(
    exec: &mut Exec<'_>,
    keys: Vec<Key>,
    wait: LockWait,
) -> Outcome<Vec<(Key, Timestamp)>> {
    let span = trace::span(trace::Kind::Operation, || format!("lock {} keys", keys.len()));
    trace::within(&span, pin!(lock_in_time(&mut exec.env, keys, wait))).await
}

async fn lock_in_time(
    env: &mut Environment<'_>,
    keys: Vec<Key>,
    wait: LockWait,
) -> Outcome<Vec<(Key, Timestamp)>> {
    let until = env.lock_timeout.map(|timeout| env.database.deadline(Some(timeout)));
    let Some(until) = until.filter(|until| *until < env.deadline) else {
        return Ok(env.txn.lock(keys, wait).await?);
    };
    env.txn.set_deadline(Some(until));
    let locked = env.txn.lock(keys, wait).await;
    env.txn.set_deadline(Some(env.deadline));
    within_lock_timeout(locked)
}
