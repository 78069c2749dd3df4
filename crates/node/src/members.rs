//! The nodes of the cluster as this node knows them: who they are, how far away, whether they
//! answered lately. Membership is static: it comes from the topology or the join list.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use clock::Mono;
use keys::{NodeId, Span, layout};
use kv::Descriptor;
use serde::{Deserialize, Serialize};

/// A node counts as live if it was heard from within this time.
pub const LIVE_WINDOW: Duration = Duration::from_secs(12);

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its id.
    pub id: NodeId,
    /// Its region.
    pub region: String,
    /// Its zone within the region.
    pub zone: String,
    /// Where other nodes reach it; `in-process` in a demo.
    pub address: String,
    /// Where SQL clients reach it.
    pub sql_address: String,
}

#[derive(Clone, Debug)]
struct Contact {
    round_trip: Duration,
    heard: Option<Mono>,
    /// It did not answer the last ping.
    silent: bool,
    /// Why it does not serve, as it answered the last ping.
    stopped: Option<String>,
}

/// All members, with what this node has learnt about each.
#[derive(Debug)]
pub struct Members {
    local: NodeId,
    all: BTreeMap<NodeId, Member>,
    contacts: Mutex<BTreeMap<NodeId, Contact>>,
    /// Rotates placement, so that consecutive ranges land on different nodes of a region.
    turn: Mutex<usize>,
}

impl Members {
    /// The members; `expected` is the round-trip time assumed until one is measured.
    #[must_use]
    pub fn new(
        local: NodeId,
        members: Vec<Member>,
        expected: impl Fn(&Member) -> Duration,
    ) -> Members {
        let contact = |m: &Member| Contact {
            round_trip: expected(m),
            heard: None,
            silent: false,
            stopped: None,
        };
        let contacts = members.iter().map(|m| (m.id, contact(m))).collect();
        let all: BTreeMap<_, _> = members.into_iter().map(|m| (m.id, m)).collect();
        assert!(all.contains_key(&local), "{local} is not a member of its own cluster");
        let turn = Mutex::new(local.0 as usize);
        Members { local, all, contacts: Mutex::new(contacts), turn }
    }

    fn contacts(&self) -> MutexGuard<'_, BTreeMap<NodeId, Contact>> {
        self.contacts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This node.
    #[must_use]
    pub fn local(&self) -> &Member {
        &self.all[&self.local]
    }

    /// All nodes, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.all.values()
    }

    /// A node.
    #[must_use]
    pub fn get(&self, node: NodeId) -> Option<&Member> {
        self.all.get(&node)
    }

    /// The round-trip time to a node; none to itself. An unknown node counts as very far.
    #[must_use]
    pub fn round_trip(&self, to: NodeId) -> Duration {
        if to == self.local {
            return Duration::ZERO;
        }
        self.contacts().get(&to).map_or(Duration::from_secs(60), |c| c.round_trip)
    }

    /// A ping came back. Smoothed: one slow answer says little.
    pub fn measured(&self, node: NodeId, round_trip: Duration, now: Mono) {
        if let Some(contact) = self.contacts().get_mut(&node) {
            contact.round_trip = match contact.heard {
                None => round_trip,
                Some(_) => (contact.round_trip * 3 + round_trip) / 4,
            };
            contact.heard = Some(now);
            contact.silent = false;
        }
    }

    /// A node said why it does not serve, or that it does.
    pub fn stopped(&self, node: NodeId, why: Option<String>) {
        if let Some(contact) = self.contacts().get_mut(&node) {
            contact.stopped = why;
        }
    }

    /// Why a node does not serve, as far as it told.
    #[must_use]
    pub fn why_stopped(&self, node: NodeId) -> Option<String> {
        self.contacts().get(&node).and_then(|contact| contact.stopped.clone())
    }

    /// A ping was not answered.
    pub fn silent(&self, node: NodeId) {
        if let Some(contact) = self.contacts().get_mut(&node) {
            contact.silent = true;
        }
    }

    fn is_silent(&self, node: NodeId) -> bool {
        node != self.local && self.contacts().get(&node).is_none_or(|contact| contact.silent)
    }

    /// Whether a node left the last ping unanswered.
    #[must_use]
    pub fn is_gone(&self, node: NodeId) -> bool {
        node != self.local && self.contacts().get(&node).is_some_and(|contact| contact.silent)
    }

    /// Whether a node was heard from lately. This node always is.
    #[must_use]
    pub fn is_live(&self, node: NodeId, now: Mono) -> bool {
        let heard = self.contacts().get(&node).and_then(|c| c.heard);
        node == self.local || heard.is_some_and(|at| now.since(at) < LIVE_WINDOW)
    }

    /// Voters for a new range, the preferred leader first: one node per region if there are enough
    /// regions, starting with the leader's and going to the nearest; else one per zone; else
    /// whatever there is. Nodes that answered the last ping come first. `None` if no node is in `leader_region`.
    #[must_use]
    pub fn place(&self, leader_region: &str, replicas: usize) -> Option<Vec<NodeId>> {
        let turn = {
            let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
            *turn += 1;
            *turn
        };
        let mut regions: BTreeMap<&str, Vec<&Member>> = BTreeMap::new();
        for member in self.all.values() {
            regions.entry(&member.region).or_default().push(member);
        }
        for nodes in regions.values_mut() {
            let shift = turn % nodes.len();
            nodes.rotate_left(shift);
            nodes.sort_by_key(|m| self.is_silent(m.id));
        }
        let first = regions.get(leader_region)?.first()?.id;
        let mut order: Vec<&str> = regions.keys().copied().collect();
        let distance = |region: &str| regions[region].iter().map(|m| self.round_trip(m.id)).min();
        order.sort_by_key(|region| (*region != leader_region, distance(region)));
        let mut chosen = vec![first];
        let mut zones = vec![&self.all[&first].zone];
        // One per region, then one per zone, then anyone.
        for rule in 0..3 {
            for region in &order {
                for member in &regions[region] {
                    let fits = match rule {
                        0 => chosen.iter().all(|n| self.all[n].region != member.region),
                        1 => !zones.contains(&&member.zone) && !chosen.contains(&member.id),
                        _ => !chosen.contains(&member.id),
                    };
                    if fits && chosen.len() < replicas {
                        chosen.push(member.id);
                        zones.push(&member.zone);
                    }
                }
            }
        }
        Some(chosen)
    }
}

