//! Multi-Paxos with leader leases, as a state machine: inputs in, effects out.
//!
//! A [`Group`] is one replica of one replicated log. Its host hands it messages, ticks and
//! commands, with a reading of the clock, and carries out the [`Effects`]: what to write, what to
//! send before and after that is on disk, what is chosen. It does no I/O, reads no clock, draws no
//! random number, so one schedule of inputs gives one run, in production as under test.
//!
//! # What it guarantees
//!
//! - One value per slot, whatever is lost, repeated, delayed, reordered or crashes, as long as
//!   disks keep what they synced (S1).
//! - At any true time at most one leadership acts, as long as clocks keep their bounds (P1, P2).
//! - Timestamps of a later leadership lie above all that an earlier one assigned or served (P3).
//! - What takes effect of a leadership is a prefix of what it proposed (P8).
//! - With a quorum up and connected: a leader, one lease and two round trips after the last died.
//!
//! # A day in the life
//!
//! ```text
//!  host of n1          n1 (leader 4.n1)              n2                     n3
//!  propose(x) -------> slot 17 := x
//!     write #17 <------|--- Accept #17, until t ---->|                      |
//!     fsync            |--- Accept #17, until t --------------------------->|
//!     persisted ------>|                             | write #17, fsync     |
//!                      |<-- Accepted, matched #17 ---|                      | (slow disk)
//!     chosen #17 <-----| two of three: chosen, and leased until t
//!     applied(17) ---->|--- Commit #17 ------------->| chosen #17
//!                      |                             |<---- n1 dies at this point
//!                      |                             | grant over: TT.after(t)
//!                      |                             | round 5 on disk (P0)
//!                                                    |--- Prepare 5.n2 ---->|
//!                                                    |<-- Promise, granted t|
//!                                  own promise on disk: leads, floor t (P3) |
//!                                  opening entry into #18 (P7)              |
//!                                                    |--- Accept #18 ------>|
//!                                                    |<-- Accepted #18 -----|
//!                                  chosen, applied: ready to act            |
//! ```
//!
//! # Where what is
//!
//! | module | keeps |
//! |---|---|
//! | `acceptor` | P1, P4: promises, grants, the horizon |
//! | `log` | entries, the chosen prefix, the fence (P8) |
//! | `follower` | when to stand for election |
//! | `candidate` | P0, P3, phase 1 |
//! | `leader`, `peer` | P2, P5, P7, phase 2, flow to each follower |
//! | `group` | the roles, and what each does with each message |
//! | `effects` | the contract with the host |
//!
//! # Where we deviate from the papers, and why that is safe
//!
//! - *Leases with absolute deadlines* (Spanner counts durations from send and receipt): every
//!   deadline is a TrueTime instant, so no message delay enters, only the clocks' bounds.
//! - *A candidate promises itself last*, and *a leader grants itself last*. Both only delay a
//!   promise. A node that finds no quorum thus never stands in the way of one that does.
//! - *A voter turns down a candidate that lacks slots it has truncated*, instead of handing it a
//!   snapshot during phase 1. Refusing is always safe; whoever has the slots stands as well.
//! - *A leader counts contiguous acceptance*: an entry counts where all before it are accepted. It
//!   could be chosen earlier, but could not be applied earlier.
//! - *The chosen index is not durable.* After a restart what is applied is chosen, the rest is
//!   learned again.
//!
//! # HAZARDS
//!
//! - *Clocks.* A clock outside its bound can make two leaders act at once: a read at the old one
//!   misses a write at the new one. See `acceptor` and `leader`.
//! - *Disks.* A disk that loses what it synced makes an acceptor forget a promise or an
//!   acceptance: two values in one slot. A replica whose disk was lost must not come back under
//!   its old name, which its host sees to; `Group::restore` detects contradictions, not amnesia.
//! - *The host.* An effect sent before its write is on disk breaks the same promises. See
//!   [`Effects`] for the order.
//! - *Quorums.* `phase1 + phase2 > voters` is what makes recovery find what was chosen;
//!   [`Membership`] cannot be built otherwise, but all replicas must be given the same one.
//!
//! # What it does not know
//!
//! Transactions, keys, timestamps of commands, what closed time means, how snapshots are made,
//! other groups. Reading by quorum without a lease (P6) and joint membership changes have their
//! places in the types, and are not here yet.

mod acceptor;
mod api;
mod ballot;
mod candidate;
mod config;
mod core;
mod effects;
mod follower;
mod group;
mod leader;
mod log;
mod membership;
mod message;
mod peer;
mod rules;
#[cfg(test)]
mod tests;

pub use api::{
    Birth, Candidacy, Corrupt, Leadership, PeerStatus, ProposeError, ReleaseError, RoleName,
    SnapshotRefused, Status,
};
pub use ballot::{Ballot, Slot};
pub use config::{Announce, Config};
pub use effects::{Chosen, Durable, Effects, Event, Persist, PersistToken};
pub use group::{Contradiction, Group};
pub use log::Fence;
pub use membership::{MAX_VOTERS, Membership, MembershipError};
pub use message::{Certificate, Closed, Entry, Lead, Message, Payload, Proposal, Refusal};
#[cfg(any(test, feature = "broken-rules"))]
pub use rules::Rule;
pub use rules::Rules;
