//! Programs that replicas run over the rows of a scan: decode, filter, project or aggregate, limit.
//!
//! The gateway plans a scan, puts what can be decided by a row alone into a [`Program`], and sends
//! it with the request. The replica opens it as a [`Runner`] and shows it each row; what the runner
//! emits goes back instead of the row. So a scan that keeps one row in a thousand, or only sums
//! them, costs little on the wire.
//!
//! ```text
//! key, value --decode--> row --filter--> row --output--> tuple          (Output::Rows)
//!                                             \--> groups --> partials  (Output::Groups)
//! ```
//!
//! A group's tuple is its key followed by the partial states of its aggregates
//! ([`Accumulator::partial`]). One group may be emitted more than once, by several replicas or by
//! one whose memory for groups was full: the gateway merges ([`Accumulator::merge`]).
//!
//! Programs know no session and are deterministic: times and time zone come with them, everything
//! else the gateway has folded into constants ([`Expr::fold`]).

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use keys::codec::Direction;
use serde::{Deserialize, Serialize};

use crate::{
    agg::{Accumulator, AggCall},
    context::{ByteaOutput, EvalContext},
    datetime::TimeZone,
    datum::Datum,
    error::{Result, SqlError},
    expr::Expr,
    key,
    row::{self, ColumnId},
    types::Type,
};

/// The most groups a runner holds; beyond, it emits the least group as it is and forgets it.
pub const MAX_GROUPS: usize = 4_096;
/// The most bytes of groups a runner holds; beyond, the same.
pub const MAX_GROUP_BYTES: usize = 4 << 20;
/// The longest program that is opened.
pub const MAX_PROGRAM_BYTES: usize = 1 << 20;
/// The widest row a program decodes.
pub const MAX_WIDTH: u32 = 10_000;

/// About the nanoseconds that decoding a row takes.
const DECODED_ROW: usize = 100;
/// About the nanoseconds that evaluating a node of an expression takes.
const EVALUATED_NODE: usize = 20;

/// How keys and values of an index become rows. Positions of columns in the row ("slots") are free:
/// usually the table's columns in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Layout {
    /// Bytes of the key before its first column: table and index.
    pub prefix_length: u32,
    /// The key's columns, in the key's order.
    pub key: Vec<KeyColumn>,
    /// The value's columns, in ascending order of their ids. One that is in the key too is read
    /// from here if it is here.
    pub values: Vec<ValueColumn>,
    /// How many columns the row has. Slots that neither key nor value fills are NULL.
    pub width: u32,
}

/// A column in the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyColumn {
    /// Its place in the row; `None`: nobody asks for it.
    pub slot: Option<u32>,
    /// Its type.
    pub ty: Type,
    /// Which way it is sorted.
    pub direction: Direction,
}

/// A column in the value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValueColumn {
    /// Its id.
    pub id: ColumnId,
    /// Its place in the row.
    pub slot: u32,
    /// Its value in rows written before it was added.
    pub default: Datum,
}

/// What a program yields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Output {
    /// A tuple for each row.
    Rows(Vec<Expr>),
    /// A tuple for each group of rows: its key, then the partial states of the aggregates.
    Groups {
        /// What rows of a group have in common; empty: all rows are one group.
        group_by: Vec<Expr>,
        /// What is computed of each group.
        aggregates: Vec<AggCall>,
    },
}

/// A program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// How to read rows.
    pub layout: Layout,
    /// Which rows count; `None`: all.
    pub filter: Option<Expr>,
    /// What to make of them.
    pub output: Output,
    /// Stop after so many tuples; `None`: never. Not with groups.
    pub limit: Option<u64>,
    /// The session's time zone.
    pub timezone: TimeZone,
    /// How the session writes `bytea`.
    pub bytea: ByteaOutput,
    /// `now()`.
    pub transaction_time: i64,
    /// `statement_timestamp()`.
    pub statement_time: i64,
}

