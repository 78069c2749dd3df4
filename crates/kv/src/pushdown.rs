//! Programs that run beside the data: filter, projection, limit and partial aggregation. A range
//! runs them through these traits and knows nothing of SQL.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Opens programs. One per node, handed to its replicas.
pub trait PushdownFactory: Send + Sync + fmt::Debug + 'static {
    /// Makes a program ready to see rows.
    fn open(&self, program: &[u8]) -> Result<Box<dyn Pushdown>, PushdownError>;
}

/// A running program. Sees the rows of one request in order, span after span.
pub trait Pushdown: Send {
    /// One row.
    fn row(&mut self, key: &[u8], value: &[u8]) -> Result<PushStep, PushdownError>;

    /// What is left to tell after the last row of the request: partial aggregates. Called once per
    /// request; a request that stops at a limit and is resumed gets partial aggregates twice, to be
    /// merged.
    fn finish(&mut self) -> Result<Vec<Bytes>, PushdownError>;

    /// About how many nanoseconds it has computed so far, by what it did: a count, no measurement. A
    /// range stops when that is enough for one answer, and is asked for the rest.
    fn work(&self) -> usize;
}

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushStep {
    /// Send this in its place.
    Emit(Bytes),
    /// Nothing to send.
    Skip,
    /// Send this in its place, and look at no further row: the program's own limit is reached.
    EmitAndStop(Bytes),
    /// Look at no further row.
    Stop,
}

/// A program's failure: the encoded error of the layer that wrote the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushdownError {
    /// For people.
    pub message: String,
    /// The error as that layer encodes it; may be empty.
    pub encoded: Bytes,
}

impl fmt::Display for PushdownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for PushdownError {}
