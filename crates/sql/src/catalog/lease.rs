//! A gateway's right to use the catalog, registered where the catalog lies.
//!
//! Whoever changes the schema must know who may still use it as it was. So a gateway that wants to use
//! what it reads says so first, under a key of its own in the system range: until U. Transactions that
//! use a catalog commit, and read, below the U that it was read under.
//!
//! ```text
//!   gateway A   registers U ── reads v ── uses v ──────────── commits below U
//!                        s        R
//!   gateway B                       publishes v+1 ── reads who is registered ── A has it? else U past?
//!                                        C                   at C or later
//! ```
//!
//! 1. A catalog read at R is used only under a registration that was committed at s ≤ R, and below its
//!    U. Asserted where a catalog gets its U ([`Lease::covers`]).
//! 2. A registration is replaced only by one that ends no earlier than any that is in use: each is
//!    validated against the one that its gateway saw last, so one that was given up on its way, or that
//!    a former life of the node sent, cannot arrive behind a later one (X1).
//! 3. What is used ends at most a lease length after s, whatever U says: so nobody waits longer than
//!    that after the last registration it can have missed.
//!
//! That is why a change need not hear of gateways that are not registered. Suppose A uses a version
//! before v+1 at a timestamp above C. It read it at R < C, so it registered at s ≤ R < C (1), and who
//! reads the registrations at C or later finds that one or a later one of A's, which ends no earlier
//! (2). A gateway that registers later reads v+1.
//!
//! # What it costs
//!
//! One message: the commit of the registration validates that neither the catalog's version nor the
//! registration changed since they were seen last ([`txn::Txn::rely_on`]), and so the catalog is as good
//! as read at s. It takes a quorum and commit-wait, where a read would take the leader alone. Only
//! when something changed, the registration is written by itself and the catalog read behind it: no
//! stream of schema changes can hold a gateway off. A gateway writes one key only, and nobody
//! validates another's; so gateways do not meet each other, and a schema change, which reads the
//! registrations when it is done, meets none of them.
//!
//! # Former lives
//!
//! A node that crashed and came back cannot take back the commits that it sent. It finds until when its
//! former life was registered, and confirms no schema before that is past ([`Cache::former`]); the same
//! goes for commits that it gave up itself ([`Coordinator::in_doubt_until`]). One that leaves with
//! nothing on its way says so, by a U of zero.
//!
//! HAZARD: all nodes have the same `schema_lease`. U is of the gateway's clock; what a lying clock can
//! add to it is what others tolerate of its messages (T2).
//!
//! [`Cache::former`]: super::cache::Cache::former

use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};

use clock::{Clock, Timestamp};
use futures::FutureExt;
use keys::{NodeId, RangeId, Span};
use trace::Kind;
use txn::{Access, Coordinator, Txn, TxnError, TxnOptions};

use super::{Catalog, store};
use crate::error::{Failure, Outcome};

/// How long a registration may take: longer than a fail-over. Without a quorum nobody can tell what
/// became of it, and whoever waits for it is told no later than of a read.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a gateway knows of its registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    /// As of when: it was read or written at this timestamp.
    pub at: Timestamp,
    /// Transactions that use a catalog covered by it commit below this. Zero: this life of the node
    /// has not registered.
    pub until: Timestamp,
    /// What former lives of the node sent commits below this. Zero: there was none, or it left.
    pub former: Timestamp,
}

impl Lease {
    /// Whether a catalog read at this timestamp may be used under it.
    pub fn covers(&self, read_at: Timestamp) -> bool {
        self.until != Timestamp::ZERO && self.at <= read_at
    }
}

/// Registers a gateway.
#[derive(Clone, Debug)]
pub(crate) struct Registrar {
    pub coordinator: Arc<Coordinator>,
    /// The gateway.
    pub node: NodeId,
    /// How long a lease is.
    pub length: Duration,
}

impl Registrar {
    /// What the node's former life left. For the first use of the catalog in a life.
    pub async fn look(&self) -> Outcome<Lease> {
        let mut txn = self.coordinator.begin(reads_only(Timestamp::ZERO));
        let former = store::lease(&mut txn, self.node).await?.unwrap_or_default();
        let at = txn.read_timestamp().expect("it has just read");
        // (3): a former life whose clock was ahead is not waited for any longer.
        Ok(Lease { at, until: Timestamp::ZERO, former: former.min(at.plus(self.length)) })
    }

