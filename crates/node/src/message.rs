//! What nodes say to each other, and the frames that carry it.
//!
//! A frame is what one node had to say to another at one moment, in one lane: messages of all groups,
//! requests, answers; more than [`FRAME_BYTES`] go in several. It carries the sender's hybrid logical clock (T2). Its encoding is postcard,
//! the same on every transport; the transport sees bytes.

use bytes::Bytes;
use clock::{Interval, Timestamp};
use keys::{NodeId, RangeId, SchemaVersion};
use kv::{Descriptor, KvError, RangeRequest, Reply};
use net::Lane;
use paxos::Slot;
use range::{GroupMessage, Urgency};
use serde::{Deserialize, Serialize};

use crate::epoch::{Objection, Reached, Showing};

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
    /// Nobody waits for the answer to this request, which went to this range, any more. One that is
    /// lost, late or comes twice does no harm: the request then ends by itself, at its deadline at the
    /// latest.
    Cancel(RangeId, CallId),
}

impl NodeMessage {
    /// The lane it travels in. What tells clocks from each other goes with what keeps leases: a round
    /// trip is to be as short as it can be.
    #[must_use]
    pub fn lane(&self) -> Lane {
        match self {
            NodeMessage::Group(_, message) => match message.urgency() {
                Urgency::Lease => Lane::Lease,
                Urgency::Log => Lane::Ordinary,
                Urgency::Bulk => Lane::Bulk,
            },
            NodeMessage::Ask(_, NodeQuestion::Ping)
            | NodeMessage::Answer(_, NodeAnswer::Pong(_)) => Lane::Lease,
            NodeMessage::Request(..)
            | NodeMessage::Response(..)
            | NodeMessage::Ask(..)
            | NodeMessage::Answer(..)
            | NodeMessage::Traced(..)
            | NodeMessage::Cancel(..) => Lane::Ordinary,
        }
    }
}

/// What a node can be asked that is no business of a single range.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum NodeQuestion {
    /// Are you there, and what does your clock say?
    Ping,
    /// Make a replica of this new range. Idempotent; the answer comes once it is durable.
    CreateRange(Descriptor),
    /// Stop the replica of this range, and why: its data differ from those of all others.
    StopReplica(RangeId, String),
    /// Use no catalog older than this from now on.
    SchemaChanged(SchemaVersion),
    /// The asking node has started: remember its folder and its start (P0a). Answered once the asked
    /// node has done so durably, or with what it remembers instead.
    Introduce(Showing),
    /// The asking node runs, and its folder reaches so far: the same, answered at once. The asked node
    /// makes it durable with whatever it syncs next.
    Show(Reached),
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
    /// To `Introduce` and `Show`: the asking node was here before, otherwise than it shows.
    Objection(Objection),
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

/// A frame takes no further message once it holds so many bytes. A single message may be larger.
pub const FRAME_BYTES: usize = 1 << 20;

/// What one node had to say to another at one moment.
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
    /// The frame as bytes: one frame, or as many as it takes for none to be much larger than
    /// [`FRAME_BYTES`].
    #[must_use]
    pub fn encode(&self) -> Vec<Bytes> {
        let clock = self.clock;
        let (mut frames, mut rest) = (Vec::with_capacity(1), self.messages.as_slice());
        while !rest.is_empty() {
            let mut count = rest.len();
            let head = frame_head(clock, count);
            let head_bytes = head.len();
            let mut frame = head;
            for (index, message) in rest.iter().enumerate() {
                let before = frame.len();
                frame = postcard::to_extend(message, frame)
                    .expect("messages hold nothing that cannot be encoded");
                if index > 0 && frame.len() > FRAME_BYTES {
                    frame.truncate(before);
                    count = index;
                    break;
                }
            }
            if count < rest.len() {
                frame.splice(..head_bytes, frame_head(clock, count));
            }
            frames.push(Bytes::from(frame));
            rest = &rest[count..];
        }
        frames
    }

    /// The frame in these bytes.
    pub fn decode(from: NodeId, bytes: &[u8]) -> Result<NodeFrame, FrameError> {
        postcard::from_bytes(bytes).map_err(|cause| FrameError { from, cause })
    }
}

/// How a frame of so many messages begins: what [`NodeFrame`] is as bytes, up to its first message.
fn frame_head(clock: Timestamp, count: usize) -> Vec<u8> {
    postcard::to_stdvec(&(clock, count)).expect("a timestamp and a number")
}

#[cfg(test)]
mod tests;
