//! Stale reads: they may miss what is recent, and nothing that is older than their bound.
//!
//! A read that began at `b` with the bound `s` must show every write that was acknowledged before
//! `b - s`, or something newer. Newer is what began after that write ended; for lists, what lies behind
//! it.

use std::collections::BTreeMap;

use rustc_hash::FxHashSet;

use crate::{
    Kind, Nanos, Order, TimeUnit, Value,
    index::{Index, KeyId, KeyKind, Step, TxnId, VersionId},
    order::end,
    report::{Found, Report, duration},
};

/// An acknowledged write: its end, its version, and of all writes of the key that ended no later the
/// one that began last.
type Write = (Nanos, VersionId, (Nanos, TxnId));

/// Judges all reads with a bound.
pub(crate) fn judge<'h>(index: &Index<'h>, report: &mut Report<'h>) {
    let bounded = |(txn, _): &(TxnId, _)| index.op(*txn).staleness.is_some();
    let stale: Vec<TxnId> = index.counted().filter(bounded).map(|(txn, _)| txn).collect();
    if stale.is_empty() {
        return;
    }
    let written = acknowledged(index);
    let none = Vec::new();
    let mut unknown = 0;
    for txn in stale {
        let op = index.op(txn);
        let bound = op.staleness.expect("it has a bound");
        let Some(moment) = op.invoked.0.checked_sub(bound.0).map(Nanos) else { continue };
        for step in &index.txn(txn).steps {
            let writes = written.get(&step.key()).unwrap_or(&none);
            let due = writes.partition_point(|(end, ..)| *end < moment);
            if index.repeats(step.key()) {
                unknown += 1;
                continue;
            }
            if due == 0 {
                continue;
            }
            if let Some(missed) = missed(index, step, &writes[..due]) {
                add(index, report, (txn, bound), missed, index.key_name(step.key()));
            }
        }
    }
    report.skip("bounds of stale reads of keys whose values repeat", unknown);
}

fn acknowledged(index: &Index<'_>) -> BTreeMap<KeyId, Vec<Write>> {
    let mut written: BTreeMap<KeyId, Vec<Write>> = BTreeMap::new();
    for (txn, steps) in index.counted() {
        let Some(end) = end(index, txn) else { continue };
        for step in &steps.steps {
            if let Step::Write(key, version) = step {
                let begin = index.op(txn).invoked;
                written.entry(*key).or_default().push((end, *version, (begin, txn)));
            }
        }
    }
    for writes in written.values_mut() {
        writes.sort_unstable();
        let mut last = (Nanos(0), TxnId(0));
        for (_, _, begin) in writes {
            last = last.max(*begin);
            *begin = last;
        }
    }
    written
}

/// Who wrote something that was due and is neither shown nor overwritten by what is.
fn missed(index: &Index<'_>, step: &Step, due: &[Write]) -> Option<TxnId> {
    match step {
        Step::Write(..) | Step::Add(..) => None,
        Step::Read(_, version) => {
            let last_begun = due.last().map(|(.., begun)| *begun)?;
            if index.version(*version).initial {
                return Some(last_begun.1);
            }
            let writer = index.version(*version).writer?;
            let ended = end(index, writer)?;
            (ended < last_begun.0).then_some(last_begun.1)
        }
        Step::ReadAll(key, shown) => {
            let shown: FxHashSet<VersionId> = shown.iter().copied().collect();
            let missing = due.iter().find(|(_, version, _)| !shown.contains(version));
            assert_ne!(index.kind(*key), KeyKind::Register, "a register has one value");
            missing.and_then(|(_, version, _)| index.version(*version).writer)
        }
    }
}

fn add<'h>(
    index: &Index<'h>,
    report: &mut Report<'h>,
    (reader, bound): (TxnId, Nanos),
    writer: TxnId,
    key: &'h Value,
) {
    let unit: TimeUnit = index.history.time_unit;
    let ops = vec![index.txn(writer).op, index.txn(reader).op];
    let (ended, began) = (end(index, writer), index.op(reader).invoked);
    report.add(Kind::StaleRead, Order::Data, || {
        let age = ended.map_or(0, |ended| began.0 - ended.0);
        Found {
            ops,
            keys: vec![key],
            explanation: format!(
                "T2 read {key} without what T1 wrote, which was acknowledged {} before T2 began; its \
                 bound is {}.",
                duration(unit, age),
                duration(unit, bound.0)
            ),
            ..Found::default()
        }
    });
}
