//! Items of SELECT lists: their names, and what ORDER BY and GROUP BY mean by them.

use expr::{Expr, SqlError, SqlState, Typed};
use sqlparser::ast;

use super::Scope;
use crate::{
    parse::fold,
    plan::{Node, SortKey},
    session::ResultColumn,
};

/// An item of a SELECT list.
pub(super) struct Item {
    /// The expression.
    pub bound: Typed,
    /// The name of its column.
    pub name: String,
}

pub(super) fn order_exprs(
    order_by: Option<&ast::OrderBy>,
) -> Result<&[ast::OrderByExpr], SqlError> {
    match order_by {
        None => Ok(&[]),
        Some(ast::OrderBy { kind: ast::OrderByKind::Expressions(exprs), interpolate: None }) => {
            Ok(exprs)
        }
        Some(_) => Err(SqlError::unsupported("this form of ORDER BY")),
    }
}

pub(super) fn sort_key(expr: Expr, order: &ast::OrderByExpr) -> Result<SortKey, SqlError> {
    if order.with_fill.is_some() {
        return Err(SqlError::unsupported("WITH FILL"));
    }
    let descending = match &order.options.sort {
        None => false,
        Some(ast::OrderBySort::Asc) => false,
        Some(ast::OrderBySort::Desc) => true,
        Some(_) => return Err(SqlError::unsupported("ORDER BY ... USING")),
    };
    // NULL counts as greater than everything, unless told otherwise.
    Ok(SortKey { expr, descending, nulls_first: order.options.nulls_first.unwrap_or(descending) })
}

pub(super) fn sorted(node: Node, keys: Vec<SortKey>) -> Node {
    if keys.is_empty() { node } else { Node::Sort { input: Box::new(node), keys } }
}

pub(super) fn limited(node: Node, limit: Option<Expr>, offset: Option<Expr>) -> Node {
    if limit.is_none() && offset.is_none() {
        return node;
    }
    Node::Limit { input: Box::new(node), limit, offset }
}

pub(super) fn check_distinct_on(on: &[Expr], keys: &[SortKey]) -> Result<(), SqlError> {
    let leading = keys.iter().take(on.len());
    if leading.into_iter().all(|key| on.contains(&key.expr)) {
        return Ok(());
    }
    Err(SqlError::new(
        SqlState::INVALID_COLUMN_REFERENCE,
        "SELECT DISTINCT ON expressions must match initial ORDER BY expressions",
    ))
}

