//! The hybrid logical clock: rules T1 and T2 as a plain state machine.
//!
//! What it guarantees:
//!
//! 1. Every timestamp it gives is above every one it gave before (asserted in [`Hlc::now`]).
//! 2. It is above every remote timestamp merged before (asserted there too): causality.
//! 3. It is below an upper bound that is durable (asserted there too), so that after a crash a node
//!    starts above everything it may ever have given without remembering any of it (T1).
//! 4. No remote clock drags it beyond `latest` + tolerance (T2).
//!
//! ```text
//!          gives      latest              durable bound
//!   ─────────●──────────┼─────────────────────┼──────────►  wall
//!                       │◄── PERSIST_AHEAD ──►│             [`Hlc::bound_to_persist`] moves it
//!                       │◄─ tolerance ─►│                   beyond: refused (T2)
//! ```
//!
//! The host persists: when [`Hlc::bound_to_persist`] names a bound, it writes it durably and says
//! so with [`Hlc::persisted`]. Should its disk stall for longer than the bound reaches, the clock
//! does not stop: it stands still at the bound in its wall part and counts on in its logical part.
//! Only merging a remote time beyond the bound is then refused. After a restart, [`Restarting`]
//! waits until the bound is definitely past.
//!
//! The HLC lies at or below `latest` + tolerance but may lag behind `latest` in such a stall: who
//! needs the start rule (T3) takes the maximum with `latest` himself.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{Interval, Timestamp, format_duration};

/// How far beyond our `latest` a remote wall time may lie before its clock counts as broken (T2).
/// Honest clocks differ by at most 2ε of the wider one; this covers ε up to 250 ms.
pub const DEFAULT_TOLERANCE: Duration = Duration::from_millis(500);

/// The widest ε with which a node is still believed by peers of the usual tolerance: its stamps may be
/// ahead of the true time by twice that.
pub const WIDEST_TOLERATED_EPSILON: Duration = Duration::from_millis(250);

const _: () = assert!(
    WIDEST_TOLERATED_EPSILON.as_millis() * 2 <= DEFAULT_TOLERANCE.as_millis(),
    "an honest clock is never refused"
);

/// How far ahead of `latest` the durable bound is put: a restart waits at most this and 2ε, and
/// the bound is written about every half of it. Must exceed the tolerance by a good deal.
pub const PERSIST_AHEAD: Duration = Duration::from_secs(3);

/// A wall time, in nanoseconds since the Unix epoch, that is durable on the node's disk: no
/// timestamp it ever gave has a wall part at or above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UpperBound(pub u64);

/// A hybrid logical clock. Give it the interval read now; it reads no clock itself.
#[derive(Clone, Debug)]
pub struct Hlc {
    /// The largest timestamp given or merged. All given later are above it.
    last: Timestamp,
    /// Timestamps are given below this only; it is on disk.
    durable: UpperBound,
    tolerance: Duration,
    /// Messages refused because their sender's clock is broken (T2).
    refused: u64,
}

/// A clock after a restart, before the durable bound of its former life is past.
#[derive(Clone, Copy, Debug)]
pub struct Restarting {
    bound: UpperBound,
}

/// How long a node that starts waits at most for the bound of its former life. An honest restart waits
/// [`PERSIST_AHEAD`] and 2ε, four seconds at the very most; what takes longer than this shows that the
/// clock was ahead in the former life, or is behind now.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);

const _: () = assert!(
    LONGEST_WAIT.as_millis() > 10 * PERSIST_AHEAD.as_millis(),
    "an honest restart is never refused"
);

impl Restarting {
    /// A node that finds this bound on its disk.
    #[must_use]
    pub fn new(bound: UpperBound) -> Restarting {
        Restarting { bound }
    }

    /// The clock, once the bound is definitely past (T1). It may give nothing until its host has
    /// persisted a new bound: see [`Hlc::bound_to_persist`].
    ///
    /// # Errors
    /// Before that, how long to wait before asking again.
    pub fn start(self, tt: Interval, tolerance: Duration) -> Result<Hlc, Duration> {
        // All that was given lies below the bound, so the largest possible is just below it.
        let highest = Timestamp { wall: self.bound.0, logical: 0 }.prev();
        match tt.until_after(highest) {
            Duration::ZERO => Ok(Hlc { last: highest, durable: self.bound, tolerance, refused: 0 }),
            wait => Err(wait),
        }
    }
}

impl Hlc {
    /// The clock of a node that starts for the first time. Its host persists a bound before it
    /// asks for a timestamp: see [`Hlc::bound_to_persist`].
    #[must_use]
    pub fn new(tolerance: Duration) -> Hlc {
        Hlc { last: Timestamp::ZERO, durable: UpperBound(0), tolerance, refused: 0 }
    }

    /// The clock of a node that keeps nothing across a restart, or is never restarted: any bound
    /// counts as durable.
    #[must_use]
    pub fn volatile(tolerance: Duration) -> Hlc {
        Hlc { durable: UpperBound(u64::MAX), ..Hlc::new(tolerance) }
    }

