//! Futures that walk trees have room on the stack whenever they run, and what is long has a thread.
//!
//! A future runs on the stack of whoever polls it, which may be another thread's each time; so the
//! room ([`expr::stack`]) is made at each poll.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use expr::stack;
use tokio::runtime::{Handle, RuntimeFlavor};

/// A future that walks trees of so many levels.
#[derive(Debug)]
pub struct Roomy<F> {
    levels: usize,
    /// Gone once it is dropped.
    future: Option<F>,
}

impl<F: Future + Unpin> Roomy<F> {
    /// Room for so many levels whenever `future` runs.
    pub const fn new(levels: usize, future: F) -> Roomy<F> {
        Roomy { levels, future: Some(future) }
    }

    /// Room for one level of a recursion whenever `future` runs.
    pub const fn one_level(future: F) -> Roomy<F> {
        Roomy::new(0, future)
    }
}

impl<F: Future + Unpin> Future for Roomy<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let levels = self.levels;
        let future = self.future.as_mut().expect("it is polled before it is dropped");
        stack::room(levels, || Pin::new(future).poll(context))
    }
}

/// What a future holds when it is given up is as deep as what it walked.
impl<F> Drop for Roomy<F> {
    fn drop(&mut self) {
        let future = self.future.take();
        stack::room(self.levels, || drop(future));
    }
}

/// Texts up to this are read and planned in less than a millisecond or two.
const SHORT_TEXT: usize = 64 << 10;

/// Whether what is done about a text of so many bytes takes long.
pub const fn is_long(length: usize) -> bool {
    length > SHORT_TEXT
}

/// Does something about a text that cannot pause on the way. If the text is long, the thread's other
/// tasks go to another thread meanwhile; where there is but one thread, as in virtual time, they wait.
pub fn aside<T>(length: usize, work: impl FnOnce() -> T) -> T {
    let many = || {
        Handle::try_current()
            .is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
    };
    if is_long(length) && many() { tokio::task::block_in_place(work) } else { work() }
}

#[cfg(test)]
mod tests;
