//! What the numbers of a date mean, by what is known before them.

use super::{
    DAY, HOUR, Label, MINUTE, Meaning, Problem, Read, SECOND, digits, field, fraction,
    fraction_micros, from_julian, leading_int32, meaning,
};

impl Read {
    /// A number that stands alone.
    pub(super) fn number(&mut self, text: &str) -> Result<u32, Problem> {
        if let Some(label) = self.label.take() {
            self.special = None;
            return self.labelled(label, text);
        }
        let whole = text.find('.');
        match whole {
            Some(_) if self.given & field::DATE == 0 => self.date_of_parts(text),
            Some(at) if at > 2 => self.run_together(text, self.given),
            // Six digits and more are a date or a time, while one of them is missing.
            _ if text.len() >= 6
                && (self.given & field::DATE == 0 || self.given & field::TIME == 0) =>
            {
                self.run_together(text, self.given)
            }
            _ => self.part(text, self.month_named, self.given),
        }
    }

    /// The number behind a label: `y2026`, `J2451187.5`, the time behind `T`.
    fn labelled(&mut self, label: Label, text: &str) -> Result<u32, Problem> {
        let (value, rest) = leading_int32(text)?;
        let may_have_fraction = matches!(label, Label::Julian | Label::Time | Label::Second);
        let fine = rest.is_empty() || (rest.starts_with('.') && may_have_fraction);
        if !fine {
            return Err(Problem::Syntax);
        }
        Ok(match label {
            Label::Year => {
                self.year = value;
                field::YEAR
            }
            // With month and hour, another "m" counts minutes.
            Label::Month if self.has_all(field::MONTH | field::HOUR) => {
                self.minute = value;
                field::MINUTE
            }
            Label::Month => {
                self.month = value;
                field::MONTH
            }
            Label::Day => {
                self.day = value;
                field::DAY
            }
            Label::Hour => {
                self.hour = value;
                field::HOUR
            }
            Label::Minute => {
                self.minute = value;
                field::MINUTE
            }
            Label::Second => {
                self.second = value;
                if rest.is_empty() {
                    return Ok(field::SECOND);
                }
                self.micros = fraction_micros(rest).ok_or(Problem::Syntax)?;
                field::SECOND | field::FRACTION
            }
            Label::Julian => return self.julian_day(value, rest),
            Label::Time => {
                let given = self.run_together(text, self.given | field::DATE)?;
                if given != field::TIME {
                    return Err(Problem::Syntax);
                }
                given
            }
            Label::Other => return Err(Problem::Syntax),
        })
    }

    fn julian_day(&mut self, day: i64, rest: &str) -> Result<u32, Problem> {
        self.set_date(from_julian(day));
        self.julian = true;
        if rest.is_empty() {
            return Ok(field::DATE);
        }
        let part = fraction(rest).ok_or(Problem::Syntax)?;
        let time = (part * DAY as f64) as i64;
        (self.hour, self.minute) = (time / HOUR, time / MINUTE % 60);
        (self.second, self.micros) = (time / SECOND % 60, time % SECOND);
        Ok(field::DATE | field::TIME)
    }

    /// A date whose parts are joined: `2026-03-01`, `01-Mar-2026`, `3/1/26`, `2026.060`.
    pub(super) fn date_of_parts(&mut self, text: &str) -> Result<u32, Problem> {
        let parts = parts(text)?;
        let (mut given, mut seen, mut month_named) = (0, self.given, false);
        // A month's name tells what the numbers are, wherever it stands.
        for word in parts.iter().filter(|part| part.starts_with(|c: char| !c.is_ascii_digit())) {
            match meaning(word) {
                Some(Meaning::Month(month)) if seen & field::MONTH == 0 => self.month = month,
                _ => return Err(Problem::Syntax),
            }
            month_named = true;
            seen |= field::MONTH;
            given |= field::MONTH;
        }
        for number in parts.iter().filter(|part| part.starts_with(|c: char| c.is_ascii_digit())) {
            let part = self.part(number, month_named, seen)?;
            if seen & part != 0 {
                return Err(Problem::Syntax);
            }
            seen |= part;
            given |= part;
        }
        if seen & !(field::DAY_OF_YEAR | field::ZONE) != field::DATE {
            return Err(Problem::Syntax);
        }
        Ok(given)
    }

