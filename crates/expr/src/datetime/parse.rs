//! Dates and timestamps from text, in every form that PostgreSQL reads.
//!
//! ISO 8601 and its relatives (`2026-03-01 12:30:00.5+01`, `20260301T113000Z`, `2026.060`), dates
//! with slashes (month first, unless the year is), names of months (`1 Mar 2026`, `Mar-01-2026`),
//! Julian days (`J2451187`), labelled parts (`y2026m03d01`), `AM` and `PM`, `BC`, time zones as
//! offsets, names or abbreviations, and the words `now`, `today`, `tomorrow`, `yesterday`,
//! `epoch`, `infinity`.
//!
//! A text is taken into pieces ([`super::scan`]), and the pieces are read from left to right. What
//! a bare number means depends on what is known by then: with a year, it is the month. What a
//! piece gives is noted in a set of [`field`]s; a field given twice is an error.
//!
//! ```text
//! "Jan 8, 99 BC"   jan -> MONTH    8 -> DAY    99 -> YEAR    bc -> ERA      then 99 BC is year -98
//! ```

mod clock;
mod number;

use clock::offset;
pub(super) use clock::{BadClock, Clock};

use super::{
    Civil, DATE_INFINITY, DATE_NEGATIVE_INFINITY, DAY, HOUR, INFINITY, MINUTE, NEGATIVE_INFINITY,
    SECOND, TimeZone, UNIX_EPOCH_OFFSET_SECONDS, abbreviations, check_date, check_timestamp,
    days_in_month,
    scan::{Piece, Shape, TooLarge, digits, fraction, fraction_micros, leading_int32, pieces},
};
use crate::error::{Result, SqlError, SqlState};

/// The most bytes that the pieces of a text take.
const ROOM: usize = 129;

/// What a text has given, a bit each.
mod field {
    pub(super) const RESERVED: u32 = 1;
    pub(super) const MONTH: u32 = 1 << 1;
    pub(super) const YEAR: u32 = 1 << 2;
    pub(super) const DAY: u32 = 1 << 3;
    pub(super) const ZONE: u32 = 1 << 4;
    pub(super) const SUMMER: u32 = 1 << 5;
    pub(super) const PLACE: u32 = 1 << 6;
    pub(super) const NOON: u32 = 1 << 7;
    pub(super) const HOUR: u32 = 1 << 8;
    pub(super) const MINUTE: u32 = 1 << 9;
    pub(super) const SECOND: u32 = 1 << 10;
    pub(super) const FRACTION: u32 = 1 << 11;
    pub(super) const DAY_OF_YEAR: u32 = 1 << 12;
    pub(super) const WEEKDAY: u32 = 1 << 13;
    pub(super) const ERA: u32 = 1 << 14;
    pub(super) const SUMMER_MARK: u32 = 1 << 15;
    pub(super) const DATE: u32 = YEAR | MONTH | DAY;
    pub(super) const TIME: u32 = HOUR | MINUTE | SECOND | FRACTION;
}

/// What the text amounts to, besides a date.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Special {
    Infinity,
    NegativeInfinity,
    Epoch,
}

/// What the number behind a label is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Label {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Julian,
    Time,
    /// A label that no number fits.
    Other,
}

/// What a word means in a date.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Meaning {
    Special(Special),
    Now,
    /// Days from today.
    Today(i64),
    /// `allballs`: midnight UTC.
    Midnight,
    Month(i64),
    Weekday,
    Nothing,
    Morning,
    Afternoon,
    Era {
        before_christ: bool,
    },
    Label(Label),
    /// `DST`: the zone named before is an hour ahead.
    SummerMark,
}

/// Why a text is refused.
#[derive(Debug)]
enum Problem {
    Syntax,
    Range,
    /// A month or day out of range, as when a date is written in another order.
    Order,
    /// An offset too far from UTC.
    Offset,
    /// There is no such time zone.
    Zone(String),
}

impl From<TooLarge> for Problem {
    fn from(_: TooLarge) -> Problem {
        Problem::Range
    }
}

