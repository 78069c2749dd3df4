//! `meridian experiment`: questions to the database whose answers are figures.

use std::{path::PathBuf, time::Duration};

use ::experiment::{self as experiments, EXPERIMENTS};
use anyhow::Context;

use crate::{Ending, demo::parse_duration, out::print};

/// `meridian experiment`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List all experiments.
    List,
    /// Run an experiment, or several one after the other.
    Run(Options),
}

/// `meridian experiment run`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Which; `all` for all.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Everything random is drawn from this.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Values of ε, where the experiment leaves a choice: 0,100us,4ms.
    #[arg(long, value_delimiter = ',', value_parser = parse_duration)]
    epsilon: Vec<Duration>,
    /// Topologies, where the experiment leaves a choice.
    #[arg(long, value_delimiter = ',', value_name = "NAME|FILE")]
    topology: Vec<String>,
    /// What a node's work on each message takes, where the experiment leaves a choice: 50us. Messages
    /// wait for each other.
    #[arg(long, value_parser = parse_duration)]
    work: Option<Duration>,
    /// Write a page and CSV files into this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Runs the command. What an experiment expects and does not find makes it fail.
pub fn run(command: &Command) -> anyhow::Result<Ending> {
    match command {
        Command::List => {
            let mut text = String::new();
            for experiment in EXPERIMENTS {
                text += &format!("{:<18} {}\n", experiment.name, experiment.about);
                let choices = experiment.choices.iter().map(ToString::to_string);
                let choices: Vec<String> = choices.collect();
                if !choices.is_empty() {
                    text += &format!("{:<18} {}\n", "", choices.join(" "));
                }
            }
            print(&text)?;
            Ok(Ending::Clean)
        }
        Command::Run(options) => run_all(options),
    }
}

fn run_all(options: &Options) -> anyhow::Result<Ending> {
    let find = |name: &String| {
        let found = EXPERIMENTS.iter().find(|experiment| experiment.name == name);
        found.with_context(|| {
            format!("there is no experiment \"{name}\"; `meridian experiment list` lists them")
        })
    };
    let chosen = match options.names.as_slice() {
        [all] if all == "all" => EXPERIMENTS.iter().collect(),
        names => names.iter().map(find).collect::<Result<Vec<_>, _>>()?,
    };
    let settings = experiments::Options {
        seed: options.seed,
        topologies: options.topology.clone(),
        epsilons: options.epsilon.clone(),
        work: options.work,
    };
    if let Some(folder) = &options.out {
        let taken = experiments::prepare(folder);
        taken.with_context(|| format!("cannot write to {}", folder.display()))?;
    }
    let mut ending = Ending::Clean;
    for experiment in chosen {
        let findings = experiment.run(&settings)?;
        print(&format!("{}\n", findings.text()))?;
        if let Some(folder) = &options.out {
            let page = findings.write(folder);
            let page = page.with_context(|| format!("cannot write to {}", folder.display()))?;
            print(&format!("{}\n", page.display()))?;
        }
        for wrong in findings.wrong() {
            eprintln!("{}: expected otherwise: {wrong}", experiment.name);
            ending = Ending::Failed;
        }
    }
    Ok(ending)
}
