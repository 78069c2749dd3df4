//! Building typed expressions: what a binder calls for each form of SQL.
//!
//! Every function takes parts with their types, settles types by PostgreSQL's rules, inserts casts
//! where values change, and yields the whole with its type. A literal in quotes comes in as text of
//! type `Unknown` and is read as soon as its type is known, so a bad one is told when the statement
//! is bound. A parameter comes in as [`Typed::param`] and gets the type that its first use asks
//! for; [`param_types`] tells what was found.
//!
//! Errors carry no position here: the binder adds that of the part it was about
//! ([`SqlError::at`]).

mod forms;

#[cfg(test)]
mod tests;

pub use forms::{
    Case, array, between, call, case, coalesce, distinct, extreme, in_list, is_test, like, null_if,
    quantified, regex, subscript,
};

use crate::{
    cast::{self, can_cast, cannot_cast, is_relabel},
    context::EvalContext,
    datum::Datum,
    error::{Result, SqlError, SqlState},
    expr::{BinaryOp, CastContext, Expr, UnaryOp},
    functions::Func,
    ops,
    types::Type,
};

/// An expression and its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Typed {
    /// The expression.
    pub expr: Expr,
    /// Its type; `Unknown` of literals in quotes, NULL and parameters not used yet.
    pub ty: Type,
}

impl Typed {
    /// An expression with its type.
    #[must_use]
    pub const fn new(expr: Expr, ty: Type) -> Typed {
        Typed { expr, ty }
    }

    /// NULL, of no type yet.
    #[must_use]
    pub const fn null() -> Typed {
        Typed { expr: Expr::NULL, ty: Type::Unknown }
    }

    /// A literal in quotes, of no type yet.
    #[must_use]
    pub fn quoted(text: &str) -> Typed {
        Typed { expr: Expr::Const(Datum::text(text)), ty: Type::Unknown }
    }

    /// A value of a known type.
    #[must_use]
    pub fn constant(value: impl Into<Datum>, ty: Type) -> Typed {
        Typed { expr: Expr::Const(value.into()), ty }
    }

    /// A number as SQL writes it: an integer of the narrowest type from `integer` up, else a
    /// numeric.
    ///
    /// # Errors
    /// The text is no number: `42601`; it is one of too many digits: `22003`.
    pub fn number(text: &str) -> Result<Typed> {
        if let Ok(value) = text.parse::<i64>() {
            let ty = if i32::try_from(value).is_ok() { Type::Int4 } else { Type::Int8 };
            return Ok(Typed::constant(value, ty));
        }
        let value = crate::Decimal::parse(text).map_err(|error| match error.sqlstate {
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE => error,
            _ => SqlError::syntax(format!("invalid number \"{text}\"")),
        })?;
        Ok(Typed::constant(value, Type::NUMERIC))
    }

    /// A column of the row, by position from 0.
    #[must_use]
    pub const fn column(position: u32, ty: Type) -> Typed {
        Typed { expr: Expr::Column(position), ty }
    }

    /// A parameter; `$1` has index 0. `ty` is what the client declared, `Unknown` if nothing.
    #[must_use]
    pub const fn param(index: u16, ty: Type) -> Typed {
        Typed { expr: Expr::Param { index, ty }, ty }
    }
}

/// The types of the parameters `$1`, `$2` ... used in expressions; `Unknown` where none was found.
///
/// # Errors
/// One parameter is used as two types: `42P08`.
pub fn param_types<'a>(expressions: impl IntoIterator<Item = &'a Expr>) -> Result<Vec<Type>> {
    let mut found: Vec<Type> = Vec::new();
    let mut conflict = None;
    for expression in expressions {
        expression.any(&mut |part| {
            if let Expr::Param { index, ty } = part {
                let place = usize::from(*index);
                if found.len() <= place {
                    found.resize(place + 1, Type::Unknown);
                }
                match found[place] {
                    Type::Unknown => found[place] = ty.base(),
                    known if *ty == Type::Unknown || known.same_base(*ty) => {}
                    known => conflict = Some((place + 1, known, *ty)),
                }
            }
            conflict.is_some()
        });
    }
    match conflict {
        None => Ok(found),
        Some((number, first, second)) => Err(SqlError::new(
            SqlState::AMBIGUOUS_PARAMETER,
            format!("inconsistent types deduced for parameter ${number}"),
        )
        .with_detail(format!("{first} versus {second}"))),
    }
}

