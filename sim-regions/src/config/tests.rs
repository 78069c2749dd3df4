//! A node's settings: what is read, what wins, and what each mistake is called.

use std::{path::PathBuf, time::Duration};

use clock::{ClockModel, Uncertainty};
use keys::NodeId;

use super::{EngineKind, NodeConfig, NodePatch};

const FULL: &str = r#"
[settings]
engine = "rocksdb"
lease = "10s"
retention = "2h"
close_lag = "300ms"
clock_tolerance = "250ms"
cache_mib = 1024
open_files = 4096

[clock]
model = "fixed(7ms)"

[node]
id = 2
region = "us-east"
zone = "b"
listen = "0.0.0.0:7000"
advertise = "db2.example:7000"
sql_listen = "0.0.0.0:5433"
data = "/var/lib/meridian"
join = ["db1.example:7000", "db3.example:7000"]
"#;

fn parse(text: &str) -> Result<NodeConfig, String> {
    NodeConfig::parse("node.toml", text, NodePatch::default()).map_err(|error| error.to_string())
}

#[test]
fn a_complete_file_is_enough() {
    let config = parse(FULL).expect("well-formed");
    assert_eq!((config.id, config.region.as_str()), (NodeId(2), "us-east"));
    assert_eq!(config.data, Some(PathBuf::from("/var/lib/meridian")));
    assert_eq!(config.settings.lease, Duration::from_secs(10));
    assert_eq!((config.settings.cache_mib, config.settings.open_files), (1024, 4096));
    assert_eq!(config.clock.to_string(), "fixed(7ms)");
    for source in ["kernel", "clockbound"] {
        let config = parse(&FULL.replacen("fixed(7ms)", source, 1)).expect("a node has a machine");
        assert_eq!(config.clock.to_string(), source);
    }
    let join = ["db1.example:7000", "db2.example:7000", "db3.example:7000"];
    assert_eq!(config.join, join, "sorted, the node itself among them");
}

#[test]
fn the_command_line_wins() {
    let patch = NodePatch {
        id: Some(5),
        listen: Some("127.0.0.1:0".to_owned()),
        join: vec!["other:1".to_owned()],
        clock: Some(ClockModel::Vouched(Uncertainty::Zero)),
        engine: Some(EngineKind::Memory),
        ..NodePatch::default()
    };
    let config = NodeConfig::parse("node.toml", FULL, patch).expect("well-formed");
    assert_eq!(config.id, NodeId(5));
    assert_eq!(config.listen, "127.0.0.1:0");
    assert_eq!(config.join, ["db2.example:7000", "other:1"]);
    assert_eq!(config.clock, ClockModel::Vouched(Uncertainty::Zero));
    assert_eq!(config.settings.engine, Some(EngineKind::Memory));
}

#[test]
fn the_command_line_alone_is_enough() {
    let patch = NodePatch {
        id: Some(1),
        region: Some("r".to_owned()),
        listen: Some("127.0.0.1:7000".to_owned()),
        sql_listen: Some("127.0.0.1:5433".to_owned()),
        data: Some(PathBuf::from("d")),
        ..NodePatch::default()
    };
    let config = NodeConfig::load(None, patch).expect("complete");
    assert_eq!((config.zone.as_str(), config.advertise.as_str()), ("a", "127.0.0.1:7000"));
    assert_eq!(config.join, ["127.0.0.1:7000"]);
    assert_eq!(config.settings.lease, Duration::from_secs(3));
}

#[test]
fn each_mistake_says_where_it_is() {
    let cases = [
        ("id = 2", "id = 0", "node.toml: 0 is no node id: count from 1"),
        ("id = 2", "", "node.toml, field id: missing: set it in [node] or with --node-id"),
        ("id = 2", "id = \"two\"", "node.toml, line 15, field id: invalid type"),
        ("lease = \"10s\"", "lease = \"10\"", "node.toml, line 4, field lease: \"10\" is not a"),
        ("lease = \"10s\"", "lease = \"1ms\"", "node.toml, line 4, field lease: at least 100ms"),
        ("lease = \"10s\"", "lease = \"2h\"", "node.toml, line 4, field lease: at most 1h"),
        ("= 1024", "= 0", "node.toml, line 8, field cache_mib: from 1 to 1048576"),
        ("= 4096", "= 8", "node.toml, line 9, field open_files: from 64 to 1048576"),
        ("fixed(7ms)", "fixed(500ms)", "node.toml: this node: an uncertainty ε of 500ms is above"),
        ("fixed(7ms)", "fixed(126ms)", "node.toml: this node: with an uncertainty ε of 126ms"),
        ("region = \"us-east\"", "region = \" \"", "node.toml: a region needs a name"),
        ("engine = \"rocksdb\"", "engine = \"lsm\"", "node.toml, line 3, field engine: unknown"),
        ("fixed(7ms)", "fast", "node.toml, line 12, field model: unknown clock model \"fast\""),
        ("lease =", "leese =", "node.toml, line 4: unknown field `leese`, expected one of"),
        ("5433", "sql", "node.toml, line 20, field sql_listen: \"0.0.0.0:sql\" is no address"),
        ("db3.example:7000", "db3", "node.toml, line 22, field join: \"db3\" is no address"),
        ("data = \"/var/lib/meridian\"", "", "node.toml, field data: missing"),
        ("[node]", "[node", "node.toml, line 14: "),
    ];
    for (right, wrong, message) in cases {
        let error = parse(&FULL.replacen(right, wrong, 1)).expect_err(wrong);
        assert!(error.starts_with(message), "{wrong}:\n  {error}\n  {message}");
        assert!(!error.contains('\n'), "one line: {error}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let path = PathBuf::from("/nonexistent/node.toml");
    let error = NodeConfig::load(Some(&path), NodePatch::default()).expect_err("not there");
    assert!(error.to_string().starts_with("/nonexistent/node.toml: No such file"), "{error}");
}
