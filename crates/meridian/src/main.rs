//! The one binary: `meridian demo`, `start`, `sql`, `trace`, `workload`, `sim`, `experiment`,
//! `check`.
//!
//! This crate is where Meridian meets the machine: processes, sockets, data folders, the operating
//! system's clock and randomness. Everything behind the four seams is elsewhere.
//!
//! Exit codes: 0, it worked; 1, it ran and something failed (a statement, a promise of the
//! database, the disk); 2, it could not be started as asked; 3, a check could not decide.

mod check;
mod clock_flags;
mod demo;
mod engine;
mod experiment;
mod join;
mod live;
mod machine;
mod out;
mod sim;
mod start;
mod tools;
mod trace_command;
mod workload;

use std::{io::IsTerminal, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand, ValueEnum, error::ErrorKind};
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

/// Much of what the program does is to allocate; this allocator does it in less time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An open, Spanner-style, globally consistent SQL database.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a whole cluster in this process, over a simulated wide-area network.
    ///
    /// Its shell reads a script if standard input is no terminal. The first error ends the script,
    /// and the demo with it, with exit code 1; the line is told, and what follows it is not run.
    Demo(demo::Options),
    /// Run one node as a process of its own, over gRPC.
    Start(Box<start::Options>),
    /// Open the SQL shell, or run statements.
    ///
    /// Without a terminal it reads a script from standard input. The first error ends it with exit
    /// code 1; the line is told, and what follows it is not run.
    Sql(SqlOptions),
    /// Draw the timeline of a transaction.
    Trace(trace_command::Options),
    /// Make load through SQL and measure it.
    #[command(subcommand)]
    Workload(workload::Command),
    /// Run a cluster in virtual time with clients and faults, and judge its history.
    Sim(sim::Options),
    /// Ask the database a question whose answer is figures: what ε costs, for one.
    #[command(subcommand)]
    Experiment(experiment::Command),
    /// Hold a recorded history, ours or another database's, against a consistency model.
    Check(check::Options),
}

/// `meridian sql`.
#[derive(Debug, clap::Args)]
struct SqlOptions {
    /// Where to connect.
    #[arg(long, default_value = sql_shell::DEFAULT_URL)]
    url: String,
    /// Run these statements and leave; may be given several times.
    #[arg(short = 'e', long = "execute", value_name = "SQL")]
    execute: Vec<String>,
    /// How results are printed.
    #[arg(long, value_enum)]
    format: Option<SqlFormat>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SqlFormat {
    Table,
    Csv,
    Json,
}

impl From<SqlFormat> for sql_shell::Format {
    fn from(format: SqlFormat) -> sql_shell::Format {
        match format {
            SqlFormat::Table => sql_shell::Format::Table,
            SqlFormat::Csv => sql_shell::Format::Csv,
            SqlFormat::Json => sql_shell::Format::Json,
        }
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Clean,
    Failed,
    /// Nothing is wrong that can be told, and something cannot be told.
    Undecided,
}

impl From<checker::Validity> for Ending {
    fn from(valid: checker::Validity) -> Ending {
        match valid {
            checker::Validity::Yes => Ending::Clean,
            checker::Validity::No => Ending::Failed,
            checker::Validity::Undecided => Ending::Undecided,
        }
    }
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return misused(&error),
    };
    // Logs go to standard error; RUST_LOG chooses, warnings by default. What a simulated node says of a
    // fault that was put upon it is no warning: the verdict tells whether it bore it.
    let usual = match &arguments.command {
        Command::Sim(_) => "warn,node=off",
        Command::Demo(_)
        | Command::Start(_)
        | Command::Sql(_)
        | Command::Trace(_)
        | Command::Workload(_)
        | Command::Experiment(_)
        | Command::Check(_) => "warn",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let log = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .with_filter(filter);
    let traces = trace::Collector::default();
    tracing_subscriber::registry().with(log).with(traces.layer()).init();
    match &arguments.command {
        // A panic is a finding there, and time is not the machine's: no runtime of its own.
        Command::Sim(options) => return finished(sim::run(options)),
        Command::Experiment(command) => return finished(experiment::run(command)),
        Command::Check(options) => return finished(check::run(options)),
        Command::Demo(_)
        | Command::Start(_)
        | Command::Sql(_)
        | Command::Trace(_)
        | Command::Workload(_) => {}
    }
    live::stop_on_panic();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&anyhow::Error::new(error).context("start the runtime")),
    };
    let long = match live::long_lane() {
        Ok(long) => long,
        Err(error) => return refuse(&anyhow::Error::new(error).context("start the long lane")),
    };
    let lanes = frontend::Lanes::with(long.handle().clone());
    let ending = finished(runtime.block_on(run(arguments.command, traces, lanes)));
    // Tasks let go of the engines: none may be open when the process takes itself apart. A thread
    // that waits for somebody to type must not keep the program.
    long.shutdown_timeout(SHUTDOWN);
    runtime.shutdown_timeout(SHUTDOWN);
    ending
}

