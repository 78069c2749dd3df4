//! Roots, exponentials, logarithms and powers of decimals, exact to the last printed digit.
//!
//! How many digits a result has is PostgreSQL's choice (see the head of [`super`]). The digits
//! themselves are computed with a margin in integers scaled by a power of ten: `exp` by Taylor's
//! series after halving the argument, `ln` by Halley's iteration on `exp`.

use bigdecimal::{Signed, ToPrimitive, Zero, num_bigint::BigInt};

use super::{
    Decimal, Finite, GROUP_DIGITS, MAX_WHOLE_DIGITS, MIN_SIGNIFICANT_DIGITS,
    arithmetic::{Work, divide, power_cut, result_scale, small_integer},
    overflow, ten,
};
use crate::error::{Result, SqlError, SqlState};

/// About what a series of a thousand digits takes.
pub(crate) const SERIES_WORK: usize = 1 << 20;
/// Digits computed beyond those that are kept.
const MARGIN: u32 = 12;
/// `e` to this power, and anything above it, is refused as too large.
const MAX_EXPONENT: f64 = 6_000.0;
/// The same where the power is known roughly, as in `power_var` of `numeric.c`.
const MAX_ROUGH_EXPONENT: f64 = 3_010.0 * 2.0;

impl Decimal {
    /// The square root.
    ///
    /// # Errors
    /// Of a negative number: `2201F`.
    pub fn sqrt(&self) -> Result<Decimal> {
        match self {
            Decimal::NaN => Ok(Decimal::NaN),
            value if value.signum() < 0 => Err(SqlError::new(
                SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION,
                "cannot take square root of a negative number",
            )),
            Decimal::Finite(value) => {
                let weight = (value.first_group().0 + 1) * GROUP_DIGITS / 2 - 1;
                let scale = result_scale(MIN_SIGNIFICANT_DIGITS - weight, &[value.scale]);
                let exact = (scale + 1).max(value.scale.div_ceil(2));
                let root = value.at_scale(exact * 2).sqrt();
                let root = Finite::new(root, exact);
                Ok(Decimal::Finite(root.round(signed(scale))))
            }
            infinite => Ok(infinite.clone()),
        }
    }

    /// The square root of a number that is not negative, with as many digits behind the point.
    pub(crate) fn sqrt_of_own_scale(&self) -> Decimal {
        let Decimal::Finite(value) = self else {
            return self.clone();
        };
        let exact = value.scale + 1;
        let root = Finite::new(value.at_scale(exact * 2).sqrt(), exact);
        Decimal::Finite(root.round(signed(value.scale)))
    }

    /// `e ^ self`.
    ///
    /// # Errors
    /// A result of too many digits: `22003`.
    pub fn exp(&self) -> Result<Decimal> {
        match self {
            Decimal::NegativeInfinity => Ok(Decimal::zero()),
            Decimal::Finite(value) => {
                let log10 = value.to_f64() * std::f64::consts::LOG10_E;
                exp_at(value, log10, &[value.scale])
            }
            other => Ok(other.clone()),
        }
    }

    /// The natural logarithm.
    ///
    /// # Errors
    /// Of zero or less: `2201E`.
    pub fn ln(&self) -> Result<Decimal> {
        match self.positive_logarithm_argument()? {
            None => Ok(self.clone()),
            Some(value) => {
                let scale = result_scale(MIN_SIGNIFICANT_DIGITS - ln_weight(value), &[value.scale]);
                Ok(Decimal::Finite(ln_fixed(value, scale + 2).round(signed(scale))))
            }
        }
    }

