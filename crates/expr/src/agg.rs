//! Aggregates: what many rows amount to.
//!
//! An [`Accumulator`] takes in rows one by one and yields the result. Where a replica aggregates
//! the rows it has, it sends the accumulator's *partial state*, a few values, and the gateway
//! merges the states of all replicas. So that this is exact, the order of merging must not matter:
//! sums of integers and decimals are exact, sums of floats round as floats do. Means and deviations
//! of floats are kept by [`moments`], which neither cancels nor overflows early.
//!
//! `DISTINCT`, `string_agg` and `array_agg` need all rows in one place; they have no partial state
//! ([`AggCall::has_partial`]).

mod moments;
mod resolve;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc};

pub use moments::{Regression, Spread};
pub use resolve::{is_aggregate, resolve};

use serde::{Deserialize, Serialize};

use crate::{
    context::EvalContext,
    datetime::Interval,
    datum::Datum,
    decimal::Decimal,
    error::{Result, SqlError},
    eval::arithmetic::checked_float,
    expr::Expr,
    types::{Element, Type},
};

/// An aggregate function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AggFunc {
    /// `count(*)`.
    CountRows,
    /// `count(x)`: of values that are not NULL.
    Count,
    /// `sum(x)`.
    Sum,
    /// `avg(x)`.
    Avg,
    /// `min(x)`.
    Min,
    /// `max(x)`.
    Max,
    /// `bool_and(x)`, `every(x)`.
    BoolAnd,
    /// `bool_or(x)`.
    BoolOr,
    /// `string_agg(x, separator)`.
    StringAgg,
    /// `array_agg(x)`, NULLs included.
    ArrayAgg,
    /// Variances and standard deviations.
    Spread(Spread),
    /// What two numbers of a row have to do with each other; rows with a NULL don't count.
    Regression(Regression),
}

/// An aggregate function with its types settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AggResolved {
    /// Which one.
    pub func: AggFunc,
    /// What its arguments are cast to.
    pub args: Vec<Type>,
    /// What comes out.
    pub result: Type,
}

/// A call of an aggregate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AggCall {
    /// Which one.
    pub func: AggFunc,
    /// Its arguments, over the rows that go in; cast to what it takes.
    pub args: Vec<Expr>,
    /// `DISTINCT`: equal arguments count once.
    pub distinct: bool,
    /// `FILTER (WHERE ...)`: only such rows count.
    pub filter: Option<Expr>,
    /// What comes out.
    pub result: Type,
}

impl AggCall {
    /// `count(*)`.
    #[must_use]
    pub const fn count_rows() -> AggCall {
        AggCall {
            func: AggFunc::CountRows,
            args: Vec::new(),
            distinct: false,
            filter: None,
            result: Type::Int8,
        }
    }

    /// Whether replicas can aggregate their rows apart, for the gateway to merge.
    #[must_use]
    pub fn has_partial(&self) -> bool {
        let mergeable = !matches!(self.func, AggFunc::StringAgg | AggFunc::ArrayAgg);
        let distinct_matters =
            !matches!(self.func, AggFunc::Min | AggFunc::Max | AggFunc::BoolAnd | AggFunc::BoolOr);
        mergeable && !(self.distinct && distinct_matters)
    }

    /// How many values its partial state has.
    #[must_use]
    pub const fn partial_width(&self) -> usize {
        match self.func {
            AggFunc::Avg if matches!(self.result, Type::Float8) => 3,
            AggFunc::Sum | AggFunc::Avg => 2,
            AggFunc::Spread(_) => 3,
            AggFunc::Regression(_) => 6,
            AggFunc::CountRows
            | AggFunc::Count
            | AggFunc::Min
            | AggFunc::Max
            | AggFunc::BoolAnd
            | AggFunc::BoolOr
            | AggFunc::StringAgg
            | AggFunc::ArrayAgg => 1,
        }
    }
}

/// Exact where the type is exact.
#[derive(Clone, Debug)]
enum Total {
    /// No value yet.
    None,
    Int(i128),
    Float(f64),
    Numeric(Decimal),
    Interval(Interval),
}

