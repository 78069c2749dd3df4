//! The price of freshness: one SELECT, strong and ever older, from every region.

use std::time::Duration;

use report::{Axis, Cell, Column, Confidence, Hue, Lines, Percentile, Sample, Series, Table};

use crate::{ExperimentError, Findings, Lab, Options, Setup};

/// How old; zero is strong.
const AGES_MS: [u64; 7] = [0, 10, 100, 500, 1_000, 3_000, 10_000];

/// Reads per region and age.
const READS: usize = 40;

/// Between two reads of a client.
const PAUSE: Duration = Duration::from_millis(70);

/// A region's reads of one age.
struct Rung {
    region: String,
    age: u64,
    latency: Sample,
    /// The replica nearest to the client answered, as far as the time tells: it took less than half
    /// the way to the leader.
    near: usize,
}

/// Runs it.
///
/// # Errors
/// If a cluster does not start.
pub fn run(options: &Options) -> Result<Findings, ExperimentError> {
    let mut all = Vec::new();
    for topology in options.topologies(&["three-regions"])? {
        let setup = Setup::new(topology.clone(), options.seed);
        let lag = topology.settings.close_lag;
        let rungs = setup.run(async |lab| ladder(lab).await)?;
        all.push((topology.name.clone(), lag, rungs));
    }
    Ok(findings(options, &all))
}

async fn ladder(lab: &mut Lab) -> Vec<Rung> {
    let gateways = lab.gateways();
    let mut owner = lab.client(gateways[0].1);
    owner.run("CREATE TABLE t (k INT8 PRIMARY KEY, v INT8)").await;
    owner.run("INSERT INTO t SELECT i, 0 FROM generate_series(0, 9) i").await;
    timer::sleep(Duration::from_secs(12)).await;
    let leader = lab.leaders("t").await[0];
    let place = |node| lab.layout().iter().find(|spec| spec.id == node).expect("a node").clone();
    let topology = lab.topology().clone();
    // A client that writes all the time: the leader closes time behind its writes.
    let writing = async {
        for value in 0.. {
            owner.run(&format!("UPDATE t SET v = {value} WHERE k = {}", value % 10)).await;
            timer::sleep(PAUSE).await;
        }
    };
    let reading = async {
        let mut rungs = Vec::new();
        for (region, node) in &gateways {
            let mut client = lab.client(*node);
            let way = topology.path(&place(*node), &place(leader)).rtt;
            for age in AGES_MS {
                let as_of = match age {
                    0 => String::new(),
                    age => format!(" AS OF SYSTEM TIME '-{age}ms'"),
                };
                let mut latencies = Vec::new();
                for read in 0..READS {
                    let text = format!("SELECT v FROM t WHERE k = {}{as_of}", read % 10);
                    latencies.push(client.run(&text).await.latency);
                    timer::sleep(PAUSE).await;
                }
                let near = latencies.iter().filter(|latency| **latency < way / 2).count();
                let latency = Sample::of_milliseconds(latencies).expect("there were some");
                rungs.push(Rung { region: region.clone(), age, latency, near });
            }
            client.hang_up().await;
        }
        rungs
    };
    tokio::select! {
        biased;
        rungs = reading => rungs,
        () = writing => unreachable!("it never ends"),
    }
}

fn findings(options: &Options, all: &[(String, Duration, Vec<Rung>)]) -> Findings {
    let mut found = Findings::begin(
        "staleness-ladder",
        "The price of freshness",
        "One SELECT from every region, strong and ever older, of a table that is led in the first \
         region and written all the time. A read is served by the nearest replica once its leader \
         has closed the time it asks for.",
        &options.command("staleness-ladder"),
    );
    for (topology, lag, rungs) in all {
        let mut table = Table::new([
            Column::text("region"),
            Column::text("read"),
            Column::estimate("p50").unit("ms").decimals(2),
            Column::number("p99").unit("ms").decimals(2),
            Column::number("answered nearby").unit("%").decimals(0),
        ]);
        let mut chart = Lines::new(
            format!("Latency by age: {topology}"),
            Axis::log("age").unit("ms"),
            Axis::linear("latency, median").unit("ms"),
        )
        .caption("At 0: a strong read, which goes to the leader.");
        let mut regions: Vec<&str> = rungs.iter().map(|rung| rung.region.as_str()).collect();
        regions.dedup();
        for (nth, region) in regions.iter().enumerate() {
            let here = rungs.iter().filter(|rung| rung.region == *region);
            let points = here.map(|rung| {
                let median = rung.latency.estimate_percentile(Percentile::MEDIAN, Confidence::C95);
                (rung.age as f64, median)
            });
            chart = chart.series(Series::measured(*region, points).hue(Hue::nth(nth)));
        }
        for rung in rungs {
            let name = match rung.age {
                0 => "strong".to_owned(),
                age => format!("{age} ms ago"),
            };
            table.row([
                Cell::from(rung.region.as_str()),
                name.into(),
                rung.latency.estimate_percentile(Percentile::MEDIAN, Confidence::C95).into(),
                rung.latency.percentile(Percentile::P99).into(),
                (rung.near as f64 / READS as f64 * 1e2).into(),
            ]);
            let old = Duration::from_millis(rung.age) >= 4 * *lag;
            let fast = rung.latency.percentile(Percentile::MEDIAN) < 2.0;
            let what = format!("{}: {} ms ago is read nearby", rung.region, rung.age);
            found.expect(!old || fast, &what);
        }
        found.chart(&chart);
        found.table("rungs", &format!("Reads by region and age: {topology}"), table);
        found.note(&format!(
            "The leader closes time every {} while it is written to, and its followers hear of it \
             half a round trip later. A read of a younger past waits at the replica until then, or \
             goes to the leader: it is slower than a strong one, so nobody should ask for it.",
            clock::format_duration(*lag)
        ));
    }
    found
}
