//! The forms of SQL that are neither plain operators nor plain casts.

use super::{Typed, binary, coerce, condition, explicit_cast, unify};
use crate::{
    cast::can_cast,
    context::EvalContext,
    error::{Result, SqlError, SqlState},
    expr::{BinaryOp, CastContext, Expr, Extreme, IsTest, Negation, Quantifier},
    functions::{self, Func},
    types::{Category, Type},
};

const fn boolean(expr: Expr) -> Typed {
    Typed { expr, ty: Type::Bool }
}

/// `value IS [NOT] NULL | TRUE | FALSE | UNKNOWN`.
///
/// # Errors
/// A test of truth, and the value is none: `42804`.
pub fn is_test(value: Typed, test: IsTest, negated: Negation, ctx: &EvalContext) -> Result<Typed> {
    let what = match test {
        IsTest::Null => "IS NULL",
        IsTest::True => "IS TRUE",
        IsTest::False => "IS FALSE",
        IsTest::Unknown => "IS UNKNOWN",
    };
    let arg = match test {
        IsTest::Null => super::default_to_text(value, ctx)?.expr,
        _ => condition(value, what, ctx)?,
    };
    Ok(boolean(Expr::Is { arg: Box::new(arg), test, negated: negated.is_negated() }))
}

/// `left IS [NOT] DISTINCT FROM right`.
///
/// # Errors
/// The sides don't compare: `42883`.
pub fn distinct(left: Typed, right: Typed, negated: Negation, ctx: &EvalContext) -> Result<Typed> {
    let (left, right) = comparable(left, right, ctx)?;
    Ok(boolean(Expr::Distinct {
        left: Box::new(left),
        right: Box::new(right),
        negated: negated.is_negated(),
    }))
}

/// Both sides as `=` compares them.
fn comparable(left: Typed, right: Typed, ctx: &EvalContext) -> Result<(Expr, Expr)> {
    match binary(BinaryOp::Eq, left, right, ctx)?.expr {
        Expr::Binary { left, right, .. } => Ok((*left, *right)),
        other => Err(SqlError::internal(format!("{other:?} is no comparison"))),
    }
}

/// `value [NOT] IN (list)`.
///
/// # Errors
/// An item does not compare with the value: `42883`.
pub fn in_list(
    value: Typed,
    list: Vec<Typed>,
    negated: Negation,
    ctx: &EvalContext,
) -> Result<Typed> {
    let negated = negated.is_negated();
    let types: Vec<Type> =
        std::iter::once(value.ty).chain(list.iter().map(|item| item.ty)).collect();
    // Usually all share a type, and the list is looked through as values.
    if let Ok(common) = super::common_type(&types, "IN") {
        let comparison = crate::ops::resolve_binary(BinaryOp::Eq, common, common)?;
        let to = comparison.left;
        let cast = |item: Typed| coerce(item, to, CastContext::Implicit, ctx).map(|item| item.expr);
        let arg = Box::new(cast(value)?);
        let list = list.into_iter().map(cast).collect::<Result<_>>()?;
        return Ok(boolean(Expr::InList { arg, list, negated }));
    }
    let mut parts = Vec::new();
    for item in list {
        parts.push(binary(BinaryOp::Eq, value.clone(), item, ctx)?.expr);
    }
    let any = Expr::Or(parts);
    Ok(boolean(if negated { Expr::Not(Box::new(any)) } else { any }))
}

/// `value [NOT] BETWEEN low AND high`.
///
/// # Errors
/// A bound does not compare with the value: `42883`.
pub fn between(
    value: Typed,
    low: Typed,
    high: Typed,
    negated: Negation,
    ctx: &EvalContext,
) -> Result<Typed> {
    let (from, to) = if negated.is_negated() {
        (BinaryOp::Lt, BinaryOp::Gt)
    } else {
        (BinaryOp::Ge, BinaryOp::Le)
    };
    let from = binary(from, value.clone(), low, ctx)?;
    let to = binary(to, value, high, ctx)?;
    if negated.is_negated() { super::or(from, to, ctx) } else { super::and(from, to, ctx) }
}

