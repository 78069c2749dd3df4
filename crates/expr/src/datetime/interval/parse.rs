//! Intervals from text: `1 day 2:03`, `1h30m`, `-1.5 hours`, `1 day - 1 hour`, `1-2`, `2 days ago`.
//!
//! The pieces of the text ([`super::super::scan`]) are read from right to left, so that a unit is
//! known before its number. A number without a unit counts seconds at the end of the text (or what
//! the type asks for, as `INTERVAL '5' DAY`), days before a time, and otherwise what the number
//! behind it counts: so `3 1 day` gives days twice, which is an error.

use super::{DAYS_PER_MONTH, Interval, IntervalFields, iso, out_of_range};
use crate::{
    datetime::{
        DAY, HOUR, MINUTE, SECOND,
        parse::{BadClock, Clock},
        scan::{Shape, TooLarge, fraction, leading_int, leading_int32, pieces},
    },
    error::{Result, SqlError, SqlState},
};

/// The most bytes that the pieces of a text take.
const ROOM: usize = 256;
/// Units are told apart by so many letters.
const UNIT_LETTERS: usize = 10;

impl Interval {
    /// Reads PostgreSQL's syntax: see the head of this module; and ISO 8601's (`P1Y2M3DT4H`,
    /// `P0001-02-03T04:05:06`).
    ///
    /// # Errors
    /// `22007`; a part out of range: `22015`; the whole: `22008`.
    pub fn parse(text: &str) -> Result<Interval> {
        Interval::parse_as(text, IntervalFields::ALL)
    }

    /// The same, for a type that has only some fields: a number without a unit counts the last of
    /// them. What the fields leave out is not cut off here, see [`IntervalFields::fit`].
    ///
    /// # Errors
    /// As [`Interval::parse`].
    pub fn parse_as(text: &str, fields: IntervalFields) -> Result<Interval> {
        let read = match read_words(text, fields) {
            Err(Problem::Syntax) => iso::read(text),
            read => read,
        };
        let parts = read.map_err(|problem| match problem {
            Problem::Syntax => SqlError::new(
                SqlState::INVALID_DATETIME_FORMAT,
                format!("invalid input syntax for type interval: \"{text}\""),
            ),
            Problem::Range => SqlError::new(
                SqlState::INTERVAL_FIELD_OVERFLOW,
                format!("interval field value out of range: \"{text}\""),
            ),
        })?;
        parts.interval().ok_or_else(out_of_range)
    }
}

/// Why a text is refused.
#[derive(Debug)]
pub(super) enum Problem {
    Syntax,
    Range,
}

impl From<TooLarge> for Problem {
    fn from(_: TooLarge) -> Problem {
        Problem::Range
    }
}

impl From<BadClock> for Problem {
    fn from(bad: BadClock) -> Problem {
        match bad {
            BadClock::Syntax => Problem::Syntax,
            BadClock::Range => Problem::Range,
        }
    }
}

/// What numbers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
    Decade,
    Century,
    Millennium,
    /// A unit that intervals are not written in: quarters, parts of zones.
    Other,
}

impl Unit {
    fn parse(name: &str) -> Option<Unit> {
        Some(match &name[..name.len().min(UNIT_LETTERS)] {
            "us" | "usec" | "usecs" | "useconds" | "microsecon" => Unit::Microsecond,
            "ms" | "msec" | "msecs" | "mseconds" | "millisecon" => Unit::Millisecond,
            "s" | "sec" | "secs" | "second" | "seconds" => Unit::Second,
            "m" | "min" | "mins" | "minute" | "minutes" => Unit::Minute,
            "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Hour,
            "d" | "day" | "days" => Unit::Day,
            "w" | "week" | "weeks" => Unit::Week,
            "mon" | "mons" | "month" | "months" => Unit::Month,
            "y" | "yr" | "yrs" | "year" | "years" => Unit::Year,
            "dec" | "decs" | "decade" | "decades" => Unit::Decade,
            "c" | "cent" | "century" | "centuries" => Unit::Century,
            "mil" | "mils" | "millennia" | "millennium" => Unit::Millennium,
            "qtr" | "quarter" | "timezone" | "timezone_h" | "timezone_m" => Unit::Other,
            _ => return None,
        })
    }
}

