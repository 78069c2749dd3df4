//! The executor: runs a plan's nodes; rows come in batches ([`flow`]).
//!
//! Rows that must be held at the gateway are under a budget of memory ([`Budget`]); beyond it a
//! statement fails (`53200`) rather than the node. Whatever loops over rows lets other sessions run
//! in between ([`pace`]). What can be left out early is: scans read only the spans that
//! conditions leave, filters, limits and partial aggregates run at the replicas ([`scan`]).
//!
//! Subqueries run first, each once; their results take the places of parameters. Functions that ask
//! the cluster ([`external`]) run next. After that an expression needs nothing but its row.

mod aggregate;
mod conflict;
pub mod external;
pub mod flow;
mod insert;
mod join;
mod lock;
pub mod pace;
mod rows;
pub mod scan;
mod unique;
mod update;
mod writer;

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use clock::Timestamp;
use expr::{Datum, EvalContext, Expr, SqlError, SqlState, Volatility, stack};
use keys::{Key, Span};
use timer::Instant;
use txn::Txn;

use crate::{
    bind::SUBQUERY,
    catalog::Table,
    database::Database,
    error::Outcome,
    plan::{Body, Node, Plan, Subquery, SubqueryKind},
    session::Row,
};

/// What a statement runs in.
pub(crate) struct Environment<'a> {
    /// The node's database.
    pub database: &'a Database,
    /// The transaction.
    pub txn: &'a mut Txn,
    /// What expressions may know.
    pub context: EvalContext,
    /// When it must be done.
    pub deadline: Instant,
    /// How long it may wait for locks on rows at a time; `None`: until the deadline.
    pub lock_timeout: Option<Duration>,
    /// The session's last commit timestamp.
    pub last_commit: Option<Timestamp>,
    /// The session's last snapshot.
    pub last_read: Option<Timestamp>,
}

/// What a statement came to.
#[derive(Debug)]
pub(crate) struct Done {
    /// The rows it answers with; `None`: none are asked for.
    pub rows: Option<Vec<Row>>,
    /// How many rows it read or changed, for the command tag.
    pub count: u64,
}

/// Memory that rows take at the gateway, counted as they come. What is collected is not given back
/// before the end of the statement.
#[derive(Debug)]
pub(crate) struct Budget {
    left: usize,
    limit: usize,
}

impl Budget {
    fn new(limit: usize) -> Budget {
        Budget { left: limit, limit }
    }

    /// Takes the memory of a row.
    pub fn row(&mut self, row: &Row) -> Result<(), SqlError> {
        self.bytes(row_memory(row))
    }

    /// Gives back what was taken and is held no more.
    pub fn give_back(&mut self, bytes: usize) {
        self.left += bytes;
    }

    /// Takes so many bytes.
    pub fn bytes(&mut self, bytes: usize) -> Result<(), SqlError> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(SqlError::new(SqlState::OUT_OF_MEMORY, "out of memory for this statement")
                .with_detail(format!("Its rows take more than {} bytes.", self.limit))
                .with_hint("Read less at once: add a condition or a LIMIT.")),
        }
    }
}

/// About the memory of a row.
fn row_memory(row: &[Datum]) -> usize {
    row.iter().map(Datum::memory).sum::<usize>() + size_of::<Row>()
}

/// A running statement.
pub(crate) struct Exec<'a> {
    /// What it runs in.
    pub env: Environment<'a>,
    /// The statement's parameters.
    params: Vec<Datum>,
    /// The results of its subqueries.
    results: Vec<Answer>,
    /// Results of functions that ask the cluster, by their calls.
    answers: Vec<(Expr, Datum)>,
    /// Its memory.
    pub budget: Budget,
    /// How long it has computed.
    pub pace: pace::Pace,
}

/// What a subquery came to.
enum Answer {
    /// A value.
    Value(Datum),
    /// Rows that several places read.
    Rows(Arc<Vec<Row>>),
}

/// Runs a plan.
pub(crate) async fn run(plan: &Plan, params: &[Datum], env: Environment<'_>) -> Outcome<Done> {
    let limit = env.database.0.config.statement_memory;
    let mut exec = Exec {
        env,
        params: params.to_vec(),
        results: Vec::with_capacity(plan.subqueries.len()),
        answers: Vec::new(),
        budget: Budget::new(limit),
        pace: pace::Pace::default(),
    };
    for subquery in &plan.subqueries {
        let value = exec.subquery(subquery).await?;
        exec.results.push(value);
    }
    if plan.asks {
        external::ask(&mut exec, plan).await?;
    }
    match &plan.body {
        Body::Query(node) => {
            let rows = exec.rows(node).await?;
            let count = rows.len() as u64;
            Ok(Done { rows: Some(rows), count })
        }
        Body::Insert(insert) => insert::run(&mut exec, insert).await,
        Body::Update(update) => update::update(&mut exec, update).await,
        Body::Delete(delete) => update::delete(&mut exec, delete).await,
        Body::Truncate(tables) => update::truncate(&mut exec, tables).await,
    }
}

/// Whether a query locks rows.
pub(crate) fn locks(node: &Node) -> bool {
    matches!(node, Node::Lock(_))
        || node.inputs().into_iter().any(|input| stack::guard(|| locks(input)))
}

