//! The last step of planning, top down: which columns each scan must yield, which index it reads,
//! which sorts its order spares, which limits reach it.

use std::collections::BTreeSet;

use expr::{Expr, stack};

use super::{
    Aggregate, Join, LockRows, Node, RowLimit, Scan, SortKey,
    access::{self, Wanted},
};

/// What the nodes above ask of a node.
#[derive(Clone, Default)]
struct Asked {
    /// Positions of the columns that are needed.
    columns: BTreeSet<u32>,
    /// The order its rows should come in; empty: any.
    order: Vec<SortKey>,
    /// A limit that counts its rows one by one.
    limit: Option<RowLimit>,
}

/// Finishes a plan whose rows have this width. All of its columns are needed.
pub fn finish(node: &mut Node, width: usize) {
    let columns = (0..width).map(|position| u32::try_from(position).expect("few")).collect();
    settle(node, Asked { columns, ..Asked::default() });
}

/// Settles a node and what lies below it; answers whether its rows come in the order asked for.
fn settle(node: &mut Node, asked: Asked) -> bool {
    stack::guard(|| settle_node(node, asked))
}

fn settle_node(node: &mut Node, asked: Asked) -> bool {
    match node {
        Node::Rows(_) | Node::Series { .. } | Node::Unnest(_) | Node::Shared(_) => {
            asked.order.is_empty()
        }
        Node::Scan(scan) => settle_scan(scan, asked),
        Node::Filter { input, conditions } => {
            let mut below = Asked { limit: None, ..asked };
            add(&mut below.columns, conditions);
            settle(input, below)
        }
        Node::Project { input, exprs } => settle_project(input, exprs, asked),
        Node::Join(join) => settle_join(join, asked),
        Node::Aggregate(aggregate) => settle_aggregate(aggregate, &asked),
        Node::Sort { input, keys } => {
            let mut below =
                Asked { columns: asked.columns, order: keys.clone(), limit: asked.limit };
            keys.iter().for_each(|key| {
                key.expr.columns(&mut |column| {
                    below.columns.insert(column);
                })
            });
            if settle_sorted(input, below) {
                let sorted = std::mem::replace(&mut **input, Node::Rows(Vec::new()));
                *node = sorted;
            }
            asked.order.is_empty()
        }
        Node::Distinct { input, on } => {
            let mut below = Asked { columns: asked.columns, order: asked.order, limit: None };
            match on {
                Some(on) => add(&mut below.columns, on),
                None => below.columns.extend(0..width(input)),
            }
            settle(input, below)
        }
        Node::Limit { input, limit, offset } => {
            let mut below = Asked { limit: None, ..asked };
            if let Some(limit) = limit {
                below.limit = Some(RowLimit { limit: limit.clone(), offset: offset.clone() });
            }
            settle(input, below)
        }
        Node::SetOperation { left, right, .. } => {
            for side in [left, right] {
                let columns = (0..width(side)).collect();
                settle(side, Asked { columns, ..Asked::default() });
            }
            asked.order.is_empty()
        }
        Node::Lock(lock) => settle_lock(lock, asked),
    }
}

/// As [`settle`] below a sort: the limit holds only if the sort is spared, so it is asked for in a
/// second attempt.
fn settle_sorted(input: &mut Node, asked: Asked) -> bool {
    let limited = asked.limit.is_some();
    let without = Asked { limit: None, ..asked.clone() };
    if !limited {
        return settle(input, without);
    }
    if would_order(input, &asked) { settle(input, asked) } else { settle(input, without) }
}

/// Whether a scan below would come in the order asked for.
fn would_order(node: &Node, asked: &Asked) -> bool {
    match node {
        Node::Scan(scan) => choose(scan, asked).ordered,
        Node::Filter { input, .. } => would_order(input, &Asked { limit: None, ..asked.clone() }),
        Node::Lock(lock) => would_order(&lock.input, asked),
        _ => false,
    }
}

fn choose(scan: &Scan, asked: &Asked) -> access::Path {
    let needed = needed(scan, asked);
    access::choose(
        &scan.table,
        &Wanted {
            conditions: &scan.conditions,
            needed: &needed,
            order: &asked.order,
            limited: asked.limit.is_some(),
        },
    )
}

