//! Every model that is listed can be written, and is read back as it is shown.

use super::*;

#[test]
fn every_listed_model_is_read_and_shown_as_it_is_written() {
    for (written, about) in MODELS {
        assert!(!about.is_empty());
        // Those with arguments have commas of their own.
        let names: Vec<&str> =
            if written.contains('(') { vec![written] } else { written.split(", ").collect() };
        for name in names {
            let model: ClockModel = name.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(model.to_string().parse(), Ok(model), "{name} is shown as {model}");
            assert_eq!(ClockModel::with_epsilon(name, None), Ok(model));
        }
    }
}

#[test]
fn epsilon_goes_with_fixed_alone() {
    let epsilon = Some(Duration::from_millis(9));
    let nine = Uncertainty::fixed(Duration::from_millis(9)).map(ClockModel::Vouched);
    assert_eq!(ClockModel::with_epsilon("fixed", epsilon), nine.map_err(|error| error.to_string()));
    assert_eq!("fixed".parse(), "fixed(4ms)".parse::<ClockModel>());
    for other in ["kernel", "zero", "fixed(4ms)"] {
        let error = ClockModel::with_epsilon(other, epsilon).expect_err("it has its own");
        assert!(error.contains("--epsilon goes with --clock fixed"), "{error}");
    }
    assert!(ClockModel::with_epsilon("fixed", Some(Duration::from_secs(11))).is_err());
    assert!(ClockModel::with_epsilon("sundail", None).expect_err("a typo").contains("kernel"));
}

#[test]
fn what_needs_a_machine_cannot_be_simulated() {
    for model in [ClockModel::Kernel, ClockModel::ClockBound] {
        let error = model.simulated().expect_err("it needs one").to_string();
        assert!(
            error.contains(&format!("\"{model}\"")) && error.contains("meridian start"),
            "{error}"
        );
    }
    assert_eq!(ClockModel::Vouched(Uncertainty::Zero).simulated(), Ok(Uncertainty::Zero));
}
