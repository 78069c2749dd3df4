//! The scopes of the model checker: that each is safe, and which dropped rule each would notice.
//!
//! Three replicas; node 1 leads from birth and all have granted its lease. Node 1's clock is as far
//! behind, those of the others as far ahead, as their bounds allow, which is where leases come
//! closest to each other. A lease is 10 ms. What a scope leaves at zero does not happen in it.
//!
//! | scope | what may happen | states |
//! |---|---|---|
//! | `fail_over` | two commands, a read, node 2 stands, two ticks | 252,000 |
//! | `two_candidates` | a command, a read, nodes 2 and 3 stand, one long tick | 15,000 |
//! | `announced` | followers are told at once, a command, node 2 stands, two ticks | 14,000 |
//! | `voter_restarts` | a command, node 2 stands, node 3 crashes, two ticks | 46,000 |
//! | `candidate_restarts` | node 2 stands twice and crashes once, one long tick | 800 |
//! | `slow_disk` | the leader's disk syncs late, it crashes, node 2 stands | 70,000 |
//! | `overtaken` | one message arrives behind a younger one | 33,000 |
//! | `doubled` | one message arrives twice | 78,000 |
//! | `handed_over` | a leader releases while others stand | 8,000 |
//! | `handed_on` | a leader that inherited its floor releases; a read, a command | 222,000 |
//! | `truncated` | logs are truncated, node 3 stands | 9,400 |
//! | `both_stand` | as `fail_over` with two candidates: long | 804,000 |
//! | `snapshots` | entries left behind by node 1, two more leaders, snapshots: long | 249,000 |
//! | `left_behind` | an entry left behind, two more leaders, a read: long | 1,185,000 |
//!
//! The first eleven are explored to the end in every run, in about 15 seconds of one core together.
//! `MERIDIAN_LONG=1` does the same with the long ones (two minutes, and up to 2 GiB); without it only
//! the first states of these are looked at.
//!
//! Not reached by any scope: `FenceBehindHoles`. Its shortest history needs three leaders, four
//! commands and 18 steps, several million states away; random schedules find it.

use std::time::Duration;

use keys::NodeId;

use super::{
    explore::{Budget, Scope, explore},
    schedule::Sabotage,
    world::{HostFault, Setup},
};
use crate::{Announce, Config, Membership, Rule, Rules};

/// How far a long scope is looked at unless all of it is asked for.
const GLIMPSE: usize = 20_000;
/// A search that sees more states than this has lost its bounds.
const MOST_STATES: usize = 3_000_000;
/// Bound of the clocks, in milliseconds.
const EPSILON_MS: u8 = 2;

fn long() -> bool {
    std::env::var_os("MERIDIAN_LONG").is_some()
}

/// Settings under which nothing is ever sent again and nobody stands unasked.
fn config(announce: Announce) -> Config {
    let never = Duration::from_secs(3600);
    Config {
        lease: Duration::from_millis(10),
        max_lease: never,
        renew_every: Duration::from_millis(1),
        election_timeout: never,
        election_stagger: never,
        resend_after: never,
        snapshot_retry: never,
        horizon_slack: Duration::ZERO,
        max_in_flight_slots: 8,
        announce,
        ..Config::default()
    }
}

fn scope(name: &'static str, tick_ms: u64, budget: Budget) -> Scope {
    let voters = (1..=3).map(NodeId).collect();
    let setup = Setup {
        membership: Membership::majority(voters).expect("three nodes"),
        born: Some(NodeId(1)),
        config: config(Announce::Piggyback),
        epsilon: Duration::from_millis(EPSILON_MS.into()),
        fault: None,
    };
    let epsilon = i64::from(EPSILON_MS);
    let offsets = [-epsilon, epsilon, epsilon];
    let (left_behind, heirs, slow_disk) = (0, Vec::new(), None);
    let most_states = MOST_STATES;
    Scope { name, setup, offsets, tick_ms, left_behind, heirs, slow_disk, budget, most_states }
}

