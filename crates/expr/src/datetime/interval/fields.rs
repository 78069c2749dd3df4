//! Types of intervals that have only some fields, and fewer digits of seconds:
//! `INTERVAL YEAR TO MONTH`, `INTERVAL(2)`, `INTERVAL MINUTE TO SECOND(3)`.

use super::{Interval, out_of_range, parse::Unit};
use crate::{
    datetime::{HOUR, MINUTE, SECOND},
    error::Result,
};

/// The fields that a type of intervals has, from a greater to a smaller unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntervalFields {
    /// Place of the smallest in the list of all: 0 for years up to 5 for seconds.
    last: u8,
    /// Whether the greatest are minutes and the smallest seconds: then `1:02` is not an hour.
    minutes_first: bool,
}

impl IntervalFields {
    /// All fields.
    pub const ALL: IntervalFields = IntervalFields { last: 5, minutes_first: false };
    /// `MINUTE TO SECOND`.
    pub const MINUTE_TO_SECOND: IntervalFields = IntervalFields { last: 5, minutes_first: true };

    const NAMES: [&str; 6] = ["year", "month", "day", "hour", "minute", "second"];

    /// The fields `first TO last`, or `first` alone; names in lower case. `None` if SQL has no such
    /// interval.
    #[must_use]
    pub fn named(first: &str, last: Option<&str>) -> Option<IntervalFields> {
        let place = |name: &str| IntervalFields::NAMES.iter().position(|known| *known == name);
        let from = place(first)?;
        let to = last.map_or(Some(from), place)?;
        // Months have no fixed length in days, so no interval reaches across.
        let known = last.is_none() || (from < to && (from < 2) == (to < 2));
        let minutes_first = first == "minute" && last.is_some();
        known.then(|| IntervalFields { last: u8::try_from(to).expect("six names"), minutes_first })
    }

    /// What a number without a unit counts.
    pub(super) const fn last(self) -> Unit {
        match self.last {
            0 => Unit::Year,
            1 => Unit::Month,
            2 => Unit::Day,
            3 => Unit::Hour,
            4 => Unit::Minute,
            _ => Unit::Second,
        }
    }

    /// The interval with what is smaller than the last field cut off, and seconds rounded to so
    /// many digits (`None`: six), halves away from zero.
    ///
    /// # Errors
    /// Rounding leads out of range: `22008`.
    pub fn fit(self, value: Interval, precision: Option<u32>) -> Result<Interval> {
        let cut = |unit: i64| Interval { micros: value.micros / unit * unit, ..value };
        let months =
            |unit: i32| Interval { months: value.months / unit * unit, days: 0, micros: 0 };
        let value = match self.last {
            0 => months(12),
            1 => months(1),
            2 => Interval { micros: 0, ..value },
            3 => cut(HOUR),
            4 => cut(MINUTE),
            _ => value,
        };
        let Some(precision @ 0..=5) = precision else {
            return Ok(value);
        };
        let unit = SECOND / 10_i64.pow(precision);
        let half = if value.micros >= 0 { unit / 2 } else { -(unit / 2) };
        let micros = value.micros.checked_add(half).ok_or_else(out_of_range)?;
        Ok(Interval { micros: micros - micros % unit, ..value })
    }
}
