//! The nine-node cluster in virtual time: on one thread, from one seed, with the same trace twice;
//! and what it does with a broken clock, with load that moves ([`leaders`]), with a range that lost
//! its quorum, and with a node that comes back without the data folder that it had ([`folders`]).

#[path = "virtual_time/births.rs"]
mod births;
#[path = "virtual_time/damage.rs"]
mod damage;
#[path = "virtual_time/folders.rs"]
mod folders;
#[path = "virtual_time/leaders.rs"]
mod leaders;
#[path = "virtual_time/schema.rs"]
mod schema;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use keys::NodeId;
use net::{ClusterId, Pace};
use node::{
    FollowLoad, Leaders,
    disk::{Disk, VirtualDisk},
};
use range::CommitWait;
use sim_regions::{Cluster, ClusterOptions, Topology, Trace, TraceSum, time};
use storage::{Engine, MemEngine, memory};

/// How long a sync takes on the simulated disks.
const SYNC: Duration = Duration::from_millis(2);

/// The nodes' disks. They outlive their nodes, and lose what was not synced.
#[derive(Clone, Debug, Default)]
struct Disks {
    all: Arc<Mutex<BTreeMap<NodeId, memory::Disk>>>,
    /// As the nodes that run have them open.
    open: Arc<Mutex<BTreeMap<NodeId, MemEngine>>>,
}

impl Disks {
    fn of(&self, node: NodeId) -> memory::Disk {
        self.all.lock().expect("nobody panicked").entry(node).or_default().clone()
    }

    fn lose(&self, node: NodeId) {
        let lost = self.all.lock().expect("nobody panicked").remove(&node);
        assert!(lost.is_some(), "{node} had a disk");
    }
}

async fn nine_nodes(seed: u64, trace: Trace, disks: Disks) -> Cluster {
    three_in_each("three-regions", seed, trace, disks).await
}

/// A cluster with three nodes in each region of a topology.
async fn three_in_each(topology: &str, seed: u64, trace: Trace, disks: Disks) -> Cluster {
    let options = ClusterOptions {
        topology: Topology::load(topology).expect("shipped"),
        nodes_per_region: Some(3),
        replication: 3,
        cluster: ClusterId(7),
        seed,
        pace: Pace::Virtual,
        time: time::simulated(),
        commit_wait: CommitWait::On,
        control: sql::control::NoControl::shared(),
        engines: Arc::new(move |id| {
            let engine = disks.of(id).crash_losing_unsynced();
            disks.open.lock().expect("nobody panicked").insert(id, engine.clone());
            let engine: Arc<dyn Engine> = Arc::new(engine);
            let disk: Arc<dyn Disk> =
                Arc::new(VirtualDisk { engine: Arc::clone(&engine), latency: SYNC });
            Ok((engine, disk))
        }),
        sql_address: Box::new(|_| String::new()),
        trace: Some(trace),
        tune: Box::new(|config| {
            config.compare_every = Duration::from_secs(5);
            let follow = FollowLoad { every: Duration::from_secs(1), least: 5 };
            config.leaders = Leaders::Follow(follow);
        }),
    };
    let cluster = Cluster::start(options).await.expect("the cluster starts");
    cluster.boot().await.expect("the cluster boots");
    cluster
}

async fn attempt(cluster: &Cluster, node: u32, sql: &str) -> Result<Vec<String>, sql::SqlError> {
    let node = cluster.node(NodeId(node)).expect("it runs");
    let mut session = node.database().session(sql::SessionOptions::default()).expect("room");
    let mut results = Vec::new();
    let outcome =
        session.simple(sql, &mut |execution| results.push(format!("{execution:?}"))).await;
    session.close().await;
    outcome.map(|()| results)
}

async fn run(cluster: &Cluster, node: u32, sql: &str) -> Vec<String> {
    attempt(cluster, node, sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
}

/// Runs a story on a cluster of its own in virtual time.
fn in_virtual_time<T>(seed: u64, story: impl AsyncFnOnce(&mut Cluster, &Disks) -> T) -> T {
    in_virtual_time_on("three-regions", seed, story)
}

/// The same with three nodes in each region of a topology.
fn in_virtual_time_on<T>(
    topology: &str,
    seed: u64,
    story: impl AsyncFnOnce(&mut Cluster, &Disks) -> T,
) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let disks = Disks::default();
        let mut cluster = three_in_each(topology, seed, Trace::begin(), disks.clone()).await;
        let told = story(&mut cluster, &disks).await;
        cluster.stop().await;
        told
    })
}

