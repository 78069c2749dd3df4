//! When a clock is in doubt, and what ends it.

use super::*;

const SECOND: u64 = 1_000_000_000;

fn readings(monotonic: u64, asleep: u64) -> Readings {
    let boottime = monotonic + asleep;
    Readings { before: monotonic, realtime: boottime + 50 * SECOND, boottime, after: monotonic }
}

fn claim(middle: u64) -> Result<Interval, String> {
    Ok(Interval { earliest: middle - 4, latest: middle + 4 })
}

#[test]
fn a_jump_takes_the_upper_end_until_source_and_peers_have_spoken() {
    let mut trust = Trust::default();
    assert_eq!(trust.look(readings(SECOND, 0)), Verdict::Steady);
    assert_eq!(trust.interval(claim(100)), Interval { earliest: 96, latest: 104 });
    assert_eq!(trust.doubt(), None);

    assert_ne!(trust.look(readings(2 * SECOND, SECOND)), Verdict::Steady);
    let read = trust.interval(Err("no bound".to_owned()));
    assert_eq!(read, Interval::unbounded(96), "nothing moves");
    let told = trust.doubt().expect("it jumped").to_string();
    assert_eq!(told, "its machine was suspended for 1s, and no bound");

    trust.vouch(Jumps(1));
    assert!(!trust.interval(Err("no bound".to_owned())).is_bounded(), "the source as well");
    assert_eq!(trust.doubt().expect("no bound").to_string(), "no bound");
    assert!(trust.interval(claim(300)).is_bounded());

    assert_ne!(trust.look(readings(3 * SECOND, 0)), Verdict::Steady);
    assert!(!trust.interval(claim(400)).is_bounded(), "the peers as well");
    trust.vouch(Jumps(2));
    assert!(trust.interval(claim(400)).is_bounded());
}

#[test]
fn who_compared_before_the_latest_jump_vouches_for_nothing() {
    let mut trust = Trust::default();
    for (at, asleep) in [(1, 0), (2, 5), (3, 9)] {
        trust.look(readings(at * SECOND, asleep * SECOND));
    }
    assert_eq!(trust.jumps(), Jumps(2));
    trust.vouch(Jumps(1));
    assert!(!trust.interval(claim(100)).is_bounded());
    trust.vouch(Jumps(2));
    assert!(trust.interval(claim(100)).is_bounded());
}

/// What an interval without an end says of leases, waits and timestamps.
#[test]
fn nothing_is_certain_while_a_clock_is_in_doubt() {
    use crate::Timestamp;
    let doubtful = Interval::unbounded(1_000);
    for wall in [0, 999, 1_000, 5_000, u64::MAX] {
        let at = Timestamp::from_wall(wall);
        assert!(!doubtful.before(at), "no lease holds at {at}");
        assert_eq!(doubtful.after(at), wall < 1_000, "only what was past before is past");
    }
    assert_eq!(doubtful.latest_timestamp(), Timestamp::from_wall(1_000));
    assert_eq!(doubtful.middle(), 1_000);
    assert_eq!(doubtful.epsilon(), crate::MAX_EPSILON);
}
