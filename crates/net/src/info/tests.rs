//! Who talks to whom.

use keys::NodeId;

use super::{ClusterId, NodeInfo, Refusal, join_hash};

fn node(id: u32, cluster: u128) -> NodeInfo {
    NodeInfo {
        cluster: ClusterId(cluster),
        node: NodeId(id),
        address: format!("h{id}:7000"),
        ..NodeInfo::default()
    }
}

#[test]
fn nodes_of_one_cluster_talk() {
    assert_eq!(node(1, 7).check(&node(2, 7)), Ok(()));
    let (mut a, b) = (node(1, 7), node(2, 7));
    a.join_hash = 5;
    assert_eq!(a.check(&b), Ok(()), "once the cluster is born its id alone decides");
}

#[test]
fn mistakes_are_told_apart() {
    assert!(matches!(node(1, 7).check(&node(2, 8)), Err(Refusal::OtherCluster { .. })));
    assert!(matches!(node(1, 7).check(&node(1, 7)), Err(Refusal::SameNode { .. })));
    let mut newer = node(2, 7);
    newer.protocol = 9;
    assert!(matches!(node(1, 7).check(&newer), Err(Refusal::OtherVersion { .. })));
    let mut stranger = node(2, 0);
    stranger.join_hash = 5;
    assert!(matches!(node(1, 0).check(&stranger), Err(Refusal::OtherJoinList { .. })));
}

#[test]
fn a_node_that_has_not_joined_yet_is_no_mistake() {
    for (ours, theirs) in [(7, 0), (0, 7)] {
        let refused = node(1, ours).check(&node(2, theirs));
        assert!(matches!(refused, Err(Refusal::Joining { .. })), "{refused:?}");
    }
}

#[test]
fn join_lists_are_sets() {
    let hash = |list: &[&str]| join_hash(&list.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(hash(&["a:1", "b:2"]), hash(&["b:2", " a:1", "a:1"]));
    assert_ne!(hash(&["a:1", "b:2"]), hash(&["a:1", "b:3"]));
    assert_ne!(hash(&["a:1", "b:2"]), hash(&["a:1b:2"]));
}
