//! Golden scripts: `testscripts/machine/`. `UPDATE_GOLDENFILES=1` rewrites them.
//!
//! One range `[a, z)` on two nodes, driven by hand. Time is in milliseconds; timestamps print as
//! `MS` or `MS_NANOSECONDS`, with `.LOGICAL` where it is not zero. Transactions are `t1`, `t2` ...:
//! lower is older.

mod parse;
mod show;

use std::{error::Error, fmt::Write as _, sync::Arc, time::Duration};

use bytes::Bytes;
use clock::{Interval, Mono, Now, Timestamp};
use goldenscript::{ArgumentConsumer, Command, Context};
use keys::{Key, NodeId, RangeId, Span};
use kv::{
    Descriptor, KvError, Outcome, PushStep, Pushdown, PushdownError, PushdownFactory, Reply,
    Request,
};
use paxos::{Ballot, Slot};
use storage::{Cf, Engine, MemEngine, Reader, Scan, WriteBatch, mvcc, records};

use parse::moment_of;
use show::{conflict, kind, logged, name, reply, resolution, show_key, show_span, text, ts};

use crate::{
    CommitWait, Config,
    command::Command as Logged,
    machine::{AskToken, Chosen, Cx, Machine, Outputs, RequestToken},
    record::{Record, Verdict},
    state::{Applied, RangeState},
};

const MS: u64 = 1_000_000;

type Failure = Box<dyn Error>;

#[test]
fn scripts() -> std::io::Result<()> {
    let mut paths: Vec<_> = std::fs::read_dir("testscripts/machine")?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    paths.sort();
    assert!(!paths.is_empty(), "no scripts");
    for path in paths {
        println!("{}", path.display());
        goldenscript::run(&mut Script::new(), path)?;
    }
    Ok(())
}

struct Node {
    machine: Machine,
    engine: MemEngine,
}

struct Script {
    nodes: Vec<Node>,
    /// Chosen entries: ballot, command, void.
    log: Vec<(Ballot, Bytes, bool)>,
    inflight: Vec<Bytes>,
    /// Whether what is proposed waits for `choose`.
    pipe: bool,
    ballot: Ballot,
    leader: Option<usize>,
    time: u64,
    epsilon: u64,
    tokens: u64,
    text: String,
}

/// A program that keeps rows whose value starts with its bytes; `+` in front: it sums up lengths;
/// `~` in front: half an answer's work is done with every row.
#[derive(Debug)]
struct Programs;

struct Filter {
    prefix: Vec<u8>,
    sum: Option<usize>,
    each: usize,
    work: usize,
}

impl PushdownFactory for Programs {
    fn open(&self, program: &[u8]) -> Result<Box<dyn Pushdown>, PushdownError> {
        let sum = program.starts_with(b"+").then_some(0);
        let each = if program.starts_with(b"~") { config().reply_work / 2 } else { 0 };
        let prefix = program.strip_prefix(b"+").or(program.strip_prefix(b"~")).unwrap_or(program);
        Ok(Box::new(Filter { prefix: prefix.to_vec(), sum, each, work: 0 }))
    }
}

impl Pushdown for Filter {
    fn row(&mut self, _: &[u8], value: &[u8]) -> Result<PushStep, PushdownError> {
        self.work += self.each;
        if !value.starts_with(&self.prefix) {
            return Ok(PushStep::Skip);
        }
        if let Some(sum) = &mut self.sum {
            *sum += value.len();
            return Ok(PushStep::Skip);
        }
        Ok(PushStep::Emit(Bytes::copy_from_slice(value)))
    }

    fn finish(&mut self) -> Result<Vec<Bytes>, PushdownError> {
        Ok(self.sum.iter().map(|sum| Bytes::from(sum.to_string())).collect())
    }

    fn work(&self) -> usize {
        self.work
    }
}

