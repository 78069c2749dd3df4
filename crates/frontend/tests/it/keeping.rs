//! What a client has the server keep between its statements: it has a limit in bytes, for a session
//! and for all of them.

use frontend::Options;
use sql::Config;

use crate::server::{Client, Server, field};

const MIB: usize = 1 << 20;
/// As large as two of five fit into what a session may keep.
const LARGE: usize = 400_000;

async fn small() -> Server {
    let config = Config { session_kept: MIB, node_kept: 2 * MIB, ..Config::default() };
    Server::of(Options::default(), config).await
}

/// Body of a Parse of this name and text.
fn parse(name: &str, text: &str) -> Vec<u8> {
    format!("{name}\0{text}\0\0\0").into_bytes()
}

/// Body of a Bind of this portal, to the unnamed statement, with one value.
fn bind(portal: &str, value: &[u8]) -> Vec<u8> {
    let length = i32::try_from(value.len()).expect("short");
    let mut body = format!("{portal}\0\0").into_bytes();
    body.extend_from_slice(b"\0\0\0\x01");
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(value);
    body.extend_from_slice(b"\0\0");
    body
}

/// Sends messages and Sync; types of the answers. An error among them is about memory, with a hint.
async fn told(client: &mut Client, messages: &[(char, &[u8])]) -> String {
    client.send(messages).await;
    client.send(&[('S', b"")]).await;
    let answers = client.until_ready().await;
    for (_, body) in answers.iter().filter(|(kind, _)| *kind == 'E') {
        assert_eq!(field(body, 'C'), "53200", "{}", field(body, 'M'));
        assert!(field(body, 'H').starts_with("Close portals"), "{}", field(body, 'H'));
    }
    answers.iter().map(|(kind, _)| *kind).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn portals_hold_their_values() {
    let server = small().await;
    let mut client = server.client().await;
    let value = vec![b'x'; LARGE];
    let text = parse("", "SELECT length($1::text)");
    let (a, b, c) = (bind("a", &value), bind("b", &value), bind("c", &value));
    let all: [(char, &[u8]); 4] = [('P', &text), ('B', &a), ('B', &b), ('B', &c)];
    // The end of the transaction gives back what its portals held: so it is every time the same.
    for _ in 0..3 {
        assert_eq!(told(&mut client, &all).await, "122EZ");
    }
    // Who closes or runs a portal has room for the next.
    let close: (char, &[u8]) = ('C', b"Pa\0");
    assert_eq!(told(&mut client, &[all[0], all[1], all[2], close, all[3]]).await, "12232Z");
    let run: (char, &[u8]) = ('E', b"b\0\0\0\0\0");
    assert_eq!(told(&mut client, &[all[0], all[1], all[2], run, all[3]]).await, "122DC2Z");
    // The unnamed one gives way to the next.
    let unnamed = bind("", &value);
    let again: (char, &[u8]) = ('B', &unnamed);
    assert_eq!(told(&mut client, &[all[0], again, again, again, again]).await, "12222Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_hold_their_texts_and_names() {
    let server = small().await;
    let mut client = server.client().await;
    let text = format!("SELECT '{}'", "x".repeat(LARGE));
    let named = |name: &str| parse(name, &text);
    let (a, b, c, unnamed) = (named("a"), named("b"), named("c"), named(""));
    assert_eq!(told(&mut client, &[('P', &a), ('P', &b), ('P', &c)]).await, "11EZ");
    assert_eq!(client.query("DEALLOCATE a").await, "C/I");
    assert_eq!(told(&mut client, &[('P', &unnamed), ('P', &unnamed)]).await, "11Z");
    assert_eq!(client.query(&format!("PREPARE d AS {text}")).await, "E/I");
    assert_eq!(told(&mut client, &[('P', &parse("", ""))]).await, "1Z");
    assert_eq!(client.query(&format!("PREPARE d AS {text}")).await, "C/I");
    assert_eq!(client.query("DEALLOCATE ALL").await, "C/I");
    // A portal keeps its statement, also one that was closed.
    let bound: [(char, &[u8]); 2] = [('B', b"p\0a\0\0\0\0\0\0\0"), ('C', b"Sa\0")];
    let bound = [('P', &a[..]), bound[0], bound[1], ('P', &b), ('P', &c)];
    assert_eq!(told(&mut client, &bound).await, "1231EZ");
    assert_eq!(client.query("DEALLOCATE ALL").await, "C/I");
    // A name alone is something as well, and so are many words in a short text.
    let long = "n".repeat(MIB);
    assert_eq!(told(&mut client, &[('P', &parse(&long, ""))]).await, "EZ");
    let words = format!("SELECT 1 IN (1{})", ",1".repeat(3_000));
    assert_eq!(told(&mut client, &[('P', &parse("w", &words))]).await, "EZ");
    assert_eq!(client.query(&words).await, "TDC/I", "nothing of it is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn suspended_portals_hold_their_rows() {
    let server = small().await;
    let mut client = server.client().await;
    let text = parse("", "SELECT repeat('x', 1000) FROM generate_series(1, 400)");
    let bind = |name: &str| format!("{name}\0\0\0\0\0\0\0\0").into_bytes();
    let first = |name: &str| format!("{name}\0\0\0\0\x01").into_bytes();
    let (a, b, c) = (bind("a"), bind("b"), bind("c"));
    let (run_a, run_b, run_c) = (first("a"), first("b"), first("c"));
    let two: [(char, &[u8]); 5] =
        [('P', &text), ('B', &a), ('E', &run_a), ('B', &b), ('E', &run_b)];
    let third: [(char, &[u8]); 2] = [('B', &c), ('E', &run_c)];
    assert_eq!(told(&mut client, &[&two[..], &third].concat()).await, "12Ds2Ds2EZ");
    let close: (char, &[u8]) = ('C', b"Pa\0");
    assert_eq!(told(&mut client, &[&two[..], &[close], &third].concat()).await, "12Ds2Ds32DsZ");
    // Read to its end it holds nothing more.
    let rest: (char, &[u8]) = ('E', b"b\0\0\0\0\0");
    let answers = told(&mut client, &[&two[..], &[rest], &third].concat()).await;
    assert!(answers.ends_with("DC2DsZ"), "{}", &answers[answers.len() - 20..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_share_what_the_node_keeps() {
    let server = small().await;
    let text = format!("SELECT '{}'", "x".repeat(LARGE));
    let (a, b) = (parse("a", &text), parse("b", &text));
    let both: [(char, &[u8]); 2] = [('P', &a), ('P', &b)];
    let (mut one, mut other, mut third) =
        (server.client().await, server.client().await, server.client().await);
    assert_eq!(told(&mut one, &both).await, "11Z");
    assert_eq!(told(&mut other, &both).await, "11Z");
    assert_eq!(told(&mut third, &both).await, "1EZ");
    assert_eq!(one.query("DEALLOCATE ALL").await, "C/I");
    assert_eq!(told(&mut third, &both[1..]).await, "1Z");
}
