//! Reads of a transaction: its snapshot at the ranges, its own writes and what came with locks merged in,
//! and what of it is remembered to be validated (X1).

use std::collections::BTreeMap;

use bytes::Bytes;
use clock::Timestamp;
use futures::future::join_all;
use keys::{Key, Span};
use kv::{ReadFrom, ReadSpan};

use super::Txn;
use crate::{
    Access, Isolation, Scan, ScanRows, TxnError,
    reads::shortened,
    router::{Budget, ReadPlan},
};

impl Txn {
    pub(super) async fn read_scans(
        &self,
        at: Timestamp,
        scans: &[Scan],
        budget: &Budget,
    ) -> Result<Vec<ScanRows>, TxnError> {
        let from = if self.as_of.is_some() { ReadFrom::AnyReplica } else { ReadFrom::Leader };
        let holder = if self.locks.is_empty() { None } else { Some(self.meta()) };
        let deadline = self.current_deadline();
        let plan = |program: Option<&Bytes>| ReadPlan {
            at,
            from,
            holder: holder.clone(),
            program: program.cloned(),
            unchanged_since: None,
            deadline,
            budget,
        };
        let mut results = vec![ScanRows::default(); scans.len()];
        let mut together: BTreeMap<Option<&Bytes>, Vec<usize>> = BTreeMap::new();
        let mut limited = Vec::new();
        for (i, scan) in scans.iter().enumerate() {
            if let Some(own) = self.own_point(scan).or_else(|| self.locked_point(scan)) {
                results[i].rows = own;
            } else if let Some(limit) = scan.limit {
                let plan = plan(scan.program.as_ref());
                limited.push(async move { (i, self.read_limited(&plan, scan, limit).await) });
            } else {
                together.entry(scan.program.as_ref()).or_default().push(i);
            }
        }
        let unlimited = together.into_iter().map(|(program, group)| {
            let plan = plan(program);
            async move {
                let spans: Vec<ReadSpan> = group.iter().map(|i| read_span(&scans[*i])).collect();
                let read = self.coordinator.router().read_all(&plan, &spans).await;
                read.map(|rows| group.into_iter().zip(rows).collect::<Vec<_>>())
            }
        });
        let (unlimited, limited) = futures::join!(join_all(unlimited), join_all(limited));
        for group in unlimited {
            for (i, rows) in group? {
                let rows = self.buffer.merge(&scans[i].span, scans[i].reverse, rows);
                results[i].rows = rows;
            }
        }
        for (i, rows) in limited {
            results[i] = rows?;
        }
        Ok(results)
    }

    /// A limited scan with own writes merged in: own deletions may ask for more rows than the
    /// limit, own rows may push some of those that were read behind it.
    async fn read_limited(
        &self,
        plan: &ReadPlan<'_>,
        scan: &Scan,
        limit: u64,
    ) -> Result<ScanRows, TxnError> {
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let (mut rest, mut rows) = (scan.span.clone(), Vec::new());
        while !rest.is_empty() {
            if rows.len() >= wanted {
                return Ok(ScanRows { rows, resume: Some(rest) });
            }
            let missing = limit - rows.len() as u64;
            let ask = missing.saturating_add(self.buffer.deletions(&rest) as u64);
            let read = ReadSpan { span: rest.clone(), reverse: scan.reverse };
            let page = self.coordinator.router().read_limited(plan, &read, ask).await?;
            let covered = without(&rest, page.resume.as_ref(), scan.reverse);
            rows.extend(self.buffer.merge(&covered, scan.reverse, page.rows));
            rest = page.resume.unwrap_or_else(|| Span { start: rest.end.clone(), end: rest.end });
            if rows.len() > wanted {
                // Those behind the limit count as unread: the resume begins at the first of them.
                let first = rows[wanted].0.clone();
                rows.truncate(wanted);
                rest = if scan.reverse {
                    Span { start: scan.span.start.clone(), end: first.next() }
                } else {
                    Span { start: first, end: scan.span.end.clone() }
                };
            }
        }
        Ok(ScanRows { rows, resume: None })
    }

    /// The row of a point scan that the buffer alone can answer.
    fn own_point(&self, scan: &Scan) -> Option<Vec<(Key, Bytes)>> {
        let key = whole_point(scan)?;
        let value = self.buffer.get(key)?;
        Some(value.iter().map(|value| (key.clone(), value.clone())).collect())
    }

    /// The row of a point scan whose key is locked, and whose value came with the lock (X6).
    fn locked_point(&self, scan: &Scan) -> Option<Vec<(Key, Bytes)>> {
        let key = whole_point(scan)?;
        let value = self.locks.value(key)?;
        Some(value.iter().map(|value| (key.clone(), value.clone())).collect())
    }

    /// Adds to the read set what a scan has really read.
    pub(super) fn remember(&mut self, scan: &Scan, resume: Option<&Span>) {
        if self.isolation != Isolation::Serializable
            || self.access == Access::ReadOnly
            || self.own_point(scan).is_some()
        {
            return;
        }
        let config = self.coordinator.config();
        let span = shortened(without(&scan.span, resume, scan.reverse), config.max_key_bytes);
        self.reads.add(span, config.max_read_spans);
    }

    pub(super) fn count(&mut self, budget: &Budget) {
        let read = budget.stats();
        self.stats.requests += read.requests;
        self.stats.rows += read.rows;
        self.stats.bytes += read.bytes;
        self.stats.waited_nanos += read.waited_nanos;
    }
}

/// The key of a scan that wants one row as it is.
fn whole_point(scan: &Scan) -> Option<&Key> {
    let whole = scan.span.is_point() && scan.program.is_none() && scan.limit != Some(0);
    whole.then_some(&scan.span.start)
}

fn read_span(scan: &Scan) -> ReadSpan {
    ReadSpan { span: scan.span.clone(), reverse: scan.reverse }
}

/// A span without what is left of it.
pub(super) fn without(span: &Span, resume: Option<&Span>, reverse: bool) -> Span {
    match resume {
        None => span.clone(),
        Some(rest) if reverse => Span { start: rest.end.clone(), end: span.end.clone() },
        Some(rest) => Span { start: span.start.clone(), end: rest.start.clone() },
    }
}
