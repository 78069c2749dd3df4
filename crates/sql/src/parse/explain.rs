//! `EXPLAIN [ANALYZE]` and the statement behind it.

use expr::SqlError;
use sqlparser::tokenizer::Token;

use super::{Cursor, nested, utility::Utility};

/// `EXPLAIN` or `EXPLAIN ANALYZE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExplainMode {
    /// The plan alone.
    Plan,
    /// The statement is run, and what happened is told.
    Analyze,
}

/// Reads what stands behind `EXPLAIN`.
pub fn read(cursor: &mut Cursor<'_>) -> Result<Utility, SqlError> {
    let mut mode = ExplainMode::Plan;
    if cursor.token(&Token::LParen) {
        loop {
            let option = cursor.name()?;
            let off = cursor.word("OFF") || cursor.word("FALSE");
            let _on = !off && (cursor.word("ON") || cursor.word("TRUE"));
            match option.as_str() {
                "analyze" if !off => mode = ExplainMode::Analyze,
                "analyze" | "costs" | "verbose" | "buffers" | "timing" | "summary" => {}
                "format" if cursor.word("TEXT") => {}
                other => return Err(SqlError::unsupported(format!("EXPLAIN option \"{other}\""))),
            }
            if !cursor.token(&Token::Comma) {
                break;
            }
        }
        cursor.expect(&Token::RParen)?;
    } else {
        if cursor.word("ANALYZE") {
            mode = ExplainMode::Analyze;
        }
        cursor.word("VERBOSE");
    }
    let source = cursor.source();
    let tokens = cursor.rest();
    if tokens.is_empty() {
        return Err(cursor.unexpected());
    }
    Ok(Utility::Explain(mode, Box::new(nested(source, tokens)?)))
}
