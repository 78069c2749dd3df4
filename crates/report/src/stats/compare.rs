//! Two samples side by side: by how much they differ, and whether that is shown.

use std::fmt;

use super::{Confidence, Estimate, Interval, Percentile, Sample, t_quantile};
use crate::number;

/// Something of one sample minus the same of another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// Above zero if the first sample's is larger.
    pub estimate: Estimate,
    /// Of the interval.
    pub confidence: Confidence,
}

/// What a difference shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The interval of the difference leaves out zero.
    Different,
    /// It does not: the two may be the same, or the samples too small to tell them apart. This is
    /// not a proof of equality; the interval says how large a difference may still be.
    NotShownDifferent,
    /// There is no interval: too few values.
    TooFewValues,
}

impl Sample {
    /// The mean of this sample minus that of `base`, with the interval of Welch's test, which does
    /// not take the two for equally spread. Takes two values in both.
    pub fn mean_minus(&self, base: &Sample, confidence: Confidence) -> Difference {
        let value = self.mean - base.mean;
        let interval = self.variance.zip(base.variance).map(|(mine, other)| {
            let (mine, other) = (mine / self.count() as f64, other / base.count() as f64);
            let half = welch_half_width((mine, self.count()), (other, base.count()), confidence);
            Interval::new(value - half, value + half)
        });
        Difference { estimate: Estimate { value, interval }, confidence }
    }

    /// A percentile of this sample minus that of `base`. Each percentile's own interval says how
    /// far it may be off to either side; these distances are added like standard errors, the side
    /// that makes the difference smaller for its lower end, the other for its upper (MOVER).
    pub fn percentile_minus(
        &self,
        base: &Sample,
        percentile: Percentile,
        confidence: Confidence,
    ) -> Difference {
        let mine = self.estimate_percentile(percentile, confidence);
        let other = base.estimate_percentile(percentile, confidence);
        let value = mine.value - other.value;
        let interval = mine.interval.zip(other.interval).map(|(around_mine, around_other)| {
            let down = (mine.value - around_mine.low()).hypot(around_other.high() - other.value);
            let up = (around_mine.high() - mine.value).hypot(other.value - around_other.low());
            Interval::new(value - down, value + up)
        });
        Difference { estimate: Estimate { value, interval }, confidence }
    }
}

impl Difference {
    /// Whether a difference is shown.
    pub fn verdict(&self) -> Verdict {
        match self.estimate.interval {
            None => Verdict::TooFewValues,
            Some(interval) if interval.contains(0.0) => Verdict::NotShownDifferent,
            Some(_) => Verdict::Different,
        }
    }
}

/// `different: +2.3 (95% interval 1.9 to 2.7)`.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = number::signed(self.estimate.value);
        let Some(interval) = self.estimate.interval else {
            return write!(f, "too few values to compare: {value}");
        };
        let (low, high) = (number::signed(interval.low()), number::signed(interval.high()));
        write!(f, "{}: {value} ({} interval {low} to {high})", self.verdict(), self.confidence)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Different => "different",
            Verdict::NotShownDifferent => "not shown different",
            Verdict::TooFewValues => "too few values",
        })
    }
}

/// Half the width of Welch's interval, of two means given as variance of the mean and number of
/// values. Zero where nothing varies: then the difference is exact.
fn welch_half_width(mine: (f64, usize), other: (f64, usize), confidence: Confidence) -> f64 {
    let variance = mine.0 + other.0;
    if variance == 0.0 {
        return 0.0;
    }
    let share = |(part, count): (f64, usize)| (part / variance).powi(2) / (count as f64 - 1.0);
    let freedom = 1.0 / (share(mine) + share(other));
    t_quantile(confidence, freedom) * variance.sqrt()
}
