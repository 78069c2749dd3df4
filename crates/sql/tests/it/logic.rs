//! SQL logic tests: `tests/sql/*.slt`, run on a model of a cluster, or on a real PostgreSQL.
//!
//! A file is a list of records, separated by empty lines; lines that start with `#` are remarks.
//!
//! ```text
//! statement ok                      the next lines run without error
//! statement error 23505             they fail with this SQLSTATE; the message may follow ----
//! statement tag UPDATE 2            they succeed with this command tag
//! query                             they yield the rows behind ----, columns separated by |
//! query sort                        the same, in any order
//! statement ok @other               ... in another session, which begins with its first record
//! only meridian                     the file, or (before a record) the next record, is ours alone
//! ```
//!
//! NULL is written `NULL`, an empty text `''`. `UPDATE_GOLDENFILES=1`, as `cargo xtask bless` sets it,
//! writes rows and messages that came out into the files; `MERIDIAN_TEST_POSTGRES=<url>` runs
//! everything that is not ours alone on that server instead, so that what the files expect is what
//! PostgreSQL does.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use crate::support::World;
use sql::{Execution, Session, SessionOptions, SqlError};

/// One record of a file.
#[derive(Clone, Debug)]
struct Record {
    line: usize,
    ours: bool,
    session: String,
    want: Want,
    sql: String,
    /// Lines behind `----`.
    expected: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Want {
    Ok,
    Tag(String),
    Error(String),
    Rows { sort: bool },
}

/// What came of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Rows(Vec<String>),
    Tag(String),
    Error { state: String, message: String },
}

fn parse(text: &str) -> (bool, Vec<Record>) {
    let mut records = Vec::new();
    let (mut file_ours, mut next_ours) = (false, false);
    let mut lines = text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if line.trim() == "only meridian" {
            let alone = lines.peek().is_none_or(|(_, next)| next.trim().is_empty());
            if alone {
                file_ours = true
            } else {
                next_ours = true
            }
            continue;
        }
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let session = match words.last() {
            Some(word) if word.starts_with('@') => {
                words.pop().expect("it is there")[1..].to_owned()
            }
            _ => "main".to_owned(),
        };
        let want = match words.as_slice() {
            ["statement", "ok"] => Want::Ok,
            ["statement", "tag", tag @ ..] => Want::Tag(tag.join(" ")),
            ["statement", "error", state] => Want::Error((*state).to_owned()),
            ["query"] => Want::Rows { sort: false },
            ["query", "sort"] => Want::Rows { sort: true },
            _ => panic!("line {}: {line:?} is no record", number + 1),
        };
        let (mut sql, mut expected, mut behind) = (Vec::new(), Vec::new(), false);
        for (_, line) in lines.by_ref() {
            if line.trim().is_empty() {
                break;
            }
            if line == "----" {
                behind = true;
            } else if behind {
                expected.push(line.to_owned());
            } else {
                sql.push(line);
            }
        }
        let sql = sql.join("\n");
        records.push(Record { line: number + 1, ours: next_ours, session, want, sql, expected });
        next_ours = false;
    }
    (file_ours, records)
}

/// What a file runs, in its order.
pub fn statements(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("the file is readable");
    parse(&text).1.into_iter().map(|record| record.sql).collect()
}

fn judge(record: &Record, outcome: &Outcome) -> Result<(), String> {
    match (&record.want, outcome) {
        (Want::Ok, Outcome::Rows(_) | Outcome::Tag(_)) => Ok(()),
        // The driver for PostgreSQL tells no tags.
        (Want::Tag(want), Outcome::Tag(tag)) if want == tag || tag.is_empty() => Ok(()),
        (Want::Error(want), Outcome::Error { state, message }) if want == state => {
            match record.expected.first() {
                Some(expected) if expected != message => Err(format!("message: {message}")),
                _ => Ok(()),
            }
        }
        (Want::Rows { sort }, Outcome::Rows(rows)) => {
            let (mut rows, mut expected) = (rows.clone(), record.expected.clone());
            if *sort {
                rows.sort();
                expected.sort();
            }
            if rows == expected { Ok(()) } else { Err(format!("rows:\n{}", rows.join("\n"))) }
        }
        (_, outcome) => Err(format!("{outcome:?}")),
    }
}

