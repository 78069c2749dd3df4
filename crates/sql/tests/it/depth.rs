//! Every construct that nests or chains, at depths far beyond what is possible: each statement
//! answers with a value or a plain error, and the process lives.
//!
//! The statements run in a thread with the stack that tokio gives its workers, so what holds here
//! holds in a server, in a build without optimization as in a release.

use expr::SqlState;
use sql::{Session, SessionOptions, SqlError};

use crate::support::World;

/// The stack of tokio's workers.
const STACK: usize = 2 << 20;
/// How deep a test goes, with `MERIDIAN_LONG=1`.
const LEVELS: [usize; 4] = [10, 100, 1_000, 10_000];
/// How deep it goes otherwise: to what must work, and far beyond.
const FEW_LEVELS: [usize; 2] = [100, 3_000];

fn levels() -> &'static [usize] {
    if std::env::var_os("MERIDIAN_LONG").is_some() { &LEVELS } else { &FEW_LEVELS }
}

/// Whatever nests must work to here.
const HONEST_NESTING: usize = 100;
/// Whatever is flat must work to here.
const HONEST_LENGTH: usize = 10_000;

/// A construct, with what it is made of at a depth.
struct Construct {
    name: &'static str,
    /// `SELECT` or another statement that runs in any session.
    sql: Box<dyn Fn(usize) -> String + Send>,
    /// The depth to which it must yield what is expected.
    works_to: usize,
    /// What it must yield as far as that: an answer, or this error.
    yields: Result<(), &'static str>,
}

fn construct(
    name: &'static str,
    works_to: usize,
    sql: impl Fn(usize) -> String + Send + 'static,
) -> Construct {
    Construct { name, sql: Box::new(sql), works_to, yields: Ok(()) }
}

/// `SELECT first op op op`.
fn chain(name: &'static str, first: &'static str, more: &'static str) -> Construct {
    construct(name, HONEST_NESTING, move |n| format!("SELECT {first}{}", more.repeat(n)))
}

/// `SELECT open open open inner close close close`.
fn nest(
    name: &'static str,
    open: &'static str,
    inner: &'static str,
    close: &'static str,
) -> Construct {
    construct(name, HONEST_NESTING, move |n| {
        format!("SELECT {}{inner}{}", open.repeat(n), close.repeat(n))
    })
}

/// A derived table of one row.
const ONE: &str = "(SELECT 1 AS a)";

fn list(n: usize, item: impl Fn(usize) -> String) -> String {
    (0..n).map(item).collect::<Vec<String>>().join(", ")
}

impl Construct {
    const fn fails(mut self, state: &'static str) -> Construct {
        self.yields = Err(state);
        self
    }

    const fn works_to(mut self, depth: usize) -> Construct {
        self.works_to = depth;
        self
    }
}

/// Operators behind an expression, and before one.
fn operators() -> Vec<Construct> {
    vec![
        chain("AND", "true", " AND true").works_to(HONEST_LENGTH),
        chain("OR", "false", " OR false").works_to(HONEST_LENGTH),
        chain("OR of equalities", "1 = 2", " OR 1 = 2").works_to(HONEST_LENGTH),
        chain("AND and OR", "1 = 2", " OR 1 = 2 AND 2 = 3").works_to(HONEST_LENGTH),
        chain("+", "0", " + 1"),
        chain("*", "1", " * 1"),
        chain("||", "'a'", " || 'a'"),
        chain("^", "1.0", " ^ 1"),
        chain("comparison", "true", " = true").fails("42601"),
        chain("LIKE", "'a'", " LIKE 'a'").fails("42601"),
        chain("NOT ILIKE", "'a'", " NOT ILIKE 'a'").fails("42601"),
        chain("SIMILAR TO", "'a'", " SIMILAR TO 'a'").fails("42601"),
        chain("regular expression", "'a'", " ~ 'a'").fails("42883"),
        chain("IN", "true", " IN (true)"),
        chain("NOT IN", "true", " NOT IN (true)"),
        chain("IS NULL", "1", " IS NULL"),
        chain("IS NOT NULL", "1", " IS NOT NULL"),
        chain("IS TRUE", "true", " IS TRUE"),
        chain("IS NOT UNKNOWN", "true", " IS NOT UNKNOWN"),
        chain("NOTNULL", "1", " NOTNULL"),
        chain("IS DISTINCT FROM", "true", " IS DISTINCT FROM true").fails("42601"),
        chain("AT TIME ZONE", "now()", " AT TIME ZONE 'UTC'"),
        chain("cast", "1", "::int"),
        chain("COLLATE", "'a'::text", " COLLATE \"C\"").works_to(1),
        chain("subscript", "ARRAY[1]", "[1]").fails("42804"),
        chain("ANY", "true", " = ANY (ARRAY[true])"),
        chain("BETWEEN", "true", " BETWEEN true AND true").works_to(10),
        chain("OVERLAPS", "true", " OVERLAPS true").fails("42601"),
        nest("NOT", "NOT ", "true", ""),
        nest("minus", "- ", "1", ""),
        nest("plus", "+ ", "1", ""),
        nest("bitwise not", "~ ", "1", ""),
        nest("absolute value", "@ ", "1", ""),
    ]
}

