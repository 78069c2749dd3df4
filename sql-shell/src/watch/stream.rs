//! How what was seen is printed: for people as a table with a head now and then, for programs as one
//! CSV table or a JSON object per line.
//!
//! | format | an interval | a knob |
//! |---|---|---|
//! | table | time, figures, ε by region | time, name, scope, what it was and is |
//! | csv | the same columns in every row; what does not apply is empty | the last four columns |
//! | json | `{"time":..,"commits_per_s":..,..,"epsilon_ms":{"us-east":4}}` | `{"time":..,"knob":..,"scope":..,"from":..,"to":..}` |

use std::time::Duration;

use serde_json::Value;

use super::{Figures, Look, knobs::Change};
use crate::output::{Format, csv_record};

/// Lines between two heads.
const HEAD_EVERY: u64 = 20;

/// The figures of an interval, as CSV and JSON name them.
const FIGURES: [&str; 5] = ["commits_per_s", "p50_ms", "p99_ms", "hidden_p50_ms", "exposed_p50_ms"];

/// Columns about a knob in CSV.
const KNOB: [&str; 4] = ["knob", "scope", "from", "to"];

/// The head of a table, but for the regions.
const HEAD: &str = "    time commits/s  p50 ms  p99 ms hidden exposed";

/// Columns that an ε in milliseconds takes at least: it is at most 250.0.
const EPSILON_FIGURE: usize = 5;

/// Columns of a plain terminal, which a table fits if there are no more than five regions.
const WIDTH: usize = 80;

/// When something was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// For people: `10:54:59`.
    pub clock: String,
    /// For programs: `2026-11-22T10:54:59.305Z`.
    pub stamp: String,
}

/// What is printed, one text after the other.
#[derive(Debug)]
pub struct Stream {
    format: Format,
    /// Regions, each with a column; those of CSV are fixed from the first line on.
    regions: Vec<String>,
    /// Intervals printed so far.
    lines: u64,
}

impl Stream {
    /// About a cluster of these regions.
    pub fn new(format: Format, regions: Vec<String>) -> Stream {
        Stream { format, regions, lines: 0 }
    }

    /// Knobs that were turned in an interval, and then what the interval came to.
    pub fn interval(
        &mut self,
        at: &Moment,
        (last, now): (&Look, &Look),
        lasting: Duration,
    ) -> String {
        let mut text = String::new();
        let head_due = match self.format {
            Format::Table => self.lines.is_multiple_of(HEAD_EVERY),
            Format::Csv => self.lines == 0,
            Format::Json => false,
        };
        if head_due {
            text += &self.head();
        }
        self.lines += 1;
        for change in now.knobs.since(&last.knobs) {
            text += &self.turned(at, &change);
        }
        text + &self.figures(at, now.since(last).figures(lasting), now)
    }

    /// What is printed last, about everything since the first look.
    pub fn end(&self, first: &Look, last: &Look) -> String {
        match self.format {
            Format::Table => last.since(first).histogram(),
            Format::Csv | Format::Json => String::new(),
        }
    }

    fn head(&self) -> String {
        let regions = self.regions.iter();
        match self.format {
            Format::Table => table_head(&self.regions),
            Format::Csv => {
                let regions: Vec<String> =
                    regions.map(|name| format!("epsilon_ms_{name}")).collect();
                let regions = regions.iter().map(String::as_str);
                let columns = ["time"].into_iter().chain(FIGURES).chain(regions).chain(KNOB);
                csv_record(columns.map(Some))
            }
            Format::Json => String::new(),
        }
    }

