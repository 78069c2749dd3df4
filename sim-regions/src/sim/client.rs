//! A client: SQL sessions through a node of its region, and an honest record of what it heard.
//!
//! ```text
//!   began ── BEGIN, reads, writes ──┬── COMMIT ──┬── ok         acknowledged
//!                                   │            ├── fail       any error but 40003: it did not happen
//!                                   │            └── unknown    40003, or the node died meanwhile
//!                                   └── fail: an error, or the node died: nothing was committed
//! ```
//!
//! What counts as a failure is what the database promises: an error other than `40003` means not
//! committed. The checkers hold it to that.

use std::{sync::Arc, time::Duration};

use checker::{
    Action, Call, MicroOp, Nanos, Operation, Outcome, Stamp, Timestamps, Value, Workload,
};
use keys::NodeId;
use rand_chacha::ChaCha8Rng;
use sql::{Datum, Execution, Session, SessionOptions, SqlError, SqlState};
use timer::{sleep, timeout};

use super::world::{Alive, World};

/// How long a statement may take on the node.
const STATEMENT_TIMEOUT: &str = "8s";

/// How long a client waits for an answer before it takes the connection for broken.
const PATIENCE: Duration = Duration::from_secs(25);

/// How long a client waits when no node can be reached.
const RECONNECT: Duration = Duration::from_millis(200);

/// A client, which does one thing at a time.
pub struct Client {
    /// Its name in the history. After an unknown outcome it goes on under the same name.
    pub process: u64,
    /// Where it decides what to do.
    pub rng: ChaCha8Rng,
    world: World,
    home: NodeId,
    region: String,
    connected: Option<Connected>,
    whim: Option<Whim>,
}

/// What a client does in the midst of its next statement, so long after it began.
#[derive(Clone, Copy, Debug)]
pub enum Whim {
    /// It asks for the statement to be cancelled, and waits for the answer.
    Cancel(Duration),
    /// It goes away without a word.
    HangUp(Duration),
}

struct Connected {
    id: NodeId,
    node: Alive,
    session: Session,
}

/// Why a statement gave nothing.
#[derive(Debug)]
pub enum Failure {
    /// The database said so.
    Sql(SqlError),
    /// Nobody could be asked: all nodes are down, or the one with the transaction died before.
    Unreachable,
    /// It was asked, and died or did not answer in time: who knows what it did.
    Silent(&'static str),
}

impl Failure {
    fn note(&self) -> String {
        match self {
            Failure::Sql(error) => format!("{} {}", error.sqlstate.code(), error.message),
            Failure::Unreachable => "no node to ask".to_owned(),
            Failure::Silent(why) => (*why).to_owned(),
        }
    }
}

/// How a transaction begins.
#[derive(Clone, Debug)]
pub struct Begin {
    /// What follows `BEGIN`: isolation level, `READ ONLY`, `AS OF SYSTEM TIME`.
    pub mode: String,
    /// How far in the past it reads, at most.
    pub staleness: Option<Duration>,
}

/// A transaction at work: its micro-operations so far.
pub struct Transaction<'a> {
    client: &'a mut Client,
    done: Vec<MicroOp>,
}

impl Client {
    /// A client at home on a node.
    pub fn new(world: World, process: u64, home: (NodeId, String), rng: ChaCha8Rng) -> Client {
        let (home, region) = home;
        Client { process, rng, world, home, region, connected: None, whim: None }
    }

    /// Does this in the midst of the next statement.
    pub fn take_whim(&mut self, whim: Whim) {
        self.whim = Some(whim);
    }

    /// The time since the beginning.
    pub fn now(&self) -> Nanos {
        self.world.now()
    }

