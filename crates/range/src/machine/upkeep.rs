//! What a leader does by itself, now and then: close time (R3), look for dead holders (X7), raise
//! the GC threshold (S4), delete records (X7a).

use std::{mem, time::Duration};

use clock::{Mono, Now};
use keys::{Key, TxnId};
use storage::{Cf, EngineError, Scan, records};

use super::{Cx, Machine, acknowledge::Ended, leader::Phase, push};
use crate::{
    command::Command,
    record::{Record, Verdict},
    rules::Rule,
};

/// Between two looks at records, while there may be some to delete.
const FORGET_PAUSE: Duration = Duration::from_millis(20);
/// Bytes of records that end a page of them.
const PAGE_BYTES: usize = 1 << 20;
/// Between two looks at whether a leader that hands over is drained.
const DRAIN_PAUSE: Duration = Duration::from_millis(20);

/// A record and whose it is.
type Stored = ((Key, TxnId), Record);

/// When the jobs are due.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Upkeep {
    housekeeping: Mono,
    forget: Mono,
    drain: Mono,
}

impl Upkeep {
    /// A leadership begins: nothing is due at once.
    pub fn start(now: Mono, pause: Duration) -> Upkeep {
        Upkeep { housekeeping: now.plus(pause), forget: now.plus(pause), drain: now }
    }
}

impl Machine {
    pub(super) fn tick_upkeep(&mut self, cx: &mut Cx<'_>) -> Result<(), EngineError> {
        let now = cx.now.mono;
        if self.check_leader(cx).is_err() {
            return Ok(());
        }
        if self.leader().close_due <= now {
            self.close(cx);
        }
        if self.upkeep.housekeeping <= now {
            self.upkeep.housekeeping = now.plus(self.config.housekeeping);
            self.look_for_dead_holders(cx);
            self.raise_gc_threshold(cx);
        }
        if self.upkeep.forget <= now && self.leader().splitting.is_none() {
            self.forget_records(cx)?;
        }
        self.upkeep.drain = now.plus(DRAIN_PAUSE);
        self.drained(cx);
        Ok(())
    }

    /// When a job is due. A leader without a lease has none: it learns of a new one by a message.
    pub(super) fn next_upkeep(&self, now: Now) -> Option<Mono> {
        let acting = self.leader.as_ref().filter(|leader| leader.lease_valid(now.tt));
        acting.map(|leader| {
            let due = leader.close_due.min(self.upkeep.housekeeping);
            // Records are left alone during a split: to be woken for them would be in vain, and
            // again at once.
            let forget = leader.splitting.is_none().then_some(self.upkeep.forget);
            let drain = leader.draining.is_some().then_some(self.upkeep.drain);
            [forget, drain].into_iter().flatten().fold(due, Mono::min)
        })
    }

    /// R3: nothing at or below c will be proposed any more. c is below `TT.now().earliest`, below
    /// the lease end, below every command that waits for the log's window; what was proposed before
    /// lies in the log before the slot that goes with c.
    fn close(&mut self, cx: &mut Cx<'_>) {
        let (lag, active, idle) =
            (self.config.close_lag, self.config.close_active, self.config.close_idle);
        let raises = self.rules.keep(Rule::CloseRaises);
        let past = match self.rules.keep(Rule::ClosePast) {
            true => cx.now.tt.earliest_timestamp(),
            false => cx.now.tt.latest_timestamp(),
        };
        let leader = self.leader();
        let pause = if mem::take(&mut leader.wrote) { active } else { idle };
        leader.close_due = cx.now.mono.plus(pause);
        let mut at = past.minus(lag).min(leader.lease_end.prev());
        if let Some(least) = leader.least_queued() {
            at = at.min(least.prev());
        }
        if at <= leader.closed {
            return;
        }
        leader.closed = at;
        if raises {
            leader.raise_above(at);
            assert!(at < leader.min_next, "R3: closed {at}, {} comes next", leader.min_next);
        }
        cx.out.close = Some(at);
    }

