//! Calls: of functions, of aggregates, and of what asks the cluster.

use std::sync::Arc;

use expr::{AggCall, Expr, SqlError, SqlState, Type, Typed, agg, bind};
use sqlparser::ast;

use super::{Binder, Scope};
use crate::{exec::external, parse::fold, postgres};

/// Columns at or above this stand for aggregates until the groups are known.
pub(super) const AGGREGATE: u32 = 0x4000_0000;

impl Binder<'_> {
    /// A call as it stands in the text.
    pub(super) fn function(
        &mut self,
        function: &ast::Function,
        scope: &Scope,
    ) -> Result<Typed, SqlError> {
        let ast::Function {
            name,
            uses_odbc_syntax: false,
            parameters: ast::FunctionArguments::None,
            args,
            within_group,
            filter,
            null_treatment: None,
            over,
        } = function
        else {
            return Err(SqlError::unsupported(format!("this form of calling {}", function.name)));
        };
        if over.is_some() {
            return Err(SqlError::unsupported_all("window functions"));
        }
        if !within_group.is_empty() {
            return Err(SqlError::unsupported("WITHIN GROUP"));
        }
        let (called, ident) = function_name(name)?;
        let bound = match args {
            ast::FunctionArguments::None => self.call(&called, Vec::new()),
            ast::FunctionArguments::Subquery(_) => {
                Err(SqlError::unsupported("ARRAY over a subquery"))
            }
            ast::FunctionArguments::List(list) if agg::is_aggregate(&called) => {
                self.aggregate(&called, list, filter.as_deref(), scope)
            }
            ast::FunctionArguments::List(list) => {
                if filter.is_some() || list.duplicate_treatment.is_some() {
                    let message = format!(
                        "DISTINCT or FILTER specified, but {called} is not an aggregate function"
                    );
                    return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
                }
                if !list.clauses.is_empty() {
                    return Err(SqlError::unsupported_all(format!(
                        "clauses in a call of {called}"
                    )));
                }
                let mut bound = Vec::with_capacity(list.args.len());
                for arg in super::from::function_args(&list.args)? {
                    bound.push(self.scalar(arg, scope)?);
                }
                self.call(&called, bound)
            }
        };
        // The place of a call is that of its name. What its arguments are at fault for is theirs.
        bound.map_err(|error| match error.sqlstate {
            SqlState::DATATYPE_MISMATCH => error,
            state if state.code().starts_with("22") => error,
            _ => self.at(error, ident),
        })
    }

    /// A function over bound arguments.
    pub(super) fn call(&mut self, name: &str, args: Vec<Typed>) -> Result<Typed, SqlError> {
        if matches!(name, "nextval" | "currval" | "setval") {
            return Err(SqlError::unsupported_all("sequences"));
        }
        if let Some(known) = external::FUNCTIONS.iter().find(|known| known.name == name) {
            return self.external(known, args);
        }
        let count = args.len();
        let bound = bind::call(name, args, self.context);
        self.settled(bound.map_err(|error| unbuilt(error, name, count)))
    }

    /// A function that asks the session or the cluster.
    fn external(
        &mut self,
        known: &external::Function,
        args: Vec<Typed>,
    ) -> Result<Typed, SqlError> {
        if args.len() != known.args.len() {
            let types: Vec<Type> = args.iter().map(|arg| arg.ty).collect();
            return Err(expr::functions::undefined(known.name, &types));
        }
        let mut exprs = Vec::with_capacity(args.len());
        for (arg, ty) in args.into_iter().zip(known.args) {
            exprs.push(self.implicit(arg, *ty)?.expr);
        }
        self.asks = true;
        let call = Expr::External { name: Arc::from(known.name), args: exprs, ty: known.result };
        Ok(Typed::new(call, known.result))
    }

    fn aggregate(
        &mut self,
        name: &str,
        list: &ast::FunctionArgumentList,
        filter: Option<&ast::Expr>,
        scope: &Scope,
    ) -> Result<Typed, SqlError> {
        if !list.clauses.is_empty() {
            return Err(SqlError::unsupported(format!("ORDER BY in {name}")));
        }
        // Nothing aggregates inside an aggregate.
        let Some(outer) = self.aggregates.take() else {
            return Err(SqlError::new(SqlState::GROUPING_ERROR, self.no_aggregates));
        };
        let reason = self.no_aggregates;
        self.no_aggregates = "aggregate function calls cannot be nested";
        let call = self.aggregate_call(name, list, filter, scope);
        self.no_aggregates = reason;
        self.aggregates = Some(outer);
        let call = call?;
        let calls = self.aggregates.as_mut().expect("put back");
        let place = calls.iter().position(|known| *known == call).unwrap_or_else(|| {
            calls.push(call.clone());
            calls.len() - 1
        });
        let place = u32::try_from(place).expect("few");
        Ok(Typed::column(AGGREGATE + place, call.result))
    }

    fn aggregate_call(
        &mut self,
        name: &str,
        list: &ast::FunctionArgumentList,
        filter: Option<&ast::Expr>,
        scope: &Scope,
    ) -> Result<AggCall, SqlError> {
        let filter = filter.map(|filter| self.condition(filter, scope, "FILTER")).transpose()?;
        let star = ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Wildcard);
        if list.args.contains(&star) {
            if name != "count" || list.args.len() != 1 || list.duplicate_treatment.is_some() {
                return Err(SqlError::syntax(format!("{name}(*) cannot be called so")));
            }
            return Ok(AggCall { filter, ..AggCall::count_rows() });
        }
        let mut args = Vec::with_capacity(list.args.len());
        for arg in super::from::function_args(&list.args)? {
            args.push(self.scalar(arg, scope)?);
        }
        let types: Vec<Type> = args.iter().map(|arg| arg.ty).collect();
        if name == "count" && types.is_empty() {
            return Err(SqlError::new(
                SqlState::WRONG_OBJECT_TYPE,
                "count(*) must be used to call a parameterless aggregate function",
            ));
        }
        let resolved = agg::resolve(name, &types)?;
        let mut exprs = Vec::with_capacity(args.len());
        for (arg, ty) in args.into_iter().zip(&resolved.args) {
            exprs.push(self.implicit(arg, *ty)?.expr);
        }
        Ok(AggCall {
            func: resolved.func,
            args: exprs,
            distinct: list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct),
            filter,
            result: resolved.result,
        })
    }
}

