//! Functions over dates, timestamps and intervals.

use super::Func;
use crate::{
    context::EvalContext,
    datetime::{self, Civil, DateField, Interval, SECOND, TimeZone, UNIX_EPOCH_OFFSET_SECONDS},
    datum::Datum,
    decimal::Decimal,
    error::{Result, SqlError, SqlState},
};

/// `None`: the arguments are none the function takes.
pub(super) fn call(func: Func, args: &[Datum], ctx: &EvalContext) -> Result<Option<Datum>> {
    Ok(Some(match (func, args) {
        (Func::Now, []) => Datum::TimestampTz(ctx.transaction_time),
        (Func::StatementTimestamp, []) => Datum::TimestampTz(ctx.statement_time),
        (Func::ClockTimestamp, []) => {
            Datum::TimestampTz(ctx.hooks("clock_timestamp()")?.clock_timestamp())
        }
        (Func::CurrentDate, []) => {
            Datum::Date(datetime::timestamp_to_date(local(ctx.transaction_time, &ctx.timezone)))
        }
        (Func::LocalTimestamp, []) => Datum::Timestamp(local(ctx.transaction_time, &ctx.timezone)),
        (Func::DateTrunc, [Datum::Text(field), value, rest @ ..]) => {
            return date_trunc(field, value, rest, ctx);
        }
        (Func::Extract, [Datum::Text(field), value]) => match extract(field, value, ctx)? {
            Some(part) => Datum::numeric(part),
            None => Datum::Null,
        },
        (Func::DatePart, [Datum::Text(field), Datum::Date(days)]) => {
            let midnight = Datum::Timestamp(datetime::date_to_timestamp(*days)?);
            extract(field, &midnight, ctx)?.map(|part| part.to_float()).into()
        }
        (Func::DatePart, [Datum::Text(field), value]) => {
            extract(field, value, ctx)?.map(|part| part.to_float()).into()
        }
        (Func::Age, args) => return age(args, ctx),
        (Func::Timezone, [zone, value]) => return at_time_zone(zone, value),
        (Func::ToTimestamp, [Datum::Float(seconds)]) => to_timestamp(*seconds)?,
        (Func::MakeDate, [Datum::Int(year), Datum::Int(month), Datum::Int(day)]) => {
            make_date(*year, *month, *day)?
        }
        (Func::IsFinite, [Datum::Date(days)]) => Datum::Bool(!datetime::is_infinite_date(*days)),
        (Func::IsFinite, [Datum::Timestamp(micros) | Datum::TimestampTz(micros)]) => {
            Datum::Bool(!datetime::is_infinite(*micros))
        }
        (Func::IsFinite, [Datum::Interval(_)]) => Datum::Bool(true),
        (Func::JustifyHours, [Datum::Interval(value)]) => Datum::Interval(value.justified_hours()?),
        (Func::JustifyInterval, [Datum::Interval(value)]) => Datum::Interval(value.justified()?),
        _ => return Ok(None),
    }))
}

/// What clocks of the zone show at a moment.
fn local(utc: i64, zone: &TimeZone) -> i64 {
    if datetime::is_infinite(utc) {
        return utc;
    }
    utc.saturating_add(zone.offset_seconds(utc) * SECOND)
}

fn date_trunc(
    field: &str,
    value: &Datum,
    rest: &[Datum],
    ctx: &EvalContext,
) -> Result<Option<Datum>> {
    Ok(Some(match value {
        Datum::Timestamp(micros) => {
            let field = DateField::parse(field, "timestamp without time zone")?;
            Datum::Timestamp(datetime::date_trunc(field, *micros)?)
        }
        Datum::TimestampTz(micros) => {
            let field = DateField::parse(field, "timestamp with time zone")?;
            let zone = match rest {
                [Datum::Text(name)] => TimeZone::parse_posix(name)?,
                _ => ctx.timezone,
            };
            let start = datetime::date_trunc(field, local(*micros, &zone))?;
            let infinite = datetime::is_infinite(start);
            Datum::TimestampTz(if infinite { start } else { zone.local_to_utc(start) })
        }
        Datum::Interval(value) => {
            let field = DateField::parse(field, "interval")?;
            Datum::Interval(datetime::trunc_interval(field, *value)?)
        }
        _ => return Ok(None),
    }))
}

