//! Transactions over replicated ranges, in virtual time, judged exactly.
//!
//! ```text
//!   clients        random transactions: reads, scans, writes, locks, snapshots of the past;
//!      |           some disconnect, some gateways die
//!   coordinators   one per node, real; clocks apart as far as epsilon allows
//!      |           messages delayed, lost, doubled
//!   replicas       real ranges, three replicas each; nodes crash and lose what was not synced,
//!      |           are cut off, hand leadership over; ranges split
//!   disks          simulated
//! ```
//!
//! First the safety phase with faults; then everything heals and progress is demanded: every client
//! ends, no lock and no intent is left, all replicas agree. Then [`check`] judges what the clients saw
//! against every version on disk.
//!
//! | variable | what |
//! |---|---|
//! | `TXN_SIM_SEED` | run this seed alone (a failure prints it) |
//! | `TXN_SIM_SEEDS` | how many seeds to run (each test has a default) |
//! | `TXN_SIM_TRACE` | print what happens |
//!
//! The judge is shown able to fail: each test whose name ends in `is_found` breaks one thing on
//! purpose and demands a violation.

mod check;
mod client;
mod faults;
mod history;
mod plan;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use clock::Timestamp;
use keys::{IndexId, Key, NodeId, RangeId, TableId, layout};
use kv::{Descriptor, Reply, Request};
use storage::{Cf, Reader as _, Scan as EngineScan, encoding, mvcc, sealed};
use timer::{Instant, sleep};
use txn::Coordinator;

use check::{Verdict, Violation, judge};
use client::{Client, Log, coordinator};
use faults::{Faults, register};
use history::{History, Versions};
use plan::{Plan, Sabotage};
use world::{Lifeline, SharedWorld};

/// The table that the transactions use.
const TABLE: TableId = TableId(100);

/// Virtual time after which a simulation is stuck. The slowest seeds take about 100 s.
const PATIENCE: Duration = Duration::from_secs(600);

/// A key of the table.
fn key(k: u8) -> Key {
    let mut bytes = layout::index_prefix(TABLE, IndexId::PRIMARY).to_vec();
    bytes.push(k);
    Key::from_vec(bytes)
}

/// What a run tells.
struct Report {
    verdict: Verdict,
    fired: BTreeSet<String>,
    attempts: usize,
    digest: u64,
    seconds: u64,
}

fn range_config(plan: &Plan) -> range::Config {
    let millis = Duration::from_millis;
    range::Config {
        paxos: paxos::Config {
            lease: millis(900),
            renew_every: millis(300),
            election_timeout: millis(300),
            election_stagger: millis(80),
            resend_after: millis(120),
            horizon_slack: millis(500),
            log_keep_slots: plan.log_keep_slots,
            ..range::Config::default().paxos
        },
        commit_wait: plan.commit_wait,
        close_active: plan.close_active,
        transaction_life: plan.life,
        retention: plan.retention,
        gc_step: millis(300),
        close_idle: millis(300),
        heartbeat_lapse: millis(700),
        push_first: millis(20),
        push_max: millis(200),
        push_timeout: millis(600),
        housekeeping: millis(500),
        ..range::Config::default()
    }
}

/// Runs a plan in a runtime of its own. Panics of any task end it.
fn run(plan: Plan) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime needs no resources");
    runtime.block_on(async {
        let config = range_config(&plan);
        let shared = world::create(plan, config);
        tokio::select! {
            biased;
            report = timer::timeout(PATIENCE, scenario(shared.clone())) => match report {
                Ok(report) => report,
                Err(_) => panic!("stuck:\n{}", shared.lock().describe()),
            },
            () = world::drive(shared.clone()) => unreachable!("it drives for ever"),
        }
    })
}

async fn scenario(shared: SharedWorld) -> Report {
    let nodes: Vec<NodeId> = (1..=shared.lock().plan.nodes).map(NodeId).collect();
    let gateways: Vec<Arc<Coordinator>> =
        nodes.iter().map(|node| coordinator(&shared, *node, Lifeline::default())).collect();
    let admin = coordinator(&shared, nodes[0], Lifeline::default());
    let table = shared.lock().table.clone();
    register(&admin, &table).await;
    let log: Log = Arc::new(Mutex::new(Vec::new()));
    let count = shared.lock().plan.clients;
    let clients = (0..count).map(|name| {
        let client = Client::new(shared.clone(), log.clone(), name, gateways.clone());
        tokio::spawn(client.run())
    });
    let clients: Vec<_> = clients.collect();
    let (collected, collector) = collect(shared.clone());
    let mut faults = Box::pin(Faults::new(shared.clone(), admin.clone()).run());
    for client in clients {
        tokio::select! {
            biased;
            ended = client => ended.expect("a client never panics"),
            () = &mut faults => unreachable!("it goes on for ever"),
        }
    }
    drop(faults);
    shared.lock().heal();
    settle(&shared, &admin).await;
    collector.abort();
    let attempts = log.lock().expect("nobody panicked").clone();
    let mut versions = collected.lock().expect("nobody panicked").clone();
    gather(&shared, &mut versions);
    let history = History { attempts, versions };
    let world = shared.lock();
    Report {
        verdict: judge(&history),
        fired: world.fired.clone(),
        attempts: history.attempts.len(),
        digest: world.digest,
        seconds: world.now().0 / 1_000_000_000,
    }
}

