//! What only a leader holds, in memory: it dies with the leadership, and the next leader does
//! without.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use clock::{Interval, Mono, Timestamp};
use keys::{Key, NodeId, RangeId, TxnId};
use kv::{Descriptor, Resolution, TxnMeta, Validate, Write};
use paxos::{Ballot, Slot};
use storage::{EngineError, Reader, mvcc};

use super::op::OpId;
use crate::{
    Config,
    command::Command,
    locks::{LockEffects, LockTable},
    recent::RecentWrites,
};

/// Intents read at once when a new leader enters them as locks.
const INTENTS_PER_READ: usize = 1024;

/// A leader's memory.
#[derive(Debug)]
pub(super) struct Leader {
    /// Its leadership.
    pub ballot: Ballot,
    /// P2: everything it assigns and serves lies below.
    pub lease_end: Timestamp,
    /// R1: everything it assigns lies at or above.
    pub min_next: Timestamp,
    /// When it began: silence before counts for nothing (X7).
    pub since: Mono,
    /// Who may validate, write or wait.
    pub locks: LockTable,
    /// Effects of calls on `locks`, to be carried out.
    pub lock_effects: LockEffects,
    /// What was committed lately.
    pub recent: RecentWrites,
    /// Transactions with a promise: prepared, or with a command about them in the log.
    pub txns: BTreeMap<TxnId, Txn>,
    /// When each transaction anchored here was last heard of (X7). Never heard of: absent.
    pub heard: BTreeMap<TxnId, Heard>,
    /// A split: until it is applied nothing new is begun, and once it is in the log nothing at all is
    /// proposed.
    pub splitting: Option<Splitting>,
    /// A transfer waits until no promise is left (P5): nothing new is promised.
    pub draining: Option<Draining>,
    /// Time is closed up to here (R3).
    pub closed: Timestamp,
    /// When to close time again.
    pub close_due: Mono,
    /// Whether anything was proposed since time was closed last.
    pub wrote: bool,
    /// Holders found by the last housekeeping; who is there twice in a row is asked about.
    pub seen: Vec<TxnId>,
    /// Where the deletion of records goes on: a stored key.
    pub forget_from: Option<Vec<u8>>,
    /// Commands not proposed yet, oldest first.
    queue: VecDeque<Proposal>,
    /// Commands proposed and not applied, by slot.
    inflight: VecDeque<(Slot, Proposal)>,
}

/// What was heard of a transaction's gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    /// When, last.
    pub at: Mono,
    /// Whether the transaction waits for others, as it said last (X5b).
    pub waiting: bool,
    /// Who waits for it, as ranges told: to find deadlocks.
    pub waiters: Vec<TxnId>,
}

/// A split in the log, or about to be: large transactions come to the end of their slices first.
#[derive(Debug)]
pub(super) struct Splitting {
    /// The child's first key.
    pub at: Key,
    /// The child's id.
    pub child: RangeId,
    /// Whether it is in the log. From then on nothing is proposed behind it.
    pub proposed: bool,
    /// Who asked for it.
    pub waiters: Vec<OpId>,
}

/// A transfer that waits.
#[derive(Debug)]
pub(super) struct Draining {
    /// Who shall lead.
    pub to: NodeId,
    /// Who asked for it.
    pub op: OpId,
}

/// A transaction with a promise.
#[derive(Debug)]
pub(super) struct Txn {
    /// Who.
    pub meta: TxnMeta,
    /// What was promised.
    pub phase: Phase,
    /// Requests that are answered once the phase ends.
    pub waiters: Vec<OpId>,
}

/// What was promised, or is being decided.
#[derive(Debug)]
pub(super) enum Phase {
    /// Its intents are being laid, a slice at a time: some are in the log, not applied yet.
    Preparing {
        /// Its prepare timestamp: that of the newest slice.
        prepare: Timestamp,
        /// The keys of the intents laid before and in the log, in no order.
        keys: Vec<Key>,
        /// What it validated with them.
        validated: Vec<Validate>,
        /// What is not in the log yet.
        rest: VecDeque<Write>,
        /// Slices in the log, not applied yet. At least 1.
        slices: usize,
        /// Whether the rest was given up: the lease left no timestamp for it.
        cut_short: bool,
    },
    /// It answered a prepare.
    Prepared {
        /// Its prepare timestamp; zero if it logged nothing.
        prepare: Timestamp,
        /// The keys of its intents, in order, each once; none if it only validated.
        keys: Vec<Key>,
        /// What it validated under this leadership (X3).
        validated: Vec<Validate>,
    },
    /// Its decision is in the log.
    Deciding,
    /// Its abort is in the log.
    Poisoning,
    /// Its intents are being resolved, a slice at a time.
    Resolving {
        /// What its record says.
        outcome: Resolution,
        /// Its prepare timestamp.
        prepare: Timestamp,
        /// The keys whose resolution is not in the log yet.
        rest: VecDeque<Key>,
        /// Slices in the log, not applied yet. At least 1.
        slices: usize,
    },
}

/// A command on its way into the log.
#[derive(Debug)]
pub(super) struct Proposal {
    /// The bytes.
    pub bytes: Bytes,
    /// The same, so that the leader needs not decode what it encoded.
    pub command: Command,
}

impl Leader {
    /// A leader of a range whose log names no timestamp above `log_timestamp`.
    pub fn new(config: &Config, ballot: Ballot, now: Mono, log_timestamp: Timestamp) -> Leader {
        Leader {
            ballot,
            lease_end: Timestamp::ZERO,
            min_next: Timestamp::ZERO,
            since: now,
            locks: LockTable::new(config.locks),
            lock_effects: LockEffects::default(),
            recent: RecentWrites::new(config.recent_writes, log_timestamp),
            txns: BTreeMap::new(),
            heard: BTreeMap::new(),
            splitting: None,
            draining: None,
            closed: Timestamp::ZERO,
            close_due: now,
            wrote: true,
            seen: Vec::new(),
            forget_from: None,
            queue: VecDeque::new(),
            inflight: VecDeque::new(),
        }
    }

