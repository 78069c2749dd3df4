//! Errors and notices as the protocol's fields.

use sql::{Notice, SqlError, SqlState};

use crate::answer::Answers;

/// How bad an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The statement failed; the connection lives.
    Error,
    /// The connection ends.
    Fatal,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
        }
    }
}

/// Answers with an error. `text` is the statement's text, in which the error's place is counted.
pub fn error(answers: &mut Answers, error: &SqlError, severity: Severity, text: Option<&str>) {
    answers.report(b'E', &fields(error, severity, text));
}

fn fields(error: &SqlError, severity: Severity, text: Option<&str>) -> Vec<(u8, String)> {
    let word = severity.word().to_owned();
    let mut fields = vec![
        (b'S', word.clone()),
        (b'V', word),
        (b'C', error.sqlstate.code().to_owned()),
        (b'M', error.message.clone()),
    ];
    let mut optional = |kind: u8, value: Option<&String>| {
        if let Some(value) = value {
            fields.push((kind, value.clone()));
        }
    };
    optional(b'D', error.detail.as_ref());
    optional(b'H', error.hint.as_ref());
    if let Some(objects) = &error.objects {
        optional(b's', objects.schema.as_ref());
        optional(b't', objects.table.as_ref());
        optional(b'c', objects.column.as_ref());
        optional(b'd', objects.data_type.as_ref());
        optional(b'n', objects.constraint.as_ref());
    }
    if let (Some(offset), Some(text)) = (error.position, text) {
        fields.push((b'P', character(text, offset).to_string()));
    }
    fields
}

/// The protocol counts characters from one; we count bytes from zero.
fn character(text: &str, offset: usize) -> usize {
    text.char_indices().take_while(|(at, _)| *at < offset).count() + 1
}

/// Answers with a notice.
pub fn notice(answers: &mut Answers, notice: &Notice) {
    let word = notice.severity.to_owned();
    let mut fields = vec![
        (b'S', word.clone()),
        (b'V', word),
        (b'C', notice.sqlstate.code().to_owned()),
        (b'M', notice.message.clone()),
    ];
    if let Some(detail) = &notice.detail {
        fields.push((b'D', detail.clone()));
    }
    answers.report(b'N', &fields);
}

/// The client broke the protocol: `08P01`.
pub fn protocol_violation(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::PROTOCOL_VIOLATION, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_characters_from_one() {
        assert_eq!(character("select x", 7), 8);
        assert_eq!(character("sélect x", 8), 8);
        assert_eq!(character("", 5), 1);
    }

    #[test]
    fn an_error_carries_what_clients_look_for() {
        let sql_error = SqlError::syntax("what?").at(7).with_hint("think");
        let fields = fields(&sql_error, Severity::Error, Some("select x"));
        let find = |kind: u8| fields.iter().find(|(k, _)| *k == kind).map(|(_, v)| v.as_str());
        assert_eq!(find(b'C'), Some("42601"));
        assert_eq!(find(b'P'), Some("8"));
        assert_eq!(find(b'H'), Some("think"));
        assert_eq!(find(b'V'), Some("ERROR"));
    }
}
