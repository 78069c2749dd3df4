//! Where transaction records lie: `encode(anchor key) ++ transaction id` in [`Cf::Records`].
//!
//! A record lies under the first key its transaction wrote (the anchor), so it belongs to whichever
//! range owns that key, and moves with it when the range splits (X7, X9). What a record says is
//! opaque here.

use bytes::Bytes;
use keys::{Key, Span, TxnId};

use crate::{Cf, EngineError, encoding, sealed::corrupted};

/// Length of the transaction id at the end of a record's key, in bytes.
const TXN_BYTES: usize = 16;

/// The key of a transaction's record in [`Cf::Records`].
#[must_use]
pub fn key(anchor: &Key, txn: TxnId) -> Bytes {
    let mut out = encoding::encode(anchor, TXN_BYTES);
    out.extend_from_slice(&txn.to_bytes());
    out.into()
}

/// The bounds, `start <= key < end`, of all records whose anchor lies in `span`.
#[must_use]
pub fn bounds(span: &Span) -> (Vec<u8>, Vec<u8>) {
    (encoding::encode(&span.start, 0), encoding::encode(&span.end, 0))
}

/// Anchor and transaction of a record's key.
///
/// # Errors
/// With `corruption` set, if the bytes are not a record's key.
pub fn parse(stored: &[u8]) -> Result<(Key, TxnId), EngineError> {
    let mut anchor = Vec::new();
    encoding::decode_into(stored, &mut anchor)
        .and_then(|len| <[u8; TXN_BYTES]>::try_from(&stored[len..]).ok())
        .map(|id| (Key::from_vec(anchor), TxnId(u128::from_be_bytes(id))))
        .ok_or_else(|| corrupted(Cf::Records, stored, "not the key of a transaction record"))
}
