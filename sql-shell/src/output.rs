//! Results as tables, CSV or JSON.
//!
//! Tables are for people: they fit the terminal, made narrower if need be ([`narrow`]), or stand on end
//! ([`Layout::Auto`]), and nothing in
//! them can move a terminal's cursor. CSV and JSON are for programs: what a value is, is kept, and
//! the same statements give the same stream whatever the terminal is ([`data`]).

mod data;
mod narrow;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use unicode_width::UnicodeWidthStr;

use crate::client::{Answer, Column, Kind};
pub use data::record as csv_record;

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Drawn tables and row counts.
    Table,
    /// RFC 4180 with a header line; NULL is an empty field, an empty text is `""`.
    Csv,
    /// One array of objects per statement with rows, each on one line.
    Json,
}

/// How wide rows are shown in tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A row is a line.
    Rows,
    /// A column is a line (`\x on`).
    Expanded,
    /// A row is a line if that fits the terminal, perhaps without what all rows have in common, which
    /// is told beneath; else a column is (`\x auto`). Without a terminal, a row.
    Auto,
}

impl Layout {
    /// As `\x` takes it, and says it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Layout::Rows => "off",
            Layout::Expanded => "on",
            Layout::Auto => "auto",
        }
    }
}

/// How results are to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// How they are printed.
    pub format: Format,
    /// How wide rows are shown.
    pub layout: Layout,
    /// Columns of the terminal; `None`: there is none.
    pub width: Option<usize>,
}

/// Columns between two stops of a tab.
const TAB: usize = 8;

/// A result as text, with its final newline; empty if there is nothing to print.
#[must_use]
pub fn render(answer: &Answer, style: Style) -> String {
    match (style.format, &answer.columns) {
        (Format::Table, Some(columns)) => drawn(answer, columns, style),
        // Of transactions the tag tells what was done: ROLLBACK also where COMMIT was asked for, if the
        // transaction had failed.
        (Format::Table, None) if is_of_transactions(&answer.tag) => format!("{}\n", answer.tag),
        (Format::Table, None) => match answer.count {
            0 => "ok\n".to_owned(),
            count => format!("ok, {}\n", rows(count)),
        },
        (Format::Csv, Some(columns)) => data::csv(answer, columns),
        (Format::Json, Some(columns)) => data::json(answer, columns),
        (Format::Csv | Format::Json, None) => String::new(),
    }
}

fn is_of_transactions(tag: &str) -> bool {
    matches!(tag, "BEGIN" | "START TRANSACTION" | "COMMIT" | "ROLLBACK")
}

fn rows(count: u64) -> String {
    if count == 1 { "1 row".to_owned() } else { format!("{count} rows") }
}

fn drawn(answer: &Answer, columns: &[Column], style: Style) -> String {
    match style.layout {
        Layout::Expanded => expanded(answer, columns, style.width),
        Layout::Rows => table(answer, columns, ""),
        Layout::Auto => match style.width {
            Some(width) => fitted(answer, columns, width),
            None => table(answer, columns, ""),
        },
    }
}

/// The plainest form that a terminal of this width holds.
fn fitted(answer: &Answer, columns: &[Column], width: usize) -> String {
    let fits = |table: &str| table.lines().next().map_or(0, UnicodeWidthStr::width) <= width;
    let whole = table(answer, columns, "");
    // A single column gains nothing from another form, nor does a result without rows.
    if fits(&whole) || columns.len() == 1 || answer.rows.is_empty() {
        return whole;
    }
    let narrow = narrow::narrow(answer, columns, width);
    let narrow = narrow.map(|narrow| table(&narrow.answer, &narrow.columns, &narrow.notes));
    narrow.filter(|table| fits(table)).unwrap_or_else(|| expanded(answer, columns, Some(width)))
}

/// Rows as lines, `notes` and how many rows there are beneath.
fn table(answer: &Answer, columns: &[Column], notes: &str) -> String {
    let counted = format!("({})\n", rows(answer.rows.len() as u64));
    if columns.is_empty() {
        return counted;
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|column| shown(&column.name)));
    for row in &answer.rows {
        table.add_row(columns.iter().zip(row).map(|(column, value)| {
            let cell = Cell::new(value.as_deref().map_or_else(|| "NULL".to_owned(), shown));
            match column.kind {
                Kind::Number => cell.set_alignment(CellAlignment::Right),
                Kind::Bool | Kind::Text => cell,
            }
        }));
    }
    format!("{table}\n{notes}{counted}")
}

fn expanded(answer: &Answer, columns: &[Column], terminal: Option<usize>) -> String {
    let names: Vec<String> = columns.iter().map(|column| shown(&column.name)).collect();
    let width = names.iter().map(|name| name.width()).max().unwrap_or(0);
    let mut out = String::new();
    for (number, row) in answer.rows.iter().enumerate() {
        let head = format!("─[ row {} ]", number + 1);
        let rule = (head.width() + width).min(terminal.unwrap_or(usize::MAX));
        out += &format!("{head}{}\n", "─".repeat(rule.saturating_sub(head.width())));
        for (name, value) in names.iter().zip(row) {
            let value = value.as_deref().map_or_else(|| "NULL".to_owned(), shown);
            let pad = " ".repeat(width - name.width());
            let mut lines = value.split('\n');
            let first = lines.next().unwrap_or_default();
            out += format!("{name}{pad} │ {first}").trim_end();
            out.push('\n');
            for line in lines {
                out += format!("{} │ {line}", " ".repeat(width)).trim_end();
                out.push('\n');
            }
        }
    }
    out + &format!("({})\n", rows(answer.rows.len() as u64))
}

/// A text as a terminal may see it: lines stay lines, tabs become spaces, and whatever would move the
/// cursor or change a colour is spelt out.
fn shown(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\n' => out.push('\n'),
            '\t' => {
                let column = out.rsplit('\n').next().unwrap_or_default().width();
                out += &" ".repeat(TAB - column % TAB);
            }
            '\r' => out += "\\r",
            c if c.is_control() => out += &format!("\\x{:02X}", u32::from(c)),
            c => out.push(c),
        }
    }
    out
}