    /// Registers, if neither the catalog nor the registration changed since: then the catalog is known
    /// as of the new registration. A conflict: something did.
    pub async fn at_once(&self, known: &Catalog, lease: &Lease) -> Outcome<Lease> {
        let span = trace::span(Kind::Operation, || "catalog lease".to_owned());
        let work = async {
            let mut txn = self.coordinator.begin(TxnOptions::default());
            txn.set_deadline(Some(timer::Instant::now() + PATIENCE));
            txn.rely_on(Span::point(store::version_key()), known.read_at);
            txn.rely_on(Span::point(store::lease_key(self.node)), lease.at);
            let until = self.end(lease, Timestamp::ZERO);
            store::put_lease(&mut txn, self.node, until)?;
            let at = txn.commit().await?.at;
            Ok(self.registered(at, until, lease))
        };
        trace::within(&span, pin!(work)).await.map_err(in_words)
    }

    /// Registers whatever happened meanwhile: the catalog is to be read behind it.
    pub async fn anew(&self, lease: &Lease) -> Outcome<Lease> {
        let span = trace::span(Kind::Operation, || "catalog lease".to_owned());
        let options = TxnOptions { after: lease.at, ..TxnOptions::default() };
        let (registrar, before) = (self.clone(), *lease);
        let work = self.coordinator.run_retrying(options, PATIENCE, move |txn: &mut Txn| {
            let registrar = registrar.clone();
            async move {
                let found = store::lease(txn, registrar.node).await?.unwrap_or_default();
                let at = txn.read_timestamp().expect("it has just read");
                let until = registrar.end(&before, found.min(at.plus(registrar.length)));
                store::put_lease(txn, registrar.node, until)?;
                Ok::<_, Failure>(until)
            }
            .boxed()
        });
        let (until, info) = trace::within(&span, pin!(work)).await.map_err(in_words)?;
        Ok(self.registered(info.at, until, lease))
    }

    /// The end of a registration made now: no earlier than any that is in use.
    fn end(&self, lease: &Lease, found: Timestamp) -> Timestamp {
        let now = self.coordinator.clock().now().latest_timestamp();
        now.plus(self.length).max(lease.until).max(lease.former).max(found)
    }

    fn registered(&self, at: Timestamp, until: Timestamp, before: &Lease) -> Lease {
        let until = until.min(at.plus(self.length));
        Lease { at, until: until.max(before.until), former: before.former }
    }

    /// Says that this gateway does not use the catalog any more. What a former life of the node sent may
    /// still be on its way: that stays registered until it is past (3).
    pub async fn leave(&self, lease: &Lease) -> Outcome<()> {
        let mut txn = self.coordinator.begin(TxnOptions::default());
        txn.rely_on(Span::point(store::lease_key(self.node)), lease.at);
        store::put_lease(&mut txn, self.node, lease.former)?;
        txn.commit().await?;
        Ok(())
    }
}

/// Until when gateways may use a catalog older than a version.
#[derive(Debug)]
pub(crate) struct Ends {
    named: BTreeMap<NodeId, Timestamp>,
    others: Timestamp,
}

impl Ends {
    /// Reads who is registered, at or above the commit of that version: whoever is not found uses
    /// nothing older. If that cannot be read, everybody may for the length of a lease (3).
    pub async fn read(
        coordinator: &Arc<Coordinator>,
        published: Timestamp,
        length: Duration,
    ) -> Ends {
        let mut txn = coordinator.begin(reads_only(published));
        let read = timer::timeout(length, store::leases(&mut txn)).await;
        let Ok(Ok(mut named)) = read else {
            return Ends { named: BTreeMap::new(), others: published.plus(length) };
        };
        let read_at = txn.read_timestamp().expect("it has just read");
        named.values_mut().for_each(|end| *end = read_at.plus(length).min(*end));
        Ends { named, others: Timestamp::ZERO }
    }

    /// Until when this gateway may.
    pub fn of(&self, gateway: NodeId) -> Timestamp {
        self.named.get(&gateway).copied().unwrap_or(self.others)
    }
}

/// Returns once a moment is past for certain: whatever commits from now on commits above it (T3).
pub(crate) async fn past(clock: &dyn Clock, moment: Timestamp) {
    loop {
        let left = clock.now().until_after(moment);
        if left.is_zero() {
            return;
        }
        timer::sleep(left).await;
    }
}

fn reads_only(after: Timestamp) -> TxnOptions {
    TxnOptions { access: Access::ReadOnly, after, ..TxnOptions::default() }
}

/// Whether a registration is there is not what a client wants to know: the next attempt finds out.
fn in_words(failure: Failure) -> Failure {
    match failure {
        Failure::Txn(TxnError::Unknown { cause, .. }) => {
            TxnError::Unavailable { range: RangeId::SYSTEM, missing: cause }.into()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;
