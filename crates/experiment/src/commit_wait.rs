//! What ε costs: commit-wait, the part of it that replication hides, and the part that remains.
//!
//! A leader picks s = `TT.now().latest` (T3), replicates the commit, and answers once `TT.after(s)`
//! (T4). From the choice of s the wait is 2ε, and it runs while the votes travel; so a commit pays
//! only what is longer, and what is left exposed is max(0, 2ε - replication). That holds for each
//! commit by itself. On average more is left than that of the average replication, and most so near the
//! knee, where some commits are faster than 2ε and some are not: a fast one's wait is not made up for by
//! a slow one's. So theory takes replication as it is distributed, not its mean.

use std::time::Duration;

use clock::{Lean, Offset, format_duration};
use report::{
    Axis, Bars, Cell, Column, Confidence, Estimate, Hue, Lines, Multiples, Percentile, Sample,
    Series, Table,
};
use sim_regions::Topology;
use txn::CommitInfo;

use crate::{Client, ExperimentError, Findings, Lab, Options, Setup};

/// Commits per region and ε.
const COMMITS: usize = 200;

/// The percentiles that are told.
const PERCENTILES: [u8; 7] = [1, 5, 25, 50, 75, 95, 99];

/// A client's pause between two commits.
const PAUSE: Duration = Duration::from_millis(20);

/// ε where clocks stand apart.
const APART: Duration = Duration::from_millis(4);

/// ε of the commit that is drawn: about the round trip, so that both parts of the wait are seen.
const DRAWN: Duration = Duration::from_millis(1);

/// What the measured waits may differ from theory, as a part of 2ε.
const TOLERANCE: f64 = 0.05;

/// Below this a difference is one of rounding: a few ticks.
const ROUNDING_MS: f64 = 0.05;

const C95: Confidence = Confidence::C95;

/// The commits of one client.
struct Commits {
    topology: String,
    region: String,
    epsilon: Duration,
    latency: Sample,
    paxos: Sample,
    wait: Sample,
    hidden: Sample,
    exposed: Sample,
}

impl Commits {
    fn epsilon_ms(&self) -> f64 {
        millis(self.epsilon)
    }

    /// How far wait and exposed wait are off theory, the worse of both, as a part of 2ε.
    fn off(&self, measured: &[Commits]) -> f64 {
        let wait = 2.0 * self.epsilon_ms();
        let theory = self.theory(replication(measured, self));
        let off =
            [(self.wait.mean(), wait), (self.exposed.mean(), theory)].map(|(seen, expected)| {
                let off = (seen - expected).abs();
                if off <= ROUNDING_MS { 0.0 } else { off / wait.max(ROUNDING_MS) }
            });
        off[0].max(off[1])
    }

    /// What theory says is left on average, given how long replication took without any wait.
    fn theory(&self, replication: &Sample) -> f64 {
        let wait = 2.0 * self.epsilon_ms();
        let left: f64 = replication.sorted().iter().map(|took| (wait - took).max(0.0)).sum();
        left / replication.count() as f64
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Runs it.
///
/// # Errors
/// If a cluster does not start.
pub fn run(options: &Options) -> Result<Findings, ExperimentError> {
    let topologies = options.topologies(&["one-region", "three-regions", "five-regions"])?;
    let epsilons = options.epsilons_ms(&[0.0, 0.1, 1.0, 4.0, 7.0, 20.0, 30.0, 40.0, 60.0]);
    let mut measured = Vec::new();
    for topology in &topologies {
        for epsilon in &epsilons {
            let setup = Setup::new(topology.clone(), options).epsilon(*epsilon);
            let setup = Setup { offset: Offset::Adversarial(Lean::Fast), ..setup };
            measured.extend(setup.run(async |lab| commits(lab, topology, *epsilon).await)?);
        }
    }
    Ok(findings(options, &topologies, &measured, &drawn(options)?, &apart(options)?))
}

/// A client in each region commits to a table that its region leads.
async fn commits(lab: &mut Lab, topology: &Topology, epsilon: Duration) -> Vec<Commits> {
    let clients = lab.gateways().into_iter().enumerate().map(|(nth, (region, node))| {
        let client = lab.client(node);
        async move {
            let (mut client, table) = (client, format!("t{nth}"));
            client.run(&format!("CREATE TABLE {table} (k INT8 PRIMARY KEY, v INT8)")).await;
            timer::sleep(PAUSE).await;
            let all = insert(&mut client, &table).await;
            client.hang_up().await;
            let of = |what: fn(&CommitInfo) -> Duration| {
                let values = all.iter().map(|(_, commit)| what(commit));
                Sample::of_milliseconds(values).expect("there were commits")
            };
            Commits {
                topology: topology.name.clone(),
                region,
                epsilon,
                latency: Sample::of_milliseconds(all.iter().map(|(latency, _)| *latency))
                    .expect("there were commits"),
                paxos: of(|commit| commit.paxos),
                wait: of(|commit| commit.commit_wait),
                hidden: of(|commit| commit.hidden),
                exposed: of(|commit| commit.commit_wait - commit.hidden),
            }
        }
    });
    let clients: Vec<_> = clients.collect();
    futures::future::join_all(clients).await
}

/// How long replication takes in a region: measured where it hides the least, at the smallest ε.
fn replication<'m>(measured: &'m [Commits], of: &Commits) -> &'m Sample {
    let same = |other: &&Commits| other.topology == of.topology && other.region == of.region;
    let least = measured.iter().filter(same).min_by_key(|other| other.epsilon);
    &least.expect("at least itself").paxos
}

