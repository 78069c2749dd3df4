//! What clients meet at a node: tokio-postgres, psql, and the protocol byte by byte, against one
//! demo process with the engine in memory.
//!
//! One test, so that there is one demo; each part has tables of its own.

use std::{process::Command, time::Duration};

use meridian_tests::{
    demo::Demo,
    process::eventually,
    sql::Refused,
    wire::{Wire, summary},
};
use tokio::time::{Instant, timeout};
use tokio_postgres::{NoTls, error::ErrorPosition};

/// How long anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_all_kinds_are_served() {
    let demo = Demo::start("wire").await;
    simple_queries_answer_each_statement(&demo).await;
    prepared_statements_take_and_give_every_type(&demo).await;
    portals_give_rows_in_parts(&demo).await;
    errors_tell_state_position_and_hint(&demo).await;
    every_answer_tells_the_transactions_status(&demo).await;
    after_an_error_messages_are_skipped_until_sync(&demo).await;
    a_pipeline_is_one_transaction(&demo).await;
    an_error_undoes_its_pipeline(&demo).await;
    a_pipeline_may_begin_and_end_blocks(&demo).await;
    a_lone_statement_is_retried(&demo).await;
    a_statement_can_be_cancelled(&demo).await;
    a_client_that_disappears_leaves_no_lock(&demo).await;
    psql_prints_results_and_carets(&demo).await;
}

async fn simple_queries_answer_each_statement(demo: &Demo) {
    let sql = demo.connect(0).await;
    sql.run("CREATE TABLE s (id INT PRIMARY KEY, v TEXT)").await.expect("create");
    let rows = sql.rows("INSERT INTO s VALUES (1, 'a'); SELECT v FROM s; SELECT 2").await;
    let text = |value: &str| vec![Some(value.to_owned())];
    assert_eq!(rows, Ok(vec![text("a"), text("2")]));

    // Several statements are one transaction: an error undoes those before it.
    let refused = sql.run("INSERT INTO s VALUES (2, 'b'); SELECT 1 / 0").await;
    assert_eq!(refused.expect_err("a division by zero").state, "22012");
    assert_eq!(sql.value("SELECT count(*) FROM s").await, Ok("1".to_owned()));

    // Unless they are cut by transactions of their own.
    let refused = sql.run("BEGIN; INSERT INTO s VALUES (2, 'b'); COMMIT; SELECT 1 / 0").await;
    assert_eq!(refused.expect_err("a division by zero").state, "22012");
    let elsewhere = demo.connect(2).await;
    assert_eq!(elsewhere.value("SELECT count(*) FROM s").await, Ok("2".to_owned()));
    assert_eq!(sql.rows("").await, Ok(vec![]), "an empty query");
}

async fn prepared_statements_take_and_give_every_type(demo: &Demo) {
    let sql = demo.connect(1).await;
    sql.run(
        "CREATE TABLE p (id INT8 PRIMARY KEY, b BOOL, i2 INT2, i4 INT4, f FLOAT8, t TEXT, \
         v VARCHAR(9), raw BYTEA)",
    )
    .await
    .expect("create");
    let client = &sql.0;
    let insert = client
        .prepare("INSERT INTO p VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id")
        .await
        .expect("prepare");
    // tokio-postgres sends and reads every value in binary.
    let raw: &[u8] = &[0, 255, 7];
    let nothing: Option<&str> = None;
    let row = client
        .query_one(&insert, &[&1_i64, &true, &-2_i16, &3_i32, &1.5_f64, &"é", &nothing, &raw])
        .await
        .expect("insert");
    assert_eq!(row.get::<_, i64>(0), 1);

    let select = client.prepare("SELECT * FROM p WHERE id = $1").await.expect("prepare");
    for _ in 0..2 {
        let row = client.query_one(&select, &[&1_i64]).await.expect("select");
        assert!(row.get::<_, bool>("b"));
        assert_eq!((row.get::<_, i16>("i2"), row.get::<_, i32>("i4")), (-2, 3));
        assert_eq!((row.get::<_, f64>("f"), row.get::<_, &str>("t")), (1.5, "é"));
        assert_eq!(row.get::<_, Option<&str>>("v"), None);
        assert_eq!(row.get::<_, &[u8]>("raw"), raw);
    }

    // A table that changes under a prepared statement.
    sql.run("ALTER TABLE p ADD COLUMN more INT").await.expect("alter");
    let columns = client.query("SELECT * FROM p", &[]).await.expect("select")[0].len();
    assert_eq!(columns, 9);
    let refused = client.prepare("SELECT 1; SELECT 2").await.expect_err("two statements");
    assert_eq!(Refused::from(refused).state, "42601");
}

