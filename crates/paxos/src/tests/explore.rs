//! The model checker: every schedule of a small scope, breadth first.
//!
//! A [`Scope`] says how much of each kind of trouble there may be. From its first state all steps
//! are taken, from what they lead to again, until nothing new appears or the naive checker, or an
//! assertion of the group, objects. Since the search goes breadth first, what it then prints is
//! among the shortest ways there, as a script to read.
//!
//! What runs is the group itself in the [`World`] of the other tests, not a model of it.
//!
//! # What counts as one state
//!
//! All replicas and disks, what is on each link, true time, what is left of the budgets, and all
//! that the checker remembers; of all that 128 bits are kept. Three things are brought into a
//! canonical form before: timers that no step asks for, numbers of writes (counted from the last
//! one on disk), and the order of messages of different links.
//!
//! # Steps that are not taken
//!
//! - *Losing a message* is no step: a message need never be delivered. One that no longer can
//!   change anything at its destination is taken off the link.
//! - *Refusals* are lost at once: they tell when to try again or to give up, and grant nothing.
//! - A link delivers in order and loses what it skips, except as often as the scope's `late`
//!   allows a message to arrive behind a younger one, and `twice` to arrive again.
//! - *Disks* sync, and hosts apply, in the step that asks for it, but at the node with the slow disk.
//!   To everybody else a step not yet on disk is a step not yet taken, unless the node has sent
//!   what need not wait for its disk. That is what the slow disk is for.
//! - *Timers*: a leader asks for its lease once a tick of time; who stands for election, and when,
//!   is a step.

use std::{
    fmt::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use keys::NodeId;
use rustc_hash::FxHashSet;

use super::{
    fingerprint::{Fingerprint, fingerprint},
    schedule::{Sabotage, failure, hush, quietly},
    scripts::packet,
    world::{Flying, MS, Packet, Setup, World},
};
use crate::{Group, Message, RoleName, rules::Rule};

/// How much may happen.
#[derive(Clone, Copy, Debug, Default, Hash)]
pub(super) struct Budget {
    /// Ticks of time.
    pub ticks: u8,
    /// Candidacies of each node.
    pub campaigns: [u8; 3],
    /// Crashes of each node.
    pub crashes: [u8; 3],
    /// Commands proposed.
    pub proposals: u8,
    /// Reads served.
    pub reads: u8,
    /// Leaderships handed on.
    pub releases: u8,
    /// Messages that arrive behind a younger one of their link.
    pub late: u8,
    /// Messages that arrive again.
    pub twice: u8,
    /// Logs truncated.
    pub truncations: u8,
}

/// What is explored.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    pub name: &'static str,
    pub setup: Setup,
    /// What each node's clock is off by, in milliseconds.
    pub offsets: [i64; 3],
    /// How long a tick of time is, in milliseconds.
    pub tick_ms: u64,
    /// How many commands node 1 has proposed, none of which reached anybody, before its lease
    /// ran out and the search begins.
    pub left_behind: u8,
    /// To whom leadership may be handed.
    pub heirs: Vec<NodeId>,
    /// The node whose disk syncs in a step of its own.
    pub slow_disk: Option<NodeId>,
    pub budget: Budget,
    /// The search gives up beyond so many states.
    pub most_states: usize,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// This message of the network arrives. What its link sent before is lost.
    Deliver(u8),
    /// It arrives, and what its link sent before may still come.
    Overtake(u8),
    /// It arrives, and will once more.
    Double(u8),
    Tick(NodeId),
    Sync(NodeId),
    Pass,
    Campaign(NodeId),
    Propose(NodeId),
    Read(NodeId),
    Release(NodeId, NodeId),
    Truncate(NodeId),
    /// With so many batches of unsynced writes on disk all the same.
    Crash(NodeId, u8),
    Restart(NodeId),
}

/// A state.
#[derive(Clone, Debug)]
struct State {
    world: World,
    left: Budget,
}

/// What was covered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cover {
    /// Distinct states.
    pub states: usize,
    /// Steps taken, those that led to known states included.
    pub steps: usize,
    /// Length of the longest shortest way to a state.
    pub depth: usize,
    /// Most states kept whole at a time.
    pub widest: usize,
    /// Whether there was nothing left.
    pub complete: bool,
}

impl fmt::Display for Cover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cover { states, steps, depth, widest, complete } = self;
        let end = if *complete { "all of them" } else { "cut off" };
        write!(f, "{states} states ({end}), {steps} steps, depth {depth}, at most {widest} at once")
    }
}

