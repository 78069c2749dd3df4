//! The shell as a newcomer and as a script meet it: formats, exit codes, what it tells of a cluster
//! that is not well, and a terminal with its prompt, completion and Ctrl-C.

use std::process::{Command, Output};

use meridian_tests::{
    demo::Demo,
    process::{Folder, meridian},
    terminal::Terminal,
};

async fn demo(purpose: &str) -> Demo {
    let arguments = ["--topology=one-region", "--clock=fixed", "--epsilon=4ms"];
    Demo::start_with(purpose, 3, &arguments).await
}

fn url(demo: &Demo, node: u16) -> String {
    format!("postgresql://root@127.0.0.1:{}/meridian", demo.sql_port(node))
}

/// Runs commands in one shell.
fn shell(demo: &Demo, options: &[&str], commands: &[&str]) -> Output {
    let mut shell = Command::new(meridian());
    shell.args(["sql", "--url", &url(demo, 0)]).args(options);
    commands.iter().for_each(|command| {
        shell.args(["-e", command]);
    });
    shell.output().expect("the shell runs")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The types that the server tells decide what a value is.
#[tokio::test]
async fn results_for_programs() {
    let demo = demo("shell-formats").await;
    let select = "SELECT 1::INT2 AS a, 9007199254740993 AS a, 1.50 AS n, 'NaN'::FLOAT8 AS f, true AS t, \
                  NULL::INT AS z, '' AS e, '7' AS s, ARRAY[1, 2] AS l";
    let json =
        shell(&demo, &["--format=json"], &["SET trace = off", select, "\\timing", "SELECT 1"]);
    let expected = "[{\"a\":1,\"a_2\":9007199254740993,\"n\":1.50,\"f\":\"NaN\",\"t\":true,\
                    \"z\":null,\"e\":\"\",\"s\":\"7\",\"l\":\"{1,2}\"}]\n[{\"?column?\":1}]\n";
    assert_eq!(out(&json), expected);
    assert!(err(&json).contains("timing is on") && err(&json).contains("time: "), "{json:?}");
    let csv = shell(&demo, &["--format=csv"], &[select]);
    let expected = "a,a,n,f,t,z,e,s,l\n1,9007199254740993,1.50,NaN,t,,\"\",7,\"{1,2}\"\n";
    assert_eq!(out(&csv), expected);

    // A comment at the end of one -e is not one of the next.
    let tables = shell(&demo, &[], &["SELECT 1 AS a -- why", "SELECT 2 AS b", "\\x auto -- no"]);
    assert!(out(&tables).contains("(1 row)\n┌───┐\n│ b │"), "{tables:?}");
    assert_eq!(tables.status.code(), Some(0));
}

#[tokio::test]
async fn exit_codes_tell_what_happened() {
    let demo = demo("shell-codes").await;
    let failed = shell(&demo, &[], &["SELECT 1/0", "SELECT 2"]);
    assert_eq!((failed.status.code(), out(&failed)), (Some(1), String::new()));
    assert!(err(&failed).starts_with("ERROR:  22012: division by zero"), "{failed:?}");
    for mistake in ["\\nope", "\\d missing", "\\i /no/such/file", "\\x maybe", "\\c n9"] {
        assert_eq!(shell(&demo, &[], &[mistake]).status.code(), Some(1), "{mistake}");
    }
    for leave in ["\\q", "exit", "quit;"] {
        let left = shell(&demo, &[], &[leave, "SELECT 1/0"]);
        assert_eq!(left.status.code(), Some(0), "{leave}");
    }
    let mut nobody = Command::new(meridian());
    let nobody = nobody.args(["sql", "--url=postgresql://root@127.0.0.1:1/x"]).output();
    let nobody = nobody.expect("it runs");
    assert_eq!((nobody.status.code(), err(&nobody).lines().count()), (Some(2), 1), "{nobody:?}");

    // Whoever has read enough is no error, and gets no complaint.
    let many = "SELECT * FROM generate_series(1, 100000)";
    let program = format!(
        "{{ {} sql --url {} --format csv -e '{many}' -e '{many}'; echo code $? >&2; }} | head -1",
        meridian().display(),
        url(&demo, 0)
    );
    let piped = Command::new("sh").args(["-c", &program]).output().expect("a shell");
    assert_eq!((out(&piped), err(&piped)), ("generate_series\n".into(), "code 0\n".into()));
}

#[tokio::test]
async fn a_workload_without_its_tables_says_what_to_do() {
    let demo = demo("shell-workload").await;
    let run = |words: &[&str]| {
        let mut workload = Command::new(meridian());
        workload.arg("workload").args(words).args(["--url", &url(&demo, 0), "--rows=10"]);
        workload.output().expect("it runs")
    };
    for kind in ["kv", "bank"] {
        let refused = run(&["run", kind, "--duration=1s"]);
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(err(&refused).contains(&format!("meridian workload init {kind}")), "{refused:?}");
        assert_eq!(err(&refused).lines().count(), 1, "{refused:?}");
        assert_eq!(run(&["init", kind]).status.code(), Some(0));
        let ran = run(&["run", kind, "--duration=500ms", "--clients=2"]);
        assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    }
    // The bank would miss money that was never there.
    let mut workload = Command::new(meridian());
    workload.args(["workload", "run", "bank", "--url", &url(&demo, 0), "--rows=20"]);
    let refused = workload.output().expect("it runs");
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(err(&refused).contains("there are 10 rows, not 20"), "{refused:?}");
}

/// Rows of a statement as JSON.
fn rows(demo: &Demo, statement: &str) -> Vec<serde_json::Value> {
    let output = shell(demo, &["--format=json"], &[statement]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{statement}: {error}: {output:?}"));
    value.as_array().expect("an array").clone()
}

/// A demo knows how its nodes are, and what all clocks say at one moment.
#[tokio::test]
async fn a_demo_knows_its_nodes_and_clocks_at_once() {
    let demo = demo("shell-nodes").await;
    let state = || {
        let nodes = rows(&demo, "SHOW NODES");
        let told = |node: &serde_json::Value| (node["live"].clone(), node["stopped"].clone());
        nodes.iter().map(told).collect::<Vec<_>>()
    };
    let (well, null) = (serde_json::json!(true), serde_json::Value::Null);
    assert_eq!(state(), vec![(well.clone(), null.clone()); 3]);
    shell(&demo, &[], &["\\clock offset fast n1", "\\clock offset slow n2"]);
    let clocks = rows(&demo, "SHOW CLOCKS");
    assert_eq!(clocks.len(), 3);
    // Fast and slow by all of ε: the earliest of one is the latest of the other, at the true time.
    assert_eq!(clocks[0]["earliest"], clocks[1]["latest"], "{clocks:?}");
    assert_eq!(clocks[0]["true_offset_ms"], serde_json::json!(4));
    assert!(clocks.iter().all(|clock| clock["read_within_ms"] == serde_json::json!(0)));

    for (turn, live, stopped) in [
        ("\\crash n3", false, serde_json::json!("crashed")),
        ("\\restart n3", true, null.clone()),
        ("\\pause n3 5s", false, serde_json::json!("paused")),
        ("\\net cut n1 n2", false, null.clone()),
        ("\\net heal", true, null.clone()),
    ] {
        assert_eq!(shell(&demo, &[], &[turn]).status.code(), Some(0), "{turn}");
        let of = if turn.contains("net") { 1 } else { 2 };
        assert_eq!(state()[of], (serde_json::json!(live), stopped), "right after {turn}");
        let clocks = rows(&demo, "SHOW CLOCKS").len();
        assert_eq!(clocks, if turn == "\\crash n3" { 2 } else { 3 }, "{turn}");
    }
}

/// Completion offers nothing that the server does not know.
#[tokio::test]
async fn everything_offered_behind_show_can_be_shown() {
    let demo = demo("shell-show").await;
    let sql = demo.connect(0).await;
    let made = "CREATE TABLE t (k INT PRIMARY KEY); INSERT INTO t VALUES (1)";
    sql.run(made).await.expect("made");
    for shown in sql_shell::SHOWN {
        let rest = match *shown {
            phrase if phrase.ends_with("FROM") || phrase.ends_with("TABLE") => " t",
            phrase if phrase.ends_with("SETTING") => " clock.epsilon",
            _ => "",
        };
        sql.run(&format!("SHOW {shown}{rest}"))
            .await
            .unwrap_or_else(|error| panic!("SHOW {shown}{rest}: {error:?}"));
    }
}

#[tokio::test]
async fn watching_for_programs() {
    let demo = demo("shell-watch").await;
    let sql = demo.connect(1).await;
    for format in ["json", "csv"] {
        let watching = shell(
            &demo,
            &["--format", format],
            &[
                "\\workload kv 2",
                "\\watch 200ms 2",
                "\\clock ε 9ms",
                "\\watch 200ms 1",
                "\\workload stop",
            ],
        );
        assert_eq!(watching.status.code(), Some(0), "{watching:?}");
        sql.run("RESET CLUSTER SETTINGS").await.expect("reset");
        let printed = out(&watching);
        match format {
            "json" => {
                let lines = printed.lines().map(serde_json::from_str::<serde_json::Value>);
                let lines: Vec<_> = lines.map(|line| line.expect("JSON")).collect();
                assert_eq!(lines.len(), 3, "{printed}");
                assert_eq!(lines[0]["epsilon_ms"]["us-east"], serde_json::json!(4));
                assert_eq!(lines[2]["epsilon_ms"]["us-east"], serde_json::json!(9));
                assert!(lines.iter().all(|line| line["time"].is_string()), "{printed}");
            }
            _ => {
                let columns = printed.lines().map(|line| line.split(',').count());
                assert!(columns.clone().all(|count| count == 11), "{printed}");
                assert_eq!(columns.count(), 5, "a head each, and three rows: {printed}");
            }
        }
    }
    // Somebody else turns a knob while this one watches.
    let mut watch = Command::new(meridian());
    watch.args(["sql", "--url", &url(&demo, 0), "--format=json", "-e", "\\watch 300ms 10"]);
    let watch = watch.stdout(std::process::Stdio::piped()).spawn().expect("it starts");
    sql.run("SELECT pg_sleep(1)").await.expect("it sleeps");
    sql.run("SET CLUSTER SETTING clock.epsilon = '11ms' FOR NODE 2").await.expect("turned");
    let printed = out(&watch.wait_with_output().expect("it ends"));
    let knob = "\"knob\":\"clock.epsilon\",\"scope\":\"n2\",\"from\":\"4ms\",\"to\":\"11ms\"}";
    assert!(printed.contains(knob), "{printed}");
}

#[tokio::test]
async fn somebody_at_a_terminal() {
    let demo = demo("shell-terminal").await;
    let home = Folder::new("shell-terminal-home");
    // A history that cannot be written is told, and is no reason to stop.
    std::fs::create_dir(home.path().join(".meridian_history")).expect("a folder in its place");
    let mut terminal = Terminal::start(home.path(), &format!("sql --url {}", url(&demo, 0)));
    let hello = terminal.shows("n1 us-east> ").await;
    assert!(hello.contains("no history is kept"), "{hello}");

    terminal.types("CREATE TABLE wide (id INT PRIMARY KEY, description TEXT);\r");
    terminal.shows("ok").await;
    terminal.types("BEGIN;\r");
    terminal.shows("n1 us-east*> ").await;
    terminal.types("SELECT 1/0;\r");
    terminal.shows("n1 us-east!> ").await;
    terminal.types("ROLLBACK;\r");
    terminal.shows("n1 us-east> ").await;

    // Enter goes on until the statement ends; a command does not wait for that.
    terminal.types("SELECT 7 AS seven\r");
    terminal.shows("-> ").await;
    terminal.types("\\conninfo\r");
    terminal.shows("connected to n1 in us-east").await;
    terminal.types(", repeat('x', 100) AS long;\r");
    let shown = terminal.shows("(1 row)").await;
    assert!(shown.contains("seven │ 7"), "wider than 80 columns, so a column on a line: {shown}");

    terminal.types("SHOW CLOC\t");
    terminal.shows("SHOW CLOCKS").await;
    terminal.types(";\r");
    terminal.shows("source = fixed(4ms)").await;
    terminal.types("SELECT descr\t");
    terminal.shows("SELECT description").await;
    terminal.types("\x03");
    terminal.shows("n1 us-east> ").await;

    // Ctrl-C cancels what runs; the session goes on.
    terminal.types("SELECT pg_sleep(600);\r");
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    terminal.types("\x03");
    terminal.shows("57014").await;

    // The node at the other end dies, and the shell goes on at another one.
    terminal.types("\\crash n1\r");
    let shown = terminal.shows("n2 us-east> ").await;
    assert!(shown.contains("n1 is gone") && shown.contains("Connected to n2"), "{shown}");
    terminal.types("SHOW node_id;\r");
    terminal.shows("│ 2       │").await;
    terminal.types("\\c n3\r");
    terminal.shows("n3 us-east> ").await;
    terminal.types("exit\r");
    assert_eq!(terminal.ends().await, Some(0));
}
