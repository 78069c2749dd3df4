//! LIKE patterns and regular expressions.

mod like;
mod translate;

pub(crate) use like::like;

use std::{cell::RefCell, collections::BTreeMap};

use regex::Regex;

use crate::{
    context::EvalContext,
    error::{Result, SqlError, SqlState},
};

/// Compiled expressions kept per thread; at the limit all are dropped.
const REGEX_CACHE_ENTRIES: usize = 64;
/// The most bytes a compiled expression may take; beyond it is refused.
const REGEX_SIZE_LIMIT: usize = 1 << 20;
/// The most bytes of a pattern: it is read as a tree before [`REGEX_SIZE_LIMIT`] counts, and a class
/// of letters of all scripts takes kilobytes there for two bytes here.
const MAX_PATTERN_BYTES: usize = 16 << 10;
/// Work of compiling one byte of a pattern.
const COMPILING: usize = 5_000;
/// Beyond so many bytes of a text times bytes of a pattern nothing is searched: the search cannot be
/// stopped once it has begun, and may take a step for each.
const MAX_SEARCH: usize = 8 << 30;
/// Bytes that an automaton looks at in the time of one step of work, times those of the pattern.
const SEARCH_PER_WORK: usize = 8;

/// The character that an ESCAPE clause names; `None`: none is.
pub(super) fn escape_character(escape: &str) -> Result<Option<char>> {
    let mut chars = escape.chars();
    let first = chars.next();
    if chars.next().is_some() {
        return Err(SqlError::new(SqlState::INVALID_ESCAPE_SEQUENCE, "invalid escape string")
            .with_hint("Escape string must be empty or one character."));
    }
    Ok(first)
}

thread_local! {
    /// By pattern, and whether letters of both cases are the same.
    static REGEXES: RefCell<BTreeMap<(String, bool), Regex>> =
        const { RefCell::new(BTreeMap::new()) };
}

/// Uses a compiled regular expression on a text.
///
/// # Errors
/// It cannot be read, or is too large: `2201B`; it asks for what is not supported: `0A000`; the
/// pattern is too long, or text and pattern are together: `54000`.
pub(crate) fn cached_regex<T>(
    pattern: &str,
    case_insensitive: bool,
    text: &str,
    ctx: &EvalContext,
    use_it: impl FnOnce(&Regex) -> T,
) -> Result<T> {
    if pattern.len() > MAX_PATTERN_BYTES {
        let message = format!("a regular expression has at most {MAX_PATTERN_BYTES} bytes");
        return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
    }
    let search = text.len().saturating_mul(pattern.len());
    if search > MAX_SEARCH {
        let message = "the text is too long for this regular expression";
        return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
    }
    ctx.work(text.len() + search / SEARCH_PER_WORK)?;
    REGEXES.with_borrow_mut(|cache| {
        let key = (pattern.to_owned(), case_insensitive);
        if !cache.contains_key(&key) {
            if cache.len() >= REGEX_CACHE_ENTRIES {
                cache.clear();
            }
            ctx.work(pattern.len().saturating_mul(COMPILING))?;
            cache.insert(key.clone(), compiled(pattern, case_insensitive)?);
        }
        Ok(use_it(&cache[&key]))
    })
}

fn compiled(pattern: &str, case_insensitive: bool) -> Result<Regex> {
    let translated = translate::translate(pattern)?;
    regex::RegexBuilder::new(&translated.text)
        .case_insensitive(translated.case_insensitive.unwrap_or(case_insensitive))
        .multi_line(translated.multi_line)
        .dot_matches_new_line(true)
        .size_limit(REGEX_SIZE_LIMIT)
        .build()
        .map_err(|error| {
            let reason = error.to_string();
            let last = reason.lines().last().unwrap_or_default();
            translate::invalid(last.trim_start_matches("error: "))
        })
}

#[cfg(test)]
mod tests;
