//! What replicas do together, one scenario per test.

use std::time::Duration;

use clock::Timestamp;
use keys::{Key, NodeId, RangeId, Span};
use kv::{KvError, ReadFrom, Reply, Request, Validate};

use storage::{Cf, Reader, Scan, mvcc};

use crate::{BLANK_LOG_TIMES, Input};

use super::cluster::{Cluster, MS, World, commit, get, meta, put, rows, scan};

fn commit_one(cluster: &mut Cluster, range: RangeId, id: u128, key: &str, value: &str) {
    let start = cluster.latest(NodeId(1));
    let request = commit(meta(id, key, start), vec![], vec![put(key, value)]);
    let answer = cluster.call(range, request);
    assert!(matches!(answer, Ok(Reply::Committed(_))), "{answer:?}");
}

/// Whether node 3 has all that node 1 has.
fn caught_up(cluster: &Cluster, range: RangeId) -> bool {
    let [here, there] = [3, 1].map(|node| cluster.replica(node, range).machine());
    !here.state().blank && here.applied().slot >= there.applied().slot
}

/// Node 3 fell behind the log of a range of some fifty rows, whose snapshot has as many chunks.
fn with_a_replica_behind(seed: u64) -> (Cluster, RangeId) {
    let mut world = World::default();
    world.config.paxos.log_keep_slots = 8;
    world.config.snapshot_chunk_bytes = 60;
    let mut cluster = Cluster::new(seed, world);
    let range = cluster.create(2, "a", "z", 1);
    commit_one(&mut cluster, range, 0, "k", "v");
    cluster.run_for(Duration::from_millis(500));
    cluster.isolate(3);
    for i in 1..100 {
        commit_one(&mut cluster, range, i, &format!("k{}", i % 50), &format!("v{i}"));
    }
    cluster.cut.clear();
    (cluster, range)
}

fn read_one(cluster: &mut Cluster, range: RangeId, key: &str) -> String {
    let at = cluster.latest(NodeId(2));
    rows(&cluster.call(range, get(key, at, ReadFrom::Leader)))
}

#[test]
fn a_commit_is_read_at_once_and_everywhere_soon() {
    let mut cluster = Cluster::new(1, World::default());
    let range = cluster.create(2, "a", "z", 1);
    commit_one(&mut cluster, range, 1, "k", "v");
    assert_eq!(read_one(&mut cluster, range, "k"), "k=v");
    let at = cluster.true_time();
    for node in 1..=3 {
        let request = get("k", at, ReadFrom::AnyReplica);
        let token = cluster.request(NodeId(node), range, request, Duration::from_secs(2));
        assert_eq!(rows(&cluster.wait(token)), "k=v", "at node {node}");
    }
}

#[test]
fn commit_wait_hides_behind_the_log() {
    for (epsilon, delay) in [(0, MS), (4 * MS, 20 * MS), (20 * MS, MS)] {
        let world = World { epsilon, delay: (delay, delay), ..World::default() };
        let mut cluster = Cluster::new(2, world);
        let range = cluster.create(2, "a", "z", 1);
        commit_one(&mut cluster, range, 1, "k", "v");
        let before = cluster.time;
        let start = cluster.latest(NodeId(1));
        let request = commit(meta(2, "k", start), vec![], vec![put("k", "w")]);
        let Ok(Reply::Committed(done)) = cluster.call(range, request) else { panic!("refused") };
        let took = cluster.time - before;
        let least = (2 * epsilon).max(2 * delay);
        assert!((least..least + MS).contains(&took), "{took} for ε {epsilon}, delay {delay}");
        assert!(cluster.true_time() > done.at, "T4: {done:?}");
        let stats = done.stats;
        assert!(stats.paxos_nanos >= 2 * delay && stats.paxos_nanos < 2 * delay + MS, "{stats:?}");
        assert!(stats.commit_wait_hidden_nanos <= stats.commit_wait_nanos, "{stats:?}");
    }
}

