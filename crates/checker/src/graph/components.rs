//! Strongly connected components, by Tarjan's algorithm without recursion: a cycle may be as long
//! as the history.

use super::{Follow, Graph, State};

/// The components of a graph that contain cycles.
#[derive(Debug)]
pub(crate) struct Components {
    /// By state: the component's number, [`NONE`] for states on no cycle.
    of: Vec<u32>,
    /// The states of each, ascending.
    pub members: Vec<Vec<State>>,
}

const NONE: u32 = u32::MAX;

impl Components {
    pub(super) fn same(&self, component: u32, state: State) -> bool {
        self.of[state as usize] == component
    }
}

/// What Tarjan's algorithm remembers.
struct Walk<'g> {
    graph: &'g Graph,
    follow: Follow,
    /// Order of discovery, from 1; 0 is undiscovered.
    order: Vec<u32>,
    /// The earliest state still open that is known to be reachable.
    low: Vec<u32>,
    is_open: Vec<bool>,
    open: Vec<State>,
    discovered: u32,
    found: Components,
}

impl Graph {
    /// The components with more than one state, among edges that may be followed. `within` limits
    /// the search to nodes for which it says yes.
    pub(crate) fn components(&self, follow: Follow, within: &[bool]) -> Components {
        let states = self.nodes() * 2;
        let mut walk = Walk {
            graph: self,
            follow,
            order: vec![0; states],
            low: vec![0; states],
            is_open: vec![false; states],
            open: Vec::new(),
            discovered: 0,
            found: Components { of: vec![NONE; states], members: Vec::new() },
        };
        for (node, within_node) in within.iter().enumerate() {
            let state = node as u32 * 2;
            if *within_node && walk.order[state as usize] == 0 {
                walk.visit(state, within);
            }
        }
        walk.found
    }
}

impl Walk<'_> {
    fn visit(&mut self, root: State, within: &[bool]) {
        self.discover(root);
        // States being visited, with how many of their edges have been looked at.
        let mut path: Vec<(State, usize)> = vec![(root, 0)];
        while let Some((state, next_edge)) = path.last_mut() {
            let state = *state;
            let edges = self.graph.edges_of(state / 2);
            let Some(edge) = edges.get(*next_edge) else {
                path.pop();
                if let Some((parent, _)) = path.last() {
                    let low = self.low[state as usize];
                    let parent = &mut self.low[*parent as usize];
                    *parent = low.min(*parent);
                }
                self.close(state);
                continue;
            };
            *next_edge += 1;
            let Some(to) = self.follow.step(state, edge).filter(|to| within[*to as usize / 2])
            else {
                continue;
            };
            if self.order[to as usize] == 0 {
                self.discover(to);
                path.push((to, 0));
            } else if self.is_open[to as usize] {
                let order = self.order[to as usize];
                let low = &mut self.low[state as usize];
                *low = order.min(*low);
            }
        }
    }

    fn discover(&mut self, state: State) {
        self.discovered += 1;
        self.order[state as usize] = self.discovered;
        self.low[state as usize] = self.discovered;
        self.is_open[state as usize] = true;
        self.open.push(state);
    }

    /// Ends a state; if it is the first of its component, the component is complete.
    fn close(&mut self, state: State) {
        if self.low[state as usize] != self.order[state as usize] {
            return;
        }
        let begin = self.open.iter().rposition(|open| *open == state);
        let mut members = self.open.split_off(begin.expect("a state is open until it is closed"));
        for member in &members {
            self.is_open[*member as usize] = false;
        }
        if members.len() > 1 {
            members.sort_unstable();
            let number = self.found.members.len() as u32;
            for member in &members {
                self.found.of[*member as usize] = number;
            }
            self.found.members.push(members);
        }
    }
}
