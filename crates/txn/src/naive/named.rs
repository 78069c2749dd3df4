//! The keys that a request names.

use keys::{Key, Span};
use kv::{KvError, RangeRequest, Request, Validate, Write};

use crate::Config;

/// No key that a transaction names is longer than ranges take by default.
pub(super) fn check_keys(asked: &RangeRequest) -> Result<(), KvError> {
    let (reads, writes): (&[Validate], &[Write]) = match &asked.request {
        Request::Prepare(prepare) => (&prepare.reads, &prepare.writes),
        Request::Commit(commit) => (&commit.reads, &commit.writes),
        Request::Read(_)
        | Request::Lock(_)
        | Request::Resolve(_)
        | Request::Push(_)
        | Request::Heartbeat(_)
        | Request::Acknowledge(_)
        | Request::Release { .. }
        | Request::Split { .. }
        | Request::TransferLeader { .. }
        | Request::Status
        | Request::Locks
        | Request::Checksum { .. } => return Ok(()),
    };
    let ends = reads.iter().flat_map(|read| [&read.span.start, &read.span.end]);
    let longest = ends.chain(writes.iter().map(|write| &write.key)).map(|key| key.len()).max();
    let (bytes, limit) = (longest.unwrap_or(0) as u64, Config::default().max_key_bytes as u64);
    if bytes <= limit {
        Ok(())
    } else {
        Err(KvError::TooLarge { range: asked.range, bytes, limit })
    }
}

/// The spans a request is about.
pub(super) fn touched(request: &Request) -> Vec<Span> {
    let point = |key: &Key| Span::point(key.clone());
    let of = |reads: &[Validate], writes: &[Write]| {
        let reads = reads.iter().map(|read| read.span.clone());
        reads.chain(writes.iter().map(|write| point(&write.key))).collect()
    };
    match request {
        Request::Read(read) => read.spans.iter().map(|read| read.span.clone()).collect(),
        Request::Lock(lock) => lock.keys.iter().map(point).collect(),
        Request::Prepare(prepare) => of(&prepare.reads, &prepare.writes),
        Request::Commit(commit) => {
            let mut spans: Vec<Span> = of(&commit.reads, &commit.writes);
            spans.push(point(&commit.txn.anchor));
            spans
        }
        Request::Resolve(resolve) => resolve.keys.iter().map(point).collect(),
        Request::Push(push) => vec![point(&push.txn.anchor)],
        Request::Heartbeat(beat) => vec![point(&beat.txn.anchor)],
        Request::Acknowledge(_)
        | Request::Split { .. }
        | Request::Release { .. }
        | Request::TransferLeader { .. }
        | Request::Status
        | Request::Locks
        | Request::Checksum { .. } => Vec::new(),
    }
}
