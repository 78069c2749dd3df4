//! Order-preserving encoding of column values into keys.
//!
//! The columns of an index are written one behind the other. Comparing two keys bytewise is the
//! same as comparing their columns one by one, so the storage needs no types to keep rows in order.
//!
//! Every value starts with a tag that names its kind, so a key can be read without its schema
//! ([`crate::pretty`] does), and no encoding is the prefix of another one, so
//! [`Key::prefix_end`](crate::Key::prefix_end) of an encoded value is the least key behind all rows
//! that have it.
//!
//! ```text
//! kind         tag          payload
//! false, true  0x12, 0x13   none
//! integer      0x20..=0x30  0x28 + n: n bytes of a value >= 0; 0x28 - n: n low bytes of one < 0
//! float        0x34         8 bytes: sign bit flipped if positive, all bits flipped if negative
//! decimal      0x38..=0x3d  -inf, negative, zero, positive, +inf, NaN; exponent, digit pairs, 0x00
//! date         0x44         4 bytes, sign bit flipped
//! timestamp    0x46, 0x47   8 bytes, sign bit flipped (without and with time zone)
//! uuid         0x48         16 bytes
//! bytes, text  0x50, 0x51   0x00 written as 0x00 0xff, closed by 0x00 0x01
//! null         0x7f         none
//! ```
//!
//! A descending value is the ascending one with all bits flipped, tag included: its tag is at or
//! above `0x80`, so the direction can be read from the key as well. NULL sorts last ascending and
//! first descending, as PostgreSQL's defaults have it.
//!
//! Invariants, asserted by the tests with random values: (1) order of encodings = order of values;
//! (2) decoding returns what was encoded, up to what SQL calls equal: `-0.0` comes back as `0.0`,
//! every NaN as one NaN, and a decimal without its trailing zeros; (3) decoding garbage is an
//! error, never a panic.

use std::{borrow::Cow, fmt};

#[cfg(test)]
mod tests;

/// Which way a column of an index is sorted.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
pub enum Direction {
    /// Least first, NULL last.
    #[default]
    Ascending,
    /// Greatest first, NULL first.
    Descending,
}

/// One value decoded from a key. The caller's schema says what an integer stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum KeyPart {
    /// SQL's NULL: above every value.
    Null,
    /// A truth value, false first.
    Bool(bool),
    /// Any integer type.
    Int(i64),
    /// Floats in a total order: `-0.0` is `0.0`, NaN is one value above infinity.
    Float(f64),
    /// A decimal of any precision.
    Decimal(Decimal),
    /// Days since 2000-01-01.
    Date(i32),
    /// Microseconds since 2000-01-01 00:00:00, in no particular time zone.
    Timestamp(i64),
    /// Microseconds since 2000-01-01 00:00:00 UTC.
    TimestampTz(i64),
    /// The 16 bytes of a UUID.
    Uuid([u8; 16]),
    /// A string of bytes.
    Bytes(Vec<u8>),
    /// A text, ordered by its UTF-8 bytes.
    Text(String),
}

/// A decimal as keys carry it: value without a display scale.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Decimal {
    /// Below every number.
    NegativeInfinity,
    /// `0.d1d2d3... * 10^exponent`, negated if `negative`.
    Finite {
        /// Whether the number is below zero; never set for zero.
        negative: bool,
        /// The power of ten; 0 for zero.
        exponent: i32,
        /// Decimal digits, `0..=9` each; neither the first nor the last is 0. Empty: zero.
        digits: Vec<u8>,
    },
    /// Above every number.
    Infinity,
    /// Above infinity.
    NaN,
}

/// Why bytes are not an encoded value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodecError {
    /// The bytes end inside a value, or there are none.
    Truncated,
    /// No value starts with this byte.
    Tag(u8),
    /// The payload is not one that an encoder writes.
    Payload,
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodecError::Truncated => f.write_str("encoded key ends inside a value"),
            CodecError::Tag(tag) => write!(f, "no key value starts with byte {tag:#04x}"),
            CodecError::Payload => f.write_str("malformed value in an encoded key"),
        }
    }
}

impl std::error::Error for CodecError {}

