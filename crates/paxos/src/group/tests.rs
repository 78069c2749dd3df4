//! What needs a group but no world: births at a split, refusals, advice.

use std::time::Duration;

use bytes::Bytes;
use clock::{Interval, Mono, Now, Timestamp};
use keys::{NodeId, RangeId};

use crate::{
    Ballot, Candidacy, Certificate, Closed, Config, Durable, Effects, Event, Fence, Group, Lead,
    Membership, Message, Payload, Persist, Proposal, ProposeError, Refusal, Slot, SnapshotRefused,
};

const START: u64 = 1_000_000_000_000;
const ME: NodeId = NodeId(1);
const OTHER: NodeId = NodeId(2);

fn now(ms: u64) -> Now {
    let at = START + ms * 1_000_000;
    Now { tt: Interval { earliest: at, latest: at }, mono: Mono(at) }
}

fn three() -> Membership {
    Membership::majority(vec![NodeId(1), NodeId(2), NodeId(3)]).expect("a set")
}

fn new(me: NodeId) -> Group {
    Group::create(RangeId(1), me, three(), Some(ME), Config::default()).0
}

/// Disks that take no time.
fn persist(group: &mut Group, at: Now, out: &mut Effects) -> Vec<(NodeId, Message)> {
    let mut sent = std::mem::take(&mut out.send);
    sent.append(&mut out.send_durable);
    while let Some(token) = out.token.take() {
        group.persisted(at, token, out);
        sent.append(&mut out.send);
        sent.append(&mut out.send_durable);
    }
    sent
}

/// A leader with a lease granted by node 2, and node 2.
fn leading() -> (Group, Group) {
    let (mut leader, mut follower) = (new(ME), new(OTHER));
    let mut out = Effects::default();
    leader.tick(now(0), &mut out);
    let sent = persist(&mut leader, now(0), &mut out);
    let (_, heartbeat) = sent.into_iter().find(|(to, _)| *to == OTHER).expect("one to each");
    let mut reply = Effects::default();
    follower.message(now(0), ME, heartbeat, &mut reply);
    let (_, accepted) = persist(&mut follower, now(0), &mut reply).pop().expect("a reply");
    leader.message(now(0), OTHER, accepted, &mut out);
    persist(&mut leader, now(0), &mut out);
    assert!(leader.lease_valid(now(0).tt));
    (leader, follower)
}

fn child(me: NodeId, parent: &Group, first: Ballot) -> (Group, Durable) {
    let floor = Timestamp::from_wall(START + 7);
    let birth = parent.child_birth(first, floor);
    Group::create_child(RangeId(2), me, three(), birth, Config::default())
}

#[test]
fn split_proposer_leads_the_child_at_birth_with_the_parents_lease() {
    let (parent, follower) = leading();
    let led = parent.leadership().expect("it leads");
    let (child_leader, durable) = child(ME, &parent, led.ballot);
    let inherited = child_leader.leadership().expect("it leads the child");
    assert_eq!((inherited.ballot, inherited.lease_end), (led.ballot, led.lease_end));
    assert_eq!(inherited.floor, Timestamp::from_wall(START + 7));
    assert!(inherited.ready, "nothing to recover (P7)");
    assert!(durable.round_used >= led.ballot.round, "its ballot is spent after a restart (P0)");

    // The child's acceptor elsewhere keeps to the parent's grant.
    let (mut voter, _) = child(OTHER, &follower, led.ballot);
    assert!(voter.leadership().is_none());
    let ballot = Ballot::new(9, NodeId(3));
    let prepare = Message::Prepare { ballot, from: Slot(1), certificate: None };
    let mut out = Effects::default();
    voter.message(now(100), NodeId(3), prepare, &mut out);
    let until = led.lease_end;
    let refuse = Message::Refuse { ballot, reason: Refusal::Granted { until } };
    assert_eq!(out.send, [(NodeId(3), refuse)]);
}

