//! One script under four promises: what each of them lets through.

use std::{collections::BTreeMap, time::Duration};

use checker::{Model, Validity};
use report::{Cell, Column, Table};
use sim_regions::{
    Topology,
    sim::{self, faults::FaultKinds, judge, mode::Mode},
};

use crate::{ExperimentError, Findings, Options};

/// Seeds per promise.
const SEEDS: u64 = 5;

/// How long a run lasts.
const LENGTH: Duration = Duration::from_secs(30);

/// ε, wide enough for a reversed pair to be met.
const EPSILON: Duration = Duration::from_millis(50);

/// What is promised, the simulator's mode that breaks it, the strongest model that must hold, and the
/// one that must be seen broken.
const PROMISES: [(&str, &str, Model, Option<Model>); 4] = [
    ("strict serializable", "", Model::StrictSerializable, None),
    (
        "serializable, no commit-wait",
        "commit-wait-off",
        Model::Serializable,
        Some(Model::StrictSerializable),
    ),
    ("snapshot isolation", "snapshot-isolation", Model::Snapshot, Some(Model::Serializable)),
    ("read committed", "read-committed", Model::ReadCommitted, Some(Model::Snapshot)),
];

/// What was seen under a promise.
struct Seen {
    /// Names of anomalies, and in how many runs they were found.
    anomalies: BTreeMap<String, usize>,
    /// Runs in which the promise held.
    held: usize,
    /// Runs in which the next stronger one was broken.
    broken: usize,
    operations: usize,
}

/// Runs it.
///
/// # Errors
/// If a cluster does not start.
pub fn run(options: &Options) -> Result<Findings, ExperimentError> {
    let topology = Topology::load("one-region")?;
    let mut all = Vec::new();
    for (_, mode, promised, stronger) in PROMISES {
        let mut seen = Seen { anomalies: BTreeMap::new(), held: 0, broken: 0, operations: 0 };
        for nth in 0..SEEDS {
            let mut run = sim::Options::new(options.seed + nth, topology.clone());
            run.duration = LENGTH;
            run.epsilon = Some(EPSILON);
            run.skewed = true;
            run.faults = FaultKinds::none();
            run.tempered = false;
            if !mode.is_empty() {
                run.mode = mode.parse::<Mode>().expect("a mode of every build");
            }
            let report = sim::run(&run, &mut |_| {})?;
            seen.operations += report.history.ops.len();
            // Without timestamps some registers cannot be judged under the weaker promises: what counts is
            // that nothing was found that breaks them.
            let broken = |model| judge::against(&report, model, false).valid == Validity::No;
            seen.held += usize::from(!broken(promised));
            seen.broken += usize::from(stronger.is_some_and(broken));
            let strict = judge::against(&report, Model::StrictSerializable, false);
            let mut names: Vec<String> =
                strict.anomalies.iter().map(checker::Anomaly::name).collect();
            names.sort();
            names.dedup();
            for name in names {
                *seen.anomalies.entry(name).or_default() += 1;
            }
        }
        all.push(seen);
    }
    Ok(findings(options, &all))
}

fn findings(options: &Options, all: &[Seen]) -> Findings {
    let mut found = Findings::begin(
        "isolation-lab",
        "One script under four promises",
        "The same clients on the same cluster, with clocks far apart (ε = 50 ms), under strict \
         serializability, without commit-wait, under snapshot isolation and under read committed. \
         The checker, which knows nothing of the database, says what it found in the history.",
        &options.command("isolation-lab"),
    );
    let mut summary = Table::new([
        Column::text("promise"),
        Column::count("operations"),
        Column::text("promise not broken"),
        Column::text("next stronger broken"),
    ]);
    let mut anomalies =
        Table::new([Column::text("promise"), Column::text("anomaly"), Column::text("in runs")]);
    for ((name, _, promised, stronger), seen) in PROMISES.iter().zip(all) {
        let runs = |count: usize| format!("{count} of {SEEDS}");
        let broken = match stronger {
            Some(model) => format!("{}: {}", model.name(), runs(seen.broken)),
            None => "there is none".to_owned(),
        };
        summary.row([
            Cell::from(*name),
            seen.operations.into(),
            format!("{}: {}", promised.name(), runs(seen.held)).into(),
            broken.into(),
        ]);
        for (anomaly, count) in &seen.anomalies {
            anomalies.row([Cell::from(*name), anomaly.as_str().into(), runs(*count).into()]);
        }
        found.expect(seen.held == SEEDS as usize, &format!("{name}: {} holds", promised.name()));
        found.expect(stronger.is_none() || seen.broken > 0, &format!("{name}: no more holds"));
    }
    found.table("promises", "What held", summary);
    found.table("anomalies", "Anomalies against strict serializability", anomalies);
    found.note(
        "An anomaly whose name ends in `-realtime` needs the order of real time to be seen: without \
         commit-wait nothing else goes wrong. Every run can be looked at: `meridian sim --mode NAME \
         --topology one-region --epsilon 50ms --faults none --report FILE.html`.",
    );
    found
}
