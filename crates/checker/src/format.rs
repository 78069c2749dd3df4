//! Histories in files: our own lines of JSON, and EDN or JSON as Jepsen's tools write them.
//!
//! | module | what |
//! |---|---|
//! | [`form`] | what both syntaxes have in common: nested data with line numbers |
//! | [`edn`] | the syntax of EDN |
//! | [`json`] | the syntax of JSON, a document or one value a line |
//! | [`lines`] | our format: one operation a line |
//! | [`events`] | Jepsen's format: an event when an operation begins, another when it ends |
//! | [`micro`] | transactions' steps, the same in both |
//! | [`write`](mod@write) | histories to files |
//!
//! Which of the two formats a file has is seen from its contents: events have a `type`. The
//! document `docs/HISTORIES.md` describes both for people who write such files.

mod edn;
mod events;
mod form;
mod json;
mod lines;
mod micro;
mod write;

use std::{fmt, str::FromStr};

pub use write::{to_edn, to_json_lines};

use crate::History;

/// A syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON: one value a line, or one array.
    JsonLines,
    /// EDN: one map a line, or one vector.
    Edn,
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        match text {
            "jsonl" | "json" => Ok(Self::JsonLines),
            "edn" => Ok(Self::Edn),
            _ => Err(UnknownFormat(text.to_owned())),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::JsonLines => "jsonl",
            Self::Edn => "edn",
        })
    }
}

/// No format has this name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no format is called {0:?}: jsonl or edn")]
pub struct UnknownFormat(pub String);

/// Why a file is no history. Its reader mends the file, or names its format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct LoadError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

impl LoadError {
    pub(crate) fn new(line: usize, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }
}

/// Reads a history. Without a format, the first entry of the file tells.
pub fn load(bytes: &[u8], format: Option<Format>) -> Result<History, LoadError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        LoadError::new(line, "this is no UTF-8 text")
    })?;
    let forms = match format.unwrap_or_else(|| guess(text)) {
        Format::JsonLines => json::parse(text)?,
        Format::Edn => edn::parse(text)?,
    };
    let entries = match forms.as_slice() {
        [single] => single.elements().unwrap_or(&forms),
        _ => &forms[..],
    };
    let Some(first) = entries.first() else {
        return Err(LoadError::new(1, "the file has no operations"));
    };
    if entries.iter().take(2).any(|entry| entry.get("type").is_some()) {
        return events::history(entries);
    }
    if first.get("invoked").is_none() && first.get("history").is_none() {
        return Err(LoadError::new(
            first.line,
            "neither an event (which has a `type`) nor an operation (which has `invoked`)",
        ));
    }
    lines::history(entries)
}

/// Keys are quoted in JSON, and are keywords in EDN.
fn guess(text: &str) -> Format {
    let first_map = text.split_once('{').map(|(_, rest)| rest.trim_start());
    match first_map {
        Some(rest) if rest.starts_with('"') => Format::JsonLines,
        Some(_) => Format::Edn,
        None => Format::JsonLines,
    }
}

#[cfg(test)]
mod tests;
