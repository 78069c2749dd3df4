//! Aggregates: what many rows amount to.
//!
//! An [`Accumulator`] takes in rows one by one and yields the result. Where a replica aggregates
//! the rows it has, it sends the accumulator's *partial state*, a few values, and the gateway
//! merges the states of all replicas. So that this is exact, the order of merging must not matter:
//! sums of integers and decimals are exact, sums of floats round as floats do.
//!
//! `DISTINCT`, `string_agg` and `array_agg` need all rows in one place; they have no partial state
//! ([`AggCall::has_partial`]).

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    context::EvalContext,
    datetime::Interval,
    datum::Datum,
    decimal::Decimal,
    error::{Result, SqlError, SqlState},
    expr::Expr,
    functions,
    overload::{Choice, choose},
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

/// Whether the name (in lower case) is that of an aggregate.
#[must_use]
pub fn is_aggregate(name: &str) -> bool {
    matches!(
        name,
        "count"
            | "sum"
            | "avg"
            | "min"
            | "max"
            | "bool_and"
            | "every"
            | "bool_or"
            | "string_agg"
            | "array_agg"
    )
}

/// Finds the aggregate of this name (in lower case) for arguments of these types; `count(*)` is
/// [`AggCall::count_rows`].
///
/// # Errors
/// There is none: `42883`; several, and none is best: `42725`.
pub fn resolve(name: &str, args: &[Type]) -> Result<AggResolved> {
    let one = |func, result| AggResolved { func, args: args.to_vec(), result };
    match (name, args) {
        ("count", [_]) => {
            // Whatever a literal is, it counts.
            let arg = if args[0] == Type::Unknown { Type::Text } else { args[0] };
            return Ok(AggResolved { func: AggFunc::Count, args: vec![arg], result: Type::Int8 });
        }
        ("min", [Type::Array(_)]) => return Ok(one(AggFunc::Min, args[0])),
        ("max", [Type::Array(_)]) => return Ok(one(AggFunc::Max, args[0])),
        ("array_agg", [item]) => {
            let item = if *item == Type::Unknown { Type::Text } else { *item };
            let result = item.array_of().ok_or_else(|| functions::undefined(name, args))?;
            return Ok(AggResolved { func: AggFunc::ArrayAgg, args: vec![item], result });
        }
        _ => {}
    }
    let rules = rules(name);
    let candidates: Vec<&[Type]> =
        rules.iter().map(|rule| rule.args).filter(|types| types.len() == args.len()).collect();
    match choose(&candidates, args) {
        Choice::One(at) => {
            let rule = rules.iter().filter(|rule| rule.args.len() == args.len()).nth(at);
            let rule = rule.expect("the candidates are those of the rules");
            Ok(AggResolved { func: rule.func, args: rule.args.to_vec(), result: rule.result })
        }
        Choice::None => Err(functions::undefined(name, args)),
        Choice::Ambiguous => {
            let types: Vec<String> = args.iter().map(|ty| ty.base().to_string()).collect();
            Err(SqlError::new(
                SqlState::AMBIGUOUS_FUNCTION,
                format!("function {name}({}) is not unique", types.join(", ")),
            )
            .with_hint(
                "Could not choose a best candidate function. You might need to add explicit type \
                 casts.",
            ))
        }
    }
}

struct Rule {
    args: &'static [Type],
    result: Type,
    func: AggFunc,
}

const ORDERED: [&[Type]; 14] = [
    &[Type::Int2],
    &[Type::Int4],
    &[Type::Int8],
    &[Type::Float4],
    &[Type::Float8],
    &[Type::NUMERIC],
    &[Type::Text],
    &[Type::BPCHAR],
    &[Type::Date],
    &[Type::Timestamp],
    &[Type::TimestampTz],
    &[Type::Interval],
    &[Type::Oid],
    &[Type::Bytea],
];

