//! Simulated regions: where the nodes are, how far apart, and how well their clocks are kept.
//!
//! A *topology* is a TOML file that names regions, zones, the round trips between them and the
//! model of the clocks; a handful are shipped inside the program ([`Topology::shipped`]). From it
//! come the three things a cluster in one process needs:
//!
//! ```text
//!   three-regions.toml ──► Topology ──┬─ node_layout() ─► NodeSpec: n1 us-east/a ... n9
//!                                     ├─ build_wan()   ─► net::SimWan with 72 links
//!                                     └─ build_clock() ─► clock::SwitchableClock of each node
//! ```
//!
//! On top of that, [`sim`] is the simulator: a cluster in virtual time with clients, faults, a
//! history of what clients saw, and a verdict on it.
//!
//! The same code serves the demo, in real time, and the simulator, in virtual time: only the
//! [`time`] below them differs. [`Topology::self_check`] measures that the network is as slow as
//! its file says.
//!
//! The schema is one for all: a node on a machine of its own reads its settings from the same
//! kind of file ([`config`]), with a `[node]` section instead of regions.

mod cluster;
pub mod config;
pub mod operator;
pub mod sim;
pub mod time;
mod topology;
mod trace;

pub use cluster::{Cluster, ClusterError, ClusterOptions, EngineFactory, apply_settings};
pub use config::{ClockConfig, ConfigError, EngineKind, NodeConfig, NodePatch, Settings};
pub use topology::{Measured, NodeSpec, PathSpec, Region, SelfCheckError, Topology};
pub use trace::{Trace, TraceSum};
