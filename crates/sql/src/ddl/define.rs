//! From CREATE TABLE's text to a table's descriptor.

use clock::Timestamp;
use expr::{CastContext, ColumnId, Datum, EvalContext, SqlError, SqlState, Type};
use keys::{IndexId, SchemaVersion, TableId, codec::Direction};
use sqlparser::ast;

use super::checked_name;
use crate::{
    bind,
    catalog::{
        Check, Column, ColumnDefault, Index, IndexColumn, IndexState, MAX_COLUMNS, MAX_INDEXES,
        Table, Uniqueness,
    },
    parse::fold,
    types,
};

/// The name of a hidden row id.
const ROW_ID: &str = "rowid";

/// A table as CREATE TABLE describes it; its id and version are set later.
pub(super) fn table(
    create: &ast::CreateTable,
    name: &str,
    context: &EvalContext,
) -> Result<Table, SqlError> {
    let mut draft = Table {
        id: TableId(0),
        name: name.to_owned(),
        version: SchemaVersion(0),
        columns: Vec::new(),
        primary: Index {
            id: IndexId::PRIMARY,
            name: format!("{name}_pkey"),
            unique: Uniqueness::Constraint,
            columns: Vec::new(),
            stored: Vec::new(),
            state: IndexState::Public(Timestamp::ZERO),
        },
        secondary: Vec::new(),
        checks: Vec::new(),
        next_column: 1,
        next_index: 2,
    };
    let mut constraints = Vec::new();
    for definition in &create.columns {
        let column = column(&mut draft, definition, &mut constraints, context)?;
        draft.columns.push(column);
    }
    constraints.extend(create.constraints.iter().cloned());
    for constraint in &constraints {
        add_constraint(&mut draft, constraint)?;
    }
    if draft.primary.columns.is_empty() {
        add_row_id(&mut draft);
    }
    if draft.columns.len() > MAX_COLUMNS {
        return Err(SqlError::new(
            SqlState::TOO_MANY_COLUMNS,
            format!("tables can have at most {MAX_COLUMNS} columns"),
        ));
    }
    for check in draft.checks.clone() {
        check_condition(&draft, &check, context)?;
    }
    Ok(draft)
}

/// A column, its constraints put aside.
pub(super) fn column(
    table: &mut Table,
    definition: &ast::ColumnDef,
    constraints: &mut Vec<ast::TableConstraint>,
    context: &EvalContext,
) -> Result<Column, SqlError> {
    let name = checked_name(fold(&definition.name))?;
    if table.column(&name).is_some() {
        return Err(SqlError::new(
            SqlState::DUPLICATE_COLUMN,
            format!("column \"{name}\" specified more than once"),
        ));
    }
    let serial = serial_type(&definition.data_type);
    let ty = match serial {
        Some(ty) => ty,
        None => types::from_ast(&definition.data_type)?,
    };
    if matches!(ty, Type::Unknown | Type::Void | Type::Regclass | Type::Regtype) {
        return Err(SqlError::new(
            SqlState::INVALID_TABLE_DEFINITION,
            format!("column \"{name}\" has pseudo-type {ty}"),
        ));
    }
    let mut column = Column {
        id: ColumnId(table.next_column),
        name: name.clone(),
        ty,
        not_null: serial.is_some(),
        default: if serial.is_some() { ColumnDefault::Serial } else { ColumnDefault::None },
        missing: Datum::Null,
        hidden: false,
    };
    table.next_column += 1;
    for option in &definition.options {
        apply_option(&mut column, option, &table.name, constraints, context)?;
    }
    Ok(column)
}

fn serial_type(ty: &ast::DataType) -> Option<Type> {
    let ast::DataType::Custom(name, modifiers) = ty else { return None };
    match name.to_string().to_lowercase().as_str() {
        _ if !modifiers.is_empty() => None,
        "serial" | "serial4" => Some(Type::Int4),
        "bigserial" | "serial8" => Some(Type::Int8),
        "smallserial" | "serial2" => Some(Type::Int2),
        _ => None,
    }
}

