//! Where in the text of a schema change an error lies: what `psql` puts its caret under.
//!
//! The tree keeps the places of names and literals. A type has none: it stands behind its column's
//! name. What failed is found by looking again, column by column, at what needs no table: an error
//! that comes from there has its place.

use expr::{EvalContext, SqlError, SqlState};
use sqlparser::ast::{self, AlterTableOperation as Op};

use crate::{
    bind,
    parse::{Kind, Statement},
    types,
};

/// The error of a schema change, at its place if that is in the definition of a column.
pub(super) fn placed(error: SqlError, statement: &Statement, context: &EvalContext) -> SqlError {
    let Kind::Ast(ast) = statement.kind() else { return error };
    if error.position.is_some() {
        return error;
    }
    let columns: Vec<&ast::ColumnDef> = match &**ast {
        ast::Statement::CreateTable(create) => create.columns.iter().collect(),
        ast::Statement::AlterTable(alter) => {
            let added = alter.operations.iter().map(|operation| match operation {
                Op::AddColumn { column_def, .. } => Some(column_def),
                _ => None,
            });
            added.flatten().collect()
        }
        _ => Vec::new(),
    };
    let place = columns.into_iter().find_map(|column| {
        let of_type = types::from_ast(&column.data_type).err().filter(|again| *again == error);
        match of_type {
            Some(_) => behind_name(column, statement),
            None => defaults(column).find_map(|default| {
                let again = bind::place_of_mistake(default, &error, statement, context);
                is_same(&again, &error).then_some(again.position?)
            }),
        }
    });
    match place {
        Some(place) => error.at(place),
        None => error,
    }
}

/// Where a column's type begins.
fn behind_name(column: &ast::ColumnDef, statement: &Statement) -> Option<usize> {
    let end = statement.offset(column.name.span.end)?;
    let rest = statement.source().get(end..)?;
    rest.find(|c: char| !c.is_whitespace()).map(|skipped| end + skipped)
}

fn defaults(column: &ast::ColumnDef) -> impl Iterator<Item = &ast::Expr> {
    column.options.iter().filter_map(|option| match &option.option {
        ast::ColumnOption::Default(default) => Some(default),
        _ => None,
    })
}

/// Whether a mistake within a default is what the statement failed with: a name is told as what a
/// default must not have.
fn is_same(again: &SqlError, error: &SqlError) -> bool {
    let is_name = matches!(again.sqlstate, SqlState::UNDEFINED_COLUMN | SqlState::UNDEFINED_TABLE);
    again.message == error.message || is_name && error.message == bind::COLUMN_IN_DEFAULT
}