/// The item that a whole number or a bare name means.
pub(super) fn item_named(
    expr: &ast::Expr,
    items: &[Item],
    clause: &str,
) -> Result<Option<usize>, SqlError> {
    match expr {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::Number(digits, _) => {
                let position = digits.parse::<usize>().ok();
                match position.filter(|position| (1..=items.len()).contains(position)) {
                    Some(position) => Ok(Some(position - 1)),
                    None => Err(SqlError::new(
                        SqlState::INVALID_COLUMN_REFERENCE,
                        format!("{clause} position {digits} is not in select list"),
                    )),
                }
            }
            _ => Ok(None),
        },
        ast::Expr::Identifier(ident) => {
            let name = fold(ident);
            let mut found = items.iter().enumerate().filter(|(_, item)| item.name == name);
            match (found.next(), found.next()) {
                (Some((position, first)), Some((_, second)))
                    if first.bound.expr != second.bound.expr =>
                {
                    let _ambiguous = position;
                    Err(SqlError::new(
                        SqlState::AMBIGUOUS_COLUMN,
                        format!("{clause} \"{name}\" is ambiguous"),
                    ))
                }
                (Some((position, _)), _) => Ok(Some(position)),
                (None, _) => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

/// The column of a result that ORDER BY behind a set operation means.
pub(super) fn result_column(
    expr: &ast::Expr,
    columns: &[ResultColumn],
) -> Result<Option<u32>, SqlError> {
    let items: Vec<Item> = columns
        .iter()
        .enumerate()
        .map(|(position, column)| Item {
            bound: Typed::column(u32::try_from(position).expect("few"), column.ty),
            name: column.name.clone(),
        })
        .collect();
    let found = item_named(expr, &items, "ORDER BY")?;
    Ok(found.map(|position| u32::try_from(position).expect("few")))
}

pub(super) fn wildcard(scope: &Scope, relation: Option<&str>) -> Result<Vec<Item>, SqlError> {
    let positions = scope.wildcard(relation)?;
    Ok(positions
        .into_iter()
        .map(|position| {
            let column = &scope.columns[position as usize];
            Item { bound: Typed::column(position, column.ty), name: column.name.clone() }
        })
        .collect())
}

pub(super) fn plain_wildcard(options: &ast::WildcardAdditionalOptions) -> Result<(), SqlError> {
    let ast::WildcardAdditionalOptions {
        wildcard_token: _,
        opt_ilike: None,
        opt_exclude: None,
        opt_except: None,
        opt_replace: None,
        opt_rename: None,
        opt_alias: None,
    } = options
    else {
        return Err(SqlError::unsupported_all("options of *"));
    };
    Ok(())
}

/// The name PostgreSQL gives an item without an alias.
pub(super) fn item_name(expr: &ast::Expr) -> String {
    named(expr).map_or_else(|| "?column?".to_owned(), |(name, _)| name)
}

/// Whether a name stays under a cast or as what CASE yields else, or gives way to a name of those.
#[derive(Clone, Copy, PartialEq)]
enum Strength {
    GivesWay,
    Stays,
}

/// The name that a part of an item suggests.
fn named(expr: &ast::Expr) -> Option<(String, Strength)> {
    use Strength::{GivesWay, Stays};
    let name = match expr {
        ast::Expr::Identifier(ident) => fold(ident),
        ast::Expr::CompoundIdentifier(idents) => fold(idents.last()?),
        ast::Expr::Nested(inner) | ast::Expr::Collate { expr: inner, .. } => return named(inner),
        ast::Expr::CompoundFieldAccess { root, .. } => return named(root),
        ast::Expr::Function(function) => fold(function.name.0.last()?.as_ident()?),
        ast::Expr::Cast { expr, data_type, .. } => {
            let inner = named(expr).filter(|(_, strength)| *strength == Stays);
            return inner.or_else(|| Some((type_name(data_type)?, GivesWay)));
        }
        ast::Expr::TypedString(typed) => return Some((type_name(&typed.data_type)?, GivesWay)),
        ast::Expr::Interval(_) => return Some(("interval".to_owned(), GivesWay)),
        ast::Expr::Case { else_result, .. } => {
            let inner = else_result.as_deref().and_then(named);
            let inner = inner.filter(|(_, strength)| *strength == Stays);
            return inner.or_else(|| Some(("case".to_owned(), GivesWay)));
        }
        ast::Expr::Array(_) => "array".to_owned(),
        ast::Expr::Exists { .. } => "exists".to_owned(),
        ast::Expr::Extract { .. } => "extract".to_owned(),
        ast::Expr::Ceil { .. } => "ceil".to_owned(),
        ast::Expr::Floor { .. } => "floor".to_owned(),
        ast::Expr::Position { .. } => "position".to_owned(),
        ast::Expr::Substring { shorthand, .. } => {
            if *shorthand {
                "substr".to_owned()
            } else {
                "substring".to_owned()
            }
        }
        ast::Expr::Trim { trim_where, .. } => match trim_where {
            Some(ast::TrimWhereField::Leading) => "ltrim".to_owned(),
            Some(ast::TrimWhereField::Trailing) => "rtrim".to_owned(),
            Some(ast::TrimWhereField::Both) | None => "btrim".to_owned(),
        },
        ast::Expr::AtTimeZone { .. } => "timezone".to_owned(),
        ast::Expr::Subquery(query) => match &*query.body {
            ast::SetExpr::Select(select) => match select.projection.first()? {
                ast::SelectItem::UnnamedExpr(expr) => item_name(expr),
                ast::SelectItem::ExprWithAlias { alias, .. } => fold(alias),
                _ => return None,
            },
            _ => return None,
        },
        _ => return None,
    };
    Some((name, Stays))
}

/// What a cast to the type is called: of an array, its elements' type.
fn type_name(data_type: &ast::DataType) -> Option<String> {
    let ty = crate::types::from_ast(data_type).ok()?;
    Some(ty.element().unwrap_or(ty).internal_name())
}
