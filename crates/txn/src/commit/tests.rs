//! Golden scripts of transactions over a wire that loses, delays and refuses messages.
//!
//! Three nodes; r2 [a - h), r3 [h - p), r4 [p - z) are led by n1, n2, n3; the gateway is on n1.
//! Every script ends with a look at who still holds locks.

mod bounds;
mod chaos;
mod trouble;
mod wire;

use std::{collections::BTreeMap, error::Error, sync::Arc, time::Duration};

use bytes::Bytes;
use clock::Timestamp;
use goldenscript::{Command, Context, Runner};
use keys::{Key, NodeId, RangeId, Span};
use kv::{KvError, LockWait, Push, PushKind, Request, TxnMeta};
use timer::Instant;
use tokio::runtime::Runtime;

use crate::{
    Coordinator, Isolation, Router, RouterConfig, Scan, Txn, TxnError, TxnOptions,
    naive::NaiveCluster, options::Config,
};
use wire::{Fate, Fault, Wire, conflict};

/// What a script can do. Each command prints the messages that went out meanwhile, in the order of
/// their answers, and then its result. `TXN` is any name.
#[derive(Debug, Command)]
enum Do {
    /// Begins: `begin TXN [isolation=serializable|repeatable_read|read_committed]
    /// [timeout=SECONDS]`.
    Begin {
        txn: String,
        #[arg(key)]
        isolation: Option<String>,
        #[arg(key)]
        timeout: Option<u64>,
    },
    /// Begins again after a conflict of this transaction, as a retry does: `retry TXN`.
    Retry(String),
    /// Reads a key: `get TXN KEY`.
    Get(String, String),
    /// Reads a span: `scan TXN START END [limit=N]`.
    Scan {
        txn: String,
        start: String,
        end: String,
        #[arg(key)]
        limit: Option<u64>,
    },
    /// Buffers writes: `put TXN KEY...`; the value is the transaction's name.
    Put(String, Vec<String>),
    /// Locks keys: `lock TXN KEY...`.
    Lock(String, Vec<String>),
    /// Locks a key or fails: `lock_nowait TXN KEY`.
    LockNowait(String, String),
    /// Commits: `commit TXN`.
    Commit(String),
    /// Commits, and the client is gone half-way: `commit_and_leave TXN after=MILLIS`.
    CommitAndLeave {
        txn: String,
        #[arg(key)]
        after: u64,
    },
    /// Rolls back: `rollback TXN`.
    Rollback(String),
    /// The client is gone: `drop TXN`.
    Drop(String),
    /// What befalls the next message of a kind: `fault KIND FATE [range=N] [times=N]`. Fates:
    /// `lost`, `answer_lost`, `conflict=KEY`, `overloaded`, `bound_passed`, `late=MILLIS`,
    /// `split=KEY child=RANGE`.
    Fault {
        kind: String,
        fate: Option<String>,
        #[arg(key)]
        range: Option<u64>,
        #[arg(key)]
        times: Option<u32>,
        #[arg(key)]
        conflict: Option<String>,
        #[arg(key)]
        late: Option<u64>,
        #[arg(key)]
        split: Option<String>,
        #[arg(key)]
        child: Option<u64>,
    },
    /// Aborts a transaction through its record, as an older waiter does: `poison TXN KEY`, with a
    /// key of its anchor's range.
    Poison(String, String),
    /// Moves a range's leader: `leader RANGE NODE`.
    Leader(u64, u32),
    /// A node stops answering: `crash NODE`.
    Crash(u32),
    /// It answers again: `restart NODE`.
    Restart(u32),
    /// Time passes: `sleep MILLIS`.
    Sleep(u64),
    /// The newest value of keys, and how many transactions hold locks or intents: `look KEY...`.
    Look(Vec<String>),
}

/// The gateway under a script.
struct Script {
    runtime: Runtime,
    cluster: Arc<NaiveCluster>,
    wire: Arc<Wire>,
    coordinator: Arc<Coordinator>,
    txns: BTreeMap<String, Txn>,
    /// Options of the next attempt, by transaction that failed.
    again: BTreeMap<String, TxnOptions>,
}

impl Script {
    fn new() -> Script {
        let boundaries = ["a", "h", "p", "z"].map(Key::from);
        let cluster = NaiveCluster::new(3, &boundaries, None);
        let wire = Arc::new(Wire::new(cluster.clone()));
        let clock = cluster.clock();
        let router = Router::new(wire.clone(), clock.clone(), RouterConfig::default(), 1);
        let coordinator = Coordinator::new(router.clone(), clock, Config::default(), 1);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let whole = Span::new("a", "z");
        runtime.block_on(async {
            let deadline = Instant::now() + Duration::from_secs(1);
            router.ranges_of(&whole, deadline).await.expect("the directory is filled in");
        });
        wire.take_notes();
        let (txns, again) = (BTreeMap::new(), BTreeMap::new());
        Script { runtime, cluster, wire, coordinator, txns, again }
    }

    /// Lets what goes on behind answers come to its end, as far as it needs no time.
    fn settle(&self) {
        self.sleep(Duration::from_millis(1));
    }

