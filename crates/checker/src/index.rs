//! A history with numbers instead of names.
//!
//! Judgements compare keys and values all the time, so each key and each version (a value of a key)
//! gets a number once. Transactions become lists of [`Step`]s, and every version knows who wrote
//! it.
//!
//! Which transactions count: those that are known to have happened, and the unknown ones of which
//! somebody who counts saw an effect. The others, failed ones included, stay in the index so that a
//! read of theirs is recognised for what it is.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::{Action, Call, History, MicroOp, Operation, Outcome, Value, World};

/// A key's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KeyId(pub u32);

/// A version's number: a value of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct VersionId(pub u32);

/// A transaction's number. Also its node in the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TxnId(pub u32);

impl TxnId {
    pub(crate) fn at(self) -> usize {
        self.0 as usize
    }
}

/// What a key is: decided by the first operation that tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    List,
    Register,
    Set,
    /// A register of integers that calls add to: what was added by whom, no read tells.
    Counter,
}

/// A micro-operation in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Append, write or add to a set.
    Write(KeyId, VersionId),
    /// Adds to a counter.
    Add(KeyId, i64),
    /// Read of a register.
    Read(KeyId, VersionId),
    /// Read of a list or a set.
    ReadAll(KeyId, Vec<VersionId>),
}

impl Step {
    pub(crate) fn key(&self) -> KeyId {
        match self {
            Self::Write(key, _)
            | Self::Add(key, _)
            | Self::Read(key, _)
            | Self::ReadAll(key, _) => *key,
        }
    }
}

/// A transaction, or its part on one key.
#[derive(Debug)]
pub(crate) struct Txn {
    /// Position in [`History::ops`].
    pub op: usize,
    /// Without reads whose result is unknown.
    pub steps: Vec<Step>,
    /// Whether it happened: known to, or seen to.
    pub counts: bool,
}

/// A version of a key.
#[derive(Debug)]
pub(crate) struct Version<'h> {
    pub key: KeyId,
    pub value: &'h Value,
    /// Who wrote it; the first one if there are several.
    pub writer: Option<TxnId>,
    /// Whether its writer wrote nothing to the key afterwards.
    pub last: bool,
    /// Whether a register held it before anybody wrote.
    pub initial: bool,
}

/// What a lock holds while somebody has it; free it holds nothing.
static HELD: Value = Value::Bool(true);

/// How transactions over several keys are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// As they are.
    Whole,
    /// As one transaction per key: what is linearizable by key says nothing of the others.
    PerKey,
}

/// A history in numbers.
#[derive(Debug)]
pub(crate) struct Index<'h> {
    pub history: &'h History,
    pub cut: Cut,
    pub txns: Vec<Txn>,
    /// By [`KeyId`].
    pub keys: Vec<(&'h Value, KeyKind)>,
    /// By [`VersionId`].
    pub versions: Vec<Version<'h>>,
    /// Keys of which nobody can tell who wrote what: a value was written twice, or it is a counter.
    /// By [`KeyId`].
    pub repeats: Vec<bool>,
    /// Keys that some call takes or gives back.
    locks: FxHashSet<&'h Value>,
}

impl<'h> Index<'h> {
    /// Numbers a history.
    pub(crate) fn new(history: &'h History, cut: Cut) -> Self {
        let mut builder = Builder::new(history, cut);
        for (at, op) in history.ops.iter().enumerate() {
            builder.add(at, op);
        }
        let mut index = builder.index;
        index.find_writers();
        index.find_who_counts();
        index
    }

    pub(crate) fn txn(&self, txn: TxnId) -> &Txn {
        &self.txns[txn.at()]
    }

