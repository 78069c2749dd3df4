//! `CHECK TABLE`: every index against its table, at one snapshot.
//!
//! An index is right if it holds exactly the entries that the table's rows would write. Both are
//! sequences that may be larger than any memory, in different orders. So each is folded into a sum
//! that knows no order, and only where the sums differ are the odd entries looked for:
//!
//! ```text
//!   rows    --entry of each index--> { count, sum of hashes } --+
//!                                                               = ? --no--> `odd`: page by page,
//!   entries -----------------------> { count, sum of hashes } --+           rows against entries,
//!                                                                           and the other way round
//! ```
//!
//! A sum has 128 bits: two keyed hashes of key and value, added up. That two different multisets
//! have the same one by accident is not to be expected in any lifetime. A unique index whose
//! entries are those of the rows has no two rows with the same key: the second row's entry would be
//! missing.
//!
//! On the way each row is read as it stands: its key must be the one that its columns make, and NOT
//! NULL and CHECK constraints must hold.
//!
//! Memory: one page of rows or entries at a time ([`PAGE_ROWS`], fewer where they are long), and at
//! most [`MAX_PROBLEMS`] problems of an index.
//!
//! # What it does not check
//!
//! Indexes that the snapshot cannot read yet, because they are being built or dropped: they are
//! named without a count. Whether replicas hold the same: that is `SHOW CHECKSUMS`. In the past,
//! NOT NULL and CHECK: they may be younger than the snapshot.

mod odd;

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use bytes::Bytes;
use expr::{Datum, EvalContext, SqlError, Type, pushdown::Layout};
use keys::{IndexId, Key, Span, layout as places};
use txn::{Scan, ScanRows, Txn, TxnError};

use crate::{
    bind::stored_expression,
    catalog::{Catalog, Index, Table, entry, layout, primary_key},
    error::{Outcome, named_span},
    plan::BoundCheck,
    session::{ResultColumn, Row},
};

/// Rows or entries looked at together, at most.
const PAGE_ROWS: u64 = 1_000;

/// About how many bytes of them.
const PAGE_BYTES: usize = 4 << 20;

/// Problems of one index that are told; behind them stands that there are more.
const MAX_PROBLEMS: usize = 100;

/// The columns it answers with.
pub(crate) fn columns() -> Arc<[ResultColumn]> {
    let column = |name: &str, ty| ResultColumn { name: name.to_owned(), ty };
    [
        column("table_name", Type::Text),
        column("index_name", Type::Text),
        column("entries", Type::Int8),
        column("problem", Type::Text),
        column("key", Type::Text),
    ]
    .into()
}

/// What a check found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// For each index a row without a problem, or one for each of its problems.
    pub rows: Vec<Row>,
    /// How many problems there are among them.
    pub problems: usize,
}

/// Checks tables at the transaction's snapshot. `now`: it is of the present, so that constraints
/// hold.
pub(crate) async fn tables(
    txn: &mut Txn,
    catalog: &Catalog,
    tables: &[Arc<Table>],
    context: &EvalContext,
    now: bool,
) -> Outcome<Findings> {
    let mut findings = Findings::default();
    for table in tables {
        let checks = if now { constraints(table, context)? } else { Vec::new() };
        let all: Vec<u32> = (0..).take(table.columns.len()).collect();
        let rows = layout(table, &table.primary, &all);
        let mut check =
            Check { txn, catalog, table, all, rows, checks, now, context, findings: &mut findings };
        check.run().await?;
    }
    Ok(findings)
}

fn constraints(table: &Table, context: &EvalContext) -> Result<Vec<BoundCheck>, SqlError> {
    let bound = |check: &crate::catalog::Check| {
        let condition = stored_expression(&check.condition, table, context)?.expr;
        Ok(BoundCheck { name: check.name.clone(), condition })
    };
    table.checks.iter().map(bound).collect()
}

/// What a multiset of entries comes to, whatever their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    entries: u64,
    hashes: u128,
}

impl Sum {
    fn add(&mut self, key: &[u8], value: &[u8]) {
        let half = |salt: u64| {
            let mut hasher = DefaultHasher::new();
            (salt, key, value).hash(&mut hasher);
            u128::from(hasher.finish())
        };
        self.entries += 1;
        self.hashes = self.hashes.wrapping_add(half(0) << 64 | half(1));
    }
}

/// The check of one table.
struct Check<'a> {
    txn: &'a mut Txn,
    catalog: &'a Catalog,
    table: &'a Table,
    /// Positions of all columns.
    all: Vec<u32>,
    /// How rows are read.
    rows: Layout,
    checks: Vec<BoundCheck>,
    now: bool,
    context: &'a EvalContext,
    findings: &'a mut Findings,
}

/// A scan, page by page.
struct Pages {
    rest: Option<Span>,
    /// Rows of the next page.
    rows: u64,
}

impl Pages {
    fn of(span: Span) -> Pages {
        Pages { rest: Some(span), rows: 16 }
    }

    /// The next page; `None`: there is none. Long rows make for short pages.
    async fn next(&mut self, txn: &mut Txn) -> Outcome<Option<Vec<(Key, Bytes)>>> {
        let Some(span) = self.rest.take() else { return Ok(None) };
        loop {
            match txn.scan_page(&Scan::all(span.clone()), self.rows).await {
                Err(TxnError::ReadBudget { .. }) if self.rows > 1 => self.rows /= 2,
                Err(error) => return Err(error.into()),
                Ok(ScanRows { rows, resume, .. }) => {
                    let bytes: usize =
                        rows.iter().map(|(key, value)| key.len() + value.len()).sum();
                    let fit = PAGE_BYTES / (bytes / rows.len().max(1)).max(1);
                    let fit = u64::try_from(fit).unwrap_or(PAGE_ROWS);
                    self.rows = (self.rows * 2).min(fit).clamp(1, PAGE_ROWS);
                    self.rest = resume;
                    return Ok(Some(rows));
                }
            }
        }
    }
}

