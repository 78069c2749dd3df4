//! The treap against a list.

use std::ops::ControlFlow;

use keys::{Key, Span};
use proptest::prelude::*;

use crate::locks::intervals::Intervals;

fn span(a: u8, b: u8) -> Span {
    Span::new(Key::from_vec(vec![a.min(b)]), Key::from_vec(vec![a.max(b) + 1]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2 * ProptestConfig::default().cases))]

    #[test]
    fn the_treap_finds_what_a_list_finds(
        steps in prop::collection::vec((0..3_u8, 0..30_u8, 0..30_u8, 0..4_u8), 1..150),
    ) {
        let mut tree = Intervals::new();
        let mut list: Vec<(Span, u8)> = Vec::new();
        for (what, a, b, value) in steps {
            let span = span(a, b);
            let there = list.contains(&(span.clone(), value));
            prop_assert_eq!(tree.contains(&span, value), there);
            match what {
                0 if !there => {
                    tree.insert(span.clone(), value);
                    list.push((span, value));
                    list.sort();
                }
                1 => {
                    prop_assert_eq!(tree.remove(&span, value), there);
                    list.retain(|pair| *pair != (span.clone(), value));
                }
                _ => {
                    let mut found = Vec::new();
                    let _ = tree.overlapping(&span.start, &span.end, &mut |span, value| {
                        found.push((span.clone(), *value));
                        ControlFlow::Continue(())
                    });
                    let truth: Vec<_> =
                        list.iter().filter(|(other, _)| other.overlaps(&span)).cloned().collect();
                    prop_assert_eq!(found, truth);
                }
            }
            prop_assert_eq!(tree.len(), list.len());
        }
    }
}

#[test]
fn many_spans_in_order_make_a_shallow_tree() {
    let mut tree = Intervals::new();
    let key = |n: u32| Key::from_vec(n.to_be_bytes().to_vec());
    for n in 0..50_000_u32 {
        tree.insert(Span::new(key(n), key(n + 2)), n);
    }
    let mut found = Vec::new();
    let _ = tree.overlapping(&key(40_000), &key(40_001), &mut |_, value| {
        found.push(*value);
        ControlFlow::Continue(())
    });
    assert_eq!(found, [39_999, 40_000]);
    for n in 0..50_000_u32 {
        assert!(tree.remove(&Span::new(key(n), key(n + 2)), n));
    }
    assert_eq!(tree.len(), 0);
}
