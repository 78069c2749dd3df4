//! What is frozen waits, and what it spawned with it.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    task::Wake,
};

use super::*;

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn what_is_frozen_is_polled_again_after_the_thaw() {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    let freezer = Freezer::default();
    let mut future = freezer.wrap(async { 7 });
    freezer.freeze();
    assert!(Pin::new(&mut future).poll(&mut cx).is_pending());
    assert_eq!(woken.0.load(Ordering::Relaxed), 0);
    freezer.thaw();
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert_eq!(Pin::new(&mut future).poll(&mut cx), Poll::Ready(7));
}

#[test]
fn what_a_task_spawns_is_frozen_with_it_and_what_others_spawn_is_not() {
    let mut cx = Context::from_waker(Waker::noop());
    let freezer = Freezer::default();
    let mut spawned = None;
    let mut parent = freezer.wrap(async { spawned = Some(inherit(async { 1 })) });
    assert!(Pin::new(&mut parent).poll(&mut cx).is_ready());
    drop(parent);
    let mut child = spawned.expect("the parent ran");
    let mut stranger = inherit(async { 2 });
    freezer.freeze();
    assert!(Pin::new(&mut child).poll(&mut cx).is_pending());
    assert_eq!(Pin::new(&mut stranger).poll(&mut cx), Poll::Ready(2));
    freezer.thaw();
    assert_eq!(Pin::new(&mut child).poll(&mut cx), Poll::Ready(1));
}
