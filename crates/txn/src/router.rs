//! The router: finds the range that holds a key and the replica that may answer, whatever moved
//! meanwhile.
//!
//! ```text
//!   key --> routing cache --miss--> directory (in the system range, found without it)
//!             |   ^                    |
//!             |   +---- learn ---------+
//!             v
//!          descriptor, leader hint --> replica --> answer
//!                                         |
//!        NotLeader   ask whom it names, else the voters from near to far, then pause
//!        WrongRange  learn what it knows, else look up again; split the request anew
//!        lost        ask again: every request is idempotent (X8), and say that one was lost
//! ```
//!
//! 1. A request is sent to the replicas of one range only; who spans ranges is split first
//!    ([`partition`]), and again whenever a range answers that it does not own the keys.
//! 2. An answer that was lost is never forgotten: [`Sent::lost`] tells the caller that the request
//!    may have happened, even if a later try of the same request was refused.
//! 3. Every loop ends at the caller's deadline, and the error then names the range, its replicas
//!    and what each of them said last.
//!
//! HAZARD: a gateway's cache may be arbitrarily stale. That is harmless only because replicas check
//! range, keys and lease by themselves.
//!
//! What this module deliberately does not know: transactions.

mod call;
mod carrier;
mod look;
mod partition;
mod read;
mod tour;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use clock::SharedClock;
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use keys::{Key, NodeId, RangeId, Span, layout};
use kv::{Descriptor, KvError, RangeSender, Read, ReadFrom, ReadSpan, Reply, Request};
use timer::{Instant, contain::contained, timeout_at};

use crate::{
    RouterConfig, TxnError,
    cache::{Route, RoutingCache},
};

use carrier::Carrier;
pub(crate) use carrier::Sent;
pub(crate) use partition::Partition;
pub(crate) use read::{Budget, ReadPlan};

/// A look-up under way, shared by all who want the same key.
type Lookup = Shared<BoxFuture<'static, Result<Arc<Vec<Descriptor>>, TxnError>>>;

/// Finds ranges and their leaders, and carries requests there. One per node.
#[derive(Debug)]
pub struct Router {
    carrier: Arc<Carrier>,
    clock: SharedClock,
    config: RouterConfig,
    /// One look-up per key at a time: no more entries than callers waiting.
    lookups: Mutex<BTreeMap<Key, Lookup>>,
}

impl Router {
    /// A router with an empty cache. `seed` feeds the jitter of pauses.
    #[must_use]
    pub fn new(
        sender: Arc<dyn RangeSender>,
        clock: SharedClock,
        config: RouterConfig,
        seed: u64,
    ) -> Arc<Router> {
        let carrier = Arc::new(Carrier::new(sender, config.clone(), seed));
        Arc::new(Router { carrier, clock, config, lookups: Mutex::new(BTreeMap::new()) })
    }

    /// The ranges that hold a span, in key order.
    ///
    /// # Errors
    /// [`TxnError::NoRange`] if the directory has a gap, [`TxnError::Unavailable`] if it does not
    /// answer.
    pub async fn ranges_of(
        &self,
        span: &Span,
        deadline: Instant,
    ) -> Result<Vec<Arc<Descriptor>>, TxnError> {
        let mut ranges = Vec::new();
        let mut from = span.start.clone();
        while from < span.end {
            let descriptor = self.range_of(&from, deadline).await?;
            assert!(descriptor.span.contains(&from), "{descriptor} does not hold {from}");
            from = descriptor.span.end.clone();
            ranges.push(descriptor);
        }
        Ok(ranges)
    }

    /// The range that holds a key.
    ///
    /// # Errors
    /// As [`Router::ranges_of`].
    pub async fn range_of(
        &self,
        key: &Key,
        deadline: Instant,
    ) -> Result<Arc<Descriptor>, TxnError> {
        if let Some(route) = self.cached(key) {
            return Ok(route.descriptor);
        }
        self.look_up(key, deadline).await
    }

    /// The leader of a range as last heard of.
    #[must_use]
    pub fn leader_hint(&self, range: RangeId) -> Option<NodeId> {
        self.cache().leader(range)
    }

