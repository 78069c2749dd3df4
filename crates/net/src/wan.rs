//! A wide-area network inside one process.
//!
//! Every ordered pair of nodes is a [`link`](LinkSpec) with a delay, jitter, bandwidth and loss of
//! its own. A payload that is sent is given a moment of arrival at once and put into one queue for
//! the whole network, ordered by that moment; one waiter (see [`crate::pace`]) sleeps until the
//! first of them is due. So an idle network costs nothing, and the randomness of a link depends on
//! its own traffic alone: one seed, one trace.
//!
//! ```text
//!   sent   ──┬─ queue of the link's bandwidth ─┬─ delay ± jitter ─┬─► inbox
//!            │ busy_until                      │                  │ not before the link's last
//! ```
//!
//! Invariants:
//!
//! 1. Arrivals on a link and in a lane are in the order of sending, but for those that its
//!    specification puts out of order on purpose: none is due before the one ahead of it
//!    (asserted in `Link::schedule`). What keeps leases does not wait for the link's bandwidth.
//! 2. What is in flight to a node when it crashes is lost, also if it restarts before the arrival:
//!    each attachment is a new generation.
//! 3. What is in flight on a link when it is cut is lost, unless it is healed before the arrival.
//!
//! The network starts *unarmed*: nothing is delayed and nothing is lost at random, so that a
//! cluster boots fast; [`SimWan::arm`] makes it as slow as the world.
//!
//! HAZARD: in virtual time deliveries happen on whole ticks: a millisecond, unless
//! [`timer::with_tick`] chose a shorter one. A delay between two ticks is rounded up or down at
//! random so that its mean is right; with ticks of a millisecond a delay of 0.25 ms is thus 0 three
//! times out of four. Live delays are exact to about 0.1 ms.

mod link;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, btree_map::Entry},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use keys::NodeId;
use timer::Instant;
use tokio::sync::oneshot;

pub use link::{LATE_MAX, LinkSpec, LinkStats};

use crate::{
    Connection, Frame, Inbox, Lane, MESSAGE_LIMIT_BYTES, Pace, Peer, SendError, Transport,
    inbox::{InboxSender, inbox},
    pace::{Next, Paced},
};
use link::{Arrivals, Dropped, Link, Moment};

/// The simulated network of one process. Cheap to share; ends when the last handle is dropped.
#[derive(Debug)]
pub struct SimWan {
    paced: Arc<Paced<Net>>,
}

/// All that the network knows, behind one lock.
#[derive(Debug)]
struct Net {
    pace: Pace,
    seed: u64,
    /// The moments below are nanoseconds since this one.
    started: Instant,
    armed: Armed,
    closed: bool,
    nodes: BTreeMap<NodeId, Attachment>,
    links: BTreeMap<(NodeId, NodeId), Link>,
    in_flight: BinaryHeap<Reverse<Parcel>>,
    /// Numbers parcels, so that those due at one moment arrive in the order of sending.
    next_parcel: u64,
}

/// Whether the links behave as they are specified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Armed {
    /// All links are perfect.
    No,
    /// All links are as specified.
    Yes,
}

/// A node's place on the network.
#[derive(Debug)]
struct Attachment {
    /// Where it is, for people.
    place: String,
    /// Grows with each attachment.
    generation: u64,
    /// `None` while the node is down.
    inbox: Option<InboxSender>,
}

/// Something in flight. Ordered by arrival.
#[derive(Debug)]
struct Parcel {
    due: Moment,
    number: u64,
    from: NodeId,
    to: NodeId,
    /// The receiver's generation when it was sent.
    generation: u64,
    load: Load,
}

impl Parcel {
    /// A parcel whose time and number are not known yet.
    fn new(from: NodeId, to: NodeId, generation: u64, load: Load) -> Parcel {
        Parcel { due: Moment::default(), number: 0, from, to, generation, load }
    }
}

#[derive(Debug)]
enum Load {
    Payload(Lane, Bytes),
    /// A measurement on its way out.
    Ping(Probe),
    /// A measurement on its way back.
    Pong(Probe),
}

