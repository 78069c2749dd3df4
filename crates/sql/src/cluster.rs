//! What SQL needs from the node besides transactions: who is in the cluster, where a new range
//! goes, and that every gateway hears of a changed schema.
//!
//! The node implements [`Cluster`]; the tests of this crate have a fake one. SQL itself knows key
//! spans and leaders by name only, it never talks to a replica but through `txn`.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use expr::SqlError;
use futures::future::BoxFuture;
use keys::{NodeId, SchemaVersion};
use kv::Descriptor;
use trace::{Summary, Timeline, TraceId, Tracer};
use txn::CommitInfo;

use crate::{
    control::{Control, NoControl},
    meter::CommitStats,
};

/// The node and its cluster, as SQL sees them.
pub trait Cluster: Send + Sync + fmt::Debug + 'static {
    /// The node this gateway runs on.
    fn node_id(&self) -> NodeId;

    /// The region this gateway runs in.
    fn region(&self) -> String;

    /// Every node of the cluster, ascending by id.
    fn nodes(&self) -> Vec<NodeInfo>;

    /// The clock of every live node at one moment (`SHOW CLOCKS`), as well as this node can tell by
    /// asking. Nodes that do not answer are left out. A process that runs all nodes knows better:
    /// [`Control::survey`].
    fn clocks(&self) -> BoxFuture<'static, Vec<ClockInfo>>;

    /// Replicas for a new range, led from this region if one is named and has a node.
    fn place(&self, leader_region: Option<&str>) -> Placement;

    /// Makes the replicas of a new range. Durable when it returns; idempotent by range id.
    fn create_range(&self, range: Descriptor) -> BoxFuture<'static, Result<(), SqlError>>;

    /// Asks a gateway, this one included, to adopt the catalog of this version
    /// ([`crate::Database::adopt_schema`]); `true` if it confirmed within `patience`.
    fn adopt_schema(
        &self,
        gateway: NodeId,
        version: SchemaVersion,
        patience: Duration,
    ) -> BoxFuture<'static, bool>;

    /// The knobs of the process around the node.
    fn control(&self) -> Arc<dyn Control> {
        NoControl::shared()
    }

    /// Why this node must not serve: it distrusts its own clock, say. `None`: it may.
    fn stopped(&self) -> Option<Stopped> {
        None
    }

    /// A commit of this gateway was acknowledged that wrote something.
    fn committed(&self, _info: &CommitInfo) {}

    /// What commits took, at every live node's gateway. Nodes that do not answer are left out.
    fn commit_stats(&self) -> BoxFuture<'static, Vec<(NodeId, CommitStats)>> {
        Box::pin(async { Vec::new() })
    }

    /// Makes the spans of this gateway; `None`: it has nobody who would hear of them.
    fn tracer(&self) -> Option<Arc<Tracer>> {
        None
    }

    /// The traces that began at this gateway, newest first.
    fn traces(&self) -> Vec<Summary> {
        Vec::new()
    }

    /// What all nodes tell of a trace; without spans if none knows it.
    fn timeline(&self, id: TraceId) -> BoxFuture<'static, Timeline> {
        Box::pin(async move { Timeline::new(id, Vec::new(), 0, BTreeMap::new()) })
    }
}

/// Why a node does not serve, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// What is wrong.
    pub why: String,
    /// What to do about it.
    pub advice: String,
}

/// A node of the cluster (`SHOW NODES`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Its id.
    pub id: NodeId,
    /// The region it is in.
    pub region: String,
    /// The zone within the region.
    pub zone: String,
    /// Where other nodes reach it.
    pub address: String,
    /// Where clients reach it.
    pub sql_address: String,
    /// Whether this gateway has heard of it lately.
    pub live: bool,
    /// Why it said that it does not serve, when it was heard last.
    pub stopped: Option<String>,
}

/// The clock of a node (`SHOW CLOCKS`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockInfo {
    /// Whose clock.
    pub node: NodeId,
    /// `TT.now().earliest`, in nanoseconds since the Unix epoch.
    pub earliest: u64,
    /// `TT.now().latest`, in nanoseconds since the Unix epoch.
    pub latest: u64,
    /// Half the interval's width.
    pub epsilon: Duration,
    /// The source and its parameters: `fixed(4ms)`.
    pub source: String,
    /// Where true time is known (simulation and demo): how far the clock is off, in nanoseconds.
    pub true_offset_nanos: Option<i64>,
    /// Why the node distrusts it and does not serve.
    pub distrust: Option<String>,
    /// The interval is that of one moment for all clocks, up to this: zero where they are read
    /// together, half of the way to the node and back where it is asked.
    pub read_within: Duration,
}

/// Where a new range lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The voting replicas, ascending, never empty.
    pub voters: Vec<NodeId>,
    /// The voter that leads at birth.
    pub preferred_leader: NodeId,
}
