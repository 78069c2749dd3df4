//! Consistency models, and which anomalies each forbids.
//!
//! All models but the last form a chain; each forbids what the ones before it forbid, and more:
//!
//! | model | forbids, besides the above |
//! |---|---|
//! | read committed (Adya's PL-2) | G0, G1a, G1b, G1c, dirty updates, values nobody wrote, version orders that contradict each other, reads staler than their bound |
//! | snapshot (snapshot isolation) | reads against one's own writes, lost updates, G-single, G-nonadjacent, long fork; totals of a bank |
//! | serializable (PL-3) | G2-item, write skew, G2 over predicates |
//! | strict serializable | all of it with the order of processes and of real time; comments, sequential, monotonic |
//!
//! *Linearizable* is strict serializability of every key by itself: transactions over several keys
//! are cut into one transaction per key. It is weaker than strict serializability and beside the
//! others.
//!
//! The names are those of Adya's thesis and of Elle. `-process` marks a cycle that needs the order
//! in which a process did things, `-realtime` one that needs an operation to have ended before
//! another began.

use std::{fmt, str::FromStr};

/// What a database promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Model {
    /// Nobody sees what did not commit, or did not last.
    ReadCommitted,
    /// Every transaction reads one snapshot, and of two concurrent ones that write the same key at
    /// most one commits.
    Snapshot,
    /// As if transactions had run one after the other.
    Serializable,
    /// ... in an order that agrees with real time.
    StrictSerializable,
    /// Each key by itself is strictly serializable.
    Linearizable,
}

impl Model {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ReadCommitted,
        Self::Snapshot,
        Self::Serializable,
        Self::StrictSerializable,
        Self::Linearizable,
    ];

    /// As the command line names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadCommitted => "read-committed",
            Self::Snapshot => "snapshot",
            Self::Serializable => "serializable",
            Self::StrictSerializable => "strict-serializable",
            Self::Linearizable => "linearizable",
        }
    }

    /// Whether it promises the order of real time.
    pub fn is_realtime(self) -> bool {
        matches!(self, Self::StrictSerializable | Self::Linearizable)
    }

    /// The stronger model whose judgement knows more: with the order of real time, registers and
    /// counters whose values repeat are judged call by call.
    pub(crate) fn judged_better_by(self) -> Option<Self> {
        match self {
            Self::ReadCommitted | Self::Snapshot | Self::Serializable | Self::Linearizable => {
                Some(Self::StrictSerializable)
            }
            Self::StrictSerializable => None,
        }
    }

    /// The weaker model that judges each key by itself, where this one must judge them together.
    pub(crate) fn weaker_by_key(self) -> Option<Self> {
        match self {
            Self::StrictSerializable => Some(Self::Linearizable),
            Self::ReadCommitted | Self::Snapshot | Self::Serializable | Self::Linearizable => None,
        }
    }

    /// Whether whatever this model allows, the other allows too. Every model is as strong as itself.
    pub fn implies(self, weaker: Self) -> bool {
        match (self, weaker) {
            (Self::StrictSerializable, _) => true,
            (Self::Linearizable, other) => other == Self::Linearizable,
            (_, Self::Linearizable) => false,
            (stronger, weaker) => stronger >= weaker,
        }
    }

    /// Whether it forbids this anomaly.
    pub fn forbids(self, anomaly: Kind, order: Order) -> bool {
        let needs = if order == Order::Data { anomaly.weakest() } else { Self::StrictSerializable };
        self >= needs
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No model has this name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no model is called {0:?}: one of read-committed, snapshot, serializable, \
     strict-serializable, linearizable"
)]
pub struct UnknownModel(pub String);

impl FromStr for Model {
    type Err = UnknownModel;

    fn from_str(text: &str) -> Result<Self, UnknownModel> {
        let found = Self::ALL.into_iter().find(|model| model.name() == text);
        found.ok_or_else(|| UnknownModel(text.to_owned()))
    }
}