/// A measurement of a round trip.
#[derive(Debug)]
struct Probe {
    started: Moment,
    done: oneshot::Sender<Duration>,
}

/// The size that a measurement's messages count with.
const PROBE_BYTES: usize = 64;

impl Load {
    fn bytes(&self) -> usize {
        match self {
            Load::Payload(_, payload) => payload.len(),
            Load::Ping(_) | Load::Pong(_) => PROBE_BYTES,
        }
    }

    /// The same once more; measurements are never doubled.
    fn copy(&self) -> Option<Load> {
        match self {
            Load::Payload(lane, payload) => Some(Load::Payload(*lane, payload.clone())),
            Load::Ping(_) | Load::Pong(_) => None,
        }
    }

    /// In which lane it travels. Measurements tell how long ordinary frames take.
    fn lane(&self) -> Lane {
        match self {
            Load::Payload(lane, _) => *lane,
            Load::Ping(_) | Load::Pong(_) => Lane::Ordinary,
        }
    }
}

/// Why a round trip could not be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MeasureError {
    /// One of the nodes was never attached.
    #[error("no such node: {0}")]
    NoSuchNode(NodeId),
    /// The probe was lost: a link is cut, lossy or full, or a node is down.
    #[error("the probe was lost")]
    Lost,
}

impl SimWan {
    /// A network without nodes; all its links are perfect until [`SimWan::set_link`] and
    /// [`SimWan::arm`].
    ///
    /// # Panics
    /// [`Pace::Virtual`]: if called outside a tokio runtime. [`Pace::Live`]: if the system has no
    /// thread left.
    #[must_use]
    pub fn new(pace: Pace, seed: u64) -> Arc<SimWan> {
        let paced = Arc::new(Paced::new(
            pace,
            Net {
                pace,
                seed,
                started: Instant::now(),
                armed: Armed::No,
                closed: false,
                nodes: BTreeMap::new(),
                links: BTreeMap::new(),
                in_flight: BinaryHeap::new(),
                next_parcel: 0,
            },
        ));
        let waiter = Arc::clone(&paced);
        match pace {
            Pace::Live => {
                std::thread::Builder::new()
                    .name("wan".to_owned())
                    .spawn(move || waiter.run_live(Net::step))
                    .expect("a thread for the simulated network");
            }
            Pace::Virtual => {
                tokio::spawn(async move { waiter.run_virtual(Net::step).await });
            }
        }
        Arc::new(SimWan { paced })
    }

    /// Puts a node on the network, or back after [`SimWan::detach`]. `place` is shown to people.
    ///
    /// # Panics
    /// If the node is attached already.
    pub fn attach(self: &Arc<Self>, node: NodeId, place: &str) -> (Arc<SimTransport>, Inbox) {
        let (inbox, receiver) = inbox();
        let mut net = self.paced.lock();
        let generation = match net.nodes.entry(node) {
            Entry::Vacant(entry) => {
                let (place, inbox) = (place.to_owned(), Some(inbox));
                entry.insert(Attachment { place, generation: 1, inbox }).generation
            }
            Entry::Occupied(mut entry) => {
                let attachment = entry.get_mut();
                assert!(attachment.inbox.is_none(), "{node} is attached twice");
                attachment.generation += 1;
                attachment.inbox = Some(inbox);
                attachment.generation
            }
        };
        drop(net);
        let transport = SimTransport { wan: Arc::clone(self), node, generation };
        (Arc::new(transport), receiver)
    }

    /// Takes a node off the network, as a crash does: what is in flight to it is lost, and its old
    /// transport sends nothing any more. Nothing happens if it is down already.
    pub fn detach(&self, node: NodeId) {
        if let Some(attachment) = self.paced.lock().nodes.get_mut(&node) {
            attachment.inbox = None;
        }
    }

    /// Makes the links behave as specified from now on.
    pub fn arm(&self) {
        self.paced.lock().armed = Armed::Yes;
    }

    /// Makes all links perfect again. Cuts stay.
    pub fn disarm(&self) {
        self.paced.lock().armed = Armed::No;
    }

