//! Experiments: questions to the database whose answers are figures.
//!
//! ```text
//!   Options ──► an experiment ──► Setup ──► Lab: a cluster in virtual time ──► samples
//!                    │                                                           │
//!                    └────────────► Findings: terminal, page, CSV ◄──────────────┘
//! ```
//!
//! Every figure is measured in a [`lab`]: the very nodes that `meridian start` runs, in virtual time
//! with a tick of 10 microseconds, where nothing takes time but what the set-up says does. One seed
//! gives one set of figures, on every machine.
//!
//! An experiment is a module with a function from [`Options`] to [`Findings`], and a line in
//! [`EXPERIMENTS`]. It says what it expects ([`Findings::expect`]); what does not hold ends
//! `meridian experiment` with an error.

mod clock_models;
mod commit_wait;
mod contention;
mod findings;
mod isolation;
mod lab;
mod paper;
mod placement;
mod staleness;

pub use findings::Findings;
pub use lab::{Answered, Client, Lab, SYNC, Setup, TICK};

use std::{fmt::Write as _, time::Duration};

use clock::format_duration;
use sim_regions::{ClusterError, ConfigError, Topology};

/// An experiment that is ready to run.
#[derive(Clone, Copy)]
pub struct Experiment {
    /// Its name on the command line.
    pub name: &'static str,
    /// The question, in a line.
    pub about: &'static str,
    /// Answers it.
    pub run: fn(&Options) -> Result<Findings, ExperimentError>,
}

/// All experiments.
pub const EXPERIMENTS: &[Experiment] = &[
    Experiment {
        name: "commit-wait",
        about: "what ε costs a commit: the wait, the part that replication hides, and the rest",
        run: commit_wait::run,
    },
    Experiment {
        name: "paper-table3",
        about: "Spanner's table 3: latency of writes and reads by the number of replicas",
        run: paper::table3::run,
    },
    Experiment {
        name: "paper-table4",
        about: "Spanner's table 4: two-phase commit with 1 to 200 participants",
        run: paper::table4::run,
    },
    Experiment {
        name: "paper-figure5",
        about: "Spanner's figure 5: throughput when servers of a zone are killed",
        run: paper::figure5::run,
    },
    Experiment {
        name: "paper-figure6",
        about: "Spanner's figure 6: how ε is distributed over time",
        run: paper::figure6::run,
    },
    Experiment {
        name: "staleness-ladder",
        about: "one SELECT, strong and ever older, from every region",
        run: staleness::run,
    },
    Experiment {
        name: "isolation-lab",
        about: "one script under four promises, and the anomalies that each lets through",
        run: isolation::run,
    },
    Experiment {
        name: "contention",
        about: "optimistic transactions against FOR UPDATE, by skew",
        run: contention::run,
    },
    Experiment {
        name: "placement",
        about: "latency by the regions of leader and client, predicted and measured",
        run: placement::run,
    },
    Experiment {
        name: "clock-models",
        about: "what the clocks of the field cost a commit",
        run: clock_models::run,
    },
];

/// What may be chosen.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Everything random is drawn from this.
    pub seed: u64,
    /// Topologies by name; empty: those of the experiment.
    pub topologies: Vec<String>,
    /// Values of ε; empty: those of the experiment.
    pub epsilons: Vec<Duration>,
}

/// Why there are no findings.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentError {
    /// No such topology.
    #[error(transparent)]
    Topology(#[from] ConfigError),
    /// The cluster did not start.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

impl Options {
    fn topologies(&self, usual: &[&str]) -> Result<Vec<Topology>, ConfigError> {
        if self.topologies.is_empty() {
            return usual.iter().map(|name| Topology::load(name)).collect();
        }
        self.topologies.iter().map(|name| Topology::load(name)).collect()
    }

    fn epsilons_ms(&self, usual: &[f64]) -> Vec<Duration> {
        if self.epsilons.is_empty() {
            return usual.iter().map(|ms| Duration::from_secs_f64(ms / 1e3)).collect();
        }
        self.epsilons.clone()
    }

    /// The command that runs an experiment with these options.
    fn command(&self, name: &str) -> String {
        let mut command = format!("meridian experiment run {name} --seed {}", self.seed);
        if !self.epsilons.is_empty() {
            let all: Vec<String> = self.epsilons.iter().copied().map(format_duration).collect();
            write!(command, " --epsilon {}", all.join(",")).expect("strings take everything");
        }
        if !self.topologies.is_empty() {
            let all = self.topologies.join(",");
            write!(command, " --topology {all}").expect("strings take everything");
        }
        command
    }
}
