//! How long the judgements take: 100,000 transactions of 32 processes, each of three steps.
//!
//! `cargo run --release -p checker --example speed`

use std::collections::BTreeMap;

use checker::{
    History, MicroOp, Model, Nanos, Operation, Options, Stamp, Timestamps, Validity, Value, check,
};

const TRANSACTIONS: u64 = 100_000;
const PROCESSES: u64 = 32;
/// A list is left alone when it is this long, as workloads do.
const LONGEST_LIST: usize = 64;

fn main() {
    for (name, registers) in [("lists", false), ("registers", true)] {
        let history = history(registers);
        for (model, timestamps) in [
            (Model::Serializable, false),
            (Model::StrictSerializable, false),
            (Model::StrictSerializable, true),
            (Model::Linearizable, false),
        ] {
            #[expect(clippy::disallowed_methods, reason = "a measurement, outside any simulation")]
            let start = std::time::Instant::now();
            let verdict = check(&history, model, Options { timestamps, ..Options::default() });
            assert_eq!(verdict.valid, Validity::Yes, "{}", verdict.render_text());
            println!(
                "{name:<10} {model:<20} {:<16} {:>6.2} s   {} dependencies",
                if timestamps { "with timestamps" } else { "" },
                start.elapsed().as_secs_f64(),
                verdict.stats.dependencies
            );
        }
    }
}

/// Transactions that take effect one after the other while many are under way.
fn history(registers: bool) -> History {
    let mut held: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
    let (mut history, mut first_key, mut value) = (History::default(), 0, 0);
    for index in 0..TRANSACTIONS {
        let mut steps = Vec::new();
        for step in 0..3 {
            let key = first_key + (index * 7 + step * 3) % 16;
            let list = held.entry(key).or_default();
            let name = Value::Int(key as i64);
            if (index + step) % 2 == 0 {
                value += 1;
                let value = Value::Int(value);
                list.push(value.clone());
                steps.push(match registers {
                    true => MicroOp::Write { key: name, value },
                    false => MicroOp::Append { key: name, value },
                });
            } else if registers {
                let value = list.last().cloned().unwrap_or_default();
                steps.push(MicroOp::ReadRegister { key: name, value: Some(value) });
            } else {
                steps.push(MicroOp::ReadList { key: name, values: Some(list.clone()) });
            }
            if list.len() >= LONGEST_LIST && key == first_key {
                first_key += 1;
            }
        }
        // A process's next transaction begins when its last has ended.
        let moment = (index + 1) * 1_000;
        let half = PROCESSES / 2 * 1_000 - 100;
        let times = (Nanos(moment.saturating_sub(half)), Nanos(moment + half));
        let mut op = Operation::txn(index, index % PROCESSES, times, steps);
        let stamp = |wall| Some(Stamp { wall, logical: 0 });
        op.timestamps = Timestamps { read: stamp(moment - 1), commit: stamp(moment) };
        history.ops.push(op);
    }
    history
}
