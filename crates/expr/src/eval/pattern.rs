//! LIKE patterns and regular expressions.

mod like;
mod search;
mod similar;
mod translate;

pub(crate) use like::like;
pub(crate) use search::Pattern;
pub(crate) use similar::similar_to_escape;

use std::{cell::RefCell, collections::BTreeMap};

use regex_automata::util::syntax;

use crate::{
    context::EvalContext,
    error::{Result, SqlError, SqlState},
};

/// Compiled expressions kept per thread; at the limit all are dropped.
const REGEX_CACHE_ENTRIES: usize = 64;
/// Steps of work that compiling an expression takes for each of its states, about.
const COMPILED_STATE: usize = 200;
/// The most bytes of a pattern: it is read as a tree before the limit of what is compiled counts, and
/// a class of letters of all scripts takes kilobytes there for two bytes here.
const MAX_PATTERN_BYTES: usize = 16 << 10;
/// Work of reading one byte of a pattern.
const READING: usize = 5_000;

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
    static REGEXES: RefCell<BTreeMap<(String, bool), Pattern>> =
        const { RefCell::new(BTreeMap::new()) };
}

/// Uses a compiled regular expression.
///
/// # Errors
/// It cannot be read, or is too large: `2201B`; it asks for what is not supported: `0A000`; the
/// pattern is too long: `54000`. Those of its use.
pub(crate) fn cached_regex<T>(
    pattern: &str,
    case_insensitive: bool,
    ctx: &EvalContext,
    use_it: impl FnOnce(&Pattern) -> Result<T>,
) -> Result<T> {
    if pattern.len() > MAX_PATTERN_BYTES {
        let message = format!("a regular expression has at most {MAX_PATTERN_BYTES} bytes");
        return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
    }
    REGEXES.with_borrow_mut(|cache| {
        let key = (pattern.to_owned(), case_insensitive);
        if !cache.contains_key(&key) {
            if cache.len() >= REGEX_CACHE_ENTRIES {
                cache.clear();
            }
            ctx.work(pattern.len().saturating_mul(READING))?;
            let compiled = compiled(pattern, case_insensitive)?;
            ctx.work(compiled.states() * COMPILED_STATE)?;
            cache.insert(key.clone(), compiled);
        }
        use_it(&cache[&key])
    })
}

fn compiled(pattern: &str, case_insensitive: bool) -> Result<Pattern> {
    let translated = translate::translate(pattern)?;
    let syntax = syntax::Config::new()
        .case_insensitive(translated.case_insensitive.unwrap_or(case_insensitive))
        .multi_line(translated.multi_line)
        .dot_matches_new_line(true);
    Pattern::compile(translated.text, syntax).map_err(|reason| {
        let last = reason.lines().last().unwrap_or_default();
        translate::invalid(last.trim_start_matches("error: "))
    })
}

#[cfg(test)]
mod tests;