fn error(problem: &Problem, ty: &str, text: &str) -> SqlError {
    let range = || {
        SqlError::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            format!("date/time field value out of range: \"{text}\""),
        )
    };
    match problem {
        Problem::Syntax => SqlError::new(
            SqlState::INVALID_DATETIME_FORMAT,
            format!("invalid input syntax for type {ty}: \"{text}\""),
        ),
        Problem::Zone(name) => {
            SqlError::invalid_parameter(format!("time zone \"{name}\" not recognized"))
        }
        Problem::Range => range(),
        Problem::Order => range().with_hint("Perhaps you need a different \"datestyle\" setting."),
        Problem::Offset => SqlError::new(
            SqlState::INVALID_TIME_ZONE_DISPLACEMENT_VALUE,
            format!("time zone displacement out of range: \"{text}\""),
        ),
    }
}

/// Reads a date; a time in the text is ignored. `now` is the moment words refer to.
///
/// # Errors
/// `22007`, `22008`, `22009`.
pub fn parse_date(text: &str, now: i64, zone: &TimeZone) -> Result<i32> {
    let read = read(text, now, zone).map_err(|problem| error(&problem, "date", text))?;
    let days = match read.special {
        Some(Special::Infinity) => return Ok(DATE_INFINITY),
        Some(Special::NegativeInfinity) => return Ok(DATE_NEGATIVE_INFINITY),
        Some(Special::Epoch) => -UNIX_EPOCH_OFFSET_SECONDS * SECOND / DAY,
        None => read.date().to_days(),
    };
    check_date(days).map_err(|_| {
        SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("date out of range: \"{text}\""))
    })
}

/// Reads a timestamp without time zone; a zone in the text is ignored.
///
/// # Errors
/// As [`parse_date`].
pub fn parse_timestamp(text: &str, now: i64, zone: &TimeZone) -> Result<i64> {
    let ty = "timestamp";
    let read = read(text, now, zone).map_err(|problem| error(&problem, ty, text))?;
    match read.special() {
        Some(moment) => Ok(moment),
        None => checked(read.local(), text),
    }
}

/// Reads a timestamp with time zone; without one in the text it is the session's.
///
/// # Errors
/// As [`parse_date`].
pub fn parse_timestamp_tz(text: &str, now: i64, zone: &TimeZone) -> Result<i64> {
    let ty = "timestamp with time zone";
    let read = read(text, now, zone).map_err(|problem| error(&problem, ty, text))?;
    if let Some(moment) = read.special() {
        return Ok(moment);
    }
    let utc = read.local().and_then(|local| match read.zone {
        None => Some(zone.local_to_utc(local)),
        Some(Zone::Ahead(seconds)) => local.checked_sub(seconds * SECOND),
        Some(Zone::Named(zone)) => Some(zone.local_to_utc(local)),
    });
    checked(utc, text)
}

fn checked(micros: Option<i64>, text: &str) -> Result<i64> {
    check_timestamp(micros).map_err(|_| {
        SqlError::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            format!("timestamp out of range: \"{text}\""),
        )
    })
}

/// Whether a word (in lower case) means something in a date, so that a digit may follow it at once.
pub(super) fn is_date_word(word: &str) -> bool {
    word == "t" || meaning(word).is_some()
}

