//! From text to [`Statement`]s.
//!
//! The lexer is our own ([`mod@lex`]); the grammar of queries and of most DDL is `sqlparser`'s, its
//! expressions as [`dialect`] says. A small grammar of our own ([`utility`]) comes first and reads what controls sessions
//! and transactions (`BEGIN`, `SET`, `SHOW`, `PREPARE` ...) and what only Meridian has
//! (`ALTER TABLE .. SPLIT AT`, `AS OF SYSTEM TIME`). What neither grammar knows is a syntax error
//! with its place; what sqlparser knows and Meridian lacks is refused where it is bound (`0A000`),
//! never skipped over.
//!
//! Places are byte offsets into the whole text, also in the third of three statements.

mod check;
mod cursor;
mod dialect;
mod explain;
pub(crate) mod knobs;
mod lex;
mod shape;
mod statements;
mod table;
mod text;
mod trace;
mod utility;

use std::sync::Arc;

use expr::{SqlError, SqlState, stack};
use sqlparser::{
    ast,
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Location, Token, TokenWithSpan},
};

pub(crate) use check::CheckTables;
pub(crate) use dialect::SYMMETRIC;
pub(crate) use explain::ExplainMode;
pub(crate) use lex::{Shortened, token_at};
pub(crate) use trace::ShowTrace;
pub(crate) use utility::{
    BeginTag, Chain, IsolationName, Mode, ResetTarget, SetScope, SetValue, Show, TransactionModes,
    Utility,
};

use crate::postgres;
use cursor::Cursor;
use dialect::Postgres;
use lex::offset;

/// The longest text of a query, in bytes. Beyond it: `54000`.
pub const MAX_TEXT_BYTES: usize = 16 << 20;

/// One statement of a query text. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Statement(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Arc<str>,
    start: usize,
    end: usize,
    kind: Kind,
    shortened: Vec<Shortened>,
    /// How many levels its tree has at most: who walks it makes room for them.
    levels: usize,
    /// Of how many words and signs it consists.
    words: usize,
}

/// Roughly what a word or sign of a statement takes in its syntax tree and its plan, in bytes.
const WORD_BYTES: usize = 256;

/// A deep tree is dropped with room for it, wherever the last one lets go of it.
impl Drop for Inner {
    fn drop(&mut self) {
        let kind = std::mem::replace(&mut self.kind, Kind::Utility(Box::new(Utility::Nothing(""))));
        stack::room(stack::syntax(self.levels), || drop(kind));
    }
}

/// What a statement is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Read by sqlparser.
    Ast(Arc<ast::Statement>),
    /// Read by the grammar here.
    Utility(Box<Utility>),
}

impl Statement {
    /// The statement's own text, without the semicolon.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.0.source[self.0.start..self.0.end]
    }

    /// The portal that the statement closes; `Some(None)`: all of them.
    #[must_use]
    pub fn closes(&self) -> Option<Option<&str>> {
        match &self.0.kind {
            Kind::Utility(utility) => match &**utility {
                Utility::Close(name) => Some(name.as_deref()),
                _ => None,
            },
            Kind::Ast(_) => None,
        }
    }

    /// Roughly how many bytes of memory the statement and its plan take, with the whole text that it
    /// is part of: that is kept as long as the statement.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of::<Inner>() + self.0.source.len() + self.0.words * WORD_BYTES
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.0.kind
    }

    /// The whole text that the statement is part of: what places are counted in.
    pub(crate) fn source(&self) -> &str {
        &self.0.source
    }

    /// How many levels its syntax tree has at most.
    pub(crate) fn levels(&self) -> usize {
        self.0.levels
    }

    /// The byte offset of a place in the text.
    pub(crate) fn offset(&self, location: Location) -> Option<usize> {
        offset(location)
    }

    /// Names that were too long and stand here cut off.
    pub(crate) fn shortened(&self) -> &[Shortened] {
        &self.0.shortened
    }

    /// A statement made of a part of this one: what `EXPLAIN` or `PREPARE` is about.
    pub(crate) fn part(&self, kind: Kind) -> Statement {
        Statement(Arc::new(Inner {
            source: self.0.source.clone(),
            start: self.0.start,
            end: self.0.end,
            kind,
            shortened: Vec::new(),
            levels: self.0.levels,
            words: self.0.words,
        }))
    }
}

