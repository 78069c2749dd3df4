//! Arrays as text: `{1,2,NULL}`, `{"a b","c\"d"}`.

use super::{input as input_value, output as output_value};
use crate::{
    context::EvalContext,
    datetime::TimeZone,
    datum::{Array, Datum},
    error::{Result, SqlError, SqlState},
    types::Element,
};

pub(super) fn output(array: &Array, zone: &TimeZone) -> String {
    let items: Vec<String> = array
        .items
        .iter()
        .map(|item| match output_value(item, array.element.ty(), zone) {
            None => "NULL".to_owned(),
            Some(text) => quoted(&text),
        })
        .collect();
    format!("{{{}}}", items.join(","))
}

/// The text, in quotes where it could be read otherwise.
fn quoted(text: &str) -> String {
    let plain = !text.is_empty()
        && !text.eq_ignore_ascii_case("null")
        && !text.contains(|c: char| c.is_ascii_whitespace() || "{},\"\\".contains(c));
    if plain {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        if c == '"' || c == '\\' {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

pub(super) fn input(text: &str, element: Element, ctx: &EvalContext) -> Result<Datum> {
    let malformed = |detail: &str| {
        SqlError::new(
            SqlState::INVALID_TEXT_REPRESENTATION,
            format!("malformed array literal: \"{text}\""),
        )
        .with_detail(detail)
    };
    let trimmed = text.trim();
    let inner = trimmed
        .strip_prefix('{')
        .ok_or_else(|| malformed("Array value must start with \"{\" or dimension information."))?
        .strip_suffix('}')
        .ok_or_else(|| malformed("Unexpected end of input."))?;
    let mut items = Vec::new();
    if inner.trim().is_empty() {
        return Ok(Datum::array(element, items));
    }
    let mut rest = inner;
    loop {
        let (item, tail) = next_item(rest).ok_or_else(|| malformed("Unexpected array element."))?;
        items.push(match item {
            Some(item) => input_value(&item, element.ty(), ctx)?,
            None => Datum::Null,
        });
        match tail {
            Some(tail) => rest = tail,
            None => return Ok(Datum::array(element, items)),
        }
    }
}

/// The next element (`None`: NULL), and what follows its comma (`None`: it is the last). `None` for
/// both: malformed, or an array in the array.
fn next_item(text: &str) -> Option<(Option<String>, Option<&str>)> {
    let text = text.trim_start();
    let mut out = String::new();
    let quoted = text.starts_with('"');
    let in_quotes = quoted;
    let mut chars = text.char_indices().skip(usize::from(quoted));
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => out.push(chars.next()?.1),
            '"' if in_quotes => {
                let tail = text[at + 1..].trim_start();
                return match tail.strip_prefix(',') {
                    Some(tail) => Some((Some(out), Some(tail))),
                    None => tail.is_empty().then_some((Some(out), None)),
                };
            }
            '"' | '{' | '}' if !in_quotes => return None,
            ',' if !in_quotes => return Some((unquoted(&out)?, Some(&text[at + 1..]))),
            c => out.push(c),
        }
    }
    if in_quotes { None } else { Some((unquoted(&out)?, None)) }
}

/// An element without quotes: blanks around it don't count, it is not empty, and may be NULL.
fn unquoted(text: &str) -> Option<Option<String>> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    Some((!text.eq_ignore_ascii_case("null")).then(|| text.to_owned()))
}