async fn portals_give_rows_in_parts(demo: &Demo) {
    let mut sql = demo.connect(2).await;
    let txn = sql.0.transaction().await.expect("begin");
    let portal = txn.bind("SELECT * FROM generate_series(1, 7)", &[]).await.expect("bind");
    let mut seen = Vec::new();
    for _ in 0..4 {
        let rows = txn.query_portal(&portal, 3).await.expect("rows of the portal");
        seen.push(rows.iter().map(|row| row.get::<_, i32>(0)).collect::<Vec<_>>());
    }
    assert_eq!(seen, vec![vec![1, 2, 3], vec![4, 5, 6], vec![7], vec![]]);
    txn.commit().await.expect("commit");
}

async fn errors_tell_state_position_and_hint(demo: &Demo) {
    let sql = demo.connect(0).await;
    sql.run("CREATE TABLE e (id INT PRIMARY KEY, t TEXT NOT NULL)").await.expect("create");
    sql.run("INSERT INTO e VALUES (1, 'one')").await.expect("insert");
    for (statement, state, position) in [
        ("SELECT * FROM nope", "42P01", Some(15)),
        ("SELECT nope FROM e", "42703", Some(8)),
        ("SELEC 1", "42601", Some(1)),
        ("SELECT nope(id) FROM e", "42883", Some(8)),
        ("SELECT 'é', nope FROM e", "42703", Some(13)),
        ("INSERT INTO e VALUES (1, 'two')", "23505", None),
        ("INSERT INTO e VALUES (2, NULL)", "23502", None),
        ("SELECT 1 / 0", "22012", None),
        ("SELECT * FROM e AS OF SYSTEM TIME 'soon'", "22023", None),
        ("SELECT * FROM e AS OF SYSTEM TIME '2200-01-01'", "22023", None),
        ("SET nope = 1", "42704", None),
        ("CREATE TABLE e (a INT)", "42P07", None),
        ("SAVEPOINT s", "25P01", None),
    ] {
        // In both protocols.
        let simple = sql.0.simple_query(statement).await.expect_err(statement);
        let extended = sql.0.query(statement, &[]).await.expect_err(statement);
        for error in [simple, extended] {
            let db = error.as_db_error().unwrap_or_else(|| panic!("{statement}: {error}"));
            assert_eq!(db.code().code(), state, "{statement}: {db:?}");
            let at = db.position().map(|position| match position {
                ErrorPosition::Original(at) => *at,
                ErrorPosition::Internal { position, .. } => *position,
            });
            assert_eq!(at, position, "{statement}: {db:?}");
            assert_eq!(db.severity(), "ERROR");
        }
    }
    let error = sql.0.simple_query("SELECT id FROM e WHERE t = 5").await.expect_err("no operator");
    assert!(error.as_db_error().is_some_and(|db| db.hint().is_some()), "a hint: {error:?}");
    let error = sql.0.simple_query("INSERT INTO e VALUES (1, 'x')").await.expect_err("twice");
    let db = error.as_db_error().expect("told by the server");
    assert_eq!((db.table(), db.constraint()), (Some("e"), Some("e_pkey")));
    let missing = format!("postgresql://root@127.0.0.1:{}/nope", demo.sql_port(0));
    let refused = tokio_postgres::connect(&missing, NoTls).await.map(|_| ());
    assert_eq!(Refused::from(refused.expect_err("no such database")).state, "3D000");
}

