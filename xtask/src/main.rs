//! The developer's tasks: `cargo xtask demo|test|ci|tidy|bless|setup|rocksdb|fresh|peers`.
//!
//! | task | what |
//! |---|---|
//! | `demo` | installs what the build needs, builds, starts three regions and the SQL shell |
//! | `test` | the tests, as CI runs them |
//! | `ci` | all that CI checks, in its order: formatting, tidy, lints, documents, tests |
//! | `tidy` | the rules of the tree that no compiler checks ([`tidy`]) |
//! | `bless` | runs the tests and rewrites the golden files: review the diff as code |
//! | `setup` | installs what the build needs on Debian and Ubuntu |
//! | `rocksdb` | compiles RocksDB once for this machine ([`rocksdb`]) |
//! | `fresh` | tries the first commands on a bare Debian, in a root file system of its own ([`fresh`]) |
//! | `peers` | the same work on Meridian and its peers, and the ratios ([`peers`]) |
//!
//! `demo` builds RocksDB only where something asks for it: a demo that keeps no data keeps it in
//! memory, and is at its prompt minutes after the clone.
//!
//! No task but `bless` writes to the tree. Everything that is built goes to `CARGO_TARGET_DIR`, or
//! where that is unset to `meridian/target` in the user's cache folder, so that all checkouts of a
//! user share one.

mod ci;
mod fresh;
mod peers;
mod rocksdb;
mod setup;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

use workspace::{Failed, Profile, Workspace};

const USAGE: &str = "\
usage: cargo xtask <task>

  demo [ARGS]   install what is missing, build, and run `meridian demo ARGS`;
                with RocksDB if --data or --engine rocksdb asks for it
  test [ARGS]   run the tests; ARGS go to `cargo test`
  ci            all that CI checks
  tidy          check the rules of the tree that no compiler checks
  bless [ARGS]  run the tests and rewrite golden files
  setup         install what the build needs (Debian, Ubuntu)
  rocksdb       compile RocksDB once for this machine
  fresh [ARGS]  run the first commands on a bare Debian, and say how long each took (root);
                ARGS: demo, data, test (all three unless told), --with PACKAGE
  peers [ARGS]  measure Meridian beside etcd, PostgreSQL and MariaDB with Galera, which it
                installs; ARGS: --help tells";

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<UsageError>() => {
            eprintln!("{error}\n\n{USAGE}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            // A program that a task stands for speaks through its own exit code.
            let code = error.downcast_ref::<Failed>().and_then(|failed| failed.code);
            ExitCode::from(code.unwrap_or(1))
        }
    }
}

/// The command line makes no sense.
#[derive(Debug)]
struct UsageError(String);

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

fn run(mut args: Vec<String>) -> Result<()> {
    if args.is_empty() {
        bail!(UsageError("which task?".to_owned()));
    }
    let task = args.remove(0);
    let mut workspace = Workspace::locate()?;
    let takes_args = matches!(task.as_str(), "demo" | "test" | "bless" | "fresh" | "peers");
    if !takes_args && !args.is_empty() {
        bail!(UsageError(format!("`{task}` takes no arguments")));
    }
    match task.as_str() {
        "demo" => demo(&mut workspace, &args),
        "test" => ci::test(&mut workspace, &args),
        "ci" => ci::run(&mut workspace),
        "tidy" => tidy::run(&workspace),
        "bless" => ci::bless(&mut workspace, &args),
        "setup" => setup::run(&setup::ROCKSDB),
        "rocksdb" => rocksdb::provide(&mut workspace),
        "fresh" => fresh::run(&workspace, &args),
        "peers" => peers::run(&mut workspace, &args),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        _ => bail!(UsageError(format!("there is no task `{task}`"))),
    }
}

/// Builds the program and becomes it.
fn demo(workspace: &mut Workspace, args: &[String]) -> Result<()> {
    let mut build = vec!["build", "--release", "--locked", "-p", "meridian"];
    if asks_for_rocksdb(args) {
        rocksdb::provide(workspace)?;
    } else {
        eprintln!("the demo keeps its data in memory (`--data DIR` keeps it in RocksDB)");
        build.push("--no-default-features");
    }
    workspace::run(workspace.cargo().args(build))?;
    let mut program = std::process::Command::new(workspace.program(Profile::Release));
    program.arg("demo").args(args);
    workspace::become_program(program)
}

/// Whether the demo that is asked for runs on RocksDB.
fn asks_for_rocksdb(args: &[String]) -> bool {
    args.iter().enumerate().any(|(at, arg)| {
        let value = args.get(at + 1).map(String::as_str);
        arg == "--data"
            || arg.starts_with("--data=")
            || arg == "--engine=rocksdb"
            || (arg == "--engine" && value == Some("rocksdb"))
    })
}

#[cfg(test)]
mod tests;
