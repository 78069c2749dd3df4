//! The way of a history through all judgements.

use std::collections::BTreeSet;

use rustc_hash::FxHashSet;

use crate::{
    Action, Call, History, MicroOp, Model, Operation, Options, Outcome, Stats, Validity, Verdict,
    Workload, cycles,
    graph::Builder,
    index::{Cut, Index, KeyId, KeyKind, Step},
    infer::Inference,
    linear,
    order::{self, at_several_things, has_ties},
    report::Report,
    timestamps,
    workloads::{bank, counters, staleness, visibility},
};

/// Holds a history against a model. What cannot be decided by itself may be decided by what is
/// known of a stronger model, or of a weaker one.
pub(crate) fn check(history: &History, model: Model, options: Options) -> Verdict {
    let mut verdict = judge(history, model, options);
    if history.ops.is_empty() {
        return verdict;
    }
    if let Some(stronger) =
        model.judged_better_by().filter(|_| verdict.valid == Validity::Undecided)
        && judge(history, stronger, options).valid == Validity::Yes
    {
        verdict.valid = Validity::Yes;
        verdict.decided_by = Some(stronger);
        verdict.notes.push(format!("{stronger} holds, and it promises all that {model} does"));
    }
    let may_hide = verdict.valid == Validity::Undecided || hides_versions(history);
    if let Some(weaker) =
        model.weaker_by_key().filter(|_| may_hide && verdict.valid != Validity::No)
    {
        let by_key = judge(history, weaker, options);
        if by_key.valid == Validity::No {
            verdict.valid = Validity::No;
            verdict.decided_by = Some(weaker);
            verdict.notes.push(format!("{weaker} is violated, and {model} promises all of it"));
            verdict.anomalies = by_key.anomalies;
            verdict.found = by_key.found;
        }
    }
    verdict
}

/// Whether some transaction does more than one thing, one of them with a register, or processes order
/// what real time does not: then calls on registers say more than the graph knows.
fn hides_versions(history: &History) -> bool {
    let is_register =
        |step: &MicroOp| matches!(step, MicroOp::Write { .. } | MicroOp::ReadRegister { .. });
    let hides = |op: &Operation| match &op.action {
        Action::Txn(steps) => steps.len() > 1 && steps.iter().any(is_register),
        Action::Register { call, .. } => matches!(call, Call::CompareAndSet { .. }),
        Action::Transfer { .. } | Action::Balances(_) => false,
    };
    history.ops.iter().any(hides) || has_ties(history)
}

fn judge(history: &History, model: Model, options: Options) -> Verdict {
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
    note_transfers(history, &mut report, &stats);
    note_odd(history, &mut report, model);
    report.finish();
    let valid = match (report.has_forbidden(), report.undecided) {
        (true, _) => Validity::No,
        (false, true) => Validity::Undecided,
        (false, false) => Validity::Yes,
    };
    Verdict {
        model,
        valid,
        decided_by: None,
        found: report.found(),
        anomalies: report.anomalies,
        notes: report.notes,
        skipped: report.skipped,
        stats,
        origin: history.ops.iter().map(|op| op.invoked).min().unwrap_or_default(),
        time_unit: history.time_unit,
    }
}

/// What makes a verdict say less than it seems to.
fn note_odd(history: &History, report: &mut Report<'_>, model: Model) {
    if history.ops.is_empty() {
        report.undecided("the history has no operations".to_owned());
    } else if !history.ops.iter().any(|op| op.outcome == Outcome::Ok) {
        report.note("no operation is known to have happened".to_owned());
    }
    let several = if model.is_realtime() { at_several_things(history) } else { BTreeSet::new() };
    if let Some(first) = several.first() {
        report.note(format!(
            "{} did several things at a time, process {} for one: nothing was concluded from their \
             order",
            if several.len() == 1 {
                "a process".into()
            } else {
                format!("{} processes", several.len())
            },
            history.process_name(*first)
        ));
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
/// each register by itself is to be linearizable also those that somebody read and wrote at once, and
/// all if processes order what real time does not; of the others the graph knows all there is to know (Gibbons and Korach: with distinct values,
/// calls have an order unless real time puts two versions before each other).
fn judge_registers<'h>(
    index: &Index<'h>,
    report: &mut Report<'h>,
    stats: &mut Stats,
    judged: &mut FxHashSet<KeyId>,
) {
    let keys = (0..index.keys.len()).map(|key| KeyId(key as u32));
    let mut registers: FxHashSet<KeyId> = keys
        .filter(|key| matches!(index.kind(*key), KeyKind::Register | KeyKind::Counter))
        .collect();
    for step in index.txns.iter().flat_map(|txn| &txn.steps) {
        // A key that is used as a register and as something else is neither.
        if matches!(step, Step::ReadAll(..)) {
            registers.remove(&step.key());
        }
    }
    if index.cut == Cut::PerKey {
        let several = index.txns.iter().filter(|txn| txn.steps.len() > 1);
        let at_once: FxHashSet<KeyId> = several.map(|txn| txn.steps[0].key()).collect();
        let ties = has_ties(index.history);
        registers.retain(|key| ties || index.repeats(*key) || at_once.contains(key));
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
    linear::judge(index, report, &registers);
    judged.extend(registers);
}

/// Says what no judgement covered.
fn note_unjudged(index: &Index<'_>, report: &mut Report<'_>, judged: &FxHashSet<KeyId>) {
    let keys = (0..index.keys.len()).map(|key| KeyId(key as u32));
    let unjudged: Vec<KeyId> =
        keys.filter(|key| index.repeats(*key) && !judged.contains(key)).collect();
    if let Some(first) = unjudged.first() {
        report.undecided(format!(
            "{} of {} keys were not judged, {} for one: {}, so reads do not tell whose write they saw",
            unjudged.len(),
            index.keys.len(),
            index.key_name(*first),
            match index.kind(*first) {
                KeyKind::Counter => "it is a counter",
                KeyKind::List | KeyKind::Register | KeyKind::Set => "a value was written to it twice",
            }
        ));
    }
}

/// Transfers say nothing of the balances they found: only whole reads judge them, if there are any.
fn note_transfers(history: &History, report: &mut Report<'_>, stats: &Stats) {
    if !history.ops.iter().any(|op| matches!(op.action, Action::Transfer { .. })) {
        return;
    }
    report.note(if stats.totals > 0 {
        "transfers were judged by the totals of all accounts alone".to_owned()
    } else {
        "transfers were not judged: no read shows all accounts".to_owned()
    });
}
