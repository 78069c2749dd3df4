//! Expressions with a grammar of their own: CASE, IN, LIKE, arrays, subqueries.

use expr::{
    Expr, Negation, Quantifier, SqlError, SqlState, Type, Typed,
    bind::{self, Case},
};
use sqlparser::ast;

use super::{
    Binder, Scope,
    scalar::{boolean, operator},
};
use crate::plan::SubqueryKind;

impl Binder<'_> {
    pub(super) fn case(
        &mut self,
        operand: Option<&ast::Expr>,
        conditions: &[ast::CaseWhen],
        otherwise: Option<&ast::Expr>,
        scope: &Scope,
    ) -> Result<Typed, SqlError> {
        let operand = operand.map(|operand| self.scalar(operand, scope)).transpose()?;
        let mut branches = Vec::with_capacity(conditions.len());
        for when in conditions {
            let test = self.scalar(&when.condition, scope)?;
            branches.push((test, self.scalar(&when.result, scope)?));
        }
        let otherwise = otherwise.map(|otherwise| self.scalar(otherwise, scope)).transpose()?;
        self.settled(bind::case(operand.as_ref(), branches, otherwise, self.context))
    }

    pub(super) fn in_list(
        &mut self,
        arg: &ast::Expr,
        list: &[ast::Expr],
        negated: bool,
        scope: &Scope,
    ) -> Result<Typed, SqlError> {
        if let ast::Expr::Tuple(_) = arg {
            return self.in_rows(arg, list, negated, scope);
        }
        let arg = self.scalar(arg, scope)?;
        let mut bound = Vec::with_capacity(list.len());
        for item in list {
            bound.push(self.scalar(item, scope)?);
        }
        self.settled(bind::in_list(arg, bound, Negation::of(negated), self.context))
    }

    /// `(a, b) IN ((1, 2), (3, 4))`.
    fn in_rows(
        &mut self,
        arg: &ast::Expr,
        list: &[ast::Expr],
        negated: bool,
        scope: &Scope,
    ) -> Result<Typed, SqlError> {
        let mut parts = Vec::with_capacity(list.len());
        for item in list {
            let equal = ast::Expr::BinaryOp {
                left: Box::new(arg.clone()),
                op: ast::BinaryOperator::Eq,
                right: Box::new(item.clone()),
            };
            parts.push(self.scalar(&equal, scope)?.expr);
        }
        let any = Expr::Or(parts);
        let expr = if negated { Expr::Not(Box::new(any)) } else { any };
        Ok(boolean(expr))
    }

    pub(super) fn between(
        &mut self,
        arg: &ast::Expr,
        low: &ast::Expr,
        high: &ast::Expr,
        negated: bool,
        scope: &Scope,
    ) -> Result<Typed, SqlError> {
        let arg = self.scalar(arg, scope)?;
        let low = self.scalar(low, scope)?;
        let high = self.scalar(high, scope)?;
        self.settled(bind::between(arg, low, high, Negation::of(negated), self.context))
    }

    pub(super) fn like(
        &mut self,
        arg: &ast::Expr,
        pattern: &ast::Expr,
        escape: Option<&ast::Expr>,
        (case, negated): (Case, bool),
        scope: &Scope,
    ) -> Result<Typed, SqlError> {
        let arg = self.scalar(arg, scope)?;
        let pattern = self.scalar(pattern, scope)?;
        let escape = escape.map(|escape| self.scalar(escape, scope)).transpose()?;
        let negated = Negation::of(negated);
        self.settled(bind::like(arg, pattern, escape, case, negated, self.context))
    }

    pub(super) fn trim(
        &mut self,
        place: Option<ast::TrimWhereField>,
        what: Option<&ast::Expr>,
        arg: &ast::Expr,
        characters: &Option<Vec<ast::Expr>>,
        scope: &Scope,
    ) -> Result<Typed, SqlError> {
        let name = match place {
            None | Some(ast::TrimWhereField::Both) => "btrim",
            Some(ast::TrimWhereField::Leading) => "ltrim",
            Some(ast::TrimWhereField::Trailing) => "rtrim",
        };
        let mut args = vec![self.scalar(arg, scope)?];
        match (what, characters.as_deref()) {
            (Some(what), None) => args.push(self.scalar(what, scope)?),
            (None, Some([what])) => args.push(self.scalar(what, scope)?),
            (None, None | Some([])) => {}
            _ => return Err(SqlError::syntax("trim takes one set of characters")),
        }
        self.call(name, args)
    }

    pub(super) fn array(&mut self, items: &[ast::Expr], scope: &Scope) -> Result<Typed, SqlError> {
        let mut bound = Vec::with_capacity(items.len());
        for item in items {
            bound.push(self.scalar(item, scope)?);
        }
        self.settled(bind::array(bound, self.context))
    }

    pub(super) fn subscript(
        &mut self,
        root: &ast::Expr,
        chain: &[ast::AccessExpr],
        scope: &Scope,
    ) -> Result<Typed, SqlError> {
        let mut bound = self.scalar(root, scope)?;
        for access in chain {
            let ast::AccessExpr::Subscript(ast::Subscript::Index { index }) = access else {
                return Err(SqlError::unsupported_all("slices and fields"));
            };
            let index = self.scalar(index, scope)?;
            bound = self.settled(bind::subscript(bound, index, self.context))?;
        }
        Ok(bound)
    }

    /// `arg op ANY (array)`, `arg op ANY (subquery)`.
    pub(super) fn quantified(
        &mut self,
        arg: &ast::Expr,
        op: &ast::BinaryOperator,
        array: &ast::Expr,
        quantifier: Quantifier,
        scope: &Scope,
    ) -> Result<Typed, SqlError> {
        let op = operator(op)?;
        let arg = self.scalar(arg, scope)?;
        let array = match array {
            ast::Expr::Subquery(query) => self.array_subquery(query)?,
            ast::Expr::Nested(inner) => match &**inner {
                ast::Expr::Subquery(query) => self.array_subquery(query)?,
                other => self.scalar(other, scope)?,
            },
            other => self.scalar(other, scope)?,
        };
        self.settled(bind::quantified(arg, op, array, quantifier, self.context))
    }

    pub(super) fn exists(&mut self, query: &ast::Query, negated: bool) -> Result<Typed, SqlError> {
        let bound = self.subquery(query)?;
        let limited = crate::plan::Node::Limit {
            input: Box::new(bound.node),
            limit: Some(Expr::constant(1_i64)),
            offset: None,
        };
        let exists = self.add_subquery(limited, SubqueryKind::Exists, Type::Bool)?;
        let expr = if negated { Expr::Not(Box::new(exists.expr)) } else { exists.expr };
        Ok(boolean(expr))
    }

    pub(super) fn scalar_subquery(&mut self, query: &ast::Query) -> Result<Typed, SqlError> {
        let mut bound = self.subquery(query)?;
        self.settle_unknown(&mut bound);
        let [column] = bound.columns.as_slice() else {
            return Err(SqlError::syntax("subquery must return only one column"));
        };
        let ty = column.ty;
        self.add_subquery(bound.node, SubqueryKind::Scalar, ty)
    }

    fn array_subquery(&mut self, query: &ast::Query) -> Result<Typed, SqlError> {
        let mut bound = self.subquery(query)?;
        self.settle_unknown(&mut bound);
        let [column] = bound.columns.as_slice() else {
            return Err(SqlError::syntax("subquery has too many columns"));
        };
        let array = column.ty.array_of();
        let Some(ty @ Type::Array(element)) = array else {
            return Err(SqlError::unsupported(format!("IN over {}", column.ty)));
        };
        self.add_subquery(bound.node, SubqueryKind::Array(element), ty)
    }

    pub(super) fn in_subquery(
        &mut self,
        arg: &ast::Expr,
        query: &ast::Query,
        negated: bool,
        scope: &Scope,
    ) -> Result<Typed, SqlError> {
        if matches!(arg, ast::Expr::Tuple(_)) {
            return Err(SqlError::unsupported("IN of a row value and a subquery"));
        }
        let arg = self.scalar(arg, scope)?;
        let array = self.array_subquery(query)?;
        let any = bind::quantified(arg, expr::BinaryOp::Eq, array, Quantifier::Any, self.context);
        let any = self.settled(any)?.expr;
        let expr = if negated { Expr::Not(Box::new(any)) } else { any };
        Ok(boolean(expr))
    }

    /// A query inside an expression: it sees nothing of what is around it.
    fn subquery(&mut self, query: &ast::Query) -> Result<super::Bound, SqlError> {
        let aggregates = self.aggregates.take();
        let bound = self.query(query);
        self.aggregates = aggregates;
        bound.map_err(|error| {
            let unknown = [SqlState::UNDEFINED_COLUMN, SqlState::UNDEFINED_TABLE];
            if unknown.contains(&error.sqlstate) && error.hint.is_none() {
                return error.with_hint(
                    "A subquery sees only its own tables: correlated subqueries are not supported.",
                );
            }
            error
        })
    }
}
