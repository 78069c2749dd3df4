//! Values in PostgreSQL's binary wire format.
//!
//! Drivers ask for it per column and send parameters in it. Integers and floats are big-endian in
//! their width; dates and timestamps count from 2000-01-01 as we do; see [`Decimal::to_wire`] for
//! numbers.

#[cfg(test)]
mod tests;

use crate::{
    datetime::Interval,
    datum::{Array, Datum},
    decimal::Decimal,
    error::{Result, SqlError, SqlState},
    types::{Element, Type},
};

/// The most elements of an array that is read.
const MAX_ARRAY_ITEMS: i32 = 1 << 20;

/// A value in binary; `None` of NULL.
///
/// # Panics
/// If the value is none of the type.
#[must_use]
pub fn encode(value: &Datum, ty: Type) -> Option<Vec<u8>> {
    assert!(value.fits(ty), "{value:?} is no {ty}");
    Some(match value {
        Datum::Null => return None,
        Datum::Bool(value) => vec![u8::from(*value)],
        Datum::Int(value) => match ty {
            Type::Int2 => (*value as i16).to_be_bytes().to_vec(),
            Type::Int8 => value.to_be_bytes().to_vec(),
            Type::Int4 => (*value as i32).to_be_bytes().to_vec(),
            _ => (*value as u32).to_be_bytes().to_vec(),
        },
        Datum::Float(value) if ty == Type::Float4 => (*value as f32).to_be_bytes().to_vec(),
        Datum::Float(value) => value.to_be_bytes().to_vec(),
        Datum::Numeric(value) => value.to_wire(),
        Datum::Text(_) | Datum::Char(_) => {
            let text = crate::text::output(value, ty, &crate::datetime::TimeZone::Utc);
            text.expect("not NULL").into_bytes()
        }
        Datum::Bytes(bytes) => bytes.to_vec(),
        Datum::Date(days) => days.to_be_bytes().to_vec(),
        Datum::Timestamp(micros) | Datum::TimestampTz(micros) => micros.to_be_bytes().to_vec(),
        Datum::Interval(interval) => {
            let mut out = interval.micros.to_be_bytes().to_vec();
            out.extend_from_slice(&interval.days.to_be_bytes());
            out.extend_from_slice(&interval.months.to_be_bytes());
            out
        }
        Datum::Uuid(bytes) => bytes.to_vec(),
        Datum::Array(array) => encode_array(array),
    })
}

fn encode_array(array: &Array) -> Vec<u8> {
    let count = i32::try_from(array.items.len()).expect("arrays are limited in memory");
    let mut out = Vec::new();
    let nulls = array.items.iter().any(Datum::is_null);
    // Dimensions, whether there are NULLs, type of the elements; then length and first index of
    // each dimension.
    out.extend_from_slice(&i32::from(count > 0).to_be_bytes());
    out.extend_from_slice(&i32::from(nulls).to_be_bytes());
    out.extend_from_slice(&array.element.ty().oid().to_be_bytes());
    if count > 0 {
        out.extend_from_slice(&count.to_be_bytes());
        out.extend_from_slice(&1_i32.to_be_bytes());
    }
    for item in &array.items {
        match encode(item, array.element.ty()) {
            None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
            Some(bytes) => {
                let length = i32::try_from(bytes.len()).expect("values are limited in memory");
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(&bytes);
            }
        }
    }
    out
}

/// The value of a type from its binary form.
///
/// # Errors
/// The bytes are none: `22P03`; bytes that are no UTF-8 in a text: `22021`.
pub fn decode(bytes: &[u8], ty: Type) -> Result<Datum> {
    let value = decode_base(bytes, ty)?;
    crate::cast::fit(value, ty, crate::expr::CastContext::Assignment)
}

fn invalid() -> SqlError {
    SqlError::new(
        SqlState::INVALID_BINARY_REPRESENTATION,
        "incorrect binary data format in bind parameter",
    )
}

fn exact<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| invalid())
}

