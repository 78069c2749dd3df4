//! Intervals: months, days and microseconds, which don't convert into each other exactly.

use std::{
    cmp::Ordering,
    fmt::{self, Write},
    hash::{Hash, Hasher},
};

use serde::{Deserialize, Serialize};

use super::{DAY, SECOND, push_fraction};
use crate::error::{Result, SqlError};

mod fields;
mod iso;
mod parse;

pub use fields::IntervalFields;

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
        self.scaled(|part| part * factor)
    }

    /// The interval divided, likewise; the divisor is not zero.
    ///
    /// # Errors
    /// As [`Interval::checked_add`].
    pub fn checked_div(self, divisor: f64) -> Result<Interval> {
        self.scaled(|part| part / divisor)
    }

    fn scaled(self, scale: impl Fn(f64) -> f64) -> Result<Interval> {
        let months = scale(f64::from(self.months));
        let days = scale(f64::from(self.days));
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
        let micros = (scale(self.micros as f64) + seconds * 1e6).round_ties_even();
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
