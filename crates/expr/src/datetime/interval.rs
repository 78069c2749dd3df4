//! Intervals: months, days and microseconds, which don't convert into each other exactly.

use std::{
    cmp::Ordering,
    fmt::{self, Write},
    hash::{Hash, Hasher},
};

use serde::{Deserialize, Serialize};

use super::{DAY, HOUR, MINUTE, SECOND, push_fraction};
use crate::error::{Result, SqlError, SqlState};

/// An interval. Ordered by its length, a month counted as 30 days and a day as 24 hours.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Interval {
    /// Months; years are twelve of them.
    pub months: i32,
    /// Days.
    pub days: i32,
    /// Microseconds; may be more than a day.
    pub micros: i64,
}

const DAYS_PER_MONTH: i64 = 30;

impl Interval {
    /// An interval of microseconds only.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Interval {
        Interval { months: 0, days: 0, micros }
    }

    /// Its length in microseconds, a month counted as 30 days.
    #[must_use]
    pub fn span(self) -> i128 {
        let days = i128::from(self.months) * i128::from(DAYS_PER_MONTH) + i128::from(self.days);
        days * i128::from(DAY) + i128::from(self.micros)
    }

    /// The parts added one by one.
    ///
    /// # Errors
    /// Out of range: `22008`; so for all operations below.
    pub fn checked_add(self, other: Interval) -> Result<Interval> {
        let sum = || {
            Some(Interval {
                months: self.months.checked_add(other.months)?,
                days: self.days.checked_add(other.days)?,
                micros: self.micros.checked_add(other.micros)?,
            })
        };
        sum().ok_or_else(out_of_range)
    }

    /// All parts with the other sign.
    ///
    /// # Errors
    /// As [`Interval::checked_add`].
    pub fn checked_neg(self) -> Result<Interval> {
        let negated = || {
            Some(Interval {
                months: self.months.checked_neg()?,
                days: self.days.checked_neg()?,
                micros: self.micros.checked_neg()?,
            })
        };
        negated().ok_or_else(out_of_range)
    }

    /// The interval times a factor; fractions of months become days, of days become time.
    ///
    /// # Errors
    /// As [`Interval::checked_add`].
    pub fn checked_mul(self, factor: f64) -> Result<Interval> {
        let months = f64::from(self.months) * factor;
        let days = f64::from(self.days) * factor;
        let whole_months = int32(months.trunc())?;
        let whole_days = int32(days.trunc())?;
        // What is left of the months in days, rounded to a microsecond's precision.
        let month_rest = round_micro((months - months.trunc()) * DAYS_PER_MONTH as f64);
        let seconds =
            round_micro((days - days.trunc() + month_rest - month_rest.trunc()) * 86_400.0);
        let mut rest_days = month_rest.trunc();
        let mut seconds = seconds;
        if seconds.abs() >= 86_400.0 {
            rest_days += (seconds / 86_400.0).trunc();
            seconds -= (seconds / 86_400.0).trunc() * 86_400.0;
        }
        let micros = (self.micros as f64 * factor + seconds * 1e6).round_ties_even();
        if !micros.is_finite() || micros.abs() >= 9.2e18 {
            return Err(out_of_range());
        }
        Ok(Interval {
            months: whole_months,
            days: whole_days.checked_add(int32(rest_days)?).ok_or_else(out_of_range)?,
            micros: micros as i64,
        })
    }

    /// 24 hours become a day, 30 days become a month, and all parts get one sign.
    ///
    /// # Errors
    /// As [`Interval::checked_add`].
    pub fn justified(self) -> Result<Interval> {
        let span = self.span();
        let month = i128::from(DAYS_PER_MONTH * DAY);
        let (months, rest) = (span / month, span % month);
        let (days, micros) = (rest / i128::from(DAY), rest % i128::from(DAY));
        Ok(Interval {
            months: i32::try_from(months).map_err(|_| out_of_range())?,
            days: i32::try_from(days).expect("less than a month"),
            micros: i64::try_from(micros).expect("less than a day"),
        })
    }

    /// 24 hours become a day.
    ///
    /// # Errors
    /// As [`Interval::checked_add`].
    pub fn justified_hours(self) -> Result<Interval> {
        let days = i32::try_from(self.micros / DAY).map_err(|_| out_of_range())?;
        let (mut days, mut micros) =
            (self.days.checked_add(days).ok_or_else(out_of_range)?, self.micros % DAY);
        if days > 0 && micros < 0 {
            (days, micros) = (days - 1, micros + DAY);
        } else if days < 0 && micros > 0 {
            (days, micros) = (days + 1, micros - DAY);
        }
        Ok(Interval { months: self.months, days, micros })
    }

    /// Reads PostgreSQL's syntax: `1 day 2:03`, `5s`, `-1.5 hours`, `P1Y2M3DT4H`, `1-2`, `2 days
    /// ago`.
    ///
    /// # Errors
    /// `22007`; out of range: `22015`.
    pub fn parse(text: &str) -> Result<Interval> {
        let invalid = || {
            SqlError::new(
                SqlState::INVALID_DATETIME_FORMAT,
                format!("invalid input syntax for type interval: \"{text}\""),
            )
        };
        let trimmed = text.trim();
        let mut sum = Sum::default();
        let read = if let Some(iso) = trimmed.strip_prefix(['P', 'p']) {
            read_iso(iso, &mut sum)
        } else {
            read_words(trimmed, &mut sum)
        };
        read.ok_or_else(invalid)?;
        sum.interval().ok_or_else(|| {
            SqlError::new(
                SqlState::INTERVAL_FIELD_OVERFLOW,
                format!("interval field value out of range: \"{text}\""),
            )
        })
    }
}

