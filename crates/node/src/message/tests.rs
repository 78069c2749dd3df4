//! Frames that were cut, changed or made up: an error, never a panic, never more memory than their
//! bytes are worth.

use std::time::Duration;

use bytes::Bytes;
use clock::{Timestamp, UpperBound};
use keys::{Key, NodeId, RangeId, Span, TxnId};
use kv::{
    Commit, CommitStats, Committed, Conflict, ConflictKind, Descriptor, KvError, Lock, LockWait,
    Prepare, Push, PushKind, RangeRequest, Read, ReadFrom, ReadReply, ReadSpan, Reply, Request,
    SpanRows, TxnMeta, Validate, Write,
};
use paxos::{Ballot, Entry, Message, Payload, Proposal, Slot};
use proptest::prelude::*;
use range::GroupMessage;

use super::{CallId, FRAME_BYTES, NodeAnswer, NodeFrame, NodeMessage, NodeQuestion};
use crate::{
    epoch::{Epoch, Objection, Reached, Showing, Starts},
    incarnation::Incarnation,
};

const PEER: NodeId = NodeId(2);

fn descriptor() -> Descriptor {
    Descriptor {
        id: RangeId(4),
        span: Span::new("a", "m"),
        generation: 3,
        voters: vec![NodeId(1), NodeId(2), NodeId(3)],
        preferred_leader: NodeId(2),
    }
}

fn reached(number: u64) -> Reached {
    Reached { epoch: Epoch { number, nonce: 7 }, mark: UpperBound(1_700_000_000_000_000_000) }
}

fn showing() -> Showing {
    let incarnation = Incarnation { since: 1, nonce: 11 };
    Showing { incarnation, starts: Starts { now: reached(3), past: vec![reached(1), reached(2)] } }
}

fn requests() -> Vec<Request> {
    let at = Timestamp::from_wall(1_700_000_000_000_000_000);
    let txn = TxnMeta { id: TxnId(77), anchor: Key::from("anchor"), priority: at, start: at };
    let reads = vec![Validate { span: Span::new("b", "c"), since: at }];
    let value = Some(Bytes::from_static(b"value"));
    let writes = vec![Write { key: Key::from("b"), value }];
    vec![
        Request::Read(Read {
            at,
            from: ReadFrom::Leader,
            holder: Some(txn.clone()),
            spans: vec![ReadSpan { span: Span::new("b", "k"), reverse: true }],
            max_rows: 10,
            program: Some(Bytes::from_static(b"program")),
            unchanged_since: Some(at),
        }),
        Request::Lock(Lock {
            txn: txn.clone(),
            keys: vec![Key::from("b"), Key::from("c")],
            since: at,
            wait: LockWait::Wait,
            values: kv::LockValues::Wanted,
        }),
        Request::Prepare(Prepare {
            txn: txn.clone(),
            reads: reads.clone(),
            writes: writes.clone(),
            at_anchor: false,
        }),
        Request::Commit(Commit {
            txn: txn.clone(),
            reads,
            writes,
            participants: vec![keys::Span::point(Key::from("x"))],
            above: at,
            below: Timestamp::MAX,
        }),
        Request::Push(Push { txn: txn.clone(), kind: PushKind::Wound { pusher: txn } }),
    ]
}

fn frame() -> NodeFrame {
    let (ballot, at) = (Ballot::new(3, PEER), Timestamp::from_wall(9));
    let entry = Entry { first: ballot, ballot, payload: Payload::Noop };
    let command = Payload::Command(Bytes::from_static(b"command"));
    let lead = paxos::Lead {
        ballot,
        until: at,
        commit: Slot(4),
        sent: Slot(5),
        closed: None,
        certificate: None,
    };
    let group = |message| NodeMessage::Group(RangeId(4), GroupMessage::Paxos(message));
    let conflict = Conflict {
        kind: ConflictKind::Wounded,
        span: Span::point(Key::from("b")),
        winner: Some(TxnId(8)),
        at: Some(at),
    };
    let rows = SpanRows { rows: vec![(Key::from("b"), Bytes::from_static(b"1"))], resume: None };
    let read = ReadReply { spans: vec![rows], served_by: PEER, waited_nanos: 5, blocked_nanos: 0 };
    let committed = Committed { at, stats: CommitStats::default() };
    let wrong = KvError::WrongRange { range: RangeId(4), known: vec![descriptor()] };
    let mut messages = vec![
        group(Message::Accept {
            lead,
            proposals: vec![Proposal { slot: Slot(5), first: ballot, payload: command }],
        }),
        group(Message::Promise {
            ballot,
            from: Slot(5),
            entries: vec![(Slot(5), entry)],
            complete: true,
            chosen: Slot(4),
            granted: at,
        }),
        NodeMessage::Response(CallId(1), Ok(Reply::Read(read))),
        NodeMessage::Response(CallId(2), Ok(Reply::Committed(committed))),
        NodeMessage::Response(CallId(3), Err(KvError::Conflict(conflict).after_wait(7))),
        NodeMessage::Response(CallId(4), Err(wrong)),
        NodeMessage::Ask(CallId(5), NodeQuestion::CreateRange(descriptor())),
        NodeMessage::Answer(CallId(6), NodeAnswer::Refused("no".to_owned())),
        NodeMessage::Cancel(RangeId(4), CallId(7)),
        NodeMessage::Ask(CallId(9), NodeQuestion::Introduce(showing())),
        NodeMessage::Answer(CallId(9), NodeAnswer::Objection(Objection::OlderCopy(reached(3)))),
    ];
    messages.extend(requests().into_iter().map(|request| {
        let deadline = Duration::from_secs(1);
        let request = RangeRequest { range: RangeId(4), deadline, request, trace: None };
        NodeMessage::Request(CallId(8), request)
    }));
    NodeFrame { clock: at, messages }
}

