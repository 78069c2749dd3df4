//! Casts: which types become which others, when, and how.
//!
//! A cast is allowed *implicitly* (operands and arguments), on *assignment* (a value stored into a
//! column), or only *explicitly* (`x::type`), as PostgreSQL's `pg_cast` lists them. Every type also
//! becomes text on assignment, and text becomes every type explicitly, by way of the value's text.

use std::sync::Arc;

use crate::{
    context::EvalContext,
    datetime::{self, SECOND},
    datum::{Array, Datum, without_blanks},
    decimal::Decimal,
    error::{Result, SqlError, SqlState},
    expr::CastContext,
    functions::Volatility,
    text,
    types::Type,
};

/// The digits of the longest number, about: longer ones are refused before they are read.
const MAX_DIGITS: usize = 150_000;
/// Digits that a word of memory holds.
const DIGITS_OF_A_WORD: usize = 19;

/// The weakest context in which `from` becomes `to`; `None` if it never does.
#[must_use]
pub fn allowed(from: Type, to: Type) -> Option<CastContext> {
    use CastContext::{Assignment, Explicit, Implicit};
    use Type::{
        Array, Bool, Char, Date, Float4, Float8, Int2, Int4, Int8, Interval, IntervalOf, Name,
        Numeric, Oid, Regclass, Regtype, Text, Timestamp, TimestampTz, Unknown, Varchar, Void,
    };
    Some(match (from, to) {
        (from, to) if from.same_base(to) => Implicit,
        (Void, _) | (_, Void | Unknown) => return None,
        (Unknown, _) => Implicit,
        (Int2, Int4 | Int8 | Numeric(_) | Float4 | Float8)
        | (Int4, Int8 | Numeric(_) | Float4 | Float8)
        | (Int8, Numeric(_) | Float4 | Float8)
        | (Numeric(_), Float4 | Float8)
        | (Float4, Float8)
        | (Int2 | Int4 | Int8, Oid | Regclass | Regtype)
        | (Oid, Regclass | Regtype)
        | (Regclass | Regtype, Oid)
        | (Text, Varchar(_) | Char(_) | Name)
        | (Varchar(_), Text | Char(_) | Name)
        | (Char(_), Text | Varchar(_) | Name)
        | (Name, Text)
        | (Date, Timestamp | TimestampTz)
        | (Timestamp, TimestampTz) => Implicit,
        (Name, Varchar(_) | Char(_))
        | (Int4, Int2)
        | (Int8, Int2 | Int4)
        | (Numeric(_), Int2 | Int4 | Int8)
        | (Float4 | Float8, Int2 | Int4 | Int8 | Numeric(_))
        | (Float8, Float4)
        | (Oid | Regclass | Regtype, Int4 | Int8)
        | (Timestamp | TimestampTz, Date)
        | (TimestampTz, Timestamp) => Assignment,
        (Int4, Bool) | (Bool, Int4) => Explicit,
        (Array(from), Array(to)) => return allowed(from.ty(), to.ty()),
        (Interval | IntervalOf(_), to) if !to.is_string() => return None,
        (_, to) if to.is_string() => Assignment,
        (from, _) if from.is_string() => Explicit,
        _ => return None,
    })
}

/// Whether `from` becomes `to` in a context.
#[must_use]
pub fn can_cast(from: Type, to: Type, context: CastContext) -> bool {
    allowed(from, to).is_some_and(|needed| needed <= context)
}

/// Whether the cast leaves every value as it is, so that none is needed.
#[must_use]
pub fn is_relabel(from: Type, to: Type) -> bool {
    use Type::{Char, Int2, Int4, Int8, Name, Oid, Regclass, Regtype, Text, Unknown, Varchar};
    from == to
        || matches!(
            (from, to),
            (Int2, Int4 | Int8)
                | (Int4, Int8)
                | (Oid, Regclass | Regtype | Int8)
                | (Regclass | Regtype, Oid)
                | (Varchar(_) | Name, Text | Varchar(None))
                | (Text, Varchar(None))
                | (Char(_), Char(None))
                | (Type::Numeric(_), Type::Numeric(None))
                | (Type::IntervalOf(_), Type::Interval)
                | (Unknown, Text)
        )
}

