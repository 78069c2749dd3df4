//! Which entries of an index are odd: looked for page by page, from both sides.

use bytes::Bytes;
use keys::{IndexId, Key, layout as places};

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
            for ((row, wanted), found) in wanted.into_iter().zip(self.get(&keys).await?) {
                let Some(found) = found else {
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
            for ((key, row), found) in of_rows.into_iter().zip(self.get(&keys).await?) {
                let Some(found) = found else {
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

    async fn get(&mut self, keys: &[Key]) -> Outcome<Vec<Option<Bytes>>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.txn.get(keys).await?)
    }
}