/// The expression as a value of another type, if the context allows the cast.
///
/// # Errors
/// It does not: `42846`; a literal cannot be read as that type: `22P02` and others.
pub fn coerce(value: Typed, to: Type, context: CastContext, ctx: &EvalContext) -> Result<Typed> {
    let from = value.ty;
    if from == to {
        return Ok(value);
    }
    if !can_cast(from, to, context) {
        return Err(cannot_cast(from, to));
    }
    let expr = match value.expr {
        Expr::Const(constant) if from == Type::Unknown => {
            Expr::Const(cast::cast(&constant, from, to, context, ctx)?)
        }
        Expr::Param { index, .. } if from == Type::Unknown => {
            let param = Expr::Param { index, ty: to.base() };
            // The value is cast to the base type when it is bound; the modifier comes on top.
            if is_relabel(to.base(), to) { param } else { cast_node(param, to.base(), to, context) }
        }
        expr if is_relabel(from, to) => expr,
        Expr::Const(constant)
            if cast::volatility(from, to) == crate::functions::Volatility::Immutable =>
        {
            // What cannot be cast is told when the value is asked for, which may be never.
            match cast::cast(&constant, from, to, context, ctx) {
                Ok(value) => Expr::Const(value),
                Err(_) if context == CastContext::Explicit => {
                    cast_node(Expr::Const(constant), from, to, context)
                }
                Err(error) => return Err(error),
            }
        }
        expr => cast_node(expr, from, to, context),
    };
    Ok(Typed { expr, ty: to })
}

fn cast_node(arg: Expr, from: Type, to: Type, context: CastContext) -> Expr {
    Expr::Cast { arg: Box::new(arg), from, to, context }
}

/// `CAST(value AS type)`.
///
/// # Errors
/// No such cast: `42846`; a constant is no value of that type.
pub fn explicit_cast(value: Typed, to: Type, ctx: &EvalContext) -> Result<Typed> {
    coerce(value, to, CastContext::Explicit, ctx)
}

/// A value to be stored into a column.
///
/// # Errors
/// The types don't fit: `42804`; a constant is no value of that type.
pub fn assign(value: Typed, column: &str, to: Type, ctx: &EvalContext) -> Result<Typed> {
    let from = value.ty;
    if !can_cast(from, to, CastContext::Assignment) {
        return Err(SqlError::type_mismatch(format!(
            "column \"{column}\" is of type {} but expression is of type {}",
            to.base(),
            from.base()
        ))
        .with_hint("You will need to rewrite or cast the expression."));
    }
    coerce(value, to, CastContext::Assignment, ctx)
}

/// A literal or parameter that nothing gave a type becomes text, as in a SELECT list.
///
/// # Errors
/// None in practice: text becomes text.
pub fn default_to_text(value: Typed, ctx: &EvalContext) -> Result<Typed> {
    if value.ty == Type::Unknown {
        return coerce(value, Type::Text, CastContext::Implicit, ctx);
    }
    Ok(value)
}

/// The value as a condition of `what`: `WHERE`, `HAVING`, `AND`.
///
/// # Errors
/// It is no truth value: `42804`.
pub fn condition(value: Typed, what: &str, ctx: &EvalContext) -> Result<Expr> {
    let ty = value.ty;
    if !can_cast(ty, Type::Bool, CastContext::Implicit) {
        return Err(SqlError::type_mismatch(format!(
            "argument of {what} must be type boolean, not type {}",
            ty.base()
        )));
    }
    coerce(value, Type::Bool, CastContext::Implicit, ctx).map(|typed| typed.expr)
}

/// `left op right`.
///
/// # Errors
/// No such operator: `42883`; a literal is no value of the type settled on.
pub fn binary(op: BinaryOp, left: Typed, right: Typed, ctx: &EvalContext) -> Result<Typed> {
    let resolved = ops::resolve_binary(op, left.ty, right.ty)?;
    let context =
        if op == BinaryOp::Concat { CastContext::Assignment } else { CastContext::Implicit };
    let left = coerce(left, resolved.left, context, ctx)?.expr;
    let right = coerce(right, resolved.right, context, ctx)?.expr;
    let ty = resolved.result;
    if let (BinaryOp::Concat, Type::Array(_)) = (op, ty) {
        let func = match (resolved.left.element(), resolved.right.element()) {
            (Some(_), Some(_)) => Func::ArrayCat,
            (Some(_), None) => Func::ArrayAppend,
            (None, _) => Func::ArrayPrepend,
        };
        return Ok(Typed { expr: Expr::Call { func, args: vec![left, right], ty }, ty });
    }
    let expr = Expr::Binary { op, left: Box::new(left), right: Box::new(right), ty };
    Ok(Typed { expr, ty })
}

