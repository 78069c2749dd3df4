//! Lies: messages between replicas whose fields are bent on the way, not only their bytes.
//!
//! What becomes of the group is not judged here, since Paxos is not for peers that lie well: a false
//! `Accepted` may have two values chosen. But no replica may end the process over what another one
//! says. `MERIDIAN_FUZZ_SECONDS` makes it go on for so long, `MERIDIAN_FUZZ_SEED` chooses where it
//! begins; a failure names its seed.

use std::{
    collections::BTreeMap,
    mem,
    time::{Duration, Instant},
};

use bytes::Bytes;
use clock::{Interval, Mono, Now, Timestamp};
use keys::{NodeId, RangeId};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::schedule::setting;
use crate::{
    Ballot, Certificate, Chosen, Closed, Config, Durable, Effects, Entry, Event, Fence, Group,
    Lead, Membership, Message, Payload, Persist, Proposal, Refusal, Slot,
};

/// Runs, where nobody asks for more.
const RUNS: u64 = 60;
/// What happens in one run.
const STEPS: usize = 1_500;
/// The true time at the start, in nanoseconds.
const EPOCH: u64 = 1_000_000_000_000;

/// A replica with a disk that takes no time.
struct Host {
    id: NodeId,
    group: Group,
    durable: Durable,
    log: BTreeMap<Slot, Entry>,
    chosen: Vec<Chosen>,
}

struct Liars {
    rng: ChaCha8Rng,
    at: u64,
    hosts: Vec<Host>,
    network: Vec<(NodeId, NodeId, Message)>,
    /// Messages that were refused.
    refused: u64,
}

fn settings() -> Config {
    Config {
        lease: Duration::from_millis(200),
        max_lease: Duration::from_secs(1),
        renew_every: Duration::from_millis(50),
        election_timeout: Duration::from_millis(100),
        election_stagger: Duration::from_millis(30),
        resend_after: Duration::from_millis(40),
        max_in_flight_slots: 8,
        max_batch_bytes: 128,
        log_keep_slots: 6,
        ..Config::default()
    }
}

fn three() -> Membership {
    Membership::majority((1..=3).map(NodeId).collect()).expect("a set")
}

impl Liars {
    fn new(seed: u64) -> Liars {
        let host = |id| {
            let born = Some(NodeId(1));
            let (group, durable) = Group::create(RangeId(1), id, three(), born, settings());
            Host { id, group, durable, log: BTreeMap::new(), chosen: Vec::new() }
        };
        let hosts = (1..=3).map(|id| host(NodeId(id))).collect();
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Liars { rng, at: EPOCH, hosts, network: Vec::new(), refused: 0 }
    }

    fn now(&self) -> Now {
        let tt = Interval { earliest: self.at - 1_000_000, latest: self.at + 1_000_000 };
        Now { tt, mono: Mono(self.at) }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.rng.random_range(0..limit)
    }

    fn run(&mut self) {
        for _ in 0..STEPS {
            let who = usize::try_from(self.below(3)).expect("three");
            match self.below(100) {
                0..55 => self.deliver(),
                55..75 => {
                    self.at += self.rng.random_range(0..20_000_000);
                    self.step(who, |group, now, out| group.tick(now, out));
                }
                75..88 => self.step(who, |group, now, out| {
                    let _ = group.propose(now, Bytes::from_static(b"x"), out);
                }),
                88..92 => self.truncate(who),
                92..95 => self.snapshot(who),
                95..97 => self.close(who),
                97..98 => self.restart(who),
                _ => self.step(who, |group, now, out| group.campaign(now, out)),
            }
        }
    }

    /// One input, and all that a quick disk and a host that applies at once make of it.
    fn step(&mut self, who: usize, input: impl FnOnce(&mut Group, Now, &mut Effects)) {
        let now = self.now();
        let host = &mut self.hosts[who];
        let mut out = Effects::default();
        input(&mut host.group, now, &mut out);
        loop {
            for write in out.persist.drain(..) {
                match write {
                    Persist::Append { slot, entry } => drop(host.log.insert(slot, entry)),
                    Persist::SetDurable(durable) => host.durable = durable,
                    Persist::TruncateThrough(slot) => host.log = host.log.split_off(&slot.next()),
                }
            }
            let sent = out.send.drain(..).chain(out.send_durable.drain(..));
            self.network.extend(sent.map(|(to, message)| (host.id, to, message)));
            for event in out.events.drain(..) {
                self.refused += u64::from(matches!(event, Event::Refused { .. }));
            }
            host.chosen.append(&mut out.chosen);
            if let Some(token) = out.token.take() {
                host.group.persisted(now, token, &mut out);
            } else if let Some(last) = mem::take(&mut host.chosen).pop() {
                host.group.applied(last.slot, &mut out);
            } else {
                break;
            }
        }
        // Whatever it was told, it can say what it is doing, and when to look at it again.
        let _ = (host.group.status(), host.group.next_wake(now), host.group.leader_hint());
    }

