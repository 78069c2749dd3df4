//! Statements that compute for long: they let others run, and they end when they are told to.
//!
//! Time is virtual and stands still while somebody computes, so nothing here depends on how fast
//! the machine is: what is counted is how often another session was served meanwhile.

use std::time::Duration;

use expr::SqlState;
use sql::{Session, SessionOptions, SqlError};

use crate::support::World;

pub async fn run(session: &mut Session, sql: &str) -> Result<Vec<String>, SqlError> {
    let mut rows = Vec::new();
    session
        .simple(sql, &mut |execution| {
            if let sql::Execution::Rows { rows: found, .. } = execution {
                rows = found.iter().map(|row| format!("{row:?}")).collect();
            }
        })
        .await?;
    Ok(rows)
}

pub async fn world() -> (World, Session, Session) {
    let world = World::new();
    let session = || world.databases[0].session(SessionOptions::default()).expect("few");
    let (mut heavy, light) = (session(), session());
    let tables = "CREATE TABLE point (k int PRIMARY KEY, v int); INSERT INTO point VALUES (1, 7);
        CREATE TABLE l (a int PRIMARY KEY); CREATE TABLE r (b int PRIMARY KEY);
        INSERT INTO l SELECT g FROM generate_series(1, 1000) AS g;
        INSERT INTO r SELECT g FROM generate_series(1, 1000) AS g;";
    run(&mut heavy, tables).await.expect("tables");
    (world, heavy, light)
}

/// Statements that would take from seconds to for ever, with what they hold on the way being small.
const ENDLESS: [(&str, &str); 9] = [
    ("a series", "SELECT count(*) FROM generate_series(1, 20000000000)"),
    (
        "a join of series",
        "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b
         WHERE a + b = 0",
    ),
    (
        "joins of tables",
        "SELECT count(*) FROM l, r, l AS m, r AS s WHERE l.a + r.b + m.a + s.b = 0",
    ),
    (
        "a left join without equality",
        "SELECT count(*) FROM generate_series(1, 1000000) g LEFT JOIN l ON g < l.a - 1000000",
    ),
    ("groups", "SELECT g % 7, sum(g) FROM generate_series(1, 20000000000) g GROUP BY 1"),
    ("distinct values", "SELECT DISTINCT g % 7 FROM generate_series(1, 20000000000) g"),
    (
        "a set operation",
        "SELECT g FROM generate_series(1, 10) g INTERSECT ALL
         SELECT 5 FROM generate_series(1, 20000000000) g LIMIT 1",
    ),
    (
        "a subquery",
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM generate_series(1, 20000000000) g WHERE g < 0)",
    ),
    (
        "queries of WITH",
        "WITH w AS (SELECT count(*) AS n FROM generate_series(1, 20000000000))
         SELECT * FROM w, w AS v",
    ),
];

#[tokio::test(start_paused = true)]
async fn whoever_computes_lets_others_run_and_can_be_cancelled() {
    let (_world, mut heavy, mut light) = world().await;
    for (name, sql) in ENDLESS {
        let cancel = heavy.cancel_handle();
        let served = async {
            for _ in 0..20 {
                let rows = run(&mut light, "SELECT v FROM point WHERE k = 1").await;
                assert_eq!(rows.expect("a row"), ["[7]"], "beside {name}");
            }
            cancel.cancel();
        };
        let (ended, ()) = tokio::join!(run(&mut heavy, sql), served);
        let error = ended.expect_err("it was cancelled");
        assert_eq!(error.sqlstate, SqlState::QUERY_CANCELED, "{name}: {error:?}");
    }
}

