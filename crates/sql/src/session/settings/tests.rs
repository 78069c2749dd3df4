//! Values as PostgreSQL 15 shows them, and scopes as its transactions have them.

use super::*;

fn set(settings: &mut Settings, name: &str, value: &str) -> Result<String, String> {
    let set = settings.set(SetScope::Session, name, value);
    set.map_err(|error| error.sqlstate.code().to_owned())
}

#[test]
fn the_table_is_ordered_and_its_defaults_are_values() {
    let names: Vec<String> = DEFINITIONS.iter().map(|each| each.name.to_lowercase()).collect();
    assert!(names.is_sorted_by(|a, b| a < b), "each name once, in order: {names:?}");
    for definition in DEFINITIONS {
        let shown = value::normal(definition, definition.default).expect(definition.name);
        assert_eq!(shown, definition.default, "{}", definition.name);
        assert!(find(&definition.name.to_uppercase()).is_some());
    }
}

#[test]
fn values_are_shown_as_postgresql_shows_them() {
    let mut settings = Settings::default();
    for (name, value, shown) in [
        ("work_mem", "65536", "64MB"),
        ("work_mem", "1GB", "1GB"),
        ("work_mem", "1.5MB", "1536kB"),
        ("temp_buffers", "1000", "8000kB"),
        ("statement_timeout", "1500", "1500ms"),
        ("statement_timeout", "0.5s", "500ms"),
        ("statement_timeout", "1d", "1d"),
        ("log_min_duration_statement", "-1", "-1"),
        ("random_page_cost", "1.1", "1.1"),
        ("enable_seqscan", "FALSE", "off"),
        ("synchronous_commit", "false", "off"),
        ("synchronous_commit", "remote_apply", "remote_apply"),
        ("lc_messages", "de_DE.UTF-8", "de_DE.UTF-8"),
        ("lc_numeric", "en_US.UTF-8", "en_US.UTF-8"),
        ("bytea_output", "escape", "escape"),
        ("client_encoding", "'utf-8'", "UTF8"),
        ("DateStyle", "iso", "ISO, MDY"),
        ("default_table_access_method", "heap", "heap"),
        ("default_tablespace", "", ""),
        ("extra_float_digits", "3", "3"),
        ("my.var", "Any text ", "Any text "),
        ("My.Other.var", "", ""),
    ] {
        assert_eq!(set(&mut settings, name, value), Ok(shown.to_owned()), "{name} = {value}");
        assert_eq!(settings.get(name), Some(shown), "{name} = {value}");
    }
}

#[test]
fn what_could_change_results_is_refused() {
    let mut settings = Settings::default();
    for (name, value, state) in [
        ("IntervalStyle", "iso_8601", "0A000"),
        ("DateStyle", "German", "0A000"),
        ("standard_conforming_strings", "off", "0A000"),
        ("array_nulls", "off", "0A000"),
        ("transform_null_equals", "on", "0A000"),
        ("session_replication_role", "replica", "0A000"),
        ("lc_numeric", "de_DE.UTF-8", "0A000"),
        ("client_encoding", "latin1", "0A000"),
        ("client_encoding", "klingon", "22023"),
        ("IntervalStyle", "sundial", "22023"),
        ("enable_seqscan", "maybe", "22023"),
        ("work_mem", "4 parsecs", "22023"),
        ("work_mem", "1kB", "22023"),
        ("statement_timeout", "-1", "22023"),
        ("statement_timeout", "1e400", "22023"),
        ("extra_float_digits", "4", "22023"),
        ("random_page_cost", "-1", "22023"),
        ("server_version", "16", "55P02"),
        ("nope", "1", "42704"),
        ("my.", "1", "42602"),
        ("my.1x", "1", "42602"),
    ] {
        assert_eq!(set(&mut settings, name, value), Err(state.to_owned()), "{name} = {value}");
    }
    let long = "x".repeat(MAX_VALUE_BYTES + 1);
    assert_eq!(set(&mut settings, "my.var", &long), Err("54000".to_owned()));
    for number in 0..MAX_CUSTOM {
        assert_eq!(set(&mut settings, &format!("my.v{number}"), ""), Ok(String::new()));
    }
    assert_eq!(set(&mut settings, "my.more", ""), Err("54000".to_owned()));
}

