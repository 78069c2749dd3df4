//! What long values cost, in time and memory, is counted: others are served beside a statement that
//! looks through them, and whoever holds them is bounded.
//!
//! As in [`crate::freeze`], time is virtual: what is counted is how often another session was
//! served, and bytes.

use expr::SqlState;
use sql::{Config, Session, SessionOptions};

use crate::{
    freeze::{run, served_beside, world},
    sessions::{ok, state},
    support::World,
};

/// Statements of few rows that look through long values, and yield little. `t` and `u` are long texts
/// that differ in their last byte, `x` is a number of thousands of digits.
const LONG: [(&str, &str); 14] = [
    ("digests", "SELECT count(md5(t)) FROM long, generate_series(1, 50)"),
    ("lengths", "SELECT count(length(t)) FROM long, generate_series(1, 50)"),
    ("searches", "SELECT count(strpos(t, 'y')) FROM long, generate_series(1, 50)"),
    ("comparisons", "SELECT count(*) FILTER (WHERE t > u) FROM long, generate_series(1, 50)"),
    ("casts", "SELECT count(x::float8) FROM long, generate_series(1, 50)"),
    ("differences", "SELECT count(x - x) FROM long, generate_series(1, 50)"),
    ("the least", "SELECT min(t) FROM long, generate_series(1, 50)"),
    ("spreads", "SELECT var_pop(x) FROM long, generate_series(1, 50)"),
    ("groups", "SELECT count(*) FROM long, generate_series(1, 50) GROUP BY t"),
    ("groups of numbers", "SELECT count(*) FROM long, generate_series(1, 50) GROUP BY x"),
    ("distinct rows", "SELECT DISTINCT t FROM long, generate_series(1, 50)"),
    ("distinct arguments", "SELECT count(DISTINCT t) FROM long, generate_series(1, 50)"),
    ("an order", "SELECT 1 FROM long, generate_series(1, 50) ORDER BY t, u"),
    (
        "a hash join",
        "SELECT count(*) FROM (SELECT t FROM long, generate_series(1, 15)) a
         JOIN (SELECT t FROM long, generate_series(1, 15)) b ON a.t = b.t",
    ),
];

/// Where `long` comes from.
const WITH: &str = "WITH long AS (SELECT repeat('x', 400000) || 'y' AS t,
    repeat('x', 400000) || 'z' AS u,
    ('1.' || repeat('1', 16000))::numeric AS x FROM generate_series(1, 1)) ";

#[tokio::test(start_paused = true)]
async fn whoever_looks_through_long_values_lets_others_run() {
    let (_world, mut heavy, mut light) = world().await;
    for (name, sql) in LONG {
        let sql = format!("{WITH}{sql}");
        let served = served_beside(&mut heavy, &mut light, &sql).await;
        assert!(served >= 25, "{name}: others were served {served} times");
    }
}

/// One row of many long computations is no reason to keep others waiting either.
#[tokio::test(start_paused = true)]
async fn between_the_values_of_a_row_others_run() {
    let (_world, mut heavy, mut light) = world().await;
    let powers: Vec<String> =
        (0..60).map(|more| format!("(1.001::numeric ^ {}) > 0", 5_000_000 + more)).collect();
    let constant = format!("SELECT {}", powers.join(", "));
    let projected = format!(
        "SELECT {} FROM generate_series(5000001, 5000001) g",
        vec!["(1.001::numeric ^ g) > 0"; 60].join(", ")
    );
    for sql in [constant, projected] {
        let served = served_beside(&mut heavy, &mut light, &sql).await;
        assert!(served >= 25, "others were served {served} times");
    }
}

/// What comes after the last row is counted as well.
#[tokio::test(start_paused = true)]
async fn results_of_groups_are_counted() {
    let (_world, mut heavy, mut light) = world().await;
    let taken_in = "SELECT g, count(g) FROM generate_series(1, 8000) g GROUP BY 1";
    let finished = "SELECT g % 8000, stddev(g) FROM generate_series(1, 16000) g GROUP BY 1";
    let less = served_beside(&mut heavy, &mut light, taken_in).await;
    let more = served_beside(&mut heavy, &mut light, finished).await;
    assert!(more >= less + 40, "others were served {more} times, and {less} times");
}

async fn session(config: Config) -> (World, Session) {
    let world = World::with(config);
    let session = world.databases[0].session(SessionOptions::default()).expect("few");
    (world, session)
}

#[tokio::test(start_paused = true)]
async fn what_is_held_to_compare_rows_with_is_charged() {
    let (_world, mut session) =
        session(Config { statement_memory: 1 << 20, ..Config::default() }).await;
    ok(&mut session, "CREATE TABLE t (k text PRIMARY KEY)").await;
    for sql in [
        "SELECT count(*) FROM generate_series(1, 500) a JOIN generate_series(1, 500) b
         ON repeat('x', 10000) || a = repeat('x', 10000) || b",
        "SELECT count(*) FROM generate_series(1, 10000) a JOIN generate_series(1, 10000) b
         ON a = b",
        "SELECT count(*) FROM generate_series(1, 500) a JOIN t ON repeat('x', 10000) || a = k",
        "SELECT DISTINCT ON (repeat('x', 10000) || g) g FROM generate_series(1, 500) g",
        "SELECT g, max(repeat('x', 10000) || g) FROM generate_series(1, 500) g GROUP BY g",
        "SELECT g, sum(10::numeric ^ 30000) FROM generate_series(1, 500) g GROUP BY g",
        "SELECT g, stddev(g * 10::numeric ^ 30000) FROM generate_series(1, 500) g GROUP BY g",
        "SELECT count(DISTINCT g) FROM generate_series(1, 25000) g",
        "SELECT * FROM unnest((SELECT array_agg(g) FROM generate_series(1, 12000) g))",
    ] {
        let error = run(&mut session, sql).await.expect_err(sql);
        assert_eq!(error.sqlstate, SqlState::OUT_OF_MEMORY, "{sql}: {error:?}");
    }
}

