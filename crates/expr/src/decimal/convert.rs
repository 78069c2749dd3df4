//! Decimals from and to other numbers, text, key columns and PostgreSQL's wire format.

use bigdecimal::{
    Signed, ToPrimitive, Zero,
    num_bigint::{BigInt, BigUint, Sign},
};
use keys::codec;

use super::{Decimal, Finite, GROUP_DIGITS, MAX_SCALE, MAX_WHOLE_DIGITS, Rounding, overflow, ten};
use crate::error::{Result, SqlError, SqlState};

/// Sign fields of the wire format.
const WIRE_NEGATIVE: u16 = 0x4000;
const WIRE_NAN: u16 = 0xc000;
const WIRE_INFINITY: u16 = 0xd000;
const WIRE_NEGATIVE_INFINITY: u16 = 0xf000;

impl From<i64> for Decimal {
    fn from(value: i64) -> Decimal {
        Decimal::Finite(Finite::new(BigInt::from(value), 0))
    }
}

impl From<i128> for Decimal {
    fn from(value: i128) -> Decimal {
        Decimal::Finite(Finite::new(BigInt::from(value), 0))
    }
}

impl Decimal {
    /// `unscaled / 10^scale`.
    ///
    /// # Panics
    /// If the scale is above [`MAX_SCALE`].
    #[must_use]
    pub fn from_parts(unscaled: i128, scale: u32) -> Decimal {
        assert!(scale <= MAX_SCALE, "scale {scale} is too large");
        Decimal::Finite(Finite::new(BigInt::from(unscaled), scale))
    }

    /// Reads PostgreSQL's syntax: `-1.50`, `.5e3`, `NaN`, `inf`; blanks around it are skipped.
    ///
    /// # Errors
    /// `22P02`; too many digits: `22003`.
    pub fn parse(text: &str) -> Result<Decimal> {
        let invalid = || SqlError::invalid_input("numeric", text);
        let trimmed = text.trim_matches(|c: char| c.is_ascii_whitespace());
        match trimmed.to_ascii_lowercase().as_str() {
            "nan" => return Ok(Decimal::NaN),
            "infinity" | "inf" | "+infinity" | "+inf" => return Ok(Decimal::Infinity),
            "-infinity" | "-inf" => return Ok(Decimal::NegativeInfinity),
            _ => {}
        }
        let (sign, rest) = match trimmed.as_bytes().first() {
            Some(b'-') => (Sign::Minus, &trimmed[1..]),
            Some(b'+') => (Sign::Plus, &trimmed[1..]),
            _ => (Sign::Plus, trimmed),
        };
        let (number, exponent) = match rest.split_once(['e', 'E']) {
            Some((number, exponent)) => {
                let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
                if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(invalid());
                }
                (number, exponent.parse::<i64>().map_err(|_| overflow())?)
            }
            None => (rest, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = [whole, fraction].concat();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(invalid());
        }
        let scale = i64::try_from(fraction.len()).map_err(|_| overflow())?;
        let (digits, scale) = readable(&digits, scale.saturating_sub(exponent))?;
        let magnitude = BigUint::parse_bytes(digits.as_bytes(), 10).ok_or_else(invalid)?;
        from_exponent(BigInt::from_biguint(sign, magnitude), scale)
    }

    /// The decimal nearest to a float, with `digits` significant digits (15 for `double precision`,
    /// 6 for `real`), as PostgreSQL casts.
    #[must_use]
    pub fn from_float(value: f64, digits: usize) -> Decimal {
        if value.is_nan() {
            return Decimal::NaN;
        }
        if value.is_infinite() {
            return super::arithmetic::signed_infinity(if value > 0.0 { 1 } else { -1 });
        }
        let text = format!("{value:.precision$e}", precision = digits - 1);
        let parsed = Decimal::parse(&text).expect("a finite float has a decimal");
        parsed.trim_scale()
    }

    /// The nearest float.
    #[must_use]
    pub fn to_float(&self) -> f64 {
        match self {
            Decimal::NegativeInfinity => f64::NEG_INFINITY,
            Decimal::Infinity => f64::INFINITY,
            Decimal::NaN => f64::NAN,
            Decimal::Finite(value) => value.to_f64(),
        }
    }

