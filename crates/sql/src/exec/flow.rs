//! Rows on their way: what yields them a batch at a time, without holding all of them.
//!
//! Filters, projections, limits, series, `UNION ALL` and the left input of a join pass their rows
//! on, so `count(*)` over a join of a hundred million pairs holds the two tables and a batch.
//! Whatever needs all rows at once (a sort, the right input of a join) collects them
//! ([`Exec::rows`]), and only then they count against the statement's memory.

use std::sync::Arc;

use expr::{Datum, Expr, SqlError};
use futures::{FutureExt, future::BoxFuture};

use super::{Count, Exec, aggregate, join, lock, pace::steps, row_memory, rows, scan};
use crate::{
    error::Outcome,
    plan::{Node, SetOp},
    room::Roomy,
    session::Row,
};

/// Rows that go on their way together, about.
pub(super) const BATCH: usize = 1_024;

/// Bytes of new values that go on their way together, about: a batch of large ones is shorter.
pub(super) const BATCH_BYTES: usize = 4 << 20;

/// Expressions over rows that come in batches.
pub(crate) struct Projection<'p> {
    input: Flow<'p>,
    exprs: Vec<Expr>,
    /// Steps that one row takes.
    steps: usize,
    /// Rows of the input that were not looked at yet.
    rows: std::vec::IntoIter<Row>,
}

