//! One replica on one node: a group, a machine, and the disk they share.
//!
//! # The contract with the node
//!
//! The node's store loop owns all replicas of a node and drives each with [`Replica::step`]:
//!
//! 1. It hands in one [`Input`] and one reading of the time. The step writes what it has to to the
//!    engine itself, in one atomic batch per round (S2); the batch is visible at once and not durable.
//! 2. [`Effects::send`] may go at once. [`Effects::send_durable`] goes after a sync of the engine that
//!    *began* after the step, and then the node hands in [`Input::Persisted`] with the step's token (S1).
//!    One sync serves all replicas. Within one replica, tokens are handed in in order; the newest stands
//!    for all before it.
//! 3. [`Effects::asks`] are routed to the leader of the range that owns the key; every one is answered
//!    by [`Input::Answer`], with an error if need be.
//! 4. [`Effects::children`] are new replicas of this node: they are in the store already, and get
//!    their inputs from now on. A message for a range that the node does not have is dropped: a replica is
//!    never made by a message.
//! 5. [`Input::Tick`] comes at [`Replica::next_wakeup`], or earlier.
//!
//! An [`EngineError`] stops the node (S3).
//!
//! # One step
//!
//! ```text
//!   input --> machine, group --> +--> propose what the machine wants logged
//!                                |    apply what the group says is chosen
//!                                |    one batch: log entries, effects, applied slot --> engine
//!                                |    settle: locks go, answers go, waiters wake
//!                                +--- again, until nobody wants anything
//! ```
//!
//! # Snapshots
//!
//! See [`snapshot`]. A replica that missed a split by installing a snapshot gives birth to the child
//! without its data (*blank*): the child's acceptor must be born, with the parent's promise, grant and
//! horizon, or a quorum could miss a vote; its data comes by a snapshot of its own.

pub mod snapshot;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use clock::{Mono, Now, Timestamp};
use keys::{Key, NodeId, RangeId};
use kv::{Descriptor, KvError, PushdownFactory, Reply, Request};
use paxos::{Ballot, Group, Membership, Payload, Persist, Slot};
use serde::{Deserialize, Serialize};
use storage::{Engine, EngineError, WriteBatch};

use crate::{
    Config,
    machine::{Chosen, Cx, Machine, Offspring, Outputs},
    state::{self, Applied, RangeState},
};
use snapshot::{SnapshotMessage, Snapshots};

pub use crate::machine::{AskToken, RequestToken};
pub use paxos::PersistToken;

/// What replicas of one range say to each other. The node puts many of them into one frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupMessage {
    /// Paxos.
    Paxos(paxos::Message),
    /// A part of a snapshot, or what belongs to it.
    Snapshot(SnapshotMessage),
}

/// What happens to a replica.
#[derive(Clone, Debug)]
pub enum Input {
    /// Time passed.
    Tick,
    /// A message of another replica of the range.
    Peer {
        /// Its node.
        from: NodeId,
        /// The message.
        message: GroupMessage,
    },
    /// A request. Its answer comes in [`Effects::replies`], at the deadline at the latest.
    Request {
        /// Names the request; never used twice while it is unanswered.
        token: RequestToken,
        /// What is asked.
        request: Request,
        /// When the answer is of no use any more.
        deadline: Mono,
    },
    /// Nobody waits for the answer any more.
    Cancel {
        /// The request.
        token: RequestToken,
    },
    /// The answer to a question in [`Effects::asks`].
    Answer {
        /// The question.
        ask: AskToken,
        /// The answer; any error if there is none.
        result: Result<Reply, KvError>,
    },
    /// What the step with this token wrote, and all before it, is on disk.
    Persisted(PersistToken),
    /// Stand for election, whatever the timers say.
    Campaign,
}

/// What a step wants the node to do. The node may collect the effects of several steps in one.
#[derive(Debug, Default)]
pub struct Effects {
    /// May go now.
    pub send: Vec<(NodeId, GroupMessage)>,
    /// May go once what this step wrote is on disk.
    pub send_durable: Vec<(NodeId, GroupMessage)>,
    /// Set if somebody waits for what this step wrote: see [`Input::Persisted`].
    pub persist: Option<PersistToken>,
    /// Answers to requests.
    pub replies: Vec<(RequestToken, Result<Reply, KvError>)>,
    /// Questions to other ranges, by key.
    pub asks: Vec<(AskToken, Key, Request)>,
    /// Replicas born by a split.
    pub children: Vec<Replica>,
    /// For the log and the metrics.
    pub events: Vec<Event>,
}

