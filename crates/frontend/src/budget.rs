//! The memory that messages of all clients of a node may take while they arrive and are worked on.
//!
//! A message is charged for what has arrived of it, not for what it announces: who announces much
//! and sends little holds little. When a message cannot grow any more, the one that has been
//! arriving the longest gives way, if it has had [`RESPITE`]; the newcomer waits [`PATIENCE`] for
//! what that frees, and is refused if it was in vain (`53200`). Nobody waits for long, so messages
//! that arrive at the same time cannot block each other for ever.
//!
//! Messages that fit into a connection's own buffer are not charged: clients with short statements
//! never notice any of this.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

/// How long a message may arrive before it has to give way to others.
const RESPITE: Duration = Duration::from_secs(5);
/// How long a message waits for memory.
const PATIENCE: Duration = Duration::from_secs(2);

/// A node's budget in bytes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Rung when memory is given back.
    freed: Notify,
}

#[derive(Debug)]
struct State {
    free: usize,
    next: u64,
    /// Messages that arrive, oldest first.
    arriving: BTreeMap<u64, Arrival>,
}

#[derive(Debug)]
struct Arrival {
    since: Instant,
    give_way: Arc<Notify>,
    told: bool,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(bytes: usize) -> Budget {
        let state = State { free: bytes, next: 0, arriving: BTreeMap::new() };
        Budget(Arc::new(Shared { state: Mutex::new(state), freed: Notify::new() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message begins to arrive; it holds nothing yet.
    pub fn arrival(&self) -> Charge {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        drop(state);
        Charge { budget: self.clone(), number, bytes: 0, give_way: Arc::default() }
    }
}

/// What one message holds of the budget; given back when dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Budget,
    number: u64,
    bytes: usize,
    give_way: Arc<Notify>,
}

impl Charge {
    /// Takes so many bytes more; whether they were there in time.
    pub async fn grow(&mut self, bytes: usize) -> bool {
        let deadline = Instant::now() + PATIENCE;
        let budget = self.budget.clone();
        loop {
            let freed = budget.0.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if self.take(bytes) {
                return true;
            }
            if timeout_at(deadline, freed).await.is_err() {
                return false;
            }
        }
    }

    fn take(&mut self, bytes: usize) -> bool {
        let mut state = self.budget.state();
        if let Some(free) = state.free.checked_sub(bytes) {
            state.free = free;
            if self.bytes == 0 {
                // Only now can it give way: before, there was nothing to give.
                let give_way = self.give_way.clone();
                let arrival = Arrival { since: Instant::now(), give_way, told: false };
                state.arriving.insert(self.number, arrival);
            }
            self.bytes += bytes;
            return true;
        }
        let oldest = state
            .arriving
            .iter_mut()
            .find(|(number, arrival)| **number != self.number && !arrival.told);
        if let Some((_, arrival)) = oldest
            && arrival.since.elapsed() >= RESPITE
        {
            arrival.told = true;
            arrival.give_way.notify_one();
        }
        false
    }

    /// Returns once the message has to give way to others.
    pub async fn has_to_give_way(&self) {
        self.give_way.notified().await;
    }

    /// The message is whole: it holds its memory until it is worked on.
    pub fn arrived(&self) {
        self.budget.state().arriving.remove(&self.number);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let mut state = self.budget.state();
        state.arriving.remove(&self.number);
        state.free += self.bytes;
        drop(state);
        self.budget.0.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_dropped_is_given_back() {
        let budget = Budget::new(100);
        let mut a = budget.arrival();
        assert!(a.grow(60).await && a.grow(40).await);
        drop(a);
        assert!(budget.arrival().grow(100).await);
        assert!(!budget.arrival().grow(101).await, "more than there is");
    }

    #[tokio::test(start_paused = true)]
    async fn the_message_that_takes_longest_gives_way() {
        let budget = Budget::new(100);
        let (mut old, mut young) = (budget.arrival(), budget.arrival());
        assert!(old.grow(50).await && young.grow(50).await);
        let begun = Instant::now();
        assert!(!young.grow(10).await, "the old one has its respite");
        assert_eq!(begun.elapsed(), PATIENCE);
        tokio::time::advance(RESPITE).await;
        let giving = tokio::spawn(async move {
            old.has_to_give_way().await;
            drop(old);
        });
        assert!(young.grow(10).await, "the old one gave way");
        giving.await.expect("it was told");
    }

    #[tokio::test(start_paused = true)]
    async fn a_whole_message_does_not_give_way() {
        let budget = Budget::new(100);
        let mut whole = budget.arrival();
        assert!(whole.grow(100).await);
        whole.arrived();
        tokio::time::advance(2 * RESPITE).await;
        assert!(!budget.arrival().grow(1).await);
        drop(whole);
        assert!(budget.arrival().grow(1).await);
    }
}
