//! Components and shortest cycles, against searches that try everything.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::{About, AdjacentRw, Builder, EdgeKind, Fan, Follow, Graph};
use crate::index::{TxnId, VersionId};

const NODES: usize = 6;

type Edges = Vec<(usize, usize, bool)>;

fn random(rng: &mut ChaCha8Rng) -> (Graph, Edges) {
    let mut graph = Builder::new(NODES);
    let mut edges = Edges::new();
    for _ in 0..rng.random_range(0..12) {
        let (from, to) = (rng.random_range(0..NODES), rng.random_range(0..NODES));
        let is_rw = rng.random_bool(0.5);
        if from != to {
            edges.push((from, to, is_rw));
        }
        let kind = if is_rw { EdgeKind::RW } else { EdgeKind::WR };
        graph.edge(TxnId(from as u32), TxnId(to as u32), kind, About::NOTHING);
    }
    (graph.build(), edges)
}

/// The length of the shortest cycle, by walking every simple path.
fn shortest(edges: &Edges, rw: AdjacentRw) -> Option<usize> {
    fn walk(edges: &Edges, rw: AdjacentRw, path: &mut Vec<(usize, usize, bool)>) -> Option<usize> {
        let (first, last) = (path[0], path[path.len() - 1]);
        let may_follow = |a: bool, b: bool| rw == AdjacentRw::Allowed || !(a && b);
        if last.1 == first.0 {
            return may_follow(last.2, first.2).then_some(path.len());
        }
        let mut best = None;
        for edge in edges.iter().filter(|edge| edge.0 == last.1 && may_follow(last.2, edge.2)) {
            if path.iter().any(|earlier| earlier.1 == edge.1) {
                continue;
            }
            path.push(*edge);
            let found = walk(edges, rw, path);
            best = [best, found].into_iter().flatten().min();
            path.pop();
        }
        best
    }
    edges.iter().filter_map(|edge| walk(edges, rw, &mut vec![*edge])).min()
}

#[test]
fn the_shortest_cycle_is_found_where_there_is_one() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (mut cyclic, mut acyclic) = (0, 0);
    for _ in 0..4_000 {
        let (graph, edges) = random(&mut rng);
        for rw in [AdjacentRw::Allowed, AdjacentRw::Forbidden] {
            let follow = Follow { kinds: EdgeKind::WR.and(EdgeKind::RW), rw };
            let components = graph.components(follow, &vec![true; graph.nodes()]);
            let cycles = (0..components.members.len()).map(|number| {
                let found = graph.shortest_cycle(follow, &components, number, EdgeKind::NONE);
                found.expect("nothing is needed").len()
            });
            let expected = shortest(&edges, rw);
            assert_eq!(cycles.min(), expected, "{edges:?} {rw:?}");
            *(if expected.is_some() { &mut cyclic } else { &mut acyclic }) += 1;
        }
    }
    assert!(cyclic > 500 && acyclic > 500, "{cyclic} cyclic, {acyclic} not");
}

#[test]
fn a_needed_edge_is_on_the_cycle() {
    let mut graph = Builder::new(3);
    let edges = [(0, 1, EdgeKind::WR), (1, 0, EdgeKind::WR), (1, 2, EdgeKind::PROCESS)];
    for (from, to, kind) in edges {
        graph.edge(TxnId(from), TxnId(to), kind, About::NOTHING);
    }
    graph.edge(TxnId(2), TxnId(0), EdgeKind::WR, About::NOTHING);
    let graph = graph.build();
    let kinds = EdgeKind::WR.and(EdgeKind::PROCESS);
    let follow = Follow { kinds, rw: AdjacentRw::Allowed };
    let components = graph.components(follow, &vec![true; graph.nodes()]);
    let cycle = |need| graph.shortest_cycle(follow, &components, 0, need).map(|hops| hops.len());
    assert_eq!(cycle(EdgeKind::NONE), Some(2));
    assert_eq!(cycle(EdgeKind::PROCESS), Some(3));
    assert_eq!(cycle(EdgeKind::REALTIME), None);
}

/// A fan reaches exactly the targets of a run, whatever the run, and with few edges.
#[test]
fn a_fan_reaches_the_run_and_nothing_else() {
    for count in 1..40_usize {
        for start in 0..=count {
            for end in start..=count {
                let mut graph = Builder::new(count + 1);
                let targets = (0..count).map(|at| (TxnId(at as u32 + 1), VersionId(at as u32)));
                let fan = Fan::new(&mut graph, targets.collect());
                fan.edges(&mut graph, TxnId(0), start..end, (EdgeKind::RW, About::NOTHING));
                let graph = graph.build();
                assert!(graph.edges_of(0).len() <= 12, "{count} targets, {start}..{end}");
                let mut reached = Vec::new();
                let mut to_visit = vec![0];
                while let Some(node) = to_visit.pop() {
                    for edge in graph.edges_of(node) {
                        to_visit.push(edge.to);
                        if graph.is_txn(edge.to) {
                            assert_eq!(edge.about.to, Some(VersionId(edge.to - 1)));
                            reached.push(edge.to as usize - 1);
                        }
                    }
                }
                reached.sort_unstable();
                assert_eq!(reached, (start..end).collect::<Vec<_>>(), "of {count} targets");
            }
        }
    }
}
