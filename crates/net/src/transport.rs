//! The seam to the network.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use keys::NodeId;

/// What travels together. Frames of one lane keep their order, and wait for none of another: between
/// two nodes there is a stream for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// What keeps leases (P2a): little, and before everything else.
    Lease,
    /// Logs, requests and their answers.
    Ordinary,
    /// Snapshots: much, and nobody waits for them.
    Bulk,
}

impl Lane {
    /// All lanes, the most urgent first.
    pub const ALL: [Lane; 3] = [Lane::Lease, Lane::Ordinary, Lane::Bulk];

    /// Its place among all.
    pub(crate) const fn index(self) -> usize {
        match self {
            Lane::Lease => 0,
            Lane::Ordinary => 1,
            Lane::Bulk => 2,
        }
    }
}

/// What arrives: a batch of one node's messages, opaque to the transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The sender.
    pub from: NodeId,
    /// What it sent, unchanged.
    pub payload: Bytes,
}

/// The sending end of a node.
pub trait Transport: Send + Sync + fmt::Debug + 'static {
    /// The node that sends here.
    fn local(&self) -> NodeId;

    /// Sends a payload to a node in a lane, without waiting. `Ok` means that it is on its way, not
    /// that it arrives. A node may send to itself.
    ///
    /// # Errors
    /// If it was dropped at once.
    fn send(&self, to: NodeId, lane: Lane, payload: Bytes) -> Result<(), SendError>;

    /// The nodes that can be sent to, in the order of their ids, without the local one.
    fn peers(&self) -> Vec<Peer>;
}

/// A shared transport.
pub type SharedTransport = Arc<dyn Transport>;

/// Another node, as the transport sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its id.
    pub node: NodeId,
    /// Where it is reached: `host:port`; the name of the region in a simulation.
    pub address: String,
    /// How the link to it stands.
    pub connection: Connection,
}

/// The state of the link to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// What is sent leaves at once.
    Up,
    /// What is sent is dropped; the transport keeps trying.
    Down {
        /// The last reason, for people.
        reason: String,
    },
}

/// Why a payload was dropped at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No node of this id is known to the transport.
    #[error("no such peer: {0}")]
    NoSuchPeer(NodeId),
    /// There is no connection to it now.
    #[error("no connection to {0}")]
    NotConnected(NodeId),
    /// Too much is waiting on the link already.
    #[error("the queue to {0} is full")]
    QueueFull(NodeId),
    /// The payload is larger than a transport carries.
    #[error("a payload of {0} bytes is larger than a message may be")]
    TooLarge(usize),
}
