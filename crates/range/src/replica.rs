//! One replica on one node: a group, a machine, and the disk they share.
//!
//! # The contract with the node
//!
//! The node's store loop owns all replicas of a node and drives each with [`Replica::step`]:
//!
//! 1. It hands in one [`Input`] and one reading of the time. The step writes what it has to to the
//!    engine itself, in one atomic batch per round (S2), visible at once and not durable.
//! 2. [`Effects::send`] may go at once. [`Effects::send_durable`] goes after a sync of the engine
//!    that *began* after the step, and then the node hands in [`Input::Persisted`] with the step's
//!    token (S1). One sync serves all replicas. Within one replica, tokens are handed in in order;
//!    the newest stands for all before it.
//!    [`Effects::jobs`] are carried out on other threads, a slice at a time; what they come to is the
//!    answer to their request. One whose caller is gone need not be finished.
//! 3. [`Effects::asks`] are routed to the leader of the range that owns the key; every one is
//!    answered by [`Input::Answer`], with an error if need be.
//! 4. [`Effects::children`] are new replicas of this node: they are written, not yet synced, and get
//!    their inputs from now on. Each comes with a token of its own for step 2. A message for a range that the node does not have is dropped: a
//!    replica is never made by a message.
//! 5. [`Input::Tick`] comes at [`Replica::next_wakeup`], or earlier; [`Input::Sweep`] now and then while
//!    [`Replica::wants_sweep`].
//!
//! A disk that fails stops the node (S3), a replica that contradicts its log stops alone
//! ([`StepError`]). What a peer says that contradicts what the replica knows is refused and told
//! ([`Event::Refused`]).
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
//! See [`snapshot`]. A replica that missed a split by installing a snapshot gives birth to the
//! child without its data (*blank*): the child's acceptor must be born, with the parent's promise,
//! grant and horizon, or a quorum could miss a vote; its data comes by a snapshot of its own. Until
//! then it votes and accepts, and neither stands for election (it could be elected for its log, and
//! then serve nothing) nor takes more than [`BLANK_LOG_TIMES`] times what a log is cut at.

mod drive;
pub mod snapshot;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use clock::{Mono, Now, Timestamp};
use keys::{Key, NodeId, RangeId, TxnId};
use kv::{Descriptor, KvError, PushdownFactory, Reply, Request};
use paxos::{Ballot, Candidacy, Group, Membership, Slot};
use serde::{Deserialize, Serialize};
use storage::{Engine, EngineError, WriteBatch};

use crate::{
    Config,
    doubt::StepError,
    machine::{Chosen, Cx, Machine, Outputs},
    scan::Job,
    state::{self, Applied, RangeState},
};
use snapshot::{SnapshotMessage, Snapshots};

pub use crate::machine::{AskToken, RequestToken};
pub use paxos::PersistToken;

/// A blank replica can apply nothing, so its log is never cut. Beyond this many times the limits at
/// which others cut theirs it accepts no further entries; its leader then sends it a snapshot.
pub const BLANK_LOG_TIMES: usize = 4;

/// What replicas of one range say to each other. The node puts many of them into one frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupMessage {
    /// Paxos.
    Paxos(paxos::Message),
    /// A part of a snapshot, or what belongs to it.
    Snapshot(SnapshotMessage),
}

/// How urgent a message is, and what may hold it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Leases depend on it: nothing else holds it up (P2a).
    Lease,
    /// It replicates.
    Log,
    /// A snapshot: much, and nobody waits for it.
    Bulk,
}

impl GroupMessage {
    /// What may hold it up.
    #[must_use]
    pub fn urgency(&self) -> Urgency {
        match self {
            GroupMessage::Paxos(message) if message.keeps_leases() => Urgency::Lease,
            GroupMessage::Paxos(_) => Urgency::Log,
            GroupMessage::Snapshot(_) => Urgency::Bulk,
        }
    }

    /// About how many bytes it takes.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            GroupMessage::Paxos(message) => message.weight(),
            GroupMessage::Snapshot(message) => message.weight(),
        }
    }
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
    /// Drop some versions that nobody may read any more, or move some in: see [`Replica::wants_sweep`].
    Sweep,
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
    /// Long scans, to be done on other threads; each answers a request.
    pub jobs: Vec<Job>,
    /// Questions to other ranges, by key.
    pub asks: Vec<(AskToken, Key, Request)>,
    /// Replicas born by a split, each with the token of its birth: the child vouches for nothing
    /// before it is handed [`Input::Persisted`] with it (S1).
    pub children: Vec<(Replica, PersistToken)>,
    /// For the log and the metrics.
    pub events: Vec<Event>,
    /// Commands of transactions that this step proposed: where, and whose. For timelines.
    pub proposed: Vec<(Slot, TxnId)>,
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
    /// A message contradicts what is known here, and was dropped.
    Refused {
        /// Who sent it.
        from: NodeId,
        /// What is wrong with it.
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
    /// Chosen entries that a blank replica cannot apply before its snapshot. All of them are in its
    /// log, which is bounded ([`BLANK_LOG_TIMES`]).
    held: VecDeque<Chosen>,
    /// Effects of the group, used again and again.
    effects: paxos::Effects,
}

