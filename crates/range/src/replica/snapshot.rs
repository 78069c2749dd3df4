//! Snapshots: a replica that fell behind the truncated log gets the state instead.
//!
//! ```text
//!    leader                                    follower
//!      |  Chunk 0: header (slot, state), entries  |
//!      | ---------------------------------------> |   kept in memory
//!      |                 Ack 0                    |
//!      | <--------------------------------------- |
//!      |  Chunk 1 ...                             |
//!      | ---------------------------------------> |
//!      |  Chunk n, last                           |   one batch: old data out, new
//!      | ---------------------------------------> |   data in, applied slot, log cut
//! ```
//!
//! The leader reads from one consistent view of its store, a chunk at a time, one chunk in flight:
//! memory and network stay bounded. The follower collects the chunks in memory, at most
//! [`crate::Config::snapshot_bytes`], and installs them in **one** batch with the applied slot and
//! the group's own records. So there is no half-installed snapshot: a crash before the batch leaves
//! the old replica, a crash after it the new one. Either end gives up when the other is silent;
//! then it starts over.
//!
//! A snapshot from after splits covers less than the replica that installs it. For every split it
//! skips the replica gives birth to the child, blank (see [`super`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use clock::{Mono, Now, Timestamp};
use keys::NodeId;
use paxos::{Candidacy, Fence, Slot};
use serde::{Deserialize, Serialize};
use storage::{
    Cf, EngineError, Snapshot, WriteBatch,
    mvcc::{self, Entry, ExportPosition},
};

use super::{Context, Effects, Event, GroupMessage, Replica};
use crate::{
    doubt::StepError,
    record::Record,
    state::{Applied, RangeState, SplitRecord},
};

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
    receiving: Option<Receiving>,
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

#[derive(Debug)]
struct Receiving {
    from: NodeId,
    id: u64,
    header: SnapshotHeader,
    entries: Vec<Entry>,
    bytes: usize,
    next: u64,
    heard: Mono,
}

