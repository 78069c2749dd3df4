//! Deleting the records of transactions over several ranges (X7b).
//!
//! Such a record may go once nobody can need it: `start + L` is past, so that nothing is prepared or
//! decided for its transaction any more (X7a), and every participant acknowledged that no intent and no
//! lock of it is left. Both stay true for ever. So an acknowledgement is kept nowhere but here, while
//! the rest of a page of records is asked about; who leads next asks again.
//!
//! ```text
//!   a page of records       what ended ones touched        asked at the least key that is left
//!   --------------------->  [A: d-f, p-q] [B: d-e]    ---> leader of [c - h): holds nothing of them
//!                           [A: p-q]                  ---> leader of [n - z): holds nothing of A
//!                           A and B are deleted by one entry
//! ```
//!
//! Records name what was touched by keys, not by ranges: a participant may have been split since, and
//! each of its parts acknowledges for itself (X9). Who still holds something finds the record by its own
//! housekeeping, resolves, and acknowledges at the next round.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use clock::{Mono, Timestamp};
use keys::{Key, Span, TxnId};
use kv::{Acknowledge, KvError, Part, Reply, Request};

use super::{AskToken, Cx, Machine, op::Caller};

/// Most parts in one question. The others are asked about behind its answer.
const MAX_PARTS: usize = 1024;

/// A page of records, on its way to be deleted.
#[derive(Debug, Default)]
pub(super) struct Acknowledging {
    /// Transactions that are not acknowledged everywhere yet.
    ended: BTreeMap<TxnId, Left>,
    /// The ends of what is left of them, by where it begins. Whose transaction is not in `ended` any more
    /// is passed over.
    rest: BTreeMap<(Key, TxnId), Key>,
    /// Nothing is left of these.
    free: Vec<(Key, TxnId)>,
    /// The question in flight.
    ask: Option<Ask>,
}

/// A record whose transaction's life is over.
#[derive(Debug)]
pub(super) struct Ended {
    pub anchor: Key,
    pub txn: TxnId,
    pub start: Timestamp,
    /// What it touched elsewhere.
    pub touched: Vec<Span>,
}

/// How much of a transaction is not acknowledged.
#[derive(Debug)]
struct Left {
    anchor: Key,
    start: Timestamp,
    parts: usize,
}

#[derive(Debug)]
struct Ask {
    token: AskToken,
    /// Where it went.
    key: Key,
    parts: Vec<Part>,
    /// When it is taken as lost.
    lost_at: Mono,
}

impl Acknowledging {
    pub fn clear(&mut self) {
        *self = Acknowledging::default();
    }

    /// Until when an answer is waited for.
    pub fn waits_until(&self) -> Option<Mono> {
        self.ask.as_ref().map(|ask| ask.lost_at)
    }

    /// A new page; what was left of the one before is looked at in the next round.
    pub fn begin(&mut self, records: Vec<Ended>) {
        self.clear();
        for Ended { anchor, txn, start, touched } in records {
            self.ended.insert(txn, Left { anchor, start, parts: 1 });
            for span in touched {
                self.put(txn, span);
            }
            // Its own part, counted above, is in the anchor's range: the decision left nothing there.
            self.less(txn);
        }
    }

    /// So much of a transaction is left to ask about. Of an empty span nothing is.
    fn put(&mut self, txn: TxnId, span: Span) {
        if span.is_empty() {
            return;
        }
        let Some(left) = self.ended.get_mut(&txn) else { return };
        match self.rest.entry((span.start, txn)) {
            Entry::Vacant(place) => {
                place.insert(span.end);
                left.parts += 1;
            }
            Entry::Occupied(mut place) => {
                let end = span.end.max(place.get().clone());
                place.insert(end);
            }
        }
    }

    /// A part is acknowledged; with the last one the transaction's record is free to go.
    fn less(&mut self, txn: TxnId) {
        let Some(left) = self.ended.get_mut(&txn) else { return };
        left.parts -= 1;
        if left.parts == 0 {
            let left = self.ended.remove(&txn).expect("looked at just now");
            self.free.push((left.anchor, txn));
        }
    }

    /// What is to be asked next: what begins first.
    fn next_parts(&self) -> Vec<Part> {
        let parts = self.rest.iter().filter_map(|((start, txn), end)| {
            let span = Span { start: start.clone(), end: end.clone() };
            self.ended.get(txn).map(|left| Part { txn: *txn, start: left.start, span })
        });
        parts.take(MAX_PARTS).collect()
    }

