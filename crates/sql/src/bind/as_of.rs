//! `AS OF SYSTEM TIME $1`: a snapshot that comes with the statement's parameters.

use expr::{Datum, EvalContext, SqlError, Type};
use sqlparser::ast;

use crate::parse::AsOf;

/// The number of the parameter that names the snapshot, from 0; `None`: something else does.
fn parameter(as_of: &AsOf) -> Option<usize> {
    let ast::Expr::Value(value) = &*as_of.at else { return None };
    let ast::Value::Placeholder(name) = &value.value else { return None };
    name.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1)
}

/// Counts the parameter that names the snapshot among those of the query: of the type that the client
/// declared, else text.
pub(crate) fn count_as_of(as_of: &AsOf, declared: &[Option<Type>], params: &mut Vec<Type>) {
    let Some(at) = parameter(as_of) else { return };
    for place in params.len()..=at {
        params.push(declared.get(place).copied().flatten().unwrap_or(Type::Text));
    }
}

/// What was asked for, the parameter's value in its place.
///
/// # Errors
/// `22023` for NULL, `42P02` if there is no such parameter, `0A000` for a value that names no moment.
pub(crate) fn as_of_given(
    as_of: &AsOf,
    params: &[Datum],
    context: &EvalContext,
) -> Result<AsOf, SqlError> {
    let Some(at) = parameter(as_of) else { return Ok(as_of.clone()) };
    let value = params.get(at).ok_or_else(|| {
        let message = format!("there is no parameter ${}", at + 1);
        SqlError::new(expr::SqlState::UNDEFINED_PARAMETER, message)
    })?;
    let text = match value {
        Datum::Null => {
            return Err(SqlError::invalid_parameter("AS OF SYSTEM TIME must not be null"));
        }
        Datum::Text(text) => Some(text.to_string()),
        Datum::Int(nanos) => Some(nanos.to_string()),
        Datum::TimestampTz(_) => expr::text::output(value, Type::TimestampTz, &context.timezone),
        Datum::Interval(_) => expr::text::output(value, Type::Interval, &context.timezone),
        _ => None,
    };
    let text = text.ok_or_else(|| {
        SqlError::unsupported("AS OF SYSTEM TIME with a parameter of this type")
            .with_hint("Bind a text, a timestamp with time zone or an interval.")
    })?;
    let at = ast::Expr::Value(ast::Value::SingleQuotedString(text).into());
    Ok(AsOf { at: Box::new(at) })
}
