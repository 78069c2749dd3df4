//! From conditions to spans of an index's keys.
//!
//! Each column of the index is looked at by itself: the conditions that compare it with constants
//! say which *pieces* of its value space matter. The pieces are intervals of *encoded* values, so
//! they intersect and unite bytewise, for every type and direction alike:
//!
//! ```text
//!   a IN (1, 3) AND b > 5        index (a, b)
//!   a: [1] [3]                   two points: go on with the next column
//!   b: (5 .. null)               not a point: the spans are complete
//!   -> /1/(5 - /1/null)  /3/(5 - /3/null)
//! ```
//!
//! Columns are taken one after the other for as long as all pieces of the one before are points;
//! the spans are then all combinations. Conditions that say nothing about a column alone are
//! ignored: the spans hold at least the rows that the conditions let through, and the conditions
//! are applied to every row again.
//!
//! Invariants, asserted here: pieces and spans are ascending and do not overlap. HAZARD: a piece
//! that is too small loses rows. Only comparisons with a constant *of the column's own type*
//! are used (integers of different width encode alike), and NULL lies in no piece but that of
//! `IS NULL`.

use expr::{BinaryOp, Datum, Expr, IsTest, Quantifier, Type};
use keys::{IndexId, Key, Span, codec::Direction, layout};

use crate::catalog::{Index, IndexColumn, Table, key_part};

/// The most spans made of combinations; beyond that the last column taken is left out.
pub const MAX_SPANS: usize = 10_000;

/// An interval of encoded values of one column, `start <= value < end`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    start: Vec<u8>,
    end: Vec<u8>,
    /// Whether it holds one value alone.
    point: bool,
}

/// What the conditions leave of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spans {
    /// The spans, ascending and apart.
    pub spans: Vec<Span>,
    /// How many leading columns have one value only.
    pub fixed: usize,
    /// How many leading columns are points in every span: with all columns of a unique index, each
    /// span holds at most one row.
    pub points: usize,
    /// How many leading columns the spans are made of: the points, and a range behind them.
    pub columns: usize,
}

/// The spans of an index that hold every row for which all the conditions may be true. The conditions
/// hold no parameters any more.
#[must_use]
pub fn spans(table: &Table, index: &Index, conditions: &[Expr]) -> Spans {
    let prefix = layout::index_prefix(table.id, index.id).to_vec();
    let mut heads = vec![(prefix.clone(), Key::from_vec(prefix).prefix_end().to_vec())];
    let (mut fixed, mut points, mut columns) = (0, 0, 0);
    for part in &index.columns {
        let column = ColumnView::of(table, part);
        let Some(pieces) = column.all_of(conditions) else { break };
        if heads.len().saturating_mul(pieces.len()) > MAX_SPANS {
            break;
        }
        heads = combine(&heads, &pieces);
        columns += 1;
        if !pieces.iter().all(|piece| piece.point) {
            break;
        }
        points += 1;
        if pieces.len() <= 1 && fixed + 1 == points {
            fixed += 1;
        }
    }
    // A row's key ends with the last column of its primary key: it is known whole.
    let whole = index.id == IndexId::PRIMARY && points > 0 && points == index.columns.len();
    let span = |(start, end)| {
        if whole { Span::point(Key::from_vec(start)) } else { Span::new(start, end) }
    };
    let spans: Vec<Span> = heads.into_iter().map(span).collect();
    assert!(spans.windows(2).all(|two| two[0].end <= two[1].start), "spans overlap: {spans:?}");
    Spans { spans, fixed, points, columns }
}

/// The conditions that still tell rows of the [`spans`] apart: all but those that compare one of the
/// columns that make the spans with constants, which the spans say as well.
#[must_use]
pub fn beyond(table: &Table, index: &Index, conditions: &[Expr]) -> Vec<Expr> {
    let taken = spans(table, index, conditions).columns;
    let columns: Vec<ColumnView> =
        index.columns[..taken].iter().map(|part| ColumnView::of(table, part)).collect();
    let said = |condition: &Expr| columns.iter().any(|column| column.says(condition));
    conditions.iter().filter(|condition| !said(condition)).cloned().collect()
}

