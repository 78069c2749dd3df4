//! Fresh ids: of tables and ranges, from counters that the cluster shares; of rows, from the clock.
//!
//! A node takes ids from a counter in blocks and hands them out by itself; what is left of a block
//! when the node stops is lost. Ids are unique, not without gaps.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use expr::SqlError;
use keys::{Key, NodeId, layout, layout::Section};
use txn::Txn;

use super::store::{decode, encode};
use crate::error::from_txn;

/// The counter of table ids and the first one.
pub const TABLES: Counter = Counter { name: "table", first: 100 };
/// The counter of range ids and the first one: what the cluster starts with lies below.
pub const RANGES: Counter = Counter { name: "range", first: 1_000 };

/// A counter of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counter {
    /// Its name.
    pub name: &'static str,
    /// What it starts with.
    pub first: u64,
}

/// Where a counter lies.
#[must_use]
pub fn counter_key(name: &str) -> Key {
    layout::system_key(Section::Counter, name.as_bytes())
}

/// Where the counter of a SERIAL column lies.
#[must_use]
pub fn serial_name(table: keys::TableId, column: super::ColumnId) -> String {
    format!("serial/{}/{}", table.0, column.0)
}

/// Takes `count` numbers from a counter within a transaction; answers with the first.
pub async fn take(txn: &mut Txn, name: &str, first: u64, count: u64) -> Result<u64, SqlError> {
    assert!(count > 0, "nothing taken from counter {name}");
    let key = counter_key(name);
    let values = txn.get(std::slice::from_ref(&key)).await.map_err(|error| from_txn(&error))?;
    let next = match &values[0] {
        Some(value) => decode::<u64>(name, value)?,
        None => first,
    };
    let value: Bytes = encode(&(next + count));
    txn.put(key, value).map_err(|error| from_txn(&error))?;
    Ok(next)
}

/// Numbers that a node took and has not handed out yet.
#[derive(Debug, Default)]
pub struct Blocks(Mutex<BTreeMap<String, std::ops::Range<u64>>>);

impl Blocks {
    /// The next number of the node's block; `None`: the block is used up.
    #[must_use]
    pub fn next(&self, name: &str) -> Option<u64> {
        let mut blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.get_mut(name)?.next()
    }

    /// Adds a fresh block; an old one that is not used up yet is lost.
    pub fn fill(&self, name: &str, block: std::ops::Range<u64>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), block);
    }
}

/// Hidden row ids: microseconds since 2000 in the upper bits, the node in the lower ones, so that
/// they are unique without asking anybody and rows lie in the order they came in.
#[derive(Debug)]
pub struct RowIds {
    node: NodeId,
    last: Mutex<i64>,
}

/// Bits of a row id that name the node. 50 bits of microseconds above them last for 35 years.
const NODE_BITS: u32 = 13;

impl RowIds {
    /// Of this node.
    #[must_use]
    pub fn new(node: NodeId) -> RowIds {
        RowIds { node, last: Mutex::new(0) }
    }

    /// A fresh one; `micros` since 2000 is the time now. After a restart ids are fresh as soon as
    /// the clock is behind the last id handed out, which the start-up of a node waits for (T1).
    #[must_use]
    pub fn next(&self, micros: i64) -> i64 {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = micros.max(*last + 1);
        let node = i64::from(self.node.0) & ((1 << NODE_BITS) - 1);
        (*last << NODE_BITS) | node
    }
}
