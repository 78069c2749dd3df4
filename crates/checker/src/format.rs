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
//! | [`processes`] | numbers and names of processes, the same in both |
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
mod processes;
mod write;

use std::{fmt, str::FromStr};

use form::Form;
use rustc_hash::FxHashSet;
pub use write::{to_edn, to_json_lines};

use crate::{Action, History, Initial, MicroOp, Value, World};

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

/// How a file is to be read, where it does not say itself.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Its syntax. `None`: its first entry tells.
    pub format: Option<Format>,
    /// Whether all that writes is in the file. `None`: what the file says, or what its format is
    /// taken for: our lines are closed, events are open.
    pub world: Option<World>,
    /// What registers hold in the beginning.
    pub initial: Initial,
}

impl Initial {
    /// Takes a word of the command line: `VALUE` for all registers, or `KEY=VALUE` for one, both in
    /// EDN.
    ///
    /// # Errors
    /// If it is no EDN, or says what was said before.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (Some(one_value(key)?), one_value(value)?),
            None => (None, one_value(text)?),
        };
        let before = match key {
            Some(key) => self.keys.insert(key, value),
            None => Some(std::mem::replace(&mut self.all, value)).filter(|all| !all.is_nil()),
        };
        if before.is_some() { Err(format!("{text}: this was said before")) } else { Ok(()) }
    }
}

fn one_value(text: &str) -> Result<Value, String> {
    let forms = edn::parse(text).map_err(|error| format!("{text}: {}", error.message))?;
    let [form] = forms.as_slice() else { return Err(format!("{text:?} is not one value")) };
    Ok(form.value())
}

/// Reads a history. Without a format, the first entry of the file tells.
///
/// # Errors
/// If the file is malformed, or has no operations.
pub fn load(bytes: &[u8], format: Option<Format>) -> Result<History, LoadError> {
    load_as(bytes, &Reading { format, ..Reading::default() })
}

/// Reads a history of which more is known than the file says.
///
/// # Errors
/// If the file is malformed, or has no operations, or no register that an initial value names.
pub fn load_as(bytes: &[u8], reading: &Reading) -> Result<History, LoadError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        LoadError::new(line, "this is no UTF-8 text")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let forms = match reading.format.unwrap_or_else(|| guess(text)) {
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
    let mut history = if entries.iter().take(2).any(|entry| entry.get("type").is_some()) {
        events::history(entries, reading)?
    } else if first.get("invoked").is_none() && first.get("history").is_none() {
        return Err(LoadError::new(
            first.line,
            "neither an event (which has a `type`) nor an operation (which has `invoked`)",
        ));
    } else {
        lines::history(entries, reading)?
    };
    if history.ops.is_empty() {
        return Err(LoadError::new(first.line, no_operations(&history)));
    }
    take_initial(&mut history, &reading.initial)?;
    Ok(history)
}

fn no_operations(history: &History) -> String {
    let skipped =
        history.skipped.iter().map(|skipped| format!("{}: {}", skipped.reason, skipped.count));
    let skipped: Vec<String> = skipped.collect();
    if skipped.is_empty() {
        return "the file has no operations".to_owned();
    }
    format!("the file has no operations; skipped: {}", skipped.join(", "))
}

/// An initial value that no register of the file has is a mistake in the key.
fn take_initial(history: &mut History, initial: &Initial) -> Result<(), LoadError> {
    history.initial.clone_from(initial);
    let is_register = |key: &Value| {
        history.ops.iter().any(|op| match &op.action {
            Action::Txn(steps) => steps.iter().any(|step| match step {
                MicroOp::Write { key: touched, .. }
                | MicroOp::ReadRegister { key: touched, .. } => touched == key,
                MicroOp::Append { .. }
                | MicroOp::ReadList { .. }
                | MicroOp::Add { .. }
                | MicroOp::ReadSet { .. } => false,
            }),
            Action::Register { key: touched, .. } => touched == key,
            Action::Transfer { .. } | Action::Balances(_) => false,
        })
    };
    match initial.keys.keys().find(|key| !is_register(key)) {
        Some(key) => Err(LoadError::new(1, format!("no register of the file is called {key}"))),
        None => Ok(()),
    }
}

/// Names of operations: witnesses call them so, and so each has one of its own.
#[derive(Debug, Default)]
struct Indices(FxHashSet<u64>);

impl Indices {
    fn take(&mut self, index: u64, form: &Form) -> Result<(), LoadError> {
        if self.0.insert(index) {
            return Ok(());
        }
        Err(form.error(format!("an operation before this one has the index {index} already")))
    }
}

/// Keys are quoted in JSON, and are keywords in EDN. No JSON begins with what EDN alone has.
fn guess(text: &str) -> Format {
    let mut rest = text.trim_start();
    while rest.starts_with(';') {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest.trim_start());
    }
    if rest.starts_with(['(', '#', ':', '\\']) {
        return Format::Edn;
    }
    let first_map = rest.split_once('{').map(|(_, rest)| rest.trim_start());
    match first_map {
        Some(rest) if rest.starts_with('"') => Format::JsonLines,
        Some(_) => Format::Edn,
        // A vector of no maps, or nothing at all: whose mistake it is, brackets do not tell.
        None => Format::JsonLines,
    }
}

#[cfg(test)]
mod tests;