#[derive(Clone, Debug)]
enum State {
    /// Rows or values seen.
    Count(i64),
    /// The sum of the values that are not NULL, and how many.
    Total(Total, i64),
    /// The least or greatest value, or the truth so far; NULL before the first.
    Value(Datum),
    /// Texts or byte strings put together; `None` before the first.
    Joined(Option<Vec<u8>>),
    /// All values.
    Items(Vec<Datum>),
    /// Mean and deviation of floats.
    Moments(moments::Moments),
    /// Deviation of decimals.
    Exact(moments::Exact),
    /// Pairs of floats.
    Pairs(moments::Pairs),
}

/// An aggregate on its way over rows.
#[derive(Clone, Debug)]
pub struct Accumulator {
    func: AggFunc,
    result: Type,
    state: State,
    /// The arguments seen, for DISTINCT.
    seen: Option<BTreeSet<Vec<Datum>>>,
    /// Bytes held beyond the accumulator itself, of what grows with the rows.
    memory: usize,
    /// The most bytes that [`State::memory`] told so far.
    largest: usize,
}

impl Accumulator {
    /// The accumulator of a call before the first row.
    #[must_use]
    pub fn new(call: &AggCall) -> Accumulator {
        let state = match call.func {
            AggFunc::CountRows | AggFunc::Count => State::Count(0),
            AggFunc::Avg if call.result == Type::Float8 => State::Moments(Default::default()),
            AggFunc::Sum | AggFunc::Avg => State::Total(Total::None, 0),
            AggFunc::Spread(_) if call.result == Type::Float8 => State::Moments(Default::default()),
            AggFunc::Spread(_) => State::Exact(Default::default()),
            AggFunc::Regression(_) => State::Pairs(Default::default()),
            AggFunc::Min | AggFunc::Max | AggFunc::BoolAnd | AggFunc::BoolOr => {
                State::Value(Datum::Null)
            }
            AggFunc::StringAgg => State::Joined(None),
            AggFunc::ArrayAgg => State::Items(Vec::new()),
        };
        Accumulator {
            func: call.func,
            result: call.result,
            state,
            seen: call.distinct.then(BTreeSet::new),
            memory: 0,
            largest: 0,
        }
    }

    /// Takes in a row: evaluates the call's filter and arguments over it.
    ///
    /// # Errors
    /// Those of the expressions; a sum out of range: `22003`.
    pub fn update_row(&mut self, call: &AggCall, row: &[Datum], ctx: &EvalContext) -> Result<()> {
        if let Some(filter) = &call.filter
            && !filter.is_true(row, ctx)?
        {
            return Ok(());
        }
        let args = call.args.iter().map(|arg| arg.eval(row, ctx)).collect::<Result<Vec<_>>>()?;
        ctx.look(self.work_of(&args))?;
        self.update(args)
    }

    /// Work of taking in these arguments: they are compared, added, squared or copied.
    fn work_of(&self, args: &[Datum]) -> usize {
        let once: usize = args.iter().map(Datum::work).sum();
        // Where they must differ, they are compared with some of those that were seen.
        let seen = self.seen.as_ref().map_or(0, |seen| seen.len().checked_ilog2().unwrap_or(0) + 1);
        once.saturating_mul(1 + seen as usize)
    }

    /// Takes in the arguments of a row.
    ///
    /// # Errors
    /// A sum out of range: `22003`, `22008`.
    pub fn update(&mut self, args: Vec<Datum>) -> Result<()> {
        if let Some(seen) = &mut self.seen {
            let size = args.iter().map(Datum::memory).sum::<usize>() + size_of::<Vec<Datum>>();
            if !seen.insert(args.clone()) {
                return Ok(());
            }
            self.memory += size;
            if self.takes_order() {
                return Ok(());
            }
        }
        let mut args = args.into_iter();
        let (first, second) = (args.next(), args.next());
        if let (State::Count(count), AggFunc::CountRows) = (&mut self.state, self.func) {
            *count += 1;
            return Ok(());
        }
        let value = first.ok_or_else(|| SqlError::internal("an aggregate without argument"))?;
        if let State::Items(items) = &mut self.state {
            self.memory += value.memory();
            items.push(value);
            return Ok(());
        }
        if value.is_null() {
            return Ok(());
        }
        match &mut self.state {
            State::Count(count) => *count += 1,
            State::Total(total, count) => {
                *count += 1;
                total.add(&value, self.result)?;
            }
            State::Moments(moments) => moments.add(float(&value)?)?,
            State::Exact(exact) => exact.add(&value)?,
            // Rows with one NULL don't count either.
            State::Pairs(_) if second.as_ref().is_none_or(Datum::is_null) => {}
            State::Pairs(pairs) => {
                let x = second.as_ref().map_or(Ok(0.0), float)?;
                pairs.add(float(&value)?, x)?;
            }
            State::Value(kept) => keep(self.func, kept, value),
            State::Joined(joined) => {
                let added = join(joined, &value, second.as_ref());
                self.memory += added;
                crate::eval::arithmetic::check_length(self.memory)?;
            }
            State::Items(_) => unreachable!("handled above"),
        }
        self.largest = self.largest.max(self.state.memory());
        Ok(())
    }

