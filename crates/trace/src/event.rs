//! Spans as events of `tracing`: how they leave the code that makes them.

use clock::Interval;
use keys::NodeId;
use tracing::field::{Field, Visit};

use crate::{Kind, Record, SpanId, Stamp, TraceId};

/// The target of all events of traces; `RUST_LOG=meridian::trace=trace` prints them.
pub const TARGET: &str = "meridian::trace";

/// Ends a note in the text of all notes. What a note holds is cleaned of it.
const NOTE: char = '\u{1e}';
/// Ends a note's name.
const VALUE: char = '\u{1f}';

/// Tells what is known of a span: when it begins, and again, whole, when it ended.
pub fn tell(trace: TraceId, record: &Record) {
    let parent = record.parent.unwrap_or(NOBODY);
    let end = record.end.as_ref();
    let notes = end.map(|_| notes_text(&record.notes));
    tracing::trace!(
        target: TARGET,
        trace = trace.0,
        node = record.id.node.0,
        span = record.id.number,
        parent_node = parent.node.0,
        parent_span = parent.number,
        kind = record.kind.name(),
        name = record.name.as_str(),
        begin_earliest = record.begin.interval.earliest,
        begin_latest = record.begin.interval.latest,
        begin_true = record.begin.true_nanos,
        end_earliest = end.map(|end| end.interval.earliest),
        end_latest = end.map(|end| end.interval.latest),
        end_true = end.and_then(|end| end.true_nanos),
        notes = notes.as_deref(),
    );
}

/// Stands for no parent: no node has this number.
const NOBODY: SpanId = SpanId { node: NodeId(0), number: 0 };

fn notes_text(notes: &[(String, String)]) -> String {
    let mut text = String::new();
    for (name, value) in notes {
        let clean = |part: &str| part.replace([NOTE, VALUE], " ");
        text.push_str(&clean(name));
        text.push(VALUE);
        text.push_str(&clean(value));
        text.push(NOTE);
    }
    text
}

/// Understands an event: what is told of a span of a trace. `None`: it is none of ours.
pub fn understand(event: &tracing::Event<'_>) -> Option<(TraceId, Record)> {
    if event.metadata().target() != TARGET {
        return None;
    }
    let mut fields = Fields::default();
    event.record(&mut fields);
    fields.heard()
}

/// The fields of an event, as they come.
#[derive(Debug, Default)]
struct Fields {
    trace: u128,
    node: u64,
    span: u64,
    parent_node: u64,
    parent_span: u64,
    kind: Option<Kind>,
    name: String,
    begin: Stamp,
    end: Stamp,
    ended: bool,
    notes: String,
}

impl Fields {
    fn heard(self) -> Option<(TraceId, Record)> {
        let id =
            |node: u64, number| Some(SpanId { node: NodeId(u32::try_from(node).ok()?), number });
        let parent = id(self.parent_node, self.parent_span)?;
        let notes = self.notes.split_terminator(NOTE).filter_map(|note| {
            note.split_once(VALUE).map(|(name, value)| (name.to_owned(), value.to_owned()))
        });
        let record = Record {
            id: id(self.node, self.span)?,
            parent: (parent != NOBODY).then_some(parent),
            kind: self.kind?,
            name: self.name,
            begin: self.begin,
            end: self.ended.then_some(self.end),
            notes: notes.collect(),
        };
        Some((TraceId(self.trace), record))
    }
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        let interval = |stamp: &mut Stamp, earliest: Option<u64>, latest: Option<u64>| {
            let Interval { earliest: e, latest: l } = stamp.interval;
            stamp.interval =
                Interval { earliest: earliest.unwrap_or(e), latest: latest.unwrap_or(l) };
        };
        match field.name() {
            "node" => self.node = value,
            "span" => self.span = value,
            "parent_node" => self.parent_node = value,
            "parent_span" => self.parent_span = value,
            "begin_earliest" => interval(&mut self.begin, Some(value), None),
            "begin_latest" => interval(&mut self.begin, None, Some(value)),
            "begin_true" => self.begin.true_nanos = Some(value),
            "end_earliest" => {
                self.ended = true;
                interval(&mut self.end, Some(value), None);
            }
            "end_latest" => interval(&mut self.end, None, Some(value)),
            "end_true" => self.end.true_nanos = Some(value),
            _ => {}
        }
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        if field.name() == "trace" {
            self.trace = value;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "kind" => self.kind = Kind::from_name(value),
            "name" => value.clone_into(&mut self.name),
            "notes" => value.clone_into(&mut self.notes),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}