/// The system range of a cluster founded by these members: one voter per region while there are
/// enough regions, at most `replicas`; led at birth by the first node. The same on every node.
///
/// # Panics
/// If there is no member.
#[must_use]
pub fn found_system_range(members: &[Member], replicas: usize) -> Descriptor {
    let mut sorted: Vec<&Member> = members.iter().collect();
    sorted.sort_by_key(|m| m.id);
    let mut voters: Vec<NodeId> = Vec::new();
    let mut regions: Vec<&str> = Vec::new();
    for member in &sorted {
        if !regions.contains(&member.region.as_str()) && voters.len() < replicas {
            regions.push(&member.region);
            voters.push(member.id);
        }
    }
    for member in &sorted {
        if !voters.contains(&member.id) && voters.len() < replicas {
            voters.push(member.id);
        }
    }
    voters.sort_unstable();
    Descriptor {
        id: keys::RangeId::SYSTEM,
        span: Span { ..layout::system_span() },
        generation: 1,
        preferred_leader: voters[0],
        voters,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(regions: &[&str], per_region: u32) -> Vec<Member> {
        let mut id = 0;
        let mut member = |region: &str, n: u32| {
            id += 1;
            Member {
                id: NodeId(id),
                region: region.into(),
                zone: format!("{region}-{n}"),
                address: "in-process".into(),
                sql_address: String::new(),
            }
        };
        regions
            .iter()
            .flat_map(|r| (0..per_region).map(|n| member(r, n)).collect::<Vec<_>>())
            .collect()
    }

    fn regions_of(members: &Members, nodes: &[NodeId]) -> Vec<String> {
        nodes.iter().map(|n| members.get(*n).expect("member").region.clone()).collect()
    }

    #[test]
    fn voters_span_the_nearest_regions_and_the_leader_is_where_it_was_asked() {
        let all = cluster(&["a", "b", "c", "d"], 3);
        let far = |m: &Member| Duration::from_millis(if m.region == "b" { 90 } else { 10 });
        let members = Members::new(NodeId(1), all, far);
        let voters = members.place("c", 3).expect("region c exists");
        assert_eq!(regions_of(&members, &voters), ["c", "a", "d"]);
        assert!(members.place("nowhere", 3).is_none());
    }

    #[test]
    fn a_silent_node_is_chosen_last() {
        let members = Members::new(NodeId(1), cluster(&["a"], 4), |_| Duration::ZERO);
        members.silent(NodeId(3));
        for _ in 0..8 {
            let voters = members.place("a", 3).expect("a exists");
            assert!(!voters.contains(&NodeId(3)), "{voters:?}");
        }
        members.measured(NodeId(3), Duration::ZERO, Mono(1));
        assert!((0..8).any(|_| members.place("a", 3).expect("a").contains(&NodeId(3))));
    }

    #[test]
    fn consecutive_ranges_rotate_over_the_nodes_of_a_region() {
        let members = Members::new(NodeId(1), cluster(&["a", "b", "c"], 3), |_| Duration::ZERO);
        let leaders: std::collections::BTreeSet<NodeId> =
            (0..3).map(|_| members.place("b", 3).expect("b exists")[0]).collect();
        assert_eq!(leaders.len(), 3);
    }

    #[test]
    fn one_region_spreads_over_its_zones() {
        let members = Members::new(NodeId(2), cluster(&["a"], 3), |_| Duration::ZERO);
        let mut voters = members.place("a", 3).expect("a exists");
        voters.sort_unstable();
        assert_eq!(voters, [NodeId(1), NodeId(2), NodeId(3)]);
    }

    #[test]
    fn a_cluster_smaller_than_the_replication_factor_uses_all_its_nodes() {
        let all = cluster(&["a"], 2);
        assert_eq!(found_system_range(&all, 3).voters, [NodeId(1), NodeId(2)]);
        let three = cluster(&["a", "b", "c"], 3);
        assert_eq!(found_system_range(&three, 3).voters, [NodeId(1), NodeId(4), NodeId(7)]);
    }
}
