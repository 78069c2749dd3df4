//! Parts of dates and times, and arithmetic between them and intervals.

use super::{
    Civil, DAY, HOUR, Interval, MINUTE, SECOND, TimeZone, UNIX_EPOCH_OFFSET_SECONDS,
    check_timestamp, days_in_month, is_infinite,
};
use crate::{
    decimal::Decimal,
    error::{Result, SqlError, SqlState},
};

/// A part of a date or time, as `EXTRACT` and `date_trunc` name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the field of the same name")]
pub enum DateField {
    Microseconds,
    Milliseconds,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    DayOfWeek,
    IsoDayOfWeek,
    DayOfYear,
    IsoYear,
    Julian,
    Epoch,
    Timezone,
    TimezoneHour,
    TimezoneMinute,
}

impl DateField {
    /// The field with this name.
    ///
    /// # Errors
    /// There is none: `22023`; `ty` is what it was to be taken of.
    pub fn parse(name: &str, ty: &str) -> Result<DateField> {
        Ok(match name.to_ascii_lowercase().as_str() {
            "us" | "usec" | "usecs" | "microsecond" | "microseconds" => DateField::Microseconds,
            "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => DateField::Milliseconds,
            "s" | "sec" | "secs" | "second" | "seconds" => DateField::Second,
            "m" | "min" | "mins" | "minute" | "minutes" => DateField::Minute,
            "h" | "hr" | "hrs" | "hour" | "hours" => DateField::Hour,
            "d" | "day" | "days" => DateField::Day,
            "w" | "week" | "weeks" => DateField::Week,
            "mon" | "mons" | "month" | "months" => DateField::Month,
            "qtr" | "quarter" => DateField::Quarter,
            "y" | "yr" | "yrs" | "year" | "years" => DateField::Year,
            "dec" | "decs" | "decade" | "decades" => DateField::Decade,
            "c" | "cent" | "century" | "centuries" => DateField::Century,
            "mil" | "mils" | "millennium" | "millennia" => DateField::Millennium,
            "dow" => DateField::DayOfWeek,
            "isodow" => DateField::IsoDayOfWeek,
            "doy" => DateField::DayOfYear,
            "isoyear" => DateField::IsoYear,
            "julian" | "j" | "jd" => DateField::Julian,
            "epoch" => DateField::Epoch,
            "timezone" => DateField::Timezone,
            "timezone_hour" => DateField::TimezoneHour,
            "timezone_minute" => DateField::TimezoneMinute,
            _ => {
                return Err(SqlError::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("unit \"{name}\" not recognized for type {ty}"),
                ));
            }
        })
    }
}

fn unsupported(field: DateField, ty: &str) -> SqlError {
    let name = format!("{field:?}").to_lowercase();
    SqlError::new(
        SqlState::FEATURE_NOT_SUPPORTED,
        format!("unit \"{name}\" not supported for type {ty}"),
    )
}

/// Year and week of ISO 8601: weeks start on Monday, the first has the year's first Thursday.
pub(crate) fn iso_week(days: i64) -> (i64, i64) {
    let thursday = days - (days + 5).rem_euclid(7) + 3;
    let year = Civil::from_days(thursday).year;
    let first = Civil { year, month: 1, day: 1 }.to_days();
    (year, (thursday - first) / 7 + 1)
}