/// R3: a leader closed time behind entries that were lost with it. The next one has fewer slots,
/// and what it closes counts at once.
#[test]
fn closed_time_does_not_wait_for_slots_of_a_lost_leadership() {
    let mut follower = new(OTHER);
    let hear = |follower: &mut Group, ballot: Ballot, at: u64, through: Slot| {
        let closed = Some(Closed { at: Timestamp::from_wall(START + at), through });
        let mut out = Effects::default();
        let commit = Message::Commit { ballot, commit: Slot::NONE, closed };
        follower.message(now(0), ballot.node, commit, &mut out);
        out.events
    };
    assert_eq!(hear(&mut follower, Ballot::new(1, ME), 10, Slot(5)), []);
    let (at, through) = (Timestamp::from_wall(START + 20), Slot::NONE);
    let next = hear(&mut follower, Ballot::new(2, NodeId(3)), 20, through);
    assert_eq!(next, [Event::Closed { at, through }]);
}

/// S1: what a child took over may be in its parent's memory only. In this test node 2 has granted a
/// lease to its leader, and the horizon that covers it is not on disk yet.
#[test]
fn a_child_vouches_for_nothing_before_its_birth_is_on_disk() {
    let (parent, follower) = leading();
    let ballot = parent.leadership().expect("it leads").ballot;
    let (mut voter, _) = child(OTHER, &follower, ballot);
    let until = parent.leadership().expect("it leads").lease_end;
    let (commit, sent, closed, certificate) = (Slot::NONE, Slot::NONE, None, None);
    let heartbeat =
        Message::Heartbeat { lead: Lead { ballot, until, commit, sent, closed, certificate } };
    let mut out = Effects::default();
    voter.message(now(0), ME, heartbeat.clone(), &mut out);
    assert_eq!(out.send, [], "a grant left before the birth is on disk");
    assert_eq!(out.send_durable.len(), 1, "{out:?}");
    let birth = voter.unpersisted().expect("the birth is not on disk");
    assert_eq!(out.token, Some(birth));
    voter.persisted(now(0), birth, &mut Effects::default());
    let mut out = Effects::default();
    voter.message(now(0), ME, heartbeat, &mut out);
    assert_eq!((out.send.len(), out.send_durable.len()), (1, 0), "{out:?}");
}

#[test]
fn a_barred_replica_votes_and_never_stands() {
    let mut voter = new(OTHER);
    voter.set_candidacy(Candidacy::Barred);
    let mut out = Effects::default();
    voter.campaign(now(0), &mut out);
    for ms in (0..60_000).step_by(100) {
        voter.tick(now(ms), &mut out);
    }
    assert!(out.is_empty(), "{out:?}");
    let (ballot, from) = (Ballot::new(9, NodeId(3)), Slot(1));
    let prepare = Message::Prepare { ballot, from, certificate: None };
    voter.message(now(60_000), NodeId(3), prepare, &mut out);
    let sent = persist(&mut voter, now(60_000), &mut out);
    assert!(matches!(&sent[..], [(_, Message::Promise { .. })]), "{sent:?}");
    voter.set_candidacy(Candidacy::Allowed);
    voter.campaign(now(61_000), &mut out);
    assert!(!out.is_empty(), "it stands again");
}

#[test]
fn split_applied_under_another_ballot_makes_no_leader() {
    let (parent, follower) = leading();
    let (not_mine, durable) = child(ME, &parent, Ballot::new(1, OTHER));
    assert!(not_mine.leadership().is_none(), "another ballot proposed the split");
    assert_eq!(durable.promised, Ballot::new(1, OTHER), "at least the proposer's");
    assert!(child(OTHER, &follower, Ballot::new(1, ME)).0.leadership().is_none());
}

