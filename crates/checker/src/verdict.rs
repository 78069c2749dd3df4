//! Verdicts: what a checker found, with witnesses a person can follow.

use std::collections::BTreeMap;

use crate::{Kind, Model, Nanos, Order, Outcome, Skipped, TimeUnit, Timestamps};

/// Whether a history is one that the model allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Everything was judged and nothing forbidden was found.
    Yes,
    /// Something forbidden was found.
    No,
    /// Nothing forbidden was found, but something could not be judged; the notes say what.
    Undecided,
}

/// The judgement of a history.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The model it was held against.
    pub model: Model,
    /// The answer.
    pub valid: Validity,
    /// The other model whose judgement decided, where this one alone could not be judged.
    pub decided_by: Option<Model>,
    /// What was found, forbidden ones first and then the plainest, at most [`MAX_WITNESSES`] of a
    /// kind.
    pub anomalies: Vec<Anomaly>,
    /// How many of each name were found, whether they are among the anomalies or not.
    pub found: BTreeMap<String, usize>,
    /// What a reader should know: what was not judged and why, what was counted but not shown.
    pub notes: Vec<String>,
    /// What of the history was passed over.
    pub skipped: Vec<Skipped>,
    /// How much was judged.
    pub stats: Stats,
    /// When the history began: times are shown from here.
    pub origin: Nanos,
    /// What the times of the history are.
    pub time_unit: TimeUnit,
}

impl Verdict {
    /// What a program exits with: 0 if the model held, 1 if not, 3 if that is undecided.
    pub fn exit_code(&self) -> u8 {
        match self.valid {
            Validity::Yes => 0,
            Validity::No => 1,
            Validity::Undecided => 3,
        }
    }

    /// What is known of a model: of those that this verdict's model implies, of those that imply it,
    /// and of those that forbid what was found.
    pub fn of(&self, model: Model) -> Option<Validity> {
        if model == self.model {
            return Some(self.valid);
        }
        let held = self.valid == Validity::Yes;
        let held_by = self.decided_by.filter(|_| held).unwrap_or(self.model);
        if held && held_by.implies(model) {
            return Some(Validity::Yes);
        }
        // What was found key by key says nothing of models that know all keys.
        let by_key = [Some(self.model), self.decided_by].contains(&Some(Model::Linearizable));
        let forbids = |anomaly: &Anomaly| model.forbids(anomaly.kind, anomaly.order);
        let broken = match by_key {
            true => self.valid == Validity::No && model.implies(Model::Linearizable),
            false => model != Model::Linearizable && self.anomalies.iter().any(forbids),
        };
        broken.then_some(Validity::No)
    }

    /// Whether something of that name was found, forbidden or not: `G-single-realtime`.
    pub fn has(&self, name: &str) -> bool {
        self.anomalies.iter().any(|anomaly| anomaly.name() == name)
    }
}

/// Of each kind of anomaly so many are kept, the plainest; all are counted.
pub const MAX_WITNESSES: usize = 4;

/// So many anomalies are shown at once; a page folds the others away, a text counts them.
pub const SHOWN_WITNESSES: usize = 3;

/// Something that went wrong.
#[derive(Clone, Debug)]
pub struct Anomaly {
    /// What.
    pub kind: Kind,
    /// Which orders it needs.
    pub order: Order,
    /// Whether the model forbids it. Others are shown for information.
    pub forbidden: bool,
    /// What happened, in a sentence or two that name the transactions of the witness.
    pub explanation: String,
    /// The operations concerned, and how they depend on each other.
    pub witness: Witness,
}

impl Validity {
    /// As reports say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Yes => "holds",
            Self::No => "violated",
            Self::Undecided => "undecided",
        }
    }
}

impl Anomaly {
    /// How much a reader has to take in: transactions, then steps.
    pub(crate) fn size(&self) -> (usize, usize) {
        let ops = &self.witness.ops;
        (ops.len(), ops.iter().map(|op| op.steps).sum())
    }

    /// Its name: `G-single-realtime`.
    pub fn name(&self) -> String {
        self.order.mark(self.kind)
    }
}

/// The smallest part of a history that shows an anomaly.
#[derive(Clone, Debug, Default)]
pub struct Witness {
    /// The operations: `T1` is the first of them.
    pub ops: Vec<WitnessOp>,
    /// Why one must come before the other. For a cycle: one edge per operation, in order.
    pub edges: Vec<WitnessEdge>,
    /// The keys concerned.
    pub keys: Vec<String>,
}

/// An operation of a witness.
#[derive(Clone, Debug)]
pub struct WitnessOp {
    /// [`crate::Operation::index`].
    pub index: u64,
    /// The process that did it, by name.
    pub process: String,
    /// [`crate::Operation::invoked`].
    pub invoked: Nanos,
    /// [`crate::Operation::completed`].
    pub completed: Option<Nanos>,
    /// [`crate::Operation::outcome`].
    pub outcome: Outcome,
    /// [`crate::Operation::timestamps`].
    pub timestamps: Timestamps,
    /// What it did to the keys concerned: `read x: [1 2]; append 3 to x`.
    pub text: String,
    /// How many steps on these keys it had.
    pub steps: usize,
    /// [`crate::Operation::note`].
    pub note: Option<String>,
}

/// Why an operation must come before another.
#[derive(Clone, Debug)]
pub struct WitnessEdge {
    /// Position of the earlier one in [`Witness::ops`].
    pub from: usize,
    /// Position of the later one.
    pub to: usize,
    /// `ww x`, `wr x`, `rw x`, `process` or `realtime`.
    pub label: String,
    /// The reason, as a sentence.
    pub because: String,
}

/// How much was judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Operations in all.
    pub operations: usize,
    /// Those that happened.
    pub ok: usize,
    /// Those that did not.
    pub fail: usize,
    /// Those of which nobody knows.
    pub unknown: usize,
    /// Unknown ones whose effects somebody saw: they did happen.
    pub unknown_seen: usize,
    /// Keys.
    pub keys: usize,
    /// Dependencies between transactions that were inferred.
    pub dependencies: usize,
    /// Reads that were compared with the newest version at their timestamp.
    pub timestamped_reads: usize,
    /// Reads of a bank's total.
    pub totals: usize,
    /// Registers judged for linearizability.
    pub registers: usize,
}
