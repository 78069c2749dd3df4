//! Sums, products, quotients, powers of decimals, with PostgreSQL's choice of scales.

use bigdecimal::{Signed, Zero, num_bigint::BigInt};

use super::{
    Decimal, Finite, GROUP_DIGITS, MAX_RESULT_SCALE, MIN_SIGNIFICANT_DIGITS, Rounding, ten,
};
use crate::error::{Result, SqlError};

/// Takes note of work before it is done ([`crate::EvalContext::work`]); an error ends it.
pub type Work<'a> = &'a dyn Fn(usize) -> Result<()>;

/// Work of a product and of cutting it, for each word of the one number and each of the other.
const WORK_OF_A_PRODUCT: usize = 2;

impl Decimal {
    /// The number with the other sign.
    #[must_use]
    pub fn negated(&self) -> Decimal {
        match self {
            Decimal::NegativeInfinity => Decimal::Infinity,
            Decimal::Infinity => Decimal::NegativeInfinity,
            Decimal::NaN => Decimal::NaN,
            Decimal::Finite(value) => Decimal::Finite(Finite::new(-&value.unscaled, value.scale)),
        }
    }

    /// The number without its sign.
    #[must_use]
    pub fn abs(&self) -> Decimal {
        if self.signum() < 0 { self.negated() } else { self.clone() }
    }

    /// `self + other`.
    ///
    /// # Errors
    /// Too many digits: `22003`; so for all operations below.
    pub fn add(&self, other: &Decimal) -> Result<Decimal> {
        match (self, other) {
            (Decimal::Finite(left), Decimal::Finite(right)) => {
                let scale = left.scale.max(right.scale);
                Decimal::checked(Finite::new(left.at_scale(scale) + right.at_scale(scale), scale))
            }
            (Decimal::NaN, _) | (_, Decimal::NaN) => Ok(Decimal::NaN),
            (Decimal::Infinity, Decimal::NegativeInfinity)
            | (Decimal::NegativeInfinity, Decimal::Infinity) => Ok(Decimal::NaN),
            (Decimal::Finite(_), infinite) | (infinite, _) => Ok(infinite.clone()),
        }
    }

    /// `self - other`.
    ///
    /// # Errors
    /// As [`Decimal::add`].
    pub fn sub(&self, other: &Decimal) -> Result<Decimal> {
        self.add(&other.negated())
    }

    /// `self * other`.
    ///
    /// # Errors
    /// As [`Decimal::add`].
    pub fn mul(&self, other: &Decimal) -> Result<Decimal> {
        match (self, other) {
            (Decimal::Finite(left), Decimal::Finite(right)) => Decimal::checked(Finite::new(
                &left.unscaled * &right.unscaled,
                left.scale + right.scale,
            )),
            (Decimal::NaN, _) | (_, Decimal::NaN) => Ok(Decimal::NaN),
            (left, right) => Ok(signed_infinity(left.signum() * right.signum())),
        }
    }

    /// `self / other`.
    ///
    /// # Errors
    /// As [`Decimal::add`]; division by zero: `22012`.
    pub fn div(&self, other: &Decimal) -> Result<Decimal> {
        match (self, other) {
            (Decimal::NaN, _) | (_, Decimal::NaN) => Ok(Decimal::NaN),
            (_, divisor) if divisor.is_zero() => Err(SqlError::division_by_zero()),
            (Decimal::Finite(left), Decimal::Finite(right)) => {
                Decimal::checked(divide(left, right, quotient_scale(left, right)))
            }
            (Decimal::Finite(_), _) => Ok(Decimal::zero()),
            (infinite, Decimal::Finite(_)) => {
                Ok(signed_infinity(infinite.signum() * other.signum()))
            }
            (_, _) => Ok(Decimal::NaN),
        }
    }

    /// The quotient without its fraction.
    ///
    /// # Errors
    /// As [`Decimal::div`].
    pub fn div_trunc(&self, other: &Decimal) -> Result<Decimal> {
        match (self, other) {
            (Decimal::Finite(left), Decimal::Finite(right)) if !right.unscaled.is_zero() => {
                let scale = left.scale.max(right.scale);
                let quotient = left.at_scale(scale) / right.at_scale(scale);
                Decimal::checked(Finite::new(quotient, 0))
            }
            (left, right) => left.div(right),
        }
    }

