//! `meridian workload`: load through the PostgreSQL protocol, as any client would make it.
//!
//! Many clients in a loop, one operation at a time each. An operation ends in one of three ways,
//! never mixed: done, failed (it did not happen), or unknown (its commit's answer was lost, or the
//! server said 40003). Conflicts (40001) are retried and counted. A client whose connection breaks
//! goes to the next address.

mod bank;
pub mod client;
mod indexes;
mod kv;
mod report;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};
use tokio::time::Instant;
use tokio_postgres::{Client, error::SqlState};

pub use report::Format;
use report::Report;

/// `meridian workload`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create the workload's tables and fill them.
    Init(Options),
    /// Run the workload and print throughput, latencies, retries and errors.
    Run(Options),
}

/// Which workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Single-row writes and reads of a key-value table.
    Kv,
    /// Transfers between accounts, and snapshot reads of the total, which must never change.
    Bank,
}

/// Options of both subcommands.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// The workload.
    #[arg(value_enum)]
    pub kind: Kind,
    /// Where to connect; several are shared out among the clients.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "postgresql://root@127.0.0.1:5433/meridian"
    )]
    pub url: Vec<String>,
    /// Clients, each with a connection of its own.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub clients: u32,
    /// How long to run.
    #[arg(long, default_value = "30s", value_parser = parse_run)]
    pub duration: Duration,
    /// Load at the start that is not counted.
    #[arg(long, default_value = "0s", value_parser = parse_duration)]
    pub warmup: Duration,
    /// kv: rows; bank: accounts.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..))]
    pub rows: u32,
    /// kv: how many of a hundred operations are reads.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub read_percent: u32,
    /// kv: size of a value.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub value_bytes: u32,
    /// kv, bank: split the table into this many ranges at initialisation.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub ranges: u32,
    /// Seed of the clients' choices.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How to print the result.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    /// Ends the run before its time.
    #[arg(skip)]
    pub stop: Stop,
}

/// Ends a run before its time. Cheap to clone: all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Ends the run.
    pub fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is to end.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    clock::parse_duration(text).map_err(|error| error.to_string())
}

/// How long to run: nothing can be told of a run without time.
fn parse_run(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("a run takes some time: 1s, say".to_owned()),
        duration => Ok(duration),
    }
}

impl Kind {
    /// The word for it on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Kv => "kv",
            Kind::Bank => "bank",
        }
    }

    /// Its tables; the first has as many rows as the options say.
    fn tables(self) -> &'static [&'static str] {
        match self {
            Kind::Kv => &["workload_kv"],
            Kind::Bank => &["workload_accounts", "workload_receipts"],
        }
    }
}

/// Makes the tables.
pub async fn init(options: &Options) -> anyhow::Result<()> {
    match options.kind {
        Kind::Kv => kv::init(options).await,
        Kind::Bank => bank::init(options).await,
    }
}

/// Runs the workload, whose tables are there, and checks these.
async fn drive_kind(options: &Options) -> anyhow::Result<Report> {
    let mut report = match options.kind {
        Kind::Kv => drive(options, kv::client).await?,
        Kind::Bank => bank::run(options).await?,
    };
    indexes::check(options, &mut report).await;
    Ok(report)
}

/// Runs the workload, whose tables are there, until it is stopped, or its time is over.
pub async fn run_until_stopped(options: Options) -> anyhow::Result<String> {
    Ok(drive_kind(&options).await?.text())
}

/// Runs the command. `Ok(false)`: it ran, and found that the database broke a promise.
pub async fn run(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Init(options) => {
            init(&options).await?;
            Ok(true)
        }
        Command::Run(options) => {
            let client = client::reach_one(&options.url).await?;
            ready(&client, &options).await?;
            let report = drive_kind(&options).await?;
            report.print(options.format)?;
            Ok(report.violations.is_empty())
        }
    }
}

/// Whether the tables are there, as `init` makes them for these options.
async fn ready(client: &Client, options: &Options) -> anyhow::Result<()> {
    let (name, rows) = (options.kind.name(), options.rows);
    let query = format!("SELECT count(*) FROM {}", options.kind.tables()[0]);
    let count: i64 = match client.query_one(&query, &[]).await {
        Ok(row) => row.get(0),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => {
            bail!("there is nothing to work on: run `meridian workload init {name}` first")
        }
        Err(error) => return Err(error).context("look at the workload's tables"),
    };
    ensure!(
        count == i64::from(rows),
        "there are {count} rows, not {rows}: give the same --rows to `meridian workload init {name}`"
    );
    Ok(())
}

/// When a run starts to count and when it ends.
#[derive(Clone, Debug)]
struct Window {
    start: Instant,
    end: Instant,
    stop: Stop,
}

impl Window {
    fn open(options: &Options) -> Window {
        let start = Instant::now() + options.warmup;
        Window { start, end: start + options.duration, stop: options.stop.clone() }
    }

    fn over(&self) -> bool {
        self.stop.is_asked() || Instant::now() >= self.end
    }

    /// How long of it is over.
    fn lasted(&self) -> Duration {
        Instant::now().min(self.end).saturating_duration_since(self.start)
    }
}

/// Runs one task per client and adds up what they saw.
async fn drive<F, T>(options: &Options, client: F) -> anyhow::Result<Report>
where
    F: Fn(Arc<Options>, u32, Window) -> T,
    T: Future<Output = anyhow::Result<Report>> + Send + 'static,
{
    let options = Arc::new(options.clone());
    let window = Window::open(&options);
    let tasks: Vec<_> = (0..options.clients)
        .map(|number| tokio::spawn(client(Arc::clone(&options), number, window.clone())))
        .collect();
    let mut total = Report::new();
    for task in tasks {
        total.add(task.await??);
        total.seconds = window.lasted().as_secs_f64();
    }
    Ok(total)
}