async fn every_answer_tells_the_transactions_status(demo: &Demo) {
    let mut wire = Wire::connect(demo.sql_port(1)).await;
    for (statement, answer) in [
        ("SELECT 1", "TDC/I"),
        ("", "I/I"),
        ("BEGIN", "C/T"),
        ("SAVEPOINT a", "C/T"),
        ("SELECT 1 / 0", "E/E"),
        ("SELECT 1", "E/E"),
        ("ROLLBACK TO a", "C/T"),
        ("SELECT 1; SELECT nope; SELECT 2", "TDCE/E"),
        // It says ROLLBACK: the command tag is looked at below.
        ("COMMIT", "C/I"),
        // A warning precedes the answer.
        ("COMMIT", "NC/I"),
        ("BEGIN; SELECT 1; COMMIT; SELECT 2", "CTDCCTDC/I"),
    ] {
        assert_eq!(wire.query(statement).await, answer, "{statement}");
    }
    wire.query("BEGIN; SELECT 1 / 0").await;
    wire.send('Q', b"COMMIT\0").await;
    let messages = wire.until_ready().await;
    assert_eq!(messages[0].body, b"ROLLBACK\0", "a failed transaction is not committed");
}

async fn after_an_error_messages_are_skipped_until_sync(demo: &Demo) {
    let mut wire = Wire::connect(demo.sql_port(2)).await;
    // Bind of a statement that is not there, then Describe and Execute, which must be skipped.
    wire.send('P', b"\0SELECT nope\0\0\0").await;
    wire.send('B', b"\0\0\0\0\0\0\0\0").await;
    wire.send('D', b"P\0").await;
    wire.send('E', b"\0\0\0\0\0").await;
    wire.send('S', b"").await;
    assert_eq!(summary(&wire.until_ready().await), "E/I");
    // Parse, bind, execute at most two of three rows, then the rest.
    wire.send('P', b"\0SELECT * FROM generate_series(1, 3)\0\0\0").await;
    wire.send('B', b"\0\0\0\0\0\0\0\0").await;
    wire.send('E', b"\0\0\0\0\x02").await;
    wire.send('E', b"\0\0\0\0\x02").await;
    wire.send('S', b"").await;
    assert_eq!(summary(&wire.until_ready().await), "12DDsDC/I");
}

/// Parse, Bind and Execute of each statement, then Sync.
async fn pipeline(wire: &mut Wire, statements: &[&str]) -> String {
    for statement in statements {
        execute(wire, statement).await;
    }
    wire.send('S', b"").await;
    summary(&wire.until_ready().await)
}

async fn execute(wire: &mut Wire, statement: &str) {
    wire.send('P', format!("\0{statement}\0\0\0").as_bytes()).await;
    wire.send('B', b"\0\0\0\0\0\0\0\0").await;
    wire.send('E', b"\0\0\0\0\0").await;
}

async fn a_pipeline_is_one_transaction(demo: &Demo) {
    let sql = demo.connect(0).await;
    sql.run("CREATE TABLE pipe (id INT PRIMARY KEY)").await.expect("create");
    let mut wire = Wire::connect(demo.sql_port(1)).await;
    execute(&mut wire, "INSERT INTO pipe VALUES (1)").await;
    execute(&mut wire, "SELECT id FROM pipe").await;
    wire.send('H', b"").await;
    assert_eq!(summary(&wire.receive_some(7).await), "12C12DC", "it sees its own writes");
    // The rest of the pipeline is still to come: nothing is committed.
    let refused = sql.run("SELECT * FROM pipe WHERE id = 1 FOR UPDATE NOWAIT").await;
    let count = sql.value("SELECT count(*) FROM pipe").await;
    assert_eq!((refused, count), (Ok(()), Ok("0".to_owned())), "it is not committed");
    execute(&mut wire, "INSERT INTO pipe VALUES (2)").await;
    wire.send('S', b"").await;
    assert_eq!(summary(&wire.until_ready().await), "12C/I");
    assert_eq!(sql.value("SELECT count(*) FROM pipe").await, Ok("2".to_owned()));
}