fn findings(
    options: &Options,
    topologies: &[Topology],
    measured: &[Commits],
    drawn: &str,
    apart: &[Apart],
) -> Findings {
    let mut found = Findings::begin(
        "commit-wait",
        "What clock uncertainty costs",
        "A commit is told to nobody before its timestamp is definitely past. That takes 2ε from \
         the choice of the timestamp, while the votes of the replicas travel: only what is longer \
         is paid for.",
        &options.command("commit-wait"),
    );
    let (wide, narrow) = (table(measured, true), table(measured, false));
    let furthest = measured.iter().map(|commits| commits.off(measured)).fold(0.0, f64::max);
    let agrees = format!("measured waits are within {:.1}% of 2ε of theory", furthest * 100.0);
    found.note(&format!(
        "{COMMITS} commits per line; intervals hold with {C95}. Of the wait and of what is left \
         exposed, {agrees} (differences below {ROUNDING_MS} ms are ticks)."
    ));
    found.expect(furthest <= TOLERANCE, &agrees);
    found.heading("One commit");
    found.say(&format!(
        "In one region, with ε = {}, on true time. The leader chooses s, its clock's `latest`, when \
         the log's round trip `=` begins. Commit-wait `~` begins with it, and ends when the leader's \
         `earliest` has passed s. What of it is longer than the round trip the client waits for.",
        format_duration(DRAWN)
    ));
    found.listing(drawn);
    found.heading("What it costs");
    found.chart(&exposed_chart(topologies, measured));
    for topology in topologies {
        found.chart(&parts_chart(topology, measured));
    }
    found.wide_table("commits", "Commits by topology, region and ε", wide, &narrow);
    found.heading("How it is distributed");
    found.say(
        "Replication varies with the links, the wait does not: it is 2ε. So what is left of it varies \
         as much as replication, the other way round, and a commit that waits takes as long as the \
         next. Exposed waits are drawn where there are some. Of more than seven ε the least are left \
         out, but for the first; percentiles of all are in a CSV file.",
    );
    for topology in topologies {
        found.chart(&distribution(topology, measured, "commit latency", |it| &it.latency));
        let here = |commits: &&Commits| commits.topology == topology.name;
        if measured.iter().filter(here).any(|commits| commits.exposed.max() > ROUNDING_MS) {
            found.chart(&distribution(topology, measured, "exposed commit-wait", |it| &it.exposed));
        }
    }
    found.file("percentiles", percentiles(measured));
    clocks_apart(&mut found, apart);
    found
}

/// All figures, with their intervals if there is room for them.
fn table(measured: &[Commits], intervals: bool) -> Table {
    let column = |name: &str, decimals| {
        let column = if intervals { Column::estimate(name) } else { Column::number(name) };
        column.unit("ms").decimals(decimals)
    };
    let mut table = Table::new([
        Column::text("topology"),
        Column::text("region"),
        Column::number("ε").unit("ms"),
        column("p50", 2),
        column("wait", 2),
        Column::number("hidden").unit("ms").decimals(2),
        column("exposed", 2),
        Column::number("theory").unit("ms").decimals(2),
    ]);
    let cell = |estimate: Estimate| {
        if intervals { Cell::from(estimate) } else { Cell::from(estimate.value) }
    };
    for commits in measured {
        table.row([
            Cell::from(commits.topology.as_str()),
            Cell::from(commits.region.as_str()),
            commits.epsilon_ms().into(),
            cell(commits.latency.estimate_percentile(Percentile::MEDIAN, C95)),
            cell(commits.wait.estimate_mean(C95)),
            commits.hidden.mean().into(),
            cell(commits.exposed.estimate_mean(C95)),
            commits.theory(replication(measured, commits)).into(),
        ]);
    }
    table
}

