//! Graphs of dependencies, and their cycles.
//!
//! An edge `a -> b` says: a must come before b. Its kind says why:
//!
//! | kind | why |
//! |---|---|
//! | `ww` | b overwrote what a wrote, or appended after it |
//! | `wr` | b read what a wrote |
//! | `rw` | a did not see what b wrote (an anti-dependency) |
//! | process | the same process did a, then b |
//! | realtime | a ended before b began |
//!
//! Besides transactions there are *virtual* nodes that stand for many edges at once: "all who add
//! an element between these two", "everybody who began after this moment". An edge into a virtual
//! node has the kind, the *links* out of it lead on and keep it, so a graph stays linear in the
//! size of its history where naming every pair would be quadratic:
//!
//! ```text
//!   a --realtime--> (moment 1) --link--> (moment 2) --link--> b
//! ```
//!
//! [`Graph::components`] finds the nodes that lie on cycles (Tarjan's algorithm, without
//! recursion), [`Graph::shortest_cycle`] the shortest cycle through a component. Both can be told
//! to follow no two anti-dependencies in a row, which is exactly what snapshot isolation forbids
//! (Cerone and Gotsman): the search then runs over pairs of node and "arrived by an
//! anti-dependency".

mod components;
mod search;

use crate::index::{KeyId, TxnId, VersionId};
pub(crate) use search::Hop;

/// Why an edge is there. Kinds are bits, so that a search can be told which to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EdgeKind(u8);

impl EdgeKind {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const WW: Self = Self(1);
    pub(crate) const WR: Self = Self(2);
    pub(crate) const RW: Self = Self(4);
    pub(crate) const PROCESS: Self = Self(8);
    pub(crate) const REALTIME: Self = Self(16);
    /// Leads on from a virtual node.
    pub(crate) const LINK: Self = Self(32);
    /// Besides another kind: the order of the two versions was concluded from real time.
    pub(crate) const BY_REALTIME: Self = Self(64);

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether a search limited to `allowed` may take an edge of this kind.
    pub(crate) fn within(self, allowed: Self) -> bool {
        self.0 & !allowed.0 == 0
    }
}

/// What an edge is about, for its explanation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct About {
    /// `None` for orders of process and time.
    pub key: Option<KeyId>,
    /// The version at the edge's beginning: written or read there. `None`: the beginning of the
    /// key.
    pub from: Option<VersionId>,
    /// The version at its end.
    pub to: Option<VersionId>,
    /// Whose order in real time shows the order of the versions, where nothing else does.
    pub evidence: Option<(TxnId, TxnId)>,
}

impl About {
    pub(crate) const NOTHING: Self = Self { key: None, from: None, to: None, evidence: None };
}

/// A node: a transaction, by its number, or a virtual one.
pub(crate) type Node = u32;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge {
    pub from: Node,
    pub to: Node,
    pub kind: EdgeKind,
    pub about: About,
}

/// A graph under construction.
#[derive(Debug)]
pub(crate) struct Builder {
    txns: u32,
    nodes: u32,
    edges: Vec<Edge>,
}

impl Builder {
    pub(crate) fn new(txns: usize) -> Self {
        let txns = u32::try_from(txns).expect("a history has less than 2^32 transactions");
        Self { txns, nodes: txns, edges: Vec::new() }
    }

    /// A transaction comes before another. Edges to oneself say nothing and are dropped.
    pub(crate) fn edge(&mut self, from: TxnId, to: TxnId, kind: EdgeKind, about: About) {
        if from != to {
            self.edges.push(Edge { from: from.0, to: to.0, kind, about });
        }
    }

    /// An edge from or to a virtual node.
    pub(crate) fn raw(&mut self, from: Node, to: Node, kind: EdgeKind, about: About) {
        self.edges.push(Edge { from, to, kind, about });
    }

    pub(crate) fn virtual_node(&mut self) -> Node {
        self.nodes += 1;
        self.nodes - 1
    }

