//! Thousands of small histories, some made by running transactions, some bent afterwards, each judged
//! twice: by the checker and by trying every order.

use rand::{RngExt as _, SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;

use crate::{
    Action, History, MicroOp, Model, Nanos, Operation, Options, Outcome, Stamp, Timestamps,
    Validity, Value, check, naive,
};

/// What the keys of a random history are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keys {
    Lists,
    Registers,
    Sets,
}

/// How a history is bent after it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bend {
    /// Not at all: it holds everything.
    Straight,
    /// Some transactions read an older state.
    StaleReads,
    /// One read is replaced by that of another transaction.
    SwappedReads,
}

/// The bound of reads of the past: beyond the beginning of any history here, so that only their place
/// in the order is judged.
const BOUNDLESS: Nanos = Nanos(1 << 40);

type Store = std::collections::BTreeMap<i64, Vec<i64>>;

/// Runs transactions at moments within their times, one after the other, and bends the outcome.
fn history(rng: &mut ChaCha8Rng, keys: Keys, bend: Bend, count: u64) -> History {
    let mut history = History::default();
    let mut states: Vec<Store> = vec![Store::new()];
    let mut next_value = 1;
    for index in 0..count {
        let now = states.last().expect("the beginning").clone();
        let mut snapshot = now.clone();
        if bend == Bend::StaleReads && rng.random_bool(0.4) {
            snapshot = states[rng.random_range(0..states.len())].clone();
        }
        let mut after = now;
        let mut steps = Vec::new();
        for _ in 0..rng.random_range(1..=3) {
            let key = rng.random_range(0..2);
            if rng.random_bool(0.5) {
                steps.push(write(keys, key, next_value));
                for store in [&mut snapshot, &mut after] {
                    let held = store.entry(key).or_default();
                    if keys == Keys::Registers {
                        held.clear();
                    }
                    held.push(next_value);
                }
                next_value += 1;
            } else {
                steps.push(read(keys, key, snapshot.get(&key).map_or(&[], Vec::as_slice)));
            }
        }
        let moment = (index + 1) * 100;
        let times =
            (moment - rng.random_range(1..250).min(moment), moment + rng.random_range(1..250));
        let times = (Nanos(times.0), Nanos(times.1));
        let mut op = Operation::txn(index, index, times, steps);
        let only_reads =
            matches!(&op.action, Action::Txn(steps) if !steps.iter().any(MicroOp::is_write));
        if only_reads && rng.random_bool(0.4) {
            op.staleness = Some(BOUNDLESS);
        }
        if rng.random_bool(0.15) {
            forget(&mut op);
        }
        let commit = Some(Stamp { wall: moment, logical: 0 });
        op.timestamps = Timestamps { read: Some(Stamp { wall: moment - 1, logical: 0 }), commit };
        history.ops.push(op);
        states.push(after);
    }
    if bend == Bend::SwappedReads {
        swap_reads(rng, &mut history);
    }
    history
}

fn forget(op: &mut Operation) {
    op.outcome = Outcome::Unknown;
    op.completed = None;
    let Action::Txn(steps) = &mut op.action else { return };
    for step in steps {
        match step {
            MicroOp::ReadList { values, .. } | MicroOp::ReadSet { values, .. } => *values = None,
            MicroOp::ReadRegister { value, .. } => *value = None,
            MicroOp::Append { .. } | MicroOp::Write { .. } | MicroOp::Add { .. } => {}
        }
    }
}

fn write(keys: Keys, key: i64, value: i64) -> MicroOp {
    let (key, value) = (Value::Int(key), Value::Int(value));
    match keys {
        Keys::Lists => MicroOp::Append { key, value },
        Keys::Registers => MicroOp::Write { key, value },
        Keys::Sets => MicroOp::Add { key, value },
    }
}

fn read(keys: Keys, key: i64, held: &[i64]) -> MicroOp {
    let key = Value::Int(key);
    let values = Some(held.iter().map(|value| Value::Int(*value)).collect());
    match keys {
        Keys::Lists => MicroOp::ReadList { key, values },
        Keys::Sets => MicroOp::ReadSet { key, values },
        Keys::Registers => MicroOp::ReadRegister {
            key,
            value: Some(held.last().map_or(Value::Nil, |v| Value::Int(*v))),
        },
    }
}

/// Exchanges the results of two reads of the same key.
fn swap_reads(rng: &mut ChaCha8Rng, history: &mut History) {
    let mut reads: Vec<(usize, usize)> = Vec::new();
    for (at, op) in history.ops.iter().enumerate().filter(|(_, op)| op.outcome == Outcome::Ok) {
        let Action::Txn(steps) = &op.action else { continue };
        let is_read = |(_, step): &(usize, &MicroOp)| !step.is_write();
        reads.extend(steps.iter().enumerate().filter(is_read).map(|(step, _)| (at, step)));
    }
    reads.shuffle(rng);
    let step = |history: &History, (op, step): (usize, usize)| {
        let Action::Txn(steps) = &history.ops[op].action else { panic!("transactions only") };
        steps[step].clone()
    };
    let Some(first) = reads.first().copied() else { return };
    let one = step(history, first);
    let other = reads[1..].iter().find(|other| step(history, **other).key() == one.key());
    let Some(other) = other.copied() else { return };
    let two = step(history, other);
    for ((op, at), step) in [(first, two), (other, one)] {
        let Action::Txn(steps) = &mut history.ops[op].action else { continue };
        steps[at] = step;
    }
}

fn text(history: &History) -> String {
    crate::to_json_lines(history)
}

