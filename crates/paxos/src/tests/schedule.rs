//! Random schedules under the naive checker.
//!
//! A schedule is drawn from one seed: the group (1 to 5 voters, majorities or flexible quorums,
//! born with a leader or not), the clock bound, and how likely each kind of step is; then a few
//! hundred steps; one in four is made of long spells of bad weather instead. Settings are tiny, so
//! that windows fill, reports come in parts and logs get truncated. One schedule in eight ends by
//! healing everything and demanding progress.
//!
//! `MERIDIAN_SEED=n` replays one schedule, `MERIDIAN_SCHEDULES=n` runs that many.

use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use keys::NodeId;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    checker::Violation,
    world::{Flying, HostFault, MS, Packet, Setup, World},
};
use crate::{Announce, Config, Event, Membership, Message, Rules, Slot};

/// Schedules in an optimized build: what CI runs.
const SCHEDULES_RELEASE: u64 = 100_000;
/// Schedules in a build for a quick round.
const SCHEDULES_DEV: u64 = 4_000;

/// What a schedule may do, with how it is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Deliver,
    Duplicate,
    Lose,
    LoseMany,
    LoseAccepts,
    Sync,
    Apply,
    Tick,
    ShortWhile,
    LongWhile,
    ClockJump,
    Propose,
    Read,
    Close,
    Campaign,
    Release,
    Crash,
    Restart,
    Truncate,
    Settle,
}

/// Each kind of step, how often it is picked, and whether a schedule may do without it.
const STEPS: [(Step, u32, bool); 20] = [
    (Step::Deliver, 60, false),
    (Step::Duplicate, 2, true),
    (Step::Lose, 3, true),
    (Step::LoseMany, 1, true),
    (Step::LoseAccepts, 1, true),
    (Step::Sync, 30, false),
    (Step::Apply, 15, false),
    (Step::Tick, 12, false),
    (Step::ShortWhile, 6, false),
    (Step::LongWhile, 2, true),
    (Step::ClockJump, 4, true),
    (Step::Propose, 10, false),
    (Step::Read, 5, true),
    (Step::Close, 2, true),
    (Step::Campaign, 3, true),
    (Step::Release, 2, true),
    (Step::Crash, 1, true),
    (Step::Restart, 3, false),
    (Step::Truncate, 1, true),
    (Step::Settle, 3, true),
];

/// What was met on the way: each must be met by some seed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Probes {
    pub chosen: u64,
    pub voids: u64,
    pub noops: u64,
    pub reads: u64,
    pub closes: u64,
    pub releases: u64,
    pub crashes: u64,
    pub snapshots: u64,
    pub parts: u64,
    pub leaderships: u64,
}

impl Probes {
    fn add(&mut self, other: Probes) {
        self.chosen += other.chosen;
        self.voids += other.voids;
        self.noops += other.noops;
        self.reads += other.reads;
        self.closes += other.closes;
        self.releases += other.releases;
        self.crashes += other.crashes;
        self.snapshots += other.snapshots;
        self.parts += other.parts;
        self.leaderships += other.leaderships;
    }
}

/// What is broken on purpose.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sabotage {
    pub rules: Rules,
    pub fault: Option<HostFault>,
}

fn config(rng: &mut ChaCha8Rng) -> Config {
    Config {
        lease: Duration::from_millis(300),
        max_lease: Duration::from_secs(60),
        renew_every: Duration::from_millis(100),
        election_timeout: Duration::from_millis(100),
        election_stagger: Duration::from_millis(25),
        resend_after: Duration::from_millis(50),
        snapshot_retry: Duration::from_millis(200),
        horizon_slack: Duration::from_millis(if rng.random_bool(0.5) { 150 } else { 0 }),
        max_in_flight_slots: rng.random_range(1..=6),
        max_in_flight_bytes: 4096,
        first_peer_in_flight_bytes: 64,
        max_peer_in_flight_bytes: 256,
        max_batch_bytes: rng.random_range(1..=200),
        max_entry_bytes: 64,
        log_keep_bytes: 512,
        log_keep_slots: 8,
        announce: if rng.random_bool(0.5) { Announce::WhenIdle } else { Announce::Piggyback },
        rules: Rules::default(),
    }
}

fn membership(rng: &mut ChaCha8Rng) -> Membership {
    let n = [1, 2, 3, 3, 3, 3, 4, 5][rng.random_range(0..8)];
    let voters: Vec<NodeId> = (1..=n).map(NodeId).collect();
    let n = n as usize;
    if rng.random_bool(0.7) {
        return Membership::majority(voters).expect("a set");
    }
    let phase1 = rng.random_range(1..=n);
    Membership::flexible(voters, phase1, n + 1 - phase1).expect("they meet")
}

