//! Figure 5: throughput over time when the servers of a zone are killed.

use std::{cell::RefCell, rc::Rc, time::Duration};

use keys::NodeId;
use report::{Axis, Cell, Column, Lines, Series, Table};

use super::{groups, lead_from, setup};
use crate::{ExperimentError, Findings, Lab, Options};

/// Zones, as in the paper; all leaders are in the first.
const ZONES: usize = 5;

/// Groups. The paper has 1,250.
const GROUPS: usize = 25;

/// Clients, each of which reads as fast as it is answered and pauses a little.
const CLIENTS: usize = 50;

/// A client's pause: with it, the readers ask for about 4,500 reads a second.
const PAUSE: Duration = Duration::from_millis(10);

/// From one key to the next; without a common divisor with the number of groups.
const STRIDES: [usize; 5] = [1, 3, 7, 11, 13];

/// When the servers are killed.
const KILL: Duration = Duration::from_secs(5);

/// What a soft kill waits between handing over and the end, for requests on their way.
const DRAIN: Duration = Duration::from_secs(1);

/// How long it goes on.
const END: Duration = Duration::from_secs(25);

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
    for kill in Kill::ALL {
        let lab = setup(options, ZONES, ZONES);
        runs.push((kill, lab.run(async |lab| reads(lab, kill).await)?));
    }
    Ok(findings(options, &runs))
}

/// Reads answered, by slice of time.
async fn reads(lab: &mut Lab, kill: Kill) -> Vec<usize> {
    let first = lab.layout()[0].id;
    let mut owner = lab.client(first);
    groups(&mut owner, "t", GROUPS).await;
    owner.hang_up().await;
    lead_from(lab, first).await;
    let slices = (END.as_nanos() / SLICE.as_nanos()) as usize;
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
            while began.elapsed() < END {
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
                lead_from(lab, layout[2]).await;
                timer::sleep(DRAIN).await;
                lab.cluster().crash(layout[0]).await;
            }
        }
    };
    futures::future::join(clients, killing).await;
    counted.take()
}

fn findings(options: &Options, runs: &[(Kill, Vec<usize>)]) -> Findings {
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
        Column::number("in the next second").unit("1/s").decimals(0),
        Column::number("lost, paper").unit("%"),
        Column::number("lost").unit("%").decimals(1),
        Column::number("back after").unit("s").decimals(1),
    ]);
    for (kill, counts) in runs {
        let killed = (KILL.as_nanos() / SLICE.as_nanos()) as usize;
        let before = counts[2..killed].iter().sum::<usize>() as f64 / (killed - 2) as f64;
        let slices = (1.0 / SLICE.as_secs_f64()) as usize;
        let next = counts[killed..killed + slices].iter().sum::<usize>() as f64 / slices as f64;
        let lost = (1.0 - next / before) * 100.0;
        let well = |count: &usize| *count as f64 >= 0.95 * before;
        let back = counts[killed..].iter().rposition(|count| !well(count)).map_or(0, |at| at + 1);
        let back = back as f64 * SLICE.as_secs_f64();
        let paper = match kill {
            Kill::NonLeader => Some(0.0),
            Kill::LeaderSoft => Some(3.5),
            Kill::LeaderHard => None,
        };
        table.row([
            Cell::from(kill.name()),
            (before * per_second).into(),
            (next * per_second).into(),
            paper.into(),
            lost.into(),
            back.into(),
        ]);
        let points = counts.iter().enumerate();
        let points = points.map(|(slice, count)| (at(slice), *count as f64 * per_second));
        chart = chart.series(Series::trace(kill.name(), points));
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
    found.note(
        "A soft kill hands leases over at the price of a round trip per group; the paper lost 3 to \
         4%. A hard kill costs what is left of the lease of 10 s, then the groups elect new leaders \
         and go on, in the paper as here.",
    );
    found
}