/// A way to a violation.
#[derive(Debug)]
pub(super) struct Found {
    /// What was violated.
    pub failure: String,
    /// A line for each step.
    pub script: String,
    /// How many steps.
    pub steps: usize,
    /// How many states were seen before.
    pub states: usize,
}

/// Explores a scope with something broken, or nothing.
pub(super) fn explore(scope: &Scope, sabotage: Sabotage) -> Result<Cover, Found> {
    hush();
    let mut scope = scope.clone();
    scope.setup.config.rules = sabotage.rules;
    scope.setup.fault = sabotage.fault;
    quietly(|| Search::new(scope).run())
}

/// The breadth-first search.
struct Search {
    scope: Scope,
    seen: FxHashSet<Fingerprint>,
    /// How each state was reached first: from which, by which step.
    ways: Vec<(u32, Act)>,
    cover: Cover,
}

impl Search {
    fn new(scope: Scope) -> Search {
        Search { scope, seen: FxHashSet::default(), ways: Vec::new(), cover: Cover::default() }
    }

    fn run(mut self) -> Result<Cover, Found> {
        let first = self.scope.first();
        self.seen.insert(first.fingerprint());
        self.ways.push((0, Act::Pass));
        let mut level = vec![(0, first)];
        while !level.is_empty() {
            self.cover.widest = self.cover.widest.max(level.len());
            let mut next = Vec::new();
            for (at, state) in level {
                self.expand(at, &state, &mut next)?;
                if self.ways.len() > self.scope.most_states {
                    self.cover.states = self.ways.len();
                    return Ok(self.cover);
                }
            }
            self.cover.depth += usize::from(!next.is_empty());
            level = next;
        }
        self.cover.states = self.ways.len();
        self.cover.complete = true;
        Ok(self.cover)
    }

    fn expand(
        &mut self,
        at: u32,
        state: &State,
        next: &mut Vec<(u32, State)>,
    ) -> Result<(), Found> {
        for act in state.acts(&self.scope) {
            self.cover.steps += 1;
            let taken = catch_unwind(AssertUnwindSafe(|| state.take(act, &self.scope)));
            let after = match taken {
                Ok(Some(after)) => after,
                Ok(None) => continue,
                Err(panic) => return Err(self.found(failure(panic), at, act)),
            };
            if self.seen.insert(after.fingerprint()) {
                let index = u32::try_from(self.ways.len()).expect("fewer states than that");
                self.ways.push((at, act));
                next.push((index, after));
            }
        }
        Ok(())
    }

    /// Walks the way to a violation again and writes it down.
    fn found(&self, failure: String, mut at: u32, last: Act) -> Found {
        let mut acts = vec![last];
        while at != 0 {
            let (from, act) = self.ways[at as usize];
            acts.push(act);
            at = from;
        }
        acts.reverse();
        let mut script = String::new();
        let mut state = self.scope.first();
        for (step, act) in acts.iter().enumerate() {
            let line = state.describe(*act);
            writeln!(script, "{:3}  {line}", step + 1).expect("memory is there");
            if step + 1 < acts.len() {
                state = state.take(*act, &self.scope).expect("it was taken before");
            }
        }
        Found { failure, script, steps: acts.len(), states: self.ways.len() }
    }
}

impl Scope {
    /// Where it begins: node 1 was born to lead, and all have granted its lease.
    fn first(&self) -> State {
        let mut world = World::new(self.setup.clone());
        for (node, offset) in world.nodes.iter_mut().zip(self.offsets) {
            node.offset = offset * i64::try_from(MS).expect("small");
        }
        let mut state = State { world, left: self.budget };
        state.world.step(NodeId(1), |group, now, out| group.tick(now, out));
        for _ in 0..2 {
            for flying in state.world.take_network() {
                let node = flying.to;
                state.world.deliver(flying);
                state.settle(node, None);
            }
        }
        for _ in 0..self.left_behind {
            state.world.propose(NodeId(1)).expect("it is up").expect("it leads");
        }
        state.world.take_network();
        if self.left_behind > 0 {
            state.world.pass(Duration::from_millis(self.tick_ms));
        }
        for node in state.world.ids() {
            state.settle(node, None);
            state.world.canonical(node);
        }
        state.tidy();
        state
    }
}

impl State {
    fn fingerprint(&self) -> Fingerprint {
        let World { at, nodes, network, checker, .. } = &self.world;
        let nodes: Vec<Fingerprint> = nodes.iter().map(|n| n.fingerprint()).collect();
        let commands = self.world.next_command();
        fingerprint(&(at, nodes, network, checker.fingerprint(), commands, self.left))
    }

