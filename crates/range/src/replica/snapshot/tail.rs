//! The log that a leader keeps on disk for those that are sent a snapshot.
//!
//! A large snapshot takes minutes, and in that time a busy range truncates the slots behind it. If they
//! were gone, whoever installed it would need the next one, and so for ever. So what is truncated in
//! memory stays on disk from the snapshot's slot on, until the follower has come so far, is silent for
//! long, or [`crate::Config::snapshot_log_bytes`] are kept.

use std::{collections::BTreeMap, time::Duration};

use clock::Mono;
use keys::NodeId;
use paxos::Slot;
use storage::{EngineError, WriteBatch};

use crate::{Config, Context, Replica, state};

/// How many times [`Config::snapshot_timeout`] the log is kept for a follower that asks for nothing.
const PATIENCE_TIMES: u32 = 6;

/// For whom the log is kept.
#[derive(Debug, Default)]
pub(super) struct Tail {
    kept: BTreeMap<NodeId, Kept>,
    /// About how many bytes of truncated entries are on disk.
    bytes: usize,
    /// Some of them are kept for nobody any more, and are to be removed.
    left_over: bool,
}

#[derive(Debug)]
struct Kept {
    /// The follower needs what lies behind this slot.
    after: Slot,
    until: Mono,
}

impl Tail {
    /// Keeps what lies behind a slot for a follower.
    pub fn keep(&mut self, node: NodeId, after: Slot, until: Mono) {
        self.kept.insert(node, Kept { after, until });
    }

    /// A follower shows that it goes on.
    pub fn keep_until(&mut self, node: NodeId, until: Mono) {
        if let Some(kept) = self.kept.get_mut(&node) {
            kept.until = until;
        }
    }

    /// Keeps the log for nobody any more.
    pub fn stop(&mut self) {
        *self = Tail { left_over: self.left_over || self.bytes > 0, ..Tail::default() };
    }

    /// When to look whether the log is kept for nobody any more.
    pub fn due(&self) -> Option<Mono> {
        let left_over = self.left_over.then_some(Mono(0));
        self.kept.values().map(|kept| kept.until).chain(left_over).min()
    }
}

impl super::Snapshots {
    /// Up to where the log may be removed from disk, of `through`.
    pub fn keeps_log_after(&self, through: Slot) -> Slot {
        self.tail.kept.values().map(|kept| kept.after).fold(through, Slot::min)
    }

    /// So many bytes were truncated in memory.
    pub fn log_was_cut(&mut self, bytes: usize, config: &Config) {
        if self.tail.kept.is_empty() {
            return;
        }
        self.tail.bytes += bytes;
        if self.tail.bytes > config.snapshot_log_bytes {
            self.tail.stop();
        }
    }
}

impl Replica {
    pub(super) fn tail_patience(&self) -> Duration {
        self.config.snapshot_timeout * PATIENCE_TIMES
    }

    /// Sends a follower slots that are truncated in memory. Whether they are on disk.
    pub(in crate::replica) fn send_log(
        &mut self,
        ctx: &Context<'_>,
        to: NodeId,
        has: Slot,
    ) -> Result<bool, EngineError> {
        if !self.snapshots.tail.kept.contains_key(&to) {
            return Ok(false);
        }
        let (range, bytes) = (self.range(), self.config.paxos.max_batch_bytes);
        let truncated = self.group.truncated_slot();
        let entries = state::read_log(ctx.engine, range, has, truncated, bytes)?;
        if entries.first().is_none_or(|(slot, _)| *slot != has.next()) {
            return Ok(false);
        }
        let until = ctx.now.mono.plus(self.tail_patience());
        self.snapshots.tail.keep_until(to, until);
        self.group.send_truncated(ctx.now, to, entries, &mut self.effects);
        Ok(true)
    }

    /// Removes from disk what is kept for nobody any more.
    pub(super) fn let_go_of_log(&mut self, ctx: &Context<'_>) -> Result<(), EngineError> {
        let tail = &mut self.snapshots.tail;
        if tail.due().is_none_or(|due| due > ctx.now.mono) {
            return Ok(());
        }
        tail.left_over = false;
        tail.kept.retain(|_, kept| kept.until > ctx.now.mono);
        if tail.kept.is_empty() {
            tail.bytes = 0;
        }
        let mut batch = WriteBatch::new();
        let through = self.snapshots.keeps_log_after(self.group.truncated_slot());
        state::truncate_log(&mut batch, self.range(), through);
        ctx.engine.write(batch)
    }
}
