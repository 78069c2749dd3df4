//! `numeric`: decimal numbers of any precision, with the display scale that PostgreSQL keeps.
//!
//! A finite number is an integer and a scale: `1.50` is 150 with scale 2. Scales survive addition
//! (the greater one) and multiplication (their sum); division, roots and the like choose one that
//! gives at least 16 significant digits, by the very rules of PostgreSQL's `numeric.c`, so that
//! results print alike. Equality ignores the scale: `1.50 = 1.5`.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
};

use bigdecimal::{
    Signed, ToPrimitive, Zero,
    num_bigint::{BigInt, Sign},
};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Result, SqlError, SqlState},
    types::NumericModifier,
};

mod arithmetic;
mod convert;
mod transcendental;

pub(crate) use transcendental::SERIES_WORK;

#[cfg(test)]
mod tests;

/// The most digits in front of the point.
pub const MAX_WHOLE_DIGITS: i64 = 131_072;
/// The most digits behind the point.
pub const MAX_SCALE: u32 = 16_383;
/// The most digits behind the point that division and the like choose.
const MAX_RESULT_SCALE: i64 = 1_000;
/// Division and the like yield at least so many significant digits.
const MIN_SIGNIFICANT_DIGITS: i64 = 16;
/// Digits in one of `numeric.c`'s digits: its scales are chosen by counting those.
const GROUP_DIGITS: i64 = 4;

/// Digits that a word of memory holds.
const DIGITS_OF_A_WORD: usize = 19;

/// A decimal number, an infinity, or NaN.
#[derive(Clone, Serialize, Deserialize)]
#[serde(into = "Stored", try_from = "Stored")]
pub enum Decimal {
    /// Below every number.
    NegativeInfinity,
    /// A number.
    Finite(Finite),
    /// Above every number.
    Infinity,
    /// Above infinity; equal to itself.
    NaN,
}

/// `unscaled / 10^scale`.
#[derive(Clone, Debug)]
pub struct Finite {
    unscaled: BigInt,
    /// At most [`MAX_SCALE`].
    scale: u32,
}

/// A prime, 2^61 - 1, modulo which numbers are hashed.
const MODULUS: u64 = (1 << 61) - 1;
/// The tenth of one, modulo [`MODULUS`]: ten times it is 1.
const TENTH: u128 = 2_075_258_708_292_324_556;

/// What floats of a number's bits may be wrong by: they are below 10^6.
const UNSURE: f64 = 1e-6;

/// `10^power`.
fn ten(power: u32) -> BigInt {
    BigInt::from(10_u8).pow(power)
}

impl Finite {
    pub(crate) const fn new(unscaled: BigInt, scale: u32) -> Finite {
        Finite { unscaled, scale }
    }

    pub(crate) const fn unscaled(&self) -> &BigInt {
        &self.unscaled
    }

    pub(crate) const fn scale(&self) -> u32 {
        self.scale
    }

    /// The integer that the number is with at least this scale.
    fn at_scale(&self, scale: u32) -> BigInt {
        assert!(scale >= self.scale, "scale {scale} loses digits of scale {}", self.scale);
        if scale == self.scale {
            return self.unscaled.clone();
        }
        &self.unscaled * ten(scale - self.scale)
    }

    /// Decimal digits of the unscaled integer; 0 for zero.
    fn digit_count(&self) -> i64 {
        if self.unscaled.is_zero() {
            return 0;
        }
        // Bits tell the count up to one; the power of ten decides.
        let bits = self.unscaled.bits();
        let guess = u32::try_from((bits - 1) * 30_103 / 100_000).expect("far below 2^32 digits");
        let count = i64::from(guess);
        if self.unscaled.magnitude() >= ten(guess + 1).magnitude() {
            count + 2
        } else if self.unscaled.magnitude() >= ten(guess).magnitude() {
            count + 1
        } else {
            count
        }
    }

    /// The exponent of the first digit: 0 for 1..10, -1 for 0.1..1; 0 for zero.
    fn exponent(&self) -> i64 {
        if self.unscaled.is_zero() { 0 } else { self.digit_count() - i64::from(self.scale) - 1 }
    }

    /// Weight and value of the first group of four digits, as `numeric.c` stores numbers.
    fn first_group(&self) -> (i64, i64) {
        if self.unscaled.is_zero() {
            return (0, 0);
        }
        let exponent = self.exponent();
        let weight = exponent.div_euclid(GROUP_DIGITS);
        let wanted = exponent.rem_euclid(GROUP_DIGITS) + 1;
        let (digits, have) = (self.unscaled.abs(), self.digit_count());
        let group = if have > wanted {
            digits / ten(u32::try_from(have - wanted).expect("digits are counted in u32"))
        } else {
            digits * ten(u32::try_from(wanted - have).expect("at most four"))
        };
        (weight, group.to_i64().expect("four digits"))
    }

