//! `to_char`: dates, intervals and numbers by a template.
//!
//! A template is patterns and anything else, which is copied: text in double quotes in any case, a
//! backslash before a double quote for that quote itself. [`time`] knows the patterns of dates and
//! intervals, [`number`] those of numbers; which letters are a pattern depends on their case.

mod number;
mod time;

use crate::{
    context::EvalContext,
    datetime,
    datum::Datum,
    error::{Result, SqlError, SqlState},
};

/// The most bytes of a template.
const MAX_TEMPLATE_BYTES: usize = 10_000;

/// What a number is, for the templates of numbers work on its digits.
pub(super) use number::Source;

/// Dates and intervals. `None`: the arguments are none the function takes.
pub(super) fn of_time(args: &[Datum], ctx: &EvalContext) -> Result<Option<Datum>> {
    let [value, Datum::Text(template)] = args else {
        return Ok(None);
    };
    let infinite = match value {
        Datum::Timestamp(micros) | Datum::TimestampTz(micros) => datetime::is_infinite(*micros),
        Datum::Interval(_) => false,
        _ => return Ok(None),
    };
    if infinite || template.is_empty() {
        return Ok(Some(Datum::Null));
    }
    check(template)?;
    let moment = match value {
        Datum::Timestamp(micros) => time::Moment::of_local(*micros),
        Datum::TimestampTz(micros) => time::Moment::of_utc(*micros, &ctx.timezone),
        Datum::Interval(interval) => time::Moment::of_interval(*interval),
        _ => return Ok(None),
    };
    Ok(Some(Datum::text(moment.format(template)?)))
}

/// Numbers. `None`: the arguments are none the function takes.
pub(super) fn of_number(source: Source, args: &[Datum]) -> Result<Option<Datum>> {
    let [value, Datum::Text(template)] = args else {
        return Ok(None);
    };
    check(template)?;
    number::format(source, value, template).map(|text| text.map(Datum::text))
}

/// Refuses templates that no report needs: `54000`.
fn check(template: &str) -> Result<()> {
    if template.len() <= MAX_TEMPLATE_BYTES {
        return Ok(());
    }
    Err(SqlError::new(
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        format!("a template of to_char is longer than {MAX_TEMPLATE_BYTES} bytes"),
    ))
}

/// What a template has at its start where no pattern is: text to be copied, and what follows it.
fn literal(template: &str) -> (String, &str) {
    let mut out = String::new();
    let Some(quoted) = template.strip_prefix('"') else {
        // Outside of quotes a backslash stands for itself, but before a quote.
        let rest = if template.starts_with("\\\"") { &template[1..] } else { template };
        let mut chars = rest.chars();
        out.extend(chars.next());
        return (out, chars.as_str());
    };
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => out.push(chars.next().unwrap_or('\\')),
            c => out.push(c),
        }
    }
    (out, chars.as_str())
}

/// The letters behind an ordinal number: `1st`, `12th`; `None` if it does not end with a digit.
fn ordinal(number: &str) -> Option<&'static str> {
    let mut digits = number.bytes().rev();
    let last = digits.next().filter(u8::is_ascii_digit)?;
    Some(match (digits.next(), last) {
        (Some(b'1'), _) => "th",
        (_, b'1') => "st",
        (_, b'2') => "nd",
        (_, b'3') => "rd",
        _ => "th",
    })
}
