//! Clients: random transactions through real coordinators, written down as their clients saw them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use keys::{Key, NodeId, Span};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use timer::{Instant, sleep};
use txn::{Access, Coordinator, Isolation, LockWait, Scan, Txn, TxnError, TxnOptions};

use crate::{
    history::{Attempt, Kind, Outcome, ReadRecord},
    key,
    plan::Sabotage,
    world::{Lifeline, SharedWorld, clock_of, router},
};

/// Where all attempts are written down.
pub type Log = Arc<Mutex<Vec<Attempt>>>;

/// One thing a transaction does.
#[derive(Clone, Debug)]
enum Action {
    Read { spans: Vec<Span>, reverse: bool, limit: Option<usize> },
    Put(u8),
    Delete(u8),
    Lock { keys: Vec<u8>, wait: LockWait },
    Think(Duration),
}

/// A transaction to do.
#[derive(Clone, Debug)]
struct Program {
    kind: Kind,
    /// How far a stale read looks back.
    staleness: Duration,
    actions: Vec<Action>,
    /// Rolled back in the end, whatever it did.
    gives_up: bool,
}

/// How the client ends a transaction before its time.
#[derive(Clone, Copy, Debug)]
enum Interruption {
    /// The client disconnects: its gateway cleans up.
    Disconnect(Duration),
    /// The gateway's process dies: nobody cleans up.
    Death(Duration),
}

/// A client of the world.
pub struct Client {
    shared: SharedWorld,
    log: Log,
    name: u32,
    rng: ChaCha8Rng,
    keys: u8,
    gateways: Vec<Arc<Coordinator>>,
}

/// A coordinator on a node.
pub fn coordinator(shared: &SharedWorld, node: NodeId, life: Lifeline) -> Arc<Coordinator> {
    let router = router(shared, node, life);
    let config = txn::Config {
        statement_timeout: Duration::from_secs(5),
        outcome_timeout: Duration::from_secs(3),
        heartbeat_interval: Duration::from_millis(200),
        background_timeout: Duration::from_secs(3),
        ..txn::Config::default()
    };
    let seed = shared.lock().rng().random();
    Coordinator::new(router, clock_of(shared, node), config, seed)
}

impl Client {
    /// A client that uses any of the gateways.
    pub fn new(
        shared: SharedWorld,
        log: Log,
        name: u32,
        gateways: Vec<Arc<Coordinator>>,
    ) -> Client {
        let (seed, keys) = {
            let mut world = shared.lock();
            (world.rng().random(), world.plan.keys)
        };
        Client { shared, log, name, rng: ChaCha8Rng::seed_from_u64(seed), keys, gateways }
    }

    /// Does its transactions, one after the other.
    pub async fn run(mut self) {
        let (count, think, deaths) = {
            let plan = self.shared.lock().plan.clone();
            (plan.transactions, plan.think, plan.deaths)
        };
        for _ in 0..count {
            let program = self.program();
            let after = Duration::from_micros(self.rng.random_range(0..60_000));
            let interruption = match self.rng.random_range(0..1000) {
                n if n < deaths => Some(Interruption::Death(after)),
                n if n < 2 * deaths => Some(Interruption::Disconnect(after)),
                _ => None,
            };
            let nth = self.rng.random_range(0..self.gateways.len());
            self.transaction(program, nth, interruption).await;
            let pause = self.rng.random_range(Duration::ZERO..=think);
            sleep(pause).await;
        }
    }

    fn any_span(&mut self) -> Span {
        let (a, b) = (self.rng.random_range(0..self.keys), self.rng.random_range(0..self.keys));
        if self.rng.random_bool(0.6) {
            Span::point(key(a))
        } else {
            Span::new(key(a.min(b)), key(a.max(b) + 1))
        }
    }

    fn any_keys(&mut self) -> Vec<u8> {
        let count = self.rng.random_range(1..=3);
        (0..count).map(|_| self.rng.random_range(0..self.keys)).collect()
    }

