//! Requests and commands that no gateway and no leader of ours makes: a request is answered with an
//! error, a command puts one replica in doubt, and neither ends the process.
//!
//! `MERIDIAN_FUZZ_SECONDS` makes the random requests go on for so long, `MERIDIAN_FUZZ_SEED` chooses
//! where they begin; a failure names its seed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use clock::{Interval, Mono, Now, Timestamp};
use keys::{Key, NodeId, RangeId, Span, TxnId};
use kv::{
    Commit, Conflict, ConflictKind, Descriptor, Heartbeat, KvError, Lock, LockValues, LockWait,
    Outcome, Prepare, Push, PushKind, Read, ReadFrom, ReadSpan, Reply, Request, Resolution,
    Resolve, TxnMeta, Validate, Write,
};
use paxos::{Ballot, Slot};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use storage::{Engine, MemEngine, WriteBatch};

use super::world::{MS, NoPrograms, config};
use crate::{
    StepError,
    command::Command,
    machine::{AskToken, Chosen, Cx, Machine, Outputs, RequestToken},
    state::{Applied, RangeState},
};

const EPOCH: u64 = 1_000_000 * MS;
const BALLOT: Ballot = Ballot::new(1, NodeId(1));
/// Runs of random requests, where nobody asks for more.
const RUNS: u64 = 40;
/// Steps of a run.
const STEPS: u64 = 400;

/// One replica of the keys from `b` to `y`, and its log.
struct Bench {
    machine: Machine,
    engine: MemEngine,
    at: u64,
    slot: u64,
    tokens: u64,
    asks: Vec<AskToken>,
    replies: Vec<(RequestToken, Result<Reply, KvError>)>,
}

impl Bench {
    fn new(state: impl FnOnce(&mut RangeState)) -> Bench {
        let descriptor = Descriptor {
            id: RangeId(2),
            span: Span::new("b", "y"),
            generation: 1,
            voters: vec![NodeId(1), NodeId(2), NodeId(3)],
            preferred_leader: NodeId(1),
        };
        let mut range = RangeState::new(descriptor);
        state(&mut range);
        let machine = Machine::new(NodeId(1), Arc::new(config()), range, Applied::default());
        let (asks, replies) = (Vec::new(), Vec::new());
        Bench { machine, engine: MemEngine::new(), at: EPOCH, slot: 0, tokens: 0, asks, replies }
    }

    fn leading() -> Bench {
        let mut bench = Bench::new(|_| {});
        let (floor, end) = (Timestamp::from_wall(EPOCH - 1), Timestamp::from_wall(EPOCH * 2));
        bench.with(|machine, cx| machine.leader_start(cx, BALLOT, floor, end));
        bench
    }

