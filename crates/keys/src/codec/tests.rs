//! The encoding keeps the order of values and loses nothing but what SQL calls equal.

use std::cmp::Ordering;

use proptest::prelude::*;

use super::{CodecError, Decimal, Direction, KeyPart, decode, decode_directed, encode};

/// The order the encoding must keep, written without looking at it.
fn compare(left: &KeyPart, right: &KeyPart) -> Ordering {
    use KeyPart::{
        Bool, Bytes, Date, Decimal, Float, Int, Null, Text, Timestamp, TimestampTz, Uuid,
    };
    match (left, right) {
        (Null, Null) => Ordering::Equal,
        (Null, _) => Ordering::Greater,
        (_, Null) => Ordering::Less,
        (Bool(left), Bool(right)) => left.cmp(right),
        (Int(left), Int(right)) => left.cmp(right),
        (Float(left), Float(right)) => match (left.is_nan(), right.is_nan()) {
            (false, false) => left.partial_cmp(right).expect("neither is NaN"),
            (left, right) => left.cmp(&right),
        },
        (Decimal(left), Decimal(right)) => compare_decimals(left, right),
        (Date(left), Date(right)) => left.cmp(right),
        (Timestamp(left), Timestamp(right)) | (TimestampTz(left), TimestampTz(right)) => {
            left.cmp(right)
        }
        (Uuid(left), Uuid(right)) => left.cmp(right),
        (Bytes(left), Bytes(right)) => left.cmp(right),
        (Text(left), Text(right)) => left.as_bytes().cmp(right.as_bytes()),
        (left, right) => panic!("{left:?} and {right:?} are never in one column"),
    }
}

fn compare_decimals(left: &Decimal, right: &Decimal) -> Ordering {
    let class = |value: &Decimal| match value {
        Decimal::NegativeInfinity => -2,
        Decimal::Finite { digits, .. } if digits.is_empty() => 0,
        Decimal::Finite { negative: true, .. } => -1,
        Decimal::Finite { negative: false, .. } => 1,
        Decimal::Infinity => 2,
        Decimal::NaN => 3,
    };
    let size = |value: &Decimal| match value {
        Decimal::Finite { exponent, digits, .. } => (*exponent, digits.clone()),
        Decimal::NegativeInfinity | Decimal::Infinity | Decimal::NaN => (0, Vec::new()),
    };
    class(left).cmp(&class(right)).then_with(|| match class(left) {
        -1 => size(right).cmp(&size(left)),
        _ => size(left).cmp(&size(right)),
    })
}

fn decimals() -> impl Strategy<Value = Decimal> {
    let finite = (any::<bool>(), -4_i32..4, prop::collection::vec(0_u8..10, 0..6));
    prop_oneof![
        1 => Just(Decimal::NegativeInfinity),
        1 => Just(Decimal::Infinity),
        1 => Just(Decimal::NaN),
        20 => finite.prop_map(|(negative, exponent, mut digits)| {
            while digits.last() == Some(&0) {
                digits.pop();
            }
            let zeros = digits.iter().take_while(|digit| **digit == 0).count();
            digits.drain(..zeros);
            let zero = digits.is_empty();
            Decimal::Finite {
                negative: negative && !zero,
                exponent: if zero { 0 } else { exponent },
                digits,
            }
        }),
    ]
}

fn ints() -> impl Strategy<Value = i64> {
    prop_oneof![
        any::<i64>(),
        -300_i64..300,
        (0_u32..64, -1_i64..=1).prop_map(|(shift, by)| (1_i64 << shift).wrapping_add(by)),
        (0_u32..64, -1_i64..=1).prop_map(|(shift, by)| (-1_i64 << shift).wrapping_add(by)),
    ]
}

