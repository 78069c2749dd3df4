//! What a round has to say to peers: gathered, then sent in frames for each peer and lane.

use std::collections::BTreeMap;

use keys::NodeId;
use net::{Lane, SendError};

use super::StoreParts;
use crate::message::{NodeFrame, NodeMessage};

/// What is to be sent.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    messages: BTreeMap<(Lane, NodeId), Vec<NodeMessage>>,
    /// Frames lost since a queue was full or a link down.
    lost: u64,
}

impl Outbox {
    pub fn push(&mut self, to: NodeId, message: NodeMessage) {
        self.messages.entry((message.lane(), to)).or_default().push(message);
    }

    /// Says nothing of it.
    pub fn clear(&mut self) {
        self.messages.clear();
    }

    /// Sends everything, what keeps leases first. A full queue or a peer that is down loses a frame, as a
    /// network would: groups send again, callers time out. What is lost to a full queue is counted and
    /// named now and then.
    pub fn flush(&mut self, parts: &StoreParts) {
        if self.messages.is_empty() {
            return;
        }
        let clock = parts.clock.stamp();
        for ((lane, to), messages) in std::mem::take(&mut self.messages) {
            for frame in (NodeFrame { clock, messages }).encode() {
                let Err(error) = parts.transport.send(to, lane, frame) else { continue };
                let node = parts.node;
                match error {
                    SendError::QueueFull(_) | SendError::TooLarge(_) => {
                        self.lost += 1;
                        if self.lost.is_power_of_two() {
                            let count = self.lost;
                            tracing::warn!(%node, %to, "lost a frame ({count} so far): {error}");
                        }
                    }
                    SendError::NoSuchPeer(_) | SendError::NotConnected(_) => {
                        tracing::debug!(%node, %to, "frame lost: {error}");
                    }
                }
            }
        }
    }
}
