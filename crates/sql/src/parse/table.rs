//! `TABLE name` is `SELECT * FROM name`.
//!
//! sqlparser forgets whether the name stood in quotes, and takes two tokens too many, so the short
//! form is spelled out before it reads the query.

use sqlparser::tokenizer::{Token, TokenWithSpan};

/// Words after which a query may begin.
const BEFORE: [&str; 9] =
    ["AS", "UNION", "ALL", "DISTINCT", "INTERSECT", "EXCEPT", "EXPLAIN", "ANALYZE", "VERBOSE"];
/// Words that may follow the name of the short form: a condition or an alias may not.
const BEHIND: [&str; 11] = [
    "UNION",
    "INTERSECT",
    "EXCEPT",
    "ORDER",
    "LIMIT",
    "OFFSET",
    "FETCH",
    "FOR",
    "RETURNING",
    "ON",
    "AS",
];

/// The tokens with every `TABLE name` that is a query spelled out.
pub(super) fn spelled_out(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    if !(0..tokens.len()).any(|at| is_query(&tokens, at)) {
        return tokens;
    }
    let mut out = Vec::with_capacity(tokens.len() + 2);
    for (at, token) in tokens.iter().enumerate() {
        if is_query(&tokens, at) {
            let (select, from) = (Token::make_word("select", None), Token::make_word("from", None));
            let query = [select, Token::Mul, from];
            out.extend(query.map(|word| TokenWithSpan::new(word, token.span)));
        } else {
            out.push(token.clone());
        }
    }
    out
}

/// Whether the token here is the `TABLE` of a query.
fn is_query(tokens: &[TokenWithSpan], at: usize) -> bool {
    if !is_one_of(&tokens[at].token, &["TABLE"]) {
        return false;
    }
    let before = at.checked_sub(1).map(|before| &tokens[before].token);
    let begins = match before {
        None | Some(Token::LParen | Token::RParen) => true,
        Some(token) => is_one_of(token, &BEFORE) || is_insert(&tokens[..at]),
    };
    begins && name_ends(&tokens[at + 1..])
}

/// Whether these end with `INSERT INTO name`.
fn is_insert(tokens: &[TokenWithSpan]) -> bool {
    let mut rest = tokens;
    while let [before @ .., TokenWithSpan { token: Token::Word(_), .. }] = rest {
        match before {
            [more @ .., TokenWithSpan { token: Token::Period, .. }] => rest = more,
            [.., into] => return is_one_of(&into.token, &["INTO"]),
            [] => return false,
        }
    }
    false
}

/// Whether these begin with a name and nothing that would make it more than that.
fn name_ends(tokens: &[TokenWithSpan]) -> bool {
    name(tokens).is_some_and(|length| match tokens.get(length).map(|token| &token.token) {
        None | Some(Token::RParen) => true,
        Some(token) => is_one_of(token, &BEHIND),
    })
}

/// How many tokens the name takes that these begin with.
fn name(tokens: &[TokenWithSpan]) -> Option<usize> {
    let token = |at: usize| tokens.get(at).map(|token| &token.token);
    let is_word = |at: usize| matches!(token(at), Some(Token::Word(_)));
    let is_period = |at: usize| token(at) == Some(&Token::Period);
    let mut length = usize::from(is_word(0));
    while length > 0 && is_period(length) && is_word(length + 1) {
        length += 2;
    }
    (length > 0).then_some(length)
}

fn is_one_of(token: &Token, words: &[&str]) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none()
        && words.iter().any(|wanted| word.value.eq_ignore_ascii_case(wanted)))
}
