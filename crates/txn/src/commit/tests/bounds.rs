//! The bounds that a commit names, held against what was read and what participants promised: the
//! gateway's half of X3, X3a and R1. A range would choose s well within most of them anyway, so
//! only who listens on the wire notices each one that is dropped.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use clock::Timestamp;
use futures::{FutureExt, future::BoxFuture};
use keys::{Key, NodeId, RangeId};
use kv::{Descriptor, KvError, RangeRequest, RangeSender, Reply, Request};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use timer::Instant;

use crate::{
    Config, Coordinator, Router, RouterConfig, Rule, Rules, Txn, TxnError, TxnOptions,
    naive::NaiveCluster,
};

const KEYS: [&str; 6] = ["b", "e", "i", "m", "q", "t"];
const TRANSACTIONS: u32 = 300;
/// How far from now promises begin and end, in microseconds: a reading of the naive cluster's clock
/// takes one, so that some are over when the commit comes, and some are not.
const NEAR: u64 = 60;

/// A wire on which participants promise what they like, and every commit is looked at.
#[derive(Debug)]
struct Witness {
    cluster: Arc<NaiveCluster>,
    heard: Mutex<Heard>,
}

/// What was said since the transaction began.
#[derive(Debug)]
struct Heard {
    rng: ChaCha8Rng,
    /// `t_r`; zero if nothing was read.
    read: Timestamp,
    /// The last answer to a prepare, by range: the prepare timestamp, and `valid_through`.
    promised: BTreeMap<RangeId, (Timestamp, Timestamp)>,
    /// Commits that had a bound of each kind to keep.
    bounded: u32,
    /// The first commit whose bounds were wider than they may be.
    wrong: Option<String>,
}

impl Witness {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heard {
    fn listen(&mut self, request: &Request) {
        match request {
            Request::Read(read) => self.read = self.read.max(read.at),
            Request::Commit(commit) => {
                let prepares = self.promised.values().map(|(prepare, _)| *prepare);
                let above = prepares.fold(self.read, Timestamp::max);
                let ends = self.promised.values().map(|(_, end)| *end);
                let below = ends.fold(Timestamp::MAX, Timestamp::min);
                if commit.above < above || commit.below > below {
                    let named = format!("({}, {})", commit.above, commit.below);
                    self.wrong.get_or_insert(format!("{named} reaches beyond ({above}, {below})"));
                }
                let bounded = above > self.read && self.read > Timestamp::ZERO;
                self.bounded += u32::from(bounded && below < Timestamp::MAX);
            }
            _ => {}
        }
    }

    /// A participant promises: later, and for a shorter time, than it had to.
    fn answer(&mut self, range: RangeId, now: Timestamp, reply: &mut Reply) {
        let Reply::Prepared(prepared) = reply else { return };
        let mut near = |least| now.plus(Duration::from_micros(self.rng.random_range(least..NEAR)));
        if prepared.prepare > Timestamp::ZERO {
            prepared.prepare = prepared.prepare.max(near(0));
        }
        let end = near(NEAR / 4);
        if self.rng.random() {
            prepared.valid_through = end;
        }
        self.promised.insert(range, (prepared.prepare, prepared.valid_through));
    }
}

/// The witness as the router sees it.
#[derive(Debug)]
struct Ear(Arc<Witness>);

impl RangeSender for Ear {
    fn send(
        &self,
        to: NodeId,
        request: RangeRequest,
    ) -> BoxFuture<'static, Result<Reply, KvError>> {
        let witness = self.0.clone();
        async move {
            let range = request.range;
            // What the router asks the directory is no transaction's read.
            if range != witness.cluster.system_range().id {
                witness.heard().listen(&request.request);
            }
            let mut answer = witness.cluster.send(to, request).await;
            if let Ok(reply) = &mut answer {
                let now = witness.cluster.clock().now().latest_timestamp();
                witness.heard().answer(range, now, reply);
            }
            answer
        }
        .boxed()
    }

    fn local_node(&self) -> NodeId {
        self.0.cluster.local_node()
    }

    fn round_trip(&self, to: NodeId) -> Duration {
        self.0.cluster.round_trip(to)
    }

    fn system_range(&self) -> Descriptor {
        self.0.cluster.system_range()
    }

    fn observed(&self) -> Timestamp {
        self.0.cluster.observed()
    }
}

async fn transaction(txn: &mut Txn, rng: &mut ChaCha8Rng) -> Result<(), TxnError> {
    txn.set_deadline(Some(Instant::now() + Duration::from_secs(10)));
    txn.begin_statement().await?;
    let mut some = || Key::from(KEYS[rng.random_range(0..KEYS.len())]);
    let (read, written) = ([some(), some()], [some(), some()]);
    txn.get(&read).await?;
    for key in written {
        txn.put(key, "new".into())?;
    }
    txn.commit().await.map(drop)
}

/// What was wrong with the bounds, if anything was; else how many commits had one of each kind.
fn run(rules: Rules) -> Result<u32, String> {
    let cluster = NaiveCluster::new(3, &["a", "h", "p", "z"].map(Key::from), None);
    let heard = Heard {
        rng: ChaCha8Rng::seed_from_u64(1),
        read: Timestamp::ZERO,
        promised: BTreeMap::new(),
        bounded: 0,
        wrong: None,
    };
    let witness = Arc::new(Witness { cluster: cluster.clone(), heard: Mutex::new(heard) });
    let sender = Arc::new(Ear(witness.clone()));
    let router = Router::new(sender, cluster.clock(), RouterConfig::default(), 1);
    let config = Config { rules, ..Config::default() };
    let coordinator = Coordinator::new(router, cluster.clock(), config, 1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    runtime.block_on(async {
        for _ in 0..TRANSACTIONS {
            let mut txn = coordinator.begin(TxnOptions::default());
            // One that finds no timestamp between its bounds ends with 40001.
            let _: Result<(), TxnError> = transaction(&mut txn, &mut rng).await;
            timer::sleep(Duration::from_millis(1)).await;
            let mut heard = witness.heard();
            (heard.read, heard.promised) = (Timestamp::ZERO, BTreeMap::new());
        }
    });
    let heard = witness.heard();
    heard.wrong.clone().map_or(Ok(heard.bounded), Err)
}

#[test]
fn commits_keep_within_what_was_read_and_promised() {
    let bounded = run(Rules::default()).expect("no commit reaches beyond its bounds");
    assert!(bounded > TRANSACTIONS / 10, "only {bounded} commits had bounds to keep");
}

#[test]
fn each_bound_that_is_dropped_is_found() {
    for rule in [Rule::ValidThrough, Rule::AboveRead, Rule::AbovePrepares] {
        let found = run(Rules::without(rule)).expect_err("a bound is dropped");
        println!("{rule:?}: {found}");
    }
}
