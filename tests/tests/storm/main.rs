//! A demo under load, and whatever a client may send beside it: statements that would compute for
//! minutes, nestings, broken and huge messages, connections that begin and never go on.
//!
//! What must hold: the process lives, no session panics, every statement of the clients that work
//! beside it succeeds, and whatever computes ends when its time is over, when it is cancelled and
//! when its client is gone. The attacks are drawn from one seed.
//!
//! The short form asks what came of everything, and that the others went on; how long they waited is
//! printed. `MERIDIAN_LONG=1` goes on for longer and demands that all ends within a second and that no
//! other session's 99th percentile is above 100 ms, which says something of an optimised binary on
//! cores that nobody else uses. `MERIDIAN_STORM=join,sort` tries only what
//! has one of these in its name.

mod heavy;
mod noise;
mod steady;

use std::time::Duration;

use meridian_tests::demo::Demo;
use steady::Steady;

/// Nodes of the demo; each is a gateway of some clients.
const NODES: u16 = 3;

/// How hard it is tried, and what is asked.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// The statement_timeout of what computes for long.
    timeout: Duration,
    /// How much later than it must, something may end.
    grace: Duration,
    /// How long something computes before it is cancelled or its client goes.
    runs_for: Duration,
    /// The most that one in a hundred statements of the others may take; `None`: any time.
    p99: Option<Duration>,
    /// Attacks with broken messages, of each attacker.
    attacks: usize,
}

const SHORT: Form = Form {
    timeout: Duration::from_secs(1),
    grace: Duration::from_secs(30),
    runs_for: Duration::from_millis(200),
    p99: None,
    attacks: 30,
};

const LONG: Form = Form {
    timeout: Duration::from_secs(2),
    grace: Duration::from_secs(1),
    runs_for: Duration::from_secs(2),
    p99: Some(Duration::from_millis(100)),
    attacks: 300,
};

/// Whether this is tried.
fn is_chosen(name: &str) -> bool {
    std::env::var("MERIDIAN_STORM")
        .map_or(true, |parts| parts.split(',').any(|part| name.contains(part)))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_a_client_sends_ends_or_freezes_a_demo() {
    let form = if std::env::var_os("MERIDIAN_LONG").is_some() { LONG } else { SHORT };
    let mut demo = Demo::start_with("storm", NODES, &["--topology=one-region"]).await;
    heavy::tables(&demo).await;
    let steady = Steady::start(&demo).await;
    let mut slow = Vec::new();
    steady.during("nothing else", tokio::time::sleep(form.timeout)).await;
    for kind in heavy::kinds().iter().filter(|kind| is_chosen(kind.name)) {
        for (how, work) in heavy::endings(&demo, kind, form) {
            let name = format!("{}, {how}", kind.name);
            slow.extend(steady.during(&name, work).await.above(form.p99));
        }
        assert!(demo.is_running(), "{}: the demo ended: {}", kind.name, demo.printed());
    }
    for (name, work) in noise::kinds(&demo, form) {
        if is_chosen(name) {
            slow.extend(steady.during(name, work).await.above(form.p99));
        }
    }
    assert!(demo.is_running(), "the demo ended: {}", demo.printed());
    steady.stop().await;
    let log = demo.printed();
    assert!(!log.contains("panicked"), "a session panicked: {log}");
    assert!(slow.is_empty(), "others waited:\n{}", slow.join("\n"));
}