fn rules(name: &str) -> Vec<Rule> {
    let rule = |args, result, func| Rule { args, result, func };
    match name {
        "sum" => vec![
            rule(&[Type::Int8], Type::NUMERIC, AggFunc::Sum),
            rule(&[Type::Int4], Type::Int8, AggFunc::Sum),
            rule(&[Type::Int2], Type::Int8, AggFunc::Sum),
            rule(&[Type::Float4], Type::Float4, AggFunc::Sum),
            rule(&[Type::Float8], Type::Float8, AggFunc::Sum),
            rule(&[Type::Interval], Type::Interval, AggFunc::Sum),
            rule(&[Type::NUMERIC], Type::NUMERIC, AggFunc::Sum),
        ],
        "avg" => vec![
            rule(&[Type::Int8], Type::NUMERIC, AggFunc::Avg),
            rule(&[Type::Int4], Type::NUMERIC, AggFunc::Avg),
            rule(&[Type::Int2], Type::NUMERIC, AggFunc::Avg),
            rule(&[Type::NUMERIC], Type::NUMERIC, AggFunc::Avg),
            rule(&[Type::Float4], Type::Float8, AggFunc::Avg),
            rule(&[Type::Float8], Type::Float8, AggFunc::Avg),
            rule(&[Type::Interval], Type::Interval, AggFunc::Avg),
        ],
        "min" => ORDERED.map(|args| rule(args, args[0], AggFunc::Min)).into(),
        "max" => ORDERED.map(|args| rule(args, args[0], AggFunc::Max)).into(),
        "bool_and" | "every" => vec![rule(&[Type::Bool], Type::Bool, AggFunc::BoolAnd)],
        "bool_or" => vec![rule(&[Type::Bool], Type::Bool, AggFunc::BoolOr)],
        "string_agg" => vec![
            rule(&[Type::Text, Type::Text], Type::Text, AggFunc::StringAgg),
            rule(&[Type::Bytea, Type::Bytea], Type::Bytea, AggFunc::StringAgg),
        ],
        _ => Vec::new(),
    }
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
            AggFunc::Sum | AggFunc::Avg => 2,
            _ => 1,
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
}

/// An aggregate on its way over rows.
#[derive(Clone, Debug)]
pub struct Accumulator {
    func: AggFunc,
    result: Type,
    state: State,
    /// The arguments seen, for DISTINCT.
    seen: Option<BTreeSet<Vec<Datum>>>,
    /// Bytes held beyond the accumulator itself.
    memory: usize,
}

impl Accumulator {
    /// The accumulator of a call before the first row.
    #[must_use]
    pub fn new(call: &AggCall) -> Accumulator {
        let state = match call.func {
            AggFunc::CountRows | AggFunc::Count => State::Count(0),
            AggFunc::Sum | AggFunc::Avg => State::Total(Total::None, 0),
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
        self.update(args)
    }

    /// Takes in the arguments of a row.
    ///
    /// # Errors
    /// A sum out of range: `22003`, `22008`.
    pub fn update(&mut self, args: Vec<Datum>) -> Result<()> {
        if let Some(seen) = &mut self.seen {
            let size: usize = args.iter().map(Datum::memory).sum();
            if !seen.insert(args.clone()) {
                return Ok(());
            }
            self.memory += size;
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
                total.add(&value)?;
            }
            State::Value(kept) => keep(self.func, kept, value),
            State::Joined(joined) => {
                let added = join(joined, &value, second.as_ref());
                self.memory += added;
                crate::eval::arithmetic::check_length(self.memory)?;
            }
            State::Items(_) => unreachable!("handled above"),
        }
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
                    total.merge(sum)?;
                }
            }
            (State::Value(_), [Datum::Null]) => {}
            (State::Value(kept), [value]) => keep(self.func, kept, value.clone()),
            (_, partial) => {
                return Err(SqlError::corrupted(format_args!(
                    "partial state {partial:?} of {:?}",
                    self.func
                )));
            }
        }
        Ok(())
    }

    /// The result.
    ///
    /// # Errors
    /// A sum out of range: `22003`.
    pub fn finish(&self) -> Result<Datum> {
        Ok(match &self.state {
            State::Count(count) => Datum::Int(*count),
            State::Total(_, 0) => Datum::Null,
            State::Total(total, count) if self.func == AggFunc::Avg => total.average(*count)?,
            State::Total(total, _) => total.sum(self.result)?,
            State::Value(value) => value.clone(),
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

    /// Roughly how many bytes of memory it takes.
    #[must_use]
    pub const fn memory(&self) -> usize {
        size_of::<Accumulator>() + self.memory
    }
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
    fn add(&mut self, value: &Datum) -> Result<()> {
        match (&mut *self, value) {
            (Total::None, Datum::Int(value)) => *self = Total::Int((*value).into()),
            (Total::None, Datum::Float(value)) => *self = Total::Float(*value),
            (Total::None, Datum::Numeric(value)) => *self = Total::Numeric((**value).clone()),
            (Total::None, Datum::Interval(value)) => *self = Total::Interval(*value),
            (Total::Int(sum), Datum::Int(value)) => *sum += i128::from(*value),
            (Total::Float(sum), Datum::Float(value)) => *sum += value,
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

    fn merge(&mut self, sum: &Datum) -> Result<()> {
        let Datum::Array(halves) = sum else {
            return self.add(sum);
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
            Total::Float(sum) if result == Type::Float4 => Datum::Float((*sum as f32).into()),
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
            Total::Interval(sum) => Datum::Interval(sum.checked_mul(1.0 / count as f64)?),
        })
    }
}

/// The upper and the lower 64 bits.
const fn split(value: i128) -> [i64; 2] {
    [(value >> 64) as i64, value as i64]
}
