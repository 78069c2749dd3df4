//! What an event's `:f` and `:value` say.
//!
//! | `:f` | `:value` | is |
//! |---|---|---|
//! | `txn` or none | steps ([`micro`]) | a transaction |
//! | `read`, `write`, `cas` | what was read or written, `[old new]` | a call on a register |
//! | `acquire`, `release` | whatever | a call on a lock |
//! | `inc`, `dec` (`increment`, `decrement`) | how much, 1 if it is left out | a call on a counter |
//! | `add` | how much, where reads show numbers | a call on a counter |
//! | `add` | an element, where reads show lists or sets | an element added to a set |
//! | `transfer` | `{:from :to :amount}` | a transfer of a bank |
//! | `read` | a map from accounts to balances | a read of a bank |
//!
//! Calls are on one object, or on many: the key stands in `:key`, or in front of all values of the
//! file (`[key value]`).

use std::sync::Arc;

use super::{
    super::{
        LoadError,
        form::{Data, Form, short},
        lines,
        micro::{self, Kinds},
    },
    Pair,
};
use crate::{Action, Call, History, MicroOp, Outcome, Value, Workload};

/// What is known, as errors list it.
const FUNCTIONS: &str = "txn, read, write, cas, acquire, release, inc, dec, add, transfer";

/// What the whole file tells about its single operations.
pub(super) struct Habits {
    kinds: Kinds,
    /// Reads without an answer are of all balances.
    is_bank: bool,
    /// Values of calls begin with a key.
    is_keyed: bool,
    /// What `:add` and `:read` are of.
    adds: Adds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Adds {
    /// There is no `:add`: a read is of a register.
    Nothing,
    Set,
    Counter,
}

impl Habits {
    pub(super) fn of(pairs: &[Pair<'_>], kinds: Kinds) -> Self {
        let calls = || {
            let is_call = |pair: &&Pair<'_>| {
                let call = matches!(
                    pair.function(),
                    Some("read" | "write" | "cas" | "add" | "inc" | "dec" | "acquire" | "release")
                );
                call && pair.value().is_some() && pair.begin.get("key").is_none()
            };
            pairs.iter().filter(is_call)
        };
        let is_keyed = calls().next().is_some() && calls().all(|pair| keyed(pair).is_some());
        let shows = |pair: &Pair<'_>, what: fn(&Form) -> bool| {
            let answered = pair.function() == Some("read") && pair.outcome == Outcome::Ok;
            let value = pair.value().filter(|_| answered);
            let value = if is_keyed { keyed(pair).map(|(_, value)| value) } else { value };
            value.is_some_and(what)
        };
        let called = |name: &str| pairs.iter().any(|pair| pair.function() == Some(name));
        let sees = |what: fn(&Form) -> bool| pairs.iter().any(|pair| shows(pair, what));
        let adds = if ["inc", "dec", "increment", "decrement"].into_iter().any(called) {
            Adds::Counter
        } else if !called("add") {
            Adds::Nothing
        } else if sees(|value| value.members().is_some()) {
            Adds::Set
        } else if sees(|value| value.as_int().is_some()) {
            Adds::Counter
        } else {
            Adds::Set
        };
        let is_bank = pairs.iter().any(|pair| is_balances(pair)) || called("transfer");
        Habits { kinds, is_bank, is_keyed, adds }
    }
}

fn is_balances(pair: &Pair<'_>) -> bool {
    let is_map = pair.value().is_some_and(|value| matches!(value.data, Data::Map(_)));
    pair.function() == Some("read") && is_map && pair.begin.get("key").is_none()
}

/// `[key value]` of a call on one of many registers.
fn keyed<'f>(pair: &Pair<'f>) -> Option<(&'f Form, &'f Form)> {
    let [key, value] = pair.value()?.elements()? else { return None };
    let is_cas = pair.function() == Some("cas");
    (!is_cas || value.elements().is_some_and(|pair| pair.len() == 2)).then_some((key, value))
}

pub(super) fn workload(
    pair: &Pair<'_>,
    action: &Action,
    habits: &Habits,
) -> Result<Workload, LoadError> {
    let otherwise = if habits.is_bank { Workload::Bank } else { Workload::Txn };
    lines::workload(pair.begin.get("workload"), action, otherwise)
}

