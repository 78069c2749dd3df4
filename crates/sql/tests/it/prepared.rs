//! Prepared statements: what they may run, when their time begins, and what is refused beforehand.

use std::time::Duration;

use crate::{
    sessions::{ok, session, state},
    support::World,
};

/// `EXECUTE` of a statement that is `EXECUTE`, as the protocol's Parse can make it: one that comes to
/// run itself would overflow the stack.
#[tokio::test(start_paused = true)]
async fn a_prepared_statement_cannot_come_to_run_itself() {
    let world = World::new();
    let mut session = session(&world, 0);
    ok(&mut session, "PREPARE a AS SELECT 1").await;
    let statement = session.parse("EXECUTE a").expect("it parses").swap_remove(0);
    let prepared = session.prepare(&statement, &[]).await.expect("there is an a");
    ok(&mut session, "DEALLOCATE a").await;
    session.keep_statement("a", prepared).expect("the name is free");
    assert_eq!(state(&mut session, "EXECUTE a").await, "0A000");
    assert_eq!(ok(&mut session, "SELECT 2").await, ["[2]"]);
    world.check().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_no_number_of_seconds_is_not_slept_for() {
    let world = World::new();
    let mut session = session(&world, 0);
    let sql = "SELECT pg_sleep('NaN'), pg_sleep('-infinity'), pg_sleep(-1)";
    assert_eq!(ok(&mut session, sql).await.len(), 1);
    world.check().await;
}

/// Too many columns are an error before anything is done.
#[tokio::test(start_paused = true)]
async fn results_that_no_message_can_describe_are_refused_first() {
    let world = World::new();
    let mut session = session(&world, 0);
    ok(&mut session, "CREATE TABLE wide (k int PRIMARY KEY)").await;
    let list = vec!["k"; 1_665].join(", ");
    let insert = format!("INSERT INTO wide VALUES (1) RETURNING {list}");
    assert_eq!(state(&mut session, &insert).await, "54011");
    assert_eq!(ok(&mut session, "SELECT count(*) FROM wide").await, ["[0]"]);
    let values = format!("VALUES ({})", vec!["1"; 1_665].join(", "));
    assert_eq!(state(&mut session, &values).await, "54011");
    world.check().await;
}

/// Time that passes between Parse and Execute is not the statement's.
#[tokio::test(start_paused = true)]
async fn a_statements_time_begins_when_it_is_executed() {
    let world = World::new();
    let mut session = session(&world, 0);
    ok(&mut session, "SET statement_timeout = '1s'; PREPARE p(int) AS SELECT $1").await;
    let sql = "EXECUTE p(length(repeat('x', 9000000)))";
    let statement = session.parse(sql).expect("it parses").swap_remove(0);
    let prepared = session.prepare(&statement, &[]).await.expect("there is a p");
    timer::sleep(Duration::from_secs(5)).await;
    let done = session.execute(&prepared, Vec::new()).await.expect("it is quick");
    assert_eq!(done.tag(), "SELECT 1");
    world.check().await;
}
