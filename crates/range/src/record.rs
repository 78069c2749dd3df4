//! Transaction records: the one place where an outcome lives (X7).
//!
//! A record lies under the transaction's anchor key ([`storage::records`]), in whichever range owns
//! that key. It is written once, by the first of decision and poison in the log, and never changed;
//! one-group commits leave one too, so that a repeated commit finds out that it happened (X8).

use clock::Timestamp;
use keys::{Key, Span, TxnId};
use kv::Conflict;
use serde::{Deserialize, Serialize};
use storage::{Cf, EngineError, Reader, WriteBatch, records, sealed};

/// What a transaction record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Start of the attempt; the record is kept until `start + L` is past (X7a).
    pub start: Timestamp,
    /// The outcome, for ever.
    pub verdict: Verdict,
}

/// A decided outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Committed.
    Committed {
        /// The commit timestamp s.
        at: Timestamp,
        /// What it touched in each participant besides the anchor's range: who has to acknowledge that
        /// nothing is left (X7b). Empty: a one-group transaction.
        participants: Vec<Span>,
    },
    /// Aborted, and why.
    Aborted(Conflict),
}

impl Record {
    /// The record of a transaction; `None` if there is none.
    ///
    /// # Errors
    /// If the disk fails, or the record contradicts its checksum (S3).
    pub fn read(
        reader: &dyn Reader,
        anchor: &Key,
        txn: TxnId,
    ) -> Result<Option<Record>, EngineError> {
        let key = records::key(anchor, txn);
        reader.get(Cf::Records, &key)?.map(|stored| Record::parse(&key, &stored)).transpose()
    }

    /// Reads a stored record.
    ///
    /// # Errors
    /// If it contradicts its checksum (S3).
    pub fn parse(key: &[u8], stored: &[u8]) -> Result<Record, EngineError> {
        let body = sealed::open(Cf::Records, key, stored)?;
        postcard::from_bytes(body)
            .map_err(|error| sealed::corrupted(Cf::Records, key, error.to_string()))
    }

    /// Writes the record.
    pub fn write(&self, batch: &mut WriteBatch, anchor: &Key, txn: TxnId) {
        let key = records::key(anchor, txn);
        let body = postcard::to_stdvec(self).expect("a record can always be serialized");
        let stored = sealed::seal(Cf::Records, &key, &[&body]);
        batch.put(Cf::Records, key, stored);
    }

    /// Removes the record of a transaction.
    pub fn delete(batch: &mut WriteBatch, anchor: &Key, txn: TxnId) {
        batch.delete(Cf::Records, records::key(anchor, txn));
    }
}
