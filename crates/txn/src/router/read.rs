//! Reads of spans that lie in several ranges: one request per range, all at once, page by page.
//!
//! ```text
//!   scan 0  [a ------------------ p)          r1 [a - h)   r2 [h - z)
//!   scan 1             [g - j)
//!   to r1: [a - h) [g - h)      to r2: [h - p) [h - j)       at the same time
//!   answers are put together per scan, in its direction
//! ```
//!
//! A limited scan goes from range to range instead: mostly the first one has enough, and what is
//! not read need not be validated.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use clock::Timestamp;
use futures::future::join_all;
use keys::{Key, RangeId, Span};
use kv::{
    Descriptor, KvError, Read, ReadFrom, ReadReply, ReadSpan, Reply, Request, SpanRows, TxnMeta,
};
use timer::Instant;

use super::{Partition, Router};
use crate::{ReadStats, ScanRows, TxnError};

/// What all requests of a read share.
#[derive(Debug)]
pub(crate) struct ReadPlan<'a> {
    /// The snapshot.
    pub at: Timestamp,
    /// Who may serve it.
    pub from: ReadFrom,
    /// Set if the transaction holds locks (X5a).
    pub holder: Option<TxnMeta>,
    /// Runs beside the data.
    pub program: Option<Bytes>,
    /// No rows are read, see [`Read::unchanged_since`].
    pub unchanged_since: Option<Timestamp>,
    /// When the answer has to be there.
    pub deadline: Instant,
    /// What may be read, and what was.
    pub budget: &'a Budget,
}

/// Rows and bytes that may still be read; counts what was.
#[derive(Debug)]
pub(crate) struct Budget {
    max_rows: u64,
    max_bytes: u64,
    requests: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    waited_nanos: AtomicU64,
}

impl Budget {
    pub fn new(max_rows: u64, max_bytes: u64) -> Budget {
        let zero = || AtomicU64::new(0);
        let (requests, rows, bytes, waited_nanos) = (zero(), zero(), zero(), zero());
        Budget { max_rows, max_bytes, requests, rows, bytes, waited_nanos }
    }

    /// What was read.
    pub fn stats(&self) -> ReadStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ReadStats {
            requests: get(&self.requests),
            rows: get(&self.rows),
            bytes: get(&self.bytes),
            waited_nanos: get(&self.waited_nanos),
        }
    }

    fn take(&self, reply: &ReadReply) -> Result<(), TxnError> {
        let rows = || reply.spans.iter().flat_map(|span| &span.rows);
        let count = rows().count() as u64;
        let bytes: u64 = rows().map(|(key, value)| (key.len() + value.len()) as u64).sum();
        self.waited_nanos.fetch_add(reply.waited_nanos, Ordering::Relaxed);
        if self.rows.fetch_add(count, Ordering::Relaxed) + count > self.max_rows {
            return Err(TxnError::ReadBudget { limit: self.max_rows, unit: "rows" });
        }
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > self.max_bytes {
            return Err(TxnError::ReadBudget { limit: self.max_bytes, unit: "bytes" });
        }
        Ok(())
    }
}

/// A part of a scan within one range.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    /// Which scan.
    scan: usize,
    span: Span,
    reverse: bool,
}

/// Rows of a piece.
#[derive(Debug)]
struct Chunk {
    scan: usize,
    /// What was asked for when these rows came: orders the chunks of a scan.
    span: Span,
    rows: Vec<(Key, Bytes)>,
}

/// What one range answered.
#[derive(Debug, Default)]
struct RangeRead {
    chunks: Vec<Chunk>,
    /// What the range turned out not to own.
    left: Vec<Piece>,
}

impl Router {
    /// Reads all rows of the spans; one list of rows per span, in its direction.
    pub(crate) async fn read_all(
        &self,
        plan: &ReadPlan<'_>,
        spans: &[ReadSpan],
    ) -> Result<Vec<Vec<(Key, Bytes)>>, TxnError> {
        let piece = |(scan, read): (usize, &ReadSpan)| Piece {
            scan,
            span: read.span.clone(),
            reverse: read.reverse,
        };
        let mut pieces: Vec<Piece> = spans.iter().enumerate().map(piece).collect();
        let mut chunks = Vec::new();
        for moves in 0..=self.config().max_moves {
            let mut parts: Partition<Vec<Piece>> = Partition::new();
            for piece in &pieces {
                let put =
                    |group: &mut Vec<Piece>, span| group.push(Piece { span, ..piece.clone() });
                parts.split(self, &piece.span, plan.deadline, put).await?;
            }
            let groups = parts.into_groups();
            let reads = groups
                .iter()
                .map(|(range, pieces)| self.read_range(plan, range, pieces.clone(), moves));
            pieces.clear();
            for read in join_all(reads).await {
                let read = read?;
                chunks.extend(read.chunks);
                pieces.extend(read.left);
            }
            if pieces.is_empty() {
                return Ok(put_together(spans, chunks));
            }
        }
        let piece = &pieces[0].span;
        Err(kept_moving(self.range_of(&piece.start, plan.deadline).await?.id, piece))
    }

