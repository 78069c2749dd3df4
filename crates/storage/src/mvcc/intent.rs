//! Intents: what a prepared transaction will write, waiting for its outcome.

use bytes::Bytes;
use clock::Timestamp;
use keys::{Key, Span, TxnId};
use serde::{Deserialize, Serialize};

use super::version::put_version;
use crate::{
    Cf, EngineError, Reader, Scan, WriteBatch,
    sealed::{self, corrupted},
};

/// A write that is prepared and not yet decided. It names keys and its transaction, never a range,
/// so splits and moves don't disturb it (X9).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The transaction.
    pub txn: TxnId,
    /// The first key the transaction wrote: its record lies in the range of this key (X7).
    pub anchor: Key,
    /// The prepare timestamp p of the participant; the transaction commits at some s >= p (R1).
    pub prepare: Timestamp,
    /// Age for wound-wait, kept across retries: less is older (X5).
    pub priority: Timestamp,
    /// When this attempt of the transaction began; bounds its life (X7a).
    pub start: Timestamp,
    /// The value to be; `None` to delete the key.
    pub value: Option<Bytes>,
}

/// What became of a transaction, as its record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Committed at this timestamp.
    Committed(Timestamp),
    /// Aborted.
    Aborted,
}

/// Writes the intent on a key, over any that is there.
pub fn put_intent(batch: &mut WriteBatch, key: &Key, intent: &Intent) {
    let body =
        postcard::to_stdvec(intent).expect("an intent has nothing that cannot be serialized");
    batch.put(Cf::Intents, key.0.clone(), sealed::seal(Cf::Intents, key, &[&body]));
}

/// Removes the intent on a key, whosever it is.
pub fn delete_intent(batch: &mut WriteBatch, key: &Key) {
    batch.delete(Cf::Intents, key.0.clone());
}

/// The intent on a key.
///
/// # Errors
/// If the disk fails or the intent contradicts its checksum (S3).
pub fn intent(reader: &dyn Reader, key: &Key) -> Result<Option<Intent>, EngineError> {
    reader.get(Cf::Intents, key)?.map(|stored| parse(key, &stored)).transpose()
}

/// The first `limit` intents in a span, in key order. Fewer than `limit` are all there are.
///
/// # Errors
/// If the disk fails or an intent contradicts its checksum (S3).
pub fn intents_in_span(
    reader: &dyn Reader,
    span: &Span,
    limit: usize,
) -> Result<Vec<(Key, Intent)>, EngineError> {
    collect(reader, span, limit, |_| true)
}

/// The first `limit` intents of one transaction in a span, in key order. Looks at every intent of
/// the span: a resolution that knows its keys uses [`resolve_intent`] instead.
///
/// # Errors
/// If the disk fails or an intent contradicts its checksum (S3).
pub fn intents_of(
    reader: &dyn Reader,
    span: &Span,
    txn: TxnId,
    limit: usize,
) -> Result<Vec<(Key, Intent)>, EngineError> {
    collect(reader, span, limit, |intent| intent.txn == txn)
}

/// Replaces the intent of `txn` on `key` by what became of it: a version, or nothing. Returns the
/// intent; `None` if there was none of this transaction, because it was resolved before.
///
/// # Errors
/// If the disk fails or the intent contradicts its checksum (S3).
///
/// # Panics
/// If the transaction committed below its prepare timestamp (R1).
pub fn resolve_intent(
    reader: &dyn Reader,
    batch: &mut WriteBatch,
    key: &Key,
    txn: TxnId,
    outcome: Outcome,
) -> Result<Option<Intent>, EngineError> {
    let Some(found) = intent(reader, key)?.filter(|intent| intent.txn == txn) else {
        return Ok(None);
    };
    delete_intent(batch, key);
    match outcome {
        Outcome::Aborted => {}
        Outcome::Committed(s) => {
            let prepare = found.prepare;
            assert!(s >= prepare, "R1: {txn:?} on {key} prepared at {prepare}, committed at {s}");
            put_version(batch, key, s, found.value.as_deref());
        }
    }
    Ok(Some(found))
}

/// Reads a stored intent.
pub(super) fn parse(key: &[u8], stored: &[u8]) -> Result<Intent, EngineError> {
    let body = sealed::open(Cf::Intents, key, stored)?;
    postcard::from_bytes(body).map_err(|error| corrupted(Cf::Intents, key, error.to_string()))
}

fn collect(
    reader: &dyn Reader,
    span: &Span,
    limit: usize,
    wanted: impl Fn(&Intent) -> bool,
) -> Result<Vec<(Key, Intent)>, EngineError> {
    let mut found = Vec::new();
    let mut failed = None;
    if limit == 0 || span.is_empty() {
        return Ok(found);
    }
    reader.scan(Scan::new(Cf::Intents, &span.start, &span.end), &mut |key, stored| {
        match parse(key, stored) {
            Ok(intent) if wanted(&intent) => found.push((Key::from(key), intent)),
            Ok(_) => {}
            Err(error) => failed = Some(error),
        }
        failed.is_none() && found.len() < limit
    })?;
    failed.map_or(Ok(found), Err)
}
