//! Where the leader is, and where the clients are: latency predicted from the map, and measured.

use std::time::Duration;

use report::{Axis, Cell, Column, Hue, Lines, Percentile, Sample, Series, Table};
use sim_regions::{NodeSpec, Topology};

use crate::{ExperimentError, Findings, Lab, Options, Setup};

/// Operations of each kind per pair of regions.
const OPERATIONS: usize = 30;

/// A client's pause.
const PAUSE: Duration = Duration::from_millis(50);

/// What a measured median may be off its prediction: jitter, syncs, commit-wait, zones of a region.
const TOLERANCE: f64 = 0.10;

/// And at least this, in milliseconds.
const SLACK_MS: f64 = 4.0;

/// A client's region, the region of the leader, and the medians in milliseconds.
struct Pair {
    client: String,
    leader: String,
    /// Predicted, measured.
    write: (f64, f64),
    strong: (f64, f64),
    stale: (f64, f64),
}

/// Runs it.
///
/// # Errors
/// If a cluster does not start.
pub fn run(options: &Options) -> Result<Findings, ExperimentError> {
    let mut all = Vec::new();
    for topology in options.topologies(&["five-regions"])? {
        let setup = Setup::new(topology.clone(), options.seed);
        let pairs = setup.run(async |lab| pairs(lab, &topology).await)?;
        all.push((topology.name.clone(), pairs));
    }
    Ok(findings(options, &all))
}

async fn pairs(lab: &mut Lab, topology: &Topology) -> Vec<Pair> {
    let mut all = Vec::new();
    let gateways = lab.gateways();
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
                medians.push(sample.percentile(Percentile::MEDIAN));
            }
            client.hang_up().await;
            all.push(Pair {
                client: home.clone(),
                leader: region.clone(),
                // An UPDATE reads at the leader, then commits there.
                write: (2.0 * way + quorum(topology, &leader, &voters), medians[0]),
                strong: (way, medians[1]),
                stale: (nearest, medians[2]),
            });
        }
    }
    all
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
         strong read goes to the leader and back, an UPDATE goes twice and waits for a quorum, a \
         read of the past goes to the nearest replica.",
        &options.command("placement"),
    );
    let mut worst: f64 = 0.0;
    for (topology, pairs) in all {
        let mut table = Table::new([
            Column::text("leader"),
            Column::text("client"),
            Column::number("UPDATE, map").unit("ms").decimals(0),
            Column::number("UPDATE").unit("ms").decimals(1),
            Column::number("strong, map").unit("ms").decimals(0),
            Column::number("strong").unit("ms").decimals(1),
            Column::number("stale, map").unit("ms").decimals(0),
            Column::number("stale").unit("ms").decimals(1),
        ]);
        let mut points: [Vec<(f64, f64)>; 3] = Default::default();
        for pair in pairs {
            let kinds = [pair.write, pair.strong, pair.stale];
            for (points, (predicted, measured)) in points.iter_mut().zip(kinds) {
                points.push((predicted, measured));
                let off = (measured - predicted).abs() - SLACK_MS;
                worst = worst.max(off / predicted.max(SLACK_MS));
            }
            table.row([
                Cell::from(pair.leader.as_str()),
                Cell::from(pair.client.as_str()),
                pair.write.0.into(),
                pair.write.1.into(),
                pair.strong.0.into(),
                pair.strong.1.into(),
                pair.stale.0.into(),
                pair.stale.1.into(),
            ]);
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
        found.table("pairs", &format!("Medians by leader and client: {topology}"), table);
    }
    let within = format!("beyond {SLACK_MS} ms, medians are within {:.0}% of the map", worst * 1e2);
    found.note(&format!("Differences: {within}; syncs and jitter are in it."));
    found.expect(worst <= TOLERANCE, &within);
    found
}
