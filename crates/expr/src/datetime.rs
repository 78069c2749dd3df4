//! Dates, timestamps, intervals and time zones.
//!
//! As in PostgreSQL, a date is a number of days and a timestamp a number of microseconds since
//! 2000-01-01 00:00 (UTC, where a time zone is meant), in the proleptic Gregorian calendar. The
//! ends of the integers' ranges are the infinities. Dates lie in 4714-11-24 BC to 5874897-12-31 AD,
//! timestamps up to 294276-12-31 AD.
//!
//! Nothing here knows what time it is: `now` is what the caller says.

mod abbreviations;
mod fields;
mod interval;
mod parse;
mod scan;
mod zone;

#[cfg(test)]
mod tests;

use std::fmt::Write;

pub use fields::{
    DateField, add_interval, add_interval_local, age, date_trunc, difference, extract,
    extract_interval, trunc_interval,
};
pub use interval::{Interval, IntervalFields};
pub use parse::{parse_date, parse_timestamp, parse_timestamp_tz};
pub(crate) use scan::is_blank;
pub use zone::TimeZone;

use crate::error::{Result, SqlError};

/// Microseconds of a second.
pub const SECOND: i64 = 1_000_000;
/// Microseconds of a minute.
pub const MINUTE: i64 = 60 * SECOND;
/// Microseconds of an hour.
pub const HOUR: i64 = 60 * MINUTE;
/// Microseconds of a day.
pub const DAY: i64 = 24 * HOUR;

/// 2000-01-01 in seconds since 1970-01-01.
pub const UNIX_EPOCH_OFFSET_SECONDS: i64 = 946_684_800;

/// The date before all others.
pub const DATE_NEGATIVE_INFINITY: i32 = i32::MIN;
/// The date after all others.
pub const DATE_INFINITY: i32 = i32::MAX;
/// The timestamp before all others.
pub const NEGATIVE_INFINITY: i64 = i64::MIN;
/// The timestamp after all others.
pub const INFINITY: i64 = i64::MAX;

/// 4714-11-24 BC: the first day of the Julian calendar, and of PostgreSQL's.
const MIN_DAYS: i64 = -2_451_545;
/// 5874898-01-01 AD.
const END_DAYS: i64 = 2_145_031_949;
/// 4714-11-24 BC 00:00.
const MIN_MICROS: i64 = MIN_DAYS * DAY;
/// 294277-01-01 AD 00:00.
const END_MICROS: i64 = 9_223_371_331_200_000_000;

/// A timestamp from nanoseconds since 1970, as the cluster's clocks count; cut to microseconds.
#[must_use]
pub fn from_unix_nanos(nanos: u64) -> i64 {
    let micros = i64::try_from(nanos / 1_000).expect("u64 nanoseconds are far less microseconds");
    micros - UNIX_EPOCH_OFFSET_SECONDS * SECOND
}

/// Nanoseconds since 1970; `None` if the timestamp lies before that or beyond what they count.
#[must_use]
pub fn to_unix_nanos(micros: i64) -> Option<u64> {
    let unix = micros.checked_add(UNIX_EPOCH_OFFSET_SECONDS * SECOND)?;
    u64::try_from(unix).ok()?.checked_mul(1_000)
}

/// A date of the calendar; year 0 is 1 BC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// The year; 0 is 1 BC.
    pub year: i64,
    /// `1..=12`.
    pub month: i64,
    /// `1..=31`.
    pub day: i64,
}

impl Civil {
    /// The date that lies so many days after 2000-01-01.
    #[must_use]
    pub const fn from_days(days: i64) -> Civil {
        // Years start in March here, so that the leap day is the last; eras have 400 years.
        let days = days + 730_425;
        let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
        let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        Civil { year: era * 400 + year + carry, month, day: day_of_month }
    }

    /// Days since 2000-01-01.
    #[must_use]
    pub const fn to_days(self) -> i64 {
        let year = if self.month <= 2 { self.year - 1 } else { self.year };
        let month = if self.month > 2 { self.month - 3 } else { self.month + 9 };
        let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
        let day_of_year = (153 * month + 2) / 5 + self.day - 1;
        era * 146_097 + year * 365 + year / 4 - year / 100 + day_of_year - 730_425
    }

    /// Whether the calendar has the date.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        1 <= self.month
            && self.month <= 12
            && 1 <= self.day
            && self.day <= days_in_month(self.year, self.month)
    }
}

/// How many days a month has.
#[must_use]
pub const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year.rem_euclid(4) == 0
            && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0) =>
        {
            29
        }
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Whether the date is one of the infinities.
#[must_use]
pub const fn is_infinite_date(days: i32) -> bool {
    days == DATE_INFINITY || days == DATE_NEGATIVE_INFINITY
}

