//! Who may validate, write or wait: the lock table of a range's leader.
//!
//! # What it guarantees
//!
//! From validation to the known outcome of a transaction its spans are share-locked and its written
//! keys exclusively locked (X2). The table lives in the leader's memory only. What must survive the
//! leader survives elsewhere: written keys as intents in the log, from which the next leader enters
//! them again ([`LockTable::hold_intent`]); validated spans not at all, which is why a validation is
//! good only below the lease end (X3).
//!
//! # How it works
//!
//! A request asks for spans to share and keys to own, all or nothing. It waits while somebody is in
//! its way: a *holder*, or an *older request that waits*. Age is the start of a transaction's first
//! attempt, so that a retry does not go to the back of the queue (X5).
//!
//! ```text
//!            age 1           age 2            age 3
//! key a      [holds]  <----  waits  <-------  waits      each waits for somebody older,
//! key b                      waits  ------->  [holds]    but here the older one is in the way ...
//! ```
//!
//! ... of a younger holder. (An older one that waits for a lock of the requester is not in its way:
//! it is granted after it in any case.) Nothing is taken from that one here: if it waits for nobody, it cannot be
//! part of a deadlock and is let finish (X5b). Whether it waits the leader of its record knows, which
//! is asked to abort it after a while ([`WantPush`]). So whoever waits, waits for somebody older, for the
//! answer of a record, or for somebody who waits for nobody; and the oldest transaction of all is
//! never wounded: no deadlock, and nobody starves. Those that wait for each other in this table are
//! found at once, and the youngest of them is wounded (`deadlock`). One that waits in this table and has promised
//! nothing its host may *wound* without asking ([`LockTable::wound`]): it loses all its locks here at
//! once, and is remembered, so that its later prepare is refused.
//!
//! Readers hold no locks, and nothing but a write at or below their snapshot stops them: a holder
//! whose proposed write or intent carries a timestamp `<= at` (R2). They wait for exactly the
//! holders found when they arrived; later ones lie above `at`, because serving the read raised
//! `min_next` first.
//!
//! A commit whose every effect here is in the log lets its locks go before that is applied
//! ([`LockTable::let_go`]): whoever takes them next comes behind it in the log. That spares a hot key
//! the log's round trip. For readers such a holder stays what it was.
//!
//! # Invariants
//!
//! 1. No two transactions hold conflicting locks. Asserted at each grant (`LockTable::grant`) and
//!    at each intent entered ([`LockTable::hold_intent`]).
//! 2. A request waits exactly if a holder is in its way, or an older waiting request that does not
//!    wait for a lock of its own transaction. Checked against a naive twin under random input.
//! 3. A prepared holder loses its locks through [`LockTable::release`] and [`LockTable::let_go`]
//!    alone. Asserted in `LockTable::wound_now`.
//! 4. Equal inputs give equal outputs in equal order: grants come oldest first.
//! 5. A key was let go early by at most one transaction that is not released. Asserted in
//!    [`LockTable::let_go`].
//!
//! # Hazards
//!
//! The memory of wounds is bounded. A transaction whose wound is forgotten may prepare here as if it
//! still held the locks it took for update. No serializable history breaks by that: locks taken
//! earlier never replace validation (X1).
//!
//! Keys let go early count for no limit here: each of them lies in a resolution that is on its way
//! through the log, at most one slice of it for a transaction.
//!
//! # What it does not know
//!
//! Values, timestamps of versions, the log, time. When to ask a record again is its host's decision;
//! [`LockTable::pushes`] says whom to ask about.

mod claims;
mod deadlock;
mod intervals;
mod observe;
mod read;
mod split;
mod table;
#[cfg(test)]
mod tests;

use keys::{Key, Span, TxnId};
use kv::{Conflict, KvError, LockWait, PushKind, TxnMeta};

pub use table::LockTable;

/// A request to the lock table, named by its host. Never used twice while the first waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Locks wanted, all or none of them.
#[derive(Clone, Debug)]
pub struct LockRequest {
    /// Its name, by which it is granted or cancelled later.
    pub id: RequestId,
    /// For whom. A transaction may ask several times; what it holds already is granted at once.
    pub txn: TxnMeta,
    /// Spans to share-lock: what it read and wants to validate (X1).
    pub shared: Vec<Span>,
    /// Keys to lock exclusively: what it writes, or locks for update (X6).
    pub exclusive: Vec<Key>,
    /// Whether to wait when somebody is in the way.
    pub wait: LockWait,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// All locks are held.
    Granted,
    /// It waits; [`LockEffects::granted`] will name it.
    Waiting {
        /// Some of those in the way, holders first; at most [`MAX_REPORTED`]. Never empty.
        waits_for: Vec<TxnId>,
    },
    /// It does not get them, and does not wait. Nothing happened.
    Refused(Refusal),
}

