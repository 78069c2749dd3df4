//! A node's outgoing side: requests to replicas here and elsewhere, questions to other nodes, and
//! the task that reads what comes in.
//!
//! T2: a frame whose clock stamp lies beyond the bound is dropped, and its sender named in the log:
//! its clock, or ours, is broken, and nothing it says may drag our clock forward. Pings in it and
//! their answers are heard all the same: they change nothing but what the guard knows, and only by
//! them does a node learn that it is the one that is wrong ([`crate::guard`]).
//!
//! T6: a node whose own clock is in doubt stands still in the same way: it hears pings and their
//! answers, which alone can confirm its time, and sends nothing for others.

mod births;
mod cancel;
mod compare;
mod follow;
mod loss;
mod touch;
mod vouch;

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use clock::{ClockOutOfBounds, Mono, Timestamp};
use futures::future::BoxFuture;
use keys::{NodeId, RangeId, SchemaVersion};
use kv::{Descriptor, KvError, RangeRequest, RangeSender, Reply};
use net::{Frame, Inbox, SendError, Transport};
use timer::{contain::contained, timeout};
use tokio::sync::{Semaphore, oneshot, watch};

use crate::{
    calls::{CallGuard, Calls, MAX_CALLS},
    epoch::Confirmed,
    guard::Guard,
    members::Members,
    message::{CallId, ClockReading, NodeAnswer, NodeFrame, NodeMessage, NodeQuestion},
    store::{Caller, StoreInput, inbox::Full, shards::Shards},
    time::NodeClock,
};
use cancel::CancelOnDrop;
pub use follow::{Asked, FollowLoad, Leaders};
use loss::{lost, unsent};

/// Beyond a request's own deadline, how much longer its answer is waited for: the replica's answer
/// that it could not do it is worth more than our guess.
const GRACE: Duration = Duration::from_millis(500);

/// How long a range that is to be made on a node waits for the node's admission.
const ADMISSION_PATIENCE: Duration = Duration::from_secs(10);

/// What is said to a request that finds no room.
const FULL: &str = "the node has too much to do: its inbox is full";

/// Questions of peers that are answered at a time; further ones are refused.
const MAX_QUESTIONS: usize = 1_024;

/// Hears of schema versions that older ones must yield to.
pub type SchemaListener =
    dyn Fn(SchemaVersion) -> BoxFuture<'static, Result<(), String>> + Send + Sync;

struct Shared {
    members: Arc<Members>,
    clock: Arc<NodeClock>,
    transport: Arc<dyn Transport>,
    shards: Shards,
    requests: Calls<Result<Reply, KvError>>,
    questions: Calls<NodeAnswer>,
    /// Names the requests to this node's own store.
    local_calls: AtomicU64,
    /// Frames that could not be read.
    unreadable: AtomicU64,
    /// Inputs of peers that found no room in the store's inbox.
    crowded_out: AtomicU64,
    /// Questions of peers that are being answered.
    answering: Arc<Semaphore>,
    system: Descriptor,
    /// Who remembers this node's start.
    confirmed: watch::Receiver<Confirmed>,
    /// The last frame was dropped because this node's own clock bound was not durable yet.
    behind: AtomicBool,
    /// Peers whose last frame was refused since its stamp lies too far ahead: each is told once.
    refused: Mutex<BTreeSet<NodeId>>,
    /// How many they are.
    refusing: AtomicUsize,
    schema: Mutex<Option<Arc<SchemaListener>>>,
    guard: Arc<Guard>,
    meter: Arc<sql::Meter>,
    traces: trace::Collector,
}

/// What a node knows of itself and tells who asks.
#[derive(Clone, Debug)]
pub struct Watches {
    /// Whether its clock can be trusted.
    pub guard: Arc<Guard>,
    /// What commits through it took.
    pub meter: Arc<sql::Meter>,
    /// The traces that this process has heard of.
    pub traces: trace::Collector,
}

/// The node's outgoing side. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gateway of {}", self.shared.members.local().id)
    }
}

