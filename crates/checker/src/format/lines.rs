//! Our own format: one operation a line.
//!
//! ```text
//! {"history":1,"world":"closed"}
//! {"index":0,"process":3,"invoked":100,"completed":250,"outcome":"ok","txn":[["append","x",1],["list","y",[3]]]}
//! ```
//!
//! The first line may be left out. `docs/HISTORIES.md` describes all fields.

use super::{
    Indices, LoadError, Reading,
    form::{Data, Form, short},
    micro::{self, Kinds},
    processes::Processes,
};
use crate::{
    Action, Call, History, Nanos, Operation, Outcome, Stamp, TimeUnit, Timestamps, Value, Workload,
    World,
};

/// The version of the format that the first line names.
pub(super) const VERSION: i64 = 1;

/// The history that operations tell.
pub(super) fn history(entries: &[Form], reading: &Reading) -> Result<History, LoadError> {
    let mut history = History::default();
    let mut processes = Processes::default();
    let mut entries = entries;
    if let [first, rest @ ..] = entries
        && first.get("history").is_some()
    {
        header(first, &mut history)?;
        entries = rest;
    }
    let mut kinds = Kinds::default();
    for steps in entries.iter().filter_map(|entry| entry.get("txn")) {
        kinds.learn(steps.elements().unwrap_or(&[]));
    }
    let mut indices = Indices::default();
    for (position, entry) in entries.iter().enumerate() {
        let process = processes.number(entry.get("process"))?;
        let operation = operation(entry, (position, process), &kinds)?;
        indices.take(operation.index, entry)?;
        history.ops.push(operation);
        for (name, field) in entry.names().filter(|(name, _)| !FIELDS.contains(name)) {
            let reason = format!("fields {:?}, which the format does not have", short(name));
            history.skip(&reason, Some(field.line));
        }
    }
    history.names = processes.names();
    history.world = reading.world.unwrap_or(history.world);
    Ok(history)
}

/// What an operation may have.
const FIELDS: [&str; 15] = [
    "index",
    "process",
    "invoked",
    "completed",
    "outcome",
    "workload",
    "txn",
    "register",
    "transfer",
    "balances",
    "read_ts",
    "commit_ts",
    "staleness",
    "note",
    "history",
];

fn header(first: &Form, history: &mut History) -> Result<(), LoadError> {
    if first.get("history").and_then(Form::as_int) != Some(VERSION) {
        return Err(first.error(format!("this is not version {VERSION} of the format")));
    }
    history.world = match first.get("world").map(Form::as_text) {
        None | Some(Some("closed")) => World::Closed,
        Some(Some("open")) => World::Open,
        Some(_) => return Err(first.error("the world is closed or open")),
    };
    history.time_unit = match first.get("times").map(Form::as_text) {
        None | Some(Some("nanoseconds")) => TimeUnit::Nanoseconds,
        Some(Some("positions")) => TimeUnit::Positions,
        Some(_) => return Err(first.error("times are nanoseconds or positions")),
    };
    Ok(())
}

fn operation(
    entry: &Form,
    (position, process): (usize, u64),
    kinds: &Kinds,
) -> Result<Operation, LoadError> {
    let time = |name: &str| {
        let time = entry.get(name).map(|time| time.unsigned(name));
        Ok::<_, LoadError>(time.transpose()?.map(Nanos))
    };
    let invoked = time("invoked")?.ok_or_else(|| entry.error("an operation needs `invoked`"))?;
    let completed = time("completed")?;
    if completed.is_some_and(|completed| completed < invoked) {
        return Err(entry.error("the operation ends before it begins"));
    }
    let outcome = match entry.get("outcome").map(Form::as_text) {
        None | Some(Some("ok")) => Outcome::Ok,
        Some(Some("fail")) => Outcome::Fail,
        Some(Some("unknown")) => Outcome::Unknown,
        Some(_) => return Err(entry.error("an outcome is ok, fail or unknown")),
    };
    if outcome == Outcome::Ok && completed.is_none() {
        return Err(entry.error("an operation that is ok needs `completed`"));
    }
    let index = entry.get("index").map(|index| index.unsigned("index")).transpose()?;
    let note = entry.get("note").map(|note| note.value().to_string().into());
    let action = action(entry, outcome, kinds)?;
    Ok(Operation {
        index: index.unwrap_or(position as u64),
        process,
        invoked,
        completed: completed.filter(|_| outcome != Outcome::Unknown),
        outcome,
        workload: workload(entry.get("workload"), &action, Workload::default())?,
        action,
        timestamps: timestamps(entry)?,
        staleness: time("staleness")?,
        note,
    })
}

