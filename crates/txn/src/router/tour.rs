//! In which order the replicas of a range are asked for their leader.
//!
//! Pure. First whom the cache takes for the leader, then whom an answer names, then the preferred
//! leader, then the voters from near to far; when all were asked, a pause and the same again.

use std::{collections::BTreeSet, time::Duration};

use keys::NodeId;
use kv::Descriptor;

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Ask this node.
    Ask(NodeId),
    /// All were asked in vain, so many times already: pause.
    Pause(u32),
}

/// One request's way through the replicas.
#[derive(Debug)]
pub(crate) struct Tour {
    order: Vec<NodeId>,
    next: usize,
    /// Named as leader by an answer.
    named: Option<NodeId>,
    /// Named and asked in this round: at most as many as there are voters.
    followed: usize,
    /// Did not answer in this round: not asked again because others still take them for the leader.
    silent: BTreeSet<NodeId>,
    rounds: u32,
}

impl Tour {
    /// A tour of the range's voters.
    pub fn new(
        range: &Descriptor,
        hint: Option<NodeId>,
        round_trip: impl Fn(NodeId) -> Duration,
    ) -> Tour {
        let mut order = nearest_first(range, round_trip);
        let first =
            hint.filter(|node| range.voters.contains(node)).unwrap_or(range.preferred_leader);
        if let Some(position) = order.iter().position(|node| *node == first) {
            order[..=position].rotate_right(1);
        }
        let silent = BTreeSet::new();
        Tour { order, next: 0, named: None, followed: 0, silent, rounds: 0 }
    }

    /// The next step.
    pub fn step(&mut self) -> Step {
        if let Some(node) = self.named.take() {
            self.followed += 1;
            return Step::Ask(node);
        }
        if let Some(node) = self.order.get(self.next) {
            self.next += 1;
            return Step::Ask(*node);
        }
        (self.next, self.followed) = (0, 0);
        self.silent.clear();
        self.rounds += 1;
        Step::Pause(self.rounds - 1)
    }

    /// The node asked does not lead, and named this one.
    pub fn not_leader(&mut self, asked: NodeId, named: Option<NodeId>) {
        self.named = named.filter(|node| {
            *node != asked && !self.silent.contains(node) && self.followed < self.order.len()
        });
    }

    /// The node asked did not answer, or could not.
    pub fn failed(&mut self, asked: NodeId) {
        self.silent.insert(asked);
    }

    /// The node asked was silent for so long that this one leads by now.
    pub fn succeeded(&mut self, asked: NodeId, successor: NodeId) {
        self.failed(asked);
        self.not_leader(asked, Some(successor));
    }

    /// Ask the same node once more.
    pub fn again(&mut self, asked: NodeId) {
        self.named = Some(asked);
    }
}

/// The voters of a range from near to far.
pub(crate) fn nearest_first(
    range: &Descriptor,
    round_trip: impl Fn(NodeId) -> Duration,
) -> Vec<NodeId> {
    let mut order = range.voters.clone();
    order.sort_by_key(|node| (round_trip(*node), *node));
    order
}