fn meaning(word: &str) -> Option<Meaning> {
    use Meaning::{
        Afternoon, Era, Label as Labelled, Midnight, Month, Morning, Nothing, Now, Special as Is,
        SummerMark, Today, Weekday,
    };
    Some(match word {
        "-infinity" => Is(Special::NegativeInfinity),
        "infinity" => Is(Special::Infinity),
        "epoch" => Is(Special::Epoch),
        "now" => Now,
        "yesterday" => Today(-1),
        "today" => Today(0),
        "tomorrow" => Today(1),
        "allballs" => Midnight,
        "jan" | "january" => Month(1),
        "feb" | "february" => Month(2),
        "mar" | "march" => Month(3),
        "apr" | "april" => Month(4),
        "may" => Month(5),
        "jun" | "june" => Month(6),
        "jul" | "july" => Month(7),
        "aug" | "august" => Month(8),
        "sep" | "sept" | "september" => Month(9),
        "oct" | "october" => Month(10),
        "nov" | "november" => Month(11),
        "dec" | "december" => Month(12),
        "sun" | "sunday" | "mon" | "monday" | "tue" | "tues" | "tuesday" | "wed" | "wednesday"
        | "weds" | "thu" | "thur" | "thurs" | "thursday" | "fri" | "friday" | "sat"
        | "saturday" => Weekday,
        "at" | "on" => Nothing,
        "am" => Morning,
        "pm" => Afternoon,
        "ad" => Era { before_christ: false },
        "bc" => Era { before_christ: true },
        "dst" => SummerMark,
        "y" => Labelled(Label::Year),
        "m" => Labelled(Label::Month),
        "d" => Labelled(Label::Day),
        "h" => Labelled(Label::Hour),
        "mm" => Labelled(Label::Minute),
        "s" => Labelled(Label::Second),
        "j" | "jd" | "julian" => Labelled(Label::Julian),
        "dow" | "doy" | "isodow" | "isoyear" => Labelled(Label::Other),
        _ => return None,
    })
}

/// The zone that a text names.
#[derive(Clone, Copy, Debug)]
enum Zone {
    /// So many seconds ahead of UTC.
    Ahead(i64),
    Named(TimeZone),
}

/// What was read so far.
#[derive(Debug)]
struct Read {
    given: u32,
    year: i64,
    month: i64,
    day: i64,
    day_of_year: i64,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
    zone: Option<Zone>,
    /// `Some(true)`: PM.
    afternoon: Option<bool>,
    before_christ: bool,
    /// The year has one or two digits.
    short_year: bool,
    month_named: bool,
    julian: bool,
    special: Option<Special>,
    /// What the next number is.
    label: Option<Label>,
    /// The present, for words that refer to it.
    local_now: i64,
    zone_now: i64,
}

fn read(text: &str, now: i64, zone: &TimeZone) -> Result<Read, Problem> {
    let pieces = pieces(text, ROOM).ok_or(Problem::Syntax)?;
    let ahead = zone.offset_seconds(now);
    let mut read = Read::new(now.saturating_add(ahead * SECOND), ahead);
    for (at, piece) in pieces.iter().enumerate() {
        let given = match piece.shape {
            Shape::Date => read.joined(piece)?,
            Shape::Time => read.clock(&piece.text)?,
            Shape::Offset => {
                read.zone = Some(Zone::Ahead(offset(&piece.text)?));
                field::ZONE
            }
            Shape::Number => read.number(&piece.text)?,
            Shape::Word | Shape::Signed => read.word(&piece.text, pieces.get(at + 1))?,
        };
        if read.given & given != 0 {
            return Err(Problem::Syntax);
        }
        read.given |= given;
    }
    read.finish()?;
    Ok(read)
}

impl Read {
    const fn new(local_now: i64, zone_now: i64) -> Read {
        Read {
            given: 0,
            year: 0,
            month: 0,
            day: 0,
            day_of_year: 0,
            hour: 0,
            minute: 0,
            second: 0,
            micros: 0,
            zone: None,
            afternoon: None,
            before_christ: false,
            short_year: false,
            month_named: false,
            julian: false,
            special: None,
            label: None,
            local_now,
            zone_now,
        }
    }

    const fn has_all(&self, fields: u32) -> bool {
        self.given & fields == fields
    }

    const fn date(&self) -> Civil {
        Civil { year: self.year, month: self.month, day: self.day }
    }

    const fn set_date(&mut self, date: Civil) {
        (self.year, self.month, self.day) = (date.year, date.month, date.day);
    }

    /// The special moment, if the text is one.
    fn special(&self) -> Option<i64> {
        self.special.map(|special| match special {
            Special::Infinity => INFINITY,
            Special::NegativeInfinity => NEGATIVE_INFINITY,
            Special::Epoch => -UNIX_EPOCH_OFFSET_SECONDS * SECOND,
        })
    }

