//! What the clocks of the field are worth: a commit's latency by model of uncertainty.

use std::time::Duration;

use clock::Uncertainty;
use report::{Axis, Bars, Cell, Column, Confidence, Estimate, Hue, Percentile, Sample, Table};

use crate::{ExperimentError, Findings, Lab, Options, Setup};

/// The models, and whose clocks they stand for.
const MODELS: [(&str, &str); 8] = [
    ("zero", "one clock for all: nodes of one process"),
    ("sundial", "100 ns: Sundial, hardware in the network (OSDI 2020)"),
    ("aws-phc", "40 µs: the precise hardware clock of a cloud's machines"),
    ("spanner-now", "0.5 ms: Spanner's clocks, as told later"),
    ("aws-ntp", "1 ms: a cloud's time service"),
    ("spanner2012", "1 to 7 ms: Spanner as published"),
    ("laptop-ntp", "20 ms: a machine that asks the internet"),
    ("cockroach", "250 ms: the offset that CockroachDB tolerates"),
];

/// Commits per model.
const COMMITS: usize = 200;

/// A client's pause; a fraction of the sawtooth's 30 s, so that all of it is seen.
const PAUSE: Duration = Duration::from_millis(300);

/// What was measured with a model.
struct Line {
    latency: Sample,
    wait: Sample,
    exposed: Sample,
}

/// Runs it.
///
/// # Errors
/// If a cluster does not start.
pub fn run(options: &Options) -> Result<Findings, ExperimentError> {
    let mut all = Vec::new();
    for topology in options.topologies(&["one-region", "three-regions"])? {
        let mut lines = Vec::new();
        for (model, _) in MODELS {
            let uncertainty = model.parse::<Uncertainty>().expect("a model of the clock's");
            let setup = Setup::new(topology.clone(), options);
            let setup = Setup { uncertainty: Some(uncertainty), ..setup };
            lines.push(setup.run(async |lab| line(lab).await)?);
        }
        all.push((topology.name.clone(), lines));
    }
    Ok(findings(options, &all))
}

async fn line(lab: &mut Lab) -> Line {
    let mut client = lab.client(lab.layout()[0].id);
    client.run("CREATE TABLE t (k INT8 PRIMARY KEY, v INT8)").await;
    let mut all = Vec::new();
    for key in 0..COMMITS {
        timer::sleep(PAUSE).await;
        let answered = client.run(&format!("INSERT INTO t VALUES ({key}, 0)")).await;
        all.push((answered.latency, answered.commit.expect("it committed")));
    }
    client.hang_up().await;
    let of = |values: Vec<Duration>| Sample::of_milliseconds(values).expect("there were some");
    Line {
        latency: of(all.iter().map(|(latency, _)| *latency).collect()),
        wait: of(all.iter().map(|(_, commit)| commit.commit_wait).collect()),
        exposed: of(all.iter().map(|(_, commit)| commit.commit_wait - commit.hidden).collect()),
    }
}

fn findings(options: &Options, all: &[(String, Vec<Line>)]) -> Findings {
    let mut found = Findings::begin(
        "clock-models",
        "What a clock is worth",
        "The same commits with the clocks of today and yesterday. A clock is worth what it spares \
         a commit in waiting; between continents that is nothing, within a region it is all.",
        &options.command("clock-models"),
    );
    let list: Vec<String> =
        MODELS.iter().map(|(model, about)| format!("- **{model}**: {about}")).collect();
    found.say(&list.join("\n"));
    let mut table = Table::new([
        Column::text("topology"),
        Column::text("clock"),
        Column::estimate("latency p50").unit("ms").decimals(2),
        Column::number("p99").unit("ms").decimals(2),
        Column::number("wait").unit("ms").decimals(2),
        Column::number("exposed").unit("ms").decimals(2),
    ]);
    for (topology, lines) in all {
        let mut chart = Bars::stacked(
            format!("Mean latency of a commit: {topology}"),
            Axis::linear("mean").unit("ms"),
            [("without waiting", Hue::nth(0)), ("exposed commit-wait", Hue::nth(1))],
        );
        for ((model, _), line) in MODELS.iter().zip(lines) {
            let exposed = line.exposed.mean();
            let parts = [(line.latency.mean() - exposed).max(0.0), exposed];
            chart = chart.row(*model, parts.map(|part| Some(Estimate::exact(part))));
            table.row([
                Cell::from(topology.as_str()),
                Cell::from(*model),
                line.latency.estimate_percentile(Percentile::MEDIAN, Confidence::C95).into(),
                line.latency.percentile(Percentile::P99).into(),
                line.wait.mean().into(),
                exposed.into(),
            ]);
        }
        found.chart(&chart);
        let (best, worst) = (lines[0].latency.mean(), lines[MODELS.len() - 1].latency.mean());
        found.expect(worst > best, &format!("{topology}: a worse clock costs more"));
    }
    found.table("models", "Commits by model", table);
    found
}
