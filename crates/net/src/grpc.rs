//! Nodes on different machines: frames over gRPC.
//!
//! Each node dials each of its peers and keeps one stream to it for each [`Lane`], on which it sends;
//! what the peer sends arrives on the peer's own streams. Streams in both directions mean that no one
//! has to decide who dials, and that a one-way failure is one; a connection of its own for each lane
//! means that what keeps leases waits behind nothing else, not even in the kernel (P2a).
//!
//! ```text
//!   send ─► queue ─► batch ─► stream ═══ HTTP/2, TCP ═══► reader ─► inbox
//!           (bounded, newest        handshake first:       (bounded, newest
//!            dropped)               refusals say why        dropped)
//! ```
//!
//! - **Batches.** Whatever waits in the queue when the stream can take more leaves as one message:
//!   under load the cost per frame falls, without load nothing is delayed.
//! - **Down means dropped.** Nothing is queued for a peer that is not connected: after a reconnect
//!   it would be stale. The dialler tries again with growing pauses, and at once when the peer
//!   itself calls.
//! - **Dead peers** are noticed by HTTP/2 keepalive, also when no frame flows; a killed process
//!   sooner, by its closed socket.
//! - **Order.** A stream that replaces another from the same node in the same lane makes the older
//!   one's frames worthless; its reader drops them (asserted by the generation it carries), so that a
//!   link's frames arrive in order.
//!
//! Who may talk to whom is decided by [`NodeInfo::check`], on the side that is called. [`hello`]
//! asks a node who it is, also before the cluster is born.
//!
//! HAZARD: this carries no proof of identity; whoever reaches the port is believed. That is what
//! `--insecure` says at start.

mod convert;
mod dial;
mod serve;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use keys::NodeId;
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc, watch},
};

pub use dial::{HelloError, hello};

use crate::{
    ClusterId, Connection, Frame, Inbox, Lane, NodeInfo, Peer, SendError, Transport,
    inbox::{InboxSender, inbox},
};

/// The largest payload that a transport carries. Larger things are sent in chunks.
pub const MESSAGE_LIMIT_BYTES: usize = 64 << 20;

/// Frames that wait for one peer in one lane before the newest are dropped.
const QUEUE_FRAMES: usize = 16_384;

/// Bytes that wait for one peer in one lane before the newest frames are dropped. A frame alone in the
/// queue may be larger.
const QUEUE_BYTES: usize = 64 << 20;

/// Frames that leave in one message at most.
const BATCH_FRAMES: usize = 256;

/// A message takes no further frame once it holds this many bytes.
const BATCH_BYTES: usize = 256 << 10;

/// The largest message on the wire: a batch that was almost full, the largest payload, and the
/// lengths around them.
const WIRE_LIMIT_BYTES: usize = MESSAGE_LIMIT_BYTES + 2 * BATCH_BYTES + 64 * BATCH_FRAMES;

/// How connections are kept.
#[derive(Clone, Copy, Debug)]
pub struct GrpcOptions {
    /// How long a connection or a handshake may take.
    pub connect_timeout: Duration,
    /// The pause after the first failure; it doubles with each further one.
    pub reconnect_min: Duration,
    /// The longest pause.
    pub reconnect_max: Duration,
    /// How often an HTTP/2 ping asks whether the peer still lives.
    pub keepalive_interval: Duration,
    /// How long the answer may take before the connection counts as dead.
    pub keepalive_timeout: Duration,
}

impl Default for GrpcOptions {
    fn default() -> GrpcOptions {
        GrpcOptions {
            connect_timeout: Duration::from_secs(2),
            reconnect_min: Duration::from_millis(50),
            reconnect_max: Duration::from_secs(1),
            keepalive_interval: Duration::from_secs(2),
            keepalive_timeout: Duration::from_secs(4),
        }
    }
}

/// A node's connections to its peers on other machines. Ends with [`GrpcTransport::shutdown`] or
/// when the last handle is dropped.
#[derive(Debug)]
pub struct GrpcTransport {
    shared: Arc<Shared>,
}

