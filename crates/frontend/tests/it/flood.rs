//! Clients that send and send: what they have not asked to be sent yet, and what nobody waits for.

use std::time::Duration;

use frontend::Options;
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, timeout},
};

use crate::server::{Client, PATIENCE, Server, message};

/// More answers than are kept back, whatever their kind: the shortest have five bytes.
const MANY: usize = 20_000;

/// Sends messages with neither Flush nor Sync, and waits until most of their answers are here.
async fn answers_come(server: &Server, before: &[(char, &[u8])], flood: &[u8], answers: &[char]) {
    let mut client = server.client().await;
    client.send(before).await;
    let bytes = flood.repeat(MANY);
    let (mut reading, mut writing) = client.0.split();
    let send = async {
        writing.write_all(&bytes).await.expect("the server reads");
        std::future::pending::<()>().await;
    };
    let read = async {
        use tokio::io::AsyncReadExt;
        let mut heard = 0;
        let mut seen = Vec::new();
        // All but what the buffer holds back.
        while heard < MANY / 4 {
            let mut head = [0; 5];
            reading.read_exact(&mut head).await.expect("an answer");
            let [kind, length @ ..] = head;
            let length = usize::try_from(i32::from_be_bytes(length)).expect("a length");
            reading.read_exact(&mut vec![0; length - 4]).await.expect("its body");
            heard += 1;
            if !seen.contains(&char::from(kind)) {
                seen.push(char::from(kind));
            }
        }
        seen
    };
    let seen = tokio::select! {
        biased;
        seen = timeout(PATIENCE, read) => seen.expect("answers come without being asked for"),
        () = send => unreachable!("it does not end"),
    };
    for kind in answers {
        assert!(seen.contains(kind), "{kind} of {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_every_kind_go_out_once_they_are_many() {
    let server = Server::start().await;
    let parse = |sql: &str| message('P', format!("\0{sql}\0\0\0").as_bytes());
    let bind = message('B', b"\0\0\0\0\0\0\0\0");
    let execute = message('E', b"\0\0\0\0\0");
    let prepared: (char, &[u8]) = ('P', b"\0SELECT 1\0\0\0");
    answers_come(&server, &[], &parse(""), &['1']).await;
    answers_come(&server, &[prepared], &bind, &['2']).await;
    answers_come(&server, &[], &message('C', b"Snone\0"), &['3']).await;
    answers_come(&server, &[prepared], &message('D', b"S\0"), &['t', 'T']).await;
    let empty = [parse(""), bind.clone(), execute.clone()].concat();
    answers_come(&server, &[], &empty, &['1', '2', 'I']).await;
    let done = [bind, execute].concat();
    answers_come(&server, &[('P', b"\0SET a.b = 1\0\0\0")], &done, &['2', 'C']).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_a_long_text_go_out_before_its_end() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let text = "SET a.b = 1; ".repeat(10_000) + "SELECT pg_sleep(3600)\0";
    client.send(&[('Q', text.as_bytes())]).await;
    for _ in 0..5_000 {
        assert_eq!(client.receive().await.0, 'C');
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_nothing_is_not_read_for_ever() {
    const FLOOD: usize = 24 << 20;
    let server = Server::start().await;
    let mut client = server.client().await;
    client.send(&[('P', b"\0SELECT 1, 2, 3, 4\0\0\0")]).await;
    // Its answers are ten times as long: were they kept, they would be 400 MB.
    let some = message('D', b"S\0").repeat(8 << 10);
    let mut sent = 0;
    while let Ok(written) = timeout(Duration::from_secs(2), client.0.write_all(&some)).await {
        written.expect("the server waits");
        sent += some.len();
        assert!(sent < FLOOD, "the server takes in whatever comes");
    }
}

/// A client whose statement runs for long, in a transaction that has a row locked, with these
/// messages behind it.
async fn busy(server: &Server, behind: &[u8]) -> Client {
    let mut client = server.client().await;
    assert_eq!(client.query("BEGIN; INSERT INTO t VALUES (1)").await, "CC/T");
    client.raw(&[message('Q', b"SELECT pg_sleep(3600)\0"), behind.to_vec()].concat()).await;
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_behind_a_statement_takes_no_memory_of_others() {
    const LONG: usize = 600 << 10;
    let server = Server::with(Options { message_memory: 1 << 20, ..Options::default() }).await;
    let mut other = server.client().await;
    other.query("CREATE TABLE t (id INT PRIMARY KEY)").await;
    let text = format!("SELECT length('{}')", "x".repeat(LONG));
    let mut busy = server.client().await;
    let sleep = message('Q', b"SELECT pg_sleep(6)\0");
    let long = message('Q', format!("{text}\0").as_bytes());
    let slow = tokio::spawn(async move {
        busy.raw(&[sleep, long].concat()).await;
        [busy.answer().await, busy.answer().await]
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(other.query(&text).await, "TDC/I", "there is memory");
    assert!(!slow.is_finished(), "the statement before it runs");
    // It has waited for longer than messages may that take memory, and is read all the same.
    assert_eq!(slow.await.expect("no panic"), ["TDC/I", "TDC/I"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_behind_unread_messages_is_missed_at_once() {
    let server = Server::start().await;
    let mut other = server.client().await;
    other.query("CREATE TABLE t (id INT PRIMARY KEY)").await;
    let long = message('Q', &vec![b' '; 50_000]);
    let many = message('S', b"").repeat(8_000);
    let broken = b"!".to_vec();
    for behind in [long[..20_000].to_vec(), many, broken] {
        let gone = busy(&server, &behind).await;
        // The statement runs by now, and what is read ahead has been.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let begun = Instant::now();
        drop(gone);
        assert_eq!(other.query("INSERT INTO t VALUES (1)").await, "C/I", "no lock is left");
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        assert_eq!(other.query("DELETE FROM t").await, "C/I");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_runs_though_nothing_follows() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client
        .send(&[
            ('P', b"\0SELECT repeat('x', 100000)\0\0\0"),
            ('B', b"\0\0\0\0\0\0\0\0"),
            ('E', b"\0\0\0\0\0"),
        ])
        .await;
    for kind in ['1', '2', 'D'] {
        assert_eq!(client.receive().await.0, kind, "a long row goes out by itself");
    }
    client.send(&[('S', b"")]).await;
    assert_eq!(client.answer().await, "C/I");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_stands_before_sync_is_skipped_behind_an_error() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.query("CREATE TABLE t (id INT PRIMARY KEY)").await;
    client.query("INSERT INTO t VALUES (1)").await;
    let refused: (char, &[u8]) = ('P', b"\0SELEC\0\0\0");
    let delete: (char, &[u8]) = ('Q', b"DELETE FROM t\0");
    let too_long = vec![b' '; (16 << 20) + 1];
    client
        .send(&[refused, delete, ('F', b"\0\0\0\x01"), ('d', b"x"), ('Q', &too_long), ('S', b"")])
        .await;
    assert_eq!(client.answer().await, "E/I", "one error, one end");
    assert_eq!(client.value("SELECT count(*) FROM t").await, "1");
    // Goodbye is heard.
    client.send(&[refused, ('X', b"")]).await;
    assert_eq!(client.error().await, "ERROR 42601");
    client.is_hung_up_on().await;
}
