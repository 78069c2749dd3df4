//! Steady clocks are steady, jumps are seen at once.

use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;
const EPOCH: u64 = 1_800_000_000 * SECOND;

/// A machine whose clocks are moved by hand.
struct Machine {
    monotonic: u64,
    asleep: u64,
    wall: u64,
}

impl Machine {
    fn new() -> Machine {
        Machine { monotonic: 1_000 * SECOND, asleep: 0, wall: EPOCH }
    }

    /// Reads its clocks, which takes so long; the others are read at this share of it, in percent.
    fn read(&mut self, takes: u64, share: u64) -> Readings {
        let before = self.monotonic;
        let at = before + takes * share / 100;
        self.monotonic += takes;
        let (boottime, realtime) = (at + self.asleep, at + self.wall);
        Readings { before, realtime, boottime, after: self.monotonic }
    }

    fn quick(&mut self) -> Readings {
        self.read(100, 50)
    }
}

#[test]
fn a_suspension_is_seen_by_the_first_reading_after_it() {
    let (mut machine, mut detector) = (Machine::new(), JumpDetector::default());
    assert_eq!(detector.look(machine.quick()), Verdict::Steady);
    machine.asleep += 40 * SECOND;
    machine.wall += 40 * SECOND;
    let verdict = detector.look(machine.quick());
    let Verdict::Jumped(Jump::Suspended { lasting }) = verdict else { panic!("{verdict:?}") };
    assert!(lasting.abs_diff(Duration::from_secs(40)) < SLACK, "{lasting:?}");
    assert_eq!(detector.look(machine.quick()), Verdict::Steady, "it is told once");
}

#[test]
fn steps_are_seen_in_both_directions() {
    let (mut machine, mut detector) = (Machine::new(), JumpDetector::default());
    assert_eq!(detector.look(machine.quick()), Verdict::Steady);
    for by in [2_000_000_i64, -30_000_000_000, 200_000] {
        machine.wall = machine.wall.checked_add_signed(by).expect("after 1970");
        let verdict = detector.look(machine.quick());
        let Verdict::Jumped(Jump::Stepped { by_nanos }) = verdict else { panic!("{verdict:?}") };
        assert!(by_nanos.abs_diff(by) < 1_000, "{by_nanos} for {by}");
    }
}

#[test]
fn small_steps_are_seen_once_they_add_up() {
    let (mut machine, mut detector) = (Machine::new(), JumpDetector::default());
    assert_eq!(detector.look(machine.quick()), Verdict::Steady);
    let mut unseen = 0;
    while detector.look(machine.quick()) == Verdict::Steady {
        machine.wall += 10_000;
        unseen += 10_000;
        assert!(unseen < 200_000, "steps of 10 µs add up to {unseen} ns and nobody saw them");
    }
    assert!(unseen > 100_000, "{unseen}");
}

/// A machine that sleeps between two of the readings is seen as well: the differences tell.
#[test]
fn a_suspension_in_the_midst_of_a_reading_is_seen() {
    let (mut machine, mut detector) = (Machine::new(), JumpDetector::default());
    assert_eq!(detector.look(machine.quick()), Verdict::Steady);
    let mut torn = machine.quick();
    torn.realtime += 5 * SECOND;
    torn.boottime += 5 * SECOND;
    machine.asleep += 5 * SECOND;
    machine.wall += 5 * SECOND;
    assert_ne!(detector.look(torn), Verdict::Steady);
    assert_eq!(detector.look(machine.quick()), Verdict::Steady);
}

proptest! {
    /// Slewing changes the rate of all clocks; being interrupted makes a reading long.
    #[test]
    fn clocks_that_never_jump_are_steady(
        readings in prop::collection::vec((0u64..20 * SECOND, 0u64..SECOND, 0u64..=100), 1..200),
    ) {
        let (mut machine, mut detector) = (Machine::new(), JumpDetector::default());
        for (passes, takes, share) in readings {
            machine.monotonic += passes;
            prop_assert_eq!(detector.look(machine.read(takes, share)), Verdict::Steady);
        }
    }

    /// Whatever a reading took, a jump beyond that and the slack is no secret.
    #[test]
    fn a_jump_beyond_what_a_reading_takes_is_seen(
        first in (0u64..1_000_000, 0u64..=100),
        second in (0u64..1_000_000, 0u64..=100),
        by in 2_200_000i64..SECOND as i64,
        back in any::<bool>(),
    ) {
        let (mut machine, mut detector) = (Machine::new(), JumpDetector::default());
        prop_assert_eq!(detector.look(machine.read(first.0, first.1)), Verdict::Steady);
        let by = if back { -by } else { by };
        machine.wall = machine.wall.checked_add_signed(by).expect("after 1970");
        prop_assert_ne!(detector.look(machine.read(second.0, second.1)), Verdict::Steady);
    }
}
