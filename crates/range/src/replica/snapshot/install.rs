//! A snapshot that is staged whole becomes the replica's data.

use bytes::Bytes;
use clock::Timestamp;
use keys::NodeId;
use paxos::{Candidacy, Slot};
use storage::{Engine, EngineError, WriteBatch, mvcc};

use crate::{
    Context, Effects, Event, Replica,
    doubt::StepError,
    state::{self, Applied, Installing, RangeState},
};

use super::receive::Receiving;

/// The data of a snapshot, being moved in.
#[derive(Debug)]
pub(super) struct Install {
    from: NodeId,
    /// What comes next; `None`: the beginning.
    next: Option<Bytes>,
}

impl Replica {
    /// All of a snapshot is staged. One batch removes the old data and takes over its slot and log; from
    /// here on this replica is blank, and there is no way back.
    pub(super) fn install(
        &mut self,
        ctx: &Context<'_>,
        out: &mut Effects,
    ) -> Result<(), StepError> {
        let receiving = self.snapshots.receiving.take().expect("its last chunk just came");
        let Receiving { from, header, .. } = receiving;
        if self.useless(&header) {
            return Ok(self.drop_staged(ctx)?);
        }
        let super::SnapshotHeader { applied, state, fence } = header;
        let mut effects = paxos::Effects::default();
        // A blank replica lacks the data below its log, and maybe nothing of the log.
        let in_log = self.held.back().map_or(Slot::NONE, |held| held.slot);
        if applied.slot > in_log
            && let Err(refused) =
                self.group.install_snapshot(ctx.now, applied.slot, fence, &mut effects)
        {
            out.events.push(Event::SnapshotFailed { peer: from, cause: refused.to_string() });
            return Ok(self.drop_staged(ctx)?);
        }
        let mut batch = WriteBatch::new();
        mvcc::clear_span(&mut batch, &self.descriptor().span);
        self.missed_children(ctx, &state, &mut batch, out)?;
        let state = RangeState { blank: true, ..state };
        state.write(&mut batch);
        applied.write(&mut batch, state.descriptor.id);
        Installing { from }.write(&mut batch, state.descriptor.id);
        self.write_log(&mut effects, &mut batch, out);
        // S2: what is staged comes before this in the engine's log, so it is there if this is.
        ctx.engine.write(batch)?;
        self.machine.replace(state, applied);
        self.group.set_candidacy(Candidacy::Barred);
        self.snapshots.installing = Some(Install { from, next: None });
        self.effects.chosen.extend(effects.chosen);
        self.effects.events.extend(effects.events);
        if applied.slot <= in_log {
            self.group.applied(applied.slot, &mut self.effects);
        }
        Ok(())
    }

    /// After a restart: the log that was kept on disk for others is of no use any more.
    pub(in crate::replica) fn drop_kept_log(&self, engine: &dyn Engine) -> Result<(), EngineError> {
        let through = self.group.truncated_slot();
        if state::read_log(engine, self.range(), Slot::NONE, through, 1)?.is_empty() {
            return Ok(());
        }
        let mut batch = WriteBatch::new();
        state::truncate_log(&mut batch, self.range(), through);
        engine.write(batch)
    }

    /// After a restart: a snapshot that was being moved in is moved from the beginning, which changes
    /// nothing of what is there; one that was not here whole is of no use.
    pub(in crate::replica) fn resume_install(
        &mut self,
        engine: &dyn Engine,
    ) -> Result<(), EngineError> {
        if let Some(Installing { from }) = Installing::read(engine, self.range())? {
            assert!(self.machine.state().blank, "{} has its data already", self.range());
            self.snapshots.installing = Some(Install { from, next: None });
        } else if mvcc::is_staged(engine, self.range())? {
            let mut batch = WriteBatch::new();
            mvcc::clear_staged(&mut batch, self.range());
            engine.write(batch)?;
        }
        Ok(())
    }

    /// Moves some of a snapshot's data in. With the last of them the replica is blank no more.
    pub(in crate::replica) fn install_on(
        &mut self,
        ctx: &Context<'_>,
        out: &mut Effects,
    ) -> Result<(), StepError> {
        let Some(Install { from, next }) = self.snapshots.installing.take() else { return Ok(()) };
        let (range, bytes) = (self.range(), self.config.snapshot_chunk_bytes);
        let mut batch = WriteBatch::new();
        let next = mvcc::unstage(ctx.engine, &mut batch, range, next, bytes)?;
        if next.is_some() {
            ctx.engine.write(batch)?;
            self.snapshots.installing = Some(Install { from, next });
            return Ok(());
        }
        let state = RangeState { blank: false, ..self.machine.state().clone() };
        state.write(&mut batch);
        Installing::clear(&mut batch, range);
        mvcc::clear_staged(&mut batch, range);
        ctx.engine.write(batch)?;
        let applied = self.machine.applied();
        self.machine.replace(state, applied);
        self.group.set_candidacy(Candidacy::Allowed);
        out.events.push(Event::SnapshotInstalled { from, through: applied.slot });
        let held = std::mem::take(&mut self.held);
        let rest: Vec<_> = held.into_iter().filter(|held| held.slot > applied.slot).collect();
        self.unheld(ctx, rest, out)
    }

    /// Applies what was chosen while the replica was blank.
    fn unheld(
        &mut self,
        ctx: &Context<'_>,
        entries: Vec<crate::machine::Chosen>,
        out: &mut Effects,
    ) -> Result<(), StepError> {
        let mut outputs = crate::machine::Outputs::default();
        let mut batch = WriteBatch::new();
        self.apply(ctx, &entries, &mut batch, &mut outputs, out)?;
        out.replies.append(&mut outputs.replies);
        Ok(())
    }

    /// The children of splits that the snapshot skips: their acceptors are born now (section 8),
    /// without data.
    fn missed_children(
        &mut self,
        ctx: &Context<'_>,
        after: &RangeState,
        batch: &mut WriteBatch,
        out: &mut Effects,
    ) -> Result<(), EngineError> {
        let here = self.machine.applied().slot;
        for split in after.splits.iter().filter(|split| split.slot > here) {
            if RangeState::read(ctx.engine, split.child.id)?.is_some() {
                continue;
            }
            let state = RangeState { blank: true, ..RangeState::new(split.child.clone()) };
            state.write(batch);
            let applied = Applied::default();
            applied.write(batch, split.child.id);
            let child = self.child(state, applied, split.first, Timestamp::ZERO, batch);
            assert!(child.group.leadership().is_none(), "a blank child leads");
            out.children.push(child.newborn());
        }
        Ok(())
    }
}
