//! Leaders go to where most is asked for their ranges, within their region.

use std::time::Duration;

use sim_regions::Cluster;

use super::{in_virtual_time, in_virtual_time_on, run, voters};

/// Which of the nodes leads the range of a table.
async fn leader(cluster: &Cluster, table: &str) -> u32 {
    let shown = run(cluster, 1, &format!("SHOW RANGES FROM TABLE {table}")).await.concat();
    let (_, row) = shown.split_once("rows: [[").expect("a row");
    let leader =
        row.split(", ").nth(4).expect("its leader stands behind its number, name and keys");
    leader.parse().unwrap_or_else(|error| panic!("{error}: {shown}"))
}

/// Reads through one node, for some seconds.
async fn ask(cluster: &Cluster, node: u32) {
    for _ in 0..400 {
        run(cluster, node, "SELECT v FROM t WHERE k = 1").await;
        timer::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn a_range_is_led_where_it_is_asked_for_and_comes_back() {
    in_virtual_time_on("one-region", 41, async |cluster, _| {
        run(cluster, 1, "CREATE TABLE t (k INT8 PRIMARY KEY, v INT8)").await;
        run(cluster, 1, "INSERT INTO t VALUES (1, 1)").await;
        for node in [2, 3, 1] {
            ask(cluster, node).await;
            assert_eq!(leader(cluster, "t").await, node);
            run(cluster, node, "UPDATE t SET v = v + 1 WHERE k = 1").await;
        }
        let read = run(cluster, 2, "SELECT v FROM t WHERE k = 1").await.concat();
        assert!(read.contains("rows: [[4]]"), "{read}");
    });
}

#[test]
fn a_leader_stays_in_its_region() {
    in_virtual_time(42, async |cluster, _| {
        run(cluster, 1, "CREATE TABLE t (k INT8 PRIMARY KEY, v INT8)").await;
        let before = leader(cluster, "t").await;
        // It has a replica, so nothing but its region speaks against it.
        let far = voters(cluster, "t").await.into_iter().find(|node| *node != before);
        ask(cluster, far.expect("a voter per region")).await;
        assert_eq!(leader(cluster, "t").await, before);
    });
}
