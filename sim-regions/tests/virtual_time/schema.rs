//! Schema changes while nodes are down, stand still, or come back: how long they take, and that nobody
//! commits by a schema that is two versions behind.

use std::time::Duration;

use keys::NodeId;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use sim_regions::Cluster;
use timer::{Instant, sleep};
use tokio::task::JoinHandle;

use super::{attempt, in_virtual_time, run};

/// How long a gateway may use what it read of the catalog.
fn lease() -> Duration {
    sql::Config::default().schema_lease
}

/// A table whose catalog all gateways use.
async fn used_everywhere(cluster: &Cluster) {
    run(cluster, 1, "CREATE TABLE t (k INT8 PRIMARY KEY, v INT8)").await;
    for node in 1..=9 {
        run(cluster, node, &format!("INSERT INTO t VALUES ({node}, {node})")).await;
    }
}

/// What is wrong with any index of any table.
async fn problems(cluster: &Cluster) -> Vec<String> {
    let node = cluster.node(NodeId(1)).expect("it runs");
    let mut session = node.database().session(sql::SessionOptions::default()).expect("room");
    let mut found = Vec::new();
    let mut take = |answer| told(answer, &mut found);
    session.simple("CHECK ALL TABLES", &mut take).await.expect("it answers");
    session.close().await;
    found
}

/// The problems that an answer to CHECK tells of.
fn told(answer: sql::Execution, problems: &mut Vec<String>) {
    let sql::Execution::Rows { rows, .. } = answer else { panic!("CHECK has rows") };
    let wrong = rows.into_iter().filter(|row| row[3] != sql::Datum::Null);
    problems.extend(wrong.map(|row| format!("{row:?}")));
}

/// One after the other, each after a statement that keeps the gateway's own catalog in use.
async fn timed(cluster: &Cluster, changes: &[&str]) -> Vec<Duration> {
    let mut took = Vec::new();
    for change in changes {
        run(cluster, 1, "UPDATE t SET v = v + 1 WHERE k = 1").await;
        let begun = Instant::now();
        run(cluster, 1, change).await;
        took.push(begun.elapsed());
    }
    took
}

const CHANGES: [&str; 6] = [
    "CREATE INDEX by_v ON t (v)",
    "ALTER TABLE t ADD COLUMN w INT8",
    "CREATE TABLE other (k INT8 PRIMARY KEY)",
    "ALTER TABLE t DROP COLUMN w",
    "DROP INDEX by_v",
    "DROP TABLE other",
];

#[test]
fn schema_changes_take_as_long_as_ever_while_a_node_is_down() {
    let took = |down: &'static [u32]| {
        in_virtual_time(41, async move |cluster, _| {
            used_everywhere(cluster).await;
            for node in down {
                cluster.crash(NodeId(*node)).await;
            }
            // For longer than its lease, and until its ranges have other leaders.
            sleep(Duration::from_secs(15)).await;
            timed(cluster, &CHANGES).await
        })
    };
    let (usual, one_down, region_down) = (took(&[]), took(&[9]), took(&[7, 8, 9]));
    println!("{usual:?}\n{one_down:?}\n{region_down:?}");
    for (i, change) in CHANGES.iter().enumerate() {
        let most = usual[i] + Duration::from_millis(300);
        assert!(one_down[i] < most, "{change}: {:?}, not {:?}", one_down[i], usual[i]);
        assert!(region_down[i] < most, "{change}: {:?}, not {:?}", region_down[i], usual[i]);
    }
}

/// One that has just crashed may be about to commit: what is left of its lease is waited out, once.
#[test]
fn a_node_that_just_crashed_costs_what_is_left_of_its_lease_once() {
    in_virtual_time(42, async |cluster, _| {
        used_everywhere(cluster).await;
        sleep(Duration::from_secs(10)).await;
        run(cluster, 9, "UPDATE t SET v = 0 WHERE k = 9").await;
        cluster.crash(NodeId(9)).await;
        let took = timed(cluster, &CHANGES[..2]).await;
        println!("{took:?}");
        let most = lease() + Duration::from_millis(2_500);
        assert!(took[0] > lease() / 2 && took[0] < most, "{took:?}");
        assert!(took[1] < Duration::from_millis(1_500), "{took:?}");
    });
}

/// One that was asked to stop is not waited for, although it used the catalog just now.
#[test]
fn a_node_that_left_costs_nothing() {
    in_virtual_time(43, async |cluster, _| {
        used_everywhere(cluster).await;
        sleep(Duration::from_secs(10)).await;
        run(cluster, 9, "UPDATE t SET v = 0 WHERE k = 9").await;
        let leaving = cluster.node(NodeId(9)).expect("it runs");
        assert!(leaving.hand_over(Duration::from_secs(10)).await);
        cluster.crash(NodeId(9)).await;
        let took = timed(cluster, &CHANGES[..2]).await;
        println!("{took:?}");
        assert!(took.iter().all(|took| *took < Duration::from_secs(2)), "{took:?}");
    });
}

/// What a node sent before it crashed may arrive after it is back: it confirms no schema before its
/// former life's lease is over.
#[test]
fn a_node_that_came_back_answers_for_its_former_life() {
    in_virtual_time(44, async |cluster, _| {
        used_everywhere(cluster).await;
        sleep(Duration::from_secs(10)).await;
        run(cluster, 9, "UPDATE t SET v = 0 WHERE k = 9").await;
        let until = Instant::now() + lease() - Duration::from_millis(500);
        cluster.crash(NodeId(9)).await;
        cluster.start_node(NodeId(9)).await.expect("it starts");
        run(cluster, 9, "UPDATE t SET v = 1 WHERE k = 9").await;
        assert!(Instant::now() < until, "it came back too late for the test");
        run(cluster, 1, "CREATE INDEX by_v ON t (v)").await;
        assert!(Instant::now() > until, "nobody waited for its former life");
    });
}

