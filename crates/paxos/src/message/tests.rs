//! Messages on the wire and records on disk: small, and read back as written.

use bytes::Bytes;
use clock::Timestamp;
use keys::NodeId;

use super::{Certificate, Closed, Entry, Lead, Message, Payload, Proposal, Refusal};
use crate::{Ballot, Durable, Fence, Slot};

fn lead() -> Lead {
    Lead {
        ballot: Ballot::new(3, NodeId(2)),
        until: Timestamp::from_wall(1_700_000_000_000_000_000),
        commit: Slot(41),
        sent: Slot(42),
        closed: Some(Closed { at: Timestamp { wall: 7, logical: 1 }, through: Slot(40) }),
        certificate: Some(Certificate { ballot: Ballot::new(2, NodeId(1)), floor: Timestamp::MAX }),
    }
}

fn messages() -> Vec<Message> {
    let ballot = Ballot::new(3, NodeId(2));
    let certificate = Certificate { ballot, floor: Timestamp::ZERO };
    let payload = Payload::Command(Bytes::from_static(b"set x"));
    let entry = Entry { first: ballot, ballot, payload: payload.clone() };
    let refusals = [
        Refusal::Promised(ballot),
        Refusal::Granted { until: Timestamp::from_wall(9) },
        Refusal::Behind { truncated: Slot(4) },
    ];
    let mut all = vec![
        Message::Prepare { ballot, from: Slot(1), certificate: None },
        Message::Promise {
            ballot,
            from: Slot(1),
            entries: vec![(Slot(1), entry)],
            complete: true,
            chosen: Slot(0),
            granted: Timestamp::ZERO,
        },
        Message::Accept {
            lead: lead(),
            proposals: vec![
                Proposal { slot: Slot(42), first: ballot, payload },
                Proposal { slot: Slot(43), first: ballot, payload: Payload::Noop },
                Proposal { slot: Slot(44), first: ballot, payload: Payload::Opening },
            ],
        },
        Message::Heartbeat { lead: lead() },
        Message::Accepted { ballot, until: Timestamp::MAX, matched: Slot(2), sent: Slot(3) },
        Message::Commit { ballot, commit: Slot(8), closed: None },
        Message::Transfer { certificate, to: Some(NodeId(3)) },
    ];
    all.extend(refusals.map(|reason| Message::Refuse { ballot, reason }));
    all
}

#[test]
fn messages_are_read_back_as_written() {
    for message in messages() {
        let bytes = postcard::to_stdvec(&message).expect("plain data");
        assert_eq!(postcard::from_bytes::<Message>(&bytes).expect("just written"), message);
        assert!(bytes.len() <= message.weight(), "{} bytes: {message:?}", bytes.len());
    }
}

#[test]
fn a_heartbeat_is_small() {
    let lead = Lead { closed: None, certificate: None, ..lead() };
    let bytes = postcard::to_stdvec(&Message::Heartbeat { lead }).expect("plain data");
    assert!(bytes.len() <= 24, "{} bytes", bytes.len());
}

#[test]
fn records_are_read_back_as_written() {
    let durable = Durable {
        promised: Ballot::new(9, NodeId(3)),
        horizon: Timestamp::from_wall(77),
        round_used: 8,
        truncated: Slot(5),
        fence: Fence::NONE,
    };
    let bytes = postcard::to_stdvec(&durable).expect("plain data");
    assert_eq!(postcard::from_bytes::<Durable>(&bytes).expect("just written"), durable);
}

#[test]
fn what_no_replica_says_is_not_sound() {
    assert!(messages().iter().all(|message| message.is_sound(64)));
    let ballot = Ballot::new(3, NodeId(2));
    let beyond = Ballot::new(u64::MAX, NodeId(2));
    let entry = |first, ballot| Entry { first, ballot, payload: Payload::Noop };
    let promise = |entries| Message::Promise {
        ballot,
        from: Slot(5),
        entries,
        complete: true,
        chosen: Slot(4),
        granted: Timestamp::ZERO,
    };
    let sound = entry(ballot, ballot);
    assert!(promise(vec![(Slot(5), sound.clone()), (Slot(69), sound.clone())]).is_sound(64));
    for message in [
        Message::Prepare { ballot: beyond, from: Slot(1), certificate: None },
        Message::Refuse { ballot, reason: Refusal::Promised(beyond) },
        Message::Heartbeat { lead: Lead { ballot: beyond, ..lead() } },
        promise(vec![(Slot(u64::MAX), sound.clone())]),
        promise(vec![(Slot(4), sound.clone())]),
        promise(vec![(Slot(6), sound.clone()), (Slot(5), sound.clone())]),
        promise(vec![(Slot(5), entry(beyond, ballot))]),
        promise(vec![(Slot(5), entry(ballot, beyond))]),
    ] {
        assert!(!message.is_sound(64), "{message:?}");
    }
}