impl Replica {
    /// A replica of a range that was never there before; `desc.preferred_leader` leads it at birth,
    /// and all its replicas are created with the same descriptor. It is in the store afterwards;
    /// the node syncs before it drives the replica, and never creates a range twice.
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
        let above = durable.truncated;
        let log = state::read_log(engine, range, above, Slot(u64::MAX - 1), usize::MAX)?;
        let membership = membership(&state.descriptor);
        let paxos = config.paxos.clone();
        let group = Group::restore(range, me, membership, paxos, durable, log, applied.slot)
            .map_err(|error| corrupt(error.to_string()))?;
        let mut replica = Replica::build(me, config, group, state, applied);
        replica.resume_install(engine)?;
        replica.drop_kept_log(engine)?;
        Ok(Some(replica))
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
        assert!(
            config.entry_bytes + 4 * config.key_bytes <= config.paxos.max_entry_bytes,
            "entries of {} bytes do not fit the log",
            config.entry_bytes
        );
        group.set_preferred(Some(state.descriptor.preferred_leader));
        if state.blank {
            group.set_candidacy(Candidacy::Barred);
        }
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

    /// Turns commit-wait on or off, here and in what is split off later; tick the replica afterwards.
    pub fn set_commit_wait(&mut self, commit_wait: crate::CommitWait) {
        Arc::make_mut(&mut self.config).commit_wait = commit_wait;
        self.machine.set_commit_wait(commit_wait);
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

    /// Whether it has versions to drop, or a snapshot's to move in, and wants [`Input::Sweep`] when there
    /// is time for it.
    #[must_use]
    pub fn wants_sweep(&self) -> bool {
        self.machine.wants_sweep() || self.snapshots.is_installing()
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

    /// The voters of a range led here that never answered its leader, and the range as it was born: their
    /// replicas may not have been made. Nobody, unless the range was made by a message.
    #[must_use]
    pub fn unborn(&self) -> Option<(Vec<NodeId>, Descriptor)> {
        let mut silent = self.group.never_heard().filter(|_| self.leads()).peekable();
        // Nearly every range ends here, and a node may lead thousands.
        silent.peek()?;
        Some((silent.collect(), self.machine.state().birth()?))
    }

    /// How long until a tick is useful.
    #[must_use]
    pub fn next_wakeup(&self, now: Now) -> Duration {
        let group = self.group.next_wake(now).since(now.mono);
        let machine = self.machine.next_wakeup(now);
        let snapshots = self.snapshots_due().map(|due| due.since(now.mono));
        [machine, snapshots].into_iter().flatten().fold(group, Duration::min)
    }

    /// One input, with all that follows from it.
    ///
    /// # Errors
    /// If the disk fails: the node stops (S3). If the replica contradicts its log: it is not to be
    /// driven any more.
    pub fn step(
        &mut self,
        ctx: &Context<'_>,
        input: Input,
        out: &mut Effects,
    ) -> Result<(), StepError> {
        let mut outputs = Outputs::default();
        self.machine.set_leader_hint(self.group.leader_hint());
        self.input(ctx, input, &mut outputs, out)?;
        self.machine.tick(&mut cx(ctx, &mut outputs))?;
        self.drive(ctx, &mut outputs, out)?;
        out.replies.append(&mut outputs.replies);
        out.asks.append(&mut outputs.asks);
        let scans = outputs.scans.drain(..);
        out.jobs.extend(scans.map(|(token, scan)| Job::new(token, scan, ctx.engine.snapshot())));
        Ok(())
    }

    fn input(
        &mut self,
        ctx: &Context<'_>,
        input: Input,
        outputs: &mut Outputs,
        out: &mut Effects,
    ) -> Result<(), StepError> {
        let now = ctx.now;
        match input {
            Input::Tick => {
                self.group.tick(now, &mut self.effects);
                Ok(self.tick_snapshots(ctx, out)?)
            }
            Input::Peer { message: GroupMessage::Paxos(message), .. } if self.is_full(&message) => {
                Ok(())
            }
            Input::Peer { from, message: GroupMessage::Paxos(message) } => {
                self.group.message(now, from, message, &mut self.effects);
                Ok(())
            }
            Input::Peer { from, message: GroupMessage::Snapshot(message) } => {
                self.snapshot_message(ctx, from, message, out)
            }
            Input::Request { token, request, deadline } => {
                Ok(self.machine.request(&mut cx(ctx, outputs), token, request, deadline)?)
            }
            Input::Sweep if self.snapshots.is_installing() => self.install_on(ctx, out),
            Input::Sweep => Ok(self.machine.sweep(&mut cx(ctx, outputs))?),
            Input::Cancel { token } => Ok(self.machine.cancel(&mut cx(ctx, outputs), token)?),
            Input::Answer { ask, result } => {
                Ok(self.machine.answer(&mut cx(ctx, outputs), ask, result)?)
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
}

impl Replica {
    /// Whether a message would make the log of a blank replica longer than it may get.
    fn is_full(&self, message: &paxos::Message) -> bool {
        let paxos::Message::Accept { proposals, .. } = message else { return false };
        let limits = &self.config.paxos;
        self.machine.state().blank
            && !proposals.is_empty()
            && (self.group.last_slot().since(self.machine.applied().slot)
                > limits.log_keep_slots * BLANK_LOG_TIMES as u64
                || self.group.log_bytes() > limits.log_keep_bytes * BLANK_LOG_TIMES)
    }
}

fn cx<'a>(ctx: &'a Context<'_>, outputs: &'a mut Outputs) -> Cx<'a> {
    Cx { now: ctx.now, reader: ctx.engine, factory: ctx.factory, out: outputs }
}

const _: () = assert!(kv::MAX_VOTERS == paxos::MAX_VOTERS, "a descriptor makes a membership");

fn membership(desc: &Descriptor) -> Membership {
    Membership::majority(desc.voters.clone()).expect("a descriptor names 1 to 15 voters, each once")
}
