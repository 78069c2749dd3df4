//! Queries: SELECT, VALUES, set operations, WITH, ORDER BY, LIMIT.
//!
//! ```text
//!   FROM -> WHERE -> GROUP BY -> HAVING -> (DISTINCT) -> ORDER BY -> FOR UPDATE -> LIMIT -> SELECT list
//! ```
//!
//! The list is projected last, so that an order may use what the list leaves out; with DISTINCT it is
//! projected first, and the order must be over the list.

use expr::{CastContext, Expr, SqlError, SqlState, Type, Typed, cast::can_cast};
use kv::LockWait;
use sqlparser::ast;

use super::{
    Binder, Bound, Scope,
    from::From,
    group::{add_dependent, regroup},
    items::{
        Item, check_distinct_on, item_name, item_named, limited, order_exprs, plain_wildcard,
        result_column, sort_key, sorted, wildcard,
    },
    restrict,
};
use crate::{
    parse::fold,
    plan::{Aggregate, LockRows, Node},
    session::ResultColumn,
};

/// The most columns of a result.
const MAX_RESULT_COLUMNS: usize = 1_664;

/// `54011` if a result is wider than a client may be sent.
pub(super) fn check_width(columns: &[ResultColumn]) -> Result<(), SqlError> {
    if columns.len() > MAX_RESULT_COLUMNS {
        return Err(SqlError::new(
            SqlState::TOO_MANY_COLUMNS,
            format!("target lists can have at most {MAX_RESULT_COLUMNS} entries"),
        ));
    }
    Ok(())
}

/// What stands around a SELECT.
struct Around<'q> {
    order: &'q [ast::OrderByExpr],
    limit: Option<Expr>,
    offset: Option<Expr>,
    locks: &'q [ast::LockClause],
}

