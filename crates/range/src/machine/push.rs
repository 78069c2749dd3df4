//! Asking the records of transactions that are in the way (X5, X5a, X7).
//!
//! Whoever waits for a transaction waits for its record to speak, in the end. It is asked after somebody
//! waited a while, because most transactions end by themselves, and then at growing intervals; and
//! asked to abort the transaction for an older one (X5) only after a longer while, or once the two are
//! known to wait for each other (`deadlock`): waiting in a queue is no deadlock, and who takes it for one
//! aborts whoever waits in two queues. A holder that is found twice by the housekeeping is asked about
//! even though nobody waits: its gateway may be dead.

use std::{collections::BTreeMap, time::Duration};

use clock::Mono;
use keys::{Span, TxnId};
use kv::{
    Conflict, ConflictKind, KvError, Outcome, Push, PushKind, Reply, Request, Resolution, Resolve,
};
use storage::EngineError;

use super::{AskToken, Cx, Machine, leader::Phase, op::Caller};
use crate::{
    locks::{WantPush, WoundResult},
    rules::Rule,
};

/// Transactions that are asked about.
#[derive(Debug, Default)]
pub(super) struct Pushes {
    by_txn: BTreeMap<TxnId, Asking>,
    /// Questions in flight.
    asks: BTreeMap<AskToken, WantPush>,
    /// When to look again for whom to ask about; `None`: nobody waits.
    scan_due: Option<Mono>,
}

#[derive(Debug)]
struct Asking {
    want: WantPush,
    /// Since when somebody waits.
    since: Mono,
    due: Mono,
    wait: Duration,
    /// The question in flight, and when it is taken as lost.
    ask: Option<(AskToken, Mono)>,
    /// Asked about by the housekeeping, whether anybody waits or not.
    upkeep: bool,
    /// It waits itself for one that waits for it.
    tied: bool,
}

impl Asking {
    /// Whether it is to be left alone, because it may be waiting in a queue only.
    fn may_yet_end(&self, now: Mono, wound_after: Duration) -> bool {
        !self.tied && now.since(self.since) < wound_after
    }
}

impl Pushes {
    pub fn clear(&mut self) {
        *self = Pushes::default();
    }

    /// Whether a transaction is in somebody's way.
    pub fn asks_about(&self, txn: TxnId) -> bool {
        self.by_txn.contains_key(&txn)
    }

    pub fn next_due(&self) -> Option<Mono> {
        self.scan_due
    }

    pub(super) fn scan_at(&mut self, at: Mono) {
        self.scan_due = Some(self.scan_due.map_or(at, |due| due.min(at)));
    }

    /// Somebody wants to know about a transaction.
    fn want(&mut self, now: Mono, want: WantPush, due: Mono, wait: Duration, upkeep: bool) {
        let asking = self.by_txn.entry(want.holder.id).or_insert_with(|| {
            let want = want.clone();
            Asking { want, since: now, due, wait, ask: None, upkeep, tied: false }
        });
        asking.upkeep |= upkeep;
        let older = match (&want.wound_for, &asking.want.wound_for) {
            (Some(new), Some(old)) => new.older_than(old),
            (Some(_), None) => true,
            (None, _) => false,
        };
        if older {
            asking.want = want;
            asking.due = asking.due.min(due);
        }
    }
}

impl Machine {
    /// Somebody waits: look after a while who is in the way.
    pub(super) fn watch(&mut self, cx: &Cx<'_>) {
        self.pushes.scan_at(cx.now.mono.plus(self.config.push_first));
    }

    /// X5: a younger holder is in the way of an older waiter. It lets go by the word of its record only,
    /// which is asked to abort it if that takes long.
    pub(super) fn push_now(&mut self, cx: &mut Cx<'_>, want: WantPush) {
        if !self.rules.keep(Rule::PromiseKept) && self.only_validated(want.holder.id) {
            self.release_unpromised(want.holder.id);
        } else if !self.in_log(want.holder.id) {
            let (now, wait) = (cx.now.mono, self.config.push_first);
            let due = now.plus(wait);
            self.pushes.want(now, want, due, wait, false);
            self.pushes.scan_at(due);
        }
    }

    /// The housekeeping found a holder that is there for long.
    pub(super) fn push_for_upkeep(&mut self, cx: &Cx<'_>, want: WantPush) {
        let (now, wait) = (cx.now.mono, self.config.push_max);
        self.pushes.want(now, want, now, wait, true);
        self.pushes.scan_at(now);
    }

