//! One node, put together over its four seams.
//!
//! | seam | what | live | virtual |
//! |---|---|---|---|
//! | [`clock::Clock`] | time | the machine's clock and a claim, or a model on top | the same over paused time |
//! | [`net::Transport`] | messages | gRPC, or the simulated WAN | the simulated WAN |
//! | [`storage::Engine`] with [`disk::Disk`] | disk | RocksDB and a sync thread | in memory, with crashes |
//! | [`Seed`] | randomness | from the operating system | from the run's seed |
//!
//! ```text
//!   SQL sessions -> Database -> Coordinator -> Router -> Gateway --local--> Store -> replicas
//!                                                          |                  ^
//!                                                          +--> Transport --> | (other nodes)
//! ```
//!
//! The same code runs live and in virtual time: nothing in this crate reads a clock, draws a
//! random number, opens a file or a socket by itself.
//!
//! S3: when the disk fails, the store ends with its error and [`Node::failed`] resolves; whoever
//! runs the node ends the process (or, in a simulation, the node). Nothing goes on with a state
//! that is not known. The same holds for a node that came back without its data ([`DataLost`]), or
//! with an older copy of it ([`OlderCopy`]).

mod calls;
mod cluster;
pub mod disk;
mod epoch;
mod gateway;
mod guard;
mod identity;
mod incarnation;
mod members;
mod message;
pub mod readers;
mod start;
mod store;
mod time;
mod timeline;

pub use epoch::{Epoch, EpochCheck, OlderCopy, Reached, SHOWN_EVERY, Showing, Starts};
pub use gateway::{FollowLoad, Gateway, Leaders};
pub use guard::{ClockGuard, Distrust};
pub use identity::{Freshness, Identity, IdentityError, read as stored_identity};
pub use incarnation::{DataLost, Incarnation};
pub use members::{LIVE_WINDOW, Member, Members, found_system_range};
pub use start::{
    DEFAULT_REPLICATION, Node, NodeConfig, NodeFailure, Seams, Seed, StartError, Work,
};
pub use time::NodeClock;
