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
//! - **T6** A node acts only while its clock is known to have run without a jump: a clock in doubt
//!   reads as an interval without an upper end ([`Interval::unbounded`]), of which nothing follows.
//!
//! T1, T2 and what T6 reads are kept here. T3 to T5 are kept by the ranges; this crate gives them the interval.
//!
//! What is in it:
//!
//! | type | what |
//! |---|---|
//! | [`Timestamp`], [`Interval`], [`Mono`], [`Now`] | the vocabulary |
//! | [`Hlc`] | T1 and T2 as a plain state machine: the interval comes in as an argument |
//! | [`TrueTime`], [`Ticker`] | where the true time of a process comes from |
//! | [`JumpDetector`], [`Trust`] | T6 as plain state machines: the machine's clocks come in as arguments |
//! | [`MachineClock`] | a [`Clock`] of a real machine: its wall clock and a [`Claim`] about it |
//! | [`ClockModel`] | what may be said of a clock, as command lines and files write it |
//! | [`clockbound`] | how AWS ClockBound's shared memory is read, as a function of bytes |
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
//! HAZARD: a process that is suspended reads in its first reading that it was (T6), but may act on one
//! read before. Whoever checks a deadline and then acts relies on the check being repeated at the
//! receiver (fencing by ballot); no interval can promise it. What the machine itself is not told of,
//! no reading of it shows: see the head of `jump.rs`.
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

pub mod clockbound;
mod duration;
mod freeze;
mod hlc;
mod jump;
mod machine;
mod model;
mod offset;
mod rules;
mod switchable;
mod timestamp;
mod truetime;
mod trust;
mod uncertainty;

pub use duration::{DurationError, format_duration, parse_duration};
pub use freeze::{Freezable, Freezer, inherit};
pub use hlc::{
    ClockOutOfBounds, DEFAULT_TOLERANCE, Hlc, LONGEST_WAIT, PERSIST_AHEAD, Restarting, UpperBound,
    WIDEST_TOLERATED_EPSILON,
};
pub use jump::{Jump, JumpDetector, Readings, SLACK, Verdict};
pub use machine::{Bound, BoundSource, Claim, Machine, MachineClock, NotVouched, POLL_EVERY};
pub use model::{ClockModel, MODELS, ModelError, NeedsMachine};
pub use offset::{Lean, Offset, OffsetError, format_offset, parse_offset};
pub use rules::{Rule, Rules};
pub use switchable::{Aim, Beyond, BeyondClaim, Reading, SwitchableClock};
pub use timestamp::{Interval, Mono, Now, Timestamp};
pub use truetime::{ManualTicker, Ticker, TrueTime};
pub use trust::{Doubt, Jumps, Trust};
pub use uncertainty::{MAX_EPSILON, Sawtooth, Uncertainty, UncertaintyError};

use std::{fmt, sync::Arc};

/// The seam to time. A node reads time through this and nothing else; timers are tokio's, whose
/// clock a simulation pauses.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// The TrueTime interval that contains the true time, if the clock keeps its promise. While the
    /// clock is in doubt it has no upper end ([`Interval::is_bounded`], T6).
    fn now(&self) -> Interval;

    /// Monotonic nanoseconds since the node's start: for timeouts only, never compared between
    /// nodes.
    fn mono(&self) -> Mono;

    /// The name of the source and its parameters, as `SHOW CLOCKS` prints it: `fixed(4ms)`.
    fn source(&self) -> String;

    /// In simulation and demo, where true time is known: how far this node's clock reading (the
    /// middle of its interval) is off, in nanoseconds. `None` on a real clock.
    fn true_offset_nanos(&self) -> Option<i64>;

    /// What the source claims now, in doubt or not: to be compared with other clocks and shown to
    /// people, never to act on.
    fn claimed(&self) -> Interval {
        self.now()
    }

    /// How many jumps the clock has seen up to its latest reading (T6).
    fn jumps(&self) -> Jumps {
        Jumps::default()
    }

    /// Reads the clock: why is it in doubt? `None`: it is not.
    fn doubt(&self) -> Option<Doubt> {
        None
    }

    /// Its time was compared with its peers' after this many jumps, and they agree.
    fn vouch(&self, after: Jumps) {
        assert_eq!(after, self.jumps(), "T6: a clock that never jumps needs no voucher");
    }
}

/// A shared clock.
pub type SharedClock = Arc<dyn Clock>;
