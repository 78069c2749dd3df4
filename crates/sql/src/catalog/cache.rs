//! The catalog as a gateway keeps it: read once, used under a lease, read again in time.
//!
//! Nothing happens while nobody asks. The statement that finds the catalog older than
//! `schema_refresh` still uses it and has it read again behind its back; the one that finds it older
//! than half the lease waits. So a busy gateway reads one key every second and a half, an idle one
//! none.
//!
//! One read at a time serves all who wait for it, each as long as its statement may take, and tells all
//! of them if it fails: where the catalog's range cannot be had, the last of a hundred statements would
//! otherwise hear after a hundred times that patience. A read that nobody waits for any more ends.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use clock::Timestamp;
use futures::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use keys::{RangeId, SchemaVersion};
use timer::{Instant, contain::contained, timeout_at};
use txn::{Access, Coordinator, Txn, TxnError, TxnOptions};

use super::{Catalog, store};
use crate::{SqlError, config::Config, error::Failure};

/// The one catalog of a gateway.
#[derive(Debug)]
pub struct Cache {
    coordinator: Arc<Coordinator>,
    config: Config,
    current: Arc<Mutex<Option<Arc<Catalog>>>>,
    /// The read under way and when it began; those who wait for it keep it going.
    reading: Mutex<Option<(Timestamp, WeakShared<Read>)>>,
    /// Whether a read behind a statement's back is under way.
    refreshing: AtomicBool,
}

/// A read of the catalog.
type Read = BoxFuture<'static, Result<Arc<Catalog>, Failure>>;

/// How urgently a kept catalog should be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Not at all.
    Fresh,
    /// Soon; it may still be used.
    Ripe,
    /// Now.
    Old,
}

impl Cache {
    /// An empty one.
    #[must_use]
    pub fn new(coordinator: Arc<Coordinator>, config: Config) -> Cache {
        Cache {
            coordinator,
            config,
            current: Arc::default(),
            reading: Mutex::new(None),
            refreshing: AtomicBool::new(false),
        }
    }

    /// The catalog as last read, and how old it is.
    #[must_use]
    pub fn current(&self) -> Option<(Arc<Catalog>, Age)> {
        let catalog = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let age = self.age(&catalog);
        Some((catalog, age))
    }

    /// Whether a read behind a statement's back is under way.
    #[must_use]
    pub fn is_refreshing(&self) -> bool {
        self.refreshing.load(Ordering::Acquire)
    }

    fn age(&self, catalog: &Catalog) -> Age {
        let now = self.now();
        if now < catalog.read_at.plus(self.config.schema_refresh) {
            Age::Fresh
        } else if now < catalog.read_at.plus(self.config.schema_lease / 2) {
            Age::Ripe
        } else {
            Age::Old
        }
    }

    /// `TT.now().latest`: what strong reads are served at.
    fn now(&self) -> Timestamp {
        self.coordinator.clock().now().latest_timestamp()
    }

    /// A transaction that uses this catalog must commit below this.
    #[must_use]
    pub fn lease_end(&self, catalog: &Catalog) -> Timestamp {
        catalog.read_at.plus(self.config.schema_lease)
    }

    /// A catalog that is not older than this call: what others were told is done by now is in it.
    pub(crate) async fn strong(&self) -> Result<Arc<Catalog>, Failure> {
        let asked = self.now();
        self.read_until(None, |catalog, _| catalog.read_at >= asked).await
    }

    /// A catalog that may be used now, if it can be had in time. `None`: in the time that any
    /// statement may take.
    pub(crate) async fn usable(&self, deadline: Option<Instant>) -> Result<Arc<Catalog>, Failure> {
        self.read_until(deadline, |_, age| age == Age::Fresh).await
    }

    /// The kept catalog if it will do, else one that is read.
    async fn read_until(
        &self,
        deadline: Option<Instant>,
        will_do: impl Fn(&Catalog, Age) -> bool,
    ) -> Result<Arc<Catalog>, Failure> {
        let asked = self.now();
        loop {
            if let Some((catalog, age)) = self.current()
                && will_do(&catalog, age)
            {
                return Ok(catalog);
            }
            let (begun, read) = self.reading();
            let read = match deadline {
                None => read.await,
                Some(deadline) => timeout_at(deadline, read).await.unwrap_or_else(|_| {
                    let missing = "the catalog could not be read in time".to_owned();
                    Err(TxnError::Unavailable { range: RangeId::SYSTEM, missing }.into())
                }),
            }?;
            // One that began before this call may be too old for it; the next is not.
            if begun >= asked || will_do(&read, self.age(&read)) {
                return Ok(read);
            }
        }
    }

    /// The read under way, or one that begins now; and when it began.
    fn reading(&self) -> (Timestamp, Shared<Read>) {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let under_way = reading.as_ref().and_then(|(at, read)| Some((*at, read.upgrade()?)));
        // One that is over has told all who waited for it.
        if let Some((at, read)) = under_way.filter(|(_, read)| read.peek().is_none()) {
            return (at, read);
        }
        let (begun, known) = (self.now(), self.current().map(|(catalog, _)| catalog));
        let (coordinator, current) = (self.coordinator.clone(), self.current.clone());
        // Several may wait for it: all of them are told, also of a panic.
        let read = async move {
            let read = contained("a read of the catalog", read(coordinator, known, current));
            read.await
                .unwrap_or_else(|| Err(SqlError::internal("the catalog could not be read").into()))
        };
        let read = read.boxed().shared();
        *reading = read.downgrade().map(|weak| (begun, weak));
        (begun, read)
    }

    /// Reads the catalog again behind a statement's back, unless that is under way.
    pub(crate) async fn refresh(&self) {
        if self.refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        let _over = Lower(&self.refreshing);
        if let Err(error) = self.usable(None).await {
            tracing::debug!("the catalog was not read again: {error:?}");
        }
    }

    /// Takes in a catalog that was read, unless a newer one is there.
    pub fn learn(&self, catalog: &Arc<Catalog>) {
        learn(&self.current, catalog);
    }
}

/// Lowers a flag however what it stands for ends.
#[derive(Debug)]
pub(crate) struct Lower<'a>(pub &'a AtomicBool);

impl Drop for Lower<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn learn(current: &Mutex<Option<Arc<Catalog>>>, catalog: &Arc<Catalog>) {
    let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
    let newer = current.as_ref().is_none_or(|known| known.read_at < catalog.read_at);
    if newer {
        *current = Some(catalog.clone());
    }
}

/// Reads the version, and the rest if it changed.
async fn read(
    coordinator: Arc<Coordinator>,
    known: Option<Arc<Catalog>>,
    current: Arc<Mutex<Option<Arc<Catalog>>>>,
) -> Result<Arc<Catalog>, Failure> {
    let options = TxnOptions { access: Access::ReadOnly, ..TxnOptions::default() };
    let mut txn = coordinator.begin(options);
    let catalog = read_in(&mut txn, known.as_deref()).await;
    let _nothing_written = txn.rollback().await;
    let catalog = Arc::new(catalog?);
    learn(&current, &catalog);
    Ok(catalog)
}

async fn read_in(txn: &mut Txn, known: Option<&Catalog>) -> Result<Catalog, Failure> {
    if let Some(known) = known {
        let version: SchemaVersion = store::version(txn).await?;
        if version == known.version {
            let read_at = txn.read_timestamp().expect("it has just read");
            return Ok(known.seen_again(read_at));
        }
    }
    Ok(store::load(txn).await?)
}

#[cfg(test)]
mod tests;