fn out_of_range() -> SqlError {
    SqlError::datetime_out_of_range("interval")
}

fn int32(value: f64) -> Result<i32> {
    if value.abs() < 2_147_483_648.0 { Ok(value as i32) } else { Err(out_of_range()) }
}

fn round_micro(value: f64) -> f64 {
    (value * 1e6).round_ties_even() / 1e6
}

/// Parts being added up; wide enough that overflow shows at the end.
#[derive(Default)]
struct Sum {
    months: i128,
    days: i128,
    micros: i128,
    /// The fields given so far, one bit each: none may be given twice.
    given: u32,
}

/// A unit that parts of an interval are counted in.
#[derive(Clone, Copy)]
enum Unit {
    /// So many microseconds.
    Time(i64),
    Days(i64),
    Months(i64),
}

/// Hours, minutes, seconds and their fractions: what `2:03:04` gives.
const CLOCK_FIELDS: u32 = 0b1_1111;
/// Seconds and their fractions: what `1.5 seconds` gives.
const SECOND_FIELDS: u32 = 0b111;

impl Unit {
    fn parse(name: &str) -> Option<Unit> {
        Some(match name.to_ascii_lowercase().as_str() {
            "us" | "usec" | "usecs" | "useconds" | "microsecond" | "microseconds" => Unit::Time(1),
            "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => Unit::Time(1_000),
            "s" | "sec" | "secs" | "second" | "seconds" => Unit::Time(SECOND),
            "m" | "min" | "mins" | "minute" | "minutes" => Unit::Time(MINUTE),
            "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Time(HOUR),
            "d" | "day" | "days" => Unit::Days(1),
            "w" | "week" | "weeks" => Unit::Days(7),
            "mon" | "mons" | "month" | "months" => Unit::Months(1),
            "y" | "yr" | "yrs" | "year" | "years" => Unit::Months(12),
            "dec" | "decs" | "decade" | "decades" => Unit::Months(120),
            "c" | "cent" | "century" | "centuries" => Unit::Months(1_200),
            "mil" | "mils" | "millennium" | "millennia" => Unit::Months(12_000),
            _ => return None,
        })
    }

    /// The bits of the fields that so many of the unit give.
    const fn fields(self, number: Number) -> u32 {
        let bit = match self {
            Unit::Time(1) => 0,
            Unit::Time(1_000) => 1,
            Unit::Time(SECOND) if number.millionths != 0 => return SECOND_FIELDS,
            Unit::Time(SECOND) => 2,
            Unit::Time(MINUTE) => 3,
            Unit::Time(_) => 4,
            Unit::Days(1) => 5,
            Unit::Days(_) => 6,
            Unit::Months(1) => 7,
            Unit::Months(12) => 8,
            Unit::Months(120) => 9,
            Unit::Months(1_200) => 10,
            Unit::Months(_) => 11,
        };
        1 << bit
    }
}

