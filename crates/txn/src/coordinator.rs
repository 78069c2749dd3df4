//! The coordinator of a node: begins transactions, retries those that may be retried by
//! themselves, and bounds what goes on behind answers.

use std::{
    fmt,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use clock::{SharedClock, Timestamp};
use futures::future::BoxFuture;
use keys::TxnId;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use timer::{Instant, contain::contained, sleep_until};
use tokio::{runtime::Handle, sync::Semaphore, task::JoinHandle};
use trace::Kind;

use crate::{CommitInfo, Config, Router, Txn, TxnError, TxnOptions};

/// One per node: begins transactions and keeps their limits.
pub struct Coordinator {
    router: Arc<Router>,
    clock: SharedClock,
    config: Config,
    rng: Mutex<ChaCha8Rng>,
    /// The highest commit timestamp this gateway was told: later snapshots lie at or above it.
    last_commit: Mutex<Timestamp>,
    /// Below this lie all bounded commits that were sent and then given up, their outcome unknown.
    in_doubt: Mutex<Timestamp>,
    /// A permit for each clean-up behind an answer.
    background: Arc<Semaphore>,
}

/// An error of a layer above that may carry a [`TxnError`].
pub trait Retriable: From<TxnError> {
    /// The transaction's error inside, if it is one.
    fn txn_error(&self) -> Option<&TxnError>;
}

impl Retriable for TxnError {
    fn txn_error(&self) -> Option<&TxnError> {
        Some(self)
    }
}

impl Coordinator {
    /// A coordinator. `seed` feeds transaction ids and the jitter of pauses: no two nodes of a
    /// cluster, and no two lives of a node, may have the same.
    #[must_use]
    pub fn new(
        router: Arc<Router>,
        clock: SharedClock,
        config: Config,
        seed: u64,
    ) -> Arc<Coordinator> {
        assert!(config.max_read_spans > 1, "a read set needs room to be widened in");
        let background = Arc::new(Semaphore::new(config.max_background));
        let rng = Mutex::new(ChaCha8Rng::seed_from_u64(seed));
        let last_commit = Mutex::new(Timestamp::ZERO);
        let in_doubt = Mutex::new(Timestamp::ZERO);
        Arc::new(Coordinator { router, clock, config, rng, last_commit, in_doubt, background })
    }

    /// Begins a transaction. Nothing is sent and no snapshot is taken yet.
    #[must_use]
    pub fn begin(self: &Arc<Coordinator>, options: TxnOptions) -> Txn {
        let id = self.draw_id();
        self.begin_as(id, options)
    }

    /// An id for a transaction that begins later. Never used twice.
    #[must_use]
    pub fn draw_id(&self) -> TxnId {
        TxnId(self.rng().random())
    }

    fn begin_as(self: &Arc<Coordinator>, id: TxnId, options: TxnOptions) -> Txn {
        let start = self.clock.now().latest_timestamp();
        Txn::new(self.clone(), id, start, options)
    }

    /// The attempts of one statement that may be retried by itself.
    #[must_use]
    pub fn attempts(self: &Arc<Coordinator>, options: TxnOptions, deadline: Instant) -> Attempts {
        let (coordinator, lock_wait) = (self.clone(), Duration::ZERO);
        Attempts { coordinator, options, tries: 0, deadline, first: None, lock_wait }
    }

    /// Runs `body` in a transaction and commits it, again after conflicts: with the priority of the
    /// first attempt (X5), its keys locked first (X6), at most [`Config::max_retries`] times.
    ///
    /// # Errors
    /// What the body or the last commit failed with.
    pub async fn run_retrying<T, E, F>(
        self: &Arc<Coordinator>,
        options: TxnOptions,
        timeout: Duration,
        mut body: F,
    ) -> Result<(T, CommitInfo), E>
    where
        E: Retriable,
        F: for<'a> FnMut(&'a mut Txn) -> BoxFuture<'a, Result<T, E>>,
    {
        let deadline = Instant::now() + timeout;
        let mut attempts = self.attempts(options, deadline);
        loop {
            let mut txn = attempts.begin();
            let error = match body(&mut txn).await {
                Ok(value) => match txn.commit().await {
                    Ok(info) => return Ok((value, info)),
                    Err(error) => E::from(error),
                },
                Err(error) => error,
            };
            let again = match error.txn_error() {
                Some(reason) => attempts.again(reason, &mut txn).await,
                None => false,
            };
            if !again {
                txn.rollback().await;
                return Err(error);
            }
        }
    }

    /// The router.
    #[must_use]
    pub fn router(&self) -> &Arc<Router> {
        &self.router
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &SharedClock {
        &self.clock
    }

    /// The limits.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The highest commit timestamp this gateway was told; [`Timestamp::ZERO`]: none.
    #[must_use]
    pub fn last_commit(&self) -> Timestamp {
        *self.last_commit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until when something may become of commits that this gateway sent and gave up, as far as they
    /// have a bound ([`Txn::set_not_after`]); [`Timestamp::ZERO`]: there are none.
    #[must_use]
    pub fn in_doubt_until(&self) -> Timestamp {
        *self.in_doubt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A commit below this bound was sent and is given up, its outcome unknown.
    pub(crate) fn give_up_below(&self, bound: Timestamp) {
        if bound != Timestamp::MAX {
            let mut in_doubt = self.in_doubt.lock().unwrap_or_else(PoisonError::into_inner);
            *in_doubt = bound.max(*in_doubt);
        }
    }

    /// Takes note of a commit.
    pub(crate) fn committed(&self, at: Timestamp) {
        let mut last = self.last_commit.lock().unwrap_or_else(PoisonError::into_inner);
        *last = at.max(*last);
    }

    /// Runs something behind an answer, for at most [`Config::background_timeout`]. `None`: too
    /// much of that is going on (or no runtime is left); it is not done at all, and whoever meets
    /// what it would have cleaned up asks the transaction record instead (X7).
    pub(crate) fn behind<F>(&self, work: F) -> Option<JoinHandle<()>>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = Handle::try_current().ok()?;
        let Ok(permit) = self.background.clone().try_acquire_owned() else {
            tracing::warn!(limit = self.config.max_background, "too many clean-ups at a time");
            return None;
        };
        let timeout = self.config.background_timeout;
        // Open from now on: who waits for the end of the trace waits for this.
        let span = trace::span(Kind::Operation, || "behind the answer".to_owned());
        let work = async move {
            let _permit = permit;
            if timer::timeout(timeout, trace::within(&span, pin!(work))).await.is_err() {
                tracing::warn!("a clean-up behind an answer ran out of time");
            }
        };
        // What one that panics leaves is found by others, as if its gateway had died (X7).
        Some(runtime.spawn(clock::inherit(async {
            contained("a clean-up behind an answer", work).await.unwrap_or_default();
        })))
    }

    fn rng(&self) -> MutexGuard<'_, ChaCha8Rng> {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Coordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coordinator").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The attempts of one retried statement. For callers that cannot use
/// [`Coordinator::run_retrying`].
#[derive(Debug)]
pub struct Attempts {
    coordinator: Arc<Coordinator>,
    options: TxnOptions,
    tries: u32,
    deadline: Instant,
    /// The id of the next attempt, if it was drawn before.
    first: Option<TxnId>,
    /// How long the attempts so far waited for the locks of their commits.
    lock_wait: Duration,
}

impl Attempts {
    /// The next attempt gets this id, which was drawn before ([`Coordinator::draw_id`]).
    #[must_use]
    pub fn named(self, id: TxnId) -> Attempts {
        Attempts { first: Some(id), ..self }
    }

    /// Starts the next attempt.
    #[must_use]
    pub fn begin(&mut self) -> Txn {
        self.tries += 1;
        let id = self.first.take().unwrap_or_else(|| self.coordinator.draw_id());
        let mut txn = self.coordinator.begin_as(id, self.options.clone());
        txn.set_deadline(Some(self.deadline));
        txn.set_lock_wait(self.lock_wait);
        txn
    }

    /// How many attempts were begun.
    #[must_use]
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// Whether to try again after this error. If so, the failed attempt is rolled back, the next
    /// one keeps its priority (X5) and first locks what it wrote (X6), and a pause with jitter has
    /// passed.
    pub async fn again(&mut self, error: &TxnError, failed: &mut Txn) -> bool {
        let Some(conflict) = error.conflict() else { return false };
        let config = &self.coordinator.config;
        if self.tries > config.max_retries || Instant::now() >= self.deadline {
            return false;
        }
        self.lock_wait = failed.lock_wait();
        self.options.priority = Some(failed.priority());
        self.options.pessimistic = failed.contended_keys(conflict, config.max_pessimistic_keys);
        failed.rollback().await;
        let longest = config.retry_backoff.saturating_mul(1 << (self.tries - 1).min(16));
        let part = self.coordinator.rng().random_range(0.0..=1.0);
        let pause = longest.min(config.retry_backoff_max).mul_f64(part);
        sleep_until(self.deadline.min(Instant::now() + pause)).await;
        tracing::debug!(txn = %failed.id(), tries = self.tries, %conflict, "retried");
        true
    }
}
