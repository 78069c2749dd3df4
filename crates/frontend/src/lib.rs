//! The PostgreSQL wire protocol (version 3.0) in front of a [`sql::Database`].
//!
//! ```text
//!   accept -> start-up (SSL refused, cancel, parameters) -> ready
//!               |                                             ^
//!               v                                             |
//!   Query: statements, results, ReadyForQuery ----------------+
//!   Parse, Bind, Describe, Execute ... Sync: ReadyForQuery ---+
//!               | error: everything up to Sync is skipped, also a Query
//! ```
//!
//! Answers are written to a buffer, and the buffer goes out when the client waits for it (after
//! ReadyForQuery, on Flush, after every error), or when it is full. One task per connection, one
//! session each.
//!
//! - The statements between two Syncs are one transaction, unless they begin and end their own: it is
//!   committed at Sync, and an error undoes all of it. A statement that is alone before its Sync is
//!   left to the session, which retries it after conflicts; so Execute looks at what comes next.
//! - Nothing that arrives is trusted. A message is judged by its header before memory is kept for it
//!   (`wire`), long ones share a budget of the node (`budget`), and a body is held against its
//!   length wherever it is read (`message`).
//! - Bounds: connections that have not said who they are (`lobby`), sessions, prepared statements and
//!   portals per session, by number (`store`) and by their bytes ([`sql::Held`]). At each the client
//!   gets an error with its SQLSTATE, and nothing else is harmed.
//! - Who sends without reading is not read for ever: answers are sent whenever they are many, after
//!   every message and statement, and nothing is read while they cannot be.
//! - A client that goes away, or takes nothing of its answers for a minute: its session is closed,
//!   which rolls back and leaves no lock. Its going is noticed also while a statement runs.
//! - A panic in a session is told to its client (`XX000`), logged and counted, and ends that session
//!   alone ([`sql::contain`]).
//! - A session that computes for long goes on where it keeps nobody from a thread (`lanes`).
//! - `CancelRequest` names a session and its secret; it cancels the running statement, no more.
//!
//! HAZARD: without TLS and passwords, whoever reaches the port is `root`. The demo listens on
//! 127.0.0.1 alone, `meridian start` wants `--insecure`.
//!
//! What it does not know: what statements mean.

mod answer;
mod budget;
mod cancel;
mod connection;
mod errors;
mod extended;
mod intake;
mod lanes;
mod lobby;
mod message;
mod rows;
mod server;
mod startup;
mod store;
mod wire;

pub use lanes::Lanes;
pub use server::{Options, serve};
