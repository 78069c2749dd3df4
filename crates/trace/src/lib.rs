//! One transaction's timeline: who did what for it, on which node, and when in true time.
//!
//! ```text
//!   session ─ Tracer::root ─► Span ─ within ─► whatever it awaits: span(), context()
//!                              │                              │
//!                              │            a request carries Context {trace, parent}
//!                              │                              ▼
//!                              │             the replica's node: Tracer::child ─► Span ...
//!                              ▼                              ▼
//!            events of `tracing`, target "meridian::trace": begun, ended
//!                              ▼
//!                        Collector (a `tracing_subscriber` layer) ─► render::{text, html, ...}
//! ```
//!
//! - Who is not traced pays for one look at a thread's own cell per call, and for one byte per
//!   request: every function here hands back a [`Span`] that is none.
//! - A [`Span`] tells of its beginning when it is made and of its end when it is dropped, as events
//!   of `tracing` at level TRACE. Any subscriber may listen; [`Collector`] is ours.
//! - The task at work knows what it works for ([`within`]): no signature between a
//!   session and the network names traces. What crosses the network does ([`Context`]).
//! - A [`Stamp`] is a reading of the node's own clock: its interval, and the true time where that is
//!   known (the demo, the simulator). In virtual time the same seed gives the same trace.
//!
//! HAZARD: between real machines there is no true time. A span's moment is then the middle of its own
//! node's interval, and a cause may seem to follow its effect by up to the sum of both ε; the
//! intervals are drawn so that this can be seen.
//!
//! Limits: [`MAX_TRACES`] traces and [`MAX_SPANS`] spans of each are kept, [`MAX_KEPT`] spans in
//! all; the oldest trace goes first, and what a trace lost is said.
//!
//! What it does not know: transactions, ranges, SQL. The words in a span are its maker's.

mod axis;
mod collect;
mod event;
mod record;
pub mod render;
mod scope;
mod tracer;

pub use collect::{Collector, MAX_KEPT, MAX_SPANS, MAX_TRACES, Summary};
pub use event::TARGET;
pub use record::{Context, Kind, Record, SpanId, Stamp, Timeline, TraceId};
pub use scope::{Within, context, span, within};
pub use tracer::{Span, Tap, Tracer};

#[cfg(test)]
mod tests;
