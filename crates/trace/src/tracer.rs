//! Spans, and who makes them.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use clock::{Clock, SharedClock};
use keys::NodeId;

use crate::{Context, Kind, Record, SpanId, Stamp, TraceId, event, scope::Scope};

/// Makes the spans of one node, by its clock.
#[derive(Debug)]
pub struct Tracer {
    node: NodeId,
    clock: SharedClock,
    next: AtomicU64,
}

impl Tracer {
    /// The tracer of a node. Spans are numbered up from `first`, which must lie above every number of
    /// a former life of the node: a reading of its clock in nanoseconds is such a number (T1).
    #[must_use]
    pub fn new(node: NodeId, clock: SharedClock, first: u64) -> Arc<Tracer> {
        Arc::new(Tracer { node, clock, next: AtomicU64::new(first) })
    }

    /// The node.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// This moment.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        let clock: &dyn Clock = self.clock.as_ref();
        Stamp::read(clock)
    }

    /// Begins a trace. With a tap, every span of it that ends on this node is put there, too.
    pub fn root(
        self: &Arc<Tracer>,
        trace: TraceId,
        kind: Kind,
        name: impl Into<String>,
        tap: Option<Tap>,
    ) -> Span {
        self.open(trace, None, kind, name.into(), self.stamp(), tap)
    }

    /// Begins a span on behalf of somebody.
    pub fn child(self: &Arc<Tracer>, of: Context, kind: Kind, name: impl Into<String>) -> Span {
        self.child_since(of, kind, name, self.stamp())
    }

    /// The same, of what began a while ago.
    pub fn child_since(
        self: &Arc<Tracer>,
        of: Context,
        kind: Kind,
        name: impl Into<String>,
        begin: Stamp,
    ) -> Span {
        self.open(of.trace, Some(of.parent), kind, name.into(), begin, None)
    }

    /// As [`Tracer::child`], with a tap.
    pub fn tapped(
        self: &Arc<Tracer>,
        of: Context,
        kind: Kind,
        name: impl Into<String>,
        tap: Tap,
    ) -> Span {
        self.open(of.trace, Some(of.parent), kind, name.into(), self.stamp(), Some(tap))
    }

    pub(crate) fn open(
        self: &Arc<Tracer>,
        trace: TraceId,
        parent: Option<SpanId>,
        kind: Kind,
        name: String,
        begin: Stamp,
        tap: Option<Tap>,
    ) -> Span {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = SpanId { node: self.node, number };
        let record = Record { id, parent, kind, name, begin, end: None, notes: Vec::new() };
        event::tell(trace, &record);
        Span(Some(Box::new(Open { tracer: Arc::clone(self), trace, record, tap })))
    }
}

/// A span under way, or none. It ends when it is dropped.
#[derive(Debug)]
#[must_use = "a span ends when it is dropped"]
pub struct Span(Option<Box<Open>>);

struct Open {
    tracer: Arc<Tracer>,
    trace: TraceId,
    record: Record,
    tap: Option<Tap>,
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {:?}", self.record.name, self.trace)
    }
}

impl Span {
    /// No span: nothing is traced.
    pub const fn none() -> Span {
        Span(None)
    }

    /// Whether it is none.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// What is done on its behalf; `None`: it is none.
    #[must_use]
    pub fn context(&self) -> Option<Context> {
        self.0.as_ref().map(|open| Context { trace: open.trace, parent: open.record.id })
    }

    /// When it began; `None`: it is none.
    #[must_use]
    pub fn begin(&self) -> Option<Stamp> {
        self.0.as_ref().map(|open| open.record.begin)
    }

    /// Notes something. The value is made only if there is a span.
    pub fn note<V: fmt::Display>(&mut self, name: &str, value: impl FnOnce() -> V) {
        if let Some(open) = &mut self.0 {
            open.record.notes.push((name.to_owned(), value().to_string()));
        }
    }

    /// It was over at this moment.
    pub fn end_at(mut self, end: Stamp) {
        if let Some(open) = &mut self.0 {
            open.record.end = Some(end);
        }
    }

    /// Begins a part of it at this node.
    pub fn part(&self, kind: Kind, name: impl FnOnce() -> String) -> Span {
        match &self.0 {
            None => Span::none(),
            Some(open) => {
                let (parent, tap) = (Some(open.record.id), open.tap.clone());
                open.tracer.open(open.trace, parent, kind, name(), open.tracer.stamp(), tap)
            }
        }
    }

    pub(crate) fn scope(&self) -> Option<Scope> {
        let open = self.0.as_ref()?;
        let context = Context { trace: open.trace, parent: open.record.id };
        Some(Scope { tracer: Arc::clone(&open.tracer), context, tap: open.tap.clone() })
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let Some(open) = self.0.take() else { return };
        let Open { tracer, trace, mut record, tap } = *open;
        record.end.get_or_insert_with(|| tracer.stamp());
        event::tell(trace, &record);
        if let Some(tap) = tap {
            tap.put(record);
        }
    }
}

/// Collects the spans of one trace that end on its gateway, whoever else listens: for `EXPLAIN
/// ANALYZE`. At most [`crate::MAX_SPANS`]; later ones are not kept. Cheap to clone: a handle.
#[derive(Clone, Debug, Default)]
pub struct Tap(Arc<Mutex<Vec<Record>>>);

impl Tap {
    fn put(&self, record: Record) {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() < crate::MAX_SPANS {
            records.push(record);
        }
    }

    /// What came so far, in the order of ends.
    #[must_use]
    pub fn take(&self) -> Vec<Record> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