/// Brackets, calls and the like.
fn expressions() -> Vec<Construct> {
    vec![
        nest("brackets", "(", "1", ")"),
        nest("brackets with an operator", "(1 + ", "1", ")"),
        nest("AND in OR", "(false OR (true AND ", "true", "))"),
        nest("CASE in THEN", "CASE WHEN true THEN ", "1", " END"),
        nest("CASE in ELSE", "CASE WHEN false THEN 2 ELSE ", "1", " END"),
        nest("CASE in WHEN", "CASE WHEN ", "true", " THEN true END"),
        nest("CASE operand", "CASE ", "true", " WHEN true THEN true END").works_to(10),
        nest(
            "CASE operand that doubles",
            "CASE ",
            "random() > 2",
            " WHEN true THEN true WHEN false THEN false END",
        )
        .works_to(10),
        nest("BETWEEN that doubles", "(", "random()", " BETWEEN 0 AND 1)").works_to(1),
        nest("call", "abs(", "1", ")"),
        nest("second argument", "concat('a', ", "'a'", ")").works_to(HONEST_NESTING),
        nest("CAST", "CAST(", "1", " AS int)"),
        nest("COALESCE", "coalesce(NULL, ", "1", ")"),
        // Each holds its first part twice.
        nest("NULLIF", "nullif(", "1", ", 2)").works_to(10),
        nest("GREATEST", "greatest(1, ", "1", ")"),
        nest("ARRAY", "ARRAY[", "1", "]").fails("0A000"),
        nest("EXTRACT", "extract(epoch FROM to_timestamp(", "1", "))"),
        nest("SUBSTRING", "substring(", "'a'", " FROM 1)"),
        nest("TRIM", "trim(", "'a'", ")"),
        nest("POSITION", "position('a' IN repeat('a', ", "1", "))"),
        nest("IN list", "1 IN (", "1", ")").fails("42883"),
        nest("row", "(1, ", "1", ") = (1, 1)").works_to(1),
        construct("IN list of many", HONEST_LENGTH, |n| {
            format!("SELECT 1 IN ({})", list(n, |i| i.to_string()))
        }),
        construct("ARRAY of many", HONEST_LENGTH, |n| {
            format!("SELECT ARRAY[{}]", list(n, |i| i.to_string()))
        }),
        construct("CASE of many", 1_000, |n| {
            format!("SELECT CASE 1 {} END", "WHEN 2 THEN 3 ".repeat(n))
        }),
        construct("COALESCE of many", HONEST_LENGTH, |n| {
            format!("SELECT coalesce({})", list(n, |i| i.to_string()))
        }),
        construct("row comparison", HONEST_NESTING, |n| {
            let row = list(n, |i| i.to_string());
            format!("SELECT ({row}) < ({row})")
        }),
        construct("IN of rows", 1_000, |n| {
            format!("SELECT (1, 2) IN ({})", list(n, |i| format!("({i}, {i})")))
        }),
        construct("type brackets", 0, |n| format!("SELECT NULL::int{}", "[]".repeat(n))),
        construct("name", 0, |n| format!("SELECT a{}", ".a".repeat(n))),
        construct("open brackets", 0, |n| format!("SELECT {}", "(".repeat(n))),
        construct("closing brackets", 0, |n| format!("SELECT 1{}", ")".repeat(n))),
        construct("open calls", 0, |n| format!("SELECT {}", "f(".repeat(n))),
        construct("open CASEs", 0, |n| format!("SELECT {}", "CASE WHEN ".repeat(n))),
        construct("INTERVAL", 0, |n| format!("SELECT {}'1'", "INTERVAL ".repeat(n))),
    ]
}

