//! Typical statements: each is answered as PostgreSQL answers it, or refused with `0A000` and the
//! name of what is missing. Nothing else: a client that is told of a syntax error or of something
//! that "does not exist" looks for its own mistake.
//!
//! `tests/features.txt` has a line for each: PostgreSQL's answer (`ok`, or an SQLSTATE), Meridian's,
//! and the statement, with tabs between. `MERIDIAN_BLESS=1` writes Meridian's answers into the file;
//! with `MERIDIAN_TEST_POSTGRES=<url>` it is that server's answers that are held against the file,
//! or written.

use std::{fmt::Write as _, fs, path::PathBuf};

use sql::SessionOptions;

use crate::support::World;

/// Words that name nothing: a refusal that needs them does not say what is missing.
const VAGUE: [&str; 5] = ["this form", "this clause", "this kind", "the expression", " here "];

struct Line {
    postgres: String,
    meridian: String,
    statement: String,
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/features.txt")
}

/// The lines of the file; one that tells of no statement is kept as it is.
fn lines() -> Vec<Result<Line, String>> {
    let text = fs::read_to_string(file()).expect("the file is readable");
    let line = |line: &str| {
        let mut parts = line.splitn(3, '\t').map(str::to_owned);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(postgres), Some(meridian), Some(statement)) => {
                Ok(Line { postgres, meridian, statement })
            }
            _ => Err(line.to_owned()),
        }
    };
    text.lines().map(line).collect()
}

fn write(lines: &[Result<Line, String>]) {
    let mut text = String::new();
    for line in lines {
        match line {
            Ok(Line { postgres, meridian, statement }) => {
                writeln!(text, "{postgres}\t{meridian}\t{statement}")
            }
            Err(remark) => writeln!(text, "{remark}"),
        }
        .expect("a string takes all");
    }
    fs::write(file(), text).expect("the file is writable");
}

fn blesses() -> bool {
    std::env::var_os("MERIDIAN_BLESS").is_some()
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_named() {
    let world = World::new();
    let mut session = world.databases[0].session(SessionOptions::default()).expect("a session");
    let mut wrong = Vec::new();
    let mut lines = lines();
    for line in lines.iter_mut().flatten() {
        let answer = session.simple(&line.statement, &mut |_| {}).await;
        let (state, message) = match answer {
            Ok(()) => ("ok".to_owned(), String::new()),
            Err(error) => (error.sqlstate.to_string(), error.message),
        };
        let statement = &line.statement;
        if state == "0A000" {
            let named = message.ends_with("not supported")
                && !VAGUE.iter().any(|vague| message.contains(vague));
            if !named && line.postgres != "0A000" {
                wrong.push(format!("{statement}\n  names nothing: {message}"));
            }
        } else if state != line.postgres {
            let theirs = &line.postgres;
            wrong.push(format!("{statement}\n  {state} {message}; PostgreSQL: {theirs}"));
        }
        if blesses() {
            line.meridian = state;
        } else if state != line.meridian {
            wrong.push(format!("{statement}\n  {state} {message}, not {}", line.meridian));
        }
    }
    if blesses() {
        write(&lines);
    }
    assert!(lines.iter().flatten().count() >= 236, "typical statements are many");
    assert!(wrong.is_empty(), "{} statements:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn what_postgresql_answers_is_written_down() {
    let Ok(url) = std::env::var("MERIDIAN_TEST_POSTGRES") else { return };
    let client = crate::logic::connect(&url, "features", true).await;
    let mut wrong = Vec::new();
    let mut lines = lines();
    for line in lines.iter_mut().flatten() {
        let state = match client.simple_query(&line.statement).await {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.as_db_error().expect("the server answers").code().code().to_owned(),
        };
        if blesses() {
            line.postgres = state;
        } else if state != line.postgres {
            wrong.push(format!("{}\n  {state}, not {}", line.statement, line.postgres));
        }
    }
    if blesses() {
        write(&lines);
    }
    assert!(wrong.is_empty(), "{} statements:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn names_that_are_cut_are_told() {
    let world = World::new();
    let mut session = world.databases[0].session(SessionOptions::default()).expect("a session");
    let long = "n".repeat(70);
    let sql = format!("SELECT 1 AS \"{long}\"; SELECT 2 AS short");
    session.simple(&sql, &mut |_| {}).await.expect("a name may be too long");
    let notices = session.take_notices();
    let cut = "n".repeat(63);
    let message = format!("identifier \"{long}\" will be truncated to \"{cut}\"");
    let told: Vec<_> = notices.iter().map(|n| (n.severity, n.sqlstate.code())).collect();
    assert_eq!(told, [("NOTICE", "42622")]);
    assert_eq!(notices[0].message, message);
    // A text that is read from the cache is told of again.
    session.simple(&sql, &mut |_| {}).await.expect("the same");
    assert_eq!(session.take_notices().len(), 1);
}
