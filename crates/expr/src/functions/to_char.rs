//! `to_char`: dates, intervals and numbers by a template.

use crate::{
    context::EvalContext,
    datetime::{self, Civil, DAY, Interval, SECOND},
    datum::Datum,
    decimal::Decimal,
    error::Result,
};

mod number;

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

/// `None`: the arguments are none the function takes.
pub(super) fn call(args: &[Datum], ctx: &EvalContext) -> Result<Option<Datum>> {
    let [value, Datum::Text(template)] = args else {
        return Ok(None);
    };
    let moment = match value {
        Datum::Timestamp(micros) | Datum::TimestampTz(micros) if datetime::is_infinite(*micros) => {
            return Ok(Some(Datum::Null));
        }
        Datum::Timestamp(micros) => Moment::of_local(*micros, None),
        Datum::TimestampTz(micros) => {
            let offset = ctx.timezone.offset_seconds(*micros);
            let local = micros.saturating_add(offset * SECOND);
            Moment::of_local(local, Some((offset, zone_name(ctx, offset))))
        }
        Datum::Interval(interval) => Moment::of_interval(*interval),
        Datum::Int(value) => {
            return Ok(Some(Datum::text(number::format(&Decimal::from(*value), template)?)));
        }
        Datum::Float(value) => {
            let value = Decimal::from_float(*value, 15);
            return Ok(Some(Datum::text(number::format(&value, template)?)));
        }
        Datum::Numeric(value) => return Ok(Some(Datum::text(number::format(value, template)?))),
        _ => return Ok(None),
    };
    Ok(Some(Datum::text(moment.format(template))))
}

fn zone_name(ctx: &EvalContext, offset: i64) -> String {
    match &ctx.timezone {
        datetime::TimeZone::Utc => "UTC".to_owned(),
        _ => datetime::format_offset(offset),
    }
}

/// A time taken apart.
struct Moment {
    year: i64,
    month: i64,
    day: i64,
    /// Days since 2000-01-01; of an interval, zero.
    days: i64,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
    /// Seconds ahead of UTC and the zone's name; `None` without time zone.
    zone: Option<(i64, String)>,
}

impl Moment {
    fn of_local(local: i64, zone: Option<(i64, String)>) -> Moment {
        let (days, time) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        let Civil { year, month, day } = Civil::from_days(days);
        let seconds = time / SECOND;
        Moment {
            year,
            month,
            day,
            days,
            hour: seconds / 3600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            micros: time % SECOND,
            zone,
        }
    }

    fn of_interval(interval: Interval) -> Moment {
        let seconds = interval.micros / SECOND;
        Moment {
            year: i64::from(interval.months / 12),
            month: i64::from(interval.months % 12),
            day: i64::from(interval.days),
            days: 0,
            hour: seconds / 3600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            micros: interval.micros % SECOND,
            zone: None,
        }
    }

    fn format(&self, template: &str) -> String {
        let mut out = String::new();
        let mut rest = template;
        'template: while let Some(first) = rest.chars().next() {
            if let Some(quoted) = rest.strip_prefix('"') {
                let end = quoted.find('"').unwrap_or(quoted.len());
                out.push_str(&quoted[..end]);
                rest = quoted.get(end + 1..).unwrap_or("");
                continue;
            }
            let (fill, body) = match rest.get(..2) {
                Some(mark) if mark.eq_ignore_ascii_case("fm") => (false, &rest[2..]),
                _ => (true, rest),
            };
            for pattern in PATTERNS {
                let matched = body.get(..pattern.len()).filter(|head| {
                    *head == *pattern || (is_numeric(pattern) && head.eq_ignore_ascii_case(pattern))
                });
                if let Some(head) = matched {
                    let text = self.field(pattern, fill);
                    out.push_str(&text);
                    rest = &body[head.len()..];
                    rest = self.ordinal(rest, &text, &mut out);
                    continue 'template;
                }
            }
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
        out
    }