    /// The logarithm to a base.
    ///
    /// # Errors
    /// Of zero or less, or to such a base: `2201E`; to the base 1: `22012`.
    pub fn log(&self, base: &Decimal) -> Result<Decimal> {
        if self.is_nan() || base.is_nan() {
            return Ok(Decimal::NaN);
        }
        let bases = base.positive_logarithm_argument()?;
        let values = self.positive_logarithm_argument()?;
        match (values, bases) {
            (Some(value), Some(base)) => {
                let (value_weight, base_weight) = (ln_weight(value), ln_weight(base));
                let wanted = MIN_SIGNIFICANT_DIGITS - (value_weight - base_weight);
                let scale = result_scale(wanted, &[value.scale, base.scale]);
                let work = scale + 30;
                let (value, base) = (ln_fixed(value, work), ln_fixed(base, work));
                if base.unscaled.is_zero() {
                    return Err(SqlError::division_by_zero());
                }
                Ok(Decimal::Finite(divide(&value, &base, scale)))
            }
            (Some(_), None) => Ok(Decimal::zero()),
            (None, Some(_)) => Ok(Decimal::Infinity),
            (None, None) => Ok(Decimal::NaN),
        }
    }

    /// The number inside, if it is above zero; `None` of infinity and NaN.
    fn positive_logarithm_argument(&self) -> Result<Option<&Finite>> {
        let problem = |what: &str| {
            let message = format!("cannot take logarithm of {what}");
            Err(SqlError::new(SqlState::INVALID_ARGUMENT_FOR_LOG, message))
        };
        match self {
            value if value.is_zero() => problem("zero"),
            value if value.signum() < 0 => problem("a negative number"),
            Decimal::Finite(value) => Ok(Some(value)),
            _ => Ok(None),
        }
    }

    /// `self ^ exponent`.
    ///
    /// # Errors
    /// Zero to a negative power, or a negative number to a power with fraction: `2201F`; a result
    /// of too many digits: `22003`.
    pub fn pow(&self, exponent: &Decimal) -> Result<Decimal> {
        self.pow_with(exponent, &|_| Ok(()))
    }

    /// As [`Decimal::pow`]: what long powers of short numbers take is noted while they are made.
    ///
    /// # Errors
    /// As [`Decimal::pow`], and those of `work`.
    pub fn pow_with(&self, exponent: &Decimal, work: Work<'_>) -> Result<Decimal> {
        let problem =
            |text: &str| Err(SqlError::new(SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION, text));
        let one = Decimal::from(1_i64);
        match (self, exponent) {
            (base, exponent) if *base == one || exponent.is_zero() => {
                Ok(one_as_power(base, exponent))
            }
            (Decimal::NaN, _) | (_, Decimal::NaN) => Ok(Decimal::NaN),
            (base, exponent) if base.is_zero() && exponent.signum() < 0 => {
                problem("zero raised to a negative power is undefined")
            }
            (Decimal::Finite(base), Decimal::Finite(exponent)) => match small_integer(exponent) {
                Some(power) => integer_power(base, power, work),
                None if base.unscaled.is_negative() => problem(
                    "a negative number raised to a non-integer power yields a complex result",
                ),
                None => {
                    work(SERIES_WORK)?;
                    real_power(base, exponent)
                }
            },
            (base, exponent) => infinite_power(base, exponent),
        }
    }
}

/// One, with the digits that a power of these has.
fn one_as_power(base: &Decimal, exponent: &Decimal) -> Decimal {
    let one = Decimal::from(1_i64);
    let (Decimal::Finite(base), Decimal::Finite(exponent)) = (base, exponent) else {
        return one;
    };
    let scale = match small_integer(exponent) {
        Some(_) => result_scale(MIN_SIGNIFICANT_DIGITS, &[base.scale]),
        None => result_scale(MIN_SIGNIFICANT_DIGITS, &[base.scale, exponent.scale]),
    };
    one.round(signed(scale))
}

