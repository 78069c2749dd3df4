//! INSERT, UPDATE, DELETE.

use std::sync::Arc;

use expr::{ColumnId, Datum, Expr, SqlError, SqlState, Typed};
use keys::IndexId;
use sqlparser::ast;

use super::{
    Binder, Bound, Scope, from::From, restrict, stored_expression, table_name, table_scope,
};
use crate::{
    catalog::{Column, ColumnDefault, IndexState, Table},
    parse::fold,
    plan::{
        Body, BoundCheck, ColumnValue, ConflictUpdate, Delete, Insert, Node, OnConflict, Scan,
        ScanOrder, Update, optimize,
    },
    session::ResultColumn,
};

/// What a statement answers with, and in which columns.
type Planned = (Body, Vec<ResultColumn>);

impl Binder<'_> {
    /// INSERT.
    pub(crate) fn insert(&mut self, insert: &ast::Insert) -> Result<Planned, SqlError> {
        refuse_insert(insert)?;
        let ast::TableObject::TableName(name) = &insert.table else {
            return Err(SqlError::unsupported("INSERT into a function"));
        };
        let table = self.table(name)?;
        let alias = match &insert.table_alias {
            Some(alias) => fold(&alias.alias),
            None => table.name.clone(),
        };
        let targets = self.insert_targets(&table, &insert.columns)?;
        let (source, values) = self.insert_source(&table, &targets, insert.source.as_deref())?;
        let checks = self.checks(&table)?;
        let scope = table_scope(&table, &alias);
        let conflict = match &insert.on {
            None => None,
            Some(ast::OnInsert::OnConflict(on)) => Some(self.on_conflict(on, &table, &alias)?),
            Some(_) => return Err(SqlError::syntax("ON DUPLICATE KEY is not PostgreSQL")),
        };
        let (returning, columns) = self.returning_list(insert.returning.as_deref(), &scope)?;
        let mut source = source;
        let width = optimize::width(&source) as usize;
        optimize::finish(&mut source, width);
        let body = Insert { table, source, values, checks, conflict, returning };
        Ok((Body::Insert(Box::new(body)), columns))
    }

    /// Positions of the columns that values are given for.
    fn insert_targets(
        &mut self,
        table: &Table,
        columns: &[ast::ObjectName],
    ) -> Result<Vec<usize>, SqlError> {
        if columns.is_empty() {
            return Ok(table.visible().map(|(position, _)| position).collect());
        }
        let mut targets = Vec::with_capacity(columns.len());
        for name in columns {
            let [part] = name.0.as_slice() else {
                return Err(SqlError::unsupported(format!("the column {name}")));
            };
            let ident = part
                .as_ident()
                .ok_or_else(|| SqlError::unsupported(format!("the column {name}")))?;
            let position = self.target(table, ident)?;
            if targets.contains(&position) {
                let message = format!("column \"{}\" specified more than once", fold(ident));
                return Err(self.at(SqlError::new(SqlState::DUPLICATE_COLUMN, message), ident));
            }
            targets.push(position);
        }
        Ok(targets)
    }

    /// The column that is written.
    fn target(&self, table: &Table, ident: &ast::Ident) -> Result<usize, SqlError> {
        match table.column(&fold(ident)) {
            Some((position, column)) if !column.hidden => Ok(position),
            _ => {
                let message = format!(
                    "column \"{}\" of relation \"{}\" does not exist",
                    fold(ident),
                    table.name
                );
                Err(self.at(SqlError::new(SqlState::UNDEFINED_COLUMN, message), ident))
            }
        }
    }

    /// Where rows come from, and what becomes of their columns.
    fn insert_source(
        &mut self,
        table: &Arc<Table>,
        targets: &[usize],
        source: Option<&ast::Query>,
    ) -> Result<(Node, Vec<ColumnValue>), SqlError> {
        let mut values = Vec::with_capacity(table.columns.len());
        for column in &table.columns {
            values.push(self.default(column)?);
        }
        let Some(query) = source else {
            // DEFAULT VALUES: one row of defaults.
            return Ok((Node::Rows(vec![Vec::new()]), values));
        };
        if let ast::SetExpr::Values(rows) = &*query.body
            && query.with.is_none()
            && query.order_by.is_none()
            && query.limit_clause.is_none()
            && query.fetch.is_none()
        {
            let rows = self.insert_rows(table, targets, rows)?;
            let rows = settle_rows(table, targets, rows, &mut values)?;
            return Ok((Node::Rows(rows), values));
        }
        let Bound { node, columns } = self.query(query)?;
        if columns.len() > targets.len() {
            return Err(SqlError::syntax("INSERT has more expressions than target columns"));
        }
        if columns.len() < targets.len() && !targets.is_empty() && columns.len() != targets.len() {
            let explicit = targets.len() != table.visible().count();
            if explicit {
                return Err(SqlError::syntax("INSERT has more target columns than expressions"));
            }
        }
        for (place, (column, position)) in columns.iter().zip(targets).enumerate() {
            let target = &table.columns[*position];
            refuse_always(target, false)?;
            let from = Typed::column(u32::try_from(place).expect("few"), column.ty);
            values[*position] =
                ColumnValue::Source(self.assign(from, target.ty, &target.name)?.expr);
        }
        Ok((node, values))
    }

    /// The rows of VALUES; `None` stands for DEFAULT.
    fn insert_rows(
        &mut self,
        table: &Table,
        targets: &[usize],
        rows: &ast::Values,
    ) -> Result<Vec<Vec<Option<Expr>>>, SqlError> {
        let width = rows.rows.first().map_or(0, |row| row.content.len());
        let mut out = Vec::with_capacity(rows.rows.len());
        for row in &rows.rows {
            self.check_width(row, width)?;
            if let Some(surplus) = row.content.get(targets.len()) {
                let error = SqlError::syntax("INSERT has more expressions than target columns");
                return Err(self.misused(error, surplus));
            }
            let mut exprs = Vec::with_capacity(width);
            for (expr, position) in row.content.iter().zip(targets) {
                if is_default(expr) {
                    exprs.push(None);
                    continue;
                }
                let column = &table.columns[*position];
                let bound = self.scalar(expr, &Scope::default())?;
                let bound = self
                    .assign(bound, column.ty, &column.name)
                    .map_err(|error| self.misused(error, expr))?;
                exprs.push(Some(bound.expr));
            }
            out.push(exprs);
        }
        let explicit = targets.len() != table.visible().count();
        if width < targets.len() && explicit {
            return Err(SqlError::syntax("INSERT has more target columns than expressions"));
        }
        Ok(out)
    }

    /// What fills a column without a value.
    fn default(&mut self, column: &Column) -> Result<ColumnValue, SqlError> {
        Ok(match &column.default {
            ColumnDefault::None => ColumnValue::Default(Expr::NULL),
            ColumnDefault::RowId => ColumnValue::RowId,
            ColumnDefault::Serial | ColumnDefault::SerialAlways => ColumnValue::Serial,
            ColumnDefault::Expression(sql) => {
                let scope = Scope::default();
                let bound = crate::parse::with_expression(sql, |ast| self.scalar(ast, &scope))?;
                ColumnValue::Default(self.assign(bound, column.ty, &column.name)?.expr)
            }
        })
    }

    fn checks(&mut self, table: &Table) -> Result<Vec<BoundCheck>, SqlError> {
        table
            .checks
            .iter()
            .map(|check| {
                let bound = stored_expression(&check.condition, table, self.context)?;
                Ok(BoundCheck { name: check.name.clone(), condition: bound.expr })
            })
            .collect()
    }

    fn on_conflict(
        &mut self,
        on: &ast::OnConflict,
        table: &Arc<Table>,
        alias: &str,
    ) -> Result<OnConflict, SqlError> {
        let targets = match &on.conflict_target {
            None => Vec::new(),
            Some(ast::ConflictTarget::Columns(columns)) => {
                let mut ids: Vec<ColumnId> = Vec::with_capacity(columns.len());
                for ident in columns {
                    ids.push(table.columns[self.target(table, ident)?].id);
                }
                vec![unique_index(table, ids)?]
            }
            Some(ast::ConflictTarget::OnConstraint(name)) => {
                let (name, ident) = table_name(name)?;
                let index = table.indexes().find(|index| index.name == name);
                let found = index.filter(|index| index.unique.is_unique()).ok_or_else(|| {
                    let message = format!(
                        "constraint \"{name}\" for table \"{}\" does not exist",
                        table.name
                    );
                    self.at(SqlError::new(SqlState::UNDEFINED_OBJECT, message), ident)
                })?;
                vec![found.id]
            }
        };
        let update = match &on.action {
            ast::OnConflictAction::DoNothing => None,
            ast::OnConflictAction::DoUpdate(update) => {
                if targets.is_empty() {
                    return Err(SqlError::syntax(
                        "ON CONFLICT DO UPDATE requires inference specification or constraint name",
                    )
                    .with_hint("For example, ON CONFLICT (column_name)."));
                }
                let scope = table_scope(table, alias).join(table_scope(table, "excluded"))?;
                let mut scope = scope;
                for column in scope.columns.iter_mut().skip(table.columns.len()) {
                    column.shadowed = true;
                }
                let assignments = self.assignments(&update.assignments, table, &scope)?;
                let condition = update
                    .selection
                    .as_ref()
                    .map(|condition| self.condition(condition, &scope, "WHERE"))
                    .transpose()?;
                Some(ConflictUpdate { assignments, condition })
            }
        };
        let replaces = update.as_ref().is_some_and(|update| update.replaces(table));
        Ok(OnConflict { targets, update, replaces })
    }

    /// `SET a = 1, (b, c) = (2, 3)`.
    fn assignments(
        &mut self,
        assignments: &[ast::Assignment],
        table: &Arc<Table>,
        scope: &Scope,
    ) -> Result<Vec<(usize, ColumnValue)>, SqlError> {
        let mut out: Vec<(usize, ColumnValue)> = Vec::with_capacity(assignments.len());
        for assignment in assignments {
            let pairs: Vec<(&ast::ObjectName, &ast::Expr)> =
                match (&assignment.target, &assignment.value) {
                    (ast::AssignmentTarget::ColumnName(name), value) => vec![(name, value)],
                    (ast::AssignmentTarget::Tuple(names), ast::Expr::Tuple(values))
                        if names.len() == values.len() =>
                    {
                        names.iter().zip(values).collect()
                    }
                    (ast::AssignmentTarget::Tuple(_), _) => {
                        return Err(SqlError::unsupported("SET (...) = anything but a list"));
                    }
                };
            for (name, value) in pairs {
                let ident = name
                    .0
                    .last()
                    .and_then(|part| part.as_ident())
                    .ok_or_else(|| SqlError::unsupported(format!("the column {name}")))?;
                let position = self.target(table, ident)?;
                if out.iter().any(|(assigned, _)| *assigned == position) {
                    let message =
                        format!("multiple assignments to same column \"{}\"", fold(ident));
                    return Err(SqlError::syntax(message));
                }
                let column = &table.columns[position];
                let value = if is_default(value) {
                    self.default(column)?
                } else {
                    refuse_always(column, false)?;
                    let bound = self.scalar(value, scope)?;
                    let cast = self
                        .assign(bound, column.ty, &column.name)
                        .map_err(|error| self.misused(error, value))?;
                    ColumnValue::Source(cast.expr)
                };
                out.push((position, value));
            }
        }
        Ok(out)
    }

    /// UPDATE.
    pub(crate) fn update(&mut self, update: &ast::Update) -> Result<Planned, SqlError> {
        let plain = update.or.is_none()
            && update.order_by.is_empty()
            && update.limit.is_none()
            && update.output.is_none();
        if !plain || !update.table.joins.is_empty() {
            return Err(SqlError::unsupported("this clause of UPDATE"));
        }
        let others = match &update.from {
            None => &[][..],
            Some(ast::UpdateTableFromKind::AfterSet(from)) => from.as_slice(),
            Some(ast::UpdateTableFromKind::BeforeSet(_)) => {
                return Err(SqlError::syntax("FROM comes behind SET"));
            }
        };
        let (table, mut source, scope) = self.write_source(&update.table.relation, others)?;
        if let Some(condition) = &update.selection {
            self.no_aggregates = "aggregate functions are not allowed in WHERE";
            let condition = self.condition(condition, &scope, "WHERE")?;
            for part in condition.into_conjuncts() {
                source = restrict(source, part);
            }
        }
        self.no_aggregates = "aggregate functions are not allowed in UPDATE";
        let assignments = self.assignments(&update.assignments, &table, &scope)?;
        let checks = self.checks(&table)?;
        let (returning, columns) = self.returning_list(update.returning.as_deref(), &scope)?;
        optimize::finish(&mut source, scope.width());
        let body = Update { table, source, assignments, checks, returning };
        Ok((Body::Update(Box::new(body)), columns))
    }

    /// DELETE.
    pub(crate) fn delete(&mut self, delete: &ast::Delete) -> Result<Planned, SqlError> {
        let plain = delete.tables.is_empty()
            && delete.order_by.is_empty()
            && delete.limit.is_none()
            && delete.output.is_none();
        if !plain {
            return Err(SqlError::unsupported("this clause of DELETE"));
        }
        let (ast::FromTable::WithFromKeyword(from) | ast::FromTable::WithoutKeyword(from)) =
            &delete.from;
        let [target] = from.as_slice() else {
            return Err(SqlError::unsupported("DELETE from several tables"));
        };
        if !target.joins.is_empty() {
            return Err(SqlError::unsupported("DELETE from a join"));
        }
        let others = delete.using.as_deref().unwrap_or_default();
        let (table, mut source, scope) = self.write_source(&target.relation, others)?;
        if let Some(condition) = &delete.selection {
            self.no_aggregates = "aggregate functions are not allowed in WHERE";
            let condition = self.condition(condition, &scope, "WHERE")?;
            for part in condition.into_conjuncts() {
                source = restrict(source, part);
            }
        }
        let (returning, columns) = self.returning_list(delete.returning.as_deref(), &scope)?;
        optimize::finish(&mut source, scope.width());
        let body = Delete { table, source, returning };
        Ok((Body::Delete(Box::new(body)), columns))
    }

    /// TRUNCATE.
    pub(crate) fn truncate(&mut self, truncate: &ast::Truncate) -> Result<Planned, SqlError> {
        let plain = truncate.partitions.is_none()
            && truncate.on_cluster.is_none()
            && !truncate.if_exists
            && truncate.identity != Some(ast::TruncateIdentityOption::Restart);
        if !plain {
            return Err(SqlError::unsupported("TRUNCATE with RESTART IDENTITY"));
        }
        let mut tables = Vec::with_capacity(truncate.table_names.len());
        for target in &truncate.table_names {
            let table = self.table(&target.name)?;
            if !tables.iter().any(|known: &Arc<Table>| known.id == table.id) {
                tables.push(table);
            }
        }
        Ok((Body::Truncate(tables), Vec::new()))
    }

    /// The rows to change: the table's columns, then those of the other tables.
    fn write_source(
        &mut self,
        target: &ast::TableFactor,
        others: &[ast::TableWithJoins],
    ) -> Result<(Arc<Table>, Node, Scope), SqlError> {
        let ast::TableFactor::Table {
            name, alias, args: None, version: None, sample: None, ..
        } = target
        else {
            return Err(SqlError::unsupported(format!("writing to {target}")));
        };
        let table = self.table(name)?;
        let alias = alias.as_ref().map_or_else(|| table.name.clone(), |alias| fold(&alias.name));
        let scope = table_scope(&table, &alias);
        let scan = Scan {
            table: table.clone(),
            alias,
            index: IndexId::PRIMARY,
            conditions: Vec::new(),
            needed: Vec::new(),
            order: ScanOrder::Forward,
            limit: None,
        };
        let node = Node::Scan(Box::new(scan));
        if others.is_empty() {
            return Ok((table, node, scope));
        }
        let From { node: other, scope: other_scope } = self.from(others)?;
        let pair = super::restrict::pair(crate::plan::JoinKind::Inner, node, other);
        Ok((table, Node::Join(Box::new(pair)), scope.join(other_scope)?))
    }

    fn returning_list(
        &mut self,
        items: Option<&[ast::SelectItem]>,
        scope: &Scope,
    ) -> Result<(Option<Vec<Expr>>, Vec<ResultColumn>), SqlError> {
        match items {
            None => Ok((None, Vec::new())),
            Some(items) => {
                let (exprs, columns) = self.returning(items, scope)?;
                Ok((Some(exprs), columns))
            }
        }
    }
}