    fn with<T>(
        &mut self,
        body: impl FnOnce(&mut Machine, &mut Cx<'_>) -> Result<T, storage::EngineError>,
    ) -> T {
        let mut out = Outputs::default();
        let tt = Interval { earliest: self.at - MS, latest: self.at + MS };
        let now = Now { tt, mono: Mono(self.at) };
        let cx = &mut Cx { now, reader: &self.engine, factory: &NoPrograms, out: &mut out };
        let done = body(&mut self.machine, cx).expect("no faults");
        out.finish_scans(&self.engine);
        self.engine.write(std::mem::take(&mut out.batch)).expect("no faults");
        self.asks.extend(out.asks.into_iter().map(|(ask, ..)| ask));
        self.replies.append(&mut out.replies);
        done
    }

    /// Sends a request and has everything that it proposes chosen; its answer, if there is one.
    fn ask(&mut self, request: Request) -> Option<Result<Reply, KvError>> {
        let token = self.send(request);
        while self.choose() {}
        self.at += 10 * MS;
        self.with(Machine::tick);
        let found = self.replies.iter().position(|(of, _)| *of == token)?;
        Some(self.replies.swap_remove(found).1)
    }

    fn send(&mut self, request: Request) -> RequestToken {
        self.tokens += 1;
        let (token, deadline) = (RequestToken(self.tokens), Mono(self.at + 1_000 * MS));
        self.with(|machine, cx| machine.request(cx, token, request, deadline));
        token
    }

    /// The oldest proposal is chosen and applied; false if there is none.
    fn choose(&mut self) -> bool {
        let Some(command) = self.machine.next_proposal().cloned() else { return false };
        self.machine.proposed(Slot(self.slot + 1));
        self.apply(command).expect("what a leader proposes can be applied");
        true
    }

    fn apply(&mut self, command: Bytes) -> Result<(), StepError> {
        let (slot, command) = (Slot(self.slot + 1), Some(command));
        let chosen = Chosen { slot, first: BALLOT, command, void: false };
        let mut batch = WriteBatch::new();
        let child = self.machine.apply(&self.engine, &chosen, &mut batch)?;
        self.slot += 1;
        self.machine.write_applied(&mut batch);
        self.engine.write(batch)?;
        self.machine.flushed();
        self.with(Machine::settle);
        if let Some(child) = child {
            let mut born = Machine::new(NodeId(1), Arc::new(config()), child.state, child.applied);
            if self.machine.leads() {
                born.inherit(&mut self.machine);
            }
        }
        Ok(())
    }
}

fn meta(id: u128, anchor: &str) -> TxnMeta {
    let start = Timestamp::from_wall(EPOCH);
    TxnMeta { id: TxnId(id), anchor: Key::from(anchor), priority: start, start }
}

fn write(key: &str) -> Write {
    Write { key: Key::from(key), value: Some(Bytes::from_static(b"v")) }
}

#[test]
fn commands_that_no_leader_proposes_put_the_replica_in_doubt() {
    let at = Timestamp::from_wall(EPOCH);
    let txn = || meta(1, "k");
    let none = Timestamp::ZERO;
    let commit = |txn, at, key| Command::Commit {
        txn,
        at,
        writes: vec![write(key)],
        participants: Vec::new(),
    };
    let kind = ConflictKind::Poisoned;
    let why = Conflict { kind, span: Span::new("b", "c"), winner: None, at: None };
    let resolve = |at, key| {
        let (outcome, keys) = (Resolution::Commit(at), vec![Key::from(key)]);
        Command::Resolve { txn: TxnId(1), outcome, keys }
    };
    let lies = [
        commit(txn(), at, "z"),
        commit(meta(1, "z"), at, "k"),
        commit(txn(), none, "k"),
        Command::Prepare { txn: txn(), prepare: at, writes: vec![write("a")] },
        Command::Prepare { txn: txn(), prepare: none, writes: vec![write("k")] },
        Command::Poison { txn: meta(1, "z"), why },
        resolve(at, "z"),
        resolve(none, "k"),
        Command::Split { at: Key::from("m"), child: RangeId(2) },
        Command::Split { at: Key::from("m"), child: RangeId(7) },
    ];
    let mut bench = Bench::new(|_| {});
    let mut batch = WriteBatch::new();
    let other = Descriptor { id: RangeId(7), ..bench.machine.state().descriptor.clone() };
    RangeState::new(other).write(&mut batch);
    bench.engine.write(batch).expect("no faults");
    let encoded = lies.iter().map(Command::encode);
    for lie in encoded.chain([Bytes::from_static(b"\xff no command"), Bytes::new()]) {
        let doubt = bench.apply(lie.clone());
        assert!(matches!(doubt, Err(StepError::Doubt(_))), "{lie:?}: {doubt:?}");
        assert_eq!(bench.machine.applied().slot, Slot::NONE);
    }
    bench.apply(commit(txn(), at, "k").encode()).expect("one of ours");
}

/// A split may take the anchor away between the check of a request and its refusal.
#[test]
fn nothing_is_poisoned_whose_record_lies_elsewhere() {
    let mut bench = Bench::leading();
    let kind = ConflictKind::Wounded;
    let why = Conflict { kind, span: Span::new("b", "c"), winner: None, at: None };
    bench.with(|machine, cx| machine.poison(cx, meta(1, "z"), why, None));
    assert!(bench.machine.next_proposal().is_none());
}

#[test]
fn a_child_is_never_a_range_that_is_there() {
    let mut bench = Bench::leading();
    let other = Descriptor { id: RangeId(7), ..bench.machine.state().descriptor.clone() };
    let mut batch = WriteBatch::new();
    RangeState::new(other).write(&mut batch);
    bench.engine.write(batch).expect("no faults");
    let split = |child| Request::Split { at: Key::from("m"), child: RangeId(child) };
    let answer = bench.ask(split(7));
    assert!(matches!(answer, Some(Err(KvError::Invalid(_)))), "{answer:?}");
    let answer = bench.ask(split(8));
    assert!(matches!(answer, Some(Ok(Reply::Split { .. }))), "{answer:?}");
}

#[test]
fn outcomes_at_impossible_times_are_refused() {
    let mut bench = Bench::leading();
    let before = bench.machine.min_next();
    for at in [Timestamp::ZERO, Timestamp::MAX] {
        let (txn, outcome, keys) = (TxnId(1), Resolution::Commit(at), vec![Key::from("k")]);
        let answer = bench.ask(Request::Resolve(Resolve { txn, outcome, keys }));
        assert!(matches!(answer, Some(Err(_))), "{answer:?}");
    }
    let passed = Timestamp::from_wall(bench.at);
    assert!(bench.machine.min_next().max(before) <= Some(passed), "it can go on");
}

/// By requests alone, intents of one transaction may come to lie here under several ages. Whoever
/// leads next takes them as they are: it would never lead otherwise.
#[test]
fn a_leader_starts_over_intents_that_contradict_each_other() {
    let mut bench = Bench::new(|_| {});
    for (key, priority) in [("c", 5), ("d", 7)] {
        let priority = Timestamp::from_wall(EPOCH - priority);
        let (txn, at) = (TxnMeta { priority, ..meta(1, "z") }, Timestamp::from_wall(EPOCH - 1));
        let command = Command::Prepare { txn, prepare: at, writes: vec![write(key)] };
        bench.apply(command.encode()).expect("one of ours");
    }
    let (floor, end) = (Timestamp::from_wall(EPOCH), Timestamp::from_wall(EPOCH * 2));
    bench.with(|machine, cx| machine.leader_start(cx, BALLOT, floor, end));
    let (txn, outcome, keys) = (TxnId(1), Resolution::Abort, vec![Key::from("c")]);
    let answer = bench.ask(Request::Resolve(Resolve { txn, outcome, keys }));
    assert!(matches!(answer, Some(Ok(Reply::Done))), "{answer:?}");
    assert!(bench.machine.at_rest());
}

/// Requests whose every field is drawn among what may be, and what may not.
struct Liar(ChaCha8Rng);

impl Liar {
    fn below(&mut self, limit: u64) -> u64 {
        self.0.random_range(0..limit)
    }

