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

use rustc_hash::FxHashMap;

use crate::{
    Nanos, Outcome,
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
/// to real time, they owe to all processes.
pub(crate) fn add_processes(index: &Index<'_>, graph: &mut Builder) {
    if index.cut == Cut::PerKey {
        return;
    }
    let mut txns: Vec<TxnId> = all(index).filter(|txn| in_present(index, *txn)).collect();
    txns.sort_by_key(|txn| {
        let op = index.op(*txn);
        (op.process, op.invoked, op.index)
    });
    let mut previous: Option<(u64, Nanos, Node)> = None;
    for txn in txns {
        let op = index.op(txn);
        let chain = previous.filter(|(process, ..)| *process == op.process);
        if let Some((_, ended, node)) = chain.filter(|(_, ended, _)| *ended <= op.invoked) {
            graph.raw(node, txn.0, EdgeKind::LINK, About::NOTHING);
            previous = Some((op.process, ended, node));
        }
        if let Some(ended) = end(index, txn) {
            let node = graph.virtual_node();
            graph.raw(txn.0, node, EdgeKind::PROCESS, About::NOTHING);
            if let Some((.., before)) = chain.filter(|(_, before, _)| *before <= op.invoked) {
                graph.raw(before, node, EdgeKind::LINK, About::NOTHING);
            }
            previous = Some((op.process, ended, node));
        }
    }
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
