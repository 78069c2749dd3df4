//! What the task at work works for.
//!
//! A future wrapped by [`within`] has its span in a cell of the thread for as long as it is polled,
//! as `clock::inherit` does with freezers; what it awaits finds it there. A task of its own does not:
//! whoever spawns one opens a span for it and wraps its future.

use std::{
    cell::RefCell,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
};

use crate::{Context, Kind, Span, Tap, Tracer};

/// The span at work and who makes further ones.
#[derive(Clone, Debug)]
pub struct Scope {
    pub(crate) tracer: Arc<Tracer>,
    pub(crate) context: Context,
    pub(crate) tap: Option<Tap>,
}

thread_local! {
    static CURRENT: RefCell<Option<Scope>> = const { RefCell::new(None) };
}

/// What the task at work works for, as a request carries it; `None`: nothing that is traced.
#[must_use]
pub fn context() -> Option<Context> {
    CURRENT.with_borrow(|scope| scope.as_ref().map(|scope| scope.context))
}

/// Begins a part of what the task at work works for; none if that is not traced.
pub fn span(kind: Kind, name: impl FnOnce() -> String) -> Span {
    CURRENT.with_borrow(|scope| match scope {
        None => Span::none(),
        Some(Scope { tracer, context, tap }) => {
            let parent = Some(context.parent);
            tracer.open(context.trace, parent, kind, name(), tracer.stamp(), tap.clone())
        }
    })
}

/// The future, working for this span; as it was if the span is none. It is pinned where it stands
/// (`pin!`), so that a future that nobody traces is not moved once more.
pub fn within<F: Future + Unpin>(span: &Span, future: F) -> Within<F> {
    Within { scope: span.scope(), future }
}

/// A future that works for a span.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Within<F> {
    scope: Option<Scope>,
    future: F,
}

impl<F: Future + Unpin> Future for Within<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<F::Output> {
        let Some(scope) = self.scope.clone() else { return Pin::new(&mut self.future).poll(cx) };
        let _restore = Entered(CURRENT.replace(Some(scope)));
        Pin::new(&mut self.future).poll(cx)
    }
}

/// Puts the outer scope back, also if the poll panics.
struct Entered(Option<Scope>);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}