impl Binder<'_> {
    /// A query.
    pub(crate) fn query(&mut self, query: &ast::Query) -> Result<Bound, SqlError> {
        self.deeper(|binder| binder.whole_query(query))
    }

    fn whole_query(&mut self, query: &ast::Query) -> Result<Bound, SqlError> {
        let ast::Query {
            with,
            body,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause: None,
            settings: None,
            format_clause: None,
            pipe_operators,
        } = query
        else {
            return Err(SqlError::unsupported("this clause of a query"));
        };
        if !pipe_operators.is_empty() {
            return Err(SqlError::unsupported_all("pipe operators"));
        }
        let before = self.ctes.len();
        if let Some(with) = with {
            self.with(with, query)?;
        }
        let (limit, offset) = self.limit(limit_clause.as_ref(), fetch.as_ref())?;
        let around = Around { order: order_exprs(order_by.as_ref())?, limit, offset, locks };
        let bound = match &**body {
            ast::SetExpr::Select(select) => self.select(select, around),
            other => self.other_body(other, around),
        };
        self.ctes.truncate(before);
        bound
    }

    /// LIMIT or FETCH FIRST, and OFFSET.
    fn limit(
        &mut self,
        clause: Option<&ast::LimitClause>,
        fetch: Option<&ast::Fetch>,
    ) -> Result<(Option<Expr>, Option<Expr>), SqlError> {
        let (mut limit, offset) = match clause {
            None => (None, None),
            Some(ast::LimitClause::LimitOffset { limit, offset, limit_by })
                if limit_by.is_empty() =>
            {
                (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
            }
            Some(_) => return Err(SqlError::syntax("LIMIT #,# syntax is not supported")),
        };
        let one = ast::Expr::value(ast::Value::Number("1".to_owned(), false));
        if let Some(fetch) = fetch {
            if fetch.with_ties {
                return Err(SqlError::unsupported("WITH TIES"));
            }
            if fetch.percent || limit.is_some() {
                return Err(SqlError::syntax(
                    "FETCH FIRST takes a number of rows, beside no LIMIT",
                ));
            }
            limit = Some(fetch.quantity.as_ref().unwrap_or(&one));
        }
        let limit = limit.map(|limit| self.count(limit, "LIMIT")).transpose()?;
        let offset = offset.map(|offset| self.count(offset, "OFFSET")).transpose()?;
        Ok((limit, offset))
    }

    /// How many rows: as it would be stored into a bigint, so 1.5 is 2.
    fn count(&mut self, expr: &ast::Expr, clause: &str) -> Result<Expr, SqlError> {
        let bound = self.scalar(expr, &Scope::default())?;
        if !can_cast(bound.ty, Type::Int8, CastContext::Assignment) {
            let ty = bound.ty.base();
            return Err(SqlError::type_mismatch(format!(
                "argument of {clause} must be type bigint, not type {ty}"
            )));
        }
        self.coerce(bound, Type::Int8, CastContext::Assignment).map(|bound| bound.expr)
    }

    /// VALUES, set operations, a query in brackets; ordered by columns of the result only.
    fn other_body(&mut self, body: &ast::SetExpr, around: Around<'_>) -> Result<Bound, SqlError> {
        if !around.locks.is_empty() {
            return Err(SqlError::unsupported("FOR UPDATE here"));
        }
        let Bound { mut node, columns } = self.set_expr(body)?;
        let mut keys = Vec::new();
        for order in around.order {
            let position = result_column(&order.expr, &columns)?.ok_or_else(|| {
                SqlError::new(
                    SqlState::INVALID_COLUMN_REFERENCE,
                    "ORDER BY here takes result columns only, not expressions",
                )
            })?;
            keys.push(sort_key(Expr::Column(position), order)?);
        }
        if !keys.is_empty() {
            node = Node::Sort { input: Box::new(node), keys };
        }
        Ok(Bound { node: limited(node, around.limit, around.offset), columns })
    }

    pub(super) fn set_expr(&mut self, body: &ast::SetExpr) -> Result<Bound, SqlError> {
        match body {
            ast::SetExpr::Select(select) => {
                let around = Around { order: &[], limit: None, offset: None, locks: &[] };
                self.select(select, around)
            }
            ast::SetExpr::Query(query) => self.query(query),
            ast::SetExpr::Values(values) => self.values(values),
            // A name alone was spelled out as a SELECT before.
            ast::SetExpr::Table(_) => Err(SqlError::syntax("TABLE takes a name and nothing else")),
            ast::SetExpr::SetOperation { .. } => self.set_operations(body),
            ast::SetExpr::Insert(_)
            | ast::SetExpr::Update(_)
            | ast::SetExpr::Delete(_)
            | ast::SetExpr::Merge(_) => {
                Err(SqlError::unsupported("a data-modifying statement in a query"))
            }
        }
    }

    /// `42601` unless a row of VALUES has as many expressions as the first one.
    pub(super) fn check_width(
        &self,
        row: &ast::Parens<Vec<ast::Expr>>,
        width: usize,
    ) -> Result<(), SqlError> {
        if row.content.len() == width {
            return Ok(());
        }
        let error = SqlError::syntax("VALUES lists must all be the same length");
        Err(match row.content.first() {
            Some(first) => self.misused(error, first),
            None => error,
        })
    }

    pub(super) fn values(&mut self, values: &ast::Values) -> Result<Bound, SqlError> {
        let width = values.rows.first().map_or(0, |row| row.content.len());
        let mut rows: Vec<Vec<Typed>> = Vec::with_capacity(values.rows.len());
        for row in &values.rows {
            self.check_width(row, width)?;
            let mut bound = Vec::with_capacity(width);
            for expr in &row.content {
                bound.push(self.scalar(expr, &Scope::default())?);
            }
            rows.push(bound);
        }
        let mut columns = Vec::with_capacity(width);
        for position in 0..width {
            let types: Vec<Type> = rows.iter().map(|row| row[position].ty).collect();
            let ty = expr::bind::common_type(&types, "VALUES")?;
            columns.push(ResultColumn { name: format!("column{}", position + 1), ty });
        }
        let mut out = Vec::with_capacity(rows.len());
        for row in rows {
            let mut exprs = Vec::with_capacity(width);
            for (bound, column) in row.into_iter().zip(&columns) {
                exprs.push(self.implicit(bound, column.ty)?.expr);
            }
            out.push(exprs);
        }
        Ok(Bound { node: Node::Rows(out), columns })
    }

    fn select(&mut self, select: &ast::Select, around: Around<'_>) -> Result<Bound, SqlError> {
        refuse_clauses(select)?;
        let From { mut node, scope } = self.from(&select.from)?;
        let outer = self.aggregates.take();
        if let Some(condition) = &select.selection {
            self.no_aggregates = "aggregate functions are not allowed in WHERE";
            let condition = self.condition(condition, &scope, "WHERE")?;
            for part in condition.into_conjuncts() {
                node = restrict(node, part);
            }
        }
        self.aggregates = Some(Vec::new());
        let mut items = self.select_list(&select.projection, &scope)?;
        let mut order = Vec::with_capacity(around.order.len());
        for key in around.order {
            order.push((self.item_or_expr("ORDER BY", &key.expr, &items, &scope)?, key));
        }
        let mut on = self.distinct_on(select, &items, &scope)?;
        let mut having = match &select.having {
            Some(having) => Some(self.condition(having, &scope, "HAVING")?),
            None => None,
        };
        let calls = self.aggregates.take().expect("put there");
        self.no_aggregates = "aggregate functions are not allowed in GROUP BY";
        let mut group = self.group_by(&select.group_by, &items, &scope)?;
        self.aggregates = outer;
        let grouped = !group.is_empty() || !calls.is_empty() || having.is_some();
        if grouped {
            let asked = group.len();
            add_dependent(&mut group, &node, &scope, &|column| {
                let uses = |expr: &Expr| expr.any(&mut |part| part == column);
                items.iter().any(|item| uses(&item.bound.expr))
                    || order.iter().map(|(expr, _)| expr).chain(&on).any(uses)
                    || having.as_ref().is_some_and(uses)
            });
            let regroup = |expr: Expr| regroup(expr, &group, &scope);
            for (at, item) in items.iter_mut().enumerate() {
                let regrouped = regroup(std::mem::replace(&mut item.bound.expr, Expr::NULL));
                item.bound.expr =
                    regrouped.map_err(|error| self.at_item(error, &select.projection, at))?;
            }
            for expr in order.iter_mut().map(|(expr, _)| expr).chain(&mut on) {
                *expr = regroup(std::mem::replace(expr, Expr::NULL))?;
            }
            having = having.map(regroup).transpose()?;
            node = Node::Aggregate(Box::new(Aggregate { input: node, group, asked, calls }));
            if let Some(having) = having {
                node = restrict(node, having);
            }
        }
        if !around.locks.is_empty() && (grouped || select.distinct.is_some()) {
            return Err(SqlError::unsupported("FOR UPDATE with GROUP BY, aggregates or DISTINCT"));
        }
        self.finish_select(select, node, items, (order, on), around)
    }

    fn finish_select(
        &mut self,
        select: &ast::Select,
        mut node: Node,
        items: Vec<Item>,
        (order, on): (Vec<(Expr, &ast::OrderByExpr)>, Vec<Expr>),
        around: Around<'_>,
    ) -> Result<Bound, SqlError> {
        let columns: Vec<ResultColumn> = items
            .iter()
            .map(|item| ResultColumn { name: item.name.clone(), ty: item.bound.ty })
            .collect();
        check_width(&columns)?;
        let exprs: Vec<Expr> = items.into_iter().map(|item| item.bound.expr).collect();
        let project = |node| Node::Project { input: Box::new(node), exprs: exprs.clone() };
        let mut keys = Vec::with_capacity(order.len());
        match &select.distinct {
            Some(ast::Distinct::Distinct) => {
                for (expr, key) in order {
                    let place = exprs.iter().position(|item| *item == expr).ok_or_else(|| {
                        SqlError::new(
                            SqlState::INVALID_COLUMN_REFERENCE,
                            "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
                        )
                    })?;
                    let place = u32::try_from(place).expect("few");
                    keys.push(sort_key(Expr::Column(place), key)?);
                }
                let node = Node::Distinct { input: Box::new(project(node)), on: None };
                let node = sorted(node, keys);
                return Ok(Bound { node: limited(node, around.limit, around.offset), columns });
            }
            Some(ast::Distinct::On(_)) => {
                for (expr, key) in order {
                    keys.push(sort_key(expr, key)?);
                }
                check_distinct_on(&on, &keys)?;
                node = Node::Distinct { input: Box::new(sorted(node, keys)), on: Some(on) };
            }
            Some(ast::Distinct::All) | None => {
                for (expr, key) in order {
                    keys.push(sort_key(expr, key)?);
                }
                node = sorted(node, keys);
            }
        }
        for lock in around.locks {
            node = self.lock(node, lock)?;
        }
        let node = limited(node, around.limit, around.offset);
        Ok(Bound { node: project(node), columns })
    }

    /// FOR UPDATE over a SELECT from one table.
    fn lock(&mut self, node: Node, clause: &ast::LockClause) -> Result<Node, SqlError> {
        let wait = match clause.nonblock {
            None => LockWait::Wait,
            Some(ast::NonBlock::Nowait) => LockWait::NoWait,
            Some(ast::NonBlock::SkipLocked) => return Err(SqlError::unsupported("SKIP LOCKED")),
        };
        let mut below = &node;
        let scan = loop {
            match below {
                Node::Scan(scan) => break scan,
                Node::Filter { input, .. } | Node::Sort { input, .. } => below = input,
                _ => {
                    return Err(SqlError::unsupported(
                        "FOR UPDATE over anything but one plain table",
                    ));
                }
            }
        };
        if let Some(of) = &clause.of
            && super::table_name(of)?.0 != scan.alias
        {
            return Err(SqlError::new(
                SqlState::UNDEFINED_TABLE,
                format!("relation \"{of}\" in FOR UPDATE clause not found in FROM clause"),
            ));
        }
        let table = scan.table.clone();
        Ok(Node::Lock(Box::new(LockRows { input: node, table, offset: 0, wait })))
    }

    fn select_list(
        &mut self,
        projection: &[ast::SelectItem],
        scope: &Scope,
    ) -> Result<Vec<Item>, SqlError> {
        let mut items = Vec::new();
        for item in projection {
            match item {
                ast::SelectItem::UnnamedExpr(expr) => {
                    items.push(Item { bound: self.scalar(expr, scope)?, name: item_name(expr) });
                }
                ast::SelectItem::ExprWithAlias { alias, .. } if alias.quote_style == Some('\'') => {
                    let message = format!("syntax error at or near \"'{}'\"", alias.value);
                    return Err(self.at(SqlError::syntax(message), alias));
                }
                ast::SelectItem::ExprWithAlias { expr, alias } => {
                    items.push(Item { bound: self.scalar(expr, scope)?, name: fold(alias) });
                }
                ast::SelectItem::Wildcard(options) => {
                    plain_wildcard(options)?;
                    if scope.width() == 0 {
                        let message = "SELECT * with no tables specified is not valid";
                        return Err(SqlError::syntax(message));
                    }
                    items.extend(wildcard(scope, None)?);
                }
                ast::SelectItem::QualifiedWildcard(
                    ast::SelectItemQualifiedWildcardKind::ObjectName(name),
                    options,
                ) => {
                    plain_wildcard(options)?;
                    let (relation, _) = super::table_name(name)?;
                    items.extend(wildcard(scope, Some(&relation))?);
                }
                other => return Err(SqlError::unsupported(format!("the item {other}"))),
            }
        }
        Ok(items)
    }

    /// A RETURNING list.
    pub(super) fn returning(
        &mut self,
        projection: &[ast::SelectItem],
        scope: &Scope,
    ) -> Result<(Vec<Expr>, Vec<ResultColumn>), SqlError> {
        let items = self.select_list(projection, scope)?;
        let mut columns = Vec::with_capacity(items.len());
        let mut exprs = Vec::with_capacity(items.len());
        for item in items {
            let bound = expr::bind::default_to_text(item.bound, self.context);
            let bound = self.settled(bound)?;
            columns.push(ResultColumn { name: item.name, ty: bound.ty });
            exprs.push(bound.expr);
        }
        Ok((exprs, columns))
    }

    /// The error about a column that an item is; where the item only uses the column, the tree does
    /// not tell at which place.
    fn at_item(&self, error: SqlError, projection: &[ast::SelectItem], at: usize) -> SqlError {
        let mut exprs = projection.iter().map(|item| match item {
            ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. } => {
                Some(expr)
            }
            _ => None,
        });
        // Behind a star the items are not counted as the list is.
        let before: Option<Vec<&ast::Expr>> = exprs.by_ref().take(at + 1).collect();
        match before.as_deref().and_then(<[_]>::last) {
            Some(expr @ (ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_))) => {
                self.misused(error, expr)
            }
            _ => error,
        }
    }

    /// The expressions of DISTINCT ON; none if it is not there.
    fn distinct_on(
        &mut self,
        select: &ast::Select,
        items: &[Item],
        scope: &Scope,
    ) -> Result<Vec<Expr>, SqlError> {
        let Some(ast::Distinct::On(on)) = &select.distinct else { return Ok(Vec::new()) };
        on.iter().map(|expr| self.item_or_expr("DISTINCT ON", expr, items, scope)).collect()
    }

    /// What ORDER BY and DISTINCT ON name: a column of the result by position or name, else an
    /// expression.
    fn item_or_expr(
        &mut self,
        clause: &str,
        expr: &ast::Expr,
        items: &[Item],
        scope: &Scope,
    ) -> Result<Expr, SqlError> {
        let named = item_named(expr, items, clause);
        match named.map_err(|error| self.misused(error, expr))? {
            Some(position) => Ok(items[position].bound.expr.clone()),
            None => Ok(self.scalar(expr, scope)?.expr),
        }
    }
}

/// `0A000` for clauses of other databases and those not built.
fn refuse_clauses(select: &ast::Select) -> Result<(), SqlError> {
    let refused = [
        (!select.named_window.is_empty(), "WINDOW"),
        (select.into.is_some(), "SELECT INTO"),
        (select.top.is_some(), "TOP"),
        (select.exclude.is_some(), "EXCLUDE"),
        (!select.lateral_views.is_empty(), "LATERAL VIEW"),
        (select.prewhere.is_some(), "PREWHERE"),
        (!select.connect_by.is_empty(), "CONNECT BY"),
        (!select.cluster_by.is_empty(), "CLUSTER BY"),
        (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
        (!select.sort_by.is_empty(), "SORT BY"),
        (select.qualify.is_some(), "QUALIFY"),
        (select.value_table_mode.is_some(), "SELECT AS VALUE"),
        (select.flavor != ast::SelectFlavor::Standard, "FROM before SELECT"),
        (select.select_modifiers.is_some(), "this modifier of SELECT"),
    ];
    match refused.into_iter().find(|(present, _)| *present) {
        Some((_, clause)) => Err(SqlError::unsupported(clause)),
        None => Ok(()),
    }
}
