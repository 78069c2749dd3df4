//! Schema changes.
//!
//! A change is one transaction over the catalog's keys ([`publish`]) or several in a row, each of which
//! every gateway that may use the catalog has adopted before the next begins
//! ([`publish::adopted`]). What each step may assume is that others are at most one step behind:
//!
//! | change | steps |
//! |---|---|
//! | CREATE TABLE | one: nobody uses what does not exist yet |
//! | CREATE INDEX | delete-only, write-only, (backfill), public |
//! | DROP INDEX | write-only, gone |
//! | ADD COLUMN | kept but not shown, shown |
//! | DROP COLUMN, RENAME, DROP TABLE, ... | one, then adopted everywhere |
//! | SET NOT NULL, ADD CHECK | enforced for new rows, old rows looked through; taken back if one fails |
//!
//! Steps take effect at once. A crash between them leaves the change half done and harmless: an index
//! that nobody reads, a column that nobody sees; dropping it cleans up.

mod alter;
mod define;
mod index;
mod place;
pub mod publish;
pub mod split;
mod sweep;
mod table;

pub(crate) use table::no_region;

use expr::{SqlError, SqlState};
use sqlparser::ast;

use crate::{
    bind::table_name,
    catalog::Catalog,
    parse::{Kind, Statement},
    session::{Execution, Notice, Session},
};

/// Whether a statement changes the schema.
pub(crate) fn is_ddl(statement: &Statement) -> bool {
    matches!(
        statement.kind(),
        Kind::Ast(ast) if matches!(
            **ast,
            ast::Statement::CreateTable(_)
                | ast::Statement::CreateIndex(_)
                | ast::Statement::AlterTable(_)
                | ast::Statement::Drop { .. }
        )
    )
}

/// Runs a schema change.
pub(crate) async fn run(session: &Session, statement: &Statement) -> Result<Execution, SqlError> {
    let done = change(session, statement).await;
    done.map_err(|error| place::placed(error, statement, &session.eval_context()))
}

async fn change(session: &Session, statement: &Statement) -> Result<Execution, SqlError> {
    let Kind::Ast(ast) = statement.kind() else {
        return Err(SqlError::internal("no schema change"));
    };
    let tag = match &**ast {
        ast::Statement::CreateTable(create) => {
            table::create(session, create).await?;
            "CREATE TABLE"
        }
        ast::Statement::CreateIndex(create) => {
            index::create(session, create).await?;
            "CREATE INDEX"
        }
        ast::Statement::AlterTable(alter) => {
            alter::run(session, alter).await?;
            "ALTER TABLE"
        }
        ast::Statement::Drop {
            object_type,
            if_exists,
            names,
            purge: false,
            temporary: false,
            table: None,
            cascade: _,
            restrict: _,
        } => match object_type {
            ast::ObjectType::Table => {
                table::drop(session, names, *if_exists).await?;
                "DROP TABLE"
            }
            ast::ObjectType::Index => {
                index::drop(session, names, *if_exists).await?;
                "DROP INDEX"
            }
            other => return Err(SqlError::unsupported(format!("DROP {other}"))),
        },
        other => return Err(crate::bind::unsupported_statement(other)),
    };
    Ok(Execution::Done { tag: tag.to_owned() })
}

/// Names of the tables that a statement changes, as far as they exist.
pub(crate) fn changed_tables(statement: &Statement, catalog: &Catalog) -> Vec<String> {
    let Kind::Ast(ast) = statement.kind() else { return Vec::new() };
    let named = |name: &ast::ObjectName| table_name(name).ok().map(|(name, _)| name);
    match &**ast {
        ast::Statement::CreateIndex(create) => named(&create.table_name).into_iter().collect(),
        ast::Statement::AlterTable(alter) => named(&alter.name).into_iter().collect(),
        ast::Statement::Drop { object_type: ast::ObjectType::Index, names, .. } => names
            .iter()
            .filter_map(named)
            .filter_map(|name| Some(catalog.index(&name)?.0.name.clone()))
            .collect(),
        ast::Statement::Drop { names, .. } => names.iter().filter_map(named).collect(),
        _ => Vec::new(),
    }
}

/// The name of an object to be made, cut to the longest that is kept.
pub(crate) fn new_name(name: &ast::ObjectName) -> Result<String, SqlError> {
    let (name, _) = table_name(name)?;
    checked_name(name)
}

/// The name, cut to the longest that is kept.
pub(crate) fn checked_name(name: String) -> Result<String, SqlError> {
    if name.is_empty() {
        return Err(SqlError::syntax("zero-length delimited identifier"));
    }
    Ok(expr::text::cut_name(&name).to_owned())
}

/// Tells that something is there already and nothing was done.
pub(crate) fn skipped(session: &Session, state: SqlState, message: String) {
    session.notify(Notice { severity: "NOTICE", sqlstate: state, message, detail: None });
}

/// `42P07`.
pub(crate) fn exists(name: &str) -> SqlError {
    SqlError::new(SqlState::DUPLICATE_TABLE, format!("relation \"{name}\" already exists"))
}

/// `42704` for an index.
pub(crate) fn no_index(name: &str) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_OBJECT, format!("index \"{name}\" does not exist"))
}