/// Time passes for them alone: the clock is moved while they compute.
#[tokio::test(start_paused = true)]
async fn whoever_computes_ends_when_its_time_is_over() {
    let (_world, mut heavy, _light) = world().await;
    run(&mut heavy, "SET statement_timeout = '1s'").await.expect("a setting");
    for (name, sql) in ENDLESS {
        let passes = async {
            tokio::task::yield_now().await;
            tokio::time::advance(Duration::from_secs(2)).await;
        };
        let (ended, ()) = tokio::join!(run(&mut heavy, sql), passes);
        let error = ended.expect_err("its time is over");
        assert_eq!(error.sqlstate, SqlState::QUERY_CANCELED, "{name}: {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_is_gone_computes_no_more() {
    let (_world, mut heavy, mut light) = world().await;
    for (name, sql) in ENDLESS {
        let work = run(&mut heavy, sql);
        let served = async {
            for _ in 0..3 {
                run(&mut light, "SELECT v FROM point WHERE k = 1").await.expect("a row");
            }
        };
        // The connection's task ends, and with it what it waits for.
        tokio::select! {
            biased;
            ended = work => panic!("{name} ended: {ended:?}"),
            () = served => {}
        }
    }
    assert_eq!(run(&mut heavy, "SELECT 1").await.expect("it goes on"), ["[1]"]);
}

/// What takes long in one evaluation is refused before it is begun, or is fast.
#[tokio::test(start_paused = true)]
async fn values_are_bounded_before_they_are_made() {
    let (_world, mut session, _light) = world().await;
    let refused = [
        ("SELECT pow(100::numeric, 12345.6789)", "22003"),
        ("SELECT power(10::numeric, 131073)", "22003"),
        ("SELECT 2::numeric ^ 100000000", "22003"),
        ("SELECT exp(100000::numeric)", "22003"),
        ("SELECT 1e131071::numeric * 10", "22003"),
        ("SELECT 1e131072", "22003"),
        ("SELECT repeat('1', 60000000)::numeric", "22003"),
        ("SELECT repeat('x', 1000000000)", "54000"),
        ("SELECT lpad('x', 1000000000, 'y')", "54000"),
        ("SELECT rpad('x', 2147483647)", "54000"),
        ("SELECT replace(repeat('x', 1000000), 'x', repeat('y', 1000000))", "54000"),
        ("SELECT regexp_replace(repeat('x', 100000), 'x', repeat('y', 100000), 'g')", "54000"),
        ("SELECT length(concat(repeat('x', 60000000), repeat('x', 60000000)))", "54000"),
        (
            "SELECT array_length(ARRAY[repeat('a', 60000000), repeat('b', 60000000), \
             repeat('c', 60000000), repeat('d', 60000000), repeat('e', 60000000)], 1)",
            "53200",
        ),
        ("SELECT string_agg(repeat('x', 1000000), ',') FROM generate_series(1, 1000)", "54000"),
        ("SELECT array_agg(g) FROM generate_series(1, 100000000) g", "53200"),
        ("SELECT g FROM generate_series(1, 100000000) g ORDER BY g", "53200"),
        ("SELECT DISTINCT g FROM generate_series(1, 100000000) g", "53200"),
    ];
    for (sql, state) in refused {
        let error = run(&mut session, sql).await.expect_err(sql);
        assert_eq!(error.sqlstate.code(), state, "{sql}: {error:?}");
    }
    let fine = [
        ("SELECT round(ln(1e131000::numeric), 3)", "301638.647"),
        ("SELECT round(log(1e100000::numeric), 3)", "100000.000"),
        ("SELECT round(ln(1e-16000::numeric), 3)", "-36841.361"),
        ("SELECT pow(0.5::numeric, 12345.6789) = 0", "true"),
        ("SELECT length(translate(repeat('x', 1000000), repeat('y', 1000000), ''))", "1000000"),
        ("SELECT split_part(repeat('x,', 1000000), ',', -2)", "x"),
        ("SELECT count(*) FROM generate_series(1, 100000) g", "100000"),
    ];
    for (sql, value) in fine {
        let rows = run(&mut session, sql).await.expect(sql);
        assert!(rows[0].contains(value), "{sql}: {rows:?}");
    }
}

/// Rows that nobody holds need no memory.
#[tokio::test(start_paused = true)]
async fn a_join_that_is_counted_is_not_held() {
    let config = sql::Config { statement_memory: 1 << 20, ..sql::Config::default() };
    let world = World::with(config);
    let mut session = world.databases[0].session(SessionOptions::default()).expect("few");
    let sql =
        "SELECT count(*), max(a * b) FROM generate_series(1, 400) a, generate_series(1, 400) b
        WHERE a <> b";
    assert_eq!(run(&mut session, sql).await.expect("a row"), ["[159600, 159600]"]);
    let sorted = "SELECT a FROM generate_series(1, 400) a, generate_series(1, 400) b ORDER BY b";
    let error = run(&mut session, sorted).await.expect_err("it is held");
    assert_eq!(error.sqlstate.code(), "53200");
}

/// Rows that are passed on count while they are made: a batch of large ones is short.
#[tokio::test(start_paused = true)]
async fn a_batch_of_large_rows_is_short() {
    let (_world, mut session, _light) = world().await;
    let counted = "SELECT count(*) FROM (SELECT repeat('x', 4000000 + g) AS t
        FROM generate_series(1, 200) g) AS s WHERE t > ''";
    assert_eq!(run(&mut session, counted).await.expect("a row"), ["[200]"]);
    for sql in [
        "SELECT repeat('x', 60000000 + g) FROM generate_series(1, 1000) g",
        "SELECT (g::text)::char(10000000) FROM generate_series(1, 1000) g",
    ] {
        let error = run(&mut session, sql).await.expect_err(sql);
        assert_eq!(error.sqlstate.code(), "53200", "{sql}: {error:?}");
    }
    let columns = vec!["g::text::char(10000000)"; 1_000].join(", ");
    let wide = format!("SELECT {columns} FROM generate_series(1, 1) g");
    let error = run(&mut session, &wide).await.expect_err("a wide row");
    assert_eq!(error.sqlstate.code(), "53200", "{error:?}");
}

/// Long work within rows pauses as many rows do: others are served in the midst of it.
#[tokio::test(start_paused = true)]
async fn rows_that_take_long_and_writes_of_many_let_others_run() {
    let (_world, mut heavy, mut light) = world().await;
    let table = "CREATE TABLE many (k int PRIMARY KEY, v int UNIQUE);
        INSERT INTO many SELECT g, g FROM generate_series(1, 4000) AS g;";
    run(&mut heavy, table).await.expect("a table");
    let array = vec!["1"; 100_000].join(",");
    for (name, sql, times) in [
        (
            "powers",
            "SELECT count(*) FROM (SELECT pow(1.1::numeric, g + 0.5) AS p
             FROM generate_series(1, 200) g) AS s WHERE p > 0"
                .to_owned(),
            50,
        ),
        (
            "elements of an array",
            format!("SELECT count(*) FROM generate_series(2, 100) g WHERE g = ANY ('{{{array}}}')"),
            50,
        ),
        ("an update", "UPDATE many SET v = v + 1 RETURNING v".to_owned(), 50),
        ("a delete", "DELETE FROM many RETURNING v".to_owned(), 20),
    ] {
        let served = served_beside(&mut heavy, &mut light, &sql).await;
        assert!(served >= times, "{name}: others were served {served} times");
    }
}

