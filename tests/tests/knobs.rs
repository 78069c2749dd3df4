//! The knobs of a running demo, turned through SQL as any client would: what they do, what they refuse,
//! and that the database goes on.

use std::{io::Write, time::Duration};

use meridian_tests::{
    demo::Demo,
    process::eventually,
    sql::{Refused, Sql},
    wire::Wire,
};
use tokio::time::Instant;

/// How long something may take that happens in a second or two, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Commits that a histogram is made of.
const COMMITS: u64 = 60;

/// A demo of three nodes in one region, where nothing hides a commit-wait.
async fn one_region(purpose: &str) -> Demo {
    Demo::start_with(purpose, 3, &["--topology=one-region", "--clock=fixed", "--epsilon=4ms"]).await
}

/// A closed terminal asks a demo to stop as `SIGTERM` does: it ends in order.
#[tokio::test]
async fn a_demo_whose_terminal_goes_ends_in_order() {
    let mut demo = one_region("knobs-hang-up").await;
    assert_eq!(demo.hang_up().code(), Some(0), "{}", demo.printed());
    let (mut with_shell, _input) = Demo::start_piped("knobs-hang-up-shell").await;
    assert_eq!(with_shell.hang_up().code(), Some(0), "{}", with_shell.printed());
}

/// Whoever pipes statements into the demo's own shell is answered as they come; the demo's knobs turn
/// meanwhile, though its shell waits for more.
#[tokio::test]
async fn statements_piped_into_the_demo_are_answered_as_they_come() {
    let (mut demo, mut input) = Demo::start_piped("knobs-piped").await;
    let statements =
        "SET CLUSTER SETTING clock.epsilon = '9ms';\n-- a comment; and\nSELECT\n  'no;w';\n";
    input.write_all(statements.as_bytes()).expect("it reads");
    eventually("the statements are answered", PATIENCE, async || {
        let printed = demo.printed();
        if printed.contains("no;w") { Ok(()) } else { Err(printed) }
    })
    .await;
    let sql = demo.connect(1).await;
    let epsilons = column(&sql, "SHOW CLOCKS", 3).await;
    assert_eq!(epsilons, ["9", "9", "9"]);
    assert!(demo.is_running(), "it ended before its input did: {}", demo.printed());
    input.write_all(b"SELECT 1/0;\nSELECT 'never';\n").expect("it reads");
    eventually("the first error ends it", PATIENCE, async || {
        if demo.is_running() { Err(demo.printed()) } else { Ok(()) }
    })
    .await;
    let printed = demo.printed();
    assert!(!printed.contains("never"), "{printed}");
    assert!(printed.contains("stopped at line 5: what follows it was not run"), "{printed}");
}

