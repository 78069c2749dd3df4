//! Table 3: latency of writes, read-only transactions and snapshot reads by the number of replicas.

use std::time::Duration;

use range::CommitWait;
use report::{Axis, Bars, Cell, Column, Estimate, Hue, Sample, Table};

use super::{CLIENT, SYNC, groups, is_near, lead_from, mean, remote_client, setup, value};
use crate::{Client, ExperimentError, Findings, Lab, Options, Setup};

/// Paxos groups, as in the paper.
const GROUPS: usize = 50;

/// Operations of each kind.
const OPERATIONS: usize = 300;

/// A client's pause: so few operations that none waits for another.
const PAUSE: Duration = Duration::from_millis(10);

/// The sync of the line that chooses its timestamp late: as much shorter as its client is further
/// away, so that without commit-wait a write takes as long as in the first.
const LATE: Duration = Duration::from_millis(2);

/// A line of the paper's table, mean latencies in milliseconds.
struct Paper {
    name: &'static str,
    replicas: usize,
    commit_wait: CommitWait,
    /// How long a sync takes; the rest of the 9.4 ms is in the client's way.
    sync: Duration,
    write: f64,
    /// Of a read-only transaction and of a snapshot read; of the first line only writes were
    /// measured.
    reads: Option<(f64, f64)>,
}

const PAPER: [Paper; 5] = [
    Paper {
        name: "1, no commit-wait",
        replicas: 1,
        commit_wait: CommitWait::UnsafeOff,
        sync: SYNC,
        write: 9.4,
        reads: None,
    },
    Paper {
        name: "1",
        replicas: 1,
        commit_wait: CommitWait::On,
        sync: SYNC,
        write: 14.4,
        reads: Some((1.4, 1.3)),
    },
    Paper {
        name: "3",
        replicas: 3,
        commit_wait: CommitWait::On,
        sync: SYNC,
        write: 13.9,
        reads: Some((1.3, 1.2)),
    },
    Paper {
        name: "5",
        replicas: 5,
        commit_wait: CommitWait::On,
        sync: SYNC,
        write: 14.4,
        reads: Some((1.4, 1.3)),
    },
    Paper {
        name: "1, s chosen late",
        replicas: 1,
        commit_wait: CommitWait::On,
        sync: LATE,
        write: 14.4,
        reads: None,
    },
];

/// A line of ours.
struct Line {
    write: Sample,
    paxos: Sample,
    wait: Sample,
    exposed: Sample,
    read_only: Sample,
    snapshot: Sample,
}

/// Runs it.
///
/// # Errors
/// If a cluster does not start.
pub fn run(options: &Options) -> Result<Findings, ExperimentError> {
    let mut lines = Vec::new();
    for paper in &PAPER {
        let base = setup(options, paper.replicas, paper.replicas);
        let lab = Setup { commit_wait: paper.commit_wait, sync: paper.sync, ..base };
        lines.push(lab.run(async |lab| line(lab, SYNC - paper.sync).await)?);
    }
    Ok(findings(options, &lines))
}

async fn line(lab: &mut Lab, further: Duration) -> Line {
    let mut owner = lab.client(lab.layout()[0].id);
    groups(&mut owner, "t", GROUPS).await;
    owner.hang_up().await;
    // The paper's clients spoke to the leader.
    lead_from(lab, lab.layout()[0].id).await;
    let mut client = remote_client(lab).at(CLIENT + further);
    let mut commits = Vec::new();
    for nth in 0..OPERATIONS {
        let (key, value) = (nth % GROUPS, value(nth));
        let answered = client.run(&format!("UPDATE t SET v = '{value}' WHERE k = {key}")).await;
        commits.push((answered.latency, answered.commit.expect("it committed")));
        timer::sleep(PAUSE).await;
    }
    let read_only = reads(&mut client, "").await;
    let snapshot = reads(&mut client, " AS OF SYSTEM TIME '-1s'").await;
    client.hang_up().await;
    let of = |values: Vec<Duration>| Sample::of_milliseconds(values).expect("there were some");
    Line {
        write: of(commits.iter().map(|(latency, _)| *latency).collect()),
        paxos: of(commits.iter().map(|(_, commit)| commit.paxos).collect()),
        wait: of(commits.iter().map(|(_, commit)| commit.commit_wait).collect()),
        exposed: of(commits.iter().map(|(_, c)| c.commit_wait - c.hidden).collect()),
        read_only,
        snapshot,
    }
}

