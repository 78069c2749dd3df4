//! Dates, timestamps and intervals by a template.
//!
//! A pattern may have `FM` (or `TM`) before it: no blanks and zeros that only fill it up; and `TH`,
//! `th` behind it, if it yields a number: its ordinal suffix. Intervals have no months' or days'
//! names and no zone: such patterns are an error. What PostgreSQL's patterns of other languages
//! (`TM`) would yield is English here.

use super::{literal, ordinal};
use crate::{
    datetime::{Civil, DAY, Interval, SECOND, TimeZone},
    error::{Result, SqlError, SqlState},
};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const ROMAN: [&str; 12] =
    ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

/// Patterns, longer ones before those they start with.
const PATTERNS: &[&str] = &[
    "A.D.", "A.M.", "AD", "AM", "B.C.", "BC", "CC", "DAY", "DDD", "DD", "DY", "Day", "Dy", "D",
    "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "FX", "HH24", "HH12", "HH", "IDDD", "ID", "IW",
    "IYYY", "IYY", "IY", "I", "J", "MI", "MM", "MONTH", "MON", "MS", "Month", "Mon", "OF", "P.M.",
    "PM", "Q", "RM", "SSSSS", "SSSS", "SS", "TZH", "TZM", "TZ", "US", "WW", "W", "Y,YYY", "YYYY",
    "YYY", "YY", "Y", "a.d.", "a.m.", "ad", "am", "b.c.", "bc", "cc", "day", "ddd", "dd", "dy",
    "d", "ff1", "ff2", "ff3", "ff4", "ff5", "ff6", "fx", "hh24", "hh12", "hh", "iddd", "id", "iw",
    "iyyy", "iyy", "iy", "i", "j", "mi", "mm", "month", "mon", "ms", "of", "p.m.", "pm", "q", "rm",
    "sssss", "ssss", "ss", "tzh", "tzm", "tz", "us", "ww", "w", "y,yyy", "yyyy", "yyy", "yy", "y",
];

/// A time taken apart. Parts of an interval may be negative, and each has its own sign.
pub(super) struct Moment {
    year: i64,
    month: i64,
    day: i64,
    /// From 1; of an interval, about how many days it has.
    day_of_year: i64,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
    /// From 0, Sunday.
    weekday: usize,
    is_interval: bool,
    /// Seconds ahead of UTC and the zone's name; zero and none without time zone.
    ahead: i64,
    zone: String,
}

/// How a field is written.
#[derive(Clone, Copy)]
struct Style {
    /// Filled up with blanks or zeros.
    filled: bool,
    /// In the words of another language, which are not filled up.
    translated: bool,
}

impl Style {
    /// A number of so many digits, one place more if `negative` says that a sign may stand there.
    fn number(self, value: i64, digits: usize, negative: bool) -> String {
        let width = digits + usize::from(negative);
        if self.filled { format!("{value:0width$}") } else { value.to_string() }
    }

    fn word(self, text: &str, width: usize) -> String {
        if self.filled && !self.translated { format!("{text:<width$}") } else { text.to_owned() }
    }
}

impl Moment {
    pub(super) fn of_local(local: i64) -> Moment {
        let (days, time) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        let Civil { year, month, day } = Civil::from_days(days);
        let first = Civil { year, month: 1, day: 1 }.to_days();
        let seconds = time / SECOND;
        Moment {
            year,
            month,
            day,
            day_of_year: days - first + 1,
            hour: seconds / 3600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            micros: time % SECOND,
            weekday: usize::try_from((days + 6).rem_euclid(7)).expect("below seven"),
            is_interval: false,
            ahead: 0,
            zone: String::new(),
        }
    }

    pub(super) fn of_utc(utc: i64, zone: &TimeZone) -> Moment {
        let ahead = zone.offset_seconds(utc);
        let local = utc.saturating_add(ahead * SECOND);
        Moment { ahead, zone: zone.abbreviation_at(utc), ..Moment::of_local(local) }
    }

    pub(super) fn of_interval(interval: Interval) -> Moment {
        let seconds = interval.micros / SECOND;
        let (months, day) = (i64::from(interval.months), i64::from(interval.days));
        Moment {
            year: months / 12,
            month: months % 12,
            day,
            day_of_year: months * 30 + day,
            hour: seconds / 3600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            micros: interval.micros % SECOND,
            weekday: 0,
            is_interval: true,
            ahead: 0,
            zone: String::new(),
        }
    }