/// Which orders besides those of the data an anomaly needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// None: reads and writes alone contradict each other.
    Data,
    /// The order in which a process did things.
    Process,
    /// That an operation ended before another began.
    Realtime,
}

impl Order {
    /// The name of an anomaly that needs it: `G0-realtime`.
    pub(crate) fn mark(self, kind: Kind) -> String {
        let suffix = match self {
            Self::Data => "",
            Self::Process => "-process",
            Self::Realtime => "-realtime",
        };
        format!("{}{suffix}", kind.name())
    }
}

/// What went wrong, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A cycle of writes alone: two transactions overwrote each other.
    G0,
    /// A read of what an aborted transaction wrote.
    G1a,
    /// A read of what a transaction wrote and overwrote before it committed.
    G1b,
    /// A cycle of writes and reads: information flows in a circle.
    G1c,
    /// A write on top of what an aborted transaction wrote.
    DirtyUpdate,
    /// A read of a value that nobody wrote.
    Unwritten,
    /// An element that is in a list twice though it was appended once.
    Duplicate,
    /// Two reads of a list, or two orders of a register's versions, that no single order explains.
    IncompatibleOrder,
    /// A transaction whose reads contradict its own earlier reads and writes.
    Internal,
    /// Two transactions updated the same version of a key.
    LostUpdate,
    /// A cycle with exactly one anti-dependency (read skew).
    GSingle,
    /// A cycle whose anti-dependencies are never adjacent.
    GNonadjacent,
    /// Two readers that saw two independent writes in opposite orders.
    LongFork,
    /// A bank read whose total is wrong.
    WrongTotal,
    /// A bank read with a negative balance, where balances must not be.
    NegativeBalance,
    /// A read that is not the newest version at its timestamp.
    WrongVersion,
    /// A version that changed between a transaction's snapshot and its commit.
    ChangedRead,
    /// Two commits of the same key at the same timestamp.
    SameTimestamp,
    /// A counter that shrank from a smaller to a larger timestamp.
    ShrunkCounter,
    /// A cycle with two or more anti-dependencies.
    G2Item,
    /// Two transactions that each missed the other's write to another key.
    WriteSkew,
    /// A cycle with anti-dependencies over predicates.
    G2,
    /// A later insert was seen without an earlier, acknowledged one.
    Comments,
    /// A process's later write was seen without its earlier one.
    Sequential,
    /// A process saw a counter shrink.
    Monotonic,
    /// A read that missed what was acknowledged longer ago than its bound.
    StaleRead,
    /// Timestamps that contradict real time.
    TimestampOrder,
    /// Calls on a register that no order explains.
    Nonlinearizable,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 28] = [
        Self::G0,
        Self::G1a,
        Self::G1b,
        Self::G1c,
        Self::DirtyUpdate,
        Self::Unwritten,
        Self::Duplicate,
        Self::IncompatibleOrder,
        Self::Internal,
        Self::LostUpdate,
        Self::GSingle,
        Self::GNonadjacent,
        Self::LongFork,
        Self::WrongTotal,
        Self::NegativeBalance,
        Self::WrongVersion,
        Self::ChangedRead,
        Self::SameTimestamp,
        Self::ShrunkCounter,
        Self::G2Item,
        Self::WriteSkew,
        Self::G2,
        Self::Comments,
        Self::Sequential,
        Self::Monotonic,
        Self::StaleRead,
        Self::TimestampOrder,
        Self::Nonlinearizable,
    ];

    /// As reports name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::G0 => "G0",
            Self::G1a => "G1a",
            Self::G1b => "G1b",
            Self::G1c => "G1c",
            Self::DirtyUpdate => "dirty-update",
            Self::Unwritten => "unwritten-value",
            Self::Duplicate => "duplicate-elements",
            Self::IncompatibleOrder => "incompatible-order",
            Self::Internal => "internal",
            Self::LostUpdate => "lost-update",
            Self::GSingle => "G-single",
            Self::GNonadjacent => "G-nonadjacent",
            Self::LongFork => "long-fork",
            Self::WrongTotal => "wrong-total",
            Self::NegativeBalance => "negative-balance",
            Self::WrongVersion => "wrong-version",
            Self::ChangedRead => "changed-read",
            Self::SameTimestamp => "same-timestamp",
            Self::ShrunkCounter => "shrunk-counter",
            Self::G2Item => "G2-item",
            Self::WriteSkew => "write-skew",
            Self::G2 => "G2",
            Self::Comments => "comments",
            Self::Sequential => "sequential",
            Self::Monotonic => "monotonic",
            Self::StaleRead => "stale-read",
            Self::TimestampOrder => "timestamp-order",
            Self::Nonlinearizable => "nonlinearizable",
        }
    }

    /// What it means, in a sentence for somebody who meets the name for the first time.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::G0 => "transactions overwrote each other in a circle",
            Self::G1a => "a read of what an aborted transaction wrote",
            Self::G1b => "a read of a state in the middle of a transaction",
            Self::G1c => "what transactions wrote and read flows in a circle",
            Self::DirtyUpdate => "a write on top of what an aborted transaction wrote",
            Self::Unwritten => "a read of a value that nobody wrote",
            Self::Duplicate => "an element is in a list more often than it was appended",
            Self::IncompatibleOrder => "no single order of versions explains all reads",
            Self::Internal => "a transaction's reads contradict its own reads and writes",
            Self::LostUpdate => "two transactions updated the same version: one update is lost",
            Self::GSingle => "a transaction saw some effects of another and missed others",
            Self::GNonadjacent => "a circle in which no two missed writes follow each other",
            Self::LongFork => "two readers saw two writes in opposite orders",
            Self::WrongTotal => "a read of all accounts does not add up",
            Self::NegativeBalance => "an account fell below zero",
            Self::WrongVersion => "a read is not the newest version at its timestamp",
            Self::ChangedRead => "what a transaction read changed before its commit timestamp",
            Self::SameTimestamp => "two commits of a key have the same timestamp",
            Self::ShrunkCounter => "a counter is smaller at a later timestamp",
            Self::G2Item => "transactions missed each other's writes in a circle",
            Self::WriteSkew => "two transactions each missed what the other wrote",
            Self::G2 => "transactions missed rows that others inserted, in a circle",
            Self::Comments => "a later insert is visible without an earlier, acknowledged one",
            Self::Sequential => "a process's later write is visible without its earlier one",
            Self::Monotonic => "a process saw a counter shrink",
            Self::StaleRead => "a read missed what was acknowledged before its bound",
            Self::TimestampOrder => "timestamps contradict the order of real time",
            Self::Nonlinearizable => "no order of the calls explains what they returned",
        }
    }

    /// The weakest model that forbids it, when only the data is needed to see it.
    fn weakest(self) -> Model {
        match self {
            Self::G0
            | Self::G1a
            | Self::G1b
            | Self::G1c
            | Self::DirtyUpdate
            | Self::Unwritten
            | Self::Duplicate
            | Self::IncompatibleOrder
            | Self::StaleRead => Model::ReadCommitted,
            Self::Internal
            | Self::LostUpdate
            | Self::GSingle
            | Self::GNonadjacent
            | Self::LongFork
            | Self::WrongTotal
            | Self::NegativeBalance
            | Self::WrongVersion
            | Self::SameTimestamp
            | Self::ShrunkCounter => Model::Snapshot,
            Self::G2Item | Self::WriteSkew | Self::G2 | Self::ChangedRead => Model::Serializable,
            Self::Comments
            | Self::Sequential
            | Self::Monotonic
            | Self::TimestampOrder
            | Self::Nonlinearizable => Model::StrictSerializable,
        }
    }
}

#[cfg(test)]
mod tests;
