//! Searches byte by byte find what searches at once find, and end when the statement does.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use proptest::prelude::*;

use super::*;
use crate::{Datum, Hooks, SettingScope};

/// Hooks that let a statement go on for so many times.
#[derive(Debug)]
struct Patience(AtomicUsize);

impl Hooks for Patience {
    fn clock_timestamp(&self) -> i64 {
        0
    }

    fn random(&self) -> u64 {
        0
    }

    fn setting(&self, _: &str) -> Option<String> {
        None
    }

    fn set_setting(&self, _: &str, value: &str, _: SettingScope) -> Result<String> {
        Ok(value.to_owned())
    }

    fn go_on(&self) -> Result<()> {
        match self.0.fetch_sub(1, Ordering::Relaxed) {
            0 => Err(SqlError::new(SqlState::QUERY_CANCELED, "enough")),
            _ => Ok(()),
        }
    }

    fn call(&self, _: &str, _: &[Datum]) -> Result<Datum> {
        Ok(Datum::Null)
    }
}

fn patience(times: usize) -> EvalContext {
    EvalContext { hooks: Some(Arc::new(Patience(AtomicUsize::new(times)))), ..Default::default() }
}

/// A pattern that searches texts of up to so many bytes at once; `None`: as many as it does.
fn pattern(text: &str, at_once: Option<usize>) -> Pattern {
    let syntax = syntax::Config::new().multi_line(text.starts_with('^')).dot_matches_new_line(true);
    let pattern = Pattern::compile(text.to_owned(), syntax).expect(text);
    Pattern { at_once: at_once.unwrap_or(pattern.at_once), ..pattern }
}

/// All matches with their groups, and whether there are any.
fn all(pattern: &Pattern, text: &str) -> (Vec<Vec<Option<Range<usize>>>>, bool) {
    let (ctx, mut all) = (patience(usize::MAX), Vec::new());
    let see = |found: &Captures| {
        all.push(found.iter().map(|group| group.map(|group| group.range())).collect());
        Ok(true)
    };
    pattern.each_match(text, &ctx, see).expect("it goes on");
    (all, pattern.is_match(text, &ctx).expect("it goes on"))
}

const PATTERNS: &[&str] = &[
    "",
    "a",
    "a*",
    "a+?",
    "b$",
    "^b?",
    "^.*$",
    "^",
    "$",
    "(a)|(b)",
    "(x|xy)(ab)?",
    "(a(b)?)+",
    "[^b]+",
    "ä",
    "[äb]+?",
    ".",
    "\\ba",
    "b\\b",
    "\\Bb",
    "a.b",
    "(?:[ab]*)(a[ab]{3})",
    "((ab){2}){2}",
];

proptest! {
    #[test]
    fn both_ways_find_the_same(text in "[abxyä\n ]{0,40}", which in 0..PATTERNS.len()) {
        let (short, long) = (pattern(PATTERNS[which], Some(usize::MAX)), pattern(PATTERNS[which], Some(0)));
        prop_assert_eq!(all(&long, &text), all(&short, &text), "{}", PATTERNS[which]);
        let expected = regex_matches(&short, &text);
        prop_assert_eq!(all(&short, &text).0.len(), expected, "{}", PATTERNS[which]);
    }
}

/// How many matches the engine's own iterator finds.
fn regex_matches(pattern: &Pattern, text: &str) -> usize {
    pattern.regex.find_iter(text).count()
}

/// Letters in an order that does not come again: an automaton meets a new state at each.
fn disorder(length: usize) -> String {
    let mut state = 1_u64;
    let letter = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if state >> 63 == 0 { 'a' } else { 'b' }
    };
    (0..length).map(letter).collect()
}

#[test]
fn a_search_that_would_take_long_ends_with_its_statement() {
    let text = disorder(1_000_000);
    for wild in ["[ab]*a[ab]{200}c", "(?:a|b)*(a[ab]{200})c", "a[ab]{100}a[ab]{100}c"] {
        let wild = pattern(wild, None);
        let ended = wild.each_match(&text, &patience(1), |_| Ok(true));
        assert_eq!(ended.expect_err("it takes long").sqlstate, SqlState::QUERY_CANCELED);
    }
    let quick = pattern("[ab]{9}c?$", None).is_match(&text, &patience(1));
    assert_eq!(quick, Ok(true), "a step for each byte is no reason to ask");
}

#[test]
fn what_cannot_be_stopped_is_not_begun() {
    let (ctx, text) = (patience(usize::MAX), "ab ä".repeat(1_000_000));
    // Groups within a match of everything, and words whose letters are not ASCII.
    for long in ["((a|b| |ä)*[ab ä]{20})", "\\b[abä]{20}c\\b"] {
        let refused = pattern(long, None).each_match(&text, &ctx, |_| Ok(true));
        assert_eq!(refused.expect_err(long).sqlstate, SqlState::PROGRAM_LIMIT_EXCEEDED, "{long}");
    }
}
