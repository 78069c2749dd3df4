//! Table 4: two-phase commit by the number of participants.

use std::{collections::BTreeMap, time::Duration};

use clock::Freezer;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use report::{Axis, Cell, Column, Hue, Lines, Percentile, Sample, Series, Table};

use super::{groups, is_near, mean, remote_client, setup, value};
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

/// Tables; each has an equal part of the groups.
const TABLES: usize = 25;

/// Nodes over all zones. The paper has 25 in each of three.
const NODES: usize = 27;

/// What a node works on a message, where work takes time: an assumption, as the paper tells none. It
/// makes queues, and with all groups at one server about the paper's last line.
const MESSAGE: Duration = Duration::from_micros(190);

/// How long a server stands still now and then, in the line whose servers do: an assumption too, of
/// what machines that are shared with others do. It makes the tail.
const STALL: Duration = Duration::from_millis(60);

/// From one stall of a server to its next, on average.
const STALL_EVERY: Duration = Duration::from_secs(10);

/// Transactions per line, and where the tail does not matter.
const TRANSACTIONS: usize = 100;
const FEW: usize = 30;

/// A client's pause.
const PAUSE: Duration = Duration::from_millis(50);

/// Runs it.
///
/// # Errors
/// If a cluster does not start.
pub fn run(options: &Options) -> Result<Findings, ExperimentError> {
    let mut lab = setup(options, 3, NODES);
    lab.work = options.work(MESSAGE);
    let stalled = lab.run(async |lab| {
        spread(lab, TABLES).await;
        let all = tokio::select! {
            biased;
            all = lines(lab, TABLES, TRANSACTIONS) => all,
            () = stalls(lab, options.seed) => unreachable!("they never end"),
        };
        lab.layout().iter().for_each(|spec| lab.freezer(spec.id).thaw());
        all
    })?;
    let plain = async |lab: &mut Lab, tables| {
        spread(lab, tables).await;
        lines(lab, tables, FEW).await
    };
    let crowded = lab.run(async |lab| plain(lab, 1).await)?;
    lab.work = node::Work::default();
    let idle = lab.run(async |lab| plain(lab, TABLES).await)?;
    Ok(findings(options, &Measured { stalled, crowded, idle }))
}

/// Latencies of commits, by line of the paper's table.
struct Measured {
    /// Groups are spread over all servers, work takes time, and servers stand still now and then.
    stalled: Vec<Sample>,
    /// All groups are at one server of each zone; nobody stands still.
    crowded: Vec<Sample>,
    /// Groups are spread, nobody stands still, and work takes no time.
    idle: Vec<Sample>,
}

/// Makes all groups. A table's stay where it was made; tables are spread over all nodes.
async fn spread(lab: &Lab, tables: usize) {
    let mut owner = lab.client(lab.layout()[0].id);
    for table in 0..tables {
        groups(&mut owner, &format!("t{table}"), GROUPS / tables).await;
    }
    owner.hang_up().await;
}

/// Every server stands still now and then.
async fn stalls(lab: &Lab, seed: u64) {
    let all = lab.layout().iter().map(|spec| {
        let seed = seed ^ (u64::from(spec.id.0) << 32);
        stall(lab.freezer(spec.id), seed)
    });
    futures::future::join_all(all.collect::<Vec<_>>()).await;
}

async fn stall(freezer: &Freezer, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    loop {
        timer::sleep(rng.random_range(Duration::ZERO..2 * STALL_EVERY)).await;
        freezer.freeze();
        timer::sleep(STALL).await;
        freezer.thaw();
    }
}

