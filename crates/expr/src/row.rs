//! Rows and tuples as bytes: what a table's keys map to, and what replicas send.
//!
//! A row is its columns by id, in ascending order, so that a column added later is simply missing
//! in older rows and has its default there. A tuple is values by position.
//!
//! ```text
//! row    FORMAT, then for each column: varint(id - id before), value
//! tuple  varint(count), values
//! value  a tag, then by tag: nothing | zigzag varint | 8 or 16 bytes | varint(length), bytes
//! ```
//!
//! Tags and [`FORMAT`] are what disks hold: a tag is never given another meaning.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bigdecimal::num_bigint::BigInt;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    datetime::Interval,
    datum::Datum,
    decimal::{self, Decimal},
    error::{Result, SqlError},
    types::{Element, Type},
};

/// A column of a table, for ever: never given to another column of that table.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ColumnId(pub u32);

/// First byte of a row.
pub const FORMAT: u8 = 1;
/// The most arrays in arrays that are read.
const MAX_DEPTH: u32 = 4;

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const NUMERIC: u8 = 5;
const NUMERIC_NAN: u8 = 6;
const NUMERIC_INFINITY: u8 = 7;
const NUMERIC_NEGATIVE_INFINITY: u8 = 8;
const TEXT: u8 = 9;
const BYTES: u8 = 10;
const DATE: u8 = 11;
const TIMESTAMP: u8 = 12;
const TIMESTAMP_TZ: u8 = 13;
const INTERVAL: u8 = 14;
const UUID: u8 = 15;
const ARRAY: u8 = 16;
const CHAR: u8 = 17;

/// A row of these columns.
///
/// # Panics
/// If their ids don't ascend.
#[must_use]
pub fn encode(columns: &[(ColumnId, &Datum)]) -> Bytes {
    let mut out = Vec::with_capacity(1 + columns.len() * 8);
    out.push(FORMAT);
    let mut before = 0;
    for (at, (id, value)) in columns.iter().enumerate() {
        assert!(at == 0 || id.0 > before, "column ids must ascend: {} after {before}", id.0);
        put_varint(u64::from(id.0 - before), &mut out);
        put(value, &mut out);
        before = id.0;
    }
    Bytes::from(out)
}

/// The columns of a row, in ascending order of their ids; none of an empty value.
///
/// # Errors
/// The bytes are no row: `XX001`.
pub fn decode(row: &[u8]) -> Result<Vec<(ColumnId, Datum)>> {
    let mut out = Vec::new();
    each(row, |id, value| {
        out.push((id, take(value, 0)?));
        Ok(())
    })?;
    Ok(out)
}

/// Puts the columns of a row to their places; columns without a place are skipped, places without a
/// column stay as they are. `places` is sorted by id.
///
/// # Errors
/// The bytes are no row: `XX001`.
pub fn decode_into(row: &[u8], places: &[(ColumnId, usize)], out: &mut [Datum]) -> Result<()> {
    let mut rest = places.iter().peekable();
    each(row, |id, value| {
        while rest.next_if(|(wanted, _)| *wanted < id).is_some() {}
        match rest.next_if(|(wanted, _)| *wanted == id) {
            Some((_, place)) => out[*place] = take(value, 0)?,
            None => skip(value, 0)?,
        }
        Ok(())
    })
}

/// Calls `see` for each column, with the bytes at its value; it takes the value off.
fn each(row: &[u8], mut see: impl FnMut(ColumnId, &mut &[u8]) -> Result<()>) -> Result<()> {
    let mut rest = match row.split_first() {
        None => return Ok(()),
        Some((&FORMAT, rest)) => rest,
        Some((format, _)) => {
            return Err(SqlError::corrupted(format_args!("a row of format {format}")));
        }
    };
    let mut id = 0_u32;
    while !rest.is_empty() {
        let step = u32::try_from(take_varint(&mut rest)?).map_err(|_| damaged())?;
        id = id.checked_add(step).ok_or_else(damaged)?;
        see(ColumnId(id), &mut rest)?;
    }
    Ok(())
}

