//! How nodes talk: the [`Transport`] seam, and the two things behind it.
//!
//! A node hands a transport opaque payloads for other nodes and receives [`Frame`]s from one
//! bounded queue. It cannot tell which of these carries them:
//!
//! - [`SimWan`]: all nodes of one process over a simulated wide-area network, with delay, jitter,
//!   bandwidth, loss, cuts and crashes; live (`meridian demo`) and in virtual time;
//! - [`GrpcTransport`]: nodes on different machines over gRPC, one long-lived stream per direction.
//!
//! What both promise, and all that they promise:
//!
//! 1. A frame arrives unchanged, at most once, from the node it names as its sender.
//! 2. Frames of one link (a sender and a receiver) and one [`Lane`] arrive in the order in which they
//!    were sent. Those of another lane may overtake them, and do not wait behind them (P2a).
//! 3. Any frame may be lost: the peer is down, the link is cut, a queue is full. Nobody is told.
//!    [`SendError`] is advice to save work; protocols repeat what matters.
//! 4. Nothing blocks and nothing grows without bound: at a limit the newest frame is dropped and
//!    counted.
//!
//! ```text
//!  node 1 ── send(n2, payload) ──►  link 1→2: queue ── delay, stream ──►  inbox of node 2: mpsc
//! ```
//!
//! HAZARD: a protocol that relies on a frame's arrival for safety is broken; one that relies on the
//! order of a link must start anew when the peer restarts, for then the order starts anew.
//!
//! Generated protobuf types stay inside this crate; nodes see [`NodeInfo`] and bytes. This crate
//! knows nothing of what the payloads mean.

mod grpc;
mod inbox;
mod info;
mod pace;
mod transport;
mod wan;

pub use grpc::{GrpcOptions, GrpcTransport, HelloError, MESSAGE_LIMIT_BYTES, hello};
pub use inbox::{INBOX_BYTES, INBOX_FRAMES, Inbox};
pub use info::{ClusterId, NodeInfo, PROTOCOL_VERSION, Refusal, join_hash};
pub use pace::{Pace, TokioTicker};
pub use transport::{Connection, Frame, Lane, Peer, SendError, SharedTransport, Transport};
pub use wan::{LATE_MAX, LinkSpec, LinkStats, MeasureError, SimTransport, SimWan};