/// What people may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This replica leads and acts from now on.
    Leads {
        /// The ballot.
        ballot: Ballot,
        /// Everything it assigns lies above (P3).
        floor: Timestamp,
    },
    /// It leads no more.
    Stopped {
        /// The ballot.
        ballot: Ballot,
    },
    /// A snapshot is on its way to a replica that fell behind.
    SnapshotSent {
        /// To whom.
        to: NodeId,
        /// What it contains.
        through: Slot,
    },
    /// A snapshot was installed.
    SnapshotInstalled {
        /// From whom.
        from: NodeId,
        /// What it contains.
        through: Slot,
    },
    /// A snapshot was refused or given up.
    SnapshotFailed {
        /// The other end.
        peer: NodeId,
        /// Why.
        cause: String,
    },
    /// The range was split.
    Split {
        /// Its new self.
        left: Descriptor,
        /// The child.
        right: Descriptor,
    },
}

/// What a step may use.
#[expect(missing_debug_implementations, reason = "lives for one step")]
pub struct Context<'a> {
    /// The time, read once per step.
    pub now: Now,
    /// The node's store.
    pub engine: &'a dyn Engine,
    /// Opens programs.
    pub factory: &'a dyn PushdownFactory,
}

/// A replica of a range. See the [module](self).
#[derive(Debug)]
pub struct Replica {
    me: NodeId,
    config: Arc<Config>,
    group: Group,
    machine: Machine,
    snapshots: Snapshots,
    /// Chosen entries that a blank replica cannot apply before its snapshot.
    held: VecDeque<Chosen>,
    /// Effects of the group, used again and again.
    effects: paxos::Effects,
}

impl Replica {
    /// A replica of a range that was never there before; `desc.preferred_leader` leads it at birth, and
    /// all its replicas are created with the same descriptor. It is in the store afterwards; the node
    /// syncs before it drives the replica, and never creates a range twice.
    ///
    /// # Errors
    /// If the disk fails.
    ///
    /// # Panics
    /// If the descriptor is no valid range, or the range is in the store already.
    pub fn create(
        engine: &dyn Engine,
        desc: &Descriptor,
        me: NodeId,
        config: Arc<Config>,
    ) -> Result<Replica, EngineError> {
        let known = RangeState::read(engine, desc.id)?;
        assert!(known.is_none(), "{} is here already", desc.id);
        let (membership, paxos) = (membership(desc), config.paxos.clone());
        let born = Some(desc.preferred_leader);
        let (group, durable) = Group::create(desc.id, me, membership, born, paxos);
        let range = RangeState::new(desc.clone());
        let mut batch = WriteBatch::new();
        range.write(&mut batch);
        Applied::default().write(&mut batch, desc.id);
        state::write_durable(&mut batch, desc.id, &durable);
        engine.write(batch)?;
        Ok(Replica::build(me, config, group, range, Applied::default()))
    }

    /// A replica as it lies in the store, after a restart. `None` if there is no such range.
    ///
    /// # Errors
    /// If the disk fails, or the records contradict each other (S3).
    pub fn open(
        engine: &dyn Engine,
        range: RangeId,
        me: NodeId,
        config: Arc<Config>,
    ) -> Result<Option<Replica>, EngineError> {
        let Some(state) = RangeState::read(engine, range)? else { return Ok(None) };
        let corrupt = |cause: String| EngineError {
            doing: format!("opening {range}"),
            cause,
            corruption: true,
        };
        let durable = state::read_durable(engine, range)?
            .ok_or_else(|| corrupt("its Paxos record is missing".to_owned()))?;
        let applied = Applied::read(engine, range)?;
        let log = state::read_log(engine, range)?;
        let membership = membership(&state.descriptor);
        let paxos = config.paxos.clone();
        let group = Group::restore(range, me, membership, paxos, durable, log, applied.slot)
            .map_err(|error| corrupt(error.to_string()))?;
        Ok(Some(Replica::build(me, config, group, state, applied)))
    }