#[test]
fn a_crashed_leader_is_replaced_and_nothing_acknowledged_is_lost() {
    let mut cluster = Cluster::new(3, World::default());
    let range = cluster.create(2, "a", "z", 1);
    for i in 0..20 {
        commit_one(&mut cluster, range, i, &format!("k{i}"), "v");
    }
    cluster.crash(1);
    cluster.run_until("another leader", |c| c.leader(range).is_some());
    assert_ne!(cluster.leader(range), Some(NodeId(1)));
    commit_one(&mut cluster, range, 100, "k", "new");
    let at = cluster.latest(NodeId(2));
    let all = rows(&cluster.call(range, scan(Span::new("a", "z"), at, ReadFrom::Leader)));
    assert_eq!(all.split(' ').count(), 21, "{all}");
    cluster.restart(1);
    let now = cluster.true_time();
    let token = cluster.request(
        NodeId(1),
        range,
        get("k", now, ReadFrom::AnyReplica),
        Duration::from_secs(10),
    );
    assert_eq!(rows(&cluster.wait(token)), "k=new");
}

#[test]
fn all_nodes_crash_at_once_and_nothing_acknowledged_is_lost() {
    let mut cluster = Cluster::new(4, World::default());
    let range = cluster.create(2, "a", "z", 1);
    for i in 0..20 {
        commit_one(&mut cluster, range, i, &format!("k{i}"), "v");
    }
    for node in 1..=3 {
        cluster.crash(node);
    }
    for node in 1..=3 {
        cluster.restart(node);
    }
    let at = cluster.latest(NodeId(2));
    let all = rows(&cluster.call(range, scan(Span::new("a", "z"), at, ReadFrom::Leader)));
    assert_eq!(all.split(' ').count(), 20, "{all}");
}

#[test]
fn leadership_is_handed_over_in_a_round_trip() {
    let mut cluster = Cluster::new(5, World::default());
    let range = cluster.create(2, "a", "z", 1);
    commit_one(&mut cluster, range, 1, "k", "v");
    let before = cluster.time;
    let request = Request::TransferLeader { to: NodeId(3) };
    assert!(matches!(cluster.call(range, request), Ok(Reply::Done)));
    cluster.run_until("node 3 leads", |c| c.leader(range) == Some(NodeId(3)));
    assert!(cluster.time - before < 10 * MS, "{}", cluster.time - before);
    commit_one(&mut cluster, range, 2, "k", "w");
    assert_eq!(read_one(&mut cluster, range, "k"), "k=w");
}

#[test]
fn a_split_gives_birth_to_a_child_that_is_led_at_once() {
    let mut cluster = Cluster::new(6, World::default());
    let range = cluster.create(2, "a", "z", 1);
    commit_one(&mut cluster, range, 1, "b", "left");
    commit_one(&mut cluster, range, 2, "p", "right");
    let split = Request::Split { at: Key::from("m"), child: RangeId(9) };
    let Ok(Reply::Split { left, right }) = cluster.call(range, split.clone()) else {
        panic!("refused")
    };
    assert_eq!(left.span, Span::new("a", "m"));
    assert_eq!((right.id, &right.span), (RangeId(9), &Span::new("m", "z")));
    let again = cluster.call(range, split);
    assert!(matches!(again, Ok(Reply::Split { .. })), "a repeated split: {again:?}");
    assert_eq!(cluster.leader(RangeId(9)), Some(NodeId(1)));
    let at = cluster.latest(NodeId(1));
    let wrong = cluster.call(range, get("p", at, ReadFrom::Leader));
    assert!(matches!(&wrong, Err(KvError::WrongRange { known, .. }) if known.contains(&right)));
    assert_eq!(read_one(&mut cluster, RangeId(9), "p"), "p=right");
    commit_one(&mut cluster, RangeId(9), 3, "p", "new");
    commit_one(&mut cluster, range, 4, "b", "new");
    cluster.crash(1);
    cluster.run_until("both led again", |c| {
        c.leader(range).is_some() && c.leader(RangeId(9)).is_some()
    });
    assert_eq!(read_one(&mut cluster, RangeId(9), "p"), "p=new");
    assert_eq!(read_one(&mut cluster, range, "b"), "b=new");
}

#[test]
fn a_leader_whose_split_waits_for_a_quorum_sleeps() {
    let mut world = World::default();
    world.config.transaction_life = Duration::from_millis(200);
    let mut cluster = Cluster::new(9, world);
    let range = cluster.create(2, "a", "z", 1);
    commit_one(&mut cluster, range, 1, "b", "v");
    cluster.isolate(1);
    let split = Request::Split { at: Key::from("m"), child: RangeId(9) };
    cluster.request(NodeId(1), range, split, Duration::from_secs(10));
    // Records to delete fall due meanwhile; the cluster asserts that nobody is woken in vain.
    cluster.run_for(Duration::from_secs(2));
    cluster.cut.clear();
    cluster.run_until("the child lives", |c| c.leader(RangeId(9)).is_some());
}

