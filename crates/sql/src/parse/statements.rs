//! Statements of PostgreSQL that are not built, known by their first words.
//!
//! They are refused by name before any grammar reads them: what stands behind `CREATE VIEW` need
//! not be understood to say that there are no views. What begins with no word that begins a
//! statement of PostgreSQL is a syntax error, whatever other databases make of it.

use expr::SqlError;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::Cursor;

/// First words of the statements that are read by the grammar behind this one.
const READ: [&str; 8] =
    ["select", "values", "with", "table", "insert", "update", "delete", "truncate"];

/// First words of the statements that are not built, in full where one word does not tell.
const MISSING: [&str; 24] = [
    "analyse",
    "call",
    "close",
    "cluster",
    "comment",
    "copy",
    "declare",
    "do",
    "fetch",
    "grant",
    "import foreign schema",
    "listen",
    "load",
    "lock",
    "merge",
    "move",
    "notify",
    "reassign owned",
    "refresh materialized view",
    "reindex",
    "revoke",
    "security label",
    "vacuum",
    "checkpoint",
];

/// What CREATE, ALTER and DROP may be about and is not built; the longer of two comes first.
const OBJECTS: [&str; 43] = [
    "access method",
    "aggregate",
    "cast",
    "collation",
    "conversion",
    "database",
    "default privileges",
    "domain",
    "event trigger",
    "extension",
    "foreign data wrapper",
    "foreign table",
    "function",
    "group",
    "language",
    "large object",
    "materialized view",
    "operator class",
    "operator family",
    "operator",
    "owned",
    "policy",
    "procedure",
    "publication",
    "role",
    "routine",
    "rule",
    "schema",
    "sequence",
    "server",
    "statistics",
    "subscription",
    "system",
    "tablespace",
    "text search configuration",
    "text search dictionary",
    "text search parser",
    "text search template",
    "transform",
    "trigger",
    "type",
    "user mapping",
    "user",
];

/// An error unless the grammar behind this one may read the statement.
pub(super) fn refuse(cursor: &Cursor<'_>) -> Result<(), SqlError> {
    let mut ahead = cursor.clone();
    if ahead.word("select") && ahead.at_end() {
        return Err(SqlError::unsupported("SELECT without a list"));
    }
    ahead = cursor.clone();
    if ahead.token(&Token::LParen) || ahead.one_of(&READ).is_some() {
        return Ok(());
    }
    let verbs = ["create", "alter", "drop"];
    if let Some(verb) = ahead.one_of(&verbs) {
        return object(&mut ahead, verbs[verb]);
    }
    match phrase(&mut ahead, &MISSING) {
        Some(statement) => Err(SqlError::unsupported(statement.to_uppercase())),
        None => Err(ahead.unexpected()),
    }
}

/// The tokens without what says nothing here: `ONLY` before a table, as no table inherits.
pub(super) fn plain(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is = |token: Option<&TokenWithSpan>, words: &[&str]| {
        matches!(token.map(|token| &token.token), Some(Token::Word(word))
            if word.quote_style.is_none() && words.contains(&word.value.as_str()))
    };
    let before = ["from", "join", "update", "table", "truncate"];
    let says_nothing = |at: usize| {
        let named = matches!(tokens.get(at + 1).map(|next| &next.token), Some(Token::Word(_)));
        at > 0 && is(tokens.get(at), &["only"]) && is(tokens.get(at - 1), &before) && named
    };
    let mut kept = (0..tokens.len()).map(|at| !says_nothing(at)).collect::<Vec<_>>().into_iter();
    tokens.retain(|_| kept.next().expect("one for each token"));
    tokens
}

/// What stands behind CREATE, ALTER or DROP.
fn object(ahead: &mut Cursor<'_>, verb: &str) -> Result<(), SqlError> {
    let mut lifetime = "";
    if verb == "create" {
        ahead.words(&["or", "replace"]);
        ahead.one_of(&["local", "global"]);
        lifetime = match ahead.one_of(&["temporary", "temp", "unlogged"]) {
            Some(2) => "UNLOGGED ",
            Some(_) => "TEMPORARY ",
            None => "",
        };
        ahead.one_of(&["trusted", "recursive", "constraint", "unique"]);
        // Behind DEFAULT, CREATE knows conversions only, and ALTER privileges.
        ahead.word("default");
    }
    ahead.word("procedural");
    if verb == "alter" && ahead.word("table") {
        return alter_table(ahead);
    }
    let verb = verb.to_uppercase();
    let object = match ahead.one_of(&["table", "index", "view"]) {
        Some(0 | 1) if lifetime.is_empty() => return Ok(()),
        Some(2) => "view",
        Some(_) => "table",
        None => phrase(ahead, &OBJECTS).ok_or_else(|| ahead.unexpected())?,
    };
    Err(SqlError::unsupported(format!("{verb} {lifetime}{}", object.to_uppercase())))
}

