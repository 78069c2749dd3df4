//! Two transports on loopback: frames, refusals, restarts.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use keys::NodeId;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::{GrpcOptions, GrpcTransport, HelloError, hello};
use crate::{
    ClusterId, Connection, Frame, Inbox, Lane, MESSAGE_LIMIT_BYTES, NodeInfo, PROTOCOL_VERSION,
    SendError, Transport,
};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

fn info(node: NodeId, cluster: u128) -> NodeInfo {
    NodeInfo {
        cluster: ClusterId(cluster),
        node,
        region: "us-east".to_owned(),
        zone: "a".to_owned(),
        protocol: PROTOCOL_VERSION,
        ..NodeInfo::default()
    }
}

async fn start_at(address: &str, mut info: NodeInfo) -> (Arc<GrpcTransport>, Inbox, String) {
    let listener = TcpListener::bind(address).await.expect("a free port");
    let address = listener.local_addr().expect("it listens").to_string();
    info.address.clone_from(&address);
    let (transport, inbox) = GrpcTransport::start(info, listener, GrpcOptions::default());
    (transport, inbox, address)
}

async fn start(info: NodeInfo) -> (Arc<GrpcTransport>, Inbox, String) {
    start_at("127.0.0.1:0", info).await
}

async fn until_up(transport: &GrpcTransport, peer: NodeId) {
    let up = transport.wait_until(peer, |connection| *connection == Connection::Up);
    timer::timeout(PATIENCE, up).await.expect("connects in time").expect("a known peer");
}

/// Waits until the link is down for a reason that contains these words.
async fn until_down(transport: &GrpcTransport, peer: NodeId, words: &str) {
    let down = transport.wait_until(peer, |connection| match connection {
        Connection::Up => false,
        Connection::Down { reason } => reason.contains(words),
    });
    let waited = timer::timeout(PATIENCE, down).await;
    waited.unwrap_or_else(|_| panic!("{words}: {:?}", transport.peers())).expect("a known peer");
}

async fn next(inbox: &mut Inbox) -> Frame {
    let next = timer::timeout(PATIENCE, inbox.recv());
    next.await.expect("a frame comes in time").expect("the transport lives")
}

#[tokio::test]
async fn frames_arrive_unchanged_and_in_order_both_ways() {
    let (a, mut from_b, address_a) = start(info(A, 7)).await;
    let (b, mut from_a, address_b) = start(info(B, 7)).await;
    a.connect(B, &address_b);
    b.connect(A, &address_a);
    until_up(&a, B).await;
    until_up(&b, A).await;
    for index in 0..1000u32 {
        a.send(B, Lane::Ordinary, Bytes::copy_from_slice(&index.to_be_bytes()))
            .expect("the queue has room");
        b.send(A, Lane::Ordinary, Bytes::copy_from_slice(&index.to_le_bytes()))
            .expect("the queue has room");
    }
    for index in 0..1000u32 {
        let payload = Bytes::copy_from_slice(&index.to_be_bytes());
        assert_eq!(next(&mut from_a).await, Frame { from: A, payload });
        let payload = Bytes::copy_from_slice(&index.to_le_bytes());
        assert_eq!(next(&mut from_b).await, Frame { from: B, payload });
    }
    a.send(A, Lane::Ordinary, Bytes::from_static(b"me")).expect("to itself");
    assert_eq!(next(&mut from_b).await.from, A);
    assert_eq!(b.seen()[&A].region, "us-east");
}

#[tokio::test]
async fn the_largest_payload_passes_and_larger_ones_do_not() {
    let (a, _from_b, _) = start(info(A, 7)).await;
    let (_b, mut from_a, address_b) = start(info(B, 7)).await;
    a.connect(B, &address_b);
    until_up(&a, B).await;
    let small = Bytes::from_static(b"small");
    a.send(B, Lane::Ordinary, small.clone()).expect("small ones pass");
    a.send(B, Lane::Ordinary, vec![1; MESSAGE_LIMIT_BYTES - small.len()].into())
        .expect("room for the largest");
    let too_large = vec![1; MESSAGE_LIMIT_BYTES + 1];
    assert_eq!(
        a.send(B, Lane::Ordinary, too_large.into()),
        Err(SendError::TooLarge(MESSAGE_LIMIT_BYTES + 1))
    );
    assert_eq!(next(&mut from_a).await.payload, small);
    assert_eq!(next(&mut from_a).await.payload.len(), MESSAGE_LIMIT_BYTES - small.len());
}

