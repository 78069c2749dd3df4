//! What all sessions of a node share: the catalog under its lease, plans, ids, and the register of
//! sessions.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering},
    },
    time::Duration,
};

use clock::Timestamp;
use expr::{SqlError, SqlState};
use keys::SchemaVersion;
use rustc_hash::FxHashMap;
use timer::{Instant, contain::contained};
use trace::Tracer;
use txn::{Coordinator, Router};

use crate::{
    catalog::{
        Catalog,
        cache::{Age, Cache},
        ids::{Blocks, RowIds},
        lease,
    },
    cluster::Cluster,
    config::Config,
    error::Failure,
    parse::{self, Statement},
    plan::Plan,
    room,
    session::{Account, Session, SessionOptions, Shared, past},
};

/// The database of a node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Database(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub coordinator: Arc<Coordinator>,
    pub router: Arc<Router>,
    pub cluster: Arc<dyn Cluster>,
    /// Makes the spans of this gateway.
    pub tracer: Arc<Tracer>,
    pub config: Config,
    pub cache: Cache,
    pub ids: Blocks,
    pub row_ids: RowIds,
    /// Which tables are known to have existed when.
    pub existed: past::Known,
    /// Whether rows of dropped tables are being deleted behind somebody's back.
    pub sweeping: AtomicBool,
    /// Statements by their text, so that a repeated text is read once.
    texts: Mutex<TextCache<Arc<str>, Arc<[Statement]>>>,
    /// Plans by text and parameter types; each knows which tables it is good for.
    plans: Mutex<TextCache<PlanKey, Arc<Plan>>>,
    /// What all sessions keep between statements.
    pub kept: Arc<Account>,
    sessions: Mutex<BTreeMap<i32, Arc<Shared>>>,
    next_pid: AtomicI32,
    /// Sessions that ended by a panic.
    panics: AtomicU64,
}

/// What tells plans apart besides the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PlanKey {
    /// The statement's text.
    pub text: Arc<str>,
    /// Types given for its parameters.
    pub params: Vec<Option<expr::Type>>,
    /// In which times without a zone were read.
    pub timezone: String,
    /// How constants of `bytea` became text.
    pub bytea_output: String,
}

/// How soon a catalog that is older than announced is read again.
const ADOPT_AGAIN: Duration = Duration::from_millis(10);

impl Database {
    /// The database of this node.
    #[must_use]
    pub fn new(
        coordinator: Arc<Coordinator>,
        router: Arc<Router>,
        cluster: Arc<dyn Cluster>,
        config: Config,
    ) -> Database {
        let node = cluster.node_id();
        // Pids differ between nodes, so that a person can tell sessions apart.
        let first_pid = i32::try_from(node.0 % 20_000).unwrap_or(0) * 100_000 + 1;
        let tracer = cluster.tracer();
        let alone = || Tracer::new(node, coordinator.clock().clone(), 1);
        Database(Arc::new(Inner {
            tracer: tracer.unwrap_or_else(alone),
            cache: Cache::new(coordinator.clone(), node, config.clone()),
            coordinator,
            router,
            row_ids: RowIds::new(node),
            cluster,
            kept: Arc::new(Account::new(config.node_kept)),
            config,
            ids: Blocks::default(),
            existed: past::Known::default(),
            sweeping: AtomicBool::new(false),
            texts: Mutex::new(TextCache::default()),
            plans: Mutex::new(TextCache::default()),
            sessions: Mutex::default(),
            next_pid: AtomicI32::new(first_pid),
            panics: AtomicU64::new(0),
        }))
    }

    /// A session for a client.
    ///
    /// # Errors
    /// `53300` beyond the most sessions, `3D000` for another database than `meridian`, `22023` for a
    /// start-up parameter that cannot be.
    pub fn session(&self, options: SessionOptions) -> Result<Session, SqlError> {
        if options.database != crate::session::DATABASE {
            return Err(SqlError::new(
                SqlState::INVALID_CATALOG_NAME,
                format!("database \"{}\" does not exist", options.database),
            ));
        }
        let pid = self.0.next_pid.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::new(Shared::new(pid, &options));
        {
            let mut sessions = lock(&self.0.sessions);
            if sessions.len() >= self.0.config.max_sessions {
                return Err(SqlError::new(
                    SqlState::TOO_MANY_CONNECTIONS,
                    "sorry, too many clients already",
                ));
            }
            sessions.insert(pid, shared.clone());
        }
        Session::new(self.clone(), shared, options)
    }