async fn an_error_undoes_its_pipeline(demo: &Demo) {
    let sql = demo.connect(0).await;
    let mut wire = Wire::connect(demo.sql_port(0)).await;
    let statements = [
        "INSERT INTO pipe VALUES (3)",
        "INSERT INTO pipe VALUES (1)",
        "INSERT INTO pipe VALUES (4)",
    ];
    assert_eq!(pipeline(&mut wire, &statements).await, "12C12E/I");
    let statements = ["INSERT INTO pipe VALUES (3)", "SELECT nope FROM pipe"];
    assert_eq!(pipeline(&mut wire, &statements).await, "12CE/I", "also an error of Parse");
    assert_eq!(sql.value("SELECT count(*) FROM pipe").await, Ok("2".to_owned()));
    // A conflict that only the commit finds is told at Sync, and what comes after works.
    execute(&mut wire, "SELECT count(*) FROM pipe").await;
    execute(&mut wire, "INSERT INTO pipe SELECT max(id) + 10 FROM pipe").await;
    wire.send('H', b"").await;
    assert_eq!(summary(&wire.receive_some(7).await), "12DC12C");
    sql.run("INSERT INTO pipe VALUES (5)").await.expect("insert");
    wire.send('S', b"").await;
    assert_eq!(summary(&wire.until_ready().await), "E/I", "its count is not true any more");
    assert_eq!(pipeline(&mut wire, &["SELECT 1"]).await, "12DC/I");
    // A failed Parse fails a transaction block as well.
    assert_eq!(pipeline(&mut wire, &["BEGIN", "SELECT nope FROM pipe"]).await, "12CE/E");
    assert_eq!(pipeline(&mut wire, &["COMMIT"]).await, "12C/I");
}

async fn a_pipeline_may_begin_and_end_blocks(demo: &Demo) {
    let sql = demo.connect(0).await;
    let count = async || sql.value("SELECT count(*) FROM pipe WHERE id > 20").await;
    let mut wire = Wire::connect(demo.sql_port(2)).await;
    // BEGIN makes a block of what came before it: Sync does not end that.
    let statements = ["INSERT INTO pipe VALUES (21)", "BEGIN", "INSERT INTO pipe VALUES (22)"];
    assert_eq!(pipeline(&mut wire, &statements).await, "12C12C12C/T");
    assert_eq!(count().await, Ok("0".to_owned()));
    assert_eq!(pipeline(&mut wire, &["ROLLBACK"]).await, "12C/I");
    assert_eq!(count().await, Ok("0".to_owned()));
    // COMMIT and ROLLBACK end what they find, with a warning if it is no block.
    let statements = [
        "INSERT INTO pipe VALUES (21)",
        "COMMIT",
        "INSERT INTO pipe VALUES (22)",
        "ROLLBACK",
        "INSERT INTO pipe VALUES (23)",
        "SELECT 1 / 0",
    ];
    assert_eq!(pipeline(&mut wire, &statements).await, "12C12NC12C12NC12C12E/I");
    assert_eq!(count().await, Ok("1".to_owned()));
    // A client that leaves before Sync has committed nothing.
    execute(&mut wire, "INSERT INTO pipe VALUES (24)").await;
    execute(&mut wire, "INSERT INTO pipe VALUES (25)").await;
    wire.send('H', b"").await;
    assert_eq!(summary(&wire.receive_some(6).await), "12C12C");
    drop(wire);
    assert_eq!(count().await, Ok("1".to_owned()));
    // Nor has it left anything in the way of others.
    assert_eq!(sql.run("INSERT INTO pipe VALUES (24), (25)").await, Ok(()));
}

/// X10: a pipeline of one statement is retried by the server, a longer one by its client.
async fn a_lone_statement_is_retried(demo: &Demo) {
    let sql = demo.connect(0).await;
    sql.run("CREATE TABLE lone (id INT PRIMARY KEY, v INT)").await.expect("create");
    sql.run("INSERT INTO lone VALUES (1, 0)").await.expect("insert");
    // Two gateways change the same row without waiting for each other.
    let work = async |node: u16| {
        let client = demo.connect(node).await;
        for _ in 0..20 {
            let done = client.0.execute("UPDATE lone SET v = v + 1 WHERE id = 1", &[]).await;
            assert_eq!(done.map_err(Refused::from), Ok(1), "retried by the server");
        }
    };
    tokio::join!(work(0), work(1), work(2));
    assert_eq!(sql.value("SELECT v FROM lone").await, Ok("60".to_owned()));
}

