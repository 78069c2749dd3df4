//! How expressions without brackets are read: every pair of operators, as PostgreSQL reads it.
//!
//! `precedence.txt` has a line for each pair: the bare expression, and the same with all brackets,
//! or `error`. With `MERIDIAN_TEST_POSTGRES` set, PostgreSQL judges each line: the bare form and
//! ours with brackets must come to the same there, over operands that record what was done to them
//! (a type with all operators, whose values are the expressions) and over truth values.
//! `MERIDIAN_BLESS=1` writes the file anew.

use std::fmt::Write as _;

use proptest::prelude::*;
use sqlparser::{ast::Expr, tokenizer::Token};

use crate::parse::{lex, with_expression};

/// Operators between two operands.
const BINARY: [&str; 37] = [
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "<",
    ">",
    "=",
    "<=",
    ">=",
    "<>",
    "&",
    "|",
    "#",
    "<<",
    ">>",
    "||",
    "~",
    "~*",
    "!~",
    "!~*",
    "~~",
    "!~~*",
    "@>",
    "->",
    "OPERATOR(public.+)",
    "AND",
    "OR",
    "LIKE",
    "NOT LIKE",
    "ILIKE",
    "SIMILAR TO",
    "IS DISTINCT FROM",
    "IS NOT DISTINCT FROM",
    "AT TIME ZONE",
    "BETWEEN a AND",
];
/// Operators before an operand.
const PREFIX: [&str; 5] = ["-", "+", "~", "@", "NOT"];
/// Operators behind an operand.
const POSTFIX: [&str; 9] = [
    "IS NULL",
    "IS NOT NULL",
    "ISNULL",
    "NOTNULL",
    "IS TRUE",
    "IN (a, b)",
    "NOT IN (a)",
    "= ANY (ARRAY[a])",
    "::tree",
];

/// Every pair that may stand beside each other.
fn pairs() -> Vec<String> {
    let mut all = Vec::new();
    for first in BINARY {
        for second in BINARY {
            all.push(format!("a {first} b {second} c"));
        }
        for second in POSTFIX {
            all.push(format!("a {first} b {second}"));
            all.push(format!("a {second} {first} b"));
        }
        for second in PREFIX {
            all.push(format!("{second} a {first} b"));
            all.push(format!("a {first} {second} b"));
            all.push(format!("a {first} {second} b {first} c"));
        }
        all.push(format!("a BETWEEN b {first} c AND a"));
        all.push(format!("a LIKE b ESCAPE c {first} a"));
    }
    for first in PREFIX {
        for second in PREFIX {
            all.push(format!("{first} {second} a"));
        }
        for second in POSTFIX {
            all.push(format!("{first} a {second}"));
        }
    }
    for first in POSTFIX {
        for second in POSTFIX {
            all.push(format!("a {first} {second}"));
        }
    }
    all
}

