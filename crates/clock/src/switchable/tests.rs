//! Whatever the model and the offset, an honest clock's interval contains the true time, and a
//! liar's need not.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;

use super::{Aim, Beyond, SwitchableClock};
use crate::{Clock, Lean, ManualTicker, Offset, Sawtooth, Timestamp, TrueTime, Uncertainty};

const ORIGIN: u64 = 1_700_000_000_000_000_000;

fn clock(
    uncertainty: Uncertainty,
    offset: Offset,
    seed: u64,
) -> (Arc<ManualTicker>, SwitchableClock) {
    let ticker = ManualTicker::new();
    let time = TrueTime::new(ORIGIN, Arc::clone(&ticker) as _);
    (ticker, SwitchableClock::simulated(time, uncertainty, offset, seed))
}

fn fixed(millis: u64) -> Uncertainty {
    Uncertainty::fixed(Duration::from_millis(millis)).expect("below the limit")
}

#[test]
fn zero_reads_the_true_time_and_waits_one_nanosecond() {
    let (ticker, clock) = clock(Uncertainty::Zero, Offset::Uniform, 3);
    let now = clock.now();
    assert_eq!((now.earliest, now.latest), (ORIGIN, ORIGIN));
    let s = now.latest_timestamp();
    assert!(!now.after(s));
    assert_eq!(now.until_after(s), Duration::from_nanos(1));
    ticker.advance(Duration::from_nanos(1));
    assert!(clock.now().after(s));
}

#[test]
fn adversarial_clocks_disagree_by_the_whole_claim() {
    let (_, fast) = clock(fixed(4), Offset::Adversarial(Lean::Fast), 1);
    let (_, slow) = clock(fixed(4), Offset::Adversarial(Lean::Slow), 2);
    assert_eq!(fast.now().earliest, ORIGIN);
    assert_eq!(fast.now().latest, ORIGIN + 8_000_000);
    assert_eq!(slow.now().latest, ORIGIN);
    assert_eq!(fast.true_offset_nanos(), Some(4_000_000));
    assert_eq!(slow.true_offset_nanos(), Some(-4_000_000));
}

/// Why commit-wait is about 2ε: s is `latest`, and `earliest` must pass it.
#[test]
fn commit_wait_is_twice_epsilon_whatever_the_offset() {
    for offset in [Offset::Centered, Offset::Uniform, Offset::Adversarial(Lean::Slow)] {
        let (_, clock) = clock(fixed(4), offset, 9);
        let now = clock.now();
        let wait = now.until_after(now.latest_timestamp());
        assert_eq!(wait, Duration::from_millis(8) + Duration::from_nanos(1), "{offset}");
    }
}

#[test]
fn settings_switch_at_run_time() {
    let (_, clock) = clock(fixed(4), Offset::Adversarial(Lean::Fast), 1);
    clock.set_epsilon(Duration::from_millis(20)).expect("below the limit");
    assert_eq!(clock.now().epsilon(), Duration::from_millis(20));
    assert_eq!(clock.true_offset_nanos(), Some(20_000_000), "the same fraction of ε");
    assert_eq!(clock.source(), "fixed(20ms)");
    clock.set_uncertainty(Uncertainty::Zero);
    assert_eq!(clock.true_offset_nanos(), Some(0));
    assert!(clock.set_epsilon(Duration::from_secs(11)).is_err());
    assert_eq!(clock.uncertainty(), Uncertainty::Zero, "a refused change changes nothing");
}

#[test]
fn a_liar_is_outside_its_claim_and_named() {
    let (ticker, clock) = clock(fixed(4), Offset::Centered, 1);
    clock.set_offset(Offset::Lie { offset_nanos: -10_000_000, drift_ppm: -500 });
    ticker.advance(Duration::from_secs(2));
    assert_eq!(clock.true_offset_nanos(), Some(-11_000_000));
    assert!(clock.now().latest < clock.true_nanos());
    assert_eq!(clock.source(), "fixed(4ms), UNSAFE lie(-10ms, -500ppm)");
    assert!(clock.now().before(Timestamp::from_wall(clock.true_nanos())), "believes wrongly");
}

