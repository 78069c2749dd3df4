//! The naive checker: it sees everything, at once, and believes nothing.
//!
//! It knows the true time and every disk, which no replica does. What it demands is what the
//! TLA+ models of the protocol demand, by the same names where they have one.

use std::collections::{BTreeMap, BTreeSet};

use keys::NodeId;

use super::shared::Shared;
use crate::{Ballot, Chosen, Entry, Payload, Slot};

/// A command of the tests: a number never used twice, and the timestamp its leader assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Command {
    pub id: u64,
    pub at: u64,
}

impl Command {
    pub(super) fn encode(self) -> bytes::Bytes {
        [self.id.to_be_bytes(), self.at.to_be_bytes()].concat().into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Command {
        let (id, at) = bytes.split_at(8);
        Command {
            id: u64::from_be_bytes(id.try_into().expect("8 bytes")),
            at: u64::from_be_bytes(at.try_into().expect("8 bytes")),
        }
    }
}

/// What a leadership did with timestamps.
#[derive(Clone, Copy, Debug, Default, Hash)]
struct Uses {
    /// The lowest it assigned.
    first: Option<u64>,
    /// The highest it assigned, served or closed.
    highest: u64,
}

/// See the module head.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Checker {
    phase2: usize,
    /// Which disks ever held what: the truth about what is chosen.
    votes: Shared<BTreeMap<(Slot, Ballot), BTreeSet<NodeId>>>,
    proposed_as: Shared<BTreeMap<(Slot, Ballot), (Ballot, Payload)>>,
    chosen: Shared<BTreeMap<Slot, (Ballot, Payload)>>,
    /// What replicas were told, with the fence's verdict. Contiguous from slot 1.
    told: Shared<BTreeMap<Slot, Chosen>>,
    /// What each leadership proposed, in order.
    proposals: Shared<BTreeMap<Ballot, Vec<(Slot, Command)>>>,
    /// Commands that took effect.
    effective: Shared<BTreeMap<u64, Slot>>,
    last_effective_at: u64,
    uses: Shared<BTreeMap<Ballot, Uses>>,
    /// The highest read served.
    read_at: Option<u64>,
    /// Closed times announced, with their slots.
    closed: Vec<(u64, Slot)>,
}

macro_rules! demand {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            std::panic::panic_any(Violation(format!($($message)+)));
        }
    };
}

/// What the checker panics with.
#[derive(Debug)]
pub(super) struct Violation(pub String);

impl Checker {
    pub(super) fn new(phase2: usize) -> Checker {
        Checker { phase2, ..Checker::default() }
    }

    /// An acceptance reached a disk. Agreement, at its root: a slot has one chosen value.
    pub(super) fn durable(&mut self, node: NodeId, slot: Slot, entry: &Entry) {
        let value = (entry.first, entry.payload.clone());
        let key = (slot, entry.ballot);
        let same = self.proposed_as.entry(key).or_insert_with(|| value.clone());
        demand!(*same == value, "OneValuePerBallot: {slot} {}: {same:?} {value:?}", entry.ballot);
        let votes = self.votes.entry(key).or_default();
        votes.insert(node);
        if votes.len() < self.phase2 {
            return;
        }
        let chosen = self.chosen.entry(slot).or_insert_with(|| value.clone());
        demand!(*chosen == value, "Agreement: {slot} chosen {chosen:?} and {value:?}");
    }

    /// A replica was told that an entry is chosen.
    pub(super) fn told(&mut self, node: NodeId, chosen: &Chosen) {
        let Chosen { slot, entry, void } = chosen;
        let truth = self.chosen.get(slot);
        let value = (entry.first, entry.payload.clone());
        demand!(
            truth == Some(&value),
            "LearnedIsChosen: {node} was told {slot} is {value:?}, the disks say {truth:?}"
        );
        if let Some(before) = self.told.get(slot) {
            demand!(
                before.void == *void,
                "SameVerdict: {slot} is void {} at {node}, {} elsewhere",
                void,
                before.void
            );
            return;
        }
        demand!(slot.0 == self.told.len() as u64 + 1, "Contiguous: {node} was told {slot} early");
        self.told.insert(*slot, chosen.clone());
        if let (Payload::Command(bytes), false) = (&entry.payload, void) {
            self.takes_effect(*slot, entry.first, Command::decode(bytes));
        }
    }