/// A little life: tables led in two regions, a transaction over both, reads from the third.
fn life(seed: u64) -> (TraceSum, Vec<String>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let trace = Trace::begin();
        let cluster = nine_nodes(seed, trace.clone(), Disks::default()).await;
        run(&cluster, 1, "CREATE TABLE a (k INT8 PRIMARY KEY, v TEXT)").await;
        run(&cluster, 4, "CREATE TABLE b (k INT8 PRIMARY KEY, v TEXT)").await;
        let both = "BEGIN; INSERT INTO a VALUES (1, 'x'); INSERT INTO b VALUES (1, 'y'); COMMIT";
        run(&cluster, 1, both).await;
        let mut seen = run(&cluster, 7, "SELECT a.v, b.v FROM a JOIN b ON a.k = b.k").await;
        timer::sleep(Duration::from_secs(30)).await;
        seen.extend(run(&cluster, 4, "SELECT v FROM a").await);
        let sum = trace.sum();
        cluster.stop().await;
        (sum, seen)
    })
}

#[test]
fn one_seed_gives_one_trace_and_another_seed_another() {
    let (first, seen) = life(11);
    assert!(seen[0].contains("\"x\"") && seen[0].contains("\"y\""), "{seen:?}");
    assert!(first.frames > 1000, "{first:?}");
    assert_eq!(first, life(11).0, "the same seed took another way");
    assert_ne!(first, life(12).0, "the seed does not reach the run");
}

/// T2: a clock far beyond what it claims is found by its first message, and drags nobody along.
#[test]
fn a_broken_clock_is_refused_and_the_others_go_on() {
    in_virtual_time(5, async |cluster, _| {
        run(cluster, 1, "CREATE TABLE t (k INT8 PRIMARY KEY)").await;
        let ahead = Duration::from_secs(5);
        let lie = clock::Offset::Lie { offset_nanos: 5_000_000_000, drift_ppm: 0 };
        cluster.clock(NodeId(9)).set_offset(lie);
        let before = cluster.node(NodeId(1)).expect("it runs").clock().refused();
        timer::sleep(Duration::from_secs(10)).await;
        let first = cluster.node(NodeId(1)).expect("it runs").clock();
        assert!(first.refused() > before, "node 1 took messages of node 9's clock for good");
        let here = first.now().tt.latest_timestamp();
        assert!(first.observed() < here.plus(ahead / 2), "node 9 dragged node 1's clock along");
        run(cluster, 1, "INSERT INTO t VALUES (1)").await;
        run(cluster, 4, "SELECT * FROM t").await;
    });
}

/// The leader of a table's only range, as `SHOW RANGES` says at a node.
async fn leader_of(cluster: &Cluster, asked: u32, table: &str) -> u32 {
    let node = cluster.node(NodeId(asked)).expect("it runs");
    let mut session = node.database().session(sql::SessionOptions::default()).expect("room");
    let mut shown = Vec::new();
    let text = format!("SHOW RANGES FROM TABLE {table}");
    session.simple(&text, &mut |execution| shown.push(execution)).await.expect("it answers");
    session.close().await;
    let Some(sql::Execution::Rows { rows, .. }) = shown.pop() else { panic!("SHOW has rows") };
    match rows[0][4] {
        sql::Datum::Int(leader) => u32::try_from(leader).expect("nodes are few"),
        ref other => panic!("a leader comes fifth, not {other:?}"),
    }
}

/// A gateway that waits for a dead leader hears of the next one from the others.
#[test]
fn a_dead_leader_is_not_waited_for_once_another_leads() {
    in_virtual_time(13, async |cluster, _| {
        run(cluster, 1, "CREATE TABLE t (k INT8 PRIMARY KEY)").await;
        let leader = leader_of(cluster, 1, "t").await;
        let asked = (1..=9).rev().find(|node| *node != leader).expect("there are nine");
        run(cluster, asked, "SELECT * FROM t").await;
        cluster.crash(NodeId(leader)).await;
        let lease = cluster.topology().settings.lease;
        timer::sleep(lease + Duration::from_secs(2)).await;
        let begun = timer::Instant::now();
        run(cluster, asked, "SELECT * FROM t").await;
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(1), "{took:?} for a read with a new leader there");
    });
}