    /// A reader of this follower waits for an intent.
    pub(super) fn push_for_reader(&mut self, cx: &Cx<'_>, want: WantPush) {
        let due = cx.now.mono.plus(self.config.push_first);
        self.pushes.want(cx.now.mono, want, due, self.config.push_first, false);
        self.pushes.scan_at(due);
    }

    /// Whether something about the transaction is in this range's log, so that waiting is enough.
    fn in_log(&self, txn: TxnId) -> bool {
        let known = self.leader.as_ref().and_then(|leader| leader.txns.get(&txn));
        match known.map(|known| &known.phase) {
            Some(
                Phase::Deciding
                | Phase::Poisoning
                | Phase::Resolving { .. }
                | Phase::Preparing { .. },
            ) => true,
            Some(Phase::Prepared { .. }) | None => false,
        }
    }

    /// Whether all that a holder promised is in this leader's memory: it laid no intents.
    fn only_validated(&self, txn: TxnId) -> bool {
        let known = self.leader.as_ref().and_then(|leader| leader.txns.get(&txn));
        let phase = known.map(|known| &known.phase);
        matches!(phase, Some(Phase::Prepared { keys, .. }) if keys.is_empty())
    }

    pub(super) fn tick_pushes(&mut self, cx: &mut Cx<'_>) -> Result<(), EngineError> {
        if self.pushes.scan_due.is_none_or(|due| due > cx.now.mono) {
            return Ok(());
        }
        self.pushes.scan_due = None;
        if self.leader.is_some() {
            self.refresh_wants(cx);
        } else {
            for id in self.ops.intent_reads.clone() {
                self.read_again(cx, id)?;
            }
            if self.ops.intent_reads.is_empty() {
                self.pushes.by_txn.clear();
            }
        }
        self.ask_who_waits(cx)?;
        self.send_due(cx)?;
        let waiting = self.leader.as_ref().is_some_and(|leader| leader.locks.waiting_len() > 0);
        if waiting || !self.pushes.by_txn.is_empty() {
            self.pushes.scan_at(cx.now.mono.plus(self.config.push_first));
        }
        self.run(cx)
    }

    /// Who is in the way now, and who is not any more.
    fn refresh_wants(&mut self, cx: &Cx<'_>) {
        let leader = self.leader.as_ref().expect("asked by the leader");
        let wants = leader.locks.pushes();
        let wanted: Vec<TxnId> = wants.iter().map(|want| want.holder.id).collect();
        let locks = &leader.locks;
        self.pushes.by_txn.retain(|txn, asking| {
            let wanted = wanted.binary_search(txn).is_ok();
            wanted || (asking.upkeep && locks.holds(*txn))
        });
        let now = cx.now.mono;
        self.rings.see(now, self.config.push_first, &wants);
        for want in wants {
            if self.in_log(want.holder.id) {
                continue;
            }
            let (holder, waiters) = (want.holder.clone(), want.waiters.clone());
            self.pushes.want(now, want, now, self.config.push_first, false);
            // X5 in a deadlock: waiting any longer changes nothing.
            let mut older = waiters.into_iter().filter(|waiter| waiter.older_than(&holder));
            if let Some(waiter) = older.find(|waiter| self.rings.tied(holder.id, waiter.id))
                && let Some(asking) = self.pushes.by_txn.get_mut(&holder.id)
                && !asking.tied
            {
                (asking.tied, asking.due) = (true, now);
                asking.want.wound_for = Some(waiter);
            }
        }
    }

    /// Sends what is due, no more than [`crate::Config::pushes`] at once.
    fn send_due(&mut self, cx: &mut Cx<'_>) -> Result<(), EngineError> {
        let now = cx.now.mono;
        let mut due = Vec::new();
        for (txn, asking) in &mut self.pushes.by_txn {
            if let Some((ask, lost_at)) = asking.ask
                && lost_at <= now
            {
                self.pushes.asks.remove(&ask);
                asking.ask = None;
            }
            if asking.ask.is_none() && asking.due <= now {
                due.push(*txn);
            }
        }
        for txn in due {
            if self.pushes.asks.len() >= self.config.pushes {
                break;
            }
            if !self.in_log(txn) && !self.wound_here(cx, txn) {
                self.send_push(cx, txn)?;
            }
        }
        Ok(())
    }

