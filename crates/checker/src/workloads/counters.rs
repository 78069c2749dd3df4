//! Monotonic: counters that only grow.
//!
//! A process never reads less from a counter than it has read before; and at a later timestamp there is
//! never less than at an earlier one. Reads of the past are bound by their timestamps only.

use std::collections::BTreeMap;

use crate::{
    Action, History, Kind, MicroOp, Order, Outcome, Stamp, Value, Workload,
    report::{Found, Report},
};

/// One read of a counter.
struct Read {
    op: usize,
    value: i64,
}

/// Judges all counters. `by_timestamps`: whether timestamps are to be trusted.
pub(crate) fn judge<'h>(history: &'h History, report: &mut Report<'h>, by_timestamps: bool) {
    let mut by_process: BTreeMap<(&Value, u64), Vec<Read>> = BTreeMap::new();
    let mut by_stamp: BTreeMap<&Value, Vec<(Stamp, Read)>> = BTreeMap::new();
    let mut odd = 0;
    for (at, op) in history.ops.iter().enumerate() {
        let Action::Txn(steps) = &op.action else { continue };
        if op.workload != Workload::Monotonic || op.outcome != Outcome::Ok {
            continue;
        }
        let wrote: Vec<&Value> = steps.iter().filter(|s| s.is_write()).map(MicroOp::key).collect();
        for step in steps {
            let MicroOp::ReadRegister { key, value: Some(value) } = step else { continue };
            // A counter begins at nil, which is less than any number.
            let Some(value) = value.as_int().or(value.is_nil().then_some(i64::MIN)) else {
                odd += 1;
                continue;
            };
            if op.staleness.is_none() {
                let reads = by_process.entry((key, op.process)).or_default();
                reads.push(Read { op: at, value });
            }
            // Who increments reads his own write, at another timestamp than his snapshot's.
            if let Some(read) = op.timestamps.read.filter(|_| !wrote.contains(&key)) {
                by_stamp.entry(key).or_default().push((read, Read { op: at, value }));
            }
        }
    }
    report.skip("reads of growing counters that are no integers", odd);
    for ((key, _), mut reads) in by_process {
        // Steps of one transaction stay in their order.
        reads.sort_by_key(|read| history.ops[read.op].invoked);
        for pair in reads.windows(2).filter(|pair| pair[1].value < pair[0].value) {
            let explanation = explain(key, [&pair[0], &pair[1]], "the same process later read");
            add(report, Kind::Monotonic, key, [&pair[0], &pair[1]], explanation);
        }
    }
    for (key, mut reads) in by_stamp.into_iter().filter(|_| by_timestamps) {
        reads.sort_by_key(|(stamp, read)| (*stamp, read.value));
        for pair in reads.windows(2).filter(|pair| pair[1].1.value < pair[0].1.value) {
            let pair = [&pair[0].1, &pair[1].1];
            let explanation = explain(key, pair, "at a later timestamp T2 read");
            add(report, Kind::ShrunkCounter, key, pair, explanation);
        }
    }
}

fn explain(key: &Value, [earlier, later]: [&Read; 2], how: &str) -> String {
    let value = |read: &Read| match read.value {
        i64::MIN => "nil".to_owned(),
        value => value.to_string(),
    };
    format!("T1 read {} from the counter {key}; {how} {}.", value(earlier), value(later))
}

fn add<'h>(
    report: &mut Report<'h>,
    kind: Kind,
    key: &'h Value,
    pair: [&Read; 2],
    explanation: String,
) {
    let ops = pair.map(|read| read.op).to_vec();
    report.add(kind, Order::Data, || Found {
        ops,
        keys: vec![key],
        explanation,
        ..Found::default()
    });
}
