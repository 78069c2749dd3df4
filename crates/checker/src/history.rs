//! Histories: what clients asked a database for, when, and what they heard.
//!
//! A [`History`] is a list of [`Operation`]s. An operation is one transaction (or one call on a
//! single register, or one transfer of a bank) by one *process*: a client that does one thing at a
//! time. It begins at `invoked`, ends at `completed`, and its outcome is one of three: it happened
//! ([`Outcome::Ok`]), it did not ([`Outcome::Fail`]), or **nobody knows** ([`Outcome::Unknown`]):
//! the connection broke, the answer was lost. An unknown operation may have happened at any time
//! after it began, or may still happen; checkers never conclude anything from its end.
//!
//! ```text
//!  process 1   |--- append 3 to x ---|  ok
//!  process 2            |--- read x: [1 3] ---|  ok
//!  process 3      |--- append 4 to x ------------------------- ?  unknown
//!              -------------------------------------------------------> time
//! ```
//!
//! The core of it is the transaction of [`MicroOp`]s over three kinds of keys: *lists* that are
//! appended to, *registers* that are overwritten, *sets* that are added to. Long fork, write skew,
//! comments, sequential, monotonic and predicate workloads are all transactions of these; see
//! [`Workload`] for which is which.
//!
//! **Values are names.** Black-box judgements recognise who wrote what by value: a workload should
//! never append, write or add the same value to the same key twice. Where values repeat (bank
//! balances), only timestamps or the workload's own invariant can judge.

use std::{collections::BTreeMap, fmt, sync::Arc};

use crate::Value;

/// A point in time, in nanoseconds from any origin, the same for the whole history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

/// A hybrid timestamp as the database assigned it: ordered by wall time, then by the counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// Nanoseconds, from any origin.
    pub wall: u64,
    /// Orders timestamps of the same wall time. Zero for databases without such a counter.
    pub logical: u32,
}

/// `12.000000345+2`: seconds, and the counter unless it is zero.
impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.wall / 1_000_000_000, self.wall % 1_000_000_000)?;
        if self.logical > 0 {
            write!(f, "+{}", self.logical)?;
        }
        Ok(())
    }
}

/// What the database says about when a transaction read and committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamps {
    /// The snapshot it read. `None` if unknown or if it read nothing.
    pub read: Option<Stamp>,
    /// Where its writes appeared, all at once. `None` if unknown or if it wrote nothing.
    pub commit: Option<Stamp>,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It happened.
    Ok,
    /// It did not happen, and never will.
    Fail,
    /// It may have happened, may happen later, or never.
    Unknown,
}

/// Which workload an operation belongs to: it selects the specialised judgements. The graph of
/// dependencies is built from all of them alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Workload {
    /// Transactions that need no other judgement than the graph's: list append, register, write
    /// skew, long fork, predicate.
    #[default]
    Txn,
    /// Transfers between accounts, and reads of all of them. Registers with integers; every
    /// read-only transaction that reads all accounts must see the same total.
    Bank,
    /// Counters that only grow: registers with integers. What a process reads never decreases.
    Monotonic,
    /// A process writes several keys one after the other, each in a transaction of its own. Whoever
    /// sees a later one sees the earlier ones.
    Sequential,
    /// Inserts into sets. Whoever sees an insert sees all that were acknowledged before it began.
    Comments,
    /// Calls on single registers, each linearizable by itself ([`Action::Register`]).
    Register,
}

impl Workload {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Txn, Self::Bank, Self::Monotonic, Self::Sequential, Self::Comments, Self::Register];

    /// As files name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Txn => "txn",
            Self::Bank => "bank",
            Self::Monotonic => "monotonic",
            Self::Sequential => "sequential",
            Self::Comments => "comments",
            Self::Register => "register",
        }
    }
}

/// One step of a transaction. A read's result is `None` where nobody heard it: the transaction
/// failed, or its outcome is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MicroOp {
    /// Appends `value` to the list `key`.
    Append {
        /// The list.
        key: Value,
        /// Never appended to this list by anybody else.
        value: Value,
    },
    /// Reads the whole list `key`. A list nobody appended to is empty.
    ReadList {
        /// The list.
        key: Value,
        /// Its elements, oldest first.
        values: Option<Vec<Value>>,
    },
    /// Overwrites the register `key`.
    Write {
        /// The register.
        key: Value,
        /// Best never written to this register by anybody else. Never [`Value::Nil`].
        value: Value,
    },
    /// Reads the register `key`.
    ReadRegister {
        /// The register.
        key: Value,
        /// `Some(Value::Nil)` if nobody has written it.
        value: Option<Value>,
    },
    /// Adds `value` to the set `key`: a row that a predicate finds.
    Add {
        /// The set: the predicate.
        key: Value,
        /// The element: the row. Never added to this set by anybody else.
        value: Value,
    },
    /// Reads all elements of the set `key`: all rows that match the predicate.
    ReadSet {
        /// The set: the predicate.
        key: Value,
        /// Its elements, in any order.
        values: Option<Vec<Value>>,
    },
}

impl MicroOp {
    /// The key it touches.
    pub fn key(&self) -> &Value {
        match self {
            Self::Append { key, .. }
            | Self::ReadList { key, .. }
            | Self::Write { key, .. }
            | Self::ReadRegister { key, .. }
            | Self::Add { key, .. }
            | Self::ReadSet { key, .. } => key,
        }
    }

    /// Whether it changes something.
    pub fn is_write(&self) -> bool {
        match self {
            Self::Append { .. } | Self::Write { .. } | Self::Add { .. } => true,
            Self::ReadList { .. } | Self::ReadRegister { .. } | Self::ReadSet { .. } => false,
        }
    }
}

