//! UPDATE and DELETE.

use std::sync::Arc;

use expr::Datum;
use keys::{Key, layout};
use rustc_hash::FxHashSet;
use txn::Scan;

use super::{
    Done, Exec, insert, lock,
    writer::{self, Change},
};
use crate::{
    catalog::{Table, primary_key},
    error::Outcome,
    plan::{BoundCheck, ColumnValue, Delete, Update},
    session::Row,
};

/// Runs an UPDATE.
pub(super) async fn update(exec: &mut Exec<'_>, update: &Update) -> Outcome<Done> {
    let table = &*update.table;
    let width = table.columns.len();
    let rows = lock::rows_to_write(exec, &update.source, table).await?;
    let assignments = ready_assignments(exec, &update.assignments);
    let checks = ready_checks(exec, &update.checks);
    let mut changes = Vec::with_capacity(rows.len());
    let mut others = Vec::new();
    for row in once_each(exec, table, rows).await? {
        exec.next_row(width).await;
        let mut new = row[..width].to_vec();
        for (position, value) in &assignments {
            let column = &table.columns[*position];
            new[*position] = insert::column_value(exec, table, column, value, &row).await?;
            exec.tick(0).await;
        }
        writer::check_row(exec, table, &checks, &new)?;
        // The old row is held in two parts; its values are shared with the one that was read.
        exec.budget.bytes(size_of_val(&*row) + 2 * size_of::<Row>())?;
        exec.budget.row(&new)?;
        others.push(row[width..].to_vec());
        changes.push(Change { old: Some(row[..width].to_vec()), new: Some(new) });
    }
    writer::apply(exec, table, &changes).await?;
    let rows = match &update.returning {
        None => None,
        Some(exprs) => {
            let mut new = Vec::with_capacity(changes.len());
            for (change, others) in changes.iter().zip(others) {
                exec.tick(width).await;
                let mut row = change.new.clone().expect("an update has a new row");
                row.extend(others);
                exec.budget.bytes(size_of_val(&*row) + size_of::<Row>())?;
                new.push(row);
            }
            Some(exec.project(new, exprs).await?)
        }
    };
    Ok(Done { rows, count: changes.len() as u64 })
}

/// Runs a DELETE.
pub(super) async fn delete(exec: &mut Exec<'_>, delete: &Delete) -> Outcome<Done> {
    let table = &*delete.table;
    let width = table.columns.len();
    let rows = lock::rows_to_write(exec, &delete.source, table).await?;
    let rows = once_each(exec, table, rows).await?;
    let own: Vec<&[Datum]> = rows.iter().map(|row| &row[..width]).collect();
    writer::delete(exec, table, &own).await?;
    let count = rows.len() as u64;
    let rows = match &delete.returning {
        None => None,
        Some(exprs) => Some(exec.project(rows, exprs).await?),
    };
    Ok(Done { rows, count })
}

/// Runs a TRUNCATE: deletes every key of the tables, their indexes' included, in this transaction.
pub(super) async fn truncate(exec: &mut Exec<'_>, tables: &[Arc<Table>]) -> Outcome<Done> {
    let scans = tables.iter().map(|table| Scan::all(layout::table_span(table.id))).collect();
    for page in exec.env.txn.read(scans).await? {
        for (key, value) in page.rows {
            exec.tick(2).await;
            exec.budget.bytes(key.len() + value.len())?;
            exec.env.txn.delete(key)?;
        }
    }
    Ok(Done { rows: None, count: 0 })
}

/// The checks with their parameters in place.
pub(super) fn ready_checks(exec: &Exec<'_>, checks: &[BoundCheck]) -> Vec<BoundCheck> {
    checks
        .iter()
        .map(|check| BoundCheck {
            name: check.name.clone(),
            condition: exec.ready(&check.condition),
        })
        .collect()
}

/// The assignments with their parameters in place.
pub(super) fn ready_assignments(
    exec: &Exec<'_>,
    assignments: &[(usize, ColumnValue)],
) -> Vec<(usize, ColumnValue)> {
    assignments.iter().map(|(at, value)| (*at, insert::ready_value(exec, value))).collect()
}

/// The rows, each row of the table once: with FROM or USING the first match counts.
async fn once_each(exec: &mut Exec<'_>, table: &Table, rows: Vec<Row>) -> Outcome<Vec<Row>> {
    let width = table.columns.len();
    if rows.first().is_none_or(|row| row.len() == width) {
        return Ok(rows);
    }
    let (mut seen, mut once) = (FxHashSet::default(), Vec::new());
    for row in rows {
        exec.tick(2 + width).await;
        let key = primary_key(table, &row[..width]);
        let taken = key.len() + size_of::<Key>() + size_of::<Row>();
        if seen.insert(key) {
            exec.budget.bytes(taken)?;
            once.push(row);
        }
    }
    Ok(once)
}
