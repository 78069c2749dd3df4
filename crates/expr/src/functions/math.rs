//! Functions over numbers.

use super::Func;
use crate::{
    context::EvalContext,
    datum::Datum,
    decimal::{Decimal, SERIES_WORK},
    error::{Result, SqlError, SqlState},
    eval::arithmetic,
    expr::{BinaryOp, UnaryOp},
    types::Type,
};

/// `None`: the arguments are none the function takes.
pub(super) fn call(
    func: Func,
    args: &[Datum],
    ty: Type,
    ctx: &EvalContext,
) -> Result<Option<Datum>> {
    // What looks at every digit, and powers, are counted by whoever calls.
    let long = matches!(func, Func::Sqrt | Func::Exp | Func::Ln | Func::Log);
    if long && let [Datum::Numeric(_), ..] = args {
        ctx.work(SERIES_WORK)?;
    }
    Ok(Some(match (func, args) {
        (Func::Abs, [value]) => arithmetic::unary(UnaryOp::Abs, value, ty)?,
        (Func::Mod, [left, right]) => arithmetic::binary(BinaryOp::Mod, left, right, ty, ctx)?,
        (Func::Power, [left, right]) => arithmetic::binary(BinaryOp::Pow, left, right, ty, ctx)?,
        (Func::Pi, []) => Datum::Float(std::f64::consts::PI),
        (Func::Random, []) => {
            let bits = ctx.hooks("random()")?.random() >> 11;
            Datum::Float(bits as f64 / (1_u64 << 53) as f64)
        }
        (func, [Datum::Numeric(value)]) => return numeric(func, value).map(Some),
        (Func::Round, [Datum::Numeric(value), Datum::Int(scale)]) => {
            Datum::numeric(value.round(bounded_scale(*scale)))
        }
        (Func::Trunc, [Datum::Numeric(value), Datum::Int(scale)]) => {
            Datum::numeric(value.trunc(bounded_scale(*scale)))
        }
        (Func::Div, [Datum::Numeric(left), Datum::Numeric(right)]) => {
            Datum::numeric(left.div_trunc(right)?)
        }
        (Func::Log, [Datum::Numeric(base), Datum::Numeric(value)]) => {
            Datum::numeric(value.log(base)?)
        }
        (Func::Atan2, [Datum::Float(y), Datum::Float(x)]) => Datum::Float(y.atan2(*x)),
        (func, [Datum::Float(value)]) => return float(func, *value).map(Some),
        _ => return Ok(None),
    }))
}

/// A count of digits within PostgreSQL's bounds for `round` and `trunc`.
fn bounded_scale(scale: i64) -> i32 {
    i32::try_from(scale.clamp(-2_000, 2_000)).expect("clamped")
}

fn numeric(func: Func, value: &Decimal) -> Result<Datum> {
    Ok(Datum::numeric(match func {
        Func::Ceil => value.ceil(),
        Func::Floor => value.floor(),
        Func::Round => value.round(0),
        Func::Trunc => value.trunc(0),
        Func::Sqrt => value.sqrt()?,
        Func::Exp => value.exp()?,
        Func::Ln => value.ln()?,
        Func::Log => value.log(&Decimal::from(10_i64))?,
        Func::Sign if value.is_nan() => Decimal::NaN,
        Func::Sign => Decimal::from(i64::from(value.signum())),
        func => return Err(SqlError::internal(format!("{func:?} of a numeric"))),
    }))
}

fn float(func: Func, value: f64) -> Result<Datum> {
    let result = match func {
        Func::Ceil => value.ceil(),
        Func::Floor => value.floor(),
        Func::Round => value.round_ties_even(),
        Func::Trunc => value.trunc(),
        Func::Sqrt => return arithmetic::unary(UnaryOp::Sqrt, &Datum::Float(value), Type::Float8),
        Func::Cbrt => value.cbrt(),
        Func::Exp => {
            return arithmetic::checked_float(
                value.exp(),
                value.is_infinite(),
                value == f64::NEG_INFINITY,
            );
        }
        Func::Ln => logarithm(value, f64::ln)?,
        Func::Log => logarithm(value, f64::log10)?,
        Func::Sign if value.is_nan() || value == 0.0 => value,
        Func::Sign => value.signum(),
        Func::Degrees => value.to_degrees(),
        Func::Radians => value.to_radians(),
        Func::Sin => finite(value)?.sin(),
        Func::Cos => finite(value)?.cos(),
        Func::Tan => finite(value)?.tan(),
        Func::Asin => unit(value)?.asin(),
        Func::Acos => unit(value)?.acos(),
        Func::Atan => value.atan(),
        func => return Err(SqlError::internal(format!("{func:?} of a float"))),
    };
    Ok(Datum::Float(result))
}

fn logarithm(value: f64, of: fn(f64) -> f64) -> Result<f64> {
    let problem = |what: &str| {
        let message = format!("cannot take logarithm of {what}");
        Err(SqlError::new(SqlState::INVALID_ARGUMENT_FOR_LOG, message))
    };
    match value {
        0.0 => problem("zero"),
        value if value < 0.0 => problem("a negative number"),
        value => Ok(of(value)),
    }
}

fn finite(value: f64) -> Result<f64> {
    if value.is_infinite() { Err(input_out_of_range()) } else { Ok(value) }
}

fn unit(value: f64) -> Result<f64> {
    if value.abs() > 1.0 { Err(input_out_of_range()) } else { Ok(value) }
}

fn input_out_of_range() -> SqlError {
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "input is out of range")
}