/// The error that a function does not exist; another if PostgreSQL has it.
pub(super) fn unbuilt(error: SqlError, name: &str, arguments: usize) -> SqlError {
    /// What is written like a function and is none to PostgreSQL.
    const FORMS: [&str; 5] =
        ["current_time", "current_timestamp", "grouping", "localtime", "localtimestamp"];
    let known = agg::is_aggregate(name) || expr::functions::takes(name, arguments);
    if error.sqlstate != SqlState::UNDEFINED_FUNCTION || known {
        return error;
    }
    if matches!(name, "generate_series" | "unnest") {
        return SqlError::unsupported_all("functions that return rows outside FROM")
            .with_hint(format!("SELECT * FROM {name}(...)."));
    }
    if FORMS.contains(&name) || postgres::has_function(name, arguments) {
        return SqlError::unsupported(if expr::functions::exists(name) {
            format!("the function {name} with {arguments} arguments")
        } else {
            format!("the function {name}")
        });
    }
    error
}

/// The name in lower case, without `pg_catalog.`.
fn function_name(name: &ast::ObjectName) -> Result<(String, &ast::Ident), SqlError> {
    let idents: Option<Vec<&ast::Ident>> = name.0.iter().map(|part| part.as_ident()).collect();
    match idents.as_deref() {
        Some([ident]) => Ok((fold(ident), ident)),
        Some([schema, ident]) if fold(schema) == "pg_catalog" => Ok((fold(ident), ident)),
        _ => Err(SqlError::unsupported(format!("function {name}"))),
    }
}
