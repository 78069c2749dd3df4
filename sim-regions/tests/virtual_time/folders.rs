//! A node that comes back without its data folder, with an older copy of it, or with the right one, while
//! others are there or away.

use std::time::Duration;

use keys::NodeId;
use node::NodeFailure;
use range::Replica;
use sim_regions::Cluster;

use super::{in_virtual_time, run, voters};

/// P0, S1: a node that comes back without its folder has forgotten what it promised. It is refused,
/// also by peers that were restarted meanwhile, it makes no replica, and the others go on.
#[test]
fn a_node_that_lost_its_folder_is_refused_and_the_others_go_on() {
    in_virtual_time(7, async |cluster, disks| {
        let (first, victim, third) = (NodeId(1), NodeId(4), NodeId(7));
        run(cluster, 1, "CREATE TABLE t (k INT8 PRIMARY KEY)").await;
        let system = Replica::list(&disks.of(third).open()).expect("a healthy disk");
        assert!(system.contains(&keys::RangeId::SYSTEM), "{third} is a voter of the system range");
        for node in [first, victim, third] {
            cluster.crash(node).await;
        }
        disks.lose(victim);
        for node in [first, third, victim] {
            cluster.start_node(node).await.expect("it starts");
        }
        let refused = cluster.node(victim).expect("it runs").failed();
        let failure = timer::timeout(Duration::from_secs(5), refused).await;
        let failure = failure.expect("it is refused");
        assert!(matches!(&failure, NodeFailure::DataLost(lost) if lost.node == victim));
        assert!(failure.to_string().contains("without the data folder"), "{failure}");
        cluster.crash(victim).await;
        let replicas = Replica::list(&disks.of(victim).open()).expect("a healthy disk");
        assert_eq!(replicas, [], "a node with a lost folder made replicas");
        timer::sleep(Duration::from_secs(10)).await;
        run(cluster, 1, "INSERT INTO t VALUES (1)").await;
        run(cluster, 9, "SELECT * FROM t").await;
    });
}

/// How long after its start a node that comes back with an older copy of its folder has been refused:
/// the clock's bound of its former life may have to pass first.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);

/// Starts a node on a folder that was turned back: it is refused by somebody who was there, takes no
/// part before, and the others go on.
async fn is_refused_as_an_older_copy(cluster: &mut Cluster, victim: NodeId) -> node::OlderCopy {
    cluster.start_node(victim).await.expect("it starts");
    let node = cluster.node(victim).expect("it runs");
    let (failed, admitted) = (node.failed(), node.admitted());
    let failure = tokio::select! {
        biased;
        failure = timer::timeout(REFUSED_WITHIN, failed) => failure.expect("it is refused"),
        () = admitted => panic!("{victim} takes part"),
    };
    let NodeFailure::OlderCopy(refused) = failure else { panic!("{failure}") };
    cluster.crash(victim).await;
    refused
}

/// P0a: the copy is from before the node's last start. One of the two peers is down when it is put
/// back, the other one was down at that last start.
#[test]
fn a_copy_from_before_the_last_start_is_refused_while_another_node_is_down() {
    in_virtual_time(21, async |cluster, disks| {
        let (victim, absent) = (NodeId(4), NodeId(7));
        run(cluster, 1, "CREATE TABLE t (k INT8 PRIMARY KEY)").await;
        cluster.crash(absent).await;
        cluster.crash(victim).await;
        let copy = disks.of(victim).image();
        cluster.start_node(victim).await.expect("it starts");
        // The next of its peers hears of the start when it comes back.
        timer::sleep(Duration::from_secs(5)).await;
        cluster.start_node(absent).await.expect("it starts");
        timer::sleep(Duration::from_secs(10)).await;
        run(cluster, 1, "INSERT INTO t VALUES (1)").await;
        let others: Vec<NodeId> = (1..=9).map(NodeId).filter(|id| *id != absent).collect();
        for id in others {
            cluster.crash(id).await;
        }
        disks.of(victim).put_back(&copy);
        let refused = is_refused_as_an_older_copy(cluster, victim).await;
        assert_eq!((refused.node, refused.peer), (victim, absent));
        assert_eq!(refused.known.epoch.number, 2, "{refused}");
        assert_eq!(refused.found.starts.now.epoch.number, 2, "{refused}");
        for id in (1..=9).map(NodeId).filter(|id| ![victim, absent].contains(id)) {
            cluster.start_node(id).await.expect("it starts");
        }
        timer::sleep(Duration::from_secs(10)).await;
        run(cluster, 1, "INSERT INTO t VALUES (2)").await;
        // However often it is tried.
        is_refused_as_an_older_copy(cluster, victim).await;
    });
}