    fn sleep(&self, time: Duration) {
        self.runtime.block_on(async { timer::sleep(time).await });
    }

    fn txn(&mut self, name: &str) -> Result<&mut Txn, Box<dyn Error>> {
        self.txns.get_mut(name).ok_or_else(|| format!("no transaction {name}").into())
    }

    fn begin(&mut self, name: &str, options: TxnOptions, timeout: Option<u64>) {
        let timeout = timeout.map(Duration::from_secs);
        let txn = self.runtime.block_on(async {
            let mut txn = self.coordinator.begin(options);
            txn.set_deadline(timeout.map(|timeout| Instant::now() + timeout));
            txn
        });
        self.txns.insert(name.to_owned(), txn);
    }

    fn finished(&mut self, name: &str, mut txn: Txn, error: &TxnError) -> String {
        if let Some(conflict) = error.conflict() {
            let options = TxnOptions {
                priority: Some(txn.priority()),
                pessimistic: txn.contended_keys(conflict, 10),
                ..TxnOptions::default()
            };
            self.again.insert(name.to_owned(), options);
        }
        self.runtime.block_on(txn.rollback());
        format!("{} {}", error.sqlstate(), without_timestamps(&error.to_string()))
    }

    fn commit(&mut self, name: &str) -> Result<String, Box<dyn Error>> {
        let mut txn = self.txns.remove(name).ok_or("no such transaction")?;
        let above = txn.read_timestamp();
        let begun = self.runtime.block_on(async { Instant::now() });
        let result = self.runtime.block_on(txn.commit());
        let took = self.runtime.block_on(async { begun.elapsed() });
        let took = if took.is_zero() { String::new() } else { format!(" after {took:?}") };
        Ok(match result {
            Ok(info) if info.participants == 0 && Some(info.at) == above => {
                format!("ok, nothing written{took}")
            }
            Ok(info) => {
                assert!(Some(info.at) > above, "s is above t_r (X3a)");
                format!("ok, {} participants{took}", info.participants)
            }
            Err(error) => format!("{}{took}", self.finished(name, txn, &error)),
        })
    }

    fn lock(&mut self, name: &str, keys: &[String], wait: LockWait) -> String {
        let keys = keys.iter().map(|key| key.as_str().into()).collect();
        let txn = self.txns.get_mut(name).expect("begun");
        match self.runtime.block_on(txn.lock(keys, wait)) {
            Ok(moved) => format!("{} moved", moved.len()),
            Err(error @ TxnError::LockBusy { .. }) => error.sqlstate().to_owned(),
            Err(error) => {
                let txn = self.txns.remove(name).expect("begun");
                self.finished(name, txn, &error)
            }
        }
    }

    fn read(&mut self, name: &str, scan: Scan) -> Result<String, Box<dyn Error>> {
        let mut txn = self.txns.remove(name).ok_or("no such transaction")?;
        match self.runtime.block_on(txn.read(vec![scan])) {
            Ok(mut rows) => {
                self.txns.insert(name.to_owned(), txn);
                let rows = rows.remove(0).rows;
                let row = |(key, value): (Key, Bytes)| {
                    format!(" {}={}", key.escape_ascii(), value.escape_ascii())
                };
                Ok(format!("rows:{}", rows.into_iter().map(row).collect::<String>()))
            }
            Err(error) => Ok(self.finished(name, txn, &error)),
        }
    }

    fn commit_and_leave(&mut self, name: &str, after: u64) -> Result<(), Box<dyn Error>> {
        let mut txn = self.txns.remove(name).ok_or("no such transaction")?;
        self.runtime.block_on(async move {
            let left = timer::timeout(Duration::from_millis(after), txn.commit()).await;
            assert!(left.is_err(), "it was done before: {left:?}");
        });
        Ok(())
    }

    fn poison(&mut self, name: &str, anchor: &str) -> Result<(), Box<dyn Error>> {
        let router = self.coordinator.router().clone();
        let (id, anchor) = (self.txn(name)?.id(), Key::from(anchor));
        let meta = TxnMeta { id, anchor, priority: Timestamp::ZERO, start: Timestamp::ZERO };
        let push = Request::Push(Push { txn: meta.clone(), kind: PushKind::Owner });
        self.runtime.block_on(async {
            let deadline = Instant::now() + Duration::from_secs(1);
            router.send_to_key(&meta.anchor, push, deadline).await
        })?;
        Ok(())
    }

    fn look(&self, keys: &[String]) -> String {
        let value = |key: &String| {
            let value = self.cluster.newest(&key.as_str().into());
            let value = value.map_or("nothing".to_owned(), |v| v.escape_ascii().to_string());
            format!("{key}={value} ")
        };
        let values: String = keys.iter().map(value).collect();
        format!("{values}holders={}", self.cluster.holders().len())
    }

