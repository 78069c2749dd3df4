//! Patterns of SIMILAR TO as regular expressions.
//!
//! SQL's patterns are a mixture: `%` and `_` of LIKE, the rest of regular expressions. They must
//! match the whole text, and their brackets capture nothing:
//!
//! ```text
//!   (a|b)_%        ^(?:(?:a|b)..*)$
//! ```
//!
//! Written as PostgreSQL writes them, so a pattern that is wrong is wrong in the same way: what
//! follows the escape character goes on behind a backslash, which makes `\d` mean digits; and two
//! escaped quotes take the pattern into three parts, of which `substring` yields the second.

use super::escape_character;
use crate::error::{Result, SqlError, SqlState};

/// What ends a part at an escaped quote, and begins the next: the first part shall match as little
/// as it can, the second is what is captured.
const PARTS: [&str; 2] = ["){1,1}?(", "){1,1}(?:"];

/// The regular expression of a pattern. `escape` is the ESCAPE clause; `None`: there is none.
///
/// # Errors
/// An escape of several characters: `22025`; more than two escaped quotes: `2200C`.
pub(crate) fn similar_to_escape(pattern: &str, escape: Option<&str>) -> Result<String> {
    let escape = escape_character(escape.unwrap_or("\\"))?;
    let mut out = String::with_capacity(pattern.len() + 8);
    out.push_str("^(?:");
    let mut parts = PARTS.iter();
    let (mut escaped, mut in_class) = (false, false);
    for c in pattern.chars() {
        match c {
            '"' if escaped && !in_class => out.push_str(parts.next().ok_or_else(too_many_parts)?),
            _ if escaped => out.extend(['\\', c]),
            _ if Some(c) == escape => {}
            // In a class only the backslash has a meaning that SQL does not give it.
            '\\' => out.push_str("\\\\"),
            _ if in_class => out.push(c),
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '(' => out.push_str("(?:"),
            '.' | '^' | '$' => out.extend(['\\', c]),
            _ => out.push(c),
        }
        let plain = !escaped && Some(c) != escape;
        match c {
            ']' if plain => in_class = false,
            '[' if plain => in_class = true,
            _ => {}
        }
        escaped = !escaped && Some(c) == escape;
    }
    out.push_str(")$");
    Ok(out)
}

fn too_many_parts() -> SqlError {
    SqlError::new(
        SqlState::INVALID_USE_OF_ESCAPE_CHARACTER,
        "SQL regular expression may not contain more than two escape-double-quote separators",
    )
}
