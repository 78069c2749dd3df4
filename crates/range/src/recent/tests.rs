//! The index against a twin that forgets nothing.

use clock::Timestamp;
use keys::{Key, Span};
use proptest::prelude::*;

use super::{Answer, RecentWrites};

fn key(k: u8) -> Key {
    Key::from_vec(vec![k])
}

fn at(t: u64) -> Timestamp {
    Timestamp::from_wall(t)
}

#[test]
fn below_the_low_water_mark_only_what_was_found_is_known() {
    let mut recent = RecentWrites::new(2, at(10));
    recent.record(key(1), at(11));
    recent.record(key(2), at(12));
    assert_eq!(recent.newest_in(&Span::point(key(3)), at(9)), Answer::Unknown);
    assert_eq!(recent.newest_in(&Span::point(key(3)), at(10)), Answer::None);
    recent.record(key(3), at(13));
    assert_eq!(recent.low_water(), at(11), "the oldest was forgotten");
    assert_eq!(recent.newest_in(&Span::point(key(1)), at(10)), Answer::Unknown);
    assert_eq!(recent.newest_in(&Span::point(key(1)), at(11)), Answer::None);
    assert_eq!(recent.newest_in(&Span::point(key(3)), at(1)), Answer::Some(key(3), at(13)));
    assert_eq!(recent.newest_in(&Span::point(key(3)), at(13)), Answer::None);
}

#[derive(Clone, Debug)]
enum Step {
    Record(u8, u64),
    Ask(u8, u8, u64),
    Split(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..12_u8, 1..40_u64).prop_map(|(k, t)| Step::Record(k, t)),
        6 => (0..13_u8, 0..13_u8, 0..40_u64).prop_map(|(a, b, t)| Step::Ask(a.min(b), a.max(b), t)),
        1 => (0..12_u8).prop_map(Step::Split),
    ]
}

/// Every write, and the span that is left.
struct Twin {
    writes: Vec<(Timestamp, Key)>,
    span: Span,
}

impl Twin {
    fn newest(&self, span: &Span, above: Timestamp) -> Option<Timestamp> {
        let inside = |key: &Key| span.contains(key) && self.span.contains(key);
        self.writes.iter().filter(|(t, k)| *t > above && inside(k)).map(|(t, _)| *t).max()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8 * ProptestConfig::default().cases))]

    #[test]
    fn the_index_never_contradicts_a_twin_that_forgets_nothing(
        limit in 1..8_usize,
        low in 0..4_u64,
        right_half in any::<bool>(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut recent = RecentWrites::new(limit, at(low));
        let mut twin = Twin { writes: Vec::new(), span: Span::new(key(0), key(20)) };
        for step in steps {
            match step {
                Step::Record(k, t) if t > low && twin.span.contains(&key(k)) => {
                    recent.record(key(k), at(t));
                    twin.writes.push((at(t), key(k)));
                }
                Step::Record(..) => {}
                Step::Split(k) if twin.span.contains(&key(k)) => {
                    let right = recent.split(&key(k));
                    prop_assert_eq!(right.low_water(), recent.low_water());
                    if right_half {
                        recent = right;
                        twin.span.start = key(k);
                    } else {
                        twin.span.end = key(k);
                    }
                }
                Step::Split(_) => {}
                Step::Ask(a, b, t) => {
                    for span in [Span::new(key(a), key(b)), Span::point(key(a))] {
                        let truth = twin.newest(&span, at(t));
                        match recent.newest_in(&span, at(t)) {
                            Answer::None => prop_assert_eq!(truth, None),
                            Answer::Some(k, s) => {
                                prop_assert_eq!(truth, Some(s));
                                prop_assert!(span.contains(&k) && twin.writes.contains(&(s, k)));
                            }
                            Answer::Unknown => prop_assert!(at(t) < recent.low_water()),
                        }
                    }
                }
            }
            prop_assert!(recent.len() <= limit);
        }
    }
}