fn extract(field: &str, value: &Datum, ctx: &EvalContext) -> Result<Option<Decimal>> {
    match value {
        Datum::Date(days) => {
            let parsed = DateField::parse(field, "date")?;
            if parsed < DateField::Day || parsed >= DateField::Timezone {
                return Err(SqlError::new(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    format!("unit \"{}\" not supported for type date", field.to_lowercase()),
                ));
            }
            let part = datetime::extract(parsed, datetime::date_to_timestamp(*days)?, None)?;
            // A date has whole seconds and whole Julian days.
            Ok(part.map(|part| part.trunc(0)))
        }
        Datum::Timestamp(micros) => {
            let field = DateField::parse(field, "timestamp without time zone")?;
            datetime::extract(field, *micros, None)
        }
        Datum::TimestampTz(micros) => {
            let field = DateField::parse(field, "timestamp with time zone")?;
            let offset = ctx.timezone.offset_seconds(*micros);
            datetime::extract(field, local(*micros, &ctx.timezone), Some(offset))
        }
        Datum::Interval(value) => {
            let field = DateField::parse(field, "interval")?;
            datetime::extract_interval(field, *value).map(Some)
        }
        other => Err(SqlError::internal(format!("extract from {other:?}"))),
    }
}

/// With one argument: from midnight of the current date.
fn age(args: &[Datum], ctx: &EvalContext) -> Result<Option<Datum>> {
    let zone = &ctx.timezone;
    let midnight = || datetime::date_trunc(DateField::Day, local(ctx.transaction_time, zone));
    let (later, earlier) = match args {
        [Datum::Timestamp(later), Datum::Timestamp(earlier)] => (*later, *earlier),
        [Datum::TimestampTz(later), Datum::TimestampTz(earlier)] => {
            (local(*later, zone), local(*earlier, zone))
        }
        [Datum::Timestamp(earlier)] => (midnight()?, *earlier),
        [Datum::TimestampTz(earlier)] => (midnight()?, local(*earlier, zone)),
        _ => return Ok(None),
    };
    datetime::age(later, earlier).map(|age| Some(Datum::Interval(age)))
}

fn at_time_zone(zone: &Datum, value: &Datum) -> Result<Option<Datum>> {
    let zone = match zone {
        Datum::Text(name) => TimeZone::parse_posix(name)?,
        Datum::Interval(Interval { months: 0, days: 0, micros }) => {
            TimeZone::fixed(micros / SECOND)
                .ok_or_else(|| SqlError::invalid_parameter("time zone displacement out of range"))?
        }
        Datum::Interval(interval) => {
            return Err(SqlError::invalid_parameter(format!(
                "interval time zone \"{interval}\" must not include months or days"
            )));
        }
        _ => return Ok(None),
    };
    Ok(match value {
        Datum::Timestamp(micros) if datetime::is_infinite(*micros) => {
            Some(Datum::TimestampTz(*micros))
        }
        Datum::Timestamp(micros) => {
            Some(Datum::TimestampTz(datetime::check_timestamp(Some(zone.local_to_utc(*micros)))?))
        }
        Datum::TimestampTz(micros) => Some(Datum::Timestamp(local(*micros, &zone))),
        _ => None,
    })
}

fn to_timestamp(unix_seconds: f64) -> Result<Datum> {
    let micros = match unix_seconds {
        seconds if seconds.is_nan() => {
            return Err(SqlError::new(
                SqlState::DATETIME_FIELD_OVERFLOW,
                "timestamp cannot be NaN",
            ));
        }
        f64::INFINITY => datetime::INFINITY,
        f64::NEG_INFINITY => datetime::NEGATIVE_INFINITY,
        seconds => {
            let micros = (seconds - UNIX_EPOCH_OFFSET_SECONDS as f64) * SECOND as f64;
            let inside = micros.abs() < 9.2e18;
            datetime::check_timestamp(inside.then(|| micros.round_ties_even() as i64)).map_err(
                |_| {
                    SqlError::new(
                        SqlState::DATETIME_FIELD_OVERFLOW,
                        format!("timestamp out of range: \"{seconds}\""),
                    )
                },
            )?
        }
    };
    Ok(Datum::TimestampTz(micros))
}

fn make_date(year: i64, month: i64, day: i64) -> Result<Datum> {
    // A negative year counts back from 1 BC.
    let date = Civil { year: if year < 0 { year + 1 } else { year }, month, day };
    if year == 0 || !date.is_valid() {
        return Err(SqlError::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            format!("date field value out of range: {year}-{month:02}-{day:02}"),
        ));
    }
    Ok(Datum::Date(datetime::check_date(date.to_days())?))
}
