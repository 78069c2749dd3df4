//! The binder: names become columns, expressions get types, a statement becomes a [`Plan`].
//!
//! The same walk builds the plan's nodes: FROM becomes scans and joins, each condition sinks as
//! deep as its columns allow ([`mod@restrict`]), and [`crate::plan::optimize`] finishes the result.
//!
//! Subqueries are bound where they stand, without sight of the columns around them; each becomes a
//! parameter whose number lies at or above [`SUBQUERY`], in the order in which they must run. What
//! names a column outside is refused: correlated subqueries are not supported.

mod as_of;
mod calls;
mod dml;
mod forms;
mod from;
mod group;
mod interval;
mod items;
mod operators;
mod place;
mod restrict;
mod scalar;
mod scope;
mod select;
mod sets;
mod with;

use std::sync::Arc;

use clock::Timestamp;
use expr::{Datum, EvalContext, Expr, SqlError, SqlState, Type, stack};
use keys::{SchemaVersion, TableId};
use sqlparser::ast;

use crate::{
    catalog::{Catalog, Table},
    parse::{AsOf, Kind, Statement, fold, token_at},
    plan::{Body, Node, Plan, Subquery, SubqueryKind, depth, optimize},
    postgres::{self, Category},
    room,
    session::ResultColumn,
};

pub(crate) use as_of::{as_of_given, count_as_of};
pub(crate) use expr::Typed;
pub(crate) use restrict::restrict;
pub(crate) use scope::{Scope, ScopeColumn};
use with::Cte;

/// Parameters at or above this are results of subqueries.
pub const SUBQUERY: u16 = 0x8000;
/// The most parameters of a statement.
pub const MAX_PARAMS: u16 = 0x7fff;
/// The most subqueries of a statement.
const MAX_SUBQUERIES: usize = 1_000;

/// A statement being bound.
pub(crate) struct Binder<'a> {
    catalog: &'a Catalog,
    context: &'a EvalContext,
    statement: Option<&'a Statement>,
    /// Types of parameters as far as known.
    params: Vec<Option<Type>>,
    subqueries: Vec<Subquery>,
    tables: Vec<(TableId, SchemaVersion)>,
    /// Queries named by WITH, innermost last.
    ctes: Vec<Cte>,
    /// What the queries around a subquery see, the innermost last: names of theirs are told.
    outer: Vec<Scope>,
    /// Whether a function asks the cluster.
    asks: bool,
    /// Whether a literal says 'now' or the like.
    momentary: bool,
    /// Aggregate calls collected while their SELECT is bound; `None`: none may stand here.
    aggregates: Option<Vec<expr::AggCall>>,
    /// Why none may.
    no_aggregates: &'static str,
    /// How deep the binder is in the statement.
    depth: usize,
}

/// A query's node, and the names and types of its columns.
pub(crate) struct Bound {
    /// What yields the rows.
    pub node: Node,
    /// Their columns.
    pub columns: Vec<ResultColumn>,
}

/// Plans a statement.
///
/// # Errors
/// What is wrong with it, with its place.
pub(crate) fn plan(
    statement: &Statement,
    params: &[Option<Type>],
    catalog: &Catalog,
    context: &EvalContext,
) -> Result<Plan, SqlError> {
    let levels = stack::syntax(statement.levels()) + MAX_STORED;
    stack::room(levels, || plan_in_room(statement, params, catalog, context))
}

