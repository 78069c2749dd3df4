//! PostgreSQL 15's expressions for sqlparser: what binds how strongly, and which words are names.
//!
//! ```text
//!   strongest   .   ::   [ ]   - + (before an operand)   COLLATE   AT TIME ZONE   ^
//!               * / %   + -   any other operator, before an operand or between two
//!               BETWEEN IN LIKE ILIKE SIMILAR
//!               < > = <= >= <>
//!               IS ISNULL NOTNULL
//!   weakest     NOT   AND   OR
//! ```
//!
//! All are left-associative but NOT and the signs before an operand; BETWEEN and the rows below it
//! down to IS do not associate at all: `1 = 1 = true` is an error, as in PostgreSQL. sqlparser's own
//! PostgreSQL dialect differs in most of these points, so every operator is read here. An operand
//! is read with its operator's level ([`Parser::parse_subexpr`]), which ends before what binds no
//! stronger.

mod brackets;
mod expressions;

use std::{any::TypeId, cell::Cell, ops::ControlFlow};

use sqlparser::{
    ast::{Expr, visit_expressions},
    dialect::{Dialect, PostgreSqlDialect, Precedence},
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Token, TokenWithSpan},
};

use crate::postgres::{self, Category};

/// Levels, the weakest first; one of 0 is no operator.
const OR: u8 = 10;
const AND: u8 = 20;
const NOT: u8 = 30;
const IS: u8 = 40;
const COMPARISON: u8 = 50;
const PATTERN: u8 = 60;
const OTHER: u8 = 70;
const SUM: u8 = 80;
const PRODUCT: u8 = 90;
const POWER: u8 = 100;
const AT: u8 = 110;
const COLLATE: u8 = 120;
const SIGN: u8 = 125;
const BRACKET: u8 = 130;
const CAST: u8 = 140;
const PERIOD: u8 = 200;

/// Begins a parser's error that is no syntax error: what follows is a feature that is not built.
pub(super) const UNSUPPORTED: &str = "unsupported: ";
/// Begins an error that is no syntax error either: what follows are signs that are no operator.
pub(super) const UNDEFINED: &str = "undefined operator: ";
/// The word before the lower bound of `BETWEEN SYMMETRIC`, kept as that bound's prefix.
pub(crate) const SYMMETRIC: &str = "SYMMETRIC";

/// How often an operand or an operator may be looked for, for each token and for all of them. Where
/// sqlparser cannot know what an opening bracket begins it tries one reading after the other, and
/// readings within readings multiply; what people write takes a few looks for each token.
const LOOKS: usize = 30;
const MORE_LOOKS: usize = 1_000_000;

/// How many nodes may be copied: sqlparser lends an operator its left operand, which has to be copied
/// into the tree. The operands of comparisons are small, but those of a chain contain each other.
const MAX_COPIES: usize = 2_000_000;

/// PostgreSQL's dialect, for one text.
#[derive(Debug)]
pub(crate) struct Postgres {
    base: PostgreSqlDialect,
    /// The place of each bracket's end, by that of its beginning.
    ends: Vec<usize>,
    /// What is left of [`LOOKS`].
    looks: Cell<usize>,
    /// What is left of [`MAX_COPIES`].
    copies: Cell<usize>,
}

impl Postgres {
    /// For these tokens.
    pub fn over(tokens: &[TokenWithSpan]) -> Postgres {
        Postgres {
            base: PostgreSqlDialect {},
            ends: brackets::ends(tokens),
            looks: Cell::new(tokens.len() * LOOKS + MORE_LOOKS),
            copies: Cell::new(MAX_COPIES),
        }
    }

    /// Counts a look: an error that ends the reading, not this attempt alone, once there were too
    /// many.
    fn look(&self) -> Result<(), ParserError> {
        let left = self.looks.get().checked_sub(1).ok_or(ParserError::RecursionLimitExceeded)?;
        self.looks.set(left);
        Ok(())
    }

