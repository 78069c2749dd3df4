//! Ticks, sleeps and moments.

use std::time::Duration;

use proptest::prelude::*;
use tokio::runtime;

use super::{Instant, Tick, TickError, sleep, sleep_until, tick, timeout, with_tick};

fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

fn paused<T>(future: impl Future<Output = T>) -> T {
    let runtime = runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime of one thread needs no resources").block_on(future)
}

fn ticks_of(length: u64) -> Tick {
    Tick::new(micros(length)).expect("it divides a millisecond")
}

/// How long a sleep takes as its sleeper sees it.
fn slept(tick: Tick, time: Duration) -> Duration {
    with_tick(tick, || {
        paused(async {
            let begun = Instant::now();
            sleep(time).await;
            begun.elapsed()
        })
    })
}

#[test]
fn a_finer_tick_rounds_less() {
    assert_eq!(slept(Tick::MILLISECOND, micros(1_234)), micros(2_000));
    assert_eq!(slept(ticks_of(100), micros(1_234)), micros(1_300));
    assert_eq!(slept(Tick::MICROSECOND, micros(1_234)), micros(1_234));
}

#[test]
fn moments_and_spans_agree_with_the_sleeps() {
    with_tick(ticks_of(10), || {
        paused(async {
            let begun = Instant::now();
            let due = begun + micros(70);
            assert!(timeout(micros(60), sleep_until(due)).await.is_err());
            assert_eq!(Instant::now() - begun, micros(60));
            assert!(timeout(micros(60), sleep_until(due)).await.is_ok());
            assert_eq!((Instant::now(), due - micros(70)), (due, begun));
            assert_eq!(begun.saturating_duration_since(due), Duration::ZERO);
        });
    });
}

#[test]
fn without_a_simulation_it_is_tokios_time() {
    assert_eq!(tick(), Tick::MILLISECOND);
    paused(async {
        let (ours, tokios) = (Instant::now(), tokio::time::Instant::now());
        tokio::time::advance(micros(5_500)).await;
        assert_eq!(ours.elapsed(), tokios.elapsed());
    });
}

#[test]
fn the_tick_ends_with_the_simulation_even_in_a_panic() {
    let panicked = std::panic::catch_unwind(|| with_tick(ticks_of(1), || panic!("on purpose")));
    assert!(panicked.is_err());
    assert_eq!(tick(), Tick::MILLISECOND);
}

#[test]
fn a_tick_divides_a_millisecond() {
    for length in [Duration::ZERO, micros(3), micros(2_000), Duration::from_nanos(500)] {
        assert_eq!(Tick::new(length), Err(TickError(length)));
    }
    assert_eq!(ticks_of(8).length(), micros(8));
    assert_eq!(
        TickError(micros(3)).to_string(),
        "a tick divides 1ms and is not below 1us; 3\u{b5}s is none"
    );
}

proptest! {
    #[test]
    fn a_sleep_is_never_short_and_less_than_a_tick_and_a_bit_long(
        time in 1_u64..5_000_000, tick in prop::sample::select(vec![1_u64, 10, 100, 500, 1_000]),
    ) {
        let took = slept(ticks_of(tick), Duration::from_nanos(time));
        prop_assert!(took >= Duration::from_nanos(time));
        prop_assert!(took < Duration::from_nanos(time) + 2 * micros(tick));
    }
}
