//! Collects what judgements find, and turns it into witnesses.

use std::collections::BTreeMap;

use crate::{
    Action, Anomaly, Call, History, Kind, MicroOp, Model, Operation, Order, Outcome, Skipped,
    TimeUnit, Value, Witness, WitnessEdge, WitnessOp, verdict::MAX_WITNESSES,
};

/// What a judgement found.
#[derive(Debug, Default)]
pub(crate) struct Found<'h> {
    /// Positions in [`History::ops`]; the first one is called `T1` in the explanation.
    pub ops: Vec<usize>,
    /// Keys concerned; empty for all that the operations touch.
    pub keys: Vec<&'h Value>,
    pub edges: Vec<WitnessEdge>,
    pub explanation: String,
}

/// Of each kind so many witnesses are made, to choose the plainest among them.
const CANDIDATES: usize = 64;

/// All findings so far.
#[derive(Debug)]
pub(crate) struct Report<'h> {
    history: &'h History,
    model: Model,
    pub anomalies: Vec<Anomaly>,
    /// How many of each were found, shown or not.
    counts: BTreeMap<(Kind, Order), usize>,
    pub notes: Vec<String>,
    /// What was passed over.
    pub skipped: Vec<Skipped>,
    /// Something could not be judged.
    pub undecided: bool,
}

impl<'h> Report<'h> {
    pub(crate) fn new(history: &'h History, model: Model) -> Self {
        let skipped = history.skipped.clone();
        let (anomalies, notes, counts) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { history, model, anomalies, counts, notes, skipped, undecided: false }
    }

    /// Adds a finding; its witness is only made if it may be shown.
    pub(crate) fn add(&mut self, kind: Kind, order: Order, found: impl FnOnce() -> Found<'h>) {
        let count = self.counts.entry((kind, order)).or_default();
        *count += 1;
        if *count > CANDIDATES {
            return;
        }
        let found = found();
        let ops = found.ops.iter().map(|op| self.witness_op(&self.history.ops[*op], &found.keys));
        let witness = Witness {
            ops: ops.collect(),
            edges: found.edges,
            keys: found.keys.iter().map(ToString::to_string).collect(),
        };
        let forbidden = self.model.forbids(kind, order);
        let explanation = found.explanation;
        self.anomalies.push(Anomaly { kind, order, forbidden, explanation, witness });
    }

    /// Something was not judged, and nothing else judges it.
    pub(crate) fn undecided(&mut self, note: String) {
        self.undecided = true;
        self.notes.push(note);
    }

    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Some operations were not judged by one of the judgements.
    pub(crate) fn skip(&mut self, reason: &str, count: usize) {
        if count > 0 {
            self.skipped.push(Skipped { reason: reason.to_owned(), count, line: None });
        }
    }

    /// Whether anything was found that the model forbids.
    pub(crate) fn has_forbidden(&self) -> bool {
        self.anomalies.iter().any(|anomaly| anomaly.forbidden)
    }

    /// How many of each name were found.
    pub(crate) fn found(&self) -> BTreeMap<String, usize> {
        let counts = self.counts.iter();
        counts.map(|((kind, order), count)| (order.mark(*kind), *count)).collect()
    }

    /// Keeps the plainest of each kind. The forbidden ones come first; of these the plainest of
    /// each kind, then the next of each kind, so that the first few tell as much as they can.
    pub(crate) fn finish(&mut self) {
        self.anomalies.sort_by_key(|anomaly| (!anomaly.forbidden, anomaly.size()));
        let mut kept: BTreeMap<(Kind, Order), usize> = BTreeMap::new();
        let mut ranked: Vec<(usize, Anomaly)> = Vec::new();
        for anomaly in std::mem::take(&mut self.anomalies) {
            let rank = kept.entry((anomaly.kind, anomaly.order)).or_default();
            *rank += 1;
            if *rank <= MAX_WITNESSES {
                ranked.push((*rank, anomaly));
            }
        }
        ranked.sort_by_key(|(rank, anomaly)| (!anomaly.forbidden, *rank));
        self.anomalies = ranked.into_iter().map(|(_, anomaly)| anomaly).collect();
    }

    fn witness_op(&self, op: &Operation, keys: &[&Value]) -> WitnessOp {
        WitnessOp {
            index: op.index,
            process: self.history.process_name(op.process),
            invoked: op.invoked,
            completed: op.completed,
            outcome: op.outcome,
            timestamps: op.timestamps,
            text: describe(op, keys),
            steps: steps(op, keys),
            note: op.note.as_deref().map(str::to_owned),
        }
    }
}

