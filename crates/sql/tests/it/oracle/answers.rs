//! What a statement comes to, here and there, in words that compare.

use std::fmt;

use sql::{Execution, Session, SessionOptions};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::literal;
use crate::support::World;

/// The outcome of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Names and types of columns, rows as text, and how many were touched.
    Rows { columns: Vec<String>, rows: Vec<String>, count: u64 },
    /// How many rows were touched.
    Done { count: u64 },
    /// An error.
    Error { state: String, message: String },
}

impl Answer {
    /// Whether both say the same; rows in any order unless one was asked for, errors by SQLSTATE.
    pub fn agrees(&self, other: &Answer, ordered: bool) -> bool {
        let sorted = |rows: &[String]| {
            let mut rows = rows.to_vec();
            if !ordered {
                rows.sort();
            }
            rows
        };
        match (self, other) {
            (
                Answer::Rows { columns, rows, count },
                Answer::Rows { columns: their_columns, rows: their_rows, count: their_count },
            ) => {
                columns == their_columns
                    && count == their_count
                    && sorted(rows) == sorted(their_rows)
            }
            (Answer::Error { state, .. }, Answer::Error { state: theirs, .. }) => state == theirs,
            (one, other) => one == other,
        }
    }
}

impl Answer {
    /// The SQLSTATE, or that there is none.
    pub fn kind(&self) -> &str {
        match self {
            Answer::Rows { .. } => "rows",
            Answer::Done { .. } => "done",
            Answer::Error { state, .. } => state,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Rows { columns, rows, count } => {
                write!(f, "{count}: ({})", columns.join(", "))?;
                for row in rows.iter().take(12) {
                    write!(f, "\n    {row}")?;
                }
                Ok(())
            }
            Answer::Done { count } => write!(f, "{count} rows"),
            Answer::Error { state, message } => write!(f, "{state} {message}"),
        }
    }
}

/// The number at the end of a command tag; 0 if there is none.
fn count(tag: &str) -> u64 {
    tag.rsplit(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn line<'a>(cells: impl Iterator<Item = Option<&'a str>>) -> String {
    let cells: Vec<&str> = cells.map(|cell| cell.unwrap_or("NULL")).collect();
    cells.join("|").replace('\n', "\\n")
}

/// Both databases. Ours runs in virtual time, the other one in its own.
pub struct Both {
    virtual_time: Runtime,
    real_time: Runtime,
    session: Session,
    client: Client,
    /// Statements prepared so far.
    prepared: usize,
    /// Those that are to be forgotten.
    named: Vec<String>,
}

fn session() -> Session {
    World::new().databases[0].session(SessionOptions::default()).expect("the first one")
}

impl Both {
    pub fn connect(url: &str) -> Both {
        let build = |paused: bool| {
            let mut builder = Builder::new_current_thread();
            builder.enable_all().start_paused(paused).build().expect("a runtime")
        };
        let (virtual_time, real_time) = (build(true), build(false));
        let client = real_time.block_on(async {
            let (client, connection) =
                tokio_postgres::connect(url, NoTls).await.expect("the server answers");
            tokio::spawn(async move {
                // The client sees its errors.
                drop(connection.await);
            });
            client
        });
        let session = virtual_time.block_on(async { session() });
        Both { virtual_time, real_time, session, client, prepared: 0, named: Vec::new() }
    }

    /// Drops all tables.
    pub fn fresh(&mut self, seed: u64) {
        self.session = self.virtual_time.block_on(async { session() });
        let schema = format!("world_{}_{seed}", std::process::id());
        let text = format!(
            "ROLLBACK; SET client_min_messages = error; SET timezone = 'UTC';
             DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema};
             SET search_path = {schema}; SET plan_cache_mode = force_custom_plan"
        );
        self.real_time.block_on(self.client.batch_execute(&text)).expect("a new schema");
    }

    /// What is wrong with our tables and indexes, in themselves.
    pub fn problems(&mut self) -> Vec<String> {
        let check = crate::support::problems(&mut self.session, "CHECK ALL TABLES");
        self.virtual_time.block_on(check)
    }

    /// Runs a statement on both: our answer, and PostgreSQL's.
    pub fn run(&mut self, sql: &str) -> (Answer, Answer) {
        let ours = self.virtual_time.block_on(ours(&mut self.session, sql));
        (ours, self.theirs(sql))
    }

    /// Runs a statement on PostgreSQL alone.
    pub fn theirs(&mut self, sql: &str) -> Answer {
        self.real_time.block_on(theirs(&self.client, sql))
    }

    /// Runs a statement on both, prepared, with its marked literals as parameters. PostgreSQL makes
    /// its plan for their values, unless it is told otherwise.
    pub fn run_prepared(&mut self, text: &str) -> (Answer, Answer) {
        self.prepared += 1;
        let name = format!("p{}", self.prepared);
        let (statement, values) = literal::parameters(text);
        let prepare = format!("PREPARE {name} AS {statement}");
        let execute = match values.as_slice() {
            [] => format!("EXECUTE {name}"),
            values => format!("EXECUTE {name}({})", values.join(", ")),
        };
        self.named.push(name);
        let (ours, theirs) = self.run(&prepare);
        match (&ours, &theirs) {
            (Answer::Error { .. }, _) | (_, Answer::Error { .. }) => (ours, theirs),
            _ => self.run(&execute),
        }
    }

    /// Forgets what was prepared; outside of a transaction, as a failed one refuses it.
    pub fn forget(&mut self) {
        for name in std::mem::take(&mut self.named) {
            // One of both may not have taken it.
            self.run(&format!("DEALLOCATE {name}"));
        }
    }
}

