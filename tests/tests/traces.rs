//! Timelines of a cluster of processes, where nobody knows the true time: every node is asked, each by
//! its own clock, and who does not answer is named. And the same trace from outside, in every form.

use std::process::Command;

use meridian_tests::{cluster::ThreeProcesses, process::meridian, sql::Sql};

/// The lines of a statement's first column.
async fn lines(sql: &Sql, statement: &str) -> String {
    let rows = sql.rows(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    let first = |row: Vec<Option<String>>| row.into_iter().next().flatten().unwrap_or_default();
    rows.into_iter().map(first).collect::<Vec<_>>().join("\n")
}

/// `meridian trace` on a node: how it ended, and what it printed.
fn draw(port: u16, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(meridian())
        .arg("trace")
        .arg(format!("--url=postgresql://root@127.0.0.1:{port}/meridian"))
        .args(arguments)
        .output()
        .expect("run the binary");
    let printed = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.code(), String::from_utf8(printed).expect("text"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_tell_what_they_did_by_their_own_clocks() {
    let mut cluster = ThreeProcesses::start("traces", "fixed").await;
    let sql = cluster.connect(0).await;
    sql.run("CREATE TABLE t (k INT8 PRIMARY KEY)").await.expect("made");
    sql.run("INSERT INTO t VALUES (1)").await.expect("not traced");
    let refused = sql.run("SHOW TRACE LAST").await.expect_err("nothing was traced");
    assert_eq!(refused.state, "42704", "{refused:?}");
    sql.run("SET trace = on").await.expect("a setting");
    sql.run("INSERT INTO t VALUES (2)").await.expect("traced");

    let drawn = lines(&sql, "SHOW TRACE LAST AS TEXT").await;
    assert!(drawn.contains("the true time is not known"), "{drawn}");
    for part in ["local n1", "local n2", "local n3", "accept r", "commit-wait", "apply r"] {
        assert!(drawn.contains(part), "there is no {part} in\n{drawn}");
    }
    assert!(drawn.lines().all(|line| line.chars().count() <= 100), "{drawn}");
    assert!(!drawn.contains("no answer"), "{drawn}");

    let traces = sql.rows("SHOW TRACES").await.expect("they are listed");
    let id = traces[0][0].clone().expect("an id");
    let from_n2 = draw(cluster.sql_port(1), &["--id", &id]);
    assert_eq!((from_n2.0, from_n2.1.trim_end()), (Some(0), drawn.as_str()));
    for (form, part) in [("html", "<svg"), ("chrome", "traceEvents"), ("otlp", "resourceSpans")] {
        let (code, page) = draw(cluster.sql_port(2), &["--id", &id, "--format", form]);
        assert!(code == Some(0) && page.contains(part) && page.contains(&id), "{form}: {page}");
    }
    let newest = draw(cluster.sql_port(0), &[]);
    assert_eq!((newest.0, newest.1.trim_end()), (Some(0), drawn.as_str()), "the newest of its own");
    let (code, message) = draw(cluster.sql_port(1), &[]);
    assert!(code == Some(1) && message.contains("SET trace = on"), "{message}");
    let (code, message) = draw(cluster.sql_port(0), &["--id", "x"]);
    assert_eq!((code, message.lines().count()), (Some(1), 1), "{message}");

    cluster.kill(2);
    let drawn = lines(&sql, &format!("SHOW TRACE '{id}' AS TEXT")).await;
    assert!(drawn.contains("no answer from n3"), "{drawn}");
}
