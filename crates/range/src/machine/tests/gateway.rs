//! Gateways: each runs one transaction, the way the coordinator does, and may stop anywhere.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use clock::Timestamp;
use keys::{Key, Span, TxnId};
use kv::{
    Commit, Heartbeat, KvError, Lock, LockValues, LockWait, Outcome, Prepare, Push, PushKind, Read,
    ReadFrom, ReadSpan, Reply, Request, Resolution, Resolve, TxnMeta, Validate, Write,
};
use rand::RngExt;

use super::world::{Answer, Asker, World, point, writer};

/// What a transaction does.
#[derive(Clone, Debug)]
pub struct Program {
    pub kind: Kind,
    pub reads: Vec<&'static str>,
    pub writes: Vec<&'static str>,
    /// Validate the whole range of each read, not only the key.
    pub wide: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Reads, then writes.
    ReadWrite,
    /// Reads at the leaders.
    Strong,
    /// Reads anywhere, at an older snapshot.
    Stale,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Nothing,
    Committed(Timestamp),
    Aborted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    Reading,
    Preparing,
    Deciding,
    Asking,
    Done,
}

/// A transaction and what its gateway knows.
#[derive(Clone, Debug)]
pub struct Gateway {
    pub me: usize,
    pub program: Program,
    pub snapshot: Timestamp,
    pub began: bool,
    /// Who was acknowledged before it began.
    pub before: BTreeSet<usize>,
    pub seen: BTreeMap<&'static str, usize>,
    pub told: Told,
    stage: Stage,
    /// Questions asked so far; answers to older ones are ignored.
    question: u64,
    prepared: BTreeMap<usize, (Timestamp, Timestamp)>,
    /// It asked for locks before it read: its reads take part in wound-wait (X5a).
    locks: bool,
    alive: bool,
}

impl Gateway {
    pub fn new(me: usize, program: Program) -> Gateway {
        Gateway {
            me,
            program,
            snapshot: Timestamp::ZERO,
            began: false,
            before: BTreeSet::new(),
            seen: BTreeMap::new(),
            told: Told::Nothing,
            stage: Stage::Idle,
            question: 0,
            prepared: BTreeMap::new(),
            locks: false,
            alive: true,
        }
    }

    pub fn done(&self) -> bool {
        self.stage == Stage::Done || !self.alive
    }

    /// Its reads are complete and count: a finished reader, or whoever wrote.
    pub fn read_all(&self) -> bool {
        self.program.reads.iter().all(|key| self.seen.contains_key(key))
    }

    pub fn id(&self) -> TxnId {
        TxnId(self.me as u128 + 1)
    }

    pub fn die(&mut self) {
        self.alive = false;
    }

    fn meta(&self) -> TxnMeta {
        let first = self.program.writes.first().or(self.program.reads.first());
        let anchor = Key::from(*first.expect("it does something"));
        TxnMeta { id: self.id(), anchor, priority: self.snapshot, start: self.snapshot }
    }

    fn value(&self) -> Option<Bytes> {
        Some(Bytes::from((self.me + 1).to_string()))
    }

    fn writes_in(&self, span: &Span) -> Vec<Write> {
        let keys = self.program.writes.iter().map(|key| Key::from(*key));
        keys.filter(|key| span.contains(key))
            .map(|key| Write { key, value: self.value() })
            .collect()
    }

    fn reads_in(&self, span: &Span) -> Vec<Validate> {
        let keys = self.program.reads.iter().filter(|key| span.contains(key.as_bytes()));
        let whole = |key: &str| if self.program.wide { span.clone() } else { point(key) };
        keys.map(|key| Validate { span: whole(key), since: self.snapshot }).collect()
    }

    /// The groups it touches besides its anchor's.
    fn others(&self, world: &World) -> BTreeSet<usize> {
        let keys = self.program.reads.iter().chain(&self.program.writes);
        let all: BTreeSet<usize> = keys.map(|key| world.group_of(key.as_bytes())).collect();
        let anchor = world.group_of(&self.meta().anchor);
        all.into_iter().filter(|group| *group != anchor).collect()
    }

    fn ask(&mut self, world: &mut World, group: usize, to: Option<usize>, request: Request) {
        let from = Asker::Gateway(self.me, self.question);
        let copies = if world.chance(12) { 2 } else { 1 };
        for _ in 0..copies {
            world.post(group, to, from, request.clone());
        }
    }

