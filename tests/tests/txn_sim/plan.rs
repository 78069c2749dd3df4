//! What one seed stands for: the cluster, its clocks, its network, its clients, its faults.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use range::CommitWait;
use storage::memory::SyncMode;

/// What is broken on purpose, to see that the judge notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// Nothing.
    None,
    /// Commit-wait off, and clocks as far apart as ε allows (T4, T5).
    NoCommitWait,
    /// One clock is further off than it claims.
    LyingClock,
    /// Transactions that claim to be serializable validate only what they write (X1).
    SkippedValidation,
    /// Disks that acknowledge a sync and do nothing, and nodes that crash (S1).
    LyingDisks,
}

/// Everything that is drawn before the simulation starts.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed it came from.
    pub seed: u64,
    /// What is broken on purpose.
    pub sabotage: Sabotage,
    /// Nodes 1, 2, ...; each has a replica of every range, and a gateway.
    pub nodes: u32,
    /// Keys that transactions use: 0 .. keys.
    pub keys: u8,
    /// The table's ranges begin at these keys, besides the first.
    pub boundaries: Vec<u8>,
    /// ε.
    pub epsilon: Duration,
    /// True offset of each node's clock, in nanoseconds.
    pub offsets: Vec<i64>,
    /// Shortest and longest time a message takes.
    pub latency: (Duration, Duration),
    /// Messages lost, in a thousand.
    pub loss: u32,
    /// Messages delivered twice, in a thousand; some of the copies come seconds later.
    pub duplicates: u32,
    /// The longest time a sync takes.
    pub sync_time: Duration,
    /// How often an active leader closes time, which stale reads wait for.
    pub close_active: Duration,
    /// The longest look back of a stale read.
    pub staleness: Duration,
    /// L of X7a: how long an attempt may take, and how long its record is kept.
    pub life: Duration,
    /// S4: how long overwritten versions are kept.
    pub retention: Duration,
    /// Slots of the log that are kept: who misses more gets a snapshot.
    pub log_keep_slots: u64,
    /// What a sync does.
    pub sync_mode: SyncMode,
    /// T4 and T5.
    pub commit_wait: CommitWait,
    /// Clients, spread over the gateways.
    pub clients: u32,
    /// Transactions of each client, attempts not counted.
    pub transactions: u32,
    /// The longest pause between two transactions of a client.
    pub think: Duration,
    /// Gateways that die in the middle of a transaction, in a thousand transactions.
    pub deaths: u32,
    /// Mean time between two faults.
    pub fault_every: Duration,
    /// Which faults there are.
    pub faults: Faults,
}

/// Which faults there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// Nodes crash, lose what was not synced, and come back.
    pub crashes: bool,
    /// A node is cut off for a while, in one direction or both.
    pub partitions: bool,
    /// Clocks step within ε.
    pub clock_steps: bool,
    /// Leadership is handed over.
    pub transfers: bool,
    /// Ranges split.
    pub splits: bool,
}

impl Plan {
    /// A quiet plan or a wild one, as the seed says.
    pub fn draw(seed: u64, sabotage: Sabotage) -> Plan {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let rng = &mut rng;
        let millis = Duration::from_millis;
        let keys = rng.random_range(4..=12);
        let wild = rng.random_bool(0.7);
        let epsilon = millis([0, 1, 4, 10, 25][rng.random_range(0..5)]);
        let longest = [1, 3, 10, 30][rng.random_range(0..4)];
        let nodes = [3, 3, 3, 1, 5][rng.random_range(0..5)];
        let mut plan = Plan {
            seed,
            sabotage,
            nodes,
            keys,
            boundaries: (1..keys).filter(|_| rng.random_bool(0.25)).collect(),
            epsilon,
            offsets: (0..nodes).map(|_| offset(rng, epsilon)).collect(),
            latency: (Duration::from_micros(50), millis(longest)),
            loss: if wild { rng.random_range(0..60) } else { 0 },
            duplicates: if wild { rng.random_range(0..20) } else { 0 },
            sync_time: Duration::from_micros(rng.random_range(1..2_000)),
            close_active: millis([5, 20, 100][rng.random_range(0..3)]),
            staleness: millis([20, 100, 1_500][rng.random_range(0..3)]),
            life: Duration::from_secs([3, 3_600][rng.random_range(0..2)]),
            retention: Duration::from_secs([2, 3_600][rng.random_range(0..2)]),
            log_keep_slots: [4, 64][rng.random_range(0..2)],
            sync_mode: SyncMode::Honest,
            commit_wait: CommitWait::On,
            clients: rng.random_range(3..=8),
            transactions: rng.random_range(20..=40),
            think: millis(rng.random_range(0..40)),
            deaths: if wild { rng.random_range(0..40) } else { 0 },
            fault_every: millis(rng.random_range(150..1_500)),
            faults: Faults {
                crashes: wild && rng.random_bool(0.5),
                partitions: wild && rng.random_bool(0.5),
                clock_steps: rng.random_bool(0.5),
                transfers: rng.random_bool(0.6),
                splits: rng.random_bool(0.6),
            },
        };
        plan.break_something();
        plan
    }

    fn break_something(&mut self) {
        let quiet = Faults {
            crashes: false,
            partitions: false,
            clock_steps: false,
            transfers: false,
            splits: false,
        };
        let apart = |ns: i64| [ns, -ns].into_iter().chain(std::iter::repeat(0)).take(5).collect();
        match self.sabotage {
            Sabotage::None => {}
            Sabotage::NoCommitWait => {
                self.commit_wait = CommitWait::UnsafeOff;
                self.epsilon = Duration::from_millis(50);
                self.offsets = apart(50_000_000);
                self.latency.1 = Duration::from_millis(2);
                self.faults = quiet;
            }
            Sabotage::LyingClock => {
                self.epsilon = Duration::from_millis(2);
                self.offsets = apart(60_000_000);
                self.latency.1 = Duration::from_millis(2);
                self.faults = quiet;
            }
            Sabotage::SkippedValidation => {}
            Sabotage::LyingDisks => {
                self.sync_mode = SyncMode::Lying;
                self.faults = Faults { crashes: true, ..quiet };
                self.fault_every = Duration::from_millis(300);
            }
        }
    }
}

/// An offset within ε, often at its very edge.
pub fn offset(rng: &mut ChaCha8Rng, epsilon: Duration) -> i64 {
    let widest = i64::try_from(epsilon.as_nanos()).expect("milliseconds");
    match rng.random_range(0..4) {
        0 => widest,
        1 => -widest,
        _ => rng.random_range(-widest..=widest),
    }
}
