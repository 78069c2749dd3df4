//! A leader's view of one follower: what it has, what is on its way, and when to worry.
//!
//! Entries stream ahead of acknowledgements up to a limit in bytes and slots: never further than a
//! follower takes what lies beyond a gap, and first a little, twice as much with each answer. Many
//! groups catch up at once when a node comes back, over one link. Three things bring
//! `next` back to the first unacknowledged slot: an answer that matched less than had been sent by
//! then (something was lost or overtaken); silence (then nothing but heartbeats is sent until the
//! follower answers, so a dead follower costs next to nothing); and a snapshot that arrived.

use std::collections::VecDeque;

use clock::{Mono, Timestamp};

use crate::{Ballot, Config, Slot};

/// How entries flow to a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Flow {
    /// As fast as the limits allow.
    Streaming,
    /// It was silent: only heartbeats until it answers.
    Paused,
    /// It needs slots that are truncated; the host was asked at this time to send a snapshot.
    Snapshot(Mono),
}

/// A leader's view of one follower.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone, Hash))]
pub(crate) struct Peer {
    /// Everything up to here it accepted under the leader's ballot, or knew chosen. Never falls.
    pub matched: Slot,
    /// What it said last that it has. Falls below `matched` when it restarts: it forgets what it
    /// knew chosen, and what it holds there may bear an older ballot.
    pub acked: Slot,
    /// The next slot to send. `next > acked`.
    pub next: Slot,
    /// Its grant ends here; zero: none. Never moves back.
    pub granted: Timestamp,
    /// Whether it has answered under this ballot, so that it needs no certificate.
    pub bound: bool,
    /// When it was last asked for a grant; `None`: never, so it is due.
    pub asked: Option<Mono>,
    /// When to ask again a follower that is bound to another leader.
    pub ask_at: Option<Mono>,
    /// How entries flow.
    pub flow: Flow,
    /// When it last acknowledged something new, or the oldest batch in flight was sent.
    pub progress: Mono,
    /// When `next` was last brought back after a loss.
    rewound: Option<Mono>,
    /// Batches in flight: last slot and weight of each, ascending.
    flight: VecDeque<(Slot, usize)>,
    /// Their weight together.
    flight_bytes: usize,
    /// What they may weigh before the next one waits. Between `first_peer_in_flight_bytes` and
    /// `max_peer_in_flight_bytes`.
    window_bytes: usize,
    /// Weight of the newest batch, which may still grow; `usize::MAX` if it may not.
    pub batch_bytes: usize,
    /// The higher ballot it promised, if it refused for that reason last.
    pub stray: Option<(Ballot, Mono)>,
}

impl Peer {
    /// A follower that has everything up to `matched` and gets what follows `sent`.
    pub(crate) fn new(matched: Slot, sent: Slot, now: Mono, config: &Config) -> Peer {
        assert!(matched <= sent, "what it has was sent: {matched} {sent}");
        Peer {
            matched,
            acked: matched,
            next: sent.next(),
            granted: Timestamp::ZERO,
            bound: false,
            asked: None,
            ask_at: None,
            flow: Flow::Streaming,
            progress: now,
            rewound: None,
            flight: VecDeque::new(),
            flight_bytes: 0,
            window_bytes: config.first_peer_in_flight_bytes,
            batch_bytes: usize::MAX,
            stray: None,
        }
    }

    /// How many slots may be sent now. A follower drops what lies further beyond a gap than twice the
    /// limit in slots, and a batch has many small ones.
    pub(crate) fn room_slots(&self, config: &Config) -> u64 {
        if self.flight.is_empty() {
            return config.max_in_flight_slots;
        }
        if self.flight_bytes >= self.window_bytes {
            return 0;
        }
        config.max_in_flight_slots.saturating_sub(self.next.prev().since(self.acked))
    }

    /// What it has, however messages overtake each other: entries in flight are not counted with, since
    /// a heartbeat does not wait behind them (P2a).
    pub(crate) fn surely_arrived(&self) -> Slot {
        if self.in_flight() { self.acked } else { self.next.prev() }
    }

    /// Whether anything sent is not acknowledged.
    pub(crate) fn in_flight(&self) -> bool {
        !self.flight.is_empty()
    }

    /// A batch up to `last` was sent.
    pub(crate) fn sent(&mut self, last: Slot, weight: usize, now: Mono) {
        assert!(last >= self.next, "sent {last} again, next was {}", self.next);
        if self.flight.is_empty() {
            self.progress = now;
        }
        self.flight.push_back((last, weight));
        self.flight_bytes += weight;
        self.batch_bytes = weight;
        self.next = last.next();
    }

    /// The newest batch grew to `last`.
    pub(crate) fn extended(&mut self, last: Slot, weight: usize) {
        let (slot, bytes) = self.flight.back_mut().expect("the batch is in flight");
        *slot = last;
        *bytes += weight;
        self.flight_bytes += weight;
        self.batch_bytes += weight;
        self.next = last.next();
    }

    /// It acknowledged everything up to `acked`.
    pub(crate) fn acknowledged(&mut self, acked: Slot, now: Mono, config: &Config) {
        if acked > self.acked {
            self.acked = acked;
            self.progress = now;
        }
        self.matched = self.matched.max(acked);
        while self.flight.front().is_some_and(|(last, _)| *last <= self.acked) {
            let (_, weight) = self.flight.pop_front().expect("just seen");
            self.flight_bytes -= weight;
            self.window_bytes = config.max_peer_in_flight_bytes.min(self.window_bytes * 2);
        }
        if self.flight.is_empty() {
            self.batch_bytes = usize::MAX;
        }
        self.next = self.next.max(self.acked.next());
    }

    /// An answer shows that it lacks something sent: sends again from there, but not more
    /// often than once per `resend_after`.
    pub(crate) fn lost(&mut self, acked: Slot, now: Mono, config: &Config) {
        if self.rewound.is_none_or(|at| now >= at.plus(config.resend_after)) {
            self.rewound = Some(now);
            self.acked = acked;
            self.rewind(config);
        }
    }

    /// Brings `next` back to the first unacknowledged slot, and begins with little again.
    pub(crate) fn rewind(&mut self, config: &Config) {
        self.next = self.acked.next();
        self.window_bytes = config.first_peer_in_flight_bytes;
        self.flight.clear();
        self.flight_bytes = 0;
        self.batch_bytes = usize::MAX;
    }

    /// As if nothing had been lost or acknowledged yet, for the model checker.
    #[cfg(test)]
    pub(crate) fn forget_window(&mut self, config: &Config) {
        self.window_bytes = config.first_peer_in_flight_bytes;
    }
}
