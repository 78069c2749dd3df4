//! Looks, and what they come to. How it is printed is in `testscripts/`.

use super::*;

fn answer(rows: &[&[&str]]) -> Answer {
    let row = |row: &&[&str]| row.iter().map(|cell| Some((*cell).to_owned())).collect();
    Answer { rows: rows.iter().map(row).collect(), ..Answer::default() }
}

fn look(rows: &[&[&str]]) -> Look {
    let stats = answer(&[&["1", "us-east", "4"], &["2", "us-east", "6.5"], &["3", "west", "1"]]);
    Look::read(&[answer(rows), stats, answer(&[])]).expect("well-formed")
}

#[test]
fn an_interval_is_the_difference_of_two_looks() {
    let before = look(&[&["latency", "1", "1.02", "5"], &["hidden", "8", "8.2", "5"]]);
    let after = look(&[
        &["latency", "1", "1.02", "5"],
        &["latency", "41", "42", "10"],
        &["hidden", "8", "8.2", "15"],
    ]);
    let since = after.since(&before);
    let expected = Figures {
        commits_per_s: 5.0,
        p50: Some(41.5),
        p99: Some(41.5),
        hidden: Some(8.1),
        exposed: None,
    };
    assert_eq!(since.figures(Duration::from_secs(2)), expected);
    assert_eq!(since.epsilons, [("us-east".into(), 6.5), ("west".into(), 1.0)].into());
    assert!(since.histogram().contains("      10 ████"), "{}", since.histogram());
    assert_eq!(before.since(&after).histogram(), "no commits\n");
}

#[test]
fn answers_of_another_kind_are_told() {
    assert!(Look::read(&[Answer::default()]).is_err());
    let bad = answer(&[&["latency", "soon", "later", "1"]]);
    assert!(Look::read(&[bad, Answer::default(), Answer::default()]).is_err());
    let bad = answer(&[&["clock.epsilon"]]);
    assert!(Look::read(&[Answer::default(), Answer::default(), bad]).is_err());
}

#[test]
fn knobs_that_were_turned_are_told_with_what_they_were() {
    let knobs = |rows: &[&[&str]]| Knobs::read(&answer(rows)).expect("well-formed");
    let turned = |before: &[&[&str]], now: &[&[&str]]| -> Vec<String> {
        let changes = knobs(now).since(&knobs(before));
        let told = changes.into_iter();
        told.map(|c| format!("{} ({}): {} -> {}", c.name, c.scope, c.from, c.to)).collect()
    };
    let alike: &[&[&str]] = &[&["clock.epsilon", "cluster", "4ms", "4ms"]];
    let apart: &[&[&str]] = &[
        &["clock.epsilon", "n1", "20ms", "4ms"],
        &["clock.epsilon", "n2", "4ms", "4ms"],
        &["node.state", "n3", "crashed", "running"],
    ];
    assert_eq!(turned(alike, alike), [] as [&str; 0]);
    let all = &[&["clock.epsilon", "cluster", "9ms", "4ms"][..]];
    assert_eq!(turned(alike, all), ["clock.epsilon (cluster): 4ms -> 9ms"]);
    assert_eq!(
        turned(alike, apart),
        ["clock.epsilon (n1): 4ms -> 20ms", "node.state (n3): running -> crashed"]
    );
    assert_eq!(
        turned(apart, alike),
        ["clock.epsilon (cluster): various -> 4ms", "node.state (n3): crashed -> running"]
    );
}