/// The part of a local time; `offset` is what it is ahead of UTC in seconds, `None` for a timestamp
/// without time zone. `None`: an infinite time has no such part.
///
/// # Errors
/// A field that the type has not: `0A000`.
pub fn extract(field: DateField, local: i64, offset: Option<i64>) -> Result<Option<Decimal>> {
    if is_infinite(local) {
        let grows = matches!(
            field,
            DateField::Year
                | DateField::Decade
                | DateField::Century
                | DateField::Millennium
                | DateField::IsoYear
                | DateField::Julian
                | DateField::Epoch
        );
        let infinity = if local > 0 { Decimal::Infinity } else { Decimal::NegativeInfinity };
        return Ok(grows.then_some(infinity));
    }
    let (days, time) = (local.div_euclid(DAY), local.rem_euclid(DAY));
    let Civil { year, month, day } = Civil::from_days(days);
    let zone = || offset.ok_or_else(|| unsupported(field, "timestamp without time zone"));
    let whole = match field {
        DateField::Microseconds => time % MINUTE,
        DateField::Milliseconds => return Ok(Some(scaled(time % MINUTE, 3))),
        DateField::Second => return Ok(Some(scaled(time % MINUTE, 6))),
        DateField::Minute => time / MINUTE % 60,
        DateField::Hour => time / HOUR,
        DateField::Day => day,
        DateField::Week => iso_week(days).1,
        DateField::Month => month,
        DateField::Quarter => (month - 1) / 3 + 1,
        // There is no year zero: 1 BC is -1.
        DateField::Year => year - i64::from(year <= 0),
        DateField::Decade => year.div_euclid(10),
        DateField::Century => period(year, 100),
        DateField::Millennium => period(year, 1000),
        DateField::DayOfWeek => (days + 6).rem_euclid(7),
        DateField::IsoDayOfWeek => (days + 5).rem_euclid(7) + 1,
        DateField::DayOfYear => days - Civil { year, month: 1, day: 1 }.to_days() + 1,
        DateField::IsoYear => {
            let year = iso_week(days).0;
            year - i64::from(year <= 0)
        }
        DateField::Julian => {
            let date = Decimal::from(days + 2_451_545);
            return date.add(&Decimal::from(time).div(&Decimal::from(DAY))?).map(Some);
        }
        DateField::Epoch => {
            // From 1970 on, the last of the times that there are is beyond 64 bits.
            let ahead = UNIX_EPOCH_OFFSET_SECONDS - offset.unwrap_or(0);
            return Ok(Some(scaled(i128::from(local) + i128::from(ahead * SECOND), 6)));
        }
        DateField::Timezone => zone()?,
        DateField::TimezoneHour => zone()? / 3600,
        DateField::TimezoneMinute => zone()? / 60 % 60,
    };
    Ok(Some(Decimal::from(whole)))
}

/// Microseconds as seconds (scale 6) or milliseconds (scale 3).
fn scaled(micros: impl Into<i128>, scale: u32) -> Decimal {
    Decimal::from_parts(micros.into(), scale)
}

/// The number of a century or millennium: the first starts in the year 1.
fn period(year: i64, length: i64) -> i64 {
    if year > 0 { (year + length - 1) / length } else { -((length - year) / length) }
}

/// The part of an interval.
///
/// # Errors
/// A field that intervals have not: `0A000`.
pub fn extract_interval(field: DateField, value: Interval) -> Result<Decimal> {
    let months = i64::from(value.months);
    let whole = match field {
        DateField::Microseconds => value.micros % MINUTE,
        DateField::Milliseconds => return Ok(scaled(value.micros % MINUTE, 3)),
        DateField::Second => return Ok(scaled(value.micros % MINUTE, 6)),
        DateField::Minute => value.micros / MINUTE % 60,
        DateField::Hour => value.micros / HOUR,
        DateField::Day => i64::from(value.days),
        DateField::Month => months % 12,
        DateField::Quarter => months % 12 / 3 + 1,
        DateField::Year => months / 12,
        DateField::Decade => months / 120,
        DateField::Century => months / 1_200,
        DateField::Millennium => months / 12_000,
        DateField::Epoch => {
            // A year counts 365.25 days here, a month 30.
            let seconds = i128::from(months / 12) * 31_557_600
                + i128::from(months % 12) * 2_592_000
                + i128::from(value.days) * 86_400;
            let micros = seconds * i128::from(SECOND) + i128::from(value.micros);
            return Ok(Decimal::from_parts(micros, 6));
        }
        field => return Err(unsupported(field, "interval")),
    };
    Ok(Decimal::from(whole))
}

/// The start of the field's period in which a local time lies.
///
/// # Errors
/// A field that cannot be cut to: `0A000`.
pub fn date_trunc(field: DateField, local: i64) -> Result<i64> {
    if is_infinite(local) {
        return Ok(local);
    }
    let unit = match field {
        DateField::Microseconds => 1,
        DateField::Milliseconds => 1_000,
        DateField::Second => SECOND,
        DateField::Minute => MINUTE,
        DateField::Hour => HOUR,
        DateField::Day => DAY,
        _ => 0,
    };
    if unit > 0 {
        return Ok(local.div_euclid(unit) * unit);
    }
    let days = local.div_euclid(DAY);
    let Civil { year, month, .. } = Civil::from_days(days);
    let start_of = |year, month| Civil { year, month, day: 1 }.to_days();
    let days = match field {
        DateField::Week => days - (days + 5).rem_euclid(7),
        DateField::Month => start_of(year, month),
        DateField::Quarter => start_of(year, (month - 1) / 3 * 3 + 1),
        DateField::Year => start_of(year, 1),
        DateField::Decade => start_of(year.div_euclid(10) * 10, 1),
        DateField::Century => start_of((year - 1).div_euclid(100) * 100 + 1, 1),
        DateField::Millennium => start_of((year - 1).div_euclid(1000) * 1000 + 1, 1),
        field => return Err(unsupported(field, "timestamp without time zone")),
    };
    check_timestamp(days.checked_mul(DAY))
}

