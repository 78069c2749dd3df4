//! The effect of a command: the same on every replica, and the same when applied again (S2).
//!
//! Applying reads the store and adds to a batch that is written later, together with others and
//! with the applied slot. So what a command reads must not be what an earlier command of the same
//! batch changes: [`Machine::must_flush`] tells the host to write the batch first.

use bytes::Bytes;
use clock::Timestamp;
use keys::{Key, RangeId, Span, TxnId};
use kv::{Conflict, Resolution, TxnMeta, Write};
use paxos::{Ballot, Slot};
use storage::{EngineError, Reader, WriteBatch, mvcc};

use super::{Machine, split::Offspring, sweep::Sweep};
use crate::{
    command::Command,
    doubt::{Doubt, StepError},
    record::{Record, Verdict},
    rules::Rule,
    state::{self, Applied, RangeState, SPLITS_KEPT, SplitRecord},
};

/// An entry of the log, chosen.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// Its slot: one above the last one applied.
    pub slot: Slot,
    /// The ballot under which it was first proposed.
    pub first: Ballot,
    /// The command; `None` for entries that are the group's own.
    pub command: Option<Bytes>,
    /// The fence's verdict (P8): it takes no effect.
    pub void: bool,
}

/// A command that took effect, for the leader to settle.
#[derive(Debug)]
pub(super) struct Done {
    /// The command.
    pub command: Command,
    /// For a decision or a poison: what the record says now.
    pub verdict: Option<Verdict>,
}

/// What the batch of this step changed and the store does not show yet.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    /// Transactions whose record was written or deleted.
    records: Vec<TxnId>,
    /// Whether intents were laid or removed.
    intents: bool,
}

impl Machine {
    /// Whether the batch has to be written before this entry is applied, because the entry reads
    /// what the batch changes. After that, call [`Machine::flushed`].
    pub fn must_flush(&mut self, chosen: &Chosen) -> Result<bool, StepError> {
        if self.dirty.records.is_empty() && !self.dirty.intents {
            return Ok(false);
        }
        Ok(match self.command_of(chosen)? {
            None => false,
            Some(command) => match command {
                Command::Commit { txn, .. } | Command::Poison { txn, .. } => {
                    self.dirty.records.contains(&txn.id)
                }
                Command::Resolve { .. } => self.dirty.intents,
                Command::Prepare { .. }
                | Command::Split { .. }
                | Command::Gc { .. }
                | Command::Forget { .. } => false,
            },
        })
    }

    /// The batch is written.
    pub fn flushed(&mut self) {
        self.dirty.records.clear();
        self.dirty.intents = false;
    }

    /// Adds the effects of an entry to the batch. The caller puts [`Machine::write_applied`] into
    /// the same batch (S2), writes it, and then calls [`Machine::settle`]. A split gives birth to a
    /// child.
    ///
    /// # Errors
    /// If the disk fails, or the entry is none that a leader of this range can have proposed. The
    /// batch is not to be used then.
    pub fn apply(
        &mut self,
        reader: &dyn Reader,
        chosen: &Chosen,
        batch: &mut WriteBatch,
    ) -> Result<Option<Offspring>, StepError> {
        assert_eq!(chosen.slot, self.applied.slot.next(), "a gap in the log of {}", self.id());
        assert!(!self.state.blank, "{} applies an entry without its data", self.id());
        let command = self.take_command(chosen)?;
        if let Some(command) = &command {
            self.check_command(reader, chosen.slot, command)?;
        }
        self.applied.slot = chosen.slot;
        let Some(command) = command else { return Ok(None) };
        self.applied.max_timestamp = self.applied.max_timestamp.max(command.timestamp());
        let mut verdict = None;
        let mut offspring = None;
        match &command {
            Command::Prepare { txn, prepare, writes } => {
                self.apply_prepare(txn, *prepare, writes, batch);
            }
            Command::Commit { txn, at, writes, participants } => {
                let found = self.apply_commit(reader, txn, *at, writes, participants, batch)?;
                verdict = Some(found);
            }
            Command::Poison { txn, why } => {
                verdict = Some(self.apply_poison(reader, txn, why, batch)?);
            }
            Command::Resolve { txn, outcome, keys } => {
                self.apply_resolve(reader, *txn, *outcome, keys, batch)?;
            }
            Command::Split { at, child } => {
                offspring = self.apply_split(at, *child, chosen, batch);
            }
            Command::Gc { threshold } => self.apply_gc(*threshold, batch),
            Command::Forget { records } => {
                for (anchor, txn) in records {
                    Record::delete(batch, anchor, *txn);
                    self.dirty.records.push(*txn);
                }
            }
        }
        if self.leader.is_some() || self.ops.len() > 0 {
            self.done.push_back(Done { command, verdict });
        }
        Ok(offspring)
    }