    /// The local time; `None` if it is too far away to be counted.
    fn local(&self) -> Option<i64> {
        let time = self.hour * HOUR + self.minute * MINUTE + self.second * SECOND + self.micros;
        let days = self.date().to_days();
        check_date(days).ok()?;
        days.checked_mul(DAY)?.checked_add(time)
    }

    /// Parts joined by signs: a date, or behind one, a zone's name or a time with its zone.
    fn joined(&mut self, piece: &Piece) -> Result<u32, Problem> {
        let text = &piece.text;
        if self.label == Some(Label::Julian) {
            let (day, zone) = leading_int32(text)?;
            self.set_date(from_julian(day));
            self.julian = true;
            self.label = None;
            self.zone = Some(Zone::Ahead(offset(zone)?));
            return Ok(field::DATE | field::TIME | field::ZONE);
        }
        let label = self.label.take();
        if label.is_none() && !self.has_all(field::MONTH | field::DAY) {
            return self.date_of_parts(text);
        }
        if label.is_none() && !text.starts_with(|c: char| c.is_ascii_digit()) {
            let zone = TimeZone::named(text).ok_or_else(|| Problem::Zone(text.clone()))?;
            self.zone = Some(Zone::Named(zone));
            return Ok(field::ZONE);
        }
        if label.is_some_and(|label| label != Label::Time) || self.has_all(field::TIME) {
            return Err(Problem::Syntax);
        }
        let (time, zone) = text.split_at(text.find('-').ok_or(Problem::Syntax)?);
        self.zone = Some(Zone::Ahead(offset(zone)?));
        Ok(self.run_together(time, self.given)? | field::ZONE)
    }

    /// `hh:mm[:ss[.fraction]]`, or `mm:ss.fraction`.
    fn clock(&mut self, text: &str) -> Result<u32, Problem> {
        if self.label.take().is_some_and(|label| label != Label::Time) {
            return Err(Problem::Syntax);
        }
        let clock = Clock::parse(text)?;
        self.hour = i64::from(i32::try_from(clock.hour).map_err(|_| Problem::Range)?);
        (self.minute, self.second, self.micros) = (clock.minute, clock.second, clock.micros);
        if self.hour > 24 || self.hour * HOUR + clock.behind_the_hour() > DAY {
            return Err(Problem::Range);
        }
        Ok(field::TIME)
    }

    fn word(&mut self, word: &str, next: Option<&Piece>) -> Result<u32, Problem> {
        if let Some(meaning) = abbreviations::find(word) {
            return self.abbreviation(meaning);
        }
        if word == "t" {
            // What follows is the time of the date before.
            let time = next.is_some_and(|next| {
                matches!(next.shape, Shape::Number | Shape::Time | Shape::Date)
            });
            if !self.has_all(field::DATE) || !time {
                return Err(Problem::Syntax);
            }
            self.label = Some(Label::Time);
            return Ok(0);
        }
        let Some(meaning) = meaning(word) else {
            let zone = TimeZone::named(word).ok_or(Problem::Syntax)?;
            self.zone = Some(Zone::Named(zone));
            return Ok(field::ZONE);
        };
        Ok(match meaning {
            Meaning::Nothing => 0,
            Meaning::Special(special) => {
                self.special = Some(special);
                field::RESERVED
            }
            Meaning::Now | Meaning::Today(_) | Meaning::Midnight => self.present(meaning),
            Meaning::Month(month) => self.name_month(month),
            Meaning::Weekday => field::WEEKDAY,
            Meaning::Morning | Meaning::Afternoon => {
                self.afternoon = Some(meaning == Meaning::Afternoon);
                field::NOON
            }
            Meaning::Era { before_christ } => {
                self.before_christ = before_christ;
                field::ERA
            }
            Meaning::Label(label) => {
                self.label = Some(label);
                0
            }
            Meaning::SummerMark => {
                // A zone that knows its summers takes no such mark, see the end.
                self.zone = Some(match self.zone {
                    Some(named @ Zone::Named(_)) => named,
                    Some(Zone::Ahead(seconds)) => Zone::Ahead(seconds + HOUR / SECOND),
                    None => Zone::Ahead(HOUR / SECOND),
                });
                field::SUMMER_MARK | field::SUMMER
            }
        })
    }

