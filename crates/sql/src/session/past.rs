//! Snapshots of the past: a table that is there now may not have been there then.
//!
//! A query is planned over the catalog as it is, whatever its snapshot. Before the table was made its
//! keys hold nothing, and reading nothing there would answer "no rows" to a question that has no
//! answer. So the table's descriptor is read at the snapshot as well. Tables never come back once
//! they are dropped, and ids are never used again: what existed at one time existed at all later
//! ones, and a gateway that saw it once need not look again.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use clock::Timestamp;
use expr::{SqlError, SqlState};
use keys::{IndexId, SchemaVersion, Span, TableId, layout};
use kv::{Reply, Request};
use timer::Instant;
use txn::{Txn, TxnError};

use crate::{
    catalog::{Catalog, store},
    database::Database,
    error::Outcome,
    plan::Plan,
};

/// Since when, at least, each table exists.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<BTreeMap<TableId, Timestamp>>);

impl Known {
    fn existed(&self, table: TableId, at: Timestamp) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&table).is_some_and(|since| *since <= at)
    }

    /// Notes that tables existed; those that are gone meanwhile are forgotten.
    fn note(&self, tables: &[TableId], at: Timestamp, catalog: &Catalog) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|table, _| catalog.table_by_id(*table).is_some());
        for table in tables {
            let since = known.entry(*table).or_insert(at);
            *since = at.min(*since);
        }
    }
}

/// `42P01` unless these tables existed at the snapshot that the transaction is about to read.
pub(super) async fn require(
    database: &Database,
    txn: &mut Txn,
    tables: &[(TableId, SchemaVersion)],
    at: Timestamp,
) -> Outcome<()> {
    let known = &database.0.existed;
    let asked: Vec<TableId> =
        tables.iter().map(|(id, _)| *id).filter(|id| !known.existed(*id, at)).collect();
    if asked.is_empty() {
        return Ok(());
    }
    let catalog = database.catalog().await?;
    let keys: Vec<keys::Key> = asked.iter().map(|id| store::table_key(*id)).collect();
    let found = match txn.get(&keys).await {
        Ok(found) => found,
        // In words of the table that was asked for, not of the catalog.
        Err(TxnError::TooOld { at, threshold, .. }) => {
            let span = Span::prefix(layout::index_prefix(asked[0], IndexId::PRIMARY));
            return Err(TxnError::TooOld { at, threshold, span }.into());
        }
        Err(error) => return Err(error.into()),
    };
    for (id, value) in asked.iter().zip(&found) {
        if value.is_none() {
            let name = catalog.table_by_id(*id).map_or("", |table| table.name.as_str());
            return Err(not_yet(name, at).into());
        }
    }
    known.note(&asked, at, &catalog);
    Ok(())
}

/// Ranges asked at a time for what they serve.
const ASKED_AT_ONCE: usize = 64;

/// The newest snapshot that the replicas nearest to here serve at once (R4), for bounded staleness;
/// `least` if they are behind that: then somebody waits, or is farther away.
pub(super) async fn newest_nearby(
    database: &Database,
    plan: &Plan,
    least: Timestamp,
    deadline: Instant,
) -> Result<Timestamp, SqlError> {
    let router = &database.0.router;
    let mut newest = database.0.coordinator.clock().now().latest_timestamp();
    for (table, _) in &plan.tables {
        let ranges = router.ranges_of(&layout::table_span(*table), deadline).await;
        let ranges = ranges.map_err(|error| crate::error::from_txn(&error))?;
        for some in ranges.chunks(ASKED_AT_ONCE) {
            let asked = some.iter();
            let asked = asked.map(|range| router.send_nearest(range, Request::Status, deadline));
            for answer in futures::future::join_all(asked).await {
                // Who does not answer now will have to be waited for at any snapshot.
                if let Ok(Reply::Status(status)) = answer {
                    newest = newest.min(status.safe_time);
                }
            }
        }
    }
    Ok(newest.max(least))
}

fn not_yet(name: &str, at: Timestamp) -> SqlError {
    let message = format!("relation \"{name}\" did not exist at {}", crate::error::moment(at));
    SqlError::new(SqlState::UNDEFINED_TABLE, message)
        .with_detail("It was created later than the snapshot asked for.")
}
