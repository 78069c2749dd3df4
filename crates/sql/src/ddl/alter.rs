//! ALTER TABLE.

use expr::{Datum, SqlError, SqlState, Volatility};
use keys::{IndexId, TableId, layout};
use sqlparser::ast;
use txn::{Access, Scan, TxnOptions};

use super::{
    checked_name, define, exists,
    index::{self, DropKind},
    publish::{self, publish},
    skipped,
    table::taken,
};
use crate::{
    bind::{self, table_name, undefined_table},
    catalog::{ColumnDefault, Table, layout as row_layout},
    database::Database,
    error::{about_column, about_constraint},
    parse::fold,
    session::Session,
};

/// Runs ALTER TABLE.
pub(super) async fn run(session: &Session, alter: &ast::AlterTable) -> Result<(), SqlError> {
    if alter.location.is_some() || alter.on_cluster.is_some() || alter.table_type.is_some() {
        return Err(SqlError::unsupported("this form of ALTER TABLE"));
    }
    let (name, _) = table_name(&alter.name)?;
    let catalog = session.database().0.cache.strong().await?;
    if catalog.table(&name).is_none() {
        if alter.if_exists {
            let message = format!("relation \"{name}\" does not exist, skipping");
            skipped(session, SqlState::SUCCESSFUL_COMPLETION, message);
            return Ok(());
        }
        return Err(undefined_table(&name));
    }
    for operation in &alter.operations {
        one(session, &name, operation).await?;
    }
    Ok(())
}

async fn one(
    session: &Session,
    table: &str,
    operation: &ast::AlterTableOperation,
) -> Result<(), SqlError> {
    use ast::AlterTableOperation as Op;
    match operation {
        Op::AddColumn { if_not_exists, column_def, column_position: None, .. } => {
            add_column(session, table, column_def, *if_not_exists).await
        }
        Op::DropColumn { column_names, if_exists, .. } => {
            for column in column_names {
                drop_column(session, table, &fold(column), *if_exists).await?;
            }
            Ok(())
        }
        Op::AddConstraint { constraint, not_valid: false } => {
            add_constraint(session, table, constraint).await
        }
        Op::DropConstraint { if_exists, name, .. } => {
            drop_constraint(session, table, &fold(name), *if_exists).await
        }
        Op::RenameColumn { old_column_name, new_column_name } => {
            let to = checked_name(fold(new_column_name))?;
            rename_column(session, table, &fold(old_column_name), &to).await
        }
        Op::RenameTable { table_name } => {
            let (ast::RenameTableNameKind::As(name) | ast::RenameTableNameKind::To(name)) =
                table_name;
            rename_table(session, table, &super::new_name(name)?).await
        }
        Op::AlterColumn { column_name, op } => {
            alter_column(session, table, &fold(column_name), op).await
        }
        other => Err(SqlError::unsupported(format!("ALTER TABLE ... {other}"))),
    }
}

/// One step that changes a table, adopted everywhere.
async fn step<T: Send>(
    database: &Database,
    name: &str,
    change: impl Fn(&mut Table) -> Result<T, SqlError> + Send + Sync,
) -> Result<T, SqlError> {
    let published = publish(database, |catalog, draft| {
        let table = catalog.table(name).ok_or_else(|| undefined_table(name))?;
        let mut changed = (**table).clone();
        let value = change(&mut changed)?;
        if changed != **table {
            draft.tables.push(changed);
        }
        Ok(value)
    })
    .await?;
    publish::adopted(database, published.step).await;
    Ok(published.value)
}

fn position(table: &Table, column: &str) -> Result<usize, SqlError> {
    match table.column(column) {
        Some((position, found)) if !found.hidden => Ok(position),
        _ => Err(SqlError::new(
            SqlState::UNDEFINED_COLUMN,
            format!("column \"{column}\" of relation \"{}\" does not exist", table.name),
        )),
    }
}

