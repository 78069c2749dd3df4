//! Dates and timestamps from text, in the forms people and drivers write.
//!
//! ISO 8601 and its relatives (`2026-03-01 12:30:00.5+01`, `2026-03-01T11:30Z`, `20260301`), dates
//! with slashes (month first, unless the year is), names of months (`1 Mar 2026`, `March 1, 2026`),
//! `AM` and `PM`, `BC`, time zones as offsets, names or abbreviations, and the words `now`,
//! `today`, `tomorrow`, `yesterday`, `epoch`, `infinity`.

use super::{
    Civil, DATE_INFINITY, DATE_NEGATIVE_INFINITY, DAY, HOUR, INFINITY, MINUTE, NEGATIVE_INFINITY,
    SECOND, TimeZone, UNIX_EPOCH_OFFSET_SECONDS, check_date, check_timestamp, zone::parse_offset,
};
use crate::error::{Result, SqlError, SqlState};

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// What a text says, field by field.
#[derive(Default)]
struct Fields {
    date: Option<Civil>,
    /// Microseconds since midnight; may be 24:00.
    time: Option<i64>,
    zone: Option<TimeZone>,
    before_christ: bool,
    /// A number not yet understood, waiting for a month's name: a day, then maybe a year.
    numbers: Vec<i64>,
    month: Option<i64>,
    special: Option<Special>,
}

#[derive(Clone, Copy, PartialEq)]
enum Special {
    Infinity,
    NegativeInfinity,
    Epoch,
    Now,
    /// Days from today.
    Today(i64),
}

/// Why a text is refused.
enum Problem {
    Syntax,
    Range,
    /// There is no such time zone.
    Zone(String),
}

fn error(problem: &Problem, ty: &str, text: &str) -> SqlError {
    match problem {
        Problem::Syntax => SqlError::new(
            SqlState::INVALID_DATETIME_FORMAT,
            format!("invalid input syntax for type {ty}: \"{text}\""),
        ),
        Problem::Zone(name) => SqlError::invalid_parameter(format!(
            "time zone \"{}\" not recognized",
            name.to_lowercase()
        )),
        Problem::Range => SqlError::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            format!("date/time field value out of range: \"{text}\""),
        ),
    }
}

/// Reads a date; a time in the text is ignored. `now` is the moment words refer to.
///
/// # Errors
/// `22007`, `22008`.
pub fn parse_date(text: &str, now: i64, zone: &TimeZone) -> Result<i32> {
    let fields = fields(text).map_err(|problem| error(&problem, "date", text))?;
    let local_now = now.saturating_add(zone.offset_seconds(now) * SECOND);
    let days = match fields.special {
        Some(Special::Infinity) => return Ok(DATE_INFINITY),
        Some(Special::NegativeInfinity) => return Ok(DATE_NEGATIVE_INFINITY),
        Some(Special::Epoch) => -UNIX_EPOCH_OFFSET_SECONDS * SECOND / DAY,
        Some(Special::Now) => local_now.div_euclid(DAY),
        Some(Special::Today(offset)) => local_now.div_euclid(DAY) + offset,
        None => match fields.date {
            Some(date) => date.to_days(),
            None => return Err(error(&Problem::Syntax, "date", text)),
        },
    };
    check_date(days).map_err(|_| {
        SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("date out of range: \"{text}\""))
    })
}

/// Reads a timestamp without time zone; a zone in the text is ignored.
///
/// # Errors
/// `22007`, `22008`.
pub fn parse_timestamp(text: &str, now: i64, zone: &TimeZone) -> Result<i64> {
    let fields = fields(text).map_err(|problem| error(&problem, "timestamp", text))?;
    let local_now = now.saturating_add(zone.offset_seconds(now) * SECOND);
    local(&fields, local_now, "timestamp", text)
}

/// Reads a timestamp with time zone; without one in the text it is the session's.
///
/// # Errors
/// `22007`, `22008`.
pub fn parse_timestamp_tz(text: &str, now: i64, zone: &TimeZone) -> Result<i64> {
    let ty = "timestamp with time zone";
    let fields = fields(text).map_err(|problem| error(&problem, ty, text))?;
    match fields.special {
        Some(Special::Now) => return Ok(now),
        Some(Special::Epoch) => return Ok(-UNIX_EPOCH_OFFSET_SECONDS * SECOND),
        _ => {}
    }
    let local_now = now.saturating_add(zone.offset_seconds(now) * SECOND);
    let local = local(&fields, local_now, ty, text)?;
    if super::is_infinite(local) {
        return Ok(local);
    }
    check_timestamp(Some(fields.zone.as_ref().unwrap_or(zone).local_to_utc(local)))
}