    /// The nearest integer, halves away from zero; `None` outside of `bigint`, of infinities, of
    /// NaN.
    #[must_use]
    pub fn to_int(&self) -> Option<i64> {
        match self {
            Decimal::Finite(value) => value.round(0).unscaled.to_i64(),
            _ => None,
        }
    }

    /// One digit in front of the point, so many behind it, rounded half away from zero, and the
    /// power of ten to multiply with. A number of nines may round up to 10.
    ///
    /// # Errors
    /// An infinity or NaN: `XX000`; the caller writes those in its own way.
    pub(crate) fn scientific(&self, places: usize) -> Result<(String, i64)> {
        let Decimal::Finite(value) = self else {
            return Err(SqlError::internal(format!("{self} by its digits")));
        };
        let exponent = value.exponent();
        let places = u32::try_from(places).unwrap_or(super::MAX_SCALE).min(super::MAX_SCALE);
        let head = u32::try_from(exponent + i64::from(value.scale())).unwrap_or(0);
        let digits = super::arithmetic::divide_rounded(
            &(value.unscaled() * super::ten(places)),
            &super::ten(head),
        );
        Ok((Decimal::Finite(Finite::new(digits, places)).to_string(), exponent))
    }

    /// The number as a key column carries it.
    #[must_use]
    pub fn to_key(&self) -> codec::Decimal {
        let value = match self {
            Decimal::NegativeInfinity => return codec::Decimal::NegativeInfinity,
            Decimal::Infinity => return codec::Decimal::Infinity,
            Decimal::NaN => return codec::Decimal::NaN,
            Decimal::Finite(value) => value,
        };
        let mut digits = value.unscaled.magnitude().to_radix_be(10);
        let exponent = i64::try_from(digits.len()).expect("counted") - i64::from(value.scale);
        while digits.last() == Some(&0) {
            digits.pop();
        }
        if digits.is_empty() {
            return codec::Decimal::Finite { negative: false, exponent: 0, digits };
        }
        codec::Decimal::Finite {
            negative: value.unscaled.is_negative(),
            exponent: i32::try_from(exponent).expect("digits are limited"),
            digits,
        }
    }

    /// The number of a key column, with the least scale that shows it.
    ///
    /// # Errors
    /// Digits or exponent beyond what we write: `XX001`.
    pub fn from_key(value: &codec::Decimal) -> Result<Decimal> {
        match value {
            codec::Decimal::NegativeInfinity => Ok(Decimal::NegativeInfinity),
            codec::Decimal::Infinity => Ok(Decimal::Infinity),
            codec::Decimal::NaN => Ok(Decimal::NaN),
            codec::Decimal::Finite { negative, exponent, digits } => {
                let sign = if *negative { Sign::Minus } else { Sign::Plus };
                let unscaled = BigInt::from_radix_be(sign, digits, 10).unwrap_or_default();
                let scale = i64::try_from(digits.len()).unwrap_or(i64::MAX) - i64::from(*exponent);
                from_exponent(unscaled, scale)
            }
        }
    }

    /// The number in PostgreSQL's binary wire format.
    #[must_use]
    pub fn to_wire(&self) -> Vec<u8> {
        let special = |sign: u16| [0, 0, sign, 0].into_iter().flat_map(u16::to_be_bytes).collect();
        let value = match self {
            Decimal::NaN => return special(WIRE_NAN),
            Decimal::Infinity => return special(WIRE_INFINITY),
            Decimal::NegativeInfinity => return special(WIRE_NEGATIVE_INFINITY),
            Decimal::Finite(value) => value,
        };
        // Fill up behind the point to whole groups, then split.
        let fraction_groups = i64::from(value.scale.div_ceil(4));
        let filled = u32::try_from(fraction_groups * GROUP_DIGITS).expect("scales are small");
        let digits = value.at_scale(filled).magnitude().to_radix_be(10);
        let padding = (4 - digits.len() % 4) % 4;
        let digits = [vec![0; padding], digits].concat();
        let mut groups: Vec<u16> = digits
            .chunks(4)
            .map(|group| group.iter().fold(0, |sum, digit| sum * 10 + u16::from(*digit)))
            .collect();
        let count = i64::try_from(groups.len()).expect("counted");
        let mut weight = count - fraction_groups - 1;
        let zeros = groups.iter().take_while(|group| **group == 0).count();
        groups.drain(..zeros);
        weight -= i64::try_from(zeros).expect("counted");
        while groups.last() == Some(&0) {
            groups.pop();
        }
        let weight = if groups.is_empty() { 0 } else { weight };
        let sign = if value.unscaled.is_negative() { WIRE_NEGATIVE } else { 0 };
        let head = [
            u16::try_from(groups.len()).expect("digits are limited"),
            (weight as i16).cast_unsigned(),
            sign,
            u16::try_from(value.scale).expect("at most 16383"),
        ];
        head.into_iter().chain(groups).flat_map(u16::to_be_bytes).collect()
    }