impl Gateway {
    /// The gateway of a node whose store listens at `shards`.
    #[must_use]
    pub fn new(
        members: Arc<Members>,
        clock: Arc<NodeClock>,
        transport: Arc<dyn Transport>,
        shards: Shards,
        system: Descriptor,
        confirmed: watch::Receiver<Confirmed>,
        watches: Watches,
    ) -> Gateway {
        // Above all ids of this node's former lives: see `Calls::starting_at`.
        let first = clock.stamp().wall;
        let shared = Shared {
            members,
            clock,
            transport,
            shards,
            requests: Calls::starting_at(first),
            questions: Calls::starting_at(first),
            local_calls: AtomicU64::new(0),
            unreadable: AtomicU64::new(0),
            crowded_out: AtomicU64::new(0),
            answering: Arc::new(Semaphore::new(MAX_QUESTIONS)),
            system,
            confirmed,
            behind: AtomicBool::new(false),
            refused: Mutex::default(),
            refusing: AtomicUsize::new(0),
            schema: Mutex::new(None),
            guard: watches.guard,
            meter: watches.meter,
            traces: watches.traces,
        };
        Gateway { shared: Arc::new(shared) }
    }

    /// All nodes.
    pub fn members(&self) -> &Members {
        &self.shared.members
    }

    /// Now, as the deadlines of what is asked of the store are counted.
    pub fn now(&self) -> Mono {
        self.shared.mono()
    }

    /// The traces that this process has heard of.
    pub fn traces(&self) -> &trace::Collector {
        &self.shared.traces
    }

    /// Who is told of schema changes. Set while the node starts; taken back with `None` when it
    /// ends: the listener holds the database, which holds this gateway.
    pub fn listen_for_schema_changes(&self, listener: Option<Arc<SchemaListener>>) {
        *self.shared.schema.lock().unwrap_or_else(PoisonError::into_inner) = listener;
    }