/// A value that is there already takes no more memory.
#[tokio::test(start_paused = true)]
async fn equal_rows_are_charged_once() {
    let (_world, mut session) =
        session(Config { statement_memory: 1 << 20, ..Config::default() }).await;
    for (sql, count) in [
        ("SELECT DISTINCT g % 2 FROM generate_series(1, 60000) g", 2),
        ("SELECT DISTINCT ON (g % 2) g FROM generate_series(1, 60000) g", 2),
        ("SELECT 1 UNION SELECT g % 2 FROM generate_series(1, 60000) g", 2),
        ("SELECT 1 INTERSECT SELECT g % 2 FROM generate_series(1, 60000) g", 1),
        ("SELECT 7 EXCEPT ALL SELECT g % 2 FROM generate_series(1, 60000) g", 1),
        (
            "SELECT max(CASE WHEN g % 2 = 0 THEN g::text ELSE repeat('0', 2000) || g END)
             FROM generate_series(1, 5000) g",
            1,
        ),
    ] {
        assert_eq!(ok(&mut session, sql).await.len(), count, "{sql}");
    }
}

/// Where an index is not readable at the snapshot, rows are sorted as it would have them.
#[tokio::test(start_paused = true)]
async fn rows_are_sorted_as_the_index_that_cannot_be_read() {
    let (_world, mut heavy, mut light) = world().await;
    let table = "CREATE TABLE s (k int PRIMARY KEY, v int, w text);
        INSERT INTO s SELECT g, nullif(g * 7919 % 3001, 5), 'w' || g % 3
        FROM generate_series(1, 3000) AS g;";
    run(&mut heavy, table).await.expect("a table");
    let at = ok(&mut heavy, "SHOW COMMIT TIMESTAMP").await;
    let at = at[0].trim_matches(['[', ']', '"']).to_owned();
    let queries = ["v", "v DESC", "w, v", "w DESC, v DESC"]
        .map(|order| format!("SELECT v, w FROM s AS OF SYSTEM TIME '{at}' ORDER BY {order}"));
    let mut before = Vec::new();
    for sql in &queries {
        before.push(ok(&mut heavy, sql).await);
    }
    run(&mut heavy, "CREATE INDEX by_v ON s (v, w); CREATE INDEX by_w ON s (w, v)")
        .await
        .expect("indexes");
    for (sql, before) in queries.iter().zip(before) {
        assert_eq!(before.len(), 3_000);
        assert_eq!(ok(&mut heavy, sql).await, before, "{sql}");
        let served = served_beside(&mut heavy, &mut light, sql).await;
        assert!(served >= 5, "others were served {served} times");
    }
}

#[tokio::test(start_paused = true)]
async fn settings_and_savepoints_are_charged() {
    let (_world, mut session) =
        session(Config { session_kept: 1 << 20, ..Config::default() }).await;
    let many = "SELECT set_config('my.a' || g, repeat('x', 60000), false)
        FROM generate_series(1, 1000) g";
    assert_eq!(state(&mut session, many).await, "53200");
    ok(&mut session, "RESET ALL").await;
    // Nothing is left of what was refused.
    ok(&mut session, "SELECT set_config('my.b' || g, 'x', false) FROM generate_series(1, 900) g")
        .await;
    ok(&mut session, "BEGIN").await;
    let mut refused = None;
    for count in 0..50 {
        ok(&mut session, "SAVEPOINT s").await;
        if run(&mut session, "SET my.b1 = '1'").await.is_err() {
            refused = Some(count);
            break;
        }
    }
    let refused = refused.expect("each copy of the settings is charged");
    assert!(refused >= 1, "one fits");
    ok(&mut session, "ROLLBACK").await;
    ok(&mut session, "BEGIN; SAVEPOINT s; SET my.b1 = '2'; COMMIT").await;
    assert_eq!(ok(&mut session, "SHOW my.b1").await, ["[\"2\"]"]);
}

#[tokio::test(start_paused = true)]
async fn savepoints_are_bounded() {
    let (_world, mut session) = session(Config::default()).await;
    ok(&mut session, "BEGIN").await;
    for _ in 0..10_000 {
        run(&mut session, "SAVEPOINT s").await.expect("a savepoint");
    }
    assert_eq!(state(&mut session, "SAVEPOINT s").await, "54000");
    ok(&mut session, "ROLLBACK TO s; RELEASE s; SAVEPOINT s; COMMIT").await;
}
