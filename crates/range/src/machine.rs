//! The transaction protocol of one range, over a log it does not know how to keep.
//!
//! # What it guarantees
//!
//! Each range runs one [`Machine`] per replica. All of them apply the same commands in the same
//! order; one of them leads, and it alone decides what is proposed and at which timestamps.
//! Together with the gateways' part (the `txn` crate) this gives strict serializability:
//! transactions in the order of their timestamps, and timestamps in the order of real time (X, T).
//!
//! # How it works
//!
//! ```text
//!            request                            chosen, in log order
//!               |                                        |
//!      +--------v---------+     propose          +-------v--------+
//!      | leader:          | -------------------> | apply (all     |
//!      |  locks, validate,|   command with its   |  replicas):    |
//!      |  choose time     |   timestamp          |  batch of      |
//!      +--------^---------+                      |  effects       |
//!               |            settle              +-------+--------+
//!               +----------------------------------------+
//!                 release locks, answer, wake who waited
//! ```
//!
//! A one-group commit: lock what it wrote exclusively and what it read shared, validate (X1),
//! choose s above `min_next` and `TT.now().latest` and below the lease end (R1, T3, P2), propose.
//! Once the entry is applied: let go of the locks (early: s may still be in the future, R1a and T5
//! make that safe), and answer when `TT.after(s)` (T4). The wait ran beside the log's round trip.
//!
//! ```text
//!     arrival  locks   s chosen, proposed          applied        TT.after(s)
//!        |-------|--------|===========================|...............|--> answer
//!         lock wait        paxos                       exposed
//!                         |<------------- commit wait --------------->|
//! ```
//!
//! A participant of a larger transaction locks and validates in the same way, but logs intents at a
//! prepare timestamp p, and keeps its locks until the transaction's record speaks (X5, X7). The
//! record lies in the range of the anchor key; the first of decision and poison in that range's log
//! wins, and nothing else decides.
//!
//! | file | what |
//! |---|---|
//! | `leader` | what only the leader's memory holds; choosing timestamps |
//! | `op` | requests that are parked, their deadlines and answers |
//! | `commit`, `prepare`, `lock` | locking, validating, proposing |
//! | `read` | R2 at the leader, R3 elsewhere, T5 everywhere |
//! | `outcome` | records: push, heartbeat, poison, resolve |
//! | `push` | asking the records of transactions that are in the way |
//! | `apply` | the deterministic effect of a command |
//! | `settle` | what the leader does once its command is applied |
//! | `slice` | large transactions, a slice at a time |
//! | `split` | splits and transfers |
//! | `upkeep`, `acknowledge` | closed time; deletion of records, by the word of their participants |
//! | `sweep` | dropping versions |
//!
//! # Invariants
//!
//! 1. Timestamps a leader assigns increase, lie above the floor, above every timestamp of the log
//!    and above everything served or closed, and below the lease end (R1): asserted in
//!    `Leader::assign`; across leaderships in `Machine::leader_start`.
//! 2. The record of a transaction is written once (X7): `apply` looks before it writes, and a
//!    second verdict is turned into "what the record says".
//! 3. Who holds a promise (prepared, deciding) loses its locks only by the record's word (X5):
//!    asserted by the lock table.
//! 4. Effects and applied slot are one batch (S2); slots are applied without gaps: asserted in
//!    `Machine::apply`.
//! 5. Every parked request has a deadline and is answered exactly once: asserted in `Ops::remove`.
//!
//! # Hazards
//!
//! - **Clocks.** If true time is outside a node's interval, a commit may be acknowledged before its
//!   s is past elsewhere, and a client that reads at another gateway may miss it. Order by
//!   timestamps stays whole: no lost update, no torn read.
//! - **Pauses.** A process stopped between reading its clock and answering a read answers late, not
//!   wrongly: the snapshot at t < lease end can change no more, whoever leads now (R1, P3).
//! - **The lease** is checked with the time given to the step, not with the time of sending.
//!
//! # Where we deviate
//!
//! Spanner holds locks until commit-wait is over; we let go when the decision is applied (T5, R1a).
//! Spanner's participants log prepares of readers as well; ours promise only up to their lease end
//! (X3). Spanner's participants are told the outcome for as long as it takes; ours are asked, once L is
//! past, whether they still need it (X7b).
//!
//! # What it does not know
//!
//! Ballots beyond their order, quorums, disks beyond a [`Reader`], the keys'
//! meaning, where other ranges are.

mod acknowledge;
mod apply;
mod commit;
mod deadlock;
mod leader;
mod lock;
mod op;
mod outcome;
mod prepare;
mod push;
mod read;
mod request;
mod settle;
mod slice;
mod split;
mod sweep;
#[cfg(test)]
mod tests;
mod upkeep;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use clock::{Mono, Now, Timestamp};
use keys::{Key, NodeId};
use kv::{KvError, PushdownFactory, Reply, Request};
use paxos::{Ballot, Slot};
use storage::{EngineError, Reader, WriteBatch};

