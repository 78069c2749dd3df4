//! Sets: the rows that a predicate finds. Elements are only ever added.
//!
//! Whoever sees an element comes after its writer, whoever misses one comes before: nothing else
//! matters. Most elements are missed by most readers, so a reader points to runs of missed ones over a
//! [`Fan`]: the edges are as many as the elements read, not as those missed.

use rustc_hash::FxHashMap;

use super::{Inference, Seen, Touch};
use crate::{
    graph::{About, EdgeKind, Fan},
    index::{KeyId, TxnId, VersionId},
};

impl Inference<'_, '_> {
    pub(super) fn sets(&mut self, key: KeyId, touches: &[Touch]) {
        let mut added: Vec<(TxnId, VersionId)> = touches
            .iter()
            .flat_map(|touch| touch.writes.iter().map(|version| (touch.txn, *version)))
            .collect();
        added.sort_by_key(|(txn, _)| (self.index.op(*txn).invoked, *txn));
        let positions: FxHashMap<VersionId, usize> =
            added.iter().enumerate().map(|(at, (_, version))| (*version, at)).collect();
        let fan = Fan::new(&mut self.graph, added);
        for touch in touches {
            let Some(Seen::All(seen)) = &touch.seen else { continue };
            let about = About { key: Some(key), ..About::NOTHING };
            for version in seen {
                self.judge_read_version(touch.txn, *version);
                if let Some(writer) = self.index.counted_writer(*version) {
                    let about = About { from: Some(*version), to: Some(*version), ..about };
                    self.graph.edge(writer, touch.txn, EdgeKind::WR, about);
                }
            }
            let not_missed = seen.iter().chain(&touch.writes);
            let mut not_missed: Vec<usize> =
                not_missed.filter_map(|version| positions.get(version).copied()).collect();
            not_missed.sort_unstable();
            let mut next = 0;
            for at in not_missed.into_iter().chain([fan.len()]) {
                let run = next..at.max(next);
                fan.edges(&mut self.graph, touch.txn, run, (EdgeKind::RW, about));
                next = at + 1;
            }
        }
    }
}
