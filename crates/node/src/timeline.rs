//! What the store tells of traced requests: served, waited, logged, accepted at each replica,
//! applied.
//!
//! The replicas know neither time nor traces. The store sees both ends of each of their steps, and
//! draws from the effects what there is to tell:
//!
//! ```text
//!   leader     request ──► step ──► proposed (slot) ──────► applied ──► answered
//!                 |  wait   |──────── replicate ──────────────|  commit-wait |
//!                           |─ accept (own disk) ─|
//!                           └─► Traced(range, slot) in front of the Accept that carries the slot
//!   follower                         step ──► persisted ──► applied
//!                                      |─ accept ─|── apply ──|
//! ```
//!
//! The log knows nothing of traces: the leader tells each follower which slot to look at, in the same
//! frame, and what comes of it depends on nothing but that.
//!
//! Limits: [`MAX_FOLLOWED`] requests and as many slots at a time; beyond, the oldest is let go, and
//! its spans end there.

use std::{collections::BTreeMap, sync::Arc};

use keys::{RangeId, TxnId};
use kv::{KvError, Reply, Request};
use paxos::{Message, Slot};
use range::{Effects, GroupMessage, PersistToken, RequestToken};
use trace::{Context, Kind, Span, Stamp, Tracer};

use crate::message::NodeMessage;

/// Requests, and slots, that are followed at a time.
pub const MAX_FOLLOWED: usize = 4_096;

/// What is traced of a store's work. Costs a look when nothing is.
#[derive(Debug)]
pub struct Timelines {
    tracer: Arc<Tracer>,
    served: BTreeMap<RequestToken, Served>,
    entries: BTreeMap<(RangeId, Slot), Entry>,
}

/// A traced request at its replica.
#[derive(Debug)]
struct Served {
    range: RangeId,
    txn: Option<TxnId>,
    span: Span,
    arrived: Stamp,
    /// What of other transactions it waits for, if it does.
    waits_for: &'static str,
    /// When something was logged for it.
    logged: Option<Stamp>,
}

/// A traced entry of the log, at one replica.
#[derive(Debug)]
struct Entry {
    /// On whose behalf.
    context: Context,
    /// At the leader: until it is applied. None elsewhere.
    replicate: Span,
    /// Until the entry is on this replica's disk.
    accept: Span,
    /// The write that has to be on disk for it.
    token: Option<PersistToken>,
    /// At a follower: until it is applied.
    apply: Span,
    leads: bool,
    applied: bool,
}

impl Timelines {
    /// Nothing is traced yet.
    pub fn new(tracer: Arc<Tracer>) -> Timelines {
        Timelines { tracer, served: BTreeMap::new(), entries: BTreeMap::new() }
    }

    fn is_idle(&self) -> bool {
        self.served.is_empty() && self.entries.is_empty()
    }

    /// A request arrived.
    pub fn request(
        &mut self,
        token: RequestToken,
        range: RangeId,
        request: &Request,
        context: Option<Context>,
    ) {
        let Some(context) = context else { return };
        let name = format!("{} {range}", request.word());
        let arrived = self.tracer.stamp();
        let span = self.tracer.child_since(context, Kind::Serve, name, arrived);
        let reads = matches!(request, Request::Read(_));
        let waits_for = if reads { "other writes" } else { "locks" };
        let txn = request.txn();
        let served = Served { range, txn, span, arrived, waits_for, logged: None };
        self.served.insert(token, served);
        if self.served.len() > MAX_FOLLOWED {
            self.served.pop_first();
        }
    }

    /// Nobody waits for the answer to a request any more.
    pub fn cancelled(&mut self, token: RequestToken) {
        if let Some(mut served) = self.served.remove(&token) {
            served.span.note("error", || "cancelled by its caller");
        }
    }

    /// A leader says that one of its slots is traced.
    pub fn announced(&mut self, range: RangeId, slot: Slot, context: Context) {
        let none = Span::none;
        let entry = Entry {
            context,
            replicate: none(),
            accept: none(),
            token: None,
            apply: none(),
            leads: false,
            applied: false,
        };
        self.entries.entry((range, slot)).or_insert(entry);
        if self.entries.len() > MAX_FOLLOWED {
            self.entries.pop_first();
        }
    }

    /// The announced slots that a message brings.
    pub fn brought(&self, range: RangeId, message: &GroupMessage) -> Vec<Slot> {
        let GroupMessage::Paxos(Message::Accept { proposals, .. }) = message else {
            return Vec::new();
        };
        if self.entries.is_empty() {
            return Vec::new();
        }
        let slots = proposals.iter().map(|proposal| proposal.slot);
        slots.filter(|slot| self.entries.contains_key(&(range, *slot))).collect()
    }

    /// A step of a replica is over: what it was brought, what it did, how far it has applied.
    pub fn stepped(&mut self, range: RangeId, brought: &[Slot], effects: &Effects, applied: Slot) {
        if self.is_idle() {
            return;
        }
        for (slot, txn) in &effects.proposed {
            self.proposed(range, *slot, *txn, effects.persist);
        }
        for slot in brought {
            self.accepted(range, *slot, effects.persist);
        }
        self.applied(range, applied);
        for (token, result) in &effects.replies {
            self.answered(*token, result);
        }
    }

    /// A request was answered.
    pub fn answered(&mut self, token: RequestToken, result: &Result<Reply, KvError>) {
        if let Some(served) = self.served.remove(&token) {
            self.replied(served, result);
        }
    }

