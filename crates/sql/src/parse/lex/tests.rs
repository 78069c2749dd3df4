//! Tests of the lexer: every rule of PostgreSQL's `scan.l`, and every way to break it.

use expr::SqlState;
use proptest::prelude::*;
use sqlparser::{keywords::Keyword, tokenizer::Token};

use super::{MAX_NAME_BYTES, Shortened, lex, token_at};

/// The tokens of a text as their own texts, literals in quotes.
fn cut(text: &str) -> Vec<String> {
    let tokens = lex(text).unwrap_or_else(|error| panic!("{text}: {error:?}")).tokens;
    tokens.into_iter().map(|token| shown(&token.token)).collect()
}

fn shown(token: &Token) -> String {
    match token {
        Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => format!("'{text}'"),
        other => other.to_string(),
    }
}

fn only(text: &str) -> Token {
    let mut tokens = lex(text).unwrap_or_else(|error| panic!("{text}: {error:?}")).tokens;
    assert_eq!(tokens.len(), 1, "{text}: {tokens:?}");
    tokens.remove(0).token
}

fn literal(text: &str) -> String {
    match only(text) {
        Token::SingleQuotedString(value) | Token::EscapedStringLiteral(value) => value,
        other => panic!("{text} is {other:?}"),
    }
}

/// The SQLSTATE, the message and the place of what is no text of tokens.
fn error(text: &str) -> (SqlState, String, Option<usize>) {
    let error = lex(text).expect_err(text);
    (error.sqlstate, error.message, error.position)
}

#[test]
fn operators_end_in_a_sign_only_with_a_sign_of_their_own() {
    let cases: [(&str, &[&str]); 18] = [
        ("a>-5", &["a", ">", "-", "5"]),
        ("a>=-5", &["a", ">=", "-", "5"]),
        ("a<>-5", &["a", "<>", "-", "5"]),
        ("a!=-5", &["a", "!=-", "5"]),
        ("a!=5", &["a", "<>", "5"]),
        ("1-+1", &["1", "-", "+", "1"]),
        ("1+-+-1", &["1", "+", "-", "+", "-", "1"]),
        ("2*-3", &["2", "*", "-", "3"]),
        ("a@-5", &["a", "@-", "5"]),
        ("a||-1", &["a", "||-", "1"]),
        ("1=@-1", &["1", "=@-", "1"]),
        ("a->-1", &["a", "->", "-", "1"]),
        ("a=--1\n2", &["a", "=", "2"]),
        ("2*/* x */3", &["2", "*", "3"]),
        ("a<=>b", &["a", "<=>", "b"]),
        ("a=>b", &["a", "=>", "b"]),
        ("a::int", &["a", "::", "int"]),
        ("a?b", &["a", "?", "b"]),
    ];
    for (text, tokens) in cases {
        assert_eq!(cut(text), tokens, "{text}");
    }
}

#[test]
fn numbers_end_where_no_name_begins() {
    for text in ["1", "1.", ".5", "1.5", "1e3", "1.e3", ".5e-1", "1E+10", "007"] {
        assert_eq!(only(text), Token::Number(text.to_owned(), false));
    }
    assert_eq!(cut("1.5.5"), ["1.5", ".5"]);
    assert_eq!(cut("$1+$23"), ["$1", "+", "$23"]);
    let junk = |text: &str, what: &str, shown: &str| {
        let message = format!("trailing junk after {what} at or near \"{shown}\"");
        assert_eq!(error(text), (SqlState::SYNTAX_ERROR, message, Some(0)), "{text}");
    };
    junk("123abc", "numeric literal", "123abc");
    junk("0x1F", "numeric literal", "0x1F");
    junk("1_000", "numeric literal", "1_000");
    junk("1e", "numeric literal", "1e");
    junk("1.5é", "numeric literal", "1.5é");
    junk("1e+", "numeric literal", "1e+");
    junk("$1a", "parameter", "$1a");
    assert_eq!(error("1..2").1, "syntax error at or near \"..\"");
}

