//! Literals of intervals that have only some fields, or fewer digits of seconds than six:
//! `INTERVAL '1-2' YEAR TO MONTH`, `INTERVAL '1.234' SECOND(2)`.

use expr::{
    CastContext, Datum, Expr, IntervalModifier, SqlError, Type, Typed, datetime::IntervalFields,
};
use sqlparser::ast::{self, DateTimeField};

use super::Binder;

impl Binder<'_> {
    /// `INTERVAL 'text'`, with or without fields behind it.
    pub(super) fn interval(&mut self, interval: &ast::Interval) -> Result<Typed, SqlError> {
        let bound = match &*interval.value {
            ast::Expr::Value(value) => self.quoted(&value.value)?,
            _ => None,
        };
        let Some(bound) = bound else {
            return Err(SqlError::syntax("what follows INTERVAL is no text in quotes"));
        };
        let Some(first) = &interval.leading_field else {
            if interval.leading_precision.is_some() || interval.last_field.is_some() {
                return Err(unknown_fields(interval));
            }
            return self.coerce(bound, Type::Interval, CastContext::Explicit);
        };
        // Digits are those of seconds, and no other field has any.
        let of_seconds = *first == DateTimeField::Second && interval.last_field.is_none();
        let precision = match (interval.leading_precision, interval.fractional_seconds_precision) {
            (None, precision) => precision,
            (precision @ Some(_), None) if of_seconds => precision,
            (Some(_), _) => return Err(unknown_fields(interval)),
        };
        let name = |field: &DateTimeField| field.to_string().to_lowercase();
        let last = interval.last_field.as_ref().map(name);
        let fields = IntervalFields::named(&name(first), last.as_deref())
            .ok_or_else(|| unknown_fields(interval))?;
        let modifier = IntervalModifier::new(fields, precision);
        let modifier = modifier.ok_or_else(|| unknown_fields(interval))?;
        self.coerce(bound, modifier.ty(), CastContext::Explicit)
    }

    /// A literal in quotes, of whatever form; `None` if it is something else.
    fn quoted(&mut self, value: &ast::Value) -> Result<Option<Typed>, SqlError> {
        let bound = self.literal(value)?;
        let quoted = bound.ty == Type::Unknown && matches!(bound.expr, Expr::Const(Datum::Text(_)));
        Ok(quoted.then_some(bound))
    }
}

/// Another word behind the literal than the six fields is the name of a column in PostgreSQL; other
/// orders of the fields are nothing at all.
fn unknown_fields(interval: &ast::Interval) -> SqlError {
    let first = interval.leading_field.as_ref().map(|field| field.to_string().to_lowercase());
    if first.is_some_and(|first| IntervalFields::named(&first, None).is_none()) {
        return SqlError::unsupported(format!("{interval}"))
            .with_hint("Write the unit inside of the quotes: INTERVAL '1 week'.");
    }
    SqlError::syntax(format!("no interval has these fields: {interval}"))
}