/// What `ALTER TABLE` and `ALTER COLUMN` may do and is not built.
const ACTIONS: [&str; 29] = [
    "add generated",
    "alter constraint",
    "attach partition",
    "cluster on",
    "detach partition",
    "disable",
    "drop expression",
    "drop identity",
    "enable",
    "force row level security",
    "inherit",
    "no force row level security",
    "no inherit",
    "not of",
    "of",
    "options",
    "owner to",
    "replica identity",
    "reset",
    "restart",
    "set access method",
    "set compression",
    "set logged",
    "set schema",
    "set statistics",
    "set storage",
    "set tablespace",
    "set unlogged",
    "set without",
];

/// What stands behind `ALTER TABLE`.
fn alter_table(ahead: &mut Cursor<'_>) -> Result<(), SqlError> {
    ahead.words(&["if", "exists"]);
    ahead.word("only");
    if ahead.dotted_name().is_err() {
        return Ok(());
    }
    let mut column = "";
    let mut named = ahead.clone();
    if named.word("alter") && !ahead.words(&["alter", "constraint"]) {
        named.word("column");
        if named.name().is_ok() {
            *ahead = named;
            column = "ALTER COLUMN ... ";
        }
    }
    match phrase(ahead, &ACTIONS) {
        Some(action) => {
            let action = action.to_uppercase();
            Err(SqlError::unsupported(format!("ALTER TABLE ... {column}{action}")))
        }
        None => Ok(()),
    }
}

/// What a statement has where the grammar could not read on, if that is something of PostgreSQL's:
/// the word there, the one before it, and what both are a part of.
const CLAUSES: [(&str, &str, &str); 13] = [
    ("select", "where", "SELECT without a list"),
    ("unique", "nulls", "NULLS NOT DISTINCT"),
    ("", "overriding", "OVERRIDING"),
    ("", "tablesample", "TABLESAMPLE"),
    ("rows", "from", "ROWS FROM"),
    ("for", "no", "FOR NO KEY UPDATE"),
    ("for", "key", "FOR KEY SHARE"),
    ("", "search", "SEARCH"),
    ("", "cycle", "CYCLE"),
    ("", "similar", "SUBSTRING with SIMILAR"),
    (")", "as", "an alias of JOIN USING"),
    ("", "of", "CREATE TABLE OF"),
    ("", "inherits", "INHERITS"),
];

/// The feature that a syntax error at this token is about, if it is one of [`CLAUSES`].
pub(super) fn clause_at(tokens: &[TokenWithSpan], at: usize) -> Option<&'static str> {
    let shown = |at: usize| match tokens.get(at).map(|token| &token.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.value.as_str(),
        Some(Token::RParen) => ")",
        _ => "",
    };
    let found = CLAUSES.iter().find(|(before, word, feature)| {
        let follows = before.is_empty() || at > 0 && shown(at - 1) == *before;
        let fits = match *feature {
            "CREATE TABLE OF" => shown(0) == "create" && at == 3,
            "an alias of JOIN USING" => behind_using(tokens, at),
            "SUBSTRING with SIMILAR" => shown(at + 1) != "to",
            _ => true,
        };
        follows && shown(at) == *word && fits
    });
    found.map(|(_, _, feature)| *feature)
}

/// The error in PostgreSQL's own words, where it has some: `LIMIT 1, 2`.
pub(super) fn known_mistake(tokens: &[TokenWithSpan], error: SqlError) -> SqlError {
    let here = |token: &TokenWithSpan| super::offset(token.span.start) == error.position;
    let limit = tokens.iter().position(here).is_some_and(|at| {
        at >= 2
            && tokens[at].token == Token::Comma
            && matches!(&tokens[at - 2].token, Token::Word(word) if word.value == "limit")
    });
    if limit {
        return SqlError::syntax("LIMIT #,# syntax is not supported")
            .with_hint("Use separate LIMIT and OFFSET clauses.");
    }
    error
}

/// Whether the brackets that end before this token are those of USING.
fn behind_using(tokens: &[TokenWithSpan], at: usize) -> bool {
    let open = tokens[..at].iter().rposition(|token| token.token == Token::LParen);
    open.and_then(|open| open.checked_sub(1)).is_some_and(
        |before| matches!(&tokens[before].token, Token::Word(word) if word.value == "using"),
    )
}

/// The one of these phrases that follows.
fn phrase<'p>(ahead: &mut Cursor<'_>, phrases: &[&'p str]) -> Option<&'p str> {
    phrases.iter().copied().find(|phrase| {
        let words: Vec<&str> = phrase.split(' ').collect();
        ahead.words(&words)
    })
}