/// A query, with the snapshot that `AS OF SYSTEM TIME` asks for.
#[derive(Clone, Debug)]
pub(crate) struct AsOf {
    /// The expression behind `AS OF SYSTEM TIME`.
    pub at: Box<ast::Expr>,
}

/// What is said of a text that ends too early.
const END_OF_INPUT: &str = "syntax error at end of input";

/// Reads a text of any number of statements; none is fine.
pub(crate) fn parse(sql: &str) -> Result<Vec<Statement>, SqlError> {
    if sql.len() > MAX_TEXT_BYTES {
        let message = format!("a query of {} bytes is too long", sql.len());
        return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
            .with_hint(format!("At most {MAX_TEXT_BYTES} bytes are possible.")));
    }
    if sql.contains('\0') {
        return Err(SqlError::new(
            SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ));
    }
    let source: Arc<str> = sql.into();
    let lexed = lex::lex(sql)?;
    let mut shortened = lexed.shortened.into_iter().peekable();
    let mut next = 0;
    let segments = lexed.tokens.split(|token| token.token == Token::SemiColon).map(|segment| {
        next += segment.len() + 1;
        (segment, lexed.tokens.get(next - 1))
    });
    segments
        .filter(|(segment, _)| !segment.is_empty())
        .map(|(segment, semicolon)| {
            let read = statement(&source, segment);
            let mut statement = read.map_err(|error| before_semicolon(error, semicolon))?;
            while let Some(name) = shortened.next_if(|name| name.at < statement.end) {
                statement.shortened.push(name);
            }
            Ok(Statement(Arc::new(statement)))
        })
        .collect()
}

/// What ends too early ends at its semicolon, if it has one, not at the end of the text.
fn before_semicolon(error: SqlError, semicolon: Option<&TokenWithSpan>) -> SqlError {
    match semicolon.and_then(|token| offset(token.span.start)) {
        Some(at) if error.message == END_OF_INPUT => {
            SqlError { message: "syntax error at or near \";\"".to_owned(), ..error }.at(at)
        }
        Some(_) | None => error,
    }
}

fn statement(source: &Arc<str>, tokens: &[TokenWithSpan]) -> Result<Inner, SqlError> {
    let place = |location| offset(location).unwrap_or(0);
    let (first, last) = (tokens.first().expect("not empty"), tokens.last().expect("not empty"));
    let (start, end) = (place(first.span.start), place(last.span.end));
    let levels = shape::levels(tokens)?;
    let kind = stack::room(stack::syntax(levels), || kind(source, tokens))?;
    let (source, words) = (source.clone(), tokens.len());
    Ok(Inner { source, start, end, kind, shortened: Vec::new(), levels, words })
}

/// What these tokens say.
fn kind(source: &str, tokens: &[TokenWithSpan]) -> Result<Kind, SqlError> {
    let mut cursor = Cursor::new(source, tokens);
    let knob = knobs::read(&mut cursor)?;
    if let Some(utility) = knob.map_or_else(|| utility::read(&mut cursor), |knob| Ok(Some(knob)))? {
        cursor.expect_end()?;
        return Ok(Kind::Utility(Box::new(utility)));
    }
    statements::refuse(&cursor)?;
    let (plain, as_of) = take_as_of(source, tokens)?;
    let plain = table::spelled_out(statements::plain(plain));
    let read = with_parser(source, plain, |parser| parser.parse_statement());
    let statement = read.map_err(|error| match named_clause(tokens, &error) {
        Some(feature) => SqlError::unsupported(feature),
        None => statements::known_mistake(tokens, error),
    })?;
    Ok(match as_of {
        Some(as_of) => {
            if !matches!(statement, ast::Statement::Query(_)) {
                return Err(SqlError::unsupported("AS OF SYSTEM TIME outside a SELECT"));
            }
            Kind::Utility(Box::new(Utility::AsOf(as_of, Box::new(Kind::Ast(Arc::new(statement))))))
        }
        None => Kind::Ast(Arc::new(statement)),
    })
}