    fn schema_listener(&self) -> Option<Arc<SchemaListener>> {
        self.shared.schema.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks a node a question. `None`: no answer within `patience`, or nobody to ask.
    pub async fn ask(
        &self,
        to: NodeId,
        question: NodeQuestion,
        patience: Duration,
    ) -> Option<NodeAnswer> {
        let local = self.shared.members.local().id;
        if to == local {
            return Some(self.answer(local, question).await);
        }
        let (id, answer) = self.shared.questions.begin(to)?;
        let _guard = CallGuard::new(&self.shared.questions, id);
        self.shared.send(to, NodeMessage::Ask(id, question)).ok()?;
        timeout(patience, answer).await.ok()?.ok()
    }

    /// This node's own answer to a question.
    async fn answer(&self, from: NodeId, question: NodeQuestion) -> NodeAnswer {
        match question {
            NodeQuestion::Ping => {
                let clock = self.shared.clock.source();
                NodeAnswer::Pong(ClockReading {
                    // In doubt or not: it is for comparison, and says so.
                    interval: clock.claimed(),
                    source: clock.source(),
                    true_offset_nanos: clock.true_offset_nanos(),
                    distrust: self.shared.why_still(),
                })
            }
            NodeQuestion::Stats => NodeAnswer::Stats(Box::new(self.shared.meter.read())),
            NodeQuestion::CreateRange(descriptor) if !self.may_create(&descriptor) => {
                NodeAnswer::Refused(format!("{descriptor} has no replica here"))
            }
            NodeQuestion::CreateRange(descriptor) => {
                match timeout(ADMISSION_PATIENCE, self.create(descriptor)).await {
                    Ok(Some(())) => NodeAnswer::Done,
                    Ok(None) => NodeAnswer::Refused("the node is stopping".into()),
                    Err(_) => NodeAnswer::Refused("the node is not admitted yet".into()),
                }
            }
            NodeQuestion::StopReplica(range, why) => {
                let input = StoreInput::Stop(range, why);
                match self.shared.shards.push(self.shared.mono(), range, input) {
                    Ok(()) => NodeAnswer::Done,
                    Err(_) => NodeAnswer::Refused(FULL.to_owned()),
                }
            }
            NodeQuestion::Introduce(shown) => {
                self.hear(|done| StoreInput::Introduced(from, shown, done)).await
            }
            NodeQuestion::Show(shown) => {
                self.hear(|done| StoreInput::Shown(from, shown, done)).await
            }
            NodeQuestion::Trace(id) => {
                let local = self.shared.members.local().id;
                let (spans, lost) = self.shared.traces.of_node(id, local).unwrap_or_default();
                NodeAnswer::Spans(spans, lost)
            }
            NodeQuestion::SchemaChanged(version) => match self.schema_listener() {
                None => NodeAnswer::Refused("the node is starting".into()),
                Some(listener) => match listener(version).await {
                    Ok(()) => NodeAnswer::Done,
                    Err(why) => NodeAnswer::Refused(why),
                },
            },
        }
    }

    /// Whether a range can have a replica here: this node votes, and its ends are keys that fit the
    /// log, in which conflicts name them.
    fn may_create(&self, descriptor: &Descriptor) -> bool {
        let longest = descriptor.span.start.len().max(descriptor.span.end.len());
        descriptor.voters.contains(&self.shared.members.local().id)
            && longest <= range::Config::default().key_bytes
    }

    /// Makes a replica once enough of its voters remember this node's start. `None`: the node stops.
    pub async fn create(&self, descriptor: Descriptor) -> Option<()> {
        let (node, voters) = (self.shared.members.local().id, &descriptor.voters);
        let mut confirmed = self.shared.confirmed.clone();
        confirmed.wait_for(|confirmed| confirmed.suffices(voters, node)).await.ok()?;
        let (done, created) = oneshot::channel();
        let (now, range) = (self.shared.mono(), descriptor.id);
        self.shared.shards.push(now, range, StoreInput::Create(descriptor, done)).ok()?;
        created.await.ok()
    }

    /// Reads frames until the transport ends.
    pub async fn read_frames(self, mut inbound: Inbox) {
        while let Some(Frame { from, payload }) = inbound.recv().await {
            match NodeFrame::decode(from, &payload) {
                Err(error) => self.unreadable(&error),
                Ok(frame) => self.frame(from, frame),
            }
        }
    }

    fn frame(&self, from: NodeId, frame: NodeFrame) {
        if let Err(error) = self.shared.clock.merge(frame.clock) {
            self.refused(from, &error);
            self.pings_only(from, frame.messages);
            return;
        }
        self.shared.behind.store(false, Ordering::Relaxed);
        if self.shared.refusing.load(Ordering::Relaxed) > 0 {
            self.shared.note_refused(from, Stamp::Fits);
        }
        if self.shared.guard.stops() {
            self.pings_only(from, frame.messages);
            return;
        }
        // Deadlines count from here.
        let now = self.shared.mono();
        for message in frame.messages {
            match message {
                NodeMessage::Group(range, message) => {
                    self.shared.to_store(now, range, StoreInput::Group(from, range, message));
                }
                NodeMessage::Request(id, request) => {
                    let (range, caller) = (request.range, Caller::Remote(from, id));
                    self.shared.to_store(now, range, StoreInput::Request(caller, request));
                }
                NodeMessage::Cancel(range, id) => {
                    self.shared.to_store(now, range, StoreInput::Cancel(from, id));
                }
                NodeMessage::Traced(range, slot, context) => {
                    self.shared.to_store(now, range, StoreInput::Traced(range, slot, context));
                }
                NodeMessage::Response(id, result) => self.shared.requests.answer(from, id, result),
                NodeMessage::Answer(id, answer) => self.shared.questions.answer(from, id, answer),
                NodeMessage::Ask(id, question) => self.answer_later(from, id, question),
            }
        }
    }

    /// What is heard although the time is in dispute. Whoever asks for something else is sent on: it
    /// did not happen here.
    fn pings_only(&self, from: NodeId, messages: Vec<NodeMessage>) {
        for message in messages {
            match message {
                NodeMessage::Ask(id, question @ NodeQuestion::Ping) => {
                    self.answer_later(from, id, question);
                }
                NodeMessage::Answer(id, answer @ NodeAnswer::Pong(_)) => {
                    self.shared.questions.answer(from, id, answer);
                }
                NodeMessage::Request(id, request) if self.shared.why_still().is_some() => {
                    let error = KvError::NotLeader { range: request.range, leader: None };
                    self.shared.send_or_lose(from, NodeMessage::Response(id, Err(error)));
                }
                NodeMessage::Group(..)
                | NodeMessage::Traced(..)
                | NodeMessage::Cancel(..)
                | NodeMessage::Request(..)
                | NodeMessage::Response(..)
                | NodeMessage::Ask(..)
                | NodeMessage::Answer(..) => {}
            }
        }
    }

    /// T2: named in the log with both ends, once until a frame of that peer fits again; whoever waits for
    /// an answer times out. A bound of our own that is late is nobody's broken clock: it is told once as
    /// well, until it has caught up.
    fn refused(&self, from: NodeId, error: &ClockOutOfBounds) {
        let local = self.shared.members.local().id;
        match error {
            ClockOutOfBounds::BrokenClock { .. } => {
                if self.shared.note_refused(from, Stamp::TooFarAhead) {
                    tracing::error!(node = %local, %from, "messages are refused: {error}");
                }
            }
            ClockOutOfBounds::BoundNotDurable { .. } => {
                if !self.shared.behind.swap(true, Ordering::Relaxed) {
                    tracing::warn!(node = %local, %from, "messages are dropped: {error}");
                }
            }
            // T6: told where the node stops serving.
            ClockOutOfBounds::InDoubt { .. } => {
                self.shared.guard.alarm(self.shared.clock.source().jumps());
            }
        }
    }

    fn answer_later(&self, from: NodeId, id: CallId, question: NodeQuestion) {
        let Ok(place) = Arc::clone(&self.shared.answering).try_acquire_owned() else {
            let refused = NodeAnswer::Refused("too many questions at once".into());
            return self.shared.send_or_lose(from, NodeMessage::Answer(id, refused));
        };
        let gateway = self.clone();
        tokio::spawn(clock::inherit(async move {
            let _place = place;
            let answered = contained("an answer to a peer", gateway.answer(from, question));
            let failed = || NodeAnswer::Refused("the answer failed".into());
            let answer = answered.await.unwrap_or_else(failed);
            gateway.shared.send_or_lose(from, NodeMessage::Answer(id, answer));
        }));
    }
}

/// What a frame's clock stamp is to its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stamp {
    Fits,
    TooFarAhead,
}

