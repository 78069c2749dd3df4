//! Buckets cover everything, and are as narrow as they say.

use proptest::prelude::*;

use super::*;

#[test]
fn quantiles_are_right_to_three_per_cent() {
    let mut histogram = Histogram::default();
    assert_eq!(histogram.quantile(0.5), None);
    (1..=1000).for_each(|millis| histogram.record(Duration::from_millis(millis)));
    for (share, millis) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0), (0.0, 1.0)] {
        let found = histogram.quantile(share).expect("not empty").as_secs_f64() * 1e3;
        assert!((found / millis - 1.0).abs() < 0.035, "{share}: {found} ms instead of {millis}");
    }
    let mut twice = histogram.clone();
    twice.add(&histogram);
    assert_eq!((twice.total(), twice.quantile(0.9)), (2000, histogram.quantile(0.9)));
}

proptest! {
    #[test]
    fn a_number_lies_in_its_bucket(micros in prop_oneof![0..100u64, any::<u64>()]) {
        let found = bucket(micros);
        prop_assert!(floor(found) <= micros);
        prop_assert!(micros < floor(found + 1) || floor(found + 1) == u64::MAX);
        let width = floor(found + 1) - floor(found);
        prop_assert!(width == 1 || u128::from(width) * 32 <= u128::from(floor(found)) + 32);
    }
}