const FALSE: u8 = 0x12;
const TRUE: u8 = 0x13;
/// The integer 0; tags up to 8 away carry that many bytes.
const INT: u8 = 0x28;
const INT_BYTES: u8 = 8;
const FLOAT: u8 = 0x34;
const DECIMAL_NEGATIVE_INFINITY: u8 = 0x38;
const DECIMAL_NEGATIVE: u8 = 0x39;
const DECIMAL_ZERO: u8 = 0x3a;
const DECIMAL_POSITIVE: u8 = 0x3b;
const DECIMAL_INFINITY: u8 = 0x3c;
const DECIMAL_NAN: u8 = 0x3d;
const DATE: u8 = 0x44;
const TIMESTAMP: u8 = 0x46;
const TIMESTAMP_TZ: u8 = 0x47;
const UUID: u8 = 0x48;
const BYTES: u8 = 0x50;
const TEXT: u8 = 0x51;
const NULL: u8 = 0x7f;
/// Tags at or above this one start a descending value.
const DESCENDING: u8 = 0x80;

const ESCAPE: u8 = 0x00;
const ESCAPED_ZERO: u8 = 0xff;
const ESCAPED_END: u8 = 0x01;

/// Writes the value behind what `out` holds.
pub fn encode(part: &KeyPart, direction: Direction, out: &mut Vec<u8>) {
    match part {
        KeyPart::Null => null(direction, out),
        KeyPart::Bool(value) => bool(*value, direction, out),
        KeyPart::Int(value) => int(*value, direction, out),
        KeyPart::Float(value) => float(*value, direction, out),
        KeyPart::Decimal(value) => decimal(value, direction, out),
        KeyPart::Date(days) => date(*days, direction, out),
        KeyPart::Timestamp(micros) => timestamp(*micros, direction, out),
        KeyPart::TimestampTz(micros) => timestamp_tz(*micros, direction, out),
        KeyPart::Uuid(value) => uuid(value, direction, out),
        KeyPart::Bytes(value) => bytes(value, direction, out),
        KeyPart::Text(value) => text(value, direction, out),
    }
}

/// Writes NULL.
pub fn null(direction: Direction, out: &mut Vec<u8>) {
    directed(direction, out, |out| out.push(NULL));
}

/// Writes a truth value.
pub fn bool(value: bool, direction: Direction, out: &mut Vec<u8>) {
    directed(direction, out, |out| out.push(if value { TRUE } else { FALSE }));
}

/// Writes an integer; one to nine bytes, fewer for those near zero.
pub fn int(value: i64, direction: Direction, out: &mut Vec<u8>) {
    directed(direction, out, |out| {
        // A negative value is measured by its complement: -256..=-1 need one byte.
        let magnitude = if value < 0 { !value } else { value };
        let length = (71 - magnitude.leading_zeros() as usize) / 8;
        let length = if value < 0 { length.max(1) } else { length };
        let bytes = u8::try_from(length).expect("an i64 has at most eight bytes");
        out.push(if value < 0 { INT - bytes } else { INT + bytes });
        out.extend_from_slice(&value.to_be_bytes()[8 - length..]);
    });
}

/// Writes a float.
pub fn float(value: f64, direction: Direction, out: &mut Vec<u8>) {
    directed(direction, out, |out| {
        let value = if value.is_nan() { f64::NAN.abs() } else { value + 0.0 };
        let bits = value.to_bits();
        let ordered = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
        out.push(FLOAT);
        out.extend_from_slice(&ordered.to_be_bytes());
    });
}

/// Writes a decimal.
///
/// # Panics
/// If its digits are not normalized as [`Decimal::Finite`] says.
pub fn decimal(value: &Decimal, direction: Direction, out: &mut Vec<u8>) {
    directed(direction, out, |out| match value {
        Decimal::NegativeInfinity => out.push(DECIMAL_NEGATIVE_INFINITY),
        Decimal::Infinity => out.push(DECIMAL_INFINITY),
        Decimal::NaN => out.push(DECIMAL_NAN),
        Decimal::Finite { digits, .. } if digits.is_empty() => out.push(DECIMAL_ZERO),
        Decimal::Finite { negative, exponent, digits } => {
            assert!(digits.iter().all(|digit| *digit < 10), "digits out of range: {digits:?}");
            assert!(
                digits.first() != Some(&0) && digits.last() != Some(&0),
                "decimal is not normalized: {digits:?}"
            );
            out.push(if *negative { DECIMAL_NEGATIVE } else { DECIMAL_POSITIVE });
            let payload = out.len();
            out.extend_from_slice(&flip_sign_32(*exponent));
            for pair in digits.chunks(2) {
                out.push(pair[0] * 10 + pair.get(1).unwrap_or(&0) + 1);
            }
            out.push(0);
            if *negative {
                complement(&mut out[payload..]);
            }
        }
    });
}

