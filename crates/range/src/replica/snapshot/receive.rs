//! The receiver's side: chunks are looked at, and staged beside the live data.

use std::collections::BTreeSet;

use clock::{Mono, Now};
use keys::NodeId;
use storage::{
    Cf, EngineError, WriteBatch,
    mvcc::{self, Entry},
};

use super::{SnapshotHeader, SnapshotMessage};
use crate::{
    Context, Effects, Event, GroupMessage, Replica, doubt::StepError, record::Record,
    state::SplitRecord,
};

/// A snapshot of which not everything is here.
#[derive(Debug)]
pub(super) struct Receiving {
    pub from: NodeId,
    id: u64,
    pub header: SnapshotHeader,
    /// The chunk that comes next.
    next: u64,
    pub heard: Mono,
}

/// A chunk without its header.
pub(super) struct Chunk {
    pub id: u64,
    pub sequence: u64,
    pub entries: Vec<Entry>,
    pub last: bool,
}

impl Replica {
    /// Takes a chunk; with the last one the snapshot is installed.
    pub(super) fn receive(
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
            let busy = self.snapshots.installing.is_some();
            if wrong || busy || self.useless(&header) {
                let refuse = SnapshotMessage::Refuse { id };
                out.send.push((from, GroupMessage::Snapshot(refuse)));
                return Ok(());
            }
            let (heard, header) = (ctx.now.mono, *header);
            self.snapshots.receiving = Some(Receiving { from, id, header, next: 0, heard });
            self.drop_staged(ctx)?;
        }
        let expected = self.snapshots.receiving.as_mut().filter(|receiving| {
            receiving.from == from && receiving.id == id && receiving.next == sequence
        });
        let Some(receiving) = expected else { return Ok(()) };
        receiving.heard = ctx.now.mono;
        receiving.next += 1;
        let mut batch = WriteBatch::new();
        let span = &receiving.header.state.descriptor.span;
        let range = receiving.header.state.descriptor.id;
        let staged = check_records(&chunk.entries).and_then(|()| {
            mvcc::stage(&mut batch, range, span, chunk.entries).map_err(|e| e.to_string())
        });
        if let Err(cause) = staged {
            self.snapshots.receiving = None;
            self.drop_staged(ctx)?;
            out.events.push(Event::SnapshotFailed { peer: from, cause });
            let refuse = SnapshotMessage::Refuse { id };
            out.send.push((from, GroupMessage::Snapshot(refuse)));
            return Ok(());
        }
        // Not synced: what installs it is written behind it, to the same log (S2).
        ctx.engine.write(batch)?;
        let ack = SnapshotMessage::Ack { id, sequence };
        out.send.push((from, GroupMessage::Snapshot(ack)));
        if last { self.install(ctx, out) } else { Ok(()) }
    }

    /// Removes what was staged of a snapshot that does not come to its end.
    pub(super) fn drop_staged(&self, ctx: &Context<'_>) -> Result<(), EngineError> {
        assert!(self.snapshots.installing.is_none(), "{} needs what is staged", self.range());
        if !mvcc::is_staged(ctx.engine, self.range())? {
            return Ok(());
        }
        let mut batch = WriteBatch::new();
        mvcc::clear_staged(&mut batch, self.range());
        ctx.engine.write(batch)
    }

    /// Whether a snapshot would tell this replica nothing new. A leader never installs one: it has
    /// the data below its log, since a blank replica does not stand.
    pub(super) fn useless(&self, header: &SnapshotHeader) -> bool {
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
}

/// Whether the records of a snapshot can be read; its versions and intents are looked at as they are
/// staged.
fn check_records(entries: &[Entry]) -> Result<(), String> {
    let mut records = entries.iter().filter(|(cf, ..)| *cf == Cf::Records);
    let read = |(_, key, value): &Entry| Record::parse(key, value).map(drop);
    records.try_for_each(read).map_err(|error| error.to_string())
}
