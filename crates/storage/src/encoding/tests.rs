//! Order and round trip of the encoding, on the edges and under random keys.

use proptest::prelude::*;

use super::*;

/// Keys made of the bytes that matter: zero, escape, terminator and their neighbours.
fn tricky_key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(
        prop_oneof![4 => Just(0u8), 2 => Just(1), 1 => Just(2), 2 => Just(0xff), 1 => any::<u8>()],
        0..8,
    )
}

proptest! {
    #[test]
    fn encoding_keeps_order(a in tricky_key(), b in tricky_key()) {
        prop_assert_eq!(a.cmp(&b), encode(&a, 0).cmp(&encode(&b, 0)));
    }

    #[test]
    fn encoding_round_trips_whatever_follows(key in tricky_key(), tail in tricky_key()) {
        let mut stored = encode(&key, tail.len());
        let len = stored.len();
        stored.extend_from_slice(&tail);
        let mut decoded = vec![7];
        prop_assert_eq!(decode_into(&stored, &mut decoded), Some(len));
        prop_assert_eq!(&decoded, &key);
        prop_assert_eq!(encoded_len(&stored), Some(len));
    }

    #[test]
    fn successor_is_above_all_that_follows_and_below_the_next_key(
        a in tricky_key(), b in tricky_key(), tail in tricky_key()
    ) {
        let mut stored = encode(&a, 0);
        let mut successor = stored.clone();
        make_successor(&mut successor);
        stored.extend_from_slice(&tail);
        prop_assert!(stored < successor);
        prop_assert_eq!(a < b, successor <= encode(&b, 0));
    }
}

#[test]
fn bytes_without_a_terminator_are_refused() {
    let mut out = Vec::new();
    for bytes in [&b""[..], b"a", b"a\0", b"a\0\xff", b"a\0\x02", b"\0\0\x01"] {
        assert_eq!(decode_into(bytes, &mut out), None, "{bytes:02x?}");
        assert_eq!(encoded_len(bytes), None, "{bytes:02x?}");
    }
}