    /// Sends to the leader of the range that holds `key`, following splits and leaders.
    ///
    /// # Errors
    /// The range's answer; [`KvError::Unavailable`] if there was none until the deadline.
    pub async fn send_to_key(
        &self,
        key: &Key,
        request: Request,
        deadline: Instant,
    ) -> Result<Reply, KvError> {
        self.sent_to_key(key, &request, deadline).await.result
    }

    /// As [`Router::send_to_key`], telling about lost answers.
    pub(crate) async fn sent_to_key(
        &self,
        key: &Key,
        request: &Request,
        deadline: Instant,
    ) -> Sent {
        let (mut lost, mut blocked_nanos, mut asked) = (None, 0, RangeId::SYSTEM);
        for moves in 0..=self.config.max_moves {
            let range = match self.range_of(key, deadline).await {
                Ok(range) => range,
                Err(error) => {
                    let result = Err(unroutable(key, &error));
                    return Sent { result, lost, blocked_nanos };
                }
            };
            let sent = self.carrier.to_leader(&range, request, deadline).await;
            lost = sent.lost.or(lost);
            blocked_nanos += sent.blocked_nanos;
            asked = range.id;
            match sent.result {
                Err(KvError::WrongRange { .. }) => self.follow(&range, moves, deadline).await,
                result => return Sent { result, lost, blocked_nanos },
            }
        }
        let missing = format!("it does not own {key}, and who does was not found");
        Sent { result: Err(KvError::Unavailable { range: asked, missing }), lost, blocked_nanos }
    }

    /// Sends to the leader of a range.
    ///
    /// # Errors
    /// As [`Router::send_to_key`]; [`KvError::WrongRange`] is the caller's to follow: what the
    /// replica knew has been learnt already.
    pub async fn send_to_leader(
        &self,
        range: &Arc<Descriptor>,
        request: Request,
        deadline: Instant,
    ) -> Result<Reply, KvError> {
        self.carrier.to_leader(range, &request, deadline).await.result
    }

    /// As [`Router::send_to_leader`], telling about lost answers.
    pub(crate) async fn sent_to_leader(
        &self,
        range: &Arc<Descriptor>,
        request: &Request,
        deadline: Instant,
    ) -> Sent {
        self.carrier.to_leader(range, request, deadline).await
    }

    /// Sends to one replica, once.
    ///
    /// # Errors
    /// Its answer, or [`KvError::AnswerLost`].
    pub async fn send_to(
        &self,
        node: NodeId,
        range: RangeId,
        request: Request,
        deadline: Instant,
    ) -> Result<Reply, KvError> {
        self.carrier.once(node, range, request, deadline).await
    }

    /// Sends to the nearest replica; if it does not answer, to the next one, until the deadline.
    ///
    /// # Errors
    /// The first answer that is one.
    pub async fn send_nearest(
        &self,
        range: &Arc<Descriptor>,
        request: Request,
        deadline: Instant,
    ) -> Result<Reply, KvError> {
        self.carrier.to_nearest(range, &request, deadline).await
    }

    /// Takes in what a caller learnt of a range, after a split for example.
    pub fn learn(&self, descriptor: Descriptor) {
        self.cache().learn(descriptor);
    }

    /// The way to the ranges.
    #[must_use]
    pub fn sender(&self) -> &Arc<dyn RangeSender> {
        &self.carrier.sender
    }

    pub(crate) fn config(&self) -> &RouterConfig {
        &self.config
    }

    /// How far away the leader of a range is, as far as it is known.
    pub(crate) fn distance(&self, range: &Descriptor) -> std::time::Duration {
        let leader = self.leader_hint(range.id).unwrap_or(range.preferred_leader);
        self.carrier.sender.round_trip(leader)
    }

    /// After `WrongRange`: makes the next look at the cache differ from the last one, or pauses.
    pub(crate) async fn follow(&self, range: &Arc<Descriptor>, moves: u32, deadline: Instant) {
        let unchanged = self.cached(&range.span.start).is_none_or(|now| now.descriptor == *range);
        if unchanged {
            self.cache().forget(range.id);
            self.pause(moves, deadline).await;
        }
    }

    /// A pause before the next try, ending at the deadline at the latest.
    pub(crate) async fn pause(&self, tries: u32, deadline: Instant) {
        self.carrier.pause(tries, deadline).await;
    }