    /// Enters all intents of the range as locks of prepared transactions (X2). Shared locks of the
    /// leader before are gone; what they protected ends with its lease (X3).
    pub fn recover(&mut self, reader: &dyn Reader, range: &Descriptor) -> Result<(), EngineError> {
        let mut rest = range.span.clone();
        loop {
            let intents = mvcc::intents_in_span(reader, &rest, INTENTS_PER_READ)?;
            let all = intents.len() < INTENTS_PER_READ;
            for (key, intent) in intents {
                rest.start = key.next();
                let found = TxnMeta {
                    id: intent.txn,
                    anchor: intent.anchor,
                    priority: intent.priority,
                    start: intent.start,
                };
                // A transaction has one age (X5). A gateway that is wrong may have laid intents of
                // several: the first one counts, since any order will do, and the record decides.
                let known = self.txns.get(&found.id).map(|known| known.meta.clone());
                let meta = known.unwrap_or(found);
                self.locks.hold_intent(key.clone(), &meta, intent.prepare);
                self.recover_txn(meta, key, intent.prepare);
            }
            if all {
                return Ok(());
            }
        }
    }

    fn recover_txn(&mut self, meta: TxnMeta, key: Key, prepare: Timestamp) {
        let txn = self.txns.entry(meta.id).or_insert_with(|| Txn {
            meta,
            phase: Phase::Prepared { prepare, keys: Vec::new(), validated: Vec::new() },
            waiters: Vec::new(),
        });
        let Phase::Prepared { keys, .. } = &mut txn.phase else {
            unreachable!("a new leader knows nothing but intents")
        };
        let last = keys.last();
        assert!(last.is_none_or(|last| *last < key), "intents out of order: {last:?}, {key}");
        keys.push(key);
    }

    /// P2: whether it may act now.
    pub fn lease_valid(&self, tt: Interval) -> bool {
        tt.before(self.lease_end)
    }

    /// R1: nothing is assigned at or below `t` from now on.
    pub fn raise_above(&mut self, t: Timestamp) {
        self.min_next = self.min_next.max(t.next());
    }

    /// Takes a timestamp at or above `least`, above everything before (R1) and below `below` and
    /// the lease end (P2). The bound that is in the way, if there is none.
    pub fn assign(&mut self, least: Timestamp, below: Timestamp) -> Result<Timestamp, Timestamp> {
        let at = self.min_next.max(least);
        let bound = below.min(self.lease_end);
        if at >= bound {
            return Err(bound);
        }
        assert!(at >= self.min_next && at < self.lease_end, "R1: {at} assigned out of bounds");
        self.min_next = at.next();
        Ok(at)
    }

    /// Puts a command behind all others.
    pub fn enqueue(&mut self, command: Command) {
        let behind = self.splitting.as_ref().is_some_and(|splitting| splitting.proposed);
        assert!(!behind, "proposed behind a split that is not applied");
        self.wrote |= command.timestamp() > Timestamp::ZERO;
        self.queue.push_back(Proposal { bytes: command.encode(), command });
    }

    pub fn next_proposal(&self) -> Option<&Bytes> {
        self.queue.front().map(|proposal| &proposal.bytes)
    }

    pub fn proposed(&mut self, slot: Slot) -> Option<TxnId> {
        let proposal = self.queue.pop_front().expect("told by next_proposal");
        if let Some((last, _)) = self.inflight.back() {
            assert!(*last < slot, "slots go up: {last} then {slot}");
        }
        let whose = proposal.command.txn();
        self.inflight.push_back((slot, proposal));
        whose
    }

    /// Takes what was proposed in this slot, if anything.
    pub fn take_inflight(&mut self, slot: Slot) -> Option<Proposal> {
        match self.inflight.front() {
            Some((first, _)) if *first == slot => self.inflight.pop_front().map(|(_, p)| p),
            Some((first, _)) => {
                assert!(*first > slot, "slot {first} was skipped: {slot} is applied");
                None
            }
            None => None,
        }
    }

    /// Whether some transaction's intents are laid or resolved in slices that are not all in the log.
    pub fn is_slicing(&self) -> bool {
        self.txns.values().any(|txn| match &txn.phase {
            Phase::Preparing { rest, .. } => !rest.is_empty(),
            Phase::Resolving { rest, .. } => !rest.is_empty(),
            Phase::Prepared { .. } | Phase::Deciding | Phase::Poisoning => false,
        })
    }

    /// S4: the least timestamp that an intent may yet be resolved at or above, if there is one: what
    /// lies below every intent may be collected.
    pub fn least_intent(&self) -> Option<Timestamp> {
        let intents = self.txns.values().filter_map(|txn| match &txn.phase {
            Phase::Prepared { prepare, keys, .. } => (!keys.is_empty()).then_some(*prepare),
            Phase::Preparing { prepare, .. } | Phase::Resolving { prepare, .. } => Some(*prepare),
            Phase::Deciding | Phase::Poisoning => None,
        });
        intents.min()
    }

    /// Commands not proposed yet.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Nothing is on its way into the log.
    pub fn log_idle(&self) -> bool {
        self.queue.is_empty() && self.inflight.is_empty()
    }

    /// The least timestamp of a command not proposed yet: time is not closed at or above it (R3).
    pub fn least_queued(&self) -> Option<Timestamp> {
        let timestamps = self.queue.iter().map(|proposal| proposal.command.timestamp());
        timestamps.filter(|at| *at > Timestamp::ZERO).min()
    }
}
