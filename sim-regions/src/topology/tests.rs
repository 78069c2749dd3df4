//! The shipped topologies are what the documents say; bad ones are refused by line and field; the
//! network and the clocks built from them behave as written.

use std::time::Duration;

use clock::{Clock, Uncertainty};
use keys::NodeId;
use net::Pace;

use super::{NodeSpec, SelfCheckError, Topology};
use crate::time;

fn shipped(name: &str) -> Topology {
    Topology::load(name).unwrap_or_else(|error| panic!("{error}"))
}

fn rtt_millis(topology: &Topology, a: &str, b: &str) -> u128 {
    let layout = topology.node_layout(None);
    let find = |region: &str| layout.iter().find(|node| node.region == region).expect(region);
    topology.path(find(a), find(b)).rtt.as_millis()
}

#[test]
fn the_shipped_topologies_are_valid() {
    for name in Topology::shipped() {
        let topology = shipped(name);
        assert_eq!(topology.name, name);
        assert!(!topology.node_layout(None).is_empty());
    }
    let three = shipped("three-regions");
    assert_eq!(rtt_millis(&three, "us-east", "us-west"), 66);
    assert_eq!(rtt_millis(&three, "us-east", "europe-west"), 64);
    assert_eq!(rtt_millis(&three, "europe-west", "us-west"), 146);
    let five = shipped("five-regions");
    assert_eq!(rtt_millis(&five, "sydney", "eu-west"), 255);
    assert_eq!(shipped("spanner-paper").settings.lease, Duration::from_secs(10));
}

#[test]
fn nodes_are_laid_out_region_by_region_over_the_zones() {
    let three = shipped("three-regions");
    let nodes = three.node_layout(None);
    assert_eq!(nodes.len(), 9);
    let spec = |id, region: &str, zone: &str| NodeSpec {
        id: NodeId(id),
        region: region.to_owned(),
        zone: zone.to_owned(),
    };
    assert_eq!(nodes[0], spec(1, "us-east", "a"));
    assert_eq!(nodes[4], spec(5, "us-west", "b"));
    assert_eq!(nodes[8], spec(9, "europe-west", "c"));
    assert_eq!(three.node_layout(Some(1)).len(), 3);
    assert_eq!(three.node_layout(Some(4))[3], spec(4, "us-east", "a"), "zones in turn");
    let (same_zone, other_zone) = (&three.node_layout(Some(4))[3], &nodes[1]);
    assert_eq!(three.path(&nodes[0], same_zone).rtt, Duration::from_micros(100));
    assert_eq!(three.path(&nodes[0], other_zone).rtt, Duration::from_micros(500));
    assert_eq!(three.path(&nodes[0], &nodes[0]).rtt, Duration::ZERO);
}

const TWO: &str = r#"name = "two"
[clock]
model = "fixed(4ms)"
offset = "fast"
[[clock.override]]
node = 2
model = "zero"
[network]
loss = 0.01
[[region]]
name = "x"
nodes = 1
[[region]]
name = "y"
zones = ["a", "b"]
nodes = 1
[[link]]
between = ["x", "y"]
rtt = "20ms"
jitter = "1ms"
bandwidth_mbit = 8
"#;

#[test]
fn each_mistake_says_where_it_is() {
    let cases = [
        (
            "\"20ms\"",
            "\"20\"",
            "t, line 19, field rtt: \"20\" is not a duration: the unit is missing",
        ),
        ("\"20ms\"", "\"20000s\"", "t, line 19, field rtt: at most 1m"),
        ("rtt = \"20ms\"", "", "t, line 17: missing field `rtt`"),
        ("\"1ms\"", "\"21ms\"", "t, line 20, field jitter: a round trip cannot deviate"),
        ("[\"x\", \"y\"]", "[\"x\", \"z\"]", "t, line 18, field between: there is no region \"z\""),
        ("[\"x\", \"y\"]", "[\"x\", \"x\"]", "t, line 18, field between: a link is between two"),
        ("[\"x\", \"y\"]", "[\"x\"]", "t, line 18, field between: invalid length 1"),
        ("name = \"y\"", "name = \"x\"", "t, line 14, field name: there is a region \"x\" already"),
        ("nodes = 1", "nodes = 0", "t, line 12, field nodes: a region has 1 to 1000 nodes"),
        ("\"b\"]", "\"a\"]", "t, line 15, field zones: zone \"a\" is named twice"),
        ("loss = 0.01", "loss = 2.0", "t, line 9, field loss: 2 is no probability"),
        ("loss = 0.01", "loss = 1.0", "t, line 9, field loss: 1 is no probability to lose"),
        ("bandwidth_mbit = 8", "bandwidth_mbit = 0", "t, line 21, field bandwidth_mbit: nothing"),
        ("loss = 0.01", "zone_rtt = \"2m\"", "t, line 9, field zone_rtt: at most 1m"),
        ("name = \"y\"", "name = \"n3\"", "t, line 14, field name: \"n3\" is how a node is called"),
        (
            "\"fixed(4ms)\"",
            "\"kernel\"",
            "t, line 3, field model: the clock model \"kernel\" asks the node's own machine",
        ),
        ("offset = \"fast\"", "offset = \"far\"", "t, line 4, field offset: unknown clock offset"),
        ("bandwidth_mbit", "bandwith_mbit", "t, line 21: unknown field `bandwith_mbit`"),
    ];
    for (right, wrong, message) in cases {
        let error = Topology::parse("t", &TWO.replacen(right, wrong, 1)).expect_err(wrong);
        let error = error.to_string();
        assert!(error.starts_with(message), "{wrong}:\n  {error}\n  {message}");
        assert!(!error.contains('\n'), "one line: {error}");
    }
}