    /// Does its next thing, or does it again.
    pub fn act(&mut self, world: &mut World, acknowledged: &BTreeSet<usize>) {
        if !self.alive {
            return;
        }
        let writes = matches!(self.stage, Stage::Preparing | Stage::Deciding);
        if writes && world.outlived(self.snapshot) {
            // X7a: nothing can be decided any more. The record may know of a decision.
            self.question += 1;
            self.stage = Stage::Asking;
        }
        match self.stage {
            Stage::Idle => self.begin(world, acknowledged),
            Stage::Reading => self.read(world),
            Stage::Preparing => self.prepare(world),
            Stage::Deciding => self.decide(world),
            Stage::Asking => self.give_up(world),
            Stage::Done => {}
        }
    }

    fn begin(&mut self, world: &mut World, acknowledged: &BTreeSet<usize>) {
        self.began = true;
        self.before = acknowledged.clone();
        let reading = world.reading().tt;
        self.snapshot = reading.latest_timestamp();
        if self.program.kind == Kind::Stale {
            let back = std::time::Duration::from_millis(world.rng.random_range(0..12));
            self.snapshot = reading.earliest_timestamp().minus(back);
        }
        self.locks = self.program.kind == Kind::ReadWrite && world.chance(3);
        if self.locks {
            self.lock(world);
        }
        self.advance(world);
    }

    fn advance(&mut self, world: &mut World) {
        self.question += 1;
        self.stage = if !self.read_all() {
            Stage::Reading
        } else if self.program.writes.is_empty() {
            Stage::Done
        } else if self.others(world).is_empty() {
            Stage::Deciding
        } else {
            Stage::Preparing
        };
        if self.stage == Stage::Done {
            return;
        }
        let nobody = BTreeSet::new();
        self.act(world, &nobody);
    }

    /// X6: locks what it is going to write. The answer does not matter: the commit locks again.
    fn lock(&mut self, world: &mut World) {
        for group in 0..world.groups.len() {
            let span = world.groups[group].span.clone();
            let keys: Vec<Key> = self.writes_in(&span).into_iter().map(|w| w.key).collect();
            if !keys.is_empty() {
                let (txn, since) = (self.meta(), self.snapshot);
                let request = Request::Lock(Lock {
                    txn,
                    keys,
                    since,
                    wait: LockWait::Wait,
                    values: LockValues::Wanted,
                });
                world.post(group, None, Asker::Gateway(self.me, 0), request);
            }
        }
    }

    /// Its client cancels what it reads, and goes on without it.
    pub fn cancel(&mut self, world: &mut World) {
        if !self.alive || self.stage != Stage::Reading || self.program.kind != Kind::ReadWrite {
            return;
        }
        world.cancel(Asker::Gateway(self.me, self.question));
        let seen = &self.seen;
        let waits_for = self.program.reads.iter().position(|key| !seen.contains_key(key));
        self.program.reads.remove(waits_for.expect("it reads"));
        self.advance(world);
    }

    fn read(&mut self, world: &mut World) {
        let missing = self.program.reads.iter().find(|key| !self.seen.contains_key(*key));
        let key = *missing.expect("it reads");
        let stale = self.program.kind == Kind::Stale;
        let group = world.group_of(key.as_bytes());
        let to = stale.then(|| world.rng.random_range(0..2));
        let from = if stale { ReadFrom::AnyReplica } else { ReadFrom::Leader };
        let request = Request::Read(Read {
            at: self.snapshot,
            from,
            holder: self.locks.then(|| self.meta()),
            spans: vec![ReadSpan { span: point(key), reverse: false }],
            max_rows: 0,
            program: None,
            unchanged_since: None,
        });
        self.ask(world, group, to, request);
    }

    fn prepare(&mut self, world: &mut World) {
        for group in self.others(world) {
            if self.prepared.contains_key(&group) {
                continue;
            }
            let span = world.groups[group].span.clone();
            let (reads, writes) = (self.reads_in(&span), self.writes_in(&span));
            let prepare = Prepare { txn: self.meta(), reads, writes, at_anchor: false };
            self.ask(world, group, None, Request::Prepare(prepare));
        }
        if world.chance(2) {
            let group = world.group_of(&self.meta().anchor);
            let span = world.groups[group].span.clone();
            let (reads, writes) = (self.reads_in(&span), self.writes_in(&span));
            let prepare = Prepare { txn: self.meta(), reads, writes, at_anchor: true };
            // Its answer does not matter: the commit validates again where need be.
            let (from, request) = (Asker::Gateway(self.me, 0), Request::Prepare(prepare));
            world.post(group, None, from, request);
        }
    }