/// A column of the rows of a statement, by the place of the column.
async fn column(sql: &Sql, statement: &str, at: usize) -> Vec<String> {
    let rows = sql.rows(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    let cell = |row: Vec<Option<String>>| row.into_iter().nth(at).expect("as many columns");
    rows.into_iter().map(|row| cell(row).unwrap_or_default()).collect()
}

async fn state(sql: &Sql, statement: &str) -> String {
    sql.run(statement).await.expect_err(statement).state
}

/// Counts of a metric so far, by bucket: from (ms), to (ms), count.
async fn buckets(sql: &Sql, metric: &str) -> Vec<(f64, f64, u64)> {
    let rows = sql.rows("SHOW COMMIT HISTOGRAM").await.expect("it is shown");
    let text = |cell: &Option<String>| cell.clone().expect("not null");
    rows.iter()
        .filter(|row| row[0].as_deref() == Some(metric))
        .map(|row| {
            let float = |at: usize| text(&row[at]).parse::<f64>().expect("a number");
            (float(1), float(2), text(&row[3]).parse().expect("a count"))
        })
        .collect()
}

/// The median of what was counted in between, in milliseconds.
fn median_since(before: &[(f64, f64, u64)], now: &[(f64, f64, u64)]) -> f64 {
    let mut seen = 0;
    for (from, to, count) in now {
        let old = before.iter().find(|bucket| bucket.0 == *from).map_or(0, |bucket| bucket.2);
        seen += count - old;
        if seen * 2 >= COMMITS {
            return (from + to) / 2.0;
        }
    }
    panic!("{seen} commits were counted instead of {COMMITS}")
}

/// Commits a number of times; answers the medians that the cluster's histogram shows for them:
/// latency and commit-wait, in milliseconds.
async fn medians_of_commits(sql: &Sql) -> (f64, f64) {
    let before = (buckets(sql, "latency").await, buckets(sql, "commit_wait").await);
    for _ in 0..COMMITS {
        sql.run("UPDATE t SET v = v + 1 WHERE k = 1").await.expect("nobody else writes");
    }
    let latency = median_since(&before.0, &buckets(sql, "latency").await);
    (latency, median_since(&before.1, &buckets(sql, "commit_wait").await))
}

/// The commit histogram moves by 2ε, up and down, while the database runs.
#[tokio::test]
async fn epsilon_turned_live_moves_commit_latencies_by_twice_as_much() {
    let demo = one_region("knobs-epsilon").await;
    let sql = demo.connect(0).await;
    sql.run("CREATE TABLE t (k INT8 PRIMARY KEY, v INT8); INSERT INTO t VALUES (1, 0)")
        .await
        .expect("a table");
    let mut medians = Vec::new();
    for epsilon in ["0ms", "20ms", "0ms"] {
        let set = format!("SET CLUSTER SETTING clock.epsilon = '{epsilon}'");
        sql.run(&set).await.expect("turned");
        medians.push(medians_of_commits(&sql).await);
    }
    println!("median latency and commit-wait in ms, with 0, 20, 0 ms: {medians:?}");
    let [narrow, wide, again] = medians[..] else { unreachable!("three") };
    // 2ε is 40 ms. It may be more where a busy machine wakes whoever waits late, never less; what the
    // round trip of the region hides of it is missing from the difference of the latencies.
    assert!(wide.0 > 39.0 && wide.0 < narrow.0 + 80.0, "{medians:?}");
    assert!(narrow.0 < 30.0 && again.0 < 30.0, "{medians:?}");
    assert!(wide.1 > 39.0 && wide.1 < 75.0, "{medians:?}");
    assert!(narrow.1 < 10.0 && again.1 < 10.0, "{medians:?}");
    assert_eq!(sql.value("SELECT v FROM t WHERE k = 1").await, Ok((3 * COMMITS).to_string()));
    let epsilons = column(&sql, "SHOW CLOCKS", 3).await;
    assert_eq!(epsilons, ["0", "0", "0"]);
}

#[tokio::test]
async fn settings_have_a_scope_and_show_what_they_are() {
    let demo = one_region("knobs-settings").await;
    let sql = demo.connect(1).await;
    let show = "SHOW CLUSTER SETTING clock.epsilon";
    assert_eq!(column(&sql, show, 1).await, ["cluster"]);
    sql.run("SET CLUSTER SETTING clock.epsilon = '20ms' FOR NODE 3").await.expect("turned");
    assert_eq!(column(&sql, show, 1).await, ["n1", "n2", "n3"]);
    assert_eq!(column(&sql, show, 2).await, ["4ms", "4ms", "20ms"]);
    assert_eq!(column(&sql, show, 3).await, ["4ms", "4ms", "4ms"]);
    sql.run("RESET CLUSTER SETTING clock.epsilon FOR NODE 3").await.expect("turned");
    assert_eq!(column(&sql, show, 2).await, ["4ms"]);
    sql.run("SET CLUSTER SETTING clock.model = 'spanner2012' FOR REGION 'local'")
        .await
        .expect_err("there is no such region");
    sql.run("SET CLUSTER SETTING clock.model = 'spanner2012'").await.expect("turned");
    assert_eq!(column(&sql, show, 2).await, ["1ms..7ms"]);
    sql.run("SET CLUSTER SETTING unsafe.commit_wait = off").await.expect("turned");
    assert_eq!(column(&sql, "SHOW CLUSTER SETTING unsafe.commit_wait", 4).await, ["UNSAFE"]);
    sql.run("RESET CLUSTER SETTINGS").await.expect("turned");
    let all = sql.rows("SHOW CLUSTER SETTINGS").await.expect("shown");
    assert!(all.iter().all(|row| row[2] == row[3] && row[4].as_deref() == Some("")), "{all:?}");
}

#[tokio::test]
async fn what_cannot_be_turned_is_refused_and_changes_nothing() {
    let demo = one_region("knobs-refusals").await;
    let sql = demo.connect(0).await;
    let before = sql.rows("SHOW CLUSTER SETTINGS").await.expect("shown");
    for (statement, expected) in [
        ("SET CLUSTER SETTING clock.epsilon = 'soon'", "22023"),
        ("SET CLUSTER SETTING clock.epsilon = '300ms'", "22023"),
        ("SET CLUSTER SETTING clock.offset = 'wrong'", "22023"),
        ("SET CLUSTER SETTING unsafe.commit_wait = maybe", "22023"),
        ("SET CLUSTER SETTING clock.colour = 'red'", "42704"),
        ("SHOW CLUSTER SETTING clock.colour", "42704"),
        ("SET CLUSTER SETTING clock.epsilon = '1ms' FOR NODE 9", "42704"),
        ("SET CLUSTER SETTING clock.epsilon = '1ms' FOR EVERYBODY", "42601"),
        ("CALL meridian_internal.crash_node(9)", "42704"),
        ("CALL meridian_internal.crash_node()", "42883"),
        ("CALL meridian_internal.explode()", "42883"),
        ("CALL meridian_internal.restart_node(1)", "55000"),
        ("CALL meridian_internal.cut_link('n1', 'nowhere')", "42704"),
        ("CALL meridian_internal.cut_link('n1', 'n1')", "55000"),
        ("CALL meridian_internal.set_link('n1', 'n2', 'loss=2')", "22023"),
        ("CALL meridian_internal.skew_clock(3, '+40ms')", "55000"),
        ("CALL meridian_internal.step_clock(3, '-2s')", "55000"),
        ("CALL meridian_internal.drift_clock(3, 'fast')", "22023"),
        ("BEGIN; SET CLUSTER SETTING clock.epsilon = '1ms'", "25001"),
    ] {
        assert_eq!(state(&sql, statement).await, expected, "{statement}");
    }
    sql.run("ROLLBACK").await.expect("the last one began a transaction");
    assert_eq!(sql.rows("SHOW CLUSTER SETTINGS").await.expect("shown"), before);
}

#[tokio::test]
async fn nodes_crash_restart_and_pause_and_links_are_cut_and_the_cluster_goes_on() {
    let mut demo = one_region("knobs-nodes").await;
    let sql = demo.connect(0).await;
    sql.run("CREATE TABLE t (k INT8 PRIMARY KEY); INSERT INTO t VALUES (1)")
        .await
        .expect("a table");

    sql.run("CALL meridian_internal.crash_node(3)").await.expect("crashed");
    assert_eq!(Sql::connect(demo.sql_port(2)).await.err().expect("it is down").state, "08006");
    let states = column(&sql, "SHOW CLUSTER SETTINGS", 2).await;
    assert!(states.contains(&"crashed".to_owned()), "{states:?}");
    assert_eq!(state(&sql, "CALL meridian_internal.crash_node(3)").await, "55000");
    sql.run("INSERT INTO t VALUES (2)").await.expect("two of three are a quorum");
    sql.run("CALL meridian_internal.restart_node(3)").await.expect("it comes back");
    let third = demo.connect(2).await;
    assert_eq!(third.value("SELECT count(*) FROM t").await, Ok("2".to_owned()));

    let begun = Instant::now();
    sql.run("CALL meridian_internal.pause_node(3, '3s')").await.expect("paused");
    sql.run("INSERT INTO t VALUES (3)").await.expect("two of three are a quorum");
    assert_eq!(third.value("SELECT 1").await, Ok("1".to_owned()));
    assert!(begun.elapsed() >= Duration::from_millis(2900), "after {:?}", begun.elapsed());

    sql.run("CALL meridian_internal.cut_link('n1', 'n2')").await.expect("cut");
    sql.run("CALL meridian_internal.cut_link('n1', 'n3', 'one-way')").await.expect("cut");
    let cut = sql.rows("SHOW CLUSTER SETTINGS").await.expect("shown");
    let cut = cut.iter().filter(|row| row[2].as_deref().is_some_and(|v| v.starts_with("cut")));
    assert_eq!(cut.count(), 3);
    let second = demo.connect(1).await;
    eventually("the others go on without n1", PATIENCE, async || {
        second.run("INSERT INTO t VALUES (4) ON CONFLICT (k) DO NOTHING").await
    })
    .await;
    sql.run("CALL meridian_internal.heal_links()").await.expect("healed");
    eventually("n1 is back", PATIENCE, async || match sql.value("SELECT count(*) FROM t").await {
        Ok(count) if count == "4" => Ok(()),
        other => Err(other),
    })
    .await;

    let link = "CALL meridian_internal.set_link('n1', 'n2', 'rtt=90ms jitter=5ms loss=1%')";
    sql.run(link).await.expect("set");
    let values = column(&sql, "SHOW CLUSTER SETTINGS", 2).await;
    assert!(
        values.iter().any(|value| value.starts_with("rtt=90ms jitter=5ms loss=1%")),
        "{values:?}"
    );
    sql.run("CALL meridian_internal.reset_links()").await.expect("reset");
    assert!(demo.is_running(), "{}", demo.printed());
}

/// T2's guard: a node whose clock lies stops serving, says why wherever one looks, and serves again.
#[tokio::test]
async fn a_node_whose_clock_lies_stops_and_says_so() {
    let mut demo = one_region("knobs-guard").await;
    let sql = demo.connect(0).await;
    sql.run("CREATE TABLE t (k INT8 PRIMARY KEY); INSERT INTO t VALUES (1)")
        .await
        .expect("a table");
    let third = demo.connect(2).await;
    for lie in ["+40ms", "-2s", "+2s"] {
        // The warning comes before the command's end.
        let call = format!("CALL meridian_internal.skew_clock(3, '{lie}', 'unsafe')");
        let mut wire = Wire::connect(demo.sql_port(0)).await;
        assert_eq!(wire.query(&call).await, "NC/I", "{lie}");
        let clocks = column(&sql, "SHOW CLOCKS", 4).await;
        assert!(clocks[2].contains("UNSAFE lie"), "{clocks:?}");

        let refused = eventually("n3 distrusts its clock", PATIENCE, async || {
            match third.run("SELECT count(*) FROM t").await {
                Err(refused) if refused.state == "57P03" => Ok(refused),
                other => Err(other),
            }
        })
        .await;
        let way = if lie.starts_with('+') { "ahead of" } else { "behind" };
        assert!(refused.message.contains(way), "{lie}: {refused:?}");
        assert!(
            refused.message.contains("n1, n2") && refused.message.contains("±4ms"),
            "{refused:?}"
        );
        assert!(refused.hint.contains("synchronization"), "{refused:?}");
        assert!(demo.printed().contains("n3 stops serving"), "the log tells");
        let distrust = column(&sql, "SHOW CLOCKS", 6).await;
        assert!(distrust[2].contains(way) && distrust[0].is_empty(), "{distrust:?}");
        eventually("n1 hears of it", PATIENCE, async || {
            let stopped = column(&sql, "SHOW NODES", 6).await;
            if stopped[2].contains(way) { Ok(()) } else { Err(stopped) }
        })
        .await;
        eventually("the others go on", PATIENCE, async || {
            sql.run("INSERT INTO t VALUES (2) ON CONFLICT (k) DO NOTHING").await
        })
        .await;

        sql.run("CALL meridian_internal.skew_clock(3, '0ms')").await.expect("honest again");
        eventually("n3 serves again", PATIENCE, async || {
            match third.value("SELECT count(*) FROM t").await {
                Ok(count) if count == "2" => Ok(()),
                other => Err(other),
            }
        })
        .await;
    }
    assert!(demo.is_running(), "{}", demo.printed());
}

/// Without the guard a lying clock goes on serving: the experiment it is for.
#[tokio::test]
async fn a_guard_that_is_off_lets_a_liar_serve() {
    let demo = one_region("knobs-guard-off").await;
    let sql = demo.connect(0).await;
    sql.run("SET CLUSTER SETTING unsafe.clock_guard = off").await.expect("turned");
    sql.run("CALL meridian_internal.skew_clock(3, '-300ms', 'unsafe')").await.expect("moved");
    let third = demo.connect(2).await;
    eventually("its peers contradict it", PATIENCE, async || {
        let log = demo.printed();
        if log.contains("n3 and n1, n2 contradict each other") { Ok(()) } else { Err(log) }
    })
    .await;
    assert_eq!(third.value("SELECT 1").await, Ok("1".to_owned()));
    let stopped = column(&third, "SHOW CLOCKS", 6).await;
    assert!(stopped.iter().all(String::is_empty), "{stopped:?}");
}

/// A node on a machine of its own has one knob.
#[tokio::test]
async fn a_process_of_its_own_turns_its_own_claim_only() {
    let mut cluster = meridian_tests::cluster::ThreeProcesses::start("knobs-start", "fixed").await;
    let sql = cluster.connect(1).await;
    sql.run("SET CLUSTER SETTING clock.epsilon = '20ms' FOR NODE 2").await.expect("turned");
    let epsilons = column(&sql, "SHOW CLOCKS", 3).await;
    assert_eq!(epsilons, ["4", "20", "4"]);
    // Each was asked on its own; at the one moment that is shown, honest clocks overlap.
    let clocks = sql.rows("SHOW CLOCKS").await.expect("shown");
    let at = |column: usize| clocks.iter().filter_map(move |row| row[column].clone());
    assert!(clocks.len() == 3 && at(1).max() <= at(2).min(), "{clocks:?}");
    assert!(at(7).all(|within| within.parse::<f64>().is_ok_and(|ms| ms < 1000.0)), "{clocks:?}");
    for (statement, expected) in [
        ("SET CLUSTER SETTING clock.epsilon = '20ms'", "0A000"),
        ("SET CLUSTER SETTING clock.epsilon = '1ms' FOR NODE 2", "55000"),
        ("SET CLUSTER SETTING unsafe.commit_wait = off FOR NODE 2", "0A000"),
        ("CALL meridian_internal.crash_node(2)", "0A000"),
        ("CALL meridian_internal.cut_link('n1', 'elsewhere')", "0A000"),
    ] {
        let Refused { state, hint, .. } = sql.run(statement).await.expect_err(statement);
        assert_eq!(state, expected, "{statement}");
        assert!(!hint.is_empty(), "{statement}");
    }
    cluster.kill(0);
}

/// Runs commands in one shell, one after the other; what it printed, and whether all worked.
fn shell(demo: &Demo, node: u16, commands: &[&str]) -> (String, bool) {
    let url = format!("postgresql://root@127.0.0.1:{}/meridian", demo.sql_port(node));
    let mut shell = std::process::Command::new(meridian_tests::process::meridian());
    shell.args(["sql", "--url", &url]);
    commands.iter().for_each(|command| {
        shell.args(["-e", command]);
    });
    let output = shell.output().expect("the shell runs");
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8(text).expect("it prints text"), output.status.success())
}

