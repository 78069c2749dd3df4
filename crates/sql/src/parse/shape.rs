//! How deep the syntax tree of some tokens can be at most, judged before there is one.
//!
//! A tree that is too deep cannot even be dropped, so the parser must not build it. Every level of
//! a tree comes from a token: an operator, a keyword or a bracket. Names and literals are leaves.
//! So the depth is at most the number of such tokens that can stand on one way to a leaf, and what
//! lies between two commas of a list is beside what lies between the next two:
//!
//! ```text
//!   SELECT a + b + c, (d OR (e AND f))
//!     1      1   1       \--- 2 + 2 + 2: a bracket, its inside, and its end
//!   \----- 3 ------/     \---- 6 ----/     -> max(3, 6) + 1 for the list
//! ```
//!
//! Set operations are the exception: a chain of them nests to the left over all commas between.
//! The bound is coarse (a term of `a = 1 AND b = 2` counts 2, and adds one level), which costs room
//! on the stack and nothing else.

use expr::{SqlError, stack};
use sqlparser::{
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan},
};

/// What is known of an open bracket, or of the whole.
#[derive(Default)]
struct Level {
    /// Tokens since the last comma that may be levels.
    chain: usize,
    /// The deepest bracket since then.
    inside: usize,
    /// The deepest of the parts before the last comma.
    parts: usize,
    /// Set operations, which commas do not end.
    sets: usize,
}

impl Level {
    fn end_part(&mut self) {
        self.parts = self.parts.max(self.chain + self.inside);
        (self.chain, self.inside) = (0, 0);
    }

    fn depth(mut self) -> usize {
        self.end_part();
        1 + self.sets + self.parts
    }
}

/// The most levels that the syntax tree of these tokens can have.
///
/// # Errors
/// `54001` if that is more than any statement may.
pub fn levels(tokens: &[TokenWithSpan]) -> Result<usize, SqlError> {
    let (mut open, mut here) = (Vec::new(), Level::default());
    for token in tokens {
        match &token.token {
            Token::LParen | Token::LBracket => {
                here.chain += 1;
                open.push(std::mem::take(&mut here));
            }
            Token::RParen | Token::RBracket => {
                // One that closes nothing is a syntax error, and found to be one.
                if let Some(around) = open.pop() {
                    let inner = std::mem::replace(&mut here, around).depth();
                    here.inside = here.inside.max(inner);
                }
            }
            Token::Comma => here.end_part(),
            Token::Word(word) => match word.keyword {
                Keyword::NoKeyword => {}
                Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT | Keyword::MINUS => {
                    here.sets += 1;
                }
                _ => here.chain += 1,
            },
            Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::Placeholder(_)
            | Token::Period => {}
            _ => here.chain += 1,
        }
    }
    while let Some(around) = open.pop() {
        let inner = std::mem::replace(&mut here, around).depth();
        here.inside = here.inside.max(inner);
    }
    let levels = here.depth();
    if levels > stack::MAX_LEVELS { Err(stack::too_complex()) } else { Ok(levels) }
}