    /// The rest of the division without fraction; it has the sign of `self`.
    ///
    /// # Errors
    /// As [`Decimal::div`].
    pub fn rem(&self, other: &Decimal) -> Result<Decimal> {
        match (self, other) {
            (Decimal::NaN, _) | (_, Decimal::NaN) => Ok(Decimal::NaN),
            (_, divisor) if divisor.is_zero() => Err(SqlError::division_by_zero()),
            (Decimal::Finite(left), Decimal::Finite(right)) => {
                let scale = left.scale.max(right.scale);
                let rest = left.at_scale(scale) % right.at_scale(scale);
                Ok(Decimal::Finite(Finite::new(rest, scale)))
            }
            (Decimal::Finite(_), _) => Ok(self.clone()),
            (_, _) => Ok(Decimal::NaN),
        }
    }
}

/// The infinity with this sign; NaN for 0.
pub(super) const fn signed_infinity(sign: i32) -> Decimal {
    match sign {
        0 => Decimal::NaN,
        sign if sign < 0 => Decimal::NegativeInfinity,
        _ => Decimal::Infinity,
    }
}

/// A scale that results may have, given what their digits ask for and the scales of the arguments.
pub(super) fn result_scale(wanted: i64, arguments: &[u32]) -> u32 {
    let least = arguments.iter().map(|scale| i64::from(*scale)).max().unwrap_or(0);
    u32::try_from(wanted.max(least).clamp(0, MAX_RESULT_SCALE)).expect("at most 1000")
}

/// `select_div_scale` of `numeric.c`.
fn quotient_scale(left: &Finite, right: &Finite) -> u32 {
    let (left_weight, left_first) = left.first_group();
    let (right_weight, right_first) = right.first_group();
    let borrow = i64::from(left_first <= right_first);
    let weight = left_weight - right_weight - borrow;
    result_scale(MIN_SIGNIFICANT_DIGITS - weight * GROUP_DIGITS, &[left.scale, right.scale])
}

/// `left / right`, rounded half away from zero; `right` is not zero.
pub(super) fn divide(left: &Finite, right: &Finite, scale: u32) -> Finite {
    let mut numerator = left.unscaled.clone();
    let mut denominator = right.unscaled.clone();
    let shift = i64::from(scale) + i64::from(right.scale) - i64::from(left.scale);
    let power = ten(u32::try_from(shift.abs()).expect("scales are small"));
    if shift >= 0 {
        numerator *= power;
    } else {
        denominator *= power;
    }
    Finite::new(divide_rounded(&numerator, &denominator), scale)
}

/// The quotient of integers, rounded half away from zero.
pub(super) fn divide_rounded(numerator: &BigInt, denominator: &BigInt) -> BigInt {
    let quotient = numerator / denominator;
    // A product is had faster than a second division.
    let rest = numerator - &quotient * denominator;
    if rest.magnitude() * 2_u8 < *denominator.magnitude() {
        return quotient;
    }
    if numerator.is_negative() == denominator.is_negative() { quotient + 1 } else { quotient - 1 }
}

/// `value ^ power` by squaring, each step cut to `digits` significant digits; `power` is not
/// negative. Each product is noted with `work` before it is made.
pub(super) fn power_cut(
    value: &Finite,
    mut power: u32,
    digits: i64,
    work: Work<'_>,
) -> Result<Finite> {
    let product = |left: &Finite, right: &Finite| {
        let words = |value: &Finite| usize::try_from(value.unscaled.bits() / 64).unwrap_or(0) + 1;
        work(words(left).saturating_mul(words(right)).saturating_mul(WORK_OF_A_PRODUCT))?;
        Ok::<_, SqlError>(significant(&multiply(left, right), digits))
    };
    let mut result = Finite::new(BigInt::from(1), 0);
    let mut square = value.clone();
    while power > 0 {
        if power & 1 == 1 {
            result = product(&result, &square)?;
        }
        power >>= 1;
        if power > 0 {
            square = product(&square, &square)?;
        }
    }
    Ok(result)
}

fn multiply(left: &Finite, right: &Finite) -> Finite {
    Finite::new(&left.unscaled * &right.unscaled, left.scale + right.scale)
}

/// The number cut to so many significant digits, if it has more of them behind the point.
fn significant(value: &Finite, digits: i64) -> Finite {
    let scale = (digits - 1 - value.exponent()).max(0);
    if value.unscaled.is_zero() || scale >= i64::from(value.scale) {
        return value.clone();
    }
    let drop = u32::try_from(i64::from(value.scale) - scale).expect("less than the scale");
    let cut = divide_rounded(&value.unscaled, &ten(drop));
    Finite::new(cut, u32::try_from(scale).expect("less than the scale"))
}

/// Whether the number is an integer, and which, if it is a small one.
pub(super) fn small_integer(value: &Finite) -> Option<i32> {
    let whole = value.cut(0, Rounding::TowardZero);
    let same = whole.at_scale(value.scale) == value.unscaled;
    same.then(|| i32::try_from(&whole.unscaled).ok()).flatten()
}