#[tokio::test]
async fn a_restarted_peer_is_found_again() {
    let (a, _from_b, _) = start(info(A, 7)).await;
    let (b, from_a, address_b) = start(info(B, 7)).await;
    a.connect(B, &address_b);
    until_up(&a, B).await;
    b.shutdown();
    drop((b, from_a));
    until_down(&a, B, "").await;
    assert_eq!(a.send(B, Lane::Ordinary, Bytes::new()), Err(SendError::NotConnected(B)));
    // The listener closes some moments after the transport ends.
    let (_b, mut from_a, _) = timer::timeout(PATIENCE, restart(&address_b)).await.expect("free");
    until_up(&a, B).await;
    a.send(B, Lane::Ordinary, Bytes::from_static(b"again")).expect("connected");
    assert_eq!(next(&mut from_a).await.payload, "again");
}

/// Starts node B at an address that is about to be free.
async fn restart(address: &str) -> (Arc<GrpcTransport>, Inbox, String) {
    while TcpListener::bind(address).await.is_err() {
        tokio::task::yield_now().await;
    }
    start_at(address, info(B, 7)).await
}

#[tokio::test]
async fn strangers_are_refused_with_the_reason() {
    let (a, _from_b, _) = start(info(A, 7)).await;
    let (_b, mut from_a, address_b) = start(info(B, 8)).await;
    a.connect(B, &address_b);
    until_down(&a, B, "belongs to cluster 00000000000000000000000000000007").await;
    a.connect(NodeId(3), &address_b);
    until_down(&a, NodeId(3), "the address of n3 reaches n2").await;
    assert_eq!(a.send(B, Lane::Ordinary, Bytes::new()), Err(SendError::NotConnected(B)));
    assert!(from_a.try_recv().is_none(), "nothing of a stranger arrives");
    a.disconnect(B);
    assert_eq!(a.send(B, Lane::Ordinary, Bytes::new()), Err(SendError::NoSuchPeer(B)));
}

#[tokio::test]
async fn a_cluster_is_born_between_nodes_that_said_hello() {
    let (a, _from_b, address_a) = start(info(A, 0)).await;
    let (b, _from_a, address_b) = start(info(B, 0)).await;
    let told = hello(&address_b, &a.info(), GrpcOptions::default()).await.expect("b answers");
    assert_eq!((told.node, told.address), (B, address_b.clone()));
    assert_eq!(b.seen()[&A].address, address_a);
    a.set_cluster(ClusterId(5));
    a.connect(B, &address_b);
    until_down(&a, B, "do not belong to one cluster yet").await;
    b.set_cluster(ClusterId(5));
    until_up(&a, B).await;
}

#[tokio::test]
async fn hello_says_why_nobody_answers() {
    let options = GrpcOptions { connect_timeout: PATIENCE / 10, ..GrpcOptions::default() };
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = gone.local_addr().expect("it listens").to_string();
    drop(gone);
    let error = hello(&address, &info(A, 0), options).await.expect_err("nobody is there");
    assert!(matches!(&error, HelloError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
    let foreign = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = foreign.local_addr().expect("it listens").to_string();
    let answer = async {
        let (mut socket, _) = foreign.accept().await.expect("somebody calls");
        socket.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await.expect("it listens");
    };
    let info = info(A, 0);
    let (_, answered) = tokio::join!(answer, hello(&address, &info, options));
    let error = answered.expect_err("no node").to_string();
    assert!(error.starts_with(&address) && !error.contains('\n'), "{error}");
    let error = hello("no address", &info, options).await.expect_err("nonsense");
    assert!(error.to_string().contains("no address"), "{error}");
}

/// Passes bytes on between callers of a listener and an address, until frozen: then it holds the
/// connections and passes nothing, as a network does whose cable was pulled.
async fn proxy(listener: TcpListener, to: String, frozen: watch::Receiver<bool>) {
    while let Ok((mut caller, _)) = listener.accept().await {
        let (to, mut frozen) = (to.clone(), frozen.clone());
        tokio::spawn(async move {
            let mut called = TcpStream::connect(to).await.expect("the node listens");
            tokio::select! {
                biased;
                _ = frozen.wait_for(|frozen| *frozen) => {}
                _ = tokio::io::copy_bidirectional(&mut caller, &mut called) => return,
            }
            let mut thawed = frozen;
            // Until the test ends: only then does its sender go.
            let _ended = thawed.wait_for(|frozen| !frozen).await;
            drop((caller, called));
        });
    }
}

#[tokio::test]
async fn a_silent_peer_is_noticed() {
    let options = GrpcOptions {
        keepalive_interval: PATIENCE / 100,
        keepalive_timeout: PATIENCE / 50,
        ..GrpcOptions::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let (a, _from_b) = GrpcTransport::start(info(A, 7), listener, options);
    let (_b, mut from_a, address_b) = start(info(B, 7)).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it listens").to_string();
    let (freeze, frozen) = watch::channel(false);
    tokio::spawn(proxy(listener, address_b, frozen));
    a.connect(B, &address);
    until_up(&a, B).await;
    a.send(B, Lane::Ordinary, Bytes::from_static(b"heard")).expect("connected");
    assert_eq!(next(&mut from_a).await.payload, "heard");
    freeze.send_replace(true);
    until_down(&a, B, "").await;
}
