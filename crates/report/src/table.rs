//! Tables with typed columns: one description, three renderings.
//!
//! A column has a name, a unit and a kind; a row has one cell per column, of that kind or missing.
//! CSV is for programs: full precision, no grouping, an estimate as three columns. Text and HTML are
//! for people: one number of decimals per column, aligned at the point.

mod text;

use std::io;

use crate::{number, stats::Estimate};

/// What kind of cells a column has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Count,
    Number,
    Estimate,
}

/// The head of a column.
#[derive(Clone, Debug)]
pub struct Column {
    name: String,
    /// Empty where there is none.
    unit: String,
    kind: Kind,
    /// Digits after the point for people; none: as many as the column's smallest value needs.
    decimals: Option<usize>,
}

/// One field of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A name.
    Text(String),
    /// A whole number.
    Count(i64),
    /// A number that has no interval: a parameter, or what theory says.
    Number(f64),
    /// A measured number.
    Estimate(Estimate),
    /// Nothing was measured here.
    Missing,
}

/// Rows under typed columns.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    /// Each as long as `columns`, each cell of its column's kind or missing.
    rows: Vec<Vec<Cell>>,
}

impl Column {
    /// A column of names.
    pub fn text(name: impl Into<String>) -> Column {
        Column::of(name, Kind::Text)
    }

    /// A column of whole numbers.
    pub fn count(name: impl Into<String>) -> Column {
        Column::of(name, Kind::Count)
    }

    /// A column of numbers without intervals.
    pub fn number(name: impl Into<String>) -> Column {
        Column::of(name, Kind::Number)
    }

    /// A column of measured numbers.
    pub fn estimate(name: impl Into<String>) -> Column {
        Column::of(name, Kind::Estimate)
    }

    fn of(name: impl Into<String>, kind: Kind) -> Column {
        Column { name: name.into(), unit: String::new(), kind, decimals: None }
    }

    /// With a unit, shown in the head only.
    #[must_use]
    pub fn unit(mut self, unit: impl Into<String>) -> Column {
        self.unit = unit.into();
        self
    }

    /// With so many digits after the point where people read.
    #[must_use]
    pub fn decimals(mut self, decimals: usize) -> Column {
        self.decimals = Some(decimals);
        self
    }

    /// The name with the unit behind it: `latency p50 (ms)`.
    fn heading(&self, what: &str) -> String {
        match self.unit.as_str() {
            "" => format!("{}{what}", self.name),
            unit => format!("{}{what} ({unit})", self.name),
        }
    }

    fn is_numeric(&self) -> bool {
        self.kind != Kind::Text
    }
}

impl Cell {
    fn fits(&self, kind: Kind) -> bool {
        match self {
            Cell::Text(_) => kind == Kind::Text,
            Cell::Count(_) => kind == Kind::Count,
            Cell::Number(_) => kind == Kind::Number,
            Cell::Estimate(_) => kind == Kind::Estimate,
            Cell::Missing => true,
        }
    }

    fn value(&self) -> Option<f64> {
        match self {
            Cell::Number(value) => Some(*value),
            Cell::Estimate(estimate) => Some(estimate.value),
            Cell::Text(_) | Cell::Count(_) | Cell::Missing => None,
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::Text(text)
    }
}

impl From<usize> for Cell {
    fn from(count: usize) -> Cell {
        Cell::Count(i64::try_from(count).expect("no experiment counts that far"))
    }
}

impl From<f64> for Cell {
    fn from(number: f64) -> Cell {
        Cell::Number(number)
    }
}

impl From<Estimate> for Cell {
    fn from(estimate: Estimate) -> Cell {
        Cell::Estimate(estimate)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(cell: Option<T>) -> Cell {
        cell.map_or(Cell::Missing, Into::into)
    }
}

impl Table {
    /// A table without rows.
    ///
    /// # Panics
    ///
    /// If there is no column.
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Table {
        let columns: Vec<Column> = columns.into_iter().collect();
        assert!(!columns.is_empty(), "a table has a column");
        Table { columns, rows: Vec::new() }
    }

    /// Adds a row.
    ///
    /// # Panics
    ///
    /// If there are more or fewer cells than columns, a cell is of another kind than its column, or
    /// a number is not finite.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let cells: Vec<Cell> = cells.into_iter().collect();
        assert_eq!(cells.len(), self.columns.len(), "one cell per column: {cells:?}");
        for (column, cell) in self.columns.iter().zip(&cells) {
            assert!(cell.fits(column.kind), "no cell of column {}: {cell:?}", column.name);
            let value = cell.value();
            assert!(value.is_none_or(f64::is_finite), "column {} gets {value:?}", column.name);
        }
        self.rows.push(cells);
    }

