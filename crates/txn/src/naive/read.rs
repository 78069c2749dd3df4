//! Reads of the naive cluster.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use clock::{Clock as _, Timestamp};
use keys::{Key, NodeId, RangeId, Span};
use kv::{
    Conflict, ConflictKind, KvError, PushStep, Pushdown, PushdownFactory, Read, ReadReply,
    ReadSpan, Reply, SpanRows,
};

use super::{
    NaiveClock,
    state::{Hindrance, State, Versions},
};

/// How far beyond the clock a snapshot may lie (R2).
const FUTURE_TOLERANCE: Duration = Duration::from_millis(500);

impl State {
    /// A snapshot read (R2).
    pub fn read(
        &mut self,
        clock: &NaiveClock,
        factory: Option<&dyn PushdownFactory>,
        node: NodeId,
        range: RangeId,
        read: &Read,
    ) -> Result<Reply, Hindrance> {
        let latest = clock.now().latest_timestamp().plus(FUTURE_TOLERANCE);
        if read.at > latest {
            return Err(KvError::InFuture { at: read.at, latest }.into());
        }
        if read.at < self.gc_threshold {
            let (at, threshold, span) = (read.at, self.gc_threshold, self.span_of(range));
            return Err(KvError::TooOld { at, threshold, span }.into());
        }
        for ReadSpan { span, .. } in &read.spans {
            self.clear_for_read(read, span)?;
        }
        self.raise_last(read.at);
        if let Some(since) = read.unchanged_since {
            return self.unchanged(node, read, since);
        }
        clock.pass(read.at);
        let mut program = match (&read.program, factory) {
            (None, _) => None,
            (Some(program), Some(factory)) => {
                Some(factory.open(program).map_err(KvError::Program)?)
            }
            (Some(_), None) => return Err(KvError::Invalid("no programs here".to_owned()).into()),
        };
        let asked = if read.max_rows == 0 { self.page_rows } else { read.max_rows };
        let mut page = Page { left: asked.min(self.page_rows), stopped: false };
        let mut spans: Vec<SpanRows> = Vec::new();
        for span in &read.spans {
            spans.push(page.read(&self.versions, read.at, span, program.as_deref_mut())?);
        }
        if let Some(program) = &mut program {
            let partial = program.finish().map_err(KvError::Program)?;
            let last = spans.last_mut().ok_or_else(|| KvError::Invalid("no span".to_owned()))?;
            last.rows.extend(partial.into_iter().map(|value| (Key::MIN, value)));
        }
        Ok(Reply::Read(ReadReply { spans, served_by: node, waited_nanos: 0, blocked_nanos: 0 }))
    }

    /// Whether nothing was written above a timestamp (X1a).
    fn unchanged(&self, node: NodeId, read: &Read, since: Timestamp) -> Result<Reply, Hindrance> {
        for ReadSpan { span, .. } in &read.spans {
            let mut versions = self.versions.range::<Key, _>(&span.start..&span.end);
            let newer = |(key, versions): (&Key, &Versions)| {
                let (at, _) = versions.last_key_value()?;
                (*at > since).then(|| (key.clone(), *at))
            };
            if let Some((key, at)) = versions.find_map(newer) {
                let (kind, span) = (ConflictKind::ReadChanged, Span::point(key));
                return Err(
                    KvError::Conflict(Conflict { kind, span, winner: None, at: Some(at) }).into()
                );
            }
        }
        let spans = vec![SpanRows::default(); read.spans.len()];
        Ok(Reply::Read(ReadReply { spans, served_by: node, waited_nanos: 0, blocked_nanos: 0 }))
    }

    /// Waits for intents at or below the snapshot; a holder of locks wounds younger ones (X5a).
    fn clear_for_read(&mut self, read: &Read, span: &Span) -> Result<(), Hindrance> {
        let keys: Vec<Key> = {
            let intents = self.intents.range::<Key, _>(&span.start..&span.end);
            intents.map(|(key, _)| key.clone()).collect()
        };
        for key in keys {
            self.settle(&key);
            let Some(intent) = self.intents.get(&key) else { continue };
            if intent.prepare > read.at {
                continue;
            }
            let holder = intent.txn.clone();
            match &read.holder {
                Some(reader) if reader.id == holder.id => {}
                Some(reader) => self.clear_one(reader, key, &holder)?,
                None => return Err(Hindrance::Held(key, holder.id)),
            }
        }
        Ok(())
    }

    /// The checksum of a range's rows.
    pub fn checksum(&self, range: RangeId, at: Timestamp) -> Reply {
        let span = self.span_of(range);
        let (mut sum, mut rows) = (0xcbf2_9ce4_8422_2325_u64, 0);
        for (key, versions) in self.versions.range::<Key, _>(&span.start..&span.end) {
            if let Some(value) = visible(versions, at) {
                rows += 1;
                for byte in key.iter().chain(value.iter()) {
                    sum = (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
                }
            }
        }
        Reply::Checksum { sum, rows, span }
    }
}

/// The newest value at or below a timestamp.
fn visible(versions: &Versions, at: Timestamp) -> Option<&Bytes> {
    versions.range(..=at).next_back()?.1.as_ref()
}

/// Rows that still fit into an answer.
struct Page {
    left: u64,
    /// The program wants no more.
    stopped: bool,
}

impl Page {
    fn read(
        &mut self,
        versions: &BTreeMap<Key, Versions>,
        at: Timestamp,
        asked: &ReadSpan,
        mut program: Option<&mut (dyn Pushdown + '_)>,
    ) -> Result<SpanRows, KvError> {
        let mut found = SpanRows::default();
        if self.stopped || asked.span.is_empty() {
            return Ok(found);
        }
        let keys = versions.range::<Key, _>(&asked.span.start..&asked.span.end);
        let rows = keys.filter_map(|(key, versions)| Some((key, visible(versions, at)?)));
        let rows: Box<dyn Iterator<Item = (&Key, &Bytes)>> = if asked.reverse {
            Box::new(rows.collect::<Vec<_>>().into_iter().rev())
        } else {
            Box::new(rows)
        };
        for (key, value) in rows {
            if self.left == 0 {
                found.resume = Some(rest(asked, key));
                return Ok(found);
            }
            let step = match &mut program {
                None => PushStep::Emit(value.clone()),
                Some(program) => program.row(key, value).map_err(KvError::Program)?,
            };
            let (emitted, stop) = match step {
                PushStep::Emit(value) => (Some(value), false),
                PushStep::Skip => (None, false),
                PushStep::EmitAndStop(value) => (Some(value), true),
                PushStep::Stop => (None, true),
            };
            if let Some(value) = emitted {
                self.left -= 1;
                found.rows.push((key.clone(), value));
            }
            if stop {
                self.stopped = true;
                return Ok(found);
            }
        }
        Ok(found)
    }
}

/// What is left of a span from `key` on.
fn rest(asked: &ReadSpan, key: &Key) -> Span {
    if asked.reverse {
        Span { start: asked.span.start.clone(), end: key.next() }
    } else {
        Span { start: key.clone(), end: asked.span.end.clone() }
    }
}
