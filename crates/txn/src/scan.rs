//! What is read and what comes back.

use bytes::Bytes;
use keys::{Key, Span};

/// One span to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The keys.
    pub span: Span,
    /// From the upper end downwards.
    pub reverse: bool,
    /// At most that many rows (after the program's filter). `None`: all.
    pub limit: Option<u64>,
    /// A program to run beside the data. Not possible where the transaction's own writes overlap
    /// the span ([`crate::Txn::overlaps`]).
    pub program: Option<Bytes>,
}

impl Scan {
    /// All rows of a span, in order.
    #[must_use]
    pub fn all(span: Span) -> Scan {
        Scan { span, reverse: false, limit: None, program: None }
    }

    /// One row.
    #[must_use]
    pub fn point(key: Key) -> Scan {
        Scan::all(Span::point(key))
    }
}

/// The rows of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanRows {
    /// Keys and values in the scan's direction. With a program: its output, the key being that of
    /// the row, or empty for partial aggregates.
    pub rows: Vec<(Key, Bytes)>,
    /// What was left unread because the limit was reached; scan it in the same transaction for
    /// more.
    pub resume: Option<Span>,
}

/// What the reads of a transaction cost so far; for `EXPLAIN ANALYZE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadStats {
    /// Requests sent to ranges, retries included.
    pub requests: u64,
    /// Rows received.
    pub rows: u64,
    /// Bytes received (keys and values).
    pub bytes: u64,
    /// The longest a replica waited for each request (locks, safe time), summed up.
    pub waited_nanos: u64,
}
