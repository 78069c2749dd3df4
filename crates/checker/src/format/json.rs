//! The syntax of JSON: one value a line, or documents over many lines.

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
            Err(_) if forms.is_empty() => return documents(text),
            Err(error) => return Err(LoadError::new(line_number, message(&error))),
        }
    }
    Ok(forms)
}

/// Values over several lines. The entries of a single array know their own lines.
fn documents(text: &str) -> Result<Vec<Form>, LoadError> {
    let mut forms = Vec::new();
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
    let (mut passed, mut line) = (0, 1);
    loop {
        let begin = text[passed..].find(|c: char| !c.is_whitespace()).map_or(0, |at| passed + at);
        line += text.get(passed..begin).map_or(0, |blank| blank.matches('\n').count());
        let Some(value) = values.next() else { return Ok(forms) };
        let value = value.map_err(|error| LoadError::new(error.line().max(1), message(&error)))?;
        let end = values.byte_offset();
        match value {
            serde_json::Value::Array(entries) if begin == text.len() - text.trim_start().len() => {
                let lines = entry_lines(&text[begin..end], line);
                let entries = entries.into_iter().zip(lines);
                let entries = entries.map(|(entry, line)| form(entry, line)).collect();
                forms.push(Form { line, data: Data::List(entries) });
            }
            value => forms.push(form(value, line)),
        }
        line += text[begin..end].matches('\n').count();
        passed = end;
    }
}

/// The lines on which the entries of an array begin.
fn entry_lines(array: &str, mut line: usize) -> Vec<usize> {
    let (mut depth, mut in_text, mut escaped, mut begun) = (0, false, false, false);
    let mut lines = Vec::new();
    for byte in array.bytes() {
        line += usize::from(byte == b'\n');
        if in_text {
            in_text = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        let is_blank = byte.is_ascii_whitespace() || matches!(byte, b',' | b']' | b'}');
        if depth == 1 && !begun && !is_blank {
            lines.push(line);
            begun = true;
        }
        match byte {
            b'"' => in_text = true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            b',' if depth == 1 => begun = false,
            _ => {}
        }
    }
    lines
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