/// `op value`.
///
/// # Errors
/// As [`binary`].
pub fn unary(op: UnaryOp, value: Typed, ctx: &EvalContext) -> Result<Typed> {
    let resolved = ops::resolve_unary(op, value.ty)?;
    let arg = coerce(value, resolved.arg, CastContext::Implicit, ctx)?.expr;
    let expr = Expr::Unary { op, arg: Box::new(arg), ty: resolved.result };
    // The minus of a negative literal belongs to the literal.
    let expr = match &expr {
        Expr::Unary { arg, .. } if arg.as_const().is_some() => {
            expr.eval(&[], ctx).map(Expr::Const).unwrap_or(expr)
        }
        _ => expr,
    };
    Ok(Typed { expr, ty: resolved.result })
}

/// `left AND right`.
///
/// # Errors
/// A side is no truth value: `42804`.
pub fn and(left: Typed, right: Typed, ctx: &EvalContext) -> Result<Typed> {
    let left = condition(left, "AND", ctx)?;
    let right = condition(right, "AND", ctx)?;
    Ok(Typed { expr: left.and(right), ty: Type::Bool })
}

/// `left OR right`.
///
/// # Errors
/// A side is no truth value: `42804`.
pub fn or(left: Typed, right: Typed, ctx: &EvalContext) -> Result<Typed> {
    let mut parts = Vec::new();
    for side in [left, right] {
        match condition(side, "OR", ctx)? {
            Expr::Or(inner) => parts.extend(inner),
            side => parts.push(side),
        }
    }
    Ok(Typed { expr: Expr::Or(parts), ty: Type::Bool })
}

/// `NOT value`.
///
/// # Errors
/// It is no truth value: `42804`.
pub fn not(value: Typed, ctx: &EvalContext) -> Result<Typed> {
    let value = condition(value, "NOT", ctx)?;
    Ok(Typed { expr: Expr::Not(Box::new(value)), ty: Type::Bool })
}

/// The type that values of several types have in common, for `what`: CASE, COALESCE, VALUES, UNION.
///
/// # Errors
/// There is none: `42804`.
pub fn common_type(types: &[Type], what: &str) -> Result<Type> {
    let known: Vec<Type> = types.iter().copied().filter(|ty| *ty != Type::Unknown).collect();
    let Some(first) = known.first().copied() else {
        return Ok(Type::Text);
    };
    // A length that not all of them have is none of the result's.
    if known.len() == types.len() && known.iter().all(|ty| *ty == first) {
        return Ok(first);
    }
    let mut chosen = first.base();
    for next in known.iter().map(|ty| ty.base()).filter(|ty| *ty != first.base()) {
        let matched = next == chosen || next.category() == chosen.category();
        if !matched {
            return Err(SqlError::type_mismatch(format!(
                "{what} types {chosen} and {next} cannot be matched"
            )));
        }
        let to_next = can_cast(chosen, next, CastContext::Implicit);
        let back = can_cast(next, chosen, CastContext::Implicit);
        if !chosen.is_preferred() && to_next && !back {
            chosen = next;
        }
    }
    for ty in &known {
        if !can_cast(*ty, chosen, CastContext::Implicit) {
            return Err(SqlError::new(
                SqlState::CANNOT_COERCE,
                format!("{what} could not convert type {} to {chosen}", ty.base()),
            ));
        }
    }
    Ok(chosen)
}

/// All values as the type they have in common, for `what`.
///
/// # Errors
/// There is none: `42804`; a literal is no value of that type.
pub fn unify(values: Vec<Typed>, what: &str, ctx: &EvalContext) -> Result<(Vec<Expr>, Type)> {
    let types: Vec<Type> = values.iter().map(|value| value.ty).collect();
    let ty = common_type(&types, what)?;
    let cast = |value| coerce(value, ty, CastContext::Implicit, ctx).map(|value| value.expr);
    Ok((values.into_iter().map(cast).collect::<Result<_>>()?, ty))
}
