//! The catalog as a gateway keeps it: read once, used under a lease, read again in time.
//!
//! Nothing happens while nobody asks. The statement that finds the catalog older than
//! `schema_refresh` still uses it and has it read again behind its back; the one that finds it older
//! than half the lease waits. So a busy gateway reads one key every second and a half, an idle one
//! none.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use clock::Timestamp;
use keys::SchemaVersion;
use txn::{Access, Coordinator, Txn, TxnOptions};

use super::{Catalog, store};
use crate::{config::Config, error::Failure};

/// The one catalog of a gateway.
#[derive(Debug)]
pub struct Cache {
    coordinator: Arc<Coordinator>,
    config: Config,
    current: Mutex<Option<Arc<Catalog>>>,
    /// Held while the catalog is being read: one read serves all who wait for it.
    reading: tokio::sync::Mutex<()>,
    /// Whether a read behind a statement's back is under way.
    refreshing: AtomicBool,
}

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
            current: Mutex::new(None),
            reading: tokio::sync::Mutex::new(()),
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
        let _reading = self.reading.lock().await;
        if let Some((catalog, _)) = self.current()
            && catalog.read_at >= asked
        {
            return Ok(catalog);
        }
        self.read().await
    }

    /// A catalog that may be used now.
    pub(crate) async fn usable(&self) -> Result<Arc<Catalog>, Failure> {
        let _reading = self.reading.lock().await;
        match self.current() {
            Some((catalog, Age::Fresh)) => Ok(catalog),
            _ => self.read().await,
        }
    }

    /// Reads the catalog again behind a statement's back, unless that is under way.
    pub(crate) async fn refresh(&self) {
        if self.refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Err(error) = self.usable().await {
            tracing::debug!("the catalog was not read again: {error:?}");
        }
        self.refreshing.store(false, Ordering::Release);
    }

    /// Reads the version, and the rest if it changed.
    async fn read(&self) -> Result<Arc<Catalog>, Failure> {
        let options = TxnOptions { access: Access::ReadOnly, ..TxnOptions::default() };
        let mut txn = self.coordinator.begin(options);
        let known = self.current().map(|(catalog, _)| catalog);
        let catalog = read_in(&mut txn, known.as_deref()).await;
        let _nothing_written = txn.rollback().await;
        let catalog = Arc::new(catalog?);
        self.learn(&catalog);
        Ok(catalog)
    }

    /// Takes in a catalog that was read, unless a newer one is there.
    pub fn learn(&self, catalog: &Arc<Catalog>) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let newer = current.as_ref().is_none_or(|known| known.read_at < catalog.read_at);
        if newer {
            *current = Some(catalog.clone());
        }
    }
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