async fn ours(session: &mut Session, sql: &str) -> Answer {
    let mut last = None;
    if let Err(error) = session.simple(sql, &mut |execution| last = Some(execution)).await {
        return Answer::Error { state: error.sqlstate.to_string(), message: error.message };
    }
    match last {
        Some(Execution::Rows { columns, rows, tag }) => {
            let zone = expr::TimeZone::Utc;
            let rows = rows.iter().map(|row| {
                let cells: Vec<Option<String>> = row
                    .iter()
                    .zip(columns.iter())
                    .map(|(value, column)| expr::text::output(value, column.ty, &zone))
                    .collect();
                line(cells.iter().map(Option::as_deref))
            });
            let rows = rows.collect();
            let columns = columns
                .iter()
                .map(|column| format!("{} {}", column.name, column.ty.internal_name()))
                .collect();
            Answer::Rows { columns, rows, count: count(&tag) }
        }
        Some(Execution::Done { tag }) => Answer::Done { count: count(&tag) },
        None => Answer::Done { count: 0 },
    }
}

async fn theirs(client: &Client, sql: &str) -> Answer {
    let failed = |error: &tokio_postgres::Error| {
        let error = error.as_db_error().expect("the server answers");
        let (state, message) = (error.code().code().to_owned(), error.message().to_owned());
        Answer::Error { state, message }
    };
    let messages = match client.simple_query(sql).await {
        Ok(messages) => messages,
        Err(error) => return failed(&error),
    };
    let (mut rows, mut has_rows, mut count) = (Vec::new(), false, 0);
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(_) => has_rows = true,
            SimpleQueryMessage::Row(row) => {
                rows.push(line((0..row.len()).map(|at| row.get(at))));
            }
            SimpleQueryMessage::CommandComplete(touched) => count = touched,
            _ => {}
        }
    }
    if !has_rows {
        return Answer::Done { count };
    }
    match client.prepare(sql).await {
        Ok(prepared) => {
            let columns = prepared.columns().iter();
            let columns =
                columns.map(|column| format!("{} {}", column.name(), column.type_().name()));
            Answer::Rows { columns: columns.collect(), rows, count }
        }
        Err(error) => failed(&error),
    }
}
