//! Numbers by a template.
//!
//! ```text
//! 9  0      a digit: blank or zero where the number has none      . D   the point
//! , G       a comma between digits                                V     times 10 for each 9 behind
//! S MI PL SG PR   where and how the sign is written               FM    nothing is filled up
//! RN rn     Roman numerals    TH th   ordinal suffix              EEEE  an exponent
//! L         the currency's sign, which is a blank in our locale   B C SP  accepted, and nothing
//! ```
//!
//! First the template's patterns are counted ([`Plan`]), then the number is rounded to the digits
//! there are, then the patterns are gone through once more and take the digits one by one
//! (`Writer`). A number that is too large shows as `#`.

mod plan;
mod writer;

use super::{literal, ordinal};
use crate::{
    datum::Datum,
    decimal::Decimal,
    error::{Result, SqlError},
    types::Type,
};
use plan::{Piece, Plan};

/// Digits that are sure in a `double precision`.
const FLOAT8_DIGITS: usize = 15;
/// Digits that are sure in a `real`.
const FLOAT4_DIGITS: usize = 6;
/// Roman numerals are filled up to so many letters.
const ROMAN_WIDTH: usize = 15;

/// The type a number has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::functions) enum Source {
    Integer,
    Bigint,
    Numeric,
    Real,
    Double,
}

/// The digits to be written: sign, and what stands before and behind a point.
struct Digits {
    negative: bool,
    text: String,
}

/// The value by the template; `None`: it is no number of that type.
pub(super) fn format(source: Source, value: &Datum, template: &str) -> Result<Option<String>> {
    if template.is_empty() {
        return Ok(Some(String::new()));
    }
    let mut plan = Plan::parse(template)?;
    let digits = if plan.roman {
        Digits { negative: false, text: roman(source, value)? }
    } else if plan.exponent {
        return scientific(source, value, &plan);
    } else {
        match digits(source, value, &mut plan)? {
            Some(digits) => digits,
            None => return Ok(None),
        }
    };
    writer::write(&plan, digits).map(Some)
}

/// The number's digits, as many behind the point as the template has room for.
fn digits(source: Source, value: &Datum, plan: &mut Plan) -> Result<Option<Digits>> {
    let power = u32::try_from(plan.shift).unwrap_or(u32::MAX);
    let text = match value {
        Datum::Int(value) => {
            let mut value = *value;
            if plan.multiplied {
                let ty = if source == Source::Integer { Type::Int4 } else { Type::Int8 };
                let shifted = 10_i64.checked_pow(power).and_then(|ten| value.checked_mul(ten));
                value = shifted
                    .filter(|value| ty == Type::Int8 || i32::try_from(*value).is_ok())
                    .ok_or_else(|| SqlError::out_of_range(ty))?;
            }
            let zeros = if plan.fraction > 0 { ".".to_owned() } else { String::new() };
            format!("{value}{zeros}{}", "0".repeat(plan.fraction))
        }
        Datum::Numeric(value) => {
            let shifted = if plan.multiplied {
                value.mul(&Decimal::from(10_i64).pow(&Decimal::from(i64::from(power)))?)?
            } else {
                (**value).clone()
            };
            let scale = i32::try_from(plan.fraction).unwrap_or(i32::MAX);
            shifted.round(scale).to_string()
        }
        Datum::Float(value) => {
            let sure = if source == Source::Real { FLOAT4_DIGITS } else { FLOAT8_DIGITS };
            let mut value = *value;
            if plan.multiplied {
                value *= 10_f64.powi(i32::try_from(power).unwrap_or(i32::MAX));
                if source == Source::Real {
                    value = f64::from(value as f32);
                }
            }
            let whole = printed(value.abs(), 0).len();
            plan.fraction = plan.fraction.min(sure.saturating_sub(whole));
            printed(value, plan.fraction)
        }
        _ => return Ok(None),
    };
    if plan.multiplied {
        plan.whole += plan.shift;
    }
    let negative = text.starts_with('-');
    let text = text.strip_prefix('-').map_or(text.clone(), str::to_owned);
    let before = text.find('.').unwrap_or(text.len());
    if before > plan.whole {
        let hashes = |count: usize| "#".repeat(count);
        let text = format!("{}.{}", hashes(plan.whole), hashes(plan.fraction));
        return Ok(Some(Digits { negative, text }));
    }
    plan.blanks = plan.whole - before;
    Ok(Some(Digits { negative, text }))
}

/// A float with so many digits behind the point, as C prints it.
fn printed(value: f64, places: usize) -> String {
    match value {
        value if value.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        value => format!("{value:.places$}"),
    }
}

/// `1.23e+04`, with a blank in place of a plus in front.
fn scientific(source: Source, value: &Datum, plan: &Plan) -> Result<Option<String>> {
    let value = match (source, value) {
        (Source::Integer, Datum::Int(value)) => Datum::Float(*value as f64),
        (_, Datum::Int(value)) => Datum::numeric(*value),
        (_, value) => value.clone(),
    };
    let text = match &value {
        Datum::Float(value) if value.is_finite() => {
            let digits = format!("{value:.*e}", plan.fraction);
            let (mantissa, exponent) = digits.split_once('e').expect("written with an exponent");
            let exponent: i32 = exponent.parse().expect("a float's exponent");
            with_exponent(mantissa, exponent.into())
        }
        Datum::Numeric(number) if number.scale().is_some() => {
            let (mantissa, exponent) = number.scientific(plan.fraction)?;
            with_exponent(&mantissa, exponent)
        }
        // What is no number shows as many marks as one would have digits.
        Datum::Float(_) | Datum::Numeric(_) => {
            let mut marks = vec!['#'; plan.whole + plan.fraction + 6];
            marks[0] = ' ';
            marks[plan.whole + 1] = '.';
            return Ok(Some(marks.into_iter().collect()));
        }
        _ => return Ok(None),
    };
    Ok(Some(if text.starts_with('-') { text } else { format!(" {text}") }))
}

fn with_exponent(mantissa: &str, exponent: i64) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// Roman numerals of 1 to 3999; marks of everything else.
fn roman(source: Source, value: &Datum) -> Result<String> {
    const NUMERALS: [(i64, &str); 13] = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    let number = match value {
        Datum::Int(value) if source == Source::Integer || i32::try_from(*value).is_ok() => *value,
        Datum::Float(value) => value.round_ties_even() as i64,
        Datum::Numeric(value) if value.scale().is_some() => {
            let whole = value.to_int().filter(|value| i32::try_from(*value).is_ok());
            whole.ok_or_else(|| SqlError::out_of_range(Type::Int4))?
        }
        Datum::Numeric(value) if value.is_nan() => return Err(no_integer("NaN")),
        Datum::Numeric(_) => return Err(no_integer("infinity")),
        _ => return Err(SqlError::out_of_range(Type::Int4)),
    };
    if !(1..=3999).contains(&number) {
        return Ok("#".repeat(ROMAN_WIDTH));
    }
    let (mut out, mut rest) = (String::new(), number);
    for (worth, numeral) in NUMERALS {
        while rest >= worth {
            out.push_str(numeral);
            rest -= worth;
        }
    }
    Ok(out)
}

fn no_integer(what: &str) -> SqlError {
    SqlError::new(
        crate::error::SqlState::FEATURE_NOT_SUPPORTED,
        format!("cannot convert {what} to integer"),
    )
}
