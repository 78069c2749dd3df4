//! The shortest cycle through a component, for a witness that a person can follow.
//!
//! Breadth first from one transaction after the other, links costing nothing, each search no deeper
//! than the best cycle so far. In a huge component that would take long, so the work is bounded by
//! [`SEARCH_LIMIT`]: then the witness is a cycle, if not the shortest.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::{
    About, AdjacentRw, Edge, EdgeKind, Follow, Graph, State, components::Components, node_of,
};
use crate::index::TxnId;

/// So many edges are looked at for the shortest cycle of one component, once one is known.
const SEARCH_LIMIT: usize = 2_000_000;

/// An edge between transactions, virtual nodes left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    pub from: TxnId,
    pub to: TxnId,
    pub kind: EdgeKind,
    pub about: About,
}

/// One component, and what may be followed in it.
struct Search<'g> {
    graph: &'g Graph,
    follow: Follow,
    components: &'g Components,
    component: u32,
    /// A cycle must have an edge of one of these kinds, if there are any.
    need: EdgeKind,
    /// Edges looked at.
    work: usize,
}

/// A state, and whether a needed edge lies on the way to it.
type Place = (State, bool);

impl Graph {
    /// A shortest cycle of the component with that number: at least two hops, each beginning where
    /// the one before it ends. If a kind of edge is needed there may be no such cycle.
    pub(crate) fn shortest_cycle(
        &self,
        follow: Follow,
        components: &Components,
        component: usize,
        need: EdgeKind,
    ) -> Option<Vec<Hop>> {
        let number = component as u32;
        let mut search =
            Search { graph: self, follow, components, component: number, need, work: 0 };
        let mut best: Option<Vec<Edge>> = None;
        for start in &components.members[component] {
            if search.work > SEARCH_LIMIT && (best.is_some() || need != EdgeKind::NONE) {
                break;
            }
            if !self.is_txn(node_of(*start)) {
                continue;
            }
            let limit = best.as_ref().map_or(u32::MAX, |best| hops(best));
            best = search.cycle_through(*start, limit).or(best);
            if best.as_ref().is_some_and(|best| hops(best) == 2) {
                break;
            }
        }
        assert!(best.is_some() || need != EdgeKind::NONE, "a component has a cycle");
        simple(self.contract(&best?), follow.rw, need)
    }

    /// Leaves out virtual nodes: what leads into them and out of them becomes one hop.
    fn contract(&self, path: &[Edge]) -> Vec<Hop> {
        let mut result = Vec::new();
        let mut begun: Option<Edge> = None;
        for edge in path {
            let first = *begun.get_or_insert(*edge);
            if self.is_txn(edge.to) {
                let about = About { to: edge.about.to, ..first.about };
                let (from, to) = (TxnId(first.from), TxnId(edge.to));
                result.push(Hop { from, to, kind: first.kind, about });
                begun = None;
            }
        }
        assert!(begun.is_none(), "a cycle ends at the transaction it began with");
        result
    }
}

fn hops(path: &[Edge]) -> u32 {
    path.iter().filter(|edge| !edge.kind.has(EdgeKind::LINK)).count() as u32
}

impl Search<'_> {
    /// The shortest way from a state back to it, if that is shorter than `limit` hops.
    fn cycle_through(&mut self, start: State, mut limit: u32) -> Option<Vec<Edge>> {
        let mut reached: FxHashMap<Place, (u32, Edge, Place)> = FxHashMap::default();
        let needs_nothing = self.need == EdgeKind::NONE;
        let (from, target) = ((start, needs_nothing), (start, true));
        let mut queue: VecDeque<(Place, u32)> = VecDeque::from([(from, 0)]);
        let graph = self.graph;
        while let Some((place, distance)) = queue.pop_front() {
            if reached.get(&place).is_some_and(|(best, ..)| *best < distance) {
                continue;
            }
            for edge in graph.edges_of(node_of(place.0)) {
                self.work += 1;
                let is_link = edge.kind.has(EdgeKind::LINK);
                let next_distance = distance + u32::from(!is_link);
                let Some(to) = self.follow.step(place.0, edge) else { continue };
                let next = (to, place.1 || edge.kind.has(self.need));
                let inside = self.components.same(self.component, to);
                let known = reached.get(&next).is_some_and(|(best, ..)| *best <= next_distance);
                if !inside || next_distance >= limit || known || next == (start, false) {
                    continue;
                }
                reached.insert(next, (next_distance, *edge, place));
                if next == target {
                    limit = next_distance;
                } else if is_link {
                    queue.push_front((next, next_distance));
                } else {
                    queue.push_back((next, next_distance));
                }
            }
        }
        let mut path = Vec::new();
        let mut place = target;
        loop {
            let (_, edge, previous) = reached.get(&place)?;
            path.push(*edge);
            place = *previous;
            if place == from {
                path.reverse();
                return Some(path);
            }
        }
    }
}

/// A cycle that visits a transaction twice is two cycles. One of them is of the same kind, unless
/// an edge is needed that only the other has.
fn simple(mut cycle: Vec<Hop>, rw: AdjacentRw, need: EdgeKind) -> Option<Vec<Hop>> {
    while let Some((first, second)) = visited_twice(&cycle) {
        let inner: Vec<Hop> = cycle[first..second].to_vec();
        let outer: Vec<Hop> = cycle[..first].iter().chain(&cycle[second..]).copied().collect();
        let parts = [inner, outer].into_iter();
        cycle = parts.into_iter().find(|part| is_proper(part, rw, need))?;
    }
    Some(cycle)
}

fn visited_twice(cycle: &[Hop]) -> Option<(usize, usize)> {
    (0..cycle.len()).find_map(|first| {
        let again = (first + 1..cycle.len()).find(|at| cycle[*at].from == cycle[first].from);
        again.map(|second| (first, second))
    })
}

fn is_proper(cycle: &[Hop], rw: AdjacentRw, need: EdgeKind) -> bool {
    let is_rw = |at: usize| cycle[at % cycle.len()].kind.has(EdgeKind::RW);
    let adjacent = (0..cycle.len()).any(|at| is_rw(at) && is_rw(at + 1));
    let has_needed = need == EdgeKind::NONE || cycle.iter().any(|hop| hop.kind.has(need));
    cycle.len() > 1 && has_needed && (rw == AdjacentRw::Allowed || !adjacent)
}
