//! What a dropped table leaves behind: its rows.
//!
//! ```text
//!   DROP TABLE   one transaction: descriptor and name go, a note of the id comes
//!      adopted   no gateway uses the table any more: nothing is written to it from here on
//!        sweep   rows are deleted, a batch per transaction
//!                the note goes when none are left
//! ```
//!
//! The statement is answered before the sweep, which works behind its back. A sweep that a crash or
//! an error ends is gone on with at the next DROP TABLE, on whichever node: the notes are the
//! cluster's. Two nodes may sweep the same table; one of them then deletes what the other one
//! deleted already, which harms nothing.
//!
//! What is deleted is deleted as any row is: its space comes back when the range's garbage
//! collection has passed the deletion (S4). The range itself stays, empty: ranges are not taken
//! apart.

use std::sync::atomic::Ordering;

use keys::{TableId, layout};
use timer::contain::contained;
use txn::{Retriable, Scan, Txn, TxnOptions};

use super::publish::{self, Step};
use crate::{
    catalog::{cache::Lower, store},
    database::Database,
    error::Outcome,
};

/// Rows deleted in one transaction: few enough that others hardly wait for it.
const BATCH_ROWS: u64 = 500;

/// Sweeps behind the caller's back, unless this node does already.
pub(super) fn start(database: &Database) {
    if database.0.sweeping.swap(true, Ordering::AcqRel) {
        return;
    }
    let database = database.clone();
    let work = async move {
        let _over = Lower(&database.0.sweeping);
        if let Err(failure) = sweep(&database).await {
            tracing::warn!("rows of dropped tables are left for later: {failure:?}");
        }
    };
    tokio::spawn(clock::inherit(contained("the sweep of dropped tables", work)));
}

/// Deletes the rows of all tables that are noted, also of those noted meanwhile.
async fn sweep(database: &Database) -> Outcome<()> {
    let mut unused = None;
    while let Some(table) = step(database, unused).await? {
        if unused != Some(table) {
            // Whoever dropped it may have gone before every gateway knew.
            let catalog = database.0.cache.strong().await?;
            publish::adopted(database, Step::read(&catalog)).await;
            unused = Some(table);
        }
    }
    Ok(())
}

/// One transaction, again after conflicts: the table that is noted first, some of whose rows were
/// deleted if it is `unused`, which nobody writes to any more. `None`: nothing is noted.
async fn step(database: &Database, unused: Option<TableId>) -> Outcome<Option<TableId>> {
    let coordinator = &database.0.coordinator;
    let deadline = database.deadline(None);
    let options = TxnOptions { after: coordinator.last_commit(), ..TxnOptions::default() };
    let mut attempts = coordinator.attempts(options, deadline);
    loop {
        let mut txn = attempts.begin();
        txn.set_deadline(Some(deadline));
        let failure = match attempt(&mut txn, unused).await {
            Ok(table) => {
                if !txn.is_finished() {
                    txn.rollback().await;
                }
                return Ok(table);
            }
            Err(failure) => failure,
        };
        let again = match failure.txn_error() {
            Some(error) => attempts.again(error, &mut txn).await,
            None => false,
        };
        if !again {
            if !txn.is_finished() {
                txn.rollback().await;
            }
            return Err(failure);
        }
    }
}

async fn attempt(txn: &mut Txn, unused: Option<TableId>) -> Outcome<Option<TableId>> {
    let Some(table) = store::dropped(txn).await? else { return Ok(None) };
    if unused != Some(table) {
        return Ok(Some(table));
    }
    let rows = txn.scan_page(&Scan::all(layout::table_span(table)), BATCH_ROWS).await?.rows;
    if rows.is_empty() {
        store::forget_dropped(txn, table)?;
    }
    for (key, _) in rows {
        txn.delete(key)?;
    }
    txn.commit().await?;
    Ok(Some(table))
}