#[test]
fn a_rollback_takes_back_and_a_commit_keeps() {
    let mut settings = Settings::default();
    settings.set_startup("application_name", "app").expect("a name");
    settings.begin();
    settings.set(SetScope::Session, "work_mem", "1MB").expect("set");
    settings.set(SetScope::Local, "work_mem", "2MB").expect("set");
    assert_eq!(settings.get("work_mem"), Some("2MB"));
    settings.savepoint();
    settings.set(SetScope::Session, "work_mem", "3MB").expect("set");
    settings.set(SetScope::Local, "my.var", "x").expect("set");
    assert_eq!(settings.get("work_mem"), Some("3MB"), "a later SET is not hidden");
    settings.rollback_to(0);
    assert_eq!(settings.get("work_mem"), Some("2MB"));
    assert_eq!(settings.get("my.var"), Some(""), "it exists since it was set once");
    settings.commit();
    assert_eq!(settings.get("work_mem"), Some("1MB"), "what was local is gone");
    settings.begin();
    settings.set(SetScope::Local, "application_name", "other").expect("set");
    settings.reset(SetScope::Local, "application_name").expect("reset");
    assert_eq!(settings.get("application_name"), Some("app"));
    settings.reset_all();
    assert_eq!(settings.get("work_mem"), Some("4MB"));
    settings.rollback();
    assert_eq!(settings.get("work_mem"), Some("1MB"));
}

#[test]
fn texts_are_shared_and_charged_once() {
    let accounts = [Arc::new(Account::new(1 << 20)), Arc::new(Account::new(1 << 20))];
    let mut settings = Settings::default();
    settings.charge_to(&accounts[0], &accounts[1]);
    let long = "x".repeat(MAX_VALUE_BYTES);
    for number in 0..15 {
        set(&mut settings, &format!("my.v{number}"), &long).expect("there is room");
    }
    assert_eq!(set(&mut settings, "my.w", &long), Err("53200".to_owned()));
    settings.begin();
    for _ in 0..10 {
        settings.savepoint();
        set(&mut settings, "my.v1", "short").expect("a copy takes entries, no texts");
    }
    assert_eq!(set(&mut settings, "my.w", &long), Err("53200".to_owned()), "the old one is kept");
    settings.rollback();
    assert_eq!(settings.get("my.v1"), Some(&*long));
    set(&mut settings, "my.v1", "short").expect("set");
    set(&mut settings, "my.w", &long).expect("what nobody keeps was given back");
    let name = format!("my.{}", "x".repeat(MAX_NAME_BYTES));
    assert_eq!(set(&mut settings, &name, ""), Err("54000".to_owned()));
}

#[test]
fn a_number_outside_of_its_range_is_told_with_its_unit() {
    let mut settings = Settings::default();
    for (name, value, message) in [
        (
            "statement_timeout",
            "-5s",
            "-5000 ms is outside the valid range for parameter \
            \"statement_timeout\" (0 .. 2147483647)",
        ),
        (
            "work_mem",
            "1kB",
            "1 kB is outside the valid range for parameter \"work_mem\" \
            (64 .. 2147483647)",
        ),
        (
            "extra_float_digits",
            "9",
            "9 is outside the valid range for parameter \
            \"extra_float_digits\" (-15 .. 3)",
        ),
    ] {
        let error = settings.set(SetScope::Session, name, value).expect_err(name);
        assert_eq!(error.message, message);
    }
}

/// A change of the settings, and what it is called.
type Step<'a> = (&'a str, &'a dyn Fn(&mut Settings));

/// What every statement asks for is never older than the values.
#[test]
fn what_is_in_force_follows_every_change() {
    let mut settings = Settings::default();
    let steps: [Step<'_>; 17] = [
        ("nothing", &|_| {}),
        ("startup", &|s| s.set_startup("application_name", "a").unwrap()),
        ("place", &|s| s.set_place(NodeId(7), "moon")),
        ("user", &|s| s.set_user("somebody")),
        ("set", &|s| drop(s.set(SetScope::Session, "timezone", "+03").unwrap())),
        ("begin", &|s| s.begin()),
        ("set local", &|s| drop(s.set(SetScope::Local, "statement_timeout", "7s").unwrap())),
        ("savepoint", &|s| s.savepoint()),
        ("set again", &|s| drop(s.set(SetScope::Session, "bytea_output", "escape").unwrap())),
        ("level", &|s| {
            drop(
                s.set(SetScope::Local, "default_transaction_isolation", "read committed").unwrap(),
            );
        }),
        ("rollback to", &|s| s.rollback_to(0)),
        ("release", &|s| s.release(0)),
        ("commit", &|s| s.commit()),
        ("reset", &|s| drop(s.reset(SetScope::Session, "timezone").unwrap())),
        ("begin again", &|s| {
            s.begin();
            drop(s.set(SetScope::Session, "lock_timeout", "1s").unwrap());
        }),
        ("rollback", &|s| s.rollback()),
        ("reset all", &|s| s.reset_all()),
    ];
    let mut seen = std::collections::BTreeSet::new();
    for (step, change) in steps {
        change(&mut settings);
        let known = format!("{:?}", settings.effective());
        assert_eq!(known, format!("{:?}", Effective::of(&settings)), "after {step}");
        assert!(Arc::ptr_eq(&settings.effective(), &settings.effective()), "after {step}");
        seen.insert(known);
    }
    assert!(seen.len() >= 7, "the steps change something: {}", seen.len());
}
