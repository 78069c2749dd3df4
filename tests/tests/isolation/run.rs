//! One run: the steps of a scenario in one order, each session on a node of another region.
//!
//! ```text
//!   order a1 b1 a2 b2:   issue a1, wait; issue b1: not done within BLOCKED, so it is left pending;
//!                        issue a2, wait (b1 may be released by it); issue b2; wait for all
//! ```
//!
//! A step of a session that is still pending waits in the session's queue, so every order ends. A
//! session that failed with a conflict runs nothing more but its end.

use std::{cell::Cell, rc::Rc, time::Duration};

use keys::NodeId;
use sim_regions::Cluster;
use sql::{Execution, Session, SqlError};
use timer::timeout;
use tokio::sync::{mpsc, watch};

use crate::spec::{Level, SessionSpec, Spec, Step};

/// A step that takes longer in virtual time waits for another transaction. The slowest commit over
/// three regions takes about 0.4 s.
const BLOCKED: Duration = Duration::from_millis(1500);

/// Virtual time after which a run is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// Steps that may wait in a session's queue: more than any session has.
const QUEUE: usize = 32;

/// The nodes that the sessions are on, in this order: one in each region, then a second one.
const GATEWAYS: [NodeId; 4] = [NodeId(1), NodeId(4), NodeId(7), NodeId(2)];

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// As it came for: it committed, or rolled back as it wanted to.
    Done,
    /// A statement of it failed for good, with this SQLSTATE: it rolled back, but what it saw must be
    /// explained.
    Failed(String),
    /// It lost a conflict (`40001`): it did nothing.
    Conflict,
}

/// What a session saw.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The result of each step up to the end or the failure.
    pub results: Vec<String>,
    /// How it ended.
    pub fate: Fate,
    /// The moment its first step began, by a counter over all sessions.
    pub began: u64,
    /// The moment its client knew of its end.
    pub ended: u64,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// By session.
    pub seen: Vec<Seen>,
    /// Names of steps that waited for another transaction.
    pub blocked: Vec<String>,
    /// The tables in the end.
    pub last: Vec<String>,
}

/// A session on a node.
pub fn session(cluster: &Cluster, node: NodeId) -> Session {
    let node = cluster.node(node).expect("no node is stopped");
    node.database().session(sql::SessionOptions::default()).expect("few sessions")
}

/// Runs statements that must not fail; their results.
pub async fn must(session: &mut Session, statements: &[String]) -> Vec<String> {
    let mut results = Vec::new();
    for sql in statements {
        let result = run(session, sql).await;
        results.push(result.unwrap_or_else(|error| panic!("{sql}: {error:?}")));
    }
    results
}

/// Runs one statement; its rows in no particular order, and its tag.
async fn run(session: &mut Session, sql: &str) -> Result<String, SqlError> {
    let mut result = String::new();
    let mut sink = |execution: Execution| {
        let mut rows = match &execution {
            Execution::Rows { rows, .. } => rows.iter().map(|row| format!("{row:?}")).collect(),
            Execution::Done { .. } => Vec::new(),
        };
        rows.sort_unstable();
        result = format!("{} {}", execution.tag(), rows.join(" "));
    };
    session.simple(sql, &mut sink).await?;
    Ok(result)
}

/// One session at work.
struct Worker {
    steps: mpsc::Sender<Step>,
    /// How many steps are done.
    done: watch::Receiver<usize>,
    /// How many were issued.
    issued: usize,
    end: tokio::task::JoinHandle<Seen>,
}

impl Worker {
    fn start(cluster: &Cluster, at: usize, spec: &SessionSpec, level: Level, now: Ticks) -> Worker {
        let (steps, queue) = mpsc::channel(QUEUE);
        let (told, done) = watch::channel(0);
        let session = session(cluster, GATEWAYS[at]);
        let begin = spec.is_block().then(|| format!("BEGIN ISOLATION LEVEL {}", level.sql()));
        let wanted = if spec.rolls_back() { "ROLLBACK " } else { "COMMIT " };
        let work = work(session, begin, wanted, queue, told, now);
        Worker { steps, done, issued: 0, end: tokio::task::spawn_local(work) }
    }