fn apply_option(
    column: &mut Column,
    option: &ast::ColumnOptionDef,
    table: &str,
    constraints: &mut Vec<ast::TableConstraint>,
    context: &EvalContext,
) -> Result<(), SqlError> {
    let this = || vec![ast::IndexColumn::from(ast::Ident::with_quote('"', column.name.as_str()))];
    match &option.option {
        ast::ColumnOption::Null => {}
        ast::ColumnOption::NotNull => column.not_null = true,
        ast::ColumnOption::Default(expr) => {
            column.default = default(column, expr, context)?;
        }
        ast::ColumnOption::PrimaryKey(constraint) => {
            let mut constraint = constraint.clone();
            constraint.columns = this();
            constraint.name = constraint.name.or_else(|| option.name.clone());
            constraints.push(ast::TableConstraint::PrimaryKey(constraint));
        }
        ast::ColumnOption::Unique(constraint) => {
            let mut constraint = constraint.clone();
            constraint.columns = this();
            constraint.name = constraint.name.or_else(|| option.name.clone());
            constraints.push(ast::TableConstraint::Unique(constraint));
        }
        ast::ColumnOption::Check(constraint) => {
            let mut constraint = constraint.clone();
            let generated = format!("{table}_{}_check", column.name);
            constraint.name = constraint
                .name
                .or_else(|| option.name.clone())
                .or_else(|| Some(ast::Ident::with_quote('"', generated)));
            constraints.push(ast::TableConstraint::Check(constraint));
        }
        ast::ColumnOption::Generated {
            generated_as,
            sequence_options,
            generation_expr: None,
            ..
        } if sequence_options.as_ref().is_none_or(Vec::is_empty) => {
            if !column.ty.is_integer() {
                return Err(SqlError::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    "identity column type must be smallint, integer, or bigint",
                ));
            }
            column.not_null = true;
            column.default = match generated_as {
                ast::GeneratedAs::Always => ColumnDefault::SerialAlways,
                ast::GeneratedAs::ByDefault => ColumnDefault::Serial,
                ast::GeneratedAs::ExpStored => {
                    return Err(SqlError::unsupported_all("generated columns"));
                }
            };
        }
        ast::ColumnOption::ForeignKey(_) => return Err(SqlError::unsupported("FOREIGN KEY")),
        ast::ColumnOption::Collation(name)
            if matches!(name.to_string().as_str(), "\"C\"" | "\"POSIX\"") => {}
        other => return Err(SqlError::unsupported(format!("column option {other}"))),
    }
    Ok(())
}

/// A default, after looking that it fits its column.
pub(super) fn default(
    column: &Column,
    expr: &ast::Expr,
    context: &EvalContext,
) -> Result<ColumnDefault, SqlError> {
    let sql = expr.to_string();
    default_value(column, &sql, context)?;
    Ok(ColumnDefault::Expression(sql))
}

/// The default as an expression of its column's type.
pub(super) fn default_value(
    column: &Column,
    sql: &str,
    context: &EvalContext,
) -> Result<expr::Expr, SqlError> {
    let bound = bind::stored_constant(sql, context)?;
    if bound.ty != Type::Unknown
        && !expr::cast::can_cast(bound.ty, column.ty, CastContext::Assignment)
    {
        return Err(SqlError::type_mismatch(format!(
            "column \"{}\" is of type {} but default expression is of type {}",
            column.name,
            column.ty.base(),
            bound.ty.base()
        ))
        .with_hint("You will need to rewrite or cast the expression."));
    }
    Ok(expr::bind::assign(bound, &column.name, column.ty, context)?.expr)
}

