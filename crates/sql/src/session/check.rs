//! `CHECK TABLE` in a session: a snapshot of its own, over a catalog that is good for it.

use std::sync::Arc;

use expr::{SqlError, SqlState};
use keys::{SchemaVersion, TableId};
use txn::{Access, TxnOptions};

use super::{Execution, Notice, Session, past, run::guarded};
use crate::{
    bind,
    catalog::{Catalog, Table},
    check::{self, Findings},
    error::{Failure, Outcome},
    parse::CheckTables,
    show,
};

/// How often it begins anew because a table changed before the snapshot was taken.
const MAX_TRIES: usize = 10;

impl Session {
    /// Runs `CHECK TABLE`. It answers with a row for each index that is right, and one for each
    /// problem; a warning counts these.
    pub(super) async fn check_tables(&mut self, what: &CheckTables) -> Result<Execution, SqlError> {
        if self.open.is_some() {
            return Err(SqlError::new(
                SqlState::ACTIVE_SQL_TRANSACTION,
                "CHECK TABLE cannot run inside a transaction block",
            ));
        }
        let mut tries = 0;
        let Findings { rows, problems } = loop {
            let result = self.check_once(what).await;
            self.shared.end_txn();
            match result {
                Err(Failure::SchemaMoved) if tries < MAX_TRIES => tries += 1,
                Err(failure) => {
                    let catalog = self.database.0.cache.current().map(|(catalog, _)| catalog);
                    return Err(failure.into_sql(catalog.as_deref()));
                }
                Ok(findings) => break findings,
            }
        };
        if problems > 0 {
            let message = format!("{problems} problems were found");
            self.shared.notice(Notice::new("WARNING", SqlState::DATA_CORRUPTED, message));
        }
        Ok(Execution::Rows { columns: check::columns(), rows, tag: "CHECK TABLE".to_owned() })
    }

    async fn check_once(&mut self, what: &CheckTables) -> Outcome<Findings> {
        let deadline = self.deadline();
        let context = self.context();
        let as_of = what.as_of.as_ref().map(|as_of| bind::as_of(as_of, &context)).transpose()?;
        let catalog = self.database.0.cache.strong().await?;
        let tables = named(&catalog, what)?;
        let used: Vec<(TableId, SchemaVersion)> =
            tables.iter().map(|table| (table.id, table.version)).collect();
        // Whoever changes a table from now on waits until the check is done, as for a query; so the
        // snapshot is of tables as this catalog has them.
        self.shared.note_used(&used);
        self.bound_of(&used).ok_or(Failure::SchemaMoved)?;
        let options = TxnOptions {
            access: Access::ReadOnly,
            as_of,
            after: self.last_commit,
            ..TxnOptions::default()
        };
        let mut txn = self.database.0.coordinator.begin(options);
        txn.set_deadline(Some(deadline));
        self.shared.set_txn(txn.id());
        let work = async {
            if let Some(at) = as_of {
                past::require(&self.database, &mut txn, &used, at).await?;
            }
            check::tables(&mut txn, &catalog, &tables, &context, as_of.is_none()).await
        };
        let findings = guarded(&self.shared, deadline, work).await;
        self.last_read = txn.read_timestamp().or(self.last_read);
        txn.rollback().await;
        findings
    }
}

/// The tables that are asked for, each once.
fn named(catalog: &Catalog, what: &CheckTables) -> Result<Vec<Arc<Table>>, SqlError> {
    let Some(names) = &what.tables else { return Ok(catalog.tables().cloned().collect()) };
    let mut tables: Vec<Arc<Table>> = Vec::with_capacity(names.len());
    for name in names {
        let table = show::named_table(catalog, name)?;
        if !tables.iter().any(|known| known.id == table.id) {
            tables.push(table);
        }
    }
    Ok(tables)
}
