//! What PostgreSQL 15 has: its keywords, functions, types, operators and system relations, by name.
//!
//! Meridian lacks much of it. These lists tell what is missing *here* (`0A000`, with the feature's
//! name) from what is missing *everywhere* (`42883`, `42704`, `42P01`): a client that reads "does
//! not exist" looks for a typing error, one that reads "is not supported" looks for another way.
//!
//! The lists are facts of a running server, one name a line, sorted by bytes:
//!
//! | file | query |
//! |---|---|
//! | `keywords.txt` | `pg_get_keywords()`: the word, its category, `a` if it is an alias only behind AS |
//! | `functions.txt` | `pg_proc`: the name, and how many arguments it takes (`1`, `1-3`, `1-`) |
//! | `types.txt` | `pg_type` without arrays and rows: the name, its OID, and that of its array if it has one |
//! | `operators.txt` | `pg_operator` |
//! | `relations.txt` | `pg_class` of `pg_catalog` and `information_schema` |

use std::{borrow::Cow, sync::LazyLock};

/// Where the grammar takes a keyword for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Category {
    /// Everywhere.
    Unreserved,
    /// For a column or a table, not for a function or a type.
    ColumnName,
    /// For a function or a type, not for a column or a table.
    TypeOrFunction,
    /// Nowhere but behind AS.
    Reserved,
}

/// A word that the grammar knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keyword {
    /// Where it is a name nevertheless.
    pub category: Category,
    /// Whether it names a column without AS before it.
    pub bare_label: bool,
}

/// Lines of a list, found by their first word.
struct List(LazyLock<Vec<&'static str>>);

impl List {
    /// The rest of the line that begins with this word.
    fn find(&self, name: &str) -> Option<&'static str> {
        let first = |line: &&'static str| line.split(' ').next().unwrap_or_default();
        let at =
            self.0.binary_search_by(|line| first(line).as_bytes().cmp(name.as_bytes())).ok()?;
        Some(self.0[at].split_once(' ').map_or("", |(_, rest)| rest))
    }
}

static KEYWORDS: List = List(LazyLock::new(|| include_str!("keywords.txt").lines().collect()));
static FUNCTIONS: List = List(LazyLock::new(|| include_str!("functions.txt").lines().collect()));
static TYPES: List = List(LazyLock::new(|| include_str!("types.txt").lines().collect()));
static OPERATORS: List = List(LazyLock::new(|| include_str!("operators.txt").lines().collect()));
static RELATIONS: List = List(LazyLock::new(|| include_str!("relations.txt").lines().collect()));

/// What a word (in lower case) is to PostgreSQL's grammar; `None`: a name like any other.
pub(crate) fn keyword(word: &str) -> Option<Keyword> {
    let rest = KEYWORDS.find(word)?;
    let category = match rest.as_bytes().first() {
        Some(b'C') => Category::ColumnName,
        Some(b'T') => Category::TypeOrFunction,
        Some(b'R') => Category::Reserved,
        _ => Category::Unreserved,
    };
    Some(Keyword { category, bare_label: !rest.ends_with('a') })
}

/// A name as PostgreSQL's messages quote it: bare if a statement could say it so.
pub(crate) fn quoted(name: &str) -> Cow<'_, str> {
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_free = keyword(name).is_none_or(|word| word.category == Category::Unreserved);
    if begins && name.chars().all(plain) && is_free {
        return name.into();
    }
    format!("\"{}\"", name.replace('"', "\"\"")).into()
}

/// Whether PostgreSQL has a function of this name that takes so many arguments.
pub(crate) fn has_function(name: &str, arguments: usize) -> bool {
    let takes = |range: &str| match range.split_once('-') {
        None => range.parse() == Ok(arguments),
        Some((least, most)) => {
            let above = least.parse().is_ok_and(|least: usize| arguments >= least);
            above && (most.is_empty() || most.parse().is_ok_and(|most: usize| arguments <= most))
        }
    };
    FUNCTIONS.find(name).is_some_and(|ranges| ranges.split(',').any(takes))
}

/// Whether PostgreSQL has a type of this name, or an array of it.
pub(crate) fn has_type(name: &str) -> bool {
    let name = name.strip_prefix("pg_catalog.").unwrap_or(name);
    let name = name.strip_suffix("[]").or_else(|| name.strip_prefix('_')).unwrap_or(name);
    TYPES.find(name.trim_matches('"')).is_some()
}

/// The name of PostgreSQL's type with this OID; an array's ends with `[]`.
pub(crate) fn type_of(oid: u32) -> Option<String> {
    TYPES.0.iter().find_map(|line| {
        let mut words = line.split(' ');
        let name = words.next()?;
        let is_this = |word: Option<&str>| word.is_some_and(|word| word.parse() == Ok(oid));
        match (is_this(words.next()), is_this(words.next())) {
            (true, _) => Some(name.to_owned()),
            (false, true) => Some(format!("{name}[]")),
            (false, false) => None,
        }
    })
}

/// Whether PostgreSQL has an operator of these signs, over whatever.
pub(crate) fn has_operator(symbol: &str) -> bool {
    OPERATORS.find(symbol).is_some()
}

/// The full name of a table or view of PostgreSQL's own: `pg_catalog.` is found without being named.
pub(crate) fn system_relation(schema: Option<&str>, name: &str) -> Option<String> {
    let full = format!("{}.{name}", schema.unwrap_or("pg_catalog"));
    RELATIONS.find(&full).map(|_| full)
}

#[cfg(test)]
mod tests;
