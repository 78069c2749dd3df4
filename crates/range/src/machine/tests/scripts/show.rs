//! How scripts print things.

use std::time::Duration;

use bytes::Bytes;
use clock::Timestamp;
use keys::{Key, Span, TxnId};
use kv::{Conflict, KvError, LockInfo, Outcome, PushKind, Reply, Resolution, Write};

use super::MS;
use crate::command::Command as Logged;

pub fn ts(at: Timestamp) -> String {
    if at == Timestamp::MAX {
        return "never".to_owned();
    }
    let mut text = (at.wall / MS).to_string();
    if !at.wall.is_multiple_of(MS) {
        text += &format!("_{}", at.wall % MS);
    }
    match at.logical {
        0 => text,
        u32::MAX => text + ".max",
        logical => text + &format!(".{logical}"),
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn show_key(key: &[u8]) -> String {
    text(key)
}

pub fn show_span(span: &Span) -> String {
    let text = |key: &[u8]| text(key).replace('\0', "+");
    let (start, end) = (text(&span.start), text(&span.end));
    if span.is_point() { start } else { format!("{start}-{end}") }
}

pub fn kind(kind: &PushKind) -> String {
    match kind {
        PushKind::Query => "query".to_owned(),
        PushKind::Wound { pusher } => format!("wound for {}", name(pusher.id)),
        PushKind::Owner => "owner".to_owned(),
        PushKind::Waiters { waiters } => format!("waited for by {}", names(waiters)),
    }
}

pub fn names(txns: &[keys::TxnId]) -> String {
    let names: Vec<String> = txns.iter().map(|txn| name(*txn)).collect();
    format!("[{}]", names.join(" "))
}

pub fn resolution(outcome: Resolution) -> String {
    match outcome {
        Resolution::Commit(at) => format!("commit at {}", ts(at)),
        Resolution::Abort => "abort".to_owned(),
    }
}

pub fn conflict(conflict: &Conflict) -> String {
    let mut out = format!("{:?} on {}", conflict.kind, show_span(&conflict.span));
    if let Some(winner) = conflict.winner {
        out += &format!(" by {}", name(winner));
    }
    if let Some(at) = conflict.at {
        out += &format!(" at {}", ts(at));
    }
    out
}

pub fn logged(command: &Logged) -> String {
    let keys = |keys: &[Key]| keys.iter().map(|key| text(key)).collect::<Vec<_>>().join(",");
    let writes =
        |writes: &[Write]| writes.iter().map(|w| text(&w.key)).collect::<Vec<_>>().join(",");
    match command {
        Logged::Prepare { txn, prepare, writes: w } => {
            format!("prepare {} at {}: {}", name(txn.id), ts(*prepare), writes(w))
        }
        Logged::Commit { txn, at, writes: w, .. } => {
            format!("commit {} at {}: {}", name(txn.id), ts(*at), writes(w))
        }
        Logged::Poison { txn, why } => format!("poison {}: {}", name(txn.id), conflict(why)),
        Logged::Resolve { txn, outcome, keys: k } => {
            format!("resolve {} {}: {}", name(*txn), resolution(*outcome), keys(k))
        }
        Logged::Split { at, child } => format!("split at {} into {child}", text(at)),
        Logged::Gc { threshold } => format!("gc below {}", ts(*threshold)),
        Logged::Forget { records } => {
            let ids: Vec<_> = records.iter().map(|(_, txn)| name(*txn)).collect();
            format!("forget {}", ids.join(","))
        }
    }
}

pub fn reply(result: &Result<Reply, KvError>) -> String {
    match result {
        Ok(reply) => good(reply),
        Err(error) => bad(error),
    }
}

pub fn good(reply: &Reply) -> String {
    match reply {
        Reply::Read(read) => {
            let spans = read.spans.iter().map(|span| {
                let rows = span.rows.iter().map(|(k, v)| format!("{}={}", text(k), text(v)));
                let mut out = rows.collect::<Vec<_>>().join(" ");
                if let Some(resume) = &span.resume {
                    out += &format!(" ... {}", show_span(resume));
                }
                if out.is_empty() { "nothing".to_owned() } else { out }
            });
            let waited = Duration::from_nanos(read.waited_nanos);
            let rows = spans.collect::<Vec<_>>().join(" | ");
            if waited.is_zero() { rows } else { format!("{rows} (waited {waited:?})") }
        }
        Reply::Locked(locked) => {
            let moved = locked.moved.iter().map(|(k, at)| format!("{}@{}", text(k), ts(*at)));
            let value = |(key, value): &(Key, Option<Bytes>)| match value {
                Some(value) => format!(" {}={}", text(key), text(value)),
                None => format!(" {}: no row", text(key)),
            };
            let values: String = locked.values.iter().map(value).collect();
            format!("locked, moved: [{}]{values}", moved.collect::<Vec<_>>().join(" "))
        }
        Reply::Waiters(waiters) => format!("waited for by {}", names(waiters)),
        Reply::Acknowledged { here, holding } => {
            format!("{} holds {}", show_span(here), names(holding))
        }
        Reply::Prepared(p) => {
            format!("prepared at {}, valid through {}", ts(p.prepare), ts(p.valid_through))
        }
        Reply::Committed(committed) => {
            let ms = |nanos: u64| format!("{:?}", Duration::from_nanos(nanos));
            let stats = &committed.stats;
            format!(
                "committed at {} (locks {}, paxos {}, wait {} of which hidden {}, ε {})",
                ts(committed.at),
                ms(stats.lock_wait_nanos),
                ms(stats.paxos_nanos),
                ms(stats.commit_wait_nanos),
                ms(stats.commit_wait_hidden_nanos),
                ms(stats.epsilon_nanos)
            )
        }
        Reply::Outcome(Outcome::Committed(at)) => format!("outcome: committed at {}", ts(*at)),
        Reply::Outcome(outcome) => format!("outcome: {outcome:?}").to_lowercase(),
        Reply::Done => "done".to_owned(),
        Reply::Split { left, right } => format!("{left} and {right}"),
        Reply::Status(status) => format!(
            "{} led by {:?}, applied {}, safe {}",
            status.descriptor,
            status.leader,
            status.applied,
            ts(status.safe_time)
        ),
        Reply::Locks(locks) => locks.iter().map(lock).collect::<Vec<_>>().join(" "),
        Reply::Checksum { rows, .. } => format!("checksum of {rows} rows"),
    }
}

fn lock(lock: &LockInfo) -> String {
    let how = if lock.exclusive { "x" } else { "s" };
    let prepared = if lock.prepared { "!" } else { "" };
    let waits = lock.waits_for.iter().map(|txn| name(*txn)).collect::<Vec<_>>().join(",");
    let waits = if waits.is_empty() { String::new() } else { format!(" waits for {waits}") };
    format!("{}:{how}{prepared}:{}{waits}", name(lock.txn.id), show_span(&lock.span))
}

pub fn bad(error: &KvError) -> String {
    match error {
        KvError::NotLeader { leader, .. } => format!("not leader; {leader:?}"),
        KvError::WrongRange { known, .. } => {
            let known = known.iter().map(|desc| format!("{} {}", desc.id, show_span(&desc.span)));
            format!("wrong range; known: {}", known.collect::<Vec<_>>().join(", "))
        }
        KvError::Conflict(why) => format!("conflict: {}", conflict(why)),
        KvError::Aborted(why) => format!("aborted: {}", conflict(why)),
        KvError::LockBusy { key, holder } => format!("busy: {} by {}", text(key), name(*holder)),
        KvError::Unavailable { missing, .. } => format!("unavailable: {missing}"),
        KvError::Blocked { key, holder } => {
            format!("blocked on {} by {}", text(key), name(*holder))
        }
        KvError::TooOld { at, threshold, .. } => format!("{} is below {}", ts(*at), ts(*threshold)),
        KvError::InFuture { at, latest } => format!("{} is beyond {}", ts(*at), ts(*latest)),
        KvError::BoundPassed { below } => format!("nothing fits below {}", ts(*below)),
        KvError::Overloaded(cause) => format!("overloaded: {cause}"),
        KvError::TooLarge { limit, .. } => format!("larger than {limit} bytes"),
        KvError::Program(error) => format!("program: {error}"),
        KvError::AnswerLost { cause, .. } => format!("unknown: {cause}"),
        KvError::Invalid(cause) => format!("invalid: {cause}"),
        KvError::AfterWait { blocked_nanos, error } => {
            format!("{} (waited {:?})", bad(error), Duration::from_nanos(*blocked_nanos))
        }
    }
}

pub fn name(txn: TxnId) -> String {
    format!("t{}", txn.0)
}
