//! What needs nothing but the rows: filters, projections, orders, sets.

use std::cmp::Ordering;

use expr::{Datum, Expr, SqlError, SqlState};
use rustc_hash::FxHashSet;

use super::Exec;
use crate::{
    error::Outcome,
    plan::{SetOp, SortKey},
    session::Row,
};

impl Exec<'_> {
    pub(super) fn constant_rows(&mut self, rows: &[Vec<Expr>]) -> Outcome<Vec<Row>> {
        let mut out = Vec::with_capacity(rows.len());
        for exprs in rows {
            let row: Result<Row, SqlError> = exprs.iter().map(|expr| self.value(expr)).collect();
            let row = row?;
            self.budget.row(&row)?;
            out.push(row);
        }
        Ok(out)
    }

    /// `generate_series` over integers.
    pub(super) fn series(
        &mut self,
        start: &Expr,
        stop: &Expr,
        step: Option<&Expr>,
    ) -> Outcome<Vec<Row>> {
        let bounds = (self.value(start)?, self.value(stop)?);
        let step = step.map_or(Ok(Datum::Int(1)), |step| self.value(step))?;
        let (Datum::Int(start), Datum::Int(stop), Datum::Int(step)) = (bounds.0, bounds.1, step)
        else {
            return Ok(Vec::new());
        };
        if step == 0 {
            return Err(SqlError::invalid_parameter("step size cannot equal zero").into());
        }
        let mut rows = Vec::new();
        let mut next = Some(start);
        while let Some(value) = next
            && if step > 0 { value <= stop } else { value >= stop }
        {
            let row = vec![Datum::Int(value)];
            self.budget.row(&row)?;
            rows.push(row);
            next = value.checked_add(step);
        }
        Ok(rows)
    }

    pub(super) fn unnest(&mut self, array: &Expr) -> Outcome<Vec<Row>> {
        match self.value(array)? {
            Datum::Array(array) => {
                let rows: Vec<Row> = array.items.iter().map(|item| vec![item.clone()]).collect();
                rows.iter().try_for_each(|row| self.budget.row(row))?;
                Ok(rows)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The rows for which all conditions are true.
    pub(super) fn filter(&self, rows: Vec<Row>, conditions: &[Expr]) -> Outcome<Vec<Row>> {
        let conditions = self.all_ready(conditions);
        let mut out = Vec::with_capacity(rows.len());
        for row in rows {
            if self.passes(&row, &conditions)? {
                out.push(row);
            }
        }
        Ok(out)
    }

    /// Whether all of these ready conditions are true of a row.
    pub(super) fn passes(&self, row: &[Datum], conditions: &[Expr]) -> Result<bool, SqlError> {
        for condition in conditions {
            if condition.eval(row, &self.env.context)?.truth() != Some(true) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn project(&mut self, rows: Vec<Row>, exprs: &[Expr]) -> Outcome<Vec<Row>> {
        let exprs = self.all_ready(exprs);
        let mut out = Vec::with_capacity(rows.len());
        for row in rows {
            let projected = self.evaluate(&row, &exprs)?;
            self.budget.row(&projected)?;
            out.push(projected);
        }
        Ok(out)
    }

    /// The values of ready expressions over a row.
    pub(super) fn evaluate(&self, row: &[Datum], exprs: &[Expr]) -> Result<Row, SqlError> {
        exprs.iter().map(|expr| expr.eval(row, &self.env.context)).collect()
    }

    /// Sorts stably.
    pub(super) fn sort(&mut self, rows: Vec<Row>, keys: &[SortKey]) -> Outcome<Vec<Row>> {
        let exprs: Vec<Expr> = keys.iter().map(|key| self.ready(&key.expr)).collect();
        let mut keyed = Vec::with_capacity(rows.len());
        for row in rows {
            let values = self.evaluate(&row, &exprs)?;
            self.budget.row(&values)?;
            keyed.push((values, row));
        }
        keyed.sort_by(|(left, _), (right, _)| {
            keys.iter()
                .zip(left.iter().zip(right))
                .map(|(key, (left, right))| compare(key, left, right))
                .find(|ordering| ordering.is_ne())
                .unwrap_or(Ordering::Equal)
        });
        Ok(keyed.into_iter().map(|(_, row)| row).collect())
    }

    /// The first of the rows that agree.
    pub(super) fn distinct(&mut self, rows: Vec<Row>, on: Option<&[Expr]>) -> Outcome<Vec<Row>> {
        let Some(on) = on else { return Ok(unique(rows)) };
        let on = self.all_ready(on);
        let mut seen = FxHashSet::default();
        let mut out = Vec::new();
        for row in rows {
            if seen.insert(self.evaluate(&row, &on)?) {
                out.push(row);
            }
        }
        Ok(out)
    }
}

fn compare(key: &SortKey, left: &Datum, right: &Datum) -> Ordering {
    match (left.is_null(), right.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) if key.nulls_first => Ordering::Less,
        (true, false) => Ordering::Greater,
        (false, true) if key.nulls_first => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) if key.descending => right.cmp(left),
        (false, false) => left.cmp(right),
    }
}

/// The rows behind the offset, at most `limit`.
pub(super) fn cut(mut rows: Vec<Row>, limit: Option<u64>, offset: u64) -> Vec<Row> {
    let len = rows.len();
    let start = usize::try_from(offset).unwrap_or(len).min(len);
    let count = limit.map_or(len, |limit| usize::try_from(limit).unwrap_or(len));
    rows.truncate(start.saturating_add(count).min(len));
    rows.drain(..start);
    rows
}

fn unique(rows: Vec<Row>) -> Vec<Row> {
    let mut seen = FxHashSet::default();
    rows.into_iter().filter(|row| seen.insert(row.clone())).collect()
}

/// `UNION`, `INTERSECT`, `EXCEPT`, in the order of the left rows.
pub(super) fn set_operation(
    op: SetOp,
    all: bool,
    mut left: Vec<Row>,
    mut right: Vec<Row>,
) -> Vec<Row> {
    if op == SetOp::Union {
        left.append(&mut right);
        return if all { left } else { unique(left) };
    }
    let mut counts = rustc_hash::FxHashMap::<Row, u64>::default();
    for row in right {
        *counts.entry(row).or_default() += 1;
    }
    let keep_matched = op == SetOp::Intersect;
    let kept: Vec<Row> = left
        .into_iter()
        .filter(|row| {
            let matched = match counts.get_mut(row) {
                Some(count) if *count > 0 => {
                    *count -= u64::from(all);
                    true
                }
                _ => false,
            };
            matched == keep_matched
        })
        .collect();
    if all { kept } else { unique(kept) }
}

/// `23502`.
pub(super) fn not_null(table: &str, column: &str) -> SqlError {
    let objects = expr::ErrorObjects {
        schema: Some("public".to_owned()),
        table: Some(table.to_owned()),
        column: Some(column.to_owned()),
        ..expr::ErrorObjects::default()
    };
    SqlError::new(
        SqlState::NOT_NULL_VIOLATION,
        format!(
            "null value in column \"{column}\" of relation \"{table}\" violates not-null constraint"
        ),
    )
    .with_objects(objects)
}