/// Values by position.
#[must_use]
pub fn encode_tuple<'a>(values: impl ExactSizeIterator<Item = &'a Datum>) -> Bytes {
    let mut out = Vec::with_capacity(1 + values.len() * 8);
    put_varint(values.len() as u64, &mut out);
    for value in values {
        put(value, &mut out);
    }
    Bytes::from(out)
}

/// The values of a tuple.
///
/// # Errors
/// The bytes are no tuple: `XX001`.
pub fn decode_tuple(mut tuple: &[u8]) -> Result<Vec<Datum>> {
    let count = take_varint(&mut tuple)?;
    // Each value has a byte at least: more than there are bytes is no count.
    if count > tuple.len() as u64 {
        return Err(damaged());
    }
    let values = (0..count).map(|_| take(&mut tuple, 0)).collect::<Result<_>>()?;
    if tuple.is_empty() { Ok(values) } else { Err(damaged()) }
}

fn damaged() -> SqlError {
    SqlError::corrupted("a row")
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_int(value: i64, out: &mut Vec<u8>) {
    put_varint(((value << 1) ^ (value >> 63)).cast_unsigned(), out);
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn put(value: &Datum, out: &mut Vec<u8>) {
    let mut tagged = |tag: u8, value: i64| {
        out.push(tag);
        put_int(value, out);
    };
    match value {
        Datum::Int(value) => tagged(INT, *value),
        Datum::Date(days) => tagged(DATE, (*days).into()),
        Datum::Timestamp(micros) => tagged(TIMESTAMP, *micros),
        Datum::TimestampTz(micros) => tagged(TIMESTAMP_TZ, *micros),
        Datum::Null => out.push(NULL),
        Datum::Bool(value) => out.push(if *value { TRUE } else { FALSE }),
        Datum::Float(value) => {
            out.push(FLOAT);
            out.extend_from_slice(&value.to_bits().to_be_bytes());
        }
        Datum::Numeric(value) => put_numeric(value, out),
        Datum::Text(text) => {
            out.push(TEXT);
            put_bytes(text.as_bytes(), out);
        }
        Datum::Char(text) => {
            out.push(CHAR);
            put_bytes(text.as_bytes(), out);
        }
        Datum::Bytes(bytes) => {
            out.push(BYTES);
            put_bytes(bytes, out);
        }
        Datum::Interval(interval) => {
            out.push(INTERVAL);
            put_int(interval.months.into(), out);
            put_int(interval.days.into(), out);
            put_int(interval.micros, out);
        }
        Datum::Uuid(bytes) => {
            out.push(UUID);
            out.extend_from_slice(bytes);
        }
        Datum::Array(array) => {
            out.push(ARRAY);
            put_varint(array.element.ty().oid().into(), out);
            put_varint(array.items.len() as u64, out);
            for item in &array.items {
                put(item, out);
            }
        }
    }
}

fn put_numeric(value: &Decimal, out: &mut Vec<u8>) {
    match value {
        Decimal::NaN => out.push(NUMERIC_NAN),
        Decimal::Infinity => out.push(NUMERIC_INFINITY),
        Decimal::NegativeInfinity => out.push(NUMERIC_NEGATIVE_INFINITY),
        Decimal::Finite(value) => {
            out.push(NUMERIC);
            put_varint(value.scale().into(), out);
            put_bytes(&value.unscaled().to_signed_bytes_be(), out);
        }
    }
}

fn take_varint(rest: &mut &[u8]) -> Result<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, tail) = rest.split_first().ok_or_else(damaged)?;
        *rest = tail;
        if shift == 63 && *byte > 1 {
            return Err(damaged());
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(damaged())
}

fn take_int(rest: &mut &[u8]) -> Result<i64> {
    let value = take_varint(rest)?;
    Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

fn take_int32(rest: &mut &[u8]) -> Result<i32> {
    i32::try_from(take_int(rest)?).map_err(|_| damaged())
}

fn take_exact<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8]> {
    let (taken, tail) = rest.split_at_checked(length).ok_or_else(damaged)?;
    *rest = tail;
    Ok(taken)
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8]> {
    let length = usize::try_from(take_varint(rest)?).map_err(|_| damaged())?;
    take_exact(rest, length)
}

fn take(rest: &mut &[u8], depth: u32) -> Result<Datum> {
    let tag = take_exact(rest, 1)?[0];
    Ok(match tag {
        NULL => Datum::Null,
        FALSE => Datum::Bool(false),
        TRUE => Datum::Bool(true),
        INT => Datum::Int(take_int(rest)?),
        FLOAT => {
            let bits = take_exact(rest, 8)?.try_into().expect("eight bytes");
            Datum::Float(f64::from_bits(u64::from_be_bytes(bits)))
        }
        NUMERIC => {
            let scale = u32::try_from(take_varint(rest)?).map_err(|_| damaged())?;
            let unscaled = BigInt::from_signed_bytes_be(take_bytes(rest)?);
            if scale > decimal::MAX_SCALE {
                return Err(damaged());
            }
            Datum::numeric(Decimal::Finite(decimal::Finite::new(unscaled, scale)))
        }
        NUMERIC_NAN => Datum::numeric(Decimal::NaN),
        NUMERIC_INFINITY => Datum::numeric(Decimal::Infinity),
        NUMERIC_NEGATIVE_INFINITY => Datum::numeric(Decimal::NegativeInfinity),
        TEXT => {
            let text = std::str::from_utf8(take_bytes(rest)?).map_err(|_| damaged())?;
            Datum::Text(Arc::from(text))
        }
        CHAR => {
            let text = std::str::from_utf8(take_bytes(rest)?).map_err(|_| damaged())?;
            Datum::Char(Arc::from(text))
        }
        BYTES => Datum::bytes(take_bytes(rest)?),
        DATE => Datum::Date(take_int32(rest)?),
        TIMESTAMP => Datum::Timestamp(take_int(rest)?),
        TIMESTAMP_TZ => Datum::TimestampTz(take_int(rest)?),
        INTERVAL => Datum::Interval(Interval {
            months: take_int32(rest)?,
            days: take_int32(rest)?,
            micros: take_int(rest)?,
        }),
        UUID => Datum::Uuid(take_exact(rest, 16)?.try_into().expect("sixteen bytes")),
        ARRAY if depth < MAX_DEPTH => {
            let element = element(take_varint(rest)?)?;
            let count = take_varint(rest)?;
            if count > rest.len() as u64 {
                return Err(damaged());
            }
            let items = (0..count).map(|_| take(rest, depth + 1)).collect::<Result<_>>()?;
            Datum::array(element, items)
        }
        _ => return Err(damaged()),
    })
}

fn element(oid: u64) -> Result<Element> {
    let ty = u32::try_from(oid).ok().and_then(|oid| Type::from_oid(oid, -1));
    match ty.and_then(Type::array_of) {
        Some(Type::Array(element)) => Ok(element),
        _ => Err(damaged()),
    }
}

/// Moves behind a value without building it.
fn skip(rest: &mut &[u8], depth: u32) -> Result<()> {
    match *take_exact(rest, 1)?.first().expect("one byte") {
        NULL | FALSE | TRUE | NUMERIC_NAN | NUMERIC_INFINITY | NUMERIC_NEGATIVE_INFINITY => {}
        INT | DATE | TIMESTAMP | TIMESTAMP_TZ => drop(take_varint(rest)?),
        FLOAT => drop(take_exact(rest, 8)?),
        UUID => drop(take_exact(rest, 16)?),
        TEXT | CHAR | BYTES => drop(take_bytes(rest)?),
        NUMERIC => {
            take_varint(rest)?;
            take_bytes(rest)?;
        }
        INTERVAL => {
            for _ in 0..3 {
                take_varint(rest)?;
            }
        }
        ARRAY if depth < MAX_DEPTH => {
            take_varint(rest)?;
            for _ in 0..take_varint(rest)? {
                skip(rest, depth + 1)?;
            }
        }
        _ => return Err(damaged()),
    }
    Ok(())
}
