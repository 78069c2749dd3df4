//! Tests of reading texts.

mod precedence;
mod work;

use expr::SqlState;

use super::{Kind, Mode, SetScope, SetValue, Show, Utility, parse};

fn one(sql: &str) -> Kind {
    let statements = parse(sql).expect(sql);
    assert_eq!(statements.len(), 1, "{sql}");
    statements[0].kind().clone()
}

fn utility(sql: &str) -> Utility {
    match one(sql) {
        Kind::Utility(utility) => *utility,
        Kind::Ast(ast) => panic!("{sql} is {ast:?}"),
    }
}

#[test]
fn statements_are_cut_at_semicolons() {
    let statements = parse(" SELECT 1 ;; -- nothing\n ; SELECT 'a;b' ; ").expect("it parses");
    let texts: Vec<&str> = statements.iter().map(super::Statement::sql).collect();
    assert_eq!(texts, ["SELECT 1", "SELECT 'a;b'"]);
    assert!(parse("").expect("nothing is fine").is_empty());
    assert!(parse(" -- ping").expect("a remark is fine").is_empty());
}

#[test]
fn settings_are_read_in_all_their_forms() {
    let cases = [
        ("SET a = 1", SetScope::Session, "a", "1"),
        ("SET SESSION a.b TO 'x y'", SetScope::Session, "a.b", "x y"),
        ("SET LOCAL Foo = on", SetScope::Local, "foo", "on"),
        ("SET search_path = \"$user\", public", SetScope::Session, "search_path", "$user, public"),
        ("SET extra_float_digits = -3", SetScope::Session, "extra_float_digits", "-3"),
        ("SET TIME ZONE 'UTC'", SetScope::Session, "timezone", "UTC"),
        ("SET NAMES 'utf8'", SetScope::Session, "client_encoding", "utf8"),
    ];
    for (sql, scope, name, value) in cases {
        match utility(sql) {
            Utility::Set(found, to, SetValue::Text(text)) => {
                assert_eq!((found, to.as_str(), text.as_str()), (scope, name, value), "{sql}");
            }
            other => panic!("{sql} is {other:?}"),
        }
    }
    assert!(matches!(utility("SET a TO DEFAULT"), Utility::Set(_, _, SetValue::Default)));
}

#[test]
fn transactions_take_their_modes() {
    let begin = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY DEFERRABLE";
    match utility(begin) {
        Utility::Begin(modes, _) => assert!(matches!(
            modes.modes.as_slice(),
            [
                Mode::Isolation(super::IsolationName::RepeatableRead),
                Mode::ReadOnly,
                Mode::Deferrable
            ]
        )),
        other => panic!("{other:?}"),
    }
    assert!(matches!(utility("ROLLBACK WORK TO a"), Utility::RollbackTo(name) if name == "a"));
    assert!(matches!(utility("END AND NO CHAIN"), Utility::Commit(super::Chain::No)));
    assert!(matches!(utility("SHOW TRANSACTION ISOLATION LEVEL"),
        Utility::Show(Show::Setting(name)) if name == "transaction_isolation"));
}

#[test]
fn the_past_may_be_asked_for_anywhere_in_a_query() {
    for sql in [
        "SELECT * FROM t AS OF SYSTEM TIME '-5s'",
        "SELECT * FROM t AS OF SYSTEM TIME now() - interval '5s' WHERE a = 1 ORDER BY b",
        "SELECT (1) FROM t AS x AS OF SYSTEM TIME '2024-01-01' LIMIT 1",
    ] {
        assert!(matches!(utility(sql), Utility::AsOf(..)), "{sql}");
    }
    let twice = "SELECT 1 AS OF SYSTEM TIME '-1s' AS OF SYSTEM TIME '-2s'";
    assert_eq!(parse(twice).expect_err("once is enough").sqlstate, SqlState::SYNTAX_ERROR);
    let write = "DELETE FROM t AS OF SYSTEM TIME '-1s'";
    let refused = parse(write).expect_err("the past is not written");
    assert_eq!(refused.sqlstate, SqlState::FEATURE_NOT_SUPPORTED);
}

#[test]
fn ranges_are_managed_in_words() {
    assert!(matches!(utility("ALTER TABLE t SPLIT AT VALUES (1), (2, 'b')"),
        Utility::SplitTable(name, rows) if name == ["t"] && rows.len() == 2 && rows[1].len() == 2));
    assert!(matches!(
        utility("ALTER RANGE 7 TRANSFER LEADER TO NODE 3"),
        Utility::TransferRange(7, 3)
    ));
    assert!(matches!(utility("ALTER TABLE a.t TRANSFER LEADER TO REGION 'x'"),
        Utility::TransferTable(name, region) if name == ["a", "t"] && region == "x"));
    assert!(matches!(one("ALTER TABLE t ADD COLUMN a INT"), Kind::Ast(_)));
}

#[test]
fn what_cannot_be_read_names_its_place() {
    let cases = [
        ("SET", 3, "syntax error at end of input"),
        ("SET a", 5, "syntax error at end of input"),
        ("BEGIN nonsense", 6, "syntax error at or near \"nonsense\""),
        ("SELECT 'open", 7, "unterminated quoted string at or near \"'open\""),
        ("SHOW RANGES FROM", 16, "syntax error at end of input"),
        ("SELECT 1 +", 10, "syntax error at end of input"),
        ("SELECT 1; SELECT 1 + ; SELECT 2", 20, "syntax error at or near \";\""),
        ("SET;", 3, "syntax error at or near \";\""),
        ("SELECT 1 2", 9, "syntax error at or near \"2\""),
    ];
    for (sql, place, message) in cases {
        let error = parse(sql).expect_err(sql);
        assert_eq!((error.position, error.message.as_str()), (Some(place), message), "{sql}");
        assert_eq!(error.sqlstate, SqlState::SYNTAX_ERROR, "{sql}");
    }
    assert!(parse("SELECT '\0'").is_err());
}
