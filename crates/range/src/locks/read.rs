//! Snapshot reads: they lock nothing, and wait only for writes at or below their snapshot (R2).

use std::{collections::BTreeMap, ops::ControlFlow};

use clock::Timestamp;
use keys::{Key, Span, TxnId};
use kv::TxnMeta;

use super::{
    Acquired, Blocker, LockEffects, LockTable, MAX_REPORTED, Refusal, RequestId, WantPush,
    claims::State,
    table::{Holder, ReadWaiter},
};

impl LockTable {
    /// The holders that keep a read at `at` waiting: those that write a key of the span, at or below
    /// `at`. Those of `reader` itself are not in its way. At most [`MAX_REPORTED`].
    #[must_use]
    pub fn blockers(&self, span: &Span, at: Timestamp, reader: Option<TxnId>) -> Vec<Blocker> {
        let mut found = Vec::new();
        self.visit_blockers(span, at, reader, &mut |key, holder, pending| {
            found.push(Blocker { txn: holder.meta.clone(), key: key.clone(), pending });
            if found.len() < MAX_REPORTED {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        found
    }

    /// Lets a read wait for the writes at or below its snapshot (R2), if there are any. The host has
    /// raised `min_next` above `at` before, so none is added. A read whose transaction holds locks
    /// takes part in wound-wait (X5a).
    ///
    /// # Panics
    /// If a request of this name waits already.
    pub fn wait_read(
        &mut self,
        id: RequestId,
        spans: &[Span],
        at: Timestamp,
        reader: Option<TxnMeta>,
        out: &mut LockEffects,
    ) -> Acquired {
        assert!(!self.is_waiting(id), "{id:?} waits already");
        let mut waits_for: BTreeMap<TxnId, Key> = BTreeMap::new();
        for span in spans {
            self.visit_blockers(span, at, reader.as_ref().map(|r| r.id), &mut |key, holder, _| {
                waits_for.entry(holder.meta.id).or_insert_with(|| key.clone());
                ControlFlow::Continue(())
            });
        }
        if waits_for.is_empty() {
            return Acquired::Granted;
        }
        if self.waiting_len() >= self.limits.waiting {
            let cause = format!("{} requests of a range wait for locks", self.waiting_len());
            return Acquired::Refused(Refusal::Overloaded(cause));
        }
        for (txn, key) in &waits_for {
            let holder = self.holders.get_mut(txn).expect("found above");
            holder.readers.push(id);
            let older = reader.as_ref().is_some_and(|reader| reader.older_than(&holder.meta));
            if older {
                let (holder, key) = (holder.meta.clone(), key.clone());
                let (wound_for, waiters) = (reader.clone(), Vec::new());
                out.must_push.push(WantPush { holder, wound_for, key, waiters });
            }
        }
        let named = waits_for.keys().take(MAX_REPORTED).copied().collect();
        if let Some(meta) = &reader {
            self.waiting_of.insert((meta.id, id));
        }
        self.readers.insert(id, ReadWaiter { reader, spans: spans.to_vec(), waits_for });
        Acquired::Waiting { waits_for: named }
    }

    fn visit_blockers(
        &self,
        span: &Span,
        at: Timestamp,
        reader: Option<TxnId>,
        visit: &mut dyn FnMut(&Key, &Holder, Timestamp) -> ControlFlow<()>,
    ) {
        if self.pending == 0 {
            return;
        }
        let mut visit_writer = |key: &Key, writer: TxnId| {
            if Some(writer) == reader {
                return ControlFlow::Continue(());
            }
            let holder = &self.holders[&writer];
            match holder.pending {
                Some(pending) if pending <= at => visit(key, holder, pending),
                Some(_) | None => ControlFlow::Continue(()),
            }
        };
        let end = self.claims.exclusive_in(span, &mut |key, claim| match claim.state {
            State::Held => visit_writer(key, claim.age.txn),
            State::Waiting => ControlFlow::Continue(()),
        });
        if end.is_continue() && !self.settling.is_empty() && !span.is_empty() {
            let mut settling = self.settling.range::<Key, _>(&span.start..&span.end);
            let _ = settling.try_for_each(|(key, txn)| visit_writer(key, *txn));
        }
    }
}
