//! The called side: answers hellos, checks handshakes, reads frames.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures::Stream;
use keys::NodeId;
use proto::v1::{
    FrameBatch, Handshake, HelloReply, HelloRequest, StreamReply, StreamRequest, stream_request,
    transport_server,
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Server, server::TcpIncoming},
};

use super::{
    Shared, WIRE_LIMIT_BYTES,
    convert::{from_wire, lane_from_wire, to_wire},
    lock,
};
use crate::{Frame, Lane, NodeInfo, Refusal};

/// HTTP/2 windows: how many bytes a peer may send ahead. Large, so that a long round trip does not
/// throttle a snapshot.
pub(super) const WINDOW_BYTES: u32 = 8 << 20;

/// Nodes whose callers' own words are remembered at most.
const SEEN_NODES: usize = 10_000;

/// Serves until the transport ends.
pub(super) async fn run(shared: Arc<Shared>, listener: TcpListener) {
    let mut ending = shared.ending.subscribe();
    let options = shared.options;
    let service = transport_server::TransportServer::new(Service { shared: Arc::clone(&shared) })
        .max_decoding_message_size(WIRE_LIMIT_BYTES)
        .max_encoding_message_size(WIRE_LIMIT_BYTES);
    let served = Server::builder()
        .http2_keepalive_interval(Some(options.keepalive_interval))
        .http2_keepalive_timeout(Some(options.keepalive_timeout))
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .add_service(service)
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            async move {
                // An error means that the transport is gone, which is an end as well.
                let _ended = ending.wait_for(|ending| *ending).await;
            },
        )
        .await;
    if let Err(error) = served {
        tracing::error!(node = %shared.local, %error, "the node no longer accepts its peers");
    }
}

#[derive(Debug)]
struct Service {
    shared: Arc<Shared>,
}

#[tonic::async_trait]
impl transport_server::Transport for Service {
    async fn hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        let caller = from_wire(request.into_inner().caller)?;
        self.shared.remember(caller);
        let node = to_wire(&lock(&self.shared.info));
        Ok(Response::new(HelloReply { node: Some(node) }))
    }

    type StreamStream = Pin<Box<dyn Stream<Item = Result<StreamReply, Status>> + Send>>;

    async fn stream(
        &self,
        request: Request<Streaming<StreamRequest>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let mut requests = request.into_inner();
        let shaken = timer::timeout(self.shared.options.connect_timeout, requests.message());
        let first = shaken
            .await
            .map_err(|_| Status::deadline_exceeded("no handshake came"))??
            .and_then(|request| request.message);
        let Some(stream_request::Message::Handshake(handshake)) = first else {
            return Err(Status::invalid_argument("a stream begins with a handshake"));
        };
        let lane = lane_from_wire(handshake.lane)?;
        let (caller, reply) = self.shared.admit(handshake)?;
        let generation = self.shared.replace_stream(caller, lane);
        // The reply leaves at once; the sender lives as long as the reader, and so does the answer.
        let (replies, answer) = mpsc::channel(1);
        replies.try_send(Ok(reply)).expect("an empty channel takes one");
        let of = Sender { node: caller, lane, generation };
        tokio::spawn(read(Arc::clone(&self.shared), of, requests, replies));
        Ok(Response::new(Box::pin(ReceiverStream::new(answer))))
    }
}

/// Whose stream it is, and which.
struct Sender {
    node: NodeId,
    lane: Lane,
    generation: Generation,
}

/// Which of a node's streams in a lane this is, and which counts.
struct Generation {
    own: u64,
    current: Arc<AtomicU64>,
}

impl Generation {
    fn is_current(&self) -> bool {
        self.current.load(Ordering::Acquire) == self.own
    }
}

impl Shared {
    /// Checks a handshake.
    fn admit(&self, handshake: Handshake) -> Result<(NodeId, StreamReply), Status> {
        let caller = from_wire(handshake.caller)?;
        let ours = lock(&self.info).clone();
        let wanted = NodeId(handshake.wanted_node_id);
        let checked = if wanted == ours.node {
            ours.check(&caller)
        } else {
            let (found, address) = (ours.node, ours.address.clone());
            Err(Refusal::OtherNode { wanted, found, address })
        };
        if let Err(refusal @ Refusal::Joining { .. }) = &checked {
            tracing::debug!(node = %ours.node, %refusal, "a peer has to wait");
            return Err(Status::aborted(refusal.to_string()));
        }
        if let Err(refusal) = checked {
            tracing::warn!(node = %ours.node, %refusal, "refused a peer");
            // The caller reads it from its own side: the words there are of the called node.
            return Err(Status::failed_precondition(refusal.to_string()));
        }
        let node = caller.node;
        self.remember(caller);
        for link in lock(&self.links).get(&node).into_iter().flatten() {
            // Who calls is up: if we wait to try again, we need not wait any longer.
            link.nudge.notify_one();
        }
        Ok((node, StreamReply { node: Some(to_wire(&ours)) }))
    }

    fn remember(&self, node: NodeInfo) {
        let mut seen = lock(&self.seen);
        if seen.len() < SEEN_NODES || seen.contains_key(&node.node) {
            seen.insert(node.node, node);
        }
    }

    fn replace_stream(&self, caller: NodeId, lane: Lane) -> Generation {
        let mut streams = lock(&self.streams);
        let current = Arc::clone(streams.entry((caller, lane)).or_default());
        let own = current.fetch_add(1, Ordering::AcqRel) + 1;
        Generation { own, current }
    }
}

/// Puts a caller's frames into the inbox until its stream ends, is replaced, or the node ends.
async fn read(
    shared: Arc<Shared>,
    of: Sender,
    mut requests: Streaming<StreamRequest>,
    replies: mpsc::Sender<Result<StreamReply, Status>>,
) {
    let mut ending = shared.ending.subscribe();
    loop {
        let request = tokio::select! {
            biased;
            _ = ending.wait_for(|ending| *ending) => break,
            request = requests.message() => request,
        };
        let Ok(Some(StreamRequest { message: Some(message) })) = request else { break };
        let stream_request::Message::Batch(FrameBatch { frames }) = message else { break };
        for payload in frames {
            if !of.generation.is_current() {
                return;
            }
            if shared.inbox.push(of.lane, Frame { from: of.node, payload }).is_err() {
                shared.inbox_full.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    drop(replies);
}