    /// Specifies the link from one node to another. What is in flight keeps its time of arrival.
    pub fn set_link(&self, from: NodeId, to: NodeId, spec: LinkSpec) {
        self.paced.lock().link(from, to).spec = spec;
    }

    /// How the link from one node to another is specified.
    #[must_use]
    pub fn link(&self, from: NodeId, to: NodeId) -> LinkSpec {
        self.paced.lock().link(from, to).spec
    }

    /// Cuts the link from one node to another, in this direction only.
    pub fn cut(&self, from: NodeId, to: NodeId) {
        self.paced.lock().link(from, to).cut = true;
    }

    /// Heals the link from one node to another, in this direction only.
    pub fn heal(&self, from: NodeId, to: NodeId) {
        self.paced.lock().link(from, to).cut = false;
    }

    /// Heals all links.
    pub fn heal_all(&self) {
        self.paced.lock().links.values_mut().for_each(|link| link.cut = false);
    }

    /// What the link from one node to another has carried and lost so far.
    #[must_use]
    pub fn stats(&self, from: NodeId, to: NodeId) -> LinkStats {
        self.paced.lock().link(from, to).stats
    }

    /// Sends a probe from `a` to `b` and back, through the same queues as everything else, and
    /// tells how long it took.
    ///
    /// # Errors
    /// If a node is unknown or the probe was lost.
    pub async fn measure_rtt(&self, a: NodeId, b: NodeId) -> Result<Duration, MeasureError> {
        let (done, measured) = oneshot::channel();
        {
            let mut net = self.paced.lock();
            if let Some(unknown) = [a, b].iter().find(|node| !net.nodes.contains_key(node)) {
                return Err(MeasureError::NoSuchNode(*unknown));
            }
            let started = net.now();
            let probe = Load::Ping(Probe { started, done });
            let wake = net.send(a, b, probe).map_err(|_| MeasureError::Lost)?;
            drop(net);
            self.follow(wake);
        }
        measured.await.map_err(|_| MeasureError::Lost)
    }

    fn follow(&self, wake: Wake) {
        match wake {
            Wake::Yes => self.paced.wake(),
            Wake::No => {}
        }
    }
}

impl Drop for SimWan {
    fn drop(&mut self) {
        self.paced.lock().closed = true;
        self.paced.wake();
    }
}

/// Whether the waiter must look again, since something is due before what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wake {
    Yes,
    No,
}

impl Net {
    fn now(&self) -> Moment {
        let elapsed = Instant::now().saturating_duration_since(self.started);
        Moment(u64::try_from(elapsed.as_nanos()).expect("less than 584 years"))
    }

    fn link(&mut self, from: NodeId, to: NodeId) -> &mut Link {
        let seed = self.seed;
        self.links.entry((from, to)).or_insert_with(|| Link::new(seed, from, to))
    }

    /// Puts a load onto a link. What is lost on the way is lost silently; only a full queue is
    /// noticed by the sender.
    fn send(&mut self, from: NodeId, to: NodeId, load: Load) -> Result<Wake, SendError> {
        let generation = self.nodes.get(&to).ok_or(SendError::NoSuchPeer(to))?.generation;
        let (now, armed, pace) = (self.now(), self.armed, self.pace);
        let link = self.link(from, to);
        let scheduled = match armed {
            Armed::No => link.schedule_at_once(now, load.lane(), load.bytes()),
            Armed::Yes => link.schedule(now, load.lane(), load.bytes(), pace),
        };
        let Arrivals { first, second } = match scheduled {
            Ok(arrivals) => arrivals,
            Err(Dropped::Cut | Dropped::Lost) => return Ok(Wake::No),
            Err(Dropped::QueueFull) => return Err(SendError::QueueFull(to)),
        };
        let twin = second.zip(load.copy());
        let mut wake = self.dispatch(now, first, Parcel::new(from, to, generation, load));
        if let Some((due, load)) = twin {
            let again = self.dispatch(now, due, Parcel::new(from, to, generation, load));
            wake = if again == Wake::Yes { again } else { wake };
        }
        Ok(wake)
    }

