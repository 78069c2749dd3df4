//! How deep a plan is: what whoever walks it makes room for.

use expr::stack;

use super::{Body, Node, Plan};

/// The deepest of a plan's nodes and the deepest of its expressions, together.
#[must_use]
pub fn levels(plan: &Plan) -> usize {
    let body = match &plan.body {
        Body::Query(node) => self::node(node),
        Body::Insert(insert) => self::node(&insert.source),
        Body::Update(update) => self::node(&update.source),
        Body::Delete(delete) => self::node(&delete.source),
        Body::Truncate(_) => 0,
    };
    let subqueries = plan.subqueries.iter().map(|subquery| self::node(&subquery.node));
    let mut deepest = 0;
    plan.each_expr(&mut |expr| deepest = expr.depth().max(deepest));
    1 + subqueries.fold(body, usize::max) + deepest
}

/// How many nodes lie above each other, this one on top.
#[must_use]
pub fn node(node: &Node) -> usize {
    let inputs = node.inputs().into_iter().map(|input| stack::guard(|| self::node(input)));
    1 + inputs.fold(0, usize::max)
}