fn setup(rng: &mut ChaCha8Rng, sabotage: Sabotage) -> Setup {
    let membership = membership(rng);
    let born = rng.random_bool(0.5).then(|| membership.voters()[0]);
    let epsilon = Duration::from_millis([0, 5, 20][rng.random_range(0..3)]);
    let Sabotage { rules, fault } = sabotage;
    Setup { membership, born, config: Config { rules, ..config(rng) }, epsilon, fault }
}

struct Schedule {
    rng: ChaCha8Rng,
    world: World,
    weights: Vec<(Step, u32)>,
    probes: Probes,
}

impl Schedule {
    fn new(seed: u64, sabotage: Sabotage) -> Schedule {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let world = World::new(setup(&mut rng, sabotage));
        let weight = |(step, weight, optional): (Step, u32, bool)| {
            let factor = if optional { [0, 1, 1, 4][rng.random_range(0..4)] } else { 1 };
            (step, weight * factor)
        };
        let weights = STEPS.into_iter().map(weight).collect();
        Schedule { rng, world, weights, probes: Probes::default() }
    }

    fn run(mut self, seed: u64) -> Probes {
        if seed % 4 == 1 {
            self.storms();
        } else {
            for _ in 0..self.rng.random_range(100..500) {
                let step = self.pick();
                self.take(step);
            }
        }
        if seed.is_multiple_of(8) {
            self.heal();
        }
        let mut probes = self.probes;
        probes.chosen = self.world.checker.told_count();
        probes.voids = self.world.checker.voids() as u64;
        probes.noops = self.world.checker.noops() as u64;
        for (_, event) in &self.world.events {
            match event {
                Event::BecameLeader { .. } => probes.leaderships += 1,
                Event::SnapshotNeeded { .. } => probes.snapshots += 1,
                _ => {}
            }
        }
        probes
    }

    fn pick(&mut self) -> Step {
        let total: u32 = self.weights.iter().map(|(_, w)| w).sum();
        let mut left = self.rng.random_range(0..total);
        for (step, weight) in &self.weights {
            if left < *weight {
                return *step;
            }
            left -= weight;
        }
        unreachable!("the weights sum up")
    }

    fn any(&mut self) -> NodeId {
        let n = self.world.nodes.len() as u32;
        NodeId(self.rng.random_range(1..=n))
    }

    /// Some leader as its host sees it, or anybody.
    fn leader(&mut self) -> NodeId {
        let leads = self.world.nodes.iter().filter(|n| n.leads.is_some()).map(|n| n.id);
        let leaders: Vec<NodeId> = leads.collect();
        if leaders.is_empty() {
            self.any()
        } else {
            leaders[self.rng.random_range(0..leaders.len())]
        }
    }

    fn take(&mut self, step: Step) {
        let flying = self.world.network.len();
        match step {
            Step::Deliver if flying > 0 => self.deliver(),
            Step::Duplicate if flying > 0 => {
                let copy = self.world.network[self.rng.random_range(0..flying)].clone();
                self.world.network.push(copy);
            }
            Step::Lose if flying > 0 => {
                self.world.network.swap_remove(self.rng.random_range(0..flying));
            }
            Step::LoseMany => {
                let node = self.any();
                self.world.network.retain(|f| f.to != node);
            }
            Step::Deliver | Step::Duplicate | Step::Lose => {}
            Step::LoseAccepts => {
                let node = self.any();
                self.world.network.retain(|f| f.to != node || !is_accept(f));
            }
            Step::Sync => {
                let node = self.any();
                let batches = self.rng.random_range(1..5);
                self.world.sync(node, batches);
            }
            Step::Apply => {
                let node = self.any();
                let count = self.rng.random_range(1..5);
                self.world.apply(node, count);
            }
            Step::Tick => {
                let node = self.any();
                self.world.step(node, |group, now, out| group.tick(now, out));
            }
            Step::ShortWhile => self.pass(1..40),
            Step::LongWhile => self.pass(100..400),
            Step::ClockJump => {
                let node = self.any();
                let epsilon = self.world.setup.epsilon.as_nanos() as i64;
                let offset = [-epsilon, 0, epsilon][self.rng.random_range(0..3)];
                self.world.node_mut(node).offset = offset;
            }
            Step::Propose
            | Step::Read
            | Step::Close
            | Step::Campaign
            | Step::Release
            | Step::Crash
            | Step::Restart => self.act(step),
            Step::Truncate => self.truncate(),
            Step::Settle => self.settle(),
        }
    }

