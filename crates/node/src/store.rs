//! The store: a few tasks that own all replicas of a node and drive them over its engine.
//!
//! ```text
//!    leases (P2a)    logs    requests by deadline    snapshots      timer
//!         |            |              |                  |            |
//!         v            v              v                  v            v
//!   +---------- one round of a shard: about 2 ms --------------------------+
//!   | read the clock once -> step replicas (what they write is gathered)   |
//!   | -> one batch -> frames for each peer and lane, answers to callers    |
//!   +---------------------------+------------------------------------------+
//!                               | what waits for durability
//!                               v
//!            one sync for all ranges of all shards (S1) -> step `Persisted`, let go
//! ```
//!
//! Each replica belongs to one *shard*, a task ([`shards`]): no locks, no I/O held against a lock. A
//! round has a budget of time, and what is urgent goes first ([`inbox`]): many inputs share one clock
//! reading, one frame per peer and one fsync. The replicas are pure; what is asynchronous is here.
//!
//! T6: a round begins with a reading of a clock that is in no doubt; until then the shard stands still.
//!
//! HAZARD: a replica may act on a reading that is old by the length of a round, or of a pause of the
//! process. This is safe: what a leader may do with a lease (P2) is bounded by timestamps below its
//! end, which no later leader touches (P3), and a reading too early makes `TT.after` false for longer.
//!
//! What it does not know: transactions, Paxos, SQL.

mod callers;
mod demand;
pub mod inbox;
mod input;
mod jobs;
mod knobs;
mod outbox;
pub mod shards;
mod standing;
mod still;
mod sweep;
mod sync;
#[cfg(test)]
mod tests;
mod trouble;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clock::{Mono, Now};
use futures::future::BoxFuture;
use keys::{Key, NodeId, RangeId};
use kv::{KvError, PushdownFactory, RangeRequest, Reply, Request};
use net::Transport;
use range::{AskToken, Context, Effects, Event, Input, Replica, RequestToken, StepError};
use rustc_hash::FxHashMap;
use storage::{Engine, EngineError, Gathered};
use timer::contain::contained;

use crate::{
    disk::Disk,
    epoch::EpochCheck,
    gateway::Leaders,
    guard::Guard,
    message::{CallId, NodeMessage},
    readers::Readers,
    start::Work,
    time::NodeClock,
    timeline::Timelines,
};
use callers::Callers;
use demand::Demand;
use inbox::{Inbox, Turn};
use input::Queue;
use outbox::Outbox;
use shards::{Shard, WeakShards, shard_of};
use standing::{Standing, not_yet};
use still::steady;
use sweep::Sweeps;
use sync::{Syncing, Unsynced, poll_sync};
use trouble::{late, stopped};

pub use callers::Caller;
pub use input::StoreInput;

/// How long a round takes inputs in before frames are sent and the timer is looked at.
const ROUND_TIME: Duration = Duration::from_millis(2);

/// How long of it replication takes while requests wait.
const LOG_TIME: Duration = Duration::from_millis(1);

/// Inputs taken in in one round at most.
const ROUND_INPUTS: usize = 512;

/// Asks another range on behalf of a replica (it met an intent and wants the record's word).
pub type Asker = dyn Fn(Key, Request) -> BoxFuture<'static, Result<Reply, KvError>> + Send + Sync;

/// What the store needs from its node.
#[derive(Clone)]
pub struct StoreParts {
    /// This node.
    pub node: NodeId,
    /// Its disk.
    pub engine: Arc<dyn Engine>,
    /// Who syncs it.
    pub disk: Arc<dyn Disk>,
    /// Who carries out long reads.
    pub readers: Arc<dyn Readers>,
    /// Its time.
    pub clock: Arc<NodeClock>,
    /// The way to its peers.
    pub transport: Arc<dyn Transport>,
    /// Programs for pushed-down work.
    pub factory: Arc<dyn PushdownFactory>,
    /// Settings of every replica.
    pub config: Arc<range::Config>,
    /// How replicas ask other ranges.
    pub asker: Arc<Asker>,
    /// What its work costs.
    pub work: Work,
    /// Whether this node may be heard.
    pub guard: Arc<Guard>,
    /// Whether it looks at the starts of its peers.
    pub epoch_check: EpochCheck,
    /// Whether leaders go to where most is asked for their ranges.
    pub leaders: Leaders,
    /// Draws the timelines of what is traced.
    pub tracer: Arc<trace::Tracer>,
}

