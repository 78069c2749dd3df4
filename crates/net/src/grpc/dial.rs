//! The calling side: dials a peer, shakes hands, sends what is queued; and does it all again.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use keys::NodeId;
use proto::v1::{
    FrameBatch, Handshake, HelloRequest, StreamRequest, stream_request,
    transport_client::TransportClient,
};
use tokio::sync::{Mutex, mpsc};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use super::{
    BATCH_BYTES, BATCH_FRAMES, GrpcOptions, Link, Shared, WIRE_LIMIT_BYTES,
    convert::{from_wire, lane_to_wire, to_wire},
    lock,
    serve::WINDOW_BYTES,
};
use crate::{Lane, NodeInfo};

/// Why nobody said hello.
#[derive(Debug, thiserror::Error)]
pub enum HelloError {
    /// Nobody answers there, or not yet.
    #[error("{address} does not answer: {reason}")]
    Unreachable {
        /// Who was called.
        address: String,
        /// What happened.
        reason: String,
    },
    /// Somebody answers who is no node of ours.
    #[error("{address} is no Meridian node: {reason}")]
    NotANode {
        /// Who was called.
        address: String,
        /// What it said.
        reason: String,
    },
}

/// Asks the node at an address who it is, and tells it who asks.
///
/// # Errors
/// If nobody answers within the connect timeout, or no node.
pub async fn hello(
    address: &str,
    caller: &NodeInfo,
    options: GrpcOptions,
) -> Result<NodeInfo, HelloError> {
    let unreachable =
        |reason: String| HelloError::Unreachable { address: address.to_owned(), reason };
    let not_a_node = |status: &Status| HelloError::NotANode {
        address: address.to_owned(),
        reason: status.message().to_owned(),
    };
    let asked = async {
        let mut client = connect(address, options).await.map_err(unreachable)?;
        let request = HelloRequest { caller: Some(to_wire(caller)) };
        let reply = client.hello(request).await.map_err(|status| match status.code() {
            Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded => {
                unreachable(status.message().to_owned())
            }
            _ => not_a_node(&status),
        })?;
        from_wire(reply.into_inner().node).map_err(|status| not_a_node(&status))
    };
    match timer::timeout(2 * options.connect_timeout, asked).await {
        Ok(answered) => answered,
        Err(_) => Err(unreachable("no answer in time".to_owned())),
    }
}

async fn connect(address: &str, options: GrpcOptions) -> Result<TransportClient<Channel>, String> {
    let channel = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| format!("\"{address}\" is no address: {error}"))?
        .connect_timeout(options.connect_timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(options.keepalive_interval)
        .keep_alive_timeout(options.keepalive_timeout)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .connect()
        .await
        .map_err(|error| chain(&error))?;
    Ok(TransportClient::new(channel)
        .max_decoding_message_size(WIRE_LIMIT_BYTES)
        .max_encoding_message_size(WIRE_LIMIT_BYTES))
}

/// An error and its causes in one line: tonic's own says no more than "transport error".
fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_line = inner.to_string();
        if !line.ends_with(&inner_line) {
            line = format!("{line}: {inner_line}");
        }
        cause = inner.source();
    }
    line
}

/// Keeps the link up until it is abandoned.
pub(super) async fn run(shared: Arc<Shared>, link: Arc<Link>, queued: mpsc::Receiver<Bytes>) {
    // A stream that ends late may still hold the queue when the next one begins.
    let queued = Arc::new(Mutex::new(queued));
    let GrpcOptions { reconnect_min, reconnect_max, .. } = shared.options;
    let mut pause = reconnect_min;
    while !link.is_abandoned() {
        let ended = converse(&shared, &link, &queued).await;
        let was_up = link.up.swap(false, Ordering::AcqRel);
        if link.is_abandoned() {
            return;
        }
        note(&shared, &link, &ended);
        shared.changes.send_replace(());
        pause = if was_up { reconnect_min } else { (pause * 2).min(reconnect_max) };
        wait(&link, pause).await;
    }
}

/// Waits for a pause, or until nudged.
async fn wait(link: &Link, pause: Duration) {
    tokio::select! {
        biased;
        () = link.nudge.notified() => {}
        () = timer::sleep(pause) => {}
    }
}

/// Why there is no stream to a peer.
enum Down {
    /// One of the two has not joined the cluster yet: that passes.
    Joining(String),
    /// Nobody answers, or the stream broke, or an operator made a mistake.
    Broken(String),
}

