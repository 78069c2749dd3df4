//! Results as tables, CSV or JSON.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;

use crate::client::Answer;

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Drawn tables and row counts.
    Table,
    /// RFC 4180 with a header line; NULL is an empty field without quotes.
    Csv,
    /// One array of objects per statement with rows, each on one line; NULL is null, all else text.
    Json,
}

/// How wide rows are shown in tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A row is a line.
    Rows,
    /// A column is a line (`\x`).
    Expanded,
}

/// A result as text, with its final newline; empty if there is nothing to print.
#[must_use]
pub fn render(answer: &Answer, format: Format, layout: Layout) -> String {
    match (format, &answer.columns) {
        (Format::Table, Some(columns)) if layout == Layout::Expanded => expanded(answer, columns),
        (Format::Table, Some(columns)) => table(answer, columns),
        // Also where COMMIT was asked for: the transaction had failed.
        (Format::Table, None) if answer.tag == "ROLLBACK" => "ROLLBACK\n".to_owned(),
        (Format::Table, None) => match answer.count {
            0 => "ok\n".to_owned(),
            count => format!("ok, {}\n", rows(count)),
        },
        (Format::Csv, Some(columns)) => csv(answer, columns),
        (Format::Json, Some(columns)) => json(answer, columns),
        (Format::Csv | Format::Json, None) => String::new(),
    }
}

fn rows(count: u64) -> String {
    if count == 1 { "1 row".to_owned() } else { format!("{count} rows") }
}

fn table(answer: &Answer, columns: &[String]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns);
    for row in &answer.rows {
        table.add_row(row.iter().enumerate().map(|(at, value)| cell(answer, at, value.as_deref())));
    }
    format!("{table}\n({})\n", rows(answer.rows.len() as u64))
}

/// Numbers to the right, when the whole column is numbers.
fn cell(answer: &Answer, column: usize, value: Option<&str>) -> Cell {
    let cell = Cell::new(value.unwrap_or("NULL"));
    let numeric = answer
        .rows
        .iter()
        .all(|row| row[column].as_deref().is_none_or(|text| text.parse::<f64>().is_ok()));
    if numeric { cell.set_alignment(CellAlignment::Right) } else { cell }
}

fn expanded(answer: &Answer, columns: &[String]) -> String {
    let width = columns.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for (number, row) in answer.rows.iter().enumerate() {
        out += &format!("─[ row {} ]{}\n", number + 1, "─".repeat(width));
        for (name, value) in columns.iter().zip(row) {
            let value = value.as_deref().unwrap_or("NULL");
            out += &format!("{name:width$} │ {value}\n");
        }
    }
    out + &format!("({})\n", rows(answer.rows.len() as u64))
}

fn csv(answer: &Answer, columns: &[String]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let written = writer.write_record(columns).and_then(|()| {
        answer.rows.iter().try_for_each(|row| {
            writer.write_record(row.iter().map(|value| value.as_deref().unwrap_or("")))
        })
    });
    written.expect("rows are as wide as the header, and memory takes them");
    let bytes = writer.into_inner().expect("memory takes them");
    String::from_utf8(bytes).expect("made of text")
}

/// Fields in the order of the columns, and all of them when two share a name: what a map of JSON
/// values would lose.
fn json(answer: &Answer, columns: &[String]) -> String {
    let object = |row: &Vec<Option<String>>| {
        let fields = columns.iter().zip(row).map(|(name, value)| {
            let value = value.clone().map_or(Value::Null, Value::String);
            format!("{}:{value}", Value::String(name.clone()))
        });
        format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
    };
    let rows: Vec<String> = answer.rows.iter().map(object).collect();
    format!("[{}]\n", rows.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Answer {
        Answer {
            columns: Some(vec!["id".into(), "name".into()]),
            rows: vec![
                vec![Some("7".into()), Some("a,\"b\"".into())],
                vec![Some("10".into()), None],
            ],
            count: 2,
            tag: "SELECT 2".into(),
        }
    }

    #[test]
    fn a_commit_that_was_none_is_told() {
        let done = |tag: &str, count| Answer { tag: tag.into(), count, ..Answer::default() };
        let text = |answer: &Answer| render(answer, Format::Table, Layout::Rows);
        assert_eq!(text(&done("COMMIT", 0)), "ok\n");
        assert_eq!(text(&done("INSERT 0 3", 3)), "ok, 3 rows\n");
        assert_eq!(text(&done("ROLLBACK", 0)), "ROLLBACK\n");
    }

    #[test]
    fn tables_align_numbers_to_the_right() {
        let text = render(&answer(), Format::Table, Layout::Rows);
        assert!(text.contains("│  7 ┆ a,\"b\" │"), "{text}");
        assert!(text.ends_with("(2 rows)\n"), "{text}");
    }

    #[test]
    fn csv_and_json_keep_null_apart() {
        assert_eq!(
            render(&answer(), Format::Csv, Layout::Rows),
            "id,name\n7,\"a,\"\"b\"\"\"\n10,\n"
        );
        assert_eq!(
            render(&answer(), Format::Json, Layout::Rows),
            "[{\"id\":\"7\",\"name\":\"a,\\\"b\\\"\"},{\"id\":\"10\",\"name\":null}]\n"
        );
    }

    #[test]
    fn json_keeps_the_order_of_columns() {
        let answer = Answer {
            columns: Some(vec!["z".into(), "a".into(), "z".into()]),
            rows: vec![vec![Some("1".into()), Some("2".into()), Some("3".into())]],
            count: 1,
            tag: "SELECT 1".into(),
        };
        let text = render(&answer, Format::Json, Layout::Rows);
        assert_eq!(text, "[{\"z\":\"1\",\"a\":\"2\",\"z\":\"3\"}]\n");
    }

    #[test]
    fn expanded_puts_a_column_on_a_line() {
        let text = render(&answer(), Format::Table, Layout::Expanded);
        assert!(text.contains("id   │ 7\nname │ a,\"b\"\n"), "{text}");
    }
}
