//! Keys and spans as people read them: `/t/104/1/7`, `/t/104/1/[7 - 9]`.

use crate::Span;

/// A key for people.
#[must_use]
pub fn key(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// A span for people.
#[must_use]
pub fn span(span: &Span) -> String {
    format!("[{} - {})", key(&span.start), key(&span.end))
}
