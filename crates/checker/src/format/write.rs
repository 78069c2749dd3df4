//! Histories to files, so that other checkers can read ours.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};

use super::lines::VERSION;
use crate::{
    Action, Call, History, MicroOp, Operation, Outcome, Stamp, TimeUnit, Value, Workload, World,
};

/// Our own format: JSON lines.
pub fn to_json_lines(history: &History) -> String {
    let world = match history.world {
        World::Closed => "closed",
        World::Open => "open",
    };
    let mut text = format!("{{\"history\":{VERSION},\"world\":\"{world}\"");
    if history.time_unit == TimeUnit::Positions {
        text.push_str(",\"times\":\"positions\"");
    }
    text.push_str("}\n");
    for op in &history.ops {
        text.push_str(&json_line(history, op));
        text.push('\n');
    }
    text
}

fn json_line(history: &History, op: &Operation) -> String {
    let mut line = Map::new();
    line.insert("index".into(), json!(op.index));
    let name = history.names.get(&op.process);
    let process = name.map_or_else(|| json!(op.process), |name| json!(**name));
    line.insert("process".into(), process);
    line.insert("invoked".into(), json!(op.invoked.0));
    if let Some(completed) = op.completed {
        line.insert("completed".into(), json!(completed.0));
    }
    line.insert("outcome".into(), json!(outcome_name(op.outcome)));
    if op.workload != Workload::Txn {
        line.insert("workload".into(), json!(op.workload.name()));
    }
    let (name, action) = json_action(&op.action);
    line.insert(name.into(), action);
    let stamps = [("read_ts", op.timestamps.read), ("commit_ts", op.timestamps.commit)];
    for (name, stamp) in stamps {
        if let Some(Stamp { wall, logical }) = stamp {
            line.insert(name.into(), json!([wall, logical]));
        }
    }
    if let Some(staleness) = op.staleness {
        line.insert("staleness".into(), json!(staleness.0));
    }
    if let Some(note) = &op.note {
        line.insert("note".into(), json!(**note));
    }
    Json::Object(line).to_string()
}

fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Fail => "fail",
        Outcome::Unknown => "unknown",
    }
}

fn json_action(action: &Action) -> (&'static str, Json) {
    match action {
        Action::Txn(steps) => ("txn", Json::Array(steps.iter().map(json_step).collect())),
        Action::Register { key, call } => {
            let key = json_value(key);
            let call = match call {
                Call::Read(None) => json!(["read", key]),
                Call::Read(Some(value)) => json!(["read", key, json_value(value)]),
                Call::Write(value) => json!(["write", key, json_value(value)]),
                Call::CompareAndSet { from, to } => {
                    json!(["cas", key, json_value(from), json_value(to)])
                }
                Call::Add(amount) => json!(["add", key, amount]),
                Call::Acquire => json!(["acquire", key]),
                Call::Release => json!(["release", key]),
            };
            ("register", call)
        }
        Action::Transfer { from, to, amount } => {
            ("transfer", json!([json_value(from), json_value(to), amount]))
        }
        Action::Balances(None) => ("balances", Json::Null),
        Action::Balances(Some(balances)) => {
            let pairs =
                balances.iter().map(|(account, amount)| json!([json_value(account), amount]));
            ("balances", Json::Array(pairs.collect()))
        }
    }
}

fn json_step(step: &MicroOp) -> Json {
    let key = json_value(step.key());
    let list = |values: &[Value]| Json::Array(values.iter().map(json_value).collect());
    match step {
        MicroOp::Append { value, .. } => json!(["append", key, json_value(value)]),
        MicroOp::Write { value, .. } => json!(["w", key, json_value(value)]),
        MicroOp::Add { value, .. } => json!(["add", key, json_value(value)]),
        MicroOp::ReadList { values: None, .. } => json!(["list", key]),
        MicroOp::ReadList { values: Some(values), .. } => json!(["list", key, list(values)]),
        MicroOp::ReadRegister { value: None, .. } => json!(["read", key]),
        MicroOp::ReadRegister { value: Some(value), .. } => {
            json!(["read", key, json_value(value)])
        }
        MicroOp::ReadSet { values: None, .. } => json!(["set", key]),
        MicroOp::ReadSet { values: Some(values), .. } => json!(["set", key, list(values)]),
    }
}

fn json_value(value: &Value) -> Json {
    match value {
        Value::Nil => Json::Null,
        Value::Bool(bool) => json!(bool),
        Value::Int(int) => json!(int),
        Value::Text(text) => json!(**text),
        Value::List(values) => Json::Array(values.iter().map(json_value).collect()),
        Value::Map(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| (key.to_string(), json_value(value)));
            Json::Object(pairs.collect())
        }
    }
}

/// An event of an operation, ordered as events are written.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    time: u64,
    /// At one moment beginnings come before ends, as such operations are concurrent; but a process
    /// ends one operation before it begins the next.
    rank: u64,
    /// Position in [`History::ops`].
    at: usize,
    is_end: bool,
}

fn events(history: &History) -> Vec<Event> {
    let mut order: Vec<usize> = (0..history.ops.len()).collect();
    order.sort_by_key(|at| {
        let op = &history.ops[*at];
        (op.process, op.invoked, op.index)
    });
    let mut events: Vec<Event> = Vec::with_capacity(order.len() * 2);
    for (position, at) in order.iter().enumerate() {
        let op = &history.ops[*at];
        let next = order.get(position + 1).map(|next| &history.ops[*next]);
        let next = next.filter(|next| next.process == op.process);
        let before = events.last().filter(|last| {
            history.ops[last.at].process == op.process && last.is_end && last.time == op.invoked.0
        });
        let rank = before.map_or(0, |before| before.rank + 1);
        events.push(Event { time: op.invoked.0, rank, at: *at, is_end: false });
        // An unknown operation ends when its process goes on, if it does.
        let end = op.completed.map(|end| end.0).or_else(|| next.map(|next| next.invoked.0));
        events.extend(end.map(|time| {
            let rank = if time == op.invoked.0 { rank + 1 } else { 1 };
            Event { time, rank, at: *at, is_end: true }
        }));
    }
    events.sort_unstable();
    events
}