impl Shared {
    /// Notes whether a peer's frames are refused; whether that is news.
    fn note_refused(&self, from: NodeId, stamp: Stamp) -> bool {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let news = match stamp {
            Stamp::Fits => refused.remove(&from),
            Stamp::TooFarAhead => refused.insert(from),
        };
        self.refusing.store(refused.len(), Ordering::Relaxed);
        news
    }

    /// Why this node does not serve now.
    fn why_still(&self) -> Option<String> {
        self.guard.why_still(&self.clock)
    }

    /// Now, as deadlines are counted.
    fn mono(&self) -> Mono {
        self.clock.source().mono()
    }

    /// What all shards of the store answer to a question. One that ends answers nothing.
    async fn of_all_shards<T>(
        &self,
        ask: impl Fn(oneshot::Sender<Vec<T>>) -> StoreInput,
    ) -> Vec<T> {
        let mut told = Vec::new();
        self.shards.push_all(self.mono(), || {
            let (tell, answer) = oneshot::channel();
            told.push(answer);
            ask(tell)
        });
        let answers = futures::future::join_all(told).await;
        answers.into_iter().flatten().flatten().collect()
    }

    /// Puts something of a peer before the shard of its range. What finds no room is lost, as on a
    /// network, and counted; a request deserves a word.
    fn to_store(&self, now: Mono, range: RangeId, input: StoreInput) {
        let Err(Full(input)) = self.shards.push(now, range, input) else { return };
        let before = self.crowded_out.fetch_add(1, Ordering::Relaxed);
        if (before + 1).is_power_of_two() {
            let (node, count) = (self.members.local().id, before + 1);
            tracing::warn!(%node, "the store's inbox is full: {count} inputs were dropped so far");
        }
        if let StoreInput::Request(Caller::Remote(from, id), _) = *input {
            let error = KvError::Overloaded(FULL.to_owned());
            self.send_or_lose(from, NodeMessage::Response(id, Err(error)));
        }
    }

