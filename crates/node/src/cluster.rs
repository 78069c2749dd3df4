//! The node as SQL sees it: members, clocks, placement, new ranges, schema changes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use clock::Mono;
use expr::{SqlError, SqlState};
use futures::future::{BoxFuture, join_all};
use keys::{NodeId, SchemaVersion};
use kv::Descriptor;
use sql::{
    ClockInfo, Cluster, CommitStats, NodeInfo, Placement, Stopped,
    control::{Control, NodeState, NodeView},
};
use trace::{Summary, Timeline, TraceId, Tracer};
use txn::CommitInfo;

use crate::{
    gateway::{Gateway, Watches},
    guard::ADVICE,
    members::Members,
    message::{ClockReading, NodeAnswer, NodeQuestion},
    time::NodeClock,
};

/// How long the other nodes have to answer a question about clocks.
const CLOCK_PATIENCE: Duration = Duration::from_secs(2);
/// How long the other nodes have to tell what they did for a trace.
const TRACE_PATIENCE: Duration = Duration::from_secs(2);
/// How long a node has to make a replica.
const CREATE_PATIENCE: Duration = Duration::from_secs(10);
/// How long the others have once a majority made theirs.
const CREATE_GRACE: Duration = Duration::from_secs(1);

/// What SQL needs from the node.
#[derive(Debug)]
pub struct NodeCluster {
    /// All nodes.
    pub members: Arc<Members>,
    /// This node's time.
    pub clock: Arc<NodeClock>,
    /// The way to the others.
    pub gateway: Gateway,
    /// New ranges get so many voters where there are as many nodes.
    pub replication: usize,
    /// Makes the spans of this node.
    pub tracer: Arc<Tracer>,
    /// What it knows of itself.
    pub watches: Watches,
    /// The knobs of the process around it.
    pub control: Arc<dyn Control>,
}

impl NodeCluster {
    /// Why a node does not serve: this one by what it knows, others by what they said last.
    fn why_stopped(&self, node: NodeId) -> Option<String> {
        if node == self.members.local().id {
            return self.watches.guard.why_still(&self.clock);
        }
        self.members.why_stopped(node)
    }

    /// The nodes that may answer a question: all of them, but for those that the process around this
    /// node knows to be down, still, or cut off. Waiting for them would be in vain.
    fn worth_asking(&self) -> impl Future<Output = Vec<NodeId>> + Send + use<> {
        let local = self.members.local().id;
        let all: Vec<NodeId> = self.members.iter().map(|m| m.id).collect();
        let survey = self.control.survey(local);
        async move {
            let Some(views) = survey.await else { return all };
            let answers = |view: &NodeView| view.state == NodeState::Runs && view.linked;
            let silent = |id: &NodeId| views.iter().any(|view| view.node == *id && !answers(view));
            all.into_iter().filter(|id| *id == local || !silent(id)).collect()
        }
    }
}

/// What a clock says now that was read somewhere between question and answer.
fn clock_at(
    (node, reading, asked, answered): (NodeId, ClockReading, Mono, Mono),
    now: Mono,
) -> ClockInfo {
    let read_within = answered.since(asked) / 2;
    let since = u64::try_from((now.since(answered) + read_within).as_nanos()).unwrap_or(u64::MAX);
    ClockInfo {
        node,
        earliest: reading.interval.earliest.saturating_add(since),
        latest: reading.interval.latest.saturating_add(since),
        epsilon: reading.interval.epsilon(),
        source: reading.source,
        true_offset_nanos: reading.true_offset_nanos,
        distrust: reading.distrust,
        read_within,
    }
}

impl Cluster for NodeCluster {
    fn node_id(&self) -> NodeId {
        self.members.local().id
    }

    fn region(&self) -> String {
        self.members.local().region.clone()
    }

    fn nodes(&self) -> Vec<NodeInfo> {
        let now = self.clock.now().mono;
        let info = |m: &crate::Member| NodeInfo {
            id: m.id,
            region: m.region.clone(),
            zone: m.zone.clone(),
            address: m.address.clone(),
            sql_address: m.sql_address.clone(),
            live: self.members.is_live(m.id, now),
            stopped: self.why_stopped(m.id),
        };
        self.members.iter().map(info).collect()
    }