#[test]
fn a_clock_held_within_its_claim_stays_honest_when_the_claim_narrows() {
    let (ticker, clock) = clock(fixed(4), Offset::Centered, 1);
    clock.move_to(Aim::At(3_000_000), Beyond::Forbidden).expect("within 4 ms");
    assert_eq!(clock.true_offset_nanos(), Some(3_000_000));
    clock.set_uncertainty(fixed(1));
    assert_eq!(clock.true_offset_nanos(), Some(1_000_000), "cut to the edge");
    clock.set_uncertainty(fixed(4));
    assert_eq!(clock.true_offset_nanos(), Some(3_000_000));
    clock.move_to(Aim::Drift(500), Beyond::Forbidden).expect("a drift ends at the edge");
    ticker.advance(Duration::from_secs(1));
    assert_eq!(clock.true_offset_nanos(), Some(3_500_000));
    ticker.advance(Duration::from_secs(60));
    assert_eq!(clock.true_offset_nanos(), Some(4_000_000));
    assert_eq!(clock.source(), "fixed(4ms)");
}

#[test]
fn beyond_its_claim_a_clock_moves_only_as_a_liar() {
    let (ticker, clock) = clock(fixed(4), Offset::Adversarial(Lean::Fast), 1);
    let refused = clock.move_to(Aim::By(1), Beyond::Forbidden).expect_err("it is at the edge");
    assert_eq!((refused.offset_nanos, refused.epsilon_nanos), (4_000_001, 4_000_000));
    assert_eq!(clock.offset(), Offset::Adversarial(Lean::Fast), "nothing changed");
    let lie = clock.move_to(Aim::By(-2_000_000_000), Beyond::Lie).expect("it may");
    assert!(!lie.is_honest());
    assert_eq!(clock.true_offset_nanos(), Some(-1_996_000_000));
    clock.move_to(Aim::Drift(100), Beyond::Lie).expect("it may");
    ticker.advance(Duration::from_secs(10));
    assert_eq!(clock.true_offset_nanos(), Some(-1_995_000_000));
    let honest = clock.move_to(Aim::At(0), Beyond::Lie).expect("it may");
    assert!(honest.is_honest(), "what an honest clock can do makes no liar");
}

/// Two honest clocks overlap when they are read together: both contain that one moment.
#[test]
fn clocks_read_at_once_tell_of_one_moment() {
    let ticker = ManualTicker::new();
    let time = TrueTime::new(1_700_000_000_000_000_000, Arc::clone(&ticker) as _);
    let lean = |lean, seed| {
        SwitchableClock::simulated(time.clone(), fixed(4), Offset::Adversarial(lean), seed)
    };
    let (fast, slow) = (lean(Lean::Fast, 1), lean(Lean::Slow, 2));
    ticker.advance(Duration::from_secs(7));
    let [ahead, behind] = SwitchableClock::at_once(&[&fast, &slow])[..] else {
        panic!("one reading per clock")
    };
    assert_eq!((ahead.offset_nanos, behind.offset_nanos), (4_000_000, -4_000_000));
    assert_eq!(ahead.interval.earliest, behind.interval.latest, "the true time is in both");
    assert_eq!((ahead.interval, behind.interval), (fast.now(), slow.now()));
    assert_eq!(SwitchableClock::at_once(&[]), []);
}

