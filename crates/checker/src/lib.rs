//! Consistency checkers for the histories of any database.
//!
//! What did clients ask for, when, and what did they hear? From that alone this crate says whether
//! a database kept its promise. It knows nothing of any database: no protocol, no storage, no
//! clock.
//!
//! ```text
//!  file --load--> History --check(model)--> Verdict --render--> text, drawing, page
//!                    |                         ^
//!                    |   index, infer          |
//!                    +-> dependency graph --> cycles          black box
//!                    +-> newest version <= timestamp?         white box, with timestamps
//!                    +-> some order of the calls?             single registers
//!                    +-> invariants of workloads              bank, counters, comments, bounds
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`history`], [`value`] | operations with process, times, outcome, reads and writes |
//! | [`format`](mod@format) | files: JSON lines, and Jepsen's events in EDN or JSON |
//! | [`model`] | what each consistency model forbids; anomalies by name |
//! | [`index`], [`infer`], [`order`] | from reads and writes to what must come before what |
//! | [`graph`], [`cycles`], [`explain`] | cycles: which, how short, why |
//! | [`timestamps`] | the database's own timestamps against what was read |
//! | [`linear`] | linearizability of registers whose values repeat |
//! | [`workloads`] | totals, counters, later without earlier, bounds of staleness |
//! | [`report`], [`verdict`], [`render`] | what was found, with witnesses, for people |
//!
//! # What a verdict means
//!
//! 1. **No false alarms.** Whatever is reported follows from what clients saw and from the model
//!    being judged. Operations of unknown outcome may have happened or not; nothing follows from
//!    their end, and nothing from them at all until somebody saw an effect.
//! 2. **Nothing missed, where that can be promised**: for lists and sets whose values are never
//!    repeated under serializability and strict serializability, for single registers under
//!    linearizability, for timestamps. Registers in transactions over several keys hide versions,
//!    so there "holds" means: nothing that can be concluded contradicts it.
//! 3. **Undecided is said, never guessed**, and the notes say of what and why.
//!
//! HAZARD: real time is what the history says it is. If the clients' clocks disagree, an order of
//! real time is concluded that never was: record histories with one clock.
//!
//! Anomalies are named after Adya (*Weak Consistency*, 1999) and Elle (VLDB 2020); the rule for
//! snapshot isolation is that of Cerone and Gotsman (PODC 2016).

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

pub use format::{Format, LoadError, Reading, UnknownFormat, load, load_as, to_edn, to_json_lines};
pub use history::{
    Action, Call, History, Initial, MicroOp, Nanos, Operation, Outcome, Skipped, Stamp, TimeUnit,
    Timestamps, Workload, World,
};
pub use model::{Kind, Model, Order, UnknownModel};
pub use render::SCHEMA;
pub use value::Value;
pub use verdict::{
    Anomaly, MAX_WITNESSES, SHOWN_WITNESSES, Stats, Validity, Verdict, Witness, WitnessEdge,
    WitnessOp,
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
