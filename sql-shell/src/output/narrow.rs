//! A table that is too wide for the terminal, made narrower without losing a word: what every row
//! says is said once, beneath.
//!
//! ```text
//! │ node_id ┆ earliest        ┆ true_offset_ms │
//! │       1 ┆ 11:37:44.157247 ┆          0.167 │
//! │       2 ┆ 11:37:44.160899 ┆          3.819 │
//! in every row: epsilon_ms = 4, source = fixed(4ms)
//! on 2026-11-30 (+00): earliest
//! ```
//!
//! The first column stays: it names the rows. So does what is too long for a line beneath.

use std::collections::BTreeMap;

use unicode_width::UnicodeWidthStr;

use super::shown;
use crate::client::{Answer, Column, Kind};

/// The widest value that is told beneath the table.
const SAID_ONCE: usize = 40;

/// Columns of a date: `2026-11-30`.
const DATE: usize = 10;

/// What remains of a result, and what is told beneath it.
pub(super) struct Narrow {
    pub answer: Answer,
    pub columns: Vec<Column>,
    /// Lines, each with its end.
    pub notes: String,
}

/// A result with what its rows have in common taken out; `None` if they have nothing in common.
pub(super) fn narrow(answer: &Answer, columns: &[Column], width: usize) -> Option<Narrow> {
    if answer.rows.len() < 2 {
        return None;
    }
    let (mut said, mut days) = (Vec::new(), BTreeMap::<(&str, &str), Vec<String>>::new());
    let mut kept = Vec::new();
    for (index, column) in columns.iter().enumerate() {
        let values: Vec<Option<&str>> =
            answer.rows.iter().map(|row| row[index].as_deref()).collect();
        if let Some(value) = common(&values).filter(|_| index > 0) {
            said.push(format!("{} = {value}", shown(&column.name)));
        } else {
            let day = Some(column).filter(|column| column.kind == Kind::Text);
            let day = day.and_then(|_| common_day(&values));
            if let Some(day) = day {
                days.entry(day).or_default().push(shown(&column.name));
            }
            kept.push((index, day.is_some()));
        }
    }
    if said.is_empty() && days.is_empty() {
        return None;
    }
    let row = |row: &Vec<Option<String>>| {
        let cell = |(index, is_timed): &(usize, bool)| {
            let value = row[*index].as_deref();
            value.map(|value| if *is_timed { time(value) } else { value }.to_owned())
        };
        kept.iter().map(cell).collect()
    };
    let mut notes =
        if said.is_empty() { String::new() } else { told("in every row:", &said, width) };
    for ((date, zone), names) in &days {
        let zone = if zone.is_empty() { String::new() } else { format!(" ({zone})") };
        notes += &told(&format!("on {date}{zone}:"), names, width);
    }
    Some(Narrow {
        answer: Answer { rows: answer.rows.iter().map(row).collect(), ..Answer::default() },
        columns: kept.iter().map(|(index, _)| columns[*index].clone()).collect(),
        notes,
    })
}

/// The value that all rows have, if it is a short one.
fn common(values: &[Option<&str>]) -> Option<String> {
    let first = values.first()?;
    let value = first.map_or_else(|| "NULL".to_owned(), shown);
    let is_short = value.width() <= SAID_ONCE && !value.contains('\n') && !value.is_empty();
    (is_short && values.iter().all(|value| value == first)).then_some(value)
}

/// The date and the zone of instants that lie on one day; NULLs say nothing of it.
fn common_day<'a>(values: &[Option<&'a str>]) -> Option<(&'a str, &'a str)> {
    let mut days = values.iter().flatten().map(|value| day(value));
    let first = days.next()??;
    days.all(|day| day == Some(first)).then_some(first)
}

/// The date and the zone of an instant as the server writes it: `2026-11-30 11:37:44.157247+00`.
fn day(value: &str) -> Option<(&str, &str)> {
    let is_date = |date: &str| {
        date.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
    };
    let (date, rest) = value.split_once(' ')?;
    let time = self::time(value);
    let is_time = time.bytes().all(|byte| byte.is_ascii_digit() || b":.".contains(&byte));
    let is_instant = date.len() == DATE && is_date(date) && is_time && time.contains(':');
    is_instant.then(|| (date, &rest[time.len()..]))
}

/// The time of day of an instant, without its zone.
fn time(value: &str) -> &str {
    let (_, rest) = value.split_once(' ').unwrap_or_default();
    &rest[..rest.find(['+', '-', ' ']).unwrap_or(rest.len())]
}

/// Entries behind what they are, in lines that fit; none is torn.
fn told(what: &str, entries: &[String], width: usize) -> String {
    let mut text = what.to_owned();
    let mut column = what.width();
    for (nth, entry) in entries.iter().enumerate() {
        let entry = if nth + 1 < entries.len() { format!("{entry},") } else { entry.clone() };
        if nth > 0 && column + 1 + entry.width() > width {
            text += "\n ";
            column = 1;
        }
        text += &format!(" {entry}");
        column += 1 + entry.width();
    }
    text + "\n"
}