pub(super) fn action(
    pair: &Pair<'_>,
    habits: &Habits,
    history: &mut History,
) -> Result<Action, LoadError> {
    let value = pair.value();
    if let Some(steps) = value.filter(|value| is_transaction(pair, value)) {
        return Ok(Action::Txn(micro::steps(steps, pair.outcome, &habits.kinds)?));
    }
    match pair.function() {
        // What a transfer is stands where it begins: an answer may say why it failed.
        Some("transfer") => transfer(pair.begin.get("value").ok_or_else(|| need(pair))?),
        Some("read") if habits.is_bank && pair.begin.get("key").is_none() => {
            let answered = value.filter(|_| pair.outcome == Outcome::Ok);
            Ok(Action::Balances(answered.map(lines::balances).transpose()?))
        }
        Some("add" | "read") if habits.adds == Adds::Set => set(pair, habits),
        Some(
            "read" | "write" | "cas" | "add" | "inc" | "dec" | "increment" | "decrement"
            | "acquire" | "release",
        ) => register(pair, habits),
        Some("txn") => {
            history.skip("transactions without a value", Some(pair.begin.line));
            Ok(Action::Txn(Vec::new()))
        }
        Some(other) => {
            Err(pair.begin.error(format!("unknown function {}: one of {FUNCTIONS}", short(other))))
        }
        None => Err(pair.begin.error("neither a function nor a transaction's steps")),
    }
}

/// A list of steps is a transaction whatever its function, unless it is a known call's value.
fn is_transaction(pair: &Pair<'_>, value: &Form) -> bool {
    let is_empty = value.elements().is_some_and(<[Form]>::is_empty);
    match pair.function() {
        Some("txn") => true,
        None => micro::is_steps(value),
        Some(
            "write" | "cas" | "add" | "inc" | "dec" | "increment" | "decrement" | "acquire"
            | "release" | "transfer",
        ) => false,
        Some(_) => micro::is_steps(value) && !is_empty,
    }
}

fn need(pair: &Pair<'_>) -> LoadError {
    pair.begin.error("this operation needs a value")
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

/// The object of a call, and its value.
fn object<'f>(pair: &Pair<'f>, habits: &Habits, usual: &str) -> (Value, Option<&'f Form>) {
    if let Some(key) = pair.begin.get("key") {
        return (key.value(), pair.value());
    }
    if habits.is_keyed
        && let Some((key, value)) = keyed(pair)
    {
        return (key.value(), Some(value).filter(|value| !value.is_nil()));
    }
    (Value::from(usual), pair.value())
}

fn set(pair: &Pair<'_>, habits: &Habits) -> Result<Action, LoadError> {
    let (key, value) = object(pair, habits, "set");
    if pair.function() == Some("add") {
        let value = value.ok_or_else(|| need(pair))?.value();
        return Ok(Action::Txn(vec![MicroOp::Add { key, value }]));
    }
    let answer = value.filter(|_| pair.outcome == Outcome::Ok);
    let values = match answer {
        None => None,
        Some(answer) => {
            let members = answer.members();
            let members =
                members.ok_or_else(|| answer.error("a set is read as a list or a set"))?;
            Some(Form::values(members))
        }
    };
    Ok(Action::Txn(vec![MicroOp::ReadSet { key, values }]))
}

fn register(pair: &Pair<'_>, habits: &Habits) -> Result<Action, LoadError> {
    let function = pair.function().unwrap_or_default();
    let usual = match (function, habits.adds) {
        ("acquire" | "release", _) => "lock",
        (_, Adds::Counter) => "counter",
        (_, Adds::Nothing | Adds::Set) => "register",
    };
    let (key, value) = object(pair, habits, usual);
    let amount = |sign: i64| match value {
        None => Ok(sign),
        Some(value) => {
            let amount = value.as_int().and_then(|amount| amount.checked_mul(sign));
            amount.ok_or_else(|| value.error("what is added to a counter is an integer"))
        }
    };
    let call = match function {
        "write" => Call::Write(value.ok_or_else(|| need(pair))?.value()),
        "cas" => {
            let Some([from, to]) = value.and_then(Form::elements) else {
                return Err(pair.begin.error("the value of a cas is [old new]"));
            };
            Call::CompareAndSet { from: from.value(), to: to.value() }
        }
        "add" | "inc" | "increment" => Call::Add(amount(1)?),
        "dec" | "decrement" => Call::Add(amount(-1)?),
        "acquire" => Call::Acquire,
        "release" => Call::Release,
        _ => {
            let is_answered = pair.outcome == Outcome::Ok;
            Call::Read(is_answered.then(|| value.map_or(Value::Nil, Form::value)))
        }
    };
    Ok(Action::Register { key, call })
}

/// The node, and the error if there was one.
pub(super) fn note(pair: &Pair<'_>) -> Option<Arc<str>> {
    let last = pair.last();
    let parts = ["note", "node", "error"].iter().filter_map(|name| last.get(name));
    let parts: Vec<String> = parts.map(|part| part.value().to_string()).collect();
    (!parts.is_empty()).then(|| parts.join(", ").into())
}
