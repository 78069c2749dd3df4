//! The writer's twin: INSERT, UPDATE, DELETE and upserts over several unique keys, beside a naive
//! table in memory that looks at every row for every key. The domains are tiny, so that most
//! statements collide: with rows that are there, with each other, with what they left themselves.
//!
//! The naive table takes an upsert row by row, as PostgreSQL does, and judges the end of a plain
//! UPDATE as a whole. Outcome, rows answered and the table afterwards must agree, and every index
//! must agree with its table.

use std::fmt::Write as _;

use crate::support::World;
use proptest::{prelude::*, test_runner::TestRunner};
use sql::{Datum, Execution, Session, SessionOptions};

/// The columns; the first one is never NULL.
const COLUMNS: [&str; 5] = ["k", "u", "a", "b", "v"];

type Cell = Option<i64>;
type Row = [Cell; 5];

/// What may not occur twice: columns by position.
type Keys = &'static [&'static [usize]];

const THREE: Keys = &[&[0], &[1], &[2, 3]];
const ONE: Keys = &[&[0]];

/// Tables of the same columns, made in different ways, and their keys. The last one's rows can be replaced
/// unread.
const SCHEMAS: [(&str, Keys, &str); 4] = [
    (
        "plain",
        THREE,
        "CREATE TABLE plain (k INT PRIMARY KEY, u INT UNIQUE, a INT, b INT, v INT, UNIQUE (a, b))",
    ),
    (
        "turned",
        THREE,
        "CREATE TABLE turned (k INT, u INT, a INT, b INT, v INT, PRIMARY KEY (k DESC));
         CREATE UNIQUE INDEX turned_u ON turned (u DESC) INCLUDE (v);
         CREATE UNIQUE INDEX turned_ab ON turned (a DESC, b);
         CREATE INDEX turned_v ON turned (v, u)",
    ),
    (
        "hidden",
        THREE,
        "CREATE TABLE hidden (k INT NOT NULL UNIQUE, u INT, a INT, b INT, v INT);
         ALTER TABLE hidden ADD UNIQUE (u);
         CREATE UNIQUE INDEX hidden_ab ON hidden (a, b) INCLUDE (v, k)",
    ),
    ("lone", ONE, "CREATE TABLE lone (u INT, a INT, k INT PRIMARY KEY, b INT, v INT)"),
];

/// What a column is set to.
#[derive(Clone, Copy, Debug)]
enum To {
    Constant(Cell),
    Column(usize),
    OneMore(usize),
    /// Of the row that was to be inserted; of the row itself in a plain UPDATE.
    Excluded(usize),
}

/// Which rows: all, or those with this value in a column.
type Which = Option<(usize, i64)>;

type Sets = Vec<(usize, To)>;

#[derive(Clone, Debug)]
enum Conflict {
    Fail,
    /// A key, or any.
    Nothing(Option<usize>),
    Update(usize, Sets, Which),
}

#[derive(Clone, Debug)]
enum Statement {
    Insert(Vec<Row>, Conflict),
    Update(Sets, Which),
    Delete(Which),
    /// Runs the statements and takes them back.
    TakenBack(Vec<Statement>),
}

fn cell() -> impl Strategy<Value = Cell> {
    prop_oneof![1 => Just(None), 8 => (0..4_i64).prop_map(Some)]
}

fn row() -> impl Strategy<Value = Row> {
    let key = prop_oneof![1 => Just(None), 40 => (0..4_i64).prop_map(Some)];
    (key, cell(), cell(), cell(), cell()).prop_map(|(k, u, a, b, v)| [k, u, a, b, v])
}

fn which() -> impl Strategy<Value = Which> {
    prop::option::weighted(0.5, (0..5_usize, 0..4_i64))
}