/// A gateway that used a table stands still in the middle of a transaction, and goes on when the table
/// has an index: by the catalog that it knows it would write no entry.
#[test]
fn a_gateway_that_stood_still_commits_nothing_by_a_schema_of_long_ago() {
    in_virtual_time(45, async |cluster, _| {
        used_everywhere(cluster).await;
        sleep(Duration::from_secs(10)).await;
        let database = cluster.node(NodeId(9)).expect("it runs").database().clone();
        let freezer = cluster.freezer(NodeId(9)).clone();
        let (paused, go_on) = tokio::sync::oneshot::channel();
        let client = tokio::spawn(freezer.wrap(async move {
            let mut session = database.session(sql::SessionOptions::default()).expect("room");
            let mut ignore = |_| {};
            session.simple("BEGIN; INSERT INTO t VALUES (99, 99)", &mut ignore).await.expect("ok");
            paused.send(()).expect("it is waited for");
            sleep(Duration::from_millis(1)).await;
            let committed = session.simple("COMMIT", &mut ignore).await;
            session.close().await;
            committed
        }));
        go_on.await.expect("it comes so far");
        freezer.freeze();
        run(cluster, 1, "CREATE INDEX by_v ON t (v)").await;
        freezer.thaw();
        let committed = client.await.expect("no panic");
        assert_eq!(problems(cluster).await, [""; 0], "{committed:?}");
        assert_eq!(committed.expect_err("its lease is over").sqlstate.code(), "40001");
        attempt(cluster, 9, "INSERT INTO t VALUES (99, 99)").await.expect("with the new schema");
    });
}

/// Changes rows at a node for as long as it lives, alone and in blocks that take their time.
fn writer(cluster: &Cluster, node: u32) -> JoinHandle<()> {
    let database = cluster.node(NodeId(node)).expect("it runs").database().clone();
    let work = async move {
        let mut session = database.session(sql::SessionOptions::default()).expect("room");
        for n in 0.. {
            let key = (n * 7 + node) % 40;
            let sql = match n % 4 {
                0 => format!("BEGIN; UPDATE t SET v = v + 1 WHERE k = {key}"),
                1 => "COMMIT".to_owned(),
                2 => format!("DELETE FROM t WHERE k = {key}"),
                _ => format!("INSERT INTO t VALUES ({key}, {n}) ON CONFLICT DO NOTHING"),
            };
            // Conflicts, and ranges that have no leader for a while, are part of it.
            let _ = session.simple(&sql, &mut |_| {}).await;
            sleep(Duration::from_millis(u64::from(n * 37 % 200))).await;
        }
    };
    tokio::spawn(cluster.freezer(NodeId(node)).wrap(work))
}

/// Has an index come and go, at a node that nothing happens to. While it is there whoever stood still
/// goes on; then it must agree with its table. Answers how often it was looked at, and what was wrong.
fn changer(cluster: &Cluster) -> JoinHandle<(u32, Vec<String>)> {
    let database = cluster.node(NodeId(1)).expect("it runs").database().clone();
    tokio::spawn(async move {
        let mut session = database.session(sql::SessionOptions::default()).expect("room");
        let (mut looks, mut wrong) = (0, Vec::new());
        let until = Instant::now() + Duration::from_secs(120);
        while Instant::now() < until {
            // One that failed half-way left an index that nobody reads; it is dropped.
            let made = session.simple("CREATE INDEX by_v ON t (v)", &mut |_| {}).await;
            sleep(lease() + Duration::from_secs(2)).await;
            if made.is_ok() {
                let mut take = |answer| told(answer, &mut wrong);
                looks += u32::from(session.simple("CHECK TABLE t", &mut take).await.is_ok());
            }
            let _ = session.simple("DROP INDEX by_v", &mut |_| {}).await;
        }
        (looks, wrong)
    })
}

/// An index comes and goes while all nodes write, and while they crash, come back and stand still: when
/// it is there, it agrees with its table.
#[test]
fn an_index_made_under_faults_agrees_with_its_table() {
    for seed in [51, 52, 53] {
        in_virtual_time(seed, async |cluster, _| {
            used_everywhere(cluster).await;
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut writers: Vec<_> = (1..=9).map(|node| writer(cluster, node)).collect();
            let changes = changer(cluster);
            while !changes.is_finished() {
                let node = rng.random_range(2..=9_u32);
                let (id, lasting) =
                    (NodeId(node), Duration::from_millis(rng.random_range(0..7_000)));
                if rng.random_bool(0.5) {
                    cluster.freezer(id).freeze();
                    sleep(lasting).await;
                    cluster.freezer(id).thaw();
                } else {
                    writers[node as usize - 1].abort();
                    cluster.crash(id).await;
                    sleep(lasting / 4).await;
                    cluster.start_node(id).await.expect("it starts");
                    writers[node as usize - 1] = writer(cluster, node);
                }
                sleep(Duration::from_millis(rng.random_range(0..3_000))).await;
            }
            let (looks, wrong) = changes.await.expect("no panic");
            assert_eq!(wrong, [""; 0], "seed {seed}");
            assert!(looks > 3, "looked {looks} times in two minutes");
            writers.iter().for_each(JoinHandle::abort);
        });
    }
}