/// P0a: the copy is from within the node's last life: its next start looks like any other, but for the
/// mark that the life had reached.
#[test]
fn a_copy_from_within_the_last_life_is_refused() {
    in_virtual_time(22, async |cluster, disks| {
        let victim = NodeId(4);
        run(cluster, 1, "CREATE TABLE t (k INT8 PRIMARY KEY)").await;
        timer::sleep(Duration::from_secs(10)).await;
        let copy = disks.of(victim).image();
        // A step of the clock's bound, and until it is shown.
        timer::sleep(2 * node::SHOWN_EVERY + Duration::from_millis(500)).await;
        run(cluster, 1, "INSERT INTO t VALUES (1)").await;
        cluster.crash(victim).await;
        for id in [1, 2, 3, 5, 6, 8, 9] {
            cluster.crash(NodeId(id)).await;
        }
        disks.of(victim).put_back(&copy);
        for _ in 0..2 {
            let refused = is_refused_as_an_older_copy(cluster, victim).await;
            assert_eq!(refused.peer, NodeId(7));
            assert_eq!(refused.known.epoch.number, 1, "{refused}");
            assert!(refused.to_string().contains("older copy of its data folder"), "{refused}");
        }
    });
}

/// P0a: everybody who was there is down when the copy is put back, and those who are up take it in. The
/// first who comes back knows better, and the node stops.
#[test]
fn a_copy_that_was_taken_in_is_refused_by_the_first_who_knows() {
    in_virtual_time(23, async |cluster, disks| {
        let (victim, knows) = (NodeId(4), NodeId(7));
        run(cluster, 1, "CREATE TABLE t (k INT8 PRIMARY KEY)").await;
        for id in (1..=9).map(NodeId).filter(|id| ![victim, knows].contains(id)) {
            cluster.crash(id).await;
        }
        let copy = disks.of(victim).image();
        timer::sleep(Duration::from_secs(10)).await;
        for id in [victim, knows] {
            cluster.crash(id).await;
        }
        disks.of(victim).put_back(&copy);
        for id in [1, 4] {
            cluster.start_node(NodeId(id)).await.expect("it starts");
        }
        let node = cluster.node(victim).expect("it runs");
        timer::timeout(REFUSED_WITHIN, node.admitted()).await.expect("nobody knows better");
        let failed = node.failed();
        cluster.start_node(knows).await.expect("it starts");
        let failure = timer::timeout(2 * REFUSED_WITHIN, failed).await.expect("it is refused");
        assert!(
            matches!(&failure, NodeFailure::OlderCopy(known) if known.peer == knows),
            "{failure}"
        );
    });
}

/// Who kept its folder comes back while others are away: with those that are there, after a moment for
/// the others.
#[test]
fn a_node_that_kept_its_folder_comes_back_while_others_are_away() {
    in_virtual_time(8, async |cluster, _| {
        run(cluster, 1, "CREATE TABLE t (k INT8 PRIMARY KEY)").await;
        for node in [4, 7, 8, 9] {
            cluster.crash(NodeId(node)).await;
        }
        cluster.start_node(NodeId(4)).await.expect("it starts");
        let admitted = cluster.node(NodeId(4)).expect("it runs").admitted();
        timer::timeout(Duration::from_secs(2), admitted).await.expect("it is not kept waiting");
        timer::sleep(Duration::from_secs(10)).await;
        run(cluster, 4, "SHOW TABLES").await;
    });
}

/// A range serves with any majority of its voters, also where most of the cluster's nodes are gone and
/// its leader was started again.
#[test]
fn a_range_needs_its_own_voters_and_no_others() {
    in_virtual_time(24, async |cluster, _| {
        run(cluster, 1, "CREATE TABLE t (k INT8 PRIMARY KEY)").await;
        let kept: Vec<u32> = voters(cluster, "t").await.into_iter().take(2).collect();
        let system = [1, 4];
        for id in (1..=9).filter(|id| !kept.contains(id) && !system.contains(id)) {
            cluster.crash(NodeId(id)).await;
        }
        cluster.crash(NodeId(kept[0])).await;
        cluster.start_node(NodeId(kept[0])).await.expect("it starts");
        timer::sleep(Duration::from_secs(15)).await;
        run(cluster, kept[0], "INSERT INTO t VALUES (1)").await;
    });
}