    /// Runs a transaction and records it. Answers whether it was acknowledged.
    pub async fn transact(
        &mut self,
        workload: Workload,
        begin: Begin,
        body: impl AsyncFnOnce(&mut Transaction<'_>) -> Result<(), Failure>,
    ) -> Outcome {
        let invoked = self.world.now();
        let mut transaction = Transaction { client: self, done: Vec::new() };
        let mut ran = transaction.client.execute(&format!("BEGIN {}", begin.mode)).await.map(drop);
        if ran.is_ok() {
            ran = body(&mut transaction).await;
        }
        let done = transaction.done;
        let node = self.connected.as_ref().map_or(self.home, |connected| connected.id);
        let (outcome, trouble) = match ran {
            Err(failure) => {
                // Nothing is committed before COMMIT; what remains of it ends with the session.
                if self.within("ROLLBACK").await.is_err() {
                    self.hang_up().await;
                }
                (Outcome::Fail, Some(failure))
            }
            Ok(()) => match self.within("COMMIT").await {
                Ok(_) => (Outcome::Ok, None),
                Err(failure) => (outcome_of(&failure), Some(failure)),
            },
        };
        let wrote = done.iter().any(MicroOp::is_write);
        let timestamps = match outcome {
            Outcome::Ok => self.timestamps(wrote),
            Outcome::Fail | Outcome::Unknown => Timestamps::default(),
        };
        self.record(invoked, workload, outcome, Action::Txn(done), |operation| {
            operation.timestamps = timestamps;
            operation.staleness = begin.staleness.map(|bound| Nanos(bound.as_nanos() as u64));
            operation.note = Some(note(node, trouble.as_ref()));
        });
        outcome
    }

    /// One call on one register, as a single statement, and its record.
    pub async fn call(&mut self, key: &str, call: Call) -> Outcome {
        let invoked = self.world.now();
        let (table, quoted) = (register_table(key), quote(key));
        let number = |value: &Value| value.as_int().expect("registers hold integers");
        let text = match &call {
            Call::Read(_) => format!("SELECT v FROM {table} WHERE k = {quoted}"),
            Call::Write(value) => upsert(&table, &quoted, number(value)),
            Call::CompareAndSet { from, to } => format!(
                "UPDATE {table} SET v = {} WHERE k = {quoted} AND v = {}",
                number(to),
                number(from)
            ),
            Call::Add(_) | Call::Acquire | Call::Release => panic!("no workload does {call:?}"),
        };
        let heard = self.execute(&text).await;
        let node = self.connected.as_ref().map_or(self.home, |connected| connected.id);
        let (outcome, call, trouble) = match (heard, call) {
            (Ok(execution), Call::Read(_)) => {
                (Outcome::Ok, Call::Read(Some(register_of(&execution))), None)
            }
            (Ok(execution), call @ Call::CompareAndSet { .. }) if execution.tag() == "UPDATE 0" => {
                (Outcome::Fail, call, None)
            }
            (Ok(_), call) => (Outcome::Ok, call, None),
            (Err(failure), call) => (outcome_of(&failure), call, Some(failure)),
        };
        let action = Action::Register { key: key.into(), call };
        self.record(invoked, Workload::Register, outcome, action, |operation| {
            operation.note = Some(note(node, trouble.as_ref()));
        });
        outcome
    }

    fn record(
        &self,
        invoked: Nanos,
        workload: Workload,
        outcome: Outcome,
        action: Action,
        more: impl FnOnce(&mut Operation),
    ) {
        let completed = self.world.now();
        let mut operation = Operation::txn(0, self.process, (invoked, completed), Vec::new());
        if outcome == Outcome::Unknown {
            operation.completed = None;
        }
        (operation.workload, operation.outcome, operation.action) = (workload, outcome, action);
        more(&mut operation);
        self.world.record(operation);
    }

    /// Runs statements that belong to no history, again until they succeed.
    pub async fn insist(&mut self, text: &str) -> Vec<Execution> {
        loop {
            match self.execute_all(text).await {
                Ok(executions) => return executions,
                Err(failure) => {
                    tracing::debug!("{text}: {}", failure.note());
                    sleep(RECONNECT).await;
                }
            }
        }
    }

    /// Runs statements that belong to no history.
    ///
    /// # Errors
    /// What the database says, or that nobody answered.
    pub async fn execute_all(&mut self, text: &str) -> Result<Vec<Execution>, Failure> {
        self.connect().await?;
        self.ask(text).await
    }

    /// Runs statements over the connection there is. A transaction goes on in its own session or
    /// not at all: in a new one its statements would commit one by one.
    async fn ask(&mut self, text: &str) -> Result<Vec<Execution>, Failure> {
        let connected = self.connected.as_mut().filter(|connected| connected.node.lives());
        let Some(connected) = connected else { return Err(Failure::Unreachable) };
        let (node, whim) = (connected.node.clone(), self.whim.take());
        let cancel = connected.session.cancel_handle();
        let whims = async move {
            match whim {
                Some(Whim::Cancel(after)) => {
                    sleep(after).await;
                    cancel.cancel();
                    std::future::pending().await
                }
                Some(Whim::HangUp(after)) => sleep(after).await,
                None => std::future::pending().await,
            }
        };
        let mut executions = Vec::new();
        let mut sink = |execution| executions.push(execution);
        // Whatever the node does for a session freezes and dies with the node.
        let statement = node.freezer.wrap(connected.session.simple(text, &mut sink));
        let ended = tokio::select! {
            biased;
            () = node.death() => Err("the node died"),
            ended = timeout(PATIENCE, statement) => ended.map_err(|_| "nobody answered"),
            () = whims => Err("the client went away"),
        };
        match ended {
            Ok(Ok(())) => Ok(executions),
            Ok(Err(error)) => Err(Failure::Sql(error)),
            Err(why) => {
                self.connected = None;
                Err(Failure::Silent(why))
            }
        }
    }

    async fn execute(&mut self, text: &str) -> Result<Execution, Failure> {
        let mut executions = self.execute_all(text).await?;
        Ok(executions.pop().expect("every statement has a result"))
    }

    /// A statement of the transaction that was begun, in a session that keeps no history.
    ///
    /// # Errors
    /// What the database says, or that nobody answered.
    pub async fn go_on(&mut self, text: &str) -> Result<(), Failure> {
        self.ask(text).await.map(drop)
    }

    /// A statement of the transaction that was begun.
    async fn within(&mut self, text: &str) -> Result<Execution, Failure> {
        let mut executions = self.ask(text).await?;
        Ok(executions.pop().expect("every statement has a result"))
    }

    /// Connects unless connected: home, else nearby, else anywhere.
    async fn connect(&mut self) -> Result<(), Failure> {
        if self.connected.as_ref().is_some_and(|connected| connected.node.lives()) {
            return Ok(());
        }
        self.connected = None;
        let Some((id, node)) = self.world.nearest(self.home, &self.region) else {
            sleep(RECONNECT).await;
            return Err(Failure::Unreachable);
        };
        let mut options = SessionOptions::default();
        options.parameters.push(("statement_timeout".into(), STATEMENT_TIMEOUT.into()));
        let session = node.database.session(options).map_err(Failure::Sql)?;
        self.connected = Some(Connected { id, node, session });
        Ok(())
    }

    /// Ends the session, as far as the node can still be reached.
    pub async fn hang_up(&mut self) {
        if let Some(Connected { node, session, .. }) = self.connected.take() {
            tokio::select! {
                biased;
                () = node.death() => {}
                _ = timeout(PATIENCE, node.freezer.wrap(session.close())) => {}
            }
        }
    }

    fn timestamps(&self, wrote: bool) -> Timestamps {
        let Some(connected) = &self.connected else { return Timestamps::default() };
        let (commit, read) = connected.session.timestamps();
        let stamp = |at: clock::Timestamp| Stamp { wall: at.wall, logical: at.logical };
        Timestamps { read: read.map(stamp), commit: commit.filter(|_| wrote).map(stamp) }
    }
}

/// An error other than 40003 means not committed; silence means nothing.
fn outcome_of(failure: &Failure) -> Outcome {
    match failure {
        Failure::Sql(error) if error.sqlstate == SqlState::STATEMENT_COMPLETION_UNKNOWN => {
            Outcome::Unknown
        }
        Failure::Sql(_) | Failure::Unreachable => Outcome::Fail,
        Failure::Silent(_) => Outcome::Unknown,
    }
}

fn note(node: NodeId, trouble: Option<&Failure>) -> Arc<str> {
    match trouble {
        None => node.to_string().into(),
        Some(failure) => format!("{node}: {}", failure.note()).into(),
    }
}

impl Transaction<'_> {
    /// Does this in the midst of the next statement.
    pub fn take_whim(&mut self, whim: Whim) {
        self.client.take_whim(whim);
    }

