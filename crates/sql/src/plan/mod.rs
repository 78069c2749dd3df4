//! Plans: what the binder makes of a statement and the executor runs.
//!
//! A [`Plan`] holds no values of a particular execution: parameters are still parameters and spans
//! not yet computed, so that it is kept and used again for as long as the tables it names do not
//! change. What turns predicates into spans of keys, at execution, is [`spans`]; which index is
//! taken, at planning, is [`access`].
//!
//! Every node yields rows of a fixed width; expressions name columns by position in the row below
//! them. A [`Scan`] yields whole rows of its table (columns nobody needs are NULL), so positions of
//! a table's columns never change on the way up to a join.

pub mod access;
pub mod depth;
pub mod optimize;
pub mod spans;
mod walk;

use std::sync::Arc;

use expr::{AggCall, Expr, Type, stack};
use keys::{IndexId, SchemaVersion, TableId};
use kv::LockWait;

use crate::{catalog::Table, session::ResultColumn};

/// What a statement does.
#[derive(Debug)]
pub struct Plan {
    /// Types of its parameters.
    pub params: Vec<Type>,
    /// The columns it answers with; empty if it answers with none.
    pub columns: Arc<[ResultColumn]>,
    /// The statement itself.
    pub body: Body,
    /// Uncorrelated subqueries, each run once, before what follows. Their results become the
    /// parameters behind the statement's own.
    pub subqueries: Vec<Subquery>,
    /// The tables it was bound to. It is good for as long as they are at these versions.
    pub tables: Vec<(TableId, SchemaVersion)>,
    /// Whether an expression of it needs a function that asks the cluster
    /// ([`crate::exec::external`]).
    pub asks: bool,
    /// Whether it holds a moment that a literal named ('now'): it must not be kept.
    pub momentary: bool,
    /// Whether a step of it may be long: it computes where nobody waits for the thread.
    pub long: bool,
    /// How deep its nodes and expressions are, together: who walks them makes room for that.
    pub levels: usize,
}

/// A deep plan is dropped with room for it, wherever the last one lets go of it.
impl Drop for Plan {
    fn drop(&mut self) {
        let body = std::mem::replace(&mut self.body, Body::Truncate(Vec::new()));
        let subqueries = std::mem::take(&mut self.subqueries);
        stack::room(self.levels, || drop((body, subqueries)));
    }
}

/// What kind of statement it is.
#[derive(Debug)]
pub enum Body {
    /// `SELECT`, `VALUES`, `TABLE`.
    Query(Node),
    /// `INSERT`.
    Insert(Box<Insert>),
    /// `UPDATE`.
    Update(Box<Update>),
    /// `DELETE`.
    Delete(Box<Delete>),
    /// `TRUNCATE`: every row of these tables.
    Truncate(Vec<Arc<Table>>),
}

/// A subquery whose result becomes a parameter.
#[derive(Debug)]
pub struct Subquery {
    /// What it runs.
    pub node: Node,
    /// What becomes of its rows.
    pub kind: SubqueryKind,
}

/// What becomes of a subquery's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubqueryKind {
    /// The one value of its one row; NULL without a row; an error with two.
    Scalar,
    /// Whether there is a row.
    Exists,
    /// An array of its first column.
    Array(expr::Element),
    /// The rows themselves, for every [`Node::Shared`] that names them.
    Rows,
}

/// A part of a query.
#[derive(Debug)]
pub enum Node {
    /// Rows of expressions.
    Rows(Vec<Vec<Expr>>),
    /// Rows of a table.
    Scan(Box<Scan>),
    /// `generate_series`.
    Series {
        /// First value.
        start: Expr,
        /// Last value.
        stop: Expr,
        /// Distance; `None`: 1.
        step: Option<Expr>,
    },
    /// The elements of an array, one a row.
    Unnest(Expr),
    /// The rows of a subquery that is read at several places: a query of WITH.
    Shared(Shared),
    /// Rows for which all of these are true.
    Filter {
        /// Where the rows come from.
        input: Box<Node>,
        /// The conditions.
        conditions: Vec<Expr>,
    },
    /// New rows, one for each.
    Project {
        /// Where the rows come from.
        input: Box<Node>,
        /// The new row's columns.
        exprs: Vec<Expr>,
    },
    /// Two inputs side by side.
    Join(Box<Join>),
    /// Groups.
    Aggregate(Box<Aggregate>),
    /// Rows in an order.
    Sort {
        /// Where the rows come from.
        input: Box<Node>,
        /// The order.
        keys: Vec<SortKey>,
    },
    /// Rows without repetitions.
    Distinct {
        /// Where the rows come from.
        input: Box<Node>,
        /// Rows that agree in these are the same; `None`: in everything.
        on: Option<Vec<Expr>>,
    },
    /// Some rows only.
    Limit {
        /// Where the rows come from.
        input: Box<Node>,
        /// At most so many; `None`: all.
        limit: Option<Expr>,
        /// Behind so many.
        offset: Option<Expr>,
    },
    /// `UNION`, `INTERSECT`, `EXCEPT`.
    SetOperation {
        /// Which one.
        op: SetOp,
        /// Whether repetitions stay.
        all: bool,
        /// The left input.
        left: Box<Node>,
        /// The right input, of the same width.
        right: Box<Node>,
    },
    /// `FOR UPDATE`: the rows of a table, locked.
    Lock(Box<LockRows>),
}

