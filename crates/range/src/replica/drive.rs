//! One round of a step: propose, write, apply, settle, listen to the group's events.

use clock::Timestamp;
use paxos::{Ballot, Group, Payload, Persist, PersistToken};
use storage::{EngineError, WriteBatch};

use super::{Context, Effects, Event, GroupMessage, Replica, cx, membership};
use crate::{
    doubt::StepError,
    machine::{Chosen, Offspring, Outputs},
    state::{self, Applied, RangeState},
};

impl Replica {
    /// Carries things between the machine, the group and the disk until nobody wants anything.
    pub(super) fn drive(
        &mut self,
        ctx: &Context<'_>,
        outputs: &mut Outputs,
        out: &mut Effects,
    ) -> Result<(), StepError> {
        loop {
            self.propose(ctx, out);
            self.hand_over(ctx, outputs);
            self.truncate();
            let mut effects = std::mem::take(&mut self.effects);
            let idle = effects.is_empty() && outputs.batch.is_empty();
            let mut batch = std::mem::take(&mut outputs.batch);
            self.write_log(&mut effects, &mut batch, out);
            let entries = effects.chosen.drain(..).map(chosen);
            if self.machine.state().blank {
                self.held.extend(entries);
            } else {
                let entries: Vec<Chosen> = entries.collect();
                self.apply(ctx, &entries, &mut batch, outputs, out)?;
            }
            if !batch.is_empty() {
                ctx.engine.write(batch)?;
            }
            self.events(ctx, &mut effects, outputs, out)?;
            self.follow_lease(ctx, outputs)?;
            if idle && self.effects.is_empty() {
                return Ok(());
            }
        }
    }

    /// Proposes what the machine wants in the log, as far as the window reaches.
    fn propose(&mut self, ctx: &Context<'_>, out: &mut Effects) {
        while let Some(command) = self.machine.next_proposal() {
            let command = command.clone();
            match self.group.propose(ctx.now, command, &mut self.effects) {
                Ok(slot) => {
                    let whose = self.machine.proposed(slot);
                    out.proposed.extend(whose.map(|txn| (slot, txn)));
                }
                Err(error @ paxos::ProposeError::TooLarge { .. }) => {
                    panic!("a command is checked before it is queued: {error}")
                }
                Err(
                    paxos::ProposeError::WindowFull
                    | paxos::ProposeError::NotReady
                    | paxos::ProposeError::LeaseLapsed
                    | paxos::ProposeError::NotLeader { .. },
                ) => return,
            }
        }
    }

    /// Closed time goes to the followers, leadership to whom it was promised.
    fn hand_over(&mut self, ctx: &Context<'_>, outputs: &mut Outputs) {
        if let Some(at) = outputs.close.take()
            && self.group.leadership().is_some_and(|leadership| leadership.ready)
        {
            let through = self.group.last_slot();
            self.group.set_closed(at, through, &mut self.effects);
        }
        if let Some(to) = outputs.release.take()
            && let Some(min_next) = self.machine.min_next()
        {
            let floor = min_next.prev();
            let released = self.group.release(ctx.now, Some(to), floor, &mut self.effects);
            if released.is_ok() {
                self.machine.leader_stop(&mut cx(ctx, outputs));
            }
        }
    }

    fn truncate(&mut self) {
        if let Some(through) = self.group.truncation_due() {
            let applied = self.machine.applied().slot;
            let before = self.group.log_bytes();
            self.group.truncate(through.min(applied), &mut self.effects);
            self.snapshots.log_was_cut(before - self.group.log_bytes(), &self.config);
        }
    }

    pub(super) fn write_log(
        &self,
        effects: &mut paxos::Effects,
        batch: &mut WriteBatch,
        out: &mut Effects,
    ) {
        let range = self.range();
        for persist in effects.persist.drain(..) {
            match persist {
                Persist::Append { slot, entry } => state::write_entry(batch, range, slot, &entry),
                Persist::SetDurable(durable) => state::write_durable(batch, range, &durable),
                Persist::TruncateThrough(slot) => {
                    state::truncate_log(batch, range, self.snapshots.keeps_log_after(slot));
                }
            }
        }
        let wrap = |(to, message)| (to, GroupMessage::Paxos(message));
        out.send.extend(effects.send.drain(..).map(wrap));
        out.send_durable.extend(effects.send_durable.drain(..).map(wrap));
        if let Some(token) = effects.token.take() {
            assert!(out.persist.is_none_or(|before| before <= token), "tokens go up");
            out.persist = Some(token);
        }
    }

    /// Applies chosen entries and settles them. Leaves a batch that is written, or holds nothing
    /// that anybody waits to see.
    pub(super) fn apply(
        &mut self,
        ctx: &Context<'_>,
        entries: &[Chosen],
        batch: &mut WriteBatch,
        outputs: &mut Outputs,
        out: &mut Effects,
    ) -> Result<(), StepError> {
        let Some(last) = entries.last() else { return Ok(()) };
        for entry in entries {
            if self.machine.must_flush(entry)? {
                self.flush(ctx, batch, outputs)?;
            }
            if let Some(offspring) = self.machine.apply(ctx.engine, entry, batch)? {
                self.give_birth(ctx, offspring, batch, outputs, out)?;
            }
        }
        self.flush(ctx, batch, outputs)?;
        self.group.applied(last.slot, &mut self.effects);
        Ok(())
    }