fn sets() -> impl Strategy<Value = Sets> {
    let to = prop_oneof![
        3 => cell().prop_map(To::Constant),
        3 => (0..5_usize).prop_map(To::Column),
        2 => (0..5_usize).prop_map(To::OneMore),
        3 => (0..5_usize).prop_map(To::Excluded),
    ];
    prop::collection::btree_map(0..5_usize, to, 1..4).prop_map(|sets| sets.into_iter().collect())
}

/// Every column becomes what was to be inserted.
fn replaced() -> Sets {
    (0..COLUMNS.len()).map(|column| (column, To::Excluded(column))).collect()
}

fn conflict() -> impl Strategy<Value = Conflict> {
    prop_oneof![
        1 => Just(Conflict::Fail),
        2 => prop::option::of(0..3_usize).prop_map(Conflict::Nothing),
        2 => Just(Conflict::Update(0, replaced(), None)),
        5 => (0..3_usize, sets(), which())
            .prop_map(|(key, sets, which)| Conflict::Update(key, sets, which)),
    ]
}

fn statement() -> impl Strategy<Value = Statement> {
    let insert = (prop::collection::vec(row(), 1..5), conflict())
        .prop_map(|(rows, conflict)| Statement::Insert(rows, conflict));
    let plain = prop_oneof![
        6 => insert,
        3 => (sets(), which()).prop_map(|(sets, which)| Statement::Update(sets, which)),
        1 => which().prop_map(Statement::Delete),
    ];
    plain.prop_recursive(1, 4, 3, |inner| {
        prop::collection::vec(inner, 1..4).prop_map(Statement::TakenBack)
    })
}

fn literal(cell: Cell) -> String {
    cell.map_or("NULL".to_owned(), |value| value.to_string())
}

