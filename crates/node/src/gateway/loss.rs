//! What a gateway makes of requests that were not sent, and of answers that do not come.

use keys::{NodeId, RangeId};
use kv::KvError;
use net::SendError;

/// Why a request was not sent. One that no message holds would not be sent the next time either.
pub(super) fn unsent(to: NodeId, range: RangeId, error: &SendError) -> KvError {
    match error {
        SendError::TooLarge(bytes) => {
            let limit = net::MESSAGE_LIMIT_BYTES as u64;
            KvError::TooLarge { range, bytes: *bytes as u64, limit }
        }
        SendError::NoSuchPeer(_) | SendError::NotConnected(_) | SendError::QueueFull(_) => {
            lost(to, &error.to_string())
        }
    }
}

/// An answer that does not come: whether the request was carried out is not known.
pub(super) fn lost(node: NodeId, cause: &str) -> KvError {
    KvError::AnswerLost { node, cause: cause.to_owned() }
}