fn decode_base(bytes: &[u8], ty: Type) -> Result<Datum> {
    Ok(match ty {
        Type::Bool => Datum::Bool(exact::<1>(bytes)?[0] != 0),
        Type::Int2 => Datum::Int(i16::from_be_bytes(exact(bytes)?).into()),
        Type::Int4 => Datum::Int(i32::from_be_bytes(exact(bytes)?).into()),
        Type::Int8 => Datum::Int(i64::from_be_bytes(exact(bytes)?)),
        Type::Oid | Type::Regclass | Type::Regtype => {
            Datum::Int(u32::from_be_bytes(exact(bytes)?).into())
        }
        Type::Float4 => Datum::Float(f32::from_be_bytes(exact(bytes)?).into()),
        Type::Float8 => Datum::Float(f64::from_be_bytes(exact(bytes)?)),
        Type::Numeric(_) => Datum::numeric(Decimal::from_wire(bytes)?),
        Type::Text | Type::Varchar(_) | Type::Char(_) | Type::Name | Type::Unknown | Type::Void => {
            let text = utf8(bytes)?;
            if matches!(ty, Type::Char(_)) { Datum::char(text) } else { Datum::text(text) }
        }
        Type::Bytea => Datum::bytes(bytes),
        Type::Date => Datum::Date(checked_date(i32::from_be_bytes(exact(bytes)?))?),
        Type::Timestamp => Datum::Timestamp(checked_timestamp(i64::from_be_bytes(exact(bytes)?))?),
        Type::TimestampTz => {
            Datum::TimestampTz(checked_timestamp(i64::from_be_bytes(exact(bytes)?))?)
        }
        Type::Interval | Type::IntervalOf(_) => {
            let (micros, rest) = bytes.split_first_chunk::<8>().ok_or_else(invalid)?;
            let (days, months) = rest.split_first_chunk::<4>().ok_or_else(invalid)?;
            Datum::Interval(Interval {
                months: i32::from_be_bytes(exact(months)?),
                days: i32::from_be_bytes(*days),
                micros: i64::from_be_bytes(*micros),
            })
        }
        Type::Uuid => Datum::Uuid(exact(bytes)?),
        Type::Array(element) => decode_array(bytes, element)?,
    })
}

/// A text of the client's, or of its bytes.
///
/// # Errors
/// `22021`, with the first character that is none.
pub fn utf8(bytes: &[u8]) -> Result<&str> {
    let valid = match std::str::from_utf8(bytes) {
        Ok(text) => match text.find('\0') {
            None => return Ok(text),
            Some(zero) => zero,
        },
        Err(error) => error.valid_up_to(),
    };
    let wrong = &bytes[valid..];
    // As many bytes as the first one promises.
    let promised = match wrong.first() {
        Some(0xc0..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf7) => 4,
        Some(_) | None => 1,
    };
    let shown: Vec<String> =
        wrong.iter().take(promised).map(|byte| format!("0x{byte:02x}")).collect();
    Err(SqlError::new(
        SqlState::CHARACTER_NOT_IN_REPERTOIRE,
        format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" ")),
    ))
}

fn checked_date(days: i32) -> Result<i32> {
    if crate::datetime::is_infinite_date(days) {
        return Ok(days);
    }
    crate::datetime::check_date(days.into())
}

fn checked_timestamp(micros: i64) -> Result<i64> {
    if crate::datetime::is_infinite(micros) {
        return Ok(micros);
    }
    crate::datetime::check_timestamp(Some(micros))
}

fn decode_array(bytes: &[u8], element: Element) -> Result<Datum> {
    let mut rest = bytes;
    let mut word = || -> Result<i32> {
        let (word, tail) = rest.split_first_chunk::<4>().ok_or_else(invalid)?;
        rest = tail;
        Ok(i32::from_be_bytes(*word))
    };
    let (dimensions, _nulls, oid) = (word()?, word()?, word()?);
    if oid.cast_unsigned() != element.ty().oid() {
        return Err(SqlError::type_mismatch("wrong element type"));
    }
    if dimensions == 0 {
        return Ok(Datum::array(element, Vec::new()));
    }
    if dimensions != 1 {
        return Err(SqlError::unsupported("an array of several dimensions"));
    }
    let (count, _first) = (word()?, word()?);
    if !(0..=MAX_ARRAY_ITEMS).contains(&count) {
        return Err(invalid());
    }
    let mut items = Vec::new();
    for _ in 0..count {
        let (length, tail) = rest.split_first_chunk::<4>().ok_or_else(invalid)?;
        rest = tail;
        match usize::try_from(i32::from_be_bytes(*length)) {
            Err(_) => items.push(Datum::Null),
            Ok(length) => {
                let (item, tail) = rest.split_at_checked(length).ok_or_else(invalid)?;
                rest = tail;
                items.push(decode(item, element.ty())?);
            }
        }
    }
    if rest.is_empty() { Ok(Datum::array(element, items)) } else { Err(invalid()) }
}
