//! MVCC: many versions of every key, each valid from its timestamp on.
//!
//! Pure functions over a [`Reader`]; what they change they put into a [`WriteBatch`] that the
//! caller applies together with its own state (S2). Nothing here knows of ranges, locks, clocks or
//! Paxos.
//!
//! # Versions
//!
//! A version is an entry of [`Cf::Data`]. Its key is the encoded user key ([`crate::encoding`]) and
//! the timestamp with all bits inverted, so the versions of a key are neighbours, newest first, and
//! one seek finds the newest version at or below a timestamp: it is the first entry at or behind
//! `encode(key) ++ !at`. A deletion is a version too, a tombstone.
//!
//! ```text
//!    get("b", at 7):  seek to b!7
//!                          |
//!    a!9 a!4 | b!9 b!8     v  b!5 b!2† b!1 | c!3 ...      † tombstone, !t inverted timestamp t
//!                             ^^^ the answer: the version of "b" from 5
//! ```
//!
//! Reads step over a few unwanted versions and then seek ([`STEPS_BEFORE_SEEK`]): stepping is
//! cheap, but a key may have a million versions.
//!
//! # Intents
//!
//! What a prepared transaction will write lies in [`Cf::Intents`] under the plain user key, at most
//! one per key, with all that a stranger needs to find out what became of the transaction (X9).
//! Reading versions never looks at intents: whether one blocks a read is the range's decision (R2).
//!
//! # Invariants
//!
//! 1. A version's timestamp is above [`Timestamp::ZERO`]: asserted by [`put_version`].
//! 2. An intent is committed at or above its prepare timestamp (R1): asserted by
//!    [`resolve_intent`].
//! 3. What a read answers was checked against its checksum (S3): [`crate::sealed`].
//! 4. GC changes no read at or above its threshold (S4): the property test
//!    `gc_keeps_what_is_readable`.
//!
//! # Hazards
//!
//! - A read below the GC threshold finds holes, silently: the range refuses it (S4), not this
//!   module.
//! - A tombstone that GC removed no longer proves that its key changed. So validation from a
//!   snapshot below the threshold fails (X1); the range refuses that, too.
//!
//! [`Cf::Data`]: crate::Cf::Data
//! [`Cf::Intents`]: crate::Cf::Intents
//! [`Reader`]: crate::Reader
//! [`WriteBatch`]: crate::WriteBatch
//! [`Timestamp::ZERO`]: clock::Timestamp::ZERO

mod checksum;
mod export;
mod gc;
mod intent;
mod read;
mod version;

pub use checksum::{Checksum, checksum};
pub use export::{
    Chunk, Entry, ExportPosition, ImportError, clear_span, clear_staged, export_span, is_staged,
    stage, unstage,
};
pub use gc::{GcLimits, GcStats, gc};
pub use intent::{
    Intent, Outcome, delete_intent, intent, intents_in_span, intents_of, put_intent, resolve_intent,
};
pub use read::{
    Direction, Row, ScanLimits, ScanOptions, Version, get, newest_in_span, newest_on_key, scan,
    scan_counting,
};
pub use version::{STEPS_BEFORE_SEEK, put_version, version_key};

#[cfg(test)]
mod tests;
