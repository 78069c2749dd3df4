//! Statements that would compute for seconds, minutes or for ever, several at a time, and the three
//! ways in which they must end: their time is over, they are cancelled, their client is gone.

use std::time::Duration;

use futures::future::{LocalBoxFuture, join_all};
use meridian_tests::{
    demo::Demo,
    sql::{Refused, Sql},
    wire::Wire,
};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::NoTls;

use super::{Form, NODES};

/// Rows of the table that is joined with itself.
const MANY: u32 = 10_000;

/// A statement that takes long, and how many sessions run it at once.
pub struct Kind {
    /// What it is.
    pub name: &'static str,
    sql: String,
    sessions: u16,
}

/// The rows that everybody works on.
pub async fn tables(demo: &Demo) {
    let sql = demo.connect(0).await;
    for statement in [
        "CREATE TABLE own (k INT PRIMARY KEY, v INT8)",
        "INSERT INTO own SELECT g, 0 FROM generate_series(0, 2000) AS g",
        "CREATE TABLE many (k INT PRIMARY KEY, v INT)",
        &format!("INSERT INTO many SELECT g, g FROM generate_series(1, {MANY}) AS g"),
    ] {
        sql.run(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
}

/// All kinds.
pub fn kinds() -> Vec<Kind> {
    let kind = |(name, sql, sessions)| Kind { name, sql, sessions };
    let mut kinds = rows();
    kinds.extend(numbers());
    kinds.extend(texts());
    kinds.extend(nestings());
    kinds.into_iter().map(kind).collect()
}

type Told = (&'static str, String, u16);

/// Many rows.
fn rows() -> Vec<Told> {
    let ctes: String = (1..25)
        .map(|number| {
            let before = number - 1;
            format!(", c{number} AS (SELECT n FROM c{before} UNION ALL SELECT n FROM c{before})")
        })
        .collect();
    let own = |text: &str| text.to_owned();
    vec![
        ("a join", own("SELECT count(*) FROM many a, many b WHERE a.v + b.v < 0"), 4),
        (
            "a join of everything",
            own("SELECT count(*) FROM many a, many b, many c, many d WHERE a.v + b.v + c.v < d.v"),
            4,
        ),
        ("a series", own("SELECT count(*) FROM generate_series(1, 20000000)"), 4),
        ("a long series", own("SELECT count(*) FROM generate_series(1, 20000000000)"), 4),
        (
            "queries that read each other",
            format!("WITH c0 AS (SELECT 1 AS n){ctes} SELECT count(*) FROM c24"),
            4,
        ),
        ("a sort", own("SELECT g FROM generate_series(1, 1000000) g ORDER BY md5(g::text)"), 2),
        ("distinct", own("SELECT DISTINCT md5(g::text) FROM generate_series(1, 1000000) g"), 2),
        (
            "a table read again and again",
            own(
                "SELECT count(*) FROM many a, generate_series(1, 100000) g WHERE a.v = g % 7 AND a.k < 0 + g",
            ),
            3,
        ),
        (
            "elements of arrays",
            format!(
                "SELECT count(*) FROM generate_series(2, 1000000) g WHERE g = ANY ('{{{}}}')",
                vec!["1"; 100_000].join(",")
            ),
            3,
        ),
        (
            "a filter at the replicas",
            own("SELECT count(*) FROM many WHERE pow(1.0001::numeric, k + 0.5) < 0"),
            4,
        ),
        (
            "a long filter at the replicas",
            own("SELECT count(*) FROM many WHERE md5(repeat('x', 1000000 + k)) = ''"),
            4,
        ),
        (
            "a pattern at the replicas",
            own("SELECT count(*) FROM many WHERE repeat('ab', 10000 + k) ~ '[ab]*a[ab]{300}c'"),
            4,
        ),
        (
            "groups at the replicas",
            own("SELECT max(length(repeat('ab', 100000 + k))) FROM many GROUP BY k % 3"),
            4,
        ),
        ("an update of all", own("UPDATE many SET v = v + 1"), 2),
        ("rows sent", own("SELECT g, repeat('x', 100) FROM generate_series(1, 100000) g"), 2),
    ]
}

/// Long numbers.
fn numbers() -> Vec<Told> {
    let own = |text: &str| text.to_owned();
    vec![
        ("a power", own("SELECT pow(100::numeric, 12345.6789)"), 4),
        (
            "powers",
            own("SELECT sum(pow(1.0001::numeric, g + 0.5)) FROM generate_series(1, 10000000) g"),
            4,
        ),
        (
            "products of long numbers",
            own("SELECT count(*) FROM generate_series(1, 1000000) g
                 WHERE repeat('7', 60000)::numeric * (repeat('3', 60000)::numeric + g) < 0"),
            4,
        ),
        (
            "quotients of long numbers",
            own("SELECT count(*) FROM generate_series(1, 1000000) g
                 WHERE repeat('7', 120000)::numeric / (repeat('3', 60000)::numeric + g) < 0"),
            4,
        ),
        (
            "roots of long numbers",
            own("SELECT count(*) FROM generate_series(1, 1000000) g
                 WHERE sqrt(repeat('7', 100000)::numeric + g) < 0"),
            4,
        ),
        (
            "a logarithm of factorials",
            own("SELECT exp(sum(ln(g::numeric))) FROM generate_series(1, 10000000) g"),
            4,
        ),
        (
            "long numbers as texts",
            own("SELECT count(*) FROM generate_series(1, 1000000) g
                 WHERE length((repeat('7', 100000)::numeric + g)::text) < 0"),
            4,
        ),
        (
            "to_char of long numbers",
            own("SELECT count(*) FROM generate_series(1, 1000000) g
                 WHERE length(to_char(repeat('7', 100000)::numeric + g, repeat('9', 100000))) < 0"),
            4,
        ),
    ]
}

/// Long texts and patterns.
fn texts() -> Vec<Told> {
    let own = |text: &str| text.to_owned();
    vec![
        ("a text too long", own("SELECT repeat('x', 1000000000)"), 4),
        (
            "long texts",
            own("SELECT sum(length(lpad('x', 60000000, 'yz'))) FROM generate_series(1, 100000)"),
            3,
        ),
        (
            "texts changed",
            own("SELECT count(*) FROM generate_series(1, 100000) g
                 WHERE upper(reverse(replace(repeat('x', 10000000), 'x', 'äö'))) = g::text"),
            3,
        ),
        (
            "texts digested",
            own(
                "SELECT count(*) FROM generate_series(1, 100000) g WHERE md5(repeat('x', 60000000)) = g::text",
            ),
            3,
        ),
        (
            "texts joined",
            own(
                "SELECT length(string_agg(repeat('x', 1000), ',')) FROM generate_series(1, 1000000)",
            ),
            4,
        ),
        ("an array that grows", own("SELECT array_agg(g) FROM generate_series(1, 100000000) g"), 3),
        (
            "an array read from a text",
            own("SELECT count(*) FROM generate_series(1, 100000) g
                 WHERE ('{' || repeat('1,', 5000000) || g::text || '}')::int[] = '{}'"),
            3,
        ),
        (
            "a pattern",
            own("SELECT (SELECT string_agg(md5(g::text), '') FROM generate_series(1, 200000) g)
                 ~ '[0-7][0-9a-f]{300}x'"),
            4,
        ),
        ("a nested pattern", own("SELECT repeat('ab', 30000000) ~ '(([ab]{30}){30}c)+d'"), 4),
        ("a long pattern", own("SELECT repeat('a', 1000000) ~ repeat('(a|b)?', 1000)"), 4),
        (
            "a pattern with groups",
            own("SELECT length(regexp_replace(string_agg(md5(g::text), ''),
                 '([0-9a-f]*)([0-7][0-9a-f]{300})$', '\\2\\1')) FROM generate_series(1, 100000) g"),
            4,
        ),
        (
            "many matches",
            own("SELECT length(regexp_replace(repeat('ab', 10000000), '(a)(b)', '\\2\\1', 'g'))"),
            4,
        ),
        (
            "many patterns",
            own("SELECT count(*) FROM generate_series(1, 1000000) g
                 WHERE 'x' ~ ('[[:alpha:]]{30}' || g::text)"),
            4,
        ),
        (
            "LIKE",
            own("SELECT count(*) FROM generate_series(1, 100000) g
                 WHERE repeat('a', 1000000) LIKE '%' || repeat('a_', 50000) || g::text || '%'"),
            4,
        ),
    ]
}

/// Statements that are deep or wide.
fn nestings() -> Vec<Told> {
    let chain: String = (1..2_000)
        .map(|number| format!(", c{number} AS (SELECT * FROM c{})", number - 1))
        .collect();
    let around = |before: &str, inside: &str, behind: &str, times: usize| {
        format!("SELECT {}{inside}{}", before.repeat(times), behind.repeat(times))
    };
    vec![
        ("UNION ALL", vec!["SELECT 1"; 5_000].join(" UNION ALL "), 2),
        ("INTERSECT", vec!["SELECT 1"; 5_000].join(" INTERSECT "), 2),
        ("a chain of WITH", format!("WITH c0 AS (SELECT 1){chain} SELECT * FROM c1999"), 2),
        ("EXPLAINs", format!("{}SELECT 1", "EXPLAIN ".repeat(100_000)), 2),
        ("PREPAREs", format!("{}SELECT 1", "PREPARE p AS ".repeat(100_000)), 2),
        ("brackets", around("(", "1", ")", 1_000_000), 2),
        ("calls", around("abs(", "1", ")", 200_000), 2),
        ("subqueries", around("(SELECT ", "1", ")", 100_000), 2),
        ("CASEs", around("CASE WHEN true THEN ", "1", " END", 50_000), 2),
        ("ORs", format!("SELECT {}", vec!["1 = 2"; 200_000].join(" OR ")), 2),
        ("a sum", format!("SELECT {}", vec!["1"; 1_000_000].join(" + ")), 2),
        ("LIKEs", format!("SELECT 'a'{}", " LIKE 'a'".repeat(100_000)), 2),
        ("NOTs", around("NOT ", "true", "", 500_000), 2),
        ("time zones", format!("SELECT now(){}", " AT TIME ZONE 'UTC'".repeat(100_000)), 2),
        ("a list", format!("SELECT 1 IN ({})", vec!["2"; 1_000_000].join(",")), 2),
        (
            "rows of VALUES",
            format!("SELECT count(*) FROM (VALUES {}) v", vec!["(1)"; 500_000].join(",")),
            2,
        ),
        ("many statements", "SELECT 1;".repeat(20_000), 2),
        ("a long literal", format!("SELECT length('{}')", "x".repeat(15_000_000)), 2),
        ("a broken literal", format!("SELECT '{}", "x''".repeat(5_000_000)), 2),
        ("a comment", format!("SELECT 1 {}", "/*".repeat(5_000_000)), 2),
    ]
}

/// Each way to end the statement, ready to be tried.
pub fn endings<'a>(
    demo: &'a Demo,
    kind: &'a Kind,
    form: Form,
) -> Vec<(&'static str, LocalBoxFuture<'a, ()>)> {
    let each = move |node: u16| (demo, kind, node % NODES, form);
    let all = 0..kind.sessions;
    vec![
        ("timed out", Box::pin(run_all(all.clone().map(each).map(times_out)))),
        ("cancelled", Box::pin(run_all(all.clone().map(each).map(is_cancelled)))),
        ("client gone", Box::pin(run_all(all.map(each).map(leaves)))),
    ]
}

async fn run_all(sessions: impl Iterator<Item = impl Future<Output = ()>>) {
    join_all(sessions).await;
}

type Case<'a> = (&'a Demo, &'a Kind, u16, Form);

/// The statement was answered: with rows, or with an error that is no fault of ours.
fn check(kind: &Kind, outcome: &Result<(), Refused>) {
    if let Err(error) = outcome {
        let bad = ["XX000", "08006", "42601", "42883", "42P01", "42804"];
        // A broken text is what is meant there.
        let meant = error.state == "42601"
            && matches!(kind.name, "a broken literal" | "a comment" | "PREPAREs");
        assert!(meant || !bad.contains(&&*error.state), "{}: {error:?}", kind.name);
    }
}

/// Runs the statement; it must end by itself within the time after this one.
async fn ends(kind: &Kind, sql: &Sql, within: Duration, form: Form) {
    let begun = Instant::now();
    let outcome = timeout(within + Duration::from_secs(120), sql.run(&kind.sql)).await;
    let (took, most) = (begun.elapsed(), within + form.grace);
    let outcome = outcome.unwrap_or_else(|_| panic!("{} does not end", kind.name));
    check(kind, &outcome);
    assert!(took <= most, "{} ended after {took:?}, not within {most:?}: {outcome:?}", kind.name);
}

async fn times_out((demo, kind, node, form): Case<'_>) {
    let sql = demo.connect(node).await;
    let limit = format!("SET statement_timeout = {}", form.timeout.as_millis());
    sql.run(&limit).await.expect("a setting");
    ends(kind, &sql, form.timeout, form).await;
    assert_eq!(sql.value("SELECT 1").await, Ok("1".to_owned()), "{}", kind.name);
}

async fn is_cancelled((demo, kind, node, form): Case<'_>) {
    let sql = demo.connect(node).await;
    let token = sql.0.cancel_token();
    let cancel = async {
        sleep(form.runs_for).await;
        token.cancel_query(NoTls).await.expect("the node takes the request");
    };
    tokio::join!(ends(kind, &sql, form.runs_for, form), cancel);
}

async fn leaves((demo, kind, node, form): Case<'_>) {
    let mut wire = Wire::connect(demo.sql_port(node)).await;
    wire.query("SET application_name = 'leaving'").await;
    wire.send('Q', format!("{}\0", kind.sql).as_bytes()).await;
    sleep(form.runs_for).await;
    drop(wire);
    let gone = Instant::now();
    let watch = demo.connect(node).await;
    while is_there(&watch).await {
        let after = gone.elapsed();
        assert!(after <= form.grace, "{} goes on {after:?} after its client left", kind.name);
        sleep(Duration::from_millis(20)).await;
    }
}

async fn is_there(watch: &Sql) -> bool {
    let sessions = watch.rows("SHOW SESSIONS").await.expect("sessions");
    sessions.iter().any(|session| session[2].as_deref() == Some("leaving"))
}