fn combine(heads: &[(Vec<u8>, Vec<u8>)], pieces: &[Piece]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut out = Vec::with_capacity(heads.len() * pieces.len());
    for (head, _) in heads {
        for piece in pieces {
            out.push((
                [head.as_slice(), &piece.start].concat(),
                [head.as_slice(), &piece.end].concat(),
            ));
        }
    }
    out
}

/// How many leading columns of an index the conditions fix to single values, and whether they narrow
/// the one behind. Parameters count as constants: the answer holds for any values of them.
#[must_use]
pub fn shape(table: &Table, index: &Index, conditions: &[Expr]) -> Shape {
    let mut shape = Shape::default();
    for part in &index.columns {
        let position = u32::try_from(table.position(part.column)).expect("columns are few");
        let how = conditions.iter().map(|each| narrows(each, position)).max();
        match how.unwrap_or(Narrowing::Not) {
            Narrowing::One => {
                shape.points += 1;
                shape.fixed += usize::from(shape.fixed + 1 == shape.points);
            }
            Narrowing::Points => shape.points += 1,
            Narrowing::Range => {
                shape.range = true;
                break;
            }
            Narrowing::Not => break,
        }
    }
    shape
}

/// What conditions do to an index, whatever the values of parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Leading columns with one value each.
    pub fixed: usize,
    /// Leading columns with some values each.
    pub points: usize,
    /// Whether the column behind is narrowed to a range.
    pub range: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Narrowing {
    Not,
    Range,
    Points,
    One,
}

fn narrows(condition: &Expr, position: u32) -> Narrowing {
    let is_column = |expr: &Expr| column_of(expr) == Some(position);
    match condition {
        Expr::Binary { op, left, right, .. } if op.is_comparison() => {
            let compared =
                (is_column(left) && is_value(right)) || (is_column(right) && is_value(left));
            match op {
                BinaryOp::Eq if compared => Narrowing::One,
                BinaryOp::Ne => Narrowing::Not,
                _ if compared => Narrowing::Range,
                _ => Narrowing::Not,
            }
        }
        Expr::Is { arg, test: IsTest::Null, negated } if is_column(arg) => {
            if *negated {
                Narrowing::Range
            } else {
                Narrowing::One
            }
        }
        Expr::Is { arg, test: IsTest::True | IsTest::False, negated: false } if is_column(arg) => {
            Narrowing::One
        }
        Expr::InList { arg, list, negated: false } if is_column(arg) => {
            if list.iter().all(is_value) { Narrowing::Points } else { Narrowing::Not }
        }
        Expr::Quantified { arg, op: BinaryOp::Eq, array, quantifier: Quantifier::Any }
            if is_column(arg) && is_value(array) =>
        {
            Narrowing::Points
        }
        Expr::Distinct { left, right, negated: true }
            if is_column(left) && is_value(right) || is_column(right) && is_value(left) =>
        {
            Narrowing::One
        }
        Expr::Like { arg, pattern, escape: None, case_insensitive: false, negated: false }
            if is_column(arg) && is_value(pattern) =>
        {
            Narrowing::Range
        }
        Expr::Column(_) if is_column(condition) => Narrowing::One,
        Expr::Not(arg) if is_column(arg) => Narrowing::One,
        Expr::And(parts) => {
            parts.iter().map(|part| narrows(part, position)).max().unwrap_or(Narrowing::Not)
        }
        Expr::Or(parts) => parts
            .iter()
            .map(|part| narrows(part, position).min(Narrowing::Points))
            .min()
            .unwrap_or(Narrowing::Not),
        _ => Narrowing::Not,
    }
}

/// Whether the expression will be a constant once parameters have values.
fn is_value(expr: &Expr) -> bool {
    !expr.any(&mut |part| matches!(part, Expr::Column(_)))
        && expr.volatility() < expr::Volatility::Volatile
}

/// The column, also through a cast that changes no value: between integer widths, between string
/// types.
fn column_of(expr: &Expr) -> Option<u32> {
    match expr {
        Expr::Column(position) => Some(*position),
        Expr::Cast { arg, from, to, .. } if keeps_order(*from, *to) => column_of(arg),
        _ => None,
    }
}

