//! T1 and T2: by example, then under random inputs against a model that remembers everything.

use std::time::Duration;

use proptest::prelude::*;

use super::{ClockOutOfBounds, DEFAULT_TOLERANCE, Hlc, PERSIST_AHEAD, Restarting, UpperBound};
use crate::{Interval, Timestamp};

const SECOND: u64 = 1_000_000_000;

fn tt(latest: u64) -> Interval {
    Interval { earliest: latest - 8_000_000, latest }
}

fn durable(at: u64) -> Hlc {
    let mut hlc = Hlc::new(DEFAULT_TOLERANCE);
    let bound = hlc.bound_to_persist(tt(at)).expect("a new clock has no bound");
    hlc.persisted(bound);
    hlc
}

#[test]
fn follows_latest_and_counts_within_a_nanosecond() {
    let mut hlc = durable(SECOND);
    assert_eq!(hlc.now(tt(SECOND)), Timestamp::from_wall(SECOND));
    assert_eq!(hlc.now(tt(SECOND)), Timestamp { wall: SECOND, logical: 1 });
    assert_eq!(hlc.now(tt(SECOND - 5)), Timestamp { wall: SECOND, logical: 2 });
    assert_eq!(hlc.now(tt(SECOND + 7)), Timestamp::from_wall(SECOND + 7));
}

#[test]
fn merges_what_is_within_the_tolerance() {
    let mut hlc = durable(SECOND);
    let remote = Timestamp { wall: SECOND + 500_000_000, logical: 9 };
    assert_eq!(hlc.update(tt(SECOND), remote), Ok(()));
    assert_eq!(hlc.now(tt(SECOND)), remote.next());
}

#[test]
fn a_broken_remote_clock_is_refused_and_drags_nothing() {
    let mut hlc = durable(SECOND);
    let before = hlc.now(tt(SECOND));
    let remote = Timestamp::from_wall(SECOND + 500_000_001);
    let error = hlc.update(tt(SECOND), remote).expect_err("beyond the tolerance");
    assert!(matches!(error, ClockOutOfBounds::BrokenClock { .. }));
    assert!(error.to_string().contains("tolerated are 500ms"), "{error}");
    assert_eq!((hlc.last(), hlc.refused()), (before, 1));
}

#[test]
fn a_stalled_disk_stops_the_wall_part_alone() {
    let mut hlc = durable(SECOND);
    let bound = hlc.upper_bound();
    let late = tt(SECOND + 10 * SECOND);
    let (first, second) = (hlc.now(late), hlc.now(late));
    assert!(first < second && second < Timestamp::from_wall(bound.0));
    let refused = hlc.update(late, Timestamp::from_wall(late.latest));
    assert!(matches!(refused, Err(ClockOutOfBounds::BoundNotDurable { .. })));
    let bound = hlc.bound_to_persist(late).expect("the bound is behind");
    hlc.persisted(bound);
    assert_eq!(hlc.update(late, Timestamp::from_wall(late.latest)), Ok(()));
}

#[test]
#[should_panic(expected = "persist a bound first")]
fn nothing_is_given_without_a_durable_bound() {
    Hlc::new(DEFAULT_TOLERANCE).now(tt(SECOND));
}

#[test]
fn a_restart_waits_the_bound_out() {
    let bound = UpperBound(5 * SECOND);
    let restarting = Restarting::new(bound);
    let wait = restarting.start(tt(4 * SECOND), DEFAULT_TOLERANCE).expect_err("not past");
    assert_eq!(wait, Duration::from_secs(1) + Duration::from_millis(8));
    let now = tt(4 * SECOND + u64::try_from(wait.as_nanos()).expect("short"));
    let mut hlc = restarting.start(now, DEFAULT_TOLERANCE).expect("past");
    hlc.persisted(hlc.bound_to_persist(now).expect("used up"));
    assert!(hlc.now(now).wall >= bound.0);
}