/// Two values of one column, and now and then NULL.
fn pairs() -> impl Strategy<Value = (KeyPart, KeyPart)> {
    fn pair<T: std::fmt::Debug + Clone + 'static>(
        values: impl Strategy<Value = T> + Clone + 'static,
        part: fn(T) -> KeyPart,
    ) -> BoxedStrategy<(KeyPart, KeyPart)> {
        let one = prop_oneof![1 => Just(KeyPart::Null), 15 => values.prop_map(part)];
        let one = one.boxed();
        prop_oneof![4 => (one.clone(), one.clone()), 1 => one.prop_map(|one| (one.clone(), one))]
            .boxed()
    }
    prop_oneof![
        pair(any::<bool>(), KeyPart::Bool),
        pair(ints().boxed(), KeyPart::Int),
        pair(prop::num::f64::ANY, KeyPart::Float),
        pair(prop::sample::select(vec![0.0, -0.0, 1.0, -1.0, f64::NAN, -f64::NAN]), KeyPart::Float),
        pair(decimals().boxed(), KeyPart::Decimal),
        pair(any::<i32>(), KeyPart::Date),
        pair(ints().boxed(), KeyPart::Timestamp),
        pair(ints().boxed(), KeyPart::TimestampTz),
        pair(any::<[u8; 16]>(), KeyPart::Uuid),
        pair(
            prop::collection::vec(prop::sample::select(vec![0, 1, 2, 254, 255]), 0..5),
            KeyPart::Bytes
        ),
        pair("[\0\x01a-cé]{0,4}", KeyPart::Text),
    ]
}

fn encoded(parts: &[&KeyPart], direction: Direction) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        encode(part, direction, &mut out);
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn order_is_kept((left, right) in pairs(), (left2, right2) in pairs()) {
        let expected = compare(&left, &right);
        for (direction, expected) in
            [(Direction::Ascending, expected), (Direction::Descending, expected.reverse())]
        {
            let (l, r) = (encoded(&[&left], direction), encoded(&[&right], direction));
            prop_assert_eq!(l.cmp(&r), expected);
            prop_assert!(l == r || !l.starts_with(&r), "one encoding is a prefix of the other");
            let second = compare(&left2, &right2);
            let second = if direction == Direction::Descending { second.reverse() } else { second };
            let (l, r) =
                (encoded(&[&left, &left2], direction), encoded(&[&right, &right2], direction));
            prop_assert_eq!(l.cmp(&r), expected.then(second));
        }
    }

    #[test]
    fn what_is_encoded_is_decoded((first, second) in pairs()) {
        for direction in [Direction::Ascending, Direction::Descending] {
            let bytes = encoded(&[&first, &second], direction);
            let mut rest = bytes.as_slice();
            for part in [&first, &second] {
                let (decoded, found) = decode_directed(&mut rest).expect("we encoded it");
                prop_assert_eq!(compare(&decoded, part), Ordering::Equal);
                prop_assert_eq!(found, direction);
                if !matches!(part, KeyPart::Float(_)) {
                    prop_assert_eq!(&decoded, part);
                }
            }
            prop_assert!(rest.is_empty());
            for length in 0..encoded(&[&first], direction).len() {
                prop_assert_eq!(decode(&mut &bytes[..length]), Err(CodecError::Truncated));
            }
        }
    }

    #[test]
    fn garbage_is_an_error_and_decodes_to_nothing_else(
        bytes in prop::collection::vec(any::<u8>(), 0..24),
    ) {
        let mut rest = bytes.as_slice();
        if let Ok((part, direction)) = decode_directed(&mut rest)
            && !matches!(part, KeyPart::Int(_) | KeyPart::Float(_) | KeyPart::Decimal(_))
        {
            prop_assert_eq!(&encoded(&[&part], direction)[..], &bytes[..bytes.len() - rest.len()]);
        }
    }
}

#[test]
fn small_integers_are_short() {
    for (value, length) in [(0, 1), (1, 2), (255, 2), (256, 3), (-1, 2), (-256, 2), (-257, 3)] {
        let bytes = encoded(&[&KeyPart::Int(value)], Direction::Ascending);
        assert_eq!(bytes.len(), length, "{value}");
    }
    assert_eq!(encoded(&[&KeyPart::Int(i64::MIN)], Direction::Ascending).len(), 9);
}
