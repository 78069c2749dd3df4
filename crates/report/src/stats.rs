//! Samples, and how sure one may be of what they say.
//!
//! | quantity | interval | source |
//! |---|---|---|
//! | mean | Student's t | any textbook; relies on the central limit theorem |
//! | percentile | two order statistics, by the binomial distribution | Hahn & Meeker, *Statistical Intervals*, 5.2 |
//! | difference of means | Welch's t | Welch 1947 |
//! | difference of percentiles | MOVER on the two percentile intervals | Zou & Donner 2008, *Statistics in Medicine* 27 |
//!
//! The interval of a percentile assumes no distribution at all: the number of values below the true
//! percentile p is binomial, so
//!
//! ```text
//!  sorted values   x1  x2  ...  xl  ...  x(np)  ...  xu  ...  xn
//!                               [---- at least 95% ---]
//!  P(fewer than l values below) <= 2.5%,  P(u or more values below) <= 2.5%
//! ```
//!
//! Where a sample is too small for its percentile there is no such pair, and no interval is given:
//! a 95% interval takes 6 values for the median, 72 for p95, 368 for p99 and 3,688 for p99.9.
//!
//! # HAZARDS
//!
//! All intervals assume *independent* values. Latencies of one run are not: they share queues,
//! leaders and the weather of the network, so that intervals come out too narrow. Where that
//! matters take one value per run (per seed), or [`Sample::of_batch_means`]. Intervals of means are
//! somewhat narrow for few and skewed values: 93% in place of 95% for 80 exponential ones. Many comparisons at
//! 95% find a difference by chance once in twenty: raise the [`Confidence`] for many.

mod compare;
mod interval;

use std::time::Duration;

pub use compare::{Difference, Verdict};
pub use interval::{Confidence, Estimate, Interval, Percentile};
use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, StudentsT};

/// At least one value, all of them finite, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Ascending, never empty.
    sorted: Vec<f64>,
    /// Within the smallest and the largest value, even after rounding.
    mean: f64,
    /// Unbiased; none for a single value.
    variance: Option<f64>,
}

/// The bars of a histogram, all of one width.
#[derive(Clone, Debug, PartialEq)]
pub struct Bins {
    /// Where the first bin begins.
    pub start: f64,
    /// Width of a bin, above zero.
    pub width: f64,
    /// Values by bin: a bin holds its lower edge, the last one its upper edge too.
    pub counts: Vec<usize>,
}

