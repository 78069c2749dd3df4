//! Tests of what compiling a regular expression takes.

use super::*;

/// Reading a pattern takes memory and time before anything bounds what is compiled of it.
#[test]
fn a_long_pattern_is_not_read() {
    let ctx = EvalContext::default();
    for pattern in ["a?".repeat(30_000_000), "\\w".repeat(MAX_PATTERN_BYTES / 2) + "a"] {
        let found = cached_regex(&pattern, false, &ctx, |_| Ok(()));
        assert_eq!(found.expect_err("too long").sqlstate, SqlState::PROGRAM_LIMIT_EXCEEDED);
    }
    assert_eq!(ctx.take_work(), 0, "what is refused is no work");
    let pattern = "a?".repeat(1_000);
    assert_eq!(cached_regex(&pattern, false, &ctx, |_| Ok(true)), Ok(true));
    assert!(ctx.take_work() >= pattern.len() * READING);
}
