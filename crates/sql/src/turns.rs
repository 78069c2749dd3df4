//! Turns: what computes for long gives the thread to others, or is done on another one.
//!
//! Giving way is not waiting: whoever gives way has more to compute, and would go on at once. And some
//! steps cannot give way before they are done: a search in a long text, a power of long numbers. So
//! who runs a session's task may have two lanes of threads, one where nobody computes for long, and
//! says at each poll in which of them it is ([`poll_in`]); what was polled says whether it waits, or
//! should go on in the other one. Where there is but one lane, as in virtual time, nothing of this
//! changes what is done or when.

use std::{
    cell::Cell,
    pin::Pin,
    task::{Context, Poll},
};

/// Where a future is polled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lane {
    /// The only threads there are.
    #[default]
    Only,
    /// Threads that many share, none of whom computes for long.
    Short,
    /// Threads for those that compute for long.
    Long,
}

/// What a future that has not ended does next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Next {
    /// It waits for something.
    #[default]
    Waits,
    /// It computes, and gave way to others.
    Computes,
    /// It belongs into the long lane, also if it waits. In the short one it has not begun: who polled
    /// it there polls it again in the long one.
    IsLong,
}

thread_local! {
    static LANE: Cell<Lane> = const { Cell::new(Lane::Only) };
    static NEXT: Cell<Next> = const { Cell::new(Next::Waits) };
}

/// Polls something in a lane; what it does next, unless it has ended.
pub fn poll_in<T>(lane: Lane, poll: impl FnOnce() -> T) -> (T, Next) {
    /// Puts back what held before, also if the poll panics.
    struct Before(Lane, Next);
    impl Drop for Before {
        fn drop(&mut self) {
            LANE.set(self.0);
            NEXT.set(self.1);
        }
    }
    let _before = Before(LANE.replace(lane), NEXT.take());
    (poll(), NEXT.get())
}

/// Lets others run; the rest of the future comes after them.
pub async fn give_way() {
    NEXT.set(Next::Computes);
    tokio::task::yield_now().await;
}

/// A future with steps that may be long, polled in the long lane if there is one.
#[derive(Debug)]
pub struct Long<F>(F);

impl<F: Future + Unpin> Long<F> {
    /// This future.
    pub const fn new(future: F) -> Long<F> {
        Long(future)
    }
}

impl<F: Future + Unpin> Future for Long<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let polled = match LANE.get() {
            Lane::Short => Poll::Pending,
            Lane::Only | Lane::Long => Pin::new(&mut self.0).poll(cx),
        };
        if polled.is_pending() && LANE.get() != Lane::Only {
            NEXT.set(Next::IsLong);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// Polls once; whether it has not ended, and what it does next.
    fn poll(lane: Lane, future: &mut (impl Future + Unpin)) -> (bool, Next) {
        poll_in(lane, || future.now_or_never().is_none())
    }

    #[test]
    fn who_waits_has_not_given_way() {
        assert_eq!(poll(Lane::Short, &mut Box::pin(give_way())), (true, Next::Computes));
        assert_eq!(poll(Lane::Short, &mut std::future::pending::<()>()), (true, Next::Waits));
        assert_eq!(poll(Lane::Short, &mut std::future::ready(())), (false, Next::Waits));
    }

    #[test]
    fn what_is_long_begins_and_stays_in_the_long_lane() {
        let mut begun = false;
        let mut long = Long::new(Box::pin(async {
            begun = true;
            std::future::pending::<()>().await;
        }));
        assert_eq!(poll(Lane::Short, &mut long), (true, Next::IsLong));
        assert_eq!(poll(Lane::Long, &mut long), (true, Next::IsLong));
        drop(long);
        assert!(begun);
        let mut elsewhere = Long::new(std::future::ready(7));
        assert_eq!(poll(Lane::Short, &mut elsewhere), (true, Next::IsLong), "not begun there");
        assert_eq!(poll(Lane::Only, &mut elsewhere), (false, Next::Waits));
    }
}
