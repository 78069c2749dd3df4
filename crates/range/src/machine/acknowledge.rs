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

use clock::{Mono, Timestamp};
use keys::{Key, Span, TxnId};
use kv::{Acknowledge, KvError, Part, Reply, Request};

use super::{AskToken, Cx, Machine, op::Caller};

/// Most parts in one question. The others are asked about behind its answer.
const MAX_PARTS: usize = 1024;

/// A page of records, on its way to be deleted.
#[derive(Debug, Default)]
pub(super) struct Acknowledging {
    /// Not acknowledged everywhere yet.
    ended: Vec<Ended>,
    /// Nothing is left of these.
    free: Vec<(Key, TxnId)>,
    /// The question in flight.
    ask: Option<Ask>,
}

/// A transaction whose life is over, and the part of what it touched that is not acknowledged yet.
#[derive(Debug)]
pub(super) struct Ended {
    pub anchor: Key,
    pub txn: TxnId,
    pub start: Timestamp,
    pub rest: Vec<Span>,
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
    pub fn begin(&mut self, ended: Vec<Ended>) {
        *self = Acknowledging { ended, ..Acknowledging::default() };
    }

    /// Those that everybody acknowledged are free to go. The rest, by its least keys.
    fn next_parts(&mut self) -> Vec<Part> {
        for done in self.ended.extract_if(.., |ended| ended.rest.is_empty()) {
            self.free.push((done.anchor, done.txn));
        }
        let part = |ended: &Ended, span: &Span| {
            let (txn, start, span) = (ended.txn, ended.start, span.clone());
            Part { txn, start, span }
        };
        let mut parts: Vec<Part> = Vec::new();
        for ended in &self.ended {
            parts.extend(ended.rest.iter().map(|span| part(ended, span)));
        }
        parts.sort_unstable_by(|a, b| (&a.span.start, a.txn).cmp(&(&b.span.start, b.txn)));
        parts.truncate(MAX_PARTS);
        parts
    }

    /// What a range says of those parts that begin in it.
    fn acknowledged(&mut self, parts: &[Part], here: &Span, holding: &[TxnId]) {
        for part in parts.iter().filter(|part| here.contains(&part.span.start)) {
            let Some(ended) = self.ended.iter_mut().find(|ended| ended.txn == part.txn) else {
                continue;
            };
            if holding.contains(&part.txn) {
                self.ended.retain(|ended| ended.txn != part.txn);
                continue;
            }
            ended.rest.retain_mut(|span| {
                if *span == part.span {
                    span.start = span.end.clone().min(here.end.clone());
                }
                !span.is_empty()
            });
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
                self.acknowledging.acknowledged(&parts, here, holding);
            }
            // Nobody knows there now. Those records stay until the next round.
            Ok(_) | Err(_) => {
                let at_key = |span: &Span| span.start == key;
                self.acknowledging.ended.retain(|ended| !ended.rest.iter().any(at_key));
            }
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
            Reply::Acknowledged { here, holding: self.holding(cx, &asked.parts) }
        });
        self.answer_caller(cx, caller, result);
    }

    /// X7b: of whom something is left in this range. A leader knows: it entered all intents as it
    /// began (X2). Whose life is not over by this node's clock may yet leave something here (X7a), and
    /// so counts.
    fn holding(&mut self, cx: &Cx<'_>, parts: &[Part]) -> Vec<TxnId> {
        let leader = self.leader.as_ref().expect("asked by a leader");
        let holds = |part: &&Part| {
            let left = leader.txns.contains_key(&part.txn) || leader.locks.holds(part.txn);
            left || !self.expired(cx, part.start)
        };
        let mut holding: Vec<TxnId> = parts.iter().filter(holds).map(|part| part.txn).collect();
        holding.sort_unstable();
        holding.dedup();
        holding
    }
}