/// Rows that are there already.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Which of the plan's subqueries yields them.
    pub subquery: usize,
    /// Their width.
    pub width: usize,
    /// What the statement calls them.
    pub name: String,
}

/// Set operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOp {
    /// `UNION`
    Union,
    /// `INTERSECT`
    Intersect,
    /// `EXCEPT`
    Except,
}

/// Rows of a table.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The table.
    pub table: Arc<Table>,
    /// The name it goes by in the statement.
    pub alias: String,
    /// The index to read. Where it does not hold all needed columns, the rows are fetched from the
    /// primary index in a second round.
    pub index: IndexId,
    /// Conditions over the table's columns: all of them, also those that the spans imply.
    pub conditions: Vec<Expr>,
    /// Positions of the columns that anything above needs, conditions included, ascending.
    pub needed: Vec<u32>,
    /// The direction.
    pub order: ScanOrder,
    /// A bound for the rows that anything above needs, if the limit above counts them one by one.
    pub limit: Option<RowLimit>,
}

/// Which way a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanOrder {
    /// In the index's order.
    Forward,
    /// Against it.
    Reverse,
}

/// `LIMIT` and `OFFSET` of the node above.
#[derive(Clone, Debug)]
pub struct RowLimit {
    /// At most so many.
    pub limit: Expr,
    /// Behind so many.
    pub offset: Option<Expr>,
}

/// Two inputs side by side: the left row's columns, then the right row's.
#[derive(Debug)]
pub struct Join {
    /// Which rows stay without a match.
    pub kind: JoinKind,
    /// The left input.
    pub left: Node,
    /// Its width.
    pub left_width: usize,
    /// The right input.
    pub right: Node,
    /// Its width.
    pub right_width: usize,
    /// Pairs that must be equal: an expression over the left row, one over the right row.
    pub equal: Vec<(Expr, Expr)>,
    /// Further conditions for a match, over both rows.
    pub conditions: Vec<Expr>,
}

/// Which rows of a join stay without a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    /// None.
    Inner,
    /// Those of the left input.
    Left,
    /// Those of the right input.
    Right,
    /// Those of both.
    Full,
}

/// Groups: the group's expressions, then the aggregates.
#[derive(Debug)]
pub struct Aggregate {
    /// Where the rows come from.
    pub input: Node,
    /// Rows that agree in these make a group. None: one group, also without a row.
    pub group: Vec<Expr>,
    /// How many of these the statement names; the ones behind have one value in each group anyhow.
    pub asked: usize,
    /// What is computed for each.
    pub calls: Vec<AggCall>,
}

/// One key of an order.
#[derive(Clone, Debug)]
pub struct SortKey {
    /// The value.
    pub expr: Expr,
    /// Greatest first.
    pub descending: bool,
    /// Whether NULLs come first.
    pub nulls_first: bool,
}

/// Locks the rows of a table.
#[derive(Debug)]
pub struct LockRows {
    /// Where the rows come from.
    pub input: Node,
    /// The table.
    pub table: Arc<Table>,
    /// Where the table's columns begin in the row.
    pub offset: usize,
    /// What to do about locked rows.
    pub wait: LockWait,
}

/// `INSERT`.
#[derive(Debug)]
pub struct Insert {
    /// The table.
    pub table: Arc<Table>,
    /// Where the rows come from.
    pub source: Node,
    /// For each column of the table, where its value comes from.
    pub values: Vec<ColumnValue>,
    /// What every row must fulfil.
    pub checks: Vec<BoundCheck>,
    /// What to do about a row that is there already.
    pub conflict: Option<OnConflict>,
    /// What it answers with, over the table's row; `None`: nothing.
    pub returning: Option<Vec<Expr>>,
}