#[test]
fn a_lease_beyond_all_reason_is_dropped() {
    let mut voter = new(OTHER);
    let lead = |until| Lead {
        ballot: Ballot::new(1, ME),
        until,
        commit: Slot::NONE,
        sent: Slot::NONE,
        closed: None,
        certificate: None,
    };
    let mut out = Effects::default();
    let year = Duration::from_secs(365 * 24 * 3600);
    let far = now(0).tt.latest_timestamp().plus(year);
    voter.message(now(0), ME, Message::Heartbeat { lead: lead(far) }, &mut out);
    assert!(is_refused(&mut out), "{out:?}");
    let near = now(0).tt.latest_timestamp().plus(Duration::from_secs(3));
    voter.message(now(0), ME, Message::Heartbeat { lead: lead(near) }, &mut out);
    assert!(matches!(out.send_durable[..], [(ME, Message::Accepted { .. })]), "{out:?}");
}

#[test]
fn messages_that_speak_for_others_are_dropped() {
    let mut voter = new(OTHER);
    let mut out = Effects::default();
    let ballot = Ballot::new(9, NodeId(3));
    let prepare = || Message::Prepare { ballot, from: Slot(1), certificate: None };
    voter.message(now(0), ME, prepare(), &mut out);
    voter.message(now(0), NodeId(8), prepare(), &mut out);
    voter.message(now(0), OTHER, prepare(), &mut out);
    assert!(is_refused(&mut out), "{out:?}");
}

/// Whether all that came of a message is that it was refused; forgets it.
fn is_refused(out: &mut Effects) -> bool {
    let told = std::mem::take(&mut out.events);
    let refused = told.iter().all(|event| matches!(event, Event::Refused { .. }));
    refused && !told.is_empty() && out.is_empty()
}

/// A follower whose slots 1 and 2 are chosen and whose slot 3 is accepted, and what its leader says
/// of the next ones. The entries of the slots are `x`.
fn with_log() -> (Group, Lead) {
    let (mut leader, mut follower) = leading();
    let mut out = Effects::default();
    for _ in 0..3 {
        leader.propose(now(1), Bytes::from_static(b"x"), &mut out).expect("it acts");
    }
    let (_, accept) = out.send.into_iter().find(|(to, _)| *to == OTHER).expect("one to each");
    let Message::Accept { lead, .. } = accept.clone() else { panic!("{accept:?}") };
    let mut out = Effects::default();
    follower.message(now(1), ME, accept, &mut out);
    let commit = Message::Commit { ballot: lead.ballot, commit: Slot(2), closed: None };
    follower.message(now(1), ME, commit, &mut out);
    persist(&mut follower, now(1), &mut out);
    follower.applied(Slot(2), &mut out);
    assert_eq!((follower.chosen_slot(), follower.last_slot()), (Slot(2), Slot(3)));
    (follower, lead)
}

/// The same leader proposes in the next slot: whoever refused a lie goes on as if it had been lost.
fn goes_on(follower: &mut Group, lead: &Lead) {
    let mut out = Effects::default();
    let proposals = vec![proposal(4, lead.ballot, b"x")];
    follower.message(now(1), ME, Message::Accept { lead: lead.clone(), proposals }, &mut out);
    let sent = persist(follower, now(1), &mut out);
    let matched = |m: &Message| matches!(m, Message::Accepted { matched: Slot(4), .. });
    assert!(sent.iter().any(|(_, m)| matched(m)), "{sent:?}");
}

fn proposal(slot: u64, first: Ballot, command: &'static [u8]) -> Proposal {
    let payload = Payload::Command(Bytes::from_static(command));
    Proposal { slot: Slot(slot), first, payload }
}

