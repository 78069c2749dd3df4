//! Joins: a hash table over the right rows where something must be equal, else every pair.
//!
//! Where the right input is a table and the left rows are few, the right scan is narrowed to the
//! values that the left rows have: their keys become spans, read in one round per range, instead of
//! the whole table.

use expr::{Datum, Expr};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{Exec, scan};
use crate::{
    error::Outcome,
    plan::{Join, JoinKind, Node},
    session::Row,
};

/// Beyond so many different values the right table is scanned whole.
const MAX_LOOKUPS: usize = 1_000;

/// The rows of a join.
pub(super) async fn rows(exec: &mut Exec<'_>, join: &Join) -> Outcome<Vec<Row>> {
    let left = exec.rows(&join.left).await?;
    let left_keys = keys(exec, &left, join.equal.iter().map(|(left, _)| left))?;
    let right = right_rows(exec, join, &left_keys).await?;
    let right_keys = keys(exec, &right, join.equal.iter().map(|(_, right)| right))?;
    let conditions = exec.all_ready(&join.conditions);
    let mut table: FxHashMap<&[Datum], Vec<usize>> = FxHashMap::default();
    for (i, key) in right_keys.iter().enumerate() {
        if let Some(key) = key {
            table.entry(key).or_default().push(i);
        }
    }
    let mut out = Vec::new();
    let mut right_matched = vec![false; right.len()];
    for (row, key) in left.iter().zip(&left_keys) {
        let mut matched = false;
        let candidates = key.as_ref().and_then(|key| table.get(key.as_slice()));
        for &candidate in candidates.into_iter().flatten() {
            let both = [row.as_slice(), &right[candidate]].concat();
            if exec.passes(&both, &conditions)? {
                exec.budget.row(&both)?;
                (matched, right_matched[candidate]) = (true, true);
                out.push(both);
            }
        }
        if !matched && matches!(join.kind, JoinKind::Left | JoinKind::Full) {
            let mut both = row.clone();
            both.resize(join.left_width + join.right_width, Datum::Null);
            exec.budget.row(&both)?;
            out.push(both);
        }
    }
    if matches!(join.kind, JoinKind::Right | JoinKind::Full) {
        for (row, _) in right.iter().zip(&right_matched).filter(|(_, matched)| !**matched) {
            let mut both = vec![Datum::Null; join.left_width];
            both.extend_from_slice(row);
            exec.budget.row(&both)?;
            out.push(both);
        }
    }
    Ok(out)
}

/// The values that must be equal, of each row; `None`: one of them is NULL, so nothing matches.
fn keys<'e>(
    exec: &Exec<'_>,
    rows: &[Row],
    exprs: impl Iterator<Item = &'e Expr>,
) -> Outcome<Vec<Option<Vec<Datum>>>> {
    let exprs: Vec<Expr> = exprs.map(|expr| exec.ready(expr)).collect();
    let mut keys = Vec::with_capacity(rows.len());
    for row in rows {
        let key = exec.evaluate(row, &exprs)?;
        keys.push(if key.iter().any(Datum::is_null) { None } else { Some(key) });
    }
    Ok(keys)
}

async fn right_rows(
    exec: &mut Exec<'_>,
    join: &Join,
    left_keys: &[Option<Vec<Datum>>],
) -> Outcome<Vec<Row>> {
    let narrows = matches!(join.kind, JoinKind::Inner | JoinKind::Left);
    if let Node::Scan(right) = &join.right
        && narrows
        && !join.equal.is_empty()
    {
        let mut conditions = Vec::new();
        for (i, (_, expr)) in join.equal.iter().enumerate() {
            let values: FxHashSet<&Datum> = left_keys.iter().flatten().map(|key| &key[i]).collect();
            if values.len() <= MAX_LOOKUPS {
                let mut values: Vec<&Datum> = values.into_iter().collect();
                values.sort();
                conditions.push(Expr::InList {
                    arg: Box::new(expr.clone()),
                    list: values.into_iter().cloned().map(Expr::Const).collect(),
                    negated: false,
                });
            }
        }
        return scan::rows(exec, right, &conditions).await;
    }
    exec.rows(&join.right).await
}