fn local(fields: &Fields, local_now: i64, ty: &str, text: &str) -> Result<i64> {
    let time = fields.time.unwrap_or(0);
    let days = match (fields.special, fields.date) {
        (Some(Special::Infinity), _) => return Ok(INFINITY),
        (Some(Special::NegativeInfinity), _) => return Ok(NEGATIVE_INFINITY),
        (Some(Special::Epoch), _) => return Ok(-UNIX_EPOCH_OFFSET_SECONDS * SECOND),
        (Some(Special::Now), _) => return Ok(local_now),
        (Some(Special::Today(offset)), _) => local_now.div_euclid(DAY) + offset,
        (None, Some(date)) => date.to_days(),
        (None, None) => return Err(error(&Problem::Syntax, ty, text)),
    };
    let micros = days.checked_mul(DAY).and_then(|midnight| midnight.checked_add(time));
    check_timestamp(micros).map_err(|_| {
        SqlError::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            format!("timestamp out of range: \"{text}\""),
        )
    })
}

fn fields(text: &str) -> Result<Fields, Problem> {
    let mut fields = Fields::default();
    for word in words(text) {
        read_word(word, &mut fields)?;
    }
    finish_named_month(&mut fields)?;
    if fields.before_christ {
        let date = fields.date.as_mut().ok_or(Problem::Syntax)?;
        if date.year <= 0 {
            return Err(Problem::Range);
        }
        date.year = 1 - date.year;
    }
    if let Some(date) = fields.date
        && !date.is_valid()
    {
        return Err(Problem::Range);
    }
    Ok(fields)
}

/// Blanks part words; so do a `T` between digits, and the sign or letter of a zone behind a time.
fn words(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    for word in text.split([' ', '\t', '\n', ',']).filter(|word| !word.is_empty()) {
        let (date, rest) = match word.find(['T', 't']) {
            Some(at)
                if at > 0
                    && word.as_bytes()[at - 1].is_ascii_digit()
                    && word.as_bytes().get(at + 1).is_some_and(u8::is_ascii_digit) =>
            {
                (Some(&word[..at]), &word[at + 1..])
            }
            _ => (None, word),
        };
        out.extend(date);
        // A zone right behind a date.
        if let Some(at) = rest.find('+').filter(|at| *at > 0 && !rest.contains(':')) {
            out.extend([&rest[..at], &rest[at..]]);
            continue;
        }
        let zone = rest.find(':').and_then(|colon| {
            let behind = &rest[colon..];
            behind
                .find(|c: char| c == '+' || c == '-' || c.is_ascii_alphabetic())
                .map(|at| colon + at)
        });
        match zone {
            Some(at) if rest.starts_with(|c: char| c.is_ascii_digit()) => {
                out.extend([&rest[..at], &rest[at..]]);
            }
            _ => out.push(rest),
        }
    }
    out
}

fn read_word(word: &str, fields: &mut Fields) -> Result<(), Problem> {
    let lower = word.to_ascii_lowercase();
    let first = lower.as_bytes()[0];
    if first.is_ascii_alphabetic() {
        return read_name(word, &lower, fields);
    }
    if lower == "-infinity" {
        return set(&mut fields.special, Special::NegativeInfinity);
    }
    if lower == "+infinity" {
        return set(&mut fields.special, Special::Infinity);
    }
    if first == b'+' || first == b'-' {
        let seconds = parse_offset(word).ok_or(Problem::Syntax)?;
        return set(&mut fields.zone, TimeZone::fixed(seconds).ok_or(Problem::Range)?);
    }
    if word.contains(':') {
        return set(&mut fields.time, time(word)?);
    }
    if let Some(separator) = ['-', '/', '.'].into_iter().find(|c| word.contains(*c)) {
        return set(&mut fields.date, date(word, separator)?);
    }
    if !word.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::Syntax);
    }
    let number = || word.parse::<i64>().map_err(|_| Problem::Range);
    match word.len() {
        8 if fields.month.is_none() => {
            let number = number()?;
            let date =
                Civil { year: number / 10_000, month: number / 100 % 100, day: number % 100 };
            set(&mut fields.date, date)
        }
        6 if fields.date.is_some() && fields.time.is_none() => {
            let number = number()?;
            set(&mut fields.time, clock(number / 10_000, number / 100 % 100, number % 100, 0)?)
        }
        _ if fields.numbers.len() < 2 => {
            fields.numbers.push(number()?);
            Ok(())
        }
        _ => Err(Problem::Syntax),
    }
}

fn set<T>(field: &mut Option<T>, value: T) -> Result<(), Problem> {
    if field.replace(value).is_some() { Err(Problem::Syntax) } else { Ok(()) }
}

