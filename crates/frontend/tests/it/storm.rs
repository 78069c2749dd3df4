//! A storm of broken, truncated and huge messages in every state of the protocol, while others work:
//! nothing panics, and everybody else is served.
//!
//! The attacks are drawn from one seed, so a failure can be had again; `MERIDIAN_LONG=1` draws more.

use std::time::Duration;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout},
};

use crate::server::{Client, Server, message, packet};

const SEED: u64 = 10;
/// Attackers at a time.
const ATTACKERS: u64 = 16;
/// How long an attacker listens to what comes of it.
const SILENCE: Duration = Duration::from_millis(20);

/// Attacks of each attacker.
fn attacks() -> usize {
    if std::env::var_os("MERIDIAN_LONG").is_some() { 2_000 } else { 60 }
}

/// Where in the conversation the attack comes.
#[derive(Clone, Copy, Debug)]
enum State {
    Stranger,
    Refused,
    Idle,
    InTransaction,
    Failed,
    InPipeline,
    Skipping,
    NotReading,
}

const STATES: [State; 8] = [
    State::Stranger,
    State::Refused,
    State::Idle,
    State::InTransaction,
    State::Failed,
    State::InPipeline,
    State::Skipping,
    State::NotReading,
];

/// A connection in this state.
async fn reach(state: State, server: &Server) -> Client {
    let mut client = match state {
        State::Stranger | State::Refused => server.stranger().await,
        _ => server.client().await,
    };
    match state {
        State::Stranger | State::Idle => {}
        State::Refused => client.raw(&packet(&80_877_103_i32.to_be_bytes())).await,
        State::InTransaction => {
            client.query("BEGIN; INSERT INTO storm VALUES (1)").await;
        }
        State::Failed => {
            client.query("BEGIN; SELECT 1 / 0").await;
        }
        State::InPipeline => {
            let messages: [(char, &[u8]); 2] =
                [('P', b"\0SELECT $1::int\0\0\0"), ('B', b"\0\0\0\0\0\x01\0\0\0\x017\0\0")];
            client.send(&messages).await;
        }
        State::Skipping => client.send(&[('P', b"\0SELEC\0\0\0")]).await,
        State::NotReading => {
            let text = "SELECT repeat('x', 100000) FROM generate_series(1, 20)\0";
            client.send(&[('Q', text.as_bytes())]).await;
        }
    }
    client
}

/// Messages that are as they should be.
const GOOD: &[(char, &[u8])] = &[
    ('Q', b"SELECT 1\0"),
    ('Q', b"COMMIT\0"),
    ('P', b"s\0SELECT $1::int, $2::text\0\0\x02\0\0\0\x17\0\0\0\x19"),
    ('B', b"p\0s\0\0\x02\0\x01\0\0\0\x02\0\0\0\x04\0\0\0\x07\0\0\0\x01x\0\x01\0\x01"),
    ('D', b"Ss\0"),
    ('D', b"Pp\0"),
    ('E', b"p\0\0\0\0\x01"),
    ('C', b"Sp\0"),
    ('H', b""),
    ('S', b""),
    ('F', b"\0\0\0\x01\0\0\0\0\0\0"),
    ('d', b"1\t2\n"),
    ('c', b""),
    ('X', b""),
];

/// What is sent.
fn ammunition(random: &mut ChaCha12Rng) -> Vec<u8> {
    let (kind, body) = GOOD[random.random_range(0..GOOD.len())];
    let good = message(kind, body);
    match random.random_range(0..10) {
        // Anything.
        0 => bytes(random, 300),
        // Cut short, and followed by another.
        1 | 2 => {
            let cut = random.random_range(0..=good.len());
            [&good[..cut], &message('S', b"")].concat()
        }
        // A whole frame around a body that is cut short.
        3 | 4 => message(kind, &body[..random.random_range(0..=body.len())]),
        // A byte changed.
        5 => {
            let mut changed = good;
            let at = random.random_range(0..changed.len());
            changed[at] = random.random();
            changed
        }
        // Any body.
        6 => message(kind, &bytes(random, 300)),
        // Any length.
        7 => [&good[..1], &random.random::<i32>().to_be_bytes(), &bytes(random, 300)].concat(),
        // Much of it, or of one.
        8 => good.repeat(random.random_range(1..500)),
        _ => {
            let mut long = message('Q', &vec![b'('; random.random_range(0..1 << 20)]);
            long.truncate(random.random_range(0..=long.len()));
            long
        }
    }
}

fn bytes(random: &mut ChaCha12Rng, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; random.random_range(0..most)];
    random.fill_bytes(&mut bytes);
    bytes
}

async fn attack(server: &Server, random: &mut ChaCha12Rng) {
    let state = STATES[random.random_range(0..STATES.len())];
    let mut client = reach(state, server).await;
    for _ in 0..random.random_range(1..4) {
        let sent = ammunition(random);
        // It may have been hung up on, or not be read any more.
        let written = timeout(Duration::from_secs(1), client.0.write_all(&sent)).await;
        if !matches!(written, Ok(Ok(()))) {
            return;
        }
    }
    if random.random() {
        // Whatever comes, until nothing comes any more.
        let mut heard = vec![0; 64 * 1024];
        while matches!(timeout(SILENCE, client.0.read(&mut heard)).await, Ok(Ok(1..))) {}
    }
}

/// A client that works; how long each of its statements took.
async fn work(
    server: &Server,
    id: u64,
    until: &tokio::sync::watch::Receiver<bool>,
) -> Vec<Duration> {
    let mut client = server.client().await;
    let mut took = Vec::new();
    while !*until.borrow() {
        for statement in [
            format!(
                "INSERT INTO work VALUES ({id}, 1) ON CONFLICT (id) DO UPDATE SET v = work.v + 1"
            ),
            format!("SELECT v FROM work WHERE id = {id}"),
        ] {
            let begun = Instant::now();
            let answer = client.query(&statement).await;
            took.push(begun.elapsed());
            assert!(matches!(&*answer, "C/I" | "TDC/I"), "{statement}: {answer}");
        }
    }
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_else_is_served() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.query("CREATE TABLE storm (id INT PRIMARY KEY)").await;
    client.query("CREATE TABLE work (id INT PRIMARY KEY, v INT)").await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let storm = async {
        let attackers = (0..ATTACKERS).map(|number| {
            let server = &server;
            async move {
                let mut random = ChaCha12Rng::seed_from_u64(SEED + number);
                for _ in 0..attacks() {
                    attack(server, &mut random).await;
                }
            }
        });
        futures::future::join_all(attackers).await;
        stop.send_replace(true);
    };
    let workers = (0..4).map(|id| work(&server, id, &stopped));
    let (took, ()) = tokio::join!(futures::future::join_all(workers), storm);
    let mut took: Vec<Duration> = took.into_iter().flatten().collect();
    took.sort();
    let p99 = took[took.len() * 99 / 100];
    println!("seed {SEED}: {} statements beside the storm, p99 {p99:?}", took.len());
    assert_eq!(server.database.panics(), 0, "no session panicked");
    // And the server is as it was.
    assert_eq!(client.query("SELECT 1").await, "TDC/I");
    assert_eq!(client.query("UPDATE storm SET id = id + 10").await, "C/I", "no lock is left");
}