    /// A copy of an operand.
    fn copied(&self, operand: &Expr) -> Result<Box<Expr>, ParserError> {
        let mut left = self.copies.get();
        let counted = visit_expressions(operand, |_| match left.checked_sub(1) {
            Some(less) => {
                left = less;
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(()),
        });
        self.copies.set(left);
        match counted {
            ControlFlow::Continue(()) => Ok(Box::new(operand.clone())),
            ControlFlow::Break(()) => Err(ParserError::RecursionLimitExceeded),
        }
    }
}

type Parsed = Result<Expr, ParserError>;

impl Dialect for Postgres {
    fn dialect(&self) -> TypeId {
        // What sqlparser asks by name about the dialect has PostgreSQL's answer.
        TypeId::of::<PostgreSqlDialect>()
    }

    fn is_identifier_start(&self, c: char) -> bool {
        self.base.is_identifier_start(c)
    }

    fn is_identifier_part(&self, c: char) -> bool {
        self.base.is_identifier_part(c)
    }

    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some('"')
    }

    fn prec_value(&self, level: Precedence) -> u8 {
        match level {
            Precedence::Period => PERIOD,
            Precedence::DoubleColon => CAST,
            Precedence::AtTz => AT,
            Precedence::MulDivModOp => PRODUCT,
            Precedence::PlusMinus => SUM,
            Precedence::Caret => POWER,
            Precedence::Xor
            | Precedence::Ampersand
            | Precedence::Pipe
            | Precedence::Colon
            | Precedence::PgOther => OTHER,
            Precedence::Between | Precedence::Like => PATTERN,
            Precedence::Eq => COMPARISON,
            Precedence::Is => IS,
            Precedence::UnaryNot => NOT,
            Precedence::And => AND,
            Precedence::Or => OR,
        }
    }

    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        if let Err(error) = self.look() {
            return Some(Err(error));
        }
        // Whether COLLATE belongs to the column that is defined, only sqlparser knows.
        if is_word(&parser.peek_token_ref().token, "collate") {
            let here = self.base.get_next_precedence(parser).is_some();
            return Some(Ok(if here { COLLATE } else { 0 }));
        }
        Some(Ok(level(parser)))
    }

    fn parse_prefix(&self, parser: &mut Parser<'_>) -> Option<Parsed> {
        self.look().and_then(|()| expressions::prefix(parser)).transpose()
    }

    fn parse_infix(&self, parser: &mut Parser<'_>, left: &Expr, level: u8) -> Option<Parsed> {
        match level {
            CAST | BRACKET | PERIOD => None,
            _ => expressions::infix(self, parser, left, level).transpose(),
        }
    }

    fn is_reserved_for_identifier(&self, word: Keyword) -> bool {
        category(word) == Some(Category::Reserved)
    }

    fn is_column_alias(&self, word: &Keyword, _parser: &mut Parser<'_>) -> bool {
        keyword(*word).is_none_or(|known| known.bare_label)
    }

    fn is_select_item_alias(&self, explicit: bool, word: &Keyword, p: &mut Parser<'_>) -> bool {
        explicit || self.is_column_alias(word, p)
    }

    fn is_table_factor(&self, word: &Keyword, _parser: &mut Parser<'_>) -> bool {
        category(*word) != Some(Category::Reserved)
    }

    fn is_table_alias(&self, word: &Keyword, parser: &mut Parser<'_>) -> bool {
        // `UPDATE t SET a = 1`: here the grammar takes SET for the keyword.
        if *word == Keyword::SET {
            return !matches!(parser.peek_token_ref().token, Token::Word(_) | Token::LParen);
        }
        !matches!(category(*word), Some(Category::Reserved | Category::TypeOrFunction))
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_alter_user_as_alter_role(&self) -> bool {
        true
    }

    fn allow_extract_custom(&self) -> bool {
        true
    }

    fn allow_extract_single_quotes(&self) -> bool {
        true
    }

    fn supports_create_index_with_clause(&self) -> bool {
        true
    }

    fn supports_explain_with_utility_options(&self) -> bool {
        true
    }

    fn supports_listen_notify(&self) -> bool {
        true
    }

    fn supports_exclude_constraint(&self) -> bool {
        true
    }

    fn supports_comment_on(&self) -> bool {
        true
    }

    fn supports_load_extension(&self) -> bool {
        true
    }

    fn supports_named_fn_args_with_assignment_operator(&self) -> bool {
        true
    }

    fn supports_empty_projections(&self) -> bool {
        true
    }

    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }

    fn supports_array_typedef_with_brackets(&self) -> bool {
        true
    }

    fn supports_order_by_using_operator(&self) -> bool {
        true
    }

    fn supports_set_names(&self) -> bool {
        true
    }

    fn supports_alter_column_type_using(&self) -> bool {
        true
    }

    fn supports_left_associative_joins_without_parens(&self) -> bool {
        false
    }

    fn supports_interval_options(&self) -> bool {
        true
    }

    fn supports_insert_table_alias(&self) -> bool {
        true
    }

    fn supports_create_table_like_parenthesized(&self) -> bool {
        true
    }

    fn supports_comma_separated_trim(&self) -> bool {
        true
    }
}

