//! Values as columns of keys, by way of [`keys::codec`].
//!
//! A key holds what SQL compares, no more: `1.50` and `1.5` are one key, and so are `-0.0` and
//! `0.0`; the blanks of `char(n)` are not in it, and put back by the type. Columns of such types ([`is_lossy`]) are stored in the row's value as well, and read from
//! there.

#[cfg(test)]
mod tests;

use keys::codec::{self, Direction, KeyPart};

use crate::{
    cast,
    datum::{Datum, without_blanks},
    decimal::Decimal,
    error::{Result, SqlError},
    expr::CastContext,
    types::Type,
};

/// Whether columns of the type may be in a key.
#[must_use]
pub const fn is_keyable(ty: Type) -> bool {
    !matches!(
        ty,
        Type::Interval | Type::IntervalOf(_) | Type::Array(_) | Type::Void | Type::Unknown
    )
}

/// Whether values of the type that look different may have one key: they are stored in the row too.
#[must_use]
pub const fn is_lossy(ty: Type) -> bool {
    matches!(ty, Type::Numeric(_) | Type::Float4 | Type::Float8 | Type::Char(None))
}

/// Writes a value behind what `out` holds.
///
/// # Errors
/// A value of a type that is not [`is_keyable`]: `0A000`.
pub fn encode_datum(value: &Datum, direction: Direction, out: &mut Vec<u8>) -> Result<()> {
    match value {
        Datum::Null => codec::null(direction, out),
        Datum::Bool(value) => codec::bool(*value, direction, out),
        Datum::Int(value) => codec::int(*value, direction, out),
        Datum::Float(value) => codec::float(*value, direction, out),
        Datum::Numeric(value) => codec::decimal(&value.to_key(), direction, out),
        Datum::Text(text) => codec::text(text, direction, out),
        Datum::Char(text) => codec::text(without_blanks(text), direction, out),
        Datum::Bytes(bytes) => codec::bytes(bytes, direction, out),
        Datum::Date(days) => codec::date(*days, direction, out),
        Datum::Timestamp(micros) => codec::timestamp(*micros, direction, out),
        Datum::TimestampTz(micros) => codec::timestamp_tz(*micros, direction, out),
        Datum::Uuid(bytes) => codec::uuid(bytes, direction, out),
        Datum::Interval(_) => return Err(SqlError::unsupported("an interval in a key")),
        Datum::Array(_) => return Err(SqlError::unsupported("an array in a key")),
    }
    Ok(())
}

/// Reads a value of a type and moves `input` behind it; the direction tells itself.
///
/// # Errors
/// The bytes are no value of that type: `XX001`.
pub fn decode_datum(input: &mut &[u8], ty: Type) -> Result<Datum> {
    let damaged =
        |what: String| SqlError::corrupted(format_args!("a key column of type {ty}: {what}"));
    let part = codec::decode(input).map_err(|error| damaged(error.to_string()))?;
    let value = match part {
        KeyPart::Null => Datum::Null,
        KeyPart::Bool(value) => Datum::Bool(value),
        KeyPart::Int(value) => Datum::Int(value),
        KeyPart::Float(value) => Datum::Float(value),
        KeyPart::Decimal(value) => Datum::numeric(Decimal::from_key(&value)?),
        KeyPart::Text(text) if matches!(ty, Type::Char(_)) => {
            cast::fit(Datum::char(text), ty, CastContext::Explicit)?
        }
        KeyPart::Text(text) => Datum::text(text),
        KeyPart::Bytes(bytes) => Datum::bytes(bytes),
        KeyPart::Date(days) => Datum::Date(days),
        KeyPart::Timestamp(micros) => Datum::Timestamp(micros),
        KeyPart::TimestampTz(micros) => Datum::TimestampTz(micros),
        KeyPart::Uuid(bytes) => Datum::Uuid(bytes),
    };
    if value.fits(ty) { Ok(value) } else { Err(damaged(format!("found {value:?}"))) }
}