#[test]
fn another_value_for_a_slot_is_refused_and_the_replica_goes_on() {
    let (mut follower, lead) = with_log();
    let other = Ballot::new(0, NodeId(3));
    for proposals in [
        vec![proposal(2, lead.ballot, b"a lie")],
        vec![proposal(2, other, b"x")],
        vec![proposal(3, lead.ballot, b"a lie")],
        vec![proposal(3, other, b"x")],
        vec![proposal(4, lead.ballot, b"x"), proposal(4, lead.ballot, b"a lie")],
        vec![proposal(5, lead.ballot, b"x"), proposal(4, lead.ballot, b"x")],
        vec![proposal(4, Ballot::new(9, NodeId(3)), b"x")],
        vec![proposal(0, lead.ballot, b"x")],
    ] {
        let mut out = Effects::default();
        let lie = Message::Accept { lead: lead.clone(), proposals };
        follower.message(now(1), ME, lie.clone(), &mut out);
        assert!(is_refused(&mut out), "{lie:?}: {out:?}");
    }
    // A leader that was elected knows what is chosen, too.
    let later = Lead { ballot: Ballot::new(2, NodeId(3)), ..lead.clone() };
    let lie = Message::Accept { lead: later, proposals: vec![proposal(1, lead.ballot, b"a lie")] };
    let mut out = Effects::default();
    follower.message(now(1), NodeId(3), lie, &mut out);
    assert!(is_refused(&mut out), "{out:?}");
    goes_on(&mut follower, &lead);
}

#[test]
fn times_and_rounds_out_of_all_bounds_are_refused_and_the_group_goes_on() {
    let (mut follower, lead) = with_log();
    let ballot = lead.ballot;
    let closed = Some(Closed { at: Timestamp::MAX, through: Slot(1) });
    let certificate = Certificate { ballot, floor: Timestamp::MAX };
    let far = Ballot::new(u64::MAX / 2 - 1, ME);
    let certified = Lead { certificate: Some(certificate), ..lead.clone() };
    for lie in [
        Message::Commit { ballot, commit: Slot(3), closed },
        Message::Heartbeat { lead: Lead { closed, ..lead.clone() } },
        Message::Heartbeat { lead: Lead { until: Timestamp::MAX, ..lead.clone() } },
        Message::Heartbeat { lead: certified },
        Message::Transfer { certificate, to: None },
        Message::Prepare { ballot: far, from: Slot(4), certificate: None },
        Message::Refuse { ballot, reason: Refusal::Promised(far) },
        Message::Refuse { ballot, reason: Refusal::Granted { until: Timestamp::MAX } },
    ] {
        let mut out = Effects::default();
        follower.message(now(1), ME, lie.clone(), &mut out);
        assert!(is_refused(&mut out), "{lie:?}: {out:?}");
    }
    goes_on(&mut follower, &lead);
    // A grant that nobody can have given: the lease would not end.
    let (mut leader, _) = leading();
    let before = leader.leadership();
    let (until, sent) = (Timestamp::MAX, Slot::NONE);
    let lie = Message::Accepted { ballot, until, matched: Slot::NONE, sent };
    let mut out = Effects::default();
    leader.message(now(1), OTHER, lie, &mut out);
    assert!(is_refused(&mut out), "{out:?}");
    assert_eq!(leader.leadership(), before);
}

#[test]
fn snapshots_of_another_log_are_refused() {
    let (mut follower, lead) = with_log();
    let mut out = Effects::default();
    let fence = follower.fence_at(Slot(2)).expect("it is chosen");
    assert_ne!(fence, Fence::NONE);
    for (upto, lie) in [(3, Fence::NONE), (9, Fence::NONE), (u64::MAX, fence)] {
        let refused = follower.install_snapshot(now(1), Slot(upto), lie, &mut out);
        let contradicts = matches!(refused, Err(SnapshotRefused::Contradicts { .. }));
        assert!(contradicts && out.is_empty(), "{upto}: {refused:?}, {out:?}");
    }
    goes_on(&mut follower, &lead);
    follower.install_snapshot(now(1), Slot(9), fence, &mut out).expect("of this log");
}