    /// The state, for [`Accumulator::merge`] elsewhere: [`AggCall::partial_width`] values.
    ///
    /// # Panics
    /// If the call has no partial state ([`AggCall::has_partial`]).
    #[must_use]
    pub fn partial(&self) -> Vec<Datum> {
        match &self.state {
            State::Count(count) => vec![Datum::Int(*count)],
            State::Total(total, count) => vec![total.to_datum(), Datum::Int(*count)],
            State::Value(value) => vec![value.clone()],
            State::Moments(moments) => moments.partial().map(Datum::Float).to_vec(),
            State::Pairs(pairs) => pairs.partial().map(Datum::Float).to_vec(),
            State::Exact(exact) => exact.partial(),
            State::Joined(_) | State::Items(_) => panic!("{:?} has no partial state", self.func),
        }
    }

    /// Takes in the state of another accumulator of the same call.
    ///
    /// # Errors
    /// A sum out of range; values that are no state of this aggregate: `XX001`.
    pub fn merge(&mut self, partial: &[Datum]) -> Result<()> {
        match (&mut self.state, partial) {
            (State::Count(count), [Datum::Int(more)]) => *count += more,
            (State::Total(total, count), [sum, Datum::Int(more)]) => {
                *count += more;
                if !sum.is_null() {
                    total.merge(sum, self.result)?;
                }
            }
            (State::Exact(exact), [Datum::Int(count), sum, squares]) => {
                exact.merge(*count, sum, squares)?;
            }
            (State::Moments(moments), partial) => moments.merge(floats(partial)?)?,
            (State::Pairs(pairs), partial) => pairs.merge(floats(partial)?)?,
            (State::Value(_), [Datum::Null]) => {}
            (State::Value(kept), [value]) => keep(self.func, kept, value.clone()),
            (_, partial) => {
                return Err(SqlError::corrupted(format_args!(
                    "partial state {partial:?} of {:?}",
                    self.func
                )));
            }
        }
        self.largest = self.largest.max(self.state.memory());
        Ok(())
    }

    /// Whether the order in which values come may show in the result. With DISTINCT, PostgreSQL
    /// takes them sorted.
    const fn takes_order(&self) -> bool {
        match &self.state {
            State::Joined(_) | State::Items(_) | State::Moments(_) | State::Pairs(_) => true,
            State::Total(..) => matches!(self.result, Type::Float4 | Type::Float8),
            State::Count(_) | State::Value(_) | State::Exact(_) => false,
        }
    }

    /// Work of [`Accumulator::finish`]: of exact numbers quotients and roots are computed, of others
    /// the result is copied.
    #[must_use]
    pub fn work_to_finish(&self) -> usize {
        match &self.state {
            State::Exact(exact) => exact.work_to_finish(),
            State::Total(Total::Int(_), _) if self.func == AggFunc::Avg => moments::QUOTIENT,
            State::Total(Total::Numeric(sum), _) => moments::QUOTIENT + sum.steps(),
            State::Total(..)
            | State::Count(_)
            | State::Value(_)
            | State::Joined(_)
            | State::Items(_)
            | State::Moments(_)
            | State::Pairs(_) => self.memory,
        }
    }