/// What sort of letters a pattern tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// `LIKE`, `~`.
    Sensitive,
    /// `ILIKE`, `~*`.
    Insensitive,
}

/// The operands of an operator over texts, as texts.
fn text_operands(left: Typed, op: &str, right: Typed, ctx: &EvalContext) -> Result<[Box<Expr>; 2]> {
    let is_text = |ty: Type| ty == Type::Unknown || ty.is_string();
    if !is_text(left.ty) || !is_text(right.ty) {
        let call = format!("{} {op} {}", left.ty.base(), right.ty.base());
        return Err(crate::ops::undefined(&call));
    }
    let text = |value| {
        coerce(value, Type::Text, CastContext::Implicit, ctx).map(|value| Box::new(value.expr))
    };
    // A pattern is matched with `char(n)` as it is, blanks included.
    let left = if matches!(left.ty, Type::Char(_)) { Box::new(left.expr) } else { text(left)? };
    Ok([left, text(right)?])
}

/// `value [NOT] [I]LIKE pattern [ESCAPE escape]`.
///
/// # Errors
/// A part is no text: `42883`.
pub fn like(
    value: Typed,
    pattern: Typed,
    escape: Option<Typed>,
    case: Case,
    negated: Negation,
    ctx: &EvalContext,
) -> Result<Typed> {
    let insensitive = case == Case::Insensitive;
    let operator = match (insensitive, negated) {
        (false, Negation::Plain) => "~~",
        (false, Negation::Negated) => "!~~",
        (true, Negation::Plain) => "~~*",
        (true, Negation::Negated) => "!~~*",
    };
    let escape = match escape {
        Some(escape) => {
            Some(Box::new(coerce(escape, Type::Text, CastContext::Implicit, ctx)?.expr))
        }
        None => None,
    };
    let [arg, pattern] = text_operands(value, operator, pattern, ctx)?;
    Ok(boolean(Expr::Like {
        arg,
        pattern,
        escape,
        case_insensitive: insensitive,
        negated: negated.is_negated(),
    }))
}

/// `value ~ pattern` and its relatives.
///
/// # Errors
/// A part is no text: `42883`.
pub fn regex(
    value: Typed,
    pattern: Typed,
    case: Case,
    negated: Negation,
    ctx: &EvalContext,
) -> Result<Typed> {
    let insensitive = case == Case::Insensitive;
    let operator = match (insensitive, negated) {
        (false, Negation::Plain) => "~",
        (false, Negation::Negated) => "!~",
        (true, Negation::Plain) => "~*",
        (true, Negation::Negated) => "!~*",
    };
    let [arg, pattern] = text_operands(value, operator, pattern, ctx)?;
    Ok(boolean(Expr::Regex {
        arg,
        pattern,
        case_insensitive: insensitive,
        negated: negated.is_negated(),
    }))
}

/// `CASE [operand] WHEN ... THEN ... ELSE ... END`. With an operand, each WHEN is compared with it.
///
/// # Errors
/// A WHEN is no condition, or the values have no type in common: `42804`.
pub fn case(
    operand: Option<&Typed>,
    branches: Vec<(Typed, Typed)>,
    otherwise: Option<Typed>,
    ctx: &EvalContext,
) -> Result<Typed> {
    let (mut conditions, mut values) = (Vec::new(), Vec::new());
    for (when, then) in branches {
        let when = match operand {
            Some(operand) => binary(BinaryOp::Eq, operand.clone(), when, ctx)?,
            None => when,
        };
        conditions.push(condition(when, "CASE/WHEN", ctx)?);
        values.push(then);
    }
    // The type of ELSE counts first.
    let has_otherwise = otherwise.is_some();
    values.splice(0..0, otherwise);
    let (values, ty) = unify(values, "CASE", ctx)?;
    let mut values = values.into_iter();
    let otherwise = if has_otherwise { values.next().map(Box::new) } else { None };
    let branches = conditions.into_iter().zip(values).collect();
    Ok(Typed { expr: Expr::Case { branches, otherwise }, ty })
}