/// How much the outcome of a cast depends on more than its value. Texts of dates, intervals and
/// arrays depend on the session's settings in PostgreSQL, so it does not compute them ahead.
#[must_use]
pub const fn volatility(from: Type, to: Type) -> Volatility {
    use Type::{Array, Date, Interval, IntervalOf, Regclass, Regtype, Timestamp, TimestampTz};
    match (from, to) {
        (Regclass, _) | (_, Regclass) => Volatility::Volatile,
        (Array(from), Array(to)) => volatility(from.ty(), to.ty()),
        (TimestampTz, to) if !matches!(to, TimestampTz) => Volatility::Stable,
        (from, TimestampTz) if !matches!(from, TimestampTz) => Volatility::Stable,
        (Date | Timestamp | Interval | IntervalOf(_) | Array(_) | Regtype, text)
        | (text, Date | Timestamp | Interval | IntervalOf(_) | Array(_) | Regtype)
            if text.is_string() =>
        {
            Volatility::Stable
        }
        _ => Volatility::Immutable,
    }
}

/// Casts a value of type `from` to type `to`.
///
/// # Errors
/// The value is none of that type, worded as PostgreSQL does; no such cast: `42846`.
pub fn cast(
    value: &Datum,
    from: Type,
    to: Type,
    context: CastContext,
    ctx: &EvalContext,
) -> Result<Datum> {
    ctx.look(work_of(value, to))?;
    let value = match value {
        Datum::Null => return Ok(Datum::Null),
        // As text it loses its blanks; what reads its text sees them.
        Datum::Char(text) if to.is_string() && !matches!(to, Type::Char(_)) => {
            &Datum::text(without_blanks(text))
        }
        Datum::Char(text) => &Datum::Text(text.clone()),
        value => value,
    };
    let converted = match (value, to) {
        (value, to) if to.is_int_datum() => to_int(value, from, to, ctx)?,
        (value, Type::Float4 | Type::Float8) => to_float(value, to, ctx)?,
        (value, Type::Numeric(_)) => to_numeric(value, from, ctx)?,
        (value, Type::Date | Type::Timestamp | Type::TimestampTz) => to_datetime(value, to, ctx)?,
        (Datum::Int(value), Type::Bool) => Datum::Bool(*value != 0),
        (Datum::Array(array), Type::Array(element)) => {
            let convert = |item: &Datum| cast(item, array.element.ty(), element.ty(), context, ctx);
            Datum::array(element, array.items.iter().map(convert).collect::<Result<_>>()?)
        }
        (Datum::Text(text), to) if to.is_string() => Datum::Text(text.clone()),
        (Datum::Bool(value), to) if to.is_string() && to != Type::Name => {
            Datum::text(if *value { "true" } else { "false" })
        }
        (value, to) if to.is_string() => to_text(value, from, ctx)?,
        // Only a literal's text is read by the modifier: `'1:02'::interval minute to second`.
        (Datum::Text(text), to) if from == Type::Unknown => text::input(text, to, ctx)?,
        (Datum::Text(text), to) => text::input(text, to.base(), ctx)?,
        (value, to) if value.fits(to) => value.clone(),
        (_, to) => return Err(cannot_cast(from, to)),
    };
    let converted = match (converted, to) {
        (Datum::Text(text), Type::Char(_)) => Datum::Char(text),
        (other, _) => other,
    };
    fit(converted, to, context)
}

/// Work of casting: a value is looked through, and the digits of a long number are put together.
fn work_of(value: &Datum, to: Type) -> usize {
    match (value, to) {
        // Each element is cast by itself, and counted then.
        (Datum::Array(array), Type::Array(_)) => array.items.len(),
        (Datum::Text(text) | Datum::Char(text), Type::Numeric(_)) => {
            let words = text.len().min(MAX_DIGITS) / DIGITS_OF_A_WORD;
            text.len() + words * words
        }
        (value, _) => value.work(),
    }
}