    /// `TH` and `th` behind a number.
    fn ordinal<'a>(&self, rest: &'a str, number: &str, out: &mut String) -> &'a str {
        let upper = match rest.get(..2) {
            Some("TH") => true,
            Some("th") => false,
            _ => return rest,
        };
        let Ok(number) = number.trim().parse::<i64>() else {
            return rest;
        };
        let suffix = match (number % 100, number % 10) {
            (11..=13, _) => "th",
            (_, 1) => "st",
            (_, 2) => "nd",
            (_, 3) => "rd",
            _ => "th",
        };
        if upper {
            out.push_str(&suffix.to_uppercase())
        } else {
            out.push_str(suffix)
        }
        &rest[2..]
    }

    fn field(&self, pattern: &str, fill: bool) -> String {
        let number = |value: i64, width: usize| {
            if fill { format!("{value:0width$}") } else { value.to_string() }
        };
        let word = |text: &str, width: usize| {
            if fill { format!("{text:<width$}") } else { text.to_owned() }
        };
        let hour12 = if self.hour % 12 == 0 { 12 } else { self.hour % 12 };
        let year = if self.year > 0 { self.year } else { 1 - self.year };
        let (iso_year, iso_week) = datetime::iso_week(self.days);
        let weekday = usize::try_from((self.days + 6).rem_euclid(7)).expect("below seven");
        let month = usize::try_from((self.month - 1).rem_euclid(12)).expect("below twelve");
        let first = Civil { year: self.year, month: 1, day: 1 }.to_days();
        let noon = |am: &str, pm: &str| if self.hour % 24 < 12 { am } else { pm }.to_owned();
        match pattern {
            "HH24" => number(self.hour, 2),
            "HH12" | "HH" => number(hour12, 2),
            "MI" => number(self.minute, 2),
            "SSSSS" | "SSSS" => (self.hour * 3600 + self.minute * 60 + self.second).to_string(),
            "SS" => number(self.second, 2),
            "MS" => number(self.micros / 1000, 3),
            "US" => number(self.micros, 6),
            "AM" | "PM" => noon("AM", "PM"),
            "am" | "pm" => noon("am", "pm"),
            "A.M." | "P.M." => noon("A.M.", "P.M."),
            "a.m." | "p.m." => noon("a.m.", "p.m."),
            "Y,YYY" => format!("{},{:03}", year / 1000, year % 1000),
            "YYYY" => number(year, 4),
            "YYY" => number(year % 1000, 3),
            "YY" => number(year % 100, 2),
            "Y" => (year % 10).to_string(),
            "IYYY" => number(iso_year, 4),
            "IW" => number(iso_week, 2),
            "ID" => ((self.days + 5).rem_euclid(7) + 1).to_string(),
            "MONTH" => word(&MONTHS[month].to_uppercase(), 9),
            "Month" => word(MONTHS[month], 9),
            "month" => word(&MONTHS[month].to_lowercase(), 9),
            "MON" => MONTHS[month][..3].to_uppercase(),
            "Mon" => MONTHS[month][..3].to_owned(),
            "mon" => MONTHS[month][..3].to_lowercase(),
            "MM" => number(self.month, 2),
            "DAY" => word(&WEEKDAYS[weekday].to_uppercase(), 9),
            "Day" => word(WEEKDAYS[weekday], 9),
            "day" => word(&WEEKDAYS[weekday].to_lowercase(), 9),
            "DY" => WEEKDAYS[weekday][..3].to_uppercase(),
            "Dy" => WEEKDAYS[weekday][..3].to_owned(),
            "dy" => WEEKDAYS[weekday][..3].to_lowercase(),
            "DDD" => number(self.days - first + 1, 3),
            "DD" => number(self.day, 2),
            "D" => (weekday + 1).to_string(),
            "WW" => number((self.days - first) / 7 + 1, 2),
            "W" => ((self.day - 1) / 7 + 1).to_string(),
            "CC" => number((year + 99) / 100, 2),
            "J" => (self.days + 2_451_545).to_string(),
            "Q" => ((self.month - 1).div_euclid(3) + 1).to_string(),
            "RM" => word(ROMAN[month], 4),
            "BC" | "AD" => if self.year > 0 { "AD" } else { "BC" }.to_owned(),
            "TZ" => self.zone.as_ref().map(|(_, name)| name.clone()).unwrap_or_default(),
            "tz" => self.zone.as_ref().map(|(_, name)| name.to_lowercase()).unwrap_or_default(),
            "OF" => datetime::format_offset(self.zone.as_ref().map_or(0, |(offset, _)| *offset)),
            _ => String::new(),
        }
    }
}

/// Patterns, longer ones before those they start with.
const PATTERNS: &[&str] = &[
    "HH24", "HH12", "HH", "MI", "SSSSS", "SSSS", "SS", "MS", "US", "A.M.", "P.M.", "a.m.", "p.m.",
    "AM", "PM", "am", "pm", "Y,YYY", "IYYY", "YYYY", "YYY", "YY", "Y", "IW", "ID", "MONTH",
    "Month", "month", "MON", "Mon", "mon", "MM", "DAY", "Day", "day", "DY", "Dy", "dy", "DDD",
    "DD", "D", "WW", "W", "CC", "J", "Q", "RM", "BC", "AD", "TZ", "tz", "OF",
];

/// Patterns that yield digits may be written in lower case.
fn is_numeric(pattern: &str) -> bool {
    matches!(
        pattern,
        "HH24"
            | "HH12"
            | "HH"
            | "MI"
            | "SSSSS"
            | "SSSS"
            | "SS"
            | "MS"
            | "US"
            | "Y,YYY"
            | "IYYY"
            | "YYYY"
            | "YYY"
            | "YY"
            | "Y"
            | "IW"
            | "ID"
            | "MM"
            | "DDD"
            | "DD"
            | "D"
            | "WW"
            | "W"
            | "CC"
            | "J"
            | "Q"
    )
}