    fn proposed(&mut self, range: RangeId, slot: Slot, txn: TxnId, persist: Option<PersistToken>) {
        let tracer = &self.tracer;
        let mut served = self.served.values_mut();
        let wanted = served.find(|served| served.range == range && served.txn == Some(txn));
        let Some((served, of)) = wanted.and_then(|served| {
            let of = served.span.context()?;
            Some((served, of))
        }) else {
            return;
        };
        let now = tracer.stamp();
        served.logged = Some(now);
        let name = format!("log {range}/{}", slot.0);
        let replicate = tracer.child_since(of, Kind::Replicate, name, now);
        let context = replicate.context().expect("just made");
        let accept = accept(tracer, context, range, slot);
        self.announced(range, slot, context);
        // What peers announce may fill the place: then this one is not followed.
        let Some(entry) = self.entries.get_mut(&(range, slot)) else { return };
        (entry.replicate, entry.accept, entry.token) = (replicate, accept, persist);
        entry.leads = true;
    }

    fn accepted(&mut self, range: RangeId, slot: Slot, persist: Option<PersistToken>) {
        let Some(entry) = self.entries.get_mut(&(range, slot)) else { return };
        // Nothing to be written: it was refused, or is here already.
        if persist.is_some() && entry.token.is_none() && !entry.leads {
            entry.accept = accept(&self.tracer, entry.context, range, slot);
            entry.token = persist;
        }
    }

    fn applied(&mut self, range: RangeId, applied: Slot) {
        let through = self.entries.range_mut((range, Slot(0))..=(range, applied));
        for (_, entry) in through {
            entry.applied = true;
            drop(std::mem::replace(&mut entry.replicate, Span::none()));
            drop(std::mem::replace(&mut entry.apply, Span::none()));
        }
        self.forget(range);
    }

    /// What needs no further look: on disk and applied.
    fn forget(&mut self, range: RangeId) {
        let over = self.entries.range((range, Slot(0))..=(range, Slot(u64::MAX)));
        let over = over.filter(|(_, entry)| entry.applied && entry.accept.is_none());
        let over: Vec<(RangeId, Slot)> = over.map(|(key, _)| *key).collect();
        for key in over {
            self.entries.remove(&key);
        }
    }

    /// What a replica wrote up to this token is on disk.
    pub fn persisted(&mut self, range: RangeId, token: PersistToken) {
        if self.entries.is_empty() {
            return;
        }
        let here = self.entries.range_mut((range, Slot(0))..=(range, Slot(u64::MAX)));
        for ((_, slot), entry) in here {
            if !entry.accept.is_none() && entry.token.is_some_and(|wanted| wanted <= token) {
                drop(std::mem::replace(&mut entry.accept, Span::none()));
                if !entry.leads && !entry.applied {
                    let name = format!("apply {range}/{}", slot.0);
                    entry.apply = self.tracer.child(entry.context, Kind::Apply, name);
                }
            }
        }
        self.forget(range);
    }

    /// What goes in front of a group's message, so that its receiver looks at the traced slots.
    pub fn announcements(&self, range: RangeId, message: &GroupMessage) -> Vec<NodeMessage> {
        let announce = |slot: Slot| {
            let entry = self.entries.get(&(range, slot))?;
            entry.leads.then(|| NodeMessage::Traced(range, slot, entry.context))
        };
        self.brought(range, message).into_iter().filter_map(announce).collect()
    }

    fn replied(&self, mut served: Served, result: &Result<Reply, KvError>) {
        let Some(of) = served.span.context() else { return };
        let tracer = &self.tracer;
        let waited = |nanos, what| wait(tracer, of, served.arrived, nanos, what);
        match result {
            Err(error) => {
                waited(error.blocked_nanos(), served.waits_for);
                served.span.note("error", || error.reason());
            }
            Ok(Reply::Read(reply)) => {
                let blocked = reply.blocked_nanos > 0;
                let what = if blocked { served.waits_for } else { "lease or safe time" };
                waited(reply.waited_nanos, what);
            }
            Ok(Reply::Locked(locked)) => waited(locked.lock_wait_nanos, served.waits_for),
            Ok(Reply::Prepared(prepared)) => {
                waited(prepared.stats.lock_wait_nanos, served.waits_for)
            }
            Ok(Reply::Committed(committed)) => {
                waited(committed.stats.lock_wait_nanos, served.waits_for);
                served.span.note("s", || committed.at);
                if let Some(chosen) = served.logged {
                    let name = "commit-wait".to_owned();
                    let mut span = tracer.child_since(of, Kind::CommitWait, name, chosen);
                    // It may have ended while the log was still at work.
                    let stats = committed.stats;
                    let end = chosen.later(stats.commit_wait_nanos);
                    span.note("s", || committed.at);
                    span.note("hidden_nanos", || stats.commit_wait_hidden_nanos);
                    span.note("commit_wait_nanos", || stats.commit_wait_nanos);
                    span.note("epsilon_nanos", || stats.epsilon_nanos);
                    span.end_at(end);
                }
            }
            Ok(_) => {}
        }
    }
}

/// A wait that is over, if it took any time.
fn wait(tracer: &Arc<Tracer>, of: Context, from: Stamp, nanos: u64, what: &str) {
    if nanos > 0 {
        let span = tracer.child_since(of, Kind::Wait, format!("waits for {what}"), from);
        span.end_at(from.later(nanos));
    }
}

fn accept(tracer: &Arc<Tracer>, of: Context, range: RangeId, slot: Slot) -> Span {
    tracer.child(of, Kind::Accept, format!("accept {range}/{}", slot.0))
}
