//! The write buffer: what a transaction wrote, seen by its own reads and by nobody else.
//!
//! Writes stay at the gateway until the commit. A read merges them into what the ranges answered:
//!
//! ```text
//!   ranges     a=1   c=3   d=4          buffer     b=20  c=deleted  d=40
//!   merged     a=1   b=20  d=40         reversed   d=40  b=20  a=1
//! ```
//!
//! Savepoints are positions in an undo log, kept only while there is a savepoint.
//!
//! 1. `bytes` is the sum of [`cost`] over all entries, `undo_bytes` that of what the undo log
//!    keeps; the tests' model checks both after each step. Their sum stays within the limit.
//! 2. A merge sees exactly the entries inside the span that was really read, so a page that ended
//!    early shows no own write behind its end.

use std::{cmp::Ordering, collections::BTreeMap, iter::Peekable};

use bytes::Bytes;
use clock::Timestamp;
use keys::{Key, Span};

use crate::TxnError;

/// A buffered write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The new value; `None` deletes.
    pub value: Option<Bytes>,
    /// The snapshot under which the key was first written: below the serializable level no version
    /// above it may exist at commit.
    pub since: Timestamp,
}

/// Fixed part of what an entry counts towards the limit, for what it takes beside its bytes.
pub(crate) const ENTRY_BYTES: u64 = 64;

fn cost(key: &Key, entry: &Entry) -> u64 {
    (key.len() + entry.value.as_ref().map_or(0, Bytes::len)) as u64 + ENTRY_BYTES
}

/// How much room a write finds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Bytes that count although they are not in the buffer: those of locks.
    pub taken: u64,
    /// Bytes of a transaction, all in all.
    pub limit: u64,
}

/// What a key held before a write that may be taken back.
#[derive(Debug)]
struct Undo {
    key: Key,
    before: Option<Entry>,
}

/// A named position in the undo log.
#[derive(Debug)]
struct Savepoint {
    name: String,
    undo_len: usize,
}

/// The buffer of one transaction.
#[derive(Debug, Default)]
pub(crate) struct WriteBuffer {
    entries: BTreeMap<Key, Entry>,
    bytes: u64,
    undo: Vec<Undo>,
    undo_bytes: u64,
    savepoints: Vec<Savepoint>,
}

impl WriteBuffer {
    /// Writes a key. `since` counts only for the key's first write.
    pub fn write(
        &mut self,
        key: Key,
        value: Option<Bytes>,
        since: Timestamp,
        room: Room,
    ) -> Result<(), TxnError> {
        let before = self.entries.get(&key);
        let since = before.map_or(since, |entry| entry.since);
        let entry = Entry { value, since };
        let freed = before.map_or(0, |entry| cost(&key, entry));
        let size = self.bytes - freed + cost(&key, &entry);
        let undo_size = if self.savepoints.is_empty() { 0 } else { freed + ENTRY_BYTES };
        let all = size + self.undo_bytes + undo_size + room.taken;
        if all > room.limit {
            let (what, limit) = ("bytes written and locked", room.limit);
            return Err(TxnError::TooLarge { what, size: all, limit });
        }
        self.bytes = size;
        if self.savepoints.is_empty() {
            self.entries.insert(key, entry);
        } else {
            self.undo_bytes += undo_size;
            let before = self.entries.insert(key.clone(), entry);
            self.undo.push(Undo { key, before });
        }
        Ok(())
    }

    /// What was written to a key: `Some(None)` is a deletion.
    pub fn get(&self, key: &Key) -> Option<&Option<Bytes>> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// What is buffered, as far as it counts towards the limit.
    pub fn bytes(&self) -> u64 {
        self.bytes + self.undo_bytes
    }

