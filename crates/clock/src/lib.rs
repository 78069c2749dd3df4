//! Time: timestamps, the hybrid logical clock, TrueTime intervals, and the clocks behind them.
//!
//! A database that spans regions must agree on the order of transactions that never met. Meridian
//! does as Spanner does (OSDI 2012, section 3): it admits that a clock is never exact, makes the
//! inexactness part of the interface, and waits it out where somebody could notice.
//!
//! ```text
//!   true time  ───────────────────────────●──────────────────────────►
//!   n1 (fast)                             ├───────┼───────┤             earliest .. latest
//!   n2 (slow)             ├───────┼───────┤
//!                             ε       ε
//! ```
//!
//! [`Clock::now`] answers an [`Interval`] that contains the true time. `after(t)` says that t is
//! definitely past, `before(t)` that it has definitely not come; in between nobody knows, and that
//! is 2ε wide. Suppose n1 above commits and picks s = its `latest`, 2ε ahead of the true time.
//! Were it to answer at once, a client could hear of the commit, walk over to n2, and there start a
//! transaction that is given a *smaller* timestamp. So n1 answers only when `after(s)` holds on its
//! own clock: then the true time is beyond s, and so is `latest` of every honest clock.
//!
//! The rules:
//!
//! - **T1** The hybrid logical clock ([`Hlc`]) is monotonic on a node, also across restarts: an
//!   upper bound is persisted ahead and waited out ([`Restarting`]).
//! - **T2** Every message carries the sender's HLC and merges into the receiver's. A remote wall
//!   time beyond `latest` + tolerance proves a clock broken: the message is refused with
//!   [`ClockOutOfBounds`] and never drags the receiver forward.
//! - **T3** (start rule) A commit timestamp is at or above `latest` as read after the commit
//!   request arrived.
//! - **T4** (commit-wait rule) Nobody outside sees the effect of a commit or its acknowledgement
//!   before `after(s)`. The wait overlaps replication.
//! - **T5** A read returns a version s only once `after(s)`.
//!
//! T1 and T2 are kept here. T3 to T5 are kept by the ranges; this crate gives them the interval.
//!
//! What is in it:
//!
//! | type | what |
//! |---|---|
//! | [`Timestamp`], [`Interval`], [`Mono`], [`Now`] | the vocabulary |
//! | [`Hlc`] | T1 and T2 as a plain state machine: the interval comes in as an argument |
//! | [`TrueTime`], [`Ticker`] | where the true time of a process comes from |
//! | [`Uncertainty`] | how wide the interval is: `zero`, `fixed`, `sawtooth` |
//! | [`Offset`] | where within (or, for liars, outside) the interval a node's clock really is |
//! | [`SwitchableClock`] | a [`Clock`] made of these, to be changed at run time |
//!
//! # Hazards
//!
//! HAZARD: everything above trusts `earliest <= true time <= latest`. A clock that is off by more
//! than its ε can commit with a timestamp below one that a client has already seen: reads at other
//! nodes then miss an acknowledged write, for about as long as the clock is beyond its bound. No
//! data is lost and a single group stays serializable, since the leader orders its own timestamps
//! (R1); lease disjointness (P1, P2), however, rests on the same bound. T2 notices a clock that
//! runs ahead by more than the tolerance. It cannot notice one that runs behind: such a node merely
//! serves stale snapshots. [`Offset::Lie`] makes such clocks on purpose, for experiments that must
//! find the violation.
//!
//! HAZARD: with [`Uncertainty::Zero`] the claim is that all nodes read the very same time. It is
//! true of nodes in one process, and of processes on one machine up to the few hundred nanoseconds
//! between two readings at start; it is false between machines.
//!
//! HAZARD: a process that is suspended reads a fresh interval when it wakes, but may act on one
//! read before. Whoever checks a deadline and then acts relies on the check being repeated at the
//! receiver (fencing by ballot); no interval can promise it.
//!
//! # Where this deviates from the papers
//!
//! Spanner's `now()` is fed by time masters with GPS and atomic clocks; ours is modelled on top of
//! a true time that the process knows, or on the machine's own clock and a claim by its operator.
//! The physical part of the HLC is `latest`, not the clock's middle as in the HLC paper (Kulkarni
//! et al., 2014): a reading of it is then a valid snapshot timestamp (the newest a strong read may
//! ask for), at the price of a tolerance that must cover 2ε instead of ε.
//!
//! This crate knows nothing of ranges, nodes' names, networks or timers, and reads no clock of the
//! machine itself: the one place that does is whoever builds a [`TrueTime`].

mod duration;
mod freeze;
mod hlc;
mod offset;
mod switchable;
mod timestamp;
mod truetime;
mod uncertainty;

pub use duration::{DurationError, format_duration, parse_duration};
pub use freeze::{Freezable, Freezer, inherit};
pub use hlc::{
    ClockOutOfBounds, DEFAULT_TOLERANCE, Hlc, PERSIST_AHEAD, Restarting, UpperBound,
    WIDEST_TOLERATED_EPSILON,
};
pub use offset::{Lean, Offset, OffsetError, format_offset, parse_offset};
pub use switchable::{Aim, Beyond, BeyondClaim, Reading, SwitchableClock};
pub use timestamp::{Interval, Mono, Now, Timestamp};
pub use truetime::{ManualTicker, Ticker, TrueTime};
pub use uncertainty::{MAX_EPSILON, Sawtooth, Uncertainty, UncertaintyError};

use std::{fmt, sync::Arc};

/// The seam to time. A node reads time through this and nothing else; timers are tokio's, whose
/// clock a simulation pauses.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// The TrueTime interval that contains the true time, if the clock keeps its promise.
    fn now(&self) -> Interval;

    /// Monotonic nanoseconds since the node's start: for timeouts only, never compared between
    /// nodes.
    fn mono(&self) -> Mono;

    /// The name of the source and its parameters, as `SHOW CLOCKS` prints it: `fixed(4ms)`.
    fn source(&self) -> String;

    /// In simulation and demo, where true time is known: how far this node's clock reading (the
    /// middle of its interval) is off, in nanoseconds. `None` on a real clock.
    fn true_offset_nanos(&self) -> Option<i64>;
}

/// A shared clock.
pub type SharedClock = Arc<dyn Clock>;