/// Powers with an infinity in them, by way of floats, which know them all.
fn infinite_power(base: &Decimal, exponent: &Decimal) -> Result<Decimal> {
    let as_float = |value: &Decimal| match value {
        Decimal::Infinity => f64::INFINITY,
        Decimal::NegativeInfinity => f64::NEG_INFINITY,
        Decimal::Finite(value) => value.to_f64(),
        Decimal::NaN => f64::NAN,
    };
    let result = as_float(base).powf(as_float(exponent));
    match result {
        result if result == f64::INFINITY => Ok(Decimal::Infinity),
        result if result == f64::NEG_INFINITY => Ok(Decimal::NegativeInfinity),
        result if result.is_nan() => Ok(Decimal::NaN),
        _ => Ok(if result == 0.0 { Decimal::zero() } else { Decimal::from(1_i64) }),
    }
}

fn signed(scale: u32) -> i32 {
    i32::try_from(scale).expect("scales are small")
}

/// `base ^ power`; zero if it is too small for its scale to show.
fn integer_power(base: &Finite, power: i32, work: Work<'_>) -> Result<Decimal> {
    let log10 = if base.unscaled.is_zero() {
        0.0
    } else {
        base.ln_estimate() * std::f64::consts::LOG10_E * f64::from(power)
    };
    let scale = result_scale(MIN_SIGNIFICANT_DIGITS, &[base.scale]);
    if log10 > MAX_WHOLE_DIGITS as f64 {
        return Err(overflow());
    }
    if log10 + 1.0 < -f64::from(scale) {
        return Ok(Decimal::zero().round(signed(scale)));
    }
    // Each of some 32 products loses half a unit of the last digit, and a power multiplies what its
    // base has lost: by less than 10^10 for powers of 32 bits.
    let digits = i64::from(scale) + log10.abs() as i64 + 2 * i64::from(MARGIN) + 20;
    let result = power_cut(base, power.unsigned_abs(), digits, work)?;
    let result = if power < 0 {
        divide(&Finite::new(BigInt::from(1), 0), &result, scale)
    } else {
        result.round(signed(scale))
    };
    Decimal::checked(result)
}

/// `base ^ exponent` as `exp(exponent * ln base)`; the base is not negative.
fn real_power(base: &Finite, exponent: &Finite) -> Result<Decimal> {
    if base.unscaled.is_zero() {
        return Ok(Decimal::zero().round(16));
    }
    let log10 = base.ln_estimate() * std::f64::consts::LOG10_E * exponent.to_f64();
    let scales = [base.scale, exponent.scale];
    // Judged before a digit is computed: they would be ten thousands.
    if (log10 * std::f64::consts::LN_10).abs() > MAX_ROUGH_EXPONENT {
        return if log10 > 0.0 { Err(overflow()) } else { Ok(Decimal::zero().round(1_000)) };
    }
    let scale = result_scale(MIN_SIGNIFICANT_DIGITS - log10 as i64, &scales);
    let whole = u32::try_from(exponent.digit_count().max(0)).unwrap_or(0);
    let work = scale + log10.abs() as u32 + whole + MARGIN + 10;
    let logarithm = ln_fixed(base, work);
    let product =
        Finite::new(&logarithm.unscaled * &exponent.unscaled, logarithm.scale + exponent.scale);
    exp_at(&product, log10, &scales)
}

/// `e ^ value` with the scale PostgreSQL gives a result of about `10 ^ log10`.
fn exp_at(value: &Finite, log10: f64, scales: &[u32]) -> Result<Decimal> {
    if log10 >= MAX_EXPONENT * std::f64::consts::LOG10_E {
        return Err(overflow());
    }
    let limited = log10.clamp(-2_000.0, 2_000.0);
    let scale = result_scale(MIN_SIGNIFICANT_DIGITS - limited as i64, scales);
    if log10 < -(f64::from(scale) + 2.0) {
        return Ok(Decimal::Finite(Finite::new(BigInt::zero(), scale)));
    }
    let work = scale + MARGIN + log10.max(0.0) as u32;
    Decimal::checked(exp_fixed(value, work).round(signed(scale)))
}

