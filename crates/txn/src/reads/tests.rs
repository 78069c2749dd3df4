//! The read set against a set of points.

use keys::{Key, Span};
use proptest::prelude::*;

use super::{ReadSet, shortened};

/// Points are keys of two bytes, so that spans can touch, nest and lie apart.
fn key(n: u16) -> Key {
    Key::from_vec(n.to_be_bytes().to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn it_holds_all_that_was_read_and_without_a_limit_nothing_else(
        spans in proptest::collection::vec((0..300u16, 0..40u16), 0..40),
        limit in 2..60usize,
    ) {
        let mut set = ReadSet::default();
        let mut points = [false; 340];
        for (start, length) in &spans {
            set.add(Span::new(key(*start), key(start + length)), limit);
            (*start..start + length).for_each(|n| points[usize::from(n)] = true);
        }
        let kept: Vec<Span> = set.iter().collect();
        prop_assert!(kept.len() <= limit);
        prop_assert!(kept.windows(2).all(|pair| pair[0].end < pair[1].start), "{kept:?}");
        prop_assert!(kept.iter().all(|span| !span.is_empty()));
        for (n, read) in (0..340u16).zip(points) {
            let held = kept.iter().any(|span| span.contains(&key(n)));
            prop_assert!(held || !read, "{n} was read");
            prop_assert!(read || !held || spans.len() > limit, "{n} was not read");
        }
    }
}

#[test]
fn the_narrowest_gaps_are_closed_first() {
    let mut set = ReadSet::default();
    for name in ["t/1/a", "t/1/b", "t/1/c", "t/2/a", "u"] {
        set.add(Span::point(name.into()), 4);
    }
    let kept: Vec<Span> = set.iter().collect();
    let end = |name: &str| Key::from(name).next();
    assert_eq!(
        kept,
        [
            Span { start: "t/1/a".into(), end: end("t/1/c") },
            Span::point("t/2/a".into()),
            Span::point("u".into()),
        ],
    );
}

proptest! {
    /// Cut to few bytes, a span holds at least what it held.
    #[test]
    fn a_shortened_span_is_no_narrower(
        a in proptest::collection::vec(prop_oneof![Just(0), Just(1), Just(0xff)], 0..9),
        b in proptest::collection::vec(prop_oneof![Just(0), Just(1), Just(0xff)], 0..9),
        most in 2..6_usize,
    ) {
        // As every key does, it begins with what is no 0xff.
        let key = |tail: &[u8]| Key::from_vec([&[1], tail].concat());
        let span = Span::new(key(&a).min(key(&b)), key(&a).max(key(&b)));
        let short = shortened(span.clone(), most);
        prop_assert!(short.covers(&span) && short.start.len() <= most && short.end.len() <= most);
        let fits = span.start.len() <= most && span.end.len() <= most;
        prop_assert!(!fits || short == span, "{short} for {span}");
    }
}
