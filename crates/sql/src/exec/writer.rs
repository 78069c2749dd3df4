//! Rows into keys: what a changed row means for the indexes, and what forbids it.

use expr::{Datum, ErrorObjects, SqlError, SqlState};
use keys::Key;
use rustc_hash::{FxHashMap, FxHashSet};

use super::{Exec, lock, rows::not_null};
use crate::{
    catalog::{Index, IndexEntry, IndexState, Table, entry},
    error::Outcome,
    plan::BoundCheck,
    session::Row,
};

/// A change of one row; at least one side is there.
#[derive(Debug)]
pub(super) struct Change {
    /// The row as it was.
    pub old: Option<Row>,
    /// The row as it shall be.
    pub new: Option<Row>,
}

/// Checks NOT NULL and CHECK of a new row.
pub(super) fn check_row(
    exec: &Exec<'_>,
    table: &Table,
    checks: &[BoundCheck],
    row: &[Datum],
) -> Result<(), SqlError> {
    for (column, value) in table.columns.iter().zip(row) {
        if column.not_null && value.is_null() {
            return Err(not_null(&table.name, &column.name)
                .with_detail(format!("Failing row contains {}.", row_text(exec, table, row))));
        }
    }
    for check in checks {
        if check.condition.eval(row, &exec.env.context)?.truth() == Some(false) {
            let message = format!(
                "new row for relation \"{}\" violates check constraint \"{}\"",
                table.name, check.name
            );
            return Err(SqlError::new(SqlState::CHECK_VIOLATION, message)
                .with_detail(format!("Failing row contains {}.", row_text(exec, table, row)))
                .with_objects(objects(table, &check.name)));
        }
    }
    Ok(())
}

fn objects(table: &Table, constraint: &str) -> ErrorObjects {
    ErrorObjects {
        schema: Some("public".to_owned()),
        table: Some(table.name.clone()),
        constraint: Some(constraint.to_owned()),
        ..ErrorObjects::default()
    }
}

fn row_text(exec: &Exec<'_>, table: &Table, row: &[Datum]) -> String {
    let values: Vec<String> = table
        .visible()
        .map(|(position, column)| {
            expr::text::output(&row[position], column.ty, &exec.env.context.timezone)
                .unwrap_or_else(|| "null".to_owned())
        })
        .collect();
    format!("({})", values.join(", "))
}

/// `23505`.
pub(super) fn duplicate(exec: &Exec<'_>, table: &Table, index: &Index, row: &[Datum]) -> SqlError {
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for position in table.positions(index) {
        let column = &table.columns[position];
        names.push(column.name.as_str());
        let text = expr::text::output(&row[position], column.ty, &exec.env.context.timezone);
        values.push(text.unwrap_or_else(|| "null".to_owned()));
    }
    SqlError::new(
        SqlState::UNIQUE_VIOLATION,
        format!("duplicate key value violates unique constraint \"{}\"", index.name),
    )
    .with_detail(format!("Key ({})=({}) already exists.", names.join(", "), values.join(", ")))
    .with_objects(objects(table, &index.name))
}

/// Indexes into which rows are written.
pub(super) fn written(table: &Table) -> impl Iterator<Item = &Index> {
    table.indexes().filter(|index| index.state != IndexState::DeleteOnly)
}

/// The keys that a new row must find free: of its unique indexes. A fresh row id is free by itself.
pub(super) fn exclusive_entries<'t>(
    table: &'t Table,
    row: &[Datum],
) -> Vec<(&'t Index, IndexEntry)> {
    written(table)
        .filter(|index| index.unique.is_unique())
        .filter(|index| !(index.id == keys::IndexId::PRIMARY && table.has_hidden_key()))
        .map(|index| (index, entry(table, index, row)))
        .filter(|(_, entry)| entry.exclusive)
        .collect()
}

/// Buffers changes, after looking that no unique index forbids them. Rows that go make room for those
/// that come.
pub(super) async fn apply(exec: &mut Exec<'_>, table: &Table, changes: &[Change]) -> Outcome<()> {
    let mut wanted: Vec<(usize, &Index, Key)> = Vec::new();
    for (at, change) in changes.iter().enumerate() {
        let Some(new) = &change.new else { continue };
        for (index, fresh) in exclusive_entries(table, new) {
            let kept = change.old.as_ref().is_some_and(|old| {
                let former = entry(table, index, old);
                former.exclusive && former.key == fresh.key
            });
            if !kept {
                wanted.push((at, index, fresh.key));
            }
        }
    }
    lock::lock_keys(exec, wanted.iter().map(|(_, _, key)| key.clone()).collect()).await?;
    let freed = freed_keys(table, changes);
    let keys: Vec<Key> = wanted.iter().map(|(_, _, key)| key.clone()).collect();
    let found = super::existing(exec, table, &keys).await?;
    let mut taken: FxHashSet<&Key> = FxHashSet::default();
    for ((at, index, key), value) in wanted.iter().zip(&found) {
        let there = value.is_some() && !freed.contains(key);
        if there || !taken.insert(key) {
            let row = changes[*at].new.as_ref().expect("it is new");
            return Err(duplicate(exec, table, index, row).into());
        }
    }
    write(exec, table, changes)
}

fn freed_keys(table: &Table, changes: &[Change]) -> FxHashSet<Key> {
    let mut freed = FxHashSet::default();
    for change in changes.iter().filter(|change| change.new.is_some()) {
        if let Some(old) = &change.old {
            freed.extend(exclusive_entries(table, old).into_iter().map(|(_, entry)| entry.key));
        }
    }
    freed
}

/// Buffers changes: all deletions first, so that a key may pass from one row to another.
pub(super) fn write(exec: &mut Exec<'_>, table: &Table, changes: &[Change]) -> Outcome<()> {
    let mut puts: FxHashMap<usize, Vec<IndexEntry>> = FxHashMap::default();
    for (at, change) in changes.iter().enumerate() {
        let mut fresh = Vec::new();
        for index in table.indexes() {
            let old = change.old.as_ref().map(|old| entry(table, index, old));
            let new = match &change.new {
                Some(new) if index.state != IndexState::DeleteOnly => {
                    Some(entry(table, index, new))
                }
                _ => None,
            };
            match (old, new) {
                (Some(old), Some(new)) if old.key == new.key => {
                    if old.value != new.value || index.id == keys::IndexId::PRIMARY {
                        fresh.push(new);
                    }
                }
                (old, new) => {
                    if let Some(old) = old {
                        exec.env.txn.delete(old.key)?;
                    }
                    fresh.extend(new);
                }
            }
        }
        puts.insert(at, fresh);
    }
    for at in 0..changes.len() {
        for entry in puts.remove(&at).into_iter().flatten() {
            exec.env.txn.put(entry.key, entry.value)?;
        }
    }
    Ok(())
}
