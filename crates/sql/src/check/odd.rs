//! Which entries of an index are odd: looked for page by page, from both sides.

use std::collections::VecDeque;

use bytes::Bytes;
use keys::{IndexId, Key, layout as places};
use txn::{Txn, TxnError};

use super::{Check, MAX_PROBLEMS, Pages, note};
use crate::{
    catalog::{Index, entry, layout, primary_key},
    error::Outcome,
};

impl Check<'_> {
    /// Tells what is wrong with an index.
    pub(super) async fn find_odd(&mut self, index: &Index, entries: u64) -> Outcome<()> {
        let mut problems = Vec::new();
        self.rows_without(index, &mut problems).await?;
        self.entries_without(index, &mut problems).await?;
        self.tell_all(index, entries, problems);
        Ok(())
    }

    /// Rows whose entry is not there, or another one.
    async fn rows_without(
        &mut self,
        index: &Index,
        problems: &mut Vec<(String, Key)>,
    ) -> Outcome<()> {
        let table = self.table;
        let entries = layout(table, index, &self.all);
        let mut pages = Pages::of(places::index_span(table.id, IndexId::PRIMARY));
        while let Some(page) = pages.next(self.txn).await? {
            let mut wanted = Vec::with_capacity(page.len());
            for (key, value) in page {
                // What cannot be read is told of the table itself.
                if let Ok(row) = self.rows.decode(&key, &value) {
                    wanted.push((key, entry(table, index, &row)));
                }
            }
            let keys: Vec<Key> = wanted.iter().map(|(_, entry)| entry.key.clone()).collect();
            let mut found = Found::default();
            for (at, (row, wanted)) in wanted.into_iter().enumerate() {
                let Some(found) = found.next(self.txn, &keys[at..]).await? else {
                    note(problems, "the row has no entry", &row);
                    continue;
                };
                match entries.decode(&wanted.key, &found) {
                    Err(error) => {
                        note(problems, &format!("the row's entry cannot be read: {error}"), &row);
                    }
                    Ok(held) if primary_key(table, &held) != row => {
                        note(problems, "another row has the same unique values", &row);
                    }
                    Ok(held) if entry(table, index, &held).value != wanted.value => {
                        note(problems, "the row's entry holds other values", &row);
                    }
                    Ok(_) => {}
                }
            }
            if problems.len() > MAX_PROBLEMS {
                break;
            }
        }
        Ok(())
    }

    /// Entries whose row is not there, or has another entry.
    async fn entries_without(
        &mut self,
        index: &Index,
        problems: &mut Vec<(String, Key)>,
    ) -> Outcome<()> {
        let table = self.table;
        let entries = layout(table, index, &self.all);
        let mut pages = Pages::of(places::index_span(table.id, index.id));
        while let Some(page) = pages.next(self.txn).await? {
            let mut of_rows = Vec::with_capacity(page.len());
            for (key, value) in page {
                match entries.decode(&key, &value) {
                    Ok(row) => of_rows.push((key, primary_key(table, &row))),
                    Err(error) => {
                        note(problems, &format!("the entry cannot be read: {error}"), &key);
                    }
                }
            }
            let keys: Vec<Key> = of_rows.iter().map(|(_, row)| row.clone()).collect();
            let mut found = Found::default();
            for (at, (key, row)) in of_rows.into_iter().enumerate() {
                let Some(found) = found.next(self.txn, &keys[at..]).await? else {
                    note(problems, "an entry for a row that is not there", &key);
                    continue;
                };
                let fits = self.rows.decode(&row, &found);
                if fits.is_ok_and(|row| entry(table, index, &row).key != key) {
                    note(problems, "an entry that its row does not have", &key);
                }
            }
            if problems.len() > MAX_PROBLEMS {
                break;
            }
        }
        Ok(())
    }
}

/// What lies under keys, fetched some at a time: what is found may be far longer than the entries
/// that led there.
#[derive(Default)]
struct Found {
    fetched: VecDeque<Option<Bytes>>,
    /// How many fit lately; 0: all were asked for so far.
    fit: usize,
}

impl Found {
    /// What lies under the first of these keys, all that are left.
    async fn next(&mut self, txn: &mut Txn, keys: &[Key]) -> Outcome<Option<Bytes>> {
        while self.fetched.is_empty() {
            let ask = if self.fit == 0 { keys.len() } else { self.fit.min(keys.len()) };
            match txn.get(&keys[..ask]).await {
                Err(TxnError::ReadBudget { .. }) if ask > 1 => self.fit = ask / 2,
                Err(error) => return Err(error.into()),
                Ok(found) => self.fetched = found.into(),
            }
        }
        Ok(self.fetched.pop_front().expect("a key has an answer"))
    }
}
