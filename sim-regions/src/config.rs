//! The one TOML schema: topologies for the demo and the simulator, settings for a node.
//!
//! ```toml
//! name = "two-coasts"              # a topology has a name ...
//!
//! [settings]                       # what any node may be told; all optional
//! engine = "rocksdb"               # or "memory"
//! lease = "3s"
//!
//! [clock]
//! model = "fixed(4ms)"             # zero, spanner2012, sawtooth(1ms, 200ppm, 30s)
//! offset = "walk"                  # where the true time lies: centered, uniform, fast, slow
//! [[clock.override]]
//! node = 3
//! model = "fixed(20ms)"
//!
//! [network]                        # within regions, and what links inherit
//! zone_rtt = "0.5ms"
//! [[region]]                       # ... regions ...
//! name = "us-east"
//! zones = ["a", "b", "c"]
//! nodes = 3
//! [[link]]                         # ... and a round trip for each pair of them
//! between = ["us-east", "us-west"]
//! rtt = "66ms"
//!
//! [node]                           # a node on a machine of its own has this instead
//! id = 1
//! region = "us-east"
//! listen = "0.0.0.0:7000"
//! ```
//!
//! Reading has two steps: [`raw`] says what is well-formed, and the validation in [`node`] and in
//! the topology what makes sense. Both report the line and the field ([`ConfigError`]); a field
//! that nobody knows is an error, for it is a field misspelt.

mod error;
mod node;
pub(crate) mod raw;

use std::{ops::RangeInclusive, time::Duration};

use clock::{Offset, Uncertainty, WIDEST_TOLERATED_EPSILON, format_duration};

pub use error::ConfigError;
pub(crate) use error::Source;
pub use node::{NodeConfig, NodePatch};

/// Where a node keeps its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineKind {
    /// On disk.
    #[default]
    RocksDb,
    /// In memory: gone when the process ends.
    Memory,
}

/// What any node may be told, in a topology or on a machine of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where data is kept. `None`: whatever the program was built with.
    pub engine: Option<EngineKind>,
    /// How long a leader's lease lasts (P1). Between 100 ms and 1 h.
    pub lease: Duration,
    /// How long old versions are kept (S4). At least one second.
    pub retention: Duration,
    /// How far behind the present time is closed (R3). At least one millisecond.
    pub close_lag: Duration,
    /// How far beyond our own a remote clock may be before it counts as broken (T2).
    pub clock_tolerance: Duration,
    /// Tasks that a node's replicas are spread over, up to [`SHARDS_LIMIT`]. `None`: as many as its
    /// process has cores for it.
    pub shards: Option<usize>,
    /// Whether leaders follow the load. `None`: on machines of their own they do, in one process they
    /// stay where they were put.
    pub leaders: Option<::node::Leaders>,
    /// The block cache of RocksDB, in MiB, of a process. From [`CACHE_MIB`].
    pub cache_mib: usize,
    /// Files that one RocksDB keeps open. From [`OPEN_FILES`].
    pub open_files: usize,
}

/// The least and the most of a block cache, in MiB.
pub const CACHE_MIB: RangeInclusive<usize> = 1..=1 << 20;
/// The least and the most of a database's open files.
pub const OPEN_FILES: RangeInclusive<usize> = 64..=1 << 20;

/// The most shards of a node's store.
pub const SHARDS_LIMIT: usize = 64;

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            engine: None,
            lease: Duration::from_secs(3),
            retention: Duration::from_secs(3600),
            close_lag: Duration::from_millis(200),
            clock_tolerance: clock::DEFAULT_TOLERANCE,
            shards: None,
            leaders: None,
            cache_mib: 128,
            open_files: 256,
        }
    }
}

/// How a node's clock behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockConfig {
    /// How wide its interval is.
    pub uncertainty: Uncertainty,
    /// Where in the interval the true time lies; without meaning on a real machine.
    pub offset: Offset,
}

impl Default for ClockConfig {
    fn default() -> ClockConfig {
        ClockConfig { uncertainty: Uncertainty::spanner_2012(), offset: Offset::Walk }
    }
}

impl Settings {
    /// Whether peers that are told the same will believe a node with such a clock (T2): the stamps of
    /// one that claims ε may be ahead of their own time by 2ε, and beyond the tolerance they take it
    /// for broken. A cluster of such nodes would accept connections and never answer.
    ///
    /// The one place where that is looked at before anything starts: clusters in one process, live
    /// or simulated, and nodes on their own.
    ///
    /// # Errors
    /// What is too wide, for people.
    pub fn check_clock(&self, whose: &str, clock: Uncertainty) -> Result<(), String> {
        let (widest, tolerance) = (clock.widest(), self.clock_tolerance);
        let shown = format_duration(widest);
        if widest > WIDEST_TOLERATED_EPSILON {
            return Err(format!(
                "{whose}: an uncertainty ε of {shown} is above the limit of {}: its peers would take \
                 its clock for broken",
                format_duration(WIDEST_TOLERATED_EPSILON)
            ));
        }
        if widest * 2 > tolerance {
            return Err(format!(
                "{whose}: with an uncertainty ε of {shown} its peers would take its clock for broken: \
                 they tolerate {}, set clock_tolerance to twice ε at least",
                format_duration(tolerance)
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