/// `TRANSFER LEADER` returns when it has happened.
#[test]
fn a_leader_that_was_moved_leads() {
    in_virtual_time(14, async |cluster, _| {
        run(cluster, 1, "CREATE TABLE t (k INT8 PRIMARY KEY)").await;
        let range = range_of(cluster, "t").await.trim_start_matches('r').to_owned();
        for node in voters(cluster, "t").await.into_iter().rev() {
            let text = format!("ALTER RANGE {range} TRANSFER LEADER TO NODE {node}");
            run(cluster, 9, &text).await;
            assert_eq!(leader_of(cluster, node, "t").await, node);
        }
    });
}

/// A node that leaves in good order hands over what it leads, so that nobody waits for its leases; one
/// that just dies is waited for.
#[test]
fn a_node_that_leaves_hands_its_ranges_over() {
    in_virtual_time(16, async |cluster, _| {
        for table in ["t", "u"] {
            run(cluster, 1, &format!("CREATE TABLE {table} (k INT8 PRIMARY KEY)")).await;
            run(cluster, 1, &format!("INSERT INTO {table} VALUES (0)")).await;
        }
        for (round, leaves) in [(1, true), (2, false)] {
            let leader = leader_of(cluster, 1, "t").await;
            if leaves {
                let node = cluster.node(NodeId(leader)).expect("it runs");
                assert!(node.hand_over(Duration::from_secs(2)).await);
            }
            cluster.crash(NodeId(leader)).await;
            let asked = (1..=9).find(|node| *node != leader).expect("there are nine");
            let begun = timer::Instant::now();
            for table in ["t", "u"] {
                run(cluster, asked, &format!("INSERT INTO {table} VALUES ({round})")).await;
            }
            let took = begun.elapsed();
            assert_eq!(took < Duration::from_secs(1), leaves, "{took:?}, leaves: {leaves}");
            cluster.start_node(NodeId(leader)).await.expect("it starts");
            timer::sleep(Duration::from_secs(15)).await;
        }
    });
}

/// The heir is the nearest voter that answers: not one that just died.
#[test]
fn a_node_that_leaves_finds_an_heir_that_lives() {
    in_virtual_time(17, async |cluster, _| {
        run(cluster, 1, "CREATE TABLE t (k INT8 PRIMARY KEY)").await;
        run(cluster, 1, "INSERT INTO t VALUES (0)").await;
        let region = |node: u32| (node - 1) / 3;
        let leader = leader_of(cluster, 1, "t").await;
        assert_eq!(region(leader), 0);
        for next_door in 4..=6 {
            cluster.crash(NodeId(next_door)).await;
        }
        let node = cluster.node(NodeId(leader)).expect("it runs");
        assert!(node.hand_over(Duration::from_secs(2)).await);
        assert_eq!(region(leader_of(cluster, 1, "t").await), 2);
    });
}

/// Bounded staleness: served next door as long as that is fresh enough, also by a region that is
/// cut off; never older than asked for.
#[test]
fn a_bounded_read_is_served_nearby_and_never_too_old() {
    in_virtual_time(15, async |cluster, _| {
        run(cluster, 1, "CREATE TABLE t (k INT8 PRIMARY KEY)").await;
        run(cluster, 1, "INSERT INTO t VALUES (1)").await;
        let far = voters(cluster, "t").await.into_iter().find(|node| *node >= 7);
        let far = far.expect("a replica in europe-west");
        timer::sleep(Duration::from_secs(20)).await;
        let read = async |bound: &str| {
            let node = cluster.node(NodeId(far)).expect("it runs");
            let mut session = node.database().session(sql::SessionOptions::default())?;
            let (begun, asked) = (timer::Instant::now(), cluster.clock(NodeId(far)).true_nanos());
            let text = format!("SELECT k FROM t AS OF SYSTEM TIME {bound}");
            let ran = session.simple(&text, &mut |_| {}).await;
            let (took, at) = (begun.elapsed(), session.timestamps().1);
            session.close().await;
            ran.map(|()| (took, asked.saturating_sub(at.expect("it read").wall)))
        };
        // The first one finds the table and its ranges.
        read("with_max_staleness('10s')").await.expect("nearby");
        let (took, age) = read("with_max_staleness('10s')").await.expect("nearby");
        assert!(took <= Duration::from_millis(2), "{took:?}");
        assert!(age <= 10_000_000_000, "{age} ns old");
        let (took, age) = read("with_max_staleness('1ms')").await.expect("from the leader");
        assert!(took >= Duration::from_millis(20), "{took:?} for what nobody nearby knows");
        // By the gateway's clock, which is off by up to ε.
        assert!(age <= 1_000_000 + 8_000_000, "{age} ns old");
        for (here, there) in (7..=9).flat_map(|here| (1..=6).map(move |there| (here, there))) {
            cluster.wan().cut(NodeId(here), NodeId(there));
            cluster.wan().cut(NodeId(there), NodeId(here));
        }
        // For longer than its catalog is good for, a gateway that is cut off plans nothing.
        timer::sleep(Duration::from_secs(1)).await;
        let (took, age) = read("with_max_staleness('10s')").await.expect("nearby, cut off");
        assert!(took <= Duration::from_millis(2), "{took:?}");
        assert!((900_000_000..=10_000_000_000).contains(&age), "{age} ns old");
        let begun = attempt(cluster, far, "BEGIN AS OF SYSTEM TIME with_max_staleness('1s')").await;
        assert_eq!(begun.expect_err("of one SELECT only").sqlstate.code(), "0A000");
        let error = read("with_max_staleness()").await.expect_err("no bound");
        assert_eq!(error.sqlstate.code(), "22023");
    });
}

