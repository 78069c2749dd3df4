//! Checks that can fail: named ways to break the database on purpose.
//!
//! A checker that has never found anything proves nothing. Each mode here takes one thing away that
//! consistency rests on, and the suite demands that a bounded number of seeds finds a violation,
//! and none with the mode off.
//!
//! Some modes are settings that any experimenter has (commit-wait off, a lying clock, a weaker
//! isolation level, a disk that lies). The others drop a numbered rule inside the protocol cores; the
//! questions where the cores ask for their rules are compiled in only with the feature
//! `broken-rules`, which a production build does not have.

#[cfg(feature = "broken-rules")]
mod stage;

use std::{fmt, str::FromStr, time::Duration};

use node::NodeConfig;
use range::CommitWait;
use storage::memory::SyncMode;

use super::Options;
#[cfg(feature = "broken-rules")]
use super::faults::FaultKinds;
use super::{
    faults::{Fault, Planned, Span, Way},
    workload::Workload,
};
use crate::Topology;

/// A way to break the database, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mode(Option<&'static Spec>);

/// What a mode does.
#[derive(Debug)]
pub struct Spec {
    /// Its name on the command line.
    pub name: &'static str,
    /// The rule it breaks.
    pub rule: &'static str,
    /// What it does, and what must be found, in a line.
    pub about: &'static str,
    /// Seeds from 1 on, one of which must show it on its stage.
    pub within: u64,
    what: What,
    /// Where it shows: changes the options of a run as `meridian sim` has them by default.
    stage: fn(&mut Options),
}

impl PartialEq for Spec {
    fn eq(&self, other: &Spec) -> bool {
        self.name == other.name
    }
}

impl Eq for Spec {}