#[test]
fn names_are_folded_as_far_as_ascii_goes() {
    assert_eq!(cut("Foo fOO_$1 É ÄÖü"), ["foo", "foo_$1", "É", "ÄÖü"]);
    let quoted = only("\"Foo\"\"Bar\"");
    assert!(matches!(quoted, Token::Word(word) if word.value == "Foo\"Bar"));
    // A no-break space is a letter, as every byte beyond ASCII is.
    assert_eq!(cut("a\u{a0}b"), ["a\u{a0}b"]);
    assert_eq!(error("\"\"").1, "zero-length delimited identifier at or near \"\"\"\"");
    let open = "unterminated quoted identifier at or near \"\"a\"";
    assert_eq!(error("x \"a"), (SqlState::SYNTAX_ERROR, open.to_owned(), Some(2)));
}

#[test]
fn names_beyond_their_limit_are_cut_between_characters() {
    let long = "a".repeat(62) + "éz";
    let lexed = lex(&format!("select {long}")).expect("a name");
    let to = "a".repeat(62);
    assert_eq!(lexed.tokens[1].token.to_string(), to);
    assert_eq!(lexed.shortened, [Shortened { at: 7, from: long, to }]);
    let fits = "B".repeat(MAX_NAME_BYTES);
    assert!(lex(&format!("\"{fits}\" {fits}")).expect("two names").shortened.is_empty());
}

#[test]
fn words_are_keywords_only_if_postgresql_has_them() {
    let keyword = |text: &str| match only(text) {
        Token::Word(word) => word.keyword,
        other => panic!("{other:?}"),
    };
    assert_eq!(keyword("SELECT"), Keyword::SELECT);
    assert_eq!(keyword("date"), Keyword::DATE);
    for word in ["top", "qualify", "div", "xor", "regexp", "prewhere", "\"select\""] {
        assert_eq!(keyword(word), Keyword::NoKeyword, "{word}");
    }
}

#[test]
fn literals_are_what_they_say_in_every_form() {
    let cases = [
        ("'it''s'", "it's"),
        ("'plain\\n'", "plain\\n"),
        ("E'a\\tb\\nc\\\\d\\'e\\q\\v'", "a\tb\nc\\d'eqv"),
        ("e'\\x41\\101\\u00e9\\U0001F600\\xZ'", "AAé😀xZ"),
        ("E'\\ud83d\\ude00'", "😀"),
        ("E'\\303\\251'", "é"),
        ("$$it's$$", "it's"),
        ("$tag$ a $$ b $tag$", " a $$ b "),
        ("U&'d\\0061t\\+000061'", "data"),
        ("U&'\\D83D\\DE00 \\\\'", "😀 \\"),
        ("u&'d!0061ta!!' UESCAPE '!'", "data!"),
        ("'a'\n'b'", "ab"),
        ("'a' -- more\n\n  'b' \t\r 'c'", "abc"),
        ("E'a\\t'\n'b\\t'", "a\tb\t"),
    ];
    for (text, value) in cases {
        assert_eq!(literal(text), value, "{text}");
    }
    assert_eq!(only("U&\"d\\0061ta\""), only("\"data\""));
    assert_eq!(only("U&\"d#0061\" uescape '#'"), only("\"da\""));
    assert_eq!(cut("'a' 'b'"), ["'a'", "'b'"]);
    assert_eq!(cut("'a' /* no\n line */ 'b'"), ["'a'", "'b'"]);
    assert_eq!(cut("N'ab'"), ["bpchar", "'ab'"]);
}

