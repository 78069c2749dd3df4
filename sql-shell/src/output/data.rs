//! Results for programs.
//!
//! **JSON**: an array of objects per result, each array on a line of its own. A number is a number,
//! digit for digit as the database has it: a reader that takes it for a double may lose digits of an
//! `INT8` or `NUMERIC` beyond 2^53, so one that must not asks for `v::text`. `NaN` and the infinities
//! are no numbers in JSON: they are texts. Booleans are booleans, NULL is null, everything else is
//! its text. Of columns that share a name the second is called `name_2`, and so on: no key twice.
//!
//! **CSV**: as PostgreSQL's COPY writes it. NULL is an empty field, an empty text is `""`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::client::{Answer, Column, Kind};

pub fn csv(answer: &Answer, columns: &[Column]) -> String {
    let mut out = record(columns.iter().map(|column| Some(column.name.as_str())));
    for row in &answer.rows {
        out += &record(row.iter().map(Option::as_deref));
    }
    out
}

/// A line of CSV.
pub fn record<'a>(fields: impl Iterator<Item = Option<&'a str>>) -> String {
    let quoted =
        |field: &str| field.is_empty() || field.contains([',', '"', '\n', '\r']) || field == "\\.";
    let field = |field: Option<&str>| match field {
        None => String::new(),
        Some(text) if quoted(text) => format!("\"{}\"", text.replace('"', "\"\"")),
        Some(text) => text.to_owned(),
    };
    fields.map(field).collect::<Vec<_>>().join(",") + "\n"
}

/// Fields stand in the order of the columns, which a map of JSON values would lose.
pub fn json(answer: &Answer, columns: &[Column]) -> String {
    let keys = keys(columns);
    let object = |row: &Vec<Option<String>>| {
        let fields = keys.iter().zip(columns).zip(row).map(|((key, column), value)| {
            format!("{}:{}", Value::from(key.as_str()), value_of(column.kind, value.as_deref()))
        });
        format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
    };
    let rows: Vec<String> = answer.rows.iter().map(object).collect();
    format!("[{}]\n", rows.join(","))
}

/// The columns' names, each once: the second `id` is `id_2`, unless a column has that name.
fn keys(columns: &[Column]) -> Vec<String> {
    let names: BTreeSet<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let mut taken = BTreeSet::new();
    let mut key = |column: &Column| {
        let numbered = (2..).map(|number| format!("{}_{number}", column.name));
        let mut free = numbered.filter(|key| !names.contains(key.as_str()));
        let mut key = column.name.clone();
        while !taken.insert(key.clone()) {
            key = free.next().expect("there is always another number");
        }
        key
    };
    columns.iter().map(&mut key).collect()
}

fn value_of(kind: Kind, value: Option<&str>) -> String {
    match (kind, value) {
        (_, None) => "null".to_owned(),
        (Kind::Bool, Some("t")) => "true".to_owned(),
        (Kind::Bool, Some("f")) => "false".to_owned(),
        (Kind::Number, Some(text)) if is_number(text) => text.to_owned(),
        (Kind::Number | Kind::Bool | Kind::Text, Some(text)) => Value::from(text).to_string(),
    }
}

/// Whether a text is a number as JSON writes one.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        None => (unsigned, None),
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        None => (mantissa, None),
        Some((whole, fraction)) => (whole, Some(fraction)),
    };
    let plain = |exponent: &str| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_that_json_has() {
        for text in ["0", "-7", "1.50", "1e+20", "2.5E-07", "9223372036854775807", "0.1"] {
            assert!(is_number(text), "{text}");
            assert!(text.parse::<serde_json::Number>().is_ok(), "{text}");
        }
        for text in ["NaN", "Infinity", "-Infinity", "", "-", "01", ".5", "5.", "1e", "+1", "1 "] {
            assert!(!is_number(text), "{text}");
        }
    }

    #[test]
    fn no_key_comes_twice() {
        let named = |names: &[&str]| {
            let column = |name: &&str| Column { name: (*name).to_owned(), kind: Kind::Text };
            keys(&names.iter().map(column).collect::<Vec<_>>())
        };
        assert_eq!(named(&["id", "id", "id"]), ["id", "id_2", "id_3"]);
        assert_eq!(named(&["id", "id", "id_2"]), ["id", "id_3", "id_2"]);
        assert_eq!(named(&["a", "b"]), ["a", "b"]);
    }

    #[test]
    fn null_and_an_empty_text_differ() {
        assert_eq!(
            record([None, Some(""), Some("a,\"b\"")].into_iter()),
            ",\"\",\"a,\"\"b\"\"\"\n"
        );
        assert_eq!(record([Some("a\nb"), None].into_iter()), "\"a\nb\",\n");
    }
}