async fn reads(client: &mut Client, as_of: &str) -> Sample {
    let mut latencies = Vec::new();
    for nth in 0..OPERATIONS {
        let text = format!("SELECT v FROM t WHERE k = {}{as_of}", nth % GROUPS);
        latencies.push(client.run(&text).await.latency);
        timer::sleep(PAUSE).await;
    }
    Sample::of_milliseconds(latencies).expect("there were some")
}

fn findings(options: &Options, lines: &[Line]) -> Findings {
    let mut found = Findings::begin(
        "paper-table3",
        "Spanner's table 3: latency by the number of replicas",
        "Writes, read-only transactions and snapshot reads of single rows of 4 KB in 50 groups, so \
         few at a time that none waits for another.",
        &options.command("paper-table3"),
    );
    let mut writes = Table::new([
        Column::text("replicas"),
        Column::number("write, paper").unit("ms").decimals(1),
        Column::estimate("write").unit("ms").decimals(1),
        Column::number("Paxos").unit("ms").decimals(1),
        Column::number("wait").unit("ms").decimals(1),
        Column::number("exposed").unit("ms").decimals(1),
    ]);
    let mut reads = Table::new([
        Column::text("replicas"),
        Column::number("read-only, paper").unit("ms").decimals(1),
        Column::estimate("read-only").unit("ms").decimals(2),
        Column::number("snapshot, paper").unit("ms").decimals(1),
        Column::estimate("snapshot").unit("ms").decimals(2),
    ]);
    let mut chart = Bars::grouped(
        "Mean latency of a write",
        Axis::linear("latency").unit("ms"),
        [("paper", Hue::nth(0)), ("Meridian", Hue::nth(1))],
    );
    for (paper, line) in PAPER.iter().zip(lines) {
        let bars = [Some(Estimate::exact(paper.write)), Some(mean(&line.write))];
        chart = chart.row(format!("replicas: {}", paper.name), bars);
        writes.row([
            Cell::from(paper.name),
            paper.write.into(),
            mean(&line.write).into(),
            line.paxos.mean().into(),
            line.wait.mean().into(),
            line.exposed.mean().into(),
        ]);
        if paper.sync == LATE {
            continue;
        }
        reads.row([
            Cell::from(paper.name),
            paper.reads.map(|(read_only, _)| read_only).into(),
            mean(&line.read_only).into(),
            paper.reads.map(|(_, snapshot)| snapshot).into(),
            mean(&line.snapshot).into(),
        ]);
    }
    found.chart(&chart);
    found.table("writes", "Writes: mean latencies", writes);
    found.table("reads", "Reads: mean latencies", reads);
    explain(&mut found, lines);
    found
}

/// What explains the differences, as far as this run shows it.
fn explain(found: &mut Findings, lines: &[Line]) {
    let [bare, one, .., late] = lines else { unreachable!("there are five lines") };
    let hidden = one.wait.mean() - one.exposed.mean();
    found.note(&format!(
        "The first line is not found but set: a disk's sync is as long as it takes for a write \
         without commit-wait to take about 9.4 ms. With commit-wait the paper's writes take 5 ms \
         longer. Ours chooses the timestamp when the write comes in, and the wait runs while the \
         votes travel and the disks sync: {hidden:.1} of {:.1} ms are hidden, and a write takes {:.1} \
         ms. The last line shows what makes the difference: there only {} of the 9.4 ms come after \
         the choice of the timestamp, {:.1} ms of the wait remain, and a write takes {:.1} ms, as in \
         the paper.",
        one.wait.mean(),
        one.write.mean(),
        clock::format_duration(LATE),
        late.exposed.mean(),
        late.write.mean(),
    ));
    found.expect(
        is_near(late.write.mean(), PAPER[1].write),
        "14.4 ms if the timestamp is chosen late",
    );
    found.note(
        "As in the paper, more replicas do not make a write slower: their votes travel at the same \
         time, and the slowest are not waited for. Reads take the client's way; the \
         leader answers alone.",
    );
    found.expect(is_near(bare.write.mean(), PAPER[0].write), "9.4 ms without commit-wait");
    for (paper, line) in PAPER.iter().zip(lines) {
        let Some((read_only, snapshot)) = paper.reads else { continue };
        found.expect(
            is_near(line.read_only.mean(), read_only) && is_near(line.snapshot.mean(), snapshot),
            &format!("reads of {} replicas as fast as the paper's", paper.name),
        );
    }
}
