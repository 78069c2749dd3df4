//! Snapshots: a replica that fell behind the truncated log gets the state instead.
//!
//! ```text
//!    leader                                    follower
//!      |  Chunk 0: header (slot, state), entries  |
//!      | ---------------------------------------> |   staged beside the live data
//!      |                 Ack 0                    |
//!      | <--------------------------------------- |
//!      |  Chunk 1 ...                             |
//!      | ---------------------------------------> |
//!      |  Chunk n, last                           |   one batch: old data out, blank, applied
//!      | ---------------------------------------> |   slot, log cut
//!      |                                          |   moved in, a part at a time
//!      |  the log since                           |   one batch: blank no more
//!      | ---------------------------------------> |
//! ```
//!
//! The leader reads from one consistent view of its store, a chunk at a time, one chunk in flight:
//! memory and network stay bounded, and a snapshot may be of any size. The follower stages the chunks
//! on disk ([`mvcc::stage`]) and goes on with its old data until the last one is there ([`receive`]).
//! Then one batch removes the old data and makes the replica *blank*: from there it belongs to the new
//! state, votes and accepts, and shows nothing. The data are moved in with the pauses of upkeep
//! ([`install`]). A crash before that batch leaves the old replica, one behind it a replica that moves
//! on. Either end gives up when the other is silent; then it starts over.
//!
//! While it is sent a leader goes on, and truncates its log. It keeps what lies behind the snapshot on
//! its disk, so that the follower needs no second one ([`tail`]).
//!
//! A snapshot from after splits covers less than the replica that installs it. For every split it
//! skips the replica gives birth to the child, blank (see [`super`]).

mod install;
mod receive;
mod tail;

use std::{collections::BTreeMap, fmt};

use clock::Mono;
use keys::NodeId;
use paxos::Fence;
use serde::{Deserialize, Serialize};
use storage::{
    EngineError, Snapshot,
    mvcc::{self, Entry, ExportPosition},
};

use super::{Context, Effects, Event, GroupMessage, Replica};
use crate::{
    doubt::StepError,
    state::{Applied, RangeState},
};
use install::Install;
use receive::{Chunk, Receiving};
use tail::Tail;

/// What an entry takes in memory beside its bytes: entries of none would have no limit otherwise.
const ENTRY_OVERHEAD: usize = 64;

/// What replicas say about snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SnapshotMessage {
    /// A blank replica asks any other for the data.
    Request,
    /// A part of a snapshot.
    Chunk {
        /// Names the snapshot, among those of its sender.
        id: u64,
        /// 0, 1, 2 ...
        sequence: u64,
        /// In chunk 0 only.
        header: Option<Box<SnapshotHeader>>,
        /// Stored entries, in order.
        entries: Vec<Entry>,
        /// Whether this is all.
        last: bool,
    },
    /// A chunk arrived; send the next.
    Ack {
        /// The snapshot.
        id: u64,
        /// The chunk.
        sequence: u64,
    },
    /// The receiver has no use for it, or lost its thread.
    Refuse {
        /// The snapshot.
        id: u64,
    },
}

impl SnapshotMessage {
    /// About how many bytes it takes.
    pub(super) fn weight(&self) -> usize {
        match self {
            SnapshotMessage::Chunk { entries, .. } => {
                ENTRY_OVERHEAD + entries.iter().map(entry_weight).sum::<usize>()
            }
            SnapshotMessage::Request
            | SnapshotMessage::Ack { .. }
            | SnapshotMessage::Refuse { .. } => ENTRY_OVERHEAD,
        }
    }
}

fn entry_weight((_, key, value): &Entry) -> usize {
    key.len() + value.len() + ENTRY_OVERHEAD
}

/// What a snapshot contains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotHeader {
    /// All slots up to here.
    pub applied: Applied,
    /// The range as of that slot.
    pub state: RangeState,
    /// What P8 needs to judge entries after that slot.
    pub fence: Fence,
}

/// Snapshots on their way.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    sending: BTreeMap<NodeId, Sending>,
    /// The log kept for those.
    tail: Tail,
    receiving: Option<Receiving>,
    /// One that is here whole.
    installing: Option<Install>,
    next_id: u64,
    /// When a blank replica asks again.
    ask_due: Mono,
    /// How often it asked.
    asked: u64,
}

struct Sending {
    id: u64,
    view: Box<dyn Snapshot>,
    state: RangeState,
    /// Where the next chunk starts; `None` once the last is sent.
    next: Option<ExportPosition>,
    sequence: u64,
    done: bool,
    heard: Mono,
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "snapshot {} at chunk {}", self.id, self.sequence)
    }
}

impl Snapshots {
    pub fn stop_sending(&mut self) {
        self.sending.clear();
        self.tail.stop();
    }

    /// Whether the data of a snapshot are being moved in.
    pub fn is_installing(&self) -> bool {
        self.installing.is_some()
    }
}

impl Replica {
    /// When [`Replica::tick_snapshots`] has something to do: silence to notice, or, if this replica
    /// is blank and no snapshot is on its way, its data to ask for.
    pub(super) fn snapshots_due(&self) -> Option<Mono> {
        let Snapshots { sending, receiving, ask_due, .. } = &self.snapshots;
        let sent = sending.values().map(|sending| sending.heard);
        let heard = sent.chain(receiving.iter().map(|receiving| receiving.heard));
        let silence = heard.map(|heard| heard.plus(self.config.snapshot_timeout));
        let asks = self.lacks_data() && receiving.is_none();
        silence.chain(asks.then_some(*ask_due)).chain(self.snapshots.tail.due()).min()
    }

