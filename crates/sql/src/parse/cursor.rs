//! A cursor over tokens, for the small grammar of [`super::utility`].

use expr::SqlError;
use sqlparser::{
    ast,
    parser::Parser,
    tokenizer::{Token, TokenWithSpan},
};

use super::{lex::offset, near, with_parser};

/// Where the reader is. Tokens are without white space; reading behind the last one gives `None`.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    source: &'a str,
    tokens: &'a [TokenWithSpan],
    next: usize,
}

impl<'a> Cursor<'a> {
    /// At the first of these tokens of a text.
    pub fn new(source: &'a str, tokens: &'a [TokenWithSpan]) -> Cursor<'a> {
        Cursor { source, tokens, next: 0 }
    }

    /// The text the tokens are of.
    pub fn source(&self) -> &'a str {
        self.source
    }

    /// The token under the cursor.
    pub fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.next).map(|token| &token.token)
    }

    /// The token under the cursor; the cursor moves on.
    pub fn take(&mut self) -> Option<&'a Token> {
        let token = self.peek();
        self.next += usize::from(token.is_some());
        token
    }

    /// All tokens from the cursor on; the cursor moves behind the last.
    pub fn rest(&mut self) -> &'a [TokenWithSpan] {
        let rest = &self.tokens[self.next..];
        self.next = self.tokens.len();
        rest
    }

    /// Whether these unquoted words follow; if so the cursor moves behind them.
    pub fn words(&mut self, words: &[&str]) -> bool {
        let follow = words.iter().enumerate().all(|(i, word)| {
            self.tokens.get(self.next + i).is_some_and(|token| is_word(&token.token, word))
        });
        self.next += if follow { words.len() } else { 0 };
        follow
    }

    /// Whether one unquoted word follows; if so the cursor moves behind it.
    pub fn word(&mut self, word: &str) -> bool {
        self.words(&[word])
    }

    /// The one of these words that follows, by its place in the list.
    pub fn one_of(&mut self, words: &[&str]) -> Option<usize> {
        words.iter().position(|word| self.word(word))
    }

    /// Whether this token follows; if so the cursor moves behind it.
    pub fn token(&mut self, token: &Token) -> bool {
        let follows = self.peek() == Some(token);
        self.next += usize::from(follows);
        follows
    }

    /// Whether nothing follows.
    pub fn at_end(&self) -> bool {
        self.next >= self.tokens.len()
    }

    /// An error unless this token follows.
    pub fn expect(&mut self, token: &Token) -> Result<(), SqlError> {
        if self.token(token) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// An error unless these words follow.
    pub fn expect_words(&mut self, words: &[&str]) -> Result<(), SqlError> {
        if self.words(words) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// An error unless nothing follows.
    pub fn expect_end(&self) -> Result<(), SqlError> {
        if self.at_end() { Ok(()) } else { Err(self.unexpected()) }
    }

    /// A syntax error at the token under the cursor.
    pub fn unexpected(&self) -> SqlError {
        let last = self.tokens.last();
        let end = last.and_then(|token| offset(token.span.end)).unwrap_or(self.source.len());
        match self.tokens.get(self.next) {
            Some(token) => near(self.source, token, end),
            None => SqlError::syntax(super::END_OF_INPUT).at(end),
        }
    }

    /// A name, as the lexer has folded it.
    pub fn name(&mut self) -> Result<String, SqlError> {
        match self.peek() {
            Some(Token::Word(word)) => {
                self.next += 1;
                Ok(word.value.clone())
            }
            _ => Err(self.unexpected()),
        }
    }

    /// A name with dots in it: `a.b`.
    pub fn dotted_name(&mut self) -> Result<Vec<String>, SqlError> {
        let mut parts = vec![self.name()?];
        while self.token(&Token::Period) {
            parts.push(self.name()?);
        }
        Ok(parts)
    }

    /// A whole number.
    pub fn number(&mut self) -> Result<u64, SqlError> {
        match self.peek() {
            Some(Token::Number(digits, _)) => {
                let number = digits.parse().map_err(|_| self.unexpected())?;
                self.next += 1;
                Ok(number)
            }
            _ => Err(self.unexpected()),
        }
    }

    /// A quoted text.
    pub fn text(&mut self) -> Result<String, SqlError> {
        match self.peek() {
            Some(Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text)) => {
                self.next += 1;
                Ok(text.clone())
            }
            _ => Err(self.unexpected()),
        }
    }

    /// Expressions, separated by commas, up to a closing bracket at their level or the end.
    pub fn expressions(&mut self) -> Result<Vec<ast::Expr>, SqlError> {
        let mut depth = 0_usize;
        let start = self.next;
        while let Some(token) = self.peek() {
            match token {
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::RBracket if depth == 0 => break,
                Token::RParen | Token::RBracket => depth -= 1,
                _ => {}
            }
            self.next += 1;
        }
        let tokens = self.tokens[start..self.next].to_vec();
        if tokens.is_empty() {
            return Ok(Vec::new());
        }
        with_parser(self.source, tokens, |parser| parser.parse_comma_separated(Parser::parse_expr))
    }
}

/// Where these unquoted words first stand one behind the other.
pub fn find_words(tokens: &[TokenWithSpan], words: &[&str]) -> Option<usize> {
    (0..tokens.len().saturating_sub(words.len() - 1)).find(|start| {
        words.iter().enumerate().all(|(i, word)| is_word(&tokens[start + i].token, word))
    })
}

fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(found)
        if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
}
