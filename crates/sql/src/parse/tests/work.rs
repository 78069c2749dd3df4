//! Texts that once took time out of all proportion to read. None of these tests looks at a clock:
//! without bounds they would not end.

use expr::SqlState;

use super::super::parse;

/// Reads it, and answers with the error's code, if there is one.
fn read(sql: &str) -> Option<SqlState> {
    parse(sql).err().map(|error| error.sqlstate)
}

/// `inner` within so many layers of `before` and `behind`.
fn nested(before: &str, inner: &str, behind: &str, levels: usize) -> String {
    format!("SELECT {}{inner}{}", before.repeat(levels), behind.repeat(levels))
}

#[test]
fn what_brackets_hold_is_judged_once() {
    let lists = nested("1 IN ((SELECT ", "1", ") + 1)", 60);
    assert_eq!(read(&lists), None);
    let joins = nested("* FROM ((SELECT ", "1", ") AS a CROSS JOIN t)", 60);
    assert_eq!(read(&joins), None);
    assert_eq!(read(&nested("position(", "'a'", " IN 'c')", 60)), None);
    assert_eq!(read(&nested("position(", "1", ")", 60)), Some(SqlState::SYNTAX_ERROR));
}

#[test]
fn queries_and_lists_behind_in_are_told_apart() {
    let queries = [
        "(SELECT 1)",
        "((SELECT 1))",
        "(((SELECT 1) UNION (SELECT 2)))",
        "((SELECT 1) UNION SELECT 2 ORDER BY 1)",
        "((VALUES (1), (2)) LIMIT 1)",
        "((TABLE t))",
        "((WITH q AS (SELECT 1) SELECT * FROM q))",
    ];
    let lists =
        ["((SELECT 1), 2)", "((SELECT 1) + 1)", "(((SELECT 1)) * 2, 3)", "((1))", "((1), (2))"];
    let is_query = |list: &str| {
        let statements = parse(&format!("SELECT 1 IN {list}")).expect(list);
        format!("{:?}", statements[0].kind()).contains("InSubquery")
    };
    for query in queries {
        assert!(is_query(query), "{query}");
    }
    for list in lists {
        assert!(!is_query(list), "{list}");
    }
}

#[test]
fn a_run_of_signs_is_looked_through_once() {
    assert_eq!(
        read(&format!("SELECT {}1", "+".repeat(900_000))),
        Some(SqlState::STATEMENT_TOO_COMPLEX)
    );
    assert_eq!(read("SELECT 1+-+-+1, 2 <-- a remark\n 3, 4>-+5"), None);
}

#[test]
fn words_that_say_nothing_go_in_one_pass() {
    let only = format!("SELECT FROM {} c", "ONLY a, ".repeat(200_000));
    assert_eq!(read(&only), None);
    let table = format!("SELECT {} 1", "a table, ".repeat(200_000));
    assert_eq!(read(&table), None);
}

#[test]
fn chains_whose_operands_are_copied_end() {
    let short = format!("SELECT 1 {}", "NOTNULL ".repeat(400));
    assert_eq!(read(&short), None);
    for link in ["NOTNULL ", "NOTNULL = true "] {
        let long = format!("SELECT 1 {}", link.repeat(20_000));
        assert_eq!(read(&long), Some(SqlState::STATEMENT_TOO_COMPLEX), "{link}");
    }
}

#[test]
fn prepared_statements_do_not_run_others_by_name() {
    assert_eq!(read("PREPARE b AS EXECUTE a"), Some(SqlState::SYNTAX_ERROR));
}