    /// Reads at most `limit` rows of a span; `resume` is set if the limit ended it.
    pub(crate) async fn read_limited(
        &self,
        plan: &ReadPlan<'_>,
        read: &ReadSpan,
        limit: u64,
    ) -> Result<ScanRows, TxnError> {
        let (mut rest, reverse) = (read.span.clone(), read.reverse);
        let (mut rows, mut moves) = (Vec::new(), 0);
        while !rest.is_empty() {
            if rows.len() as u64 >= limit {
                return Ok(ScanRows { rows, resume: Some(rest) });
            }
            let ranges = self.ranges_of(&rest, plan.deadline).await?;
            let range = if reverse { ranges.last() } else { ranges.first() };
            let range = range.expect("a span that is not empty has ranges");
            let span = rest.intersect(&range.span).expect("a range of the span");
            let page = ReadSpan { span: span.clone(), reverse };
            let max_rows = limit - rows.len() as u64;
            let Some(mut reply) = self.ask(plan, range, vec![page], max_rows).await? else {
                moves += 1;
                if moves > self.config().max_moves {
                    return Err(kept_moving(range.id, &span));
                }
                self.follow(range, moves, plan.deadline).await;
                continue;
            };
            let answer = reply.spans.pop().expect("checked: one answer per span");
            let reached = match (&answer.resume, reverse) {
                (Some(resume), false) => resume.start.clone(),
                (Some(resume), true) => resume.end.clone(),
                (None, false) => span.end,
                (None, true) => span.start,
            };
            rows.extend(answer.rows);
            if reverse {
                rest.end = reached;
            } else {
                rest.start = reached;
            }
        }
        Ok(ScanRows { rows, resume: None })
    }

    /// Reads all pieces in one range, page by page.
    async fn read_range(
        &self,
        plan: &ReadPlan<'_>,
        range: &Arc<Descriptor>,
        mut pieces: Vec<Piece>,
        moves: u32,
    ) -> Result<RangeRead, TxnError> {
        let mut read = RangeRead::default();
        while !pieces.is_empty() {
            let ask = |piece: &Piece| ReadSpan { span: piece.span.clone(), reverse: piece.reverse };
            let spans = pieces.iter().map(ask).collect();
            let Some(reply) = self.ask(plan, range, spans, 0).await? else {
                self.follow(range, moves, plan.deadline).await;
                read.left = pieces;
                return Ok(read);
            };
            let mut left = Vec::new();
            for (piece, answer) in pieces.iter().zip(reply.spans) {
                if !answer.rows.is_empty() {
                    let (scan, span) = (piece.scan, piece.span.clone());
                    read.chunks.push(Chunk { scan, span, rows: answer.rows });
                }
                let rest = |span| Piece { span, ..piece.clone() };
                left.extend(answer.resume.map(rest));
            }
            if left == pieces {
                return Err(TxnError::Invalid(format!("{range} does not get on with a read")));
            }
            pieces = left;
        }
        Ok(read)
    }

    /// One request to one range. `None`: the range does not own the keys.
    async fn ask(
        &self,
        plan: &ReadPlan<'_>,
        range: &Arc<Descriptor>,
        spans: Vec<ReadSpan>,
        max_rows: u64,
    ) -> Result<Option<ReadReply>, TxnError> {
        let asked: Vec<Span> = spans.iter().map(|read| read.span.clone()).collect();
        let request = Request::Read(Read {
            at: plan.at,
            from: plan.from,
            holder: plan.holder.clone(),
            spans,
            max_rows,
            program: plan.program.clone(),
            unchanged_since: plan.unchanged_since,
        });
        plan.budget.requests.fetch_add(1, Ordering::Relaxed);
        let answer = match plan.from {
            ReadFrom::Leader => self.send_to_leader(range, request, plan.deadline).await,
            ReadFrom::AnyReplica => self.send_nearest(range, request, plan.deadline).await,
        };
        match answer {
            Ok(Reply::Read(reply)) if answers(&reply, &asked) => {
                plan.budget.take(&reply)?;
                Ok(Some(reply))
            }
            Ok(other) => Err(TxnError::Invalid(format!("{range} answered a read with {other:?}"))),
            Err(KvError::WrongRange { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a reply is one to this request: one answer per span, and what is left of a span lies in
/// it.
fn answers(reply: &ReadReply, asked: &[Span]) -> bool {
    let rest = |(answer, span): (&SpanRows, &Span)| {
        answer.resume.as_ref().is_none_or(|rest| !rest.is_empty() && span.covers(rest))
    };
    reply.spans.len() == asked.len() && reply.spans.iter().zip(asked).all(rest)
}

fn put_together(spans: &[ReadSpan], chunks: Vec<Chunk>) -> Vec<Vec<(Key, Bytes)>> {
    let mut by_scan: BTreeMap<usize, Vec<Chunk>> = BTreeMap::new();
    for chunk in chunks {
        by_scan.entry(chunk.scan).or_default().push(chunk);
    }
    let mut rows_of = |(scan, read): (usize, &ReadSpan)| {
        let mut chunks = by_scan.remove(&scan).unwrap_or_default();
        if read.reverse {
            chunks.sort_by(|a, b| b.span.end.cmp(&a.span.end));
        } else {
            chunks.sort_by(|a, b| a.span.start.cmp(&b.span.start));
        }
        let mut chunks = chunks.into_iter().map(|chunk| chunk.rows);
        let mut rows = chunks.next().unwrap_or_default();
        chunks.for_each(|more| rows.extend(more));
        rows
    };
    spans.iter().enumerate().map(&mut rows_of).collect()
}

fn kept_moving(range: RangeId, span: &Span) -> TxnError {
    let missing = format!("it does not own {span}, and who does was not found");
    TxnError::Unavailable { range, missing }
}
