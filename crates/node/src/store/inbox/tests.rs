//! Order, limits and ends of a shard's queues.

use std::time::Duration;

use keys::RangeId;
use kv::Request;
use paxos::{Ballot, Message, Slot};
use range::GroupMessage;
use tokio::sync::oneshot;

use super::*;

const ME: NodeId = NodeId(1);
const PEER: NodeId = NodeId(2);

fn request(call: u64, deadline_ms: u64) -> StoreInput {
    let deadline = Duration::from_millis(deadline_ms);
    let request =
        RangeRequest { range: RangeId(call), deadline, request: Request::Status, trace: None };
    StoreInput::Request(Caller::Remote(PEER, CallId(call)), request)
}

fn group(message: Message) -> StoreInput {
    StoreInput::Group(PEER, RangeId(4), GroupMessage::Paxos(message))
}

fn commit() -> StoreInput {
    group(Message::Commit { ballot: Ballot::new(1, PEER), commit: Slot(1), closed: None })
}

/// The calls of the requests in the order in which they would be begun.
fn calls(inbox: &Inbox) -> Vec<u64> {
    std::iter::from_fn(|| inbox.pop_request()).map(|turn| turn.request.range.0).collect()
}

#[test]
fn requests_go_by_deadlines_that_count_from_their_arrival() {
    let (sender, inbox) = inbox(ME);
    for (at, call, deadline_ms) in [(0, 1, 500), (100, 2, 300), (200, 3, 300), (200, 4, 200)] {
        sender.push(Mono(at * 1_000_000), request(call, deadline_ms)).expect("there is room");
    }
    assert_eq!(
        inbox.shared.lock().requests.first_key_value().map(|(p, _)| p.0.0),
        Some(400_000_000)
    );
    assert_eq!(calls(&inbox), [2, 4, 1, 3]);
    assert_eq!(inbox.shared.lock().bytes.requests, 0);
}

#[test]
fn who_gives_up_is_forgotten_and_nobody_else() {
    let (sender, inbox) = inbox(ME);
    let (told, gone) = oneshot::channel();
    let local = RangeRequest {
        range: RangeId(9),
        deadline: Duration::from_secs(1),
        request: Request::Status,
        trace: None,
    };
    sender.push(Mono(0), StoreInput::Request(Caller::Local(CallId(7), told), local)).expect("room");
    for call in [7, 8, 7] {
        sender.push(Mono(0), request(call, 100)).expect("there is room");
    }
    sender.push(Mono(0), StoreInput::Cancel(PEER, CallId(7))).expect("there is room");
    assert!(
        matches!(inbox.pop(Queue::First), Some(StoreInput::Cancel(PEER, CallId(7)))),
        "one of them may have begun"
    );
    assert_eq!(calls(&inbox), [8, 9]);
    drop(gone);
}

#[test]
fn a_full_queue_lets_go_of_what_nobody_waits_for_and_refuses_the_newest() {
    let (sender, inbox) = inbox(ME);
    for call in 0..INBOX_INPUTS as u64 {
        let deadline_ms = if call == 5 { 10 } else { 1_000 };
        sender.push(Mono(0), request(call, deadline_ms)).expect("there is room");
    }
    assert!(sender.push(Mono(10_000_000), request(77_777, 1_000)).is_err(), "all are waited for");
    sender.push(Mono(10_000_001), request(88_888, 1_000)).expect("the sixth is not");
    assert!(!calls(&inbox).contains(&5));
    for _ in 0..INBOX_INPUTS {
        sender.push(Mono(0), commit()).expect("other queues are not full");
    }
    assert!(sender.push(Mono(0), commit()).is_err());
    let accepted = Message::Accepted {
        ballot: Ballot::new(1, ME),
        until: clock::Timestamp::ZERO,
        matched: Slot(1),
        sent: Slot(1),
    };
    sender.push(Mono(0), group(accepted)).expect("what keeps leases does not wait for logs");
    assert!(inbox.pop(Queue::First).is_some() && inbox.pop(Queue::First).is_none());
}

#[tokio::test]
async fn it_ends_with_the_last_sender_once_what_waits_is_done() {
    let (sender, inbox) = inbox(ME);
    let weak = sender.downgrade();
    let other = weak.upgrade().expect("there is one");
    drop(sender);
    other.push(Mono(0), commit()).expect("there is room");
    assert!(inbox.ready().await);
    drop(other);
    assert!(inbox.ready().await && weak.upgrade().is_none());
    assert!(inbox.pop(Queue::Log).is_some());
    assert!(!inbox.ready().await);
}
