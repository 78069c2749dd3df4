//! A checksum of what is visible, to compare replicas.

use std::ops::ControlFlow;

use clock::Timestamp;
use keys::Span;
use serde::{Deserialize, Serialize};

use super::read::{Row, ScanOptions, scan};
use crate::{EngineError, Reader};

/// Rows and their checksum. Equal on two replicas that applied the same; independent of versions
/// that are not visible, so of how far GC got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    /// Number of rows.
    pub rows: u64,
    /// CRC-32C over key, timestamp and value of every row, in key order.
    pub crc: u32,
}

/// The checksum of the rows of `span` visible at `at`. Reads the whole span: take a snapshot and do
/// it beside the range's work.
///
/// # Errors
/// If the disk fails or a version contradicts its checksum (S3).
pub fn checksum(reader: &dyn Reader, span: &Span, at: Timestamp) -> Result<Checksum, EngineError> {
    let mut sum = Checksum::default();
    let left = sum.go_on(reader, span, &ScanOptions::all(at))?;
    assert!(left.is_none(), "a scan without limits ends at the end: {left:?}");
    Ok(sum)
}

impl Checksum {
    /// Adds the rows of a span, as far as the limits reach; what is left of it then.
    ///
    /// # Errors
    /// If the disk fails or a version contradicts its checksum (S3).
    pub fn go_on(
        &mut self,
        reader: &dyn Reader,
        span: &Span,
        options: &ScanOptions,
    ) -> Result<Option<Span>, EngineError> {
        scan(reader, span, options, &mut |row| {
            self.add(row);
            ControlFlow::Continue(())
        })
    }

    fn add(&mut self, row: Row<'_>) {
        self.rows += 1;
        for part in [
            &(row.key.len() as u64).to_le_bytes()[..],
            row.key,
            &row.ts.to_bytes(),
            &(row.value.len() as u64).to_le_bytes(),
            row.value,
        ] {
            self.crc = crc32c::crc32c_append(self.crc, part);
        }
    }
}
