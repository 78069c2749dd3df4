//! Clients that record what they asked and heard, over connections to all gateways.
//!
//! ```text
//!   invoked ── BEGIN, statements ──┬── COMMIT ──┬── ok         then its timestamps are asked for
//!                                  │            ├── fail       any error but 40003
//!                                  │            └── unknown    40003, or the connection broke
//!                                  └── fail: an error, or the connection broke: nothing was committed
//! ```

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use checker::{Action, History, Nanos, Operation, Outcome, Stamp, Timestamps};
use rand::{RngExt as _, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_postgres::{Client, Error, SimpleQueryMessage};

use super::{
    placing::place,
    plan::{GROUPS, Plan, heard, schema, statement},
};
use crate::workload::{
    Stop,
    client::{Connection, Failure, at_commit, before_commit, connect},
};

/// Clients per gateway.
const CLIENTS_PER_GATEWAY: usize = 2;

/// The most clients.
const MOST_CLIENTS: usize = 32;

/// The most transactions of a history; then its clients rest.
const MOST_OPERATIONS: usize = 50_000;

/// How long the answers of a transaction are waited for before its connection counts as broken.
const PATIENCE: Duration = Duration::from_secs(25);

/// The pause after a transaction that failed.
const PAUSE: Duration = Duration::from_millis(20);

/// Tries to read back what was written last.
const READ_BACK_TRIES: u32 = 5;

/// A history that is being recorded.
pub struct Recording {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

struct Shared {
    urls: Vec<String>,
    started: Instant,
    stop: Stop,
    /// The last value that was written: none is written twice.
    value: AtomicI64,
    /// Transactions begun.
    begun: AtomicI64,
    operations: Mutex<Vec<Operation>>,
}

impl Recording {
    /// Makes the tables, each group led by another node, and sets clients to work.
    pub async fn start(urls: Vec<String>) -> anyhow::Result<Recording> {
        let mut leading = BTreeMap::new();
        for group in 0..GROUPS {
            let at = usize::try_from(group).expect("few") * urls.len() / GROUPS as usize;
            let client = connect(&urls[at]).await?;
            client.batch_execute(&schema(group)).await.context("make the tables of \\check")?;
            place(&client, group, &mut leading).await.context("place the tables of \\check")?;
        }
        let shared = Arc::new(Shared {
            urls,
            started: Instant::now(),
            stop: Stop::default(),
            value: AtomicI64::new(0),
            begun: AtomicI64::new(0),
            operations: Mutex::default(),
        });
        let count = (shared.urls.len() * CLIENTS_PER_GATEWAY).min(MOST_CLIENTS);
        let mut clients = JoinSet::new();
        for process in 0..count as u64 {
            clients.spawn(client(Arc::clone(&shared), process));
        }
        Ok(Recording { shared, clients })
    }

    /// How many clients there are.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Ends it: how long it took, and the history.
    pub async fn end(mut self) -> (Duration, History) {
        let lasted = self.shared.started.elapsed();
        self.shared.stop.now();
        while self.clients.join_next().await.is_some() {}
        read_back(&self.shared).await;
        let mut operations = std::mem::take(
            &mut *self.shared.operations.lock().unwrap_or_else(PoisonError::into_inner),
        );
        for (index, operation) in (0..).zip(&mut operations) {
            operation.index = index;
        }
        (lasted, History { ops: operations, ..History::default() })
    }
}

impl Shared {
    fn now(&self) -> Nanos {
        Nanos(u64::try_from(self.started.elapsed().as_nanos()).expect("less than 584 years"))
    }

    /// Keeps an operation; `false`: enough is enough.
    fn keep(&self, operation: Operation) -> bool {
        let mut operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        operations.push(operation);
        operations.len() < MOST_OPERATIONS
    }
}

async fn client(shared: Arc<Shared>, process: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(process);
    let number = u32::try_from(process).expect("few clients");
    let mut connection = Connection::new(&shared.urls, number);
    while !shared.stop.is_asked() {
        let Some((client, _)) = connection.get().await else { continue };
        let begun = shared.begun.fetch_add(1, Ordering::Relaxed);
        let plan = Plan::draw(&mut rng, begun, || shared.value.fetch_add(1, Ordering::Relaxed) + 1);
        let operation = transact(&shared, client, process, plan).await;
        let outcome = operation.outcome;
        let more = shared.keep(operation);
        if outcome != Outcome::Ok {
            let broken = timeout(PATIENCE, client.batch_execute("ROLLBACK")).await;
            if !matches!(broken, Ok(Ok(()))) {
                connection.drop_it();
            }
            // Clients that collide should not go on colliding in step.
            sleep(PAUSE.mul_f64(rng.random())).await;
        }
        if !more {
            return;
        }
    }
}

/// Runs a transaction and tells what came of it.
async fn transact(shared: &Shared, client: &Client, process: u64, plan: Plan) -> Operation {
    let invoked = shared.now();
    let wrote = plan.writes();
    let statements: Vec<String> = plan.ops.iter().map(statement).collect();
    let body = format!("BEGIN; {}", statements.join("; "));
    let mut ops = plan.ops;
    let mut note = None;
    let ran = match timeout(PATIENCE, client.simple_query(&body)).await {
        Err(_) => Err("no answer".to_owned()),
        Ok(Err(error)) => Err(told(&error, &before_commit(&error))),
        Ok(Ok(messages)) => listen(ops.clone(), messages).map(|read| ops = read),
    };
    let outcome = match ran {
        Err(why) => {
            note = Some(why);
            Outcome::Fail
        }
        Ok(()) => match timeout(PATIENCE, client.batch_execute("COMMIT")).await {
            Ok(Ok(())) => Outcome::Ok,
            Err(_) => {
                note = Some("no answer to COMMIT".to_owned());
                Outcome::Unknown
            }
            Ok(Err(error)) => {
                let failure = at_commit(&error);
                note = Some(told(&error, &failure));
                match failure {
                    Failure::Unknown | Failure::Disconnected => Outcome::Unknown,
                    Failure::Retry | Failure::Failed(_) => Outcome::Fail,
                }
            }
        },
    };
    let completed = shared.now();
    let mut operation = Operation::txn(0, process, (invoked, completed), Vec::new());
    (operation.workload, operation.outcome, operation.action) =
        (plan.workload, outcome, Action::Txn(ops));
    match outcome {
        Outcome::Ok => operation.timestamps = timestamps(client, wrote).await,
        Outcome::Unknown => operation.completed = None,
        Outcome::Fail => {}
    }
    let gateway = &shared.urls[process as usize % shared.urls.len()];
    let gateway = gateway.trim_start_matches("postgresql://root@").trim_end_matches("/meridian");
    operation.note = Some(match note {
        None => gateway.into(),
        Some(note) => format!("{gateway}: {note}").into(),
    });
    operation
}

fn told(error: &Error, failure: &Failure) -> String {
    match (failure, error.as_db_error()) {
        (_, Some(db)) => format!("{} {}", db.code().code(), db.message()),
        (_, None) => error.to_string(),
    }
}

/// The operations with what they saw. The first answer is that of BEGIN.
fn listen(
    ops: Vec<checker::MicroOp>,
    messages: Vec<SimpleQueryMessage>,
) -> Result<Vec<checker::MicroOp>, String> {
    let mut answers: Vec<Vec<String>> = vec![Vec::new()];
    for message in messages {
        match message {
            SimpleQueryMessage::Row(row) => {
                let value = row.get(0).ok_or("NULL was read where none is written")?;
                answers.last_mut().expect("never empty").push(value.to_owned());
            }
            SimpleQueryMessage::CommandComplete(_) => answers.push(Vec::new()),
            // Descriptions of rows.
            _ => {}
        }
    }
    if answers.len() != ops.len() + 2 {
        return Err(format!("{} answers to {} statements", answers.len() - 1, ops.len() + 1));
    }
    ops.into_iter().zip(&answers[1..]).map(|(op, rows)| heard(op, rows)).collect()
}

/// What the gateway says about the transaction that has just been acknowledged.
async fn timestamps(client: &Client, wrote: bool) -> Timestamps {
    let query = "SHOW COMMIT TIMESTAMP; SHOW READ TIMESTAMP";
    let Ok(Ok(messages)) = timeout(PATIENCE, client.simple_query(query)).await else {
        return Timestamps::default();
    };
    let mut stamps = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).and_then(stamp)),
        _ => None,
    });
    let (commit, read) = (stamps.next().flatten(), stamps.next().flatten());
    Timestamps { commit: commit.filter(|_| wrote), read }
}

/// `1795344897903652051.0000000003`.
fn stamp(text: &str) -> Option<Stamp> {
    let (wall, logical) = text.split_once('.')?;
    Some(Stamp { wall: wall.parse().ok()?, logical: logical.parse().ok()? })
}

/// Reads everything once more, so that what was acknowledged and lost is missed.
async fn read_back(shared: &Shared) {
    let process = u64::from(u32::MAX);
    let mut connection = Connection::new(&shared.urls, 0);
    for plan in Plan::read_back(shared.begun.load(Ordering::Relaxed)) {
        for _ in 0..READ_BACK_TRIES {
            let Some((client, _)) = connection.get().await else { continue };
            let operation = transact(shared, client, process, plan.clone()).await;
            let done = operation.outcome == Outcome::Ok;
            shared.keep(operation);
            if done {
                break;
            }
            connection.drop_it();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_read() {
        let expected = Some(Stamp { wall: 1_795_344_897_903_652_051, logical: 3 });
        assert_eq!(stamp("1795344897903652051.0000000003"), expected);
        assert_eq!(stamp("soon"), None);
    }
}
