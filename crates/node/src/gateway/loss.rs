//! What a gateway makes of requests that were not sent, of answers that do not come, and of frames that
//! it cannot read.

use std::sync::atomic::Ordering;

use keys::{NodeId, RangeId};
use kv::KvError;
use net::SendError;

use super::Gateway;
use crate::message::FrameError;

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

impl Gateway {
    /// Counted, and named in the log now and then: a peer that sends nothing else must not fill it.
    pub(super) fn unreadable(&self, error: &FrameError) {
        let before = self.shared.unreadable.fetch_add(1, Ordering::Relaxed);
        if (before + 1).is_power_of_two() {
            let node = self.shared.members.local().id;
            tracing::error!(%node, "{error}; {} frames were dropped so far", before + 1);
        }
    }

    /// Frames that could not be read since the node started.
    #[must_use]
    pub fn unreadable_frames(&self) -> u64 {
        self.shared.unreadable.load(Ordering::Relaxed)
    }
}
