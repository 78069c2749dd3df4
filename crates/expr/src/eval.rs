//! Evaluation of expressions over a row.
//!
//! Columns and constants are not copied on the way: each part yields a borrowed or an owned value.
//! AND, OR, CASE and COALESCE look at no more of their parts than they need, left to right, so a
//! condition may guard what stands behind it.

pub(crate) mod arithmetic;
mod pattern;

pub(crate) use pattern::{cached_regex, like, similar_to_escape};

use std::{borrow::Cow, cmp::Ordering};

use crate::{
    cast,
    context::EvalContext,
    datum::Datum,
    error::{Result, SqlError, SqlState},
    expr::{BinaryOp, Expr, Extreme, IsTest, Quantifier},
    stack,
    types::Type,
};

/// A value on its way up the tree.
type Value<'a> = Cow<'a, Datum>;

const fn owned<'a>(value: Datum) -> Value<'a> {
    Cow::Owned(value)
}

impl Expr {
    /// The expression's value for a row.
    ///
    /// # Errors
    /// Those of SQL: division by zero, numbers out of range and so on. A parameter not replaced, or
    /// a column that the row has not, is a bug of ours: `XX000`.
    pub fn eval(&self, row: &[Datum], ctx: &EvalContext) -> Result<Datum> {
        self.value(row, ctx).map(Cow::into_owned)
    }

    /// Whether the expression is true for a row: neither false nor NULL.
    ///
    /// # Errors
    /// As [`Expr::eval`].
    pub fn is_true(&self, row: &[Datum], ctx: &EvalContext) -> Result<bool> {
        Ok(truth(&*self.value(row, ctx)?)? == Some(true))
    }

    fn value<'a>(&'a self, row: &'a [Datum], ctx: &EvalContext) -> Result<Value<'a>> {
        match self {
            Expr::Const(value) => Ok(Cow::Borrowed(value)),
            Expr::Column(position) => {
                let value = row.get(*position as usize).ok_or_else(|| {
                    SqlError::internal(format!("column {position} of a row of {}", row.len()))
                })?;
                Ok(Cow::Borrowed(value))
            }
            other => stack::guard(|| {
                let value = other.computed(row, ctx)?;
                if let Cow::Owned(made) = &value {
                    ctx.made(made)?;
                }
                Ok(value)
            }),
        }
    }