async fn a_statement_can_be_cancelled(demo: &Demo) {
    let sql = demo.connect(0).await;
    let token = sql.0.cancel_token();
    let started = Instant::now();
    let sleeping = sql.run("SELECT pg_sleep(600)");
    let cancelling = async {
        // It may arrive before the statement, and then cancels nothing: sent until it works.
        loop {
            token.cancel_query(NoTls).await.expect("the server takes cancel requests");
            tokio::task::yield_now().await;
        }
    };
    let outcome = timeout(PATIENCE, async {
        tokio::select! {
            biased;
            outcome = sleeping => outcome,
            () = cancelling => Ok(()),
        }
    });
    let refused = outcome.await.expect("in time").expect_err("cancelled");
    assert_eq!(refused.state, "57014", "{refused:?} after {:?}", started.elapsed());

    sql.run("SET statement_timeout = '50ms'").await.expect("set");
    let refused = sql.run("SELECT pg_sleep(600)").await.expect_err("too long");
    assert_eq!(refused.state, "57014");
    sql.run("SET statement_timeout = 0").await.expect("set");
    assert_eq!(sql.value("SELECT 7").await, Ok("7".to_owned()), "the session goes on");
}

async fn a_client_that_disappears_leaves_no_lock(demo: &Demo) {
    let observer = demo.connect(0).await;
    observer.run("CREATE TABLE d (id INT PRIMARY KEY, v INT)").await.expect("create");
    observer.run("INSERT INTO d VALUES (1, 0)").await.expect("insert");
    let url = format!("postgresql://root@127.0.0.1:{}/meridian", demo.sql_port(1));
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("connect");
    let connection = tokio::spawn(connection);
    client.batch_execute("BEGIN; UPDATE d SET v = 1").await.expect("update");
    client.query("SELECT * FROM d FOR UPDATE", &[]).await.expect("lock");
    let refused = observer.run("SELECT * FROM d FOR UPDATE NOWAIT").await;
    assert_eq!(refused.expect_err("locked").state, "55P03");
    // No Terminate: the socket is closed, as by a crash.
    connection.abort();
    eventually("the lock is gone", PATIENCE, async || {
        observer.run("SELECT * FROM d FOR UPDATE NOWAIT").await
    })
    .await;
    assert_eq!(observer.value("SELECT v FROM d").await, Ok("0".to_owned()), "nothing committed");
    assert_eq!(observer.rows("SHOW LOCKS").await, Ok(vec![]));
}

async fn psql_prints_results_and_carets(demo: &Demo) {
    let script = "\\set ON_ERROR_STOP off\n\
                  CREATE TABLE q (id INT PRIMARY KEY, t TEXT);\n\
                  INSERT INTO q VALUES (1, 'one'), (2, NULL);\n\
                  SELECT 1 AS a\\; SELECT 2 AS b;\n\
                  SELECT * FROM q ORDER BY id;\n\
                  SELECT id FROM\n  nowhere;\n\
                  BEGIN;\nSELECT 1/0;\nCOMMIT;\n\
                  DROP TABLE IF EXISTS not_there;\n";
    let port = demo.sql_port(2).to_string();
    let run = tokio::task::spawn_blocking(move || {
        let mut psql = Command::new("psql");
        psql.args(["-X", "-h", "127.0.0.1", "-p", &port, "-U", "root", "-d", "meridian"]);
        psql.args(["-v", "SHOW_ALL_RESULTS=on", "-P", "null=NULL", "-P", "format=unaligned"]);
        psql.args(["-P", "footer=off", "-c", "SELECT version()", "-f", "/dev/stdin"]);
        let output = with_input(psql, script);
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    });
    let printed = timeout(PATIENCE, run).await.expect("in time").expect("it ran");
    for expected in [
        "CREATE TABLE\nINSERT 0 2\na\n1\nb\n2\nid|t\n1|one\n2|NULL\n",
        "BEGIN\nROLLBACK\nDROP TABLE\n",
        "ERROR:  relation \"nowhere\" does not exist\nLINE 2:   nowhere;\n          ^\n",
        "ERROR:  division by zero",
        "NOTICE:  table \"not_there\" does not exist, skipping",
    ] {
        assert!(printed.contains(expected), "psql printed no {expected:?}:\n{printed}");
    }
}

fn with_input(mut command: Command, input: &str) -> std::process::Output {
    use std::{io::Write, process::Stdio};
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("psql is installed");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input.as_bytes()).expect("psql reads");
    drop(stdin);
    child.wait_with_output().expect("psql ends")
}
