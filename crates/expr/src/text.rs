//! Values as text: what `psql` prints and what literals say, PostgreSQL's very formats.
//!
//! Settings that change those formats have one value each: `DateStyle` ISO, MDY; `IntervalStyle`
//! postgres; `extra_float_digits` 1 (the shortest text that reads back the same). But for
//! `bytea_output`: [`output_in`] obeys the session's, [`output`] is for messages and writes hex.

mod array;

#[cfg(test)]
mod tests;

use std::fmt::Write;

use crate::{
    context::{ByteaOutput, EvalContext},
    datetime::{self, Interval, TimeZone},
    datum::Datum,
    decimal::Decimal,
    error::{Result, SqlError, SqlState},
    types::Type,
};

/// The most bytes of a `name`; longer ones are cut.
pub const NAME_BYTES: usize = 63;

/// A value as its session writes it; `None` of NULL.
#[must_use]
pub fn output_in(value: &Datum, ty: Type, ctx: &EvalContext) -> Option<String> {
    match (ctx.bytea, value) {
        (ByteaOutput::Escape, Datum::Bytes(bytes)) => Some(escaped_bytea(bytes)),
        (ByteaOutput::Escape, Datum::Array(array)) => {
            Some(array::output(array, |item| output_in(item, array.element.ty(), ctx)))
        }
        _ => output(value, ty, &ctx.timezone),
    }
}

/// A value as text; `None` of NULL.
#[must_use]
pub fn output(value: &Datum, ty: Type, zone: &TimeZone) -> Option<String> {
    Some(match value {
        Datum::Null => return None,
        Datum::Bool(value) => if *value { "t" } else { "f" }.to_owned(),
        Datum::Int(value) if ty == Type::Regtype => {
            let named = u32::try_from(*value).ok().and_then(|oid| Type::from_oid(oid, -1));
            named.filter(|_| *value != 0).map_or_else(|| value.to_string(), |ty| ty.to_string())
        }
        Datum::Int(value) => value.to_string(),
        Datum::Float(value) if ty == Type::Float4 => float4(*value as f32),
        Datum::Float(value) => float8(*value),
        Datum::Numeric(value) => value.to_string(),
        Datum::Text(text) | Datum::Char(text) => text.to_string(),
        Datum::Bytes(bytes) => format!("\\x{}", hex(bytes)),
        Datum::Date(days) => datetime::format_date(*days),
        Datum::Timestamp(micros) => datetime::format_timestamp(*micros),
        Datum::TimestampTz(micros) => datetime::format_timestamp_tz(*micros, zone),
        Datum::Interval(interval) => interval.to_string(),
        Datum::Uuid(bytes) => uuid::Uuid::from_bytes(*bytes).to_string(),
        Datum::Array(array) => array::output(array, |item| output(item, array.element.ty(), zone)),
    })
}

/// Bytes as characters: printable ASCII as it is, the rest as `\ooo`.
fn escaped_bytea(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            0x20..=0x7e => out.push(char::from(*byte)),
            _ => write!(out, "\\{byte:03o}").expect("writing to a string"),
        }
    }
    out
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(out, "{byte:02x}").expect("writing to a string");
    }
    out
}

/// A `double precision` as text: the shortest that reads back the same.
#[must_use]
pub fn float8(value: f64) -> String {
    match special_float(value) {
        Some(special) => special.to_owned(),
        None => float(&format!("{value:e}"), 15),
    }
}

/// A `real` as text: the shortest that reads back the same.
#[must_use]
pub fn float4(value: f32) -> String {
    match special_float(value.into()) {
        Some(special) => special.to_owned(),
        None => float(&format!("{value:e}"), 6),
    }
}

fn special_float(value: f64) -> Option<&'static str> {
    match value {
        value if value.is_nan() => Some("NaN"),
        f64::INFINITY => Some("Infinity"),
        f64::NEG_INFINITY => Some("-Infinity"),
        _ => None,
    }
}

/// Turns Rust's `1.25e7` into PostgreSQL's `12500000`, or `1.25e+20` beyond `digits` digits.
fn float(scientific: &str, digits: i32) -> String {
    let (mantissa, exponent) = scientific.split_once('e').expect("written with an exponent");
    let exponent: i32 = exponent.parse().expect("a float's exponent");
    if !(-4..digits).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let whole = usize::try_from(exponent + 1);
    match whole {
        Ok(whole) if whole >= digits.len() => format!("{sign}{digits:0<whole$}"),
        Ok(whole) if whole > 0 => format!("{sign}{}.{}", &digits[..whole], &digits[whole..]),
        _ => {
            let zeros = usize::try_from(-exponent - 1).expect("a negative exponent");
            format!("{sign}0.{}{digits}", "0".repeat(zeros))
        }
    }
}

