//! Time zones: how far local time is ahead of UTC, and when.

use std::fmt;

use chrono::{MappedLocalTime, NaiveDateTime, Offset, TimeZone as _};
use chrono_tz::OffsetName;
use serde::{Deserialize, Serialize};

use super::{Civil, DAY, SECOND, UNIX_EPOCH_OFFSET_SECONDS, abbreviations};
use crate::error::{Result, SqlError, SqlState};

/// The farthest an offset may be from UTC, in seconds; PostgreSQL's bound.
const MAX_OFFSET_SECONDS: i64 = 168 * 3600;

/// A time zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum TimeZone {
    /// Coordinated universal time.
    #[default]
    Utc,
    /// Always so many seconds ahead of UTC.
    Fixed(i32),
    /// A place of the tz database.
    Named(chrono_tz::Tz),
}

impl TimeZone {
    /// The zone with this name, as `SET timezone` takes it: `UTC`, `Europe/Berlin`, `2`, `-3.5`,
    /// `<+02>-02`, `-02:00`. A bare number counts hours ahead of UTC, as in SQL; anything else with
    /// a sign counts hours behind it, as in POSIX.
    ///
    /// # Errors
    /// There is none: `22023`.
    pub fn parse(name: &str) -> Result<TimeZone> {
        let trimmed = name.trim();
        let unknown = || {
            SqlError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("time zone \"{name}\" not recognized"),
            )
        };
        if let Some((_, posix)) = trimmed.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
            let behind = parse_offset(posix).ok_or_else(unknown)?;
            return TimeZone::fixed(-behind).ok_or_else(unknown);
        }
        if let Ok(hours) = trimmed.parse::<f64>()
            && hours.abs() * 3600.0 <= MAX_OFFSET_SECONDS as f64
        {
            return TimeZone::fixed((hours * 3600.0).round() as i64).ok_or_else(unknown);
        }
        if let Some(behind) = parse_offset(trimmed) {
            return TimeZone::fixed(-behind).ok_or_else(unknown);
        }
        TimeZone::named(trimmed).ok_or_else(unknown)
    }

    /// The zone with this name in the tz database, in letters of any case; or a name of the caller's
    /// with its hours behind UTC, as in POSIX (`XYZ+3`).
    pub(super) fn named(name: &str) -> Option<TimeZone> {
        if name.eq_ignore_ascii_case("utc") {
            return Some(TimeZone::Utc);
        }
        let exact = name.parse::<chrono_tz::Tz>().ok();
        let zones = || chrono_tz::TZ_VARIANTS.iter().copied();
        let found = exact.or_else(|| zones().find(|zone| zone.name().eq_ignore_ascii_case(name)));
        found.map(TimeZone::Named).or_else(|| TimeZone::posix(name))
    }

    /// `XYZ3`, `XYZ+3`, `XYZ-3:30`: a name of the writer's own, and how far behind UTC it is. Zones
    /// that go on with the name of their summer time are not read.
    fn posix(name: &str) -> Option<TimeZone> {
        let end = name.find(|c: char| c.is_ascii_digit() || matches!(c, ',' | '-' | '+'));
        let behind = &name[end.filter(|end| *end > 0)?..];
        let sign = if behind.starts_with('-') { -1 } else { 1 };
        let parts = behind.strip_prefix(['+', '-']).unwrap_or(behind).split(':');
        let mut total = 0;
        for (at, part) in parts.enumerate() {
            let (unit, most) = *[(3600, 167), (60, 59), (1, 60)].get(at)?;
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            let value = part.parse::<i64>().ok().filter(|value| digits && *value <= most)?;
            total += value * unit;
        }
        TimeZone::fixed(-sign * total)
    }

    /// The zone with this name, as `AT TIME ZONE` takes it: here every number counts hours behind
    /// UTC.
    ///
    /// # Errors
    /// There is none: `22023`.
    pub fn parse_posix(name: &str) -> Result<TimeZone> {
        if let Some(zone) = TimeZone::abbreviation(name) {
            return Ok(zone);
        }
        let hours = || name.trim().parse::<i64>().ok().and_then(|hours| hours.checked_mul(3600));
        let behind = parse_offset(name.trim()).or_else(hours);
        match behind.and_then(|behind| TimeZone::fixed(-behind)) {
            Some(zone) => Ok(zone),
            None => TimeZone::parse(name),
        }
    }

    /// The zone that an abbreviation stands for: `EST`, `Z`.
    fn abbreviation(name: &str) -> Option<TimeZone> {
        use abbreviations::Meaning::{Place, Standard, Summer};
        match abbreviations::find(&name.to_ascii_lowercase())? {
            Standard(seconds) | Summer(seconds) => TimeZone::fixed(seconds.into()),
            Place(place) => TimeZone::named(place),
        }
    }

    /// How the zone calls its time at a moment (microseconds since 2000 UTC): `UTC`, `CEST`, `+0530`.
    #[must_use]
    pub fn abbreviation_at(&self, utc_micros: i64) -> String {
        match self {
            TimeZone::Utc => "UTC".to_owned(),
            TimeZone::Fixed(seconds) => super::format_offset(i64::from(*seconds)),
            TimeZone::Named(zone) => {
                let offset = zone.offset_from_utc_datetime(&naive(utc_micros));
                let name = offset.abbreviation().map(str::to_owned);
                name.unwrap_or_else(|| super::format_offset(offset.fix().local_minus_utc().into()))
            }
        }
    }

    /// So many seconds ahead of UTC.
    pub(crate) fn fixed(seconds: i64) -> Option<TimeZone> {
        match seconds {
            0 => Some(TimeZone::Utc),
            seconds if seconds.abs() <= MAX_OFFSET_SECONDS => {
                i32::try_from(seconds).ok().map(TimeZone::Fixed)
            }
            _ => None,
        }
    }

    /// How many seconds local time is ahead of UTC at a moment (microseconds since 2000 UTC).
    #[must_use]
    pub fn offset_seconds(&self, utc_micros: i64) -> i64 {
        match self {
            TimeZone::Utc => 0,
            TimeZone::Fixed(seconds) => i64::from(*seconds),
            TimeZone::Named(zone) => {
                let offset = zone.offset_from_utc_datetime(&naive(utc_micros));
                i64::from(offset.fix().local_minus_utc())
            }
        }
    }

    /// The moment at which clocks of the zone show a local time. A time that they skip is read by
    /// the offset before the change; one that they show twice is the later of both.
    #[must_use]
    pub fn local_to_utc(&self, local_micros: i64) -> i64 {
        let offset = match self {
            TimeZone::Utc => 0,
            TimeZone::Fixed(seconds) => i64::from(*seconds),
            TimeZone::Named(zone) => {
                let local = naive(local_micros);
                match zone.offset_from_local_datetime(&local) {
                    MappedLocalTime::Single(offset) | MappedLocalTime::Ambiguous(_, offset) => {
                        i64::from(offset.fix().local_minus_utc())
                    }
                    MappedLocalTime::None => {
                        self.offset_seconds(local_micros.saturating_sub(24 * super::HOUR))
                    }
                }
            }
        };
        local_micros.saturating_sub(offset * SECOND)
    }
}

