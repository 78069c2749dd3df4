//! Input, cut into pieces.

use super::*;

fn statements(input: &str) -> (Vec<String>, String) {
    let (pieces, rest) = split(input);
    let text = |piece| match piece {
        Piece::Statement(text) => text,
        Piece::Expanded(text) => format!("EXPANDED {text}"),
        Piece::Meta(text) => format!("META {text}"),
    };
    (pieces.into_iter().map(text).collect(), rest)
}

#[test]
fn semicolons_inside_quotes_and_comments_end_nothing() {
    let (found, rest) = statements(
        "select ';', \";\" ; -- no; end\n select $a$ ; $a$, $1; /* ; /* ; */ ; */ select 2; x",
    );
    assert_eq!(
        found,
        ["select ';', \";\"", "-- no; end\n select $a$ ; $a$, $1", "/* ; /* ; */ ; */ select 2"]
    );
    assert_eq!(rest, "x");
}

#[test]
fn a_backslash_command_is_a_line() {
    let (found, rest) = statements("\\dt\nselect 1;\n\\x on\n");
    assert_eq!(found, ["META \\dt", "select 1", "META \\x on"]);
    assert_eq!(rest, "");
    let (found, _) = statements("-- first\n  \\dt;\nselect 1;");
    assert_eq!(found, ["META \\dt", "-- first\n  select 1"]);
}

#[test]
fn a_command_in_the_middle_of_a_statement_does_not_wait_for_its_end() {
    let (found, rest) = statements("select 1\n\\dt\n, 2; \\x\nselect '\n\\no', E'\\\\'");
    assert_eq!(found, ["META \\dt", "select 1\n, 2", "META \\x"]);
    assert_eq!(rest, "select '\n\\no', E'\\\\'");
    assert_eq!(statements("select 1\n\\q").0, ["META \\q"]);
}

#[test]
fn a_statement_may_be_sent_by_a_command() {
    let (found, rest) = statements("select 1 \\g\nselect 2\\gx select 3 \\gz");
    assert_eq!(found, ["select 1", "EXPANDED select 2"]);
    assert_eq!(rest, "select 3 \\gz");
}

#[test]
fn words_that_mean_a_command_stand_alone() {
    assert_eq!(statements("help\nselect 1; exit").0, ["META \\?", "select 1", "META \\q"]);
    assert_eq!(statements(" QUIT; ").0, ["META \\q"]);
    let (found, rest) = statements("select 1 as\nexit\n;help me");
    assert_eq!((found, rest), (vec!["select 1 as\nexit".to_owned()], "help me".to_owned()));
    for line in ["help", "quit;", "select 1;", "\\x", "select 1 \\g"] {
        assert!(may_end(line), "{line}");
    }
    assert!(!may_end("select 1"));
}

#[test]
fn an_open_quote_waits_for_more() {
    assert_eq!(statements("select 'a;"), (vec![], "select 'a;".to_owned()));
    assert_eq!(statements("select 'it''s'; "), (vec!["select 'it''s'".into()], String::new()));
}

#[test]
fn backslashes_escape_where_an_e_says_so() {
    let (found, rest) = statements("select E'a\\';b', e'\\\\', the'\\'; select E'\\'; ");
    assert_eq!(found, ["select E'a\\';b', e'\\\\', the'\\'"]);
    assert_eq!(rest, "select E'\\'; ");
}

#[test]
fn enter_sends_what_is_finished() {
    for finished in ["select 1;", "\\dt", "exit", "select 1\n\\dt", "", "-- x", "select 1 \\gx"] {
        assert!(is_finished(finished), "{finished}");
    }
    for open in ["select 1", "select '\n\\dt", "\\dt\nselect '\n\\q", "select 1; select 2"] {
        assert!(!is_finished(open), "{open}");
    }
}

#[test]
fn blank_is_white_space_and_comments() {
    assert!(is_blank(" -- x\n /* y */ "));
    assert!(!is_blank(" -- x\n z"));
}