/// What the handle, the server and the diallers share.
#[derive(Debug)]
struct Shared {
    local: NodeId,
    options: GrpcOptions,
    info: Mutex<NodeInfo>,
    links: Mutex<BTreeMap<NodeId, [Arc<Link>; Lane::ALL.len()]>>,
    /// By sender and lane: the generation of the stream whose frames count.
    streams: Mutex<BTreeMap<(NodeId, Lane), Arc<AtomicU64>>>,
    /// What callers told of themselves, latest first-hand.
    seen: Mutex<BTreeMap<NodeId, NodeInfo>>,
    inbox: InboxSender,
    /// Frames dropped since the inbox was full.
    inbox_full: AtomicU64,
    /// Told whenever a link goes up or down.
    changes: watch::Sender<()>,
    /// Becomes true once, at the end.
    ending: watch::Sender<bool>,
}

/// The way to one peer in one lane.
#[derive(Debug)]
struct Link {
    peer: NodeId,
    lane: Lane,
    address: String,
    queue: mpsc::Sender<Bytes>,
    /// Bytes in the queue.
    queued_bytes: AtomicUsize,
    /// Whether the stream stands: what is queued leaves.
    up: AtomicBool,
    /// Why it does not, for people.
    reason: Mutex<String>,
    /// The dialler shall try now, or look whether it is still wanted.
    nudge: Notify,
    /// The peer was moved or forgotten: the dialler ends.
    abandoned: AtomicBool,
}

impl GrpcTransport {
    /// Serves on the listener and answers [`hello`] from now on; [`GrpcTransport::connect`] tells
    /// it whom to call. `info.node` is the local node.
    ///
    /// # Panics
    /// If called outside a tokio runtime.
    #[must_use]
    pub fn start(
        info: NodeInfo,
        listener: TcpListener,
        options: GrpcOptions,
    ) -> (Arc<GrpcTransport>, Inbox) {
        let (inbox, receiver) = inbox();
        let shared = Arc::new(Shared {
            local: info.node,
            options,
            info: Mutex::new(info),
            links: Mutex::default(),
            streams: Mutex::default(),
            seen: Mutex::default(),
            inbox,
            inbox_full: AtomicU64::new(0),
            changes: watch::Sender::new(()),
            ending: watch::Sender::new(false),
        });
        tokio::spawn(serve::run(Arc::clone(&shared), listener));
        (Arc::new(GrpcTransport { shared }), receiver)
    }

    /// Keeps a stream to this peer from now on; at another address, if it was known before.
    ///
    /// # Panics
    /// If the peer is the local node.
    pub fn connect(&self, peer: NodeId, address: &str) {
        assert_ne!(peer, self.shared.local, "a node needs no connection to itself");
        let mut links = lock(&self.shared.links);
        if links.get(&peer).is_some_and(|lanes| lanes[0].address == address) {
            return;
        }
        let lanes = Lane::ALL.map(|lane| self.dial(peer, lane, address));
        if let Some(old) = links.insert(peer, lanes) {
            old.iter().for_each(|link| link.abandon());
        }
    }

    fn dial(&self, peer: NodeId, lane: Lane, address: &str) -> Arc<Link> {
        let (queue, queued) = mpsc::channel(QUEUE_FRAMES);
        let link = Arc::new(Link {
            peer,
            lane,
            address: address.to_owned(),
            queue,
            queued_bytes: AtomicUsize::new(0),
            up: AtomicBool::new(false),
            reason: Mutex::new("not yet connected".to_owned()),
            nudge: Notify::new(),
            abandoned: AtomicBool::new(false),
        });
        tokio::spawn(dial::run(Arc::clone(&self.shared), Arc::clone(&link), queued));
        link
    }

    /// Forgets a peer: its stream ends.
    pub fn disconnect(&self, peer: NodeId) {
        if let Some(lanes) = lock(&self.shared.links).remove(&peer) {
            lanes.iter().for_each(|link| link.abandon());
        }
        self.shared.changes.send_replace(());
    }

