//! Searches that would be too long are not begun.

use super::*;

#[test]
fn a_long_text_is_not_searched_for_a_long_pattern() {
    let ctx = EvalContext::default();
    let (text, pattern) = ("a".repeat(4_000_000), "(a|b)?".repeat(1_000));
    let found = cached_regex(&pattern, false, &text, &ctx, |_| ());
    assert_eq!(found.expect_err("too long").sqlstate, SqlState::PROGRAM_LIMIT_EXCEEDED);
    let short = cached_regex("b$", false, &text, &ctx, |regex| regex.is_match(&text));
    assert_eq!(short, Ok(false));
}

/// Reading a pattern takes memory and time before anything bounds what is compiled of it.
#[test]
fn a_long_pattern_is_not_read() {
    let ctx = EvalContext::default();
    for pattern in ["a?".repeat(30_000_000), "\\w".repeat(MAX_PATTERN_BYTES / 2) + "a"] {
        let found = cached_regex(&pattern, false, "", &ctx, |_| ());
        assert_eq!(found.expect_err("too long").sqlstate, SqlState::PROGRAM_LIMIT_EXCEEDED);
    }
    assert_eq!(ctx.take_work(), 0, "what is refused is no work");
    let pattern = "a?".repeat(1_000);
    assert_eq!(cached_regex(&pattern, false, "", &ctx, |regex| regex.is_match("")), Ok(true));
    assert!(ctx.take_work() >= pattern.len() * COMPILING);
}