fn keyword(word: Keyword) -> Option<postgres::Keyword> {
    if word == Keyword::NoKeyword {
        return None;
    }
    postgres::keyword(&format!("{word:?}").to_ascii_lowercase())
}

fn category(word: Keyword) -> Option<Category> {
    keyword(word).map(|known| known.category)
}

/// Whether this is the unquoted word, which the lexer has folded.
fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(found) if found.quote_style.is_none() && found.value == word)
}

fn is_text(token: &Token) -> bool {
    matches!(token, Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_))
}

/// How strongly the next token binds what stands before it.
fn level(parser: &Parser<'_>) -> u8 {
    let ahead = |count| &parser.peek_nth_token_ref(count).token;
    match ahead(0) {
        Token::Eq | Token::Lt | Token::Gt | Token::LtEq | Token::GtEq | Token::Neq => COMPARISON,
        Token::Plus | Token::Minus => SUM,
        Token::Mul | Token::Div | Token::Mod => PRODUCT,
        Token::Caret => POWER,
        Token::CustomBinaryOperator(_)
        | Token::StringConcat
        | Token::Ampersand
        | Token::Pipe
        | Token::Sharp
        | Token::ShiftLeft
        | Token::ShiftRight
        | Token::Tilde
        | Token::TildeAsterisk
        | Token::ExclamationMarkTilde
        | Token::ExclamationMarkTildeAsterisk
        | Token::DoubleTilde
        | Token::DoubleTildeAsterisk
        | Token::ExclamationMarkDoubleTilde
        | Token::ExclamationMarkDoubleTildeAsterisk => OTHER,
        Token::LBracket => BRACKET,
        Token::DoubleColon => CAST,
        Token::Period => PERIOD,
        Token::Word(word) if word.quote_style.is_none() => match word.value.as_str() {
            "or" => OR,
            "and" => AND,
            "is" | "isnull" | "notnull" => IS,
            "between" | "in" | "like" | "ilike" | "overlaps" => PATTERN,
            "similar" if is_word(ahead(1), "to") => PATTERN,
            "not" if is_word(ahead(1), "similar") => PATTERN,
            "not" if is_pattern(ahead(1)) => PATTERN,
            "operator" if *ahead(1) == Token::LParen => OTHER,
            "at" if is_word(ahead(1), "time") && is_word(ahead(2), "zone") => AT,
            _ => 0,
        },
        _ => 0,
    }
}

fn is_pattern(token: &Token) -> bool {
    ["between", "in", "like", "ilike"].iter().any(|word| is_word(token, word))
}