use crate::{
    Config,
    rules::{Rule, Rules},
    scan::Scan,
    state::{Applied, RangeState},
};
use acknowledge::Acknowledging;
use apply::{Dirty, Done};
use deadlock::Rings;
use leader::Leader;
use op::Ops;
use push::Pushes;
use split::Heirloom;
use sweep::Sweep;
use upkeep::Upkeep;

pub use apply::Chosen;
pub use op::{AskToken, RequestToken};
pub use split::Offspring;

/// What a step may look at, and where its outputs go.
pub struct Cx<'a> {
    /// The time, read once per step.
    pub now: Now,
    /// The store, with everything applied so far.
    pub reader: &'a dyn Reader,
    /// Opens programs.
    pub factory: &'a dyn PushdownFactory,
    /// Outputs.
    pub out: &'a mut Outputs,
}

/// What the machine wants its host to do.
#[derive(Debug, Default)]
pub struct Outputs {
    /// Answers.
    pub replies: Vec<(RequestToken, Result<Reply, KvError>)>,
    /// Questions to the leaders of other ranges, addressed by a key; answered by
    /// [`Machine::answer`].
    pub asks: Vec<(AskToken, Key, Request)>,
    /// Close time up to here, behind everything proposed (R3).
    pub close: Option<Timestamp>,
    /// Hand leadership to this voter: drained (P5).
    pub release: Option<NodeId>,
    /// Long scans, to be done beside the range's work with a view of the store as it is after this
    /// step; with the requests that they answer.
    pub scans: Vec<(RequestToken, Scan)>,
    /// Versions that GC drops; to be written with the next batch, or alone.
    pub batch: WriteBatch,
}

#[cfg(test)]
impl Outputs {
    /// Does the long scans at once, in small slices: where nobody has other threads for them.
    pub(crate) fn finish_scans(&mut self, reader: &dyn Reader) {
        let slice = crate::Slice { keys: 2, bytes: usize::MAX, work: usize::MAX };
        for (token, mut scan) in std::mem::take(&mut self.scans) {
            let answer = loop {
                match scan.go_on(reader, slice).expect("no faults") {
                    crate::scan::Progress::Done(answer) => break *answer,
                    crate::scan::Progress::More => {}
                }
            };
            self.replies.push((token, answer));
        }
    }
}

/// One replica's view of a range's transactions. See the [module](self).
#[derive(Debug)]
pub struct Machine {
    node: NodeId,
    config: Arc<Config>,
    rules: Rules,
    state: RangeState,
    applied: Applied,
    /// Set while this replica leads and is ready to act (P7).
    leader: Option<Box<Leader>>,
    /// Who leads, as far as known; for those who ask the wrong replica.
    leader_hint: Option<NodeId>,
    /// The newest closed timestamp of which this replica has applied everything (R3).
    closed: Timestamp,
    ops: Ops,
    pushes: Pushes,
    rings: Rings,
    acknowledging: Acknowledging,
    /// What was applied and not yet settled.
    done: VecDeque<Done>,
    /// What the batch of this step changed and the store does not show yet.
    dirty: Dirty,
    /// What GC still has to look at.
    sweep: Option<Sweep>,
    /// When jobs are due.
    upkeep: Upkeep,
    /// What this leader keeps for the leader of a child just born.
    heirloom: Option<Heirloom>,
}

impl Machine {
    /// The machine of a replica whose state was read from disk, or was just created.
    #[must_use]
    pub fn new(node: NodeId, config: Arc<Config>, state: RangeState, applied: Applied) -> Machine {
        Machine {
            node,
            ops: Ops::default(),
            pushes: Pushes::default(),
            rings: Rings::default(),
            acknowledging: Acknowledging::default(),
            rules: config.rules,
            config,
            state,
            applied,
            leader: None,
            leader_hint: None,
            closed: Timestamp::ZERO,
            done: VecDeque::new(),
            dirty: Dirty::default(),
            sweep: None,
            upkeep: Upkeep::default(),
            heirloom: None,
        }
    }

    /// Turns commit-wait on or off (T4, T5). What waits is looked at in the next step. Nothing of it
    /// is in the log, so replicas may differ.
    pub fn set_commit_wait(&mut self, commit_wait: crate::CommitWait) {
        Arc::make_mut(&mut self.config).commit_wait = commit_wait;
    }

    /// The range's own state.
    #[must_use]
    pub fn state(&self) -> &RangeState {
        &self.state
    }

    /// How far the log is applied.
    #[must_use]
    pub fn applied(&self) -> Applied {
        self.applied
    }

    /// A snapshot replaced the data.
    pub fn replace(&mut self, state: RangeState, applied: Applied) {
        assert!(self.leader.is_none(), "a leader of {} installs a snapshot", state.descriptor.id);
        assert!(self.done.is_empty(), "a snapshot in the middle of a step");
        (self.state, self.applied, self.sweep) = (state, applied, None);
    }

