//! Every way to break the database must be found within its bound of seeds, and the seed that shows
//! it must be clean with nothing broken: checks that can fail, and that fail for the right reason.

use checker::{Model, Validity};
use sim_regions::{
    Topology,
    sim::{
        self, Options, Report,
        judge::{Judgement, against, judge},
        mode::{MODES, Mode},
    },
};

/// Runs a seed on a mode's stage, broken or whole.
fn play(mode: Mode, seed: u64, broken: bool) -> (Report, Judgement) {
    let topology = Topology::load("three-regions").expect("shipped");
    let mut options = Options::new(seed, topology);
    mode.stage(&mut options);
    if !broken {
        options.mode = Mode::default();
    }
    let report = sim::run(&options, &mut |_| {}).expect("the cluster starts");
    let judgement = judge(&report);
    (report, judgement)
}

/// Some seed shows what a mode breaks, and the same seed is clean with nothing broken.
fn is_found(name: &str) {
    is_found_as(name, |_, judgement| !judgement.held());
}

/// The same, where it must show in a certain way.
fn is_found_as(name: &str, shows: impl Fn(&Report, &Judgement) -> bool) {
    let mode: Mode = name.parse().expect("a mode");
    let within = mode.spec().expect("it breaks something").within;
    let found = (1..=within).find_map(|seed| {
        let (report, judgement) = play(mode, seed, true);
        shows(&report, &judgement).then_some((seed, judgement))
    });
    let (seed, judgement) = found.unwrap_or_else(|| panic!("{name}: {within} seeds found nothing"));
    println!("{name}: seed {seed}\n{}", judgement.render_text());
    let (report, judgement) = play(mode, seed, false);
    assert!(
        judgement.held() && report.stuck.is_empty(),
        "seed {seed} with nothing broken: {:?}\n{}",
        report.stuck,
        judgement.render_text()
    );
}

/// A weaker promise is kept all the same.
fn keeps(report: &Report, weaker: Model, timestamps: bool) {
    let verdict = against(report, weaker, timestamps);
    assert!(
        verdict.valid != Validity::No,
        "seed {} breaks {weaker}, too:\n{}",
        report.seed,
        verdict.render_text()
    );
}

/// The order of timestamps is whole, and so is what transactions see: only real time is broken, and
/// clients can tell.
#[test]
fn commit_wait_off() {
    is_found_as("commit-wait-off", |report, judgement| {
        keeps(report, Model::Serializable, true);
        judgement.verdict.anomalies.iter().any(|found| found.name().ends_with("-realtime"))
    });
}

/// Transactions that write the same key still exclude each other; those that read what the other
/// writes do not.
#[test]
fn snapshot_isolation() {
    is_found_as("snapshot-isolation", |report, judgement| {
        keeps(report, Model::Snapshot, false);
        assert!(!judgement.verdict.has("lost-update"), "{}", judgement.render_text());
        judgement.verdict.has("write-skew")
    });
}

/// Replicas that no longer agree on what was decided make no progress: that is what gives this one
/// away first.
#[test]
fn no_opening_no_fence() {
    is_found_as("no-opening-no-fence", |report, judgement| {
        !judgement.held() || report.stuck.iter().any(|what| what.contains("no leader answered"))
    });
}

/// What gives it away is the end of a read of the past: no timestamps contradict each other.
#[test]
fn closed_too_far() {
    is_found_as("closed-too-far", |report, judgement| {
        keeps(report, Model::Serializable, true);
        judgement.verdict.anomalies.iter().any(|found| found.name().ends_with("-realtime"))
    });
}

macro_rules! modes {
    ($($test:ident: $name:literal,)*) => {
        $(#[test] fn $test() { is_found($name); })*

        #[test]
        fn every_mode_has_a_test() {
            let tested = [
                "commit-wait-off",
                "snapshot-isolation",
                "no-opening-no-fence",
                "closed-too-far",
                $($name),*
            ];
            for spec in MODES {
                assert!(tested.contains(&spec.name), "{} has no test", spec.name);
            }
        }
    };
}

modes! {
    lying_clock: "lying-clock",
    read_committed: "read-committed",
    lying_disk: "lying-disk",
    old_folder: "old-folder",
    validation_up_to_now: "validation-up-to-now",
    no_validation: "no-validation",
    release_without_raising: "release-without-raising",
    shared_locks_let_go: "shared-locks-let-go",
    validated_wounded_locally: "validated-wounded-locally",
    floor_forgotten: "floor-forgotten",
    recovery_forgets: "recovery-forgets",
    lease_overstayed: "lease-overstayed",
    poison_ignored: "poison-ignored",
    abort_from_refusal: "abort-from-refusal",
    reads_not_validated: "reads-not-validated",
    validation_outlived: "validation-outlived",
    committed_below_prepares: "committed-below-prepares",
    sleep_unnoticed: "sleep-unnoticed",
}
