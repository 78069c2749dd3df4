//! `SHOW TRACE LAST`, `SHOW TRACE 'id'`, each with `AS TEXT`, `HTML`, `CHROME` or `OTLP`;
//! `SHOW TRACES`; and `SHOW trace`, which is the setting.

use expr::SqlError;
use trace::{TraceId, render::Form};

use super::{cursor::Cursor, utility::Show};

/// Which trace, and how.
#[derive(Clone, Copy, Debug)]
pub struct ShowTrace {
    /// `None`: this session's newest.
    pub id: Option<TraceId>,
    /// `None`: a row for each span.
    pub form: Option<Form>,
}

/// Reads it if it is one; else the cursor has not moved.
pub fn read(cursor: &mut Cursor<'_>) -> Result<Option<Show>, SqlError> {
    let mut ahead = cursor.clone();
    if ahead.word("TRACES") {
        *cursor = ahead;
        return Ok(Some(Show::Traces));
    }
    if !ahead.word("TRACE") || ahead.at_end() {
        return Ok(None);
    }
    let id = if ahead.word("LAST") {
        None
    } else {
        let text = ahead.text()?;
        Some(text.parse().map_err(|why: String| SqlError::invalid_parameter(why))?)
    };
    let form = if ahead.word("AS") {
        let names: Vec<String> = Form::ALL.iter().map(|form| form.name().to_uppercase()).collect();
        let words: Vec<&str> = names.iter().map(String::as_str).collect();
        let found = ahead.one_of(&words).ok_or_else(|| ahead.unexpected())?;
        Some(Form::ALL[found])
    } else {
        None
    };
    *cursor = ahead;
    Ok(Some(Show::Trace(ShowTrace { id, form })))
}
