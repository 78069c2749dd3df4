//! `AS OF SYSTEM TIME`: where it may stand, and what may name the snapshot.

use crate::{
    sessions::{ok, run, session, state},
    support::World,
};
use sql::{Datum, Execution, Session, Type};

#[tokio::test(start_paused = true)]
async fn the_past_is_that_of_the_whole_statement_or_of_none() {
    let world = World::new();
    let mut session = session(&world, 0);
    ok(&mut session, "CREATE TABLE t (id INT PRIMARY KEY, v INT)").await;
    for sql in [
        "SELECT * FROM (SELECT * FROM t AS OF SYSTEM TIME '-1s') AS q",
        "SELECT (SELECT max(v) FROM t AS OF SYSTEM TIME '-1s'), count(*) FROM t",
        "SELECT * FROM t WHERE id IN (SELECT id FROM t AS OF SYSTEM TIME '-1s' WHERE v = 1)",
        "WITH q AS (SELECT * FROM t AS OF SYSTEM TIME '-1s') SELECT * FROM q, t",
        "(SELECT * FROM t AS OF SYSTEM TIME '-1s') UNION SELECT * FROM t",
        "INSERT INTO t SELECT * FROM t AS OF SYSTEM TIME '-1s'",
        "UPDATE t SET v = (SELECT 1 AS OF SYSTEM TIME '-1s')",
        "PREPARE p AS SELECT * FROM t AS OF SYSTEM TIME $1 - interval '1 s'",
    ] {
        let error = run(&mut session, sql).await.expect_err(sql);
        assert_eq!(error.sqlstate.to_string(), "0A000", "{sql}: {}", error.message);
        assert!(error.message.contains("AS OF SYSTEM TIME"), "{sql}: {}", error.message);
    }
}

#[tokio::test(start_paused = true)]
async fn the_snapshot_may_be_a_parameter() {
    let world = World::new();
    let mut session = session(&world, 0);
    ok(&mut session, "CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 1)")
        .await;
    let at = commit_timestamp(&mut session).await;
    ok(&mut session, "UPDATE t SET v = 2").await;
    let sql = "SELECT v FROM t AS OF SYSTEM TIME $2 WHERE id = $1";
    let statement = session.parse(sql).expect("it is SQL").remove(0);
    let prepared = session.prepare(&statement, &[]).await.expect("it can be prepared");
    assert_eq!(prepared.param_types(), [Type::Int4, Type::Text]);
    let values = vec![Datum::Int(1), Datum::text(&at)];
    let Ok(Execution::Rows { rows, .. }) = session.execute(&prepared, values).await else {
        panic!("it answers with rows")
    };
    assert_eq!(rows, [[Datum::Int(1)]]);
    let null = session.execute(&prepared, vec![Datum::Int(1), Datum::Null]).await;
    assert_eq!(null.expect_err("no moment").sqlstate.to_string(), "22023");
    let declared = [None, Some(Type::TimestampTz)];
    let prepared = session.prepare(&statement, &declared).await.expect("it can be prepared");
    assert_eq!(prepared.param_types(), [Type::Int4, Type::TimestampTz]);
    // Before the table was made.
    let values = vec![Datum::Int(1), Datum::TimestampTz(0)];
    let error = session.execute(&prepared, values).await.expect_err("too early");
    assert_eq!(error.sqlstate.to_string(), "42P01", "{}", error.message);
    ok(&mut session, "PREPARE past AS SELECT v FROM t AS OF SYSTEM TIME $1").await;
    assert_eq!(ok(&mut session, &format!("EXECUTE past('{at}')")).await, ["[1]"]);
    assert_eq!(state(&mut session, "SELECT v FROM t AS OF SYSTEM TIME $1").await, "42P02");
}

/// The parameter is an int as it was declared, whatever the column's type would make of it.
#[tokio::test(start_paused = true)]
async fn parameters_have_the_types_that_were_declared() {
    let world = World::new();
    let mut session = session(&world, 0);
    ok(&mut session, "CREATE TABLE p (k numeric PRIMARY KEY); INSERT INTO p VALUES (5)").await;
    let at = commit_timestamp(&mut session).await;
    let query = format!("SELECT k, $1 FROM p AS OF SYSTEM TIME '{at}' WHERE k = $1");
    ok(&mut session, &format!("PREPARE q(int) AS {query}")).await;
    assert_eq!(ok(&mut session, "EXECUTE q(5)").await, ["[5n, 5]"]);
    world.check().await;
}

/// What a client was told about the columns holds, or the statement fails.
#[tokio::test(start_paused = true)]
async fn a_result_of_other_columns_than_were_told_is_refused() {
    let world = World::new();
    let mut session = session(&world, 0);
    ok(&mut session, "CREATE TABLE p (k int PRIMARY KEY); INSERT INTO p VALUES (5)").await;
    let past = format!("TABLE p AS OF SYSTEM TIME '{}'", commit_timestamp(&mut session).await);
    for sql in [past.as_str(), "EXECUTE q"] {
        ok(&mut session, "DEALLOCATE ALL; PREPARE q AS SELECT k FROM p").await;
        let statement = session.parse(sql).expect(sql).swap_remove(0);
        let prepared = session.prepare(&statement, &[]).await.expect(sql);
        let before = session.execute(&prepared, Vec::new()).await;
        assert_eq!(before.unwrap_or_else(|error| panic!("{sql}: {error:?}")).tag(), "SELECT 1");
        let change = "ALTER TABLE p ADD COLUMN v int; DEALLOCATE ALL; PREPARE q AS TABLE p";
        ok(&mut session, change).await;
        let error = session.execute(&prepared, Vec::new()).await.expect_err(sql);
        assert_eq!(error.sqlstate.to_string(), "0A000", "{sql}: {}", error.message);
        assert_eq!(error.message, "cached plan must not change result type");
        ok(&mut session, "ALTER TABLE p DROP COLUMN v").await;
    }
    world.check().await;
}

async fn commit_timestamp(session: &mut Session) -> String {
    let rows = ok(session, "SHOW COMMIT TIMESTAMP").await;
    rows[0].trim_matches(['[', ']', '"']).to_owned()
}
