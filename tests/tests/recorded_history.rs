//! The driver that docs/HISTORIES.md shows records a history of a demo, and `meridian check` judges it.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use meridian_tests::{demo::Demo, process::meridian};

const DRIVER: &str = "drivers/record_history.py";

/// A Python that has psycopg: `MERIDIAN_TEST_PYTHON`, or `python3`.
fn python() -> Option<String> {
    let python = std::env::var("MERIDIAN_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let found = Command::new(&python).args(["-c", "import psycopg"]).output();
    found.is_ok_and(|output| output.status.success()).then_some(python)
}

#[test]
fn the_page_shows_the_driver_that_is_tried() {
    let page = std::fs::read_to_string("../docs/HISTORIES.md").expect("the page is there");
    let driver = std::fs::read_to_string(DRIVER).expect("the driver is there");
    assert!(page.contains(&format!("```python\n{driver}```")), "another driver");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_in_python_records_what_check_judges() {
    let Some(python) = python() else {
        println!("skipped: no Python with psycopg (MERIDIAN_TEST_PYTHON names one)");
        return;
    };
    let demo = Demo::start("recorded").await;
    let url = format!("postgresql://root@127.0.0.1:{}/meridian", demo.sql_port(0));
    let recorded = Command::new(python).args([DRIVER, &url]).output().expect("it runs");
    let errors = String::from_utf8_lossy(&recorded.stderr);
    assert!(recorded.status.success() && errors.is_empty(), "{errors}");
    let lines = recorded.stdout.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(lines, 100, "a line for each transaction");
    let mut check = Command::new(meridian())
        .args(["check", "-", "--format", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut input = check.stdin.take().expect("it is piped");
    input.write_all(&recorded.stdout).expect("it reads");
    drop(input);
    let judged = check.wait_with_output().expect("it ends");
    let verdict: serde_json::Value = serde_json::from_slice(&judged.stdout).expect("an object");
    assert_eq!(
        (judged.status.code(), &verdict["verdict"]),
        (Some(0), &"holds".into()),
        "{verdict}"
    );
    assert_eq!((&verdict["counts"]["operations"], &verdict["file"]), (&100.into(), &"-".into()));
    assert_eq!(verdict["skipped"], serde_json::json!([]), "{verdict}");
    assert!(verdict["counts"]["ok"].as_u64().is_some_and(|ok| ok >= 10), "{verdict}");
}
