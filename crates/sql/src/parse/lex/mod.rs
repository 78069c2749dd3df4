//! The lexer: a text to tokens, cut exactly where PostgreSQL 15 cuts it (its `scan.l`).
//!
//! ```text
//!   a>-5            a   >   -   5         an operator ends in a sign only with ~ ! @ # % ^ & | ` ? in it
//!   'a' newline 'b' 'ab'                  literals on several lines are one
//!   U&"d!0061" UESCAPE '!'   "da"         whatever the form, a literal is what it says
//!   123abc          error                 a number ends where a name cannot begin
//! ```
//!
//! The grammar behind it is sqlparser's, so the tokens are, too. Two things make them PostgreSQL's:
//! a word is a keyword only if it is one of PostgreSQL's (`top`, `qualify` or `div` are names), and
//! a name leaves here as the catalog knows it: unquoted ASCII letters in lower case, all others as
//! they are, and at most [`MAX_NAME_BYTES`] long. What was cut off is told ([`Shortened`]).
//!
//! Operators that sqlparser has no token for, or gives a meaning of its own, are
//! [`Token::CustomBinaryOperator`]; how strongly each binds is [`super::dialect`]'s business.
//!
//! A token's place is line 1 and its byte offset plus one.

mod strings;

use expr::{SqlError, SqlState};
use sqlparser::{
    keywords::Keyword,
    tokenizer::{Location, Span, Token, TokenWithSpan},
};

use crate::postgres;

/// The longest name, in bytes. Longer ones are cut, with a notice.
pub(crate) const MAX_NAME_BYTES: usize = 63;

/// The most words and signs of a text. Beyond it: `54000`. A token takes some hundred bytes and its part
/// of the syntax tree some hundred more, so sixteen megabytes of `1,1,1,...` would take gigabytes.
const MAX_TOKENS: usize = 1_000_000;

/// Types that PostgreSQL knows by name and sqlparser by keyword, and what calls them.
const TYPE_WORDS: [&str; 16] = [
    "bool",
    "bytea",
    "date",
    "float4",
    "float8",
    "int2",
    "int4",
    "int8",
    "json",
    "jsonb",
    "regclass",
    "serial",
    "text",
    "timestamptz",
    "timetz",
    "uuid",
];

/// A text's tokens.
#[derive(Debug, Default)]
pub(crate) struct Lexed {
    /// Without blanks and remarks.
    pub tokens: Vec<TokenWithSpan>,
    /// Names that were too long, in the order of the text.
    pub shortened: Vec<Shortened>,
}

/// A name that was too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shortened {
    /// Its byte offset.
    pub at: usize,
    /// As it was written, folded.
    pub from: String,
    /// What is left of it.
    pub to: String,
}

/// Cuts a text into tokens.
///
/// # Errors
/// `42601`, `22025` or `22021` with the place of what is no token.
pub(crate) fn lex(text: &str) -> Result<Lexed, SqlError> {
    let mut lexer = Lexer { text, at: 0, signs: Signs::default(), out: Lexed::default() };
    while lexer.token()? {
        if lexer.out.tokens.len() > MAX_TOKENS {
            let message = format!("a query of more than {MAX_TOKENS} words and signs is too long");
            return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
                .with_hint("Split it, or send the values as parameters: an array, for example."));
        }
    }
    Ok(lexer.out)
}

/// The text of the token that begins here, as an error quotes it.
pub(crate) fn token_at(text: &str, at: usize) -> &str {
    let rest = text.get(at..).unwrap_or_default();
    let mut lexer = Lexer { text: rest, at: 0, signs: Signs::default(), out: Lexed::default() };
    match lexer.token() {
        Ok(_) => &rest[..lexer.at],
        Err(_) => rest,
    }
}

/// The byte offset of a token's place; `None` for tokens that stand in no text.
pub(crate) fn offset(location: Location) -> Option<usize> {
    usize::try_from(location.column).ok()?.checked_sub(1).filter(|_| location.line > 0)
}

fn location(offset: usize) -> Location {
    Location { line: 1, column: offset as u64 + 1 }
}

struct Lexer<'a> {
    text: &'a str,
    /// The next byte to read.
    at: usize,
    /// The run of signs that was looked through last.
    signs: Signs,
    out: Lexed,
}