/// Where clocks are apart, a wait is longer: s lies above the snapshot (X3a), which a fast gateway
/// took from its own clock.
fn clocks_apart(found: &mut Findings, apart: &[Apart]) {
    found.heading("Clocks that stand apart");
    found.say(&format!(
        "Above, all clocks stand at the same place in their intervals. Here ε is {} and gateway and \
         leader, two nodes of one region, stand at opposite ends. The leader may not commit below \
         the snapshot that the transaction read (X3a); a fast gateway takes that from its own \
         `latest`, which is up to 2ε ahead of a slow leader's, less the time of the way. The \
         leader then waits until its own clock is past it: up to 4ε.",
        format_duration(APART)
    ));
    let mut table = Table::new([
        Column::text("gateway's clock"),
        Column::text("leader's clock"),
        Column::estimate("wait").unit("ms").decimals(2),
        Column::number("2ε").unit("ms"),
        Column::number("p50 latency").unit("ms").decimals(2),
    ]);
    for (gateway, leader, wait, latency) in apart {
        table.row([
            Cell::from(end(*gateway)),
            Cell::from(end(*leader)),
            wait.estimate_mean(C95).into(),
            (2.0 * millis(APART)).into(),
            latency.percentile(Percentile::MEDIAN).into(),
        ]);
    }
    found.table("clocks-apart", "Where the clocks stand", table);
}

fn end(lean: Lean) -> &'static str {
    match lean {
        Lean::Fast => "fast",
        Lean::Slow => "slow",
    }
}

/// The timeline of one commit in one region.
fn drawn(options: &Options) -> Result<String, ExperimentError> {
    let setup = Setup::new(Topology::load("one-region")?, options).epsilon(DRAWN);
    let setup = Setup { traced: true, ..setup };
    let drawn = setup.run(async |lab| {
        let mut client = lab.client(lab.layout()[0].id);
        client.run("CREATE TABLE t (k INT8 PRIMARY KEY, v INT8)").await;
        client.run("INSERT INTO t VALUES (0, 0)").await;
        timer::sleep(PAUSE).await;
        client.run("SET trace = on").await;
        client.run("INSERT INTO t VALUES (1, 0)").await;
        let drawn = client.timeline().await;
        client.hang_up().await;
        drawn
    })?;
    Ok(drawn)
}

/// The clocks of gateway and leader, the waits, the latencies.
type Apart = (Lean, Lean, Sample, Sample);

/// Commits in one region with gateway and leader at each end of their intervals.
fn apart(options: &Options) -> Result<Vec<Apart>, ExperimentError> {
    let mut all = Vec::new();
    for (gateway, leader) in [
        (Lean::Fast, Lean::Fast),
        (Lean::Slow, Lean::Slow),
        (Lean::Slow, Lean::Fast),
        (Lean::Fast, Lean::Slow),
    ] {
        let setup = Setup::new(Topology::load("one-region")?, options).epsilon(APART);
        let setup = Setup { offset: Offset::Adversarial(leader), ..setup };
        let (wait, latency) = setup.run(async |lab| {
            let mut owner = lab.client(lab.layout()[0].id);
            owner.run("CREATE TABLE t (k INT8 PRIMARY KEY, v INT8)").await;
            owner.hang_up().await;
            let leads = lab.leaders("t").await[0];
            let mut others = lab.layout().iter().map(|spec| spec.id).filter(|id| *id != leads);
            let asked = others.next().expect("there are three nodes");
            lab.cluster().clock(asked).set_offset(Offset::Adversarial(gateway));
            timer::sleep(Duration::from_secs(1)).await;
            let mut client = lab.client(asked);
            let all = insert(&mut client, "t").await;
            client.hang_up().await;
            let wait = all.iter().map(|(_, commit)| commit.commit_wait);
            let latency = all.iter().map(|(latency, _)| *latency);
            let sample = "there were commits";
            (
                Sample::of_milliseconds(wait).expect(sample),
                Sample::of_milliseconds(latency).expect(sample),
            )
        })?;
        all.push((gateway, leader, wait, latency));
    }
    Ok(all)
}

/// Commits one row after the other, with pauses.
async fn insert(client: &mut Client, table: &str) -> Vec<(Duration, CommitInfo)> {
    let mut all = Vec::with_capacity(COMMITS);
    for key in 0..COMMITS {
        let answered = client.run(&format!("INSERT INTO {table} VALUES ({key}, 0)")).await;
        all.push((answered.latency, answered.commit.expect("it committed")));
        timer::sleep(PAUSE).await;
    }
    all
}

