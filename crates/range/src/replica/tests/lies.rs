//! Peers that are damaged, of another version or wrong: what they say is refused, told, and harms
//! nobody.

use std::time::Duration;

use clock::Timestamp;
use keys::{Key, NodeId, RangeId, Span};
use kv::{Descriptor, ReadFrom, Reply, Request};
use paxos::{Ballot, Fence, Slot};

use crate::{
    Event, GroupMessage, Input,
    replica::snapshot::{SnapshotHeader, SnapshotMessage},
    state::{Applied, RangeState, SplitRecord},
};

use super::cluster::{Cluster, World, commit, get, meta, put, rows};

fn commit_one(cluster: &mut Cluster, range: RangeId, id: u128, key: &str, value: &str) {
    let start = cluster.latest(NodeId(1));
    let request = commit(meta(id, key, start), vec![], vec![put(key, value)]);
    let answer = cluster.call(range, request);
    assert!(matches!(answer, Ok(Reply::Committed(_))), "{answer:?}");
}

/// A snapshot without rows, from node 1 to node 3, and whether node 3 refused it.
fn is_refused(cluster: &mut Cluster, range: RangeId, header: SnapshotHeader) -> bool {
    let (before, told) = (cluster.replica(3, range).machine().applied(), cluster.events.len());
    let chunk = SnapshotMessage::Chunk {
        id: 77,
        sequence: 0,
        header: Some(Box::new(header)),
        entries: Vec::new(),
        last: true,
    };
    let message = GroupMessage::Snapshot(chunk);
    cluster.step(NodeId(3), range, Input::Peer { from: NodeId(1), message });
    let refused =
        |event: &Event| matches!(event, Event::Refused { .. } | Event::SnapshotFailed { .. });
    let said = cluster.events[told..].iter().any(|(_, _, event)| refused(event));
    said && cluster.replica(3, range).machine().applied() == before
}

#[test]
fn snapshots_that_cannot_be_are_refused_and_the_replica_goes_on() {
    let mut cluster = Cluster::new(31, World::default());
    let range = cluster.create(2, "a", "z", 1);
    commit_one(&mut cluster, range, 1, "k", "v");
    cluster.run_for(Duration::from_secs(2));
    let there = cluster.replica(1, range);
    let applied = there.machine().applied();
    let fence = there.group().fence_at(applied.slot).expect("it is applied");
    let later = Applied { slot: Slot(applied.slot.0 + 1_000), ..applied };
    let state = RangeState::new(there.descriptor().clone());
    let honest = SnapshotHeader { applied: later, state: state.clone(), fence };
    let child =
        Descriptor { id: RangeId(9), span: Span::new("m", "z"), ..state.descriptor.clone() };
    let left = Descriptor { span: Span::new("a", "m"), ..state.descriptor.clone() };
    let split = SplitRecord { slot: later.slot, first: Ballot::new(1, NodeId(1)), child };
    let of = |splits: Vec<SplitRecord>| SnapshotHeader {
        state: RangeState { splits, descriptor: left.clone(), ..state.clone() },
        ..honest.clone()
    };
    let other_child = |change: &dyn Fn(&mut Descriptor)| {
        let mut split = split.clone();
        change(&mut split.child);
        split
    };
    let mut few = state.clone();
    few.descriptor.voters.pop();
    let last = Applied { max_timestamp: Timestamp::MAX, ..later };
    let beyond = Applied { slot: Slot(u64::MAX), ..applied };
    for (name, lie) in [
        ("the last timestamp", SnapshotHeader { applied: last, ..honest.clone() }),
        ("the last slot", SnapshotHeader { applied: beyond, ..honest.clone() }),
        ("no fence", SnapshotHeader { fence: Fence::NONE, ..honest.clone() }),
        ("other voters", SnapshotHeader { state: few, ..honest.clone() }),
        ("a child twice", of(vec![split.clone(), split.clone()])),
        ("itself as a child", of(vec![other_child(&|child| child.id = RangeId(2))])),
        ("a child elsewhere", of(vec![other_child(&|child| child.span = Span::new("x", "zz"))])),
        ("a child of its own keys", of(vec![other_child(&|c| c.span = Span::new("b", "c"))])),
        ("a child of others", of(vec![other_child(&|child| child.voters.truncate(2))])),
    ] {
        assert!(is_refused(&mut cluster, range, lie), "{name}");
    }
    commit_one(&mut cluster, range, 2, "k", "w");
    cluster.run_for(Duration::from_secs(2));
    let at = cluster.true_time();
    let request = get("k", at, ReadFrom::AnyReplica);
    let token = cluster.request(NodeId(3), range, request, Duration::from_secs(2));
    assert_eq!(rows(&cluster.wait(token)), "k=w");
    assert!(!cluster.has(3, RangeId(9)));
    // The same form, honest: it is installed, so it was the lies that were refused.
    assert!(!is_refused(&mut cluster, range, honest));
}

/// A child without its data hears of closed time like any other replica. It must not show that it
/// has nothing.
#[test]
fn a_blank_replica_answers_no_read() {
    let mut world = World::default();
    world.config.paxos.log_keep_slots = 8;
    let mut cluster = Cluster::new(32, world);
    let range = cluster.create(2, "a", "z", 1);
    commit_one(&mut cluster, range, 1, "q", "there");
    cluster.run_for(Duration::from_millis(500));
    cluster.isolate(3);
    cluster.no_snapshots = Some(RangeId(9));
    let split = Request::Split { at: Key::from("m"), child: RangeId(9) };
    assert!(matches!(cluster.call(range, split), Ok(Reply::Split { .. })));
    for i in 2..40 {
        commit_one(&mut cluster, range, i, "k", &format!("v{i}"));
    }
    cluster.cut.clear();
    cluster.run_until("node 3 is told of the child", |c| c.has(3, RangeId(9)));
    cluster.run_for(Duration::from_secs(3));
    assert!(cluster.replica(3, RangeId(9)).machine().state().blank);
    let at = cluster.true_time();
    cluster.run_for(Duration::from_secs(3));
    let request = get("q", at, ReadFrom::AnyReplica);
    let token = cluster.request(NodeId(3), RangeId(9), request, Duration::from_secs(30));
    cluster.run_for(Duration::from_secs(2));
    assert!(!cluster.replies.contains_key(&token), "{:?}", cluster.replies.get(&token));
    cluster.no_snapshots = None;
    assert_eq!(rows(&cluster.wait(token)), "q=there");
}
