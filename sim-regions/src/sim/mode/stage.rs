//! Stages: where a mode shows that needs more than clients in each other's way.
//!
//! A rule that guards the change from one leader to the next is missed only while leaders change,
//! and at the right moment: each stage here lets that happen again and again, with the clients
//! whose transactions notice.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::one_region;
use crate::sim::{
    Options,
    faults::{End, Fault, Planned, Span, Way},
    workload::Workload,
};

/// P3, R1: leaders hand over at once, while what they assigned and served lies in the future.
pub(super) fn leaders_hand_over(options: &mut Options) {
    one_region(options, 200);
    quiet(options, &[Workload::Append, Workload::Register, Workload::Fork, Workload::Bank], 20);
    (options.clients, options.rate) = (24, 120.0);
    let transfer = |_, rng: &mut ChaCha8Rng| Fault::Transfer {
        range: rng.random_range(0..64),
        replica: rng.random_range(0..8),
    };
    options.plan = Some(again_and_again(options, 150, transfer));
}

/// P7: nodes crash while much is in flight, so that new leaders have something to recover.
pub(super) fn nodes_crash(options: &mut Options) {
    options.faults = "crash".parse().expect("a kind of fault");
    options.rate = 150.0;
}

/// P2: a leader is cut off together with some of its clients, until the others have another one.
pub(super) fn leaders_are_cut_off(options: &mut Options) {
    quiet(options, &[Workload::Linear, Workload::Monotonic, Workload::Fork], 40);
    options.nodes_per_region = Some(1);
    (options.clients, options.rate) = (36, 80.0);
    let cut = |nth, rng: &mut ChaCha8Rng| Fault::Partition {
        nodes: vec![nth % 3 + 1],
        way: Way::Both,
        flapping: None,
        lasting: span(rng, 8_000, 11_000),
    };
    options.plan = Some(again_and_again(options, 12_000, cut));
}

/// T6: a leader's machine sleeps, together with some of its clients, until the others have another one.
pub(super) fn machines_sleep(options: &mut Options) {
    quiet(options, &[Workload::Linear, Workload::Monotonic, Workload::Fork], 40);
    options.nodes_per_region = Some(1);
    (options.clients, options.rate) = (36, 80.0);
    let sleep = |nth, rng: &mut ChaCha8Rng| Fault::Suspend {
        node: nth % 3 + 1,
        lasting: span(rng, 7_000, 10_000),
    };
    options.plan = Some(again_and_again(options, 12_000, sleep));
}

/// X3: a transaction that has validated waits for a lock elsewhere, while the leader that keeps what it
/// validated in memory is cut off, until another has been elected and has let somebody write.
pub(super) fn leaders_forget_locks(options: &mut Options) {
    quiet(options, &[Workload::Held], 40);
    options.nodes_per_region = Some(1);
    options.lease = Some(Duration::from_millis(500));
    (options.clients, options.rate) = (36, 80.0);
    let cut = |nth, rng: &mut ChaCha8Rng| Fault::Partition {
        nodes: vec![nth % 3 + 1],
        way: Way::Both,
        flapping: None,
        lasting: span(rng, 1_500, 2_500),
    };
    options.plan = Some(again_and_again(options, 4_000, cut));
}

/// R3, T5: replicas that are ahead are asked for what is hardly past to them, while others are behind.
pub(super) fn followers_read_the_present(options: &mut Options) {
    one_region(options, 200);
    quiet(options, &[Workload::Append, Workload::Register, Workload::Stale, Workload::Stale], 20);
    options.staleness = Duration::from_millis(20);
    options.close = Some(Duration::from_millis(20));
    (options.clients, options.rate) = (60, 400.0);
    let steps = [(1, End::Fast), (2, End::Fast), (3, End::Slow)];
    let step = |(node, to)| Planned { at: Span::default(), fault: Fault::ClockStep { node, to } };
    options.plan = Some(steps.map(step).to_vec());
}

/// Nothing goes wrong but what the stage says, and all settings are as shipped.
fn quiet(options: &mut Options, workloads: &[Workload], seconds: u64) {
    options.workloads = workloads.to_vec();
    options.duration = Duration::from_secs(seconds);
    options.tempered = false;
    options.plan = Some(Vec::new());
}

/// One fault after the other, about this far apart, drawn from the run's seed.
fn again_and_again(
    options: &Options,
    every_millis: u64,
    mut fault: impl FnMut(u32, &mut ChaCha8Rng) -> Fault,
) -> Vec<Planned> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let mut at = Duration::from_secs(2);
    let mut plan = Vec::new();
    while at < options.duration {
        plan.push(Planned { at: Span(at), fault: fault(plan.len() as u32, &mut rng) });
        at += Duration::from_millis(rng.random_range(every_millis / 2..every_millis * 3 / 2));
    }
    plan
}

fn span(rng: &mut ChaCha8Rng, from_millis: u64, to_millis: u64) -> Span {
    Span(Duration::from_millis(rng.random_range(from_millis..to_millis)))
}
