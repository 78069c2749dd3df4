//! Which crate may depend on which, and which must do without tokio.

use serde::Deserialize;

use super::{Complaint, File};

/// A crate of the workspace and the crates of the workspace it may depend on. Tests may depend on
/// more; what is shipped may not.
const ALLOWED: [(&str, &[&str]); 25] = [
    ("keys", &[]),
    ("clock", &[]),
    ("rules", &[]),
    ("timer", &[]),
    ("expr", &["keys", "clock", "kv"]),
    ("trace", &["keys", "clock"]),
    ("kv", &["keys", "clock", "trace"]),
    ("storage", &["keys", "clock"]),
    ("rocks", &["keys", "clock", "storage"]),
    ("paxos", &["keys", "clock", "rules"]),
    ("range", &["keys", "clock", "rules", "kv", "storage", "paxos"]),
    ("txn", &["keys", "clock", "rules", "timer", "kv", "trace"]),
    ("sql", &["keys", "clock", "timer", "kv", "txn", "expr", "trace"]),
    ("frontend", &["clock", "sql", "expr"]),
    ("proto", &[]),
    ("net", &["keys", "clock", "timer", "proto"]),
    (
        "node",
        &[
            "keys", "clock", "timer", "expr", "kv", "storage", "paxos", "range", "txn", "sql",
            "frontend", "net", "trace",
        ],
    ),
    ("checker", &[]),
    ("report", &[]),
    (
        "experiment",
        &[
            "keys",
            "clock",
            "timer",
            "storage",
            "range",
            "txn",
            "sql",
            "trace",
            "net",
            "node",
            "checker",
            "sim-regions",
            "report",
        ],
    ),
    (
        "sim-regions",
        &[
            "keys", "clock", "timer", "expr", "kv", "storage", "paxos", "range", "txn", "sql",
            "net", "node", "checker",
        ],
    ),
    ("sql-shell", &[]),
    ("xtask", &[]),
    ("meridian-tests", ANY),
    ("meridian", ANY),
];

/// The crates at the top may use all others.
const ANY: &[&str] = &["*"];

/// The protocol cores: synchronous state machines.
const CORES: [&str; 10] =
    ["keys", "clock", "rules", "expr", "kv", "storage", "paxos", "range", "trace", "checker"];

#[derive(Deserialize)]
struct Manifest {
    package: Option<Package>,
    #[serde(default)]
    dependencies: toml::Table,
    #[serde(default)]
    lints: toml::Table,
}

#[derive(Deserialize)]
struct Package {
    name: String,
}

/// Checks one manifest.
pub fn check(file: &File) -> Vec<Complaint> {
    let manifest: Manifest = match toml::from_str(&file.text) {
        Ok(manifest) => manifest,
        Err(error) => return vec![file.complain(1, format!("malformed: {}", error.message()))],
    };
    let Some(package) = &manifest.package else { return Vec::new() };
    let mut complaints = Vec::new();
    if manifest.lints.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
        complaints.push(file.complain(1, "needs the lines `[lints]` and `workspace = true`"));
    }
    let name = package.name.as_str();
    let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
        let message = format!("`{name}` has no place in the architecture: add it to xtask's table");
        complaints.push(file.complain(1, message));
        return complaints;
    };
    for dependency in manifest.dependencies.keys() {
        let ours = ALLOWED.iter().any(|(known, _)| known == dependency);
        let edge_allowed = allowed.contains(&dependency.as_str()) || *allowed == ANY;
        if ours && !edge_allowed {
            let message = format!("`{name}` must not depend on `{dependency}`");
            complaints.push(file.complain(line_of(file, dependency), message));
        }
        if dependency.starts_with("tokio") && CORES.contains(&name) {
            let message = format!("`{name}` is a core: it must do without `{dependency}`");
            complaints.push(file.complain(line_of(file, dependency), message));
        }
        if dependency == "rocksdb" && name != "rocks" {
            complaints.push(file.complain(line_of(file, dependency), "only `rocks` links RocksDB"));
        }
    }
    complaints
}

fn line_of(file: &File, dependency: &str) -> usize {
    let names_it = |line: &str| {
        line.strip_prefix(dependency).is_some_and(|rest| rest.starts_with([' ', '.', '=']))
    };
    file.text.lines().position(names_it).map_or(1, |index| index + 1)
}