impl Exec<'_> {
    /// The expression with every parameter and answer in its place, constants computed.
    pub fn ready(&self, expr: &Expr) -> Expr {
        // Most expressions are one of these: there is nothing to put in or to compute.
        if matches!(expr, Expr::Column(_) | Expr::Const(_)) {
            return expr.clone();
        }
        let ready = expr.clone().rewrite(&mut |part| match part {
            Expr::Param { index, .. } => Expr::Const(self.param(index).clone()),
            other => other,
        });
        let ready = if self.answers.is_empty() { ready } else { self.answered(ready) };
        ready.fold(Volatility::Stable, &self.env.context)
    }

    /// The value of a parameter, or of a subquery.
    fn param(&self, index: u16) -> &Datum {
        let Some(subquery) = index.checked_sub(SUBQUERY) else {
            return &self.params[usize::from(index)];
        };
        match &self.results[usize::from(subquery)] {
            Answer::Value(value) => value,
            Answer::Rows(_) => unreachable!("the binder reads rows as rows"),
        }
    }

    /// The rows of a subquery that several places read.
    fn shared(&self, subquery: usize) -> Arc<Vec<Row>> {
        match &self.results[subquery] {
            Answer::Rows(rows) => rows.clone(),
            Answer::Value(value) => unreachable!("the binder reads values as values: {value:?}"),
        }
    }

    /// As [`Exec::ready`], for each; others run in between where one takes long to compute.
    pub async fn all_ready(&mut self, exprs: &[Expr]) -> Vec<Expr> {
        let mut ready = Vec::with_capacity(exprs.len());
        for expr in exprs {
            ready.push(self.ready(expr));
            self.tick(1).await;
        }
        ready
    }

    fn answered(&self, expr: Expr) -> Expr {
        expr.rewrite(&mut |part| {
            let answer = self.answers.iter().find(|(call, _)| *call == part);
            answer.map_or(part, |(_, value)| Expr::Const(value.clone()))
        })
    }

    /// The value of an expression without columns.
    pub fn value(&self, expr: &Expr) -> Result<Datum, SqlError> {
        self.ready(expr).eval(&[], &self.env.context)
    }

    async fn subquery(&mut self, subquery: &Subquery) -> Outcome<Answer> {
        let rows = self.rows(&subquery.node).await?;
        Ok(Answer::Value(match subquery.kind {
            SubqueryKind::Rows => return Ok(Answer::Rows(Arc::new(rows))),
            SubqueryKind::Exists => Datum::Bool(!rows.is_empty()),
            SubqueryKind::Scalar => match rows.as_slice() {
                [] => Datum::Null,
                [row] => row[0].clone(),
                _ => {
                    let message = "more than one row returned by a subquery used as an expression";
                    return Err(SqlError::new(SqlState::CARDINALITY_VIOLATION, message).into());
                }
            },
            SubqueryKind::Array(element) => {
                let items = rows.into_iter().map(|mut row| row.swap_remove(0)).collect();
                Datum::array(element, items)
            }
        }))
    }

    /// A limit or an offset; `None`: there is none.
    pub fn row_count(&self, expr: Option<&Expr>, which: Count) -> Result<Option<u64>, SqlError> {
        let Some(expr) = expr else { return Ok(None) };
        match self.value(expr)? {
            Datum::Null => Ok(None),
            Datum::Int(count) => match u64::try_from(count) {
                Ok(count) => Ok(Some(count)),
                Err(_) => Err(match which {
                    Count::Limit => SqlError::new(
                        SqlState::INVALID_ROW_COUNT_IN_LIMIT_CLAUSE,
                        "LIMIT must not be negative",
                    ),
                    Count::Offset => SqlError::new(
                        SqlState::INVALID_ROW_COUNT_IN_RESULT_OFFSET_CLAUSE,
                        "OFFSET must not be negative",
                    ),
                }),
            },
            other => unreachable!("the binder casts row counts to bigint, got {other:?}"),
        }
    }
}

/// Begins the span of a plan's operation, with what it reads; none if nobody traces it.
pub(crate) fn operation(
    database: &Database,
    name: impl FnOnce() -> String,
    spans: &[Span],
) -> trace::Span {
    let mut span = trace::span(trace::Kind::Operation, name);
    let catalog = || database.0.cache.current().map(|(catalog, _)| catalog);
    span.note("spans", || {
        let catalog = catalog();
        let named = spans.iter().take(MAX_NAMED_SPANS);
        let mut named: Vec<String> =
            named.map(|span| crate::error::named_span(span, catalog.as_deref())).collect();
        if spans.len() > MAX_NAMED_SPANS {
            named.push(format!("... {} spans in all", spans.len()));
        }
        named.join(", ")
    });
    span
}

/// Reads the keys that a write must not find, or must.
pub(crate) async fn existing(
    exec: &mut Exec<'_>,
    table: &Table,
    keys: &[Key],
) -> Outcome<Vec<Option<Bytes>>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    exec.in_time()?;
    // Named only where somebody traces.
    let named = if trace::context().is_some() { MAX_NAMED_SPANS + 1 } else { 0 };
    let points: Vec<Span> = keys.iter().take(named).cloned().map(Span::point).collect();
    let name = || format!("check keys of {}", table.name);
    let span = operation(exec.env.database, name, &points);
    Ok(trace::within(&span, pin!(exec.env.txn.get(keys))).await?)
}

/// Spans that a timeline names of one operation.
const MAX_NAMED_SPANS: usize = 4;

/// Which row count is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    /// `LIMIT`
    Limit,
    /// `OFFSET`
    Offset,
}