/// Remembers why a link is down, and logs it when the reason is a new one.
fn note(shared: &Shared, link: &Link, down: &Down) {
    let (Down::Joining(ended) | Down::Broken(ended)) = down;
    let mut reason = lock(&link.reason);
    if *reason != *ended {
        let (node, peer, address) = (shared.local, link.peer, &link.address);
        match down {
            // What is wrong with one lane is wrong with all: it is told once.
            Down::Joining(_) | Down::Broken(_) if link.lane != Lane::Ordinary => {
                tracing::debug!(%node, %peer, %address, reason = ended, "no connection");
            }
            Down::Joining(_) => {
                tracing::info!(%node, %peer, %address, reason = ended, "no connection yet");
            }
            Down::Broken(_) => {
                tracing::warn!(%node, %peer, %address, reason = ended, "no connection");
            }
        }
        ended.clone_into(&mut reason);
    }
}

/// Dials, shakes hands and sends until the stream ends; returns why.
async fn converse(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    queued: &Arc<Mutex<mpsc::Receiver<Bytes>>>,
) -> Down {
    let mut client = match connect(&link.address, shared.options).await {
        Ok(client) => client,
        Err(reason) => return Down::Broken(reason),
    };
    let lane = lane_to_wire(link.lane);
    let handshake =
        Handshake { caller: Some(to_wire(&lock(&shared.info))), wanted_node_id: link.peer.0, lane };
    let first = StreamRequest { message: Some(stream_request::Message::Handshake(handshake)) };
    let requests = stream::once(std::future::ready(first))
        .chain(batches(Arc::clone(link), Arc::clone(queued)));
    let answered = async {
        let mut replies = client.stream(requests).await?.into_inner();
        let reply = replies.message().await?;
        let node = from_wire(reply.and_then(|reply| reply.node))?;
        Ok::<_, Status>((replies, node))
    };
    let (mut replies, node) =
        match timer::timeout(2 * shared.options.connect_timeout, answered).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(status)) => return refused(&status),
            Err(_) => return Down::Broken("no answer to the handshake".to_owned()),
        };
    shared.greet(link, &node);
    loop {
        tokio::select! {
            biased;
            reply = replies.message() => match reply {
                Ok(Some(_)) => {}
                Ok(None) => return Down::Broken("the peer ended the stream".to_owned()),
                Err(status) => {
                    return Down::Broken(format!("the stream broke: {}", chain(&status)));
                }
            },
            () = link.nudge.notified() => if link.is_abandoned() {
                return Down::Broken("abandoned".to_owned());
            },
        }
    }
}

fn refused(status: &Status) -> Down {
    match status.code() {
        Code::Aborted => Down::Joining(status.message().to_owned()),
        Code::FailedPrecondition => Down::Broken(format!("refused: {}", status.message())),
        _ => Down::Broken(chain(status)),
    }
}

impl Shared {
    /// The stream stands: from now on what is sent leaves.
    fn greet(&self, link: &Link, node: &NodeInfo) {
        lock(&link.reason).clear();
        link.up.store(true, Ordering::Release);
        self.changes.send_replace(());
        let (local, peer): (NodeId, NodeId) = (self.local, link.peer);
        let (address, region) = (&link.address, &node.region);
        if link.lane == Lane::Ordinary {
            tracing::info!(node = %local, %peer, %address, %region, "connected");
        }
    }
}

/// Whatever is queued, as batches: one waits until there is something, and takes all there is.
/// Starts with an empty queue: what was left there was meant for a stream that broke.
fn batches(
    link: Arc<Link>,
    queued: Arc<Mutex<mpsc::Receiver<Bytes>>>,
) -> impl Stream<Item = StreamRequest> {
    let emptied = stream::once(async move {
        let mut queued = queued.lock_owned().await;
        while let Ok(stale) = queued.try_recv() {
            link.popped(stale.len());
        }
        (link, queued)
    });
    emptied.flat_map(|start| {
        stream::unfold(start, |(link, mut queued)| async move {
            let mut frames = vec![queued.recv().await?];
            // Whoever is ready to run may have more to say to this peer: it goes along.
            timer::after_the_ready().await;
            let mut bytes = frames[0].len();
            while frames.len() < BATCH_FRAMES && bytes < BATCH_BYTES {
                let Ok(frame) = queued.try_recv() else { break };
                bytes += frame.len();
                frames.push(frame);
            }
            link.popped(bytes);
            let batch = stream_request::Message::Batch(FrameBatch { frames });
            Some((StreamRequest { message: Some(batch) }, (link, queued)))
        })
    })
}