    /// A timestamp above all given and merged before; `latest` if that is higher.
    ///
    /// # Panics
    /// If no bound was persisted since the start.
    pub fn now(&mut self, tt: Interval) -> Timestamp {
        let ceiling = Timestamp::from_wall(self.durable.0).prev();
        // T6: an interval without an upper end gives its lower one, so the clock merely counts on.
        let wanted = tt.latest_timestamp().min(Timestamp::from_wall(ceiling.wall));
        let given = wanted.max(self.last.next());
        assert!(given > self.last, "T1: {given:?} is not above {:?}", self.last);
        assert!(
            given.wall < self.durable.0,
            "T1: {given:?} is not below the durable bound {:?}: persist a bound first",
            self.durable
        );
        self.last = given;
        given
    }

    /// Merges the timestamp that a message carries (T2): all given later are above it.
    ///
    /// # Errors
    /// If it cannot come from an honest clock, or our own durable bound lags too far behind to
    /// merge it. Either way the message must be dropped and nothing has changed.
    pub fn update(&mut self, tt: Interval, remote: Timestamp) -> Result<(), ClockOutOfBounds> {
        // T6: whose clock is broken cannot be told without one's own.
        if !tt.is_bounded() {
            return Err(ClockOutOfBounds::InDoubt { remote });
        }
        if remote.wall > tt.latest_timestamp().plus(self.tolerance).wall {
            self.refused += 1;
            let (latest, tolerance) = (tt.latest, self.tolerance);
            return Err(ClockOutOfBounds::BrokenClock { remote, latest, tolerance });
        }
        if remote <= self.last {
            return Ok(());
        }
        if remote.next().wall >= self.durable.0 {
            return Err(ClockOutOfBounds::BoundNotDurable { remote, durable: self.durable });
        }
        self.last = remote;
        Ok(())
    }

    /// The bound that the host should persist now, if any: so that `latest` stays at least half of
    /// [`PERSIST_AHEAD`] below it. Ask at every tick; write it, then call [`Hlc::persisted`].
    #[must_use]
    pub fn bound_to_persist(&self, tt: Interval) -> Option<UpperBound> {
        // T6: no bound is drawn from a time that nobody knows.
        if !tt.is_bounded() {
            return None;
        }
        let highest = tt.latest_timestamp().max(self.last);
        let enough = highest.plus(PERSIST_AHEAD / 2).wall;
        (self.durable.0 < enough).then(|| UpperBound(highest.plus(PERSIST_AHEAD).wall))
    }

    /// The bound is on disk. Bounds that arrive out of order do no harm: the highest holds.
    pub fn persisted(&mut self, bound: UpperBound) {
        self.durable = self.durable.max(bound);
    }

    /// The bound that is durable now: what a restart would wait out.
    #[must_use]
    pub fn upper_bound(&self) -> UpperBound {
        self.durable
    }

    /// The largest timestamp given or merged.
    #[must_use]
    pub fn last(&self) -> Timestamp {
        self.last
    }

    /// How many remote timestamps were refused as coming from broken clocks.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

/// A remote timestamp that must not be merged (T2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockOutOfBounds {
    /// No honest clock can have given it: the sender's clock is ahead by more than it claims, or
    /// ours is behind by more than it claims.
    BrokenClock {
        /// What the message carried.
        remote: Timestamp,
        /// Our `latest`, in nanoseconds since the Unix epoch.
        latest: u64,
        /// How far beyond it would have been tolerated.
        tolerance: Duration,
    },
    /// Our own disk has not yet taken a bound above it; passes once it does.
    BoundNotDurable {
        /// What the message carried.
        remote: Timestamp,
        /// The bound that is durable.
        durable: UpperBound,
    },
    /// Our own clock is in doubt (T6); passes once it can be trusted again.
    InDoubt {
        /// What the message carried.
        remote: Timestamp,
    },
}

impl fmt::Display for ClockOutOfBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClockOutOfBounds::BrokenClock { remote, latest, tolerance } => {
                let ahead = Duration::from_nanos(remote.wall.saturating_sub(*latest));
                write!(
                    f,
                    "remote timestamp {remote} is {} beyond the latest possible time here, \
                     tolerated are {}: the clock of the sender is ahead, or ours behind, by more \
                     than it claims",
                    format_duration(ahead),
                    format_duration(*tolerance)
                )
            }
            ClockOutOfBounds::BoundNotDurable { remote, durable } => write!(
                f,
                "remote timestamp {remote} is beyond the clock bound that is durable here, {}: this \
                 process was stopped for a while, or its disk is slow; a later bound is being written",
                durable.0
            ),
            ClockOutOfBounds::InDoubt { remote } => {
                write!(f, "remote timestamp {remote} cannot be judged: our own clock is in doubt")
            }
        }
    }
}

impl std::error::Error for ClockOutOfBounds {}

#[cfg(test)]
mod tests;
