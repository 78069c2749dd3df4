//! Thousands of small histories, some made by running transactions, some bent afterwards, each judged
//! twice: by the checker and by trying every order.

use rand::{RngExt as _, SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;

use crate::{
    Action, Call, History, MicroOp, Model, Nanos, Operation, Options, Outcome, Stamp, Timestamps,
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

/// How a history lies in time, and what becomes of its transactions: drawn, too, so that ties and
/// lost answers are everywhere in some histories.
struct Circumstances {
    /// A moment lies so much after the one before, at most.
    gap: u64,
    /// A transaction begins and ends so much before and after its moment, at most.
    reach: u64,
    /// How likely nobody knows.
    unknown: f64,
    /// How likely it fails: none of its effects is there, whatever it read.
    failed: f64,
}

impl Circumstances {
    fn draw(rng: &mut ChaCha8Rng) -> Self {
        let (gap, reach) = [(100, 250), (1, 2), (1, 4), (0, 1)][rng.random_range(0..4)];
        let unknown = [0.0, 0.15, 0.6][rng.random_range(0..3)];
        Self { gap, reach, unknown, failed: [0.0, 0.2][rng.random_range(0..2)] }
    }

    fn times(&self, rng: &mut ChaCha8Rng, moment: u64) -> (Nanos, Nanos) {
        let before = rng.random_range(0..=self.reach).min(moment);
        (Nanos(moment - before), Nanos(moment + rng.random_range(0..=self.reach)))
    }
}

/// A process that has nothing to do: the last one in the order of things that ended in time.
fn process(rng: &mut ChaCha8Rng, history: &History, begin: Nanos) -> u64 {
    let process = rng.random_range(0..3);
    let mut own = history.ops.iter().filter(|op| op.process == process);
    let is_free = own.all(|op| op.completed.is_some_and(|end| end <= begin));
    if is_free { process } else { 100 + history.ops.len() as u64 }
}

/// Runs transactions at moments within their times, one after the other, and bends the outcome.
fn history(rng: &mut ChaCha8Rng, keys: Keys, bend: Bend, count: u64) -> History {
    let mut history = History::default();
    let mut states: Vec<Store> = vec![Store::new()];
    let circumstances = Circumstances::draw(rng);
    let (mut next_value, mut moment) = (1, 10);
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
                let value = if next_value % 3 == 0 { -next_value } else { next_value };
                steps.push(write(keys, key, value));
                for store in [&mut snapshot, &mut after] {
                    let held = store.entry(key).or_default();
                    if keys == Keys::Registers {
                        held.clear();
                    }
                    held.push(value);
                }
                next_value += 1;
            } else {
                steps.push(read(keys, key, snapshot.get(&key).map_or(&[], Vec::as_slice)));
            }
        }
        moment += rng.random_range(0..=circumstances.gap);
        let times = circumstances.times(rng, moment);
        let mut op = Operation::txn(index, process(rng, &history, times.0), times, steps);
        let only_reads =
            matches!(&op.action, Action::Txn(steps) if !steps.iter().any(MicroOp::is_write));
        if only_reads && rng.random_bool(0.4) {
            op.staleness = Some(BOUNDLESS);
        }
        let stamp = |logical| Some(Stamp { wall: moment, logical });
        let (read, commit) = (stamp(2 * index as u32), stamp(2 * index as u32 + 1));
        op.timestamps = Timestamps { read, commit };
        if rng.random_bool(circumstances.failed) {
            op.outcome = Outcome::Fail;
            op.timestamps = Timestamps::default();
        } else {
            states.push(after);
            if rng.random_bool(circumstances.unknown) {
                forget(&mut op);
            }
        }
        history.ops.push(op);
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
        let mut history = history(&mut rng, keys, bend, count);
        if rng.random_bool(0.2) {
            // All by one process, which may do several things at a time.
            history.ops.iter_mut().for_each(|op| op.process = 7);
        }
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
    assert!(valid > 50 && invalid > 50, "{valid} valid, {invalid} not: one side is not tested");
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

/// Calls on one object, answered as they would be, and bent.
fn calls(rng: &mut ChaCha8Rng, kind: usize, count: u64) -> History {
    let mut history = History::default();
    let circumstances = Circumstances::draw(rng);
    let (mut held, mut moment): (Option<i64>, u64) = (None, 10);
    if kind < 2 && rng.random_bool(0.5) {
        held = Some(1);
        history.initial.keys.insert(Value::from("x"), Value::Int(1));
    }
    for index in 0..count {
        moment += rng.random_range(0..=circumstances.gap);
        let times = circumstances.times(rng, moment);
        let value = rng.random_range(-1..=1);
        let answer = if rng.random_bool(0.2) { Some(value) } else { held };
        let call = match (kind, rng.random_range(0..3)) {
            (0, 0) => Call::Read(Some(answer.map_or(Value::Nil, Value::Int))),
            // With no addition in the history it is a register, and nil is not zero.
            (1, 0) if index > 0 => Call::Read(Some(Value::Int(answer.unwrap_or(0)))),
            (0, 1) => Call::Write(Value::Int(value)),
            (0, _) => Call::CompareAndSet {
                from: answer.map_or(Value::Nil, Value::Int),
                to: Value::Int(value),
            },
            (1, _) => Call::Add(value),
            _ if (held.is_none()) ^ rng.random_bool(0.2) => Call::Acquire,
            _ => Call::Release,
        };
        held = match &call {
            Call::Read(_) => held,
            Call::Write(to) | Call::CompareAndSet { to, .. } => to.as_int(),
            Call::Add(amount) => Some(held.unwrap_or(0) + amount),
            Call::Acquire => Some(1),
            Call::Release => None,
        };
        let mut op = Operation::txn(index, process(rng, &history, times.0), times, Vec::new());
        op.action = Action::Register { key: Value::from("x"), call };
        if rng.random_bool(circumstances.unknown) {
            op.outcome = Outcome::Unknown;
            op.completed = None;
        }
        history.ops.push(op);
    }
    history
}

/// Registers, counters and locks, with and without an initial value.
#[test]
fn calls_are_linearizable_exactly_when_some_order_says_so() {
    let mut rng = ChaCha8Rng::seed_from_u64(14);
    for kind in 0..3 {
        let (mut valid, mut invalid) = (0, 0);
        for round in 0..1_000 {
            let count = rng.random_range(2..=6);
            let history = calls(&mut rng, kind, count);
            let expected = naive::is_serializable(&history, true);
            for model in [Model::Linearizable, Model::StrictSerializable] {
                let verdict = check(&history, model, Options::default());
                let found = verdict.valid == Validity::Yes;
                let context = || {
                    format!("{kind}, round {round}:\n{}{}", text(&history), verdict.render_text())
                };
                // One object, so locality is no question; nothing is left undecided.
                assert_ne!(verdict.valid, Validity::Undecided, "{}", context());
                assert!(found == expected, "{expected} expected: {}", context());
            }
            *(if expected { &mut valid } else { &mut invalid }) += 1;
        }
        assert!(valid > 50 && invalid > 50, "{kind}: {valid} valid, {invalid} not");
    }
}

/// What holds for a model holds for all that it implies, and what breaks a model breaks all that imply
/// it; where values repeat, nobody is accused wrongly and nothing holds that does not.
#[test]
fn verdicts_on_different_models_agree() {
    let mut rng = ChaCha8Rng::seed_from_u64(15);
    let (mut decided, mut by_others) = (0, 0);
    for round in 0..600 {
        let keys = [Keys::Lists, Keys::Registers, Keys::Sets][rng.random_range(0..3)];
        let bend = [Bend::Straight, Bend::StaleReads, Bend::SwappedReads][rng.random_range(0..3)];
        let mut history = history(&mut rng, keys, bend, 5);
        let repeats = keys == Keys::Registers && rng.random_bool(0.6);
        if repeats {
            make_repeats(&mut rng, &mut history);
        }
        let verdicts = Model::ALL.map(|model| check(&history, model, Options::default()));
        for stronger in &verdicts {
            for weaker in verdicts.iter().filter(|it| stronger.model.implies(it.model)) {
                let context = || {
                    format!(
                        "round {round}:\n{}{}{}",
                        text(&history),
                        stronger.render_text(),
                        weaker.render_text()
                    )
                };
                let holds = stronger.valid == Validity::Yes;
                assert!(!holds || weaker.valid == Validity::Yes, "{}", context());
                let broken = weaker.valid == Validity::No;
                assert!(!broken || stronger.valid == Validity::No, "{}", context());
                // And what one verdict says of the other model is what that one's own says.
                for (one, other) in [(stronger, weaker), (weaker, stronger)] {
                    let said = one.of(other.model);
                    assert!(said.is_none_or(|said| said == other.valid), "{said:?} {}", context());
                }
            }
        }
        let serializable = &verdicts[2];
        let expected = naive::is_serializable(&history, false);
        assert!(serializable.valid != Validity::No || !expected, "{}", text(&history));
        decided += u32::from(repeats && serializable.valid != Validity::Undecided);
        by_others += u32::from(verdicts.iter().any(|verdict| verdict.decided_by.is_some()));
    }
    assert!(decided > 20 && by_others > 20, "{decided} decided, {by_others} by other models");
}

/// Single steps on one register, with values that repeat, nil among them.
fn make_repeats(rng: &mut ChaCha8Rng, history: &mut History) {
    let one_key = rng.random_bool(0.7);
    for op in &mut history.ops {
        let Action::Txn(steps) = &mut op.action else { continue };
        if one_key {
            steps.truncate(1);
        }
        for step in steps {
            match step {
                MicroOp::ReadRegister { value, .. } => bound(value.as_mut(), 2),
                MicroOp::Write { value, .. } if *value == Value::Int(1) => *value = Value::Nil,
                MicroOp::Write { value, .. } => bound(Some(value), 2),
                MicroOp::Append { .. }
                | MicroOp::ReadList { .. }
                | MicroOp::Add { .. }
                | MicroOp::ReadSet { .. } => panic!("registers only"),
            }
        }
    }
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