/// The liveness phase: no lock and no intent is left, and all replicas hold the same.
async fn settle(shared: &SharedWorld, admin: &Arc<Coordinator>) {
    let mut ranges = BTreeMap::new();
    for _ in 0..200 {
        sleep(Duration::from_millis(200)).await;
        ranges = shared.lock().leaders();
        let spans: Vec<_> = ranges.values().map(|(_, descriptor, _)| &descriptor.span).collect();
        if left_over(&ranges, admin).await.is_none() && covers_the_table(&spans) {
            break;
        }
    }
    if let Some(what) = left_over(&ranges, admin).await {
        panic!("{what} is left at the end\n{}", shared.lock().describe());
    }
    for (_, descriptor, _) in ranges.values() {
        // Each at its own time: a replica that catches up takes longer than some plans keep versions.
        let at = admin.clock().now().earliest_timestamp();
        let mut sums = BTreeMap::new();
        for node in &descriptor.voters {
            sums.insert(checksum(admin, descriptor.id, *node, at).await, *node);
        }
        assert_eq!(sums.len(), 1, "replicas of {descriptor} differ: {sums:?}");
    }
}

/// What a replica says it holds. It may still be down, or catching up.
async fn checksum(
    admin: &Arc<Coordinator>,
    range: RangeId,
    node: NodeId,
    at: Timestamp,
) -> (u64, u64) {
    let mut last = None;
    for _ in 0..30 {
        let deadline = Instant::now() + Duration::from_secs(1);
        let request = Request::Checksum { at };
        match admin.router().send_to(node, range, request, deadline).await {
            Ok(Reply::Checksum { sum, rows, .. }) => return (sum, rows),
            other => last = Some(other),
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("{range}: {node} answered {last:?}");
}

fn covers_the_table(spans: &[&keys::Span]) -> bool {
    let table = layout::table_span(TABLE);
    let mut from = table.start;
    while let Some(span) = spans.iter().find(|span| span.contains(&from)) {
        from = span.end.clone();
    }
    from >= table.end
}

type Leaders = BTreeMap<RangeId, (NodeId, Descriptor, storage::MemEngine)>;

async fn left_over(ranges: &Leaders, admin: &Arc<Coordinator>) -> Option<String> {
    for (_, descriptor, engine) in ranges.values() {
        let intents = mvcc::intents_in_span(engine, &descriptor.span, 10).expect("it reads");
        if !intents.is_empty() {
            return Some(format!("{}: {intents:?}", descriptor.id));
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        let range = Arc::new(descriptor.clone());
        match admin.router().send_to_leader(&range, Request::Locks, deadline).await {
            Ok(Reply::Locks(locks)) if locks.is_empty() => {}
            other => return Some(format!("{}: {other:?}", descriptor.id)),
        }
    }
    None
}

/// Gathers versions again and again, much more often than GC may remove them.
fn collect(shared: SharedWorld) -> (Arc<Mutex<Versions>>, tokio::task::JoinHandle<()>) {
    let collected = Arc::new(Mutex::new(Versions::new()));
    let versions = collected.clone();
    let collector = tokio::spawn(async move {
        loop {
            sleep(Duration::from_millis(250)).await;
            gather(&shared, &mut versions.lock().expect("nobody panicked"));
        }
    });
    (collected, collector)
}

/// Adds all versions of the table on the disks of all nodes: whatever is applied was chosen.
fn gather(shared: &SharedWorld, versions: &mut Versions) {
    let table = layout::table_span(TABLE);
    let (start, end) = (encoding::encode(&table.start, 0), encoding::encode(&table.end, 0));
    for engine in shared.lock().engines() {
        let scan = EngineScan::new(Cf::Data, &start, &end);
        engine
            .scan(scan, &mut |stored, value| {
                let (key, version) = parse(stored, value);
                let known = versions.entry(key).or_default();
                if let Err(place) = known.binary_search(&version) {
                    known.insert(place, version);
                }
                true
            })
            .expect("it reads");
    }
}

/// A version as it lies on disk.
fn parse(stored: &[u8], value: &[u8]) -> (Key, (Timestamp, Option<Bytes>)) {
    let mut key = Vec::new();
    let len = encoding::decode_into(stored, &mut key).expect("a version's key");
    let inverted: [u8; 12] = stored[len..].try_into().expect("a timestamp");
    let at = Timestamp::from_bytes(inverted.map(|byte| !byte));
    let body = sealed::open(Cf::Data, stored, value).expect("an intact version");
    let value = (body[0] == 1).then(|| Bytes::copy_from_slice(&body[1..]));
    (Key::from_vec(key), (at, value))
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
}

/// The seeds a test runs.
fn seeds(default: u64) -> std::ops::Range<u64> {
    match setting("TXN_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..setting("TXN_SIM_SEEDS").unwrap_or(default),
    }
}

/// Runs a seed; a failure tells how to run it again.
fn run_seed(test: &str, seed: u64, sabotage: Sabotage) -> Report {
    let plan = Plan::draw(seed, sabotage);
    let again = format!("TXN_SIM_SEED={seed} cargo test -p meridian-tests --test txn_sim {test}");
    let result = std::panic::catch_unwind(|| run(plan.clone()));
    match result {
        Ok(report) => report,
        Err(cause) => {
            println!("seed {seed} failed: {plan:?}\nrun it again: {again}");
            std::panic::resume_unwind(cause);
        }
    }
}

#[test]
fn random_transactions_are_strictly_serializable() {
    let test = "random_transactions_are_strictly_serializable";
    let (mut fired, mut total) = (BTreeSet::new(), Verdict::default());
    let all = seeds(60);
    let many = all.end - all.start >= 60;
    for seed in all {
        let report = run_seed(test, seed, Sabotage::None);
        let Verdict { violations, committed, unknown_committed, reads } = report.verdict;
        println!(
            "seed {seed}: {} attempts, {committed} committed, {reads} reads, {} s, {:016x}",
            report.attempts, report.seconds, report.digest
        );
        if !violations.is_empty() {
            for violation in violations.iter().take(5) {
                println!("{violation}");
            }
            let plan = Plan::draw(seed, Sabotage::None);
            let again =
                format!("TXN_SIM_SEED={seed} cargo test -p meridian-tests --test txn_sim {test}");
            panic!("seed {seed}: {} violations; {again}\n{plan:?}", violations.len());
        }
        fired.extend(report.fired);
        total.committed += committed;
        total.unknown_committed += unknown_committed;
        total.reads += reads;
    }
    println!(
        "{} committed ({} of them unknown to their clients), {} reads; met: {fired:?}",
        total.committed, total.unknown_committed, total.reads
    );
    if many {
        for probe in ["Leads", "Stopped", "Split", "Transferred", "SnapshotInstalled"] {
            assert!(fired.contains(probe), "no seed met: {probe}");
        }
        assert!(total.unknown_committed > 0, "no client was left in doubt");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in seeds(2) {
        let digest = |_| run_seed("the_same_seed_gives_the_same_run", seed, Sabotage::None).digest;
        let digests: BTreeSet<u64> = (0..2).map(digest).collect();
        assert_eq!(digests.len(), 1, "seed {seed} ran in two ways");
    }
}

/// Some seed among the first few must make the judge say this.
fn is_found(test: &str, sabotage: Sabotage, wanted: fn(&Violation) -> bool) {
    for seed in seeds(10) {
        let run = || run_seed(test, seed, sabotage).verdict.violations;
        // A replica whose memory contradicts itself may stop before any client notices; go on.
        let Ok(violations) = std::panic::catch_unwind(run) else { continue };
        if let Some(found) = violations.iter().find(|violation| wanted(violation)) {
            println!("seed {seed}: {found}");
            return;
        }
    }
    panic!("{sabotage:?} broke nothing that the judge noticed");
}

#[test]
fn missing_commit_wait_is_found() {
    is_found("missing_commit_wait_is_found", Sabotage::NoCommitWait, |violation| {
        matches!(violation, Violation::RealTime(_))
    });
}

#[test]
fn a_lying_clock_is_found() {
    is_found("a_lying_clock_is_found", Sabotage::LyingClock, |violation| {
        matches!(violation, Violation::RealTime(_))
    });
}

#[test]
fn disks_that_forget_are_found() {
    is_found("disks_that_forget_are_found", Sabotage::LyingDisks, |violation| {
        matches!(violation, Violation::Lost(_) | Violation::WrongRead(_))
    });
}

#[test]
fn skipped_validation_is_found() {
    is_found("skipped_validation_is_found", Sabotage::SkippedValidation, |violation| {
        matches!(violation, Violation::NotSerializable(_))
    });
}
