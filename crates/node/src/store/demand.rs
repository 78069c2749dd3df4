//! Who asks for the ranges that a shard leads: counted, so that leaders can follow the load.

use std::collections::BTreeMap;

use keys::{NodeId, RangeId};
use kv::Request;
use rustc_hash::FxHashMap;

use super::Store;
use crate::gateway::Asked;

/// How often each node asked for which range since the last look: as many counts as there are replicas
/// here and nodes that ask.
#[derive(Debug, Default)]
pub(super) struct Demand(FxHashMap<RangeId, BTreeMap<NodeId, u32>>);

impl Demand {
    /// A gateway sent a request for a range.
    pub fn count(&mut self, range: RangeId, from: NodeId, request: &Request) {
        if is_of_a_session(request) {
            let count = self.0.entry(range).or_default().entry(from).or_default();
            *count = count.saturating_add(1);
        }
    }
}

/// Whether a session waits for it. What keeps records, locks and splits in order comes from anywhere.
fn is_of_a_session(request: &Request) -> bool {
    match request {
        Request::Read(_) | Request::Lock(_) | Request::Prepare(_) | Request::Commit(_) => true,
        Request::Checksum { .. }
        | Request::Resolve(_)
        | Request::Push(_)
        | Request::Heartbeat(_)
        | Request::Acknowledge(_)
        | Request::Release { .. }
        | Request::Split { .. }
        | Request::TransferLeader { .. }
        | Request::Status
        | Request::Locks => false,
    }
}

impl Store {
    /// What was asked since the last time of the ranges that this shard leads.
    pub(super) fn asked(&mut self) -> Vec<Asked> {
        let Demand(by_range) = std::mem::take(&mut self.demand);
        let led = |(range, by)| {
            let replica = self.replicas.get(&range).filter(|replica| replica.leads())?;
            Some(Asked { range: replica.descriptor().clone(), by })
        };
        // In whatever order: who asks puts them in order.
        by_range.into_iter().filter_map(led).collect()
    }
}
