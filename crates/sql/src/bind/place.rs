//! Where in the text an error lies: what `psql` puts its caret under.
//!
//! PostgreSQL's rules, as far as the tree tells: an operator or cast that does not exist is at the
//! operator, a literal that cannot be read is at the literal, anything else about an expression is
//! at its first character. Errors that depend on rows (a division by zero, a number out of range)
//! have no place. The innermost expression that knows a place wins.
//!
//! sqlparser keeps the places of names and literals, not those of operators and keywords: these are
//! looked for in the text between their operands. A comment there misleads the caret, nothing else.

use expr::SqlError;
use sqlparser::{
    ast::{self, Spanned},
    tokenizer::Location,
};

use super::Binder;

impl Binder<'_> {
    /// The error of binding an expression whose parts were fine.
    pub(super) fn placed(&self, error: SqlError, expr: &ast::Expr) -> SqlError {
        let class = |error: &SqlError| error.sqlstate.code().starts_with("42");
        self.put(
            error,
            expr,
            |binder, error| {
                if class(error) { binder.operator_of(expr) } else { None }
            },
        )
    }

    /// The error of using an expression, which was fine by itself, at its place.
    pub(super) fn misused(&self, error: SqlError, expr: &ast::Expr) -> SqlError {
        self.put(error, expr, |binder, error| {
            if error.sqlstate.code().starts_with("42") { binder.start_of(expr) } else { None }
        })
    }

    fn put(
        &self,
        error: SqlError,
        expr: &ast::Expr,
        place: impl Fn(&Self, &SqlError) -> Option<usize>,
    ) -> SqlError {
        if error.position.is_some() {
            return error;
        }
        let found = if error.sqlstate.code().starts_with("22") {
            self.literal_in(expr, &error.message)
        } else {
            place(self, &error)
        };
        match found {
            Some(offset) => error.at(offset),
            None => error,
        }
    }

    /// The error of a type's name that a cast asks for.
    pub(super) fn at_type(&self, error: SqlError, ty: &ast::DataType) -> SqlError {
        let name = match ty {
            ast::DataType::Custom(name, _) => name.0.first().and_then(|part| part.as_ident()),
            _ => None,
        };
        name.map_or(error.clone(), |ident| self.at(error, ident))
    }

    /// The literal among an expression's own parts that a message is about. Not every message quotes
    /// it; if it is all that a cast reads, the message is about nothing else.
    fn literal_in(&self, expr: &ast::Expr, message: &str) -> Option<usize> {
        if let ast::Expr::Cast { expr, .. } = expr
            && message.starts_with("invalid ")
            && let Some(value) = literal(expr)
        {
            return self.offset(value.span.start);
        }
        std::iter::once(expr).chain(parts(expr)).find_map(|part| {
            let value = literal(part)?;
            let text = value.value.clone().into_string()?;
            let about = message.contains(&format!("\"{text}\""));
            if about { self.offset(value.span.start) } else { None }
        })
    }

    fn offset(&self, location: Location) -> Option<usize> {
        self.statement.and_then(|statement| statement.offset(location))
    }

    fn text(&self) -> Option<&str> {
        self.statement.map(|statement| statement.source())
    }

    /// The first character that is neither space nor bracket behind an expression.
    fn behind(&self, expr: &ast::Expr) -> Option<usize> {
        if ends_in_cast(expr) {
            return None;
        }
        let end = self.offset(expr.span().end)?;
        let text = self.text()?;
        // The span of a call without arguments ends before its brackets.
        let end = match text.get(end..)?.strip_prefix('(') {
            Some(empty) => end + 1 + empty.find(')')?,
            None => end,
        };
        let rest = text.get(end..)?;
        let skipped = rest.find(|c: char| !c.is_whitespace() && c != ')')?;
        Some(end + skipped)
    }

    /// The last place of a word or sign before an expression.
    fn before(&self, expr: &ast::Expr, word: &str) -> Option<usize> {
        let start = self.start_of(expr)?;
        self.text()?.get(..start)?.to_ascii_lowercase().rfind(word)
    }

    /// The operator, keyword or name that makes an expression of its parts.
    fn operator_of(&self, expr: &ast::Expr) -> Option<usize> {
        match expr {
            ast::Expr::BinaryOp { left: part, .. }
            | ast::Expr::Cast { kind: ast::CastKind::DoubleColon, expr: part, .. }
            | ast::Expr::Like { expr: part, .. }
            | ast::Expr::ILike { expr: part, .. }
            | ast::Expr::SimilarTo { expr: part, .. }
            | ast::Expr::InList { expr: part, .. }
            | ast::Expr::InSubquery { expr: part, .. }
            | ast::Expr::Between { expr: part, .. }
            | ast::Expr::IsDistinctFrom(part, _)
            | ast::Expr::IsNotDistinctFrom(part, _)
            | ast::Expr::AnyOp { left: part, .. }
            | ast::Expr::AllOp { left: part, .. } => self.behind(part),
            // These tell no place of their own, or that of a part.
            ast::Expr::Subquery(_)
            | ast::Expr::Exists { .. }
            | ast::Expr::Case { .. }
            | ast::Expr::Function(_)
            | ast::Expr::Array(_) => None,
            other => self.start_of(other),
        }
    }

    /// The first character of an expression.
    fn start_of(&self, expr: &ast::Expr) -> Option<usize> {
        match expr {
            ast::Expr::Cast { kind: ast::CastKind::Cast, expr, .. } => self.before(expr, "cast"),
            ast::Expr::UnaryOp { op, expr } => {
                self.before(expr, &op.to_string().to_ascii_lowercase())
            }
            ast::Expr::Subquery(_) | ast::Expr::Exists { .. } => None,
            other => {
                let span = other.span();
                if span.start.line == 0 { None } else { self.offset(span.start) }
            }
        }
    }
}

