//! Statements that change more rows than a range holds locks of all others: they are bounded by
//! what a log entry holds (`54000`), not by a full table of locks (`53300`). The limit of locks is
//! small here.

use std::sync::{Arc, Mutex};

use keys::NodeId;
use net::{ClusterId, Pace};
use node::disk::{Disk, VirtualDisk};
use range::CommitWait;
use sim_regions::{Cluster, ClusterOptions, Topology, time};
use sql::{Datum, Execution, SessionOptions, SqlError};
use storage::{Engine, memory};

/// Locks that a range holds before it turns away.
const LOCKS: usize = 50;

/// Rows that statements change.
const ROWS: usize = 400;

async fn cluster() -> Cluster {
    let options = ClusterOptions {
        topology: Topology::load("one-region").expect("shipped"),
        nodes_per_region: Some(3),
        replication: 3,
        cluster: ClusterId(7),
        seed: 3,
        pace: Pace::Virtual,
        time: time::simulated(),
        commit_wait: CommitWait::On,
        control: sql::control::NoControl::shared(),
        engines: Arc::new(move |_| {
            let engine: Arc<dyn Engine> = Arc::new(memory::Disk::default().crash_losing_unsynced());
            let latency = std::time::Duration::from_millis(1);
            let disk: Arc<dyn Disk> =
                Arc::new(VirtualDisk { engine: Arc::clone(&engine), latency });
            Ok((engine, disk))
        }),
        sql_address: Box::new(|_| String::new()),
        trace: None,
        tune: Box::new(|config| config.range.locks.locks = LOCKS),
    };
    let cluster = Cluster::start(options).await.expect("the cluster starts");
    cluster.boot().await.expect("the cluster boots");
    cluster
}

/// The tag of the last statement that changes something.
async fn attempt(cluster: &Cluster, node: u32, sql: &str) -> Result<String, SqlError> {
    let node = cluster.node(NodeId(node)).expect("it runs");
    let mut session = node.database().session(SessionOptions::default()).expect("room");
    let last = Arc::new(Mutex::new(String::new()));
    let sink = last.clone();
    let outcome = session
        .simple(sql, &mut move |execution: Execution| {
            if let Execution::Rows { rows, tag, .. } = &execution
                && tag == "CHECK TABLE"
            {
                assert!(rows.iter().all(|row| row[3] == Datum::Null), "{rows:?}");
            }
            if execution.tag() != "COMMIT" {
                *sink.lock().expect("nobody panicked") = execution.tag().to_owned();
            }
        })
        .await;
    session.close().await;
    outcome.map(|()| last.lock().expect("nobody panicked").clone())
}

async fn run(cluster: &Cluster, node: u32, sql: &str) -> String {
    attempt(cluster, node, sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
}

#[test]
fn a_statement_may_change_more_rows_than_a_range_holds_locks() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let cluster = cluster().await;
        run(&cluster, 1, "CREATE TABLE t (k INT8 PRIMARY KEY, u INT8 UNIQUE, v INT8)").await;
        for (level, split) in [
            ("SERIALIZABLE", None),
            ("READ COMMITTED", None),
            ("SERIALIZABLE", Some("ALTER TABLE t SPLIT AT VALUES (150), (300)")),
            ("READ COMMITTED", Some("ALTER TABLE t SPLIT AT VALUES (200)")),
        ] {
            if let Some(split) = split {
                run(&cluster, 1, split).await;
            }
            for (change, tag) in [
                (
                    format!("INSERT INTO t SELECT n, n, 0 FROM generate_series(1, {ROWS}) s(n)"),
                    "INSERT 0",
                ),
                ("UPDATE t SET v = v + 1, u = -u".to_owned(), "UPDATE"),
                ("DELETE FROM t WHERE v = 1".to_owned(), "DELETE"),
            ] {
                let block = format!("BEGIN ISOLATION LEVEL {level}; {change}; COMMIT");
                assert_eq!(run(&cluster, 2, &block).await, format!("{tag} {ROWS}"), "{block}");
            }
            assert_eq!(run(&cluster, 3, "SELECT * FROM t").await, "SELECT 0");
        }
        run(&cluster, 3, "CHECK ALL TABLES").await;
        cluster.stop().await;
    });
}
