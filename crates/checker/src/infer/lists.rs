//! Lists: every read shows the order of all versions up to its own.
//!
//! The longest read of a list is its order; every other must be a beginning of it. An append nobody
//! read, of a transaction that committed, lies behind all of it: had it been earlier, the longest read
//! would show it.
//!
//! ```text
//!   order      [1 2 3 4]       writers T1 T2 T3 T4       appended, never read: 5 by T5
//!   ww         T1 -> T2 -> T3 -> T4 -> T5
//!   wr         T2 -> whoever read [1 2]
//!   rw         whoever read [1 2] -> T3, whoever read [1 2 3 4] -> T5
//! ```

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Inference, Seen, Touch};
use crate::{
    Kind, Order, Outcome,
    graph::{About, EdgeKind, Fan},
    index::{KeyId, TxnId, VersionId},
    report::Found,
};

/// The order of a list's versions.
struct Versions {
    order: Vec<VersionId>,
    /// Who read it.
    reader: TxnId,
    /// By position: the nearest position at or before it whose writer counts.
    counted_up_to: Vec<Option<usize>>,
    /// By position: the nearest position at or after it whose writer counts.
    counted_from: Vec<Option<usize>>,
    /// What was appended and never read, by transaction.
    behind: Vec<(TxnId, VersionId)>,
}

impl Inference<'_, '_> {
    pub(super) fn lists(&mut self, key: KeyId, touches: &[Touch]) {
        let versions = self.list_versions(touches);
        let mut reads: Vec<(&Touch, usize)> = Vec::new();
        for touch in touches {
            let Some(Seen::All(seen)) = &touch.seen else { continue };
            if versions.order.starts_with(seen) {
                reads.push((touch, seen.len()));
            } else {
                self.judge_elements(touch.txn, seen);
                self.add_incompatible(key, touch.txn, versions.reader);
            }
            if let Some(newest) = seen.last() {
                self.judge_intermediate(touch.txn, *newest);
            }
        }
        let Versions { order, reader, .. } = &versions;
        if !order.is_empty() {
            self.judge_elements(*reader, order);
            self.judge_dirty_updates(key, &versions);
        }
        let updates = reads.iter().filter(|(touch, _)| !touch.writes.is_empty());
        self.judge_lost_updates(key, updates.map(|(touch, length)| (*length, touch.txn)));
        self.list_edges(key, &versions, &reads);
    }

    fn list_versions(&self, touches: &[Touch]) -> Versions {
        let mut longest: Option<(&[VersionId], TxnId)> = None;
        for touch in touches {
            if let Some(Seen::All(seen)) = &touch.seen
                && longest.is_none_or(|(longest, _)| seen.len() > longest.len())
            {
                longest = Some((seen, touch.txn));
            }
        }
        let (order, reader) = longest.unwrap_or((&[], TxnId(0)));
        let read: FxHashSet<VersionId> = order.iter().copied().collect();
        let written = touches
            .iter()
            .flat_map(|touch| touch.writes.iter().map(|version| (touch.txn, *version)));
        let behind = written.filter(|(_, version)| !read.contains(version)).collect();
        let counts = |at: usize| self.index.counted_writer(order[at]).is_some();
        let mut counted_up_to = vec![None; order.len()];
        let mut counted_from = vec![None; order.len()];
        for at in 0..order.len() {
            let before = at.checked_sub(1).and_then(|before| counted_up_to[before]);
            counted_up_to[at] = if counts(at) { Some(at) } else { before };
        }
        for at in (0..order.len()).rev() {
            let after = counted_from.get(at + 1).copied().flatten();
            counted_from[at] = if counts(at) { Some(at) } else { after };
        }
        Versions { order: order.to_vec(), reader, counted_up_to, counted_from, behind }
    }

    /// Elements of one read: aborted, unwritten, twice there.
    fn judge_elements(&mut self, reader: TxnId, elements: &[VersionId]) {
        let mut seen = FxHashSet::default();
        for element in elements {
            self.judge_read_version(reader, *element);
            if !seen.insert(*element) {
                let version = self.index.version(*element);
                let (key, value) = (self.index.key_name(version.key), version.value);
                let mut ops = vec![self.position(reader)];
                ops.extend(version.writer.map(|writer| self.position(writer)));
                self.report.add(Kind::Duplicate, Order::Data, || Found {
                    ops,
                    keys: vec![key],
                    explanation: format!(
                        "T1 read {value} more than once in {key}, though it was appended once."
                    ),
                    ..Found::default()
                });
            }
        }
    }

