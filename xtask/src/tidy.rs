//! The rules of the tree that no compiler checks.
//!
//! | rule | why |
//! |---|---|
//! | every Rust file begins with `//!` | a reader learns what a file is for before what it does |
//! | no file above 600 lines, no function above 70 | what is longer is two things |
//! | crates depend only on what [`edges`] allows | the direction of the arrows is the architecture |
//! | no tokio in the cores, no `std::{fs, net, process, thread}` | they are state machines: no tasks, no timers, no machine around them |
//! | no dependency that a crate does not use, no allowed edge that nobody has | what is drawn is what is there |
//! | `tokio::select!` begins with `biased;` | otherwise it draws from a generator nobody seeds |
//! | what a simulation runs takes its timers from `timer` | tokio's tick is too long for it |
//! | what a node spawns goes through `clock::inherit` | else a frozen node goes on in part |
//! | no ignored tests, no `todo!`, no `#[allow]` | what is there works; exceptions give reasons |
//! | every path that a document names exists | a wrong path is worse than none |
//! | the page of the numbered rules and the code agree ([`numbered`]) | whoever reads a number finds what it means |
//! | no path of somebody's own machine | it means nothing to anybody else |
//!
//! A rule is a function from a file to complaints. Code is judged with comments and strings blanked
//! out ([`scan`]), which is rough, but errs only where code is unreadable anyway.

mod edges;
mod numbered;
mod rules;
mod scan;

use std::{fmt, fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::Workspace;

/// A file of the tree.
#[derive(Debug)]
struct File {
    /// Its path from the root of the tree.
    path: String,
    text: String,
}

/// A rule broken.
#[derive(Debug, PartialEq, Eq)]
struct Complaint {
    path: String,
    /// Counted from 1.
    line: usize,
    message: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

impl File {
    fn complain(&self, line: usize, message: impl Into<String>) -> Complaint {
        Complaint { path: self.path.clone(), line, message: message.into() }
    }
}

/// Checks the tree and prints what is wrong with it.
pub fn run(workspace: &Workspace) -> Result<()> {
    let files = files(workspace)?;
    let complaints = check(workspace, &files);
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    match complaints.len() {
        0 => Ok(()),
        1 => bail!("one rule is broken"),
        count => bail!("{count} rules are broken"),
    }
}

fn check(workspace: &Workspace, files: &[File]) -> Vec<Complaint> {
    let exists = |path: &str| workspace.root.join(path).exists();
    let mut complaints = Vec::new();
    for file in files {
        if file.path.ends_with(".rs") {
            complaints.extend(rules::rust(file));
            complaints.extend(rules::simulated(file));
            complaints.extend(rules::core(file));
        }
        if file.path.ends_with("Cargo.toml") {
            complaints.extend(edges::check(file));
        }
        if file.path.ends_with(".md") || file.path.ends_with(".rs") {
            complaints.extend(rules::paths_exist(file, exists));
        }
        complaints.extend(rules::no_private_paths(file));
    }
    complaints.extend(edges::unused(files));
    complaints.extend(numbered::check(files));
    complaints
}

/// The text files of the tree: those that git knows or would add. Binary ones are passed over.
fn files(workspace: &Workspace) -> Result<Vec<File>> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(&workspace.root)
        .output()
        .context("cannot run git")?;
    ensure!(listed.status.success(), "git does not list the tree");
    let listed = String::from_utf8(listed.stdout).context("paths are UTF-8")?;
    let mut files = Vec::new();
    for path in listed.split_terminator('\0') {
        let absolute: PathBuf = workspace.root.join(path);
        // A file that git knows may have been deleted; one that is no text has no rules.
        if let Ok(text) = fs::read_to_string(&absolute) {
            files.push(File { path: path.to_owned(), text });
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests;