/// Jepsen's format: events in the order of time, one map a line.
pub fn to_edn(history: &History) -> String {
    let mut text = String::new();
    for (position, Event { time, at, is_end, .. }) in events(history).into_iter().enumerate() {
        let op = &history.ops[at];
        let kind = match (is_end, op.outcome) {
            (false, _) => "invoke",
            (true, Outcome::Ok) => "ok",
            (true, Outcome::Fail) => "fail",
            (true, Outcome::Unknown) => "info",
        };
        let name = history.names.get(&op.process);
        let process = name.map_or_else(|| op.process.to_string(), |name| edn_text(name));
        let (function, value) = edn_action(&op.action, is_end && op.outcome == Outcome::Ok);
        let _ = write!(
            text,
            "{{:type :{kind}, :process {process}, :f :{function}, :value {value}, :time {time}, \
             :index {position}"
        );
        if op.workload != Workload::Txn {
            let _ = write!(text, ", :workload :{}", op.workload.name());
        }
        let stamps = [("read-ts", op.timestamps.read), ("commit-ts", op.timestamps.commit)];
        for (name, stamp) in stamps.into_iter().filter(|_| is_end) {
            if let Some(Stamp { wall, logical }) = stamp {
                let _ = write!(text, ", :{name} [{wall} {logical}]");
            }
        }
        if let Some(staleness) = op.staleness {
            let _ = write!(text, ", :staleness {}", staleness.0);
        }
        if let Some(note) = op.note.as_ref().filter(|_| is_end) {
            let _ = write!(text, ", :note {}", edn_text(note));
        }
        text.push_str("}\n");
    }
    text
}

/// The function and the value of an event; results only where the operation ended well.
fn edn_action(action: &Action, with_results: bool) -> (&'static str, String) {
    match action {
        Action::Txn(steps) => {
            let steps: Vec<String> =
                steps.iter().map(|step| edn_step(step, with_results)).collect();
            ("txn", format!("[{}]", steps.join(" ")))
        }
        Action::Register { key, call } => {
            let key = edn(key);
            match call {
                Call::Read(value) => {
                    let value = value.as_ref().filter(|_| with_results);
                    ("read", format!("[{key} {}]", value.map_or_else(|| "nil".into(), edn)))
                }
                Call::Write(value) => ("write", format!("[{key} {}]", edn(value))),
                Call::CompareAndSet { from, to } => {
                    ("cas", format!("[{key} [{} {}]]", edn(from), edn(to)))
                }
                Call::Add(amount) => ("inc", format!("[{key} {amount}]")),
                Call::Acquire => ("acquire", format!("[{key} nil]")),
                Call::Release => ("release", format!("[{key} nil]")),
            }
        }
        Action::Transfer { from, to, amount } => {
            let (from, to) = (edn(from), edn(to));
            ("transfer", format!("{{:from {from}, :to {to}, :amount {amount}}}"))
        }
        Action::Balances(Some(balances)) if with_results => {
            let balances = balances.iter().map(|(account, balance)| {
                let balance = balance.map_or_else(|| "nil".into(), |balance| balance.to_string());
                format!("{} {balance}", edn(account))
            });
            ("read", format!("{{{}}}", balances.collect::<Vec<_>>().join(", ")))
        }
        Action::Balances(_) => ("read", "nil".into()),
    }
}

fn edn_step(step: &MicroOp, with_results: bool) -> String {
    let key = edn(step.key());
    let all = |values: &Option<Vec<Value>>, open: &str, close: &str| {
        let values = values.as_ref().filter(|_| with_results);
        values.map_or_else(
            || "nil".to_owned(),
            |values| {
                format!("{open}{}{close}", values.iter().map(edn).collect::<Vec<_>>().join(" "))
            },
        )
    };
    match step {
        MicroOp::Append { value, .. } => format!("[:append {key} {}]", edn(value)),
        MicroOp::Write { value, .. } => format!("[:w {key} {}]", edn(value)),
        MicroOp::Add { value, .. } => format!("[:add {key} {}]", edn(value)),
        MicroOp::ReadList { values, .. } => format!("[:r {key} {}]", all(values, "[", "]")),
        MicroOp::ReadSet { values, .. } => format!("[:r {key} {}]", all(values, "#{", "}")),
        MicroOp::ReadRegister { value, .. } => {
            let value = value.as_ref().filter(|_| with_results);
            format!("[:r {key} {}]", value.map_or_else(|| "nil".into(), edn))
        }
    }
}

fn edn(value: &Value) -> String {
    match value {
        Value::Nil => "nil".into(),
        Value::Bool(bool) => bool.to_string(),
        Value::Int(int) => int.to_string(),
        Value::Text(text) => edn_text(text),
        Value::List(values) => {
            format!("[{}]", values.iter().map(edn).collect::<Vec<_>>().join(" "))
        }
        Value::Map(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| format!("{} {}", edn(key), edn(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
    }
}

fn edn_text(text: &str) -> String {
    let mut quoted = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            _ => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}