/// Adds a constraint.
pub(super) fn add_constraint(
    table: &mut Table,
    constraint: &ast::TableConstraint,
) -> Result<(), SqlError> {
    match constraint {
        ast::TableConstraint::PrimaryKey(key) => {
            if !table.primary.columns.is_empty() {
                return Err(SqlError::new(
                    SqlState::INVALID_TABLE_DEFINITION,
                    format!("multiple primary keys for table \"{}\" are not allowed", table.name),
                ));
            }
            if !key.include.is_empty() {
                return Err(SqlError::unsupported("INCLUDE in a primary key"));
            }
            refuse_characteristics(key.characteristics.as_ref())?;
            table.primary.columns = index_columns(table, &key.columns, NAMED_IN_KEY)?;
            for part in table.primary.columns.clone() {
                let position = table.position(part.column);
                table.columns[position].not_null = true;
            }
            if let Some(name) = &key.name {
                table.primary.name = checked_name(fold(name))?;
            }
        }
        ast::TableConstraint::Unique(unique) => {
            refuse_characteristics(unique.characteristics.as_ref())?;
            let index = unique_index(table, unique)?;
            table.secondary.push(index);
            table.next_index += 1;
        }
        ast::TableConstraint::Check(check) => {
            if check.no_inherit || check.enforced == Some(false) {
                return Err(SqlError::unsupported("this form of CHECK"));
            }
            let generated = match named_columns(table, &check.expr).as_slice() {
                [column] => format!("{}_{column}_check", table.name),
                _ => format!("{}_check", table.name),
            };
            let name = match &check.name {
                Some(name) => checked_name(fold(name))?,
                None => free_name(&generated, |name| {
                    table.checks.iter().any(|check| check.name == name)
                }),
            };
            if table.checks.iter().any(|known| known.name == name) {
                return Err(SqlError::new(
                    SqlState::DUPLICATE_OBJECT,
                    format!("constraint \"{name}\" for relation \"{}\" already exists", table.name),
                ));
            }
            table.checks.push(Check { name, condition: check.expr.to_string() });
        }
        ast::TableConstraint::ForeignKey(_) => return Err(SqlError::unsupported("FOREIGN KEY")),
        other => return Err(SqlError::unsupported(format!("the constraint {other}"))),
    }
    Ok(())
}

/// The columns that a condition names, each once.
fn named_columns(table: &Table, condition: &ast::Expr) -> Vec<String> {
    let mut names = Vec::new();
    let _visited = ast::visit_expressions(condition, |expr| {
        if let ast::Expr::Identifier(ident) = expr {
            let name = fold(ident);
            if table.column(&name).is_some() && !names.contains(&name) {
                names.push(name);
            }
        }
        std::ops::ControlFlow::<()>::Continue(())
    });
    names
}

/// The index behind a UNIQUE constraint.
pub(super) fn unique_index(
    table: &Table,
    unique: &ast::UniqueConstraint,
) -> Result<Index, SqlError> {
    if unique.nulls_distinct == ast::NullsDistinctOption::NotDistinct {
        return Err(SqlError::unsupported("NULLS NOT DISTINCT"));
    }
    let columns = index_columns(table, &unique.columns, NAMED_IN_KEY)?;
    let stored = stored_columns(table, &unique.include)?;
    let names: Vec<&str> = columns
        .iter()
        .map(|part| table.columns[table.position(part.column)].name.as_str())
        .collect();
    let generated = format!("{}_{}_key", table.name, names.join("_"));
    let name = match &unique.name {
        Some(name) => checked_name(fold(name))?,
        None => free_name(&generated, |name| table.indexes().any(|index| index.name == name)),
    };
    new_index(table, name, Uniqueness::Constraint, columns, stored)
}

/// An index with the table's next id, readable from the table's birth.
pub(super) fn new_index(
    table: &Table,
    name: String,
    unique: Uniqueness,
    columns: Vec<IndexColumn>,
    stored: Vec<ColumnId>,
) -> Result<Index, SqlError> {
    if table.secondary.len() + 1 >= MAX_INDEXES {
        return Err(SqlError::new(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            format!("tables can have at most {MAX_INDEXES} indexes"),
        ));
    }
    Ok(Index {
        id: IndexId(table.next_index),
        name,
        unique,
        columns,
        stored,
        state: IndexState::Public(Timestamp::ZERO),
    })
}

