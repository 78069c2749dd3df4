//! Where a condition goes: as deep as its columns allow.

use expr::{BinaryOp, Expr, Volatility, stack};

use crate::plan::{Join, JoinKind, Node, optimize};

/// A condition does not sink through a projection that would make more of it than so many nodes: one
/// over `a + a` is twice as large below it, and so on at each level.
const MAX_GROWN: usize = 1_000;

/// The node, yielding only rows for which the condition is true.
pub(crate) fn restrict(node: Node, condition: Expr) -> Node {
    stack::guard(|| sink(node, condition))
}

fn sink(node: Node, condition: Expr) -> Node {
    if condition.volatility() == Volatility::Volatile {
        return filtered(node, condition);
    }
    match node {
        Node::Scan(mut scan) => {
            scan.conditions.extend(condition.into_conjuncts());
            Node::Scan(scan)
        }
        Node::Join(join) => join_restricted(*join, condition),
        Node::Filter { input, mut conditions } => {
            if matches!(*input, Node::Scan(_) | Node::Join(_)) {
                return Node::Filter { input: Box::new(restrict(*input, condition)), conditions };
            }
            conditions.push(condition);
            Node::Filter { input, conditions }
        }
        Node::Project { input, exprs } => {
            let plain = exprs.iter().all(|expr| expr.volatility() < Volatility::Volatile);
            if !plain || grown(&condition, &exprs) > MAX_GROWN {
                return filtered(Node::Project { input, exprs }, condition);
            }
            let inner = condition.rewrite(&mut |part| match part {
                Expr::Column(position) => exprs[position as usize].clone(),
                other => other,
            });
            Node::Project { input: Box::new(restrict(*input, inner)), exprs }
        }
        Node::Sort { input, keys } => {
            Node::Sort { input: Box::new(restrict(*input, condition)), keys }
        }
        Node::Distinct { input, on: None } => {
            Node::Distinct { input: Box::new(restrict(*input, condition)), on: None }
        }
        other => filtered(other, condition),
    }
}

/// The size of a condition with these in place of its columns.
fn grown(condition: &Expr, exprs: &[Expr]) -> usize {
    let mut size = condition.size();
    condition.columns(&mut |column| size += exprs[column as usize].size());
    size
}

fn filtered(node: Node, condition: Expr) -> Node {
    match node {
        Node::Filter { input, mut conditions } => {
            conditions.push(condition);
            Node::Filter { input, conditions }
        }
        other => Node::Filter { input: Box::new(other), conditions: vec![condition] },
    }
}

/// Which inputs of a join a condition is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Neither,
    Left,
    Right,
    Both,
}

fn side(expr: &Expr, left_width: usize) -> Side {
    let (mut left, mut right) = (false, false);
    expr.columns(&mut |column| {
        if (column as usize) < left_width { left = true } else { right = true }
    });
    match (left, right) {
        (false, false) => Side::Neither,
        (true, false) => Side::Left,
        (false, true) => Side::Right,
        (true, true) => Side::Both,
    }
}

fn to_right(expr: Expr, left_width: usize) -> Expr {
    let shift = u32::try_from(left_width).expect("columns are few");
    expr.move_columns(&mut |column| column - shift)
}

/// A join under a condition of WHERE.
fn join_restricted(mut join: Join, condition: Expr) -> Node {
    let keeps_left = matches!(join.kind, JoinKind::Inner | JoinKind::Left);
    let keeps_right = matches!(join.kind, JoinKind::Inner | JoinKind::Right);
    match side(&condition, join.left_width) {
        Side::Left if keeps_left => {
            join.left = restrict(join.left, condition);
            Node::Join(Box::new(join))
        }
        Side::Right if keeps_right => {
            let condition = to_right(condition, join.left_width);
            join.right = restrict(join.right, condition);
            Node::Join(Box::new(join))
        }
        _ if join.kind == JoinKind::Inner => {
            add_condition(&mut join, condition);
            Node::Join(Box::new(join))
        }
        _ => filtered(Node::Join(Box::new(join)), condition),
    }
}

/// A join under a condition of its own ON clause.
pub(crate) fn joined_on(mut join: Join, condition: Expr) -> Node {
    if join.kind == JoinKind::Inner {
        return restrict(Node::Join(Box::new(join)), condition);
    }
    let plain = condition.volatility() < Volatility::Volatile;
    match (side(&condition, join.left_width), join.kind) {
        (Side::Right, JoinKind::Left) if plain => {
            let condition = to_right(condition, join.left_width);
            join.right = restrict(join.right, condition);
        }
        (Side::Left, JoinKind::Right) if plain => join.left = restrict(join.left, condition),
        _ => add_condition(&mut join, condition),
    }
    Node::Join(Box::new(join))
}

/// Adds a condition that decides about matches: an equality of both sides, or any other.
fn add_condition(join: &mut Join, condition: Expr) {
    if let Expr::Binary { op: BinaryOp::Eq, left, right, .. } = &condition
        && condition.volatility() < Volatility::Volatile
    {
        match (side(left, join.left_width), side(right, join.left_width)) {
            (Side::Left, Side::Right) => {
                let right = to_right((**right).clone(), join.left_width);
                join.equal.push(((**left).clone(), right));
                return;
            }
            (Side::Right, Side::Left) => {
                let left = to_right((**left).clone(), join.left_width);
                join.equal.push(((**right).clone(), left));
                return;
            }
            _ => {}
        }
    }
    join.conditions.push(condition);
}

/// Two nodes side by side, every row with every row.
pub(crate) fn pair(kind: JoinKind, left: Node, right: Node) -> Join {
    Join {
        kind,
        left_width: optimize::width(&left) as usize,
        right_width: optimize::width(&right) as usize,
        left,
        right,
        equal: Vec::new(),
        conditions: Vec::new(),
    }
}