    /// Where the client decides.
    pub fn rng(&mut self) -> &mut ChaCha8Rng {
        &mut self.client.rng
    }

    /// Appends to a list.
    ///
    /// # Errors
    /// What the database says.
    pub async fn append(&mut self, key: &str, value: i64) -> Result<(), Failure> {
        self.done.push(MicroOp::Append { key: key.into(), value: value.into() });
        let (table, key) = (list_table(key), quote(key));
        let text = format!(
            "INSERT INTO {table} VALUES ({key}, '{value}') \
             ON CONFLICT (k) DO UPDATE SET v = {table}.v || ' ' || excluded.v"
        );
        self.client.within(&text).await.map(drop)
    }

    /// Reads a list.
    ///
    /// # Errors
    /// What the database says.
    pub async fn read_list(&mut self, key: &str) -> Result<(), Failure> {
        self.done.push(MicroOp::ReadList { key: key.into(), values: None });
        let text = format!("SELECT v FROM {} WHERE k = {}", list_table(key), quote(key));
        let execution = self.client.within(&text).await?;
        let elements = match first(&execution) {
            Some(Datum::Text(text)) => text.split(' ').map(number).collect(),
            _ => Vec::new(),
        };
        self.heard(MicroOp::ReadList { key: key.into(), values: Some(elements) });
        Ok(())
    }

