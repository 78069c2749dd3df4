//! Bodies as they should be, cut short at every byte, and at random.

use proptest::prelude::*;

use super::*;

fn decode(kind: Kind, body: &[u8]) -> Result<Message, String> {
    Message::decode(kind, body.to_vec()).map_err(|error| error.sqlstate.code().to_owned())
}

/// One whole body of each type that has one.
const WHOLE: &[(Kind, &[u8])] = &[
    (Kind::Query, b"SELECT 1\0"),
    (Kind::Parse, b"s\0SELECT $1\0\0\x01\0\0\0\x17"),
    (Kind::Bind, b"p\0s\0\0\x01\0\0\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\x01\0\x01"),
    (Kind::Describe, b"Sname\0"),
    (Kind::Execute, b"p\0\0\0\0\x07"),
    (Kind::Close, b"P\0"),
];

#[test]
fn whole_bodies_are_read() {
    let read: Vec<Message> =
        WHOLE.iter().map(|(kind, body)| decode(*kind, body).expect("it is whole")).collect();
    assert_eq!(read[0], Message::Query("SELECT 1".to_owned()));
    let parse = Parse { name: "s".to_owned(), text: "SELECT $1".to_owned(), types: vec![23] };
    assert_eq!(read[1], Message::Parse(parse));
    let bind = Bind {
        portal: "p".to_owned(),
        statement: "s".to_owned(),
        formats: vec![0],
        values: vec![Some(b"x".to_vec()), None],
        result_formats: vec![1],
    };
    assert_eq!(read[2], Message::Bind(bind));
    assert_eq!(read[3], Message::Describe(Target::Statement("name".to_owned())));
    assert_eq!(read[4], Message::Execute("p".to_owned(), 7));
    assert_eq!(read[5], Message::Close(Target::Portal(String::new())));
}

#[test]
fn a_body_cut_short_anywhere_is_refused() {
    for (kind, body) in WHOLE {
        for length in 0..body.len() {
            let refused = decode(*kind, &body[..length]);
            assert_eq!(refused, Err("08P01".to_owned()), "{kind:?} cut to {length} bytes");
        }
        let longer = [*body, b"x"].concat();
        assert_eq!(decode(*kind, &longer), Err("08P01".to_owned()), "{kind:?} with a byte more");
    }
}

#[test]
fn counts_are_not_believed() {
    assert_eq!(decode(Kind::Parse, b"\0\0\xff\xff"), Err("08P01".to_owned()));
    assert_eq!(decode(Kind::Bind, b"\0\0\xff\xff"), Err("08P01".to_owned()));
    assert_eq!(decode(Kind::Bind, b"\0\0\0\0\0\x01\x7f\xff\xff\xff"), Err("08P01".to_owned()));
    assert_eq!(decode(Kind::Bind, b"\0\0\0\0\0\x01\xff\xff\xff\xfe"), Err("08P01".to_owned()));
    assert_eq!(decode(Kind::Describe, b"X\0"), Err("08P01".to_owned()));
}

#[test]
fn names_and_texts_are_utf_8() {
    for (kind, body) in [
        (Kind::Query, &b"SELECT '\xff'\0"[..]),
        (Kind::Parse, b"\xc3\0SELECT 1\0\0\0"),
        (Kind::Parse, b"\0SELECT '\xe2\x82'\0\0\0"),
        (Kind::Bind, b"\x80\0\0\0\0\0\0\0\0"),
        (Kind::Execute, b"\xfe\0\0\0\0\0"),
        (Kind::Close, b"P\xfe\0"),
    ] {
        assert_eq!(decode(kind, body), Err("22021".to_owned()), "{kind:?}");
    }
    let shown = |bytes| utf8(bytes).expect_err("no UTF-8").message;
    assert_eq!(shown(b"a\xff"), "invalid byte sequence for encoding \"UTF8\": 0xff");
    assert_eq!(
        shown(b"\xe2\x28\xa1"),
        "invalid byte sequence for encoding \"UTF8\": 0xe2 0x28 0xa1"
    );
    assert_eq!(shown(b"a\0b"), "invalid byte sequence for encoding \"UTF8\": 0x00");
}

#[test]
fn lengths_are_judged_by_type() {
    let whole = |body: usize| i32::try_from(body + 4).expect("short enough");
    assert_eq!(Kind::Query.judge(whole(MAX_BODY)), Verdict::Take(MAX_BODY));
    assert_eq!(Kind::Bind.judge(whole(MAX_BODY + 1)), Verdict::Skip(MAX_BODY + 1));
    assert_eq!(Kind::Query.judge(i32::MAX), Verdict::Broken);
    assert_eq!(Kind::Execute.judge(whole(MAX_SMALL_BODY)), Verdict::Take(MAX_SMALL_BODY));
    assert_eq!(Kind::Execute.judge(whole(MAX_SMALL_BODY + 1)), Verdict::Broken);
    for length in [i32::MIN, -1, 0, 3] {
        assert_eq!(Kind::Query.judge(length), Verdict::Broken, "{length}");
    }
    assert_eq!(Kind::Sync.judge(4), Verdict::Take(0));
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop::sample::select(b"QPBDECHSFdcfX".to_vec())
        .prop_map(|byte| Kind::from_byte(byte).expect("it is one"))
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(kind in kinds(), body in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Err(error) = Message::decode(kind, body) {
            prop_assert!(matches!(error.sqlstate.code(), "08P01" | "22021"), "{error:?}");
        }
    }

    /// Bodies that are nearly right reach deeper than random ones.
    #[test]
    fn a_changed_byte_is_read_or_refused(which in 0..WHOLE.len(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let (kind, body) = WHOLE[which];
        let mut body = body.to_vec();
        let at = at.index(body.len());
        body[at] = byte;
        if let Err(error) = Message::decode(kind, body) {
            prop_assert!(matches!(error.sqlstate.code(), "08P01" | "22021"), "{error:?}");
        }
    }
}
