//! Expressions, operator by operator: what begins one, and what follows an operand.

use sqlparser::{
    ast::{Array, BinaryOperator, CastKind, DataType, Expr, Ident, TypedString, UnaryOperator},
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::Token,
};

use super::{
    COLLATE, COMPARISON, IS, NOT, OTHER, PATTERN, Parsed, Postgres, SIGN, SYMMETRIC, UNDEFINED,
    UNSUPPORTED, brackets, category, is_text, is_word, level,
};
use crate::postgres::{self, Category};

/// The operand behind an operator. What does not associate must not follow it.
fn operand(parser: &mut Parser<'_>, of: u8) -> Parsed {
    let right = parser.parse_subexpr(of)?;
    if (IS..=PATTERN).contains(&of) && level(parser) == of {
        return parser.expected_ref("brackets around a comparison", parser.peek_token_ref());
    }
    Ok(right)
}

/// What begins an expression, if it is not sqlparser's to read.
pub(super) fn prefix(parser: &mut Parser<'_>) -> Result<Option<Expr>, ParserError> {
    let (op, of) = match &parser.peek_token_ref().token {
        Token::Plus => (UnaryOperator::Plus, SIGN),
        Token::Minus => (UnaryOperator::Minus, SIGN),
        Token::Tilde => (UnaryOperator::BitwiseNot, OTHER),
        Token::Sharp => (UnaryOperator::Hash, OTHER),
        Token::CustomBinaryOperator(symbol) => match unary_operator(symbol) {
            Some(op) => (op, OTHER),
            None => return unknown_prefix(parser).map(Some),
        },
        token if is_word(token, "not") => (UnaryOperator::Not, NOT),
        Token::Word(_) => return word(parser),
        Token::LBracket => {
            return parser.expected_ref("an expression", parser.peek_token_ref());
        }
        _ => return Ok(None),
    };
    parser.advance_token();
    let arg = parser.parse_subexpr(of)?;
    let arg = if op != UnaryOperator::Not && begins_with_operator(&arg) {
        Expr::Nested(Box::new(arg))
    } else {
        arg
    };
    Ok(Some(Expr::UnaryOp { op, expr: Box::new(arg) }))
}

/// Whether an operand must be printed in brackets behind another operator: sqlparser leaves no blank
/// there, and `--1` would be a remark.
fn begins_with_operator(expr: &Expr) -> bool {
    let mut first = expr;
    loop {
        first = match first {
            Expr::UnaryOp { .. } => return true,
            Expr::BinaryOp { left, .. } => left,
            Expr::AtTimeZone { timestamp, .. } => timestamp,
            Expr::Cast { kind: CastKind::DoubleColon, expr, .. } | Expr::Collate { expr, .. } => {
                expr
            }
            _ => return false,
        };
    }
}

fn unary_operator(symbol: &str) -> Option<UnaryOperator> {
    Some(match symbol {
        "@" => UnaryOperator::PGAbs,
        "|/" => UnaryOperator::PGSquareRoot,
        "||/" => UnaryOperator::PGCubeRoot,
        "!!" => UnaryOperator::PGPrefixFactorial,
        "@-@" => UnaryOperator::AtDashAt,
        "@@" => UnaryOperator::DoubleAt,
        "?-" => UnaryOperator::QuestionDash,
        "?|" => UnaryOperator::QuestionPipe,
        _ => return None,
    })
}

/// Signs before an operand that are no operator there: told as soon as the operand is one.
fn unknown_prefix(parser: &mut Parser<'_>) -> Parsed {
    let symbol = parser.next_token().token.to_string();
    parser.parse_subexpr(OTHER)?;
    while level(parser) == OTHER {
        parser.advance_token();
        parser.parse_subexpr(OTHER)?;
    }
    Err(ParserError::ParserError(format!("{UNDEFINED}{symbol}")))
}

fn unsupported(what: &str) -> ParserError {
    ParserError::ParserError(format!("{UNSUPPORTED}{what}"))
}

/// Reserved words that an expression may begin with.
const BEGINNINGS: [&str; 17] = [
    "array",
    "case",
    "cast",
    "current_catalog",
    "current_date",
    "current_role",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "false",
    "localtime",
    "localtimestamp",
    "null",
    "session_user",
    "true",
    "user",
];

/// Functions whose arguments have a grammar of their own.
const XML: [&str; 9] = [
    "xmlconcat",
    "xmlelement",
    "xmlexists",
    "xmlforest",
    "xmlparse",
    "xmlpi",
    "xmlroot",
    "xmlserialize",
    "xmltable",
];

