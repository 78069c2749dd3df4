//! A machine whose clocks are moved by hand: what its clock says then, and when it is right again.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::{Hlc, Timestamp, UpperBound};

const SECOND: u64 = 1_000_000_000;
const MILLI: u64 = 1_000_000;
const EPOCH: u64 = 1_800_000_000 * SECOND;

/// The true time, and a machine that may be wrong about it.
#[derive(Debug, Default)]
struct Fake {
    monotonic: AtomicU64,
    asleep: AtomicU64,
    /// The true time is the monotonic clock plus what it slept or was halted, from [`EPOCH`].
    halted: AtomicU64,
    /// How far the wall clock is behind.
    behind: AtomicU64,
}

impl Fake {
    fn get(which: &AtomicU64) -> u64 {
        which.load(Ordering::Relaxed)
    }

    fn truth(&self) -> u64 {
        EPOCH + Fake::get(&self.monotonic) + Fake::get(&self.asleep) + Fake::get(&self.halted)
    }

    fn pass(&self, nanos: u64) {
        self.monotonic.fetch_add(nanos, Ordering::Relaxed);
    }

    fn sleep(&self, nanos: u64) {
        self.asleep.fetch_add(nanos, Ordering::Relaxed);
    }

    /// As a hypervisor does: the machine's clocks do not know, so its wall clock is behind.
    fn halt(&self, nanos: u64) {
        self.halted.fetch_add(nanos, Ordering::Relaxed);
        self.behind.fetch_add(nanos, Ordering::Relaxed);
    }

    /// As NTP does.
    fn set_right(&self) {
        self.behind.store(0, Ordering::Relaxed);
    }
}

impl Machine for Fake {
    fn read(&self) -> Readings {
        let monotonic = Fake::get(&self.monotonic);
        let (before, after) = (monotonic, monotonic);
        let boottime = monotonic + Fake::get(&self.asleep);
        Readings { before, realtime: self.truth() - Fake::get(&self.behind), boottime, after }
    }

    fn monotonic(&self) -> u64 {
        Fake::get(&self.monotonic)
    }
}

/// A source that says what it is told to.
#[derive(Debug)]
struct Told(Arc<Mutex<Result<Bound, String>>>);

impl BoundSource for Told {
    fn poll(&self) -> Result<Bound, String> {
        self.0.lock().expect("not poisoned").clone()
    }

    fn name(&self) -> &'static str {
        "told"
    }
}

fn vouched(millis: u64) -> (Arc<Fake>, MachineClock) {
    let machine = Arc::new(Fake::default());
    let model = Uncertainty::fixed(Duration::from_millis(millis)).expect("below the limit");
    let clock = MachineClock::new(machine.clone(), Claim::Vouched(model));
    (machine, clock)
}

fn contains(interval: Interval, truth: u64) -> bool {
    interval.earliest <= truth && truth <= interval.latest
}

#[test]
fn a_suspension_is_in_the_very_first_reading_and_the_time_is_right_afterwards() {
    let (machine, clock) = vouched(4);
    assert!(contains(clock.now(), machine.truth()));
    let lease_end = Timestamp::from_wall(machine.truth() + 3 * SECOND);
    assert!(clock.now().before(lease_end));

    machine.sleep(60 * SECOND);
    let first = clock.now();
    assert!(!first.is_bounded() && !first.before(lease_end), "no lease holds: {first:?}");
    assert!(contains(first, machine.truth()));
    assert!(contains(clock.claimed(), machine.truth()), "what is compared with peers is right");
    let told = clock.doubt().expect("it slept").to_string();
    assert!(told.starts_with("its machine was suspended for 1m"), "{told}");

    clock.vouch(clock.jumps());
    assert_eq!(clock.doubt(), None);
    assert!(clock.now().is_bounded() && contains(clock.now(), machine.truth()));
    assert!(!clock.now().before(lease_end), "the lease ran out in its sleep");
}

