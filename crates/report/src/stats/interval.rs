//! Words of statistics as types, so that a share is not taken for a percentage.

use std::fmt;

use crate::number;

/// A share of the values of a sample, strictly between none and all of them.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Percentile(f64);

impl Percentile {
    /// Half of the values.
    pub const MEDIAN: Percentile = Percentile(0.5);
    /// 90% of the values.
    pub const P90: Percentile = Percentile(0.9);
    /// 95% of the values.
    pub const P95: Percentile = Percentile(0.95);
    /// 99% of the values.
    pub const P99: Percentile = Percentile(0.99);
    /// 99.9% of the values.
    pub const P99_9: Percentile = Percentile(0.999);

    /// A percentile given in percent.
    ///
    /// # Panics
    ///
    /// If it is not above 0 and below 100.
    pub fn new(percent: f64) -> Percentile {
        assert!(percent > 0.0 && percent < 100.0, "no percentile: {percent}");
        Percentile(percent / 100.0)
    }

    /// As a fraction of 1.
    pub fn share(self) -> f64 {
        self.0
    }
}

/// `p50`, `p99.9`.
impl fmt::Display for Percentile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", number::short(self.0 * 100.0))
    }
}

/// How often intervals made this way contain the truth.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Confidence(f64);

impl Confidence {
    /// 19 times in 20.
    pub const C95: Confidence = Confidence(0.95);
    /// 99 times in 100.
    pub const C99: Confidence = Confidence(0.99);

    /// A confidence given in percent.
    ///
    /// # Panics
    ///
    /// If it is not above 0 and below 100.
    pub fn new(percent: f64) -> Confidence {
        assert!(percent > 0.0 && percent < 100.0, "no confidence: {percent}");
        Confidence(percent / 100.0)
    }

    /// The probability that the truth lies on one given side of the interval.
    pub(super) fn tail(self) -> f64 {
        (1.0 - self.0) / 2.0
    }
}

/// `95%`.
impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", number::short(self.0 * 100.0))
    }
}

/// From `low` to `high`, both included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    low: f64,
    high: f64,
}

impl Interval {
    /// An interval; `low` and `high` may be the same.
    ///
    /// # Panics
    ///
    /// If `low` is above `high` or one of them is not finite.
    pub fn new(low: f64, high: f64) -> Interval {
        assert!(low.is_finite() && high.is_finite() && low <= high, "no interval: {low} to {high}");
        Interval { low, high }
    }

    /// The lower end.
    pub fn low(self) -> f64 {
        self.low
    }

    /// The upper end.
    pub fn high(self) -> f64 {
        self.high
    }

    /// Whether `value` lies within, ends included.
    pub fn contains(self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// `14.2 to 14.6`.
impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", number::short(self.low), number::short(self.high))
    }
}

/// A value, and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The best guess.
    pub value: f64,
    /// Where the truth is to be found; none where there were too few values to say, or where the
    /// value is no measurement.
    pub interval: Option<Interval>,
}

impl Estimate {
    /// A value that somebody else gives, or that theory demands.
    pub fn exact(value: f64) -> Estimate {
        Estimate { value, interval: None }
    }
}

impl From<f64> for Estimate {
    fn from(value: f64) -> Estimate {
        Estimate::exact(value)
    }
}