/// A shard's state.
pub struct Store {
    parts: StoreParts,
    /// The disk, as this shard writes it: a batch for each round.
    engine: Gathered,
    shard: Shard,
    inputs: Inbox,
    /// For answers to questions of replicas, which come back as inputs, and children that another
    /// shard drives.
    shards: WeakShards,
    /// Those that take part.
    replicas: BTreeMap<RangeId, Replica>,
    /// Those that do not yet.
    standing: Standing,
    /// Whose versions are to be dropped.
    sweeps: Sweeps,
    /// Messages of peers that contradicted what a replica knows.
    refusals: u64,
    /// Ranges whose replica stopped because it contradicts its log. It is opened again when the node
    /// starts.
    stopped: BTreeSet<RangeId>,
    /// Ranges whose replica is being made durable.
    creating: BTreeSet<RangeId>,
    callers: Callers,
    demand: Demand,
    /// Long reads under way, and how to tell that nobody waits for one any more.
    jobs: FxHashMap<RequestToken, Arc<AtomicBool>>,
    wakeups: BTreeSet<(Mono, RangeId)>,
    wakeup_of: BTreeMap<RangeId, Mono>,
    /// Ticks at the latest moment that had any.
    ticks: (Mono, u32),
    outbox: Outbox,
    unsynced: Unsynced,
    syncing: Option<Syncing>,
    timelines: Timelines,
}

impl Store {
    /// A shard with all its replicas that are found on the engine. None takes part before enough peers
    /// know of this start ([`StoreInput::Confirmed`]).
    ///
    /// # Errors
    /// If the disk fails.
    pub fn open(
        parts: StoreParts,
        (shard, inputs): (Shard, Inbox),
        shards: WeakShards,
    ) -> Result<Store, EngineError> {
        let mut waiting = BTreeMap::new();
        let engine = Gathered::new(Arc::clone(&parts.engine));
        let all = Replica::list(&engine)?.into_iter();
        for range in all.filter(|range| shard_of(*range, shards.count()) == shard) {
            let config = Arc::clone(&parts.config);
            let opened = Replica::open(&engine, range, parts.node, config)?;
            waiting.insert(range, opened.expect("it was listed"));
        }
        engine.write_out()?;
        Ok(Store {
            engine,
            timelines: Timelines::new(Arc::clone(&parts.tracer)),
            shard,
            inputs,
            shards,
            replicas: BTreeMap::new(),
            standing: Standing::of(waiting),
            sweeps: Sweeps::default(),
            refusals: 0,
            stopped: BTreeSet::new(),
            creating: BTreeSet::new(),
            callers: Callers::new(parts.node),
            demand: Demand::default(),
            jobs: FxHashMap::default(),
            wakeups: BTreeSet::new(),
            wakeup_of: BTreeMap::new(),
            ticks: (Mono::default(), 0),
            outbox: Outbox::default(),
            unsynced: Unsynced::default(),
            syncing: None,
            parts,
        })
    }

    /// Runs until every sender of inputs is gone (a graceful stop) or the disk fails (S3).
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn run(mut self) -> Result<(), EngineError> {
        loop {
            let timer = self.sleep_time();
            let mut synced = None;
            tokio::select! {
                biased;
                outcome = poll_sync(&mut self.syncing) => synced = Some(outcome),
                more = self.inputs.ready() => if !more {
                    return Ok(());
                },
                () = timer::sleep(timer) => {},
            }
            // What is ready brings what it has: on a busy node rounds are fewer, and frames, batches and
            // syncs with them.
            timer::after_the_ready().await;
            let (round, work) = self.round_size();
            if !work.is_zero() {
                timer::sleep(work).await;
            }
            let now = steady(&self.parts.clock, &self.parts.guard).await;
            if let Some(outcome) = synced {
                outcome?;
                self.let_go(now)?;
            }
            self.take_in(now, round)?;
            self.tick_due(now)?;
            self.sweep_due(now)?;
            self.keep_clock_bound(now)?;
            // S1: what is synced, and all that leaves, rests on what is written.
            self.engine.write_out()?;
            self.begin_sync();
            self.flush();
        }
    }