impl Program {
    /// The program's bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        postcard::to_stdvec(self).expect("a program always serializes").into()
    }

    /// The program of these bytes.
    ///
    /// # Errors
    /// They are none, or it asks for what replicas don't do: `XX001`.
    pub fn decode(bytes: &[u8]) -> Result<Program> {
        if bytes.len() > MAX_PROGRAM_BYTES {
            return Err(SqlError::corrupted("a pushed-down program: too long"));
        }
        let program: Program = postcard::from_bytes(bytes)
            .map_err(|error| SqlError::corrupted(format_args!("a pushed-down program: {error}")))?;
        program.check()?;
        Ok(program)
    }

    /// Whether a replica can run it.
    ///
    /// # Errors
    /// It cannot: `XX001`.
    pub fn check(&self) -> Result<()> {
        let Layout { key, values, width, .. } = &self.layout;
        let slots = key.iter().filter_map(|column| column.slot);
        let mut slots = slots.chain(values.iter().map(|column| column.slot));
        let ascending = values.windows(2).all(|pair| pair[0].id < pair[1].id);
        let fine = *width <= MAX_WIDTH
            && slots.all(|slot| slot < *width)
            && ascending
            && self.expressions().into_iter().all(|expression| self.can_run(expression))
            && match &self.output {
                Output::Rows(_) => true,
                Output::Groups { aggregates, .. } => {
                    self.limit.is_none() && aggregates.iter().all(AggCall::has_partial)
                }
            };
        if fine { Ok(()) } else { Err(SqlError::corrupted("a pushed-down program: not runnable")) }
    }

    /// Drops the columns that no expression looks at, so that they are not decoded.
    fn forget_unused_columns(&mut self) {
        let mut used = BTreeSet::new();
        for expression in self.expressions() {
            expression.columns(&mut |position| used.extend([position]));
        }
        self.layout.values.retain(|column| used.contains(&column.slot));
        for column in &mut self.layout.key {
            column.slot = column.slot.filter(|slot| used.contains(slot));
        }
    }

    fn expressions(&self) -> Vec<&Expr> {
        let mut all: Vec<&Expr> = self.filter.iter().collect();
        match &self.output {
            Output::Rows(tuple) => all.extend(tuple),
            Output::Groups { group_by, aggregates } => {
                all.extend(group_by);
                for call in aggregates {
                    all.extend(call.args.iter().chain(&call.filter));
                }
            }
        }
        all
    }

    fn can_run(&self, expression: &Expr) -> bool {
        let mut inside = true;
        expression.columns(&mut |position| inside &= position < self.layout.width);
        inside && expression.is_pushable()
    }
}

impl Layout {
    /// A row of the right width before anything is known of it: defaults, else NULL.
    #[must_use]
    pub fn blank(&self) -> Vec<Datum> {
        let mut row = vec![Datum::Null; self.width as usize];
        for column in &self.values {
            row[column.slot as usize] = column.default.clone();
        }
        row
    }

    /// The row of a key and its value.
    ///
    /// # Errors
    /// The bytes are none of this index: `XX001`.
    pub fn decode(&self, key: &[u8], value: &[u8]) -> Result<Vec<Datum>> {
        let mut row = self.blank();
        self.decode_key(key, &mut row)?;
        let places: Vec<(ColumnId, usize)> =
            self.values.iter().map(|column| (column.id, column.slot as usize)).collect();
        row::decode_into(value, &places, &mut row)?;
        Ok(row)
    }