    fn program(&mut self) -> Program {
        let kind = match self.rng.random_range(0..100) {
            0..55 => Kind::Serializable,
            55..65 => Kind::Snapshot,
            65..72 => Kind::ReadCommitted,
            72..84 => Kind::ReadOnly,
            _ => Kind::Stale,
        };
        let writes = !matches!(kind, Kind::ReadOnly | Kind::Stale);
        let actions = (0..self.rng.random_range(1..=5)).map(|_| self.action(writes)).collect();
        let most = self.shared.lock().plan.staleness;
        let staleness = self.rng.random_range(Duration::ZERO..=most);
        Program { kind, staleness, actions, gives_up: self.rng.random_bool(0.03) }
    }

    fn action(&mut self, writes: bool) -> Action {
        let any = self.rng.random_range(0..self.keys);
        match self.rng.random_range(0..if writes { 100 } else { 50 }) {
            0..40 => {
                let count = self.rng.random_range(1..=2);
                Action::Read {
                    spans: (0..count).map(|_| self.any_span()).collect(),
                    reverse: self.rng.random_bool(0.3),
                    limit: self.rng.random_bool(0.25).then(|| self.rng.random_range(1..=3)),
                }
            }
            40..50 => Action::Think(Duration::from_millis(self.rng.random_range(0..20))),
            50..82 => Action::Put(any),
            82..88 => Action::Delete(any),
            88..98 => Action::Lock { keys: self.any_keys(), wait: LockWait::Wait },
            _ => Action::Lock { keys: self.any_keys(), wait: LockWait::NoWait },
        }
    }

    /// One transaction, with its retries.
    async fn transaction(
        &mut self,
        program: Program,
        nth: usize,
        interruption: Option<Interruption>,
    ) {
        let life = Lifeline::default();
        let coordinator = match interruption {
            Some(Interruption::Death(_)) => {
                let node = self.gateways[nth].router().sender().local_node();
                coordinator(&self.shared, node, life.clone())
            }
            Some(Interruption::Disconnect(_)) | None => self.gateways[nth].clone(),
        };
        let options = self.options(&program, &coordinator);
        let mut attempts = coordinator.attempts(options, Instant::now() + Duration::from_secs(20));
        loop {
            let mut txn = attempts.begin();
            // Its own locks and its own commit may take their time.
            txn.set_deadline(None);
            let id = self.begin(&program, &coordinator);
            let error = match interruption {
                None => self.attempt(id, &program, &mut txn).await.err(),
                Some(Interruption::Disconnect(after) | Interruption::Death(after)) => {
                    tokio::select! {
                        biased;
                        () = sleep(after) => {
                            life.cut_if(matches!(interruption, Some(Interruption::Death(_))));
                            // Dropped half-way: what it left is for others to clean up.
                            return;
                        }
                        result = self.attempt(id, &program, &mut txn) => result.err(),
                    }
                }
            };
            let Some(error) = error else { return };
            if !attempts.again(&error, &mut txn).await {
                txn.rollback().await;
                return;
            }
        }
    }

    fn options(&self, program: &Program, coordinator: &Coordinator) -> TxnOptions {
        let sabotage = self.shared.lock().plan.sabotage;
        let mut options = TxnOptions::default();
        match program.kind {
            Kind::Serializable if sabotage == Sabotage::SkippedValidation => {
                options.isolation = Isolation::RepeatableRead;
            }
            Kind::Serializable => {}
            Kind::Snapshot => options.isolation = Isolation::RepeatableRead,
            Kind::ReadCommitted => options.isolation = Isolation::ReadCommitted,
            Kind::ReadOnly => options.access = Access::ReadOnly,
            Kind::Stale => {
                let now = coordinator.clock().now().earliest_timestamp();
                options.as_of = Some(now.minus(program.staleness));
            }
        }
        options
    }