fn keeps_order(from: Type, to: Type) -> bool {
    let width = |ty: Type| match ty {
        Type::Int2 => Some(2),
        Type::Int4 => Some(4),
        Type::Int8 => Some(8),
        _ => None,
    };
    match (width(from), width(to)) {
        (Some(from), Some(to)) => from <= to,
        _ => {
            let plain = |ty: Type| matches!(ty, Type::Text | Type::Varchar(None));
            matches!(from, Type::Text | Type::Varchar(_)) && plain(to)
        }
    }
}

/// A column of an index, under the eyes of a condition.
struct ColumnView {
    position: u32,
    ty: Type,
    direction: Direction,
}

impl ColumnView {
    fn of(table: &Table, part: &IndexColumn) -> ColumnView {
        let position = table.position(part.column);
        ColumnView {
            position: u32::try_from(position).expect("columns are few"),
            ty: table.columns[position].ty,
            direction: part.direction,
        }
    }

    /// Whether the pieces that a condition leaves hold the rows for which it is true and no others.
    fn says(&self, condition: &Expr) -> bool {
        match condition {
            Expr::And(parts) | Expr::Or(parts) => parts.iter().all(|part| self.says(part)),
            // A part of a text is no value to print.
            Expr::Like { .. } => false,
            // Spans are printed up to the first NULL or from it on: too little to read it off.
            Expr::Is { test: IsTest::Null, negated: true, .. } => false,
            other => self.pieces(other).is_some(),
        }
    }

    /// What all of the conditions leave; `None`: everything.
    fn all_of(&self, conditions: &[Expr]) -> Option<Vec<Piece>> {
        conditions
            .iter()
            .filter_map(|condition| self.pieces(condition))
            .reduce(|left, right| intersect(&left, &right))
    }

    /// What one condition leaves; `None`: it says nothing about this column alone.
    fn pieces(&self, condition: &Expr) -> Option<Vec<Piece>> {
        let is_column = |expr: &Expr| column_of(expr) == Some(self.position);
        match condition {
            Expr::Const(Datum::Bool(false) | Datum::Null) => Some(Vec::new()),
            Expr::Binary { op, left, right, .. } if is_column(left) => {
                self.compared(*op, right.as_const()?)
            }
            Expr::Binary { op, left, right, .. } if is_column(right) => {
                self.compared(op.commuted()?, left.as_const()?)
            }
            Expr::Is { arg, test, negated } if is_column(arg) => match (test, negated) {
                (IsTest::Null, false) => Some(vec![self.point(&Datum::Null)]),
                (IsTest::Null, true) => Some(vec![self.values()]),
                (IsTest::True, false) => Some(vec![self.point(&Datum::Bool(true))]),
                (IsTest::False, false) => Some(vec![self.point(&Datum::Bool(false))]),
                _ => None,
            },
            Expr::Distinct { left, right, negated: true } => {
                let (column, value) =
                    if is_column(left) { (true, right) } else { (is_column(right), left) };
                let value = value.as_const().filter(|_| column)?;
                self.fits(value).then(|| vec![self.point(value)])
            }
            Expr::InList { arg, list, negated: false } if is_column(arg) => {
                let values: Option<Vec<&Datum>> = list.iter().map(Expr::as_const).collect();
                self.any_of(values?)
            }
            Expr::Quantified { arg, op: BinaryOp::Eq, array, quantifier: Quantifier::Any }
                if is_column(arg) =>
            {
                match array.as_const()? {
                    Datum::Array(array) => self.any_of(array.items.iter().collect()),
                    Datum::Null => Some(Vec::new()),
                    _ => None,
                }
            }
            Expr::Like { arg, pattern, escape: None, case_insensitive: false, negated: false }
                if is_column(arg) =>
            {
                Some(self.like(pattern.as_const()?)?)
            }
            Expr::Column(_) if is_column(condition) => Some(vec![self.point(&Datum::Bool(true))]),
            Expr::Not(arg) if is_column(arg) => Some(vec![self.point(&Datum::Bool(false))]),
            Expr::And(parts) => self.all_of(parts),
            Expr::Or(parts) => {
                let pieces: Option<Vec<_>> = parts.iter().map(|part| self.pieces(part)).collect();
                Some(unite(pieces?.into_iter().flatten().collect()))
            }
            _ => None,
        }
    }