async fn add_column(
    session: &Session,
    name: &str,
    definition: &ast::ColumnDef,
    if_not_exists: bool,
) -> Result<(), SqlError> {
    let database = session.database();
    let context = session.eval_context();
    let wanted = checked_name(fold(&definition.name))?;
    let catalog = database.0.cache.strong().await?;
    let table = catalog.table(name).ok_or_else(|| undefined_table(name))?;
    if table.column(&wanted).is_some_and(|(_, column)| !column.hidden) {
        if if_not_exists {
            let message =
                format!("column \"{wanted}\" of relation \"{name}\" already exists, skipping");
            skipped(session, SqlState::DUPLICATE_COLUMN, message);
            return Ok(());
        }
        return Err(SqlError::new(
            SqlState::DUPLICATE_COLUMN,
            format!("column \"{wanted}\" of relation \"{name}\" already exists"),
        ));
    }
    let id = table.id;
    let empty = is_empty(database, id).await?;
    // First every gateway keeps the column when it rewrites a row, then it is shown.
    let constraints = step(database, name, |table| {
        let mut constraints = Vec::new();
        let mut column = define::column(table, definition, &mut constraints, &context)?;
        match &column.default {
            ColumnDefault::Expression(sql) => {
                let value = define::default_value(&column, sql, &context)?;
                if value.volatility() > Volatility::Stable {
                    return Err(SqlError::unsupported("ADD COLUMN with a volatile default"));
                }
                column.missing = value.eval(&[], &context)?;
            }
            ColumnDefault::None | ColumnDefault::RowId => {}
            ColumnDefault::Serial | ColumnDefault::SerialAlways if empty => {}
            ColumnDefault::Serial | ColumnDefault::SerialAlways => {
                return Err(SqlError::unsupported("ADD COLUMN of a serial type with rows"));
            }
        }
        if column.not_null && column.missing.is_null() && !empty {
            return Err(contains_null(&column.name, &table.name));
        }
        column.hidden = true;
        table.columns.push(column);
        Ok(constraints)
    })
    .await?;
    step(database, name, |table| {
        let found = table.columns.iter_mut().find(|column| column.name == wanted);
        // Another table may have taken the name meanwhile.
        let found = found.filter(|_| table.id == id);
        found.ok_or_else(|| undefined_table(name))?.hidden = false;
        Ok(())
    })
    .await?;
    for constraint in &constraints {
        Box::pin(add_constraint(session, name, constraint)).await?;
    }
    Ok(())
}

fn contains_null(column: &str, table: &str) -> SqlError {
    SqlError::new(
        SqlState::NOT_NULL_VIOLATION,
        format!("column \"{column}\" of relation \"{table}\" contains null values"),
    )
    .with_objects(about_column(table, column))
}

/// Whether a table has no rows.
async fn is_empty(database: &Database, table: TableId) -> Result<bool, SqlError> {
    let options = TxnOptions {
        access: Access::ReadOnly,
        after: database.0.coordinator.last_commit(),
        ..TxnOptions::default()
    };
    let mut txn = database.0.coordinator.begin(options);
    let span = layout::index_span(table, IndexId::PRIMARY);
    let page = txn.scan_page(&Scan::all(span), 1).await;
    txn.rollback().await;
    Ok(page.map_err(|error| crate::error::from_txn(&error))?.rows.is_empty())
}

async fn drop_column(
    session: &Session,
    name: &str,
    column: &str,
    if_exists: bool,
) -> Result<(), SqlError> {
    let context = session.eval_context();
    let dropped = step(session.database(), name, |table| {
        let at = match position(table, column) {
            Ok(at) => at,
            Err(_) if if_exists => return Ok(false),
            Err(error) => return Err(error),
        };
        let id = table.columns[at].id;
        let used = table.indexes().find(|index| {
            index.columns.iter().any(|part| part.column == id) || index.stored.contains(&id)
        });
        if let Some(index) = used {
            return Err(SqlError::new(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!("cannot drop column {column}: index {} uses it", index.name),
            )
            .with_hint("Drop the index first."));
        }
        let hidden = format!("........dropped.{}........", id.0);
        let dropped = &mut table.columns[at];
        dropped.name = hidden;
        dropped.hidden = true;
        dropped.not_null = false;
        dropped.default = ColumnDefault::None;
        // A check that named the column cannot be bound any more: it goes too.
        let checks = std::mem::take(&mut table.checks);
        table.checks = checks
            .into_iter()
            .filter(|check| define::check_condition(table, check, &context).is_ok())
            .collect();
        Ok(true)
    })
    .await?;
    if !dropped {
        let message =
            format!("column \"{column}\" of relation \"{name}\" does not exist, skipping");
        skipped(session, SqlState::SUCCESSFUL_COMPLETION, message);
    }
    Ok(())
}