fn set_text(sets: &Sets, table: &str, excluded: &str) -> String {
    let one = |(column, to): &(usize, To)| {
        let value = match to {
            To::Constant(cell) => literal(*cell),
            To::Column(from) => format!("{table}.{}", COLUMNS[*from]),
            To::OneMore(from) => format!("{table}.{} + 1", COLUMNS[*from]),
            To::Excluded(from) => format!("{excluded}.{}", COLUMNS[*from]),
        };
        format!("{} = {value}", COLUMNS[*column])
    };
    sets.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn where_text(which: Which, table: &str) -> String {
    which.map_or(String::new(), |(column, value)| {
        format!(" WHERE {table}.{} = {value}", COLUMNS[column])
    })
}

impl Statement {
    fn sql(&self, table: &str, keys: Keys) -> String {
        let key = |key: usize| {
            keys[key % keys.len()]
                .iter()
                .map(|column| COLUMNS[*column])
                .collect::<Vec<_>>()
                .join(", ")
        };
        let mut sql = String::new();
        match self {
            Statement::Insert(rows, conflict) => {
                let rows: Vec<String> =
                    rows.iter().map(|row| format!("({})", row.map(literal).join(", "))).collect();
                write!(sql, "INSERT INTO {table} (k, u, a, b, v) VALUES {}", rows.join(", "))
                    .expect("a string");
                sql += &match conflict {
                    Conflict::Fail => String::new(),
                    Conflict::Nothing(None) => " ON CONFLICT DO NOTHING".to_owned(),
                    Conflict::Nothing(Some(target)) => {
                        format!(" ON CONFLICT ({}) DO NOTHING", key(*target))
                    }
                    Conflict::Update(target, sets, which) => format!(
                        " ON CONFLICT ({}) DO UPDATE SET {}{}",
                        key(*target),
                        set_text(sets, table, "excluded"),
                        where_text(*which, table)
                    ),
                };
            }
            Statement::Update(sets, which) => {
                let sets = set_text(sets, table, table);
                write!(sql, "UPDATE {table} SET {sets}{}", where_text(*which, table))
                    .expect("a string");
            }
            Statement::Delete(which) => {
                write!(sql, "DELETE FROM {table}{}", where_text(*which, table)).expect("a string");
            }
            Statement::TakenBack(_) => unreachable!("it is several statements"),
        }
        sql + " RETURNING k, u, a, b, v"
    }
}

/// The naive table: its rows, each with whether the running statement wrote it.
#[derive(Clone, Debug)]
struct Naive(Vec<(Row, bool)>, Keys);

fn changed(sets: &Sets, row: &Row, excluded: &Row) -> Row {
    let mut new = *row;
    for (column, to) in sets {
        new[*column] = match to {
            To::Constant(cell) => *cell,
            To::Column(from) => row[*from],
            To::OneMore(from) => row[*from].map(|value| value + 1),
            To::Excluded(from) => excluded[*from],
        };
    }
    new
}

fn chosen(which: Which, row: &Row) -> bool {
    which.is_none_or(|(column, value)| row[column] == Some(value))
}

fn collide(key: &[usize], left: &Row, right: &Row) -> bool {
    key.iter().all(|column| left[*column].is_some() && left[*column] == right[*column])
}

impl Naive {
    /// The first row, but this one, with the same key.
    fn met(&self, key: &[usize], row: &Row, except: Option<usize>) -> Option<usize> {
        self.0
            .iter()
            .enumerate()
            .find(|(at, (other, _))| Some(*at) != except && collide(key, other, row))
            .map(|(at, _)| at)
    }

    fn insert(&mut self, rows: &[Row], conflict: &Conflict) -> Result<Vec<Row>, &'static str> {
        let mut written = Vec::new();
        for row in rows {
            if row[0].is_none() {
                return Err("23502");
            }
            let targets: Vec<&[usize]> = match conflict {
                Conflict::Fail => Vec::new(),
                Conflict::Nothing(None) => self.1.to_vec(),
                Conflict::Nothing(Some(target)) | Conflict::Update(target, ..) => {
                    vec![self.1[*target % self.1.len()]]
                }
            };
            let met = targets.iter().find_map(|key| self.met(key, row, None));
            match (met, conflict) {
                (None, _) => {
                    if self.1.iter().any(|key| self.met(key, row, None).is_some()) {
                        return Err("23505");
                    }
                    self.0.push((*row, true));
                    written.push(*row);
                }
                (Some(at), Conflict::Update(_, sets, which)) => {
                    let (there, own) = self.0[at];
                    if own {
                        return Err("21000");
                    }
                    if !chosen(*which, &there) {
                        continue;
                    }
                    let new = changed(sets, &there, row);
                    if new[0].is_none() {
                        return Err("23502");
                    }
                    if self.1.iter().any(|key| self.met(key, &new, Some(at)).is_some()) {
                        return Err("23505");
                    }
                    self.0[at] = (new, true);
                    written.push(new);
                }
                (Some(_), Conflict::Nothing(_) | Conflict::Fail) => {}
            }
        }
        Ok(written)
    }

    fn update(&mut self, sets: &Sets, which: Which) -> Result<Vec<Row>, &'static str> {
        let mut written = Vec::new();
        for (row, _) in self.0.iter_mut().filter(|(row, _)| chosen(which, row)) {
            *row = changed(sets, row, row);
            written.push(*row);
        }
        if written.iter().any(|row| row[0].is_none()) {
            return Err("23502");
        }
        let twice = |(at, (row, _)): (usize, &(Row, bool))| {
            self.1.iter().any(|key| self.met(key, row, Some(at)).is_some())
        };
        if self.0.iter().enumerate().any(twice) { Err("23505") } else { Ok(written) }
    }

    /// Runs a statement; it has no effect if it fails.
    fn run(&mut self, statement: &Statement) -> Result<Vec<Row>, &'static str> {
        let mut after = self.clone();
        after.0.iter_mut().for_each(|(_, own)| *own = false);
        let result = match statement {
            Statement::Insert(rows, conflict) => after.insert(rows, conflict),
            Statement::Update(sets, which) => after.update(sets, *which),
            Statement::Delete(which) => {
                let (gone, left) = after.0.into_iter().partition(|(row, _)| chosen(*which, row));
                after.0 = left;
                let gone: Vec<(Row, bool)> = gone;
                Ok(gone.into_iter().map(|(row, _)| row).collect())
            }
            Statement::TakenBack(_) => unreachable!("it is several statements"),
        };
        if result.is_ok() {
            *self = after;
        }
        result
    }
}