/// An expression that begins with a word: `ROW (...)`, `type 'text'`, `INTERVAL (2) 'text'`.
fn word(parser: &mut Parser<'_>) -> Result<Option<Expr>, ParserError> {
    let ahead = |count| &parser.peek_nth_token_ref(count).token;
    if let Token::Word(word) = ahead(0)
        && word.quote_style.is_none()
    {
        if category(word.keyword) == Some(Category::Reserved)
            && !BEGINNINGS.contains(&word.value.as_str())
        {
            return parser.expected_ref("an expression", parser.peek_token_ref());
        }
        if XML.contains(&word.value.as_str()) && *ahead(1) == Token::LParen {
            return Err(unsupported(&word.value));
        }
    }
    if is_word(ahead(0), "array") && *ahead(1) == Token::LBracket {
        return array(parser).map(Some);
    }
    if is_word(ahead(0), "row") && *ahead(1) == Token::LParen {
        parser.advance_token();
        parser.advance_token();
        let parts = if parser.consume_token(&Token::RParen) {
            Vec::new()
        } else {
            let parts = parser.parse_comma_separated(Parser::parse_expr)?;
            parser.expect_token(&Token::RParen)?;
            parts
        };
        return Ok(Some(Expr::Tuple(parts)));
    }
    if is_word(ahead(0), "position") && *ahead(1) == Token::LParen {
        return position(parser).map(Some);
    }
    if is_word(ahead(0), "current") && is_word(ahead(1), "of") {
        return Err(unsupported("WHERE CURRENT OF"));
    }
    if is_word(ahead(0), "interval") && *ahead(1) == Token::LParen {
        return interval(parser).map(Some);
    }
    let mut last = 0;
    while *ahead(last + 1) == Token::Period && matches!(ahead(last + 2), Token::Word(_)) {
        last += 2;
    }
    if !is_text(ahead(last + 1)) || !names_a_type(ahead(0)) {
        return Ok(None);
    }
    let data_type = parser.parse_data_type()?;
    let value = parser.parse_value()?;
    let typed = TypedString { data_type, value, uses_odbc_syntax: false };
    Ok(Some(Expr::TypedString(typed)))
}

/// `ARRAY[...]`. Brackets stand for an array nowhere but in one, and arrays of arrays are not built.
fn array(parser: &mut Parser<'_>) -> Parsed {
    parser.expect_keyword_is(Keyword::ARRAY)?;
    parser.expect_token(&Token::LBracket)?;
    let elem = match parser.peek_token_ref().token {
        Token::LBracket => return Err(unsupported("an array of arrays")),
        Token::RBracket => Vec::new(),
        _ => parser.parse_comma_separated(Parser::parse_expr)?,
    };
    parser.expect_token(&Token::RBracket)?;
    Ok(Expr::Array(Array { elem, named: true }))
}

/// Whether `word 'text'` is a literal of a type. Types of several words are sqlparser's to read.
fn names_a_type(token: &Token) -> bool {
    let Token::Word(word) = token else { return false };
    word.quote_style.is_some()
        || postgres::keyword(&word.value).is_none_or(|known| {
            matches!(known.category, Category::Unreserved | Category::TypeOrFunction)
                && word.value != "double"
        })
}

/// `INTERVAL (digits) 'text'`: as a type and its literal, which say the same.
fn interval(parser: &mut Parser<'_>) -> Parsed {
    parser.advance_token();
    parser.expect_token(&Token::LParen)?;
    let precision = Some(parser.parse_literal_uint()?);
    parser.expect_token(&Token::RParen)?;
    let value = parser.parse_value()?;
    let data_type = DataType::Interval { fields: None, precision };
    Ok(Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax: false }))
}

/// What follows `left` at the next token, which binds with this level. What associates and is an
/// operator as others are is sqlparser's to read, which need not copy `left` for it.
pub(super) fn infix(
    dialect: &Postgres,
    parser: &mut Parser<'_>,
    left: &Expr,
    of: u8,
) -> Result<Option<Expr>, ParserError> {
    let token = parser.peek_token_ref().token.clone();
    let op = binary_operator(&token);
    let next = |count| &parser.peek_nth_token_ref(count).token;
    if let Some(op) = op.clone()
        && *next(2) == Token::LParen
        && ["any", "all", "some"].iter().any(|word| is_word(next(1), word))
    {
        parser.advance_token();
        return quantified(parser, dialect.copied(left)?, op).map(Some);
    }
    match (of, op) {
        (COMPARISON, Some(op)) => {
            parser.advance_token();
            let right = Box::new(operand(parser, of)?);
            Ok(Some(Expr::BinaryOp { left: dialect.copied(left)?, op, right }))
        }
        (IS, _) if is_word(&token, "is") => {
            let word = if is_word(next(1), "not") { next(2) } else { next(1) };
            if ["null", "true", "false", "unknown"].iter().any(|known| is_word(word, known)) {
                return Ok(None);
            }
            parser.advance_token();
            is(parser, dialect.copied(left)?).map(Some)
        }
        (IS | PATTERN | COLLATE, _) => {
            parser.advance_token();
            keyword_infix(dialect, parser, dialect.copied(left)?, &token).map(Some)
        }
        _ => Ok(None),
    }
}