/// Frames that a node has put onto its links.
fn frames_sent(cluster: &Cluster, node: NodeId) -> u64 {
    let others = cluster.layout().iter().map(|spec| spec.id).filter(|other| *other != node);
    others.map(|other| cluster.wan().stats(node, other).sent).sum()
}

/// Nothing of a frozen node goes on: it does not even say that it lives.
#[test]
fn a_frozen_node_stands_still_as_a_whole() {
    in_virtual_time(11, async |cluster, _| {
        run(cluster, 1, "CREATE TABLE t (k INT8 PRIMARY KEY)").await;
        timer::sleep(Duration::from_secs(1)).await;
        for node in 1..=9 {
            let (node, while_frozen) = (NodeId(node), Duration::from_secs(2));
            let freezer = cluster.freezer(node).clone();
            freezer.freeze();
            let before = frames_sent(cluster, node);
            timer::sleep(while_frozen).await;
            assert_eq!(frames_sent(cluster, node), before, "{node} sent something while frozen");
            freezer.thaw();
            timer::sleep(2 * while_frozen).await;
            assert!(frames_sent(cluster, node) > before, "{node} does not go on");
        }
    });
}

/// A node that stopped leaves nothing behind that still knows its clock.
#[test]
fn a_stopped_node_is_gone() {
    in_virtual_time(12, async |cluster, _| {
        let node = NodeId(5);
        run(cluster, 5, "CREATE TABLE t (k INT8 PRIMARY KEY)").await;
        let held = Arc::strong_count(cluster.clock(node));
        for _ in 0..3 {
            cluster.crash(node).await;
            timer::sleep(Duration::from_secs(1)).await;
            assert_eq!(Arc::strong_count(cluster.clock(node)), 1, "something is left");
            cluster.start_node(node).await.expect("it starts");
            timer::sleep(Duration::from_secs(1)).await;
        }
        assert!(Arc::strong_count(cluster.clock(node)) <= held + 1, "lives pile up");
    });
}

/// A range without a quorum fails statements within their time; others work.
#[test]
fn a_range_without_a_quorum_fails_in_time_and_others_work() {
    in_virtual_time(6, async |cluster, _| {
        // Placement takes the nodes of a region in turn, so the tables share no node.
        for table in ["first", "kept", "lost"] {
            run(cluster, 1, &format!("CREATE TABLE {table} (k INT8 PRIMARY KEY)")).await;
        }
        let (kept, lost) = (voters(cluster, "kept").await, voters(cluster, "lost").await);
        assert!(lost.iter().all(|node| !kept.contains(node)), "{kept:?} and {lost:?} share nodes");
        let asked = kept[0];
        for node in &lost[1..] {
            cluster.crash(NodeId(*node)).await;
        }
        timer::sleep(Duration::from_secs(5)).await;
        let range = range_of(cluster, "lost").await;
        for statement in ["SELECT * FROM lost", "UPDATE lost SET k = 2", "DELETE FROM lost"] {
            let begun = timer::Instant::now();
            let limited = format!("SET statement_timeout = '6s'; {statement}");
            let error = attempt(cluster, asked, &limited).await.expect_err("no quorum");
            let took = begun.elapsed();
            assert!(took <= Duration::from_secs(7), "{statement}: {took:?}");
            assert_eq!(error.sqlstate.code(), "57M01", "{error:?}");
            let named = lost.iter().map(|node| format!("n{node}")).chain([range.clone()]);
            for part in named {
                assert!(error.message.contains(&part), "{part} is not named: {}", error.message);
            }
        }
        run(cluster, asked, "INSERT INTO kept VALUES (1)").await;
    });
}

