//! Binary formats, byte by byte as PostgreSQL's protocol has them.

use proptest::prelude::*;

use super::{decode, encode};
use crate::{
    datetime::Interval,
    datum::Datum,
    decimal::Decimal,
    error::SqlState,
    testing::typed_datums,
    text::hex,
    types::{Element, Type},
};

#[test]
fn bytes_are_those_of_postgresql() {
    // As `SELECT encode(numeric_send(x), 'hex')` and its like print them.
    let number = |text: &str| Datum::numeric(Decimal::parse(text).expect("a number"));
    let cases = [
        (Datum::Bool(true), Type::Bool, "01"),
        (Datum::Int(-2), Type::Int2, "fffe"),
        (Datum::Int(1), Type::Int4, "00000001"),
        (Datum::Int(1), Type::Int8, "0000000000000001"),
        (Datum::Int(4_294_967_295), Type::Oid, "ffffffff"),
        (Datum::Float(1.5), Type::Float4, "3fc00000"),
        (Datum::Float(1.5), Type::Float8, "3ff8000000000000"),
        (number("0"), Type::NUMERIC, "0000000000000000"),
        (number("1.50"), Type::NUMERIC, "0002000000000002000113 88".trim()),
        (number("-12345.678"), Type::NUMERIC, "00030001400000030001 0929 1a7c".trim()),
        (number("10000"), Type::NUMERIC, "00010001000000000001"),
        (number("0.0001"), Type::NUMERIC, "0001ffff000000040001"),
        (number("NaN"), Type::NUMERIC, "00000000c0000000"),
        (Datum::text("é"), Type::Text, "c3a9"),
        (Datum::char("a  "), Type::Char(Some(3)), "612020"),
        (Datum::Date(1), Type::Date, "00000001"),
        (Datum::Timestamp(1), Type::Timestamp, "0000000000000001"),
        (
            Datum::Interval(Interval { months: 1, days: 2, micros: 3 }),
            Type::Interval,
            "00000000000000030000000200000001",
        ),
        (
            Datum::array(Element::Int4, vec![Datum::Int(5), Datum::Null]),
            Type::Array(Element::Int4),
            "00000001000000010000001700000002000000010000000400000005ffffffff",
        ),
        (
            Datum::array(Element::Text, Vec::new()),
            Type::Array(Element::Text),
            "000000000000000000000019",
        ),
    ];
    for (value, ty, expected) in cases {
        let bytes = encode(&value, ty).expect("not NULL");
        assert_eq!(hex(&bytes), expected.replace(' ', ""), "{value:?} as {ty}");
        let back = decode(&bytes, ty).expect("what we wrote");
        assert_eq!(format!("{back:?}"), format!("{value:?}"));
    }
}

#[test]
fn malformed_parameters_are_told() {
    let cases: [(&[u8], Type, SqlState); 6] = [
        (b"123", Type::Int4, SqlState::INVALID_BINARY_REPRESENTATION),
        (b"\xff", Type::Text, SqlState::CHARACTER_NOT_IN_REPERTOIRE),
        (b"a\0b", Type::Text, SqlState::CHARACTER_NOT_IN_REPERTOIRE),
        (b"abcd", Type::Varchar(Some(3)), SqlState::STRING_DATA_RIGHT_TRUNCATION),
        (b"\x7f\xff\xff\xfe", Type::Date, SqlState::DATETIME_FIELD_OVERFLOW),
        (b"\0\x01\0\0\0\0\0\0\x27\x10", Type::NUMERIC, SqlState::INVALID_BINARY_REPRESENTATION),
    ];
    for (bytes, ty, expected) in cases {
        assert_eq!(decode(bytes, ty).expect_err("malformed").sqlstate, expected, "{ty}");
    }
}

proptest! {
    #[test]
    fn values_come_back((ty, value) in typed_datums()) {
        prop_assume!(value.as_text().is_none_or(|text| !text.contains('\0')));
        match encode(&value, ty) {
            None => prop_assert!(value.is_null()),
            Some(bytes) => {
                let back = decode(&bytes, ty).expect("what we wrote");
                prop_assert_eq!(format!("{back:?}"), format!("{value:?}"));
            }
        }
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        for ty in Type::SCALARS.into_iter().chain([Type::Array(Element::Text)]) {
            drop(decode(&bytes, ty));
        }
    }
}
