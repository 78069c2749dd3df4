//! The catalog as a gateway keeps it: read once, used under a lease, registered anew in time.
//!
//! Nothing happens while nobody asks. The statement that finds its lease used for longer than
//! `schema_refresh` still uses the catalog and has the gateway registered again behind its back; the
//! one that finds half the lease used waits. So a busy gateway writes one key every second and a half,
//! an idle one none. What is only to be looked at is read without a lease.
//!
//! One read at a time serves all who wait for it, each as long as its statement may take, and tells all
//! of them if it fails: where the catalog's range cannot be had, the last of a hundred statements would
//! otherwise hear after a hundred times that patience. A read that nobody waits for any more ends.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use clock::Timestamp;
use futures::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use keys::{NodeId, RangeId, SchemaVersion};
use timer::{Instant, contain::contained, timeout_at};
use txn::{Access, Coordinator, Retriable, Txn, TxnError, TxnOptions};

use super::{
    Catalog,
    lease::{Lease, Registrar},
    store,
};
use crate::{SqlError, config::Config, error::Failure};

/// The one catalog of a gateway.
#[derive(Debug)]
pub struct Cache {
    reader: Reader,
    config: Config,
    /// The read under way for those who want to look at the catalog, and when it began; those who
    /// wait for it keep it going.
    looking: Slot,
    /// The same for those who want to use it.
    registering: Slot,
    /// Whether a registration behind a statement's back is under way.
    refreshing: AtomicBool,
}

/// What a gateway knows.
#[derive(Debug, Default)]
struct Kept {
    catalog: Option<Arc<Catalog>>,
    /// `None`: this life of the node has not looked yet.
    lease: Option<Lease>,
}

/// A read of the catalog.
type Read = BoxFuture<'static, Result<Arc<Catalog>, Failure>>;

/// A read under way.
type Slot = Mutex<Option<(Timestamp, WeakShared<Read>)>>;

/// What the catalog is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// To see what there is.
    Look,
    /// To plan and run statements by it: the gateway registers.
    Use,
}

/// How urgently a gateway should register again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Not at all.
    Fresh,
    /// Soon; the catalog may still be used.
    Ripe,
    /// Now.
    Old,
}

impl Cache {
    /// An empty one, of the gateway of this node.
    #[must_use]
    pub fn new(coordinator: Arc<Coordinator>, node: NodeId, config: Config) -> Cache {
        let registrar = Registrar { coordinator, node, length: config.schema_lease };
        Cache {
            reader: Reader { registrar, kept: Arc::default() },
            config,
            looking: Slot::default(),
            registering: Slot::default(),
            refreshing: AtomicBool::new(false),
        }
    }

    /// The catalog as last read, and how old its lease is.
    #[must_use]
    pub fn current(&self) -> Option<(Arc<Catalog>, Age)> {
        let catalog = self.reader.kept().catalog.clone()?;
        let age = self.age(&catalog);
        Some((catalog, age))
    }

    /// Whether a registration behind a statement's back is under way.
    #[must_use]
    pub fn is_refreshing(&self) -> bool {
        self.refreshing.load(Ordering::Acquire)
    }

    fn age(&self, catalog: &Catalog) -> Age {
        let (now, lease) = (self.now(), self.config.schema_lease);
        if now < catalog.until.minus(lease.saturating_sub(self.config.schema_refresh)) {
            Age::Fresh
        } else if now < catalog.until.minus(lease / 2) {
            Age::Ripe
        } else {
            Age::Old
        }
    }

    /// `TT.now().latest`: what strong reads are served at.
    fn now(&self) -> Timestamp {
        self.reader.registrar.coordinator.clock().now().latest_timestamp()
    }

    /// A catalog that is not older than this call: what others were told is done by now is in it. To be
    /// looked at; there may be no lease to use it under.
    pub(crate) async fn strong(&self) -> Result<Arc<Catalog>, Failure> {
        let asked = self.now();
        self.read_until(Purpose::Look, None, |catalog, _| catalog.read_at >= asked).await
    }

    /// A catalog that may be used now, if it can be had in time. `None`: in the time that any
    /// statement may take.
    pub(crate) async fn usable(&self, deadline: Option<Instant>) -> Result<Arc<Catalog>, Failure> {
        self.read_until(Purpose::Use, deadline, |_, age| age == Age::Fresh).await
    }

    /// Below which timestamp commits lie that a former life of this node sent; zero if there are none.
    pub(crate) async fn former(&self) -> Result<Timestamp, Failure> {
        Ok(self.reader.lease().await?.former)
    }

