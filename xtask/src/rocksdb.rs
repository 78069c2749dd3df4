//! RocksDB's C++ takes some twenty minutes to compile on two cores: it shall happen once per
//! machine.
//!
//! Cargo alone would compile it again for each target folder, and again for each set of features
//! that a selection of packages happens to unify. `librocksdb-sys` also takes a library that exists
//! already (`ROCKSDB_LIB_DIR`, `ROCKSDB_STATIC`). So the library is compiled by cargo the first
//! time, in the normal way, and then kept in the cache folder under the version of the crate:
//!
//! ```text
//!   ~/.cache/meridian/rocksdb-0.17.3+10.4.2/librocksdb.a
//! ```
//!
//! Every cargo that a task runs is pointed there, whichever profile it builds. The crate links the C++ standard library only
//! when it compiles RocksDB itself, so the kept archive contains that too.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::{
    setup,
    workspace::{self, Workspace},
};

const LIBRARY: &str = "librocksdb.a";

/// Makes sure that RocksDB is compiled, and that cargo uses it.
pub fn provide(workspace: &mut Workspace) -> Result<()> {
    setup::run(&setup::ROCKSDB)?;
    let version = locked_version(&workspace.root, "librocksdb-sys")?;
    let folder = workspace.cache.join(format!("rocksdb-{version}"));
    if !folder.join(LIBRARY).exists() {
        eprintln!("compiling RocksDB {version}: about 20 minutes on two cores, once per machine");
        let built = compile(workspace)?;
        keep(&built, &folder)?;
        eprintln!("kept in {}", folder.display());
    }
    workspace.rocksdb = Some(folder);
    Ok(())
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
}

fn locked_version(root: &Path, package: &str) -> Result<String> {
    let text = fs::read_to_string(root.join("Cargo.lock")).context("cannot read Cargo.lock")?;
    let lock: Lock = toml::from_str(&text).context("Cargo.lock is malformed")?;
    let found = lock.package.into_iter().find(|candidate| candidate.name == package);
    Ok(found.with_context(|| format!("Cargo.lock names no {package}"))?.version)
}

/// A line of `cargo build --message-format=json`, as far as it matters here.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    package_id: String,
    #[serde(default)]
    out_dir: PathBuf,
}

/// Compiles RocksDB as cargo does, with the features that the crate `rocks` asks for; returns the
/// library.
fn compile(workspace: &Workspace) -> Result<PathBuf> {
    let mut cargo = workspace.cargo();
    cargo
        .args(["build", "--release", "-p", "rocks", "--message-format=json-render-diagnostics"])
        .stdout(Stdio::piped());
    let line = workspace::line(&cargo);
    let output = cargo.spawn()?.wait_with_output()?;
    ensure!(output.status.success(), "`{line}` failed");
    let messages = String::from_utf8(output.stdout).context("cargo prints UTF-8")?;
    library_in(&messages)
}

fn library_in(messages: &str) -> Result<PathBuf> {
    for line in messages.lines() {
        let Ok(message) = serde_json::from_str::<Message>(line) else { continue };
        let ours = message.package_id.contains("librocksdb-sys");
        if ours && message.reason == "build-script-executed" {
            return Ok(message.out_dir.join(LIBRARY));
        }
    }
    bail!("cargo did not say where it compiled RocksDB")
}

/// Puts the library and the C++ standard library into one archive in the cache. Whoever finds the
/// archive there finds it whole: it is renamed at the end.
fn keep(built: &Path, folder: &Path) -> Result<()> {
    let work = folder.with_extension(format!("{}.tmp", std::process::id()));
    fs::create_dir_all(&work)?;
    fs::copy(built, work.join("plain.a"))
        .with_context(|| format!("cannot copy {}", built.display()))?;
    fs::copy(standard_library()?, work.join("std.a"))?;
    // The names in a script of ar may contain no `+`, which versions and folders here do.
    let script = format!("create {LIBRARY}\naddlib plain.a\naddlib std.a\nsave\nend\n");
    fs::write(work.join("script"), script)?;
    let input = fs::File::open(work.join("script"))?;
    workspace::run(Command::new("ar").arg("-M").current_dir(&work).stdin(input))?;
    fs::create_dir_all(folder)?;
    fs::rename(work.join(LIBRARY), folder.join(LIBRARY))?;
    fs::remove_dir_all(&work)?;
    Ok(())
}

/// The C++ standard library as an archive, from the compiler that compiled RocksDB.
fn standard_library() -> Result<PathBuf> {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    let output = Command::new(&compiler).arg("-print-file-name=libstdc++.a").output()?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    ensure!(path.is_absolute(), "{compiler} has no libstdc++.a: install libstdc++-dev");
    Ok(path)
}

#[cfg(test)]
mod tests;