    /// About the number's size.
    fn to_f64(&self) -> f64 {
        let text = format!("{}e-{}", self.unscaled, self.scale);
        text.parse().expect("a float can be written so")
    }

    /// About the logarithm of its absolute value; the number is not zero.
    fn ln_estimate(&self) -> f64 {
        let digits = self.digit_count();
        let drop = u32::try_from((digits - 17).max(0)).expect("digits are counted in u32");
        let head = (self.unscaled.abs() / ten(drop)).to_f64().expect("17 digits");
        let power = f64::from(drop) - f64::from(self.scale);
        head.ln() + power * std::f64::consts::LN_10
    }

    /// The number with fewer or more digits behind the point; rounded half away from zero. Below
    /// zero: rounded in front of the point.
    #[must_use]
    pub fn round(&self, scale: i32) -> Finite {
        self.cut(scale, Rounding::HalfAway)
    }

    fn cut(&self, scale: i32, rounding: Rounding) -> Finite {
        let target = u32::try_from(scale.max(0)).expect("not negative").min(MAX_SCALE);
        let drop = i64::from(self.scale) - i64::from(scale);
        if drop <= 0 {
            return Finite::new(self.at_scale(target.max(self.scale)), target.max(self.scale));
        }
        if drop > self.digit_count() + 1 && !matches!(rounding, Rounding::Up | Rounding::Down) {
            return Finite::new(BigInt::zero(), target);
        }
        let unit = ten(u32::try_from(drop).expect("at most a few more than the digits"));
        let (quotient, rest) = (&self.unscaled / &unit, &self.unscaled % &unit);
        let away = match rounding {
            Rounding::HalfAway => rest.magnitude() * 2_u8 >= *unit.magnitude(),
            Rounding::TowardZero => false,
            Rounding::Up => rest.is_positive(),
            Rounding::Down => rest.is_negative(),
        };
        let step = if self.unscaled.is_negative() { -1 } else { 1 };
        let quotient = if away { quotient + step } else { quotient };
        let back = if scale < 0 { ten(scale.unsigned_abs()) } else { BigInt::from(1) };
        Finite::new(quotient * back, target)
    }

    /// The number without trailing zeros behind the point. They are cut off in halves, since a
    /// division for each of ten thousand zeros takes seconds.
    fn trimmed(&self) -> Finite {
        let mut out = self.clone();
        // A factor of ten is a factor of two: most numbers show at once that nothing is to be cut.
        let twos = u32::try_from(out.unscaled.trailing_zeros().unwrap_or(0)).unwrap_or(u32::MAX);
        let most = if out.unscaled.is_zero() { out.scale } else { twos.min(out.scale) };
        let mut step = most.checked_ilog2().map_or(0, |log| 1_u32 << log);
        while step > 0 {
            // What was cut may leave less behind the point than a step has zeros.
            if step <= out.scale {
                let unit = ten(step);
                let quotient = &out.unscaled / &unit;
                if &quotient * &unit == out.unscaled {
                    out = Finite::new(quotient, out.scale - step);
                }
            }
            step /= 2;
        }
        out
    }

    /// The number's residue modulo [`MODULUS`], by its absolute value: the same whatever its scale,
    /// and found without a look at its digits.
    fn residue(&self) -> u64 {
        let modulus = u128::from(MODULUS);
        let unscaled = self.unscaled.magnitude() % MODULUS;
        let mut residue = u128::from(unscaled.to_u64().expect("below the modulus"));
        let (mut power, mut left) = (TENTH, self.scale);
        while left > 0 {
            if left & 1 == 1 {
                residue = residue * power % modulus;
            }
            power = power * power % modulus;
            left >>= 1;
        }
        u64::try_from(residue).expect("below the modulus")
    }

    /// Between which powers of two the absolute value lies, about; the number is not zero.
    fn bounds(&self) -> (f64, f64) {
        let bits = self.unscaled.bits() as f64;
        let down = f64::from(self.scale) * std::f64::consts::LOG2_10;
        (bits - 1.0 - down, bits - down)
    }
}

/// What becomes of the digits that are cut off.
#[derive(Clone, Copy)]
enum Rounding {
    HalfAway,
    TowardZero,
    Up,
    Down,
}

