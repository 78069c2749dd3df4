//! Calls under way: which answer belongs to whom.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use keys::NodeId;
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

use crate::message::CallId;

/// At most that many calls may wait for answers at a node; more are refused at once.
pub const MAX_CALLS: usize = 16_384;

/// The calls of one kind that this node made and that are not answered yet.
#[derive(Debug)]
pub struct Calls<T> {
    next: AtomicU64,
    // Never iterated in an order that matters: a hash map without a random seed is enough.
    waiting: Mutex<FxHashMap<CallId, (NodeId, oneshot::Sender<T>)>>,
}

impl<T> Calls<T> {
    /// No calls yet. Ids count up from `first`, which must lie above every id of a former life of
    /// this node: an answer to a call of that life may still be on its way, and must find nobody.
    /// A stamp of the clock, in nanoseconds, is such a number (T1).
    #[must_use]
    pub fn starting_at(first: u64) -> Calls<T> {
        Calls { next: AtomicU64::new(first), waiting: Mutex::default() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, FxHashMap<CallId, (NodeId, oneshot::Sender<T>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a call to `to`; `None` if [`MAX_CALLS`] are under way.
    pub fn begin(&self, to: NodeId) -> Option<(CallId, oneshot::Receiver<T>)> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.lock();
        if waiting.len() >= MAX_CALLS {
            return None;
        }
        let id = CallId(self.next.fetch_add(1, Ordering::Relaxed));
        waiting.insert(id, (to, sender));
        Some((id, receiver))
    }

    /// Hands an answer over. One that comes too late, twice, or from another node than the one that
    /// was asked changes nothing.
    pub fn answer(&self, from: NodeId, id: CallId, answer: T) {
        let mut waiting = self.lock();
        if waiting.get(&id).is_some_and(|(asked, _)| *asked == from) {
            let (_, sender) = waiting.remove(&id).expect("just seen");
            drop(waiting);
            // The caller may have given up.
            drop(sender.send(answer));
        }
    }

    /// Forgets a call nobody waits for any more.
    pub fn forget(&self, id: CallId) {
        self.lock().remove(&id);
    }
}

/// Forgets its call when dropped, so that a caller that gives up leaves nothing behind.
#[derive(Debug)]
pub struct CallGuard<'a, T> {
    calls: &'a Calls<T>,
    id: CallId,
}

impl<'a, T> CallGuard<'a, T> {
    /// Guards a call.
    pub fn new(calls: &'a Calls<T>, id: CallId) -> Self {
        CallGuard { calls, id }
    }
}

impl<T> Drop for CallGuard<'_, T> {
    fn drop(&mut self) {
        self.calls.forget(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_reaches_its_caller_once_and_only_from_the_node_asked() {
        let calls = Calls::<u8>::starting_at(1);
        let (id, mut receiver) = calls.begin(NodeId(2)).expect("room");
        calls.answer(NodeId(3), id, 9);
        assert!(receiver.try_recv().is_err(), "node 3 was never asked");
        calls.answer(NodeId(2), id, 7);
        calls.answer(NodeId(2), id, 8);
        assert_eq!(receiver.try_recv(), Ok(7));
    }

    #[test]
    fn an_answer_to_a_former_life_finds_nobody() {
        let former = Calls::<u8>::starting_at(1_000);
        let (old, _) = former.begin(NodeId(2)).expect("room");
        let calls = Calls::<u8>::starting_at(2_000);
        let (_, mut receiver) = calls.begin(NodeId(2)).expect("room");
        calls.answer(NodeId(2), old, 9);
        assert!(receiver.try_recv().is_err(), "an old answer was taken for a new one");
    }

    #[test]
    fn a_dropped_guard_leaves_room() {
        let calls = Calls::<u8>::starting_at(1);
        for _ in 0..2 * MAX_CALLS {
            let (id, _receiver) = calls.begin(NodeId(1)).expect("guards free their place");
            drop(CallGuard::new(&calls, id));
        }
        let held: Vec<_> = (0..MAX_CALLS).map(|_| calls.begin(NodeId(1))).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(calls.begin(NodeId(1)).is_none(), "the limit holds");
    }
}