    /// Whoever holds locks at two visits in a row may be dead: its record is asked.
    fn look_for_dead_holders(&mut self, cx: &mut Cx<'_>) {
        let horizon = cx.now.mono.0.saturating_sub(nanos(self.config.heartbeat_lapse) * 4);
        let leader = self.leader();
        leader.heard.retain(|_, heard| heard.at.0 >= horizon);
        let holders: Vec<TxnId> = leader.locks.holders().map(|meta| meta.id).collect();
        let before = mem::replace(&mut leader.seen, holders);
        let holders = leader.locks.holders();
        let suspects: Vec<_> =
            holders.filter(|meta| before.binary_search(&meta.id).is_ok()).cloned().collect();
        for meta in suspects {
            let key = match self.leader().txns.get(&meta.id).map(|known| &known.phase) {
                Some(Phase::Prepared { keys, .. }) => keys.first().cloned(),
                Some(_) | None => None,
            };
            let key = key.unwrap_or_else(|| self.state.descriptor.span.start.clone());
            self.push_for_upkeep(cx, push::query(meta, key));
        }
    }

    /// S4: below what the retention asks for, and below every intent: its version may yet have to
    /// be written. Only if something was written since the last time, so an idle range logs
    /// nothing.
    fn raise_gc_threshold(&mut self, cx: &mut Cx<'_>) {
        let (retention, step) = (self.config.retention, self.config.gc_step);
        let (before, newest) = (self.state.gc_threshold, self.applied.max_timestamp);
        let leader = self.leader();
        let mut threshold = cx.now.tt.earliest_timestamp().minus(retention);
        if let Some(intent) = leader.least_intent() {
            threshold = threshold.min(intent.prev());
        }
        let worth_it = before < newest && threshold > before.plus(step);
        if worth_it && leader.splitting.is_none() && leader.draining.is_none() {
            leader.enqueue(Command::Gc { threshold });
        }
    }

    /// X7a: deletes records whose transaction can neither be prepared nor decided any more. One-group
    /// commits and aborts leave nothing that asks for them (a missing record means abort to who holds an
    /// intent); those of commits over several ranges go once all participants acknowledged (X7b).
    fn forget_records(&mut self, cx: &mut Cx<'_>) -> Result<(), EngineError> {
        if let Some(lost_at) = self.acknowledging.waits_until() {
            if lost_at > cx.now.mono {
                self.upkeep.forget = lost_at;
                return Ok(());
            }
            self.acknowledging.clear();
        }
        let (page, all) = self.page_of_records(cx)?;
        let mut free = Vec::new();
        let mut ended = Vec::new();
        for ((anchor, txn), Record { start, verdict }) in page {
            if !self.expired(cx, start) {
                continue;
            }
            match verdict {
                Verdict::Committed { participants, .. }
                    if !participants.is_empty() && self.rules.keep(Rule::Acknowledged) =>
                {
                    ended.push(Ended { anchor, txn, start, touched: participants });
                }
                Verdict::Committed { .. } | Verdict::Aborted(_) => free.push((anchor, txn)),
            }
        }
        self.delete_records(free);
        self.acknowledging.begin(ended);
        self.acknowledge_on(cx);
        let pause = if all { self.config.transaction_life / 16 } else { FORGET_PAUSE };
        self.upkeep.forget = cx.now.mono.plus(pause.max(FORGET_PAUSE));
        Ok(())
    }

    /// The next records, and whether these are the last ones.
    fn page_of_records(&mut self, cx: &Cx<'_>) -> Result<(Vec<Stored>, bool), EngineError> {
        let limit = self.config.records_per_step;
        let (mut start, end) = records::bounds(&self.state.descriptor.span);
        if let Some(from) = self.leader().forget_from.take() {
            start = start.max(from);
        }
        let mut page = Vec::new();
        let mut last = Vec::new();
        let mut bytes = 0;
        let mut failed = None;
        cx.reader.scan(Scan::new(Cf::Records, &start, &end), &mut |key, stored| {
            match records::parse(key).and_then(|id| Ok((id, Record::parse(key, stored)?))) {
                Ok(found) => page.push(found),
                Err(error) => failed = Some(error),
            }
            last.clear();
            last.extend_from_slice(key);
            bytes += stored.len();
            failed.is_none() && page.len() < limit && bytes < PAGE_BYTES
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        let all = page.len() < limit && bytes < PAGE_BYTES;
        last.push(0);
        self.leader().forget_from = (!all).then_some(last);
        Ok((page, all))
    }

    /// One entry deletes them; a leader whose memory is about to be divided or handed over leaves them
    /// to the next round.
    pub(super) fn delete_records(&mut self, records: Vec<(Key, TxnId)>) {
        let leader = self.leader();
        if !records.is_empty() && leader.draining.is_none() && leader.splitting.is_none() {
            leader.enqueue(Command::Forget { records });
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