    pub(crate) fn op(&self, txn: TxnId) -> &'h Operation {
        &self.history.ops[self.txns[txn.at()].op]
    }

    pub(crate) fn version(&self, version: VersionId) -> &Version<'h> {
        &self.versions[version.0 as usize]
    }

    pub(crate) fn key_name(&self, key: KeyId) -> &'h Value {
        self.keys[key.0 as usize].0
    }

    /// What a register held before anybody wrote it. A lock is free then, whatever registers hold.
    pub(crate) fn initial(&self, key: KeyId) -> &'h Value {
        if self.is_lock(key) { &Value::Nil } else { self.history.initial.of(self.key_name(key)) }
    }

    pub(crate) fn is_lock(&self, key: KeyId) -> bool {
        self.locks.contains(self.key_name(key))
    }

    pub(crate) fn kind(&self, key: KeyId) -> KeyKind {
        self.keys[key.0 as usize].1
    }

    pub(crate) fn repeats(&self, key: KeyId) -> bool {
        self.repeats[key.0 as usize]
    }

    /// The writer of a version, if it counts.
    pub(crate) fn counted_writer(&self, version: VersionId) -> Option<TxnId> {
        self.version(version).writer.filter(|writer| self.txn(*writer).counts)
    }

    /// All transactions that count, in order.
    pub(crate) fn counted(&self) -> impl Iterator<Item = (TxnId, &Txn)> {
        let all = self.txns.iter().enumerate();
        all.filter(|(_, txn)| txn.counts).map(|(at, txn)| (TxnId(at as u32), txn))
    }

    fn find_writers(&mut self) {
        for at in 0..self.txns.len() {
            let id = TxnId(at as u32);
            let mut last_of_key: FxHashMap<KeyId, VersionId> = FxHashMap::default();
            let mut read: FxHashSet<VersionId> = FxHashSet::default();
            for step in &self.txns[at].steps {
                if let Step::Read(_, version) = step {
                    read.insert(*version);
                }
                let Step::Write(key, version) = step else { continue };
                // Who read what he then wrote read it from somebody else.
                if self.history.world == World::Open && read.contains(version) {
                    self.repeats[key.0 as usize] = true;
                }
                let failed = self.op(id).outcome == Outcome::Fail;
                let earlier = self.version(*version).writer;
                let earlier_failed = earlier.is_none_or(|t| self.op(t).outcome == Outcome::Fail);
                let found = &mut self.versions[version.0 as usize];
                // A value that is tried again after a failure is still its last writer's own.
                if (earlier.is_some() && !failed && !earlier_failed) || found.initial {
                    self.repeats[key.0 as usize] = true;
                }
                if earlier.is_none() || (earlier_failed && !failed) {
                    found.writer = Some(id);
                    found.last = true;
                }
                if let Some(earlier) = last_of_key.insert(*key, *version) {
                    self.versions[earlier.0 as usize].last = false;
                }
            }
        }
    }

    /// Unknown transactions count once somebody who counts saw an effect of theirs.
    fn find_who_counts(&mut self) {
        let mut to_visit: Vec<usize> =
            (0..self.txns.len()).filter(|at| self.txns[*at].counts).collect();
        while let Some(at) = to_visit.pop() {
            let mut seen = Vec::new();
            for step in &self.txns[at].steps {
                match step {
                    Step::Write(..) | Step::Add(..) => {}
                    Step::Read(key, version) if !self.repeats(*key) => {
                        seen.extend(self.version(*version).writer);
                    }
                    Step::Read(..) => {}
                    Step::ReadAll(key, versions) if !self.repeats(*key) => {
                        seen.extend(versions.iter().filter_map(|v| self.version(*v).writer));
                    }
                    Step::ReadAll(..) => {}
                }
            }
            for writer in seen {
                let is_unknown = self.op(writer).outcome == Outcome::Unknown;
                if is_unknown && !self.txns[writer.at()].counts {
                    self.txns[writer.at()].counts = true;
                    to_visit.push(writer.at());
                }
            }
        }
    }
}

/// Builds an [`Index`].
struct Builder<'h> {
    index: Index<'h>,
    key_ids: FxHashMap<&'h Value, KeyId>,
    version_ids: FxHashMap<(KeyId, &'h Value), VersionId>,
    /// Keys that some call adds to.
    counters: FxHashSet<&'h Value>,
}

impl<'h> Builder<'h> {
    fn new(history: &'h History, cut: Cut) -> Self {
        let (mut counters, mut locks) = (FxHashSet::default(), FxHashSet::default());
        for op in &history.ops {
            let Action::Register { key, call } = &op.action else { continue };
            match call {
                Call::Add(_) => counters.insert(key),
                Call::Acquire | Call::Release => locks.insert(key),
                Call::Read(_) | Call::Write(_) | Call::CompareAndSet { .. } => continue,
            };
        }
        let index = Index {
            history,
            cut,
            txns: Vec::with_capacity(history.ops.len()),
            keys: Vec::new(),
            versions: Vec::new(),
            repeats: Vec::new(),
            locks,
        };
        let (key_ids, version_ids) = (FxHashMap::default(), FxHashMap::default());
        Self { index, key_ids, version_ids, counters }
    }