/// The clause of PostgreSQL's that a syntax error stands at.
fn named_clause(tokens: &[TokenWithSpan], error: &SqlError) -> Option<&'static str> {
    if error.sqlstate != SqlState::SYNTAX_ERROR {
        return None;
    }
    let at = tokens.iter().position(|token| offset(token.span.start) == error.position)?;
    statements::clause_at(tokens, at)
}

/// What stands behind `EXPLAIN` or `PREPARE .. AS`: another statement, but none of these again.
fn nested(source: &str, tokens: &[TokenWithSpan]) -> Result<Kind, SqlError> {
    let again = Cursor::new(source, tokens);
    if again.clone().one_of(&["EXPLAIN", "PREPARE"]).is_some() {
        return Err(again.unexpected());
    }
    kind(source, tokens)
}

/// How deep sqlparser may recurse. A level of a statement takes two of its levels at most: those of a
/// subquery are a query and an expression.
const PARSER_DEPTH: usize = 2 * stack::MAX_NESTING;

/// Stack that is left free where sqlparser recurses.
const PARSER_RED_ZONE: usize = 1 << 20;

/// Runs sqlparser over all of the tokens.
pub(crate) fn with_parser<T>(
    source: &str,
    tokens: Vec<TokenWithSpan>,
    read: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>,
) -> Result<T, SqlError> {
    let dialect = Postgres::over(&tokens);
    let end = tokens.last().and_then(|token| offset(token.span.end)).unwrap_or(source.len());
    // What sqlparser leaves free by itself is less than the frames of one level of nested joins take
    // without optimization.
    recursive::set_minimum_stack_size(PARSER_RED_ZONE);
    recursive::set_stack_allocation_size(8 * PARSER_RED_ZONE);
    let mut parser =
        Parser::new(&dialect).with_recursion_limit(PARSER_DEPTH).with_tokens_with_locations(tokens);
    let read = read(&mut parser).map_err(|error| misread(source, &error, end))?;
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        return Err(near(source, &rest, end));
    }
    Ok(read)
}

/// Reads one expression of a text that the catalog keeps (a default, a check), and uses it with room
/// for its depth.
pub(crate) fn with_expression<T>(
    sql: &str,
    use_it: impl FnOnce(&ast::Expr) -> Result<T, SqlError>,
) -> Result<T, SqlError> {
    let tokens = lex::lex(sql)?.tokens;
    stack::room(stack::syntax(shape::levels(&tokens)?), || {
        let expression = with_parser(sql, tokens, |parser| parser.parse_expr())?;
        use_it(&expression)
    })
}

