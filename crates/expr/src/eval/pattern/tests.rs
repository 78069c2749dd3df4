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