    /// The value of what is neither a constant nor a column.
    fn computed<'a>(&'a self, row: &'a [Datum], ctx: &EvalContext) -> Result<Value<'a>> {
        Ok(match self {
            Expr::Param { index, .. } => {
                return Err(SqlError::new(
                    SqlState::UNDEFINED_PARAMETER,
                    format!("there is no parameter ${}", u32::from(*index) + 1),
                ));
            }
            Expr::Unary { op, arg, ty } => match &*arg.value(row, ctx)? {
                Datum::Null => owned(Datum::Null),
                value => owned(arithmetic::unary(*op, value, *ty)?),
            },
            Expr::Binary { op, left, right, ty } => {
                // Both sides are evaluated, whatever the first one is: so an error shows.
                let (left, right) = (left.value(row, ctx)?, right.value(row, ctx)?);
                owned(operate(*op, &left, &right, *ty, ctx)?)
            }
            Expr::And(parts) => owned(logic(parts, false, row, ctx)?),
            Expr::Or(parts) => owned(logic(parts, true, row, ctx)?),
            Expr::Not(arg) => owned(truth(&*arg.value(row, ctx)?)?.map(|value| !value).into()),
            Expr::Cast { arg, from, to, context } => {
                owned(cast::cast(&*arg.value(row, ctx)?, *from, *to, *context, ctx)?)
            }
            Expr::Coalesce(parts) => {
                for part in parts {
                    let value = part.value(row, ctx)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                owned(Datum::Null)
            }
            Expr::Case { branches, otherwise } => {
                for (condition, value) in branches {
                    if condition.is_true(row, ctx)? {
                        return value.value(row, ctx);
                    }
                }
                return otherwise
                    .as_ref()
                    .map_or(Ok(owned(Datum::Null)), |value| value.value(row, ctx));
            }
            Expr::NullIf { equal, .. } if equal.is_true(row, ctx)? => owned(Datum::Null),
            Expr::NullIf { value, .. } => value.value(row, ctx)?,
            Expr::Call { func, args, ty } => {
                owned(func.call(&values(args, row, ctx)?, *ty, ctx)?)
            }
            Expr::External { name, args, .. } => {
                let args = values(args, row, ctx)?;
                owned(ctx.hooks(name)?.call(name, &args)?)
            }
            other => owned(other.predicate(row, ctx)?),
        })
    }

    /// The less common forms, which yield values of their own.
    fn predicate(&self, row: &[Datum], ctx: &EvalContext) -> Result<Datum> {
        Ok(match self {
            Expr::Is { arg, test, negated } => {
                let value = arg.value(row, ctx)?;
                let holds = match test {
                    IsTest::Null | IsTest::Unknown => value.is_null(),
                    IsTest::True => truth(&value)? == Some(true),
                    IsTest::False => truth(&value)? == Some(false),
                };
                Datum::Bool(holds != *negated)
            }
            Expr::Distinct { left, right, negated } => {
                let (left, right) = (left.value(row, ctx)?, right.value(row, ctx)?);
                ctx.look(comparing(&left, &right))?;
                Datum::Bool((left != right) != *negated)
            }
            Expr::InList { arg, list, negated } => {
                let wanted = arg.value(row, ctx)?;
                if wanted.is_null() {
                    return Ok(Datum::Null);
                }
                let mut null = false;
                for item in list {
                    let item = item.value(row, ctx)?;
                    ctx.look(comparing(&item, &wanted))?;
                    if item.is_null() {
                        null = true;
                    } else if item == wanted {
                        return Ok(Datum::Bool(!negated));
                    }
                }
                if null { Datum::Null } else { Datum::Bool(*negated) }
            }
            Expr::Like { .. } | Expr::Regex { .. } => self.matches(row, ctx)?,
            Expr::Extreme { which, args } => {
                let values = values(args, row, ctx)?;
                ctx.look(values.iter().map(Datum::work).sum())?;
                let values = values.into_iter().filter(|value| !value.is_null());
                let found = match which {
                    Extreme::Greatest => values.max(),
                    Extreme::Least => values.min(),
                };
                found.unwrap_or(Datum::Null)
            }
            Expr::Quantified { arg, op, array, quantifier } => {
                let (value, array) = (arg.value(row, ctx)?, array.value(row, ctx)?);
                quantified(&value, *op, &array, *quantifier, ctx)?
            }
            Expr::Array { element, items } => Datum::array(*element, values(items, row, ctx)?),
            Expr::Subscript { array, index } => {
                match (&*array.value(row, ctx)?, &*index.value(row, ctx)?) {
                    (Datum::Array(array), Datum::Int(index)) => {
                        let at = index.checked_sub(1).and_then(|at| usize::try_from(at).ok());
                        at.and_then(|at| array.items.get(at)).cloned().unwrap_or(Datum::Null)
                    }
                    _ => Datum::Null,
                }
            }
            other => return Err(SqlError::internal(format!("cannot evaluate {other:?}"))),
        })
    }

    fn matches(&self, row: &[Datum], ctx: &EvalContext) -> Result<Datum> {
        let (Expr::Like { arg, pattern, case_insensitive, negated, .. }
        | Expr::Regex { arg, pattern, case_insensitive, negated }) = self
        else {
            return Err(SqlError::internal(format!("{self:?} is no match")));
        };
        let (value, pattern) = (arg.value(row, ctx)?, pattern.value(row, ctx)?);
        let (Some(text), Some(pattern)) = (value.as_text(), pattern.as_text()) else {
            return Ok(Datum::Null);
        };
        let found = match self {
            Expr::Like { escape, .. } => {
                let escape = match escape {
                    None => Some('\\'),
                    Some(escape) => match &*escape.value(row, ctx)? {
                        Datum::Text(escape) => pattern::escape_character(escape)?,
                        _ => return Ok(Datum::Null),
                    },
                };
                if *case_insensitive {
                    // Both are written anew.
                    ctx.look(text.len() + pattern.len())?;
                    like(&text.to_lowercase(), &pattern.to_lowercase(), escape, ctx)?
                } else {
                    like(text, pattern, escape, ctx)?
                }
            }
            _ => cached_regex(pattern, *case_insensitive, ctx, |regex| regex.is_match(text, ctx))?,
        };
        Ok(Datum::Bool(found != *negated))
    }
}

fn values(args: &[Expr], row: &[Datum], ctx: &EvalContext) -> Result<Vec<Datum>> {
    args.iter().map(|arg| arg.eval(row, ctx)).collect()
}

fn truth(value: &Datum) -> Result<Option<bool>> {
    match value {
        Datum::Bool(value) => Ok(Some(*value)),
        Datum::Null => Ok(None),
        other => Err(SqlError::internal(format!("a condition yielded {other:?}"))),
    }
}

/// AND (decided by false) or OR (decided by true).
fn logic(parts: &[Expr], deciding: bool, row: &[Datum], ctx: &EvalContext) -> Result<Datum> {
    let mut null = false;
    for part in parts {
        match truth(&*part.value(row, ctx)?)? {
            Some(value) if value == deciding => return Ok(Datum::Bool(deciding)),
            Some(_) => {}
            None => null = true,
        }
    }
    Ok(if null { Datum::Null } else { Datum::Bool(!deciding) })
}

/// The outcome of an operator.
fn operate(
    op: BinaryOp,
    left: &Datum,
    right: &Datum,
    ty: Type,
    ctx: &EvalContext,
) -> Result<Datum> {
    if left.is_null() || right.is_null() {
        return Ok(Datum::Null);
    }
    if op.is_comparison() {
        ctx.look(comparing(left, right))?;
    }
    match compare(op, left, right) {
        Some(result) => Ok(Datum::Bool(result)),
        None => arithmetic::binary(op, left, right, ty, ctx),
    }
}

/// Work of comparing two values: no more than the shorter one has is looked at.
fn comparing(left: &Datum, right: &Datum) -> usize {
    left.work().min(right.work())
}

/// The outcome of a comparison; `None` if the operator compares nothing.
fn compare(op: BinaryOp, left: &Datum, right: &Datum) -> Option<bool> {
    op.is_comparison().then(|| holds(op, left.cmp(right)))
}

const fn holds(op: BinaryOp, ordering: Ordering) -> bool {
    match op {
        BinaryOp::Eq => ordering.is_eq(),
        BinaryOp::Ne => ordering.is_ne(),
        BinaryOp::Lt => ordering.is_lt(),
        BinaryOp::Le => ordering.is_le(),
        BinaryOp::Gt => ordering.is_gt(),
        BinaryOp::Ge => ordering.is_ge(),
        _ => false,
    }
}

/// Elements that are compared between two notes of the work.
const ELEMENTS: usize = 1_024;
/// Work of comparing one.
const COMPARISON: usize = 16;

fn quantified(
    value: &Datum,
    op: BinaryOp,
    array: &Datum,
    quantifier: Quantifier,
    ctx: &EvalContext,
) -> Result<Datum> {
    let Datum::Array(array) = array else {
        return Ok(Datum::Null);
    };
    let deciding = quantifier == Quantifier::Any;
    let mut null = false;
    for (at, item) in array.items.iter().enumerate() {
        if at % ELEMENTS == 0 {
            ctx.work((array.items.len() - at).min(ELEMENTS) * COMPARISON)?;
        }
        if item.is_null() || value.is_null() {
            null = true;
            continue;
        }
        ctx.look(comparing(value, item))?;
        let matched = compare(op, value, item)
            .ok_or_else(|| SqlError::internal(format!("{} does not compare", op.symbol())))?;
        if matched == deciding {
            return Ok(Datum::Bool(deciding));
        }
    }
    Ok(if null { Datum::Null } else { Datum::Bool(!deciding) })
}
