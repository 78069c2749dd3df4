//! Three real processes, a bank under load, and `kill -9`: of the leader, then of all three. And one
//! that comes back with an older copy of its folder.
//!
//! What must hold: every snapshot shows the same total, every acknowledged transfer is there at the
//! end, ranges led elsewhere go on, and the ranges of the dead leader come back soon after its
//! lease. `MERIDIAN_LONG=1` runs the minute-long form.

use std::{fs, path::Path, process::Command, time::Duration};

use meridian_tests::{cluster::ThreeProcesses, process::meridian, sql::Sql};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

/// The leaders' lease (the default of `meridian start`) and what a fail-over may take beyond it:
/// two seconds, and two more for a busy machine.
const COMES_BACK_WITHIN: Duration = Duration::from_secs(3 + 2 + 2);

/// What a node's memory may grow by while a peer reads nothing: its queues (64 MiB for each of three
/// lanes) are not full by far.
const PILED_UP: u64 = 100 << 20;

fn bank(subcommand: &str, urls: &str, seconds: u64) -> Command {
    let mut command = Command::new(meridian());
    command.args(["workload", subcommand, "bank", "--rows=100", "--clients=16"]);
    command.args([format!("--url={urls}"), format!("--duration={seconds}s")]);
    command.arg("--format=json");
    command
}

/// Runs a command to its end on a thread of its own.
fn running(mut command: Command) -> JoinHandle<std::process::Output> {
    tokio::task::spawn_blocking(move || command.output().expect("run the workload"))
}

fn verdict(output: &std::process::Output) -> serde_json::Value {
    let printed = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    let report: serde_json::Value = serde_json::from_str(&printed)
        .unwrap_or_else(|error| panic!("{error}: {printed}\n{complaint}"));
    assert_eq!(report["violations"], serde_json::json!([]), "{report}");
    assert!(output.status.success(), "{report}\n{complaint}");
    assert!(report["extra"]["snapshot_reads"].as_u64() > Some(0), "{report}");
    assert!(report["extra"]["acknowledged"].as_u64() > Some(0), "{report}");
    report
}

/// Writes to a table again and again through one node until told to stop; the longest time without
/// a success.
fn longest_gap(
    port: u16,
    table: &'static str,
    mut stop: watch::Receiver<bool>,
) -> JoinHandle<Duration> {
    tokio::spawn(async move {
        let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
        let mut number = 0;
        while !*stop.borrow_and_update() {
            number += 1;
            let insert = format!("INSERT INTO {table} VALUES ({number}, {number})");
            let attempt = async {
                let sql = Sql::connect(port).await?;
                sql.run(&insert).await
            };
            // A statement that hangs is cut off, so that the next may find the new leader.
            let outcome = timeout(Duration::from_secs(2), attempt).await;
            if matches!(outcome, Ok(Ok(()))) {
                longest = longest.max(last.elapsed());
                last = Instant::now();
            }
            sleep(Duration::from_millis(50)).await;
        }
        longest.max(last.elapsed())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bank_survives_the_death_of_a_leader_and_then_of_all() {
    let long = std::env::var_os("MERIDIAN_LONG").is_some();
    let seconds: u64 = if long { 60 } else { 15 };
    let mut cluster = ThreeProcesses::start("killed", "zero").await;
    let urls = cluster.urls();
    let init = running(bank("init", &urls, 1)).await.expect("the workload ran");
    assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
    let victim = cluster.leader_of("workload_accounts", 0).await;
    let survivor = (victim + 1) % 3;
    let sql = cluster.connect(survivor).await;
    let (same, other) = ("probe_a", "probe_b");
    table_led_by(&cluster, &sql, same, victim).await;
    table_led_by(&cluster, &sql, other, survivor).await;

    let (stop, stopping) = watch::channel(false);
    let port = cluster.sql_port(survivor);
    let affected = longest_gap(port, same, stopping.clone());
    let unaffected = longest_gap(port, other, stopping);
    let run = running(bank("run", &urls, seconds));
    sleep(Duration::from_secs(seconds / 3)).await;
    cluster.kill(victim);
    sleep(Duration::from_secs(seconds / 3)).await;
    cluster.restart(victim);
    cluster.wait_until_serving(victim).await;
    let report = verdict(&run.await.expect("the workload ran"));
    stop.send_replace(true);
    let affected = affected.await.expect("the probe ran");
    let unaffected = unaffected.await.expect("the probe ran");
    println!("leader killed: longest gap {affected:?}, elsewhere {unaffected:?}; {report}");
    assert!(affected < COMES_BACK_WITHIN, "the dead leader's range was away for {affected:?}");
    assert!(unaffected < Duration::from_secs(3), "another range stopped for {unaffected:?}");

    let run = running(bank("run", &urls, 8));
    sleep(Duration::from_secs(5)).await;
    (0..3).for_each(|node| cluster.kill(node));
    (0..3).for_each(|node| cluster.restart(node));
    let report = verdict(&run.await.expect("the workload ran"));
    println!("all killed: {report}");
}

/// A leader stands still for ten seconds, its lease long over, and reads nothing that the others send;
/// then it goes on where it was. What it does then must show nothing of the past, and what was to be sent
/// to it must not pile up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bank_survives_a_leader_that_stands_still() {
    let cluster = ThreeProcesses::start("still", "zero").await;
    let urls = cluster.urls();
    let init = running(bank("init", &urls, 1)).await.expect("the workload ran");
    assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
    let victim = cluster.leader_of("workload_accounts", 0).await;
    let others = [(victim + 1) % 3, (victim + 2) % 3];
    let (stop, stopping) = watch::channel(false);
    let survivor = cluster.connect(others[0]).await;
    survivor.run("CREATE TABLE probe (id INT8 PRIMARY KEY, v INT8)").await.expect("made");
    let gap = longest_gap(cluster.sql_port(others[0]), "probe", stopping);
    let run = running(bank("run", &urls, 24));
    sleep(Duration::from_secs(4)).await;
    let before = others.map(|node| cluster.process(node).memory());
    cluster.process(victim).signal("-STOP");
    sleep(Duration::from_secs(10)).await;
    let after = others.map(|node| cluster.process(node).memory());
    cluster.process(victim).signal("-CONT");
    let report = verdict(&run.await.expect("the workload ran"));
    stop.send_replace(true);
    let gap = gap.await.expect("the probe ran");
    println!("stood still: longest gap {gap:?}; memory {before:?}, then {after:?}; {report}");
    assert!(gap < COMES_BACK_WITHIN, "another range was away for {gap:?}");
    for (before, after) in before.into_iter().zip(after) {
        let grown = after.unwrap_or(0).saturating_sub(before.unwrap_or(0));
        assert!(grown < PILED_UP, "{grown} bytes more in the ten seconds");
    }
    for node in 0..3 {
        let printed = cluster.printed(node);
        assert!(!printed.contains("panicked"), "{printed}");
    }
}

/// Asked to stop, a node hands its ranges over before it goes: the others write within half of the
/// lease that they would wait for otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_asked_to_stop_is_not_waited_for() {
    let mut cluster = ThreeProcesses::start("asked", "zero").await;
    let sql = cluster.connect(0).await;
    sql.run("CREATE TABLE t (k INT8 PRIMARY KEY)").await.expect("made");
    sql.run("INSERT INTO t VALUES (1)").await.expect("written");
    let leader = cluster.leader_of("t", 0).await;
    let other = cluster.connect((leader + 1) % 3).await;
    other.run("SELECT * FROM t").await.expect("read");
    other.run("SET statement_timeout = '1500ms'").await.expect("a setting");
    let ending = cluster.terminate(leader);
    assert!(ending.success(), "{ending}\n{}", cluster.printed(leader));
    let written = other.run("INSERT INTO t VALUES (2)").await;
    assert!(written.is_ok(), "{written:?}\n{}", cluster.printed(leader));
}

/// Copies a folder of files and folders.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder for the copy");
    for entry in fs::read_dir(from).expect("a folder").map(|entry| entry.expect("readable")) {
        let (path, copied) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &copied);
        } else {
            fs::copy(&path, &copied).expect("copied");
        }
    }
}