    /// The ranges that have a replica in this store.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn list(engine: &dyn Engine) -> Result<Vec<RangeId>, EngineError> {
        state::list(engine)
    }

    fn build(
        me: NodeId,
        config: Arc<Config>,
        mut group: Group,
        state: RangeState,
        applied: Applied,
    ) -> Replica {
        assert!(config.entry_bytes + ENTRY_MARGIN <= config.paxos.max_entry_bytes,
            "entries of {} bytes do not fit the log", config.entry_bytes);
        group.set_preferred(Some(state.descriptor.preferred_leader));
        Replica {
            me,
            group,
            machine: Machine::new(me, config.clone(), state, applied),
            config,
            snapshots: Snapshots::default(),
            held: VecDeque::new(),
            effects: paxos::Effects::default(),
        }
    }

    /// The range.
    #[must_use]
    pub fn range(&self) -> RangeId {
        self.descriptor().id
    }

    /// The range as this replica knows it.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.machine.state().descriptor
    }

    /// The transaction machine.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The group.
    #[must_use]
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// Whether this replica leads and may act.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.machine.leads()
    }

    /// Who leads, as far as known.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        if self.machine.leads() { Some(self.me) } else { self.group.leader_hint() }
    }

    /// How long until a tick is useful.
    #[must_use]
    pub fn next_wakeup(&self, now: Now) -> Duration {
        let group = self.group.next_wake(now).since(now.mono);
        let machine = self.machine.next_wakeup(now);
        let snapshots = self.snapshots.next_due().map(|due| due.since(now.mono));
        [machine, snapshots].into_iter().flatten().fold(group, Duration::min)
    }

    /// One input, with all that follows from it.
    ///
    /// # Errors
    /// If the disk fails: the node stops (S3).
    pub fn step(
        &mut self,
        ctx: &Context<'_>,
        input: Input,
        out: &mut Effects,
    ) -> Result<(), EngineError> {
        let mut outputs = Outputs::default();
        self.machine.set_leader_hint(self.group.leader_hint());
        self.input(ctx, input, &mut outputs, out)?;
        self.machine.tick(&mut cx(ctx, &mut outputs))?;
        self.drive(ctx, &mut outputs, out)?;
        out.replies.append(&mut outputs.replies);
        out.asks.append(&mut outputs.asks);
        Ok(())
    }

    fn input(
        &mut self,
        ctx: &Context<'_>,
        input: Input,
        outputs: &mut Outputs,
        out: &mut Effects,
    ) -> Result<(), EngineError> {
        let now = ctx.now;
        match input {
            Input::Tick => {
                self.group.tick(now, &mut self.effects);
                self.tick_snapshots(ctx, out)
            }
            Input::Peer { from, message: GroupMessage::Paxos(message) } => {
                self.group.message(now, from, message, &mut self.effects);
                Ok(())
            }
            Input::Peer { from, message: GroupMessage::Snapshot(message) } => {
                self.snapshot_message(ctx, from, message, out)
            }
            Input::Request { token, request, deadline } => {
                self.machine.request(&mut cx(ctx, outputs), token, request, deadline)
            }
            Input::Cancel { token } => self.machine.cancel(&mut cx(ctx, outputs), token),
            Input::Answer { ask, result } => {
                self.machine.answer(&mut cx(ctx, outputs), ask, result)
            }
            Input::Persisted(token) => {
                self.group.persisted(now, token, &mut self.effects);
                Ok(())
            }
            Input::Campaign => {
                self.group.campaign(now, &mut self.effects);
                Ok(())
            }
        }
    }

    /// Carries things between the machine, the group and the disk until nobody wants anything.
    fn drive(
        &mut self,
        ctx: &Context<'_>,
        outputs: &mut Outputs,
        out: &mut Effects,
    ) -> Result<(), EngineError> {
        loop {
            self.propose(ctx);
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
    fn propose(&mut self, ctx: &Context<'_>) {
        while let Some(command) = self.machine.next_proposal() {
            let command = command.clone();
            match self.group.propose(ctx.now, command, &mut self.effects) {
                Ok(slot) => self.machine.proposed(slot),
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
            self.group.truncate(through.min(applied), &mut self.effects);
        }
    }

    fn write_log(
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
                Persist::TruncateThrough(slot) => state::truncate_log(batch, range, slot),
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

    /// Applies chosen entries and settles them. Leaves a batch that is written, or holds nothing that
    /// anybody waits to see.
    fn apply(
        &mut self,
        ctx: &Context<'_>,
        entries: &[Chosen],
        batch: &mut WriteBatch,
        outputs: &mut Outputs,
        out: &mut Effects,
    ) -> Result<(), EngineError> {
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
        let mut child = self.child(offspring.state, offspring.applied, offspring.first, floor, batch);
        // What was proposed before the split is settled before it; its memory is divided then.
        self.flush(ctx, batch, outputs)?;
        if child.group.leadership().is_some() {
            child.machine.inherit(&mut self.machine);
        }
        let (left, right) = (self.descriptor().clone(), child.descriptor().clone());
        out.events.push(Event::Split { left, right });
        out.children.push(child);
        Ok(())
    }

    /// A child's replica, born with what its acceptor must know of the parent's (section 8).
    fn child(
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
                paxos::Event::SnapshotNeeded { to, .. } => self.send_snapshot(ctx, to, out)?,
                paxos::Event::Closed { at, .. } => {
                    self.machine.closed(&mut cx(ctx, outputs), at)?;
                }
                paxos::Event::Stray { .. } => self.machine.renew_ballot(&mut cx(ctx, outputs)),
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

/// What an entry may add to a command, generously.
const ENTRY_MARGIN: usize = 0;

fn cx<'a>(ctx: &'a Context<'_>, outputs: &'a mut Outputs) -> Cx<'a> {
    Cx { now: ctx.now, reader: ctx.engine, factory: ctx.factory, out: outputs }
}

fn membership(desc: &Descriptor) -> Membership {
    Membership::majority(desc.voters.clone()).expect("a descriptor names 1 to 15 voters, each once")
}

fn chosen(chosen: paxos::Chosen) -> Chosen {
    let command = match chosen.entry.payload {
        Payload::Command(bytes) => Some(bytes),
        Payload::Noop | Payload::Opening => None,
    };
    Chosen { slot: chosen.slot, first: chosen.entry.first, command, void: chosen.void }
}
