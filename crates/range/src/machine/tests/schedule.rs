//! Random schedules, and what they must never find.
//!
//! `MERIDIAN_SCHEDULES=100000` runs more of them, `MERIDIAN_SEED=17` runs one.

use std::{collections::BTreeSet, panic};

use rand::RngExt;

use super::{
    check::check,
    gateway::{Gateway, Kind, Program, Told},
    world::{Asker, MS, Parcel, World},
};
use crate::{machine::Machine, rules::Rules};

/// Steps of the wild phase.
const STEPS: usize = 350;
/// Steps after which everything must have come to rest.
const REST: usize = 6000;

const KEYS: [&str; 4] = ["a", "b", "x", "y"];

fn program(world: &mut World) -> Program {
    let kind = match world.rng.random_range(0..10) {
        0..=5 => Kind::ReadWrite,
        6..=7 => Kind::Strong,
        _ => Kind::Stale,
    };
    // Three writes: so many that a range which is not the anchor's gets several slices.
    let mut draw = |least: usize, most: usize| {
        let count = world.rng.random_range(least..=most);
        let mut keys: Vec<&str> = (0..count).map(|_| world.draw(&KEYS)).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    };
    let (reads, mut writes) = match kind {
        Kind::ReadWrite => (draw(0, 2), draw(1, 3)),
        Kind::Strong | Kind::Stale => (draw(1, 2), Vec::new()),
    };
    if world.chance(2) {
        writes.reverse();
    }
    let wide = world.chance(4);
    Program { kind, reads, writes, wide }
}

struct Run {
    world: World,
    gateways: Vec<Gateway>,
    acknowledged: BTreeSet<usize>,
}

impl Run {
    fn new(seed: u64, rules: Rules) -> Run {
        let mut world = World::new(seed, rules);
        let count = world.rng.random_range(3..9);
        let gateways =
            (0..count).map(|me| Gateway::new(me, program(&mut world))).collect::<Vec<_>>();
        for group in 0..2 {
            world.change_leader(group);
        }
        Run { world, gateways, acknowledged: BTreeSet::new() }
    }

    fn act(&mut self, me: usize) {
        self.gateways[me].act(&mut self.world, &self.acknowledged);
        self.note(me);
    }

    fn note(&mut self, me: usize) {
        if let Told::Committed(at) = self.gateways[me].told
            && self.acknowledged.insert(me)
            && at >= self.world.now()
        {
            self.world.broken = Some(format!("T4: {} is told {at} too early", me + 1));
        }
    }

    fn deliver(&mut self, index: usize, lossy: bool) {
        let parcel = self.world.bag.swap_remove(index);
        let lost = lossy && self.world.chance(25);
        match parcel {
            Parcel::Request { group, to, from, request } if !lost => {
                if let Some(to) = to.or(self.world.groups[group].leader) {
                    self.world.deliver(group, to, from, *request);
                }
            }
            Parcel::Answer { to: Asker::Gateway(me, question), answer } if !lost => {
                let group = match &*answer {
                    // Which participant answered is told by the question's only other group.
                    Ok(_) | Err(_) => 1 - self.anchor_group(me),
                };
                self.gateways[me].hear(&mut self.world, question, group, *answer);
                self.note(me);
            }
            Parcel::Answer { to: Asker::Replica(group, at, life, ask), answer } if !lost => {
                self.world.answer(group, at, life, ask, *answer);
            }
            Parcel::Request { .. } | Parcel::Answer { .. } => {}
        }
    }

    fn anchor_group(&self, me: usize) -> usize {
        let program = &self.gateways[me].program;
        let first = program.writes.first().or(program.reads.first()).expect("it does something");
        self.world.group_of(first.as_bytes())
    }