/// Whether the timestamp is one of the infinities.
#[must_use]
pub const fn is_infinite(micros: i64) -> bool {
    micros == INFINITY || micros == NEGATIVE_INFINITY
}

/// A date within its range.
///
/// # Errors
/// Outside: `22008`.
pub fn check_date(days: i64) -> Result<i32> {
    if (MIN_DAYS..END_DAYS).contains(&days) {
        Ok(i32::try_from(days).expect("the range fits"))
    } else {
        Err(SqlError::datetime_out_of_range("date"))
    }
}

/// A timestamp within its range.
///
/// # Errors
/// Outside, or `None`: `22008`.
pub fn check_timestamp(micros: Option<i64>) -> Result<i64> {
    micros
        .filter(|micros| (MIN_MICROS..END_MICROS).contains(micros))
        .ok_or_else(|| SqlError::datetime_out_of_range("timestamp"))
}

/// The timestamp at which a date begins.
///
/// # Errors
/// Outside the timestamps' range: `22008`.
pub fn date_to_timestamp(days: i32) -> Result<i64> {
    match days {
        DATE_INFINITY => Ok(INFINITY),
        DATE_NEGATIVE_INFINITY => Ok(NEGATIVE_INFINITY),
        days => check_timestamp(i64::from(days).checked_mul(DAY))
            .map_err(|_| SqlError::datetime_out_of_range("date out of range for timestamp: date")),
    }
}

/// The date a timestamp lies on.
#[must_use]
pub fn timestamp_to_date(micros: i64) -> i32 {
    match micros {
        INFINITY => DATE_INFINITY,
        NEGATIVE_INFINITY => DATE_NEGATIVE_INFINITY,
        micros => i32::try_from(micros.div_euclid(DAY)).expect("timestamps lie within the dates"),
    }
}

/// `2026-03-01`, `0044-03-15 BC`, `infinity`.
#[must_use]
pub fn format_date(days: i32) -> String {
    match days {
        DATE_INFINITY => "infinity".to_owned(),
        DATE_NEGATIVE_INFINITY => "-infinity".to_owned(),
        days => {
            let (text, before_christ) = date_text(i64::from(days));
            text + before_christ
        }
    }
}

/// `2026-03-01 12:30:00.5`.
#[must_use]
pub fn format_timestamp(micros: i64) -> String {
    match micros {
        INFINITY => "infinity".to_owned(),
        NEGATIVE_INFINITY => "-infinity".to_owned(),
        micros => {
            let (date, before_christ) = date_text(micros.div_euclid(DAY));
            format!("{date} {}{before_christ}", format_time(micros.rem_euclid(DAY)))
        }
    }
}

/// `2026-03-01 13:30:00+01`: the local time, and how far it is ahead of UTC.
#[must_use]
pub fn format_timestamp_tz(micros: i64, zone: &TimeZone) -> String {
    if is_infinite(micros) {
        return format_timestamp(micros);
    }
    let offset = zone.offset_seconds(micros);
    let local = micros.saturating_add(offset * SECOND);
    let (date, before_christ) = date_text(local.div_euclid(DAY));
    let time = format_time(local.rem_euclid(DAY));
    format!("{date} {time}{}{before_christ}", format_offset(offset))
}

fn date_text(days: i64) -> (String, &'static str) {
    let Civil { year, month, day } = Civil::from_days(days);
    let (year, suffix) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    (format!("{year:04}-{month:02}-{day:02}"), suffix)
}

/// `12:30:00.5` of the microseconds since midnight.
fn format_time(micros: i64) -> String {
    let seconds = micros / SECOND;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut out = format!("{hour:02}:{minute:02}:{second:02}");
    push_fraction(&mut out, micros % SECOND);
    out
}

/// Appends `.5` for 500,000 microseconds, nothing for none.
fn push_fraction(out: &mut String, micros: i64) {
    if micros != 0 {
        write!(out, ".{:06}", micros.abs()).expect("writing to a string");
        out.truncate(out.trim_end_matches('0').len());
    }
}

/// `+01`, `-03:30`.
pub(crate) fn format_offset(seconds: i64) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let (hour, minute, second) =
        (seconds.abs() / 3600, seconds.abs() / 60 % 60, seconds.abs() % 60);
    let mut out = format!("{sign}{hour:02}");
    if minute != 0 || second != 0 {
        write!(out, ":{minute:02}").expect("writing to a string");
    }
    if second != 0 {
        write!(out, ":{second:02}").expect("writing to a string");
    }
    out
}