impl Sample {
    /// A sample of these values, or none if there is no value.
    ///
    /// # Panics
    ///
    /// If a value is not finite.
    pub fn new(values: impl IntoIterator<Item = f64>) -> Option<Sample> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        for value in &sorted {
            assert!(value.is_finite(), "a measured value is finite, not {value}");
        }
        sorted.sort_by(f64::total_cmp);
        let (first, last) = (*sorted.first()?, *sorted.last()?);
        let count = sorted.len() as f64;
        // Rounding must not invent a spread between equal values.
        let mean = (sorted.iter().sum::<f64>() / count).clamp(first, last);
        let squares: f64 = sorted.iter().map(|value| (value - mean).powi(2)).sum();
        let variance = (sorted.len() > 1).then(|| squares / (count - 1.0));
        Some(Sample { sorted, mean, variance })
    }

    /// A sample of durations, in milliseconds.
    pub fn of_milliseconds(durations: impl IntoIterator<Item = Duration>) -> Option<Sample> {
        Sample::new(durations.into_iter().map(|duration| duration.as_secs_f64() * 1e3))
    }

    /// The means of `batches` equal stretches of a run, in the order of time: nearly independent
    /// where the values themselves are not, if the stretches are long (Law & Kelton, *Simulation
    /// Modeling and Analysis*, batch means). What does not fill a stretch is dropped from the
    /// front, where a run warms up. None if there are fewer values than batches.
    ///
    /// # Panics
    ///
    /// If `batches` is zero, or a value is not finite.
    pub fn of_batch_means(values: &[f64], batches: usize) -> Option<Sample> {
        assert!(batches > 0, "a run has at least one batch");
        let length = values.len() / batches;
        if length == 0 {
            return None;
        }
        let kept = &values[values.len() - length * batches..];
        Sample::new(
            kept.chunks_exact(length).map(|batch| batch.iter().sum::<f64>() / length as f64),
        )
    }

    /// How many values there are; at least 1.
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// The arithmetic mean.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// The unbiased standard deviation; none for a single value.
    pub fn deviation(&self) -> Option<f64> {
        self.variance.map(f64::sqrt)
    }

    /// The smallest value.
    pub fn min(&self) -> f64 {
        self.sorted[0]
    }

    /// The largest value.
    pub fn max(&self) -> f64 {
        self.sorted[self.sorted.len() - 1]
    }

    /// The values in ascending order.
    pub fn sorted(&self) -> &[f64] {
        &self.sorted
    }

    /// The smallest value that at least this share of the values does not exceed (nearest rank): a
    /// value that was measured, never one in between.
    pub fn percentile(&self, percentile: Percentile) -> f64 {
        // A share like 0.95 is a hair too large in binary, which must not cost a rank.
        let rank = (percentile.share() * self.count() as f64 - 1e-9).ceil() as usize;
        self.sorted[rank.clamp(1, self.count()) - 1]
    }

    /// The mean with its t interval, which takes two values.
    pub fn estimate_mean(&self, confidence: Confidence) -> Estimate {
        let interval = self.variance.map(|variance| {
            let error = (variance / self.count() as f64).sqrt();
            let half = t_quantile(confidence, self.count() as f64 - 1.0) * error;
            Interval::new(self.mean - half, self.mean + half)
        });
        Estimate { value: self.mean, interval }
    }

    /// A percentile with its distribution-free interval, or without one if there are too few
    /// values for it.
    pub fn estimate_percentile(&self, percentile: Percentile, confidence: Confidence) -> Estimate {
        let interval = self
            .ranks_around(percentile, confidence)
            .map(|(lower, upper)| Interval::new(self.sorted[lower - 1], self.sorted[upper - 1]));
        Estimate { value: self.percentile(percentile), interval }
    }

    /// The ranks, from 1, between which the true percentile lies with this confidence.
    fn ranks_around(
        &self,
        percentile: Percentile,
        confidence: Confidence,
    ) -> Option<(usize, usize)> {
        let count = self.count() as u64;
        let below = Binomial::new(percentile.share(), count).expect("a share is a probability");
        // The least number of values below the percentile that is not too unlikely: a smaller one
        // has at most the tail's probability. Likewise above.
        let lower = below.inverse_cdf(confidence.tail());
        let upper = below.inverse_cdf(1.0 - confidence.tail()) + 1;
        (1 <= lower && lower < upper && upper <= count).then_some((lower as usize, upper as usize))
    }

    /// Counts the values in at most `most` bins of a round width. The bins cover every value.
    ///
    /// # Panics
    ///
    /// If `most` is below 2.
    pub fn bins(&self, most: usize) -> Bins {
        Bins::spanning(self.min(), self.max(), most).filled(self)
    }

    /// The share of the values that do not exceed `value`.
    pub fn share_up_to(&self, value: f64) -> f64 {
        self.sorted.partition_point(|at| *at <= value) as f64 / self.count() as f64
    }
}

impl Bins {
    /// Empty bins of a round width over these values, at most `most`.
    ///
    /// # Panics
    ///
    /// If `most` is below 2, or `first` above `last`.
    pub fn spanning(first: f64, last: f64, most: usize) -> Bins {
        assert!(most >= 2 && first <= last, "{most} bins over {first} to {last}");
        let span = if last > first { last - first } else { first.abs().max(1.0) * 0.1 };
        // A range that begins within a bin touches one bin more than it is wide.
        let mut width = crate::number::round_step(span / (most - 1) as f64);
        loop {
            let start = (first / width).floor() * width;
            let bins = ((last - start) / width).ceil().max(1.0) as usize;
            if bins <= most {
                return Bins { start, width, counts: vec![0; bins] };
            }
            width = crate::number::round_step(width * 1.01);
        }
    }

    /// These bins with the values of a sample. Values outside are not counted.
    pub fn filled(&self, sample: &Sample) -> Bins {
        let mut counts = vec![0; self.counts.len()];
        for value in sample.sorted() {
            let bin = (value - self.start) / self.width;
            if (0.0..=counts.len() as f64).contains(&bin) {
                counts[(bin as usize).min(self.counts.len() - 1)] += 1;
            }
        }
        Bins { start: self.start, width: self.width, counts }
    }

    /// Where the last bin ends.
    pub fn end(&self) -> f64 {
        self.edge(self.counts.len())
    }

    /// Where a bin begins.
    pub fn edge(&self, bin: usize) -> f64 {
        self.start + self.width * bin as f64
    }
}

/// How many standard errors a two-sided interval reaches to either side.
fn t_quantile(confidence: Confidence, freedom: f64) -> f64 {
    let t = StudentsT::new(0.0, 1.0, freedom).expect("there is a degree of freedom");
    t.inverse_cdf(1.0 - confidence.tail())
}

#[cfg(test)]
mod tests;