/// Writes a date: days since 2000-01-01.
pub fn date(days: i32, direction: Direction, out: &mut Vec<u8>) {
    directed(direction, out, |out| {
        out.push(DATE);
        out.extend_from_slice(&flip_sign_32(days));
    });
}

/// Writes a timestamp without time zone: microseconds since 2000-01-01.
pub fn timestamp(micros: i64, direction: Direction, out: &mut Vec<u8>) {
    directed(direction, out, |out| {
        out.push(TIMESTAMP);
        out.extend_from_slice(&flip_sign_64(micros));
    });
}

/// Writes a timestamp with time zone: microseconds since 2000-01-01 UTC.
pub fn timestamp_tz(micros: i64, direction: Direction, out: &mut Vec<u8>) {
    directed(direction, out, |out| {
        out.push(TIMESTAMP_TZ);
        out.extend_from_slice(&flip_sign_64(micros));
    });
}

/// Writes a UUID.
pub fn uuid(value: &[u8; 16], direction: Direction, out: &mut Vec<u8>) {
    directed(direction, out, |out| {
        out.push(UUID);
        out.extend_from_slice(value);
    });
}

/// Writes a string of bytes.
pub fn bytes(value: &[u8], direction: Direction, out: &mut Vec<u8>) {
    directed(direction, out, |out| {
        out.push(BYTES);
        escaped(value, out);
    });
}

/// Writes a text.
pub fn text(value: &str, direction: Direction, out: &mut Vec<u8>) {
    directed(direction, out, |out| {
        out.push(TEXT);
        escaped(value.as_bytes(), out);
    });
}

/// Reads one value, in either direction, and moves `input` behind it.
///
/// # Errors
/// The bytes are no encoded value; `input` is then where it was.
pub fn decode(input: &mut &[u8]) -> Result<KeyPart, CodecError> {
    decode_directed(input).map(|(part, _)| part)
}

/// Reads one value and which way it was written, and moves `input` behind it.
///
/// # Errors
/// The bytes are no encoded value; `input` is then where it was.
pub fn decode_directed(input: &mut &[u8]) -> Result<(KeyPart, Direction), CodecError> {
    let first = *input.first().ok_or(CodecError::Truncated)?;
    let direction = if first < DESCENDING { Direction::Ascending } else { Direction::Descending };
    let mut reader = Reader { input, direction };
    let part = reader.part()?;
    *input = reader.input;
    Ok((part, direction))
}

/// The length of the value `input` starts with, without building it.
///
/// # Errors
/// The bytes are no encoded value.
pub fn skip(input: &mut &[u8]) -> Result<usize, CodecError> {
    let before = input.len();
    decode(input)?;
    Ok(before - input.len())
}

fn directed(direction: Direction, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    write(out);
    if direction == Direction::Descending {
        complement(&mut out[start..]);
    }
}

fn complement(bytes: &mut [u8]) {
    for byte in bytes {
        *byte = !*byte;
    }
}

fn escaped(value: &[u8], out: &mut Vec<u8>) {
    out.reserve(value.len() + 2);
    for byte in value {
        out.push(*byte);
        if *byte == ESCAPE {
            out.push(ESCAPED_ZERO);
        }
    }
    out.extend_from_slice(&[ESCAPE, ESCAPED_END]);
}

fn flip_sign_32(value: i32) -> [u8; 4] {
    (value.cast_unsigned() ^ 1 << 31).to_be_bytes()
}

fn flip_sign_64(value: i64) -> [u8; 8] {
    (value.cast_unsigned() ^ 1 << 63).to_be_bytes()
}

/// Reads bytes of a value, flipping those of a descending one.
struct Reader<'a> {
    input: &'a [u8],
    direction: Direction,
}