/// Queries in queries, and queries after queries.
fn queries() -> Vec<Construct> {
    vec![
        nest("scalar subquery", "(SELECT ", "1", ")"),
        nest("EXISTS", "EXISTS (SELECT 1 WHERE ", "true", ")"),
        nest("IN subquery", "1 IN (SELECT 1 WHERE ", "true", ")"),
        nest("ANY subquery", "true = ANY (SELECT ", "true", ")"),
        construct("derived table", HONEST_NESTING, |n| {
            format!("{}SELECT 1 AS a{}", "SELECT a FROM (".repeat(n), ") AS t".repeat(n))
        }),
        construct("derived table that doubles", HONEST_NESTING, |n| {
            let (open, close) = ("SELECT a + a - a AS a FROM (".repeat(n), ") AS t".repeat(n));
            format!("SELECT a FROM ({open}SELECT 1 AS a{close}) AS t WHERE a = 1")
        }),
        construct("bracketed query", HONEST_NESTING, |n| {
            format!("{}SELECT 1{}", "(".repeat(n), ")".repeat(n))
        }),
        construct("bracketed table", 0, |n| {
            format!("SELECT * FROM {}t{}", "(".repeat(n), ")".repeat(n))
        }),
        construct("join chain", 50, |n| {
            let joins = list(n, |i| format!("JOIN (SELECT 1 AS a) AS t{i} USING (a)"));
            format!("SELECT a FROM (SELECT 1 AS a) AS t {}", joins.replace("), ", ") "))
        }),
        construct("nested joins", 50, |n| {
            let close: String = (0..n).map(|i| format!(") ON s{}.a = 1", i + 1)).collect();
            let open: String = (0..n).map(|i| format!("{} AS s{} JOIN (", ONE, n - i)).collect();
            format!("SELECT 1 FROM {open}{ONE} AS t JOIN {ONE} AS u ON true{close}")
        }),
        construct("FROM list", 50, |n| {
            format!("SELECT 1 FROM {}", list(n, |i| format!("(SELECT 1) AS t{i}")))
        }),
    ]
}

/// Queries with names, set operations and lists.
fn lists() -> Vec<Construct> {
    vec![
        construct("WITH in WITH", HONEST_NESTING, |n| {
            let (open, close) = ("WITH w AS (".repeat(n), ") SELECT * FROM w".repeat(n));
            format!("{open}SELECT 1{close}")
        }),
        construct("WITH chain", 1_000, |n| {
            let more = list(n, |i| format!("w{} AS (SELECT * FROM w{i})", i + 1));
            format!("WITH w0 AS (SELECT 1 AS a), {more} SELECT * FROM w{n}")
        }),
        construct("WITH chain that doubles", HONEST_NESTING, |n| {
            let more = list(n, |i| {
                format!("w{} AS (SELECT a.a FROM w{i} AS a JOIN w{i} AS b USING (a))", i + 1)
            });
            format!("WITH w0 AS (SELECT 1 AS a), {more} SELECT * FROM w{n}")
        }),
        construct("WITH list", HONEST_LENGTH, |n| {
            format!("WITH {} SELECT 1", list(n, |i| format!("w{i} AS (SELECT 1)")))
        }),
        chain("UNION ALL", "1", " UNION ALL SELECT 1").works_to(HONEST_LENGTH),
        construct("UNION", 1_000, |n| {
            format!("SELECT 1{}", " UNION SELECT 1".repeat(n.min(2_000)))
        }),
        construct("INTERSECT", 1_000, |n| {
            format!("SELECT 1{}", " INTERSECT SELECT 1".repeat(n.min(2_000)))
        }),
        construct("EXCEPT", 1_000, |n| {
            format!("SELECT 1{}", " EXCEPT SELECT 2".repeat(n.min(2_000)))
        }),
        construct("EXCEPT ALL", 1_000, |n| {
            format!("SELECT 1{}", " EXCEPT ALL SELECT 2".repeat(n.min(2_000)))
        }),
        construct("UNION and UNION ALL", HONEST_NESTING, |n| {
            format!("SELECT 1{}", " UNION SELECT 1 UNION ALL SELECT 1".repeat(n.min(2_000)))
        }),
        construct("UNION and INTERSECT", HONEST_NESTING, |n| {
            format!("SELECT 1{}", " UNION SELECT 1 INTERSECT SELECT 1".repeat(n.min(2_000)))
        }),
        chain("UNION of rows", "1, 2", " UNION ALL SELECT 1, 2").works_to(HONEST_LENGTH),
        construct("UNION to the right", HONEST_NESTING, |n| {
            format!("SELECT 1{}{}", " UNION ALL (SELECT 1".repeat(n), ")".repeat(n))
        }),
        construct("VALUES", HONEST_LENGTH, |n| format!("VALUES {}", list(n, |i| format!("({i})")))),
        construct("SELECT list", 1_000, |n| format!("SELECT {}", list(n, |i| i.to_string()))),
        construct("ORDER BY list", 1_000, |n| {
            format!("SELECT 1 AS a ORDER BY {}", list(n, |_| "a".to_owned()))
        }),
        construct("GROUP BY list", 1_000, |n| {
            format!("SELECT 1 AS a GROUP BY {}", list(n, |_| "a".to_owned()))
        }),
        construct("LIMIT", HONEST_NESTING, |n| {
            format!("SELECT 1 LIMIT {}1{}", "(".repeat(n), ")".repeat(n))
        }),
        construct("FILTER", HONEST_NESTING, |n| {
            format!("SELECT count(*) FILTER (WHERE {}true)", "NOT ".repeat(n))
        }),
        construct("aggregate", HONEST_NESTING, |n| {
            format!("SELECT sum({}1{})", "abs(".repeat(n), ")".repeat(n))
        }),
        construct("DISTINCT ON", HONEST_NESTING, |n| {
            format!("SELECT DISTINCT ON ({}1{}) 1", "(".repeat(n), ")".repeat(n))
        }),
        construct("AS OF SYSTEM TIME", 0, |n| {
            format!("SELECT 1 AS OF SYSTEM TIME {}'-1s'{}", "(".repeat(n), ")".repeat(n))
        }),
    ]
}

