//! The models claim what the papers say.

use std::time::Duration;

use super::{MAX_EPSILON, Sawtooth, Uncertainty, UncertaintyError};

const SECOND: u64 = 1_000_000_000;

#[test]
fn spanner_2012_runs_from_one_to_seven_milliseconds() {
    let model = Uncertainty::spanner_2012();
    assert_eq!(model.epsilon_nanos(0, 0), 1_000_000);
    assert_eq!(model.epsilon_nanos(15 * SECOND, 0), 4_000_000);
    assert_eq!(model.epsilon_nanos(30 * SECOND - 1, 0), 6_999_999);
    assert_eq!(model.epsilon_nanos(30 * SECOND, 0), 1_000_000);
    assert_eq!(model.widest(), Duration::from_millis(7));
}

#[test]
fn the_phase_shifts_the_polls() {
    let model = Uncertainty::spanner_2012();
    assert_eq!(model.epsilon_nanos(0, 15 * SECOND), 4_000_000);
    assert_eq!(model.epsilon_nanos(15 * SECOND, 15 * SECOND), 1_000_000);
}

#[test]
fn names_round_trip() {
    for text in ["zero", "fixed(4ms)", "sawtooth(1ms, 200ppm, 30s)", "fixed(250ms)"] {
        let model: Uncertainty = text.parse().expect(text);
        assert_eq!(model.to_string(), text);
    }
    assert_eq!("spanner2012".parse(), Ok(Uncertainty::spanner_2012()));
    assert_eq!("sundial".parse::<Uncertainty>().map(|m| m.to_string()), Ok("fixed(100ns)".into()));
    assert_eq!("fixed(0)".parse(), Ok(Uncertainty::Zero));
}

#[test]
fn bad_models_are_refused() {
    for text in ["", "fast", "fixed", "fixed(", "fixed(4)", "sawtooth(1ms)", "fixed(1ms, 2ms)"] {
        let error = text.parse::<Uncertainty>().expect_err(text);
        assert_eq!(error, UncertaintyError::Unknown(text.to_owned()));
        for known in ["zero", "spanner2012", "sundial", "spanner-now", "cockroach", "laptop-ntp"] {
            assert!(error.to_string().contains(known), "{error}");
        }
    }
    let too_wide = Uncertainty::fixed(MAX_EPSILON + Duration::from_nanos(1));
    assert!(matches!(too_wide, Err(UncertaintyError::TooWide(_))));
    let no_poll = Sawtooth { base: Duration::ZERO, drift_ppm: 1, poll: Duration::ZERO };
    assert_eq!(Uncertainty::sawtooth(no_poll), Err(UncertaintyError::NoPoll));
}
