//! A host in miniature: nodes, disks, clocks and a network, driven by hand.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    rc::Rc,
    time::Duration,
};

use clock::{Interval, Mono, Now, Timestamp};
use keys::{NodeId, RangeId};

use super::{
    checker::{Checker, Command},
    shared::Shared,
};
use crate::{
    Ballot, Birth, Chosen, Config, Durable, Effects, Entry, Event, Fence, Group, Membership,
    Message, Payload, Persist, PersistToken, ProposeError, Slot,
};

/// Where absolute time starts, in nanoseconds.
pub(super) const EPOCH: u64 = 1_000_000_000_000;
/// A millisecond in nanoseconds.
pub(super) const MS: u64 = 1_000_000;

/// What a disk is told, in order.
#[derive(Clone, Debug, Hash)]
enum Write {
    /// The group's own records.
    Group(Persist),
    /// The state machine's applied index.
    Applied(Slot),
}

/// Writes that reach the disk together.
#[derive(Clone, Debug, Default, Hash)]
struct Batch {
    writes: Vec<Write>,
    token: Option<PersistToken>,
}

/// What survives a crash.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Disk {
    pub durable: Durable,
    pub log: BTreeMap<Slot, Entry>,
    pub applied: Slot,
}

/// The leadership of a node as its host knows it.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Leads {
    pub ballot: Ballot,
    /// The highest timestamp assigned, served or closed, and the floor: `min_next - 1`.
    pub used: u64,
    /// The same without the floor: a host may forget it, the group does not.
    pub touched: u64,
}

impl Leads {
    fn using(self, at: u64) -> Leads {
        Leads { used: at, touched: at, ..self }
    }
}

/// One node.
#[derive(Clone, Debug, Hash)]
pub(super) struct Node {
    pub id: NodeId,
    /// `None` while it is down.
    pub group: Option<Group>,
    pub disk: Disk,
    unsynced: VecDeque<Batch>,
    after_sync: VecDeque<(PersistToken, NodeId, Message)>,
    /// Chosen, not yet applied.
    pub queue: VecDeque<Chosen>,
    pub leads: Option<Leads>,
    /// What this node's readings are off by, in nanoseconds: within ε.
    pub offset: i64,
    /// Monotonic time is absolute time less this.
    booted: u64,
}

/// On the wire.
#[derive(Clone, Debug, Hash)]
pub(super) enum Packet {
    Group(Message),
    /// The state machine as of a slot, and the fence there.
    Snapshot(Slot, Fence),
}

/// A packet under way.
#[derive(Clone, Debug, Hash)]
pub(super) struct Flying {
    pub from: NodeId,
    pub to: NodeId,
    pub packet: Packet,
}

/// How the host breaks its contract: for the proof that the checker notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostFault {
    /// Promises are not written.
    PromiseNotDurable,
    /// The horizon is not written.
    HorizonNotWritten,
    /// What waits for the disk is sent at once.
    SendsBeforeSync,
}

/// The group under test.
const RANGE: RangeId = RangeId(7);

/// What a world is made from.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub membership: Membership,
    pub born: Option<NodeId>,
    pub config: Config,
    pub epsilon: Duration,
    pub fault: Option<HostFault>,
}

/// See the module head.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub setup: Rc<Setup>,
    /// Absolute time, which no node can read.
    pub at: u64,
    pub nodes: Vec<Shared<Node>>,
    pub network: Vec<Flying>,
    pub checker: Shared<Checker>,
    /// Events since they were last taken, for scripts.
    pub events: Vec<(NodeId, Event)>,
    /// Chosen entries told since they were last taken, for scripts.
    pub told: Vec<(NodeId, Chosen)>,
    next_command: u64,
}

