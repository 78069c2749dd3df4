//! Where the leader is, and where the clients are: latency predicted from the map, and measured.

use std::time::Duration;

use report::{
    Axis, Cell, Column, Confidence, Estimate, Hue, Lines, Percentile, Sample, Series, Table,
};
use sim_regions::{NodeSpec, Topology};

use crate::{ExperimentError, Findings, Lab, Options, Setup};

/// Operations of each kind per pair of regions.
const OPERATIONS: usize = 30;

/// A client's pause.
const PAUSE: Duration = Duration::from_millis(50);

/// How often ε is looked at, and how often in all: over a whole sawtooth of 30 s.
const EPSILON_EVERY: Duration = Duration::from_millis(500);
const EPSILONS: usize = 60;

/// What a measured median may be off its prediction: jitter, syncs, commit-wait, zones of a region.
const TOLERANCE: f64 = 0.10;

/// And at least this, in milliseconds.
const SLACK_MS: f64 = 4.0;

/// A client's region, the region of the leader, and the medians in milliseconds.
struct Pair {
    client: String,
    leader: String,
    /// Predicted, measured.
    write: (f64, Estimate),
    strong: (f64, Estimate),
    stale: (f64, Estimate),
}

/// Runs it.
///
/// # Errors
/// If a cluster does not start.
pub fn run(options: &Options) -> Result<Findings, ExperimentError> {
    let mut all = Vec::new();
    for topology in options.topologies(&["five-regions"])? {
        let setup = Setup::new(topology.clone(), options);
        let pairs = setup.run(async |lab| pairs(lab, &topology).await)?;
        all.push((topology.name.clone(), pairs));
    }
    Ok(findings(options, &all))
}

async fn pairs(lab: &mut Lab, topology: &Topology) -> Vec<Pair> {
    let mut all = Vec::new();
    let gateways = lab.gateways();
    let wait = 2.0 * mean_epsilon(lab).await;
    for (nth, (region, node)) in gateways.iter().enumerate() {
        let mut owner = lab.client(*node);
        owner.run(&format!("CREATE TABLE t{nth} (k INT8 PRIMARY KEY, v INT8)")).await;
        owner.run(&format!("INSERT INTO t{nth} SELECT i, 0 FROM generate_series(0, 99) i")).await;
        owner.hang_up().await;
        let leader = lab.leaders(&format!("t{nth}")).await[0];
        let voters = lab.voters(&format!("t{nth}")).await;
        let spec = |id| lab.layout().iter().find(|spec| spec.id == id).expect("a node");
        let leader = spec(leader).clone();
        let voters: Vec<NodeSpec> = voters.into_iter().map(|id| spec(id).clone()).collect();
        timer::sleep(Duration::from_secs(5)).await;
        for (home, gateway) in &gateways {
            let here = spec(*gateway).clone();
            let way = ms(topology.path(&here, &leader).rtt);
            let nearest = voters.iter().map(|voter| ms(topology.path(&here, voter).rtt));
            let nearest = nearest.fold(f64::INFINITY, f64::min);
            let mut client = lab.client(*gateway);
            let mut medians = Vec::new();
            for text in [
                format!("UPDATE t{nth} SET v = v + 1 WHERE k = %"),
                format!("SELECT v FROM t{nth} WHERE k = %"),
                format!("SELECT v FROM t{nth} WHERE k = % AS OF SYSTEM TIME '-4s'"),
            ] {
                let mut latencies = Vec::new();
                for key in 0..OPERATIONS {
                    let text = text.replace('%', &key.to_string());
                    latencies.push(client.run(&text).await.latency);
                    timer::sleep(PAUSE).await;
                }
                let sample = Sample::of_milliseconds(latencies).expect("there were some");
                medians.push(sample.estimate_percentile(Percentile::MEDIAN, Confidence::C95));
            }
            client.hang_up().await;
            all.push(Pair {
                client: home.clone(),
                leader: region.clone(),
                // An UPDATE reads at the leader, then commits there: replication and commit-wait
                // run at the same time.
                write: (2.0 * way + quorum(topology, &leader, &voters).max(wait), medians[0]),
                strong: (way, medians[1]),
                stale: (nearest, medians[2]),
            });
        }
    }
    all
}