    /// X5, X5b: a younger holder that promised nothing and waits in this range itself loses its locks
    /// without a question: whether it waits is known here.
    fn wound_here(&mut self, cx: &Cx<'_>, txn: TxnId) -> bool {
        let Some(leader) = &mut self.leader else { return false };
        let Some(asking) = self.pushes.by_txn.get(&txn) else { return false };
        let WantPush { wound_for, key, .. } = &asking.want;
        let Some(older) = wound_for else { return false };
        if asking.may_yet_end(cx.now.mono, self.config.wound_after)
            || leader.locks.is_prepared(txn)
            || !leader.locks.waits(txn)
        {
            return false;
        }
        let (kind, span) = (ConflictKind::Wounded, Span::point(key.clone()));
        let conflict = Conflict { kind, span, winner: Some(older.id), at: None };
        let wounded = leader.locks.wound(txn, conflict, &mut leader.lock_effects);
        assert_eq!(wounded, WoundResult::Wounded, "{txn:?} waits here and promised nothing");
        self.pushes.by_txn.remove(&txn);
        true
    }

    fn send_push(&mut self, cx: &mut Cx<'_>, txn: TxnId) -> Result<(), EngineError> {
        let token = self.ops.next_ask();
        let lost_at = cx.now.mono.plus(self.config.push_timeout);
        let asking = self.pushes.by_txn.get_mut(&txn).expect("collected just now");
        asking.ask = Some((token, lost_at));
        asking.due = cx.now.mono.plus(asking.wait);
        asking.wait = (asking.wait * 2).min(self.config.push_max);
        let mut want = asking.want.clone();
        if asking.may_yet_end(cx.now.mono, self.config.wound_after) {
            want.wound_for = None;
        }
        let request = Request::Push(Push { txn: want.holder.clone(), kind: want.kind() });
        let anchor = want.holder.anchor.clone();
        self.pushes.asks.insert(token, want);
        let own = self.leader.is_some() && self.state.descriptor.span.contains(&anchor);
        if own {
            return self.dispatch(cx, Caller::Own(token), request, lost_at);
        }
        cx.out.asks.push((token, anchor, request));
        Ok(())
    }

    /// The answer to a question in [`super::Outputs::asks`].
    ///
    /// # Errors
    /// If the disk fails.
    pub fn answer(
        &mut self,
        cx: &mut Cx<'_>,
        ask: AskToken,
        result: Result<Reply, KvError>,
    ) -> Result<(), EngineError> {
        if self.hear_who_waits(cx, ask, &result) {
            return Ok(());
        }
        if self.hear_acknowledged(cx, ask, &result) {
            return self.run(cx);
        }
        let Some(want) = self.pushes.asks.remove(&ask) else { return Ok(()) };
        let txn = want.holder.id;
        if let Some(asking) = self.pushes.by_txn.get_mut(&txn)
            && asking.ask.is_some_and(|(token, _)| token == ask)
        {
            asking.ask = None;
        }
        let outcome = match result {
            Ok(Reply::Outcome(Outcome::Committed(at))) => Resolution::Commit(at),
            // X7a: a record deleted long ago means "abort" to who still holds an intent.
            Ok(Reply::Outcome(Outcome::Aborted | Outcome::Forgotten)) => Resolution::Abort,
            Ok(_) | Err(_) => return Ok(()),
        };
        if self.check_outcome(cx, outcome).is_err() {
            // No record says so; it is asked again.
            return Ok(());
        }
        self.pushes.by_txn.remove(&txn);
        if self.leader.is_some() {
            self.learn(cx, txn, outcome, None);
            return self.run(cx);
        }
        // A follower cannot resolve; its leader can.
        let resolve = Resolve { txn, outcome, keys: vec![want.key.clone()] };
        let token = self.ops.next_ask();
        cx.out.asks.push((token, want.key, Request::Resolve(resolve)));
        Ok(())
    }
}

/// The question whether a holder ended or its gateway died.
pub(super) fn query(holder: kv::TxnMeta, key: keys::Key) -> WantPush {
    let want = WantPush { holder, wound_for: None, key, waiters: Vec::new() };
    assert!(matches!(want.kind(), PushKind::Query), "nobody is older than nobody");
    want
}
