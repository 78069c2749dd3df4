//! What a user who mistypes reads.

use clap::{CommandFactory, Parser};

use super::{Arguments, one_line};

fn complaint(arguments: &[&str]) -> String {
    let error = Arguments::try_parse_from(arguments).expect_err("refused");
    one_line(&error.to_string())
}

#[test]
fn the_options_do_not_contradict_each_other() {
    Arguments::command().debug_assert();
}

#[test]
fn a_wrong_option_is_one_line() {
    assert_eq!(
        complaint(&["meridian", "demo", "--nope"]),
        "unexpected argument '--nope' found; tip: a similar argument exists: '--no-shell' \
         (--help lists the options)"
    );
    assert_eq!(
        complaint(&["meridian", "demo", "--clock", "sun"]),
        "invalid value 'sun' for '--clock <MODEL>': unknown clock model \"sun\": write zero, \
         fixed(4ms), spanner2012, sawtooth(1ms, 200ppm, 30s), or one of sundial, aws-phc, \
         spanner-now, aws-ntp, laptop-ntp, cockroach; or, for meridian start, kernel or clockbound \
         (--help lists the options)"
    );
    assert_eq!(
        complaint(&["meridian", "workload", "run"]),
        "the following required arguments were not provided: <KIND> (--help lists the options)"
    );
}