/// The first region of each topology, by ε.
fn firsts<'a>(
    topology: &'a Topology,
    measured: &'a [Commits],
) -> impl Iterator<Item = &'a Commits> + use<'a> {
    let region = topology.regions[0].name.as_str();
    measured
        .iter()
        .filter(move |commits| commits.topology == topology.name && commits.region == region)
}

fn exposed_chart(topologies: &[Topology], measured: &[Commits]) -> Lines {
    let mut chart = Lines::new(
        "What is left of commit-wait",
        Axis::linear("ε").unit("ms"),
        Axis::linear("exposed commit-wait").unit("ms"),
    )
    .caption(
        "The mean of the wait that is not hidden behind replication, in the first region of each \
         topology. Dashed: the mean of max(0, 2ε - replication), replication as measured at the \
         smallest ε.",
    );
    for (nth, topology) in topologies.iter().enumerate() {
        let hue = Hue::nth(nth);
        let points = firsts(topology, measured)
            .map(|commits| (commits.epsilon_ms(), commits.exposed.estimate_mean(C95)));
        let theory = firsts(topology, measured)
            .map(|commits| (commits.epsilon_ms(), commits.theory(replication(measured, commits))));
        chart = chart
            .series(Series::measured(&topology.name, points).hue(hue))
            .series(Series::theory(&topology.name, theory).hue(hue));
    }
    chart
}

fn parts_chart(topology: &Topology, measured: &[Commits]) -> Bars {
    let mut chart = Bars::stacked(
        format!("Where a commit's time goes: {}", topology.name),
        Axis::linear("mean").unit("ms"),
        [("replication", Hue::nth(0)), ("exposed wait", Hue::nth(1)), ("the rest", Hue::nth(2))],
    )
    .caption("The rest: the way to the leader and back, and what the gateway does.");
    for region in &topology.regions {
        chart = chart.heading(&region.name);
        let here = measured
            .iter()
            .filter(|commits| commits.topology == topology.name && commits.region == region.name);
        for commits in here {
            let (paxos, exposed) = (commits.paxos.mean(), commits.exposed.mean());
            let rest = (commits.latency.mean() - paxos - exposed).max(0.0);
            let name = format!("ε = {}", format_duration(commits.epsilon));
            let values = [paxos, exposed, rest].map(|value| Some(Estimate::exact(value)));
            chart = chart.row(name, values);
        }
    }
    chart
}

/// The distributions in a topology: a panel per region, a line per ε. There are as many lines as
/// colours; of more ε the least are left out, but for the first, beside which they would lie.
fn distribution(
    topology: &Topology,
    measured: &[Commits],
    name: &str,
    of: fn(&Commits) -> &Sample,
) -> Multiples {
    let mut chart = Multiples::cumulative(
        format!("Distribution of {name}: {}", topology.name),
        Axis::linear(name).unit("ms").tight(),
    );
    for region in &topology.regions {
        let here: Vec<&Commits> = measured
            .iter()
            .filter(|commits| commits.topology == topology.name && commits.region == region.name)
            .collect();
        let left_out = here.len().saturating_sub(Hue::ALL.len());
        let shown = here.into_iter().enumerate();
        let shown = shown.filter(|(nth, _)| *nth == 0 || *nth > left_out);
        let samples = shown.enumerate().map(|(nth, (_, commits))| {
            let name = format!("ε = {}", format_duration(commits.epsilon));
            (name, Hue::nth(nth), of(commits).clone())
        });
        chart = chart.panel(&region.name, samples);
    }
    chart
}

/// Percentiles of all that is measured, by topology, region and ε.
fn percentiles(measured: &[Commits]) -> Table {
    let mut columns = vec![
        Column::text("topology"),
        Column::text("region"),
        Column::number("ε").unit("ms"),
        Column::text("of"),
    ];
    columns.extend(PERCENTILES.map(|p| Column::number(format!("p{p}")).unit("ms").decimals(2)));
    let mut table = Table::new(columns);
    for commits in measured {
        for (name, sample) in [
            ("latency", &commits.latency),
            ("replication", &commits.paxos),
            ("wait", &commits.wait),
            ("hidden", &commits.hidden),
            ("exposed", &commits.exposed),
        ] {
            let mut row = vec![
                Cell::from(commits.topology.as_str()),
                commits.region.as_str().into(),
                commits.epsilon_ms().into(),
                name.into(),
            ];
            let at = |p| sample.percentile(Percentile::new(p));
            row.extend(PERCENTILES.map(|p| Cell::from(at(f64::from(p)))));
            table.row(row);
        }
    }
    table
}