/// ε of a node, in milliseconds, on average over time.
async fn mean_epsilon(lab: &Lab) -> f64 {
    let node = lab.layout()[0].id;
    let mut all = Vec::new();
    for _ in 0..EPSILONS {
        all.push(ms(lab.epsilon(node)));
        timer::sleep(EPSILON_EVERY).await;
    }
    Sample::new(all).expect("there are some").mean()
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The round trip from a leader to the nearest voters that make a majority with it.
fn quorum(topology: &Topology, leader: &NodeSpec, voters: &[NodeSpec]) -> f64 {
    let others = voters.iter().filter(|voter| voter.id != leader.id);
    let mut ways: Vec<f64> = others.map(|voter| ms(topology.path(leader, voter).rtt)).collect();
    ways.sort_by(f64::total_cmp);
    // A majority of n are n/2 + 1, the leader among them.
    (voters.len() / 2).checked_sub(1).map_or(0.0, |last| ways[last])
}

fn findings(options: &Options, all: &[(String, Vec<Pair>)]) -> Findings {
    let mut found = Findings::begin(
        "placement",
        "Where the leader is, and where the clients are",
        "A table led in each region, clients in every region. Each latency follows from the map: a \
         strong read goes to the leader and back, an UPDATE goes twice and waits for a quorum or \
         for commit-wait, whatever is longer, a read of the past goes to the nearest replica.",
        &options.command("placement"),
    );
    let mut worst: f64 = f64::NEG_INFINITY;
    for (topology, pairs) in all {
        let mut points: [Vec<(f64, Estimate)>; 3] = Default::default();
        for pair in pairs {
            let kinds = [pair.write, pair.strong, pair.stale];
            for (points, (predicted, measured)) in points.iter_mut().zip(kinds) {
                points.push((predicted, measured));
                let off = (measured.value - predicted).abs() - SLACK_MS;
                worst = worst.max(off / predicted.max(SLACK_MS));
            }
        }
        let far = points.iter().flatten().map(|(x, _)| *x).fold(0.0, f64::max);
        let mut chart = Lines::new(
            format!("Measured against predicted: {topology}"),
            Axis::linear("predicted from the map").unit("ms"),
            Axis::linear("measured, median").unit("ms"),
        )
        .series(Series::theory("as predicted", [(0.0, 0.0), (far, far)]));
        for (nth, (name, mut points)) in
            ["UPDATE", "strong read", "read of the past"].into_iter().zip(points).enumerate()
        {
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            chart = chart.series(Series::measured(name, points).hue(Hue::nth(nth)));
        }
        found.chart(&chart);
        let caption = format!("Medians by leader and client: {topology}");
        found.wide_table("pairs", &caption, table(pairs, true), &table(pairs, false));
    }
    found.note(&format!(
        "Commit-wait is taken as 2ε, of the mean of ε over time. Syncs, jitter, zones of a region and \
         the sawtooth of ε are not on the map: medians are within {SLACK_MS} ms of it and {:.0}% more.",
        worst.max(0.0) * 1e2
    ));
    found.expect(
        worst <= TOLERANCE,
        &format!("medians within {SLACK_MS} ms and {:.0}% of the map", TOLERANCE * 1e2),
    );
    found
}

/// With the intervals, if there is room for them.
fn table(pairs: &[Pair], intervals: bool) -> Table {
    let column = |name| if intervals { Column::estimate(name) } else { Column::number(name) };
    let mut table = Table::new([
        Column::text("leader"),
        Column::text("client"),
        Column::number("UPDATE, map").unit("ms").decimals(1),
        column("UPDATE").unit("ms").decimals(1),
        Column::number("strong, map").unit("ms").decimals(1),
        column("strong").unit("ms").decimals(1),
        Column::number("stale, map").unit("ms").decimals(1),
        column("stale").unit("ms").decimals(1),
    ]);
    let cell = |estimate: Estimate| -> Cell {
        if intervals { estimate.into() } else { estimate.value.into() }
    };
    for pair in pairs {
        table.row([
            Cell::from(pair.leader.as_str()),
            Cell::from(pair.client.as_str()),
            pair.write.0.into(),
            cell(pair.write.1),
            pair.strong.0.into(),
            cell(pair.strong.1),
            pair.stale.0.into(),
            cell(pair.stale.1),
        ]);
    }
    table
}