/// How often another session is served while a statement runs.
pub async fn served_beside(heavy: &mut Session, light: &mut Session, sql: &str) -> u32 {
    let served = std::cell::Cell::new(0);
    let others = async {
        loop {
            run(light, "SELECT v FROM point WHERE k = 1").await.expect("a row");
            served.set(served.get() + 1);
            // What the statement waits for may be a task.
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        ended = run(heavy, sql) => drop(ended.expect(sql)),
        () = others => {}
    }
    served.get()
}

/// What cannot be stopped in its midst is fast, or is not begun.
#[tokio::test(start_paused = true)]
async fn searches_in_long_texts_are_fast_or_refused() {
    let (_world, mut session, _light) = world().await;
    let like = "SELECT repeat('a', 8000000) LIKE '%' || repeat('a', 4000000) || 'b'";
    assert_eq!(run(&mut session, like).await.expect("an answer"), ["[false]"]);
    let regex = "SELECT repeat('a', 60000000) ~ repeat('(a|b)?', 1000)";
    assert_eq!(run(&mut session, regex).await.expect("an answer"), ["[true]"]);
    // The groups of a long match are found in one go, which is too long here.
    let groups = "SELECT regexp_replace(repeat('ab', 4000000), '([ab]*)(a[ab]{201})$', '\\2')";
    let error = run(&mut session, groups).await.expect_err("too long");
    assert_eq!(error.sqlstate.code(), "54000", "{error:?}");
}