fn read_name(word: &str, lower: &str, fields: &mut Fields) -> Result<(), Problem> {
    match lower {
        "infinity" => return set(&mut fields.special, Special::Infinity),
        "epoch" => return set(&mut fields.special, Special::Epoch),
        "now" => return set(&mut fields.special, Special::Now),
        "today" => return set(&mut fields.special, Special::Today(0)),
        "tomorrow" => return set(&mut fields.special, Special::Today(1)),
        "yesterday" => return set(&mut fields.special, Special::Today(-1)),
        "bc" => {
            fields.before_christ = true;
            return Ok(());
        }
        "ad" | "at" | "on" => return Ok(()),
        "am" | "pm" => {
            let time = fields.time.as_mut().ok_or(Problem::Syntax)?;
            let hour = *time / HOUR;
            if !(1..=12).contains(&hour) {
                return Err(Problem::Range);
            }
            *time += match (lower, hour) {
                ("am", 12) => -12 * HOUR,
                ("pm", 1..=11) => 12 * HOUR,
                _ => 0,
            };
            return Ok(());
        }
        _ => {}
    }
    if let Some(month) = named(&MONTHS, lower) {
        return set(&mut fields.month, month + 1);
    }
    if named(&WEEKDAYS, lower).is_some() {
        return Ok(());
    }
    let zone = TimeZone::parse(word).map_err(|_| {
        if word.contains('/') { Problem::Zone(word.to_owned()) } else { Problem::Syntax }
    })?;
    set(&mut fields.zone, zone)
}

/// The place of a name, whole or by its first three letters.
fn named(names: &[&str], word: &str) -> Option<i64> {
    let found = names.iter().position(|name| {
        *name == word || (word.len() >= 3 && word.len() <= 4 && name.starts_with(word))
    })?;
    i64::try_from(found).ok()
}

/// Day and year from the numbers around a month's name.
fn finish_named_month(fields: &mut Fields) -> Result<(), Problem> {
    match (fields.month, fields.numbers.as_slice()) {
        (None, []) => Ok(()),
        (Some(month), &[first, second]) => {
            let (day, year) = if first > 31 { (second, first) } else { (first, second) };
            set(&mut fields.date, Civil { year: full_year(year), month, day })
        }
        _ => Err(Problem::Syntax),
    }
}

/// Two digits mean the years 1970 to 2069.
fn full_year(year: i64) -> i64 {
    match year {
        0..=69 => 2000 + year,
        70..=99 => 1900 + year,
        year => year,
    }
}

fn date(word: &str, separator: char) -> Result<Civil, Problem> {
    let parts: Vec<&str> = word.split(separator).collect();
    let [first, second, third] = parts.as_slice() else {
        return Err(Problem::Syntax);
    };
    let number = |part: &str| {
        if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Problem::Syntax);
        }
        part.parse::<i64>().map_err(|_| Problem::Range)
    };
    let year = |part: &str| {
        let year = number(part)?;
        Ok(if part.len() <= 2 { full_year(year) } else { year })
    };
    let month_name = |part: &str| named(&MONTHS, &part.to_ascii_lowercase()).map(|month| month + 1);
    if let Some(month) = month_name(second) {
        return if first.len() > 2 {
            Ok(Civil { year: number(first)?, month, day: number(third)? })
        } else {
            Ok(Civil { year: year(third)?, month, day: number(first)? })
        };
    }
    if first.len() > 2 {
        if month_name(first).is_some() {
            let month = month_name(first).expect("just seen");
            return Ok(Civil { year: year(third)?, month, day: number(second)? });
        }
        return Ok(Civil { year: number(first)?, month: number(second)?, day: number(third)? });
    }
    Ok(Civil { year: year(third)?, month: number(first)?, day: number(second)? })
}

fn time(word: &str) -> Result<i64, Problem> {
    let parts: Vec<&str> = word.split(':').collect();
    let number = |part: &str| {
        if part.is_empty() || part.len() > 2 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Problem::Syntax);
        }
        part.parse::<i64>().map_err(|_| Problem::Syntax)
    };
    match parts.as_slice() {
        [hour, minute] => clock(number(hour)?, number(minute)?, 0, 0),
        [hour, minute, second] => {
            let (second, fraction) = second.split_once('.').unwrap_or((second, ""));
            if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(Problem::Syntax);
            }
            let kept = &fraction[..fraction.len().min(7)];
            let micros = format!("{kept:0<7}").parse::<i64>().map_err(|_| Problem::Syntax)?;
            clock(number(hour)?, number(minute)?, number(second)?, (micros + 5) / 10)
        }
        _ => Err(Problem::Syntax),
    }
}

fn clock(hour: i64, minute: i64, second: i64, micros: i64) -> Result<i64, Problem> {
    let total = hour * HOUR + minute * MINUTE + second * SECOND + micros;
    let valid = hour <= 24 && minute < 60 && second <= 60 && total <= DAY;
    if valid { Ok(total) } else { Err(Problem::Range) }
}
