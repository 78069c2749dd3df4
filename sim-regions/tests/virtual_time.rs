//! The nine-node cluster in virtual time: on one thread, from one seed, with the same trace twice.

use std::{sync::Arc, time::Duration};

use keys::NodeId;
use net::{ClusterId, Pace};
use node::disk::{Disk, VirtualDisk};
use range::CommitWait;
use sim_regions::{Cluster, ClusterOptions, Topology, Trace, TraceSum, time};
use storage::{Engine, MemEngine};

/// How long a sync takes on the simulated disks.
const SYNC: Duration = Duration::from_millis(2);

async fn nine_nodes(seed: u64, trace: Trace) -> Cluster {
    let options = ClusterOptions {
        topology: Topology::load("three-regions").expect("shipped"),
        nodes_per_region: Some(3),
        replication: 3,
        cluster: ClusterId(7),
        seed,
        pace: Pace::Virtual,
        time: time::simulated(),
        commit_wait: CommitWait::On,
        engines: Arc::new(|_| {
            let engine: Arc<dyn Engine> = Arc::new(MemEngine::new());
            let disk: Arc<dyn Disk> =
                Arc::new(VirtualDisk { engine: Arc::clone(&engine), latency: SYNC });
            Ok((engine, disk))
        }),
        sql_address: Box::new(|_| String::new()),
        trace: Some(trace),
    };
    let cluster = Cluster::start(options).await.expect("the cluster starts");
    cluster.boot().await.expect("the cluster boots");
    cluster
}

async fn run(cluster: &Cluster, node: u32, sql: &str) -> Vec<String> {
    let node = cluster.node(NodeId(node)).expect("it runs");
    let mut session = node.database().session(sql::SessionOptions::default()).expect("room");
    let mut results = Vec::new();
    let outcome =
        session.simple(sql, &mut |execution| results.push(format!("{execution:?}"))).await;
    session.close().await;
    outcome.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    results
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
        let cluster = nine_nodes(seed, trace.clone()).await;
        run(&cluster, 1, "CREATE TABLE a (k INT8 PRIMARY KEY, v TEXT)").await;
        run(&cluster, 4, "CREATE TABLE b (k INT8 PRIMARY KEY, v TEXT)").await;
        let both = "BEGIN; INSERT INTO a VALUES (1, 'x'); INSERT INTO b VALUES (1, 'y'); COMMIT";
        run(&cluster, 1, both).await;
        let mut seen = run(&cluster, 7, "SELECT a.v, b.v FROM a JOIN b ON a.k = b.k").await;
        tokio::time::sleep(Duration::from_secs(30)).await;
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
