//! Known values, and whether intervals contain the truth as often as they say.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

fn sample(values: &[f64]) -> Sample {
    Sample::new(values.iter().copied()).expect("values")
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-3 * expected.abs(), "{found}, not {expected}");
}

fn interval(estimate: Estimate) -> Interval {
    estimate.interval.expect("enough values")
}

#[test]
fn no_values_no_sample() {
    assert_eq!(Sample::new([]), None);
    assert_eq!(Sample::of_batch_means(&[1.0], 2), None);
}

#[test]
#[should_panic(expected = "a measured value is finite, not NaN")]
fn a_value_that_is_none_is_a_bug() {
    let _ = Sample::new([1.0, f64::NAN]);
}

#[test]
fn durations_become_milliseconds() {
    let sample = Sample::of_milliseconds([Duration::from_micros(1_500)]).expect("a value");
    assert_eq!((sample.count(), sample.mean(), sample.deviation()), (1, 1.5, None));
    assert_eq!(sample.estimate_mean(Confidence::C95).interval, None);
}

#[test]
fn percentiles_are_measured_values() {
    let hundred = sample(&(1..=100).map(f64::from).collect::<Vec<_>>());
    let found = [0.5, 50.0, 90.0, 95.0, 99.0, 99.9].map(|p| hundred.percentile(Percentile::new(p)));
    assert_eq!(found, [1.0, 50.0, 90.0, 95.0, 99.0, 100.0]);
    assert_eq!(sample(&[3.0, 1.0, 2.0, 4.0]).percentile(Percentile::MEDIAN), 2.0);
    assert_eq!(sample(&[7.0]).percentile(Percentile::P99), 7.0);
    assert_eq!([Percentile::MEDIAN, Percentile::P99_9].map(|p| p.to_string()), ["p50", "p99.9"]);
}

/// From the tables of Student's t: 12.706 at 1 degree of freedom, 2.776 at 4, 1.984 at 100.
#[test]
fn quantiles_of_t_are_those_of_the_tables() {
    close(t_quantile(Confidence::C95, 1.0), 12.706);
    close(t_quantile(Confidence::C95, 4.0), 2.7764);
    close(t_quantile(Confidence::C99, 4.0), 4.6041);
    close(t_quantile(Confidence::C95, 100.0), 1.9840);
    close(t_quantile(Confidence::C95, 1e6), 1.95997);
}

/// 1 to 5: deviation sqrt(2.5), so 3 +- 2.7764 * sqrt(2.5 / 5).
#[test]
fn the_interval_of_a_mean() {
    let five = sample(&[1.0, 2.0, 3.0, 4.0, 5.0]);
    close(five.deviation().expect("five values"), 2.5f64.sqrt());
    let found = interval(five.estimate_mean(Confidence::C95));
    close(found.low(), 3.0 - 1.963_2);
    close(found.high(), 3.0 + 1.963_2);
}

/// Ranks from the published tables of distribution-free intervals for the median (Hahn & Meeker,
/// table A.15; Hollander & Wolfe): 2 and 9 of 10, 6 and 15 of 20, 40 and 61 of 100.
#[test]
fn the_interval_of_a_percentile() {
    let ranks = |count: u32, percentile| {
        let sample = sample(&(1..=count).map(f64::from).collect::<Vec<_>>());
        let found = sample.estimate_percentile(percentile, Confidence::C95).interval;
        found.map(|found| (found.low(), found.high()))
    };
    assert_eq!(ranks(10, Percentile::MEDIAN), Some((2.0, 9.0)));
    assert_eq!(ranks(20, Percentile::MEDIAN), Some((6.0, 15.0)));
    assert_eq!(ranks(100, Percentile::MEDIAN), Some((40.0, 61.0)));
}