    fn decide(&mut self, world: &mut World) {
        let group = world.group_of(&self.meta().anchor);
        let span = world.groups[group].span.clone();
        let prepares = self.prepared.values();
        let above = prepares.clone().map(|(at, _)| *at).fold(self.snapshot, Timestamp::max);
        let below = prepares.map(|(_, through)| *through).fold(Timestamp::MAX, Timestamp::min);
        let participants = self.others(world).into_iter();
        let commit = Commit {
            txn: self.meta(),
            reads: self.reads_in(&span),
            writes: self.writes_in(&span),
            participants: participants.map(|g| world.groups[g].span.clone()).collect(),
            above,
            below,
        };
        self.ask(world, group, None, Request::Commit(commit));
    }

    /// X8: a refusal is only advice; the record decides.
    fn give_up(&mut self, world: &mut World) {
        let group = world.group_of(&self.meta().anchor);
        let push = Push { txn: self.meta(), kind: PushKind::Owner };
        self.ask(world, group, None, Request::Push(push));
    }

    pub fn heartbeat(&mut self, world: &mut World) {
        if self.alive && matches!(self.stage, Stage::Preparing | Stage::Deciding) {
            let group = world.group_of(&self.meta().anchor);
            let request =
                Request::Heartbeat(Heartbeat { txn: self.meta(), waiting: world.chance(2) });
            let from = Asker::Gateway(self.me, 0);
            world.post(group, None, from, request);
            // Some gateway lets go of what may be promised: a promise withstands that (X5).
            for group in self.others(world) {
                let request = Request::Release { txn: self.id() };
                world.post(group, None, from, request);
            }
        }
    }

    fn finish(&mut self, world: &mut World, told: Told) {
        self.told = told;
        self.stage = Stage::Done;
        let outcome = match told {
            Told::Committed(at) => Resolution::Commit(at),
            Told::Aborted => Resolution::Abort,
            Told::Nothing => return,
        };
        if world.chance(4) {
            return;
        }
        for group in self.others(world) {
            let span = world.groups[group].span.clone();
            let keys = self.writes_in(&span).into_iter().map(|write| write.key).collect();
            let resolve = Resolve { txn: self.id(), outcome, keys };
            self.ask(world, group, None, Request::Resolve(resolve));
        }
    }

    /// An answer. Late ones are ignored, but for the final word.
    pub fn hear(&mut self, world: &mut World, question: u64, group: usize, answer: Answer) {
        if !self.alive || self.stage == Stage::Done {
            return;
        }
        let answer = answer.map_err(|error| error.split_wait().0);
        match (&self.stage, answer) {
            (_, Ok(Reply::Committed(done))) => self.finish(world, Told::Committed(done.at)),
            (_, Err(KvError::Aborted(_))) => self.finish(world, Told::Aborted),
            (Stage::Asking, Ok(Reply::Outcome(Outcome::Committed(at)))) => {
                self.finish(world, Told::Committed(at));
            }
            (Stage::Asking, Ok(Reply::Outcome(Outcome::Aborted))) => {
                self.finish(world, Told::Aborted);
            }
            // X7a: nobody knows any more.
            (Stage::Asking, Ok(Reply::Outcome(Outcome::Forgotten))) => {
                self.finish(world, Told::Nothing);
            }
            _ if question != self.question => {}
            (Stage::Reading, Ok(Reply::Read(read))) => {
                let key = self.program.reads.iter().find(|key| !self.seen.contains_key(*key));
                let row = read.spans.first().and_then(|span| span.rows.first());
                self.seen.insert(key.expect("it reads"), row.map_or(0, |(_, v)| writer(v)));
                self.advance(world);
            }
            (Stage::Preparing, Ok(Reply::Prepared(prepared))) => {
                if !self.others(world).contains(&group) {
                    return;
                }
                self.prepared.insert(group, (prepared.prepare, prepared.valid_through));
                if self.prepared.len() == self.others(world).len() {
                    self.question += 1;
                    self.stage = Stage::Deciding;
                    self.decide(world);
                }
            }
            (Stage::Preparing | Stage::Deciding, Err(KvError::Conflict(_))) => {
                self.question += 1;
                self.stage = Stage::Asking;
                self.give_up(world);
            }
            (Stage::Deciding, Err(KvError::BoundPassed { .. })) => {
                self.question += 1;
                self.prepared.clear();
                self.stage = Stage::Preparing;
                self.prepare(world);
            }
            _ => {}
        }
    }
}
