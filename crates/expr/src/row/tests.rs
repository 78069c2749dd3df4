//! Rows and tuples come back as they were, and damage is told.

use proptest::prelude::*;

use super::{ColumnId, decode, decode_into, decode_tuple, encode, encode_tuple};
use crate::{datum::Datum, error::SqlState, testing::datums};

/// Equal in every bit, scales and signs of zero included, which `==` does not see.
fn same(left: &Datum, right: &Datum) -> bool {
    format!("{left:?}") == format!("{right:?}")
}

proptest! {
    #[test]
    fn rows_come_back(values in prop::collection::btree_map(0_u32..500, datums(), 0..12)) {
        let columns: Vec<(ColumnId, &Datum)> =
            values.iter().map(|(id, value)| (ColumnId(*id), value)).collect();
        let row = encode(&columns);
        let back = decode(&row).expect("what we wrote");
        prop_assert_eq!(back.len(), columns.len());
        for ((id, value), (back_id, back)) in columns.iter().zip(&back) {
            prop_assert!(id == back_id && same(value, back));
        }
        // Every other column is asked for, and one that no row has.
        let places: Vec<(ColumnId, usize)> = columns
            .iter()
            .map(|(id, _)| *id)
            .step_by(2)
            .chain([ColumnId(1_000)])
            .enumerate()
            .map(|(place, id)| (id, place))
            .collect();
        let mut out = vec![Datum::text("untouched"); places.len()];
        decode_into(&row, &places, &mut out).expect("what we wrote");
        for (id, place) in &places {
            let untouched = Datum::text("untouched");
            let expected = values.get(&id.0).unwrap_or(&untouched);
            prop_assert!(same(&out[*place], expected));
        }
    }

    #[test]
    fn tuples_come_back_whole_or_not_at_all(values in prop::collection::vec(datums(), 0..8)) {
        let tuple = encode_tuple(values.iter());
        let back = decode_tuple(&tuple).expect("what we wrote");
        prop_assert!(back.len() == values.len());
        prop_assert!(back.iter().zip(&values).all(|(left, right)| same(left, right)));
        for length in 0..tuple.len() {
            prop_assert!(decode_tuple(&tuple[..length]).is_err());
        }
    }

    #[test]
    fn garbage_is_an_error(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        for error in [decode(&bytes).err(), decode_tuple(&bytes).err()].into_iter().flatten() {
            prop_assert_eq!(error.sqlstate, SqlState::DATA_CORRUPTED);
        }
        let row = [&[super::FORMAT], &bytes[..]].concat();
        drop(decode(&row));
        drop(decode_into(&row, &[(ColumnId(3), 0)], &mut [Datum::Null]));
    }
}

#[test]
fn an_empty_value_is_a_row_without_columns() {
    assert_eq!(decode(&[]).expect("empty"), []);
    assert_eq!(encode(&[])[..], [super::FORMAT]);
}

#[test]
#[should_panic(expected = "column ids must ascend")]
fn columns_out_of_order_are_refused() {
    drop(encode(&[(ColumnId(2), &Datum::Null), (ColumnId(1), &Datum::Null)]));
}