/// The rows of VALUES, and what becomes of their columns. A column that is `DEFAULT` in some rows
/// only (`None`) has a further one behind the others that says in which.
fn settle_rows(
    table: &Table,
    targets: &[usize],
    mut rows: Vec<Vec<Option<Expr>>>,
    values: &mut [ColumnValue],
) -> Result<Vec<Vec<Expr>>, SqlError> {
    let width = rows.first().map_or(0, Vec::len);
    for (place, position) in targets.iter().take(width).enumerate() {
        let given = rows.iter().filter(|row| row[place].is_some()).count();
        refuse_always(&table.columns[*position], given == 0)?;
        let column = u32::try_from(place).expect("few");
        if given == rows.len() {
            values[*position] = ColumnValue::Source(Expr::Column(column));
        } else if given > 0 {
            let default = u32::try_from(rows[0].len()).expect("few");
            for row in &mut rows {
                let says = Expr::Const(Datum::Bool(row[place].is_none()));
                row.push(Some(says));
            }
            let otherwise = Box::new(values[*position].clone());
            let source = Expr::Column(column);
            values[*position] = ColumnValue::SourceUnless { default, source, otherwise };
        }
    }
    let cells = |row: Vec<Option<Expr>>| row.into_iter().map(|cell| cell.unwrap_or(Expr::NULL));
    Ok(rows.into_iter().map(|row| cells(row).collect()).collect())
}

