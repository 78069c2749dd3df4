//! The syntax of JSON: one value a line, or one document over many lines.

use super::{
    LoadError,
    form::{Data, Form},
};

/// All values of a text.
pub(super) fn parse(text: &str) -> Result<Vec<Form>, LoadError> {
    let mut forms = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line_number = at + 1;
        if line.trim().is_empty() {
            continue;
        }
        match serde_json::from_str::<serde_json::Value>(line) {
            Ok(value) => forms.push(form(value, line_number)),
            Err(_) if forms.is_empty() => return document(text),
            Err(error) => return Err(LoadError::new(line_number, message(&error))),
        }
    }
    Ok(forms)
}

/// One array over several lines. Entries that stand on lines of their own know their line.
fn document(text: &str) -> Result<Vec<Form>, LoadError> {
    let value: serde_json::Value = serde_json::from_str(text)
        .map_err(|error| LoadError::new(error.line().max(1), message(&error)))?;
    let serde_json::Value::Array(entries) = value else { return Ok(vec![form(value, 1)]) };
    let starts = text.lines().enumerate().filter(|(_, line)| {
        let line = line.trim_start();
        line.trim_start_matches(['[', ',', ' ']).starts_with('{')
    });
    let starts: Vec<usize> = starts.map(|(at, _)| at + 1).collect();
    let known = starts.len() == entries.len();
    let line_of = |at: usize| if known { starts[at] } else { 1 };
    let forms = entries.into_iter().enumerate().map(|(at, entry)| form(entry, line_of(at)));
    Ok(forms.collect())
}

/// What is wrong, without the place, which a [`LoadError`] says.
fn message(error: &serde_json::Error) -> String {
    let message = error.to_string();
    message.split(" at line ").next().unwrap_or(&message).to_owned()
}

fn form(value: serde_json::Value, line: usize) -> Form {
    let data = match value {
        serde_json::Value::Null => Data::Nil,
        serde_json::Value::Bool(bool) => Data::Bool(bool),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(int) => Data::Int(int),
            None => Data::Text(number.to_string()),
        },
        serde_json::Value::String(text) => Data::Text(text),
        serde_json::Value::Array(values) => {
            Data::List(values.into_iter().map(|value| form(value, line)).collect())
        }
        serde_json::Value::Object(pairs) => {
            let pairs = pairs
                .into_iter()
                .map(|(key, value)| (Form { line, data: Data::Text(key) }, form(value, line)));
            Data::Map(pairs.collect())
        }
    };
    Form { line, data }
}
