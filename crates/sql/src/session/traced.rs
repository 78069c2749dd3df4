//! A session's traces: which of its transactions are traced, and how they begin.
//!
//! With `trace` on, every transaction block and every statement that is a transaction of its own is
//! a trace, named by the transaction's id (a statement's by that of its first attempt). `EXPLAIN
//! ANALYZE` traces its statement in any case, and reads what the gateway's spans say.

use keys::TxnId;
use trace::{Kind, Record, Span, Tap, TraceId};

use super::{Execution, Session};
use crate::parse::Statement;

/// What a timeline tells of a statement's text, in characters.
const MAX_TEXT: usize = 400;

/// What a session knows of its traces.
#[derive(Debug, Default)]
pub struct Traces {
    /// The newest one.
    last: Option<TraceId>,
    /// Listens to the statement that runs now.
    tap: Option<Tap>,
}

impl Session {
    /// Whether what begins now is traced.
    pub(super) fn is_traced(&self) -> bool {
        self.traces.tap.is_some() || self.effective().trace
    }

    /// Begins the trace of a transaction; none if it is not to be traced.
    pub(super) fn begin_trace(&mut self, id: TxnId, kind: Kind, name: impl Into<String>) -> Span {
        if !self.is_traced() {
            return Span::none();
        }
        let trace = TraceId(id.0);
        self.traces.last = Some(trace);
        self.database.0.tracer.root(trace, kind, name, self.traces.tap.clone())
    }

    /// Begins the span of a statement in the open transaction, which may be no trace: then the
    /// statement is one if it has to be.
    pub(super) fn statement_span(&mut self, statement: &Statement) -> Span {
        let open = self.open.as_ref().expect("a transaction is open");
        let id = open.txn.id();
        match (&self.traces.tap, open.trace.context()) {
            (None, _) => open.trace.part(Kind::Statement, || told(statement.sql())),
            (Some(tap), Some(of)) => {
                let (tracer, tap) = (self.database.0.tracer.clone(), tap.clone());
                tracer.tapped(of, Kind::Statement, told(statement.sql()), tap)
            }
            (Some(_), None) => self.begin_trace(id, Kind::Statement, told(statement.sql())),
        }
    }

    /// Begins to listen to the statement that runs next.
    pub(crate) fn listen(&mut self) {
        self.traces.tap = Some(Tap::default());
    }

    /// What was heard, in the order of beginnings.
    pub(crate) fn heard(&mut self) -> Vec<Record> {
        let mut records = self.traces.tap.take().map_or(Vec::new(), |tap| tap.take());
        records.sort_by_key(|record| record.id.number);
        records
    }

    /// This session's newest trace.
    pub(crate) fn last_trace(&self) -> Option<TraceId> {
        self.traces.last
    }
}

/// A statement's text as a span is called: on one line, and not too long.
pub fn told(sql: &str) -> String {
    let words: Vec<&str> = sql.split_whitespace().collect();
    words.join(" ").chars().take(MAX_TEXT).collect()
}

/// Notes what came of a statement.
pub fn note<E: std::fmt::Display>(span: &mut Span, result: &Result<Execution, E>) {
    match result {
        Ok(execution) => span.note("answer", || execution.tag()),
        Err(error) => span.note("error", || error),
    }
}