fn plan_in_room(
    statement: &Statement,
    params: &[Option<Type>],
    catalog: &Catalog,
    context: &EvalContext,
) -> Result<Plan, SqlError> {
    let mut binder = Binder::new(catalog, context, Some(statement), params.to_vec());
    let Kind::Ast(ast) = statement.kind() else {
        return Err(SqlError::internal("a utility statement cannot be planned"));
    };
    let (body, columns) = match &**ast {
        ast::Statement::Query(query) => {
            let mut bound = binder.query(query)?;
            binder.settle_unknown(&mut bound);
            optimize::finish(&mut bound.node, bound.columns.len());
            (Body::Query(bound.node), bound.columns)
        }
        ast::Statement::Insert(insert) => binder.insert(insert)?,
        ast::Statement::Update(update) => binder.update(update)?,
        ast::Statement::Delete(delete) => binder.delete(delete)?,
        ast::Statement::Truncate(truncate) => binder.truncate(truncate)?,
        other => return Err(unsupported_statement(other)),
    };
    // Also what RETURNING and VALUES list: said before anything is done.
    select::check_width(&columns)?;
    for subquery in &mut binder.subqueries {
        let width = optimize::width(&subquery.node) as usize;
        optimize::finish(&mut subquery.node, width);
    }
    let mut plan = Plan {
        params: binder.params.iter().map(|ty| ty.unwrap_or(Type::Text)).collect(),
        columns: columns.into(),
        body,
        subqueries: binder.subqueries,
        tables: binder.tables,
        asks: binder.asks,
        momentary: binder.momentary,
        long: room::is_long(statement.sql().len()),
        levels: statement.levels() + MAX_STORED,
    };
    let levels = depth::levels(&plan);
    if levels > MAX_PLAN_LEVELS {
        return Err(stack::too_complex());
    }
    plan.levels = levels;
    let mut long = plan.long;
    plan.each_expr(&mut |expr| long |= expr.has_long_steps());
    plan.long = long;
    Ok(plan)
}

/// How deep a plan's nodes and expressions may be, together: what is nested as deep as it may be
/// ([`stack::MAX_NESTING`]) becomes a few levels of a plan for each.
const MAX_PLAN_LEVELS: usize = 10 * stack::MAX_NESTING;

/// A statement that is not built, by its first words: `COPY`, `CREATE VIEW`.
pub(crate) fn unsupported_statement(statement: &ast::Statement) -> SqlError {
    const VERBS: [&str; 4] = ["CREATE", "ALTER", "DROP", "COMMENT"];
    /// Words between a verb and what it is about.
    const BETWEEN: [&str; 6] = ["OR", "REPLACE", "TEMPORARY", "TEMP", "UNIQUE", "RECURSIVE"];
    let text = statement.to_string().to_uppercase();
    let mut words = text.split_whitespace();
    let verb = words.next().unwrap_or("this statement");
    let object = words.find(|word| !BETWEEN.contains(word));
    match object.filter(|_| VERBS.contains(&verb)) {
        Some("MATERIALIZED") => SqlError::unsupported(format!("{verb} MATERIALIZED VIEW")),
        Some(object) => SqlError::unsupported(format!("{verb} {object}")),
        None => SqlError::unsupported(verb),
    }
}

/// The value of an expression without columns or parameters, as this type.
///
/// # Errors
/// It is no such expression, or its value does not fit.
pub(crate) fn constant(
    expr: &ast::Expr,
    ty: Type,
    context: &EvalContext,
) -> Result<Datum, SqlError> {
    let catalog = Catalog::new(SchemaVersion(0), Timestamp::ZERO, Vec::new());
    let mut binder = Binder::new(&catalog, context, None, Vec::new());
    let bound = binder.scalar(expr, &Scope::default())?;
    let bound = binder.assign(bound, ty, "parameter")?;
    binder.refuse_leftovers("here")?;
    bound.expr.eval(&[], context)
}

/// An expression of the catalog (a default, a check) over the columns of a table.
///
/// # Errors
/// It cannot be bound.
pub(crate) fn stored_expression(
    sql: &str,
    table: &Table,
    context: &EvalContext,
) -> Result<Typed, SqlError> {
    stored(sql, &table_scope(table, &table.name), "in a default or a check", context)
}

/// How deep an expression of the catalog may be: whatever plans or runs a statement has room for it.
const MAX_STORED: usize = 200;

