//! Expressions: each gets its type, and casts where PostgreSQL puts them ([`expr::bind`] knows where).
//!
//! A literal in quotes and a parameter have no type at first ([`Type::Unknown`]); what stands around
//! them decides. A parameter's type is settled by its first use: whatever [`expr::bind`] makes of an
//! expression is looked through for parameters that got a type ([`Binder::settled`]).

use expr::{
    BinaryOp, CastContext, Expr, IsTest, Negation, SqlError, SqlState, Type, Typed, UnaryOp,
    bind::{self, Case},
    stack,
};
use sqlparser::ast;

use super::{
    Binder, MAX_PARAMS, Scope,
    operators::{
        Pattern, keyword_function, operator, pattern_operator, unbuilt, undefined_operator,
    },
};
use crate::{parse::fold, postgres, types};

/// Words that stand for a moment: a plan with such a literal is not kept.
const MOMENTS: [&str; 4] = ["now", "today", "tomorrow", "yesterday"];

impl Binder<'_> {
    /// An expression over the columns in sight.
    pub(crate) fn scalar(&mut self, expr: &ast::Expr, scope: &Scope) -> Result<Typed, SqlError> {
        let bound = self.deeper(|binder| {
            binder.form(expr, scope).map_err(|error| binder.placed(error, expr))
        })?;
        if copies(expr) && bound.expr.size() > MAX_NODES {
            return Err(stack::too_complex());
        }
        Ok(bound)
    }

    fn form(&mut self, expr: &ast::Expr, scope: &Scope) -> Result<Typed, SqlError> {
        match expr {
            ast::Expr::Nested(inner) => self.scalar(inner, scope),
            ast::Expr::Identifier(ident) => self.column(ident, scope),
            ast::Expr::CompoundIdentifier(idents) => match idents.as_slice() {
                [table, column] | [_, table, column] => {
                    // The place is that of the whole name.
                    let (table, column) = (fold(table), fold(column));
                    let found = scope.find(Some(&table), &column);
                    let (position, ty) = found.map_err(|error| {
                        self.at(self.out_of_sight(error, Some(&table), &column), &idents[0])
                    })?;
                    Ok(Typed::column(position, ty))
                }
                _ => Err(SqlError::unsupported(format!("the name {expr}"))),
            },
            ast::Expr::Value(value) => {
                let bound = self.literal(&value.value);
                bound.map_err(|error| self.at_location(error, value.span.start))
            }
            ast::Expr::TypedString(typed) => {
                let ty = types::from_ast(&typed.data_type)?;
                let bound = self.literal(&typed.value.value)?;
                self.coerce(bound, ty, CastContext::Explicit)
            }
            ast::Expr::BinaryOp { left, op, right } => self.binary_op(left, op, right, scope),
            ast::Expr::UnaryOp { op, expr } => self.unary_op(*op, expr, scope),
            ast::Expr::Cast { kind, expr, data_type, format: None } => {
                if !matches!(kind, ast::CastKind::Cast | ast::CastKind::DoubleColon) {
                    return Err(SqlError::unsupported("TRY_CAST"));
                }
                let ty = types::from_ast(data_type).map_err(|e| self.at_type(e, data_type))?;
                if let Some(array) = self.cast_array(expr, ty, scope)? {
                    return Ok(array);
                }
                let bound = self.scalar(expr, scope)?;
                self.coerce(bound, ty, CastContext::Explicit)
            }
            ast::Expr::Array(array) => self.array(&array.elem, scope),
            ast::Expr::CompoundFieldAccess { root, access_chain } => {
                self.subscript(root, access_chain, scope)
            }
            ast::Expr::Exists { subquery, negated } => self.exists(subquery, *negated, scope),
            ast::Expr::Subquery(query) => self.scalar_subquery(query, scope),
            ast::Expr::InSubquery { expr, subquery, negated } => {
                self.in_subquery(expr, subquery, *negated, scope)
            }
            ast::Expr::AnyOp { left, compare_op, right, .. } => {
                self.quantified(left, compare_op, right, expr::Quantifier::Any, scope)
            }
            ast::Expr::AllOp { left, compare_op, right } => {
                self.quantified(left, compare_op, right, expr::Quantifier::All, scope)
            }
            ast::Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref(), scope)
            }
            ast::Expr::Function(function) => self.function(function, scope),
            _ => self.predicate(expr, scope),
        }
    }

    /// What yields a truth value, and the special forms of functions.
    fn predicate(&mut self, expr: &ast::Expr, scope: &Scope) -> Result<Typed, SqlError> {
        match expr {
            ast::Expr::IsNull(arg) => self.is(arg, IsTest::Null, Negation::Plain, scope),
            ast::Expr::IsNotNull(arg) => self.is(arg, IsTest::Null, Negation::Negated, scope),
            ast::Expr::IsTrue(arg) => self.is(arg, IsTest::True, Negation::Plain, scope),
            ast::Expr::IsNotTrue(arg) => self.is(arg, IsTest::True, Negation::Negated, scope),
            ast::Expr::IsFalse(arg) => self.is(arg, IsTest::False, Negation::Plain, scope),
            ast::Expr::IsNotFalse(arg) => self.is(arg, IsTest::False, Negation::Negated, scope),
            ast::Expr::IsUnknown(arg) => self.is(arg, IsTest::Unknown, Negation::Plain, scope),
            ast::Expr::IsNotUnknown(arg) => self.is(arg, IsTest::Unknown, Negation::Negated, scope),
            ast::Expr::IsDistinctFrom(left, right) => {
                self.distinct(left, right, Negation::Plain, scope)
            }
            ast::Expr::IsNotDistinctFrom(left, right) => {
                self.distinct(left, right, Negation::Negated, scope)
            }
            ast::Expr::InList { expr, list, negated } => self.in_list(expr, list, *negated, scope),
            ast::Expr::Between { expr, negated, low, high } => {
                self.between(expr, low, high, *negated, scope)
            }
            ast::Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like(expr, pattern, escape_char.as_deref(), (Case::Sensitive, *negated), scope)
            }
            ast::Expr::ILike { negated, any: false, expr, pattern, escape_char } => self.like(
                expr,
                pattern,
                escape_char.as_deref(),
                (Case::Insensitive, *negated),
                scope,
            ),
            ast::Expr::SimilarTo { negated, expr, pattern, escape_char } => {
                self.similar(expr, pattern, escape_char.as_deref(), Negation::of(*negated), scope)
            }
            other => self.special_form(other, scope),
        }
    }

    /// Functions with a grammar of their own.
    fn special_form(&mut self, expr: &ast::Expr, scope: &Scope) -> Result<Typed, SqlError> {
        match expr {
            ast::Expr::Collate { expr, collation } => {
                let name = collation.to_string();
                let known = ["\"C\"", "\"POSIX\"", "\"default\"", "pg_catalog.default"];
                if known.contains(&name.as_str()) {
                    return self.scalar(expr, scope);
                }
                Err(SqlError::unsupported(format!("collation {name}")))
            }
            ast::Expr::Extract { field, expr, .. } => {
                let field = match field {
                    ast::DateTimeField::Custom(ident) => ident.value.to_lowercase(),
                    field => field.to_string().to_lowercase(),
                };
                let arg = self.scalar(expr, scope)?;
                self.call("extract", vec![Typed::constant(field.as_str(), Type::Text), arg])
            }
            ast::Expr::Ceil { expr, field: ast::CeilFloorKind::DateTimeField(field) }
                if *field == ast::DateTimeField::NoDateTime =>
            {
                let arg = self.scalar(expr, scope)?;
                self.call("ceil", vec![arg])
            }
            ast::Expr::Floor { expr, field: ast::CeilFloorKind::DateTimeField(field) }
                if *field == ast::DateTimeField::NoDateTime =>
            {
                let arg = self.scalar(expr, scope)?;
                self.call("floor", vec![arg])
            }
            ast::Expr::Position { expr, r#in } => {
                let part = self.scalar(expr, scope)?;
                let whole = self.scalar(r#in, scope)?;
                self.call("strpos", vec![whole, part])
            }
            ast::Expr::Substring { expr, substring_from, substring_for, .. } => {
                let mut args = vec![self.scalar(expr, scope)?];
                match (substring_from, substring_for) {
                    (Some(from), _) => args.push(self.scalar(from, scope)?),
                    (None, _) => args.push(Typed::constant(1, Type::Int4)),
                }
                if let Some(length) = substring_for {
                    args.push(self.scalar(length, scope)?);
                }
                self.call("substring", args)
            }
            ast::Expr::Trim { trim_where, trim_what, expr, trim_characters } => {
                self.trim(*trim_where, trim_what.as_deref(), expr, trim_characters, scope)
            }
            ast::Expr::AtTimeZone { timestamp, time_zone } => {
                let zone = self.scalar(time_zone, scope)?;
                let arg = self.scalar(timestamp, scope)?;
                self.call("timezone", vec![zone, arg])
            }
            ast::Expr::Interval(interval) => self.interval(interval),
            other => Err(unbuilt(other)),
        }
    }

    /// A condition: of type boolean.
    pub(crate) fn condition(
        &mut self,
        expr: &ast::Expr,
        scope: &Scope,
        clause: &str,
    ) -> Result<Expr, SqlError> {
        let bound = self.scalar(expr, scope)?;
        self.as_condition(bound, clause).map_err(|error| self.misused(error, expr))
    }

    /// The expression, if it is of type boolean or may become it.
    pub(crate) fn as_condition(&mut self, bound: Typed, clause: &str) -> Result<Expr, SqlError> {
        let bound = self.now_known(bound);
        let condition = bind::condition(bound, clause, self.context);
        Ok(self.settled(condition.map(boolean))?.expr)
    }

    fn column(&mut self, ident: &ast::Ident, scope: &Scope) -> Result<Typed, SqlError> {
        match scope.find(None, &fold(ident)) {
            Ok((position, ty)) => Ok(Typed::column(position, ty)),
            Err(error) => {
                if ident.quote_style.is_none()
                    && let Some(call) = keyword_function(&fold(ident))
                {
                    return self.call(call, Vec::new());
                }
                let name = fold(ident);
                if scope.columns.iter().any(|column| column.relation == name) {
                    return Err(self.at(SqlError::unsupported("a whole row as a value"), ident));
                }
                Err(self.at(self.out_of_sight(error, None, &name), ident))
            }
        }
    }

    /// The error that a name is unknown; another if a query around this one knows it.
    fn out_of_sight(&self, error: SqlError, relation: Option<&str>, name: &str) -> SqlError {
        let unknown = [SqlState::UNDEFINED_COLUMN, SqlState::UNDEFINED_TABLE];
        let known = |scope: &Scope| scope.find(relation, name).is_ok();
        if unknown.contains(&error.sqlstate) && self.outer.iter().any(known) {
            return SqlError::unsupported_all("correlated subqueries and LATERAL").with_hint(
                "A subquery and a function in FROM see nothing of what is around them: join the \
                 tables instead.",
            );
        }
        error
    }

    pub(super) fn literal(&mut self, value: &ast::Value) -> Result<Typed, SqlError> {
        Ok(match value {
            ast::Value::Null => Typed::null(),
            ast::Value::Boolean(value) => boolean(Expr::constant(*value)),
            ast::Value::Number(digits, false) => Typed::number(digits)?,
            ast::Value::SingleQuotedString(text)
            | ast::Value::EscapedStringLiteral(text)
            | ast::Value::UnicodeStringLiteral(text) => {
                let word = text.trim();
                self.momentary |= MOMENTS.iter().any(|moment| word.eq_ignore_ascii_case(moment));
                Typed::quoted(text)
            }
            ast::Value::DollarQuotedString(quoted) => Typed::quoted(&quoted.value),
            ast::Value::Placeholder(name) => self.parameter(name)?,
            ast::Value::SingleQuotedByteStringLiteral(_) | ast::Value::HexStringLiteral(_) => {
                return Err(SqlError::unsupported("type bit"));
            }
            other => return Err(SqlError::unsupported(format!("the literal {other}"))),
        })
    }

    fn parameter(&mut self, name: &str) -> Result<Typed, SqlError> {
        let number = name.strip_prefix('$').and_then(|digits| digits.parse::<u16>().ok());
        let Some(number) = number.filter(|number| (1..=MAX_PARAMS).contains(number)) else {
            return Err(SqlError::new(
                SqlState::UNDEFINED_PARAMETER,
                format!("there is no parameter {name}"),
            ));
        };
        let index = number - 1;
        if self.params.len() <= usize::from(index) {
            self.params.resize(usize::from(number), None);
        }
        let ty = self.params[usize::from(index)].unwrap_or(Type::Unknown);
        Ok(Typed::param(index, ty))
    }

    /// Notes the types that parameters got in a bound expression.
    pub(super) fn settled(&mut self, bound: Result<Typed, SqlError>) -> Result<Typed, SqlError> {
        let bound = bound?;
        if self.params.contains(&None) {
            let params = &mut self.params;
            bound.expr.any(&mut |part| {
                if let Expr::Param { index, ty } = part
                    && *ty != Type::Unknown
                    && let Some(slot @ None) = params.get_mut(usize::from(*index))
                {
                    *slot = Some(*ty);
                }
                false
            });
        }
        Ok(bound)
    }

    /// As a type, by an implicit cast.
    pub(crate) fn implicit(&mut self, bound: Typed, ty: Type) -> Result<Typed, SqlError> {
        self.coerce(bound, ty, CastContext::Implicit)
    }

    /// As the type of a column it is stored into.
    pub(crate) fn assign(
        &mut self,
        bound: Typed,
        ty: Type,
        column: &str,
    ) -> Result<Typed, SqlError> {
        let bound = self.now_known(bound);
        self.settled(bind::assign(bound, column, ty, self.context))
    }

    /// As a type.
    pub(crate) fn coerce(
        &mut self,
        bound: Typed,
        to: Type,
        context: CastContext,
    ) -> Result<Typed, SqlError> {
        let bound = self.now_known(bound);
        self.settled(bind::coerce(bound, to, context, self.context))
    }

    /// A parameter whose type another use has settled since it was bound.
    fn now_known(&self, bound: Typed) -> Typed {
        match bound.expr {
            Expr::Param { index, ty: Type::Unknown } => {
                let known = self.params.get(usize::from(index)).copied().flatten();
                Typed::param(index, known.unwrap_or(Type::Unknown))
            }
            expr => Typed { expr, ty: bound.ty },
        }
    }

    fn binary_op(
        &mut self,
        left: &ast::Expr,
        op: &ast::BinaryOperator,
        right: &ast::Expr,
        scope: &Scope,
    ) -> Result<Typed, SqlError> {
        use ast::BinaryOperator as Op;
        if matches!(op, Op::And | Op::Or) {
            return self.logic(left, op, right, scope);
        }
        if let (ast::Expr::Tuple(lefts), ast::Expr::Tuple(rights)) = (left, right) {
            return self.row_comparison(lefts, op, rights, scope);
        }
        let left = self.scalar(left, scope)?;
        let right = self.scalar(right, scope)?;
        if let Some((pattern, case, negated)) = pattern_operator(op) {
            return self.settled(match pattern {
                Pattern::Like => bind::like(left, right, None, case, negated, self.context),
                Pattern::Regex => bind::regex(left, right, case, negated, self.context),
            });
        }
        let op = match op {
            ast::BinaryOperator::Custom(symbol) if !postgres::has_operator(symbol) => {
                return Err(undefined_operator(symbol, left.ty, right.ty));
            }
            op => operator(op)?,
        };
        self.binary(op, left, right)
    }

    /// AND and OR, chains of them flat.
    fn logic(
        &mut self,
        left: &ast::Expr,
        op: &ast::BinaryOperator,
        right: &ast::Expr,
        scope: &Scope,
    ) -> Result<Typed, SqlError> {
        let mut parts = vec![right];
        let mut rest = left;
        while let ast::Expr::BinaryOp { left, op: inner, right } = rest
            && inner == op
        {
            parts.push(right);
            rest = left;
        }
        parts.push(rest);
        let name = if *op == ast::BinaryOperator::And { "AND" } else { "OR" };
        let mut bound = Vec::with_capacity(parts.len());
        for part in parts.into_iter().rev() {
            bound.push(self.condition(part, scope, name)?);
        }
        Ok(boolean(if name == "AND" { Expr::And(bound) } else { Expr::Or(bound) }))
    }

    /// An operator over bound operands.
    pub(crate) fn binary(
        &mut self,
        op: BinaryOp,
        left: Typed,
        right: Typed,
    ) -> Result<Typed, SqlError> {
        let (left, right) = (self.now_known(left), self.now_known(right));
        self.settled(bind::binary(op, left, right, self.context))
    }

    /// `(a, b) = (1, 2)`, and the other comparisons, by their lexicographic meaning.
    pub(super) fn row_comparison(
        &mut self,
        lefts: &[ast::Expr],
        op: &ast::BinaryOperator,
        rights: &[ast::Expr],
        scope: &Scope,
    ) -> Result<Typed, SqlError> {
        if lefts.len() != rights.len() || lefts.is_empty() {
            return Err(SqlError::syntax("unequal number of entries in row expressions"));
        }
        let op = operator(op)?;
        if !op.is_comparison() {
            return Err(SqlError::unsupported(format!("operator {} over rows", op.symbol())));
        }
        let mut pairs = Vec::with_capacity(lefts.len());
        for (left, right) in lefts.iter().zip(rights) {
            pairs.push((self.scalar(left, scope)?, self.scalar(right, scope)?));
        }
        if matches!(op, BinaryOp::Eq | BinaryOp::Ne) {
            let parts: Result<Vec<Expr>, SqlError> = pairs
                .into_iter()
                .map(|(left, right)| Ok(self.binary(op, left, right)?.expr))
                .collect();
            let parts = parts?;
            return Ok(boolean(if op == BinaryOp::Eq {
                Expr::And(parts)
            } else {
                Expr::Or(parts)
            }));
        }
        let strict = match op {
            BinaryOp::Le => BinaryOp::Lt,
            BinaryOp::Ge => BinaryOp::Gt,
            other => other,
        };
        if pairs.len() > MAX_ORDERED_ROW {
            return Err(stack::too_complex());
        }
        let (last_left, last_right) = pairs.pop().expect("not empty");
        let mut result = self.binary(op, last_left, last_right)?.expr;
        for (left, right) in pairs.into_iter().rev() {
            let before = self.binary(strict, left.clone(), right.clone())?.expr;
            let equal = self.binary(BinaryOp::Eq, left, right)?.expr;
            result = Expr::Or(vec![before, Expr::And(vec![equal, result])]);
        }
        Ok(boolean(result))
    }

    fn unary_op(
        &mut self,
        op: ast::UnaryOperator,
        expr: &ast::Expr,
        scope: &Scope,
    ) -> Result<Typed, SqlError> {
        if op == ast::UnaryOperator::Not {
            let arg = self.condition(expr, scope, "NOT")?;
            return Ok(boolean(Expr::Not(Box::new(arg))));
        }
        if op == ast::UnaryOperator::Minus
            && let ast::Expr::Value(value) = expr
            && let ast::Value::Number(digits, false) = &value.value
        {
            // So that the least integer is one: its digits alone are out of range.
            return Typed::number(&format!("-{digits}"));
        }
        let op = match op {
            ast::UnaryOperator::Plus => UnaryOp::Plus,
            ast::UnaryOperator::Minus => UnaryOp::Neg,
            ast::UnaryOperator::BitwiseNot => UnaryOp::BitNot,
            ast::UnaryOperator::PGAbs => UnaryOp::Abs,
            ast::UnaryOperator::PGSquareRoot => UnaryOp::Sqrt,
            other => return Err(SqlError::unsupported(format!("operator {other}"))),
        };
        let arg = self.scalar(expr, scope)?;
        self.settled(bind::unary(op, arg, self.context))
    }

    fn is(
        &mut self,
        arg: &ast::Expr,
        test: IsTest,
        negated: Negation,
        scope: &Scope,
    ) -> Result<Typed, SqlError> {
        let arg = self.scalar(arg, scope)?;
        self.settled(bind::is_test(arg, test, negated, self.context))
    }

    fn distinct(
        &mut self,
        left: &ast::Expr,
        right: &ast::Expr,
        negated: Negation,
        scope: &Scope,
    ) -> Result<Typed, SqlError> {
        let left = self.scalar(left, scope)?;
        let right = self.scalar(right, scope)?;
        self.settled(bind::distinct(left, right, negated, self.context))
    }
}

/// Whether what this becomes may hold a part of it more than once: each such form in another doubles
/// the innermost one again.
fn copies(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::Case { operand, .. } => operand.is_some(),
        ast::Expr::Between { .. } | ast::Expr::Function(_) => true,
        ast::Expr::InList { expr, .. } => matches!(**expr, ast::Expr::Tuple(_)),
        ast::Expr::BinaryOp { left, .. } => matches!(**left, ast::Expr::Tuple(_)),
        _ => false,
    }
}

/// The most columns of rows that are compared by `<` and its like: each is a level of the expression.
const MAX_ORDERED_ROW: usize = 100;

/// The most nodes of an expression that holds parts more than once. Beyond: `54001`.
const MAX_NODES: usize = 50_000;

/// An expression of type boolean.
pub(super) const fn boolean(expr: Expr) -> Typed {
    Typed::new(expr, Type::Bool)
}
