//! `EXPLAIN ANALYZE`: what the statement's operations did, as the gateway's spans tell it.
//!
//! ```text
//!   scan here@primary: 1.2 ms, 3 rows
//!     spans: here/primary/[1 - 4]
//!     read range 1000 at node 3 in us-east: 1.1 ms, 3 rows, 96 bytes
//!   commit: 134 ms, 2 participants
//!     prepare range 1016 at node 6 in us-west: 66 ms
//!   round trips of the gateway: us-east to us-east 2, us-east to us-west 1
//!   waited: 0 ms for other transactions, 0 ms for leases and safe time
//! ```

use std::collections::BTreeMap;

use keys::NodeId;
use trace::{Kind, Record, SpanId};

use crate::{database::Database, show::region_of};

/// The most calls that are printed of one operation, after like ones were put together.
const MAX_CALLS: usize = 16;

/// The lines, from the spans in the order of their beginnings.
pub fn lines(database: &Database, spans: &[Record]) -> Vec<String> {
    let by_id: BTreeMap<SpanId, &Record> = spans.iter().map(|span| (span.id, span)).collect();
    let mut calls: BTreeMap<SpanId, Vec<&Record>> = BTreeMap::new();
    let mut elsewhere = Vec::new();
    for call in spans.iter().filter(|span| is_waited_for(span)) {
        match operation_of(&by_id, call) {
            Some(operation) => calls.entry(operation).or_default().push(call),
            None => elsewhere.push(call),
        }
    }
    let mut lines = Vec::new();
    for operation in spans.iter().filter(|span| is_operation(span)) {
        lines.push(headline(operation));
        let spans = operation.note("spans").filter(|spans| !spans.is_empty());
        lines.extend(spans.map(|spans| format!("  spans: {spans}")));
        let calls = calls.get(&operation.id).map_or(&[][..], Vec::as_slice);
        lines.extend(call_lines(database, calls));
    }
    if !elsewhere.is_empty() {
        lines.push("catalog and directory:".to_owned());
        lines.extend(call_lines(database, &elsewhere));
    }
    lines.extend(totals(database, spans));
    lines
}

fn is_operation(span: &Record) -> bool {
    matches!(span.kind, Kind::Operation | Kind::Commit)
}

/// Whether it is a call that the statement waited for: while a leader does not answer, the others
/// are asked beside it whether one of them leads by now.
fn is_waited_for(span: &Record) -> bool {
    span.kind == Kind::Call && span.note("request") != Some("status")
}

/// The operation that a call belongs to.
fn operation_of(by_id: &BTreeMap<SpanId, &Record>, call: &Record) -> Option<SpanId> {
    let mut at = call.parent;
    // No deeper than there are spans.
    for _ in 0..by_id.len() {
        let span = by_id.get(&at?)?;
        if is_operation(span) {
            return Some(span.id);
        }
        at = span.parent;
    }
    None
}

fn headline(operation: &Record) -> String {
    let mut line = format!("{}: {}", operation.name, millis(operation.nanos().unwrap_or(0)));
    if let Some(rows) = operation.note("rows") {
        line += &format!(", {rows} rows");
    }
    if let Some(participants) = operation.note("participants") {
        line += &format!(", {participants} participants");
    }
    if let Some(s) = operation.note("s") {
        line += &format!(", at {s}");
    }
    line
}

/// What calls of one kind to one replica came to.
#[derive(Debug, Default)]
struct Sum {
    calls: u64,
    nanos: u64,
    rows: u64,
    bytes: u64,
    blocked_nanos: u64,
    waited_nanos: u64,
    errors: Vec<String>,
}

impl Sum {
    fn add(&mut self, call: &Record) {
        self.calls += 1;
        self.nanos = self.nanos.max(call.nanos().unwrap_or(0));
        self.rows += call.number("rows");
        self.bytes += call.number("bytes");
        self.blocked_nanos += call.number("blocked_nanos");
        self.waited_nanos += call.number("waited_nanos");
        self.errors.extend(call.note("error").map(str::to_owned));
    }
}

fn call_lines(database: &Database, calls: &[&Record]) -> Vec<String> {
    let mut order: Vec<(&str, u64, u64)> = Vec::new();
    let mut sums: BTreeMap<(&str, u64, u64), Sum> = BTreeMap::new();
    for call in calls {
        let request = call.note("request").unwrap_or("?");
        let key = (request, call.number("range"), call.number("node"));
        if !sums.contains_key(&key) {
            order.push(key);
        }
        sums.entry(key).or_default().add(call);
    }
    let mut lines = Vec::new();
    for key in order.iter().take(MAX_CALLS) {
        let sum = &sums[key];
        lines.push(call_line(database, *key, sum));
        lines.extend(sum.errors.iter().map(|error| format!("    failed: {error}")));
    }
    if order.len() > MAX_CALLS {
        lines.push(format!("  ... and {} more", order.len() - MAX_CALLS));
    }
    lines
}

fn call_line(database: &Database, key: (&str, u64, u64), sum: &Sum) -> String {
    let (request, range, node) = key;
    let region = region(database, node);
    let mut line = format!("  {request} range {range} at node {node} in {region}: ");
    if sum.calls > 1 {
        line += &format!("{} calls, at most ", sum.calls);
    }
    line += &millis(sum.nanos);
    if request == "read" {
        line += &format!(", {} rows, {} bytes", sum.rows, sum.bytes);
    }
    if sum.blocked_nanos > 0 {
        line += &format!(", waited {} for other transactions", millis(sum.blocked_nanos));
    }
    let otherwise = sum.waited_nanos.saturating_sub(sum.blocked_nanos);
    if otherwise > 0 {
        line += &format!(", waited {} for lease or safe time", millis(otherwise));
    }
    line
}

/// Round trips of the gateway by regions, and waits. What leaders exchange with their quorums is not
/// among them.
fn totals(database: &Database, spans: &[Record]) -> Vec<String> {
    let here = database.0.cluster.region();
    let mut pairs: BTreeMap<String, u64> = BTreeMap::new();
    let (mut blocked, mut waited) = (0, 0);
    for call in spans.iter().filter(|span| is_waited_for(span)) {
        *pairs.entry(region(database, call.number("node"))).or_default() += 1;
        blocked += call.number("blocked_nanos");
        waited += call.number("waited_nanos");
    }
    let pairs: Vec<String> =
        pairs.into_iter().map(|(there, calls)| format!("{here} to {there} {calls}")).collect();
    let trips = if pairs.is_empty() { "none".to_owned() } else { pairs.join(", ") };
    let otherwise = millis(waited.saturating_sub(blocked));
    vec![
        format!("round trips of the gateway: {trips}"),
        format!(
            "waited: {} for other transactions, {otherwise} for leases and safe time",
            millis(blocked)
        ),
    ]
}

fn region(database: &Database, node: u64) -> String {
    let node = u32::try_from(node).ok().map(NodeId);
    node.and_then(|node| region_of(database, node)).unwrap_or_else(|| "unknown".to_owned())
}

fn millis(nanos: u64) -> String {
    format!("{:.3} ms", nanos as f64 / 1e6)
}
