//! What is wrong with a configuration, and where.

use std::{fmt, ops::Range};

/// Something in a configuration that is not as it must be. Printed as
/// `three.toml, line 7, field rtt: "66" is not a duration: ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, or the name of a shipped topology.
    pub source: String,
    /// Counted from 1; `None` where the fault has no place, as a missing section has.
    pub line: Option<usize>,
    /// The field, as it is spelt in the file.
    pub field: Option<String>,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if let Some(field) = &self.field {
            write!(f, ", field {field}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for ConfigError {}

/// A text and its name, to say where in it something is wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub name: &'a str,
    pub text: &'a str,
}

impl Source<'_> {
    /// An error without a place.
    pub fn error(&self, message: impl Into<String>) -> ConfigError {
        let (source, message) = (self.name.to_owned(), message.into());
        ConfigError { source, line: None, field: None, message }
    }

    /// An error in the value of a field.
    pub fn error_at(
        &self,
        place: Range<usize>,
        field: &str,
        message: impl Into<String>,
    ) -> ConfigError {
        let (line, field) = (Some(self.line(place.start)), Some(field.to_owned()));
        ConfigError { line, field, ..self.error(message) }
    }

    /// The place of a field, for what is found wrong when the text is gone.
    pub fn place(&self, place: Range<usize>) -> String {
        format!("{}, line {}", self.name, self.line(place.start))
    }

    /// What the TOML reader found wrong. Its place is that of the value; the field is the word
    /// before the equals sign that precedes it.
    pub fn malformed(&self, error: &toml::de::Error) -> ConfigError {
        let Some(place) = error.span() else { return self.error(error.message()) };
        let (line, field) = (Some(self.line(place.start)), self.field_before(place.start));
        ConfigError { line, field, ..self.error(error.message()) }
    }

    fn line(&self, at: usize) -> usize {
        1 + self.text.bytes().take(at).filter(|byte| *byte == b'\n').count()
    }

    fn field_before(&self, at: usize) -> Option<String> {
        let before = self.text.get(..at)?;
        let in_line = before.rsplit('\n').next()?;
        let (left, _) = in_line.rsplit_once('=')?;
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        let word = left.trim_end().rsplit(|c: char| !is_word(c)).next()?;
        (!word.is_empty()).then(|| word.to_owned())
    }
}
