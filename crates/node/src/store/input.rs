//! What the store hears: peers, this node's own gateway, and the node itself.

use keys::{NodeId, RangeId};
use kv::{Descriptor, KvError, RangeRequest, Reply};
use paxos::Slot;
use range::{AskToken, GroupMessage};
use tokio::sync::oneshot;

use crate::{incarnation::Incarnation, message::CallId};

/// What of a peer's frame is the store's.
#[derive(Debug)]
pub enum PeerMessage {
    /// Replication of one group.
    Group(RangeId, GroupMessage),
    /// A request to one of this node's replicas.
    Request(CallId, RangeRequest),
    /// The peer waits for the answer no more.
    Cancel(CallId),
    /// A slot that comes with a message behind this one is on this timeline.
    Traced(RangeId, Slot, trace::Context),
}

/// An input of the store.
#[derive(Debug)]
pub enum StoreInput {
    /// Group messages, requests and cancels of a peer, in order.
    Peer(NodeId, Vec<PeerMessage>),
    /// A request of this node's own gateway.
    Local(CallId, RangeRequest, oneshot::Sender<Result<Reply, KvError>>),
    /// This node's own gateway waits for the answer no more.
    Cancel(CallId),
    /// The answer to a question that a replica asked another range.
    Answer(RangeId, AskToken, Result<Reply, KvError>),
    /// Make a replica; answered once it is durable.
    Create(Descriptor, oneshot::Sender<()>),
    /// Remember a peer by its data folder; answered once that is durable, or with the other folder
    /// by which it is known.
    Remember(NodeId, Incarnation, oneshot::Sender<Result<(), Incarnation>>),
    /// All others remember this node's folder; answered once that is durable.
    Admit(oneshot::Sender<()>),
    /// Commit-wait is turned on or off, in every replica there is and every one to come.
    CommitWait(range::CommitWait, oneshot::Sender<()>),
    /// Which ranges does this node lead?
    Led(oneshot::Sender<Vec<Descriptor>>),
}