/// How long the end of the process waits for its threads.
const SHUTDOWN: Duration = Duration::from_secs(1);

fn finished(ending: anyhow::Result<Ending>) -> ExitCode {
    match ending {
        Ok(Ending::Clean) => ExitCode::SUCCESS,
        Ok(Ending::Failed) => ExitCode::from(1),
        Ok(Ending::Undecided) => ExitCode::from(3),
        Err(error) => refuse(&error),
    }
}

/// Options that make no sense: one line, where clap would print several. Help that was asked for
/// is printed whole.
fn misused(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        | ErrorKind::DisplayVersion => error.exit(),
        _ => {
            eprintln!("meridian: {}", one_line(&error.to_string()));
            ExitCode::from(2)
        }
    }
}

/// Clap's complaint without its usage: the paragraphs of what is wrong and what was meant.
fn one_line(complaint: &str) -> String {
    let complaint = complaint.strip_prefix("error: ").unwrap_or(complaint);
    let told = complaint
        .split("\n\n")
        .map(str::trim)
        .filter(|part| !part.starts_with("Usage:") && !part.starts_with("For more information"))
        .map(|part| part.lines().map(str::trim).collect::<Vec<_>>().join(" "));
    told.collect::<Vec<_>>().join("; ") + " (--help lists the options)"
}

fn refuse(error: &anyhow::Error) -> ExitCode {
    eprintln!("meridian: {error:#}");
    ExitCode::from(2)
}

async fn run(
    command: Command,
    traces: trace::Collector,
    lanes: frontend::Lanes,
) -> anyhow::Result<Ending> {
    match command {
        Command::Demo(options) => demo::run(options, traces, lanes).await,
        Command::Start(options) => start::run(*options, traces, lanes).await,
        Command::Sql(options) => sql(options).await,
        Command::Trace(options) => trace_command::run(options).await,
        Command::Workload(command) => match workload::run(command).await? {
            true => Ok(Ending::Clean),
            false => Ok(Ending::Failed),
        },
        Command::Sim(_) | Command::Experiment(_) | Command::Check(_) => {
            unreachable!("they run without a runtime")
        }
    }
}

async fn sql(options: SqlOptions) -> anyhow::Result<Ending> {
    let SqlOptions { url, execute, format } = options;
    let format = format.map(Into::into);
    match sql_shell::run(sql_shell::Options {
        url,
        execute,
        format,
        tools: Some(Box::<tools::Workbench>::default()),
    })
    .await?
    {
        sql_shell::Ending::Clean => Ok(Ending::Clean),
        sql_shell::Ending::Failed => Ok(Ending::Failed),
        sql_shell::Ending::Undecided => Ok(Ending::Undecided),
    }
}

#[cfg(test)]
mod tests;