async fn add_constraint(
    session: &Session,
    name: &str,
    constraint: &ast::TableConstraint,
) -> Result<(), SqlError> {
    let database = session.database();
    let context = session.eval_context();
    match constraint {
        ast::TableConstraint::Unique(unique) => {
            index::build(session, name, false, |table, _taken| define::unique_index(table, unique))
                .await
        }
        ast::TableConstraint::Check(_) => {
            let check = step(database, name, |table| {
                define::add_constraint(table, constraint)?;
                let check = table.checks.last().expect("it was added").clone();
                define::check_condition(table, &check, &context)?;
                Ok(check)
            })
            .await?;
            let violated = SqlError::new(
                SqlState::CHECK_VIOLATION,
                format!(
                    "check constraint \"{}\" of relation \"{name}\" is violated by some row",
                    check.name
                ),
            )
            .with_objects(about_constraint(name, &check.name));
            let sound = |table: &Table, row: &[Datum]| {
                let bound = bind::stored_expression(&check.condition, table, &context)?;
                match bound.expr.eval(row, &context)?.truth() {
                    Some(false) => Err(violated.clone()),
                    _ => Ok(()),
                }
            };
            if let Err(error) = look_through(database, name, sound).await {
                step(database, name, |table| {
                    table.checks.retain(|known| known.name != check.name);
                    Ok(())
                })
                .await?;
                return Err(error);
            }
            Ok(())
        }
        ast::TableConstraint::PrimaryKey(_) => {
            Err(SqlError::unsupported("ADD PRIMARY KEY to an existing table"))
        }
        ast::TableConstraint::ForeignKey(_) => Err(SqlError::unsupported("FOREIGN KEY")),
        other => Err(SqlError::unsupported(format!("the constraint {other}"))),
    }
}

/// Looks at every row of a table, page by page.
async fn look_through(
    database: &Database,
    name: &str,
    look: impl Fn(&Table, &[Datum]) -> Result<(), SqlError>,
) -> Result<(), SqlError> {
    let catalog = database.0.cache.strong().await?;
    let table = catalog.table(name).ok_or_else(|| undefined_table(name))?;
    let options = TxnOptions {
        access: Access::ReadOnly,
        after: database.0.coordinator.last_commit(),
        ..TxnOptions::default()
    };
    let all: Vec<u32> =
        (0..table.columns.len()).map(|at| u32::try_from(at).expect("few")).collect();
    let layout = row_layout(table, &table.primary, &all);
    let mut txn = database.0.coordinator.begin(options);
    let mut rest = Some(layout::index_span(table.id, IndexId::PRIMARY));
    while let Some(span) = rest {
        let page = txn.scan_page(&Scan::all(span), database.0.config.backfill_rows).await;
        let page = page.map_err(|error| crate::error::from_txn(&error))?;
        for (key, value) in &page.rows {
            look(table, &layout.decode(key, value)?)?;
        }
        rest = page.resume;
    }
    txn.rollback().await;
    Ok(())
}