/// `op ANY (...)`: the brackets end it, so that anything may follow.
fn quantified(parser: &mut Parser<'_>, left: Box<Expr>, compare_op: BinaryOperator) -> Parsed {
    let quantifier = parser.expect_one_of_keywords(&[Keyword::ANY, Keyword::ALL, Keyword::SOME])?;
    let right = match parser.parse_prefix()? {
        Expr::Nested(inner) => inner,
        other => Box::new(other),
    };
    Ok(match quantifier {
        Keyword::ALL => Expr::AllOp { left, compare_op, right },
        other => Expr::AnyOp { left, compare_op, right, is_some: other == Keyword::SOME },
    })
}

/// An operator that is a word, the word behind the cursor.
fn keyword_infix(
    dialect: &Postgres,
    parser: &mut Parser<'_>,
    left: Box<Expr>,
    token: &Token,
) -> Parsed {
    match token {
        token if is_word(token, "isnull") => Ok(Expr::IsNull(left)),
        token if is_word(token, "notnull") => Ok(Expr::IsNotNull(left)),
        token if is_word(token, "collate") => {
            let collation = parser.parse_object_name(false)?;
            Ok(Expr::Collate { expr: left, collation })
        }
        token if is_word(token, "not") => {
            let next = parser.next_token().token;
            pattern(dialect, parser, left, &next, true)
        }
        token => pattern(dialect, parser, left, token, false),
    }
}

/// `IS [NOT] DISTINCT FROM`, and what else may stand behind `IS` that is no word of its own.
fn is(parser: &mut Parser<'_>, left: Box<Expr>) -> Parsed {
    let negated = parser.parse_keyword(Keyword::NOT);
    if parser.parse_keywords(&[Keyword::DISTINCT, Keyword::FROM]) {
        let right = Box::new(operand(parser, IS)?);
        return Ok(if negated {
            Expr::IsNotDistinctFrom(left, right)
        } else {
            Expr::IsDistinctFrom(left, right)
        });
    }
    let token = parser.next_token();
    let forms = ["normalized", "nfc", "nfd", "nfkc", "nfkd"];
    if forms.iter().any(|form| is_word(&token.token, form)) {
        return Err(unsupported("IS NORMALIZED"));
    }
    if is_word(&token.token, "document") {
        return Err(unsupported("IS DOCUMENT"));
    }
    parser.expected("NULL, TRUE, FALSE, UNKNOWN or DISTINCT FROM", token)
}

/// What follows IN. A query in brackets of its own may be the first of a list, and a part of it:
/// `IN ((SELECT 1), 2)`, `IN ((SELECT 1) + 1)`.
fn membership(
    dialect: &Postgres,
    parser: &mut Parser<'_>,
    expr: Box<Expr>,
    negated: bool,
) -> Parsed {
    if [0, 1].iter().any(|at| parser.peek_nth_token_ref(*at).token != Token::LParen) {
        return parser.parse_in(*expr, negated);
    }
    // Tried as a query first, and as a list if it is none, lists within lists would be read twice,
    // four times, eight times.
    let is_query = brackets::hold_a_query(parser, &dialect.ends);
    parser.expect_token(&Token::LParen)?;
    let membership = if is_query {
        Expr::InSubquery { expr, subquery: parser.parse_query()?, negated }
    } else {
        let list = parser.parse_comma_separated(Parser::parse_expr)?;
        Expr::InList { expr, list, negated }
    };
    parser.expect_token(&Token::RParen)?;
    Ok(membership)
}

