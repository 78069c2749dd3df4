//! Linearizability at its limit; the random tests of the crate compare its verdicts.

use crate::{
    Action, Call, History, Model, Nanos, Operation, Options, Outcome, Validity, Value, check,
};

fn call(index: u64, times: (u64, u64), call: Call) -> Operation {
    let mut op = Operation::txn(index, index, (Nanos(times.0), Nanos(times.1)), Vec::new());
    op.action = Action::Register { key: Value::from("r"), call };
    op
}

/// Many writes side by side, each of a value of its own: too many worlds.
#[test]
fn beyond_the_limit_it_is_undecided_and_says_so() {
    let mut history = History::default();
    for n in 0..24 {
        history.ops.push(call(n, (0, 100 + n), Call::Write(Value::Int(n as i64))));
    }
    // A value that was written twice: no dependency tells who was read.
    history.ops.push(call(24, (500, 510), Call::Write(Value::Int(0))));
    let verdict = check(&history, Model::StrictSerializable, Options::default());
    assert_eq!(verdict.valid, Validity::Undecided, "{}", verdict.render_text());
    assert!(verdict.notes.iter().any(|note| note.contains("was not judged for linearizability")));
    assert_eq!(verdict.exit_code(), 0);
}

/// Lost writes of different values cost no more than their number.
#[test]
fn lost_calls_make_few_worlds() {
    let mut history = History::default();
    for n in 0..40 {
        let mut lost = call(n, (0, 0), Call::Write(Value::Int(n as i64)));
        lost.outcome = Outcome::Unknown;
        lost.completed = None;
        history.ops.push(lost);
    }
    for n in 40..60 {
        history.ops.push(call(n, (n * 10, n * 10 + 5), Call::Write(Value::Int(100))));
    }
    for (n, seen) in [(60, 7), (61, 8)] {
        history.ops.push(call(n, (n * 10, n * 10 + 5), Call::Read(Some(Value::Int(seen)))));
    }
    let verdict = check(&history, Model::StrictSerializable, Options::default());
    assert_eq!(verdict.valid, Validity::Yes, "{}", verdict.render_text());
    history.ops.push(call(62, (900, 905), Call::Read(Some(Value::Int(7)))));
    let verdict = check(&history, Model::StrictSerializable, Options::default());
    assert_eq!(verdict.valid, Validity::No, "a lost write has its moment once");
}

/// Twins: of lost calls that do the same the oldest is tried first, so they cost next to nothing.
#[test]
fn lost_calls_that_do_the_same_stay_few_worlds() {
    let mut history = History::default();
    for n in 0..40 {
        let mut lost = call(n, (n, n), Call::Write(Value::Int(n as i64 % 2)));
        lost.outcome = Outcome::Unknown;
        lost.completed = None;
        history.ops.push(lost);
    }
    for n in 40..60 {
        history.ops.push(call(n, (n * 10, n * 10 + 5), Call::Read(Some(Value::Int(n as i64 % 2)))));
    }
    let verdict = check(&history, Model::StrictSerializable, Options::default());
    assert_eq!(verdict.valid, Validity::Yes, "{}", verdict.render_text());
    history.ops.push(call(60, (900, 910), Call::Read(Some(Value::Nil))));
    let verdict = check(&history, Model::StrictSerializable, Options::default());
    assert_eq!(verdict.valid, Validity::No);
}
