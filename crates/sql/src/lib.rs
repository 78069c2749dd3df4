//! SQL: from a text to key-range operations, and back to rows.
//!
//! ```text
//!   text --parse--> Statement --bind--> plan --execute--> rows
//!            |          |          |          |
//!          parse      catalog     plan       exec: spans read and written through a txn::Txn
//! ```
//!
//! One [`Database`] serves a node; each client has a [`Session`]. SQL knows tables, keys and spans;
//! which replica holds a span, who leads it, how a transaction commits, is `txn`'s and the
//! ranges' business. What SQL needs from the node besides is [`Cluster`].
//!
//! # How a statement runs
//!
//! 1. [`Session::parse`] reads the text. Texts and plans are cached per database.
//! 2. The binder resolves names against the catalog ([`catalog`]), types every expression, and the
//!    planner turns predicates into *key spans* of an index ([`plan`]).
//! 3. The executor ([`exec`]) reads the spans, several in one request per range; filters,
//!    projections, limits and partial aggregates travel with the request as a program and run at the
//!    replica, unless the transaction's own buffered writes lie in the span.
//! 4. Writes are buffered in the transaction; the commit validates what was read (rule X1).
//!
//! A single statement outside a transaction block is retried after conflicts by itself (X10), never
//! after rows went out. In a block the client gets `40001`, with the key in words and the winner.
//!
//! # HAZARDS
//!
//! The plan's filter is applied to every row again, so spans that are too wide cost time, never
//! correctness; spans that are too narrow would lose rows silently. The planner's twin (a full
//! scan) is run against it under random predicates. A catalog may be used up to the end of its lease
//! only ([`catalog`]): the bound travels with each commit.
//!
//! # What it does not know
//!
//! Correlated subqueries, recursive CTEs, window functions, views, foreign keys, COPY and the system
//! catalogs are refused with `0A000` and their name, as is everything that PostgreSQL has and this
//! lacks (`postgres/mod.rs`); nothing is accepted and ignored that could change a result.

mod bind;
pub mod catalog;
mod check;
mod cluster;
mod config;
pub mod control;
mod database;
mod ddl;
mod error;
mod exec;
mod explain;
mod meter;
mod parse;
mod plan;
mod postgres;
mod room;
mod session;
mod show;
pub mod turns;
mod types;

pub use cluster::{ClockInfo, Cluster, NodeInfo, Placement, Stopped};
pub use config::Config;
pub use database::Database;
pub use expr::{Datum, SqlError, SqlState, Type};
pub use meter::{CommitStats, Histogram, Meter};
pub use parse::Statement;
pub use session::{
    CancelHandle, Execution, Held, Notice, Prepared, ResultColumn, Row, Session, SessionOptions,
    TxnStatus,
};
pub use timer::contain;
pub use types::from_oid as type_from_oid;
