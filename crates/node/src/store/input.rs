//! What the store hears: peers, this node's own gateway, and the node itself.

use std::collections::BTreeSet;

use keys::{NodeId, RangeId};
use kv::{Descriptor, KvError, RangeRequest, Reply};
use paxos::Slot;
use range::{AskToken, GroupMessage, PersistToken, Replica, RequestToken, Urgency};
use tokio::sync::oneshot;

use super::callers::Caller;
use crate::{
    epoch::{Objection, Reached, Showing},
    gateway::Asked,
    message::CallId,
    readers::Answer,
};

/// An input of a store's shard.
#[derive(Debug)]
pub enum StoreInput {
    /// Replication of one group, from a peer.
    Group(NodeId, RangeId, GroupMessage),
    /// A slot that comes with a message behind this one is on this timeline.
    Traced(RangeId, Slot, trace::Context),
    /// A request of a peer or of this node's own gateway.
    Request(Caller, RangeRequest),
    /// Whoever made this call waits for the answer no more.
    Cancel(NodeId, CallId),
    /// The answer to a question that a replica asked another range.
    Answer(RangeId, AskToken, Result<Reply, KvError>),
    /// A long read is done.
    Scanned(RequestToken, Box<Answer>),
    /// A replica that was born in another shard, and the token of its birth, which is durable.
    Adopt(Box<Replica>, PersistToken),
    /// Make a replica; answered once it is durable.
    Create(Descriptor, oneshot::Sender<()>),
    /// A peer has started: remember what it shows (P0a). Answered once that is durable, or with what is
    /// remembered instead.
    Introduced(NodeId, Showing, oneshot::Sender<Result<(), Objection>>),
    /// A peer shows how far it is: the same, answered at once.
    Shown(NodeId, Reached, oneshot::Sender<Result<(), Objection>>),
    /// All the peers that remember this node's start, each time there is one more: replicas for whose
    /// voters that suffices take part.
    Confirmed(BTreeSet<NodeId>),
    /// All others remember this node's folder; answered once that is durable.
    Admit(oneshot::Sender<()>),
    /// Commit-wait is turned on or off, in every replica there is and every one to come.
    CommitWait(range::CommitWait, oneshot::Sender<()>),
    /// The replica of this range is not to be trusted any more, and why.
    Stop(RangeId, String),
    /// How often did which node ask for the ranges that this shard leads, since this was asked last?
    Asked(oneshot::Sender<Vec<Asked>>),
    /// Which ranges does this shard lead?
    Led(oneshot::Sender<Vec<Descriptor>>),
    /// Which voters of the ranges that this shard leads may lack their replica? With the ranges as they
    /// were born.
    Unborn(oneshot::Sender<Vec<(NodeId, Descriptor)>>),
}

/// What waits for what, at a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    /// What keeps leases (P2a), and the node's own affairs: little, and first.
    First,
    /// Replication, and the answers that replicas wait for.
    Log,
    /// Requests, by deadline.
    Requests,
    /// Snapshots.
    Bulk,
}

impl StoreInput {
    /// In which queue it waits.
    pub(super) fn queue(&self) -> Queue {
        match self {
            StoreInput::Group(_, _, message) => match message.urgency() {
                Urgency::Lease => Queue::First,
                Urgency::Log => Queue::Log,
                Urgency::Bulk => Queue::Bulk,
            },
            StoreInput::Traced(..) | StoreInput::Answer(..) | StoreInput::Scanned(..) => Queue::Log,
            StoreInput::Request(..) => Queue::Requests,
            StoreInput::Cancel(..)
            | StoreInput::Adopt(..)
            | StoreInput::Create(..)
            | StoreInput::Introduced(..)
            | StoreInput::Shown(..)
            | StoreInput::Confirmed(_)
            | StoreInput::Admit(_)
            | StoreInput::CommitWait(..)
            | StoreInput::Stop(..)
            | StoreInput::Asked(_)
            | StoreInput::Led(_)
            | StoreInput::Unborn(_) => Queue::First,
        }
    }

    /// About how many bytes it takes.
    pub(super) fn weight(&self) -> usize {
        size_of::<StoreInput>()
            + match self {
                StoreInput::Group(_, _, message) => message.weight(),
                StoreInput::Request(_, request) => request.request.weight(),
                StoreInput::Traced(..)
                | StoreInput::Cancel(..)
                | StoreInput::Answer(..)
                | StoreInput::Scanned(..)
                | StoreInput::Adopt(..)
                | StoreInput::Create(..)
                | StoreInput::Introduced(..)
                | StoreInput::Shown(..)
                | StoreInput::Confirmed(_)
                | StoreInput::Admit(_)
                | StoreInput::CommitWait(..)
                | StoreInput::Stop(..)
                | StoreInput::Asked(_)
                | StoreInput::Led(_)
                | StoreInput::Unborn(_) => 0,
            }
    }
}
