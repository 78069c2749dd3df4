//! Durations round-trip, and bad ones say why.

use std::time::Duration;

use proptest::prelude::*;

use super::{format_duration, parse_duration};

#[test]
fn reads_what_people_write() {
    for (text, nanos) in [
        ("0", 0),
        ("4ms", 4_000_000),
        ("1.5s", 1_500_000_000),
        ("200us", 200_000),
        ("200µs", 200_000),
        ("0.5 ms", 500_000),
        ("100ns", 100),
        ("30m", 1_800_000_000_000),
        ("1h", 3_600_000_000_000),
        (" 10s ", 10_000_000_000),
    ] {
        assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
    }
}

#[test]
fn refuses_the_rest_and_says_why() {
    for (text, problem) in [
        ("", "unit is missing"),
        ("4", "unit is missing"),
        ("ms", "malformed"),
        ("4 parsecs", "unknown unit"),
        ("-4ms", "it must not be negative"),
        ("1.s", "malformed"),
        ("1.2.3s", "malformed"),
        ("99999999999d", "too long"),
    ] {
        let error = parse_duration(text).expect_err(text).to_string();
        assert!(error.contains(problem), "{text}: {error}");
    }
}

#[test]
fn prints_short() {
    for (nanos, text) in [
        (0, "0s"),
        (4_000_000, "4ms"),
        (1_500_000, "1.5ms"),
        (90_000_000_000, "90s"),
        (120_000_000_000, "2m"),
        (3_600_000_000_000, "1h"),
        (999, "999ns"),
    ] {
        assert_eq!(format_duration(Duration::from_nanos(nanos)), text);
    }
}

proptest! {
    #[test]
    fn round_trips(nanos in any::<u64>()) {
        let duration = Duration::from_nanos(nanos);
        prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
    }
}
