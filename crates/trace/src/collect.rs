//! Keeps the traces of a process, the newest of them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use keys::NodeId;
use tracing::{Event, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, filter::Targets, layer::Context as LayerContext, registry::LookupSpan,
};

use crate::{Record, SpanId, TARGET, TraceId, event};

/// Traces kept; beyond, the oldest is forgotten.
pub const MAX_TRACES: usize = 512;
/// Spans kept of one trace; of further ones only the number is known.
pub const MAX_SPANS: usize = 4_096;
/// Spans kept in all, some 300 bytes each; beyond, the oldest traces are forgotten.
pub const MAX_KEPT: usize = 65_536;

/// Keeps what it hears of traces. Cheap to clone: a handle. The process that runs nodes puts its
/// [`Collector::layer`] into the subscriber of `tracing`, and hands the collector to its nodes, which
/// answer from it.
#[derive(Clone, Debug, Default)]
pub struct Collector(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    traces: BTreeMap<TraceId, Trace>,
    /// Oldest first.
    order: VecDeque<TraceId>,
    spans: usize,
}

#[derive(Debug, Default)]
struct Trace {
    spans: BTreeMap<SpanId, Record>,
    lost: u64,
}

/// A trace in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Whose.
    pub id: TraceId,
    /// The span that is the whole.
    pub root: Record,
    /// Spans known here.
    pub spans: usize,
}

impl Collector {
    /// What listens to `tracing`: to our events and to nothing else.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let filter = Targets::new().with_target(TARGET, LevelFilter::TRACE);
        Listener(self.clone()).with_filter(filter)
    }

    /// The spans that one node made of a trace, and how many were lost here; `None`: nothing is
    /// known of it.
    #[must_use]
    pub fn of_node(&self, id: TraceId, node: NodeId) -> Option<(Vec<Record>, u64)> {
        let kept = self.kept();
        let trace = kept.traces.get(&id)?;
        let spans = trace.spans.values().filter(|span| span.id.node == node);
        Some((spans.cloned().collect(), trace.lost))
    }

    /// The traces that began on a node, newest first.
    #[must_use]
    pub fn begun_on(&self, node: NodeId) -> Vec<Summary> {
        let kept = self.kept();
        let summary = |id: &TraceId| {
            let trace = kept.traces.get(id)?;
            let root = trace.spans.values().find(|span| span.parent.is_none())?;
            let here = root.id.node == node;
            here.then(|| Summary { id: *id, root: root.clone(), spans: trace.spans.len() })
        };
        kept.order.iter().rev().filter_map(summary).collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn put(&mut self, id: TraceId, record: Record) {
        if !self.traces.contains_key(&id) {
            self.order.push_back(id);
        }
        let trace = self.traces.entry(id).or_default();
        let known = trace.spans.contains_key(&record.id);
        if !known && trace.spans.len() >= MAX_SPANS {
            trace.lost += 1;
            return;
        }
        trace.spans.insert(record.id, record);
        self.spans += usize::from(!known);
        while self.order.len() > 1 && (self.order.len() > MAX_TRACES || self.spans > MAX_KEPT) {
            let oldest = self.order.pop_front().expect("there are two");
            let forgotten = self.traces.remove(&oldest).expect("it is in the order");
            self.spans -= forgotten.spans.len();
        }
    }
}

struct Listener(Collector);

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _: LayerContext<'_, S>) {
        if let Some((id, record)) = event::understand(event) {
            self.0.kept().put(id, record);
        }
    }
}
