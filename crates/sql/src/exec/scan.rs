//! Scans: spans are read, rows decoded, conditions applied.
//!
//! A scan of ranges sends a program along: the replica applies the conditions it can, and sends the
//! needed columns only. Single rows, and spans in which the transaction itself has written, are read
//! as they are and run through the very same program here. An index that does not hold all needed
//! columns is read first for the primary keys, whose rows are then fetched in one round.

use std::{borrow::Cow, pin::pin};

use bytes::Bytes;
use expr::{
    Datum, Expr, SqlError,
    pushdown::{Layout, Output, Program, Runner, Step},
    row,
};
use keys::{IndexId, Key, Span};
use txn::{Scan as TxnScan, ScanRows};

use super::{Count, Exec, pace};
use crate::{
    catalog::{Index, IndexState, Table, layout, primary_key},
    error::Outcome,
    plan::{
        Scan, ScanOrder, SortKey,
        access::{self, Wanted},
        spans,
    },
    session::Row,
};

/// A program longer than this is not sent: long lists of constants are looked through here.
const MAX_PROGRAM: usize = 64 << 10;

/// What a scan comes to for one execution.
pub(crate) struct Settled<'s> {
    /// The table.
    pub table: &'s Table,
    /// The index to read.
    pub index: &'s Index,
    /// Conditions, ready.
    pub conditions: Vec<Expr>,
    /// The spans to read, ascending.
    pub spans: spans::Spans,
    /// The direction.
    pub order: ScanOrder,
    /// The most rows anything above needs.
    pub limit: Option<u64>,
    /// Whether rows must be sorted here, since the index for that order cannot be read.
    pub unsorted: bool,
}

/// The rows of a scan, as wide as its table. `extra` are conditions that narrow the spans and need
/// not be applied.
pub(crate) async fn rows(exec: &mut Exec<'_>, scan: &Scan, extra: &[Expr]) -> Outcome<Vec<Row>> {
    let settled = settle(exec, scan, extra).await?;
    if settled.spans.spans.is_empty() {
        return Ok(Vec::new());
    }
    let mut span = settled.operation(exec);
    let mut rows = if access::covers(settled.table, settled.index, &scan.needed) {
        trace::within(&span, pin!(read(exec, &settled, &scan.needed))).await?
    } else {
        trace::within(&span, pin!(look_up(exec, &settled, &scan.needed))).await?
    };
    span.note("rows", || rows.len());
    drop(span);
    if settled.unsorted {
        let planned = scan.table.indexes().find(|index| index.id == scan.index);
        let planned = planned.expect("the plan's index exists");
        rows = sort_as(exec, rows, settled.table, planned, scan.order).await?;
    }
    Ok(rows)
}

/// What the scan comes to now that values are known.
pub(crate) async fn settle<'s>(
    exec: &mut Exec<'_>,
    scan: &'s Scan,
    extra: &[Expr],
) -> Outcome<Settled<'s>> {
    let conditions = exec.all_ready(&scan.conditions).await;
    let mut narrowing = Cow::Borrowed(&conditions);
    if !extra.is_empty() {
        narrowing.to_mut().extend(exec.all_ready(extra).await);
    }
    let table = &*scan.table;
    let find = |id: IndexId| table.indexes().find(|index| index.id == id);
    let mut index = find(scan.index).expect("the plan's index exists");
    let mut order = scan.order;
    if !extra.is_empty() {
        let wanted =
            Wanted { conditions: &narrowing, needed: &scan.needed, order: &[], limited: false };
        let path = access::choose(table, &wanted);
        (index, order) = (find(path.index).expect("it was chosen"), path.order);
    }
    let planned = index.id;
    if !readable(exec, index).await? {
        index = &table.primary;
    }
    let limit = match &scan.limit {
        Some(bound) if index.id == planned => {
            let limit = exec.row_count(Some(&bound.limit), Count::Limit)?;
            let offset = exec.row_count(bound.offset.as_ref(), Count::Offset)?.unwrap_or(0);
            limit.map(|limit| limit.saturating_add(offset))
        }
        _ => None,
    };
    let spans = spans::spans(table, index, &narrowing);
    let unsorted = index.id != planned;
    Ok(Settled { table, index, conditions, spans, order, limit, unsorted })
}

