//! Ranges that are made while some of their voters are down.

use std::time::Duration;

use keys::NodeId;

use super::{in_virtual_time, run, voters};

/// With a region down a table is made at once, and works; the voter there makes its replica when it is
/// back, and counts: with another region down the table goes on.
#[test]
fn a_table_is_made_while_a_region_is_down_and_its_voter_joins_later() {
    in_virtual_time(31, async |cluster, _| {
        let away = [7, 8, 9].map(NodeId);
        for node in away {
            cluster.crash(node).await;
        }
        // Until pings tell.
        timer::sleep(Duration::from_secs(15)).await;
        let began = timer::Instant::now();
        run(cluster, 1, "CREATE TABLE t (k INT8 PRIMARY KEY)").await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(2), "the table took {took:?}");
        run(cluster, 1, "INSERT INTO t VALUES (1)").await;
        for node in away {
            cluster.start_node(node).await.expect("it starts");
        }
        timer::sleep(Duration::from_secs(20)).await;
        // Nobody else has a replica: the quorum is node 1's and the late one.
        let in_us_west = voters(cluster, "t").await.into_iter().find(|node| (4..=6).contains(node));
        cluster.crash(NodeId(in_us_west.expect("a voter per region"))).await;
        run(cluster, 1, "INSERT INTO t VALUES (2)").await;
        assert_eq!(
            run(cluster, 1, "SELECT k FROM t").await,
            run(cluster, 7, "SELECT k FROM t").await
        );
    });
}