    /// Answers come at different moments. Each is taken for the middle of the way there and back,
    /// and its interval is moved on from there to the moment when the last one is in: the clocks of
    /// machines run alike for that long, and half the way is told beside it.
    fn clocks(&self) -> BoxFuture<'static, Vec<ClockInfo>> {
        let (gateway, clock) = (self.gateway.clone(), Arc::clone(&self.clock));
        let nodes: Vec<NodeId> = self.members.iter().map(|m| m.id).collect();
        Box::pin(async move {
            let readings = nodes.into_iter().map(|node| {
                let (gateway, clock) = (gateway.clone(), Arc::clone(&clock));
                async move {
                    let asked = clock.now().mono;
                    let answer = gateway.ask(node, NodeQuestion::Ping, CLOCK_PATIENCE).await?;
                    let NodeAnswer::Pong(reading) = answer else { return None };
                    Some((node, reading, asked, clock.now().mono))
                }
            });
            let readings: Vec<_> = join_all(readings).await.into_iter().flatten().collect();
            let now = clock.now().mono;
            readings.into_iter().map(|told| clock_at(told, now)).collect()
        })
    }

    fn place(&self, leader_region: Option<&str>) -> Placement {
        let here = self.members.local().region.as_str();
        let wanted = leader_region.unwrap_or(here);
        let mut voters = self
            .members
            .place(wanted, self.replication)
            .or_else(|| self.members.place(here, self.replication))
            .expect("this node is in its own region");
        // Whoever leads at birth has to be there.
        let there = voters.iter().copied().find(|voter| !self.members.is_gone(*voter));
        let preferred_leader = there.unwrap_or(voters[0]);
        voters.sort_unstable();
        Placement { voters, preferred_leader }
    }

    /// A majority of the voters, the leader among them, must have made their replica durable; a voter that
    /// is down makes its own later ([`Gateway::heal_births`]).
    fn create_range(&self, range: Descriptor) -> BoxFuture<'static, Result<(), SqlError>> {
        let gateway = self.gateway.clone();
        Box::pin(async move {
            let made = gateway.give_birth(&range, CREATE_PATIENCE, CREATE_GRACE).await;
            made.map(drop).map_err(|why| {
                let message = format!("a replica of {} was not made: {why}", range.id);
                SqlError::new(SqlState::RANGE_UNAVAILABLE, message)
            })
        })
    }

    fn adopt_schema(
        &self,
        gateway: NodeId,
        version: SchemaVersion,
        patience: Duration,
    ) -> BoxFuture<'static, bool> {
        let asker = self.gateway.clone();
        Box::pin(async move {
            let answer = asker.ask(gateway, NodeQuestion::SchemaChanged(version), patience).await;
            matches!(answer, Some(NodeAnswer::Done))
        })
    }

    fn control(&self) -> Arc<dyn Control> {
        Arc::clone(&self.control)
    }

    fn stopped(&self) -> Option<Stopped> {
        let why = self.watches.guard.why_still(&self.clock)?;
        Some(Stopped { why, advice: ADVICE.to_owned() })
    }

    fn committed(&self, info: &CommitInfo) {
        self.watches.meter.committed(info);
    }

    fn commit_stats(&self) -> BoxFuture<'static, Vec<(NodeId, CommitStats)>> {
        let (gateway, nodes) = (self.gateway.clone(), self.worth_asking());
        Box::pin(async move {
            let nodes = nodes.await;
            let asked = nodes.into_iter().map(|node| {
                let gateway = gateway.clone();
                async move {
                    let answer = gateway.ask(node, NodeQuestion::Stats, CLOCK_PATIENCE).await?;
                    let NodeAnswer::Stats(stats) = answer else { return None };
                    Some((node, *stats))
                }
            });
            join_all(asked).await.into_iter().flatten().collect()
        })
    }

    fn tracer(&self) -> Option<Arc<Tracer>> {
        Some(Arc::clone(&self.tracer))
    }

    fn traces(&self) -> Vec<Summary> {
        self.gateway.traces().begun_on(self.node_id())
    }

    fn timeline(&self, id: TraceId) -> BoxFuture<'static, Timeline> {
        let (gateway, worth) = (self.gateway.clone(), self.worth_asking());
        let regions = self.members.iter().map(|m| (m.id, m.region.clone()));
        let regions: BTreeMap<NodeId, String> = regions.collect();
        Box::pin(async move {
            let worth = worth.await;
            let asked = regions.keys().map(|node| {
                let gateway = worth.contains(node).then(|| gateway.clone());
                async move { gateway?.ask(*node, NodeQuestion::Trace(id), TRACE_PATIENCE).await }
            });
            let (mut spans, mut lost, mut silent) = (Vec::new(), 0, Vec::new());
            for (node, answer) in regions.keys().zip(join_all(asked).await) {
                match answer {
                    Some(NodeAnswer::Spans(told, forgotten)) => {
                        spans.extend(told);
                        lost = forgotten.max(lost);
                    }
                    Some(_) | None => silent.push(*node),
                }
            }
            Timeline { silent, ..Timeline::new(id, spans, lost, regions.clone()) }
        })
    }
}
