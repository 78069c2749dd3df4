//! A node that stands still and goes on: what the migration of a virtual machine does to it, or a
//! long pause of its process.
//!
//! To its own code such a pause is invisible: no line of it runs, timers do not fire, messages wait
//! in their queues, while the true time and everybody else go on. Then it continues in the middle
//! of what it did, with what it believed. Leases must have run out under it without harm.
//!
//! A simulation runs many nodes on one thread, so it freezes one by not polling its tasks: each
//! future of the node is wrapped by [`Freezer::wrap`]. What such a future spawns belongs to the node
//! as well; so the node spawns through [`inherit`], which wraps in the freezer of the task at work.
//! Outside of simulations there is no freezer, and `inherit` hands the future back with nothing
//! around it that costs more than one look.

use std::{
    cell::RefCell,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

/// Freezes the futures wrapped by it. Cheap to clone: a handle.
#[derive(Clone, Debug, Default)]
pub struct Freezer(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    frozen: bool,
    /// Who was polled while frozen; at most one waker per poll since the last thaw.
    waiting: Vec<Waker>,
}

thread_local! {
    /// The freezer of the future that this thread polls.
    static CURRENT: RefCell<Option<Freezer>> = const { RefCell::new(None) };
}

impl Freezer {
    /// From now on nothing wrapped by this is polled.
    pub fn freeze(&self) {
        self.state().frozen = true;
    }

    /// Everything goes on.
    pub fn thaw(&self) {
        let waiting = {
            let mut state = self.state();
            state.frozen = false;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Whether it stands still.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.state().frozen
    }

    /// The same future, polled only while not frozen.
    pub fn wrap<F: Future>(&self, future: F) -> Freezable<F> {
        Freezable { freezer: Some(self.clone()), future: Box::pin(future) }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wraps a future, before it is spawned, in the freezer of the task that spawns it, if there is one.
pub fn inherit<F: Future>(future: F) -> Freezable<F> {
    let freezer = CURRENT.with_borrow(Clone::clone);
    Freezable { freezer, future: Box::pin(future) }
}

/// A future that may be frozen.
#[derive(Debug)]
pub struct Freezable<F> {
    freezer: Option<Freezer>,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Freezable<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Some(freezer) = self.freezer.clone() else { return self.future.as_mut().poll(cx) };
        {
            let mut state = freezer.state();
            if state.frozen {
                state.waiting.push(cx.waker().clone());
                return Poll::Pending;
            }
        }
        let _restore = Entered(CURRENT.replace(Some(freezer)));
        self.future.as_mut().poll(cx)
    }
}

/// Puts the outer freezer back, also if the poll panics.
struct Entered(Option<Freezer>);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

#[cfg(test)]
mod tests;
