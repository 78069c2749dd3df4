//! A store of two ranges, one of which holds a command that cannot be.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use clock::{Clock, Hlc, Interval, Mono};
use futures::{FutureExt, future::BoxFuture};
use keys::{NodeId, RangeId, Span};
use kv::{
    Descriptor, KvError, Pushdown, PushdownError, PushdownFactory, RangeRequest, Reply, Request,
};
use net::{Lane, Peer, SendError, Transport};
use paxos::{Ballot, Entry, Payload, Slot};
use range::{GroupMessage, Replica};
use storage::{Engine, EngineError, MemEngine, WriteBatch};
use timer::Instant;
use tokio::sync::oneshot;

use super::{Caller, Store, StoreInput, StoreParts, shards::Shards};
use crate::{
    disk::Disk,
    epoch::EpochCheck,
    gateway::Leaders,
    guard::{ClockGuard, Guard},
    message::{CallId, NodeFrame, NodeMessage},
    readers::VirtualReaders,
    start::Work,
    time::NodeClock,
};

const ME: NodeId = NodeId(1);
const PEER: NodeId = NodeId(2);
const EPOCH: u64 = 1_000_000_000_000;

/// tokio's time, which a test pauses, and exact.
#[derive(Debug)]
struct Exact(Instant);

impl Clock for Exact {
    fn now(&self) -> Interval {
        let at = EPOCH + self.mono().0;
        Interval { earliest: at, latest: at }
    }

    fn mono(&self) -> Mono {
        Mono(u64::try_from(self.0.elapsed().as_nanos()).expect("short"))
    }

    fn source(&self) -> String {
        "exact".to_owned()
    }

    fn true_offset_nanos(&self) -> Option<i64> {
        None
    }
}

/// A disk that takes no time, and a network without peers.
#[derive(Debug)]
struct Alone;

/// A network that notes what is sent.
#[derive(Debug, Default)]
struct Noted(Mutex<Vec<(Instant, Lane, Bytes)>>);

impl Transport for Noted {
    fn local(&self) -> NodeId {
        ME
    }

    fn send(&self, _to: NodeId, lane: Lane, payload: Bytes) -> Result<(), SendError> {
        self.0.lock().expect("no panic").push((Instant::now(), lane, payload));
        Ok(())
    }

    fn peers(&self) -> Vec<Peer> {
        Vec::new()
    }
}

impl Disk for Alone {
    fn sync(&self) -> BoxFuture<'static, Result<(), EngineError>> {
        std::future::ready(Ok(())).boxed()
    }
}

impl Transport for Alone {
    fn local(&self) -> NodeId {
        ME
    }

    fn send(&self, to: NodeId, _lane: Lane, _payload: Bytes) -> Result<(), SendError> {
        Err(SendError::NotConnected(to))
    }

    fn peers(&self) -> Vec<Peer> {
        Vec::new()
    }
}

impl PushdownFactory for Alone {
    fn open(&self, _program: &[u8]) -> Result<Box<dyn Pushdown>, PushdownError> {
        Err(PushdownError { message: "no programs".to_owned(), encoded: Bytes::new() })
    }
}

/// Two ranges of one replica each; the log of the first goes on with bytes that are no command.
fn disk() -> Arc<MemEngine> {
    let engine = MemEngine::new();
    for (id, span) in [(2, Span::new("a", "m")), (3, Span::new("m", "z"))] {
        let id = RangeId(id);
        let descriptor =
            Descriptor { id, span, generation: 1, voters: vec![ME], preferred_leader: ME };
        Replica::create(&engine, &descriptor, ME, Arc::default()).expect("no faults");
    }
    let ballot = Ballot::new(1, ME);
    let payload = Payload::Command(Bytes::from_static(b"\xff no command"));
    let entry = Entry { first: ballot, ballot, payload };
    let mut batch = WriteBatch::new();
    range::state::write_entry(&mut batch, RangeId(2), Slot(1), &entry);
    engine.write(batch).expect("no faults");
    Arc::new(engine)
}

