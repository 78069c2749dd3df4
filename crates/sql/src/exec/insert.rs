//! INSERT.

use expr::{Datum, Expr};

use super::{
    Done, Exec, conflict,
    update::ready_checks,
    writer::{self, Change},
};
use crate::{
    catalog::{Table, ids},
    error::{Failure, Outcome},
    plan::{Insert, InsertValue},
    session::Row,
};

/// Runs an INSERT.
pub(super) async fn run(exec: &mut Exec<'_>, insert: &Insert) -> Outcome<Done> {
    let table = &*insert.table;
    let source = exec.rows(&insert.source).await?;
    let new = table_rows(exec, insert, source).await?;
    let checks = ready_checks(exec, &insert.checks);
    for row in &new {
        writer::check_row(exec, table, &checks, row)?;
    }
    let written = match &insert.conflict {
        None => {
            let changes: Vec<Change> =
                new.into_iter().map(|row| Change { old: None, new: Some(row) }).collect();
            writer::apply(exec, table, &changes).await?;
            changes.into_iter().filter_map(|change| change.new).collect()
        }
        Some(on_conflict) => conflict::run(exec, table, on_conflict, &checks, new).await?,
    };
    let count = written.len() as u64;
    let rows = match &insert.returning {
        None => None,
        Some(exprs) => Some(exec.project(written, exprs)?),
    };
    Ok(Done { rows, count })
}

/// Rows of the table, made of the source's rows.
async fn table_rows(exec: &mut Exec<'_>, insert: &Insert, source: Vec<Row>) -> Outcome<Vec<Row>> {
    let table = &*insert.table;
    let values: Vec<InsertValue> = insert
        .values
        .iter()
        .map(|value| match value {
            InsertValue::Source(expr) => InsertValue::Source(exec.ready(expr)),
            InsertValue::Default(expr) => InsertValue::Default(exec.ready(expr)),
            InsertValue::RowId => InsertValue::RowId,
            InsertValue::Serial => InsertValue::Serial,
        })
        .collect();
    let mut rows = Vec::with_capacity(source.len());
    for from in source {
        let mut row = Vec::with_capacity(values.len());
        for (column, value) in table.columns.iter().zip(&values) {
            row.push(match value {
                InsertValue::Source(expr) => value_of(exec, expr, &from)?,
                InsertValue::Default(expr) => value_of(exec, expr, &[])?,
                InsertValue::RowId => {
                    let database = exec.env.database;
                    Datum::Int(database.0.row_ids.next(database.micros()))
                }
                InsertValue::Serial => serial(exec, table, column.id).await?,
            });
        }
        exec.budget.row(&row)?;
        rows.push(row);
    }
    Ok(rows)
}

fn value_of(exec: &Exec<'_>, expr: &Expr, row: &[Datum]) -> Outcome<Datum> {
    Ok(expr.eval(row, &exec.env.context)?)
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