#[test]
fn small_samples_have_no_interval_for_high_percentiles() {
    let has = |count: u32, percentile| {
        let sample = sample(&(1..=count).map(f64::from).collect::<Vec<_>>());
        sample.estimate_percentile(percentile, Confidence::C95).interval.is_some()
    };
    let needs = [
        (Percentile::MEDIAN, 6),
        (Percentile::P95, 72),
        (Percentile::P99, 368),
        (Percentile::P99_9, 3_688),
    ];
    for (percentile, count) in needs {
        assert!(has(count, percentile) && !has(count - 1, percentile), "{percentile}");
    }
}

/// The interval by the definition, summed term by term.
#[test]
fn ranks_keep_their_promise_by_the_binomial_sum() {
    for count in [6, 7, 50, 123] {
        for share in [0.5, 0.25, 0.9] {
            let sample = sample(&(0..count).map(f64::from).collect::<Vec<_>>());
            let percentile = Percentile::new(share * 100.0);
            let Some((lower, upper)) = sample.ranks_around(percentile, Confidence::C95) else {
                continue;
            };
            // P(exactly k values below), from k = 0 up.
            let (mut term, mut low_tail, mut within) = ((1.0 - share).powi(count), 0.0, 0.0);
            for k in 0..count as usize {
                if k < lower {
                    low_tail += term;
                } else if k < upper {
                    within += term;
                }
                term *= (count as f64 - k as f64) / (k as f64 + 1.0) * share / (1.0 - share);
            }
            assert!(within >= 0.95 - 1e-9, "{count} {share}: {within}");
            assert!(low_tail <= 0.025 + 1e-9, "{count} {share}: {low_tail}");
        }
    }
}

/// Fisher's and Welch's textbook case, computed by hand: means 3 and 8, variances 2.5 and 10, so
/// the error is sqrt(2.5) and there are 5.882 degrees of freedom; t is 2.4589.
#[test]
fn welch_compares_means() {
    let small = sample(&[1.0, 2.0, 3.0, 4.0, 5.0]);
    let large = sample(&[4.0, 6.0, 8.0, 10.0, 12.0]);
    let difference = large.mean_minus(&small, Confidence::C95);
    let found = interval(difference.estimate);
    assert_eq!(difference.estimate.value, 5.0);
    close(found.high() - 5.0, 2.458_9 * 2.5f64.sqrt());
    assert_eq!(difference.verdict(), Verdict::Different);
    assert_eq!(difference.to_string(), "different: +5 (95% interval +1.11 to +8.89)");
    let turned = small.mean_minus(&large, Confidence::C95);
    assert!(turned.to_string().contains("\u{2212}8.89 to \u{2212}1.11"), "{turned}");
}