/// `e ^ value` with about `digits` correct digits behind the point of `result / 10^whole digits`.
fn exp_fixed(value: &Finite, digits: u32) -> Finite {
    // Halve until the series converges fast; each halving costs a squaring and a bit.
    let size = value.exponent().max(0);
    let halvings = u32::try_from(size * 10 / 3).expect("exponents are small") + 12;
    let scale = digits + halvings;
    let one = ten(scale);
    let reduced = divide(value, &Finite::new(BigInt::from(1) << halvings, 0), scale);
    let (mut sum, mut term) = (one.clone(), one.clone());
    let mut n = 1_u32;
    while !term.is_zero() {
        term = term * &reduced.unscaled / &one / n;
        sum += &term;
        n += 1;
    }
    for _ in 0..halvings {
        sum = &sum * &sum / &one;
    }
    Finite::new(sum, scale)
}

/// The natural logarithm with `digits` correct digits behind the point; the value is above zero.
///
/// The powers of ten are taken out first: the iteration computes `e` to its guesses, and for
/// 1e100000 these would have as many digits.
fn ln_fixed(value: &Finite, digits: u32) -> Finite {
    // Of a number from 0.1 to 10 the logarithm is found as it is, near 1 to its last digit.
    let tens = match value.exponent() {
        -1 | 0 => 0,
        exponent => exponent,
    };
    // The power's own digits are digits that its product with ln 10 loses.
    let work = digits + MARGIN;
    let kept = shortened(value, tens, work + MARGIN);
    let logarithm = ln_small(&kept, work);
    if tens == 0 {
        return logarithm;
    }
    let ten = ln_small(&Finite::new(BigInt::from(10), 0), work);
    let sum = logarithm.at_scale(work) + ten.at_scale(work) * tens;
    Finite::new(sum, work)
}

/// `value / 10^tens`, which is below 10, with about so many digits.
fn shortened(value: &Finite, tens: i64, digits: u32) -> Finite {
    let scale = i64::from(value.scale) + tens;
    let drop = u32::try_from(scale - i64::from(digits)).unwrap_or(0);
    let (unscaled, scale) = match u32::try_from(scale) {
        Ok(scale) => (&value.unscaled / ten(drop), scale - drop),
        Err(_) => (&value.unscaled * ten(u32::try_from(-scale).expect("it is negative")), 0),
    };
    Finite::new(unscaled, scale)
}

/// As [`ln_fixed`], of a number of moderate size.
fn ln_small(value: &Finite, digits: u32) -> Finite {
    // y += 2 (x - e^y) / (x + e^y): each step triples the correct digits.
    let estimate = value.ln_estimate();
    let mut guess = Finite::new(BigInt::from((estimate * 1e15) as i128), 15);
    let mut correct = 10_u32;
    let whole = u32::try_from(value.exponent().unsigned_abs()).expect("it is moderate");
    while correct < digits {
        correct = (correct * 3).min(digits);
        let power = exp_fixed(&guess, digits + whole + MARGIN);
        let scale = power.scale.max(value.scale);
        let (x, e) = (value.at_scale(scale), power.at_scale(scale));
        let step = Finite::new((&x - &e) * 2, 0);
        let step = divide(&step, &Finite::new(x + e, 0), digits);
        guess = Finite::new(guess.at_scale(digits) + step.unscaled, digits);
    }
    guess
}

/// `estimate_ln_dweight` of `numeric.c`: about the exponent of the logarithm's first digit.
fn ln_weight(value: &Finite) -> i64 {
    let one = ten(value.scale);
    let near = &one / 10_u8;
    let delta = &value.unscaled - &one;
    if delta.magnitude() <= near.magnitude() {
        if delta.is_zero() {
            return 0;
        }
        let (weight, group) = Finite::new(delta.abs(), value.scale).first_group();
        return weight * GROUP_DIGITS + (group.to_f64().expect("four digits").log10() as i64);
    }
    value.ln_estimate().abs().log10() as i64
}