/// A number of a text: whole part and a fraction in millionths, both with the sign.
#[derive(Clone, Copy)]
struct Number {
    whole: i128,
    millionths: i128,
}

impl Number {
    fn parse(text: &str) -> Option<Number> {
        let (sign, digits) = match text.as_bytes().first()? {
            b'-' => (-1, &text[1..]),
            b'+' => (1, &text[1..]),
            _ => (1, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
        if !all_digits || (whole.is_empty() && fraction.is_empty()) || whole.len() > 18 {
            return None;
        }
        let whole = if whole.is_empty() { 0 } else { whole.parse::<i128>().ok()? };
        let millionths = if fraction.is_empty() {
            0
        } else {
            // Seven digits are enough to round to six.
            let kept = &fraction[..fraction.len().min(7)];
            let value: i128 = format!("{kept:0<7}").parse().ok()?;
            (value + 5) / 10
        };
        Some(Number { whole: whole * sign, millionths: millionths * sign })
    }

    /// The number times a unit, rounded to an integer.
    fn times(self, unit: i64) -> i128 {
        self.whole * i128::from(unit) + self.millionths * i128::from(unit) / 1_000_000
    }
}

impl Sum {
    fn interval(&self) -> Option<Interval> {
        Some(Interval {
            months: i32::try_from(self.months).ok()?,
            days: i32::try_from(self.days).ok()?,
            micros: i64::try_from(self.micros).ok()?,
        })
    }

    fn add_days(&mut self, number: Number, days: i64) {
        self.days += number.whole * i128::from(days);
        let millionths = number.millionths * i128::from(days);
        self.days += millionths / 1_000_000;
        self.micros += millionths % 1_000_000 * i128::from(DAY) / 1_000_000;
    }

    fn add_months(&mut self, number: Number, months: i64) {
        self.months += number.whole * i128::from(months);
        let millionths = number.millionths * i128::from(months);
        if months > 1 {
            // Years and more: a fraction of them is rounded to months.
            self.months += (millionths as f64 / 1e6).round_ties_even() as i128;
        } else {
            let days = millionths * i128::from(DAYS_PER_MONTH);
            self.days += days / 1_000_000;
            self.micros += days % 1_000_000 * i128::from(DAY) / 1_000_000;
        }
    }

    /// Adds so many of a unit; `None`: there is no such unit, or it was added before.
    fn add(&mut self, number: Number, unit: &str) -> Option<()> {
        let unit = Unit::parse(unit)?;
        self.claim(unit.fields(number))?;
        match unit {
            Unit::Time(micros) => self.micros += number.times(micros),
            Unit::Days(days) => self.add_days(number, days),
            Unit::Months(months) => self.add_months(number, months),
        }
        Some(())
    }

    /// Notes that fields are given; `None`: one of them was before.
    fn claim(&mut self, fields: u32) -> Option<()> {
        let fresh = self.given & fields == 0;
        self.given |= fields;
        fresh.then_some(())
    }

    /// `hh:mm[:ss[.ffffff]]`, with a sign for all of it; two parts with a fraction are `mm:ss.f`.
    fn add_time(&mut self, text: &str) -> Option<()> {
        self.claim(CLOCK_FIELDS)?;
        let (sign, digits) = match text.as_bytes().first()? {
            b'-' => (-1, &text[1..]),
            b'+' => (1, &text[1..]),
            _ => (1, text),
        };
        let parts: Vec<Number> = digits.split(':').map(Number::parse).collect::<Option<_>>()?;
        let micros = match parts.as_slice() {
            [minutes, seconds] if seconds.millionths != 0 => {
                minutes.times(MINUTE) + seconds.times(SECOND)
            }
            [hours, minutes] if minutes.whole < 60 => hours.times(HOUR) + minutes.times(MINUTE),
            [hours, minutes, seconds] if minutes.whole < 60 && seconds.whole <= 60 => {
                hours.times(HOUR) + minutes.times(MINUTE) + seconds.times(SECOND)
            }
            _ => return None,
        };
        self.micros += micros * sign;
        Some(())
    }

    /// `years-months`.
    fn add_year_month(&mut self, text: &str) -> Option<()> {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let (years, months) = digits.split_once('-')?;
        let (years, months) = (years.parse::<i128>().ok()?, months.parse::<i128>().ok()?);
        if months >= 12 {
            return None;
        }
        self.months += sign * (years * 12 + months);
        Some(())
    }
}

fn read_words(text: &str, sum: &mut Sum) -> Option<()> {
    let text = text.strip_prefix('@').unwrap_or(text);
    let mut words = split_words(text).into_iter().peekable();
    words.peek()?;
    while let Some(word) = words.next() {
        if word.eq_ignore_ascii_case("ago") {
            (sum.months, sum.days, sum.micros) = (-sum.months, -sum.days, -sum.micros);
            return words.next().is_none().then_some(());
        }
        if word.contains(':') {
            sum.add_time(word)?;
        } else if word.chars().skip(1).any(|c| c == '-') {
            sum.add_year_month(word)?;
        } else {
            let number = Number::parse(word)?;
            match words.peek() {
                Some(unit)
                    if unit.starts_with(|c: char| c.is_ascii_alphabetic())
                        && !unit.eq_ignore_ascii_case("ago") =>
                {
                    sum.add(number, unit)?;
                    words.next();
                }
                // "1 2:03": a bare number before a time counts days.
                Some(next) if next.contains(':') => sum.add(number, "day")?,
                _ => sum.add(number, "second")?,
            }
        }
    }
    Some(())
}

/// Words are parted by blanks, and a unit from the number it sticks to.
fn split_words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for word in text.split([' ', '\t', '\n', ',']).filter(|word| !word.is_empty()) {
        let boundary = word
            .char_indices()
            .find(|(at, c)| *at > 0 && c.is_ascii_alphabetic())
            .filter(|_| word.starts_with(|c: char| !c.is_ascii_alphabetic()));
        match boundary {
            Some((at, _)) => words.extend([&word[..at], &word[at..]]),
            None => words.push(word),
        }
    }
    words
}

/// What follows the `P` of an ISO 8601 duration.
fn read_iso(text: &str, sum: &mut Sum) -> Option<()> {
    let mut rest = text;
    let mut in_time = false;
    let mut any = false;
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix(['T', 't']) {
            (rest, in_time) = (tail, true);
            continue;
        }
        let end = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let number = Number::parse(&rest[..end])?;
        let unit = rest[end..].chars().next()?.to_ascii_uppercase();
        let unit = match (in_time, unit) {
            (false, 'Y') => "y",
            (false, 'M') => "mon",
            (false, 'W') => "w",
            (false, 'D') => "d",
            (true, 'H') => "h",
            (true, 'M') => "m",
            (true, 'S') => "s",
            _ => return None,
        };
        sum.add(number, unit)?;
        any = true;
        rest = &rest[end + 1..];
    }
    any.then_some(())
}

