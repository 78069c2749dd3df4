//! Errors on their way to the client: what the transaction layer says, in SQL's words.
//!
//! Three kinds are never mixed: what the client did wrong or must run again ([`SqlError`] with its
//! SQLSTATE), what the cluster cannot do now (`57M01`, `57014`, `53300`), and the one unknown outcome
//! (`40003`).

use expr::{Datum, ErrorObjects, SqlError, SqlState, TimeZone};
use keys::{IndexId, TableId, pretty};
use kv::{Conflict, ConflictKind};
use txn::{Retriable, TxnError};

use crate::{
    catalog::{Catalog, Index, Table},
    postgres,
};

/// Why a statement failed, while it may still be retried.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The transaction layer said no.
    Txn(TxnError),
    /// SQL said no.
    Sql(SqlError),
    /// A table changed after the statement was planned: plan it again, in a new transaction.
    SchemaMoved,
}

/// What execution returns.
pub(crate) type Outcome<T> = Result<T, Failure>;

impl From<TxnError> for Failure {
    fn from(error: TxnError) -> Failure {
        if let TxnError::Program(program) = &error {
            return Failure::Sql(program_error(program));
        }
        Failure::Txn(error)
    }
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Failure {
        Failure::Sql(error)
    }
}

impl Retriable for Failure {
    fn txn_error(&self) -> Option<&TxnError> {
        match self {
            Failure::Txn(error) => Some(error),
            Failure::Sql(_) | Failure::SchemaMoved => None,
        }
    }
}

impl Failure {
    /// The error as the client gets it, keys in the words of this catalog.
    pub(crate) fn into_sql(self, catalog: Option<&Catalog>) -> SqlError {
        match self {
            Failure::Sql(error) => error,
            Failure::Txn(error) => explain(&error, catalog),
            Failure::SchemaMoved => SqlError::new(
                SqlState::SERIALIZATION_FAILURE,
                "could not serialize access due to a concurrent schema change",
            )
            .with_detail("A table that this transaction uses was changed.")
            .with_hint("The transaction might succeed if retried."),
        }
    }
}

/// What a statement is told whose time is over, whatever it waited for.
pub(crate) const STATEMENT_TIMEOUT: &str = "canceling statement due to statement timeout";

/// Fields of an error about a constraint, or the index behind it.
pub(crate) fn about_constraint(table: &str, constraint: &str) -> ErrorObjects {
    ErrorObjects { constraint: Some(constraint.to_owned()), ..about_table(table) }
}

/// Fields of an error about a column.
pub(crate) fn about_column(table: &str, column: &str) -> ErrorObjects {
    ErrorObjects { column: Some(column.to_owned()), ..about_table(table) }
}

fn about_table(table: &str) -> ErrorObjects {
    ErrorObjects {
        schema: Some("public".to_owned()),
        table: Some(table.to_owned()),
        ..ErrorObjects::default()
    }
}

/// A row's key as details of errors show it: `Key (a, "B c")=(1, x)`.
pub(crate) fn key_text(table: &Table, index: &Index, row: &[Datum], zone: &TimeZone) -> String {
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for position in table.positions(index) {
        let column = &table.columns[position];
        names.push(postgres::quoted(&column.name));
        let text = expr::text::output(&row[position], column.ty, zone);
        values.push(text.unwrap_or_else(|| "null".to_owned()));
    }
    format!("Key ({})=({})", names.join(", "), values.join(", "))
}

/// An error of a program that ran at a replica.
fn program_error(error: &kv::PushdownError) -> SqlError {
    if error.encoded.is_empty() {
        return SqlError::internal(error.message.clone());
    }
    postcard::from_bytes(&error.encoded)
        .unwrap_or_else(|_| SqlError::internal(error.message.clone()))
}

/// An error of the transaction layer where no table is at hand.
pub(crate) fn from_txn(error: &TxnError) -> SqlError {
    explain(error, None)
}