/// A call on one register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Reads it. `None` if the answer never arrived; `Some(Value::Nil)` if nobody has written it.
    Read(Option<Value>),
    /// Overwrites it.
    Write(Value),
    /// Replaces `from` by `to`. It fails, and changes nothing, if the register holds something
    /// else.
    CompareAndSet {
        /// What the register must hold.
        from: Value,
        /// What it holds afterwards.
        to: Value,
    },
    /// Adds to a counter: a register that holds an integer. A key with such calls is a counter,
    /// whatever else is done to it.
    Add(i64),
    /// Takes a lock, which nobody may hold.
    Acquire,
    /// Gives back a lock, which somebody must hold.
    Release,
}

/// What an operation does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A transaction.
    Txn(Vec<MicroOp>),
    /// A call on a single register. Values may repeat.
    Register {
        /// The register.
        key: Value,
        /// What to do with it.
        call: Call,
    },
    /// A transfer between two accounts, of which a file tells nothing more.
    Transfer {
        /// The account that pays.
        from: Value,
        /// The account that receives.
        to: Value,
        /// How much.
        amount: i64,
    },
    /// A read of all accounts with their balances, `None` if the answer never arrived.
    Balances(Option<Vec<(Value, Option<i64>)>>),
}

/// One operation of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its name in witnesses; its position in the file it came from. Unique in a history.
    pub index: u64,
    /// The client. It does one thing at a time; after an unknown outcome it may go on.
    pub process: u64,
    /// Before anything of it can have happened.
    pub invoked: Nanos,
    /// When its outcome was known; after all of it had happened. `None` if it never ended.
    pub completed: Option<Nanos>,
    /// How it ended.
    pub outcome: Outcome,
    /// Which specialised judgements apply.
    pub workload: Workload,
    /// What it does.
    pub action: Action,
    /// The database's own timestamps, where known.
    pub timestamps: Timestamps,
    /// `None` for a strong operation. `Some(bound)` for a read of the past (`AS OF SYSTEM TIME`,
    /// bounded staleness): it may miss what was acknowledged within `bound` nanoseconds before it
    /// began, nothing older. It comes before all strong operations that begin after it ended; else it
    /// has no place in real time, and none in its process's order.
    pub staleness: Option<Nanos>,
    /// Anything a person would like to see in a witness: node, region, error.
    pub note: Option<Arc<str>>,
}

impl Operation {
    /// A transaction that happened, of process `process`, with only the mandatory fields.
    pub fn txn(index: u64, process: u64, times: (Nanos, Nanos), ops: Vec<MicroOp>) -> Self {
        Self {
            index,
            process,
            invoked: times.0,
            completed: Some(times.1),
            outcome: Outcome::Ok,
            workload: Workload::Txn,
            action: Action::Txn(ops),
            timestamps: Timestamps::default(),
            staleness: None,
            note: None,
        }
    }
}

/// Whether all that writes to the database is in the history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum World {
    /// All lists, sets and registers began empty and every write is an operation of the history: a
    /// value that nobody wrote must not be read.
    #[default]
    Closed,
    /// Somebody else may have written too, before or meanwhile.
    Open,
}

/// What the times of a history are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeUnit {
    /// Nanoseconds.
    #[default]
    Nanoseconds,
    /// Positions in the file: nothing is known but the order.
    Positions,
}

/// What registers and counters hold before anybody wrote them. Lists and sets begin empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Initial {
    /// All that are not named in `keys`. [`Value::Nil`]: nothing.
    pub all: Value,
    /// Single ones.
    pub keys: BTreeMap<Value, Value>,
}

impl Initial {
    /// What a register held in the beginning.
    pub fn of(&self, key: &Value) -> &Value {
        self.keys.get(key).unwrap_or(&self.all)
    }
}

/// Something of a file that nobody will judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// What it is, and why it is passed over: `events of nemesis, which is no client`.
    pub reason: String,
    /// How often.
    pub count: usize,
    /// Where it is first found in the file, counted from 1; `None` if it came from no file.
    pub line: Option<usize>,
}

/// All that some clients did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The operations, in any order.
    pub ops: Vec<Operation>,
    /// Whether these are all there were.
    pub world: World,
    /// What [`Nanos`] mean here.
    pub time_unit: TimeUnit,
    /// What was there before.
    pub initial: Initial,
    /// Names of processes that are more than numbers, by [`Operation::process`].
    pub names: BTreeMap<u64, Arc<str>>,
    /// What a file held besides.
    pub skipped: Vec<Skipped>,
}

impl History {
    /// What a process is called.
    pub fn process_name(&self, process: u64) -> String {
        self.names.get(&process).map_or_else(|| process.to_string(), |name| name.to_string())
    }

    /// Counts something that is passed over.
    pub(crate) fn skip(&mut self, reason: &str, line: Option<usize>) {
        if let Some(known) = self.skipped.iter_mut().find(|known| known.reason == reason) {
            known.count += 1;
            return;
        }
        // A file may be full of surprises: what they are is told of so many, the rest is counted.
        let reason = if self.skipped.len() < MAX_REASONS { reason } else { "other things" };
        match self.skipped.iter_mut().find(|known| known.reason == reason) {
            Some(known) => known.count += 1,
            None => self.skipped.push(Skipped { reason: reason.to_owned(), count: 1, line }),
        }
    }
}

/// So many reasons are told apart.
const MAX_REASONS: usize = 32;