/// Whether a type's name comes last, whose place nobody kept.
fn ends_in_cast(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::Cast { .. } => true,
        ast::Expr::BinaryOp { right: last, .. }
        | ast::Expr::UnaryOp { expr: last, .. }
        | ast::Expr::Nested(last) => ends_in_cast(last),
        _ => false,
    }
}

/// The literal in quotes that an expression is.
fn literal(expr: &ast::Expr) -> Option<&ast::ValueWithSpan> {
    match expr {
        ast::Expr::Value(value) => Some(value),
        ast::Expr::Nested(inner) => literal(inner),
        ast::Expr::TypedString(typed) => Some(&typed.value),
        ast::Expr::Interval(interval) => literal(&interval.value),
        _ => None,
    }
}

/// The parts whose types are settled together.
fn parts(expr: &ast::Expr) -> Vec<&ast::Expr> {
    match expr {
        ast::Expr::BinaryOp { left, right, .. } => match (&**left, &**right) {
            (ast::Expr::Tuple(left), ast::Expr::Tuple(right)) => left.iter().chain(right).collect(),
            (left, right) => vec![left, right],
        },
        ast::Expr::AnyOp { left, right, .. } | ast::Expr::AllOp { left, right, .. } => {
            vec![left, right]
        }
        ast::Expr::IsDistinctFrom(left, right) | ast::Expr::IsNotDistinctFrom(left, right) => {
            vec![left, right]
        }
        ast::Expr::UnaryOp { expr, .. } | ast::Expr::Cast { expr, .. } => vec![expr],
        ast::Expr::Like { expr, pattern, .. }
        | ast::Expr::ILike { expr, pattern, .. }
        | ast::Expr::SimilarTo { expr, pattern, .. } => vec![expr, pattern],
        ast::Expr::Between { expr, low, high, .. } => vec![expr, low, high],
        ast::Expr::InList { expr, list, .. } => std::iter::once(&**expr).chain(list).collect(),
        ast::Expr::Array(array) => array.elem.iter().collect(),
        ast::Expr::Case { operand, conditions, else_result, .. } => operand
            .iter()
            .map(|operand| &**operand)
            .chain(conditions.iter().flat_map(|when| [&when.condition, &when.result]))
            .chain(else_result.iter().map(|otherwise| &**otherwise))
            .collect(),
        ast::Expr::Function(function) => match &function.args {
            ast::FunctionArguments::List(list) => {
                super::from::function_args(&list.args).unwrap_or_default()
            }
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}
