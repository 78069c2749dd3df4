//! How many single-key commits one core carries through three replicas in memory: no network, no
//! disk, ε = 0. `cargo run --release -p range --example throughput [COMMITS] [IN_FLIGHT]`.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use clock::{Interval, Mono, Now, Timestamp};
use keys::{Key, NodeId, RangeId, Span, TxnId};
use kv::{
    Commit, Descriptor, Pushdown, PushdownError, PushdownFactory, Read, ReadFrom, ReadSpan,
    Request, TxnMeta, Validate, Write,
};
use range::{Config, Context, Effects, GroupMessage, Input, Replica, RequestToken};
use storage::{Engine, MemEngine};

#[derive(Debug)]
struct NoPrograms;

impl PushdownFactory for NoPrograms {
    fn open(&self, _: &[u8]) -> Result<Box<dyn Pushdown>, PushdownError> {
        Err(PushdownError { message: "none".to_owned(), encoded: Bytes::new() })
    }
}

struct Cluster {
    engines: Vec<MemEngine>,
    replicas: Vec<Replica>,
    queue: VecDeque<(usize, Input)>,
    time: u64,
    answered: u64,
}

impl Cluster {
    fn now(&self) -> Now {
        let at = 1_000_000_000 + self.time;
        Now { tt: Interval { earliest: at, latest: at }, mono: Mono(self.time) }
    }

    fn step(&mut self, at: usize, input: Input) {
        self.time += 100;
        let mut out = Effects::default();
        let ctx = Context { now: self.now(), engine: &self.engines[at], factory: &NoPrograms };
        self.replicas[at].step(&ctx, input, &mut out).expect("memory does not fail");
        self.answered += out.replies.len() as u64;
        for (_, reply) in &out.replies {
            assert!(reply.is_ok(), "{reply:?}");
        }
        if let Some(token) = out.persist {
            self.engines[at].sync().expect("memory does not fail");
            self.queue.push_back((at, Input::Persisted(token)));
        }
        let from = NodeId(u32::try_from(at).expect("few") + 1);
        for (to, message) in out.send.into_iter().chain(out.send_durable) {
            let message: GroupMessage = message;
            self.queue.push_back((to.0 as usize - 1, Input::Peer { from, message }));
        }
    }

    fn drain(&mut self) {
        while let Some((at, input)) = self.queue.pop_front() {
            self.step(at, input);
        }
    }
}

fn argument(n: usize, default: u64) -> u64 {
    std::env::args().nth(n).and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() {
    let (commits, in_flight) = (argument(1, 100_000), argument(2, 64));
    let config = Arc::new(Config::default());
    let desc = Descriptor {
        id: RangeId(2),
        span: Span::new("a", "z"),
        generation: 1,
        voters: vec![NodeId(1), NodeId(2), NodeId(3)],
        preferred_leader: NodeId(1),
    };
    let engines: Vec<MemEngine> = (0..3).map(|_| MemEngine::new()).collect();
    let replicas = engines.iter().zip(&desc.voters).map(|(engine, me)| {
        Replica::create(engine, &desc, *me, config.clone()).expect("memory does not fail")
    });
    let replicas = replicas.collect();
    let queue = VecDeque::new();
    let mut cluster = Cluster { engines, replicas, queue, time: 0, answered: 0 };
    for at in 0..3 {
        cluster.step(at, Input::Tick);
    }
    cluster.drain();
    run("blind writes", &mut cluster, commits, in_flight, |i, now| write(i, now, false));
    run("read-modify-writes", &mut cluster, commits, in_flight, |i, now| {
        write(i + u128::from(commits), now, true)
    });
    run("reads", &mut cluster, commits, in_flight, read);
}

#[expect(clippy::disallowed_methods, reason = "a measurement on a real machine")]
fn run(
    what: &str,
    cluster: &mut Cluster,
    count: u64,
    in_flight: u64,
    request: impl Fn(u128, Timestamp) -> Request,
) {
    let begin = std::time::Instant::now();
    let (mut sent, before) = (0, cluster.answered);
    while cluster.answered - before < count {
        while sent < count && sent - (cluster.answered - before) < in_flight {
            let now = cluster.now().tt.latest_timestamp();
            let deadline = Mono(cluster.time).plus(Duration::from_secs(3600));
            let token = RequestToken(before + sent + 1);
            let request = request(u128::from(sent) + 1, now);
            sent += 1;
            cluster.step(0, Input::Request { token, request, deadline });
        }
        cluster.drain();
        cluster.time += 1000;
        for at in 0..3 {
            cluster.step(at, Input::Tick);
        }
    }
    let took = begin.elapsed();
    let rate = count as f64 / took.as_secs_f64();
    println!("{what}: {count} in {took:.2?}, {rate:.0} per second for three replicas on one core");
}

fn key(i: u128) -> Key {
    Key::from_vec(format!("k{:08}", (i * 7919) % 100_000).into_bytes())
}

fn write(i: u128, now: Timestamp, validated: bool) -> Request {
    let span = Span::point(key(i));
    let reads = if validated { vec![Validate { span, since: now }] } else { vec![] };
    let id = TxnId(i.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
    let txn = TxnMeta { id, anchor: key(i), priority: now, start: now };
    let writes = vec![Write { key: key(i), value: Some(Bytes::from_static(&[7; 100])) }];
    let below = Timestamp::MAX;
    Request::Commit(Commit { txn, reads, writes, participants: vec![], above: now, below })
}

fn read(i: u128, now: Timestamp) -> Request {
    let spans = vec![ReadSpan { span: Span::point(key(i)), reverse: false }];
    let from = ReadFrom::Leader;
    Request::Read(Read {
        at: now,
        from,
        holder: None,
        spans,
        max_rows: 0,
        program: None,
        unchanged_since: None,
    })
}
