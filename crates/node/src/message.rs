//! What nodes say to each other, and the frames that carry it.
//!
//! A frame is everything one node had to say to another at one moment: messages of all groups,
//! requests, answers. It carries the sender's hybrid logical clock (T2). Its encoding is postcard,
//! the same on every transport; the transport sees bytes.

use bytes::Bytes;
use clock::{Interval, Timestamp};
use keys::{NodeId, RangeId, SchemaVersion};
use kv::{Descriptor, KvError, RangeRequest, Reply};
use paxos::Slot;
use range::GroupMessage;
use serde::{Deserialize, Serialize};

use crate::incarnation::Incarnation;

/// Matches an answer to its request; unique per asking node and start of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallId(pub u64);

/// One message between nodes.
#[derive(Debug, Serialize, Deserialize)]
pub enum NodeMessage {
    /// Replication of one group.
    Group(RangeId, GroupMessage),
    /// A request to one of the receiver's replicas.
    Request(CallId, RangeRequest),
    /// The answer to a request.
    Response(CallId, Result<Reply, KvError>),
    /// A question to the node itself.
    Ask(CallId, NodeQuestion),
    /// The answer to it.
    Answer(CallId, NodeAnswer),
    /// This slot of this range, which comes with a message behind this one, is on this timeline.
    Traced(RangeId, Slot, trace::Context),
    /// Nobody waits for the answer to this request any more. One that is lost, late or comes twice
    /// does no harm: the request then ends by itself, at its deadline at the latest.
    Cancel(CallId),
}

/// What a node can be asked that is no business of a single range.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum NodeQuestion {
    /// Are you there, and what does your clock say?
    Ping,
    /// Make a replica of this new range. Idempotent; the answer comes once it is durable.
    CreateRange(Descriptor),
    /// Use no catalog older than this from now on.
    SchemaChanged(SchemaVersion),
    /// The asking node uses its data folder for the first time: remember it. Answered once the
    /// asked node has done so durably, or with what it remembers instead.
    Introduce(Incarnation),
    /// What have commits through your gateway taken since you started?
    Stats,
    /// What did you do for this trace?
    Trace(trace::TraceId),
}

/// The answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum NodeAnswer {
    /// To `Ping`.
    Pong(ClockReading),
    /// Done.
    Done,
    /// To `Introduce`: the asking node was here before, with this other folder.
    KnownAs(Incarnation),
    /// Not done, and why, for people.
    Refused(String),
    /// To `Stats`.
    Stats(Box<sql::CommitStats>),
    /// To `Trace`: the node's spans, and how many it lost.
    Spans(Vec<trace::Record>, u64),
}

/// A node's clock, as it answers a ping.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClockReading {
    /// The interval at the moment of answering.
    pub interval: Interval,
    /// Name and parameters of the source.
    pub source: String,
    /// Where true time is known: how far the reading is off, in nanoseconds.
    pub true_offset_nanos: Option<i64>,
    /// Why the node distrusts its own clock and does not serve; `None`: it trusts it.
    pub distrust: Option<String>,
}

/// Everything one node had to say to another at one moment.
#[derive(Debug, Serialize, Deserialize)]
pub struct NodeFrame {
    /// The sender's hybrid logical clock.
    pub clock: Timestamp,
    /// The messages, in order.
    pub messages: Vec<NodeMessage>,
}

/// A frame could not be read: a peer of another version, or a defect. What is read is sound as far as
/// that shows in itself: spans end behind their start, descriptors make a range, nothing is nested
/// without end. What a message says of the state of a range is for that range to judge.
#[derive(Debug, thiserror::Error)]
#[error("unreadable frame from {from}: {cause}")]
pub struct FrameError {
    /// The sender.
    pub from: NodeId,
    /// What the decoder said.
    pub cause: postcard::Error,
}

impl NodeFrame {
    /// The frame as bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let bytes = postcard::to_stdvec(self).expect("frames hold nothing that cannot be encoded");
        Bytes::from(bytes)
    }

    /// The frame in these bytes.
    pub fn decode(from: NodeId, bytes: &[u8]) -> Result<NodeFrame, FrameError> {
        postcard::from_bytes(bytes).map_err(|cause| FrameError { from, cause })
    }
}

#[cfg(test)]
mod tests;
