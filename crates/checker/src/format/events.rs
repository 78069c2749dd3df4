//! Jepsen's format, which Elle and Knossos read: an event when an operation begins (`:invoke`) and
//! another when it ends (`:ok`, `:fail`, `:info` for unknown), paired by process.
//!
//! ```text
//! {:type :invoke, :process 0, :f :txn, :value [[:append x 1] [:r y nil]], :time 10, :index 0}
//! {:type :ok,     :process 0, :f :txn, :value [[:append x 1] [:r y [3]]], :time 20, :index 1}
//! ```
//!
//! Real files leave out most of it. Without `:process` there is one; where any `:time` is missing,
//! the position in the file is the time; without `:f` the value tells what it is ([`calls`]).
//!
//! Two kinds of processes are no clients and are passed over, which the verdict tells: what is called
//! nemesis, and a name of which nothing but `:info` is heard.
//!
//! What somebody outside of the file wrote: a register that is read but never written in the file
//! is taken to have been written by one unknown operation per value. Other values that nobody wrote
//! are no anomaly here ([`World::Open`]); unless the reader says that the world is closed.

mod calls;

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Indices, LoadError, Reading, form::Form, lines, micro, micro::Kinds, processes::Processes,
};
use crate::{Action, History, MicroOp, Nanos, Operation, Outcome, TimeUnit, Value, World};
use calls::Habits;

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

    fn last(&self) -> &'f Form {
        self.end.map_or(self.begin, |(end, _)| end)
    }
}

/// The history that events tell.
pub(super) fn history(events: &[Form], reading: &Reading) -> Result<History, LoadError> {
    let mut history = History { world: World::Open, ..History::default() };
    let strangers = strangers(events);
    let mut clients: Vec<(usize, &Form)> = Vec::with_capacity(events.len());
    for (position, event) in events.iter().enumerate() {
        match stranger(event).filter(|name| strangers.contains(name)) {
            Some(name) => {
                let name = super::form::short(name);
                history.skip(&format!("events of {name}, which is no client"), Some(event.line));
            }
            None => clients.push((position, event)),
        }
    }
    let mut processes = Processes::default();
    let pairs = pair(&clients, &mut processes)?;
    history.names = processes.names();
    let has_times = clients.iter().all(|(_, event)| event.get("time").is_some());
    if !has_times {
        history.time_unit = TimeUnit::Positions;
    }
    let mut kinds = Kinds::default();
    for steps in pairs.iter().filter_map(Pair::value).filter(|value| micro::is_steps(value)) {
        kinds.learn(steps.elements().unwrap_or(&[]));
    }
    let habits = Habits::of(&pairs, kinds);
    let mut indices = Indices::default();
    for pair in &pairs {
        let operation = operation(pair, &habits, has_times, &mut history)?;
        indices.take(operation.index, pair.begin)?;
        history.ops.push(operation);
    }
    history.world = reading.world.unwrap_or(World::Open);
    if history.world == World::Open {
        add_outside_writers(&mut history);
    }
    Ok(history)
}

fn operation(
    pair: &Pair<'_>,
    habits: &Habits,
    has_times: bool,
    history: &mut History,
) -> Result<Operation, LoadError> {
    let time = |event: &Form, position: usize| match event.get("time") {
        Some(time) if has_times => time.unsigned("a time").map(Nanos),
        Some(_) | None => Ok(Nanos(position as u64)),
    };
    let index = match pair.begin.get("index") {
        Some(index) => index.unsigned("an index")?,
        None => pair.begin_position as u64,
    };
    let ended = pair.end.filter(|_| pair.outcome != Outcome::Unknown);
    let staleness = pair.begin.get("staleness").map(|s| s.unsigned("staleness")).transpose()?;
    let action = calls::action(pair, habits, history)?;
    let operation = Operation {
        index,
        process: pair.process,
        invoked: time(pair.begin, pair.begin_position)?,
        completed: ended.map(|(end, position)| time(end, position)).transpose()?,
        outcome: pair.outcome,
        workload: calls::workload(pair, &action, habits)?,
        action,
        timestamps: lines::timestamps(pair.last())?,
        staleness: staleness.map(Nanos),
        note: calls::note(pair),
    };
    if operation.completed.is_some_and(|completed| completed < operation.invoked) {
        return Err(pair.last().error("the operation ends before it begins"));
    }
    Ok(operation)
}

/// The process of an event if it is no number.
fn stranger(event: &Form) -> Option<&str> {
    event.get("process").and_then(Form::as_text)
}

/// Names of processes that are no clients.
fn strangers(events: &[Form]) -> BTreeSet<&str> {
    let mut strangers: BTreeSet<&str> = events.iter().filter_map(stranger).collect();
    let is_client = |event: &&Form| event.get("type").and_then(Form::as_text) != Some("info");
    for name in events.iter().filter(is_client).filter_map(stranger) {
        if !name.starts_with("nemesis") {
            strangers.remove(name);
        }
    }
    strangers
}

fn pair<'f>(
    events: &[(usize, &'f Form)],
    processes: &mut Processes,
) -> Result<Vec<Pair<'f>>, LoadError> {
    let mut pairs: Vec<Pair<'f>> = Vec::with_capacity(events.len() / 2);
    let mut open: BTreeMap<u64, usize> = BTreeMap::new();
    for (position, event) in events.iter().copied() {
        let name = || {
            let named = event.get("process").map(|process| process.value().to_string());
            named.map_or_else(|| "0".to_owned(), |name| super::form::short(&name))
        };
        let process = processes.number(event.get("process"))?;
        let outcome = match event.get("type").and_then(Form::as_text) {
            Some("invoke") => {
                if open.insert(process, pairs.len()).is_some() {
                    return Err(event.error(format!(
                        "process {} begins an operation before its last one ended",
                        name()
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
            event.error(format!("process {} ends an operation that it never began", name()))
        })?;
        pairs[begun].end = Some((event, position));
        pairs[begun].outcome = outcome;
    }
    Ok(pairs)
}

/// Gives every value of registers that are read but never written an unknown writer.
fn add_outside_writers(history: &mut History) {
    let mut read: BTreeMap<Value, BTreeSet<Value>> = BTreeMap::new();
    let steps = history.ops.iter().filter_map(|op| match &op.action {
        Action::Txn(steps) => Some(steps),
        Action::Register { .. } | Action::Transfer { .. } | Action::Balances(_) => None,
    });
    let steps: Vec<&MicroOp> = steps.flatten().collect();
    for step in &steps {
        if let MicroOp::ReadRegister { key, value: Some(value) } = step
            && history.initial.of(key) != value
        {
            read.entry(key.clone()).or_default().insert(value.clone());
        }
    }
    for step in steps.iter().filter(|step| step.is_write()) {
        read.remove(step.key());
    }
    let mut index = history.ops.iter().map(|op| op.index + 1).max().unwrap_or(0);
    let beginning = history.ops.iter().map(|op| op.invoked).min().unwrap_or_default();
    for (key, values) in read {
        for value in values {
            let write = MicroOp::Write { key: key.clone(), value };
            let mut op = Operation::txn(index, 0, (beginning, beginning), vec![write]);
            op.completed = None;
            op.outcome = Outcome::Unknown;
            op.note = Some("not in the file, but somebody saw it".into());
            history.ops.push(op);
            index += 1;
        }
    }
}
