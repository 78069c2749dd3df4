//! Laws of decimals; single results are compared with PostgreSQL in `tests/postgres.rs`.

use std::hash::{DefaultHasher, Hash, Hasher};

use proptest::prelude::*;

use super::Decimal;
use crate::{error::SqlState, testing::decimals};

fn hash(value: &Decimal) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

proptest! {
    #[test]
    fn text_key_and_wire_come_back(value in decimals()) {
        let text = value.to_string();
        let back = Decimal::parse(&text).expect("what we printed");
        prop_assert_eq!(back.to_string(), text.clone());
        prop_assert_eq!(&Decimal::from_key(&value.to_key()).expect("a key"), &value);
        let wire = Decimal::from_wire(&value.to_wire()).expect("what we wrote");
        prop_assert_eq!(wire.to_string(), text);
        let stored = postcard::to_stdvec(&value).expect("it serializes");
        let back: Decimal = postcard::from_bytes(&stored).expect("what we wrote");
        prop_assert_eq!(back.to_string(), value.to_string());
    }

    #[test]
    fn equals_have_one_hash(left in decimals(), right in decimals()) {
        prop_assert!(left != right || hash(&left) == hash(&right));
        let trimmed = left.trim_scale();
        prop_assert_eq!(&trimmed, &left);
        prop_assert_eq!(hash(&trimmed), hash(&left));
    }

    #[test]
    fn small_sums_and_products_are_those_of_integers(
        a in any::<i32>(), b in any::<i32>(), scale in 0_u32..6, other in 0_u32..6,
    ) {
        let (x, y) = (Decimal::from_parts(a.into(), scale), Decimal::from_parts(b.into(), other));
        let product = x.mul(&y).expect("small");
        let expected = Decimal::from_parts(i128::from(a) * i128::from(b), scale + other);
        prop_assert_eq!(&product, &expected);
        let back = x.add(&y).and_then(|sum| sum.sub(&y)).expect("small");
        prop_assert_eq!(&back, &x);
        if b != 0 {
            let (quotient, rest) = (x.div_trunc(&y).expect("small"), x.rem(&y).expect("small"));
            let again = quotient.mul(&y).and_then(|whole| whole.add(&rest)).expect("small");
            prop_assert_eq!(&again, &x);
            prop_assert!(rest.abs() < y.abs());
        }
    }

    #[test]
    fn roots_and_logarithms_turn_back(a in 1_i64..1_000_000, scale in 0_u32..5) {
        let x = Decimal::from_parts(a.into(), scale);
        let near = |y: &Decimal| {
            let gap = y.sub(&x).expect("small").abs();
            gap.mul(&Decimal::from_parts(1_000_000_000, 0)).expect("small") < x
        };
        let root = x.sqrt().expect("positive");
        prop_assert!(near(&root.mul(&root).expect("small")), "{x}: {root}");
        let back = x.ln().and_then(|logarithm| logarithm.exp()).expect("positive");
        prop_assert!(near(&back), "{x}: {back}");
        let cube = x.pow(&Decimal::from(3_i64)).expect("small");
        prop_assert!(near(&cube.div(&x).and_then(|square| square.div(&x)).expect("positive")));
    }
}

proptest! {
    /// Most pairs are ordered by their lengths alone.
    #[test]
    fn order_is_that_of_the_difference(left in decimals(), right in decimals(), tens in 0_u32..30) {
        let right = right.mul(&Decimal::from_parts(1, tens)).expect("small");
        if left.scale().is_some() && right.scale().is_some() {
            let difference = left.sub(&right).expect("small").signum();
            prop_assert_eq!(left.cmp(&right), difference.cmp(&0), "{} {}", left, right);
        }
    }

    #[test]
    fn zeros_are_cut_and_nothing_else(number in -2_000_i128..2_000, scale in 0_u32..9, zeros in 0_u32..25) {
        let filled = Decimal::from_parts(number * 10_i128.pow(zeros), scale + zeros);
        let text = filled.to_string();
        let cut = text.trim_end_matches('0').trim_end_matches('.');
        let expected = if text.contains('.') { cut } else { &text };
        prop_assert_eq!(filled.trim_scale().to_string(), expected);
    }
}

#[test]
fn many_zeros_are_cut_and_hashed_at_once() {
    let one = format!("1.{}", "0".repeat(16_383));
    let large = Decimal::parse("1e131000").expect("a number");
    let long = large.mul(&Decimal::parse(&one).expect("a number")).expect("within the limits");
    assert_eq!(long.scale(), Some(16_383));
    assert_eq!((long.trim_scale().scale(), hash(&long)), (Some(0), hash(&large)));
    let zero = Decimal::parse(&format!("0.{}", "0".repeat(16_383))).expect("a number");
    assert_eq!((zero.trim_scale().scale(), hash(&zero)), (Some(0), hash(&Decimal::zero())));
}

#[test]
fn numbers_beyond_the_limits_are_refused() {
    for text in ["1e131072", "1e99999999999999999999"] {
        let error = Decimal::parse(text).expect_err("too large");
        assert_eq!(error.sqlstate, SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "{text}");
    }
    let large = Decimal::parse("1e131071").expect("the largest power");
    assert!(large.mul(&Decimal::from(10_i64)).is_err());
    assert_eq!(Decimal::parse("1e-20000").expect("rounded").to_string().len(), 16_385);
}
