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
    assert_eq!(verdict.exit_code(), 3);
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

/// Increments that do the same are taken in the order of their ends, so many at once are few worlds.
#[test]
fn a_counter_that_many_add_to_at_once_is_judged() {
    let mut history = History::default();
    for n in 0..200 {
        history.ops.push(call(n, (n / 50, 100 + n), Call::Add(1)));
    }
    history.ops.push(call(200, (500, 510), Call::Read(Some(Value::Int(200)))));
    for model in Model::ALL {
        let verdict = check(&history, model, Options::default());
        assert_eq!(verdict.valid, Validity::Yes, "{}", verdict.render_text());
    }
    history.ops.push(call(201, (520, 530), Call::Read(Some(Value::Int(199)))));
    let verdict = check(&history, Model::StrictSerializable, Options::default());
    assert_eq!(verdict.valid, Validity::No);
    assert!(verdict.anomalies[0].explanation.contains("can only have been 200"));
}

/// A register whose strict order is broken may still be serializable: that is not known then.
#[test]
fn a_weaker_model_is_decided_where_a_stronger_one_holds() {
    let mut history = History::default();
    for (n, value) in [0, 1, 0].into_iter().enumerate() {
        let n = n as u64;
        history.ops.push(call(n, (n * 10, n * 10 + 5), Call::Write(Value::Int(value))));
    }
    history.ops.push(call(3, (30, 35), Call::Read(Some(Value::Int(0)))));
    for model in [Model::Serializable, Model::Snapshot, Model::ReadCommitted] {
        let verdict = check(&history, model, Options::default());
        assert_eq!((verdict.valid, verdict.exit_code()), (Validity::Yes, 0), "{model}");
        assert_eq!(verdict.decided_by, Some(Model::StrictSerializable));
        assert!(verdict.render_text().contains("strict-serializable holds, and it promises"));
    }
    history.ops.push(call(4, (40, 45), Call::Read(Some(Value::Int(1)))));
    let strict = check(&history, Model::StrictSerializable, Options::default());
    assert_eq!(strict.valid, Validity::No);
    let weaker = check(&history, Model::Serializable, Options::default());
    assert_eq!((weaker.valid, weaker.exit_code()), (Validity::Undecided, 3), "it may be");
}
