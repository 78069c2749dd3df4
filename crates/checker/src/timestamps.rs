//! The white-box judgement: do a database's own timestamps explain what clients saw?
//!
//! A database that orders transactions by timestamps says more than reads alone can show. Holding
//! it to that is exact and takes O(n log n), whether values repeat or not:
//!
//! 1. **Reads.** A read at `t` returns the newest version committed at or below `t`. Under
//!    serializability, nothing that a writing transaction read changed between its snapshot and
//!    its own commit timestamp.
//! 2. **Commits.** Two commits of the same key never have the same timestamp.
//! 3. **Real time.** If `a` ended before `b` began and both wrote, then `s_a < s_b`. If `b` only
//!    reads, strongly, then its `t` is not below the commit timestamp of anything that was
//!    acknowledged before it began on a key it reads.
//!
//! Rule 3 says nothing of disjoint reads: a snapshot may be as old as the last write of what it
//! reads. It needs to say nothing of a read that ended before a write began: had that write a
//! timestamp below the read's, the read would have missed it, which rule 1 finds.
//!
//! What has no timestamp (a write of unknown outcome that somebody saw, say) is left out of what is
//! compared; the graph of dependencies judges it all the same.

use std::collections::BTreeMap;

use rustc_hash::FxHashSet;

use crate::{
    Kind, Model, Nanos, Order, Outcome, Stamp, Stats, Timestamps, Value,
    index::{Index, KeyId, KeyKind, Txn, TxnId, VersionId},
    infer::{Seen, Touch, touches_of},
    order::end,
    report::{Found, Report, ended_before},
};

/// The commits of a key.
#[derive(Debug, Default)]
struct Commits {
    /// Ascending.
    stamps: Vec<(Stamp, TxnId)>,
    /// What they wrote, one after the other.
    versions: Vec<VersionId>,
    /// By commit: how many of `versions` were written by it and those before it.
    lengths: Vec<usize>,
    /// Acknowledged ones by the time of that, with the highest timestamp so far.
    acknowledged: Acknowledged,
}

/// Ends of commits, ascending, each with the highest timestamp so far.
#[derive(Debug, Default)]
struct Acknowledged(Vec<(Nanos, Stamp, TxnId)>);

/// Holds a history's timestamps against what was read. Returns the keys that were judged wholly.
pub(crate) fn judge<'h>(
    index: &Index<'h>,
    report: &mut Report<'h>,
    stats: &mut Stats,
    model: Model,
) -> FxHashSet<KeyId> {
    let mut judgement = Judgement::new(index, report, model);
    judgement.commits();
    if model.is_realtime() {
        judgement.order_of_commits();
    }
    let keys = std::mem::take(&mut judgement.keys);
    let none = Commits::default();
    for (txn, _) in index.counted() {
        for (key, touch, _) in touches_of(index, txn) {
            judgement.touch(key, keys.get(&key).unwrap_or(&none), &touch);
        }
    }
    stats.timestamped_reads += judgement.reads;
    if judgement.reads == 0 && keys.values().all(|commits| commits.stamps.is_empty()) {
        let message = "no operation has timestamps: nothing was judged by them";
        judgement.report.undecided(message.into());
    }
    let is_bare = |(txn, found): &(TxnId, &Txn)| {
        index.op(*txn).timestamps == Timestamps::default() && !found.steps.is_empty()
    };
    let bare = index.counted().filter(is_bare).count();
    judgement.report.skip("operations without timestamps, which were not judged by them", bare);
    let unjudged = judgement.unjudged;
    let keys = (0..index.keys.len()).map(|key| KeyId(key as u32));
    keys.filter(|key| !unjudged.contains(key) && index.kind(*key) != KeyKind::Counter).collect()
}

struct Judgement<'i, 'h> {
    index: &'i Index<'h>,
    report: &'i mut Report<'h>,
    model: Model,
    keys: BTreeMap<KeyId, Commits>,
    /// Versions that somebody wrote at an unknown timestamp.
    unstamped: FxHashSet<VersionId>,
    /// Keys with operations that could not be judged.
    unjudged: FxHashSet<KeyId>,
    reads: usize,
}

