//! A second opinion: tries every order of a small history. Slow, and too simple to be wrong.
//!
//! Processes order what they did one after the other, unless one did several things at a time.
//!
//! It knows the definitions only: a history is serializable if its transactions, run one after the
//! other in some order, return what they returned; strictly so if the order agrees with real time, in
//! which a read of the past may come before what it missed but not behind what began after its end;
//! a snapshot history if there are moments of beginning and commit such that each reads what was
//! committed when it began and no two that overlap write the same key.

use std::collections::BTreeMap;

use crate::{Action, Call, History, MicroOp, Operation, Outcome, Value};

/// What all keys hold: lists and sets in the order of writing, of a register only the last.
type Store = BTreeMap<Value, Vec<Value>>;

/// Whether some order explains the history. `realtime`: whether it must agree with real time.
pub(crate) fn is_serializable(history: &History, realtime: bool) -> bool {
    let ops: Vec<&Operation> =
        history.ops.iter().filter(|op| op.outcome != Outcome::Fail).collect();
    let before = |a: usize, b: usize| realtime && is_before(history, ops[a], ops[b]);
    let pairs: Vec<Vec<bool>> =
        (0..ops.len()).map(|a| (0..ops.len()).map(|b| before(a, b)).collect()).collect();
    extend(&ops, &mut vec![false; ops.len()], &initial(history), &pairs)
}

/// Whether one must come before the other: it ended before the other began, in real time or in the
/// order of a process that did one thing at a time.
fn is_before(history: &History, a: &Operation, b: &Operation) -> bool {
    let Some(end) = a.completed.filter(|_| a.outcome == Outcome::Ok) else { return false };
    if b.staleness.is_some() {
        return false;
    }
    let place = |op: &Operation| (op.invoked, op.index);
    let same = a.process == b.process && a.staleness.is_none() && place(a) < place(b);
    end < b.invoked || (same && end <= b.invoked && !did_several_things(history, a.process))
}

fn did_several_things(history: &History, process: u64) -> bool {
    let own = || history.ops.iter().filter(|op| op.process == process);
    let overlap = |a: &Operation, b: &Operation| {
        (a.invoked, a.index) < (b.invoked, b.index)
            && a.outcome != Outcome::Unknown
            && a.completed.is_some_and(|end| end > b.invoked)
    };
    own().any(|a| own().any(|b| overlap(a, b)))
}

/// What keys hold before anybody wrote, where it is not nil: counters begin with zero.
fn initial(history: &History) -> Store {
    let keys = history.initial.keys.iter();
    let keys = keys.map(|(key, value)| (key.clone(), vec![value.clone()]));
    let counters = history.ops.iter().filter_map(|op| match &op.action {
        Action::Register { key, call: Call::Add(_) } => Some((key.clone(), vec![Value::Int(0)])),
        Action::Register { .. }
        | Action::Txn(_)
        | Action::Transfer { .. }
        | Action::Balances(_) => None,
    });
    counters.chain(keys).collect()
}

/// Runs one more transaction, every one that may be next. `before[a][b]`: a must come before b.
fn extend(ops: &[&Operation], done: &mut Vec<bool>, store: &Store, before: &[Vec<bool>]) -> bool {
    let is_open = |at: usize, done: &[bool]| !done[at] && ops[at].outcome == Outcome::Ok;
    if !(0..ops.len()).any(|at| is_open(at, done)) {
        return true;
    }
    for at in 0..ops.len() {
        let must_wait = |other: usize| is_open(other, done) && before[other][at];
        if done[at] || (0..ops.len()).any(must_wait) {
            continue;
        }
        let Some(after) = run(ops[at], store, store) else { continue };
        done[at] = true;
        if extend(ops, done, &after, before) {
            return true;
        }
        done[at] = false;
    }
    false
}

