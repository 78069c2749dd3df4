//! `meridian sim` and `meridian check` as a user meets them: output, files, exit codes.

use std::{
    path::PathBuf,
    process::{Command, Output},
};

fn meridian(arguments: &[&str]) -> Output {
    let mut command = Command::new(meridian_tests::process::meridian());
    command.args(arguments).env("RUST_LOG", "off").output().expect("the program runs")
}

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

fn ended(output: &Output, code: i32) -> String {
    let text = said(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

/// A file of this name that no other test uses.
fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("meridian-{}-{name}", std::process::id()))
}

#[test]
fn one_seed_prints_one_trace() {
    let run = || ended(&meridian(&["sim", "--seed", "5", "--duration", "5s"]), 0);
    let trace = |text: &str| {
        let (_, trace) = text.split_once("trace ").expect("a trace");
        trace[..16].to_owned()
    };
    let (first, second) = (run(), run());
    assert!(first.contains("held"), "{first}");
    assert_eq!(trace(&first), trace(&second));
}

#[test]
fn a_violation_is_replayed_and_its_history_judged_again() {
    let (history, report) = (file("history.jsonl"), file("report.html"));
    let (history_name, report_name) =
        (history.to_str().expect("a name"), report.to_str().expect("a name"));
    let broken = ["sim", "--seed", "1", "--duration", "20s", "--faults", "none"];
    let broken = [&broken[..], &["--mode", "snapshot-isolation"]].concat();
    let files = ["--history", history_name, "--report", report_name];
    let text = ended(&meridian(&[&broken[..], &files].concat()), 1);
    assert!(text.contains("VIOLATED") && text.contains("write-skew"), "{text}");
    let (_, replay) = text.split_once("replay: meridian ").expect("a command");
    let again: Vec<&str> = replay.lines().next().expect("a line").split(' ').collect();
    let repeated = ended(&meridian(&again), 1);
    let witness = |text: &str| text[text.find("1. ").expect("a witness")..].to_owned();
    assert_eq!(witness(&repeated), witness(&text), "the replay found something else");

    let strict = ended(&meridian(&["check", history_name]), 1);
    assert!(strict.contains("write-skew"), "{strict}");
    let weak = ended(&meridian(&["check", history_name, "--model", "snapshot", "--overdraft"]), 0);
    // Balances of the bank repeat, so something may be left undecided; nothing is violated.
    assert!(!weak.contains("snapshot: violated"), "{weak}");
    let page = std::fs::read_to_string(&report).expect("the report");
    let loads = ["src=", "href=", "url(h", "@import"].iter().find(|loads| page.contains(*loads));
    assert!(page.contains("<svg") && loads.is_none(), "the page loads something: {loads:?}");
    std::fs::remove_file(history).expect("it is there");
    std::fs::remove_file(report).expect("it is there");
}

#[test]
fn a_campaign_prints_a_line_per_seed_in_order() {
    let arguments = ["sim", "--seeds", "3..6", "--jobs", "2", "--duration", "5s"];
    let text = ended(&meridian(&arguments), 0);
    let seeds: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("seed ")?.split(' ').next()).collect();
    assert_eq!(seeds, ["3", "4", "5", "6"], "{text}");
    assert!(text.contains("4 of 4 seeds held"), "{text}");
}

#[test]
fn input_that_makes_no_sense_ends_with_2() {
    let nonsense = file("nonsense");
    std::fs::write(&nonsense, "neither\nthis nor that").expect("a file");
    let name = nonsense.to_str().expect("a name");
    for (arguments, told) in [
        (vec!["sim", "--seeds", "9..1"], "first..last"),
        (vec!["sim", "--workload", "banc"], "there is no workload"),
        (vec!["sim", "--mode", "chaos"], "there is no mode"),
        (vec!["sim", "--rate", "0"], "positive"),
        (vec!["sim", "--scenario", "/no/such"], "no scenario"),
        (vec!["sim", "--topology", "/no/such"], "no topology"),
        (vec!["check", "/no/such"], "/no/such"),
        (vec!["check", name], "line 1"),
        (vec!["check", name, "--model", "causal"], "causal"),
    ] {
        let text = ended(&meridian(&arguments), 2);
        assert!(text.contains(told), "{arguments:?}: {text}");
        assert_eq!(text.lines().count(), 1, "{arguments:?}: {text}");
    }
    std::fs::remove_file(nonsense).expect("it is there");
}