    /// Writes the batch, and lets the machine act on what is visible now.
    fn flush(
        &mut self,
        ctx: &Context<'_>,
        batch: &mut WriteBatch,
        outputs: &mut Outputs,
    ) -> Result<(), EngineError> {
        self.machine.write_applied(batch);
        ctx.engine.write(std::mem::take(batch))?;
        self.machine.flushed();
        self.machine.settle(&mut cx(ctx, outputs))
    }

    fn give_birth(
        &mut self,
        ctx: &Context<'_>,
        offspring: Offspring,
        batch: &mut WriteBatch,
        outputs: &mut Outputs,
        out: &mut Effects,
    ) -> Result<(), EngineError> {
        let floor = self.machine.min_next().map_or(Timestamp::ZERO, Timestamp::prev);
        let mut child =
            self.child(offspring.state, offspring.applied, offspring.first, floor, batch);
        // What was proposed before the split is settled before it; its memory is divided then.
        self.flush(ctx, batch, outputs)?;
        if child.group.leadership().is_some() {
            child.machine.inherit(&mut self.machine);
        }
        let (left, right) = (self.descriptor().clone(), child.descriptor().clone());
        out.events.push(Event::Split { left, right });
        out.children.push(child.newborn());
        Ok(())
    }

    /// A child's replica, born with what its acceptor must know of the parent's (section 8).
    pub(super) fn child(
        &mut self,
        state: RangeState,
        applied: Applied,
        first: Ballot,
        floor: Timestamp,
        batch: &mut WriteBatch,
    ) -> Replica {
        let birth = self.group.child_birth(first, floor);
        let (range, membership) = (state.descriptor.id, membership(&state.descriptor));
        let paxos = self.config.paxos.clone();
        let (group, durable) = Group::create_child(range, self.me, membership, birth, paxos);
        state::write_durable(batch, range, &durable);
        Replica::build(self.me, self.config.clone(), group, state, applied)
    }

    /// A child with the token of its birth.
    pub(super) fn newborn(self) -> (Replica, PersistToken) {
        let birth = self.group.unpersisted().expect("a birth is written, not synced");
        (self, birth)
    }

    fn events(
        &mut self,
        ctx: &Context<'_>,
        effects: &mut paxos::Effects,
        outputs: &mut Outputs,
        out: &mut Effects,
    ) -> Result<(), EngineError> {
        for event in effects.events.drain(..) {
            match event {
                paxos::Event::BecameLeader { .. } => {}
                paxos::Event::Ready { ballot } => {
                    let leadership = self.group.leadership().filter(|l| l.ballot == ballot);
                    let Some(leadership) = leadership.filter(|_| !self.machine.leads()) else {
                        continue;
                    };
                    let (floor, lease_end) = (leadership.floor, leadership.lease_end);
                    let cx = &mut cx(ctx, outputs);
                    self.machine.leader_start(cx, ballot, floor, lease_end)?;
                    out.events.push(Event::Leads { ballot, floor });
                }
                paxos::Event::LostLeadership { ballot } => {
                    self.machine.set_leader_hint(self.group.leader_hint());
                    self.machine.leader_stop(&mut cx(ctx, outputs));
                    self.snapshots.stop_sending();
                    out.events.push(Event::Stopped { ballot });
                }
                paxos::Event::SnapshotNeeded { to, has } => {
                    if !self.send_log(ctx, to, has)? {
                        self.send_snapshot(ctx, to, out)?;
                    }
                }
                paxos::Event::Closed { at, .. } => {
                    self.machine.closed(&mut cx(ctx, outputs), at)?;
                }
                paxos::Event::Stray { .. } => self.machine.renew_ballot(&mut cx(ctx, outputs)),
                paxos::Event::Refused { from, why } => {
                    out.events.push(Event::Refused { from, cause: why.to_string() });
                }
            }
        }
        Ok(())
    }

    /// P2: the machine's lease is the group's.
    fn follow_lease(
        &mut self,
        ctx: &Context<'_>,
        outputs: &mut Outputs,
    ) -> Result<(), EngineError> {
        match self.group.leadership() {
            Some(leadership) if self.machine.leads() => {
                self.machine.lease_extended(&mut cx(ctx, outputs), leadership.lease_end)
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn chosen(chosen: paxos::Chosen) -> Chosen {
    let command = match chosen.entry.payload {
        Payload::Command(bytes) => Some(bytes),
        Payload::Noop | Payload::Opening => None,
    };
    Chosen { slot: chosen.slot, first: chosen.entry.first, command, void: chosen.void }
}