    fn send(&self, to: NodeId, message: NodeMessage) -> Result<(), SendError> {
        let lane = message.lane();
        let frame = NodeFrame { clock: self.clock.stamp(), messages: vec![message] };
        frame.encode().into_iter().try_for_each(|frame| self.transport.send(to, lane, frame))
    }

    /// Sends an answer, or a cancel. If it is lost, whoever waits times out.
    fn send_or_lose(&self, to: NodeId, message: NodeMessage) {
        if let Err(error) = self.send(to, message) {
            tracing::debug!(%to, "a message was lost: {error}");
        }
    }

    async fn send_local(&self, request: RangeRequest) -> Result<Reply, KvError> {
        let node = self.members.local().id;
        let patience = request.deadline + GRACE;
        let (reply, answer) = oneshot::channel();
        let call = CallId(self.local_calls.fetch_add(1, Ordering::Relaxed));
        let range = request.range;
        let input = StoreInput::Request(Caller::Local(call, reply), request);
        let pushed = self.shards.push(self.mono(), range, input);
        pushed.map_err(|Full(_)| KvError::Overloaded(FULL.to_owned()))?;
        let cancel = CancelOnDrop { shared: self, to: node, range, call };
        let answer = timeout(patience, answer).await;
        cancel.disarm();
        match answer {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(lost(node, "the node is stopping")),
            Err(_) => Err(lost(node, "no answer before the deadline")),
        }
    }

    async fn send_remote(&self, to: NodeId, request: RangeRequest) -> Result<Reply, KvError> {
        let patience = request.deadline + GRACE + self.members.round_trip(to);
        let Some((id, answer)) = self.requests.begin(to) else {
            return Err(KvError::Overloaded(format!("{MAX_CALLS} requests are under way")));
        };
        let _guard = CallGuard::new(&self.requests, id);
        let range = request.range;
        self.send(to, NodeMessage::Request(id, request))
            .map_err(|error| unsent(to, range, &error))?;
        let cancel = CancelOnDrop { shared: self, to, range, call: id };
        let answer = timeout(patience, answer).await;
        cancel.disarm();
        match answer {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(lost(to, "the connection was lost")),
            Err(_) => Err(lost(to, "no answer before the deadline")),
        }
    }
}

impl RangeSender for Gateway {
    fn send(
        &self,
        to: NodeId,
        request: RangeRequest,
    ) -> BoxFuture<'static, Result<Reply, KvError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            // T6, and the guard: nothing is read or written through a node that cannot tell the time.
            if let Some(why) = shared.why_still() {
                let missing = format!("{} does not serve: {why}", shared.members.local().id);
                return Err(KvError::Unavailable { range: request.range, missing });
            }
            if to == shared.members.local().id {
                shared.send_local(request).await
            } else {
                shared.send_remote(to, request).await
            }
        })
    }

    fn local_node(&self) -> NodeId {
        self.shared.members.local().id
    }

    fn round_trip(&self, to: NodeId) -> Duration {
        self.shared.members.round_trip(to)
    }

    fn system_range(&self) -> Descriptor {
        self.shared.system.clone()
    }

    fn observed(&self) -> Timestamp {
        self.shared.clock.observed()
    }
}

#[cfg(test)]
mod tests;