    /// Writes the beginning of an attempt down.
    fn begin(&self, program: &Program, coordinator: &Coordinator) -> usize {
        let begin = self.shared.lock().now();
        let mut log = self.log.lock().expect("a panic ends the simulation");
        let node = coordinator.router().sender().local_node();
        let id = 1 + log.len() as u64;
        log.push(Attempt {
            id,
            who: format!("c{} at {node}", self.name),
            kind: program.kind,
            begin,
            end: begin,
            snapshot: None,
            reads: Vec::new(),
            writes: BTreeMap::new(),
            since: BTreeMap::new(),
            outcome: Outcome::Aborted,
        });
        log.len() - 1
    }

    fn note(&self, nth: usize, change: impl FnOnce(&mut Attempt)) {
        let now = self.shared.lock().now();
        let mut log = self.log.lock().expect("a panic ends the simulation");
        log[nth].end = now;
        change(&mut log[nth]);
    }

    /// One attempt, up to its commit.
    async fn attempt(&self, nth: usize, program: &Program, txn: &mut Txn) -> Result<(), TxnError> {
        let mut own: BTreeMap<Key, Option<Bytes>> = BTreeMap::new();
        for action in &program.actions {
            txn.begin_statement().await?;
            self.act(nth, action, txn, &mut own).await?;
        }
        if !own.is_empty() && own.values().all(Option::is_none) {
            // Deletions carry no name; a put beside them does.
            self.act(nth, &Action::Put(0), txn, &mut own).await?;
        }
        if program.gives_up {
            txn.rollback().await;
            return Ok(());
        }
        self.note(nth, |attempt| {
            attempt.writes = own;
            attempt.outcome = Outcome::Unknown;
        });
        let result = txn.commit().await;
        let outcome = match &result {
            Ok(info) => Outcome::Committed(info.at),
            Err(TxnError::Unknown { .. }) => Outcome::Unknown,
            Err(_) => Outcome::Aborted,
        };
        self.note(nth, |attempt| {
            attempt.snapshot = txn.read_timestamp();
            attempt.outcome = outcome;
        });
        let name = self.name;
        self.shared.lock().trace(|| format!("c{name} #{} {outcome:?} {result:?}", nth + 1));
        result.map(drop)
    }

    async fn act(
        &self,
        nth: usize,
        action: &Action,
        txn: &mut Txn,
        own: &mut BTreeMap<Key, Option<Bytes>>,
    ) -> Result<(), TxnError> {
        match action {
            Action::Think(pause) => sleep(*pause).await,
            Action::Read { spans, reverse, limit } => {
                let scan = |span: &Span| Scan {
                    span: span.clone(),
                    reverse: *reverse,
                    limit: limit.map(|limit| limit as u64),
                    program: None,
                };
                let found = txn.read(spans.iter().map(scan).collect()).await?;
                let at = txn.read_timestamp().expect("it has read");
                for (span, found) in spans.iter().zip(found) {
                    let (span, own, rows) = (span.clone(), own.clone(), found.rows);
                    let read = ReadRecord { at, span, reverse: *reverse, limit: *limit, own, rows };
                    self.note(nth, |attempt| attempt.reads.push(read));
                }
            }
            Action::Put(k) => {
                let value = Bytes::from(format!("{}.{}", nth + 1, own.len()));
                txn.put(key(*k), value.clone())?;
                own.insert(key(*k), Some(value));
            }
            Action::Delete(k) => {
                txn.delete(key(*k))?;
                own.insert(key(*k), None);
            }
            Action::Lock { keys, wait } => {
                let keys = keys.iter().map(|k| key(*k)).collect();
                if *wait == LockWait::Wait && txn.isolation() == Isolation::Serializable {
                    // X6, X1a: the snapshot may move forward.
                    txn.lock_to_write(keys, kv::LockWait::Wait).await?;
                } else {
                    txn.lock(keys, *wait).await?;
                }
            }
        }
        let snapshot = txn.read_timestamp().expect("a statement was begun");
        self.note(nth, |attempt| {
            attempt.snapshot = Some(snapshot);
            for key in own.keys() {
                attempt.since.entry(key.clone()).or_insert(snapshot);
            }
        });
        Ok(())
    }
}