    /// Puts the applied slot into the batch that holds the effects (S2).
    pub fn write_applied(&self, batch: &mut WriteBatch) {
        self.applied.write(batch, self.id());
    }

    pub(super) fn id(&self) -> RangeId {
        self.state.descriptor.id
    }

    fn doubt(&self, slot: Slot, cause: impl Into<String>) -> StepError {
        StepError::Doubt(Doubt { range: self.id(), slot, cause: cause.into() })
    }

    fn decode(&self, chosen: &Chosen, bytes: &[u8]) -> Result<Command, StepError> {
        Command::decode(bytes)
            .map_err(|error| self.doubt(chosen.slot, format!("no command of ours: {error}")))
    }

    /// What a leader of this range never proposes must not take effect, wherever it came from: all
    /// keys are the range's, no timestamp is zero, and a child is new.
    fn check_command(
        &self,
        reader: &dyn Reader,
        slot: Slot,
        command: &Command,
    ) -> Result<(), StepError> {
        let span = &self.state.descriptor.span;
        let outside = |key: &Key| !span.contains(key);
        let foreign = match command {
            Command::Prepare { writes, .. } => writes.iter().map(|w| &w.key).find(|k| outside(k)),
            Command::Commit { txn, writes, .. } => {
                let keys = writes.iter().map(|write| &write.key);
                keys.chain([&txn.anchor]).find(|key| outside(key))
            }
            Command::Poison { txn, .. } => Some(&txn.anchor).filter(|key| outside(key)),
            Command::Resolve { keys, .. } => keys.iter().find(|key| outside(key)),
            Command::Split { .. } | Command::Gc { .. } | Command::Forget { .. } => None,
        };
        if let Some(key) = foreign {
            return Err(self.doubt(slot, format!("it concerns {key}, outside {span}")));
        }
        let at = match command {
            Command::Prepare { prepare, .. } => Some(*prepare),
            Command::Commit { at, .. } => Some(*at),
            Command::Resolve { outcome: Resolution::Commit(at), .. } => Some(*at),
            Command::Resolve { outcome: Resolution::Abort, .. }
            | Command::Poison { .. }
            | Command::Split { .. }
            | Command::Gc { .. }
            | Command::Forget { .. } => None,
        };
        if at == Some(Timestamp::ZERO) {
            return Err(self.doubt(slot, "it names no timestamp"));
        }
        match command {
            Command::Split { at, child } if self.divides(at, *child) => {
                let taken = *child == self.id() || RangeState::read(reader, *child)?.is_some();
                let cause = || self.doubt(slot, format!("its child {child} is there already"));
                if taken { Err(cause()) } else { Ok(()) }
            }
            Command::Split { .. }
            | Command::Prepare { .. }
            | Command::Commit { .. }
            | Command::Poison { .. }
            | Command::Resolve { .. }
            | Command::Gc { .. }
            | Command::Forget { .. } => Ok(()),
        }
    }

    fn command_of(&self, chosen: &Chosen) -> Result<Option<Command>, StepError> {
        match &chosen.command {
            Some(bytes) if !chosen.void => self.decode(chosen, bytes).map(Some),
            Some(_) | None => Ok(None),
        }
    }

    /// The command of an entry that takes effect. The leader takes what it kept when it proposed;
    /// an entry in its slot that is not its own, or is void, tells that its proposal did not happen
    /// there, and that its leadership is over.
    fn take_command(&mut self, chosen: &Chosen) -> Result<Option<Command>, StepError> {
        if let Some(leader) = &mut self.leader {
            let proposal = leader.take_inflight(chosen.slot);
            if let Some(proposal) = proposal
                && chosen.first == leader.ballot
                && !chosen.void
            {
                debug_assert_eq!(Some(&proposal.bytes), chosen.command.as_ref());
                return Ok(Some(proposal.command));
            }
        }
        self.command_of(chosen)
    }

    fn assert_owned(&self, key: &Key) {
        let span = &self.state.descriptor.span;
        assert!(span.contains(key), "{} applies a write to {key} outside {span}", self.id());
    }

    fn apply_prepare(
        &mut self,
        txn: &TxnMeta,
        prepare: Timestamp,
        writes: &[Write],
        batch: &mut WriteBatch,
    ) {
        self.dirty.intents = true;
        for write in writes {
            self.assert_owned(&write.key);
            let intent = mvcc::Intent {
                txn: txn.id,
                anchor: txn.anchor.clone(),
                prepare,
                priority: txn.priority,
                start: txn.start,
                value: write.value.clone(),
            };
            mvcc::put_intent(batch, &write.key, &intent);
        }
    }

