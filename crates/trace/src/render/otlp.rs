//! A timeline as OpenTelemetry sees traces: OTLP in JSON, a resource per node.

use serde_json::{Value, json};

use super::lanes;
use crate::{Kind, Record, SpanId, Timeline};

/// The timeline as an `ExportTraceServiceRequest`, to be sent to a collector's `/v1/traces`.
#[must_use]
pub fn otlp(timeline: &Timeline) -> String {
    let resources: Vec<Value> = lanes(timeline)
        .into_iter()
        .map(|lane| {
            let spans = lane.spans.iter().map(|(_, span)| one(timeline, span));
            json!({
                "resource": { "attributes": [
                    text("service.name", "meridian"),
                    text("service.instance.id", &lane.node.to_string()),
                    text("cloud.region", timeline.region(lane.node)),
                ]},
                "scopeSpans": [{
                    "scope": { "name": crate::TARGET },
                    "spans": spans.collect::<Vec<Value>>(),
                }],
            })
        })
        .collect();
    format!("{:#}\n", json!({ "resourceSpans": resources }))
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// Eight bytes that no other span of the trace has, but by an accident of one in 2^64: the node's id
/// and the span's number, mixed.
fn span_id(id: SpanId) -> String {
    let mut mixed = id.number ^ u64::from(id.node.0).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    format!("{:016x}", mixed ^ (mixed >> 31))
}

fn one(timeline: &Timeline, span: &Record) -> Value {
    let mut attributes = vec![
        text("meridian.kind", span.kind.name()),
        number("meridian.clock.earliest", span.begin.interval.earliest),
        number("meridian.clock.latest", span.begin.interval.latest),
    ];
    if let Some(end) = span.end {
        attributes.push(number("meridian.clock.end_earliest", end.interval.earliest));
        attributes.push(number("meridian.clock.end_latest", end.interval.latest));
    }
    let notes = span.notes.iter();
    attributes.extend(notes.map(|(name, value)| text(&format!("meridian.{name}"), value)));
    // What is not over ends where the timeline does, and says so.
    let end = span.end.map_or(timeline.end(), |end| end.nanos()).max(span.begin.nanos());
    if span.end.is_none() {
        attributes.push(json!({ "key": "meridian.over", "value": { "boolValue": false } }));
    }
    let mut one = json!({
        "traceId": timeline.id.to_string(),
        "spanId": span_id(span.id),
        "name": span.name,
        "kind": kind(span.kind),
        "startTimeUnixNano": span.begin.nanos().to_string(),
        "endTimeUnixNano": end.to_string(),
        "attributes": attributes,
        "status": status(span),
    });
    if let Some(parent) = span.parent {
        one["parentSpanId"] = json!(span_id(parent));
    }
    one
}

fn number(key: &str, value: u64) -> Value {
    // 64-bit numbers are texts in this encoding.
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

/// OTLP's kinds: 1 internal, 2 server, 3 client.
fn kind(kind: Kind) -> u8 {
    match kind {
        Kind::Call => 3,
        Kind::Serve => 2,
        Kind::Transaction
        | Kind::Statement
        | Kind::Operation
        | Kind::Commit
        | Kind::Wait
        | Kind::Replicate
        | Kind::Accept
        | Kind::Apply
        | Kind::CommitWait => 1,
    }
}

/// OTLP's codes: 0 unset, 2 error.
fn status(span: &Record) -> Value {
    match span.note("error") {
        Some(error) => json!({ "code": 2, "message": error }),
        None => json!({}),
    }
}
