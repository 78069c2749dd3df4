//! Which index a scan reads, and whether its order spares a sort.
//!
//! There are no statistics. An index is judged by its shape under the conditions
//! ([`spans::shape`]): each leading column fixed to one value is worth most, then columns with some
//! values, then a range. An index that does not hold all needed columns costs a second round of
//! look-ups. What must be sorted costs too, the more so under a limit, which an index in the right
//! order lets stop early.

use keys::{IndexId, codec::Direction};

use super::{ScanOrder, SortKey, spans};
use crate::catalog::{Index, IndexState, Table};
use expr::Expr;

/// What is asked of the access path.
pub struct Wanted<'a> {
    /// Conditions over the table's columns.
    pub conditions: &'a [Expr],
    /// Positions of needed columns.
    pub needed: &'a [u32],
    /// The order wanted; empty: any.
    pub order: &'a [SortKey],
    /// Whether a limit lets the scan stop early if it is in order.
    pub limited: bool,
}

/// An access path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// The index to read.
    pub index: IndexId,
    /// The direction to read it in.
    pub order: ScanOrder,
    /// Whether the rows come in the wanted order.
    pub ordered: bool,
}

/// Rows a table is taken to have.
const ASSUMED_ROWS: f64 = 1_000_000.0;

/// The best path.
#[must_use]
pub fn choose(table: &Table, wanted: &Wanted<'_>) -> Path {
    let mut best: Option<(f64, Path)> = None;
    for index in table.indexes().filter(|index| matches!(index.state, IndexState::Public(_))) {
        let (cost, path) = judge(table, index, wanted);
        if best.as_ref().is_none_or(|(least, _)| cost < *least) {
            best = Some((cost, path));
        }
    }
    best.expect("the primary index is always public").1
}

fn judge(table: &Table, index: &Index, wanted: &Wanted<'_>) -> (f64, Path) {
    let shape = spans::shape(table, index, wanted.conditions);
    let mut rows = ASSUMED_ROWS;
    let one_row = index.unique.is_unique() && shape.fixed == index.columns.len();
    if one_row {
        rows = 1.0;
    } else {
        let some = i32::try_from(shape.points - shape.fixed).unwrap_or(i32::MAX);
        rows *= 0.01_f64.powi(i32::try_from(shape.fixed).unwrap_or(i32::MAX));
        rows *= 0.03_f64.powi(some);
        rows *= if shape.range { 0.3 } else { 1.0 };
        rows = rows.max(2.0);
    }
    let scan = ordered(table, index, shape.fixed, wanted.order);
    let stops = wanted.limited && (scan.is_some() || wanted.order.is_empty());
    let read = if stops { rows.min(100.0) } else { rows };
    let per_row = if covers(table, index, wanted.needed) { 1.0 } else { 4.0 };
    let sort = if scan.is_none() && !wanted.order.is_empty() { rows * 0.5 } else { 0.0 };
    // The primary index holds the rows themselves and wins where all else is equal.
    let tie = if index.id == IndexId::PRIMARY { 0.0 } else { 0.5 };
    let path = Path {
        index: index.id,
        order: scan.unwrap_or(ScanOrder::Forward),
        ordered: scan.is_some(),
    };
    (read * per_row + sort + tie, path)
}

/// Whether all needed columns are in the index.
#[must_use]
pub fn covers(table: &Table, index: &Index, needed: &[u32]) -> bool {
    if index.id == IndexId::PRIMARY {
        return true;
    }
    let held: Vec<u32> = held(table, index);
    needed.iter().all(|position| held.contains(position))
}

/// Positions of the columns whose values an entry of the index holds.
#[must_use]
pub fn held(table: &Table, index: &Index) -> Vec<u32> {
    if index.id == IndexId::PRIMARY {
        return (0..table.columns.len()).map(position).collect();
    }
    let parts = index.columns.iter().chain(&table.primary.columns).map(|part| part.column);
    let mut held: Vec<u32> =
        parts.chain(index.stored.iter().copied()).map(|id| position(table.position(id))).collect();
    held.sort_unstable();
    held.dedup();
    held
}

fn position(position: usize) -> u32 {
    u32::try_from(position).expect("columns are few")
}

/// The direction in which the index yields the wanted order, if it does. Columns fixed to one value
/// may be skipped on either side.
fn ordered(table: &Table, index: &Index, fixed: usize, wanted: &[SortKey]) -> Option<ScanOrder> {
    let columns: Vec<(u32, Direction)> = index
        .columns
        .iter()
        .map(|part| (position(table.position(part.column)), part.direction))
        .collect();
    let constant: Vec<u32> = columns[..fixed].iter().map(|(column, _)| *column).collect();
    let mut order = None;
    let mut next = fixed;
    for key in wanted {
        let Expr::Column(column) = key.expr else { return None };
        if constant.contains(&column) {
            continue;
        }
        let Some((found, direction)) = columns.get(next) else {
            // All columns of a unique key are used up: at most one row is left for each.
            let complete = index.unique.is_unique()
                && columns.iter().all(|(column, _)| !nullable(table, *column));
            return if complete { order.or(Some(ScanOrder::Forward)) } else { None };
        };
        if *found != column {
            return None;
        }
        let forward = (*direction == Direction::Descending) == key.descending;
        // NULLs are greatest in the encoding: last ascending, first descending.
        if nullable(table, column) && key.nulls_first != key.descending {
            return None;
        }
        let this = if forward { ScanOrder::Forward } else { ScanOrder::Reverse };
        if order.is_some_and(|order| order != this) {
            return None;
        }
        order = Some(this);
        next += 1;
    }
    order.or(Some(ScanOrder::Forward))
}

fn nullable(table: &Table, column: u32) -> bool {
    !table.columns[column as usize].not_null
}