    /// Overwrites a register.
    ///
    /// # Errors
    /// What the database says.
    pub async fn write(&mut self, key: &str, value: i64) -> Result<(), Failure> {
        self.done.push(MicroOp::Write { key: key.into(), value: value.into() });
        let text = upsert(&register_table(key), &quote(key), value);
        self.client.within(&text).await.map(drop)
    }

    /// Reads a register.
    ///
    /// # Errors
    /// What the database says.
    pub async fn read(&mut self, key: &str) -> Result<Option<i64>, Failure> {
        self.read_with(key, "").await
    }

    /// Reads a register and locks it.
    ///
    /// # Errors
    /// What the database says.
    pub async fn read_for_update(&mut self, key: &str) -> Result<Option<i64>, Failure> {
        self.read_with(key, " FOR UPDATE").await
    }

    async fn read_with(&mut self, key: &str, how: &str) -> Result<Option<i64>, Failure> {
        self.done.push(MicroOp::ReadRegister { key: key.into(), value: None });
        let text = format!("SELECT v FROM {} WHERE k = {}{how}", register_table(key), quote(key));
        let value = register_of(&self.client.within(&text).await?);
        let read = value.as_int();
        self.heard(MicroOp::ReadRegister { key: key.into(), value: Some(value) });
        Ok(read)
    }

    /// Reads registers, one after the other.
    ///
    /// # Errors
    /// What the database says.
    pub async fn read_all(&mut self, keys: &[String]) -> Result<(), Failure> {
        for key in keys {
            self.read(key).await?;
        }
        Ok(())
    }

    /// Adds to a set.
    ///
    /// # Errors
    /// What the database says.
    pub async fn add(&mut self, key: &str, value: i64) -> Result<(), Failure> {
        self.done.push(MicroOp::Add { key: key.into(), value: value.into() });
        let text = format!("INSERT INTO {} VALUES ({}, {value})", set_table(key), quote(key));
        self.client.within(&text).await.map(drop)
    }

    /// Reads a set: all rows of a predicate.
    ///
    /// # Errors
    /// What the database says.
    pub async fn read_set(&mut self, key: &str) -> Result<usize, Failure> {
        self.done.push(MicroOp::ReadSet { key: key.into(), values: None });
        let text = format!("SELECT v FROM {} WHERE k = {}", set_table(key), quote(key));
        let Execution::Rows { rows, .. } = self.client.within(&text).await? else {
            panic!("a SELECT answers with rows")
        };
        let values: Vec<Value> = rows.iter().map(|row| integer(&row[0])).collect();
        let count = values.len();
        self.heard(MicroOp::ReadSet { key: key.into(), values: Some(values) });
        Ok(count)
    }

    /// The last micro-operation, now with what was read.
    fn heard(&mut self, op: MicroOp) {
        *self.done.last_mut().expect("it was begun") = op;
    }
}

/// Keys look like `append/17`. The number decides which region's table holds them.
fn table_of(kind: &str, key: &str) -> String {
    let number = key.rsplit('/').next().and_then(|number| number.parse::<u32>().ok());
    let number = number.unwrap_or_else(|| panic!("a key ends in a number: {key}"));
    format!("{kind}{}", number % super::TABLES)
}

fn list_table(key: &str) -> String {
    table_of("list", key)
}

fn register_table(key: &str) -> String {
    table_of("register", key)
}

fn set_table(key: &str) -> String {
    table_of("set", key)
}

fn quote(key: &str) -> String {
    format!("'{key}'")
}

fn upsert(table: &str, quoted: &str, value: i64) -> String {
    format!(
        "INSERT INTO {table} VALUES ({quoted}, {value}) ON CONFLICT (k) DO UPDATE SET v = excluded.v"
    )
}

fn first(execution: &Execution) -> Option<&Datum> {
    match execution {
        Execution::Rows { rows, .. } => rows.first().map(|row| &row[0]),
        Execution::Done { .. } => panic!("a SELECT answers with rows"),
    }
}

fn register_of(execution: &Execution) -> Value {
    first(execution).map_or(Value::Nil, integer)
}

fn integer(datum: &Datum) -> Value {
    match datum {
        Datum::Int(value) => Value::Int(*value),
        other => panic!("an integer was asked for, not {other:?}"),
    }
}

fn number(text: &str) -> Value {
    Value::Int(text.parse().unwrap_or_else(|_| panic!("a list holds integers, not {text:?}")))
}