/// An interval being put together.
#[derive(Debug, Default)]
pub(super) struct Parts {
    years: i32,
    months: i32,
    days: i32,
    micros: i64,
}

/// `None`: out of range.
type Added = Option<()>;

impl Parts {
    fn interval(&self) -> Option<Interval> {
        let months = self.years.checked_mul(12)?.checked_add(self.months)?;
        Some(Interval { months, days: self.days, micros: self.micros })
    }

    /// Adds so many of a unit, a whole number and a fraction of the same sign.
    pub(super) fn add(&mut self, unit: Unit, whole: i64, part: f64) -> Added {
        match unit {
            Unit::Microsecond => self.add_time(whole, part, 1),
            Unit::Millisecond => self.add_time(whole, part, 1_000),
            Unit::Second => self.add_time(whole, part, SECOND),
            Unit::Minute => self.add_time(whole, part, MINUTE),
            Unit::Hour => self.add_time(whole, part, HOUR),
            Unit::Day => self.add_days(whole, part, 1),
            Unit::Week => self.add_days(whole, part, 7),
            Unit::Month => {
                let months = i32::try_from(whole).ok()?;
                self.months = self.months.checked_add(months)?;
                self.add_part_of_days(part * DAYS_PER_MONTH as f64)
            }
            Unit::Year => self.add_years(whole, part, 1),
            Unit::Decade => self.add_years(whole, part, 10),
            Unit::Century => self.add_years(whole, part, 100),
            Unit::Millennium => self.add_years(whole, part, 1_000),
            Unit::Other => None,
        }
    }

    fn add_time(&mut self, whole: i64, part: f64, unit: i64) -> Added {
        self.micros = self.micros.checked_add(whole.checked_mul(unit)?)?;
        self.add_micros(part * unit as f64)
    }

    /// Adds microseconds, rounded; halves towards zero.
    fn add_micros(&mut self, micros: f64) -> Added {
        let whole = micros.trunc();
        let rest = micros - whole;
        let step = if rest > 0.5 { 1 } else { -i64::from(rest < -0.5) };
        self.micros = self.micros.checked_add(whole as i64 + step)?;
        Some(())
    }

    fn add_days(&mut self, whole: i64, part: f64, unit: i32) -> Added {
        let days = i32::try_from(whole).ok()?.checked_mul(unit)?;
        self.days = self.days.checked_add(days)?;
        if unit == 1 {
            return self.add_micros(part * DAY as f64);
        }
        self.add_part_of_days(part * f64::from(unit))
    }

    fn add_part_of_days(&mut self, days: f64) -> Added {
        let whole = days.trunc();
        self.days = self.days.checked_add(whole as i32)?;
        self.add_micros((days - whole) * DAY as f64)
    }

    /// Adds years; what is left of them is rounded to months.
    fn add_years(&mut self, whole: i64, part: f64, unit: i32) -> Added {
        let years = i32::try_from(whole).ok()?.checked_mul(unit)?;
        self.years = self.years.checked_add(years)?;
        let months = (part * f64::from(unit) * 12.0).round_ties_even() as i32;
        self.months = self.months.checked_add(months)?;
        Some(())
    }

    fn negate(&mut self) -> Added {
        self.years = self.years.checked_neg()?;
        self.months = self.months.checked_neg()?;
        self.days = self.days.checked_neg()?;
        self.micros = self.micros.checked_neg()?;
        Some(())
    }
}

/// The units that a text gives, a bit each.
const fn bit(unit: Unit) -> u32 {
    1 << unit as u32
}

/// Seconds and their fractions: what `1.5 seconds` gives.
const SECONDS: u32 = bit(Unit::Second) | bit(Unit::Millisecond) | bit(Unit::Microsecond);
/// What `2:03:04` gives.
const CLOCK: u32 = SECONDS | bit(Unit::Minute) | bit(Unit::Hour);