/// Commit-wait off and clocks apart, and the recorded history shows a pair of transactions
/// in the wrong order; on again, it is clean.
#[tokio::test]
async fn without_commit_wait_the_shell_finds_the_reversed_pair() {
    let demo = one_region("knobs-check").await;
    let (text, worked) = shell(
        &demo,
        0,
        &[
            "\\clock ε 50ms",
            "\\clock offset fast n1",
            "\\clock offset slow n2",
            "\\clock offset slow n3",
            "\\check run 3s",
        ],
    );
    assert!(worked && text.contains(": holds"), "with commit-wait: {text}");
    let page = std::env::temp_dir().join(format!("meridian-check-{}.html", std::process::id()));
    let report = format!("\\check report {}", page.display());
    let commands = ["\\commit-wait off", "\\check run 3s", &report, "SELECT 'went ' || 'on'"];
    let (text, worked) = shell(&demo, 1, &commands);
    assert!(text.contains("WARNING:  UNSAFE: commit-wait is off"), "{text}");
    assert!(!worked && text.contains(": violated"), "without commit-wait: {text}");
    assert!(text.contains("went on"), "a verdict is no error of the script: {text}");
    assert_eq!(text.matches(": violated").count(), 2, "the report says it again: {text}");
    let written = std::fs::read_to_string(&page).expect("the report is written");
    assert!(written.contains("<html"), "{written}");
    std::fs::remove_file(&page).expect("it was there");
    let (text, worked) = shell(&demo, 2, &["\\commit-wait on", "\\check run 3s"]);
    assert!(worked && text.contains(": holds"), "with commit-wait again: {text}");
}

