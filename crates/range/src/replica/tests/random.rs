//! Random faults under a cluster that commits: crashes, cuts, lost messages, transfers, splits.
//!
//! Clients read a key and write it, over and over; what they cannot tell they ask again (X8). In the
//! end everything is healed, and every replica must hold exactly what was committed.
//!
//! `MERIDIAN_SCHEDULES=1000` runs more, `MERIDIAN_SEED=17` runs one.

use std::{collections::BTreeMap, time::Duration};

use clock::Timestamp;
use keys::{Key, NodeId, RangeId, Span, TxnId};
use kv::{KvError, ReadFrom, Reply, Request, Validate};
use rand::RngExt;
use storage::mvcc;

use super::cluster::{Cluster, MS, World, commit, get, meta, put};
use crate::{RequestToken, Slice, record::Record, record::Verdict};

const KEYS: [&str; 6] = ["b", "e", "h", "m", "q", "u"];
const STEPS: usize = 1200;

/// A transaction that reads a key and writes its own name there.
#[derive(Debug)]
struct Increment {
    id: u128,
    key: &'static str,
    snapshot: Timestamp,
    seen: Option<String>,
    /// The question under way, and when it was asked.
    asked: Option<(RequestToken, u64)>,
    request: Option<Request>,
    told: Option<Option<Timestamp>>,
    /// Acknowledged commits when it began: their timestamps are below its own.
    before: Timestamp,
}