impl goldenscript::Runner for Script {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &Context) -> Result<String, Failure> {
        let mut args = command.consume_args();
        self.command(&command.name, &mut args)?;
        args.reject_next()?;
        Ok(std::mem::take(&mut self.text))
    }
}

impl Script {
    fn new() -> Script {
        let mut script = Script {
            nodes: Vec::new(),
            log: Vec::new(),
            inflight: Vec::new(),
            pipe: false,
            ballot: Ballot::NONE,
            leader: None,
            time: 1000 * MS,
            epsilon: 2 * MS,
            tokens: 0,
            text: String::new(),
        };
        script.build(config());
        script
    }

    fn build(&mut self, config: Config) {
        let config = Arc::new(config);
        let desc = Descriptor {
            id: RangeId(2),
            span: Span::new("a", "z"),
            generation: 1,
            voters: vec![NodeId(1), NodeId(2)],
            preferred_leader: NodeId(1),
        };
        let node = |id| Node {
            machine: Machine::new(
                NodeId(id),
                config.clone(),
                RangeState::new(desc.clone()),
                Applied::default(),
            ),
            engine: MemEngine::new(),
        };
        self.nodes = vec![node(1), node(2)];
    }

    fn command(&mut self, name: &str, args: &mut ArgumentConsumer<'_>) -> Result<(), Failure> {
        match name {
            // settings [epsilon=MS] [pipe=yes|no] [commit_wait=off] [rows=N] [entry=BYTES]
            // [recent=N] [reads=N] [retention=MS] [life=MS]
            "settings" => self.settings(args)?,
            // lead [NODE] [floor=MS] [lease=MS]: it leads, ready to act
            "lead" => self.lead(args)?,
            // lease MS: extended
            "lease" => {
                let to = moment_of(args.next_pos().ok_or("until when?")?)?;
                let leader = self.leading()?;
                self.call(leader, |machine, cx| machine.lease_extended(cx, to))?;
            }
            // stop: it leads no more; [lose]: what is in flight is lost
            "stop" => self.stop(args)?,
            // now MS: time goes on to this, in one step
            "now" => {
                let to = args.next_pos().ok_or("when?")?;
                self.time = moment_of(to)?.wall;
                for node in 0..2 {
                    self.call(node, |machine, cx| machine.tick(cx))?;
                    self.call(node, |machine, cx| machine.sweep(cx))?;
                }
            }
            // commit_wait on|off: turned while it runs, on both
            "commit_wait" => self.turn_commit_wait(args)?,
            // choose [N]: the oldest entries in flight are chosen, all by default
            "choose" => {
                let count = args.next_pos().map(|arg| arg.parse()).transpose()?;
                self.choose(count.unwrap_or(usize::MAX))?;
            }
            // follow: node 2 applies everything
            "follow" => while self.apply(1)? {},
            // closed MS: node 2 learns of closed time
            "closed" => {
                let at = moment_of(args.next_pos().ok_or("when?")?)?;
                self.call(1, |machine, cx| machine.closed(cx, at))?;
            }
            // answer ASK committed=MS|aborted|pending|forgotten|lost [node=N] [waiters=TXN.TXN]
            // [clear=SPAN [holding=TXN.TXN]]
            "answer" => self.answer(args)?,
            // cancel TOKEN
            "cancel" => {
                let token = RequestToken(args.next_pos().ok_or("which?")?.parse()?);
                let leader = self.leading()?;
                self.call(leader, |machine, cx| machine.cancel(cx, token))?;
            }
            // wakeup: how long until the leader has something to do
            "wakeup" => {
                let now = self.now();
                let wakeup = self.nodes[self.leading()?].machine.next_wakeup(now);
                writeln!(self.text, "{wakeup:?}")?;
            }
            // state: min_next, closed, threshold, descriptor
            "state" => self.state()?,
            // data [2]: versions, intents and records of the first node's store, or the other's
            "data" => self.data(usize::from(args.next_pos().is_some()))?,
            _ => {
                let (node, request) = self.request(name, args)?;
                self.send(node, request)?;
            }
        }
        Ok(())
    }