    pub(super) fn format(&self, template: &str) -> Result<String> {
        let mut out = String::new();
        let mut rest = template;
        while !rest.is_empty() {
            let mark = ["FM", "fm", "TM", "tm"].into_iter().find(|mark| rest.starts_with(mark));
            let body = if mark.is_some() { &rest[2..] } else { rest };
            let style = Style {
                filled: !mark.is_some_and(|mark| mark.eq_ignore_ascii_case("FM")),
                translated: mark.is_some_and(|mark| mark.eq_ignore_ascii_case("TM")),
            };
            let Some(pattern) = PATTERNS.iter().find(|pattern| body.starts_with(**pattern)) else {
                // A mark without a pattern behind it says nothing.
                let (text, behind) =
                    if body.is_empty() { (String::new(), body) } else { literal(body) };
                out.push_str(&text);
                rest = behind;
                continue;
            };
            rest = &body[pattern.len()..];
            let field = self.field(pattern, style)?;
            out.push_str(&field.text);
            let suffix = match rest.get(..2) {
                Some(suffix @ ("TH" | "th" | "SP")) => suffix,
                _ => continue,
            };
            rest = &rest[2..];
            if field.is_number && suffix != "SP" && !field.text.is_empty() {
                let letters = ordinal(&field.text).unwrap_or("th");
                let upper = suffix == "TH";
                out.push_str(&if upper { letters.to_uppercase() } else { letters.to_owned() });
            }
        }
        Ok(out)
    }

    fn field(&self, pattern: &str, style: Style) -> Result<Field> {
        if let Some(text) = self.name(pattern, style)? {
            return Ok(Field { text, is_number: false });
        }
        if let Some(text) = self.calendar(pattern, style)? {
            return Ok(Field { text, is_number: true });
        }
        let text = self.clock(pattern, style);
        let is_number = text.is_some();
        Ok(Field { text: text.unwrap_or_default(), is_number })
    }

    /// `22007` of an interval, which has no such part.
    fn dated(&self) -> Result<()> {
        if !self.is_interval {
            return Ok(());
        }
        Err(SqlError::new(
            SqlState::INVALID_DATETIME_FORMAT,
            "invalid format specification for an interval value",
        )
        .with_hint("Intervals are not tied to specific calendar dates."))
    }

    /// Fields that are words.
    fn name(&self, pattern: &str, style: Style) -> Result<Option<String>> {
        let upper = pattern.to_ascii_uppercase();
        let noon = if self.hour.rem_euclid(24) < 12 { ["AM", "A.M."] } else { ["PM", "P.M."] };
        // Of a negative hour, the remainder is negative: before noon.
        let noon = if self.hour < 0 { ["AM", "A.M."] } else { noon };
        let era = if self.year <= 0 { ["BC", "B.C."] } else { ["AD", "A.D."] };
        let text = match upper.as_str() {
            "AM" | "PM" => noon[0].to_owned(),
            "A.M." | "P.M." => noon[1].to_owned(),
            "RM" => match self.roman() {
                Some(roman) => Style { translated: false, ..style }.word(roman, 4),
                None => String::new(),
            },
            "FX" => String::new(),
            "AD" | "BC" | "A.D." | "B.C." | "MONTH" | "MON" | "DAY" | "DY" | "TZ" | "TZH"
            | "TZM" | "OF" => {
                self.dated()?;
                let month = || MONTHS[usize::try_from(self.month - 1).expect("a date's month")];
                match upper.as_str() {
                    "AD" | "BC" => era[0].to_owned(),
                    "A.D." | "B.C." => era[1].to_owned(),
                    "MONTH" => style.word(month(), 9),
                    "MON" => month()[..3].to_owned(),
                    "DAY" => style.word(WEEKDAYS[self.weekday], 9),
                    "DY" => WEEKDAYS[self.weekday][..3].to_owned(),
                    "TZ" => self.zone.clone(),
                    _ => return Ok(Some(self.offset(&upper, style))),
                }
            }
            _ => return Ok(None),
        };
        // The case of the first two letters is that of the word.
        let mut letters = pattern.chars().filter(char::is_ascii_alphabetic);
        let (first, second) = (letters.next(), letters.next());
        Ok(Some(match (first, second) {
            (Some(first), _) if first.is_ascii_lowercase() => text.to_lowercase(),
            (_, Some(second)) if second.is_ascii_uppercase() && upper != "TZ" => {
                text.to_uppercase()
            }
            _ => text,
        }))
    }

    /// How far local time is ahead of UTC.
    fn offset(&self, pattern: &str, style: Style) -> String {
        let sign = if self.ahead >= 0 { '+' } else { '-' };
        let (hours, minutes) = (self.ahead.abs() / 3600, self.ahead.abs() % 3600 / 60);
        match pattern {
            "TZH" => format!("{sign}{hours:02}"),
            "TZM" => format!("{minutes:02}"),
            _ => {
                let hours = style.number(hours, 2, false);
                let parted = self.ahead % 3600 != 0;
                let minutes = if parted { format!(":{minutes:02}") } else { String::new() };
                format!("{sign}{hours}{minutes}")
            }
        }
    }

