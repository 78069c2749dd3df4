//! A node that starts with a clock that is behind waits, says so, and gives up where it would not end.

use std::sync::Arc;

use clock::{Claim, MachineClock, Readings, Uncertainty};
use storage::MemEngine;
use timer::Instant;

use super::*;

/// A machine whose clocks run with tokio's, which a test pauses.
#[derive(Debug)]
struct Paused(Instant);

const EPOCH: u64 = 1_800_000_000_000_000_000;

impl clock::Machine for Paused {
    fn read(&self) -> Readings {
        let (before, after) = (self.monotonic(), self.monotonic());
        Readings { before, realtime: EPOCH + before, boottime: before, after }
    }

    fn monotonic(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).expect("short")
    }
}

fn clock() -> MachineClock {
    let epsilon = Uncertainty::fixed(Duration::from_millis(4)).expect("below the limit");
    MachineClock::new(Arc::new(Paused(Instant::now())), Claim::Vouched(epsilon))
}

fn folder(bound: Duration) -> MemEngine {
    let engine = MemEngine::new();
    let bound = EPOCH + u64::try_from(bound.as_nanos()).expect("short");
    write_clock_bound(&engine, bound).expect("in memory");
    engine
}

#[tokio::test(start_paused = true)]
async fn a_bound_of_a_former_life_is_waited_out() {
    let (engine, clock) = (folder(Duration::from_secs(30)), clock());
    let begun = Instant::now();
    let mut hlc = start_clock(&engine, &clock).await.expect("half a minute is waited for");
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_secs(30) && waited < Duration::from_secs(31), "{waited:?}");
    assert!(hlc.now(clock.now()).wall >= EPOCH + 30_000_000_000);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_hopelessly_behind_is_refused_at_once() {
    let (engine, clock) = (folder(Duration::from_secs(3_600)), clock());
    let begun = Instant::now();
    let refused = start_clock(&engine, &clock).await.expect_err("an hour is not waited for");
    let told = refused.to_string();
    assert!(told.contains("the clock here is 3600.004s behind"), "{told}");
    assert!(told.contains("a node waits 1m at most"), "{told}");
    assert_eq!(begun.elapsed(), Duration::ZERO);
}
