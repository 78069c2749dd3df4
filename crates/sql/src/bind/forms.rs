//! Expressions with a grammar of their own: CASE, IN, LIKE, arrays, subqueries.

use expr::{
    CastContext, Expr, Negation, Quantifier, SqlError, Type, Typed,
    bind::{self, Case},
};
use sqlparser::ast;

use super::{Binder, Scope, operators::operator, scalar::boolean};
use crate::{parse::SYMMETRIC, plan::SubqueryKind};

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
        let negation = Negation::of(negated);
        let (low, symmetric) = match low {
            ast::Expr::Prefixed { prefix, value } if prefix.value == SYMMETRIC => (&**value, true),
            low => (low, false),
        };
        if let (ast::Expr::Tuple(arg), ast::Expr::Tuple(low), ast::Expr::Tuple(high)) =
            (arg, low, high)
        {
            let mut within = self.between_rows(arg, low, high, scope)?;
            if symmetric {
                within = Expr::Or(vec![within, self.between_rows(arg, high, low, scope)?]);
            }
            return Ok(boolean(if negated { Expr::Not(Box::new(within)) } else { within }));
        }
        let arg = self.scalar(arg, scope)?;
        let low = self.scalar(low, scope)?;
        let high = self.scalar(high, scope)?;
        if !symmetric {
            return self.settled(bind::between(arg, low, high, negation, self.context));
        }
        let (there, back) = ((low.clone(), high.clone()), (high, low));
        let mut either = Vec::with_capacity(2);
        for (low, high) in [there, back] {
            let one = bind::between(arg.clone(), low, high, negation, self.context);
            either.push(self.settled(one)?.expr);
        }
        Ok(boolean(if negated { Expr::And(either) } else { Expr::Or(either) }))
    }

    /// `(a, b) BETWEEN (1, 2) AND (3, 4)`.
    fn between_rows(
        &mut self,
        arg: &[ast::Expr],
        low: &[ast::Expr],
        high: &[ast::Expr],
        scope: &Scope,
    ) -> Result<Expr, SqlError> {
        let above = self.row_comparison(arg, &ast::BinaryOperator::GtEq, low, scope)?;
        let below = self.row_comparison(arg, &ast::BinaryOperator::LtEq, high, scope)?;
        Ok(Expr::And(vec![above.expr, below.expr]))
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

    /// `arg SIMILAR TO pattern`: a regular expression is made of the pattern.
    pub(super) fn similar(
        &mut self,
        arg: &ast::Expr,
        pattern: &ast::Expr,
        escape: Option<&ast::Expr>,
        negated: Negation,
        scope: &Scope,
    ) -> Result<Typed, SqlError> {
        let arg = self.scalar(arg, scope)?;
        let mut args = vec![self.scalar(pattern, scope)?];
        if let Some(escape) = escape {
            args.push(self.scalar(escape, scope)?);
        }
        let pattern = self.call("similar_to_escape", args)?;
        self.settled(bind::regex(arg, pattern, Case::Sensitive, negated, self.context))
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

    /// `ARRAY[...]::type[]`: each item is cast by itself, so that an empty array has a type, too.
    /// `None` if the cast is about something else.
    pub(super) fn cast_array(
        &mut self,
        expr: &ast::Expr,
        to: Type,
        scope: &Scope,
    ) -> Result<Option<Typed>, SqlError> {
        let array = match expr {
            ast::Expr::Nested(inner) => return self.cast_array(inner, to, scope),
            ast::Expr::Array(array) => array,
            _ => return Ok(None),
        };
        let (Type::Array(element), Some(ty)) = (to, to.element()) else { return Ok(None) };
        if array.elem.iter().any(|item| matches!(item, ast::Expr::Array(_))) {
            return Ok(None);
        }
        let mut items = Vec::with_capacity(array.elem.len());
        for item in &array.elem {
            let bound = self.scalar(item, scope)?;
            items.push(self.coerce(bound, ty, CastContext::Explicit)?.expr);
        }
        Ok(Some(Typed::new(Expr::Array { element, items }, to)))
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
            ast::Expr::Subquery(query) => self.array_subquery(query, scope)?,
            ast::Expr::Nested(inner) => match &**inner {
                ast::Expr::Subquery(query) => self.array_subquery(query, scope)?,
                other => self.scalar(other, scope)?,
            },
            other => self.scalar(other, scope)?,
        };
        self.settled(bind::quantified(arg, op, array, quantifier, self.context))
    }

    pub(super) fn exists(
        &mut self,
        query: &ast::Query,
        negated: bool,
        scope: &Scope,
    ) -> Result<Typed, SqlError> {
        let bound = self.subquery(query, scope)?;
        let limited = crate::plan::Node::Limit {
            input: Box::new(bound.node),
            limit: Some(Expr::constant(1_i64)),
            offset: None,
        };
        let exists = self.add_subquery(limited, SubqueryKind::Exists, Type::Bool)?;
        let expr = if negated { Expr::Not(Box::new(exists.expr)) } else { exists.expr };
        Ok(boolean(expr))
    }

    pub(super) fn scalar_subquery(
        &mut self,
        query: &ast::Query,
        scope: &Scope,
    ) -> Result<Typed, SqlError> {
        let mut bound = self.subquery(query, scope)?;
        self.settle_unknown(&mut bound);
        let [column] = bound.columns.as_slice() else {
            return Err(SqlError::syntax("subquery must return only one column"));
        };
        let ty = column.ty;
        self.add_subquery(bound.node, SubqueryKind::Scalar, ty)
    }

    fn array_subquery(&mut self, query: &ast::Query, scope: &Scope) -> Result<Typed, SqlError> {
        let mut bound = self.subquery(query, scope)?;
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
        let array = self.array_subquery(query, scope)?;
        let any = bind::quantified(arg, expr::BinaryOp::Eq, array, Quantifier::Any, self.context);
        let any = self.settled(any)?.expr;
        let expr = if negated { Expr::Not(Box::new(any)) } else { any };
        Ok(boolean(expr))
    }

    /// A query inside an expression: it sees nothing of what is around it, and says so.
    fn subquery(&mut self, query: &ast::Query, scope: &Scope) -> Result<super::Bound, SqlError> {
        let aggregates = self.aggregates.take();
        self.outer.push(scope.clone());
        let bound = self.query(query);
        self.outer.pop();
        self.aggregates = aggregates;
        bound
    }
}
