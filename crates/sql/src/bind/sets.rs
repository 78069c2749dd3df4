//! UNION, INTERSECT and EXCEPT.
//!
//! A chain of them nests to the left in the syntax, one level for each. It is walked flat, and
//! where one operation follows itself its operands become a balanced tree, as all of them are
//! associative in what they yield and in which order: ten thousand selects under UNION ALL are
//! fourteen levels deep. `a EXCEPT b EXCEPT c` is `a EXCEPT (b UNION ALL c)`.

use expr::{SqlError, Typed};
use sqlparser::ast::{self, Spanned};

use super::{Binder, Bound};
use crate::{
    plan::{Node, SetOp},
    session::ResultColumn,
};

/// One operation of a chain and what stands behind it.
struct Link<'q> {
    op: SetOp,
    all: bool,
    right: &'q ast::SetExpr,
}

/// Operands of one operation, all of the same columns; one operand alone has none.
struct Run {
    op: Option<(SetOp, bool)>,
    operands: Vec<Node>,
    columns: Vec<ResultColumn>,
}

impl Run {
    fn of(bound: Bound) -> Run {
        Run { op: None, operands: vec![bound.node], columns: bound.columns }
    }

    fn into_bound(self) -> Bound {
        let Run { op, mut operands, columns } = self;
        let node = match op {
            None => operands.pop().expect("there is one"),
            Some((SetOp::Except, all)) => {
                let taken = operands.split_off(1);
                let left = operands.pop().expect("there is a first");
                joined(SetOp::Except, all, left, balanced(SetOp::Union, true, taken))
            }
            Some((op, all)) => balanced(op, all, operands),
        };
        Bound { node, columns }
    }
}

fn joined(op: SetOp, all: bool, left: Node, right: Node) -> Node {
    Node::SetOperation { op, all, left: Box::new(left), right: Box::new(right) }
}

/// A tree as shallow as it can be, its leaves in this order.
fn balanced(op: SetOp, all: bool, mut operands: Vec<Node>) -> Node {
    if operands.len() == 1 {
        return operands.pop().expect("there is one");
    }
    let right = operands.split_off(operands.len().div_ceil(2));
    joined(op, all, balanced(op, all, operands), balanced(op, all, right))
}

impl Binder<'_> {
    /// A chain of set operations.
    pub(super) fn set_operations(&mut self, body: &ast::SetExpr) -> Result<Bound, SqlError> {
        let mut links = Vec::new();
        let mut first = body;
        while let ast::SetExpr::SetOperation { left, op, set_quantifier, right } = first {
            let all = match set_quantifier {
                ast::SetQuantifier::All => true,
                ast::SetQuantifier::None | ast::SetQuantifier::Distinct => false,
                _ => return Err(SqlError::unsupported("BY NAME")),
            };
            let op = match op {
                ast::SetOperator::Union => SetOp::Union,
                ast::SetOperator::Except => SetOp::Except,
                ast::SetOperator::Intersect => SetOp::Intersect,
                ast::SetOperator::Minus => return Err(SqlError::unsupported("MINUS")),
            };
            links.push(Link { op, all, right });
            first = left;
        }
        let mut run = Run::of(self.set_expr(first)?);
        for link in links.into_iter().rev() {
            let right = self.deeper(|binder| binder.set_expr(link.right))?;
            run = self.linked(run, &link, right)?;
        }
        Ok(run.into_bound())
    }

    fn linked(&mut self, mut run: Run, link: &Link<'_>, right: Bound) -> Result<Run, SqlError> {
        let name = match link.op {
            SetOp::Union => "UNION",
            SetOp::Intersect => "INTERSECT",
            SetOp::Except => "EXCEPT",
        };
        if run.columns.len() != right.columns.len() {
            let message = format!("each {name} query must have the same number of columns");
            let error = SqlError::syntax(message);
            return Err(match first_item(link.right) {
                Some(item) => self.at_location(error, item.span().start),
                None => error,
            });
        }
        let mut columns = Vec::with_capacity(run.columns.len());
        for (left, right) in run.columns.iter().zip(&right.columns) {
            let ty = expr::bind::common_type(&[left.ty, right.ty], name)?;
            columns.push(ResultColumn { name: left.name.clone(), ty });
        }
        let op = Some((link.op, link.all));
        if run.op != op || run.columns != columns {
            let left = self.cast_columns(run.into_bound(), &columns)?;
            run = Run { op, operands: vec![left], columns };
        }
        let right = self.cast_columns(right, &run.columns)?;
        run.operands.push(right);
        Ok(run)
    }

    /// The rows with every column as the wanted type.
    fn cast_columns(&mut self, bound: Bound, wanted: &[ResultColumn]) -> Result<Node, SqlError> {
        if bound.columns.iter().zip(wanted).all(|(have, want)| have.ty == want.ty) {
            return Ok(bound.node);
        }
        // Literals take their type where they stand.
        if let Node::Project { input, exprs } = bound.node {
            let mut cast = Vec::with_capacity(exprs.len());
            for ((expr, have), want) in exprs.into_iter().zip(&bound.columns).zip(wanted) {
                cast.push(self.implicit(Typed::new(expr, have.ty), want.ty)?.expr);
            }
            return Ok(Node::Project { input, exprs: cast });
        }
        let mut exprs = Vec::with_capacity(wanted.len());
        for (position, (have, want)) in bound.columns.iter().zip(wanted).enumerate() {
            let position = u32::try_from(position).expect("few");
            exprs.push(self.implicit(Typed::column(position, have.ty), want.ty)?.expr);
        }
        Ok(Node::Project { input: Box::new(bound.node), exprs })
    }
}

/// The first thing that a query of a set operation selects.
fn first_item(query: &ast::SetExpr) -> Option<&ast::SelectItem> {
    match query {
        ast::SetExpr::Select(select) => select.projection.first(),
        ast::SetExpr::Query(query) => first_item(&query.body),
        ast::SetExpr::SetOperation { left, .. } => first_item(left),
        _ => None,
    }
}