    /// Whether this replica is blank and no snapshot is here.
    fn lacks_data(&self) -> bool {
        self.machine.state().blank && self.snapshots.installing.is_none()
    }

    /// Begins to send a snapshot, unless one is on its way to this node already.
    pub(super) fn send_snapshot(
        &mut self,
        ctx: &Context<'_>,
        to: NodeId,
        out: &mut Effects,
    ) -> Result<(), EngineError> {
        let sending = &self.snapshots.sending;
        let busy = sending.contains_key(&to) || sending.len() >= self.config.snapshots;
        let applied = self.machine.applied();
        let Some(fence) = self.group.fence_at(applied.slot) else { return Ok(()) };
        if busy || self.machine.state().blank {
            return Ok(());
        }
        self.snapshots.next_id += 1;
        let state = self.machine.state().clone();
        let sending = Sending {
            id: self.snapshots.next_id,
            view: ctx.engine.snapshot(),
            state: state.clone(),
            next: None,
            sequence: 0,
            done: false,
            heard: ctx.now.mono,
        };
        self.snapshots.sending.insert(to, sending);
        self.snapshots.tail.keep(to, applied.slot, ctx.now.mono.plus(self.tail_patience()));
        out.events.push(Event::SnapshotSent { to, through: applied.slot });
        self.send_chunk(to, Some(Box::new(SnapshotHeader { applied, state, fence })), out)
    }

    fn send_chunk(
        &mut self,
        to: NodeId,
        header: Option<Box<SnapshotHeader>>,
        out: &mut Effects,
    ) -> Result<(), EngineError> {
        let bytes = self.config.snapshot_chunk_bytes;
        let sending = self.snapshots.sending.get_mut(&to).expect("checked before");
        let (view, span) = (&*sending.view, &sending.state.descriptor.span);
        let chunk = mvcc::export_span(view, span, sending.next.as_ref(), bytes)?;
        sending.done = chunk.next.is_none();
        sending.next = chunk.next;
        let message = SnapshotMessage::Chunk {
            id: sending.id,
            sequence: sending.sequence,
            header,
            entries: chunk.entries,
            last: sending.done,
        };
        out.send.push((to, GroupMessage::Snapshot(message)));
        Ok(())
    }

    pub(super) fn snapshot_message(
        &mut self,
        ctx: &Context<'_>,
        from: NodeId,
        message: SnapshotMessage,
        out: &mut Effects,
    ) -> Result<(), StepError> {
        if !self.descriptor().voters.contains(&from) {
            return Ok(());
        }
        match message {
            SnapshotMessage::Request => Ok(self.send_snapshot(ctx, from, out)?),
            SnapshotMessage::Ack { id, sequence } => {
                let Some(sending) = self.snapshots.sending.get_mut(&from) else { return Ok(()) };
                if sending.id != id || sending.sequence != sequence {
                    return Ok(());
                }
                sending.heard = ctx.now.mono;
                sending.sequence += 1;
                let until = ctx.now.mono.plus(self.tail_patience());
                self.snapshots.tail.keep_until(from, until);
                let sending = self.snapshots.sending.get_mut(&from).expect("looked at just now");
                if sending.done {
                    self.snapshots.sending.remove(&from);
                    return Ok(());
                }
                Ok(self.send_chunk(from, None, out)?)
            }
            SnapshotMessage::Refuse { id } => {
                let sending = self.snapshots.sending.get(&from);
                if sending.is_some_and(|sending| sending.id == id) {
                    self.snapshots.sending.remove(&from);
                }
                Ok(())
            }
            SnapshotMessage::Chunk { id, sequence, header, entries, last } => {
                let chunk = Chunk { id, sequence, entries, last };
                self.receive(ctx, from, chunk, header, out)
            }
        }
    }

    /// Gives up on the silent; a blank replica asks for its data.
    pub(super) fn tick_snapshots(
        &mut self,
        ctx: &Context<'_>,
        out: &mut Effects,
    ) -> Result<(), EngineError> {
        let (now, timeout) = (ctx.now.mono, self.config.snapshot_timeout);
        let silent = |heard: Mono| now.since(heard) >= timeout;
        let failed = |peer| Event::SnapshotFailed { peer, cause: "silence".to_owned() };
        self.snapshots.sending.retain(|to, sending| {
            let keep = !silent(sending.heard);
            if !keep {
                out.events.push(failed(*to));
            }
            keep
        });
        if let Some(receiving) = self.snapshots.receiving.take_if(|r| silent(r.heard)) {
            out.events.push(failed(receiving.from));
            self.drop_staged(ctx)?;
        }
        self.let_go_of_log(ctx)?;
        let idle = self.snapshots.receiving.is_none() && self.snapshots.ask_due <= now;
        if self.lacks_data() && idle {
            self.snapshots.ask_due = now.plus(std::time::Duration::from_secs(1));
            // Any replica has what is needed; in turns, because some may be down or blank, too.
            let voters = &self.descriptor().voters;
            let others: Vec<NodeId> = voters.iter().copied().filter(|v| *v != self.me).collect();
            if !others.is_empty() {
                let turn = usize::try_from(self.snapshots.asked % others.len() as u64);
                let to = others[turn.expect("few voters")];
                self.snapshots.asked += 1;
                out.send.push((to, GroupMessage::Snapshot(SnapshotMessage::Request)));
            }
        }
        Ok(())
    }
}