/// `COALESCE(values)`.
///
/// # Errors
/// The values have no type in common: `42804`.
pub fn coalesce(values: Vec<Typed>, ctx: &EvalContext) -> Result<Typed> {
    let (values, ty) = unify(values, "COALESCE", ctx)?;
    Ok(Typed { expr: Expr::Coalesce(values), ty })
}

/// `NULLIF(value, other)`.
///
/// # Errors
/// Both don't compare: `42883`.
pub fn null_if(value: Typed, other: Typed, ctx: &EvalContext) -> Result<Typed> {
    let resolved = crate::ops::resolve_binary(BinaryOp::Eq, value.ty, other.ty)?.left;
    // A date compared with a timestamp stays a date.
    let own = (value.ty.category() == Category::DateTime).then(|| value.clone());
    let equal = binary(BinaryOp::Eq, value, other, ctx)?.expr;
    let Expr::Binary { left, .. } = &equal else {
        return Err(SqlError::internal(format!("{equal:?} is no comparison")));
    };
    let kept = own.unwrap_or_else(|| Typed { expr: (**left).clone(), ty: resolved });
    let expr = Expr::NullIf { value: Box::new(kept.expr), equal: Box::new(equal) };
    Ok(Typed { expr, ty: kept.ty })
}

/// `GREATEST(values)`, `LEAST(values)`.
///
/// # Errors
/// The values have no type in common: `42804`.
pub fn extreme(which: Extreme, values: Vec<Typed>, ctx: &EvalContext) -> Result<Typed> {
    let what = if which == Extreme::Greatest { "GREATEST" } else { "LEAST" };
    let (args, ty) = unify(values, what, ctx)?;
    Ok(Typed { expr: Expr::Extreme { which, args }, ty })
}

/// `name(args)`; the name in lower case. Also forms that look like calls (`coalesce`, `nullif`,
/// `greatest`, `least`, `pg_typeof`) and casts that do (`text(5)`).
///
/// # Errors
/// No such function: `42883`; a literal is no value of the type it takes.
pub fn call(name: &str, args: Vec<Typed>, ctx: &EvalContext) -> Result<Typed> {
    let name = name.strip_prefix("pg_catalog.").unwrap_or(name);
    match (name, args.len()) {
        ("coalesce", 1..) => return coalesce(args, ctx),
        ("greatest", 1..) => return extreme(Extreme::Greatest, args, ctx),
        ("least", 1..) => return extreme(Extreme::Least, args, ctx),
        ("nullif", 2) => {
            let mut args = args.into_iter();
            let (value, other) = (args.next().expect("two"), args.next().expect("two"));
            return null_if(value, other, ctx);
        }
        ("pg_typeof", 1) => {
            return Ok(Typed::constant(i64::from(args[0].ty.oid()), Type::Regtype));
        }
        _ => {}
    }
    let types: Vec<Type> = args.iter().map(|arg| arg.ty).collect();
    let resolved = match functions::resolve(name, &types) {
        Ok(resolved) => resolved,
        Err(error) => {
            // A type's name with one argument is a cast.
            let target = Type::from_name(name).filter(|_| args.len() == 1 && name != "char");
            return match (target, args.into_iter().next()) {
                (Some(ty), Some(arg)) if can_cast(arg.ty, ty, CastContext::Explicit) => {
                    explicit_cast(arg, ty, ctx)
                }
                _ => Err(error),
            };
        }
    };
    // `concat` takes anything as text, `concat_ws` anything but its separator.
    let printed_from = match resolved.func {
        Func::Concat => 0,
        Func::ConcatWs => 1,
        _ => usize::MAX,
    };
    let args = args
        .into_iter()
        .zip(&resolved.args)
        .enumerate()
        .map(|(place, (arg, to))| {
            if place >= printed_from {
                return printed(arg, ctx);
            }
            if !can_cast(arg.ty, *to, CastContext::Implicit) {
                return Err(functions::undefined(name, &types));
            }
            coerce(arg, *to, CastContext::Implicit, ctx).map(|arg| arg.expr)
        })
        .collect::<Result<_>>()?;
    let expr = Expr::Call { func: resolved.func, args, ty: resolved.result };
    Ok(Typed { expr, ty: resolved.result })
}