fn told_at_once(mut scope: Scope) -> Scope {
    scope.setup.config = config(Announce::WhenIdle);
    scope
}

const STANDS: Budget = Budget {
    ticks: 2,
    campaigns: [0, 1, 0],
    crashes: [0; 3],
    proposals: 1,
    reads: 0,
    releases: 0,
    late: 0,
    twice: 0,
    truncations: 0,
};

fn fail_over() -> Scope {
    scope("fail_over", 10, Budget { proposals: 2, reads: 1, ..STANDS })
}

fn two_candidates() -> Scope {
    let budget = Budget { ticks: 1, campaigns: [0, 1, 1], reads: 1, ..STANDS };
    scope("two_candidates", 20, budget)
}

fn announced() -> Scope {
    told_at_once(scope("announced", 10, STANDS))
}

fn voter_restarts() -> Scope {
    scope("voter_restarts", 10, Budget { crashes: [0, 0, 1], ..STANDS })
}

fn candidate_restarts() -> Scope {
    let (campaigns, crashes) = ([0, 2, 0], [0, 1, 0]);
    let budget = Budget { ticks: 1, proposals: 0, campaigns, crashes, ..STANDS };
    scope("candidate_restarts", 20, budget)
}

fn slow_disk() -> Scope {
    let slow_disk = Some(NodeId(1));
    let scope = scope("slow_disk", 10, Budget { crashes: [1, 0, 0], ..STANDS });
    Scope { slow_disk, ..scope }
}

fn overtaken() -> Scope {
    scope("overtaken", 10, Budget { late: 1, ..STANDS })
}

fn doubled() -> Scope {
    scope("doubled", 10, Budget { twice: 1, ..STANDS })
}

fn handed_over() -> Scope {
    let budget = Budget { ticks: 0, campaigns: [1, 1, 0], releases: 1, ..STANDS };
    Scope { heirs: vec![NodeId(2)], ..scope("handed_over", 10, budget) }
}

fn handed_on() -> Scope {
    let budget = Budget { ticks: 1, releases: 1, reads: 1, ..STANDS };
    Scope { heirs: vec![NodeId(3)], ..scope("handed_on", 20, budget) }
}

fn truncated() -> Scope {
    let budget = Budget { ticks: 1, campaigns: [0, 0, 1], truncations: 1, ..STANDS };
    told_at_once(scope("truncated", 20, budget))
}

fn both_stand() -> Scope {
    let budget = Budget { campaigns: [0, 1, 1], proposals: 2, reads: 1, ..STANDS };
    scope("both_stand", 10, budget)
}

fn snapshots() -> Scope {
    let campaigns = [0, 1, 1];
    let budget = Budget { ticks: 1, campaigns, proposals: 0, truncations: 1, ..STANDS };
    Scope { left_behind: 2, ..told_at_once(scope("snapshots", 20, budget)) }
}

fn left_behind() -> Scope {
    let budget = Budget { campaigns: [0, 1, 1], proposals: 0, reads: 1, ..STANDS };
    Scope { left_behind: 1, ..scope("left_behind", 20, budget) }
}

/// Explores a scope to the end. It must have about as many states as when it was written down, or
/// what it covers has changed.
fn is_safe(scope: &Scope, states: usize) {
    match explore(scope, Sabotage::default()) {
        Ok(cover) => {
            println!("{}: {cover}", scope.name);
            assert!(cover.complete, "{}: {cover}", scope.name);
            let usual = states / 2..=states * 2;
            assert!(usual.contains(&cover.states), "{}: {cover}, not {states}", scope.name);
        }
        Err(found) => panic!("{}: {}\n{}", scope.name, found.failure, found.script),
    }
}

/// Explores a scope, but only the beginning of it unless all of it is asked for.
fn begins_safely(scope: Scope, states: usize, all: bool) {
    if all {
        return is_safe(&scope, states);
    }
    let scope = Scope { most_states: GLIMPSE, ..scope };
    if let Err(found) = explore(&scope, Sabotage::default()) {
        panic!("{}: {}\n{}", scope.name, found.failure, found.script);
    }
}