    fn abbreviation(&mut self, meaning: abbreviations::Meaning) -> Result<u32, Problem> {
        use abbreviations::Meaning::{Place, Standard, Summer};
        let (zone, given) = match meaning {
            Standard(seconds) => (Zone::Ahead(seconds.into()), field::ZONE),
            Summer(seconds) => (Zone::Ahead(seconds.into()), field::ZONE | field::SUMMER),
            Place(name) => {
                let zone = TimeZone::named(name).ok_or(Problem::Syntax)?;
                (Zone::Named(zone), field::ZONE | field::PLACE)
            }
        };
        self.zone = Some(zone);
        Ok(given)
    }

    /// The words that refer to the present, or to midnight.
    fn present(&mut self, meaning: Meaning) -> u32 {
        self.special = None;
        let today = self.local_now.div_euclid(DAY);
        match meaning {
            Meaning::Now => {
                self.set_date(Civil::from_days(today));
                let time = self.local_now.rem_euclid(DAY);
                (self.hour, self.minute) = (time / HOUR, time / MINUTE % 60);
                (self.second, self.micros) = (time / SECOND % 60, time % SECOND);
                self.zone = Some(Zone::Ahead(self.zone_now));
                field::DATE | field::TIME | field::ZONE
            }
            Meaning::Today(days) => {
                self.set_date(Civil::from_days(today + days));
                field::DATE
            }
            _ => {
                (self.hour, self.minute, self.second) = (0, 0, 0);
                self.zone = Some(Zone::Ahead(0));
                field::TIME | field::ZONE
            }
        }
    }

    /// A month's name; a number that was taken for the month is the day, then.
    fn name_month(&mut self, month: i64) -> u32 {
        let mut given = field::MONTH;
        if self.has_all(field::MONTH)
            && !self.month_named
            && !self.has_all(field::DAY)
            && (1..=31).contains(&self.month)
        {
            self.day = self.month;
            given = field::DAY;
        }
        self.month_named = true;
        self.month = month;
        given
    }

    /// Checks of what can only be told at the end.
    fn finish(&mut self) -> Result<(), Problem> {
        self.finish_year()?;
        if self.has_all(field::DAY_OF_YEAR) {
            let first = Civil { year: self.year, month: 1, day: 1 }.to_days();
            self.set_date(Civil::from_days(first + self.day_of_year - 1));
        }
        if (self.has_all(field::MONTH) && !(1..=12).contains(&self.month))
            || (self.has_all(field::DAY) && !(1..=31).contains(&self.day))
        {
            return Err(Problem::Order);
        }
        if self.has_all(field::DATE) && self.day > days_in_month(self.year, self.month) {
            return Err(Problem::Range);
        }
        match self.afternoon {
            Some(_) if self.hour > 12 => return Err(Problem::Range),
            Some(false) if self.hour == 12 => self.hour = 0,
            Some(true) if self.hour != 12 => self.hour += 12,
            _ => {}
        }
        if self.special.is_some() {
            return Ok(());
        }
        let named = matches!(self.zone, Some(Zone::Named(_))) || !self.has_all(field::ZONE);
        if !self.has_all(field::DATE) || (named && self.has_all(field::SUMMER_MARK)) {
            return Err(Problem::Syntax);
        }
        Ok(())
    }

    /// The year as it is counted: there is no year zero, and two digits mean 1970 to 2069.
    const fn finish_year(&mut self) -> Result<(), Problem> {
        if !self.has_all(field::YEAR) || self.julian {
            return Ok(());
        }
        if self.before_christ {
            if self.year <= 0 {
                return Err(Problem::Range);
            }
            self.year = 1 - self.year;
        } else if self.short_year {
            match self.year {
                0..=69 => self.year += 2000,
                70..=99 => self.year += 1900,
                _ => {}
            }
        } else if self.year <= 0 {
            return Err(Problem::Range);
        }
        Ok(())
    }
}

/// The date that the Julian calendar's count of days gives.
const fn from_julian(day: i64) -> Civil {
    Civil::from_days(day - 2_451_545)
}
