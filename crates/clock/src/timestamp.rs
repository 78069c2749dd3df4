//! Timestamps, intervals and monotonic time.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// A point in hybrid logical time: wall nanoseconds since the Unix epoch, then a counter that
/// orders events of one nanosecond. Ordered lexicographically; 12 bytes big-endian on disk.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp {
    /// Nanoseconds since the Unix epoch.
    pub wall: u64,
    /// Logical counter within the nanosecond.
    pub logical: u32,
}

impl Timestamp {
    /// Before everything: no version, no bound.
    pub const ZERO: Timestamp = Timestamp { wall: 0, logical: 0 };
    /// After everything.
    pub const MAX: Timestamp = Timestamp { wall: u64::MAX, logical: u32::MAX };

    /// The timestamp at the start of a nanosecond.
    #[must_use]
    pub const fn from_wall(wall: u64) -> Timestamp {
        Timestamp { wall, logical: 0 }
    }

    /// The least timestamp above this one. Saturates at [`Timestamp::MAX`].
    #[must_use]
    pub const fn next(self) -> Timestamp {
        if self.logical < u32::MAX {
            Timestamp { wall: self.wall, logical: self.logical + 1 }
        } else if self.wall < u64::MAX {
            Timestamp { wall: self.wall + 1, logical: 0 }
        } else {
            Timestamp::MAX
        }
    }

    /// The greatest timestamp below this one. Saturates at [`Timestamp::ZERO`].
    #[must_use]
    pub const fn prev(self) -> Timestamp {
        if self.logical > 0 {
            Timestamp { wall: self.wall, logical: self.logical - 1 }
        } else if self.wall > 0 {
            Timestamp { wall: self.wall - 1, logical: u32::MAX }
        } else {
            Timestamp::ZERO
        }
    }

    /// This timestamp moved into the future; logical part kept. Saturates.
    #[must_use]
    pub fn plus(self, by: Duration) -> Timestamp {
        Timestamp { wall: self.wall.saturating_add(nanos(by)), logical: self.logical }
    }

    /// This timestamp moved into the past; logical part kept. Saturates at zero.
    #[must_use]
    pub fn minus(self, by: Duration) -> Timestamp {
        Timestamp { wall: self.wall.saturating_sub(nanos(by)), logical: self.logical }
    }

    /// 12 bytes, big-endian: ordered as the timestamps are.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 12] {
        let mut out = [0; 12];
        out[..8].copy_from_slice(&self.wall.to_be_bytes());
        out[8..].copy_from_slice(&self.logical.to_be_bytes());
        out
    }

    /// The reverse of [`Timestamp::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: [u8; 12]) -> Timestamp {
        let (wall, logical) = bytes.split_at(8);
        Timestamp {
            wall: u64::from_be_bytes(wall.try_into().expect("8 bytes")),
            logical: u32::from_be_bytes(logical.try_into().expect("4 bytes")),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Printed as `wall.logical` in decimal, the form `AS OF SYSTEM TIME` reads back.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:010}", self.wall, self.logical)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.wall, self.logical)
    }
}

/// What `TrueTime::now()` answers: the true time lies in `earliest ..= latest`, in nanoseconds
/// since the Unix epoch. ε is half the width.
///
/// A clock that cannot be trusted (T6) answers an interval without an upper end
/// ([`Interval::unbounded`]): nothing has certainly not come yet, so no lease holds (P2); nothing
/// becomes past that was not, so no wait ends (T4, T5) and no grant runs out (P1). Its missing end is
/// never a number that anybody could assign, merge or write to disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// The true time is not before this.
    pub earliest: u64,
    /// The true time is not after this.
    pub latest: u64,
}

impl Interval {
    /// The end of an interval that has none.
    const NO_END: u64 = u64::MAX;

    /// T6: all that is known is that the true time is not before this, in nanoseconds since the Unix
    /// epoch.
    #[must_use]
    pub const fn unbounded(earliest: u64) -> Interval {
        Interval { earliest, latest: Interval::NO_END }
    }

    /// Whether it has an upper end: else nothing may be done that needs the time (T6).
    #[must_use]
    pub const fn is_bounded(self) -> bool {
        self.latest != Interval::NO_END
    }

    /// The middle, which displays take for the time: the lower end, if there is no other.
    #[must_use]
    pub const fn middle(self) -> u64 {
        if self.is_bounded() {
            self.earliest + self.latest.saturating_sub(self.earliest) / 2
        } else {
            self.earliest
        }
    }

    /// `TT.after(t)`: t is definitely past.
    #[must_use]
    pub fn after(self, t: Timestamp) -> bool {
        self.earliest > t.wall
    }

    /// `TT.before(t)`: t has definitely not come yet.
    #[must_use]
    pub fn before(self, t: Timestamp) -> bool {
        self.latest < t.wall
    }

    /// The upper end as a timestamp; of an interval without one the lower end, the only time that it
    /// knows: so the missing end reaches no timestamp. Who serves or assigns from this asks
    /// [`Interval::is_bounded`] first (T6).
    #[must_use]
    pub fn latest_timestamp(self) -> Timestamp {
        Timestamp::from_wall(if self.is_bounded() { self.latest } else { self.earliest })
    }

    /// The lower end as a timestamp.
    #[must_use]
    pub fn earliest_timestamp(self) -> Timestamp {
        Timestamp::from_wall(self.earliest)
    }

    /// ε: half the interval's width; the widest that any clock may claim, if it has no upper end.
    #[must_use]
    pub fn epsilon(self) -> Duration {
        if self.is_bounded() {
            Duration::from_nanos(self.latest.saturating_sub(self.earliest) / 2)
        } else {
            crate::MAX_EPSILON
        }
    }

    /// How long until `after(t)` can be true, if the interval moves with the true time: zero if it
    /// is true now. Look again after sleeping: the interval may have widened.
    #[must_use]
    pub fn until_after(self, t: Timestamp) -> Duration {
        if self.after(t) {
            Duration::ZERO
        } else {
            Duration::from_nanos(t.wall - self.earliest + 1)
        }
    }
}

/// Monotonic nanoseconds since a node's start. Never compared between nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub u64);

impl Mono {
    /// The moment `by` later.
    #[must_use]
    pub fn plus(self, by: Duration) -> Mono {
        Mono(self.0.saturating_add(nanos(by)))
    }

    /// The time from `earlier` to this moment; zero if it lies later.
    #[must_use]
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// One reading of a node's time, handed into the protocol cores with every input: they never read
/// a clock themselves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    /// TrueTime's interval.
    pub tt: Interval,
    /// Monotonic time, for timeouts.
    pub mono: Mono,
}