/// The primary keys of the rows that a scan looks at, if it names them one by one.
pub(crate) async fn primary_keys(exec: &mut Exec<'_>, scan: &Scan) -> Outcome<Option<Vec<Key>>> {
    let settled = settle(exec, scan, &[]).await?;
    let named = settled.index.id == IndexId::PRIMARY && settled.points_only();
    let keys = || settled.spans.spans.iter().map(|span| span.start.clone()).collect();
    Ok(named.then(keys))
}

/// Whether the transaction's snapshot may read the index.
async fn readable(exec: &mut Exec<'_>, index: &Index) -> Outcome<bool> {
    if index.state == IndexState::Public(clock::Timestamp::ZERO) {
        return Ok(true);
    }
    let snapshot = match exec.env.txn.read_timestamp() {
        Some(snapshot) => snapshot,
        None => exec.env.txn.begin_statement().await?,
    };
    Ok(index.readable_at(snapshot))
}

/// Sorts rows as an index would: by the bytes of its keys, which stand behind the columns meanwhile.
async fn sort_as(
    exec: &mut Exec<'_>,
    mut rows: Vec<Row>,
    table: &Table,
    index: &Index,
    order: ScanOrder,
) -> Outcome<Vec<Row>> {
    for row in &mut rows {
        exec.tick(2 + index.columns.len()).await;
        let mut bytes = Vec::new();
        for (position, part) in table.positions(index).into_iter().zip(&index.columns) {
            crate::catalog::key_part(&row[position], part.direction, &mut bytes);
        }
        row.push(Datum::bytes(bytes));
    }
    let behind = u32::try_from(table.columns.len()).expect("columns are few");
    let key = SortKey { expr: Expr::Column(behind), descending: false, nulls_first: false };
    let mut sorted = exec.sort(rows, &[key]).await?;
    for row in &mut sorted {
        exec.tick(1).await;
        row.pop();
    }
    if order == ScanOrder::Reverse {
        sorted.reverse();
    }
    Ok(sorted)
}

/// Splits conditions into those that this index's entries decide at the replica, and the others.
fn split_conditions(conditions: &[Expr], held: &[u32]) -> (Vec<Expr>, Vec<Expr>) {
    conditions.iter().cloned().partition(|condition| {
        let mut inside = true;
        condition.columns(&mut |column| inside &= held.contains(&column));
        inside && condition.is_pushable()
    })
}

impl Settled<'_> {
    /// The program for this index's entries.
    pub(crate) fn program(
        &self,
        exec: &Exec<'_>,
        layout: Layout,
        filter: Vec<Expr>,
        output: Output,
    ) -> Program {
        let filter = match filter.len() {
            0 => None,
            1 => filter.into_iter().next(),
            _ => Some(Expr::And(filter)),
        };
        Program {
            layout,
            filter,
            output,
            limit: None,
            timezone: exec.env.context.timezone,
            bytea: exec.env.context.bytea,
            transaction_time: exec.env.context.transaction_time,
            statement_time: exec.env.context.statement_time,
        }
    }

    /// The span of reading it, for timelines.
    pub(crate) fn operation(&self, exec: &Exec<'_>) -> trace::Span {
        let primary = self.index.id == IndexId::PRIMARY;
        let index = if primary { "primary" } else { self.index.name.as_str() };
        let name = || format!("scan {}@{index}", self.table.name);
        super::operation(exec.env.database, name, &self.spans.spans)
    }

    /// Whether every span is one row at most, and few.
    fn points_only(&self) -> bool {
        self.index.unique.is_unique()
            && self.spans.points == self.index.columns.len()
            && self.spans.spans.len() <= 1_000
    }
}

