//! Many connections, large messages, clients that do not read: what they take from others.

use std::time::Duration;

use frontend::Options;
use tokio::time::{Instant, timeout};

use crate::server::{Client, PATIENCE, Server, message};

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_locks_nobody_out() {
    let server = Server::with(Options { max_connections: 20, ..Options::default() }).await;
    let mut silent = Vec::new();
    for _ in 0..1_064 {
        let mut client = server.stranger().await;
        // An early one may be gone by now.
        drop(tokio::io::AsyncWriteExt::write_all(&mut client.0, b"\0\0\0\x20\0\x03").await);
        silent.push(client);
    }
    let begun = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(server.client().await);
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    // Also who is refused is told so.
    for _ in 0..100 {
        let mut late = server.stranger().await;
        late.start_up(&[("user", "root")]).await;
        assert_eq!(late.error().await, "FATAL 53300");
    }
    assert_eq!(clients[0].query("SELECT 1").await, "TDC/I");
    drop(clients);
    // Their places are free once the server has seen them go.
    let again = async {
        loop {
            let mut client = server.stranger().await;
            client.start_up(&[("user", "root")]).await;
            if client.receive().await.0 == 'R' {
                return;
            }
        }
    };
    timeout(PATIENCE, again).await.expect("places are free again");
}

/// A long message, all but its last byte.
async fn unfinished(server: &Server, bytes: usize) -> Client {
    let mut client = server.client().await;
    let sent = message('Q', &vec![b' '; bytes]);
    client.raw(&sent[..sent.len() - 1]).await;
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn long_messages_share_what_there_is() {
    const LONG: usize = 512 << 10;
    let memory = 2 * LONG + 100_000;
    let server = Server::with(Options { message_memory: memory, ..Options::default() }).await;
    let mut holders = [unfinished(&server, LONG).await, unfinished(&server, LONG).await];
    let mut client = server.client().await;
    assert_eq!(client.query("SELECT 1").await, "TDC/I", "short statements need nothing of it");
    let text = format!("SELECT length('{}')", "x".repeat(LONG / 2));
    client.send(&[('Q', format!("{text}\0").as_bytes())]).await;
    let refused = client.until_ready().await;
    // The others have had their time by now, or have not: then this one is refused, not for ever.
    if refused[0].0 == 'E' {
        let retried = async { while client.query(&text).await != "TDC/I" {} };
        timeout(PATIENCE, retried).await.expect("whoever takes too long gives way");
    }
    // Who gave way is told, and goes on.
    let mut gave_way = 0;
    for holder in &mut holders {
        holder.raw(b"\0").await;
        match holder.answer().await.as_str() {
            "E/I" => gave_way += 1,
            answer => assert_eq!(answer, "I/I", "a text of blanks"),
        }
        assert_eq!(holder.query("SELECT 1").await, "TDC/I");
    }
    assert_eq!(gave_way, 1, "one was enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_long_is_refused_and_skipped() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.send(&[('Q', &vec![b'x'; (16 << 20) + 1])]).await;
    assert_eq!(client.error().await, "ERROR 54000");
    assert_eq!(client.answer().await, "/I");
    assert_eq!(client.query("SELECT 1").await, "TDC/I");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_nothing_can_be_cancelled_by_leaving() {
    let server = Server::start().await;
    let mut other = server.client().await;
    other.query("CREATE TABLE t (id INT PRIMARY KEY)").await;
    let mut deaf = server.client().await;
    assert_eq!(deaf.query("BEGIN; INSERT INTO t VALUES (1)").await, "CC/T");
    let text = "SELECT repeat('x', 1000000) FROM generate_series(1, 50)\0";
    deaf.send(&[('Q', text.as_bytes())]).await;
    assert_eq!(other.query("SELECT 1").await, "TDC/I");
    drop(deaf);
    // Its transaction goes with it.
    let free = async { while other.query("INSERT INTO t VALUES (1)").await != "C/I" {} };
    timeout(PATIENCE, free).await.expect("the lock is gone");
}