    /// Whether this replica leads and may act (P7); its lease may still have lapsed.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.leader.is_some()
    }

    /// Least timestamp that may be assigned next; `None` if it does not lead (R1).
    #[must_use]
    pub fn min_next(&self) -> Option<Timestamp> {
        self.leader.as_ref().map(|leader| leader.min_next)
    }

    /// Who leads, as far as the group knows.
    pub fn set_leader_hint(&mut self, hint: Option<NodeId>) {
        self.leader_hint = hint;
    }

    /// This replica leads from now on: everything recovered is applied (P7). It assigns timestamps
    /// above `floor` (P3) and above every timestamp of its log (R1), and enters all intents as
    /// locks (X2).
    ///
    /// # Errors
    /// If the disk fails.
    pub fn leader_start(
        &mut self,
        cx: &mut Cx<'_>,
        ballot: Ballot,
        floor: Timestamp,
        lease_end: Timestamp,
    ) -> Result<(), EngineError> {
        assert!(self.leader.is_none(), "{} leads already", self.state.descriptor.id);
        assert!(!self.state.blank, "{} leads without data", self.state.descriptor.id);
        let log_timestamp = self.applied.max_timestamp;
        let mut leader = Leader::new(&self.config, ballot, cx.now.mono, log_timestamp);
        let keep = |rule, at| if self.rules.keep(rule) { at } else { Timestamp::ZERO };
        let floor = keep(Rule::Floor, floor).max(keep(Rule::LogTimestamps, log_timestamp));
        leader.min_next = floor.next();
        leader.lease_end = lease_end;
        if self.rules.keep(Rule::RecoverIntents) {
            leader.recover(cx.reader, &self.state.descriptor)?;
        }
        self.leader = Some(Box::new(leader));
        self.pushes.clear();
        self.rings.clear();
        self.acknowledging.clear();
        self.upkeep = Upkeep::start(cx.now.mono, self.config.housekeeping);
        // What waited for intents in the store waits in the lock table now.
        for id in self.ops.intent_reads.clone() {
            self.read_again(cx, id)?;
        }
        self.reads_again(cx)
    }

    /// The lease reaches further now (P2).
    ///
    /// # Errors
    /// If the disk fails.
    pub fn lease_extended(&mut self, cx: &mut Cx<'_>, to: Timestamp) -> Result<(), EngineError> {
        let Some(leader) = &mut self.leader else { return Ok(()) };
        assert!(to >= leader.lease_end, "a lease moved back: {} to {to}", leader.lease_end);
        let extended = to > leader.lease_end;
        leader.lease_end = to;
        if extended { self.reads_again(cx) } else { Ok(()) }
    }

    /// This replica leads no more. Who waits is told to ask the next leader, who waits for a
    /// decision in the log that its outcome is unknown here; what is decided and only waits for T4
    /// is still answered.
    pub fn leader_stop(&mut self, cx: &mut Cx<'_>) {
        if self.leader.take().is_some() {
            self.pushes.clear();
            self.rings.clear();
            self.acknowledging.clear();
            self.stop_parked(cx);
        }
    }

    /// The leader closed time: everything at or below `at` that will ever be is applied here (R3).
    ///
    /// # Errors
    /// If the disk fails.
    pub fn closed(&mut self, cx: &mut Cx<'_>, at: Timestamp) -> Result<(), EngineError> {
        if at <= self.closed {
            return Ok(());
        }
        self.closed = at;
        self.reads_again(cx)
    }

    /// Whatever is due.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn tick(&mut self, cx: &mut Cx<'_>) -> Result<(), EngineError> {
        for read in self.release_held(cx) {
            self.read_again(cx, read)?;
        }
        self.expire(cx);
        self.tick_upkeep(cx)?;
        self.tick_pushes(cx)
    }

    /// How long until [`Machine::tick`] has something to do; `None`: nothing is due by itself.
    #[must_use]
    pub fn next_wakeup(&self, now: Now) -> Option<Duration> {
        let wait_for = |at: Mono| at.since(now.mono);
        let deadline = self.ops.next_deadline().map(wait_for);
        let waited = self.ops.next_time().map(|at| now.tt.until_after(at));
        let push = self.pushes.next_due().map(wait_for);
        let upkeep = self.next_upkeep(now).map(wait_for);
        [deadline, waited, push, upkeep].into_iter().flatten().min()
    }

    /// The next command to propose, oldest first, if this replica leads. It stays the next one
    /// until [`Machine::proposed`] or [`Machine::leader_stop`].
    #[must_use]
    pub fn next_proposal(&self) -> Option<&bytes::Bytes> {
        self.leader.as_ref()?.next_proposal()
    }

    /// The command last told by [`Machine::next_proposal`] is proposed in this slot. Answers whose
    /// it is.
    pub fn proposed(&mut self, slot: Slot) -> Option<keys::TxnId> {
        self.leader.as_mut().expect("only a leader proposes").proposed(slot)
    }

    /// Whether nothing is promised, in the log or waiting: for tests.
    #[cfg(test)]
    pub(crate) fn at_rest(&self) -> bool {
        let leader = self.leader.as_ref();
        self.ops.len() == 0 && leader.is_some_and(|l| l.txns.is_empty() && l.log_idle())
    }

    fn leader(&mut self) -> &mut Leader {
        self.leader.as_mut().expect("checked to lead before")
    }
}