    /// All steps that may change something.
    fn acts(&self, scope: &Scope) -> Vec<Act> {
        let mut acts = Vec::new();
        self.deliveries(&mut acts);
        for (index, node) in self.world.nodes.iter().enumerate() {
            let (id, left) = (node.id, &self.left);
            let Some(group) = &node.group else {
                acts.push(Act::Restart(id));
                continue;
            };
            if scope.slow_disk == Some(id) && self.world.unsynced(id) > 0 {
                acts.push(Act::Sync(id));
            }
            let (role, _) = group.role();
            if role != RoleName::Follower {
                acts.push(Act::Tick(id));
            }
            if role == RoleName::Follower && left.campaigns[index] > 0 {
                acts.push(Act::Campaign(id));
            }
            if left.crashes[index] > 0 {
                let waiting = u8::try_from(self.world.unsynced(id)).expect("a small scope");
                acts.extend((0..=waiting).map(|survive| Act::Crash(id, survive)));
            }
            if left.truncations > 0 {
                acts.push(Act::Truncate(id));
            }
            if self.world.acts(id) {
                self.leading(id, scope, &mut acts);
            }
        }
        if self.left.ticks > 0 {
            acts.push(Act::Pass);
        }
        acts
    }

    fn deliveries(&self, acts: &mut Vec<Act>) {
        for index in 0..u8::try_from(self.world.network.len()).expect("a small scope") {
            let flying = &self.world.network[usize::from(index)];
            if self.world.node(flying.to).group.is_none() {
                continue;
            }
            acts.push(Act::Deliver(index));
            let link = |f: &Flying| (f.from, f.to);
            let older = index.checked_sub(1).map(|i| &self.world.network[usize::from(i)]);
            if self.left.late > 0 && older.is_some_and(|older| link(older) == link(flying)) {
                acts.push(Act::Overtake(index));
            }
            if self.left.twice > 0 {
                acts.push(Act::Double(index));
            }
        }
    }

    /// What a leader that may act can be asked for.
    fn leading(&self, id: NodeId, scope: &Scope, acts: &mut Vec<Act>) {
        if self.left.proposals > 0 {
            acts.push(Act::Propose(id));
        }
        if self.left.reads > 0 {
            acts.push(Act::Read(id));
        }
        if self.left.releases > 0 {
            acts.extend(scope.heirs.iter().map(|to| Act::Release(id, *to)));
        }
    }

    /// Takes a step. `None` if it changes nothing.
    fn take(&self, act: Act, scope: &Scope) -> Option<State> {
        let mut after = self.clone();
        let (node, carried) = after.step(act, scope)?;
        let changed: Vec<NodeId> = node.map_or_else(|| after.leaders(), |node| vec![node]);
        for node in changed {
            after.settle(node, scope.slow_disk);
            after.world.canonical(node);
        }
        after.tidy();
        if let Some(node) = node {
            let at = node.0 as usize - 1;
            let (before, now) = (&self.world.nodes[at], &after.world.nodes[at]);
            let silent = after.world.network.len() <= carried;
            if silent && before.fingerprint() == now.fingerprint() && !matches!(act, Act::Read(_)) {
                return None;
            }
        }
        Some(after)
    }

    /// Does it. Answers which node changed, `None` if only time did, and how many messages were
    /// under way before it said anything.
    fn step(&mut self, act: Act, scope: &Scope) -> Option<(Option<NodeId>, usize)> {
        let carried = self.world.network.len();
        let (world, left) = (&mut self.world, &mut self.left);
        let at = |id: NodeId| id.0 as usize - 1;
        let node = match act {
            Act::Deliver(_) => return Some(self.arrive(act)),
            Act::Overtake(_) => {
                left.late -= 1;
                return Some(self.arrive(act));
            }
            Act::Double(_) => {
                left.twice -= 1;
                return Some(self.arrive(act));
            }
            Act::Pass => {
                left.ticks -= 1;
                world.pass(Duration::from_millis(scope.tick_ms));
                return Some((None, carried));
            }
            Act::Tick(id) => {
                world.step(id, |group, now, out| group.tick(now, out));
                id
            }
            Act::Sync(id) => {
                world.sync(id, usize::MAX);
                id
            }
            Act::Campaign(id) => {
                left.campaigns[at(id)] -= 1;
                world.step(id, |group, now, out| group.campaign(now, out));
                id
            }
            Act::Propose(id) => {
                left.proposals -= 1;
                world.propose(id)?.ok()?;
                id
            }
            Act::Read(id) => {
                left.reads -= 1;
                world.read(id).then_some(id)?
            }
            Act::Release(id, to) => {
                left.releases -= 1;
                world.release(id, Some(to)).then_some(id)?
            }
            Act::Truncate(id) => {
                left.truncations -= 1;
                let upto = world.node(id).group.as_ref().map(Group::applied_slot)?;
                world.step(id, |group, _, out| group.truncate(upto, out));
                id
            }
            Act::Crash(id, survive) => {
                left.crashes[at(id)] -= 1;
                world.crash(id, usize::from(survive));
                id
            }
            Act::Restart(id) => {
                world.restart(id);
                id
            }
        };
        Some((Some(node), carried))
    }