    fn add_incompatible(&mut self, key: KeyId, reader: TxnId, longest: TxnId) {
        let ops = vec![self.position(reader), self.position(longest)];
        let key = self.index.key_name(key);
        self.report.add(Kind::IncompatibleOrder, Order::Data, || Found {
            ops,
            keys: vec![key],
            explanation: format!(
                "T1 and T2 read {key}, and neither list is the beginning of the other: no order of \
                 the appends explains both."
            ),
            ..Found::default()
        });
    }

    /// Appends on top of what an aborted transaction appended.
    fn judge_dirty_updates(&mut self, key: KeyId, versions: &Versions) {
        for (at, version) in versions.order.iter().enumerate() {
            let writer = self.index.version(*version).writer;
            let aborted = writer.filter(|txn| self.index.op(*txn).outcome == Outcome::Fail);
            let next = versions.counted_from.get(at + 1).copied().flatten();
            let (Some(aborted), Some(next)) = (aborted, next) else { continue };
            let next = self.index.counted_writer(versions.order[next]).expect("it counts");
            let ops = vec![self.position(aborted), self.position(next)];
            let key = self.index.key_name(key);
            self.report.add(Kind::DirtyUpdate, Order::Data, || Found {
                ops,
                keys: vec![key],
                explanation: format!(
                    "T2's append to {key} lies behind one of T1, which aborted, in the same list."
                ),
                ..Found::default()
            });
        }
    }

    fn list_edges(&mut self, key: KeyId, versions: &Versions, reads: &[(&Touch, usize)]) {
        let order = &versions.order;
        let about = |from, to| About { key: Some(key), from, to, evidence: None };
        let writer = |at: usize| self.index.counted_writer(order[at]).expect("it counts");
        let counted: Vec<usize> =
            (0..order.len()).filter(|at| versions.counted_up_to[*at] == Some(*at)).collect();
        for pair in counted.windows(2) {
            let about = about(Some(order[pair[0]]), Some(order[pair[1]]));
            self.graph.edge(writer(pair[0]), writer(pair[1]), EdgeKind::WW, about);
        }
        // Transactions that appended several unread elements have them side by side.
        let fan = Fan::new(&mut self.graph, versions.behind.clone());
        let mut own: FxHashMap<TxnId, (usize, usize)> = FxHashMap::default();
        for (at, (txn, _)) in versions.behind.iter().enumerate() {
            own.entry(*txn).or_insert((at, at)).1 = at + 1;
        }
        let all_behind = |graph: &mut _, from: TxnId, kind, about| {
            let (own_start, own_end) = own.get(&from).copied().unwrap_or((fan.len(), fan.len()));
            fan.edges(graph, from, 0..own_start, (kind, about));
            fan.edges(graph, from, own_end..fan.len(), (kind, about));
        };
        if let Some(last) = counted.last() {
            let about = about(Some(order[*last]), None);
            all_behind(&mut self.graph, writer(*last), EdgeKind::WW, about);
        }
        for (touch, length) in reads {
            let newest = length.checked_sub(1);
            if let Some(at) = newest.and_then(|newest| versions.counted_up_to[newest]) {
                let about = about(Some(order[at]), Some(order[at]));
                self.graph.edge(writer(at), touch.txn, EdgeKind::WR, about);
            }
            let mut missed = versions.counted_from.get(*length).copied().flatten();
            while let Some(at) = missed.filter(|at| writer(*at) == touch.txn) {
                missed = versions.counted_from.get(at + 1).copied().flatten();
            }
            let from = newest.map(|newest| order[newest]);
            match missed {
                Some(at) => {
                    let about = about(from, Some(order[at]));
                    self.graph.edge(touch.txn, writer(at), EdgeKind::RW, about);
                }
                None => all_behind(&mut self.graph, touch.txn, EdgeKind::RW, about(from, None)),
            }
        }
    }
}