/// The expression with brackets around every operation.
fn bracketed(expr: &Expr) -> String {
    let of = bracketed;
    let not = |negated: &bool| if *negated { "NOT " } else { "" };
    match expr {
        Expr::Nested(inner) => of(inner),
        Expr::BinaryOp { left, op, right } => format!("({} {op} {})", of(left), of(right)),
        Expr::UnaryOp { op, expr } => format!("({op} {})", of(expr)),
        Expr::IsNull(arg) => format!("({} IS NULL)", of(arg)),
        Expr::IsNotNull(arg) => format!("({} IS NOT NULL)", of(arg)),
        Expr::IsTrue(arg) => format!("({} IS TRUE)", of(arg)),
        Expr::IsDistinctFrom(left, right) => {
            format!("({} IS DISTINCT FROM {})", of(left), of(right))
        }
        Expr::IsNotDistinctFrom(left, right) => {
            format!("({} IS NOT DISTINCT FROM {})", of(left), of(right))
        }
        Expr::AtTimeZone { timestamp, time_zone } => {
            format!("({} AT TIME ZONE {})", of(timestamp), of(time_zone))
        }
        Expr::Like { negated, expr, pattern, escape_char, .. } => {
            let escape =
                escape_char.as_ref().map_or(String::new(), |c| format!(" ESCAPE {}", of(c)));
            format!("({} {}LIKE {}{escape})", of(expr), not(negated), of(pattern))
        }
        Expr::ILike { negated, expr, pattern, .. } => {
            format!("({} {}ILIKE {})", of(expr), not(negated), of(pattern))
        }
        Expr::SimilarTo { negated, expr, pattern, .. } => {
            format!("({} {}SIMILAR TO {})", of(expr), not(negated), of(pattern))
        }
        Expr::Between { expr, negated, low, high } => {
            format!("({} {}BETWEEN {} AND {})", of(expr), not(negated), of(low), of(high))
        }
        Expr::InList { expr, list, negated } => {
            let list: Vec<String> = list.iter().map(of).collect();
            format!("({} {}IN ({}))", of(expr), not(negated), list.join(", "))
        }
        Expr::AnyOp { left, compare_op, right, .. } => {
            format!("({} {compare_op} ANY ({}))", of(left), of(right))
        }
        Expr::Cast { expr, data_type, .. } => format!("({}::{data_type})", of(expr)),
        other => other.to_string(),
    }
}

/// What the expression is with all brackets; `error` if it is none.
fn read(bare: &str) -> String {
    match with_expression(bare, |expr| Ok(expr.clone())) {
        Ok(expr) => bracketed(&expr),
        Err(error) => {
            assert_eq!(error.sqlstate, expr::SqlState::SYNTAX_ERROR, "{bare}: {error:?}");
            "error".to_owned()
        }
    }
}

fn file() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/parse/tests/precedence.txt")
}

#[test]
fn pairs_of_operators_are_read_as_written_down() {
    let mut found = String::new();
    for bare in pairs() {
        writeln!(found, "{bare}\t{}", read(&bare)).expect("a string takes all");
    }
    if std::env::var_os("MERIDIAN_BLESS").is_some() {
        std::fs::write(file(), &found).expect("the file is writable");
        return;
    }
    let known = std::fs::read_to_string(file()).expect("the file is readable");
    for (found, known) in found.lines().zip(known.lines()) {
        assert_eq!(found, known);
    }
    assert_eq!(found.lines().count(), known.lines().count());
}

/// A type whose values are the expressions they came of, and all operators over it.
fn recorder() -> String {
    let mut sql = String::from(
        "DROP SCHEMA IF EXISTS recorder CASCADE; CREATE SCHEMA recorder; \
         SET search_path = recorder, public, pg_catalog; CREATE TYPE tree AS (t text);",
    );
    let symbols =
        BINARY.iter().filter(|symbol| !symbol.contains(|c: char| c.is_ascii_alphabetic()));
    for (number, symbol) in symbols.enumerate() {
        write!(
            sql,
            "CREATE FUNCTION o{number}(l tree, r tree) RETURNS tree LANGUAGE sql AS \
             $$ SELECT ROW('(' || (l).t || '{symbol}' || (r).t || ')')::tree $$; \
             CREATE OPERATOR {symbol} (LEFTARG = tree, RIGHTARG = tree, FUNCTION = o{number});"
        )
        .expect("a string takes all");
    }
    for (number, symbol) in ["-", "+", "~", "@"].iter().enumerate() {
        write!(
            sql,
            "CREATE FUNCTION p{number}(r tree) RETURNS tree LANGUAGE sql AS \
             $$ SELECT ROW('({symbol}' || (r).t || ')')::tree $$; \
             CREATE OPERATOR {symbol} (RIGHTARG = tree, FUNCTION = p{number});"
        )
        .expect("a string takes all");
    }
    sql
}