    fn stop(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<(), Failure> {
        let leader = self.leading()?;
        self.leader = None;
        self.call(leader, |machine, cx| {
            machine.leader_stop(cx);
            Ok(())
        })?;
        if args.next_pos().is_some_and(|arg| arg == "lose") {
            self.inflight.clear();
        }
        Ok(())
    }

    fn turn_commit_wait(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<(), Failure> {
        let commit_wait = match args.next_pos() {
            Some("on") => CommitWait::On,
            Some("off") => CommitWait::UnsafeOff,
            _ => return Err("on or off?".into()),
        };
        for node in 0..2 {
            self.nodes[node].machine.set_commit_wait(commit_wait);
            self.call(node, |machine, cx| machine.tick(cx))?;
        }
        Ok(())
    }

    fn settings(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<(), Failure> {
        if let Some(epsilon) = args.take_key("epsilon") {
            self.epsilon = epsilon.parse::<u64>()? * MS;
        }
        if let Some(pipe) = args.take_key("pipe") {
            self.pipe = pipe == "yes";
        }
        let mut config = config();
        let mut changed = false;
        if args.take_key("commit_wait").is_some() {
            (config.commit_wait, changed) = (CommitWait::UnsafeOff, true);
        }
        if let Some(rows) = args.take_key("rows") {
            (config.reply_rows, changed) = (rows.parse()?, true);
        }
        if let Some(bytes) = args.take_key("entry") {
            (config.entry_bytes, changed) = (bytes.parse()?, true);
        }
        if let Some(keys) = args.take_key("slice") {
            (config.slice_keys, changed) = (keys.parse()?, true);
        }
        if let Some(slices) = args.take_key("slices") {
            (config.slices_in_log, changed) = (slices.parse()?, true);
        }
        if let Some(keys) = args.take_key("recent") {
            (config.recent_writes, changed) = (keys.parse()?, true);
        }
        if let Some(reads) = args.take_key("reads") {
            (config.parked_reads, changed) = (reads.parse()?, true);
        }
        if let Some(retention) = args.take_key("retention") {
            config.retention = Duration::from_millis(retention.parse()?);
            config.housekeeping = Duration::from_millis(100);
            (config.gc_step, changed) = (Duration::from_millis(1), true);
        }
        if let Some(life) = args.take_key("life") {
            (config.transaction_life, changed) = (Duration::from_millis(life.parse()?), true);
        }
        if changed {
            self.build(config);
        }
        Ok(())
    }

    fn lead(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<(), Failure> {
        let floor = args.take_key("floor").map(moment_of).transpose()?.unwrap_or_default();
        let lease = args.take_key("lease").map(moment_of).transpose()?;
        let node: usize = args.next_pos().map_or(Ok(1), |arg| arg.parse())?;
        // P7: everything is applied first.
        while self.apply(node - 1)? {}
        self.ballot = Ballot::new(self.ballot.round + 1, NodeId(u32::try_from(node)?));
        let (ballot, lease) = (self.ballot, lease.unwrap_or(Timestamp::from_wall(4000 * MS)));
        self.leader = Some(node - 1);
        self.call(node - 1, |machine, cx| machine.leader_start(cx, ballot, floor, lease))
    }

    fn leading(&self) -> Result<usize, Failure> {
        self.leader.ok_or_else(|| "nobody leads".into())
    }

    fn now(&self) -> Now {
        let tt = Interval { earliest: self.time - self.epsilon, latest: self.time + self.epsilon };
        Now { tt, mono: Mono(self.time) }
    }

    fn call(
        &mut self,
        node: usize,
        what: impl FnOnce(&mut Machine, &mut Cx<'_>) -> Result<(), storage::EngineError>,
    ) -> Result<(), Failure> {
        let now = self.now();
        let mut out = Outputs::default();
        let Node { machine, engine } = &mut self.nodes[node];
        let engine = engine.clone();
        let mut cx = Cx { now, reader: &engine, factory: &Programs, out: &mut out };
        what(machine, &mut cx)?;
        out.finish_scans(&engine);
        engine.write(std::mem::take(&mut out.batch))?;
        self.show(node, out)?;
        while let Some(bytes) = self.nodes[node].machine.next_proposal().cloned() {
            let slot = Slot((self.log.len() + self.inflight.len()) as u64 + 1);
            self.nodes[node].machine.proposed(slot);
            writeln!(self.text, "slot {}: {}", slot.0, logged(&Logged::decode(&bytes)?))?;
            self.inflight.push(bytes);
        }
        if self.pipe { Ok(()) } else { self.choose(usize::MAX) }
    }

    fn choose(&mut self, count: usize) -> Result<(), Failure> {
        for _ in 0..count {
            if self.inflight.is_empty() {
                break;
            }
            let bytes = self.inflight.remove(0);
            self.log.push((self.ballot, bytes, false));
            if let Some(leader) = self.leader {
                self.apply(leader)?;
            }
        }
        Ok(())
    }

    fn apply(&mut self, node: usize) -> Result<bool, Failure> {
        let Node { machine, engine } = &mut self.nodes[node];
        let next = usize::try_from(machine.applied().slot.0)?;
        let Some((first, bytes, void)) = self.log.get(next).cloned() else { return Ok(false) };
        let slot = Slot(next as u64 + 1);
        let entry = Chosen { slot, first, command: Some(bytes), void };
        let mut batch = WriteBatch::new();
        let child = machine.apply(engine, &entry, &mut batch)?;
        machine.write_applied(&mut batch);
        engine.write(batch)?;
        machine.flushed();
        if let Some(child) = child {
            writeln!(self.text, "born: {}", child.state.descriptor)?;
        }
        self.call(node, |machine, cx| machine.settle(cx))?;
        Ok(true)
    }

    fn send(&mut self, node: Option<usize>, request: Request) -> Result<(), Failure> {
        self.tokens += 1;
        let token = RequestToken(self.tokens);
        let node = match node {
            Some(node) => node,
            None => self.leading()?,
        };
        let deadline = self.now().mono.plus(Duration::from_millis(500));
        self.call(node, |machine, cx| machine.request(cx, token, request, deadline))?;
        let tag = format!("#{} ", self.tokens);
        if !self.text.lines().any(|line| line.starts_with(&tag)) {
            writeln!(self.text, "{tag}waits")?;
        }
        Ok(())
    }

    fn answer(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<(), Failure> {
        let node: usize = args.take_key("node").map_or(Ok(1), |node| node.parse())?;
        let committed = args.take_key("committed").map(moment_of).transpose()?;
        let waiters = args.take_key("waiters").map_or(Ok(Vec::new()), parse::txns)?;
        let clear = args.take_key("clear").map(parse::span);
        let holding = args.take_key("holding").map_or(Ok(Vec::new()), parse::txns)?;
        let ask = AskToken(args.next_pos().ok_or("which?")?.parse()?);
        let word = args.next_pos();
        let result = match (committed, word) {
            (None, None) if clear.is_some() => {
                let here = clear.expect("looked at just now");
                Ok(Reply::Acknowledged { here, holding })
            }
            (Some(at), _) => Ok(Reply::Outcome(Outcome::Committed(at))),
            (None, None) if !waiters.is_empty() => Ok(Reply::Waiters(waiters)),
            (None, Some("aborted")) => Ok(Reply::Outcome(Outcome::Aborted)),
            (None, Some("pending")) => Ok(Reply::Outcome(Outcome::Pending)),
            (None, Some("forgotten")) => Ok(Reply::Outcome(Outcome::Forgotten)),
            (None, _) => Err(KvError::AnswerLost { node: NodeId(9), cause: "lost".to_owned() }),
        };
        self.call(node - 1, |machine, cx| machine.answer(cx, ask, result))
    }

    fn show(&mut self, node: usize, out: Outputs) -> Result<(), Failure> {
        for (token, result) in out.replies {
            writeln!(self.text, "#{} {}", token.0, reply(&result))?;
        }
        for (ask, key, request) in out.asks {
            let what = match &request {
                Request::Push(push) => format!("push {} {}", name(push.txn.id), kind(&push.kind)),
                Request::Resolve(resolve) => {
                    format!("resolve {} {}", name(resolve.txn), resolution(resolve.outcome))
                }
                Request::Acknowledge(asked) => {
                    let part =
                        |part: &kv::Part| format!(" {}:{}", name(part.txn), show_span(&part.span));
                    format!("acknowledge{}", asked.parts.iter().map(part).collect::<String>())
                }
                other => format!("{other:?}"),
            };
            writeln!(
                self.text,
                "ask {} from node {} at {}: {what}",
                ask.0,
                node + 1,
                show_key(&key)
            )?;
        }
        if let Some(at) = out.close {
            writeln!(self.text, "closes {}", ts(at))?;
        }
        if let Some(to) = out.release {
            writeln!(self.text, "hands over to {to}")?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<(), Failure> {
        let machine = &self.nodes[self.leader.unwrap_or(0)].machine;
        let min_next = machine.min_next().map_or("none".to_owned(), ts);
        let (state, applied) = (machine.state(), machine.applied());
        writeln!(
            self.text,
            "{}, applied {} up to {}, threshold {}, min_next {min_next}",
            state.descriptor,
            applied.slot,
            ts(applied.max_timestamp),
            ts(state.gc_threshold)
        )?;
        Ok(())
    }

    fn data(&mut self, node: usize) -> Result<(), Failure> {
        let engine = &self.nodes[node].engine;
        let everything = Span::new("a", "z");
        let mut keys = Vec::new();
        engine.scan(Scan::new(Cf::Data, b"a", b"z"), &mut |key, _| {
            let mut user = Vec::new();
            storage::encoding::decode_into(key, &mut user).expect("a stored key");
            keys.push(Key::from_vec(user));
            true
        })?;
        keys.dedup();
        for key in keys {
            let mut at = Timestamp::MAX;
            while let Some(version) = mvcc::get(engine, &key, at)? {
                let value = version.value.map_or("deleted".to_owned(), |value| text(&value));
                writeln!(self.text, "{}@{} = {value}", show_key(&key), ts(version.ts))?;
                at = version.ts.prev();
            }
        }
        for (key, intent) in mvcc::intents_in_span(engine, &everything, 100)? {
            let value = intent.value.map_or("deleted".to_owned(), |value| text(&value));
            let (who, at) = (name(intent.txn), ts(intent.prepare));
            writeln!(self.text, "intent of {who} on {}@{at} = {value}", show_key(&key))?;
        }
        let (start, end) = records::bounds(&everything);
        let mut lines = Vec::new();
        engine.scan(Scan::new(Cf::Records, &start, &end), &mut |key, stored| {
            let (_, txn) = records::parse(key).expect("sound");
            let said = match Record::parse(key, stored).expect("sound").verdict {
                Verdict::Committed { at, .. } => format!("committed at {}", ts(at)),
                Verdict::Aborted(why) => format!("aborted: {}", conflict(&why)),
            };
            lines.push(format!("record of {}: {said}", name(txn)));
            true
        })?;
        lines.iter().try_for_each(|line| writeln!(self.text, "{line}"))?;
        Ok(())
    }
}

fn config() -> Config {
    let ms = Duration::from_millis;
    Config {
        // Scripts close time where they mean to.
        close_active: ms(200),
        close_idle: ms(1000),
        heartbeat_lapse: ms(300),
        wound_after: ms(60),
        housekeeping: ms(100_000),
        ..Config::default()
    }
}
