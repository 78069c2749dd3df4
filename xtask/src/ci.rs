//! What CI checks, line for line, and how long each step took.
//!
//! One profile throughout ([`Profile::Quick`]): lints, documents and tests share it, so that every
//! dependency is compiled once for checking and once for running. It is the release's code, built
//! for quick rebuilds. Nothing here writes to the tree; `--locked` sees to the lock file.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result};

use crate::{
    peers, rocksdb, setup, tidy,
    workspace::{self, Profile, Workspace},
};

/// All that CI checks, the quick things first. Stops at the first failure.
pub fn run(workspace: &mut Workspace) -> Result<()> {
    let mut times = Times::default();
    times.step("formatting", || workspace::run(&mut formatting(workspace)))?;
    times.step("tidy", || tidy::run(workspace))?;
    times.step("RocksDB", || rocksdb::provide(workspace))?;
    times.step("lints", || workspace::run(&mut lints(workspace)))?;
    times.step("documents", || workspace::run(&mut documents(workspace)))?;
    times.step("peers", || peers::check(workspace))?;
    times.step("tests", || test(workspace, &[]))?;
    times.print();
    Ok(())
}

fn formatting(workspace: &Workspace) -> Command {
    let mut cargo = workspace.cargo();
    cargo.args(["fmt", "--all", "--check"]);
    cargo
}

fn lints(workspace: &Workspace) -> Command {
    let mut cargo = workspace.cargo();
    cargo.args(["clippy", "--profile", Profile::Quick.name(), "--locked"]);
    cargo.args(["--workspace", "--all-targets"]);
    cargo.args(["--", "-D", "warnings"]);
    cargo
}

fn documents(workspace: &Workspace) -> Command {
    let mut cargo = workspace.cargo();
    cargo.args(["doc", "--profile", Profile::Quick.name(), "--locked", "--workspace", "--no-deps"]);
    cargo.args(["--document-private-items"]).env("RUSTDOCFLAGS", "-D warnings");
    cargo
}

/// Builds the program, which some tests start, and runs the tests.
///
/// Programs and tests are built by one selection of targets: two would unify other features of the
/// dependencies, and so compile half of them twice.
pub fn test(workspace: &mut Workspace, args: &[String]) -> Result<()> {
    setup::run(&[setup::Need::Clients])?;
    // Where nobody requires them, tests make do with what is there.
    let required = |name| std::env::var_os(name).is_some_and(|on| on == "1");
    if required("MERIDIAN_REQUIRE_POSTGRES") {
        setup::run(&[setup::Need::Server])?;
    }
    if required("MERIDIAN_REQUIRE_DRIVERS") {
        setup::run(&[setup::Need::Python, setup::Need::Npm])?;
    }
    rocksdb::provide(workspace)?;
    let mut build = workspace.cargo();
    build.args(["build", "--profile", Profile::Quick.name(), "--locked", "--workspace"]);
    build.args(["--bins", "--tests"]);
    workspace::run(&mut build)?;
    let mut test = tests(workspace);
    workspace::run(test.arg("--locked").args(args))
}

/// Runs the tests and rewrites golden files.
pub fn bless(workspace: &mut Workspace, args: &[String]) -> Result<()> {
    rocksdb::provide(workspace)?;
    let mut test = tests(workspace);
    workspace::run(test.args(args).env("UPDATE_GOLDENFILES", "1"))
}

fn tests(workspace: &Workspace) -> Command {
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--profile", Profile::Quick.name(), "--workspace"]);
    cargo.env("MERIDIAN_BIN", workspace.program(Profile::Quick));
    cargo
}

/// How long the steps took.
#[derive(Default)]
struct Times(Vec<(&'static str, Duration)>);

impl Times {
    #[expect(clippy::disallowed_methods, reason = "a person waits for this, not a simulation")]
    fn step(&mut self, name: &'static str, step: impl FnOnce() -> Result<()>) -> Result<()> {
        eprintln!("--- {name}");
        let started = std::time::Instant::now();
        step().with_context(|| format!("{name} failed"))?;
        self.0.push((name, started.elapsed()));
        Ok(())
    }

    fn print(&self) {
        let total: Duration = self.0.iter().map(|(_, took)| *took).sum();
        for (name, took) in self.0.iter().chain([&("total", total)]) {
            eprintln!("{name:<12} {:>7.1} s", took.as_secs_f64());
        }
    }
}
