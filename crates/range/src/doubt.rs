//! What ends a step, and how much ends with it.
//!
//! The disk that fails takes the node along (S3): nothing that is written there is sure any more. A
//! command that is chosen and cannot be (it does not decode, or concerns keys of others) puts one
//! range in doubt, and that replica stops: what it would apply next rests on what it could not.
//! The process, and the node's other ranges, go on.

use std::fmt;

use keys::RangeId;
use paxos::Slot;
use storage::EngineError;

/// What ended a step.
#[derive(Clone, Debug)]
pub enum StepError {
    /// The disk failed: the node stops (S3).
    Disk(EngineError),
    /// The replica contradicts its log: it alone stops, and is not driven any more.
    Doubt(Doubt),
}

/// What a replica cannot apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// The range.
    pub range: RangeId,
    /// Where in its log.
    pub slot: Slot,
    /// What is wrong with the command there, for people.
    pub cause: String,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {} of {}: {}", self.slot, self.range, self.cause)
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StepError::Disk(error) => error.fmt(f),
            StepError::Doubt(doubt) => doubt.fmt(f),
        }
    }
}

impl std::error::Error for StepError {}

impl From<EngineError> for StepError {
    fn from(error: EngineError) -> StepError {
        StepError::Disk(error)
    }
}
