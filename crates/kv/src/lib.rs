//! What gateways and ranges say to each other: requests, replies, errors and the two traits by
//! which a range reaches what it must not know (SQL programs) and a gateway reaches ranges.
//!
//! A request goes to one range, at one node. [`Request::Commit`] carries a whole one-group
//! transaction or the decision of one that spans groups; [`Request::Prepare`] its other
//! participants (rules X1 to X8). Nothing here does anything: these are the words.
//!
//! Unknown is an outcome: a request whose answer is lost has neither happened nor failed
//! ([`KvError::AnswerLost`]); the transaction record alone says what became of it (X7, X8).

mod error;
mod pushdown;
mod reply;
mod request;

use std::{fmt, time::Duration};

use clock::Timestamp;
use futures::future::BoxFuture;
use keys::{NodeId, RangeId, Span};
use serde::{Deserialize, Serialize};

pub use error::{Conflict, ConflictKind, KvError};
pub use pushdown::{PushStep, Pushdown, PushdownError, PushdownFactory};
pub use reply::{
    CommitStats, Committed, LeaderStatus, LockInfo, LockReply, Outcome, Prepared, RangeStatus,
    ReadReply, Reply, SpanRows,
};
pub use request::{
    Acknowledge, Commit, Heartbeat, Lock, LockValues, LockWait, Part, Prepare, Push, PushKind,
    Read, ReadFrom, ReadSpan, Request, Resolution, Resolve, TxnMeta, Validate, Write,
};

/// The most voters a range may have.
pub const MAX_VOTERS: usize = 15;

/// A range as the directory and its replicas know it. One that is read from outside is checked: what
/// it says of itself holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Described")]
pub struct Descriptor {
    /// The range's id, never reused.
    pub id: RangeId,
    /// The keys it owns.
    pub span: Span,
    /// Grows with every change of span or membership: the higher one is right.
    pub generation: u64,
    /// The voting replicas, each once: 1 to [`MAX_VOTERS`].
    pub voters: Vec<NodeId>,
    /// The voter that leads at birth and is preferred afterwards.
    pub preferred_leader: NodeId,
}

/// A descriptor as it is read from outside, not looked at yet.
#[derive(Deserialize)]
struct Described {
    id: RangeId,
    span: Span,
    generation: u64,
    voters: Vec<NodeId>,
    preferred_leader: NodeId,
}

impl TryFrom<Described> for Descriptor {
    type Error = String;

    fn try_from(described: Described) -> Result<Descriptor, String> {
        let Described { id, span, generation, voters, preferred_leader } = described;
        let twice = |(i, node): (usize, &NodeId)| voters[..i].contains(node);
        let votes = (1..=MAX_VOTERS).contains(&voters.len())
            && !voters.contains(&NodeId(0))
            && !voters.iter().enumerate().any(twice)
            && voters.contains(&preferred_leader);
        if span.is_empty() || !votes {
            return Err(format!("{id} is no range: {} voters, span {span}", voters.len()));
        }
        Ok(Descriptor { id, span, generation, voters, preferred_leader })
    }
}

impl fmt::Display for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} on", self.id, self.span)?;
        self.voters.iter().try_for_each(|node| write!(f, " {node}"))
    }
}

/// A request addressed to one range.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RangeRequest {
    /// The range that the sender believes to own the request's keys.
    pub range: RangeId,
    /// How long the answer is of use. At the deadline the replica answers
    /// [`KvError::Unavailable`] or [`KvError::Blocked`], whatever it waits for.
    pub deadline: Duration,
    /// What is asked.
    pub request: Request,
    /// For whom, if that is traced: a byte on the wire where it is not.
    pub trace: Option<trace::Context>,
}

/// Carries requests to replicas on other nodes or on this one. Implemented by the node; a naive
/// implementation serves as the coordinator's test double.
pub trait RangeSender: Send + Sync + fmt::Debug + 'static {
    /// Sends a request to `to`'s replica and waits for its answer, at most the request's deadline
    /// plus a little. A lost connection or a lapsed wait is [`KvError::AnswerLost`].
    fn send(&self, to: NodeId, request: RangeRequest)
    -> BoxFuture<'static, Result<Reply, KvError>>;

    /// The node this gateway runs on.
    fn local_node(&self) -> NodeId;

    /// An estimate of the round-trip time to a node; the nearest replica serves stale reads.
    fn round_trip(&self, to: NodeId) -> Duration;

    /// The system range, whose descriptor every node knows: the directory lies in it.
    fn system_range(&self) -> Descriptor;

    /// The highest commit timestamp or message clock this node has seen (T2's merge), so that a
    /// session's next transaction follows its last even when commit-wait is switched off.
    fn observed(&self) -> Timestamp;
}
