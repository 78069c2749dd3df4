//! The replicated range: a span of keys, kept by a Paxos group, that serves reads and takes part in
//! transactions.
//!
//! # Two layers
//!
//! ```text
//!   requests, answers of other ranges        messages of the group, "this is on disk now"
//!              |                                             |
//!   +----------v---------------------------------------------v------------+
//!   | Replica   one replica on one node; writes one batch per step        |
//!   |   +------------------------------+        +----------------------+  |
//!   |   | Machine                      | propose|  paxos::Group        |  |
//!   |   |   locks, timestamps, reads,  |------->|    log, ballots,     |  |
//!   |   |   2PC, records, splits, GC   |<-------|    leases, elections |  |
//!   |   +------------------------------+ chosen +----------------------+  |
//!   +---------------------------------------------------------------------+
//! ```
//!
//! [`Machine`] knows transactions and no Paxos: it asks for commands to be logged and is told which
//! were chosen, in which order, and whether it leads. `paxos::Group` knows the log and no
//! transactions. [`Replica`] is the glue: it turns what both want into one atomic batch per step
//! (S2), and into messages that may go now and messages that wait for the disk (S1).
//!
//! All of it is sans-io: inputs in, [`Effects`] out, time as an argument. The node's store loop
//! drives it, writes nothing itself, syncs the disk for all replicas at once, and carries messages.
//!
//! | module | what |
//! |---|---|
//! | [`machine`] | the transaction protocol over a log: rules R, S, T and X |
//! | [`replica`] | the machine, a group and a disk put together; snapshots; splits |
//! | [`locks`] | who may validate, write or wait (X2, X5, X6) |
//! | [`recent`] | which keys changed lately: validation without a scan (X1) |
//! | [`command`] | what the log says |
//! | [`record`] | transaction records (X7, X8) |
//! | [`state`] | what a replica remembers beside its data |
//! | `doubt` | what ends a step: the disk, or one replica's log |
//! | [`config`] | settings and limits |
//!
//! # What it does not know
//!
//! SQL (programs run through [`kv::PushdownFactory`]), the directory, other ranges (questions to
//! them go out as [`Effects::asks`], addressed by key), sockets, threads, clocks.

pub mod command;
pub mod config;
mod doubt;
pub mod locks;
pub mod machine;
pub mod recent;
pub mod record;
pub mod replica;
mod rules;
pub mod scan;
pub mod state;

pub use config::{CommitWait, Config};
pub use doubt::{Doubt, StepError};
pub use machine::Machine;
pub use replica::{
    AskToken, BLANK_LOG_TIMES, Context, Effects, Event, GroupMessage, Input, PersistToken, Replica,
    RequestToken, Urgency,
};
#[cfg(any(test, feature = "broken-rules"))]
pub use rules::Rule;
pub use rules::Rules;
pub use scan::{Job, Slice};