/// The interval with all parts finer than the field dropped.
///
/// # Errors
/// A field that cannot be cut to: `0A000`.
pub fn trunc_interval(field: DateField, value: Interval) -> Result<Interval> {
    let months = |unit: i32| Interval { months: value.months / unit * unit, days: 0, micros: 0 };
    let time = |unit: i64| Interval { micros: value.micros / unit * unit, ..value };
    Ok(match field {
        DateField::Microseconds => value,
        DateField::Milliseconds => time(1_000),
        DateField::Second => time(SECOND),
        DateField::Minute => time(MINUTE),
        DateField::Hour => time(HOUR),
        DateField::Day => Interval { micros: 0, ..value },
        DateField::Month => months(1),
        DateField::Quarter => months(3),
        DateField::Year => months(12),
        DateField::Decade => months(120),
        DateField::Century => months(1_200),
        DateField::Millennium => months(12_000),
        field => return Err(unsupported(field, "interval")),
    })
}

/// A time without zone plus an interval: months first (the day kept, or the month's last), then
/// days, then time.
///
/// # Errors
/// Out of range: `22008`.
pub fn add_interval(micros: i64, interval: Interval) -> Result<i64> {
    if is_infinite(micros) {
        return Ok(micros);
    }
    let mut moved = Some(micros);
    if interval.months != 0 {
        let (days, time) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
        let Civil { year, month, day } = Civil::from_days(days);
        let months = year * 12 + month - 1 + i64::from(interval.months);
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
        let day = day.min(days_in_month(year, month));
        moved = Civil { year, month, day }
            .to_days()
            .checked_mul(DAY)
            .and_then(|midnight| midnight.checked_add(time));
    }
    let days = i64::from(interval.days) * DAY;
    check_timestamp(
        moved
            .and_then(|moved| moved.checked_add(days))
            .and_then(|moved| moved.checked_add(interval.micros)),
    )
}

/// A time with zone plus an interval: months and days by the local calendar, so that a day may have
/// 23 or 25 hours.
///
/// # Errors
/// Out of range: `22008`.
pub fn add_interval_local(micros: i64, interval: Interval, zone: &TimeZone) -> Result<i64> {
    if is_infinite(micros) {
        return Ok(micros);
    }
    let mut moved = micros;
    if interval.months != 0 || interval.days != 0 {
        let local = moved.saturating_add(zone.offset_seconds(moved) * SECOND);
        let calendar = Interval { micros: 0, ..interval };
        moved = zone.local_to_utc(add_interval(local, calendar)?);
    }
    check_timestamp(moved.checked_add(interval.micros))
}

/// `left - right` in days and time.
///
/// # Errors
/// An infinity on either side, or out of range: `22008`.
pub fn difference(left: i64, right: i64) -> Result<Interval> {
    if is_infinite(left) || is_infinite(right) {
        return Err(SqlError::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            "cannot subtract infinite timestamps",
        ));
    }
    let micros =
        left.checked_sub(right).ok_or_else(|| SqlError::datetime_out_of_range("interval"))?;
    Interval::from_micros(micros).justified_hours()
}

/// `left - right` in years, months, days and time, as people count.
///
/// # Errors
/// As [`difference`].
pub fn age(left: i64, right: i64) -> Result<Interval> {
    if left < right {
        return age(right, left)?.checked_neg();
    }
    difference(left, right)?;
    let (from, to) =
        (Civil::from_days(right.div_euclid(DAY)), Civil::from_days(left.div_euclid(DAY)));
    let mut months = (to.year - from.year) * 12 + to.month - from.month;
    let mut days = to.day - from.day;
    let mut micros = left.rem_euclid(DAY) - right.rem_euclid(DAY);
    if micros < 0 {
        (micros, days) = (micros + DAY, days - 1);
    }
    if days < 0 {
        // The month borrowed from is the earlier time's.
        (days, months) = (days + days_in_month(from.year, from.month), months - 1);
    }
    Ok(Interval {
        months: i32::try_from(months).map_err(|_| SqlError::datetime_out_of_range("interval"))?,
        days: i32::try_from(days).expect("at most a month"),
        micros,
    })
}
