//! Consistency checkers for the histories of any database.

mod cycles;
mod explain;
mod format;
mod graph;
mod history;
mod index;
mod infer;
mod linear;
mod model;
#[cfg(test)]
mod naive;
mod order;
mod render;
mod report;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod timestamps;
mod value;
mod verdict;
mod workloads;

pub use format::{Format, LoadError, UnknownFormat, load, to_edn, to_json_lines};
pub use history::{
    Action, Call, History, MicroOp, Nanos, Operation, Outcome, Stamp, TimeUnit, Timestamps,
    Workload, World,
};
pub use model::{Kind, Model, Order, UnknownModel};
pub use value::Value;
pub use verdict::{
    Anomaly, MAX_WITNESSES, Stats, Validity, Verdict, Witness, WitnessEdge, WitnessOp,
};

/// What to judge, and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Whether to judge the database's timestamps too.
    pub timestamps: bool,
    /// What all accounts of a bank hold together. `None`: what the first read says.
    pub bank_total: Option<i64>,
    /// Whether accounts may be overdrawn.
    pub overdraft: Overdraft,
}

/// Whether a bank's accounts may be overdrawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overdraft {
    /// A negative balance is an anomaly.
    #[default]
    Forbidden,
    /// Balances may be negative.
    Allowed,
}

/// Holds a history against a model.
pub fn check(history: &History, model: Model, options: Options) -> Verdict {
    judge::check(history, model, options)
}
mod judge;