#[test]
fn promises_and_acceptances_wait_for_the_disk() {
    let (mut leader, mut follower) = leading();
    let mut out = Effects::default();
    let slot = leader.propose(now(1), Bytes::from_static(b"x"), &mut out).expect("it acts");
    assert!(matches!(out.persist[..], [Persist::Append { .. }]), "{out:?}");
    assert!(out.token.is_some() && out.send_durable.is_empty());
    let accept = out.send.iter().find(|(to, _)| *to == OTHER).expect("one to each").1.clone();

    let mut reply = Effects::default();
    follower.message(now(1), ME, accept.clone(), &mut reply);
    assert!(reply.send.is_empty() && reply.send_durable.len() == 1 && reply.token.is_some());
    // The same request again changes nothing, but vouches for what is still on its way to disk.
    let mut again = Effects::default();
    follower.message(now(1), ME, accept, &mut again);
    assert!(again.persist.is_empty() && again.send.is_empty(), "{again:?}");
    assert_eq!(again.token, reply.token);

    // The follower's disk alone is no quorum: the leader's own has yet to follow (S1).
    let (_, accepted) = reply.send_durable.pop().expect("just seen");
    leader.message(now(1), OTHER, accepted, &mut out);
    assert!(out.chosen.is_empty());
    let token = out.token.take().expect("there was a write");
    leader.persisted(now(1), token, &mut out);
    assert_eq!(out.chosen.len(), 1);
    assert_eq!(out.chosen[0].slot, slot);
}

#[test]
fn proposals_in_one_batch_share_a_message() {
    let (mut leader, _) = leading();
    let mut out = Effects::default();
    for _ in 0..10 {
        leader.propose(now(1), Bytes::from_static(b"x"), &mut out).expect("it acts");
    }
    assert_eq!(out.send.len(), 2, "one message to each follower");
    let large = Bytes::from(vec![0; Config::default().max_entry_bytes + 1]);
    let bytes = large.len();
    let refused = leader.propose(now(1), large, &mut out);
    assert_eq!(refused, Err(ProposeError::TooLarge { bytes }));
}

/// A follower drops what lies too far beyond a gap. So a leader must not send that far: it would send
/// the same slots again and again, and with many small ones never come to an end.
#[test]
fn a_follower_far_behind_takes_all_that_it_is_sent() {
    let (mut leader, mut near) = leading();
    let mut away = new(NodeId(3));
    let slots = 8_000;
    for round in 0..slots {
        let mut out = Effects::default();
        let at = now(round / 100);
        leader.propose(at, Bytes::from_static(b"x"), &mut out).expect("it leads");
        exchange(&mut leader, &mut near, at, &mut out);
        leader.applied(leader.chosen_slot(), &mut out);
    }
    let (mut trips, mut accepts, mut out) = (0, 0, Effects::default());
    leader.tick(now(1_000), &mut out);
    loop {
        let sent = persist(&mut leader, now(1_000), &mut out);
        let mut replies = Vec::new();
        for (_, message) in sent.into_iter().filter(|(to, _)| *to == NodeId(3)) {
            accepts += usize::from(matches!(message, Message::Accept { .. }));
            let mut reply = Effects::default();
            away.message(now(1_000), ME, message, &mut reply);
            replies.extend(persist(&mut away, now(1_000), &mut reply));
        }
        if replies.is_empty() {
            break;
        }
        trips += 1;
        for (_, reply) in replies {
            leader.message(now(1_000), NodeId(3), reply, &mut out);
        }
    }
    assert_eq!(away.last_slot(), Slot(slots), "after {trips} round trips");
    assert!(trips <= 12 && accepts <= 12, "{trips} round trips with {accepts} batches");
}

/// What two say to each other until they have nothing more to say; all else is lost.
fn exchange(leader: &mut Group, follower: &mut Group, at: Now, out: &mut Effects) {
    loop {
        let sent = persist(leader, at, out);
        let mut silent = true;
        for (_, message) in sent.into_iter().filter(|(to, _)| *to == OTHER) {
            let mut reply = Effects::default();
            follower.message(at, ME, message, &mut reply);
            follower.applied(follower.chosen_slot(), &mut reply);
            for (_, message) in persist(follower, at, &mut reply) {
                silent = false;
                leader.message(at, OTHER, message, out);
            }
        }
        if silent {
            return;
        }
    }
}