    /// What a node or its host does.
    fn act(&mut self, step: Step) {
        match step {
            Step::Propose => self.propose(),
            Step::Read => {
                let node = self.leader();
                self.probes.reads += u64::from(self.world.read(node));
            }
            Step::Close => {
                let node = self.leader();
                self.probes.closes += u64::from(self.world.close(node));
            }
            Step::Campaign => {
                let node = self.any();
                self.world.step(node, |group, now, out| group.campaign(now, out));
            }
            Step::Release => {
                let node = self.leader();
                let to = if self.rng.random_bool(0.8) { Some(self.any()) } else { None };
                self.probes.releases += u64::from(self.world.release(node, to));
            }
            Step::Crash => {
                let node = self.any();
                let waiting = self.world.unsynced(node);
                let survive = self.rng.random_range(0..=waiting);
                self.world.crash(node, survive);
                self.probes.crashes += 1;
            }
            Step::Restart => {
                let node = self.any();
                if self.world.node(node).group.is_none() {
                    self.world.restart(node);
                }
            }
            other => unreachable!("{other:?} is no act of a node"),
        }
    }

    fn pass(&mut self, ms: std::ops::Range<u64>) {
        let ms = self.rng.random_range(ms);
        self.world.pass(Duration::from_nanos(ms * MS));
    }

    fn deliver(&mut self) {
        let flying = self.world.network.len();
        // Mostly the oldest: entirely random order makes long exchanges rare.
        let index = if self.rng.random_bool(0.6) { 0 } else { self.rng.random_range(0..flying) };
        let packet = self.world.network.remove(index);
        if let Packet::Group(Message::Promise { complete: false, .. }) = packet.packet {
            self.probes.parts += 1;
        }
        self.world.deliver(packet);
    }

    fn propose(&mut self) {
        let node = self.leader();
        for _ in 0..self.rng.random_range(1..4) {
            let _refused_is_fine = self.world.propose(node);
        }
    }

    /// For a while everything works, except that one node may be cut off, and that entries may not
    /// reach another while heartbeats do.
    fn settle(&mut self) {
        let pause = [4, 8, 30][self.rng.random_range(0..3)];
        let rounds = self.rng.random_range(1..16);
        self.weather(pause, rounds);
    }

    /// Long spells of changing weather: each time enough for a fail-over.
    fn storms(&mut self) {
        for _ in 0..self.rng.random_range(3..14) {
            for _ in 0..self.rng.random_range(0..3) {
                self.propose();
            }
            let rounds = self.rng.random_range(4..24);
            self.weather(25, rounds);
            if self.rng.random_bool(0.1) {
                self.take(Step::Crash);
            }
            if self.rng.random_bool(0.3) {
                (1..=5).for_each(|_| self.take(Step::Restart));
            }
        }
    }

    fn weather(&mut self, pause_ms: u64, rounds: u32) {
        let cut_off = self.rng.random_bool(0.6).then(|| self.any());
        let starved = self.rng.random_bool(0.4).then(|| self.any());
        let forgets = self.rng.random_bool(0.5);
        let echoes = self.rng.random_bool(0.3);
        let leaks = if self.rng.random_bool(0.3) { 0.5 } else { 0.0 };
        for _ in 0..rounds {
            self.world.pass(Duration::from_nanos(pause_ms * MS));
            let cut = |f: &Flying| Some(f.from) == cut_off || Some(f.to) == cut_off;
            let (held, mut flying): (Vec<Flying>, Vec<Flying>) =
                self.world.take_network().into_iter().partition(cut);
            if !forgets {
                self.world.network = held;
            }
            flying.retain(|f| {
                !is_accept(f) || (Some(f.to) != starved && !self.rng.random_bool(leaks))
            });
            if echoes {
                // Some packets come again, rounds later, behind younger ones.
                let again = |_: &&Flying| self.rng.random_bool(0.2);
                self.world.network.extend(flying.iter().filter(again).cloned().collect::<Vec<_>>());
                flying.reverse();
            }
            flying.into_iter().for_each(|f| self.world.deliver(f));
            for node in self.world.ids().into_iter().filter(|n| Some(*n) != cut_off) {
                self.world.step(node, |group, now, out| group.tick(now, out));
                self.world.sync(node, usize::MAX);
                self.world.apply(node, usize::MAX);
                if self.world.acts(node) && self.rng.random_bool(0.3) {
                    let load = [Step::Propose, Step::Read, Step::Close, Step::Truncate];
                    let step = load[self.rng.random_range(0..load.len())];
                    self.take(step);
                }
            }
        }
    }

    fn truncate(&mut self) {
        let node = self.any();
        let Some(group) = &self.world.node(node).group else { return };
        let range = group.status().truncated.0..=group.applied_slot().0;
        let upto = Slot(self.rng.random_range(range));
        self.world.step(node, |group, _, out| group.truncate(upto, out));
    }

    /// A host answers a stray voter by releasing to itself: the next ballot takes all along.
    fn heal_stray(&mut self, node: NodeId) {
        let stray = |(n, e): &(NodeId, Event)| *n == node && matches!(e, Event::Stray { .. });
        if self.world.events.iter().any(stray) {
            self.world.events.retain(|e| !stray(e));
            self.world.release(node, Some(node));
        }
    }