/// What no clock of the machine shows: it is behind until NTP steps it, and is right then.
#[test]
fn a_halted_machine_is_right_again_once_its_time_is_set() {
    let (machine, clock) = vouched(4);
    clock.now();
    machine.halt(30 * SECOND);
    assert!(!contains(clock.now(), machine.truth()), "the hazard: nobody told it");
    machine.set_right();
    assert!(!clock.now().is_bounded(), "the step is seen");
    assert!(contains(clock.claimed(), machine.truth()));
    clock.vouch(clock.jumps());
    assert!(clock.now().is_bounded() && contains(clock.now(), machine.truth()));
}

/// T1: a wall clock that is set back takes nothing back that was given.
#[test]
fn a_step_back_gives_no_timestamp_twice() {
    let (machine, clock) = vouched(4);
    let mut hlc = Hlc::new(crate::DEFAULT_TOLERANCE);
    let bound = hlc.bound_to_persist(clock.now()).expect("a new clock has none");
    hlc.persisted(bound);
    let mut last = hlc.now(clock.now());
    for vouches in [false, true, true] {
        machine.behind.fetch_add(500 * MILLI, Ordering::Relaxed);
        if vouches {
            clock.now();
            clock.vouch(clock.jumps());
        }
        for _ in 0..3 {
            machine.pass(MILLI);
            let given = hlc.now(clock.now());
            assert!(given > last, "{given:?} after {last:?}");
            last = given;
        }
    }
    assert!(hlc.upper_bound() < UpperBound(machine.truth() + 60 * SECOND), "nothing was poisoned");
}

#[test]
fn a_watched_clock_claims_what_its_source_says() {
    let machine = Arc::new(Fake::default());
    machine.pass(100 * SECOND);
    let bound = Bound {
        epsilon_nanos: 2 * MILLI,
        as_of: 100 * SECOND,
        drift_ppb: 500_000,
        void_after: 130 * SECOND,
    };
    let said = Arc::new(Mutex::new(Ok(bound)));
    let clock = MachineClock::new(machine.clone(), Claim::Watched(Box::new(Told(said.clone()))));
    assert_eq!(clock.now().epsilon(), Duration::from_millis(2));
    machine.pass(10 * SECOND);
    assert_eq!(clock.now().epsilon(), Duration::from_millis(7), "500 ppm for 10 s");
    machine.pass(21 * SECOND);
    assert!(!clock.now().is_bounded(), "the bound is void");
    assert!(matches!(clock.doubt(), Some(Doubt::NoBound { .. })));

    *said.lock().expect("free") = Ok(Bound { as_of: 131 * SECOND, void_after: u64::MAX, ..bound });
    machine.pass(SECOND);
    assert!(clock.now().is_bounded(), "it did not jump, so nobody else is asked");
    *said.lock().expect("free") = Err("its kernel is not synchronized".to_owned());
    assert!(clock.now().is_bounded(), "asked again in a second");
    machine.sleep(SECOND);
    assert!(!clock.now().is_bounded());
    clock.vouch(clock.jumps());
    let told = clock.doubt().expect("no bound").to_string();
    assert_eq!(told, "its kernel is not synchronized", "peers alone do not do");
    assert_eq!(clock.set_uncertainty(Uncertainty::Zero), Err(NotVouched { source: "told" }));
}

/// A source that is unsure beyond what peers believe is no source.
#[test]
fn a_bound_that_nobody_would_believe_is_none() {
    let wide = Bound { epsilon_nanos: 251 * MILLI, as_of: 0, drift_ppb: 0, void_after: u64::MAX };
    assert!(wide.epsilon_nanos(1).expect_err("too wide").contains("±251ms"));
    assert!(Bound { epsilon_nanos: 250 * MILLI, ..wide }.epsilon_nanos(1).is_ok());
    let endless = Bound { epsilon_nanos: u64::MAX, drift_ppb: u32::MAX, ..wide };
    assert!(endless.epsilon_nanos(u64::MAX).is_err());
}