/// What PostgreSQL makes of an expression over these operands.
async fn judged(client: &tokio_postgres::Client, expr: &str, operands: &str) -> String {
    let sql = format!("SELECT ({expr})::text FROM (VALUES {operands}) v(a, b, c)");
    match client.simple_query(&sql).await {
        Ok(messages) => {
            let rows = messages.iter().filter_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("NULL")),
                _ => None,
            });
            rows.collect::<Vec<&str>>().join(",")
        }
        Err(error) => {
            let error = error.as_db_error().expect("the server answers");
            format!("{} {}", error.code().code(), error.message())
        }
    }
}

#[tokio::test]
async fn pairs_of_operators_are_read_as_postgresql_reads_them() {
    let Ok(url) = std::env::var("MERIDIAN_TEST_POSTGRES") else { return };
    let connected = tokio_postgres::connect(&url, tokio_postgres::NoTls).await;
    let (client, connection) = connected.expect("the server answers");
    tokio::spawn(async move {
        let _ended = connection.await;
    });
    client.batch_execute(&recorder()).await.expect("the recorder is made");
    let trees = "(ROW('a')::tree, ROW('b')::tree, ROW('c')::tree)";
    let mut truths = Vec::new();
    for a in ["true", "false", "NULL"] {
        for b in ["true", "false", "NULL"] {
            truths.extend(
                ["true", "false", "NULL"].map(|c| format!("({a}::bool, {b}::bool, {c}::bool)")),
            );
        }
    }
    let mut wrong = Vec::new();
    for bare in pairs() {
        let ours = read(&bare);
        for operands in [trees, &truths.join(", ")] {
            let theirs = judged(&client, &bare, operands).await;
            let same = match ours.as_str() {
                "error" => theirs.starts_with("42601"),
                ours => judged(&client, ours, operands).await == theirs,
            };
            if !same {
                wrong.push(format!("{bare} is {ours} here, PostgreSQL says {theirs}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// A random tree, printed with all brackets or with those that are needed.
#[derive(Clone, Debug)]
enum Tree {
    Leaf(u8),
    Prefix(usize, Box<Tree>),
    Postfix(usize, Box<Tree>),
    Binary(usize, Box<Tree>, Box<Tree>),
}

/// Operators with PostgreSQL's levels, written down a second time; odd levels do not associate.
const LEVELS: [(&str, u8); 16] = [
    ("OR", 2),
    ("AND", 4),
    ("IS DISTINCT FROM", 7),
    ("=", 9),
    ("<", 9),
    (">=", 9),
    ("LIKE", 11),
    ("||", 14),
    ("&", 14),
    ("<<", 14),
    ("+", 16),
    ("-", 16),
    ("*", 18),
    ("%", 18),
    ("^", 20),
    ("AT TIME ZONE", 22),
];
const BEFORE: [(&str, u8); 5] = [("NOT", 6), ("~", 14), ("@", 14), ("-", 24), ("+", 24)];
const BEHIND: [(&str, u8); 3] = [("IS NULL", 7), ("IS TRUE", 7), ("NOTNULL", 7)];

impl Tree {
    fn level(&self) -> u8 {
        match self {
            Tree::Leaf(_) => u8::MAX,
            Tree::Prefix(op, _) => BEFORE[*op].1,
            Tree::Postfix(op, _) => BEHIND[*op].1,
            Tree::Binary(op, ..) => LEVELS[*op].1,
        }
    }

    /// The weakest operator before an operand that ends this tree without a bracket: whatever
    /// follows and binds stronger would go to its operand.
    fn open_end(&self) -> u8 {
        let of = |arg: &Tree, needs: bool| if needs { u8::MAX } else { arg.open_end() };
        match self {
            Tree::Leaf(_) | Tree::Postfix(..) => u8::MAX,
            Tree::Prefix(op, arg) => BEFORE[*op].1.min(of(arg, self.needs_right(arg))),
            Tree::Binary(_, _, right) => of(right, self.needs_right(right)),
        }
    }

    /// Whether the operand behind this operator needs brackets. An operator before its operand
    /// cannot be taken apart there.
    fn needs_right(&self, arg: &Tree) -> bool {
        let level = self.level();
        match arg {
            Tree::Leaf(_) | Tree::Prefix(..) => false,
            Tree::Postfix(..) => {
                arg.level() < level || matches!(self, Tree::Binary(..) if arg.level() == level)
            }
            Tree::Binary(..) => arg.level() <= level,
        }
    }

    /// Whether the operand before this operator needs brackets.
    fn needs_left(&self, arg: &Tree) -> bool {
        let level = self.level();
        let single = level % 2 == 1;
        let same = single && arg.level() == level && matches!(arg, Tree::Binary(..));
        arg.level() < level || arg.open_end() < level || same
    }

    fn full(&self) -> String {
        match self {
            Tree::Leaf(name) => char::from(*name).to_string(),
            Tree::Prefix(op, arg) => format!("({} {})", BEFORE[*op].0, arg.full()),
            Tree::Postfix(op, arg) => format!("({} {})", arg.full(), BEHIND[*op].0),
            Tree::Binary(op, left, right) => {
                format!("({} {} {})", left.full(), LEVELS[*op].0, right.full())
            }
        }
    }

    fn bare(&self) -> String {
        match self {
            Tree::Leaf(name) => char::from(*name).to_string(),
            Tree::Prefix(op, arg) => {
                format!("{} {}", BEFORE[*op].0, in_brackets(arg, self.needs_right(arg)))
            }
            Tree::Postfix(op, arg) => {
                format!("{} {}", in_brackets(arg, self.needs_left(arg)), BEHIND[*op].0)
            }
            Tree::Binary(op, left, right) => {
                let left = in_brackets(left, self.needs_left(left));
                let right = in_brackets(right, self.needs_right(right));
                format!("{left} {} {right}", LEVELS[*op].0)
            }
        }
    }
}

fn in_brackets(tree: &Tree, needed: bool) -> String {
    if needed { format!("({})", tree.bare()) } else { tree.bare() }
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = (b'a'..=b'f').prop_map(Tree::Leaf);
    leaf.prop_recursive(6, 40, 2, |inner| {
        prop_oneof![
            4 => (0..LEVELS.len(), inner.clone(), inner.clone())
                .prop_map(|(op, l, r)| Tree::Binary(op, Box::new(l), Box::new(r))),
            1 => (0..BEFORE.len(), inner.clone())
                .prop_map(|(op, arg)| Tree::Prefix(op, Box::new(arg))),
            1 => (0..BEHIND.len(), inner).prop_map(|(op, arg)| Tree::Postfix(op, Box::new(arg))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Brackets that are not needed change nothing.
    #[test]
    fn a_tree_is_read_as_it_was_printed(tree in tree()) {
        let (bare, full) = (tree.bare(), tree.full());
        prop_assert_eq!(read(&bare), read(&full), "{}", bare);
    }

    /// What the catalog keeps as text is read as the expression it was.
    #[test]
    fn an_expression_survives_being_printed(tree in tree(), text in "[a'\\\\]{0,6}") {
        let quoted = format!("{} || E'{}'", tree.bare(), text.replace('\\', "\\\\").replace('\'', "\\'"));
        if let Ok(expr) = with_expression(&quoted, |expr| Ok(expr.clone())) {
            let printed = expr.to_string();
            prop_assert_eq!(read(&printed), bracketed(&expr), "{}", printed);
            let literals = lex::lex(&printed).expect("printed").tokens.into_iter();
            let mut values = literals.filter_map(|token| match token.token {
                Token::SingleQuotedString(value) | Token::EscapedStringLiteral(value) => Some(value),
                _ => None,
            });
            prop_assert_eq!(values.next_back(), Some(text));
        }
    }
}
