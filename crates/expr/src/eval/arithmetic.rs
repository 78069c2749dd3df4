//! Operators that compute: numbers, dates and intervals, texts, bits.

use crate::{
    context::EvalContext,
    datetime::{self, Interval},
    datum::Datum,
    decimal::Decimal,
    error::{Result, SqlError, SqlState},
    expr::{BinaryOp, UnaryOp},
    types::Type,
};

/// The most bytes a text or byte string made by an expression may have.
pub(crate) const MAX_STRING_BYTES: usize = 64 << 20;

/// An operator with one operand, which is not NULL.
pub(crate) fn unary(op: UnaryOp, value: &Datum, ty: Type) -> Result<Datum> {
    match (op, value) {
        (UnaryOp::Plus, value) => Ok(value.clone()),
        (UnaryOp::Neg, Datum::Int(value)) => int(value.checked_neg(), ty),
        (UnaryOp::Neg, Datum::Float(value)) => Ok(Datum::Float(-value)),
        (UnaryOp::Neg, Datum::Numeric(value)) => Ok(Datum::numeric(value.negated())),
        (UnaryOp::Neg, Datum::Interval(value)) => Ok(Datum::Interval(value.checked_neg()?)),
        (UnaryOp::Abs, Datum::Int(value)) => int(value.checked_abs(), ty),
        (UnaryOp::Abs, Datum::Float(value)) => Ok(Datum::Float(value.abs())),
        (UnaryOp::Abs, Datum::Numeric(value)) => Ok(Datum::numeric(value.abs())),
        (UnaryOp::BitNot, Datum::Int(value)) => Ok(Datum::Int(!value)),
        (UnaryOp::Sqrt, Datum::Float(value)) if *value < 0.0 => Err(SqlError::new(
            SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION,
            "cannot take square root of a negative number",
        )),
        (UnaryOp::Sqrt, Datum::Float(value)) => Ok(Datum::Float(value.sqrt())),
        (op, value) => Err(SqlError::internal(format!("{}{value:?}", op.symbol()))),
    }
}

/// An operator with two operands, none of which is NULL; not a comparison.
pub(crate) fn binary(
    op: BinaryOp,
    left: &Datum,
    right: &Datum,
    ty: Type,
    ctx: &EvalContext,
) -> Result<Datum> {
    match (left, right) {
        (Datum::Int(left), Datum::Int(right)) => integers(op, *left, *right, ty),
        (Datum::Float(left), Datum::Float(right)) => floats(op, *left, *right, ty),
        (Datum::Numeric(left), Datum::Numeric(right)) => {
            ctx.work(match op {
                BinaryOp::Add | BinaryOp::Sub => left.steps().saturating_add(right.steps()),
                _ => left.steps_with(right),
            })?;
            numerics(op, left, right, ctx)
        }
        (left, right) if op == BinaryOp::Concat => concat(left, right),
        (left, right) => datetimes(op, left, right, ctx)?
            .ok_or_else(|| SqlError::internal(format!("{left:?} {} {right:?}", op.symbol()))),
    }
}

/// An integer within the bounds of its type.
fn int(value: Option<i64>, ty: Type) -> Result<Datum> {
    let inside = value.filter(|value| match ty {
        Type::Int2 => i16::try_from(*value).is_ok(),
        Type::Int4 => i32::try_from(*value).is_ok(),
        _ => true,
    });
    inside.map(Datum::Int).ok_or_else(|| SqlError::out_of_range(ty))
}

