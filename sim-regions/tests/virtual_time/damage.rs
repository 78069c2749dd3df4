//! Replicas whose data are not what was chosen, though every value of theirs is sound.

use std::time::Duration;

use keys::NodeId;
use storage::{Cf, Engine, Reader, Scan, WriteBatch};

use super::{in_virtual_time, run, voters};

/// One replica lost a version that all have. It is found by comparing, and stops; the range goes on.
#[test]
fn a_replica_that_differs_from_the_others_stops() {
    in_virtual_time(41, async |cluster, disks| {
        run(cluster, 1, "CREATE TABLE t (k INT8 PRIMARY KEY)").await;
        run(cluster, 1, "INSERT INTO t VALUES (1), (2), (3)").await;
        timer::sleep(Duration::from_secs(20)).await;
        let sums = run(cluster, 1, "SHOW CHECKSUMS FROM TABLE t").await.concat();
        assert!(!sums.contains("has stopped"), "nobody differs yet: {sums}");
        let odd = voters(cluster, "t").await.into_iter().find(|node| *node > 3).expect("three");
        let engine = disks.open.lock().expect("nobody panicked")[&NodeId(odd)].clone();
        let mut last = None;
        let all = Scan::new(Cf::Data, &[], &[0xff; 64]).reversed();
        let mut note = |key: &[u8], _: &[u8]| {
            last = Some(key.to_vec());
            false
        };
        engine.scan(all, &mut note).expect("a healthy disk");
        let mut batch = WriteBatch::new();
        batch.delete(Cf::Data, last.expect("the table's last row"));
        engine.write(batch).expect("a healthy disk");
        timer::sleep(Duration::from_secs(20)).await;
        let sums = run(cluster, 1, "SHOW CHECKSUMS FROM TABLE t").await.concat();
        let stopped = format!("its replica on n{odd} contradicts its log or its peers");
        assert!(sums.contains(&stopped), "{sums}");
        run(cluster, 1, "INSERT INTO t VALUES (4)").await;
        let rows = run(cluster, 9, "SELECT k FROM t ORDER BY k").await.concat();
        assert!(["1", "2", "3", "4"].iter().all(|k| rows.contains(k)), "{rows}");
    });
}