    /// The texts that begin as the pattern does.
    fn like(&self, pattern: &Datum) -> Option<Vec<Piece>> {
        let Datum::Text(pattern) = pattern else {
            return pattern.is_null().then(Vec::new);
        };
        if !matches!(self.ty, Type::Text | Type::Varchar(_)) {
            return None;
        }
        let end = pattern.find(['%', '_', '\\'])?;
        let mut start = self.encode(&Datum::text(&pattern[..end]));
        // Without the two bytes that close a text, what is left begins all longer texts.
        start.truncate(start.len() - 2);
        let end = Key::from_vec(start.clone()).prefix_end().to_vec();
        Some(vec![Piece { start, end, point: false }])
    }

    fn any_of(&self, values: Vec<&Datum>) -> Option<Vec<Piece>> {
        let values: Vec<&Datum> = values.into_iter().filter(|value| !value.is_null()).collect();
        if !values.iter().all(|value| self.fits(value)) {
            return None;
        }
        Some(unite(values.into_iter().map(|value| self.point(value)).collect()))
    }

    /// Whether the value encodes as values of the column do.
    fn fits(&self, value: &Datum) -> bool {
        value.is_null() || value.fits(self.ty)
    }

    fn encode(&self, value: &Datum) -> Vec<u8> {
        let mut bytes = Vec::new();
        key_part(value, self.direction, &mut bytes);
        bytes
    }

    fn point(&self, value: &Datum) -> Piece {
        let start = self.encode(value);
        let end = Key::from_vec(start.clone()).prefix_end().to_vec();
        Piece { start, end, point: true }
    }

    /// Everything but NULL.
    fn values(&self) -> Piece {
        let null = self.point(&Datum::Null);
        match self.direction {
            Direction::Ascending => Piece { start: Vec::new(), end: null.start, point: false },
            Direction::Descending => Piece { start: null.end, end: vec![0xff], point: false },
        }
    }

    fn compared(&self, op: BinaryOp, value: &Datum) -> Option<Vec<Piece>> {
        if !op.is_comparison() || !self.fits(value) {
            return None;
        }
        if value.is_null() {
            return Some(Vec::new());
        }
        let all = self.values();
        let point = self.point(value);
        let upwards = self.direction == Direction::Ascending;
        let piece = match op {
            BinaryOp::Eq => point,
            BinaryOp::Lt if upwards => Piece { end: point.start, ..all },
            BinaryOp::Le if upwards => Piece { end: point.end, ..all },
            BinaryOp::Gt if upwards => Piece { start: point.end, ..all },
            BinaryOp::Ge if upwards => Piece { start: point.start, ..all },
            BinaryOp::Lt => Piece { start: point.end, ..all },
            BinaryOp::Le => Piece { start: point.start, ..all },
            BinaryOp::Gt => Piece { end: point.start, ..all },
            BinaryOp::Ge => Piece { end: point.end, ..all },
            _ => return None,
        };
        Some(if piece.start < piece.end { vec![piece] } else { Vec::new() })
    }
}

/// What lies in both, both ascending.
fn intersect(left: &[Piece], right: &[Piece]) -> Vec<Piece> {
    let mut out = Vec::new();
    let (mut i, mut j) = (0, 0);
    while let (Some(a), Some(b)) = (left.get(i), right.get(j)) {
        let start = a.start.clone().max(b.start.clone());
        let end = a.end.clone().min(b.end.clone());
        if start < end {
            out.push(Piece { start, end, point: a.point || b.point });
        }
        if a.end <= b.end { i += 1 } else { j += 1 }
    }
    out
}

/// What lies in any, ascending and merged.
fn unite(mut pieces: Vec<Piece>) -> Vec<Piece> {
    pieces.sort_by(|a, b| (&a.start, &a.end).cmp(&(&b.start, &b.end)));
    let mut out: Vec<Piece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match out.last_mut() {
            Some(last) if piece.start < last.end => {
                if piece != *last {
                    last.point = last.point && piece.end <= last.end;
                    last.end = last.end.clone().max(piece.end);
                }
            }
            _ => out.push(piece),
        }
    }
    out
}