    fn takes_effect(&mut self, slot: Slot, first: Ballot, command: Command) {
        let Command { id, at } = command;
        let mine = self.proposals.get(&first).map(Vec::as_slice).unwrap_or_default();
        demand!(mine.contains(&(slot, command)), "Invented: {slot} {first} {command:?}");
        let again = self.effective.insert(id, slot);
        demand!(again.is_none(), "Once: {command:?} took effect in {again:?} and {slot}");
        for (earlier, proposal) in mine.iter().filter(|(s, _)| *s < slot) {
            let kept = self.effective.get(&proposal.id) == Some(earlier);
            demand!(
                kept,
                "LeadershipsArePrefixes: {first} lost {proposal:?} in {earlier}, not {slot}"
            );
        }
        let last = self.last_effective_at;
        demand!(at > last, "TimestampsGrow: {slot} takes effect at {at}, after {last}");
        self.last_effective_at = at;
        let read = self.read_at;
        demand!(
            read.is_none_or(|t| at > t),
            "ReadsAreStable: {slot} at {at} behind a read at {read:?}"
        );
        for (closed, through) in &self.closed {
            let fine = slot <= *through || at > *closed;
            demand!(fine, "ClosedIsClosed: {slot} at {at}, but {closed} closed after {through}");
        }
    }

    /// A leader proposed a command.
    pub(super) fn proposed(&mut self, ballot: Ballot, slot: Slot, command: Command) {
        self.proposals.entry(ballot).or_default().push((slot, command));
        self.assigned(ballot, command.at);
    }

    fn assigned(&mut self, ballot: Ballot, at: u64) {
        let below = self.uses.range(..ballot).map(|(_, u)| u.highest).max();
        demand!(
            below.is_none_or(|t| t < at),
            "Disjoint: {ballot} assigns {at}, a lower ballot used {below:?}"
        );
        let uses = self.uses.entry(ballot).or_default();
        uses.first = Some(uses.first.map_or(at, |t| t.min(at)));
        self.used(ballot, at);
    }

    fn used(&mut self, ballot: Ballot, at: u64) {
        let uses = self.uses.entry(ballot).or_default();
        uses.highest = uses.highest.max(at);
        let above = self.uses.range(ballot..).skip(1).filter_map(|(_, u)| u.first).min();
        demand!(
            above.is_none_or(|t| at < t),
            "Disjoint: {ballot} uses {at}, a higher ballot has assigned {above:?}"
        );
    }

    /// A leader served a read that returned all it had applied.
    pub(super) fn read(&mut self, ballot: Ballot, at: u64, applied: Slot) {
        for (slot, chosen) in self.told.range(applied.next()..) {
            if let (Payload::Command(bytes), false) = (&chosen.entry.payload, chosen.void) {
                let missed = Command::decode(bytes);
                demand!(
                    missed.at > at,
                    "ReadsAreStable: a read at {at} missed {missed:?} in {slot}"
                );
            }
        }
        self.read_at = self.read_at.max(Some(at));
        self.used(ballot, at);
    }

    /// A leader closed time.
    pub(super) fn closes(&mut self, ballot: Ballot, at: u64, through: Slot) {
        self.closed.push((at, through));
        self.used(ballot, at);
    }

    /// A follower was told of closed time: only what was announced, and only once applied.
    pub(super) fn heard_closed(&self, node: NodeId, at: u64, through: Slot, applied: Slot) {
        demand!(
            self.closed.contains(&(at, through)),
            "{node} heard of a closed time {at} nobody closed"
        );
        demand!(
            through <= applied,
            "{node} heard {at} is closed through {through}, applied {applied}"
        );
    }

    /// At any absolute time at most one leadership may act: who could, by some reading of a clock
    /// that keeps its bound.
    pub(super) fn exclusive(&self, at: u64, acting: &[(NodeId, Ballot)]) {
        demand!(acting.len() <= 1, "Exclusive: at {at} all of {acting:?} may act");
    }

    /// A replica did what its host must never see.
    pub(super) fn fail(&self, message: &str) -> ! {
        std::panic::panic_any(Violation(message.to_string()))
    }

    /// Entries told so far.
    pub(super) fn told_count(&self) -> u64 {
        self.told.len() as u64
    }

    /// How many void commands were met: a probe.
    pub(super) fn voids(&self) -> usize {
        let command = |c: &&Chosen| matches!(c.entry.payload, Payload::Command(_));
        self.told.values().filter(command).filter(|c| c.void).count()
    }

    /// How many gaps were filled: a probe.
    pub(super) fn noops(&self) -> usize {
        self.told.values().filter(|c| c.entry.payload == Payload::Noop).count()
    }

    /// Whether this command took effect, and whether it can still.
    pub(super) fn effective(&self, id: u64) -> bool {
        self.effective.contains_key(&id)
    }
}