#[test]
fn verdicts_do_not_overstate() {
    let one = sample(&[1.0]);
    let noisy = sample(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    let shifted = sample(&[1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5]);
    assert_eq!(one.mean_minus(&noisy, Confidence::C95).verdict(), Verdict::TooFewValues);
    assert_eq!(shifted.mean_minus(&noisy, Confidence::C95).verdict(), Verdict::NotShownDifferent);
    let median = shifted.percentile_minus(&noisy, Percentile::MEDIAN, Confidence::C95);
    assert_eq!(median.verdict(), Verdict::NotShownDifferent);
    let p99 = shifted.percentile_minus(&noisy, Percentile::P99, Confidence::C95);
    assert_eq!(p99.verdict(), Verdict::TooFewValues);
    assert_eq!(p99.to_string(), "too few values to compare: +0.5");
}

/// In virtual time a quiet network has no spread: equal values must not differ by rounding, and
/// unequal ones differ for certain.
#[test]
fn without_spread_the_difference_is_exact() {
    let fourteen = sample(&[14.4; 1_000]);
    let fewer = sample(&[14.4; 7]);
    let nine = sample(&[9.4; 1_000]);
    assert_eq!(fourteen.mean(), 14.4);
    assert_eq!(fourteen.mean_minus(&fewer, Confidence::C95).verdict(), Verdict::NotShownDifferent);
    assert_eq!(fourteen.mean_minus(&nine, Confidence::C95).verdict(), Verdict::Different);
    let median = fourteen.percentile_minus(&nine, Percentile::MEDIAN, Confidence::C95);
    assert_eq!(median.estimate.interval, Some(Interval::new(5.0, 5.0)));
}

#[test]
fn batches_are_means_of_stretches() {
    let values = [100.0, 1.0, 3.0, 5.0, 7.0, 2.0, 2.0];
    let batches = Sample::of_batch_means(&values, 3).expect("enough values");
    assert_eq!(batches.sorted(), [2.0, 2.0, 6.0]);
}

#[test]
fn bins_hold_every_value() {
    let values = sample(&[0.0, 0.5, 1.0, 3.9, 4.0]);
    let bins = values.bins(6);
    assert_eq!((bins.start, bins.width, bins.end()), (0.0, 1.0, 4.0));
    assert_eq!(bins.counts, [2, 1, 0, 2]);
    assert_eq!(sample(&[5.0; 9]).bins(10).counts.iter().sum::<usize>(), 9);
    assert_eq!(values.share_up_to(1.0), 0.6);
    let mut random = ChaCha8Rng::seed_from_u64(7);
    for most in 2..40 {
        let values: Vec<f64> = (0..50).map(|_| exponential(&mut random) - 3.0).collect();
        let bins = sample(&values).bins(most);
        assert!(bins.counts.len() <= most, "{} of {most}", bins.counts.len());
        assert_eq!(bins.counts.iter().sum::<usize>(), 50, "{most}: {bins:?}");
    }
}

/// Skewed like latencies: mean 1, median ln 2.
fn exponential(random: &mut ChaCha8Rng) -> f64 {
    -(1.0 - random.random::<f64>()).ln()
}

fn exponentials(random: &mut ChaCha8Rng, count: usize, mean: f64) -> Sample {
    Sample::new((0..count).map(|_| mean * exponential(random))).expect("values")
}

/// How often 2,000 intervals, each of its own sample, contain the truth. At 95% the share's own
/// deviation is half a percent, so that bounds of 93% and 99.9% are only crossed by a wrong interval.
fn coverage(seed: u64, mut holds: impl FnMut(&mut ChaCha8Rng) -> bool) -> f64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..2_000).filter(|_| holds(&mut random)).count() as f64 / 2_000.0
}

#[test]
fn intervals_contain_the_truth_as_often_as_they_say() {
    let c95 = Confidence::C95;
    let mean = coverage(1, |random| {
        interval(exponentials(random, 200, 1.0).estimate_mean(c95)).contains(1.0)
    });
    let p90 = coverage(2, |random| {
        let sample = exponentials(random, 200, 1.0);
        interval(sample.estimate_percentile(Percentile::P90, c95)).contains(10f64.ln())
    });
    let means = coverage(3, |random| {
        let (few, many) = (exponentials(random, 300, 2.0), exponentials(random, 900, 1.0));
        interval(few.mean_minus(&many, c95).estimate).contains(1.0)
    });
    let medians = coverage(4, |random| {
        let (few, many) = (exponentials(random, 80, 2.0), exponentials(random, 300, 1.0));
        let difference = few.percentile_minus(&many, Percentile::MEDIAN, c95);
        interval(difference.estimate).contains(2f64.ln())
    });
    let p99 = coverage(5, |random| {
        let (mine, other) = (exponentials(random, 800, 2.0), exponentials(random, 800, 1.0));
        let difference = mine.percentile_minus(&other, Percentile::P99, c95);
        interval(difference.estimate).contains(100f64.ln())
    });
    for (what, found) in
        [("mean", mean), ("p90", p90), ("means", means), ("medians", medians), ("p99", p99)]
    {
        println!("{what}: {found}");
        assert!((0.93..0.999).contains(&found), "{what}: {found}");
    }
    let half = coverage(6, |random| {
        let sample = exponentials(random, 200, 1.0);
        interval(sample.estimate_percentile(Percentile::MEDIAN, Confidence::new(50.0)))
            .contains(2f64.ln())
    });
    assert!((0.46..0.62).contains(&half), "{half}");
}
