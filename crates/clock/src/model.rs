//! What may be said of a node's clock, as command lines, topologies and settings write it: one parser
//! and one list for all of them.
//!
//! Most models are a width ε that somebody vouches for ([`Uncertainty`]); they can be simulated. Two
//! name a source on the node's own machine that measures ε, which only a node on a machine of its own
//! has.

use std::{fmt, str::FromStr, time::Duration};

use crate::{Uncertainty, UncertaintyError};

/// The models in the order in which people are told of them: how each is written, and what it is.
pub const MODELS: [(&str, &str); 7] = [
    ("kernel", "this machine's kernel tells ε, as its NTP daemon keeps it (start only)"),
    ("clockbound", "AWS ClockBound on this machine tells ε (start only)"),
    ("fixed(4ms)", "ε is constant, on your word; fixed alone with --epsilon, 4ms unless told"),
    ("spanner2012", "the sawtooth of Spanner's paper: ε from 1 ms to 7 ms"),
    ("sawtooth(1ms, 200ppm, 30s)", "a sawtooth of your own: least ε, drift, time between polls"),
    ("zero", "no uncertainty: all nodes share one clock"),
    (
        "spanner-now, aws-phc, aws-ntp, laptop-ntp, cockroach, sundial",
        "a constant ε as clocks in the field have it",
    ),
];

/// ε of `fixed` where nothing else is said.
const DEFAULT_EPSILON: Duration = Duration::from_millis(4);

/// Who says how wrong a clock may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockModel {
    /// Whoever set up the node.
    Vouched(Uncertainty),
    /// The machine's kernel.
    Kernel,
    /// AWS ClockBound.
    ClockBound,
}

/// A model that needs a machine of its own was given to nodes that have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeedsMachine(pub ClockModel);

impl fmt::Display for NeedsMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the clock model \"{}\" asks the node's own machine for its bound, and these nodes share \
             one process: meridian start alone takes it; here fixed(4ms), spanner2012 and the like do",
            self.0
        )
    }
}

impl std::error::Error for NeedsMachine {}

/// Why a text is no model of a clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelError(UncertaintyError);

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)?;
        match self.0 {
            UncertaintyError::Unknown(_) => {
                f.write_str("; or, for meridian start, kernel or clockbound")
            }
            UncertaintyError::TooWide(_) | UncertaintyError::NoPoll => Ok(()),
        }
    }
}

impl std::error::Error for ModelError {}

impl ClockModel {
    /// The model, with the ε of `--epsilon` if that was given: it goes with `fixed` alone.
    ///
    /// # Errors
    /// If ε is too wide, or the model has its own.
    pub fn with_epsilon(text: &str, epsilon: Option<Duration>) -> Result<ClockModel, String> {
        match (text.trim(), epsilon) {
            ("fixed", epsilon) => Uncertainty::fixed(epsilon.unwrap_or(DEFAULT_EPSILON))
                .map(ClockModel::Vouched)
                .map_err(|error| error.to_string()),
            (text, None) => text.parse().map_err(|error: ModelError| error.to_string()),
            (text, Some(_)) => Err(format!("--epsilon goes with --clock fixed, not with {text}")),
        }
    }

    /// The model, where it can be simulated.
    ///
    /// # Errors
    /// If it needs a machine.
    pub fn simulated(self) -> Result<Uncertainty, NeedsMachine> {
        match self {
            ClockModel::Vouched(uncertainty) => Ok(uncertainty),
            ClockModel::Kernel | ClockModel::ClockBound => Err(NeedsMachine(self)),
        }
    }
}

/// As it is written; [`ClockModel::from_str`] reads it back.
impl fmt::Display for ClockModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClockModel::Vouched(uncertainty) => uncertainty.fmt(f),
            ClockModel::Kernel => f.write_str("kernel"),
            ClockModel::ClockBound => f.write_str("clockbound"),
        }
    }
}

impl FromStr for ClockModel {
    type Err = ModelError;

    /// Reads what [`MODELS`] lists.
    fn from_str(text: &str) -> Result<ClockModel, ModelError> {
        let vouched = match text.trim() {
            "kernel" => return Ok(ClockModel::Kernel),
            "clockbound" => return Ok(ClockModel::ClockBound),
            "fixed" => Uncertainty::fixed(DEFAULT_EPSILON),
            text => text.parse(),
        };
        vouched.map(ClockModel::Vouched).map_err(ModelError)
    }
}

#[cfg(test)]
mod tests;
