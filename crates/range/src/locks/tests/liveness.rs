//! Does everybody end? Random programs over several ranges, as in the model of wound-wait: lock for
//! update (X6), read, then prepare everywhere and decide. Holders die, too. Whoever is wounded or
//! poisoned tries again with its first priority.

use std::collections::{BTreeMap, BTreeSet};

use keys::{Key, Span, TxnId};
use kv::{Conflict, ConflictKind, LockWait, TxnMeta};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::{at, meta, request};
use crate::locks::{
    Acquired, LockEffects, LockLimits, LockRequest, LockTable, Refusal, WantPush, WoundResult,
};

const TABLES: usize = 3;
const KEYS: u64 = 3;
const PROGRAMS: u64 = 7;
/// Far above what the slowest seed takes (about 700).
const MAX_STEPS: usize = 20_000;

/// One thing a transaction does at one range.
#[derive(Clone, Debug)]
enum Action {
    Lock(u64),
    /// Wait for the writes to a key.
    Read(u64),
    /// Validate and write, all of a range at once.
    Prepare {
        shared: Vec<Span>,
        exclusive: Vec<Key>,
    },
}

#[derive(Clone, Debug)]
enum State {
    /// May do its next action.
    Ready,
    /// Waits in a table.
    Waits,
    /// Its gateway is dead.
    Dead,
    Done,
}

/// A transaction, through all its attempts.
#[derive(Debug)]
struct Program {
    priority: u64,
    attempt: u64,
    actions: Vec<(usize, Action)>,
    /// How many of them are done.
    done: usize,
    state: State,
}

impl Program {
    fn meta(&self) -> TxnMeta {
        meta(self.priority, self.attempt)
    }
}

struct World {
    rng: ChaCha8Rng,
    tables: Vec<LockTable>,
    programs: Vec<Program>,
    next_request: u64,
    /// Whose is a request, and what is done when it is granted.
    requests: BTreeMap<u64, usize>,
    /// Probes: what some seed must have met.
    fired: BTreeSet<&'static str>,
}

fn key(k: u64) -> Key {
    Key::from_vec(vec![u8::try_from(k).expect("few keys")])
}

fn random_span(rng: &mut ChaCha8Rng) -> Span {
    let (a, b) = (rng.random_range(0..KEYS), rng.random_range(0..KEYS));
    if a == b { Span::point(key(a)) } else { Span::new(key(a.min(b)), key(a.max(b) + 1)) }
}

