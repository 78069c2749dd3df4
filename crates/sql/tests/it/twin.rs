//! The planner's twin: whatever the conditions, the order and the limit, a table with many indexes
//! yields the rows that a table without any yields, which is always scanned whole.

use crate::support::World;
use proptest::{prelude::*, test_runner::TestRunner};
use sql::{Execution, Session, SessionOptions};

/// Columns of both tables, and literals that lie in and around their values.
const COLUMNS: [(&str, &[&str]); 5] = [
    ("a", &["0", "1", "2", "3", "4", "7"]),
    ("b", &["-2", "-1", "0", "1", "5"]),
    ("c", &["'x'", "'y'", "'xy'", "''", "'zz'"]),
    ("d", &["1.5", "1.50", "-3", "0", "2.25"]),
    ("e", &["true", "false"]),
];

fn comparison() -> impl Strategy<Value = String> {
    let column = prop::sample::select(COLUMNS.to_vec());
    column.prop_flat_map(|(name, values)| {
        let value = prop::sample::select(values.to_vec());
        let values = prop::collection::vec(value.clone(), 1..4);
        let op = prop::sample::select(vec!["=", "<", "<=", ">", ">=", "<>"]);
        prop_oneof![
            4 => (op, value.clone()).prop_map(move |(op, value)| format!("{name} {op} {value}")),
            2 => values.prop_map(move |values| format!("{name} IN ({})", values.join(", "))),
            1 => (value.clone(), value.clone())
                .prop_map(move |(low, high)| format!("{name} BETWEEN {low} AND {high}")),
            1 => Just("c LIKE 'x%'".to_owned()),
            1 => Just("c LIKE '%y'".to_owned()),
            1 => Just(format!("{name} IS NULL")),
            1 => Just(format!("{name} IS NOT NULL")),
            1 => value.clone().prop_map(move |value| format!("{value} = {name}")),
            1 => value.prop_map(move |value| format!("{name} IS NOT DISTINCT FROM {value}")),
        ]
    })
}

fn condition() -> impl Strategy<Value = String> {
    comparison().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| parts.join(" AND ")),
            2 => prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|parts| format!("({})", parts.join(" OR "))),
            1 => inner.prop_map(|part| format!("NOT ({part})")),
        ]
    })
}

/// A condition, and an order with a limit.
fn clauses() -> impl Strategy<Value = (String, Option<String>)> {
    let orders = vec![
        "a, b, id",
        "a DESC, b DESC, id",
        "c, id",
        "c DESC, a, id",
        "d, id",
        "d DESC NULLS LAST, id",
        "b, a DESC, id",
        "b DESC, a, id",
        "id",
        "id DESC",
        "e, id",
    ];
    let order = prop::option::of(prop::sample::select(orders));
    (condition(), order, prop::option::of(0..5_u32)).prop_map(|(condition, order, limit)| {
        let tail = order.map(|order| match limit {
            Some(limit) => format!("ORDER BY {order} LIMIT {limit} OFFSET {}", limit / 2),
            None => format!("ORDER BY {order}"),
        });
        (condition, tail)
    })
}

/// What is asked of both tables.
fn queries(table: &str, condition: &str, tail: Option<&str>) -> [String; 3] {
    let tail = tail.unwrap_or_default();
    [
        format!("SELECT id, c, b FROM {table} WHERE {condition} {tail}"),
        format!("SELECT count(*), sum(b), min(c) FROM {table} WHERE {condition}"),
        format!("SELECT e, count(*), max(d) FROM {table} WHERE {condition} GROUP BY e ORDER BY e"),
    ]
}

async fn rows(session: &mut Session, sql: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut sink = |execution| {
        if let Execution::Rows { rows, .. } = execution {
            out = rows.iter().map(|row| format!("{row:?}")).collect();
        }
    };
    if let Err(error) = session.simple(sql, &mut sink).await {
        panic!("{sql}: {error:?}");
    }
    out
}

const SCHEMA: &str = "
    CREATE TABLE plain (id INT, a INT, b INT, c TEXT, d NUMERIC, e BOOL);
    CREATE TABLE indexed (id INT, a INT, b INT, c TEXT, d NUMERIC, e BOOL, PRIMARY KEY (a, id));
    CREATE INDEX i_b ON indexed (b, a DESC);
    CREATE INDEX i_c ON indexed (c DESC) INCLUDE (b);
    CREATE UNIQUE INDEX i_d ON indexed (d, id);
    CREATE INDEX i_e ON indexed (e, c);
    CREATE UNIQUE INDEX i_id ON indexed (id)";

/// Rows of every sort, NULLs among them.
fn fill(table: &str) -> String {
    // One in so many is NULL.
    let pick = |values: &'static [&'static str], at: usize| {
        values.get(at % (values.len() + 1)).copied().unwrap_or("NULL")
    };
    let rows: Vec<String> = (0..60_usize)
        .map(|id| {
            format!(
                "({id}, {}, {}, {}, {}, {})",
                COLUMNS[0].1[id % 6],
                pick(COLUMNS[1].1, id * 7 / 3),
                pick(COLUMNS[2].1, id * 5 / 2),
                pick(COLUMNS[3].1, id * 3),
                pick(COLUMNS[4].1, id),
            )
        })
        .collect();
    format!("INSERT INTO {table} VALUES {}", rows.join(", "))
}

#[test]
fn rows_by_index_are_those_of_a_full_scan() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let world = World::new();
    let mut session = world.databases[0].session(SessionOptions::default()).expect("the first one");
    runtime.block_on(async {
        rows(&mut session, SCHEMA).await;
        rows(&mut session, &fill("plain")).await;
        rows(&mut session, &fill("indexed")).await;
        rows(&mut session, "ALTER TABLE indexed SPLIT AT VALUES (1, 10), (3)").await;
    });
    let cell = std::cell::RefCell::new(session);
    let config = ProptestConfig { cases: 400, ..ProptestConfig::default() };
    let strategy = (clauses(), prop::bool::ANY);
    let outcome = TestRunner::new(config).run(&strategy, |((condition, tail), own)| {
        let mut session = cell.borrow_mut();
        let both = runtime.block_on(both(&mut session, &condition, tail.as_deref(), own));
        for (sql, mut plain, mut indexed) in both {
            if tail.is_none() {
                plain.sort();
                indexed.sort();
            }
            prop_assert_eq!(plain, indexed, "{}", sql);
        }
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// Every query with what it yields from the one table and the other; with writes of the transaction's
/// own that are only buffered yet, if asked for.
async fn both(
    session: &mut Session,
    condition: &str,
    tail: Option<&str>,
    own: bool,
) -> Vec<(String, Vec<String>, Vec<String>)> {
    if own {
        rows(session, "BEGIN").await;
        for table in ["plain", "indexed"] {
            rows(session, &format!("UPDATE {table} SET b = 1, c = 'y' WHERE id % 7 = 0")).await;
            rows(session, &format!("DELETE FROM {table} WHERE id % 11 = 3")).await;
        }
    }
    let mut out = Vec::new();
    let pairs = queries("plain", condition, tail);
    for (plain, indexed) in pairs.into_iter().zip(queries("indexed", condition, tail)) {
        let (left, right) = (rows(session, &plain).await, rows(session, &indexed).await);
        out.push((indexed, left, right));
    }
    if own {
        rows(session, "ROLLBACK").await;
    }
    out
}