/// The value as text the way it is printed, which is not always what a cast yields: `t` for true;
/// and `char(n)` as it is, with its blanks.
fn printed(value: Typed, ctx: &EvalContext) -> Result<Expr> {
    match value.ty {
        Type::Bool => {
            let no = Expr::Not(Box::new(value.expr.clone()));
            let branches = vec![(value.expr, Expr::constant("t")), (no, Expr::constant("f"))];
            Ok(Expr::Case { branches, otherwise: None })
        }
        Type::Char(_) => Ok(value.expr),
        _ => coerce(value, Type::Text, CastContext::Assignment, ctx).map(|value| value.expr),
    }
}

/// `value op ANY (array)`, `value op ALL (array)`.
///
/// # Errors
/// The right side is no array: `42809`; the value and its elements don't compare: `42883`.
pub fn quantified(
    value: Typed,
    op: BinaryOp,
    array: Typed,
    quantifier: Quantifier,
    ctx: &EvalContext,
) -> Result<Typed> {
    let array = match (array.ty, value.ty) {
        (Type::Unknown, known) => {
            let element = if known == Type::Unknown { Type::Text } else { known };
            let wanted = element.array_of().ok_or_else(|| {
                SqlError::new(
                    SqlState::UNDEFINED_OBJECT,
                    format!("could not find array type for data type {element}"),
                )
            })?;
            coerce(array, wanted, CastContext::Implicit, ctx)?
        }
        _ => array,
    };
    let Some(element) = array.ty.element() else {
        return Err(SqlError::new(
            SqlState::WRONG_OBJECT_TYPE,
            "op ANY/ALL (array) requires array on right side",
        ));
    };
    if !op.is_comparison() {
        return Err(SqlError::new(
            SqlState::WRONG_OBJECT_TYPE,
            "op ANY/ALL (array) requires operator to yield boolean",
        ));
    }
    let resolved = crate::ops::resolve_binary(op, value.ty, element)?;
    let arg = coerce(value, resolved.left, CastContext::Implicit, ctx)?.expr;
    let wanted = resolved.right.array_of().unwrap_or(array.ty);
    let array = coerce(array, wanted, CastContext::Implicit, ctx)?.expr;
    Ok(boolean(Expr::Quantified { arg: Box::new(arg), op, array: Box::new(array), quantifier }))
}

/// `ARRAY[items]`.
///
/// # Errors
/// The items have no type in common, or there are none: `42804`, `42P18`.
pub fn array(items: Vec<Typed>, ctx: &EvalContext) -> Result<Typed> {
    if items.is_empty() {
        return Err(SqlError::new(
            SqlState::INDETERMINATE_DATATYPE,
            "cannot determine type of empty array",
        )
        .with_hint("Explicitly cast to the desired type, for example ARRAY[]::integer[]."));
    }
    let (items, ty) = unify(items, "ARRAY", ctx)?;
    let Some(array @ Type::Array(element)) = ty.array_of() else {
        return Err(SqlError::unsupported(format_args!("an array of type {ty}")));
    };
    Ok(Typed { expr: Expr::Array { element, items }, ty: array })
}

/// `array[index]`.
///
/// # Errors
/// The value is no array: `42804`.
pub fn subscript(array: Typed, index: Typed, ctx: &EvalContext) -> Result<Typed> {
    let Some(element) = array.ty.element() else {
        return Err(SqlError::type_mismatch(format!(
            "cannot subscript type {} because it does not support subscripting",
            array.ty.base()
        )));
    };
    let index = coerce(index, Type::Int4, CastContext::Assignment, ctx)?.expr;
    let expr = Expr::Subscript { array: Box::new(array.expr), index: Box::new(index) };
    Ok(Typed { expr, ty: element })
}
