//! What is no conversation: garbage, messages cut short or far too long, in several states of the
//! protocol, and connections that begin and never go on. Drawn from one seed.

use std::time::Duration;

use futures::future::{LocalBoxFuture, join_all};
use meridian_tests::{demo::Demo, wire::Wire};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{Form, NODES};

const SEED: u64 = 10;
/// Attackers at a time.
const ATTACKERS: u16 = 12;
/// How long an attacker listens to what comes of it.
const SILENCE: Duration = Duration::from_millis(20);
/// How long a write may wait for a server that does not read.
const PATIENCE: Duration = Duration::from_secs(1);
/// Connections that are begun and left so, at a time.
const HALF_OPEN: usize = 300;
/// Messages that are announced and never whole, at a time, and how much of each is sent.
const UNFINISHED: u16 = 12;
const PART: usize = 1 << 20;

/// All kinds.
pub fn kinds(demo: &Demo, form: Form) -> Vec<(&'static str, LocalBoxFuture<'_, ()>)> {
    vec![
        ("broken messages", Box::pin(broken(demo, form))),
        ("garbage for a start", Box::pin(garbage(demo, form))),
        ("half-open connections", Box::pin(half_open(demo, form))),
        ("huge messages", Box::pin(huge(demo, form))),
    ]
}

/// Messages that are as they should be.
const GOOD: &[(u8, &[u8])] = &[
    (b'Q', b"SELECT 1\0"),
    (b'Q', b"BEGIN; SELECT v FROM own WHERE k = 1000 FOR UPDATE\0"),
    (b'Q', b"SELECT repeat('x', 100000) FROM generate_series(1, 20)\0"),
    (b'P', b"s\0SELECT $1::int, $2::text\0\0\x02\0\0\0\x17\0\0\0\x19"),
    (b'B', b"p\0s\0\0\x02\0\x01\0\0\0\x02\0\0\0\x04\0\0\0\x07\0\0\0\x01x\0\x01\0\x01"),
    (b'D', b"Ss\0"),
    (b'D', b"Pp\0"),
    (b'E', b"p\0\0\0\0\x01"),
    (b'C', b"Sp\0"),
    (b'H', b""),
    (b'S', b""),
    (b'F', b"\0\0\0\x01\0\0\0\0\0\0"),
    (b'd', b"1\t2\n"),
    (b'X', b""),
];

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("short");
    [&[kind], &length.to_be_bytes()[..], body].concat()
}

fn bytes(random: &mut ChaCha12Rng, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; random.random_range(0..most)];
    random.fill_bytes(&mut bytes);
    bytes
}

/// Some messages, mostly with something wrong about them.
fn volley(random: &mut ChaCha12Rng) -> Vec<u8> {
    let mut volley = Vec::new();
    for _ in 0..random.random_range(1..6) {
        let (kind, body) = GOOD[random.random_range(0..GOOD.len())];
        let good = message(kind, body);
        volley.extend(match random.random_range(0..8) {
            0 => bytes(random, 300),
            1 => good[..random.random_range(0..=good.len())].to_vec(),
            // A whole frame around a body that is cut short, or any.
            2 => message(kind, &body[..random.random_range(0..=body.len())]),
            3 => message(kind, &bytes(random, 300)),
            4 => {
                let mut changed = good;
                let at = random.random_range(0..changed.len());
                changed[at] = random.random();
                changed
            }
            // Any length.
            5 => [&good[..1], &random.random::<i32>().to_be_bytes(), &bytes(random, 300)].concat(),
            6 => good.repeat(random.random_range(1..200)),
            _ => good,
        });
    }
    volley
}

/// Sends as much as the server takes, and listens for a while.
async fn fire(stream: &mut TcpStream, sent: &[u8], random: &mut ChaCha12Rng) {
    // It may have been hung up on, or not be read any more.
    let written = timeout(PATIENCE, stream.write_all(sent)).await;
    if matches!(written, Ok(Ok(()))) && random.random() {
        let mut heard = vec![0; 64 << 10];
        while matches!(timeout(SILENCE, stream.read(&mut heard)).await, Ok(Ok(1..))) {}
    }
}

async fn stranger(demo: &Demo, number: u16) -> TcpStream {
    let port = demo.sql_port(number % NODES);
    TcpStream::connect(("127.0.0.1", port)).await.expect("the node listens")
}

/// Each attacker by itself, with randomness of its own.
async fn all<F: Future<Output = ()>>(attack: impl Fn(u16, ChaCha12Rng) -> F) {
    let random = |number| ChaCha12Rng::seed_from_u64(SEED + u64::from(number));
    join_all((0..ATTACKERS).map(|number| attack(number, random(number)))).await;
}

async fn broken(demo: &Demo, form: Form) {
    all(|number, mut random| async move {
        for _ in 0..form.attacks {
            let mut stream = Wire::connect(demo.sql_port(number % NODES)).await.into_stream();
            let sent = volley(&mut random);
            fire(&mut stream, &sent, &mut random).await;
        }
    })
    .await;
}

async fn garbage(demo: &Demo, form: Form) {
    let good = message(0, b"\0\x03\0\0user\0root\0database\0meridian\0\0")[1..].to_vec();
    let good = &good;
    all(|number, mut random| async move {
        for _ in 0..form.attacks {
            let mut sent = match random.random_range(0..4) {
                0 => bytes(&mut random, 10_000),
                1 => b"GET / HTTP/1.1\r\n\r\n".to_vec(),
                2 => [&random.random::<u32>().to_be_bytes(), &good[4..]].concat(),
                _ => good.clone(),
            };
            let at = random.random_range(0..sent.len().max(1));
            match random.random_range(0..3) {
                0 => sent.truncate(at),
                1 => sent.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 0x40),
                _ => sent.extend(volley(&mut random)),
            }
            fire(&mut stranger(demo, number).await, &sent, &mut random).await;
        }
    })
    .await;
}

/// Many begin and do not go on; somebody else comes in all the same.
async fn half_open(demo: &Demo, form: Form) {
    let mut held = Vec::new();
    for number in 0..HALF_OPEN {
        let mut stream = stranger(demo, u16::try_from(number).expect("few")).await;
        // It may be hung up on at once.
        drop(stream.write_all(&[0, 0, 0, 30, 0, 3]).await);
        held.push(stream);
    }
    for node in (0..NODES).cycle().take(form.attacks) {
        let sql = demo.connect(node).await;
        assert_eq!(sql.value("SELECT 1").await, Ok("1".to_owned()));
    }
}

/// Messages of all lengths up to what the protocol can tell, of which a part comes.
async fn huge(demo: &Demo, form: Form) {
    for _ in 0..form.attacks / 10 {
        let unfinished = (0..UNFINISHED).map(|number| async move {
            let mut stream = Wire::connect(demo.sql_port(number % NODES)).await.into_stream();
            let length = (1_u32 << (20 + number)).to_be_bytes();
            let begun = [&b"Q"[..], &length[..], &vec![b'('; PART]].concat();
            // It may be hung up on, or not be read.
            drop(timeout(PATIENCE, stream.write_all(&begun)).await);
            stream
        });
        let held = join_all(unfinished).await;
        let sql = demo.connect(0).await;
        assert_eq!(sql.value("SELECT 1").await, Ok("1".to_owned()));
        drop(held);
    }
}
