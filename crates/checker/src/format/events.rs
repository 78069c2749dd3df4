//! Jepsen's format, which Elle and Knossos read: an event when an operation begins (`:invoke`) and
//! another when it ends (`:ok`, `:fail`, `:info` for unknown), paired by process.
//!
//! ```text
//! {:type :invoke, :process 0, :f :txn, :value [[:append x 1] [:r y nil]], :time 10, :index 0}
//! {:type :ok,     :process 0, :f :txn, :value [[:append x 1] [:r y [3]]], :time 20, :index 1}
//! ```
//!
//! Real files leave out most of it. Without `:process` there is one; where any `:time` is missing,
//! the position in the file is the time; without `:f` the value tells what it is. Events of
//! processes that are no numbers (`:nemesis`) are passed over.
//!
//! What somebody outside of the file wrote: a register that is read but never written in the file
//! is taken to have been written by one unknown operation per value. Other values that nobody wrote
//! are no anomaly here ([`World::Open`]).

use std::{collections::BTreeMap, sync::Arc};

use super::{
    LoadError,
    form::{Data, Form},
    lines,
    micro::{self, Kinds},
};
use crate::{
    Action, Call, History, MicroOp, Nanos, Operation, Outcome, TimeUnit, Timestamps, Value,
    Workload, World,
};

/// An operation's two events.
struct Pair<'f> {
    begin: &'f Form,
    begin_position: usize,
    /// `None` if it never ended.
    end: Option<(&'f Form, usize)>,
    process: u64,
    outcome: Outcome,
}

impl<'f> Pair<'f> {
    /// Nil where there is none.
    fn value(&self) -> Option<&'f Form> {
        let ended = self.end.map(|(end, _)| end).filter(|_| self.outcome == Outcome::Ok);
        ended.and_then(|end| end.get("value")).or_else(|| self.begin.get("value"))
    }

    fn function(&self) -> Option<&'f str> {
        self.begin.get("f").and_then(Form::as_text)
    }

    fn is_balances(&self) -> bool {
        let is_map = self.value().is_some_and(|value| matches!(value.data, Data::Map(_)));
        self.function() == Some("read") && is_map
    }

    /// `[key value]` of a call on one of many registers.
    fn keyed(&self) -> Option<(&'f Form, &'f Form)> {
        let [key, value] = self.value()?.elements()? else { return None };
        let is_cas = self.function() == Some("cas");
        (!is_cas || value.elements().is_some_and(|pair| pair.len() == 2)).then_some((key, value))
    }
}

/// What the whole file tells about its single operations.
struct Habits {
    kinds: Kinds,
    /// Reads without an answer are of all balances.
    is_bank: bool,
    /// Values of reads, writes and compare-and-sets begin with a key.
    is_keyed: bool,
    /// `:add`, `:read` are of a set.
    is_set: bool,
}

/// The history that events tell.
pub(super) fn history(events: &[Form]) -> Result<History, LoadError> {
    let pairs = pair(events)?;
    let habits = habits(&pairs);
    let has_times = events.iter().filter(|event| is_client(event)).all(|e| e.get("time").is_some());
    let mut ops = Vec::with_capacity(pairs.len());
    for pair in &pairs {
        let time = |event: &Form, position: usize| match event.get("time") {
            Some(time) if has_times => time.unsigned("a time").map(Nanos),
            Some(_) | None => Ok(Nanos(position as u64)),
        };
        let index = match pair.begin.get("index") {
            Some(index) => index.unsigned("an index")?,
            None => pair.begin_position as u64,
        };
        let ended = pair.end.filter(|_| pair.outcome != Outcome::Unknown);
        let op = Operation {
            index,
            process: pair.process,
            invoked: time(pair.begin, pair.begin_position)?,
            completed: ended.map(|(end, position)| time(end, position)).transpose()?,
            outcome: pair.outcome,
            workload: workload(pair, &habits)?,
            action: action(pair, &habits)?,
            timestamps: timestamps(pair)?,
            staleness: pair
                .begin
                .get("staleness")
                .map(|s| s.unsigned("staleness"))
                .transpose()?
                .map(Nanos),
            note: note(pair),
        };
        if op.completed.is_some_and(|completed| completed < op.invoked) {
            return Err(pair.begin.error("the operation ends before it begins"));
        }
        ops.push(op);
    }
    let time_unit = if has_times { TimeUnit::Nanoseconds } else { TimeUnit::Positions };
    let mut history = History { ops, world: World::Open, time_unit };
    add_outside_writers(&mut history);
    Ok(history)
}

