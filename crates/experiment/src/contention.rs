//! Contention: what conflicts cost transactions that find out at the end, and those that lock first.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use report::{
    Axis, Cell, Column, Confidence, Estimate, Hue, Lines, Percentile, Sample, Series, Table,
    Verdict,
};

use crate::{Choice, ExperimentError, Findings, Lab, Options, Setup};

const C95: Confidence = Confidence::C95;

/// Accounts.
const ACCOUNTS: usize = 100;

/// Clients, spread over the nodes of one region.
const CLIENTS: usize = 16;

/// How long they work.
const LENGTH: Duration = Duration::from_secs(4);

/// ε unless told otherwise.
const EPSILON: Duration = Duration::from_millis(1);

/// What a node works on a message unless told otherwise: about what a core of these days needs with
/// all that hangs on it. It bounds the throughput.
const WORK: Duration = Duration::from_micros(50);

/// Slices of time whose transfers are counted: throughput is compared by their mean.
const SLICES: usize = 16;

/// How often the first account is chosen, relative to its fair share: Zipf's exponent.
const SKEWS: [f64; 5] = [0.0, 0.5, 0.8, 1.1, 1.4];

/// The most attempts of a transfer.
const ATTEMPTS_MAX: usize = 100;

/// How a transfer reads what it will write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// Reads a snapshot; conflicts are found at the commit (X1).
    Optimistic,
    /// `SELECT ... FOR UPDATE` (X6): waits for whoever has the lock.
    Locking,
}

impl Style {
    fn name(self) -> &'static str {
        match self {
            Style::Optimistic => "optimistic",
            Style::Locking => "FOR UPDATE",
        }
    }
}

/// What all clients did.
struct Load {
    style: Style,
    skew: f64,
    /// From the first attempt to the acknowledgement, of each transfer.
    latency: Sample,
    /// Transfers per second, by slice of time.
    rate: Sample,
    aborts: usize,
}

/// Runs it.
///
/// # Errors
/// If a cluster does not start.
pub fn run(options: &Options) -> Result<Findings, ExperimentError> {
    let topologies = options.topologies(&["one-region"])?;
    let [topology] = topologies.as_slice() else {
        return Err(several(Choice::Topologies));
    };
    let epsilon = match options.epsilons.as_slice() {
        [] => EPSILON,
        [epsilon] => *epsilon,
        _ => return Err(several(Choice::Epsilons)),
    };
    let mut loads = Vec::new();
    for style in [Style::Optimistic, Style::Locking] {
        for skew in SKEWS {
            let setup = Setup::new(topology.clone(), options);
            let setup = Setup { work: options.work(WORK), ..setup.epsilon(epsilon) };
            loads.push(setup.run(async |lab| load(lab, style, skew, options.seed).await)?);
        }
    }
    Ok(findings(options, &loads))
}

fn several(choice: Choice) -> ExperimentError {
    ExperimentError::OneAtATime { experiment: "contention", choice }
}

async fn load(lab: &mut Lab, style: Style, skew: f64, seed: u64) -> Load {
    let mut owner = lab.client(lab.layout()[0].id);
    owner.run("CREATE TABLE accounts (id INT8 PRIMARY KEY, balance INT8 NOT NULL)").await;
    let all = ACCOUNTS - 1;
    owner
        .run(&format!("INSERT INTO accounts SELECT i, 1000 FROM generate_series(0, {all}) i"))
        .await;
    let start = lab.now();
    let end = start + LENGTH;
    let clients = (0..CLIENTS).map(|nth| {
        let mut client = lab.client(lab.layout()[nth % lab.layout().len()].id);
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ (nth as u64 + 1) << 20);
        let lab = &*lab;
        async move {
            let (mut latencies, mut aborts) = (Vec::new(), 0);
            while lab.now() < end {
                let (from, to) = pair(&mut rng, skew);
                let begun = lab.now();
                for _ in 0..ATTEMPTS_MAX {
                    match transfer(&mut client, style, from, to).await {
                        Ok(()) => {
                            latencies.push((lab.now(), lab.now() - begun));
                            break;
                        }
                        Err(error) if error.sqlstate.code() == "40001" => {
                            aborts += 1;
                            client.run("ROLLBACK").await;
                        }
                        Err(error) => panic!("a transfer in a healthy cluster: {error:?}"),
                    }
                }
            }
            client.hang_up().await;
            (latencies, aborts)
        }
    });
    let done = futures::future::join_all(clients.collect::<Vec<_>>()).await;
    let total = owner.run("SELECT sum(balance)::INT8 FROM accounts").await;
    let sql::Execution::Rows { rows, .. } = total.execution else { panic!("SELECT has rows") };
    assert_eq!(rows[0][0], sql::Datum::Int(1000 * ACCOUNTS as i64), "money was made or lost");
    owner.hang_up().await;
    let aborts = done.iter().map(|(_, aborts)| aborts).sum();
    let transfers: Vec<_> = done.into_iter().flat_map(|(latencies, _)| latencies).collect();
    let latency = Sample::of_milliseconds(transfers.iter().map(|(_, latency)| *latency));
    let slice = LENGTH / SLICES as u32;
    let mut counts = [0_usize; SLICES];
    // A transfer under way at the end is in no slice.
    for (at, _) in transfers.iter().filter(|(at, _)| *at < end) {
        counts[((*at - start).as_nanos() / slice.as_nanos()) as usize] += 1;
    }
    let rate = Sample::new(counts.map(|count| count as f64 / slice.as_secs_f64()));
    let some = "some transfer succeeded";
    Load { style, skew, latency: latency.expect(some), rate: rate.expect(some), aborts }
}