    /// A session ended by a panic; how many have since the node started.
    #[must_use]
    pub fn note_panic(&self) -> u64 {
        self.0.panics.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How many sessions ended by a panic since the node started.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.0.panics.load(Ordering::Relaxed)
    }

    /// Takes a session out of the register.
    pub(crate) fn forget_session(&self, pid: i32) {
        lock(&self.0.sessions).remove(&pid);
    }

    /// All sessions of this node, by pid.
    pub(crate) fn sessions(&self) -> Vec<Arc<Shared>> {
        lock(&self.0.sessions).values().cloned().collect()
    }

    /// The session with this pid.
    pub(crate) fn session_by_pid(&self, pid: i32) -> Option<Arc<Shared>> {
        lock(&self.0.sessions).get(&pid).cloned()
    }

    /// Cancels what the session with this pid runs. `false`: no such session on this node.
    #[must_use]
    pub fn cancel(&self, pid: i32) -> bool {
        self.session_by_pid(pid).map(|shared| shared.cancel()).is_some()
    }

    /// Adopts the catalog of this version or a later one, and waits for running transactions that
    /// used tables as they were before, and for commits that nobody here waits for any more: those of a
    /// former life of this node, and those that were given up. What a gateway answers to
    /// [`Cluster::adopt_schema`].
    ///
    /// # Errors
    /// The catalog could not be read, or a transaction did not end within the lease.
    pub async fn adopt_schema(&self, version: SchemaVersion) -> Result<(), SqlError> {
        let deadline = Instant::now() + self.0.config.schema_lease;
        // What was announced was committed before: a strong read cannot miss it. Only where
        // commit-wait is off, this node's clock may not have come to it yet.
        let catalog = loop {
            let catalog = self.0.cache.strong().await.map_err(|error| error.into_sql(None))?;
            if catalog.version >= version {
                break catalog;
            }
            if Instant::now() >= deadline {
                return Err(SqlError::internal(format!(
                    "the catalog is at {} after {version} was announced",
                    catalog.version
                )));
            }
            timer::sleep(ADOPT_AGAIN).await;
        };
        for session in self.sessions() {
            let wait = session.wait_until_free_of(&catalog);
            if timer::timeout_at(deadline, wait).await.is_err() {
                return Err(SqlError::new(
                    SqlState::OBJECT_IN_USE,
                    format!("session {} still uses the former schema", session.pid),
                ));
            }
        }
        let former = self.0.cache.former().await.map_err(|error| error.into_sql(None))?;
        let coordinator = &self.0.coordinator;
        let sent = former.max(coordinator.in_doubt_until());
        lease::past(coordinator.clock().as_ref(), sent).await;
        Ok(())
    }

    /// Says that this gateway does not use the catalog any more, so that no schema change waits for it
    /// once it is gone. For a node that stops and has no session any more; nothing happens where a
    /// commit of one may still be on its way.
    pub async fn leave(&self) {
        let (coordinator, idle) = (&self.0.coordinator, self.sessions().is_empty());
        if !idle || !coordinator.clock().now().after(coordinator.in_doubt_until()) {
            return;
        }
        if let Err(failure) = self.0.cache.leave().await {
            tracing::debug!("schema changes may wait for this node a while: {failure:?}");
        }
    }

    /// A catalog that may be used now.
    pub(crate) async fn catalog(&self) -> Result<Arc<Catalog>, Failure> {
        self.catalog_until(None).await
    }