/// An error of the transaction layer, keys in the words of a catalog.
fn explain(error: &TxnError, catalog: Option<&Catalog>) -> SqlError {
    let state = SqlState::new(error.sqlstate());
    let named = |span: &keys::Span| named_span(span, catalog);
    let named_key = |key: &keys::Key| named(&keys::Span::point(key.clone()));
    match error {
        TxnError::Retry(conflict) => retry(conflict, catalog),
        TxnError::Unknown { .. } => SqlError::new(state, error.to_string())
            .with_hint("The commit may have happened or not: look before you run it again."),
        TxnError::Unavailable { .. } | TxnError::NoAnswer { .. } => {
            SqlError::new(state, error.to_string())
        }
        TxnError::Blocked { key, holder } => {
            let detail = format!(
                "Transaction {} held a lock on {} until then.",
                holder.short(),
                named_key(key)
            );
            SqlError::new(state, STATEMENT_TIMEOUT).with_detail(detail)
        }
        TxnError::LockBusy { key, holder } => {
            let place = named_key(key);
            let table = place.split('/').next().unwrap_or_default();
            let message = format!("could not obtain lock on row in relation \"{table}\"");
            SqlError::new(state, message)
                .with_detail(format!("Transaction {} holds {place}.", holder.short()))
        }
        TxnError::TooLarge { .. } => SqlError::new(state, error.to_string())
            .with_hint("Split the work into several transactions."),
        TxnError::ReadBudget { .. } => SqlError::new(state, error.to_string())
            .with_hint("Read less at once: add a condition or a LIMIT."),
        TxnError::TooOld { at, threshold, span } => SqlError::new(
            state,
            format!(
                "snapshot {} is older than the retained history of {}",
                moment(*at),
                named(span)
            ),
        )
        .with_detail(format!("History is retained since {}.", moment(*threshold))),
        TxnError::Program(program) => program_error(program),
        TxnError::ReadOnly => SqlError::new(state, "cannot write in a read-only transaction"),
        TxnError::NoRange { .. }
        | TxnError::Oversized { .. }
        | TxnError::InFuture { .. }
        | TxnError::Overloaded(_)
        | TxnError::NoSavepoint(_)
        | TxnError::Invalid(_) => SqlError::new(state, error.to_string()),
    }
}

/// `40001` as a person understands it: which key, by whom, since when (X10).
fn retry(conflict: &Conflict, catalog: Option<&Catalog>) -> SqlError {
    let place = named_span(&conflict.span, catalog);
    let what = match conflict.kind {
        ConflictKind::ReadChanged => "was changed by another transaction",
        ConflictKind::Wounded => "was wanted by an older transaction",
        ConflictKind::Poisoned => "was given up: this transaction was aborted by another one",
        ConflictKind::Expired => "was read too long ago",
        ConflictKind::LockTimeout => "stayed locked until the deadline",
        ConflictKind::LeaderChanged => "lost its lock when its leader changed",
    };
    let mut detail = format!("{place} {what}");
    if let Some(winner) = conflict.winner {
        detail.push_str(&format!(", transaction {}", winner.short()));
    }
    if let Some(at) = conflict.at {
        detail.push_str(&format!(", at {at}"));
    }
    detail.push('.');
    SqlError::new(
        SqlState::SERIALIZATION_FAILURE,
        "could not serialize access due to read/write dependencies among transactions",
    )
    .with_detail(detail)
    .with_hint("The transaction might succeed if retried.")
}

/// A timestamp as people read it; the zone is UTC.
pub(crate) fn moment(at: clock::Timestamp) -> String {
    let micros = expr::datetime::from_unix_nanos(at.wall);
    expr::datetime::format_timestamp_tz(micros, &expr::TimeZone::default())
}

/// A span as people read it: `accounts/primary/[7 - 9]`.
pub(crate) fn named_span(span: &keys::Span, catalog: Option<&Catalog>) -> String {
    let namer = |table: TableId, index: IndexId| {
        let table = catalog?.table_by_id(table)?;
        let index = table.indexes().find(|candidate| candidate.id == index)?;
        let name =
            if index.id == IndexId::PRIMARY { "primary".to_owned() } else { index.name.clone() };
        Some((table.name.clone(), name))
    };
    pretty::named_span(span, &namer)
}
