//! The commit breakdown: what `SHOW COMMIT STATS` prints.

use std::time::Duration;

use clock::Timestamp;

/// What became of a commit and where its time went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitInfo {
    /// The commit timestamp s; of a transaction that wrote nothing, the snapshot it read (X4).
    /// [`Timestamp::ZERO`] if it did nothing at all.
    pub at: Timestamp,
    /// Ranges that took part: 0 if nothing was written, 1 for a one-group commit.
    pub participants: usize,
    /// The wait for locks and validation, at the range where that was longest, tries that ended in
    /// an error included; and that of earlier attempts of the same statement, which `total` is
    /// without.
    pub lock_wait: Duration,
    /// Proposal to applied, at the range that decided.
    pub paxos: Duration,
    /// The prepare phase as the gateway saw it. Zero for one group.
    pub two_phase: Duration,
    /// From the choice of s until `TT.after(s)` (T4).
    pub commit_wait: Duration,
    /// The part of it that passed while Paxos was at work.
    pub hidden: Duration,
    /// ε at the deciding leader when s was chosen.
    pub epsilon: Duration,
    /// The whole commit as the gateway saw it.
    pub total: Duration,
}

impl CommitInfo {
    /// A commit that had nothing to write.
    pub(crate) fn nothing_written(at: Timestamp) -> CommitInfo {
        CommitInfo {
            at,
            participants: 0,
            lock_wait: Duration::ZERO,
            paxos: Duration::ZERO,
            two_phase: Duration::ZERO,
            commit_wait: Duration::ZERO,
            hidden: Duration::ZERO,
            epsilon: Duration::ZERO,
            total: Duration::ZERO,
        }
    }
}
