//! The orders that come from outside the data: of processes, and of real time.
//!
//! Both are transitive and would have quadratically many pairs. A chain of virtual nodes says the
//! same with three edges per operation:
//!
//! ```text
//!   ends        a          b         c            realtime edges: a, b, c -> their moments
//!   moments     (1) -----> (2) ----> (3)          links
//!   begins             d <-'    e <--' (2)        d began after moment 1, e after moment 2
//! ```
//!
//! Who is not in it: unknown outcomes never end, so nothing comes after them (something may come
//! before: an effect never precedes its own beginning). Reads of the past are in it by halves: they
//! may miss what ended before they began, so nothing comes before them; but what they showed was the
//! past when they ended, so they come before whatever begins afterwards, except other reads of the
//! past. "Before" is strict: an operation that ends at the very moment another begins is concurrent
//! to it.

use std::collections::BTreeSet;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::{
    History, Nanos, Operation, Outcome,
    graph::{About, Builder, EdgeKind, Node},
    index::{Cut, Index, KeyId, TxnId},
};

/// Adds the order of real time. Where transactions are cut by key, each key has its own.
pub(crate) fn add_realtime(index: &Index<'_>, graph: &mut Builder) {
    for group in groups(index) {
        let mut ends: Vec<(Nanos, TxnId)> =
            group.iter().filter_map(|txn| Some((end(index, *txn)?, *txn))).collect();
        ends.sort_unstable();
        let mut moments: Vec<Node> = Vec::with_capacity(ends.len());
        for (_, txn) in &ends {
            let moment = graph.virtual_node();
            graph.raw(txn.0, moment, EdgeKind::REALTIME, About::NOTHING);
            if let Some(previous) = moments.last() {
                graph.raw(*previous, moment, EdgeKind::LINK, About::NOTHING);
            }
            moments.push(moment);
        }
        for txn in group.iter().filter(|txn| in_present(index, **txn)) {
            let begin = index.op(*txn).invoked;
            let ended_before = ends.partition_point(|(end, _)| *end < begin);
            if ended_before > 0 {
                let moment = moments[ended_before - 1];
                graph.raw(moment, txn.0, EdgeKind::LINK, About::NOTHING);
            }
        }
    }
}

/// Adds the order in which each process did things. Reads of the past are not in it: what they owe
/// to real time, they owe to all processes. Nor are processes that did several things at a time:
/// they are more than one client, and nothing follows from their order.
pub(crate) fn add_processes(index: &Index<'_>, graph: &mut Builder) {
    let several = at_several_things(index.history);
    let is_one = |txn: &TxnId| !several.contains(&index.op(*txn).process);
    for mut txns in groups(index) {
        txns.retain(|txn| in_present(index, *txn) && is_one(txn));
        add_chains(index, graph, txns);
    }
}

/// Of each process a chain over the moments at which it ended something.
fn add_chains(index: &Index<'_>, graph: &mut Builder, mut txns: Vec<TxnId>) {
    txns.sort_by_key(|txn| {
        let op = index.op(*txn);
        (op.process, op.invoked, op.index)
    });
    let mut previous: Option<(u64, Node)> = None;
    for txn in txns {
        let process = index.op(txn).process;
        let before = previous.filter(|(before, _)| *before == process).map(|(_, node)| node);
        if let Some(before) = before {
            graph.raw(before, txn.0, EdgeKind::LINK, About::NOTHING);
        }
        if end(index, txn).is_some() {
            let node = graph.virtual_node();
            graph.raw(txn.0, node, EdgeKind::PROCESS, About::NOTHING);
            if let Some(before) = before {
                graph.raw(before, node, EdgeKind::LINK, About::NOTHING);
            }
            previous = Some((process, node));
        }
    }
}

/// Processes that began something before their last operation had ended.
pub(crate) fn at_several_things(history: &History) -> BTreeSet<u64> {
    let mut ops: Vec<&Operation> = history.ops.iter().collect();
    ops.sort_by_key(|op| (op.process, op.invoked, op.index));
    let overlap = ops.windows(2).filter(|pair| {
        let [earlier, later] = pair else { return false };
        let ended = earlier.completed.filter(|_| earlier.outcome != Outcome::Unknown);
        earlier.process == later.process && ended.is_some_and(|ended| ended > later.invoked)
    });
    overlap.map(|pair| pair[0].process).collect()
}

/// Whether some process ended one thing at the very moment at which it began the next: an order that
/// real time does not show.
pub(crate) fn has_ties(history: &History) -> bool {
    let several = at_several_things(history);
    let ends = history.ops.iter().filter_map(|op| Some((op.process, op.completed?)));
    let ends: FxHashSet<(u64, Nanos)> = ends.collect();
    let is_tied = |op: &Operation| {
        // Its own end is no tie, if it took no time at all; then another's may still be one.
        ends.contains(&(op.process, op.invoked)) && !several.contains(&op.process)
    };
    history.ops.iter().any(is_tied)
}

/// When it ended, if that can be relied on.
pub(crate) fn end(index: &Index<'_>, txn: TxnId) -> Option<Nanos> {
    let op = index.op(txn);
    op.completed.filter(|_| op.outcome == Outcome::Ok)
}

/// Those that count.
fn all<'i>(index: &'i Index<'_>) -> impl Iterator<Item = TxnId> + 'i {
    index.counted().map(|(id, _)| id)
}

/// Whether it must not miss what ended before it began.
pub(crate) fn in_present(index: &Index<'_>, txn: TxnId) -> bool {
    index.op(txn).staleness.is_none()
}

fn groups(index: &Index<'_>) -> Vec<Vec<TxnId>> {
    if index.cut == Cut::Whole {
        return vec![all(index).collect()];
    }
    let mut of_key: FxHashMap<KeyId, usize> = FxHashMap::default();
    let mut groups: Vec<Vec<TxnId>> = Vec::new();
    for txn in all(index) {
        let Some(step) = index.txn(txn).steps.first() else { continue };
        let group = *of_key.entry(step.key()).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(txn);
    }
    groups
}
