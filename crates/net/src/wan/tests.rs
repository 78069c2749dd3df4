//! The simulated network in virtual time, and its precision in real time.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use keys::NodeId;
use timer::Instant;

use super::{LATE_MAX, LinkSpec, MeasureError, SimTransport, SimWan};
use crate::{Connection, Frame, Inbox, Lane, Pace, SendError, Transport};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

struct Pair {
    wan: Arc<SimWan>,
    a: Arc<SimTransport>,
    b: Arc<SimTransport>,
    from_b: Inbox,
    from_a: Inbox,
}

fn pair(pace: Pace, seed: u64, spec: LinkSpec) -> Pair {
    let wan = SimWan::new(pace, seed);
    let (a, from_b) = wan.attach(A, "here");
    let (b, from_a) = wan.attach(B, "there");
    wan.set_link(A, B, spec);
    wan.set_link(B, A, spec);
    wan.arm();
    Pair { wan, a, b, from_b, from_a }
}

fn delay(millis: u64) -> LinkSpec {
    LinkSpec { delay: Duration::from_millis(millis), ..LinkSpec::default() }
}

fn number(frame: &Frame) -> u32 {
    u32::from_be_bytes(frame.payload.as_ref().try_into().expect("4 bytes"))
}

fn payload(number: u32) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

/// Sends frames a millisecond apart; returns what arrived, and when after the start.
async fn trace(seed: u64, spec: LinkSpec, frames: u32) -> Vec<(u32, Duration)> {
    let Pair { wan, a, mut from_a, .. } = pair(Pace::Virtual, seed, spec);
    let started = Instant::now();
    let sender = tokio::spawn(async move {
        for index in 0..frames {
            a.send(B, Lane::Ordinary, payload(index)).expect("the queue is not full");
            timer::sleep(Duration::from_millis(1)).await;
        }
        timer::sleep(spec.delay + spec.jitter + 2 * LATE_MAX).await;
        wan.detach(B);
    });
    let mut arrived = Vec::new();
    while let Some(frame) = from_a.recv().await {
        assert_eq!(frame.from, A);
        arrived.push((number(&frame), started.elapsed()));
    }
    sender.await.expect("the sender ends");
    arrived
}

#[tokio::test(start_paused = true)]
async fn frames_arrive_in_order_within_the_jitter() {
    let spec = LinkSpec { jitter: Duration::from_millis(8), ..delay(33) };
    let arrived = trace(7, spec, 500).await;
    assert_eq!(arrived.len(), 500);
    let mut earliest = Duration::MAX;
    for (index, (number, at)) in arrived.iter().enumerate() {
        assert_eq!(*number as usize, index, "order is kept");
        let delay = *at - Duration::from_millis(index as u64);
        earliest = earliest.min(delay);
        assert!(delay >= Duration::from_millis(25), "frame {number} took {delay:?}");
        assert!(delay <= Duration::from_millis(41), "frame {number} took {delay:?}");
    }
    assert!(earliest < Duration::from_millis(31), "there is jitter: {earliest:?}");
}

#[tokio::test(start_paused = true)]
async fn one_seed_one_trace() {
    let spec = LinkSpec { jitter: Duration::from_millis(8), loss: 0.1, ..delay(33) };
    let first = trace(7, spec, 300).await;
    assert_eq!(first, trace(7, spec, 300).await);
    assert_ne!(first, trace(8, spec, 300).await);
}

#[tokio::test(start_paused = true)]
async fn losses_are_as_frequent_as_specified() {
    let spec = LinkSpec { loss: 0.1, ..delay(5) };
    let arrived = trace(3, spec, 2000).await.len();
    assert!((1740..1860).contains(&arrived), "{arrived} of 2000 arrived");
}

#[tokio::test(start_paused = true)]
async fn frames_are_doubled_and_overtaken_as_often_as_specified() {
    let spec = LinkSpec { duplicate: 0.1, reorder: 0.2, ..delay(5) };
    let arrived = trace(3, spec, 2000).await;
    assert!((2150..2250).contains(&arrived.len()), "{} of 2000 arrived", arrived.len());
    let all: BTreeSet<u32> = arrived.iter().map(|(number, _)| *number).collect();
    assert_eq!(all.len(), 2000, "nothing is lost");
    let overtaken = arrived.windows(2).filter(|pair| pair[1].0 < pair[0].0).count();
    assert!((300..800).contains(&overtaken), "{overtaken} were overtaken");
}