impl Check<'_> {
    async fn run(&mut self) -> Outcome<()> {
        let snapshot = match self.txn.read_timestamp() {
            Some(snapshot) => snapshot,
            None => self.txn.begin_statement().await?,
        };
        let table = self.table;
        let (readable, others): (Vec<&Index>, Vec<&Index>) =
            table.secondary.iter().partition(|index| index.readable_at(snapshot));
        let wanted = self.rows_read(&readable).await?;
        for (index, wanted) in readable.into_iter().zip(wanted) {
            let before = self.findings.problems;
            let found = self.entries_read(index).await?;
            if found != wanted {
                self.find_odd(index, found.entries).await?;
            }
            if self.findings.problems == before {
                let problem = format!("its rows come to {} other entries", wanted.entries);
                let problem = (found != wanted).then_some(problem);
                self.tell(index, Some(found.entries), problem, None);
            }
        }
        for index in others {
            self.tell(index, None, None, None);
        }
        Ok(())
    }

    /// Reads all rows: what is wrong with them, and what these indexes should come to.
    async fn rows_read(&mut self, indexes: &[&Index]) -> Outcome<Vec<Sum>> {
        let table = self.table;
        let before = self.findings.problems;
        let mut sums = vec![Sum::default(); indexes.len()];
        let (mut count, mut problems) = (0, Vec::new());
        let mut pages = Pages::of(places::index_span(table.id, IndexId::PRIMARY));
        while let Some(page) = pages.next(self.txn).await? {
            count += page.len() as u64;
            for (key, value) in page {
                let row = match self.rows.decode(&key, &value) {
                    Ok(row) => row,
                    Err(error) => {
                        note(&mut problems, &format!("the row cannot be read: {error}"), &key);
                        continue;
                    }
                };
                if primary_key(table, &row) != key {
                    note(&mut problems, "the row does not have this key", &key);
                }
                if let Some(problem) = self.violated(&row)? {
                    note(&mut problems, &problem, &key);
                }
                for (index, sum) in indexes.iter().zip(&mut sums) {
                    let entry = entry(table, index, &row);
                    sum.add(&entry.key, &entry.value);
                }
            }
        }
        self.tell_all(&table.primary, count, problems);
        if self.findings.problems == before {
            self.tell(&table.primary, Some(count), None, None);
        }
        Ok(sums)
    }

    /// The first constraint that a row does not keep.
    fn violated(&self, row: &[Datum]) -> Outcome<Option<String>> {
        for (column, value) in self.table.columns.iter().zip(row) {
            if self.now && column.not_null && value.is_null() {
                return Ok(Some(format!("column \"{}\" is null", column.name)));
            }
        }
        for check in &self.checks {
            // What cannot be computed now was true when it was written.
            let truth = check.condition.eval(row, self.context).map(|value| value.truth());
            if let Ok(Some(false)) = truth {
                return Ok(Some(format!("check constraint \"{}\" is violated", check.name)));
            }
        }
        Ok(None)
    }

    /// Reads all entries of an index: what they come to.
    async fn entries_read(&mut self, index: &Index) -> Outcome<Sum> {
        let layout = layout(self.table, index, &self.all);
        let mut sum = Sum::default();
        let mut pages = Pages::of(places::index_span(self.table.id, index.id));
        while let Some(page) = pages.next(self.txn).await? {
            for (key, value) in page {
                // As it would be written now: a value may be encoded in more than one way.
                let value = match layout.decode(&key, &value) {
                    Ok(row) => entry(self.table, index, &row).value,
                    Err(_) => value,
                };
                sum.add(&key, &value);
            }
        }
        Ok(sum)
    }

    fn tell_all(&mut self, index: &Index, entries: u64, problems: Vec<(String, Key)>) {
        let more = problems.len() > MAX_PROBLEMS;
        for (problem, key) in problems.into_iter().take(MAX_PROBLEMS) {
            self.tell(index, Some(entries), Some(problem), Some(&key));
        }
        if more {
            let problem = "there are further problems, which are not listed".to_owned();
            self.tell(index, Some(entries), Some(problem), None);
        }
    }

    fn tell(
        &mut self,
        index: &Index,
        entries: Option<u64>,
        problem: Option<String>,
        key: Option<&Key>,
    ) {
        self.findings.problems += usize::from(problem.is_some());
        let named = key.map(|key| named_span(&Span::point(key.clone()), Some(self.catalog)));
        let entries = entries.map(|entries| i64::try_from(entries).unwrap_or(i64::MAX));
        self.findings.rows.push(vec![
            Datum::text(&self.table.name),
            Datum::text(&index.name),
            entries.map_or(Datum::Null, Datum::Int),
            problem.map_or(Datum::Null, Datum::text),
            named.map_or(Datum::Null, Datum::text),
        ]);
    }
}

/// Notes a problem, up to one more than is told.
fn note(problems: &mut Vec<(String, Key)>, problem: &str, key: &Key) {
    if problems.len() <= MAX_PROBLEMS {
        problems.push((problem.to_owned(), key.clone()));
    }
}
