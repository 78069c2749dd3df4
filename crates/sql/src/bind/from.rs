//! FROM: tables, subqueries, functions and joins.

use expr::{BinaryOp, Expr, SqlError, SqlState, Type};
use keys::IndexId;
use sqlparser::ast;

use super::{
    Binder, Bound, Scope, ScopeColumn, restrict,
    restrict::{joined_on, pair},
    table_scope,
};
use crate::{
    parse::fold,
    plan::{JoinKind, Node, Scan, ScanOrder},
    postgres,
    session::ResultColumn,
};

/// The most tables in one FROM.
const MAX_TABLES: usize = 64;

/// What stands in FROM: its rows and the names of their columns.
pub(crate) struct From {
    /// What yields the rows.
    pub node: Node,
    /// Their columns.
    pub scope: Scope,
}

impl Binder<'_> {
    /// All of FROM. Without FROM: one row without columns.
    pub(crate) fn from(&mut self, tables: &[ast::TableWithJoins]) -> Result<From, SqlError> {
        let count: usize = tables.iter().map(|table| 1 + table.joins.len()).sum();
        if count > MAX_TABLES {
            return Err(SqlError::new(
                SqlState::STATEMENT_TOO_COMPLEX,
                format!("at most {MAX_TABLES} tables may be joined"),
            ));
        }
        let mut all: Option<From> = None;
        for table in tables {
            // What stands before is out of sight, too, but known.
            self.outer.push(all.as_ref().map_or_else(Scope::default, |all| all.scope.clone()));
            let next = self.table_with_joins(table);
            self.outer.pop();
            let next = next?;
            all = Some(match all {
                None => next,
                Some(before) => cross(before, next)?,
            });
        }
        let nothing = || From { node: Node::Rows(vec![Vec::new()]), scope: Scope::default() };
        Ok(all.unwrap_or_else(nothing))
    }

    fn table_with_joins(&mut self, table: &ast::TableWithJoins) -> Result<From, SqlError> {
        self.deeper(|binder| binder.joined_tables(table))
    }

    fn joined_tables(&mut self, table: &ast::TableWithJoins) -> Result<From, SqlError> {
        let mut left = self.factor(&table.relation)?;
        for join in &table.joins {
            if join.global {
                return Err(SqlError::unsupported("GLOBAL JOIN"));
            }
            self.outer.push(left.scope.clone());
            let right = self.factor(&join.relation);
            self.outer.pop();
            let right = right?;
            left = self.join(left, right, &join.join_operator)?;
        }
        Ok(left)
    }

    fn join(
        &mut self,
        left: From,
        right: From,
        operator: &ast::JoinOperator,
    ) -> Result<From, SqlError> {
        use ast::JoinOperator as Op;
        let (kind, constraint) = match operator {
            Op::Join(constraint) | Op::Inner(constraint) => (JoinKind::Inner, constraint),
            Op::Left(constraint) | Op::LeftOuter(constraint) => (JoinKind::Left, constraint),
            Op::Right(constraint) | Op::RightOuter(constraint) => (JoinKind::Right, constraint),
            Op::FullOuter(constraint) => (JoinKind::Full, constraint),
            Op::CrossJoin(ast::JoinConstraint::None) => return cross(left, right),
            _ => return Err(SqlError::unsupported("this kind of join")),
        };
        match constraint {
            ast::JoinConstraint::On(condition) => {
                let join = pair(kind, left.node, right.node);
                let scope = left.scope.join(right.scope)?;
                let condition = self.condition(condition, &scope, "JOIN/ON")?;
                let node = on_all(join, condition);
                Ok(From { node, scope })
            }
            ast::JoinConstraint::Using(names) => {
                let names: Result<Vec<String>, SqlError> = names
                    .iter()
                    .map(|name| match name.0.as_slice() {
                        [part] => part.as_ident().map(fold).ok_or_else(|| bad_using(name)),
                        _ => Err(bad_using(name)),
                    })
                    .collect();
                self.using(kind, left, right, &names?)
            }
            ast::JoinConstraint::Natural => {
                let names: Vec<String> = left
                    .scope
                    .columns
                    .iter()
                    .filter(|column| !column.hidden)
                    .filter(|column| {
                        right.scope.columns.iter().any(|c| !c.hidden && c.name == column.name)
                    })
                    .map(|column| column.name.clone())
                    .collect();
                if names.is_empty() {
                    return cross(left, right);
                }
                self.using(kind, left, right, &names)
            }
            ast::JoinConstraint::None if kind == JoinKind::Inner => {
                Err(SqlError::syntax("a join needs ON or USING"))
            }
            ast::JoinConstraint::None => Err(SqlError::syntax("a join needs ON or USING")),
        }
    }

    /// `USING (a, b)`: the columns are equal and stand once in `*`, first.
    fn using(
        &mut self,
        kind: JoinKind,
        left: From,
        right: From,
        names: &[String],
    ) -> Result<From, SqlError> {
        if matches!(kind, JoinKind::Right | JoinKind::Full) {
            return Err(SqlError::unsupported("USING with a RIGHT or FULL join")
                .with_hint("Write the condition with ON."));
        }
        let width = left.scope.width();
        let shift = u32::try_from(width).expect("columns are few");
        let mut conditions = Vec::new();
        let mut hidden = Vec::new();
        for name in names {
            let (left_at, left_ty) = left.scope.find(None, name)?;
            let (right_at, right_ty) = right.scope.find(None, name)?;
            let left_side = super::Typed { expr: Expr::Column(left_at), ty: left_ty };
            let right_side = super::Typed { expr: Expr::Column(right_at + shift), ty: right_ty };
            conditions.push(self.binary(BinaryOp::Eq, left_side, right_side)?.expr);
            hidden.push((right_at + shift) as usize);
        }
        let join = pair(kind, left.node, right.node);
        let mut scope = left.scope.join(right.scope)?;
        for position in hidden {
            scope.columns[position].hidden = true;
            scope.columns[position].shadowed = true;
        }
        Ok(From { node: on_all(join, Expr::And(conditions)), scope })
    }

    fn factor(&mut self, factor: &ast::TableFactor) -> Result<From, SqlError> {
        match factor {
            ast::TableFactor::Table {
                name,
                alias,
                args: None,
                with_hints,
                version: None,
                with_ordinality: false,
                partitions,
                json_path: None,
                sample: None,
                index_hints,
            } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => {
                self.named_table(name, alias.as_ref())
            }
            ast::TableFactor::Table {
                name,
                alias,
                args: Some(args),
                with_ordinality: false,
                version: None,
                ..
            } if args.settings.is_none() => {
                let exprs = function_args(&args.args)?;
                self.table_function(name, &exprs, alias.as_ref())
            }
            ast::TableFactor::Function {
                lateral: false,
                name,
                args,
                with_ordinality: false,
                alias,
            } => {
                let exprs = function_args(args)?;
                self.table_function(name, &exprs, alias.as_ref())
            }
            ast::TableFactor::UNNEST {
                alias,
                array_exprs,
                with_offset: false,
                with_offset_alias: None,
                with_ordinality: false,
            } => match array_exprs.as_slice() {
                [array] => self.unnest(array, alias.as_ref()),
                _ => Err(SqlError::unsupported("unnest of several arrays")),
            },
            ast::TableFactor::Derived { lateral: false, subquery, alias, sample: None } => {
                // What stands beside it is no more in its sight in PostgreSQL.
                let beside = self.outer.pop();
                let bound = self.query(subquery);
                self.outer.extend(beside);
                self.derived(bound?, alias.as_ref())
            }
            ast::TableFactor::NestedJoin { table_with_joins, alias: None } => {
                self.table_with_joins(table_with_joins)
            }
            ast::TableFactor::Derived { lateral: true, .. }
            | ast::TableFactor::Function { lateral: true, .. } => {
                Err(SqlError::unsupported("LATERAL"))
            }
            other => Err(SqlError::unsupported(format!("{other} in FROM"))),
        }
    }

    fn named_table(
        &mut self,
        name: &ast::ObjectName,
        alias: Option<&ast::TableAlias>,
    ) -> Result<From, SqlError> {
        if let [part] = name.0.as_slice()
            && let Some(ident) = part.as_ident()
            && let Some(at) = self.ctes.iter().rposition(|cte| cte.name == fold(ident))
        {
            return self.with_query(at, alias);
        }
        let table = self.table(name)?;
        let alias_name = alias.map_or_else(|| table.name.clone(), |alias| fold(&alias.name));
        let mut scope = table_scope(&table, &alias_name);
        if let Some(alias) = alias {
            rename(&mut scope, alias)?;
        }
        let scan = Scan {
            table,
            alias: alias_name,
            index: IndexId::PRIMARY,
            conditions: Vec::new(),
            needed: Vec::new(),
            order: ScanOrder::Forward,
            limit: None,
        };
        Ok(From { node: Node::Scan(Box::new(scan)), scope })
    }

    fn derived(
        &mut self,
        mut bound: Bound,
        alias: Option<&ast::TableAlias>,
    ) -> Result<From, SqlError> {
        self.settle_unknown(&mut bound);
        let Some(alias) = alias else {
            return Err(SqlError::syntax("subquery in FROM must have an alias")
                .with_hint("For example, FROM (SELECT ...) [AS] foo."));
        };
        let mut scope = bound_scope(&bound.columns, &fold(&alias.name));
        rename(&mut scope, alias)?;
        Ok(From { node: bound.node, scope })
    }

    fn table_function(
        &mut self,
        name: &ast::ObjectName,
        args: &[&ast::Expr],
        alias: Option<&ast::TableAlias>,
    ) -> Result<From, SqlError> {
        let parts: Vec<String> =
            name.0.iter().filter_map(|part| part.as_ident().map(fold)).collect();
        let function = parts.last().map_or("", String::as_str);
        match (function, args) {
            ("generate_series", [_, _] | [_, _, _]) => self.series(args, alias),
            ("unnest", [array]) => self.unnest(array, alias),
            ("unnest", [_, _, ..]) => Err(SqlError::unsupported("unnest of several arrays")),
            _ if postgres::has_function(function, args.len()) => {
                Err(SqlError::unsupported(format!("function {name} in FROM")))
            }
            _ => {
                let mut types = Vec::with_capacity(args.len());
                for arg in args {
                    types.push(self.scalar(arg, &Scope::default())?.ty);
                }
                Err(expr::functions::undefined(function, &types))
            }
        }
    }

    fn series(
        &mut self,
        args: &[&ast::Expr],
        alias: Option<&ast::TableAlias>,
    ) -> Result<From, SqlError> {
        let mut bound = Vec::new();
        for arg in args {
            bound.push(self.scalar(arg, &Scope::default())?);
        }
        let wide = bound.iter().any(|arg| arg.ty == Type::Int8);
        let ty = if wide { Type::Int8 } else { Type::Int4 };
        let mut exprs = Vec::new();
        for arg in bound {
            if !arg.ty.is_integer() && arg.ty != Type::Unknown {
                return Err(SqlError::unsupported(format!("generate_series over {}", arg.ty)));
            }
            exprs.push(self.implicit(arg, ty)?.expr);
        }
        let mut exprs = exprs.into_iter();
        let start = exprs.next().expect("two or three");
        let stop = exprs.next().expect("two or three");
        let node = Node::Series { start, stop, step: exprs.next() };
        function_result(node, "generate_series", ty, alias)
    }

    fn unnest(
        &mut self,
        array: &ast::Expr,
        alias: Option<&ast::TableAlias>,
    ) -> Result<From, SqlError> {
        let bound = self.scalar(array, &Scope::default())?;
        let Some(element) = bound.ty.element() else {
            return Err(expr::functions::undefined("unnest", &[bound.ty]));
        };
        function_result(Node::Unnest(bound.expr), "unnest", element, alias)
    }
}

