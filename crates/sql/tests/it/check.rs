//! `CHECK TABLE` finds every way in which an index can disagree with its table, and names it.

use std::sync::Arc;

use bytes::Bytes;
use keys::{IndexId, Key, NodeId, layout};
use sql::{
    Execution, Session, SessionOptions,
    catalog::{Catalog, Table, entry, store},
};
use txn::{Coordinator, Scan, Txn, TxnOptions};

use crate::support::{World, problems};

const SCHEMA: &str = "
    CREATE TABLE t (k INT PRIMARY KEY, u INT UNIQUE, v TEXT NOT NULL, CHECK (k < 1000));
    CREATE INDEX t_v ON t (v DESC) INCLUDE (u);
    CREATE TABLE other (a INT);
    INSERT INTO t SELECT n, n * 10, 'v' || n % 7 FROM generate_series(1, 300) AS s(n);
    INSERT INTO t VALUES (500, NULL, 'null'), (501, NULL, 'null');
    INSERT INTO other VALUES (1), (1)";

async fn session(world: &World, node: usize) -> Session {
    world.databases[node].session(SessionOptions::default()).expect("sessions are few")
}

async fn ok(session: &mut Session, sql: &str) {
    session.simple(sql, &mut |_| {}).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

/// A gateway of the layer below, through which anything can be written.
fn below(world: &World) -> Arc<Coordinator> {
    world.naive.at(NodeId(9)).coordinator()
}

fn begin(below: &Arc<Coordinator>) -> Txn {
    below.begin(TxnOptions::default())
}

async fn table(below: &Arc<Coordinator>) -> Table {
    let mut txn = begin(below);
    let catalog: Catalog = store::load(&mut txn).await.expect("the catalog can be read");
    (**catalog.table("t").expect("it was made")).clone()
}

/// The entries of an index.
async fn entries(below: &Arc<Coordinator>, table: &Table, index: IndexId) -> Vec<(Key, Bytes)> {
    let scan = Scan::all(layout::index_span(table.id, index));
    begin(below).read(vec![scan]).await.expect("it can be read").remove(0).rows
}

/// Writes keys behind SQL's back.
async fn damage(below: &Arc<Coordinator>, writes: Writes) {
    let mut txn = begin(below);
    for (key, value) in writes {
        match value {
            Some(value) => txn.put(key, value).expect("small"),
            None => txn.delete(key).expect("small"),
        }
    }
    txn.commit().await.expect("nobody is in the way");
}

#[tokio::test(start_paused = true)]
async fn a_sound_table_has_a_line_for_each_index() {
    let world = World::new();
    let mut session = session(&world, 0).await;
    ok(&mut session, SCHEMA).await;
    let mut lines = Vec::new();
    let mut sink = |execution| {
        let Execution::Rows { rows, tag, .. } = execution else { panic!("no rows") };
        assert_eq!(tag, "CHECK TABLE");
        lines.extend(rows.iter().map(|row| format!("{row:?}")));
    };
    session.simple("CHECK ALL TABLES", &mut sink).await.expect("it runs");
    assert_eq!(
        lines,
        [
            r#"["other", "other_pkey", 2, NULL, NULL]"#,
            r#"["t", "t_pkey", 302, NULL, NULL]"#,
            r#"["t", "t_u_key", 302, NULL, NULL]"#,
            r#"["t", "t_v", 302, NULL, NULL]"#,
        ]
    );
    assert!(session.take_notices().is_empty());
}

type Writes = Vec<(Key, Option<Bytes>)>;

/// What is done to a table behind SQL's back, and what must be told of it.
struct Damage {
    what: &'static str,
    writes: Writes,
    told: Vec<&'static str>,
}

/// Ways in which an index and its table can fall apart.
async fn damages(below: &Arc<Coordinator>, table: &Table) -> Vec<Damage> {
    let rows = entries(below, table, IndexId::PRIMARY).await;
    let of_u = entries(below, table, table.secondary[0].id).await;
    let of_v = entries(below, table, table.secondary[1].id).await;
    let value = |at: usize, entries: &[(Key, Bytes)]| Some(entries[at].1.clone());
    let rubbish = || Some(Bytes::from_static(b"\xff"));
    vec![
        Damage {
            what: "an entry is gone",
            writes: vec![(of_v[7].0.clone(), None)],
            told: vec!["t_v: the row has no entry: t/primary/[55]"],
        },
        Damage {
            what: "a row is gone",
            writes: vec![(rows[8].0.clone(), None)],
            told: vec![
                "t_u_key: an entry for a row that is not there: t/t_u_key/[90]",
                "t_v: an entry for a row that is not there: t/t_v/['v2'/9]",
            ],
        },
        Damage {
            what: "an entry holds what another one does",
            writes: vec![(of_u[3].0.clone(), value(4, &of_u))],
            told: vec![
                "t_u_key: another row has the same unique values: t/primary/[4]",
                "t_u_key: an entry that its row does not have: t/t_u_key/[40]",
            ],
        },
        Damage {
            what: "a row was exchanged under its key",
            writes: vec![(rows[10].0.clone(), value(11, &rows))],
            told: vec![
                "t_u_key: another row has the same unique values: t/primary/[11]",
                "t_u_key: an entry that its row does not have: t/t_u_key/[110]",
                "t_v: the row has no entry: t/primary/[11]",
                "t_v: an entry that its row does not have: t/t_v/['v4'/11]",
            ],
        },
        Damage {
            what: "rubbish in a row and in an entry",
            writes: vec![(rows[20].0.clone(), rubbish()), (of_v[5].0.clone(), rubbish())],
            told: vec!["t_pkey: the row cannot be read", "t_v: the entry cannot be read"],
        },
        Damage {
            what: "a unique entry kept under two keys",
            writes: vec![(of_u[0].0.next(), value(0, &of_u))],
            told: vec!["t_u_key: an entry that its row does not have: t/t_u_key/[10/next]"],
        },
    ]
}

#[tokio::test(start_paused = true)]
async fn every_damage_is_named_from_every_node() {
    let world = World::new();
    let mut first = session(&world, 0).await;
    ok(&mut first, SCHEMA).await;
    let below = below(&world);
    let table = table(&below).await;
    for Damage { what, writes, told } in damages(&below, &table).await {
        let keys: Vec<Key> = writes.iter().map(|(key, _)| key.clone()).collect();
        let before = begin(&below).get(&keys).await.expect("it can be read");
        let mended: Writes = keys.into_iter().zip(before).collect();
        damage(&below, writes).await;
        for node in 0..3 {
            let mut session = session(&world, node).await;
            let found = problems(&mut session, "CHECK TABLE t, t").await;
            for line in &told {
                let named = found.iter().any(|found| found.starts_with(line));
                assert!(named, "{what}: {line} is missing in\n{}", found.join("\n"));
            }
            assert!(!session.take_notices().is_empty(), "{what}");
            assert!(problems(&mut session, "CHECK TABLE other").await.is_empty());
        }
        damage(&below, mended).await;
        world.check().await;
    }
}

/// Entries are short, so many make a page; the rows they stand for need not fit into one.
#[tokio::test(start_paused = true)]
async fn long_rows_behind_short_entries_are_checked_some_at_a_time() {
    let limits = txn::Config { max_read_bytes: 20_000, ..txn::Config::default() };
    let world = World::with_limits(sql::Config { seed: 7, ..sql::Config::default() }, limits);
    let mut session = session(&world, 0).await;
    ok(&mut session, "CREATE TABLE t (k INT PRIMARY KEY, u INT UNIQUE, v TEXT)").await;
    for k in 0..40 {
        let row = format!("INSERT INTO t VALUES ({k}, {k}, repeat('v', 5000))");
        ok(&mut session, &row).await;
    }
    let below = below(&world);
    let table = table(&below).await;
    let row = |k| vec![expr::Datum::Int(k), expr::Datum::Int(k), expr::Datum::text("v")];
    let primary = entry(&table, &table.primary, &row(33));
    damage(&below, vec![(primary.key, None)]).await;
    let found = problems(&mut session, "CHECK TABLE t").await;
    assert_eq!(found, ["t_u_key: an entry for a row that is not there: t/t_u_key/[33]"]);
}

#[tokio::test(start_paused = true)]
async fn rows_that_break_constraints_are_named() {
    let world = World::new();
    let mut session = session(&world, 0).await;
    ok(&mut session, SCHEMA).await;
    let below = below(&world);
    let table = table(&below).await;
    // A row as it could only come about by a fault: v is NULL, and k is not below 1000.
    let row = vec![expr::Datum::Int(2_000), expr::Datum::Int(1), expr::Datum::Null];
    let writes = table.indexes().map(|index| entry(&table, index, &row));
    damage(&below, writes.map(|entry| (entry.key, Some(entry.value))).collect()).await;
    let found = problems(&mut session, "CHECK TABLE t").await;
    assert_eq!(found, ["t_pkey: column \"v\" is null: t/primary/[2000]"]);
    let row = vec![expr::Datum::Int(2_000), expr::Datum::Int(1), expr::Datum::text("v")];
    let primary = entry(&table, &table.primary, &row);
    damage(&below, vec![(primary.key, Some(primary.value))]).await;
    let found = problems(&mut session, "CHECK TABLE t").await;
    assert!(found[0].contains("check constraint \"t_k_check\" is violated"), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn problems_are_told_up_to_a_limit_and_the_snapshot_may_be_old() {
    let world = World::new();
    let mut session = session(&world, 0).await;
    ok(&mut session, SCHEMA).await;
    ok(&mut session, "SELECT count(*) FROM t").await;
    let sound = session.timestamps().1.expect("it has read");
    let below = below(&world);
    let table = table(&below).await;
    let by_v = table.secondary[1].id;
    let all = entries(&below, &table, by_v).await;
    damage(&below, all.into_iter().map(|(key, _)| (key, None)).collect()).await;
    let found = problems(&mut session, "CHECK TABLE t").await;
    assert_eq!(found.len(), 101);
    assert_eq!(found[100], "t_v: there are further problems, which are not listed: ");
    let before = format!("CHECK ALL TABLES AS OF SYSTEM TIME '{sound}'");
    let before = problems(&mut session, &before).await;
    assert!(before.is_empty(), "{before:?}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_checked_is_refused() {
    let world = World::new();
    let mut session = session(&world, 0).await;
    ok(&mut session, SCHEMA).await;
    for (sql, state) in [
        ("CHECK TABLE nowhere", "42P01"),
        ("CHECK TABLE", "42601"),
        ("CHECK TABLE t,", "42601"),
        ("CHECK TABLE t u", "42601"),
        ("BEGIN; CHECK TABLE t", "25001"),
        ("CHECK TABLE t AS OF SYSTEM TIME '-10 years'", "42P01"),
        ("CHECK TABLE t AS OF SYSTEM TIME '2100-01-01'", "22023"),
    ] {
        let error = session.simple(sql, &mut |_| {}).await.expect_err(sql);
        assert_eq!(error.sqlstate.to_string(), state, "{sql}: {}", error.message);
        ok(&mut session, "ROLLBACK").await;
    }
}