/// Rows that come in batches.
pub(crate) enum Flow<'p> {
    /// Rows that are there, and counted.
    Ready(std::vec::IntoIter<Row>),
    /// Rows that others read as well, and how many were passed on.
    Shared(Arc<Vec<Row>>, usize),
    /// Numbers: the next one (none: it ended), the last one, the distance.
    Series(Option<i64>, i64, i64),
    /// Rows that fulfil conditions, which take so many steps.
    Filter(Box<Flow<'p>>, Vec<Expr>, usize),
    /// New rows of expressions.
    Project(Box<Projection<'p>>),
    /// Pairs.
    Join(Box<join::Pairs<'p>>),
    /// So many rows, behind so many.
    Limit(Box<Flow<'p>>, u64, u64),
    /// One input after the other; the second is opened when the first has ended.
    Append(Box<Flow<'p>>, Option<&'p Node>),
}

impl Flow<'_> {
    /// Whether its rows count against the statement's memory already.
    fn is_counted(&self) -> bool {
        match self {
            Flow::Ready(_) => true,
            Flow::Filter(input, ..) | Flow::Limit(input, ..) => input.is_counted(),
            Flow::Shared(..)
            | Flow::Series(..)
            | Flow::Project(_)
            | Flow::Join(_)
            | Flow::Append(..) => false,
        }
    }
}

impl<'a> Exec<'a> {
    /// All rows of a node.
    pub fn rows<'b>(&'b mut self, node: &'b Node) -> BoxFuture<'b, Outcome<Vec<Row>>>
    where
        'a: 'b,
    {
        async move {
            let mut flow = self.open(node).await?;
            if let Flow::Ready(rows) = flow {
                return Ok(rows.collect());
            }
            let counted = flow.is_counted();
            let mut out = Vec::new();
            while let Some(mut batch) = self.next(&mut flow).await? {
                if !counted {
                    batch.iter().try_for_each(|row| self.budget.row(row))?;
                }
                out.append(&mut batch);
            }
            Ok(out)
        }
        .boxed()
    }

    /// Begins to read a node.
    pub fn open<'b, 'p: 'b>(&'b mut self, node: &'p Node) -> BoxFuture<'b, Outcome<Flow<'p>>>
    where
        'a: 'b,
    {
        Roomy::one_level(self.opened(node).boxed()).boxed()
    }

    async fn opened<'p>(&mut self, node: &'p Node) -> Outcome<Flow<'p>> {
        let ready = |rows: Vec<Row>| Ok(Flow::Ready(rows.into_iter()));
        match node {
            Node::Rows(rows) => ready(self.constant_rows(rows).await?),
            Node::Scan(scan) => ready(scan::rows(self, scan, &[]).await?),
            Node::Series { start, stop, step } => self.series(start, stop, step.as_ref()),
            Node::Unnest(array) => ready(self.unnest(array).await?),
            Node::Shared(shared) => Ok(Flow::Shared(self.shared(shared.subquery), 0)),
            Node::Filter { input, conditions } => {
                let input = self.open(input).await?;
                let conditions = self.all_ready(conditions).await;
                let steps = steps(&conditions);
                Ok(Flow::Filter(Box::new(input), conditions, steps))
            }
            Node::Project { input, exprs } => {
                let input = self.open(input).await?;
                let exprs = self.all_ready(exprs).await;
                let (steps, rows) = (steps(&exprs), Vec::new().into_iter());
                Ok(Flow::Project(Box::new(Projection { input, exprs, steps, rows })))
            }
            Node::Join(join) => Ok(Flow::Join(Box::new(join::open(self, join).await?))),
            Node::Aggregate(aggregate) => ready(aggregate::rows(self, aggregate).await?),
            Node::Sort { input, keys } => {
                let rows = self.rows(input).await?;
                ready(self.sort(rows, keys).await?)
            }
            Node::Distinct { input, on } => {
                let input = self.open(input).await?;
                ready(self.distinct(input, on.as_deref()).await?)
            }
            Node::Limit { input, limit, offset } => {
                let limit = self.row_count(limit.as_ref(), Count::Limit)?.unwrap_or(u64::MAX);
                let offset = self.row_count(offset.as_ref(), Count::Offset)?.unwrap_or(0);
                Ok(Flow::Limit(Box::new(self.open(input).await?), limit, offset))
            }
            Node::SetOperation { op: SetOp::Union, all, left, right } => {
                let both = Flow::Append(Box::new(self.open(left).await?), Some(right));
                if *all { Ok(both) } else { ready(self.distinct(both, None).await?) }
            }
            Node::SetOperation { op, all, left, right } => {
                let left = self.rows(left).await?;
                let right = self.open(right).await?;
                ready(self.set_operation(*op, *all, left, right).await?)
            }
            Node::Lock(lock) => ready(lock::rows(self, lock).await?),
        }
    }

    /// The next rows, maybe none of them; `None`: there are no more.
    pub fn next<'b, 'p: 'b>(
        &'b mut self,
        flow: &'b mut Flow<'p>,
    ) -> BoxFuture<'b, Outcome<Option<Vec<Row>>>>
    where
        'a: 'b,
    {
        Roomy::one_level(self.batch(flow).boxed()).boxed()
    }

    async fn batch<'p>(&mut self, flow: &mut Flow<'p>) -> Outcome<Option<Vec<Row>>> {
        match flow {
            Flow::Ready(rows) => {
                let batch: Vec<Row> = rows.take(BATCH).collect();
                self.tick(batch.len()).await;
                Ok(some(batch))
            }
            Flow::Shared(rows, passed) => {
                let batch: Vec<Row> = rows.iter().skip(*passed).take(BATCH).cloned().collect();
                *passed += batch.len();
                self.tick(batch.len()).await;
                Ok(some(batch))
            }
            Flow::Series(next, stop, step) => {
                self.tick(BATCH).await;
                Ok(some(numbers(next, *stop, *step)))
            }
            Flow::Filter(input, conditions, steps) => {
                let Some(mut batch) = self.next(input).await? else { return Ok(None) };
                self.filter(&mut batch, conditions, *steps).await?;
                Ok(Some(batch))
            }
            Flow::Project(projection) => self.projected(projection).await,
            Flow::Join(pairs) => join::next(self, pairs).await,
            Flow::Limit(input, left, offset) => {
                if *left == 0 {
                    return Ok(None);
                }
                let Some(mut batch) = self.next(input).await? else { return Ok(None) };
                rows::cut(&mut batch, left, offset);
                Ok(Some(batch))
            }
            Flow::Append(first, second) => {
                if let Some(batch) = self.next(first).await? {
                    return Ok(Some(batch));
                }
                let Some(node) = second.take() else { return Ok(None) };
                **first = self.open(node).await?;
                self.next(first).await
            }
        }
    }

    /// The next rows of a projection. They count while the batch is made, and no longer once it is
    /// passed on: whoever holds them counts them.
    async fn projected(&mut self, projection: &mut Projection<'_>) -> Outcome<Option<Vec<Row>>> {
        let Projection { input, exprs, steps, rows } = projection;
        if rows.len() == 0 {
            let Some(batch) = self.next(input).await? else { return Ok(None) };
            *rows = batch.into_iter();
        }
        let mut out = Vec::with_capacity(rows.len());
        let mut bytes = 0;
        for row in rows {
            self.tick(*steps).await;
            let row = self.evaluate(&row, exprs).await?;
            let taken = row_memory(&row);
            self.budget.bytes(taken)?;
            bytes += taken;
            out.push(row);
            if bytes >= BATCH_BYTES {
                break;
            }
        }
        self.budget.give_back(bytes);
        Ok(Some(out))
    }

    /// `generate_series` over integers.
    fn series(&mut self, start: &Expr, stop: &Expr, step: Option<&Expr>) -> Outcome<Flow<'static>> {
        let bounds = (self.value(start)?, self.value(stop)?);
        let step = step.map_or(Ok(Datum::Int(1)), |step| self.value(step))?;
        let (Datum::Int(start), Datum::Int(stop), Datum::Int(step)) = (bounds.0, bounds.1, step)
        else {
            return Ok(Flow::Series(None, 0, 1));
        };
        if step == 0 {
            return Err(SqlError::invalid_parameter("step size cannot equal zero").into());
        }
        Ok(Flow::Series(Some(start), stop, step))
    }
}

/// A batch, unless nothing is in it.
fn some(batch: Vec<Row>) -> Option<Vec<Row>> {
    if batch.is_empty() { None } else { Some(batch) }
}

/// The next numbers of a series.
fn numbers(next: &mut Option<i64>, stop: i64, step: i64) -> Vec<Row> {
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(value) = *next
        && batch.len() < BATCH
    {
        if if step > 0 { value > stop } else { value < stop } {
            *next = None;
            break;
        }
        batch.push(vec![Datum::Int(value)]);
        *next = value.checked_add(step);
    }
    batch
}