    /// How many inputs a round may take in; and how long that takes, where a simulation says that
    /// computation takes time.
    fn round_size(&self) -> (usize, Duration) {
        let each = self.parts.work.message;
        if each.is_zero() {
            return (ROUND_INPUTS, Duration::ZERO);
        }
        let fit = ROUND_TIME.as_nanos() / each.as_nanos();
        let most = usize::try_from(fit).unwrap_or(ROUND_INPUTS).clamp(1, ROUND_INPUTS);
        let count = most.min(self.inputs.len());
        (count, each.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX)))
    }

    /// Takes in what waits, the most urgent first, until the round's time is over. A request and a part
    /// of a snapshot are among it in any case, if they wait: nothing waits for ever.
    fn take_in(&mut self, now: Now, most: usize) -> Result<(), EngineError> {
        let clock = Arc::clone(self.parts.clock.source());
        let begun = clock.mono();
        let (mut request, mut bulk) = (false, false);
        for _ in 0..most {
            if let Some(input) = self.inputs.pop(Queue::First) {
                self.input(now, input)?;
                continue;
            }
            let spent = clock.mono().since(begun);
            let log = if spent < LOG_TIME { self.inputs.pop(Queue::Log) } else { None };
            if let Some(input) = log {
                self.input(now, input)?;
                continue;
            }
            let in_time = spent < ROUND_TIME;
            if (in_time || !request)
                && let Some(turn) = self.inputs.pop_request()
            {
                request = true;
                self.turn(now, turn)?;
                continue;
            }
            let log = if in_time { self.inputs.pop(Queue::Log) } else { None };
            let wanted = in_time || !bulk;
            let rest = log.or_else(|| {
                bulk = true;
                wanted.then(|| self.inputs.pop(Queue::Bulk)).flatten()
            });
            match rest {
                Some(input) => self.input(now, input)?,
                None => break,
            }
        }
        Ok(())
    }

    fn sleep_time(&self) -> Duration {
        let now = self.parts.clock.now().mono;
        let next = self.wakeups.first().map_or(IDLE, |(at, _)| at.since(now));
        next.min(IDLE).min(self.sweeps.pause(now).unwrap_or(IDLE))
    }

    fn input(&mut self, now: Now, input: StoreInput) -> Result<(), EngineError> {
        match input {
            StoreInput::Group(from, range, message) => {
                self.step(now, range, Input::Peer { from, message })
            }
            StoreInput::Traced(range, slot, context) => {
                self.timelines.announced(range, slot, context);
                Ok(())
            }
            StoreInput::Request(caller, request) => {
                let deadline = now.mono.plus(request.deadline);
                self.turn(now, Turn { caller, request, deadline })
            }
            StoreInput::Cancel(from, call) => self.cancel(now, from, call),
            StoreInput::Answer(range, ask, result) => {
                self.step(now, range, Input::Answer { ask, result })
            }
            StoreInput::Scanned(token, answer) => self.scanned(token, answer),
            StoreInput::Adopt(replica, birth) => {
                let range = replica.range();
                self.drive(now, *replica);
                self.timelines.persisted(range, birth);
                self.step(now, range, Input::Persisted(birth))
            }
            StoreInput::Create(descriptor, done) => self.create(&descriptor, done),
            StoreInput::Introduced(peer, shown, done) => self.introduced(peer, &shown, done),
            StoreInput::Shown(peer, shown, done) => self.shown(peer, shown, done),
            StoreInput::Confirmed(confirmed) => {
                self.confirm(now, confirmed);
                Ok(())
            }
            StoreInput::Admit(done) => self.admit(done),
            StoreInput::CommitWait(commit_wait, done) => {
                self.set_commit_wait(now, commit_wait)?;
                // Whoever asked may have given up.
                done.send(()).unwrap_or_default();
                Ok(())
            }
            StoreInput::Stop(range, why) => {
                if self.replicas.contains_key(&range) {
                    self.stop_replica(now, range, &why);
                }
                Ok(())
            }
            StoreInput::Unborn(told) => {
                // Whoever asked may have given up.
                told.send(self.unborn()).unwrap_or_default();
                Ok(())
            }
            StoreInput::Asked(told) => {
                // As above.
                told.send(self.asked()).unwrap_or_default();
                Ok(())
            }
            StoreInput::Led(told) => {
                let led = self.replicas.values().filter(|replica| replica.leads());
                drop(told.send(led.map(|replica| replica.descriptor().clone()).collect()));
                Ok(())
            }
        }
    }

    /// A request whose turn has come. One that came too late, or whose caller has gone, is not begun.
    fn turn(&mut self, now: Now, turn: Turn) -> Result<(), EngineError> {
        let Turn { caller, request, deadline } = turn;
        if caller.has_gone() {
            return Ok(());
        }
        if deadline <= now.mono {
            self.reply(caller, Err(late(self.parts.node)));
            return Ok(());
        }
        let RangeRequest { range, request, trace, .. } = request;
        if self.stopped.contains(&range) {
            self.reply(caller, Err(stopped(self.parts.node, range)));
            return Ok(());
        }
        if self.standing.waits(range) {
            self.reply(caller, Err(not_yet(range)));
            return Ok(());
        }
        if !self.replicas.contains_key(&range) {
            let known = Vec::new();
            self.reply(caller, Err(KvError::WrongRange { range, known }));
            return Ok(());
        }
        if let Leaders::Follow(_) = self.parts.leaders {
            self.demand.count(range, caller.node(self.parts.node), &request);
        }
        let token = self.callers.begin(caller, range);
        self.timelines.request(token, range, &request, trace);
        self.step(now, range, Input::Request { token, request, deadline })
    }

    /// Nobody waits for the answer any more: the replica forgets the request. Without effect if it
    /// was answered, or has not come.
    fn cancel(&mut self, now: Now, from: NodeId, call: CallId) -> Result<(), EngineError> {
        for (token, range) in self.callers.cancel(from, call) {
            self.timelines.cancelled(token);
            if let Some(gone) = self.jobs.remove(&token) {
                gone.store(true, Ordering::Release);
            }
            self.step(now, range, Input::Cancel { token })?;
        }
        Ok(())
    }

    fn step(&mut self, now: Now, range: RangeId, input: Input) -> Result<(), EngineError> {
        assert!(now.tt.is_bounded(), "T6: {range} is stepped by a clock in doubt: {now:?}");
        let Some(replica) = self.replicas.get_mut(&range) else {
            // A message for a replica that this node does not have (not yet, or no more). Groups
            // send again; nothing is made by a message (section 8 of the protocol).
            return Ok(());
        };
        let mut effects = Effects::default();
        let context = Context { now, engine: &self.engine, factory: self.parts.factory.as_ref() };
        let brought = match &input {
            Input::Peer { message, .. } => self.timelines.brought(range, message),
            _ => Vec::new(),
        };
        match replica.step(&context, input, &mut effects) {
            Ok(()) => {}
            Err(StepError::Disk(error)) => return Err(error),
            Err(StepError::Doubt(doubt)) => {
                self.stop_replica(now, range, &doubt);
                return Ok(());
            }
        }
        if !effects.children.is_empty() {
            // Another shard that is to make a range of this number must see that it is here.
            self.engine.write_out()?;
        }
        let applied = replica.machine().applied().slot;
        self.timelines.stepped(range, &brought, &effects, applied);
        self.absorb(now, range, effects);
        Ok(())
    }

    /// Takes a step's effects into the round.
    fn absorb(&mut self, now: Now, range: RangeId, effects: Effects) {
        let Effects { send, send_durable, persist, replies, jobs, asks, children, events, .. } =
            effects;
        for (to, message) in send {
            for announced in self.timelines.announcements(range, &message) {
                self.outbox.push(to, announced);
            }
            self.outbox.push(to, NodeMessage::Group(range, message));
        }
        if let Some(token) = persist {
            self.unsynced.tokens.push((range, token));
        }
        self.unsynced.messages.extend(send_durable.into_iter().map(|(to, m)| (to, range, m)));
        for (token, result) in replies {
            if let Some(caller) = self.callers.end(token) {
                self.reply(caller, result);
            }
        }
        for job in jobs {
            self.begin_job(range, job);
        }
        for (ask, key, request) in asks {
            self.ask(range, ask, key, request);
        }
        for event in events {
            if let Event::Refused { from, cause } = &event {
                self.refused(range, *from, cause);
            } else {
                tracing::info!(node = %self.parts.node, %range, "{event:?}");
            }
        }
        self.schedule(range, now);
        for (child, birth) in children {
            let id = child.range();
            // S1: what the child says waits for the sync that covers its birth. Until then nobody
            // misses one that another shard will drive.
            if shard_of(id, self.shards.count()) == self.shard {
                self.unsynced.tokens.push((id, birth));
                self.drive(now, child);
            } else {
                self.unsynced.given_away.push((child, birth));
            }
        }
    }

    fn reply(&mut self, caller: Caller, result: Result<Reply, KvError>) {
        match caller {
            // The caller may have gone: its transaction cleans up after itself.
            Caller::Local(_, sender) => drop(sender.send(result)),
            Caller::Remote(node, call) => {
                self.outbox.push(node, NodeMessage::Response(call, result));
            }
        }
    }

    fn ask(&self, range: RangeId, ask: AskToken, key: Key, request: Request) {
        let answer = (self.parts.asker)(key, request);
        let (node, shards) = (self.parts.node, self.shards.clone());
        let clock = Arc::clone(self.parts.clock.source());
        tokio::spawn(clock::inherit(async move {
            let answered = contained("a question of a replica", answer).await;
            let failed = || {
                let cause = "the question failed".to_owned();
                Err(KvError::AnswerLost { node, cause })
            };
            let result = answered.unwrap_or_else(failed);
            if let Some(shards) = shards.upgrade() {
                // Without room for it, the replica asks again.
                drop(shards.push(clock.mono(), range, StoreInput::Answer(range, ask, result)));
            }
        }));
    }

    /// Notes when the replica wants to be woken, and whether it has versions to drop.
    fn schedule(&mut self, range: RangeId, now: Now) {
        if self.replicas.get(&range).is_some_and(Replica::wants_sweep) {
            self.sweeps.add(range);
        }
        let wanted = self.replicas.get(&range).map(|replica| replica.next_wakeup(now));
        let at = wanted.map(|after| now.mono.plus(after));
        let before = match at {
            Some(at) => self.wakeup_of.insert(range, at),
            None => self.wakeup_of.remove(&range),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.wakeups.remove(&(before, range));
        }
        if let Some(at) = at {
            self.wakeups.insert((at, range));
        }
    }

    fn tick_due(&mut self, now: Now) -> Result<(), EngineError> {
        // Each due replica once per round, even if it wants to be woken again at once.
        let due = self.wakeups.iter().take_while(|(at, _)| *at <= now.mono);
        let due: Vec<RangeId> = due.map(|(_, range)| *range).collect();
        if now.mono > self.ticks.0 {
            self.ticks = (now.mono, 0);
        }
        for range in due {
            self.ticks.1 += 1;
            // A replica that has nothing to do and wants to be woken takes a core for itself. Where
            // time passes nobody would notice; where it stands still, everything does.
            assert!(self.ticks.1 < TICKS_AT_ONCE, "{range} wants to be woken again and again");
            self.step(now, range, Input::Tick)?;
        }
        Ok(())
    }

    /// Frames for each peer and lane.
    fn flush(&mut self) {
        if self.parts.guard.stops() {
            // Nothing that rests on a clock that is wrong leaves this node: to its peers it is as if
            // cut off, and the leases it holds run out.
            return self.outbox.clear();
        }
        self.outbox.flush(&self.parts);
    }
}

/// Ticks of all replicas at one and the same moment, at most. Asserted.
const TICKS_AT_ONCE: u32 = 100_000;

/// How long the store sleeps at most.
const IDLE: Duration = Duration::from_secs(1);