/// PostgreSQL's style: `1 year 2 mons 3 days 04:05:06.7`.
impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        let mut negative_before = false;
        for (value, unit) in
            [(self.months / 12, "year"), (self.months % 12, "mon"), (self.days, "day")]
        {
            if value == 0 {
                continue;
            }
            let space = if out.is_empty() { "" } else { " " };
            let plus = if negative_before && value > 0 { "+" } else { "" };
            let plural = if value == 1 { "" } else { "s" };
            write!(out, "{space}{plus}{value} {unit}{plural}")?;
            negative_before = value < 0;
        }
        if out.is_empty() || self.micros != 0 {
            let space = if out.is_empty() { "" } else { " " };
            let sign = match self.micros {
                micros if micros < 0 => "-",
                _ if negative_before => "+",
                _ => "",
            };
            let micros = i128::from(self.micros).abs();
            let seconds = micros / i128::from(SECOND);
            let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            write!(out, "{space}{sign}{hour:02}:{minute:02}:{second:02}")?;
            push_fraction(&mut out, self.micros % SECOND);
        }
        f.write_str(&out)
    }
}

impl Ord for Interval {
    fn cmp(&self, other: &Interval) -> Ordering {
        self.span().cmp(&other.span())
    }
}

impl PartialOrd for Interval {
    fn partial_cmp(&self, other: &Interval) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Interval {
    fn eq(&self, other: &Interval) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Interval {}

impl Hash for Interval {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.span().hash(state);
    }
}