fn parts(engine: Arc<MemEngine>) -> StoreParts {
    let clock: Arc<dyn Clock> = Arc::new(Exact(Instant::now()));
    let hlc = Hlc::volatile(clock::DEFAULT_TOLERANCE);
    StoreParts {
        node: ME,
        engine,
        disk: Arc::new(Alone),
        readers: Arc::new(VirtualReaders::default()),
        clock: Arc::new(NodeClock::new(clock.clone(), hlc)),
        transport: Arc::new(Alone),
        factory: Arc::new(Alone),
        config: Arc::default(),
        asker: Arc::new(|_, _| std::future::pending().boxed()),
        work: Work::default(),
        guard: Arc::new(Guard::new(ME, ClockGuard::On)),
        epoch_check: EpochCheck::On,
        leaders: Leaders::Stay,
        tracer: trace::Tracer::new(ME, clock, 1),
    }
}

async fn status(shards: &Shards, clock: &dyn Clock, range: u64) -> Result<Reply, KvError> {
    let (reply, answer) = oneshot::channel();
    let deadline = std::time::Duration::from_secs(1);
    let (range, request) = (RangeId(range), Request::Status);
    let request = RangeRequest { range, deadline, request, trace: None };
    let input = StoreInput::Request(Caller::Local(CallId(range.0), reply), request);
    shards.push(clock.mono(), range, input).expect("there is room");
    answer.await.expect("the store answers")
}

/// These peers remember this node's start.
fn confirm(shards: &Shards, clock: &dyn Clock, peers: &[NodeId]) {
    shards.push_all(clock.mono(), || StoreInput::Confirmed(peers.iter().copied().collect()));
}

