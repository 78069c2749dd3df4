//! One step of a schema change: a transaction over the catalog, and that every gateway knows of it.

use std::sync::Arc;

use clock::Timestamp;
use expr::SqlError;
use futures::{FutureExt, future::join_all};
use keys::{SchemaVersion, layout};
use kv::Descriptor;
use txn::{Retriable, Txn, TxnOptions};

use crate::{
    catalog::{
        Catalog, Table, ids,
        lease::{self, Ends},
        store,
    },
    database::Database,
    error::{Failure, Outcome},
};

/// What a step writes.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    /// Tables, new or changed; their version is set when they are written.
    pub tables: Vec<Table>,
    /// Tables that go.
    pub dropped: Vec<Arc<Table>>,
    /// Names that go, besides those of dropped tables.
    pub freed_names: Vec<String>,
    /// Ranges that the directory shall know.
    pub ranges: Vec<Descriptor>,
}

impl Draft {
    /// Whether nothing changes.
    fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.dropped.is_empty() && self.ranges.is_empty()
    }
}

/// A step that took effect.
#[derive(Debug)]
pub(crate) struct Published<T> {
    /// What the change answered.
    pub value: T,
    /// What it made of the catalog.
    pub step: Step,
}

/// Runs `change` over the catalog as it is and writes what it drafts, again after conflicts.
pub(crate) async fn publish<T: Send>(
    database: &Database,
    change: impl Fn(&Catalog, &mut Draft) -> Result<T, SqlError> + Send + Sync,
) -> Result<Published<T>, SqlError> {
    let mut value = None;
    let mut keep = |catalog: &Catalog, draft: &mut Draft| {
        value = Some(change(catalog, draft)?);
        Ok(())
    };
    let step = write(database, &mut keep).await?;
    Ok(Published { value: value.expect("what was written was drafted"), step })
}

/// Which version a step made of the catalog, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The version.
    pub version: SchemaVersion,
    /// When it was committed, or read if it was there before.
    pub at: Timestamp,
}

impl Step {
    /// The one that this catalog shows.
    pub fn read(catalog: &Catalog) -> Step {
        Step { version: catalog.version, at: catalog.read_at }
    }
}

/// What drafts a step, as often as it takes.
type Change<'a> = dyn FnMut(&Catalog, &mut Draft) -> Result<(), SqlError> + Send + 'a;

/// [`publish`] but for what the change answers.
async fn write(database: &Database, change: &mut Change<'_>) -> Result<Step, SqlError> {
    let deadline = database.deadline(None);
    let coordinator = &database.0.coordinator;
    let options = TxnOptions { after: coordinator.last_commit(), ..TxnOptions::default() };
    let mut attempts = coordinator.attempts(options, deadline);
    loop {
        let mut txn = attempts.begin();
        txn.set_deadline(Some(deadline));
        let failure = match attempt(database, &mut txn, change).await {
            Ok(step) => return Ok(step),
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
            return Err(failure.into_sql(None));
        }
    }
}

async fn attempt(database: &Database, txn: &mut Txn, change: &mut Change<'_>) -> Outcome<Step> {
    let catalog = store::load(txn).await?;
    let mut draft = Draft::default();
    change(&catalog, &mut draft)?;
    if draft.is_empty() {
        txn.rollback().await;
        return Ok(Step::read(&catalog));
    }
    let version = SchemaVersion(catalog.version.0 + 1);
    for name in &draft.freed_names {
        store::delete_name(txn, name)?;
    }
    for table in &draft.dropped {
        store::drop_table(txn, table)?;
    }
    for table in &mut draft.tables {
        table.version = version;
        store::put_table(txn, table)?;
        store::put_name(txn, &table.name, table.id)?;
    }
    for range in &draft.ranges {
        let key = layout::directory_key(&range.span.end);
        let known = txn.get(std::slice::from_ref(&key)).await?.swap_remove(0);
        let known: Option<Descriptor> =
            known.map(|bytes| store::decode("the directory", &bytes)).transpose()?;
        // Two splits may be told in the other order: the higher generation is right.
        if known.is_none_or(|known| known.generation <= range.generation) {
            txn.put(key, store::encode(range))?;
        }
    }
    store::put_version(txn, version)?;
    let info = txn.commit().await?;
    learn(database, &catalog, &draft, version, info.at);
    Ok(Step { version, at: info.at })
}

/// The catalog as of the commit is what was read and what was written: no need to read it again.
fn learn(
    database: &Database,
    before: &Catalog,
    draft: &Draft,
    version: SchemaVersion,
    at: Timestamp,
) {
    let gone = |table: &Table| {
        draft.dropped.iter().any(|dropped| dropped.id == table.id)
            || draft.tables.iter().any(|changed| changed.id == table.id)
    };
    let kept = before.tables().filter(|table| !gone(table)).map(|table| (**table).clone());
    let tables: Vec<Table> = kept.chain(draft.tables.iter().cloned()).collect();
    database.0.cache.learn(Catalog::new(version, at, tables));
    for range in &draft.ranges {
        database.0.router.learn(range.clone());
    }
}

/// Returns once no gateway uses a version older than the step's any more, now or at a later timestamp.
/// Each has confirmed the new one, or the registration has ended under which it could use another. All
/// are asked beside the look at who is registered: where every gateway answers nobody waits for that.
pub(crate) async fn adopted(database: &Database, step: Step) {
    let (cluster, lease) = (&database.0.cluster, database.0.config.schema_lease);
    let coordinator = &database.0.coordinator;
    let ends = Ends::read(coordinator, step.at, lease).map(Arc::new).shared();
    let gateways = cluster.nodes().into_iter().map(|gateway| {
        let confirmed = cluster.adopt_schema(gateway.id, step.version, lease);
        let ends = ends.clone();
        async move {
            let over = async {
                let end = ends.await.of(gateway.id);
                lease::past(coordinator.clock().as_ref(), end).await;
            };
            tokio::select! {
                biased;
                true = confirmed => {}
                () = over => {}
            }
        }
    });
    join_all(gateways).await;
}

impl Database {
    /// A fresh id of a counter of the cluster.
    pub(crate) async fn fresh_id(&self, name: &str, first: u64) -> Result<u64, SqlError> {
        if let Some(id) = self.0.ids.next(name) {
            return Ok(id);
        }
        let count = self.0.config.id_block;
        let coordinator = &self.0.coordinator;
        let options = TxnOptions { after: coordinator.last_commit(), ..TxnOptions::default() };
        let deadline = self.deadline(None);
        let mut attempts = coordinator.attempts(options, deadline);
        let start = loop {
            let mut txn = attempts.begin();
            txn.set_deadline(Some(deadline));
            let taken: Outcome<u64> = async {
                let start = ids::take(&mut txn, name, first, count).await?;
                txn.commit().await?;
                Ok(start)
            }
            .await;
            let failure = match taken {
                Ok(start) => break start,
                Err(failure) => failure,
            };
            let again = match failure.txn_error() {
                Some(error) => attempts.again(error, &mut txn).await,
                None => false,
            };
            if !again {
                return Err(Failure::into_sql(failure, None));
            }
        };
        self.0.ids.fill(name, start + 1..start + count);
        Ok(start)
    }
}
