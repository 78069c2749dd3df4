//! Registers: a read shows one version and hides the ones before it.
//!
//! So the order of versions must be pieced together. That version `v` lies before `w` is known where
//!
//! - a transaction read `v` and then wrote `w` (otherwise what it wrote would have flowed into what it
//!   read, which every model forbids);
//! - `v` is nil, which every other version follows;
//! - commit timestamps say so, if they are to be used;
//! - the model promises real time, and somebody who saw or wrote `v` ended before somebody began who
//!   saw or wrote `w`.
//!
//! If `v` lies before `w`, then the writer of `v` comes before the writer of `w`, and so does every
//! reader of `v`: it did not see `w`. There may be versions between them; the edge holds all the same.

use std::collections::{BTreeMap, BTreeSet};

use super::{Inference, Seen, Touch};
use crate::{
    Nanos, Outcome, Stamp,
    graph::{About, EdgeKind, Fan},
    index::{KeyId, TxnId, VersionId},
    order::in_present,
};

/// A version; `None` is nil, the register's beginning.
type Known = Option<VersionId>;

/// What lies before what, and whether only real time says so.
type Orders = BTreeMap<(Known, VersionId), Certainty>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Certainty {
    Data,
    /// The first transaction had to do with the earlier version and ended before the second, which
    /// had to do with the later, began.
    Realtime(TxnId, TxnId),
}

/// More pairs of readers and following versions than this go over a [`Fan`].
const PAIRS_WITHOUT_FAN: usize = 64;

impl Inference<'_, '_> {
    pub(super) fn registers(&mut self, key: KeyId, touches: &[Touch]) {
        for touch in touches {
            let Some(version) = raw_read(touch) else { continue };
            self.judge_read_version(touch.txn, version);
            self.judge_intermediate(touch.txn, version);
            if let Some(writer) = self.index.counted_writer(version) {
                let about = About {
                    key: Some(key),
                    from: Some(version),
                    to: Some(version),
                    evidence: None,
                };
                self.graph.edge(writer, touch.txn, EdgeKind::WR, about);
            }
        }
        let updates = touches.iter().filter(|touch| !touch.writes.is_empty());
        let updates = updates.filter_map(|touch| Some((raw_read(touch)?, touch.txn)));
        self.judge_lost_updates(key, updates);
        let orders = self.version_orders(touches);
        self.register_edges(key, touches, orders);
    }

    /// What is known of the order of versions.
    fn version_orders(&self, touches: &[Touch]) -> Orders {
        let mut orders = Orders::new();
        for touch in touches {
            if let (Some(read), Some(written)) = (self.read(touch), touch.writes.last()) {
                orders.insert((read, *written), Certainty::Data);
            }
        }
        if self.options.timestamps {
            self.order_by_timestamps(touches, &mut orders);
        }
        let follow: BTreeSet<VersionId> = orders.keys().map(|(_, later)| *later).collect();
        for written in touches.iter().filter_map(|touch| touch.writes.last()) {
            if !follow.contains(written) {
                orders.insert((None, *written), Certainty::Data);
            }
        }
        if self.realtime {
            self.order_by_realtime(touches, &mut orders);
        }
        orders
    }

    /// The version a transaction saw, if it is known where that came from.
    fn read(&self, touch: &Touch) -> Option<Known> {
        let version = raw_read(touch)?;
        if self.index.version(version).initial {
            return Some(None);
        }
        self.index.counted_writer(version).map(|_| Some(version))
    }

    fn order_by_timestamps(&self, touches: &[Touch], orders: &mut Orders) {
        let mut stamped: Vec<(Stamp, VersionId)> = Vec::new();
        for touch in touches {
            let stamp = self.index.op(touch.txn).timestamps.commit;
            stamped.extend(stamp.zip(touch.writes.last().copied()));
        }
        stamped.sort_unstable();
        for pair in stamped.windows(2) {
            orders.insert((Some(pair[0].1), pair[1].1), Certainty::Data);
        }
    }