fn bad_using(name: &ast::ObjectName) -> SqlError {
    SqlError::syntax(format!("USING takes column names, not {name}"))
}

/// The expressions of a function's arguments.
pub(crate) fn function_args(args: &[ast::FunctionArg]) -> Result<Vec<&ast::Expr>, SqlError> {
    args.iter()
        .map(|arg| match arg {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Ok(expr),
            other => Err(SqlError::unsupported(format!("the argument {other}"))),
        })
        .collect()
}

fn function_result(
    node: Node,
    name: &str,
    ty: Type,
    alias: Option<&ast::TableAlias>,
) -> Result<From, SqlError> {
    let name = alias.map_or_else(|| name.to_owned(), |alias| fold(&alias.name));
    let column = ScopeColumn { relation: name.clone(), name, ty, hidden: false, shadowed: false };
    let mut scope = Scope { columns: vec![column] };
    if let Some(alias) = alias {
        rename(&mut scope, alias)?;
    }
    Ok(From { node, scope })
}

pub(super) fn bound_scope(columns: &[ResultColumn], relation: &str) -> Scope {
    let columns = columns
        .iter()
        .map(|column| ScopeColumn {
            relation: relation.to_owned(),
            name: column.name.clone(),
            ty: column.ty,
            hidden: false,
            shadowed: false,
        })
        .collect();
    Scope { columns }
}