fn stored(sql: &str, scope: &Scope, place: &str, context: &EvalContext) -> Result<Typed, SqlError> {
    let catalog = Catalog::new(SchemaVersion(0), Timestamp::ZERO, Vec::new());
    let mut binder = Binder::new(&catalog, context, None, Vec::new());
    let bound = crate::parse::with_expression(sql, |ast| binder.scalar(ast, scope))?;
    binder.refuse_leftovers(place)?;
    if bound.expr.depth() > MAX_STORED {
        return Err(stack::too_complex()
            .with_detail(format!("An expression {place} may be {MAX_STORED} levels deep.")));
    }
    Ok(bound)
}

/// What is said of a default that names a column.
pub(crate) const COLUMN_IN_DEFAULT: &str = "cannot use column reference in DEFAULT expression";

/// What is wrong with a default by itself, with its place in the statement; the literal that an
/// error quotes if all is well but the type of its column.
pub(crate) fn place_of_mistake(
    default: &ast::Expr,
    error: &SqlError,
    statement: &Statement,
    context: &EvalContext,
) -> SqlError {
    let catalog = Catalog::new(SchemaVersion(0), Timestamp::ZERO, Vec::new());
    let mut binder = Binder::new(&catalog, context, Some(statement), Vec::new());
    match binder.scalar(default, &Scope::default()) {
        Err(mistake) => mistake,
        Ok(_) => binder.misused(error.clone(), default),
    }
}

/// An expression of the catalog without columns: a default.
///
/// # Errors
/// It cannot be bound, or is no such expression.
pub(crate) fn stored_constant(sql: &str, context: &EvalContext) -> Result<Typed, SqlError> {
    stored(sql, &Scope::default(), "in a default", context).map_err(|error| match error.sqlstate {
        // There is nothing else that a name could be missing from, and whether the table has such a
        // column is all the same.
        SqlState::UNDEFINED_COLUMN | SqlState::UNDEFINED_TABLE => {
            SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, COLUMN_IN_DEFAULT)
        }
        _ => error,
    })
}

/// What `AS OF SYSTEM TIME` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Snapshot {
    /// This one.
    At(Timestamp),
    /// `with_max_staleness('10s')`, `with_min_timestamp(..)`: the newest that can be read without
    /// going far, but none before this.
    NotBefore(Timestamp),
}

/// The snapshot, or the bound of it, that `AS OF SYSTEM TIME` asks for.
///
/// # Errors
/// `22023` if it is none, or lies in the future.
pub(crate) fn snapshot(asked: &AsOf, context: &EvalContext) -> Result<Snapshot, SqlError> {
    let Some((name, argument)) = bound(&asked.at) else {
        return as_of(asked, context).map(Snapshot::At);
    };
    let Some(argument) = argument else {
        return Err(SqlError::invalid_parameter(format!("{name} takes one argument")));
    };
    let at = match name {
        MAX_STALENESS => {
            let (value, ty) = constant_of_any(argument, context)?;
            let text = expr::text::output(&value, ty, &context.timezone).unwrap_or_default();
            let back = format!("-{}", text.trim());
            let back = ast::Expr::Value(ast::Value::SingleQuotedString(back).into());
            as_of(&AsOf { at: Box::new(back) }, context)?
        }
        _ => as_of(&AsOf { at: Box::new(argument.clone()) }, context)?,
    };
    Ok(Snapshot::NotBefore(at))
}

const MAX_STALENESS: &str = "with_max_staleness";
const MIN_TIMESTAMP: &str = "with_min_timestamp";

/// The function that bounds a snapshot, and its argument if it has one alone.
fn bound(at: &ast::Expr) -> Option<(&'static str, Option<&ast::Expr>)> {
    let ast::Expr::Function(function) = at else { return None };
    let name = function.name.to_string().to_lowercase();
    let name = [MAX_STALENESS, MIN_TIMESTAMP].into_iter().find(|known| *known == name)?;
    let ast::FunctionArguments::List(list) = &function.args else { return Some((name, None)) };
    match list.args.as_slice() {
        [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(argument))] => {
            Some((name, Some(argument)))
        }
        _ => Some((name, None)),
    }
}