/// `42846`: there is no such cast.
#[must_use]
pub fn cannot_cast(from: Type, to: Type) -> SqlError {
    SqlError::new(
        SqlState::CANNOT_COERCE,
        format!("cannot cast type {} to {}", from.base(), to.base()),
    )
}

/// A value as a column of the type holds it: a text not longer than it may be, `char(n)` filled up
/// with blanks, a number rounded to its scale, an interval without the fields that the type has
/// not. An explicit cast cuts a text; otherwise only blanks
/// may be cut.
///
/// # Errors
/// Too long: `22001`; too large: `22003`.
pub fn fit(value: Datum, ty: Type, context: CastContext) -> Result<Datum> {
    match (value, ty) {
        (Datum::Numeric(value), Type::Numeric(Some(modifier))) => {
            value.fit(modifier).map(Datum::numeric)
        }
        (Datum::Text(text), Type::Varchar(Some(length))) => {
            match too_long(&text, length, ty, context)? {
                Some(end) => Ok(Datum::text(&text[..end])),
                None => Ok(Datum::Text(text)),
            }
        }
        (Datum::Char(text), Type::Char(Some(length))) => {
            match too_long(&text, length, ty, context)? {
                Some(end) => Ok(Datum::char(&text[..end])),
                None => Ok(Datum::Char(padded(text, length))),
            }
        }
        (Datum::Interval(value), Type::IntervalOf(modifier)) => {
            let precision = modifier.precision.map(u32::from);
            modifier.fields.fit(value, precision).map(Datum::Interval)
        }
        (Datum::Text(text), Type::Name) => Ok(Datum::text(text::cut_name(&text))),
        (value, _) => Ok(value),
    }
}

/// The text filled up with blanks to so many characters.
fn padded(text: Arc<str>, length: u32) -> Arc<str> {
    let missing = (length as usize).saturating_sub(text.chars().count());
    if missing == 0 {
        return text;
    }
    Arc::from([&*text, &" ".repeat(missing)].concat())
}

/// Where to cut a text that is longer than so many characters; `None` if it is not.
fn too_long(text: &str, length: u32, ty: Type, context: CastContext) -> Result<Option<usize>> {
    let Some((end, _)) = text.char_indices().nth(length as usize) else {
        return Ok(None);
    };
    if context != CastContext::Explicit && text[end..].contains(|c| c != ' ') {
        return Err(SqlError::new(
            SqlState::STRING_DATA_RIGHT_TRUNCATION,
            format!("value too long for type {ty}"),
        ));
    }
    Ok(Some(end))
}

fn to_int(value: &Datum, from: Type, to: Type, ctx: &EvalContext) -> Result<Datum> {
    let special = |what: &str| {
        SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("cannot convert {what} to {to}"))
    };
    let converted = match value {
        Datum::Int(value) => Some(*value),
        Datum::Bool(value) => Some(i64::from(*value)),
        // Halves go to the even neighbour, as the machine rounds.
        Datum::Float(value) => {
            let rounded = value.round_ties_even();
            let inside =
                (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&rounded);
            inside.then_some(rounded as i64)
        }
        Datum::Numeric(value) => match &**value {
            Decimal::NaN => return Err(special("NaN")),
            Decimal::Infinity | Decimal::NegativeInfinity => return Err(special("infinity")),
            value @ Decimal::Finite(_) => value.to_int(),
        },
        Datum::Text(text) => return text::input(text, to, ctx),
        _ => return Err(cannot_cast(from, to)),
    };
    let bounds = match to {
        Type::Int2 => i16::MIN.into()..=i16::MAX.into(),
        Type::Int4 => i32::MIN.into()..=i32::MAX.into(),
        Type::Int8 => i64::MIN..=i64::MAX,
        _ if from == Type::Int4 || from == Type::Int2 => {
            return Ok(Datum::Int(converted.unwrap_or(0).rem_euclid(1 << 32)));
        }
        _ => 0..=u32::MAX.into(),
    };
    let checked = converted.filter(|value| bounds.contains(value));
    checked.map(Datum::Int).ok_or_else(|| {
        if to.is_integer() { SqlError::out_of_range(to) } else { SqlError::out_of_range("OID") }
    })
}

