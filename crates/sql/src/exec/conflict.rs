//! INSERT ... ON CONFLICT.

use bytes::Bytes;
use expr::{Datum, SqlError, SqlState};
use keys::{IndexId, Key};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    Exec, lock,
    writer::{self, Change, exclusive_entries},
};
use crate::{
    catalog::{Index, Table, layout, primary_key},
    error::Outcome,
    plan::{BoundCheck, OnConflict},
    session::Row,
};

/// Inserts rows; what is there already is left alone or updated. Answers with the rows written.
pub(super) async fn run(
    exec: &mut Exec<'_>,
    table: &Table,
    on_conflict: &OnConflict,
    checks: &[BoundCheck],
    new: Vec<Row>,
) -> Outcome<Vec<Row>> {
    let counts =
        |index: &Index| on_conflict.targets.is_empty() || on_conflict.targets.contains(&index.id);
    let mut probes: Vec<Vec<(&Index, Key)>> = Vec::with_capacity(new.len());
    for row in &new {
        let entries = exclusive_entries(table, row).into_iter();
        probes.push(
            entries
                .filter(|(index, _)| counts(index))
                .map(|(index, entry)| (index, entry.key))
                .collect(),
        );
    }
    let keys: Vec<Key> = probes.iter().flatten().map(|(_, key)| key.clone()).collect();
    lock::lock_keys(exec, keys.clone()).await?;
    let values = super::existing(exec, table, &keys).await?;
    let found: FxHashMap<Key, Bytes> =
        keys.into_iter().zip(values).filter_map(|(key, value)| Some((key, value?))).collect();
    let mut claimed: FxHashSet<Key> = FxHashSet::default();
    let mut changes = Vec::new();
    for (row, probe) in new.into_iter().zip(probes) {
        if probe.iter().any(|(_, key)| claimed.contains(key)) {
            if on_conflict.update.is_none() {
                continue;
            }
            return Err(twice().into());
        }
        let there = probe.iter().find_map(|(index, key)| {
            found.get(key).map(|value| (*index, key.clone(), value.clone()))
        });
        claimed.extend(probe.into_iter().map(|(_, key)| key));
        match there {
            None => changes.push(Change { old: None, new: Some(row) }),
            Some((index, key, value)) => {
                let change =
                    update(exec, table, on_conflict, checks, (index, key, value), row).await?;
                changes.extend(change);
            }
        }
    }
    refuse_twice(table, &changes)?;
    writer::apply(exec, table, &changes).await?;
    Ok(changes.into_iter().filter_map(|change| change.new).collect())
}

fn twice() -> SqlError {
    SqlError::new(
        SqlState::CARDINALITY_VIOLATION,
        "ON CONFLICT DO UPDATE command cannot affect row a second time",
    )
    .with_hint(
        "Ensure that no rows proposed for insertion within the same command have duplicate \
         constrained values.",
    )
}

fn refuse_twice(table: &Table, changes: &[Change]) -> Result<(), SqlError> {
    let mut seen = FxHashSet::default();
    for old in changes.iter().filter_map(|change| change.old.as_ref()) {
        if !seen.insert(primary_key(table, old)) {
            return Err(twice());
        }
    }
    Ok(())
}

/// The change that DO UPDATE makes of a row that is there; `None`: nothing is to be done.
async fn update(
    exec: &mut Exec<'_>,
    table: &Table,
    on_conflict: &OnConflict,
    checks: &[BoundCheck],
    (index, key, value): (&Index, Key, Bytes),
    proposed: Row,
) -> Outcome<Option<Change>> {
    let Some(update) = &on_conflict.update else { return Ok(None) };
    let old = existing(exec, table, index, &key, &value).await?;
    let both = [old.as_slice(), &proposed].concat();
    if let Some(condition) = &update.condition {
        let condition = exec.ready(condition);
        if condition.eval(&both, &exec.env.context)?.truth() != Some(true) {
            return Ok(None);
        }
    }
    let mut new = old.clone();
    for (position, expr) in &update.assignments {
        new[*position] = exec.ready(expr).eval(&both, &exec.env.context)?;
    }
    writer::check_row(exec, table, checks, &new)?;
    Ok(Some(Change { old: Some(old), new: Some(new) }))
}

/// The row that an entry of a unique index stands for.
async fn existing(
    exec: &mut Exec<'_>,
    table: &Table,
    index: &Index,
    key: &Key,
    value: &Bytes,
) -> Outcome<Vec<Datum>> {
    let all: Vec<u32> =
        (0..table.columns.len()).map(|at| u32::try_from(at).expect("few")).collect();
    if index.id == IndexId::PRIMARY {
        return Ok(layout(table, index, &all).decode(key, value)?);
    }
    let entry = layout(table, index, &all).decode(key, value)?;
    let row_key = primary_key(table, &entry);
    lock::lock_keys(exec, vec![row_key.clone()]).await?;
    let row = exec.env.txn.get(std::slice::from_ref(&row_key)).await?.swap_remove(0);
    let Some(row) = row else {
        return Err(SqlError::new(
            SqlState::DATA_CORRUPTED,
            format!("index \"{}\" has an entry for a row that is not there", index.name),
        )
        .into());
    };
    Ok(layout(table, &table.primary, &all).decode(&row_key, &row)?)
}
