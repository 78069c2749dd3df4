//! The price of freshness: one SELECT, strong and ever older, from every region.

use std::time::Duration;

use report::{Axis, Cell, Column, Confidence, Hue, Lines, Percentile, Sample, Series, Table};

use crate::{ExperimentError, Findings, Lab, Options, Setup};

/// The reads: a name, `AS OF SYSTEM TIME ...`, and the age it asks for in milliseconds, where it
/// asks for one. Strong is of age zero.
const READS: [(&str, &str, Option<u64>); 9] = [
    ("strong", "", Some(0)),
    ("at most 10 s", "with_max_staleness('10s')", None),
    ("at most 50 ms", "with_max_staleness('50ms')", None),
    ("10 ms ago", "'-10ms'", Some(10)),
    ("100 ms ago", "'-100ms'", Some(100)),
    ("500 ms ago", "'-500ms'", Some(500)),
    ("1 s ago", "'-1s'", Some(1_000)),
    ("3 s ago", "'-3s'", Some(3_000)),
    ("10 s ago", "'-10s'", Some(10_000)),
];

/// Reads of each kind per region.
const COUNT: usize = 40;

/// Between two reads of a client.
const PAUSE: Duration = Duration::from_millis(70);

/// A region's reads of one age.
struct Rung {
    region: String,
    /// Position in [`READS`].
    read: usize,
    latency: Sample,
    /// How old what was read was when it was asked for, on average, in milliseconds.
    age: f64,
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
            for (read, (_, as_of, _)) in READS.into_iter().enumerate() {
                let as_of = match as_of {
                    "" => String::new(),
                    as_of => format!(" AS OF SYSTEM TIME {as_of}"),
                };
                let (mut latencies, mut ages) = (Vec::new(), Vec::new());
                for nth in 0..COUNT {
                    let asked = lab.true_nanos();
                    let text = format!("SELECT v FROM t WHERE k = {}{as_of}", nth % 10);
                    let answered = client.run(&text).await;
                    let read_at = answered.read_at.expect("it read").wall;
                    ages.push(asked.saturating_sub(read_at) as f64 / 1e6);
                    latencies.push(answered.latency);
                    timer::sleep(PAUSE).await;
                }
                let age = Sample::new(ages).expect("there were some").mean();
                let near = latencies.iter().filter(|latency| **latency < way / 2).count();
                let latency = Sample::of_milliseconds(latencies).expect("there were some");
                rungs.push(Rung { region: region.clone(), read, latency, age, near });
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
        "One SELECT from every region, strong, bounded and ever older, of a table that is led in the first \
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
            Column::number("age").unit("ms").decimals(0),
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
            let points = here.filter_map(|rung| {
                let median = rung.latency.estimate_percentile(Percentile::MEDIAN, Confidence::C95);
                READS[rung.read].2.map(|age| (age as f64, median))
            });
            chart = chart.series(Series::measured(*region, points).hue(Hue::nth(nth)));
        }
        for rung in rungs {
            let (name, _, asked) = READS[rung.read];
            table.row([
                Cell::from(rung.region.as_str()),
                name.into(),
                rung.latency.estimate_percentile(Percentile::MEDIAN, Confidence::C95).into(),
                rung.latency.percentile(Percentile::P99).into(),
                rung.age.into(),
                (rung.near as f64 / COUNT as f64 * 1e2).into(),
            ]);
            let old =
                asked.map_or(name == "at most 10 s", |age| Duration::from_millis(age) >= 4 * *lag);
            let fast = rung.latency.percentile(Percentile::MEDIAN) < 2.0;
            found.expect(!old || fast, &format!("{}: {name} is read nearby", rung.region));
        }
        found.chart(&chart);
        found.table("rungs", &format!("Reads by region and age: {topology}"), table);
        found.note(&format!(
            "The leader closes time every {} while it is written to, and its followers hear of it \
             half a round trip later. A read of a younger past waits at the replica until then, or \
             goes to the leader: it is slower than a strong one, so nobody should ask for it. With a \
             bound (`with_max_staleness`) the gateway takes the newest snapshot that the nearest \
             replicas serve at once: as fast as any, and as fresh as can be at that price.",
            clock::format_duration(*lag)
        ));
    }
    found
}