impl World {
    pub(super) fn new(setup: Setup) -> World {
        let mut world = World {
            at: EPOCH,
            nodes: Vec::new(),
            network: Vec::new(),
            checker: Shared::new(Checker::new(setup.membership.phase2())),
            events: Vec::new(),
            told: Vec::new(),
            next_command: 1,
            setup: Rc::new(setup),
        };
        for id in world.setup.membership.voters().to_vec() {
            let birth = Birth::of_new_group(id, world.setup.born);
            let leads = birth.leads();
            let Setup { membership, config, .. } = (*world.setup).clone();
            let (group, durable) = Group::create_child(RANGE, id, membership, birth, config);
            let leads = leads.then_some(Leads { ballot: durable.promised, used: 0, touched: 0 });
            let disk = Disk { durable, ..Disk::default() };
            world.nodes.push(Shared::new(Node {
                id,
                group: Some(group),
                disk,
                unsynced: VecDeque::new(),
                after_sync: VecDeque::new(),
                queue: VecDeque::new(),
                leads,
                offset: 0,
                booted: EPOCH - 1000 * MS * u64::from(id.0),
            }));
        }
        world
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize - 1]
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0 as usize - 1]
    }

    pub(super) fn ids(&self) -> Vec<NodeId> {
        self.nodes.iter().map(|n| n.id).collect()
    }

    /// What the node's clocks say.
    pub(super) fn now(&self, id: NodeId) -> Now {
        let node = self.node(id);
        let epsilon = u64::try_from(self.setup.epsilon.as_nanos()).expect("small");
        assert!(node.offset.unsigned_abs() <= epsilon, "clocks keep their bound here");
        let middle = self.at.checked_add_signed(node.offset).expect("far from zero");
        let tt = Interval { earliest: middle - epsilon, latest: middle + epsilon };
        Now { tt, mono: Mono(self.at - node.booted) }
    }

    /// Gives an input to a node's group and carries out the effects.
    pub(super) fn step<T>(
        &mut self,
        id: NodeId,
        input: impl FnOnce(&mut Group, Now, &mut Effects) -> T,
    ) -> Option<T> {
        let now = self.now(id);
        let mut out = Effects::default();
        let group = self.node_mut(id).group.as_mut()?;
        let answer = input(group, now, &mut out);
        self.carry_out(id, out, Vec::new());
        self.watch();
        Some(answer)
    }

    fn carry_out(&mut self, id: NodeId, out: Effects, more: Vec<Write>) {
        let Effects { persist, token, send, send_durable, chosen, events } = out;
        assert_eq!(token.is_some(), !(persist.is_empty() && send_durable.is_empty()), "{token:?}");
        let early = self.setup.fault == Some(HostFault::SendsBeforeSync);
        let now_or_later = |(to, m)| (to, Packet::Group(m));
        let mut flying: Vec<(NodeId, Packet)> = send.into_iter().map(now_or_later).collect();
        if early {
            flying.extend(send_durable.iter().cloned().map(now_or_later));
        }
        for (to, packet) in flying {
            self.network.push(Flying { from: id, to, packet });
        }
        for chosen in chosen {
            self.checker.told(id, &chosen);
            self.told.push((id, chosen.clone()));
            self.node_mut(id).queue.push_back(chosen);
        }
        let node = self.node_mut(id);
        if token.is_some() || !more.is_empty() {
            let writes = persist.into_iter().map(Write::Group).chain(more).collect();
            node.unsynced.push_back(Batch { writes, token });
        }
        if let Some(token) = token.filter(|_| !early) {
            node.after_sync.extend(send_durable.into_iter().map(|(to, m)| (token, to, m)));
        }
        for event in events {
            self.on_event(id, event);
        }
    }

    fn on_event(&mut self, id: NodeId, event: Event) {
        self.events.push((id, event));
        match event {
            Event::BecameLeader { ballot, floor } => {
                self.node_mut(id).leads = Some(Leads { ballot, used: floor.wall, touched: 0 });
            }
            Event::LostLeadership { ballot } => {
                let lost = self.node_mut(id).leads.take();
                if lost.is_none_or(|l| l.ballot != ballot) {
                    self.checker.fail(&format!("{id} lost {ballot}, but led {lost:?}"));
                }
            }
            Event::SnapshotNeeded { to, .. } => {
                let node = self.node(id);
                let group = node.group.as_ref().expect("it just spoke");
                let applied = group.applied_slot();
                let fence = group.fence_at(applied).expect("applied slots have a fence");
                let packet = Packet::Snapshot(applied, fence);
                self.network.push(Flying { from: id, to, packet });
            }
            Event::Closed { at, through } => {
                let applied = self.node(id).group.as_ref().expect("it just spoke").applied_slot();
                self.checker.heard_closed(id, at.wall, through, applied);
            }
            Event::Refused { from, why } => {
                self.checker.fail(&format!("{id} refuses an honest message of {from}: {why}"));
            }
            Event::Ready { .. } | Event::Stray { .. } => {}
        }
    }

    /// Checks what must hold at any moment.
    fn watch(&self) {
        let mut acting = Vec::new();
        for node in &self.nodes {
            if let Some(leadership) = node.group.as_ref().and_then(Group::leadership)
                && self.at < leadership.lease_end.wall
            {
                acting.push((node.id, leadership.ballot));
            }
        }
        self.checker.exclusive(self.at, &acting);
    }

    /// Time passes; what every node sees of it is up to its next reading.
    pub(super) fn pass(&mut self, by: Duration) {
        self.at += u64::try_from(by.as_nanos()).expect("short");
        self.watch();
    }

    /// A packet arrives.
    pub(super) fn deliver(&mut self, flying: Flying) {
        let Flying { from, to, packet } = flying;
        match packet {
            Packet::Group(message) => {
                self.step(to, |group, now, out| group.message(now, from, message, out));
            }
            Packet::Snapshot(upto, fence) => self.install(to, upto, fence),
        }
    }

    /// Data and records of a snapshot go to disk in one batch.
    fn install(&mut self, id: NodeId, upto: Slot, fence: Fence) {
        let now = self.now(id);
        let mut out = Effects::default();
        let Some(group) = self.node_mut(id).group.as_mut() else { return };
        if group.install_snapshot(now, upto, fence, &mut out).is_ok() {
            self.node_mut(id).queue.retain(|c| c.slot > upto);
            self.carry_out(id, out, vec![Write::Applied(upto)]);
            self.watch();
        }
    }

    /// The host applies what is chosen, at most this many entries.
    pub(super) fn apply(&mut self, id: NodeId, count: usize) {
        for _ in 0..count {
            if self.node(id).group.is_none() {
                return;
            }
            let Some(chosen) = self.node_mut(id).queue.pop_front() else { return };
            let writes = vec![Write::Applied(chosen.slot)];
            self.node_mut(id).unsynced.push_back(Batch { writes, token: None });
            self.step(id, |group, _, out| group.applied(chosen.slot, out));
        }
    }

    /// The disk syncs the oldest batches.
    pub(super) fn sync(&mut self, id: NodeId, batches: usize) {
        let mut token = None;
        for _ in 0..batches {
            let Some(batch) = self.node_mut(id).unsynced.pop_front() else { break };
            token = token.max(batch.token);
            self.write(id, batch);
        }
        let Some(token) = token else { return };
        while self.node(id).after_sync.front().is_some_and(|(t, _, _)| *t <= token) {
            let (_, to, message) = self.node_mut(id).after_sync.pop_front().expect("just seen");
            self.network.push(Flying { from: id, to, packet: Packet::Group(message) });
        }
        self.step(id, |group, now, out| group.persisted(now, token, out));
    }

    /// How many batches wait for the disk.
    pub(super) fn unsynced(&self, id: NodeId) -> usize {
        self.node(id).unsynced.len()
    }

    fn write(&mut self, id: NodeId, batch: Batch) {
        let fault = self.setup.fault;
        for write in batch.writes {
            let disk = &mut self.nodes[id.0 as usize - 1].disk;
            match write {
                Write::Applied(slot) => disk.applied = slot,
                Write::Group(Persist::TruncateThrough(slot)) => {
                    disk.log = disk.log.split_off(&slot.next());
                }
                Write::Group(Persist::Append { slot, entry }) => {
                    self.checker.durable(id, slot, &entry);
                    disk.log.insert(slot, entry);
                }
                Write::Group(Persist::SetDurable(mut durable)) => {
                    if fault == Some(HostFault::PromiseNotDurable) {
                        let accepted = disk.log.values().map(|e| e.ballot).max();
                        durable.promised = accepted.unwrap_or_default();
                    }
                    if fault == Some(HostFault::HorizonNotWritten) {
                        durable.horizon = Timestamp::ZERO;
                    }
                    disk.durable = durable;
                }
            }
        }
    }

    /// The node dies. Of what was not synced, the oldest batches may have reached the disk.
    pub(super) fn crash(&mut self, id: NodeId, survive: usize) {
        for _ in 0..survive {
            let Some(batch) = self.node_mut(id).unsynced.pop_front() else { break };
            self.write(id, batch);
        }
        let node = self.node_mut(id);
        node.group = None;
        node.unsynced.clear();
        node.after_sync.clear();
        node.queue.clear();
        node.leads = None;
    }

    /// The node comes back with what its disk holds.
    pub(super) fn restart(&mut self, id: NodeId) {
        let Setup { membership, config, .. } = (*self.setup).clone();
        let at = self.at;
        let node = self.node_mut(id);
        assert!(node.group.is_none(), "{id} is up");
        let log = node.disk.log.iter().map(|(s, e)| (*s, e.clone())).collect();
        let mut durable = node.disk.durable;
        let accepted = node.disk.log.values().map(|e| e.ballot).max();
        durable.promised = durable.promised.max(accepted.unwrap_or_default());
        let group = Group::restore(RANGE, id, membership, config, durable, log, node.disk.applied);
        node.booted = at - MS;
        match group {
            Ok(group) => node.group = Some(group),
            Err(corrupt) => self.checker.fail(&corrupt.to_string()),
        }
    }

    /// A leader assigns a timestamp, the lowest it may, and proposes. Answers the command's number.
    pub(super) fn propose(&mut self, id: NodeId) -> Option<Result<u64, ProposeError>> {
        let leads = self.node(id).leads;
        let command = Command { id: self.next_command, at: leads.map_or(0, |l| l.used) + 1 };
        if let Some(leadership) = self.node(id).group.as_ref()?.leadership()
            && leadership.lease_end.wall <= command.at
        {
            return None;
        }
        let bytes = command.encode();
        let result = self.step(id, |group, now, out| group.propose(now, bytes, out))?;
        Some(result.map(|slot| {
            let ballot = leads.expect("who may propose leads").ballot;
            self.next_command += 1;
            self.checker.proposed(ballot, slot, command);
            if let Some(leads) = &mut self.node_mut(id).leads {
                *leads = leads.using(command.at);
            }
            command.id
        }))
    }

    /// Whether the node may act now, by its own clock.
    pub(super) fn acts(&self, id: NodeId) -> bool {
        let now = self.now(id);
        self.node(id)
            .group
            .as_ref()
            .is_some_and(|g| g.leadership().is_some_and(|l| l.ready) && g.lease_valid(now.tt))
    }

    /// A leader serves a read just below its lease end, if no write it knows of is in the way (R2).
    pub(super) fn read(&mut self, id: NodeId) -> bool {
        if !self.acts(id) {
            return false;
        }
        let node = self.node(id);
        let group = node.group.as_ref().expect("it acts");
        let applied = group.applied_slot();
        let leadership = group.leadership().expect("it acts");
        let at = leadership.lease_end.wall - 1;
        let Some(leads) = node.leads.filter(|l| l.ballot == leadership.ballot && l.used <= at)
        else {
            return false;
        };
        let write = |e: &Entry| matches!(e.payload, Payload::Command(_));
        if group.accepted_above(applied).any(|(_, entry)| write(entry)) {
            return false;
        }
        self.checker.read(leads.ballot, at, applied);
        self.node_mut(id).leads = Some(leads.using(at));
        true
    }

    /// A leader closes time.
    pub(super) fn close(&mut self, id: NodeId) -> bool {
        if !self.acts(id) {
            return false;
        }
        let node = self.node(id);
        let through = node.group.as_ref().expect("it acts").last_slot();
        let end = node.group.as_ref().and_then(Group::leadership).expect("it acts").lease_end;
        let Some(leads) = node.leads else { return false };
        let at = leads.used.max(self.now(id).tt.earliest).min(end.wall - 1);
        if at < leads.used {
            return false;
        }
        self.checker.closes(leads.ballot, at, through);
        self.node_mut(id).leads = Some(leads.using(at));
        let closed = Timestamp::from_wall(at);
        self.step(id, |group, _, out| group.set_closed(closed, through, out));
        true
    }

    /// A leader hands on. It may have proposals in flight: a host should drain first, but what is
    /// safe does not depend on it.
    pub(super) fn release(&mut self, id: NodeId, to: Option<NodeId>) -> bool {
        let Some(leads) = self.node(id).leads else { return false };
        let floor = Timestamp::from_wall(leads.touched);
        let released = self.step(id, |group, now, out| group.release(now, to, floor, out));
        released.is_some_and(|r| r.is_ok())
    }

    /// Brings a node into its canonical form. See `Group::canonical`.
    pub(super) fn canonical(&mut self, id: NodeId) {
        let now = self.now(id);
        let node = self.node_mut(id);
        let Some(group) = &mut node.group else { return };
        let rebased = group.canonical(now);
        let waiting = node.unsynced.iter_mut().filter_map(|batch| batch.token.as_mut());
        for token in waiting.chain(node.after_sync.iter_mut().map(|(token, _, _)| token)) {
            token.0 -= rebased;
        }
    }

    /// How many commands were proposed, and one.
    pub(super) fn next_command(&self) -> u64 {
        self.next_command
    }

    /// Takes all packets off the network.
    pub(super) fn take_network(&mut self) -> Vec<Flying> {
        mem::take(&mut self.network)
    }
}
