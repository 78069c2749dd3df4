//! Where within its interval a node's clock really is.
//!
//! A simulation knows the true time, so it can place each node's clock anywhere the claim allows:
//! protocols must be right for *every* such placement, and the adversarial one is the hardest.
//! Offsets are pure functions of a seed and the time: the same seed replays the same clocks.

use std::{fmt, str::FromStr};

use crate::format_duration;

/// How far apart the points are between which [`Offset::Walk`] wanders, in nanoseconds.
const WALK_STEP_NANOS: u64 = 10_000_000_000;

/// One, in the fixed-point fractions of ε used below.
const ONE: i64 = 1 << 32;

/// The true offset of a node's clock: the middle of its interval minus the true time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offset {
    /// The middle of the interval is the true time.
    #[default]
    Centered,
    /// A constant fraction of ε, drawn per node, evenly between -1 and 1.
    Uniform,
    /// Wanders between random fractions of ε, a new one every ten seconds.
    Walk,
    /// As far as the claim allows: the true time is the very end of the interval.
    Adversarial(Lean),
    /// A clock that lies: off by more than it claims. For experiments only; breaks the guarantees.
    Lie {
        /// The offset at the moment when the lie was set, in nanoseconds; positive is ahead.
        offset_nanos: i64,
        /// What is added to it per second since, in nanoseconds per millisecond (parts per
        /// million).
        drift_ppm: i64,
    },
}

/// The direction of an adversarial offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lean {
    /// The clock is ahead: `earliest` is the true time.
    Fast,
    /// The clock is behind: `latest` is the true time.
    Slow,
}

/// The moment for which an offset is asked, all in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OffsetAt {
    /// Seed of the node.
    pub seed: u64,
    /// Since the ticker's start.
    pub elapsed_nanos: u64,
    /// Since the offset was set.
    pub since_set_nanos: u64,
    /// ε now.
    pub epsilon_nanos: u64,
}

impl Offset {
    /// Whether the clock keeps its claim.
    #[must_use]
    pub fn is_honest(self) -> bool {
        match self {
            Offset::Centered | Offset::Uniform | Offset::Walk | Offset::Adversarial(_) => true,
            Offset::Lie { .. } => false,
        }
    }

    /// The offset in nanoseconds. Honest ones lie within ε: `|offset| <= ε`.
    pub(crate) fn nanos(self, at: OffsetAt) -> i64 {
        let fraction = match self {
            Offset::Centered => 0,
            Offset::Uniform => fraction(at.seed, 0),
            Offset::Walk => walk(at.seed, at.elapsed_nanos),
            Offset::Adversarial(Lean::Fast) => ONE,
            Offset::Adversarial(Lean::Slow) => -ONE,
            Offset::Lie { offset_nanos, drift_ppm } => {
                let drift = i128::from(drift_ppm) * i128::from(at.since_set_nanos) / 1_000_000;
                return offset_nanos.saturating_add(i64::try_from(drift).unwrap_or(i64::MAX));
            }
        };
        let offset = i128::from(at.epsilon_nanos) * i128::from(fraction) / i128::from(ONE);
        let offset = i64::try_from(offset).expect("an offset within ε fits");
        assert!(
            offset.unsigned_abs() <= at.epsilon_nanos,
            "an honest clock is off by {offset} ns, more than its ε of {} ns",
            at.epsilon_nanos
        );
        offset
    }
}

/// A fraction of ε between -[`ONE`] and [`ONE`], the `index`-th of a seed.
fn fraction(seed: u64, index: u64) -> i64 {
    let spread = u64::try_from(2 * ONE + 1).expect("positive");
    let drawn = mix(seed ^ mix(index)) % spread;
    i64::try_from(drawn).expect("below 2^34") - ONE
}

/// A fraction of ε that moves in straight lines from one random point to the next.
fn walk(seed: u64, elapsed_nanos: u64) -> i64 {
    let (step, within) = (elapsed_nanos / WALK_STEP_NANOS, elapsed_nanos % WALK_STEP_NANOS);
    let (from, to) = (i128::from(fraction(seed, step)), i128::from(fraction(seed, step + 1)));
    let moved = (to - from) * i128::from(within) / i128::from(WALK_STEP_NANOS);
    i64::try_from(from + moved).expect("between two fractions")
}

/// SplitMix64's finalizer (Steele, Lea, Flood 2014): a bijection that looks random.
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Offset::Centered => f.write_str("centered"),
            Offset::Uniform => f.write_str("uniform"),
            Offset::Walk => f.write_str("walk"),
            Offset::Adversarial(Lean::Fast) => f.write_str("fast"),
            Offset::Adversarial(Lean::Slow) => f.write_str("slow"),
            Offset::Lie { offset_nanos, drift_ppm } => {
                let sign = if *offset_nanos < 0 { '-' } else { '+' };
                let size = std::time::Duration::from_nanos(offset_nanos.unsigned_abs());
                write!(f, "lie({sign}{}, {drift_ppm}ppm)", format_duration(size))
            }
        }
    }
}

/// Why a text names no offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetError(String);

impl fmt::Display for OffsetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unknown clock offset \"{}\": write centered, uniform, walk, fast or slow",
            self.0
        )
    }
}

impl std::error::Error for OffsetError {}

impl FromStr for Offset {
    type Err = OffsetError;

    /// Reads the honest offsets: `centered`, `uniform`, `walk`, `fast`, `slow`. A lie has no
    /// spelling: it is told by a program that knows what it does.
    fn from_str(text: &str) -> Result<Offset, OffsetError> {
        match text {
            "centered" => Ok(Offset::Centered),
            "uniform" => Ok(Offset::Uniform),
            "walk" => Ok(Offset::Walk),
            "fast" => Ok(Offset::Adversarial(Lean::Fast)),
            "slow" => Ok(Offset::Adversarial(Lean::Slow)),
            _ => Err(OffsetError(text.to_owned())),
        }
    }
}