/// Where the value of a column comes from.
#[derive(Clone, Debug)]
pub enum ColumnValue {
    /// This expression over the source's row, with the assignment's cast over it.
    Source(Expr),
    /// An expression without columns: the default.
    Default(Expr),
    /// `DEFAULT` in some rows only.
    SourceUnless {
        /// The column of the source that says so: true in those rows.
        default: u32,
        /// What the other rows get, as in [`ColumnValue::Source`].
        source: Expr,
        /// What those get; never this variant.
        otherwise: Box<ColumnValue>,
    },
    /// A fresh row id.
    RowId,
    /// The next number of the column's counter.
    Serial,
}

/// A CHECK with its condition over the table's row.
#[derive(Clone, Debug)]
pub struct BoundCheck {
    /// Its name.
    pub name: String,
    /// Its condition.
    pub condition: Expr,
}

/// `ON CONFLICT`.
#[derive(Debug)]
pub struct OnConflict {
    /// The indexes that count; empty: all.
    pub targets: Vec<IndexId>,
    /// What to do; `None`: nothing.
    pub update: Option<ConflictUpdate>,
    /// Whether a row that is there becomes what was proposed, whatever it is: then it need not be read.
    pub replaces: bool,
}

/// `DO UPDATE`: expressions over the row that is there, followed by the row that was to be
/// inserted.
#[derive(Debug)]
pub struct ConflictUpdate {
    /// Position of a column and its new value.
    pub assignments: Vec<(usize, ColumnValue)>,
    /// Only if this is true.
    pub condition: Option<Expr>,
}

impl ConflictUpdate {
    /// Whether a row that is there becomes what was proposed, in every column and without a condition, and
    /// nothing but the row itself has to change with it.
    #[must_use]
    pub fn replaces(&self, table: &Table) -> bool {
        let width = table.columns.len();
        let key = table.positions(&table.primary);
        let proposed = |position: usize| {
            let assigned = self.assignments.iter().find(|(at, _)| *at == position);
            match assigned.map(|(_, value)| value) {
                Some(ColumnValue::Source(Expr::Column(from))) => *from as usize == width + position,
                Some(_) => false,
                // It met the row by its key. Where keys tell less than values do, that is not all of it.
                None => {
                    let lossy = expr::key::is_lossy(table.columns[position].ty);
                    key.contains(&position) && !lossy
                }
            }
        };
        let alone = table.secondary.is_empty() && !table.columns.iter().any(|column| column.hidden);
        alone && self.condition.is_none() && (0..width).all(proposed)
    }
}

/// `UPDATE`.
#[derive(Debug)]
pub struct Update {
    /// The table.
    pub table: Arc<Table>,
    /// The rows to change: the table's columns first, then those of `FROM`.
    pub source: Node,
    /// Position of a column and its new value, over the source's row.
    pub assignments: Vec<(usize, ColumnValue)>,
    /// What every new row must fulfil.
    pub checks: Vec<BoundCheck>,
    /// What it answers with, over the source's row with the table's new columns.
    pub returning: Option<Vec<Expr>>,
}

/// `DELETE`.
#[derive(Debug)]
pub struct Delete {
    /// The table.
    pub table: Arc<Table>,
    /// The rows to delete: the table's columns first, then those of `USING`.
    pub source: Node,
    /// What it answers with, over the source's row.
    pub returning: Option<Vec<Expr>>,
}

impl Node {
    /// The inputs, left to right.
    #[must_use]
    pub fn inputs(&self) -> Vec<&Node> {
        match self {
            Node::Rows(_)
            | Node::Scan(_)
            | Node::Series { .. }
            | Node::Unnest(_)
            | Node::Shared(_) => Vec::new(),
            Node::Filter { input, .. }
            | Node::Project { input, .. }
            | Node::Sort { input, .. }
            | Node::Distinct { input, .. }
            | Node::Limit { input, .. } => vec![input],
            Node::Join(join) => vec![&join.left, &join.right],
            Node::Aggregate(aggregate) => vec![&aggregate.input],
            Node::SetOperation { left, right, .. } => vec![left, right],
            Node::Lock(lock) => vec![&lock.input],
        }
    }
}
