//! Table 4: two-phase commit by the number of participants.

use std::time::Duration;

use report::{Axis, Cell, Column, Confidence, Hue, Lines, Percentile, Sample, Series, Table};

use super::{groups, mean, remote_client, setup, value};
use crate::{ExperimentError, Findings, Lab, Options};

/// The paper's table: participants, and the mean and the 99th percentile of the latency in ms.
const PAPER: [(usize, f64, f64); 8] = [
    (1, 17.0, 75.0),
    (2, 24.5, 87.6),
    (5, 31.5, 104.5),
    (10, 30.0, 95.6),
    (25, 35.5, 100.2),
    (50, 42.7, 93.7),
    (100, 71.4, 131.2),
    (200, 150.5, 320.3),
];

/// The most participants, and so groups.
const GROUPS: usize = 200;

/// Nodes over all zones. The paper has 25 in each of three.
const NODES: usize = 27;

/// What a node works on a message, in the line that has work: an assumption, as the paper tells
/// none. It makes queues, and queues make many participants slow.
const MESSAGE: Duration = Duration::from_micros(100);

/// Transactions per line.
const TRANSACTIONS: usize = 50;

/// A client's pause.
const PAUSE: Duration = Duration::from_millis(50);

/// Runs it.
///
/// # Errors
/// If a cluster does not start.
pub fn run(options: &Options) -> Result<Findings, ExperimentError> {
    let mut lab = setup(options, 3, NODES);
    let idle = lab.run(async |lab| lines(lab).await)?;
    lab.work.message = MESSAGE;
    let busy = lab.run(async |lab| lines(lab).await)?;
    Ok(findings(options, &busy, &idle))
}

async fn lines(lab: &mut Lab) -> Vec<Sample> {
    let mut owner = lab.client(lab.layout()[0].id);
    groups(&mut owner, "t", GROUPS).await;
    owner.hang_up().await;
    let mut client = remote_client(lab);
    let mut all = Vec::new();
    for (participants, ..) in PAPER {
        let mut latencies = Vec::new();
        for nth in 0..TRANSACTIONS {
            let first = nth * participants % GROUPS;
            let keys = (0..participants).map(|key| ((first + key) % GROUPS).to_string());
            let keys: Vec<String> = keys.collect();
            let text = format!("UPDATE t SET v = '{}' WHERE k IN ({})", value(nth), keys.join(","));
            let commit = client.run(&text).await.commit.expect("it committed");
            assert_eq!(commit.participants, participants, "as many groups as rows");
            // The commit alone: the paper's clients had buffered their writes before.
            latencies.push(commit.total);
            timer::sleep(PAUSE).await;
        }
        all.push(Sample::of_milliseconds(latencies).expect("there were some"));
    }
    client.hang_up().await;
    all
}

fn findings(options: &Options, busy: &[Sample], idle: &[Sample]) -> Findings {
    let mut found = Findings::begin(
        "paper-table4",
        "Spanner's table 4: two-phase commit by participants",
        "A transaction writes a row in each of 1 to 200 groups over three zones. The time is that of \
         the commit.",
        &options.command("paper-table4"),
    );
    let mut table = Table::new([
        Column::count("participants"),
        Column::number("mean, paper").unit("ms").decimals(1),
        Column::estimate("mean").unit("ms").decimals(1),
        Column::number("p99, paper").unit("ms").decimals(1),
        Column::number("p99").unit("ms").decimals(1),
        Column::number("mean, no work").unit("ms").decimals(1),
    ]);
    for (((participants, paper, tail), ours), free) in PAPER.iter().zip(busy).zip(idle) {
        table.row([
            Cell::from(*participants),
            (*paper).into(),
            mean(ours).into(),
            (*tail).into(),
            ours.percentile(Percentile::P99).into(),
            free.mean().into(),
        ]);
    }
    let paper = PAPER.iter().map(|(participants, mean, _)| (*participants as f64, *mean));
    let of = |samples: &[Sample]| -> Vec<_> {
        let counts = PAPER.iter().map(|(participants, ..)| *participants as f64);
        counts.zip(samples.iter().map(|one| one.estimate_mean(Confidence::C95))).collect()
    };
    found.chart(
        &Lines::new(
            "Mean latency of a commit",
            Axis::log("participants"),
            Axis::linear("commit latency").unit("ms"),
        )
        .series(Series::measured("paper", paper).hue(Hue::nth(0)))
        .series(Series::measured("Meridian", of(busy)).hue(Hue::nth(1)))
        .series(Series::measured("Meridian, no work", of(idle)).hue(Hue::nth(2))),
    );
    found.table("participants", "Commits by participants", table);
    let last = PAPER.len() - 1;
    found.note(&format!(
        "Where computation takes no time, the number of participants hardly matters ({:.1} ms for \
         2, {:.1} ms for 200): prepares travel at the same time. What grows in the paper is the work \
         of the coordinator and of servers with many groups. With {} µs of work for each message \
         ours grows too, from {:.1} to {:.1} ms. One participant needs no second phase here, and \
         commit-wait hides behind replication (see paper-table3): so the first line is lower.",
        idle[1].mean(),
        idle[last].mean(),
        MESSAGE.as_micros(),
        busy[1].mean(),
        busy[last].mean(),
    ));
    found.expect(idle[last].mean() < 1.5 * idle[1].mean(), "without work, flat from 2 to 200");
    found.expect(busy[last].mean() > 2.0 * busy[1].mean(), "with work, growing from 2 to 200");
    found
}