    fn add(&mut self, at: usize, op: &'h Operation) {
        let steps = match &op.action {
            Action::Txn(ops) => ops.iter().filter_map(|op| self.step(op)).collect(),
            Action::Register { key, call } => self.call_steps(key, call),
            Action::Transfer { .. } | Action::Balances(_) => Vec::new(),
        };
        let counts = op.outcome == Outcome::Ok;
        match self.index.cut {
            Cut::Whole => self.index.txns.push(Txn { op: at, steps, counts }),
            Cut::PerKey => {
                let mut parts: Vec<(KeyId, Vec<Step>)> = Vec::new();
                for step in steps {
                    let key = step.key();
                    match parts.iter_mut().find(|(part, _)| *part == key) {
                        Some((_, steps)) => steps.push(step),
                        None => parts.push((key, vec![step])),
                    }
                }
                let txns = parts.into_iter().map(|(_, steps)| Txn { op: at, steps, counts });
                self.index.txns.extend(txns);
            }
        }
    }

    fn step(&mut self, op: &'h MicroOp) -> Option<Step> {
        Some(match op {
            MicroOp::Append { key, value } => self.write(key, KeyKind::List, value),
            MicroOp::Write { key, value } => self.write(key, KeyKind::Register, value),
            MicroOp::Add { key, value } => self.write(key, KeyKind::Set, value),
            MicroOp::ReadRegister { key, value } => {
                let key = self.key(key, KeyKind::Register);
                Step::Read(key, self.version(key, value.as_ref()?))
            }
            MicroOp::ReadList { key, values } => {
                let key = self.key(key, KeyKind::List);
                let values = values.as_ref()?.iter();
                Step::ReadAll(key, values.map(|value| self.version(key, value)).collect())
            }
            MicroOp::ReadSet { key, values } => {
                let key = self.key(key, KeyKind::Set);
                let values = values.as_ref()?.iter();
                Step::ReadAll(key, values.map(|value| self.version(key, value)).collect())
            }
        })
    }

    fn call_steps(&mut self, key: &'h Value, call: &'h Call) -> Vec<Step> {
        let id = self.key(key, KeyKind::Register);
        let held = &HELD;
        match call {
            Call::Read(None) => Vec::new(),
            Call::Read(Some(value)) => vec![Step::Read(id, self.version(id, value))],
            Call::Write(value) => vec![Step::Write(id, self.version(id, value))],
            Call::CompareAndSet { from, to } => {
                let from = Step::Read(id, self.version(id, from));
                vec![from, Step::Write(id, self.version(id, to))]
            }
            Call::Add(amount) => vec![Step::Add(id, *amount)],
            Call::Acquire => {
                let free = Step::Read(id, self.version(id, &Value::Nil));
                vec![free, Step::Write(id, self.version(id, held))]
            }
            Call::Release => {
                let taken = Step::Read(id, self.version(id, held));
                vec![taken, Step::Write(id, self.version(id, &Value::Nil))]
            }
        }
    }

    fn write(&mut self, key: &'h Value, kind: KeyKind, value: &'h Value) -> Step {
        let key = self.key(key, kind);
        Step::Write(key, self.version(key, value))
    }

    fn key(&mut self, key: &'h Value, kind: KeyKind) -> KeyId {
        let index = &mut self.index;
        let is_counter = kind == KeyKind::Register && self.counters.contains(key);
        let kind = if is_counter { KeyKind::Counter } else { kind };
        let id = *self.key_ids.entry(key).or_insert_with(|| {
            index.keys.push((key, kind));
            index.repeats.push(is_counter);
            KeyId(index.keys.len() as u32 - 1)
        });
        // One key used as two kinds: what a value of it means cannot be told.
        if index.kind(id) != kind {
            index.repeats[id.0 as usize] = true;
        }
        id
    }

    fn version(&mut self, key: KeyId, value: &'h Value) -> VersionId {
        let kind = self.index.kind(key);
        let initial = matches!(kind, KeyKind::Register | KeyKind::Counter)
            && self.index.initial(key) == value;
        let versions = &mut self.index.versions;
        *self.version_ids.entry((key, value)).or_insert_with(|| {
            versions.push(Version { key, value, writer: None, last: false, initial });
            VersionId(versions.len() as u32 - 1)
        })
    }
}
