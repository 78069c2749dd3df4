//! Settings drawn per run.
//!
//! What only happens when a limit is hit, a lease runs out or a log is truncated would rarely happen
//! in a minute of a healthy cluster's life. So each run draws its settings: some are as shipped, some
//! make nodes hasty, forgetful or slow. None of them may make a difference to consistency.

use std::time::Duration;

use node::{FollowLoad, Leaders, NodeConfig};
use rand::{Rng, RngExt as _};

/// The settings of a run.
#[derive(Clone, Debug, Default)]
pub struct Temper {
    /// How long a leader's lease lasts; the times that depend on it follow.
    pub lease: Option<Duration>,
    /// How often leaders close time, whether they write or not. Never drawn.
    pub close_always: Option<Duration>,
    horizon_slack: Option<Duration>,
    log_keep_slots: Option<u64>,
    window: Option<u64>,
    snapshot_chunk: Option<usize>,
    close: Option<Duration>,
    retention: Option<Duration>,
    life: Option<Duration>,
    lapse: Option<Duration>,
    recent_writes: Option<usize>,
    shards: Option<usize>,
    slice_keys: Option<usize>,
    /// How leaders follow the load. Drawn apart from the others ([`Temper::draw_follow`]).
    pub follow: Option<FollowLoad>,
}

impl Temper {
    /// Draws the settings of a run: each is as shipped with even odds.
    pub fn draw(rng: &mut dyn Rng) -> Temper {
        let millis = |rng: &mut dyn Rng, of: &[u64]| {
            let drawn = of[rng.random_range(0..of.len())];
            rng.random::<bool>().then(|| Duration::from_millis(drawn))
        };
        Temper {
            lease: millis(rng, &[1_000, 1_500, 2_000]),
            close_always: None,
            horizon_slack: millis(rng, &[200, 1_000]),
            log_keep_slots: rng.random::<bool>().then(|| rng.random_range(8..200)),
            window: rng.random::<bool>().then(|| rng.random_range(2..32)),
            snapshot_chunk: rng.random::<bool>().then(|| rng.random_range(200..4_000)),
            close: millis(rng, &[50, 500, 1_500]),
            // Above the oldest reads of the past, so that these find something.
            retention: millis(rng, &[8_000, 15_000]),
            life: millis(rng, &[12_000, 20_000]),
            lapse: millis(rng, &[1_000, 6_000]),
            recent_writes: rng.random::<bool>().then(|| rng.random_range(1..50)),
            shards: rng.random::<bool>().then(|| rng.random_range(2..=3)),
            slice_keys: rng.random::<bool>().then(|| rng.random_range(1..4)),
            follow: None,
        }
    }

    /// Draws whether leaders follow the load, with looks and limits small enough to matter.
    pub fn draw_follow(rng: &mut dyn Rng) -> Option<FollowLoad> {
        rng.random::<bool>().then(|| FollowLoad {
            every: Duration::from_millis(rng.random_range(300..3_000)),
            least: rng.random_range(1..10),
        })
    }

    /// Puts them into a node's configuration.
    pub fn apply(&self, config: &mut NodeConfig) {
        let range = &mut config.range;
        if let Some(lease) = self.lease {
            range.paxos.lease = lease;
            range.paxos.renew_every = lease / 3;
            range.paxos.election_timeout = lease / 2;
        }
        if let Some(slack) = self.horizon_slack {
            range.paxos.horizon_slack = slack;
        }
        if let Some(slots) = self.log_keep_slots {
            range.paxos.log_keep_slots = slots;
        }
        if let Some(slots) = self.window {
            range.paxos.max_in_flight_slots = slots;
        }
        if let Some(bytes) = self.snapshot_chunk {
            range.snapshot_chunk_bytes = bytes;
        }
        if let Some(every) = self.close {
            range.close_active = every;
        }
        if let Some(every) = self.close_always {
            (range.close_active, range.close_idle) = (every, every);
        }
        if let Some(retention) = self.retention {
            range.retention = retention;
            range.gc_step = Duration::from_millis(500);
            range.housekeeping = Duration::from_millis(700);
        }
        if let Some(life) = self.life {
            range.transaction_life = life;
        }
        if let Some(lapse) = self.lapse {
            range.heartbeat_lapse = lapse;
        }
        if let Some(keys) = self.recent_writes {
            range.recent_writes = keys;
        }
        if let Some(keys) = self.slice_keys {
            (range.slice_keys, range.slices_in_log) = (keys, 1 + keys % 2);
        }
        if let Some(shards) = self.shards {
            config.shards = shards;
        }
        if let Some(follow) = self.follow {
            config.leaders = Leaders::Follow(follow);
        }
    }
}