    fn key(&mut self) -> Key {
        let keys = ["", "a", "b", "k", "k\0", "l", "m", "x", "y", "z"];
        Key::from(keys[usize::try_from(self.below(10)).expect("ten")])
    }

    fn span(&mut self) -> Span {
        let (one, other) = (self.key(), self.key());
        Span { start: one.clone().min(other.clone()), end: one.max(other) }
    }

    fn time(&mut self, now: u64) -> Timestamp {
        match self.below(8) {
            0 => Timestamp::ZERO,
            1 => Timestamp::MAX,
            2 => Timestamp { wall: u64::MAX, logical: 0 },
            3 => Timestamp::from_wall(now + self.below(2_000 * MS)),
            _ => Timestamp::from_wall(now - self.below(100 * MS)),
        }
    }

    fn txn(&mut self, now: u64) -> TxnMeta {
        let (id, anchor) = (TxnId(u128::from(self.below(4))), self.key());
        let fixed = Timestamp::from_wall(EPOCH + u64::try_from(id.0).expect("small"));
        let drawn = |liar: &mut Liar| if liar.below(6) == 0 { liar.time(now) } else { fixed };
        TxnMeta { id, anchor, priority: drawn(self), start: drawn(self) }
    }

    fn reads(&mut self, now: u64) -> Vec<Validate> {
        (0..self.below(3)).map(|_| Validate { span: self.span(), since: self.time(now) }).collect()
    }

    fn writes(&mut self) -> Vec<Write> {
        let value = |liar: &mut Liar| (liar.below(3) > 0).then(|| Bytes::from_static(b"v"));
        (0..self.below(3)).map(|_| Write { key: self.key(), value: value(self) }).collect()
    }

    fn keys(&mut self) -> Vec<Key> {
        (0..self.below(3)).map(|_| self.key()).collect()
    }

    fn outcome(&mut self, now: u64) -> Resolution {
        if self.below(3) == 0 { Resolution::Abort } else { Resolution::Commit(self.time(now)) }
    }