    fn arrive(&mut self, act: Act) -> (Option<NodeId>, usize) {
        let network = &mut self.world.network;
        let flying = match act {
            Act::Deliver(index) => {
                let index = usize::from(index);
                let link = |f: &Flying| (f.from, f.to);
                let this = link(&network[index]);
                let first = network.iter().position(|f| link(f) == this).expect("this one");
                network.drain(first..=index).next_back().expect("this one")
            }
            Act::Overtake(index) => network.remove(usize::from(index)),
            Act::Double(index) => network[usize::from(index)].clone(),
            other => unreachable!("{other:?} is no arrival"),
        };
        let (to, carried) = (flying.to, network.len());
        self.world.deliver(flying);
        (Some(to), carried)
    }

    fn leaders(&self) -> Vec<NodeId> {
        let leads = |id: &NodeId| {
            let group = self.world.node(*id).group.as_ref();
            group.is_some_and(|g| g.role().0 == RoleName::Leader)
        };
        self.world.ids().into_iter().filter(leads).collect()
    }

    /// Disk and state machine catch up at a node.
    fn settle(&mut self, node: NodeId, slow_disk: Option<NodeId>) {
        loop {
            self.world.apply(node, usize::MAX);
            if slow_disk == Some(node) || self.world.unsynced(node) == 0 {
                return;
            }
            self.world.sync(node, usize::MAX);
        }
    }

    /// Puts links in order, and takes off what cannot change anything any more.
    fn tidy(&mut self) {
        self.world.events.clear();
        self.world.told.clear();
        let mut network = self.world.take_network();
        network.retain(|flying| !self.is_spent(flying));
        network.sort_by_key(|f| (f.from, f.to));
        self.world.network = network;
    }

    /// Whether this message can change nothing at its destination, now or ever.
    fn is_spent(&self, flying: &Flying) -> bool {
        let rules = self.world.setup.config.rules;
        let Some(group) = &self.world.node(flying.to).group else { return false };
        let once = rules.keep(Rule::BallotOnce);
        let stands = |role, ballot| group.role() == (role, ballot) || !once;
        match &flying.packet {
            Packet::Snapshot(upto, _) => *upto <= group.applied_slot(),
            Packet::Group(message) => match message {
                Message::Refuse { .. } => true,
                Message::Promise { ballot, .. } => !stands(RoleName::Candidate, *ballot),
                Message::Accepted { ballot, .. } => !stands(RoleName::Leader, *ballot),
                Message::Prepare { ballot, .. } => *ballot < group.promised(),
                Message::Accept { lead, .. } | Message::Heartbeat { lead } => {
                    lead.ballot < group.promised() && rules.keep(Rule::GrantIsPromise)
                }
                Message::Commit { commit, .. } => *commit <= group.chosen_slot(),
                Message::Transfer { .. } => false,
            },
        }
    }

    /// A step for people.
    fn describe(&self, act: Act) -> String {
        let arrival = |index: u8| {
            let Flying { from, to, packet: said } = &self.world.network[usize::from(index)];
            format!("{from} -> {to}: {}", packet(said))
        };
        match act {
            Act::Deliver(index) => arrival(index),
            Act::Overtake(index) => format!("{} (overtakes)", arrival(index)),
            Act::Double(index) => format!("{} (will come again)", arrival(index)),
            Act::Tick(node) => format!("{node} looks at the time"),
            Act::Sync(node) => format!("{node} syncs"),
            Act::Pass => "time passes".to_owned(),
            Act::Campaign(node) => format!("{node} stands for election"),
            Act::Propose(node) => format!("{node} proposes a command"),
            Act::Read(node) => format!("{node} serves a read just below its lease end"),
            Act::Release(node, to) => format!("{node} hands leadership to {to}"),
            Act::Truncate(node) => format!("{node} truncates what it applied"),
            Act::Crash(node, 0) => format!("{node} crashes"),
            Act::Crash(node, survive) => format!("{node} crashes, {survive} batches survive"),
            Act::Restart(node) => format!("{node} restarts"),
        }
    }
}