    fn deliver(&mut self) {
        if self.network.is_empty() {
            return;
        }
        let which = self.rng.random_range(0..self.network.len());
        let (mut from, to, mut message) = self.network.swap_remove(which);
        if self.below(8) == 0 {
            self.network.push((from, to, message.clone()));
        }
        self.network.truncate(200);
        if self.below(3) == 0 {
            self.bend(&mut message);
        }
        if self.below(50) == 0 {
            from = NodeId(1 + u32::try_from(self.below(4)).expect("small"));
        }
        let who = usize::try_from(to.0 - 1).expect("three");
        self.step(who, |group, now, out| group.message(now, from, message, out));
    }

    fn truncate(&mut self, who: usize) {
        let applied = self.hosts[who].group.applied_slot();
        self.step(who, |group, _, out| group.truncate(applied.prev(), out));
    }

    fn close(&mut self, who: usize) {
        let at = Timestamp::from_wall(self.at);
        let group = &self.hosts[who].group;
        let through = group.last_slot();
        if group.leadership().is_some_and(|led| led.ready && at < led.lease_end) {
            self.step(who, |group, _, out| group.set_closed(at, through, out));
        }
    }

    /// A snapshot of another replica, or a made-up one.
    fn snapshot(&mut self, who: usize) {
        let other = &self.hosts[(who + 1) % 3].group;
        let mut upto = other.applied_slot();
        let mut fence = other.fence_at(upto).unwrap_or(Fence::NONE);
        if self.below(2) == 0 {
            self.slot(&mut upto);
        }
        if self.below(3) == 0 {
            // A fence of another place.
            let slot = Slot(self.below(upto.0.clamp(1, 1_000)));
            fence = self.hosts[(who + 2) % 3].group.fence_at(slot).unwrap_or(Fence::NONE);
        }
        self.step(who, |group, now, out| {
            let _ = group.install_snapshot(now, upto, fence, out);
        });
    }

    fn restart(&mut self, who: usize) {
        let host = &mut self.hosts[who];
        let log = host.log.iter().map(|(slot, entry)| (*slot, entry.clone())).collect();
        let applied = host.group.applied_slot();
        let (id, durable) = (host.id, host.durable);
        host.group = Group::restore(RangeId(1), id, three(), settings(), durable, log, applied)
            .expect("its own disk contradicts nothing");
    }
}

/// How each field is bent: a little, to another one's value, or out of all bounds.
impl Liars {
    fn number(&mut self, value: &mut u64) {
        *value = match self.below(8) {
            0 => value.saturating_add(1),
            1 => value.saturating_sub(1),
            2 => value.saturating_add(self.below(40)),
            3 => self.below(40),
            4 => 0,
            5 => u64::MAX,
            6 => u64::MAX / 2 - 1,
            _ => *value,
        };
    }

    fn slot(&mut self, slot: &mut Slot) {
        self.number(&mut slot.0);
    }

    fn ballot(&mut self, ballot: &mut Ballot) {
        match self.below(4) {
            0 => self.number(&mut ballot.round),
            1 => ballot.node = NodeId(u32::try_from(self.below(5)).expect("small")),
            _ => {}
        }
    }

    fn time(&mut self, at: &mut Timestamp) {
        match self.below(5) {
            0 => *at = Timestamp::MAX,
            1 => *at = Timestamp::ZERO,
            2 => at.wall = self.at + self.below(3_000_000_000),
            3 => self.number(&mut at.wall),
            _ => {}
        }
    }

    fn payload(&mut self, payload: &mut Payload) {
        match self.below(4) {
            0 => *payload = Payload::Noop,
            1 => *payload = Payload::Opening,
            2 => *payload = Payload::Command(Bytes::from_static(b"a lie")),
            _ => {}
        }
    }

    fn certificate(&mut self, certificate: &mut Option<Certificate>) {
        if self.below(4) == 0 {
            *certificate = Some(Certificate::default_for_lies(self.at));
        }
        if let Some(certificate) = certificate {
            self.ballot(&mut certificate.ballot);
            self.time(&mut certificate.floor);
        }
    }