    /// Whether nothing is buffered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All entries in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.entries.iter()
    }

    /// Whether a write lies in the span.
    pub fn overlaps(&self, span: &Span) -> bool {
        !span.is_empty() && self.within(span).next().is_some()
    }

    /// How many deletions lie in the span: so many rows of a limited read may vanish.
    pub fn deletions(&self, span: &Span) -> usize {
        if span.is_empty() {
            return 0;
        }
        self.within(span).filter(|(_, entry)| entry.value.is_none()).count()
    }

    /// Merges the writes inside `covered` into `rows`, all rows of that span in the given
    /// direction.
    pub fn merge(
        &self,
        covered: &Span,
        reverse: bool,
        rows: Vec<(Key, Bytes)>,
    ) -> Vec<(Key, Bytes)> {
        if !self.overlaps(covered) {
            return rows;
        }
        if reverse {
            let own = self.within(covered).rev().peekable();
            merge_sorted(own, rows, |a, b| b.cmp(a))
        } else {
            merge_sorted(self.within(covered).peekable(), rows, Ord::cmp)
        }
    }

    /// Sets a savepoint.
    pub fn savepoint(&mut self, name: &str) {
        self.savepoints.push(Savepoint { name: name.to_owned(), undo_len: self.undo.len() });
    }

    /// How many savepoints are set.
    pub fn savepoints(&self) -> usize {
        self.savepoints.len()
    }

    /// Takes back what was written since the youngest savepoint of that name; it stays set, those
    /// after it are gone.
    pub fn rollback_to(&mut self, name: &str) -> Result<(), TxnError> {
        let position = self.position(name)?;
        let undo_len = self.savepoints[position].undo_len;
        self.savepoints.truncate(position + 1);
        while self.undo.len() > undo_len {
            let undo = self.undo.pop().expect("longer than undo_len");
            let now = match undo.before {
                Some(before) => self.entries.insert(undo.key.clone(), before),
                None => self.entries.remove(&undo.key),
            };
            assert!(now.is_some(), "{} was written after the savepoint", undo.key);
        }
        self.bytes = self.entries.iter().map(|(key, entry)| cost(key, entry)).sum();
        let kept = |undo: &Undo| undo.before.as_ref().map_or(0, |entry| cost(&undo.key, entry));
        self.undo_bytes = self.undo.iter().map(|undo| kept(undo) + ENTRY_BYTES).sum();
        Ok(())
    }

    /// Forgets the youngest savepoint of that name and those after it.
    pub fn release(&mut self, name: &str) -> Result<(), TxnError> {
        let position = self.position(name)?;
        self.savepoints.truncate(position);
        if self.savepoints.is_empty() {
            self.undo.clear();
            self.undo_bytes = 0;
        }
        Ok(())
    }

    fn position(&self, name: &str) -> Result<usize, TxnError> {
        let found = self.savepoints.iter().rposition(|savepoint| savepoint.name == name);
        found.ok_or_else(|| TxnError::NoSavepoint(name.to_owned()))
    }

    fn within(&self, span: &Span) -> impl DoubleEndedIterator<Item = (&Key, &Entry)> {
        self.entries.range::<Key, _>(&span.start..&span.end)
    }
}

fn merge_sorted<'a>(
    mut own: Peekable<impl Iterator<Item = (&'a Key, &'a Entry)>>,
    rows: Vec<(Key, Bytes)>,
    order: impl Fn(&Key, &Key) -> Ordering,
) -> Vec<(Key, Bytes)> {
    let mut merged = Vec::with_capacity(rows.len());
    for (key, value) in rows {
        let mut overwritten = false;
        while let Some((mine, entry)) = own.next_if(|(mine, _)| order(mine, &key).is_le()) {
            overwritten |= *mine == key;
            merged.extend(entry.value.clone().map(|value| (mine.clone(), value)));
        }
        if !overwritten {
            merged.push((key, value));
        }
    }
    merged.extend(own.filter_map(|(key, entry)| Some((key.clone(), entry.value.clone()?))));
    merged
}

#[cfg(test)]
mod tests;
