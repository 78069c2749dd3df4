//! Arrays as text: `{1,2,NULL}`, `{"a b","c\"d"}`.

use super::input as input_value;
use crate::{
    context::EvalContext,
    datetime::is_blank,
    datum::{Array, Datum},
    error::{Result, SqlError, SqlState},
    types::Element,
};

/// The array, its items written by `item`.
pub(super) fn output(array: &Array, item: impl Fn(&Datum) -> Option<String>) -> String {
    let items: Vec<String> = array
        .items
        .iter()
        .map(|value| match item(value) {
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
        && !text.contains(|c: char| is_blank(c) || "{},\"\\".contains(c));
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

/// The most dimensions that are read, to tell what is refused.
const MAX_DIMENSIONS: usize = 6;

pub(super) fn input(text: &str, element: Element, ctx: &EvalContext) -> Result<Datum> {
    let mut reader = Reader { text, rest: text };
    reader.blanks();
    let dimensions = reader.dimensions()?;
    let mut parts = Vec::new();
    let depth = reader.array(1, &mut parts)?;
    reader.blanks();
    if !reader.rest.is_empty() {
        return Err(reader.malformed("Junk after closing right brace."));
    }
    if depth > 1 && parts.is_empty() {
        return Err(reader.malformed("Unexpected \"}\" character."));
    }
    if depth > 1 {
        return Err(SqlError::unsupported("an array of several dimensions"));
    }
    if let Some((first, count)) = dimensions {
        if usize::try_from(count) != Ok(parts.len()) {
            return Err(reader.malformed("Specified array dimensions do not match array contents."));
        }
        if first != 1 {
            return Err(SqlError::unsupported("an array whose first index is not 1"));
        }
    }
    let items = parts.into_iter().map(|part| match part {
        Some(part) => input_value(&part, element.ty(), ctx),
        None => Ok(Datum::Null),
    });
    Ok(Datum::array(element, items.collect::<Result<_>>()?))
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl Reader<'_> {
    fn malformed(&self, detail: &str) -> SqlError {
        SqlError::new(
            SqlState::INVALID_TEXT_REPRESENTATION,
            format!("malformed array literal: \"{}\"", self.text),
        )
        .with_detail(detail)
    }

    /// Skips what C calls spaces, and no other.
    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches(is_blank);
    }

    fn next_is(&mut self, wanted: char) -> bool {
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn number(&mut self) -> Option<i64> {
        let signed = usize::from(self.rest.starts_with(['+', '-']));
        let digits = self.rest[signed..].find(|c: char| !c.is_ascii_digit());
        let end = signed + digits.unwrap_or(self.rest.len() - signed);
        let value = self.rest[..end].parse().ok()?;
        self.rest = &self.rest[end..];
        Some(value)
    }

    /// `[first:last]=` or `[length]=` in front of the array: the first index and the length.
    fn dimensions(&mut self) -> Result<Option<(i64, i64)>> {
        let mut found = None;
        while self.next_is('[') {
            if found.is_some() {
                return Err(SqlError::unsupported("an array of several dimensions"));
            }
            let missing = |reader: &Self| {
                reader.malformed("\"[\" must introduce explicitly-specified array dimensions.")
            };
            let first = self.number().ok_or_else(|| missing(self))?;
            let (first, last) = if self.next_is(':') {
                let last = self.number();
                (first, last.ok_or_else(|| self.malformed("Missing array dimension value."))?)
            } else {
                (1, first)
            };
            if !self.next_is(']') {
                return Err(self.malformed("Missing \"]\" after array dimensions."));
            }
            if last < first {
                return Err(SqlError::new(
                    SqlState::new("2202E"),
                    "upper bound cannot be less than lower bound",
                ));
            }
            found = Some((first, last.saturating_sub(first).saturating_add(1)));
            self.blanks();
        }
        if found.is_some() {
            if !self.next_is('=') {
                return Err(self.malformed("Missing \"=\" after array dimensions."));
            }
            self.blanks();
        }
        Ok(found)
    }

    /// An array from its opening brace to its closing one. Elements go to `parts` (`None`: NULL);
    /// how many dimensions it has is told.
    fn array(&mut self, depth: usize, parts: &mut Vec<Option<String>>) -> Result<usize> {
        if !self.next_is('{') {
            let detail = "Array value must start with \"{\" or dimension information.";
            return Err(self.malformed(detail));
        }
        if depth > MAX_DIMENSIONS {
            return Err(SqlError::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                format!(
                    "number of array dimensions ({depth}) exceeds the maximum allowed \
                     ({MAX_DIMENSIONS})"
                ),
            ));
        }
        self.blanks();
        if self.next_is('}') {
            return Ok(depth);
        }
        // All elements are arrays as deep and as long, or none is one.
        let mut shape: Option<(usize, usize)> = None;
        loop {
            self.blanks();
            let before = parts.len();
            let inner = if self.rest.starts_with('{') {
                self.array(depth + 1, parts)?
            } else {
                let part = self.element()?;
                parts.push(part);
                depth
            };
            let length = if inner > depth { parts.len() - before } else { 0 };
            if shape.is_some_and(|shape| shape != (inner, length)) {
                return Err(self.malformed(
                    "Multidimensional arrays must have sub-arrays with matching dimensions.",
                ));
            }
            shape = Some((inner, length));
            self.blanks();
            if self.next_is('}') {
                return Ok(inner);
            }
            if !self.next_is(',') {
                return Err(self.malformed("Unexpected array element."));
            }
        }
    }

    /// An element in quotes or without.
    fn element(&mut self) -> Result<Option<String>> {
        let quoted = self.next_is('"');
        let (mut out, mut kept, mut escaped) = (String::new(), 0, false);
        loop {
            let mut chars = self.rest.chars();
            let Some(c) = chars.next() else {
                return Err(self.malformed("Unexpected end of input."));
            };
            match c {
                '\\' => {
                    let Some(next) = chars.next() else {
                        return Err(self.malformed("Unexpected end of input."));
                    };
                    out.push(next);
                    (kept, escaped) = (out.len(), true);
                }
                '"' if quoted => {
                    self.rest = chars.as_str();
                    return Ok(Some(out));
                }
                ',' | '}' if !quoted => break,
                '"' | '{' if !quoted => {
                    return Err(self.malformed("Unexpected array element."));
                }
                c => {
                    out.push(c);
                    if !is_blank(c) {
                        kept = out.len();
                    }
                }
            }
            self.rest = chars.as_str();
        }
        // Blanks behind an element don't count, unless they are escaped.
        out.truncate(kept);
        if out.is_empty() {
            return Err(self.malformed("Unexpected array element."));
        }
        let null = !escaped && out.eq_ignore_ascii_case("null");
        Ok((!null).then_some(out))
    }
}