impl<'a> Reader<'a> {
    fn part(&mut self) -> Result<KeyPart, CodecError> {
        let tag = self.byte()?;
        Ok(match tag {
            NULL => KeyPart::Null,
            FALSE => KeyPart::Bool(false),
            TRUE => KeyPart::Bool(true),
            FLOAT => {
                let ordered = u64::from_be_bytes(self.array()?);
                let bits = if ordered >> 63 == 1 { ordered ^ 1 << 63 } else { !ordered };
                KeyPart::Float(f64::from_bits(bits))
            }
            DECIMAL_NEGATIVE_INFINITY..=DECIMAL_NAN => KeyPart::Decimal(self.decimal(tag)?),
            DATE => KeyPart::Date((u32::from_be_bytes(self.array()?) ^ 1 << 31).cast_signed()),
            TIMESTAMP => KeyPart::Timestamp(self.micros()?),
            TIMESTAMP_TZ => KeyPart::TimestampTz(self.micros()?),
            UUID => KeyPart::Uuid(self.array()?),
            BYTES => KeyPart::Bytes(self.unescaped()?),
            TEXT => KeyPart::Text(
                String::from_utf8(self.unescaped()?).map_err(|_| CodecError::Payload)?,
            ),
            tag if tag.abs_diff(INT) <= INT_BYTES => KeyPart::Int(self.int(tag)?),
            tag => return Err(CodecError::Tag(tag)),
        })
    }

    fn take(&mut self, length: usize) -> Result<Cow<'a, [u8]>, CodecError> {
        let (taken, rest) = self.input.split_at_checked(length).ok_or(CodecError::Truncated)?;
        self.input = rest;
        Ok(match self.direction {
            Direction::Ascending => Cow::Borrowed(taken),
            Direction::Descending => Cow::Owned(taken.iter().map(|byte| !byte).collect()),
        })
    }

    fn byte(&mut self) -> Result<u8, CodecError> {
        let (first, rest) = self.input.split_first().ok_or(CodecError::Truncated)?;
        self.input = rest;
        Ok(if self.direction == Direction::Ascending { *first } else { !*first })
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        Ok(self.take(N)?.as_ref().try_into().expect("N bytes were taken"))
    }

    fn micros(&mut self) -> Result<i64, CodecError> {
        Ok((u64::from_be_bytes(self.array()?) ^ 1 << 63).cast_signed())
    }

    fn int(&mut self, tag: u8) -> Result<i64, CodecError> {
        let length = usize::from(tag.abs_diff(INT));
        let mut bytes = if tag < INT { [0xff; 8] } else { [0; 8] };
        bytes[8 - length..].copy_from_slice(&self.take(length)?);
        let value = i64::from_be_bytes(bytes);
        if (value < 0) != (tag < INT) { Err(CodecError::Payload) } else { Ok(value) }
    }

    fn decimal(&mut self, tag: u8) -> Result<Decimal, CodecError> {
        let negative = match tag {
            DECIMAL_NEGATIVE_INFINITY => return Ok(Decimal::NegativeInfinity),
            DECIMAL_INFINITY => return Ok(Decimal::Infinity),
            DECIMAL_NAN => return Ok(Decimal::NaN),
            DECIMAL_ZERO => {
                return Ok(Decimal::Finite { negative: false, exponent: 0, digits: Vec::new() });
            }
            tag => tag == DECIMAL_NEGATIVE,
        };
        let sign = |byte: u8| if negative { !byte } else { byte };
        let exponent = u32::from_be_bytes(self.array::<4>()?.map(sign));
        let exponent = (exponent ^ 1 << 31).cast_signed();
        let mut digits = Vec::new();
        loop {
            match sign(self.byte()?) {
                0 => break,
                pair @ 1..=100 => digits.extend_from_slice(&[(pair - 1) / 10, (pair - 1) % 10]),
                _ => return Err(CodecError::Payload),
            }
        }
        if digits.last() == Some(&0) {
            digits.pop();
        }
        let normalized =
            digits.first().is_some_and(|digit| *digit != 0) && digits.last() != Some(&0);
        normalized
            .then_some(Decimal::Finite { negative, exponent, digits })
            .ok_or(CodecError::Payload)
    }

    fn unescaped(&mut self) -> Result<Vec<u8>, CodecError> {
        let mut out = Vec::new();
        loop {
            match self.byte()? {
                ESCAPE => match self.byte()? {
                    ESCAPED_ZERO => out.push(0),
                    ESCAPED_END => return Ok(out),
                    _ => return Err(CodecError::Payload),
                },
                byte => out.push(byte),
            }
        }
    }
}