#[test]
fn a_replica_that_fell_behind_gets_a_snapshot() {
    let (mut cluster, range) = with_a_replica_behind(7);
    cluster.run_until("node 3 catches up", |c| caught_up(c, range));
    let installed = cluster.events.iter().any(|(node, _, event)| {
        *node == NodeId(3) && matches!(event, crate::Event::SnapshotInstalled { .. })
    });
    assert!(installed, "{:?}", cluster.events);
    same_on_all(&mut cluster, range);
}

#[test]
fn a_crash_while_a_snapshot_is_moved_in_is_gone_on_from() {
    let (mut cluster, range) = with_a_replica_behind(22);
    let moves = |c: &Cluster| c.replica(3, range).machine().state().blank;
    cluster.run_until("node 3 moves a snapshot in", moves);
    for _ in 0..3 {
        cluster.run_for(Duration::from_millis(8));
        assert!(cluster.replica(3, range).machine().state().blank, "moved in at once");
        cluster.crash(3);
        cluster.restart(3);
    }
    cluster.run_until("node 3 catches up", |c| caught_up(c, range));
    same_on_all(&mut cluster, range);
    let sent = |event: &crate::Event| matches!(event, crate::Event::SnapshotSent { .. });
    let sent = cluster.events.iter().filter(|(_, _, event)| sent(event)).count();
    assert_eq!(sent, 1, "what was staged is of use after a crash");
}

#[test]
fn a_crash_before_a_snapshot_is_here_leaves_the_old_data() {
    let (mut cluster, range) = with_a_replica_behind(23);
    let is_staged = |c: &Cluster| mvcc::is_staged(c.engine(3), range).expect("readable");
    cluster.run_until("a chunk is staged", is_staged);
    assert!(!cluster.replica(3, range).machine().state().blank, "all of it at once");
    let old = mvcc::get(cluster.engine(3), &Key::from("k"), Timestamp::MAX).expect("readable");
    assert!(old.is_some_and(|version| version.value.is_some()), "the old data are lost");
    cluster.crash(3);
    cluster.restart(3);
    assert!(!is_staged(&cluster), "nobody goes on with it");
    assert!(!cluster.replica(3, range).machine().state().blank, "nothing was installed");
    cluster.run_until("node 3 catches up", |c| caught_up(c, range));
    same_on_all(&mut cluster, range);
}

/// The log behind a snapshot is truncated many times while it travels.
#[test]
fn a_snapshot_is_sent_once_however_much_is_written_meanwhile() {
    let (mut cluster, range) = with_a_replica_behind(24);
    let mut id = 1_000;
    while !caught_up(&cluster, range) {
        id += 1;
        assert!(id < 3_000, "node 3 never catches up: {}", cluster.overview());
        commit_one(&mut cluster, range, id, &format!("w{}", id % 7), &format!("v{id}"));
    }
    assert!(id > 1_030, "the snapshot was too fast: {id}");
    let sent = |event: &crate::Event| matches!(event, crate::Event::SnapshotSent { .. });
    let sent = cluster.events.iter().filter(|(_, _, event)| sent(event)).count();
    assert_eq!(sent, 1, "the log since the snapshot was on disk");
    cluster.run_for(Duration::from_secs(100));
    same_on_all(&mut cluster, range);
    let slots = slots_on_disk(&cluster, 1);
    assert!(slots <= 16, "{slots} slots are kept for nobody");
}

/// Whoever leads no more sends nobody a log.
#[test]
fn a_log_kept_for_a_snapshot_goes_with_the_leadership() {
    let (mut cluster, range) = with_a_replica_behind(26);
    let is_staged = |c: &Cluster| mvcc::is_staged(c.engine(3), range).expect("readable");
    cluster.run_until("a chunk is staged", is_staged);
    let mut id = 1_000;
    while slots_on_disk(&cluster, 1) <= 24 {
        id += 1;
        assert!(id < 1_100, "the log behind the snapshot is not kept");
        commit_one(&mut cluster, range, id, "w", &format!("v{id}"));
    }
    let request = Request::TransferLeader { to: NodeId(2) };
    assert!(matches!(cluster.call(range, request), Ok(Reply::Done)));
    cluster.run_until("node 2 leads", |c| c.leader(range) == Some(NodeId(2)));
    cluster.run_for(Duration::from_secs(3));
    let slots = slots_on_disk(&cluster, 1);
    assert!(slots <= 16, "{slots} slots are kept for nobody");
}

