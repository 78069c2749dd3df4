//! GROUP BY: the groups, and expressions over them.

use expr::{Expr, SqlError, SqlState};
use sqlparser::ast;

use super::{
    Binder, Scope,
    calls::AGGREGATE,
    items::{Item, item_named},
};
use crate::{parse::fold, plan::Node};

impl Binder<'_> {
    pub(super) fn group_by(
        &mut self,
        group_by: &ast::GroupByExpr,
        items: &[Item],
        scope: &Scope,
    ) -> Result<Vec<Expr>, SqlError> {
        let ast::GroupByExpr::Expressions(exprs, modifiers) = group_by else {
            return Err(SqlError::unsupported("GROUP BY ALL"));
        };
        if !modifiers.is_empty() {
            return Err(SqlError::unsupported("ROLLUP, CUBE or GROUPING SETS"));
        }
        let mut group: Vec<Expr> = Vec::new();
        for expr in exprs {
            // A column in sight wins over a name of the list.
            let by_scope = match expr {
                ast::Expr::Identifier(ident) => scope.find(None, &fold(ident)).is_ok(),
                _ => false,
            };
            let named = if by_scope { Ok(None) } else { item_named(expr, items, "GROUP BY") };
            let named = named.map_err(|error| self.misused(error, expr))?;
            let bound = match named {
                Some(position) => items[position].bound.expr.clone(),
                None => self.scalar(expr, scope)?.expr,
            };
            let aggregates =
                bound.any(&mut |part| matches!(part, Expr::Column(column) if *column >= AGGREGATE));
            if aggregates {
                return Err(SqlError::new(
                    SqlState::GROUPING_ERROR,
                    "aggregate functions are not allowed in GROUP BY",
                ));
            }
            if !group.contains(&bound) {
                group.push(bound);
            }
        }
        Ok(group)
    }
}

/// Grouped by a table's whole primary key, its other columns have one value each: those in use join
/// the group.
pub(super) fn add_dependent(
    group: &mut Vec<Expr>,
    node: &Node,
    scope: &Scope,
    in_use: &dyn Fn(&Expr) -> bool,
) {
    let mut below = node;
    while let Node::Filter { input, .. } = below {
        below = input;
    }
    let mut tables = Vec::new();
    collect_tables(below, 0, &mut tables);
    for (offset, table) in tables {
        let column = |position: usize| Expr::Column(u32::try_from(offset + position).expect("few"));
        let keyed =
            table.positions(&table.primary).into_iter().all(|at| group.contains(&column(at)));
        if keyed {
            for position in 0..table.columns.len() {
                let dependent = column(position);
                let visible = offset + position < scope.width();
                if visible && in_use(&dependent) && !group.contains(&dependent) {
                    group.push(dependent);
                }
            }
        }
    }
}

fn collect_tables<'n>(
    node: &'n Node,
    offset: usize,
    out: &mut Vec<(usize, &'n crate::catalog::Table)>,
) {
    match node {
        Node::Scan(scan) => out.push((offset, &scan.table)),
        Node::Join(join) => {
            collect_tables(&join.left, offset, out);
            collect_tables(&join.right, offset + join.left_width, out);
        }
        Node::Filter { input, .. } => collect_tables(input, offset, out),
        _ => {}
    }
}

/// An expression over the rows of the groups.
pub(super) fn regroup(expr: Expr, group: &[Expr], scope: &Scope) -> Result<Expr, SqlError> {
    if let Some(place) = group.iter().position(|grouped| *grouped == expr) {
        return Ok(Expr::Column(u32::try_from(place).expect("few")));
    }
    match expr {
        Expr::Column(column) if column >= AGGREGATE => {
            let groups = u32::try_from(group.len()).expect("few");
            Ok(Expr::Column(column - AGGREGATE + groups))
        }
        Expr::Column(column) => {
            let known = scope.columns.get(column as usize);
            let name = known
                .map_or_else(String::new, |known| format!("{}.{}", known.relation, known.name));
            Err(SqlError::new(
                SqlState::GROUPING_ERROR,
                format!(
                    "column \"{name}\" must appear in the GROUP BY clause or be used in an \
                     aggregate function"
                ),
            ))
        }
        mut expr => {
            for child in expr.children_mut() {
                *child = regroup(std::mem::replace(child, Expr::NULL), group, scope)?;
            }
            Ok(expr)
        }
    }
}