fn to_float(value: &Datum, to: Type, ctx: &EvalContext) -> Result<Datum> {
    let wide = match value {
        Datum::Int(value) => *value as f64,
        Datum::Float(value) => *value,
        // Straight to the narrow float: by way of the wide one it would be rounded twice.
        Datum::Numeric(value) if to == Type::Float4 => {
            return text::input(&value.to_string(), Type::Float4, ctx);
        }
        Datum::Numeric(value) => {
            let float = value.to_float();
            if float.is_infinite() && matches!(**value, Decimal::Finite(_)) {
                return Err(SqlError::new(
                    SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
                    format!("\"{value}\" is out of range for type {to}"),
                ));
            }
            float
        }
        Datum::Text(text) => return text::input(text, to, ctx),
        other => return Err(SqlError::internal(format!("cast of {other:?} to {to}"))),
    };
    if to == Type::Float8 {
        return Ok(Datum::Float(wide));
    }
    let narrow = wide as f32;
    if narrow.is_infinite() && !wide.is_infinite() {
        return Err(SqlError::new(
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            "value out of range: overflow",
        ));
    }
    if narrow == 0.0 && wide != 0.0 {
        return Err(SqlError::new(
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            "value out of range: underflow",
        ));
    }
    Ok(Datum::Float(narrow.into()))
}

fn to_numeric(value: &Datum, from: Type, ctx: &EvalContext) -> Result<Datum> {
    match value {
        Datum::Int(value) => Ok(Datum::numeric(*value)),
        Datum::Float(value) => Ok(Datum::numeric(Decimal::from_float(
            *value,
            if from == Type::Float4 { 6 } else { 15 },
        ))),
        Datum::Numeric(value) => Ok(Datum::Numeric(value.clone())),
        Datum::Text(text) => text::input(text, Type::NUMERIC, ctx),
        _ => Err(cannot_cast(from, Type::NUMERIC)),
    }
}

fn to_datetime(value: &Datum, to: Type, ctx: &EvalContext) -> Result<Datum> {
    let zone = &ctx.timezone;
    let to_local = |utc: i64| {
        if datetime::is_infinite(utc) {
            return Ok(utc);
        }
        datetime::check_timestamp(utc.checked_add(zone.offset_seconds(utc) * SECOND))
    };
    let to_utc = |local: i64| {
        if datetime::is_infinite(local) {
            return Ok(local);
        }
        datetime::check_timestamp(Some(zone.local_to_utc(local)))
    };
    Ok(match (value, to) {
        (Datum::Text(text), to) => text::input(text, to, ctx)?,
        (Datum::Date(days), Type::Timestamp) => {
            Datum::Timestamp(datetime::date_to_timestamp(*days)?)
        }
        (Datum::Date(days), Type::TimestampTz) => {
            Datum::TimestampTz(to_utc(datetime::date_to_timestamp(*days)?)?)
        }
        (Datum::Timestamp(local), Type::TimestampTz) => Datum::TimestampTz(to_utc(*local)?),
        (Datum::TimestampTz(utc), Type::Timestamp) => Datum::Timestamp(to_local(*utc)?),
        (Datum::Timestamp(local), Type::Date) => Datum::Date(datetime::timestamp_to_date(*local)),
        (Datum::TimestampTz(utc), Type::Date) => {
            Datum::Date(datetime::timestamp_to_date(to_local(*utc)?))
        }
        (value, to) if value.fits(to) => value.clone(),
        (value, to) => return Err(SqlError::internal(format!("cast of {value:?} to {to}"))),
    })
}

fn to_text(value: &Datum, from: Type, ctx: &EvalContext) -> Result<Datum> {
    if from == Type::Regclass {
        return ctx.hooks("regclassout")?.call("regclassout", std::slice::from_ref(value));
    }
    let text = text::output_in(value, from, ctx).expect("NULL was handled before");
    Ok(Datum::text(text))
}

/// The type an array of items of a type has, and the array.
#[must_use]
pub fn array_items(value: &Datum) -> Option<&Array> {
    if let Datum::Array(array) = value { Some(array) } else { None }
}