impl Snapshots {
    pub fn stop_sending(&mut self) {
        self.sending.clear();
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
        let asks = self.machine.state().blank && receiving.is_none();
        silence.chain(asks.then_some(*ask_due)).min()
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

    /// Takes a chunk; the last one installs the snapshot.
    fn receive(
        &mut self,
        ctx: &Context<'_>,
        from: NodeId,
        chunk: Chunk,
        header: Option<Box<SnapshotHeader>>,
        out: &mut Effects,
    ) -> Result<(), StepError> {
        let (id, sequence, last) = (chunk.id, chunk.sequence, chunk.last);
        if let Some(header) = header {
            let contradiction = self.contradiction(ctx.now, &header);
            let wrong = contradiction.is_some();
            out.events.extend(contradiction.map(|cause| Event::Refused { from, cause }));
            if wrong || self.useless(&header) {
                let refuse = SnapshotMessage::Refuse { id };
                out.send.push((from, GroupMessage::Snapshot(refuse)));
                return Ok(());
            }
            let heard = ctx.now.mono;
            let (header, entries) = (*header, Vec::new());
            self.snapshots.receiving =
                Some(Receiving { from, id, header, entries, bytes: 0, next: 0, heard });
        }
        let expected = self.snapshots.receiving.as_mut().filter(|receiving| {
            receiving.from == from && receiving.id == id && receiving.next == sequence
        });
        let Some(receiving) = expected else { return Ok(()) };
        receiving.heard = ctx.now.mono;
        receiving.next += 1;
        receiving.bytes += chunk.entries.iter().map(entry_weight).sum::<usize>();
        receiving.entries.extend(chunk.entries);
        if receiving.bytes > self.config.snapshot_bytes {
            let cause = format!("larger than {} bytes", self.config.snapshot_bytes);
            self.snapshots.receiving = None;
            out.events.push(Event::SnapshotFailed { peer: from, cause });
            let refuse = SnapshotMessage::Refuse { id };
            out.send.push((from, GroupMessage::Snapshot(refuse)));
            return Ok(());
        }
        let ack = SnapshotMessage::Ack { id, sequence };
        out.send.push((from, GroupMessage::Snapshot(ack)));
        if last { self.install(ctx, out) } else { Ok(()) }
    }

    /// Whether a snapshot would tell this replica nothing new. A leader never installs one: it has
    /// the data below its log, since a blank replica does not stand.
    fn useless(&self, header: &SnapshotHeader) -> bool {
        let here = self.machine.state();
        let known = header.applied.slot <= self.machine.applied().slot && !here.blank;
        let leads = self.group.leadership().is_some();
        let stranger = header.state.descriptor.id != here.descriptor.id
            || !here.descriptor.span.covers(&header.state.descriptor.span);
        known || stranger || header.state.blank || leads
    }

    /// What is wrong with a snapshot of this range; `None` if it may be true. The data is looked at
    /// once it is there.
    fn contradiction(&self, now: Now, header: &SnapshotHeader) -> Option<String> {
        let (here, there) = (self.descriptor(), &header.state.descriptor);
        if here.id != there.id || self.machine.state().blank && header.state.blank {
            return None;
        }
        let latest = self.config.paxos.furthest(now);
        let times = [header.applied.max_timestamp, header.state.gc_threshold];
        if let Some(at) = times.into_iter().find(|at| *at > latest) {
            return Some(format!("a snapshot names {at}, and {latest} is not reached yet"));
        }
        if here.voters != there.voters {
            return Some(format!("a snapshot has other voters: {there}"));
        }
        let new = |split: &&SplitRecord| split.slot > self.machine.applied().slot;
        let mut children = BTreeSet::from([here.id]);
        for split in header.state.splits.iter().filter(new) {
            let SplitRecord { slot, first, child } = split;
            let fits = here.span.covers(&child.span) && !there.span.overlaps(&child.span);
            let known = children.insert(child.id) && *slot <= header.applied.slot;
            if !fits || !known || child.voters != here.voters || !self.group.believes(*first) {
                return Some(format!("a snapshot has a split at {slot} that cannot be: {child}"));
            }
        }
        None
    }

    fn install(&mut self, ctx: &Context<'_>, out: &mut Effects) -> Result<(), StepError> {
        let receiving = self.snapshots.receiving.take().expect("its last chunk just came");
        let Receiving { from, header, entries, .. } = receiving;
        if self.useless(&header) {
            return Ok(());
        }
        let mut batch = WriteBatch::new();
        mvcc::clear_span(&mut batch, &self.descriptor().span);
        let span = &header.state.descriptor.span;
        let imported = check_records(&entries)
            .and_then(|()| mvcc::import(&mut batch, span, entries).map_err(|e| e.to_string()));
        if let Err(cause) = imported {
            out.events.push(Event::SnapshotFailed { peer: from, cause });
            return Ok(());
        }
        let SnapshotHeader { applied, state, fence } = header;
        let mut effects = paxos::Effects::default();
        // A blank replica lacks the data below its log, and maybe nothing of the log.
        let in_log = self.held.back().map_or(Slot::NONE, |held| held.slot);
        if applied.slot > in_log
            && let Err(refused) =
                self.group.install_snapshot(ctx.now, applied.slot, fence, &mut effects)
        {
            out.events.push(Event::SnapshotFailed { peer: from, cause: refused.to_string() });
            return Ok(());
        }
        self.missed_children(ctx, &state, &mut batch, out)?;
        state.write(&mut batch);
        applied.write(&mut batch, state.descriptor.id);
        self.write_log(&mut effects, &mut batch, out);
        ctx.engine.write(batch)?;
        self.machine.replace(state, applied);
        self.group.set_candidacy(Candidacy::Allowed);
        out.events.push(Event::SnapshotInstalled { from, through: applied.slot });
        self.effects.chosen.extend(effects.chosen);
        self.effects.events.extend(effects.events);
        if applied.slot <= in_log {
            self.group.applied(applied.slot, &mut self.effects);
        }
        let held = std::mem::take(&mut self.held);
        let rest: Vec<_> = held.into_iter().filter(|held| held.slot > applied.slot).collect();
        self.unheld(ctx, rest, out)
    }

    /// Applies what was chosen while the replica was blank.
    fn unheld(
        &mut self,
        ctx: &Context<'_>,
        entries: Vec<crate::machine::Chosen>,
        out: &mut Effects,
    ) -> Result<(), StepError> {
        let mut outputs = crate::machine::Outputs::default();
        let mut batch = WriteBatch::new();
        self.apply(ctx, &entries, &mut batch, &mut outputs, out)?;
        out.replies.append(&mut outputs.replies);
        Ok(())
    }

    /// The children of splits that the snapshot skips: their acceptors are born now (section 8),
    /// without data.
    fn missed_children(
        &mut self,
        ctx: &Context<'_>,
        after: &RangeState,
        batch: &mut WriteBatch,
        out: &mut Effects,
    ) -> Result<(), EngineError> {
        let here = self.machine.applied().slot;
        for split in after.splits.iter().filter(|split| split.slot > here) {
            if RangeState::read(ctx.engine, split.child.id)?.is_some() {
                continue;
            }
            let state = RangeState { blank: true, ..RangeState::new(split.child.clone()) };
            state.write(batch);
            let applied = Applied::default();
            applied.write(batch, split.child.id);
            let child = self.child(state, applied, split.first, Timestamp::ZERO, batch);
            assert!(child.group.leadership().is_none(), "a blank child leads");
            out.children.push(child.newborn());
        }
        Ok(())
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
        }
        let idle = self.snapshots.receiving.is_none() && self.snapshots.ask_due <= now;
        if self.machine.state().blank && idle {
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

/// Whether the records of a snapshot can be read; its versions and intents are looked at as they are
/// imported.
fn check_records(entries: &[Entry]) -> Result<(), String> {
    let mut records = entries.iter().filter(|(cf, ..)| *cf == Cf::Records);
    let read = |(_, key, value): &Entry| Record::parse(key, value).map(drop);
    records.try_for_each(read).map_err(|error| error.to_string())
}

/// A chunk without its header.
struct Chunk {
    id: u64,
    sequence: u64,
    entries: Vec<Entry>,
    last: bool,
}
