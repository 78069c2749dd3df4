//! A panic in a session ends that session and nothing else.
//!
//! The protocol cores stop the process when they contradict themselves: a replica that went on could
//! lose what was acknowledged. A session holds nothing of that kind. What it shares with others is
//! behind locks whose guards are never held over a computation that can fail, its transaction is
//! rolled back when it is dropped, and its client is owed an error, not a closed cluster. So whoever
//! runs a session runs it in [`contain`], and the hook that stops the process asks
//! [`is_contained`] first.
//!
//! The same goes for what works behind a session's or a gateway's back and holds no state of a
//! replica: signs of life, clean-ups behind answers, a catalog read early, a sweep. Each is spawned
//! as [`contained`]: a panic ends that task, and is counted and named. Nothing rests on such a task
//! but time: a transaction whose signs of life stop is ended by its record, as is one whose gateway
//! died (X7). Whoever waits for a result must still be told: what is awaited by several is contained
//! where it runs, and what is marked as under way is unmarked by a guard.

use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll},
};

/// Tasks of this process that ended by a panic.
static ENDED: AtomicU64 = AtomicU64::new(0);

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

/// Runs a task that nothing rests on but time. A panic in it is its end, counted and named; `None`
/// then.
pub async fn contained<F: Future>(what: &'static str, task: F) -> Option<F::Output> {
    match contain(task).await {
        Ok(output) => Some(output),
        Err(Panicked(message)) => {
            let count = ENDED.fetch_add(1, Ordering::Relaxed) + 1;
            tracing::error!("{what} panicked ({count} such tasks so far): {message}");
            None
        }
    }
}

/// How many tasks of this process ended by a panic, sessions apart.
#[must_use]
pub fn ended_by_panic() -> u64 {
    ENDED.load(Ordering::Relaxed)
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
        let inner = contain(async { tokio::spawn(async { is_contained() }).await });
        assert!(!inner.await.expect("no panic").expect("no panic"));
    }

    #[tokio::test]
    async fn a_task_that_is_contained_ends_alone_and_is_counted() {
        let before = ended_by_panic();
        let fine = tokio::spawn(contained("what is fine", async { is_contained() }));
        assert_eq!(fine.await.expect("no panic"), Some(true));
        let loud = tokio::spawn(contained("what is loud", async { panic!("on purpose") }));
        assert_eq!(loud.await.expect("contained"), None::<()>);
        assert_eq!(ended_by_panic(), before + 1);
    }
}