#[tokio::test]
async fn the_shell_turns_knobs_makes_load_and_watches() {
    let demo = one_region("knobs-shell").await;
    let (text, worked) = shell(
        &demo,
        0,
        &[
            "\\workload bank 4",
            "\\watch 500ms 4",
            "\\clock epsilon 20ms",
            "\\watch 500ms 2",
            "\\workload stop",
            "\\settings",
        ],
    );
    assert!(worked, "{text}");
    assert!(text.contains("commits/s") && text.contains("ε us-east\n"), "{text}");
    assert!(text.contains("    20.0\n"), "{text}");
    assert!(text.contains("commit latency") && text.contains("█"), "{text}");
    assert!(text.contains("operations in") && !text.contains("VIOLATION"), "{text}");
    assert!(text.contains("clock.epsilon") && text.contains("20ms"), "{text}");
    let (text, worked) = shell(&demo, 0, &["\\clock step n3 -2s"]);
    assert!(!worked && text.contains("unsafe"), "{text}");
    let (text, worked) = shell(&demo, 0, &["\\check report"]);
    assert!(!worked && text.contains("\\check start"), "{text}");
    let (text, worked) = shell(&demo, 0, &["\\workload foo 3"]);
    assert!(!worked && text.contains("there is no workload foo: kv, bank"), "{text}");
}