fn cell(text: Option<&str>) -> String {
    match text {
        None => "NULL".to_owned(),
        Some("") => "''".to_owned(),
        Some(text) => text.to_owned(),
    }
}

async fn run_ours(session: &mut Session, sql: &str) -> Outcome {
    let mut last = None;
    let result: Result<(), SqlError> =
        session.simple(sql, &mut |execution| last = Some(execution)).await;
    if let Err(error) = result {
        return Outcome::Error { state: error.sqlstate.to_string(), message: error.message };
    }
    match last {
        Some(Execution::Rows { columns, rows, .. }) => {
            let context = session.context();
            let line = |row: &Vec<sql::Datum>| {
                let cells = row.iter().zip(columns.iter());
                let cells: Vec<String> = cells
                    .map(|(value, column)| {
                        cell(expr::text::output_in(value, column.ty, &context).as_deref())
                    })
                    .collect();
                cells.join("|")
            };
            Outcome::Rows(rows.iter().map(line).collect())
        }
        Some(Execution::Done { tag }) => Outcome::Tag(tag),
        None => Outcome::Tag(String::new()),
    }
}

async fn file_on_ours(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("the file is readable");
    let (_, records) = parse(&text);
    let world = World::new();
    let mut sessions: BTreeMap<String, Session> = BTreeMap::new();
    let mut failures = Vec::new();
    let mut outcomes = Vec::new();
    for record in &records {
        let session = sessions.entry(record.session.clone()).or_insert_with(|| {
            world.databases[0].session(SessionOptions::default()).expect("sessions are few")
        });
        let outcome = run_ours(session, &record.sql).await;
        if let Err(got) = judge(record, &outcome) {
            failures.push(format!("{}:{}: {}\n{got}", path.display(), record.line, record.sql));
        }
        outcomes.push(Some(outcome));
    }
    let mut checking = world.databases[1].session(SessionOptions::default()).expect("few");
    for problem in crate::support::problems(&mut checking, "CHECK ALL TABLES").await {
        failures.push(format!("{}: at its end, {problem}", path.display()));
    }
    if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
        bless(path, &text, &records, &outcomes);
        return Vec::new();
    }
    failures
}

/// Writes rows and messages that came out into the file.
fn bless(path: &Path, text: &str, records: &[Record], outcomes: &[Option<Outcome>]) {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::new();
    let mut next = 0;
    for (record, outcome) in records.iter().zip(outcomes) {
        while next < record.line - 1 {
            writeln!(out, "{}", lines[next]).expect("a string takes all");
            next += 1;
        }
        let Some(outcome) = outcome else { continue };
        let session =
            if record.session == "main" { String::new() } else { format!(" @{}", record.session) };
        let head = match outcome {
            Outcome::Error { state, .. } => format!("statement error {state}"),
            Outcome::Rows(_) => match record.want {
                Want::Rows { sort: true } => "query sort".to_owned(),
                _ => "query".to_owned(),
            },
            Outcome::Tag(tag) => match &record.want {
                Want::Tag(_) if !tag.is_empty() => format!("statement tag {tag}"),
                Want::Tag(known) => format!("statement tag {known}"),
                _ => "statement ok".to_owned(),
            },
        };
        writeln!(out, "{head}{session}\n{}", record.sql).expect("a string takes all");
        match outcome {
            Outcome::Rows(rows) => {
                let mut rows = rows.clone();
                if record.want == (Want::Rows { sort: true }) {
                    rows.sort();
                }
                writeln!(out, "----").expect("a string takes all");
                rows.iter().for_each(|row| writeln!(out, "{row}").expect("a string takes all"));
            }
            Outcome::Error { message, .. } => {
                writeln!(out, "----\n{message}").expect("a string takes all");
            }
            Outcome::Tag(_) => {}
        }
        while next < lines.len() && !lines[next].trim().is_empty() {
            next += 1;
        }
    }
    lines[next..].iter().for_each(|line| writeln!(out, "{line}").expect("a string takes all"));
    fs::write(path, out).expect("the file is writable");
}