/// Reads entries that hold all needed columns.
async fn read(exec: &mut Exec<'_>, settled: &Settled<'_>, needed: &[u32]) -> Outcome<Vec<Row>> {
    let width = settled.table.columns.len();
    let layout = layout(settled.table, settled.index, needed);
    if settled.points_only() {
        let rows = raw(exec, settled).await?;
        let mut out = Vec::with_capacity(rows.len());
        let each = pace::steps(&settled.conditions) + width;
        for (key, value) in rows.iter().flat_map(|page| &page.rows) {
            exec.tick(each).await;
            let row = layout.decode(key, value)?;
            if exec.passes(&row, &settled.conditions)? {
                exec.budget.row(&row)?;
                out.push(row);
            }
        }
        return Ok(out);
    }
    let held = access::held(settled.table, settled.index);
    let (pushed, local) = split_conditions(&settled.conditions, &held);
    let tuple = needed.iter().map(|column| Expr::Column(*column)).collect();
    let program = settled.program(exec, layout, pushed, Output::Rows(tuple));
    let limit = if local.is_empty() { settled.limit } else { None };
    let tuples = run_program(exec, settled, &program, limit).await?;
    let mut out = Vec::with_capacity(tuples.len());
    let each = pace::steps(&local) + width;
    for (_, tuple) in tuples {
        exec.tick(each).await;
        let values = row::decode_tuple(&tuple)?;
        let mut row = vec![Datum::Null; width];
        for (column, value) in needed.iter().zip(values) {
            row[*column as usize] = value;
        }
        if exec.passes(&row, &local)? {
            exec.budget.row(&row)?;
            out.push(row);
        }
    }
    Ok(out)
}

/// Reads an index for primary keys, then the rows.
async fn look_up(exec: &mut Exec<'_>, settled: &Settled<'_>, needed: &[u32]) -> Outcome<Vec<Row>> {
    let table = settled.table;
    let held = access::held(table, settled.index);
    let (pushed, others) = split_conditions(&settled.conditions, &held);
    let mut wanted: Vec<u32> = table
        .positions(&table.primary)
        .into_iter()
        .map(|position| u32::try_from(position).expect("columns are few"))
        .collect();
    wanted.sort_unstable();
    let mut read_columns = wanted.clone();
    for condition in &pushed {
        condition.columns(&mut |column| read_columns.push(column));
    }
    let layout = layout(table, settled.index, &read_columns);
    let tuple = wanted.iter().map(|column| Expr::Column(*column)).collect();
    let program = settled.program(exec, layout, pushed, Output::Rows(tuple));
    let limit = if others.is_empty() { settled.limit } else { None };
    let tuples = run_program(exec, settled, &program, limit).await?;
    let mut keys = Vec::with_capacity(tuples.len());
    for (_, tuple) in tuples {
        exec.tick(2 + table.columns.len()).await;
        let mut row = vec![Datum::Null; table.columns.len()];
        for (column, value) in wanted.iter().zip(row::decode_tuple(&tuple)?) {
            row[*column as usize] = value;
        }
        let key = primary_key(table, &row);
        exec.budget.bytes(key.len() + size_of::<Key>())?;
        keys.push(key);
    }
    fetch(exec, settled, &keys, needed).await
}