#[test]
fn paths_must_be_complete_and_unambiguous() {
    let (head, link) = TWO.split_at(TWO.find("[[link]]").expect("there is one"));
    let error = Topology::parse("t", head).expect_err("no link").to_string();
    assert_eq!(error, "t: no [[link]] between \"x\" and \"y\": how far are they?");
    let back = link.replace("[\"x\", \"y\"]", "[\"y\", \"x\"]");
    let error = Topology::parse("t", &format!("{TWO}{back}")).expect_err("twice").to_string();
    assert!(error.starts_with("t, line 23, field between: there is a link"), "{error}");
    let error = Topology::load("nowhere").expect_err("neither file nor shipped").to_string();
    assert!(error.contains("three-regions"), "{error}");
}

#[test]
fn clocks_are_built_as_written() {
    let two = Topology::parse("t", TWO).expect("valid");
    let time = clock::TrueTime::new(1_000_000_000, clock::ManualTicker::new());
    let first = two.build_clock(NodeId(1), &time, 7);
    assert_eq!(first.source(), "fixed(4ms)");
    assert_eq!(first.true_offset_nanos(), Some(4_000_000));
    assert_eq!(two.build_clock(NodeId(2), &time, 7).uncertainty(), Uncertainty::Zero);
    let mut walking = shipped("three-regions");
    walking.clock.uncertainty = Uncertainty::spanner_2012();
    let offset = |node, seed| walking.build_clock(NodeId(node), &time, seed).true_offset_nanos();
    assert_eq!(offset(1, 7), offset(1, 7));
    assert_ne!(offset(1, 7), offset(2, 7), "each node its own");
    assert_ne!(offset(1, 7), offset(1, 8), "each run its own");
}

#[tokio::test(start_paused = true)]
async fn the_simulated_network_is_as_slow_as_its_file_says() {
    for name in Topology::shipped() {
        let topology = shipped(name);
        let nodes = topology.node_layout(None);
        let wan = topology.build_wan(&nodes, Pace::Virtual, 1);
        let _ends: Vec<_> = nodes.iter().map(|node| wan.attach(node.id, &node.region)).collect();
        wan.arm();
        let measured = topology.self_check(&wan, &nodes).await.unwrap_or_else(|e| panic!("{e}"));
        let regions = topology.regions.len();
        assert_eq!(measured.len(), regions * (regions + 1) / 2, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_self_check_can_fail() {
    let topology = shipped("three-regions");
    let nodes = topology.node_layout(Some(1));
    let wan = topology.build_wan(&nodes, Pace::Virtual, 1);
    let _ends: Vec<_> = nodes.iter().map(|node| wan.attach(node.id, &node.region)).collect();
    let unarmed = topology.self_check(&wan, &nodes).await;
    assert!(matches!(unarmed, Err(SelfCheckError::Wrong(_))), "{unarmed:?}");
    wan.arm();
    wan.cut(NodeId(3), NodeId(1));
    let cut = topology.self_check(&wan, &nodes).await;
    assert!(matches!(cut, Err(SelfCheckError::Lost { .. })), "{cut:?}");
}

#[tokio::test(start_paused = true)]
async fn virtual_time_passes_with_the_paused_clock() {
    let time = time::simulated();
    assert_eq!(time.now_nanos(), time::VIRTUAL_ORIGIN_NANOS);
    tokio::time::advance(Duration::from_millis(1500)).await;
    assert_eq!(time.now_nanos(), time::VIRTUAL_ORIGIN_NANOS + 1_500_000_000);
}

#[tokio::test]
async fn live_time_is_the_wall_clock() {
    let (a, b) = (time::live(), time::live());
    assert!(a.now_nanos() > time::VIRTUAL_ORIGIN_NANOS - 400 * 86_400 * 1_000_000_000);
    let apart = a.now_nanos().abs_diff(b.now_nanos());
    assert!(apart < 1_000_000_000, "two of one machine are {apart} ns apart");
}

#[test]
fn clocks_that_cannot_be_are_refused_before_anything_starts() {
    let check = |clock: &str, nodes: usize| {
        let text = format!(
            "[settings]\nclock_tolerance = \"400ms\"\n[clock]\n{clock}\n[[region]]\nname = \"here\"\n"
        );
        let topology = Topology::parse("clocks", &text).expect("well-formed");
        topology.check_clocks(&topology.node_layout(Some(nodes)))
    };
    assert_eq!(check("model = \"fixed(200ms)\"", 3), Ok(()));
    let fast = "[[clock.override]]\nnode = 3\nmodel = \"fixed(7ms)\"";
    assert_eq!(check(fast, 3), Ok(()));
    for (clock, nodes, told) in [
        (
            "model = \"fixed(500ms)\"",
            3,
            "n1: an uncertainty ε of 500ms is above the limit of 250ms",
        ),
        ("model = \"sawtooth(1ms, 20000ppm, 30s)\"", 3, "ε of 601ms is above"),
        ("model = \"fixed(201ms)\"", 3, "they tolerate 400ms"),
        (
            "[[clock.override]]\nnode = 2\nmodel = \"fixed(300ms)\"",
            3,
            "clocks, line 5: n2: an uncertainty",
        ),
        (fast, 2, "clocks, line 5: a clock for n3, but there are 2 nodes only"),
    ] {
        let refused = check(clock, nodes).expect_err(clock);
        assert!(refused.contains(told) && !refused.contains('\n'), "{clock}: {refused}");
    }
}