/// T6: the first reading after a sleep is in doubt; with the check dropped the clock is behind for good.
#[test]
fn a_machine_that_sleeps_is_in_doubt_until_somebody_vouches() {
    use crate::{Rule, Rules};
    for kept in [true, false] {
        let (ticker, clock) = clock(fixed(4), Offset::Centered, 1);
        if !kept {
            clock.set_rules(Rules::without(Rule::JumpCheck));
        }
        let (before, mono) = (clock.now(), clock.mono());
        clock.suspend();
        ticker.advance(Duration::from_secs(9));
        clock.suspend();
        assert_eq!(clock.mono(), mono, "the monotonic clock stands still");
        clock.resume();
        clock.resume();
        let lease_end = Timestamp::from_wall(ORIGIN).plus(Duration::from_secs(3));
        assert_eq!(clock.now().before(lease_end), !kept, "a lease that ran out meanwhile");
        if kept {
            assert!(!clock.now().is_bounded());
            assert_eq!(clock.claimed().middle(), clock.true_nanos(), "it is only in doubt");
            clock.vouch(clock.jumps());
            assert_eq!(clock.doubt(), None);
            assert_eq!(clock.now().middle(), clock.true_nanos());
        } else {
            assert_eq!(clock.now(), before, "the time stood still, too");
            assert_eq!(clock.doubt(), None);
        }
    }
}

#[test]
fn monotonic_time_starts_with_the_node() {
    let ticker = ManualTicker::new();
    ticker.advance(Duration::from_secs(5));
    let time = TrueTime::new(ORIGIN, Arc::clone(&ticker) as _);
    let clock = SwitchableClock::simulated(time, fixed(4), Offset::Centered, 0);
    assert_eq!(clock.mono().0, 0);
    ticker.advance(Duration::from_secs(1));
    assert_eq!(clock.mono().0, 1_000_000_000);
}

#[test]
fn uniform_offsets_spread_and_walks_move() {
    let offsets: Vec<i64> = (0..200)
        .map(|seed| clock(fixed(4), Offset::Uniform, seed).1)
        .map(|clock| clock.true_offset_nanos().expect("simulated"))
        .collect();
    for (low, high) in [(-4, -2), (-2, 0), (0, 2), (2, 4)] {
        let count = offsets.iter().filter(|o| (low..high).contains(&(*o / 1_000_000))).count();
        assert!(count > 20, "{count} offsets between {low} and {high} ms");
    }
    let (ticker, walker) = clock(fixed(4), Offset::Walk, 7);
    let before = walker.true_offset_nanos();
    ticker.advance(Duration::from_secs(5));
    assert_ne!(before, walker.true_offset_nanos());
}

fn any_uncertainty() -> impl Strategy<Value = Uncertainty> {
    let epsilon = (0..10_000_000_000u64)
        .prop_map(|nanos| Uncertainty::fixed(Duration::from_nanos(nanos)).expect("in range"));
    let sawtooth = (0..1_000_000u64, 0..10_000u32, 1..60_000u64).prop_map(|(base, drift, poll)| {
        Uncertainty::sawtooth(Sawtooth {
            base: Duration::from_nanos(base),
            drift_ppm: drift,
            poll: Duration::from_millis(poll),
        })
        .expect("in range")
    });
    prop_oneof![Just(Uncertainty::Zero), epsilon, sawtooth]
}

fn honest_offset() -> impl Strategy<Value = Offset> {
    prop_oneof![
        Just(Offset::Centered),
        Just(Offset::Uniform),
        Just(Offset::Walk),
        Just(Offset::Adversarial(Lean::Fast)),
        Just(Offset::Adversarial(Lean::Slow)),
        (any::<i64>(), -100_000..100_000i64)
            .prop_map(|(offset_nanos, drift_ppm)| Offset::Held { offset_nanos, drift_ppm }),
    ]
}

proptest! {
    /// The one promise that everything else rests on.
    #[test]
    fn an_honest_interval_contains_the_true_time(
        uncertainty in any_uncertainty(),
        next in any_uncertainty(),
        offset in honest_offset(),
        seed in any::<u64>(),
        steps in prop::collection::vec(0..20_000_000_000u64, 1..20),
    ) {
        let (ticker, clock) = clock(uncertainty, offset, seed);
        for (count, step) in steps.into_iter().enumerate() {
            ticker.advance(Duration::from_nanos(step));
            if count == 5 {
                clock.set_uncertainty(next);
            }
            let (now, truth) = (clock.now(), clock.true_nanos());
            prop_assert!(now.earliest <= truth && truth <= now.latest, "{now:?} without {truth}");
            prop_assert!(now.epsilon() <= clock.uncertainty().widest());
        }
    }
}
