//! What brackets hold, judged by their tokens: reading it first as one thing and then as another would
//! double the work with every level.

use sqlparser::{
    parser::Parser,
    tokenizer::{Token, TokenWithSpan},
};

use super::is_word;

/// Words that a query begins with.
const BEGINNINGS: [&str; 4] = ["select", "values", "with", "table"];

/// Words that go on with a query behind one in brackets.
const CONTINUATIONS: [&str; 8] =
    ["union", "intersect", "except", "order", "limit", "offset", "fetch", "for"];

/// The place of each round bracket's end, by that of its beginning; `usize::MAX` for one that never
/// ends, and for every other token.
pub(super) fn ends(tokens: &[TokenWithSpan]) -> Vec<usize> {
    let (mut ends, mut open) = (vec![usize::MAX; tokens.len()], Vec::new());
    for (at, token) in tokens.iter().enumerate() {
        match token.token {
            Token::LParen => open.push(at),
            Token::RParen => {
                if let Some(begun) = open.pop() {
                    ends[begun] = at;
                }
            }
            _ => {}
        }
    }
    ends
}

/// Whether all that stands in the brackets that open at the cursor is a query: `((SELECT 1))`, and
/// `((SELECT 1) UNION (SELECT 2))`, but not `((SELECT 1), 2)`, nor `((SELECT 1) + 1)`.
pub(super) fn hold_a_query(parser: &Parser<'_>, ends: &[usize]) -> bool {
    let token = |at: usize| &parser.token_at(at).token;
    let outermost = parser.index();
    let mut first = outermost;
    while *token(first) == Token::LParen {
        first += 1;
    }
    if !BEGINNINGS.iter().any(|word| is_word(token(first), word)) {
        return false;
    }
    // From the innermost bracket out: behind each stands the end of the next, or more of a query.
    (outermost + 1..first).rev().all(|open| {
        let behind = ends.get(open).and_then(|end| end.checked_add(1)).map(token);
        behind.is_some_and(|behind| {
            *behind == Token::RParen || CONTINUATIONS.iter().any(|word| is_word(behind, word))
        })
    })
}