impl<'i, 'h> Judgement<'i, 'h> {
    fn new(index: &'i Index<'h>, report: &'i mut Report<'h>, model: Model) -> Self {
        let (keys, reads) = (BTreeMap::new(), 0);
        let (unstamped, unjudged) = (FxHashSet::default(), FxHashSet::default());
        let mut new = Self { index, report, model, keys, unstamped, unjudged, reads };
        let mut commits: Vec<(Stamp, TxnId)> = Vec::new();
        for at in 0..index.txns.len() {
            let id = TxnId(at as u32);
            let op = index.op(id);
            match op.timestamps.commit.filter(|_| index.txn(id).counts) {
                Some(stamp) => commits.push((stamp, id)),
                None if op.outcome == Outcome::Fail => {}
                None => {
                    for (key, touch, _) in touches_of(index, id) {
                        if !touch.writes.is_empty() {
                            new.unstamped.extend(&touch.writes);
                            new.unjudged.insert(key);
                        }
                    }
                }
            }
        }
        commits.sort_unstable();
        for (stamp, txn) in commits {
            for (key, touch, _) in touches_of(index, txn) {
                if touch.writes.is_empty() {
                    continue;
                }
                let commits = new.keys.entry(key).or_default();
                commits.stamps.push((stamp, txn));
                commits.versions.extend(&touch.writes);
                commits.lengths.push(commits.versions.len());
            }
        }
        for commits in new.keys.values_mut() {
            commits.acknowledged = Acknowledged::new(index, &commits.stamps);
        }
        new
    }

    /// Rule 2.
    fn commits(&mut self) {
        for (key, commits) in &self.keys {
            for pair in commits.stamps.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
                let key = self.index.key_name(*key);
                let ops = pair.iter().map(|(_, txn)| self.index.txn(*txn).op).collect();
                let stamp = pair[0].0;
                self.report.add(Kind::SameTimestamp, Order::Data, || Found {
                    ops,
                    keys: vec![key],
                    explanation: format!("T1 and T2 both wrote {key} at the timestamp {stamp}."),
                    ..Found::default()
                });
            }
        }
    }

    /// Rule 3 for those that wrote.
    fn order_of_commits(&mut self) {
        let is_strong = |txn: &TxnId| self.index.op(*txn).staleness.is_none();
        let commits = self.index.counted().map(|(txn, _)| txn).filter(is_strong);
        let commits: Vec<(Stamp, TxnId)> =
            commits.filter_map(|txn| Some((self.index.op(txn).timestamps.commit?, txn))).collect();
        let acknowledged = Acknowledged::new(self.index, &commits);
        for (stamp, later) in commits {
            let highest = acknowledged.before(self.index.op(later).invoked);
            if let Some((earlier_stamp, earlier)) = highest.filter(|(s, _)| *s >= stamp) {
                self.add_order((earlier, earlier_stamp), (later, stamp), Vec::new());
            }
        }
    }

    fn add_order(
        &mut self,
        (earlier, earlier_stamp): (TxnId, Stamp),
        (later, later_stamp): (TxnId, Stamp),
        keys: Vec<&'h Value>,
    ) {
        let index = self.index;
        let ops = vec![index.txn(earlier).op, index.txn(later).op];
        let unit = index.history.time_unit;
        self.report.add(Kind::TimestampOrder, Order::Data, || {
            let gap = ended_before(unit, index.op(earlier), index.op(later));
            let gap = gap.expect("it ended before the other began");
            let explanation = format!(
                "T1 committed at {earlier_stamp} and ended {gap} before T2 began, yet T2's timestamp \
                 is {later_stamp}."
            );
            Found { ops, keys, explanation, ..Found::default() }
        });
    }

    /// Rules 1 and 3 for what a transaction saw of a key.
    fn touch(&mut self, key: KeyId, commits: &Commits, touch: &Touch) {
        let Some(seen) = &touch.seen else { return };
        let op = self.index.op(touch.txn);
        let Timestamps { read, commit } = op.timestamps;
        let serializable = self.model >= Model::Serializable;
        let is_register = self.index.kind(key) == KeyKind::Register;
        if (self.index.repeats(key) && !is_register) || (read.is_none() && commit.is_none()) {
            self.unjudged.insert(key);
            return;
        }
        // What it saw: the newest at its snapshot, or else below its own commit.
        let visible = match (read, commit) {
            (Some(read), _) => commits.up_to(read),
            (None, Some(commit)) if serializable => commits.below(commit),
            (None, _) => {
                self.unjudged.insert(key);
                return;
            }
        };
        self.reads += 1;
        let matches = self.matches(seen, commits, visible);
        let name = self.index.key_name(key);
        if !matches {
            let newest = visible.checked_sub(1).map(|newest| commits.stamps[newest]);
            self.add_wrong_version(touch.txn, newest, name);
            return;
        }
        if let (Some(_), Some(commit)) = (read, commit.filter(|_| serializable)) {
            let changed = commits.stamps[visible..commits.below(commit).max(visible)].first();
            if let Some((stamp, writer)) = changed.copied().filter(|(_, w)| *w != touch.txn) {
                self.add_changed(touch.txn, (stamp, writer), name);
            }
        }
        let only_reads = commit.is_none() && op.staleness.is_none() && self.model.is_realtime();
        if let Some(read) = read.filter(|_| only_reads)
            && let Some((stamp, writer)) = commits.acknowledged.before(op.invoked)
            && stamp > read
        {
            self.add_order((writer, stamp), (touch.txn, read), vec![name]);
        }
    }

    /// Whether what was seen is what the first `visible` commits left.
    fn matches(&self, seen: &Seen, commits: &Commits, visible: usize) -> bool {
        let length = visible.checked_sub(1).map_or(0, |newest| commits.lengths[newest]);
        let versions = &commits.versions[..length];
        match seen {
            Seen::One(version) => {
                let expected = versions.last();
                let is_initial = self.index.version(*version).initial;
                // Whatever nobody wrote, the graph of dependencies judges.
                expected.map_or(is_initial, |expected| expected == version)
                    || self.unstamped.contains(version)
                    || (!is_initial && self.index.version(*version).writer.is_none())
            }
            Seen::All(seen) => {
                let stamped = |v: &&VersionId| {
                    !self.unstamped.contains(v) && self.index.version(**v).writer.is_some()
                };
                let seen: Vec<VersionId> = seen.iter().filter(stamped).copied().collect();
                if versions.first().is_none_or(|v| self.is_list(*v)) {
                    return seen == versions;
                }
                let mut expected = versions.to_vec();
                expected.sort_unstable();
                seen == expected
            }
        }
    }

    fn is_list(&self, version: VersionId) -> bool {
        self.index.kind(self.index.version(version).key) == KeyKind::List
    }

    fn add_wrong_version(&mut self, reader: TxnId, newest: Option<(Stamp, TxnId)>, key: &'h Value) {
        let index = self.index;
        let mut ops = vec![index.txn(reader).op];
        ops.extend(newest.map(|(_, writer)| index.txn(writer).op));
        let Timestamps { read, commit } = index.op(reader).timestamps;
        self.report.add(Kind::WrongVersion, Order::Data, || {
            let at = match (read, commit) {
                (Some(read), _) => format!("at {read}"),
                (None, Some(commit)) => format!("below its commit at {commit}"),
                (None, None) => unreachable!("a read without timestamps is not judged"),
            };
            let newest = match newest {
                Some((stamp, _)) => format!("the newest version is T2's of {stamp}"),
                None => "nobody had written it".to_owned(),
            };
            let explanation =
                format!("T1 read {key} {at}, where {newest}; that is not what it got.");
            Found { ops, keys: vec![key], explanation, ..Found::default() }
        });
    }

    fn add_changed(&mut self, reader: TxnId, (stamp, writer): (Stamp, TxnId), key: &'h Value) {
        let ops = vec![self.index.txn(reader).op, self.index.txn(writer).op];
        let Timestamps { read, commit } = self.index.op(reader).timestamps;
        let (read, commit) = (read.unwrap_or_default(), commit.unwrap_or_default());
        self.report.add(Kind::ChangedRead, Order::Data, || Found {
            ops,
            keys: vec![key],
            explanation: format!(
                "T1 read {key} at {read} and committed at {commit}, but T2 wrote {key} at {stamp}, \
                 between the two."
            ),
            ..Found::default()
        });
    }
}

