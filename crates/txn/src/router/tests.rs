//! The tour through replicas.

use std::time::Duration;

use keys::{NodeId, RangeId, Span};
use kv::Descriptor;

use super::tour::{Step, Tour};

fn range() -> Descriptor {
    Descriptor {
        id: RangeId(7),
        span: Span::new("a", "z"),
        generation: 1,
        voters: vec![NodeId(1), NodeId(2), NodeId(3)],
        preferred_leader: NodeId(2),
    }
}

/// Node 3 is the nearest, node 1 the farthest.
fn round_trip(node: NodeId) -> Duration {
    Duration::from_millis(u64::from(10 - node.0))
}

fn next(tour: &mut Tour) -> String {
    match tour.step() {
        Step::Ask(node) => node.to_string(),
        Step::Pause(rounds) => format!("pause {rounds}"),
    }
}

#[test]
fn without_a_hint_the_preferred_leader_is_asked_first_then_the_nearest() {
    let mut tour = Tour::new(&range(), None, round_trip);
    let steps: Vec<String> = (0..8).map(|_| next(&mut tour)).collect();
    assert_eq!(steps, ["n2", "n3", "n1", "pause 0", "n2", "n3", "n1", "pause 1"]);
}

#[test]
fn whom_an_answer_names_is_asked_next_unless_it_was_silent() {
    let mut tour = Tour::new(&range(), Some(NodeId(1)), round_trip);
    assert_eq!(next(&mut tour), "n1");
    tour.failed(NodeId(1));
    assert_eq!(next(&mut tour), "n3");
    tour.not_leader(NodeId(3), Some(NodeId(1)));
    assert_eq!(next(&mut tour), "n2", "n1 was silent");
    tour.not_leader(NodeId(2), Some(NodeId(3)));
    assert_eq!(next(&mut tour), "n3");
    tour.not_leader(NodeId(3), Some(NodeId(2)));
    assert_eq!(next(&mut tour), "n2");
    tour.not_leader(NodeId(2), Some(NodeId(3)));
    assert_eq!(next(&mut tour), "n3");
    tour.not_leader(NodeId(3), Some(NodeId(2)));
    assert_eq!(next(&mut tour), "pause 0", "two that name each other are not asked for ever");
}

#[test]
fn a_hint_that_is_no_voter_is_ignored() {
    let mut tour = Tour::new(&range(), Some(NodeId(9)), round_trip);
    assert_eq!(next(&mut tour), "n2");
}
