//! Which crate may depend on which, which must do without tokio, and which edges carry nothing.

use serde::Deserialize;

use super::{Complaint, File, scan};

/// A crate of the workspace and the crates of the workspace it may depend on. Tests may depend on
/// more; what is shipped may not.
const ALLOWED: [(&str, &[&str]); 26] = [
    ("keys", &[]),
    ("clock", &["rules"]),
    ("rules", &[]),
    ("timer", &[]),
    ("expr", &["keys", "kv"]),
    ("trace", &["keys", "clock"]),
    ("kv", &["keys", "clock", "trace"]),
    ("storage", &["keys", "clock"]),
    ("rocks", &["storage"]),
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
            "net", "trace",
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
            "keys", "clock", "timer", "storage", "paxos", "range", "txn", "sql", "net", "node",
            "checker",
        ],
    ),
    ("sql-shell", &[]),
    ("xtask", &[]),
    // A workspace of its own: it starts what it measures.
    ("peers", &[]),
    ("meridian-tests", ANY),
    ("meridian", ANY),
];

/// The crates at the top may use all others.
const ANY: &[&str] = &["*"];

/// The protocol cores: synchronous state machines.
const CORES: [&str; 10] =
    ["keys", "clock", "rules", "expr", "kv", "storage", "paxos", "range", "trace", "checker"];

/// Dependencies whose use does not show in a crate's own files, and why.
const UNSEEN: [(&str, &str, &str); 3] = [
    ("proto", "tonic", "the generated code uses it"),
    ("proto", "prost", "the generated code uses it"),
    ("proto", "tonic-prost", "the generated code uses it"),
];

#[derive(Deserialize)]
struct Manifest {
    package: Option<Package>,
    #[serde(default)]
    dependencies: toml::Table,
    #[serde(default, rename = "dev-dependencies")]
    dev_dependencies: toml::Table,
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

/// Whether a file is part of a core, and shipped: suites that are there for other crates' tests are not.
pub fn is_core(path: &str) -> bool {
    let Some((name, rest)) = path.strip_prefix("crates/").and_then(|path| path.split_once("/src/"))
    else {
        return false;
    };
    let is_test = rest.contains("tests") || rest.ends_with("conformance.rs");
    CORES.contains(&name) && !is_test
}

/// Edges that nobody uses: dependencies that a crate's code does not name, and edges that the table
/// allows and no manifest has. Both say of the architecture what is not so.
pub fn unused(files: &[File]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with("Cargo.toml")) {
        let Ok(manifest) = toml::from_str::<Manifest>(&file.text) else { continue };
        let Some(package) = &manifest.package else { continue };
        let name = package.name.as_str();
        let folder = file.path.trim_end_matches("Cargo.toml");
        let (shipped, tried) = (
            code_in(files, folder, &["src"]),
            code_in(files, folder, &["src", "tests", "examples", "benches"]),
        );
        let dependencies = manifest.dependencies.keys().map(|dependency| (dependency, &shipped));
        let dev = manifest.dev_dependencies.keys().map(|dependency| (dependency, &tried));
        for (dependency, code) in dependencies.chain(dev) {
            let unseen = UNSEEN.iter().any(|(of, what, _)| (*of, *what) == (name, dependency));
            if !unseen && !code.iter().any(|code| names(code, dependency)) {
                let message = format!("`{name}` does not use `{dependency}`");
                complaints.push(file.complain(line_of(file, dependency), message));
            }
        }
        let allowed = ALLOWED.iter().find(|(known, _)| *known == name);
        for edge in allowed.into_iter().flat_map(|(_, edges)| *edges).filter(|edge| **edge != "*") {
            if !manifest.dependencies.contains_key(*edge) {
                let message =
                    format!("`{name}` may depend on `{edge}` by xtask's table, and does not");
                complaints.push(file.complain(1, message));
            }
        }
    }
    complaints
}

/// The code of a crate's folders, without comments and texts.
fn code_in(files: &[File], folder: &str, inside: &[&str]) -> Vec<String> {
    let is_inside = |file: &&File| {
        let path = file.path.strip_prefix(folder).filter(|path| path.ends_with(".rs"));
        path.is_some_and(|path| inside.iter().any(|top| path.starts_with(&format!("{top}/"))))
    };
    files.iter().filter(is_inside).map(|file| scan::code(&file.text)).collect()
}

/// Whether code names a crate: `name::`, `use name;`, `use name as`.
fn names(code: &str, dependency: &str) -> bool {
    let name = dependency.replace('-', "_");
    code.match_indices(&name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        // Behind `::` it is a module that is called so.
        let is_whole = before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':');
        let rest = &code[at + name.len()..];
        is_whole && ["::", ";", " as "].iter().any(|follows| rest.starts_with(follows))
    })
}

fn line_of(file: &File, dependency: &str) -> usize {
    let names_it = |line: &str| {
        line.strip_prefix(dependency).is_some_and(|rest| rest.starts_with([' ', '.', '=']))
    };
    file.text.lines().position(names_it).map_or(1, |index| index + 1)
}
