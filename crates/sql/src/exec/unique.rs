//! Uniqueness within one statement: which keys of unique indexes are free, at each of its steps.
//!
//! What a statement may take depends on what it took and left itself. [`Claims`] is the state of
//! all keys that it touches, in one place for INSERT, UPDATE and upserts, for the primary key and
//! every unique index:
//!
//! ```text
//!   unknown --take--> Own (to be proved: no row may be there)      Free --take--> Own
//!   Row     --take--> refused        Own --take--> refused         Row, Own --leave--> Free
//! ```
//!
//! An upsert takes and leaves row by row, as PostgreSQL does. A plain UPDATE leaves all its rows'
//! keys first and takes the new ones after that, so the statement's end is judged as a whole, as
//! the SQL standard has it: rows may hand their keys on in a circle.
//!
//! Keys that nobody looked up before are taken for free until [`Claims::prove`] looks up all of
//! them at once. That is sound: a key's first touch by the statement meets what the snapshot shows,
//! whatever the statement does afterwards.
//!
//! Invariant: when a statement's changes are written, every unique key that one of its new rows has
//! is
//! `Own` by that row alone. Asserted by the twin in `tests/it/unique.rs`, which compares
//! every index with its table after each statement.

use bytes::Bytes;
use keys::Key;
use rustc_hash::FxHashMap;

use super::{Exec, lock};
use crate::{
    catalog::{Index, Table},
    error::Outcome,
};

/// The state of a unique key in the midst of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// No row has it.
    Free,
    /// A row has it that the statement has not written; the value of the index's entry.
    Row(Bytes),
    /// A row has it that the statement wrote.
    Own,
}

/// A unique key that a row of the statement wants.
#[derive(Clone, Debug)]
pub(super) struct Claim<'t> {
    /// Which of the statement's rows.
    pub row: usize,
    /// The index.
    pub index: &'t Index,
    /// The key.
    pub key: Key,
}

/// The unique keys that a statement touches.
#[derive(Debug, Default)]
pub(super) struct Claims<'t> {
    slots: FxHashMap<Key, Slot>,
    /// Taken without being known, in the order they were taken.
    unproved: Vec<Claim<'t>>,
}

impl<'t> Claims<'t> {
    /// Notes what the snapshot holds under a key that the statement has not touched yet.
    pub fn know(&mut self, key: Key, found: Option<Bytes>) {
        self.slots.insert(key, found.map_or(Slot::Free, Slot::Row));
    }

    /// What is known of a key.
    pub fn slot(&self, key: &Key) -> Option<&Slot> {
        self.slots.get(key)
    }

    /// A row of the table goes away from a key.
    pub fn leave(&mut self, key: Key) {
        self.slots.insert(key, Slot::Free);
    }

    /// A row that the statement writes stays at a key.
    pub fn keep(&mut self, key: Key) {
        self.slots.insert(key, Slot::Own);
    }

    /// A row comes to a key; `false`: another one is there.
    pub fn take(&mut self, claim: Claim<'t>) -> bool {
        match self.slots.get(&claim.key) {
            Some(Slot::Row(_) | Slot::Own) => return false,
            Some(Slot::Free) => {}
            None => self.unproved.push(claim.clone()),
        }
        self.slots.insert(claim.key, Slot::Own);
        true
    }

    /// Looks up, in one round, the keys that were taken for free; answers with the first one that
    /// is not.
    pub async fn prove(self, exec: &mut Exec<'_>, table: &Table) -> Outcome<Option<Claim<'t>>> {
        let keys: Vec<Key> = self.unproved.iter().map(|claim| claim.key.clone()).collect();
        lock::lock_keys(exec, keys.clone()).await?;
        let found = super::existing(exec, table, &keys).await?;
        let mut claims = self.unproved.into_iter().zip(found);
        Ok(claims.find_map(|(claim, found)| found.is_some().then_some(claim)))
    }
}
