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

pub use findings::{Findings, prepare};
pub use lab::{Answered, Client, Lab, SYNC, Served, Setup, TICK};

use std::{
    fmt::{self, Write as _},
    time::Duration,
};

use clock::{WIDEST_TOLERATED_EPSILON, format_duration};
use node::Work;
use sim_regions::{ClusterError, ConfigError, Topology};

/// An experiment that is ready to run.
#[derive(Clone, Copy)]
pub struct Experiment {
    /// Its name on the command line.
    pub name: &'static str,
    /// The question, in a line.
    pub about: &'static str,
    /// What of it may be chosen, besides the seed.
    pub choices: &'static [Choice],
    answer: fn(&Options) -> Result<Findings, ExperimentError>,
}

/// What an experiment may leave to whoever runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Values of ε.
    Epsilons,
    /// Topologies.
    Topologies,
    /// The price of a node's work on a message.
    Work,
}

impl Experiment {
    /// Answers the question.
    ///
    /// # Errors
    /// If a choice is not this experiment's to give or makes no sense, or a cluster does not start.
    pub fn run(&self, options: &Options) -> Result<Findings, ExperimentError> {
        let given = [
            (Choice::Epsilons, !options.epsilons.is_empty()),
            (Choice::Topologies, !options.topologies.is_empty()),
            (Choice::Work, options.work.is_some()),
        ];
        for (choice, _) in given.into_iter().filter(|(_, given)| *given) {
            if !self.choices.contains(&choice) {
                return Err(ExperimentError::NoChoice { experiment: self.name, choice });
            }
        }
        let most = WIDEST_TOLERATED_EPSILON;
        if let Some(epsilon) = options.epsilons.iter().find(|epsilon| **epsilon > most) {
            return Err(ExperimentError::TooUncertain(*epsilon));
        }
        (self.answer)(options)
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Choice::Epsilons => "--epsilon",
            Choice::Topologies => "--topology",
            Choice::Work => "--work",
        })
    }
}

/// All experiments.
pub const EXPERIMENTS: &[Experiment] = &[
    Experiment {
        name: "commit-wait",
        about: "what ε costs a commit: the wait, the part that replication hides, and the rest",
        choices: &[Choice::Epsilons, Choice::Topologies, Choice::Work],
        answer: commit_wait::run,
    },
    Experiment {
        name: "paper-table3",
        about: "Spanner's table 3: latency of writes and reads by the number of replicas",
        choices: &[Choice::Work],
        answer: paper::table3::run,
    },
    Experiment {
        name: "paper-table4",
        about: "Spanner's table 4: two-phase commit with 1 to 200 participants",
        choices: &[Choice::Work],
        answer: paper::table4::run,
    },
    Experiment {
        name: "paper-figure5",
        about: "Spanner's figure 5: throughput when servers of a zone are killed",
        choices: &[Choice::Work],
        answer: paper::figure5::run,
    },
    Experiment {
        name: "paper-figure6",
        about: "Spanner's figure 6: how ε is distributed over time",
        choices: &[],
        answer: paper::figure6::run,
    },
    Experiment {
        name: "staleness-ladder",
        about: "one SELECT, strong and ever older, from every region",
        choices: &[Choice::Topologies, Choice::Work],
        answer: staleness::run,
    },
    Experiment {
        name: "isolation-lab",
        about: "one script under four promises, and the anomalies that each lets through",
        choices: &[],
        answer: isolation::run,
    },
    Experiment {
        name: "contention",
        about: "optimistic transactions against FOR UPDATE, by skew",
        choices: &[Choice::Epsilons, Choice::Topologies, Choice::Work],
        answer: contention::run,
    },
    Experiment {
        name: "placement",
        about: "latency by the regions of leader and client, predicted and measured",
        choices: &[Choice::Topologies, Choice::Work],
        answer: placement::run,
    },
    Experiment {
        name: "clock-models",
        about: "what the clocks of the field cost a commit",
        choices: &[Choice::Topologies, Choice::Work],
        answer: clock_models::run,
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
    /// What a node's work on a message takes; `None`: what the experiment says, mostly no time.
    pub work: Option<Duration>,
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
    /// The experiment sets this itself.
    #[error("{experiment} leaves no choice of {choice}")]
    NoChoice {
        /// Its name.
        experiment: &'static str,
        /// What was to be chosen.
        choice: Choice,
    },
    /// Nodes refuse each other's timestamps (T2).
    #[error(
        "an ε of {} is beyond the {} that nodes tolerate",
        format_duration(*.0),
        format_duration(WIDEST_TOLERATED_EPSILON)
    )]
    TooUncertain(Duration),
    /// One value is taken at a time.
    #[error("{experiment} takes one {choice} at a time")]
    OneAtATime {
        /// Its name.
        experiment: &'static str,
        /// Of what there were several.
        choice: Choice,
    },
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

    /// The price of work, `usual` unless it was chosen.
    fn work(&self, usual: Duration) -> Work {
        Work { message: self.work.unwrap_or(usual) }
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
        if let Some(work) = self.work {
            write!(command, " --work {}", format_duration(work)).expect("strings take everything");
        }
        command
    }
}
