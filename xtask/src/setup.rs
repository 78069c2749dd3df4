//! Installs what the build needs beside Rust: a C++ compiler for RocksDB, and libclang for its
//! bindings.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Result, bail};

use crate::workspace;

/// Installs what is missing. Does nothing, and asks for no password, if nothing is.
pub fn run() -> Result<()> {
    let mut missing = Vec::new();
    if !has_libclang() {
        missing.push("libclang-dev");
    }
    if !runs("c++") || !runs("ar") {
        missing.push("g++");
    }
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("the build needs libclang and a C++ compiler (on Debian: {packages}); install them");
    }
    eprintln!("installing {packages}, which the build of RocksDB needs");
    workspace::run(apt_get().arg("update").arg("-q"))?;
    workspace::run(apt_get().args(["install", "-q", "-y", "--no-install-recommends"]).args(missing))
}

/// apt-get, with sudo where we are not root.
fn apt_get() -> Command {
    let mut command = if is_root() {
        Command::new("apt-get")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.arg("apt-get");
        sudo
    };
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

fn runs(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Whether libclang lies where the generator of bindings looks for it.
fn has_libclang() -> bool {
    if env::var_os("LIBCLANG_PATH").is_some() {
        return true;
    }
    let llvm = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let llvm = llvm.filter(|path| path.to_string_lossy().contains("llvm")).map(|p| p.join("lib"));
    let system = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(Into::into);
    let multiarch = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let multiarch = multiarch
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with("-linux-gnu"));
    llvm.chain(system).chain(multiarch).any(|folder| holds_libclang(&folder))
}

fn holds_libclang(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).any(|name| {
        let is_library = name == "libclang.so" || name.starts_with("libclang.so.");
        is_library || (name.starts_with("libclang-") && name.contains(".so"))
    })
}