    pub(crate) fn build(mut self) -> Graph {
        let mut starts = vec![0_u32; self.nodes as usize + 1];
        for edge in &self.edges {
            starts[edge.from as usize + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        // Stable: edges of a node keep the order in which they were found, so witnesses repeat.
        self.edges.sort_by_key(|edge| edge.from);
        Graph { txns: self.txns, starts, edges: self.edges }
    }
}

/// Many targets that are reached with few edges: any run of them by at most `2 log n` edges, over a
/// tree of virtual nodes.
#[derive(Debug)]
pub(crate) struct Fan {
    /// Level 0 are the targets with their versions; a node of level i+1 links to two of level i.
    levels: Vec<Vec<(Node, Option<VersionId>)>>,
}

impl Fan {
    pub(crate) fn new(graph: &mut Builder, targets: Vec<(TxnId, VersionId)>) -> Self {
        let leaves = targets.into_iter().map(|(txn, version)| (txn.0, Some(version))).collect();
        let mut levels: Vec<Vec<(Node, Option<VersionId>)>> = vec![leaves];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let mut level = Vec::with_capacity(below.len().div_ceil(2));
            for pair in below.chunks(2) {
                if let [single] = pair {
                    level.push(*single);
                    continue;
                }
                let node = graph.virtual_node();
                for (child, version) in pair {
                    let about = About { to: *version, ..About::NOTHING };
                    graph.raw(node, *child, EdgeKind::LINK, about);
                }
                level.push((node, None));
            }
            levels.push(level);
        }
        Self { levels }
    }

    pub(crate) fn len(&self) -> usize {
        self.levels[0].len()
    }

    /// Edges from a transaction to all targets of the run.
    pub(crate) fn edges(
        &self,
        graph: &mut Builder,
        from: TxnId,
        run: std::ops::Range<usize>,
        (kind, about): (EdgeKind, About),
    ) {
        let (mut low, mut high) = (run.start, run.end);
        for level in &self.levels {
            if low >= high {
                return;
            }
            if low % 2 == 1 || high - low == 1 {
                let (node, version) = level[low];
                graph.raw(from.0, node, kind, About { to: version, ..about });
                low += 1;
            }
            if high % 2 == 1 && low < high {
                high -= 1;
                let (node, version) = level[high];
                graph.raw(from.0, node, kind, About { to: version, ..about });
            }
            if low >= high {
                return;
            }
            low /= 2;
            high = high.div_ceil(2);
        }
    }
}

/// Which edges a search follows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Follow {
    pub kinds: EdgeKind,
    pub rw: AdjacentRw,
}

/// Whether a cycle may have two anti-dependencies in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AdjacentRw {
    Allowed,
    Forbidden,
}

/// Dependencies between transactions.
#[derive(Debug)]
pub(crate) struct Graph {
    /// Nodes below are transactions, the others virtual.
    txns: u32,
    /// Where each node's edges begin.
    starts: Vec<u32>,
    /// Sorted by their beginning.
    edges: Vec<Edge>,
}

impl Graph {
    pub(crate) fn nodes(&self) -> usize {
        self.starts.len() - 1
    }

    pub(crate) fn edge_count(&self) -> usize {
        self.edges.len()
    }

    pub(crate) fn is_txn(&self, node: Node) -> bool {
        node < self.txns
    }

    fn edges_of(&self, node: Node) -> &[Edge] {
        let node = node as usize;
        &self.edges[self.starts[node] as usize..self.starts[node + 1] as usize]
    }
}

/// A node with how it was reached: twice its number, plus one after an anti-dependency when two of
/// these in a row are forbidden.
pub(super) type State = u32;

pub(super) fn node_of(state: State) -> Node {
    state / 2
}

impl Follow {
    /// Where an edge leads from a state, if it may be taken.
    fn step(self, state: State, edge: &Edge) -> Option<State> {
        if !edge.kind.within(self.kinds.and(EdgeKind::LINK)) {
            return None;
        }
        if self.rw == AdjacentRw::Allowed {
            return Some(edge.to * 2);
        }
        let after_rw = state % 2 == 1;
        if edge.kind.has(EdgeKind::LINK) {
            return Some(edge.to * 2 + u32::from(after_rw));
        }
        let is_rw = edge.kind.has(EdgeKind::RW);
        (!(after_rw && is_rw)).then(|| edge.to * 2 + u32::from(is_rw))
    }
}

#[cfg(test)]
mod tests;
