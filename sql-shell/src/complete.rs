//! Completion: what may stand where the cursor is.
//!
//! Pure: the words of the cluster ([`Vocabulary`]) come in from whoever asked for them
//! ([`crate::vocabulary`]). It is a comfort, no grammar: after `SHOW` what can be shown, after
//! `FROM` tables, after `SET` settings, behind a command its arguments; elsewhere keywords, and the
//! columns of the tables that the statement names.

mod arguments;

use std::collections::BTreeMap;

use crate::meta;

/// Words that only the cluster knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vocabulary {
    /// Tables with their columns.
    pub tables: BTreeMap<String, Vec<String>>,
    /// Settings of a session.
    pub settings: Vec<String>,
    /// Settings of the cluster.
    pub cluster_settings: Vec<String>,
    /// Nodes, as knobs take them: `n3`.
    pub nodes: Vec<String>,
    /// Regions.
    pub regions: Vec<String>,
}

/// What may be put in place of the end of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// Where that end begins, in bytes.
    pub start: usize,
    /// What may stand there, in the order it is offered.
    pub values: Vec<String>,
}

/// What can be shown, besides settings; some want a name behind.
pub const SHOWN: &[&str] = &[
    "ALL",
    "CHECKSUMS FROM TABLE",
    "CLOCKS",
    "CLUSTER SETTING",
    "CLUSTER SETTINGS",
    "CLUSTER STATS",
    "COLUMNS FROM",
    "COMMIT HISTOGRAM",
    "COMMIT STATS",
    "COMMIT TIMESTAMP",
    "CONSTRAINTS FROM",
    "INDEXES FROM",
    "LOCKS",
    "NODES",
    "RANGES",
    "RANGES FROM TABLE",
    "READ TIMESTAMP",
    "REGIONS",
    "SESSIONS",
    "TABLES",
    "TRACE LAST",
    "TRACES",
];

/// Keywords, and phrases that begin with one.
const KEYWORDS: &[&str] = &[
    "ALTER TABLE",
    "AND",
    "AS OF SYSTEM TIME",
    "BEGIN",
    "BETWEEN",
    "CALL meridian_internal.",
    "CHECK ALL TABLES",
    "CHECK TABLE",
    "COMMIT",
    "CREATE INDEX",
    "CREATE TABLE",
    "DELETE FROM",
    "DISTINCT",
    "DROP INDEX",
    "DROP TABLE",
    "EXPLAIN",
    "EXPLAIN ANALYZE",
    "FOR UPDATE",
    "FROM",
    "GROUP BY",
    "HAVING",
    "INSERT INTO",
    "ISOLATION LEVEL",
    "JOIN",
    "LEFT JOIN",
    "LIMIT",
    "NOT NULL",
    "ON CONFLICT",
    "ORDER BY",
    "PRIMARY KEY",
    "READ ONLY",
    "REPEATABLE READ",
    "RESET",
    "RETURNING",
    "ROLLBACK",
    "SAVEPOINT",
    "SELECT",
    "SERIALIZABLE",
    "SET",
    "SHOW",
    "SPLIT AT VALUES",
    "TRUNCATE",
    "UPDATE",
    "VALUES",
    "WHERE",
];

/// What may stand at the end of a line.
#[must_use]
pub fn complete(head: &str, vocabulary: &Vocabulary) -> Completion {
    let line_start = head.rfind('\n').map_or(0, |at| at + 1);
    let line = &head[line_start..];
    if line.trim_start().starts_with('\\') {
        return command(head, line_start, vocabulary);
    }
    let statement_start = head.rfind(';').map_or(0, |at| at + 1);
    let statement = head[statement_start..].trim_start();
    let start = head.len() - statement.len();
    phrase(statement, vocabulary)
        .map(|found| Completion { start: start + found.start, values: found.values })
        .unwrap_or_else(|| word(head, statement, vocabulary))
}

/// The end of a backslash command.
fn command(head: &str, line_start: usize, vocabulary: &Vocabulary) -> Completion {
    let start = head.rfind(char::is_whitespace).map_or(0, |at| at + 1).max(line_start);
    let before: Vec<&str> = head[line_start..start].split_whitespace().collect();
    let typed = &head[start..];
    let candidates: Vec<String> = match before.as_slice() {
        [] => meta::names().into_iter().map(str::to_owned).collect(),
        [name, rest @ ..] => arguments::of(name, rest, vocabulary),
    };
    Completion { start, values: beginning_with(typed, candidates) }
}