fn integers(op: BinaryOp, left: i64, right: i64, ty: Type) -> Result<Datum> {
    let bits: u32 = match ty {
        Type::Int2 => 16,
        Type::Int4 => 32,
        _ => 64,
    };
    let result = match op {
        BinaryOp::Add => left.checked_add(right),
        BinaryOp::Sub => left.checked_sub(right),
        BinaryOp::Mul => left.checked_mul(right),
        BinaryOp::Div | BinaryOp::Mod if right == 0 => return Err(SqlError::division_by_zero()),
        BinaryOp::Div => left.checked_div(right),
        // The least integer has no positive counterpart, but a rest all the same.
        BinaryOp::Mod => Some(left.checked_rem(right).unwrap_or(0)),
        BinaryOp::BitAnd => Some(left & right),
        BinaryOp::BitOr => Some(left | right),
        BinaryOp::BitXor => Some(left ^ right),
        BinaryOp::ShiftLeft | BinaryOp::ShiftRight => {
            // As the hardware does, and PostgreSQL: the count is taken modulo the width.
            let width = if bits == 64 { 64 } else { 32 };
            let count = u32::try_from(right.rem_euclid(width)).expect("below 64");
            Some(shifted(op, left, count, bits))
        }
        op => return Err(SqlError::internal(format!("{left} {} {right}", op.symbol()))),
    };
    int(result, ty)
}

fn shifted(op: BinaryOp, value: i64, count: u32, bits: u32) -> i64 {
    let right = op == BinaryOp::ShiftRight;
    match bits {
        16 if right => i64::from((value as i32) >> count) as i16 as i64,
        16 => i64::from(((value as i32) << count) as i16),
        32 if right => i64::from((value as i32) >> count),
        32 => i64::from((value as i32) << count),
        _ if right => value >> count,
        _ => value << count,
    }
}

/// A float result: infinity from finite operands is an overflow, zero from others an underflow.
pub(crate) fn checked_float(value: f64, infinite_ok: bool, zero_ok: bool) -> Result<Datum> {
    let problem = |what: &str| {
        let message = format!("value out of range: {what}");
        Err(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message))
    };
    match value {
        value if value.is_infinite() && !infinite_ok => problem("overflow"),
        0.0 if !zero_ok => problem("underflow"),
        value => Ok(Datum::Float(value)),
    }
}

fn floats(op: BinaryOp, left: f64, right: f64, ty: Type) -> Result<Datum> {
    let infinite = left.is_infinite() || right.is_infinite();
    let narrow = |value: f64| if ty == Type::Float4 { f64::from(value as f32) } else { value };
    match op {
        BinaryOp::Add => checked_float(narrow(left + right), infinite, true),
        BinaryOp::Sub => checked_float(narrow(left - right), infinite, true),
        BinaryOp::Mul => checked_float(narrow(left * right), infinite, left == 0.0 || right == 0.0),
        BinaryOp::Div if right == 0.0 && !left.is_nan() => Err(SqlError::division_by_zero()),
        BinaryOp::Div => checked_float(
            narrow(left / right),
            left.is_infinite(),
            left == 0.0 || right.is_infinite(),
        ),
        BinaryOp::Pow => power(left, right),
        op => Err(SqlError::internal(format!("{left} {} {right}", op.symbol()))),
    }
}

fn power(left: f64, right: f64) -> Result<Datum> {
    let problem =
        |text: &str| Err(SqlError::new(SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION, text));
    if left == 0.0 && right < 0.0 {
        return problem("zero raised to a negative power is undefined");
    }
    if left < 0.0 && right.fract() != 0.0 && right.is_finite() && left.is_finite() {
        return problem("a negative number raised to a non-integer power yields a complex result");
    }
    let infinite = left.is_infinite() || right.is_infinite();
    checked_float(left.powf(right), infinite, infinite || left == 0.0)
}

fn numerics(op: BinaryOp, left: &Decimal, right: &Decimal, ctx: &EvalContext) -> Result<Datum> {
    let result = match op {
        BinaryOp::Add => left.add(right),
        BinaryOp::Sub => left.sub(right),
        BinaryOp::Mul => left.mul(right),
        BinaryOp::Div => left.div(right),
        BinaryOp::Mod => left.rem(right),
        BinaryOp::Pow => left.pow_with(right, &|steps| ctx.work(steps)),
        op => return Err(SqlError::internal(format!("{left} {} {right}", op.symbol()))),
    };
    result.map(Datum::numeric)
}