/// A commit whose range loses its quorum on the way ends within a second of its deadline, and says
/// so if nobody can tell its outcome.
#[test]
fn a_commit_without_a_quorum_ends_within_a_second_of_its_deadline() {
    in_virtual_time(9, async |cluster, _| {
        for table in ["first", "kept", "lost"] {
            run(cluster, 1, &format!("CREATE TABLE {table} (k INT8 PRIMARY KEY)")).await;
        }
        let (kept, lost) = (voters(cluster, "kept").await, voters(cluster, "lost").await);
        let range = range_of(cluster, "lost").await;
        let node = cluster.node(NodeId(kept[0])).expect("it runs");
        let mut session = node.database().session(sql::SessionOptions::default()).expect("room");
        let begin = "SET statement_timeout = '6s'; BEGIN; INSERT INTO lost VALUES (1)";
        session.simple(begin, &mut |_| {}).await.expect("the range is whole");
        for node in &lost[1..] {
            cluster.crash(NodeId(*node)).await;
        }
        let begun = timer::Instant::now();
        let error = session.simple("COMMIT", &mut |_| {}).await.expect_err("no quorum");
        let took = begun.elapsed();
        assert!(took <= Duration::from_secs(7), "{took:?}");
        assert_eq!(error.sqlstate.code(), "40003", "{error:?}");
        assert!(error.message.contains(&range), "{error:?}");
        session.close().await;
    });
}

/// `SHOW LOCKS` shows what can be asked, and names what cannot.
#[test]
fn locks_are_shown_as_far_as_ranges_answer() {
    in_virtual_time(10, async |cluster, _| {
        for table in ["first", "kept", "lost"] {
            run(cluster, 1, &format!("CREATE TABLE {table} (k INT8 PRIMARY KEY)")).await;
        }
        let (kept, lost) = (voters(cluster, "kept").await, voters(cluster, "lost").await);
        let range = range_of(cluster, "lost").await;
        for node in &lost[1..] {
            cluster.crash(NodeId(*node)).await;
        }
        // Until its lease is over, a leader without a quorum still knows its locks.
        timer::sleep(Duration::from_secs(5)).await;
        let node = cluster.node(NodeId(kept[0])).expect("it runs");
        run(cluster, kept[0], "INSERT INTO kept VALUES (1)").await;
        let mut holder = node.database().session(sql::SessionOptions::default()).expect("room");
        let lock = "BEGIN; SELECT * FROM kept WHERE k = 1 FOR UPDATE";
        holder.simple(lock, &mut |_| {}).await.expect("the range is whole");
        let mut session = node.database().session(sql::SessionOptions::default()).expect("room");
        let mut shown = Vec::new();
        session
            .simple("SHOW LOCKS", &mut |table| shown.push(format!("{table:?}")))
            .await
            .expect("it answers");
        assert!(shown.concat().contains("kept"), "{shown:?}");
        let notices = format!("{:?}", session.take_notices());
        assert!(notices.contains(&range), "{notices}");
        session.close().await;
        holder.close().await;
    });
}

/// A table's first range, by its name.
async fn range_of(cluster: &Cluster, table: &str) -> String {
    let node = cluster.node(NodeId(1)).expect("it runs");
    let mut session = node.database().session(sql::SessionOptions::default()).expect("room");
    let mut id = None;
    let show = format!("SHOW RANGES FROM TABLE {table}");
    let mut see = |execution| {
        if let sql::Execution::Rows { rows, .. } = execution {
            id = rows.first().and_then(|row| row[0].as_int());
        }
    };
    session.simple(&show, &mut see).await.expect("the directory answers");
    session.close().await;
    format!("r{}", id.expect("a table has a range"))
}

/// The nodes that hold a table's first range.
async fn voters(cluster: &Cluster, table: &str) -> Vec<u32> {
    let rows = run(cluster, 1, &format!("SHOW RANGES FROM TABLE {table}")).await.concat();
    let parts = rows.split(['"', ',']).filter_map(|part| part.trim().split_once(" ("));
    let replicas =
        parts.filter(|(_, region)| region.starts_with("us-") || region.starts_with("eu"));
    let nodes: Vec<u32> = replicas.filter_map(|(node, _)| node.parse().ok()).collect();
    assert_eq!(nodes.len(), 3, "{rows}");
    nodes
}