async fn transfer(
    client: &mut crate::Client,
    style: Style,
    from: usize,
    to: usize,
) -> Result<(), sql::SqlError> {
    let lock = if style == Style::Locking { " FOR UPDATE" } else { "" };
    client.try_run("BEGIN").await?;
    for account in [from, to] {
        client.try_run(&format!("SELECT balance FROM accounts WHERE id = {account}{lock}")).await?;
    }
    for (account, by) in [(from, -1), (to, 1)] {
        let text = format!("UPDATE accounts SET balance = balance + {by} WHERE id = {account}");
        client.try_run(&text).await?;
    }
    client.try_run("COMMIT").await?;
    Ok(())
}

/// Two accounts: the nth is chosen in proportion to 1 / n^skew.
fn pair(rng: &mut ChaCha8Rng, skew: f64) -> (usize, usize) {
    let weight = |account: usize| 1.0 / ((account + 1) as f64).powf(skew);
    let all: f64 = (0..ACCOUNTS).map(weight).sum();
    let mut draw = || {
        let mut left = rng.random_range(0.0..all);
        for account in 0..ACCOUNTS {
            left -= weight(account);
            if left <= 0.0 {
                return account;
            }
        }
        ACCOUNTS - 1
    };
    let from = draw();
    loop {
        let to = draw();
        if to != from {
            return (from, to);
        }
    }
}

fn findings(options: &Options, loads: &[Load]) -> Findings {
    let mut found = Findings::begin(
        "contention",
        "Contention: finding out at the end, or locking first",
        "Transfers between 100 accounts by 16 clients in one region, again until they succeed. The \
         more skewed the choice of accounts, the more they meet. Optimistic transactions read a \
         snapshot and are validated at the commit; FOR UPDATE locks what it reads.",
        &options.command("contention"),
    );
    let mut table = Table::new([
        Column::text("style"),
        Column::number("skew").decimals(1),
        Column::estimate("transfers").unit("1/s").decimals(0),
        Column::number("aborts per transfer").decimals(2),
        Column::estimate("p50").unit("ms").decimals(1),
        Column::estimate("p99").unit("ms").decimals(1),
    ]);
    let rate = |load: &Load| load.rate.estimate_mean(C95);
    let aborts = |load: &Load| load.aborts as f64 / load.latency.count() as f64;
    for load in loads {
        table.row([
            Cell::from(load.style.name()),
            load.skew.into(),
            rate(load).into(),
            aborts(load).into(),
            load.latency.estimate_percentile(Percentile::MEDIAN, C95).into(),
            load.latency.estimate_percentile(Percentile::P99, C95).into(),
        ]);
    }
    let chart = |title: &str, unit: &str, value: &dyn Fn(&Load) -> Estimate| {
        let axis =
            if unit.is_empty() { Axis::linear(title) } else { Axis::linear(title).unit(unit) };
        let mut chart = Lines::new(title, Axis::linear("skew"), axis);
        for (nth, style) in [Style::Optimistic, Style::Locking].into_iter().enumerate() {
            let points = loads.iter().filter(|load| load.style == style);
            let points = points.map(|load| (load.skew, value(load)));
            chart = chart.series(Series::measured(style.name(), points).hue(Hue::nth(nth)));
        }
        chart
    };
    found.chart(&chart("throughput", "1/s", &rate));
    found.chart(&chart("aborts per transfer", "", &|load| Estimate::exact(aborts(load))));
    found.chart(&chart("99th percentile of the latency", "ms", &|load| {
        load.latency.estimate_percentile(Percentile::P99, C95)
    }));
    found.table("loads", "Transfers by style and skew", table);
    compare(&mut found, loads, options);
    found
}

/// Who gets more done where transfers hardly meet, and where they meet most.
fn compare(found: &mut Findings, loads: &[Load], options: &Options) {
    let at = |style: Style, skew: f64| {
        let load = loads.iter().find(|load| load.style == style && load.skew == skew);
        &load.expect("all were measured").rate
    };
    let (fair, skewed) = (SKEWS[0], SKEWS[SKEWS.len() - 1]);
    let differences = [fair, skewed]
        .map(|skew| at(Style::Locking, skew).mean_minus(at(Style::Optimistic, skew), C95));
    let [even, gain] = &differences;
    let share = |skew| at(Style::Locking, skew).mean() / at(Style::Optimistic, skew).mean();
    found.note(&format!(
        "Transfers per second with FOR UPDATE, less those without. Where all accounts are as likely: {even}, \
         {:.2} times as many. At the strongest skew: {gain}, {:.2} times as many. Those that lock \
         first are aborted about as often, since the accounts are locked in no order and an older \
         transaction wounds a younger one (X5); but they learn of it early, before work was done in \
         vain, while an optimistic one learns at its commit. Throughput is counted in {SLICES} slices; \
         a node's work on a message takes {} (--work).",
        share(fair),
        share(skewed),
        clock::format_duration(options.work(WORK).message),
    ));
    let more = gain.verdict() == Verdict::Different && gain.estimate.value > 0.0;
    found.expect(more, &format!("under contention who locks first gets more done: {gain}"));
}
