//! Nested data, whichever syntax it was written in.

use super::LoadError;
use crate::Value;

/// A piece of data and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Form {
    /// Counted from 1.
    pub line: usize,
    pub data: Data,
}

/// Keywords and symbols are texts without their colon; tags are dropped.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    Nil,
    Bool(bool),
    Int(i64),
    Text(String),
    List(Vec<Form>),
    Set(Vec<Form>),
    Map(Vec<(Form, Form)>),
}

/// Of what a file says, so much is repeated in an error.
const QUOTED_LETTERS: usize = 40;

/// The beginning of something a file says, to be repeated in an error.
pub(super) fn short(text: &str) -> String {
    let mut short: String = text.chars().take(QUOTED_LETTERS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// Data may be nested so deep; deeper is refused rather than recursed into.
pub(super) const MAX_DEPTH: usize = 64;

impl Form {
    /// The value of a key of a map, nil being as good as absent.
    pub(super) fn get(&self, key: &str) -> Option<&Form> {
        let Data::Map(pairs) = &self.data else { return None };
        let found = pairs.iter().find(|(name, _)| name.as_text() == Some(key));
        found.map(|(_, value)| value).filter(|value| !value.is_nil())
    }

    /// Whether a map has a key, nil or not.
    pub(super) fn has(&self, key: &str) -> bool {
        let Data::Map(pairs) = &self.data else { return false };
        pairs.iter().any(|(name, _)| name.as_text() == Some(key))
    }

    pub(super) fn is_nil(&self) -> bool {
        self.data == Data::Nil
    }

    pub(super) fn as_int(&self) -> Option<i64> {
        if let Data::Int(int) = self.data { Some(int) } else { None }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        if let Data::Text(text) = &self.data { Some(text) } else { None }
    }

    /// Of a list.
    pub(super) fn elements(&self) -> Option<&[Form]> {
        if let Data::List(elements) = &self.data { Some(elements) } else { None }
    }

    /// Of a list or a set.
    pub(super) fn members(&self) -> Option<&[Form]> {
        match &self.data {
            Data::List(members) | Data::Set(members) => Some(members),
            Data::Nil | Data::Bool(_) | Data::Int(_) | Data::Text(_) | Data::Map(_) => None,
        }
    }

    pub(super) fn values(members: &[Form]) -> Vec<Value> {
        members.iter().map(Self::value).collect()
    }

    pub(super) fn value(&self) -> Value {
        match &self.data {
            Data::Nil => Value::Nil,
            Data::Bool(bool) => Value::Bool(*bool),
            Data::Int(int) => Value::Int(*int),
            Data::Text(text) => Value::from(text.as_str()),
            Data::List(elements) => Value::List(Self::values(elements)),
            Data::Set(members) => {
                let mut values = Self::values(members);
                values.sort();
                Value::List(values)
            }
            Data::Map(pairs) => {
                let pairs = pairs.iter().map(|(key, value)| (key.value(), value.value()));
                let mut pairs: Vec<(Value, Value)> = pairs.collect();
                pairs.sort();
                Value::Map(pairs)
            }
        }
    }

    pub(super) fn error(&self, message: impl Into<String>) -> LoadError {
        LoadError::new(self.line, message)
    }

    /// The names of a map's entries.
    pub(super) fn names(&self) -> impl Iterator<Item = (&str, &Form)> {
        let pairs = match &self.data {
            Data::Map(pairs) => &pairs[..],
            Data::Nil
            | Data::Bool(_)
            | Data::Int(_)
            | Data::Text(_)
            | Data::List(_)
            | Data::Set(_) => &[],
        };
        pairs.iter().filter_map(|(name, value)| Some((name.as_text()?, value)))
    }

    /// A count, time or number: not negative.
    pub(super) fn unsigned(&self, what: &str) -> Result<u64, LoadError> {
        let int = self.as_int().and_then(|int| u64::try_from(int).ok());
        int.ok_or_else(|| self.error(format!("{what} must be an integer that is not negative")))
    }
}