fn action(entry: &Form, outcome: Outcome, kinds: &Kinds) -> Result<Action, LoadError> {
    let given = ["txn", "register", "transfer", "balances"].into_iter().filter(|n| entry.has(n));
    if given.count() > 1 {
        return Err(entry.error("an operation is one of txn, register, transfer, balances"));
    }
    if let Some(steps) = entry.get("txn") {
        return Ok(Action::Txn(micro::steps(steps, outcome, kinds)?));
    }
    if let Some(call) = entry.get("register") {
        return register(call, outcome);
    }
    if let Some(transfer) = entry.get("transfer") {
        let Some([from, to, amount]) = transfer.elements() else {
            return Err(transfer.error("a transfer is [from, to, amount]"));
        };
        let amount = amount.as_int().ok_or_else(|| amount.error("an amount is an integer"))?;
        return Ok(Action::Transfer { from: from.value(), to: to.value(), amount });
    }
    if entry.has("balances") {
        let read = entry.get("balances").map(balances).transpose()?;
        return Ok(Action::Balances(read));
    }
    Err(entry.error("an operation is one of txn, register, transfer, balances"))
}

fn register(call: &Form, outcome: Outcome) -> Result<Action, LoadError> {
    let Some([name, key, values @ ..]) = call.elements() else {
        return Err(call.error("a call on a register is [what, key, value ...]"));
    };
    let made = match (name.as_text(), values) {
        (Some("read"), []) => Call::Read(None),
        (Some("read"), [value]) if outcome == Outcome::Ok => Call::Read(Some(value.value())),
        (Some("read"), [_]) => Call::Read(None),
        (Some("write"), [value]) => Call::Write(value.value()),
        (Some("add"), [amount]) => {
            let amount = amount.as_int();
            Call::Add(amount.ok_or_else(|| call.error("an amount is an integer"))?)
        }
        (Some("acquire"), []) => Call::Acquire,
        (Some("release"), []) => Call::Release,
        (Some("cas"), [from, to]) => Call::CompareAndSet { from: from.value(), to: to.value() },
        _ => {
            let message = "a call on a register is [read, key, value], [write, key, value], \
                           [cas, key, old, new], [add, key, amount], [acquire, key] or \
                           [release, key]";
            return Err(call.error(message));
        }
    };
    Ok(Action::Register { key: key.value(), call: made })
}

/// A map from accounts to balances, or a list of pairs.
pub(super) fn balances(form: &Form) -> Result<Vec<(Value, Option<i64>)>, LoadError> {
    let error = || form.error("balances are a map from accounts to integers or nil");
    let balance = |account: &Form, balance: &Form| {
        let amount = balance.as_int();
        if amount.is_none() && !balance.is_nil() {
            return Err(error());
        }
        Ok((account.value(), amount))
    };
    if let Data::Map(pairs) = &form.data {
        return pairs.iter().map(|(account, amount)| balance(account, amount)).collect();
    }
    let pairs = form.elements().ok_or_else(error)?;
    let pair = |pair: &Form| match pair.elements() {
        Some([account, amount]) => balance(account, amount),
        Some(_) | None => Err(error()),
    };
    pairs.iter().map(pair).collect()
}

/// The workload of an operation that names one, or does not. What only a bank does is a bank's:
/// nothing else would judge it.
pub(super) fn workload(
    named: Option<&Form>,
    action: &Action,
    otherwise: Workload,
) -> Result<Workload, LoadError> {
    let is_banks = matches!(action, Action::Transfer { .. } | Action::Balances(_));
    let Some(form) = named else {
        return Ok(if is_banks { Workload::Bank } else { otherwise });
    };
    let name = form.as_text();
    let found = Workload::ALL.into_iter().find(|workload| Some(workload.name()) == name);
    match found {
        Some(Workload::Bank) => Ok(Workload::Bank),
        Some(workload) if is_banks => {
            let name = workload.name();
            Err(form.error(format!("transfers and balances are a bank's, and this says {name}")))
        }
        Some(workload) => Ok(workload),
        None => {
            let names = Workload::ALL.map(Workload::name).join(", ");
            Err(form.error(format!("a workload is one of {names}")))
        }
    }
}

/// `read_ts` and `commit_ts`: nanoseconds, or nanoseconds and a counter.
pub(super) fn timestamps(form: &Form) -> Result<Timestamps, LoadError> {
    let get = |one: &str, other: &str| {
        let found = form.get(one).or_else(|| form.get(other));
        found.map(stamp).transpose()
    };
    let commit = get("commit_ts", "commit-ts")?;
    Ok(Timestamps { read: get("read_ts", "read-ts")?, commit })
}

fn stamp(form: &Form) -> Result<Stamp, LoadError> {
    let error = || form.error("a timestamp is a number, or [number, counter]");
    match form.elements() {
        None => Ok(Stamp { wall: form.unsigned("a timestamp")?, logical: 0 }),
        Some([wall, counter]) => {
            let logical = u32::try_from(counter.unsigned("a counter")?).map_err(|_| error())?;
            Ok(Stamp { wall: wall.unsigned("a timestamp")?, logical })
        }
        Some(_) => Err(error()),
    }
}
