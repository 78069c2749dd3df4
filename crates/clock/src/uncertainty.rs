//! How wide the interval is: the models of clock uncertainty.

use std::{fmt, str::FromStr, time::Duration};

use crate::{format_duration, parse_duration};

/// The widest ε that a model may claim. A commit waits about 2ε; beyond this nobody wants to.
pub const MAX_EPSILON: Duration = Duration::from_secs(10);

/// A model of clock uncertainty: ε as a function of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uncertainty {
    /// ε = 0: `earliest == latest ==` the true time. Only where all nodes share one clock.
    Zero,
    /// ε never changes.
    Fixed {
        /// ε. Above zero, at most [`MAX_EPSILON`].
        epsilon: Duration,
    },
    /// ε grows between polls of a time master and falls back at each.
    Sawtooth(Sawtooth),
}

/// A sawtooth: `ε(t) = base + drift * (time since the last poll)`. Each node's polls are shifted by
/// a phase of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sawtooth {
    /// ε right after a poll: the master's own uncertainty and half the round trip to it.
    pub base: Duration,
    /// The drift that is assumed of the local oscillator, in microseconds per second.
    pub drift_ppm: u32,
    /// Time between polls. Above zero.
    pub poll: Duration,
}

/// Spanner as published (OSDI 2012, section 3): polls every 30 s, 200 µs/s of drift, about 1 ms of
/// communication delay, so that ε runs from 1 to 7 ms.
const SPANNER_2012: Sawtooth =
    Sawtooth { base: Duration::from_millis(1), drift_ppm: 200, poll: Duration::from_secs(30) };

/// Named models with a constant ε, in nanoseconds: what clocks in the field are worth.
const PRESETS: [(&str, u64); 6] = [
    ("sundial", 100),
    ("aws-phc", 40_000),
    ("spanner-now", 500_000),
    ("aws-ntp", 1_000_000),
    ("laptop-ntp", 20_000_000),
    ("cockroach", 250_000_000),
];

impl Uncertainty {
    /// ε = `epsilon` for good; [`Uncertainty::Zero`] if that is zero.
    ///
    /// # Errors
    /// If `epsilon` is above [`MAX_EPSILON`].
    pub fn fixed(epsilon: Duration) -> Result<Uncertainty, UncertaintyError> {
        if epsilon > MAX_EPSILON {
            return Err(UncertaintyError::TooWide(epsilon));
        }
        Ok(if epsilon.is_zero() { Uncertainty::Zero } else { Uncertainty::Fixed { epsilon } })
    }

    /// Spanner's sawtooth of 2012, between 1 and 7 ms.
    #[must_use]
    pub const fn spanner_2012() -> Uncertainty {
        Uncertainty::Sawtooth(SPANNER_2012)
    }

    /// A sawtooth.
    ///
    /// # Errors
    /// If its polls have no time between them, or its widest ε is above [`MAX_EPSILON`].
    pub fn sawtooth(sawtooth: Sawtooth) -> Result<Uncertainty, UncertaintyError> {
        if sawtooth.poll.is_zero() {
            return Err(UncertaintyError::NoPoll);
        }
        let model = Uncertainty::Sawtooth(sawtooth);
        let widest = model.widest();
        if widest > MAX_EPSILON {
            return Err(UncertaintyError::TooWide(widest));
        }
        Ok(model)
    }

    /// ε in nanoseconds at a moment, for a node whose polls are shifted by `phase_nanos`.
    #[must_use]
    pub fn epsilon_nanos(self, at_nanos: u64, phase_nanos: u64) -> u64 {
        match self {
            Uncertainty::Zero => 0,
            Uncertainty::Fixed { epsilon } => nanos(epsilon),
            Uncertainty::Sawtooth(sawtooth) => {
                let poll = nanos(sawtooth.poll);
                let since_poll = (at_nanos % poll + phase_nanos % poll) % poll;
                nanos(sawtooth.base) + drifted(sawtooth, since_poll)
            }
        }
    }

