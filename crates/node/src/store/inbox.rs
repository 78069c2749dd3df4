//! What waits for a shard of the store: a queue for each urgency, bounded in bytes.
//!
//! | queue | order | when it is full |
//! |---|---|---|
//! | first | as it came | the newest is dropped: it is said again |
//! | log | as it came | the newest is dropped: groups send again |
//! | requests | by deadline, counted from arrival | those past theirs go; then the newest is refused |
//! | bulk | as it came | the newest is dropped: it is asked for again |
//!
//! A request whose caller gave up goes at once, and is never begun.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use clock::Mono;
use keys::NodeId;
use kv::RangeRequest;
use tokio::sync::Notify;

use super::{
    callers::Caller,
    input::{Queue, StoreInput},
};
use crate::message::CallId;

/// Inputs that may wait in one queue of a shard.
pub const INBOX_INPUTS: usize = 16_384;

/// Bytes that may wait in one queue of a shard. An input that waits alone may be larger.
pub const INBOX_BYTES: usize = 64 << 20;

/// A request's place among those that wait: its deadline, and the order in which it came.
type Place = (Mono, u64);

/// What waits.
#[derive(Debug, Default)]
struct Queues {
    first: VecDeque<(StoreInput, usize)>,
    log: VecDeque<(StoreInput, usize)>,
    requests: BTreeMap<Place, (Caller, RangeRequest, usize)>,
    bulk: VecDeque<(StoreInput, usize)>,
    /// Bytes in each queue.
    bytes: Bytes,
    /// Who waits for the answer to which request.
    calls: BTreeSet<(NodeId, CallId, Place)>,
    next: u64,
    /// Nothing comes any more.
    closed: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bytes {
    first: usize,
    log: usize,
    requests: usize,
    bulk: usize,
}

impl Bytes {
    fn of(&mut self, queue: Queue) -> &mut usize {
        match queue {
            Queue::First => &mut self.first,
            Queue::Log => &mut self.log,
            Queue::Requests => &mut self.requests,
            Queue::Bulk => &mut self.bulk,
        }
    }
}

#[derive(Debug)]
struct Shared {
    node: NodeId,
    queues: Mutex<Queues>,
    /// Told when something came, or nothing comes any more.
    news: Notify,
}

/// The receiving end, of a shard.
#[derive(Debug)]
pub struct Inbox {
    shared: Arc<Shared>,
}

/// The sending end. When the last one is gone the shard ends, once it has done what waits.
#[derive(Clone, Debug)]
pub struct Sender {
    shared: Arc<Shared>,
    open: Arc<Open>,
}

/// A sending end that does not keep the shard alive.
#[derive(Clone, Debug)]
pub struct WeakSender {
    shared: Arc<Shared>,
    open: Weak<Open>,
}

/// There while anybody can send.
#[derive(Debug)]
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.news.notify_one();
    }
}

/// An empty inbox of a shard of this node.
#[must_use]
pub fn inbox(node: NodeId) -> (Sender, Inbox) {
    let shared = Arc::new(Shared { node, queues: Mutex::default(), news: Notify::new() });
    let open = Arc::new(Open(Arc::clone(&shared)));
    (Sender { shared: Arc::clone(&shared), open }, Inbox { shared })
}