    /// Everything works again: a leader must emerge, and its proposal reach every replica.
    fn heal(&mut self) {
        const ROUNDS: u32 = 1_000;
        for node in self.world.ids() {
            if self.world.node(node).group.is_none() {
                self.world.restart(node);
            }
        }
        let mut wanted = None;
        for _ in 0..ROUNDS {
            self.world.pass(Duration::from_millis(5));
            for flying in self.world.take_network() {
                self.world.deliver(flying);
            }
            for node in self.world.ids() {
                self.world.step(node, |group, now, out| group.tick(now, out));
                self.world.sync(node, usize::MAX);
                self.world.apply(node, usize::MAX);
                self.heal_stray(node);
                if wanted.is_none_or(|(_, leader)| !self.world.acts(leader))
                    && self.world.acts(node)
                {
                    wanted = self.world.propose(node).and_then(Result::ok).map(|id| (id, node));
                }
            }
            let done = wanted.is_some_and(|(id, _)| self.world.checker.effective(id));
            let told = self.world.checker.told_count();
            let everywhere = self
                .world
                .nodes
                .iter()
                .all(|n| n.group.as_ref().is_some_and(|g| g.applied_slot().0 == told));
            if done && everywhere {
                return;
            }
        }
        let states: Vec<String> = self
            .world
            .nodes
            .iter()
            .map(|n| format!("{:?}", n.group.as_ref().map(|g| g.status())))
            .collect();
        self.world
            .checker
            .fail(&format!("Progress: none in {ROUNDS} rounds\n{}", states.join("\n")));
    }
}

fn is_accept(flying: &Flying) -> bool {
    matches!(flying.packet, Packet::Group(Message::Accept { .. }))
}

thread_local! {
    /// Whether panics of this thread are expected, so that nothing is printed.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs one schedule. Answers what it met, or what went wrong.
pub(super) fn run(seed: u64, sabotage: Sabotage) -> Result<Probes, String> {
    let schedule = || Schedule::new(seed, sabotage).run(seed);
    quietly(|| catch_unwind(AssertUnwindSafe(schedule))).map_err(failure)
}

/// Runs what may panic inside, with [`hush`] in force.
pub(super) fn quietly<T>(body: impl FnOnce() -> T) -> T {
    QUIET.set(true);
    let result = body();
    QUIET.set(false);
    result
}

/// What a panic says.
pub(super) fn failure(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<Violation>() {
        Ok(violation) => format!("checker: {}", violation.0),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            format!("assertion: {}", text.unwrap_or_default())
        }
    }
}

/// Keeps expected panics off the screen.
pub(super) fn hush() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                usual(info);
            }
        }));
    });
}

pub(super) fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|v| v.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn schedules_keep_every_promise() {
    hush();
    if let Some(seed) = setting("MERIDIAN_SEED") {
        println!("{:?}", Schedule::new(seed, Sabotage::default()).run(seed));
        return;
    }
    let by_build = if cfg!(debug_assertions) { SCHEDULES_DEV } else { SCHEDULES_RELEASE };
    let schedules = setting("MERIDIAN_SCHEDULES").unwrap_or(by_build);
    let next = AtomicU64::new(1);
    let work = || {
        let mut probes = Probes::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > schedules {
                return Ok(probes);
            }
            match run(seed, Sabotage::default()) {
                Ok(met) => probes.add(met),
                Err(failure) => {
                    next.store(schedules, Ordering::Relaxed);
                    return Err((seed, failure));
                }
            }
        }
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        handles.into_iter().map(|h| h.join().expect("panics are caught")).collect()
    });
    let mut probes = Probes::default();
    for result in results {
        match result {
            Ok(met) => probes.add(met),
            Err((seed, failure)) => panic!(
                "schedule {seed}: {failure}\n\
                 replay: MERIDIAN_SEED={seed} cargo test -p paxos schedules_keep"
            ),
        }
    }
    println!("{schedules} schedules: {probes:?}");
    let Probes { chosen, voids, noops, reads, closes, releases, crashes, .. } = probes;
    let Probes { snapshots, parts, leaderships, .. } = probes;
    for met in
        [chosen, voids, noops, reads, closes, releases, crashes, snapshots, parts, leaderships]
    {
        assert!(met > 0, "some branch was never reached: {probes:?}");
    }
}

#[test]
fn schedules_repeat_from_their_seed() {
    hush();
    for seed in 1..50 {
        let (first, second) = (run(seed, Sabotage::default()), run(seed, Sabotage::default()));
        assert_eq!(format!("{first:?}"), format!("{second:?}"), "seed {seed}");
    }
}
