//! Operators and forms by their names in sqlparser: which of ours each means, and which are not built.

use expr::{BinaryOp, Negation, SqlError, SqlState, Type, bind::Case};
use sqlparser::ast;

/// `0A000` for an expression of PostgreSQL's that is not built, by its name.
pub(super) fn unbuilt(expr: &ast::Expr) -> SqlError {
    SqlError::unsupported(match expr {
        ast::Expr::Tuple(_) => "a row value at this place",
        ast::Expr::Overlay { .. } => "OVERLAY",
        ast::Expr::Rollup(_) => "ROLLUP",
        ast::Expr::Cube(_) => "CUBE",
        ast::Expr::GroupingSets(_) => "GROUPING SETS",
        ast::Expr::QualifiedWildcard(..) | ast::Expr::Wildcard(_) => "a whole row as a value",
        other => return SqlError::unsupported(format!("the expression {other}")),
    })
}

/// `42883`: PostgreSQL has no such operator either.
pub(super) fn undefined_operator(symbol: &str, left: Type, right: Type) -> SqlError {
    let message = format!("operator does not exist: {} {symbol} {}", left.base(), right.base());
    SqlError::new(SqlState::UNDEFINED_FUNCTION, message).with_hint(
        "No operator matches the given name and argument types. You might need to add explicit \
         type casts.",
    )
}

/// What sort of pattern an operator matches.
#[derive(Clone, Copy)]
pub(super) enum Pattern {
    /// LIKE.
    Like,
    /// A regular expression.
    Regex,
}

/// `~~`, `!~*` and the like.
pub(super) fn pattern_operator(op: &ast::BinaryOperator) -> Option<(Pattern, Case, Negation)> {
    use ast::BinaryOperator as Op;
    Some(match op {
        Op::PGRegexMatch => (Pattern::Regex, Case::Sensitive, Negation::Plain),
        Op::PGRegexIMatch => (Pattern::Regex, Case::Insensitive, Negation::Plain),
        Op::PGRegexNotMatch => (Pattern::Regex, Case::Sensitive, Negation::Negated),
        Op::PGRegexNotIMatch => (Pattern::Regex, Case::Insensitive, Negation::Negated),
        Op::PGLikeMatch => (Pattern::Like, Case::Sensitive, Negation::Plain),
        Op::PGILikeMatch => (Pattern::Like, Case::Insensitive, Negation::Plain),
        Op::PGNotLikeMatch => (Pattern::Like, Case::Sensitive, Negation::Negated),
        Op::PGNotILikeMatch => (Pattern::Like, Case::Insensitive, Negation::Negated),
        _ => return None,
    })
}

/// Names that call a function without brackets.
pub(super) fn keyword_function(name: &str) -> Option<&'static str> {
    Some(match name {
        "current_timestamp" => "now",
        "current_date" => "current_date",
        "localtimestamp" => "localtimestamp",
        "current_user" | "current_role" | "user" => "current_user",
        "session_user" => "session_user",
        "current_catalog" => "current_database",
        "current_schema" => "current_schema",
        "current_time" => "current_time",
        "localtime" => "localtime",
        _ => return None,
    })
}

/// Our operator for sqlparser's.
pub(super) fn operator(op: &ast::BinaryOperator) -> Result<BinaryOp, SqlError> {
    use ast::BinaryOperator as Op;
    Ok(match op {
        Op::Plus => BinaryOp::Add,
        Op::Minus => BinaryOp::Sub,
        Op::Multiply => BinaryOp::Mul,
        Op::Divide => BinaryOp::Div,
        Op::Modulo => BinaryOp::Mod,
        Op::PGExp | Op::BitwiseXor => BinaryOp::Pow,
        Op::StringConcat => BinaryOp::Concat,
        Op::BitwiseAnd => BinaryOp::BitAnd,
        Op::BitwiseOr => BinaryOp::BitOr,
        Op::PGBitwiseXor => BinaryOp::BitXor,
        Op::PGBitwiseShiftLeft => BinaryOp::ShiftLeft,
        Op::PGBitwiseShiftRight => BinaryOp::ShiftRight,
        Op::Eq => BinaryOp::Eq,
        Op::NotEq => BinaryOp::Ne,
        Op::Lt => BinaryOp::Lt,
        Op::LtEq => BinaryOp::Le,
        Op::Gt => BinaryOp::Gt,
        Op::GtEq => BinaryOp::Ge,
        Op::PGCustomBinaryOperator(names) => {
            return match names.last().map(String::as_str) {
                Some("=") => Ok(BinaryOp::Eq),
                Some("<>") => Ok(BinaryOp::Ne),
                Some("<") => Ok(BinaryOp::Lt),
                Some("<=") => Ok(BinaryOp::Le),
                Some(">") => Ok(BinaryOp::Gt),
                Some(">=") => Ok(BinaryOp::Ge),
                _ => Err(SqlError::unsupported(format!("operator {op}"))),
            };
        }
        other => return Err(SqlError::unsupported(format!("operator {other}"))),
    })
}