/// Reads a value of a type from text, as a literal in quotes or a parameter in text format. Lengths
/// and precisions of the type are checked as on assignment.
///
/// # Errors
/// `22P02` and others, worded as PostgreSQL's.
pub fn input(text: &str, ty: Type, ctx: &EvalContext) -> Result<Datum> {
    let value = input_base(text, ty, ctx)?;
    crate::cast::fit(value, ty, crate::expr::CastContext::Assignment)
}

fn input_base(text: &str, ty: Type, ctx: &EvalContext) -> Result<Datum> {
    let (now, zone) = (ctx.transaction_time, &ctx.timezone);
    Ok(match ty {
        Type::Bool => Datum::Bool(bool(text)?),
        Type::Int2 => Datum::Int(int(text, i16::MIN.into(), i16::MAX.into(), ty)?),
        Type::Int4 => Datum::Int(int(text, i32::MIN.into(), i32::MAX.into(), ty)?),
        Type::Int8 => Datum::Int(int(text, i64::MIN, i64::MAX, ty)?),
        Type::Oid => {
            let value = int(text, i32::MIN.into(), u32::MAX.into(), ty)?;
            Datum::Int(value.rem_euclid(1 << 32))
        }
        Type::Regtype => match Type::from_name(text) {
            Some(named) => Datum::Int(named.oid().into()),
            None if text.trim().parse::<u32>().is_ok() => input_base(text, Type::Oid, ctx)?,
            None => {
                return Err(SqlError::new(
                    SqlState::UNDEFINED_OBJECT,
                    format!("type \"{text}\" does not exist"),
                ));
            }
        },
        Type::Regclass if text.trim().parse::<u32>().is_ok() => input_base(text, Type::Oid, ctx)?,
        Type::Regclass => ctx.hooks("regclassin")?.call("regclassin", &[Datum::text(text)])?,
        Type::Float4 => Datum::Float(read_float4(text)?),
        Type::Float8 => Datum::Float(read_float8(text)?),
        Type::Numeric(_) => Datum::numeric(Decimal::parse(text)?),
        Type::Text | Type::Varchar(_) | Type::Unknown | Type::Void => Datum::text(text),
        Type::Char(_) => Datum::char(text),
        Type::Name => Datum::text(cut_name(text)),
        Type::Bytea => Datum::bytes(bytea(text)?),
        Type::Date => Datum::Date(datetime::parse_date(text, now, zone)?),
        Type::Timestamp => Datum::Timestamp(datetime::parse_timestamp(text, now, zone)?),
        Type::TimestampTz => Datum::TimestampTz(datetime::parse_timestamp_tz(text, now, zone)?),
        Type::Interval => Datum::Interval(Interval::parse(text)?),
        Type::IntervalOf(modifier) => Datum::Interval(Interval::parse_as(text, modifier.fields)?),
        Type::Uuid => Datum::Uuid(uuid(text)?),
        Type::Array(element) => array::input(text, element, ctx)?,
    })
}

/// The first bytes that a `name` has room for.
#[must_use]
pub fn cut_name(text: &str) -> &str {
    let mut end = text.len().min(NAME_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_ascii_whitespace())
}

fn bool(text: &str) -> Result<bool> {
    let lower = trim(text).to_ascii_lowercase();
    let is = |word: &str, least: usize| lower.len() >= least && word.starts_with(&lower);
    if is("true", 1) || is("yes", 1) || is("on", 2) || lower == "1" {
        Ok(true)
    } else if is("false", 1) || is("no", 1) || is("off", 2) || lower == "0" {
        Ok(false)
    } else {
        Err(SqlError::invalid_input("boolean", text))
    }
}

fn int(text: &str, min: i64, max: i64, ty: Type) -> Result<i64> {
    let trimmed = trim(text);
    let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(SqlError::invalid_input(ty, text));
    }
    trimmed.parse::<i64>().ok().filter(|value| (min..=max).contains(value)).ok_or_else(|| {
        SqlError::new(
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("value \"{text}\" is out of range for type {ty}"),
        )
    })
}

/// Whether the text is a number in digits, and whether any of them is not zero.
fn float_syntax(text: &str) -> Option<bool> {
    let mantissa = text.split(['e', 'E']).next()?;
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
    plain.then(|| mantissa.bytes().any(|byte| (b'1'..=b'9').contains(&byte)))
}