    /// Reads PostgreSQL's binary wire format.
    ///
    /// # Errors
    /// The bytes are no number: `22P03`.
    pub fn from_wire(bytes: &[u8]) -> Result<Decimal> {
        let invalid = || {
            SqlError::new(
                SqlState::INVALID_BINARY_REPRESENTATION,
                "invalid binary value for type numeric",
            )
        };
        if !bytes.len().is_multiple_of(2) || bytes.len() < 8 {
            return Err(invalid());
        }
        let words: Vec<u16> =
            bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        let (count, weight, sign, scale) = (words[0], words[1].cast_signed(), words[2], words[3]);
        let groups = &words[4..];
        if groups.len() != usize::from(count) || groups.iter().any(|group| *group > 9_999) {
            return Err(invalid());
        }
        let sign = match sign {
            WIRE_NAN => return Ok(Decimal::NaN),
            WIRE_INFINITY => return Ok(Decimal::Infinity),
            WIRE_NEGATIVE_INFINITY => return Ok(Decimal::NegativeInfinity),
            0 => Sign::Plus,
            WIRE_NEGATIVE => Sign::Minus,
            _ => return Err(invalid()),
        };
        if u32::from(scale) > MAX_SCALE {
            return Err(invalid());
        }
        let magnitude = groups.iter().fold(BigUint::zero(), |sum, group| sum * 10_000_u16 + *group);
        let behind = (i64::from(count) - i64::from(weight) - 1) * GROUP_DIGITS;
        let Decimal::Finite(value) = from_exponent(BigInt::from_biguint(sign, magnitude), behind)?
        else {
            return Err(invalid());
        };
        let value = value.cut(i32::from(scale.cast_signed()), Rounding::TowardZero);
        Ok(Decimal::Finite(Finite::new(
            if value.scale < u32::from(scale) {
                value.at_scale(scale.into())
            } else {
                value.unscaled
            },
            scale.into(),
        )))
    }
}

/// `unscaled / 10^scale` for a scale that may be negative or too large.
/// The digits that count, and how many of them stand behind the point: judged before they become a
/// number, which takes time that grows with their square.
fn readable(digits: &str, scale: i64) -> Result<(&str, i64)> {
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Ok(("0", scale));
    }
    let count = i64::try_from(digits.len()).map_err(|_| overflow())?;
    let whole = count.saturating_sub(scale);
    if whole > MAX_WHOLE_DIGITS {
        return Err(overflow());
    }
    // One digit beyond those that are kept decides how the last one is rounded.
    let room = (whole + i64::from(MAX_SCALE) + 1).max(1);
    let kept = count.min(room);
    let cut = usize::try_from(kept).expect("it is positive");
    Ok((&digits[..cut], scale - (count - kept)))
}

fn from_exponent(unscaled: BigInt, scale: i64) -> Result<Decimal> {
    if unscaled.is_zero() && scale < 0 {
        return Ok(Decimal::zero());
    }
    if scale < -MAX_WHOLE_DIGITS {
        return Err(overflow());
    }
    if scale < 0 {
        let power = u32::try_from(-scale).expect("limited above");
        return Decimal::checked(Finite::new(unscaled * ten(power), 0));
    }
    let digits = i64::try_from(unscaled.bits() / 3).unwrap_or(i64::MAX);
    if scale > i64::from(MAX_SCALE) + digits + 2 {
        return Ok(Decimal::Finite(Finite::new(BigInt::zero(), MAX_SCALE)));
    }
    Decimal::checked(Finite::new(unscaled, u32::try_from(scale).map_err(|_| overflow())?))
}
