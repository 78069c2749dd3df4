//! The grammar of knobs: `SET CLUSTER SETTING`, `CALL meridian_internal....`.

use expr::{SqlError, SqlState};
use sqlparser::tokenizer::Token;

use super::{Cursor, Utility};

/// The schema that the procedures are in.
const SCHEMA: &str = "meridian_internal";

/// The most arguments that a procedure is read with.
const MAX_ARGUMENTS: usize = 8;

/// A statement about knobs, as it is written: nothing of it is checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnobStatement {
    /// `SET CLUSTER SETTING name = value [FOR NODE id | FOR REGION name] [UNSAFE]`.
    Set {
        /// The setting, in lower case.
        name: String,
        /// The value; `None`: `DEFAULT`.
        value: Option<String>,
        /// For whom.
        scope: ScopeName,
        /// Whether the word `UNSAFE` stands at the end.
        unsafely: Unsafely,
    },
    /// `RESET CLUSTER SETTING name [FOR ...]`; `None`: `RESET CLUSTER SETTINGS`.
    Reset(Option<String>, ScopeName),
    /// `CALL meridian_internal.name(arguments)`.
    Call(String, Vec<String>),
}

/// What `SHOW` tells about knobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnobShow {
    /// `SHOW CLUSTER SETTINGS`, `SHOW CLUSTER SETTING name`.
    Settings(Option<String>),
    /// `SHOW CLUSTER STATS`: what commits took, per node.
    Stats,
    /// `SHOW COMMIT HISTOGRAM`: the same of all nodes together, in buckets.
    Histogram,
}

/// For whom a setting is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScopeName {
    /// Nothing is said: all nodes.
    Cluster,
    /// `FOR REGION`.
    Region(String),
    /// `FOR NODE`.
    Node(String),
}

/// Whether a statement says that it may break promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsafely {
    /// It does.
    Yes,
    /// It does not.
    No,
}

/// Reads a statement if its first words are known here; else the cursor has not moved.
pub fn read(cursor: &mut Cursor<'_>) -> Result<Option<Utility>, SqlError> {
    let knob = if cursor.words(&["SET", "CLUSTER", "SETTING"]) {
        set(cursor)?
    } else if cursor.words(&["RESET", "CLUSTER", "SETTING"]) {
        let name = name(cursor)?;
        KnobStatement::Reset(Some(name), scope(cursor)?)
    } else if cursor.words(&["RESET", "CLUSTER", "SETTINGS"]) {
        KnobStatement::Reset(None, scope(cursor)?)
    } else {
        let mut ahead = cursor.clone();
        if !ahead.word("CALL") {
            return Ok(None);
        }
        let path = ahead.dotted_name()?;
        let [schema, procedure] = path.as_slice() else { return Err(elsewhere(&path)) };
        if schema != SCHEMA {
            return Err(elsewhere(&path));
        }
        *cursor = ahead;
        KnobStatement::Call(procedure.clone(), arguments(cursor)?)
    };
    Ok(Some(Utility::Knob(knob)))
}

/// Reads what stands behind `SHOW`; nothing if it is not about knobs.
pub fn show(cursor: &mut Cursor<'_>) -> Result<Option<KnobShow>, SqlError> {
    Ok(Some(if cursor.words(&["CLUSTER", "SETTINGS"]) {
        KnobShow::Settings(None)
    } else if cursor.words(&["CLUSTER", "SETTING"]) {
        KnobShow::Settings(Some(name(cursor)?))
    } else if cursor.words(&["CLUSTER", "STATS"]) {
        KnobShow::Stats
    } else if cursor.words(&["COMMIT", "HISTOGRAM"]) {
        KnobShow::Histogram
    } else {
        return Ok(None);
    }))
}

fn name(cursor: &mut Cursor<'_>) -> Result<String, SqlError> {
    Ok(cursor.dotted_name()?.join(".").to_lowercase())
}

fn set(cursor: &mut Cursor<'_>) -> Result<KnobStatement, SqlError> {
    let name = name(cursor)?;
    if !cursor.token(&Token::Eq) && !cursor.word("TO") {
        return Err(cursor.unexpected());
    }
    let value = if cursor.word("DEFAULT") { None } else { Some(literal(cursor)?) };
    let scope = scope(cursor)?;
    let unsafely = if cursor.word("UNSAFE") { Unsafely::Yes } else { Unsafely::No };
    Ok(KnobStatement::Set { name, value, scope, unsafely })
}

fn scope(cursor: &mut Cursor<'_>) -> Result<ScopeName, SqlError> {
    if !cursor.word("FOR") {
        return Ok(ScopeName::Cluster);
    }
    match cursor.one_of(&["NODE", "REGION"]) {
        Some(0) => Ok(ScopeName::Node(literal(cursor)?)),
        Some(_) => Ok(ScopeName::Region(literal(cursor)?)),
        None => Err(cursor.unexpected()),
    }
}

/// A number, a text, or a bare word, as text.
fn literal(cursor: &mut Cursor<'_>) -> Result<String, SqlError> {
    let sign = if cursor.token(&Token::Minus) { "-" } else { "" };
    match cursor.peek() {
        Some(Token::Number(digits, _)) => {
            cursor.take();
            Ok(format!("{sign}{digits}"))
        }
        Some(Token::Word(word)) if sign.is_empty() => {
            cursor.take();
            Ok(word.value.clone())
        }
        _ if sign.is_empty() => cursor.text(),
        _ => Err(cursor.unexpected()),
    }
}

/// `42883`: there are procedures in one schema only.
fn elsewhere(path: &[String]) -> SqlError {
    let message = format!("procedure {} does not exist", path.join("."));
    SqlError::new(SqlState::UNDEFINED_FUNCTION, message)
        .with_hint(format!("Procedures are in the schema {SCHEMA}: CALL {SCHEMA}.crash_node(3)."))
}

fn arguments(cursor: &mut Cursor<'_>) -> Result<Vec<String>, SqlError> {
    cursor.expect(&Token::LParen)?;
    let mut arguments = Vec::new();
    if cursor.token(&Token::RParen) {
        return Ok(arguments);
    }
    loop {
        if cursor.word("NULL") {
            let message = "an argument of a procedure must not be null";
            return Err(SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, message));
        }
        arguments.push(literal(cursor)?);
        if cursor.token(&Token::RParen) {
            return Ok(arguments);
        }
        cursor.expect(&Token::Comma)?;
        if arguments.len() == MAX_ARGUMENTS {
            return Err(cursor.unexpected());
        }
    }
}