/// `DEFAULT` as a value.
fn is_default(expr: &ast::Expr) -> bool {
    matches!(expr, ast::Expr::Identifier(ident)
        if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default"))
}

/// `428C9` unless an identity column that is always generated gets its default.
fn refuse_always(column: &Column, is_default: bool) -> Result<(), SqlError> {
    if column.default == ColumnDefault::SerialAlways && !is_default {
        let message = format!("cannot insert a non-DEFAULT value into column \"{}\"", column.name);
        return Err(SqlError::new(SqlState::new("428C9"), message).with_detail(format!(
            "Column \"{}\" is an identity column defined as GENERATED ALWAYS.",
            column.name
        )));
    }
    Ok(())
}

/// The unique index over exactly these columns.
fn unique_index(table: &Table, mut columns: Vec<ColumnId>) -> Result<IndexId, SqlError> {
    columns.sort();
    columns.dedup();
    let fits = |index: &&crate::catalog::Index| {
        let mut own: Vec<ColumnId> = index.columns.iter().map(|part| part.column).collect();
        own.sort();
        let usable = matches!(index.state, IndexState::Public(_));
        index.unique.is_unique() && usable && own == columns
    };
    match table.indexes().find(fits) {
        Some(index) => Ok(index.id),
        None => Err(SqlError::new(
            SqlState::INVALID_COLUMN_REFERENCE,
            "there is no unique or exclusion constraint matching the ON CONFLICT specification",
        )),
    }
}

fn refuse_insert(insert: &ast::Insert) -> Result<(), SqlError> {
    let refused = [
        (insert.or.is_some(), "INSERT OR"),
        (insert.ignore, "INSERT IGNORE"),
        (insert.overwrite, "INSERT OVERWRITE"),
        (!insert.assignments.is_empty(), "INSERT SET"),
        (insert.partitioned.is_some() || !insert.after_columns.is_empty(), "PARTITION"),
        (insert.output.is_some(), "OUTPUT"),
        (insert.replace_into, "REPLACE INTO"),
        (insert.priority.is_some(), "a priority"),
        (insert.insert_alias.is_some(), "an alias behind VALUES"),
        (insert.settings.is_some() || insert.format_clause.is_some(), "SETTINGS"),
        (insert.multi_table_insert_type.is_some(), "INSERT into several tables"),
    ];
    match refused.into_iter().find(|(present, _)| *present) {
        Some((_, clause)) => Err(SqlError::unsupported(clause)),
        None => Ok(()),
    }
}