fn needed(scan: &Scan, asked: &Asked) -> Vec<u32> {
    let mut columns = asked.columns.clone();
    add(&mut columns, &scan.conditions);
    columns.into_iter().collect()
}

fn settle_scan(scan: &mut Scan, asked: Asked) -> bool {
    let path = choose(scan, &asked);
    scan.needed = needed(scan, &asked);
    scan.index = path.index;
    scan.order = path.order;
    scan.limit = if path.ordered || asked.order.is_empty() { asked.limit } else { None };
    path.ordered
}

fn settle_project(input: &mut Node, exprs: &[Expr], asked: Asked) -> bool {
    let mut columns = BTreeSet::new();
    add(&mut columns, exprs);
    // An order over projected columns is one over what they are made of.
    let order: Option<Vec<SortKey>> = asked
        .order
        .iter()
        .map(|key| match &key.expr {
            Expr::Column(position) => {
                Some(SortKey { expr: exprs.get(*position as usize)?.clone(), ..key.clone() })
            }
            _ => None,
        })
        .collect();
    let wanted = asked.order.is_empty();
    let known = order.is_some();
    let below = Asked { columns, order: order.unwrap_or_default(), limit: asked.limit };
    let ordered = settle(input, below);
    wanted || (known && ordered)
}

fn settle_join(join: &mut Join, asked: Asked) -> bool {
    let mut columns = asked.columns;
    add(&mut columns, &join.conditions);
    let left_width = u32::try_from(join.left_width).expect("columns are few");
    let mut left: BTreeSet<u32> = columns.iter().copied().filter(|c| *c < left_width).collect();
    let mut right: BTreeSet<u32> =
        columns.iter().filter(|c| **c >= left_width).map(|c| c - left_width).collect();
    for (left_expr, right_expr) in &join.equal {
        add(&mut left, std::slice::from_ref(left_expr));
        add(&mut right, std::slice::from_ref(right_expr));
    }
    settle(&mut join.left, Asked { columns: left, ..Asked::default() });
    settle(&mut join.right, Asked { columns: right, ..Asked::default() });
    asked.order.is_empty()
}

fn settle_aggregate(aggregate: &mut Aggregate, asked: &Asked) -> bool {
    let mut columns = BTreeSet::new();
    add(&mut columns, &aggregate.group);
    for call in &aggregate.calls {
        add(&mut columns, &call.args);
        add(&mut columns, call.filter.as_slice());
    }
    settle(&mut aggregate.input, Asked { columns, ..Asked::default() });
    asked.order.is_empty()
}

fn settle_lock(lock: &mut LockRows, asked: Asked) -> bool {
    let mut below = asked;
    for part in &lock.table.primary.columns {
        let position = lock.offset + lock.table.position(part.column);
        below.columns.insert(u32::try_from(position).expect("columns are few"));
    }
    settle(&mut lock.input, below)
}

fn add(columns: &mut BTreeSet<u32>, exprs: &[Expr]) {
    for expr in exprs {
        expr.columns(&mut |column| {
            columns.insert(column);
        });
    }
}

/// How many columns a node's rows have.
#[must_use]
pub fn width(node: &Node) -> u32 {
    let width = match node {
        Node::Rows(rows) => rows.first().map_or(0, Vec::len),
        Node::Scan(scan) => scan.table.columns.len(),
        Node::Series { .. } | Node::Unnest(_) => 1,
        Node::Shared(shared) => shared.width,
        Node::Filter { input, .. }
        | Node::Sort { input, .. }
        | Node::Distinct { input, .. }
        | Node::Limit { input, .. } => return stack::guard(|| self::width(input)),
        Node::Project { exprs, .. } => exprs.len(),
        Node::Join(join) => join.left_width + join.right_width,
        Node::Aggregate(aggregate) => aggregate.group.len() + aggregate.calls.len(),
        Node::SetOperation { left, .. } => return stack::guard(|| self::width(left)),
        Node::Lock(lock) => return stack::guard(|| self::width(&lock.input)),
    };
    u32::try_from(width).expect("columns are few")
}