impl Commits {
    /// How many commits are at or below a timestamp.
    fn up_to(&self, stamp: Stamp) -> usize {
        self.stamps.partition_point(|(commit, _)| *commit <= stamp)
    }

    fn below(&self, stamp: Stamp) -> usize {
        self.stamps.partition_point(|(commit, _)| *commit < stamp)
    }
}

impl Acknowledged {
    fn new(index: &Index<'_>, commits: &[(Stamp, TxnId)]) -> Self {
        let mut ends: Vec<(Nanos, Stamp, TxnId)> = commits
            .iter()
            .filter_map(|(stamp, txn)| Some((end(index, *txn)?, *stamp, *txn)))
            .collect();
        ends.sort_unstable();
        let mut highest: Option<(Stamp, TxnId)> = None;
        for (_, stamp, txn) in &mut ends {
            let found = highest.filter(|(highest, _)| *highest > *stamp).unwrap_or((*stamp, *txn));
            highest = Some(found);
            (*stamp, *txn) = found;
        }
        Self(ends)
    }

    /// The highest timestamp acknowledged before a moment.
    fn before(&self, moment: Nanos) -> Option<(Stamp, TxnId)> {
        let ended = self.0.partition_point(|(end, ..)| *end < moment);
        let last = ended.checked_sub(1)?;
        Some((self.0[last].1, self.0[last].2))
    }
}