    /// Waits until the connection to a peer is as wanted.
    ///
    /// # Errors
    /// If the peer is unknown or forgotten meanwhile.
    pub async fn wait_until(
        &self,
        peer: NodeId,
        wanted: impl Fn(&Connection) -> bool,
    ) -> Result<(), SendError> {
        let mut changes = self.shared.changes.subscribe();
        loop {
            let connection = lock(&self.shared.links).get(&peer).map(connection);
            match connection {
                None => return Err(SendError::NoSuchPeer(peer)),
                Some(connection) if wanted(&connection) => return Ok(()),
                Some(_) => changes.changed().await.map_err(|_| SendError::NoSuchPeer(peer))?,
            }
        }
    }

    /// What this node tells of itself.
    #[must_use]
    pub fn info(&self) -> NodeInfo {
        lock(&self.shared.info).clone()
    }

    /// The node now belongs to this cluster. Streams stand between nodes of one cluster only; those
    /// that stood before it was born remain.
    ///
    /// # Panics
    /// If the node belongs to another cluster already.
    pub fn set_cluster(&self, cluster: ClusterId) {
        let mut info = lock(&self.shared.info);
        assert!(
            !info.cluster.is_some() || info.cluster == cluster,
            "{} of cluster {} cannot join cluster {cluster}",
            info.node,
            info.cluster
        );
        info.cluster = cluster;
    }

    /// What other nodes told of themselves when they called.
    #[must_use]
    pub fn seen(&self) -> BTreeMap<NodeId, NodeInfo> {
        lock(&self.shared.seen).clone()
    }

    /// Frames that arrived and were dropped, since the inbox was full.
    #[must_use]
    pub fn inbox_full(&self) -> u64 {
        self.shared.inbox_full.load(Ordering::Relaxed)
    }

    /// Ends the server and all streams.
    pub fn shutdown(&self) {
        self.shared.ending.send_replace(true);
        for link in lock(&self.shared.links).values().flatten() {
            link.abandon();
        }
    }
}

impl Drop for GrpcTransport {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Transport for GrpcTransport {
    fn local(&self) -> NodeId {
        self.shared.local
    }

    fn send(&self, to: NodeId, lane: Lane, payload: Bytes) -> Result<(), SendError> {
        if payload.len() > MESSAGE_LIMIT_BYTES {
            return Err(SendError::TooLarge(payload.len()));
        }
        if to == self.shared.local {
            let frame = Frame { from: to, payload };
            return self.shared.inbox.push(lane, frame).map_err(|_| SendError::QueueFull(to));
        }
        let links = lock(&self.shared.links);
        let link = &links.get(&to).ok_or(SendError::NoSuchPeer(to))?[lane.index()];
        if !link.up.load(Ordering::Acquire) {
            return Err(SendError::NotConnected(to));
        }
        link.push(payload)
    }

    fn peers(&self) -> Vec<Peer> {
        let links = lock(&self.shared.links);
        links
            .values()
            .map(|lanes| Peer {
                node: lanes[0].peer,
                address: lanes[0].address.clone(),
                connection: connection(lanes),
            })
            .collect()
    }
}

/// How the way to a peer stands: up if all its lanes are.
fn connection(lanes: &[Arc<Link>; Lane::ALL.len()]) -> Connection {
    match lanes.iter().find(|link| !link.up.load(Ordering::Acquire)) {
        None => Connection::Up,
        Some(link) => Connection::Down { reason: lock(&link.reason).clone() },
    }
}

impl Link {
    fn push(&self, payload: Bytes) -> Result<(), SendError> {
        let bytes = payload.len();
        let before = self.queued_bytes.fetch_add(bytes, Ordering::AcqRel);
        let fits = before == 0 || before + bytes <= QUEUE_BYTES;
        if fits && self.queue.try_send(payload).is_ok() {
            return Ok(());
        }
        self.popped(bytes);
        Err(SendError::QueueFull(self.peer))
    }

    /// A frame of this size left the queue.
    fn popped(&self, bytes: usize) {
        let before = self.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
        assert!(before >= bytes, "{bytes} bytes leave a queue of {before}");
    }

    fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
        self.nudge.notify_one();
    }

    fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }
}

/// Nothing panics while holding one of these locks in a state that others must not see.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
