//! What the log of a range says.
//!
//! A command is applied by every replica, at its own time, from the same bytes and the same state:
//! its effect depends on nothing else, above all on no clock. So whatever needs one is decided by
//! the leader before it proposes, and every timestamp is in the command (R1, R1a).

use bytes::Bytes;
use clock::Timestamp;
use keys::{Key, RangeId, Span, TxnId};
use kv::{Conflict, Resolution, TxnMeta, Write};
use serde::{Deserialize, Serialize};

/// An entry of a range's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Lay intents: a participant of a transaction over several ranges is prepared.
    Prepare {
        /// The transaction.
        txn: TxnMeta,
        /// Its prepare timestamp p here (R1).
        prepare: Timestamp,
        /// What it will write.
        writes: Vec<Write>,
    },
    /// Decide: write the record and the anchor range's own versions, unless the record was there
    /// already (X7): then nothing happens, and what the record says counts.
    Commit {
        /// The transaction.
        txn: TxnMeta,
        /// Its commit timestamp s (T3).
        at: Timestamp,
        /// What it writes in this range.
        writes: Vec<Write>,
        /// One key per other participant.
        participants: Vec<Span>,
    },
    /// Abort a transaction for ever, unless its record was there already (X7, X8).
    Poison {
        /// The transaction.
        txn: TxnMeta,
        /// What its gateway is told.
        why: Conflict,
    },
    /// Turn intents into versions, or remove them.
    Resolve {
        /// The transaction.
        txn: TxnId,
        /// What its record says.
        outcome: Resolution,
        /// The keys of its intents.
        keys: Vec<Key>,
    },
    /// Give the keys from `at` on to a new range.
    Split {
        /// The child's first key.
        at: Key,
        /// The child's id.
        child: RangeId,
    },
    /// From now on no read or validation below the threshold (S4).
    Gc {
        /// The new threshold; above the old one.
        threshold: Timestamp,
    },
    /// Delete transaction records (X7a).
    Forget {
        /// Anchor and id of each.
        records: Vec<(Key, TxnId)>,
    },
}

impl Command {
    /// The bytes that go into the log.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        postcard::to_stdvec(self).expect("a command has nothing that cannot be serialized").into()
    }

    /// The command of a log entry.
    ///
    /// # Errors
    /// If the bytes are none: the log is damaged or from another version.
    pub fn decode(bytes: &[u8]) -> Result<Command, postcard::Error> {
        postcard::from_bytes(bytes)
    }

    /// The transaction it is part of.
    #[must_use]
    pub fn txn(&self) -> Option<TxnId> {
        match self {
            Command::Prepare { txn, .. }
            | Command::Commit { txn, .. }
            | Command::Poison { txn, .. } => Some(txn.id),
            Command::Resolve { txn, .. } => Some(*txn),
            Command::Split { .. } | Command::Gc { .. } | Command::Forget { .. } => None,
        }
    }

    /// The timestamp it names, for "above every timestamp in its log, resolutions included" (R1).
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        match self {
            Command::Prepare { prepare, .. } => *prepare,
            Command::Commit { at, .. } => *at,
            Command::Resolve { outcome: Resolution::Commit(at), .. } => *at,
            Command::Resolve { outcome: Resolution::Abort, .. }
            | Command::Poison { .. }
            | Command::Split { .. }
            | Command::Gc { .. }
            | Command::Forget { .. } => Timestamp::ZERO,
        }
    }
}