    /// One number of a date, by what is known of it: month, day, year is the order.
    fn part(&mut self, text: &str, month_named: bool, seen: u32) -> Result<u32, Problem> {
        let (value, rest) = leading_int32(text)?;
        if rest.len() == text.len() {
            return Err(Problem::Syntax);
        }
        if rest.starts_with('.') {
            if text.len() - rest.len() > 2 {
                return self.run_together(text, seen | field::DATE);
            }
            self.micros = fraction_micros(rest).ok_or(Problem::Syntax)?;
        } else if !rest.is_empty() {
            return Err(Problem::Syntax);
        }
        let date = seen & field::DATE;
        if text.len() == 3 && date == field::YEAR && (1..=366).contains(&value) {
            self.day_of_year = value;
            return Ok(field::DAY_OF_YEAR | field::MONTH | field::DAY);
        }
        const MONTH_DAY: u32 = field::MONTH | field::DAY;
        const YEAR_MONTH: u32 = field::YEAR | field::MONTH;
        Ok(match date {
            0 if text.len() < 3 => self.set_month(value),
            0 => self.set_year(value, text),
            field::YEAR | field::DAY => self.set_month(value),
            field::MONTH if month_named && text.len() >= 3 => self.set_year(value, text),
            YEAR_MONTH if month_named && text.len() >= 3 && self.short_year => {
                // The number taken for the year was the day.
                (self.day, self.year, self.short_year) = (self.year, value, false);
                field::DAY
            }
            field::MONTH | YEAR_MONTH => {
                self.day = value;
                field::DAY
            }
            MONTH_DAY => self.set_year(value, text),
            field::DATE => return self.run_together(text, seen),
            _ => return Err(Problem::Syntax),
        })
    }

    const fn set_month(&mut self, month: i64) -> u32 {
        self.month = month;
        field::MONTH
    }

    const fn set_year(&mut self, year: i64, text: &str) -> u32 {
        self.year = year;
        self.short_year = text.len() <= 2;
        field::YEAR
    }

    /// `20260301`, `123059`, `1230`: parts without anything between them.
    pub(super) fn run_together(&mut self, text: &str, seen: u32) -> Result<u32, Problem> {
        let (whole, behind) = text.split_at(text.find('.').unwrap_or(text.len()));
        if !behind.is_empty() {
            // Whatever follows the fraction's digits does not count.
            let kept = &behind[..1 + digits(&behind[1..])];
            self.micros = fraction_micros(kept).ok_or(Problem::Syntax)?;
        } else if seen & field::DATE != field::DATE && whole.len() >= 6 {
            let (rest, day) = whole.split_at(whole.len() - 2);
            let (year, month) = rest.split_at(rest.len() - 2);
            (self.year, self.month, self.day) = (wrapped(year), wrapped(month), wrapped(day));
            self.short_year |= year.len() == 2;
            return Ok(field::DATE);
        }
        if seen & field::TIME == field::TIME || !matches!(whole.len(), 4 | 6) {
            return Err(Problem::Syntax);
        }
        self.hour = wrapped(&whole[..2]);
        self.minute = wrapped(&whole[2..4]);
        self.second = wrapped(&whole[4..]);
        Ok(field::TIME)
    }
}

/// The digits as a machine reads them into 32 bits, without a check.
fn wrapped(text: &str) -> i64 {
    let digits = &text[..digits(text)];
    let value = digits.parse::<i64>().unwrap_or(if digits.is_empty() { 0 } else { i64::MAX });
    i64::from(value as i32)
}

/// The most parts of a date that are looked at.
const MAX_PARTS: usize = 25;

/// Words and numbers of a date, parted by single other characters.
fn parts(text: &str) -> Result<Vec<&str>, Problem> {
    let mut out = Vec::new();
    let mut rest = text;
    while !rest.is_empty() && out.len() < MAX_PARTS {
        rest = rest.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        let Some(first) = rest.chars().next() else {
            return Err(Problem::Syntax);
        };
        let same = |c: char| {
            if first.is_ascii_digit() { c.is_ascii_digit() } else { c.is_ascii_alphabetic() }
        };
        let end = rest.find(|c| !same(c)).unwrap_or(rest.len());
        out.push(&rest[..end]);
        // Whatever stands behind a part ends it, a digit behind a word too.
        rest = rest.get(end + 1..).unwrap_or("");
    }
    Ok(out)
}
