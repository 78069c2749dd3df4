//! The rules on single files.

use super::{Complaint, File, edges, scan};

/// The most lines of a Rust file.
const FILE_LINES: usize = 600;

/// The most lines of a function.
const FUNCTION_LINES: usize = 70;

/// What no code may contain, and why.
const FORBIDDEN: [(&str, &str); 6] = [
    ("#[ignore", "no test is ignored: fix it or delete it"),
    ("todo!(", "what is there works: no todo!"),
    ("unimplemented!(", "what is there works: no unimplemented!"),
    ("#[allow(", "use #[expect(..., reason = \"...\")]"),
    ("#![allow(", "use #![expect(..., reason = \"...\")]"),
    ("thread_rng()", "randomness is seeded and comes in as an argument"),
];

/// Where the absolute paths of people's own machines begin. Written in two halves, lest this file
/// complain of itself.
const PRIVATE: [(&str, &str); 5] =
    [("/ho", "me/"), ("/ro", "ot/"), ("/wo", "rk/"), ("/Us", "ers/"), ("../sh", "ared/")];

/// The folders and files at the top of the tree that documents name.
const TOP: [&str; 9] =
    ["crates", "docs", "proto", "sim-regions", "sql-shell", "tests", "xtask", ".ci", ".cargo"];

/// The rules on Rust files.
pub fn rust(file: &File) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    if !file.text.starts_with("//!") {
        complaints.push(file.complain(1, "the file must begin with `//!`: what is it for?"));
    }
    let lines = file.text.lines().count();
    if lines > FILE_LINES {
        let message = format!("{lines} lines are more than {FILE_LINES}: split it by meaning");
        complaints.push(file.complain(lines, message));
    }
    let code = scan::code(&file.text);
    for function in scan::functions(&code) {
        if function.lines > FUNCTION_LINES {
            let lines = function.lines;
            let message = format!("a function of {lines} lines, more than {FUNCTION_LINES}");
            complaints.push(file.complain(function.line, message));
        }
    }
    for (index, line) in code.lines().enumerate() {
        for (forbidden, why) in FORBIDDEN {
            if line.contains(forbidden) {
                complaints.push(file.complain(index + 1, why));
            }
        }
    }
    complaints.extend(biased_selects(file, &code));
    complaints
}

/// `select!` without `biased;` polls its branches in an order drawn at random.
fn biased_selects(file: &File, code: &str) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (at, found) in code.match_indices("select!") {
        let body = code[at + found.len()..].trim_start();
        let is_biased = body.get(1..).is_some_and(|body| body.trim_start().starts_with("biased;"));
        if !is_biased {
            let line = 1 + code[..at].matches('\n').count();
            complaints.push(file.complain(line, "select! must begin with `biased;`"));
        }
    }
    complaints
}

/// What a core must do without: the machine.
const MACHINE: [&str; 4] = ["fs", "net", "process", "thread"];

/// The rule on cores: no files, sockets, processes or threads, however they are named.
pub fn core(file: &File) -> Vec<Complaint> {
    if !edges::is_core(&file.path) {
        return Vec::new();
    }
    let code = scan::code(&file.text);
    let mut complaints = Vec::new();
    for (at, found) in code.match_indices("std::") {
        let rest = &code[at + found.len()..];
        let used = match rest.strip_prefix('{') {
            Some(group) => scan::group(group),
            None => vec![rest],
        };
        for path in used {
            let end = path.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(path.len());
            if let Some(part) = MACHINE.iter().find(|part| **part == &path[..end]) {
                let line = 1 + code[..at].matches('\n').count();
                let message = format!("a core does without the machine: no std::{part}");
                complaints.push(file.complain(line, message));
            }
        }
    }
    complaints
}

/// What a simulation runs: its time is the simulation's.
const SIMULATED: [&str; 5] =
    ["crates/net/src", "crates/node/src", "crates/sql/src", "crates/txn/src", "sim-regions/src"];

/// Of these, what is part of a node: all of it freezes with the node.
const OF_A_NODE: [&str; 3] = ["crates/node/src", "crates/sql/src", "crates/txn/src"];

/// The rules on what a simulation runs.
pub fn simulated(file: &File) -> Vec<Complaint> {
    let is_in = |folders: &[&str]| folders.iter().any(|folder| file.path.starts_with(folder));
    if file.path.contains("/tests") || !is_in(&SIMULATED) {
        return Vec::new();
    }
    let code = scan::code(&file.text);
    let line = |at: usize| 1 + code[..at].matches('\n').count();
    let timers = code.match_indices("tokio::time").map(|(at, _)| {
        file.complain(line(at), "timers and instants are those of `timer`, not tokio's")
    });
    let spawns = ["tokio::spawn(", "runtime.spawn("].into_iter().flat_map(|spawn| {
        let spawned = |at: usize| code[at + spawn.len()..].trim_start();
        let bare = code.match_indices(spawn).map(|(at, _)| at);
        bare.filter(move |at| !spawned(*at).starts_with("clock::inherit("))
    });
    let spawns = spawns
        .map(|at| file.complain(line(at), "what a node spawns goes through `clock::inherit`"));
    let spawns = spawns.filter(|_| is_in(&OF_A_NODE));
    timers.chain(spawns).collect()
}

/// Every path in backticks or behind a link exists. Only what begins at the top of the tree is
/// taken for a path, and nothing with a wildcard or a placeholder.
pub fn paths_exist(file: &File, exists: impl Fn(&str) -> bool) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        // In Rust only comments name documents.
        if file.path.ends_with(".rs") && !line.trim_start().starts_with("//") {
            continue;
        }
        for path in named_paths(line) {
            if !is_somewhere(file, path, &exists) {
                complaints.push(file.complain(index + 1, format!("there is no `{path}`")));
            }
        }
    }
    complaints
}

/// Whether a path exists from the top of the tree, or from a folder around the file: the sources of
/// a crate may name its own `tests`.
fn is_somewhere(file: &File, path: &str, exists: impl Fn(&str) -> bool) -> bool {
    let folders = file.path.match_indices('/').map(|(at, _)| &file.path[..at]);
    exists(path) || folders.into_iter().any(|folder| exists(&format!("{folder}/{path}")))
}

fn named_paths(line: &str) -> impl Iterator<Item = &str> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let quoted = line.split('`').skip(1).step_by(2);
    quoted.filter_map(move |quoted| {
        let path = quoted.split('#').next().unwrap_or_default().trim_end_matches('/');
        let (top, rest) = path.split_once('/')?;
        let names_tree = TOP.contains(&top) && !rest.is_empty() && path.chars().all(is_path);
        (names_tree && !path.contains("...") && !path.contains("NNNN")).then_some(path)
    })
}

/// A path of somebody's own machine means nothing to anybody else.
pub fn no_private_paths(file: &File) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        for (first, second) in PRIVATE {
            if line.contains(&format!("{first}{second}")) {
                let message = format!("{first}{second} is a path of somebody's own machine");
                complaints.push(file.complain(index + 1, message));
            }
        }
    }
    complaints
}