async fn drop_constraint(
    session: &Session,
    name: &str,
    constraint: &str,
    if_exists: bool,
) -> Result<(), SqlError> {
    let catalog = session.database().0.cache.strong().await?;
    let table = catalog.table(name).ok_or_else(|| undefined_table(name))?;
    if table.checks.iter().any(|check| check.name == constraint) {
        return step(session.database(), name, |table| {
            table.checks.retain(|check| check.name != constraint);
            Ok(())
        })
        .await;
    }
    if table.indexes().any(|index| index.name == constraint && index.unique.is_unique()) {
        return index::drop_one(session, constraint, if_exists, DropKind::Constraint).await;
    }
    let message = format!("constraint \"{constraint}\" of relation \"{name}\" does not exist");
    if if_exists {
        skipped(session, SqlState::SUCCESSFUL_COMPLETION, format!("{message}, skipping"));
        return Ok(());
    }
    Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message))
}

async fn rename_column(
    session: &Session,
    name: &str,
    from: &str,
    to: &str,
) -> Result<(), SqlError> {
    let context = session.eval_context();
    step(session.database(), name, |table| {
        let at = position(table, from)?;
        if table.column(to).is_some() {
            return Err(SqlError::new(
                SqlState::DUPLICATE_COLUMN,
                format!("column \"{to}\" of relation \"{name}\" already exists"),
            ));
        }
        to.clone_into(&mut table.columns[at].name);
        for check in &table.checks {
            if define::check_condition(table, check, &context).is_err() {
                return Err(SqlError::unsupported(format!(
                    "renaming a column that the constraint \"{}\" names",
                    check.name
                )));
            }
        }
        Ok(())
    })
    .await
}

async fn rename_table(session: &Session, name: &str, to: &str) -> Result<(), SqlError> {
    let database = session.database();
    let published = publish(database, |catalog, draft| {
        let table = catalog.table(name).ok_or_else(|| undefined_table(name))?;
        if taken(catalog, to) {
            return Err(exists(to));
        }
        let mut changed = (**table).clone();
        to.clone_into(&mut changed.name);
        draft.freed_names.push(name.to_owned());
        draft.tables.push(changed);
        Ok(())
    })
    .await?;
    publish::adopted(database, published.step).await;
    Ok(())
}

async fn alter_column(
    session: &Session,
    name: &str,
    column: &str,
    op: &ast::AlterColumnOperation,
) -> Result<(), SqlError> {
    let database = session.database();
    let context = session.eval_context();
    match op {
        ast::AlterColumnOperation::SetDefault { value } => {
            step(database, name, |table| {
                let at = position(table, column)?;
                let default = define::default(&table.columns[at], value, &context)?;
                table.columns[at].default = default;
                Ok(())
            })
            .await
        }
        ast::AlterColumnOperation::DropDefault => {
            step(database, name, |table| {
                let at = position(table, column)?;
                table.columns[at].default = ColumnDefault::None;
                Ok(())
            })
            .await
        }
        ast::AlterColumnOperation::DropNotNull => {
            step(database, name, |table| {
                let at = position(table, column)?;
                let id = table.columns[at].id;
                if table.primary.columns.iter().any(|part| part.column == id) {
                    return Err(SqlError::new(
                        SqlState::INVALID_TABLE_DEFINITION,
                        format!("column \"{column}\" is in a primary key"),
                    ));
                }
                table.columns[at].not_null = false;
                Ok(())
            })
            .await
        }
        ast::AlterColumnOperation::SetNotNull => set_not_null(session, name, column).await,
        other => Err(SqlError::unsupported(format!("ALTER COLUMN ... {other}"))),
    }
}

async fn set_not_null(session: &Session, name: &str, column: &str) -> Result<(), SqlError> {
    let database = session.database();
    let set = |to: bool| {
        move |table: &mut Table| {
            let at = position(table, column)?;
            table.columns[at].not_null = to;
            Ok(at)
        }
    };
    let at = step(database, name, set(true)).await?;
    let sound = |table: &Table, row: &[Datum]| {
        if row[at].is_null() { Err(contains_null(column, &table.name)) } else { Ok(()) }
    };
    if let Err(error) = look_through(database, name, sound).await {
        step(database, name, set(false)).await?;
        return Err(error);
    }
    Ok(())
}
