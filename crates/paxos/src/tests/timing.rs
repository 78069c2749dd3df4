//! How long things take, and what an idle group costs, when nodes are ticked only when
//! `Group::next_wake` says so.
//!
//! Messages take a fixed time one way, disks sync at once. Times are exact, so the tests state
//! them.

use std::{collections::BTreeMap, time::Duration};

use keys::NodeId;

use super::world::{EPOCH, Flying, MS, Setup, World};
use crate::{Config, Event, Group, Membership};

/// One way between any two nodes.
const ONE_WAY_MS: u64 = 40;

/// A world driven by its events alone.
struct Timeline {
    world: World,
    /// Packets by arrival time and order of sending.
    arrivals: BTreeMap<(u64, u64), Flying>,
    sent: u64,
    ticks: u64,
}

impl Timeline {
    fn new(nodes: u32, born: Option<u32>) -> Timeline {
        let voters = (1..=nodes).map(NodeId).collect();
        let setup = Setup {
            membership: Membership::majority(voters).expect("a set"),
            born: born.map(NodeId),
            config: Config::default(),
            epsilon: Duration::from_millis(4),
            fault: None,
        };
        Timeline { world: World::new(setup), arrivals: BTreeMap::new(), sent: 0, ticks: 0 }
    }

    fn ms(&self) -> u64 {
        (self.world.at - EPOCH) / MS
    }

    /// Syncs and applies everywhere, and puts what is sent on its way.
    fn flush(&mut self) {
        for node in self.world.ids() {
            self.world.sync(node, usize::MAX);
            self.world.apply(node, usize::MAX);
            self.world.sync(node, usize::MAX);
        }
        for flying in self.world.take_network() {
            self.sent += 1;
            self.arrivals.insert((self.world.at + ONE_WAY_MS * MS, self.sent), flying);
        }
    }

    /// The moment a node wants to be ticked, in absolute time.
    fn wake(&self, node: NodeId) -> Option<u64> {
        let now = self.world.now(node);
        let wake = self.world.node(node).group.as_ref()?.next_wake(now);
        Some(self.world.at + u64::try_from(wake.since(now.mono).as_nanos()).expect("soon"))
    }

    /// Runs until this condition holds. Answers the time in milliseconds.
    fn until(&mut self, limit_ms: u64, done: impl Fn(&World) -> bool) -> u64 {
        loop {
            self.flush();
            if done(&self.world) {
                return self.ms();
            }
            assert!(self.ms() <= limit_ms, "not done after {limit_ms} ms");
            let arrival = self.arrivals.keys().next().map_or(u64::MAX, |(at, _)| *at);
            let wakes = self.world.ids().into_iter().filter_map(|n| Some((self.wake(n)?, n)));
            let (wake, node) = wakes.min().expect("somebody is up");
            let next = arrival.min(wake).max(self.world.at);
            self.world.pass(Duration::from_nanos(next - self.world.at));
            if arrival <= next {
                let (_, flying) = self.arrivals.pop_first().expect("it arrives");
                self.world.deliver(flying);
            } else {
                self.ticks += 1;
                self.world.step(node, |group, now, out| group.tick(now, out));
            }
        }
    }

    fn run_for(&mut self, ms: u64) {
        let end = self.ms() + ms;
        self.until(end + 5_000, |world| (world.at - EPOCH) / MS >= end);
    }
}

fn leads(world: &World, node: NodeId) -> bool {
    world.acts(node)
}

fn leader(world: &World) -> Option<NodeId> {
    world.ids().into_iter().find(|n| leads(world, *n))
}

#[test]
fn born_leader_acts_after_one_round_trip() {
    let mut t = Timeline::new(3, Some(2));
    let at = t.until(1_000, |world| leads(world, NodeId(2)));
    assert_eq!(at, 2 * ONE_WAY_MS);
}

#[test]
fn idle_group_sends_one_heartbeat_a_period_to_each_follower() {
    let mut t = Timeline::new(3, Some(1));
    t.run_for(10_000);
    let (sent, ticks) = (t.sent, t.ticks);
    t.run_for(60_000);
    let (sent, ticks) = (t.sent - sent, t.ticks - ticks);
    // A heartbeat and its answer, to and from two followers, each second.
    assert!((238..=244).contains(&sent), "{sent} messages a minute");
    assert!(ticks <= 400, "{ticks} ticks a minute");
}

#[test]
fn crashed_leader_is_replaced_within_a_lease_and_two_round_trips() {
    for victim in 1..=5 {
        let mut t = Timeline::new(5, Some(victim));
        t.run_for(9_990);
        t.world.crash(NodeId(victim), 0);
        let crashed = t.ms();
        let at = t.until(60_000, |world| leader(world).is_some());
        let lease = 3_000 + ONE_WAY_MS;
        let slack = 2 * 4 + 250; // both clocks' ε, and at most one rank
        let limit = lease + 4 * ONE_WAY_MS + slack;
        assert!(at - crashed <= limit, "took {} ms, not {limit}", at - crashed);
    }
}

#[test]
fn planned_transfer_takes_a_message_and_two_round_trips() {
    let mut t = Timeline::new(3, Some(1));
    t.run_for(5_000);
    let start = t.ms();
    assert!(t.world.release(NodeId(1), Some(NodeId(3))));
    let elected = |world: &World| {
        world.events.iter().any(|(n, e)| n.0 == 3 && matches!(e, Event::BecameLeader { .. }))
    };
    let at = t.until(10_000, elected);
    assert_eq!(at - start, 3 * ONE_WAY_MS, "the news, then one round trip to be elected");
    let at = t.until(10_000, |world| leads(world, NodeId(3)));
    assert_eq!(at - start, 5 * ONE_WAY_MS, "and one for the opening entry");
}

#[test]
fn commands_are_chosen_after_one_round_trip_and_told_after_another_way() {
    let mut t = Timeline::new(3, Some(1));
    t.run_for(5_000);
    let start = t.ms();
    let id = t.world.propose(NodeId(1)).expect("it is up").expect("it acts");
    let at = t.until(10_000, |world| world.checker.effective(id));
    assert_eq!(at - start, 2 * ONE_WAY_MS);
    let everywhere = |world: &World| {
        let applied = |g: &Group| g.applied_slot().0;
        world.nodes.iter().all(|n| n.group.as_ref().map(applied) == Some(1))
    };
    let at = t.until(10_000, everywhere);
    assert_eq!(at - start, 3 * ONE_WAY_MS);
}