fn special(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        "nan" => Some(f64::NAN),
        "infinity" | "inf" | "+infinity" | "+inf" => Some(f64::INFINITY),
        "-infinity" | "-inf" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

fn float_out_of_range(text: &str, ty: Type) -> SqlError {
    SqlError::new(
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("\"{text}\" is out of range for type {ty}"),
    )
}

fn read_float8(text: &str) -> Result<f64> {
    let trimmed = trim(text);
    if let Some(value) = special(trimmed) {
        return Ok(value);
    }
    let invalid = || SqlError::invalid_input(Type::Float8, text);
    let nonzero = float_syntax(trimmed).ok_or_else(invalid)?;
    let value: f64 = trimmed.parse().map_err(|_| invalid())?;
    if value.is_infinite() || (value == 0.0 && nonzero) {
        return Err(float_out_of_range(trimmed, Type::Float8));
    }
    Ok(value)
}

fn read_float4(text: &str) -> Result<f64> {
    let trimmed = trim(text);
    if let Some(value) = special(trimmed) {
        return Ok(value);
    }
    let invalid = || SqlError::invalid_input(Type::Float4, text);
    let nonzero = float_syntax(trimmed).ok_or_else(invalid)?;
    let value: f32 = trimmed.parse().map_err(|_| invalid())?;
    if value.is_infinite() || (value == 0.0 && nonzero) {
        return Err(float_out_of_range(trimmed, Type::Float4));
    }
    Ok(value.into())
}

/// `\x` and hexadecimal digits, or text with `\\` and `\ooo` escapes.
fn bytea(text: &str) -> Result<Vec<u8>> {
    if let Some(digits) = text.strip_prefix("\\x") {
        return unhex(digits);
    }
    unescape_bytea(text)
}

/// The bytes of a text with `\\` and `\ooo` escapes.
///
/// # Errors
/// Another escape: `22P02`.
pub(crate) fn unescape_bytea(text: &str) -> Result<Vec<u8>> {
    let invalid = || {
        SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type bytea")
    };
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte != b'\\' {
            out.push(byte);
            at += 1;
        } else if bytes.get(at + 1) == Some(&b'\\') {
            out.push(b'\\');
            at += 2;
        } else {
            let octal = bytes.get(at + 1..at + 4).ok_or_else(invalid)?;
            let valid = matches!(octal, [b'0'..=b'3', b'0'..=b'7', b'0'..=b'7']);
            if !valid {
                return Err(invalid());
            }
            out.push(octal.iter().fold(0, |sum, digit| sum * 8 + (digit - b'0')));
            at += 4;
        }
    }
    Ok(out)
}

/// The bytes of pairs of hexadecimal digits, blanks between the pairs skipped.
///
/// # Errors
/// Other characters, or an odd number of digits: `22023`.
pub(crate) fn unhex(digits: &str) -> Result<Vec<u8>> {
    let digit = |c: char| {
        let digit = c.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        digit.ok_or_else(|| {
            SqlError::invalid_parameter(format!("invalid hexadecimal digit: \"{c}\""))
        })
    };
    let odd = || SqlError::invalid_parameter("invalid hexadecimal data: odd number of digits");
    let mut out = Vec::with_capacity(digits.len() / 2);
    let mut rest = digits.chars();
    while let Some(c) = rest.next() {
        if matches!(c, ' ' | '\n' | '\t' | '\r') {
            continue;
        }
        let high = digit(c)?;
        let low = digit(rest.next().ok_or_else(odd)?)?;
        out.push(high << 4 | low);
    }
    Ok(out)
}

/// 32 hexadecimal digits, hyphens allowed behind each group of four, braces around it.
fn uuid(text: &str) -> Result<[u8; 16]> {
    let invalid = || SqlError::invalid_input(Type::Uuid, text);
    let inner = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}').ok_or_else(invalid)?,
        None => text,
    };
    let mut nibbles = Vec::with_capacity(32);
    let mut after_hyphen = true;
    for c in inner.chars() {
        if c == '-' {
            if after_hyphen || !nibbles.len().is_multiple_of(4) {
                return Err(invalid());
            }
            after_hyphen = true;
        } else {
            nibbles.push(u8::try_from(c.to_digit(16).ok_or_else(invalid)?).expect("below 16"));
            after_hyphen = false;
        }
    }
    let bytes: Vec<u8> =
        nibbles.chunks(2).map(|pair| pair[0] << 4 | pair.get(1).unwrap_or(&0)).collect();
    if after_hyphen || nibbles.len() != 32 {
        return Err(invalid());
    }
    bytes.try_into().map_err(|_| invalid())
}