/// Entries of all logs on a node's disk.
fn slots_on_disk(cluster: &Cluster, node: u32) -> usize {
    let mut slots = 0;
    let mut count = |_: &[u8], _: &[u8]| {
        slots += 1;
        true
    };
    cluster.engine(node).scan(Scan::new(Cf::Log, &[], &[0xff; 17]), &mut count).expect("readable");
    slots
}

#[test]
fn a_replica_that_missed_a_split_gets_both_halves() {
    let mut world = World::default();
    world.config.paxos.log_keep_slots = 8;
    let mut cluster = Cluster::new(8, world);
    let range = cluster.create(2, "a", "z", 1);
    commit_one(&mut cluster, range, 0, "k", "v");
    cluster.run_for(Duration::from_millis(500));
    cluster.isolate(3);
    commit_one(&mut cluster, range, 1, "p", "before");
    let split = Request::Split { at: Key::from("m"), child: RangeId(9) };
    assert!(matches!(cluster.call(range, split), Ok(Reply::Split { .. })));
    for i in 2..80 {
        commit_one(&mut cluster, range, i, "k", &format!("v{i}"));
        commit_one(&mut cluster, RangeId(9), 100 + i, "q", &format!("v{i}"));
    }
    cluster.cut.clear();
    cluster.run_until("node 3 has both", |c| {
        c.has(3, RangeId(9)) && [range, RangeId(9)].iter().all(|r| caught_up(c, *r))
    });
    same_on_all(&mut cluster, range);
    same_on_all(&mut cluster, RangeId(9));
}

/// Node 3 of the child, range 9, has missed the split and gets no snapshot: its replica is blank.
fn with_a_blank_replica(seed: u64) -> Cluster {
    let mut world = World::default();
    world.config.paxos.log_keep_slots = 8;
    let mut cluster = Cluster::new(seed, world);
    let range = cluster.create(2, "a", "z", 1);
    commit_one(&mut cluster, range, 0, "k", "v");
    cluster.run_for(Duration::from_millis(500));
    cluster.isolate(3);
    cluster.no_snapshots = Some(RangeId(9));
    let split = Request::Split { at: Key::from("m"), child: RangeId(9) };
    assert!(matches!(cluster.call(range, split), Ok(Reply::Split { .. })));
    for i in 1..40 {
        commit_one(&mut cluster, range, i, "k", &format!("v{i}"));
    }
    cluster.cut.clear();
    cluster.run_until("node 3 is told of the child", |c| c.has(3, RangeId(9)));
    assert!(cluster.replica(3, RangeId(9)).machine().state().blank);
    cluster
}

#[test]
fn a_blank_replica_is_never_elected() {
    let mut cluster = with_a_blank_replica(20);
    commit_one(&mut cluster, RangeId(9), 100, "q", "before");
    cluster.run_for(Duration::from_secs(1));
    cluster.crash(1);
    cluster.step(NodeId(3), RangeId(9), Input::Campaign);
    for i in 101..110 {
        commit_one(&mut cluster, RangeId(9), i, "q", &format!("v{i}"));
    }
    let (second, third) = (cluster.replica(2, RangeId(9)), cluster.replica(3, RangeId(9)));
    assert!(second.leads() && third.group().leadership().is_none(), "{}", cluster.overview());
    cluster.restart(1);
    cluster.no_snapshots = None;
    cluster.run_until("node 3 has the data", |c| !c.replica(3, RangeId(9)).machine().state().blank);
    cluster.step(NodeId(3), RangeId(9), Input::Campaign);
    commit_one(&mut cluster, RangeId(9), 200, "q", "after");
    cluster.run_for(Duration::from_secs(1));
    same_on_all(&mut cluster, RangeId(9));
}

