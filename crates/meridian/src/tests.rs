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
        "invalid value 'sun' for '--clock <CLOCK>' [possible values: spanner2012, fixed, zero] \
         (--help lists the options)"
    );
    assert_eq!(
        complaint(&["meridian", "workload", "run"]),
        "the following required arguments were not provided: <KIND> (--help lists the options)"
    );
}