    fn perform(&mut self, command: &Do) -> Result<String, Box<dyn Error>> {
        match command {
            Do::Begin { txn, isolation, timeout } => {
                let isolation = level(isolation.as_deref())?;
                let options = TxnOptions { isolation, ..TxnOptions::default() };
                self.begin(txn, options, *timeout);
            }
            Do::Retry(txn) => {
                let options = self.again.remove(txn).ok_or("it had no conflict")?;
                self.begin(txn, options, None);
            }
            Do::Get(txn, key) => return self.read(txn, Scan::point(key.as_str().into())),
            Do::Scan { txn, start, end, limit } => {
                let span = Span::new(start.as_str(), end.as_str());
                return self.read(txn, Scan { limit: *limit, ..Scan::all(span) });
            }
            Do::Put(name, keys) => {
                let value = Bytes::copy_from_slice(name.as_bytes());
                for key in keys {
                    self.txn(name)?.put(key.as_str().into(), value.clone())?;
                }
            }
            Do::Lock(txn, keys) => return Ok(self.lock(txn, keys, LockWait::Wait)),
            Do::LockNowait(txn, key) => {
                return Ok(self.lock(txn, std::slice::from_ref(key), LockWait::NoWait));
            }
            Do::Commit(txn) => return self.commit(txn),
            Do::CommitAndLeave { txn, after } => self.commit_and_leave(txn, *after)?,
            Do::Rollback(txn) => {
                let mut txn = self.txns.remove(txn).ok_or("no such transaction")?;
                self.runtime.block_on(txn.rollback());
            }
            Do::Drop(txn) => {
                let txn = self.txns.remove(txn).ok_or("no such transaction")?;
                self.runtime.block_on(async move { drop(txn) });
            }
            Do::Fault { kind, fate, range, times, conflict: key, late, split, child } => {
                let fate = match (split, child) {
                    (Some(at), Some(child)) => Fate::Split(at.as_str().into(), RangeId(*child)),
                    _ => fate_of(fate.as_deref(), key.as_deref(), *late)?,
                };
                let (kind, range) = (kind.clone(), range.map(RangeId));
                self.wire.add(Fault { kind, range, times: times.unwrap_or(1), fate });
            }
            Do::Poison(txn, anchor) => self.poison(txn, anchor)?,
            Do::Leader(range, node) => self.cluster.set_leader(RangeId(*range), NodeId(*node)),
            Do::Crash(node) => self.cluster.crash(NodeId(*node)),
            Do::Restart(node) => self.cluster.restart(NodeId(*node)),
            Do::Sleep(millis) => {
                self.sleep(Duration::from_millis(*millis));
            }
            Do::Look(keys) => return Ok(self.look(keys)),
        }
        Ok(String::new())
    }
}

fn level(name: Option<&str>) -> Result<Isolation, Box<dyn Error>> {
    match name {
        None | Some("serializable") => Ok(Isolation::Serializable),
        Some("repeatable_read") => Ok(Isolation::RepeatableRead),
        Some("read_committed") => Ok(Isolation::ReadCommitted),
        Some(other) => Err(format!("no isolation level {other}").into()),
    }
}

fn fate_of(
    fate: Option<&str>,
    key: Option<&str>,
    late: Option<u64>,
) -> Result<Fate, Box<dyn Error>> {
    if let Some(key) = key {
        return Ok(Fate::Refused(KvError::Conflict(conflict(key))));
    }
    if let Some(millis) = late {
        return Ok(Fate::Late(Duration::from_millis(millis)));
    }
    match fate {
        Some("lost") => Ok(Fate::Lost),
        Some("answer_lost") => Ok(Fate::AnswerLost),
        Some("overloaded") => Ok(Fate::Refused(KvError::Overloaded("busy".to_owned()))),
        Some("bound_passed") => Ok(Fate::Refused(KvError::BoundPassed { below: Timestamp::ZERO })),
        other => Err(format!("no fate {other:?}").into()),
    }
}

/// Timestamps would change with every reading of the clock more or less.
fn without_timestamps(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let is_timestamp = word.len() > 20 && word.contains('.') && word.starts_with("15778");
        if is_timestamp { "TS" } else { word }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Each line once, where it came first, with the number of times.
fn folded(notes: Vec<String>) -> Vec<String> {
    let mut lines: Vec<(String, u32)> = Vec::new();
    for note in notes {
        match lines.iter_mut().find(|(line, _)| *line == note) {
            Some((_, times)) => *times += 1,
            None => lines.push((note, 1)),
        }
    }
    let shown = |(line, times)| if times == 1 { line } else { format!("{line} ({times} times)") };
    lines.into_iter().map(shown).collect()
}

impl Runner for Script {
    type Command = Do;

    fn run(&mut self, command: &Do, _: &Context) -> Result<String, Box<dyn Error>> {
        let result = self.perform(command)?;
        let mut lines = folded(self.wire.take_notes());
        lines.push(result);
        self.settle();
        let behind = folded(self.wire.take_notes());
        lines.extend(behind.into_iter().map(|note| format!("  behind: {note}")));
        lines.retain(|line| !line.is_empty());
        Ok(lines.join("\n"))
    }
}

#[test]
fn scripts() {
    crate::scripts::run_all("testscripts/commit", Script::new);
}