    fn decode_key(&self, key: &[u8], row: &mut [Datum]) -> Result<()> {
        // Behind the last column that is asked for there is nothing to read.
        let wanted = self.key.iter().rposition(|column| column.slot.is_some());
        let Some(last) = wanted else {
            return Ok(());
        };
        let mut rest = key
            .get(self.prefix_length as usize..)
            .ok_or_else(|| SqlError::corrupted("a key shorter than its index's prefix"))?;
        for column in &self.key[..=last] {
            let value = key::decode_datum(&mut rest, column.ty)?;
            if let Some(slot) = column.slot {
                row[slot as usize] = value;
            }
        }
        Ok(())
    }
}

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// This tuple goes back in its place.
    Emit(Bytes),
    /// This tuple is the last one: the limit is reached.
    EmitAndStop(Bytes),
    /// Nothing goes back.
    Skip,
    /// Nothing goes back, and no further row is wanted.
    Stop,
}

/// A program at work.
#[derive(Debug)]
pub struct Runner {
    program: Program,
    context: EvalContext,
    /// Where value columns go, sorted by id.
    places: Vec<(ColumnId, usize)>,
    /// A row before anything is known of it.
    blank: Vec<Datum>,
    /// The row at hand; kept to spare an allocation.
    row: Vec<Datum>,
    /// Tuples emitted so far.
    emitted: u64,
    groups: BTreeMap<Vec<Datum>, Vec<Accumulator>>,
    /// About how many bytes the groups take.
    group_bytes: usize,
    /// What a row takes, and what all took so far, in nanoseconds, about.
    row_work: usize,
    work: usize,
}

impl Runner {
    /// Opens a program.
    ///
    /// # Errors
    /// The bytes are none: `XX001`.
    pub fn open(program: &[u8]) -> Result<Runner> {
        Program::decode(program).map(Runner::new)
    }

    /// Makes a checked program ready for rows.
    #[must_use]
    pub fn new(mut program: Program) -> Runner {
        program.forget_unused_columns();
        let context = EvalContext {
            transaction_time: program.transaction_time,
            statement_time: program.statement_time,
            timezone: program.timezone,
            bytea: program.bytea,
            ..EvalContext::default()
        };
        let nodes: usize = program.expressions().into_iter().map(Expr::size).sum();
        let values = program.layout.values.iter();
        Runner {
            context,
            places: values.map(|column| (column.id, column.slot as usize)).collect(),
            blank: program.layout.blank(),
            row: Vec::new(),
            emitted: 0,
            groups: BTreeMap::new(),
            group_bytes: 0,
            row_work: DECODED_ROW + nodes * EVALUATED_NODE,
            work: 0,
            program,
        }
    }

    /// Takes in a row.
    ///
    /// # Errors
    /// Those of the program's expressions; bytes that are no row of the index: `XX001`.
    pub fn row(&mut self, key: &[u8], value: &[u8]) -> Result<Step> {
        if self.program.limit == Some(self.emitted) {
            return Ok(Step::Stop);
        }
        self.work = self.work.saturating_add(self.row_work + self.context.take_work());
        self.context.begin_row();
        self.row.clone_from(&self.blank);
        self.program.layout.decode_key(key, &mut self.row)?;
        row::decode_into(value, &self.places, &mut self.row)?;
        if let Some(filter) = &self.program.filter
            && !filter.is_true(&self.row, &self.context)?
        {
            return Ok(Step::Skip);
        }
        match &self.program.output {
            Output::Rows(tuple) => {
                let tuple = tuple
                    .iter()
                    .map(|expression| expression.eval(&self.row, &self.context))
                    .collect::<Result<Vec<_>>>()?;
                self.emitted += 1;
                let tuple = row::encode_tuple(tuple.iter());
                let last = self.program.limit == Some(self.emitted);
                Ok(if last { Step::EmitAndStop(tuple) } else { Step::Emit(tuple) })
            }
            Output::Groups { .. } => self.group(),
        }
    }

