//! The grammar of `CHECK TABLE`.

use expr::SqlError;
use sqlparser::tokenizer::Token;

use super::{AsOf, Cursor, utility};

/// `CHECK TABLE a, b` or `CHECK ALL TABLES`, each with `AS OF SYSTEM TIME` if it is about the past.
#[derive(Clone, Debug)]
pub struct CheckTables {
    /// The tables; `None`: all.
    pub tables: Option<Vec<Vec<String>>>,
    /// The snapshot; `None`: the present.
    pub as_of: Option<AsOf>,
}

/// Reads it; `None`: the text begins in another way.
pub fn read(cursor: &mut Cursor<'_>) -> Result<Option<CheckTables>, SqlError> {
    let tables = if cursor.words(&["CHECK", "ALL", "TABLES"]) {
        None
    } else if cursor.words(&["CHECK", "TABLE"]) {
        let mut tables = vec![cursor.dotted_name()?];
        while cursor.token(&Token::Comma) {
            tables.push(cursor.dotted_name()?);
        }
        Some(tables)
    } else {
        return Ok(None);
    };
    let past = cursor.words(&["AS", "OF", "SYSTEM", "TIME"]);
    let as_of = if past { Some(utility::as_of(cursor)?) } else { None };
    Ok(Some(CheckTables { tables, as_of }))
}