    fn cached(&self, key: &Key) -> Option<Route> {
        let mut cache = self.cache();
        if let Some(route) = cache.find(key) {
            return Some(route);
        }
        if layout::system_span().contains(key) {
            cache.learn(self.carrier.sender.system_range());
            return cache.find(key);
        }
        None
    }

    /// Asks the directory for the range of a key, and takes in those behind it.
    async fn look_up(&self, key: &Key, deadline: Instant) -> Result<Arc<Descriptor>, TxnError> {
        let found = loop {
            let lookup = self.lookup(key, deadline);
            let found = timeout_at(deadline, lookup.clone()).await;
            {
                let mut lookups = lock(&self.lookups);
                if lookups.get(key).is_some_and(|now| now.ptr_eq(&lookup)) {
                    lookups.remove(key);
                }
            }
            match found {
                Ok(Ok(found)) => break found,
                // It was begun by a caller of less patience.
                Ok(Err(TxnError::Unavailable { .. })) if Instant::now() < deadline => {}
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    let missing = "the directory did not answer in time".to_owned();
                    return Err(TxnError::Unavailable { range: RangeId::SYSTEM, missing });
                }
            }
        };
        let mut cache = self.cache();
        found.iter().rev().for_each(|descriptor| {
            cache.learn(descriptor.clone());
        });
        if let Some(route) = cache.find(key) {
            return Ok(route.descriptor);
        }
        // Something newer is known of a part of that range, so the cache refused it. Its replica
        // will say what became of the part that is wanted.
        match found.first() {
            Some(first) if first.span.contains(key) => Ok(Arc::new(first.clone())),
            Some(_) | None => Err(TxnError::NoRange { key: key.clone() }),
        }
    }

    /// The look-up of a key, a running one if there is one.
    fn lookup(&self, key: &Key, deadline: Instant) -> Lookup {
        let mut lookups = lock(&self.lookups);
        if let Some(running) = lookups.get(key) {
            return running.clone();
        }
        let read = Request::Read(Read {
            at: self.clock.now().latest_timestamp(),
            from: ReadFrom::Leader,
            holder: None,
            spans: vec![ReadSpan {
                span: Span {
                    start: layout::directory_key(key).next(),
                    end: layout::section(layout::Section::Directory).end,
                },
                reverse: false,
            }],
            max_rows: self.config.lookup_rows,
            program: None,
            unchanged_since: None,
        });
        let carrier = self.carrier.clone();
        // Several may wait for it: all of them are told, also of a panic.
        let lookup = async move {
            let asked = contained("a look-up in the directory", async {
                ask_directory(&carrier, &read, deadline).await
            });
            let failed = || Err(TxnError::Invalid("a look-up in the directory failed".to_owned()));
            asked.await.unwrap_or_else(failed)
        };
        let lookup = lookup.boxed().shared();
        lookups.insert(key.clone(), lookup.clone());
        lookup
    }

    fn cache(&self) -> MutexGuard<'_, RoutingCache> {
        self.carrier.cache()
    }
}

async fn ask_directory(
    carrier: &Carrier,
    read: &Request,
    deadline: Instant,
) -> Result<Arc<Vec<Descriptor>>, TxnError> {
    let system = Arc::new(carrier.sender.system_range());
    let reply = match carrier.to_leader(&system, read, deadline).await.result? {
        Reply::Read(reply) => reply,
        other => return Err(TxnError::Invalid(format!("the directory answered {other:?}"))),
    };
    let rows = reply.spans.into_iter().flat_map(|span| span.rows);
    let descriptors = rows.map(|(key, value)| {
        postcard::from_bytes::<Descriptor>(&value)
            .map_err(|error| TxnError::Invalid(format!("directory entry {key}: {error}")))
    });
    Ok(Arc::new(descriptors.collect::<Result<Vec<_>, _>>()?))
}

/// A key's range could not be found: for those who speak of ranges.
fn unroutable(key: &Key, error: &TxnError) -> KvError {
    let missing = format!("the range of {key} could not be found: {error}");
    KvError::Unavailable { range: RangeId::SYSTEM, missing }
}

/// Locks a mutex whose holders cannot panic half-way: they only touch maps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