    fn closed(&mut self, closed: &mut Option<Closed>) {
        if self.below(4) == 0 {
            *closed = Some(Closed { at: Timestamp::from_wall(self.at), through: Slot(1) });
        }
        if let Some(closed) = closed {
            self.time(&mut closed.at);
            self.slot(&mut closed.through);
        }
    }

    fn lead(&mut self, lead: &mut Lead) {
        match self.below(6) {
            0 => self.ballot(&mut lead.ballot),
            1 => self.time(&mut lead.until),
            2 => self.slot(&mut lead.commit),
            3 => self.slot(&mut lead.sent),
            4 => self.closed(&mut lead.closed),
            _ => self.certificate(&mut lead.certificate),
        }
    }

    fn proposals(&mut self, proposals: &mut Vec<Proposal>) {
        match self.below(4) {
            0 => proposals.reverse(),
            1 => proposals.extend(proposals.first().cloned()),
            2 => drop(proposals.pop()),
            _ => {}
        }
        for Proposal { slot, first, payload } in proposals {
            match self.below(6) {
                0 => self.slot(slot),
                1 => self.ballot(first),
                2 => self.payload(payload),
                _ => {}
            }
        }
    }

    fn entries(&mut self, entries: &mut Vec<(Slot, Entry)>) {
        if self.below(3) == 0 {
            let ballot = Ballot::new(self.below(9), NodeId(2));
            let entry = Entry { first: ballot, ballot, payload: Payload::Noop };
            entries.push((Slot(self.below(40)), entry));
        }
        for (slot, entry) in entries {
            match self.below(6) {
                0 => self.slot(slot),
                1 => self.ballot(&mut entry.first),
                2 => self.ballot(&mut entry.ballot),
                3 => self.payload(&mut entry.payload),
                _ => {}
            }
        }
    }

    fn bend(&mut self, message: &mut Message) {
        match message {
            Message::Prepare { ballot, from, certificate } => match self.below(3) {
                0 => self.ballot(ballot),
                1 => self.slot(from),
                _ => self.certificate(certificate),
            },
            Message::Promise { ballot, from, entries, complete, chosen, granted } => {
                match self.below(6) {
                    0 => self.ballot(ballot),
                    1 => self.slot(from),
                    2 => self.entries(entries),
                    3 => *complete = !*complete,
                    4 => self.slot(chosen),
                    _ => self.time(granted),
                }
            }
            Message::Refuse { ballot, reason } => match reason {
                Refusal::Promised(promised) => self.ballot(promised),
                Refusal::Granted { until } => self.time(until),
                Refusal::Behind { truncated } => {
                    self.slot(truncated);
                    self.ballot(ballot);
                }
            },
            Message::Accept { lead, proposals } => match self.below(2) {
                0 => self.lead(lead),
                _ => self.proposals(proposals),
            },
            Message::Heartbeat { lead } => self.lead(lead),
            Message::Accepted { ballot, until, matched, sent } => match self.below(4) {
                0 => self.ballot(ballot),
                1 => self.time(until),
                2 => self.slot(matched),
                _ => self.slot(sent),
            },
            Message::Commit { ballot, commit, closed } => match self.below(3) {
                0 => self.ballot(ballot),
                1 => self.slot(commit),
                _ => self.closed(closed),
            },
            Message::Transfer { certificate, to } => {
                self.ballot(&mut certificate.ballot);
                self.time(&mut certificate.floor);
                *to = Some(NodeId(u32::try_from(self.below(5)).expect("small")));
            }
        }
    }
}

impl Certificate {
    fn default_for_lies(at: u64) -> Certificate {
        let ballot = Ballot::new(1, NodeId(1));
        Certificate { ballot, floor: Timestamp::from_wall(at) }
    }
}

#[expect(clippy::disallowed_methods, reason = "how long it goes on is told in seconds")]
fn moment() -> Instant {
    Instant::now()
}

#[test]
fn no_lie_of_a_peer_ends_the_process() {
    let first = setting("MERIDIAN_FUZZ_SEED").unwrap_or(1);
    let seconds = setting("MERIDIAN_FUZZ_SECONDS").map(Duration::from_secs);
    let begun = moment();
    let mut refused = 0;
    for seed in first.. {
        let over = match seconds {
            Some(seconds) => begun.elapsed() >= seconds,
            None => seed >= first + RUNS,
        };
        if over {
            break;
        }
        let mut liars = Liars::new(seed);
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| liars.run()));
        assert!(ran.is_ok(), "MERIDIAN_FUZZ_SEED={seed} ends a replica");
        refused += liars.refused;
    }
    assert!(refused > RUNS, "only {refused} messages were refused");
}
