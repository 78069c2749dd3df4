//! Comments and sequential: whoever sees a later insert sees the earlier ones.
//!
//! *Comments*: an insert was acknowledged before another began, in real time. *Sequential*: the same
//! process made both, one after the other. A read that shows the later and not the earlier contradicts
//! what people take for granted, even if every transaction by itself is serializable.
//!
//! An insert is an element added to a set, or a register written once; it is missed where a read of
//! the set does not show it, or a read of the register shows nil.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::{
    Action, History, Kind, MicroOp, Nanos, Operation, Order, Outcome, Value, Workload,
    report::{Found, Report, ended_before},
};

/// Where an insert is seen: the set and the element, or the register and what was written.
type Insert<'h> = (&'h Value, &'h Value);

/// Judges all reads of the two workloads.
pub(crate) fn judge<'h>(history: &'h History, report: &mut Report<'h>) {
    for workload in [Workload::Comments, Workload::Sequential] {
        let inserts = Inserts::of(history, workload);
        for (at, op) in history.ops.iter().enumerate() {
            if op.workload == workload && op.outcome == Outcome::Ok && op.staleness.is_none() {
                inserts.judge_read((history, workload), at, op, report);
            }
        }
    }
}

/// The inserts of a workload, by key.
struct Inserts<'h> {
    by_key: BTreeMap<&'h Value, Vec<(&'h Value, usize)>>,
    writers: FxHashMap<Insert<'h>, usize>,
}

impl<'h> Inserts<'h> {
    fn of(history: &'h History, workload: Workload) -> Self {
        let mut inserts = Self { by_key: BTreeMap::new(), writers: FxHashMap::default() };
        for (at, op) in history.ops.iter().enumerate() {
            let Action::Txn(steps) = &op.action else { continue };
            if op.workload != workload || op.outcome == Outcome::Fail {
                continue;
            }
            for step in steps {
                let (MicroOp::Add { key, value } | MicroOp::Write { key, value }) = step else {
                    continue;
                };
                inserts.by_key.entry(key).or_default().push((value, at));
                inserts.writers.insert((key, value), at);
            }
        }
        inserts
    }

    fn judge_read(
        &self,
        (history, workload): (&'h History, Workload),
        at: usize,
        op: &'h Operation,
        report: &mut Report<'h>,
    ) {
        let Action::Txn(steps) = &op.action else { return };
        let mut seen: Vec<(&Value, usize)> = Vec::new();
        let mut missed: Vec<(&Value, usize)> = Vec::new();
        for step in steps {
            match step {
                MicroOp::ReadSet { key, values: Some(values) } => {
                    let shown: FxHashSet<&Value> = values.iter().collect();
                    for (value, writer) in self.by_key.get(key).into_iter().flatten() {
                        let list = if shown.contains(value) { &mut seen } else { &mut missed };
                        list.push((key, *writer));
                    }
                }
                MicroOp::ReadRegister { key, value: Some(value) } if value.is_nil() => {
                    let inserts = self.by_key.get(key).into_iter().flatten();
                    missed.extend(inserts.map(|(_, writer)| (key, *writer)));
                }
                MicroOp::ReadRegister { key, value: Some(value) } => {
                    seen.extend(self.writers.get(&(key, value)).map(|writer| (key, *writer)));
                }
                MicroOp::ReadRegister { .. }
                | MicroOp::ReadSet { .. }
                | MicroOp::Append { .. }
                | MicroOp::ReadList { .. }
                | MicroOp::Write { .. }
                | MicroOp::Add { .. } => {}
            }
        }
        missed.retain(|(_, writer)| *writer != at && end(&history.ops[*writer]).is_some());
        seen.retain(|(_, writer)| *writer != at);
        let found = match workload {
            Workload::Sequential => same_process(history, &missed, &seen),
            _ => in_time(history, &missed, &seen),
        };
        let Some(((first_key, first), (later_key, later))) = found else { return };
        let kind = match workload {
            Workload::Sequential => Kind::Sequential,
            _ => Kind::Comments,
        };
        report.add(kind, Order::Data, || {
            let gap = ended_before(history.time_unit, &history.ops[first], &history.ops[later]);
            let gap = gap.unwrap_or_else(|| "just".into());
            Found {
                ops: vec![first, later, at],
                keys: if first_key == later_key {
                    vec![first_key]
                } else {
                    vec![first_key, later_key]
                },
                explanation: format!(
                    "T3 sees T2's insert and misses T1's, though T1 ended {gap} before T2 began."
                ),
                ..Found::default()
            }
        });
    }
}

/// Acknowledged, so that others may count on it.
fn end(op: &Operation) -> Option<Nanos> {
    op.completed.filter(|_| op.outcome == Outcome::Ok)
}

type Pair<'h> = ((&'h Value, usize), (&'h Value, usize));

/// The missed insert that ended first and the seen one that began last, if in this order.
fn in_time<'h>(
    history: &History,
    missed: &[(&'h Value, usize)],
    seen: &[(&'h Value, usize)],
) -> Option<Pair<'h>> {
    let first = *missed.iter().min_by_key(|(_, op)| end(&history.ops[*op]))?;
    let last = *seen.iter().max_by_key(|(_, op)| history.ops[*op].invoked)?;
    (end(&history.ops[first.1])? < history.ops[last.1].invoked).then_some((first, last))
}

/// The same, process by process.
fn same_process<'h>(
    history: &History,
    missed: &[(&'h Value, usize)],
    seen: &[(&'h Value, usize)],
) -> Option<Pair<'h>> {
    let process = |op: usize| history.ops[op].process;
    let mut last: BTreeMap<u64, (&'h Value, usize)> = BTreeMap::new();
    for (key, op) in seen {
        let found = last.entry(process(*op)).or_insert((key, *op));
        if history.ops[found.1].invoked < history.ops[*op].invoked {
            *found = (key, *op);
        }
    }
    missed.iter().find_map(|first| {
        let last = last.get(&process(first.1))?;
        let (ended, began) = (end(&history.ops[first.1])?, history.ops[last.1].invoked);
        (first.1 != last.1 && ended <= began).then_some((*first, *last))
    })
}