/// The snapshot that `AS OF SYSTEM TIME` asks for: a timestamp, an interval back from now
/// (`'-5s'`), or a timestamp of Meridian's own (`1700000000000000000.0000000000`).
///
/// # Errors
/// `22023` if it is none of these or lies in the future.
pub(crate) fn as_of(as_of: &AsOf, context: &EvalContext) -> Result<Timestamp, SqlError> {
    if bound(&as_of.at).is_some() {
        return Err(SqlError::unsupported("a bound on a snapshot other than a single SELECT's")
            .with_hint("Give the snapshot itself, such as '-5s'."));
    }
    let invalid = |text: &str| {
        SqlError::invalid_parameter(format!("invalid AS OF SYSTEM TIME: \"{text}\"")).with_hint(
            "Give a timestamp, a negative interval such as '-5s', or nanoseconds since 1970.",
        )
    };
    let text = match &*as_of.at {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::SingleQuotedString(text) | ast::Value::Number(text, _) => Some(text),
            _ => None,
        },
        _ => None,
    };
    let micros = match text {
        Some(text) => {
            if let Some(own) = own_timestamp(text) {
                return Ok(own);
            }
            let datum = Expr::constant(text.as_str());
            let interval = expr::text::input(text.trim(), Type::Interval, context);
            match interval {
                Ok(Datum::Interval(_)) if text.trim_start().starts_with('-') => {
                    shifted(&interval?, context)?
                }
                _ => {
                    let value = datum.eval(&[], context)?;
                    let text = value.as_text().unwrap_or_default();
                    match expr::text::input(text, Type::TimestampTz, context) {
                        Ok(Datum::TimestampTz(micros)) => micros,
                        _ => return Err(invalid(text)),
                    }
                }
            }
        }
        None => match constant_of_any(&as_of.at, context)? {
            (value @ Datum::Interval(_), _) => shifted(&value, context)?,
            (Datum::TimestampTz(micros), _) => micros,
            (value, ty) => {
                let text = expr::text::output(&value, ty, &context.timezone).unwrap_or_default();
                return Err(invalid(&text));
            }
        },
    };
    let nanos = expr::datetime::to_unix_nanos(micros)
        .ok_or_else(|| invalid("a time before 1970 or beyond 2554"))?;
    if micros > context.statement_time {
        return Err(SqlError::invalid_parameter("AS OF SYSTEM TIME lies in the future"));
    }
    // The whole microsecond is past: the snapshot is its end.
    Ok(Timestamp { wall: nanos + 999, logical: u32::MAX })
}

/// `wall.logical`, as `SHOW COMMIT TIMESTAMP` prints it.
fn own_timestamp(text: &str) -> Option<Timestamp> {
    let (wall, logical) = text.split_once('.').unwrap_or((text, "0"));
    let wall: u64 = wall.parse().ok()?;
    let logical: u32 = logical.parse().ok()?;
    // Less than a year after 1970: a number, but no time.
    (wall > 31_536_000_000_000_000).then_some(Timestamp { wall, logical })
}

fn shifted(interval: &Datum, context: &EvalContext) -> Result<i64, SqlError> {
    let sum = expr::ops::resolve_binary(expr::BinaryOp::Add, Type::TimestampTz, Type::Interval)?;
    let added = Expr::Binary {
        op: sum.op,
        left: Box::new(Expr::Const(Datum::TimestampTz(context.statement_time))),
        right: Box::new(Expr::Const(interval.clone())),
        ty: sum.result,
    };
    match added.eval(&[], context)? {
        Datum::TimestampTz(micros) => Ok(micros),
        other => Err(SqlError::internal(format!("a time plus an interval is {other:?}"))),
    }
}

