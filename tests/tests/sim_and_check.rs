//! `meridian sim` and `meridian check` as a user meets them: output, files, exit codes.

use std::{
    io::Write as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
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
    let weak = meridian(&["check", history_name, "--model", "snapshot", "--overdraft"]);
    // Values of single registers repeat, so something is left undecided; nothing is violated.
    let weak = ended(&weak, 3);
    assert!(weak.contains("snapshot: undecided") && weak.contains("were not judged"), "{weak}");
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
    let (nobody, deep) = (file("nobody"), file("deep"));
    std::fs::write(&nobody, "{:type :info :process :nemesis :f :kill}").expect("a file");
    std::fs::write(&deep, "[".repeat(100_000)).expect("a file");
    let no_bank = file("no_bank");
    std::fs::write(&no_bank, "{\"invoked\":1,\"completed\":2,\"txn\":[]}").expect("a file");
    let no_bank_name = no_bank.to_str().expect("a name");
    let nobody_name = nobody.to_str().expect("a name");
    let deep_name = deep.to_str().expect("a name");
    for (arguments, told) in [
        (vec!["sim", "--seeds", "9..1"], "first..last"),
        (vec!["sim", "--workload", "banc"], "there is no workload"),
        (vec!["sim", "--mode", "chaos"], "there is no mode"),
        (vec!["sim", "--rate", "0"], "positive"),
        (vec!["sim", "--scenario", "/no/such"], "no scenario"),
        (vec!["sim", "--topology", "/no/such"], "no topology"),
        (vec!["workload", "run", "kv", "--duration", "0s"], "a run takes some time"),
        (vec!["demo", "--epsilon", "-4ms"], "it must not be negative"),
        (vec!["demo", "--ready-file", "/no/such/file"], "--ready-file /no/such/file"),
        (vec!["sql", "--url", "foo"], "one is postgresql://root@127.0.0.1:5433/meridian"),
        (vec!["check", "/no/such"], "/no/such"),
        (vec!["check", name], "line 1"),
        (vec!["check", nobody_name], "skipped: events of nemesis, which is no client: 1"),
        (vec!["check", deep_name], "line 1"),
        (vec!["check", name, "--initial", "["], "--initial"),
        (vec!["check", no_bank_name, "--bank-total", "10"], "--bank-total"),
        (vec!["check", name, "--model", "causal"], "causal"),
    ] {
        let text = ended(&meridian(&arguments), 2);
        assert!(text.contains(told), "{arguments:?}: {text}");
        assert_eq!(text.lines().count(), 1, "{arguments:?}: {text}");
    }
    for file in [nonsense, nobody, deep, no_bank] {
        std::fs::remove_file(file).expect("it is there");
    }
}

/// Judges what is read from standard input.
fn check_input(input: &str, arguments: &[&str]) -> Output {
    let mut check = Command::new(meridian_tests::process::meridian())
        .args([&["check", "-"], arguments].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut stdin = check.stdin.take().expect("it is piped");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    check.wait_with_output().expect("it ends")
}

/// Two writes and a read of one register, by processes with names.
const REGISTER: &str = r#"{:type :invoke :process "a" :f :write :value 1} {:type :ok :process "a" :f :write :value 1}
{:type :invoke :process "a" :f :write :value 2} {:type :ok :process "a" :f :write :value 2}
{:type :invoke :process "b" :f :write :value 1} {:type :ok :process "b" :f :write :value 1}
{:type :info :process :nemesis :f :kill}
{:type :invoke :process "b" :f :read} {:type :ok :process "b" :f :read :value ANSWER}
"#;

fn object(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", said(output)))
}

#[test]
fn a_verdict_has_a_word_an_exit_code_and_an_object() {
    let known = REGISTER.replace("ANSWER", "1");
    let output = check_input(&known, &["--model", "serializable", "--format", "json"]);
    let verdict = object(&output);
    assert_eq!((output.status.code(), &verdict["verdict"]), (Some(0), &"holds".into()));
    assert_eq!(verdict["decided_by"], "strict-serializable");
    assert_eq!(verdict["models"]["linearizable"], "holds");
    assert_eq!(verdict["counts"]["operations"], 4);
    assert_eq!(
        (&verdict["skipped"][0]["count"], &verdict["skipped"][0]["line"]),
        (&1.into(), &4.into())
    );
    let broken = REGISTER.replace("ANSWER", "2");
    let text = ended(&check_input(&broken, &[]), 1);
    assert!(text.contains("nonlinearizable") && text.contains("of process b, ok"), "{text}");
    assert!(text.contains("skipped: events of nemesis, which is no client: 1 (line 4)"), "{text}");
    let verdict = object(&check_input(&broken, &["--format", "json"]));
    let anomaly = &verdict["anomalies"][0];
    assert_eq!(
        (&anomaly["name"], &anomaly["forbidden"]),
        (&"nonlinearizable".into(), &true.into())
    );
    assert_eq!(anomaly["witness"]["operations"][0]["name"], "T1");
    assert_eq!(verdict["models"]["serializable"], "not judged");
    let text = ended(&check_input(&broken, &["--model", "serializable"]), 3);
    assert!(text.contains("serializable: undecided"), "{text}");
    // What was there before, and whether somebody else may write.
    let unwritten = REGISTER.replace("ANSWER", "7").replace(":value 1", ":value 3");
    ended(&check_input(&unwritten, &[]), 0);
    ended(&check_input(&unwritten, &["--closed-world"]), 1);
    let first = "{:type :invoke :f :read} {:type :ok :f :read :value 7}\n";
    ended(&check_input(first, &["--closed-world", "--initial", "7"]), 0);
    ended(&check_input(first, &["--closed-world", "--initial", "register=7"]), 0);
    ended(&check_input(first, &["--closed-world"]), 1);
}

#[test]
fn a_run_has_an_object_and_its_log_names_the_seed() {
    let broken = ["sim", "--seeds", "1..2", "--duration", "10s", "--mode", "snapshot-isolation"];
    let output = meridian(&[&broken[..], &["--faults", "none", "--format", "json"]].concat());
    let lines = String::from_utf8(output.stdout.clone()).expect("text");
    let objects: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let [first, second, sum] = objects.as_slice() else { panic!("three lines: {lines}") };
    assert_eq!((&first["seed"], &second["seed"], &sum["seeds"]), (&1.into(), &2.into(), &2.into()));
    let held = |run: &serde_json::Value| run["held"] == true;
    assert_eq!(
        held(first),
        first["verdict"] != "violated" && first["no_progress"] == serde_json::json!([])
    );
    assert_eq!(output.status.code(), Some(i32::from(!(held(first) && held(second)))));
    assert!(first["replay"].as_str().is_some_and(|replay| replay.contains("--seed 1")), "{first}");

    let crash = ["sim", "--seed", "5", "--duration", "10s", "--faults", "crash,disk"];
    let log = |filter: Option<&str>| {
        let mut command = Command::new(meridian_tests::process::meridian());
        command.args(crash).env_remove("RUST_LOG");
        filter.map(|filter| command.env("RUST_LOG", filter));
        String::from_utf8(command.output().expect("it runs").stderr).expect("text")
    };
    assert_eq!(log(None), "", "a fault that was put upon a node is no news");
    let told = log(Some("info"));
    assert!(told.contains("sim{seed=5}") && !told.contains("ERROR"), "{told}");
}