#[tokio::test(start_paused = true)]
async fn delays_between_ticks_are_right_on_average() {
    let spec = LinkSpec { delay: Duration::from_micros(250), ..LinkSpec::default() };
    let Pair { wan, .. } = pair(Pace::Virtual, 5, spec);
    let mut total = Duration::ZERO;
    for _ in 0..2000 {
        total += wan.measure_rtt(A, B).await.expect("nothing is lost");
    }
    let mean = total / 2000;
    let right = Duration::from_micros(450)..Duration::from_micros(550);
    assert!(right.contains(&mean), "a round trip of 0.5 ms takes {mean:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cut_works_in_one_direction_and_hits_what_is_in_flight() {
    let Pair { wan, a, b, mut from_a, mut from_b } = pair(Pace::Virtual, 1, delay(10));
    a.send(B, Lane::Ordinary, payload(1)).expect("sent");
    b.send(A, Lane::Ordinary, payload(2)).expect("sent");
    wan.cut(A, B);
    a.send(B, Lane::Ordinary, payload(3)).expect("nobody is told of a cut");
    assert_eq!(number(&from_b.recv().await.expect("the other direction works")), 2);
    wan.heal_all();
    a.send(B, Lane::Ordinary, payload(4)).expect("sent");
    assert_eq!(number(&from_a.recv().await.expect("healed")), 4);
    let stats = wan.stats(A, B);
    assert_eq!((stats.sent, stats.delivered, stats.cut), (3, 1, 2));
    wan.cut(B, A);
    assert_eq!(wan.measure_rtt(A, B).await, Err(MeasureError::Lost));
}

#[tokio::test(start_paused = true)]
async fn a_restarted_node_gets_nothing_that_was_sent_before() {
    let Pair { wan, a, b, mut from_a, .. } = pair(Pace::Virtual, 1, delay(10));
    a.send(B, Lane::Ordinary, payload(1)).expect("sent");
    wan.detach(B);
    assert_eq!(from_a.recv().await, None, "its inbox is gone");
    assert!(matches!(a.peers()[0].connection, Connection::Down { .. }));
    let (reborn, mut from_a) = wan.attach(B, "there");
    a.send(B, Lane::Ordinary, payload(2)).expect("sent");
    assert_eq!(number(&from_a.recv().await.expect("alive again")), 2);
    assert_eq!(
        b.send(A, Lane::Ordinary, payload(3)),
        Err(SendError::NotConnected(A)),
        "of its former life"
    );
    assert_eq!(reborn.send(A, Lane::Ordinary, payload(4)), Ok(()));
    assert_eq!(wan.stats(A, B).peer_down, 1);
}

/// P2a: a second's worth of logs and snapshots waits for the bandwidth; what keeps leases passes by.
#[tokio::test(start_paused = true)]
async fn what_keeps_leases_does_not_wait_for_the_bandwidth() {
    let spec = LinkSpec { bandwidth_bytes_per_s: Some(1_000_000), ..delay(10) };
    let Pair { wan: _wan, a, mut from_a, .. } = pair(Pace::Virtual, 1, spec);
    let started = Instant::now();
    a.send(B, Lane::Bulk, Bytes::from(vec![0; 600_000])).expect("sent");
    a.send(B, Lane::Ordinary, Bytes::from(vec![0; 400_000])).expect("sent");
    a.send(B, Lane::Lease, payload(1)).expect("sent");
    let mut arrivals = Vec::new();
    for _ in 0..3 {
        let frame = from_a.recv().await.expect("it arrives");
        arrivals.push((frame.payload.len(), started.elapsed().as_millis()));
    }
    let [(4, lease), (600_000, bulk), (400_000, ordinary)] = arrivals[..] else {
        panic!("{arrivals:?}")
    };
    assert!(lease <= 12 && (600..650).contains(&bulk) && ordinary >= 1_000, "{arrivals:?}");
}

#[tokio::test(start_paused = true)]
async fn bandwidth_queues_what_is_too_much() {
    let spec = LinkSpec { bandwidth_bytes_per_s: Some(1_000_000), ..delay(10) };
    let Pair { a, mut from_a, wan: _wan, .. } = pair(Pace::Virtual, 1, spec);
    let started = Instant::now();
    for _ in 0..3 {
        a.send(B, Lane::Ordinary, vec![0; 100_000].into()).expect("sent");
    }
    for millis in [110, 210, 310] {
        from_a.recv().await.expect("arrives");
        assert_eq!(started.elapsed(), Duration::from_millis(millis));
    }
}

#[tokio::test(start_paused = true)]
async fn full_queues_drop_the_newest_and_count() {
    let Pair { wan, a, mut from_a, .. } = pair(Pace::Virtual, 1, delay(10));
    let big = Bytes::from(vec![0; 40 << 20]);
    assert_eq!(a.send(B, Lane::Ordinary, big.clone()), Ok(()));
    assert_eq!(a.send(B, Lane::Ordinary, big.clone()), Err(SendError::QueueFull(B)));
    assert_eq!(wan.stats(A, B).queue_full, 1);
    from_a.recv().await.expect("the first one arrives");
    assert_eq!(a.send(B, Lane::Ordinary, big), Ok(()), "there is room again");
    assert_eq!(
        a.send(B, Lane::Ordinary, vec![0; 65 << 20].into()),
        Err(SendError::TooLarge(65 << 20))
    );
    assert_eq!(
        a.send(NodeId(9), Lane::Ordinary, payload(1)),
        Err(SendError::NoSuchPeer(NodeId(9)))
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_delayed_before_it_is_armed() {
    let Pair { wan, a, mut from_a, .. } = pair(Pace::Virtual, 1, delay(1000));
    wan.disarm();
    a.send(B, Lane::Ordinary, payload(1)).expect("sent");
    assert_eq!(number(&from_a.try_recv().expect("there at once")), 1);
    a.send(A, Lane::Ordinary, payload(2)).expect("to itself");
    wan.arm();
    assert_eq!(wan.measure_rtt(A, B).await, Ok(Duration::from_secs(2)));
}

/// The round trips of the simulated world, as many nodes send at once, each to each.
#[tokio::test(start_paused = true)]
async fn links_do_not_disturb_each_other() {
    let wan = SimWan::new(Pace::Virtual, 1);
    let nodes: Vec<NodeId> = (1..=9).map(NodeId).collect();
    let ends: Vec<_> = nodes.iter().map(|node| wan.attach(*node, "x")).collect();
    let spec = |from: NodeId, to: NodeId| delay(u64::from(from.0 + to.0));
    for from in &nodes {
        for to in nodes.iter().filter(|to| *to != from) {
            wan.set_link(*from, *to, spec(*from, *to));
        }
    }
    wan.arm();
    for (transport, _) in &ends {
        for to in nodes.iter().filter(|to| **to != transport.local()) {
            transport.send(*to, Lane::Ordinary, payload(transport.local().0)).expect("sent");
        }
    }
    let started = Instant::now();
    for (transport, mut inbox) in ends {
        let mut senders = BTreeSet::new();
        while senders.len() < nodes.len() - 1 {
            let frame = inbox.recv().await.expect("arrives");
            assert!(started.elapsed() >= spec(frame.from, transport.local()).delay);
            senders.insert(frame.from);
        }
    }
    assert_eq!(started.elapsed(), Duration::from_millis(17), "the longest link: 8 and 9");
}

/// Live round trips are never early, and exact although tokio's timers are not: those would need
/// four times as long for the shorter one. A busy machine makes any single one late, so it is
/// enough that one of many is exact.
#[tokio::test]
async fn live_delays_are_exact() {
    for micros in [250, 2300] {
        let spec = LinkSpec { delay: Duration::from_micros(micros), ..LinkSpec::default() };
        let Pair { wan, .. } = pair(Pace::Live, 1, spec);
        let wanted = 2 * spec.delay;
        let mut best = Duration::MAX;
        for _ in 0..2000 {
            let measured = wan.measure_rtt(A, B).await.expect("nothing is lost");
            assert!(measured >= wanted, "{measured:?} is too early for {wanted:?}");
            best = best.min(measured);
            if best < wanted + Duration::from_micros(300) {
                break;
            }
        }
        assert!(best < wanted + Duration::from_micros(500), "{best:?} instead of {wanted:?}");
    }
}

/// The thread of a live network ends with its last handle.
#[tokio::test]
async fn a_dropped_network_ends_its_thread() {
    let wan = SimWan::new(Pace::Live, 1);
    let paced = Arc::downgrade(&wan.paced);
    drop(wan);
    while paced.strong_count() > 0 {
        tokio::task::yield_now().await;
    }
}
