//! The calendar; single results are compared with PostgreSQL in `tests/postgres.rs`.

use proptest::prelude::*;

use super::{
    Civil, DateField, Interval, TimeZone, add_interval, days_in_month, extract, format_timestamp,
    from_unix_nanos, parse_date, parse_timestamp, to_unix_nanos,
};

#[test]
fn days_follow_each_other() {
    let mut date = Civil { year: -4_713, month: 11, day: 24 };
    assert_eq!(date.to_days(), super::MIN_DAYS);
    for days in super::MIN_DAYS..200_000 {
        assert_eq!(Civil::from_days(days), date);
        assert_eq!(date.to_days(), days);
        date.day += 1;
        if date.day > days_in_month(date.year, date.month) {
            (date.day, date.month) = (1, date.month + 1);
        }
        if date.month > 12 {
            (date.month, date.year) = (1, date.year + 1);
        }
    }
}

#[test]
fn the_clusters_clock_becomes_a_timestamp() {
    // 2026-03-01 12:00:00.123456789 UTC
    let nanos = 1_772_366_400_123_456_789;
    let micros = from_unix_nanos(nanos);
    assert_eq!(format_timestamp(micros), "2026-03-01 12:00:00.123456");
    assert_eq!(to_unix_nanos(micros), Some(nanos / 1_000 * 1_000));
    assert_eq!(to_unix_nanos(i64::MIN), None);
    assert_eq!(to_unix_nanos(i64::MAX), None);
}

#[test]
fn words_refer_to_the_given_moment() {
    let now = 86_400_000_000 * 100 + 5;
    let utc = TimeZone::Utc;
    assert_eq!(parse_timestamp("now", now, &utc).expect("a word"), now);
    assert_eq!(parse_date("today", now, &utc).expect("a word"), 100);
    assert_eq!(parse_date("tomorrow", now, &utc).expect("a word"), 101);
    let behind = TimeZone::parse("-1").expect("an offset");
    assert_eq!(parse_date("today", now, &behind).expect("a word"), 99);
}

#[test]
fn zones_print_as_they_are_read() {
    for name in ["UTC", "Europe/Berlin", "<+05:30>-05:30", "<-03>+03"] {
        assert_eq!(TimeZone::parse(name).expect("a zone").to_string(), name);
    }
    assert_eq!(TimeZone::parse("europe/berlin").expect("a zone").to_string(), "Europe/Berlin");
    assert!(TimeZone::parse("Mars/Olympus").is_err());
}

#[test]
fn the_last_times_have_seconds_since_1970() {
    for (text, seconds) in
        [("294276-12-31", "9224317929600.000000"), ("4714-11-24 BC", "-210866803200.000000")]
    {
        let micros = parse_timestamp(text, 0, &TimeZone::Utc).expect("a timestamp");
        let found = extract(DateField::Epoch, micros, None).expect("it has the field");
        assert_eq!(found.expect("it is finite").to_string(), seconds, "{text}");
    }
}

proptest! {
    #[test]
    fn timestamps_come_back(micros in -200_000_000_000_000_000_i64..200_000_000_000_000_000) {
        let text = format_timestamp(micros);
        let back = parse_timestamp(&text, 0, &TimeZone::Utc).expect("what we printed");
        prop_assert_eq!(back, micros);
    }

    #[test]
    fn intervals_come_back(
        months in -5_000_i32..5_000, days in -5_000_i32..5_000, micros in any::<i32>(),
    ) {
        let interval = Interval { months, days, micros: i64::from(micros) * 1_000 };
        let back = Interval::parse(&interval.to_string()).expect("what we printed");
        prop_assert_eq!((back.months, back.days, back.micros), (months, days, interval.micros));
    }

    #[test]
    fn days_added_are_taken_back(
        micros in -1_000_000_000_000_i64..1_000_000_000_000, days in -9_999_i32..9_999,
    ) {
        let interval = Interval { months: 0, days, micros: 7 };
        let moved = add_interval(micros, interval).expect("in range");
        let back = add_interval(moved, interval.checked_neg().expect("small")).expect("in range");
        prop_assert_eq!(back, micros);
    }

    #[test]
    fn no_text_panics(text in "[0-9:+\\-. TZadempuPYM/,Jn@]{0,16}") {
        drop(parse_timestamp(&text, 0, &TimeZone::Utc));
        drop(parse_date(&text, 0, &TimeZone::Utc));
        drop(Interval::parse(&text));
        drop(TimeZone::parse(&text));
    }
}
