//! Keys sort as SQL does and come back as equals.

use keys::codec::Direction;
use proptest::prelude::*;

use super::{decode_datum, encode_datum, is_lossy};
use crate::{
    datum::Datum,
    error::SqlState,
    testing::{datum_pairs, typed_datums},
    types::Type,
};

fn encoded(value: &Datum, direction: Direction) -> Vec<u8> {
    let mut out = Vec::new();
    encode_datum(value, direction, &mut out).expect("a type that keys may hold");
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn keys_sort_as_values((left, right) in datum_pairs()) {
        let expected = left.cmp(&right);
        let keys = |direction| (encoded(&left, direction), encoded(&right, direction));
        let (l, r) = keys(Direction::Ascending);
        prop_assert_eq!(l.cmp(&r), expected);
        let (l, r) = keys(Direction::Descending);
        prop_assert_eq!(l.cmp(&r), expected.reverse());
    }

    #[test]
    fn values_come_back((ty, value) in typed_datums()) {
        for direction in [Direction::Ascending, Direction::Descending] {
            let key = encoded(&value, direction);
            let mut rest = key.as_slice();
            let back = decode_datum(&mut rest, ty).expect("what we wrote");
            prop_assert!(rest.is_empty());
            prop_assert_eq!(&back, &value);
            if !is_lossy(ty) {
                prop_assert_eq!(format!("{back:?}"), format!("{value:?}"));
            }
        }
    }
}

#[test]
fn a_value_of_another_type_is_damage() {
    let key = encoded(&Datum::Int(1), Direction::Ascending);
    let error = decode_datum(&mut &key[..], Type::Text).expect_err("an integer is no text");
    assert_eq!(error.sqlstate, SqlState::DATA_CORRUPTED);
}

#[test]
fn intervals_are_refused_in_keys() {
    let interval = Datum::Interval(crate::Interval::from_micros(1));
    let error = encode_datum(&interval, Direction::Ascending, &mut Vec::new());
    assert_eq!(error.expect_err("not keyable").sqlstate, SqlState::FEATURE_NOT_SUPPORTED);
}
