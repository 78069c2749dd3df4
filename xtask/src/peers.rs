//! `cargo xtask peers`: Meridian beside etcd, PostgreSQL and MariaDB with Galera, in one run.
//!
//! This installs them and builds what is measured, as people run it; the run itself, with its
//! options, is the program in `tests/peers`. It takes a quiet machine and its time: some twelve
//! minutes with RocksDB compiled.

use anyhow::Result;

use crate::{
    rocksdb,
    setup::{self, Need},
    workspace::{self, Profile, Workspace},
};

/// The peers, what drives them, and what etcd's client is built with.
const NEEDS: [Need; 7] = [
    Need::Etcd,
    Need::Galera,
    Need::Perf,
    Need::Pgbench,
    Need::Protoc,
    Need::Server,
    Need::Sysbench,
];

/// Where data goes: on a disk, unlike temporary files of some machines, and where PostgreSQL can enter,
/// which refuses to be root.
const DATA: &str = "/var/tmp/meridian-peers";

/// Builds both programs and becomes the one that measures.
pub fn run(workspace: &mut Workspace, args: &[String]) -> Result<()> {
    setup::run(&NEEDS)?;
    rocksdb::provide(workspace)?;
    let mut build = workspace.cargo();
    workspace::run(build.args(["build", "--release", "--locked", "-p", "meridian"]))?;
    let mut peers = cargo(workspace, "build");
    workspace::run(peers.arg("--release"))?;
    let mut program = std::process::Command::new(workspace.target.join("peers/release/peers"));
    program.arg("--meridian").arg(workspace.program(Profile::Release));
    program.arg("--folder").arg(DATA).args(args);
    workspace::become_program(program)
}

/// What CI asks of it: a program that nobody builds daily decays.
pub fn check(workspace: &Workspace) -> Result<()> {
    setup::run(&[Need::Protoc])?;
    let mut format = workspace.cargo();
    format.args(["fmt", "--check", "--manifest-path", MANIFEST]);
    workspace::run(&mut format)?;
    let mut lint = cargo(workspace, "clippy");
    workspace::run(lint.args(["--all-targets", "--", "-D", "warnings"]))?;
    workspace::run(&mut cargo(workspace, "test"))
}

const MANIFEST: &str = "tests/peers/Cargo.toml";

/// Cargo in the workspace of that program, which is not ours, with a target folder of its own.
fn cargo(workspace: &Workspace, what: &str) -> std::process::Command {
    let mut cargo = workspace.cargo();
    cargo.args([what, "--locked", "--manifest-path", MANIFEST]);
    cargo.env("CARGO_TARGET_DIR", workspace.target.join("peers"));
    cargo
}