/// `+02`, `-03:30`, `+0530`, `+05:30:15` in seconds.
pub(super) fn parse_offset(text: &str) -> Option<i64> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let parts: Vec<&str> = digits.split(':').collect();
    if parts.iter().any(|part| part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    let number = |part: &str| part.parse::<i64>().ok();
    let (hours, minutes, seconds) = match parts.as_slice() {
        [hours] if hours.len() <= 2 => (number(hours)?, 0, 0),
        [both] if both.len() <= 4 => {
            let (hours, minutes) = both.split_at(both.len() - 2);
            (number(hours)?, number(minutes)?, 0)
        }
        [hours, minutes] => (number(hours)?, number(minutes)?, 0),
        [hours, minutes, seconds] => (number(hours)?, number(minutes)?, number(seconds)?),
        _ => return None,
    };
    let total = hours.checked_mul(3600)? + minutes.checked_mul(60)? + seconds;
    (minutes < 60 && seconds < 60 && total <= MAX_OFFSET_SECONDS).then_some(sign * total)
}

/// The last year whose changes the tz database lists one by one. Later years follow the same rules.
const LAST_LISTED_YEAR: i64 = 2037;

/// The moment as chrono has it. A moment beyond the listed years is taken to lie in a listed year
/// of the same calendar, where clocks change on the same days.
fn naive(micros: i64) -> NaiveDateTime {
    let days = micros.div_euclid(DAY);
    let year = Civil::from_days(days).year;
    let mut seconds = micros.div_euclid(SECOND).saturating_add(UNIX_EPOCH_OFFSET_SECONDS);
    if year > LAST_LISTED_YEAR {
        let first = |year: i64| Civil { year, month: 1, day: 1 }.to_days();
        let shape = |year: i64| (first(year).rem_euclid(7), first(year + 1) - first(year));
        let twin =
            (LAST_LISTED_YEAR - 27..=LAST_LISTED_YEAR).find(|twin| shape(*twin) == shape(year));
        let twin = twin.expect("28 years in a row have all 14 calendars");
        seconds -= (first(year) - first(twin)) * (DAY / SECOND);
    }
    let moment = chrono::DateTime::from_timestamp(seconds, 0);
    moment.expect("years from 4714 BC to 2037 are within chrono's range").naive_utc()
}

impl fmt::Display for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TimeZone::Utc => f.write_str("UTC"),
            TimeZone::Fixed(seconds) => {
                let ahead = super::format_offset(i64::from(*seconds));
                write!(f, "<{ahead}>{}", super::format_offset(-i64::from(*seconds)))
            }
            TimeZone::Named(zone) => f.write_str(zone.name()),
        }
    }
}

impl From<TimeZone> for String {
    fn from(zone: TimeZone) -> String {
        zone.to_string()
    }
}

impl TryFrom<String> for TimeZone {
    type Error = String;

    fn try_from(name: String) -> std::result::Result<TimeZone, String> {
        TimeZone::parse(&name).map_err(|error| error.message)
    }
}