/// Statements that hold others, or are no queries.
fn statements() -> Vec<Construct> {
    vec![
        construct("EXPLAIN", 10_000, |n| format!("{}SELECT 1", "EXPLAIN ".repeat(n)))
            .fails("42601"),
        construct("EXPLAIN ANALYZE", 10_000, |n| {
            format!("{}SELECT 1", "EXPLAIN ANALYZE ".repeat(n))
        })
        .fails("42601"),
        construct("PREPARE", 10_000, |n| format!("{}SELECT 1", "PREPARE p AS ".repeat(n)))
            .fails("42601"),
        construct("EXPLAIN and PREPARE", 10_000, |n| {
            format!("{}SELECT 1", "EXPLAIN PREPARE p AS ".repeat(n))
        })
        .fails("42601"),
        construct("EXECUTE", HONEST_NESTING, |n| {
            format!("EXECUTE nothing ({}1{})", "(".repeat(n), ")".repeat(n))
        })
        .fails("26000"),
        construct("semicolons", HONEST_LENGTH, |n| ";".repeat(n)),
        construct("statements", 1_000, |n| "SELECT 1;".repeat(n.min(1_000))),
        construct("comments", HONEST_NESTING, |n| {
            format!("SELECT 1 {}{}", "/*".repeat(n), "*/".repeat(n))
        }),
        construct("SET", HONEST_NESTING, |n| {
            format!("SET search_path = {}", list(n, |_| "public".to_owned()))
        }),
        construct("INSERT of many", 1_000, |n| {
            format!("INSERT INTO t VALUES {}", list(n.min(20_000), |_| "(1)".to_owned()))
        }),
        construct("INSERT", HONEST_NESTING, |n| {
            format!("INSERT INTO t VALUES ({}1{})", "abs(".repeat(n), ")".repeat(n))
        }),
        construct("UPDATE", HONEST_NESTING, |n| {
            format!("UPDATE t SET a = {}1{} WHERE false", "abs(".repeat(n), ")".repeat(n))
        }),
        construct("DELETE", HONEST_NESTING, |n| {
            format!("DELETE FROM t WHERE {}false", "NOT NOT ".repeat(n / 2))
        }),
        construct("RETURNING", HONEST_NESTING, |n| {
            format!("DELETE FROM t WHERE false RETURNING {}1", "- ".repeat(n))
        }),
        construct("SPLIT AT", 0, |n| {
            format!("ALTER TABLE t SPLIT AT VALUES ({}1{})", "(".repeat(n), ")".repeat(n))
        }),
        construct("unsupported", 0, |n| format!("CREATE VIEW v AS SELECT {}1", "- ".repeat(n))),
    ]
}

async fn run(session: &mut Session, sql: &str) -> Result<(), SqlError> {
    session.simple(sql, &mut |_| ()).await
}

/// As a driver does it.
async fn run_prepared(session: &mut Session, sql: &str) -> Result<(), SqlError> {
    for statement in session.parse(sql)? {
        let prepared = session.prepare(&statement, &[]).await?;
        session.execute(&prepared, Vec::new()).await?;
    }
    session.end_pipeline().await
}