fn random_program(rng: &mut ChaCha8Rng, priority: u64) -> Program {
    let mut actions = Vec::new();
    for _ in 0..rng.random_range(0..3) {
        actions.push((rng.random_range(0..TABLES), Action::Lock(rng.random_range(0..KEYS))));
    }
    for _ in 0..rng.random_range(0..2) {
        actions.push((rng.random_range(0..TABLES), Action::Read(rng.random_range(0..KEYS))));
    }
    let first = rng.random_range(0..TABLES);
    for table in 0..rng.random_range(1..=TABLES) {
        let shared = (0..rng.random_range(0..2)).map(|_| random_span(rng)).collect();
        let exclusive =
            (0..rng.random_range(0..3)).map(|_| key(rng.random_range(0..KEYS))).collect();
        actions.push(((first + table) % TABLES, Action::Prepare { shared, exclusive }));
    }
    Program { priority, attempt: 0, actions, done: 0, state: State::Ready }
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let programs = (1..=PROGRAMS).map(|p| random_program(&mut rng, p)).collect();
        let tables = (0..TABLES).map(|_| LockTable::new(LockLimits::default())).collect();
        let (requests, fired) = (BTreeMap::new(), BTreeSet::new());
        World { rng, tables, programs, next_request: 1, requests, fired }
    }

    /// One step of a program that can take one.
    fn act(&mut self, who: usize) {
        let txn = self.programs[who].meta();
        let Some((table, action)) =
            self.programs[who].actions.get(self.programs[who].done).cloned()
        else {
            self.programs[who].state = State::Done;
            self.release_everywhere(txn.id);
            return;
        };
        if self.rng.random_range(0..100) == 0 {
            self.fired.insert("gateway died");
            self.programs[who].state = State::Dead;
            return;
        }
        let id = self.next_request;
        self.next_request += 1;
        self.requests.insert(id, who);
        self.programs[who].state = State::Waits;
        let mut out = LockEffects::default();
        let acquired = self.ask(table, id, txn, action, &mut out);
        self.follow(table, out);
        match acquired {
            Acquired::Granted => self.granted(id),
            Acquired::Waiting { .. } => {}
            Acquired::Refused(Refusal::Wounded(_)) => self.retry(who),
            Acquired::Refused(_) => panic!("{acquired:?}"),
        }
    }

    fn ask(
        &mut self,
        table: usize,
        id: u64,
        txn: TxnMeta,
        action: Action,
        out: &mut LockEffects,
    ) -> Acquired {
        let table = &mut self.tables[table];
        let wait = LockWait::Wait;
        let (shared, exclusive) = match action {
            Action::Read(k) => {
                let spans = [Span::point(key(k))];
                return table.wait_read(request(id), &spans, at(1), Some(txn), out);
            }
            Action::Lock(k) => (vec![], vec![key(k)]),
            Action::Prepare { shared, exclusive } => (shared, exclusive),
        };
        table.acquire(LockRequest { id: request(id), txn, shared, exclusive, wait }, out)
    }

    /// A request was granted: its action is done.
    fn granted(&mut self, id: u64) {
        let who = self.requests.remove(&id).expect("granted once");
        let program = &mut self.programs[who];
        let txn = program.meta().id;
        let (table, action) = &program.actions[program.done];
        if let Action::Prepare { exclusive, .. } = action {
            self.tables[*table].mark_prepared(txn);
            if !exclusive.is_empty() {
                self.tables[*table].set_pending(txn, at(1));
            }
        }
        program.done += 1;
        if matches!(program.state, State::Waits) {
            program.state = State::Ready;
        }
    }

    /// Carries out what a table did to others.
    fn follow(&mut self, table: usize, out: LockEffects) {
        self.tables[table].assert_consistent();
        for wounded in out.wounded {
            self.fired.insert("wounded");
            let who = self.program_of(wounded.txn);
            let oldest = self.programs.iter().filter(|p| !matches!(p.state, State::Done));
            let oldest = oldest.map(|p| p.priority).min();
            assert_ne!(Some(self.programs[who].priority), oldest, "the oldest was wounded");
            if !wounded.requests.is_empty() {
                self.retry(who);
            }
        }
        for id in out.granted {
            self.granted(id.0);
        }
        for push in out.must_push {
            self.push(&push);
        }
    }

    fn program_of(&self, txn: TxnId) -> usize {
        self.programs.iter().position(|p| p.meta().id == txn).expect("only living attempts hold")
    }

    /// Asks a record: a younger one that waits is poisoned (X5b), and so is anybody whose gateway is
    /// dead.
    fn push(&mut self, push: &WantPush) {
        let Some(who) = self.programs.iter().position(|p| p.meta().id == push.holder.id) else {
            return;
        };
        match (&self.programs[who].state, &push.wound_for) {
            (State::Dead, _) => {
                self.fired.insert("dead gateway found");
                self.programs[who].state = State::Done;
                self.release_everywhere(push.holder.id);
            }
            (State::Ready, Some(_)) => {
                self.fired.insert("let finish");
            }
            (State::Waits, Some(pusher)) if self.waits_open(push.holder.id).is_some() => {
                let table = self.waits_open(push.holder.id).expect("just seen");
                let (kind, span) = (ConflictKind::Wounded, Span::point(push.key.clone()));
                let conflict = Conflict { kind, span, winner: Some(pusher.id), at: None };
                let mut out = LockEffects::default();
                let result = self.tables[table].wound(push.holder.id, conflict, &mut out);
                assert_eq!(result, WoundResult::Wounded);
                self.follow(table, out);
            }
            (State::Waits, Some(pusher)) => {
                assert!(pusher.older_than(&push.holder));
                self.fired.insert("poisoned for an older one");
                self.retry(who);
            }
            (State::Ready | State::Waits | State::Done, None) | (State::Done, Some(_)) => {}
        }
    }

    /// The table where a transaction holds something, waits, and has promised nothing.
    fn waits_open(&self, txn: TxnId) -> Option<usize> {
        let here = |t: &LockTable| t.holds(txn) && t.waits(txn) && !t.is_prepared(txn);
        self.tables.iter().position(here)
    }

    fn retry(&mut self, who: usize) {
        if matches!(self.programs[who].state, State::Dead) {
            return;
        }
        let txn = self.programs[who].meta().id;
        self.programs[who].attempt += 1;
        self.programs[who].done = 0;
        self.programs[who].state = State::Ready;
        self.release_everywhere(txn);
    }

    fn release_everywhere(&mut self, txn: TxnId) {
        for table in 0..TABLES {
            let mut out = LockEffects::default();
            self.tables[table].release(txn, &mut out);
            self.follow(table, out);
        }
    }

    /// Runs until everybody is done or dead and unnoticed; how many steps it took.
    fn run(&mut self) -> usize {
        for steps in 0..MAX_STEPS {
            let ready = |p: &Program| matches!(p.state, State::Ready);
            let able: Vec<usize> =
                (0..self.programs.len()).filter(|i| ready(&self.programs[*i])).collect();
            if !able.is_empty() && self.rng.random_range(0..10) > 0 {
                let nth = self.rng.random_range(0..able.len());
                self.act(able[nth]);
                continue;
            }
            let pushes: Vec<WantPush> = self.tables.iter().flat_map(LockTable::pushes).collect();
            if able.is_empty() && pushes.is_empty() {
                self.assert_everybody_ended();
                return steps;
            }
            pushes.iter().for_each(|push| self.push(push));
        }
        panic!("somebody waits for ever: {:#?}", self.programs);
    }

    fn assert_everybody_ended(&self) {
        for program in &self.programs {
            let ended = matches!(program.state, State::Done | State::Dead);
            assert!(ended, "nobody is to be asked, but this one waits: {program:?}");
        }
        for table in &self.tables {
            assert_eq!(table.waiting_len(), 0);
            for holder in table.holders() {
                let who = self.program_of(holder.id);
                assert!(matches!(self.programs[who].state, State::Dead), "{holder:?} left a lock");
            }
        }
    }
}

#[test]
fn random_programs_all_end() {
    let mut fired = BTreeSet::new();
    let mut slowest = 0;
    for seed in 0..3_000 {
        let mut world = World::new(seed);
        println!("seed {seed}");
        slowest = slowest.max(world.run());
        fired.append(&mut world.fired);
    }
    println!("at most {slowest} steps");
    for probe in
        ["wounded", "let finish", "poisoned for an older one", "gateway died", "dead gateway found"]
    {
        assert!(fired.contains(probe), "no seed met: {probe}");
    }
}
