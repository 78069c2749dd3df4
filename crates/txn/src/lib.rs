//! The gateway's side of transactions: routing, snapshots, buffered writes, commit.
//!
//! A session's node coordinates its transactions. Until the commit they live here alone: a snapshot
//! timestamp, a buffer of writes and a set of spans that were read. Ranges see lock-free snapshot
//! reads, and then, at the commit, one message each.
//!
//! ```text
//!   sql                          this crate                               ranges
//!    begin        Coordinator::begin
//!    SELECT       Txn::read      t_r = TT.now().latest   ------ Read ---->  rows as of t_r
//!                                merge the buffer, remember the spans
//!    UPDATE       Txn::put       buffer
//!    FOR UPDATE   Txn::lock                              ------ Lock ---->  lock table (X6)
//!    COMMIT       Txn::commit    divide by range         --- Prepare ---->  lock, validate (X1)
//!                                bounds of s             ---- Commit ---->  record, T4
//!                 CommitInfo     behind the answer       --- Resolve ---->  intents, locks (R1a)
//! ```
//!
//! | module | what | pure |
//! |---|---|---|
//! | [`Coordinator`] | begins, retries, bounds what goes on behind answers | |
//! | [`Txn`] | snapshot, reads, locks, savepoints | |
//! | `commit` | one group, two phases, and the truth when answers are lost | |
//! | [`Router`] | ranges, leaders, and reads over many ranges | |
//! | `cache`, `router::tour` | what is known of ranges; whom to ask next | yes |
//! | `buffer`, `reads` | own writes merged into reads; spans that were read | yes |
//! | [`naive`] | a model of a cluster, for tests | |
//!
//! Rules from this side: t_r is taken once (X1, section 6), s > t_r (X3a), s below every
//! `valid_through` (X3), nothing written means nothing validated (X4), the anchor is named once
//! (X7), a refusal is believed only from the record (X8), priority survives retries (X5), retries
//! lock first (X6), conflicts are told as 40001 with key and winner (X10).
//!
//! HAZARDS. *Clocks*: t_r comes from this node's clock; if it claims less than its true error, a
//! snapshot may miss an acknowledged commit of another gateway. *Seeds*: transaction ids are drawn
//! from a seed; two nodes with one seed would draw the same ids and share records. *Stale routes*:
//! harmless, replicas check what they own.
//!
//! What this crate deliberately does not know: SQL, Paxos, storage, and how a message travels
//! ([`kv::RangeSender`]).

mod buffer;
mod cache;
mod commit;
mod coordinator;
mod error;
mod heartbeat;
mod info;
pub mod naive;
mod options;
mod reads;
mod router;
mod rules;
mod scan;
#[cfg(test)]
mod scripts;
mod txn;

pub use coordinator::{Attempts, Coordinator, Retriable};
pub use error::TxnError;
pub use info::CommitInfo;
pub use kv::LockWait;
pub use options::{Access, Config, Isolation, RouterConfig, TxnOptions, WriteLocks};
pub use router::Router;
#[cfg(any(test, feature = "broken-rules"))]
pub use rules::Rule;
pub use rules::Rules;
pub use scan::{ReadStats, Scan, ScanRows};
pub use txn::Txn;
