//! Every check is shown able to fail: one rule is dropped at a time, and the same schedules under
//! the same checker must find out.
//!
//! Most are found by the checker, some by an assertion of the group itself, which is as good: a
//! replica that meets the impossible stops.

use super::{
    schedule::{Sabotage, hush, run},
    world::HostFault,
};
use crate::rules::{Rule, Rules};

/// How many schedules may pass before a dropped rule must have been noticed.
const PATIENCE: u64 = 100_000;

fn must_be_found(name: &str, sabotage: Sabotage) {
    hush();
    let found = (1..=PATIENCE).find_map(|seed| Some((seed, run(seed, sabotage).err()?)));
    let Some((seed, failure)) = found else {
        panic!("{name}: {PATIENCE} schedules noticed nothing");
    };
    let line = failure.lines().next().unwrap_or_default();
    println!("{name}: found by schedule {seed}: {line}");
}

macro_rules! dropping_rule {
    ($($test:ident: $rule:ident,)+) => {
        $(#[test]
        fn $test() {
            let rules = Rules::without(Rule::$rule);
            must_be_found(stringify!($rule), Sabotage { rules, ..Sabotage::default() });
        })+
    };
}

dropping_rule! {
    dropped_ballot_once_is_found: BallotOnce,
    dropped_granters_wait_is_found: GrantersWait,
    dropped_grant_is_promise_is_found: GrantIsPromise,
    dropped_until_monotone_is_found: UntilMonotone,
    dropped_lease_quorum_is_found: LeaseQuorum,
    dropped_floor_is_found: Floor,
    dropped_report_over_grants_is_found: ReportOverGrants,
    dropped_horizon_stands_in_is_found: HorizonStandsIn,
    dropped_certificate_one_ballot_is_found: CertificateOneBallot,
    dropped_release_floor_is_found: ReleaseFloor,
    dropped_release_is_final_is_found: ReleaseIsFinal,
    dropped_opening_is_found: Opening,
    dropped_recover_accepted_is_found: RecoverAccepted,
    dropped_fence_is_found: Fence,
    dropped_fence_behind_holes_is_found: FenceBehindHoles,
    dropped_noops_fence_is_found: NoopsFence,
    dropped_learn_own_ballot_is_found: LearnOwnBallot,
    dropped_own_acceptance_durable_is_found: OwnAcceptanceDurable,
    dropped_behind_refused_is_found: BehindRefused,
    dropped_snapshot_fence_is_found: SnapshotFence,
}

macro_rules! breaking_host {
    ($($test:ident: $fault:ident,)+) => {
        $(#[test]
        fn $test() {
            let fault = Some(HostFault::$fault);
            must_be_found(stringify!($fault), Sabotage { fault, ..Sabotage::default() });
        })+
    };
}

breaking_host! {
    promise_not_durable_is_found: PromiseNotDurable,
    horizon_not_written_is_found: HorizonNotWritten,
    sends_before_sync_is_found: SendsBeforeSync,
}
