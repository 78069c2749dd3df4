//! The way of a history through all judgements.

use rustc_hash::FxHashSet;

use crate::{
    Action, History, Model, Options, Outcome, Stats, Validity, Verdict, Workload, cycles,
    graph::Builder,
    index::{Cut, Index, KeyId, KeyKind, Step},
    infer::Inference,
    linear, order,
    report::Report,
    timestamps,
    workloads::{bank, counters, staleness, visibility},
};

/// Holds a history against a model.
pub(crate) fn check(history: &History, model: Model, options: Options) -> Verdict {
    let mut report = Report::new(history, model);
    let mut stats = count(history);
    let cut = if model == Model::Linearizable { Cut::PerKey } else { Cut::Whole };
    let index = Index::new(history, cut);
    stats.keys = index.keys.len();
    judge_graph(&index, &mut report, &mut stats, model, options);
    bank::judge(history, &mut report, &mut stats, options);
    visibility::judge(history, &mut report);
    counters::judge(history, &mut report, options.timestamps);
    staleness::judge(&index, &mut report);
    let mut judged: FxHashSet<KeyId> = FxHashSet::default();
    if options.timestamps {
        judged = timestamps::judge(&index, &mut report, &mut stats, model);
    }
    if model.is_realtime() {
        judge_registers(&index, &mut report, &mut stats, &mut judged);
    }
    if stats.totals > 0 {
        let bank = index.txns.iter().filter(|txn| history.ops[txn.op].workload == Workload::Bank);
        judged.extend(bank.flat_map(|txn| txn.steps.iter().map(|step| step.key())));
    }
    note_unjudged(&index, &mut report, &judged);
    report.finish();
    let valid = match (report.has_forbidden(), report.undecided) {
        (true, _) => Validity::No,
        (false, true) => Validity::Undecided,
        (false, false) => Validity::Yes,
    };
    Verdict {
        model,
        valid,
        anomalies: report.anomalies,
        notes: report.notes,
        stats,
        origin: history.ops.iter().map(|op| op.invoked).min().unwrap_or_default(),
        time_unit: history.time_unit,
    }
}

fn count(history: &History) -> Stats {
    let of = |outcome| history.ops.iter().filter(|op| op.outcome == outcome).count();
    Stats {
        operations: history.ops.len(),
        ok: of(Outcome::Ok),
        fail: of(Outcome::Fail),
        unknown: of(Outcome::Unknown),
        ..Stats::default()
    }
}

fn judge_graph<'h>(
    index: &Index<'h>,
    report: &mut Report<'h>,
    stats: &mut Stats,
    model: Model,
    options: Options,
) {
    let seen = index.counted().filter(|(txn, _)| index.op(*txn).outcome == Outcome::Unknown);
    stats.unknown_seen = seen.map(|(_, txn)| txn.op).collect::<FxHashSet<_>>().len();
    let graph = Builder::new(index.txns.len());
    let realtime = model.is_realtime();
    let mut inference = Inference { index, graph, report, options, realtime, lost: Vec::new() };
    inference.run();
    let Inference { mut graph, lost, .. } = inference;
    if realtime {
        order::add_realtime(index, &mut graph);
        order::add_processes(index, &mut graph);
    }
    let graph = graph.build();
    stats.dependencies = graph.edge_count();
    cycles::judge(index, &graph, report, realtime, &lost);
}

/// Single registers: those with repeated values, as far as nothing touches other keys too. Where
/// each register by itself is to be linearizable also those that somebody read and wrote at once;
/// of the others the graph knows all there is to know (Gibbons and Korach: with distinct values,
/// calls have an order unless real time puts two versions before each other).
fn judge_registers<'h>(
    index: &Index<'h>,
    report: &mut Report<'h>,
    stats: &mut Stats,
    judged: &mut FxHashSet<KeyId>,
) {
    let keys = (0..index.keys.len()).map(|key| KeyId(key as u32));
    let mut registers: FxHashSet<KeyId> =
        keys.filter(|key| index.kind(*key) == KeyKind::Register).collect();
    for step in index.txns.iter().flat_map(|txn| &txn.steps) {
        // A key that is used as a register and as something else is neither.
        if matches!(step, Step::ReadAll(..)) {
            registers.remove(&step.key());
        }
    }
    if index.cut == Cut::PerKey {
        let several = index.txns.iter().filter(|txn| txn.steps.len() > 1);
        let at_once: FxHashSet<KeyId> = several.map(|txn| txn.steps[0].key()).collect();
        registers.retain(|key| index.repeats(*key) || at_once.contains(key));
    } else {
        registers.retain(|key| index.repeats(*key));
        for txn in &index.txns {
            let first = txn.steps.first().map(|step| step.key());
            if txn.steps.iter().any(|step| Some(step.key()) != first) {
                txn.steps.iter().for_each(|step| {
                    registers.remove(&step.key());
                });
            }
        }
    }
    let mut registers: Vec<KeyId> = registers.into_iter().collect();
    registers.sort_unstable();
    stats.registers = registers.len();
    for key in registers {
        linear::judge(index, report, key);
        judged.insert(key);
    }
}

/// Says what no judgement covered.
fn note_unjudged(index: &Index<'_>, report: &mut Report<'_>, judged: &FxHashSet<KeyId>) {
    let keys = (0..index.keys.len()).map(|key| KeyId(key as u32));
    let unjudged: Vec<KeyId> =
        keys.filter(|key| index.repeats(*key) && !judged.contains(key)).collect();
    if let Some(first) = unjudged.first() {
        report.undecided(format!(
            "{} of {} keys were not judged, {} for one: a value was written to it twice, so reads do \
             not tell whose write they saw",
            unjudged.len(),
            index.keys.len(),
            index.key_name(*first)
        ));
    }
    let opaque = index.history.ops.iter().any(|op| matches!(op.action, Action::Transfer { .. }));
    if opaque {
        report.note("transfers were judged by the totals of all accounts alone".to_owned());
    }
}
