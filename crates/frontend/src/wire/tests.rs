//! Frames from a socket that sends whatever it likes.

use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::*;

async fn pair(budget: usize) -> (TcpStream, Wire) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let wire = Wire::new(accepted.expect("accepted").0, Budget::new(budget)).expect("a socket");
    (client.expect("connected"), wire)
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len() + 4).expect("short");
    [&[kind], &length.to_be_bytes()[..], body].concat()
}

/// The next frame: its type and its body, or the error's state.
async fn next(wire: &mut Wire) -> (Kind, Result<Vec<u8>, String>) {
    let frame = wire.frame().await.expect("no end").expect("a frame");
    let (kind, body, _charge) = frame.into_parts();
    (kind, body.map_err(|error| error.sqlstate.code().to_owned()))
}

async fn broken(sent: &[u8]) -> String {
    let (mut client, mut wire) = pair(0).await;
    client.write_all(sent).await.expect("sent");
    match wire.frame().await {
        Err(Broken::Protocol(error)) => error.message,
        other => panic!("{sent:?} is read as {other:?}"),
    }
}

#[tokio::test]
async fn short_messages_arrive_in_any_pieces() {
    let (mut client, mut wire) = pair(0).await;
    let sent = [message(b'Q', b"SELECT 1\0"), message(b'S', b""), message(b'H', b"")].concat();
    let sending = async {
        for byte in &sent {
            client.write_all(&[*byte]).await.expect("sent");
            tokio::task::yield_now().await;
        }
    };
    let reading = async { [next(&mut wire).await, next(&mut wire).await, next(&mut wire).await] };
    let ((), frames) = tokio::join!(sending, reading);
    let expected = [
        (Kind::Query, Ok(b"SELECT 1\0".to_vec())),
        (Kind::Sync, Ok(Vec::new())),
        (Kind::Flush, Ok(Vec::new())),
    ];
    assert_eq!(frames, expected);
    drop(client);
    assert!(wire.frame().await.expect("a clean end").is_none());
}

#[tokio::test]
async fn many_messages_pass_through_the_small_buffer() {
    let (mut client, mut wire) = pair(0).await;
    let bodies: Vec<Vec<u8>> = (0..200_usize).map(|number| vec![b'x'; number * 40]).collect();
    let sent: Vec<u8> = bodies.iter().flat_map(|body| message(b'd', body)).collect();
    let sending = tokio::spawn(async move { client.write_all(&sent).await });
    for body in bodies {
        assert_eq!(next(&mut wire).await, (Kind::Copy, Ok(body)));
    }
    sending.await.expect("no panic").expect("sent");
}

#[tokio::test]
async fn a_long_message_is_charged_and_given_back() {
    const LONG: usize = 1_000_000;
    let (mut client, mut wire) = pair(LONG).await;
    let body = vec![b'x'; LONG];
    let sent = [message(b'Q', &body), message(b'S', b""), message(b'Q', &body)].concat();
    let sending = tokio::spawn(async move {
        client.write_all(&sent).await.expect("sent");
        client
    });
    // Twice, so what the first one took is back.
    assert_eq!(next(&mut wire).await, (Kind::Query, Ok(body.clone())));
    assert_eq!(next(&mut wire).await, (Kind::Sync, Ok(Vec::new())));
    assert_eq!(next(&mut wire).await, (Kind::Query, Ok(body)));
    sending.await.expect("no panic");
}

