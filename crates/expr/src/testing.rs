//! Random values for the tests of this crate.

use proptest::prelude::*;

use crate::{
    datetime::Interval,
    datum::Datum,
    decimal::Decimal,
    types::{Element, Type},
};

/// Decimals with few digits, so that equal ones with different scales are met, and the special
/// ones.
pub(crate) fn decimals() -> impl Strategy<Value = Decimal> {
    prop_oneof![
        10 => (-2_000_i128..2_000, 0_u32..4).prop_map(|(n, scale)| Decimal::from_parts(n, scale)),
        5 => (any::<i128>(), 0_u32..40).prop_map(|(n, scale)| Decimal::from_parts(n, scale)),
        1 => Just(Decimal::NaN),
        1 => Just(Decimal::Infinity),
        1 => Just(Decimal::NegativeInfinity),
    ]
}

/// How many kinds of values [`kind`] knows.
const KINDS: u32 = 13;

/// Values of one kind that keys may hold, with their type, now and then NULL.
fn kind(kind: u32) -> BoxedStrategy<(Type, Datum)> {
    fn of<T: std::fmt::Debug>(
        ty: Type,
        values: impl Strategy<Value = T> + 'static,
        datum: impl Fn(T) -> Datum + 'static,
    ) -> BoxedStrategy<(Type, Datum)> {
        let value = values.prop_map(datum);
        (value, 0..12)
            .prop_map(move |(value, null)| (ty, if null == 0 { Datum::Null } else { value }))
            .boxed()
    }
    match kind {
        0 => of(Type::Bool, any::<bool>(), Datum::Bool),
        1 => of(Type::Int8, any::<i64>(), Datum::Int),
        2 => of(Type::Int4, any::<i32>(), Datum::from),
        3 => of(Type::Int2, any::<i16>(), |value| Datum::Int(value.into())),
        4 => of(Type::Float8, prop::num::f64::ANY, Datum::Float),
        5 => of(Type::Float4, any::<f32>(), |value| Datum::Float(value.into())),
        6 => of(Type::NUMERIC, decimals(), Datum::numeric),
        7 => of(Type::Text, "[a-c\0é ]{0,5}", Datum::text),
        8 => of(Type::Bytea, prop::collection::vec(any::<u8>(), 0..6), Datum::bytes),
        9 => of(Type::Date, -2_000_000_i32..2_000_000, Datum::Date),
        10 => of(Type::Timestamp, any::<i64>(), |micros| Datum::Timestamp(micros / 1_000)),
        11 => of(Type::TimestampTz, any::<i64>(), |micros| Datum::TimestampTz(micros / 1_000)),
        KINDS.. => unreachable!("there are {KINDS} kinds"),
        _ => of(Type::Uuid, any::<[u8; 16]>(), Datum::Uuid),
    }
}

/// A type that keys may hold, and a value of it or NULL.
pub(crate) fn typed_datums() -> impl Strategy<Value = (Type, Datum)> {
    (0..KINDS).prop_flat_map(kind)
}

/// Two values of one type that keys may hold.
pub(crate) fn datum_pairs() -> impl Strategy<Value = (Datum, Datum)> {
    (0..KINDS)
        .prop_flat_map(|k| (kind(k), kind(k)))
        .prop_map(|((_, left), (_, right))| (left, right))
}

/// Values of any type, arrays and intervals included.
pub(crate) fn datums() -> impl Strategy<Value = Datum> {
    prop_oneof![
        10 => typed_datums().prop_map(|(_, value)| value),
        1 => (-1_000_i32..1_000, -1_000_i32..1_000, any::<i32>()).prop_map(|parts| {
            let (months, days, micros) = parts;
            Datum::Interval(Interval { months, days, micros: micros.into() })
        }),
        1 => prop::collection::vec(any::<Option<i32>>(), 0..4).prop_map(|items| {
            Datum::array(Element::Int4, items.into_iter().map(Datum::from).collect())
        }),
    ]
}