    /// The tables that are known here, if they may be out of date, so that the catalog has to be
    /// read before a statement may use any. For what uses none: it needs no range, and no quorum.
    pub(crate) fn catalog_out_of_date(&self) -> Option<Arc<Catalog>> {
        match self.0.cache.current() {
            Some((_, Age::Fresh | Age::Ripe)) => None,
            Some((catalog, Age::Old)) => Some(catalog),
            None => {
                let none = Catalog::new(SchemaVersion(0), Timestamp::ZERO, Vec::new());
                Some(Arc::new(none))
            }
        }
    }

    /// A catalog that may be used now, if it can be had in time.
    pub(crate) async fn catalog_until(
        &self,
        deadline: Option<Instant>,
    ) -> Result<Arc<Catalog>, Failure> {
        match self.0.cache.current() {
            Some((catalog, Age::Fresh)) => Ok(catalog),
            Some((catalog, Age::Ripe)) => {
                if !self.0.cache.is_refreshing() {
                    let database = self.clone();
                    let refresh = async move { database.0.cache.refresh().await };
                    tokio::spawn(clock::inherit(contained(
                        "an early read of the catalog",
                        refresh,
                    )));
                }
                Ok(catalog)
            }
            Some((_, Age::Old)) | None => self.0.cache.usable(deadline).await,
        }
    }

    /// Reads a text, or finds it read.
    pub(crate) fn parse(&self, sql: &str) -> Result<Arc<[Statement]>, SqlError> {
        if let Some(known) = lock(&self.0.texts).kept.get(sql) {
            return Ok(known.clone());
        }
        let statements: Arc<[Statement]> = room::aside(sql.len(), || parse::parse(sql))?.into();
        let limit = self.0.config.max_plans;
        lock(&self.0.texts).keep(sql.into(), sql.len(), statements.clone(), limit);
        Ok(statements)
    }

    /// A plan made before that is good for this catalog.
    pub(crate) fn cached_plan(&self, key: &PlanKey, catalog: &Catalog) -> Option<Arc<Plan>> {
        let plan = lock(&self.0.plans).kept.get(key).cloned()?;
        is_current(&plan.tables, catalog).then_some(plan)
    }

    /// Keeps a plan.
    pub(crate) fn keep_plan(&self, key: PlanKey, plan: &Arc<Plan>) {
        let length = key.text.len();
        lock(&self.0.plans).keep(key, length, plan.clone(), self.0.config.max_plans);
    }

    /// The time now, as SQL counts it: microseconds since 2000, the middle of the interval.
    pub(crate) fn micros(&self) -> i64 {
        let interval = self.0.coordinator.clock().now();
        expr::datetime::from_unix_nanos(interval.middle())
    }

    /// When something begun now must be done.
    pub(crate) fn deadline(&self, timeout: Option<Duration>) -> Instant {
        Instant::now() + timeout.unwrap_or(self.0.config.statement_timeout)
    }
}

/// Longer texts are read and planned each time: they are loads of data, hardly ever repeated.
const MAX_CACHED_TEXT: usize = 4 << 10;
/// Bytes of text in a cache; what is made of a text takes some twenty times as much.
const MAX_CACHED_BYTES: usize = 1 << 20;

/// What was made of texts. Emptied when it is full: what is used often is soon there again.
#[derive(Debug)]
struct TextCache<K, V> {
    kept: FxHashMap<K, V>,
    bytes: usize,
}

impl<K, V> Default for TextCache<K, V> {
    fn default() -> TextCache<K, V> {
        TextCache { kept: FxHashMap::default(), bytes: 0 }
    }
}

impl<K: Eq + std::hash::Hash, V> TextCache<K, V> {
    fn keep(&mut self, key: K, length: usize, value: V, most: usize) {
        if length > MAX_CACHED_TEXT {
            return;
        }
        if self.kept.len() >= most || self.bytes + length > MAX_CACHED_BYTES {
            self.kept.clear();
            self.bytes = 0;
        }
        self.bytes += length;
        self.kept.insert(key, value);
    }
}

/// Whether the tables are still as they were.
pub(crate) fn is_current(tables: &[(keys::TableId, SchemaVersion)], catalog: &Catalog) -> bool {
    tables.iter().all(|(id, version)| {
        catalog.table_by_id(*id).is_some_and(|table| table.version == *version)
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