    /// The result.
    ///
    /// # Errors
    /// A sum out of range: `22003`; a text that is too long: `54000`.
    pub fn finish(&self) -> Result<Datum> {
        if let Some(seen) = self.seen.as_ref().filter(|_| self.takes_order()) {
            let (func, result) = (self.func, self.result);
            let state = self.state.clone();
            let mut sorted = Accumulator { func, result, state, seen: None, memory: 0, largest: 0 };
            for args in seen {
                sorted.update(args.clone())?;
            }
            return sorted.finish();
        }
        Ok(match &self.state {
            State::Count(count) => Datum::Int(*count),
            State::Total(_, 0) => Datum::Null,
            State::Total(total, count) if self.func == AggFunc::Avg => total.average(*count)?,
            State::Total(total, _) => total.sum(self.result)?,
            State::Value(value) => value.clone(),
            State::Moments(moments) => match self.func {
                AggFunc::Spread(spread) => moments.spread(spread).into(),
                _ => moments.average().into(),
            },
            State::Exact(exact) => match self.func {
                AggFunc::Spread(spread) => exact.spread(spread)?,
                func => return Err(SqlError::internal(format!("{func:?} of exact numbers"))),
            },
            State::Pairs(pairs) => match self.func {
                AggFunc::Regression(regression) => pairs.finish(regression),
                func => return Err(SqlError::internal(format!("{func:?} of pairs"))),
            },
            State::Joined(None) => Datum::Null,
            State::Joined(Some(bytes)) if self.result == Type::Bytea => Datum::bytes(bytes),
            State::Joined(Some(bytes)) => {
                let text = std::str::from_utf8(bytes).expect("put together from texts");
                Datum::text(text)
            }
            State::Items(items) if items.is_empty() => Datum::Null,
            State::Items(items) => match self.result {
                Type::Array(element) => array(element, items),
                other => return Err(SqlError::internal(format!("array_agg yields {other}"))),
            },
        })
    }

    /// Roughly how many bytes of memory it takes. Never less than before: a longest text that gave
    /// way to a short one may be followed by another long one.
    #[must_use]
    pub const fn memory(&self) -> usize {
        size_of::<Accumulator>() + self.memory + self.largest
    }
}

impl State {
    /// Bytes of the one value, or of the sums, that are held of all rows.
    fn memory(&self) -> usize {
        match self {
            State::Value(value) => value.memory(),
            State::Total(Total::Numeric(sum), _) => sum.memory(),
            State::Exact(exact) => exact.memory(),
            State::Total(Total::None | Total::Int(_) | Total::Float(_) | Total::Interval(_), _)
            | State::Count(_)
            | State::Joined(_)
            | State::Items(_)
            | State::Moments(_)
            | State::Pairs(_) => 0,
        }
    }
}

fn float(value: &Datum) -> Result<f64> {
    match value {
        Datum::Float(value) => Ok(*value),
        other => Err(SqlError::internal(format!("{other:?} is no float"))),
    }
}

/// The floats of a partial state.
fn floats<const N: usize>(partial: &[Datum]) -> Result<[f64; N]> {
    let floats: Option<Vec<f64>> = partial
        .iter()
        .map(|value| if let Datum::Float(value) = value { Some(*value) } else { None })
        .collect();
    floats
        .and_then(|floats| floats.try_into().ok())
        .ok_or_else(|| SqlError::corrupted(format_args!("partial state {partial:?}")))
}

/// The sum of floats as `real` or `double precision` has it.
fn float_sum(left: f64, right: f64, result: Type) -> Result<f64> {
    let sum = left + right;
    let sum = if result == Type::Float4 { f64::from(sum as f32) } else { sum };
    checked_float(sum, left.is_infinite() || right.is_infinite(), true)?;
    Ok(sum)
}

fn array(element: Element, items: &[Datum]) -> Datum {
    Datum::array(element, items.to_vec())
}

/// Keeps the lesser, the greater, or what both truths amount to.
fn keep(func: AggFunc, kept: &mut Datum, value: Datum) {
    let replace = kept.is_null()
        || match func {
            AggFunc::Min | AggFunc::BoolAnd => value < *kept,
            _ => value > *kept,
        };
    if replace {
        *kept = value;
    }
}