    /// The widest ε that the model ever claims.
    #[must_use]
    pub fn widest(self) -> Duration {
        match self {
            Uncertainty::Zero => Duration::ZERO,
            Uncertainty::Fixed { epsilon } => epsilon,
            Uncertainty::Sawtooth(sawtooth) => {
                sawtooth.base + Duration::from_nanos(drifted(sawtooth, nanos(sawtooth.poll)))
            }
        }
    }
}

fn drifted(sawtooth: Sawtooth, since_poll_nanos: u64) -> u64 {
    let drift = u128::from(since_poll_nanos) * u128::from(sawtooth.drift_ppm) / 1_000_000;
    u64::try_from(drift).unwrap_or(u64::MAX / 4)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
}

/// As `SHOW CLOCKS` prints it; [`Uncertainty::from_str`] reads it back.
impl fmt::Display for Uncertainty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Uncertainty::Zero => f.write_str("zero"),
            Uncertainty::Fixed { epsilon } => write!(f, "fixed({})", format_duration(*epsilon)),
            Uncertainty::Sawtooth(Sawtooth { base, drift_ppm, poll }) => {
                let (base, poll) = (format_duration(*base), format_duration(*poll));
                write!(f, "sawtooth({base}, {drift_ppm}ppm, {poll})")
            }
        }
    }
}

impl FromStr for Uncertainty {
    type Err = UncertaintyError;

    /// Reads `zero`, `spanner2012`, `fixed(4ms)`, `sawtooth(1ms, 200ppm, 30s)`, or the name of a
    /// preset (`spanner-now`, `aws-phc`, `aws-ntp`, `laptop-ntp`, `cockroach`, `sundial`).
    fn from_str(text: &str) -> Result<Uncertainty, UncertaintyError> {
        let unknown = || UncertaintyError::Unknown(text.to_owned());
        if let Some((_, epsilon)) = PRESETS.iter().find(|(name, _)| *name == text) {
            return Uncertainty::fixed(Duration::from_nanos(*epsilon));
        }
        match text {
            "zero" => return Ok(Uncertainty::Zero),
            "spanner2012" | "sawtooth" => return Ok(Uncertainty::spanner_2012()),
            _ => {}
        }
        let (name, arguments) =
            text.strip_suffix(')').and_then(|t| t.split_once('(')).ok_or_else(unknown)?;
        let arguments: Vec<&str> = arguments.split(',').map(str::trim).collect();
        let duration = |text| parse_duration(text).map_err(|_| unknown());
        match (name, arguments.as_slice()) {
            ("fixed", [epsilon]) => Uncertainty::fixed(duration(epsilon)?),
            ("sawtooth", [base, drift, poll]) => Uncertainty::sawtooth(Sawtooth {
                base: duration(base)?,
                drift_ppm: drift
                    .strip_suffix("ppm")
                    .and_then(|ppm| ppm.parse().ok())
                    .ok_or_else(unknown)?,
                poll: duration(poll)?,
            }),
            _ => Err(unknown()),
        }
    }
}

/// Why a model of uncertainty is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UncertaintyError {
    /// The text names no model.
    Unknown(String),
    /// ε would be above [`MAX_EPSILON`].
    TooWide(Duration),
    /// A sawtooth without time between its polls.
    NoPoll,
}

impl fmt::Display for UncertaintyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UncertaintyError::Unknown(text) => {
                let presets = PRESETS.map(|(name, _)| name).join(", ");
                write!(
                    f,
                    "unknown clock model \"{text}\": write zero, fixed(4ms), spanner2012, \
                     sawtooth(1ms, 200ppm, 30s), or one of {presets}"
                )
            }
            UncertaintyError::TooWide(epsilon) => write!(
                f,
                "a clock uncertainty of {} is above the limit of {}",
                format_duration(*epsilon),
                format_duration(MAX_EPSILON)
            ),
            UncertaintyError::NoPoll => {
                f.write_str("a sawtooth clock needs time between its polls")
            }
        }
    }
}

impl std::error::Error for UncertaintyError {}

#[cfg(test)]
mod tests;
