//! What statements write: under the making of an index, beyond limits, and asking the cluster.

use std::{sync::Arc, time::Duration};

use keys::{IndexId, Key, NodeId, RangeId, codec::Direction};
use kv::LockWait;
use sql::{
    Config, Datum,
    catalog::{Index, IndexColumn, IndexState, Uniqueness, entry, store},
};
use txn::{Coordinator, TxnOptions};

use crate::{
    sessions::{ok, run, session},
    support::World,
};

/// The entry that a row of `t` will have in the index that is made next, over `u`.
async fn coming_entry(below: &Arc<Coordinator>, row: &[Datum]) -> Key {
    let mut txn = below.begin(TxnOptions::default());
    let catalog = store::load(&mut txn).await.expect("the catalog can be read");
    let table = catalog.table("t").expect("it was made");
    let (at, _) = table.column("u").expect("it is a column");
    let index = Index {
        id: IndexId(table.next_index),
        name: "t_u".to_owned(),
        unique: Uniqueness::Unique,
        columns: vec![IndexColumn {
            column: table.columns[at].id,
            direction: Direction::Ascending,
        }],
        stored: Vec::new(),
        state: IndexState::WriteOnly,
    };
    entry(table, &index, row).key
}

/// Two rows have one value while a unique index is made. The backfill has passed the first row and
/// stands still before the second: what happens to that one must leave the first one's entry alone.
#[tokio::test(start_paused = true)]
async fn rows_that_change_under_the_making_of_a_unique_index_keep_their_entries() {
    for (change, runs, made) in [
        ("UPDATE t SET u = 6 WHERE k = 3", true, true),
        ("DELETE FROM t WHERE k = 3", true, true),
        ("INSERT INTO t VALUES (3, 0, '') ON CONFLICT (k) DO UPDATE SET u = 6", true, true),
        ("UPDATE t SET v = 'new' WHERE k = 3", false, false),
        ("INSERT INTO t VALUES (4, 5, 'd')", false, false),
    ] {
        let world = World::with(Config { backfill_rows: 1, ..Config::default() });
        let (mut maker, mut other) = (session(&world, 0), session(&world, 1));
        ok(&mut maker, "CREATE TABLE t (k INT PRIMARY KEY, u INT, v TEXT)").await;
        ok(&mut maker, "INSERT INTO t VALUES (1, 5, 'a'), (2, 100, 'b'), (3, 5, 'c')").await;
        let below = world.naive.at(NodeId(9)).coordinator();
        let row = [Datum::Int(2), Datum::Int(100), Datum::text("b")];
        let between = coming_entry(&below, &row).await;
        let mut blocker = below.begin(TxnOptions::default());
        blocker.lock(vec![between], LockWait::Wait).await.expect("it is free");
        let make = "CREATE UNIQUE INDEX t_u ON t (u) INCLUDE (v)";
        let (result, changed) = tokio::join!(run(&mut maker, make), async {
            timer::sleep(Duration::from_millis(50)).await;
            let changed = run(&mut other, change).await;
            blocker.rollback().await;
            changed
        });
        assert_eq!(changed.is_ok(), runs, "{change}: {changed:?}");
        assert_eq!(result.is_ok(), made, "{change}: {result:?}");
        world.check().await;
        assert_eq!(ok(&mut maker, "SELECT k FROM t WHERE u = 5 AND k = 1").await, ["[1]"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_no_range_takes_is_refused_at_the_statement() {
    let world = World::new();
    let mut session = session(&world, 0);
    ok(&mut session, "CREATE TABLE t (k TEXT PRIMARY KEY, u TEXT UNIQUE, v TEXT)").await;
    for sql in [
        "INSERT INTO t VALUES (repeat('k', 17000))",
        "INSERT INTO t VALUES ('k', repeat('u', 17000))",
        "INSERT INTO t VALUES (repeat('k', 17000)) ON CONFLICT DO NOTHING",
        "INSERT INTO t VALUES ('a') ON CONFLICT (k) DO UPDATE SET u = repeat('u', 17000)",
        "UPDATE t SET k = repeat('k', 17000)",
        "INSERT INTO t VALUES ('k', 'u', repeat('v', 17000000))",
        "UPDATE t SET v = repeat('v', 17000000)",
    ] {
        for level in ["SERIALIZABLE", "READ COMMITTED"] {
            ok(&mut session, &format!("BEGIN ISOLATION LEVEL {level}")).await;
            ok(&mut session, "INSERT INTO t VALUES ('a', 'b', 'c')").await;
            let error = run(&mut session, sql).await.expect_err(sql);
            assert_eq!(error.sqlstate.to_string(), "54000", "{sql}: {}", error.message);
            ok(&mut session, "ROLLBACK").await;
        }
    }
    ok(&mut session, "INSERT INTO t VALUES (repeat('k', 16000), repeat('u', 16000))").await;
    world.check().await;
}

#[tokio::test(start_paused = true)]
async fn a_function_of_the_cluster_may_stand_wherever_an_expression_may() {
    let world = World::new();
    let mut session = session(&world, 1);
    ok(&mut session, "CREATE TABLE t (k INT PRIMARY KEY, v INT8)").await;
    let node = "meridian_node_id()";
    for sql in [
        format!("INSERT INTO t VALUES (1, {node}) RETURNING v, {node}"),
        format!("INSERT INTO t VALUES (1, 0) ON CONFLICT (k) DO UPDATE SET v = {node} + t.v"),
        format!("INSERT INTO t VALUES (1, 0) ON CONFLICT (k) DO UPDATE SET v = 3 WHERE {node} = 2"),
        format!("INSERT INTO t (k, v) VALUES (2, {node}), (3, DEFAULT)"),
        format!("UPDATE t SET v = {node} WHERE k = {node}"),
        format!("SELECT count(*) FROM t WHERE v = {node} HAVING max(v) = {node} LIMIT {node}"),
        format!("DELETE FROM t WHERE v = {node} RETURNING {node}"),
    ] {
        ok(&mut session, &sql).await;
    }
    assert_eq!(ok(&mut session, "SELECT * FROM t").await, ["[1, 3]", "[3, NULL]"]);
}

/// What a transaction read and did not find may be longer than a key can be.
#[tokio::test(start_paused = true)]
async fn a_read_of_a_key_too_long_to_exist_does_not_hinder_the_commit() {
    let world = World::new();
    let mut session = session(&world, 0);
    ok(&mut session, "CREATE TABLE t (k TEXT PRIMARY KEY, u TEXT UNIQUE, v TEXT)").await;
    for level in ["SERIALIZABLE", "REPEATABLE READ", "READ COMMITTED"] {
        ok(&mut session, &format!("BEGIN ISOLATION LEVEL {level}")).await;
        for condition in [
            "k = repeat('x', 20000)",
            "u = repeat('x', 20000)",
            "k > repeat('x', 20000)",
            "u < repeat('x', 20000)",
        ] {
            let rows = ok(&mut session, &format!("SELECT v FROM t WHERE {condition}")).await;
            assert!(rows.is_empty(), "{rows:?}");
        }
        ok(&mut session, "INSERT INTO t VALUES ('z', 'z', 'v')").await;
        ok(&mut session, "COMMIT").await;
        ok(&mut session, "DELETE FROM t").await;
    }
}

/// The key of a table's index with this number, in front of all its entries.
async fn index_start(below: &Arc<Coordinator>, index: IndexId) -> Key {
    let mut txn = below.begin(TxnOptions::default());
    let catalog = store::load(&mut txn).await.expect("the catalog can be read");
    keys::layout::index_span(catalog.table("t").expect("it was made").id, index).start
}

/// An upsert in READ COMMITTED has read an entry, and waits for its row, which an older transaction has
/// locked (X6), when that one takes its lock on the entry, too, and changes both. They lie in two
/// ranges. The upsert must not tell of an index that contradicts its table, nor update a row it does
/// not meet any more.
#[tokio::test(start_paused = true)]
async fn an_upsert_that_lost_its_entry_looks_again() {
    for (change, left) in [
        ("DELETE FROM t WHERE k = 1", vec!["[9, 5, new]"]),
        ("UPDATE t SET u = 6 WHERE k = 1", vec!["[1, 6, old]", "[9, 5, new]"]),
        ("UPDATE t SET v = 'other' WHERE k = 1", vec!["[1, 5, updated]"]),
    ] {
        let world = World::new();
        let (mut older, mut upsert) = (session(&world, 0), session(&world, 1));
        ok(&mut older, "CREATE TABLE t (k INT PRIMARY KEY, u INT UNIQUE, v TEXT)").await;
        ok(&mut older, "INSERT INTO t VALUES (1, 5, 'old')").await;
        let below = world.naive.at(NodeId(9)).coordinator();
        world.naive.split(&index_start(&below, IndexId(2)).await, RangeId(900));
        ok(&mut older, "BEGIN").await;
        ok(&mut older, change).await;
        timer::sleep(Duration::from_millis(1)).await;
        ok(&mut upsert, "SET default_transaction_isolation = 'read committed'").await;
        let insert =
            "INSERT INTO t VALUES (9, 5, 'new') ON CONFLICT (u) DO UPDATE SET v = 'updated'";
        let (upserted, committed) = tokio::join!(run(&mut upsert, insert), async {
            timer::sleep(Duration::from_millis(50)).await;
            run(&mut older, "COMMIT").await
        });
        assert!(committed.is_ok(), "{change}: {committed:?}");
        assert!(upserted.is_ok(), "{change}: {upserted:?}");
        let rows = ok(&mut older, "SELECT k || ', ' || u || ', ' || v FROM t ORDER BY k").await;
        let rows: Vec<String> = rows.iter().map(|row| row.replace(['"', '\''], "")).collect();
        assert_eq!(rows, left, "{change}");
        world.check().await;
    }
}

/// Programs look for the constraint in the fields of an error, whichever statement found the row.
#[tokio::test(start_paused = true)]
async fn errors_about_rows_name_table_column_and_constraint() {
    let world = World::new();
    let mut session = session(&world, 0);
    ok(&mut session, "CREATE TABLE t (\"Co l\" INT PRIMARY KEY, \"select\" INT, n INT)").await;
    ok(&mut session, "INSERT INTO t VALUES (1, 5, NULL), (2, 5, 1)").await;
    ok(
        &mut session,
        "CREATE TABLE u (k INT PRIMARY KEY, n INT NOT NULL, CONSTRAINT few CHECK (n < 9))",
    )
    .await;
    for (sql, state, column, constraint, detail) in [
        (
            "INSERT INTO t VALUES (1)",
            "23505",
            None,
            Some("t_pkey"),
            Some("Key (\"Co l\")=(1) already exists."),
        ),
        (
            "CREATE UNIQUE INDEX twice ON t (\"select\")",
            "23505",
            None,
            Some("twice"),
            Some("Key (\"select\")=(5) is duplicated."),
        ),
        ("ALTER TABLE t ADD CONSTRAINT c CHECK (\"select\" < 5)", "23514", None, Some("c"), None),
        ("ALTER TABLE t ALTER COLUMN n SET NOT NULL", "23502", Some("n"), None, None),
        ("ALTER TABLE t ADD COLUMN m INT NOT NULL", "23502", Some("m"), None, None),
        (
            "INSERT INTO u VALUES (1, NULL)",
            "23502",
            Some("n"),
            None,
            Some("Failing row contains (1, null)."),
        ),
        (
            "INSERT INTO u VALUES (1, 9)",
            "23514",
            None,
            Some("few"),
            Some("Failing row contains (1, 9)."),
        ),
    ] {
        let error = run(&mut session, sql).await.expect_err(sql);
        assert_eq!(error.sqlstate.to_string(), state, "{sql}: {error:?}");
        let objects = error.objects.unwrap_or_else(|| panic!("{sql}: no fields"));
        assert_eq!(objects.schema.as_deref(), Some("public"), "{sql}");
        let table = if sql.contains(" u ") { "u" } else { "t" };
        assert_eq!(objects.table.as_deref(), Some(table), "{sql}");
        assert_eq!(objects.column.as_deref(), column, "{sql}");
        assert_eq!(objects.constraint.as_deref(), constraint, "{sql}");
        assert_eq!(error.detail.as_deref(), detail, "{sql}");
    }
    world.check().await;
}

/// Whatever a statement waits for when its time is over, it is told so in the same words.
#[tokio::test(start_paused = true)]
async fn a_statement_whose_time_is_over_at_a_lock_says_so() {
    let world = World::new();
    let (mut holder, mut waiter) = (session(&world, 0), session(&world, 1));
    ok(&mut holder, "CREATE TABLE t (k INT PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    ok(&mut holder, "BEGIN; SELECT * FROM t FOR UPDATE").await;
    ok(&mut waiter, "SET statement_timeout = '2s'").await;
    let error = run(&mut waiter, "SELECT * FROM t FOR UPDATE").await.expect_err("it is locked");
    assert_eq!(error.sqlstate.to_string(), "57014");
    assert_eq!(error.message, "canceling statement due to statement timeout");
    let detail = error.detail.expect("whose lock it was");
    assert!(detail.contains("held a lock on t/primary/[1] until then"), "{detail}");
    ok(&mut holder, "ROLLBACK").await;
    world.check().await;
}

/// A row that becomes what was proposed, whatever it is, is not read; where anything of it is needed, or of
/// its entries in other indexes, it is.
#[tokio::test(start_paused = true)]
async fn only_what_replaces_a_whole_row_is_written_unread() {
    let world = World::new();
    let mut session = session(&world, 0);
    for table in [
        "CREATE TABLE t (k INT, v TEXT, w INT DEFAULT 7, PRIMARY KEY (k))",
        "CREATE TABLE two (v TEXT, a INT, b INT, PRIMARY KEY (b, a))",
        "CREATE TABLE indexed (k INT PRIMARY KEY, v TEXT, w INT)",
        "CREATE INDEX indexed_w ON indexed (w)",
        "CREATE TABLE hidden (k INT UNIQUE, v TEXT)",
        "CREATE TABLE lossy (k NUMERIC PRIMARY KEY, v TEXT)",
    ] {
        ok(&mut session, table).await;
    }
    let all = "v = excluded.v, w = excluded.w";
    for (unread, insert) in [
        (true, format!("INTO t VALUES (1, 'a', 1) ON CONFLICT (k) DO UPDATE SET {all}")),
        (true, format!("INTO t (k) VALUES (1), (2) ON CONFLICT (k) DO UPDATE SET {all}")),
        (true, format!("INTO t VALUES (1) ON CONFLICT (k) DO UPDATE SET k = excluded.k, {all}")),
        (false, "INTO t VALUES (1, 'a') ON CONFLICT (k) DO UPDATE SET v = excluded.v".to_owned()),
        (
            false,
            "INTO t VALUES (1) ON CONFLICT (k) DO UPDATE SET (v, w) = ('', excluded.w)".to_owned(),
        ),
        (
            false,
            "INTO t VALUES (1) ON CONFLICT (k) DO UPDATE SET v = t.v, w = excluded.w".to_owned(),
        ),
        (
            false,
            "INTO t VALUES (1) ON CONFLICT (k) DO UPDATE SET v = excluded.v, w = excluded.k"
                .to_owned(),
        ),
        (false, format!("INTO t VALUES (1) ON CONFLICT (k) DO UPDATE SET {all} WHERE t.w > 3")),
        (false, format!("INTO t VALUES (1) ON CONFLICT (k) DO UPDATE SET k = 4, {all}")),
        (false, "INTO t VALUES (1) ON CONFLICT (k) DO NOTHING".to_owned()),
        (
            true,
            "INTO two VALUES ('', 1, 2) ON CONFLICT (a, b) DO UPDATE SET v = excluded.v".to_owned(),
        ),
        (false, format!("INTO indexed VALUES (1) ON CONFLICT (k) DO UPDATE SET {all}")),
        (false, "INTO lossy VALUES (1) ON CONFLICT (k) DO UPDATE SET v = excluded.v".to_owned()),
        (
            true,
            "INTO lossy VALUES (1) ON CONFLICT (k) DO UPDATE SET k = excluded.k, v = excluded.v"
                .to_owned(),
        ),
        (false, "INTO hidden VALUES (1) ON CONFLICT (k) DO UPDATE SET v = excluded.v".to_owned()),
    ] {
        let plan = ok(&mut session, &format!("EXPLAIN INSERT {insert}")).await.join("\n");
        assert_eq!(plan.contains("replace unread"), unread, "{insert}: {plan}");
        let plan = ok(&mut session, &format!("EXPLAIN ANALYZE INSERT {insert}")).await.join("\n");
        assert_eq!(plan.contains("read range"), !unread, "{insert}: {plan}");
    }
    world.check().await;
}

/// Whoever replaces a row depends on nothing, so nobody's change is in the way.
#[tokio::test(start_paused = true)]
async fn those_who_replace_a_row_unread_do_not_conflict() {
    let world = World::new();
    let (mut one, mut other) = (session(&world, 0), session(&world, 1));
    ok(&mut one, "CREATE TABLE t (k INT PRIMARY KEY, v INT)").await;
    let put =
        |v| format!("INSERT INTO t VALUES (1, {v}) ON CONFLICT (k) DO UPDATE SET v = excluded.v");
    for (level, fits) in [("SERIALIZABLE", true), ("REPEATABLE READ", false)] {
        ok(&mut one, &format!("BEGIN ISOLATION LEVEL {level}")).await;
        ok(&mut one, &put(1)).await;
        let own = ok(&mut one, "SELECT v FROM t WHERE k = 1").await;
        assert_eq!(own, ["[1]"], "it sees what it put");
        ok(&mut other, &put(2)).await;
        // Only the weaker level, which validates what it writes, meets it.
        let committed = run(&mut one, "COMMIT").await;
        assert_eq!(committed.is_ok(), fits, "{level}: {committed:?}");
        let v = if fits { "[1]" } else { "[2]" };
        assert_eq!(ok(&mut one, "SELECT v FROM t").await, [v], "{level}");
    }
    // A block that read the row stands on what it read.
    ok(&mut one, "BEGIN").await;
    ok(&mut one, "SELECT v FROM t").await;
    ok(&mut one, &put(3)).await;
    ok(&mut other, &put(4)).await;
    let error = run(&mut one, "COMMIT").await.expect_err("it read what is no more");
    assert_eq!(error.sqlstate.to_string(), "40001");
}

/// One makes an index, another drops it at some moment of that, a third writes and a fourth reads by it: it
/// never shows less than the table.
#[tokio::test(start_paused = true)]
async fn an_index_that_is_dropped_while_it_is_made_never_misses_a_row() {
    let mut dropped = 0;
    for after in (0..60).map(|step| Duration::from_millis(2 * step)) {
        let world = World::with(Config { backfill_rows: 1, ..Config::default() });
        let mut sessions = [0, 1, 1, 0].map(|gateway| session(&world, gateway));
        let [maker, dropper, writer, reader] = &mut sessions;
        ok(maker, "CREATE TABLE t (k INT PRIMARY KEY, u INT)").await;
        ok(maker, "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)").await;
        // The backfill stands still in its midst for a while.
        let below = world.naive.at(NodeId(9)).coordinator();
        let between = coming_entry(&below, &[Datum::Int(2), Datum::Int(2)]).await;
        let mut blocker = below.begin(TxnOptions::default());
        blocker.lock(vec![between], LockWait::Wait).await.expect("it is free");
        let over = std::cell::Cell::new(0);
        let (made, gone, (), (), ()) = tokio::join!(
            async {
                let made = run(maker, "CREATE UNIQUE INDEX t_u ON t (u)").await;
                over.set(over.get() + 1);
                made
            },
            async {
                timer::sleep(after).await;
                let gone = run(dropper, "DROP INDEX t_u").await;
                over.set(over.get() + 1);
                gone
            },
            async {
                for k in 4.. {
                    if over.get() == 2 {
                        break;
                    }
                    ok(writer, &format!("INSERT INTO t VALUES ({k}, {k})")).await;
                    timer::sleep(Duration::from_millis(1)).await;
                }
            },
            async {
                while over.get() < 2 {
                    let sql = "SELECT count(*) FROM t WHERE u > 0
                               UNION ALL SELECT count(*) FROM t WHERE u + 0 > 0";
                    let counts = ok(reader, sql).await;
                    assert_eq!(counts[0], counts[1], "dropped after {after:?}");
                    timer::sleep(Duration::from_millis(1)).await;
                }
            },
            async {
                timer::sleep(Duration::from_millis(60)).await;
                blocker.rollback().await;
            }
        );
        let missing = gone.as_ref().is_err_and(|error| error.sqlstate.to_string() == "42704");
        assert!(gone.is_ok() || missing, "dropped after {after:?}: {gone:?}");
        let met = made.as_ref().is_err_and(|error| error.sqlstate.to_string() == "55000");
        assert!(made.is_ok() || met, "dropped after {after:?}: {made:?}");
        dropped += usize::from(gone.is_ok() && met);
        world.check().await;
    }
    assert!(dropped > 3, "it was dropped in the midst of its making {dropped} times only");
}

/// X6, X1a: in blocks, whoever upserts a row that another one is upserting waits for it, and then sees what
/// it made of it. Nobody has to begin anew. (They begin in the order in which they come: in the model of the
/// ranges an older one takes a younger one's locks.)
#[tokio::test(start_paused = true)]
async fn upserts_of_one_row_in_blocks_take_turns() {
    let world = World::new();
    let mut first = session(&world, 0);
    for table in [
        "CREATE TABLE t (k INT PRIMARY KEY, v INT)",
        "CREATE TABLE u (k INT PRIMARY KEY, e INT UNIQUE, v INT)",
    ] {
        ok(&mut first, table).await;
    }
    let mut clients: Vec<_> = (0..6).map(|client| session(&world, client % 2)).collect();
    for (upsert, shown, want) in [
        ("INSERT INTO t VALUES (1, 1) ON CONFLICT (k) DO UPDATE SET v = t.v + 1", "t", "[12]"),
        ("INSERT INTO u VALUES (1, 7, 1) ON CONFLICT (e) DO UPDATE SET v = u.v + 1", "u", "[12]"),
        ("INSERT INTO u VALUES (1, 7, 1) ON CONFLICT (k) DO UPDATE SET v = u.v + 1", "u", "[24]"),
    ] {
        let work = (1..).zip(&mut clients).map(|(place, session)| async move {
            timer::sleep(Duration::from_millis(place)).await;
            ok(session, "BEGIN").await;
            ok(session, upsert).await;
            // The others come meanwhile.
            timer::sleep(Duration::from_millis(10)).await;
            ok(session, upsert).await;
            ok(session, "COMMIT").await;
        });
        futures::future::join_all(work).await;
        assert_eq!(ok(&mut first, &format!("SELECT v FROM {shown}")).await, [want], "{upsert}");
    }
    world.check().await;
}

/// Many replace one row, each in a statement alone, at all levels: none is told of a conflict.
#[tokio::test(start_paused = true)]
async fn a_hot_row_is_replaced_by_many_without_an_error() {
    let world = World::new();
    let mut first = session(&world, 0);
    ok(&mut first, "CREATE TABLE t (k INT PRIMARY KEY, v INT)").await;
    let mut clients: Vec<_> = (0..12).map(|client| session(&world, client % 2)).collect();
    let work = clients.iter_mut().enumerate().map(|(client, session)| async move {
        let level = ["repeatable read", "serializable", "read committed"][client / 2 % 3];
        ok(session, &format!("SET default_transaction_isolation = '{level}'")).await;
        for round in 0..30 {
            let put = format!(
                "INSERT INTO t VALUES (1, {round}) ON CONFLICT (k) DO UPDATE SET v = excluded.v"
            );
            ok(session, &put).await;
        }
    });
    futures::future::join_all(work).await;
    assert_eq!(ok(&mut first, "SELECT count(*) FROM t WHERE k = 1").await, ["[1]"]);
}

/// `lock_timeout` holds for a statement that is a transaction of its own, too.
#[tokio::test(start_paused = true)]
async fn a_statement_alone_waits_no_longer_than_lock_timeout_either() {
    let world = World::new();
    let (mut holder, mut waiter) = (session(&world, 0), session(&world, 1));
    ok(&mut holder, "CREATE TABLE t (k INT PRIMARY KEY, v INT)").await;
    ok(&mut holder, "INSERT INTO t VALUES (1, 1)").await;
    ok(&mut holder, "BEGIN").await;
    ok(&mut holder, "UPDATE t SET v = 2 WHERE k = 1").await;
    ok(&mut waiter, "SET lock_timeout = '300ms'").await;
    let begun = timer::Instant::now();
    let statements = [
        "UPDATE t SET v = 3 WHERE k = 1",
        "DELETE FROM t WHERE k = 1",
        "INSERT INTO t VALUES (1, 3) ON CONFLICT (k) DO UPDATE SET v = excluded.v",
        "INSERT INTO t VALUES (1, 3) ON CONFLICT (k) DO UPDATE SET v = t.v + 1",
    ];
    for sql in statements {
        let error = run(&mut waiter, sql).await.expect_err(sql);
        assert_eq!(error.sqlstate.to_string(), "55P03", "{sql}: {error:?}");
    }
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1_200) && took < Duration::from_secs(3), "{took:?}");
    ok(&mut holder, "COMMIT").await;
    for sql in statements {
        ok(&mut waiter, sql).await;
    }
    assert_eq!(ok(&mut waiter, "SELECT v FROM t").await, ["[4]"]);
}