/// There is no room for an input; it comes back.
#[derive(Debug)]
pub struct Full(pub Box<StoreInput>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        // Nothing panics while it holds the lock in a state that others must not see.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call_of(&self, caller: &Caller) -> (NodeId, CallId) {
        match caller {
            Caller::Local(call, _) => (self.node, *call),
            Caller::Remote(node, call) => (*node, *call),
        }
    }

    fn push(&self, now: Mono, input: StoreInput) -> Result<(), Full> {
        let (queue, weight) = (input.queue(), input.weight());
        let mut queues = self.lock();
        if queue == Queue::Requests && !queues.fits(queue, weight) {
            self.drop_expired(&mut queues, now);
        }
        if !queues.fits(queue, weight) {
            return Err(Full(Box::new(input)));
        }
        match input {
            StoreInput::Request(caller, request) => {
                let place = (now.plus(request.deadline), queues.next);
                let (node, call) = self.call_of(&caller);
                queues.next += 1;
                queues.calls.insert((node, call, place));
                queues.requests.insert(place, (caller, request, weight));
            }
            StoreInput::Cancel(node, call) => {
                self.forget(&mut queues, node, call);
                // What it names may be at a replica already.
                queues.first.push_back((StoreInput::Cancel(node, call), weight));
            }
            other => match queue {
                Queue::First => queues.first.push_back((other, weight)),
                Queue::Log => queues.log.push_back((other, weight)),
                Queue::Bulk => queues.bulk.push_back((other, weight)),
                Queue::Requests => unreachable!("a request has its own order"),
            },
        }
        *queues.bytes.of(queue) += weight;
        drop(queues);
        self.news.notify_one();
        Ok(())
    }

    /// Requests that nobody waits for any more: whoever asked has given up by now.
    fn drop_expired(&self, queues: &mut Queues, now: Mono) {
        while let Some(entry) = queues.requests.first_entry()
            && entry.key().0 < now
        {
            let (place, (caller, _, weight)) = entry.remove_entry();
            let (node, call) = self.call_of(&caller);
            queues.calls.remove(&(node, call, place));
            queues.bytes.requests -= weight;
        }
    }

    /// The requests of a call that are not begun are never begun.
    fn forget(&self, queues: &mut Queues, node: NodeId, call: CallId) {
        let named = (node, call, (Mono(0), 0))..=(node, call, (Mono(u64::MAX), u64::MAX));
        let places: Vec<Place> = queues.calls.range(named).map(|(.., place)| *place).collect();
        for place in places {
            queues.calls.remove(&(node, call, place));
            if let Some((.., weight)) = queues.requests.remove(&place) {
                queues.bytes.requests -= weight;
            }
        }
    }
}

impl Queues {
    fn fits(&mut self, queue: Queue, weight: usize) -> bool {
        let count = match queue {
            Queue::First => self.first.len(),
            Queue::Log => self.log.len(),
            Queue::Requests => self.requests.len(),
            Queue::Bulk => self.bulk.len(),
        };
        let bytes = *self.bytes.of(queue);
        count < INBOX_INPUTS && (count == 0 || bytes.saturating_add(weight) <= INBOX_BYTES)
    }

    fn len(&self) -> usize {
        self.first.len() + self.log.len() + self.requests.len() + self.bulk.len()
    }
}

impl Sender {
    /// Puts an input into its queue. `now`: from when on a request's deadline counts.
    ///
    /// # Errors
    /// If its queue is full.
    pub fn push(&self, now: Mono, input: StoreInput) -> Result<(), Full> {
        self.shared.push(now, input)
    }

    /// The same without keeping the shard alive.
    #[must_use]
    pub fn downgrade(&self) -> WeakSender {
        WeakSender { shared: Arc::clone(&self.shared), open: Arc::downgrade(&self.open) }
    }
}

impl WeakSender {
    /// A sender, while anybody else holds one.
    #[must_use]
    pub fn upgrade(&self) -> Option<Sender> {
        let open = self.open.upgrade()?;
        Some(Sender { shared: Arc::clone(&self.shared), open })
    }
}

/// A request that waited for its turn.
#[derive(Debug)]
pub(super) struct Turn {
    pub caller: Caller,
    pub request: RangeRequest,
    /// Counted from its arrival.
    pub deadline: Mono,
}

impl Inbox {
    /// Waits until something waits; false: nothing does, and nothing comes any more.
    pub async fn ready(&self) -> bool {
        loop {
            let news = self.shared.news.notified();
            {
                let queues = self.shared.lock();
                if queues.len() > 0 || queues.closed {
                    return queues.len() > 0;
                }
            }
            news.await;
        }
    }

    /// How many inputs wait.
    pub fn len(&self) -> usize {
        self.shared.lock().len()
    }

    /// The oldest input of a queue other than that of requests.
    pub(super) fn pop(&self, queue: Queue) -> Option<StoreInput> {
        let mut queues = self.shared.lock();
        let (input, weight) = match queue {
            Queue::First => queues.first.pop_front(),
            Queue::Log => queues.log.pop_front(),
            Queue::Bulk => queues.bulk.pop_front(),
            Queue::Requests => None,
        }?;
        *queues.bytes.of(queue) -= weight;
        Some(input)
    }

    /// The request with the earliest deadline.
    pub(super) fn pop_request(&self) -> Option<Turn> {
        let mut queues = self.shared.lock();
        let (place, (caller, request, weight)) = queues.requests.pop_first()?;
        let (node, call) = self.shared.call_of(&caller);
        queues.calls.remove(&(node, call, place));
        queues.bytes.requests -= weight;
        Some(Turn { caller, request, deadline: place.0 })
    }
}

#[cfg(test)]
mod tests;