#[tokio::test]
async fn what_finds_no_memory_or_is_too_long_is_skipped() {
    let (mut client, mut wire) = pair(FIRST_BYTES).await;
    let greedy = vec![b'x'; 4 * FIRST_BYTES];
    let sent = [message(b'P', &greedy), message(b'S', b"")].concat();
    let sending = tokio::spawn(async move {
        client.write_all(&sent).await.expect("sent");
        let endless = i32::try_from(MAX_BODY + 5).expect("short");
        client.write_all(&[&b"Q"[..], &endless.to_be_bytes()].concat()).await.expect("sent");
        client.write_all(&vec![b'x'; MAX_BODY + 1]).await.expect("sent");
        client.write_all(&message(b'S', b"")).await.expect("sent");
        client
    });
    assert_eq!(next(&mut wire).await, (Kind::Parse, Err("53200".to_owned())));
    assert_eq!(next(&mut wire).await, (Kind::Sync, Ok(Vec::new())));
    assert_eq!(next(&mut wire).await, (Kind::Query, Err("54000".to_owned())));
    assert_eq!(next(&mut wire).await, (Kind::Sync, Ok(Vec::new())));
    sending.await.expect("no panic");
}

#[tokio::test]
async fn what_is_announced_takes_no_memory() {
    let budget = Budget::new(FIRST_BYTES);
    let (mut client, mut wire) = pair(0).await;
    wire.budget = budget.clone();
    let header = [&b"Q"[..], &i32::try_from(MAX_BODY).expect("short").to_be_bytes()].concat();
    client.write_all(&header).await.expect("sent");
    let waiting = timeout(Duration::from_millis(50), wire.frame()).await;
    assert!(waiting.is_err(), "its body is still to come");
    let held = wire.input.capacity();
    assert!(held <= INPUT_BYTES, "{held}");
    drop(wire);
    assert!(budget.arrival().grow(FIRST_BYTES).await, "given back");
}

#[tokio::test]
async fn types_and_lengths_that_cannot_be_break_the_conversation() {
    assert_eq!(broken(b"\x16\x03").await, "invalid frontend message type 22");
    assert_eq!(broken(b"p\0\0\0\x04").await, "invalid frontend message type 112");
    assert_eq!(broken(b"Q\0\0\0\x03").await, "invalid message length");
    assert_eq!(broken(b"Q\x7f\xff\xff\xff").await, "invalid message length");
    assert_eq!(broken(b"Q\xff\xff\xff\xff").await, "invalid message length");
    assert_eq!(broken(b"E\0\0\xff\xff").await, "invalid message length");
}

#[tokio::test]
async fn packets_are_short() {
    let (mut client, mut wire) = pair(0).await;
    client.write_all(b"\0\0\0\x08abcd\0\0\0\x03").await.expect("sent");
    assert_eq!(wire.packet().await.expect("whole"), Some(b"abcd".to_vec()));
    assert!(matches!(wire.packet().await, Err(Broken::Protocol(_))));
    let (mut client, mut wire) = pair(0).await;
    client.write_all(b"GET / HTTP/1.1\r\n").await.expect("sent");
    assert!(matches!(wire.packet().await, Err(Broken::Protocol(_))));
}

#[tokio::test]
async fn a_long_message_is_not_read_ahead() {
    const LONG: usize = 4 * INPUT_BYTES;
    let (mut client, mut wire) = pair(LONG).await;
    let body = vec![b'x'; LONG];
    client.write_all(&message(b'S', b"")).await.expect("sent");
    client.write_all(&message(b'Q', &body)).await.expect("sent");
    let first = wire.ahead().await.expect("no end");
    assert!(matches!(first, Ahead::Whole(Frame { kind: Kind::Sync, .. })), "{first:?}");
    for _ in 0..2 {
        assert!(matches!(wire.ahead().await, Ok(Ahead::Long)), "also when asked again");
    }
    let mut other = wire.budget.arrival();
    assert!(other.grow(LONG).await, "it holds nothing");
    drop(other);
    let still_there = timeout(3 * WATCH_PAUSE, wire.hung_up()).await;
    assert!(still_there.is_err(), "what is to be read is no hang-up");
    drop(client);
    timeout(OUTPUT_PATIENCE, wire.hung_up()).await.expect("seen in front of what is to be read");
    assert_eq!(next(&mut wire).await, (Kind::Query, Ok(body)), "all of it is there");
}