#[test]
fn literals_that_are_none_tell_why() {
    let wide = "invalid Unicode surrogate pair";
    let at = |near: &str| format!("{wide} at or near \"{near}\"");
    let value = |near: &str| format!("invalid Unicode escape value at or near \"{near}\"");
    let cases = [
        ("'open", SqlState::SYNTAX_ERROR, "unterminated quoted string at or near \"'open\""),
        ("E'a\\", SqlState::SYNTAX_ERROR, "unterminated quoted string at or near \"E'a\\\""),
        (
            "$a$x$b$",
            SqlState::SYNTAX_ERROR,
            "unterminated dollar-quoted string at or near \"$a$x$b$\"",
        ),
        ("$a", SqlState::SYNTAX_ERROR, "syntax error at or near \"$\""),
        (
            "/* a /* b */",
            SqlState::SYNTAX_ERROR,
            "unterminated /* comment at or near \"/* a /* b */\"",
        ),
        ("E'\\u12'", SqlState::INVALID_ESCAPE_SEQUENCE, "invalid Unicode escape"),
        ("U&'\\zz'", SqlState::SYNTAX_ERROR, "invalid Unicode escape"),
        ("E'\\ud83d'", SqlState::SYNTAX_ERROR, &at("'")),
        ("E'\\ud83dx'", SqlState::SYNTAX_ERROR, &at("x")),
        ("E'\\ude00'", SqlState::SYNTAX_ERROR, &at("\\ude00")),
        ("U&'\\D83D'", SqlState::SYNTAX_ERROR, wide),
        ("U&'\\D83D\\0061'", SqlState::SYNTAX_ERROR, wide),
        ("E'\\u0000'", SqlState::SYNTAX_ERROR, &value("\\u0000")),
        ("U&'\\+110000'", SqlState::SYNTAX_ERROR, "invalid Unicode escape value"),
        (
            "E'\\400'",
            SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ),
        (
            "E'\\xe2\\x28'",
            SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            "invalid byte sequence for encoding \"UTF8\": 0xe2 0x28",
        ),
        (
            "U&'a' UESCAPE '+'",
            SqlState::SYNTAX_ERROR,
            "invalid Unicode escape character at or near \"'+'\"",
        ),
        (
            "U&'a' UESCAPE x",
            SqlState::SYNTAX_ERROR,
            "UESCAPE must be followed by a simple string literal",
        ),
        ("{", SqlState::SYNTAX_ERROR, "syntax error at or near \"{\""),
    ];
    for (text, state, message) in cases {
        let (found_state, found, place) = error(text);
        assert_eq!((found_state, found.as_str()), (state, message), "{text}");
        assert!(place.is_some(), "{text}");
    }
}

#[test]
fn an_error_quotes_the_token_it_is_at() {
    assert_eq!(token_at("select Foo + 1", 7), "Foo");
    assert_eq!(token_at("a <> b", 2), "<>");
    assert_eq!(token_at("x 'it''s' y", 2), "'it''s'");
    assert_eq!(token_at("x", 9), "");
}

/// Pieces that break a lexer where they meet.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        "[-+*/<>=~!@#%^&|`?]{1,4}",
        "[a-zA-Z_é][a-zA-Z0-9_$]{0,4}",
        "[0-9]{1,3}(\\.[0-9]{0,2})?([eE][-+]?[0-9]?)?",
        "[eEuUbBxXnN]?&?['\"][a-z\\\\']{0,4}['\"]?",
        "\\$[a-z0-9]{0,2}\\$?",
        "[ \n\t]{1,2}",
        "(/\\*|\\*/|--|::|:=|\\.\\.|[(),;.\\[\\]])",
        "\\PC{1,2}",
    ]
}

proptest! {
    /// Whatever the text, every token lies behind the one before it and the lexer ends.
    #[test]
    fn tokens_cover_the_text_in_order(pieces in prop::collection::vec(piece(), 0..24)) {
        let text = pieces.concat();
        match lex(&text) {
            Ok(lexed) => {
                let mut end = 0;
                for token in &lexed.tokens {
                    let from = super::offset(token.span.start).expect("a place");
                    let to = super::offset(token.span.end).expect("a place");
                    prop_assert!(end <= from && from < to && to <= text.len(), "{text}");
                    prop_assert!(text.is_char_boundary(from) && text.is_char_boundary(to));
                    end = to;
                }
            }
            Err(error) => {
                let place = error.position.expect("an error has a place");
                prop_assert!(place <= text.len() && text.is_char_boundary(place), "{text}");
            }
        }
    }
}
