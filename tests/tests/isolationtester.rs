//! PostgreSQL's own isolationtester against a running demo, with specs of our own.
//!
//! It drives several sessions step by step and finds out whether a step waits by asking
//! `pg_isolation_test_session_is_blocked`. What it prints must be what the `.out` file beside the spec
//! has, letter by letter; `cargo xtask bless` rewrites those. PostgreSQL 15 itself prints the same,
//! but for one thing: a conflict over a row that was written meanwhile it calls `concurrent update`.
//!
//! The program comes with PostgreSQL's client programs on Debian and Ubuntu. Where it is missing, the
//! test says so and passes, unless `MERIDIAN_REQUIRE_POSTGRES=1`.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    time::Duration,
};

use meridian_tests::{
    process::{Folder, Process, eventually},
    sql::Sql,
};

/// How long the demo may take to serve, and one spec to run.
const PATIENCE: Duration = Duration::from_secs(60);

/// Nodes of the demo, each of which listens on a port.
const NODES: u16 = 3;

/// The specs run, and their expected output.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/isolationtester")
}

/// The newest isolationtester of this machine.
fn isolationtester() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let folder = entry.ok()?.path();
            let version = folder.file_name()?.to_str()?.parse().ok()?;
            let program = folder.join("lib/pgxs/src/test/isolation/isolationtester");
            program.exists().then_some((version, program))
        })
        .collect();
    found.sort();
    found.pop().map(|(_, program)| program)
}

/// The first of as many free ports in a row as there are nodes.
fn first_of_free_ports() -> u16 {
    let listen = |port: u16| TcpListener::bind(("127.0.0.1", port));
    // Below the ports that systems give out by themselves, at a place that differs by process.
    let start = 20_000 + u16::try_from(std::process::id() % 10_000).expect("below 10,000");
    let is_free = |first: &u16| (*first..*first + NODES).all(|port| listen(port).is_ok());
    (start..32_000).step_by(usize::from(NODES)).find(is_free).expect("three free ports in a row")
}

/// What isolationtester prints of a spec.
async fn output(program: &Path, port: u16, spec: &Path) -> String {
    let stdin = fs::File::open(spec).expect("the spec can be read");
    let mut command = tokio::process::Command::new(program);
    command
        .arg(format!("host=127.0.0.1 port={port} user=root dbname=meridian"))
        .env("PGISOLATIONTIMEOUT", "30")
        .stdin(stdin)
        .kill_on_drop(true);
    let ended = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = ended.expect("isolationtester ends in time").expect("isolationtester runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", spec.display());
    format!("{}{errors}", String::from_utf8_lossy(&output.stdout))
}

#[tokio::test]
async fn isolationtester_prints_what_is_expected() {
    let Some(program) = isolationtester() else {
        let is_required = std::env::var_os("MERIDIAN_REQUIRE_POSTGRES").is_some_and(|on| on == "1");
        assert!(!is_required, "there is no isolationtester: install postgresql-client");
        eprintln!("skipped: there is no isolationtester (Debian: postgresql-client)");
        return;
    };
    let data = Folder::new("isolationtester");
    let port = first_of_free_ports();
    let arguments = [
        "demo".to_owned(),
        "--topology=one-region".to_owned(),
        format!("--nodes-per-region={NODES}"),
        "--engine=memory".to_owned(),
        "--no-shell".to_owned(),
        format!("--sql-port={port}"),
    ];
    let _demo = Process::start(&arguments, &data.path().join("demo.log"));
    eventually("the demo serves", PATIENCE, async || {
        Sql::connect(port).await?.run("SHOW TABLES").await
    })
    .await;
    let mut specs: Vec<PathBuf> = fs::read_dir(folder())
        .expect("the specs are there")
        .map(|entry| entry.expect("a folder can be read").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "spec"))
        .collect();
    specs.sort();
    assert!(!specs.is_empty(), "no specs");
    for spec in specs {
        let printed = output(&program, port, &spec).await;
        let expected = spec.with_extension("out");
        if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
            fs::write(&expected, printed).expect("the golden file can be written");
            continue;
        }
        let wanted = fs::read_to_string(&expected).unwrap_or_default();
        let place = spec.display();
        assert!(printed == wanted, "{place} prints:\n{printed}\nexpected was:\n{wanted}");
    }
}
