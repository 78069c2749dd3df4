//! `cargo xtask peers`: the same work on Meridian and on its peers, in turn, in one run.
//!
//! | peer | as | asked for |
//! |---|---|---|
//! | etcd | three members | single keys, durable at a majority |
//! | PostgreSQL 15 | a primary and a synchronous standby | `pgbench` |
//! | MariaDB | three nodes with Galera | sysbench |
//!
//! All systems are up during the whole run, on this machine and its disk, and one of them is at work
//! at a time: a piece of work on Meridian and at once the same on its peer, next time the other way
//! round. So what else the machine does falls on both, and what is told is the median of their
//! ratios. Every process is ended by its id, also when something fails.

mod load;
mod profile;
mod servers;
mod systems;
mod table;
mod tools;
mod work;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use tokio::signal::{
    ctrl_c,
    unix::{SignalKind, signal},
};

use systems::{Kind, Systems};
use table::{Row, Table};
use work::{Outcome, ROWS, Work};

/// Meridian beside its peers: the table of ratios.
#[derive(Debug, Parser)]
struct Options {
    /// The program that is measured.
    #[arg(long)]
    meridian: PathBuf,
    /// Where all data goes: on a disk whose fsync is one. Made anew if a former run made it.
    #[arg(long)]
    folder: PathBuf,
    /// How often each work is done on each side.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Seconds of each, after a second that does not count.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Only work with this in its name or its peer's; repeat it for more.
    #[arg(long)]
    only: Vec<String>,
    /// Write the table and the profile between the marks in this file.
    #[arg(long)]
    write: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let work = async {
        tokio::select! {
            biased;
            done = run(&options) => done,
            stopped = asked_to_stop() => stopped.and_then(|()| bail!("asked to stop")),
        }
    };
    match runtime.block_on(work) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns once somebody asks for it: the servers are to be ended, too.
async fn asked_to_stop() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        biased;
        interrupted = ctrl_c() => Ok(interrupted?),
        _ = terminate.recv() => Ok(()),
    }
}

async fn run(options: &Options) -> Result<()> {
    let asked = |work: &Work| {
        let told = work.told();
        options.only.is_empty() || options.only.iter().any(|only| told.contains(only.as_str()))
    };
    let rows: Vec<&Work> = ROWS.iter().filter(|work| asked(work)).collect();
    ensure!(!rows.is_empty(), "no work is called so: {}", options.only.join(", "));
    let systems = Systems::start(options, &rows).await?;
    for work in &rows {
        for side in [Kind::Meridian, work.peer] {
            let prepared = work.prepare(systems.get(side)).await;
            prepared.with_context(|| format!("{} is prepared for {}", side.name(), work.name))?;
        }
    }
    let time = Duration::from_secs(options.seconds);
    let mut table = Table::new(rows.iter().map(|work| Row::new(work)).collect());
    for round in 0..options.rounds {
        for (at, work) in rows.iter().enumerate() {
            let mut sides = [Kind::Meridian, work.peer];
            if round % 2 == 1 {
                sides.reverse();
            }
            for side in sides {
                let outcome = measure(work, &systems, side, time).await?;
                eprintln!("{}, {}: {outcome}", work.name, side.name());
                table.add(at, side, outcome);
            }
        }
    }
    let profile = match rows.iter().find(|work| work.is_profiled()) {
        Some(work) => Some(profile::of(work, systems.get(Kind::Meridian)).await?),
        None => None,
    };
    let told = format!("{}{}", table.told(options), profile.unwrap_or_default());
    println!("{told}");
    if let Some(file) = &options.write {
        table::write_between_marks(file, &told)?;
    }
    Ok(())
}

async fn measure(work: &Work, systems: &Systems, side: Kind, time: Duration) -> Result<Outcome> {
    let outcome = work.run(systems.get(side), time).await;
    outcome.with_context(|| format!("{} on {}", work.name, side.name()))
}