#[derive(Debug)]
enum What {
    CommitWaitOff,
    Isolation(&'static str),
    LyingDisk,
    LyingClock,
    OldFolder,
    #[cfg(feature = "broken-rules")]
    Range(&'static [range::Rule]),
    #[cfg(feature = "broken-rules")]
    Paxos(&'static [paxos::Rule]),
    #[cfg(feature = "broken-rules")]
    Txn(&'static [txn::Rule]),
    #[cfg(feature = "broken-rules")]
    Clock(&'static [clock::Rule]),
}

/// One region, clocks far apart: nothing hides what commit-wait is for.
fn one_region(options: &mut Options, epsilon_millis: u64) {
    options.topology = Topology::load("one-region").expect("shipped");
    options.epsilon = Some(Duration::from_millis(epsilon_millis));
    options.skewed = true;
}

/// Of three nodes, the first gets back a folder that is fifteen seconds old, and the third, which
/// accepted with it what was acknowledged while the second was cut off, goes down. The second was there
/// for long enough to know better.
fn a_folder_is_turned_back(options: &mut Options) {
    one_region(options, 4);
    options.workloads =
        vec![Workload::Register, Workload::Append, Workload::Bank, Workload::Linear];
    options.duration = Duration::from_secs(40);
    options.tempered = false;
    (options.clients, options.rate) = (24, 120.0);
    let seconds = |count| Span(Duration::from_secs(count));
    let (copied, cut, put_back) = (seconds(5), seconds(12), seconds(20));
    let (age, lasting) = (seconds(15), Span(Duration::from_millis(500)));
    let alone = seconds(8);
    let cut_off =
        Fault::Partition { nodes: vec![2], way: Way::Both, flapping: None, lasting: alone };
    let plan = [
        (copied, Fault::OldFolder { node: 1, age, lasting }),
        (cut, cut_off),
        (put_back, Fault::Crash { nodes: vec![3], lasting: seconds(12) }),
    ];
    options.plan = Some(plan.map(|(at, fault)| Planned { at, fault }).to_vec());
}

/// Clients that get into each other's way, and nothing else that goes wrong.
#[cfg(feature = "broken-rules")]
fn contention(options: &mut Options, workloads: &[Workload]) {
    options.workloads = workloads.to_vec();
    options.faults = FaultKinds::none();
    options.tempered = false;
    options.duration = Duration::from_secs(30);
}

/// All modes of this build.
pub const MODES: &[Spec] = &[
    Spec {
        name: "commit-wait-off",
        rule: "T4",
        about: "commits are acknowledged at once: an acknowledged write may be missed by a later \
                read elsewhere; still serializable",
        within: 20,
        what: What::CommitWaitOff,
        stage: |options| one_region(options, 50),
    },
    Spec {
        name: "lying-clock",
        rule: "T2",
        about: "one clock is further off than it claims: later transactions get earlier timestamps",
        within: 20,
        what: What::LyingClock,
        stage: |_| {},
    },
    Spec {
        name: "snapshot-isolation",
        rule: "X1",
        about: "transactions run at REPEATABLE READ: write skew, but no lost update",
        within: 20,
        what: What::Isolation("REPEATABLE READ"),
        stage: |_| {},
    },
    Spec {
        name: "read-committed",
        rule: "X1",
        about: "transactions run at READ COMMITTED: lost updates",
        within: 20,
        what: What::Isolation("READ COMMITTED"),
        stage: |_| {},
    },
    Spec {
        name: "lying-disk",
        rule: "S1",
        about: "disks acknowledge a sync and do nothing: promises and votes are forgotten in a crash",
        within: 20,
        what: What::LyingDisk,
        stage: |_| {},
    },
    Spec {
        name: "old-folder",
        rule: "P0a",
        about: "a node comes back with an older copy of its folder, and nobody looks: it has forgotten \
                what it accepted, and acknowledged writes are gone",
        within: 20,
        what: What::OldFolder,
        stage: a_folder_is_turned_back,
    },
    #[cfg(feature = "broken-rules")]
    Spec {
        name: "validation-up-to-now",
        rule: "X1",
        about: "validation does not look for versions in the future: two transactions update the \
                same version while a commit still waits",
        within: 20,
        what: What::Range(&[range::Rule::FutureVersions]),
        stage: |options| {
            one_region(options, 100);
            contention(options, &[Workload::Append, Workload::Register, Workload::Bank]);
        },
    },
    #[cfg(feature = "broken-rules")]
    Spec {
        name: "no-validation",
        rule: "X1",
        about: "validation does not look for newer versions at all",
        within: 20,
        what: What::Range(&[range::Rule::Validation]),
        stage: |_| {},
    },
    #[cfg(feature = "broken-rules")]
    Spec {
        name: "release-without-raising",
        rule: "R1a",
        about: "locks are released without raising min_next above s: a writer slips under what \
                another transaction read",
        within: 20,
        what: What::Range(&[range::Rule::Learned]),
        stage: |options| {
            one_region(options, 200);
            contention(options, &[Workload::Append, Workload::Register, Workload::Skew]);
        },
    },
    #[cfg(feature = "broken-rules")]
    Spec {
        name: "shared-locks-let-go",
        rule: "X2, X3",
        about: "what a transaction read is not share-locked until its commit timestamp",
        within: 20,
        what: What::Range(&[range::Rule::SharedLocks]),
        stage: |_| {},
    },
    #[cfg(feature = "broken-rules")]
    Spec {
        name: "floor-forgotten",
        rule: "P3, R1",
        about: "a new leader forgets the floor and the timestamps of its log: it writes below what \
                was read under the one before",
        within: 20,
        what: What::Range(&[range::Rule::Floor, range::Rule::LogTimestamps]),
        stage: stage::leaders_hand_over,
    },
    #[cfg(feature = "broken-rules")]
    Spec {
        name: "validated-wounded-locally",
        rule: "X5",
        about: "a holder that validated is wounded without asking its record: write skew",
        within: 20,
        what: What::Range(&[range::Rule::PromiseKept]),
        stage: |options| {
            contention(options, &[Workload::Skew, Workload::Register, Workload::Append]);
        },
    },
    #[cfg(feature = "broken-rules")]
    Spec {
        name: "no-opening-no-fence",
        rule: "P7, P8",
        about: "a new leader acts before its opening entry, and nothing is void: ranges stand still \
                for ever, since their replicas no longer agree on what was decided",
        within: 20,
        what: What::Paxos(&[
            paxos::Rule::Opening,
            paxos::Rule::Fence,
            paxos::Rule::FenceBehindHoles,
        ]),
        stage: |_| {},
    },
    #[cfg(feature = "broken-rules")]
    Spec {
        name: "recovery-forgets",
        rule: "P7",
        about: "a new leader does not propose again what promises report",
        within: 20,
        what: What::Paxos(&[paxos::Rule::RecoverAccepted]),
        stage: stage::nodes_crash,
    },
    #[cfg(feature = "broken-rules")]
    Spec {
        name: "lease-overstayed",
        rule: "P2",
        about: "a leader serves reads beyond the end of its lease",
        within: 20,
        what: What::Range(&[range::Rule::LeaseEnd]),
        stage: stage::leaders_are_cut_off,
    },
    #[cfg(feature = "broken-rules")]
    Spec {
        name: "poison-ignored",
        rule: "X7",
        about: "a commit that finds its record poisoned commits all the same, where it is proposed \
                (X8) and where it is applied: half of a transaction lasts",
        within: 20,
        what: What::Range(&[range::Rule::FirstVerdict, range::Rule::RecordFirst]),
        stage: |options| {
            contention(options, &[Workload::Bank, Workload::Register, Workload::Append]);
        },
    },
    #[cfg(feature = "broken-rules")]
    Spec {
        name: "abort-from-refusal",
        rule: "X8",
        about: "a participant's refusal is reported as an abort, the record unasked",
        within: 20,
        what: What::Txn(&[txn::Rule::AskTheRecord]),
        stage: |options| {
            options.workloads = vec![Workload::Bank, Workload::Register, Workload::Append];
        },
    },
    #[cfg(feature = "broken-rules")]
    Spec {
        name: "reads-not-validated",
        rule: "X1",
        about: "a gateway has nothing validated but what it wrote: write skew",
        within: 20,
        what: What::Txn(&[txn::Rule::ValidateReads]),
        stage: |_| {},
    },
    #[cfg(feature = "broken-rules")]
    Spec {
        name: "validation-outlived",
        rule: "X3",
        about: "a transaction commits beyond the lease under which it validated: the next leader \
                knew no lock, and let another change what it read",
        within: 20,
        what: What::Txn(&[txn::Rule::ValidThrough]),
        stage: stage::leaders_forget_locks,
    },
    #[cfg(feature = "broken-rules")]
    Spec {
        name: "committed-below-prepares",
        rule: "R1",
        about: "a commit timestamp below a participant's prepare timestamp: under what that \
                participant has shown to readers",
        within: 20,
        what: What::Txn(&[txn::Rule::AbovePrepares]),
        stage: |options| {
            one_region(options, 200);
            contention(options, &[Workload::Append, Workload::Register, Workload::Skew]);
        },
    },
    #[cfg(feature = "broken-rules")]
    Spec {
        name: "closed-too-far",
        rule: "R3, T5",
        about: "leaders close what is not past yet, and other replicas show it: a read of the past \
                sees a write, and a strong read that begins afterwards does not",
        within: 20,
        what: What::Range(&[range::Rule::ClosePast, range::Rule::FollowerReadWait]),
        stage: stage::followers_read_the_present,
    },
    #[cfg(feature = "broken-rules")]
    Spec {
        name: "sleep-unnoticed",
        rule: "T6",
        about: "a machine that slept takes up its time where it was: its leader serves reads under a \
                lease that ran out meanwhile",
        within: 20,
        what: What::Clock(&[clock::Rule::JumpCheck]),
        stage: stage::machines_sleep,
    },
];

impl Mode {
    /// Sets the stage on which the mode shows, and the mode. Nothing, if nothing is broken.
    pub fn stage(self, options: &mut Options) {
        if let Some(spec) = self.0 {
            (spec.stage)(options);
            options.mode = self;
        }
    }

    /// Its specification; `None`: nothing is broken.
    #[must_use]
    pub fn spec(self) -> Option<&'static Spec> {
        self.0
    }

    /// The isolation level of transactions that write.
    pub(super) fn isolation(self) -> &'static str {
        match self.0.map(|spec| &spec.what) {
            Some(What::Isolation(level)) => level,
            _ => "SERIALIZABLE",
        }
    }

    /// Whether commits wait.
    pub(super) fn commit_wait(self) -> CommitWait {
        match self.0.map(|spec| &spec.what) {
            Some(What::CommitWaitOff) => CommitWait::UnsafeOff,
            _ => CommitWait::On,
        }
    }

    /// What a sync does.
    pub(super) fn sync(self) -> SyncMode {
        match self.0.map(|spec| &spec.what) {
            Some(What::LyingDisk) => SyncMode::Lying,
            _ => SyncMode::Honest,
        }
    }

    /// Whether a clock lies.
    pub(super) fn lies(self) -> bool {
        matches!(self.0.map(|spec| &spec.what), Some(What::LyingClock))
    }

    /// Which rules clocks keep.
    pub(super) fn clock_rules(self) -> clock::Rules {
        match self.0.map(|spec| &spec.what) {
            #[cfg(feature = "broken-rules")]
            Some(What::Clock(rules)) => clock::Rules::without_all(rules),
            _ => clock::Rules::default(),
        }
    }

    /// Drops rules in a node's protocol cores.
    pub(super) fn tune(self, config: &mut NodeConfig) {
        match self.0.map(|spec| &spec.what) {
            #[cfg(feature = "broken-rules")]
            Some(What::Range(rules)) => config.range.rules = range::Rules::without_all(rules),
            #[cfg(feature = "broken-rules")]
            Some(What::Paxos(rules)) => config.range.paxos.rules = paxos::Rules::without_all(rules),
            #[cfg(feature = "broken-rules")]
            Some(What::Txn(rules)) => config.txn.rules = txn::Rules::without_all(rules),
            // They shall be found by what they break. A disk that lies is one that turns back.
            Some(What::LyingClock) => config.clock_guard = node::ClockGuard::UnsafeOff,
            Some(What::OldFolder | What::LyingDisk) => {
                config.epoch_check = node::EpochCheck::UnsafeOff;
            }
            _ => {}
        }
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Mode, String> {
        let found = MODES.iter().find(|spec| spec.name == text);
        found.map(|spec| Mode(Some(spec))).ok_or_else(|| {
            let known: Vec<&str> = MODES.iter().map(|spec| spec.name).collect();
            let note = if cfg!(feature = "broken-rules") {
                ""
            } else {
                "; more are in a build with the feature broken-rules"
            };
            format!("there is no mode \"{text}\"; there are {}{note}", known.join(", "))
        })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.map_or("none", |spec| spec.name))
    }
}
