//! Literals of intervals that have only some fields, or fewer digits of seconds than six:
//! `INTERVAL '1-2' YEAR TO MONTH`, `INTERVAL(2) '1.234'`, `'1:02:03.4'::interval minute to second`.

use expr::{CastContext, Datum, Expr, Interval, SqlError, Type, Typed, datetime::IntervalFields};
use sqlparser::ast::{self, DataType, DateTimeField};

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
        interval_of(&bound, fields, precision)
    }

    /// A quoted text as the interval that the type asks for; `None` if the type is another, or just
    /// any interval.
    pub(super) fn interval_cast(
        &mut self,
        value: &ast::Value,
        ty: &DataType,
    ) -> Result<Option<Typed>, SqlError> {
        let DataType::Interval { fields, precision } = ty else {
            return Ok(None);
        };
        if fields.is_none() && precision.is_none() {
            return Ok(None);
        }
        let Some(bound) = self.quoted(value)? else {
            return Ok(None);
        };
        let fields = match fields {
            None => IntervalFields::ALL,
            Some(fields) => {
                let name = fields.to_string().to_lowercase();
                let (first, last) = match name.split_once(" to ") {
                    Some((first, last)) => (first, Some(last)),
                    None => (name.as_str(), None),
                };
                let seconds = last.unwrap_or(first) == "second";
                IntervalFields::named(first, last)
                    .filter(|_| seconds || precision.is_none())
                    .ok_or_else(|| SqlError::syntax(format!("no interval is of type {ty}")))?
            }
        };
        interval_of(&bound, fields, *precision).map(Some)
    }

    /// A literal in quotes, of whatever form; `None` if it is something else.
    fn quoted(&mut self, value: &ast::Value) -> Result<Option<Typed>, SqlError> {
        let bound = self.literal(value)?;
        Ok(text_of(&bound).is_some().then_some(bound))
    }
}

fn text_of(bound: &Typed) -> Option<&str> {
    match &bound.expr {
        Expr::Const(Datum::Text(text)) if bound.ty == Type::Unknown => Some(text),
        _ => None,
    }
}

/// PostgreSQL takes more than six digits for six, with a warning.
fn interval_of(
    bound: &Typed,
    fields: IntervalFields,
    precision: Option<u64>,
) -> Result<Typed, SqlError> {
    let text = text_of(bound).ok_or_else(|| SqlError::internal("an interval of no text"))?;
    let precision = precision.map(|digits| u32::try_from(digits).unwrap_or(u32::MAX));
    let value = fields.fit(Interval::parse_as(text, fields)?, precision)?;
    Ok(Typed { expr: Expr::Const(Datum::Interval(value)), ty: Type::Interval })
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