struct Words {
    parts: Parts,
    /// What the next number counts, read from the right.
    unit: Option<Unit>,
    /// A word that no number may stand before, such as `ago`, was read.
    blocked: bool,
    given: u32,
}

fn read_words(text: &str, fields: IntervalFields) -> Result<Parts, Problem> {
    let pieces = pieces(text, ROOM).ok_or(Problem::Syntax)?;
    let mut words = Words { parts: Parts::default(), unit: None, blocked: false, given: 0 };
    let mut before = false;
    for piece in pieces.iter().rev() {
        let text = piece.text.as_str();
        let given = match piece.shape {
            Shape::Time => words.clock(text, 1, fields)?,
            Shape::Offset if text.contains(':') => {
                let sign = if text.starts_with('-') { -1 } else { 1 };
                match words.clock(&text[1..], sign, fields) {
                    Ok(given) => given,
                    Err(_) => words.number(text, fields)?,
                }
            }
            Shape::Offset | Shape::Date | Shape::Number => words.number(text, fields)?,
            Shape::Word | Shape::Signed if text == "ago" => {
                before = true;
                (words.unit, words.blocked) = (None, true);
                0
            }
            Shape::Word | Shape::Signed => {
                let unit = Unit::parse(text).ok_or(Problem::Syntax)?;
                (words.unit, words.blocked) = (Some(unit), false);
                0
            }
        };
        if words.given & given != 0 {
            return Err(Problem::Syntax);
        }
        words.given |= given;
    }
    if words.given == 0 {
        return Err(Problem::Syntax);
    }
    if before {
        words.parts.negate().ok_or(Problem::Range)?;
    }
    Ok(words.parts)
}

impl Words {
    /// A time; it takes the place of any time read before, which is an error anyhow.
    fn clock(&mut self, text: &str, sign: i64, fields: IntervalFields) -> Result<u32, Problem> {
        let mut clock = Clock::parse(text)?;
        if fields == IntervalFields::MINUTE_TO_SECOND && text.matches(':').count() == 1 {
            // Two numbers are minutes and seconds here.
            if !text.contains('.') {
                (clock.second, clock.minute, clock.hour) = (clock.minute, clock.hour, 0);
                if i32::try_from(clock.minute).is_err() || clock.minute >= 60 {
                    return Err(Problem::Range);
                }
            }
        }
        let micros = clock
            .hour
            .checked_mul(HOUR)
            .and_then(|hours| hours.checked_add(clock.behind_the_hour()))
            .ok_or(Problem::Range)?;
        self.parts.micros = micros * sign;
        (self.unit, self.blocked) = (Some(Unit::Day), false);
        Ok(CLOCK)
    }

    /// A number, with or without a fraction, or `years-months`.
    fn number(&mut self, text: &str, fields: IntervalFields) -> Result<u32, Problem> {
        let mut unit = self.unit.unwrap_or_else(|| fields.last());
        let (mut whole, rest) = leading_int(text)?;
        let sign = if text.starts_with('-') { -1 } else { 1 };
        let mut part = 0.0;
        if let Some(behind) = rest.strip_prefix('-') {
            let (months, rest) = leading_int32(behind)?;
            if !(0..12).contains(&months) {
                return Err(Problem::Range);
            }
            if !rest.is_empty() {
                return Err(Problem::Syntax);
            }
            (unit, self.blocked) = (Unit::Month, false);
            let years = whole.checked_mul(12).ok_or(Problem::Range)?;
            whole = years.checked_add(months * sign).ok_or(Problem::Range)?;
        } else if rest.starts_with('.') {
            part = fraction(rest).ok_or(Problem::Syntax)? * sign as f64;
        } else if !rest.is_empty() {
            return Err(Problem::Syntax);
        }
        if self.blocked || unit == Unit::Other {
            return Err(Problem::Syntax);
        }
        self.parts.add(unit, whole, part).ok_or(Problem::Range)?;
        // Hours are written before a time, days before hours.
        self.unit = Some(if unit == Unit::Hour { Unit::Day } else { unit });
        Ok(if unit == Unit::Second && part != 0.0 { SECONDS } else { bit(unit) })
    }
}
