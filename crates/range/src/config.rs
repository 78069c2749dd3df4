//! Settings and limits of a range. Every queue, batch and retry of this crate is bounded here.

use std::time::Duration;

use crate::{Rules, locks::LockLimits, scan::Slice};

/// Settings of a range, the same on all its replicas. Nothing unsafe follows if they differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Settings of the Paxos group.
    pub paxos: paxos::Config,
    /// Whether T4 and T5 are waited for.
    pub commit_wait: CommitWait,
    /// R2: a read this far beyond `TT.now().latest` is still served; beyond it is refused, because
    /// it would make every later commit of the range wait.
    pub future_tolerance: Duration,
    /// How often a leader that took writes closes time (R3): how far a follower's safe time trails.
    pub close_active: Duration,
    /// How often an idle leader closes time.
    pub close_idle: Duration,
    /// How far behind the clock's lower bound a closed timestamp stays. Zero: as fresh as possible.
    pub close_lag: Duration,
    /// L of X7a: how long a transaction attempt may prepare and decide. Its record lives as long.
    pub transaction_life: Duration,
    /// H of X7: without a heartbeat for so long, anybody may have a transaction aborted.
    pub heartbeat_lapse: Duration,
    /// The record of a transaction is asked for the first time after somebody waited so long for
    /// it.
    pub push_first: Duration,
    /// From when on the record is asked to abort it for an older one (X5) though no deadlock is known: how
    /// long one lasts that is not found. Far above what a queue for a hot row takes.
    pub wound_after: Duration,
    /// Each further question about the same transaction waits twice as long, up to this.
    pub push_max: Duration,
    /// A question that is not answered within this time is asked again.
    pub push_timeout: Duration,
    /// How often a leader looks for locks whose transaction may be dead although nobody waits for
    /// them (those held at two visits in a row), for records to delete, and for versions to drop.
    pub housekeeping: Duration,
    /// S4: versions are kept so long after they were overwritten.
    pub retention: Duration,
    /// How much history one GC proposal removes at least; fewer, larger proposals.
    pub gc_step: Duration,
    /// Most keys that one step of GC looks at.
    pub gc_keys_per_step: usize,
    /// Most records that one step of record deletion looks at, and most that one entry deletes.
    pub records_per_step: usize,
    /// Requests that may be parked in a range, of any kind. Beyond: [`kv::KvError::Overloaded`].
    pub parked_requests: usize,
    /// Reads that may be parked. Beyond: [`kv::KvError::Overloaded`].
    pub parked_reads: usize,
    /// Questions about transactions in flight at once. Beyond: they wait their turn.
    pub pushes: usize,
    /// Transactions whose heartbeats are remembered. Beyond: the lapse of the one heard from least
    /// recently is counted afresh.
    pub heartbeats: usize,
    /// Commands that wait for room in the log's window. Beyond: [`kv::KvError::Overloaded`].
    pub queued_commands: usize,
    /// Most bytes of one log entry, a little below the group's own limit. Beyond: [`kv::KvError::TooLarge`].
    pub entry_bytes: usize,
    /// Most keys of a large transaction in one entry: what is laid or resolved at a time.
    pub slice_keys: usize,
    /// About the most bytes of such an entry.
    pub slice_bytes: usize,
    /// Such entries of one transaction in the log at once. At least 1.
    pub slices_in_log: usize,
    /// Most bytes of a key that a transaction names. Beyond: [`kv::KvError::TooLarge`].
    pub key_bytes: usize,
    /// Most rows in one answer.
    pub reply_rows: usize,
    /// About the most bytes in one answer.
    pub reply_bytes: usize,
    /// Most keys looked at for one answer: bounds the time one request may take.
    pub reply_keys: usize,
    /// About the most nanoseconds that a program computes for one answer.
    pub reply_work: usize,
    /// What of a read is done at once, while the node's other ranges stand still; the rest is done
    /// beside their work.
    pub read_at_once: Slice,
    /// About the size of a chunk of a snapshot, in bytes.
    pub snapshot_chunk_bytes: usize,
    /// Most bytes of log that a leader keeps on disk for followers that are sent a snapshot. Beyond, such
    /// a follower is sent another one behind it.
    pub snapshot_log_bytes: usize,
    /// Snapshots sent at once by one range.
    pub snapshots: usize,
    /// A snapshot whose other end was silent for so long is given up.
    pub snapshot_timeout: Duration,
    /// Keys in the index of recent writes.
    pub recent_writes: usize,
    /// Limits of the lock table.
    pub locks: LockLimits,
    /// Which rules are kept: all of them, but where a test shows that dropping one is noticed.
    pub rules: Rules,
}

/// Whether commits wait until their timestamp is past everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitWait {
    /// T4 and T5 hold.
    On,
    /// An experiment: neither T4 nor T5 is waited for. External consistency is lost, and the
    /// checkers must find that; timestamps still order everything (X3a).
    UnsafeOff,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            paxos: paxos::Config { max_entry_bytes: 17 << 20, ..paxos::Config::default() },
            commit_wait: CommitWait::On,
            future_tolerance: Duration::from_millis(500),
            close_active: Duration::from_millis(200),
            close_idle: Duration::from_secs(1),
            close_lag: Duration::ZERO,
            transaction_life: Duration::from_secs(3600),
            heartbeat_lapse: Duration::from_secs(3),
            push_first: Duration::from_millis(50),
            wound_after: Duration::from_millis(700),
            push_max: Duration::from_secs(1),
            push_timeout: Duration::from_secs(5),
            housekeeping: Duration::from_secs(5),
            retention: Duration::from_secs(3600),
            gc_step: Duration::from_secs(600),
            gc_keys_per_step: 512,
            records_per_step: 512,
            parked_requests: 1 << 14,
            parked_reads: 1 << 12,
            pushes: 64,
            heartbeats: 1 << 16,
            queued_commands: 1 << 13,
            entry_bytes: 16 << 20,
            slice_keys: 512,
            slice_bytes: 256 << 10,
            slices_in_log: 4,
            key_bytes: 1 << 14,
            reply_rows: 10_000,
            reply_bytes: 4 << 20,
            reply_keys: 100_000,
            reply_work: 10_000_000,
            read_at_once: Slice { keys: 256, bytes: 64 << 10, work: 200_000 },
            snapshot_chunk_bytes: 1 << 20,
            snapshot_log_bytes: 1 << 30,
            snapshots: 2,
            snapshot_timeout: Duration::from_secs(10),
            recent_writes: 1 << 15,
            locks: LockLimits::default(),
            rules: Rules::default(),
        }
    }
}
