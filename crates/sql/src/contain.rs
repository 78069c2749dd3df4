//! A panic in a session ends that session and nothing else.
//!
//! The protocol cores stop the process when they contradict themselves: a replica that went on could
//! lose what was acknowledged. A session holds nothing of that kind. What it shares with others is
//! behind locks whose guards are never held over a computation that can fail, its transaction is
//! rolled back when it is dropped, and its client is owed an error, not a closed cluster. So whoever
//! runs a session runs it in [`contain`], and the hook that stops the process asks
//! [`is_contained`] first.

use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

thread_local! {
    /// How many contained futures this thread is polling, one within the other.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// What a contained future ended with when it panicked: the panic's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panicked(pub String);

/// Runs a future. A panic in it is its end, told as an error.
///
/// # Errors
/// The panic.
pub async fn contain<F: Future>(future: F) -> Result<F::Output, Panicked> {
    Contained(Some(Box::pin(future))).await
}

/// Whether a panic on this thread would end here.
#[must_use]
pub fn is_contained() -> bool {
    DEPTH.get() > 0
}

/// The future; gone once it is dropped.
struct Contained<F>(Option<Pin<Box<F>>>);

impl<F: Future> Future for Contained<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let _inside = Inside::new();
        // After a panic the future is dropped unpolled, so nobody sees what it left half-done.
        let future = self.0.as_mut().expect("it is polled before it is dropped");
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(cause) => Poll::Ready(Err(Panicked(message(&*cause)))),
        }
    }
}

/// What the future holds is dropped where a panic ends as well: nobody is left to be told of it.
impl<F> Drop for Contained<F> {
    fn drop(&mut self) {
        let _inside = Inside::new();
        let future = self.0.take();
        drop(catch_unwind(AssertUnwindSafe(|| drop(future))));
    }
}

/// Counts up while it lives.
struct Inside;

impl Inside {
    fn new() -> Inside {
        DEPTH.set(DEPTH.get() + 1);
        Inside
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

fn message(cause: &(dyn Any + Send)) -> String {
    let text = cause.downcast_ref::<&str>().copied();
    let text = text.or_else(|| cause.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_an_error() {
        let quiet = contain(async {
            tokio::task::yield_now().await;
            assert!(is_contained());
            7
        });
        assert_eq!(quiet.await, Ok(7));
        let loud = contain(async {
            tokio::task::yield_now().await;
            panic!("on purpose: {}", 1);
        });
        assert_eq!(loud.await, Err::<(), _>(Panicked("on purpose: 1".to_owned())));
        assert!(!is_contained());
    }

    #[tokio::test]
    async fn a_panic_while_it_is_given_up_is_contained() {
        struct Loud;
        impl Drop for Loud {
            fn drop(&mut self) {
                assert!(!is_contained(), "on purpose");
            }
        }
        let mut work = Box::pin(contain(async {
            let _held = Loud;
            std::future::pending::<()>().await;
        }));
        assert!(futures::poll!(&mut work).is_pending());
        drop(work);
        assert!(!is_contained());
    }

    #[tokio::test]
    async fn tasks_that_are_spawned_inside_are_not_contained() {
        let inner = contain(async { tokio::spawn(clock::inherit(async { is_contained() })).await });
        assert!(!inner.await.expect("no panic").expect("no panic"));
    }
}