impl Decimal {
    /// 0.
    #[must_use]
    pub fn zero() -> Decimal {
        Decimal::from(0_i64)
    }

    /// A number within PostgreSQL's limits.
    ///
    /// # Errors
    /// Too many digits in front of the point: `22003`.
    pub(crate) fn checked(value: Finite) -> Result<Decimal> {
        if value.exponent() >= MAX_WHOLE_DIGITS {
            return Err(overflow());
        }
        let value = if value.scale > MAX_SCALE {
            value.round(i32::try_from(MAX_SCALE).expect("a small constant"))
        } else {
            value
        };
        Ok(Decimal::Finite(value))
    }

    /// Whether it is zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        matches!(self, Decimal::Finite(value) if value.unscaled.is_zero())
    }

    /// Whether it is NaN.
    #[must_use]
    pub const fn is_nan(&self) -> bool {
        matches!(self, Decimal::NaN)
    }

    /// -1, 0 or 1; NaN counts as positive.
    #[must_use]
    pub fn signum(&self) -> i32 {
        match self {
            Decimal::NegativeInfinity => -1,
            Decimal::Infinity | Decimal::NaN => 1,
            Decimal::Finite(value) => match value.unscaled.sign() {
                Sign::Minus => -1,
                Sign::NoSign => 0,
                Sign::Plus => 1,
            },
        }
    }

    /// Digits behind the point when printed; `None` of infinities and NaN.
    #[must_use]
    pub const fn scale(&self) -> Option<u32> {
        if let Decimal::Finite(value) = self { Some(value.scale) } else { None }
    }

    /// Rounded half away from zero to so many digits behind the point; fewer digits are filled up.
    #[must_use]
    pub fn round(&self, scale: i32) -> Decimal {
        self.cut(scale, Rounding::HalfAway)
    }

    /// Cut to so many digits behind the point.
    #[must_use]
    pub fn trunc(&self, scale: i32) -> Decimal {
        self.cut(scale, Rounding::TowardZero)
    }

    /// The least integer not below.
    #[must_use]
    pub fn ceil(&self) -> Decimal {
        self.cut(0, Rounding::Up).cut(0, Rounding::TowardZero)
    }

    /// The greatest integer not above.
    #[must_use]
    pub fn floor(&self) -> Decimal {
        self.cut(0, Rounding::Down).cut(0, Rounding::TowardZero)
    }

    /// Without trailing zeros behind the point.
    #[must_use]
    pub fn trim_scale(&self) -> Decimal {
        match self {
            Decimal::Finite(value) => Decimal::Finite(value.trimmed()),
            other => other.clone(),
        }
    }

    fn cut(&self, scale: i32, rounding: Rounding) -> Decimal {
        match self {
            Decimal::Finite(value) => {
                let target = u32::try_from(scale.max(0)).expect("not negative").min(MAX_SCALE);
                let cut = value.cut(scale, rounding);
                Decimal::Finite(Finite::new(
                    cut.at_scale(target.max(cut.scale)),
                    target.max(cut.scale),
                ))
            }
            other => other.clone(),
        }
    }

    /// The number as a column `numeric(p,s)` holds it: rounded to its scale.
    ///
    /// # Errors
    /// More digits in front of the point than there is room for: `22003`.
    pub fn fit(&self, modifier: NumericModifier) -> Result<Decimal> {
        let NumericModifier { precision, scale } = modifier;
        let overflow = |detail: String| {
            Err(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow")
                .with_detail(detail))
        };
        match self {
            Decimal::NaN => Ok(Decimal::NaN),
            Decimal::Infinity | Decimal::NegativeInfinity => overflow(format!(
                "A field with precision {precision}, scale {scale} cannot hold an infinite value."
            )),
            Decimal::Finite(value) => {
                let rounded = value.round(scale.into());
                let whole = i64::from(precision) - i64::from(scale);
                if !rounded.unscaled.is_zero() && rounded.exponent() >= whole {
                    let power = if whole == 0 { "1".to_owned() } else { format!("10^{whole}") };
                    return overflow(format!(
                        "A field with precision {precision}, scale {scale} must round to an \
                         absolute value less than {power}."
                    ));
                }
                Ok(Decimal::Finite(rounded))
            }
        }
    }

    /// Roughly how many bytes of memory the number takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of::<Decimal>()
            + match self {
                Decimal::Finite(value) => usize::try_from(value.unscaled.bits() / 8).unwrap_or(0),
                _ => 0,
            }
    }

    /// About how many steps an operation with another number takes: products and quotients of long
    /// numbers grow with both, and sums with the digits that their scales are apart.
    #[must_use]
    pub fn steps_with(&self, other: &Decimal) -> usize {
        self.words().saturating_mul(other.words())
    }

    /// About how many steps it takes to look through the number: to compare it, to add it, to write
    /// its digits. Scales are apart by no more digits than [`MAX_SCALE`].
    #[must_use]
    pub fn steps(&self) -> usize {
        let words = self.words();
        words.saturating_mul(words.min(MAX_SCALE as usize / DIGITS_OF_A_WORD))
    }

    /// Words of memory that the number takes, or would with as many digits as its scale.
    fn words(&self) -> usize {
        let scale = self.scale().map_or(0, |scale| scale as usize);
        self.memory() / 8 + 1 + scale / DIGITS_OF_A_WORD
    }

    /// The place among infinities, numbers and NaN.
    const fn class(&self) -> u8 {
        match self {
            Decimal::NegativeInfinity => 0,
            Decimal::Finite(_) => 1,
            Decimal::Infinity => 2,
            Decimal::NaN => 3,
        }
    }
}

