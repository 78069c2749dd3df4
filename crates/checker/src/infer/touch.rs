//! What each transaction did to each key, seen from outside.
//!
//! A transaction sees its own writes, and, from snapshot isolation upwards, everything else as it was
//! at one moment. So of all its reads of a key one fact remains: what it saw *of others*. Whatever
//! contradicts that is the anomaly `internal`.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::Inference;
use crate::{
    Kind, Order,
    index::{Index, KeyId, KeyKind, Step, TxnId, VersionId},
    report::Found,
};

/// What a transaction saw of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A register's version.
    One(VersionId),
    /// A list's elements in order, or a set's elements sorted.
    All(Vec<VersionId>),
}

/// What a transaction did to a key.
#[derive(Debug)]
pub(crate) struct Touch {
    pub txn: TxnId,
    /// `None` if it read nothing, or only its own.
    pub seen: Option<Seen>,
    /// What it wrote, in order.
    pub writes: Vec<VersionId>,
}

impl Inference<'_, '_> {
    /// All touches of keys whose values are names, by key. Reports contradictions within transactions.
    pub(super) fn touches(&mut self) -> BTreeMap<KeyId, Vec<Touch>> {
        let index = self.index;
        let mut by_key: BTreeMap<KeyId, Vec<Touch>> = BTreeMap::new();
        for (id, _) in index.counted() {
            for (key, touch, consistency) in touches_of(index, id) {
                if consistency == Consistency::Contradicts {
                    self.add_internal(id, key);
                }
                if !index.repeats(key) {
                    by_key.entry(key).or_default().push(touch);
                }
            }
        }
        by_key
    }

    fn add_internal(&mut self, txn: TxnId, key: KeyId) {
        let (op, key) = (self.position(txn), self.index.key_name(key));
        self.report.add(Kind::Internal, Order::Data, || Found {
            ops: vec![op],
            keys: vec![key],
            explanation: format!(
                "A read of {key} in T1 contradicts what T1 itself had read from or written to {key} \
                 before."
            ),
            ..Found::default()
        });
    }
}

/// Whether a transaction's reads of a key agree with each other and with its own writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consistency {
    Agrees,
    Contradicts,
}

/// What a transaction did to each of its keys, in the order in which it came to them.
pub(crate) fn touches_of(index: &Index<'_>, txn: TxnId) -> Vec<(KeyId, Touch, Consistency)> {
    let mut touches: Vec<(KeyId, Touch, Consistency)> = Vec::new();
    let mut of_key: FxHashMap<KeyId, usize> = FxHashMap::default();
    for step in &index.txn(txn).steps {
        let key = step.key();
        // What a counter showed tells nobody's write; it is judged call by call.
        if index.kind(key) == KeyKind::Counter {
            continue;
        }
        let at = *of_key.entry(key).or_insert_with(|| {
            let touch = Touch { txn, seen: None, writes: Vec::new() };
            touches.push((key, touch, Consistency::Agrees));
            touches.len() - 1
        });
        let (_, touch, consistency) = &mut touches[at];
        if !touch.apply(step, index.kind(key)) {
            *consistency = Consistency::Contradicts;
        }
    }
    for (key, touch, consistency) in &mut touches {
        // Where values repeat, what looks like its own may be another's.
        if !index.repeats(*key) && touch.saw_own_future() {
            *consistency = Consistency::Contradicts;
        }
    }
    touches
}

impl Touch {
    /// Takes a step into account. False if it contradicts earlier ones.
    fn apply(&mut self, step: &Step, kind: KeyKind) -> bool {
        match step {
            Step::Write(_, version) => {
                self.writes.push(*version);
                true
            }
            Step::Add(..) => true,
            Step::Read(_, version) => self.read_one(*version),
            Step::ReadAll(_, versions) if kind == KeyKind::Set => self.read_set(versions),
            Step::ReadAll(_, versions) => self.read_list(versions),
        }
    }

    /// Whether it saw, among what should be others', what it wrote only later.
    fn saw_own_future(&self) -> bool {
        match &self.seen {
            None => false,
            Some(Seen::One(version)) => self.writes.contains(version),
            Some(Seen::All(versions)) => self.writes.iter().any(|own| versions.contains(own)),
        }
    }

    fn read_one(&mut self, version: VersionId) -> bool {
        if let Some(own) = self.writes.last() {
            return *own == version;
        }
        match &self.seen {
            None => {
                self.seen = Some(Seen::One(version));
                true
            }
            Some(seen) => *seen == Seen::One(version),
        }
    }

    fn read_list(&mut self, versions: &[VersionId]) -> bool {
        let (others, ends_with_own) = match versions.strip_suffix(&self.writes[..]) {
            Some(others) if !others.iter().any(|v| self.writes.contains(v)) => {
                (others.to_vec(), true)
            }
            _ => {
                let others = versions.iter().filter(|v| !self.writes.contains(v));
                (others.copied().collect(), false)
            }
        };
        self.see(others) && ends_with_own
    }

    fn read_set(&mut self, versions: &[VersionId]) -> bool {
        let has_own = self.writes.iter().all(|own| versions.contains(own));
        let others = versions.iter().filter(|v| !self.writes.contains(v));
        let mut others: Vec<VersionId> = others.copied().collect();
        others.sort_unstable();
        others.dedup();
        self.see(others) && has_own
    }

    fn see(&mut self, others: Vec<VersionId>) -> bool {
        match &self.seen {
            None => {
                self.seen = Some(Seen::All(others));
                true
            }
            Some(seen) => *seen == Seen::All(others),
        }
    }
}
