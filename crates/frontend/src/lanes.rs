//! Two lanes for sessions: one for those that wait most of the time, one for those that compute.
//!
//! A session's task runs on the threads that everything else of the node runs on: sockets, timers,
//! the store. That is the fastest way for a short statement, and a bad one for a long computation. It
//! gives way often ([`sql::turns`]), and each time whoever waits for the thread is served; but a
//! statement changes threads several times on its way through the node, and at each waits in line
//! behind all that compute. So a session that has computed for [`SHORT`] without waiting for anything
//! goes on in the other lane, a runtime of its own, whose threads the operating system may run behind
//! those of the first (the process that makes it decides). When it waits, for a range or its client,
//! it comes back. A statement with steps that nobody can interrupt begins and stays there.
//!
//! ```text
//!   the node's threads      poll  poll  gave way, SHORT is over               poll  poll
//!                              waits       \                                 /
//!   the other lane                          poll  gave way  poll ...  waits
//! ```
//!
//! Sockets and timers stay with the node's runtime: what they say wakes the task wherever it is, and
//! what a session spawns is spawned there.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use sql::turns::{self, Lane, Next};
use tokio::{
    runtime::Handle,
    task::{JoinError, JoinHandle},
    time::Instant,
};

/// How long a session may compute among those that wait.
const SHORT: Duration = Duration::from_millis(1);

/// Where sessions run.
#[derive(Clone, Debug, Default)]
pub struct Lanes {
    /// Where those go on that compute for long; `None`: where they are.
    long: Option<Handle>,
}

impl Lanes {
    /// Long computations go on in this runtime, which must outlive the sessions.
    #[must_use]
    pub const fn with(long: Handle) -> Lanes {
        Lanes { long: Some(long) }
    }

    /// Runs a session's future, in whichever lane it belongs to.
    pub(crate) fn run<F: Future<Output = ()> + Send + 'static>(&self, future: F) -> Laned<F> {
        let place = Place::Here(Box::pin(future), Duration::ZERO);
        Laned { long: self.long.clone(), place }
    }
}

/// A future that changes lanes.
pub(crate) struct Laned<F> {
    long: Option<Handle>,
    place: Place<F>,
}

enum Place<F> {
    /// On the node's threads, and how long it has computed since it last waited.
    Here(Pin<Box<F>>, Duration),
    /// In the other lane.
    Away(Away<F>),
    /// It has ended.
    Ended,
}

impl<F: Future<Output = ()> + Send + 'static> Future for Laned<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let Some(long) = &this.long else { return this.stay(cx) };
        loop {
            this.place = match std::mem::replace(&mut this.place, Place::Ended) {
                Place::Here(mut future, before) => match Polled::of(&mut future, Lane::Short, cx) {
                    Polled::Ended => return Poll::Ready(()),
                    Polled::Next(Next::Waits, _) => {
                        this.place = Place::Here(future, Duration::ZERO);
                        return Poll::Pending;
                    }
                    Polled::Next(Next::Computes, took) if before + took < SHORT => {
                        this.place = Place::Here(future, before + took);
                        return Poll::Pending;
                    }
                    Polled::Next(Next::Computes | Next::IsLong, _) => {
                        Place::Away(Away::begin(future, long))
                    }
                },
                Place::Away(mut away) => match Pin::new(&mut away.0).poll(cx) {
                    Poll::Pending => {
                        this.place = Place::Away(away);
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(Some(future))) => Place::Here(future, Duration::ZERO),
                    Poll::Ready(Ok(None)) => return Poll::Ready(()),
                    Poll::Ready(Err(error)) => {
                        failed(error);
                        return Poll::Ready(());
                    }
                },
                Place::Ended => unreachable!("a future is not polled after its end"),
            }
        }
    }
}

impl<F: Future<Output = ()>> Laned<F> {
    /// Where there is no other lane.
    fn stay(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Place::Here(future, _) = &mut self.place else { unreachable!("it never leaves") };
        future.as_mut().poll(cx)
    }
}

/// The other lane is gone, and all sessions with it; or the session panicked outside of what is
/// contained, which is not hidden here.
fn failed(error: JoinError) {
    if let Ok(panic) = error.try_into_panic() {
        std::panic::resume_unwind(panic);
    }
}

/// What came of a poll.
enum Polled {
    Ended,
    /// What it does next, and how long the poll took.
    Next(Next, Duration),
}

impl Polled {
    fn of<F>(future: &mut Pin<Box<F>>, lane: Lane, cx: &mut Context<'_>) -> Polled
    where
        F: Future<Output = ()>,
    {
        let begun = Instant::now();
        match turns::poll_in(lane, || future.as_mut().poll(cx)) {
            (Poll::Ready(()), _) => Polled::Ended,
            (Poll::Pending, next) => Polled::Next(next, begun.elapsed()),
        }
    }
}

/// A future in the other lane, until it ends or waits; then it is handed back. Dropped, it is ended.
struct Away<F>(JoinHandle<Option<Pin<Box<F>>>>);

impl<F: Future<Output = ()> + Send + 'static> Away<F> {
    fn begin(future: Pin<Box<F>>, long: &Handle) -> Away<F> {
        let visit = Visit { home: Handle::current(), future: Some(future) };
        Away(long.spawn(clock::inherit(visit)))
    }
}

impl<F> Drop for Away<F> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A future on a thread of another runtime than its own.
struct Visit<F> {
    home: Handle,
    future: Option<Pin<Box<F>>>,
}

impl<F: Future<Output = ()>> Future for Visit<F> {
    /// The future, if it has not ended.
    type Output = Option<Pin<Box<F>>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Visit { home, future } = &mut *self;
        let _at_home = home.enter();
        let polled = future.as_mut().expect("it is polled before its end");
        match Polled::of(polled, Lane::Long, cx) {
            Polled::Ended => {
                *future = None;
                Poll::Ready(None)
            }
            Polled::Next(Next::Computes | Next::IsLong, _) => Poll::Pending,
            Polled::Next(Next::Waits, _) => Poll::Ready(future.take()),
        }
    }
}

/// What a session does at its end (it rolls back) is done at home.
impl<F> Drop for Visit<F> {
    fn drop(&mut self) {
        let _at_home = self.home.enter();
        self.future = None;
    }
}

#[cfg(test)]
mod tests;
