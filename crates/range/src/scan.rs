//! The scan of a read, a slice at a time.
//!
//! Once a read may be done (R2, R3, T5), what it finds does not depend on when it looks, nor on who
//! leads: at its timestamp nothing new appears, and a view of the store keeps what GC drops. So a
//! short scan is done at once, and the rest of a long one beside the range's work, on a [`Job`] with a
//! view of its own:
//!
//! ```text
//!   may be done --> first slice, at once --> answer
//!                          |
//!                          +-- more --> Job: slice, slice, ... on another thread --> answer
//! ```

use std::{collections::VecDeque, fmt, mem, ops::ControlFlow};

use bytes::Bytes;
use clock::Timestamp;
use keys::{Key, NodeId, Span};
use kv::{
    KvError, PushStep, Pushdown, PushdownError, PushdownFactory, Read, ReadReply, ReadSpan, Reply,
    SpanRows,
};
use storage::{
    EngineError, Reader, Snapshot,
    mvcc::{self, Checksum, Direction, ScanLimits, ScanOptions},
};

use crate::{Config, machine::RequestToken};

/// How much is looked at before others have their turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Keys looked at.
    pub keys: usize,
    /// Bytes of keys and values looked at.
    pub bytes: usize,
    /// About the nanoseconds that a program computes.
    pub work: usize,
}

impl Slice {
    /// What a job does before another one has its turn.
    pub const OF_JOB: Slice = Slice { keys: 4_096, bytes: 1 << 20, work: 2_000_000 };
}

/// What a slice has come to.
pub(crate) enum Progress {
    /// The answer.
    Done(Box<Result<Reply, KvError>>),
    /// There is more to look at.
    More,
}

/// A read that may be done, and how far it is.
pub struct Scan {
    at: Timestamp,
    what: What,
    served_by: NodeId,
    waited_nanos: u64,
    blocked_nanos: u64,
}

enum What {
    Rows(Box<Rows>),
    /// Sums up a span, of which this is left.
    Checksum {
        span: Span,
        rest: Span,
        sum: Checksum,
    },
}

/// Spans and the rows found.
struct Rows {
    /// What is still to be read; of the first one a part may be read already.
    spans: VecDeque<ReadSpan>,
    found: Vec<SpanRows>,
    limits: Limits,
    program: Option<Box<dyn Pushdown>>,
    /// The program wants no further row.
    stopped: bool,
    failed: Option<PushdownError>,
    /// Rows of the span that is being read.
    out: Vec<(Key, Bytes)>,
}

/// What is left of the limits of one answer.
struct Limits {
    rows: usize,
    bytes: usize,
    keys: usize,
    work: usize,
}

/// How a read came to where it may be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waited {
    pub served_by: NodeId,
    pub waited_nanos: u64,
    pub blocked_nanos: u64,
}

impl Scan {
    /// Reads rows.
    ///
    /// # Errors
    /// If there is no such program.
    pub(crate) fn of_rows(
        read: &Read,
        config: &Config,
        factory: &dyn PushdownFactory,
        waited: Waited,
    ) -> Result<Scan, KvError> {
        let program = read.program.as_ref().map(|program| factory.open(program));
        let program = program.transpose().map_err(KvError::Program)?;
        let limit = usize::try_from(read.max_rows).unwrap_or(usize::MAX);
        let rows = if limit == 0 { config.reply_rows } else { limit };
        let limits = Limits {
            rows: rows.min(config.reply_rows),
            bytes: config.reply_bytes,
            keys: config.reply_keys,
            work: config.reply_work,
        };
        let rows = Rows {
            spans: read.spans.iter().cloned().collect(),
            found: Vec::with_capacity(read.spans.len()),
            limits,
            program,
            stopped: false,
            failed: None,
            out: Vec::new(),
        };
        Ok(Scan::new(read.at, What::Rows(Box::new(rows)), waited))
    }

    /// Sums up all rows of a span.
    pub(crate) fn of_checksum(span: Span, at: Timestamp, waited: Waited) -> Scan {
        let what = What::Checksum { rest: span.clone(), span, sum: Checksum::default() };
        Scan::new(at, what, waited)
    }

    fn new(at: Timestamp, what: What, waited: Waited) -> Scan {
        let Waited { served_by, waited_nanos, blocked_nanos } = waited;
        Scan { at, what, served_by, waited_nanos, blocked_nanos }
    }

    /// Looks at a slice of what is left.
    ///
    /// # Errors
    /// If the disk fails.
    pub(crate) fn go_on(
        &mut self,
        reader: &dyn Reader,
        slice: Slice,
    ) -> Result<Progress, EngineError> {
        match &mut self.what {
            What::Checksum { span, rest, sum } => {
                let limits = ScanLimits {
                    rows: usize::MAX,
                    bytes: slice.bytes.max(1),
                    keys: slice.keys.max(1),
                };
                let options = ScanOptions { at: self.at, direction: Direction::Forward, limits };
                match sum.go_on(reader, rest, &options)? {
                    Some(left) => *rest = left,
                    None => {
                        let (span, crc, rows) = (span.clone(), u64::from(sum.crc), sum.rows);
                        let reply = Reply::Checksum { sum: crc, rows, span };
                        return Ok(Progress::Done(Box::new(Ok(reply))));
                    }
                }
                Ok(Progress::More)
            }
            What::Rows(rows) => {
                if !rows.go_on(reader, self.at, slice)? && rows.failed.is_none() {
                    return Ok(Progress::More);
                }
                let spans = match rows.finish() {
                    Ok(spans) => spans,
                    Err(error) => {
                        return Ok(Progress::Done(Box::new(Err(KvError::Program(error)))));
                    }
                };
                let Scan { served_by, waited_nanos, blocked_nanos, .. } = *self;
                let reply = ReadReply { spans, served_by, waited_nanos, blocked_nanos };
                Ok(Progress::Done(Box::new(Ok(Reply::Read(reply)))))
            }
        }
    }
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Rows(rows) => write!(f, "read at {}, {} spans left", self.at, rows.spans.len()),
            What::Checksum { rest, .. } => write!(f, "checksum at {}, {rest} left", self.at),
        }
    }
}

