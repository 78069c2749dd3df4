//! The clocks of the machine that runs the tests, and sources that know nothing.

use clock::{Clock as _, JumpDetector, Uncertainty, Verdict};

use super::{
    clockbound::poll_any,
    kernel::{Answer, Kept},
    *,
};

#[test]
fn this_machine_is_read_and_steady() {
    let mut detector = JumpDetector::default();
    for _ in 0..1_000 {
        let readings = ThisMachine.read();
        assert!(readings.before <= readings.after && readings.boottime >= readings.before);
        assert_eq!(detector.look(readings), Verdict::Steady, "{readings:?}");
    }
    let clock = super::clock(ClockModel::Vouched(Uncertainty::Zero)).expect("nobody is asked");
    let (first, second) = (clock.now(), clock.now());
    assert!(first.is_bounded() && first.earliest <= second.latest, "{first:?} {second:?}");
}

#[test]
fn a_kernel_that_nobody_keeps_is_refused_with_what_to_do() {
    let answer = Answer { kept: Kept::Yes, max_error_micros: 1_500, estimated_error_micros: 120 };
    let bound = answer.bound(7).expect("it is kept");
    assert_eq!((bound.epsilon_nanos, bound.as_of, bound.drift_ppb), (1_620_000, 7, 500_000));
    let refused = Answer { kept: Kept::Unsynchronized, ..answer }.bound(7).expect_err("it is not");
    assert!(refused.contains("chronyd"), "{refused}");
    assert!(Answer { max_error_micros: -1, ..answer }.bound(7).is_err());
}

#[test]
fn where_clockbound_does_not_run_it_is_named() {
    let error = poll_any(&["/nonexistent/shm0", "/nonexistent/shm"]).expect_err("not there");
    assert!(error.contains("there is no /nonexistent/shm0 nor /nonexistent/shm"), "{error}");
    let path = std::env::temp_dir().join(format!("meridian-clockbound-{}", std::process::id()));
    std::fs::write(&path, "no segment").expect("written");
    let error = poll_any(&[path.to_str().expect("plain")]).expect_err("no segment");
    assert!(error.contains("of no version that is known"), "{error}");
    std::fs::remove_file(&path).expect("removed");
}
