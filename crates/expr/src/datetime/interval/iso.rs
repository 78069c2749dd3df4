//! Intervals by ISO 8601: `P1Y2M3DT4H5M6S`, `P0001-02-03T04:05:06`, `P00010203T040506`.

use super::parse::{Parts, Problem, Unit};
use crate::datetime::scan::digits;

/// The largest number that is read; integers up to here are exact as floats.
const LARGEST: f64 = 1e15;

struct Reader<'a> {
    rest: &'a str,
    parts: Parts,
}

/// A number: as written without sign and fraction, whole part, fraction.
struct Number {
    width: usize,
    whole: i64,
    part: f64,
}

pub(super) fn read(text: &str) -> Result<Parts, Problem> {
    let rest = text.strip_prefix('P').filter(|rest| !rest.is_empty()).ok_or(Problem::Syntax)?;
    let mut reader = Reader { rest, parts: Parts::default() };
    let (mut in_date, mut first) = (true, true);
    while !reader.rest.is_empty() {
        if reader.next_is('T') {
            (in_date, first) = (false, true);
            continue;
        }
        let number = reader.number()?;
        let unit = reader.rest.chars().next();
        let known = match (in_date, unit) {
            (true, Some('Y')) => Some(Unit::Year),
            (true, Some('M')) => Some(Unit::Month),
            (true, Some('W')) => Some(Unit::Week),
            (true, Some('D')) => Some(Unit::Day),
            (false, Some('H')) => Some(Unit::Hour),
            (false, Some('M')) => Some(Unit::Minute),
            (false, Some('S')) => Some(Unit::Second),
            _ => None,
        };
        match (known, unit) {
            (Some(unit), _) => {
                reader.rest = &reader.rest[1..];
                reader.add(unit, number.whole, number.part)?;
                first = false;
            }
            (None, None | Some('T' | '-')) if in_date => {
                reader.date(&number, first)?;
                if !reader.next_is('T') {
                    return reader.end();
                }
                (in_date, first) = (false, true);
            }
            (None, None | Some(':')) if !in_date => {
                reader.time(&number, first)?;
                return reader.end();
            }
            _ => return Err(Problem::Syntax),
        }
    }
    Ok(reader.parts)
}

impl Reader<'_> {
    fn next_is(&mut self, wanted: char) -> bool {
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn end(self) -> Result<Parts, Problem> {
        if self.rest.is_empty() { Ok(self.parts) } else { Err(Problem::Syntax) }
    }

    fn add(&mut self, unit: Unit, whole: i64, part: f64) -> Result<(), Problem> {
        self.parts.add(unit, whole, part).ok_or(Problem::Range)
    }

    /// The number at hand, as C reads floats.
    fn number(&mut self) -> Result<Number, Problem> {
        let text = self.rest;
        if !text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.') {
            return Err(Problem::Syntax);
        }
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let width = digits(unsigned);
        let mut end = width;
        if unsigned[end..].starts_with('.') {
            end += 1 + digits(&unsigned[end + 1..]);
        }
        if end == 0 || (width == 0 && end == 1) {
            return Err(Problem::Syntax);
        }
        if unsigned[end..].starts_with(['e', 'E']) {
            let behind = &unsigned[end + 1..];
            let signed = usize::from(behind.starts_with(['+', '-']));
            let exponent = digits(&behind[signed..]);
            if exponent > 0 {
                end += 1 + signed + exponent;
            }
        }
        let end = end + text.len() - unsigned.len();
        let value: f64 = text[..end].parse().map_err(|_| Problem::Syntax)?;
        if value.is_infinite() {
            return Err(Problem::Syntax);
        }
        if value.abs() > LARGEST {
            return Err(Problem::Range);
        }
        self.rest = &text[end..];
        Ok(Number { width, whole: value as i64, part: value - value.trunc() })
    }

    /// `yyyymmdd`, or `yyyy[-mm[-dd]]`, whose first number is read.
    fn date(&mut self, year: &Number, first: bool) -> Result<(), Problem> {
        if !self.rest.starts_with('-') && year.width == 8 && first {
            self.add(Unit::Year, year.whole / 10_000, 0.0)?;
            self.add(Unit::Month, year.whole / 100 % 100, 0.0)?;
            return self.add(Unit::Day, year.whole % 100, year.part);
        }
        if !first {
            return Err(Problem::Syntax);
        }
        self.add(Unit::Year, year.whole, year.part)?;
        for unit in [Unit::Month, Unit::Day] {
            if !self.next_is('-') {
                break;
            }
            let number = self.number()?;
            self.add(unit, number.whole, number.part)?;
        }
        Ok(())
    }

    /// `hhmmss`, or `hh[:mm[:ss]]`, whose first number is read.
    fn time(&mut self, hour: &Number, first: bool) -> Result<(), Problem> {
        if self.rest.is_empty() && hour.width == 6 && first {
            self.add(Unit::Hour, hour.whole / 10_000, 0.0)?;
            self.add(Unit::Minute, hour.whole / 100 % 100, 0.0)?;
            self.add(Unit::Second, hour.whole % 100, 0.0)?;
            return self.add(Unit::Microsecond, 0, hour.part);
        }
        if !first {
            return Err(Problem::Syntax);
        }
        self.add(Unit::Hour, hour.whole, hour.part)?;
        for unit in [Unit::Minute, Unit::Second] {
            if !self.next_is(':') {
                break;
            }
            let number = self.number()?;
            self.add(unit, number.whole, number.part)?;
        }
        Ok(())
    }
}