fn constant_of_any(expr: &ast::Expr, context: &EvalContext) -> Result<(Datum, Type), SqlError> {
    let catalog = Catalog::new(SchemaVersion(0), Timestamp::ZERO, Vec::new());
    let mut binder = Binder::new(&catalog, context, None, Vec::new());
    let bound = binder.scalar(expr, &Scope::default())?;
    binder.refuse_leftovers("in AS OF SYSTEM TIME")?;
    Ok((bound.expr.eval(&[], context)?, bound.ty))
}

/// The columns of a table under a name.
pub(crate) fn table_scope(table: &Table, alias: &str) -> Scope {
    let columns = table
        .columns
        .iter()
        .map(|column| ScopeColumn {
            relation: alias.to_owned(),
            name: column.name.clone(),
            ty: column.ty,
            hidden: column.hidden,
            shadowed: false,
        })
        .collect();
    Scope { columns }
}

impl<'a> Binder<'a> {
    fn new(
        catalog: &'a Catalog,
        context: &'a EvalContext,
        statement: Option<&'a Statement>,
        params: Vec<Option<Type>>,
    ) -> Binder<'a> {
        Binder {
            catalog,
            context,
            statement,
            params,
            subqueries: Vec::new(),
            tables: Vec::new(),
            ctes: Vec::new(),
            outer: Vec::new(),
            asks: false,
            momentary: false,
            aggregates: None,
            no_aggregates: "aggregate functions are not allowed here",
            depth: 0,
        }
    }

    /// One level deeper in the statement.
    fn deeper<T>(
        &mut self,
        level: impl FnOnce(&mut Self) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        if self.depth >= stack::MAX_NESTING {
            return Err(stack::too_complex());
        }
        self.depth += 1;
        let done = stack::guard(|| level(self));
        self.depth -= 1;
        done
    }

    /// An error unless the expression stands on its own.
    fn refuse_leftovers(&self, place: &str) -> Result<(), SqlError> {
        if !self.params.is_empty() {
            return Err(SqlError::new(
                SqlState::UNDEFINED_PARAMETER,
                format!("parameters are not allowed {place}"),
            ));
        }
        if !self.subqueries.is_empty() || self.asks {
            return Err(SqlError::unsupported(format!("a subquery {place}")));
        }
        Ok(())
    }

    /// The error at the place of an identifier.
    pub(crate) fn at(&self, error: SqlError, ident: &ast::Ident) -> SqlError {
        self.at_location(error, ident.span.start)
    }

    /// The error at a place.
    pub(crate) fn at_location(
        &self,
        error: SqlError,
        location: sqlparser::tokenizer::Location,
    ) -> SqlError {
        match self.statement.and_then(|statement| statement.offset(location)) {
            Some(offset) => error.at(offset),
            None => error,
        }
    }

    /// The table of this name, noted as used.
    pub(crate) fn table(&mut self, name: &ast::ObjectName) -> Result<Arc<Table>, SqlError> {
        let (folded, ident) = table_name(name).map_err(|error| self.unknown_table(error, name))?;
        let found = self.catalog.table(&folded).cloned();
        let table = found.ok_or_else(|| {
            let error = match postgres::system_relation(None, &folded) {
                Some(system) => unbuilt_relation(&system),
                None => undefined_table(&folded),
            };
            self.at(error, ident)
        })?;
        let used = (table.id, table.version);
        if !self.tables.contains(&used) {
            self.tables.push(used);
        }
        Ok(table)
    }

    /// The error that a name is no table's, in PostgreSQL's words: a schema that is not there has no
    /// tables, and a keyword is quoted as it was written.
    fn unknown_table(&self, error: SqlError, name: &ast::ObjectName) -> SqlError {
        let Some(ident) = name.0.first().and_then(|part| part.as_ident()) else { return error };
        let error = match error.sqlstate {
            SqlState::INVALID_SCHEMA_NAME => undefined_table(&name.to_string()),
            SqlState::SYNTAX_ERROR => {
                let statement = self.statement;
                let offset = statement.and_then(|statement| statement.offset(ident.span.start));
                match (statement, offset) {
                    (Some(statement), Some(offset)) => {
                        let word = token_at(statement.source(), offset);
                        SqlError::syntax(format!("syntax error at or near \"{word}\""))
                    }
                    _ => error,
                }
            }
            _ => error,
        };
        self.at(error, ident)
    }

    /// Makes a parameter of a subquery.
    fn add_subquery(
        &mut self,
        node: Node,
        kind: SubqueryKind,
        ty: Type,
    ) -> Result<Typed, SqlError> {
        let place = self.push_subquery(node, kind)?;
        let index = SUBQUERY + u16::try_from(place).expect("they are few");
        Ok(Typed { expr: Expr::Param { index, ty }, ty })
    }

    /// A subquery, run behind those before it; answers with its place.
    fn push_subquery(&mut self, node: Node, kind: SubqueryKind) -> Result<usize, SqlError> {
        if self.subqueries.len() >= MAX_SUBQUERIES {
            return Err(SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "too many subqueries")
                .with_hint(format!("A statement has at most {MAX_SUBQUERIES}.")));
        }
        self.subqueries.push(Subquery { node, kind });
        Ok(self.subqueries.len() - 1)
    }

    /// Columns whose type nothing told are texts.
    fn settle_unknown(&mut self, bound: &mut Bound) {
        if bound.columns.iter().all(|column| column.ty != Type::Unknown) {
            return;
        }
        for column in &mut bound.columns {
            if column.ty == Type::Unknown {
                column.ty = Type::Text;
            }
        }
    }
}