    /// X7: the first of decision and poison wins.
    fn apply_commit(
        &mut self,
        reader: &dyn Reader,
        txn: &TxnMeta,
        at: Timestamp,
        writes: &[Write],
        participants: &[Span],
        batch: &mut WriteBatch,
    ) -> Result<Verdict, EngineError> {
        if let Some(record) = Record::read(reader, &txn.anchor, txn.id)?
            && self.rules.keep(Rule::FirstVerdict)
        {
            return Ok(record.verdict);
        }
        for write in writes {
            self.assert_owned(&write.key);
            mvcc::put_version(batch, &write.key, at, write.value.as_deref());
        }
        let verdict = Verdict::Committed { at, participants: participants.to_vec() };
        self.write_record(txn, verdict.clone(), batch);
        Ok(verdict)
    }

    fn apply_poison(
        &mut self,
        reader: &dyn Reader,
        txn: &TxnMeta,
        why: &Conflict,
        batch: &mut WriteBatch,
    ) -> Result<Verdict, EngineError> {
        if let Some(record) = Record::read(reader, &txn.anchor, txn.id)? {
            return Ok(record.verdict);
        }
        let verdict = Verdict::Aborted(why.clone());
        self.write_record(txn, verdict.clone(), batch);
        Ok(verdict)
    }

    fn write_record(&mut self, txn: &TxnMeta, verdict: Verdict, batch: &mut WriteBatch) {
        self.assert_owned(&txn.anchor);
        Record { start: txn.start, verdict }.write(batch, &txn.anchor, txn.id);
        self.dirty.records.push(txn.id);
    }

    /// Resolves the intents of a transaction. One prepared *above* the commit timestamp was laid by
    /// a repeated prepare that came after the resolution (s is above every prepare timestamp that
    /// the coordinator heard of, R1, and resolving raised `min_next` above s, R1a): it is removed.
    /// To write its version again would be harmless, unless GC had removed it together with a later
    /// tombstone.
    fn apply_resolve(
        &mut self,
        reader: &dyn Reader,
        txn: TxnId,
        outcome: Resolution,
        keys: &[Key],
        batch: &mut WriteBatch,
    ) -> Result<(), EngineError> {
        self.dirty.intents = true;
        for key in keys {
            self.assert_owned(key);
            let Some(intent) = mvcc::intent(reader, key)?.filter(|intent| intent.txn == txn) else {
                continue;
            };
            mvcc::delete_intent(batch, key);
            match outcome {
                Resolution::Commit(at) if at >= intent.prepare => {
                    mvcc::put_version(batch, key, at, intent.value.as_deref());
                }
                Resolution::Commit(_) | Resolution::Abort => {}
            }
        }
        Ok(())
    }

    /// The child is born in the same batch (section 8). Applied twice it does nothing: the key then
    /// lies outside, or the child is known.
    fn apply_split(
        &mut self,
        at: &Key,
        child: RangeId,
        chosen: &Chosen,
        batch: &mut WriteBatch,
    ) -> Option<Offspring> {
        if !self.divides(at, child) {
            return None;
        }
        let (left, right) = state::divide(&self.state.descriptor, at, child);
        self.state.descriptor = left;
        if self.state.splits.len() == SPLITS_KEPT {
            self.state.splits.remove(0);
        }
        let record = SplitRecord { slot: chosen.slot, first: chosen.first, child: right.clone() };
        self.state.splits.push(record);
        self.state.write(batch);
        let mut state = RangeState::new(right);
        state.gc_threshold = self.state.gc_threshold;
        state.write(batch);
        let applied = Applied { slot: Slot::NONE, max_timestamp: self.applied.max_timestamp };
        applied.write(batch, child);
        self.sweep = self.sweep.take().map(|_| Sweep::begin(&self.state.descriptor.span, None));
        Some(Offspring { state, applied, first: chosen.first })
    }

    /// Whether a split does anything here.
    fn divides(&self, at: &Key, child: RangeId) -> bool {
        let known = self.state.splits.iter().any(|split| split.child.id == child);
        let span = &self.state.descriptor.span;
        !known && span.contains(at) && *at != span.start
    }

    fn apply_gc(&mut self, threshold: Timestamp, batch: &mut WriteBatch) {
        if threshold > self.state.gc_threshold {
            self.state.gc_threshold = threshold;
            self.state.write(batch);
            let span = &self.state.descriptor.span;
            self.sweep = Some(Sweep::begin(span, self.sweep.take()));
        }
    }
}
