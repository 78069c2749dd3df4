//! What people read for keys and spans.

use proptest::prelude::*;

use super::{column, columns, key, named_span, span};
use crate::{
    IndexId, Key, Span, TableId,
    codec::{self, Direction, KeyPart},
    layout::{self, Section},
};

const TABLE: TableId = TableId(104);

fn row(parts: &[KeyPart]) -> Key {
    let mut bytes = layout::index_prefix(TABLE, IndexId(1)).to_vec();
    for part in parts {
        codec::encode(part, Direction::Ascending, &mut bytes);
    }
    Key::from_vec(bytes)
}

fn int(value: i64) -> Key {
    row(&[KeyPart::Int(value)])
}

#[test]
fn keys_read_as_paths() {
    let text = KeyPart::Text("a'b".to_owned());
    let two = row(&[KeyPart::Int(7), text.clone()]);
    let mut descending = layout::index_prefix(TABLE, IndexId(1)).to_vec();
    codec::int(-3, Direction::Descending, &mut descending);
    let cases = [
        (two.clone(), "/t/104/1/7/'a''b'"),
        (int(-1).next(), "/t/104/1/-1/next"),
        (Key::from_vec(descending), "/t/104/1/-3"),
        (layout::table_prefix(TABLE), "/t/104"),
        (layout::index_prefix(TABLE, IndexId(2)), "/t/104/2"),
        (layout::system_key(Section::Catalog, &104_u32.to_be_bytes()), "/system/catalog/104"),
        (layout::system_key(Section::Counter, b"table"), "/system/counter/'table'"),
        (layout::directory_key(&int(5)), "/system/directory/t/104/1/5"),
        (layout::system_span().start, "/system"),
        (Key::MIN, "/min"),
        (Key::from(&[0xff, 0x01]), "/0xff01"),
        (Key::from(&[0x03, 0, 0]), "/t/0x0000"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(key(&bytes), expected);
    }
    assert_eq!(columns(&two[9..]), "7/'a''b'");
}

#[test]
fn values_read_as_sql_prints_them() {
    let decimal = |negative, exponent, digits: &[u8]| {
        KeyPart::Decimal(codec::Decimal::Finite { negative, exponent, digits: digits.to_vec() })
    };
    let cases = [
        (decimal(true, 2, &[1, 2, 5]), "-12.5"),
        (decimal(false, 4, &[1]), "1000"),
        (decimal(false, 0, &[5]), "0.5"),
        (decimal(false, 0, &[]), "0"),
        (KeyPart::Date(0), "2000-01-01"),
        (KeyPart::Date(-1), "1999-12-31"),
        (KeyPart::Date(59), "2000-02-29"),
        (KeyPart::Timestamp(-1_500_000), "1999-12-31 23:59:58.5"),
        (KeyPart::TimestampTz(0), "2000-01-01 00:00:00+00"),
        (KeyPart::Uuid([0x11; 16]), "11111111-1111-1111-1111-111111111111"),
        (KeyPart::Bytes(vec![1, 255]), "0x01ff"),
        (KeyPart::Null, "NULL"),
        (KeyPart::Bool(true), "true"),
        (KeyPart::Text("a\nb".to_owned()), "'a\\nb'"),
    ];
    for (part, expected) in cases {
        assert_eq!(column(&part), expected);
    }
}

#[test]
fn spans_read_as_intervals() {
    let index = layout::index_prefix(TABLE, IndexId(1));
    let name = |text: &str| KeyPart::Text(text.to_owned());
    let cases = [
        (Span::point(int(7)), "/t/104/1/[7]"),
        (Span::prefix(int(7)), "/t/104/1/[7]"),
        (Span::new(int(7), int(9)), "/t/104/1/[7 - 8]"),
        (Span::new(int(7), int(256)), "/t/104/1/[7 - 256)"),
        (Span::new(int(7), int(9).prefix_end()), "/t/104/1/[7 - 9]"),
        (Span::new(int(7), int(255).prefix_end()), "/t/104/1/[7 - 255]"),
        (Span::new(int(-7), int(-1).prefix_end()), "/t/104/1/[-7 - -1]"),
        (Span::new(int(7), index.prefix_end()), "/t/104/1/[7 - ]"),
        (Span::new(index.clone(), int(9)), "/t/104/1/[ - 8]"),
        (Span::prefix(index), "/t/104/1/[all]"),
        (Span::prefix(row(&[name("a")])), "/t/104/1/['a']"),
        (
            Span::new(row(&[name("a"), KeyPart::Int(1)]), row(&[name("a"), KeyPart::Int(3)])),
            "/t/104/1/['a'/1 - 'a'/2]",
        ),
        (layout::table_span(TABLE), "/t/104/[all]"),
        (layout::system_span(), "/system/[all]"),
    ];
    for (input, expected) in cases {
        assert_eq!(span(&input), expected, "{:?}", &input.end[..]);
    }
    let namer = |table, index| {
        (table == TABLE && index == IndexId(1))
            .then(|| ("accounts".to_owned(), "primary".to_owned()))
    };
    let range = Span::new(int(7), int(9).prefix_end());
    assert_eq!(named_span(&range, &namer), "accounts/primary/[7 - 9]");
    let other = Span::new(
        layout::index_prefix(TABLE, IndexId(1)),
        layout::index_prefix(TableId(105), IndexId(1)),
    );
    assert_eq!(span(&other), "[/t/104/1 - /t/105/1)");
}

proptest! {
    #[test]
    fn garbage_is_printed_without_panic(
        first in prop::sample::select(vec![2_u8, 3, 0, 255]),
        start in prop::collection::vec(any::<u8>(), 0..30),
        end in prop::collection::vec(any::<u8>(), 0..30),
    ) {
        let with = |rest: &[u8]| Key::from_vec([&[first], rest].concat());
        let (start, end) = (with(&start), with(&end));
        prop_assert!(!key(&start).is_empty());
        let ordered = Span::new(start.clone().min(end.clone()), start.max(end));
        prop_assert!(!span(&ordered).is_empty());
    }
}
