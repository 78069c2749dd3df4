//! Times of day, and how far zones are from UTC.

use super::Problem;
use crate::datetime::{
    MINUTE, SECOND,
    scan::{TooLarge, fraction_micros, leading_int, leading_int32},
};

/// The farthest a zone may be from UTC in a text, in hours, the last not included.
const END_ZONE_HOURS: i64 = 16;

/// A time of day or of an interval, by its parts.
pub(in crate::datetime) struct Clock {
    /// Not bounded.
    pub(in crate::datetime) hour: i64,
    /// `0..60`.
    pub(in crate::datetime) minute: i64,
    /// `0..=60`.
    pub(in crate::datetime) second: i64,
    /// `0..=1_000_000`.
    pub(in crate::datetime) micros: i64,
}

/// Why a time is refused.
pub(in crate::datetime) enum BadClock {
    Syntax,
    Range,
}

impl From<TooLarge> for BadClock {
    fn from(_: TooLarge) -> BadClock {
        BadClock::Range
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

impl Clock {
    /// Reads `hh:mm`, `hh:mm:ss`, `hh:mm:ss.f` and `mm:ss.f`.
    pub(in crate::datetime) fn parse(text: &str) -> Result<Clock, BadClock> {
        let (hour, rest) = leading_int(text)?;
        let rest = rest.strip_prefix(':').ok_or(BadClock::Syntax)?;
        let (minute, rest) = leading_int32(rest)?;
        let micros = |rest: &str| fraction_micros(rest).ok_or(BadClock::Syntax);
        let clock = if rest.is_empty() {
            Clock { hour, minute, second: 0, micros: 0 }
        } else if rest.starts_with('.') {
            let micros = micros(rest)?;
            let hour = i64::from(i32::try_from(hour).map_err(|_| BadClock::Range)?);
            Clock { hour: 0, minute: hour, second: minute, micros }
        } else {
            let rest = rest.strip_prefix(':').ok_or(BadClock::Syntax)?;
            let (second, rest) = leading_int32(rest)?;
            let micros = if rest.is_empty() { 0 } else { micros(rest)? };
            Clock { hour, minute, second, micros }
        };
        let inside = clock.hour >= 0
            && (0..60).contains(&clock.minute)
            && (0..=60).contains(&clock.second)
            && (0..=SECOND).contains(&clock.micros);
        if inside { Ok(clock) } else { Err(BadClock::Range) }
    }

    /// Microseconds since the hour began.
    pub(in crate::datetime) const fn behind_the_hour(&self) -> i64 {
        self.minute * MINUTE + self.second * SECOND + self.micros
    }
}

/// `+02`, `-03:30`, `+0530`, `+05:30:15` in seconds ahead of UTC.
pub(super) fn offset(text: &str) -> Result<i64, Problem> {
    let sign = match text.as_bytes().first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return Err(Problem::Syntax),
    };
    let far = |_| Problem::Offset;
    let (mut hours, mut rest) = leading_int32(&text[1..]).map_err(far)?;
    let (mut minutes, mut seconds) = (0, 0);
    if let Some(behind) = rest.strip_prefix(':') {
        (minutes, rest) = leading_int32(behind).map_err(far)?;
        if let Some(behind) = rest.strip_prefix(':') {
            (seconds, rest) = leading_int32(behind).map_err(far)?;
        }
    } else if rest.is_empty() && text.len() > 3 {
        (hours, minutes) = (hours / 100, hours % 100);
    }
    let inside = (0..END_ZONE_HOURS).contains(&hours)
        && (0..60).contains(&minutes)
        && (0..60).contains(&seconds);
    if !inside {
        return Err(Problem::Offset);
    }
    if !rest.is_empty() {
        return Err(Problem::Syntax);
    }
    Ok(sign * (hours * 3600 + minutes * 60 + seconds))
}