/// Statements that begin with one of a few words go on with one of a few phrases.
fn phrase(statement: &str, vocabulary: &Vocabulary) -> Option<Completion> {
    let settings = || vocabulary.settings.iter().cloned();
    let of_cluster = || vocabulary.cluster_settings.iter().cloned();
    let plus = |phrases: &[&str]| {
        let phrases = phrases.iter().map(|phrase| (*phrase).to_owned());
        phrases.chain(settings()).collect::<Vec<_>>()
    };
    let rest_of = |prefix: &str| without_prefix(statement, prefix);
    // The longer beginnings first.
    let (rest, candidates) = [
        ("SHOW CLUSTER SETTING", of_cluster().collect()),
        ("SET CLUSTER SETTING", of_cluster().collect()),
        ("RESET CLUSTER SETTING", of_cluster().collect()),
        ("SHOW", plus(SHOWN)),
        ("SET", plus(&["CLUSTER SETTING", "TRANSACTION ISOLATION LEVEL", "LOCAL"])),
        ("RESET", plus(&["ALL", "CLUSTER SETTING", "CLUSTER SETTINGS"])),
    ]
    .into_iter()
    .find_map(|(prefix, candidates): (&str, Vec<String>)| Some((rest_of(prefix)?, candidates)))?;
    let start = statement.len() - rest.len();
    let values = beginning_with(rest, candidates);
    // `SHOW COLUMNS FROM do`, `SET trace = o`: the end of something else.
    (!values.is_empty()).then_some(Completion { start, values })
}

/// What follows these words and a blank, in any case.
fn without_prefix<'s>(statement: &'s str, prefix: &str) -> Option<&'s str> {
    let mut rest = statement;
    for word in prefix.split(' ') {
        let head = rest.get(..word.len())?;
        let after = head.eq_ignore_ascii_case(word).then(|| &rest[word.len()..])?;
        rest = after.trim_start();
        if rest.len() == after.len() {
            return None;
        }
    }
    Some(rest)
}

/// The word at the end: a keyword, a table, a column.
fn word(head: &str, statement: &str, vocabulary: &Vocabulary) -> Completion {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    let start = head.rfind(|c: char| !inside(c));
    let start = start.map_or(0, |at| at + head[at..].chars().next().map_or(1, char::len_utf8));
    let typed = &head[start..];
    let before = &head[..start];
    if let Some(qualifier) = before.strip_suffix('.') {
        let from = qualifier.rfind(|c: char| !inside(c));
        let from =
            from.map_or(0, |at| at + qualifier[at..].chars().next().map_or(1, char::len_utf8));
        let columns = columns_of(&qualifier[from..], statement, vocabulary);
        return Completion { start, values: beginning_with(typed, columns) };
    }
    let tables = vocabulary.tables.keys().cloned();
    let last = before.split_whitespace().next_back().unwrap_or_default().to_ascii_uppercase();
    let wants_table = matches!(last.as_str(), "FROM" | "JOIN" | "INTO" | "UPDATE" | "TABLE" | "ON");
    if wants_table && last != "ON" {
        return Completion { start, values: beginning_with(typed, tables.collect()) };
    }
    if typed.is_empty() {
        return Completion { start, values: Vec::new() };
    }
    let keywords = KEYWORDS.iter().map(|keyword| (*keyword).to_owned());
    let all = columns_named(statement, vocabulary).into_iter().chain(tables).chain(keywords);
    Completion { start, values: beginning_with(typed, all.collect()) }
}

/// The columns of the tables that a statement names; of all tables if it names none yet.
fn columns_named(statement: &str, vocabulary: &Vocabulary) -> Vec<String> {
    let named = |table: &&String| words(statement).any(|word| word == **table);
    let mut tables: Vec<&String> = vocabulary.tables.keys().filter(named).collect();
    if tables.is_empty() {
        tables = vocabulary.tables.keys().collect();
    }
    let mut columns: Vec<String> =
        tables.into_iter().flat_map(|table| vocabulary.tables[table].clone()).collect();
    columns.sort();
    columns.dedup();
    columns
}

/// The columns behind `d.`: of the table of that name, or the one that the statement calls so.
fn columns_of(qualifier: &str, statement: &str, vocabulary: &Vocabulary) -> Vec<String> {
    if let Some(columns) = vocabulary.tables.get(qualifier) {
        return columns.clone();
    }
    let words: Vec<&str> = words(statement).collect();
    let called = words.windows(3).find_map(|window| match window {
        [table, alias, _] if *alias == qualifier => vocabulary.tables.get(*table),
        [table, between, alias] if between.eq_ignore_ascii_case("as") && *alias == qualifier => {
            vocabulary.tables.get(*table)
        }
        _ => None,
    });
    let last = || match words.as_slice() {
        [.., table, alias] if *alias == qualifier => vocabulary.tables.get(*table),
        _ => None,
    };
    called.or_else(last).cloned().unwrap_or_default()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

/// Those that begin with what was typed, in any case, each once.
fn beginning_with(typed: &str, candidates: Vec<String>) -> Vec<String> {
    let lower = typed.to_lowercase();
    let mut values: Vec<String> = Vec::new();
    for candidate in candidates {
        if candidate.to_lowercase().starts_with(&lower) && !values.contains(&candidate) {
            values.push(candidate);
        }
    }
    values
}