    fn request(&mut self, now: u64) -> Request {
        let txn = self.txn(now);
        match self.below(16) {
            0..3 => Request::Prepare(Prepare {
                txn,
                reads: self.reads(now),
                writes: self.writes(),
                at_anchor: self.below(2) == 0,
            }),
            3..6 => Request::Commit(Commit {
                txn,
                reads: self.reads(now),
                writes: self.writes(),
                participants: (0..self.below(3)).map(|_| self.span()).collect(),
                above: self.time(now),
                below: if self.below(2) == 0 { Timestamp::MAX } else { self.time(now) },
            }),
            6..8 => Request::Lock(Lock {
                txn,
                keys: self.keys(),
                since: self.time(now),
                wait: if self.below(2) == 0 { LockWait::Wait } else { LockWait::NoWait },
                values: if self.below(2) == 0 { LockValues::Wanted } else { LockValues::Unwanted },
            }),
            8..10 => Request::Read(Read {
                at: self.time(now),
                from: if self.below(2) == 0 { ReadFrom::Leader } else { ReadFrom::AnyReplica },
                holder: (self.below(2) == 0).then_some(txn),
                spans: (0..self.below(3))
                    .map(|_| ReadSpan { span: self.span(), reverse: self.below(2) == 0 })
                    .collect(),
                max_rows: [0, 1, u64::MAX][usize::try_from(self.below(3)).expect("three")],
                program: (self.below(4) == 0).then(|| Bytes::from_static(b"no program")),
                unchanged_since: (self.below(4) == 0).then(|| self.time(now)),
            }),
            10 => Request::Resolve(Resolve {
                txn: txn.id,
                outcome: self.outcome(now),
                keys: self.keys(),
            }),
            11..13 => {
                let kind = match self.below(4) {
                    0 => PushKind::Query,
                    1 => PushKind::Owner,
                    2 => {
                        let waiters = (0..self.below(100)).map(|_| self.txn(now).id).collect();
                        PushKind::Waiters { waiters }
                    }
                    _ => PushKind::Wound { pusher: self.txn(now) },
                };
                Request::Push(Push { txn, kind })
            }
            13 => Request::Heartbeat(Heartbeat { txn, waiting: self.below(2) == 0 }),
            14 => Request::Release { txn: txn.id },
            _ => self.rare_request(now),
        }
    }

    fn rare_request(&mut self, now: u64) -> Request {
        match self.below(6) {
            0 => {
                let child = RangeId(self.below(40));
                Request::Split { at: self.key(), child }
            }
            1 => {
                Request::TransferLeader { to: NodeId(u32::try_from(self.below(5)).expect("small")) }
            }
            2 => Request::Checksum { at: self.time(now) },
            3 => Request::Locks,
            4 => {
                let part = |lies: &mut Self| kv::Part {
                    txn: lies.txn(now).id,
                    start: lies.time(now),
                    span: lies.span(),
                };
                let parts = (0..self.below(4)).map(|_| part(self)).collect();
                Request::Acknowledge(kv::Acknowledge { parts })
            }
            _ => Request::Status,
        }
    }

    fn run(&mut self, bench: &mut Bench) {
        for _ in 0..STEPS {
            match self.below(10) {
                0..6 => {
                    let request = self.request(bench.at);
                    bench.send(request);
                }
                6..8 => {
                    bench.choose();
                }
                8 => {
                    bench.at += self.below(40 * MS);
                    bench.with(Machine::tick);
                }
                _ => {
                    let token = RequestToken(self.below(bench.tokens + 1));
                    bench.with(|machine, cx| machine.cancel(cx, token));
                    if let Some(ask) = bench.asks.pop() {
                        let outcome = match self.outcome(bench.at) {
                            Resolution::Commit(at) => Outcome::Committed(at),
                            Resolution::Abort => Outcome::Forgotten,
                        };
                        let answer = Ok(Reply::Outcome(outcome));
                        bench.with(|machine, cx| machine.answer(cx, ask, answer));
                    }
                }
            }
        }
        let end = bench.at;
        bench.with(|machine, cx| {
            machine.leader_stop(cx);
            machine.leader_start(
                cx,
                Ballot::new(2, NodeId(1)),
                Timestamp::from_wall(end),
                Timestamp::MAX,
            )
        });
    }
}

#[expect(clippy::disallowed_methods, reason = "how long it goes on is told in seconds")]
fn moment() -> Instant {
    Instant::now()
}

#[test]
fn no_request_ends_the_process() {
    let number = |name| std::env::var(name).ok().map(|v| v.parse::<u64>().expect("a number"));
    let first = number("MERIDIAN_FUZZ_SEED").unwrap_or(1);
    let seconds = number("MERIDIAN_FUZZ_SECONDS").map(Duration::from_secs);
    let begun = moment();
    let mut refused = 0;
    for seed in first.. {
        let over = match seconds {
            Some(seconds) => begun.elapsed() >= seconds,
            None => seed >= first + RUNS,
        };
        if over {
            break;
        }
        let (mut liar, mut bench) = (Liar(ChaCha8Rng::seed_from_u64(seed)), Bench::leading());
        let run = std::panic::AssertUnwindSafe(|| liar.run(&mut bench));
        assert!(std::panic::catch_unwind(run).is_ok(), "MERIDIAN_FUZZ_SEED={seed} ends a replica");
        refused += bench.replies.iter().filter(|(_, answer)| answer.is_err()).count();
    }
    assert!(refused > 100, "only {refused} requests were refused");
}
