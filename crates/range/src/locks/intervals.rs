//! Spans searched by overlap: a treap ordered by start, in which every node knows the greatest end
//! below it.
//!
//! ```text
//!                 [f - k) end<=z
//!                /             \
//!      [b - d) end<=e        [m - z) end<=z      "which spans meet [e - f)?"
//!        /                                       left: greatest end is e, so none there;
//!   [a - e) end<=e                               right: all start at m or later; so none.
//! ```
//!
//! 1. In order of (start, end, value); each node's priority is at least its children's. The
//!    priorities come from a counter mixed by a fixed function: depth is logarithmic whatever spans
//!    arrive, and equal inputs give equal trees.
//! 2. `max_end` of a node is the greatest end in its subtree. Restored wherever links change.
//!
//! Insert and remove take O(log n), a search O(log n + hits).

use std::{cmp::Ordering, ops::ControlFlow};

use keys::{Key, Span};

/// No node.
const NIL: u32 = u32::MAX;

/// A set of (span, value) searched by overlap.
#[derive(Clone, Debug)]
pub(super) struct Intervals<T> {
    nodes: Vec<Node<T>>,
    /// Indices of `nodes` that are out of use.
    free: Vec<u32>,
    root: u32,
    /// Insertions so far: the source of priorities.
    inserted: u64,
}

#[derive(Clone, Debug)]
struct Node<T> {
    span: Span,
    value: T,
    max_end: Key,
    priority: u64,
    left: u32,
    right: u32,
}

impl<T: Copy + Ord> Intervals<T> {
    pub fn new() -> Intervals<T> {
        Intervals { nodes: Vec::new(), free: Vec::new(), root: NIL, inserted: 0 }
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    /// Adds a pair.
    ///
    /// # Panics
    /// If the span is empty or the pair is there already.
    pub fn insert(&mut self, span: Span, value: T) {
        assert!(!span.is_empty(), "an empty span overlaps nothing: {span}");
        self.inserted += 1;
        let node = Node {
            max_end: span.end.clone(),
            span,
            value,
            priority: mix(self.inserted),
            left: NIL,
            right: NIL,
        };
        let new = if let Some(index) = self.free.pop() {
            self.nodes[index as usize] = node;
            index
        } else {
            self.nodes.push(node);
            u32::try_from(self.nodes.len() - 1).expect("locks are limited far below 2^32")
        };
        self.root = self.insert_below(self.root, new);
    }

    /// Removes a pair; whether it was there.
    pub fn remove(&mut self, span: &Span, value: T) -> bool {
        let before = self.free.len();
        self.root = self.remove_below(self.root, span, value);
        self.free.len() > before
    }

    /// Whether this very pair is in the set.
    pub fn contains(&self, span: &Span, value: T) -> bool {
        let mut at = self.root;
        while at != NIL {
            let node = &self.nodes[at as usize];
            at = match (span, value).cmp(&(&node.span, node.value)) {
                Ordering::Less => node.left,
                Ordering::Greater => node.right,
                Ordering::Equal => return true,
            };
        }
        false
    }

    /// Visits the pairs whose span shares a key with `start <= key < end`, in order.
    pub fn overlapping(
        &self,
        start: &[u8],
        end: &[u8],
        visit: &mut dyn FnMut(&Span, &T) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.overlapping_below(self.root, start, end, visit)
    }

    fn overlapping_below(
        &self,
        at: u32,
        start: &[u8],
        end: &[u8],
        visit: &mut dyn FnMut(&Span, &T) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if at == NIL {
            return ControlFlow::Continue(());
        }
        let node = &self.nodes[at as usize];
        if *node.max_end <= *start {
            return ControlFlow::Continue(());
        }
        self.overlapping_below(node.left, start, end, visit)?;
        if *node.span.start >= *end {
            return ControlFlow::Continue(());
        }
        if *node.span.end > *start {
            visit(&node.span, &node.value)?;
        }
        self.overlapping_below(node.right, start, end, visit)
    }

    fn insert_below(&mut self, at: u32, new: u32) -> u32 {
        if at == NIL {
            return new;
        }
        let (here, other) = (&self.nodes[at as usize], &self.nodes[new as usize]);
        match (&other.span, other.value).cmp(&(&here.span, here.value)) {
            Ordering::Less => {
                let left = self.insert_below(here.left, new);
                self.nodes[at as usize].left = left;
            }
            Ordering::Greater => {
                let right = self.insert_below(here.right, new);
                self.nodes[at as usize].right = right;
            }
            Ordering::Equal => panic!("{} is in the set already", here.span),
        }
        self.lift_child(at)
    }

    /// Lets a child with a higher priority take its parent's place. Returns the new parent.
    fn lift_child(&mut self, at: u32) -> u32 {
        let (left, right, own) = {
            let node = &self.nodes[at as usize];
            (node.left, node.right, node.priority)
        };
        let higher = |child: u32| child != NIL && self.nodes[child as usize].priority > own;
        if higher(left) {
            self.nodes[at as usize].left = self.nodes[left as usize].right;
            self.restore(at);
            self.nodes[left as usize].right = at;
            self.restore(left);
            left
        } else if higher(right) {
            self.nodes[at as usize].right = self.nodes[right as usize].left;
            self.restore(at);
            self.nodes[right as usize].left = at;
            self.restore(right);
            right
        } else {
            self.restore(at);
            at
        }
    }

    fn remove_below(&mut self, at: u32, span: &Span, value: T) -> u32 {
        if at == NIL {
            return NIL;
        }
        let node = &self.nodes[at as usize];
        let (left, right) = (node.left, node.right);
        match (span, value).cmp(&(&node.span, node.value)) {
            Ordering::Less => {
                let left = self.remove_below(left, span, value);
                self.nodes[at as usize].left = left;
            }
            Ordering::Greater => {
                let right = self.remove_below(right, span, value);
                self.nodes[at as usize].right = right;
            }
            Ordering::Equal => {
                self.free.push(at);
                return self.join(left, right);
            }
        }
        self.restore(at);
        at
    }

    /// One tree of two, of which all of `left` lies before all of `right`.
    fn join(&mut self, left: u32, right: u32) -> u32 {
        if left == NIL || right == NIL {
            return if left == NIL { right } else { left };
        }
        if self.nodes[left as usize].priority > self.nodes[right as usize].priority {
            let joined = self.join(self.nodes[left as usize].right, right);
            self.nodes[left as usize].right = joined;
            self.restore(left);
            left
        } else {
            let joined = self.join(left, self.nodes[right as usize].left);
            self.nodes[right as usize].left = joined;
            self.restore(right);
            right
        }
    }

    /// Restores `max_end` of a node from its children.
    fn restore(&mut self, at: u32) {
        let node = &self.nodes[at as usize];
        let mut max_end = &node.span.end;
        for child in [node.left, node.right] {
            if child != NIL {
                max_end = max_end.max(&self.nodes[child as usize].max_end);
            }
        }
        let max_end = max_end.clone();
        self.nodes[at as usize].max_end = max_end;
    }
}

/// Spreads a counter over 64 bits (the finalizer of `splitmix64`).
fn mix(counter: u64) -> u64 {
    let mut z = counter.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