/// Takes `AS OF SYSTEM TIME <expression>` out of a query. It may stand behind `FROM ...` or at the
/// end; the expression is one literal, or a function call without a comma at its level.
fn take_as_of(
    source: &str,
    tokens: &[TokenWithSpan],
) -> Result<(Vec<TokenWithSpan>, Option<AsOf>), SqlError> {
    let Some(start) = cursor::find_words(tokens, &["AS", "OF", "SYSTEM", "TIME"]) else {
        return Ok((tokens.to_vec(), None));
    };
    // Within brackets it would read as if it were about the inner query alone.
    let opened = |open: &Token, close: &Token| {
        let before = &tokens[..start];
        let count = |wanted: &Token| before.iter().filter(|one| one.token == *wanted).count();
        count(open) > count(close)
    };
    let place = || offset(tokens[start].span.start).unwrap_or(0);
    if opened(&Token::LParen, &Token::RParen) {
        return Err(SqlError::unsupported("AS OF SYSTEM TIME in a subquery")
            .with_hint("Put it at the end of the statement: it is about all of it.")
            .at(place()));
    }
    let first = start + 4;
    let mut depth = 0_usize;
    let mut end = first;
    while let Some(token) = tokens.get(end) {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 0 => break,
            Token::RParen => depth -= 1,
            Token::Comma if depth == 0 => break,
            Token::Word(word) if depth == 0 && end > first && ends_as_of(word.keyword) => break,
            _ => {}
        }
        end += 1;
    }
    let asked = &tokens[first..end];
    let given = asked.iter().any(|token| matches!(token.token, Token::Placeholder(_)));
    if given && asked.len() > 1 {
        return Err(SqlError::unsupported("a parameter within an expression of AS OF SYSTEM TIME")
            .with_hint("Give the snapshot itself as the parameter.")
            .at(place()));
    }
    let at = with_parser(source, asked.to_vec(), |parser| parser.parse_expr())?;
    let mut rest = tokens[..start].to_vec();
    rest.extend_from_slice(&tokens[end..]);
    if let Some(again) = cursor::find_words(&rest, &["AS", "OF", "SYSTEM", "TIME"]) {
        let place = offset(rest[again].span.start).unwrap_or(0);
        return Err(SqlError::syntax("AS OF SYSTEM TIME given twice").at(place));
    }
    Ok((rest, Some(AsOf { at: Box::new(at) })))
}

fn ends_as_of(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::WHERE
            | Keyword::GROUP
            | Keyword::HAVING
            | Keyword::ORDER
            | Keyword::LIMIT
            | Keyword::OFFSET
            | Keyword::FETCH
            | Keyword::FOR
            | Keyword::UNION
            | Keyword::INTERSECT
            | Keyword::EXCEPT
            | Keyword::JOIN
    )
}

/// PostgreSQL's words for what sqlparser could not read.
fn misread(source: &str, error: &ParserError, end: usize) -> SqlError {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        ParserError::RecursionLimitExceeded => {
            return stack::too_complex();
        }
    };
    if let Some(feature) = message.strip_prefix(dialect::UNSUPPORTED) {
        return SqlError::unsupported(feature);
    }
    if let Some(symbol) = message.strip_prefix(dialect::UNDEFINED) {
        return if postgres::has_operator(symbol) {
            SqlError::unsupported(format!("operator {symbol} before an operand"))
        } else {
            let message = format!("operator does not exist: {symbol}");
            SqlError::new(SqlState::UNDEFINED_FUNCTION, message)
        };
    }
    let (message, location) = text::split_location(message);
    let at = location.and_then(offset);
    match (message.rsplit_once(", found: "), at) {
        (Some((_, "EOF")), _) => SqlError::syntax(END_OF_INPUT).at(end),
        (Some((expected, _)), Some(at)) => {
            let found = lex::token_at(source, at);
            SqlError::syntax(format!("syntax error at or near \"{found}\""))
                .with_detail(format!("{expected}."))
                .at(at)
        }
        (Some((expected, found)), None) => {
            SqlError::syntax(format!("syntax error at or near \"{found}\""))
                .with_detail(format!("{expected}."))
        }
        (None, Some(at)) => SqlError::syntax(message.to_owned()).at(at),
        (None, None) => SqlError::syntax(message.to_owned()),
    }
}

/// A syntax error at a token.
pub(crate) fn near(source: &str, token: &TokenWithSpan, end: usize) -> SqlError {
    if token.token == Token::EOF {
        return SqlError::syntax(END_OF_INPUT).at(end);
    }
    let at = offset(token.span.start).unwrap_or(end);
    let stop = offset(token.span.end).unwrap_or(end).max(at);
    SqlError::syntax(format!("syntax error at or near \"{}\"", &source[at..stop])).at(at)
}

/// An identifier as the catalog knows it: the lexer has folded it.
#[must_use]
pub(crate) fn fold(ident: &ast::Ident) -> String {
    ident.value.clone()
}

#[cfg(test)]
mod tests;