    /// The month in Roman numerals; of an interval, months before none count from the year's end.
    fn roman(&self) -> Option<&'static str> {
        let place = match (self.month, self.year) {
            (0, 0) => return None,
            (0, year) => {
                if year > 0 {
                    12
                } else {
                    1
                }
            }
            (month, _) if month < 0 => 13 + month,
            (month, _) => month,
        };
        Some(ROMAN[usize::try_from(place - 1).expect("1 to 12")])
    }

    /// Fields of the date that are numbers.
    fn calendar(&self, pattern: &str, style: Style) -> Result<Option<String>> {
        let year = if self.is_interval || self.year > 0 { self.year } else { 1 - self.year };
        let iso = || {
            let year = self.iso_year();
            if self.is_interval || year > 0 { year } else { 1 - year }
        };
        let number =
            |value: i64, digits: usize, signed: i64| style.number(value, digits, signed < 0);
        let upper = pattern.to_ascii_uppercase();
        Ok(Some(match upper.as_str() {
            "D" | "ID" => {
                self.dated()?;
                let weekday = if upper == "ID" && self.weekday == 0 { 7 } else { self.weekday };
                (weekday + usize::from(upper == "D")).to_string()
            }
            "MM" => number(self.month, 2, self.month),
            "DDD" => number(self.day_of_year, 3, 0),
            "IDDD" => number(self.iso_day_of_year(), 3, 0),
            "DD" => number(self.day, 2, 0),
            "WW" => number((self.day_of_year - 1) / 7 + 1, 2, 0),
            "IW" => number(self.iso_week(), 2, 0),
            "W" => ((self.day - 1) / 7 + 1).to_string(),
            "Q" if self.month == 0 => return Ok(Some(String::new())),
            "Q" => ((self.month - 1) / 3 + 1).to_string(),
            "CC" => self.century(style),
            "Y,YYY" => format!("{},{:03}", year / 1000, year - year / 1000 * 1000),
            "YYYY" => number(year, 4, year),
            "YYY" => number(year % 1000, 3, year),
            "YY" => number(year % 100, 2, year),
            "Y" => (year % 10).to_string(),
            "IYYY" => number(iso(), 4, year),
            "IYY" => number(iso() % 1000, 3, year),
            "IY" => number(iso() % 100, 2, year),
            "I" => (iso() % 10).to_string(),
            "J" => julian(self.year, self.month, self.day).to_string(),
            _ => return Ok(None),
        }))
    }

    fn century(&self, style: Style) -> String {
        let century = match self.year {
            year if self.is_interval => year / 100,
            year if year > 0 => (year - 1) / 100 + 1,
            year => year / 100 - 1,
        };
        if century.abs() > 99 {
            return century.to_string();
        }
        style.number(century, 2, century < 0)
    }

    /// Fields of the time of day; `None`: no such pattern.
    fn clock(&self, pattern: &str, style: Style) -> Option<String> {
        let number = |value: i64, signed: i64| style.number(value, 2, signed < 0);
        let hour12 = if self.hour % 12 == 0 { 12 } else { self.hour % 12 };
        Some(match pattern.to_ascii_uppercase().as_str() {
            "HH24" => number(self.hour, self.hour),
            "HH12" | "HH" => number(hour12, self.hour),
            "MI" => number(self.minute, self.minute),
            "SS" => number(self.second, self.second),
            "SSSSS" | "SSSS" => (self.hour * 3600 + self.minute * 60 + self.second).to_string(),
            "FF1" => format!("{:01}", self.micros / 100_000),
            "FF2" => format!("{:02}", self.micros / 10_000),
            "FF3" | "MS" => format!("{:03}", self.micros / 1_000),
            "FF4" => format!("{:04}", self.micros / 100),
            "FF5" => format!("{:05}", self.micros / 10),
            "FF6" | "US" => format!("{:06}", self.micros),
            _ => return None,
        })
    }

    fn iso_year(&self) -> i64 {
        let day = julian(self.year, self.month, self.day);
        let year = if day < first_monday(self.year) { self.year - 1 } else { self.year };
        // The last days of a year may belong to the next one.
        if (day - first_monday(year)) / 7 + 1 >= 52 && day >= first_monday(self.year + 1) {
            return self.year + 1;
        }
        year
    }

    fn iso_week(&self) -> i64 {
        let day = julian(self.year, self.month, self.day);
        let year = if day < first_monday(self.year) { self.year - 1 } else { self.year };
        let week = (day - first_monday(year)) / 7 + 1;
        let next = first_monday(self.year + 1);
        if week >= 52 && day >= next { (day - next) / 7 + 1 } else { week }
    }

    fn iso_day_of_year(&self) -> i64 {
        julian(self.year, self.month, self.day) - first_monday(self.iso_year()) + 1
    }
}

/// What a pattern yields.
struct Field {
    text: String,
    is_number: bool,
}

/// The Monday of the week that has the year's 4 January, as a Julian day.
fn first_monday(year: i64) -> i64 {
    let fourth = julian(year, 1, 4);
    // Behind a Sunday, Julian days of the week count from 0 at Monday.
    fourth - fourth.rem_euclid(7)
}

/// The Julian day of a date; also of an interval's parts, as if they were one.
const fn julian(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) =
        if month > 2 { (year + 4800, month + 1) } else { (year + 4799, month + 13) };
    let century = year / 100;
    year * 365 - 32_167 + year / 4 - century + century / 4 + 7834 * month / 256 + day
}