/// Appends a text or byte string, behind a separator unless it is the first; how many bytes came
/// in.
fn join(joined: &mut Option<Vec<u8>>, value: &Datum, separator: Option<&Datum>) -> usize {
    fn bytes(value: &Datum) -> &[u8] {
        match value {
            Datum::Text(text) => text.as_bytes(),
            Datum::Bytes(bytes) => bytes,
            _ => &[],
        }
    }
    let separator = if joined.is_some() { separator.map_or(&[][..], bytes) } else { &[] };
    let out = joined.get_or_insert_default();
    out.extend_from_slice(separator);
    out.extend_from_slice(bytes(value));
    separator.len() + bytes(value).len()
}

impl Total {
    fn add(&mut self, value: &Datum, result: Type) -> Result<()> {
        match (&mut *self, value) {
            (Total::None, Datum::Int(value)) => *self = Total::Int((*value).into()),
            (Total::None, Datum::Float(value)) => *self = Total::Float(*value),
            (Total::None, Datum::Numeric(value)) => *self = Total::Numeric((**value).clone()),
            (Total::None, Datum::Interval(value)) => *self = Total::Interval(*value),
            (Total::Int(sum), Datum::Int(value)) => *sum += i128::from(*value),
            (Total::Float(sum), Datum::Float(value)) => *sum = float_sum(*sum, *value, result)?,
            (Total::Numeric(sum), Datum::Numeric(value)) => *sum = sum.add(value)?,
            (Total::Interval(sum), Datum::Interval(value)) => *sum = sum.checked_add(*value)?,
            (total, value) => {
                return Err(SqlError::internal(format!("{value:?} added to {total:?}")));
            }
        }
        Ok(())
    }

    /// Integers travel in two halves, since their sum may be wider than `bigint`.
    fn to_datum(&self) -> Datum {
        match self {
            Total::None => Datum::Null,
            Total::Int(sum) => Datum::array(Element::Int8, split(*sum).map(Datum::Int).to_vec()),
            Total::Float(sum) => Datum::Float(*sum),
            Total::Numeric(sum) => Datum::Numeric(Arc::new(sum.clone())),
            Total::Interval(sum) => Datum::Interval(*sum),
        }
    }

    fn merge(&mut self, sum: &Datum, result: Type) -> Result<()> {
        let Datum::Array(halves) = sum else {
            return self.add(sum, result);
        };
        let [Datum::Int(high), Datum::Int(low)] = halves.items.as_slice() else {
            return Err(SqlError::corrupted("the partial sum of an aggregate"));
        };
        let more = i128::from(*high) << 64 | i128::from(low.cast_unsigned());
        match self {
            Total::None => *self = Total::Int(more),
            Total::Int(sum) => {
                *sum = sum.checked_add(more).ok_or_else(|| SqlError::out_of_range("bigint"))?;
            }
            total => return Err(SqlError::internal(format!("an integer added to {total:?}"))),
        }
        Ok(())
    }

    fn sum(&self, result: Type) -> Result<Datum> {
        Ok(match self {
            Total::None => Datum::Null,
            Total::Int(sum) if matches!(result, Type::Numeric(_)) => Datum::numeric(*sum),
            Total::Int(sum) => {
                Datum::Int(i64::try_from(*sum).map_err(|_| SqlError::out_of_range(Type::Int8))?)
            }
            Total::Float(sum) => Datum::Float(*sum),
            Total::Numeric(sum) => Datum::numeric(sum.clone()),
            Total::Interval(sum) => Datum::Interval(*sum),
        })
    }

    fn average(&self, count: i64) -> Result<Datum> {
        Ok(match self {
            Total::None => Datum::Null,
            Total::Int(sum) => Datum::numeric(Decimal::from(*sum).div(&Decimal::from(count))?),
            Total::Float(sum) => Datum::Float(sum / count as f64),
            Total::Numeric(sum) => Datum::numeric(sum.div(&Decimal::from(count))?),
            Total::Interval(sum) => Datum::Interval(sum.checked_div(count as f64)?),
        })
    }
}

/// The upper and the lower 64 bits.
const fn split(value: i128) -> [i64; 2] {
    [(value >> 64) as i64, value as i64]
}
