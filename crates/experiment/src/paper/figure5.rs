//! Figure 5: throughput over time when the servers of a zone are killed.

use std::{cell::RefCell, rc::Rc, time::Duration};

use keys::NodeId;
use report::{Axis, Cell, Column, Confidence, Lines, Sample, Series, Table};

use super::{SYNC, groups, lead_from, mean, setup};
use crate::{ExperimentError, Findings, Lab, Options, Setup};

/// Zones, as in the paper; all leaders are in the first.
const ZONES: usize = 5;

/// Groups. The paper has 1,250.
const GROUPS: usize = 25;

/// Clients, each of which reads as fast as it is answered and pauses a little.
const CLIENTS: usize = 50;

/// A client's pause: with it, the readers ask for about 2,300 reads a second.
const PAUSE: Duration = Duration::from_millis(20);

/// From one key to the next; without a common divisor with the number of groups.
const STRIDES: [usize; 5] = [1, 3, 7, 11, 13];

/// When the servers are killed.
const KILL: Duration = Duration::from_secs(5);

/// How often the first seconds are repeated, for what the second after the kill costs.
const REPEATS: u64 = 6;

/// How long a repetition goes on.
const SHORT: Duration = Duration::from_millis(6_500);

/// The sync of a disk that is fast, for the line that shows what a hand-over's time is made of.
const FAST: Duration = Duration::from_millis(4);

/// What a node works on a message: it bounds what a leader answers.
const WORK: Duration = Duration::from_micros(20);

/// What a soft kill waits between handing over and the end, for requests on their way.
const DRAIN: Duration = Duration::from_secs(1);

/// How long it goes on.
const END: Duration = Duration::from_secs(20);

/// The width of a slice of time whose reads are counted.
const SLICE: Duration = Duration::from_millis(500);

/// How a read that nobody answers ends.
const PATIENCE: &str = "SET statement_timeout = '20s'";

/// Who is killed, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kill {
    /// The second zone, which leads nothing.
    NonLeader,
    /// The first zone, after its leaders handed over.
    LeaderSoft,
    /// The first zone, all of a sudden.
    LeaderHard,
}

impl Kill {
    const ALL: [Kill; 3] = [Kill::NonLeader, Kill::LeaderSoft, Kill::LeaderHard];

    fn name(self) -> &'static str {
        match self {
            Kill::NonLeader => "non-leader",
            Kill::LeaderSoft => "leader-soft",
            Kill::LeaderHard => "leader-hard",
        }
    }
}

/// Runs it.
///
/// # Errors
/// If a cluster does not start.
pub fn run(options: &Options) -> Result<Findings, ExperimentError> {
    let mut runs = Vec::new();
    let kinds = Kill::ALL.map(|kill| (kill, SYNC)).into_iter().chain([(Kill::LeaderSoft, FAST)]);
    for (kill, sync) in kinds {
        let base = Setup { work: options.work(WORK), sync, ..setup(options, ZONES, ZONES) };
        let counts = base.run(async |lab| reads(lab, kill, END).await)?;
        let mut lost = vec![lost(&counts)];
        for nth in 1..REPEATS {
            let again = Setup { seed: options.seed.wrapping_add(nth), ..base.clone() };
            lost.push(self::lost(&again.run(async |lab| reads(lab, kill, SHORT).await)?));
        }
        let lost = Sample::new(lost).expect("there are some");
        runs.push(Run { kill, sync, counts, lost });
    }
    Ok(findings(options, &runs))
}

/// What was seen with one kind of kill.
struct Run {
    kill: Kill,
    sync: Duration,
    /// Reads answered, by slice of time, of the first repetition.
    counts: Vec<usize>,
    /// The share of reads that the second after the kill lost, in percent, of all repetitions.
    lost: Sample,
}

/// Slices before the kill.
fn killed() -> usize {
    (KILL.as_nanos() / SLICE.as_nanos()) as usize
}

/// Reads in a slice before the kill, warmed up.
fn before(counts: &[usize]) -> f64 {
    let warm = &counts[2..killed()];
    warm.iter().sum::<usize>() as f64 / warm.len() as f64
}

/// The share of the reads of a second that was lost after the kill, in percent.
fn lost(counts: &[usize]) -> f64 {
    let slices = (1.0 / SLICE.as_secs_f64()) as usize;
    let next = &counts[killed()..killed() + slices];
    (1.0 - next.iter().sum::<usize>() as f64 / slices as f64 / before(counts)) * 100.0
}