impl Rows {
    fn worked(&self) -> usize {
        self.program.as_ref().map_or(0, |program| program.work())
    }

    /// Whether a limit of the answer is reached.
    fn full(&self) -> bool {
        let Limits { rows, bytes, keys, work } = self.limits;
        rows == 0 || bytes == 0 || keys == 0 || self.worked() >= work
    }

    /// Looks at a slice. True: all is read, as far as the limits of an answer reach.
    fn go_on(
        &mut self,
        reader: &dyn Reader,
        at: Timestamp,
        slice: Slice,
    ) -> Result<bool, EngineError> {
        // Something is done in any slice.
        let enough = self.worked().saturating_add(slice.work.max(1));
        let (mut keys, mut bytes) = (slice.keys.max(1), slice.bytes.max(1));
        while let Some(read) = self.spans.front() {
            if self.failed.is_some() {
                break;
            }
            if self.stopped || read.span.is_empty() {
                self.end_span(None);
                continue;
            }
            if self.full() {
                let rest = read.span.clone();
                self.end_span(Some(rest));
                continue;
            }
            if keys == 0 || bytes == 0 || self.worked() >= enough {
                return Ok(false);
            }
            if read.span.is_point() {
                let key = read.span.start.clone();
                (keys, self.limits.keys) = (keys - 1, self.limits.keys - 1);
                let found = mvcc::get(reader, &key, at)?;
                if let Some(value) = found.and_then(|version| version.value) {
                    bytes = bytes.saturating_sub(value.len());
                    let _ = self.row(&key, &value, usize::MAX);
                }
                self.end_span(None);
                continue;
            }
            let direction = if read.reverse { Direction::Reverse } else { Direction::Forward };
            let most = keys.min(self.limits.keys);
            let options = ScanOptions {
                at,
                direction,
                limits: ScanLimits { rows: usize::MAX, bytes, keys: most },
            };
            let span = read.span.clone();
            let mut seen_bytes = 0;
            let (rest, looked) = mvcc::scan_counting(reader, &span, &options, &mut |row| {
                seen_bytes += row.key.len() + row.value.len();
                self.row(row.key, row.value, enough)
            })?;
            keys = keys.saturating_sub(looked);
            bytes = bytes.saturating_sub(seen_bytes);
            self.limits.keys = self.limits.keys.saturating_sub(looked);
            match rest.filter(|_| !self.stopped) {
                None => self.end_span(None),
                Some(rest) => {
                    let read = self.spans.front_mut().expect("it is being read");
                    read.span = rest;
                }
            }
        }
        Ok(true)
    }

    /// The first span is read, but for this.
    fn end_span(&mut self, resume: Option<Span>) {
        self.spans.pop_front();
        self.found.push(SpanRows { rows: mem::take(&mut self.out), resume });
    }

    /// One row. Breaks at a limit, and when the program has computed so much.
    fn row(&mut self, key: &[u8], value: &[u8], enough: usize) -> ControlFlow<()> {
        let step = match &mut self.program {
            None => Ok(PushStep::Emit(Bytes::copy_from_slice(value))),
            Some(program) => program.row(key, value),
        };
        match step {
            Ok(PushStep::Emit(bytes)) => self.emit(key, bytes),
            Ok(PushStep::EmitAndStop(bytes)) => {
                self.emit(key, bytes);
                self.stopped = true;
            }
            Ok(PushStep::Skip) => {}
            Ok(PushStep::Stop) => self.stopped = true,
            Err(error) => {
                self.failed = Some(error);
                self.stopped = true;
            }
        }
        let over = self.stopped || self.full() || self.worked() >= enough;
        if over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn emit(&mut self, key: &[u8], bytes: Bytes) {
        self.limits.rows -= 1;
        self.limits.bytes = self.limits.bytes.saturating_sub(key.len() + bytes.len());
        self.out.push((Key::from(key), bytes));
    }

    /// All rows, and what the program has left to tell.
    fn finish(&mut self) -> Result<Vec<SpanRows>, PushdownError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let mut spans = mem::take(&mut self.found);
        if let (Some(program), Some(last)) = (&mut self.program, spans.last_mut()) {
            last.rows.extend(program.finish()?.into_iter().map(|bytes| (Key::MIN, bytes)));
        }
        Ok(spans)
    }
}

/// A long scan, to be done beside the range's work, and the request that it answers.
#[derive(Debug)]
pub struct Job {
    /// What is answered.
    pub token: RequestToken,
    scan: Scan,
    view: View,
}

struct View(Box<dyn Snapshot>);

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a view")
    }
}

impl Job {
    /// The rest of a scan, with a view from the end of the step that began it or later.
    pub(crate) fn new(token: RequestToken, scan: Scan, view: Box<dyn Snapshot>) -> Job {
        Job { token, scan, view: View(view) }
    }

    /// Looks at a slice; the answer, if that was the last. An error means that the disk failed (S3).
    pub fn go_on(&mut self, slice: Slice) -> Option<Result<Result<Reply, KvError>, EngineError>> {
        match self.scan.go_on(&*self.view.0, slice) {
            Ok(Progress::Done(answer)) => Some(Ok(*answer)),
            Ok(Progress::More) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests;
