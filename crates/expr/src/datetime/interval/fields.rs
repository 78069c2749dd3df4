//! Types of intervals that have only some fields, and fewer digits of seconds:
//! `INTERVAL YEAR TO MONTH`, `INTERVAL(2)`, `INTERVAL MINUTE TO SECOND(3)`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Interval, out_of_range, parse::Unit};
use crate::{
    datetime::{HOUR, MINUTE, SECOND},
    error::Result,
};

/// The fields that a type of intervals has, from a greater to a smaller unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IntervalFields {
    /// Place of the greatest in the list of all: 0 for years.
    first: u8,
    /// Place of the smallest, up to 5 for seconds. Years to seconds are all fields, which SQL does
    /// not write down.
    last: u8,
}

impl IntervalFields {
    /// All fields.
    pub const ALL: IntervalFields = IntervalFields { first: 0, last: 5 };
    /// `MINUTE TO SECOND`.
    pub const MINUTE_TO_SECOND: IntervalFields = IntervalFields { first: 4, last: 5 };

    const NAMES: [&str; 6] = ["year", "month", "day", "hour", "minute", "second"];
    /// The bit that PostgreSQL has for each, in a type's modifier.
    const BITS: [u16; 6] = [2, 1, 3, 10, 11, 12];
    /// The bits of all fields.
    const ALL_BITS: u16 = 0x7fff;

    /// The fields `first TO last`, or `first` alone; names in lower case. `None` if SQL has no such
    /// interval.
    #[must_use]
    pub fn named(first: &str, last: Option<&str>) -> Option<IntervalFields> {
        let place = |name: &str| IntervalFields::NAMES.iter().position(|known| *known == name);
        let from = place(first)?;
        let to = last.map_or(Some(from), place)?;
        // Months have no fixed length in days, so no interval reaches across.
        let known = last.is_none() || (from < to && (from < 2) == (to < 2));
        let place = |at: usize| u8::try_from(at).expect("six names");
        known.then(|| IntervalFields { first: place(from), last: place(to) })
    }

    /// The fields that a text names: `day to second`, `year`.
    #[must_use]
    pub fn read(text: &str) -> Option<IntervalFields> {
        match text.split_once(" to ") {
            Some((first, last)) => IntervalFields::named(first, Some(last)),
            None => IntervalFields::named(text, None),
        }
    }

    /// Whether there are seconds among them.
    #[must_use]
    pub const fn has_seconds(self) -> bool {
        self.last == 5
    }

    /// PostgreSQL's bits for the fields.
    pub(crate) fn mask(self) -> u16 {
        if self == IntervalFields::ALL {
            return IntervalFields::ALL_BITS;
        }
        let bits = &IntervalFields::BITS[usize::from(self.first)..=usize::from(self.last)];
        bits.iter().fold(0, |mask, bit| mask | 1 << bit)
    }

    /// The fields with these bits; `None` if SQL has no such interval.
    pub(crate) fn from_mask(mask: u16) -> Option<IntervalFields> {
        let names = IntervalFields::NAMES;
        let alone = names.iter().map(|name| IntervalFields::named(name, None));
        let pairs = names
            .iter()
            .flat_map(|first| names.iter().map(|last| IntervalFields::named(first, Some(*last))));
        let all = std::iter::once(Some(IntervalFields::ALL));
        alone.chain(pairs).chain(all).flatten().find(|fields| fields.mask() == mask)
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

impl fmt::Display for IntervalFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |place: u8| IntervalFields::NAMES[usize::from(place)];
        f.write_str(name(self.first))?;
        if self.first == self.last { Ok(()) } else { write!(f, " to {}", name(self.last)) }
    }
}