#[test]
fn a_frame_is_read_back_and_every_shorter_one_is_refused() {
    let frames = frame().encode();
    let [bytes] = &frames[..] else { panic!("{} frames", frames.len()) };
    let read = NodeFrame::decode(PEER, bytes).expect("just written");
    assert_eq!(format!("{read:?}"), format!("{:?}", frame()));
    for length in 0..bytes.len() {
        assert!(NodeFrame::decode(PEER, &bytes[..length]).is_err(), "{length} bytes");
    }
}

/// What is decoded can be looked at and encoded again, whatever it says.
fn look_at(bytes: &[u8]) {
    if let Ok(frame) = NodeFrame::decode(PEER, bytes) {
        for message in &frame.messages {
            if let NodeMessage::Group(_, GroupMessage::Paxos(message)) = message {
                let _ = (message.is_sound(64), message.weight());
            }
        }
        assert!(
            frame.encode().is_empty() == frame.messages.is_empty()
                && !format!("{frame:?}").is_empty()
        );
    }
}

proptest! {
    #[test]
    fn changed_frames_are_no_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)
    ) {
        let mut bytes = frame().encode()[0].to_vec();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        look_at(&bytes);
    }

    #[test]
    fn frames_with_parts_cut_or_doubled_are_no_panic(
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
        doubled in any::<bool>()
    ) {
        let bytes = frame().encode()[0].to_vec();
        let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
        let (from, to) = (from.min(to), from.max(to));
        let middle = if doubled { bytes[from..to].repeat(2) } else { Vec::new() };
        look_at(&[&bytes[..from], &middle, &bytes[to..]].concat());
    }

    #[test]
    fn noise_is_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        look_at(&bytes);
    }
}

/// A clock stamp, and one message.
fn one(message: &[u8]) -> Vec<u8> {
    [&[0, 0, 1][..], message].concat()
}

#[test]
fn what_would_take_the_stack_or_the_memory_is_refused() {
    let deep =
        NodeMessage::Response(CallId(1), Err(KvError::Overloaded(String::new()).after_wait(1)));
    let frames = NodeFrame { clock: Timestamp::ZERO, messages: vec![deep] }.encode();
    let shallow = &frames[0];
    assert!(NodeFrame::decode(PEER, shallow).is_ok());
    // The two bytes of the wait, again and again.
    let place = shallow.len() - 4;
    let nested = shallow[place..place + 2].repeat(1_000_000);
    let bytes = [&shallow[..place], &nested, &shallow[place..]].concat();
    assert!(NodeFrame::decode(PEER, &bytes).is_err());
    // As many messages, and as long a message, as a number can say.
    let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert!(NodeFrame::decode(PEER, &[&[0, 0][..], &most].concat()).is_err());
    assert!(NodeFrame::decode(PEER, &one(&[&[4, 1, 3][..], &most].concat())).is_err());
}

#[test]
fn spans_and_descriptors_that_cannot_be_are_refused() {
    let ask = |descriptor| {
        let messages = vec![NodeMessage::Ask(CallId(1), NodeQuestion::CreateRange(descriptor))];
        NodeFrame::decode(PEER, &NodeFrame { clock: Timestamp::ZERO, messages }.encode()[0])
    };
    assert!(ask(descriptor()).is_ok());
    let span = |start: &str, end: &str| Span { start: Key::from(start), end: Key::from(end) };
    for wrong in [
        Descriptor { span: span("m", "a"), ..descriptor() },
        Descriptor { span: span("a", "a"), ..descriptor() },
        Descriptor { voters: Vec::new(), ..descriptor() },
        Descriptor { voters: vec![NodeId(1), NodeId(2), NodeId(1)], ..descriptor() },
        Descriptor { voters: (0..3).map(NodeId).collect(), ..descriptor() },
        Descriptor { voters: (1..=16).map(NodeId).collect(), ..descriptor() },
        Descriptor { preferred_leader: NodeId(9), ..descriptor() },
    ] {
        assert!(ask(wrong.clone()).is_err(), "{wrong:?}");
    }
}

/// A node that comes back is sent the logs of all ranges at once: no frame is much larger than the limit,
/// and none is lost for being too large.
#[test]
fn much_goes_in_several_frames_in_the_same_order() {
    let response = |call: usize, bytes: usize| {
        let rows = vec![(Key::from("b"), Bytes::from(vec![0; bytes]))];
        let spans = vec![SpanRows { rows, resume: None }];
        let read = ReadReply { spans, served_by: PEER, waited_nanos: 5, blocked_nanos: 0 };
        NodeMessage::Response(CallId(call as u64), Ok(Reply::Read(read)))
    };
    let clock = Timestamp::from_wall(9);
    let sizes = [10, FRAME_BYTES / 2, FRAME_BYTES / 2, 20, 3 * FRAME_BYTES, 30, 40];
    let messages = sizes.iter().enumerate().map(|(i, bytes)| response(i, *bytes)).collect();
    let sent = NodeFrame { clock, messages };
    let frames = sent.encode();
    let mut read = Vec::new();
    let mut counts = Vec::new();
    for bytes in &frames {
        let frame = NodeFrame::decode(PEER, bytes).expect("just written");
        assert!(frame.clock == clock && (bytes.len() <= FRAME_BYTES || frame.messages.len() == 1));
        counts.push(frame.messages.len());
        read.extend(frame.messages);
    }
    assert_eq!(counts, [2, 2, 1, 2]);
    assert_eq!(format!("{read:?}"), format!("{:?}", sent.messages));
    assert!(NodeFrame { clock, messages: Vec::new() }.encode().is_empty(), "nothing to say");
}