fn refuse_characteristics(
    characteristics: Option<&ast::ConstraintCharacteristics>,
) -> Result<(), SqlError> {
    match characteristics {
        Some(given) if given.deferrable == Some(true) || given.enforced == Some(false) => {
            Err(SqlError::unsupported("DEFERRABLE or NOT ENFORCED"))
        }
        _ => Ok(()),
    }
}

/// What is said of an unknown column of a constraint.
const NAMED_IN_KEY: &str = "named in key does not exist";

/// The columns of a key; `missing` is said of one that does not exist.
pub(super) fn index_columns(
    table: &Table,
    columns: &[ast::IndexColumn],
    missing: &str,
) -> Result<Vec<IndexColumn>, SqlError> {
    let mut out: Vec<IndexColumn> = Vec::with_capacity(columns.len());
    for part in columns {
        if part.operator_class.is_some() {
            return Err(SqlError::unsupported_all("operator classes"));
        }
        let ast::Expr::Identifier(ident) = &part.column.expr else {
            return Err(SqlError::unsupported("an index over an expression"));
        };
        let name = fold(ident);
        let Some((_, column)) = table.column(&name).filter(|(_, column)| !column.hidden) else {
            return Err(SqlError::new(
                SqlState::UNDEFINED_COLUMN,
                format!("column \"{name}\" {missing}"),
            ));
        };
        if !expr::key::is_keyable(column.ty) {
            return Err(SqlError::unsupported(format!("an index over type {}", column.ty)));
        }
        if out.iter().any(|known| known.column == column.id) {
            return Err(SqlError::new(
                SqlState::DUPLICATE_COLUMN,
                format!("column \"{name}\" appears twice in a key"),
            ));
        }
        let descending = match &part.column.options.sort {
            None | Some(ast::OrderBySort::Asc) => false,
            Some(ast::OrderBySort::Desc) => true,
            Some(_) => return Err(SqlError::unsupported("an index with USING")),
        };
        if part.column.options.nulls_first.is_some_and(|first| first != descending) {
            return Err(SqlError::unsupported("this order of NULLs in an index")
                .with_hint("NULLs come last ascending and first descending."));
        }
        let direction = if descending { Direction::Descending } else { Direction::Ascending };
        out.push(IndexColumn { column: column.id, direction });
    }
    Ok(out)
}

/// The columns of INCLUDE.
pub(super) fn stored_columns(
    table: &Table,
    names: &[ast::Ident],
) -> Result<Vec<ColumnId>, SqlError> {
    names
        .iter()
        .map(|ident| match table.column(&fold(ident)) {
            Some((_, column)) if !column.hidden => Ok(column.id),
            _ => Err(SqlError::new(
                SqlState::UNDEFINED_COLUMN,
                format!("column \"{}\" does not exist", fold(ident)),
            )),
        })
        .collect()
}

fn add_row_id(table: &mut Table) {
    let name = free_name(ROW_ID, |name| table.column(name).is_some());
    let id = ColumnId(table.next_column);
    table.next_column += 1;
    table.columns.push(Column {
        id,
        name,
        ty: Type::Int8,
        not_null: true,
        default: ColumnDefault::RowId,
        missing: Datum::Null,
        hidden: true,
    });
    table.primary.columns = vec![IndexColumn { column: id, direction: Direction::Ascending }];
}

/// A CHECK must be a condition over the table's columns.
pub(super) fn check_condition(
    table: &Table,
    check: &Check,
    context: &EvalContext,
) -> Result<(), SqlError> {
    let bound = bind::stored_expression(&check.condition, table, context)?;
    expr::bind::condition(bound, "CHECK", context).map(|_condition| ())
}

/// The name, or with a number behind it if it is taken.
pub(super) fn free_name(wanted: &str, taken: impl Fn(&str) -> bool) -> String {
    if !taken(wanted) {
        return wanted.to_owned();
    }
    let numbered = (1..).map(|number| format!("{wanted}{number}"));
    numbered.into_iter().find(|name| !taken(name)).expect("numbers do not end")
}