    /// Takes the row at hand into its group.
    fn group(&mut self) -> Result<Step> {
        let Output::Groups { group_by, aggregates } = &self.program.output else {
            return Err(SqlError::internal("no groups in this program"));
        };
        let key = group_by
            .iter()
            .map(|expression| expression.eval(&self.row, &self.context))
            .collect::<Result<Vec<_>>>()?;
        if let Some(group) = self.groups.get_mut(&key) {
            let before = group_size(&key, group);
            for (accumulator, call) in group.iter_mut().zip(aggregates) {
                accumulator.update_row(call, &self.row, &self.context)?;
            }
            let size = group_size(&key, group);
            self.group_bytes += size.saturating_sub(before);
            if self.group_bytes <= MAX_GROUP_BYTES {
                return Ok(Step::Skip);
            }
            // The one that grew goes: that gives back at least what it took now.
            let tuple = group_tuple(&key, group);
            self.groups.remove(&key);
            self.group_bytes -= size;
            return Ok(Step::Emit(tuple));
        }
        let mut group: Vec<Accumulator> = aggregates.iter().map(Accumulator::new).collect();
        for (accumulator, call) in group.iter_mut().zip(aggregates) {
            accumulator.update_row(call, &self.row, &self.context)?;
        }
        let size = group_size(&key, &group);
        let full = self.groups.len() >= MAX_GROUPS || self.group_bytes + size > MAX_GROUP_BYTES;
        let evicted = if full { self.groups.pop_first() } else { None };
        self.groups.insert(key, group);
        self.group_bytes += size;
        Ok(match evicted {
            Some((key, group)) => {
                self.group_bytes -= group_size(&key, &group);
                Step::Emit(group_tuple(&key, &group))
            }
            None => Step::Skip,
        })
    }

    /// What is left to send after the last row: the groups, in the order of their keys.
    pub fn finish(&mut self) -> Vec<Bytes> {
        self.group_bytes = 0;
        let groups = std::mem::take(&mut self.groups);
        groups.iter().map(|(key, group)| group_tuple(key, group)).collect()
    }
}

/// About how many bytes a group takes: never less than it did before.
fn group_size(key: &[Datum], group: &[Accumulator]) -> usize {
    key.iter().map(Datum::memory).sum::<usize>()
        + group.iter().map(Accumulator::memory).sum::<usize>()
        + size_of::<(Vec<Datum>, Vec<Accumulator>)>()
}

fn group_tuple(key: &[Datum], group: &[Accumulator]) -> Bytes {
    let partials = group.iter().flat_map(Accumulator::partial);
    let tuple: Vec<Datum> = key.iter().cloned().chain(partials).collect();
    row::encode_tuple(tuple.iter())
}

/// Opens programs for replicas.
#[derive(Clone, Copy, Debug, Default)]
pub struct Programs;

impl kv::PushdownFactory for Programs {
    fn open(&self, program: &[u8]) -> Result<Box<dyn kv::Pushdown>, kv::PushdownError> {
        Ok(Box::new(Runner::open(program).map_err(failure)?))
    }
}

impl kv::Pushdown for Runner {
    fn row(&mut self, key: &[u8], value: &[u8]) -> Result<kv::PushStep, kv::PushdownError> {
        Ok(match Runner::row(self, key, value).map_err(failure)? {
            Step::Emit(tuple) => kv::PushStep::Emit(tuple),
            Step::EmitAndStop(tuple) => kv::PushStep::EmitAndStop(tuple),
            Step::Skip => kv::PushStep::Skip,
            Step::Stop => kv::PushStep::Stop,
        })
    }

    fn finish(&mut self) -> Result<Vec<Bytes>, kv::PushdownError> {
        Ok(Runner::finish(self))
    }

    fn work(&self) -> usize {
        self.work
    }
}

/// The error as it travels back to the gateway.
fn failure(error: SqlError) -> kv::PushdownError {
    kv::PushdownError { encoded: error.encode().into(), message: error.message }
}

/// The error that a replica's program met.
impl From<&kv::PushdownError> for SqlError {
    fn from(failure: &kv::PushdownError) -> SqlError {
        SqlError::decode(&failure.encoded, &failure.message)
    }
}