/// The store after a call on a register, or `None` if it would have answered something else.
fn call(key: &Value, call: &Call, store: &Store) -> Option<Store> {
    let held = store.get(key).and_then(|held| held.last()).cloned().unwrap_or(Value::Nil);
    let taken = Value::from("taken");
    let after = match call {
        Call::Read(answer) => {
            let agrees = answer.as_ref().is_none_or(|answer| *answer == held);
            return agrees.then(|| store.clone());
        }
        Call::Write(value) => value.clone(),
        Call::CompareAndSet { from, to } => (*from == held).then(|| to.clone())?,
        Call::Add(amount) => Value::Int(held.as_int().unwrap_or(0) + amount),
        Call::Acquire => held.is_nil().then_some(taken)?,
        Call::Release => (held == taken).then_some(Value::Nil)?,
    };
    let mut store = store.clone();
    store.insert(key.clone(), vec![after]);
    Some(store)
}

/// The store after a transaction that read `snapshot`, or `None` if it would have read other
/// things.
fn run(op: &Operation, snapshot: &Store, store: &Store) -> Option<Store> {
    let steps = match &op.action {
        Action::Txn(steps) => steps,
        Action::Register { key, call: made } => return call(key, made, store),
        Action::Transfer { .. } | Action::Balances(_) => panic!("no banks here"),
    };
    let (mut view, mut after) = (snapshot.clone(), store.clone());
    for step in steps {
        let held = view.get(step.key()).cloned().unwrap_or_default();
        let agrees = match step {
            MicroOp::Append { key, value } | MicroOp::Add { key, value } => {
                view.entry(key.clone()).or_default().push(value.clone());
                after.entry(key.clone()).or_default().push(value.clone());
                true
            }
            MicroOp::Write { key, value } => {
                view.insert(key.clone(), vec![value.clone()]);
                after.insert(key.clone(), vec![value.clone()]);
                true
            }
            MicroOp::ReadList { values, .. } => values.as_ref().is_none_or(|v| *v == held),
            MicroOp::ReadRegister { value, .. } => {
                let held = held.last().cloned().unwrap_or(Value::Nil);
                value.as_ref().is_none_or(|value| *value == held)
            }
            MicroOp::ReadSet { values, .. } => values.as_ref().is_none_or(|values| {
                values.len() == held.len() && values.iter().all(|value| held.contains(value))
            }),
        };
        if !agrees {
            return None;
        }
    }
    Some(after)
}

/// Whether beginnings and commits exist that make it a history of snapshot isolation.
pub(crate) fn is_snapshot(history: &History) -> bool {
    let ops: Vec<&Operation> =
        history.ops.iter().filter(|op| op.outcome != Outcome::Fail).collect();
    let running = vec![None; ops.len()];
    snapshot(&ops, running, &mut vec![false; ops.len()], &initial(history))
}

/// One more beginning or commit. `running`: the snapshots of those that began and, with each, what
/// others have written since.
fn snapshot(
    ops: &[&Operation],
    running: Vec<Option<(Store, Vec<Value>)>>,
    done: &mut Vec<bool>,
    store: &Store,
) -> bool {
    if (0..ops.len()).all(|at| done[at] || ops[at].outcome != Outcome::Ok) {
        return true;
    }
    for at in (0..ops.len()).filter(|at| !done[*at]).collect::<Vec<_>>() {
        let mut next = running.clone();
        let Some((seen, written_since)) = &running[at] else {
            next[at] = Some((store.clone(), Vec::new()));
            if snapshot(ops, next, done, store) {
                return true;
            }
            continue;
        };
        let writes = writes(ops[at]);
        if writes.iter().any(|key| written_since.contains(key)) {
            continue;
        }
        let Some(after) = run(ops[at], seen, store) else { continue };
        next[at] = None;
        for (_, written_since) in next.iter_mut().flatten() {
            written_since.extend(writes.iter().cloned());
        }
        done[at] = true;
        if snapshot(ops, next, done, &after) {
            return true;
        }
        done[at] = false;
    }
    false
}

/// Keys that a transaction writes; sets, as predicates over rows of their own, conflict with
/// nobody.
fn writes(op: &Operation) -> Vec<Value> {
    let Action::Txn(steps) = &op.action else { panic!("transactions only") };
    let conflicts =
        |step: &&MicroOp| matches!(step, MicroOp::Append { .. } | MicroOp::Write { .. });
    steps.iter().filter(conflicts).map(|step| step.key().clone()).collect()
}