/// Why a request does not get its locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It was not to wait ([`LockWait::NoWait`]).
    Busy {
        /// Where somebody is in the way.
        key: Key,
        /// Who.
        holder: TxnId,
    },
    /// The transaction was wounded here; it can only be tried again as a new one (X5).
    Wounded(Conflict),
    /// The table is full (see [`LockLimits`]). For people.
    Overloaded(String),
    /// The transaction was here before, as one of another age: the order of waiting (X5) rests on an
    /// age that never changes. Whoever asks has a defect. For people.
    Contradicts(String),
}

impl From<Refusal> for KvError {
    fn from(refusal: Refusal) -> KvError {
        match refusal {
            Refusal::Busy { key, holder } => KvError::LockBusy { key, holder },
            Refusal::Wounded(conflict) => KvError::Conflict(conflict),
            Refusal::Overloaded(cause) => KvError::Overloaded(cause),
            Refusal::Contradicts(cause) => KvError::Invalid(cause),
        }
    }
}

/// What a call did to others. Calls append to it; the host carries everything out and clears it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockEffects {
    /// Requests and readers that waited and are granted now, in the order of their grants. A later
    /// call may take the locks away again: a host that collects the effects of several calls asks
    /// for a granted request's locks once more, and what is still held is granted at once.
    pub granted: Vec<RequestId>,
    /// Transactions that lost all their locks in this range.
    pub wounded: Vec<Wounded>,
    /// Prepared younger holders whose records are to be asked to abort them, now (X5).
    pub must_push: Vec<WantPush>,
    /// Requests that waited for a transaction whose outcome became known, or whose keys went to
    /// another range: they wait no longer and hold nothing. The host answers them.
    pub dropped: Vec<RequestId>,
}

impl LockEffects {
    /// Whether nobody else was concerned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.granted.is_empty()
            && self.wounded.is_empty()
            && self.must_push.is_empty()
            && self.dropped.is_empty()
    }
}

/// A transaction that had to give way (X5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wounded {
    /// Who. Whatever the host is still doing for it here must end in a refusal.
    pub txn: TxnId,
    /// Its requests that were waiting: they wait no longer.
    pub requests: Vec<RequestId>,
    /// Why, for its gateway: [`kv::ConflictKind::Wounded`].
    pub conflict: Conflict,
}

/// A holder in the way of somebody, about whom its record is to be asked (X5, X7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantPush {
    /// Whom to ask about, and where its record lies.
    pub holder: TxnMeta,
    /// The oldest waiter that may have the holder aborted: it is older, and not a lock-free reader.
    /// `None`: only ask whether the holder ended or its gateway died.
    pub wound_for: Option<TxnMeta>,
    /// Where they met.
    pub key: Key,
    /// Some that wait for it here, at most [`MAX_REPORTED`]: to find deadlocks. None where it was told
    /// that one begins to wait.
    pub waiters: Vec<TxnMeta>,
}

impl WantPush {
    /// How hard to push.
    #[must_use]
    pub fn kind(&self) -> PushKind {
        match &self.wound_for {
            Some(pusher) => PushKind::Wound { pusher: pusher.clone() },
            None => PushKind::Query,
        }
    }
}

/// A holder that keeps a snapshot read waiting (R2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// Who holds the key.
    pub txn: TxnMeta,
    /// The key.
    pub key: Key,
    /// The timestamp of its proposed write or intent, at or below the snapshot.
    pub pending: clock::Timestamp,
}

/// What [`LockTable::wound`] met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WoundResult {
    /// It had promised nothing: its locks are gone, and it is remembered as wounded.
    Wounded,
    /// It answered a prepare: only its record may abort it. Nothing happened.
    Prepared,
    /// It holds nothing and waits for nothing here. Nothing happened.
    Absent,
}

/// How much a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockLimits {
    /// Locks held and wanted, counted per key or span. Once others hold so many, a request is
    /// [`Refusal::Overloaded`]; but no transaction counts for more than half, so that one alone,
    /// however much it holds, keeps nobody out. One that finds room is taken whole, however much it
    /// wants: what one transaction writes is bounded by the size of its log entry, what it locks at
    /// read time by its gateway. Intents are entered without limit: they are there already.
    pub locks: usize,
    /// The same for the keys of these locks and the ends of their spans, in bytes.
    pub bytes: usize,
    /// Requests and readers that wait. Beyond: [`Refusal::Overloaded`].
    pub waiting: usize,
    /// Wounded transactions remembered. Beyond: the one wounded first is forgotten.
    pub wounded: usize,
}

impl Default for LockLimits {
    fn default() -> LockLimits {
        LockLimits { locks: 1 << 18, bytes: 64 << 20, waiting: 1 << 13, wounded: 1 << 13 }
    }
}

/// At most so many are named when it is told who is in the way.
pub const MAX_REPORTED: usize = 16;