/// P0a: a folder that is one start old is put back while one of the other two is down. The one that is
/// up refuses it by name, however often it is tried; then the two go on without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_of_a_folder_is_refused_and_the_others_go_on() {
    let mut cluster = ThreeProcesses::start("copied", "zero").await;
    let sql = cluster.connect(1).await;
    sql.run("CREATE TABLE t (k INT8 PRIMARY KEY)").await.expect("made");
    cluster.kill(2);
    let (data, copied) = (cluster.data(2), cluster.data(2).with_extension("copy"));
    copy(&data, &copied);
    cluster.restart(2);
    cluster.wait_until_serving(2).await;
    sql.run("INSERT INTO t VALUES (1)").await.expect("written");
    cluster.kill(2);
    cluster.kill(0);
    fs::remove_dir_all(&data).expect("the folder as it was last in use");
    copy(&copied, &data);
    for _ in 0..2 {
        cluster.restart(2);
        let ending = cluster.ended(2).await;
        assert_eq!(ending.code(), Some(1), "{}", cluster.printed(2));
    }
    let told = cluster.printed(2);
    let refused =
        "meridian: n3 came back with an older copy of its data folder: n2 remembers start 2";
    assert_eq!(told.matches(refused).count(), 2, "{told}");
    cluster.restart(0);
    cluster.wait_until_serving(0).await;
    let sql = cluster.connect(0).await;
    sql.run("INSERT INTO t VALUES (2)").await.expect("written");
    assert_eq!(sql.value("SELECT count(*) FROM t").await.expect("read"), "2");
}

/// Makes a table that a node leads.
async fn table_led_by(cluster: &ThreeProcesses, sql: &Sql, table: &str, leader: usize) {
    sql.run(&format!("CREATE TABLE {table} (id INT8 PRIMARY KEY, v INT8)")).await.expect("made");
    let ranges = sql.rows(&format!("SHOW RANGES FROM TABLE {table}")).await.expect("shown");
    let range = ranges[0][0].as_ref().expect("a range has an id");
    let transfer = format!("ALTER RANGE {range} TRANSFER LEADER TO NODE {}", leader + 1);
    sql.run(&transfer).await.expect("handed over");
    assert_eq!(cluster.leader_of(table, leader).await, leader, "{table}");
}

/// The harness itself notices a process that does not start.
#[tokio::test]
async fn a_start_without_insecure_is_refused() {
    let output = tokio::task::spawn_blocking(|| {
        Command::new(meridian()).args(["start", "--node-id=1"]).output().expect("run the binary")
    });
    let output = output.await.expect("it ran");
    assert_eq!(output.status.code(), Some(2));
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaint.contains("--insecure"), "{complaint}");
}