    /// What a range says of those parts that begin in it.
    fn acknowledged(&mut self, parts: &[Part], here: &Span, holding: &BTreeSet<TxnId>) {
        for Part { txn, span, .. } in parts.iter().filter(|part| here.contains(&part.span.start)) {
            self.rest.remove(&(span.start.clone(), *txn));
            if holding.contains(txn) {
                self.ended.remove(txn);
                continue;
            }
            // X9: the rest is another range's.
            self.put(*txn, Span { start: here.end.clone(), end: span.end.clone() });
            self.less(*txn);
        }
    }

    /// Nobody knows there now what is left behind a key. Those records stay until the next round.
    fn give_up_at(&mut self, parts: &[Part], key: &Key) {
        for Part { txn, span, .. } in parts.iter().filter(|part| part.span.start == *key) {
            self.rest.remove(&(span.start.clone(), *txn));
            self.ended.remove(txn);
        }
    }
}

impl Machine {
    /// X7b: asks on, until nothing is left to ask about; then deletes what everybody acknowledged.
    pub(super) fn acknowledge_on(&mut self, cx: &mut Cx<'_>) {
        assert!(self.leader.is_some(), "only a leader deletes records");
        loop {
            let parts = self.acknowledging.next_parts();
            let Some(first) = parts.first() else { break };
            let key = first.span.start.clone();
            if self.state.descriptor.span.contains(&key) {
                let here = self.state.descriptor.span.clone();
                let holding = self.holding(cx, &parts);
                self.acknowledging.acknowledged(&parts, &here, &holding);
                continue;
            }
            let token = self.ops.next_ask();
            let lost_at = cx.now.mono.plus(self.config.push_timeout);
            let request = Request::Acknowledge(Acknowledge { parts: parts.clone() });
            cx.out.asks.push((token, key.clone(), request));
            self.acknowledging.ask = Some(Ask { token, key, parts, lost_at });
            return;
        }
        let records = std::mem::take(&mut self.acknowledging.free);
        self.delete_records(records);
    }

    /// The answer to [`Machine::acknowledge_on`]. Whether it was one.
    pub(super) fn hear_acknowledged(
        &mut self,
        cx: &mut Cx<'_>,
        token: AskToken,
        result: &Result<Reply, KvError>,
    ) -> bool {
        let asked = self.acknowledging.ask.take_if(|ask| ask.token == token);
        let Some(Ask { key, parts, .. }) = asked else { return false };
        match result {
            Ok(Reply::Acknowledged { here, holding }) if here.contains(&key) => {
                let holding = holding.iter().copied().collect();
                self.acknowledging.acknowledged(&parts, here, &holding);
            }
            Ok(_) | Err(_) => self.acknowledging.give_up_at(&parts, &key),
        }
        self.acknowledge_on(cx);
        true
    }

    /// Another range's leader asks what is left here.
    pub(super) fn acknowledge(&mut self, cx: &mut Cx<'_>, caller: Caller, asked: &Acknowledge) {
        let first = asked.parts.first().map(|part| &part.span.start);
        let checked = self.check_leader(cx).and_then(|()| match first {
            Some(key) => self.check_key(key),
            None => Err(KvError::Invalid("nothing to acknowledge".to_owned())),
        });
        let result = checked.map(|()| {
            let here = self.state.descriptor.span.clone();
            let holding = self.holding(cx, &asked.parts).into_iter().collect();
            Reply::Acknowledged { here, holding }
        });
        self.answer_caller(cx, caller, result);
    }

    /// X7b: of whom something is left in this range. A leader knows: it entered all intents as it
    /// began (X2). Whose life is not over by this node's clock may yet leave something here (X7a), and
    /// so counts.
    fn holding(&self, cx: &Cx<'_>, parts: &[Part]) -> BTreeSet<TxnId> {
        let leader = self.leader.as_ref().expect("asked by a leader");
        let holds = |part: &&Part| {
            let left = leader.txns.contains_key(&part.txn) || leader.locks.holds(part.txn);
            left || !self.expired(cx, part.start)
        };
        parts.iter().filter(holds).map(|part| part.txn).collect()
    }
}