async fn lines(lab: &Lab, tables: usize, transactions: usize) -> Vec<Sample> {
    let mut client = remote_client(lab);
    let mut all = Vec::new();
    for (participants, ..) in PAPER {
        let mut latencies = Vec::new();
        for nth in 0..transactions {
            let first = nth * participants % GROUPS;
            client.run("BEGIN").await;
            let mut keys: BTreeMap<usize, Vec<String>> = BTreeMap::new();
            for group in (first..first + participants).map(|group| group % GROUPS) {
                keys.entry(group % tables).or_default().push((group / tables).to_string());
            }
            for (table, keys) in keys {
                let (value, keys) = (value(nth), keys.join(", "));
                client.run(&format!("UPDATE t{table} SET v = '{value}' WHERE k IN ({keys})")).await;
            }
            let commit = client.run("COMMIT").await.commit.expect("it committed");
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

fn findings(options: &Options, measured: &Measured) -> Findings {
    let mut found = Findings::begin(
        "paper-table4",
        "Spanner's table 4: two-phase commit by participants",
        "A transaction writes a row in each of 1 to 200 groups over three zones. The time is that of \
         the commit.",
        &options.command("paper-table4"),
    );
    let Measured { stalled, crowded, idle } = measured;
    let mut table = Table::new([
        Column::count("participants"),
        Column::number("mean, paper").unit("ms").decimals(1),
        Column::estimate("mean").unit("ms").decimals(1),
        Column::number("p99, paper").unit("ms").decimals(1),
        Column::number("p99").unit("ms").decimals(1),
    ]);
    let mut others = Table::new([
        Column::count("participants"),
        Column::estimate("mean, at one server").unit("ms").decimals(1),
        Column::estimate("mean, no work, no stalls").unit("ms").decimals(1),
    ]);
    for (nth, (participants, paper, tail)) in PAPER.into_iter().enumerate() {
        table.row([
            Cell::from(participants),
            paper.into(),
            mean(&stalled[nth]).into(),
            tail.into(),
            stalled[nth].percentile(Percentile::P99).into(),
        ]);
        let row = [participants.into(), mean(&crowded[nth]).into(), mean(&idle[nth]).into()];
        others.row(row);
    }
    let paper = PAPER.iter().map(|(participants, mean, _)| (*participants as f64, *mean));
    let of = |samples: &[Sample]| -> Vec<_> {
        let counts = PAPER.iter().map(|(participants, ..)| *participants as f64);
        counts.zip(samples.iter().map(mean)).collect()
    };
    found.chart(
        &Lines::new(
            "Mean latency of a commit",
            Axis::log("participants"),
            Axis::linear("commit latency").unit("ms"),
        )
        .series(Series::measured("paper", paper).hue(Hue::nth(0)))
        .series(Series::measured("Meridian", of(stalled)).hue(Hue::nth(1)))
        .series(Series::measured("at one server", of(crowded)).hue(Hue::nth(2)))
        .series(Series::measured("no work, no stalls", of(idle)).hue(Hue::nth(3))),
    );
    found.table("participants", "Commits by participants", table);
    found.table("others", "The same in other circumstances", others);
    explain(&mut found, options, measured);
    found
}

/// What explains the differences, as far as this run shows it.
fn explain(found: &mut Findings, options: &Options, measured: &Measured) {
    let Measured { stalled, crowded, idle } = measured;
    let last = PAPER.len() - 1;
    let (every, stall) = (STALL_EVERY.as_secs(), STALL.as_millis());
    found.note(&format!(
        "Two things are assumed, as the paper does not tell them. Each server stands still for {stall} \
         ms every {every} s, like a machine shared with others: that alone makes the tail, since the more \
         servers take part the likelier it is that one stands. (Where few take part fewer than one \
         commit in a hundred meet it: our first lines have no tail, so the paper's has other sources \
         too. That a follower stands nobody notices: the others are a quorum.) A node works {} on each message (--work).",
        clock::format_duration(options.work(MESSAGE).message)
    ));
    found.note(&format!(
        "One participant needs no second phase, and commit-wait hides behind replication (see \
         paper-table3): so the first line is lower than the paper's. Prepares travel at the same time: \
         without work and stalls {:.1} ms for 2 participants, {:.1} ms for 200. What grows in the \
         paper is work that one server does for all: their coordinator hears every participant. \
         Where groups are spread over {NODES} servers, and the gateway, whose work has no price, hears \
         the participants, it does not: {:.1} ms. With all groups at one server of each zone it grows \
         as in the paper, to {:.1} ms.",
        idle[1].mean(),
        idle[last].mean(),
        stalled[last].mean(),
        crowded[last].mean(),
    ));
    found.expect(idle[last].mean() < 1.3 * idle[2].mean(), "without work, flat from 5 to 200");
    let mut lines = PAPER.into_iter().enumerate().skip(3);
    let as_many = lines.clone().all(|(nth, (_, mean, _))| is_near(crowded[nth].mean(), mean));
    found.expect(as_many, "at one server 10 to 200 participants are as slow as in the paper");
    let tails = lines.all(|(nth, (participants, _, tail))| {
        participants > 50 || is_near(stalled[nth].percentile(Percentile::P99), tail)
    });
    found.expect(tails, "with stalls the tail of 10 to 50 participants is the paper's");
}