/// How many steps an operation has on some keys (on all, if none are named).
fn steps(op: &Operation, keys: &[&Value]) -> usize {
    match &op.action {
        Action::Txn(ops) => {
            let concerned = |op: &&MicroOp| keys.is_empty() || keys.contains(&op.key());
            ops.iter().filter(concerned).count()
        }
        Action::Register { .. } => 1,
        Action::Transfer { .. } => 2,
        Action::Balances(balances) => balances.as_ref().map_or(1, Vec::len),
    }
}

/// Of a longer list the last elements are shown.
const SHOWN_ELEMENTS: usize = 12;
/// Of a longer transaction the first steps on the keys concerned are shown.
const SHOWN_STEPS: usize = 12;

/// What an operation did to some keys (to all, if none are named), as a person would say it.
pub(crate) fn describe(op: &Operation, keys: &[&Value]) -> String {
    match &op.action {
        Action::Txn(ops) => {
            let concerned = |op: &&MicroOp| keys.is_empty() || keys.contains(&op.key());
            let mut parts: Vec<String> = ops.iter().filter(concerned).map(describe_step).collect();
            let hidden = ops.len() - parts.len().min(SHOWN_STEPS);
            parts.truncate(SHOWN_STEPS);
            if hidden > 0 {
                parts.push(format!("({hidden} more)"));
            }
            parts.join("; ")
        }
        Action::Register { key, call } => match call {
            Call::Read(value) => format!("read {key}: {}", answer(value.as_ref())),
            Call::Write(value) => format!("write {key} = {value}"),
            Call::CompareAndSet { from, to } => format!("compare-and-set {key}: {from} -> {to}"),
            Call::Add(amount) => format!("add {amount} to {key}"),
            Call::Acquire => format!("acquire {key}"),
            Call::Release => format!("release {key}"),
        },
        Action::Transfer { from, to, amount } => format!("transfer {amount} from {from} to {to}"),
        Action::Balances(None) => "read all accounts: ?".to_owned(),
        Action::Balances(Some(balances)) => {
            let balances = balances.iter().map(|(account, balance)| match balance {
                Some(balance) => format!("{account}: {balance}"),
                None => format!("{account}: nil"),
            });
            format!("read all accounts: {}", balances.collect::<Vec<_>>().join(", "))
        }
    }
}

fn describe_step(op: &MicroOp) -> String {
    match op {
        MicroOp::Append { key, value } => format!("append {value} to {key}"),
        MicroOp::Write { key, value } => format!("write {key} = {value}"),
        MicroOp::Add { key, value } => format!("add {value} to {key}"),
        MicroOp::ReadRegister { key, value } => format!("read {key}: {}", answer(value.as_ref())),
        MicroOp::ReadList { key, values } => format!("read {key}: {}", elements(values, '[', ']')),
        MicroOp::ReadSet { key, values } => format!("read {key}: {}", elements(values, '{', '}')),
    }
}

fn answer(value: Option<&Value>) -> String {
    value.map_or_else(|| "?".to_owned(), ToString::to_string)
}

fn elements(values: &Option<Vec<Value>>, open: char, close: char) -> String {
    let Some(values) = values else { return "?".to_owned() };
    let hidden = values.len().saturating_sub(SHOWN_ELEMENTS);
    let mut parts = Vec::new();
    if hidden > 0 {
        parts.push(format!("({hidden} more)"));
    }
    parts.extend(values[hidden..].iter().map(ToString::to_string));
    format!("{open}{}{close}", parts.join(" "))
}

/// How long before `later` began `earlier` ended, if it did: `12 ms`.
pub(crate) fn ended_before(
    unit: TimeUnit,
    earlier: &Operation,
    later: &Operation,
) -> Option<String> {
    let end = earlier.completed.filter(|_| earlier.outcome == Outcome::Ok)?;
    let gap = later.invoked.0.checked_sub(end.0).filter(|gap| *gap > 0)?;
    Some(duration(unit, gap))
}

/// A time between two events as a person would say it.
pub(crate) fn duration(unit: TimeUnit, time: u64) -> String {
    match (unit, time) {
        (TimeUnit::Positions, 1) => "1 line".into(),
        (TimeUnit::Positions, _) => format!("{time} lines"),
        (_, 0..1_000) => format!("{time} ns"),
        (_, 1_000..1_000_000) => format!("{} us", decimal(time, 1_000)),
        (_, 1_000_000..10_000_000_000) => format!("{} ms", decimal(time, 1_000_000)),
        (TimeUnit::Nanoseconds, _) => format!("{} s", decimal(time, 1_000_000_000)),
    }
}

/// With three digits after the point at most.
fn decimal(time: u64, unit: u64) -> String {
    let (whole, thousandths) = (time / unit, time % unit * 1_000 / unit);
    let text = format!("{whole}.{thousandths:03}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