fn overflow() -> SqlError {
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format")
}

impl Ord for Decimal {
    fn cmp(&self, other: &Decimal) -> Ordering {
        let (Decimal::Finite(left), Decimal::Finite(right)) = (self, other) else {
            return self.class().cmp(&other.class());
        };
        if left.scale == right.scale {
            return left.unscaled.cmp(&right.unscaled);
        }
        let signs = left.unscaled.sign().cmp(&right.unscaled.sign());
        signs.then_with(|| {
            // Where lengths decide, no digits are computed: a power of ten may have many.
            if !left.unscaled.is_zero() {
                let ((low, high), (other_low, other_high)) = (left.bounds(), right.bounds());
                let positive = left.unscaled.is_positive();
                if low > other_high + UNSURE {
                    return if positive { Ordering::Greater } else { Ordering::Less };
                }
                if high + UNSURE < other_low {
                    return if positive { Ordering::Less } else { Ordering::Greater };
                }
            }
            let scale = left.scale.max(right.scale);
            left.at_scale(scale).cmp(&right.at_scale(scale))
        })
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Decimal) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Decimal) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

impl Hash for Decimal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.class().hash(state);
        if let Decimal::Finite(value) = self {
            value.unscaled.sign().hash(state);
            value.residue().hash(state);
        }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Decimal::NegativeInfinity => f.write_str("-Infinity"),
            Decimal::Infinity => f.write_str("Infinity"),
            Decimal::NaN => f.write_str("NaN"),
            Decimal::Finite(value) => {
                let digits = value.unscaled.magnitude().to_string();
                let scale = value.scale as usize;
                let padded = format!("{digits:0>width$}", width = scale + 1);
                let (whole, fraction) = padded.split_at(padded.len() - scale);
                let sign = if value.unscaled.is_negative() { "-" } else { "" };
                let point = if scale > 0 { "." } else { "" };
                write!(f, "{sign}{whole}{point}{fraction}")
            }
        }
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How a decimal is serialized.
#[derive(Serialize, Deserialize)]
enum Stored {
    NegativeInfinity,
    Finite {
        /// Two's complement, big-endian.
        unscaled: Vec<u8>,
        scale: u32,
    },
    Infinity,
    NaN,
}

impl From<Decimal> for Stored {
    fn from(value: Decimal) -> Stored {
        match value {
            Decimal::NegativeInfinity => Stored::NegativeInfinity,
            Decimal::Infinity => Stored::Infinity,
            Decimal::NaN => Stored::NaN,
            Decimal::Finite(value) => {
                Stored::Finite { unscaled: value.unscaled.to_signed_bytes_be(), scale: value.scale }
            }
        }
    }
}

impl TryFrom<Stored> for Decimal {
    type Error = String;

    fn try_from(stored: Stored) -> std::result::Result<Decimal, String> {
        Ok(match stored {
            Stored::NegativeInfinity => Decimal::NegativeInfinity,
            Stored::Infinity => Decimal::Infinity,
            Stored::NaN => Decimal::NaN,
            Stored::Finite { scale, .. } if scale > MAX_SCALE => {
                return Err(format!("decimal with scale {scale}"));
            }
            Stored::Finite { unscaled, scale } => {
                Decimal::Finite(Finite::new(BigInt::from_signed_bytes_be(&unscaled), scale))
            }
        })
    }
}