    /// Writes a head and the rows as CSV. Numbers have 15 digits, without zeros at the end, and no exponent. An
    /// estimate makes three columns: itself, and `low` and `high` of its interval. What is missing
    /// is empty.
    pub fn write_csv(&self, out: impl io::Write) -> csv::Result<()> {
        let mut writer = csv::Writer::from_writer(out);
        for column in &self.columns {
            writer.write_field(column.heading(""))?;
            if column.kind == Kind::Estimate {
                writer.write_field(column.heading(" low"))?;
                writer.write_field(column.heading(" high"))?;
            }
        }
        writer.write_record(None::<&[u8]>)?;
        for row in &self.rows {
            for (column, cell) in self.columns.iter().zip(row) {
                for field in csv_fields(column, cell) {
                    writer.write_field(field)?;
                }
            }
            writer.write_record(None::<&[u8]>)?;
        }
        writer.flush()?;
        Ok(())
    }

    /// The digits after the point of each column.
    fn decimals(&self) -> Vec<usize> {
        let of = |(at, column): (usize, &Column)| {
            let values = self.rows.iter().filter_map(|row| row[at].value());
            column.decimals.unwrap_or_else(|| match column.kind {
                // Parameters are read as they were given.
                Kind::Number => values.map(needed_decimals).max().unwrap_or(0),
                Kind::Text | Kind::Count | Kind::Estimate => number::decimals_for(values),
            })
        };
        self.columns.iter().enumerate().map(of).collect()
    }

    /// The table as HTML; the caption is plain text.
    pub(crate) fn to_html(&self, caption: &str) -> String {
        let escape = crate::page::escape;
        let mut html = String::from("<div class=\"scroll\"><table>");
        if !caption.is_empty() {
            html += &format!("<caption>{}</caption>", escape(caption));
        }
        html += "\n<thead><tr>";
        for column in &self.columns {
            let class = match column.kind {
                Kind::Text => "",
                Kind::Count | Kind::Number => " class=\"n\"",
                Kind::Estimate => " class=\"e\" colspan=\"2\"",
            };
            let unit = match column.unit.as_str() {
                "" => String::new(),
                unit => format!(" <span class=\"unit\">{}</span>", escape(unit)),
            };
            html += &format!("<th scope=\"col\"{class}>{}{unit}</th>", escape(&column.name));
        }
        html += "</tr></thead>\n<tbody>\n";
        let decimals = self.decimals();
        for row in &self.rows {
            html += "<tr>";
            for ((column, cell), decimals) in self.columns.iter().zip(row).zip(&decimals) {
                let (main, around) = shown(cell, *decimals);
                let main = escape(&main);
                html += &match column.kind {
                    Kind::Text => format!("<td>{main}</td>"),
                    Kind::Count | Kind::Number => format!("<td class=\"n\">{main}</td>"),
                    // The interval has a column of its own, so that values stay below each other.
                    Kind::Estimate => {
                        let around = escape(&around.unwrap_or_default());
                        format!("<td class=\"e\">{main}</td><td class=\"ci\">{around}</td>")
                    }
                };
            }
            html += "</tr>\n";
        }
        html + "</tbody></table></div>\n"
    }
}

/// The fields of a cell in CSV: three for an estimate, else one.
fn csv_fields(column: &Column, cell: &Cell) -> Vec<String> {
    match cell {
        Cell::Text(text) => vec![text.clone()],
        Cell::Count(count) => vec![count.to_string()],
        Cell::Number(number) => vec![exact(*number)],
        Cell::Estimate(Estimate { value, interval }) => {
            let end = |end: Option<f64>| end.map_or(String::new(), exact);
            let (low, high) = (interval.map(|i| i.low()), interval.map(|i| i.high()));
            vec![exact(*value), end(low), end(high)]
        }
        Cell::Missing if column.kind == Kind::Estimate => vec![String::new(); 3],
        Cell::Missing => vec![String::new()],
    }
}

/// A number with as many digits as a computation in binary leaves of it: 15, without those that only
/// tell how it was rounded.
fn exact(value: f64) -> String {
    let rounded = format!("{value:.14e}").parse::<f64>().expect("a number reads back");
    rounded.to_string()
}

/// A cell as people read it, and its interval.
fn shown(cell: &Cell, decimals: usize) -> (String, Option<String>) {
    match cell {
        Cell::Text(text) => (text.clone(), None),
        Cell::Count(count) => (number::whole(*count), None),
        Cell::Number(value) => (number::fixed(*value, decimals), None),
        Cell::Estimate(Estimate { value, interval }) => {
            let ends = interval.map(|interval| {
                let [low, high] =
                    [interval.low(), interval.high()].map(|end| number::fixed(end, decimals));
                if low.starts_with('\u{2212}') || high.starts_with('\u{2212}') {
                    format!("{low} to {high}")
                } else {
                    format!("{low}\u{2013}{high}")
                }
            });
            (number::fixed(*value, decimals), ends)
        }
        Cell::Missing => ("\u{2013}".to_owned(), None),
    }
}

/// The digits after the point that a number has when it is written with three significant ones.
fn needed_decimals(value: f64) -> usize {
    let text = number::short(value);
    text.split_once('.').map_or(0, |(_, decimals)| decimals.len())
}

#[cfg(test)]
mod tests;