/// Something is broken, and the scope must show it.
fn must_be_found(name: &str, scope: &Scope, sabotage: Sabotage) {
    match explore(scope, sabotage) {
        Ok(cover) => panic!("{name} dropped, {} notices nothing: {cover}", scope.name),
        Err(found) => {
            let (steps, states) = (found.steps, found.states);
            println!("{name}, found in {} in {steps} steps, {states} states:", scope.name);
            println!("{}     {}", found.script, found.failure);
        }
    }
}

macro_rules! safe {
    ($($scope:ident: $states:expr,)+) => {
        mod is_safe {
            $(#[test]
            fn $scope() {
                // A build that is not optimized only takes a glimpse.
                super::begins_safely(super::$scope(), $states, !cfg!(debug_assertions));
            })+
        }
    };
}

safe! {
    fail_over: 252_000,
    two_candidates: 15_000,
    announced: 14_000,
    voter_restarts: 46_000,
    candidate_restarts: 800,
    slow_disk: 70_000,
    overtaken: 33_000,
    doubled: 78_000,
    handed_over: 8_000,
    handed_on: 222_000,
    truncated: 9_400,
}

#[test]
fn long_scopes_are_safe() {
    begins_safely(both_stand(), 804_000, long());
    begins_safely(snapshots(), 249_000, long());
    begins_safely(left_behind(), 1_185_000, long());
}

macro_rules! dropping_rule {
    ($($test:ident: $rule:ident in $scope:ident,)+) => {
        $(#[test]
        fn $test() {
            let rules = Rules::without(Rule::$rule);
            let sabotage = Sabotage { rules, ..Sabotage::default() };
            must_be_found(stringify!($rule), &$scope(), sabotage);
        })+
    };
}

dropping_rule! {
    ballot_once: BallotOnce in candidate_restarts,
    granters_wait: GrantersWait in fail_over,
    grant_is_promise: GrantIsPromise in fail_over,
    until_monotone: UntilMonotone in overtaken,
    lease_quorum: LeaseQuorum in fail_over,
    floor: Floor in fail_over,
    report_over_grants: ReportOverGrants in fail_over,
    horizon_stands_in: HorizonStandsIn in voter_restarts,
    certificate_one_ballot: CertificateOneBallot in handed_over,
    release_floor: ReleaseFloor in handed_on,
    release_is_final: ReleaseIsFinal in handed_over,
    recover_accepted: RecoverAccepted in fail_over,
    fence: Fence in fail_over,
    noops_fence: NoopsFence in fail_over,
    learn_own_ballot: LearnOwnBallot in announced,
    own_acceptance_durable: OwnAcceptanceDurable in slow_disk,
    behind_refused: BehindRefused in truncated,
}

/// These take a long scope to be seen. (Random schedules see them in every run.)
#[test]
fn rules_of_long_scopes() {
    for (rule, scope) in [(Rule::Opening, left_behind()), (Rule::SnapshotFence, snapshots())] {
        let sabotage = Sabotage { rules: Rules::without(rule), ..Sabotage::default() };
        if long() {
            must_be_found(&format!("{rule:?}"), &scope, sabotage);
        } else {
            let scope = Scope { most_states: GLIMPSE, ..scope };
            let cover = explore(&scope, sabotage).expect("not to be seen that early");
            assert!(!cover.complete, "{rule:?} needs no long scope: {cover}");
        }
    }
}

macro_rules! breaking_host {
    ($($test:ident: $fault:ident in $scope:ident,)+) => {
        $(#[test]
        fn $test() {
            let fault = Some(HostFault::$fault);
            let sabotage = Sabotage { fault, ..Sabotage::default() };
            must_be_found(stringify!($fault), &$scope(), sabotage);
        })+
    };
}

breaking_host! {
    promise_not_durable: PromiseNotDurable in voter_restarts,
    horizon_not_written: HorizonNotWritten in voter_restarts,
    sends_before_sync: SendsBeforeSync in slow_disk,
}
