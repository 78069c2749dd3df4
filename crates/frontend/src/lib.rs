//! The PostgreSQL wire protocol (version 3.0) in front of a [`sql::Database`].
//!
//! ```text
//!   accept -> start-up (SSL refused, cancel, parameters) -> ready
//!               |                                             ^
//!               v                                             |
//!   Query: statements, results, ReadyForQuery ----------------+
//!   Parse, Bind, Describe, Execute ... Sync: ReadyForQuery ---+
//!               | error: everything up to Sync is skipped
//! ```
//!
//! The codec and the messages are `pgwire`'s; the conversation is ours, because it must batch:
//! answers are written to a buffer, and the buffer goes out when the client waits for it (after
//! ReadyForQuery, on Flush), or when it is full. One task per connection, one session each.
//!
//! - The statements between two Syncs are one transaction, unless they begin and end their own: it is
//!   committed at Sync, and an error undoes all of it. A statement that is alone before its Sync is
//!   left to the session, which retries it after conflicts; so Execute looks at what comes next.
//! - Bounds: connections per server, bytes per message, prepared statements and portals per
//!   connection. At each the client gets an error with its SQLSTATE, and nothing else is harmed.
//! - A client that goes away: its session is closed, which rolls back and leaves no lock. Its going
//!   is noticed also while a statement runs.
//! - `CancelRequest` names a session and its secret; it cancels the running statement, no more.
//!
//! HAZARD: without TLS and passwords, whoever reaches the port is `root`. The demo listens on
//! 127.0.0.1 alone, `meridian start` wants `--insecure`.
//!
//! What it does not know: what statements mean.

mod cancel;
mod connection;
mod errors;
mod extended;
mod rows;
mod server;
mod startup;

pub use server::{Options, serve};