/// P0a: until a majority of its voters remember this start, a replica hears nothing and says nothing,
/// and whoever asks it is sent on.
#[tokio::test(start_paused = true)]
async fn a_replica_waits_until_its_voters_know_of_the_start() {
    let engine = MemEngine::new();
    let (id, voters) = (RangeId(4), vec![ME, PEER, NodeId(3)]);
    let span = Span::new("a", "z");
    let descriptor = Descriptor { id, span, generation: 1, voters, preferred_leader: ME };
    Replica::create(&engine, &descriptor, ME, Arc::default()).expect("no faults");
    let network = Arc::new(Noted::default());
    let transport = Arc::clone(&network) as Arc<dyn Transport>;
    let parts = StoreParts { transport, ..parts(Arc::new(engine)) };
    let clock = Arc::clone(parts.clock.source());
    let (shards, mut inboxes) = Shards::new(ME, 1);
    let inbox = inboxes.pop().expect("one");
    let store = Store::open(parts, inbox, shards.downgrade()).expect("it opens");
    let running = tokio::spawn(clock::inherit(store.run()));
    let sent = || std::mem::take(&mut *network.0.lock().expect("no panic"));
    for confirmed in [&[][..], &[NodeId(9)]] {
        confirm(&shards, clock.as_ref(), confirmed);
        timer::sleep(std::time::Duration::from_secs(20)).await;
        let asked = status(&shards, clock.as_ref(), 4).await;
        assert!(matches!(asked, Err(KvError::NotLeader { leader: None, .. })), "{asked:?}");
        assert!(sent().is_empty(), "it says something, known to {confirmed:?}");
    }
    confirm(&shards, clock.as_ref(), &[NodeId(9), PEER]);
    timer::sleep(std::time::Duration::from_secs(20)).await;
    status(&shards, clock.as_ref(), 4).await.expect("it takes part");
    assert!(!sent().is_empty(), "it is no candidate");
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_contradicts_its_log_stops_alone() {
    stops_alone(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_contradicts_its_log_stops_alone_in_its_shard() {
    stops_alone(2).await;
}

async fn stops_alone(shards: usize) {
    let parts = parts(disk());
    let clock = Arc::clone(parts.clock.source());
    let (shards, inboxes) = Shards::new(ME, shards);
    let mut running = Vec::new();
    for inbox in inboxes {
        let store = Store::open(parts.clone(), inbox, shards.downgrade()).expect("it opens");
        running.push(tokio::spawn(clock::inherit(store.run())));
    }
    confirm(&shards, clock.as_ref(), &[]);
    timer::sleep(std::time::Duration::from_secs(20)).await;
    let stopped = status(&shards, clock.as_ref(), 2).await;
    let Err(KvError::Unavailable { range, missing }) = &stopped else { panic!("{stopped:?}") };
    assert!(*range == RangeId(2) && missing.contains("contradicts its log"), "{missing}");
    let Ok(Reply::Status(other)) = status(&shards, clock.as_ref(), 3).await else {
        panic!("it serves")
    };
    assert!(other.leader == Some(ME) && other.leading.is_some(), "{other:?}");
    drop(shards);
    for shard in running {
        shard.await.expect("no panic").expect("the disk is well");
    }
}

/// P2a. Each input takes a millisecond, and a thousand requests wait: a grant asked for meanwhile is given
/// at once.
#[tokio::test(start_paused = true)]
async fn a_heartbeat_is_answered_before_a_thousand_requests() {
    let engine = MemEngine::new();
    let (id, voters) = (RangeId(4), vec![ME, PEER]);
    let span = Span::new("a", "z");
    let descriptor = Descriptor { id, span, generation: 1, voters, preferred_leader: PEER };
    Replica::create(&engine, &descriptor, ME, Arc::default()).expect("no faults");
    let network = Arc::new(Noted::default());
    let each = std::time::Duration::from_millis(1);
    let parts = StoreParts {
        transport: Arc::clone(&network) as Arc<dyn Transport>,
        work: Work { message: each },
        ..parts(Arc::new(engine))
    };
    let clock = Arc::clone(parts.clock.source());
    let (shards, mut inboxes) = Shards::new(ME, 1);
    let inbox = inboxes.pop().expect("one");
    let store = Store::open(parts, inbox, shards.downgrade()).expect("it opens");
    let running = tokio::spawn(clock::inherit(store.run()));
    confirm(&shards, clock.as_ref(), &[PEER]);
    for call in 0..1_000 {
        let request = Request::Status;
        let deadline = std::time::Duration::from_secs(60);
        let request = RangeRequest { range: id, deadline, request, trace: None };
        let input = StoreInput::Request(Caller::Remote(PEER, CallId(call)), request);
        shards.push(clock.mono(), id, input).expect("there is room");
    }
    timer::sleep(each * 20).await;
    let asked = Instant::now();
    let lead = paxos::Lead {
        ballot: Ballot::new(1, PEER),
        until: clock.now().latest_timestamp().plus(std::time::Duration::from_secs(3)),
        commit: Slot::NONE,
        sent: Slot::NONE,
        closed: None,
        certificate: None,
    };
    let heartbeat = GroupMessage::Paxos(paxos::Message::Heartbeat { lead });
    shards.push(clock.mono(), id, StoreInput::Group(PEER, id, heartbeat)).expect("there is room");
    timer::sleep(each * 100).await;
    let sent = std::mem::take(&mut *network.0.lock().expect("no panic"));
    let granted = sent.iter().find(|(_, lane, _)| *lane == Lane::Lease).expect("a grant");
    let frame = NodeFrame::decode(ME, &granted.2).expect("just written");
    let [NodeMessage::Group(_, GroupMessage::Paxos(paxos::Message::Accepted { .. }))] =
        &frame.messages[..]
    else {
        panic!("{frame:?}")
    };
    let waited = granted.0 - asked;
    assert!(waited <= each * 6, "a grant waited for {waited:?}");
    let answers = sent.iter().filter(|(_, lane, _)| *lane == Lane::Ordinary).count();
    assert!((10..500).contains(&answers), "{answers} rounds of requests meanwhile");
    running.abort();
}