struct Run {
    cluster: Cluster,
    open: Vec<Increment>,
    ended: Vec<Increment>,
    next: u128,
    next_range: u64,
    acknowledged: Timestamp,
    down: Option<u32>,
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut world = World { loss: [0, 0, 50, 10][(seed % 4) as usize], ..World::default() };
        world.epsilon = [0, 2, 5][(seed % 3) as usize] * MS;
        world.config.paxos.lease = Duration::from_millis(300);
        world.config.paxos.renew_every = Duration::from_millis(100);
        world.config.paxos.election_timeout = Duration::from_millis(100);
        world.config.paxos.election_stagger = Duration::from_millis(20);
        world.config.paxos.resend_after = Duration::from_millis(20);
        world.config.paxos.horizon_slack = Duration::from_millis(100);
        world.config.paxos.snapshot_retry = Duration::from_millis(100);
        world.config.paxos.log_keep_slots = 12;
        world.config.snapshot_timeout = Duration::from_millis(200);
        world.config.snapshot_chunk_bytes = 300;
        world.config.recent_writes = 4;
        let keys = 1 + usize::try_from(seed % 2).expect("small");
        world.config.read_at_once = Slice { keys, ..world.config.read_at_once };
        world.config.close_active = Duration::from_millis(20);
        world.config.close_idle = Duration::from_millis(50);
        let mut cluster = Cluster::new(seed, world);
        cluster.create(2, "a", "z", 1);
        let (open, ended) = (Vec::new(), Vec::new());
        let acknowledged = Timestamp::ZERO;
        Run { cluster, open, ended, next: 1, next_range: 10, acknowledged, down: None }
    }

    fn begin(&mut self) {
        let key = KEYS[self.cluster.rng.random_range(0..KEYS.len())];
        let node = NodeId(self.cluster.rng.random_range(1..=3));
        let snapshot = self.cluster.latest(node);
        let (id, before) = (self.next, self.acknowledged);
        self.next += 1;
        self.open.push(Increment {
            id,
            key,
            snapshot,
            seen: None,
            asked: None,
            request: None,
            told: None,
            before,
        });
    }

    /// Where a client believes a key's leader to be: mostly right.
    fn ask(&mut self, key: &str, request: Request) -> RequestToken {
        let guess = match self.cluster.leader_of(key.as_bytes()) {
            Some(found) if !self.cluster.rng.random_ratio(1, 20) => found,
            _ => (NodeId(self.cluster.rng.random_range(1..=3)), RangeId(2)),
        };
        self.cluster.request(guess.0, guess.1, request, Duration::from_millis(400))
    }

    fn advance(&mut self, index: usize) {
        let increment = &self.open[index];
        let (key, snapshot) = (increment.key, increment.snapshot);
        if let Some((token, since)) = increment.asked {
            // Whoever was asked may have crashed.
            let lost = self.cluster.time > since + 600 * MS;
            let Some(answer) = self.cluster.replies.remove(&token) else {
                if lost {
                    self.open[index].asked = None;
                }
                return;
            };
            self.open[index].asked = None;
            self.hear(index, answer);
            return;
        }
        let request = match (&increment.seen, &increment.request) {
            (None, _) => get(key, snapshot, ReadFrom::Leader),
            (Some(_), Some(request)) => request.clone(),
            (Some(_), None) => {
                let span = Span::point(Key::from(key));
                let reads = vec![Validate { span, since: snapshot }];
                let writes = vec![put(key, &increment.id.to_string())];
                commit(meta(increment.id, key, snapshot), reads, writes)
            }
        };
        if self.open[index].seen.is_some() {
            self.open[index].request = Some(request.clone());
        }
        let token = self.ask(key, request);
        self.open[index].asked = Some((token, self.cluster.time));
    }

    fn hear(&mut self, index: usize, answer: Result<Reply, KvError>) {
        let increment = &mut self.open[index];
        match answer.map_err(|error| error.split_wait().0) {
            Ok(Reply::Read(read)) => {
                let row = read.spans[0].rows.first();
                let value = row.map_or(String::new(), |(_, v)| String::from_utf8_lossy(v).into());
                increment.seen = Some(value);
            }
            Ok(Reply::Committed(committed)) => {
                assert!(committed.at < self.cluster.true_time(), "T4: {committed:?}");
                assert!(committed.at > increment.before, "real time: {increment:?} {committed:?}");
                self.acknowledged = self.acknowledged.max(committed.at);
                self.open[index].told = Some(Some(committed.at));
                let done = self.open.swap_remove(index);
                self.ended.push(done);
            }
            Err(KvError::Aborted(_)) => {
                self.open[index].told = Some(None);
                let done = self.open.swap_remove(index);
                self.ended.push(done);
            }
            // Anything else is asked again: reads, and commits by their id.
            Ok(_) | Err(_) => {}
        }
    }

    fn fault(&mut self) {
        match self.cluster.rng.random_range(0..12) {
            0..=1 if self.down.is_none() => {
                let node = self.cluster.rng.random_range(1..=3);
                self.cluster.crash(node);
                self.down = Some(node);
            }
            0..=4 => {
                if let Some(node) = self.down.take() {
                    self.cluster.restart(node);
                }
            }
            5 => {
                let node = self.cluster.rng.random_range(1..=3);
                self.cluster.isolate(node);
            }
            6..=8 => self.cluster.cut.clear(),
            9..=10 => {
                let key = KEYS[self.cluster.rng.random_range(0..KEYS.len())];
                let to = NodeId(self.cluster.rng.random_range(1..=3));
                let token = self.ask(key, Request::TransferLeader { to });
                self.cluster.replies.remove(&token);
            }
            _ => {
                let at = ["c", "i", "o", "t"][self.cluster.rng.random_range(0..4)];
                self.next_range += 1;
                let child = RangeId(self.next_range);
                self.ask(at, Request::Split { at: Key::from(at), child });
            }
        }
    }

    fn wild(&mut self) {
        for _ in 0..STEPS {
            match self.cluster.rng.random_range(0..100) {
                0..=9 if self.open.len() < 12 => self.begin(),
                0..=59 if !self.open.is_empty() => {
                    let index = self.cluster.rng.random_range(0..self.open.len());
                    self.advance(index);
                }
                98.. => self.fault(),
                _ => {
                    let time = self.cluster.rng.random_range(0..4000);
                    self.cluster.run_for(Duration::from_micros(time));
                }
            }
        }
    }

    /// Heals, and demands that everything ends.
    fn rest(&mut self) {
        self.cluster.cut.clear();
        self.cluster.world.loss = 0;
        if let Some(node) = self.down.take() {
            self.cluster.restart(node);
        }
        for _ in 0..4000 {
            if self.open.is_empty() {
                break;
            }
            for index in (0..self.open.len()).rev() {
                self.advance(index);
            }
            self.cluster.run_for(Duration::from_millis(5));
        }
        assert!(self.open.is_empty(), "no end: {:?}\n{}", self.open, self.cluster.overview());
        self.cluster.run_until("all replicas have all", |cluster| {
            let ranges = cluster.ranges();
            ranges.iter().all(|range| {
                (1..=3).all(|node| cluster.has(node, *range)) && {
                    let applied = |node| {
                        let machine = cluster.replica(node, *range).machine();
                        (machine.state().blank, machine.applied().slot)
                    };
                    cluster.leader(*range).is_some()
                        && (2..=3).all(|node| applied(node) == applied(1))
                        && !applied(1).0
                }
            })
        });
    }

    fn check(&self) {
        let mut versions: BTreeMap<&str, Vec<(Timestamp, u128)>> = BTreeMap::new();
        for increment in &self.ended {
            let engine = self.cluster.engine(1);
            let id = TxnId(increment.id);
            let record = Record::read(engine, &Key::from(increment.key), id).expect("readable");
            let at = record.and_then(|record| match record.verdict {
                Verdict::Committed { at, .. } => Some(at),
                Verdict::Aborted(_) => None,
            });
            assert_eq!(increment.told, Some(at), "X8: {increment:?}");
            if let Some(at) = at {
                versions.entry(increment.key).or_default().push((at, increment.id));
            }
        }
        for (key, list) in &mut versions {
            list.sort_unstable();
            for node in 1..=3 {
                self.check_key(node, key, list);
            }
        }
        for increment in &self.ended {
            let Some(Some(at)) = increment.told else { continue };
            let list = &versions[increment.key];
            let before = list.iter().rev().find(|(t, _)| *t < at).map(|(_, id)| id.to_string());
            assert_eq!(increment.seen, Some(before.unwrap_or_default()), "lost: {increment:?}");
        }
    }

    /// The versions on a node's disk are exactly those committed.
    fn check_key(&self, node: u32, key: &str, list: &[(Timestamp, u128)]) {
        let engine = self.cluster.engine(node);
        let mut found = Vec::new();
        let mut at = Timestamp::MAX;
        while let Some(version) = mvcc::get(engine, &Key::from(key), at).expect("readable") {
            let value = version.value.expect("nobody deletes");
            found.push((version.ts, String::from_utf8_lossy(&value).parse().expect("a name")));
            at = version.ts.prev();
        }
        found.reverse();
        assert_eq!(found, list, "versions of {key} at node {node}");
    }
}

#[test]
fn random_faults_lose_nothing() {
    let setting = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seeds = match setting("MERIDIAN_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=setting("MERIDIAN_SCHEDULES").unwrap_or(1000),
    };
    for seed in seeds {
        println!("MERIDIAN_SEED={seed} cargo test --release -p range random_faults");
        let mut run = Run::new(seed);
        run.wild();
        run.rest();
        run.check();
    }
}