/// Words that sqlparser takes for a table's name and PostgreSQL does not.
fn is_reserved(ident: &ast::Ident) -> bool {
    let known = || postgres::keyword(&ident.value).map(|known| known.category);
    ident.quote_style.is_none() && matches!(known(), Some(Category::Reserved))
}

/// The name of a table, without `public.`.
pub(crate) fn table_name(name: &ast::ObjectName) -> Result<(String, &ast::Ident), SqlError> {
    let idents: Option<Vec<&ast::Ident>> = name.0.iter().map(|part| part.as_ident()).collect();
    let idents = idents.ok_or_else(|| SqlError::unsupported(format!("the name {name}")))?;
    match idents.as_slice() {
        [table] if is_reserved(table) => {
            Err(SqlError::syntax(format!("syntax error at or near \"{}\"", table.value)))
        }
        [table] => Ok((fold(table), table)),
        [schema, table] if fold(schema) == "public" => Ok((fold(table), table)),
        [database, schema, table]
            if fold(database) == crate::session::DATABASE && fold(schema) == "public" =>
        {
            Ok((fold(table), table))
        }
        [schema, table] if matches!(fold(schema).as_str(), "pg_catalog" | "information_schema") => {
            let (schema, name) = (fold(schema), fold(table));
            Err(match postgres::system_relation(Some(&schema), &name) {
                Some(system) => unbuilt_relation(&system),
                None => undefined_table(&format!("{schema}.{name}")),
            })
        }
        [schema, _] => Err(SqlError::new(
            SqlState::INVALID_SCHEMA_NAME,
            format!("schema \"{}\" does not exist", fold(schema)),
        )),
        _ => Err(SqlError::unsupported(format!("cross-database reference {name}"))),
    }
}

/// `0A000` for a table or view of PostgreSQL's own.
fn unbuilt_relation(name: &str) -> SqlError {
    SqlError::unsupported(format!("the system catalog {name}"))
        .with_hint("SHOW TABLES, SHOW COLUMNS FROM and SHOW INDEXES FROM tell what there is.")
}

/// `42P01`.
pub(crate) fn undefined_table(name: &str) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist"))
}
