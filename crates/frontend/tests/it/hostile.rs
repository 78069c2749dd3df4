//! Clients that speak another protocol, or none, and sessions that fail.

use std::sync::atomic::Ordering;

use crate::server::{PATIENCE, Server, field, packet};

#[tokio::test(flavor = "multi_thread")]
async fn other_protocols_are_told_once() {
    let server = Server::start().await;
    let packets: [(&[u8], &str); 6] = [
        (b"\0\x02\0\0", "FATAL 0A000"),
        (b"\0\x03\0\0\0", "FATAL 28000"),
        (b"\0\x03\0\0user\0\0", "FATAL 08P01"),
        (b"\0\x03\0\0user\0\xff\0\0", "FATAL 22021"),
        (b"\0\x03\0\0user\0me\0nope\0x\0", "FATAL 08P01"),
        (b"\0\x03\0\0user\0me\0nope\0x\0\0", "FATAL 42704"),
    ];
    let lengths =
        [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], b"\0\0\0\x07abc", b"\xff\xff\xff\xff"];
    let lengths = lengths.map(|sent| (sent.to_vec(), "FATAL 08P01"));
    for (sent, error) in
        packets.map(|(body, error)| (packet(body), error)).into_iter().chain(lengths)
    {
        let mut client = server.stranger().await;
        client.raw(&sent).await;
        assert_eq!(client.error().await, error, "{sent:?}");
        client.is_hung_up_on().await;
    }
    // TLS without having asked: no answer that it could read.
    let mut client = server.stranger().await;
    client.raw(b"\x16\x03\x01\x02\x00\x01\x00").await;
    client.is_hung_up_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn encryption_is_refused_and_versions_are_negotiated() {
    let server = Server::start().await;
    let mut client = server.stranger().await;
    for code in [80_877_103_i32, 80_877_104] {
        client.raw(&packet(&code.to_be_bytes())).await;
        let mut answer = [0];
        tokio::io::AsyncReadExt::read_exact(&mut client.0, &mut answer).await.expect("an answer");
        assert_eq!(answer, *b"N");
    }
    let version = (3_i32 << 16 | 2).to_be_bytes();
    client.raw(&packet(&[&version[..], b"user\0root\0_pq_.x\0y\0\0"].concat())).await;
    let (kind, body) = client.receive().await;
    assert_eq!((kind, &body[..]), ('v', &b"\0\x03\0\0\0\0\0\x01_pq_.x\0"[..]));
    client.until_ready().await;
    assert_eq!(client.query("SELECT 1").await, "TDC/I");
    // Too late.
    client.raw(&packet(&80_877_103_i32.to_be_bytes())).await;
    assert_eq!(client.error().await, "FATAL 08P01");
    client.is_hung_up_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_message_ends_the_session() {
    let server = Server::start().await;
    for sent in [&b"p\0\0\0\x06x\0"[..], b"Q\0\0\0\x01", b"Q\x7f\xff\xff\xff", b"E\0\x10\0\0", b"!"]
    {
        let mut client = server.client().await;
        client.query("BEGIN").await;
        client.raw(sent).await;
        assert_eq!(client.error().await, "FATAL 08P01", "{sent:?}");
        client.is_hung_up_on().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_supported_goes_on() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.send(&[('F', b"\0\0\0\x01")]).await;
    assert_eq!(client.error().await, "ERROR 0A000");
    assert_eq!(client.answer().await, "/I");
    // COPY is refused, also prepared; what was sent for it is skipped.
    client.send(&[('Q', b"COPY t FROM STDIN\0"), ('d', b"1\n"), ('c', b"")]).await;
    assert_eq!(client.answer().await, "E/I");
    client
        .send(&[('P', b"\0COPY t FROM STDIN\0\0\0"), ('d', b"1\n"), ('f', b"x\0"), ('S', b"")])
        .await;
    assert_eq!(client.answer().await, "E/I");
    assert_eq!(client.query("SELECT 1").await, "TDC/I");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_one_session() {
    let server = Server::start().await;
    let mut other = server.client().await;
    other.query("CREATE TABLE t (id INT PRIMARY KEY)").await;
    assert_eq!(other.query("BEGIN; INSERT INTO t VALUES (1)").await, "CC/T");
    let mut victim = server.client().await;
    assert_eq!(victim.query("BEGIN; INSERT INTO t VALUES (2)").await, "CC/T");
    server.cursed.store(true, Ordering::Relaxed);
    victim.send(&[('Q', b"SELECT 1; SHOW NODES\0")]).await;
    for kind in ['T', 'D', 'C'] {
        assert_eq!(victim.receive().await.0, kind, "what was answered before is sent");
    }
    let (kind, body) = victim.receive().await;
    assert_eq!((kind, field(&body, 'C')), ('E', "XX000".to_owned()));
    assert_eq!((field(&body, 'V'), field(&body, 'D')), ("FATAL".to_owned(), "cursed".to_owned()));
    victim.is_hung_up_on().await;
    server.cursed.store(false, Ordering::Relaxed);
    assert_eq!(server.database.panics(), 1);
    // Nothing of it is in anybody's way, not even its lock.
    assert_eq!(other.query("INSERT INTO t VALUES (2); COMMIT; SHOW NODES").await, "CCTC/I");
    assert_eq!(other.value("SELECT count(*) FROM t").await, "2");
    tokio::time::timeout(PATIENCE, server.client()).await.expect("others may come");
}
