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
    /// Put where somebody wants it, as far as the claim allows: what would lie beyond the edge of
    /// the interval lies on the edge. So the clock stays honest whatever ε becomes later.
    Held {
        /// The offset at the moment when it was set, in nanoseconds; positive is ahead.
        offset_nanos: i64,
        /// What is added to it per second since, in parts per million.
        drift_ppm: i64,
    },
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
            Offset::Centered
            | Offset::Uniform
            | Offset::Walk
            | Offset::Adversarial(_)
            | Offset::Held { .. } => true,
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
            Offset::Held { offset_nanos, drift_ppm } => {
                let edge = i64::try_from(at.epsilon_nanos).unwrap_or(i64::MAX);
                return drifted(offset_nanos, drift_ppm, at).clamp(-edge, edge);
            }
            Offset::Lie { offset_nanos, drift_ppm } => return drifted(offset_nanos, drift_ppm, at),
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

/// An offset that grows since it was set.
fn drifted(offset_nanos: i64, drift_ppm: i64, at: OffsetAt) -> i64 {
    let drift = i128::from(drift_ppm) * i128::from(at.since_set_nanos) / 1_000_000;
    let whole = (i128::from(offset_nanos) + drift).clamp(i64::MIN.into(), i64::MAX.into());
    i64::try_from(whole).expect("clamped")
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
            Offset::Held { offset_nanos, drift_ppm } => {
                write!(f, "held({}, {drift_ppm}ppm)", format_offset(*offset_nanos))
            }
            Offset::Lie { offset_nanos, drift_ppm } => {
                write!(f, "UNSAFE lie({}, {drift_ppm}ppm)", format_offset(*offset_nanos))
            }
        }
    }
}

/// Prints an offset with its sign: `+40ms`.
#[must_use]
pub fn format_offset(nanos: i64) -> String {
    let sign = if nanos < 0 { '-' } else { '+' };
    format!("{sign}{}", format_duration(std::time::Duration::from_nanos(nanos.unsigned_abs())))
}

/// Reads a duration with a sign: `+40ms`, `-2s`; without a sign it is ahead.
///
/// # Errors
/// If it is no duration, or longer than 292 years.
pub fn parse_offset(text: &str) -> Result<i64, crate::DurationError> {
    let text = text.trim();
    let (sign, size) = match text.strip_prefix('-') {
        Some(size) => (-1, size),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let size = crate::parse_duration(size)?;
    Ok(sign * i64::try_from(size.as_nanos()).unwrap_or(i64::MAX))
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

    /// Reads the honest offsets that need no number: `centered`, `uniform`, `walk`, `fast`, `slow`.
    /// A lie has no spelling: it is told by a program that knows what it does.
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