    /// A sweep over time that remembers the versions somebody had seen or written and ended with.
    /// One that another has followed since, from beginning to end, says nothing new and is forgotten:
    /// as many are remembered as transactions run side by side.
    fn order_by_realtime(&self, touches: &[Touch], orders: &mut Orders) {
        let mut begins: Vec<(Nanos, usize)> = Vec::new();
        let mut ends: Vec<(Nanos, usize)> = Vec::new();
        for (at, touch) in touches.iter().enumerate() {
            let op = self.index.op(touch.txn);
            if in_present(self.index, touch.txn) {
                begins.push((op.invoked, at));
            }
            if op.outcome == Outcome::Ok {
                ends.extend(op.completed.map(|end| (end, at)));
            }
        }
        begins.sort_unstable();
        ends.sort_unstable();
        let mut ended: BTreeMap<Known, (Nanos, TxnId)> = BTreeMap::new();
        let mut next_end = 0;
        for (begin, at) in begins {
            while let Some((end, ending)) = ends.get(next_end).filter(|(end, _)| *end < begin) {
                next_end += 1;
                let touch = &touches[*ending];
                if self.first_known(touch).is_some() && in_present(self.index, touch.txn) {
                    let began = self.index.op(touch.txn).invoked;
                    ended.retain(|_, (end, _)| *end >= began);
                }
                let left = touch.writes.last().copied().map(Some).or_else(|| self.read(touch));
                if let Some(left) = left {
                    ended.insert(left, (*end, touch.txn));
                }
            }
            let Some(Some(first)) = self.first_known(&touches[at]) else { continue };
            for (earlier, (_, txn)) in ended.iter().filter(|(earlier, _)| **earlier != Some(first))
            {
                let certainty = Certainty::Realtime(*txn, touches[at].txn);
                orders.entry((*earlier, first)).or_insert(certainty);
            }
        }
    }

    /// The first version a transaction had to do with.
    fn first_known(&self, touch: &Touch) -> Option<Known> {
        self.read(touch).or_else(|| touch.writes.last().copied().map(Some))
    }

    fn register_edges(&mut self, key: KeyId, touches: &[Touch], orders: Orders) {
        let mut readers: BTreeMap<Known, Vec<TxnId>> = BTreeMap::new();
        for touch in touches {
            if let Some(read) = self.read(touch) {
                readers.entry(read).or_default().push(touch.txn);
            }
        }
        let mut following: BTreeMap<Known, Vec<(VersionId, Certainty)>> = BTreeMap::new();
        for ((earlier, later), certainty) in orders {
            following.entry(earlier).or_default().push((later, certainty));
        }
        for (version, later) in following {
            let about = About { key: Some(key), from: version, ..About::NOTHING };
            let writer = version.and_then(|version| self.index.counted_writer(version));
            let readers = readers.get(&version).map_or(&[][..], Vec::as_slice);
            if readers.len() * later.len() > PAIRS_WITHOUT_FAN && later.len() > 1 {
                self.fan_out((writer, readers), &later, about);
                continue;
            }
            for (later, certainty) in later {
                let Some(overwriter) = self.index.counted_writer(later) else { continue };
                let about = About { to: Some(later), evidence: certainty.evidence(), ..about };
                if let Some(writer) = writer {
                    let kind = certainty.mark(EdgeKind::WW);
                    self.graph.edge(writer, overwriter, kind, about);
                }
                for reader in readers {
                    self.graph.edge(*reader, overwriter, certainty.mark(EdgeKind::RW), about);
                }
            }
        }
    }

    /// Edges from a version's writer and its many readers to the many versions after it.
    fn fan_out(
        &mut self,
        (writer, readers): (Option<TxnId>, &[TxnId]),
        later: &[(VersionId, Certainty)],
        about: About,
    ) {
        for by_realtime in [false, true] {
            let of_kind = |found: &Certainty| found.evidence().is_some() == by_realtime;
            let versions = later.iter().filter(|(_, found)| of_kind(found));
            let Some((_, certainty)) = versions.clone().next() else { continue };
            let targets: Vec<(TxnId, VersionId)> = versions
                .filter_map(|(version, _)| Some((self.index.counted_writer(*version)?, *version)))
                .collect();
            let own: BTreeMap<TxnId, usize> =
                targets.iter().enumerate().map(|(at, (txn, _))| (*txn, at)).collect();
            let fan = Fan::new(&mut self.graph, targets);
            let sources = writer.map(|writer| (writer, EdgeKind::WW)).into_iter();
            for (from, kind) in sources.chain(readers.iter().map(|reader| (*reader, EdgeKind::RW)))
            {
                let kind = certainty.mark(kind);
                let own = own.get(&from).copied().unwrap_or(fan.len());
                fan.edges(&mut self.graph, from, 0..own, (kind, about));
                fan.edges(&mut self.graph, from, own + 1..fan.len(), (kind, about));
            }
        }
    }
}

impl Certainty {
    fn evidence(self) -> Option<(TxnId, TxnId)> {
        if let Self::Realtime(earlier, later) = self { Some((earlier, later)) } else { None }
    }

    fn mark(self, kind: EdgeKind) -> EdgeKind {
        match self {
            Self::Data => kind,
            Self::Realtime(..) => kind.and(EdgeKind::BY_REALTIME),
        }
    }
}

fn raw_read(touch: &Touch) -> Option<VersionId> {
    match touch.seen {
        Some(Seen::One(version)) => Some(version),
        Some(Seen::All(_)) | None => None,
    }
}