    /// Lets a parcel arrive at its time.
    fn dispatch(&mut self, now: Moment, due: Moment, parcel: Parcel) -> Wake {
        let parcel = Parcel { due, number: self.next_parcel, ..parcel };
        self.next_parcel += 1;
        let (from, to) = (parcel.from, parcel.to);
        if due <= now && self.links[&(from, to)].queued_frames() == 1 {
            return self.arrive(parcel, now);
        }
        let first = self.in_flight.peek().is_none_or(|Reverse(first)| parcel < *first);
        self.in_flight.push(Reverse(parcel));
        if first { Wake::Yes } else { Wake::No }
    }

    /// Delivers what is due, and says when to look again.
    fn step(&mut self) -> Next {
        if self.closed {
            self.in_flight.clear();
            return Next::Stop;
        }
        let now = self.now();
        while let Some(Reverse(first)) = self.in_flight.peek() {
            if first.due > now {
                return Next::At(self.started + Duration::from_nanos(first.due.0));
            }
            let Reverse(parcel) = self.in_flight.pop().expect("just seen");
            // A probe that turns round may become the first: the loop looks at that itself.
            self.arrive(parcel, now);
        }
        Next::Idle
    }

    fn arrive(&mut self, parcel: Parcel, now: Moment) -> Wake {
        let Parcel { from, to, generation, load, .. } = parcel;
        let attachment = self.nodes.get(&to).expect("a parcel goes to a known node");
        let inbox = attachment.inbox.as_ref().filter(|_| attachment.generation == generation);
        let inbox = inbox.cloned();
        let link = self.links.get_mut(&(from, to)).expect("a parcel travels on a link");
        link.arrived(load.bytes());
        let Some(inbox) = inbox else {
            link.stats.peer_down += 1;
            return Wake::No;
        };
        if link.cut {
            link.stats.cut += 1;
            return Wake::No;
        }
        link.stats.delivered += 1;
        match load {
            Load::Payload(lane, payload) => {
                if inbox.push(lane, Frame { from, payload }).is_err() {
                    link.stats.delivered -= 1;
                    link.stats.inbox_full += 1;
                }
                Wake::No
            }
            Load::Ping(probe) => self.send(to, from, Load::Pong(probe)).unwrap_or(Wake::No),
            Load::Pong(Probe { started, done }) => {
                // Whoever measured may have given up, and then nobody wants to know.
                let _unwanted = done.send(Duration::from_nanos(now.0 - started.0));
                Wake::No
            }
        }
    }
}

impl PartialEq for Parcel {
    fn eq(&self, other: &Parcel) -> bool {
        self.number == other.number
    }
}

impl Eq for Parcel {}

impl PartialOrd for Parcel {
    fn partial_cmp(&self, other: &Parcel) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Parcel {
    fn cmp(&self, other: &Parcel) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

/// A node's sending end on a [`SimWan`].
#[derive(Debug)]
pub struct SimTransport {
    wan: Arc<SimWan>,
    node: NodeId,
    generation: u64,
}

impl Transport for SimTransport {
    fn local(&self) -> NodeId {
        self.node
    }

    fn send(&self, to: NodeId, lane: Lane, payload: Bytes) -> Result<(), SendError> {
        if payload.len() > MESSAGE_LIMIT_BYTES {
            return Err(SendError::TooLarge(payload.len()));
        }
        let mut net = self.wan.paced.lock();
        let own = net.nodes.get(&self.node).expect("a transport belongs to an attached node");
        if own.inbox.is_none() || own.generation != self.generation {
            return Err(SendError::NotConnected(to));
        }
        let wake = net.send(self.node, to, Load::Payload(lane, payload))?;
        drop(net);
        self.wan.follow(wake);
        Ok(())
    }

    fn peers(&self) -> Vec<Peer> {
        let net = self.wan.paced.lock();
        let others = net.nodes.iter().filter(|(node, _)| **node != self.node);
        others
            .map(|(node, attachment)| Peer {
                node: *node,
                address: attachment.place.clone(),
                connection: match attachment.inbox {
                    Some(_) => Connection::Up,
                    None => Connection::Down { reason: "the node is down".to_owned() },
                },
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
