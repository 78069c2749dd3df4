//! The price of freshness: one SELECT, strong and ever older, from every region.

use std::{collections::BTreeMap, time::Duration};

use keys::NodeId;
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

/// One in so many is traced: by which replica it was served, and what it waited there.
const TRACED: usize = 4;

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
    /// How old the safe time of the nearest replica was then, likewise.
    safe: f64,
    /// What was waited at the replica, likewise.
    waited: f64,
    /// Who answered, and how many of the reads that were traced.
    replicas: BTreeMap<NodeId, usize>,
    leader: NodeId,
}

/// Runs it.
///
/// # Errors
/// If a cluster does not start.
pub fn run(options: &Options) -> Result<Findings, ExperimentError> {
    let mut all = Vec::new();
    for topology in options.topologies(&["three-regions"])? {
        let setup = Setup { traced: true, ..Setup::new(topology.clone(), options) };
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
    let (leader, range) = (lab.leaders("t").await[0], lab.ranges("t").await[0]);
    let voters = lab.voters("t").await;
    let place = |node| lab.layout().iter().find(|spec| spec.id == node).expect("a node");
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
            let way = |voter: &&NodeId| lab.topology().path(place(*node), place(**voter)).rtt;
            let nearest = *voters.iter().min_by_key(way).expect("there are voters");
            for (read, (_, as_of, _)) in READS.into_iter().enumerate() {
                let as_of = match as_of {
                    "" => String::new(),
                    as_of => format!(" AS OF SYSTEM TIME {as_of}"),
                };
                let (mut latencies, mut ages) = (Vec::new(), Vec::new());
                let (mut safe, mut waited, mut replicas) =
                    (Vec::new(), Vec::new(), BTreeMap::new());
                for nth in 0..COUNT {
                    let traced = nth % TRACED == 0;
                    client.run(&format!("SET trace = {traced}")).await;
                    let asked = lab.true_nanos();
                    let age = |at: u64| (i128::from(asked) - i128::from(at)) as f64 / 1e6;
                    safe.push(age(lab.safe_time(nearest, range).await.wall));
                    let text = format!("SELECT v FROM t WHERE k = {}{as_of}", nth % 10);
                    let answered = client.run(&text).await;
                    let read_at = answered.read_at.expect("it read").wall;
                    ages.push(age(read_at));
                    latencies.push(answered.latency);
                    if traced {
                        let served = client.served(range).await;
                        *replicas.entry(served.node).or_default() += 1;
                        waited.push(served.waited.as_secs_f64() * 1e3);
                    }
                    timer::sleep(PAUSE).await;
                }
                let mean = |values| Sample::new(values).expect("there were some").mean();
                rungs.push(Rung {
                    region: region.clone(),
                    read,
                    latency: Sample::of_milliseconds(latencies).expect("there were some"),
                    age: mean(ages),
                    safe: mean(safe),
                    waited: mean(waited),
                    replicas,
                    leader,
                });
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
            let old =
                asked.map_or(name == "at most 10 s", |age| Duration::from_millis(age) >= 4 * *lag);
            let fast = rung.latency.percentile(Percentile::MEDIAN) < 2.0;
            found.expect(!old || fast, &format!("{}: {name} is read nearby", rung.region));
        }
        found.chart(&chart);
        let caption = format!("Reads by region and age: {topology}");
        found.wide_table("rungs", &caption, table(rungs, true), &table(rungs, false));
        found.note(&format!(
            "The leader closes time every {} while it is written to, and its followers hear of it \
             half a round trip later. A read of a younger past waits at the replica until then, or \
             goes to the leader: it is slower than a strong one, so nobody should ask for it. With a \
             bound (`with_max_staleness`) the gateway takes the newest snapshot that the nearest \
             replicas serve at once, if the bound allows it. Read at: how old what was read was when it was asked \
             for; below zero, the gateway's `latest` was ahead of the true time. Safe time: how old \
             the newest snapshot was that the nearest replica would have served at once; a leader's \
             is its own clock. Waited: at the replica, on average. Of {COUNT} reads one in {TRACED} \
             was traced for its replica; * is the leader.",
            clock::format_duration(*lag)
        ));
    }
    found
}

/// With the intervals, if there is room for them.
fn table(rungs: &[Rung], intervals: bool) -> Table {
    let column = |name| if intervals { Column::estimate(name) } else { Column::number(name) };
    let mut table = Table::new([
        Column::text("region"),
        Column::text("read"),
        column("p50").unit("ms").decimals(2),
        Column::number("p99").unit("ms").decimals(1),
        Column::number("read at").unit("ms").decimals(0),
        Column::number("safe time").unit("ms").decimals(0),
        Column::number("waited").unit("ms").decimals(0),
        Column::text("replica"),
    ]);
    for rung in rungs {
        let median = rung.latency.estimate_percentile(Percentile::MEDIAN, Confidence::C95);
        let traced: usize = rung.replicas.values().sum();
        let replicas = rung.replicas.iter().map(|(node, reads)| {
            let star = if *node == rung.leader { "*" } else { "" };
            match *reads == traced {
                true => format!("{node}{star}"),
                false => format!("{node}{star} {reads}/{traced}"),
            }
        });
        table.row([
            Cell::from(rung.region.as_str()),
            READS[rung.read].0.into(),
            if intervals { median.into() } else { median.value.into() },
            rung.latency.percentile(Percentile::P99).into(),
            rung.age.into(),
            rung.safe.into(),
            rung.waited.into(),
            replicas.collect::<Vec<_>>().join(", ").into(),
        ]);
    }
    table
}
