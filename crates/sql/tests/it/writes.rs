//! What statements write: under the making of an index, beyond limits, and asking the cluster.

use crate::{
    sessions::{ok, run, session},
    support::World,
};
use sql::Config;

#[tokio::test(start_paused = true)]
async fn rows_that_change_under_the_making_of_a_unique_index_keep_their_entries() {
    let config = Config { backfill_rows: 1, ..Config::default() };
    let changes = [
        "UPDATE t SET u = 6 WHERE k = 2",
        "UPDATE t SET v = 'new' WHERE k = 2",
        "DELETE FROM t WHERE k = 2",
        "INSERT INTO t VALUES (2, 0, 'x') ON CONFLICT (k) DO UPDATE SET u = 9",
        "INSERT INTO t VALUES (7, 5, 'x') ON CONFLICT (k) DO NOTHING",
    ];
    for change in changes {
        for pause in 0..12 {
            let world = World::with(config.clone());
            let (mut maker, mut other) = (session(&world, 0), session(&world, 1));
            ok(&mut maker, "CREATE TABLE t (k INT PRIMARY KEY, u INT, v TEXT)").await;
            ok(&mut maker, "INSERT INTO t VALUES (1, 5, 'a'), (2, 5, 'b'), (3, 7, 'c')").await;
            let make = "CREATE UNIQUE INDEX t_u ON t (u) INCLUDE (v)";
            let (made, _) = tokio::join!(run(&mut maker, make), async {
                for _ in 0..pause * 3 {
                    tokio::task::yield_now().await;
                }
                run(&mut other, change).await
            });
            world.check().await;
            let twice = ok(&mut maker, "SELECT count(*) - count(DISTINCT u) FROM t").await;
            // It may have failed over rows that are gone meanwhile.
            assert!(made.is_err() || twice == ["[0]"], "{change} after {pause}: {twice:?}");
        }
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
