//! Every check is shown able to fail: rules are dropped, and the same schedules must notice.

use super::schedule::{run, setting};
use crate::rules::{Rule, Rules};

/// How many schedules may pass before it must have been noticed.
const PATIENCE: u64 = 100_000;

fn must_be_found(rules: &[Rule]) {
    std::panic::set_hook(Box::new(|_| {}));
    let patience = setting("MERIDIAN_SCHEDULES").unwrap_or(PATIENCE);
    let found =
        (1..=patience).find_map(|seed| Some((seed, run(seed, Rules::without_all(rules)).err()?)));
    let Some((seed, found)) = found else {
        panic!("{rules:?}: {patience} schedules noticed nothing");
    };
    println!("{rules:?}: found by schedule {seed}: {}", found.lines().next().unwrap_or_default());
}

macro_rules! dropping {
    ($($test:ident: $($rule:ident),+;)+) => {
        $(#[test]
        fn $test() {
            must_be_found(&[$(Rule::$rule),+]);
        })+
    };
}

dropping! {
    // Each of these two stands in for the other (the model checker found the same).
    dropped_start_and_above_is_found: Start, Above;
    dropped_commit_wait_is_found: CommitWait;
    dropped_read_wait_is_found: ReadWait;
    dropped_lease_end_is_found: LeaseEnd, Start;
    // T3 and waiting the lease out hide it, unless T3 is off, too.
    dropped_floor_is_found: Floor, Start;
    dropped_log_timestamps_is_found: LogTimestamps, Start, Above;
    dropped_learned_is_found: Learned;
    dropped_read_raises_is_found: ReadRaises;
    dropped_read_waits_for_writes_is_found: ReadWaitsForWrites;
    dropped_close_raises_is_found: CloseRaises, Start;
    dropped_follower_intents_is_found: FollowerIntents;
    dropped_validation_is_found: Validation;
    dropped_future_versions_is_found: FutureVersions;
    dropped_shared_locks_is_found: SharedLocks;
    dropped_recover_intents_is_found: RecoverIntents;
    dropped_valid_through_is_found: ValidThrough;
    // The leader looks at the record before it proposes, and again when it applies.
    dropped_first_verdict_is_found: FirstVerdict, RecordFirst;
    dropped_acknowledged_is_found: Acknowledged;
    dropped_poison_first_is_found: PoisonFirst;
    dropped_promise_kept_is_found: PromiseKept;
}
