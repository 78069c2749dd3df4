//! Sessions side by side: waiting, cancelling, disconnecting, and schema changes under their feet.

use std::time::Duration;

use crate::support::World;
use sql::{Config, Datum, Execution, Session, SessionOptions, SqlError, TxnStatus, Type};

pub(super) fn session(world: &World, node: usize) -> Session {
    world.databases[node].session(SessionOptions::default()).expect("sessions are few")
}

/// Runs a text; answers with the rows of its last statement, as debug text.
pub(super) async fn run(session: &mut Session, sql: &str) -> Result<Vec<String>, SqlError> {
    let mut last = Vec::new();
    session
        .simple(sql, &mut |execution| {
            last = match execution {
                Execution::Rows { rows, .. } => rows.iter().map(|row| format!("{row:?}")).collect(),
                Execution::Done { tag } => vec![tag],
            };
        })
        .await?;
    Ok(last)
}

pub(super) async fn ok(session: &mut Session, sql: &str) -> Vec<String> {
    match run(session, sql).await {
        Ok(rows) => rows,
        Err(error) => panic!("{sql}: {error:?}"),
    }
}

pub(super) async fn state(session: &mut Session, sql: &str) -> String {
    match run(session, sql).await {
        Ok(rows) => panic!("{sql} yielded {rows:?}"),
        Err(error) => error.sqlstate.to_string(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_running_statement_can_be_cancelled() {
    let world = World::new();
    let mut session = session(&world, 0);
    let cancel = session.cancel_handle();
    // Nothing runs yet: the next statement must not feel it.
    cancel.cancel();
    assert_eq!(ok(&mut session, "SELECT 1").await, ["[1]"]);
    let (code, ()) = tokio::join!(state(&mut session, "SELECT pg_sleep(1000)"), async {
        timer::sleep(Duration::from_secs(1)).await;
        cancel.cancel();
    });
    assert_eq!(code, "57014");
    assert_eq!(ok(&mut session, "SELECT 2").await, ["[2]"]);
    world.check().await;
}

#[tokio::test(start_paused = true)]
async fn a_statement_that_takes_too_long_is_cancelled() {
    let world = World::new();
    let mut session = session(&world, 0);
    ok(&mut session, "SET statement_timeout = '2s'").await;
    ok(&mut session, "BEGIN").await;
    let begun = timer::Instant::now();
    assert_eq!(state(&mut session, "SELECT pg_sleep(1000)").await, "57014");
    // The timer goes off a moment later, so that a range that cannot answer is named first.
    let late = begun.elapsed() - Duration::from_secs(2);
    assert!(late < Duration::from_millis(500), "{late:?} after the timeout");
    assert_eq!(session.status(), TxnStatus::Failed);
    ok(&mut session, "ROLLBACK").await;
    world.check().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_disconnects_leaves_no_lock() {
    let world = World::new();
    let mut first = session(&world, 0);
    ok(&mut first, "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    ok(&mut first, "BEGIN").await;
    ok(&mut first, "SELECT * FROM t FOR UPDATE").await;
    assert!(!world.naive.holders().is_empty());
    drop(first);
    timer::sleep(Duration::from_secs(20)).await;
    assert!(world.naive.holders().is_empty());
    let mut second = session(&world, 0);
    ok(&mut second, "BEGIN").await;
    ok(&mut second, "SELECT * FROM t FOR UPDATE").await;
    second.close().await;
    timer::sleep(Duration::from_secs(20)).await;
    assert!(world.naive.holders().is_empty());
    world.check().await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_whom_is_told_honestly() {
    let world = World::new();
    let (mut a, mut b, mut c) = (session(&world, 0), session(&world, 0), session(&world, 0));
    ok(&mut a, "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1), (2)").await;
    ok(&mut a, "BEGIN; SELECT * FROM t WHERE id = 1 FOR UPDATE").await;
    let ask = format!(
        "SELECT pg_catalog.pg_isolation_test_session_is_blocked({}, '{{{}}}')",
        b.pid(),
        a.pid()
    );
    assert_eq!(ok(&mut c, &ask).await, ["[false]"]);
    ok(&mut b, "BEGIN ISOLATION LEVEL READ COMMITTED").await;
    let (waited, ()) = tokio::join!(ok(&mut b, "UPDATE t SET id = 5 WHERE id = 1"), async {
        timer::sleep(Duration::from_millis(10)).await;
        assert_eq!(ok(&mut c, &ask).await, ["[true]"]);
        let locks = ok(&mut c, "SHOW LOCKS").await;
        assert!(locks.iter().any(|lock| lock.contains("waiting")), "{locks:?}");
        ok(&mut a, "COMMIT").await;
    });
    assert_eq!(waited, ["UPDATE 1"]);
    assert_eq!(ok(&mut c, &ask).await, ["[false]"]);
    ok(&mut b, "COMMIT").await;
    world.check().await;
}

#[tokio::test(start_paused = true)]
async fn read_committed_updates_what_others_left() {
    let world = World::new();
    let (mut a, mut b) = (session(&world, 0), session(&world, 1));
    ok(&mut a, "CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 0)").await;
    ok(&mut a, "BEGIN ISOLATION LEVEL READ COMMITTED; UPDATE t SET v = v + 1").await;
    ok(&mut b, "BEGIN ISOLATION LEVEL READ COMMITTED").await;
    let (updated, ()) = tokio::join!(ok(&mut b, "UPDATE t SET v = v + 10 RETURNING v"), async {
        timer::sleep(Duration::from_millis(10)).await;
        ok(&mut a, "COMMIT").await;
    });
    assert_eq!(updated, ["[11]"]);
    ok(&mut b, "COMMIT").await;
    assert_eq!(ok(&mut a, "SELECT v FROM t").await, ["[11]"]);
    world.check().await;
}

#[tokio::test(start_paused = true)]
async fn single_statements_are_retried_until_they_commit() {
    let world = World::new();
    let mut first = session(&world, 0);
    ok(&mut first, "CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 0)").await;
    let workers = (0..20).map(|number| {
        let mut session = session(&world, number % 3);
        async move {
            for _ in 0..5 {
                ok(&mut session, "UPDATE t SET v = v + 1 WHERE id = 1").await;
            }
        }
    });
    futures::future::join_all(workers).await;
    assert_eq!(ok(&mut first, "SELECT v FROM t").await, ["[100]"]);
    timer::sleep(Duration::from_secs(20)).await;
    assert!(world.naive.holders().is_empty());
    world.check().await;
}

#[tokio::test(start_paused = true)]
async fn a_schema_change_is_seen_at_once_by_every_gateway() {
    let world = World::new();
    let (mut a, mut b) = (session(&world, 0), session(&world, 1));
    ok(&mut a, "CREATE TABLE t (id INT PRIMARY KEY, v INT)").await;
    ok(&mut b, "INSERT INTO t VALUES (1, 10), (2, 20)").await;
    ok(&mut a, "CREATE INDEX t_v ON t (v)").await;
    let plan = ok(&mut b, "EXPLAIN SELECT id FROM t WHERE v = 20").await;
    assert!(plan.iter().any(|line| line.contains("scan t@t_v")), "{plan:?}");
    assert_eq!(ok(&mut b, "SELECT id FROM t WHERE v = 20").await, ["[2]"]);
    ok(&mut a, "ALTER TABLE t ADD COLUMN w TEXT DEFAULT 'x'").await;
    assert_eq!(ok(&mut b, "SELECT w FROM t WHERE id = 1").await, ["[\"x\"]"]);
    ok(&mut b, "DROP TABLE t").await;
    assert_eq!(state(&mut a, "SELECT * FROM t").await, "42P01");
    ok(&mut a, "CREATE TABLE t (other TEXT)").await;
    assert_eq!(ok(&mut b, "SELECT * FROM t").await, Vec::<String>::new());
    world.check().await;
}

#[tokio::test(start_paused = true)]
async fn a_schema_change_waits_for_transactions_that_use_the_table() {
    let world = World::new();
    let (mut a, mut b) = (session(&world, 0), session(&world, 1));
    ok(&mut a, "CREATE TABLE t (id INT PRIMARY KEY, v INT); CREATE TABLE u (id INT)").await;
    ok(&mut b, "BEGIN; INSERT INTO t VALUES (1, 1)").await;
    let begun = timer::Instant::now();
    let (_, ()) = tokio::join!(ok(&mut a, "CREATE INDEX t_v ON t (v)"), async {
        timer::sleep(Duration::from_secs(1)).await;
        ok(&mut b, "COMMIT").await;
    });
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert!(begun.elapsed() < Duration::from_secs(4));
    assert_eq!(ok(&mut a, "SELECT id FROM t WHERE v = 1").await, ["[1]"]);
    // A table that the transaction does not use changes without waiting for it.
    ok(&mut b, "BEGIN; INSERT INTO t VALUES (2, 2)").await;
    let begun = timer::Instant::now();
    ok(&mut a, "DROP TABLE u").await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    ok(&mut b, "COMMIT").await;
    world.check().await;
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_outlives_the_lease_of_a_changed_table_fails() {
    let world = World::new();
    let (mut a, mut b) = (session(&world, 0), session(&world, 1));
    ok(&mut a, "CREATE TABLE t (id INT PRIMARY KEY, v INT)").await;
    ok(&mut b, "BEGIN; INSERT INTO t VALUES (1, 1)").await;
    ok(&mut a, "CREATE INDEX t_v ON t (v)").await;
    // The model's clock stands still while tokio's runs: now it is beyond the lease as well.
    world.naive.set_epsilon(6_000_000_000);
    assert_eq!(state(&mut b, "COMMIT").await, "40001");
    // No lease is longer than that uncertainty: nobody could use a table.
    world.naive.set_epsilon(0);
    assert_eq!(ok(&mut a, "SELECT count(*) FROM t").await, ["[0]"]);
    world.check().await;
}

#[tokio::test(start_paused = true)]
async fn a_prepared_statement_follows_its_tables() {
    let world = World::new();
    let (mut a, mut b) = (session(&world, 0), session(&world, 0));
    ok(&mut a, "CREATE TABLE t (id INT PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'x')").await;
    let statement = &a.parse("SELECT v FROM t WHERE id = $1").expect("it parses")[0];
    let prepared = a.prepare(statement, &[]).await.expect("it binds");
    assert_eq!(prepared.param_types(), [Type::Int4]);
    let columns = prepared.columns().expect("it yields rows");
    assert_eq!((columns[0].name.as_str(), columns[0].ty), ("v", Type::Text));
    let done = a.execute(&prepared, vec![Datum::Int(1)]).await.expect("it runs");
    assert_eq!(done.tag(), "SELECT 1");
    ok(&mut b, "CREATE INDEX t_v ON t (v); ALTER TABLE t ADD COLUMN w INT").await;
    let done = a.execute(&prepared, vec![Datum::Int(1)]).await.expect("it runs again");
    assert_eq!(done.tag(), "SELECT 1");
    ok(&mut b, "DROP TABLE t; CREATE TABLE t (id INT PRIMARY KEY, v INT)").await;
    let error = a.execute(&prepared, vec![Datum::Int(1)]).await.expect_err("its result changed");
    assert_eq!(error.sqlstate.to_string(), "0A000");
    let error = a.execute(&prepared, vec![]).await.expect_err("a parameter is missing");
    assert_eq!(error.sqlstate.to_string(), "08P01");
    world.check().await;
}

#[tokio::test(start_paused = true)]
async fn parameters_take_their_types_from_where_they_stand() {
    let world = World::new();
    let mut session = session(&world, 0);
    ok(&mut session, "CREATE TABLE t (id BIGINT PRIMARY KEY, v NUMERIC, s TEXT, at TIMESTAMPTZ)")
        .await;
    let cases: [(&str, &[Type]); 7] = [
        (
            "INSERT INTO t VALUES ($1, $2, $3, $4)",
            &[Type::Int8, Type::NUMERIC, Type::Text, Type::TimestampTz],
        ),
        ("SELECT $1", &[Type::Text]),
        (
            "SELECT * FROM t WHERE id = $1 AND s LIKE $2 LIMIT $3",
            &[Type::Int8, Type::Text, Type::Int8],
        ),
        ("SELECT * FROM t WHERE id = ANY ($1)", &[Type::Array(expr::Element::Int8)]),
        ("UPDATE t SET v = v + $2 WHERE id IN ($1, $3)", &[Type::Int8, Type::NUMERIC, Type::Int8]),
        ("SELECT * FROM t WHERE id = $1 OR id = $1 + 1", &[Type::Int8]),
        ("SELECT $2::int, $1::bool", &[Type::Bool, Type::Int4]),
    ];
    for (sql, types) in cases {
        let statement = &session.parse(sql).expect("it parses")[0];
        let prepared = session.prepare(statement, &[]).await.expect(sql);
        assert_eq!(prepared.param_types(), types, "{sql}");
    }
    world.check().await;
}

#[tokio::test(start_paused = true)]
async fn the_past_can_be_read() {
    let world = World::new();
    let mut session = session(&world, 0);
    ok(&mut session, "CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 1)")
        .await;
    let at = ok(&mut session, "SHOW COMMIT TIMESTAMP").await;
    let at = at[0].trim_matches(['[', ']', '"']).to_owned();
    ok(&mut session, "UPDATE t SET v = 2").await;
    assert_eq!(ok(&mut session, "SELECT v FROM t").await, ["[2]"]);
    let past = format!("SELECT v FROM t AS OF SYSTEM TIME '{at}' WHERE id = 1");
    assert_eq!(ok(&mut session, &past).await, ["[1]"]);
    ok(&mut session, &format!("BEGIN AS OF SYSTEM TIME '{at}'")).await;
    assert_eq!(ok(&mut session, "SELECT v FROM t").await, ["[1]"]);
    assert_eq!(state(&mut session, "UPDATE t SET v = 3").await, "25006");
    ok(&mut session, "ROLLBACK").await;
    for bad in ["'yesterdayish'", "'2999-01-01'", "true"] {
        let sql = format!("SELECT * FROM t AS OF SYSTEM TIME {bad}");
        assert_eq!(state(&mut session, &sql).await, "22023", "{sql}");
    }
    ok(&mut session, "BEGIN; SELECT 1").await;
    assert_eq!(state(&mut session, &past).await, "0A000");
    ok(&mut session, "ROLLBACK").await;
    world.check().await;
}

#[tokio::test(start_paused = true)]
async fn an_index_is_not_read_by_snapshots_older_than_it() {
    let world = World::new();
    let mut session = session(&world, 0);
    ok(&mut session, "CREATE TABLE t (id INT PRIMARY KEY, v INT)").await;
    ok(&mut session, "INSERT INTO t VALUES (1, 5), (2, 4), (3, 5)").await;
    let at = ok(&mut session, "SHOW COMMIT TIMESTAMP").await;
    let at = at[0].trim_matches(['[', ']', '"']).to_owned();
    ok(&mut session, "CREATE INDEX t_v ON t (v)").await;
    let past = format!("SELECT id FROM t AS OF SYSTEM TIME '{at}' WHERE v = 5 ORDER BY v, id");
    assert_eq!(ok(&mut session, &past).await, ["[1]", "[3]"]);
    assert_eq!(ok(&mut session, "SELECT id FROM t WHERE v = 5").await, ["[1]", "[3]"]);
    world.check().await;
}

#[tokio::test(start_paused = true)]
async fn a_commit_tells_where_its_time_went() {
    let world = World::new();
    let mut session = session(&world, 0);
    ok(&mut session, "CREATE TABLE a (id INT PRIMARY KEY) WITH (leader_region = 'us-west')").await;
    ok(&mut session, "CREATE TABLE b (id INT PRIMARY KEY)").await;
    session.take_notices();
    ok(&mut session, "SET commit_stats = on").await;
    ok(&mut session, "BEGIN; INSERT INTO a VALUES (1); INSERT INTO b VALUES (1); COMMIT").await;
    let stats = ok(&mut session, "SHOW COMMIT STATS").await;
    assert!(stats[0].contains(", 2, "), "two participants in {stats:?}");
    let notices = session.take_notices();
    assert!(notices.iter().any(|notice| notice.message.contains("participants 2")), "{notices:?}");
    assert_eq!(
        ok(&mut session, "SELECT meridian_commit_timestamp() IS NOT NULL").await,
        ["[true]"]
    );
    world.check().await;
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded() {
    let world = World::with(Config { statement_memory: 100_000, ..Config::default() });
    let mut session = session(&world, 0);
    assert_eq!(state(&mut session, "SELECT * FROM generate_series(1, 1000000)").await, "53200");
    assert_eq!(ok(&mut session, "SELECT 1").await, ["[1]"]);
    world.check().await;
}

#[tokio::test(start_paused = true)]
async fn what_nests_too_deep_is_refused() {
    let world = World::new();
    let mut session = session(&world, 0);
    let deep = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
    assert_eq!(state(&mut session, &deep).await, "54001");
    let long = format!("SELECT 1{}", " + 1".repeat(50_000));
    assert_eq!(state(&mut session, &long).await, "54001");
    let wide = format!("SELECT 5 IN ({})", vec!["5"; 20_000].join(", "));
    assert_eq!(ok(&mut session, &wide).await, ["[true]"]);
    world.check().await;
}

#[tokio::test(start_paused = true)]
async fn sessions_are_bounded_and_names_are_checked() {
    let world = World::with(Config { max_sessions: 2, ..Config::default() });
    let _first = session(&world, 0);
    let second = session(&world, 0);
    let third = world.databases[0].session(SessionOptions::default());
    assert_eq!(third.expect_err("two are the most").sqlstate.to_string(), "53300");
    drop(second);
    let bad = SessionOptions { database: "other".to_owned(), ..SessionOptions::default() };
    let refused = world.databases[0].session(bad).expect_err("no such database");
    assert_eq!(refused.sqlstate.to_string(), "3D000");
    let parameters = vec![("TimeZone".to_owned(), "Mars/Olympus".to_owned())];
    let bad = SessionOptions { parameters, ..SessionOptions::default() };
    let refused = world.databases[0].session(bad).expect_err("no such zone");
    assert_eq!(refused.sqlstate.to_string(), "22023");
    let _again = session(&world, 0);
}

#[tokio::test(start_paused = true)]
async fn places_of_errors_are_told() {
    let world = World::new();
    let mut session = session(&world, 0);
    ok(&mut session, "CREATE TABLE t (id INT)").await;
    let cases = [
        ("SELECT nope FROM t", 7),
        ("SELECT 1; SELECT 'ü', id,\n nope FROM t", 28),
        ("SELECT id FROM nope", 15),
        ("SELECT id FRO t", 14),
        ("SELECT id FROM t WHERE", 22),
        ("SELECT nofunc(1)", 7),
        ("UPDATE t SET nope = 1", 13),
    ];
    for (sql, place) in cases {
        let error = run(&mut session, sql).await.expect_err(sql);
        assert_eq!(error.position, Some(place), "{sql}: {error:?}");
    }
    world.check().await;
}

/// How many keys lie in a span, as a transaction of nobody's sees it.
async fn keys_in(world: &World, span: keys::Span) -> usize {
    let mut txn = world.naive.coordinator().begin(txn::TxnOptions::default());
    let rows = txn.read(vec![txn::Scan::all(span)]).await.expect("it can be read");
    txn.rollback().await;
    rows[0].rows.len()
}

/// Waits until no dropped table is noted any more.
async fn swept(world: &World) {
    for _ in 0..1_000 {
        if keys_in(world, keys::layout::section(keys::layout::Section::Dropped)).await == 0 {
            return;
        }
        timer::sleep(Duration::from_millis(100)).await;
    }
    panic!("the rows of dropped tables stay");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_table_leaves_no_rows() {
    use keys::layout::{self, Section};
    let world = World::new();
    let mut session = session(&world, 0);
    ok(&mut session, "CREATE TABLE t (id INT PRIMARY KEY, v INT UNIQUE)").await;
    ok(&mut session, "INSERT INTO t SELECT i, i FROM generate_series(1, 1200) i").await;
    ok(&mut session, "CREATE TABLE kept (id INT PRIMARY KEY)").await;
    ok(&mut session, "INSERT INTO kept VALUES (1)").await;
    let span = layout::table_span(keys::TableId(100));
    assert_eq!(keys_in(&world, span.clone()).await, 2400, "rows and index entries");

    ok(&mut session, "DROP TABLE t").await;
    let noted = keys_in(&world, layout::section(Section::Dropped)).await;
    assert_eq!(noted, 1, "the rows go behind the statement's back");
    swept(&world).await;
    assert_eq!(keys_in(&world, span).await, 0);
    assert_eq!(ok(&mut session, "SELECT id FROM kept").await, ["[1]"]);

    // What a crash left of a sweep: whoever drops a table next goes on with it, on any node.
    let left = keys::TableId(100);
    let row = keys::Key::from_vec(
        [&layout::index_prefix(left, keys::IndexId::PRIMARY)[..], &[1]].concat(),
    );
    let note = layout::system_key(Section::Dropped, &left.0.to_be_bytes());
    let mut txn = world.naive.coordinator().begin(txn::TxnOptions::default());
    txn.put(note, postcard::to_stdvec(&left).expect("plain").into()).expect("small");
    txn.put(row, b"left".as_slice().into()).expect("small");
    txn.commit().await.expect("nobody else writes");
    let mut other = self::session(&world, 1);
    ok(&mut other, "DROP TABLE kept").await;
    swept(&world).await;
    assert_eq!(keys_in(&world, layout::table_span(left)).await, 0);
    assert_eq!(keys_in(&world, layout::table_span(keys::TableId(101))).await, 0);
    world.check().await;
}

/// The session's last commit timestamp, as `AS OF SYSTEM TIME` takes it.
async fn committed_at(session: &mut Session) -> String {
    let at = ok(session, "SHOW COMMIT TIMESTAMP").await;
    at[0].trim_matches(['[', ']', '"']).to_owned()
}

#[tokio::test(start_paused = true)]
async fn before_its_birth_a_table_is_not_empty_but_unknown() {
    let world = World::new();
    let mut maker = session(&world, 0);
    ok(&mut maker, "CREATE TABLE old (id INT PRIMARY KEY); INSERT INTO old VALUES (7)").await;
    let early = committed_at(&mut maker).await;
    ok(&mut maker, "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    let late = committed_at(&mut maker).await;
    for gateway in 0..2 {
        let mut session = session(&world, gateway);
        let asked =
            |table: &str, at: &str| format!("SELECT * FROM {table} AS OF SYSTEM TIME '{at}'");
        assert_eq!(state(&mut session, &asked("t", &early)).await, "42P01");
        assert_eq!(ok(&mut session, &asked("t", &late)).await, ["[1]"]);
        // What is known of one snapshot says nothing about an earlier one.
        assert_eq!(state(&mut session, &asked("t", &early)).await, "42P01");
        assert_eq!(ok(&mut session, &asked("old", &early)).await, ["[7]"]);
        ok(&mut session, &format!("BEGIN AS OF SYSTEM TIME '{early}'")).await;
        assert_eq!(state(&mut session, "SELECT * FROM old, t").await, "42P01");
        assert_eq!(ok(&mut session, "COMMIT").await, ["ROLLBACK"]);
    }
    world.check().await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_longer_than_lock_timeout_gives_up() {
    let world = World::new();
    let (mut old, mut young) = (session(&world, 0), session(&world, 1));
    ok(&mut old, "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    ok(&mut old, "BEGIN; SELECT * FROM t FOR UPDATE").await;
    ok(&mut young, "SET lock_timeout = '300ms'").await;
    let begun = timer::Instant::now();
    for sql in ["SELECT * FROM t FOR UPDATE", "BEGIN; SELECT * FROM t FOR UPDATE"] {
        assert_eq!(state(&mut young, sql).await, "55P03");
    }
    assert!(begun.elapsed() >= Duration::from_millis(600), "{:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    ok(&mut young, "ROLLBACK").await;
    ok(&mut old, "COMMIT").await;
    assert_eq!(ok(&mut young, "SELECT * FROM t FOR UPDATE").await, ["[1]"]);
    world.check().await;
}

/// Statements that fail, `¦` before the place that PostgreSQL 15 tells.
const CARETS: &[&str] = &[
    "SELECT ¦e.nope FROM e",
    "SELECT ¦x.id FROM e",
    "SELECT id ¦+ b FROM e",
    "SELECT ¦-b FROM e",
    "SELECT id FROM e WHERE t ¦= 5",
    "SELECT id FROM e WHERE (t) ¦= (5)",
    "SELECT id FROM e WHERE ¦t",
    "SELECT id FROM e WHERE id = ¦'abc'",
    "SELECT id FROM e WHERE ¦'abc' = id",
    "SELECT id FROM e WHERE id IN (1, ¦'x')",
    "SELECT id FROM e WHERE id BETWEEN 1 AND ¦'z'",
    "SELECT id FROM e WHERE b = ¦'maybe'",
    "SELECT id FROM e ORDER BY ¦nope",
    "SELECT ¦'abc'::int",
    "SELECT cast(¦'abc' AS int)",
    "SELECT true¦::date",
    "SELECT ¦CAST(true AS date)",
    "SELECT date ¦'2020-13-45'",
    "SELECT interval ¦'foo'",
    "SELECT ¦'70000'::int2",
    "SELECT ¦'x'::numeric(5, 2), 1::varchar",
    "SELECT now() ¦+ 5",
    "SELECT 'ü' || id, 5 ¦|| 5 FROM e",
    "SELECT t ¦LIKE 5 FROM e",
    "SELECT id ¦IS DISTINCT FROM t FROM e",
    "SELECT NOT ¦id FROM e",
    "SELECT ¦id AND b FROM e",
    "SELECT array[1, ¦'x']",
    "SELECT round(¦'x', 1)",
    "SELECT ¦upper(1) FROM e",
    "SELECT ¦sum(t) FROM e",
    "SELECT CASE WHEN b THEN 1 ELSE ¦'x' END FROM e",
    "SELECT count(*) FROM e WHERE ¦count(*) > 1",
    "INSERT INTO e VALUES (¦'x', 'a')",
    "INSERT INTO e VALUES (1, 'a', ¦5)",
    "UPDATE e SET id = ¦'x'",
    "UPDATE e SET b = ¦1",
    "DELETE FROM e WHERE ¦nope = 1",
    "INSERT INTO e VALUES (1, 'a', true, ¦4)",
    "INSERT INTO e VALUES (1, 'a'), (¦2)",
    "VALUES (1), (¦2, 3)",
    "SELECT id FROM e ORDER BY ¦7",
    "SELECT id FROM e GROUP BY ¦7",
    "SELECT max(id), ¦t FROM e",
    "SELECT b, ¦e.t FROM e GROUP BY b",
    "SELECT 1 UNION SELECT ¦1, 2",
    "SELECT ¦'\\x010'::bytea",
    "SELECT 1::¦nope",
    "SELECT CAST(1 AS ¦nope)",
    "SELECT 1 +¦;",
    "CREATE TABLE bad (a INT, b ¦nope)",
    "CREATE TABLE bad (a  ¦varchar(0))",
    "CREATE TABLE bad (a INT DEFAULT ¦'x')",
    "CREATE TABLE bad (a INT DEFAULT ¦b)",
    "ALTER TABLE e ADD COLUMN a ¦nope",
];

#[tokio::test(start_paused = true)]
async fn carets_stand_where_postgresql_puts_them() {
    let world = World::new();
    let mut session = session(&world, 0);
    ok(&mut session, "CREATE TABLE e (id INT PRIMARY KEY, t TEXT NOT NULL, b BOOL)").await;
    for marked in CARETS {
        let sql = marked.replace('¦', "");
        let error = run(&mut session, &sql).await.expect_err(&sql);
        assert_eq!(error.position, marked.find('¦'), "{marked}: {error:?}");
    }
    for placeless in [
        "SELECT 1 / 0",
        "SELECT 70000::int2",
        "INSERT INTO e (id) VALUES (1)",
        "UPDATE e SET id = 1, id = 2",
    ] {
        let error = run(&mut session, placeless).await.expect_err(placeless);
        assert_eq!(error.position, None, "{placeless}: {error:?}");
    }
    world.check().await;
}