/// `AS t (a, b)`.
pub(super) fn rename(scope: &mut Scope, alias: &ast::TableAlias) -> Result<(), SqlError> {
    let visible = scope.columns.iter().filter(|column| !column.hidden).count();
    if alias.at.is_some() || alias.columns.iter().any(|column| column.data_type.is_some()) {
        return Err(SqlError::unsupported_all("types in a table alias"));
    }
    if alias.columns.len() > visible {
        return Err(SqlError::new(
            SqlState::INVALID_COLUMN_REFERENCE,
            format!(
                "table \"{}\" has {visible} columns available but {} columns specified",
                fold(&alias.name),
                alias.columns.len()
            ),
        ));
    }
    let shown = scope.columns.iter_mut().filter(|column| !column.hidden);
    for (column, name) in shown.zip(&alias.columns) {
        column.name = fold(&name.name);
    }
    Ok(())
}

fn cross(left: From, right: From) -> Result<From, SqlError> {
    let node = Node::Join(Box::new(pair(JoinKind::Inner, left.node, right.node)));
    Ok(From { node, scope: left.scope.join(right.scope)? })
}

/// A join under all parts of its ON clause.
fn on_all(join: crate::plan::Join, condition: Expr) -> Node {
    let kind = join.kind;
    let mut node = Node::Join(Box::new(join));
    for part in condition.into_conjuncts() {
        node = match node {
            Node::Join(join) if kind != JoinKind::Inner => joined_on(*join, part),
            node => restrict(node, part),
        };
    }
    node
}