/// What both say of many histories: how many hold, how many do not.
fn compare(
    seed: u64,
    keys: Keys,
    model: Model,
    naive: impl Fn(&History) -> bool,
    exact: bool,
) -> (u32, u32) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut valid, mut invalid) = (0, 0);
    for round in 0..1_500 {
        let bends = [Bend::Straight, Bend::StaleReads, Bend::SwappedReads];
        let bend = bends[rng.random_range(0..bends.len())];
        let count = rng.random_range(2..=6);
        let history = history(&mut rng, keys, bend, count);
        let expected = naive(&history);
        let verdict = check(&history, model, Options::default());
        let context = || format!("round {round}:\n{}{}", text(&history), verdict.render_text());
        assert_ne!(verdict.valid, Validity::Undecided, "{}", context());
        let found = verdict.valid == Validity::Yes;
        // Never a false alarm; and where the theory says so, nothing is missed.
        assert!(found || !expected, "a false alarm in {}", context());
        assert!(!exact || found == expected, "missed in {}", context());
        *(if expected { &mut valid } else { &mut invalid }) += 1;
    }
    assert!(valid > 100 && invalid > 100, "{valid} valid, {invalid} not: one side is not tested");
    (valid, invalid)
}

#[test]
fn lists_are_judged_exactly() {
    compare(1, Keys::Lists, Model::Serializable, |h| naive::is_serializable(h, false), true);
    compare(2, Keys::Lists, Model::StrictSerializable, |h| naive::is_serializable(h, true), true);
}

#[test]
fn sets_are_judged_exactly() {
    compare(3, Keys::Sets, Model::Serializable, |h| naive::is_serializable(h, false), true);
    compare(4, Keys::Sets, Model::StrictSerializable, |h| naive::is_serializable(h, true), true);
}

#[test]
fn registers_are_never_accused_wrongly() {
    compare(5, Keys::Registers, Model::Serializable, |h| naive::is_serializable(h, false), false);
    let strict = |history: &History| naive::is_serializable(history, true);
    compare(6, Keys::Registers, Model::StrictSerializable, strict, false);
}

#[test]
fn snapshots_are_never_accused_wrongly() {
    let small = |history: &History| history.ops.len() > 5 || naive::is_snapshot(history);
    for (seed, keys) in [(7, Keys::Lists), (8, Keys::Registers), (9, Keys::Sets)] {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut valid, mut invalid) = (0, 0);
        for _ in 0..700 {
            let bend = [Bend::StaleReads, Bend::SwappedReads][rng.random_range(0..2)];
            let history = history(&mut rng, keys, bend, 4);
            let verdict = check(&history, Model::Snapshot, Options::default());
            let expected = small(&history);
            let accused = verdict.valid == Validity::No;
            assert!(!accused || !expected, "{}{}", text(&history), verdict.render_text());
            *(if accused { &mut invalid } else { &mut valid }) += 1;
        }
        assert!(valid > 50 && invalid > 50, "{valid} valid, {invalid} not");
    }
}

/// Single keys, one step a transaction: what linearizability is about.
#[test]
fn registers_are_linearizable_exactly_when_some_order_says_so() {
    let mut rng = ChaCha8Rng::seed_from_u64(10);
    let (mut valid, mut invalid) = (0, 0);
    for round in 0..3_000 {
        let mut history = history(&mut rng, Keys::Registers, Bend::StaleReads, 7);
        // Values repeat in every other history.
        let distinct = if round % 2 == 0 { 2 } else { 100 };
        for op in &mut history.ops {
            let Action::Txn(steps) = &mut op.action else { continue };
            steps.truncate(1);
            match &mut steps[0] {
                MicroOp::ReadRegister { key, value } => {
                    *key = Value::Int(0);
                    bound(value.as_mut(), distinct);
                }
                MicroOp::Write { key, value } => {
                    *key = Value::Int(0);
                    bound(Some(value), distinct);
                }
                _ => panic!("registers only"),
            }
        }
        let expected = naive::is_serializable(&history, true);
        for model in [Model::Linearizable, Model::StrictSerializable] {
            let verdict = check(&history, model, Options::default());
            let found = verdict.valid == Validity::Yes;
            assert!(
                found == expected
                    || (model == Model::StrictSerializable && distinct == 100 && found),
                "round {round}, {expected} expected:\n{}{}",
                text(&history),
                verdict.render_text()
            );
        }
        *(if expected { &mut valid } else { &mut invalid }) += 1;
    }
    assert!(valid > 300 && invalid > 300, "{valid} valid, {invalid} not: one side is not tested");
}

fn bound(value: Option<&mut Value>, distinct: i64) {
    if let Some(Value::Int(int)) = value {
        *int %= distinct;
    }
}

/// Honest timestamps are never accused; a read that is bent afterwards is found.
#[test]
fn timestamps_explain_what_was_run_and_nothing_else() {
    let options = Options { timestamps: true, ..Options::default() };
    let mut found = 0;
    for (seed, keys) in [(11, Keys::Lists), (12, Keys::Registers), (13, Keys::Sets)] {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..300 {
            let straight = history(&mut rng, keys, Bend::Straight, 8);
            let verdict = check(&straight, Model::StrictSerializable, options);
            assert_ne!(verdict.valid, Validity::No, "{}{}", text(&straight), verdict.render_text());
            let mut bent = straight.clone();
            swap_reads(&mut rng, &mut bent);
            let verdict = check(&bent, Model::StrictSerializable, options);
            let differs = bent != straight;
            // Timestamps leave no room: every read that differs is wrong.
            if differs && bent.ops.iter().all(|op| op.outcome == Outcome::Ok) {
                assert_eq!(verdict.valid, Validity::No, "{}", text(&bent));
                found += 1;
            }
        }
    }
    assert!(found > 50, "{found} bent histories are too few");
}