/// What may come of any statement, however deep: an answer or an error that is the statement's.
/// Anything else is noted.
fn judge(
    construct: &Construct,
    depth: usize,
    how: &str,
    result: &Result<(), SqlError>,
    faults: &mut Vec<String>,
) {
    let label = format!("{how} of {} at {depth}: {result:?}", construct.name);
    let state = match result {
        Ok(()) => Ok(()),
        Err(error) => Err(error.sqlstate.code()),
    };
    let ours = ["42", "54", "0A", "22", "53"];
    let plain = |state: &str| ours.iter().any(|class| state.starts_with(class));
    let possible =
        state.is_ok_and(|()| true) || state.is_err_and(plain) || state == construct.yields;
    if !possible || (depth <= construct.works_to && state != construct.yields) {
        eprintln!("{label}");
        faults.push(label);
    }
}

/// Runs all of these in a thread with a server's stack.
fn all_of(constructs: fn() -> Vec<Construct>) {
    let test = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let world = World::new();
            let options = SessionOptions::default();
            let mut session = world.databases[0].session(options).expect("few");
            run(&mut session, "CREATE TABLE t (a int)").await.expect("a table");
            let mut faults = Vec::new();
            for construct in constructs() {
                for &depth in levels() {
                    if std::env::var_os("DEPTH_TRACE").is_some() {
                        eprintln!("{} at {depth}", construct.name);
                    }
                    let sql = (construct.sql)(depth);
                    let result = run(&mut session, &sql).await;
                    judge(&construct, depth, "running", &result, &mut faults);
                    if depth > 1_000 {
                        continue;
                    }
                    let result = run_prepared(&mut session, &sql).await;
                    judge(&construct, depth, "preparing", &result, &mut faults);
                    // It may be no statement that can be explained or prepared.
                    let explain = format!("EXPLAIN {sql}");
                    drop(run(&mut session, &explain).await);
                    let prepare = format!("DEALLOCATE ALL; PREPARE q AS {sql}; EXECUTE q");
                    drop(run(&mut session, &prepare).await);
                }
            }
            assert!(faults.is_empty(), "{}", faults.join("\n"));
        });
    };
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(test);
    thread.expect("a thread").join().expect("every statement was answered");
}

#[test]
fn operators_end_no_process() {
    all_of(operators);
}

#[test]
fn expressions_end_no_process() {
    all_of(expressions);
}

#[test]
fn queries_end_no_process() {
    all_of(queries);
}

#[test]
fn lists_end_no_process() {
    all_of(lists);
}

#[test]
fn statements_end_no_process() {
    all_of(statements);
}

/// Expressions that the catalog keeps are read again by whoever plans a write: deep ones are refused
/// when they are made, and those that are kept fit everywhere.
#[test]
fn stored_expressions_are_no_deeper_than_whoever_reads_them_expects() {
    let test = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let world = World::new();
            let options = SessionOptions::default();
            let mut session = world.databases[0].session(options).expect("few");
            for (number, &depth) in levels().iter().enumerate() {
                let check = format!("CHECK ({}a > 0)", "NOT NOT ".repeat(depth / 2));
                let default = format!("{}1{}", "abs(".repeat(depth), ")".repeat(depth));
                let long = format!("CHECK (a > 0{})", " AND a > 0".repeat(depth));
                for (kind, column) in [
                    ("check", format!("a int {check}")),
                    ("default", format!("a int, b int DEFAULT {default}")),
                    ("long", format!("a int {long}")),
                ] {
                    let table = format!("{kind}{number}");
                    let made = run(&mut session, &format!("CREATE TABLE {table} ({column})")).await;
                    if depth <= 100 {
                        made.as_ref().expect("not too deep");
                    }
                    if made.is_ok() {
                        let insert = format!("INSERT INTO {table} (a) VALUES (1)");
                        run(&mut session, &insert).await.expect("it can be used");
                        let update = format!("UPDATE {table} SET a = 0");
                        let wrong = run(&mut session, &update).await;
                        assert_eq!(wrong.is_ok(), kind == "default", "{table}: {wrong:?}");
                    } else {
                        let error = made.expect_err("seen");
                        // sqlparser tells some of what is too deep for it as what it expected.
                        let states = [SqlState::STATEMENT_TOO_COMPLEX, SqlState::SYNTAX_ERROR];
                        assert!(states.contains(&error.sqlstate), "{error:?}");
                    }
                }
            }
        });
    };
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(test);
    thread.expect("a thread").join().expect("every statement was answered");
}