/// Reads answered, by slice of time.
async fn reads(lab: &mut Lab, kill: Kill, length: Duration) -> Vec<usize> {
    let first = lab.layout()[0].id;
    let mut owner = lab.client(first);
    groups(&mut owner, "t", GROUPS).await;
    owner.hang_up().await;
    lead_from(lab, first).await;
    let slices = (length.as_nanos() / SLICE.as_nanos()) as usize;
    let counted = Rc::new(RefCell::new(vec![0_usize; slices]));
    let began = timer::Instant::now();
    // Clients of the zones that stay: those of a dead gateway could ask nobody.
    let homes: Vec<NodeId> = lab.layout().iter().skip(2).map(|spec| spec.id).collect();
    let clients = (0..CLIENTS).map(|nth| {
        let mut client = lab.client(homes[nth % homes.len()]);
        let counted = Rc::clone(&counted);
        async move {
            client.run(PATIENCE).await;
            // Each in an order of its own, lest all wait for the same group at a time.
            let (mut key, stride) = (nth, STRIDES[nth % STRIDES.len()]);
            while began.elapsed() < length {
                let text = format!("SELECT v FROM t WHERE k = {}", key % GROUPS);
                let read = client.try_run(&text).await;
                let slice = (began.elapsed().as_nanos() / SLICE.as_nanos()) as usize;
                if read.is_ok() && slice < slices {
                    counted.borrow_mut()[slice] += 1;
                }
                key += stride;
                timer::sleep(PAUSE).await;
            }
            client.hang_up().await;
        }
    });
    let clients = futures::future::join_all(clients.collect::<Vec<_>>());
    let killing = async {
        timer::sleep(KILL).await;
        let layout: Vec<NodeId> = lab.layout().iter().map(|spec| spec.id).collect();
        match kill {
            Kill::NonLeader => lab.cluster().crash(layout[1]).await,
            Kill::LeaderHard => lab.cluster().crash(layout[0]).await,
            Kill::LeaderSoft => {
                // To a zone without clients: where the leaders are makes no difference then.
                lead_from(lab, layout[1]).await;
                timer::sleep(DRAIN).await;
                lab.cluster().crash(layout[0]).await;
            }
        }
    };
    futures::future::join(clients, killing).await;
    counted.take()
}

fn findings(options: &Options, runs: &[Run]) -> Findings {
    let mut found = Findings::begin(
        "paper-figure5",
        "Spanner's figure 5: killing the servers of a zone",
        "Five zones, all leaders in the first, leases of 10 s. Clients read from the leaders. After \
         5 s the server of a zone is killed: one without leaders, the one with all leaders after it \
         has handed them over (soft), or without (hard).",
        &options.command("paper-figure5"),
    );
    let per_second = 1.0 / SLICE.as_secs_f64();
    let at = |slice: usize| (slice as f64 + 0.5) * SLICE.as_secs_f64();
    let mut chart = Lines::new(
        "Reads answered",
        Axis::linear("time").unit("s"),
        Axis::linear("reads").unit("1/s"),
    )
    .event(KILL.as_secs_f64(), "killed")
    .caption("The paper draws the sum of all reads so far; its slope is this.");
    let mut table = Table::new([
        Column::text("kill"),
        Column::number("before").unit("1/s").decimals(0),
        Column::number("lost, paper").unit("%"),
        Column::estimate("lost").unit("%").decimals(1),
        Column::number("back, paper").unit("s").decimals(0),
        Column::number("back").unit("s").decimals(1),
    ]);
    for Run { kill, sync, counts, lost } in runs {
        let well = |count: &usize| *count as f64 >= 0.95 * before(counts);
        let back = counts[killed()..].iter().rposition(|count| !well(count));
        let back = back.map_or(0, |at| at + 1) as f64 * SLICE.as_secs_f64();
        let (paper_lost, paper_back) = match kill {
            Kill::NonLeader => (Some(0.0), Some(0.0)),
            Kill::LeaderSoft => (Some(3.5), Some(0.0)),
            Kill::LeaderHard => (None, Some(10.0)),
        };
        let name = match *sync {
            SYNC => kill.name().to_owned(),
            sync => format!("{}, {}", kill.name(), clock::format_duration(sync)),
        };
        table.row([
            Cell::from(name.as_str()),
            (before(counts) * per_second).into(),
            paper_lost.into(),
            mean(lost).into(),
            paper_back.into(),
            back.into(),
        ]);
        let lost = lost.mean();
        if *sync == SYNC {
            let points = counts.iter().enumerate();
            let points = points.map(|(slice, count)| (at(slice), *count as f64 * per_second));
            chart = chart.series(Series::trace(name, points));
        }
        match kill {
            Kill::NonLeader => found.expect(lost < 1.0, "a zone without leaders is not missed"),
            Kill::LeaderSoft => found.expect(lost < 5.0, "a soft kill costs a few percent"),
            Kill::LeaderHard => {
                found
                    .expect((7.0..13.0).contains(&back), "a hard kill costs about a lease of 10 s");
            }
        }
    }
    found.chart(&chart);
    found.table("kills", "Throughput around the kill", table);
    explain(&mut found, runs);
    found
}

/// What a hand-over's time is made of.
fn explain(found: &mut Findings, runs: &[Run]) {
    let (slow, fast) = (&runs[1].lost, &runs[3].lost);
    found.note(&format!(
        "Lost is what is missing in the second after the kill, of {REPEATS} runs; the intervals are of 95%. Back: \
         when throughput is again what it was. A \
         soft kill hands leases over, which takes a group an election among replicas that live: a \
         few syncs of {} and round trips of 0.9 ms. The paper lost 3 to 4%. With syncs of {} it is \
         {:.1}% (fast less slow: {}): so what is beyond the paper's is the disk. A hard kill costs what is left of the lease of 10 s, then the groups \
         elect new leaders and go on, in the paper as here.",
        clock::format_duration(SYNC),
        clock::format_duration(FAST),
        fast.mean(),
        fast.mean_minus(slow, Confidence::C95),
    ));
    found.expect(fast.mean() < slow.mean(), "a faster disk hands over faster");
}
