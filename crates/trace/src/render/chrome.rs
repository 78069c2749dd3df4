//! A timeline as the JSON of Chrome's `about:tracing`: one process per region, one thread per node.

use serde_json::{Value, json};

use super::lanes;
use crate::{Record, Timeline};

/// The timeline in Chrome's trace event format, which Perfetto reads too. Times are microseconds
/// since the timeline's beginning.
#[must_use]
pub fn chrome(timeline: &Timeline) -> String {
    let mut regions: Vec<&str> = Vec::new();
    let mut events = Vec::new();
    for lane in lanes(timeline) {
        let region = timeline.region(lane.node);
        let pid = match regions.iter().position(|known| *known == region) {
            Some(at) => at + 1,
            None => {
                regions.push(region);
                events.push(named("process_name", regions.len(), 0, region));
                regions.len()
            }
        };
        events.push(named("thread_name", pid, lane.node.0, &lane.node.to_string()));
        events.extend(lane.spans.iter().map(|(_, span)| complete(timeline, pid, span)));
        events.extend(lane.spans.iter().filter_map(|(_, span)| arrow(timeline, pid, span)));
    }
    let document = json!({
        "traceEvents": events.into_iter().flat_map(flat).collect::<Vec<Value>>(),
        "displayTimeUnit": "ms",
        "otherData": { "trace": timeline.id.to_string(), "begin_unix_nanos": timeline.begin().to_string() },
    });
    format!("{document:#}\n")
}

/// One event, or the two ends of an arrow.
fn flat(event: Value) -> Vec<Value> {
    match event {
        Value::Array(events) => events,
        other => vec![other],
    }
}

fn named(what: &str, pid: usize, tid: u32, name: &str) -> Value {
    json!({ "ph": "M", "name": what, "pid": pid, "tid": tid, "args": { "name": name } })
}

fn micros(timeline: &Timeline, nanos: u64) -> f64 {
    (nanos.saturating_sub(timeline.begin())) as f64 / 1e3
}

fn complete(timeline: &Timeline, pid: usize, span: &Record) -> Value {
    let mut notes = serde_json::Map::new();
    for (name, value) in &span.notes {
        notes.insert(name.clone(), Value::String(value.clone()));
    }
    let epsilon = span.begin.interval.epsilon().as_secs_f64() * 1e3;
    notes.insert("epsilon_ms".to_owned(), json!(epsilon));
    if let Some(offset) = span.begin.offset_nanos() {
        notes.insert("clock_offset_ms".to_owned(), json!(offset as f64 / 1e6));
    }
    if span.end.is_none() {
        notes.insert("over".to_owned(), json!(false));
    }
    let nanos = span.nanos().unwrap_or(timeline.end().saturating_sub(span.begin.nanos()));
    json!({
        "ph": "X",
        "name": span.name,
        "cat": span.kind.name(),
        "pid": pid,
        "tid": span.id.node.0,
        "ts": micros(timeline, span.begin.nanos()),
        "dur": nanos as f64 / 1e3,
        "args": notes,
    })
}

/// From a cause on another node.
fn arrow(timeline: &Timeline, pid: usize, span: &Record) -> Option<Value> {
    let cause = timeline.spans.iter().find(|cause| Some(cause.id) == span.parent)?;
    if cause.id.node == span.id.node {
        return None;
    }
    let from_region = timeline.region(cause.id.node);
    let mut regions: Vec<&str> = Vec::new();
    for lane in lanes(timeline) {
        let region = timeline.region(lane.node);
        if !regions.contains(&region) {
            regions.push(region);
        }
    }
    let from_pid = regions.iter().position(|region| *region == from_region)? + 1;
    // As text: these numbers are beyond what a script's numbers hold.
    let id = format!("{}.{}", span.id.node.0, span.id.number);
    Some(json!([
        { "ph": "s", "id": id, "name": "message", "cat": "message", "pid": from_pid,
          "tid": cause.id.node.0, "ts": micros(timeline, cause.begin.nanos()) },
        { "ph": "f", "bp": "e", "id": id, "name": "message", "cat": "message", "pid": pid,
          "tid": span.id.node.0, "ts": micros(timeline, span.begin.nanos()) },
    ]))
}
