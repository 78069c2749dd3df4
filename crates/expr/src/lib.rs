//! SQL's types, values and expressions, with PostgreSQL's semantics.
//!
//! A pure core: no I/O, no clock, no randomness of its own, no knowledge of tables or statements.
//! Both sides of the system use it: gateways bind and evaluate expressions, replicas run the parts
//! of a query that were pushed down to them.
//!
//! | module | what |
//! |---|---|
//! | [`types`] | `Type`: what a column or an expression may be; ids and names of PostgreSQL |
//! | [`datum`] | `Datum`: a value; total order and hash that agree with SQL's equality |
//! | [`decimal`], [`datetime`] | arithmetic of `numeric`, dates, times, intervals, time zones |
//! | [`text`], [`wire`] | values as clients see them: text and binary formats |
//! | [`cast`], [`ops`], [`functions`], [`agg`] | what becomes of which types, and how |
//! | [`expr`], [`bind`] | bound expressions, and how a binder builds them |
//! | [`row`], [`key`] | values as the storage has them: rows, tuples, columns of keys |
//! | [`pushdown`] | programs that replicas run over the rows of a scan |
//! | [`error`] | `SqlError` and the SQLSTATEs, used by all of SQL |
//!
//! The way of an expression: the binder turns syntax into [`Typed`] parts by calling [`bind`],
//! bottom up; parameters are filled in ([`Expr::substitute`]) and constants folded
//! ([`Expr::fold`]); then it is evaluated row by row ([`Expr::eval`]), here or at the replicas
//! ([`pushdown::Program`]).
//!
//! Where we differ from PostgreSQL: texts are compared by their bytes (as in its collation `C`);
//! regular expressions have no back references and no lookaround; arrays have one dimension;
//! `timestamp(p)` and `interval` fields are not kept.

pub mod agg;
pub mod bind;
pub mod cast;
pub mod context;
pub mod datetime;
pub mod datum;
pub mod decimal;
pub mod error;
mod eval;
pub mod expr;
pub mod functions;
pub mod key;
mod md5;
pub mod ops;
mod overload;
pub mod pushdown;
pub mod row;
pub mod stack;
#[cfg(test)]
mod testing;
pub mod text;
pub mod types;
pub mod wire;

pub use agg::{Accumulator, AggCall, AggFunc, Spread};
pub use bind::Typed;
pub use context::{ByteaOutput, EvalContext, Hooks, SessionInfo, SettingScope, SharedHooks};
pub use datetime::{Interval, TimeZone};
pub use datum::{Array, Datum};
pub use decimal::Decimal;
pub use error::{ErrorObjects, Result, SqlError, SqlState};
pub use expr::{BinaryOp, CastContext, Expr, Extreme, IsTest, Negation, Quantifier, UnaryOp};
pub use functions::{Func, Volatility};
pub use row::ColumnId;
pub use types::{Category, Element, IntervalModifier, NumericModifier, Type};
