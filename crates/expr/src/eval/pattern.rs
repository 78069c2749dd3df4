//! LIKE patterns and regular expressions.

mod translate;

use std::{cell::RefCell, collections::BTreeMap};

use regex::Regex;

use crate::error::{Result, SqlError, SqlState};

/// Compiled expressions kept per thread; at the limit all are dropped.
const REGEX_CACHE_ENTRIES: usize = 64;
/// The most bytes a compiled expression may take; beyond it is refused.
const REGEX_SIZE_LIMIT: usize = 1 << 20;

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

/// Whether a text matches a LIKE pattern: `%` stands for any text, `_` for any one character.
///
/// # Errors
/// The pattern ends with its escape character: `22025`.
pub(crate) fn like(text: &str, pattern: &str, escape: Option<char>) -> Result<bool> {
    // Both advance as far as they agree. At a disagreement the last `%` takes one more character.
    let (mut text_rest, mut pattern_rest) = (text.chars(), pattern.chars());
    let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let before = text_rest.clone();
        let matched = match pattern_rest.next() {
            Some('%') if escape != Some('%') => {
                retry = Some((before, pattern_rest.clone()));
                continue;
            }
            Some('_') if escape != Some('_') => text_rest.next().is_some(),
            Some(c) if Some(c) == escape => match pattern_rest.next() {
                Some(literal) => text_rest.next() == Some(literal),
                None if text_rest.as_str().is_empty() => false,
                None => {
                    return Err(SqlError::new(
                        SqlState::INVALID_ESCAPE_SEQUENCE,
                        "LIKE pattern must not end with escape character",
                    ));
                }
            },
            Some(c) => text_rest.next() == Some(c),
            None if text_rest.as_str().is_empty() => return Ok(true),
            None => false,
        };
        if matched {
            continue;
        }
        let Some((mut from, after)) = retry else {
            return Ok(false);
        };
        if from.next().is_none() {
            return Ok(false);
        }
        (text_rest, pattern_rest) = (from.clone(), after.clone());
        retry = Some((from, after));
    }
}

thread_local! {
    /// By pattern, and whether letters of both cases are the same.
    static REGEXES: RefCell<BTreeMap<(String, bool), Regex>> =
        const { RefCell::new(BTreeMap::new()) };
}

/// Uses a compiled regular expression.
///
/// # Errors
/// It cannot be read, or is too large: `2201B`; it asks for what is not supported: `0A000`.
pub(crate) fn cached_regex<T>(
    pattern: &str,
    case_insensitive: bool,
    use_it: impl FnOnce(&Regex) -> T,
) -> Result<T> {
    REGEXES.with_borrow_mut(|cache| {
        let key = (pattern.to_owned(), case_insensitive);
        if !cache.contains_key(&key) {
            if cache.len() >= REGEX_CACHE_ENTRIES {
                cache.clear();
            }
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
