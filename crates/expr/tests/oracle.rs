//! Thousands of random texts and templates, ours against PostgreSQL's: what is read and refused as
//! a date, a timestamp or an interval, what `to_char` makes of templates, what patterns match.
//!
//! Each form is made from a seed by [`forms`], evaluated here and by a PostgreSQL 15 that the test
//! starts, and both must agree on type and value or on the SQLSTATE. `MERIDIAN_SEED` replays a
//! seed; `MERIDIAN_LONG=1` tries thirty times as many forms. What differs on purpose is listed in
//! [`explained`], with its reason.

mod binder;
mod oracle {
    pub(crate) mod forms;
    pub(crate) mod random;
}
#[path = "../../sql/tests/it/oracle/server.rs"]
mod server;

use std::{
    collections::BTreeMap,
    io::Write,
    process::{Command, Stdio},
};

use expr::{EvalContext, SqlError, TimeZone, Typed, text};
use oracle::{forms, random::Random};
use server::Server;

/// The session's zone, so that local time and UTC differ, also by season.
const ZONE: &str = "Europe/Berlin";

/// Forms of each kind in the short run.
const SHORT: usize = 400;
/// Forms of each kind in the long run.
const LONG: usize = 12_000;

/// What a form came to here: `= type value` or `! SQLSTATE message`.
fn ours(sql: &str, ctx: &EvalContext) -> String {
    let evaluate = || -> Result<String, SqlError> {
        let Typed { expr, ty } = expr::bind::default_to_text(binder::bind(sql, ctx)?, ctx)?;
        let value = expr.eval(&[], ctx)?;
        let shown = text::output(&value, ty, &ctx.timezone);
        Ok(format!("= {} {}", ty.base(), shown.unwrap_or_else(|| "NULL".to_owned())))
    };
    match evaluate() {
        Ok(answer) => answer,
        Err(error) => format!("! {} {}", error.sqlstate, error.message),
    }
}

/// A function that answers in the same words, for PostgreSQL.
const ANSWER: &str = r"
CREATE OR REPLACE FUNCTION pg_temp.answer(form text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
    EXECUTE 'SELECT ''= '' || pg_typeof(x) || '' '' || CASE WHEN x IS NULL THEN ''NULL'' ELSE format(''%s'', x) END
        FROM (SELECT (' || form || ') AS x OFFSET 0) s' INTO answer;
    RETURN answer;
EXCEPTION WHEN OTHERS THEN
    RETURN '! ' || SQLSTATE || ' ' || SQLERRM;
END $$;";

/// What the forms come to there.
fn theirs(server: &Server, forms: &[String]) -> Vec<String> {
    let mut script = format!("SET timezone = '{ZONE}';{ANSWER}\n");
    for form in forms {
        let literal = form.replace('\'', "''");
        // A line each: what the answer has of line ends is escaped.
        script.push_str(&format!(
            "SELECT replace(replace(pg_temp.answer('{literal}'), E'\\\\', E'\\\\\\\\'), E'\\n', '\\n');\n"
        ));
    }
    let mut child = Command::new("psql")
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", &server.url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("psql runs");
    let mut stdin = child.stdin.take().expect("it is piped");
    let writer = std::thread::spawn(move || stdin.write_all(script.as_bytes()));
    let output = child.wait_with_output().expect("psql ends");
    writer.join().expect("no panic").expect("psql reads");
    assert!(output.status.success(), "psql failed");
    let lines = String::from_utf8(output.stdout).expect("texts are UTF-8");
    let answers: Vec<String> = lines.lines().map(str::to_owned).collect();
    assert_eq!(answers.len(), forms.len(), "an answer for each form");
    answers
}

/// Why an answer of ours may differ; `None`: it may not.
fn explained(form: &str, ours: &str, theirs: &str) -> Option<&'static str> {
    if ours.starts_with("! 0A000") {
        let told_first = ["= ", "! 2201B", "! 22P02"].iter().any(|start| theirs.starts_with(start));
        return told_first.then_some("not supported, and says so, before what else may be wrong");
    }
    if ours.starts_with("! 22023 time zone") && has_summer_name(ours) {
        return Some("a POSIX zone of the writer's own with rules for summer time");
    }
    if form.contains("msk") && ours.starts_with("= ") && theirs.starts_with("= ") {
        return Some("an abbreviation of a place is read by what its clocks showed then");
    }
    if form.contains("::int,") && ours.starts_with("! 22003") {
        return Some("digits shifted by V that overflow wrap around there");
    }
    None
}

/// Whether the zone an error names goes on behind its offset.
fn has_summer_name(error: &str) -> bool {
    let name = error.split('"').nth(1).unwrap_or_default();
    let behind = name.find(|c: char| c.is_ascii_digit()).map_or("", |at| &name[at..]);
    behind.contains(|c: char| !c.is_ascii_digit() && c != ':')
}

/// Of an error only its SQLSTATE must agree: messages quote what the parser has at hand.
fn judged(answer: &str) -> &str {
    if answer.starts_with("! ") { &answer[..7.min(answer.len())] } else { answer }
}

#[test]
fn random_forms_come_to_what_postgresql_says() {
    let Some(server) = Server::start("forms") else { return };
    let ctx =
        EvalContext { timezone: TimeZone::parse(ZONE).expect("a zone"), ..EvalContext::default() };
    let seed = std::env::var("MERIDIAN_SEED").map_or(7, |seed| seed.parse().expect("a number"));
    let long = std::env::var_os("MERIDIAN_LONG").is_some_and(|on| on == "1");
    let only = std::env::var("MERIDIAN_FORM").ok();
    let mut differences: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (kind, form) in forms::KINDS {
        if only.as_ref().is_some_and(|only| only != kind) {
            continue;
        }
        let mut random = Random::new(seed);
        let count = if long { LONG } else { SHORT };
        let forms: Vec<String> = (0..count).map(|_| form(&mut random)).collect();
        for (form, theirs) in forms.iter().zip(theirs(&server, &forms)) {
            let ours = ours(form, &ctx).replace('\\', "\\\\").replace('\n', "\\n");
            if judged(&ours) != judged(&theirs) && explained(form, &ours, &theirs).is_none() {
                differences
                    .entry(kind)
                    .or_default()
                    .push(format!("{form}\n    PostgreSQL {theirs}\n    Meridian   {ours}"));
            }
        }
    }
    let total: usize = differences.values().map(Vec::len).sum();
    let shown: Vec<String> = differences
        .iter()
        .flat_map(|(kind, found)| {
            let head = format!("--- {kind}: {} differ", found.len());
            std::iter::once(head).chain(found.iter().take(40).cloned())
        })
        .collect();
    assert!(total == 0, "seed {seed}: {total} differences\n{}", shown.join("\n"));
}