fn is_client(event: &Form) -> bool {
    event.get("process").is_none_or(|process| process.as_int().is_some())
}

fn pair(events: &[Form]) -> Result<Vec<Pair<'_>>, LoadError> {
    let mut pairs: Vec<Pair<'_>> = Vec::with_capacity(events.len() / 2);
    let mut open: BTreeMap<u64, usize> = BTreeMap::new();
    for (position, event) in events.iter().enumerate().filter(|(_, event)| is_client(event)) {
        let kind = event.get("type").and_then(Form::as_text);
        let process = event.get("process").map_or(Ok(0), |p| p.unsigned("a process"))?;
        let outcome = match kind {
            Some("invoke") => {
                if open.insert(process, pairs.len()).is_some() {
                    return Err(event.error(format!(
                        "process {process} begins an operation before its last one ended"
                    )));
                }
                let (begin, outcome) = (event, Outcome::Unknown);
                pairs.push(Pair { begin, begin_position: position, end: None, process, outcome });
                continue;
            }
            Some("ok") => Outcome::Ok,
            Some("fail") => Outcome::Fail,
            Some("info") => Outcome::Unknown,
            _ => {
                let message = "an event needs a type: invoke, ok, fail or info";
                return Err(event.error(message));
            }
        };
        let begun = open.remove(&process).ok_or_else(|| {
            event.error(format!("process {process} ends an operation that it never began"))
        })?;
        pairs[begun].end = Some((event, position));
        pairs[begun].outcome = outcome;
    }
    Ok(pairs)
}

fn habits(pairs: &[Pair<'_>]) -> Habits {
    let mut kinds = Kinds::default();
    for steps in pairs.iter().filter_map(Pair::value).filter(|value| micro::is_steps(value)) {
        kinds.learn(steps.elements().unwrap_or(&[]));
    }
    let calls = || {
        let is_call = |pair: &&Pair<'_>| {
            matches!(pair.function(), Some("read" | "write" | "cas")) && pair.value().is_some()
        };
        pairs.iter().filter(is_call)
    };
    Habits {
        kinds,
        is_bank: pairs.iter().any(|pair| pair.is_balances() || pair.function() == Some("transfer")),
        is_keyed: calls().next().is_some() && calls().all(|pair| pair.keyed().is_some()),
        is_set: pairs.iter().any(|pair| pair.function() == Some("add")),
    }
}

fn workload(pair: &Pair<'_>, habits: &Habits) -> Result<Workload, LoadError> {
    if let Some(named) = pair.begin.get("workload") {
        return lines::workload(named);
    }
    Ok(if habits.is_bank { Workload::Bank } else { Workload::Txn })
}

fn action(pair: &Pair<'_>, habits: &Habits) -> Result<Action, LoadError> {
    let value = pair.value();
    let is_call = matches!(pair.function(), Some("cas" | "write"));
    if let Some(steps) = value.filter(|value| !is_call && micro::is_steps(value)) {
        return Ok(Action::Txn(micro::steps(steps, pair.outcome, &habits.kinds)?));
    }
    let need = || pair.begin.error("this operation needs a value");
    let is_answered = pair.outcome == Outcome::Ok;
    match pair.function() {
        // What a transfer is stands where it begins: an answer may say why it failed.
        Some("transfer") => transfer(pair.begin.get("value").ok_or_else(need)?),
        Some("read") if habits.is_bank => match value.filter(|_| is_answered) {
            Some(balances) => Ok(Action::Balances(Some(lines::balances(balances)?))),
            None => Ok(Action::Balances(None)),
        },
        Some("add") => {
            let value = value.ok_or_else(need)?.value();
            Ok(Action::Txn(vec![MicroOp::Add { key: Value::from("set"), value }]))
        }
        Some("read") if habits.is_set => {
            let members = value.filter(|_| is_answered).and_then(Form::members);
            let values = members.map(Form::values);
            Ok(Action::Txn(vec![MicroOp::ReadSet { key: Value::from("set"), values }]))
        }
        Some("read" | "write" | "cas") => register(pair, habits),
        Some("txn") if value.is_none() => Ok(Action::Txn(Vec::new())),
        Some(other) => Err(pair.begin.error(format!(
            "unknown function {other}: one of txn, read, write, cas, transfer, add"
        ))),
        None => Err(pair.begin.error("neither a function nor a transaction's steps")),
    }
}