impl<'a> Lexer<'a> {
    /// Reads a token; `false` at the end.
    fn token(&mut self) -> Result<bool, SqlError> {
        self.skip_blank()?;
        let start = self.at;
        let Some(byte) = self.byte(0) else { return Ok(false) };
        match byte {
            b'\'' => self.plain_string()?,
            b'"' => self.quoted_name(false)?,
            b'$' => self.dollar()?,
            b'0'..=b'9' => self.number()?,
            b'.' if self.byte(1).is_some_and(|next| next.is_ascii_digit()) => self.number()?,
            _ if starts_name(byte) => self.word()?,
            _ if is_operator(byte) => self.operator(),
            _ => {
                let (token, length) = match (byte, self.byte(1)) {
                    (b':', Some(b':')) => (Token::DoubleColon, 2),
                    (b':', Some(b'=')) => (Token::Assignment, 2),
                    (b':', _) => (Token::Colon, 1),
                    (b'.', Some(b'.')) => return Err(self.near(start, start + 2)),
                    (b'.', _) => (Token::Period, 1),
                    (b',', _) => (Token::Comma, 1),
                    (b'(', _) => (Token::LParen, 1),
                    (b')', _) => (Token::RParen, 1),
                    (b'[', _) => (Token::LBracket, 1),
                    (b']', _) => (Token::RBracket, 1),
                    (b';', _) => (Token::SemiColon, 1),
                    _ => return Err(self.near(start, start + 1)),
                };
                self.at += length;
                self.emit(token, start);
            }
        }
        Ok(true)
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn emit(&mut self, token: Token, start: usize) {
        let span = Span::new(location(start), location(self.at));
        self.out.tokens.push(TokenWithSpan::new(token, span));
    }

    fn near(&self, start: usize, end: usize) -> SqlError {
        let end = end.min(self.text.len());
        SqlError::syntax(format!("syntax error at or near \"{}\"", &self.text[start..end]))
            .at(start)
    }

    /// An error about what begins here and has no end.
    fn unterminated(&self, what: &str, start: usize) -> SqlError {
        let rest = &self.text[start..];
        SqlError::syntax(format!("unterminated {what} at or near \"{rest}\"")).at(start)
    }

    /// Goes behind blanks and remarks; remarks in `/* */` nest.
    fn skip_blank(&mut self) -> Result<(), SqlError> {
        loop {
            match (self.byte(0), self.byte(1)) {
                (Some(byte), _) if is_blank(byte) => self.at += 1,
                (Some(b'-'), Some(b'-')) => self.skip_line(),
                (Some(b'/'), Some(b'*')) => {
                    let (start, mut depth) = (self.at, 0_usize);
                    loop {
                        let (length, change) = match (self.byte(0), self.byte(1)) {
                            (Some(b'/'), Some(b'*')) => (2, 1),
                            (Some(b'*'), Some(b'/')) => (2, -1),
                            (Some(_), _) => (1, 0),
                            (None, _) => return Err(self.unterminated("/* comment", start)),
                        };
                        self.at += length;
                        depth = depth.saturating_add_signed(change);
                        if depth == 0 {
                            break;
                        }
                    }
                }
                _ => return Ok(()),
            }
        }
    }

    fn skip_line(&mut self) {
        while self.byte(0).is_some_and(|byte| byte != b'\n' && byte != b'\r') {
            self.at += 1;
        }
    }

    /// An unquoted name, a keyword, or what a letter before a quote announces.
    fn word(&mut self) -> Result<(), SqlError> {
        let start = self.at;
        let prefix = (self.byte(0).map(|byte| byte.to_ascii_lowercase()), self.byte(1));
        match prefix {
            (Some(b'e'), Some(b'\'')) => return self.escape_string(),
            (Some(b'b'), Some(b'\'')) => return self.bit_string(),
            (Some(b'x'), Some(b'\'')) => return self.bit_string(),
            (Some(b'n'), Some(b'\'')) => {
                // A literal of the national character set: of type char, in whatever length.
                self.at += 1;
                self.emit(Token::make_word("bpchar", None), start);
                return self.plain_string();
            }
            (Some(b'u'), Some(b'&')) => match self.byte(2) {
                Some(b'\'') => return self.unicode_string(),
                Some(b'"') => return self.quoted_name(true),
                _ => {}
            },
            _ => {}
        }
        while self.byte(0).is_some_and(continues_name) {
            self.at += 1;
        }
        let folded = self.text[start..self.at].to_ascii_lowercase();
        let name = self.shorten(folded, start);
        self.emit(word_token(&name), start);
        Ok(())
    }

    /// A name cut to what the catalog can hold.
    fn shorten(&mut self, name: String, at: usize) -> String {
        if name.len() <= MAX_NAME_BYTES {
            return name;
        }
        let to = name[..name.floor_char_boundary(MAX_NAME_BYTES)].to_owned();
        self.out.shortened.push(Shortened { at, from: name, to: to.clone() });
        to
    }

    /// A number. What could begin a name must not touch it.
    fn number(&mut self) -> Result<(), SqlError> {
        let start = self.at;
        self.digits();
        // `1..` is a number and two dots, which no grammar takes; let the dots be the error.
        if self.byte(0) == Some(b'.') && self.byte(1) != Some(b'.') {
            self.at += 1;
            self.digits();
        }
        if self.byte(0).is_some_and(|byte| byte.eq_ignore_ascii_case(&b'e')) {
            let signed = self.byte(1).is_some_and(|byte| byte == b'+' || byte == b'-');
            let first = 1 + usize::from(signed);
            if self.byte(first).is_some_and(|byte| byte.is_ascii_digit()) {
                self.at += first;
                self.digits();
            } else if signed {
                self.at += first;
                return Err(self.junk("numeric literal", start));
            }
        }
        self.refuse_junk("numeric literal", start)?;
        let digits = self.text[start..self.at].to_owned();
        self.emit(Token::Number(digits, false), start);
        Ok(())
    }

    fn digits(&mut self) {
        while self.byte(0).is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn refuse_junk(&mut self, what: &str, start: usize) -> Result<(), SqlError> {
        if self.byte(0).is_some_and(starts_name) {
            while self.byte(0).is_some_and(continues_name) {
                self.at += 1;
            }
            return Err(self.junk(what, start));
        }
        Ok(())
    }

    fn junk(&self, what: &str, start: usize) -> SqlError {
        let text = &self.text[start..self.at];
        SqlError::syntax(format!("trailing junk after {what} at or near \"{text}\"")).at(start)
    }

    /// `$1`, or a text in dollars.
    fn dollar(&mut self) -> Result<(), SqlError> {
        let start = self.at;
        if self.byte(1).is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
            self.digits();
            self.refuse_junk("parameter", start)?;
            let name = self.text[start..self.at].to_owned();
            self.emit(Token::Placeholder(name), start);
            return Ok(());
        }
        self.dollar_string()
    }

    /// An operator: as many signs as belong together.
    fn operator(&mut self) {
        let start = self.at;
        if start >= self.signs.end {
            self.signs = Signs::at(self.text.as_bytes(), start);
        }
        let end = if self.signs.whole { self.signs.end } else { self.signs.body.max(start + 1) };
        self.at = end;
        let token = operator_token(&self.text[start..end]);
        self.emit(token, start);
    }
}

/// A run of signs, which may be several operators; looked through once.
#[derive(Default)]
struct Signs {
    /// Where it ends.
    end: usize,
    /// Where it ends but for any `+` and `-`.
    body: usize,
    /// Whether it is one operator, however it ends.
    whole: bool,
}

impl Signs {
    fn at(bytes: &[u8], start: usize) -> Signs {
        let mut end = start;
        while bytes.get(end).copied().is_some_and(is_operator) {
            let pair = bytes.get(end..end + 2);
            // A remark begins inside: the operator ends before it.
            if pair == Some(b"--") || pair == Some(b"/*") {
                break;
            }
            end += 1;
        }
        // `a>-5` is a comparison with -5. Only with one of these signs in it may an operator end
        // in + or -.
        let own = |byte: &u8| b"~!@#^&|`?%".contains(byte);
        let run = &bytes[start..end];
        let signs = run.iter().rev().take_while(|byte| matches!(byte, b'+' | b'-')).count();
        Signs { end, body: end - signs, whole: run.iter().any(own) }
    }
}

fn operator_token(symbol: &str) -> Token {
    match symbol {
        "+" => Token::Plus,
        "-" => Token::Minus,
        "*" => Token::Mul,
        "/" => Token::Div,
        "%" => Token::Mod,
        "^" => Token::Caret,
        "<" => Token::Lt,
        ">" => Token::Gt,
        "=" => Token::Eq,
        "<=" => Token::LtEq,
        ">=" => Token::GtEq,
        "<>" | "!=" => Token::Neq,
        "=>" => Token::RArrow,
        "||" => Token::StringConcat,
        "&" => Token::Ampersand,
        "|" => Token::Pipe,
        "#" => Token::Sharp,
        "<<" => Token::ShiftLeft,
        ">>" => Token::ShiftRight,
        "~" => Token::Tilde,
        "~*" => Token::TildeAsterisk,
        "!~" => Token::ExclamationMarkTilde,
        "!~*" => Token::ExclamationMarkTildeAsterisk,
        "~~" => Token::DoubleTilde,
        "~~*" => Token::DoubleTildeAsterisk,
        "!~~" => Token::ExclamationMarkDoubleTilde,
        "!~~*" => Token::ExclamationMarkDoubleTildeAsterisk,
        other => Token::CustomBinaryOperator(other.to_owned()),
    }
}

/// A folded name as a token: a keyword only if PostgreSQL has it.
fn word_token(name: &str) -> Token {
    let mut token = Token::make_word(name, None);
    if let Token::Word(word) = &mut token
        && word.keyword != Keyword::NoKeyword
        && postgres::keyword(name).is_none()
        && !TYPE_WORDS.contains(&name)
    {
        word.keyword = Keyword::NoKeyword;
    }
    token
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c)
}

/// Every byte beyond ASCII is a letter to PostgreSQL, also that of a no-break space.
const fn starts_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

const fn continues_name(byte: u8) -> bool {
    starts_name(byte) || byte.is_ascii_digit() || byte == b'$'
}

fn is_operator(byte: u8) -> bool {
    b"~!@#^&|`?+-*/%<>=".contains(&byte)
}

#[cfg(test)]
mod tests;
