//! Modifiers of types: what `numeric(10,2)` and `interval(3)` keep of a value.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Type;
use crate::datetime::IntervalFields;

/// Precision and scale of `numeric(p,s)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NumericModifier {
    /// Digits in all, `1..=1000`.
    pub precision: u16,
    /// Digits behind the point, `-1000..=1000`; below zero: rounded in front of the point.
    pub scale: i16,
}

/// What of an interval a type keeps: `interval(2)`, `interval year to month`,
/// `interval day to second(3)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IntervalModifier {
    /// The fields.
    pub fields: IntervalFields,
    /// Digits of seconds behind the point, `0..=6`; `None`: six, and nothing was said.
    pub precision: Option<u8>,
}

impl IntervalModifier {
    /// No digits are said in PostgreSQL's number of a modifier.
    const ANY_PRECISION: i32 = 0xffff;

    /// The fields, with as many digits of seconds as a type may have: PostgreSQL takes more than
    /// six for six, with a warning. `None`: the fields have no seconds, and so no digits.
    #[must_use]
    pub fn new(fields: IntervalFields, precision: Option<u64>) -> Option<IntervalModifier> {
        let digits = |digits: u64| u8::try_from(digits.min(6)).expect("at most six");
        let fits = precision.is_none() || fields.has_seconds();
        fits.then(|| IntervalModifier { fields, precision: precision.map(digits) })
    }

    /// The type of intervals with the modifier; the plain one, if it says nothing.
    #[must_use]
    pub fn ty(self) -> Type {
        let plain = self.fields == IntervalFields::ALL && self.precision.is_none();
        if plain { Type::Interval } else { Type::IntervalOf(self) }
    }

    /// PostgreSQL's number of the modifier.
    pub(super) fn typmod(self) -> i32 {
        let precision = self.precision.map_or(IntervalModifier::ANY_PRECISION, i32::from);
        i32::from(self.fields.mask()) << 16 | precision
    }

    /// The modifier with PostgreSQL's number; `None` if there is none such.
    pub(super) fn from_typmod(typmod: i32) -> Option<IntervalModifier> {
        let fields = IntervalFields::from_mask(u16::try_from(typmod >> 16).ok()?)?;
        let precision = match typmod & IntervalModifier::ANY_PRECISION {
            IntervalModifier::ANY_PRECISION => None,
            digits => u64::try_from(digits).ok(),
        };
        IntervalModifier::new(fields, precision)
    }
}

impl fmt::Display for IntervalModifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interval")?;
        if self.fields != IntervalFields::ALL {
            write!(f, " {}", self.fields)?;
        }
        match self.precision {
            Some(digits) => write!(f, "({digits})"),
            None => Ok(()),
        }
    }
}