/// Runs a text: the rows of its last statement, sorted, or the SQLSTATE.
async fn run(session: &mut Session, sql: &str) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    let mut sink = |execution| {
        if let Execution::Rows { rows: got, .. } = execution {
            rows = got.iter().map(|row| std::array::from_fn(|at| cell_of(&row[at]))).collect();
        }
    };
    match session.simple(sql, &mut sink).await {
        Ok(()) => {
            rows.sort();
            Ok(rows)
        }
        Err(error) => Err(error.sqlstate.to_string()),
    }
}

fn cell_of(datum: &Datum) -> Cell {
    match datum {
        Datum::Int(value) => Some(*value),
        Datum::Null => None,
        other => panic!("{other:?} in a column of integers"),
    }
}

/// Runs statements on both; within a block each has a savepoint before it, as a failure must not
/// end the block.
async fn both(
    session: &mut Session,
    naive: &mut Naive,
    table: &str,
    statements: &[Statement],
    in_block: bool,
) -> Result<(), TestCaseError> {
    for statement in statements {
        if let Statement::TakenBack(inner) = statement {
            let (begin, end) = if in_block {
                ("SAVEPOINT outer_one", "ROLLBACK TO outer_one; RELEASE outer_one")
            } else {
                ("BEGIN", "ROLLBACK")
            };
            run(session, begin).await.expect("it begins");
            let mut copy = naive.clone();
            Box::pin(both(session, &mut copy, table, inner, true)).await?;
            run(session, end).await.expect("it ends");
        } else {
            let sql = statement.sql(table, naive.1);
            if in_block {
                run(session, "SAVEPOINT s").await.expect("a savepoint");
            }
            let got = run(session, &sql).await;
            if in_block {
                let end = if got.is_ok() { "RELEASE s" } else { "ROLLBACK TO s; RELEASE s" };
                run(session, end).await.expect("a savepoint's end");
            }
            let mut want = naive.run(statement).map_err(str::to_owned);
            if let Ok(rows) = &mut want {
                rows.sort();
            }
            prop_assert_eq!(got, want, "{}", sql);
        }
        let mut want: Vec<Row> = naive.0.iter().map(|(row, _)| *row).collect();
        want.sort();
        let got = run(session, &format!("SELECT k, u, a, b, v FROM {table}")).await;
        prop_assert_eq!(got, Ok(want), "the table after {:?}", statement);
    }
    Ok(())
}

#[test]
fn statements_over_unique_keys_do_what_a_naive_table_does() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let world = World::new();
    let mut session = world.databases[0].session(SessionOptions::default()).expect("the first one");
    runtime.block_on(async {
        for (.., schema) in SCHEMAS {
            run(&mut session, schema).await.expect("the tables are made");
        }
    });
    let cell = std::cell::RefCell::new(session);
    let config = ProptestConfig { cases: 400, ..ProptestConfig::default() };
    let strategy = (0..SCHEMAS.len(), 0..4_usize, prop::collection::vec(statement(), 1..10));
    let outcome = TestRunner::new(config).run(&strategy, |(schema, level, statements)| {
        let (table, keys, _) = SCHEMAS[schema];
        let level = ["SERIALIZABLE", "SERIALIZABLE", "REPEATABLE READ", "READ COMMITTED"][level];
        let mut session = cell.borrow_mut();
        runtime.block_on(async {
            let set = format!(
                "ROLLBACK; DELETE FROM {table};
                 SET default_transaction_isolation = '{}'",
                level.to_lowercase()
            );
            run(&mut session, &set).await.expect("the table is emptied");
            both(&mut session, &mut Naive(Vec::new(), keys), table, &statements, false).await?;
            crate::support::check_all(&mut session).await;
            Ok(())
        })
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
