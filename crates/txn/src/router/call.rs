//! What a timeline tells of a request: whom it went to, and what the answer says of rows and waits.

use keys::{NodeId, RangeId};
use kv::{CommitStats, KvError, Reply, Request};
use trace::{Kind, Span};

/// Begins the span of a request; none if nobody traces what it is for.
pub fn begin(node: NodeId, range: RangeId, request: &Request) -> Span {
    let mut call = trace::span(Kind::Call, || format!("{} {range} at {node}", request.word()));
    call.note("request", || request.word());
    call.note("range", || range.0);
    call.note("node", || node.0);
    if let Request::Prepare(prepare) = request {
        call.note("validates", || prepare.reads.len());
        call.note("writes", || prepare.writes.len());
    }
    if let Request::Commit(commit) = request {
        call.note("validates", || commit.reads.len());
        call.note("writes", || commit.writes.len());
    }
    call
}

/// Notes what was answered.
pub fn note(call: &mut Span, result: &Result<Reply, KvError>) {
    if call.is_none() {
        return;
    }
    match result {
        Err(error) => {
            note_locks(call, error.blocked_nanos());
            call.note("error", || error.reason());
        }
        Ok(Reply::Read(reply)) => {
            let rows = || reply.spans.iter().flat_map(|span| &span.rows);
            call.note("rows", || rows().count());
            call.note("bytes", || rows().map(|(k, v)| k.len() + v.len()).sum::<usize>());
            if reply.waited_nanos > 0 {
                call.note("waited_nanos", || reply.waited_nanos);
                call.note("blocked_nanos", || reply.blocked_nanos);
            }
        }
        Ok(Reply::Locked(reply)) => note_locks(call, reply.lock_wait_nanos),
        Ok(Reply::Prepared(prepared)) => {
            note_locks(call, prepared.stats.lock_wait_nanos);
            if prepared.prepare > clock::Timestamp::ZERO {
                call.note("prepared at", || prepared.prepare);
            }
        }
        Ok(Reply::Committed(committed)) => {
            let CommitStats { lock_wait_nanos, .. } = committed.stats;
            note_locks(call, lock_wait_nanos);
            call.note("s", || committed.at);
        }
        Ok(
            Reply::Outcome(_)
            | Reply::Waiters(_)
            | Reply::Acknowledged { .. }
            | Reply::Done
            | Reply::Split { .. }
            | Reply::Status(_)
            | Reply::Locks(_)
            | Reply::Checksum { .. },
        ) => {}
    }
}

fn note_locks(call: &mut Span, nanos: u64) {
    if nanos > 0 {
        call.note("waited_nanos", || nanos);
        call.note("blocked_nanos", || nanos);
    }
}