    fn figures(&self, at: &Moment, figures: Figures, look: &Look) -> String {
        let Figures { commits_per_s, p50, p99, hidden, exposed } = figures;
        let epsilons = self.regions.iter().map(|name| (name, look.epsilons.get(name).copied()));
        let values = [Some(commits_per_s), p50, p99, hidden, exposed];
        match self.format {
            Format::Table => {
                let cell = |millis: Option<f64>, width: usize| match millis {
                    Some(millis) => format!(" {millis:width$.1}"),
                    None => format!(" {:>width$}", "-"),
                };
                let cells = values.into_iter().zip([9, 7, 7, 6, 7]);
                let cells: String = cells.map(|(value, width)| cell(value, width)).collect();
                let (gap, widths) = epsilon_columns(&self.regions);
                // Each under the end of its region's name.
                let epsilons: String =
                    epsilons.zip(widths).map(|((_, value), width)| cell(value, width)).collect();
                format!("{}{cells}{:gap$}{epsilons}\n", at.clock, "")
            }
            Format::Csv => {
                let all = values.into_iter().chain(epsilons.map(|(_, value)| value));
                let all: Vec<Option<String>> = all.map(|value| value.map(short)).collect();
                let values = all.iter().map(Option::as_deref);
                csv_record([Some(&*at.stamp)].into_iter().chain(values).chain([None; KNOB.len()]))
            }
            Format::Json => {
                let number = |value: Option<f64>| value.map_or("null".to_owned(), short);
                let figures = FIGURES.iter().zip(values);
                let figures: String =
                    figures.map(|(name, value)| format!(",\"{name}\":{}", number(value))).collect();
                let epsilons: Vec<String> = epsilons
                    .map(|(name, value)| format!("{}:{}", Value::from(&**name), number(value)))
                    .collect();
                let time = Value::from(&*at.stamp);
                let epsilons = epsilons.join(",");
                format!("{{\"time\":{time}{figures},\"epsilon_ms\":{{{epsilons}}}}}\n")
            }
        }
    }

    fn turned(&self, at: &Moment, change: &Change) -> String {
        let Change { name, scope, from, to } = change;
        match self.format {
            Format::Table => format!("{} {name} ({scope}): {from} -> {to}\n", at.clock),
            Format::Csv => {
                let none = [None].into_iter().cycle().take(FIGURES.len() + self.regions.len());
                let knob = [name, scope, from, to].map(|text| Some(text.as_str()));
                csv_record([Some(&*at.stamp)].into_iter().chain(none).chain(knob))
            }
            Format::Json => {
                let fields = KNOB.iter().zip([name, scope, from, to]);
                let fields: String = fields
                    .map(|(field, value)| format!(",\"{field}\":{}", Value::from(&**value)))
                    .collect();
                format!("{{\"time\":{}{fields}}}\n", Value::from(&*at.stamp))
            }
        }
    }
}

/// The columns of ε in a table: blanks in front of them all, and the width of each. They are as wide
/// as the regions' names if a line holds these, else as the figures.
fn epsilon_columns(regions: &[String]) -> (usize, Vec<usize>) {
    let names: Vec<usize> =
        regions.iter().map(|name| name.chars().count().max(EPSILON_FIGURE)).collect();
    let columns: usize = names.iter().map(|name| 1 + name).sum();
    if HEAD.len() + "  ".len() + columns <= WIDTH {
        ("  ".len(), names)
    } else {
        (" ".len(), vec![EPSILON_FIGURE; regions.len()])
    }
}

/// The head of a table, of as many lines as the names of the regions need: each ends where its
/// column ends, in the lowest line where it meets no other.
///
/// ```text
///                                               ε us-east     eu-west      sydney
///     time commits/s  p50 ms  p99 ms hidden exposed     us-west       tokyo
/// ```
fn table_head(regions: &[String]) -> String {
    let (gap, widths) = epsilon_columns(regions);
    // From the bottom up.
    let mut lines = vec![HEAD.to_owned()];
    let mut end = HEAD.len() + gap;
    for (nth, (name, width)) in regions.iter().zip(widths).enumerate() {
        end += 1 + width;
        // The first tells what all of them are.
        let text = if nth == 0 { format!("ε {name}") } else { name.clone() };
        let begin = end.saturating_sub(text.chars().count());
        let free = lines.iter().position(|line| line.chars().count() < begin);
        let free = free.unwrap_or_else(|| {
            lines.push(String::new());
            lines.len() - 1
        });
        lines[free] = format!("{:begin$}{text}", lines[free]);
    }
    lines.iter().rev().map(|line| format!("{line}\n")).collect()
}

/// A figure to the microsecond, without digits that say nothing.
fn short(value: f64) -> String {
    ((value * 1e3).round() / 1e3).to_string()
}