/// The rows of these primary keys, in their order, as far as they fulfil the conditions.
async fn fetch(
    exec: &mut Exec<'_>,
    settled: &Settled<'_>,
    keys: &[Key],
    needed: &[u32],
) -> Outcome<Vec<Row>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let layout = layout(settled.table, &settled.table.primary, needed);
    let values = exec.env.txn.get(keys).await?;
    let mut out = Vec::with_capacity(keys.len());
    let each = pace::steps(&settled.conditions) + settled.table.columns.len();
    for (key, value) in keys.iter().zip(values) {
        exec.tick(each).await;
        let Some(value) = value else {
            return Err(SqlError::new(
                expr::SqlState::DATA_CORRUPTED,
                format!(
                    "index \"{}\" of table \"{}\" has an entry for a row that is not there",
                    settled.index.name, settled.table.name
                ),
            )
            .with_detail(format!("The row's key is {key}."))
            .into());
        };
        let row = layout.decode(key, &value)?;
        if exec.passes(&row, &settled.conditions)? {
            exec.budget.row(&row)?;
            out.push(row);
        }
    }
    Ok(out)
}

/// Reads all spans as they are.
async fn raw(exec: &mut Exec<'_>, settled: &Settled<'_>) -> Outcome<Vec<ScanRows>> {
    let reverse = settled.order == ScanOrder::Reverse;
    let scans = in_order(settled)
        .into_iter()
        .map(|span| TxnScan { span: span.clone(), reverse, limit: None, program: None })
        .collect();
    exec.in_time()?;
    Ok(exec.env.txn.read(scans).await?)
}

/// The spans in the order of the scan.
fn in_order<'s>(settled: &'s Settled<'_>) -> Vec<&'s Span> {
    match settled.order {
        ScanOrder::Forward => settled.spans.spans.iter().collect(),
        ScanOrder::Reverse => settled.spans.spans.iter().rev().collect(),
    }
}

/// Runs a program over all spans: at the replicas, and here over what the transaction wrote itself.
pub(crate) async fn run_program(
    exec: &mut Exec<'_>,
    settled: &Settled<'_>,
    program: &Program,
    limit: Option<u64>,
) -> Outcome<Vec<(Key, Bytes)>> {
    if limit == Some(0) {
        return Ok(Vec::new());
    }
    let encoded = program.encode();
    let sendable = encoded.len() <= MAX_PROGRAM;
    let reverse = settled.order == ScanOrder::Reverse;
    let unfiltered = program.filter.is_none();
    let mut here = Vec::new();
    let scans = in_order(settled)
        .into_iter()
        .map(|span| {
            let local = !sendable || exec.env.txn.overlaps(span);
            here.push(local);
            TxnScan {
                span: span.clone(),
                reverse,
                limit: if local && !unfiltered { None } else { limit },
                program: (!local).then(|| encoded.clone()),
            }
        })
        .collect();
    exec.in_time()?;
    let results = exec.env.txn.read(scans).await?;
    let mut out = Vec::new();
    for (result, local) in results.into_iter().zip(here) {
        for (key, bytes) in result.rows {
            exec.budget.bytes(key.len() + bytes.len())?;
            out.push((key, bytes, local));
        }
    }
    if out.iter().all(|(_, _, local)| !local) {
        return Ok(out.into_iter().map(|(key, bytes, _)| (key, bytes)).collect());
    }
    run_here(exec, program, out).await
}

/// Runs the program over rows that were read as they are; the others are its output already.
async fn run_here(
    exec: &mut Exec<'_>,
    program: &Program,
    rows: Vec<(Key, Bytes, bool)>,
) -> Outcome<Vec<(Key, Bytes)>> {
    let each = pace::steps(program.filter.as_slice()) + program.layout.width as usize;
    let mut runner = Runner::new(program.clone());
    let mut out = Vec::with_capacity(rows.len());
    for (key, bytes, local) in rows {
        exec.tick(each).await;
        if !local {
            out.push((key, bytes));
            continue;
        }
        match runner.row(&key, &bytes)? {
            Step::Emit(tuple) | Step::EmitAndStop(tuple) => out.push((key, tuple)),
            Step::Skip | Step::Stop => {}
        }
    }
    out.extend(runner.finish().into_iter().map(|tuple| (Key::default(), tuple)));
    Ok(out)
}
