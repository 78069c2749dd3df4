//! Both ways agree, and the long one is not slow.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn both_ways_agree(text in "[ab\u{e9}]{0,12}", pattern in "[ab\u{e9}%_\\\\]{0,8}") {
        let ctx = EvalContext::default();
        for escape in [Some('\\'), None, Some('%'), Some('_'), Some('a')] {
            prop_assert_eq!(
                by_pieces(&text, &pattern, escape, &ctx),
                by_characters(&text, &pattern, escape)
            );
        }
    }
}

#[test]
fn long_texts_and_patterns_are_not_tried_at_each_place() {
    let ctx = EvalContext::default();
    let text = "a".repeat(4_000_000);
    let half = "a".repeat(2_000_000);
    assert_eq!(like(&text, &format!("%{half}b"), Some('\\'), &ctx), Ok(false));
    assert_eq!(like(&text, &format!("%{half}b%"), Some('\\'), &ctx), Ok(false));
    assert_eq!(like(&text, &format!("%{half}%{half}"), Some('\\'), &ctx), Ok(true));
    assert_eq!(like(&text, &format!("%{half}_%{half}"), Some('\\'), &ctx), Ok(false));
}

/// What needs a step for each place and character ends where nobody can be asked.
#[test]
fn what_is_tried_at_each_place_is_counted() {
    let ctx = EvalContext::default();
    let text = "a".repeat(1_000_000);
    let pattern = format!("%a_{}b%", "a".repeat(100_000));
    let error = like(&text, &pattern, None, &ctx).expect_err("too long");
    assert_eq!(error.sqlstate, SqlState::STATEMENT_TOO_COMPLEX);
}