#[test]
fn the_bound_is_written_seldom() {
    let mut hlc = durable(SECOND);
    let mut writes = 0;
    for step in 0..1000 {
        let now = tt(SECOND + step * SECOND / 100);
        if let Some(bound) = hlc.bound_to_persist(now) {
            hlc.persisted(bound);
            writes += 1;
        }
        hlc.now(now);
    }
    assert_eq!(writes, 6, "ten seconds, a write every {:?}", PERSIST_AHEAD / 2);
}

/// What may happen to a node's clock.
#[derive(Clone, Debug)]
enum Step {
    Now,
    Update {
        ahead: i64,
        logical: u32,
    },
    Persist,
    /// Crash: all that is not durable is forgotten.
    Restart,
    Advance(u64),
    /// `latest` steps back, as a sawtooth's does at a poll.
    Back(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Now),
        3 => (-1_000_000_000..1_000_000_000i64, 0..3u32)
            .prop_map(|(ahead, logical)| Step::Update { ahead, logical }),
        2 => Just(Step::Persist),
        1 => Just(Step::Restart),
        3 => (0..2 * SECOND).prop_map(Step::Advance),
        1 => (0..6_000_000u64).prop_map(Step::Back),
    ]
}

proptest! {
    #[test]
    fn given_timestamps_increase_for_ever(steps in prop::collection::vec(step(), 1..200)) {
        let mut latest = 100 * SECOND;
        let mut hlc = durable(latest);
        let mut disk = hlc.upper_bound();
        let mut highest = Timestamp::ZERO;
        for step in steps {
            match step {
                Step::Now => {
                    let given = hlc.now(tt(latest));
                    prop_assert!(given > highest, "{given:?} after {highest:?}");
                    prop_assert!(given.wall <= latest + 500_000_000 || given.wall < disk.0);
                    highest = given;
                }
                Step::Update { ahead, logical } => {
                    let wall = latest.saturating_add_signed(ahead);
                    let remote = Timestamp { wall, logical };
                    let before = hlc.last();
                    match hlc.update(tt(latest), remote) {
                        Ok(()) => prop_assert!(hlc.now(tt(latest)) > remote),
                        Err(_) => prop_assert_eq!(hlc.last(), before),
                    }
                    highest = highest.max(hlc.last());
                }
                Step::Persist => {
                    if let Some(bound) = hlc.bound_to_persist(tt(latest)) {
                        disk = bound;
                        hlc.persisted(bound);
                    }
                }
                Step::Restart => {
                    let restarting = Restarting::new(disk);
                    while let Err(wait) = restarting.start(tt(latest), DEFAULT_TOLERANCE) {
                        latest += u64::try_from(wait.as_nanos()).expect("short");
                    }
                    hlc = restarting.start(tt(latest), DEFAULT_TOLERANCE).expect("waited");
                    disk = hlc.bound_to_persist(tt(latest)).expect("used up");
                    hlc.persisted(disk);
                }
                Step::Advance(by) => latest += by,
                Step::Back(by) => latest -= by,
            }
        }
    }
}

/// T6: a clock in doubt gives timestamps that only count on, merges nothing and writes no bound.
#[test]
fn an_interval_without_an_end_reaches_no_timestamp() {
    let mut hlc = Hlc::new(DEFAULT_TOLERANCE);
    let trusted = tt(SECOND);
    hlc.persisted(hlc.bound_to_persist(trusted).expect("a new clock has none"));
    let last = hlc.now(trusted);
    let doubtful = Interval::unbounded(trusted.earliest);
    assert_eq!(hlc.now(doubtful), last.next());
    assert_eq!(hlc.bound_to_persist(doubtful), None);
    let remote = Timestamp::from_wall(2 * SECOND);
    assert_eq!(hlc.update(doubtful, remote), Err(ClockOutOfBounds::InDoubt { remote }));
    assert_eq!((hlc.last(), hlc.refused()), (last.next(), 0), "it is nobody's broken clock");
}