    /// Says, if this gateway registered, that it does not use the catalog any more, and forgets it.
    /// Nothing that it ever sent may be on its way.
    pub(crate) async fn leave(&self) -> Result<(), Failure> {
        let Kept { lease, .. } = std::mem::take(&mut *self.reader.kept());
        match lease.filter(|lease| lease.until != Timestamp::ZERO) {
            Some(lease) => self.reader.registrar.leave(&lease).await,
            None => Ok(()),
        }
    }

    /// The kept catalog if it will do, else one that is read.
    async fn read_until(
        &self,
        purpose: Purpose,
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
            let (begun, read) = self.reading(purpose);
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
    fn reading(&self, purpose: Purpose) -> (Timestamp, Shared<Read>) {
        let slot = match purpose {
            Purpose::Look => &self.looking,
            Purpose::Use => &self.registering,
        };
        let mut reading = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let under_way = reading.as_ref().and_then(|(at, read)| Some((*at, read.upgrade()?)));
        // One that is over has told all who waited for it.
        if let Some((at, read)) = under_way.filter(|(_, read)| read.peek().is_none()) {
            return (at, read);
        }
        let (begun, reader) = (self.now(), self.reader.clone());
        // Several may wait for it: all of them are told, also of a panic.
        let read = async move {
            let work = async {
                match purpose {
                    Purpose::Look => reader.look(Timestamp::ZERO).await,
                    Purpose::Use => reader.register().await,
                }
            };
            let read = contained("a read of the catalog", work);
            read.await
                .unwrap_or_else(|| Err(SqlError::internal("the catalog could not be read").into()))
        };
        let read = read.boxed().shared();
        *reading = read.downgrade().map(|weak| (begun, weak));
        (begun, read)
    }

    /// Registers again behind a statement's back, unless that is under way.
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
    pub fn learn(&self, catalog: Catalog) {
        let _known = self.reader.learn(catalog);
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

/// Reads the catalog and keeps it.
#[derive(Clone, Debug)]
struct Reader {
    registrar: Registrar,
    kept: Arc<Mutex<Kept>>,
}

impl Reader {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a catalog, unless a newer one is there; answers with the newest as it may be used.
    fn learn(&self, catalog: Catalog) -> Arc<Catalog> {
        let mut kept = self.kept();
        if let Some(known) = kept.catalog.as_ref().filter(|known| catalog.read_at <= known.read_at)
        {
            return Arc::clone(known);
        }
        // What covers the one before was registered before that was read, and so before this.
        let before = kept.catalog.as_ref().map_or(Timestamp::ZERO, |known| known.until);
        let lease = kept.lease.filter(|lease| lease.covers(catalog.read_at));
        let until = lease.map_or(before, |lease| lease.until);
        let catalog = Arc::new(Catalog { until, ..catalog });
        kept.catalog = Some(Arc::clone(&catalog));
        catalog
    }

    /// What this life of the node knows of its registration; looked for by the first who asks.
    async fn lease(&self) -> Result<Lease, Failure> {
        let known = self.kept().lease;
        match known {
            Some(lease) => Ok(lease),
            None => {
                let found = self.registrar.look().await?;
                // Another one may have found it meanwhile, or registered already.
                Ok(*self.kept().lease.get_or_insert(found))
            }
        }
    }

    /// Reads the version, and the rest if it changed, at this snapshot or a later one.
    async fn look(&self, after: Timestamp) -> Result<Arc<Catalog>, Failure> {
        let known = self.kept().catalog.clone();
        let options = TxnOptions { access: Access::ReadOnly, after, ..TxnOptions::default() };
        let mut txn = self.registrar.coordinator.begin(options);
        let catalog = read_in(&mut txn, known.as_deref()).await;
        let _nothing_written = txn.rollback().await;
        Ok(self.learn(catalog?))
    }

    /// Registers the gateway and answers with a catalog that it may use.
    async fn register(&self) -> Result<Arc<Catalog>, Failure> {
        let known = async {
            let known = self.kept().catalog.clone();
            match known {
                Some(known) => Ok(known),
                None => self.look(Timestamp::ZERO).await,
            }
        };
        let (known, lease) = futures::try_join!(known, self.lease())?;
        match self.registrar.at_once(&known, &lease).await {
            Ok(lease) => {
                self.kept().lease = Some(lease);
                Ok(self.learn(known.seen_again(lease.at)))
            }
            // Something changed, or it was seen too long ago to tell.
            Err(failure) if failure.txn_error().and_then(TxnError::conflict).is_some() => {
                let lease = self.registrar.anew(&lease).await?;
                self.kept().lease = Some(lease);
                self.look(lease.at).await
            }
            Err(failure) => Err(failure),
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

#[cfg(test)]
mod tests;