#[test]
fn truncation_is_advised_beyond_the_limits_and_spares_live_followers() {
    let (mut leader, _) = leading();
    let keep = Config::default().log_keep_slots;
    let mut out = Effects::default();
    let mut slot = Slot::NONE;
    let accepted = |matched| Message::Accepted {
        ballot: Ballot::new(1, ME),
        until: now(2_000).tt.latest_timestamp(),
        matched,
        sent: matched,
    };
    while slot.0 < keep + 10 {
        slot = leader.propose(now(1), Bytes::from_static(b"x"), &mut out).expect("it acts");
        persist(&mut leader, now(1), &mut out);
        leader.message(now(1), OTHER, accepted(slot), &mut out);
        leader.applied(slot, &mut out);
        out = Effects::default();
    }
    assert_eq!(leader.truncation_due(), None, "node 3 has nothing yet");
    leader.message(now(1), NodeId(3), accepted(Slot(100)), &mut out);
    assert_eq!(leader.truncation_due(), Some(Slot(100)));
    leader.message(now(1), NodeId(3), accepted(slot), &mut out);
    let due = leader.truncation_due().expect("over the limit");
    assert_eq!(due, Slot((keep + 10) / 2));
    leader.truncate(due, &mut out);
    assert_eq!(leader.truncation_due(), None);
    assert_eq!(leader.status().truncated, due);
    assert!(leader.fence_at(Slot(3)).is_none() && leader.fence_at(slot).is_some());
}

#[test]
fn snapshots_are_refused_by_leaders_and_if_old() {
    let (mut leader, mut follower) = leading();
    let mut out = Effects::default();
    let refused = leader.install_snapshot(now(0), Slot(3), Fence::NONE, &mut out);
    assert_eq!(refused, Err(SnapshotRefused::Leading));
    follower.install_snapshot(now(0), Slot(3), Fence::NONE, &mut out).expect("new to it");
    let refused = follower.install_snapshot(now(0), Slot(3), Fence::NONE, &mut out);
    assert_eq!(refused, Err(SnapshotRefused::Old { applied: Slot(3) }));
    let wrote = |p: &Persist| matches!(p, Persist::TruncateThrough(Slot(3)));
    assert!(out.persist.iter().any(wrote), "{out:?}");
}

#[test]
fn followers_know_whom_to_ask() {
    let (leader, mut follower) = leading();
    assert_eq!(leader.leader_hint(), Some(ME));
    assert_eq!(follower.leader_hint(), Some(ME));
    let refused = follower.propose(now(1), Bytes::new(), &mut Effects::default());
    assert_eq!(refused, Err(ProposeError::NotLeader { hint: Some(ME) }));
}

#[test]
fn a_leader_without_quorum_lets_its_lease_lapse() {
    let (mut leader, _) = leading();
    let mut out = Effects::default();
    let end = leader.leadership().expect("it leads").lease_end;
    for ms in (1..4_000).step_by(100) {
        leader.tick(now(ms), &mut out);
        persist(&mut leader, now(ms), &mut out);
    }
    assert_eq!(leader.leadership().expect("it still leads").lease_end, end);
    let refused = leader.propose(now(4_000), Bytes::new(), &mut out);
    assert_eq!(refused, Err(ProposeError::LeaseLapsed));
    assert!(!out.events.iter().any(|e| matches!(e, Event::LostLeadership { .. })));
}

#[test]
fn weights_count_commands() {
    let payload = Payload::Command(Bytes::from(vec![0; 100]));
    assert_eq!(payload.weight() - Payload::Noop.weight(), 100);
}
