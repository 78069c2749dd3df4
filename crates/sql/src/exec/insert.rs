//! INSERT.

use expr::Datum;

use super::{
    Done, Exec, conflict,
    update::ready_checks,
    writer::{self, Change},
};
use crate::{
    catalog::{Column, Table, ids},
    error::{Failure, Outcome},
    plan::{BoundCheck, ColumnValue, Insert},
    session::Row,
};

/// Runs an INSERT.
pub(super) async fn run(exec: &mut Exec<'_>, insert: &Insert) -> Outcome<Done> {
    let table = &*insert.table;
    let source = exec.rows(&insert.source).await?;
    let new = table_rows(exec, insert, source).await?;
    let checks = ready_checks(exec, &insert.checks);
    let written = match &insert.conflict {
        None => plain(exec, table, &checks, new).await?,
        Some(on_conflict) => conflict::run(exec, table, on_conflict, &checks, new).await?,
    };
    let count = written.len() as u64;
    let rows = match &insert.returning {
        None => None,
        Some(exprs) => Some(exec.project(written, exprs).await?),
    };
    Ok(Done { rows, count })
}

/// Inserts rows that must not be there. Of several faults the first row's is told.
async fn plain(
    exec: &mut Exec<'_>,
    table: &Table,
    checks: &[BoundCheck],
    new: Vec<Row>,
) -> Outcome<Vec<Row>> {
    let mut changes = Vec::with_capacity(new.len());
    let mut fault = None;
    for row in new {
        exec.next_row(row.len()).await;
        if let Err(error) = writer::check_row(exec, table, checks, &row) {
            fault = Some(error);
            break;
        }
        changes.push(Change { old: None, new: Some(row) });
    }
    writer::apply(exec, table, &changes).await?;
    match fault {
        Some(error) => Err(error.into()),
        None => Ok(changes.into_iter().filter_map(|change| change.new).collect()),
    }
}

/// Rows of the table, made of the source's rows.
async fn table_rows(exec: &mut Exec<'_>, insert: &Insert, source: Vec<Row>) -> Outcome<Vec<Row>> {
    let table = &*insert.table;
    let values: Vec<ColumnValue> =
        insert.values.iter().map(|value| ready_value(exec, value)).collect();
    let mut rows = Vec::with_capacity(source.len());
    for from in source {
        exec.next_row(values.len()).await;
        let mut row = Vec::with_capacity(values.len());
        for (column, value) in table.columns.iter().zip(&values) {
            row.push(column_value(exec, table, column, value, &from).await?);
            exec.tick(0).await;
        }
        exec.budget.row(&row)?;
        rows.push(row);
    }
    Ok(rows)
}

/// Where a column's value comes from, with parameters in place.
pub(super) fn ready_value(exec: &Exec<'_>, value: &ColumnValue) -> ColumnValue {
    match value {
        ColumnValue::Source(expr) => ColumnValue::Source(exec.ready(expr)),
        ColumnValue::Default(expr) => ColumnValue::Default(exec.ready(expr)),
        ColumnValue::SourceUnless { default, source, otherwise } => ColumnValue::SourceUnless {
            default: *default,
            source: exec.ready(source),
            otherwise: Box::new(ready_value(exec, otherwise)),
        },
        ColumnValue::RowId => ColumnValue::RowId,
        ColumnValue::Serial => ColumnValue::Serial,
    }
}

/// A column's value for a row of the source.
pub(super) async fn column_value(
    exec: &Exec<'_>,
    table: &Table,
    column: &Column,
    value: &ColumnValue,
    from: &[Datum],
) -> Outcome<Datum> {
    let mut value = value;
    loop {
        return match value {
            ColumnValue::Source(expr) => Ok(expr.eval(from, &exec.env.context)?),
            ColumnValue::Default(expr) => Ok(expr.eval(&[], &exec.env.context)?),
            ColumnValue::SourceUnless { default, source, otherwise } => {
                if from[*default as usize] == Datum::Bool(true) {
                    value = otherwise;
                    continue;
                }
                Ok(source.eval(from, &exec.env.context)?)
            }
            ColumnValue::RowId => {
                let database = exec.env.database;
                Ok(Datum::Int(database.0.row_ids.next(database.micros())))
            }
            ColumnValue::Serial => serial(exec, table, column.id).await,
        };
    }
}

/// The next number of a SERIAL column, from a block that the node took in a transaction of its own.
async fn serial(exec: &Exec<'_>, table: &Table, column: expr::ColumnId) -> Outcome<Datum> {
    let name = ids::serial_name(table.id, column);
    let database = exec.env.database;
    let number = database.fresh_id(&name, 1).await.map_err(Failure::Sql)?;
    i64::try_from(number)
        .map(Datum::Int)
        .map_err(|_| Failure::Sql(expr::SqlError::out_of_range("bigint")))
}
