//! Where the polls of a session happen.

use std::sync::{Arc, Mutex};

use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
};

use super::*;

fn runtime(name: &str) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().thread_name(name).build().expect("a runtime")
}

fn thread() -> String {
    std::thread::current().name().unwrap_or_default().to_owned()
}

/// Computes for longer than is short, in slices.
async fn compute() {
    for _ in 0..20 {
        let begun = Instant::now();
        while begun.elapsed() < SHORT / 4 {
            std::hint::spin_loop();
        }
        turns::give_way().await;
    }
}

/// Waits, however fast the others are: what it waits for has come when it is looked at again.
async fn wait() {
    let mut waited = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[test]
fn who_computes_for_long_changes_lanes_and_comes_back_to_wait() {
    let (home, long) = (runtime("home"), runtime("long"));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let see = {
        let seen = Arc::clone(&seen);
        move |what: &'static str| seen.lock().expect("no panic").push((what, thread()))
    };
    let session = async move {
        see("begins");
        compute().await;
        see("computed");
        wait().await;
        see("waited");
        assert_eq!(tokio::spawn(async { thread() }).await.expect("no panic"), "home");
        tokio::time::sleep(Duration::from_millis(1)).await;
        see("slept");
    };
    let lanes = Lanes::with(long.handle().clone());
    home.block_on(home.spawn(lanes.run(session))).expect("no panic");
    let expected =
        [("begins", "home"), ("computed", "long"), ("waited", "home"), ("slept", "home")];
    let expected = expected.map(|(what, thread)| (what, thread.to_owned()));
    assert_eq!(*seen.lock().expect("no panic"), expected);
}

#[test]
fn without_another_lane_it_stays() {
    let home = runtime("home");
    let session = async {
        compute().await;
        assert_eq!(thread(), "home");
    };
    home.block_on(home.spawn(Lanes::default().run(session))).expect("no panic");
}

#[test]
fn who_is_ended_ends_in_the_other_lane_too() {
    /// Tells where it was dropped, and whether its runtime was the session's.
    struct Told(Option<oneshot::Sender<Handle>>);
    impl Drop for Told {
        fn drop(&mut self) {
            let told = self.0.take().expect("once");
            told.send(Handle::current()).expect("somebody waits");
        }
    }
    let (home, long) = (runtime("home"), runtime("long"));
    let (told, dropped) = oneshot::channel();
    let (begun, away) = oneshot::channel();
    let lanes = Lanes::with(long.handle().clone());
    let session = home.spawn(lanes.run(async move {
        let _told = Told(Some(told));
        compute().await;
        begun.send(thread()).expect("somebody waits");
        loop {
            turns::give_way().await;
        }
    }));
    assert_eq!(home.block_on(away).expect("it computes"), "long");
    session.abort();
    let at = home.block_on(dropped).expect("it is dropped");
    assert_eq!(at.id(), home.handle().id());
}
