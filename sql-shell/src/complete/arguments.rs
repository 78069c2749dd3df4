//! What may stand behind a backslash command.

use super::Vocabulary;

/// What an argument may be.
enum Argument {
    Table,
    Node,
    Region,
    /// One of these words.
    Word(&'static [&'static str]),
}

use Argument::{Node, Region, Table, Word};

/// What the next argument of a command may be, behind those before it.
pub fn of(name: &str, before: &[&str], vocabulary: &Vocabulary) -> Vec<String> {
    let kinds: &[Argument] = match (name, before) {
        ("\\d" | "\\ranges" | "\\leader", []) => &[Table],
        ("\\leader", [_]) => &[Region, Node],
        ("\\c" | "\\connect", []) => &[Node, Region],
        ("\\crash" | "\\restart" | "\\pause", []) => &[Node],
        ("\\pause", [_]) => &[Word(&["5s"])],
        ("\\clock", []) => {
            &[Word(&["ε", "epsilon", "model", "offset", "skew", "step", "drift", "reset"])]
        }
        ("\\clock", ["skew" | "step" | "drift"]) => &[Node],
        ("\\clock", ["skew" | "step" | "drift", _, _]) => &[Word(&["--unsafe"])],
        ("\\clock", ["offset"]) => &[Word(&["fast", "slow", "centered", "uniform", "walk"])],
        ("\\clock", ["model"]) => &[Word(&[
            "zero",
            "fixed(4ms)",
            "spanner2012",
            "spanner-now",
            "aws-phc",
            "aws-ntp",
            "laptop-ntp",
            "cockroach",
            "sundial",
        ])],
        ("\\clock", ["ε" | "epsilon" | "model" | "offset", _]) => &[Node, Region],
        ("\\net", []) => &[Word(&["set", "cut", "heal", "reset"])],
        ("\\net", ["set" | "cut"] | ["set" | "cut", _]) => &[Region, Node],
        ("\\net", ["cut", _, _]) => &[Word(&["one-way"])],
        ("\\net", ["set", ..]) => {
            &[Word(&["rtt=", "jitter=", "loss=", "duplicate=", "reorder=", "bandwidth="])]
        }
        ("\\commit-wait" | "\\guard" | "\\timing", []) => &[Word(&["on", "off"])],
        ("\\x", []) => &[Word(&["on", "off", "auto"])],
        ("\\workload", []) => &[Word(&["bank", "kv", "stop"])],
        ("\\check", []) => &[Word(&["run", "start", "report"])],
        ("\\check", ["run"]) => &[Word(&["5s"])],
        ("\\trace", []) => &[Word(&["last", "--html", "--chrome", "--otlp"])],
        ("\\trace", [_]) => &[Word(&["--html", "--chrome", "--otlp"])],
        _ => &[],
    };
    kinds.iter().flat_map(|kind| words(kind, vocabulary)).collect()
}

fn words(kind: &Argument, vocabulary: &Vocabulary) -> Vec<String> {
    match kind {
        Table => vocabulary.tables.keys().cloned().collect(),
        Node => vocabulary.nodes.clone(),
        Region => vocabulary.regions.clone(),
        Word(words) => words.iter().map(|word| (*word).to_owned()).collect(),
    }
}