fn transfer(value: &Form) -> Result<Action, LoadError> {
    let field = |name: &str| {
        value.get(name).ok_or_else(|| value.error(format!("a transfer needs `{name}`")))
    };
    let amount = field("amount")?;
    let amount =
        amount.as_int().ok_or_else(|| amount.error("the amount of a transfer is an integer"))?;
    Ok(Action::Transfer { from: field("from")?.value(), to: field("to")?.value(), amount })
}

fn register(pair: &Pair<'_>, habits: &Habits) -> Result<Action, LoadError> {
    let keyed = pair.keyed().filter(|_| habits.is_keyed);
    let key = keyed.map_or_else(|| Value::from("register"), |(key, _)| key.value());
    let value = keyed.map(|(_, value)| value).or_else(|| pair.value().filter(|_| !habits.is_keyed));
    let need = || pair.begin.error("this operation needs a value");
    let call = match pair.function() {
        Some("write") => Call::Write(value.ok_or_else(need)?.value()),
        Some("cas") => {
            let Some([from, to]) = value.and_then(Form::elements) else {
                return Err(pair.begin.error("the value of a cas is [old new]"));
            };
            Call::CompareAndSet { from: from.value(), to: to.value() }
        }
        Some(_) | None => {
            let is_answered = pair.outcome == Outcome::Ok;
            Call::Read(is_answered.then(|| value.map_or(Value::Nil, Form::value)))
        }
    };
    Ok(Action::Register { key, call })
}

fn timestamps(pair: &Pair<'_>) -> Result<Timestamps, LoadError> {
    let last = pair.end.map_or(pair.begin, |(end, _)| end);
    lines::timestamps(last)
}

/// The node, and the error if there was one.
fn note(pair: &Pair<'_>) -> Option<Arc<str>> {
    let last = pair.end.map_or(pair.begin, |(end, _)| end);
    let parts = ["note", "node", "error"].iter().filter_map(|name| last.get(name));
    let parts: Vec<String> = parts.map(|part| part.value().to_string()).collect();
    (!parts.is_empty()).then(|| parts.join(", ").into())
}

/// Gives every value of registers that are read but never written an unknown writer.
fn add_outside_writers(history: &mut History) {
    let mut read: BTreeMap<Value, Vec<Value>> = BTreeMap::new();
    let steps = history.ops.iter().filter_map(|op| match &op.action {
        Action::Txn(steps) => Some(steps),
        Action::Register { .. } | Action::Transfer { .. } | Action::Balances(_) => None,
    });
    let steps: Vec<&MicroOp> = steps.flatten().collect();
    for step in &steps {
        if let MicroOp::ReadRegister { key, value: Some(value) } = step
            && !value.is_nil()
        {
            let values = read.entry(key.clone()).or_default();
            if !values.contains(value) {
                values.push(value.clone());
            }
        }
    }
    for step in steps.iter().filter(|step| step.is_write()) {
        read.remove(step.key());
    }
    let mut index = history.ops.iter().map(|op| op.index + 1).max().unwrap_or(0);
    for (key, values) in read {
        for value in values {
            let write = MicroOp::Write { key: key.clone(), value };
            let mut op = Operation::txn(index, 0, (Nanos(0), Nanos(0)), vec![write]);
            op.completed = None;
            op.outcome = Outcome::Unknown;
            op.note = Some("not in the file, but somebody saw it".into());
            history.ops.push(op);
            index += 1;
        }
    }
}