fn concat(left: &Datum, right: &Datum) -> Result<Datum> {
    match (left, right) {
        (Datum::Text(left), Datum::Text(right)) => {
            check_length(left.len() + right.len())?;
            Ok(Datum::text([&**left, &**right].concat()))
        }
        (Datum::Bytes(left), Datum::Bytes(right)) => {
            check_length(left.len() + right.len())?;
            Ok(Datum::bytes([&**left, &**right].concat()))
        }
        (left, right) => Err(SqlError::internal(format!("{left:?} || {right:?}"))),
    }
}

/// Refuses texts that would not leave memory for others.
pub(crate) fn check_length(bytes: usize) -> Result<()> {
    if bytes > MAX_STRING_BYTES {
        return Err(SqlError::new(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            format!("requested length too large: more than {MAX_STRING_BYTES} bytes"),
        ));
    }
    Ok(())
}

/// `None`: the operator does not take such operands.
fn datetimes(
    op: BinaryOp,
    left: &Datum,
    right: &Datum,
    ctx: &EvalContext,
) -> Result<Option<Datum>> {
    use Datum::{Date, Float, Int, Timestamp, TimestampTz};
    let sign = if op == BinaryOp::Sub { -1 } else { 1 };
    let signed = |interval: &Interval| {
        if op == BinaryOp::Sub { interval.checked_neg() } else { Ok(*interval) }
    };
    let sum = matches!(op, BinaryOp::Add | BinaryOp::Sub);
    Ok(Some(match (left, right) {
        (Date(days), Int(count)) | (Int(count), Date(days)) if sum => {
            if datetime::is_infinite_date(*days) {
                Date(*days)
            } else {
                Date(datetime::check_date(i64::from(*days) + count * sign)?)
            }
        }
        (Date(left), Date(right)) if op == BinaryOp::Sub => date_difference(*left, *right)?,
        (Timestamp(left), Timestamp(right)) | (TimestampTz(left), TimestampTz(right))
            if op == BinaryOp::Sub =>
        {
            Datum::Interval(datetime::difference(*left, *right)?)
        }
        (Date(days), Datum::Interval(interval)) | (Datum::Interval(interval), Date(days))
            if sum =>
        {
            let start = datetime::date_to_timestamp(*days)?;
            Timestamp(datetime::add_interval(start, signed(interval)?)?)
        }
        (Timestamp(micros), Datum::Interval(interval))
        | (Datum::Interval(interval), Timestamp(micros))
            if sum =>
        {
            Timestamp(datetime::add_interval(*micros, signed(interval)?)?)
        }
        (TimestampTz(micros), Datum::Interval(interval))
        | (Datum::Interval(interval), TimestampTz(micros))
            if sum =>
        {
            TimestampTz(datetime::add_interval_local(*micros, signed(interval)?, &ctx.timezone)?)
        }
        (Datum::Interval(left), Datum::Interval(right)) if sum => {
            Datum::Interval(left.checked_add(signed(right)?)?)
        }
        (Datum::Interval(interval), Float(factor)) | (Float(factor), Datum::Interval(interval))
            if op == BinaryOp::Mul =>
        {
            Datum::Interval(interval.checked_mul(*factor)?)
        }
        (Datum::Interval(_), Float(0.0)) if op == BinaryOp::Div => {
            return Err(SqlError::division_by_zero());
        }
        (Datum::Interval(interval), Float(divisor)) if op == BinaryOp::Div => {
            Datum::Interval(interval.checked_div(*divisor)?)
        }
        _ => return Ok(None),
    }))
}

fn date_difference(left: i32, right: i32) -> Result<Datum> {
    if datetime::is_infinite_date(left) || datetime::is_infinite_date(right) {
        return Err(SqlError::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            "cannot subtract infinite dates",
        ));
    }
    Ok(Datum::Int(i64::from(left) - i64::from(right)))
}