#[test]
fn a_blank_replica_holds_no_more_than_its_limit() {
    let mut cluster = with_a_blank_replica(21);
    let limit = 8 * BLANK_LOG_TIMES as u64;
    for i in 100..300 {
        commit_one(&mut cluster, RangeId(9), i, "q", &format!("v{i}"));
    }
    let held = cluster.replica(3, RangeId(9)).group().last_slot().0;
    assert!(held > limit / 2 && held <= limit + 1, "{held} entries are held, not {limit}");
    cluster.no_snapshots = None;
    cluster.run_until("node 3 catches up", |c| caught_up(c, RangeId(9)));
    same_on_all(&mut cluster, RangeId(9));
}

fn same_on_all(cluster: &mut Cluster, range: RangeId) {
    let at = cluster.true_time();
    let sums: Vec<_> = (1..=3)
        .map(|node| {
            let request = Request::Checksum { at };
            let patience = Duration::from_secs(10);
            let token = cluster.request(NodeId(node), range, request, patience);
            match cluster.wait(token) {
                Ok(Reply::Checksum { sum, rows, .. }) => (sum, rows),
                other => panic!("{other:?}"),
            }
        })
        .collect();
    assert!(sums.windows(2).all(|pair| pair[0] == pair[1]), "{sums:?}");
}

/// A follower that has not heard of a split serves a time before it, and sums up the child's rows as well.
/// So sums are compared only if they are of the same keys.
#[test]
fn a_checksum_says_of_which_keys_it_is() {
    let mut cluster = Cluster::new(25, World::default());
    let range = cluster.create(2, "a", "z", 1);
    commit_one(&mut cluster, range, 1, "b", "left");
    commit_one(&mut cluster, range, 2, "p", "right");
    cluster.run_for(Duration::from_secs(2));
    let at = cluster.true_time();
    cluster.run_for(Duration::from_secs(2));
    cluster.isolate(3);
    let split = Request::Split { at: Key::from("m"), child: RangeId(9) };
    assert!(matches!(cluster.call(range, split), Ok(Reply::Split { .. })));
    cluster.run_for(Duration::from_millis(500));
    let told = [1, 2, 3].map(|node| {
        let patience = Duration::from_secs(10);
        let token = cluster.request(NodeId(node), range, Request::Checksum { at }, patience);
        match cluster.wait(token) {
            Ok(Reply::Checksum { rows, span, .. }) => (rows, span),
            other => panic!("{other:?}"),
        }
    });
    let (left, whole) = (Span::new("a", "m"), Span::new("a", "z"));
    assert_eq!(told, [(1, left.clone()), (1, left), (2, whole)]);
}

#[test]
fn validation_refuses_what_changed() {
    let mut cluster = Cluster::new(9, World::default());
    let range = cluster.create(2, "a", "z", 1);
    let start = cluster.latest(NodeId(1));
    commit_one(&mut cluster, range, 1, "k", "v");
    let reads = vec![Validate { span: Span::new("j", "l"), since: start }];
    let request = commit(meta(2, "a", start), reads, vec![put("a", "1")]);
    let answer = cluster.call(range, request.clone());
    assert!(matches!(answer, Err(KvError::Aborted(_))), "{answer:?}");
    let again = cluster.call(range, request);
    assert!(matches!(again, Err(KvError::Aborted(_))), "X8: {again:?}");
}

#[test]
fn a_repeated_commit_gets_the_same_answer() {
    let mut cluster = Cluster::new(10, World::default());
    let range = cluster.create(2, "a", "z", 1);
    let start = cluster.latest(NodeId(1));
    let request = commit(meta(1, "k", start), vec![], vec![put("k", "v")]);
    let Ok(Reply::Committed(first)) = cluster.call(range, request.clone()) else { panic!() };
    cluster.crash(1);
    cluster.run_until("another leader", |c| c.leader(range).is_some());
    let Ok(Reply::Committed(second)) = cluster.call(range, request) else { panic!() };
    assert_eq!(first.at, second.at);
}

#[test]
fn an_idle_range_wakes_rarely() {
    let mut cluster = Cluster::new(11, World::default());
    let range = cluster.create(2, "a", "z", 1);
    commit_one(&mut cluster, range, 1, "k", "v");
    cluster.run_for(Duration::from_secs(5));
    let turns = {
        let until = cluster.time + 10_000 * MS;
        let mut turns = 0;
        while cluster.time < until {
            cluster.turn();
            turns += 1;
        }
        turns
    };
    // Per second: two heartbeats' and closings' worth of messages and wakeups on three nodes.
    assert!(turns < 10 * 25, "{turns} events in ten seconds");
}