    async fn idle(&mut self) {
        let issued = self.issued;
        self.done.wait_for(|done| *done == issued).await.expect("a session tells of every step");
    }

    fn is_idle(&self) -> bool {
        *self.done.borrow() == self.issued
    }
}

/// Counts moments: what has a lower count was earlier.
#[derive(Clone, Debug, Default)]
struct Ticks(Rc<Cell<u64>>);

impl Ticks {
    fn next(&self) -> u64 {
        self.0.set(self.0.get() + 1);
        self.0.get()
    }
}

/// The life of a session: the steps it is sent, one after the other.
async fn work(
    mut session: Session,
    begin: Option<String>,
    wanted_end: &'static str,
    mut queue: mpsc::Receiver<Step>,
    told: watch::Sender<usize>,
    now: Ticks,
) -> Seen {
    let mut seen = Seen { results: Vec::new(), fate: Fate::Done, began: 0, ended: 0 };
    while let Some(step) = queue.recv().await {
        if seen.began == 0 {
            seen.began = now.next();
            if let Some(begin) = &begin {
                run(&mut session, begin).await.expect("a transaction begins");
            }
        }
        let is_end = matches!(step.sql.as_str(), "COMMIT" | "ROLLBACK");
        if seen.fate == Fate::Done || is_end {
            let result = run(&mut session, &step.sql).await;
            if seen.fate == Fate::Done {
                let is_right_end = |result: &String| !is_end || result == wanted_end;
                assert!(result.as_ref().is_ok_and(is_right_end) || result.is_err(), "{result:?}");
                note(&mut seen, result);
            }
        }
        seen.ended = now.next();
        told.send_modify(|done| *done += 1);
    }
    session.close().await;
    seen
}

fn note(seen: &mut Seen, result: Result<String, SqlError>) {
    match result {
        Ok(result) => seen.results.push(result),
        Err(error) => {
            let state = error.sqlstate.code();
            match &state[..2] {
                "40" if state == "40001" => seen.fate = Fate::Conflict,
                // Integrity, and locks that are not waited for.
                "23" | "55" => {
                    seen.results.push(format!("error {state}"));
                    seen.fate = Fate::Failed(state.to_owned());
                }
                _ => panic!("no isolation test provokes {error:?}"),
            }
        }
    }
}

/// Runs the steps in this order, after the rows were made anew.
///
/// # Panics
/// If a transaction is stuck, or a statement fails with what no scenario provokes.
pub async fn interleaved(cluster: &Cluster, spec: &Spec, level: Level, order: &[usize]) -> Outcome {
    let mut setup = session(cluster, NodeId(5));
    must(&mut setup, &spec.rows).await;
    let ticks = Ticks::default();
    let start = |(at, one)| Worker::start(cluster, at, one, level, ticks.clone());
    let mut workers: Vec<Worker> = spec.sessions.iter().enumerate().map(start).collect();
    let mut blocked = Vec::new();
    for next in order {
        let worker = &mut workers[*next];
        let step = &spec.sessions[*next].steps[worker.issued];
        worker.steps.try_send(step.clone()).expect("the queue has room");
        worker.issued += 1;
        if timeout(BLOCKED, all_idle(&mut workers)).await.is_err() && !workers[*next].is_idle() {
            blocked.push(step.name.clone());
        }
    }
    let ended = timeout(PATIENCE, all_idle(&mut workers)).await;
    assert!(ended.is_ok(), "{}: stuck in {}", spec.name, describe(spec, order));
    let mut seen = Vec::new();
    for worker in workers {
        drop(worker.steps);
        seen.push(worker.end.await.expect("a session does not panic"));
    }
    let last = must(&mut setup, &spec.last).await;
    setup.close().await;
    Outcome { seen, blocked, last }
}

async fn all_idle(workers: &mut [Worker]) {
    for worker in workers {
        worker.idle().await;
    }
}

/// The order by the names of its steps.
pub fn describe(spec: &Spec, order: &[usize]) -> String {
    let mut next = vec![0; spec.sessions.len()];
    let mut names = Vec::new();
    for session in order {
        names.push(spec.sessions[*session].steps[next[*session]].name.as_str());
        next[*session] += 1;
    }
    names.join(" ")
}