async fn file_on_postgres(path: &Path, url: &str) -> Vec<String> {
    let text = fs::read_to_string(path).expect("the file is readable");
    let (ours, records) = parse(&text);
    let mut failures = Vec::new();
    if ours {
        return failures;
    }
    let schema = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
    let mut sessions = BTreeMap::new();
    let mut outcomes = Vec::new();
    for record in &records {
        if record.ours {
            outcomes.push(None);
            continue;
        }
        if !sessions.contains_key(&record.session) {
            let client = connect(url, &schema, sessions.is_empty()).await;
            sessions.insert(record.session.clone(), client);
        }
        let outcome = run_postgres(&sessions[&record.session], &record.sql).await;
        if let Err(got) = judge(record, &outcome) {
            failures.push(format!("{}:{}: {}\n{got}", path.display(), record.line, record.sql));
        }
        outcomes.push(Some(outcome));
    }
    if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
        bless(path, &text, &records, &outcomes);
        return Vec::new();
    }
    failures
}

pub(crate) async fn connect(url: &str, schema: &str, fresh: bool) -> tokio_postgres::Client {
    let (client, connection) =
        tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("the server answers");
    tokio::spawn(async move {
        // The client sees its errors.
        let _ended = connection.await;
    });
    let make = format!("DROP SCHEMA IF EXISTS \"{schema}\" CASCADE; CREATE SCHEMA \"{schema}\";");
    let set = format!(
        "SET search_path = \"{schema}\"; SET TimeZone = 'UTC'; \
         SET default_transaction_isolation = 'serializable'; SET client_min_messages = 'error';"
    );
    if fresh {
        client.batch_execute(&make).await.expect("the schema is made");
    }
    client.batch_execute(&set).await.expect("the session is set up");
    client
}

async fn run_postgres(client: &tokio_postgres::Client, sql: &str) -> Outcome {
    use tokio_postgres::SimpleQueryMessage;
    let messages = match client.simple_query(sql).await {
        Ok(messages) => messages,
        Err(error) => {
            let error = error.as_db_error().expect("the server answers");
            return Outcome::Error {
                state: error.code().code().to_owned(),
                message: error.message().to_owned(),
            };
        }
    };
    let (mut rows, mut has_rows) = (Vec::new(), false);
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(_) => {
                rows.clear();
                has_rows = true;
            }
            SimpleQueryMessage::Row(row) => {
                let cells: Vec<String> = (0..row.len()).map(|at| cell(row.get(at))).collect();
                rows.push(cells.join("|"));
            }
            _ => {}
        }
    }
    if has_rows { Outcome::Rows(rows) } else { Outcome::Tag(String::new()) }
}

#[tokio::test(start_paused = true)]
async fn files_behave_as_they_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql");
    let only = std::env::var("MERIDIAN_SLT").ok();
    let mut failures = Vec::new();
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("its entries can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "slt"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no test files");
    for path in files {
        let name = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        if only.as_ref().is_some_and(|only| *only != name) {
            continue;
        }
        failures.extend(match std::env::var("MERIDIAN_TEST_POSTGRES") {
            Ok(url) => file_on_postgres(&path, &url).await,
            Err(_) => file_on_ours(&path).await,
        });
    }
    assert!(failures.is_empty(), "{} records failed:\n\n{}", failures.len(), failures.join("\n\n"));
}
