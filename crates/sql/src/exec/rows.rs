//! What needs nothing but the rows: filters, projections, orders, sets.

use std::{cmp::Ordering, collections::hash_map::Entry};

use expr::{Datum, Expr, SqlError, SqlState};
use rustc_hash::FxHashSet;

use super::{
    Exec,
    flow::Flow,
    pace::{steps, weight},
    row_memory,
};
use crate::{
    error::Outcome,
    plan::{SetOp, SortKey},
    session::Row,
};

impl Exec<'_> {
    pub(super) async fn constant_rows(&mut self, rows: &[Vec<Expr>]) -> Outcome<Vec<Row>> {
        let mut out = Vec::with_capacity(rows.len());
        for exprs in rows {
            self.tick(steps(exprs)).await;
            self.env.context.begin_row();
            let mut row = Vec::with_capacity(exprs.len());
            for expr in exprs {
                row.push(self.value(expr)?);
                self.tick(0).await;
            }
            self.budget.row(&row)?;
            out.push(row);
        }
        Ok(out)
    }

    pub(super) async fn unnest(&mut self, array: &Expr) -> Outcome<Vec<Row>> {
        let Datum::Array(array) = self.value(array)? else { return Ok(Vec::new()) };
        let mut rows = Vec::new();
        for item in &array.items {
            self.tick(1).await;
            let row = vec![item.clone()];
            self.budget.row(&row)?;
            rows.push(row);
        }
        Ok(rows)
    }

    /// Keeps the rows for which all of these ready conditions are true.
    pub(super) async fn filter(
        &mut self,
        rows: &mut Vec<Row>,
        conditions: &[Expr],
        steps: usize,
    ) -> Outcome<()> {
        let mut kept = 0;
        for place in 0..rows.len() {
            self.tick(steps).await;
            if self.passes(&rows[place], conditions)? {
                rows.swap(kept, place);
                kept += 1;
            }
        }
        rows.truncate(kept);
        Ok(())
    }

    /// Whether all of these ready conditions are true of a row.
    pub(super) fn passes(&self, row: &[Datum], conditions: &[Expr]) -> Result<bool, SqlError> {
        self.env.context.begin_row();
        for condition in conditions {
            if condition.eval(row, &self.env.context)?.truth() != Some(true) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// New rows of these expressions.
    pub(super) async fn project(&mut self, rows: Vec<Row>, exprs: &[Expr]) -> Outcome<Vec<Row>> {
        let exprs = self.all_ready(exprs).await;
        let each = steps(&exprs);
        let mut out = Vec::with_capacity(rows.len());
        for row in rows {
            self.tick(each).await;
            let projected = self.evaluate(&row, &exprs).await?;
            self.budget.row(&projected)?;
            out.push(projected);
        }
        Ok(out)
    }

    /// The values of ready expressions over a row; others run in between where one took long.
    pub(super) async fn evaluate(&mut self, row: &[Datum], exprs: &[Expr]) -> Outcome<Row> {
        self.env.context.begin_row();
        let mut values = Vec::with_capacity(exprs.len());
        for expr in exprs {
            values.push(expr.eval(row, &self.env.context)?);
            self.tick(0).await;
        }
        Ok(values)
    }

    /// Sorts stably.
    pub(super) async fn sort(&mut self, rows: Vec<Row>, keys: &[SortKey]) -> Outcome<Vec<Row>> {
        let exprs: Vec<Expr> = keys.iter().map(|key| key.expr.clone()).collect();
        let exprs = self.all_ready(&exprs).await;
        let each = steps(&exprs);
        let (mut runs, mut heavy) = (Vec::new(), 0);
        let mut run = Vec::with_capacity(RUN.min(rows.len()));
        for row in rows {
            self.tick(each).await;
            let values = self.evaluate(&row, &exprs).await?;
            self.budget.row(&values)?;
            heavy += weight(&values);
            run.push((values, row));
            if run.len() == RUN || heavy >= RUN_WEIGHT {
                runs.push(std::mem::take(&mut run));
                heavy = 0;
            }
        }
        runs.push(run);
        for run in &mut runs {
            self.tick(run.len() * keys.len()).await;
            run.sort_by(|left, right| compare_all(keys, left, right));
        }
        // Neighbours are merged until one run is left: equal rows stay in their order.
        while runs.len() > 1 {
            let mut merged = Vec::with_capacity(runs.len().div_ceil(2));
            let mut rest = runs.into_iter();
            while let Some(left) = rest.next() {
                merged.push(match rest.next() {
                    Some(right) => self.merge(left, right, keys).await?,
                    None => left,
                });
            }
            runs = merged;
        }
        let sorted = runs.pop().unwrap_or_default();
        let mut out = Vec::with_capacity(sorted.len());
        for (_, row) in sorted {
            self.tick(1).await;
            out.push(row);
        }
        Ok(out)
    }

    async fn merge(
        &mut self,
        left: Vec<Keyed>,
        right: Vec<Keyed>,
        keys: &[SortKey],
    ) -> Outcome<Vec<Keyed>> {
        let mut out = Vec::with_capacity(left.len() + right.len());
        let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
        loop {
            let (a, b) = (left.peek(), right.peek());
            let compared = a.zip(b).map_or(0, |((a, _), (b, _))| weight(a).min(weight(b)));
            self.tick(1 + keys.len() + compared).await;
            let first = match (left.peek(), right.peek()) {
                (Some(a), Some(b)) if compare_all(keys, a, b).is_gt() => &mut right,
                (Some(_), _) => &mut left,
                (None, Some(_)) => &mut right,
                (None, None) => return Ok(out),
            };
            out.extend(first.next());
        }
    }

    /// The first of the rows that agree.
    pub(super) async fn distinct(
        &mut self,
        mut input: Flow<'_>,
        on: Option<&[Expr]>,
    ) -> Outcome<Vec<Row>> {
        let on = match on {
            Some(on) => Some(self.all_ready(on).await),
            None => None,
        };
        let each = on.as_deref().map_or(2, steps);
        let mut seen = FxHashSet::default();
        let mut out = Vec::new();
        while let Some(batch) = self.next(&mut input).await? {
            for row in batch {
                self.tick(each + row.len()).await;
                // The row's own values are shared with the key, those of expressions are not.
                let (key, taken) = match &on {
                    Some(on) => {
                        let key = self.evaluate(&row, on).await?;
                        let taken = row_memory(&key);
                        (key, taken)
                    }
                    None => (row.clone(), size_of::<Row>() + size_of_val(&*row)),
                };
                self.tick(weight(&key)).await;
                if seen.insert(key) {
                    self.budget.bytes(taken)?;
                    self.budget.row(&row)?;
                    out.push(row);
                }
            }
        }
        Ok(out)
    }

    /// `INTERSECT`, `EXCEPT`, in the order of the left rows.
    pub(super) async fn set_operation(
        &mut self,
        op: SetOp,
        all: bool,
        left: Vec<Row>,
        mut right: Flow<'_>,
    ) -> Outcome<Vec<Row>> {
        let mut counts = rustc_hash::FxHashMap::<Row, u64>::default();
        while let Some(batch) = self.next(&mut right).await? {
            for row in batch {
                self.tick(2 + row.len() + weight(&row)).await;
                let entry = counts.entry(row);
                if let Entry::Vacant(new) = &entry {
                    self.budget.row(new.key())?;
                }
                *entry.or_default() += 1;
            }
        }
        let keep_matched = op == SetOp::Intersect;
        let mut kept = Vec::new();
        for row in left {
            self.tick(2 + row.len() + weight(&row)).await;
            let matched = match counts.get_mut(&row) {
                Some(count) if *count > 0 => {
                    *count -= u64::from(all);
                    true
                }
                _ => false,
            };
            if matched == keep_matched {
                kept.push(row);
            }
        }
        if all {
            return Ok(kept);
        }
        self.distinct(Flow::Ready(kept.into_iter()), None).await
    }
}

/// Rows that are sorted without a pause; longer runs are merged of these.
const RUN: usize = 1_024;
/// The same by what comparing them takes, in steps: of long values a run has few.
const RUN_WEIGHT: usize = 1_024;

/// A row with the values it is sorted by.
type Keyed = (Row, Row);

fn compare_all(keys: &[SortKey], (left, _): &Keyed, (right, _): &Keyed) -> Ordering {
    keys.iter()
        .zip(left.iter().zip(right))
        .map(|(key, (left, right))| compare(key, left, right))
        .find(|ordering| ordering.is_ne())
        .unwrap_or(Ordering::Equal)
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

/// Leaves the rows behind the offset, at most `limit`; both are less by what is gone.
pub(super) fn cut(rows: &mut Vec<Row>, limit: &mut u64, offset: &mut u64) {
    let skipped = rows.len().min(usize::try_from(*offset).unwrap_or(usize::MAX));
    rows.drain(..skipped);
    *offset -= skipped as u64;
    rows.truncate(usize::try_from(*limit).unwrap_or(usize::MAX));
    *limit -= rows.len() as u64;
}

/// `23502`.
pub(super) fn not_null(table: &str, column: &str) -> SqlError {
    SqlError::new(
        SqlState::NOT_NULL_VIOLATION,
        format!(
            "null value in column \"{column}\" of relation \"{table}\" violates not-null constraint"
        ),
    )
    .with_objects(crate::error::about_column(table, column))
}
