//! Start-up packets and the options in them.

use proptest::prelude::*;

use super::*;

fn settings(text: &str) -> Vec<(String, String)> {
    command_line_settings(text).expect("they are settings")
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn command_line_options_are_settings() {
    let expected = [pair("a", "1"), pair("b", "2"), pair("c_d", "3")];
    assert_eq!(settings("-c a=1 -cb=2 --c-d=3"), expected);
    assert!(command_line_settings("-x").is_err());
    assert!(command_line_settings("-c a").is_err());
    assert!(command_line_settings("-c").is_err());
    assert_eq!(settings("  "), []);
}

#[test]
fn a_backslash_keeps_a_blank_in_its_word() {
    let expected = [pair("default_transaction_isolation", "repeatable read")];
    assert_eq!(settings(r"-c default_transaction_isolation=repeatable\ read"), expected);
    assert_eq!(settings(r"-c a=x\\y\	z"), [pair("a", "x\\y\tz")]);
    assert_eq!(settings(r"-c a=\b\"), [pair("a", "b")]);
    assert_eq!(settings(r"-c a=\ "), [pair("a", " ")]);
}

#[test]
fn packets_are_read() {
    let packet = |head: i32, rest: &[u8]| read(&[&head.to_be_bytes(), rest].concat());
    assert_eq!(packet(TLS, b""), Ok(Packet::Encrypt));
    assert_eq!(packet(GSS, b""), Ok(Packet::Encrypt));
    assert_eq!(packet(CANCEL, b"\0\0\0\x01\0\0\0\x02"), Ok(Packet::Cancel { pid: 1, secret: 2 }));
    let parameters = vec![pair("user", "root"), pair("database", "")];
    let startup = Packet::Startup { version: PROTOCOL, parameters };
    assert_eq!(packet(PROTOCOL, b"user\0root\0database\0\0\0"), Ok(startup));
    let state = |read: Result<Packet, SqlError>| read.expect_err("broken").sqlstate.to_string();
    for broken in [&b""[..], b"user", b"user\0", b"user\0root", b"user\0root\0", b"\0more"] {
        assert_eq!(state(packet(PROTOCOL, broken)), "08P01", "{broken:?}");
    }
    assert_eq!(state(packet(CANCEL, b"\0\0\0\x01")), "08P01");
    assert_eq!(state(packet(TLS, b"x")), "08P01");
    assert_eq!(state(packet(PROTOCOL, b"user\0\xff\0\0")), "22021");
    assert_eq!(state(packet(PROTOCOL, b"\xc3\0x\0\0")), "22021");
}

proptest! {
    #[test]
    fn any_packet_is_read_or_refused(packet in prop::collection::vec(any::<u8>(), 0..100)) {
        drop(read(&packet));
        drop(read(&[&PROTOCOL.to_be_bytes(), &packet[..]].concat()));
    }

    #[test]
    fn any_options_are_read_or_refused(text in r"[-c a=\\]{0,40}") {
        drop(command_line_settings(&text));
    }
}