/// `POSITION (part IN whole)`.
fn position(parser: &mut Parser<'_>) -> Parsed {
    parser.advance_token();
    parser.expect_token(&Token::LParen)?;
    let expr = Box::new(parser.parse_subexpr(PATTERN)?);
    parser.expect_keyword_is(Keyword::IN)?;
    let whole = Box::new(parser.parse_subexpr(PATTERN)?);
    parser.expect_token(&Token::RParen)?;
    Ok(Expr::Position { expr, r#in: whole })
}

/// BETWEEN, IN, LIKE and their like, the word behind the cursor.
fn pattern(
    dialect: &Postgres,
    parser: &mut Parser<'_>,
    expr: Box<Expr>,
    word: &Token,
    negated: bool,
) -> Parsed {
    if is_word(word, "in") {
        return membership(dialect, parser, expr, negated);
    }
    if is_word(word, "between") {
        return between(parser, expr, negated);
    }
    if is_word(word, "overlaps") {
        operand(parser, PATTERN)?;
        return Err(unsupported("OVERLAPS"));
    }
    if is_word(word, "similar") {
        parser.expect_keyword_is(Keyword::TO)?;
        let pattern = Box::new(operand(parser, PATTERN)?);
        let escape_char = escape(parser)?;
        return Ok(Expr::SimilarTo { negated, expr, pattern, escape_char });
    }
    let quantifier = [Keyword::ANY, Keyword::ALL, Keyword::SOME];
    if parser.parse_one_of_keywords(&quantifier).is_some() {
        return Err(unsupported("LIKE with ANY or ALL"));
    }
    let pattern = Box::new(operand(parser, PATTERN)?);
    let escape_char = escape(parser)?;
    let any = false;
    Ok(if is_word(word, "ilike") {
        Expr::ILike { negated, any, expr, pattern, escape_char }
    } else {
        Expr::Like { negated, any, expr, pattern, escape_char }
    })
}

fn escape(parser: &mut Parser<'_>) -> Result<Option<Box<Expr>>, ParserError> {
    let given = parser.parse_keyword(Keyword::ESCAPE);
    given.then(|| operand(parser, PATTERN).map(Box::new)).transpose()
}

fn between(parser: &mut Parser<'_>, expr: Box<Expr>, negated: bool) -> Parsed {
    let word = parser.parse_one_of_keywords(&[Keyword::SYMMETRIC, Keyword::ASYMMETRIC]);
    // The lower bound ends at AND; comparisons in it are its own.
    let low = parser.parse_subexpr(NOT)?;
    if !is_plain(&low) {
        return parser.expected_ref("brackets around the lower bound", parser.peek_token_ref());
    }
    parser.expect_keyword_is(Keyword::AND)?;
    let high = Box::new(operand(parser, PATTERN)?);
    let low = match word {
        Some(Keyword::SYMMETRIC) => {
            Expr::Prefixed { prefix: Ident::new(SYMMETRIC), value: Box::new(low) }
        }
        _ => low,
    };
    Ok(Expr::Between { expr, negated, low: Box::new(low), high })
}

/// Whether an expression may be a lower bound without brackets: operators that are signs, casts, and
/// `IS DISTINCT FROM` are all that PostgreSQL reads there.
fn is_plain(expr: &Expr) -> bool {
    let mut parts = vec![expr];
    while let Some(part) = parts.pop() {
        match part {
            Expr::BinaryOp { left, right, .. }
            | Expr::IsDistinctFrom(left, right)
            | Expr::IsNotDistinctFrom(left, right) => parts.extend([&**left, &**right]),
            Expr::UnaryOp { op: UnaryOperator::Not, .. }
            | Expr::AnyOp { .. }
            | Expr::AllOp { .. }
            | Expr::AtTimeZone { .. }
            | Expr::Between { .. }
            | Expr::Collate { .. }
            | Expr::ILike { .. }
            | Expr::InList { .. }
            | Expr::InSubquery { .. }
            | Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotNull(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotUnknown(_)
            | Expr::IsNull(_)
            | Expr::IsTrue(_)
            | Expr::IsUnknown(_)
            | Expr::Like { .. }
            | Expr::SimilarTo { .. } => return false,
            Expr::UnaryOp { expr, .. } => parts.push(expr),
            _ => {}
        }
    }
    true
}

/// The operators that may stand before ANY, or do not associate.
fn binary_operator(token: &Token) -> Option<BinaryOperator> {
    use BinaryOperator as Op;
    Some(match token {
        Token::Eq => Op::Eq,
        Token::Neq => Op::NotEq,
        Token::Lt => Op::Lt,
        Token::Gt => Op::Gt,
        Token::LtEq => Op::LtEq,
        Token::GtEq => Op::GtEq,
        Token::Tilde => Op::PGRegexMatch,
        Token::TildeAsterisk => Op::PGRegexIMatch,
        Token::ExclamationMarkTilde => Op::PGRegexNotMatch,
        Token::ExclamationMarkTildeAsterisk => Op::PGRegexNotIMatch,
        Token::DoubleTilde => Op::PGLikeMatch,
        Token::DoubleTildeAsterisk => Op::PGILikeMatch,
        Token::ExclamationMarkDoubleTilde => Op::PGNotLikeMatch,
        Token::ExclamationMarkDoubleTildeAsterisk => Op::PGNotILikeMatch,
        Token::CustomBinaryOperator(symbol) => Op::Custom(symbol.clone()),
        _ => return None,
    })
}