    fn wild(&mut self) {
        let group = self.world.rng.random_range(0..2);
        match self.world.rng.random_range(0..100) {
            0..=44 if !self.world.bag.is_empty() => {
                let index = self.world.rng.random_range(0..self.world.bag.len());
                self.deliver(index, true);
            }
            0..=59 => self.world.choose(group),
            60..=69 => {
                let at = self.world.rng.random_range(0..2);
                if self.world.groups[group].leader != Some(at) {
                    self.world.apply(group, at);
                }
            }
            70..=81 => {
                self.world.time += self.world.rng.random_range(0..3 * MS);
                self.world.tick();
            }
            82..=91 => {
                let me = self.world.rng.random_range(0..self.gateways.len());
                self.act(me);
            }
            92..=94 => self.world.extend_lease(group),
            95 => self.world.change_leader(group),
            96 => {
                let me = self.world.rng.random_range(0..self.gateways.len());
                self.gateways[me].heartbeat(&mut self.world);
            }
            97 => {
                let at = self.world.rng.random_range(0..2);
                self.world.restart(group, at);
            }
            98 => {
                let to = keys::NodeId(self.world.rng.random_range(1..3));
                let request = kv::Request::TransferLeader { to };
                let from = Asker::Gateway(0, u64::MAX);
                self.world.post(group, None, from, request);
            }
            _ => {
                if self.world.chance(3) {
                    let me = self.world.rng.random_range(0..self.gateways.len());
                    self.gateways[me].cancel(&mut self.world);
                } else if self.world.chance(8) {
                    let me = self.world.rng.random_range(0..self.gateways.len());
                    self.gateways[me].die();
                } else if self.world.chance(2) {
                    // A pause that lets leases run out.
                    self.world.time += self.world.rng.random_range(0..45 * MS);
                } else {
                    self.world.go_near_lease_end(group);
                }
            }
        }
    }

    /// Heals, and lets everything end: liveness.
    fn rest(&mut self) -> Result<(), String> {
        for step in 0..REST {
            for group in 0..2 {
                self.world.extend_lease(group);
                let over = self.world.groups[group].lease_end < self.world.now();
                if over || self.world.groups[group].leader.is_none() {
                    self.world.change_leader(group);
                }
                self.world.choose(group);
                for at in 0..2 {
                    if self.world.groups[group].leader != Some(at) {
                        self.world.apply(group, at);
                    }
                }
            }
            while !self.world.bag.is_empty() {
                self.deliver(0, false);
            }
            self.world.time += MS / 2;
            self.world.tick();
            if step % 40 == 0 {
                for me in 0..self.gateways.len() {
                    if !self.gateways[me].done() && self.gateways[me].began {
                        self.act(me);
                    }
                }
            }
            let ended = self.gateways.iter().all(|g| g.done() || !g.began);
            let quiet = self.world.groups.iter().all(|group| {
                let leader = group.leader.map(|leader| &group.replicas[leader].machine);
                let followers = group
                    .replicas
                    .iter()
                    .all(|r| r.machine.applied().slot.0 == group.log.len() as u64);
                leader.is_some_and(Machine::at_rest) && followers
            });
            if ended && quiet {
                return Ok(());
            }
            if let Some(broken) = self.world.broken.take() {
                return Err(broken);
            }
        }
        let waiting: Vec<_> = self.gateways.iter().filter(|g| g.began && !g.done()).collect();
        Err(format!("no rest: {waiting:#?}"))
    }
}

/// One schedule; what it found.
pub fn run(seed: u64, rules: Rules) -> Result<(), String> {
    let attempt = panic::catch_unwind(|| {
        let mut run = Run::new(seed, rules);
        for _ in 0..STEPS {
            run.wild();
            if let Some(broken) = run.world.broken.take() {
                return Err(broken);
            }
        }
        run.rest()?;
        check(&run.world, &run.gateways)
    });
    attempt.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        Err(format!("panicked: {}", text.unwrap_or_default()))
    })
}

/// A number from the environment.
pub fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn random_schedules_find_nothing() {
    let seeds = match setting("MERIDIAN_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=setting("MERIDIAN_SCHEDULES").unwrap_or(3000),
    };
    for seed in seeds {
        if let Err(found) = run(seed, Rules::default()) {
            panic!(
                "{found}\nMERIDIAN_SEED={seed} cargo test --release -p range random_schedules \
                 replays it"
            );
        }
    }
}
